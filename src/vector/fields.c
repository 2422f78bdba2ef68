/* The payload index: items come in, and wait to become a segment (segments.h). */
#include "base/room.h"
#include "vector/fields_int.h"

#include <stdlib.h>

struct fields {
	struct segments base;
	struct text_paths text;
	/* What waits; a document whose payload is NULL was replaced or deleted meanwhile. */
	struct fdoc *docs;
	size_t n_docs, cap_docs;
};

struct segments *fields_segments(struct fields *x)
{
	return &x->base;
}

static struct fields *of(struct segments *x)
{
	return (struct fields *)(void *)x;
}

/* ---- the index ---- */

bool fields_has_text(const struct text_paths *t, struct str path)
{
	for (size_t i = 0; i < t->n; i++)
		if (str_eq(t->paths[i], path))
			return true;
	return !t->some;
}

const struct text_paths *fields_text(const struct fields *x)
{
	return &x->text;
}

static enum err set_text(struct fields *x, const struct fields_options *o, struct errtext *et)
{
	struct arena *a = arena_new(1 << 20);
	x->text.some = o->some_text;
	x->text.paths = calloc(o->n_text + 1, sizeof *x->text.paths);
	enum err e = a && x->text.paths ? OK : ERR_NOMEM;
	for (size_t i = 0; i < o->n_text && !e; i++) {
		struct str path;
		e = cond_path(o->text[i], a, &path, et);
		if (e)
			break;
		char *copy = str_dup(path);
		if (copy)
			x->text.paths[x->text.n++] = str_mk(copy, path.n);
		else
			e = ERR_NOMEM;
	}
	arena_free(a);
	return e;
}

enum err fields_new(const struct fields_options *o, struct fields **out, struct errtext *et)
{
	struct fields *x = calloc(1, sizeof *x);
	if (!x || !segments_init(&x->base, &fields_kind)) {
		free(x);
		return err_set(et, ERR_NOMEM, "no memory for an index of payloads");
	}
	enum err e = o ? set_text(x, o, et) : OK;
	if (e) {
		fields_free(x);
		return e == ERR_NOMEM ? err_set(et, e, "no memory for an index of payloads") : e;
	}
	*out = x;
	return OK;
}

void fields_drop(struct segments *base, uint64_t place)
{
	struct fdoc *d = &of(base)->docs[place];
	free((char *)d->payload.p);
	d->payload = (struct str){0};
}

void fields_forget(struct segments *base)
{
	struct fields *x = of(base);
	for (size_t i = 0; i < x->n_docs; i++)
		free((char *)x->docs[i].payload.p);
	free(x->docs);
	x->docs = NULL;
	x->n_docs = x->cap_docs = 0;
}

struct fseg *fields_waiting(struct segments *base)
{
	const struct fields *x = of(base);
	struct fdoc *docs = malloc((x->n_docs + 1) * sizeof *docs);
	size_t n = 0;
	for (size_t i = 0; docs && i < x->n_docs; i++)
		if (x->docs[i].payload.p)
			docs[n++] = x->docs[i];
	struct fseg *s = docs ? fseg_make(docs, n, &x->text) : NULL;
	free(docs);
	return s;
}

void fields_free(struct fields *x)
{
	if (!x)
		return;
	segments_clear(&x->base);
	for (size_t i = 0; i < x->text.n; i++)
		free((char *)x->text.paths[i].p);
	free(x->text.paths);
	free(x);
}

enum err fields_put(struct fields *x, uint64_t key, struct str payload, struct errtext *et)
{
	yyjson_doc *doc;
	enum err e = json_parse(payload, &doc, et);
	if (e)
		return e;
	bool object = yyjson_is_obj(yyjson_doc_get_root(doc));
	yyjson_doc_free(doc);
	if (!object)
		return err_set(et, ERR_INVALID, "a payload must be a JSON object");
	char *copy = str_dup(payload);
	pthread_mutex_lock(&x->base.write);
	bool ok = copy && segments_room(&x->base) && heap_room(x->docs, x->n_docs, x->cap_docs);
	if (ok) {
		segments_wait(&x->base, key, x->n_docs);
		x->docs[x->n_docs++] = (struct fdoc){key, str_mk(copy, payload.n)};
	}
	pthread_mutex_unlock(&x->base.write);
	if (ok)
		return OK;
	free(copy);
	return err_set(et, ERR_NOMEM, "no memory for a payload");
}

enum err fields_delete(struct fields *x, const uint64_t *keys, size_t n, struct errtext *et)
{
	return segments_delete(&x->base, keys, n, et);
}

enum err fields_publish(struct fields *x, struct errtext *et)
{
	return segments_publish(&x->base, et);
}

size_t fields_count(struct fields *x)
{
	return segments_count(&x->base);
}

size_t fields_bytes(struct fields *x)
{
	return sizeof *x + segments_bytes(&x->base);
}

enum err fields_save(
	struct fields *x, const char *path, uint64_t mark, struct str label, struct errtext *et)
{
	return segments_save(&x->base, path, mark, label, et);
}

enum err fields_open(struct fields *x, const char *path, struct str label, uint64_t max_key,
	uint64_t *mark, struct errtext *et)
{
	return segments_open(&x->base, path, label, max_key, mark, et);
}
