#include "tap.h"
#include "app/assets.h"
#include "app/pages.h"

#include <stdlib.h>

static int status;
static struct buf body, headers;

static void on_head(void *ctx, int code, const struct http_pair *h, size_t n)
{
	status = code;
	for (size_t i = 0; i < n; i++)
		buf_addf(&headers, "%.*s: %.*s\n", STR_FMT(h[i].name), STR_FMT(h[i].value));
}

static enum err on_data(void *ctx, struct str data)
{
	buf_adds(&body, data);
	return OK;
}

static void handler(void *app, struct http_request *rq, struct http_response *rs)
{
	pages_handle(rq, rs);
}

/* GETs a path; `given` is one header as "name: value", or NULL. */
static void get(const char *path, const char *given)
{
	struct http_pair pair = {0};
	size_t n = 0;
	if (given) {
		struct str rest = str_c(given);
		str_next(&rest, ':', &pair.name);
		pair.value = str_trim(rest);
		n = 1;
	}
	buf_clear(&body);
	buf_clear(&headers);
	struct errtext et = {0};
	struct http_local to = {.on_head = on_head, .on_data = on_data};
	enum err e = http_local_run(
		handler, NULL, HTTP_GET, str_c(path), &pair, n, (struct str){0}, NULL, &to, &et);
	if (e)
		FAIL("%s: %s", path, err_text(e, &et));
}

static bool has(const char *header)
{
	return str_find_nocase(buf_str(&headers), str_c(header)) != STR_NONE;
}

/* Some file whose name is a hash, or NULL in a build without the page. */
static const struct asset *hashed(void)
{
	for (size_t i = 0; i < n_assets; i++)
		if (assets[i].immutable && assets[i].gzip.n < assets[i].raw.n)
			return &assets[i];
	return NULL;
}

static void test_app_pages__the_page_under_a_strict_policy(void)
{
	const struct asset *page = asset_find(S("/index.html"));
	get("/", NULL);
	CHECK_INT(status, 200);
	CHECK(str_eq(buf_str(&body), page->raw));
	CHECK(has("content-security-policy: default-src 'self'"));
	CHECK(!has("unsafe"));
	CHECK(has("x-content-type-options: nosniff") && has("x-frame-options: DENY"));
	CHECK(has("cache-control: no-cache") && has("vary: accept-encoding"));
	CHECK(has("content-type: text/html"));
}

static void test_app_pages__files_are_kept_for_ever(void)
{
	const struct asset *a = hashed();
	if (!a)
		SKIP("built without the page");
	get(a->path, NULL);
	CHECK_INT(status, 200);
	CHECK(str_eq(buf_str(&body), a->raw) && !has("content-encoding"));
	CHECK(has("immutable") && has("max-age=31536000"));
	get(a->path, "Accept-Encoding: br, gzip");
	CHECK(str_eq(buf_str(&body), a->gzip) && has("content-encoding: gzip"));
	char tag[80];
	snprintf(tag, sizeof tag, "If-None-Match: \"other\", W/%s", a->etag);
	get(a->path, tag);
	CHECK_INT(status, 304);
	CHECK(body.n == 0 && has(a->etag) && has("immutable"));
}

static void test_app_pages__accept_encoding(void)
{
	CHECK(pages_takes_gzip(S("gzip")) && pages_takes_gzip(S("br;q=1.0, GZIP;q=0.5")));
	CHECK(pages_takes_gzip(S("*")) && pages_takes_gzip(S("deflate, * ; q=0.1")));
	CHECK(!pages_takes_gzip(S("")) && !pages_takes_gzip(S("identity")));
	CHECK(!pages_takes_gzip((struct str){0}));
	CHECK(!pages_takes_gzip(S("gzip;q=0")) && !pages_takes_gzip(S("gzip; q=0.000, *;q=1")));
	CHECK(!pages_takes_gzip(S("gzip;q=nonsense")) && !pages_takes_gzip(S(",;,")));
	CHECK(!pages_takes_gzip(S("xgzip, gzipx")));
}

static void test_app_pages__what_is_not_there(void)
{
	get("/no/such/thing", NULL);
	CHECK_INT(status, 404);
	CHECK(has("content-type: application/json"));
	get("/no/such/thing", "Accept: text/html,application/xhtml+xml");
	CHECK_INT(status, 404);
	CHECK(has("content-type: text/html") && has("content-security-policy"));
	get("/api/v1/nothing", "Accept: text/html");
	CHECK_INT(status, 404);
	CHECK(has("content-type: application/json"));
	get("/assets/", "Accept: */*");
	CHECK_INT(status, 404);
}

static void test_app_pages__views_have_addresses(void)
{
	if (!hashed())
		SKIP("built without the page");
	const struct asset *page = asset_find(S("/index.html"));
	static const char *const views[] = {"/documents", "/documents/0f?tab=text", "/runs/0f?p=a"};
	for (size_t i = 0; i < ARRAY_LEN(views); i++) {
		get(views[i], NULL);
		CHECK_INT(status, 200);
		CHECK(str_eq(buf_str(&body), page->raw));
	}
}

TESTS(T(test_app_pages__the_page_under_a_strict_policy), T(test_app_pages__files_are_kept_for_ever),
	T(test_app_pages__accept_encoding), T(test_app_pages__what_is_not_there),
	T(test_app_pages__views_have_addresses))
