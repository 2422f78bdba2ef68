/* Ids of items as bytes that sort as ids do: 1 and eight bytes of a number, 2 and sixteen of a
 * UUID, 3 and a text. */
#include "collection/collection_int.h"

enum { NUMBER = 1, UUID = 2, TEXT = 3 };

void item_id_number(uint64_t number, struct item_id *out)
{
	out->n = 9;
	out->b[0] = NUMBER;
	for (int i = 0; i < 8; i++)
		out->b[1 + i] = (uint8_t)(number >> (56 - 8 * i));
}

bool item_id_is_number(struct str bytes, uint64_t *number)
{
	if (bytes.n != 9 || bytes.p[0] != NUMBER)
		return false;
	uint64_t v = 0;
	for (int i = 1; i < 9; i++)
		v = v << 8 | (uint8_t)bytes.p[i];
	*number = v;
	return true;
}

/* As it is written back: no sign, no leading zeros. */
static bool canonical_number(struct str s, uint64_t *v)
{
	return s.n && s.n <= 20 && s.p[0] >= '0' && s.p[0] <= '9' && (s.p[0] != '0' || s.n == 1) &&
	       str_u64(s, v);
}

enum err item_id_parse(struct str text, struct item_id *out, struct errtext *et)
{
	uint64_t number;
	struct id uuid;
	if (canonical_number(text, &number)) {
		item_id_number(number, out);
		return OK;
	}
	if (id_parse(text, &uuid)) {
		out->n = 17;
		out->b[0] = UUID;
		memcpy(out->b + 1, uuid.b, 16);
		return OK;
	}
	if (!text.n || text.n > COLLECTION_ID_MAX - 1 || !utf8_valid(text) ||
		memchr(text.p, 0, text.n))
		return err_set(et, ERR_INVALID,
			"an item's id is a number, a UUID or a text of 1 to %d bytes of UTF-8",
			COLLECTION_ID_MAX - 1);
	out->n = (uint8_t)(text.n + 1);
	out->b[0] = TEXT;
	memcpy(out->b + 1, text.p, text.n);
	return OK;
}

void item_id_text(struct str bytes, struct buf *out)
{
	static const char hex[] = "0123456789abcdef";
	uint64_t number;
	if (item_id_is_number(bytes, &number)) {
		buf_addf(out, "%llu", (unsigned long long)number);
	} else if (bytes.n == 17 && bytes.p[0] == UUID) {
		for (size_t i = 1; i < 17; i++) {
			if (i == 5 || i == 7 || i == 9 || i == 11)
				buf_putc(out, '-');
			buf_putc(out, hex[(uint8_t)bytes.p[i] >> 4]);
			buf_putc(out, hex[(uint8_t)bytes.p[i] & 15]);
		}
	} else if (bytes.n) {
		buf_adds(out, str_sub(bytes, 1, bytes.n));
	}
}
