/* Rows of responses, of conversations, and of the items of both. */
#include "access/access.h"
#include "api/responses.h"
#include "base/clock.h"

const struct migration responses_migrations[2] = {
	{1, "responses and conversations",
		"CREATE TABLE api_response ("
		"  id BLOB PRIMARY KEY,"
		"  project TEXT NOT NULL,"
		"  run BLOB NOT NULL,"
		"  previous BLOB NOT NULL,"
		"  conversation BLOB NOT NULL,"
		"  who BLOB NOT NULL,"
		"  who_name TEXT NOT NULL,"
		"  model TEXT NOT NULL,"
		"  title TEXT NOT NULL,"
		"  status TEXT NOT NULL,"
		"  background BIGINT NOT NULL,"
		"  streams BIGINT NOT NULL,"
		"  seed BIGINT NOT NULL,"
		"  dropped BIGINT NOT NULL,"
		"  created_ms BIGINT NOT NULL,"
		"  ended_ms BIGINT NOT NULL,"
		"  expires_ms BIGINT NOT NULL," /* 0: never */
		"  fixed TEXT NOT NULL,"
		"  request TEXT NOT NULL," /* until it has ended */
		"  error TEXT NOT NULL,"
		"  incomplete TEXT NOT NULL,"
		"  used TEXT NOT NULL);"
		"CREATE INDEX api_response_project ON api_response (project, id);"
		"CREATE INDEX api_response_previous ON api_response (previous);"
		"CREATE INDEX api_response_expiry ON api_response (expires_ms);"
		"CREATE TABLE api_response_event ("
		"  response BLOB PRIMARY KEY,"
		"  ended_ms BIGINT NOT NULL,"
		"  events TEXT NOT NULL);"
		"CREATE TABLE api_conversation ("
		"  id BLOB PRIMARY KEY,"
		"  project TEXT NOT NULL,"
		"  metadata TEXT NOT NULL,"
		"  created_ms BIGINT NOT NULL);"
		"CREATE TABLE api_item ("
		"  owner BLOB NOT NULL," /* a response or a conversation */
		"  place BIGINT NOT NULL,"
		"  project TEXT NOT NULL,"
		"  id TEXT NOT NULL,"
		"  made BIGINT NOT NULL," /* by the model: output */
		"  item TEXT NOT NULL,"
		"  PRIMARY KEY (owner, place));"
		"CREATE INDEX api_item_id ON api_item (project, id);"},
	{2, "priority of responses",
		"ALTER TABLE api_response ADD COLUMN priority BIGINT NOT NULL DEFAULT 0;"},
};

enum { EVENTS_KEPT_MS = 24 * 3600 * 1000, SWEEP_MAX = 100 };

static enum err no_response(struct id id, struct errtext *et)
{
	char text[RESPONSE_ID + 1];
	response_id(id, text);
	return err_set(et, ERR_NOT_FOUND, "Response with id '%s' not found.", text);
}

static enum err no_conversation(struct id id, struct errtext *et)
{
	char text[RESPONSE_ID + 1];
	conversation_id(id, text);
	return err_set(et, ERR_NOT_FOUND, "Conversation with id '%s' not found.", text);
}

static enum err no_item(struct str id, struct errtext *et)
{
	return err_set(
		et, ERR_NOT_FOUND, "Item with id '%.*s' not found.", STR_FMT(str_sub(id, 0, 64)));
}

/* ---- items ---- */

/* Appends to a list that grows in the arena. */
struct list {
	struct arena *a;
	struct item *v;
	size_t n, cap;
};

static enum err list_add(struct list *l, struct str id, struct str json, struct errtext *et)
{
	if (l->n == l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 32;
		struct item *more = arena_array_of(l->a, cap, struct item);
		if (!more)
			return err_set(et, ERR_NOMEM, "no memory for items");
		if (l->n)
			memcpy(more, l->v, l->n * sizeof *more);
		l->v = more;
		l->cap = cap;
	}
	struct item it = {.id = arena_str(l->a, id), .json = arena_str(l->a, json)};
	if (!it.id.p || !it.json.p)
		return err_set(et, ERR_NOMEM, "no memory for items");
	l->v[l->n++] = it;
	return OK;
}

/* made: 0 input, 1 output, -1 both. */
static enum err list_owned(
	struct tx *tx, struct id owner, int made, struct list *l, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et,
		"SELECT id, item FROM api_item WHERE owner = ? AND (? < 0 OR made = ?) "
		"ORDER BY place",
		P_ID(owner), P_I64(made), P_I64(made));
	if (e)
		return e;
	while (!e && row_next(r, &e, et))
		e = list_add(l, row_text(r, 0), row_text(r, 1), et);
	row_free(r);
	return e;
}

static enum err put_items(struct tx *tx, struct str project, struct id owner, int64_t place,
	bool made, const struct item *v, size_t n, struct errtext *et)
{
	enum err e = OK;
	for (size_t i = 0; i < n && !e; i++)
		e = db_exec(tx, et,
			"INSERT INTO api_item (owner, place, project, id, made, item) VALUES (?, "
			"?, ?, ?, ?, ?)",
			P_ID(owner), P_I64(place + (int64_t)i), P_TEXT(project), P_TEXT(v[i].id),
			P_I64(made), P_TEXT(v[i].json));
	return e;
}

static enum err next_place(
	struct tx *tx, struct id owner, int64_t *out, int64_t *count, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et,
		"SELECT COALESCE(MAX(place) + 1, 0), COUNT(*) FROM api_item WHERE owner = ?",
		P_ID(owner));
	if (e)
		return e;
	if (row_next(r, &e, et)) {
		*out = row_i64(r, 0);
		*count = row_i64(r, 1);
	}
	row_free(r);
	return e;
}

/* Whether a query, which is for the existence of something, has a row. */
static enum err exists(struct tx *tx, const char *sql, struct id id, struct str project, bool *out,
	struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et, sql, P_ID(id), P_TEXT(project));
	if (e)
		return e;
	*out = row_next(r, &e, et);
	row_free(r);
	return e;
}

static enum err need_conversation(
	struct tx *tx, struct str project, struct id id, struct errtext *et)
{
	bool there = false;
	enum err e = exists(tx, "SELECT 1 FROM api_conversation WHERE id = ? AND project = ?", id,
		project, &there, et);
	return e || there ? e : no_conversation(id, et);
}

static enum err append(struct tx *tx, struct str project, struct id conversation, bool made,
	const struct item *v, size_t n, struct errtext *et)
{
	int64_t place = 0, count = 0;
	enum err e = next_place(tx, conversation, &place, &count, et);
	if (!e && count + (int64_t)n > ITEMS_MAX + OUTPUT_ROOM)
		e = err_set(et, ERR_LIMIT,
			"the conversation has %lld items; more than %d are not possible: begin a "
			"new one",
			(long long)count, ITEMS_MAX);
	return e ? e : put_items(tx, project, conversation, place, made, v, n, et);
}

/* ---- write a response ---- */

struct writing {
	const struct response *r;
	const struct job *job;
	const struct item *in, *out;
	size_t n_in, n_out;
	struct str events;
	bool taken;
};

static enum err insert_row(struct tx *tx, const struct response *r, struct errtext *et)
{
	return db_exec(tx, et,
		"INSERT INTO api_response (id, project, run, previous, conversation, who, "
		"who_name, model, title, status, background, streams, seed, dropped, created_ms, "
		"ended_ms, expires_ms, fixed, request, error, incomplete, used, priority) VALUES "
		"(?, "
		"?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		P_ID(r->id), P_TEXT(r->project), P_ID(r->run), P_ID(r->previous),
		P_ID(r->conversation), P_ID(r->who), P_TEXT(r->who_name), P_TEXT(r->model),
		P_TEXT(r->title), P_TEXT(str_c(r->status)), P_I64(r->background), P_I64(r->streams),
		P_I64(r->seed), P_I64(r->dropped), P_I64(r->created_ms), P_I64(r->ended_ms),
		P_I64(r->expires_ms), P_TEXT(r->fixed), P_TEXT(r->request), P_TEXT(r->error),
		P_TEXT(r->incomplete), P_TEXT(r->usage), P_I64(r->priority));
}

/* What was asked and what was answered become a part of the conversation together. */
static enum err extend(struct tx *tx, const struct writing *w, struct errtext *et)
{
	const struct response *r = w->r;
	struct str s = str_c(r->status);
	if (id_is_zero(r->conversation) || !(str_eq_c(s, "completed") || str_eq_c(s, "incomplete")))
		return OK;
	enum err e = need_conversation(tx, r->project, r->conversation, et);
	e = e ? e : append(tx, r->project, r->conversation, false, w->in, w->n_in, et);
	return e ? e : append(tx, r->project, r->conversation, true, w->out, w->n_out, et);
}

static enum err add_in(struct tx *tx, void *ctx, struct errtext *et)
{
	const struct writing *w = ctx;
	const struct response *r = w->r;
	char hex[ID_HEX + 1];
	enum err e = extend(tx, w, et);
	if (!r->stored)
		return e;
	e = e ? e : insert_row(tx, r, et);
	e = e ? e : put_items(tx, r->project, r->id, 0, false, w->in, w->n_in, et);
	e = e ? e : put_items(tx, r->project, r->id, (int64_t)w->n_in, true, w->out, w->n_out, et);
	if (e || response_over(r))
		return e;
	id_hex(r->id, hex);
	/* a crash is an attempt: who takes it up decides how many are enough */
	return queue_add(tx, "response", str_c(hex),
		&(struct queue_options){.attempts_max = 1000000}, NULL, et);
}

enum err response_add(struct croft *c, const struct response *r, const struct item *in, size_t n_in,
	const struct item *out, size_t n_out, struct errtext *et)
{
	struct writing w = {.r = r, .in = in, .n_in = n_in, .out = out, .n_out = n_out};
	return db_write(croft_db(c), add_in, &w, et);
}

static enum err put_events(struct tx *tx, const struct writing *w, struct errtext *et)
{
	if (!w->events.n)
		return OK;
	return db_exec(tx, et,
		"INSERT INTO api_response_event (response, ended_ms, events) VALUES (?, ?, ?)",
		P_ID(w->r->id), P_I64(w->r->ended_ms), P_TEXT(w->events));
}

static enum err put_output(struct tx *tx, const struct writing *w, struct errtext *et)
{
	const struct response *r = w->r;
	struct list in = {.a = arena_new(0)};
	if (!in.a)
		return err_set(et, ERR_NOMEM, "no memory for items");
	enum err e = list_owned(tx, r->id, 0, &in, et);
	struct writing all = *w;
	all.in = in.v;
	all.n_in = in.n;
	e = e ? e : extend(tx, &all, et);
	e = e ? e : put_items(tx, r->project, r->id, (int64_t)in.n, true, w->out, w->n_out, et);
	arena_free(in.a);
	return e;
}

static enum err end_in(struct tx *tx, void *ctx, struct errtext *et)
{
	struct writing *w = ctx;
	const struct response *r = w->r;
	enum err e = queue_done(tx, w->job, et);
	if (!e)
		e = db_exec(tx, et,
			"UPDATE api_response SET status = ?, dropped = ?, ended_ms = ?, request = "
			"'', fixed = ?, error = ?, incomplete = ?, used = ? WHERE id = ? AND "
			"status "
			"IN ('queued', 'in_progress')",
			P_TEXT(str_c(r->status)), P_I64(r->dropped), P_I64(r->ended_ms),
			P_TEXT(r->fixed), P_TEXT(r->error), P_TEXT(r->incomplete), P_TEXT(r->usage),
			P_ID(r->id));
	w->taken = !e && db_changes(tx) > 0;
	if (!w->taken)
		return e;
	e = put_output(tx, w, et);
	return e ? e : put_events(tx, w, et);
}

enum err response_end(struct croft *c, const struct response *r, const struct job *job,
	const struct item *out, size_t n_out, struct str events, bool *taken, struct errtext *et)
{
	struct writing w = {.r = r, .job = job, .out = out, .n_out = n_out, .events = events};
	enum err e = db_write(croft_db(c), end_in, &w, et);
	if (!e)
		*taken = w.taken;
	return e;
}

enum err response_started(struct croft *c, struct id id, struct id run, struct str model,
	bool *go_on, struct errtext *et)
{
	int64_t n = 0;
	enum err e = db_change(croft_db(c), &n, et,
		"UPDATE api_response SET status = 'in_progress', run = ?, model = ? WHERE id = ? "
		"AND status IN ('queued', 'in_progress')",
		P_ID(run), P_TEXT(model), P_ID(id));
	if (!e)
		*go_on = n > 0;
	return e;
}

/* ---- read ---- */

#define COLUMNS                                                                                  \
	"id, project, run, previous, conversation, who, who_name, model, title, status, "        \
	"background, streams, seed, dropped, created_ms, ended_ms, expires_ms, fixed, request, " \
	"error, incomplete, used, priority"

static const char *status_word(struct str s)
{
	static const char *const words[] = {
		"queued", "in_progress", "completed", "incomplete", "failed", "cancelled"};
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (str_eq_c(s, words[i]))
			return words[i];
	return "failed";
}

static enum err read_row(struct row *r, struct arena *a, struct response *v, struct errtext *et)
{
	*v = (struct response){.id = row_id(r, 0),
		.project = arena_str(a, row_text(r, 1)),
		.run = row_id(r, 2),
		.previous = row_id(r, 3),
		.conversation = row_id(r, 4),
		.who = row_id(r, 5),
		.who_name = arena_str(a, row_text(r, 6)),
		.model = arena_str(a, row_text(r, 7)),
		.title = arena_str(a, row_text(r, 8)),
		.status = status_word(row_text(r, 9)),
		.stored = true,
		.background = row_i64(r, 10),
		.streams = row_i64(r, 11),
		.seed = row_i64(r, 12),
		.dropped = row_i64(r, 13),
		.created_ms = row_i64(r, 14),
		.ended_ms = row_i64(r, 15),
		.expires_ms = row_i64(r, 16),
		.fixed = arena_str(a, row_text(r, 17)),
		.request = arena_str(a, row_text(r, 18)),
		.error = arena_str(a, row_text(r, 19)),
		.incomplete = arena_str(a, row_text(r, 20)),
		.usage = arena_str(a, row_text(r, 21)),
		.priority = row_i64(r, 22)};
	const struct str *texts[] = {&v->project, &v->who_name, &v->model, &v->title, &v->fixed,
		&v->request, &v->error, &v->incomplete, &v->usage};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (!texts[i]->p)
			return err_set(et, ERR_NOMEM, "no memory for a response");
	return OK;
}

static enum err begin_read(struct croft *c, struct tx **tx, struct errtext *et)
{
	return db_begin(croft_db(c), TX_READ, tx, et);
}

enum err response_get(struct croft *c, struct str project, struct id id, struct arena *a,
	struct response *out, struct errtext *et)
{
	struct tx *tx;
	struct row *r;
	bool found = false;
	enum err e = begin_read(c, &tx, et);
	if (e)
		return e;
	e = db_query(tx, &r, et, "SELECT " COLUMNS " FROM api_response WHERE id = ?", P_ID(id));
	if (!e) {
		struct response v;
		found = row_next(r, &e, et);
		if (found)
			e = read_row(r, a, &v, et);
		found = found && !e && (!project.p || str_eq(v.project, project)) &&
			(!project.p || !v.expires_ms || v.expires_ms > clock_unix_ms());
		if (found)
			*out = v;
		row_free(r);
	}
	db_rollback(tx);
	return !e && !found ? no_response(id, et) : e;
}

static enum err owned(struct croft *c, struct id id, int made, struct arena *a, struct item **out,
	size_t *n, struct errtext *et)
{
	struct tx *tx;
	struct list l = {.a = a};
	enum err e = begin_read(c, &tx, et);
	if (e)
		return e;
	e = list_owned(tx, id, made, &l, et);
	db_rollback(tx);
	if (!e) {
		*out = l.v;
		*n = l.n;
	}
	return e;
}

enum err response_output(struct croft *c, struct id id, struct arena *a, struct item **out,
	size_t *n, struct errtext *et)
{
	return owned(c, id, 1, a, out, n, et);
}

enum err response_input(struct croft *c, struct id id, struct arena *a, struct item **out,
	size_t *n, struct errtext *et)
{
	return owned(c, id, 0, a, out, n, et);
}

enum err response_events(
	struct croft *c, struct id id, struct arena *a, struct str *out, struct errtext *et)
{
	struct tx *tx;
	struct row *r;
	struct str text = S("");
	enum err e = begin_read(c, &tx, et);
	if (e)
		return e;
	e = db_query(
		tx, &r, et, "SELECT events FROM api_response_event WHERE response = ?", P_ID(id));
	if (!e) {
		if (row_next(r, &e, et))
			text = arena_str(a, row_text(r, 0));
		row_free(r);
	}
	db_rollback(tx);
	if (!e && !text.p)
		return err_set(et, ERR_NOMEM, "no memory for events");
	if (!e)
		*out = text;
	return e;
}

/* ---- what a response continues ---- */

/* One link: what it continues, and whether it can be continued. */
static enum err read_link(
	struct tx *tx, struct str project, struct id id, struct id *previous, struct errtext *et)
{
	struct row *r;
	char text[RESPONSE_ID + 1];
	enum err e = db_query(tx, &r, et,
		"SELECT previous, status, conversation FROM api_response WHERE id = ? AND project "
		"= ?",
		P_ID(id), P_TEXT(project));
	if (e)
		return e;
	response_id(id, text);
	if (!row_next(r, &e, et)) {
		e = e ? e : no_response(id, et);
	} else {
		struct str status = row_text(r, 1);
		*previous = row_id(r, 0);
		if (!str_eq_c(status, "completed") && !str_eq_c(status, "incomplete"))
			e = err_set(et, ERR_CONFLICT,
				"the response %s is %.*s: only a finished one can be continued",
				text, STR_FMT(status));
		else if (!id_is_zero(row_id(r, 2)))
			e = err_set(et, ERR_CONFLICT,
				"the response %s belongs to a conversation: continue that with "
				"`conversation`",
				text);
	}
	row_free(r);
	return e;
}

static enum err read_chain(struct tx *tx, struct str project, struct id id, bool with_last,
	struct list *l, struct errtext *et)
{
	size_t n = 0;
	struct id *chain = arena_array_of(l->a, CHAIN_MAX, struct id);
	enum err e = chain ? OK : err_set(et, ERR_NOMEM, "no memory for what came before");
	while (!e && !id_is_zero(id)) {
		if (n == CHAIN_MAX)
			return err_set(et, ERR_LIMIT,
				"more than %d responses continue each other: begin anew",
				CHAIN_MAX);
		chain[n++] = id;
		if (n == 1 && !with_last) { /* may be running, or have failed */
			struct row *r;
			e = db_query(tx, &r, et,
				"SELECT previous FROM api_response WHERE id = ? AND project = ?",
				P_ID(id), P_TEXT(project));
			if (e)
				return e;
			id = row_next(r, &e, et) ? row_id(r, 0) : (struct id){0};
			row_free(r);
			continue;
		}
		e = read_link(tx, project, id, &id, et);
	}
	while (n-- && !e) {
		e = list_owned(tx, chain[n], n || with_last ? -1 : 0, l, et);
		if (!e && l->n > ITEMS_MAX)
			e = err_set(et, ERR_LIMIT,
				"what came before has more than %d items: begin anew", ITEMS_MAX);
	}
	return e;
}

enum err response_context(struct croft *c, struct str project, struct id id, bool with_last,
	struct arena *a, struct item **out, size_t *n, struct errtext *et)
{
	struct tx *tx;
	struct list l = {.a = a};
	enum err e = begin_read(c, &tx, et);
	if (e)
		return e;
	e = read_chain(tx, project, id, with_last, &l, et);
	db_rollback(tx);
	if (e)
		return e;
	*out = l.v;
	*n = l.n;
	return OK;
}

/* ---- list, cancel, delete ---- */

enum err response_list(struct croft *c, struct str project, struct id before, size_t limit,
	struct arena *a, struct response **out, size_t *n, bool *more, struct errtext *et)
{
	struct tx *tx;
	struct row *r;
	size_t k = 0;
	struct response *v = arena_array_of(a, limit + 1, struct response);
	if (id_is_zero(before))
		memset(&before, 255, sizeof before);
	if (!v)
		return err_set(et, ERR_NOMEM, "no memory for responses");
	enum err e = begin_read(c, &tx, et);
	if (e)
		return e;
	e = db_query(tx, &r, et,
		"SELECT " COLUMNS " FROM api_response WHERE project = ? AND id < ? AND "
		"(expires_ms = 0 OR expires_ms > ?) ORDER BY id DESC LIMIT ?",
		P_TEXT(project), P_ID(before), P_I64(clock_unix_ms()), P_I64((int64_t)limit + 1));
	if (!e) {
		while (!e && k <= limit && row_next(r, &e, et))
			e = read_row(r, a, &v[k++], et);
		row_free(r);
	}
	db_rollback(tx);
	if (e)
		return e;
	*out = v;
	*n = MIN(k, limit);
	*more = k > limit;
	return OK;
}

enum err response_cancel(struct croft *c, struct str project, struct id id, struct errtext *et)
{
	return db_change(croft_db(c), NULL, et,
		"UPDATE api_response SET status = 'cancelled', ended_ms = ?, request = '' WHERE id "
		"= ? AND project = ? AND background = 1 AND status IN ('queued', 'in_progress')",
		P_I64(clock_unix_ms()), P_ID(id), P_TEXT(project));
}

static enum err remove_owned(struct tx *tx, struct id id, struct errtext *et)
{
	enum err e = db_exec(tx, et, "DELETE FROM api_item WHERE owner = ?", P_ID(id));
	return e ? e
		 : db_exec(tx, et, "DELETE FROM api_response_event WHERE response = ?", P_ID(id));
}

enum err response_delete(struct croft *c, const struct principal *who, struct str project,
	struct id id, struct errtext *et)
{
	struct tx *tx;
	char text[RESPONSE_ID + 1];
	enum err e = db_begin(croft_db(c), TX_WRITE, &tx, et);
	if (e)
		return e;
	e = db_exec(tx, et, "DELETE FROM api_response WHERE id = ? AND project = ?", P_ID(id),
		P_TEXT(project));
	if (!e && !db_changes(tx))
		e = no_response(id, et);
	e = e ? e : remove_owned(tx, id, et);
	response_id(id, text);
	if (!e)
		e = audit_add(tx, who, "response.delete", str_c(text), S("{}"), et);
	return db_finish(tx, e, et);
}

/* Those that none continues: the last of a chain goes first, what it continued the next time. */
static enum err expired(struct tx *tx, struct id *out, size_t *n, struct errtext *et)
{
	struct row *r;
	*n = 0;
	enum err e = db_query(tx, &r, et,
		"SELECT id FROM api_response WHERE expires_ms > 0 AND expires_ms < ? AND status "
		"NOT IN ('queued', 'in_progress') AND NOT EXISTS (SELECT 1 FROM api_response AS "
		"later WHERE later.previous = api_response.id) LIMIT ?",
		P_I64(clock_unix_ms()), P_I64(SWEEP_MAX));
	if (e)
		return e;
	while (*n < SWEEP_MAX && row_next(r, &e, et))
		out[(*n)++] = row_id(r, 0);
	row_free(r);
	return e;
}

static enum err sweep_some(struct croft *c, size_t *n, struct errtext *et)
{
	struct tx *tx;
	struct id ids[SWEEP_MAX];
	enum err e = db_begin(croft_db(c), TX_WRITE, &tx, et);
	if (e)
		return e;
	e = expired(tx, ids, n, et);
	for (size_t i = 0; i < *n && !e; i++) {
		e = db_exec(tx, et, "DELETE FROM api_response WHERE id = ?", P_ID(ids[i]));
		e = e ? e : remove_owned(tx, ids[i], et);
	}
	if (!e)
		e = db_exec(tx, et, "DELETE FROM api_response_event WHERE ended_ms < ?",
			P_I64(clock_unix_ms() - EVENTS_KEPT_MS));
	return db_finish(tx, e, et);
}

enum err response_sweep(struct croft *c, struct errtext *et)
{
	size_t n = 1;
	enum err e = OK;
	while (n && !e)
		e = sweep_some(c, &n, et);
	return e;
}

enum err item_find(struct croft *c, struct str project, struct str id, struct arena *a,
	struct item *out, struct errtext *et)
{
	struct tx *tx;
	struct row *r;
	struct list l = {.a = a};
	enum err e = begin_read(c, &tx, et);
	if (e)
		return e;
	e = db_query(tx, &r, et,
		"SELECT id, item FROM api_item WHERE project = ? AND id = ? LIMIT 1",
		P_TEXT(project), P_TEXT(id));
	if (!e) {
		if (row_next(r, &e, et))
			e = list_add(&l, row_text(r, 0), row_text(r, 1), et);
		row_free(r);
	}
	db_rollback(tx);
	if (e)
		return e;
	if (!l.n)
		return no_item(id, et);
	*out = l.v[0];
	return OK;
}

/* ---- conversations ---- */

struct extending {
	struct str project;
	struct id id;
	const struct conversation *made; /* NULL: it is there */
	const struct item *items;
	size_t n;
};

static enum err conversation_in(struct tx *tx, void *ctx, struct errtext *et)
{
	const struct extending *w = ctx;
	enum err e = OK;
	if (w->made)
		e = db_exec(tx, et,
			"INSERT INTO api_conversation (id, project, metadata, created_ms) VALUES "
			"(?, ?, ?, ?)",
			P_ID(w->id), P_TEXT(w->project), P_TEXT(w->made->metadata),
			P_I64(w->made->created_ms));
	else
		e = need_conversation(tx, w->project, w->id, et);
	return e ? e : append(tx, w->project, w->id, false, w->items, w->n, et);
}

enum err conversation_add(struct croft *c, struct str project, const struct conversation *v,
	const struct item *items, size_t n, struct errtext *et)
{
	struct extending w = {project, v->id, v, items, n};
	return db_write(croft_db(c), conversation_in, &w, et);
}

enum err conversation_append(struct croft *c, struct str project, struct id id,
	const struct item *items, size_t n, struct errtext *et)
{
	struct extending w = {project, id, NULL, items, n};
	return db_write(croft_db(c), conversation_in, &w, et);
}

enum err conversation_get(struct croft *c, struct str project, struct id id, struct arena *a,
	struct conversation *out, struct errtext *et)
{
	struct tx *tx;
	struct row *r;
	struct conversation v = {.id = id};
	enum err e = begin_read(c, &tx, et);
	if (e)
		return e;
	e = db_query(tx, &r, et,
		"SELECT metadata, created_ms FROM api_conversation WHERE id = ? AND project = ?",
		P_ID(id), P_TEXT(project));
	if (!e) {
		if (!row_next(r, &e, et)) {
			e = e ? e : no_conversation(id, et);
		} else {
			v.metadata = arena_str(a, row_text(r, 0));
			v.created_ms = row_i64(r, 1);
			e = v.metadata.p ? OK
					 : err_set(et, ERR_NOMEM, "no memory for a conversation");
		}
		row_free(r);
	}
	db_rollback(tx);
	if (!e)
		*out = v;
	return e;
}

enum err conversation_update(
	struct croft *c, struct str project, struct id id, struct str metadata, struct errtext *et)
{
	int64_t n = 0;
	enum err e = db_change(croft_db(c), &n, et,
		"UPDATE api_conversation SET metadata = ? WHERE id = ? AND project = ?",
		P_TEXT(metadata), P_ID(id), P_TEXT(project));
	return e || n ? e : no_conversation(id, et);
}

enum err conversation_delete(struct croft *c, const struct principal *who, struct str project,
	struct id id, struct errtext *et)
{
	struct tx *tx;
	char text[RESPONSE_ID + 1];
	enum err e = db_begin(croft_db(c), TX_WRITE, &tx, et);
	if (e)
		return e;
	e = db_exec(tx, et, "DELETE FROM api_conversation WHERE id = ? AND project = ?", P_ID(id),
		P_TEXT(project));
	if (!e && !db_changes(tx))
		e = no_conversation(id, et);
	e = e ? e : remove_owned(tx, id, et);
	conversation_id(id, text);
	if (!e)
		e = audit_add(tx, who, "conversation.delete", str_c(text), S("{}"), et);
	return db_finish(tx, e, et);
}

static enum err place_of(
	struct tx *tx, struct id owner, struct str item, int64_t *out, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et, "SELECT place FROM api_item WHERE owner = ? AND id = ?",
		P_ID(owner), P_TEXT(item));
	if (e)
		return e;
	if (row_next(r, &e, et))
		*out = row_i64(r, 0);
	else
		e = e ? e : no_item(item, et);
	row_free(r);
	return e;
}

static enum err page_in(struct tx *tx, struct id id, const struct item_page *page, struct list *l,
	struct errtext *et)
{
	struct row *r;
	int64_t from = page->newest_first ? INT64_MAX : -1;
	enum err e = page->after.n ? place_of(tx, id, page->after, &from, et) : OK;
	if (e)
		return e;
	e = db_query(tx, &r, et,
		page->newest_first ? "SELECT id, item FROM api_item WHERE owner = ? AND place < ? "
				     "ORDER BY place DESC LIMIT ?"
				   : "SELECT id, item FROM api_item WHERE owner = ? AND place > ? "
				     "ORDER BY place LIMIT ?",
		P_ID(id), P_I64(from), P_I64((int64_t)page->limit + 1));
	if (e)
		return e;
	while (!e && row_next(r, &e, et))
		e = list_add(l, row_text(r, 0), row_text(r, 1), et);
	row_free(r);
	return e;
}

enum err conversation_items(struct croft *c, struct str project, struct id id,
	const struct item_page *page, struct arena *a, struct item **out, size_t *n, bool *more,
	struct errtext *et)
{
	struct tx *tx;
	struct list l = {.a = a};
	enum err e = begin_read(c, &tx, et);
	if (e)
		return e;
	e = need_conversation(tx, project, id, et);
	e = e ? e : page_in(tx, id, page, &l, et);
	db_rollback(tx);
	if (e)
		return e;
	*out = l.v;
	*n = MIN(l.n, page->limit);
	*more = l.n > page->limit;
	return OK;
}

enum err conversation_item(struct croft *c, struct str project, struct id id, struct str item,
	struct arena *a, struct item *out, struct errtext *et)
{
	struct tx *tx;
	struct row *r;
	struct list l = {.a = a};
	enum err e = begin_read(c, &tx, et);
	if (e)
		return e;
	e = need_conversation(tx, project, id, et);
	if (!e)
		e = db_query(tx, &r, et, "SELECT id, item FROM api_item WHERE owner = ? AND id = ?",
			P_ID(id), P_TEXT(item));
	if (!e) {
		if (row_next(r, &e, et))
			e = list_add(&l, row_text(r, 0), row_text(r, 1), et);
		row_free(r);
	}
	db_rollback(tx);
	if (e)
		return e;
	if (!l.n)
		return no_item(item, et);
	*out = l.v[0];
	return OK;
}

enum err conversation_item_delete(struct croft *c, const struct principal *who, struct str project,
	struct id id, struct str item, struct errtext *et)
{
	struct tx *tx;
	enum err e = db_begin(croft_db(c), TX_WRITE, &tx, et);
	if (e)
		return e;
	e = need_conversation(tx, project, id, et);
	if (!e)
		e = db_exec(tx, et, "DELETE FROM api_item WHERE owner = ? AND id = ?", P_ID(id),
			P_TEXT(item));
	if (!e && !db_changes(tx))
		e = no_item(item, et);
	if (!e)
		e = audit_add(tx, who, "conversation.item.delete", item, S("{}"), et);
	return db_finish(tx, e, et);
}
