/* Formulas: scores computed anew from other scores and from what payloads say, in Qdrant's words.
 *
 * An expression is a number; "$score" or "$score[1]", the score that the item has in the first or
 * another list (0, or a default, when it is not in it); another text, a path to a number in the
 * payload (or its default); a condition as a filter has it, 1 or 0; or an object with one of
 *
 *	sum, mult, max, min      of a list (mult ends at the first 0)
 *	neg, abs, sqrt, exp, ln, log10, acosh
 *	div {left, right, by_zero_default}, pow {base, exponent}
 *	datetime "2026-11-28", datetime_key "path"          seconds since 1970
 *	geo_distance {origin: {lat, lon}, to: "path"}       metres
 *	lin_decay, exp_decay, gauss_decay {x, target 0, scale 1, midpoint 0.5}: 1 where x is the
 *	                                                    target, the midpoint at scale from it
 *
 * What has no value, or comes to no finite number, is an error that names the item. */
#ifndef COLLECTION_FORMULA_H
#define COLLECTION_FORMULA_H
#include "collection/rank.h"

enum { FORMULA_DEPTH_MAX = 32, FORMULA_NODES_MAX = 1000 };

struct formula;

/* defaults (NULL: none): {path or "$score[i]": value}. Points into the JSON, lives in `a`.
 * ERR_INVALID, ERR_UNSUPPORTED and ERR_TOO_LARGE name the place ("formula.sum[1].div.left"). */
enum err formula_parse(struct collection *k, yyjson_val *json, yyjson_val *defaults,
	struct arena *a, const struct formula **out, struct errtext *et) MUST_CHECK;
/* Every item of the lists once, best first, equal ones as they came; those with a score below
 * `worst` are left out (NaN: none), at most max. Hits without payloads. */
enum err formula_rescore(struct collection *k, const struct formula *f,
	const struct hit_list *lists, size_t n_lists, float worst, size_t max,
	const struct cancel *cancel, struct arena *a, struct hit_list *out,
	struct errtext *et) MUST_CHECK;

/* ---- for tests ---- */
enum err formula_value(const struct formula *f, uint64_t key, yyjson_val *payload,
	const float *scores /* NaN: it is not in that list */, size_t n_scores, float *out,
	struct errtext *et) MUST_CHECK;

#endif
