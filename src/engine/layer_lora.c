/* What adapters add to a product: y += scale * b (a x), for the rows that have one.
 *
 * A job is one matrix's adapter and consecutive rows of the pass. Its chunks are some tokens and
 * some columns of y; each computes a x for itself, which is little beside the columns, and so a
 * chunk depends on no other and one run of the team does. kern_matmul gives a row the same bits
 * however the rows and columns are cut. */
#include "engine/layers.h"

enum { LORA_TOKENS = 16, LORA_COLUMNS = 2048 };

size_t lora_scratch(void)
{
	return LORA_TOKENS * (LORA_RANK_MAX + LORA_COLUMNS);
}

struct lora_run {
	const struct lora_job *jobs;
	size_t n, scratch_each;
	float *scratch;
	void *act;
};

static size_t across(const struct lora_job *j)
{
	return (j->l->b.n + LORA_COLUMNS - 1) / LORA_COLUMNS;
}

static const struct lora_job *job_of(const struct lora_run *r, size_t chunk)
{
	size_t from = 0, to = r->n; /* the last whose first chunk is not after it */
	while (to - from > 1) {
		size_t mid = from + (to - from) / 2;
		if (r->jobs[mid].first <= chunk)
			from = mid;
		else
			to = mid;
	}
	return &r->jobs[from];
}

/* Columns [from, from + n) of w. */
static struct kern_mat columns(const struct kern_mat *w, size_t from, size_t n)
{
	struct kern_mat part = *w;
	part.data += from / KERN_PANEL * w->panel_bytes;
	part.n = n;
	return part;
}

static void lora_chunk(void *arg, size_t chunk, unsigned thread)
{
	const struct lora_run *r = arg;
	const struct lora_job *j = job_of(r, chunk);
	const struct lora *l = j->l;
	size_t in = chunk - j->first, rank = l->a.n, width = l->b.n,
	       row = in / across(j) * LORA_TOKENS, col = in % across(j) * LORA_COLUMNS,
	       m = MIN(j->n - row, (size_t)LORA_TOKENS),
	       cols = MIN(width - col, (size_t)LORA_COLUMNS);
	float *t = r->scratch + thread * r->scratch_each, *add = t + LORA_TOKENS * LORA_RANK_MAX;
	struct kern_act x, down;
	struct kern_mat b = columns(&l->b, col, cols);
	kern_act_init(&x, r->act, j->x + row * l->a.k, l->a.k, m, l->a.k);
	kern_matmul(&l->a, &x, t, rank, NULL, 0, rank);
	kern->scale(t, t, l->scale, m * rank);
	kern_act_init(&down, r->act, t, rank, m, rank);
	kern_matmul(&b, &down, add, cols, NULL, 0, cols);
	for (size_t i = 0; i < m; i++) {
		float *y = j->y + (row + i) * width + col;
		kern->add(y, y, add + i * cols, cols);
	}
}

void layer_lora(struct kern_team *team, struct lora_job *jobs, size_t n, void *act, float *scratch,
	size_t scratch_each)
{
	size_t chunks = 0;
	for (size_t i = 0; i < n; i++) {
		jobs[i].first = chunks;
		chunks += (jobs[i].n + LORA_TOKENS - 1) / LORA_TOKENS * across(&jobs[i]);
	}
	struct lora_run r = {jobs, n, scratch_each, scratch, act};
	if (chunks)
		kern_team_run(team, lora_chunk, &r, chunks);
}
