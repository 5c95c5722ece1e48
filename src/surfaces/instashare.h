/* Inside of instashare*.c: the handlers behind its routes, and what they share. */
#ifndef FILEMILL_SURFACES_INSTASHARE_H
#define FILEMILL_SURFACES_INSTASHARE_H

#include "base/json_out.h"
#include "front/front.h"

#define INSTASHARE_OPS "zip" /* what is done with each file */

extern const struct http_handler instashare_register, instashare_login; /* instashare_people.c */
extern const struct http_handler instashare_upload; /* instashare_upload.c */
extern const struct http_handler instashare_make_url, instashare_complete; /* instashare_url.c */

/* The job that makes the archive; NULL for a file that came through another door without one. */
const struct job *instashare_job(const struct file *f);
/* The members that every answer tells of a file, into an open object. */
void instashare_write_file(struct json_out *j, const struct file *f);

#endif
