/* Results of curation in the database: one row of each kind, its cases packed. */
#include "collection/curate_int.h"

static const char *const words[CURATE_KINDS] = {
	"duplicates", "outliers", "sample", "propagate", "mislabelled", "balance"};

const char *curate_word(enum curate_kind k)
{
	return words[k];
}

bool curate_parse_kind(struct str word, enum curate_kind *out)
{
	for (size_t i = 0; i < CURATE_KINDS; i++)
		if (str_eq_c(word, words[i])) {
			*out = (enum curate_kind)i;
			return true;
		}
	return false;
}

/* ---- cases to bytes: "CCUR", version (u32), n (u64), the cases as they lie, little-endian ---- */

static const char magic[4] = {'C', 'C', 'U', 'R'};
enum { VERSION = 1, HEAD = 16 };

_Static_assert(sizeof(struct curate_case) == 40, "cases are stored as they lie");

void curate_encode(const struct curate_case *c, size_t n, struct buf *out)
{
	uint32_t version = VERSION;
	uint64_t count = n;
	buf_add(out, magic, sizeof magic);
	buf_add(out, &version, sizeof version);
	buf_add(out, &count, sizeof count);
	buf_add(out, c, n * sizeof *c);
}

enum err curate_decode(
	struct str b, struct arena *a, struct curate_case **out, size_t *n, struct errtext *et)
{
	uint32_t version = 0;
	uint64_t count = 0;
	if (b.n >= HEAD) {
		memcpy(&version, b.p + 4, sizeof version);
		memcpy(&count, b.p + 8, sizeof count);
	}
	if (b.n < HEAD || memcmp(b.p, magic, sizeof magic) || version != VERSION ||
		count != (b.n - HEAD) / sizeof(struct curate_case) ||
		(b.n - HEAD) % sizeof(struct curate_case))
		return err_set(
			et, ERR_CORRUPT, "a stored result of curation is damaged: make it again");
	struct curate_case *list = arena_array_of(a, count + 1, struct curate_case);
	if (!list)
		return err_set(et, ERR_NOMEM, "no memory for a result of curation");
	memcpy(list, b.p + HEAD, count * sizeof *list);
	*out = list;
	*n = count;
	return OK;
}

/* ---- SQL ---- */

enum err store_curation(struct tx *tx, int64_t collection, enum curate_kind kind, bool cases,
	struct arena *a, struct curate_row *out, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et,
		cases ? "SELECT seq, made_ms, about, cases FROM collection_curation WHERE "
			"collection = ? AND kind = ?"
		      : "SELECT seq, made_ms, about FROM collection_curation WHERE collection = ? "
			"AND kind = ?",
		P_I64(collection), P_TEXT(str_c(words[kind])));
	if (e)
		return e;
	bool found = row_next(r, &e, et);
	if (found) {
		*out = (struct curate_row){collection, row_i64(r, 0), row_i64(r, 1), kind,
			arena_str(a, row_text(r, 2)),
			cases ? arena_str(a, row_blob(r, 3)) : (struct str){0}};
		if (!out->about.p || (cases && !out->cases.p))
			e = err_set(et, ERR_NOMEM, "no memory for a result of curation");
	}
	row_free(r);
	return e || found ? e : ERR_NOT_FOUND;
}

enum err store_curation_put(struct tx *tx, const struct curate_row *r, struct errtext *et)
{
	return db_exec(tx, et,
		"INSERT INTO collection_curation (collection, kind, seq, made_ms, about, cases) "
		"VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (collection, kind) DO UPDATE SET "
		"seq = excluded.seq, made_ms = excluded.made_ms, about = excluded.about, "
		"cases = excluded.cases",
		P_I64(r->collection), P_TEXT(str_c(words[r->kind])), P_I64(r->seq),
		P_I64(r->made_ms), P_TEXT(r->about), P_BLOB(r->cases));
}

enum err store_curation_drop(
	struct tx *tx, int64_t collection, enum curate_kind kind, struct errtext *et)
{
	return db_exec(tx, et, "DELETE FROM collection_curation WHERE collection = ? AND kind = ?",
		P_I64(collection), P_TEXT(str_c(words[kind])));
}
