/* Assessments in the database: append-only versions. */
#include "run/feedback.h"
#include "access/access.h"
#include "base/clock.h"
#include "base/room.h"
#include "run/trace_int.h"

#include <stdio.h>
#include <stdlib.h>

enum { NAME_BYTES_MAX = 250, RATIONALE_MAX = 32 << 10 };

/* ---- reading ---- */

static const char columns[] =
	"SELECT id, version, span, name, expectation, value, error, rationale, source_type, "
	"source_id, metadata, overrides, author, at_ms, deleted FROM assessment WHERE run = ? "
	"ORDER BY seq";

static struct str text(struct arena *a, struct row *r, int column, enum err *e)
{
	if (row_null(r, column))
		return (struct str){0};
	struct str s = arena_str(a, row_text(r, column));
	if (!s.p)
		*e = ERR_NOMEM;
	return s;
}

static enum err read_one(struct row *r, struct arena *a, struct assessment *out)
{
	enum err e = OK;
	*out = (struct assessment){
		.id = text(a, r, 0, &e),
		.version = row_i64(r, 1),
		.span = row_null(r, 2) ? 0 : row_i64(r, 2),
		.name = text(a, r, 3, &e),
		.expectation = row_i64(r, 4) != 0,
		.value = text(a, r, 5, &e),
		.error = text(a, r, 6, &e),
		.rationale = text(a, r, 7, &e),
		.source_type = text(a, r, 8, &e),
		.source_id = text(a, r, 9, &e),
		.metadata = text(a, r, 10, &e),
		.overrides = text(a, r, 11, &e),
		.author = text(a, r, 12, &e),
		.at_ms = row_i64(r, 13),
		.deleted = row_i64(r, 14) != 0,
		.valid = true,
	};
	out->created_ms = out->at_ms;
	return e;
}

static struct assessment *find(struct assessment *list, size_t n, struct str id)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(list[i].id, id))
			return &list[i];
	return NULL;
}

/* Versions to what holds now: the newest of each, without the deleted ones. */
static size_t fold(struct assessment *all, size_t n)
{
	size_t k = 0;
	for (size_t i = 0; i < n; i++) {
		struct assessment *was = find(all, k, all[i].id);
		if (was) {
			all[i].created_ms = was->created_ms;
			*was = all[i];
		} else {
			all[k++] = all[i];
		}
	}
	size_t m = 0;
	for (size_t i = 0; i < k; i++)
		if (!all[i].deleted)
			all[m++] = all[i];
	for (size_t i = 0; i < m; i++)
		if (all[i].overrides.n) {
			struct assessment *old = find(all, m, all[i].overrides);
			if (old)
				old->valid = false;
		}
	return m;
}

enum err feedback_read(struct tx *tx, struct id run, bool history, struct arena *arena,
	struct assessment **list, size_t *n, struct errtext *et)
{
	struct row *r;
	struct assessment *all = NULL;
	size_t k = 0, cap = 0;
	enum err e = db_query(tx, &r, et, columns, P_ID(run));
	if (e)
		return e;
	while (!e && row_next(r, &e, et)) {
		if (!arena_room(arena, all, k, cap)) {
			e = err_set(et, ERR_NOMEM, "no memory for feedback");
			break;
		}
		e = read_one(r, arena, &all[k++]);
	}
	row_free(r);
	if (e)
		return e;
	*list = all;
	*n = history ? k : fold(all, k);
	return OK;
}

static enum err own_run(struct tx *tx, struct str project, struct id run, struct errtext *et)
{
	struct row *r;
	char hex[ID_HEX + 1];
	id_hex(run, hex);
	enum err e = db_query(tx, &r, et, "SELECT id FROM run WHERE id = ? AND project = ?",
		P_ID(run), P_TEXT(project));
	if (e)
		return e;
	if (!row_next(r, &e, et) && !e)
		e = err_set(et, ERR_NOT_FOUND, "there is no run %s", hex);
	row_free(r);
	return e;
}

enum err feedback_list(struct croft *c, struct str project, struct id run, bool history,
	struct arena *arena, struct assessment **list, size_t *n, struct errtext *et)
{
	struct tx *tx;
	enum err e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	e = own_run(tx, project, run, et);
	if (!e)
		e = feedback_read(tx, run, history, arena, list, n, et);
	db_rollback(tx);
	return e;
}

static enum err missing(struct str id, struct errtext *et)
{
	return err_set(et, ERR_NOT_FOUND, "there is no assessment %.*s of this run",
		STR_FMT(str_sub(id, 0, 60)));
}

enum err feedback_get(struct croft *c, struct str project, struct id run, struct str id,
	struct arena *arena, struct assessment *out, struct errtext *et)
{
	struct assessment *list, *a;
	size_t n;
	enum err e = feedback_list(c, project, run, false, arena, &list, &n, et);
	if (e)
		return e;
	a = find(list, n, id);
	if (!a)
		return missing(id, et);
	*out = *a;
	return OK;
}

/* ---- checking ---- */

static enum err check_json(struct str s, const char *what, bool object, struct errtext *et)
{
	yyjson_doc *doc;
	if (!s.p)
		return OK;
	if (s.n > FEEDBACK_VALUE_MAX)
		return err_set(et, ERR_TOO_LARGE, "%s has %zu bytes, the limit is %d", what, s.n,
			FEEDBACK_VALUE_MAX);
	enum err e = json_parse(s, &doc, et);
	if (e)
		return err_wrap(et, e, "%s", what);
	bool good = !object || yyjson_is_obj(yyjson_doc_get_root(doc));
	yyjson_doc_free(doc);
	return good ? OK : err_set(et, ERR_INVALID, "%s: an object is expected", what);
}

static enum err check(struct assessment *a, struct errtext *et)
{
	static const char *const sources[] = {"HUMAN", "LLM_JUDGE", "CODE"};
	if (!a->name.n || a->name.n > NAME_BYTES_MAX)
		return err_set(et, ERR_INVALID, "name: 1 to %d bytes are expected", NAME_BYTES_MAX);
	if (!a->value.p && !a->error.p)
		return err_set(et, ERR_INVALID,
			"value: a number, text, true, false or JSON is "
			"expected (or an error)");
	if (a->rationale.n > RATIONALE_MAX || a->source_id.n > NAME_BYTES_MAX)
		return err_set(et, ERR_INVALID, "rationale or source is too long");
	bool known = false;
	for (size_t i = 0; i < ARRAY_LEN(sources); i++)
		if (str_eq_nocase(a->source_type, str_c(sources[i]))) {
			a->source_type = str_c(sources[i]);
			known = true;
		}
	if (!known)
		return err_set(et, ERR_INVALID, "source: HUMAN, LLM_JUDGE or CODE is expected");
	enum err e = check_json(a->value, "value", false, et);
	if (!e)
		e = check_json(a->error, "error", true, et);
	return e ? e : check_json(a->metadata, "metadata", true, et);
}

/* ---- writing ---- */

struct write {
	const struct principal *who;
	struct str project;
	struct id run;
	struct assessment *a;
	struct arena *arena;
	enum { ADD, CHANGE, DELETE } what;
};

static enum err insert(struct tx *tx, const struct write *w, const struct assessment *a,
	int64_t seq, struct errtext *et)
{
	return db_exec(tx, et,
		"INSERT INTO assessment (run, seq, id, version, span, name, expectation, value, "
		"error, rationale, source_type, source_id, metadata, overrides, author, at_ms, "
		"deleted) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		P_ID(w->run), P_I64(seq), P_TEXT(a->id), P_I64(a->version),
		a->span ? P_I64(a->span) : P_NULL, P_TEXT(a->name), P_I64(a->expectation),
		P_TEXT(a->value), P_TEXT(a->error), P_TEXT(a->rationale), P_TEXT(a->source_type),
		P_TEXT(a->source_id), P_TEXT(a->metadata), P_TEXT(a->overrides), P_TEXT(a->author),
		P_I64(a->at_ms), P_I64(a->deleted));
}

static enum err tell_audit(
	struct tx *tx, const struct write *w, const struct assessment *a, struct errtext *et)
{
	char hex[ID_HEX + 1];
	struct buf b = {0}, subject = {0};
	struct jw j = {.out = &b};
	id_hex(w->run, hex);
	buf_addf(&subject, "run/%s/feedback/%.*s", hex, STR_FMT(a->id));
	jw_obj(&j);
	jw_kstr(&j, "name", a->name);
	jw_ki64(&j, "version", a->version);
	jw_end(&j);
	enum err e = audit_add(tx, w->who, "feedback.delete", buf_str(&subject), buf_str(&b), et);
	buf_free(&subject);
	buf_free(&b);
	return e;
}

static enum err write_one(struct tx *tx, void *ctx, struct errtext *et)
{
	struct write *w = ctx;
	struct assessment *all, *was, *a = w->a;
	size_t n;
	enum err e = own_run(tx, w->project, w->run, et);
	if (!e)
		e = feedback_read(tx, w->run, true, w->arena, &all, &n, et);
	if (!e && n >= FEEDBACK_MAX)
		e = err_set(et, ERR_LIMIT, "a run takes at most %d assessments and changes of them",
			FEEDBACK_MAX);
	if (e)
		return e;
	int64_t seq = (int64_t)n + 1;
	a->at_ms = clock_unix_ms();
	a->version = 1;
	a->created_ms = a->at_ms;
	if (w->what != ADD) {
		was = find(all, fold(all, n), a->id);
		if (!was)
			return missing(a->id, et);
		if (w->what == DELETE) {
			struct str author = a->author;
			int64_t at_ms = a->at_ms;
			*a = *was;
			a->author = author;
			a->at_ms = at_ms;
			a->deleted = true;
		} else {
			a->span = was->span;
			a->expectation = was->expectation;
		}
		a->created_ms = was->created_ms;
		a->version = was->version + 1;
	}
	e = insert(tx, w, a, seq, et);
	return !e && w->what == DELETE ? tell_audit(tx, w, a, et) : e;
}

enum err feedback_add(struct croft *c, const struct principal *who, struct str project,
	struct id run, struct assessment *a, struct arena *arena, struct errtext *et)
{
	char hex[ID_HEX + 1];
	id_hex(id_new(), hex);
	struct write w = {who, project, run, a, arena, ADD};
	enum err e = check(a, et);
	a->id = arena_fmt(arena, "a-%s", hex);
	a->author = who->name;
	a->valid = true;
	if (!e && !a->id.p)
		e = err_set(et, ERR_NOMEM, "no memory for feedback");
	return e ? e : db_write(croft_db(c), write_one, &w, et);
}

enum err feedback_change(struct croft *c, const struct principal *who, struct str project,
	struct id run, struct assessment *a, struct arena *arena, struct errtext *et)
{
	struct write w = {who, project, run, a, arena, CHANGE};
	enum err e = check(a, et);
	a->author = who->name;
	a->valid = true;
	return e ? e : db_write(croft_db(c), write_one, &w, et);
}

enum err feedback_delete(struct croft *c, const struct principal *who, struct str project,
	struct id run, struct str id, struct errtext *et)
{
	struct arena *arena = arena_new(64 << 20);
	if (!arena)
		return err_set(et, ERR_NOMEM, "no memory for feedback");
	struct assessment a = {.id = id, .author = who->name};
	struct write w = {who, project, run, &a, arena, DELETE};
	enum err e = db_write(croft_db(c), write_one, &w, et);
	arena_free(arena);
	return e;
}
