/* The wire format of protocol buffers, and the header traceparent. */
#include "tap.h"
#include "net/protobuf.h"
#include "net/trace_context.h"

#include <stdlib.h>

/* Bytes of the encoding guide (protobuf.dev/programming-guides/encoding). */
static void test_net_protobuf__published_examples(void)
{
	struct pb m = pb_of(S("\x08\x96\x01"));
	struct pb_field f;
	CHECK(pb_next(&m, &f));
	CHECK_INT(f.number, 1);
	CHECK_INT(f.v, 150);
	CHECK(!pb_next(&m, &f) && !m.bad);
	m = pb_of(S("\x12\x07testing"));
	CHECK(pb_next(&m, &f));
	CHECK_INT(f.number, 2);
	CHECK_STR(f.s, "testing");
	m = pb_of(S("\x1a\x03\x08\x96\x01"));
	CHECK(pb_next(&m, &f));
	struct pb inner = pb_of(f.s);
	CHECK(pb_next(&inner, &f));
	CHECK_INT(f.v, 150);
}

static void test_net_protobuf__what_is_written_is_read(void)
{
	struct buf b = {0};
	pb_put_varint(&b, 1, UINT64_MAX);
	pb_put_fixed32(&b, 2, 0xDEADBEEF);
	pb_put_fixed64(&b, 3, 1ull << 63);
	pb_put_double(&b, 4, -0.5);
	size_t at = pb_open(&b, 536870911); /* the largest number */
	for (int i = 0; i < 100; i++)
		pb_put_str(&b, 1, S("some text, so that the length takes two bytes"));
	pb_close(&b, at);
	pb_put_varint(&b, 5, 0);
	struct pb m = pb_of(buf_str(&b));
	struct pb_field f;
	CHECK(pb_next(&m, &f) && f.v == UINT64_MAX);
	CHECK(pb_next(&m, &f) && f.v == 0xDEADBEEF && f.wire == PB_FIXED32);
	CHECK(pb_next(&m, &f) && f.v == 1ull << 63);
	CHECK(pb_next(&m, &f) && pb_double(&f) == -0.5);
	CHECK(pb_next(&m, &f) && f.number == 536870911);
	struct pb inner = pb_of(f.s);
	int n = 0;
	struct pb_field g;
	while (pb_next(&inner, &g))
		n += g.s.n == 45;
	CHECK_INT(n, 100);
	CHECK(pb_next(&m, &f) && f.number == 5 && f.v == 0);
	CHECK(!pb_next(&m, &f) && !m.bad);
	buf_free(&b);
}

static bool good(struct str s)
{
	struct pb m = pb_of(s);
	struct pb_field f;
	while (pb_next(&m, &f))
		;
	return !m.bad;
}

static void test_net_protobuf__malformed_bytes(void)
{
	CHECK(good(S("")));
	CHECK(!good(S("\x08")));     /* no value */
	CHECK(!good(S("\x00\x01"))); /* number 0 */
	CHECK(!good(S("\x12\x05"
		      "abcd")));                                             /* beyond the end */
	CHECK(!good(S("\x12\xff\xff\xff\xff\xff\xff\xff\xff\x7f")));         /* far beyond */
	CHECK(!good(S("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02")));     /* 65 bits */
	CHECK(!good(S("\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"))); /* 11 bytes */
	CHECK(!good(S("\x09\x01\x02\x03")));                                 /* short fixed64 */
	CHECK(!good(S("\x0e")) && !good(S("\x0f")));        /* wire types 6 and 7 */
	CHECK(good(S("\x0b\x10\x05\x13\x14\x0c\x08\x01"))); /* a group in a group, skipped */
	CHECK(!good(S("\x0b\x10\x05")));                    /* it does not end */
	CHECK(!good(S("\x0b\x14")));                        /* it ends as another */
	char deep[64];
	memset(deep, 0x0b, 32);
	memset(deep + 32, 0x0c, 32);
	CHECK(!good(str_mk(deep, 64)));
}

static void test_net_protobuf__traceparent(void)
{
	static const char text[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
	struct trace_context c = {0};
	char back[TRACEPARENT + 1];
	CHECK(traceparent_parse(S("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), &c));
	traceparent_write(&c, back);
	CHECK_STR(str_c(back), text);
	/* a later version may say more */
	CHECK(traceparent_parse(
		S("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-the-future"), &c));
	static const char *const bad[] = {"", "00-",
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
		"ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		"00-00000000000000000000000000000000-b7ad6b7169203331-01",
		"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
		"00-0AF7651916CD43DD8448EB211C80319C-B7AD6B7169203331-01",
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
		"cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01x",
		"00-0af7651916cd43dd8448eb211c80319c.b7ad6b7169203331-01",
		"00-0af7651916cd43dd8448eb211c80319g-b7ad6b7169203331-01"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK(!traceparent_parse(str_c(bad[i]), &c));
}

TESTS(T(test_net_protobuf__published_examples), T(test_net_protobuf__what_is_written_is_read),
	T(test_net_protobuf__malformed_bytes), T(test_net_protobuf__traceparent))
