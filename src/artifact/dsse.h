/* Signatures in the OpenSSF model-signing manner: a DSSE envelope in a Sigstore bundle, with a
 * local key (EC P-256, P-384, P-521, or Ed25519, which the reference implementation does not take).
 */
#ifndef ARTIFACT_DSSE_H
#define ARTIFACT_DSSE_H
#include "base/hash.h"

enum { BUNDLE_MAX = 64 << 20, KEY_PEM_MAX = 64 << 10 };
#define DSSE_IN_TOTO "application/vnd.in-toto+json"

/* A new P-256 key, both halves as PEM. */
enum err dsse_key_make(
	struct buf *private_pem, struct buf *public_pem, struct errtext *et) MUST_CHECK;
/* The public half of a private key. */
enum err dsse_key_public(
	struct str private_pem, struct buf *public_pem, struct errtext *et) MUST_CHECK;
/* What a bundle calls the key: the SHA-256 of its public PEM. */
enum err dsse_key_hint(
	struct str public_pem, char hint[SHA256_HEX + 1], struct errtext *et) MUST_CHECK;

/* Signs payload (an in-toto statement) into a bundle. */
enum err dsse_sign(struct str private_pem, struct str payload, struct buf *bundle,
	struct errtext *et) MUST_CHECK;
/* The payload, when that key signed it; ERR_FORBIDDEN when not, ERR_CORRUPT when it is no bundle.
 */
enum err dsse_verify(struct str bundle, struct str public_pem, struct buf *payload,
	struct errtext *et) MUST_CHECK;
/* The payload and the key's name without looking at the signature: to show them, never to trust. */
enum err dsse_peek(struct str bundle, struct buf *payload, char hint[SHA256_HEX + 1],
	struct errtext *et) MUST_CHECK;

#endif
