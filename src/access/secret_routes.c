/* GET /api/v1/secrets, PUT and DELETE /api/v1/secrets/{name}, POST /api/v1/secrets/rotate. No
 * answer has a value in it; of long ones the last four characters are shown. */
#include "access/secret_int.h"
#include "base/clock.h"

#include <openssl/crypto.h>

enum { HINT_FROM = 16, HINT = 4 }; /* of shorter values nothing is shown */

static void add_hint(struct jw *w, const struct masters *m, const struct secret_row *r)
{
	struct buf value = {0};
	bool shown = m->n && !secret_open(m, r, &value, NULL) && value.n >= HINT_FROM;
	for (size_t i = 0; i < HINT && shown; i++)
		shown = value.p[value.n - 1 - i] > ' ' && value.p[value.n - 1 - i] < 0x7f;
	if (shown)
		jw_kstr(w, "hint", str_sub(buf_str(&value), value.n - HINT, value.n));
	else
		jw_kc(w, "hint", NULL);
	secret_wipe(&value);
}

static void write_secret(struct jw *w, const struct masters *m, const struct secret_row *r)
{
	char text[CLOCK_TEXT];
	jw_obj(w);
	jw_kstr(w, "name", r->name);
	add_hint(w, m, r);
	jw_kstr(w, "key_id", r->key_id);
	jw_kbool(w, "readable", masters_find(m, r->key_id) != NULL);
	clock_rfc3339(r->created_ms, text);
	jw_kc(w, "created", text);
	clock_rfc3339(r->updated_ms, text);
	jw_kc(w, "updated", text);
	jw_kstr(w, "updated_by", r->updated_by);
	jw_end(w);
}

static void get_secrets(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct masters m = {0};
	struct secret_row *rows = NULL;
	struct tx *tx;
	size_t n = 0;
	enum err e = db_begin(croft_db(c), TX_READ, &tx, &et);
	if (!e) {
		e = secret_list_rows(tx, project_of(rq), rq->arena, &rows, &n, &et);
		db_rollback(tx);
	}
	if (e) {
		http_reply_error(rs, e, &et);
		return;
	}
	/* without the master key the list is shown all the same, and says so */
	if (masters_load(c, false, &m, NULL))
		m.n = 0;
	struct buf out = {0};
	struct jw w = {.out = &out};
	jw_obj(&w);
	jw_key(&w, "secrets");
	jw_arr(&w);
	for (size_t i = 0; i < n; i++)
		write_secret(&w, &m, &rows[i]);
	jw_end(&w);
	jw_end(&w);
	masters_wipe(&m);
	http_reply_json(rs, 200, &w);
	buf_free(&out);
}

static void done(struct http_response *rs, enum err e, const struct errtext *et)
{
	if (e)
		http_reply_error(rs, e, et);
	else
		http_reply(rs, 204, NULL, S(""));
}

static void put_secret(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct str value = {0};
	yyjson_doc *doc = NULL;
	rq->wipe = true;
	enum err e = json_parse(rq->body, &doc, &et);
	if (e) /* the parser's words may quote the text */
		err_set(&et, e, "the body must be {\"value\": \"...\"}");
	else
		e = json_want_str(yyjson_doc_get_root(doc), "value", &value, &et);
	if (!e)
		e = secret_set(c, rq->who, project_of(rq), http_param(rq, "name"), value, &et);
	if (value.p)
		OPENSSL_cleanse((char *)value.p, value.n);
	yyjson_doc_free(doc);
	done(rs, e, &et);
}

static void delete_secret(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	done(rs, secret_remove(c, rq->who, project_of(rq), http_param(rq, "name"), &et), &et);
}

static void post_rotate(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct rotated r;
	enum err e =
		may_house(rq, PERM_SECRET_MANAGE)
			? secret_rotate(c, rq->who, &r, &et)
			: err_set(&et, ERR_FORBIDDEN,
				  "the master key is of all projects: this needs the permission "
				  "secret.manage for the whole instance");
	if (e) {
		http_reply_error(rs, e, &et);
		return;
	}
	struct buf out = {0};
	struct jw w = {.out = &out};
	jw_obj(&w);
	jw_kc(&w, "key_id", r.key_id);
	jw_ki64(&w, "secrets", (int64_t)r.secrets);
	jw_ki64(&w, "rewrapped", (int64_t)r.rewrapped);
	jw_ki64(&w, "old_keys", (int64_t)r.keys_left);
	jw_end(&w);
	http_reply_json(rs, 200, &w);
	buf_free(&out);
}

const struct route secret_routes[N_SECRET_ROUTES] = {
	{HTTP_GET, "/api/v1/secrets", get_secrets, PERM_SECRET_MANAGE,
		"The project's secrets, without their values", NULL, NULL, "{ secrets: Secret[] }",
		0},
	{HTTP_PUT, "/api/v1/secrets/{name}", put_secret, PERM_SECRET_MANAGE,
		"Store a secret, or give it another value", NULL, "{ value }", NULL, 512 << 10},
	{HTTP_DELETE, "/api/v1/secrets/{name}", delete_secret, PERM_SECRET_MANAGE,
		"Remove a secret", NULL, NULL, NULL, 0},
	{HTTP_POST, "/api/v1/secrets/rotate", post_rotate, PERM_SECRET_MANAGE,
		"Seal every secret's key with the newest master key", NULL, NULL,
		"{ key_id, secrets: int, rewrapped: int, old_keys: int }", 0},
};

const struct shape secret_shapes[N_SECRET_SHAPES] = {
	{"Secret", "{ name, hint: string | null, key_id, readable: boolean, created, updated, "
		   "updated_by }"},
};
