/* The parts of op_zip.c that its tests look at. */
#ifndef FILEMILL_RUNNER_ZIP_H
#define FILEMILL_RUNNER_ZIP_H

#include "base/compiler.h"
#include "base/str.h"

#define ZIP_NAME_MAX 255 /* bytes */

/* The entry's name; returns its bytes, at least 1. zip_name.c */
size_t zip_name(char dst[ZIP_NAME_MAX], struct str name);

#endif
