/* /api/v1/endpoints: the providers of this instance. Reading is for all who may see models; they
 * are nobody's project, so changing them needs model.manage for the whole instance, and naming a
 * secret whose value they will be sent needs secret.manage as well. */
#include "endpoint/remote_int.h"

#include "access/access.h"
#include "access/secret.h"
#include "base/clock.h"
#include "store/notify.h"

/* ---- rows ---- */

static bool name_ok(struct str s)
{
	if (!s.n || s.n > REMOTE_NAME_MAX || s.p[0] == '.' || s.p[0] == '-')
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			  (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-' || c == ':';
		if (!ok)
			return false;
	}
	return true;
}

/* What connecting would refuse anyway (client_request.no_link_local), said at once. */
static bool names_metadata(struct str host)
{
	static const char *const begins[] = {
		"169.254.", "100.100.100.200", "[fe8", "[fe9", "[fea", "[feb", "[fd00:ec2::254]"};
	for (size_t i = 0; i < ARRAY_LEN(begins); i++)
		if (str_find_nocase(host, str_c(begins[i])) == 0)
			return true;
	return str_find_nocase(host, S("metadata.google.internal")) == 0;
}

static enum err check_url(struct croft *c, struct str url, struct errtext *et)
{
	bool tls = str_starts(url, S("https://"));
	if (!tls && !str_starts(url, S("http://")))
		return err_set(et, ERR_INVALID, "url: it must begin with https:// or http://");
	if (url.n > REMOTE_URL_MAX)
		return err_set(et, ERR_TOO_LARGE, "url: it has more than %d bytes", REMOTE_URL_MAX);
	for (size_t i = 0; i < url.n; i++)
		if ((unsigned char)url.p[i] <= ' ' || url.p[i] == 0x7f || url.p[i] == '\\' ||
			url.p[i] == '?' || url.p[i] == '#')
			return err_set(et, ERR_INVALID,
				"url: it must have no query, fragment or white space");
	struct str host = str_sub(url, tls ? 8 : 7, url.n);
	host = str_sub(host, 0, MIN(str_chr(host, '/'), host.n));
	if (str_chr(host, '@') != STR_NONE)
		return err_set(et, ERR_INVALID,
			"url: no user or password in it: keep the key as a secret and name that");
	if (!host.n || host.p[0] == ':')
		return err_set(et, ERR_INVALID, "url: it names no host");
	if (names_metadata(host) && !setting_bool(c, "remote.allow_link_local"))
		return err_set(et, ERR_FORBIDDEN,
			"url: %.*s is link-local or a cloud's metadata service, which hands out "
			"credentials; the setting remote.allow_link_local allows it",
			STR_FMT(str_sub(host, 0, 100)));
	return OK;
}

static enum err check_free(struct croft *c, struct str name, struct errtext *et)
{
	struct arena *a = arena_new(0);
	struct installed_model *all = NULL;
	size_t n = 0;
	enum err e = a ? installed_list(c, a, &all, &n, et) : err_set(et, ERR_NOMEM, "no memory");
	for (size_t i = 0; i < n && !e; i++)
		if (str_eq_nocase(all[i].name, name))
			e = err_set(et, ERR_CONFLICT,
				"an installed model has the name %.*s: choose another one",
				STR_FMT(name));
	arena_free(a);
	return e;
}

enum err remote_check_row(struct croft *c, const struct remote_row *r, struct errtext *et)
{
	if (!name_ok(r->name) || str_eq_c(r->name, "default"))
		return err_set(et, ERR_INVALID,
			"name: 1 to %d letters, digits, '.', '_', ':' and '-', and not 'default'",
			REMOTE_NAME_MAX);
	enum err e = check_url(c, r->url, et);
	if (e)
		return e;
	if (!r->model.n || r->model.n > 300)
		return err_set(et, ERR_INVALID,
			"model: the model's name at the provider, at most 300 bytes");
	if (r->timeout_ms < REMOTE_TIMEOUT_MS_MIN || r->timeout_ms > REMOTE_TIMEOUT_MS_MAX)
		return err_set(et, ERR_INVALID, "timeout_ms: from %d to %d", REMOTE_TIMEOUT_MS_MIN,
			REMOTE_TIMEOUT_MS_MAX);
	if (r->retries < 0 || r->retries > REMOTE_RETRIES_MAX)
		return err_set(et, ERR_INVALID, "retries: from 0 to %d", REMOTE_RETRIES_MAX);
	for (size_t i = 0; i < r->n_fallbacks; i++)
		if (!name_ok(r->fallback[i]) || str_eq(r->fallback[i], r->name))
			return err_set(et, ERR_INVALID,
				"fallbacks: names of other endpoints or of installed models");
	return check_free(c, r->name, et);
}

static enum err read_fallbacks(yyjson_val *o, struct remote_row *r, struct errtext *et)
{
	yyjson_val *list = yyjson_obj_get(o, "fallbacks"), *v;
	size_t i, n;
	if (!list || yyjson_is_null(list))
		return OK;
	if (!yyjson_is_arr(list) || yyjson_arr_size(list) > REMOTE_FALLBACKS_MAX)
		return err_set(et, ERR_INVALID, "fallbacks: a list of at most %d names",
			REMOTE_FALLBACKS_MAX);
	yyjson_arr_foreach(list, i, n, v)
	{
		if (!yyjson_is_str(v))
			return err_set(et, ERR_INVALID, "fallbacks: a list of names");
		r->fallback[r->n_fallbacks++] = json_val_str(v);
	}
	return OK;
}

static enum err read_row(yyjson_val *o, struct remote_row *r, struct errtext *et)
{
	struct str kind = S("openai");
	if (!yyjson_is_obj(o))
		return err_set(et, ERR_INVALID, "the body must be an object");
	enum err e = json_want_str(o, "url", &r->url, et);
	e = e ? e : json_want_str(o, "model", &r->model, et);
	e = e ? e : json_want_str(o, "kind", &kind, et);
	e = e ? e : json_want_str(o, "key_secret", &r->key_secret, et);
	e = e ? e
	      : json_want_i64(o, "timeout_ms", REMOTE_TIMEOUT_MS_MIN, REMOTE_TIMEOUT_MS_MAX,
			&r->timeout_ms, et);
	e = e ? e : json_want_i64(o, "retries", 0, REMOTE_RETRIES_MAX, &r->retries, et);
	e = e ? e : read_fallbacks(o, r, et);
	if (!e && !str_eq_c(kind, "openai") && !str_eq_c(kind, "anthropic"))
		e = err_set(et, ERR_INVALID, "kind: openai or anthropic");
	r->kind = str_eq_c(kind, "anthropic") ? REMOTE_ANTHROPIC : REMOTE_OPENAI;
	return e;
}

static void write_row(struct jw *w, const struct remote *q)
{
	struct remote *p = (struct remote *)q;
	const struct remote_row *r = &p->row;
	char text[CLOCK_TEXT];
	unsigned failures;
	enum breaker_state b = breaker_look(&p->breaker, clock_mono_ns(), &failures);
	uint64_t n = atomic_load(&p->n_attempts), us = atomic_load(&p->sum_us);
	jw_obj(w);
	jw_kstr(w, "name", r->name);
	jw_kstr(w, "kind", remote_kind_word(p));
	jw_kstr(w, "url", r->url);
	jw_kstr(w, "model", r->model);
	if (r->key_secret.n)
		jw_kstr(w, "key_secret", r->key_secret);
	else
		jw_kc(w, "key_secret", NULL);
	jw_key(w, "fallbacks");
	jw_arr(w);
	for (size_t i = 0; i < r->n_fallbacks; i++)
		jw_str(w, r->fallback[i]);
	jw_end(w);
	jw_ki64(w, "timeout_ms", r->timeout_ms);
	jw_ki64(w, "retries", r->retries);
	clock_rfc3339(r->created_ms, text);
	jw_kc(w, "created", text);
	clock_rfc3339(r->updated_ms, text);
	jw_kc(w, "updated", text);
	jw_kstr(w, "created_by", r->created_by);
	jw_key(w, "state");
	jw_obj(w);
	jw_kc(w, "circuit", breaker_word(b));
	jw_ki64(w, "failures_in_a_row", failures);
	jw_ki64(w, "attempts", (int64_t)n);
	jw_ki64(w, "failed", (int64_t)atomic_load(&p->n_failed));
	jw_key(w, "mean_ms");
	if (n)
		jw_f64(w, (double)us / 1000 / (double)n);
	else
		jw_null(w);
	jw_end(w);
	jw_end(w);
}

static void reply_remote(struct http_response *rs, int status, const struct remote *p)
{
	struct buf out = {0};
	struct jw w = {.out = &out};
	write_row(&w, p);
	http_reply_json(rs, status, &w);
	buf_free(&out);
}

static struct remote *find(struct croft *c, struct http_request *rq, struct errtext *et)
{
	struct str name = http_param(rq, "name");
	struct remote *p = remote_find(c, name);
	if (!p)
		err_set(et, ERR_NOT_FOUND, "there is no endpoint %.*s: see `croft endpoint ls`",
			STR_FMT(str_sub(name, 0, 200)));
	return p;
}

/* ---- reading ---- */

static bool add_one(void *ctx, const struct remote *p)
{
	write_row(ctx, p);
	return true;
}

static void get_endpoints(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct buf out = {0};
	struct jw w = {.out = &out};
	jw_obj(&w);
	jw_key(&w, "endpoints");
	jw_arr(&w);
	remote_each(c, add_one, &w);
	jw_end(&w);
	jw_end(&w);
	http_reply_json(rs, 200, &w);
	buf_free(&out);
}

static void get_endpoint(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct remote *p = find(c, rq, &et);
	if (p)
		reply_remote(rs, 200, p);
	else
		http_reply_error(rs, ERR_NOT_FOUND, &et);
	remote_put(p);
}

/* ---- changing ---- */

static enum err need_house(const struct http_request *rq, bool secret, struct errtext *et)
{
	if (!may_house(rq, PERM_MODEL_MANAGE))
		return err_set(et, ERR_FORBIDDEN,
			"endpoints are of all projects: this needs the permission model.manage for "
			"the whole instance");
	if (secret && !may_house(rq, PERM_SECRET_MANAGE))
		return err_set(et, ERR_FORBIDDEN,
			"an endpoint sends its key to its URL: this needs the permission "
			"secret.manage for the whole instance");
	return OK;
}

struct change {
	const struct http_request *rq;
	struct remote_row *row;
	bool add, remove;
	size_t n; /* rows there are */
};

static enum err add_audit(struct tx *tx, const struct change *k, struct errtext *et)
{
	struct buf subject = {0}, detail = {0};
	struct jw w = {.out = &detail};
	const struct remote_row *r = k->row;
	buf_addf(&subject, "endpoint/%.*s", STR_FMT(r->name));
	jw_obj(&w);
	if (!k->remove) {
		jw_kstr(&w, "url", r->url);
		jw_kstr(&w, "model", r->model);
		jw_kstr(&w, "key_secret", r->key_secret);
	}
	jw_end(&w);
	enum err e = jw_done(&w) && !subject.err ? audit_add(tx, k->rq->who,
							   k->remove ? "endpoint.remove"
							   : k->add  ? "endpoint.add"
								     : "endpoint.change",
							   buf_str(&subject), buf_str(&detail), et)
						 : err_set(et, ERR_NOMEM, "no memory");
	buf_free(&subject);
	buf_free(&detail);
	return e;
}

/* The state of the table, read inside the transaction that changes it. */
static enum err prepare(struct tx *tx, struct arena *a, struct change *k, struct errtext *et)
{
	struct remote_row *rows = NULL;
	const struct remote_row *was = NULL;
	size_t n = 0;
	enum err e = remote_store_list(tx, a, &rows, &n, et);
	for (size_t i = 0; i < n && !e; i++)
		if (str_eq(rows[i].name, k->row->name))
			was = &rows[i];
	if (e)
		return e;
	if (k->add && was)
		return err_set(et, ERR_CONFLICT,
			"there is an endpoint %.*s already: PUT (`--replace`) changes it",
			STR_FMT(was->name));
	if (!was && n >= REMOTES_MAX)
		return err_set(
			et, ERR_LIMIT, "there are %d endpoints, which is the limit", REMOTES_MAX);
	k->add = !was;
	k->row->created_ms = was ? was->created_ms : clock_unix_ms();
	k->row->created_by = was ? was->created_by : k->rq->who->name;
	k->row->updated_ms = clock_unix_ms();
	if (was && k->row->updated_ms <= was->updated_ms)
		k->row->updated_ms = was->updated_ms + 1;
	return OK;
}

static enum err change(struct croft *c, struct change *k, struct errtext *et)
{
	struct tx *tx;
	enum err e = db_begin(croft_db(c), TX_WRITE, &tx, et);
	if (e)
		return e;
	if (k->remove) {
		e = remote_store_delete(tx, k->row->name, et);
	} else {
		e = prepare(tx, k->rq->arena, k, et);
		if (!e)
			e = remote_store_put(tx, k->row, et);
	}
	if (!e)
		e = add_audit(tx, k, et);
	if (!e)
		e = db_notify(tx, "endpoints", k->row->name, et);
	e = db_finish(tx, e, et);
	return e ? e : remote_reload(c, et);
}

static enum err check_secret(struct croft *c, struct str name, struct errtext *et)
{
	struct buf value = {0};
	enum err e = name.n ? secret_get(c, S("default"), name, &value, et) : OK;
	secret_wipe(&value);
	return e == ERR_NOT_FOUND
		       ? err_set(et, ERR_INVALID,
				 "key_secret: the project default has no secret %.*s: `croft "
				 "secret set %.*s` stores it",
				 STR_FMT(str_sub(name, 0, 100)), STR_FMT(str_sub(name, 0, 100)))
		       : e;
}

static void store(struct croft *c, struct http_request *rq, struct http_response *rs, bool add)
{
	struct errtext et = {0};
	struct remote_row row = {.key_secret = S(""), .timeout_ms = 600000, .retries = 2};
	struct change k = {.rq = rq, .row = &row, .add = add};
	yyjson_doc *doc = NULL;
	enum err e = json_parse(rq->body, &doc, &et);
	yyjson_val *o = yyjson_doc_get_root(doc);
	if (!e)
		e = read_row(o, &row, &et);
	row.name = add ? json_str(o, "name") : http_param(rq, "name");
	if (!e)
		e = need_house(rq, row.key_secret.n > 0, &et);
	if (!e)
		e = remote_check_row(c, &row, &et);
	if (!e)
		e = check_secret(c, row.key_secret, &et);
	if (!e)
		e = change(c, &k, &et);
	struct remote *p = e ? NULL : remote_find(c, row.name);
	if (!e && !p)
		e = err_set(&et, ERR_CONFLICT, "it was removed meanwhile");
	if (e)
		http_reply_error(rs, e, &et);
	else
		reply_remote(rs, k.add ? 201 : 200, p);
	remote_put(p);
	yyjson_doc_free(doc);
}

static void post_endpoint(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	store(c, rq, rs, true);
}

static void put_endpoint(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	store(c, rq, rs, false);
}

static void delete_endpoint(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct remote_row row = {.name = http_param(rq, "name")};
	struct change k = {.rq = rq, .row = &row, .remove = true};
	enum err e = need_house(rq, false, &et);
	if (!e)
		e = change(c, &k, &et);
	if (e)
		http_reply_error(rs, e, &et);
	else
		http_reply(rs, 204, NULL, S(""));
}

/* ---- a question to see whether it works ---- */

struct probe {
	struct str text, receipt;
	uint64_t tokens, dim;
};

static enum err probe_chat(struct croft *c, struct http_request *rq, struct remote *p, struct jw *w,
	struct errtext *et)
{
	struct chat_message m = {.role = S("user"), .content = S("Answer with one word: ready?")};
	struct chat_request r = {.messages = &m,
		.n_messages = 1,
		.sampling = SAMPLING_DEFAULT,
		.max_tokens = 16,
		.top_logprobs = -1,
		.who = rq->who,
		.cancel = rq->cancel};
	struct chat_result res = {0};
	struct run *run = run_begin(c, project_of(rq), "endpoint test", p->row.name);
	enum err e = remote_chat(c, p, run, &r, &res, et);
	run_end(run, e, et);
	if (!e) {
		jw_kstr(w, "text", buf_str(&res.text));
		jw_ki64(w, "prompt_tokens", res.prompt_tokens);
		jw_ki64(w, "completion_tokens", res.completion_tokens);
		jw_key(w, "receipt");
		jw_raw(w, buf_str(&res.receipt));
	}
	chat_result_free(&res);
	return e;
}

static enum err probe_embed(struct croft *c, struct http_request *rq, struct remote *p,
	struct jw *w, struct errtext *et)
{
	struct remote_vectors v = {0};
	struct str text = S("ready?");
	struct run *run = run_begin(c, project_of(rq), "endpoint test", p->row.name);
	enum err e = remote_embed(c, p, run, &text, 1, 0, rq->cancel, &v, et);
	run_end(run, e, et);
	if (!e) {
		jw_ki64(w, "dimensions", (int64_t)v.dim);
		jw_ki64(w, "prompt_tokens", (int64_t)v.tokens);
		jw_key(w, "receipt");
		jw_raw(w, buf_str(&v.receipt));
	}
	remote_vectors_free(&v);
	return e;
}

/* One attempt at the provider itself, whatever the state of its circuit and without fallbacks. */
static struct remote *bare(struct remote *p)
{
	struct remote_row row = p->row;
	row.retries = 0;
	row.n_fallbacks = 0;
	return remote_new(&row);
}

static void post_test(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct buf out = {0};
	struct jw w = {.out = &out};
	bool embed = str_eq_c(http_query(rq, "what"), "embed");
	struct remote *p = find(c, rq, &et), *q = p ? bare(p) : NULL;
	enum err e = !p   ? ERR_NOT_FOUND
		     : !q ? err_set(&et, ERR_NOMEM, "no memory")
			  : need_house(rq, false, &et);
	uint64_t from = clock_mono_ns();
	jw_obj(&w);
	if (!e)
		e = (embed ? probe_embed : probe_chat)(c, rq, q, &w, &et);
	if (!e) {
		jw_kf64(&w, "ms", (double)((clock_mono_ns() - from) / 1000) / 1000);
		jw_end(&w);
		http_reply_json(rs, 200, &w);
	} else {
		http_reply_error(rs, e, &et);
	}
	buf_free(&out);
	remote_put(q);
	remote_put(p);
}

#define BODY                                                                                 \
	"url, model, kind?: \"openai\" | \"anthropic\", key_secret?, fallbacks?: string[], " \
	"timeout_ms?: int, retries?: int }"

const struct route remote_routes[N_REMOTE_ROUTES] = {
	{HTTP_GET, "/api/v1/endpoints", get_endpoints, PERM_MODEL_READ,
		"The remote providers and how they are", NULL, NULL, "{ endpoints: Endpoint[] }",
		0},
	{HTTP_POST, "/api/v1/endpoints", post_endpoint, PERM_MODEL_MANAGE,
		"Put a remote provider behind a name", NULL, "{ name, " BODY, "Endpoint", 0},
	{HTTP_GET, "/api/v1/endpoints/{name}", get_endpoint, PERM_MODEL_READ,
		"Show a remote provider", NULL, NULL, "Endpoint", 0},
	{HTTP_PUT, "/api/v1/endpoints/{name}", put_endpoint, PERM_MODEL_MANAGE,
		"Add a remote provider, or replace all that is said of it", NULL, "{ " BODY,
		"Endpoint", 0},
	{HTTP_DELETE, "/api/v1/endpoints/{name}", delete_endpoint, PERM_MODEL_MANAGE,
		"Remove a remote provider", NULL, NULL, NULL, 0},
	{HTTP_POST, "/api/v1/endpoints/{name}/test", post_test, PERM_MODEL_MANAGE,
		"Ask a remote provider something: one attempt, no fallback",
		"{ what?: \"chat\" | \"embed\" }", NULL, "EndpointTest", 0},
};

const struct shape remote_shapes[N_REMOTE_SHAPES] = {
	{"EndpointState", "{ circuit: \"closed\" | \"open\" | \"half_open\", failures_in_a_row: "
			  "int, attempts: int, failed: int, mean_ms: number | null }"},
	{"Endpoint", "{ name, kind: \"openai\" | \"anthropic\", url, model, key_secret: string | "
		     "null, fallbacks: string[], timeout_ms: int, retries: int, created, updated, "
		     "created_by, state: EndpointState }"},
	{"EndpointTest", "{ text?, dimensions?: int, prompt_tokens: int, completion_tokens?: int, "
			 "receipt: object, ms: number }"},
};
