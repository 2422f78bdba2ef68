#include "tap.h"
#include "app/assets.h"

/* In the page, or, by a script that loads it later, in another file. */
static bool is_named(const struct asset *a)
{
	struct str file = str_c(strrchr(a->path, '/') + 1);
	for (size_t i = 0; i < n_assets; i++)
		if (&assets[i] != a && str_find(assets[i].raw, file) != STR_NONE)
			return true;
	return false;
}

static void test_app_assets__the_page_and_what_it_names(void)
{
	const struct asset *page = asset_find(S("/index.html"));
	CHECK(page && !page->immutable && page->raw.n > 100);
	CHECK(str_find(page->raw, S("<!doctype html>")) == 0);
	CHECK(!asset_find(S("/assets/")) && !asset_find(S("")) && !asset_find(S("/index.htm")));
	for (size_t i = 0; i < n_assets; i++) {
		const struct asset *a = &assets[i];
		CHECK(asset_find(str_c(a->path)) == a);
		CHECK(a->etag[0] == '"' && a->raw.n);
		CHECK(!a->gzip.n || (a->gzip.n > 18 && !memcmp(a->gzip.p, "\x1f\x8b\x08", 3)));
		CHECK(a->immutable == str_starts(str_c(a->path), S("/assets/")));
		if (a->immutable)
			CHECK(is_named(a));
	}
}

static void test_app_assets__views(void)
{
	CHECK(asset_is_view(S("/")));
	CHECK(!asset_is_view(S("")) && !asset_is_view(S("//")));
	CHECK(!asset_is_view(S("/nothing")) && !asset_is_view(S("/assets/app.js")));
	if (n_asset_routes == 1)
		return; /* built without the page */
	CHECK(asset_is_view(S("/documents")) && asset_is_view(S("/runs/6f2c")));
	CHECK(!asset_is_view(S("/runs/")) && !asset_is_view(S("/runs/a/b")));
	CHECK(!asset_is_view(S("/documents/")));
}

TESTS(T(test_app_assets__the_page_and_what_it_names), T(test_app_assets__views))
