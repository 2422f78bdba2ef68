/* Reading traces one by one, and changing what is said about them. */
#include "run/trace_find_int.h"
#include "access/access.h"
#include "base/clock.h"
#include "base/room.h"
#include "run/retain_int.h"

#include <stdlib.h>

enum { NOTES_MAX = 1000 };

static struct str kept(struct arena *a, struct row *r, int column, bool blob, enum err *e)
{
	if (row_null(r, column))
		return (struct str){0};
	struct str s = arena_str(a, blob ? row_blob(r, column) : row_text(r, column));
	if (!s.p)
		*e = ERR_NOMEM;
	return s;
}

enum err trace_read_run(struct row *r, struct arena *a, struct trace_found *out)
{
	*out = (struct trace_found){.experiment = row_i64(r, 13)};
	return run_row_read(r, a, &out->run);
}

/* ---- notes ---- */

enum err trace_read_notes(
	struct tx *tx, struct id run, struct arena *a, struct trace_found *f, struct errtext *et)
{
	struct row *r;
	size_t n = 0;
	enum err e = db_query(tx, &r, et,
		"SELECT metadata, name, value FROM trace_note WHERE run = ? ORDER BY metadata, "
		"name",
		P_ID(run));
	if (e)
		return e;
	while (!e && n < NOTES_MAX && row_next(r, &e, et)) {
		if (!f->notes)
			f->notes = arena_array_of(a, NOTES_MAX, struct trace_note);
		if (!f->notes)
			e = ERR_NOMEM;
		else
			f->notes[n++] = (struct trace_note){(enum trace_note_kind)row_i64(r, 0),
				kept(a, r, 1, false, &e), kept(a, r, 2, false, &e)};
	}
	row_free(r);
	f->n_notes = n;
	if (!e)
		e = feedback_read(tx, run, false, a, &f->assessments, &f->n_assessments, et);
	return e;
}

struct str trace_note_of(const struct trace_found *f, enum trace_note_kind kind, struct str key)
{
	for (size_t i = 0; i < f->n_notes; i++)
		if (f->notes[i].kind == kind && str_eq(f->notes[i].key, key))
			return f->notes[i].value;
	return (struct str){0};
}

/* ---- one trace ---- */

enum err trace_load_tx(struct tx *tx, struct str project, struct id id, struct arena *a,
	struct trace_found *out, struct errtext *et)
{
	struct row *r;
	char hex[ID_HEX + 1];
	id_hex(id, hex);
	*out = (struct trace_found){0};
	enum err e = db_query(tx, &r, et,
		"SELECT " TRACE_RUN_COLUMNS " FROM run WHERE id = ? AND project = ?", P_ID(id),
		P_TEXT(project));
	if (e)
		return e;
	if (row_next(r, &e, et))
		e = trace_read_run(r, a, out);
	else if (!e)
		e = err_set(et, ERR_NOT_FOUND, "there is no trace %s", hex);
	row_free(r);
	return e ? e : trace_read_notes(tx, id, a, out, et);
}

enum err trace_load_info(struct db *db, struct str project, struct id id, struct arena *a,
	struct trace_found *out, struct errtext *et)
{
	struct tx *tx;
	enum err e = db_begin(db, TX_READ, &tx, et);
	if (e)
		return e;
	e = trace_load_tx(tx, project, id, a, out, et);
	db_rollback(tx);
	return e;
}

enum err trace_load(struct db *db, struct str project, struct id id, struct arena *a,
	struct trace_found *out, struct span_row **spans, size_t *n, struct errtext *et)
{
	struct tx *tx;
	enum err e = db_begin(db, TX_READ, &tx, et);
	if (e)
		return e;
	e = trace_load_tx(tx, project, id, a, out, et);
	if (!e)
		e = span_rows(tx, id, 0, a, spans, n, et);
	db_rollback(tx);
	return e;
}

enum err trace_load_span(struct db *db, struct str project, struct id id, int64_t span,
	struct arena *a, struct trace_found *out, struct span_row *row, struct errtext *et)
{
	struct tx *tx;
	struct span_row *list;
	size_t n = 0;
	enum err e = db_begin(db, TX_READ, &tx, et);
	if (e)
		return e;
	e = trace_load_tx(tx, project, id, a, out, et);
	if (!e)
		e = span_rows(tx, id, span, a, &list, &n, et);
	db_rollback(tx);
	if (!e && (!n || !span))
		e = err_set(et, ERR_NOT_FOUND, "this trace has no span %016llx",
			(unsigned long long)span);
	if (!e)
		*row = list[0];
	return e;
}

enum err trace_load_source(struct db *db, struct str project, struct str holder, struct arena *a,
	struct trace_source *out, struct errtext *et)
{
	struct tx *tx;
	struct row *r;
	*out = (struct trace_source){0};
	if (!holder.p)
		return OK;
	enum err e = db_begin(db, TX_READ, &tx, et);
	if (e)
		return e;
	e = db_query(tx, &r, et,
		"SELECT resource, resource_url, scope, scope_url FROM span_holder WHERE project = "
		"? "
		"AND id = ?",
		P_TEXT(project), P_BLOB(holder));
	if (!e) {
		if (row_next(r, &e, et))
			*out = (struct trace_source){kept(a, r, 0, true, &e),
				kept(a, r, 1, true, &e), kept(a, r, 2, true, &e),
				kept(a, r, 3, true, &e)};
		row_free(r);
	}
	db_rollback(tx);
	return e;
}

/* ---- changes ---- */

enum err trace_put_notes(
	struct tx *tx, struct id run, const struct trace_note *notes, size_t n, struct errtext *et)
{
	enum err e = OK;
	for (size_t i = 0; !e && i < n; i++)
		e = db_exec(tx, et,
			"INSERT INTO trace_note (run, metadata, name, value) VALUES (?, ?, ?, ?) "
			"ON CONFLICT (run, metadata, name) DO UPDATE SET value = excluded.value",
			P_ID(run), P_I64(notes[i].kind), P_TEXT(notes[i].key),
			P_TEXT(notes[i].value));
	return e;
}

struct change {
	const struct principal *who;
	struct str project;
	struct id id;
	struct trace_note note;
	int64_t experiment; /* of a trace that is not here yet */
};

static enum err change_tag(struct tx *tx, void *ctx, struct errtext *et)
{
	struct change *ch = ctx;
	struct arena *a = arena_new(0);
	struct trace_found f;
	enum err e = a ? trace_load_tx(tx, ch->project, ch->id, a, &f, et)
		       : err_set(et, ERR_NOMEM, "no memory for a trace");
	bool there = !e && trace_note_of(&f, NOTE_TAG, ch->note.key).p;
	if (!e && ch->note.value.p && !there && f.n_notes >= NOTES_MAX)
		e = err_set(et, ERR_LIMIT, "a trace takes at most %d tags", NOTES_MAX);
	if (!e && ch->note.value.p)
		e = trace_put_notes(tx, ch->id, &ch->note, 1, et);
	else if (!e && !there)
		e = err_set(et, ERR_NOT_FOUND, "this trace has no tag %.*s",
			STR_FMT(str_sub(ch->note.key, 0, 100)));
	else if (!e)
		e = db_exec(tx, et,
			"DELETE FROM trace_note WHERE run = ? AND metadata = 0 AND name = ?",
			P_ID(ch->id), P_TEXT(ch->note.key));
	arena_free(a);
	return e;
}

enum err trace_tag(struct croft *c, struct str project, struct id id, struct str key,
	struct str value, struct errtext *et)
{
	struct change ch = {.project = project, .id = id, .note = {NOTE_TAG, key, value}};
	if (!key.n || key.n > 250 || value.n > 8000)
		return err_set(
			et, ERR_INVALID, "a tag's key has 1 to 250 bytes, its value at most 8000");
	return db_write(croft_db(c), change_tag, &ch, et);
}

static enum err link_one(struct tx *tx, void *ctx, struct errtext *et)
{
	struct change *ch = ctx;
	struct arena *a = arena_new(0);
	struct trace_found f;
	enum err e = a ? trace_load_tx(tx, ch->project, ch->id, a, &f, et)
		       : err_set(et, ERR_NOMEM, "no memory for a trace");
	if (e == ERR_NOT_FOUND) { /* clients send traces in the background: it is on its way */
		f.n_notes = 0;
		e = trace_store_report(tx, ch->project,
			&(struct trace_report){.id = ch->id,
				.experiment = ch->experiment,
				.start_ns = clock_unix_ns(),
				.status = STATUS_RUNNING},
			et);
	}
	if (!e && f.n_notes >= NOTES_MAX)
		e = err_set(et, ERR_LIMIT, "a trace takes at most %d tags", NOTES_MAX);
	if (!e)
		e = trace_put_notes(tx, ch->id, &ch->note, 1, et);
	arena_free(a);
	return e;
}

enum err trace_link(struct croft *c, struct str project, struct id id, struct id run,
	int64_t experiment, struct errtext *et)
{
	char hex[ID_HEX + 1];
	id_hex(run, hex);
	struct change ch = {.project = project,
		.id = id,
		.experiment = experiment,
		.note = {NOTE_RUN, str_c(hex), S("")}};
	return db_write(croft_db(c), link_one, &ch, et);
}

struct report {
	struct str project;
	const struct trace_report *r;
};

static enum err report_one(struct tx *tx, void *ctx, struct errtext *et)
{
	struct report *w = ctx;
	enum err e = trace_store_report(tx, w->project, w->r, et);
	return e ? e : trace_put_notes(tx, w->r->id, w->r->notes, w->r->n_notes, et);
}

enum err trace_report(
	struct croft *c, struct str project, const struct trace_report *r, struct errtext *et)
{
	struct report w = {project, r};
	if (r->n_notes > NOTES_MAX)
		return err_set(
			et, ERR_LIMIT, "a trace takes at most %d tags and metadata", NOTES_MAX);
	return db_write(croft_db(c), report_one, &w, et);
}

static enum err delete_one(struct tx *tx, void *ctx, struct errtext *et)
{
	struct change *ch = ctx;
	struct arena *a = arena_new(0);
	struct trace_found f;
	struct buf subject = {0}, detail = {0};
	struct jw w = {.out = &detail};
	char hex[ID_HEX + 1];
	enum err e = a ? trace_load_tx(tx, ch->project, ch->id, a, &f, et)
		       : err_set(et, ERR_NOMEM, "no memory for a trace");
	if (!e)
		e = retain_not_held(tx, ch->id, et);
	if (!e) {
		id_hex(ch->id, hex);
		buf_addf(&subject, "run/%s", hex);
		jw_obj(&w);
		jw_kstr(&w, "kind", f.run.kind);
		jw_kstr(&w, "name", f.run.name);
		jw_ki64(&w, "started_ms", f.run.start_ns / 1000000);
		jw_ki64(&w, "spans", f.run.spans);
		jw_end(&w);
		e = audit_add(tx, ch->who, "run.delete", buf_str(&subject), buf_str(&detail), et);
	}
	if (!e)
		e = db_exec(tx, et, "DELETE FROM trace_log WHERE project = ? AND run = ?",
			P_TEXT(ch->project), P_ID(ch->id));
	if (!e)
		e = db_exec(tx, et, "DELETE FROM run WHERE id = ? AND project = ?", P_ID(ch->id),
			P_TEXT(ch->project));
	buf_free(&subject);
	buf_free(&detail);
	arena_free(a);
	return e;
}

enum err trace_delete(struct croft *c, const struct principal *who, struct str project,
	struct id id, struct errtext *et)
{
	struct change ch = {.who = who, .project = project, .id = id};
	return db_write(croft_db(c), delete_one, &ch, et);
}
