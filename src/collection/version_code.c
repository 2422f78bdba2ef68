/* Items of a version as bytes.
 *
 * A record: the lengths of the vectors, the payload, and the text that the payload does not say
 * (u32 each), and of the text's digest (u8); then these, as the database has them. An item in a
 * leaf: the length of its id (u8), the id, the hash of its vectors, the hash of payload and text,
 * the name of its pack (u64), the place and the length of its record in there (u32 each).
 * Little-endian, packed. */
#include "collection/version_int.h"

enum { RECORD_HEAD = 13, LEAF_TAIL = 2 * VERSION_SUM + 16, LEAF_MEAN = 64 };

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "versions are stored as they lie");

/* Of payload and text: the hash of the payload's hash and the text's digest. */
void version_sums(const struct vrecord *r, struct vitem *out)
{
	uint8_t digest[SHA256_BYTES], both[SHA256_BYTES + UINT8_MAX];
	size_t n = MIN(r->text.n, (size_t)UINT8_MAX);
	sha256_of(r->vectors, digest);
	memcpy(out->vectors, digest, VERSION_SUM);
	sha256_of(r->payload, both);
	if (n)
		memcpy(both + SHA256_BYTES, r->text.p, n);
	sha256_of(str_mk(both, SHA256_BYTES + n), digest);
	memcpy(out->rest, digest, VERSION_SUM);
}

void vrecord_write(const struct vrecord *r, struct buf *out)
{
	uint32_t n[3] = {(uint32_t)r->vectors.n, (uint32_t)r->payload.n, (uint32_t)r->kept.n};
	buf_add(out, n, sizeof n);
	buf_putc(out, (char)r->text.n);
	buf_adds(out, r->vectors);
	buf_adds(out, r->payload);
	buf_adds(out, r->kept);
	buf_adds(out, r->text);
}

static enum err damaged(struct errtext *et)
{
	return err_set(et, ERR_CORRUPT, "a version of a collection is damaged, or is none");
}

enum err vrecord_read(struct str bytes, struct vrecord *out, struct errtext *et)
{
	uint32_t n[3];
	if (bytes.n < RECORD_HEAD)
		return damaged(et);
	memcpy(n, bytes.p, sizeof n);
	size_t text = (uint8_t)bytes.p[RECORD_HEAD - 1];
	if ((uint64_t)n[0] + n[1] + n[2] + text != bytes.n - RECORD_HEAD)
		return damaged(et);
	const char *p = bytes.p + RECORD_HEAD;
	*out = (struct vrecord){.vectors = str_mk(p, n[0]),
		.payload = str_mk(p + n[0], n[1]),
		.kept = str_mk(p + n[0] + n[1], n[2]),
		.text = str_mk(p + n[0] + n[1] + n[2], text)};
	return OK;
}

void vleaf_add(struct buf *out, const struct vitem *it, uint64_t pack)
{
	uint32_t place[2] = {it->off, it->len};
	buf_putc(out, (char)it->id.n);
	buf_adds(out, it->id);
	buf_add(out, it->vectors, VERSION_SUM);
	buf_add(out, it->rest, VERSION_SUM);
	buf_add(out, &pack, sizeof pack);
	buf_add(out, place, sizeof place);
}

enum err vleaf_next(struct str *rest, struct vitem *out, uint64_t *pack, struct errtext *et)
{
	uint32_t place[2];
	size_t n = rest->n ? (uint8_t)rest->p[0] : 0;
	if (!n || rest->n < 1 + n + LEAF_TAIL)
		return damaged(et);
	const char *p = rest->p + 1;
	out->id = str_mk(p, n);
	p += n;
	memcpy(out->vectors, p, VERSION_SUM);
	memcpy(out->rest, p + VERSION_SUM, VERSION_SUM);
	p += 2 * VERSION_SUM;
	memcpy(pack, p, sizeof *pack);
	memcpy(place, p + sizeof *pack, sizeof place);
	out->off = place[0];
	out->len = place[1];
	*rest = str_sub(*rest, 1 + n + LEAF_TAIL, rest->n);
	return OK;
}

/* One id in LEAF_MEAN; the hash must never change, so it is CRC-32C with its bits mixed. */
bool vleaf_ends(struct str id)
{
	uint32_t h = crc32c(0, id.p, id.n) * 0x9E3779B1u;
	return (h >> 16) % LEAF_MEAN == 0;
}
