/* What names a version: its number, a tag, a time, "head"; of this collection or of another one. */
#include "collection/version_int.h"
#include "base/clock.h"

/* The name of a collection may hold what a reference may not: then a hash keeps it apart. */
struct str version_artifact(struct str collection, struct arena *a)
{
	char hex[SHA256_HEX + 1];
	struct buf b = {0};
	for (size_t i = 0; i < collection.n && b.n < 200; i++) {
		unsigned char ch = (unsigned char)collection.p[i];
		buf_putc(&b, ch < 0x20 || ch == 0x7F || strchr("/:@", ch) ? '-' : (char)ch);
	}
	b.n = utf8_complete_prefix(buf_str(&b));
	struct str clean = str_trim(buf_str(&b)), out;
	sha256_hex_of(collection, hex);
	if (str_eq(clean, collection) && !str_eq_c(clean, ".") && !str_eq_c(clean, ".."))
		out = arena_str(a, clean);
	else
		out = arena_fmt(a, "%.*s-%.8s", STR_FMT(clean), hex);
	buf_free(&b);
	return out;
}

/* ---- looking one up ---- */

struct looking {
	struct tx *tx;
	struct str project, name, ref;
	struct artifact of;
	struct arena *a;
	struct artifact_version *out;
	struct errtext *et;
};

static enum err not_found(const struct looking *x)
{
	return err_set(x->et, ERR_NOT_FOUND,
		"%.*s has no version \"%.*s\": a number, a tag, a time (2026-06-27T08:00:00Z) or "
		"head is expected; `croft collections versions` lists them",
		STR_FMT(str_sub(x->name, 0, 100)), STR_FMT(str_sub(x->ref, 0, 100)));
}

static enum err by_number(const struct looking *x, int64_t version)
{
	enum err e = artifact_get_version(x->tx, x->of.id, version, x->a, x->out, x->et);
	return e == ERR_NOT_FOUND || (!e && x->out->deleted) ? not_found(x) : e;
}

/* The newest one that was there at that time. */
static enum err by_time(const struct looking *x, int64_t ms)
{
	enum { PAGE = 100 };
	int64_t before = 0;
	for (;;) {
		struct artifact_version *list;
		size_t n = 0;
		enum err e =
			version_list(x->tx, &x->of, before, PAGE, false, x->a, &list, &n, x->et);
		if (e)
			return e;
		for (size_t i = 0; i < n; i++)
			if (list[i].created_ms <= ms) {
				*x->out = list[i];
				return OK;
			}
		if (n < PAGE)
			return not_found(x);
		before = list[n - 1].version;
	}
}

static enum err by_tag(const struct looking *x)
{
	struct fact f;
	bool found = false;
	int64_t version;
	enum err e = fact_now(x->tx, x->of.id, 0, S("alias"), x->ref, x->a, &f, &found, x->et);
	if (e)
		return e;
	return found && str_i64(f.value, &version) ? by_number(x, version) : not_found(x);
}

static bool number_of(struct str ref, int64_t *out)
{
	struct str digits = str_starts(ref, S("v")) ? str_sub(ref, 1, ref.n) : ref;
	return digits.n && digits.p[0] >= '0' && digits.p[0] <= '9' && str_i64(digits, out);
}

static enum err look(struct looking *x)
{
	int64_t number, ms;
	enum err e = artifact_find(x->tx, x->project, S(VERSION_KIND),
		version_artifact(x->name, x->a), x->a, &x->of, x->et);
	if (e)
		return e == ERR_NOT_FOUND ? not_found(x) : e;
	if (str_eq_c(x->ref, "head") || str_eq_c(x->ref, "latest"))
		e = by_time(x, INT64_MAX);
	else if (number_of(x->ref, &number))
		e = by_number(x, number);
	else if (clock_parse_rfc3339(x->ref, &ms))
		e = by_time(x, ms);
	else
		e = by_tag(x);
	const struct http_request *rq = croft_request();
	return e || !rq ? e
			: artifact_readable(x->tx, rq, x->of.id, x->of.kind, x->of.name,
				  x->out->version, x->et);
}

enum err version_named(struct croft *c, struct str project, struct str name, struct str ref,
	struct arena *a, struct artifact_version *out, struct errtext *et)
{
	struct artifact_version v;
	struct looking x = {
		.project = project, .name = name, .ref = ref, .a = a, .out = &v, .et = et};
	size_t colon = str_chr(ref, ':');
	int64_t ms;
	if (colon != STR_NONE && !clock_parse_rfc3339(ref, &ms)) {
		x.name = str_sub(ref, 0, colon);
		x.ref = str_sub(ref, colon + 1, ref.n);
	}
	enum err e = db_begin(croft_db(c), TX_READ, &x.tx, et);
	if (e)
		return e;
	e = look(&x);
	db_rollback(x.tx);
	e = e ? e : tree_digest_ok(v.digest) ? OK : not_found(&x);
	e = e ? e : tree_granted(c, project, v.digest.p, et);
	if (!e)
		*out = v;
	return e;
}

/* ---- parents ---- */

static bool parent_of(struct str text, struct id *id, int64_t *version)
{
	size_t colon = str_chr(text, ':');
	return colon != STR_NONE && id_parse(str_sub(text, 0, colon), id) &&
	       str_i64(str_sub(text, colon + 1, text.n), version);
}

enum err version_parents(const struct artifact_version *v, struct id out[2], int64_t versions[2],
	size_t *n, struct errtext *et)
{
	yyjson_doc *doc;
	yyjson_val *p;
	size_t i, count, got = 0;
	enum err e = json_parse(v->metadata.n ? v->metadata : S("{}"), &doc, et);
	if (e)
		return e;
	yyjson_val *list = yyjson_obj_get(yyjson_doc_get_root(doc), "parents");
	yyjson_arr_foreach(list, i, count, p)
	{
		if (got < 2 && parent_of(json_val_str(p), &out[got], &versions[got]))
			got++;
	}
	yyjson_doc_free(doc);
	*n = got;
	return OK;
}

struct str version_parent_text(struct id artifact, int64_t version, struct arena *a)
{
	char hex[ID_HEX + 1];
	id_hex(artifact, hex);
	struct str out = arena_fmt(a, "%s:%lld", hex, (long long)version);
	return out.p ? out : S("");
}
