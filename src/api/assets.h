/* The embedded pages: looked up by path, and as templates. */
#ifndef FILEMILL_API_ASSETS_H
#define FILEMILL_API_ASSETS_H

#include "base/str.h"

#include <stdbool.h>

struct web_asset;

/* The asset of this path, or NULL. */
const struct web_asset *asset_find(struct str path);
/* The text of an asset that is there in any build and kept uncompressed: a page or a fragment. */
struct str asset_text(const char *path);

/* Does an Accept-Encoding (RFC 9110 §12.5.3) allow gzip? */
bool accepts_gzip(struct str header);

#endif
