#include "module/module_int.h"

#include "base/clock.h"
#include "base/log.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct str setting_text(const struct croft *c, const char *name)
{
	const struct value *v = settings_get(&c->settings, name);
	return v ? v->text : (struct str){0};
}

int64_t setting_int(const struct croft *c, const char *name)
{
	const struct value *v = settings_get(&c->settings, name);
	return v ? v->number : 0;
}

void croft_set_secrets(struct croft *c, secret_fn fn)
{
	c->secrets = fn;
}

enum err setting_secret(struct croft *c, const char *name, struct buf *out, struct errtext *et)
{
	struct str text = setting_text(c, name);
	if (!str_starts(text, S("secret:"))) {
		buf_adds(out, text);
		return out->err ? err_set(et, out->err, "no memory for %s", name) : OK;
	}
	if (!c->secrets)
		return err_set(et, ERR_NOT_READY, "%s: the secrets cannot be read yet", name);
	enum err e = c->secrets(c, S("default"), str_sub(text, 7, text.n), out, et);
	return e ? err_wrap(et, e, "%s", name) : OK;
}

void croft_each_setting(
	const struct croft *c, void (*fn)(void *ctx, const struct setting_shown *s), void *ctx)
{
	for (size_t i = 0; i < c->settings.n; i++) {
		const struct value *v = &c->settings.values[i];
		struct setting_shown shown = {v->row, v->text, v->origin};
		if (v->row->type == SET_SECRET && v->text.n)
			shown.value = S("***");
		fn(ctx, &shown);
	}
}

static char *default_home(void)
{
	struct buf b = {0};
	const char *home = getenv("CROFT_HOME"), *user = getenv("HOME"),
		   *data = getenv("XDG_DATA_HOME");
	if (home && *home)
		buf_addc(&b, home);
	else if (data && *data)
		buf_addf(&b, "%s/croft", data);
	else
		buf_addf(&b, "%s/.local/share/croft", user && *user ? user : ".");
	return buf_take(&b);
}

/* The configuration file: named (then it must exist), else ./croft.yaml, else home/croft.yaml. */
static enum err read_config(
	struct croft *c, const struct croft_options *o, struct buf *text, struct errtext *et)
{
	const char *named = o->config ? o->config : getenv("CROFT_CONFIG");
	struct buf path = {0};
	if (named && *named) {
		buf_addc(&path, named);
	} else {
		buf_addc(&path, "croft.yaml");
		if (!os_exists(buf_c(&path))) {
			buf_clear(&path);
			buf_addf(&path, "%s/croft.yaml", c->home);
			if (!os_exists(buf_c(&path))) {
				buf_free(&path);
				return OK;
			}
		}
	}
	enum err e = os_read_file(buf_c(&path), 1 << 20, text, et);
	if (e) {
		buf_free(&path);
		return err_wrap(et, e, "configuration");
	}
	c->config = buf_take(&path);
	return c->config ? OK : err_set(et, ERR_NOMEM, "no memory");
}

/* blobs.url, with the credentials of blobs.key and blobs.secret where it has none. */
static void blobs_url(const struct croft *c, struct buf *out)
{
	struct str url = setting_text(c, "blobs.url"), key = setting_text(c, "blobs.key");
	if (!url.n) {
		buf_addf(out, "file:%s/blobs", c->home);
		return;
	}
	struct str rest = str_sub(url, 5, url.n);
	size_t end = MIN(str_chr(rest, '/'), str_chr(rest, '?'));
	if (!key.n || !str_starts(url, S("s3://")) ||
		str_rchr(str_sub(rest, 0, end), '@') != STR_NONE) {
		buf_adds(out, url);
		return;
	}
	buf_addc(out, "s3://");
	url_encode(out, key);
	buf_putc(out, ':');
	url_encode(out, setting_text(c, "blobs.secret"));
	buf_putc(out, '@');
	buf_adds(out, rest);
}

void croft_db_url(const struct croft *c, struct buf *out)
{
	struct str set = setting_text(c, "db.url");
	set.n ? buf_adds(out, set) : buf_addf(out, "sqlite:%s/croft.db", c->home);
}

void croft_blobs_url(const struct croft *c, struct buf *out)
{
	struct str set = setting_text(c, "blobs.url");
	set.n ? buf_adds(out, set) : buf_addf(out, "file:%s/blobs", c->home);
}

/* The data directory's name, in its lock file, that whoever holds the lock may write: made at the
 * first opening. One that is lost, or cannot be kept, makes a restart wait for leases. */
static struct id home_id(int lock_fd)
{
	char hex[ID_HEX + 1];
	struct id id;
	if (pread(lock_fd, hex, ID_HEX, 0) == ID_HEX && id_parse(str_mk(hex, ID_HEX), &id))
		return id;
	id = id_new();
	id_hex(id, hex);
	if (pwrite(lock_fd, hex, ID_HEX, 0) != ID_HEX)
		log_warn("the data directory's lock file cannot be written");
	return id;
}

static enum err open_stores(struct croft *c, struct errtext *et)
{
	char path[PATH_MAX];
	enum err e = os_mkdirs(c->home, et);
	if (e)
		return err_wrap(et, e, "data directory");
	snprintf(path, sizeof path, "%s/lock", c->home);
	e = os_lock(path, &c->lock_fd, et);
	if (e == ERR_BUSY)
		return err_set(
			et, e, "the data directory %s is in use by another croft process", c->home);
	if (e)
		return e;
	struct buf url = {0};
	croft_db_url(c, &url);
	e = db_open(buf_c(&url), &c->db, et);
	if (!e)
		db_set_home(c->db, home_id(c->lock_fd));
	buf_clear(&url);
	blobs_url(c, &url);
	if (!e)
		e = blobs_open(buf_c(&url), &c->blobs, et);
	buf_free(&url);
	if (!e)
		e = db_migrate_own(c->db, et);
	for (size_t i = 0; i < c->n_modules && !e; i++) {
		const struct module *m = c->modules[i];
		if (m->n_migrations)
			e = db_migrate(c->db, m->name, m->migrations, m->n_migrations, et);
	}
	for (; c->n_inited < c->n_modules && !e; c->n_inited++) {
		const struct module *m = c->modules[c->n_inited];
		if (m->init)
			e = m->init(c, et);
		if (e)
			break;
	}
	return e;
}

enum err croft_open(const struct croft_options *o, struct croft **out, struct errtext *et)
{
	struct croft *c = calloc(1, sizeof *c);
	if (!c)
		return err_set(et, ERR_NOMEM, "no memory");
	c->lock_fd = -1;
	c->opened_ns = clock_mono_ns();
	c->modules = o->modules;
	c->n_modules = o->n_modules;
	c->route_metrics = route_metrics_new(o->modules, o->n_modules);
	c->states = calloc(o->n_modules + 1, sizeof *c->states);
	c->home = o->home ? str_dup(str_c(o->home)) : default_home();
	struct buf yaml = {0};
	enum err e =
		c->states && c->home && c->route_metrics ? OK : err_set(et, ERR_NOMEM, "no memory");
	if (!e)
		e = read_config(c, o, &yaml, et);
	if (!e)
		e = settings_load(&c->settings, o->modules, o->n_modules, buf_str(&yaml), c->config,
			getenv, o->flags, o->n_flags, et);
	buf_free(&yaml);
	enum log_level level;
	if (!e && !log_level_parse(setting_text(c, "log.level"), &level))
		e = err_set(et, ERR_INVALID,
			"log.level: \"%.*s\" is none of error, warn, info, debug",
			STR_FMT(setting_text(c, "log.level")));
	if (!e) {
		log_set_level(level);
		log_set_json(setting_bool(c, "log.json"));
	}
	if (!e && !o->settings_only)
		e = open_stores(c, et);
	if (e) {
		croft_close(c);
		return e;
	}
	*out = c;
	return OK;
}

void croft_close(struct croft *c)
{
	if (!c)
		return;
	cancel_set(&c->stopping);
	while (c->n_inited > 0) {
		const struct module *m = c->modules[--c->n_inited];
		if (m->stop)
			m->stop(c);
	}
	if (c->blobs)
		blobs_close(c->blobs);
	if (c->db)
		db_close(c->db);
	os_unlock(c->lock_fd);
	settings_release(&c->settings);
	route_metrics_free(c->route_metrics);
	free(c->states);
	free(c->home);
	free(c->config);
	free(c);
}

const char *croft_home(const struct croft *c)
{
	return c->home;
}

const char *croft_config_file(const struct croft *c)
{
	return c->config;
}

struct db *croft_db(const struct croft *c)
{
	return c->db;
}

struct blobs *croft_blobs(const struct croft *c)
{
	return c->blobs;
}

const struct cancel *croft_stopping(const struct croft *c)
{
	return &c->stopping;
}

static size_t index_of(const struct croft *c, const struct module *m)
{
	for (size_t i = 0; i < c->n_modules; i++)
		if (c->modules[i] == m)
			return i;
	return c->n_modules; /* the spare slot: a module that is not in the list has no state */
}

void croft_set_state(struct croft *c, const struct module *m, void *state)
{
	c->states[index_of(c, m)] = state;
}

void *croft_state(const struct croft *c, const struct module *m)
{
	return c->states[index_of(c, m)];
}

const struct module *const *croft_modules(const struct croft *c, size_t *n)
{
	*n = c->n_modules;
	return c->modules;
}
