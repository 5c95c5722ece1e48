/* Descriptors: closing by attribute and whole reads and writes. Thread-safe as far as the descriptor is. */
#ifndef FILEMILL_BASE_FD_H
#define FILEMILL_BASE_FD_H

#include "base/compiler.h"

#include <stddef.h>
#include <sys/types.h>

/* Closes *fd unless negative and sets it to -1; keeps errno. For CLEANUP(fd_close). */
void fd_close(int *fd);
/* Takes the descriptor out of a cleanup variable. */
int fd_steal(int *fd);

/* All n bytes or a failure; EINTR is handled. 0 or -1 with errno (a write of 0 bytes made: ENOSPC). */
[[nodiscard]] int fd_write_all(int fd, const void *data, size_t n);
/* Up to n bytes, less only at end of file: the count, or -1 with errno. */
[[nodiscard]] ssize_t fd_pread_full(int fd, void *dst, size_t n, off_t at);

/* For CLEANUP(free_ptr) on any pointer variable. */
void free_ptr(void *pointer_to_pointer);

#endif
