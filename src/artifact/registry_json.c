/* Wire JSON of artifacts, versions and facts, and what the route files of this folder share. */
#include "artifact/registry_int.h"
#include "base/clock.h"

void json_time(struct jw *w, const char *key, int64_t ms)
{
	char text[CLOCK_TEXT];
	if (ms)
		clock_rfc3339(ms, text);
	jw_kc(w, key, ms ? text : NULL);
}

static void tags(struct jw *w, int64_t version, const struct fact *now, size_t n)
{
	jw_key(w, "tags");
	jw_obj(w);
	for (size_t i = 0; i < n; i++)
		if (now[i].version == version && str_eq_c(now[i].what, "tag")) {
			jw_key_str(w, now[i].name);
			jw_str(w, now[i].value);
		}
	jw_end(w);
}

bool fact_broke_glass(const struct fact *f)
{
	yyjson_doc *doc;
	if (f->detail.n <= 2 || json_parse(f->detail, &doc, NULL))
		return false;
	bool broke = json_bool(yyjson_doc_get_root(doc), "break_glass", false);
	yyjson_doc_free(doc);
	return broke;
}

static void alias_object(struct jw *w, const struct fact *f)
{
	int64_t version = 0;
	str_i64(f->value, &version);
	jw_obj(w);
	jw_kstr(w, "alias", f->name);
	jw_ki64(w, "version", version);
	json_time(w, "since", f->valid_ms);
	jw_kstr(w, "by", f->who);
	jw_kstr(w, "reason", f->reason);
	jw_kbool(w, "break_glass", fact_broke_glass(f));
	jw_end(w);
}

void json_artifact(struct jw *w, const struct artifact *v, const struct fact *now, size_t n_now)
{
	char hex[ID_HEX + 1];
	id_hex(v->id, hex);
	jw_obj(w);
	jw_kc(w, "id", hex);
	jw_kstr(w, "kind", v->kind);
	jw_kstr(w, "name", v->name);
	jw_kstr(w, "description", v->description);
	jw_kstr(w, "creator", v->creator);
	json_time(w, "created", v->created_ms);
	json_time(w, "updated", v->updated_ms);
	jw_ki64(w, "last_version", v->last_version);
	tags(w, 0, now, n_now);
	jw_key(w, "aliases");
	jw_arr(w);
	for (size_t i = 0; i < n_now; i++)
		if (str_eq_c(now[i].what, "alias"))
			alias_object(w, &now[i]);
	jw_end(w);
	jw_end(w);
}

static void run_member(struct jw *w, struct id run)
{
	char hex[ID_HEX + 1];
	if (!id_is_zero(run))
		id_hex(run, hex);
	jw_kc(w, "run", id_is_zero(run) ? NULL : hex);
}

void json_version(
	struct jw *w, const struct artifact_version *v, const struct fact *now, size_t n_now)
{
	char hex[ID_HEX + 1];
	id_hex(v->artifact, hex);
	jw_obj(w);
	jw_kc(w, "artifact", hex);
	jw_kstr(w, "kind", v->kind);
	jw_kstr(w, "name", v->name);
	jw_ki64(w, "version", v->version);
	jw_kstr(w, "digest", v->digest);
	jw_kstr(w, "source", v->source);
	run_member(w, v->run);
	jw_kstr(w, "creator", v->creator);
	json_time(w, "created", v->created_ms);
	jw_kstr(w, "description", v->description);
	jw_ki64(w, "bytes", v->bytes);
	jw_key(w, "metadata");
	jw_raw(w, v->metadata);
	jw_kbool(w, "deleted", v->deleted);
	tags(w, v->version, now, n_now);
	jw_key(w, "aliases");
	jw_arr(w);
	for (size_t i = 0; i < n_now; i++) {
		int64_t to = 0;
		if (str_eq_c(now[i].what, "alias") && str_i64(now[i].value, &to) &&
			to == v->version)
			jw_str(w, now[i].name);
	}
	jw_end(w);
	jw_end(w);
}

void json_fact(struct jw *w, const struct fact *f)
{
	jw_obj(w);
	jw_ki64(w, "seq", f->seq);
	jw_key(w, "version");
	f->version ? jw_i64(w, f->version) : jw_null(w);
	jw_kstr(w, "what", f->what);
	jw_kstr(w, "name", f->name);
	jw_key(w, "value");
	f->value.p ? jw_str(w, f->value) : jw_null(w);
	json_time(w, "valid", f->valid_ms);
	json_time(w, "recorded", f->recorded_ms);
	jw_kstr(w, "by", f->who);
	jw_kstr(w, "reason", f->reason);
	jw_key(w, "detail");
	jw_raw(w, f->detail);
	jw_key(w, "retracts");
	f->retracts ? jw_i64(w, f->retracts) : jw_null(w);
	jw_kstr(w, "hash", f->hash);
	jw_end(w);
}

/* ---- one call ---- */

enum err reg_begin(struct reg_call *k, struct croft *c, struct http_request *rq,
	struct http_response *rs, enum tx_kind kind)
{
	*k = (struct reg_call){.rq = rq, .rs = rs, .c = c, .project = project_of(rq)};
	k->w.out = &k->out;
	if (rq->body.n) {
		enum err e = json_parse(rq->body, &k->doc, &k->et);
		if (e)
			return e;
		k->body = yyjson_doc_get_root(k->doc);
		if (!yyjson_is_obj(k->body))
			return err_set(&k->et, ERR_INVALID, "the body: a JSON object is expected");
	}
	return db_begin(croft_db(c), kind, &k->tx, &k->et);
}

void reg_end(struct reg_call *k, enum err e, int status)
{
	if (!e && k->tx)
		e = db_commit(k->tx, &k->et);
	else
		db_rollback(k->tx);
	if (e)
		http_reply_error(k->rs, e, &k->et);
	else
		http_reply_json(k->rs, status, &k->w);
	yyjson_doc_free(k->doc);
	buf_free(&k->out);
}

bool parse_time(struct str text, bool end_of_day, int64_t *ms)
{
	int64_t n;
	if (str_i64(text, &n) && n > 100000000000) /* milliseconds */
		*ms = n;
	else if (!clock_parse_rfc3339(text, ms))
		return false;
	else if (text.n == 10 && end_of_day)
		*ms += 86400000 - 1;
	return true;
}

enum err reg_time(struct reg_call *k, struct artifact_time *out)
{
	static const char *const names[] = {"as_of", "known_at"};
	struct artifact_time at = {0};
	int64_t *const to[] = {&at.as_of_ms, &at.known_ms};
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct str text = http_query(k->rq, names[i]);
		if (text.n && !parse_time(text, true, to[i]))
			return err_set(&k->et, ERR_INVALID,
				"%s: a date (2026-05-03) or a time (2026-05-03T14:00:00Z) is "
				"expected",
				names[i]);
	}
	enum err e = time_settle(&at, &k->et);
	if (!e)
		*out = at;
	return e;
}

enum err reg_artifact(struct reg_call *k, struct artifact *out)
{
	struct artifact_time at;
	enum err e = kind_check(http_param(k->rq, "kind"), &k->et);
	if (!e)
		e = reg_time(k, &at);
	if (!e)
		e = artifact_find_at(k->tx, k->project, http_param(k->rq, "kind"),
			http_param(k->rq, "name"), at, k->rq->arena, out, &k->et);
	return e ? e : artifact_readable(k->tx, k->rq, out->id, out->kind, out->name, 0, &k->et);
}

enum err reg_version(struct reg_call *k, const struct artifact *of, struct artifact_version *out)
{
	struct str text = http_param(k->rq, "version");
	struct ref r = {.kind = of->kind, .name = of->name};
	struct artifact_time at;
	enum err e = reg_time(k, &at);
	if (e)
		return e;
	if (!str_i64(text, &r.version) && !str_eq_c(text, "latest"))
		r.alias = text.n && text.p[0] == '@' ? str_sub(text, 1, text.n) : text;
	e = ref_version(k->tx, of, &r, at, k->rq->arena, out, &k->et);
	return e ? e
		 : artifact_readable(
			   k->tx, k->rq, of->id, of->kind, of->name, out->version, &k->et);
}
