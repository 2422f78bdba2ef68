/* The filter language: in every dialect any text is refused with a reason or becomes a filter that
 * gives the same answer each time, part by part or at once; so do orders. */
#include "text/filter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool get(void *ctx, const void *item, const struct filter_name *n, size_t at,
	struct filter_value *out)
{
	if (n->type != FILTER_TEXT)
		*out = (struct filter_value){{0}, 1.5, true};
	else
		out->text = at ? S("1.5") : S("some value");
	return at < (n->flags & FILTER_ALIASES ? 2 : 1) && n->key.n % 3;
}

static const struct filter_key keys[] = {
	{.names = {"run_id"}, .ops = FILTER_OPS_TEXT | FILTER_OP_IN},
	{.names = {"start_time", "created"}, .type = FILTER_TIME},
	{.names = {"status"}, .flags = FILTER_ALIASES | FILTER_NOCASE},
	{.names = {"text"}, .flags = FILTER_EXTENDED | FILTER_IN_PARTS}};
static const struct filter_key span_keys[] = {{.names = {"name"}}};
static const struct filter_group groups[] = {
	{{"attribute", "attributes"}, keys, ARRAY_LEN(keys), 0, FILTER_OPS_TEXT, FILTER_TEXT},
	{{"metric", "metrics"}, NULL, 0, 0, FILTER_OPS_NUMBER, FILTER_NUMBER},
	{{"tag", "tags"}, NULL, 0, 0, FILTER_OPS_TEXT | FILTER_OP_NULL | FILTER_OP_RLIKE,
		FILTER_TEXT},
	{{"span"}, span_keys, 1, FILTER_PARTS, FILTER_OPS_TEXT, FILTER_TEXT},
	{{"span.attributes"}, NULL, 0, FILTER_PARTS, FILTER_OPS_TEXT, FILTER_TEXT}};

static void must(bool yes)
{
	if (!yes)
		__builtin_trap();
}

static void match(const struct filter *f)
{
	struct filter_subject s = {get, NULL};
	enum filter_truth before = filter_decide(f, &s, NULL, 0, false);
	uint32_t found = filter_part(f, &s, NULL, 0);
	enum filter_truth after = filter_decide(f, &s, NULL, found, true);
	must(after != FILTER_UNKNOWN);
	must(before == FILTER_UNKNOWN || before == after);
	must(filter_part(f, &s, NULL, found) == found);
	for (size_t i = 0; filter_required(f, i); i++)
		must(filter_asks(f, filter_required(f, i)->name.group));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = str_mk(data, size);
	struct filter_language languages[] = {{groups, ARRAY_LEN(groups), false, 0, false},
		{groups, ARRAY_LEN(groups), true, FILTER_OF_RUNS, false},
		{groups, ARRAY_LEN(groups), true, FILTER_OF_EXPERIMENTS, false},
		{groups, ARRAY_LEN(groups), true, FILTER_OF_VERSIONS, false},
		{groups, ARRAY_LEN(groups), true, FILTER_OF_TRACES, false},
		{groups, 3, false, 0, true}};
	for (size_t i = 0; i < ARRAY_LEN(languages); i++) {
		struct arena *a = arena_new(64 << 20);
		const struct filter *f = NULL;
		struct filter_order o[FILTER_ORDERS_MAX];
		struct errtext et = {0};
		size_t at = 0;
		if (!a)
			return 0;
		enum err e = languages[i].rules
				     ? filter_parse_at(text, &at, &languages[i], a, &f, &et)
				     : filter_parse(text, &languages[i], a, &f, &et);
		must(!e || et.msg[0]);
		must(at <= size);
		if (!e)
			match(f);
		et.msg[0] = 0;
		e = filter_parse_orders(&text, 1, &languages[i], a, o, &et);
		must(!e || et.msg[0]);
		arena_free(a);
	}
	return 0;
}
