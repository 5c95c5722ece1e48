/* Parts of the native page that are rendered here, so that it works without script. */
#ifndef FILEMILL_API_PAGE_VIEW_H
#define FILEMILL_API_PAGE_VIEW_H

#include "front/front.h"

/* A file with its jobs as an element of its own. */
void page_view_file(struct buf *b, const struct file *f);
/* What went wrong, in words. */
void page_view_error(struct buf *b, const struct err *e);

#endif
