/* The first line is the Content-Type, the rest the body: parts lie inside it and in order. */
#include "net/http_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str rest = str_mk(data, size), type = {"", 0};
	str_next_line(&rest, &type);
	struct http_pair h = {S("content-type"), type};
	struct arena *a = arena_new(16 << 20);
	struct http_request rq = {.arena = a, .headers = &h, .n_headers = 1, .body = rest};
	struct http_part *parts;
	size_t n;
	struct errtext et;
	if (a && http_multipart(&rq, &parts, &n, &et) == OK)
		for (size_t i = 0; i < n; i++) {
			const struct http_part *p = &parts[i];
			if (p->data.n &&
				(p->data.p < rest.p || p->data.p + p->data.n > rest.p + rest.n))
				__builtin_trap();
			if (str_chr(p->filename, '/') != STR_NONE || str_eq_c(p->filename, ".."))
				__builtin_trap();
		}
	arena_free(a);
	return 0;
}
