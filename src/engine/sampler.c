/* Logits in, one token out. Whole vocabularies are gone through in strips of 64 by the kernels:
 * their sums say in which strip a draw falls, and the k-th largest of their maxima is a bound below
 * which none of the k best tokens lies, so that only few candidates are ever gathered and sorted.
 */
#include "engine/sampler.h"

#include <math.h>
#include <stdlib.h>
#include "kernels/kernels.h"

enum { STRIP = 64 };

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
	/* scratch; w and p end with a whole strip */
	size_t strips;
	float *w, *p;    /* what is drawn from: logits, impossible ones beyond the last; weights */
	float *of_strip; /* [strips] */
	struct candidate *c; /* [vocab] */
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
		x->strips = (vocab + STRIP - 1) / STRIP;
		x->c = malloc(vocab * sizeof *x->c);
		x->w = malloc(x->strips * STRIP * sizeof *x->w);
		x->p = malloc(x->strips * STRIP * sizeof *x->p);
		x->of_strip = malloc(x->strips * sizeof *x->of_strip);
		x->bias = malloc((s->n_bias + 1) * sizeof *x->bias);
	}
	if (!x || !x->generated || !x->seen || !x->c || !x->w || !x->p || !x->of_strip ||
		!x->bias) {
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
	free(s->w);
	free(s->p);
	free(s->of_strip);
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

/* The two loops over all tokens that no kernel does; of constant length, so that every compiler
 * makes vectors of them. */
static void strip_sane(float *restrict w, const float *restrict x)
{
	for (size_t i = 0; i < STRIP; i++)
		w[i] = sane(x[i]);
}

static void strip_over(float *restrict p, const float *restrict w, float max, float times)
{
	for (size_t i = 0; i < STRIP; i++)
		p[i] = (w[i] - max) * times;
}

/* s->w = the logits, without NaN. */
static void take(struct sampler *s, const float *logits)
{
	size_t i = 0;
	for (; i + STRIP <= s->vocab; i += STRIP)
		strip_sane(s->w + i, logits + i);
	for (; i < s->strips * STRIP; i++)
		s->w[i] = i < s->vocab ? sane(logits[i]) : -INFINITY;
}

/* s->p = exp((s->w - max) / temperature), s->of_strip = its sums; returns their sum. */
static double weigh(struct sampler *s, float max, float temperature)
{
	double sum = 0;
	float times = MIN(1 / temperature, 1e30f); /* 0 stays 0 */
	for (size_t i = 0; i < s->strips; i++) {
		float *p = s->p + i * STRIP;
		strip_over(p, s->w + i * STRIP, max, times);
		kern->exp(p, p, STRIP);
		s->of_strip[i] = kern->sum(p, STRIP);
		sum += (double)s->of_strip[i];
	}
	return sum;
}

static float log_sum_exp(struct sampler *s, const float *logits)
{
	take(s, logits);
	float max = s->w[kern->argmax(s->w, s->vocab)];
	return isinf(max) ? max : max + (float)log(weigh(s, max, 1));
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
	if (p->repeat_penalty != 1 && p->repeat_last) {
		size_t n =
			p->repeat_last < 0 ? s->n_recent : MIN((size_t)p->repeat_last, s->n_recent);
		const int32_t *r = s->recent + s->n_recent - n;
		for (size_t i = 0; i < n; i++) {
			if (r[i] < 0 || (size_t)r[i] >= s->vocab || s->seen[r[i]])
				continue;
			s->seen[r[i]] = 1;
			float *x = &s->w[r[i]];
			*x = *x > 0 ? *x / p->repeat_penalty : *x * p->repeat_penalty;
		}
		for (size_t i = 0; i < n; i++)
			if (r[i] >= 0 && (size_t)r[i] < s->vocab)
				s->seen[r[i]] = 0;
	}
	if (p->presence_penalty != 0 || p->frequency_penalty != 0)
		for (size_t i = 0; i < s->vocab; i++)
			if (s->generated[i])
				s->w[i] -= p->presence_penalty +
					   p->frequency_penalty * (float)s->generated[i];
	for (size_t i = 0; i < p->n_bias; i++)
		s->w[p->bias[i].id] += p->bias[i].bias;
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

/* Where u falls among the n weights, summed in their order; the last that is possible, when
 * rounding leaves it beyond. */
static size_t fall(const float *p, size_t n, double u)
{
	size_t last = 0;
	double run = 0;
	for (size_t i = 0; i < n; i++) {
		run += (double)p[i];
		if (u < run)
			return i;
		last = p[i] > 0 ? i : last;
	}
	return last;
}

/* All tokens take part. */
static int32_t draw_all(struct sampler *s, float max)
{
	double u = sampler_uniform(s->s.seed, s->step) * weigh(s, max, s->s.temperature);
	size_t strip = 0, last = 0;
	for (; strip < s->strips && u >= (double)s->of_strip[strip]; strip++) {
		u -= (double)s->of_strip[strip];
		last = s->of_strip[strip] > 0 ? strip : last;
	}
	strip = strip < s->strips ? strip : last;
	return (int32_t)(strip * STRIP + fall(s->p + strip * STRIP, STRIP, u));
}

/* The first n of s->c take part. */
static int32_t draw_some(struct sampler *s, size_t n, float max)
{
	double sum = 0;
	for (size_t i = 0; i < n; i++)
		s->p[i] = (s->c[i].logit - max) / s->s.temperature;
	kern->exp(s->p, s->p, n);
	for (size_t i = 0; i < n; i++)
		sum += (double)s->p[i];
	return s->c[fall(s->p, n, sampler_uniform(s->s.seed, s->step) * sum)].id;
}

static void strip_maxima(struct sampler *s)
{
	for (size_t i = 0; i < s->strips; i++) {
		const float *w = s->w + i * STRIP;
		s->of_strip[i] = w[kern->argmax(w, STRIP)];
	}
}

/* A logit that at least k tokens reach: the k-th largest of the strips' maxima. */
static float bound(struct sampler *s, size_t k)
{
	if (k > s->strips)
		return -INFINITY;
	for (size_t i = 0; i < s->strips; i++)
		s->c[i] = (struct candidate){s->of_strip[i], (int32_t)i};
	best_first(s->c, s->strips, k);
	return s->c[k - 1].logit;
}

/* s->c = all tokens that reach `least`, the lowest id first; returns how many. */
static size_t gather(struct sampler *s, float least)
{
	size_t n = 0;
	for (size_t i = 0; i < s->strips; i++)
		for (size_t id = i * STRIP;
			s->of_strip[i] >= least && id < MIN((i + 1) * STRIP, s->vocab); id++)
			if (s->w[id] >= least)
				s->c[n++] = (struct candidate){s->w[id], (int32_t)id};
	return n;
}

/* s->c = what top_p and min_p leave of all tokens, sorted: as many are gathered as can matter. */
static size_t under_top_p(struct sampler *s, float max)
{
	double total = weigh(s, max, 1);
	strip_maxima(s);
	for (size_t reach = STRIP;; reach *= 8) {
		size_t n = gather(s, bound(s, reach));
		best_first(s->c, n, n);
		size_t keep = cut(&s->s, s->c, n, total);
		if (keep < n || n == s->vocab)
			return keep;
	}
}

/* s->c = what top_k, top_p and min_p leave. */
static size_t under_top_k(struct sampler *s, size_t k, float max)
{
	double total = 0;
	strip_maxima(s);
	size_t n = gather(s, bound(s, k));
	best_first(s->c, n, k);
	n = MIN(n, k);
	for (size_t i = 0; i < n && s->s.top_p < 1; i++)
		total += exp((double)(s->c[i].logit - max));
	return cut(&s->s, s->c, n, total);
}

static int32_t draw(struct sampler *s)
{
	const struct sampling *p = &s->s;
	size_t best = kern->argmax(s->w, s->vocab);
	float max = s->w[best];
	if (isinf(max))
		return (int32_t)best;
	if (p->top_k > 0 && (size_t)p->top_k < s->vocab)
		return draw_some(s, under_top_k(s, (size_t)p->top_k, max), max);
	if (p->top_p < 1)
		return draw_some(s, under_top_p(s, max), max);
	if (!(p->min_p > 0))
		return draw_all(s, max);
	strip_maxima(s);
	return draw_some(s, gather(s, max + logf(p->min_p)), max);
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
	take(s, logits);
	for (size_t i = 0; s->allowed && i < s->vocab; i++)
		s->w[i] = allows(s, i) ? s->w[i] : -INFINITY;
	penalise(s);
	int32_t id = s->s.temperature > 0 ? draw(s) : (int32_t)kern->argmax(s->w, s->vocab);
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
