/* The live items of a collection as a tree, and the version that is made of it.
 *
 * One read transaction sees the items as one change has left them. Ids and the numbers of changes
 * are read of all; the rest only of items that have changed since the head, or that it does not
 * have. Whoever writes meanwhile is not held up. */
#include "collection/version_int.h"
#include "access/access.h"
#include "base/clock.h"

enum { PAGE = 2048, FEW = PAGE / 8, TRIES = 4 };

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for a version of a collection");
}

/* ---- the live one ---- */

enum err version_live(struct tx *tx, struct str project, struct str name, struct arena *a,
	struct vlive *out, struct errtext *et)
{
	enum err e = store_collection_by_name(tx, project, name, a, &out->row, et);
	if (!e && !str_eq(out->row.name, name))
		return err_set(et, ERR_CONFLICT,
			"%.*s is an alias of the collection %.*s: versions go by its own name",
			STR_FMT(name), STR_FMT(out->row.name));
	return e ? e : store_head(tx, out->row.number, a, &out->head, &out->headed, et);
}

enum err version_live_now(struct croft *c, struct str project, struct str name, struct arena *a,
	struct vlive *out, struct errtext *et)
{
	struct tx *tx;
	enum err e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	e = version_live(tx, project, name, a, out, et);
	db_rollback(tx);
	return e;
}

/* ---- building ---- */

struct seen { /* of a page */
	struct str id;
	int64_t seq;
	const struct vitem *base; /* NULL: the head does not have it */
	bool read;                /* what it holds must be read */
};

struct building {
	struct tx *tx;
	struct vlive live;
	const struct version *base;
	size_t at; /* in the base */
	struct vwriter *w;
	struct arena *a; /* of the page */
	struct seen page[PAGE];
	size_t n, n_read, next; /* next: the one whose record comes next */
	struct vcounts counts;
	const struct cancel *cancel;
	bool tight;
};

static enum err see(void *ctx, const struct item_row *r, struct errtext *et)
{
	struct building *b = ctx;
	struct seen *s = &b->page[b->n];
	*s = (struct seen){.id = arena_str(b->a, r->id), .seq = r->seq};
	if (!s->id.p)
		return no_memory(et);
	while (b->at < b->base->n && str_cmp(b->base->items[b->at].id, s->id) < 0) {
		b->counts.removed++;
		b->at++;
	}
	if (b->at < b->base->n && str_eq(b->base->items[b->at].id, s->id))
		s->base = &b->base->items[b->at++];
	s->read = !s->base || s->seq > b->live.head.seq;
	b->n_read += s->read;
	b->n++;
	return OK;
}

/* The next one of the page, with its row when it was to be read. */
static enum err take(struct building *b, const struct item_row *r, struct errtext *et)
{
	const struct seen *s = &b->page[b->next++];
	if (!s->read)
		return vwriter_keep(b->w, b->base, s->base, et);
	struct vrecord record = {r->vectors, r->payload, r->text, S("")};
	struct vitem it = {.id = s->id};
	version_sums(&record, &it);
	if (s->base && version_same(s->base, &it))
		return vwriter_keep(b->w, b->base, s->base, et);
	b->counts.added += !s->base;
	b->counts.changed += s->base != NULL;
	enum err e = r->text.n ? text_besides(b->tx, r, b->a, &record.kept, et) : OK;
	return e ? e : vwriter_add(b->w, &it, &record, et);
}

static enum err take_row(void *ctx, const struct item_row *r, struct errtext *et)
{
	return take(ctx, r, et);
}

static enum err take_page(struct building *b, struct errtext *et)
{
	static const struct item_want whole = {true, true};
	int64_t number = b->live.row.number;
	enum err e = OK;
	if (b->n_read > FEW)
		return store_items_from(b->tx, number, b->page[0].id, b->n, whole, take_row, b, et);
	while (b->next < b->n && !e) {
		struct item_row r = {0};
		const struct seen *s = &b->page[b->next];
		e = s->read ? store_item(b->tx, number, s->id, whole, b->a, &r, et) : OK;
		e = e ? e : take(b, &r, et);
	}
	return e;
}

/* Ids behind this one: it and a byte that sorts first. */
static struct str behind(struct str id, struct arena *a)
{
	char *p = arena_alloc(a, id.n + 1);
	if (p && id.n)
		memcpy(p, id.p, id.n);
	return p ? str_mk(p, id.n + 1) : (struct str){0};
}

static enum err build_pages(struct building *b, struct errtext *et)
{
	char from[COLLECTION_ID_MAX + 1];
	size_t from_n = 0;
	enum err e = OK;
	do {
		b->n = b->n_read = b->next = 0;
		b->a = arena_new(0);
		e = !b->a ? no_memory(et)
		    : cancelled(b->cancel)
			    ? err_set(et, ERR_CANCELLED, "making a version was cancelled")
			    : store_items_from(b->tx, b->live.row.number, str_mk(from, from_n),
				      PAGE, (struct item_want){false}, see, b, et);
		e = e || !b->n ? e : take_page(b, et);
		if (!e && b->n) {
			struct str next = behind(b->page[b->n - 1].id, b->a);
			e = next.p && next.n <= sizeof from ? OK : no_memory(et);
			from_n = e ? 0 : next.n;
			if (!e)
				memcpy(from, next.p, next.n);
		}
		arena_free(b->a);
	} while (!e && b->n == PAGE);
	b->counts.removed += (int64_t)(b->base->n - b->at);
	return e;
}

static enum err build_in(
	struct croft *c, struct building *b, struct tree_sum *sum, struct errtext *et)
{
	enum err e = vwriter_open(c, b->base, &b->w, et);
	if (e)
		return e;
	if (b->tight)
		vwriter_tight(b->w);
	e = build_pages(b, et);
	if (e) {
		vwriter_drop(b->w);
		return e;
	}
	return vwriter_finish(b->w, b->live.row.config, sum, et);
}

/* No files: it was stored before. */
static void sum_of_head(const struct vlive *x, const struct version *base, struct tree_sum *sum)
{
	*sum = (struct tree_sum){.bytes = base->tree ? base->tree->bytes : 0};
	snprintf(sum->digest, sizeof sum->digest, "%.*s", STR_FMT(x->head.digest));
}

enum err version_build(struct croft *c, struct str project, struct str name, bool tight,
	struct arena *a, struct vlive *out, struct tree_sum *sum, struct vcounts *counts,
	const struct cancel *cancel, struct errtext *et)
{
	struct building *b = arena_new_of(a, struct building);
	struct version *base = NULL;
	if (!b)
		return no_memory(et);
	b->cancel = cancel;
	b->tight = tight;
	enum err e = db_begin(croft_db(c), TX_READ, &b->tx, et);
	if (e)
		return e;
	e = version_live(b->tx, project, name, a, &b->live, et);
	e = e ? e : version_load(c, b->live.head.digest.p, &base, cancel, et);
	b->base = base;
	if (!e && vlive_clean(&b->live) && (!tight || vlive_lazy(&b->live)))
		sum_of_head(&b->live, base, sum);
	else if (!e)
		e = build_in(c, b, sum, et);
	version_put(c, base);
	db_rollback(b->tx);
	if (!e) {
		*out = b->live;
		*counts = b->counts;
	}
	return e;
}

/* ---- recording ---- */

static struct str metadata(const struct vmake *m, struct arena *a)
{
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	jw_kc(&w, "format", "collection/1");
	jw_kstr(&w, "collection", m->name);
	jw_kc(&w, "made_by", m->made_by);
	if (m->detail.n)
		jw_kstr(&w, "from", m->detail);
	jw_ki64(&w, "seq", m->seq);
	jw_ki64(&w, "items", m->items);
	jw_ki64(&w, "added", m->counts.added);
	jw_ki64(&w, "removed", m->counts.removed);
	jw_ki64(&w, "changed", m->counts.changed);
	jw_key(&w, "parents");
	jw_arr(&w);
	if (m->parent && m->parent->version)
		jw_str(&w, version_parent_text(m->parent->artifact, m->parent->version, a));
	if (m->other.version)
		jw_str(&w, version_parent_text(m->other.artifact, m->other.version, a));
	jw_end(&w);
	jw_end(&w);
	struct str out = b.err ? (struct str){0} : arena_str(a, buf_str(&b));
	buf_free(&b);
	return out;
}

static enum err derived(struct tx *tx, const struct principal *who, struct id of, int64_t version,
	struct id from, int64_t from_version, struct arena *a, struct errtext *et)
{
	if (!from_version)
		return OK;
	return lineage_add(tx, who,
		&(struct edge){.node = node_version(a, of, version),
			.kind = EDGE_DERIVED,
			.source = node_version(a, from, from_version)},
		et);
}

static enum err tag_it(struct tx *tx, const struct principal *who, struct str name, struct str tag,
	int64_t version, struct errtext *et)
{
	if (!tag.n)
		return OK;
	return artifact_alias_set(tx, who,
		&(struct alias_move){
			.kind = S(VERSION_KIND), .name = name, .alias = tag, .version = version},
		et);
}

/* Other servers look where the head is. */
static enum err version_notify(struct tx *tx, int64_t collection, struct errtext *et)
{
	char number[24];
	snprintf(number, sizeof number, "%lld", (long long)collection);
	return db_notify(tx, COLLECTION_CHANNEL, str_c(number), et);
}

enum err version_record(struct tx *tx, const struct principal *who, int64_t collection,
	const struct vmake *m, struct arena *a, struct head_row *out, struct errtext *et)
{
	struct str name = version_artifact(m->name, a), about = metadata(m, a);
	struct artifact of;
	int64_t made = 0;
	if (!name.p || !about.p)
		return no_memory(et);
	enum err e = artifact_put_version(tx, who,
		&(struct version_new){.kind = S(VERSION_KIND),
			.name = name,
			.digest = str_c(m->digest),
			.description = m->message,
			.metadata = about,
			.bytes = m->bytes},
		&made, et);
	e = e ? e : artifact_find(tx, m->project, S(VERSION_KIND), name, a, &of, et);
	if (!e && m->parent)
		e = derived(tx, who, of.id, made, m->parent->artifact, m->parent->version, a, et);
	e = e ? e : derived(tx, who, of.id, made, m->other.artifact, m->other.version, a, et);
	e = e ? e : tag_it(tx, who, name, m->tag, made, et);
	struct head_row head = {.collection = collection,
		.artifact = of.id,
		.version = made,
		.seq = m->seq,
		.digest = str_c(m->digest),
		.origin = m->parent ? m->parent->origin : S(""),
		.done = S("")};
	e = e ? e : store_head_put(tx, &head, et);
	e = e ? e : version_notify(tx, collection, et);
	if (!e)
		*out = head;
	return e;
}

/* ---- committing ---- */

struct committing {
	const struct vcommit *q;
	struct arena *a;
	struct vlive seen;
	struct tree_sum sum;
	struct vcounts counts;
	struct head_row head; /* as it is now */
	bool raced, own;
};

bool vlive_same_head(const struct vlive *x, const struct vlive *y)
{
	return x->row.number == y->row.number && x->headed == y->headed &&
	       x->head.version == y->head.version &&
	       !memcmp(&x->head.artifact, &y->head.artifact, sizeof x->head.artifact) &&
	       str_eq(x->head.digest, y->head.digest);
}

/* The head is the artifact of the collection itself, and not that which it was branched from. */
static enum err head_is_own(struct committing *k, struct tx *tx, struct errtext *et)
{
	struct artifact of;
	enum err e = artifact_find(tx, k->q->project, S(VERSION_KIND),
		version_artifact(k->q->name, k->a), k->a, &of, et);
	k->own =
		!e && k->seen.head.version && !memcmp(&of.id, &k->seen.head.artifact, sizeof of.id);
	return e == ERR_NOT_FOUND ? OK : e;
}

/* What was written since has come to nothing: the head stands at the later change. */
static enum err settle_head(struct committing *k, struct tx *tx, struct errtext *et)
{
	k->head = k->seen.head;
	k->head.seq = k->seen.row.seq;
	enum err e = store_head_put(tx, &k->head, et);
	e = e ? e : version_notify(tx, k->head.collection, et);
	return e ? e
		 : tag_it(tx, k->q->who, version_artifact(k->q->name, k->a), k->q->tag,
			   k->head.version, et);
}

static enum err record_in(struct committing *k, struct tx *tx, bool *made, struct errtext *et)
{
	struct vlive now;
	enum err e = version_live(tx, k->q->project, k->q->name, k->a, &now, et);
	k->raced = !e && !vlive_same_head(&now, &k->seen);
	if (e || k->raced)
		return e;
	e = head_is_own(k, tx, et);
	bool same = k->seen.head.version && str_eq_c(k->seen.head.digest, k->sum.digest);
	if (!e && same && (k->own || !k->q->tag.n)) {
		*made = false;
		return settle_head(k, tx, et);
	}
	*made = k->own = true;
	return e ? e
		 : version_record(tx, k->q->who, k->seen.row.number,
			   &(struct vmake){.project = k->q->project,
				   .name = k->q->name,
				   .message = k->q->message,
				   .tag = k->q->tag,
				   .digest = k->sum.digest,
				   .bytes = (int64_t)k->sum.bytes,
				   .items = k->seen.row.items,
				   .seq = k->seen.row.seq,
				   .counts = k->counts,
				   .parent = &k->seen.head,
				   .made_by = "commit"},
			   k->a, &k->head, et);
}

static enum err try_commit(struct croft *c, struct committing *k, bool *made, struct errtext *et)
{
	struct tx *tx;
	const struct vcommit *q = k->q;
	enum err e = version_build(c, q->project, q->name, q->compact, k->a, &k->seen, &k->sum,
		&k->counts, q->cancel, et);
	bool stored = k->sum.files > 0;
	e = e || !stored ? e : tree_grant(c, q->who, k->sum.digest, et);
	e = e ? e : db_begin(croft_db(c), TX_WRITE, &tx, et);
	return e ? e : db_finish(tx, record_in(k, tx, made, et), et);
}

enum err version_of_head(struct croft *c, const struct head_row *h, struct arena *a,
	struct artifact_version *out, struct errtext *et)
{
	struct tx *tx;
	enum err e = db_begin(croft_db(c), TX_READ, &tx, et);
	if (e)
		return e;
	e = artifact_get_version(tx, h->artifact, h->version, a, out, et);
	db_rollback(tx);
	return e;
}

/* A tag that reads as another name of a version would never be found. */
static enum err check_tag(struct str tag, struct errtext *et)
{
	int64_t ms;
	return str_eq_c(tag, "head") || str_eq_c(tag, "now") || clock_parse_rfc3339(tag, &ms)
		       ? err_set(et, ERR_INVALID,
				 "tag: \"%.*s\" means something already: choose another word",
				 STR_FMT(str_sub(tag, 0, 100)))
		       : OK;
}

enum err version_commit(struct croft *c, const struct vcommit *q, struct arena *a,
	struct vcommitted *out, struct errtext *et)
{
	if (check_tag(q->tag, et))
		return ERR_INVALID;
	for (int i = 0; i < TRIES; i++) {
		struct committing k = {.q = q, .a = a};
		bool made = false;
		enum err e = try_commit(c, &k, &made, et);
		if (!e && k.raced)
			continue;
		e = e ? e : version_of_head(c, &k.head, a, &out->v, et);
		if (!e && k.own)
			version_tell(c, &k.head);
		if (!e)
			out->made = made;
		return e;
	}
	return err_set(et, ERR_CONFLICT, "others make versions of %.*s all the time: try again",
		STR_FMT(q->name));
}

/* ---- where the head is, in memory ---- */

enum err shelf_head_read(struct collection *k, struct tx *tx, struct arena *a, struct errtext *et)
{
	struct head_row h;
	struct artifact of;
	bool headed = false, own = false;
	enum err e = store_head(tx, k->number, a, &h, &headed, et);
	if (!e && headed && h.version) {
		e = artifact_find(
			tx, k->project, S(VERSION_KIND), version_artifact(k->name, a), a, &of, et);
		own = !e && !memcmp(&of.id, &h.artifact, sizeof of.id);
		e = e == ERR_NOT_FOUND ? OK : e;
	}
	if (!e) {
		atomic_store(&k->head, own ? h.version : 0);
		atomic_store(&k->head_seq, headed ? h.seq : -1);
	}
	return e;
}

void version_tell(struct croft *c, const struct head_row *head)
{
	struct collections *all = collections_of(c);
	char key[24];
	snprintf(key, sizeof key, "%lld", (long long)head->collection);
	pthread_mutex_lock(&all->mu);
	struct collection *k = map_get(&all->by_number, str_c(key));
	if (k) {
		atomic_store(&k->head, head->version);
		atomic_store(&k->head_seq, head->seq);
	}
	pthread_mutex_unlock(&all->mu);
}
