/* Sampling: logits in, one token out. The order and meaning of the steps stand in engine.h
 * (struct sampling). A sampler belongs to one sequence and one thread.
 *
 * The draw for the i-th generated token is a function of (seed, i) alone (a counter-based
 * generator), so an answer at a seed does not depend on what else was sampled meanwhile. */
#ifndef ENGINE_SAMPLER_H
#define ENGINE_SAMPLER_H
#include "engine/engine.h"

struct sampler;

/* Copies what it needs of s. ERR_INVALID names a field that is out of range. */
enum err sampler_new(const struct sampling *s, size_t vocab, struct sampler **out,
	struct errtext *et) MUST_CHECK;
void sampler_free(struct sampler *s); /* accepts NULL */
/* The prompt counts for repeat_penalty only. */
void sampler_prompt(struct sampler *s, const int32_t *ids, size_t n);
/* The next token; logits[vocab] are read, not changed. With n_top > 0 the most likely tokens of the
 * distribution before penalties and cuts go to top, most likely first, and the picked token's to
 * *logprob (which may be NULL). */
int32_t sampler_pick(struct sampler *s, const float *logits, struct token_logprob *top,
	uint32_t n_top, float *logprob);
/* Only these tokens for the next pick (bit id % 64 of allowed[id / 64]; at least one); all else
 * counts as impossible before every other step, but not for the log probabilities that are told. */
void sampler_allow(struct sampler *s, const uint64_t *allowed);
/* The token was taken into the sequence. */
void sampler_accept(struct sampler *s, int32_t id);

/* [0, 1) from the seed and a counter: Philox-like mixing, the same on every machine. */
double sampler_uniform(uint64_t seed, uint64_t counter);

#endif
