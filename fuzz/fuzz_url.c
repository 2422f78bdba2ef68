/* Request targets: what is accepted has no "." or ".." segment, no control byte, and is UTF-8. */
#include "net/http_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_mk(data, size), authority, port;
	struct arena *a = arena_new(16 << 20);
	struct http_request rq = {.arena = a};
	struct errtext et;
	struct buf b = {0}, c = {0};
	if (a && http_parse_target(&rq, in, &authority, &et) == OK) {
		struct str rest = rq.path, part;
		while (str_next(&rest, '/', &part))
			if (str_eq_c(part, ".") || str_eq_c(part, ".."))
				__builtin_trap();
		if (!utf8_valid(rq.path) || memchr(rq.path.p, 0, rq.path.n))
			__builtin_trap();
	}
	url_encode(&b, in);
	url_decode(&c, buf_str(&b), false);
	if (!str_eq(buf_str(&c), in))
		__builtin_trap();
	buf_clear(&b);
	http_host_name(in, &b, &port);
	buf_free(&b);
	buf_free(&c);
	arena_free(a);
	return 0;
}
