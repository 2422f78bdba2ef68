/* Signatures of versions, and whether what is here is what was signed. */
#ifndef ARTIFACT_SIGNATURE_H
#define ARTIFACT_SIGNATURE_H
#include "artifact/manifest.h"
#include "artifact/registry.h"

extern const struct module signature_module;

enum { SIGNATURES_MAX = 16, MODEL_SIGNATURE_MAX = 16 << 20 };
#define MODEL_MANIFEST "croft-model.json" /* ours beside an installed model: not part of it */

struct signature {
	char hint[SHA256_HEX + 1]; /* of the key; "" when the bundle does not say */
	struct str bundle, who;
	int64_t created_ms;
};

enum err signature_put(struct tx *tx, const struct principal *who, const struct artifact_version *v,
	struct str bundle, struct errtext *et) MUST_CHECK;
enum err signature_list(struct tx *tx, struct id artifact, int64_t version, struct arena *a,
	struct signature *out, size_t *n, struct errtext *et) MUST_CHECK;

/* The files of a version as they are now, all of them read: an installed model's folder, or the
 * version's tree. ERR_UNSUPPORTED when they are kept elsewhere. No transaction is open meanwhile.
 * with_ours: MODEL_MANIFEST counts as a file. */
enum err version_manifest(struct croft *c, const struct artifact_version *v, bool installed,
	bool with_ours, struct manifest *out, struct errtext *et) MUST_CHECK;

struct verdict {
	size_t n_signatures, n_valid; /* valid: by a trusted key, over exactly what is here */
	uint64_t files, bytes;
	struct str problem; /* why none is valid; "" */
};
/* keys: public PEMs. */
enum err signature_check(struct croft *c, const struct artifact_version *v, bool installed,
	const struct signature *list, size_t n, const struct str *keys, size_t n_keys,
	struct arena *a, struct verdict *out, struct errtext *et) MUST_CHECK;
/* The public keys that the setting signing.trusted names. */
enum err signature_trusted(struct croft *c, struct arena *a, struct str *keys, size_t *n,
	struct errtext *et) MUST_CHECK;

#endif
