/* The stages of a search as settings, as JSON and in words; and the record of what they did. */
#include "rag/stages.h"

#include "base/clock.h"

enum { SHOWN = 50 /* candidates in a span */ };

/* ---- settings and JSON ---- */

static const char *const derive_words[] = {
	[DERIVE_AUTO] = "auto", [DERIVE_RULES] = "rules", [DERIVE_MODEL] = "model"};

/* What is none of them is auto. */
static enum rag_derive_by derive_word(struct str s)
{
	for (size_t i = ARRAY_LEN(derive_words); --i;)
		if (str_eq_c(s, derive_words[i]))
			return (enum rag_derive_by)i;
	return DERIVE_AUTO;
}

static void of_settings(struct croft *c, struct rag_stages *s)
{
	*s = (struct rag_stages){.rewrite = setting_bool(c, "rag.rewrite"),
		.decompose = setting_bool(c, "rag.decompose"),
		.hyde = setting_bool(c, "rag.hyde"),
		.model = setting_text(c, "rag.query_model"),
		.timeout_ms = setting_int(c, "rag.query_timeout"),
		.derive_filters = setting_bool(c, "rag.derive_filters"),
		.derive_by = derive_word(setting_text(c, "rag.derive_by")),
		.diversity = (float)setting_int(c, "rag.diversity") / 100,
		.half_life_days = (double)setting_int(c, "rag.half_life_days"),
		.recency_weight = (float)setting_int(c, "rag.recency_weight") / 100,
		.date_field = setting_text(c, "rag.date_field"),
		.parent = setting_bool(c, "rag.parent"),
		.neighbours = (uint32_t)setting_int(c, "rag.neighbours"),
		.context_tokens = (uint32_t)setting_int(c, "rag.context_tokens")};
}

/* false: none, whatever the settings say; true: as they say. */
static enum err parse_recency(yyjson_val *o, struct rag_stages *s, struct errtext *et)
{
	yyjson_val *v = yyjson_obj_get(o, "recency");
	double weight = (double)s->recency_weight;
	if (!v || yyjson_is_null(v) || yyjson_is_true(v))
		return OK;
	if (yyjson_is_false(v)) {
		s->half_life_days = 0;
		return OK;
	}
	if (!yyjson_is_obj(v))
		return err_set(et, ERR_INVALID,
			"'recency' must be true, false or an object with half_life_days, weight "
			"and "
			"field");
	enum err e = json_want_f64(v, "half_life_days", 0, 1e6, &s->half_life_days, et);
	e = e ? e : json_want_f64(v, "weight", 0, 1, &weight, et);
	e = e ? e : json_want_str(v, "field", &s->date_field, et);
	s->recency_weight = (float)weight;
	return e;
}

/* true: as the setting rag.derive_by has it. */
static enum err parse_derive(yyjson_val *o, struct rag_stages *s, struct errtext *et)
{
	yyjson_val *v = yyjson_obj_get(o, "derive_filters");
	if (!yyjson_is_str(v))
		return json_want_bool(o, "derive_filters", &s->derive_filters, et);
	s->derive_filters = true;
	s->derive_by = derive_word(json_val_str(v));
	if (s->derive_by == DERIVE_AUTO && !str_eq_c(json_val_str(v), "auto"))
		return err_set(et, ERR_INVALID,
			"'derive_filters' must be true, false, \"auto\", \"rules\" or \"model\"");
	return OK;
}

static enum err parse_context(yyjson_val *o, struct rag_stages *s, struct errtext *et)
{
	yyjson_val *v = yyjson_obj_get(o, "context");
	int64_t neighbours = s->neighbours, tokens = s->context_tokens;
	if (!v || yyjson_is_null(v) || yyjson_is_true(v))
		return OK;
	if (yyjson_is_false(v)) {
		s->parent = false;
		s->neighbours = 0;
		return OK;
	}
	if (!yyjson_is_obj(v))
		return err_set(et, ERR_INVALID,
			"'context' must be true, false or an object with parent, neighbours and "
			"tokens");
	enum err e = json_want_bool(v, "parent", &s->parent, et);
	e = e ? e : json_want_i64(v, "neighbours", 0, RAG_NEIGHBOURS_MAX, &neighbours, et);
	e = e ? e : json_want_i64(v, "tokens", 16, 1 << 16, &tokens, et);
	s->neighbours = (uint32_t)neighbours;
	s->context_tokens = (uint32_t)tokens;
	return e;
}

enum err stages_parse(struct croft *c, yyjson_val *o, struct rag_stages *s, struct errtext *et)
{
	of_settings(c, s);
	double diversity = (double)s->diversity;
	enum err e = json_want_bool(o, "rewrite", &s->rewrite, et);
	e = e ? e : json_want_bool(o, "decompose", &s->decompose, et);
	e = e ? e : json_want_bool(o, "hyde", &s->hyde, et);
	e = e ? e : json_want_str(o, "query_model", &s->model, et);
	e = e ? e : json_want_i64(o, "query_timeout_ms", 100, 600000, &s->timeout_ms, et);
	e = e ? e : parse_derive(o, s, et);
	e = e ? e : json_want_f64(o, "diversity", 0, 1, &diversity, et);
	s->diversity = (float)diversity;
	e = e ? e : parse_recency(o, s, et);
	return e ? e : parse_context(o, s, et);
}

bool rag_stages_ask(const struct rag_stages *s)
{
	return s->rewrite || s->decompose || s->hyde;
}

bool rag_stages_wanted(yyjson_val *o, const struct rag_stages *s)
{
	yyjson_val *derive = yyjson_obj_get(o, "derive_filters");
	bool named = json_str(o, "query_model").n > 0;
	if (rag_stages_derive_asks(s) && (named || yyjson_is_true(derive) || yyjson_is_str(derive)))
		return true;
	return rag_stages_ask(s) &&
	       (json_bool(o, "rewrite", false) || json_bool(o, "decompose", false) ||
		       json_bool(o, "hyde", false) || named);
}

bool rag_stages_derive_asks(const struct rag_stages *s)
{
	return s->derive_filters &&
	       (s->derive_by == DERIVE_MODEL || (s->derive_by == DERIVE_AUTO && s->model.n));
}

bool rag_stages_any(const struct rag_stages *s)
{
	return rag_stages_ask(s) || s->derive_filters || s->diversity > 0 ||
	       s->half_life_days > 0 || s->parent || s->neighbours;
}

void rag_stages_write(struct jw *w, const struct rag_stages *s)
{
	const bool flags[] = {s->rewrite, s->decompose, s->hyde};
	static const char *const names[] = {"rewrite", "decompose", "hyde"};
	for (size_t i = 0; i < ARRAY_LEN(flags); i++)
		if (flags[i])
			jw_kbool(w, names[i], true);
	if (s->derive_filters && s->derive_by == DERIVE_AUTO)
		jw_kbool(w, "derive_filters", true);
	else if (s->derive_filters)
		jw_kc(w, "derive_filters", derive_words[s->derive_by]);
	if ((rag_stages_ask(s) || rag_stages_derive_asks(s)) && s->model.n)
		jw_kstr(w, "query_model", s->model);
	if (s->diversity > 0) {
		jw_key(w, "diversity");
		jw_f32(w, s->diversity);
	}
	if (s->half_life_days > 0) {
		jw_key(w, "recency");
		jw_obj(w);
		jw_kf64(w, "half_life_days", s->half_life_days);
		jw_key(w, "weight");
		jw_f32(w, s->recency_weight);
		if (s->date_field.n)
			jw_kstr(w, "field", s->date_field);
		jw_end(w);
	}
	if (s->parent || s->neighbours) {
		jw_key(w, "context");
		jw_obj(w);
		jw_kbool(w, "parent", s->parent);
		jw_ki64(w, "neighbours", s->neighbours);
		jw_ki64(w, "tokens", s->context_tokens);
		jw_end(w);
	}
}

void rag_stages_label(const struct rag_stages *s, struct buf *out)
{
	if (s->rewrite)
		buf_addc(out, " +rewrite");
	if (s->decompose)
		buf_addc(out, " +decompose");
	if (s->hyde)
		buf_addc(out, " +hyde");
	if (s->derive_filters)
		buf_addf(out, " +filters%s",
			s->derive_by == DERIVE_MODEL   ? " by model"
			: s->derive_by == DERIVE_RULES ? " by rules"
						       : "");
	if (s->diversity > 0)
		buf_addf(out, " +mmr %g", (double)s->diversity);
	if (s->half_life_days > 0)
		buf_addf(out, " +half-life %g", s->half_life_days);
	if (s->parent)
		buf_addc(out, " +parent");
	if (s->neighbours)
		buf_addf(out, " +neighbours %u", s->neighbours);
}

/* ---- the record ---- */

void step_begin(struct step *x, const struct rag_query *q, struct rag_trail *t, const char *name,
	const char *kind)
{
	*x = (struct step){.trail = t, .start_ns = clock_mono_ns()};
	x->span = span_begin(q->run, q->span, name, kind);
	if (t->n < RAG_STEPS_MAX)
		x->s = &t->steps[t->n++];
	else
		x->s = &x->spare;
	*x->s = (struct rag_step){.name = name, .note = S("")};
}

void step_note(struct step *x, struct str note)
{
	if (!note.p)
		return;
	x->s->note = note;
	span_text(x->span, "note", note);
}

/* Where a candidate stands: of a hit, or of one that was not read yet, as the index knows it. Under
 * lock. */
static void place_members(struct jw *w, const struct rag *r, const struct rag_hit *h, int64_t chunk)
{
	const struct index_doc *d = h || !r ? NULL : index_doc_of(r, (uint64_t)chunk);
	if (h)
		jw_kstr(w, "path", h->path);
	else if (d)
		jw_kc(w, "path", d->path);
	if (h && h->page)
		jw_ki64(w, "page", h->page);
}

static void candidates_json(const struct rag *r, const struct rag_at *at,
	const struct rag_hit *hits, size_t n, struct buf *out)
{
	struct jw w = {.out = out};
	jw_arr(&w);
	for (size_t i = 0; i < MIN(n, (size_t)SHOWN); i++) {
		jw_obj(&w);
		jw_ki64(&w, "chunk", at[i].chunk);
		jw_key(&w, "score");
		jw_f32(&w, at[i].score);
		place_members(&w, r, hits ? &hits[i] : NULL, at[i].chunk);
		jw_end(&w);
	}
	jw_end(&w);
}

static void step_list(struct step *x, struct rag *r, const struct rag_at *at,
	const struct rag_hit *hits, size_t n)
{
	struct buf b = {0};
	x->s->at = at;
	x->s->n = at ? n : 0;
	if (!x->span || !at)
		return;
	if (r)
		pthread_rwlock_rdlock(&r->lock);
	candidates_json(r, at, hits, n, &b);
	if (r)
		pthread_rwlock_unlock(&r->lock);
	span_i64(x->span, "candidates", (int64_t)n);
	if (!b.err)
		span_json(x->span, "output", buf_str(&b));
	buf_free(&b);
}

void step_fused(struct step *x, struct rag *r, const struct fused *f, size_t n, struct arena *a)
{
	struct rag_at *at = arena_array_of(a, n + 1, struct rag_at);
	for (size_t i = 0; i < n && at; i++)
		at[i] = (struct rag_at){(int64_t)f[i].key, f[i].score};
	step_list(x, r, at, NULL, n);
}

void step_hits(struct step *x, const struct rag_hit *hits, size_t n, struct arena *a,
	float (*score)(const struct rag_hit *h))
{
	struct rag_at *at = arena_array_of(a, n + 1, struct rag_at);
	for (size_t i = 0; i < n && at; i++)
		at[i] = (struct rag_at){hits[i].chunk, score(&hits[i])};
	step_list(x, NULL, at, hits, n);
}

void step_end(struct step *x, enum err e, const struct errtext *et)
{
	x->s->ms = (double)((clock_mono_ns() - x->start_ns) / 1000) / 1000;
	span_end(x->span, e, et);
}

void trail_note(struct rag_trail *t, struct str note)
{
	if (t->n_notes < RAG_NOTES_MAX && note.p)
		t->notes[t->n_notes++] = note;
}

/* ---- in replies ---- */

void derived_members(struct jw *w, const struct rag_derived *d)
{
	char date[CLOCK_TEXT];
	if (d->type.n)
		jw_kstr(w, "type", d->type);
	if (d->tag.n)
		jw_kstr(w, "tag", d->tag);
	if (d->from_ms) {
		clock_rfc3339(d->from_ms, date);
		jw_kc(w, "from", date);
	}
	if (d->to_ms) {
		clock_rfc3339(d->to_ms, date);
		jw_kc(w, "to", date);
	}
	for (size_t i = 0; i < d->n_attributes; i++) {
		if (!i) {
			jw_key(w, "attributes");
			jw_obj(w);
		}
		jw_key_str(w, d->attributes[i].key);
		jw_str(w, d->attributes[i].value);
		if (i + 1 == d->n_attributes)
			jw_end(w);
	}
}

static void text_of(struct buf *out, bool *more, struct str key, struct str value, struct str words)
{
	if (!value.n)
		return;
	buf_addf(out, "%s %.*s %.*s", *more ? "," : ":", STR_FMT(key), STR_FMT(value));
	if (words.n)
		buf_addf(out, " (%.*s)", STR_FMT(words));
	*more = true;
}

void rag_derived_text(const struct rag_derived *d, struct buf *out)
{
	char date[CLOCK_TEXT];
	bool more = false;
	buf_addf(out, "by %s", d->by ? d->by : "rules");
	text_of(out, &more, S("type"), d->type, d->type_words);
	text_of(out, &more, S("tag"), d->tag, d->tag_words);
	for (size_t i = 0; i < d->n_attributes; i++)
		text_of(out, &more, d->attributes[i].key, d->attributes[i].value,
			d->attributes[i].words);
	clock_rfc3339(d->from_ms, date);
	text_of(out, &more, S("from"), d->from_ms ? str_mk(date, 10) : S(""), d->from_words);
	clock_rfc3339(d->to_ms, date);
	text_of(out, &more, S("to"), d->to_ms ? str_mk(date, 10) : S(""), d->to_words);
}

/* The words that asked for each. */
static void write_words(struct jw *w, const struct rag_derived *d)
{
	const struct {
		const char *key;
		struct str words;
	} all[] = {{"type", d->type_words}, {"tag", d->tag_words}, {"from", d->from_words},
		{"to", d->to_words}};
	jw_key(w, "words");
	jw_obj(w);
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (all[i].words.n)
			jw_kstr(w, all[i].key, all[i].words);
	for (size_t i = 0; i < d->n_attributes; i++) {
		jw_key_str(w, d->attributes[i].key);
		jw_str(w, d->attributes[i].words);
	}
	jw_end(w);
}

static void write_derived(struct jw *w, const struct rag_derived *d)
{
	jw_key(w, "derived_filters");
	if (!d->any) {
		jw_null(w);
		return;
	}
	jw_obj(w);
	derived_members(w, d);
	jw_kc(w, "by", d->by);
	write_words(w, d);
	jw_kbool(w, "dropped", d->dropped);
	jw_end(w);
}

void trail_members(struct jw *w, const struct rag_trail *t)
{
	jw_key(w, "searched");
	jw_arr(w);
	for (size_t i = 0; i < t->n_asked; i++) {
		jw_obj(w);
		jw_kc(w, "as", t->asked[i].as);
		jw_kstr(w, "text", t->asked[i].text);
		jw_end(w);
	}
	jw_end(w);
	jw_key(w, "hypothetical_passage");
	t->passage.n ? jw_str(w, t->passage) : jw_null(w);
	write_derived(w, &t->derived);
	jw_key(w, "notes");
	jw_arr(w);
	for (size_t i = 0; i < t->n_notes; i++)
		jw_str(w, t->notes[i]);
	jw_end(w);
	jw_key(w, "stages");
	jw_arr(w);
	for (size_t i = 0; i < t->n; i++) {
		const struct rag_step *s = &t->steps[i];
		jw_obj(w);
		jw_kc(w, "stage", s->name);
		jw_kf64(w, "took_ms", s->ms);
		jw_ki64(w, "passages", (int64_t)s->n);
		jw_key(w, "note");
		s->note.n ? jw_str(w, s->note) : jw_null(w);
		jw_end(w);
	}
	jw_end(w);
}
