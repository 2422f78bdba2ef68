#include "module/module_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

/* Adding a setting: one row here or in a module's table. */
const struct setting house_settings[] = {
	{"listen", SET_TEXT, "127.0.0.1:7117", "Address and port to serve on", 0, 0},
	{"api.key", SET_SECRET, "", "Root key: its holder may do everything in every project", 0,
		0},
	{"db.url", SET_SECRET, "",
		"Metadata store, postgres://... or sqlite:...; empty: sqlite in the data directory",
		0, 0},
	{"blobs.url", SET_SECRET, "",
		"Blob store: file:/path or s3://host:port/bucket/prefix?region=...; empty: files "
		"in the data directory",
		0, 0},
	{"blobs.key", SET_SECRET, "",
		"S3: access key id, unless blobs.url or AWS_ACCESS_KEY_ID has it", 0, 0},
	{"blobs.secret", SET_SECRET, "", "S3: secret access key", 0, 0},
	{"http.workers", SET_INT, "128",
		"Requests handled at the same time; those that stream or wait for a model not "
		"counted",
		1, 4096},
	{"http.waiting_max", SET_INT, "4096",
		"Requests that stream or wait for a model at the same time; more take the place of "
		"others",
		0, 100000},
	{"http.queue_max", SET_INT, "64", "Requests waiting for a worker before 503", 1, 10000},
	{"http.connections_max", SET_INT, "10000", "Open connections", 8, 100000},
	{"http.header_max", SET_BYTES, "32k", "Bytes of request line and headers", 1024, 1 << 20},
	{"http.body_max", SET_BYTES, "8m", "Bytes of a request body, unless the route allows more",
		1024, INT64_MAX},
	{"http.upload_max", SET_BYTES, "512m", "Bytes of an uploaded document", 1024, INT64_MAX},
	{"http.read_timeout", SET_DURATION, "30s", "For a client to send its request", 100,
		INT64_MAX},
	{"http.write_timeout", SET_DURATION, "60s", "For a client to take what was sent", 100,
		INT64_MAX},
	{"http.allowed_hosts", SET_TEXT, "", "Host names served besides localhost; *: any", 0, 0},
	{"http.stop_grace", SET_DURATION, "10s", "For open requests at the end of the server", 0,
		INT64_MAX},
	{"tls.cert", SET_TEXT, "",
		"PEM file: serve over TLS with this certificate, then its intermediates", 0, 0},
	{"tls.key", SET_TEXT, "", "PEM file of its key; empty: in the certificate's file", 0, 0},
	{"tls.client_ca", SET_TEXT, "",
		"PEM file: clients must show a certificate of these authorities", 0, 0},
	{"tls.redirect_listen", SET_TEXT, "",
		"Second address, without TLS, that only redirects to the first", 0, 0},
	{"url", SET_TEXT, "", "Server that commands talk to; empty: this data directory's", 0, 0},
	{"key", SET_SECRET, "", "Key that commands send to that server; empty: api.key", 0, 0},
	{"tls.ca", SET_TEXT, "", "PEM file of authorities that commands trust for an https url", 0,
		0},
	{"tls.client_cert", SET_TEXT, "", "PEM file: certificate that commands show to a server", 0,
		0},
	{"tls.client_key", SET_TEXT, "", "PEM file of its key; empty: in the same file", 0, 0},
	{"log.level", SET_TEXT, "info", "error, warn, info or debug", 0, 0},
	{"log.json", SET_BOOL, "false", "Log lines as JSON objects", 0, 0},
};
const size_t n_house_settings = ARRAY_LEN(house_settings);

const struct value *settings_get(const struct settings *s, const char *name)
{
	for (size_t i = 0; i < s->n; i++)
		if (strcmp(s->values[i].row->name, name) == 0)
			return &s->values[i];
	return NULL;
}

void settings_env_name(const char *name, struct buf *out)
{
	buf_addc(out, "CROFT_");
	for (; *name; name++) {
		char c = *name;
		buf_putc(out, c == '.' ? '_' : c >= 'a' && c <= 'z' ? (char)(c - 32) : c);
	}
}

static bool parse_bool(struct str t, int64_t *out)
{
	static const char *const words[] = {"false", "no", "off", "0", "true", "yes", "on", "1"};
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (str_eq_nocase(t, str_c(words[i]))) {
			*out = i >= 4;
			return true;
		}
	return false;
}

static const char *const type_wants[] = {
	[SET_TEXT] = "text",
	[SET_INT] = "a whole number",
	[SET_BYTES] = "a size such as 64k, 10MB or 1GiB",
	[SET_DURATION] = "a duration such as 500ms, 30s or 2h",
	[SET_BOOL] = "true or false",
	[SET_SECRET] = "text",
};

static enum err set_value(struct settings *s, struct value *v, struct str text, const char *origin,
	struct errtext *et)
{
	const struct setting *row = v->row;
	int64_t number = 0;
	uint64_t u = 0;
	bool good = true;
	switch (row->type) {
	case SET_TEXT:
	case SET_SECRET:
		good = !memchr(text.p ? text.p : "", 0, text.n);
		break;
	case SET_INT:
		good = str_i64(text, &number);
		break;
	case SET_BYTES:
		good = str_bytes(text, &u) && u <= INT64_MAX;
		number = (int64_t)u;
		break;
	case SET_DURATION:
		good = str_duration_ms(text, &u) && u <= INT64_MAX;
		number = (int64_t)u;
		break;
	case SET_BOOL:
		good = parse_bool(text, &number);
		break;
	}
	if (!good)
		return err_set(et, ERR_INVALID, "%s: %s must be %s, not \"%.*s\"", origin,
			row->name, type_wants[row->type],
			row->type == SET_SECRET ? 3 : (int)MIN(text.n, 80),
			row->type == SET_SECRET ? "***" : text.p);
	if ((row->min || row->max) && (number < row->min || number > row->max))
		return err_set(et, ERR_INVALID, "%s: %s is %lld, it must be from %lld to %lld",
			origin, row->name, (long long)number, (long long)row->min,
			(long long)row->max);
	v->text = arena_str(s->arena, text);
	v->origin = arena_c(s->arena, str_c(origin));
	v->number = number;
	return v->text.p && v->origin ? OK : err_set(et, ERR_NOMEM, "no memory for the settings");
}

/* The known name that differs least, for "did you mean". */
static unsigned distance(const char *a, const char *b)
{
	size_t n = strlen(a), m = strlen(b);
	unsigned row[64];
	if (n > 63 || m > 62)
		return 99;
	for (unsigned j = 0; j <= m; j++)
		row[j] = j;
	for (unsigned i = 1; i <= n; i++) {
		unsigned diagonal = row[0];
		row[0] = i;
		for (unsigned j = 1; j <= m; j++) {
			unsigned up = row[j];
			unsigned best =
				MIN(MIN(row[j], row[j - 1]) + 1, diagonal + (a[i - 1] != b[j - 1]));
			diagonal = up;
			row[j] = best;
		}
	}
	return row[m];
}

static enum err unknown(
	const struct settings *s, const char *origin, const char *name, struct errtext *et)
{
	const char *nearest = NULL;
	unsigned best = 4;
	for (size_t i = 0; i < s->n; i++) {
		unsigned d = distance(name, s->values[i].row->name);
		if (d < best)
			best = d, nearest = s->values[i].row->name;
	}
	return err_set(et, ERR_INVALID,
		"%s: there is no setting '%.100s'%s%s%s; `croft config` lists them", origin, name,
		nearest ? " (did you mean " : "", nearest ? nearest : "", nearest ? "?)" : "");
}

static struct value *find_value(struct settings *s, const char *name)
{
	return (struct value *)settings_get(s, name);
}

/* ---- croft.yaml: a mapping of mappings of scalars ---- */

enum { YAML_DEPTH = 8 };

struct yaml_state {
	struct settings *s;
	const char *path;
	struct buf key[YAML_DEPTH]; /* dotted prefix at each depth */
	unsigned depth;
	bool have_key;
};

static enum err yaml_scalar(struct yaml_state *y, const yaml_event_t *ev, struct errtext *et)
{
	struct str text = str_mk(ev->data.scalar.value, ev->data.scalar.length);
	char origin[600];
	snprintf(origin, sizeof origin, "%s:%zu", y->path, ev->start_mark.line + 1);
	if (!y->depth)
		return err_set(
			et, ERR_INVALID, "%s: the file must be a mapping (name: value)", origin);
	struct buf *key = &y->key[y->depth];
	if (!y->have_key) {
		buf_clear(key);
		if (y->depth > 1)
			buf_addf(key, "%s.", buf_c(&y->key[y->depth - 1]));
		buf_adds(key, text);
		y->have_key = true;
		return key->err ? err_set(et, key->err, "%s: the name is too long", origin) : OK;
	}
	y->have_key = false;
	struct value *v = find_value(y->s, buf_c(key));
	return v ? set_value(y->s, v, text, origin, et) : unknown(y->s, origin, buf_c(key), et);
}

static enum err yaml_step(struct yaml_state *y, const yaml_event_t *ev, struct errtext *et)
{
	size_t line = ev->start_mark.line + 1;
	switch (ev->type) {
	case YAML_SCALAR_EVENT:
		return yaml_scalar(y, ev, et);
	case YAML_MAPPING_START_EVENT:
		if (y->depth && !y->have_key)
			return err_set(et, ERR_INVALID, "%s:%zu: a name cannot be a mapping",
				y->path, line);
		if (++y->depth == YAML_DEPTH)
			return err_set(et, ERR_INVALID, "%s:%zu: nested too deep", y->path, line);
		y->have_key = false;
		return OK;
	case YAML_MAPPING_END_EVENT:
		y->depth--;
		y->have_key = false;
		return OK;
	case YAML_SEQUENCE_START_EVENT:
		return err_set(et, ERR_INVALID, "%s:%zu: a list; settings are single values",
			y->path, line);
	case YAML_ALIAS_EVENT:
		return err_set(
			et, ERR_INVALID, "%s:%zu: YAML aliases are not allowed", y->path, line);
	default:
		return OK;
	}
}

static enum err load_yaml(struct settings *s, struct str yaml, const char *path, struct errtext *et)
{
	yaml_parser_t parser;
	if (!yaml_parser_initialize(&parser))
		return err_set(et, ERR_NOMEM, "%s: no memory", path);
	yaml_parser_set_input_string(&parser, (const unsigned char *)yaml.p, yaml.n);
	struct yaml_state y = {.s = s, .path = path};
	for (unsigned i = 0; i < YAML_DEPTH; i++)
		y.key[i].max = 200;
	enum err e = OK;
	bool done = false;
	while (!e && !done) {
		yaml_event_t ev;
		if (!yaml_parser_parse(&parser, &ev)) {
			e = err_set(et, ERR_INVALID, "%s:%zu: not YAML: %s", path,
				parser.problem_mark.line + 1,
				parser.problem ? parser.problem : "?");
			break;
		}
		e = yaml_step(&y, &ev, et);
		done = ev.type == YAML_STREAM_END_EVENT;
		yaml_event_delete(&ev);
	}
	for (unsigned i = 0; i < YAML_DEPTH; i++)
		buf_free(&y.key[i]);
	yaml_parser_delete(&parser);
	return e;
}

static enum err add_rows(
	struct settings *s, const struct setting *rows, size_t n, struct errtext *et)
{
	for (size_t i = 0; i < n; i++) {
		struct value *v = &s->values[s->n];
		if (settings_get(s, rows[i].name))
			return err_set(et, ERR_INTERNAL, "setting %s has two rows", rows[i].name);
		v->row = &rows[i];
		s->n++;
		enum err e = set_value(s, v, str_c(rows[i].value), "default", et);
		if (e)
			return e;
	}
	return OK;
}

static enum err load_env(struct settings *s, char *(*getenv_fn)(const char *), struct errtext *et)
{
	struct buf name = {0};
	enum err e = OK;
	for (size_t i = 0; i < s->n && !e; i++) {
		buf_clear(&name);
		settings_env_name(s->values[i].row->name, &name);
		const char *text = name.err ? NULL : getenv_fn(buf_c(&name));
		if (text)
			e = set_value(s, &s->values[i], str_c(text), buf_c(&name), et);
	}
	buf_free(&name);
	return e;
}

enum err settings_load(struct settings *s, const struct module *const *modules, size_t n_modules,
	struct str yaml, const char *yaml_path, char *(*getenv_fn)(const char *),
	const struct http_pair *flags, size_t n_flags, struct errtext *et)
{
	size_t total = n_house_settings;
	for (size_t i = 0; i < n_modules; i++)
		total += modules[i]->n_settings;
	*s = (struct settings){.arena = arena_new(4 << 20)};
	s->values = s->arena ? arena_array_of(s->arena, total, struct value) : NULL;
	if (!s->values)
		return err_set(et, ERR_NOMEM, "no memory for the settings");
	enum err e = add_rows(s, house_settings, n_house_settings, et);
	for (size_t i = 0; i < n_modules && !e; i++)
		e = add_rows(s, modules[i]->settings, modules[i]->n_settings, et);
	if (!e && yaml.n)
		e = load_yaml(s, yaml, yaml_path, et);
	if (!e)
		e = load_env(s, getenv_fn, et);
	for (size_t i = 0; i < n_flags && !e; i++) {
		const char *name = arena_c(s->arena, flags[i].name);
		struct value *v = name ? find_value(s, name) : NULL;
		struct str origin = arena_fmt(s->arena, "--%s", name ? name : "?");
		for (size_t k = 0; k < origin.n; k++)
			if (origin.p[k] == '.' || origin.p[k] == '_')
				((char *)origin.p)[k] = '-';
		e = v ? set_value(s, v, flags[i].value, origin.p, et)
		      : unknown(s, origin.p ? origin.p : "--", name ? name : "?", et);
	}
	return e;
}

void settings_release(struct settings *s)
{
	arena_free(s->arena);
	*s = (struct settings){0};
}
