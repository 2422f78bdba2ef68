/* A request's queries and judgements to what is measured. */
#include "eval/eval_int.h"

#include <stdlib.h>

enum { QUERIES_MAX = 100000, QRELS_MAX = 2000000 };

struct one {
	uint32_t query, document;
	double grade;
};

static int by_query(const void *a, const void *b)
{
	const struct one *x = a, *y = b;
	if (x->query != y->query)
		return x->query < y->query ? -1 : 1;
	return (x->document > y->document) - (x->document < y->document);
}

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for the queries");
}

/* A text or a whole number, as either may come: "12", 12. */
static struct str id_of(yyjson_val *v, struct arena *a)
{
	if (yyjson_is_int(v))
		return arena_fmt(a, "%lld", (long long)yyjson_get_sint(v));
	return json_val_str(v);
}

static enum err read_queries(yyjson_val *list, struct arena *a, struct judged_set *j,
	struct map *by_id, struct errtext *et)
{
	size_t i, n;
	yyjson_val *o;
	if (!yyjson_arr_size(list) || yyjson_arr_size(list) > QUERIES_MAX)
		return err_set(et, ERR_INVALID, "queries must be a list of 1 to %d", QUERIES_MAX);
	j->queries = arena_array_of(a, yyjson_arr_size(list), struct eval_query);
	if (!j->queries)
		return no_memory(et);
	yyjson_arr_foreach(list, i, n, o)
	{
		struct eval_query *q = &j->queries[j->n];
		q->id = id_of(yyjson_obj_get(o, "id"), a);
		q->text = json_str(o, "text");
		if (!q->id.n || !str_trim(q->text).n)
			return err_set(
				et, ERR_INVALID, "queries[%zu] must have an id and a text", i);
		if (map_get(by_id, q->id))
			return err_set(et, ERR_INVALID, "there are two queries \"%.*s\"",
				STR_FMT(str_sub(q->id, 0, 80)));
		if (!map_put(by_id, q->id, (void *)(uintptr_t)(++j->n)))
			return no_memory(et);
	}
	return OK;
}

static uint32_t number_of(struct judged_set *j, struct str id)
{
	uintptr_t k = (uintptr_t)map_get(&j->ids, id);
	if (k)
		return (uint32_t)k - 1;
	j->names[j->n_documents] = id;
	return map_put(&j->ids, id, (void *)(uintptr_t)(j->n_documents + 1))
		       ? (uint32_t)j->n_documents++
		       : UINT32_MAX;
}

/* In *out, malloc'ed: sorted, those of queries that are there. */
static enum err read_qrels(yyjson_val *list, struct arena *a, struct judged_set *j,
	const struct map *by_id, struct one **out, size_t *n_out, struct errtext *et)
{
	size_t i, n = yyjson_arr_size(list);
	yyjson_val *row;
	if (!n || n > QRELS_MAX)
		return err_set(et, ERR_INVALID, "qrels must be a list of 1 to %d rows", QRELS_MAX);
	struct one *all = malloc(n * sizeof *all);
	j->names = arena_array_of(a, n, struct str);
	if (!all || !j->names) {
		free(all);
		return no_memory(et);
	}
	size_t m = 0;
	yyjson_arr_foreach(list, i, n, row)
	{
		uintptr_t q = (uintptr_t)map_get(by_id, id_of(yyjson_arr_get(row, 0), a));
		struct str document = id_of(yyjson_arr_get(row, 1), a);
		yyjson_val *grade = yyjson_arr_get(row, 2);
		if (!document.n || !yyjson_is_num(grade)) {
			free(all);
			return err_set(et, ERR_INVALID,
				"qrels[%zu] must be a query, a document and a grade", i);
		}
		if (!q)
			continue;
		all[m] = (struct one){
			(uint32_t)q - 1, number_of(j, document), yyjson_get_num(grade)};
		if (all[m++].document == UINT32_MAX) {
			free(all);
			return no_memory(et);
		}
	}
	qsort(all, m, sizeof *all, by_query);
	*out = all;
	*n_out = m;
	return OK;
}

/* Each query gets its judgements; of two of one document the last counts. */
static enum err attach(
	struct judged_set *j, const struct one *all, size_t n, struct arena *a, struct errtext *et)
{
	struct eval_judged *v = arena_array_of(a, n + 1, struct eval_judged);
	size_t used = 0;
	if (!v)
		return no_memory(et);
	for (size_t i = 0; i < n; i++) {
		struct eval_query *q = &j->queries[all[i].query];
		if (!q->judged)
			q->judged = v + used;
		if (q->n_judged && q->judged[q->n_judged - 1].document == all[i].document) {
			q->judged[q->n_judged - 1].grade = all[i].grade;
			continue;
		}
		q->judged[q->n_judged++] = (struct eval_judged){all[i].document, all[i].grade};
		used++;
	}
	size_t kept = 0;
	for (size_t i = 0; i < j->n; i++)
		if (eval_any_relevant(j->queries[i].judged, j->queries[i].n_judged))
			j->queries[kept++] = j->queries[i];
	j->left_out = j->n - kept;
	j->n = kept;
	return kept ? OK
		    : err_set(et, ERR_INVALID,
			      "no query has a relevant document: do the ids in qrels match?");
}

enum err judged_parse(yyjson_val *o, struct arena *a, struct judged_set *out, struct errtext *et)
{
	struct map by_id = {0};
	struct one *all = NULL;
	size_t n = 0;
	enum err e = read_queries(yyjson_obj_get(o, "queries"), a, out, &by_id, et);
	e = e ? e : read_qrels(yyjson_obj_get(o, "qrels"), a, out, &by_id, &all, &n, et);
	e = e ? e : attach(out, all, n, a, et);
	if (!e) {
		out->found = arena_array_of(a, out->n_documents + 1, bool);
		e = out->found ? OK : no_memory(et);
	}
	free(all);
	map_free(&by_id);
	return e;
}

void judged_release(struct judged_set *j)
{
	map_free(&j->ids);
}

/* A path is the id, or the id with an extension, or either in a folder. */
uint64_t judged_document(const struct judged_set *j, struct str path, uint64_t otherwise)
{
	for (int folder = 0; folder < 2; folder++) {
		size_t slash = str_rchr(path, '/');
		if (folder && slash == STR_NONE)
			break;
		struct str s = folder ? str_sub(path, slash + 1, path.n) : path;
		size_t dot = str_rchr(s, '.');
		uintptr_t k = (uintptr_t)map_get(&j->ids, s);
		if (!k && dot != STR_NONE)
			k = (uintptr_t)map_get(&j->ids, str_sub(s, 0, dot));
		if (k) {
			j->found[k - 1] = true;
			return k - 1;
		}
	}
	return otherwise;
}
