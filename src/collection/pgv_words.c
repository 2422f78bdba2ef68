/* Keyword indexes in pgvector, kept up with the items. */
#include "collection/pgv_words.h"
#include "base/clock.h"
#include "base/log.h"
#include "vector/bm25_score.h"

#include <stdio.h>
#include <stdlib.h>

enum { FILL_ITEMS = 1000 }; /* of one transaction */

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for a keyword index in pgvector");
}

/* ---- generations ---- */

static void base_of(struct post_base *b, int64_t number, int64_t generation)
{
	snprintf(b->name, sizeof b->name, "derived_pgv_%lld_w%lld", (long long)number,
		(long long)generation);
}

enum err words_state(struct tx *tx, int64_t number, struct str config, struct words_state *out,
	struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et,
		"SELECT generation, mark, filled, to_regclass('derived_pgv_' || CAST(collection AS "
		"TEXT) || '_w' || CAST(generation AS TEXT) || '_f') IS NOT NULL FROM "
		"collection_pgv_words WHERE collection = ? AND config = ? ORDER BY generation DESC "
		"LIMIT 1",
		P_I64(number), P_TEXT(config));
	if (e)
		return e;
	bool found = row_next(r, &e, et);
	if (found) {
		*out = (struct words_state){.generation = row_i64(r, 0),
			.mark = row_i64(r, 1),
			.filled = row_i64(r, 2),
			.table = row_i64(r, 3) != 0};
		base_of(&out->base, number, out->generation);
	}
	row_free(r);
	return e || found ? e : ERR_NOT_FOUND;
}

static enum err put_state(
	struct tx *tx, int64_t number, const struct words_state *s, struct errtext *et)
{
	return db_exec(tx, et,
		"UPDATE collection_pgv_words SET mark = ?, filled = ? WHERE collection = ? AND "
		"generation = ?",
		P_I64(s->mark), P_I64(s->filled), P_I64(number), P_I64(s->generation));
}

static enum err drop_state(struct tx *tx, int64_t number, int64_t generation, struct errtext *et)
{
	return db_exec(tx, et,
		"DELETE FROM collection_pgv_words WHERE collection = ? AND generation = ?",
		P_I64(number), P_I64(generation));
}

static enum err begin_generation(struct tx *tx, const struct collection_row *row, struct str config,
	struct words_state *out, struct errtext *et)
{
	*out = (struct words_state){
		.generation = clock_unix_ms(), .mark = row->seq, .filled = 0, .table = true};
	base_of(&out->base, row->number, out->generation);
	enum err e = db_exec(tx, et,
		"INSERT INTO collection_pgv_words (collection, generation, config, mark, filled) "
		"VALUES (?, ?, ?, ?, ?)",
		P_I64(row->number), P_I64(out->generation), P_TEXT(config), P_I64(out->mark),
		P_I64(0));
	return e ? e : post_make(tx, &out->base, et);
}

/* ---- the words of an item ---- */

struct place {
	struct str term;
	uint32_t field, at;
};

static int by_term(const void *a, const void *b)
{
	const struct place *x = a, *y = b;
	int by_name = str_cmp(x->term, y->term);
	if (by_name)
		return by_name;
	if (x->field != y->field)
		return x->field < y->field ? -1 : 1;
	return (x->at > y->at) - (x->at < y->at);
}

/* The share of a term in an item as short as can be: none is greater. */
static float share_at_most(const struct keyword_settings *s, const uint32_t *tf)
{
	static const uint32_t none[BM25_FIELDS_MAX];
	static const float any[BM25_FIELDS_MAX] = {1, 1, 1, 1, 1, 1, 1, 1};
	struct bm25_field weigh[BM25_FIELDS_MAX];
	for (size_t f = 0; f < s->n_fields; f++) {
		weigh[f] = s->fields[f].weigh;
		if (weigh[f].b >= 1)
			return 1;
	}
	float share = bm25_share_of(
		s->k1, weigh, s->n_fields == 1 ? 0 : s->n_fields, any, tf, 1, none, 1);
	return share * 1.0001f;
}

/* tf of each field, then the places. */
static void write_post(struct buf *out, const struct keyword_settings *s, const struct place *p,
	size_t n, struct post_entry *e)
{
	uint32_t tf[BM25_FIELDS_MAX] = {0};
	for (size_t i = 0; i < n; i++)
		tf[p[i].field]++;
	for (size_t f = 0; f < s->n_fields; f++)
		post_varint(out, tf[f]);
	for (size_t i = 0; i < n; i++)
		post_varint(
			out, i && p[i].field == p[i - 1].field ? p[i].at - p[i - 1].at : p[i].at);
	*e = (struct post_entry){.key = p->term, .count = 1, .hi = share_at_most(s, tf)};
}

struct entries {
	struct post_entry *list;
	size_t n;
	struct buf posts;
};

/* Posts are made in one buffer: their places are set when it does not grow any more. */
static enum err make_entries(const struct keyword_index *x, const struct bm25_text *texts,
	struct arena *a, struct entries *out, struct errtext *et)
{
	static const char fields[2 * BM25_FIELDS_MAX] = {
		0, 0, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7};
	size_t n_fields = x->settings.n_fields, n = 0, total = 0, i = 0;
	for (size_t f = 0; f < n_fields; f++)
		total += texts[f].n;
	struct place *places = arena_array_of(a, total + 1, struct place);
	size_t *ends = arena_array_of(a, total + 2, size_t);
	out->list = arena_array_of(a, total + 1 + n_fields, struct post_entry);
	if (!places || !ends || !out->list)
		return no_memory(et);
	for (size_t f = 0; f < n_fields; f++)
		for (size_t j = 0; j < texts[f].n; j++)
			places[n++] = (struct place){texts[f].terms[j], (uint32_t)f,
				texts[f].at ? texts[f].at[j] : (uint32_t)j};
	if (n)
		qsort(places, n, sizeof *places, by_term);
	for (size_t f = 0; f < n_fields; f++)
		post_varint(&out->posts, (uint32_t)texts[f].n);
	out->list[out->n++] = (struct post_entry){.key = S(""), .count = 1};
	ends[0] = out->posts.n;
	while (i < n) {
		size_t end = i + 1;
		while (end < n && str_eq(places[end].term, places[i].term))
			end++;
		write_post(&out->posts, &x->settings, places + i, end - i, &out->list[out->n]);
		ends[out->n++] = out->posts.n;
		i = end;
	}
	for (size_t j = 0, from = 0; j < out->n && !out->posts.err; from = ends[j++])
		out->list[j].post = str_mk(out->posts.p + from, ends[j] - from);
	for (size_t f = 0; f < n_fields; f++)
		if (texts[f].n)
			out->list[out->n++] = (struct post_entry){
				.key = str_mk(fields + 2 * f, 2), .count = (uint32_t)texts[f].n};
	return out->posts.err ? no_memory(et) : OK;
}

static enum err put_item(const struct keyword_index *x, struct post_batch *batch, uint64_t num,
	struct str payload, struct errtext *et)
{
	struct bm25_text texts[BM25_FIELDS_MAX];
	struct entries entries = {0};
	struct arena *a = arena_new(0);
	enum err e = a ? keyword_texts(x, payload, a, texts, et) : no_memory(et);
	e = e ? e : make_entries(x, texts, a, &entries, et);
	e = e ? e : post_put(batch, num, entries.list, entries.n, et);
	buf_free(&entries.posts);
	arena_free(a);
	return e;
}

/* ---- following ---- */

struct following {
	struct tx *tx;
	const struct keyword_index *x;
	struct post_batch *batch;
	const struct cancel *cancel;
	int64_t last;
	size_t n;
};

static enum err take_item(void *ctx, const struct item_row *r, struct errtext *et)
{
	struct following *f = ctx;
	if (cancelled(f->cancel))
		return err_set(et, ERR_CANCELLED, "building a keyword index was cancelled");
	f->last = r->num;
	f->n++;
	enum err e = put_item(f->x, f->batch, (uint64_t)r->num, r->payload, et);
	return e || !post_full(f->batch) ? e : post_flush(f->batch, f->tx, et);
}

static enum err take_grave(void *ctx, int64_t num, struct errtext *et)
{
	struct following *f = ctx;
	return post_put(f->batch, (uint64_t)num, NULL, 0, et);
}

static enum err begin(struct following *f, struct str config, const struct post_base *b,
	struct keyword_index **x, struct errtext *et)
{
	enum err e = keyword_settled(config, x, et);
	f->x = e ? NULL : *x;
	return e ? e : post_batch_new(b, &f->batch, et);
}

static void end(struct following *f, struct keyword_index *x)
{
	post_batch_free(f->batch);
	keyword_put_back(x);
}

/* What came after the mark. */
static enum err follow(struct tx *tx, const struct collection_row *row, struct str config,
	struct words_state *s, struct errtext *et)
{
	struct following f = {.tx = tx};
	struct keyword_index *x = NULL;
	enum err e = begin(&f, config, &s->base, &x, et);
	if (!e && s->mark < row->graves_seq)
		e = post_lost(tx, &s->base, row->number, et);
	e = e ? e : store_graves_since(tx, row->number, s->mark, take_grave, &f, et);
	e = e ? e : store_items_since(tx, row->number, s->mark, take_item, &f, et);
	e = e ? e : post_flush(f.batch, tx, et);
	end(&f, x);
	s->mark = row->seq;
	return e ? e : put_state(tx, row->number, s, et);
}

enum err words_follow(struct tx *tx, const struct collection_row *row, struct errtext *et)
{
	struct words_state s;
	struct str config;
	struct arena *a = arena_new(0);
	enum err e = a ? store_keyword(tx, row->number, a, &config, et) : no_memory(et);
	bool wanted = !e && config.n > 0;
	e = e || !wanted ? e : words_state(tx, row->number, config, &s, et);
	if (wanted && !e && s.table && s.filled == PGV_FILLED && s.mark != row->seq)
		e = follow(tx, row, config, &s, et);
	arena_free(a);
	return e == ERR_NOT_FOUND ? OK : e; /* who fills it comes to this change at the end */
}

enum err words_settle(
	struct tx *tx, const struct collection_row *row, struct str config, struct errtext *et)
{
	struct words_state s;
	struct arena *a = arena_new(0);
	enum err e = a ? OK : no_memory(et);
	if (!e && !config.n)
		e = store_keyword(tx, row->number, a, &config, et);
	if (!e && config.n) {
		e = words_state(tx, row->number, config, &s, et);
		if (e == ERR_NOT_FOUND || (!e && !s.table))
			e = err_set(et, ERR_CONFLICT,
				"the settings of the keyword index were changed meanwhile: try "
				"again");
		s.filled = PGV_FILLED;
		e = e ? e : follow(tx, row, config, &s, et);
	}
	arena_free(a);
	return e;
}

enum err words_complete(struct tx *tx, int64_t number, int64_t seq, bool *yes, struct errtext *et)
{
	struct words_state s;
	struct str config;
	struct arena *a = arena_new(0);
	enum err e = a ? store_keyword(tx, number, a, &config, et) : no_memory(et);
	bool wanted = !e && config.n > 0;
	*yes = !e && !wanted;
	e = e || !wanted ? e : words_state(tx, number, config, &s, et);
	if (wanted && !e)
		*yes = s.table && s.filled == PGV_FILLED && s.mark == seq;
	arena_free(a);
	return e == ERR_NOT_FOUND ? OK : e;
}

/* ---- filling ---- */

struct filling {
	struct croft *c;
	const struct collection_row *row;
	struct str config;
	struct following f;
	struct words_state s;
	struct arena *a;
};

/* Goes on where somebody stopped, or begins. */
static enum err begin_in(struct filling *x, struct errtext *et)
{
	struct tx *tx = x->f.tx;
	struct collection_row now;
	enum err e = store_collection_by_number(tx, x->row->number, x->a, &now, et);
	e = e ? e : words_state(tx, x->row->number, x->config, &x->s, et);
	bool of_use = !e && x->s.table && x->s.mark >= now.graves_seq;
	if (of_use || (e && e != ERR_NOT_FOUND))
		return e;
	if (!e)
		e = drop_state(tx, x->row->number, x->s.generation, et);
	e = e == ERR_NOT_FOUND ? OK : e;
	return e ? e : begin_generation(tx, &now, x->config, &x->s, et);
}

static enum err fill_part(struct filling *x, struct errtext *et)
{
	struct following *f = &x->f;
	struct words_state s;
	f->n = 0;
	enum err e = words_state(f->tx, x->row->number, x->config, &s, et);
	if (e == ERR_NOT_FOUND || (!e && s.generation != x->s.generation))
		return err_set(et, ERR_CONFLICT, "the collection was changed meanwhile: try again");
	if (e || s.filled == PGV_FILLED)
		return e;
	e = store_items_part(f->tx, x->row->number, s.filled, FILL_ITEMS,
		(struct item_want){.payload = true}, take_item, f, et);
	e = e ? e : post_flush(f->batch, f->tx, et);
	if (!e && f->n) {
		s.filled = f->last;
		e = put_state(f->tx, x->row->number, &s, et);
	}
	return e;
}

static enum err fill(struct filling *x, struct errtext *et)
{
	struct keyword_index *index = NULL;
	struct following *f = &x->f;
	enum err e = db_begin(croft_db(x->c), TX_WRITE, &f->tx, et);
	e = e ? e : db_finish(f->tx, begin_in(x, et), et);
	e = e ? e : begin(f, x->config, &x->s.base, &index, et);
	do {
		e = e ? e : db_begin(croft_db(x->c), TX_WRITE, &f->tx, et);
		e = e ? e : db_finish(f->tx, fill_part(x, et), et);
	} while (!e && f->n);
	end(f, index);
	return e;
}

enum err words_fill(struct croft *c, const struct collection_row *row, struct str config,
	const struct cancel *cancel, struct errtext *et)
{
	struct filling x = {
		.c = c, .row = row, .config = config, .f.cancel = cancel, .a = arena_new(0)};
	enum err e = x.a ? fill(&x, et) : no_memory(et);
	arena_free(x.a);
	return e;
}

/* ---- forgetting ---- */

struct tidying {
	int64_t number, generation;
	bool any;
};

/* The first that is not of the settings in use. */
static enum err find_old(struct tx *tx, struct tidying *t, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et,
		"SELECT w.generation FROM collection_pgv_words w WHERE w.collection = ? AND NOT "
		"EXISTS (SELECT 1 FROM collection_keyword k WHERE k.collection = w.collection AND "
		"k.config = w.config) LIMIT 1",
		P_I64(t->number));
	if (e)
		return e;
	t->any = row_next(r, &e, et);
	t->generation = t->any ? row_i64(r, 0) : 0;
	row_free(r);
	return e;
}

static enum err forget_in(struct tx *tx, void *ctx, struct errtext *et)
{
	struct tidying *t = ctx;
	return drop_state(tx, t->number, t->generation, et);
}

enum err words_tidy(struct croft *c, int64_t number, struct errtext *et)
{
	struct tidying t = {.number = number, .any = true};
	enum err e = OK;
	while (!e && t.any) {
		struct tx *tx;
		struct post_base b;
		e = db_begin(croft_db(c), TX_READ, &tx, et);
		if (e)
			break;
		e = find_old(tx, &t, et);
		db_rollback(tx);
		if (e || !t.any)
			break;
		base_of(&b, number, t.generation);
		e = pgv_tables_drop(c, b.name, et);
		e = e ? e : db_write(croft_db(c), forget_in, &t, et);
	}
	return e;
}
