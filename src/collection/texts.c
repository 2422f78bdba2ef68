/* Where the text of an item is: in its payload, which is where Croft's own routes put it, or else
 * in a table of texts, as long as an item has it. Who moves to another model needs it again. */
#include "collection/collection_int.h"
#include "base/hash.h"

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for the text of an item");
}

typedef bool (*text_fn)(struct str text, const void *want);

static bool is_text(struct str text, const void *want)
{
	return str_eq(text, *(const struct str *)want);
}

static bool has_digest(struct str text, const void *want)
{
	uint8_t digest[SHA256_BYTES];
	sha256_of(text, digest);
	return str_eq(str_mk(digest, sizeof digest), *(const struct str *)want);
}

/* The first string right in the payload that fits, valid as long as the document. */
static struct str find_in(yyjson_doc *doc, text_fn fits, struct str want)
{
	yyjson_val *key, *value;
	size_t i, n;
	yyjson_obj_foreach(yyjson_doc_get_root(doc), i, n, key, value)
	{
		struct str s = json_val_str(value);
		if (s.n && fits(s, &want))
			return s;
	}
	return S("");
}

/* In `a`, or with a NULL whether it is there; .p NULL: memory is out. */
static struct str in_payload(struct str payload, text_fn fits, struct str want, struct arena *a)
{
	yyjson_doc *doc = NULL;
	if (json_parse(payload, &doc, NULL))
		return S("");
	struct str found = find_in(doc, fits, want);
	found = !found.n ? S("") : a ? arena_str(a, found) : S("yes");
	yyjson_doc_free(doc);
	return found;
}

struct str text_said(struct str payload, struct str sha256, struct arena *a)
{
	return in_payload(payload, has_digest, sha256, a);
}

struct str text_in_field(struct str payload, struct str field, struct arena *a)
{
	yyjson_doc *doc = NULL;
	if (!field.n || json_parse(payload, &doc, NULL))
		return S("");
	struct str found = S("");
	yyjson_val *v = yyjson_obj_getn(yyjson_doc_get_root(doc), field.p, field.n);
	if (yyjson_is_str(v))
		found = arena_str(a, json_val_str(v));
	yyjson_doc_free(doc);
	return found;
}

enum err text_of_item(struct tx *tx, const struct item_row *r, struct str field, struct arena *a,
	struct str *out, struct errtext *et)
{
	struct str found = S("");
	enum err e = OK;
	if (r->text.n) {
		found = in_payload(r->payload, has_digest, r->text, a);
		if (!found.n && found.p)
			e = store_text(tx, r->text, a, &found, et);
	}
	if (!e && !found.n && found.p)
		found = text_in_field(r->payload, field, a);
	if (!e && !found.p)
		e = no_memory(et);
	if (!e)
		*out = found;
	return e;
}

enum err text_besides(struct tx *tx, const struct item_row *r, struct arena *a, struct str *out,
	struct errtext *et)
{
	if (!r->text.n || in_payload(r->payload, has_digest, r->text, NULL).n) {
		*out = S("");
		return OK;
	}
	return store_text(tx, r->text, a, out, et);
}

enum err text_keep(
	struct tx *tx, struct str text, struct str sha256, struct str payload, struct errtext *et)
{
	if (!text.n || in_payload(payload, is_text, text, NULL).n)
		return OK;
	return store_text_put(tx, sha256, text, et);
}

enum err text_keep_patched(
	struct tx *tx, struct str former, struct str payload, struct str sha256, struct errtext *et)
{
	if (!sha256.n || in_payload(payload, has_digest, sha256, NULL).n)
		return OK;
	struct arena *a = arena_new(0);
	struct str text = a ? in_payload(former, has_digest, sha256, a) : (struct str){0};
	enum err e = !text.p ? no_memory(et) : text.n ? store_text_put(tx, sha256, text, et) : OK;
	arena_free(a);
	return e;
}
