/* What tables a database has, and their rows in one form for every backend: a line of JSON, an
 * array with a value for each column (BLOB as base64, infinities as strings). Inside the store: for
 * backup and migration. */
#ifndef STORE_SCHEMA_H
#define STORE_SCHEMA_H
#include "base/arena.h"
#include "base/json.h"
#include "store/backup.h"
#include "store/db_int.h"

enum column_type { COLUMN_I64, COLUMN_F64, COLUMN_TEXT, COLUMN_BLOB };

struct column {
	struct str name;
	enum column_type type;
	int64_t key; /* place in the primary key, from 1; 0: not in it */
};

struct table {
	struct str name;
	struct column *columns;
	size_t n;
	struct str *needs; /* tables that its rows refer to */
	size_t n_needs;
};

const char *column_type_word(enum column_type t); /* "BIGINT" */
bool column_type_parse(struct str word, enum column_type *out);

/* Every table but the record of migrations; what others refer to comes first. */
enum err schema_read(struct tx *tx, struct arena *a, struct table **out, size_t *n,
	struct errtext *et) MUST_CHECK;
/* Runs the first `number` migrations of each part and records them; all tables are empty then.
 * `wanted` says how many of a part; ERR_CONFLICT when it wants more than there are. */
enum err schema_make(struct tx *tx, const struct schema_part *parts, size_t n,
	enum err (*wanted)(void *ctx, const char *module, const struct migration *m, bool *apply,
		struct errtext *et),
	void *ctx, struct errtext *et) MUST_CHECK;

/* Each row in the order of the primary key, without the line's end. */
enum err table_rows(struct tx *tx, const struct table *t,
	enum err (*fn)(void *ctx, struct str line, struct errtext *et), void *ctx,
	const struct cancel *cancel, struct errtext *et) MUST_CHECK;
/* The INSERT of a table, for row_insert. */
void table_insert_sql(const struct table *t, struct buf *out);
enum err row_insert(struct tx *tx, const struct table *t, const char *sql, struct str line,
	struct arena *a, struct errtext *et) MUST_CHECK;

/* For sqlite.c and postgres.c to fill: see db_int.h. */
#endif
