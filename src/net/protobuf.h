/* The wire format of protocol buffers: a reader that walks the fields of one message without
 * copying, and a writer onto a buf. No schemas: who reads knows the numbers.
 *
 * The reader never reads beyond its bytes, skips what it does not know (groups too, to a depth),
 * and ends with `bad` set at the first malformed byte.
 *
 *	struct pb m = pb_of(bytes);
 *	struct pb_field f;
 *	while (pb_next(&m, &f))
 *		if (f.number == 5 && f.wire == PB_BYTES)
 *			name = f.s;
 *	if (m.bad) ...
 *
 *	size_t at = pb_open(&out, 1);     // a message within a message
 *	pb_put_str(&out, 5, name);
 *	pb_close(&out, at);
 */
#ifndef NET_PROTOBUF_H
#define NET_PROTOBUF_H
#include "base/str.h"

enum pb_wire { PB_VARINT = 0, PB_FIXED64 = 1, PB_BYTES = 2, PB_FIXED32 = 5 };

struct pb {
	const uint8_t *p, *end;
	bool bad;
};

struct pb_field {
	uint32_t number;
	enum pb_wire wire;
	uint64_t v;   /* PB_VARINT, PB_FIXED64, PB_FIXED32 */
	struct str s; /* PB_BYTES: borrowed */
};

static inline struct pb pb_of(struct str s)
{
	return (struct pb){(const uint8_t *)s.p, (const uint8_t *)s.p + s.n, false};
}

bool pb_next(struct pb *m, struct pb_field *f); /* false: the end, or m->bad */
double pb_double(const struct pb_field *f);     /* of PB_FIXED64 */

void pb_put_varint(struct buf *out, uint32_t number, uint64_t v);
void pb_put_fixed32(struct buf *out, uint32_t number, uint32_t v);
void pb_put_fixed64(struct buf *out, uint32_t number, uint64_t v);
void pb_put_double(struct buf *out, uint32_t number, double v);
void pb_put_str(struct buf *out, uint32_t number, struct str s);
size_t pb_open(struct buf *out, uint32_t number);
void pb_close(struct buf *out, size_t at);

#endif
