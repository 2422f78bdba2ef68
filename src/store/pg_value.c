/* PostgreSQL's binary values: big-endian numbers, bytes as they are, and numeric in base 10,000
 * (what SUM over BIGINT gives). Layouts: the ..._send functions of PostgreSQL. */
#include "store/pg_int.h"

#include <endian.h>
#include <math.h>
#include <stdio.h>

enum {
	T_BOOL = 16,
	T_INT2 = 21,
	T_INT4 = 23,
	T_OID = 26,
	T_XID = 28,
	T_FLOAT4 = 700,
	T_NUMERIC = 1700,
};

static uint16_t get16(const char *p)
{
	uint16_t v;
	memcpy(&v, p, 2);
	return be16toh(v);
}

static uint32_t get32(const char *p)
{
	uint32_t v;
	memcpy(&v, p, 4);
	return be32toh(v);
}

static uint64_t get64(const char *p)
{
	uint64_t v;
	memcpy(&v, p, 8);
	return be64toh(v);
}

static double float_of(unsigned type, struct pg_cell v)
{
	if (type == PG_FLOAT8 && v.n == 8) {
		uint64_t bits = get64(v.p);
		double d;
		memcpy(&d, &bits, 8);
		return d;
	}
	if (type == T_FLOAT4 && v.n == 4) {
		uint32_t bits = get32(v.p);
		float f;
		memcpy(&f, &bits, 4);
		return (double)f;
	}
	return 0;
}

/* Rounds to what a double holds; exact below 2^53, which numeric_i64 does not need to be. */
static double numeric_f64(struct pg_cell v)
{
	if (v.n < 8)
		return 0;
	int digits = get16(v.p), weight = (int16_t)get16(v.p + 2);
	uint16_t sign = get16(v.p + 4);
	if (sign == 0xC000)
		return NAN;
	if (sign == 0xD000 || sign == 0xF000)
		return sign == 0xD000 ? INFINITY : -INFINITY;
	long double sum = 0;
	for (int i = 0; i < digits && 8 + 2 * i + 2 <= v.n; i++)
		sum = sum * 10000 + get16(v.p + 8 + 2 * i);
	sum *= powl(10000, weight - digits + 1);
	return (double)(sign == 0x4000 ? -sum : sum);
}

/* Towards zero; what does not fit becomes the nearest that does, as in SQLite. */
static int64_t numeric_i64(struct pg_cell v)
{
	if (v.n < 8)
		return 0;
	int digits = get16(v.p), weight = (int16_t)get16(v.p + 2);
	uint16_t sign = get16(v.p + 4);
	bool minus = sign == 0x4000 || sign == 0xF000, over = sign == 0xD000 || sign == 0xF000;
	if (sign == 0xC000)
		return 0;
	int64_t sum = 0;
	for (int i = 0; i <= weight && !over; i++) {
		int d = i < digits && 8 + 2 * i + 2 <= v.n ? get16(v.p + 8 + 2 * i) : 0;
		over = __builtin_mul_overflow(sum, (int64_t)10000, &sum) ||
		       (minus ? __builtin_sub_overflow(sum, (int64_t)d, &sum)
			      : __builtin_add_overflow(sum, (int64_t)d, &sum));
	}
	if (over)
		return minus ? INT64_MIN : INT64_MAX;
	return sum;
}

static int64_t i64_of_f64(double d)
{
	if (d >= 0x1p63)
		return INT64_MAX;
	return d >= -0x1p63 ? (int64_t)d : isnan(d) ? 0 : INT64_MIN;
}

int64_t pg_i64(unsigned type, struct pg_cell v)
{
	int64_t i = 0;
	double d;
	if (!v.p)
		return 0;
	switch (type) {
	case PG_INT8:
		return v.n == 8 ? (int64_t)get64(v.p) : 0;
	case T_INT4:
		return v.n == 4 ? (int32_t)get32(v.p) : 0;
	case T_OID:
	case T_XID:
		return v.n == 4 ? get32(v.p) : 0;
	case T_INT2:
		return v.n == 2 ? (int16_t)get16(v.p) : 0;
	case T_BOOL:
		return v.n == 1 && v.p[0];
	case PG_FLOAT8:
	case T_FLOAT4:
		return i64_of_f64(float_of(type, v));
	case T_NUMERIC:
		return numeric_i64(v);
	default:
		if (str_i64(str_mk(v.p, (size_t)v.n), &i))
			return i;
		return str_f64(str_mk(v.p, (size_t)v.n), &d) ? i64_of_f64(d) : 0;
	}
}

double pg_f64(unsigned type, struct pg_cell v)
{
	double d = 0;
	if (!v.p)
		return 0;
	if (type == PG_FLOAT8 || type == T_FLOAT4)
		return float_of(type, v);
	if (type == T_NUMERIC)
		return numeric_f64(v);
	if (!pg_is_bytes(type))
		return (double)pg_i64(type, v);
	return str_f64(str_mk(v.p, (size_t)v.n), &d) ? d : 0;
}

bool pg_is_bytes(unsigned type)
{
	switch (type) {
	case PG_INT8:
	case T_INT4:
	case T_INT2:
	case T_OID:
	case T_XID:
	case T_BOOL:
	case PG_FLOAT8:
	case T_FLOAT4:
	case T_NUMERIC:
		return false;
	default:
		return true;
	}
}

void pg_print(unsigned type, struct pg_cell v, char out[40])
{
	if (type == PG_FLOAT8 || type == T_FLOAT4 || type == T_NUMERIC)
		snprintf(out, 40, "%.17g", pg_f64(type, v));
	else
		snprintf(out, 40, "%lld", (long long)pg_i64(type, v));
}

unsigned pg_param(const struct param *p, char room[8], struct pg_cell *out)
{
	uint64_t bits;
	*out = (struct pg_cell){0};
	switch (p->kind) {
	case PARAM_I64:
		bits = htobe64((uint64_t)p->i);
		memcpy(room, &bits, 8);
		*out = (struct pg_cell){room, 8};
		return PG_INT8;
	case PARAM_F64:
		memcpy(&bits, &p->f, 8);
		if (p->f == 0) /* SQLite has no negative zero */
			bits = 0;
		bits = htobe64(bits);
		memcpy(room, &bits, 8);
		if (!isnan(p->f)) /* SQLite has no NaN: NULL in both */
			*out = (struct pg_cell){room, 8};
		return PG_FLOAT8;
	case PARAM_TEXT:
	case PARAM_BLOB:
		if (p->s.p)
			*out = (struct pg_cell){p->s.p, (int)p->s.n};
		return p->kind == PARAM_TEXT ? PG_TEXT : PG_BYTEA;
	case PARAM_NULL:
		break;
	}
	return 0;
}
