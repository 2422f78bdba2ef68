/* SQL of signatures: at most one of each key for a version. */
#include "artifact/dsse.h"
#include "artifact/registry_int.h"
#include "artifact/signature.h"
#include "base/clock.h"

#include <stdio.h>

enum err signature_put(struct tx *tx, const struct principal *who, const struct artifact_version *v,
	struct str bundle, struct errtext *et)
{
	char hint[SHA256_HEX + 1];
	struct buf payload = {0};
	if (bundle.n > MODEL_SIGNATURE_MAX)
		return err_set(
			et, ERR_TOO_LARGE, "a signature has at most %d bytes", MODEL_SIGNATURE_MAX);
	enum err e = dsse_peek(bundle, &payload, hint, et);
	buf_free(&payload);
	if (!e)
		e = fact_add(tx, who,
			&(struct fact){.artifact = v->artifact,
				.version = v->version,
				.what = S("signature"),
				.name = str_c(hint),
				.value = S("signed")},
			NULL, et);
	if (!e)
		e = db_exec(tx, et,
			"INSERT INTO artifact_signature (artifact, version, hint, bundle, who, "
			"created_ms) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (artifact, version, "
			"hint) DO UPDATE SET bundle = excluded.bundle, who = excluded.who, "
			"created_ms = excluded.created_ms",
			P_ID(v->artifact), P_I64(v->version), P_TEXT(str_c(hint)), P_TEXT(bundle),
			P_TEXT(who->name), P_I64(clock_unix_ms()));
	return e;
}

enum err signature_list(struct tx *tx, struct id artifact, int64_t version, struct arena *a,
	struct signature *out, size_t *n, struct errtext *et)
{
	struct row *r;
	size_t k = 0;
	enum err e = db_query(tx, &r, et,
		"SELECT hint, bundle, who, created_ms FROM artifact_signature WHERE artifact = ? "
		"AND version = ? ORDER BY created_ms DESC, hint LIMIT ?",
		P_ID(artifact), P_I64(version), P_I64(SIGNATURES_MAX));
	if (e)
		return e;
	while (!e && k < SIGNATURES_MAX && row_next(r, &e, et)) {
		struct signature *s = &out[k++];
		*s = (struct signature){.created_ms = row_i64(r, 3)};
		snprintf(s->hint, sizeof s->hint, "%.*s", STR_FMT(row_text(r, 0)));
		e = row_copy(a, row_text(r, 1), &s->bundle, et);
		if (!e)
			e = row_copy(a, row_text(r, 2), &s->who, et);
	}
	row_free(r);
	if (!e)
		*n = k;
	return e;
}
