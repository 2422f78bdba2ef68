#include "tap.h"
#include "text/raw.h"

#include <stdlib.h>
#include <zlib.h>

static bool has(struct str bytes, const char *text)
{
	struct buf b = {0};
	CHECK(raw_text(bytes, 1 << 20, &b) == OK);
	bool found = str_find(buf_str(&b), str_c(text)) != STR_NONE;
	buf_free(&b);
	return found;
}

static void test_text_raw__html(void)
{
	struct str page =
		S("<p>Sal<b>aries</b> &amp; bonus: 5&nbsp;&#8364;&#x41;</p><img alt='hidden words'>"
		  "<script>var x = 'in a script'</script> 1 < 2 &unknown; &#0; &#xD800;");
	CHECK(raw_kind_of(page) == RAW_PLAIN);
	CHECK(has(page, "Salaries & bonus: 5 \xE2\x82\xAC"
			"A"));
	CHECK(has(page, "hidden words"));
	CHECK(has(page, "in a script"));
	CHECK(has(page, "&unknown; &#0; &#xD800;"));
	CHECK(!has(page, "nothing of this"));
}

static void test_text_raw__pdf(void)
{
	static const char content[] =
		"BT [(Sal) -20 (aries \\(paid\\) on day \\061\\n)] TJ (End) Tj ET";
	unsigned char packed[500];
	uLongf n = sizeof packed;
	struct buf b = {0};
	CHECK(compress(packed, &n, (const unsigned char *)content, sizeof content - 1) == Z_OK);
	buf_addc(&b, "%PDF-1.7\n1 0 obj\n<< /Length 1 >>\nstream\r\n");
	buf_adds(&b, str_mk(packed, n));
	buf_addc(&b, "\nendstream\nstream\n(plain) Tj\nendstream\nstream\nwithout an end");
	CHECK(raw_kind_of(buf_str(&b)) == RAW_PDF);
	CHECK(has(buf_str(&b), "Salaries (paid) on day 1\n"));
	CHECK(has(buf_str(&b), "plain"));
	CHECK(has(buf_str(&b), "End"));
	buf_free(&b);
}

static void test_text_raw__bounds(void)
{
	struct buf b = {0}, big = {0};
	for (int i = 0; i < 10000; i++)
		buf_addc(&big, "<b>word</b> ");
	buf_addc(&b, "mine");
	CHECK(raw_text(buf_str(&big), 1000, &b) == OK);
	CHECK_INT(b.n, 1004);
	CHECK(raw_text(S(""), 10, &b) == OK);
	CHECK(raw_text(S("PK\3\4 damaged"), 10, &b) == OK);
	CHECK(raw_text(S("%PDF-"), 10, &b) == OK);
	buf_free(&b);
	buf_free(&big);
}

TESTS(T(test_text_raw__html), T(test_text_raw__pdf), T(test_text_raw__bounds))
