#include "engine/sampler.h"

#include <math.h>
#include <stdlib.h>
#include "kernels/kernels.h"

struct candidate {
	float logit;
	int32_t id;
};

struct sampler {
	struct sampling s;
	struct logit_bias *bias;
	size_t vocab;
	uint32_t *generated; /* how often each token was generated (presence, frequency) */
	int32_t *recent;     /* prompt and generated, for repeat_penalty */
	size_t n_recent, cap_recent;
	uint8_t *seen; /* scratch: penalised already in this step */
	uint64_t step;
	const uint64_t *allowed; /* for the next pick; NULL: all */
	struct candidate *c;     /* scratch [vocab] */
	float *p;                /* scratch [vocab] */
};

static enum err range(struct errtext *et, const char *name, double v, double min, double max)
{
	if (v >= min && v <= max)
		return OK;
	return err_set(et, ERR_INVALID, "%s is %g, it must be from %g to %g", name, v, min, max);
}

static enum err check(const struct sampling *s, size_t vocab, struct errtext *et)
{
	enum err e = range(et, "temperature", (double)s->temperature, 0, 100);
	if (!e)
		e = range(et, "top_p", (double)s->top_p, 0, 1);
	if (!e)
		e = range(et, "min_p", (double)s->min_p, 0, 1);
	if (!e)
		e = range(et, "top_k", s->top_k, 0, 1e9);
	if (!e)
		e = range(et, "repeat_penalty", (double)s->repeat_penalty, 0.01, 100);
	if (!e)
		e = range(et, "repeat_last", s->repeat_last, -1, 1e9);
	if (!e)
		e = range(et, "presence_penalty", (double)s->presence_penalty, -100, 100);
	if (!e)
		e = range(et, "frequency_penalty", (double)s->frequency_penalty, -100, 100);
	for (size_t i = 0; i < s->n_bias && !e; i++) {
		if (s->bias[i].id < 0 || (size_t)s->bias[i].id >= vocab)
			e = err_set(et, ERR_INVALID,
				"logit_bias names token %d; the vocabulary has %zu", s->bias[i].id,
				vocab);
		else
			e = range(
				et, "a value of logit_bias", (double)s->bias[i].bias, -1000, 1000);
	}
	return e;
}

enum err sampler_new(
	const struct sampling *s, size_t vocab, struct sampler **out, struct errtext *et)
{
	enum err e = check(s, vocab, et);
	if (e)
		return e;
	struct sampler *x = calloc(1, sizeof *x);
	if (x) {
		x->s = *s;
		x->vocab = vocab;
		x->generated = calloc(vocab, sizeof *x->generated);
		x->seen = calloc(vocab, 1);
		x->c = malloc(vocab * sizeof *x->c);
		x->p = malloc(vocab * sizeof *x->p);
		x->bias = malloc((s->n_bias + 1) * sizeof *x->bias);
	}
	if (!x || !x->generated || !x->seen || !x->c || !x->p || !x->bias) {
		sampler_free(x);
		return err_set(et, ERR_NOMEM, "no memory to sample");
	}
	if (s->n_bias)
		memcpy(x->bias, s->bias, s->n_bias * sizeof *x->bias);
	x->s.bias = x->bias;
	*out = x;
	return OK;
}

void sampler_free(struct sampler *s)
{
	if (!s)
		return;
	free(s->generated);
	free(s->recent);
	free(s->seen);
	free(s->c);
	free(s->p);
	free(s->bias);
	free(s);
}

static void remember(struct sampler *s, int32_t id)
{
	if (s->n_recent == s->cap_recent) {
		size_t cap = s->cap_recent ? s->cap_recent * 2 : 256;
		int32_t *p = realloc(s->recent, cap * sizeof *p);
		if (!p) { /* keep the newest half instead */
			memmove(s->recent, s->recent + s->n_recent / 2,
				(s->n_recent - s->n_recent / 2) * sizeof *p);
			s->n_recent -= s->n_recent / 2;
		} else {
			s->recent = p;
			s->cap_recent = cap;
		}
	}
	if (s->n_recent < s->cap_recent)
		s->recent[s->n_recent++] = id;
}

void sampler_prompt(struct sampler *s, const int32_t *ids, size_t n)
{
	if (s->s.repeat_penalty != 1 && s->s.repeat_last)
		for (size_t i = 0; i < n; i++)
			remember(s, ids[i]);
}

void sampler_accept(struct sampler *s, int32_t id)
{
	s->step++;
	if (id >= 0 && (size_t)id < s->vocab)
		s->generated[id]++;
	if (s->s.repeat_penalty != 1 && s->s.repeat_last)
		remember(s, id);
}

/* Two rounds of a 64-bit finaliser (the constants are those of SplitMix64) over seed and counter.
 */
static uint64_t mix(uint64_t z)
{
	z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ull;
	z = (z ^ z >> 27) * 0x94D049BB133111EBull;
	return z ^ z >> 31;
}

double sampler_uniform(uint64_t seed, uint64_t counter)
{
	uint64_t z = mix(mix(seed + 0x9E3779B97F4A7C15ull) + counter * 0x9E3779B97F4A7C15ull);
	return (double)(mix(z) >> 11) * 0x1p-53;
}

/* A NaN counts as impossible, so that a broken model cannot loop the sort. */
static float sane(float x)
{
	return x == x ? x : -INFINITY;
}

/* s->p = exp of its n values; returns their sum. */
static double exp_all(struct sampler *s, size_t n)
{
	double sum = 0;
	kern->exp(s->p, s->p, n);
	for (size_t i = 0; i < n; i++)
		sum += (double)s->p[i];
	return sum;
}

static float log_sum_exp(struct sampler *s, const float *logits)
{
	float max = -INFINITY;
	for (size_t i = 0; i < s->vocab; i++)
		max = logits[i] > max ? logits[i] : max;
	if (isinf(max))
		return max;
	for (size_t i = 0; i < s->vocab; i++)
		s->p[i] = sane(logits[i]) - max;
	return max + (float)log(exp_all(s, s->vocab));
}

/* The n_top largest, by insertion into a short sorted list; ties: the lower id first. */
static void top_logprobs(
	const float *logits, size_t vocab, float norm, struct token_logprob *top, uint32_t n_top)
{
	uint32_t n = 0;
	for (size_t i = 0; i < vocab; i++) {
		float x = sane(logits[i]);
		if (n == n_top && !(x > top[n - 1].logprob))
			continue;
		uint32_t at = n < n_top ? n++ : n - 1;
		while (at > 0 && x > top[at - 1].logprob) {
			top[at] = top[at - 1];
			at--;
		}
		top[at] = (struct token_logprob){(int32_t)i, x};
	}
	for (uint32_t i = 0; i < n; i++)
		top[i].logprob -= norm;
	for (uint32_t i = n; i < n_top; i++)
		top[i] = (struct token_logprob){-1, -INFINITY};
}

static void penalise(struct sampler *s)
{
	const struct sampling *p = &s->s;
	struct candidate *c = s->c;
	if (p->repeat_penalty != 1 && p->repeat_last) {
		size_t n =
			p->repeat_last < 0 ? s->n_recent : MIN((size_t)p->repeat_last, s->n_recent);
		const int32_t *r = s->recent + s->n_recent - n;
		for (size_t i = 0; i < n; i++) {
			if (r[i] < 0 || (size_t)r[i] >= s->vocab || s->seen[r[i]])
				continue;
			s->seen[r[i]] = 1;
			float *x = &c[r[i]].logit;
			*x = *x > 0 ? *x / p->repeat_penalty : *x * p->repeat_penalty;
		}
		for (size_t i = 0; i < n; i++)
			if (r[i] >= 0 && (size_t)r[i] < s->vocab)
				s->seen[r[i]] = 0;
	}
	if (p->presence_penalty != 0 || p->frequency_penalty != 0)
		for (size_t i = 0; i < s->vocab; i++)
			if (s->generated[i])
				c[i].logit -= p->presence_penalty +
					      p->frequency_penalty * (float)s->generated[i];
	for (size_t i = 0; i < p->n_bias; i++)
		c[p->bias[i].id].logit += p->bias[i].bias;
}

/* Something but the bias moves the logits before the choice. */
static bool penalises(const struct sampling *p)
{
	return (p->repeat_penalty != 1 && p->repeat_last) || p->presence_penalty != 0 ||
	       p->frequency_penalty != 0;
}

/* The bias cannot change that `id` has the largest logit: nothing is raised, and it is not lowered.
 */
static bool stands(const struct sampling *p, int32_t id)
{
	for (size_t i = 0; i < p->n_bias; i++)
		if (p->bias[i].bias > 0 || p->bias[i].id == id)
			return false;
	return true;
}

static int32_t argmax(const struct candidate *c, size_t n)
{
	size_t best = 0;
	for (size_t i = 1; i < n; i++)
		if (c[i].logit > c[best].logit)
			best = i;
	return c[best].id;
}

static bool before(const struct candidate *a, const struct candidate *b)
{
	return a->logit > b->logit || (a->logit == b->logit && a->id < b->id);
}

static int by_logit(const void *a, const void *b)
{
	return before(a, b) ? -1 : before(b, a) ? 1 : 0;
}

static void swap(struct candidate *a, struct candidate *b)
{
	struct candidate t = *a;
	*a = *b;
	*b = t;
}

/* Moves the k best to the front, sorted (quickselect, then sort of k). */
static void best_first(struct candidate *c, size_t n, size_t k)
{
	size_t lo = 0, hi = n;
	while (k < n && hi - lo > 1) {
		swap(&c[lo], &c[lo + (hi - lo) / 2]);
		size_t at = lo;
		for (size_t i = lo + 1; i < hi; i++)
			if (before(&c[i], &c[lo]))
				swap(&c[++at], &c[i]);
		swap(&c[lo], &c[at]);
		if (at == k)
			break;
		if (at < k)
			lo = at + 1;
		else
			hi = at;
	}
	qsort(c, MIN(k, n), sizeof *c, by_logit);
}

/* How many of the sorted candidates stay under top_p and min_p; `total` is the sum of
 * exp(logit - c[0].logit) over all candidates that top_k left. */
static size_t cut(const struct sampling *p, const struct candidate *c, size_t n, double total)
{
	size_t keep = n;
	if (p->top_p < 1) {
		double sum = 0;
		for (keep = 0; keep < n;) {
			sum += exp((double)(c[keep].logit - c[0].logit));
			keep++;
			if (sum >= (double)p->top_p * total)
				break;
		}
	}
	if (p->min_p > 0) {
		float least = c[0].logit + logf(p->min_p);
		while (keep > 1 && c[keep - 1].logit < least)
			keep--;
	}
	return MAX(keep, 1);
}

static int32_t draw(struct sampler *s)
{
	const struct sampling *p = &s->s;
	struct candidate *c = s->c;
	size_t n = s->vocab;
	bool cuts = p->top_p < 1 || p->min_p > 0;
	size_t k = p->top_k > 0 ? MIN((size_t)p->top_k, n) : n;
	float max = -INFINITY;
	for (size_t i = 0; i < n; i++)
		max = c[i].logit > max ? c[i].logit : max;
	if (isinf(max))
		return argmax(c, n);
	if (k < n) {
		best_first(c, n, k);
		n = k;
	}
	if (cuts) {
		for (size_t i = 0; i < n; i++)
			s->p[i] = c[i].logit - max;
		double total = exp_all(s, n);
		/* sort only as many as can matter: grow until the cut falls inside */
		size_t sorted = k < s->vocab ? n : 0;
		for (size_t try = MIN(n, 256); sorted < n; try = MIN(n, try * 8)) {
			best_first(c, n, try);
			sorted = try;
			if (cut(p, c, sorted, total) < sorted)
				break;
		}
		n = cut(p, c, sorted, total);
	}
	for (size_t i = 0; i < n; i++)
		s->p[i] = (c[i].logit - max) / p->temperature;
	double u = sampler_uniform(p->seed, s->step) * exp_all(s, n), run = 0;
	for (size_t i = 0; i < n; i++) {
		run += (double)s->p[i];
		if (u < run)
			return c[i].id;
	}
	return argmax(c, n);
}

void sampler_allow(struct sampler *s, const uint64_t *allowed)
{
	s->allowed = allowed;
}

static bool allows(const struct sampler *s, size_t id)
{
	return !s->allowed || s->allowed[id / 64] >> (id % 64) & 1;
}

static int32_t choose(struct sampler *s, const float *logits)
{
	for (size_t i = 0; i < s->vocab; i++)
		s->c[i] =
			(struct candidate){allows(s, i) ? sane(logits[i]) : -INFINITY, (int32_t)i};
	penalise(s);
	int32_t id = s->s.temperature > 0 ? draw(s) : argmax(s->c, s->vocab);
	if (allows(s, (size_t)id))
		return id;
	/* all that is allowed is as impossible to the model as the rest */
	for (id = 0; !allows(s, (size_t)id); id++)
		;
	return id;
}

int32_t sampler_pick(struct sampler *s, const float *logits, struct token_logprob *top,
	uint32_t n_top, float *logprob)
{
	float norm = top || logprob ? log_sum_exp(s, logits) : 0;
	if (top && n_top)
		top_logprobs(logits, s->vocab, norm, top, n_top);
	bool plain = !s->allowed && !(s->s.temperature > 0) && !penalises(&s->s);
	int32_t id = plain ? (int32_t)kern->argmax(logits, s->vocab) : -1;
	if (!plain || !stands(&s->s, id))
		id = choose(s, logits);
	s->allowed = NULL;
	if (logprob)
		*logprob = sane(logits[id]) - norm;
	return id;
}
