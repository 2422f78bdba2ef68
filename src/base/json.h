/* JSON. Reading is yyjson's immutable API (include this, use yyjson_* freely) behind one guarded
 * parse; writing is a small streaming writer over a buf, which cannot produce unbalanced text
 * unnoticed.
 *
 *	yyjson_doc *doc;
 *	enum err e = json_parse(body, &doc, et);           // strict, UTF-8, depth-limited
 *	struct str model = json_str(yyjson_doc_get_root(doc), "model");
 *	yyjson_doc_free(doc);
 *
 *	struct jw w = {.out = &buf};
 *	jw_obj(&w); jw_key(&w, "ok"); jw_bool(&w, true); jw_end(&w);
 *	assert(jw_done(&w));
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H
#include <yyjson.h>
#include "base/str.h"

enum { JSON_DEPTH_MAX = 128 };

/* Strict RFC 8259; says line and column of an error. ERR_INVALID, ERR_NOMEM. */
enum err json_parse(struct str text, yyjson_doc **out, struct errtext *et) MUST_CHECK;

/* Members of an object with a default for "absent, null or of another type". */
struct str json_str(yyjson_val *obj, const char *key); /* {NULL, 0} when absent */
int64_t json_i64(yyjson_val *obj, const char *key, int64_t otherwise);
double json_f64(yyjson_val *obj, const char *key, double otherwise);
bool json_bool(yyjson_val *obj, const char *key, bool otherwise);

/* The same, but a member of another type or outside [min, max] is ERR_INVALID naming the key;
 * absent or null leaves *out as it is. */
enum err json_want_str(yyjson_val *obj, const char *key, struct str *out, struct errtext *et);
enum err json_want_i64(yyjson_val *obj, const char *key, int64_t min, int64_t max, int64_t *out,
	struct errtext *et);
enum err json_want_f64(
	yyjson_val *obj, const char *key, double min, double max, double *out, struct errtext *et);
enum err json_want_bool(yyjson_val *obj, const char *key, bool *out, struct errtext *et);

static inline struct str json_val_str(yyjson_val *v)
{
	return yyjson_is_str(v) ? str_mk(yyjson_get_str(v), yyjson_get_len(v)) : (struct str){0};
}

struct jw {
	struct buf *out;
	unsigned char kind[JSON_DEPTH_MAX]; /* '{' or '[' */
	unsigned depth;
	bool need_comma, after_key, bad;
};

void jw_obj(struct jw *w);
void jw_arr(struct jw *w);
void jw_end(struct jw *w); /* of the innermost object or array */
void jw_key(struct jw *w, const char *key);
void jw_key_str(struct jw *w, struct str key);
void jw_str(struct jw *w, struct str s); /* malformed UTF-8 becomes U+FFFD */
void jw_c(struct jw *w, const char *s);  /* NULL is null */
void jw_fmt(struct jw *w, const char *fmt, ...) PRINTF_LIKE(2, 3); /* as a string */
void jw_i64(struct jw *w, int64_t v);
void jw_u64(struct jw *w, uint64_t v);
void jw_f64(struct jw *w, double v); /* shortest that reads back; NaN and infinities are null */
void jw_f32(struct jw *w, float v);
void jw_bool(struct jw *w, bool v);
void jw_null(struct jw *w);
void jw_raw(struct jw *w, struct str json); /* one value that is JSON already */
void jw_val(struct jw *w, yyjson_val *v);
bool jw_done(const struct jw *w); /* balanced, nothing misused, buffer without error */

/* Shorthands for members. */
void jw_kstr(struct jw *w, const char *key, struct str s);
void jw_kc(struct jw *w, const char *key, const char *s);
void jw_ki64(struct jw *w, const char *key, int64_t v);
void jw_kf64(struct jw *w, const char *key, double v);
void jw_kbool(struct jw *w, const char *key, bool v);

void json_escape(struct buf *out, struct str s); /* with the quotes */

#endif
