/* The filter language and its patterns: what matches, what is refused and how it is said,
 * conditions on parts, orders; patterns against the C library's. */
#include "tap.h"

#include <stdio.h>
#include "base/clock.h"
#include "text/filter.h"

#include <math.h>

static struct errtext et;

/* ---- a subject: a thing with words, numbers, tags and parts ---- */

struct part {
	const char *name, *type;
	double ms;
};

struct thing {
	const char *name, *status[3]; /* status: words for one thing */
	double size, at_ms;
	const char *tags[4][2];
	const char *sets[3];
	struct part parts[3];
};

enum { G_ATTR, G_METRIC, G_TAG, G_SET, G_PART, G_PART_TAG };
enum { A_NAME, A_STATUS, A_AT, A_TEXT, A_ODD };

static const struct filter_key attributes[] = {
	[A_NAME] = {.names = {"name", "Name"}, .ops = FILTER_OPS_TEXT | FILTER_OP_IN},
	[A_STATUS] = {.names = {"status"}, .flags = FILTER_ALIASES | FILTER_NOCASE},
	[A_AT] = {.names = {"start_time", "created"}, .type = FILTER_TIME},
	[A_TEXT] = {.names = {"text"},
		.flags = FILTER_EXTENDED | FILTER_IN_PARTS | FILTER_UNORDERED},
	[A_ODD] = {.names = {"odd"}, .flags = FILTER_ORDER_ONLY},
};
static const struct filter_key set_keys[] = {{.names = {"name"}}};
static const struct filter_key part_keys[] = {
	{.names = {"name"}}, {.names = {"type"}}, {.names = {"ms"}, .type = FILTER_NUMBER}};

static const struct filter_group groups[] = {
	[G_ATTR] = {{"attribute", "attributes", "thing"}, attributes, ARRAY_LEN(attributes), 0,
		FILTER_OPS_TEXT, FILTER_TEXT},
	[G_METRIC] = {{"metric", "metrics"}, NULL, 0, 0, 0, FILTER_NUMBER},
	[G_TAG] = {{"tag", "tags"}, NULL, 0, 0, FILTER_OPS_TEXT | FILTER_OP_NULL, FILTER_TEXT},
	[G_SET] = {{"dataset", "datasets"}, set_keys, ARRAY_LEN(set_keys), FILTER_UNORDERED,
		FILTER_OPS_TEXT | FILTER_OP_IN, FILTER_TEXT},
	[G_PART] = {{"span"}, part_keys, ARRAY_LEN(part_keys), FILTER_PARTS | FILTER_UNORDERED,
		FILTER_OPS_TEXT, FILTER_TEXT},
	[G_PART_TAG] = {{"span.attributes"}, NULL, 0, FILTER_PARTS | FILTER_UNORDERED,
		FILTER_OPS_TEXT, FILTER_TEXT},
};

static const struct filter_language wide = {.groups = groups, .n_groups = ARRAY_LEN(groups)};
static const struct filter_language strict = {
	.groups = groups, .n_groups = ARRAY_LEN(groups), .strict = true};
static const struct filter_language rules = {.groups = groups, .n_groups = G_SET, .rules = true};

static bool at_most(const char *const *v, size_t n, size_t at, struct filter_value *out)
{
	if (at >= n || !v[at])
		return false;
	out->text = str_c(v[at]);
	return true;
}

static bool get(void *ctx, const void *item, const struct filter_name *n, size_t at,
	struct filter_value *out)
{
	const struct thing *t = item;
	switch (n->group) {
	case G_METRIC:
		*out = (struct filter_value){{0}, t->size, true};
		return !at && str_eq_c(n->key, "size");
	case G_TAG:
		for (size_t i = 0; i < 4 && t->tags[i][0]; i++)
			if (!at && str_eq_c(n->key, t->tags[i][0])) {
				out->text = str_c(t->tags[i][1]);
				return true;
			}
		return false;
	case G_SET:
		return at_most(t->sets, 3, at, out);
	}
	switch (n->index) {
	case A_STATUS:
		return at_most(t->status, 3, at, out);
	case A_AT:
		*out = (struct filter_value){{0}, t->at_ms, true};
		return !at && t->at_ms;
	default:
		return at_most(&t->name, 1, at, out);
	}
}

static bool get_part(void *ctx, const void *item, const struct filter_name *n, size_t at,
	struct filter_value *out)
{
	const struct part *p = item;
	if (n->group == G_PART && n->index == 2) {
		*out = (struct filter_value){{0}, p->ms, true};
		return !at;
	}
	const char *text = n->group == G_PART_TAG           ? NULL
			   : n->group == G_PART && n->index ? p->type
							    : p->name;
	return at_most(&text, 1, at, out);
}

static const struct thing one = {.name = "alpha-1",
	.status = {"error", "ERROR!", NULL},
	.size = 4.5,
	.at_ms = 1777593600000, /* 2026-05-01 */
	.tags = {{"team", "nlp"}, {"odd key", "it's"}, {"lr", "0.01"}},
	.sets = {"iris", "wine"},
	.parts = {{"chat", "llm", 10}, {"find", "tool", 700}, {"needle", "tool", 5}}};

static enum filter_truth ask(const struct filter *f, size_t *looked)
{
	const struct filter_subject whole = {get, NULL}, part = {get_part, NULL};
	uint32_t found = 0;
	enum filter_truth t = filter_decide(f, &whole, &one, 0, false);
	for (*looked = 0; t == FILTER_UNKNOWN && *looked < 3;
		t = filter_decide(f, &whole, &one, found, false))
		found = filter_part(f, &part, &one.parts[(*looked)++], found);
	return t == FILTER_UNKNOWN ? filter_decide(f, &whole, &one, found, true) : t;
}

static void test_text_filter__what_matches(void)
{
	static const struct {
		const char *text;
		bool yes;
	} cases[] = {
		{"", true},
		{" \n", true},
		{"name = 'alpha-1'", true},
		{"NAME = \"alpha-1\"", true},
		{"attributes.Name != 'alpha-1'", false},
		{"thing.name LIKE 'alpha__'", true},
		{"name LIKE 'ALPHA%'", false},
		{"name ILIKE 'ALPHA%' and metrics.size > 4", true},
		{"name NOT LIKE 'beta%'", true},
		{"name RLIKE '^a.*-[0-9]+$'", true},
		{"name RLIKE 'lph' AND name NOT RLIKE '^lph'", true},
		{"name CONTAINS 'PHA-'", true},
		{"name IN ('x', 'alpha-1', 'a')", true},
		{"name NOT IN ('x', 'alpha-1')", false},
		{"metric.size IN (1, 4.5)", true},
		{"metric.size <> 4.5", false},
		{"metric.none < 5", false},
		{"metric.none != 5", false},
		{"metric.none IS NULL", true},
		{"metric.size IS NOT NULL", true},
		{"tags.`odd key` = 'it''s'", true},
		{"tags.\"odd key\" = \"it's\"", true},
		{"tags.lr < 0.1", true},
		{"tags.lr = 0.010", true},
		{"tags.lr IN (0.01, 7)", true},
		{"tags.team > 0", false},
		{"tags.team != 5", false},
		{"tags.none != 'x'", false},
		{"NOT tags.none = 'x'", true},
		{"status = 'ERROR'", true},
		{"status != 'error'", false},
		{"status != 'ok'", true},
		{"status NOT IN ('ok', 'Error!')", false},
		{"status = 'error!'", true},
		{"datasets.name = 'wine' AND dataset.name = 'iris'", true},
		{"datasets.name != 'iris'", true}, /* one of them is not, as in MLflow */
		{"start_time = '2026-05-01'", true},
		{"created > '2026-05-01T00:00:00Z'", false},
		{"created >= 1777593600000 AND created < 1.777593600001e12", true},
		{"name = 'x' OR name = 'y' OR metrics.size = 4.5", true},
		{"name = 'x' OR name = 'alpha-1' AND tags.team = 'cv'", false},
		{"(name = 'x' OR name = 'alpha-1') AND tags.team = 'nlp'", true},
		{"NOT (name = 'x' OR name = 'alpha-1')", false},
		{"not not name = 'alpha-1'", true},
		/* parts */
		{"span.type = 'tool' AND span.ms > 500", true},
		{"span.type = 'llm' AND span.ms > 500", false},
		{"span.type = 'llm' AND name = 'alpha-1' AND span.ms > 500", false},
		{"span.type = 'llm' AND (span.ms > 500 OR span.name = 'chat')", true},
		{"(span.type = 'llm') AND NOT (span.ms > 500)", false},
		{"NOT span.type = 'agent'", true},
		{"span.type != 'tool'", true},
		{"span.type = 'agent' OR name = 'alpha-1'", true},
		{"text CONTAINS 'needle'", true},
		{"text = 'alpha-1'", true},
		{"text CONTAINS 'hay'", false},
		{"NOT text CONTAINS 'needle'", false},
		{"span.attributes.`a.b` = 'x'", false},
		{"span.attributes.a.b IS NULL AND span.name = 'find'", true},
	};
	struct arena *a = arena_new(0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct filter *f = NULL;
		size_t looked;
		tap_note("%s", cases[i].text);
		CHECK_OK(filter_parse(str_c(cases[i].text), &wide, a, &f, &et), &et);
		CHECK_INT(ask(f, &looked), cases[i].yes ? FILTER_TRUE : FILTER_FALSE);
	}
	arena_free(a);
}

static void test_text_filter__parts_are_read_as_far_as_needed(void)
{
	static const struct {
		const char *text;
		size_t looked;
	} cases[] = {{"name = 'x' AND span.type = 'tool'", 0}, {"span.type = 'llm'", 1},
		{"span.type = 'tool' OR name = 'alpha-1'", 0}, {"span.type = 'tool'", 2},
		{"text = 'alpha-1'", 0}, {"NOT span.name = 'needle'", 3}};
	struct arena *a = arena_new(0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct filter *f = NULL;
		size_t looked;
		CHECK_OK(filter_parse(str_c(cases[i].text), &wide, a, &f, &et), &et);
		ask(f, &looked);
		if (looked != cases[i].looked)
			FAIL("%s: looked at %zu parts", cases[i].text, looked);
	}
	arena_free(a);
}

static void test_text_filter__what_is_refused(void)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{"name", "an operator"},
		{"name =", "a text in quotes, such as 'prod', is expected at its end"},
		{"name = 5", "a text in quotes"},
		{"name > 'a'", "a numeric value behind this operator"},
		{"tags.x < 'a'", "a numeric value behind"},
		{"metrics.size >", "a numeric value is expected"},
		{"metrics.size LIKE 'a'", "an operator: = != < <= > >= IN"},
		{"start_time > 'soon'", "a time such as '2026-11-01'"},
		{"nope = 'x'", "nope is not known here (column 1); known are name, status"},
		{"zone.x = 'y'", "zone.x is not known here (column 1)"},
		{"span.x = 'y'", "span.x is not known here"},
		{"odd = 'x'", "odd is not known"},
		{"name = 'a' AND", "a name is expected at its end"},
		{"name = 'a' name = 'b'",
			"AND, OR or the end is expected at \"name = 'b'\" (column 12)"},
		{"(name = 'a'", ") is expected"},
		{"name = 'a')", "AND, OR or the end"},
		{"name = 'a", "not closed"},
		{"name IN 'a'", "( behind IN"},
		{"name IN ('a' 'b')", ", or )"},
		{"name IN ()", "a text in quotes"},
		{"metrics.size IN (1, 'a')", "numeric"},
		{"tags.x IN (1, 'a')", "numeric"},
		{"name IS 'a'", "NULL is expected"},
		{"name NOT = 'a'", "an operator"},
		{"name RLIKE '(a'", "the pattern '(a': "},
		{"name RLIKE '(a)\\1'", "the pattern '(a)"},
		{"AND", "AND is not known"},
		{"((((((((((((((((((((((((((((((((((((((((1", "nested"},
		{"name = 'a'; DROP", "AND, OR"},
	};
	struct arena *a = arena_new(0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct filter *f = NULL;
		CHECK_ERR(filter_parse(str_c(cases[i].text), &wide, a, &f, &et), ERR_INVALID);
		if (!strstr(et.msg, cases[i].says))
			FAIL("%s says: %s", cases[i].text, et.msg);
	}
	arena_free(a);
}

static void test_text_filter__limits(void)
{
	static const struct {
		const char *head, *each, *tail;
		int most;
		const char *says;
	} cases[] = {{"name IN ('a'", ",'a'", ")", 9999, "more than 10000 values"},
		{"name = 'a'", " OR name = 'a'", "", 999, "more than 1000 comparisons"},
		{"", "NOT ", "name = 'a'", 32, "nested deeper than 32"},
		{"text = 'a'", " AND text = 'a'", "", 31, "more than 32 conditions on parts"},
		{"name = 'a'", " AND name RLIKE 'a'", "", 10, "more than 10 patterns"}};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		for (int over = 0; over < 2; over++) {
			struct arena *a = arena_new(0);
			const struct filter *f = NULL;
			struct buf b = {0};
			buf_addc(&b, cases[i].head);
			for (int k = 0; k < cases[i].most + over; k++)
				buf_addc(&b, cases[i].each);
			buf_addc(&b, cases[i].tail);
			enum err e = filter_parse(buf_str(&b), &wide, a, &f, &et);
			tap_note("%s", cases[i].says);
			if (over && (e != ERR_INVALID || !strstr(et.msg, cases[i].says)))
				FAIL("taken, or refused with: %s", et.msg);
			if (!over)
				CHECK_OK(e, &et);
			buf_free(&b);
			arena_free(a);
		}
}

/* MLflow's own language in its own words; e2e/mlflow_tracking asks MLflow itself. */
static void test_text_filter__mlflows_language(void)
{
	static const struct {
		const char *text, *says; /* NULL: it is taken */
	} cases[] = {
		{"metrics.size > 1 AND tag.`a b` LIKE 'x%' and name IN ('a', 'b',)", NULL},
		{"AND name = 'a' AND AND metrics.size = -1e3 AND", NULL},
		{"tags.x IS NOT NULL", NULL},
		{"metrics.x < 1 OR metrics.x > 2", "Invalid clause(s) in filter string: 'OR'"},
		{"(metrics.x < 1) AND name = 'a'",
			"Invalid clause(s) in filter string: '(metrics.x < 1)'"},
		{"NOT name = 'a'", "Invalid clause(s) in filter string: 'NOT'"},
		{"name", "Invalid clause(s) in filter string: 'name'"},
		{"metrics.x >", "Invalid clause(s) in filter string: 'metrics.x', '>'"},
		{"tags.x = 5",
			"Expected a quoted string value for tag (e.g. 'my-value'). Got value 5"},
		{"tags.x = abc",
			"Parameter value is either not quoted or unidentified quote types used "
			"for string value abc. Use either single or double quotes."},
		{"metrics.x = 'a'", "Expected numeric value type for metric. Found 'a'"},
		{"created = 'a'",
			"Expected numeric value type for numeric attribute: created. Found 'a'"},
		{"name = 5", "Expected a quoted string value for attributes. Got value 5"},
		{"zone.x = 'a'", "Invalid entity type 'zone'. Valid values are ['metric', "
				 "'parameter', 'tag', 'attribute', 'dataset']"},
		{"nope = 'a'", "Invalid attribute key 'nope' specified. Valid keys are '{'name', "
			       "'status', "
			       "'start_time'}'"},
		{"text = 'a'", "Invalid attribute key 'text'"},
		{"NAME = 'a'", "Invalid attribute key 'NAME'"},
		{"dataset.x = 'a'", "Invalid dataset key 'x' specified. Valid keys are '{'name'}'"},
		{"status IN ('a')",
			"Only ['name'] attributes support comparison with a list of quoted "
			"string values."},
		{"name IN ()", "expected a non-empty list of string values, but got empty list"},
		{"name IN ('a' 'b')", "but got ill-formed list."},
		{"metrics.x LIKE 5",
			"Invalid comparator 'LIKE' not one of '{'=', '!=', '<', '<=', '>', '>='}'"},
		{"tags.x < 'a'", "Invalid comparator '<' not one of"},
		{"tags.x RLIKE 'a('", "Invalid comparator 'RLIKE' not one of"},
		{"metrics.x IS NULL", "IS NULL"},
		{"name = 'a'; DROP", "Search filter contained multiple expression"},
		{"5 = 'a'", "Invalid comparison clause. Expected 'Identifier' found '5'"},
	};
	struct arena *a = arena_new(0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct filter *f = NULL;
		enum err e = filter_parse(str_c(cases[i].text), &strict, a, &f, &et);
		tap_note("%s", cases[i].text);
		if (!cases[i].says)
			CHECK_OK(e, &et);
		else
			CHECK_ERR(e, ERR_INVALID);
		if (e && !strstr(et.msg, cases[i].says))
			FAIL("%s says: %s", cases[i].text, et.msg);
	}
	arena_free(a);
}

static void test_text_filter__rules(void)
{
	static const struct {
		const char *text;
		bool yes;
		size_t end;
	} cases[] = {
		{"name = 'alpha-1' ; more", true, 17},
		{"name like 'al?ha*' # why\n", true, 19},
		{"name LIKE 'alph%'\n", false, 17},
		{"tag.none != 'x'\n", true, 15}, /* what is not there differs */
		{"tag.none not in ('x')", true, 21},
		{"not tag.none = 'x'", true, 18},
		{"tag.none = 'x'", false, 14},
	};
	struct arena *a = arena_new(0);
	struct filter_subject s = {get, NULL};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct filter *f = NULL;
		size_t at = 0;
		CHECK_OK(filter_parse_at(str_c(cases[i].text), &at, &rules, a, &f, &et), &et);
		if (filter_match(f, &s, &one) != cases[i].yes || at != cases[i].end)
			FAIL("%s: ends at %zu", cases[i].text, at);
	}
	arena_free(a);
}

static void test_text_filter__what_a_store_can_look_up(void)
{
	struct arena *a = arena_new(0);
	const struct filter *f = NULL;
	CHECK_OK(filter_parse(S("name = 'x' AND (tags.a = 'b' OR name = 'y') AND created > 5"),
			 &wide, a, &f, &et),
		&et);
	CHECK_STR(filter_required(f, 0)->text, "x");
	CHECK(filter_required(f, 1)->number == 5);
	CHECK(!filter_required(f, 2));
	CHECK_OK(filter_add(&f, "status", FILTER_EQ, S("it's"), &wide, a, &et), &et);
	CHECK_OK(filter_add(&f, "text", FILTER_CONTAINS, S("needle"), &wide, a, &et), &et);
	CHECK_STR(filter_required(f, 0)->text, "needle");
	CHECK_STR(filter_required(f, 1)->text, "it's");
	CHECK_STR(filter_required(f, 2)->text, "x");
	CHECK(filter_required(f, 3)->number == 5 && !filter_required(f, 4));
	CHECK(filter_asks(f, G_TAG) && !filter_asks(f, G_METRIC) &&
		filter_asks_key(f, 0, A_STATUS));
	CHECK(!filter_required(NULL, 0) && !filter_asks(NULL, 0));
	f = NULL;
	CHECK_OK(filter_parse(S("name = 'x' OR created > 5"), &wide, a, &f, &et), &et);
	CHECK(!filter_required(f, 0));
	arena_free(a);
}

static int by_address(const void *a, const void *b)
{
	return a < b ? -1 : a > b;
}

static void test_text_filter__orders(void)
{
	struct thing v[] = {{.name = "b", .size = 2, .tags = {{"t", "x"}}},
		{.name = "a", .size = 2}, {.name = "c", .size = NAN},
		{.name = "d", .size = 1, .tags = {{"t", "y"}}}};
	static const struct {
		const char *order[2], *names;
	} cases[] = {{{"metrics.size", "name DESC"}, "dbac"}, {{"metrics.size desc"}, "badc"},
		{{"tags.t DESC"}, "dbac"}, {{"attributes.name ASC"}, "abcd"}, {{NULL}, "bacd"},
		{{"metrics.`none`", "name"}, "abcd"}};
	struct filter_subject s = {get, NULL};
	struct arena *a = arena_new(0);
	struct filter_order o[FILTER_ORDERS_MAX];
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		void *items[] = {&v[0], &v[1], &v[2], &v[3]};
		struct str texts[2];
		size_t n = 0;
		char got[5] = "";
		for (; n < 2 && cases[i].order[n]; n++)
			texts[n] = str_c(cases[i].order[n]);
		CHECK_OK(filter_parse_orders(texts, n, &wide, a, o, &et), &et);
		CHECK_OK(filter_sort(o, n, &s, items, 4, by_address, a, &et), &et);
		for (size_t k = 0; k < 4; k++)
			got[k] = ((struct thing *)items[k])->name[0];
		CHECK_STR(str_c(got), cases[i].names);
	}
	static const struct {
		const char *order, *says;
	} wrong[] = {{"metrics.size sideways",
			     "Invalid ordering key in order_by clause 'metrics.size sideways'."},
		{"metrics.size, name", "Could not be parsed."}, {"", "Could not be parsed."},
		{"span.name", "not known"}, {"datasets.name", "not known"}, {"text", "not known"}};
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		struct str text = str_c(wrong[i].order);
		CHECK_ERR(filter_parse_orders(&text, 1, &wide, a, o, &et), ERR_INVALID);
		if (!strstr(et.msg, wrong[i].says))
			FAIL("%s says: %s", wrong[i].order, et.msg);
	}
	struct str twice[] = {S("name"), S("attributes.Name DESC")};
	CHECK_ERR(filter_parse_orders(twice, 2, &strict, a, o, &et), ERR_INVALID);
	CHECK(strstr(
		et.msg, "`order_by` contains duplicate fields: ['name', 'attributes.Name DESC']"));
	arena_free(a);
}

/* ---- patterns: test_text_dfa has what they are ---- */

static void test_text_filter__patterns(void)
{
	static const struct {
		const char *pattern, *text;
		int yes; /* -1: none */
	} cases[] = {{"a+$", "xaa", 1}, {"^(ans|x)[a-z]{3}$", "answer", 1}, {"", "", 1},
		{"(?i)HeLLo", "say hello", 1}, {"HeLLo", "hello", 0}, {"^.$", "\xC3\xBC", 1},
		{"c.d", "\xFF\x80 ab\xFF cud\xC3", 1}, {"b.c", "ab\xFF cud", 0},
		{"^b$",
			"a\xFF"
			"b",
			1}, /* other bytes end a text */
		{"\xEF\xBF\xBD", "a\xEF\xBF\xBD", 1}, {"(a|b)*a(a|b){20}", "", -1},
		{"(a)\\1", "", -1}, {"(a", "", -1}};
	struct arena *a = arena_new(0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct filter *f = NULL;
		struct thing t = {.name = cases[i].text};
		struct str text = arena_fmt(a, "name RLIKE '%s'", cases[i].pattern);
		enum err e = filter_parse(text, &wide, a, &f, &et);
		if (cases[i].yes < 0 ? e != ERR_INVALID
				     : e || filter_match(f, &(struct filter_subject){get, NULL},
						    &t) != cases[i].yes)
			FAIL("'%s' on '%s' (%s)", cases[i].pattern, cases[i].text, e ? et.msg : "");
	}
	arena_free(a);
}

static void test_text_filter__patterns_are_linear(void)
{
	struct arena *a = arena_new(0);
	struct buf text = {0};
	const struct filter *f = NULL;
	for (int i = 0; i < 1 << 20; i++)
		buf_putc(&text, 'a');
	struct thing t = {.name = buf_c(&text)};
	CHECK_OK(filter_parse(S("name RLIKE '^(a+)+(a|a)*(a?){30}a{30}b$'"), &wide, a, &f, &et),
		&et);
	uint64_t before = clock_mono_ns();
	CHECK(!filter_match(f, &(struct filter_subject){get, NULL}, &t));
	tap_note("1 MiB in %llu ms", (unsigned long long)((clock_mono_ns() - before) / 1000000));
	CHECK(clock_mono_ns() - before < 20000000000ull);
	buf_free(&text);
	arena_free(a);
}

/* What LIKE is, tried in all ways: of texts of 'a', 'B', and 'é' with the pattern's letters. */
static bool is_like(const char *s, const char *p, bool nocase)
{
	if (!*p)
		return !*s;
	if (*p == '%')
		return is_like(s, p + 1, nocase) || (*s && is_like(s + 1, p, nocase));
	if (!*s)
		return false;
	if (*p == '_')
		return is_like(s + ((unsigned char)*s == 0xC3 ? 2 : 1), p + 1, nocase);
	bool fits = *s == *p || (nocase && *s < 127 && *s > 0 && (*s | 32) == (*p | 32));
	return fits && is_like(s + 1, p + 1, nocase);
}

static const char *letters(char *to, unsigned most, const char *const *of, uint64_t *seed)
{
	unsigned n = 0, at = 0;
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	n = (unsigned)(*seed >> 33) % (most + 1);
	for (to[0] = 0; n; n--) {
		*seed = *seed * 6364136223846793005u + 1442695040888963407u;
		at += (unsigned)sprintf(to + at, "%s", of[(*seed >> 33) % 5]);
	}
	return to;
}

static void test_text_filter__like_is_what_it_is(void)
{
	static const char *const of_text[] = {"a", "B", "\303\251", "a", "b"};
	static const char *const of_pattern[] = {"a", "b", "%", "_", "%"};
	uint64_t seed = 11;
	unsigned yes = 0;
	for (unsigned i = 0; i < 100000; i++) {
		struct arena *a = arena_new(1 << 20);
		char text[40], pattern[40], how[80];
		const struct filter *f = NULL;
		bool nocase = i % 2;
		struct thing t = {.name = letters(text, 8, of_text, &seed)};
		letters(pattern, 6, of_pattern, &seed);
		snprintf(how, sizeof how, "name %s '%s'", nocase ? "ILIKE" : "LIKE", pattern);
		CHECK_OK(filter_parse(str_c(how), &wide, a, &f, &et), &et);
		bool got = filter_match(f, &(struct filter_subject){get, NULL}, &t);
		if (got != is_like(text, pattern, nocase))
			tap_note("%s: %s", how, text);
		CHECK(got == is_like(text, pattern, nocase));
		yes += got;
		arena_free(a);
	}
	CHECK(yes > 10000 && yes < 90000);
}

/* A long needle that almost stands at every place. */
static void test_text_filter__long_needles(void)
{
	static const char *const ops[] = {"LIKE '%", "ILIKE '%", "CONTAINS '", "LIKE '%_"};
	struct buf text = {0};
	for (int i = 0; i < 1 << 20; i++)
		buf_putc(&text, 'a');
	struct thing t = {.name = buf_c(&text)};
	uint64_t before = clock_mono_ns();
	for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
		struct arena *a = arena_new(0);
		struct buf how = {0};
		const struct filter *f = NULL;
		buf_addf(&how, "name %s", ops[i]);
		for (int k = 0; k < 100000; k++)
			buf_putc(&how, 'a');
		buf_addf(&how, "b%s'", strchr(ops[i], '%') ? "%" : "");
		enum err e = filter_parse(buf_str(&how), &wide, a, &f, &et);
		CHECK(e == (strchr(ops[i], '_') ? ERR_INVALID : OK));
		if (!e)
			CHECK(!filter_match(f, &(struct filter_subject){get, NULL}, &t));
		buf_free(&how);
		arena_free(a);
	}
	CHECK(clock_mono_ns() - before < 20000000000ull);
	buf_free(&text);
}

TESTS(T(test_text_filter__what_matches), T(test_text_filter__parts_are_read_as_far_as_needed),
	T(test_text_filter__what_is_refused), T(test_text_filter__limits),
	T(test_text_filter__mlflows_language), T(test_text_filter__rules),
	T(test_text_filter__what_a_store_can_look_up), T(test_text_filter__orders),
	T(test_text_filter__patterns), T(test_text_filter__patterns_are_linear),
	T(test_text_filter__like_is_what_it_is), T(test_text_filter__long_needles))
