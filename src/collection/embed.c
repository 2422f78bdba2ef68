/* Texts to vectors. A vector is kept under what was embedded and what did it (the identity of the
 * model), as long as any item has that text: the same text is never embedded twice, in whatever
 * collection, and nothing of a text is left when its last item has gone. */
#include "collection/migrate_int.h"
#include "base/hash.h"
#include "endpoint/endpoint.h"
#include "endpoint/remote.h"

enum { EMBED_AT_ONCE = 64 };

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for embeddings");
}

/* ---- the model of a space ---- */

/* What its vectors can be compared with. */
static enum err identity_of(
	const struct endpoint *ep, struct arena *a, struct str *out, struct errtext *et)
{
	struct model *m = endpoint_model(ep);
	const char *identity = m ? model_identity(m) : NULL;
	if (m && !identity)
		return err_set(et, ERR_UNSUPPORTED, "%.*s is no embedding model",
			STR_FMT(endpoint_name(ep)));
	*out = m ? arena_str(a, str_c(identity))
		 : arena_fmt(a, "provider:%.*s", STR_FMT(endpoint_name(ep)));
	return out->p ? OK : no_memory(et);
}

static enum err embed_at(struct croft *c, const struct endpoint *ep, enum embed_as as,
	const struct str *texts, size_t n, float *out, size_t dim, const struct cancel *cancel,
	struct errtext *et)
{
	struct model *m = endpoint_model(ep);
	struct remote_vectors v = {0};
	size_t truncated = 0;
	if (m)
		return embed_texts_as(m, as, texts, n, false, out, &truncated, NULL, cancel, et);
	enum err e = remote_embed(c, endpoint_remote(ep), NULL, texts, n, 0, cancel, &v, et);
	if (!e && (v.n != n || v.dim != dim))
		e = err_set(et, ERR_CONFLICT,
			"%.*s gave %zu vectors of %zu numbers for %zu texts; the space takes %zu",
			STR_FMT(endpoint_name(ep)), v.n, v.dim, n, dim);
	if (!e)
		memcpy(out, v.v, n * dim * sizeof *out);
	remote_vectors_free(&v);
	return e;
}

/* A provider's model says its dimension by embedding something. */
static enum err dim_of(
	struct croft *c, const struct endpoint *ep, uint32_t *dim, struct errtext *et)
{
	struct remote_vectors v = {0};
	struct str word = S("dimension");
	if (endpoint_model(ep)) {
		*dim = model_info(endpoint_model(ep))->embedding_dim;
		return OK;
	}
	enum err e = remote_embed(c, endpoint_remote(ep), NULL, &word, 1, 0, NULL, &v, et);
	if (!e)
		*dim = (uint32_t)v.dim;
	remote_vectors_free(&v);
	return e;
}

enum err space_settle(struct croft *c, struct space *s, struct arena *a, struct errtext *et)
{
	struct endpoint *ep = NULL;
	uint32_t dim = 0;
	enum err e = endpoint_embed(c, s->model, &ep, et);
	e = e ? e : identity_of(ep, a, &s->identity, et);
	e = e ? e : dim_of(c, ep, &dim, et);
	if (!e && s->dim && s->dim != dim)
		e = err_set(et, ERR_INVALID,
			"vectors \"%.*s\": a size of %u, but %.*s makes vectors of %u",
			STR_FMT(s->name), s->dim, STR_FMT(s->model), dim);
	s->dim = e ? s->dim : dim;
	endpoint_put(ep);
	return e;
}

static enum err make_vectors(struct croft *c, struct str of, const struct space *s,
	enum embed_as as, const struct str *texts, size_t n, float *out,
	const struct cancel *cancel, struct errtext *et)
{
	struct endpoint *ep = NULL;
	struct str identity;
	if (!s->model.n)
		return err_set(et, ERR_INVALID,
			"vectors \"%.*s\" of %.*s have no model: send a vector instead of a text, "
			"or make a collection with \"model\"",
			STR_FMT(s->name), STR_FMT(of));
	struct arena *a = arena_new(0);
	enum err e = a ? endpoint_embed(c, s->model, &ep, et) : no_memory(et);
	e = e ? e : identity_of(ep, a, &identity, et);
	if (!e && !str_eq(identity, s->identity))
		e = err_set(et, ERR_CONFLICT,
			"%.*s is not the model any more that the vectors of %.*s were made with: "
			"they cannot be compared",
			STR_FMT(s->model), STR_FMT(of));
	e = e ? e : embed_at(c, ep, as, texts, n, out, s->dim, cancel, et);
	endpoint_put(ep);
	arena_free(a);
	return e;
}

enum err space_embed(struct croft *c, struct str of, const struct space *s, const struct str *texts,
	size_t n, float *out, const struct cancel *cancel, struct errtext *et)
{
	return make_vectors(c, of, s, EMBED_QUERY, texts, n, out, cancel, et);
}

enum err collection_embed(struct collection *k, const struct space *s, const struct str *texts,
	size_t n, float *out, const struct cancel *cancel, struct errtext *et)
{
	return space_embed(k->c, k->name, s, texts, n, out, cancel, et);
}

/* ---- items with texts ---- */

/* The vectors of one space that have to be made or found. */
struct task {
	struct collection *k;
	const struct space *space;
	struct arena *a;
	struct str *texts; /* of the items that need one */
	struct str *sha256;
	float *out; /* a row for each */
	size_t *missing, n_missing, n;
};

static enum err look_up(struct task *t, struct errtext *et)
{
	struct tx *tx;
	enum err e = db_begin(croft_db(t->k->c), TX_READ, &tx, et);
	if (e)
		return e;
	for (size_t i = 0; i < t->n && !e; i++) {
		e = store_embedding(tx, t->space->identity, t->sha256[i],
			t->out + i * t->space->dim, t->space->dim, et);
		if (e == ERR_NOT_FOUND) {
			t->missing[t->n_missing++] = i;
			e = OK;
		}
	}
	db_rollback(tx);
	return e;
}

static enum err keep(struct tx *tx, void *ctx, struct errtext *et)
{
	struct task *t = ctx;
	enum err e = OK;
	for (size_t m = 0; m < t->n_missing && !e; m++) {
		size_t i = t->missing[m];
		e = store_embedding_put(tx, t->space->identity, t->sha256[i],
			t->out + i * t->space->dim, t->space->dim, et);
	}
	return e;
}

static enum err make_missing(struct task *t, const struct cancel *cancel, struct errtext *et)
{
	size_t dim = t->space->dim;
	float *made = arena_array_of(t->a, EMBED_AT_ONCE * dim, float);
	enum err e = made ? OK : no_memory(et);
	for (size_t from = 0; from < t->n_missing && !e; from += EMBED_AT_ONCE) {
		struct str texts[EMBED_AT_ONCE];
		size_t n = MIN(t->n_missing - from, (size_t)EMBED_AT_ONCE);
		for (size_t j = 0; j < n; j++)
			texts[j] = t->texts[t->missing[from + j]];
		e = make_vectors(
			t->k->c, t->k->name, t->space, EMBED_DOCUMENT, texts, n, made, cancel, et);
		for (size_t j = 0; j < n && !e; j++)
			memcpy(t->out + t->missing[from + j] * dim, made + j * dim,
				dim * sizeof *made);
	}
	return e || !t->n_missing ? e : db_write(croft_db(t->k->c), keep, t, et);
}

static enum err digest_of(struct str text, struct arena *a, struct str *out, struct errtext *et)
{
	uint8_t *digest = arena_alloc(a, SHA256_BYTES);
	if (!digest)
		return no_memory(et);
	sha256_of(text, digest);
	*out = str_mk(digest, SHA256_BYTES);
	return OK;
}

enum err embed_once(struct collection *k, const struct space *s, struct str *texts, size_t n,
	struct arena *a, float **out, size_t *made, const struct cancel *cancel, struct errtext *et)
{
	struct task t = {.k = k,
		.space = s,
		.a = a,
		.texts = texts,
		.sha256 = arena_array_of(a, n + 1, struct str),
		.missing = arena_array_of(a, n + 1, size_t),
		.out = arena_array_of(a, n * s->dim + 1, float),
		.n = n};
	enum err e = t.sha256 && t.missing && t.out ? OK : no_memory(et);
	for (size_t i = 0; i < n && !e; i++)
		e = digest_of(texts[i], a, &t.sha256[i], et);
	e = e ? e : look_up(&t, et);
	e = e ? e : make_missing(&t, cancel, et);
	if (!e) {
		*out = t.out;
		*made = t.n_missing;
	}
	return e;
}

static bool has_vector(const struct collection_item *it, uint8_t place)
{
	for (size_t i = 0; i < it->n_vectors; i++)
		if (it->vectors[i].place == place)
			return true;
	return false;
}

/* The text of an item in this space, and its digest. */
static enum err text_for(const struct space *s, const struct collection_item *it,
	struct str *sha256, struct arena *a, struct str *text, struct errtext *et)
{
	*text = it->text;
	if (it->text.n || !s->field.n)
		return OK;
	*text = text_in_field(it->payload, s->field, a);
	return text->p ? digest_of(*text, a, sha256, et) : no_memory(et);
}

static enum err embed_in_space(struct collection *k, const struct space *s,
	struct collection_item *items, size_t n, const struct str *sha256, struct arena *a,
	const struct cancel *cancel, struct errtext *et)
{
	enum err e = OK;
	size_t *who = arena_array_of(a, n + 1, size_t);
	struct task t = {.k = k,
		.space = s,
		.a = a,
		.texts = arena_array_of(a, n + 1, struct str),
		.sha256 = arena_array_of(a, n + 1, struct str),
		.missing = arena_array_of(a, n + 1, size_t)};
	if (!who || !t.texts || !t.sha256 || !t.missing)
		return no_memory(et);
	for (size_t i = 0; i < n && !e; i++) {
		if (has_vector(&items[i], s->place))
			continue;
		t.sha256[t.n] = sha256[i];
		e = text_for(s, &items[i], &t.sha256[t.n], a, &t.texts[t.n], et);
		who[t.n] = i;
		t.n += !e && t.texts[t.n].n;
	}
	if (e)
		return e;
	t.out = arena_array_of(a, t.n * s->dim + 1, float);
	e = t.out ? look_up(&t, et) : no_memory(et);
	e = e ? e : make_missing(&t, cancel, et);
	for (size_t j = 0; j < t.n && !e; j++) {
		struct collection_item *it = &items[who[j]];
		it->vectors[it->n_vectors++] =
			(struct item_vector){s->name, t.out + j * s->dim, s->dim, s->place};
	}
	return e;
}

/* Room for a vector of each space, those it has with their places, and the digest of its text. */
static enum err copy_item(const struct collection *k, const struct layout *l,
	const struct collection_item *from, struct arena *a, struct collection_item *to,
	struct str *sha256, struct errtext *et)
{
	*to = *from;
	*sha256 = S("");
	to->n_vectors = 0;
	to->vectors = arena_array_of(a, from->n_vectors + l->n + 1, struct item_vector);
	if (!to->vectors)
		return no_memory(et);
	for (size_t i = 0; i < from->n_vectors; i++) {
		const struct space *s = collection_space(k, from->vectors[i].space);
		if (!s || s->place >= l->n || l->spaces[s->place].since != s->since ||
			!space_lives(&l->spaces[s->place]))
			return err_set(et, ERR_CONFLICT,
				"the vectors \"%.*s\" were dropped a moment ago: try again",
				STR_FMT(str_sub(from->vectors[i].space, 0, 100)));
		to->vectors[to->n_vectors] = from->vectors[i];
		to->vectors[to->n_vectors++].place = s->place;
	}
	return from->text.n ? digest_of(from->text, a, sha256, et) : OK;
}

enum err embed_items(struct collection *k, const struct layout *l,
	const struct collection_item *items, size_t n, struct arena *a,
	struct collection_item **out, struct str **texts, const struct cancel *cancel,
	struct errtext *et)
{
	struct collection_item *whole = arena_array_of(a, n + 1, struct collection_item);
	struct str *sha256 = arena_array_of(a, n + 1, struct str);
	enum err e = whole && sha256 ? OK : no_memory(et);
	for (size_t i = 0; i < n && !e; i++)
		e = copy_item(k, l, &items[i], a, &whole[i], &sha256[i], et);
	for (size_t s = 0; s < l->n && !e; s++) {
		const struct space *sp = &l->spaces[s];
		struct errtext why = {0};
		if (!sp->model.n || !space_lives(sp))
			continue;
		e = embed_in_space(k, sp, whole, n, sha256, a, cancel, &why);
		/* What follows another space holds nobody up: the worker makes up for it. */
		if (e && space_follows(sp) && e != ERR_CANCELLED && e != ERR_NOMEM)
			e = OK;
		else if (e && et)
			*et = why;
	}
	*out = whole;
	*texts = sha256;
	return e;
}
