/* Inside text: documents that are ZIP files of XML. Members are read by name and streamed, so that
 * what an archive unfolds to is bounded by the limits however it is made. XML may declare no
 * entities and nest no deeper than the limits say. */
#ifndef TEXT_ZIP_INT_H
#define TEXT_ZIP_INT_H
#include "text/doc_int.h"

struct zip_doc;

/* NULL: o->err says why (damaged, encrypted, too many members). Borrows bytes until the close. */
struct zip_doc *zip_doc_open(struct out *o, struct str bytes);
void zip_doc_close(struct zip_doc *z);
bool zip_doc_has(struct zip_doc *z, const char *name);
/* The whole member; false when there is none (no failure) or it cannot be read (o->err). */
bool zip_doc_read(struct zip_doc *z, const char *name, struct buf *out);

/* What one pass over a member's XML calls. Names are "prefix:local" with the usual prefix of the
 * namespace (w, a, p, s, m, r, mc...; ODF: office, text, table, draw...), whatever the file's own
 * prefixes are; "local" alone for other namespaces. */
struct xml_calls {
	void (*start)(void *ctx, const char *name, const char **attributes);
	void (*end)(void *ctx, const char *name);
	void (*text)(void *ctx, struct str s); /* NULL: not wanted */
};
/* false as for zip_doc_read. */
bool zip_doc_xml(struct zip_doc *z, const char *name, const struct xml_calls *calls, void *ctx);
/* The value of the attribute with this local name, or NULL. */
const char *xml_attribute(const char **attributes, const char *local);

/* The relations of a part (OOXML): id, type (its last word) and path inside the archive. */
struct relation {
	struct str id, type, target;
};
struct relations {
	struct arena *a;
	struct relation *v;
	size_t n, cap;
};
void relations_read(struct zip_doc *z, const char *part, struct relations *r);
void relations_free(struct relations *r);
const struct relation *relation_by_id(const struct relations *r, const char *id);
const struct relation *relation_by_type(const struct relations *r, const char *type);
/* folder-of(part) + href, ".." resolved; a leading '/' starts at the root. */
struct str path_resolve(struct arena *a, struct str part, struct str href);
/* After a part that a document can do without: damage to it is a warning, not the end. */
void zip_doc_forgive(struct zip_doc *z, const char *part);
/* docProps/core.xml or any XML with dc:title, dc:creator, created. */
void dublin_core(struct zip_doc *z, const char *name);

#endif
