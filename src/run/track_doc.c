/* Events of a run as bytes, and the document that they add up to. */
#include "run/track_int.h"
#include "base/hash.h"
#include "base/room.h"

#include <stdlib.h>

enum event {
	EV_PARAM = 1,
	EV_TAG,
	EV_UNTAG,
	EV_POINTS,
	EV_LATEST,
	EV_INPUT,
	EV_MODEL_IN,
	EV_MODEL_OUT,
};

/* ---- varints ---- */

void put_varint(struct buf *b, uint64_t v)
{
	unsigned char t[10];
	size_t n = 0;
	for (; v >= 0x80; v >>= 7)
		t[n++] = (unsigned char)(v | 0x80);
	t[n++] = (unsigned char)v;
	buf_add(b, t, n);
}

void put_zigzag(struct buf *b, int64_t v)
{
	put_varint(b, ((uint64_t)v << 1) ^ (uint64_t)(v >> 63));
}

bool get_varint(struct str *s, uint64_t *v)
{
	uint64_t r = 0;
	for (unsigned i = 0; i < 10 && i < s->n; i++) {
		unsigned char c = (unsigned char)s->p[i];
		r |= (uint64_t)(c & 0x7F) << (7 * i);
		if (!(c & 0x80)) {
			*s = str_mk(s->p + i + 1, s->n - i - 1);
			*v = r;
			return true;
		}
	}
	return false;
}

bool get_zigzag(struct str *s, int64_t *v)
{
	uint64_t u;
	if (!get_varint(s, &u))
		return false;
	*v = (int64_t)(u >> 1) ^ -(int64_t)(u & 1);
	return true;
}

static void put_text(struct buf *b, struct str s)
{
	put_varint(b, s.n);
	buf_adds(b, s);
}

static bool get_text(struct str *s, struct str *out)
{
	uint64_t n;
	if (!get_varint(s, &n) || n > s->n)
		return false;
	*out = str_mk(s->p, n);
	*s = str_mk(s->p + n, s->n - n);
	return true;
}

static bool get_f64(struct str *s, double *out)
{
	if (s->n < sizeof *out)
		return false;
	memcpy(out, s->p, sizeof *out);
	*s = str_mk(s->p + sizeof *out, s->n - sizeof *out);
	return true;
}

/* ---- writing ---- */

void events_begin(struct buf *b)
{
	buf_add(b, "\0\0\0\0", 4);
}

void events_end(struct buf *b)
{
	if (b->err)
		return;
	uint32_t crc = crc32c(0, b->p + 4, b->n - 4);
	memcpy(b->p, &crc, 4);
}

static void put_pair(struct buf *b, enum event ev, struct str key, struct str value)
{
	buf_putc(b, (char)ev);
	put_text(b, key);
	put_text(b, value);
}

void event_param(struct buf *b, struct str key, struct str value)
{
	put_pair(b, EV_PARAM, key, value);
}

void event_tag(struct buf *b, struct str key, struct str value)
{
	put_pair(b, EV_TAG, key, value);
}

void event_untag(struct buf *b, struct str key)
{
	buf_putc(b, EV_UNTAG);
	put_text(b, key);
}

void event_input(struct buf *b, const struct track_input *in)
{
	buf_putc(b, EV_INPUT);
	put_text(b, in->name);
	put_text(b, in->digest);
	put_text(b, in->context);
	put_text(b, in->json);
}

void event_model(struct buf *b, bool output, struct str model, int64_t step)
{
	buf_putc(b, output ? EV_MODEL_OUT : EV_MODEL_IN);
	put_text(b, model);
	put_zigzag(b, step);
}

void event_latest(struct buf *b, const struct track_metric *m)
{
	buf_putc(b, EV_LATEST);
	put_text(b, m->key);
	put_zigzag(b, m->point.ms);
	put_zigzag(b, m->point.step);
	buf_add(b, &m->point.value, sizeof m->point.value);
}

struct point_writer {
	int64_t ms, step;
};

static void put_point(struct buf *b, struct point_writer *w, const struct point *p)
{
	/* the difference may not fit: it wraps, and wraps back when it is read */
	put_zigzag(b, (int64_t)((uint64_t)p->ms - (uint64_t)w->ms));
	put_zigzag(b, (int64_t)((uint64_t)p->step - (uint64_t)w->step));
	buf_add(b, &p->value, sizeof p->value);
	*w = (struct point_writer){p->ms, p->step};
}

void event_points(struct buf *b, struct str key, const struct point *p, size_t n)
{
	struct point_writer w = {0};
	buf_putc(b, EV_POINTS);
	put_text(b, key);
	put_varint(b, n);
	for (size_t i = 0; i < n; i++)
		put_point(b, &w, &p[i]);
}

/* One list of metrics for each key, through a small table of first members. */
enum err events_metrics(struct buf *b, const struct track_metric *m, size_t n)
{
	size_t cap = 16;
	while (cap < n * 2)
		cap *= 2;
	/* table[slot]: 1 + the group's first; next[i]: 1 + the group's next; last, count by first
	 */
	uint32_t *table = calloc(cap + 3 * n, sizeof *table);
	if (!table)
		return ERR_NOMEM;
	uint32_t *next = table + cap, *last = next + n, *count = last + n;
	for (size_t i = 0; i < n; i++) {
		size_t at = hash64(m[i].key) & (cap - 1);
		while (table[at] && !str_eq(m[table[at] - 1].key, m[i].key))
			at = (at + 1) & (cap - 1);
		if (!table[at])
			table[at] = (uint32_t)i + 1;
		else
			next[last[table[at] - 1]] = (uint32_t)i + 1;
		last[table[at] - 1] = (uint32_t)i;
		count[table[at] - 1]++;
	}
	for (size_t i = 0; i < n; i++) {
		if (!count[i])
			continue;
		struct point_writer w = {0};
		buf_putc(b, EV_POINTS);
		put_text(b, m[i].key);
		put_varint(b, count[i]);
		for (uint32_t k = (uint32_t)i + 1; k; k = next[k - 1])
			put_point(b, &w, &m[k - 1].point);
	}
	free(table);
	return OK;
}

void events_document(struct buf *b, const struct tracked *t)
{
	for (size_t i = 0; i < t->n_params; i++)
		event_param(b, t->params[i].key, t->params[i].value);
	for (size_t i = 0; i < t->n_tags; i++)
		event_tag(b, t->tags[i].key, t->tags[i].value);
	for (size_t i = 0; i < t->n_metrics; i++)
		event_latest(b, &t->metrics[i]);
	for (size_t i = 0; i < t->n_inputs; i++)
		event_input(b, &t->inputs[i]);
	for (size_t i = 0; i < t->n_models_in; i++)
		event_model(b, false, t->models_in[i].model, t->models_in[i].step);
	for (size_t i = 0; i < t->n_models_out; i++)
		event_model(b, true, t->models_out[i].model, t->models_out[i].step);
}

/* ---- reading ---- */

struct points_event {
	struct str key, rest;
	uint64_t n;
	struct point_writer at;
};

static bool next_point(struct points_event *ev, struct point *out)
{
	int64_t ms, step;
	if (!get_zigzag(&ev->rest, &ms) || !get_zigzag(&ev->rest, &step) ||
		!get_f64(&ev->rest, &out->value))
		return false;
	ev->at.ms = out->ms = (int64_t)((uint64_t)ev->at.ms + (uint64_t)ms);
	ev->at.step = out->step = (int64_t)((uint64_t)ev->at.step + (uint64_t)step);
	return true;
}

struct reader {
	struct str rest;
	enum event kind;
	struct str key, value; /* of a pair, a tag, a latest, a model */
	struct point point;    /* LATEST; the newest of POINTS */
	struct track_input input;
	struct points_event points;
};

static bool read_points(struct reader *r, bool newest)
{
	struct point p;
	r->points = (struct points_event){0};
	if (!get_text(&r->rest, &r->points.key) || !get_varint(&r->rest, &r->points.n))
		return false;
	if (!r->points.n || r->points.n > r->rest.n)
		return false;
	r->key = r->points.key;
	r->points.rest = r->rest;
	struct points_event walk = r->points;
	for (uint64_t i = 0; i < walk.n; i++) {
		if (!next_point(&walk, &p))
			return false;
		if (newest && (!i || point_newer(&p, &r->point)))
			r->point = p;
	}
	r->rest = walk.rest;
	return true;
}

static bool read_event(struct reader *r, bool newest)
{
	r->kind = (enum event)(unsigned char)r->rest.p[0];
	r->rest = str_mk(r->rest.p + 1, r->rest.n - 1);
	switch (r->kind) {
	case EV_PARAM:
	case EV_TAG:
		return get_text(&r->rest, &r->key) && get_text(&r->rest, &r->value);
	case EV_UNTAG:
		return get_text(&r->rest, &r->key);
	case EV_POINTS:
		return read_points(r, newest);
	case EV_LATEST:
		return get_text(&r->rest, &r->key) && get_zigzag(&r->rest, &r->point.ms) &&
		       get_zigzag(&r->rest, &r->point.step) && get_f64(&r->rest, &r->point.value);
	case EV_INPUT:
		return get_text(&r->rest, &r->input.name) && get_text(&r->rest, &r->input.digest) &&
		       get_text(&r->rest, &r->input.context) && get_text(&r->rest, &r->input.json);
	case EV_MODEL_IN:
	case EV_MODEL_OUT:
		return get_text(&r->rest, &r->key) && get_zigzag(&r->rest, &r->point.step);
	}
	return false;
}

static enum err damaged(struct errtext *et)
{
	return err_set(et, ERR_CORRUPT, "the stored data of a run is damaged");
}

static enum err open_events(struct str events, struct reader *r, struct errtext *et)
{
	uint32_t crc;
	if (events.n < 4)
		return damaged(et);
	memcpy(&crc, events.p, 4);
	*r = (struct reader){.rest = str_mk(events.p + 4, events.n - 4)};
	return crc == crc32c(0, r->rest.p, r->rest.n) ? OK : damaged(et);
}

enum err events_points(
	struct str events, struct str key, points_fn fn, void *ctx, struct errtext *et)
{
	struct reader r;
	struct points list = {0};
	enum err e = open_events(events, &r, et);
	while (!e && r.rest.n) {
		if (!read_event(&r, false)) {
			e = damaged(et);
			break;
		}
		if (r.kind != EV_POINTS || (key.p && !str_eq(key, r.key)))
			continue;
		list.n = 0;
		struct point p;
		for (uint64_t i = 0; i < r.points.n && !e; i++) {
			next_point(&r.points, &p);
			e = points_add(&list, &p, 1);
		}
		if (!e)
			e = fn(ctx, r.key, list.v, list.n);
		if (e)
			err_set(et, e, "no memory for the points of a series");
	}
	free(list.v);
	return e;
}

/* ---- the document ---- */

struct entry {
	enum event kind; /* UNTAG is filed under TAG, POINTS under LATEST */
	bool removed;
	uint32_t order;
	struct str key, value;
	struct point point;
	struct track_input input;
};

struct run_doc {
	struct entry *v;
	size_t n, cap;
};

struct run_doc *run_doc_new(void)
{
	return calloc(1, sizeof(struct run_doc));
}

void run_doc_free(struct run_doc *d)
{
	if (d)
		free(d->v);
	free(d);
}

static struct entry *entry_new(struct run_doc *d)
{
	if (!heap_room(d->v, d->n, d->cap))
		return NULL;
	struct entry *en = &d->v[d->n];
	memset(en, 0, sizeof *en);
	en->order = (uint32_t)d->n++;
	return en;
}

enum err run_doc_add(struct run_doc *d, struct str events, struct errtext *et)
{
	struct reader r;
	enum err e = open_events(events, &r, et);
	while (!e && r.rest.n) {
		if (!read_event(&r, true)) {
			e = damaged(et);
			break;
		}
		struct entry *en = entry_new(d);
		if (!en)
			return err_set(et, ERR_NOMEM, "no memory for the data of a run");
		en->kind = r.kind == EV_UNTAG ? EV_TAG : r.kind == EV_POINTS ? EV_LATEST : r.kind;
		en->removed = r.kind == EV_UNTAG;
		en->key = r.kind == EV_INPUT ? r.input.name : r.key;
		en->value = r.kind == EV_INPUT ? r.input.digest : r.value;
		en->point = r.point;
		en->input = r.input;
	}
	return e;
}

static int entry_key_cmp(const struct entry *a, const struct entry *b)
{
	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	int c = str_cmp(a->key, b->key);
	return !c && a->kind == EV_INPUT ? str_cmp(a->value, b->value) : c;
}

static int entry_cmp(const void *pa, const void *pb)
{
	const struct entry *a = pa, *b = pb;
	int c = entry_key_cmp(a, b);
	return c ? c : a->order < b->order ? -1 : 1;
}

static int entry_order_cmp(const void *pa, const void *pb)
{
	const struct entry *a = pa, *b = pb;
	return a->order < b->order ? -1 : a->order > b->order;
}

/* Inputs are shown as they were logged; everything else by its key. */
static void inputs_by_time(struct run_doc *d)
{
	size_t from = 0, to;
	while (from < d->n && d->v[from].kind != EV_INPUT)
		from++;
	for (to = from; to < d->n && d->v[to].kind == EV_INPUT; to++)
		;
	if (to - from > 1)
		qsort(d->v + from, to - from, sizeof *d->v, entry_order_cmp);
}

/* Of entries with one key, one is left: the last tag or model, the first parameter or input, the
 * newest point. */
static void settle(struct run_doc *d)
{
	bool sorted = true;
	for (size_t i = 1; i < d->n && sorted; i++)
		sorted = entry_cmp(&d->v[i - 1], &d->v[i]) < 0;
	if (!sorted)
		qsort(d->v, d->n, sizeof *d->v, entry_cmp);
	size_t k = 0;
	for (size_t i = 0; i < d->n; i++) {
		struct entry *en = &d->v[i], *kept = k ? &d->v[k - 1] : NULL;
		if (!kept || entry_key_cmp(kept, en))
			d->v[k++] = *en;
		else if (en->kind == EV_LATEST ? point_newer(&en->point, &kept->point)
					       : en->kind != EV_PARAM && en->kind != EV_INPUT)
			*kept = *en;
	}
	d->n = k;
	inputs_by_time(d);
}

struct packer {
	char *text;
};

static struct str pack(struct packer *p, struct str s)
{
	char *at = p->text;
	if (s.n)
		memcpy(at, s.p, s.n);
	p->text += s.n;
	return str_mk(at, s.n);
}

static void fill(struct tracked *t, const struct run_doc *d, struct packer *p)
{
	for (size_t i = 0; i < d->n; i++) {
		const struct entry *en = &d->v[i];
		struct track_pair pair;
		if (en->removed)
			continue;
		switch (en->kind) {
		case EV_PARAM:
		case EV_TAG:
			pair = (struct track_pair){pack(p, en->key), pack(p, en->value)};
			if (en->kind == EV_PARAM)
				t->params[t->n_params++] = pair;
			else
				t->tags[t->n_tags++] = pair;
			break;
		case EV_LATEST:
			t->metrics[t->n_metrics++] =
				(struct track_metric){pack(p, en->key), en->point};
			break;
		case EV_INPUT:
			t->inputs[t->n_inputs++] = (struct track_input){pack(p, en->input.name),
				pack(p, en->input.digest), pack(p, en->input.context),
				pack(p, en->input.json)};
			break;
		case EV_MODEL_IN:
			t->models_in[t->n_models_in++] =
				(struct track_output){pack(p, en->key), en->point.step};
			break;
		case EV_MODEL_OUT:
			t->models_out[t->n_models_out++] =
				(struct track_output){pack(p, en->key), en->point.step};
			break;
		case EV_UNTAG:
		case EV_POINTS:
			break;
		}
	}
}

enum err run_doc_finish(
	struct run_doc *d, const struct tracked *head, struct tracked **out, struct errtext *et)
{
	settle(d);
	size_t n[EV_MODEL_OUT + 1] = {0}, text = head->name.n + head->user.n;
	for (size_t i = 0; i < d->n; i++) {
		const struct entry *en = &d->v[i];
		if (en->removed)
			continue;
		n[en->kind]++;
		text += en->kind == EV_INPUT ? en->input.name.n + en->input.digest.n +
						       en->input.context.n + en->input.json.n
					     : en->key.n + en->value.n;
	}
	size_t bytes = sizeof **out + (n[EV_PARAM] + n[EV_TAG]) * sizeof(struct track_pair) +
		       n[EV_LATEST] * sizeof(struct track_metric) +
		       n[EV_INPUT] * sizeof(struct track_input) +
		       (n[EV_MODEL_IN] + n[EV_MODEL_OUT]) * sizeof(struct track_output) + text;
	struct tracked *t = malloc(bytes);
	if (!t)
		return err_set(et, ERR_NOMEM, "no memory for the data of a run");
	memcpy(t, head, sizeof *t);
	t->n_params = t->n_tags = t->n_metrics = t->n_inputs = t->n_models_in = t->n_models_out = 0;
	t->params = (struct track_pair *)(t + 1);
	t->tags = t->params + n[EV_PARAM];
	t->metrics = (struct track_metric *)(t->tags + n[EV_TAG]);
	t->inputs = (struct track_input *)(t->metrics + n[EV_LATEST]);
	t->models_in = (struct track_output *)(t->inputs + n[EV_INPUT]);
	t->models_out = t->models_in + n[EV_MODEL_IN];
	struct packer p = {(char *)(t->models_out + n[EV_MODEL_OUT])};
	t->name = pack(&p, head->name);
	t->user = pack(&p, head->user);
	t->bytes = bytes;
	atomic_init(&t->refs, 1);
	fill(t, d, &p);
	*out = t;
	return OK;
}

void tracked_free(struct tracked *t)
{
	if (t && atomic_fetch_sub(&t->refs, 1) == 1)
		free(t);
}

/* ---- looking up ---- */

static struct str pair_find(const struct track_pair *v, size_t n, struct str key)
{
	size_t lo = 0, hi = n;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		int c = str_cmp(v[mid].key, key);
		if (!c)
			return v[mid].value;
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return (struct str){0};
}

struct str tracked_param(const struct tracked *t, struct str key)
{
	return pair_find(t->params, t->n_params, key);
}

struct str tracked_tag(const struct tracked *t, struct str key)
{
	return pair_find(t->tags, t->n_tags, key);
}

const struct track_metric *tracked_metric(const struct tracked *t, struct str key)
{
	size_t lo = 0, hi = t->n_metrics;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		int c = str_cmp(t->metrics[mid].key, key);
		if (!c)
			return &t->metrics[mid];
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

/* ---- lists of points ---- */

enum err points_add(struct points *p, const struct point *v, size_t n)
{
	if (p->n + n > p->cap) {
		size_t cap = MAX(p->cap ? p->cap * 2 : 64, p->n + n);
		struct point *bigger = realloc(p->v, cap * sizeof *bigger);
		if (!bigger)
			return ERR_NOMEM;
		p->v = bigger;
		p->cap = cap;
	}
	if (n)
		memcpy(p->v + p->n, v, n * sizeof *v);
	p->n += n;
	return OK;
}

/* NaN stands where 0 stands, after it. */
int point_cmp(const struct point *a, const struct point *b)
{
	if (a->ms != b->ms)
		return a->ms < b->ms ? -1 : 1;
	if (a->step != b->step)
		return a->step < b->step ? -1 : 1;
	bool an = a->value != a->value, bn = b->value != b->value;
	double av = an ? 0 : a->value, bv = bn ? 0 : b->value;
	return av < bv ? -1 : av > bv ? 1 : (int)an - (int)bn;
}

static int point_qsort(const void *a, const void *b)
{
	return point_cmp(a, b);
}

void points_sort(struct points *p)
{
	bool sorted = true;
	for (size_t i = 1; i < p->n && sorted; i++)
		sorted = point_cmp(&p->v[i - 1], &p->v[i]) <= 0;
	if (!sorted)
		qsort(p->v, p->n, sizeof *p->v, point_qsort);
	size_t k = 0;
	for (size_t i = 0; i < p->n; i++)
		if (!k || point_cmp(&p->v[k - 1], &p->v[i]))
			p->v[k++] = p->v[i];
	p->n = k;
}
