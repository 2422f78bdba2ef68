/* What a person types into a search by words becomes clauses that an index takes, whatever it is;
 * settings, read from JSON, are refused with a reason or read back as they were written. */
#include "collection/keyword.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool yes)
{
	if (!yes)
		__builtin_trap();
}

static void query(struct str text, const char *language, struct bm25 *x)
{
	struct errtext et = {0};
	struct keyword_query q;
	struct hit hits[4];
	size_t n;
	struct arena *a = arena_new(8 << 20);
	enum err e = keyword_query_parse(text, language, a, &q, &et);
	must(!e || e == ERR_TOO_LARGE || e == ERR_NOMEM);
	if (!e && q.n) {
		e = bm25_query(x, q.clauses, q.n, 4, NULL, NULL, hits, &n, NULL, NULL, &et);
		must(!e || (e == ERR_TOO_LARGE && et.msg[0]));
	}
	arena_free(a);
}

static void settings(struct str text)
{
	struct errtext et = {0};
	struct keyword_settings s, again;
	struct buf b = {0};
	yyjson_doc *doc, *back;
	struct arena *a = arena_new(8 << 20);
	if (!json_parse(text, &doc, &et)) {
		enum err e = keyword_settings_read(yyjson_doc_get_root(doc), a, &s, &et);
		must(!e || et.msg[0]);
		if (!e) {
			keyword_settings_write(&(struct jw){.out = &b}, &s);
			must(!json_parse(buf_str(&b), &back, &et));
			must(!keyword_settings_read(yyjson_doc_get_root(back), a, &again, &et));
			must(again.n_fields == s.n_fields && again.k1 == s.k1 &&
				again.fusion.depth == s.fusion.depth);
			yyjson_doc_free(back);
		}
		yyjson_doc_free(doc);
	}
	buf_free(&b);
	arena_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct bm25 *x;
	struct errtext et = {0};
	struct str text = str_mk(data, size);
	if (!x) {
		must(!bm25_new(&(struct bm25_options){.positions = true}, &x));
		static const struct str terms[] = {S("one"), S("two"), S("three")};
		must(!bm25_put(x, 1, terms, ARRAY_LEN(terms), &et) && !bm25_publish(x, &et));
	}
	query(text, "en", x);
	query(text, "", x);
	settings(text);
	return 0;
}
