/* Filters on payloads: a first line that is Qdrant's or OpenAI's filter is refused with a reason or
 * becomes conditions, and for the lines after it, payloads, the index agrees with them, item by
 * item; of a payload that is no JSON object nothing is taken. */
#include "vector/fields.h"

enum { ITEMS_MAX = 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool yes)
{
	if (!yes)
		__builtin_trap();
}

static bool id_key(void *ctx, yyjson_val *id, uint64_t *key)
{
	*key = yyjson_get_uint(id);
	return yyjson_is_uint(id);
}

static size_t read_items(struct str rest, struct fields *x, yyjson_doc **items)
{
	struct errtext et = {0};
	struct str line;
	size_t n = 0;
	while (n < ITEMS_MAX && str_next_line(&rest, &line)) {
		if (fields_put(x, n, line, &et))
			continue;
		must(json_parse(line, &items[n], &et) == OK);
		n++;
	}
	must(fields_publish(x, &et) == OK);
	return n;
}

static void agree(const struct cond *c, struct fields *x, yyjson_doc *const *items, size_t n)
{
	struct errtext et = {0};
	struct bitmap b = {0};
	struct fields_estimate about;
	bool exact;
	uint64_t matching = 0;
	must(fields_select(x, c, &b, &exact, &et) == OK);
	for (size_t i = 0; i < n; i++) {
		bool yes = cond_matches(c, i, yyjson_doc_get_root(items[i]));
		must(exact ? yes == bitmap_has(&b, i) : bitmap_has(&b, i) || !yes);
		matching += yes;
	}
	must(exact ? b.count == matching : b.count >= matching);
	fields_estimate(x, c, &about);
	must(about.least <= matching && matching <= about.most);
	bitmap_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str rest = str_mk(data, size), line;
	struct errtext et = {0};
	yyjson_doc *filter = NULL, *items[ITEMS_MAX] = {0};
	struct fields *x;
	if (size > 65536 || !str_next_line(&rest, &line) || json_parse(line, &filter, &et))
		return 0;
	must(fields_new(NULL, &x, &et) == OK);
	size_t n = read_items(rest, x, items);
	for (int kind = 0; kind < 2; kind++) {
		struct arena *a = arena_new(64 << 20);
		const struct cond *c = NULL;
		yyjson_val *v = yyjson_doc_get_root(filter);
		et = (struct errtext){0};
		enum err e = kind ? cond_parse_openai(v, a, &c, &et)
				  : cond_parse_qdrant(v, id_key, NULL, a, &c, &et);
		must(e ? et.msg[0] && !c : c != NULL);
		if (!e)
			agree(c, x, items, n);
		arena_free(a);
	}
	for (size_t i = 0; i < n; i++)
		yyjson_doc_free(items[i]);
	yyjson_doc_free(filter);
	fields_free(x);
	return 0;
}
