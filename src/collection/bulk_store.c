/* Jobs on many items, in the database. */
#include "collection/bulk.h"

static const char *const whats[] = {"tag", "label", "checked", "delete", "set", "dataset"};
static const char *const states[] = {"waiting", "running", "done", "failed", "cancelled"};

const char *bulk_word(enum bulk_what w)
{
	return whats[w];
}

const char *bulk_state_word(enum bulk_state s)
{
	return states[s];
}

static const char *kind_word(enum curate_kind k)
{
	return k == CURATE_KINDS ? "" : curate_word(k);
}

enum err store_bulk_add(struct tx *tx, const struct bulk_row *r, struct errtext *et)
{
	return db_exec(tx, et,
		"INSERT INTO collection_bulk (id, project, collection, who_id, who, what, kind, "
		"options, about, cases, state, error, outcome, found_at, reached, total, items, "
		"gone, seq, begun_ms, ended_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
		"?, ?, ?, ?, ?, ?, ?)",
		P_TEXT(r->id), P_TEXT(r->project), P_I64(r->collection), P_TEXT(r->who_id),
		P_TEXT(r->who), P_TEXT(str_c(whats[r->what])), P_TEXT(str_c(kind_word(r->kind))),
		P_TEXT(r->options), P_TEXT(r->about), P_BLOB(r->cases),
		P_TEXT(str_c(states[r->state])), P_TEXT(r->error), P_TEXT(r->outcome),
		P_I64(r->found_at), P_I64(r->reached), P_I64(r->total), P_I64(r->items),
		P_I64(r->gone), P_I64(r->seq), P_I64(r->begun_ms), P_I64(r->ended_ms));
}

#define COLUMNS                                                                               \
	"id, project, who_id, who, error, outcome, what, kind, state, collection, found_at, " \
	"reached, total, items, gone, seq, begun_ms, ended_ms"
#define WHOLE COLUMNS ", about, options, cases"

static size_t place_of(struct str word, const char *const *words, size_t n)
{
	size_t i = 0;
	while (i < n && !str_eq_c(word, words[i]))
		i++;
	return i;
}

static enum err read_row(
	struct row *r, bool whole, struct arena *a, struct bulk_row *out, struct errtext *et)
{
	struct bulk_row b = {.kind = CURATE_KINDS};
	struct str *const texts[] = {&b.id, &b.project, &b.who_id, &b.who, &b.error, &b.outcome};
	int64_t *const numbers[] = {&b.collection, &b.found_at, &b.reached, &b.total, &b.items,
		&b.gone, &b.seq, &b.begun_ms, &b.ended_ms};
	bool ok = true;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		ok &= (*texts[i] = arena_str(a, row_text(r, (int)i))).p != NULL;
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		*numbers[i] = row_i64(r, (int)i + 9);
	size_t what = place_of(row_text(r, 6), whats, ARRAY_LEN(whats));
	size_t state = place_of(row_text(r, 8), states, ARRAY_LEN(states));
	if (what == ARRAY_LEN(whats) || state == ARRAY_LEN(states))
		return err_set(et, ERR_CORRUPT, "a stored job on items is damaged");
	b.what = (enum bulk_what)what;
	b.state = (enum bulk_state)state;
	(void)curate_parse_kind(row_text(r, 7), &b.kind);
	if (whole) {
		b.about = arena_str(a, row_text(r, 18));
		b.options = arena_str(a, row_text(r, 19));
		b.cases = arena_str(a, row_blob(r, 20));
		ok &= b.about.p && b.options.p && b.cases.p;
	}
	*out = b;
	return ok ? OK : err_set(et, ERR_NOMEM, "no memory for a job on items");
}

enum err store_bulk(struct tx *tx, struct str id, bool whole, struct arena *a, struct bulk_row *out,
	struct errtext *et)
{
	struct row *r;
	enum err e =
		whole ? db_query(tx, &r, et, "SELECT " WHOLE " FROM collection_bulk WHERE id = ?",
				P_TEXT(id))
		      : db_query(tx, &r, et, "SELECT " COLUMNS " FROM collection_bulk WHERE id = ?",
				P_TEXT(id));
	if (e)
		return e;
	bool found = row_next(r, &e, et);
	if (found)
		e = read_row(r, whole, a, out, et);
	row_free(r);
	return e || found ? e
			  : err_set(et, ERR_NOT_FOUND, "there is no job %.*s of this collection",
				    STR_FMT(str_sub(id, 0, 64)));
}

enum err store_bulks(struct tx *tx, int64_t collection, size_t max, struct arena *a,
	struct bulk_row **out, size_t *n, struct errtext *et)
{
	struct bulk_row *list = arena_array_of(a, max + 1, struct bulk_row);
	struct row *r;
	size_t got = 0;
	if (!list)
		return err_set(et, ERR_NOMEM, "no memory for jobs on items");
	enum err e = db_query(tx, &r, et,
		"SELECT " COLUMNS " FROM collection_bulk WHERE collection = ? ORDER BY id DESC "
		"LIMIT ?",
		P_I64(collection), P_I64((int64_t)max));
	if (e)
		return e;
	while (!e && got < max && row_next(r, &e, et))
		e = read_row(r, false, a, &list[got++], et);
	row_free(r);
	*out = list;
	*n = got;
	return e;
}

enum err store_bulk_set(struct tx *tx, const struct bulk_row *r, struct errtext *et)
{
	enum err e = db_exec(tx, et,
		"UPDATE collection_bulk SET state = ?, error = ?, outcome = ?, reached = ?, total "
		"= ?, items = ?, gone = ?, seq = ?, ended_ms = ? WHERE id = ?",
		P_TEXT(str_c(states[r->state])), P_TEXT(r->error), P_TEXT(r->outcome),
		P_I64(r->reached), P_I64(r->total), P_I64(r->items), P_I64(r->gone), P_I64(r->seq),
		P_I64(r->ended_ms), P_TEXT(r->id));
	return e || r->state <= BULK_RUNNING
		       ? e
		       : db_exec(tx, et,
				 "UPDATE collection_bulk SET options = '{}', about = '{}', cases "
				 "= ? WHERE id = ?",
				 P_BLOB(S("")), P_TEXT(r->id));
}

enum err store_bulk_cases(
	struct tx *tx, struct str id, struct str cases, int64_t total, struct errtext *et)
{
	return db_exec(tx, et, "UPDATE collection_bulk SET cases = ?, total = ? WHERE id = ?",
		P_BLOB(cases), P_I64(total), P_TEXT(id));
}

enum err store_bulk_trim(struct tx *tx, int64_t collection, struct errtext *et)
{
	return db_exec(tx, et,
		"DELETE FROM collection_bulk WHERE collection = ? AND ended_ms > 0 AND id NOT IN "
		"(SELECT id FROM collection_bulk WHERE collection = ? ORDER BY id DESC LIMIT ?)",
		P_I64(collection), P_I64(collection), P_I64((int64_t)BULK_KEPT));
}

enum err store_bulk_drop(struct tx *tx, int64_t collection, struct errtext *et)
{
	return db_exec(
		tx, et, "DELETE FROM collection_bulk WHERE collection = ?", P_I64(collection));
}
