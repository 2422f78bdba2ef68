/* Croissant 1.1 (mlcommons.org): a dataset's files with their hashes, and the columns of those that
 * are CSV or JSON lines, with types as their first lines show them. */
#include "artifact/card.h"
#include "artifact/registry_int.h"
#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>

enum { SAMPLE_MAX = 64 << 10, COLUMNS_MAX = 1000, RECORD_SETS_MAX = 100 };

/* ---- the context: what Croissant 1.1 prescribes, unchanged ---- */

static const char context[] =
	"{\"@language\":\"en\",\"@vocab\":\"https://schema.org/\",\"citeAs\":\"cr:citeAs\","
	"\"column\":\"cr:column\",\"conformsTo\":\"dct:conformsTo\",\"containedIn\":\"cr:"
	"containedIn\",\"cr\":\"http://mlcommons.org/croissant/\",\"rai\":\"http://mlcommons.org/"
	"croissant/RAI/\",\"data\":{\"@id\":\"cr:data\",\"@type\":\"@json\"},\"dataType\":{\"@id\":"
	"\"cr:dataType\",\"@type\":\"@vocab\"},\"dct\":\"http://purl.org/dc/terms/"
	"\",\"equivalentProperty\":"
	"\"cr:equivalentProperty\",\"examples\":{\"@id\":"
	"\"cr:examples\",\"@type\":\"@json\"},\"extract\":\"cr:extract\",\"field\":\"cr:field\","
	"\"fileProperty\":\"cr:fileProperty\",\"fileObject\":\"cr:fileObject\",\"fileSet\":\"cr:"
	"fileSet\",\"format\":\"cr:format\",\"includes\":\"cr:includes\",\"isArray\":\"cr:"
	"isArray\","
	"\"isLiveDataset\":\"cr:isLiveDataset\",\"arrayShape\":\"cr:arrayShape\","
	"\"jsonPath\":\"cr:jsonPath\",\"key\":\"cr:key\","
	"\"md5\":\"cr:md5\",\"parentField\":\"cr:parentField\",\"path\":\"cr:path\",\"recordSet\":"
	"\"cr:recordSet\",\"references\":\"cr:references\",\"regex\":\"cr:regex\",\"repeated\":"
	"\"cr:"
	"repeated\",\"replace\":\"cr:replace\",\"samplingRate\":\"cr:samplingRate\",\"sc\":\"https:"
	"//schema.org/\",\"separator\":\"cr:"
	"separator\",\"source\":\"cr:source\",\"subField\":\"cr:subField\",\"transform\":\"cr:"
	"transform\"}";

static bool is_csv(struct str path)
{
	return str_ends_nocase(path, S(".csv"));
}

static bool is_jsonl(struct str path)
{
	return str_ends_nocase(path, S(".jsonl")) || str_ends_nocase(path, S(".ndjson"));
}

static const char *encoding(struct str path)
{
	static const struct {
		const char *end, *type;
	} known[] = {{".csv", "text/csv"}, {".tsv", "text/tab-separated-values"},
		{".jsonl", "application/jsonlines"}, {".ndjson", "application/jsonlines"},
		{".json", "application/json"}, {".parquet", "application/x-parquet"},
		{".txt", "text/plain"}, {".md", "text/markdown"}, {".pdf", "application/pdf"},
		{".html", "text/html"}, {".zip", "application/zip"}, {".png", "image/png"},
		{".jpg", "image/jpeg"}};
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (str_ends_nocase(path, str_c(known[i].end)))
			return known[i].type;
	return "application/octet-stream";
}

/* ---- columns ---- */

struct column {
	struct str name;
	const char *type; /* NULL: not seen yet */
};

static const char *type_of(struct str v)
{
	int64_t i;
	double d;
	if (str_i64(v, &i))
		return "sc:Integer";
	if (str_f64(v, &d))
		return "sc:Float";
	if (str_eq_nocase(v, S("true")) || str_eq_nocase(v, S("false")))
		return "sc:Boolean";
	return "sc:Text";
}

static const char *wider(const char *a, const char *b)
{
	if (!a || strcmp(a, b) == 0)
		return b;
	bool numbers = strcmp(a, "sc:Text") != 0 && strcmp(b, "sc:Text") != 0 &&
		       strcmp(a, "sc:Boolean") != 0 && strcmp(b, "sc:Boolean") != 0;
	return numbers ? "sc:Float" : "sc:Text";
}

/* One CSV record into cells (RFC 4180); false at the end or when the record is cut off. */
static bool csv_record(struct str *rest, struct arena *a, struct str *cells, size_t *n)
{
	struct buf cell = {0};
	size_t i = 0;
	bool done = false;
	*n = 0;
	while (i < rest->n && !done) {
		bool quoted = rest->p[i] == '"';
		i += quoted;
		for (; i < rest->n; i++) {
			char c = rest->p[i];
			if (quoted && c == '"') {
				if (i + 1 < rest->n && rest->p[i + 1] == '"')
					i++;
				else {
					quoted = false;
					continue;
				}
			} else if (!quoted && (c == ',' || c == '\n' || c == '\r')) {
				break;
			}
			buf_putc(&cell, c);
		}
		if (i >= rest->n || *n == COLUMNS_MAX)
			break;
		cells[(*n)++] = arena_str(a, buf_str(&cell));
		buf_clear(&cell);
		done = rest->p[i] != ',';
		i += rest->p[i] == '\r' && i + 1 < rest->n && rest->p[i + 1] == '\n' ? 2 : 1;
	}
	buf_free(&cell);
	*rest = str_sub(*rest, i, rest->n);
	return done;
}

static size_t csv_columns(struct str sample, struct arena *a, struct column *columns)
{
	struct str *cells = arena_array_of(a, COLUMNS_MAX, struct str);
	size_t n = 0, k;
	if (!cells || !csv_record(&sample, a, cells, &n))
		return 0;
	for (size_t i = 0; i < n; i++)
		columns[i] = (struct column){cells[i], NULL};
	for (int row = 0; row < 100 && csv_record(&sample, a, cells, &k); row++)
		for (size_t i = 0; i < n && i < k; i++)
			if (cells[i].n)
				columns[i].type = wider(columns[i].type, type_of(cells[i]));
	return n;
}

static const char *json_type(yyjson_val *v)
{
	return yyjson_is_bool(v)   ? "sc:Boolean"
	       : yyjson_is_int(v)  ? "sc:Integer"
	       : yyjson_is_real(v) ? "sc:Float"
				   : "sc:Text";
}

static size_t jsonl_columns(struct str sample, struct arena *a, struct column *columns)
{
	struct str line;
	size_t n = 0;
	for (int row = 0; row < 100 && str_next_line(&sample, &line) && sample.n; row++) {
		yyjson_doc *doc;
		yyjson_val *key, *v;
		size_t i, max;
		if (json_parse(line, &doc, NULL))
			break;
		yyjson_obj_foreach(yyjson_doc_get_root(doc), i, max, key, v)
		{
			size_t at = 0;
			while (at < n && !str_eq(columns[at].name, json_val_str(key)))
				at++;
			if (at == n && n < COLUMNS_MAX)
				columns[n++] =
					(struct column){arena_str(a, json_val_str(key)), NULL};
			if (at < n && !yyjson_is_null(v))
				columns[at].type = wider(columns[at].type, json_type(v));
		}
		yyjson_doc_free(doc);
	}
	return n;
}

static enum err sample_of(const struct card_source *s, const struct tree *t, size_t i,
	struct buf *out, struct errtext *et)
{
	const struct tree_file *f = tree_find(t, s->files[i].path);
	size_t n = f ? (size_t)MIN(f->size, (uint64_t)SAMPLE_MAX) : 0;
	char *to = n ? buf_reserve(out, n) : NULL;
	if (!to)
		return OK;
	enum err e = tree_read(croft_blobs(s->c), f, 0, to, n, et);
	if (!e)
		out->n += n;
	return e;
}

/* ---- the document ---- */

static void file_object(struct jw *w, const struct card_file *f)
{
	jw_obj(w);
	jw_kc(w, "@type", "cr:FileObject");
	jw_kstr(w, "@id", f->path);
	jw_kstr(w, "name", f->path);
	jw_key(w, "contentSize");
	jw_fmt(w, "%lld B", (long long)f->bytes);
	jw_kstr(w, "contentUrl", f->path);
	jw_kc(w, "encodingFormat", encoding(f->path));
	jw_kstr(w, "sha256", f->sha256);
	jw_end(w);
}

static void field_object(
	struct jw *w, const char *set, const struct card_file *f, const struct column *c)
{
	jw_obj(w);
	jw_kc(w, "@type", "cr:Field");
	jw_key(w, "@id");
	jw_fmt(w, "%s/%.*s", set, STR_FMT(c->name));
	jw_kstr(w, "name", c->name);
	jw_kc(w, "dataType", c->type ? c->type : "sc:Text");
	jw_key(w, "source");
	jw_obj(w);
	jw_key(w, "fileObject");
	jw_obj(w);
	jw_kstr(w, "@id", f->path);
	jw_end(w);
	jw_key(w, "extract");
	jw_obj(w);
	jw_kstr(w, "column", c->name);
	jw_end(w);
	jw_end(w);
	jw_end(w);
}

static enum err record_set(const struct card_source *s, const struct tree *t, size_t i,
	struct jw *w, struct errtext *et)
{
	const struct card_file *f = &s->files[i];
	char set[64];
	struct buf sample = {0};
	struct column *columns = arena_array_of(s->a, COLUMNS_MAX, struct column);
	if (!columns)
		return err_set(et, ERR_NOMEM, "no memory for columns");
	enum err e = sample_of(s, t, i, &sample, et);
	size_t n = e                 ? 0
		   : is_csv(f->path) ? csv_columns(buf_str(&sample), s->a, columns)
				     : jsonl_columns(buf_str(&sample), s->a, columns);
	snprintf(set, sizeof set, "records-%zu", i);
	if (n) {
		jw_obj(w);
		jw_kc(w, "@type", "cr:RecordSet");
		jw_kc(w, "@id", set);
		jw_kstr(w, "name", f->path);
		jw_key(w, "field");
		jw_arr(w);
		for (size_t k = 0; k < n; k++)
			if (columns[k].name.n)
				field_object(w, set, f, &columns[k]);
		jw_end(w);
		jw_end(w);
	}
	buf_free(&sample);
	return e;
}

static void head(const struct card *card, struct jw *w)
{
	char day[CLOCK_TEXT];
	const struct card_field *about = card_get(card, "description");
	const struct card_field *licence = card_get(card, "licence");
	clock_rfc3339(card->version.created_ms, day);
	jw_key(w, "@context");
	jw_raw(w, str_mk(context, sizeof context - 1));
	jw_kc(w, "@type", "sc:Dataset");
	jw_kstr(w, "name", card->artifact.name);
	jw_key(w, "description");
	about->value.n ? jw_str(w, about->value)
		       : jw_fmt(w, "Version %lld of the dataset %.*s. No description was written.",
				 (long long)card->version.version, STR_FMT(card->artifact.name));
	jw_kc(w, "conformsTo", "http://mlcommons.org/croissant/1.1");
	if (licence->value.n)
		jw_kstr(w, "license", licence->value);
	jw_key(w, "url");
	jw_fmt(w, "urn:croft:dataset:%.*s:%lld", STR_FMT(card->version.digest),
		(long long)card->version.version);
	jw_key(w, "version");
	jw_fmt(w, "%lld.0.0", (long long)card->version.version);
	jw_kc(w, "datePublished", day);
	jw_key(w, "creator");
	jw_obj(w);
	jw_kc(w, "@type", "sc:Person");
	jw_kstr(w, "name", card->version.creator);
	jw_end(w);
}

enum err card_croissant(const struct card *card, struct jw *w, struct errtext *et)
{
	const struct card_source *s = &card->source;
	struct tree *t;
	char digest[SHA256_HEX + 1];
	size_t sets = 0;
	snprintf(digest, sizeof digest, "%.*s", STR_FMT(card->version.digest));
	if (!tree_digest_ok(card->version.digest))
		return err_set(et, ERR_UNSUPPORTED,
			"this version is kept elsewhere (%.*s): its files cannot be described here",
			STR_FMT(str_sub(card->version.source, 0, 200)));
	enum err e = tree_load(croft_blobs(s->c), digest, &t, et);
	if (e)
		return e;
	jw_obj(w);
	head(card, w);
	jw_key(w, "distribution");
	jw_arr(w);
	for (size_t i = 0; i < s->n_files; i++)
		file_object(w, &s->files[i]);
	jw_end(w);
	jw_key(w, "recordSet");
	jw_arr(w);
	for (size_t i = 0; i < s->n_files && !e && sets < RECORD_SETS_MAX; i++)
		if (is_csv(s->files[i].path) || is_jsonl(s->files[i].path)) {
			sets++;
			e = record_set(s, t, i, w, et);
		}
	jw_end(w);
	jw_end(w);
	tree_free(t);
	return e;
}
