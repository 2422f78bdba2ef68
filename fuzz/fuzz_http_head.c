/* A head, then a chunked body: read in pieces or whole, the result is the same. */
#include "net/http_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum chunk_state dechunk(struct str in, size_t piece, struct buf *out)
{
	struct chunked c = {0};
	enum chunk_state st = CHUNK_MORE;
	while (in.n && (st == CHUNK_MORE)) {
		struct str part = str_sub(in, 0, MIN(piece, in.n)), d;
		in = str_sub(in, part.n, in.n);
		while ((st = http_dechunk(&c, &part, &d)) == CHUNK_DATA)
			buf_adds(out, d);
	}
	return st;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_mk(data, size);
	struct head_scan whole = {0}, slow = {0};
	size_t end = 0, end_slow = 0;
	const char *why;
	enum head_state st = http_scan_head(&whole, in, &end, &why), st_slow = HEAD_MORE;
	for (size_t n = 1; n <= in.n && st_slow == HEAD_MORE; n++)
		st_slow = http_scan_head(&slow, str_sub(in, 0, n), &end_slow, &why);
	if (in.n && (st != st_slow || end != end_slow))
		__builtin_trap();
	struct str body = in;
	if (st == HEAD_DONE) {
		struct arena *a = arena_new(1 << 20);
		struct http_head h;
		if (a && !http_parse_head(str_sub(in, 0, end), a, &h, &why)) {
			if (h.chunked && h.has_length)
				__builtin_trap();
			for (size_t i = 0; i < h.n_headers; i++)
				if (memchr(h.headers[i].value.p, '\n', h.headers[i].value.n))
					__builtin_trap();
		}
		arena_free(a);
		body = str_sub(in, end, in.n);
	}
	struct buf x = {0}, y = {0};
	if (dechunk(body, SIZE_MAX, &x) != dechunk(body, 3, &y) ||
		!str_eq(buf_str(&x), buf_str(&y)))
		__builtin_trap();
	buf_free(&x);
	buf_free(&y);
	return 0;
}
