/* Live items become those of a version: restore and merge, in one transaction; and copies, which
 * get items of their own when they are first opened.
 *
 *	diff -> spool -> one write transaction: look whether anything has changed since, items,
 *	                 version, head, audit -> publication
 *
 * What the transaction needs of the blobs is in a file without a name before it begins; the
 * transaction reads that through a mapping. The collection's own lock, where it is open here,
 * keeps this server's writers out from the second try on. */
#include "collection/version_int.h"
#include "access/access.h"
#include "base/clock.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SPOOL_BUFFER = 1 << 20, FILL_ITEMS = 1000, TRIES = 4 };

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for the items of a version");
}

/* Each in its place, and none that follows another: what items lack there is not the version's to
 * say. What was dropped since may stand behind those of b. */
static const struct space *named_at(const struct version *v, const struct space *s)
{
	const struct space *x = version_space(v, s->name);
	return x && x->role == SPACE_NAMED ? x : NULL;
}

/* What is left of spaces that are gone does not count; vectors lie by their places. */
bool version_same_spaces(const struct version *a, const struct version *b)
{
	size_t named[2] = {0};
	bool same = true;
	for (size_t i = 0; i < b->n_spaces; i++)
		named[1] += b->spaces[i].role == SPACE_NAMED;
	for (size_t i = 0; i < a->n_spaces; i++) {
		const struct space *x = &a->spaces[i], *y = named_at(b, x);
		if (x->role != SPACE_NAMED)
			continue;
		named[0]++;
		same = same && y && x->kind == y->kind && x->place == y->place &&
		       x->dim == y->dim && x->distance == y->distance && x->kind == y->kind &&
		       str_eq(x->identity, y->identity);
	}
	return same && named[0] == named[1];
}

/* Each change of an item is made in both spaces while one moves; a version may have but one. */
static bool moving(const struct version *v)
{
	bool yes = false;
	for (size_t i = 0; i < v->n_spaces; i++)
		yes |= space_follows(&v->spaces[i]);
	return yes;
}

/* A version may have been pushed by anybody: what enters the rows is looked at. */
static enum err check_record(const struct version *v, const struct vitem *it,
	const struct vrecord *r, struct arena *a, struct errtext *et)
{
	struct buf text = {0};
	struct item_id id;
	struct item_vector *list;
	uint8_t digest[SHA256_BYTES];
	yyjson_doc *doc = NULL;
	size_t n;
	item_id_text(it->id, &text);
	sha256_of(r->kept, digest);
	bool good = !item_id_parse(buf_str(&text), &id, NULL) &&
		    str_eq(item_id_bytes(&id), it->id) && r->payload.n <= COLLECTION_PAYLOAD_MAX &&
		    (!r->text.n || r->text.n == SHA256_BYTES) &&
		    (!r->kept.n || str_eq(r->text, str_mk(digest, sizeof digest))) &&
		    !json_parse(r->payload, &doc, NULL) && yyjson_is_obj(yyjson_doc_get_root(doc));
	enum err e = good ? item_decode(r->vectors, v->spaces, v->n_spaces, a, &list, &n, et)
			  : err_set(et, ERR_CORRUPT, "an item of the version %.12s is no item",
				    v->digest);
	yyjson_doc_free(doc);
	buf_free(&text);
	return e;
}

/* ---- what has to be done ---- */

struct step {
	struct str id;
	bool remove;
	uint64_t at; /* in the spool */
	uint32_t len;
};

struct plan {
	struct step *steps;
	size_t n, cap;
	struct vcounts counts;
	struct buf buffer;
	int fd;
	uint64_t bytes;
	const char *map;
	bool anew; /* too many for one transaction: nothing is spooled */
};

static struct step *new_step(struct plan *p, struct errtext *et)
{
	if (p->n == p->cap) {
		size_t cap = p->cap ? p->cap + p->cap / 2 : 1024;
		struct step *steps = realloc(p->steps, cap * sizeof *steps);
		if (!steps) {
			no_memory(et);
			return NULL;
		}
		p->steps = steps;
		p->cap = cap;
	}
	return &p->steps[p->n++];
}

static enum err spool_flush(struct plan *p, struct errtext *et)
{
	enum err e =
		p->buffer.err ? no_memory(et) : os_write_all(p->fd, p->buffer.p, p->buffer.n, et);
	buf_clear(&p->buffer);
	return e;
}

static enum err plan_begin(const struct vswitch *s, struct plan *p, struct errtext *et)
{
	char path[4096];
	*p = (struct plan){0};
	snprintf(path, sizeof path, "%s/collections", croft_home(s->c));
	enum err e = os_mkdirs(path, et);
	p->fd = e ? -1 : open(path, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (!e && p->fd < 0) { /* a file system without such files */
		snprintf(path, sizeof path, "%s/collections/spool-XXXXXX", croft_home(s->c));
		p->fd = mkostemp(path, O_CLOEXEC);
		if (p->fd >= 0)
			unlink(path);
	}
	return e || p->fd >= 0 ? e : err_errno(et, "%s", path);
}

static void plan_end(struct plan *p)
{
	if (p->map)
		munmap((void *)p->map, (size_t)p->bytes);
	if (p->fd >= 0)
		close(p->fd);
	buf_free(&p->buffer);
	free(p->steps);
}

static enum err plan_close(struct plan *p, struct errtext *et)
{
	enum err e = spool_flush(p, et);
	if (e || !p->bytes)
		return e;
	void *map = mmap(NULL, (size_t)p->bytes, PROT_READ, MAP_SHARED, p->fd, 0);
	if (map == MAP_FAILED)
		return err_errno(et, "mapping what a version brings");
	p->map = map;
	return OK;
}

struct spooling {
	const struct vswitch *s;
	struct plan *p;
	const struct vitem **items; /* that are put, and the steps that do it */
	size_t *steps, n;
};

static enum err spool_one(void *ctx, size_t i, const struct vrecord *r, struct errtext *et)
{
	struct spooling *x = ctx;
	struct plan *p = x->p;
	struct arena *a = arena_new(0);
	enum err e = a ? check_record(x->s->to, x->items[i], r, a, et) : no_memory(et);
	arena_free(a);
	if (e)
		return e;
	size_t before = p->buffer.n;
	vrecord_write(r, &p->buffer);
	p->steps[x->steps[i]].at = p->bytes;
	p->steps[x->steps[i]].len = (uint32_t)(p->buffer.n - before);
	p->bytes += p->buffer.n - before;
	return p->buffer.n < SPOOL_BUFFER ? OK : spool_flush(p, et);
}

static enum err plan_steps(struct spooling *x, struct errtext *et)
{
	const struct version *from = x->s->from, *to = x->s->to;
	size_t i = 0, j = 0;
	while (i < from->n || j < to->n) {
		const struct vitem *old = &from->items[i], *it = &to->items[j];
		int cmp = i == from->n ? 1 : j == to->n ? -1 : str_cmp(old->id, it->id);
		i += cmp <= 0;
		j += cmp >= 0;
		if (cmp == 0 && version_same(old, it))
			continue;
		struct step *s = new_step(x->p, et);
		if (!s)
			return ERR_NOMEM;
		*s = (struct step){.id = cmp < 0 ? old->id : it->id, .remove = cmp < 0};
		x->p->counts.removed += cmp < 0;
		x->p->counts.added += cmp > 0;
		x->p->counts.changed += cmp == 0;
		if (!s->remove) {
			x->items[x->n] = it;
			x->steps[x->n++] = x->p->n - 1;
		}
	}
	return OK;
}

static enum err plan_all(const struct vswitch *s, struct plan *p, struct errtext *et)
{
	struct spooling x = {.s = s,
		.p = p,
		.items = malloc((s->to->n + 1) * sizeof *x.items),
		.steps = malloc((s->to->n + 1) * sizeof *x.steps)};
	enum err e = x.items && x.steps ? plan_steps(&x, et) : no_memory(et);
	p->anew = !e && p->n > (size_t)setting_int(s->c, "collection.restore_at_once") &&
		  !s->seen.row.backend.n;
	if (!e && !p->anew)
		e = version_records(s->to, x.items, x.n, spool_one, &x, s->cancel, et);
	free(x.items);
	free(x.steps);
	return e || p->anew ? e : plan_close(p, et);
}

/* ---- the transaction ---- */

struct applying {
	const struct vswitch *s;
	struct plan *p;
	struct collection_row row;
	struct head_row head;
	bool raced;
};

static enum err remove_one(
	struct applying *x, struct tx *tx, struct str id, struct arena *a, struct errtext *et)
{
	struct item_row r;
	enum err e = store_item(tx, x->row.number, id, (struct item_want){false}, a, &r, et);
	e = e ? e : store_item_drop(tx, x->row.number, r.num, x->row.seq, et);
	x->row.items--;
	return e || !r.text.n ? e : store_embedding_prune(tx, r.text, et);
}

static enum err put_one(struct applying *x, struct tx *tx, const struct step *s, struct arena *a,
	struct errtext *et)
{
	struct item_row r;
	struct vrecord record;
	enum err e = vrecord_read(str_mk(x->p->map + s->at, s->len), &record, et);
	if (e)
		return e;
	e = store_item(tx, x->row.number, s->id, (struct item_want){false}, a, &r, et);
	if (e && e != ERR_NOT_FOUND)
		return e;
	bool fresh = e == ERR_NOT_FOUND;
	struct str former = fresh ? S("") : r.text;
	r = (struct item_row){.num = fresh ? x->row.next_num++ : r.num,
		.seq = x->row.seq,
		.vec = x->row.seq,
		.own = x->row.seq,
		.id = s->id,
		.payload = record.payload,
		.text = record.text};
	x->row.items += fresh;
	e = fresh ? store_item_add(tx, x->row.number, &r, et)
		  : store_item_change(tx, x->row.number, &r, et);
	e = e ? e : store_vectors_put(tx, x->row.number, r.num, record.vectors, et);
	e = e ? e : text_keep(tx, record.kept, record.text, record.payload, et);
	return e || !former.n || str_eq(former, r.text) ? e : store_embedding_prune(tx, former, et);
}

static enum err steps_in(struct applying *x, struct tx *tx, struct errtext *et)
{
	enum { AT_ONCE = 1024 };
	enum err e = OK;
	for (size_t i = 0; i < x->p->n && !e; i += AT_ONCE) {
		struct arena *a = arena_new(0);
		e = a ? OK : no_memory(et);
		for (size_t j = i; j < MIN(i + AT_ONCE, x->p->n) && !e; j++) {
			const struct step *s = &x->p->steps[j];
			e = s->remove ? remove_one(x, tx, s->id, a, et) : put_one(x, tx, s, a, et);
		}
		arena_free(a);
	}
	return e;
}

static enum err audit(struct applying *x, struct tx *tx, struct errtext *et)
{
	const struct vswitch *s = x->s;
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	jw_kstr(&w, "from", s->make.detail);
	jw_ki64(&w, "version", x->head.version);
	jw_ki64(&w, "added", x->p->counts.added);
	jw_ki64(&w, "removed", x->p->counts.removed);
	jw_ki64(&w, "changed", x->p->counts.changed);
	jw_end(&w);
	enum err e =
		b.err ? no_memory(et) : audit_add(tx, s->who, s->action, s->name, buf_str(&b), et);
	buf_free(&b);
	return e;
}

static enum err tell_former(struct tx *tx, int64_t number, struct errtext *et)
{
	char text[24];
	snprintf(text, sizeof text, "%lld", (long long)number);
	return db_notify(tx, COLLECTION_CHANNEL, str_c(text), et);
}

/* What is now becomes a dropped collection's; under another number it begins with the version. */
static enum err begin_anew(struct applying *x, struct tx *tx, struct errtext *et)
{
	const struct vswitch *s = x->s;
	int64_t former = x->row.number;
	x->row.number = collection_number();
	x->row.next_num = 0;
	x->row.items = (int64_t)s->to->n;
	x->row.graves_seq = x->row.seq;
	enum err e = store_collection_renumber(tx, former, &x->row, et);
	return e ? e : tell_former(tx, former, et);
}

static enum err change_rows(struct applying *x, struct tx *tx, struct errtext *et)
{
	enum err e = steps_in(x, tx, et);
	e = e ? e : store_graves_trim(tx, &x->row, GRAVES_KEPT, et);
	return e ? e : store_collection_at(tx, &x->row, et);
}

static enum err apply_in(struct applying *x, struct tx *tx, struct errtext *et)
{
	const struct vswitch *s = x->s;
	struct vlive now;
	enum err e = version_live(tx, s->project, s->name, s->a, &now, et);
	x->raced = !e && (!vlive_same_head(&now, &s->seen) || now.row.seq != s->seen.row.seq);
	if (e || x->raced)
		return e;
	x->row = now.row;
	x->row.seq += x->p->n > 0;
	x->row.updated_ms = clock_unix_ms();
	e = x->p->anew ? begin_anew(x, tx, et) : change_rows(x, tx, et);
	struct vmake make = s->make;
	make.seq = x->row.seq;
	e = e ? e : version_record(tx, s->who, x->row.number, &make, s->a, &x->head, et);
	return e ? e : audit(x, tx, et);
}

static enum err apply(struct applying *x, struct errtext *et)
{
	struct tx *tx;
	char number[24];
	snprintf(number, sizeof number, "%lld", (long long)x->s->seen.row.number);
	struct collection *k = take_open(collections_of(x->s->c), str_c(number));
	if (k) {
		pthread_mutex_lock(&k->write);
		shelf_turn(k);
	}
	enum err e = db_begin(croft_db(x->s->c), TX_WRITE, &tx, et);
	e = e ? e : db_finish(tx, apply_in(x, tx, et), et);
	struct errtext late;
	if (!e && !x->raced && x->p->anew) {
		collections_forget(x->s->c, x->s->seen.row.number);
		snapshot_forget(x->s->c, x->s->seen.row.number);
		refill_add(x->s->c, x->s->project, x->row.name, x->row.number,
			x->s->seen.row.number, x->s->to->n);
		if (k)
			shelf_still(k);
	} else
		/* what cannot be published now is read by the next who changes or follows */
		if (!e && !x->raced && k)
			(void)!shelf_follow(k, &late);
		else if (k)
			shelf_still(k);
	if (k)
		pthread_mutex_unlock(&k->write);
	if (k)
		let_go(k);
	return e;
}

enum err version_switch(const struct vswitch *s, struct head_row *head, bool *raced, bool *filling,
	struct errtext *et)
{
	struct plan p;
	struct applying x = {.s = s, .p = &p};
	if (moving(s->from))
		return err_set(et, ERR_CONFLICT,
			"%.*s is moving to another model: finish, drop or cancel that first",
			STR_FMT(s->name));
	if (!version_same_spaces(s->from, s->to))
		return err_set(et, ERR_CONFLICT,
			"the vectors of %.*s are of other kinds by now: copy the version into a "
			"new collection",
			STR_FMT(s->name));
	enum err e = plan_begin(s, &p, et);
	e = e ? e : plan_all(s, &p, et);
	e = e ? e : apply(&x, et);
	plan_end(&p);
	if (!e) {
		*head = x.head;
		*raced = x.raced;
		*filling = p.anew && !x.raced;
	}
	return e;
}

/* ---- restoring ---- */

/* Whoever restores loses nothing: what has changed since the head becomes a version first. */
static enum err keep_changes(struct croft *c, const struct vrestore *q, struct arena *a,
	int64_t *kept, struct errtext *et)
{
	struct vcommitted made;
	struct str message = arena_fmt(a, "Before %.*s was restored", STR_FMT(q->ref));
	enum err e = message.p ? version_commit(c,
					 &(struct vcommit){.project = q->project,
						 .name = q->name,
						 .message = message,
						 .who = q->who,
						 .cancel = q->cancel},
					 a, &made, et)
			       : no_memory(et);
	if (!e && made.made)
		*kept = made.v.version;
	return e;
}

static struct vcounts counts_between(const struct version *from, const struct version *to)
{
	struct vcounts n = {0};
	for (size_t i = 0, j = 0; i < from->n || j < to->n;) {
		int cmp = i == from->n ? 1
			  : j == to->n ? -1
				       : str_cmp(from->items[i].id, to->items[j].id);
		n.removed += cmp < 0;
		n.added += cmp > 0;
		n.changed += cmp == 0 && !version_same(&from->items[i], &to->items[j]);
		i += cmp <= 0;
		j += cmp >= 0;
	}
	return n;
}

struct restoring {
	const struct vrestore *q;
	struct artifact_version target;
	struct vswitch s;
	struct head_row head;
	struct vcounts counts;
	bool raced, nothing, filling;
};

static enum err restore_from(struct restoring *x, const struct version *from,
	const struct version *to, struct errtext *et)
{
	x->counts = counts_between(from, to);
	x->nothing = !x->counts.added && !x->counts.removed && !x->counts.changed &&
		     vlive_clean(&x->s.seen) && str_eq_c(x->s.seen.head.digest, to->digest);
	if (x->nothing) {
		x->head = x->s.seen.head;
		return OK;
	}
	x->s.from = from;
	x->s.to = to;
	x->s.make = (struct vmake){.project = x->q->project,
		.name = x->q->name,
		.message = x->q->message,
		.digest = to->digest,
		.bytes = x->target.bytes,
		.items = (int64_t)to->n,
		.counts = x->counts,
		.parent = &x->s.seen.head,
		.made_by = "restore",
		.detail = x->q->ref};
	return version_switch(&x->s, &x->head, &x->raced, &x->filling, et);
}

static enum err try_restore(struct croft *c, struct restoring *x, struct errtext *et)
{
	const struct vrestore *q = x->q;
	struct version *from = NULL, *to = NULL;
	struct tree_sum sum;
	struct vcounts counts;
	enum err e = version_build(
		c, q->project, q->name, false, x->s.a, &x->s.seen, &sum, &counts, q->cancel, et);
	e = e ? e : version_load(c, sum.digest, &from, q->cancel, et);
	e = e ? e : version_load(c, x->target.digest.p, &to, q->cancel, et);
	e = e ? e : restore_from(x, from, to, et);
	version_put(c, from);
	version_put(c, to);
	return e;
}

enum err version_restore(struct croft *c, const struct vrestore *q, struct arena *a,
	struct vrestored *out, struct errtext *et)
{
	struct restoring x = {.q = q,
		.s = {.c = c,
			.who = q->who,
			.project = q->project,
			.name = q->name,
			.action = "collection.restore",
			.a = a,
			.cancel = q->cancel}};
	struct vrestored done = {0};
	enum err e = version_fill(c, q->project, q->name, q->cancel, et);
	e = e ? e : version_named(c, q->project, q->name, q->ref, a, &x.target, et);
	x.raced = true;
	for (int i = 0; i < TRIES && !e && x.raced; i++) {
		x.raced = false;
		e = q->discard ? OK : keep_changes(c, q, a, &done.kept, et);
		e = e ? e : try_restore(c, &x, et);
	}
	if (!e && x.raced)
		e = err_set(et, ERR_BUSY,
			"%.*s is written to all the time: nothing was restored, try again",
			STR_FMT(q->name));
	e = e ? e : version_of_head(c, &x.head, a, &done.v, et);
	if (!e) {
		done.made = !x.nothing;
		done.filling = x.filling;
		done.done = x.counts;
		*out = done;
	}
	return e;
}

/* ---- copies get items of their own ---- */

struct filling {
	struct croft *c;
	const struct version *v;
	struct str project, name;
	int64_t number; /* of the copy */
	struct str done;
	size_t from; /* the item that comes next */
	struct vrecord *records;
	size_t n;
	struct arena *a;
	bool filled;
};

static enum err fill_item(
	struct filling *f, struct tx *tx, size_t i, int64_t seq, struct errtext *et)
{
	const struct vitem *it = &f->v->items[f->from + i];
	struct item_row r = {.num = (int64_t)(f->from + i) + 1,
		.seq = seq,
		.vec = seq,
		.own = seq,
		.id = it->id,
		.payload = f->records[i].payload,
		.text = f->records[i].text};
	enum err e = store_item_add(tx, f->number, &r, et);
	e = e ? e : text_keep(tx, f->records[i].kept, r.text, r.payload, et);
	return e ? e : store_vectors_put(tx, f->number, r.num, f->records[i].vectors, et);
}

/* Two servers that fill the same copy take turns: who finds that the other one has gone on, looks
 * again. */
static enum err fill_in(struct filling *f, struct tx *tx, struct errtext *et)
{
	struct vlive now;
	enum err e = version_live(tx, f->project, f->name, f->a, &now, et);
	if (e)
		return e;
	f->filled = !vlive_lazy(&now) || now.row.number != f->number;
	if (f->filled || !str_eq(now.head.done, f->done))
		return OK;
	for (size_t i = 0; i < f->n && !e; i++)
		e = fill_item(f, tx, i, now.row.seq, et);
	bool last = f->from + f->n == f->v->n;
	now.head.done = f->n ? f->v->items[f->from + f->n - 1].id : f->done;
	now.row.next_num = last ? (int64_t)f->v->n + 1 : 0;
	e = e ? e : store_head_put(tx, &now.head, et);
	e = e ? e : store_collection_at(tx, &now.row, et);
	f->filled = last;
	return e;
}

static enum err read_one(void *ctx, size_t i, const struct vrecord *x, struct errtext *et)
{
	struct filling *f = ctx;
	struct vrecord *to = &f->records[i];
	enum err e = check_record(f->v, &f->v->items[f->from + i], x, f->a, et);
	*to = (struct vrecord){arena_str(f->a, x->vectors), arena_str(f->a, x->payload),
		arena_str(f->a, x->text), arena_str(f->a, x->kept)};
	return e || (to->vectors.p && to->payload.p && to->text.p && to->kept.p) ? e
										 : no_memory(et);
}

static enum err read_some(struct filling *f, const struct cancel *cancel, struct errtext *et)
{
	f->n = MIN(f->v->n - f->from, (size_t)FILL_ITEMS);
	f->records = arena_array_of(f->a, f->n + 1, struct vrecord);
	const struct vitem **items = arena_array_of(f->a, f->n + 1, const struct vitem *);
	if (!f->records || !items)
		return no_memory(et);
	for (size_t i = 0; i < f->n; i++)
		items[i] = &f->v->items[f->from + i];
	return version_records(f->v, items, f->n, read_one, f, cancel, et);
}

static enum err fill_some(struct filling *f, const struct cancel *cancel, struct errtext *et)
{
	struct vlive now;
	struct tx *tx;
	enum err e = version_live_now(f->c, f->project, f->name, f->a, &now, et);
	f->filled = !e && (!vlive_lazy(&now) || now.row.number != f->number);
	if (e || f->filled)
		return e;
	f->done = now.head.done;
	f->from = f->done.n ? version_from(f->v, f->done) + 1 : 0;
	e = read_some(f, cancel, et);
	e = e ? e : db_begin(croft_db(f->c), TX_WRITE, &tx, et);
	return e ? e : db_finish(tx, fill_in(f, tx, et), et);
}

enum err version_fill_rows(struct croft *c, struct str project, struct str name, int64_t number,
	struct vprogress *at, const struct cancel *cancel, struct errtext *et)
{
	struct filling f = {.c = c, .project = project, .name = name, .number = number};
	struct arena *a = arena_new(0);
	struct version *v = NULL;
	struct vlive now;
	enum err e = a ? version_live_now(c, project, name, a, &now, et) : no_memory(et);
	f.filled = !e && (!vlive_lazy(&now) || now.row.number != number);
	e = e || f.filled ? e : version_load(c, now.head.digest.p, &v, cancel, et);
	f.v = v;
	while (!e && !f.filled) {
		f.a = arena_new(0);
		e = !f.a                ? no_memory(et)
		    : cancelled(cancel) ? err_set(et, ERR_CANCELLED, "opening a copy was cancelled")
					: fill_some(&f, cancel, et);
		arena_free(f.a);
		if (at && !e)
			atomic_store(&at->done, f.from + f.n);
	}
	version_put(c, v);
	arena_free(a);
	return e;
}

/* A little, so that who writes to one that is nearly done need not come again. */
static bool await_refill(
	struct croft *c, int64_t number, const struct cancel *cancel, unsigned *percent)
{
	enum { NAP_MS = 25, WAIT_MS = 5000 };
	bool busy = true;
	pool_wait_begin();
	for (int ms = 0; ms < WAIT_MS && !cancelled(cancel); ms += NAP_MS) {
		busy = refill_busy(c, number, percent);
		if (!busy)
			break;
		clock_sleep_ms(NAP_MS);
	}
	pool_wait_end();
	return !busy;
}

enum err version_fill(struct croft *c, struct str project, struct str name,
	const struct cancel *cancel, struct errtext *et)
{
	struct arena *a = arena_new(0);
	struct vlive now;
	unsigned percent = 0;
	enum err e = a ? version_live_now(c, project, name, a, &now, et) : no_memory(et);
	bool begun_anew = !e && refill_busy(c, now.row.number, NULL);
	if (begun_anew && !await_refill(c, now.row.number, cancel, &percent))
		e = err_set(et, ERR_NOT_READY,
			"%.*s is being given the items of a version (%u %%): it is read from that "
			"meanwhile, and can be changed when that is done: try again in a moment",
			STR_FMT(name), percent);
	else if (!e && !begun_anew && vlive_lazy(&now))
		e = version_fill_rows(c, project, name, now.row.number, NULL, cancel, et);
	arena_free(a);
	return e;
}
