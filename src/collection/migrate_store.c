/* Migrations in the database, and the items that have no vector of a space that follows. */
#include "collection/migrate_int.h"
#include "base/clock.h"

static const char *const words[] = {
#define X(name, word) word,
	MIGRATION_STATES(X)
#undef X
};

const char *migration_word(enum migration_state s)
{
	return words[s];
}

#define MIGRATION_COLUMNS                                                                      \
	"id, project, collection, space, from_model, to_model, field, from_place, to_place, "  \
	"from_dim, to_dim, state, total, last_num, reached, done, made, known, skip, shadow, " \
	"rate, stalled, judged, begun_ms, ready_ms, cut_ms, ended_ms, batch_ms"

enum err store_migration_add(struct tx *tx, const struct migration_row *r, struct errtext *et)
{
	return db_exec(tx, et,
		"INSERT INTO collection_migration (" MIGRATION_COLUMNS
		") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
		"?, ?, ?, ?)",
		P_TEXT(r->id), P_TEXT(r->project), P_I64(r->collection), P_TEXT(r->space),
		P_TEXT(r->from_model), P_TEXT(r->to_model), P_TEXT(r->field), P_I64(r->from_place),
		P_I64(r->to_place), P_I64(r->from_dim), P_I64(r->to_dim),
		P_TEXT(str_c(words[r->state])), P_I64(r->total), P_I64(r->last), P_I64(r->reached),
		P_I64(r->done), P_I64(r->made), P_I64(r->known), P_I64(r->skip), P_F64(r->shadow),
		P_F64(r->rate), P_TEXT(r->stalled), P_TEXT(r->judged), P_I64(r->begun_ms),
		P_I64(r->ready_ms), P_I64(r->cut_ms), P_I64(r->ended_ms), P_I64(r->batch_ms));
}

enum err store_migration_set(struct tx *tx, const struct migration_row *r, struct errtext *et)
{
	return db_exec(tx, et,
		"UPDATE collection_migration SET state = ?, reached = ?, done = ?, made = ?, known "
		"= ?, rate = ?, stalled = ?, ready_ms = ?, cut_ms = ?, ended_ms = ?, batch_ms = ? "
		"WHERE id = ?",
		P_TEXT(str_c(words[r->state])), P_I64(r->reached), P_I64(r->done), P_I64(r->made),
		P_I64(r->known), P_F64(r->rate), P_TEXT(r->stalled), P_I64(r->ready_ms),
		P_I64(r->cut_ms), P_I64(r->ended_ms), P_I64(r->batch_ms), P_TEXT(r->id));
}

enum err store_migration_judged(struct tx *tx, struct str id, struct str json, struct errtext *et)
{
	return db_exec(tx, et, "UPDATE collection_migration SET judged = ? WHERE id = ?",
		P_TEXT(json), P_TEXT(id));
}

static enum err read_migration(
	struct row *r, struct arena *a, struct migration_row *m, struct errtext *et)
{
	struct str *const texts[] = {&m->id, &m->project, &m->space, &m->from_model, &m->to_model,
		&m->field, &m->stalled, &m->judged};
	static const int at[] = {0, 1, 3, 4, 5, 6, 21, 22};
	int64_t *const numbers[] = {&m->collection, &m->from_place, &m->to_place, &m->from_dim,
		&m->to_dim, &m->total, &m->last, &m->reached, &m->done, &m->made, &m->known,
		&m->skip, &m->begun_ms, &m->ready_ms, &m->cut_ms, &m->ended_ms, &m->batch_ms};
	static const int n_at[] = {2, 7, 8, 9, 10, 12, 13, 14, 15, 16, 17, 18, 23, 24, 25, 26, 27};
	struct str state = row_text(r, 11);
	*m = (struct migration_row){.shadow = row_f64(r, 19), .rate = row_f64(r, 20)};
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (str_eq_c(state, words[i]))
			m->state = (enum migration_state)i;
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		*numbers[i] = row_i64(r, n_at[i]);
	bool ok = true;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		*texts[i] = arena_str(a, row_text(r, at[i]));
		ok = ok && texts[i]->p;
	}
	return ok ? OK : err_set(et, ERR_NOMEM, "no memory for a migration");
}

enum err store_migration(struct tx *tx, struct str id, struct arena *a, struct migration_row *out,
	struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et,
		"SELECT " MIGRATION_COLUMNS " FROM collection_migration WHERE id = ?", P_TEXT(id));
	if (e)
		return e;
	bool found = row_next(r, &e, et);
	if (found)
		e = read_migration(r, a, out, et);
	row_free(r);
	return e || found ? e
			  : err_set(et, ERR_NOT_FOUND, "there is no migration %.*s",
				    STR_FMT(str_sub(id, 0, 64)));
}

enum err store_migrations(struct tx *tx, int64_t collection, size_t max, struct arena *a,
	struct migration_row **out, size_t *n, struct errtext *et)
{
	struct migration_row *list = arena_array_of(a, max + 1, struct migration_row);
	struct row *r;
	size_t got = 0;
	if (!list)
		return err_set(et, ERR_NOMEM, "no memory for migrations");
	enum err e = db_query(tx, &r, et,
		"SELECT " MIGRATION_COLUMNS
		" FROM collection_migration WHERE collection = ? ORDER BY begun_ms DESC, id DESC "
		"LIMIT ?",
		P_I64(collection), P_I64((int64_t)max));
	if (e)
		return e;
	while (!e && got < max && row_next(r, &e, et))
		e = read_migration(r, a, &list[got++], et);
	row_free(r);
	if (!e) {
		*out = list;
		*n = got;
	}
	return e;
}

/* ---- what lacks a vector ---- */

enum err store_lacking_put(struct tx *tx, int64_t collection, int64_t place, int64_t num,
	struct str reason, struct errtext *et)
{
	return db_exec(tx, et,
		"INSERT INTO collection_lacking (collection, place, num, reason) VALUES (?, ?, ?, "
		"?) ON CONFLICT (collection, place, num) DO UPDATE SET reason = excluded.reason",
		P_I64(collection), P_I64(place), P_I64(num), P_TEXT(reason));
}

enum err store_lacking_del(
	struct tx *tx, int64_t collection, int64_t place, int64_t num, struct errtext *et)
{
	return db_exec(tx, et,
		"DELETE FROM collection_lacking WHERE collection = ? AND place = ? AND num = ?",
		P_I64(collection), P_I64(place), P_I64(num));
}

enum err store_lacking_clear(
	struct tx *tx, int64_t collection, int64_t num, int64_t place, struct errtext *et)
{
	if (num)
		return db_exec(tx, et,
			"DELETE FROM collection_lacking WHERE collection = ? AND num = ?",
			P_I64(collection), P_I64(num));
	return db_exec(tx, et, "DELETE FROM collection_lacking WHERE collection = ? AND place = ?",
		P_I64(collection), P_I64(place));
}

enum err store_lacking_count(
	struct tx *tx, int64_t collection, int64_t place, struct lacking *out, struct errtext *et)
{
	struct row *r;
	struct lacking l = {0};
	enum err e = db_query(tx, &r, et,
		"SELECT reason, COUNT(*) FROM collection_lacking WHERE collection = ? AND place = "
		"? GROUP BY reason",
		P_I64(collection), P_I64(place));
	if (e)
		return e;
	while (row_next(r, &e, et)) {
		struct str why = row_text(r, 0);
		int64_t n = row_i64(r, 1);
		*(!why.n ? &l.pending : str_eq_c(why, NO_TEXT) ? &l.without : &l.failed) += n;
	}
	row_free(r);
	if (!e)
		*out = l;
	return e;
}

enum err store_lacking_list(struct tx *tx, int64_t collection, int64_t place, size_t max,
	struct arena *a, struct lacking_item **out, size_t *n, struct errtext *et)
{
	struct lacking_item *list = arena_array_of(a, max + 1, struct lacking_item);
	struct row *r;
	size_t got = 0;
	if (!list)
		return err_set(et, ERR_NOMEM, "no memory for a list of items");
	enum err e = db_query(tx, &r, et,
		"SELECT i.id, l.reason FROM collection_lacking l JOIN collection_item i ON "
		"i.collection = l.collection AND i.num = l.num WHERE l.collection = ? AND l.place "
		"= ? AND l.reason <> '' ORDER BY l.num LIMIT ?",
		P_I64(collection), P_I64(place), P_I64((int64_t)max));
	if (e)
		return e;
	while (got < max && row_next(r, &e, et)) {
		list[got].id = arena_str(a, row_blob(r, 0));
		list[got++].reason = arena_str(a, row_text(r, 1));
	}
	row_free(r);
	if (!e) {
		*out = list;
		*n = got;
	}
	return e;
}

/* ---- queries that were answered in both spaces ---- */

enum err store_shadow_add(struct tx *tx, struct str migration, int64_t k, double overlap,
	double rbo, struct errtext *et)
{
	uint64_t lot;
	random_bytes(&lot, sizeof lot);
	return db_exec(tx, et,
		"INSERT INTO collection_shadow (migration, at_ms, lot, k, overlap, rbo) VALUES (?, "
		"?, ?, ?, ?, ?)",
		P_TEXT(migration), P_I64(clock_unix_ms()), P_I64((int64_t)(lot >> 1)), P_I64(k),
		P_F64(overlap), P_F64(rbo));
}

enum err store_shadow_prune(struct tx *tx, struct str migration, int64_t kept, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et,
		"SELECT at_ms FROM collection_shadow WHERE migration = ? ORDER BY at_ms DESC LIMIT "
		"1 OFFSET ?",
		P_TEXT(migration), P_I64(kept));
	if (e)
		return e;
	bool more = row_next(r, &e, et);
	int64_t before = more ? row_i64(r, 0) : 0;
	row_free(r);
	return e || !more ? e
			  : db_exec(tx, et,
				    "DELETE FROM collection_shadow WHERE migration = ? AND at_ms "
				    "<= ?",
				    P_TEXT(migration), P_I64(before));
}

enum err store_shadow(struct tx *tx, struct str migration, size_t max, double *overlap, double *rbo,
	double *k, size_t *n, struct errtext *et)
{
	struct row *r;
	double sum = 0;
	size_t got = 0;
	enum err e = db_query(tx, &r, et,
		"SELECT k, overlap, rbo FROM collection_shadow WHERE migration = ? ORDER BY at_ms "
		"DESC, lot LIMIT ?",
		P_TEXT(migration), P_I64((int64_t)max));
	if (e)
		return e;
	while (got < max && row_next(r, &e, et)) {
		sum += (double)row_i64(r, 0);
		overlap[got] = row_f64(r, 1);
		rbo[got++] = row_f64(r, 2);
	}
	row_free(r);
	*n = got;
	*k = got ? sum / (double)got : 0;
	return e;
}
