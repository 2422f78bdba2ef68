/* What curation found, or what was selected, written into the payloads of the items: in batches,
 * each one transaction with its record in the audit log, and with how far the job is (bulk.h). */
#include "base/map.h"
#include "collection/curate_int.h"

enum { BATCH = CURATE_BATCH };

static enum err no_memory(struct errtext *et)
{
	return err_set(et, ERR_NOMEM, "no memory for a change of items");
}

/* ---- what a case says ---- */

const char *curate_default_field(enum curate_kind kind)
{
	static const char *const fields[CURATE_KINDS] = {
		"duplicate_of", "outlier", "sample", "propagated", "mislabelled", "balance"};
	return kind == CURATE_KINDS ? "selected" : fields[kind];
}

bool curate_tags(enum curate_kind kind, const struct curate_case *c)
{
	if (kind == CURATE_DUPLICATES)
		return !c->kept;
	return kind != CURATE_PROPAGATE || c->offered >= 0;
}

static void write_id(struct jw *w, struct str bytes)
{
	struct buf b = {0};
	uint64_t number;
	if (item_id_is_number(bytes, &number)) {
		jw_u64(w, number);
		return;
	}
	item_id_text(bytes, &b);
	jw_str(w, buf_str(&b));
	buf_free(&b);
}

void curate_write_value(
	struct jw *w, const struct curate_result *r, const struct curate_case *c, struct str of)
{
	switch (r->row.kind) {
	case CURATE_DUPLICATES:
		if (of.n)
			write_id(w, of);
		else
			jw_bool(w, true);
		break;
	case CURATE_PROPAGATE:
	case CURATE_MISLABELLED:
		curate_write_label(w, r, c->offered);
		break;
	case CURATE_KINDS: /* a selection says nothing of its own */
		jw_bool(w, true);
		break;
	case CURATE_SAMPLE:
		jw_i64(w, c - r->cases + 1);
		break;
	default:
		jw_f32(w, c->score);
	}
}

/* ---- a batch ---- */

struct batch {
	struct croft *c;
	const struct principal *who;
	struct collection *k;
	const struct curate_result *r;
	const struct curate_apply *what;
	struct map wanted; /* the ids that were named */
	struct str field;
	struct item_id ids[BATCH];
	struct payload_patch patches[BATCH];
	size_t n, reached; /* reached: the case after this batch */
	struct curate_applied done;
};

static struct str field_of(const struct batch *b, struct arena *a)
{
	struct str label = json_str(yyjson_obj_get(b->r->about, "parameters"), "label");
	if (b->what->action == APPLY_CHECKED)
		return arena_fmt(a, "%.*s_checked", STR_FMT(label));
	if (b->what->action == APPLY_LABEL)
		return label;
	return b->what->field.n ? b->what->field : str_c(curate_default_field(b->r->row.kind));
}

/* {"field": what the case says} */
static enum err object_of(struct batch *b, const struct curate_case *c, struct str of,
	struct arena *a, struct str *out, struct errtext *et)
{
	struct buf text = {0};
	struct jw w = {.out = &text};
	jw_obj(&w);
	jw_key_str(&w, b->field);
	if (b->what->action == APPLY_SET)
		jw_raw(&w, b->what->value);
	else if (b->what->action == APPLY_CHECKED)
		curate_write_label(&w, b->r, c->given);
	else
		curate_write_value(&w, b->r, c, of);
	jw_end(&w);
	*out = text.err ? (struct str){0} : arena_str(a, buf_str(&text));
	buf_free(&text);
	return out->p ? OK : no_memory(et);
}

/* Has the label been decided since it was looked at: is it another one by now, or was it checked?
 */
static enum err decided_since(struct batch *b, const struct curate_case *c, struct str payload,
	bool *yes, struct errtext *et)
{
	struct buf now = {0}, given = {0}, checked = {0}, key = {0};
	struct jw w = {.out = &given};
	yyjson_doc *doc = NULL;
	enum err e = json_parse(payload.n ? payload : S("{}"), &doc, et);
	if (e)
		return err_wrap(et, ERR_CORRUPT, "a stored payload");
	yyjson_val *o = yyjson_doc_get_root(doc);
	if (c->given >= 0)
		curate_write_label(&w, b->r, c->given);
	buf_addf(&key, "%.*s_checked", STR_FMT(b->field));
	bool has = curate_label_of(o, b->field, &now);
	*yes = has != (c->given >= 0) || !str_eq(buf_str(&now), buf_str(&given)) ||
	       (has && curate_label_of(o, buf_str(&key), &checked) &&
		       str_eq(buf_str(&checked), buf_str(&given)));
	if (now.err || given.err || checked.err || key.err)
		e = no_memory(et);
	yyjson_doc_free(doc);
	buf_free(&now);
	buf_free(&given);
	buf_free(&checked);
	buf_free(&key);
	return e;
}

/* The case's item into the batch, if it is there and was meant. */
static enum err add_case(struct batch *b, struct tx *tx, const struct curate_case *c,
	struct arena *a, struct errtext *et)
{
	struct item_row r = {0}, other = {0};
	struct str object = {0};
	struct item_want nothing = {false}, read = {.payload = b->what->action == APPLY_LABEL};
	bool decided = false;
	enum err e = store_item_by_num(tx, b->k->number, c->num, read, a, &r, et);
	if (e && e != ERR_NOT_FOUND)
		return e;
	if (!e && b->what->ids && !map_get(&b->wanted, r.id))
		return OK;
	if (!e && read.payload)
		e = decided_since(b, c, r.payload, &decided, et);
	if (e == ERR_NOT_FOUND || decided) {
		b->done.gone++;
		return OK;
	}
	if (e)
		return e;
	if (r.id.n > COLLECTION_ID_MAX)
		return err_set(et, ERR_CORRUPT, "the stored id of an item is damaged");
	if (c->other && b->what->action == APPLY_TAG) {
		e = store_item_by_num(tx, b->k->number, c->other, nothing, a, &other, et);
		e = e == ERR_NOT_FOUND ? OK : e;
	}
	if (b->what->action != APPLY_DELETE)
		e = e ? e : object_of(b, c, other.id, a, &object, et);
	if (e)
		return e;
	b->ids[b->n].n = (uint8_t)r.id.n;
	memcpy(b->ids[b->n].b, r.id.p, r.id.n);
	b->patches[b->n++] = (struct payload_patch){.change = PAYLOAD_SET, .object = object};
	return OK;
}

static enum err also(void *ctx, size_t touched, struct tx *tx, struct errtext *et)
{
	struct batch *b = ctx;
	struct curate_applied so_far = b->done;
	so_far.items += touched;
	return b->what->also ? b->what->also(b->what->ctx, &so_far, b->reached, tx, et) : OK;
}

static enum err write_batch(struct batch *b, struct errtext *et)
{
	struct buf detail = {0};
	struct jw w = {.out = &detail};
	size_t changed = 0;
	bool gone = b->what->action == APPLY_DELETE;
	if (!b->n)
		return OK;
	jw_obj(&w);
	jw_kc(&w, "kind",
		b->r->row.kind == CURATE_KINDS ? "selection" : curate_word(b->r->row.kind));
	if (!gone)
		jw_kstr(&w, "field", b->field);
	jw_ki64(&w, "items", (int64_t)b->n);
	jw_ki64(&w, "found_at", b->r->row.seq);
	jw_end(&w);
	struct change_record record = {b->who,
		gone ? "collection.curate.delete" : "collection.curate.set", buf_str(&detail), also,
		b};
	enum err e = detail.err ? no_memory(et)
		     : gone     ? collection_remove_recorded(
					  b->k, b->ids, b->n, &record, &changed, &b->done.seq, et)
			    : collection_patch_each(b->k, b->ids, b->patches, b->n, &record,
				      &changed, &b->done.seq, et);
	buf_free(&detail);
	b->done.items += changed;
	b->n = 0;
	return e;
}

/* ---- all of them ---- */

static bool touches(const struct batch *b, const struct curate_case *c)
{
	if (b->what->action == APPLY_CHECKED)
		return c->given >= 0;
	return curate_tags(b->r->row.kind, c);
}

enum err curate_apply_check(
	enum curate_kind kind, const struct curate_apply *what, struct errtext *et)
{
	bool labels = kind == CURATE_MISLABELLED || kind == CURATE_PROPAGATE;
	if (kind == CURATE_BALANCE)
		return err_set(et, ERR_INVALID, "balance names classes and no items");
	if ((what->action == APPLY_LABEL && !labels) ||
		(what->action == APPLY_CHECKED && kind != CURATE_MISLABELLED))
		return err_set(et, ERR_INVALID, "%s offer no labels", curate_word(kind));
	if (what->action == APPLY_SET && kind != CURATE_KINDS)
		return err_set(et, ERR_INVALID, "what curation found is tagged, not set");
	if (kind == CURATE_KINDS && what->action != APPLY_SET && what->action != APPLY_DELETE)
		return err_set(et, ERR_INVALID, "items that were selected are set or deleted");
	if (what->action == APPLY_SET && (!what->field.n || !what->value.n))
		return err_set(et, ERR_INVALID, "field or value is missing");
	if (what->action == APPLY_DELETE && kind != CURATE_KINDS && kind != CURATE_DUPLICATES &&
		kind != CURATE_OUTLIERS)
		return err_set(et, ERR_INVALID, "only duplicates and outliers can be deleted");
	if (what->field.n > 200)
		return err_set(et, ERR_INVALID, "the name of a field has at most 200 bytes");
	return OK;
}

static enum err want_ids(struct batch *b, struct errtext *et)
{
	for (size_t i = 0; i < b->what->n_ids; i++)
		if (!map_put(&b->wanted, item_id_bytes(&b->what->ids[i]), b))
			return no_memory(et);
	return OK;
}

static enum err fill_batch(struct batch *b, size_t *at, struct arena *a, struct errtext *et)
{
	struct tx *tx;
	enum err e = db_begin(croft_db(b->c), TX_READ, &tx, et);
	if (e)
		return e;
	for (size_t looked = 0; *at < b->r->n && b->n < BATCH && looked < 10 * BATCH && !e;
		++*at, looked++)
		if (touches(b, &b->r->cases[*at]))
			e = add_case(b, tx, &b->r->cases[*at], a, et);
	db_rollback(tx);
	return e;
}

enum err curate_apply_run(struct croft *c, const struct principal *who, struct collection *k,
	const struct curate_result *r, const struct curate_apply *what, struct curate_applied *out,
	struct arena *a, struct errtext *et)
{
	struct batch *b = arena_new_of(a, struct batch);
	enum err e = b ? curate_apply_check(r->row.kind, what, et) : no_memory(et);
	if (e)
		return e;
	b->c = c;
	b->who = who;
	b->k = k;
	b->r = r;
	b->what = what;
	b->field = field_of(b, a);
	b->done = what->before;
	e = b->field.p ? want_ids(b, et) : no_memory(et);
	for (size_t at = what->from; at < r->n && !e;) {
		struct arena *pages = arena_new(0);
		e = pages ? fill_batch(b, &at, pages, et) : no_memory(et);
		b->reached = at;
		e = e ? e : write_batch(b, et);
		arena_free(pages);
		if (!e && cancelled(what->cancel) && at < r->n)
			e = err_set(et, ERR_CANCELLED, "cancelled after %zu items", b->done.items);
	}
	map_free(&b->wanted);
	if (!e)
		*out = b->done;
	return e;
}
