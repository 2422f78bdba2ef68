/* What models cost: sums of each day, project and model, which stay when traces go.
 *
 * They are kept up in the transaction that stores the spans, so they agree with them always: a span
 * counts when it has ended, and one that is replaced by another version of itself counts as that.
 * The model "" stands for whole traces and runs; its tokens and cost are those of all models. Times
 * are counted in buckets an eighth of a doubling wide, so a percentile is right to 5 %. */
#ifndef RUN_USAGE_INT_H
#define RUN_USAGE_INT_H
#include "run/trace_int.h"

enum { USAGE_BUCKETS = 328, USAGE_MODEL_MAX = 200, USAGE_MODELS_MAX = 256 };

struct usage_line {
	int64_t day; /* since 1970, UTC, of the start */
	char model[USAGE_MODEL_MAX + 1];
	int64_t calls, errors, tokens_in, tokens_out;
	double cost;
	int64_t times[USAGE_BUCKETS];
};

/* Of one transaction. */
struct usage {
	struct usage_line **lines;
	size_t n, cap;
	bool no_memory;
};

/* sign -1: takes it back. Spans that have not ended do not count. */
void usage_count(struct usage *u, const struct trace_item *it, int sign);
/* One of Croft's own runs or spans that has ended. */
void usage_count_own(struct usage *u, const struct record *rec);
enum err usage_store(
	struct tx *tx, struct str project, const struct usage *u, struct errtext *et) MUST_CHECK;
void usage_clear(struct usage *u);

struct usage_query {
	struct str project, model; /* model.p NULL: all */
	int64_t since, until;      /* days; until is the first that is not meant */
	size_t max;
};
/* Newest day first, "" before the models. */
enum err usage_find(struct db *db, const struct usage_query *q, struct arena *a,
	struct usage_line ***lines, size_t *n, bool *more, struct errtext *et) MUST_CHECK;
/* The time that this part (0.95) of the calls stayed below; -1: there were none. */
double usage_percentile_ms(const struct usage_line *l, double part);

#endif
