/* Rows of files of data, and what became of them between two files: CSV, TSV and JSON lines.
 *
 * Rows are told apart by a key: a column that names each row of both files once (given, or found:
 *id, _id, key, uuid, path). Without one a row that differs anywhere is another row. The order of
 *rows and of columns does not matter; an empty or null cell is no cell.
 *
 *	struct rows_diff d;
 *	e = rows_diff(old, new, ROWS_CSV, (struct str){0}, 100, arena, &d, et);
 *	printf("%lld added, %lld changed\n", d.added, d.changed);
 *
 * Bounded: at most ROWS_MAX rows and ROWS_BYTES_MAX bytes of each file are read, and `cut` says
 *when there is more. Any thread. */
#ifndef ARTIFACT_ROWS_H
#define ARTIFACT_ROWS_H
#include "base/arena.h"
#include "base/err.h"

enum { ROWS_MAX = 1000000, ROWS_BYTES_MAX = 64 << 20, ROWS_COLUMNS_MAX = 1000 };

enum rows_format { ROWS_NONE, ROWS_CSV, ROWS_TSV, ROWS_JSONL };
enum rows_format rows_format_of(struct str path); /* by its ending */
const char *rows_format_word(enum rows_format f);

struct rows_column {
	struct str name;
	/* of [0] the file before, [1] the one after */
	struct rows_stats {
		int64_t values;            /* cells that are there */
		int64_t numbers, truths;   /* of them: numbers; true or false */
		int64_t texts, structures; /* the others */
		double min, max, mean, m2; /* of the numbers; m2: sum of squared distances */
		int64_t length;            /* bytes of all texts */
	} stats[2];
	int64_t changed; /* rows of the same key in which it differs */
};
/* "number", "boolean", "text", "json", "mixed", or "empty". */
const char *rows_type(const struct rows_stats *s);
double rows_deviation(const struct rows_stats *s);

enum rows_change { ROWS_ADDED, ROWS_REMOVED, ROWS_CHANGED };
struct rows_entry {
	enum rows_change change;
	struct str row; /* its key; without a key the row as it stands in the file, shortened */
};

struct rows_diff {
	struct str key; /* .p NULL: there is none */
	int64_t rows[2], same, added, removed, changed;
	bool cut[2];
	struct rows_column *columns; /* in the order in which they occur */
	size_t n_columns;
	struct rows_entry *entries; /* the first so many, in the order of the files */
	size_t n_entries;
};

/* key .p NULL: found. ERR_INVALID: a file is malformed (where), or the key that was asked for is no
 * key. Strings point into the arena or the files. */
enum err rows_diff(struct str before, struct str after, enum rows_format format, struct str key,
	size_t entries_max, struct arena *a, struct rows_diff *out, struct errtext *et) MUST_CHECK;

#endif
