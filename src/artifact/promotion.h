/* Promotion: what must be true of a version before an alias may point at it.
 *
 * A rule is for a kind, a pattern of names and a pattern of aliases, and wants checks that passed
 * (a result is a fact of the version: verdict, evidence, expiry), approvals by others than the one
 * who moves the alias, or both. Whoever has the permission may break the glass: with a reason,
 * recorded with what was missing, in the facts and in the audit log. */
#ifndef ARTIFACT_PROMOTION_H
#define ARTIFACT_PROMOTION_H
#include "artifact/registry.h"

enum { RULE_CHECKS_MAX = 32, RULES_MAX = 1000, APPROVALS_MAX = 10 };

struct promotion_rule {
	struct id id;
	struct str kind, name, alias; /* kind "*": any; name, alias: patterns with * and ? */
	struct str *checks;
	size_t n_checks;
	int64_t approvals; /* by others */
	struct str creator;
	int64_t created_ms;
};

/* One thing that a rule wants of a version, and whether it is there. */
struct requirement {
	struct str check; /* .n 0: approvals */
	bool met;
	struct str why;     /* a sentence */
	struct fact fact;   /* of the check; seq 0: none */
	int64_t have, want; /* approvals */
};

struct gate {
	struct requirement *list;
	size_t n;
	bool open;         /* nothing is missing */
	bool broken;       /* the glass was */
	struct str detail; /* for the alias's fact: a JSON object, or "" */
};

/* What all rules that fit want of this move, for the one who makes it. */
enum err gate_look(struct tx *tx, const struct principal *who, const struct artifact *of,
	struct str alias, int64_t version, struct arena *a, struct gate *out,
	struct errtext *et) MUST_CHECK;
/* OK when it is open or the glass is broken; ERR_FORBIDDEN says everything that is missing. */
enum err gate_pass(struct tx *tx, const struct principal *who, const struct artifact *of,
	const struct alias_move *m, struct arena *a, struct gate *out,
	struct errtext *et) MUST_CHECK;
enum err gate_audit(struct tx *tx, const struct principal *who, const struct artifact *of,
	const struct alias_move *m, const struct gate *g, struct errtext *et) MUST_CHECK;

enum err rule_put(struct tx *tx, struct str project, const struct promotion_rule *r,
	struct errtext *et) MUST_CHECK;
enum err rule_end(struct tx *tx, struct str project, struct id id, bool *found,
	struct errtext *et) MUST_CHECK;
enum err rule_list(struct tx *tx, struct str project, struct arena *a, struct promotion_rule **out,
	size_t *n, struct errtext *et) MUST_CHECK;
/* Whatever the alias. */
bool rule_is_for(const struct promotion_rule *r, const struct artifact *of);
bool rule_fits(const struct promotion_rule *r, const struct artifact *of, struct str alias);

/* A check's result on a version: other modules record theirs with it. */
struct check_result {
	struct str name;
	bool pass;
	struct id run;      /* the evidence; zero: none */
	int64_t expires_ms; /* 0: never */
	struct str note;
};
enum err check_record(struct tx *tx, const struct principal *who, struct id artifact,
	int64_t version, const struct check_result *r, struct errtext *et) MUST_CHECK;
/* Of that version for that alias, by `who`; revoke takes it back. */
enum err approval_set(struct tx *tx, const struct principal *who, struct id artifact,
	int64_t version, struct str alias, bool revoke, struct str note,
	struct errtext *et) MUST_CHECK;

#endif
