/* storage-sync's page for operators: what was synced, newest first, to be searched and looked at. */
#ifndef FILEMILL_SURFACES_SYNC_PAGE_H
#define FILEMILL_SURFACES_SYNC_PAGE_H

#include "http/http.h"

/* Handler of a GET with the parameters below. owner's files are its rows; a row's copy is at /files/<key>. */
extern const struct http_handler sync_page;
extern const char *const sync_page_query[];
#define SYNC_OWNER "storage-sync"

#endif
