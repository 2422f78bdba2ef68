/* JSON Web Tokens: keys of an issuer, signatures, claims (RFC 7515, 7517, 7518, 7519, 8037).
 *
 * Only RS256, ES256 and EdDSA (Ed25519), only with a key whose type and declared use fit, chosen
 *from the issuer's own set: what a token says about keys ("jwk", "jku", "x5u") is never looked at,
 *"none" and the HMAC algorithms do not exist here, and an unknown "crit" is refused.
 *
 *	struct jwk_set *keys;
 *	yyjson_doc *doc;
 *	e = jwks_parse(json, &keys, et);
 *	e = jwt_verify(token, keys, &doc, &unknown_key, et);
 *	e = jwt_check(yyjson_doc_get_root(doc), &(struct jwt_expect){...}, et);
 *
 * Tokens and keys are outside bytes; every failure is ERR_UNAUTHENTICATED (of a set: ERR_INVALID).
 */
#ifndef ACCESS_JWT_H
#define ACCESS_JWT_H
#include "base/json.h"

enum { JWT_MAX = 16 << 10, JWKS_MAX = 256 << 10, JWKS_KEYS_MAX = 64 };

struct jwk_set;
/* Keys that are of another use, type or strength are left out. */
enum err jwks_parse(struct str json, struct jwk_set **out, struct errtext *et) MUST_CHECK;
size_t jwks_count(const struct jwk_set *s);
void jwks_free(struct jwk_set *s); /* accepts NULL */

/* *out are the claims, to be freed; true only of the signature. *unknown_key: the set has none for
 * it, a newer set may. */
enum err jwt_verify(struct str token, const struct jwk_set *keys, yyjson_doc **out,
	bool *unknown_key, struct errtext *et) MUST_CHECK;
/* The claim "iss" of a token that nobody has verified, to know whose keys to try. In `out`. */
bool jwt_issuer(struct str token, struct buf *out);

struct jwt_expect {
	struct str issuer, audience; /* audience: among those of "aud" */
	struct str nonce;            /* .n 0: is not asked for */
	struct str party;            /* "azp", if there is one, or several audiences; .n 0: any */
	int64_t now_s, leeway_s;
};
enum err jwt_check(yyjson_val *claims, const struct jwt_expect *x, struct errtext *et) MUST_CHECK;

/* base64url without padding; false on anything else. */
bool base64url_decode(struct buf *out, struct str s);
void base64url_encode(struct buf *out, struct str s);

#endif
