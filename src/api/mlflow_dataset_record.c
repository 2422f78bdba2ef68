/* MLflow's routes of the records of evaluation datasets. */
#include "api/mlflow_dataset.h"
#include "base/clock.h"
#include "base/map.h"

#include <stdio.h>
#include <stdlib.h>

#define FIELDS(...) static const struct mlflow_field fields[] = {__VA_ARGS__}
#define BEGIN(kind) mlreg_begin(&m, c, rq, rs, kind, fields, ARRAY_LEN(fields))

enum { DEPTH_MAX = 100, RECORD_MAX = 4 << 20 };

/* ---- the inputs, whatever the order of their keys ---- */

static int by_key(const void *a, const void *b)
{
	return str_cmp(
		json_val_str(*(yyjson_val *const *)a), json_val_str(*(yyjson_val *const *)b));
}

static bool write_sorted(struct jw *w, yyjson_val *v, int depth)
{
	yyjson_val *key, *item;
	size_t i, n, k = 0;
	bool ok = depth < DEPTH_MAX;
	if (!ok || (!yyjson_is_obj(v) && !yyjson_is_arr(v))) {
		jw_val(w, v);
		return ok;
	}
	if (yyjson_is_arr(v)) {
		jw_arr(w);
		yyjson_arr_foreach(v, i, n, item) ok = ok && write_sorted(w, item, depth + 1);
		jw_end(w);
		return ok;
	}
	yyjson_val **keys = calloc(yyjson_obj_size(v) + 1, sizeof *keys);
	if (!keys)
		return false;
	yyjson_obj_foreach(v, i, n, key, item) keys[k++] = key;
	qsort(keys, k, sizeof *keys, by_key);
	jw_obj(w);
	for (i = 0; i < k && ok; i++) {
		jw_key_str(w, json_val_str(keys[i]));
		ok = write_sorted(w, yyjson_obj_iter_get_val(keys[i]), depth + 1);
	}
	jw_end(w);
	free(keys);
	return ok;
}

static enum err hash_inputs(yyjson_val *inputs, char hex[SHA256_HEX + 1], struct errtext *et)
{
	struct buf b = {.max = RECORD_MAX};
	struct jw w = {.out = &b};
	bool ok = write_sorted(&w, inputs, 0) && jw_done(&w);
	if (ok)
		sha256_hex_of(buf_str(&b), hex);
	buf_free(&b);
	return ok ? OK
		  : err_set(et, ERR_INVALID,
			    "a record's inputs must be JSON of at most %d bytes and %d levels",
			    RECORD_MAX, DEPTH_MAX);
}

/* ---- merging ---- */

static bool given(yyjson_val *v)
{
	return v && !yyjson_is_null(v);
}

/* The members of `was`, overwritten by those of `now`. */
static bool write_merged(struct jw *w, const char *key, yyjson_val *was, yyjson_val *now)
{
	struct map renewed = {0}; /* there may be a hundred thousand */
	yyjson_val *k, *v;
	size_t i, n;
	bool ok = true;
	if (!given(was) && !given(now))
		return true;
	if (yyjson_obj_size(was))
		yyjson_obj_foreach(now, i, n, k, v) ok =
			ok && map_put(&renewed, json_val_str(k), k);
	jw_key(w, key);
	jw_obj(w);
	yyjson_obj_foreach(was, i, n, k, v) if (!map_get(&renewed, json_val_str(k)))
	{
		jw_key_str(w, json_val_str(k));
		jw_val(w, v);
	}
	yyjson_obj_foreach(now, i, n, k, v)
	{
		jw_key_str(w, json_val_str(k));
		jw_val(w, v);
	}
	jw_end(w);
	map_free(&renewed);
	return ok;
}

static void write_source(struct jw *w, yyjson_val *was, yyjson_val *now)
{
	yyjson_val *source = yyjson_obj_get(now, "source");
	struct str type = json_str(source, "source_type"), id = {0};
	static const char *const keep[] = {"source", "source_id", "source_type"};
	if (was) { /* the source of the first stays */
		for (size_t i = 0; i < ARRAY_LEN(keep); i++)
			if (given(yyjson_obj_get(was, keep[i]))) {
				jw_key(w, keep[i]);
				jw_val(w, yyjson_obj_get(was, keep[i]));
			}
		return;
	}
	if (!yyjson_is_obj(source))
		return;
	jw_key(w, "source");
	jw_val(w, source);
	id = json_str(yyjson_obj_get(source, "source_data"),
		str_eq_c(type, "TRACE") ? "trace_id" : "source_id");
	if (id.n)
		jw_kstr(w, "source_id", id);
	if (type.n)
		jw_kstr(w, "source_type", type);
}

/* was NULL: a new record. Outputs are replaced; expectations and tags are merged. */
static bool write_body(struct jw *w, yyjson_val *was, yyjson_val *now)
{
	yyjson_val *outputs = yyjson_obj_get(now, "outputs");
	struct str who = json_str(yyjson_obj_get(now, "tags"), "mlflow.user");
	struct str by = json_str(was, "created_by"), last = json_str(was, "last_updated_by");
	jw_obj(w);
	jw_key(w, "inputs");
	jw_val(w, yyjson_obj_get(was ? was : now, "inputs"));
	if (was && !outputs)
		outputs = yyjson_obj_get(was, "outputs");
	if (given(outputs)) {
		jw_key(w, "outputs");
		jw_val(w, outputs);
	} else if (!was && !outputs) { /* as MLflow has it */
		jw_key(w, "outputs");
		jw_obj(w);
		jw_end(w);
	}
	bool ok = write_merged(w, "expectations", yyjson_obj_get(was, "expectations"),
		yyjson_obj_get(now, "expectations"));
	ok &= write_merged(w, "tags", yyjson_obj_get(was, "tags"), yyjson_obj_get(now, "tags"));
	write_source(w, was, now);
	if (was ? by.n : who.n)
		jw_kstr(w, "created_by", was ? by : who);
	if (who.n || last.n)
		jw_kstr(w, "last_updated_by", who.n ? who : last);
	jw_end(w);
	return ok;
}

static enum err check_record(yyjson_val *v, size_t at, struct errtext *et)
{
	static const char *const objects[] = {"expectations", "tags", "source"};
	if (!yyjson_is_obj(v) || !yyjson_is_obj(yyjson_obj_get(v, "inputs")))
		return err_set(
			et, ERR_INVALID, "records[%zu]: an object with inputs is expected", at);
	for (size_t i = 0; i < ARRAY_LEN(objects); i++) {
		yyjson_val *o = yyjson_obj_get(v, objects[i]);
		if (given(o) && !yyjson_is_obj(o))
			return err_set(et, ERR_INVALID, "records[%zu].%s: an object is expected",
				at, objects[i]);
	}
	return OK;
}

static enum err upsert_one(struct mlreg *m, struct str dataset, yyjson_val *v, bool *inserted)
{
	struct eval_record r = {0};
	struct buf b = {.max = RECORD_MAX};
	struct jw w = {.out = &b};
	yyjson_doc *was = NULL;
	char hash[SHA256_HEX + 1] = "", hex[ID_HEX + 1];
	enum err e = hash_inputs(yyjson_obj_get(v, "inputs"), hash, &m->et);
	if (!e)
		e = eval_record_same(m->tx, m->project, dataset, hash, m->a, &r, &m->et);
	*inserted = e == ERR_NOT_FOUND;
	if (*inserted) {
		id_hex(id_new(), hex);
		r = (struct eval_record){
			.id = arena_fmt(m->a, "dr-%s", hex), .created_ms = clock_unix_ms()};
		memcpy(r.inputs, hash, sizeof hash);
		e = r.id.p ? OK : err_set(&m->et, ERR_NOMEM, "no memory for a dataset");
	} else if (!e) {
		e = json_parse(r.json, &was, &m->et);
	}
	if (!e) {
		bool room = write_body(&w, yyjson_doc_get_root(was), v);
		r.json = buf_str(&b);
		r.updated_ms = clock_unix_ms();
		if (!room)
			e = err_set(&m->et, ERR_NOMEM, "no memory for a dataset");
		else if (!jw_done(&w))
			e = err_set(
				&m->et, ERR_TOO_LARGE, "a record has at most %d bytes", RECORD_MAX);
	}
	if (!e)
		e = eval_record_put(m->tx, m->project, dataset, &r, &m->et);
	yyjson_doc_free(was);
	buf_free(&b);
	return e;
}

/* ---- the schema: what kinds of values the fields have had first ---- */

static const char *const sections[] = {"inputs", "outputs", "expectations"};

static const char *kind_of(yyjson_val *v)
{
	return yyjson_is_null(v)   ? "null"
	       : yyjson_is_bool(v) ? "boolean"
	       : yyjson_is_int(v)  ? "integer"
	       : yyjson_is_real(v) ? "float"
	       : yyjson_is_str(v)  ? "string"
	       : yyjson_is_arr(v)  ? "array"
				   : "object";
}

static void schema_field(struct map *seen, struct jw *w, struct str key, const char *kind)
{
	if (seen->n >= DATASET_FIELDS_MAX || map_get(seen, key))
		return;
	if (!map_put(seen, key, seen))
		return;
	jw_key_str(w, key);
	jw_c(w, kind);
}

/* One section. Outputs that are no objects make it a single word, when it has no fields. */
static void schema_section(struct jw *w, const char *name, yyjson_val *was, yyjson_val *records)
{
	struct map seen = {0};
	yyjson_val *one, *key, *v, *old = yyjson_obj_get(was, name);
	size_t i, n, k, max;
	const char *word = yyjson_get_str(old);
	if (!word && !yyjson_obj_size(old))
		yyjson_arr_foreach(records, i, n, one)
		{
			yyjson_val *value = yyjson_obj_get(one, name);
			if (!given(value) || word || strcmp(name, "outputs") != 0)
				continue;
			if (yyjson_is_obj(value) && yyjson_obj_size(value))
				break;
			if (!yyjson_is_obj(value))
				word = kind_of(value);
		}
	jw_key(w, name);
	if (word) {
		jw_c(w, word);
		return;
	}
	jw_obj(w);
	yyjson_obj_foreach(old, k, max, key, v)
		schema_field(&seen, w, json_val_str(key), yyjson_get_str(v));
	yyjson_arr_foreach(records, i, n, one)
	{
		yyjson_obj_foreach(yyjson_obj_get(one, name), k, max, key, v)
			schema_field(&seen, w, json_val_str(key), kind_of(v));
	}
	jw_end(w);
	map_free(&seen);
}

static enum err update_schema(struct mlreg *m, struct eval_dataset *d, yyjson_val *records)
{
	yyjson_doc *was = NULL;
	struct buf b = {0};
	struct jw w = {.out = &b};
	if (!d->schema.n || json_parse(d->schema, &was, NULL))
		was = NULL;
	jw_obj(&w);
	for (size_t i = 0; i < ARRAY_LEN(sections); i++)
		schema_section(&w, sections[i], yyjson_doc_get_root(was), records);
	jw_kc(&w, "version", "1.0");
	jw_end(&w);
	d->schema = jw_done(&w) ? arena_str(m->a, buf_str(&b)) : (struct str){0};
	yyjson_doc_free(was);
	buf_free(&b);
	return d->schema.p ? OK : err_set(&m->et, ERR_NOMEM, "no memory for a dataset");
}

static enum err update_dataset(struct mlreg *m, struct eval_dataset *d, yyjson_val *records)
{
	yyjson_val *one;
	size_t i, n;
	enum err e = update_schema(m, d, records);
	yyjson_arr_foreach(records, i, n, one)
	{
		struct str who = json_str(yyjson_obj_get(one, "tags"), "mlflow.user");
		if (who.n)
			d->updated_by = who;
	}
	d->updated_ms = clock_unix_ms();
	d->digest = eval_digest(m->a, d->name, d->updated_ms);
	if (!e && !d->digest.p)
		e = err_set(&m->et, ERR_NOMEM, "no memory for a dataset");
	return e ? e : eval_dataset_put(m->tx, m->project, d, &m->et);
}

/* ---- routes ---- */

static enum err find(struct mlreg *m, struct eval_dataset *v)
{
	return eval_dataset_get(
		m->tx, m->project, http_param(m->rq, "dataset_id"), m->a, v, &m->et);
}

static enum err read_records(struct mlreg *m, yyjson_doc **doc)
{
	yyjson_val *one;
	size_t i, n;
	if (json_parse(mlflow_text(m->args, "records"), doc, NULL) ||
		!yyjson_is_arr(yyjson_doc_get_root(*doc)))
		return err_set(
			&m->et, ERR_INVALID, "records: a JSON array, as a text, is expected");
	if (yyjson_arr_size(yyjson_doc_get_root(*doc)) > DATASET_UPSERT_MAX)
		return err_set(
			&m->et, ERR_INVALID, "records: at most %d at a time", DATASET_UPSERT_MAX);
	yyjson_arr_foreach(yyjson_doc_get_root(*doc), i, n, one)
	{
		enum err e = check_record(one, i, &m->et);
		if (e)
			return e;
	}
	return OK;
}

static MLREG(upsert)
{
	FIELDS({"records", MLFLOW_TEXT, true});
	struct mlreg m;
	struct eval_dataset d;
	yyjson_doc *doc = NULL;
	yyjson_val *one;
	size_t i, n;
	int64_t inserted = 0, updated = 0;
	enum err e = BEGIN(TX_WRITE);
	if (!e)
		e = find(&m, &d);
	if (!e)
		e = read_records(&m, &doc);
	yyjson_val *records = yyjson_doc_get_root(doc);
	if (!e)
		yyjson_arr_foreach(records, i, n, one)
		{
			bool is_new = false;
			e = upsert_one(&m, d.id, one, &is_new);
			if (e)
				break;
			inserted += is_new;
			updated += !is_new;
		}
	if (!e)
		e = update_dataset(&m, &d, records);
	if (!e) {
		jw_obj(&m.w);
		jw_ki64(&m.w, "inserted_count", inserted);
		jw_ki64(&m.w, "updated_count", updated);
		jw_end(&m.w);
	}
	yyjson_doc_free(doc);
	mlreg_end(&m, e);
}

static void write_record(struct jw *w, struct str dataset, const struct eval_record *r)
{
	yyjson_doc *doc = NULL;
	yyjson_val *key, *v;
	size_t i, n;
	if (json_parse(r->json, &doc, NULL))
		doc = NULL;
	yyjson_val *root = yyjson_doc_get_root(doc);
	jw_obj(w);
	jw_kstr(w, "dataset_record_id", r->id);
	jw_kstr(w, "dataset_id", dataset);
	jw_ki64(w, "created_time", r->created_ms);
	jw_ki64(w, "last_update_time", r->updated_ms);
	yyjson_obj_foreach(root, i, n, key, v)
	{
		jw_key_str(w, json_val_str(key));
		jw_val(w, v);
	}
	if (!yyjson_obj_get(root, "tags")) {
		jw_key(w, "tags");
		jw_obj(w);
		jw_end(w);
	}
	jw_end(w);
	yyjson_doc_free(doc);
}

/* The records are a text that holds JSON. */
static MLREG(get_records)
{
	FIELDS({"max_results", MLFLOW_INT, false}, {"page_token", MLFLOW_TEXT, false});
	struct mlreg m;
	struct eval_dataset d;
	struct eval_record *v = NULL;
	size_t n = 0;
	int64_t max = 0;
	struct buf text = {0};
	struct jw w = {.out = &text};
	enum err e = BEGIN(TX_READ);
	if (!e)
		e = find(&m, &d);
	if (!e) {
		struct str after = mlflow_text(m.args, "page_token");
		max = mlflow_int(m.args, "max_results", DATASET_PAGE_MAX);
		if (max < 1 || max > 50000)
			e = err_set(&m.et, ERR_INVALID, "max_results: 1 to 50000 is expected");
		else
			e = eval_record_list(m.tx, m.project, d.id, after.p ? after : S(""),
				max + 1, m.a, &v, &n, &m.et);
	}
	if (!e) {
		size_t shown = MIN(n, (size_t)max);
		jw_arr(&w);
		for (size_t i = 0; i < shown; i++)
			write_record(&w, d.id, &v[i]);
		jw_end(&w);
		jw_obj(&m.w);
		jw_kstr(&m.w, "records", buf_str(&text));
		if (n > shown)
			jw_kstr(&m.w, "next_page_token", v[shown - 1].id);
		jw_end(&m.w);
		if (!jw_done(&w))
			e = err_set(&m.et, ERR_NOMEM, "no memory for a dataset");
	}
	buf_free(&text);
	mlreg_end(&m, e);
}

static MLREG(delete_records)
{
	FIELDS({"dataset_record_ids", MLFLOW_TEXTS, false});
	struct mlreg m;
	struct eval_dataset d;
	yyjson_val *one;
	size_t i, n;
	int64_t gone = 0;
	enum err e = BEGIN(TX_WRITE);
	if (!e)
		e = find(&m, &d);
	if (!e)
		yyjson_arr_foreach(yyjson_obj_get(m.args, "dataset_record_ids"), i, n, one)
		{
			e = eval_record_delete(
				m.tx, m.project, d.id, json_val_str(one), &gone, &m.et);
			if (e)
				break;
		}
	if (!e) {
		jw_obj(&m.w);
		jw_ki64(&m.w, "deleted_count", gone);
		jw_end(&m.w);
	}
	mlreg_end(&m, e);
}

#define RECORDS "/api/3.0/mlflow/datasets/{dataset_id}/records"

const struct route eval_record_routes[3] = {
	{HTTP_POST, RECORDS, upsert, PERM_RUN_WRITE, "MLflow: add records to an evaluation dataset",
		NULL, "{ records: string }", "object", 64 << 20},
	{HTTP_GET, RECORDS, get_records, PERM_RUN_READ,
		"MLflow: the records of an evaluation dataset",
		"{ max_results?: int, page_token? }", NULL, "object", 0},
	{HTTP_DELETE, RECORDS, delete_records, PERM_RUN_DELETE,
		"MLflow: remove records of an evaluation dataset", NULL,
		"{ dataset_record_ids?: string[] }", "object", 0},
};
