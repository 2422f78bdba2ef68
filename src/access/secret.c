/* Secrets: setting, reading, rotating the master key; the module. */
#include "access/secret_int.h"
#include "base/clock.h"

#include <openssl/crypto.h>
#include <stdlib.h>

struct secrets {
	pthread_mutex_t mu; /* the making and renewing of the own key file */
};

/* ---- the envelope ---- */

/* What a sealed thing is about: a row that is moved to another name or project does not open. */
static void about(struct buf *out, const char *what, const struct secret_row *r)
{
	buf_addf(out, "croft %s 1", what);
	buf_putc(out, 0);
	buf_adds(out, r->project);
	buf_putc(out, 0);
	buf_adds(out, r->name);
}

/* Wraps the value's key with the current master key. */
static enum err wrap(const struct masters *m, const uint8_t key[KEY_BYTES], struct secret_row *r,
	struct buf *wrapped, struct errtext *et)
{
	struct buf a = {0};
	r->key_id = str_c(m->k[0].id);
	about(&a, "key of a secret", r);
	buf_putc(&a, 0);
	buf_adds(&a, r->key_id);
	enum err e = a.err ? err_set(et, a.err, "no memory for a secret")
			   : seal(m->k[0].key, buf_str(&a), str_mk(key, KEY_BYTES), wrapped, et);
	r->wrapped = buf_str(wrapped);
	buf_free(&a);
	return e;
}

static enum err unwrap(const struct masters *m, const struct secret_row *r, uint8_t key[KEY_BYTES],
	struct errtext *et)
{
	const struct master *master = masters_find(m, r->key_id);
	if (!master)
		return err_set(et, ERR_NOT_READY,
			"the secret %.*s is sealed with the master key %.*s, which is not in %s "
			"(there: %s): give that key too",
			STR_FMT(r->name), STR_FMT(r->key_id), m->source, m->k[0].id);
	struct buf a = {0}, out = {0};
	about(&a, "key of a secret", r);
	buf_putc(&a, 0);
	buf_adds(&a, r->key_id);
	enum err e = a.err ? err_set(et, a.err, "no memory for a secret")
			   : unseal(master->key, buf_str(&a), r->wrapped, &out, et);
	if (!e && out.n != KEY_BYTES)
		e = err_set(et, ERR_CORRUPT, "its key has the wrong length");
	if (!e)
		memcpy(key, out.p, KEY_BYTES);
	secret_wipe(&out);
	buf_free(&a);
	return e ? err_wrap(et, e, "secret %.*s", STR_FMT(r->name)) : OK;
}

enum err secret_open(
	const struct masters *m, const struct secret_row *r, struct buf *out, struct errtext *et)
{
	uint8_t key[KEY_BYTES];
	struct buf a = {0};
	enum err e = unwrap(m, r, key, et);
	if (e)
		return e;
	about(&a, "secret", r);
	e = a.err ? err_set(et, a.err, "no memory for a secret")
		  : unseal(key, buf_str(&a), r->sealed, out, et);
	OPENSSL_cleanse(key, sizeof key);
	buf_free(&a);
	return e ? err_wrap(et, e, "secret %.*s", STR_FMT(r->name)) : OK;
}

/* A fresh key for each value. */
static enum err close_up(const struct masters *m, struct str value, struct secret_row *r,
	struct buf *wrapped, struct buf *sealed, struct errtext *et)
{
	uint8_t key[KEY_BYTES];
	struct buf a = {0};
	random_bytes(key, sizeof key);
	about(&a, "secret", r);
	enum err e = a.err ? err_set(et, a.err, "no memory for a secret")
			   : seal(key, buf_str(&a), value, sealed, et);
	r->sealed = buf_str(sealed);
	if (!e)
		e = wrap(m, key, r, wrapped, et);
	OPENSSL_cleanse(key, sizeof key);
	buf_free(&a);
	return e;
}

/* ---- master keys, one maker at a time ---- */

static enum err any_secret(struct croft *c, bool *any, struct errtext *et)
{
	struct tx *tx;
	struct row *r;
	enum err e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	e = db_query(tx, &r, et, "SELECT name FROM secret LIMIT 1");
	if (!e) {
		*any = row_next(r, &e, et);
		row_free(r);
	}
	db_rollback(tx);
	return e;
}

/* The own key is made only while there is nothing that an older one would be needed for. */
static enum err load_masters(struct croft *c, bool may_make, struct masters *m, struct errtext *et)
{
	struct secrets *s = croft_state(c, &secret_module);
	bool any = true;
	enum err e = may_make ? any_secret(c, &any, et) : OK;
	if (e)
		return e;
	pthread_mutex_lock(&s->mu);
	e = masters_load(c, may_make && !any, m, et);
	pthread_mutex_unlock(&s->mu);
	return e;
}

/* ---- set, get, remove ---- */

static enum err check_name(struct str name, struct errtext *et)
{
	bool good = name.n && name.n <= SECRET_NAME_MAX;
	for (size_t i = 0; i < name.n && good; i++) {
		char c = name.p[i];
		good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		       c == '_' || (i && (c == '.' || c == '-'));
	}
	return good ? OK
		    : err_set(et, ERR_INVALID,
			      "a secret's name has 1 to %d letters, digits, '_', '.' and '-'",
			      SECRET_NAME_MAX);
}

static enum err store(struct croft *c, const struct principal *who, const struct secret_row *r,
	struct errtext *et)
{
	struct tx *tx;
	enum err e = db_begin(croft_db(c), TX_WRITE, &tx, et);
	if (e)
		return e;
	e = secret_put_row(tx, r, et);
	if (!e)
		e = audit_add(tx, who, "secret.set", r->name, (struct str){0}, et);
	if (!e)
		return db_commit(tx, et);
	db_rollback(tx);
	return e;
}

enum err secret_set(struct croft *c, const struct principal *who, struct str project,
	struct str name, struct str value, struct errtext *et)
{
	struct masters m;
	int64_t now = clock_unix_ms();
	struct secret_row r = {.project = project,
		.name = name,
		.created_ms = now,
		.updated_ms = now,
		.updated_by = who && who->name.p ? who->name : S("croft")};
	struct buf wrapped = {0}, sealed = {0};
	enum err e = check_name(name, et);
	if (!e && !value.n)
		e = err_set(
			et, ERR_INVALID, "the value of the secret %.*s is empty", STR_FMT(name));
	if (!e && value.n > SECRET_MAX)
		e = err_set(et, ERR_TOO_LARGE, "a secret has at most %d bytes", SECRET_MAX);
	if (!e)
		e = load_masters(c, true, &m, et);
	if (e)
		return e;
	e = close_up(&m, value, &r, &wrapped, &sealed, et);
	if (!e)
		e = store(c, who, &r, et);
	masters_wipe(&m);
	buf_free(&wrapped);
	buf_free(&sealed);
	return e;
}

enum err secret_get(
	struct croft *c, struct str project, struct str name, struct buf *out, struct errtext *et)
{
	struct masters m;
	struct secret_row r;
	struct tx *tx;
	struct arena *a = arena_new(1 << 20);
	enum err e = a ? db_begin(croft_db(c), TX_READ, &tx, et)
		       : err_set(et, ERR_NOMEM, "no memory for a secret");
	if (!e) {
		e = secret_get_row(tx, project, name, a, &r, et);
		db_rollback(tx);
	}
	if (!e)
		e = load_masters(c, false, &m, et);
	if (!e) {
		e = secret_open(&m, &r, out, et);
		masters_wipe(&m);
	}
	arena_free(a);
	return e;
}

enum err secret_remove(struct croft *c, const struct principal *who, struct str project,
	struct str name, struct errtext *et)
{
	struct tx *tx;
	enum err e = db_begin(croft_db(c), TX_WRITE, &tx, et);
	if (e)
		return e;
	e = secret_delete_row(tx, project, name, et);
	if (!e)
		e = audit_add(tx, who, "secret.remove", name, (struct str){0}, et);
	if (!e)
		return db_commit(tx, et);
	db_rollback(tx);
	return e;
}

/* ---- rotation ---- */

static enum err rewrap_one(
	struct tx *tx, const struct masters *m, struct secret_row *r, struct errtext *et)
{
	uint8_t key[KEY_BYTES];
	struct buf wrapped = {0};
	enum err e = unwrap(m, r, key, et);
	if (!e)
		e = wrap(m, key, r, &wrapped, et);
	if (!e)
		e = secret_rewrap_row(tx, r, et);
	OPENSSL_cleanse(key, sizeof key);
	buf_free(&wrapped);
	return e;
}

static enum err rewrap_all(struct tx *tx, const struct principal *who, const struct masters *m,
	struct arena *a, struct rotated *out, struct errtext *et)
{
	struct secret_row *rows = NULL;
	size_t n = 0;
	enum err e = secret_list_rows(tx, (struct str){0}, a, &rows, &n, et);
	out->secrets = n;
	for (size_t i = 0; i < n && !e; i++)
		if (!str_eq_c(rows[i].key_id, m->k[0].id)) {
			e = rewrap_one(tx, m, &rows[i], et);
			out->rewrapped++;
		}
	struct buf detail = {0};
	buf_addf(&detail, "{\"secrets\":%zu,\"rewrapped\":%zu}", n, out->rewrapped);
	if (!e)
		e = audit_add(tx, who, "secret.rotate", str_c(m->k[0].id), buf_str(&detail), et);
	buf_free(&detail);
	return e;
}

/* At each point where this may be interrupted, every key that a row needs is in the file: the new
 * one is added, then used, then the old ones are removed. */
static enum err rotate(struct croft *c, const struct principal *who, struct masters *m,
	struct arena *a, struct rotated *out, struct errtext *et)
{
	struct tx *tx;
	enum err e = masters_load(c, true, m, et);
	if (!e && m->own)
		e = masters_renew(c, m, et);
	if (!e)
		e = db_begin(croft_db(c), TX_WRITE, &tx, et);
	if (e)
		return e;
	e = rewrap_all(tx, who, m, a, out, et);
	e = db_finish(tx, e, et);
	if (e)
		return e;
	memcpy(out->key_id, m->k[0].id, sizeof out->key_id);
	out->keys_left = m->own ? 0 : m->n - 1;
	return m->own ? masters_retire(c, m, et) : OK;
}

enum err secret_rotate(
	struct croft *c, const struct principal *who, struct rotated *out, struct errtext *et)
{
	struct secrets *s = croft_state(c, &secret_module);
	struct masters m = {0};
	struct rotated r = {0};
	bool any = false;
	struct arena *a = arena_new(512 << 20);
	enum err e = a ? any_secret(c, &any, et) : err_set(et, ERR_NOMEM, "no memory");
	pthread_mutex_lock(&s->mu);
	if (!e && any) /* a lost key is not replaced by a fresh one */
		e = masters_load(c, false, &m, et);
	if (!e)
		e = rotate(c, who, &m, a, &r, et);
	pthread_mutex_unlock(&s->mu);
	masters_wipe(&m);
	arena_free(a);
	if (!e)
		*out = r;
	return e;
}

/* ---- the module ---- */

static enum err secret_init(struct croft *c, struct errtext *et)
{
	if (str_starts(setting_text(c, "api.key"), S("secret:")))
		return err_set(et, ERR_INVALID,
			"api.key cannot be kept among the secrets, which it protects: give it in "
			"the "
			"environment (CROFT_API_KEY)");
	struct secrets *s = calloc(1, sizeof *s);
	if (!s)
		return err_set(et, ERR_NOMEM, "no memory");
	pthread_mutex_init(&s->mu, NULL);
	croft_set_state(c, &secret_module, s);
	croft_set_secrets(c, secret_get);
	return OK;
}

static void secret_stop(struct croft *c)
{
	struct secrets *s = croft_state(c, &secret_module);
	if (s)
		pthread_mutex_destroy(&s->mu);
	free(s);
}

static const struct setting settings[] = {
	{"secret.key_file", SET_TEXT, "",
		"File with the master key of the secrets; else secret.key in the data directory", 0,
		0},
	{"secret.key_env", SET_TEXT, "", "Or: name of an environment variable that holds it", 0, 0},
	{"secret.key_command", SET_TEXT, "", "Or: shell command that prints it", 0, 0},
};

const struct module secret_module = {
	.name = "secret",
	.migrations = secret_migrations,
	.n_migrations = N_SECRET_MIGRATIONS,
	.routes = secret_routes,
	.n_routes = N_SECRET_ROUTES,
	.shapes = secret_shapes,
	.n_shapes = N_SECRET_SHAPES,
	.commands = secret_commands,
	.n_commands = N_SECRET_COMMANDS,
	TABLE(settings),
	.init = secret_init,
	.stop = secret_stop,
};
