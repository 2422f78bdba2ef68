#include "text/zip_int.h"
#include "base/room.h"

#include <expat.h>
#include <stdio.h>
#include <stdlib.h>
#include <zip.h>

struct zip_doc {
	struct out *o;
	zip_t *zip;
	size_t unpacked; /* so far, all members */
};

enum { RATIO_MAX = 1000, RATIO_FROM = 4 << 20 }; /* small members may compress as they like */

struct zip_doc *zip_doc_open(struct out *o, struct str bytes)
{
	zip_error_t ze;
	zip_error_init(&ze);
	zip_source_t *src = zip_source_buffer_create(bytes.p, bytes.n, 0, &ze);
	zip_t *zip = src ? zip_open_from_source(src, ZIP_RDONLY, &ze) : NULL;
	if (!zip) {
		if (src)
			zip_source_free(src);
		out_fail(o, ERR_CORRUPT, "a damaged or cut-off ZIP file (%s); get a fresh copy",
			zip_error_strerror(&ze));
		zip_error_fini(&ze);
		return NULL;
	}
	zip_error_fini(&ze);
	zip_int64_t n = zip_get_num_entries(zip, 0);
	if (n > (zip_int64_t)o->lim.entries_max)
		out_fail(o, ERR_LIMIT, "an archive of %lld members, the limit is %u", (long long)n,
			o->lim.entries_max);
	struct zip_doc *z = o->err ? NULL : calloc(1, sizeof *z);
	if (!z) {
		out_fail(o, ERR_NOMEM, "out of memory");
		zip_discard(zip);
		return NULL;
	}
	*z = (struct zip_doc){.o = o, .zip = zip};
	return z;
}

void zip_doc_close(struct zip_doc *z)
{
	if (!z)
		return;
	zip_discard(z->zip);
	free(z);
}

bool zip_doc_has(struct zip_doc *z, const char *name)
{
	return zip_name_locate(z->zip, name, 0) >= 0;
}

typedef bool (*chunk_fn)(void *ctx, const char *p, size_t n, bool last);

static bool stream(struct zip_doc *z, const char *name, chunk_fn fn, void *ctx)
{
	struct out *o = z->o;
	zip_int64_t i = zip_name_locate(z->zip, name, 0);
	if (i < 0)
		i = zip_name_locate(z->zip, name, ZIP_FL_NOCASE);
	if (i < 0 || o->err)
		return false;
	zip_stat_t st;
	zip_stat_init(&st);
	if (zip_stat_index(z->zip, (zip_uint64_t)i, 0, &st) == 0 &&
		(st.valid & ZIP_STAT_ENCRYPTION_METHOD) && st.encryption_method != ZIP_EM_NONE) {
		out_fail(o, ERR_FORBIDDEN, "it is encrypted; save it without a password");
		return false;
	}
	zip_file_t *f = zip_fopen_index(z->zip, (zip_uint64_t)i, 0);
	char *chunk = malloc(65536);
	if (!f || !chunk) {
		out_fail(o, f ? ERR_NOMEM : ERR_CORRUPT, "its part %s cannot be read (%s)", name,
			f ? "out of memory" : zip_strerror(z->zip));
		if (f)
			zip_fclose(f);
		free(chunk);
		return false;
	}
	size_t total = 0;
	zip_int64_t k = 0;
	while (!out_stop(o) && (k = zip_fread(f, chunk, 65536)) > 0) {
		total += (size_t)k;
		z->unpacked += (size_t)k;
		if (z->unpacked > o->lim.unpacked_max)
			out_fail(o, ERR_LIMIT,
				"it unpacks to more than %zu bytes (a zip bomb?); split the "
				"document",
				o->lim.unpacked_max);
		else if (total > RATIO_FROM && (st.valid & ZIP_STAT_COMP_SIZE) &&
			 total / RATIO_MAX > st.comp_size)
			out_fail(o, ERR_LIMIT,
				"its part %s unpacks to more than %d times its size (a zip bomb)",
				name, RATIO_MAX);
		else if (!fn(ctx, chunk, (size_t)k, false))
			break;
	}
	if (k < 0)
		out_fail(o, ERR_CORRUPT, "its part %s is damaged (%s); get a fresh copy", name,
			zip_file_strerror(f));
	if (k == 0 && !o->err)
		fn(ctx, NULL, 0, true);
	free(chunk);
	zip_fclose(f);
	return !o->err;
}

static bool to_buf(void *ctx, const char *p, size_t n, bool last)
{
	struct buf *b = ctx;
	buf_add(b, p, n);
	return !b->err;
}

bool zip_doc_read(struct zip_doc *z, const char *name, struct buf *out)
{
	if (!stream(z, name, to_buf, out))
		return false;
	if (out->err)
		out_fail(z->o, out->err, "out of memory");
	return !z->o->err;
}

/* --- XML -----------------------------------------------------------------------------------------
 */

/* Part of a namespace's name, and the prefix that everybody uses for it. First match. */
static const struct {
	const char *part, *prefix;
} namespaces[] = {
	{"wordprocessingml", "w"},
	{"drawingml/2006/main", "a"},
	{"drawingml/main", "a"},
	{"presentationml", "p"},
	{"powerpoint/2018", "p"},
	{"spreadsheetml", "s"},
	{"officeDocument/2006/math", "m"},
	{"officeDocument/math", "m"},
	{"officeDocument/2006/relationships", "r"},
	{"officeDocument/relationships", "r"},
	{"package/2006/relationships", "rel"},
	{"markup-compatibility", "mc"},
	{"core-properties", "cp"},
	{"purl.org/dc/elements", "dc"},
	{"purl.org/dc/terms", "dcterms"},
	{"xmlns:office:", "office"},
	{"xmlns:text:", "text"},
	{"xmlns:table:", "table"},
	{"xmlns:drawing:", "draw"},
	{"xmlns:presentation:", "presentation"},
	{"xmlns:style:", "style"},
	{"xmlns:meta:", "meta"},
	{"idpf.org/2007/opf", "opf"},
	{"xmlns:container", "ocf"},
	{"2001/04/xmlenc", "enc"},
};

struct xml {
	struct zip_doc *z;
	const char *part;
	const struct xml_calls *calls;
	void *ctx;
	XML_Parser p;
	unsigned depth;
	char name[80];
	/* namespaces met, newest last: names are compared before they are searched */
	struct {
		char uri[128];
		size_t n;
		const char *prefix;
	} seen[12];
	size_t n_seen;
};

static const char *short_name(struct xml *x, const char *full)
{
	const char *bar = strrchr(full, '|');
	if (!bar)
		return full;
	size_t n = (size_t)(bar - full);
	const char *prefix = NULL;
	bool known = false;
	for (size_t i = 0; i < x->n_seen && !known; i++) {
		known = x->seen[i].n == n && !memcmp(x->seen[i].uri, full, n);
		if (known)
			prefix = x->seen[i].prefix;
	}
	if (!known) {
		struct str uri = str_mk(full, n);
		for (size_t i = 0; i < ARRAY_LEN(namespaces) && !prefix; i++)
			if (str_find(uri, str_c(namespaces[i].part)) != STR_NONE)
				prefix = namespaces[i].prefix;
		if (n < sizeof x->seen[0].uri && x->n_seen < ARRAY_LEN(x->seen)) {
			memcpy(x->seen[x->n_seen].uri, full, n);
			x->seen[x->n_seen].n = n;
			x->seen[x->n_seen++].prefix = prefix;
		}
	}
	if (!prefix)
		return bar + 1;
	snprintf(x->name, sizeof x->name, "%s:%s", prefix, bar + 1);
	return x->name;
}

static void on_start(void *ctx, const char *name, const char **attributes)
{
	struct xml *x = ctx;
	struct out *o = x->z->o;
	if (++x->depth > o->lim.depth_max * 4)
		out_fail(o, ERR_LIMIT, "its part %s nests XML deeper than %u levels", x->part,
			o->lim.depth_max * 4);
	if (out_stop(o))
		XML_StopParser(x->p, XML_FALSE);
	else
		x->calls->start(x->ctx, short_name(x, name), attributes);
}

static void on_end(void *ctx, const char *name)
{
	struct xml *x = ctx;
	x->depth--;
	if (!x->z->o->err)
		x->calls->end(x->ctx, short_name(x, name));
}

static void on_text(void *ctx, const char *p, int n)
{
	struct xml *x = ctx;
	if (!x->z->o->err)
		x->calls->text(x->ctx, str_mk(p, (size_t)n));
}

static void on_doctype(
	void *ctx, const char *name, const char *sysid, const char *pubid, int internal)
{
	struct xml *x = ctx;
	if (internal) {
		out_fail(x->z->o, ERR_FORBIDDEN,
			"its part %s has a DTD of its own, which may hold an XML bomb; refused",
			x->part);
		XML_StopParser(x->p, XML_FALSE);
	}
}

static bool to_xml(void *ctx, const char *p, size_t n, bool last)
{
	struct xml *x = ctx;
	if (XML_Parse(x->p, p ? p : "", (int)n, last) == XML_STATUS_ERROR && !x->z->o->err)
		out_fail(x->z->o, ERR_CORRUPT, "its part %s is damaged: line %lu: %s", x->part,
			(unsigned long)XML_GetCurrentLineNumber(x->p),
			XML_ErrorString(XML_GetErrorCode(x->p)));
	return !x->z->o->err;
}

bool zip_doc_xml(struct zip_doc *z, const char *name, const struct xml_calls *calls, void *ctx)
{
	struct xml x = {.z = z,
		.part = name,
		.calls = calls,
		.ctx = ctx,
		.p = XML_ParserCreateNS(NULL, '|')};
	if (!x.p) {
		out_fail(z->o, ERR_NOMEM, "out of memory");
		return false;
	}
	XML_SetUserData(x.p, &x);
	XML_SetElementHandler(x.p, on_start, on_end);
	if (calls->text)
		XML_SetCharacterDataHandler(x.p, on_text);
	XML_SetStartDoctypeDeclHandler(x.p, on_doctype);
	bool ok = stream(z, name, to_xml, &x);
	XML_ParserFree(x.p);
	return ok;
}

const char *xml_attribute(const char **attributes, const char *local)
{
	for (; *attributes; attributes += 2) {
		const char *bar = strrchr(attributes[0], '|');
		if (!strcmp(bar ? bar + 1 : attributes[0], local))
			return attributes[1];
	}
	return NULL;
}

/* --- relations and metadata
 * ----------------------------------------------------------------------- */

struct str path_resolve(struct arena *a, struct str part, struct str href)
{
	struct buf b = {0};
	size_t slash = str_rchr(part, '/');
	if (!str_starts(href, S("/")) && slash != STR_NONE)
		buf_add(&b, part.p, slash + 1);
	struct str one;
	while (str_next(&href, '/', &one)) {
		if (!one.n || str_eq_c(one, "."))
			continue;
		if (str_eq_c(one, "..")) {
			struct str up = str_sub(buf_str(&b), 0, b.n ? b.n - 1 : 0);
			size_t s = str_rchr(up, '/');
			b.n = s == STR_NONE ? 0 : s + 1;
			continue;
		}
		if (b.n && b.p[b.n - 1] != '/')
			buf_putc(&b, '/');
		buf_adds(&b, one);
	}
	struct str kept = arena_str(a, buf_str(&b));
	buf_free(&b);
	return kept.p ? kept : (struct str){"", 0};
}

struct relations_read {
	struct relations *r;
	const char *part;
};

static void relation_start(void *ctx, const char *name, const char **attributes)
{
	struct relations_read *rr = ctx;
	struct relations *r = rr->r;
	if (strcmp(name, "rel:Relationship") != 0)
		return;
	const char *id = xml_attribute(attributes, "Id"), *type = xml_attribute(attributes, "Type"),
		   *target = xml_attribute(attributes, "Target"),
		   *mode = xml_attribute(attributes, "TargetMode");
	if (!id || !type || !target || (mode && !strcmp(mode, "External")))
		return;
	if (!heap_room(r->v, r->n, r->cap))
		return;
	const char *last = strrchr(type, '/');
	r->v[r->n++] = (struct relation){.id = arena_str(r->a, str_c(id)),
		.type = arena_str(r->a, str_c(last ? last + 1 : type)),
		.target = path_resolve(r->a, str_c(rr->part), str_c(target))};
}

static void nothing(void *ctx, const char *name)
{
	(void)ctx, (void)name;
}

void relations_read(struct zip_doc *z, const char *part, struct relations *r)
{
	static const struct xml_calls calls = {relation_start, nothing, NULL};
	*r = (struct relations){.a = arena_new(16 << 20)};
	struct str p = str_c(part);
	size_t slash = str_rchr(p, '/');
	size_t dir = slash == STR_NONE ? 0 : slash + 1;
	struct str path = arena_fmt(r->a, "%.*s_rels/%s.rels", (int)dir, part, part + dir);
	struct relations_read rr = {r, part};
	if (path.p)
		zip_doc_xml(z, path.p, &calls, &rr);
	zip_doc_forgive(z, path.p ? path.p : part);
}

void relations_free(struct relations *r)
{
	arena_free(r->a);
	free(r->v);
	*r = (struct relations){0};
}

const struct relation *relation_by_id(const struct relations *r, const char *id)
{
	for (size_t i = 0; id && i < r->n; i++)
		if (str_eq_c(r->v[i].id, id))
			return &r->v[i];
	return NULL;
}

const struct relation *relation_by_type(const struct relations *r, const char *type)
{
	for (size_t i = 0; i < r->n; i++)
		if (str_eq_c(r->v[i].type, type))
			return &r->v[i];
	return NULL;
}

void zip_doc_forgive(struct zip_doc *z, const char *part)
{
	if (z->o->err != ERR_CORRUPT)
		return;
	z->o->err = OK;
	out_warn(z->o, "its part %s is damaged and was left out", part);
}

struct core {
	struct out *o;
	struct buf text;
	bool creator_seen;
};

static void core_start(void *ctx, const char *name, const char **attributes)
{
	buf_clear(&((struct core *)ctx)->text);
}

static void core_end(void *ctx, const char *name)
{
	struct core *c = ctx;
	struct str s = str_trim(buf_str(&c->text));
	if (!strcmp(name, "dc:title"))
		out_title(c->o, s);
	else if (!strcmp(name, "dc:creator") || !strcmp(name, "meta:initial-creator")) {
		if (!c->creator_seen || !str_eq(s, c->o->d->author))
			out_author(c->o, s);
		c->creator_seen = true;
	} else if (!strcmp(name, "dcterms:created") || !strcmp(name, "meta:creation-date") ||
		   !strcmp(name, "dc:date"))
		out_created(c->o, s);
	buf_clear(&c->text);
}

static void core_text(void *ctx, struct str s)
{
	struct core *c = ctx;
	if (c->text.n < 4096)
		buf_adds(&c->text, s);
}

void dublin_core(struct zip_doc *z, const char *name)
{
	static const struct xml_calls calls = {core_start, core_end, core_text};
	struct core c = {.o = z->o};
	zip_doc_xml(z, name, &calls, &c);
	zip_doc_forgive(z, name);
	buf_free(&c.text);
}

/* --- which kind
 * ------------------------------------------------------------------------------------ */

static uint32_t le(const char *p, int n)
{
	uint32_t v = 0;
	while (n--)
		v = v << 8 | (unsigned char)p[n];
	return v;
}

static void see(struct str name, unsigned *seen)
{
	static const char *const signs[] = {"word/", "ppt/", "xl/", "META-INF/container.xml"};
	for (size_t i = 0; i < ARRAY_LEN(signs); i++)
		if (str_starts(name, str_c(signs[i])))
			*seen |= 1u << i;
}

enum doc_type zip_sniff(struct str b)
{
	/* EPUB and ODF begin with a stored member that names the type */
	if (b.n > 60 && le(b.p + 26, 2) == 8 && !memcmp(b.p + 30, "mimetype", 8)) {
		struct str type = str_sub(b, 38 + le(b.p + 28, 2), 38 + le(b.p + 28, 2) + 64);
		if (str_starts(type, S("application/epub+zip")))
			return DOC_EPUB;
		if (str_starts(type, S("application/vnd.oasis.opendocument.")))
			return DOC_ODF;
	}
	unsigned seen = 0;
	/* the directory at the end; where that is cut off, the members' own headers */
	size_t end = STR_NONE;
	for (size_t i = b.n >= 22 ? b.n - 22 : 0, stop = b.n > 66000 ? b.n - 66000 : 0; b.n >= 22;
		i--) {
		if (!memcmp(b.p + i, "PK\5\6", 4)) {
			end = i;
			break;
		}
		if (i == stop)
			break;
	}
	if (end != STR_NONE) {
		size_t at = le(b.p + end + 16, 4);
		for (unsigned k = 0; k < 20000 && at + 46 <= b.n && !memcmp(b.p + at, "PK\1\2", 4);
			k++) {
			uint32_t n = le(b.p + at + 28, 2);
			see(str_sub(b, at + 46, at + 46 + n), &seen);
			at += 46 + n + le(b.p + at + 30, 2) + le(b.p + at + 32, 2);
		}
	}
	struct str rest = b;
	for (unsigned k = 0; k < 1000 && !seen; k++) {
		size_t at = str_find(rest, S("PK\3\4"));
		if (at == STR_NONE || rest.n - at < 30)
			break;
		see(str_sub(rest, at + 30, at + 30 + le(rest.p + at + 26, 2)), &seen);
		rest = str_sub(rest, at + 4, rest.n);
	}
	return seen & 1   ? DOC_DOCX
	       : seen & 2 ? DOC_PPTX
	       : seen & 4 ? DOC_XLSX
	       : seen & 8 ? DOC_EPUB
			  : DOC_UNKNOWN;
}
