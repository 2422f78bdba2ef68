/* Rows of two files compared: small cases by hand, random tables against a slow comparison, and
 * what is no table. */
#include "tap.h"
#include "artifact/rows.h"
#include "base/clock.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static struct arena *arena;

static struct rows_diff diff(const char *a, const char *b, enum rows_format f, const char *key)
{
	struct rows_diff d = {0};
	struct errtext et = {0};
	arena_free(arena);
	arena = arena_new(0);
	CHECK_OK(rows_diff(str_c(a), str_c(b), f, key ? str_c(key) : (struct str){0}, 100, arena,
			 &d, &et),
		&et);
	return d;
}

static const struct rows_column *column(const struct rows_diff *d, const char *name)
{
	for (size_t i = 0; i < d->n_columns; i++)
		if (str_eq_c(d->columns[i].name, name))
			return &d->columns[i];
	FAIL("there is no column %s", name);
}

static void counts(
	const struct rows_diff *d, int64_t same, int64_t added, int64_t removed, int64_t changed)
{
	CHECK_INT(d->same, same);
	CHECK_INT(d->added, added);
	CHECK_INT(d->removed, removed);
	CHECK_INT(d->changed, changed);
}

static void test_artifact_rows__by_key(void)
{
	struct rows_diff d = diff("id,price,name\n1,10,ann\n2,20,bob\n3,30,cy\n",
		"name,id,price,new\ncy,3,31,\nann,1,10,\ndot,4,40,x\n", ROWS_CSV, NULL);
	CHECK_STR(d.key, "id");
	counts(&d, 1, 1, 1, 1);
	CHECK(d.rows[0] == 3 && d.rows[1] == 3 && !d.cut[0] && !d.cut[1]);
	CHECK(column(&d, "price")->changed == 1 && column(&d, "name")->changed == 0);
	CHECK_INT(d.n_entries, 3);
	CHECK(d.entries[0].change == ROWS_CHANGED && d.entries[1].change == ROWS_ADDED &&
		d.entries[2].change == ROWS_REMOVED);
	CHECK_STR(d.entries[0].row, "3");
	CHECK_STR(d.entries[1].row, "4");
	CHECK_STR(d.entries[2].row, "2");
	const struct rows_column *price = column(&d, "price");
	CHECK(price->stats[0].mean == 20 && price->stats[1].max == 40);
	CHECK(fabs(rows_deviation(&price->stats[0]) - 10) < 1e-12);
	CHECK(!strcmp(rows_type(&price->stats[0]), "number") &&
		!strcmp(rows_type(&column(&d, "new")->stats[0]), "empty"));
}

static void test_artifact_rows__without_a_key(void)
{
	struct rows_diff d = diff("x,y\n1,a\n1,a\n2,b\n", "x,y\n2,b\n1,a\n3,c\n", ROWS_CSV, NULL);
	CHECK(!d.key.p);
	counts(&d, 2, 1, 1, 0);
	CHECK_STR(d.entries[0].row, "3,c");
	CHECK_STR(d.entries[1].row, "1,a");
	/* a column that is called like a key and is none */
	d = diff("id,y\n1,a\n1,b\n", "id,y\n1,a\n2,b\n", ROWS_CSV, NULL);
	CHECK(!d.key.p);
	counts(&d, 1, 1, 1, 0);
	d = diff("", "", ROWS_CSV, NULL);
	counts(&d, 0, 0, 0, 0);
	d = diff("a\n", "b\n1\n", ROWS_CSV, NULL);
	counts(&d, 0, 1, 0, 0);
}

static void test_artifact_rows__quotes_and_line_ends(void)
{
	struct rows_diff d = diff("\xEF\xBB\xBFid;text\r\n1;\"a \"\"b\"\"; c\nd\"\r\n2;e\"f\r\n",
		"id;text\n2;e\"f\n1;\"a \"\"b\"\"; c\nd\"", ROWS_CSV, "id");
	counts(&d, 2, 0, 0, 0);
	d = diff("id\tx\n1\t\"q\"\n", "id\tx\n1\tq\n", ROWS_TSV, NULL);
	counts(&d, 1, 0, 0, 0);
	d = diff("id,x\n1,\n", "id,x\n1\n", ROWS_CSV, NULL); /* an empty cell is no cell */
	counts(&d, 1, 0, 0, 0);
}

static void test_artifact_rows__json_lines(void)
{
	struct rows_diff d = diff(
		"{\"id\":1,\"v\":{\"a\":[1,2]},\"n\":null}\n{\"id\":2,\"ok\":true}\n",
		"{\"ok\":false,\"id\":2}\n\n{\"v\":{\"a\":[1,2]},\"id\":1}\n", ROWS_JSONL, NULL);
	CHECK_STR(d.key, "id");
	counts(&d, 1, 0, 0, 1);
	CHECK_INT(column(&d, "ok")->changed, 1);
	CHECK(!strcmp(rows_type(&column(&d, "v")->stats[0]), "json"));
	/* the text "1" is not the number 1 */
	d = diff("{\"id\":\"a\",\"v\":1}", "{\"id\":\"a\",\"v\":\"1\"}", ROWS_JSONL, NULL);
	counts(&d, 0, 0, 0, 1);
}

static void test_artifact_rows__what_is_wrong_is_told_with_its_line(void)
{
	struct errtext et = {0};
	struct rows_diff d;
	struct arena *a = arena_new(0);
	static const struct {
		const char *a, *b;
		enum rows_format format;
		const char *says;
	} bad[] = {
		{"x\n1\n", "x\n\"open\n", ROWS_CSV, "after, line 2: a quote is not closed"},
		{"x\n1,2\n", "x\n", ROWS_CSV, "before, line 2: the row has more fields"},
		{"{\"a\":1}\n[1]\n", "", ROWS_JSONL, "before, line 2: a JSON object"},
		{"x\n\"a\"b\n", "", ROWS_CSV, "text follows a closing quote"},
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		CHECK_ERR(rows_diff(str_c(bad[i].a), str_c(bad[i].b), bad[i].format,
				  (struct str){0}, 10, a, &d, &et),
			ERR_INVALID);
		if (!strstr(err_text(ERR_INVALID, &et), bad[i].says))
			FAIL("%zu: %s", i, err_text(ERR_INVALID, &et));
	}
	CHECK_ERR(rows_diff(S("id,x\n1,a\n1,b\n"), S("id,x\n"), ROWS_CSV, S("id"), 10, a, &d, &et),
		ERR_INVALID);
	CHECK_ERR(rows_diff(S("id,x\n"), S("id\n"), ROWS_CSV, S("x"), 10, a, &d, &et), ERR_INVALID);
	arena_free(a);
}

/* ---- against a slow comparison ---- */

enum { ROWS = 60, COLUMNS = 5 };

struct table {
	int id[ROWS], cell[ROWS][COLUMNS]; /* 0: empty */
	size_t n;
};

static unsigned next(unsigned *seed, unsigned n)
{
	*seed = *seed * 1664525u + 1013904223u;
	return (*seed >> 16) % n;
}

static void make(struct table *t, unsigned *seed)
{
	bool taken[100] = {false};
	t->n = next(seed, ROWS);
	for (size_t i = 0; i < t->n; i++) {
		int id;
		do
			id = (int)next(seed, 100);
		while (taken[id]);
		taken[id] = true;
		t->id[i] = id;
		for (size_t c = 0; c < COLUMNS; c++)
			t->cell[i][c] = (int)next(seed, 3);
	}
}

static void print(const struct table *t, bool json, bool backwards, struct buf *out)
{
	if (!json) {
		buf_addc(out, "id");
		for (size_t c = 0; c < COLUMNS; c++)
			buf_addf(out, ",c%zu", backwards ? COLUMNS - 1 - c : c);
		buf_putc(out, '\n');
	}
	for (size_t i = 0; i < t->n; i++) {
		buf_addf(out, json ? "{\"id\":%d" : "%d", t->id[i]);
		for (size_t k = 0; k < COLUMNS; k++) {
			size_t c = backwards ? COLUMNS - 1 - k : k;
			int v = t->cell[i][c];
			if (json && v)
				buf_addf(out, ",\"c%zu\":%d", c, v);
			else if (!json)
				buf_addf(out,
					v ? next(&(unsigned){(unsigned)i}, 2) ? ",\"%d\"" : ",%d"
					  : ",",
					v);
		}
		buf_addc(out, json ? "}\n" : "\n");
	}
}

static void test_artifact_rows__as_a_slow_comparison_finds(void)
{
	unsigned seed = 1;
	for (int round = 0; round < 500; round++) {
		static struct table a, b;
		struct buf x = {0}, y = {0};
		int64_t same = 0, changed = 0, cells[COLUMNS] = {0};
		bool json = round % 2;
		make(&a, &seed);
		make(&b, &seed);
		for (size_t i = 0; i < a.n; i++)
			for (size_t j = 0; j < b.n; j++) {
				if (a.id[i] != b.id[j])
					continue;
				bool equal = !memcmp(a.cell[i], b.cell[j], sizeof a.cell[i]);
				same += equal;
				changed += !equal;
				for (size_t c = 0; c < COLUMNS; c++)
					cells[c] += a.cell[i][c] != b.cell[j][c];
			}
		print(&a, json, false, &x);
		print(&b, json, true, &y);
		struct rows_diff d = diff(buf_c(&x), buf_c(&y), json ? ROWS_JSONL : ROWS_CSV,
			a.n && b.n ? "id" : NULL);
		counts(&d, same, (int64_t)b.n - same - changed, (int64_t)a.n - same - changed,
			changed);
		for (size_t c = 0; c < COLUMNS && changed; c++) {
			char name[8];
			snprintf(name, sizeof name, "c%zu", c);
			if (cells[c])
				CHECK_INT(column(&d, name)->changed, cells[c]);
		}
		buf_free(&x);
		buf_free(&y);
	}
}

static void test_artifact_rows__a_million_rows(void)
{
	struct buf x = {0}, y = {0};
	struct rows_diff d;
	struct errtext et = {0};
	struct arena *a = arena_new(0);
	buf_addc(&x, "id,a,b\n");
	buf_addc(&y, "id,a,b\n");
	for (int i = 0; i < ROWS_MAX + 5; i++) {
		buf_addf(&x, "%d,%d,text%d\n", i, i % 100, i % 7);
		buf_addf(&y, "%d,%d,text%d\n", i, i % 100 + (i % 1000 == 0), i % 7);
	}
	uint64_t start = clock_mono_ns();
	CHECK_OK(rows_diff(buf_str(&x), buf_str(&y), ROWS_CSV, (struct str){0}, 10, a, &d, &et),
		&et);
	printf("# two files of %zu MB with %d rows: %.2f s\n", x.n >> 20, ROWS_MAX,
		(double)(clock_mono_ns() - start) / 1e9);
	CHECK(d.cut[0] && d.cut[1]);
	CHECK_INT(d.changed, ROWS_MAX / 1000);
	CHECK_INT(d.same, ROWS_MAX - ROWS_MAX / 1000);
	CHECK_INT(d.n_entries, 10);
	arena_free(a);
	buf_free(&x);
	buf_free(&y);
}

TESTS(T(test_artifact_rows__by_key), T(test_artifact_rows__without_a_key),
	T(test_artifact_rows__quotes_and_line_ends), T(test_artifact_rows__json_lines),
	T(test_artifact_rows__what_is_wrong_is_told_with_its_line),
	T(test_artifact_rows__as_a_slow_comparison_finds),
	T_LONG(test_artifact_rows__a_million_rows, 60))
