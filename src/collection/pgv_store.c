/* The tables of collections in pgvector: SQL for PostgreSQL alone.
 *
 * Names of types and operators are said with the schema of the extension, which is one for all
 * schemas of a database: two states of Croft beside each other share it. */
#include "collection/pgv_post.h"

#include <stdio.h>

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for the rows of a collection");
}

/* ---- the server ---- */

static unsigned version_of(struct str s)
{
	unsigned v[3] = {0}, at = 0;
	for (size_t i = 0; i < s.n && at < 3; i++) {
		if (s.p[i] == '.')
			at++;
		else if (s.p[i] >= '0' && s.p[i] <= '9' && v[at] < 1000)
			v[at] = 10 * v[at] + (unsigned)(s.p[i] - '0');
	}
	return v[0] * 10000 + v[1] * 100 + v[2];
}

static enum err look(
	struct tx *tx, struct pgv_server *out, bool *found, bool *offered, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et,
		"SELECT quote_ident(CAST(n.nspname AS TEXT)), e.extversion, (SELECT count(*) FROM "
		"pg_available_extensions a WHERE a.name = 'vector') FROM (SELECT 1) one LEFT JOIN "
		"pg_extension e ON e.extname = 'vector' LEFT JOIN pg_namespace n ON n.oid = "
		"e.extnamespace");
	if (e)
		return e;
	if (row_next(r, &e, et)) {
		*found = !row_null(r, 0);
		*offered = row_i64(r, 2) > 0;
		snprintf(out->schema, sizeof out->schema, "%.*s", STR_FMT(row_text(r, 0)));
		out->version = version_of(row_text(r, 1));
	}
	row_free(r);
	return e;
}

/* In the schema public when there is one: others may want it, too. */
static enum err make_extension(struct tx *tx, struct errtext *et)
{
	struct row *r;
	bool is_public = false;
	/* it is the whole database's: another schema may be at it */
	enum err e = db_exec(tx, et, "SELECT pg_advisory_xact_lock(1668181623)");
	e = e ? e : db_query(tx, &r, et, "SELECT 1 FROM pg_namespace WHERE nspname = 'public'");
	if (e)
		return e;
	is_public = row_next(r, &e, et);
	row_free(r);
	e = e ? e
	      : db_exec(tx, et,
			is_public ? "CREATE EXTENSION IF NOT EXISTS vector SCHEMA public"
				  : "CREATE EXTENSION IF NOT EXISTS vector");
	return e == ERR_FORBIDDEN
		       ? err_set(et, ERR_UNSUPPORTED,
				 "pgvector is installed, but not yet in this database, and this "
				 "role may not make it: an administrator of the database runs "
				 "CREATE EXTENSION vector")
		       : e;
}

enum err pgv_possible(struct croft *c, struct errtext *et)
{
	return db_is(croft_db(c), "postgres")
		       ? OK
		       : err_set(et, ERR_UNSUPPORTED,
				 "the backend pgvector needs PostgreSQL, and Croft runs on SQLite "
				 "here: see db.url, or take the backend embedded");
}

enum err pgv_server(struct tx *tx, bool make, struct pgv_server *out, struct errtext *et)
{
	enum { OLDEST = 700 }; /* the first with halfvec */
	bool found = false, offered = false;
	enum err e = look(tx, out, &found, &offered, et);
	if (!e && !found && !offered)
		return err_set(et, ERR_UNSUPPORTED,
			"the PostgreSQL server has no pgvector: install it there (Debian 13: "
			"postgresql-17-pgvector), or take the backend embedded");
	if (!e && !found && make) {
		e = make_extension(tx, et);
		e = e ? e : look(tx, out, &found, &offered, et);
	}
	if (!e && !found)
		return err_set(et, ERR_UNSUPPORTED,
			"this database has no pgvector any more: an administrator runs CREATE "
			"EXTENSION vector");
	if (!e && out->version < OLDEST)
		return err_set(et, ERR_UNSUPPORTED,
			"the database has pgvector %u.%u; 0.7 or later is needed: update the "
			"package, then ALTER EXTENSION vector UPDATE",
			out->version / 10000, out->version / 100 % 100);
	return e;
}

/* ---- where a table stands ---- */

enum err pgv_state(struct tx *tx, int64_t number, struct pgv_state *out, struct errtext *et)
{
	struct row *r;
	char name[64];
	snprintf(name, sizeof name, "derived_pgv_%lld", (long long)number);
	enum err e = db_query(tx, &r, et,
		"SELECT mark, filled, odd, to_regclass(?) IS NOT NULL FROM collection_pgv WHERE "
		"collection = ?",
		P_TEXT(str_c(name)), P_I64(number));
	if (e)
		return e;
	bool found = row_next(r, &e, et);
	if (found)
		*out = (struct pgv_state){
			row_i64(r, 0), row_i64(r, 1), row_i64(r, 2) != 0, row_i64(r, 3) != 0};
	row_free(r);
	return e || found ? e : ERR_NOT_FOUND;
}

enum err pgv_state_put(struct tx *tx, int64_t number, const struct pgv_state *s, struct errtext *et)
{
	return db_exec(tx, et,
		"INSERT INTO collection_pgv (collection, mark, filled, odd) VALUES (?, ?, ?, ?) "
		"ON CONFLICT (collection) DO UPDATE SET mark = excluded.mark, filled = "
		"excluded.filled, odd = excluded.odd",
		P_I64(number), P_I64(s->mark), P_I64(s->filled), P_I64(s->odd));
}

enum err pgv_state_drop(struct tx *tx, int64_t number, struct errtext *et)
{
	return db_exec(tx, et, "DELETE FROM collection_pgv WHERE collection = ?", P_I64(number));
}

static bool has_column(const struct space *s)
{
	return space_lives(s) && s->kind == SPACE_DENSE;
}

static bool has_rows(const struct space *s)
{
	return space_lives(s) && s->kind == SPACE_MULTI;
}

/* Of a space that is not a column. */
static enum err make_beside(struct tx *tx, const struct pgv_server *pg, int64_t number,
	const struct space *s, size_t place, struct errtext *et)
{
	struct post_base b;
	char sql[320];
	if (s->kind == SPACE_SPARSE) {
		post_sparse_base(&b, number, place);
		return post_make(tx, &b, et);
	}
	snprintf(sql, sizeof sql,
		"CREATE TABLE derived_pgv_%lld_m%zu (num BIGINT NOT NULL, n INT NOT NULL, v "
		"%s.vector(%u) NOT NULL, PRIMARY KEY (num, n))",
		(long long)number, place, pg->schema, s->dim);
	return db_exec(tx, et, sql);
}

enum err pgv_table_make(struct tx *tx, const struct pgv_server *pg, int64_t number,
	const struct space *spaces, size_t n, int64_t mark, struct errtext *et)
{
	struct buf sql = {0};
	long long no = (long long)number;
	buf_addf(&sql,
		"CREATE TABLE derived_pgv_%lld (num BIGINT PRIMARY KEY, odd BOOLEAN NOT NULL, f "
		"JSONB NOT NULL",
		no);
	for (size_t i = 0; i < n; i++)
		if (has_column(&spaces[i]))
			buf_addf(&sql, ", v%zu %s.vector(%u)", i, pg->schema, spaces[i].dim);
	buf_putc(&sql, ')');
	enum err e = sql.err ? no_memory(et) : db_exec(tx, et, buf_c(&sql));
	buf_clear(&sql);
	buf_addf(&sql,
		"CREATE INDEX derived_pgv_%lld_f ON derived_pgv_%lld USING gin (f jsonb_path_ops)",
		no, no);
	e = e ? e : sql.err ? no_memory(et) : db_exec(tx, et, buf_c(&sql));
	buf_free(&sql);
	for (size_t i = 0; i < n && !e; i++)
		if (space_lives(&spaces[i]) && spaces[i].kind)
			e = make_beside(tx, pg, number, &spaces[i], i, et);
	struct pgv_state s = {mark, 0, false, true};
	return e ? e : pgv_state_put(tx, number, &s, et);
}

/* Statements that drop them, each in a line. */
static enum err write_drops(struct tx *tx, const char *name, struct buf *out, struct errtext *et)
{
	struct row *r;
	char longer[80];
	snprintf(longer, sizeof longer, "%s_", name);
	enum err e = db_query(tx, &r, et,
		"SELECT quote_ident(CAST(c.relname AS TEXT)) FROM pg_class c WHERE c.relkind = 'r' "
		"AND c.relnamespace = CAST(current_schema() AS regnamespace) AND (c.relname = ? OR "
		"starts_with(CAST(c.relname AS TEXT), ?))",
		P_TEXT(str_c(name)), P_TEXT(str_c(longer)));
	if (e)
		return e;
	while (row_next(r, &e, et))
		buf_addf(out, "DROP TABLE IF EXISTS %.*s\n", STR_FMT(row_text(r, 0)));
	row_free(r);
	return e ? e : out->err ? no_memory(et) : OK;
}

enum err pgv_tables_drop(struct croft *c, const char *name, struct errtext *et)
{
	struct buf lines = {0};
	struct tx *tx;
	if (!db_is(croft_db(c), "postgres"))
		return OK;
	enum err e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	e = write_drops(tx, name, &lines, et);
	db_rollback(tx);
	struct str rest = buf_str(&lines), line;
	while (!e && str_next_line(&rest, &line)) {
		char sql[160];
		const char *const steps[] = {"SET lock_timeout = '30s'", sql};
		snprintf(sql, sizeof sql, "%.*s", STR_FMT(line));
		e = db_beside(croft_db(c), steps, ARRAY_LEN(steps), NULL, et);
	}
	buf_free(&lines);
	return e;
}

enum err pgv_table_drop(struct croft *c, int64_t number, struct errtext *et)
{
	char name[64];
	snprintf(name, sizeof name, "derived_pgv_%lld", (long long)number);
	return pgv_tables_drop(c, name, et);
}

/* ---- rows ---- */

void pgv_vector_text(const struct space *s, const float *v, struct buf *out)
{
	float unit[COLLECTION_DIM_MAX];
	char number[40];
	if (s->distance == DISTANCE_COSINE)
		kern->normalize(unit, v, s->dim);
	else
		memcpy(unit, v, s->dim * sizeof *unit);
	buf_putc(out, '[');
	for (uint32_t i = 0; i < s->dim; i++) {
		int n = snprintf(number, sizeof number, i ? ",%.9g" : "%.9g", (double)unit[i]);
		buf_add(out, number, (size_t)n);
	}
	buf_putc(out, ']');
}

void pgv_vectors_text(const struct space *s, const float *v, size_t rows, struct buf *out)
{
	buf_putc(out, '{');
	for (size_t i = 0; i < rows; i++) {
		buf_addc(out, i ? ",\"" : "\"");
		pgv_vector_text(s, v + i * s->dim, out);
		buf_putc(out, '"');
	}
	buf_putc(out, '}');
}

struct row_sql {
	struct pgv_sql q;
	struct buf set; /* of what is there already */
};

static void add_vector(struct row_sql *x, const struct pgv_server *pg, const struct space *s,
	size_t place, const float *v)
{
	struct buf text = {0};
	buf_addf(&x->set, ", v%zu = excluded.v%zu", place, place);
	if (!v) {
		buf_addc(&x->q.text, ", NULL");
		return;
	}
	buf_addf(&x->q.text, ", CAST(? AS %s.vector)", pg->schema);
	pgv_vector_text(s, v, &text);
	if (text.err)
		x->q.err = text.err;
	else
		pgv_bind_text(&x->q, buf_str(&text));
	buf_free(&text);
}

static const struct item_vector *vector_in(const struct item_vector *v, size_t n, size_t place)
{
	for (size_t i = 0; i < n; i++)
		if (v[i].place == place)
			return &v[i];
	return NULL;
}

static enum err drop_rows(
	struct tx *tx, int64_t number, size_t place, int64_t num, struct errtext *et)
{
	char sql[120];
	snprintf(sql, sizeof sql, "DELETE FROM derived_pgv_%lld_m%zu WHERE num = ?",
		(long long)number, place);
	return db_exec(tx, et, sql, P_I64(num));
}

/* A list of vectors, in place of the one there was. */
static enum err write_list(struct tx *tx, const struct pgv_server *pg, int64_t number,
	const struct space *s, size_t place, int64_t num, const struct item_vector *v,
	struct errtext *et)
{
	char sql[280];
	struct buf text = {0};
	enum err e = drop_rows(tx, number, place, num, et);
	if (e || !v || !v->rows)
		return e;
	pgv_vectors_text(s, v->v, v->rows, &text);
	snprintf(sql, sizeof sql,
		"INSERT INTO derived_pgv_%lld_m%zu (num, n, v) SELECT ?, i, v FROM unnest(CAST(? "
		"AS %s.vector[])) WITH ORDINALITY AS r (v, i)",
		(long long)number, place, pg->schema);
	e = text.err ? no_memory(et) : db_exec(tx, et, sql, P_I64(num), P_TEXT(buf_str(&text)));
	buf_free(&text);
	return e;
}

static enum err write_row(struct row_sql *x, struct tx *tx, const struct pgv_server *pg,
	int64_t number, const struct space *spaces, size_t n_spaces, const struct item_row *r,
	bool whole, struct str payload, bool odd, struct errtext *et)
{
	struct item_vector *v = NULL;
	struct buf *sql = &x->q.text;
	size_t n = 0;
	enum err e = item_decode(r->vectors, spaces, n_spaces, x->q.a, &v, &n, et);
	if (e)
		return e;
	if (!whole) {
		buf_addf(sql,
			"UPDATE derived_pgv_%lld SET odd = ? <> 0, f = CAST(? AS jsonb) WHERE num "
			"= ?",
			(long long)number);
		pgv_bind(&x->q, P_I64(odd));
		pgv_bind_text(&x->q, payload);
		pgv_bind(&x->q, P_I64(r->num));
	} else {
		buf_addf(sql, "INSERT INTO derived_pgv_%lld VALUES (?, ? <> 0, CAST(? AS jsonb)",
			(long long)number);
		pgv_bind(&x->q, P_I64(r->num));
		pgv_bind(&x->q, P_I64(odd));
		pgv_bind_text(&x->q, payload);
		for (size_t s = 0; s < n_spaces; s++) {
			const struct item_vector *of = vector_in(v, n, s);
			if (has_column(&spaces[s]))
				add_vector(x, pg, &spaces[s], s, of ? of->v : NULL);
		}
		buf_addf(sql,
			") ON CONFLICT (num) DO UPDATE SET odd = excluded.odd, f = excluded.f%s",
			buf_c(&x->set));
	}
	if (x->q.err || sql->err || x->set.err)
		return no_memory(et);
	e = db_exec_n(tx, et, buf_c(sql), x->q.params, x->q.n);
	for (size_t s = 0; whole && s < n_spaces && !e; s++)
		if (has_rows(&spaces[s]))
			e = write_list(
				tx, pg, number, &spaces[s], s, r->num, vector_in(v, n, s), et);
	return e;
}

enum err pgv_row_put(struct tx *tx, const struct pgv_server *pg, int64_t number,
	const struct space *spaces, size_t n_spaces, const struct item_row *r, bool whole,
	bool *odd, struct errtext *et)
{
	struct row_sql x = {.q.a = arena_new(0)};
	struct buf payload = {0};
	bool is_odd = false;
	enum err e = x.q.a ? pgv_payload(r->payload, &payload, &is_odd, et) : no_memory(et);
	e = e ? e
	      : write_row(&x, tx, pg, number, spaces, n_spaces, r, whole, buf_str(&payload), is_odd,
			et);
	*odd |= is_odd;
	buf_free(&payload);
	buf_free(&x.q.text);
	buf_free(&x.set);
	arena_free(x.q.a);
	return e;
}

enum err pgv_row_drop(struct tx *tx, int64_t number, const struct space *spaces, size_t n_spaces,
	int64_t num, struct errtext *et)
{
	char sql[96];
	snprintf(sql, sizeof sql, "DELETE FROM derived_pgv_%lld WHERE num = ?", (long long)number);
	enum err e = db_exec(tx, et, sql, P_I64(num));
	for (size_t s = 0; s < n_spaces && !e; s++)
		if (has_rows(&spaces[s]))
			e = drop_rows(tx, number, s, num, et);
	return e;
}

static enum err lost_of(struct tx *tx, const char *table, int64_t number, struct errtext *et)
{
	char sql[240];
	snprintf(sql, sizeof sql,
		"DELETE FROM %s t WHERE NOT EXISTS (SELECT 1 FROM collection_item i WHERE "
		"i.collection = ? AND i.num = t.num)",
		table);
	return db_exec(tx, et, sql, P_I64(number));
}

/* Those of items that have gone while nobody told. */
enum err pgv_rows_lost(struct tx *tx, int64_t number, const struct space *spaces, size_t n_spaces,
	struct errtext *et)
{
	char table[64];
	struct post_base b;
	snprintf(table, sizeof table, "derived_pgv_%lld", (long long)number);
	enum err e = lost_of(tx, table, number, et);
	for (size_t s = 0; s < n_spaces && !e; s++) {
		if (has_rows(&spaces[s])) {
			snprintf(
				table, sizeof table, "derived_pgv_%lld_m%zu", (long long)number, s);
			e = lost_of(tx, table, number, et);
		} else if (space_lives(&spaces[s]) && spaces[s].kind == SPACE_SPARSE) {
			post_sparse_base(&b, number, s);
			e = post_lost(tx, &b, number, et);
		}
	}
	return e;
}

enum err pgv_items_after(struct tx *tx, int64_t number, int64_t num, size_t max, item_row_fn fn,
	void *ctx, struct errtext *et)
{
	return store_items_part(tx, number, num, max, (struct item_want){true, true}, fn, ctx, et);
}

/* ---- what a search has to know ---- */

enum err pgv_facts(
	struct tx *tx, int64_t number, size_t space, struct pgv_facts *out, struct errtext *et)
{
	struct row *r;
	char table[64], graph[64];
	snprintf(table, sizeof table, "derived_pgv_%lld", (long long)number);
	snprintf(graph, sizeof graph, "derived_pgv_%lld_v%zu", (long long)number, space);
	enum err e = db_query(tx, &r, et,
		"SELECT c.items, p.mark, p.filled, p.odd, to_regclass(?) IS NOT NULL, EXISTS "
		"(SELECT 1 FROM pg_index x WHERE x.indexrelid = to_regclass(?) AND x.indisvalid) "
		"FROM collection c JOIN collection_pgv p ON p.collection = c.number WHERE "
		"c.number = ?",
		P_TEXT(str_c(table)), P_TEXT(str_c(graph)), P_I64(number));
	if (e)
		return e;
	bool found = row_next(r, &e, et);
	if (found)
		*out = (struct pgv_facts){
			{row_i64(r, 1), row_i64(r, 2), row_i64(r, 3) != 0, row_i64(r, 4) != 0},
			row_i64(r, 0), row_i64(r, 5) != 0};
	row_free(r);
	return e || found ? e : ERR_NOT_FOUND;
}

/* ---- how a transaction's queries are run ---- */

/* The vector and the conditions are to be seen by the planner; compiling a query takes longer than
 * these take. */
#define CUSTOM_PLAN                                                  \
	"set_config('plan_cache_mode', 'force_custom_plan', true), " \
	"set_config('jit', 'off', true)"
#define OFF(what) ", set_config('enable_" what "', 'off', true)"
#define ON(what) ", set_config('enable_" what "', 'on', true)"
#define WALK CUSTOM_PLAN OFF("seqscan") OFF("bitmapscan") OFF("sort") ON("indexscan")

enum err pgv_plan(
	struct tx *tx, enum pgv_plan plan, uint32_t ef, unsigned version, struct errtext *et)
{
	char text[16];
	snprintf(text, sizeof text, "%u", MIN(MAX(ef, 1u), (unsigned)PGV_EF_MAX));
	if (plan == PGV_COMPARE_ALL)
		return db_exec(tx, et,
			"SELECT " CUSTOM_PLAN OFF("indexscan") ON("seqscan") ON("bitmapscan")
				ON("sort"));
	if (plan == PGV_AS_IT_LIKES)
		return db_exec(tx, et, "SELECT " CUSTOM_PLAN);
	if (version < PGV_ITERATIVE)
		return db_exec(tx, et, "SELECT " WALK ", set_config('hnsw.ef_search', ?, true)",
			P_TEXT(str_c(text)));
	return db_exec(tx, et,
		"SELECT " WALK ", set_config('hnsw.ef_search', ?, true), "
		"set_config('hnsw.iterative_scan', 'strict_order', true)",
		P_TEXT(str_c(text)));
}
