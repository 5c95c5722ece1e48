/* Parts of the native page that are rendered here, so that it works without script. */
#ifndef FILEMILL_API_PAGE_VIEW_H
#define FILEMILL_API_PAGE_VIEW_H

#include "front/front.h"

/* The page with an answer in it: a file with its jobs, or what went wrong; NULL for neither. While jobs are not final a browser without script asks again. */
void page_view(struct buf *b, const struct file *f, const struct err *e);

#endif
