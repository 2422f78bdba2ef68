/* croft collections: list, make, fill, search, write out. */
#include "collection/collection_int.h"
#include "collection/collection_import.h"
#include "collection/wire.h"

enum { IMPORT_ITEMS = 1000, LEFT_OUT_MAX = 100, IMPORT_BYTES = 4 << 20, SHOWN_MAX = 300 };

const struct option collection_create_options[] = {
	{"size", 's', "N", "Numbers of a vector that is brought along"},
	{"distance", 0, "NAME", "Cosine (if nothing is said), Dot, Euclid or Manhattan"},
	{"model", 'm', "NAME", "The model that embeds the texts"},
	{"vectors", 0, "JSON",
		"Several kinds: {\"name\": {\"size\": 384, \"distance\": \"Cosine\"}}"},
	{"sparse", 0, "JSON",
		"Sparse vectors, perhaps beside others: {\"name\": {\"modifier\": \"idf\"}}"},
	{"backend", 0, "NAME", "embedded (memory) or pgvector (PostgreSQL)"},
};
const struct option collection_move_options[] = {
	{"backend", 0, "NAME", "Where to: embedded (memory) or pgvector (PostgreSQL)"},
};
const struct option collection_import_options[] = {
	{"first", 0, "N", "The id of the first vector of a file without ids (0)"},
	{"batch", 0, "N", "Items of one request (1000)"},
	{"create", 0, NULL, "Make the collection if it is not there, as large as the vectors are"},
	{"distance", 0, "NAME", "With --create: Cosine, Dot, Euclid or Manhattan"},
	{"id-column", 0, "NAME", "Of Parquet: the column of the ids (id; else they are numbered)"},
	{"vector-column", 0, "NAME",
		"Of Parquet: the column of the vectors (vector), or SPACE=NAME; may be repeated"},
	{"text-column", 0, "NAME", "Of Parquet: the column whose texts are embedded"},
	{"leave-out", 0, "NAME", "Of Parquet: a column that is not read; may be repeated"},
	{"backend", 0, "NAME", "With --create: embedded (memory) or pgvector (PostgreSQL)"},
};
const struct option collection_search_options[] = {
	{"number", 'k', "K", "How many (10)"},
	{"like", 0, "ID", "Near to this item instead of a text"},
	{"vector", 0, "JSON", "Near to this vector: [0.1, ...]"},
	{"space", 0, "NAME", "Among the vectors of this name"},
	{"filter", 0, "JSON", "Only items that match, in Qdrant's words"},
	{"worst", 0, "SCORE", "Leave out what has a worse score"},
	{"mode", 0, "MODE", "vector, keyword (by its words) or hybrid (by both)"},
	{"fusion", 0, "METHOD", "With --mode hybrid: rrf (by ranks) or score"},
	{"weights", 0, "V,K", "With --mode hybrid: of vectors and of words (1,1)"},
	{"as-of", 0, "VERSION", "In a version: a number, a tag or a time"},
	{"formula", 0, "JSON", "Score what is found by a formula over $score and payloads"},
};
const struct option collection_keyword_options[] = {
	{"fields", 'f', "FIELDS", "Fields of the payloads, with weights: title=2,text"},
	{"language", 0, "CODE", "en, de, fr, ...: its stop words and stems (none)"},
	{"k1", 0, "N", "When more of the same word counts no more (1.2)"},
	{"fusion", 0, "METHOD", "Of a hybrid search: rrf (by ranks) or score"},
	{"weights", 0, "V,K", "Of a hybrid search: of vectors and of words (1,1)"},
	{"off", 0, NULL, "Drop the index of words"},
};

/* ---- list, show, rm ---- */

static void space_cell(struct cmd_table *t, yyjson_val *spaces)
{
	struct buf b = {0};
	yyjson_val *s;
	size_t i, n;
	yyjson_arr_foreach(spaces, i, n, s)
	{
		struct str name = json_str(s, "name"), model = json_str(s, "model");
		if (str_eq_c(json_str(s, "kind"), "sparse")) {
			buf_addf(&b, "%s%.*s sparse", i ? ", " : "", STR_FMT(name));
			continue;
		}
		buf_addf(&b, "%s%.*s%s%lld %.*s%s%.*s", i ? ", " : "", STR_FMT(name),
			name.n ? " " : "", (long long)json_i64(s, "size", 0),
			STR_FMT(json_str(s, "distance")), model.n ? " " : "", STR_FMT(model));
	}
	cmd_cell(t, "%s", buf_c(&b));
	buf_free(&b);
}

enum err run_collections(struct cmd *cmd, struct errtext *et)
{
	static const char *const titles[] = {"NAME", "ITEMS", "VECTORS", "CHANGED"};
	struct buf reply = {0};
	yyjson_doc *doc = NULL;
	yyjson_val *k;
	size_t i, n;
	enum err e = cmd_call(cmd, HTTP_GET, "/api/v1/collections", (struct str){0}, &reply, et);
	if (!e && cmd_json(cmd))
		cmd_outf(cmd, "%s\n", buf_c(&reply));
	else if (!e)
		e = json_parse(buf_str(&reply), &doc, et);
	yyjson_val *list = yyjson_obj_get(yyjson_doc_get_root(doc), "collections");
	if (doc && !yyjson_arr_size(list))
		cmd_note(cmd,
			"There is no collection yet: croft collections create NAME --size 384");
	if (doc && yyjson_arr_size(list)) {
		struct cmd_table *t = cmd_table(cmd, titles, ARRAY_LEN(titles));
		yyjson_arr_foreach(list, i, n, k)
		{
			cmd_cell(t, "%.*s", STR_FMT(json_str(k, "name")));
			cmd_cell(t, "%lld", (long long)json_i64(k, "items", 0));
			space_cell(t, yyjson_obj_get(k, "spaces"));
			cmd_cell(t, "%.16s", json_str(k, "updated").p);
		}
		cmd_table_end(t);
	}
	yyjson_doc_free(doc);
	buf_free(&reply);
	return e;
}

static void print_keyword(struct cmd *cmd, yyjson_val *k)
{
	yyjson_val *key, *v, *fusion = yyjson_obj_get(k, "fusion");
	struct str language = json_str(k, "language");
	struct buf b = {0};
	size_t i, n;
	if (!yyjson_is_obj(k))
		return;
	yyjson_obj_foreach(yyjson_obj_get(k, "fields"), i, n, key, v) buf_addf(&b, "%s%.*s (%g)",
		i ? ", " : "", STR_FMT(json_val_str(key)), json_f64(v, "weight", 1));
	cmd_outf(cmd, "  words of %s%s%.*s\n", buf_c(&b), language.n ? ", stems: " : "",
		STR_FMT(language));
	cmd_outf(cmd, "    hybrid by %.*s, vector %g, keyword %g\n",
		STR_FMT(json_str(fusion, "method")), json_f64(fusion, "vector", 1),
		json_f64(fusion, "keyword", 1));
	buf_free(&b);
}

static void print_collection(struct cmd *cmd, yyjson_val *k)
{
	yyjson_val *s;
	size_t i, n;
	struct str backend = json_str(k, "backend");
	bool elsewhere = backend.n && !str_eq_c(backend, "embedded");
	cmd_outf(cmd, "%s%.*s%s  %lld items, change %lld%s%.*s\n", cmd_style(cmd, "bold"),
		STR_FMT(json_str(k, "name")), cmd_style(cmd, "reset"),
		(long long)json_i64(k, "items", 0), (long long)json_i64(k, "seq", 0),
		elsewhere ? ", in " : "", elsewhere ? (int)backend.n : 0, backend.p);
	yyjson_arr_foreach(yyjson_obj_get(k, "spaces"), i, n, s)
	{
		struct str name = json_str(s, "name"), model = json_str(s, "model");
		struct str kind = json_str(s, "kind");
		if (str_eq_c(kind, "sparse"))
			cmd_outf(cmd, "  vectors %.*s: sparse%s\n", STR_FMT(name),
				json_bool(s, "idf", false) ? ", weighed by idf" : "");
		else
			cmd_outf(cmd, "  vectors %.*s%s%s%lld numbers, %.*s\n", STR_FMT(name),
				name.n ? ": " : "", str_eq_c(kind, "multi") ? "lists of " : "",
				(long long)json_i64(s, "size", 0),
				STR_FMT(json_str(s, "distance")));
		if (model.n)
			cmd_outf(cmd, "    made by %.*s (%.16s)\n", STR_FMT(model),
				json_str(s, "identity").p);
	}
	cmd_outf(cmd, "  made %.19s, changed %.19s\n", json_str(k, "created").p,
		json_str(k, "updated").p);
	print_keyword(cmd, yyjson_obj_get(k, "keyword"));
}

static enum err show(struct cmd *cmd, enum http_method method, struct str body, struct errtext *et)
{
	struct buf reply = {0};
	yyjson_doc *doc = NULL;
	enum err e = wire_call(cmd, method, "", body, &reply, &doc, et);
	if (!e && cmd_json(cmd))
		cmd_outf(cmd, "%s\n", buf_c(&reply));
	else if (!e)
		print_collection(cmd, yyjson_doc_get_root(doc));
	yyjson_doc_free(doc);
	buf_free(&reply);
	return e;
}

enum err run_collections_show(struct cmd *cmd, struct errtext *et)
{
	return show(cmd, HTTP_GET, (struct str){0}, et);
}

enum err run_collections_move(struct cmd *cmd, struct errtext *et)
{
	struct buf b = {0}, reply = {0};
	yyjson_doc *doc = NULL;
	struct jw w = {.out = &b};
	if (!cmd_opt(cmd, "backend").n)
		return err_set(et, ERR_INVALID, "say where to: --backend embedded or pgvector");
	jw_obj(&w);
	jw_kstr(&w, "backend", cmd_opt(cmd, "backend"));
	jw_end(&w);
	enum err e = wire_call(cmd, HTTP_POST, "/move", buf_str(&b), &reply, &doc, et);
	if (!e && cmd_json(cmd))
		cmd_outf(cmd, "%s\n", buf_c(&reply));
	else if (!e)
		print_collection(cmd, yyjson_doc_get_root(doc));
	yyjson_doc_free(doc);
	buf_free(&b);
	buf_free(&reply);
	return e;
}

enum err run_collections_rm(struct cmd *cmd, struct errtext *et)
{
	struct buf reply = {0};
	enum err e = wire_call(cmd, HTTP_DELETE, "", (struct str){0}, &reply, NULL, et);
	if (!e && cmd_json(cmd))
		cmd_outf(cmd, "%s\n", buf_c(&reply));
	else if (!e)
		cmd_outf(cmd, "%.*s was deleted\n", STR_FMT(cmd_arg(cmd, 0)));
	buf_free(&reply);
	return e;
}

/* ---- create ---- */

static void vectors_body(struct buf *b, struct str vectors, struct str sparse, int64_t size,
	struct str distance, struct str model, struct str backend)
{
	struct jw w = {.out = b};
	jw_obj(&w);
	if (sparse.n) {
		jw_key(&w, "sparse_vectors");
		jw_raw(&w, sparse);
	}
	if (vectors.n) {
		jw_key(&w, "vectors");
		jw_raw(&w, vectors);
	} else if (size || model.n || !sparse.n) {
		jw_key(&w, "vectors");
		jw_obj(&w);
		if (size)
			jw_ki64(&w, "size", size);
		jw_kstr(&w, "distance", distance.n ? distance : S("Cosine"));
		if (model.n)
			jw_kstr(&w, "model", model);
		jw_end(&w);
	}
	if (backend.n)
		jw_kstr(&w, "backend", backend);
	jw_end(&w);
}

static enum err number(struct cmd *cmd, const char *option, int64_t *out, struct errtext *et)
{
	struct str s = cmd_opt(cmd, option);
	return !s.p || str_i64(s, out)
		       ? OK
		       : err_set(et, ERR_INVALID, "--%s must be a number, not \"%.*s\"", option,
				 STR_FMT(s));
}

enum err run_collections_create(struct cmd *cmd, struct errtext *et)
{
	struct buf b = {0};
	int64_t size = 0;
	enum err e = number(cmd, "size", &size, et);
	if (!e && !size && !cmd_opt(cmd, "model").n && !cmd_opt(cmd, "vectors").n &&
		!cmd_opt(cmd, "sparse").n)
		e = err_set(et, ERR_INVALID,
			"say --model NAME, whose vectors they are, or --size N for vectors of "
			"your own");
	vectors_body(&b, cmd_opt(cmd, "vectors"), cmd_opt(cmd, "sparse"), size,
		cmd_opt(cmd, "distance"), cmd_opt(cmd, "model"), cmd_opt(cmd, "backend"));
	e = e ? e : show(cmd, HTTP_PUT, buf_str(&b), et);
	buf_free(&b);
	return e;
}

/* ---- import ---- */

/* How long the first vector is. */
static size_t dim_of(struct str items)
{
	struct buf b = {0};
	yyjson_doc *doc = NULL;
	buf_addf(&b, "[%.*s]", STR_FMT(items));
	if (json_parse(buf_str(&b), &doc, NULL))
		doc = NULL;
	yyjson_val *first = yyjson_arr_get_first(yyjson_doc_get_root(doc));
	size_t n = yyjson_arr_size(yyjson_obj_get(first, "vector"));
	yyjson_doc_free(doc);
	buf_free(&b);
	return n;
}

static enum err create_for(struct cmd *cmd, struct str items, struct errtext *et)
{
	struct buf b = {0}, reply = {0};
	size_t dim = dim_of(items);
	struct errtext absent;
	enum err e = wire_call(cmd, HTTP_GET, "", (struct str){0}, &reply, NULL, &absent);
	if (e == ERR_NOT_FOUND) {
		vectors_body(&b, (struct str){0}, (struct str){0}, (int64_t)dim,
			cmd_opt(cmd, "distance"), (struct str){0}, cmd_opt(cmd, "backend"));
		e = dim ? wire_call(cmd, HTTP_PUT, "", buf_str(&b), &reply, NULL, et)
			: err_set(et, ERR_INVALID,
				  "the first item has no vector: make the collection first, with "
				  "croft collections create NAME --model NAME");
	} else if (e && et) {
		*et = absent;
	}
	buf_free(&b);
	buf_free(&reply);
	return e;
}

static enum err send_items(struct cmd *cmd, struct str items, struct errtext *et)
{
	struct buf b = {0}, reply = {0};
	buf_addc(&b, "{\"items\":[");
	buf_adds(&b, items);
	buf_addc(&b, "]}");
	enum err e = b.err ? err_set(et, b.err, "no memory for a request")
			   : wire_call(cmd, HTTP_PUT, "/items", buf_str(&b), &reply, NULL, et);
	buf_free(&b);
	buf_free(&reply);
	return e;
}

static enum err import(struct cmd *cmd, struct vector_file *f, uint64_t first, size_t batch,
	struct progress *p, uint64_t *sent, struct errtext *et)
{
	enum err e = OK;
	size_t n = 1;
	while (!e && n) {
		struct buf items = {0};
		uint64_t from = vector_file_at(f) + 1;
		e = cancelled(cmd_cancel(cmd))
			    ? ERR_CANCELLED
			    : vector_file_items(f, first, batch, IMPORT_BYTES, &items, &n, et);
		if (!e && n && !*sent && cmd_flag(cmd, "create"))
			e = create_for(cmd, buf_str(&items), et);
		if (!e && n) {
			e = send_items(cmd, buf_str(&items), et);
			if (e)
				err_wrap(et, e, "rows %llu to %llu", (unsigned long long)from,
					(unsigned long long)vector_file_at(f));
		}
		*sent += e ? 0 : n;
		progress_at(p, *sent, vector_file_rows(f), NULL);
		buf_free(&items);
	}
	return e;
}

enum err run_collections_import(struct cmd *cmd, struct errtext *et)
{
	struct str vectors[COLLECTION_SPACES_MAX], without[LEFT_OUT_MAX];
	struct parquet_choice columns = {.id = cmd_opt(cmd, "id-column"),
		.text = cmd_opt(cmd, "text-column"),
		.vectors = vectors,
		.without = without};
	struct vector_file *f = NULL;
	int64_t first = 0, batch = IMPORT_ITEMS;
	uint64_t sent = 0;
	if (cmd_n_args(cmd) != 2)
		return err_set(et, ERR_INVALID, "name the collection and the file");
	enum err e = number(cmd, "first", &first, et);
	e = e ? e : number(cmd, "batch", &batch, et);
	if (!e && (first < 0 || batch < 1 || batch > COLLECTION_BATCH_MAX))
		e = err_set(et, ERR_INVALID, "--first is 0 or more, --batch from 1 to %d",
			COLLECTION_BATCH_MAX);
	for (struct str v; columns.n_vectors < COLLECTION_SPACES_MAX &&
			   (v = cmd_opt_at(cmd, "vector-column", columns.n_vectors)).p;)
		vectors[columns.n_vectors++] = v;
	for (struct str v; columns.n_without < LEFT_OUT_MAX &&
			   (v = cmd_opt_at(cmd, "leave-out", columns.n_without)).p;)
		without[columns.n_without++] = v;
	e = e ? e : vector_file_open(cmd_arg(cmd, 1), &columns, &f, et);
	if (e)
		return e;
	struct progress *p = progress_begin(cmd, "importing", "items", vector_file_rows(f));
	e = import(cmd, f, (uint64_t)first, (size_t)batch, p, &sent, et);
	progress_end(p, NULL);
	vector_file_close(f);
	if (cmd_json(cmd))
		cmd_outf(cmd, "{\"items\":%llu}\n", (unsigned long long)sent);
	else if (!e || sent)
		cmd_outf(cmd, "%llu items are in %.*s\n", (unsigned long long)sent,
			STR_FMT(cmd_arg(cmd, 0)));
	return e;
}

/* ---- the index of words ---- */

/* --fusion and --weights as {method, vector, keyword}. */
static enum err fusion_body(struct cmd *cmd, struct jw *w, struct errtext *et)
{
	struct str method = cmd_opt(cmd, "fusion"), weights = cmd_opt(cmd, "weights"), vector;
	double v, k;
	if (!method.n && !weights.n)
		return OK;
	jw_key(w, "fusion");
	jw_obj(w);
	if (method.n)
		jw_kstr(w, "method", method);
	if (weights.n) {
		if (!str_next(&weights, ',', &vector) || !str_f64(vector, &v) ||
			!str_f64(weights, &k))
			return err_set(et, ERR_INVALID,
				"--weights are two numbers, of vectors and of words: 1,0.5");
		jw_kf64(w, "vector", v);
		jw_kf64(w, "keyword", k);
	}
	jw_end(w);
	return OK;
}

/* title=2,text */
static enum err fields_body(struct str fields, struct jw *w, struct errtext *et)
{
	struct str one, name;
	jw_key(w, "fields");
	jw_obj(w);
	while (str_next(&fields, ',', &one)) {
		double weight = 1;
		if (!str_next(&one, '=', &name) || !name.n || (one.n && !str_f64(one, &weight)))
			return err_set(et, ERR_INVALID,
				"--fields are fields of the payloads with weights: title=2,text");
		jw_key_str(w, name);
		jw_f64(w, weight);
	}
	jw_end(w);
	return OK;
}

static enum err keyword_body(struct cmd *cmd, struct buf *b, struct errtext *et)
{
	struct jw w = {.out = b};
	double k1;
	if (!cmd_opt(cmd, "fields").n)
		return err_set(et, ERR_INVALID,
			"say which --fields of the payloads are searched (title=2,text), or --off");
	if (cmd_opt(cmd, "k1").n && !str_f64(cmd_opt(cmd, "k1"), &k1))
		return err_set(et, ERR_INVALID, "--k1 must be a number");
	jw_obj(&w);
	enum err e = fields_body(cmd_opt(cmd, "fields"), &w, et);
	if (cmd_opt(cmd, "language").n)
		jw_kstr(&w, "language", cmd_opt(cmd, "language"));
	if (cmd_opt(cmd, "k1").n)
		jw_kf64(&w, "k1", k1);
	e = e ? e : fusion_body(cmd, &w, et);
	jw_end(&w);
	return e;
}

enum err run_collections_keyword(struct cmd *cmd, struct errtext *et)
{
	struct buf body = {0}, reply = {0};
	yyjson_doc *doc = NULL;
	bool off = cmd_flag(cmd, "off");
	enum err e = off ? OK : keyword_body(cmd, &body, et);
	e = e ? e
	      : wire_call(cmd, off ? HTTP_DELETE : HTTP_PUT, "/keyword", buf_str(&body), &reply,
			&doc, et);
	if (!e && cmd_json(cmd))
		cmd_outf(cmd, "%s\n", buf_c(&reply));
	else if (!e && off)
		cmd_outf(cmd, "%.*s is no longer searched by words\n", STR_FMT(cmd_arg(cmd, 0)));
	else if (!e)
		print_keyword(cmd, yyjson_doc_get_root(doc));
	yyjson_doc_free(doc);
	buf_free(&body);
	buf_free(&reply);
	return e;
}

/* ---- search ---- */

static enum err search_body(struct cmd *cmd, struct buf *b, struct errtext *et)
{
	struct jw w = {.out = b};
	struct str like = cmd_opt(cmd, "like"), vector = cmd_opt(cmd, "vector");
	int64_t k = 10;
	double worst;
	uint64_t id;
	enum err e = number(cmd, "number", &k, et);
	if (!e && cmd_opt(cmd, "worst").p && !str_f64(cmd_opt(cmd, "worst"), &worst))
		e = err_set(et, ERR_INVALID, "--worst must be a number");
	jw_obj(&w);
	jw_ki64(&w, "k", k);
	if (!e && cmd_opt(cmd, "worst").p)
		jw_kf64(&w, "worst", worst);
	if (cmd_opt(cmd, "space").n)
		jw_kstr(&w, "space", cmd_opt(cmd, "space"));
	if (cmd_opt(cmd, "as-of").n)
		jw_kstr(&w, "as_of", cmd_opt(cmd, "as-of"));
	if (cmd_opt(cmd, "filter").n) {
		jw_key(&w, "filter");
		jw_raw(&w, cmd_opt(cmd, "filter"));
	}
	if (cmd_opt(cmd, "formula").n) {
		jw_key(&w, "formula");
		jw_raw(&w, cmd_opt(cmd, "formula"));
	}
	if (like.n && str_u64(like, &id)) {
		jw_key(&w, "id");
		jw_u64(&w, id);
	} else if (like.n) {
		jw_kstr(&w, "id", like);
	}
	if (vector.n) {
		jw_key(&w, "vector");
		jw_raw(&w, vector);
	}
	if (cmd_opt(cmd, "mode").n)
		jw_kstr(&w, "mode", cmd_opt(cmd, "mode"));
	e = e ? e : fusion_body(cmd, &w, et);
	if (cmd_n_args(cmd) > 1) {
		struct buf text = {0};
		for (size_t i = 1; i < cmd_n_args(cmd); i++)
			buf_addf(&text, "%s%.*s", i > 1 ? " " : "", STR_FMT(cmd_arg(cmd, i)));
		jw_kstr(&w, "text", buf_str(&text));
		buf_free(&text);
	}
	jw_end(&w);
	return e;
}

static void print_source(struct cmd *cmd, const char *name, yyjson_val *sources)
{
	yyjson_val *s = yyjson_obj_get(sources, name);
	if (yyjson_is_obj(s))
		cmd_outf(cmd, "  %s #%lld %.4f", name, (long long)json_i64(s, "rank", 0),
			json_f64(s, "share", 0));
}

static void print_hit(struct cmd *cmd, size_t rank, yyjson_val *h)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	yyjson_val *payload = yyjson_obj_get(h, "payload"), *id = yyjson_obj_get(h, "id");
	struct str text = json_str(payload, "text");
	cmd_outf(cmd, "%s%zu.%s ", cmd_style(cmd, "bold"), rank, cmd_style(cmd, "reset"));
	jw_val(&w, id);
	cmd_outf(cmd, "%s  %sscore %.4f%s", buf_c(&b), cmd_style(cmd, "cyan"),
		json_f64(h, "score", 0), cmd_style(cmd, "reset"));
	print_source(cmd, "vector", yyjson_obj_get(h, "sources"));
	print_source(cmd, "keyword", yyjson_obj_get(h, "sources"));
	cmd_out(cmd, S("\n"));
	buf_clear(&b);
	if (!text.n)
		jw_val(&(struct jw){.out = &b}, payload);
	struct str shown = text.n ? text : buf_str(&b);
	size_t cut =
		shown.n <= SHOWN_MAX ? shown.n : utf8_complete_prefix(str_sub(shown, 0, SHOWN_MAX));
	cmd_outf(cmd, "   %.*s%s\n", (int)cut, shown.p, cut < shown.n ? " ..." : "");
	buf_free(&b);
}

enum err run_collections_search(struct cmd *cmd, struct errtext *et)
{
	struct buf body = {0}, reply = {0};
	yyjson_doc *doc = NULL;
	yyjson_val *h;
	size_t i, n;
	enum err e = search_body(cmd, &body, et);
	e = e ? e : wire_call(cmd, HTTP_POST, "/search", buf_str(&body), &reply, &doc, et);
	if (!e && cmd_json(cmd)) {
		cmd_outf(cmd, "%s\n", buf_c(&reply));
	} else if (!e) {
		yyjson_val *hits = yyjson_obj_get(yyjson_doc_get_root(doc), "hits");
		yyjson_arr_foreach(hits, i, n, h) print_hit(cmd, i + 1, h);
		if (!yyjson_arr_size(hits))
			cmd_note(cmd, "Nothing was found");
	}
	yyjson_doc_free(doc);
	buf_free(&body);
	buf_free(&reply);
	return e;
}
