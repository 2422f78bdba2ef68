/* Bodies of vector stores: each is refused with a reason that names a place, or what it became is
 * whole; filters can be asked of any object; and markers go out of a text the same way in
 * whatever pieces it comes. */
#include "api/responses.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool yes)
{
	if (!yes)
		__builtin_trap();
}

static void check_json(struct str json)
{
	yyjson_doc *doc = NULL;
	must(!json_parse(json, &doc, NULL) && yyjson_is_obj(yyjson_doc_get_root(doc)));
	yyjson_doc_free(doc);
}

static bool refused(enum err e, const struct api_error *x)
{
	must(!e || (x->e && x->et.msg[0]));
	return e != OK;
}

static void check_file(const struct vfile_new *f)
{
	check_json(f->attributes);
	must(!f->chunk_tokens
			? !f->chunk_overlap
			: f->chunk_tokens >= CHUNK_TOKENS_MIN &&
				  f->chunk_tokens <= CHUNK_TOKENS_MAX && f->chunk_overlap >= 0 &&
				  f->chunk_overlap <= f->chunk_tokens / 2);
}

static void stores(struct str body, struct arena *a)
{
	struct api_error x = {0};
	struct vstore_new v;
	struct vfile_new f, *files = NULL;
	size_t n = 0;
	for (int is_new = 0; is_new < 2; is_new++)
		if (!refused(vstore_parse(body, is_new, a, &v, &x), &x)) {
			check_json(v.metadata);
			for (size_t i = 0; is_new && i < v.n_files; i++)
				check_file(&v.files[i]);
		}
	if (!refused(vfile_parse(body, a, &f, &x), &x))
		check_file(&f);
	if (!refused(vbatch_parse(body, a, &files, &n, &x), &x)) {
		must(n);
		for (size_t i = 0; i < n; i++)
			check_file(&files[i]);
	}
}

static void searches(struct str body, struct arena *a)
{
	struct api_error x = {0};
	struct vsearch q;
	if (refused(vsearch_parse(body, a, &q, &x), &x))
		return;
	must(q.n_queries && q.most >= 1 && q.most <= VSTORE_RESULTS_MAX && q.threshold >= 0 &&
		q.threshold <= 1);
	yyjson_doc *doc = NULL;
	if (q.filter && !json_parse(body, &doc, NULL))
		(void)cond_matches(q.filter, 0, yyjson_doc_get_root(doc));
	yyjson_doc_free(doc);
}

static void strip(struct str text, size_t piece, struct buf *out)
{
	struct marks m = {.most = 12};
	for (size_t at = 0; at < text.n; at += piece)
		marks_add(&m, str_sub(text, at, at + piece), out);
	marks_end(&m, out);
}

static void markers(struct str text)
{
	struct buf whole = {0}, pieces = {0};
	strip(text, text.n + 1, &whole);
	strip(text, 1, &pieces);
	must(str_eq(buf_str(&whole), buf_str(&pieces)) && whole.n <= text.n);
	buf_free(&whole);
	buf_free(&pieces);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str body = str_mk((const char *)data, size);
	struct arena *a = arena_new(0);
	if (!a)
		return 0;
	stores(body, a);
	searches(body, a);
	markers(body);
	arena_free(a);
	return 0;
}
