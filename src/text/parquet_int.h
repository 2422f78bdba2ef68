/* What the files of Parquet share.
 *
 *	parquet_thrift.c   the compact protocol, both ways
 *	parquet_meta.c     the footer: schema, row groups, columns
 *	parquet_codec.c    snappy, gzip, zstd, brotli, lz4
 *	parquet_page.c     pages: levels and values
 *	parquet_delta.c    encodings by differences and byte by byte
 *	parquet.c          rows out of columns
 *	parquet_write.c    rows into columns */
#ifndef TEXT_PARQUET_INT_H
#define TEXT_PARQUET_INT_H
#include "base/arena.h"
#include "base/str.h"
#include "text/parquet.h"

enum physical { BOOLEAN, INT32, INT64, INT96, FLOAT, DOUBLE, BYTE_ARRAY, FIXED };
enum codec { UNCOMPRESSED = 0, SNAPPY = 1, GZIP = 2, BROTLI = 4, ZSTD = 6, LZ4_RAW = 7 };
enum encoding {
	PLAIN = 0,
	PLAIN_DICTIONARY = 2,
	RLE = 3,
	DELTA_BINARY_PACKED = 5,
	DELTA_LENGTH_BYTE_ARRAY = 6,
	DELTA_BYTE_ARRAY = 7,
	RLE_DICTIONARY = 8,
	BYTE_STREAM_SPLIT = 9
};
enum page_type { DATA_PAGE = 0, INDEX_PAGE = 1, DICTIONARY_PAGE = 2, DATA_PAGE_V2 = 3 };

/* ---- thrift's compact protocol ---- */

struct thrift {
	struct str in;
	size_t at;
	bool bad; /* once set, all reads are zero */
	unsigned depth;
};

enum thrift_type {
	T_STOP = 0,
	T_TRUE = 1,
	T_FALSE = 2,
	T_BYTE = 3,
	T_I16 = 4,
	T_I32 = 5,
	T_I64 = 6,
	T_DOUBLE = 7,
	T_BINARY = 8,
	T_LIST = 9,
	T_SET = 10,
	T_MAP = 11,
	T_STRUCT = 12
};

/* The next field of a struct: false at its end. *id begins as 0. */
bool thrift_field(struct thrift *t, int *id, enum thrift_type *type);
void thrift_skip(struct thrift *t, enum thrift_type type);
int64_t thrift_int(struct thrift *t); /* of T_I16, T_I32, T_I64 */
struct str thrift_binary(struct thrift *t);
/* The number of elements of a list, whose type must be `of`. */
size_t thrift_list(struct thrift *t, enum thrift_type of);

void thrift_put_varint(struct buf *out, uint64_t v);
/* A field's head; *last is the id of the one before. */
void thrift_put_field(struct buf *out, int *last, int id, enum thrift_type type);
void thrift_put_i32(struct buf *out, int *last, int id, int64_t v);
void thrift_put_i64(struct buf *out, int *last, int id, int64_t v);
void thrift_put_binary(struct buf *out, int *last, int id, struct str s);
void thrift_put_list(struct buf *out, int *last, int id, enum thrift_type of, size_t n);

/* ---- the footer ---- */

/* How the bytes of a physical value are meant. */
enum meaning {
	AS_IT_IS,
	AS_TEXT,
	AS_JSON,
	AS_UNSIGNED,
	AS_DATE,
	AS_MILLIS,
	AS_MICROS,
	AS_NANOS,
	AS_TIME96, /* nanoseconds of the day, then the Julian day */
	AS_DECIMAL,
	AS_HALF
};

struct leaf {
	struct parquet_column column;
	enum physical type;
	enum meaning meaning;
	int32_t width, scale; /* bytes of FIXED; of AS_DECIMAL */
	/* Levels: of a value that is there; of an element that is (list); of a list that is empty.
	 */
	uint8_t def_max, rep_max, def_list;
	const char *unread; /* why its values cannot be read; NULL: they can */
};

struct chunk {
	int64_t codec, values, begin, size;
};

struct meta {
	struct leaf *leaves;
	size_t n_leaves;
	struct row_group {
		int64_t rows;
		struct chunk *chunks; /* of each leaf */
	} * groups;
	size_t n_groups;
	uint64_t rows;
};
enum err parquet_read_meta(
	struct str file, struct arena *a, struct meta *out, struct errtext *et) MUST_CHECK;

/* ---- codecs ---- */

/* Exactly n bytes into `to`; false: it does not fit. */
bool codec_known(int64_t codec);
bool codec_unpack(int64_t codec, struct str in, char *to, size_t n);

/* ---- encodings that become plain ---- */

bool delta_known(int64_t encoding);
/* n values as plain ones into out, which is cleared first. ERR_CORRUPT, ERR_TOO_LARGE. */
enum err delta_unpack(const struct leaf *l, int64_t encoding, struct str in, size_t n,
	struct buf *out, struct errtext *et) MUST_CHECK;

/* ---- pages ---- */

struct cursor {
	const struct leaf *leaf;
	struct str chunk;    /* what is left of its bytes */
	int64_t codec, left; /* values that are left in its pages */
	/* the page */
	char *page;
	size_t page_cap;
	uint8_t *rep, *def;
	size_t n, at, levels_cap;
	struct str values; /* plain: what is left */
	struct buf plain;  /* of a page in another encoding */
	uint32_t *index;   /* dictionary: of each value that is there */
	size_t n_index, next, index_cap;
	bool by_index, runs_of_bits;
	unsigned bit; /* of booleans */
	/* the dictionary */
	char *dictionary;
	struct str *entries;
	size_t n_entries;
};
void cursor_open(struct cursor *c, const struct leaf *l, const struct chunk *k, struct str file);
void cursor_close(struct cursor *c);
/* The levels that come next, without taking them; false at the end of the chunk. */
enum err cursor_peek(
	struct cursor *c, uint8_t *rep, uint8_t *def, bool *end, struct errtext *et) MUST_CHECK;
/* Takes them, and with def_max the value's bytes (of booleans one byte). */
enum err cursor_take(struct cursor *c, struct str *value, struct errtext *et) MUST_CHECK;

#endif
