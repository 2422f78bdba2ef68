/* What is linked instead of the page by -Dweb=false. */
#include "app/assets.h"

static const char page[] =
	"<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Croft</title>"
	"<h1>Croft</h1><p>This server was built without its page (-Dweb=false). "
	"The API is at <a href=\"/api/v1/openapi.json\">/api/v1/openapi.json</a>, "
	"and the command line asks too: <code>croft ask \"...\"</code>.</p></html>\n";

const struct asset assets[] = {
	{"/index.html", "text/html; charset=utf-8", "\"none\"", false, {page, sizeof page - 1},
		{0}},
};
const size_t n_assets = 1;
const char *const asset_routes[] = {"/"};
const size_t n_asset_routes = 1;
