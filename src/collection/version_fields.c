/* One item of three versions into one, field by field.
 *
 * Fields are named by JSON pointers (RFC 6901) into the item as it is written: "/vector" or
 * "/vector/NAME", "/text", "/payload/KEY", and deeper where both sides have changed members of the
 * same object. What one side has changed is taken from it, what both have changed in the same way
 * is that; the rest are conflicts, each decided by itself.
 *
 * A text, the vectors that a model made of it, and the member of the payload that says it are one
 * thing: who has changed a text has changed them. Where both have, "/text" decides for all. */
#include "collection/version_fields.h"

enum { DEPTH_MAX = 32, VALUE_MAX = 400 };

struct merging {
	const struct vfields *in;
	struct arena *a;
	struct errtext *et;
	yyjson_doc *doc[3];
	struct vtext { /* of a side */
		struct str digest, text;
	} texts[3];
	enum vtake text; /* which one it is; TAKE_NONE: they are the same, or it is not decided */
	bool both_texts; /* both sides have changed it */
	struct buf path, payload;
	bool conflict;
};

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory to merge an item");
}

/* ---- names ---- */

static void add_step(struct buf *path, struct str key)
{
	buf_putc(path, '/');
	for (size_t i = 0; i < key.n; i++)
		if (key.p[i] == '~' || key.p[i] == '/')
			buf_addc(path, key.p[i] == '~' ? "~0" : "~1");
		else
			buf_putc(path, key.p[i]);
}

/* The longest that says it: of the field, or of what it is in. */
enum vtake vresolve_field(const struct vresolve *r, enum vtake prefer, struct str field)
{
	size_t best = 0;
	enum vtake take = r && r->take != TAKE_NONE ? r->take : prefer;
	for (size_t i = 0; r && i < r->n_fields; i++) {
		struct str f = r->fields[i].field;
		if (f.n >= best && str_starts(field, f) &&
			(f.n == field.n || field.p[f.n] == '/')) {
			best = f.n;
			take = r->fields[i].take;
		}
	}
	return take;
}

/* ---- deciding ---- */

static enum vchange did(bool before, bool after)
{
	return !before ? VCHANGE_ADDED : !after ? VCHANGE_REMOVED : VCHANGE_PAYLOAD;
}

static struct str shown(yyjson_val *v, struct arena *a)
{
	struct buf b = {0};
	if (!v)
		return S("");
	jw_val(&(struct jw){.out = &b}, v);
	struct str out = b.n <= VALUE_MAX ? arena_str(a, buf_str(&b)) : S("");
	buf_free(&b);
	return out.p ? out : S("");
}

struct three { /* the values of a field; NULL: it is not there */
	yyjson_val *base, *ours, *theirs;
};

/* Whose it is: TAKE_NONE when that is a conflict nobody has decided, which is told. */
static enum err decide(struct merging *m, struct str field, const bool there[3],
	const struct three *values, enum vtake *out)
{
	*out = vresolve_field(m->in->resolve, m->in->prefer, field);
	if (*out != TAKE_NONE) {
		m->in->resolved(m->in->ctx);
		return OK;
	}
	struct vconflict c = {.ours = did(there[0], there[1]),
		.theirs = did(there[0], there[2]),
		.field = arena_str(m->a, field)};
	m->conflict = true;
	if (!c.field.p)
		return no_memory(m->et);
	if (values) {
		c.values[0] = shown(values->base, m->a);
		c.values[1] = shown(values->ours, m->a);
		c.values[2] = shown(values->theirs, m->a);
	}
	return m->in->conflict(m->in->ctx, &c, m->et);
}

/* ---- text ---- */

static struct str text_of(const struct vrecord *r, struct arena *a)
{
	if (!r || !r->text.n)
		return S("");
	return r->kept.n ? r->kept : text_said(r->payload, r->text, a);
}

static enum err merge_text(struct merging *m)
{
	const struct vrecord *const *r = m->in->record;
	for (size_t i = 0; i < 3; i++) {
		m->texts[i] = (struct vtext){r[i] ? r[i]->text : S(""), text_of(r[i], m->a)};
		if (!m->texts[i].text.p)
			return no_memory(m->et);
	}
	struct str base = m->texts[0].digest, ours = m->texts[1].digest,
		   theirs = m->texts[2].digest;
	if (str_eq(ours, theirs))
		return OK;
	if (str_eq(base, theirs) || str_eq(base, ours)) {
		m->text = str_eq(base, ours) ? TAKE_THEIRS : TAKE_OURS;
		return OK;
	}
	m->both_texts = true;
	bool there[3] = {base.n > 0, ours.n > 0, theirs.n > 0};
	return decide(m, S("/text"), there, NULL, &m->text);
}

/* The member says the text on both sides, and both have changed it: it goes with the text. */
static bool says_text(const struct merging *m, const struct three *v)
{
	return m->both_texts && yyjson_is_str(v->ours) && yyjson_is_str(v->theirs) &&
	       m->texts[1].text.n && m->texts[2].text.n &&
	       str_eq(json_val_str(v->ours), m->texts[1].text) &&
	       str_eq(json_val_str(v->theirs), m->texts[2].text);
}

/* ---- payload ---- */

static bool same_value(yyjson_val *x, yyjson_val *y)
{
	return !x || !y ? x == y : yyjson_equals(x, y);
}

static yyjson_val *member(yyjson_val *o, yyjson_val *key)
{
	return yyjson_is_obj(o) ? yyjson_obj_getn(o, yyjson_get_str(key), yyjson_get_len(key))
				: NULL;
}

static enum err merge_object(struct merging *m, struct jw *w, const struct three *v, int depth);

static void put_value(struct jw *w, struct str key, yyjson_val *v)
{
	if (!v)
		return;
	jw_key_str(w, key);
	jw_val(w, v);
}

static enum err merge_member(
	struct merging *m, struct jw *w, struct str key, const struct three *v, int depth)
{
	enum vtake take = TAKE_OURS;
	enum err e = OK;
	if (same_value(v->ours, v->theirs) || same_value(v->base, v->theirs)) {
		put_value(w, key, v->ours);
		return OK;
	}
	if (same_value(v->base, v->ours)) {
		put_value(w, key, v->theirs);
		return OK;
	}
	size_t before = m->path.n;
	add_step(&m->path, key);
	bool objects = yyjson_is_obj(v->ours) && yyjson_is_obj(v->theirs) &&
		       (!v->base || yyjson_is_obj(v->base)) && depth < DEPTH_MAX;
	if (m->path.err) {
		e = no_memory(m->et);
	} else if (objects) {
		jw_key_str(w, key);
		e = merge_object(m, w, v, depth + 1);
	} else {
		bool there[3] = {v->base != NULL, v->ours != NULL, v->theirs != NULL};
		if (says_text(m, v))
			take = m->text;
		else
			e = decide(m, buf_str(&m->path), there, v, &take);
		put_value(w, key, take == TAKE_THEIRS ? v->theirs : v->ours);
	}
	m->path.n = before;
	return e;
}

/* Ours in their order, then what only the others have. */
static enum err merge_object(struct merging *m, struct jw *w, const struct three *v, int depth)
{
	yyjson_val *key, *value;
	size_t i, n;
	enum err e = OK;
	jw_obj(w);
	yyjson_obj_foreach(v->ours, i, n, key, value)
	{
		struct three x = {member(v->base, key), value, member(v->theirs, key)};
		if (!e && member(v->ours, key) == value) /* the first of that name */
			e = merge_member(m, w, json_val_str(key), &x, depth);
	}
	yyjson_obj_foreach(v->theirs, i, n, key, value)
	{
		struct three x = {member(v->base, key), NULL, value};
		if (!e && member(v->theirs, key) == value && !member(v->ours, key))
			e = merge_member(m, w, json_val_str(key), &x, depth);
	}
	jw_end(w);
	return e;
}

/* What is a side's but for the order of its members becomes that side's, as it is written. */
static enum err as_written(struct merging *m)
{
	yyjson_doc *doc;
	enum err e = json_parse(buf_str(&m->payload), &doc, m->et);
	for (size_t i = 2; i >= 1 && !e; i--)
		if (yyjson_equals(yyjson_doc_get_root(doc), yyjson_doc_get_root(m->doc[i]))) {
			buf_clear(&m->payload);
			buf_adds(&m->payload, m->in->record[i]->payload);
		}
	if (!e)
		yyjson_doc_free(doc);
	return e ? e : m->payload.err ? no_memory(m->et) : OK;
}

static enum err merge_payload(struct merging *m)
{
	struct jw w = {.out = &m->payload};
	yyjson_val *root[3] = {NULL};
	enum err e = OK;
	for (size_t i = 0; i < 3 && !e; i++) {
		const struct vrecord *r = m->in->record[i];
		e = r ? json_parse(r->payload.n ? r->payload : S("{}"), &m->doc[i], m->et) : OK;
		root[i] = yyjson_doc_get_root(m->doc[i]);
		if (!e && r && !yyjson_is_obj(root[i]))
			e = err_set(m->et, ERR_CORRUPT, "the payload of an item is no object");
	}
	const struct vrecord *const *r = m->in->record;
	if (!e && str_eq(r[1]->payload, r[2]->payload)) {
		buf_adds(&m->payload, r[1]->payload);
		return m->payload.err ? no_memory(m->et) : OK;
	}
	buf_clear(&m->path);
	add_step(&m->path, S("payload"));
	e = e ? e : merge_object(m, &w, &(struct three){root[0], root[1], root[2]}, 0);
	return e ? e : m->payload.err ? no_memory(m->et) : as_written(m);
}

/* ---- vectors ---- */

static const struct item_vector *at_place(const struct item_vector *v, size_t n, size_t place)
{
	for (size_t i = 0; i < n; i++)
		if (v[i].place == place)
			return &v[i];
	return NULL;
}

static bool same_vector(const struct item_vector *x, const struct item_vector *y)
{
	if (!x || !y)
		return x == y;
	size_t n = x->dim * MAX(x->rows, (size_t)1);
	return x->dim == y->dim && x->rows == y->rows && !x->at == !y->at &&
	       !memcmp(x->v, y->v, n * sizeof *x->v) &&
	       (!x->at || !memcmp(x->at, y->at, x->dim * sizeof *x->at));
}

/* What stood in the base's place is this space's, if it is the same one. */
static bool was_there(const struct version *base, const struct space *s)
{
	const struct space *b = s->place < base->n_spaces ? &base->spaces[s->place] : NULL;
	return b && str_eq(b->name, s->name) && b->kind == s->kind && b->dim == s->dim &&
	       str_eq(b->identity, s->identity);
}

static enum err vector_field(const struct merging *m, const struct space *s, struct buf *out)
{
	size_t named = 0;
	for (size_t i = 0; i < m->in->of[1]->n_spaces; i++)
		named += m->in->of[1]->spaces[i].role == SPACE_NAMED;
	add_step(out, S("vector"));
	if (named > 1 || s->name.n)
		add_step(out, s->name);
	return out->err ? no_memory(m->et) : OK;
}

static enum err merge_vector(struct merging *m, const struct space *s,
	const struct item_vector *const v[3], const struct item_vector **out)
{
	struct buf field = {0};
	enum vtake take = TAKE_OURS;
	enum err e = OK;
	if (same_vector(v[1], v[2]) || same_vector(v[0], v[2])) {
		take = TAKE_OURS;
	} else if (same_vector(v[0], v[1])) {
		take = TAKE_THEIRS;
	} else if (s->model.n && m->both_texts) {
		take = m->text;
	} else {
		bool there[3] = {v[0] != NULL, v[1] != NULL, v[2] != NULL};
		e = vector_field(m, s, &field);
		e = e ? e : decide(m, buf_str(&field), there, NULL, &take);
	}
	buf_free(&field);
	*out = v[take == TAKE_THEIRS ? 2 : 1];
	return e;
}

static enum err merge_vectors(struct merging *m, struct buf *out)
{
	const struct version *ours = m->in->of[1];
	struct item_vector *list[3] = {NULL}, *all;
	size_t n[3] = {0}, kept = 0;
	enum err e = OK;
	for (size_t i = 0; i < 3 && !e; i++)
		if (m->in->record[i])
			e = item_decode(m->in->record[i]->vectors, m->in->of[i]->spaces,
				m->in->of[i]->n_spaces, m->a, &list[i], &n[i], m->et);
	all = arena_array_of(m->a, ours->n_spaces + 1, struct item_vector);
	if (!e && !all)
		e = no_memory(m->et);
	for (size_t s = 0; s < ours->n_spaces && !e; s++) {
		const struct space *x = &ours->spaces[s];
		const struct item_vector *took = NULL;
		bool known = m->in->record[0] && was_there(m->in->of[0], x);
		const struct item_vector *v[3] = {known ? at_place(list[0], n[0], s) : NULL,
			at_place(list[1], n[1], s), at_place(list[2], n[2], s)};
		if (x->role != SPACE_NAMED)
			continue;
		e = merge_vector(m, x, v, &took);
		if (!e && took)
			all[kept++] = *took;
	}
	if (!e)
		item_code(all, kept, out);
	return e || !out->err ? e : no_memory(m->et);
}

/* ---- the whole ---- */

/* The text goes beside the payload when that does not say it any more. */
static enum err settle_text(struct merging *m, struct vrecord *out)
{
	size_t side = m->text == TAKE_THEIRS ? 2 : 1;
	out->text = arena_str(m->a, m->texts[side].digest);
	out->kept = S("");
	if (out->text.n && !text_said(out->payload, out->text, m->a).n)
		out->kept = arena_str(m->a, m->texts[side].text);
	return out->text.p && out->kept.p ? OK : no_memory(m->et);
}

enum err vfields_merge(const struct vfields *in, struct arena *a, struct vrecord *out,
	bool *conflict, struct errtext *et)
{
	struct merging m = {.in = in, .a = a, .et = et};
	struct buf vectors = {0};
	struct vrecord r = {.text = S("")};
	enum err e = merge_text(&m);
	e = e ? e : merge_vectors(&m, &vectors);
	e = e ? e : merge_payload(&m);
	if (!e && m.payload.n > COLLECTION_PAYLOAD_MAX)
		e = err_set(et, ERR_TOO_LARGE,
			"the payloads of both sides together are larger than %d bytes",
			COLLECTION_PAYLOAD_MAX);
	r.payload = e ? S("") : arena_str(a, buf_str(&m.payload));
	r.vectors = e ? S("") : arena_str(a, buf_str(&vectors));
	if (!e && (!r.payload.p || !r.vectors.p))
		e = no_memory(et);
	e = e ? e : settle_text(&m, &r);
	for (size_t i = 0; i < 3; i++)
		yyjson_doc_free(m.doc[i]);
	buf_free(&m.path);
	buf_free(&m.payload);
	buf_free(&vectors);
	if (!e) {
		*out = r;
		*conflict = m.conflict;
	}
	return e;
}
