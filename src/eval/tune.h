/* The tuner, and what it shares with the comparison. */
#ifndef EVAL_TUNE_H
#define EVAL_TUNE_H
#include "eval/eval_int.h"

/* { trials?, chunk_tokens?: int[], rerank?: { model?, models?, depths: int[], weights? },
 * collection? } */
enum err tune(struct evaluation *v, yyjson_val *o, struct jw *w, struct errtext *et) MUST_CHECK;

enum err setting_prepare(
	struct evaluation *v, struct setting_result *r, struct errtext *et) MUST_CHECK;
struct str setting_label(const struct setting_result *r, struct arena *a);
void write_setting(struct jw *w, const struct evaluation *v, const struct setting_result *r);
void write_result(struct jw *w, const struct evaluation *v, const struct setting_result *first,
	const struct setting_result *r, const uint32_t *which, size_t n);
void write_head(struct jw *w, const struct evaluation *v, size_t queries);

#endif
