/* The inside of the PostgreSQL backend: postgres.c has connections, transactions and statements,
 * pg_sql.c turns portable SQL into PostgreSQL's, pg_value.c its binary values into ours. */
#ifndef STORE_PG_INT_H
#define STORE_PG_INT_H
#include "store/db_int.h"

/* pg_sql.c: ? outside of literals and comments becomes $1, $2, ...; what is not portable (?1, :x,
 * @x, $x) is ERR_INTERNAL. Statements for PostgreSQL alone may use its operator @?. */
enum err pg_statement(struct str sql, struct buf *out, unsigned *params, struct errtext *et);
/* A script of definitions: BLOB becomes BYTEA, and TEXT columns sort by bytes, as in SQLite. */
enum err pg_script(struct str sql, struct buf *out, struct errtext *et);

/* pg_value.c. A value as it came in binary form; p is NULL for SQL NULL. */
struct pg_cell {
	const char *p;
	int n;
};
int64_t pg_i64(unsigned type, struct pg_cell v);
double pg_f64(unsigned type, struct pg_cell v);
bool pg_is_bytes(unsigned type);                              /* its binary form is its text */
void pg_print(unsigned type, struct pg_cell v, char out[40]); /* of the others */

/* A parameter in binary form: its type, and its bytes, which may lie in `room`. */
enum { PG_INT8 = 20, PG_FLOAT8 = 701, PG_TEXT = 25, PG_BYTEA = 17 };
unsigned pg_param(const struct param *p, char room[8], struct pg_cell *out);

#endif
