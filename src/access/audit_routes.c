/* GET /api/v1/audit, /api/v1/audit/export, /api/v1/audit/verify. */
#include "access/access_int.h"
#include "base/clock.h"

enum { LIST_MAX = 1000, BATCH = 500, EXPORT_PART_MAX = 100000 };

/* ---- list ---- */

static void record_object(struct jw *w, const struct audit_record *r)
{
	char text[CLOCK_TEXT], id[ID_HEX + 1], hash[SHA256_HEX + 1];
	jw_obj(w);
	jw_ki64(w, "seq", r->seq);
	clock_rfc3339(r->time_ms, text);
	jw_kc(w, "time", text);
	id_hex(r->actor_id, id);
	jw_kc(w, "actor_id", id_is_zero(r->actor_id) ? NULL : id);
	jw_kstr(w, "actor", r->actor);
	jw_kstr(w, "project", r->project);
	jw_kstr(w, "action", r->action);
	jw_kstr(w, "subject", r->subject);
	jw_key(w, "detail");
	jw_raw(w, r->detail);
	hex_encode(r->hash, SHA256_BYTES, hash);
	jw_kc(w, "hash", hash);
	jw_end(w);
}

static enum err time_filter(
	const struct http_request *rq, const char *name, int64_t *out, struct errtext *et)
{
	struct str s = http_query(rq, name);
	if (s.n && !clock_parse_rfc3339(s, out))
		return err_set(et, ERR_INVALID,
			"%s: a date (2026-05-03) or a time (2026-05-03T12:00:00Z) is expected",
			name);
	return OK;
}

static enum err number_filter(const struct http_request *rq, const char *name, int64_t min,
	int64_t max, int64_t *out, struct errtext *et)
{
	struct str s = http_query(rq, name);
	int64_t v;
	if (!s.n)
		return OK;
	if (!str_i64(s, &v) || v < min || v > max)
		return err_set(et, ERR_INVALID, "%s: a number from %lld to %lld is expected", name,
			(long long)min, (long long)max);
	*out = v;
	return OK;
}

/* Whoever may read the log of the whole instance may name any project or none; others read what
 * happened in theirs. */
static enum err parse_filter(
	const struct http_request *rq, struct audit_filter *f, struct errtext *et)
{
	*f = (struct audit_filter){.actor = http_query(rq, "actor"),
		.action = http_query(rq, "action"),
		.subject = http_query(rq, "subject"),
		.project = http_query(rq, "project"),
		.limit = 100};
	if (!may_house(rq, PERM_AUDIT_READ))
		f->project = project_of(rq);
	enum err e = time_filter(rq, "from", &f->from_ms, et);
	if (!e)
		e = time_filter(rq, "to", &f->to_ms, et);
	if (!e)
		e = number_filter(rq, "before", 1, INT64_MAX, &f->before, et);
	return e ? e : number_filter(rq, "limit", 1, LIST_MAX, &f->limit, et);
}

void get_audit(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct audit_filter f;
	struct audit_record *list = NULL;
	struct tx *tx;
	size_t n = 0;
	enum err e = parse_filter(rq, &f, &et);
	if (!e)
		e = db_begin(croft_db(c), TX_READ, &tx, &et);
	if (!e) {
		e = audit_list(tx, &f, rq->arena, &list, &n, &et);
		db_rollback(tx);
	}
	if (e) {
		http_reply_error(rs, e, &et);
		return;
	}
	struct buf out = {0};
	struct jw w = {.out = &out};
	jw_obj(&w);
	jw_key(&w, "records");
	jw_arr(&w);
	for (size_t i = 0; i < n; i++)
		record_object(&w, &list[i]);
	jw_end(&w);
	jw_key(&w, "next");
	n == (size_t)f.limit ? jw_i64(&w, list[n - 1].seq) : jw_null(&w);
	jw_end(&w);
	http_reply_json(rs, 200, &w);
	buf_free(&out);
}

/* ---- the whole chain, in batches, so that no transaction is long ---- */

typedef enum err (*record_fn)(void *ctx, const struct audit_record *r, struct errtext *et);

/* Calls fn for at most `limit` records after `after`; *more says whether there may be others. */
static enum err each_record(struct croft *c, int64_t after, int64_t limit, record_fn fn, void *ctx,
	const struct cancel *cancel, bool *more, struct errtext *et)
{
	enum err e = OK;
	*more = true;
	while (!e && limit > 0 && *more) {
		if (cancelled(cancel))
			return err_set(et, ERR_CANCELLED, "cancelled");
		struct audit_record *list;
		struct tx *tx;
		struct arena *a = arena_new(0);
		size_t n = 0;
		int64_t batch = MIN(limit, (int64_t)BATCH);
		e = a ? db_begin(croft_db(c), TX_READ, &tx, et)
		      : err_set(et, ERR_NOMEM, "no memory");
		if (!e) {
			e = audit_after(tx, after, batch, a, &list, &n, et);
			db_rollback(tx);
		}
		for (size_t i = 0; i < n && !e; i++) {
			after = list[i].seq;
			e = fn(ctx, &list[i], et);
		}
		*more = n == (size_t)batch;
		limit -= batch;
		arena_free(a);
	}
	return e;
}

struct export
{
	struct http_response *rs;
	struct buf part;
	int64_t seq;
	uint8_t hash[SHA256_BYTES];
};

static enum err export_flush(struct export *x)
{
	enum err e = x->part.err ? x->part.err : http_stream_write(x->rs, buf_str(&x->part));
	buf_clear(&x->part);
	return e;
}

static enum err export_record(void *ctx, const struct audit_record *r, struct errtext *et)
{
	struct export *x = ctx;
	audit_line(&x->part, r);
	x->seq = r->seq;
	memcpy(x->hash, r->hash, SHA256_BYTES);
	return x->part.n > 64 << 10 ? export_flush(x) : OK;
}

/* What the head line says when no record follows `after`. */
static enum err head_at(struct croft *c, int64_t seq, struct export *x, struct errtext *et)
{
	struct tx *tx;
	struct audit_record *list;
	struct arena *a = arena_new(0);
	size_t n = 0;
	enum err e =
		a ? db_begin(croft_db(c), TX_READ, &tx, et) : err_set(et, ERR_NOMEM, "no memory");
	if (!e) {
		e = audit_after(tx, seq - 1, 1, a, &list, &n, et);
		db_rollback(tx);
	}
	if (!e && n && list[0].seq == seq) {
		x->seq = seq;
		memcpy(x->hash, list[0].hash, SHA256_BYTES);
	}
	arena_free(a);
	return e;
}

void get_audit_export(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct export x = {.rs = rs};
	int64_t after = 0, limit = INT64_MAX;
	bool more = false;
	enum err e = OK;
	if (!may_house(rq, PERM_AUDIT_READ))
		e = err_set(&et, ERR_FORBIDDEN,
			"only who may read the audit log of every project exports the chain");
	if (!e)
		e = number_filter(rq, "after", 0, INT64_MAX, &after, &et);
	if (!e)
		e = number_filter(rq, "limit", 1, EXPORT_PART_MAX, &limit, &et);
	if (!e && after)
		e = head_at(c, after, &x, &et);
	if (e) {
		http_reply_error(rs, e, &et);
		return;
	}
	e = http_stream_begin(rs, 200, "application/x-ndjson");
	if (!e)
		e = each_record(c, after, limit, export_record, &x, rq->cancel, &more, &et);
	/* a stream that fails ends without its head line, and so shows that it is not whole */
	if (!e && !more)
		audit_head_line(&x.part, x.seq, x.hash);
	if (!e)
		export_flush(&x);
	buf_free(&x.part);
}

struct verify {
	struct audit_chain chain;
	int64_t want_seq;
	uint8_t want[SHA256_BYTES];
	bool want_seen;
};

static enum err verify_record(void *ctx, const struct audit_record *r, struct errtext *et)
{
	struct verify *v = ctx;
	if (!v->chain.n && r->seq != 1)
		return err_set(et, ERR_CORRUPT,
			"record %lld: it is the first, those before are gone", (long long)r->seq);
	enum err e = audit_chain_next(&v->chain, r, et);
	if (e || r->seq != v->want_seq)
		return e;
	v->want_seen = true;
	if (memcmp(v->want, r->hash, SHA256_BYTES))
		return err_set(et, ERR_CORRUPT,
			"record %lld: its hash is not the one that was noted: the log was "
			"rewritten",
			(long long)r->seq);
	return OK;
}

static enum err parse_verify(const struct http_request *rq, struct verify *v, struct errtext *et)
{
	struct str hash = http_query(rq, "hash");
	enum err e = number_filter(rq, "seq", 1, INT64_MAX, &v->want_seq, et);
	if (!e && (v->want_seq != 0) != (hash.n != 0))
		e = err_set(et, ERR_INVALID, "seq and hash are given together");
	if (!e && hash.n && (hash.n != SHA256_HEX || !hex_decode(hash, v->want, SHA256_BYTES)))
		e = err_set(et, ERR_INVALID, "hash: 64 hex digits are expected");
	return e;
}

static void write_verdict(
	struct http_response *rs, const struct verify *v, enum err e, const struct errtext *et)
{
	char hex[SHA256_HEX + 1];
	struct buf out = {0};
	struct jw w = {.out = &out};
	jw_obj(&w);
	jw_kbool(&w, "ok", e == OK);
	jw_ki64(&w, "records", v->chain.n);
	hex_encode(v->chain.head, SHA256_BYTES, hex);
	jw_kc(&w, "head", hex);
	jw_kc(&w, "problem", e ? err_text(e, et) : NULL);
	jw_end(&w);
	http_reply_json(rs, 200, &w);
	buf_free(&out);
}

void get_audit_verify(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct verify v = {0};
	bool more;
	enum err e = parse_verify(rq, &v, &et);
	if (!e)
		e = each_record(c, 0, INT64_MAX, verify_record, &v, rq->cancel, &more, &et);
	if (!e && v.want_seq && !v.want_seen)
		e = err_set(&et, ERR_CORRUPT, "record %lld is gone: the log ends with record %lld",
			(long long)v.want_seq, (long long)v.chain.seq);
	if (e && e != ERR_CORRUPT)
		http_reply_error(rs, e, &et);
	else
		write_verdict(rs, &v, e, &et);
}
