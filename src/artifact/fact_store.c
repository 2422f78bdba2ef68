/* Facts: an append-only table with two times, and the present derived from it.
 *
 *  1. A row is never changed and never removed. seq grows by one; recorded_ms never falls, even
 *     when the clock steps back.
 *  2. Each row's hash covers the row and the hash before it: a row that was edited, removed from
 *     the middle or put in between shows in facts_verify. (What is cut off the end shows beside an
 *     older head, which the audit log has.)
 *  3. What holds of (artifact, version, what, name) at valid time v as known at record time r: of
 *     the facts with recorded <= r and valid <= v that no fact known at r retracts, the one with
 *     the greatest valid time, among equals the one written last. A NULL value: nothing holds.
 *  4. artifact_now is (3) for the present. fact_add derives it again in the same transaction;
 *     facts_verify compares it with the facts and can rebuild it. */
#include "access/access.h"
#include "artifact/registry_int.h"
#include "base/clock.h"
#include "base/room.h"

#include <stdio.h>
#include <stdlib.h>

enum { REASON_MAX = 4000, VALUE_MAX = 1 << 20, FACT_NAME_MAX = 1000 };

#define COLUMNS                                                                              \
	"f.seq, f.artifact, f.version, f.what, f.name, f.value, f.valid_ms, f.recorded_ms, " \
	"f.who, f.reason, f.detail, f.retracts, f.hash"

enum err row_copy(struct arena *a, struct str s, struct str *out, struct errtext *et)
{
	struct str c = s.p ? arena_str(a, s) : s;
	if (s.p && !c.p)
		return err_set(et, ERR_NOMEM, "no memory for what was found");
	*out = c;
	return OK;
}

static enum err copy_all(struct arena *a, struct row *r, const int *columns, struct str *const *to,
	size_t n, struct errtext *et)
{
	enum err e = OK;
	for (size_t i = 0; i < n && !e; i++)
		if (row_null(r, columns[i]))
			*to[i] = (struct str){0};
		else
			e = row_copy(a, row_text(r, columns[i]), to[i], et);
	return e;
}

static enum err read_fact(struct row *r, struct arena *a, struct fact *f, struct errtext *et)
{
	*f = (struct fact){.seq = row_i64(r, 0),
		.artifact = row_id(r, 1),
		.version = row_i64(r, 2),
		.valid_ms = row_i64(r, 6),
		.recorded_ms = row_i64(r, 7),
		.retracts = row_i64(r, 11)};
	struct str *const to[] = {
		&f->what, &f->name, &f->value, &f->who, &f->reason, &f->detail, &f->hash};
	static const int columns[] = {3, 4, 5, 8, 9, 10, 12};
	return copy_all(a, r, columns, to, ARRAY_LEN(to), et);
}

/* Reads all rows of a query into the arena. */
static enum err read_facts(struct tx *tx, const char *sql, const struct param *p, size_t n_p,
	struct arena *a, struct fact **out, size_t *n, struct errtext *et)
{
	struct row *r;
	struct fact *list = NULL;
	size_t k = 0, cap = 0;
	enum err e = db_query_n(tx, &r, et, sql, p, n_p);
	if (e)
		return e;
	while (!e && row_next(r, &e, et)) {
		if (!arena_room(a, list, k, cap)) {
			e = err_set(et, ERR_NOMEM, "no memory for facts");
			break;
		}
		e = read_fact(r, a, &list[k++], et);
	}
	row_free(r);
	if (e)
		return e;
	*out = list;
	*n = k;
	return OK;
}

/* ---- the chain ---- */

static void hash_part(struct sha256 *h, struct str s)
{
	char head[24];
	int n = snprintf(head, sizeof head, s.p ? "%zu:" : "-:", s.n);
	sha256_add(h, head, (size_t)n);
	sha256_add(h, s.p, s.n);
}

static void hash_number(struct sha256 *h, int64_t v)
{
	char text[24];
	int n = snprintf(text, sizeof text, "%lld", (long long)v);
	hash_part(h, str_mk(text, (size_t)n));
}

static enum err fact_hash(const struct fact *f, struct str project, struct str before,
	char hex[SHA256_HEX + 1], struct errtext *et)
{
	uint8_t sum[SHA256_BYTES];
	struct sha256 h;
	enum err e = sha256_init(&h);
	if (e)
		return err_set(et, e, "no memory for a hash");
	hash_part(&h, before);
	hash_number(&h, f->seq);
	hash_part(&h, project);
	hash_part(&h, str_mk(f->artifact.b, sizeof f->artifact.b));
	hash_number(&h, f->version);
	hash_part(&h, f->what);
	hash_part(&h, f->name);
	hash_part(&h, f->value);
	hash_number(&h, f->valid_ms);
	hash_number(&h, f->recorded_ms);
	hash_part(&h, f->who);
	hash_part(&h, f->reason);
	hash_part(&h, f->detail);
	hash_number(&h, f->retracts);
	sha256_end(&h, sum);
	hex_encode(sum, sizeof sum, hex);
	return OK;
}

struct head {
	int64_t seq, recorded_ms;
	char hash[SHA256_HEX + 1];
};

static enum err chain_head(struct tx *tx, struct head *h, struct errtext *et)
{
	struct row *r;
	*h = (struct head){0};
	enum err e = db_query(tx, &r, et,
		"SELECT seq, recorded_ms, hash FROM artifact_fact ORDER BY seq DESC LIMIT 1");
	if (e)
		return e;
	if (row_next(r, &e, et)) {
		h->seq = row_i64(r, 0);
		h->recorded_ms = row_i64(r, 1);
		snprintf(h->hash, sizeof h->hash, "%.*s", STR_FMT(row_text(r, 2)));
	}
	row_free(r);
	return e;
}

/* ---- deriving ---- */

bool time_is_now(struct artifact_time at)
{
	return !at.as_of_ms && !at.known_ms;
}

static struct artifact_time bounds(struct artifact_time at)
{
	if (!at.as_of_ms)
		at.as_of_ms = at.known_ms ? at.known_ms : INT64_MAX;
	if (!at.known_ms)
		at.known_ms = INT64_MAX;
	return at;
}

#define HELD                                                                          \
	"f.valid_ms <= ? AND f.recorded_ms <= ? AND f.retracts = 0 AND NOT EXISTS ("  \
	"SELECT 1 FROM artifact_fact x WHERE x.retracts = f.seq AND x.retracts <> 0 " \
	"AND x.recorded_ms <= ?) "

enum err fact_at(struct tx *tx, struct id artifact, int64_t version, struct str what,
	struct str name, struct artifact_time at, struct arena *a, struct fact *out, bool *found,
	struct errtext *et)
{
	at = bounds(at);
	struct fact *list;
	size_t n = 0;
	const struct param p[] = {P_ID(artifact), P_I64(version), P_TEXT(what), P_TEXT(name),
		P_I64(at.as_of_ms), P_I64(at.known_ms), P_I64(at.known_ms)};
	enum err e = read_facts(tx,
		"SELECT " COLUMNS " FROM artifact_fact f WHERE f.artifact = ? AND f.version = ? "
		"AND f.what = ? AND f.name = ? AND " HELD
		"ORDER BY f.valid_ms DESC, f.seq DESC LIMIT 1",
		p, ARRAY_LEN(p), a, &list, &n, et);
	if (e)
		return e;
	*found = n && list[0].value.p;
	if (n)
		*out = list[0];
	return OK;
}

enum err facts_at(struct tx *tx, struct id artifact, int64_t version, struct str what,
	struct artifact_time at, struct arena *a, struct fact **out, size_t *n, struct errtext *et)
{
	at = bounds(at);
	struct fact *list;
	size_t k = 0, kept = 0;
	const struct param p[] = {P_ID(artifact), P_I64(version), P_I64(version), P_TEXT(what),
		P_TEXT(what), P_I64(at.as_of_ms), P_I64(at.known_ms), P_I64(at.known_ms)};
	enum err e = read_facts(tx,
		"SELECT " COLUMNS " FROM artifact_fact f WHERE f.artifact = ? AND "
		"(f.version = ? OR ? = -1) AND (f.what = ? OR ? = '') AND " HELD
		"ORDER BY f.version, f.what, f.name, f.valid_ms DESC, f.seq DESC",
		p, ARRAY_LEN(p), a, &list, &k, et);
	if (e)
		return e;
	struct fact last = {0};
	for (size_t i = 0; i < k; i++) {
		bool same = i && list[i].version == last.version &&
			    str_eq(list[i].what, last.what) && str_eq(list[i].name, last.name);
		if (same)
			continue;
		last = list[i];
		if (last.value.p)
			list[kept++] = last;
	}
	*out = list;
	*n = kept;
	return OK;
}

/* ---- the present ---- */

static enum err present_put(struct tx *tx, const struct fact *f, struct errtext *et)
{
	return db_exec(tx, et,
		"INSERT INTO artifact_now (artifact, version, what, name, seq) "
		"VALUES (?, ?, ?, ?, ?) ON CONFLICT (artifact, version, what, name) "
		"DO UPDATE SET seq = excluded.seq",
		P_ID(f->artifact), P_I64(f->version), P_TEXT(f->what), P_TEXT(f->name),
		P_I64(f->seq));
}

static enum err refresh(struct tx *tx, const struct fact *added, struct errtext *et)
{
	struct arena *a = arena_new(4 << 20);
	struct fact f = {0};
	bool found = false;
	if (!a)
		return err_set(et, ERR_NOMEM, "no memory");
	enum err e = fact_at(tx, added->artifact, added->version, added->what, added->name,
		(struct artifact_time){0}, a, &f, &found, et);
	if (!e && found)
		e = present_put(tx, &f, et);
	else if (!e)
		e = db_exec(tx, et,
			"DELETE FROM artifact_now WHERE artifact = ? AND version = ? AND what = ? "
			"AND name = ?",
			P_ID(added->artifact), P_I64(added->version), P_TEXT(added->what),
			P_TEXT(added->name));
	if (!e)
		e = rows_follow(tx, &f, found, added->artifact, added->version, added->what,
			added->recorded_ms, et);
	arena_free(a);
	return e;
}

static enum err insert(struct tx *tx, struct str project, const struct fact *f, struct errtext *et)
{
	return db_exec(tx, et,
		"INSERT INTO artifact_fact (seq, project, artifact, version, what, name, value, "
		"valid_ms, recorded_ms, who, reason, detail, retracts, hash) "
		"VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		P_I64(f->seq), P_TEXT(project), P_ID(f->artifact), P_I64(f->version),
		P_TEXT(f->what), P_TEXT(f->name), P_TEXT(f->value), P_I64(f->valid_ms),
		P_I64(f->recorded_ms), P_TEXT(f->who), P_TEXT(f->reason), P_TEXT(f->detail),
		P_I64(f->retracts), P_TEXT(f->hash));
}

/* ---- may they ---- */

static enum perm perm_for(const struct fact *f)
{
	if (f->perm)
		return f->perm;
	if (str_eq_c(f->what, "alias") || str_eq_c(f->what, "stage"))
		return PERM_ARTIFACT_ALIAS;
	if (str_eq_c(f->what, "approval"))
		return PERM_ARTIFACT_APPROVE;
	bool ends = !f->value.p && !f->retracts;
	if (ends && (str_eq_c(f->what, "name") || str_eq_c(f->what, "version")))
		return PERM_ARTIFACT_DELETE;
	return PERM_ARTIFACT_WRITE;
}

static enum err tag_pairs(struct tx *tx, struct id artifact, int64_t version, struct arena *a,
	struct http_pair **out, size_t *n, struct errtext *et)
{
	struct fact *tags;
	size_t k = 0;
	enum err e = facts_now(tx, artifact, version, S("tag"), a, &tags, &k, et);
	struct http_pair *list = e ? NULL : arena_array_of(a, *n + k + 1, struct http_pair);
	if (e)
		return e;
	if (!list)
		return err_set(et, ERR_NOMEM, "no memory");
	if (*n)
		memcpy(list, *out, *n * sizeof *list);
	for (size_t i = 0; i < k; i++)
		list[*n + i] = (struct http_pair){tags[i].name, tags[i].value};
	*out = list;
	*n += k;
	return OK;
}

/* The principal's permission, and the rules on single artifacts that its role has. */
static enum err allowed(struct tx *tx, const struct principal *who, const struct fact *f,
	const struct artifact *of, struct arena *a, struct errtext *et)
{
	struct http_request as = {.who = who};
	struct rule_subject subject = {.kind = of->kind, .name = of->name};
	struct http_pair *tags = NULL;
	size_t n = 0;
	enum err e = OK;
	if (str_eq_c(f->what, "alias"))
		subject.alias = f->name;
	else if (str_eq_c(f->what, "stage"))
		subject.alias = f->value;
	if (who->access) {
		e = tag_pairs(tx, of->id, 0, a, &tags, &n, et);
		if (!e && f->version)
			e = tag_pairs(tx, of->id, f->version, a, &tags, &n, et);
		subject.tags = tags;
		subject.n_tags = n;
	}
	return e ? e : access_rule(&as, perm_for(f), &subject, et);
}

/* ---- the audit log has what matters, with the hash that anchors this chain ---- */

static bool is_audited(const struct fact *f)
{
	static const char *const always[] = {"alias", "approval", "stage"};
	if (f->retracts)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(always); i++)
		if (str_eq_c(f->what, always[i]))
			return true;
	return !f->value.p && (str_eq_c(f->what, "name") || str_eq_c(f->what, "version"));
}

static void audit_detail(const struct fact *f, struct buf *out)
{
	struct jw w = {.out = out};
	jw_obj(&w);
	jw_ki64(&w, "fact", f->seq);
	jw_kstr(&w, "hash", f->hash);
	jw_kstr(&w, "what", f->what);
	jw_kstr(&w, "name", f->name);
	jw_key(&w, "value");
	f->value.p ? jw_str(&w, f->value) : jw_null(&w);
	if (f->version)
		jw_ki64(&w, "version", f->version);
	if (f->retracts)
		jw_ki64(&w, "retracts", f->retracts);
	json_time(&w, "valid", f->valid_ms);
	jw_kstr(&w, "reason", f->reason);
	jw_key(&w, "detail");
	jw_raw(&w, f->detail);
	jw_end(&w);
}

static enum err audit(struct tx *tx, const struct principal *who, const struct fact *f,
	const struct artifact *of, struct errtext *et)
{
	char action[64];
	struct buf subject = {0}, detail = {0};
	bool ends = str_eq_c(f->what, "name") || str_eq_c(f->what, "version");
	snprintf(action, sizeof action, "artifact.%.*s",
		STR_FMT(f->retracts ? S("retract")
			: ends      ? S("delete")
				    : f->what));
	buf_addf(&subject, "%.*s/%.*s", STR_FMT(of->kind), STR_FMT(of->name));
	if (f->version)
		buf_addf(&subject, ":%lld", (long long)f->version);
	if (str_eq_c(f->what, "alias"))
		buf_addf(&subject, "@%.*s", STR_FMT(f->name));
	audit_detail(f, &detail);
	enum err e = subject.err || detail.err
			     ? err_set(et, ERR_NOMEM, "no memory")
			     : audit_add(tx, who, action, buf_str(&subject), buf_str(&detail), et);
	buf_free(&subject);
	buf_free(&detail);
	return e;
}

/* Everything but the chain: whether they may, the row, the present, the audit log. */
static enum err add(struct tx *tx, const struct principal *who, struct fact *full,
	const struct head *head, struct errtext *et)
{
	char hex[SHA256_HEX + 1];
	struct artifact of;
	struct arena *a = arena_new(16 << 20);
	enum err e = a ? artifact_get(tx, who->project, full->artifact, a, &of, et)
		       : err_set(et, ERR_NOMEM, "no memory");
	if (!e)
		e = allowed(tx, who, full, &of, a, et);
	if (!e)
		e = fact_hash(full, who->project, str_c(head->hash), hex, et);
	full->hash = str_c(hex);
	if (!e)
		e = insert(tx, who->project, full, et);
	if (!e)
		e = refresh(tx, full, et);
	if (!e && is_audited(full))
		e = audit(tx, who, full, &of, et);
	full->hash = (struct str){0};
	arena_free(a);
	return e;
}

enum err fact_add(struct tx *tx, const struct principal *who, const struct fact *f, int64_t *seq,
	struct errtext *et)
{
	struct head head;
	struct fact full = *f;
	int64_t now = clock_unix_ms();
	if (f->valid_ms > now)
		return err_set(et, ERR_INVALID, "valid: a time in the future cannot hold yet");
	if (f->reason.n > REASON_MAX || f->value.n > VALUE_MAX || f->name.n > FACT_NAME_MAX)
		return err_set(et, ERR_TOO_LARGE,
			"a reason has at most %d bytes, a text %d, a key %d", REASON_MAX, VALUE_MAX,
			FACT_NAME_MAX);
	enum err e = chain_head(tx, &head, et);
	if (e)
		return e;
	full.seq = head.seq + 1;
	full.recorded_ms = MAX(now, head.recorded_ms);
	full.valid_ms = f->valid_ms ? f->valid_ms : full.recorded_ms;
	full.name = f->name.p ? f->name : S("");
	full.who = who->name.n ? who->name : S("local");
	full.reason = f->reason.p ? f->reason : S("");
	full.detail = f->detail.n ? f->detail : S("{}");
	e = add(tx, who, &full, &head, et);
	if (!e && seq)
		*seq = full.seq;
	return e;
}

#define NOW_QUERY "SELECT " COLUMNS " FROM artifact_now c JOIN artifact_fact f ON f.seq = c.seq "

enum err facts_now(struct tx *tx, struct id artifact, int64_t version, struct str what,
	struct arena *a, struct fact **out, size_t *n, struct errtext *et)
{
	if (version < 0) {
		const struct param p[] = {P_ID(artifact), P_TEXT(what), P_TEXT(what)};
		return read_facts(tx,
			NOW_QUERY "WHERE c.artifact = ? AND (c.what = ? OR ? = '') "
				  "ORDER BY c.version, c.what, c.name",
			p, ARRAY_LEN(p), a, out, n, et);
	}
	const struct param p[] = {P_ID(artifact), P_I64(version), P_TEXT(what), P_TEXT(what)};
	return read_facts(tx,
		NOW_QUERY "WHERE c.artifact = ? AND c.version = ? AND (c.what = ? OR ? = '') "
			  "ORDER BY c.what, c.name",
		p, ARRAY_LEN(p), a, out, n, et);
}

enum err fact_now(struct tx *tx, struct id artifact, int64_t version, struct str what,
	struct str name, struct arena *a, struct fact *out, bool *found, struct errtext *et)
{
	struct fact *list;
	size_t n = 0;
	const struct param p[] = {P_ID(artifact), P_I64(version), P_TEXT(what), P_TEXT(name)};
	enum err e = read_facts(tx,
		NOW_QUERY "WHERE c.artifact = ? AND c.version = ? AND c.what = ? AND c.name = ?", p,
		ARRAY_LEN(p), a, &list, &n, et);
	if (e)
		return e;
	*found = n > 0;
	if (n)
		*out = list[0];
	return OK;
}

/* ---- reading the history ---- */

enum err fact_list(struct tx *tx, struct str project, const struct fact_filter *f, struct arena *a,
	struct fact **out, size_t *n, struct errtext *et)
{
	struct param p[8] = {P_TEXT(project), P_ID(f->artifact)};
	size_t k = 2;
	struct buf sql = {0};
	buf_addc(&sql,
		"SELECT " COLUMNS " FROM artifact_fact f WHERE f.project = ? AND f.artifact = ?");
	if (f->version >= 0) {
		buf_addc(&sql, " AND f.version = ?");
		p[k++] = P_I64(f->version);
	}
	if (f->what.n) {
		buf_addc(&sql, " AND f.what = ?");
		p[k++] = P_TEXT(f->what);
	}
	if (f->name.n) {
		buf_addc(&sql, " AND f.name = ?");
		p[k++] = P_TEXT(f->name);
	}
	if (f->before) {
		buf_addc(&sql, " AND f.seq < ?");
		p[k++] = P_I64(f->before);
	}
	buf_addc(&sql, " ORDER BY f.seq DESC LIMIT ?");
	p[k++] = P_I64(f->limit);
	enum err e = sql.err ? err_set(et, ERR_NOMEM, "no memory")
			     : read_facts(tx, buf_c(&sql), p, k, a, out, n, et);
	buf_free(&sql);
	return e;
}

enum err fact_get(struct tx *tx, struct str project, int64_t seq, struct arena *a, struct fact *out,
	struct errtext *et)
{
	struct fact *list;
	size_t n = 0;
	const struct param p[] = {P_TEXT(project), P_I64(seq)};
	enum err e = read_facts(tx,
		"SELECT " COLUMNS " FROM artifact_fact f WHERE f.project = ? AND f.seq = ?", p,
		ARRAY_LEN(p), a, &list, &n, et);
	if (!e && !n)
		e = err_set(et, ERR_NOT_FOUND, "there is no fact %lld", (long long)seq);
	if (!e)
		*out = list[0];
	return e;
}

/* ---- verifying ---- */

static enum err verify_chain(
	struct tx *tx, struct arena *a, struct fact_report *rep, struct errtext *et)
{
	struct row *r;
	char before[SHA256_HEX + 1] = "", hex[SHA256_HEX + 1];
	int64_t seq = 0;
	enum err e = db_query(
		tx, &r, et, "SELECT " COLUMNS ", f.project FROM artifact_fact f ORDER BY f.seq");
	if (e)
		return e;
	while (!e && row_next(r, &e, et)) {
		struct arena *one = arena_new(4 << 20);
		struct fact f;
		e = one ? read_fact(r, one, &f, et) : err_set(et, ERR_NOMEM, "no memory");
		if (!e)
			e = fact_hash(&f, row_text(r, 13), str_c(before), hex, et);
		if (!e) {
			bool good = f.seq == seq + 1 && str_eq_c(f.hash, hex);
			if (!good && !rep->first_bad)
				rep->first_bad = f.seq;
			seq = f.seq;
			rep->facts++;
			snprintf(before, sizeof before, "%.*s", STR_FMT(f.hash));
		}
		arena_free(one);
	}
	row_free(r);
	return e ? e : row_copy(a, str_c(before), &rep->head, et);
}

/* A version's row says what the fact that made it says. */
static enum err verify_versions(struct tx *tx, struct fact_report *rep, struct errtext *et)
{
	struct row *r;
	enum err e = db_query(tx, &r, et,
		"SELECT v.digest, v.source, "
		"(SELECT f.value FROM artifact_fact f WHERE f.artifact = v.artifact AND f.version "
		"= v.version AND f.what = 'version' AND f.name = '' ORDER BY f.seq LIMIT 1) "
		"FROM artifact_version v");
	if (e)
		return e;
	while (row_next(r, &e, et)) {
		struct str digest = row_text(r, 0);
		rep->versions++;
		if (row_null(r, 2) || !str_eq(row_text(r, 2), digest.n ? digest : row_text(r, 1)))
			rep->version_bad++;
	}
	row_free(r);
	return e;
}

struct subject {
	struct id artifact;
	int64_t version;
	struct str what, name;
};

static enum err subjects(
	struct tx *tx, struct arena *a, struct subject **out, size_t *n, struct errtext *et)
{
	struct row *r;
	size_t k = 0, cap = 0;
	struct subject *list = NULL;
	enum err e = db_query(tx, &r, et,
		"SELECT artifact, version, what, name FROM artifact_fact UNION "
		"SELECT artifact, version, what, name FROM artifact_now");
	if (e)
		return e;
	while (!e && row_next(r, &e, et)) {
		if (k == cap) {
			cap = cap ? cap * 2 : 256;
			struct subject *bigger = realloc(list, cap * sizeof *list);
			if (!bigger) {
				e = err_set(et, ERR_NOMEM, "no memory to verify facts");
				break;
			}
			list = bigger;
		}
		list[k] = (struct subject){.artifact = row_id(r, 0), .version = row_i64(r, 1)};
		e = row_copy(a, row_text(r, 2), &list[k].what, et);
		if (!e)
			e = row_copy(a, row_text(r, 3), &list[k].name, et);
		k++;
	}
	row_free(r);
	if (e) {
		free(list);
		return e;
	}
	*out = list;
	*n = k;
	return OK;
}

static enum err verify_present(struct tx *tx, const struct subject *s, bool repair,
	struct fact_report *rep, struct errtext *et)
{
	struct arena *a = arena_new(4 << 20);
	struct fact want = {0}, have = {0};
	bool wanted = false, there = false;
	if (!a)
		return err_set(et, ERR_NOMEM, "no memory");
	enum err e = fact_at(tx, s->artifact, s->version, s->what, s->name,
		(struct artifact_time){0}, a, &want, &wanted, et);
	if (!e)
		e = fact_now(tx, s->artifact, s->version, s->what, s->name, a, &have, &there, et);
	bool stale = wanted != there || (wanted && want.seq != have.seq);
	if (!e && stale) {
		rep->stale++;
		struct fact of = {.artifact = s->artifact,
			.version = s->version,
			.what = s->what,
			.name = s->name};
		if (repair)
			e = refresh(tx, &of, et);
	}
	arena_free(a);
	return e;
}

enum err facts_verify(
	struct tx *tx, bool repair, struct arena *a, struct fact_report *out, struct errtext *et)
{
	struct fact_report rep = {0};
	struct subject *list = NULL;
	size_t n = 0;
	enum err e = verify_chain(tx, a, &rep, et);
	if (!e)
		e = verify_versions(tx, &rep, et);
	if (!e)
		e = subjects(tx, a, &list, &n, et);
	for (size_t i = 0; i < n && !e; i++)
		e = verify_present(tx, &list[i], repair, &rep, et);
	free(list);
	if (!e)
		*out = rep;
	return e;
}
