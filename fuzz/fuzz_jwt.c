/* A key set and a token, separated by a line feed; and the claims as they are. */
#include "access/jwt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str all = str_mk(data, size), keys_text = {0};
	struct jwk_set *keys = NULL;
	yyjson_doc *doc = NULL;
	struct buf iss = {0};
	bool unknown;
	str_next(&all, '\n', &keys_text);
	jwt_issuer(all, &iss);
	if (!jwks_parse(keys_text, &keys, NULL) && !jwt_verify(all, keys, &doc, &unknown, NULL))
		yyjson_doc_free(doc);
	doc = NULL;
	struct jwt_expect x = {.issuer = S("i"), .audience = S("a"), .party = S("a"), .now_s = 1};
	if (!json_parse(all, &doc, NULL)) {
		enum err e = jwt_check(yyjson_doc_get_root(doc), &x, NULL);
		(void)e;
	}
	yyjson_doc_free(doc);
	jwks_free(keys);
	buf_free(&iss);
	return 0;
}
