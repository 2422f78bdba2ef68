/* Experiments in the database. */
#include "run/retain_int.h"
#include "base/clock.h"
#include "access/access.h"
#include "base/room.h"

#include <stdio.h>
#include <stdlib.h>

static const char columns[] = "SELECT number, name, location, created_ms, updated_ms, deleted_ms "
			      "FROM experiment WHERE project = ?";

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for experiments");
}

static enum err read_tags(struct tx *tx, struct str project, struct experiment *x, struct arena *a,
	struct errtext *et)
{
	struct row *r;
	size_t cap = 0;
	enum err e = db_query(tx, &r, et,
		"SELECT name, value FROM experiment_tag WHERE project = ? AND number = ?",
		P_TEXT(project), P_I64(x->number));
	if (e)
		return e;
	while (!e && row_next(r, &e, et)) {
		if (!arena_room(a, x->tags, x->n_tags, cap)) {
			e = no_memory(et);
			break;
		}
		struct track_pair p = {arena_str(a, row_text(r, 0)), arena_str(a, row_text(r, 1))};
		if (!p.key.p || !p.value.p)
			e = no_memory(et);
		x->tags[x->n_tags++] = p;
	}
	row_free(r);
	return e;
}

static enum err read_row(struct row *r, struct arena *a, struct experiment *x, struct errtext *et)
{
	*x = (struct experiment){
		.number = row_i64(r, 0),
		.name = arena_str(a, row_text(r, 1)),
		.location = arena_str(a, row_text(r, 2)),
		.created_ms = row_i64(r, 3),
		.updated_ms = row_i64(r, 4),
		.deleted_ms = row_i64(r, 5),
	};
	if (!x->location.n)
		x->location = arena_fmt(a, "mlflow-artifacts:/%lld", (long long)x->number);
	return x->name.p && x->location.p ? OK : no_memory(et);
}

enum err experiment_store_get(struct tx *tx, struct str project, int64_t number, struct arena *a,
	struct experiment *out, struct errtext *et)
{
	struct row *r;
	struct experiment x;
	struct buf sql = {0};
	buf_addf(&sql, "%s AND number = ?", columns);
	enum err e = sql.err ? no_memory(et)
			     : db_query(tx, &r, et, buf_c(&sql), P_TEXT(project), P_I64(number));
	buf_free(&sql);
	if (e)
		return e;
	if (row_next(r, &e, et))
		e = read_row(r, a, &x, et);
	else if (!e)
		e = err_set(
			et, ERR_NOT_FOUND, "No Experiment with id=%lld exists", (long long)number);
	row_free(r);
	if (!e)
		e = read_tags(tx, project, &x, a, et);
	if (!e)
		*out = x;
	return e;
}

/* ---- the experiment that every project has ---- */

struct making {
	struct str project;
	const struct experiment_new *n;
	int64_t now_ms, number; /* number -1: the next free one */
};

static enum err name_is_free(struct tx *tx, const struct making *m, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et,
		"SELECT deleted_ms FROM experiment WHERE project = ? AND name = ?",
		P_TEXT(m->project), P_TEXT(m->n->name));
	if (e)
		return e;
	if (row_next(r, &e, et))
		e = err_set(et, ERR_CONFLICT, "Experiment(name=%.*s) already exists.%s",
			STR_FMT(str_sub(m->n->name, 0, 300)),
			row_i64(r, 0) ? " It is deleted: restore it, or remove it for good first."
				      : "");
	row_free(r);
	return e;
}

static enum err next_number(struct tx *tx, struct making *m, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et,
		"SELECT COALESCE(MAX(number), 0) + 1 FROM experiment WHERE project = ?",
		P_TEXT(m->project));
	if (e)
		return e;
	if (row_next(r, &e, et))
		m->number = row_i64(r, 0);
	row_free(r);
	return e;
}

static enum err put_tag(struct tx *tx, struct str project, int64_t number, struct str key,
	struct str value, struct errtext *et)
{
	return db_exec(tx, et,
		"INSERT INTO experiment_tag (project, number, name, value) VALUES (?, ?, ?, ?) "
		"ON CONFLICT (project, number, name) DO UPDATE SET value = excluded.value",
		P_TEXT(project), P_I64(number), P_TEXT(key), P_TEXT(value));
}

static enum err make_default(struct tx *tx, void *ctx, struct errtext *et)
{
	const struct making *m = ctx;
	return db_exec(tx, et,
		"INSERT INTO experiment (project, number, name, location, created_ms, updated_ms) "
		"VALUES (?, 0, 'Default', '', ?, ?) ON CONFLICT (project, number) DO NOTHING",
		P_TEXT(m->project), P_I64(m->now_ms), P_I64(m->now_ms));
}

/* "Default" is made when a project's experiments are first asked for. */
static enum err ensure_default(struct croft *c, struct str project, struct errtext *et)
{
	struct tx *tx;
	struct row *r;
	bool there = false;
	enum err e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	e = db_query(tx, &r, et, "SELECT 1 FROM experiment WHERE project = ? AND number = 0",
		P_TEXT(project));
	if (!e) {
		there = row_next(r, &e, et);
		row_free(r);
	}
	db_rollback(tx);
	struct making m = {.project = project, .now_ms = clock_unix_ms()};
	return e || there ? e : db_write(croft_db(c), make_default, &m, et);
}

static enum err make(struct tx *tx, void *ctx, struct errtext *et)
{
	struct making *m = ctx;
	enum err e = make_default(tx, m, et);
	if (!e)
		e = name_is_free(tx, m, et);
	if (!e)
		e = next_number(tx, m, et);
	if (!e)
		e = db_exec(tx, et,
			"INSERT INTO experiment (project, number, name, location, created_ms, "
			"updated_ms) VALUES (?, ?, ?, ?, ?, ?)",
			P_TEXT(m->project), P_I64(m->number), P_TEXT(m->n->name),
			P_TEXT(m->n->location), P_I64(m->now_ms), P_I64(m->now_ms));
	for (size_t i = 0; i < m->n->n_tags && !e; i++)
		e = put_tag(tx, m->project, m->number, m->n->tags[i].key, m->n->tags[i].value, et);
	return e;
}

enum err experiment_create(struct croft *c, struct str project, const struct experiment_new *n,
	int64_t *number, struct errtext *et)
{
	struct making m = {project, n, clock_unix_ms(), -1};
	struct experiment_new filled = *n;
	if (!filled.location.p)
		filled.location = S("");
	m.n = &filled;
	enum err e = db_write(croft_db(c), make, &m, et);
	if (!e)
		*number = m.number;
	return e;
}

/* ---- reading ---- */

enum err experiment_get(struct croft *c, struct str project, int64_t number, struct arena *a,
	struct experiment *out, struct errtext *et)
{
	struct tx *tx;
	enum err e = number ? OK : ensure_default(c, project, et);
	if (!e)
		e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	e = experiment_store_get(tx, project, number, a, out, et);
	db_rollback(tx);
	return e;
}

enum err experiment_by_name(struct croft *c, struct str project, struct str name, struct arena *a,
	struct experiment *out, struct errtext *et)
{
	struct tx *tx;
	struct row *r;
	int64_t number = -1;
	enum err e = ensure_default(c, project, et);
	if (!e)
		e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	e = db_query(tx, &r, et, "SELECT number FROM experiment WHERE project = ? AND name = ?",
		P_TEXT(project), P_TEXT(name));
	if (!e) {
		if (row_next(r, &e, et))
			number = row_i64(r, 0);
		else if (!e)
			e = err_set(et, ERR_NOT_FOUND, "Could not find experiment with name '%.*s'",
				STR_FMT(str_sub(name, 0, 300)));
		row_free(r);
	}
	if (!e)
		e = experiment_store_get(tx, project, number, a, out, et);
	db_rollback(tx);
	return e;
}

static enum err list_rows(struct tx *tx, struct str project, enum track_view view, struct arena *a,
	struct experiment **list, size_t *n, struct errtext *et)
{
	struct row *r;
	size_t cap = 0, k = 0;
	struct experiment *v = NULL;
	struct buf sql = {0};
	buf_addf(&sql, "%s%s ORDER BY number", columns,
		view == VIEW_ACTIVE    ? " AND deleted_ms = 0"
		: view == VIEW_DELETED ? " AND deleted_ms > 0"
				       : "");
	enum err e = sql.err ? no_memory(et) : db_query(tx, &r, et, buf_c(&sql), P_TEXT(project));
	buf_free(&sql);
	if (e)
		return e;
	while (!e && row_next(r, &e, et)) {
		if (!arena_room(a, v, k, cap)) {
			e = no_memory(et);
			break;
		}
		e = read_row(r, a, &v[k++], et);
	}
	row_free(r);
	for (size_t i = 0; i < k && !e; i++)
		e = read_tags(tx, project, &v[i], a, et);
	if (!e) {
		*list = v;
		*n = k;
	}
	return e;
}

enum err experiment_list(struct croft *c, struct str project, enum track_view view, struct arena *a,
	struct experiment **list, size_t *n, struct errtext *et)
{
	struct tx *tx;
	enum err e = ensure_default(c, project, et);
	if (!e)
		e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	e = list_rows(tx, project, view, a, list, n, et);
	db_rollback(tx);
	return e;
}

/* ---- changing ---- */

struct changing {
	const struct principal *who;
	struct str project;
	int64_t number, now_ms;
	struct str name, key, value;
	bool restore;
};

static enum err state_of(
	struct tx *tx, const struct changing *ch, bool *deleted, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et,
		"SELECT deleted_ms FROM experiment WHERE project = ? AND number = ?",
		P_TEXT(ch->project), P_I64(ch->number));
	if (e)
		return e;
	if (row_next(r, &e, et))
		*deleted = row_i64(r, 0) != 0;
	else if (!e)
		e = err_set(et, ERR_NOT_FOUND, "No Experiment with id=%lld exists",
			(long long)ch->number);
	row_free(r);
	return e;
}

static enum err must_be_active(struct tx *tx, const struct changing *ch, struct errtext *et)
{
	bool deleted;
	enum err e = state_of(tx, ch, &deleted, et);
	if (!e && deleted)
		e = err_set(et, ERR_INVALID,
			"The experiment %lld must be in the 'active' state. Current state is "
			"deleted.",
			(long long)ch->number);
	return e;
}

static enum err rename_in(struct tx *tx, void *ctx, struct errtext *et)
{
	struct changing *ch = ctx;
	struct experiment_new n = {.name = ch->name};
	struct making m = {.project = ch->project, .n = &n};
	struct row *r;
	bool same = false;
	enum err e = must_be_active(tx, ch, et);
	if (!e)
		e = db_query(tx, &r, et,
			"SELECT 1 FROM experiment WHERE project = ? AND number = ? AND name = ?",
			P_TEXT(ch->project), P_I64(ch->number), P_TEXT(ch->name));
	if (!e) {
		same = row_next(r, &e, et);
		row_free(r);
	}
	if (!e && !same)
		e = name_is_free(tx, &m, et);
	return e ? e
		 : db_exec(tx, et,
			   "UPDATE experiment SET name = ?, updated_ms = ? WHERE project = ? AND "
			   "number = ?",
			   P_TEXT(ch->name), P_I64(ch->now_ms), P_TEXT(ch->project),
			   P_I64(ch->number));
}

enum err experiment_rename(
	struct croft *c, struct str project, int64_t number, struct str name, struct errtext *et)
{
	struct changing ch = {
		.project = project, .number = number, .now_ms = clock_unix_ms(), .name = name};
	return db_write(croft_db(c), rename_in, &ch, et);
}

static enum err delete_in(struct tx *tx, void *ctx, struct errtext *et)
{
	struct changing *ch = ctx;
	char subject[32];
	bool deleted = false;
	enum err e = state_of(tx, ch, &deleted, et);
	if (!e && deleted != ch->restore)
		e = err_set(et, ERR_NOT_FOUND, "No %s experiment with id=%lld exists",
			ch->restore ? "deleted" : "active", (long long)ch->number);
	int64_t ms = ch->restore ? 0 : ch->now_ms;
	if (!e && !ch->restore)
		e = retain_none_held(tx, ch->project, ch->number, et);
	if (!e)
		e = db_exec(tx, et,
			"UPDATE experiment SET deleted_ms = ?, updated_ms = ? WHERE project = ? "
			"AND number = ?",
			P_I64(ms), P_I64(ch->now_ms), P_TEXT(ch->project), P_I64(ch->number));
	if (!e)
		e = track_store_mark(tx, ch->project, ch->number, (struct id){0}, ms, et);
	snprintf(subject, sizeof subject, "experiment %lld", (long long)ch->number);
	return e ? e
		 : audit_add(tx, ch->who, ch->restore ? "experiment.restore" : "experiment.delete",
			   str_c(subject), (struct str){0}, et);
}

enum err experiment_delete(struct croft *c, const struct principal *who, struct str project,
	int64_t number, bool restore, struct errtext *et)
{
	struct changing ch = {.who = who,
		.project = project,
		.number = number,
		.now_ms = clock_unix_ms(),
		.restore = restore};
	enum err e = number ? OK : ensure_default(c, project, et);
	return e ? e : db_write(croft_db(c), delete_in, &ch, et);
}

static enum err tag_in(struct tx *tx, void *ctx, struct errtext *et)
{
	struct changing *ch = ctx;
	enum err e = must_be_active(tx, ch, et);
	if (e)
		return e;
	if (ch->value.p)
		return put_tag(tx, ch->project, ch->number, ch->key, ch->value, et);
	e = db_exec(tx, et,
		"DELETE FROM experiment_tag WHERE project = ? AND number = ? AND name = ?",
		P_TEXT(ch->project), P_I64(ch->number), P_TEXT(ch->key));
	if (!e && !db_changes(tx))
		e = err_set(et, ERR_NOT_FOUND, "No tag with name: %.*s in experiment with id %lld",
			STR_FMT(str_sub(ch->key, 0, 250)), (long long)ch->number);
	return e;
}

enum err experiment_tag(struct croft *c, struct str project, int64_t number, struct str key,
	struct str value, struct errtext *et)
{
	struct changing ch = {.project = project, .number = number, .key = key, .value = value};
	enum err e = number ? OK : ensure_default(c, project, et);
	return e ? e : db_write(croft_db(c), tag_in, &ch, et);
}
