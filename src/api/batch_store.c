/* Rows of batches and of their answered lines. */
#include "api/batch_int.h"
#include "base/clock.h"

void batch_id(struct id id, char out[BATCH_ID + 1])
{
	memcpy(out, "batch_", 6);
	id_hex(id, out + 6);
}

bool batch_id_parse(struct str text, struct id *out)
{
	return text.n == BATCH_ID && str_starts(text, S("batch_")) &&
	       id_parse(str_sub(text, 6, text.n), out);
}

bool batch_over(const struct batch *b)
{
	return str_eq_c(b->status, "failed") || str_eq_c(b->status, "completed") ||
	       str_eq_c(b->status, "expired") || str_eq_c(b->status, "cancelled");
}

static enum err not_found(struct id id, struct errtext *et)
{
	char text[BATCH_ID + 1];
	batch_id(id, text);
	return err_set(et, ERR_NOT_FOUND, "there is no batch %s in this project", text);
}

static enum err add_in(struct tx *tx, void *ctx, struct errtext *et)
{
	const struct batch *b = ctx;
	char hex[ID_HEX + 1];
	id_hex(b->id, hex);
	enum err e = db_exec(tx, et,
		"INSERT INTO api_batch (id, project, input, endpoint, status, metadata, problems, "
		"output, errors, total, completed, failed, created_ms, started_ms, "
		"finalizing_ms, ended_ms, cancelling_ms, expires_ms) VALUES (?, ?, ?, ?, "
		"'validating', ?, '', ?, ?, 0, 0, 0, ?, 0, 0, 0, 0, ?)",
		P_ID(b->id), P_TEXT(b->project), P_ID(b->input), P_TEXT(b->endpoint),
		P_TEXT(b->metadata), P_ID(b->output), P_ID(b->errors), P_I64(b->created_ms),
		P_I64(b->expires_ms));
	/* each crash of a server is an attempt: the window is the limit, not their number */
	return e ? e
		 : queue_add(tx, "batch", str_c(hex),
			   &(struct queue_options){.attempts_max = 1000000}, NULL, et);
}

enum err batch_add(struct croft *c, const struct batch *b, struct errtext *et)
{
	struct batch copy = *b;
	return db_write(croft_db(c), add_in, &copy, et);
}

#define COLUMNS                                                                               \
	"id, project, input, endpoint, status, metadata, problems, output, errors, total, "   \
	"completed, failed, created_ms, started_ms, finalizing_ms, ended_ms, cancelling_ms, " \
	"expires_ms"

static enum err read_row(struct row *r, struct arena *a, struct batch *b, struct errtext *et)
{
	*b = (struct batch){.id = row_id(r, 0),
		.project = arena_str(a, row_text(r, 1)),
		.input = row_id(r, 2),
		.endpoint = arena_str(a, row_text(r, 3)),
		.status = arena_str(a, row_text(r, 4)),
		.metadata = arena_str(a, row_text(r, 5)),
		.problems = arena_str(a, row_text(r, 6)),
		.output = row_id(r, 7),
		.errors = row_id(r, 8),
		.total = row_i64(r, 9),
		.completed = row_i64(r, 10),
		.failed = row_i64(r, 11),
		.created_ms = row_i64(r, 12),
		.started_ms = row_i64(r, 13),
		.finalizing_ms = row_i64(r, 14),
		.ended_ms = row_i64(r, 15),
		.cancelling_ms = row_i64(r, 16),
		.expires_ms = row_i64(r, 17)};
	bool whole = b->project.p && b->endpoint.p && b->status.p && b->metadata.p && b->problems.p;
	return whole ? OK : err_set(et, ERR_NOMEM, "no memory for a batch");
}

static enum err query_one(struct tx *tx, struct str project, struct id id, struct arena *a,
	struct batch *out, struct errtext *et)
{
	struct row *r;
	enum err e =
		db_query(tx, &r, et, "SELECT " COLUMNS " FROM api_batch WHERE id = ?", P_ID(id));
	if (e)
		return e;
	bool found = row_next(r, &e, et);
	if (found)
		e = read_row(r, a, out, et);
	row_free(r);
	if (e)
		return e;
	return found && (!project.p || str_eq(out->project, project)) ? OK : not_found(id, et);
}

enum err batch_get(struct croft *c, struct str project, struct id id, struct arena *a,
	struct batch *out, struct errtext *et)
{
	struct tx *tx;
	enum err e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	e = query_one(tx, project, id, a, out, et);
	db_rollback(tx);
	return e;
}

enum err batch_list(struct croft *c, struct str project, struct id after, int64_t limit,
	struct arena *a, struct batch **out, size_t *n, bool *more, struct errtext *et)
{
	struct tx *tx;
	struct row *r;
	size_t k = 0;
	struct batch *v = arena_array_of(a, (size_t)limit + 1, struct batch);
	if (id_is_zero(after))
		memset(&after, 255, sizeof after);
	if (!v)
		return err_set(et, ERR_NOMEM, "no memory for batches");
	enum err e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	e = db_query(tx, &r, et,
		"SELECT " COLUMNS " FROM api_batch WHERE project = ? AND id < ? ORDER BY id DESC "
		"LIMIT ?",
		P_TEXT(project), P_ID(after), P_I64(limit + 1));
	if (!e) {
		while (!e && k <= (size_t)limit && row_next(r, &e, et))
			e = read_row(r, a, &v[k++], et);
		row_free(r);
	}
	db_rollback(tx);
	if (e)
		return e;
	*out = v;
	*n = MIN(k, (size_t)limit);
	*more = k > (size_t)limit;
	return OK;
}

enum err batch_cancel(struct croft *c, struct str project, struct id id, struct errtext *et)
{
	return db_change(croft_db(c), NULL, et,
		"UPDATE api_batch SET status = 'cancelling', cancelling_ms = ? WHERE id = ? AND "
		"project = ? AND status IN ('validating', 'in_progress')",
		P_I64(clock_unix_ms()), P_ID(id), P_TEXT(project));
}

enum err batch_started(struct croft *c, struct id id, int64_t total, struct errtext *et)
{
	return db_change(croft_db(c), NULL, et,
		"UPDATE api_batch SET status = 'in_progress', total = ?, started_ms = ? WHERE id = "
		"? AND status = 'validating'",
		P_I64(total), P_I64(clock_unix_ms()), P_ID(id));
}

/* ---- lines ---- */

struct answer {
	struct id batch;
	int64_t line;
	bool good;
	struct str reply;
};

static enum err answer_in(struct tx *tx, void *ctx, struct errtext *et)
{
	const struct answer *w = ctx;
	enum err e = db_exec(tx, et,
		"INSERT INTO api_batch_line (batch, line, good, reply) VALUES (?, ?, ?, ?) "
		"ON CONFLICT (batch, line) DO NOTHING",
		P_ID(w->batch), P_I64(w->line), P_I64(w->good), P_TEXT(w->reply));
	if (e || !db_changes(tx))
		return e;
	return db_exec(tx, et,
		"UPDATE api_batch SET completed = completed + ?, failed = failed + ? WHERE id = ?",
		P_I64(w->good), P_I64(!w->good), P_ID(w->batch));
}

enum err batch_answer(struct croft *c, struct id id, int64_t line, bool good, struct str reply,
	struct errtext *et)
{
	struct answer w = {id, line, good, reply};
	return db_write(croft_db(c), answer_in, &w, et);
}

enum err batch_answered(struct croft *c, struct id id, bool *answered, size_t n, struct errtext *et)
{
	struct tx *tx;
	struct row *r;
	enum err e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	e = db_query(tx, &r, et, "SELECT line FROM api_batch_line WHERE batch = ?", P_ID(id));
	if (!e) {
		while (row_next(r, &e, et))
			if (row_i64(r, 0) >= 0 && (size_t)row_i64(r, 0) < n)
				answered[row_i64(r, 0)] = true;
		row_free(r);
	}
	db_rollback(tx);
	return e;
}

enum err batch_replies(struct croft *c, struct id id, bool good,
	enum err (*fn)(void *ctx, struct str reply), void *ctx, struct errtext *et)
{
	struct tx *tx;
	struct row *r;
	enum err e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	e = db_query(tx, &r, et,
		"SELECT reply FROM api_batch_line WHERE batch = ? AND good = ? ORDER BY line",
		P_ID(id), P_I64(good));
	if (!e) {
		while (!e && row_next(r, &e, et))
			e = fn(ctx, row_text(r, 0));
		row_free(r);
	}
	db_rollback(tx);
	return e;
}

enum err batch_end(struct croft *c, const struct batch *b, const struct job *job,
	const struct file_row *output, const struct file_row *errors, struct errtext *et)
{
	struct tx *tx;
	int64_t now = clock_unix_ms();
	enum err e = db_begin(croft_db(c), TX_WRITE, &tx, et);
	if (e)
		return e;
	e = queue_done(tx, job, et);
	if (!e && output->blob[0])
		e = files_insert(tx, b->project, output, et);
	if (!e && errors->blob[0])
		e = files_insert(tx, b->project, errors, et);
	if (!e)
		e = db_exec(tx, et,
			"UPDATE api_batch SET status = ?, problems = ?, output = ?, errors = ?, "
			"failed = ?, finalizing_ms = ?, ended_ms = ? WHERE id = ?",
			P_TEXT(b->status), P_TEXT(b->problems), P_ID(output->id), P_ID(errors->id),
			P_I64(b->failed), P_I64(b->finalizing_ms), P_I64(now), P_ID(b->id));
	if (!e)
		e = db_exec(tx, et, "DELETE FROM api_batch_line WHERE batch = ?", P_ID(b->id));
	return db_finish(tx, e, et);
}
