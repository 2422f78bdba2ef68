/* The page's files, linked into the binary by web/build.mjs. Everything lives as long as the
 * process. A build without a page (-Dweb=false) has one file, which says so. */
#ifndef APP_ASSETS_H
#define APP_ASSETS_H
#include "base/str.h"

struct asset {
	const char *path, *type, *etag; /* "/assets/app-1f2e.js"; etag with its quotes */
	bool immutable;                 /* the path carries the content's hash: never changes */
	struct str raw, gzip;
};

/* The file at exactly this path, or NULL. "/index.html" is always there. */
const struct asset *asset_find(struct str path);
/* Whether the path is the address of one of the page's views ("/runs/6f2c"): the page answers it.
 */
bool asset_is_view(struct str path);

/* What the build writes; web/src/paths.ts holds the routes. ":id" is one segment. */
extern const struct asset assets[];
extern const size_t n_assets;
extern const char *const asset_routes[];
extern const size_t n_asset_routes;

#endif
