/* Answers of S3 servers: a list, an error, an upload's id, whatever their bytes. */
#include "store/s3_int.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum err element(void *ctx, const char *name, struct str text)
{
	size_t *sum = ctx;
	*sum += strlen(name) + text.n;
	return OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_mk(data, size);
	struct errtext et;
	struct s3_error x;
	struct s3 s = {.url = {.prefix = (char[]){"p/"}}};
	char hex[SHA256_HEX + 1];
	size_t sum = 0;
	(void)!s3_xml(in, element, &sum, &et);
	if (sum > 2 * size + 64)
		__builtin_trap();
	s3_error_parse(in, &x);
	if (s3_key_parse(&s, in, hex) && strlen(hex) != SHA256_HEX)
		__builtin_trap();
	struct s3_url u;
	char *at = str_dup(in);
	if (at && !s3_url_parse(at, &u, &et)) {
		if (!u.host[0] || !u.bucket[0])
			__builtin_trap();
		s3_url_release(&u);
	}
	free(at);
	return 0;
}
