/* The audit log in the database: adding at the end, and reading. Nothing here changes or removes
 * a record. */
#include "access/access_int.h"
#include "base/clock.h"

#include <ctype.h>

#define AUDIT_COLUMNS "seq, time_ms, actor_id, actor, project, action, subject, detail, prev, hash"

/* ---- adding ---- */

static bool action_ok(const char *action)
{
	for (const char *p = action; *p; p++)
		if (!islower((unsigned char)*p) && *p != '.' && *p != '_')
			return false;
	return *action && strlen(action) <= 64;
}

static enum err check_input(
	const char *action, struct str subject, struct str detail, struct errtext *et)
{
	yyjson_doc *doc = NULL;
	if (!action_ok(action))
		return err_set(et, ERR_INVALID, "\"%s\" is no action of the audit log", action);
	if (subject.n > AUDIT_SUBJECT_MAX || detail.n > AUDIT_DETAIL_MAX)
		return err_set(et, ERR_TOO_LARGE,
			"%s: the audit log takes a subject of %d bytes and a detail of %d, this "
			"has "
			"%zu and %zu",
			action, AUDIT_SUBJECT_MAX, AUDIT_DETAIL_MAX, subject.n, detail.n);
	if (!utf8_valid(subject) || memchr(subject.p ? subject.p : "", 0, subject.n))
		return err_set(et, ERR_INVALID, "%s: the subject is not UTF-8 text", action);
	enum err e = json_parse(detail, &doc, et);
	yyjson_doc_free(doc);
	return e ? err_wrap(et, e, "detail of %s", action) : OK;
}

static enum err last_of(struct tx *tx, int64_t *seq, uint8_t hash[SHA256_BYTES], struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et, "SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1");
	if (e)
		return e;
	*seq = 0;
	memset(hash, 0, SHA256_BYTES);
	if (row_next(r, &e, et)) {
		struct str h = row_blob(r, 1);
		*seq = row_i64(r, 0);
		if (h.n == SHA256_BYTES)
			memcpy(hash, h.p, SHA256_BYTES);
		else
			e = err_set(
				et, ERR_CORRUPT, "the last record of the audit log has no hash");
	}
	row_free(r);
	return e;
}

static enum err insert(struct tx *tx, const struct audit_record *r, struct errtext *et)
{
	return db_exec(tx, et,
		"INSERT INTO audit (" AUDIT_COLUMNS ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		P_I64(r->seq), P_I64(r->time_ms), P_ID(r->actor_id), P_TEXT(r->actor),
		P_TEXT(r->project), P_TEXT(r->action), P_TEXT(r->subject), P_TEXT(r->detail),
		P_BLOB(str_mk(r->prev, SHA256_BYTES)), P_BLOB(str_mk(r->hash, SHA256_BYTES)));
}

enum err audit_add(struct tx *tx, const struct principal *who, const char *action,
	struct str subject, struct str detail_json, struct errtext *et)
{
	struct audit_record r = {.time_ms = clock_unix_ms(),
		.actor = who ? who->name : S("croft"),
		.project = who && who->project.n ? who->project : S("default"),
		.action = str_c(action),
		.subject = subject.p ? subject : S(""),
		.detail = detail_json.n ? detail_json : S("{}")};
	if (who)
		r.actor_id = who->id;
	if (!r.actor.p)
		r.actor = S("");
	enum err e = check_input(action, r.subject, r.detail, et);
	if (!e)
		e = last_of(tx, &r.seq, r.prev, et);
	r.seq++;
	audit_hash(&r, r.hash);
	static const uint8_t none[SHA256_BYTES];
	if (!e && !memcmp(r.hash, none, SHA256_BYTES))
		e = err_set(et, ERR_NOMEM, "no memory to hash an audit record");
	return e ? e : insert(tx, &r, et);
}

enum err audit_in(struct tx *tx, const struct principal *who, struct str project,
	const char *action, struct str subject, struct str detail_json, struct errtext *et)
{
	struct principal in = who ? *who : (struct principal){.name = S("croft")};
	in.project = project.n ? project : S("*");
	return audit_add(tx, &in, action, subject, detail_json, et);
}

/* ---- reading ---- */

static void take_hash(struct row *r, int column, uint8_t out[SHA256_BYTES])
{
	struct str h = row_blob(r, column);
	memset(out, 0, SHA256_BYTES);
	memcpy(out, h.p ? h.p : "", MIN(h.n, (size_t)SHA256_BYTES));
}

static enum err read_record(
	struct row *r, struct arena *a, struct audit_record *out, struct errtext *et)
{
	struct str *texts[] = {
		&out->actor, &out->project, &out->action, &out->subject, &out->detail};
	*out = (struct audit_record){
		.seq = row_i64(r, 0), .time_ms = row_i64(r, 1), .actor_id = row_id(r, 2)};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		*texts[i] = arena_str(a, row_text(r, 3 + (int)i));
		if (!texts[i]->p)
			return err_set(et, ERR_NOMEM, "no memory for audit records");
	}
	take_hash(r, 8, out->prev);
	take_hash(r, 9, out->hash);
	return OK;
}

static enum err read_records(struct tx *tx, const char *sql, const struct param *p, size_t n_p,
	size_t limit, struct arena *a, struct audit_record **out, size_t *n, struct errtext *et)
{
	struct row *r;
	struct audit_record *list = arena_array_of(a, limit + 1, struct audit_record);
	size_t k = 0;
	if (!list)
		return err_set(et, ERR_NOMEM, "no memory for audit records");
	enum err e = db_query_n(tx, &r, et, sql, p, n_p);
	if (e)
		return e;
	while (!e && k < limit && row_next(r, &e, et))
		e = read_record(r, a, &list[k++], et);
	row_free(r);
	if (e)
		return e;
	*out = list;
	*n = k;
	return OK;
}

enum err audit_after(struct tx *tx, int64_t after, int64_t limit, struct arena *a,
	struct audit_record **out, size_t *n, struct errtext *et)
{
	const struct param p[] = {P_I64(after), P_I64(limit)};
	return read_records(tx,
		"SELECT " AUDIT_COLUMNS " FROM audit WHERE seq > ? ORDER BY seq LIMIT ?", p, 2,
		(size_t)limit, a, out, n, et);
}

/* "x" is exact, "x*" is what begins with x. */
static void add_text_filter(
	struct buf *sql, struct param *p, size_t *n_p, const char *column, struct str value)
{
	if (!value.n)
		return;
	if (value.p[value.n - 1] != '*') {
		buf_addf(sql, " AND %s = ?", column);
		p[(*n_p)++] = P_TEXT(value);
		return;
	}
	int64_t chars = 0;
	value.n--;
	for (size_t i = 0; i < value.n; i++)
		chars += ((unsigned char)value.p[i] & 0xC0) != 0x80;
	buf_addf(sql, " AND substr(%s, 1, %lld) = ?", column, (long long)chars);
	p[(*n_p)++] = P_TEXT(value);
}

static void add_number_filter(
	struct buf *sql, struct param *p, size_t *n_p, const char *condition, int64_t value)
{
	if (!value)
		return;
	buf_addf(sql, " AND %s ?", condition);
	p[(*n_p)++] = P_I64(value);
}

enum err audit_list(struct tx *tx, const struct audit_filter *f, struct arena *a,
	struct audit_record **out, size_t *n, struct errtext *et)
{
	struct buf sql = {0};
	struct param p[8];
	size_t n_p = 0;
	buf_addc(&sql, "SELECT " AUDIT_COLUMNS " FROM audit WHERE 1 = 1");
	add_text_filter(&sql, p, &n_p, "actor", f->actor);
	add_text_filter(&sql, p, &n_p, "action", f->action);
	add_text_filter(&sql, p, &n_p, "subject", f->subject);
	add_text_filter(&sql, p, &n_p, "project", f->project);
	add_number_filter(&sql, p, &n_p, "time_ms >=", f->from_ms);
	add_number_filter(&sql, p, &n_p, "time_ms <", f->to_ms);
	add_number_filter(&sql, p, &n_p, "seq <", f->before);
	buf_addc(&sql, " ORDER BY seq DESC LIMIT ?");
	p[n_p++] = P_I64(f->limit);
	enum err e =
		sql.err ? err_set(et, ERR_NOMEM, "no memory")
			: read_records(tx, buf_c(&sql), p, n_p, (size_t)f->limit, a, out, n, et);
	buf_free(&sql);
	return e;
}
