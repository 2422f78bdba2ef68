/* Filters as SQL (pgv_cond.c): a first line that is Qdrant's or OpenAI's filter is refused or
 * becomes a statement in which nothing of the filter's own text stands, with a parameter for each
 * mark; the lines after it, payloads, become JSON that JSONB can hold. With the address of a
 * PostgreSQL server in CROFT_FUZZ_PG_URL it decides each payload too, and as cond_matches does:
 * exactly where the statement says that it says it all, else never too few. */
#include "collection/pgv_int.h"

#include <stdio.h>
#include <stdlib.h>

enum { ITEMS_MAX = 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool yes)
{
	if (!yes)
		__builtin_trap();
}

static void fine(enum err e, const struct errtext *et)
{
	if (e) {
		fprintf(stderr, "%s\n", et->msg);
		__builtin_trap();
	}
}

static bool id_key(void *ctx, yyjson_val *id, uint64_t *key)
{
	(void)ctx;
	*key = yyjson_get_uint(id);
	return yyjson_is_uint(id);
}

/* Words, numbers and operators; quotes only as part of what the text does not have: none. */
static void check_statement(const struct pgv_sql *q)
{
	struct str s = buf_str(&q->text);
	size_t marks = 0;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		bool word =
			(c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
		must(word || strchr(" ()[].,_=<>+@?", c));
		if (c == '?' && (!i || s.p[i - 1] != '@'))
			marks++;
	}
	must(marks == q->n);
	for (size_t i = 0; i < q->n; i++) {
		struct str p = q->params[i].s;
		must(q->params[i].kind == PARAM_TEXT && p.p && !memchr(p.p, 0, p.n));
	}
}

struct item {
	yyjson_doc *doc;
	struct buf json;
	bool odd;
};

static size_t read_items(struct str rest, struct item *items)
{
	struct errtext et = {0};
	struct str line;
	size_t n = 0;
	while (n < ITEMS_MAX && str_next_line(&rest, &line)) {
		struct item *it = &items[n];
		yyjson_doc *again;
		if (json_parse(line, &it->doc, &et))
			continue;
		if (!yyjson_is_obj(yyjson_doc_get_root(it->doc)) ||
			pgv_payload(line, &it->json, &it->odd, &et)) {
			yyjson_doc_free(it->doc);
			continue;
		}
		/* deeper by one where a value is wrapped: json_parse may refuse that */
		if (!json_parse(buf_str(&it->json), &again, &et))
			yyjson_doc_free(again);
		must(str_find(buf_str(&it->json), S("\\u0000")) == STR_NONE);
		n++;
	}
	return n;
}

/* NULL: none is asked. */
static struct db *server(void)
{
	static struct db *db;
	static bool tried;
	struct errtext et = {0};
	const char *url = getenv("CROFT_FUZZ_PG_URL");
	if (!tried && url)
		fine(db_open(url, &db, &et), &et);
	tried = true;
	return db;
}

static bool decide(struct tx *tx, const struct pgv_sql *cond, const struct item *it, size_t num,
	struct arena *a)
{
	struct errtext et = {0};
	struct pgv_sql q = {.a = a};
	struct row *r;
	enum err e = OK;
	buf_addf(&q.text,
		"SELECT CASE WHEN %s THEN 1 ELSE 0 END FROM (SELECT CAST(? AS bigint) AS num, "
		"CAST(? AS "
		"jsonb) AS f) t",
		buf_c(&cond->text));
	for (size_t i = 0; i < cond->n; i++)
		pgv_bind(&q, cond->params[i]);
	pgv_bind(&q, P_I64((int64_t)num));
	pgv_bind_text(&q, buf_str(&it->json));
	fine(db_query_n(tx, &r, &et, buf_c(&q.text), q.params, q.n), &et);
	must(row_next(r, &e, &et));
	bool yes = row_i64(r, 0) != 0;
	row_free(r);
	buf_free(&q.text);
	return yes;
}

static void agree(const struct cond *c, const struct item *items, size_t n, struct arena *a)
{
	struct pgv_sql q = {.a = a};
	struct errtext et = {0};
	struct tx *tx = NULL;
	bool exact;
	pgv_cond(&q, c, &exact);
	must(!q.err);
	check_statement(&q);
	if (server() && n)
		fine(db_begin(server(), TX_READ, &tx, &et), &et);
	for (size_t i = 0; tx && i < n; i++) {
		bool yes = cond_matches(c, i, yyjson_doc_get_root(items[i].doc));
		bool said = items[i].odd ? yes : decide(tx, &q, &items[i], i, a);
		must(exact ? said == yes : said || !yes);
	}
	db_rollback(tx);
	buf_free(&q.text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str rest = str_mk(data, size), line;
	struct errtext et = {0};
	struct item items[ITEMS_MAX] = {0};
	yyjson_doc *filter = NULL;
	if (size > 65536 || !str_next_line(&rest, &line) || json_parse(line, &filter, &et))
		return 0;
	size_t n = read_items(rest, items);
	for (int kind = 0; kind < 2; kind++) {
		struct arena *a = arena_new(256 << 20);
		const struct cond *c = NULL;
		yyjson_val *v = yyjson_doc_get_root(filter);
		enum err e = kind ? cond_parse_openai(v, a, &c, &et)
				  : cond_parse_qdrant(v, id_key, NULL, a, &c, &et);
		if (!e)
			agree(c, items, n, a);
		arena_free(a);
	}
	for (size_t i = 0; i < n; i++) {
		yyjson_doc_free(items[i].doc);
		buf_free(&items[i].json);
	}
	yyjson_doc_free(filter);
	return 0;
}
