/* EPUB: container.xml names the package, the package's spine the order; each item of it is a page
 * and goes through the HTML parser. */
#include "text/zip_int.h"
#include "base/room.h"

#include <stdlib.h>

struct item {
	struct str id, href;
};

struct epub {
	struct out *o;
	struct arena *a;
	struct str package;
	struct item *items;
	size_t n_items, cap_items;
	struct str *spine;
	size_t n_spine, cap_spine;
	bool locked;
};

static void nothing(void *ctx, const char *name)
{
	(void)ctx, (void)name;
}

static void container_start(void *ctx, const char *name, const char **at)
{
	struct epub *e = ctx;
	const char *path = xml_attribute(at, "full-path");
	if (!strcmp(name, "ocf:rootfile") && path && !e->package.n)
		e->package = arena_str(e->a, str_c(path));
}

/* "a%20b" to "a b", in place. */
static struct str percent(struct str s, char *p)
{
	size_t n = 0;
	for (size_t i = 0; i < s.n; i++) {
		unsigned v = 0;
		bool hex = s.p[i] == '%' && i + 2 < s.n;
		for (size_t k = 1; hex && k <= 2; k++) {
			char c = s.p[i + k];
			unsigned d = c >= '0' && c <= '9' ? (unsigned)(c - '0')
							  : (unsigned)((c | 32) - 'a' + 10);
			hex = d < 16;
			v = v * 16 + d;
		}
		p[n++] = hex ? (char)v : s.p[i];
		i += hex ? 2 : 0;
	}
	return str_mk(p, n);
}

static void package_start(void *ctx, const char *name, const char **at)
{
	struct epub *e = ctx;
	if (!strcmp(name, "opf:item")) {
		const char *id = xml_attribute(at, "id"), *href = xml_attribute(at, "href");
		if (!id || !href)
			return;
		if (!heap_room(e->items, e->n_items, e->cap_items))
			return;
		char *plain = arena_c(e->a, str_c(href));
		if (!plain)
			return;
		e->items[e->n_items++] = (struct item){arena_str(e->a, str_c(id)),
			path_resolve(e->a, e->package, percent(str_c(href), plain))};
	} else if (!strcmp(name, "opf:itemref")) {
		const char *id = xml_attribute(at, "idref");
		if (!id)
			return;
		if (!heap_room(e->spine, e->n_spine, e->cap_spine))
			return;
		e->spine[e->n_spine++] = arena_str(e->a, str_c(id));
	}
}

/* Fonts may be scrambled; anything else that is encrypted cannot be read. */
static void encryption_start(void *ctx, const char *name, const char **at)
{
	struct epub *e = ctx;
	const char *algorithm = xml_attribute(at, "Algorithm");
	if (!strcmp(name, "enc:EncryptionMethod") && algorithm &&
		!strstr(algorithm, "idpf.org/2008/embedding") &&
		!strstr(algorithm, "ns.adobe.com/pdf/enc"))
		e->locked = true;
}

void parse_epub(struct out *o, struct str bytes)
{
	static const struct xml_calls container = {container_start, nothing, NULL};
	static const struct xml_calls package = {package_start, nothing, NULL};
	static const struct xml_calls encryption = {encryption_start, nothing, NULL};
	struct zip_doc *z = zip_doc_open(o, bytes);
	struct epub e = {.o = o};
	if (!z)
		return;
	e.a = arena_new(16 << 20);
	zip_doc_xml(z, "META-INF/encryption.xml", &encryption, &e);
	if (e.locked)
		out_fail(o, ERR_FORBIDDEN,
			"the book is encrypted (DRM); only its seller's reader opens it");
	if (!o->err && (!zip_doc_xml(z, "META-INF/container.xml", &container, &e) || !e.package.n))
		out_fail(o, ERR_CORRUPT, "the EPUB file names no package; get a fresh copy");
	if (!o->err)
		dublin_core(z, e.package.p);
	if (!o->err && !zip_doc_xml(z, e.package.p, &package, &e))
		out_fail(o, ERR_CORRUPT, "the EPUB file has no part %s; get a fresh copy",
			e.package.p);
	size_t missing = 0;
	for (size_t i = 0; i < e.n_spine && !out_stop(o); i++) {
		const struct item *item = NULL;
		for (size_t k = 0; k < e.n_items && !item && e.spine[i].p; k++)
			if (e.items[k].id.p && str_eq(e.items[k].id, e.spine[i]))
				item = &e.items[k];
		struct buf raw = {0}, utf8 = {0};
		out_page(o, (uint32_t)i + 1);
		if (item && zip_doc_read(z, item->href.p, &raw)) {
			if (!text_decode(o, buf_str(&raw), NULL, &utf8))
				html_into(o, buf_str(&utf8), false);
		} else {
			missing++;
		}
		buf_free(&raw);
		buf_free(&utf8);
	}
	if (missing)
		out_warn(o, "%zu parts that the book names are missing", missing);
	free(e.items);
	free(e.spine);
	arena_free(e.a);
	zip_doc_close(z);
}
