/* Feedback: what people, judges and programs say about a run or one of its spans, and what would
 * have been right (expectations). An assessment is never overwritten: a change is a new version, a
 * deletion is one that says so, and both keep who and when.
 *
 *	struct assessment a = {.name = S("correct"), .value = S("true"), .source_type = S("HUMAN"),
 *		.source_id = S("ada")};
 *	enum err e = feedback_add(c, who, project, run, &a, arena, et);   // fills id, times
 */
#ifndef RUN_FEEDBACK_H
#define RUN_FEEDBACK_H
#include "module/module.h"

enum { FEEDBACK_MAX = 1000, FEEDBACK_VALUE_MAX = 64 << 10 }; /* of one run; bytes of a value */

struct assessment {
	struct str id; /* "a-" and 32 hex digits */
	int64_t version;
	int64_t span; /* 0: of the run as a whole */
	struct str name;
	bool expectation;       /* else feedback */
	struct str value;       /* JSON; .p NULL: none (an error) */
	struct str error;       /* JSON object; .p NULL: none */
	struct str rationale;   /* .p NULL: none */
	struct str source_type; /* "HUMAN", "LLM_JUDGE", "CODE" */
	struct str source_id;
	struct str metadata;       /* JSON object; .p NULL: none */
	struct str overrides;      /* id of the one that this corrects; .p NULL: none */
	struct str author;         /* who asked */
	int64_t created_ms, at_ms; /* of the first version, of this one */
	bool deleted;
	bool valid; /* not corrected by another */
};

/* Checks and stores a first version, or the next one of `a->id` (then span and kind stay).
 * ERR_NOT_FOUND: no such run in the project, or assessment. ERR_INVALID says what is wrong. */
enum err feedback_add(struct croft *c, const struct principal *who, struct str project,
	struct id run, struct assessment *a, struct arena *arena, struct errtext *et) MUST_CHECK;
enum err feedback_change(struct croft *c, const struct principal *who, struct str project,
	struct id run, struct assessment *a, struct arena *arena, struct errtext *et) MUST_CHECK;
enum err feedback_delete(struct croft *c, const struct principal *who, struct str project,
	struct id run, struct str id, struct errtext *et) MUST_CHECK;

/* Oldest first. history: every version, the deleted too; else the newest of each that is there. */
enum err feedback_list(struct croft *c, struct str project, struct id run, bool history,
	struct arena *arena, struct assessment **list, size_t *n, struct errtext *et) MUST_CHECK;
enum err feedback_get(struct croft *c, struct str project, struct id run, struct str id,
	struct arena *arena, struct assessment *out, struct errtext *et) MUST_CHECK;

/* The same within a transaction, the run's project being known. */
enum err feedback_read(struct tx *tx, struct id run, bool history, struct arena *arena,
	struct assessment **list, size_t *n, struct errtext *et) MUST_CHECK;

#endif
