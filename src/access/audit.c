/* The chain of the audit log: what is hashed, how a chain is checked, and how it is exported so
 * that anybody can check it without Croft's database. */
#include "access/access_int.h"
#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- the hash ---- */

static void add_u64(struct sha256 *h, uint64_t v)
{
	uint8_t b[8];
	for (int i = 0; i < 8; i++)
		b[i] = (uint8_t)(v >> (56 - 8 * i));
	sha256_add(h, b, sizeof b);
}

static void add_text(struct sha256 *h, struct str s)
{
	add_u64(h, s.n);
	sha256_add(h, s.p, s.n);
}

void audit_hash(const struct audit_record *r, uint8_t out[SHA256_BYTES])
{
	static const char tag[] = "croft audit 1\n";
	struct sha256 h;
	memset(out, 0, SHA256_BYTES);
	if (sha256_init(&h))
		return; /* zeros never fit: a check fails and an addition is refused */
	sha256_add(&h, tag, sizeof tag - 1);
	add_u64(&h, (uint64_t)r->seq);
	add_u64(&h, (uint64_t)r->time_ms);
	sha256_add(&h, r->actor_id.b, sizeof r->actor_id.b);
	add_text(&h, r->actor);
	add_text(&h, r->project);
	add_text(&h, r->action);
	add_text(&h, r->subject);
	add_text(&h, r->detail);
	sha256_add(&h, r->prev, SHA256_BYTES);
	sha256_end(&h, out);
}

enum err audit_chain_next(struct audit_chain *c, const struct audit_record *r, struct errtext *et)
{
	static const uint8_t none[SHA256_BYTES];
	uint8_t hash[SHA256_BYTES];
	const uint8_t *prev = c->n ? c->head : r->seq == 1 ? none : r->prev;
	if (c->n && r->seq != c->seq + 1)
		return err_set(et, ERR_CORRUPT,
			"record %lld: the one before it is %lld, so that records are missing, "
			"doubled "
			"or out of order",
			(long long)r->seq, (long long)c->seq);
	if (r->seq < 1)
		return err_set(
			et, ERR_CORRUPT, "record %lld: numbers begin at 1", (long long)r->seq);
	if (memcmp(prev, r->prev, SHA256_BYTES))
		return err_set(et, ERR_CORRUPT,
			"record %lld: it does not follow the record before it: one of the two was "
			"changed",
			(long long)r->seq);
	audit_hash(r, hash);
	if (memcmp(hash, r->hash, SHA256_BYTES))
		return err_set(
			et, ERR_CORRUPT, "record %lld: its content was changed", (long long)r->seq);
	if (!c->n)
		c->first_seq = r->seq;
	c->seq = r->seq;
	memcpy(c->head, hash, SHA256_BYTES);
	c->n++;
	return OK;
}

/* ---- lines of an export ---- */

static void hash_member(struct jw *w, const char *key, const uint8_t hash[SHA256_BYTES])
{
	char hex[SHA256_HEX + 1];
	hex_encode(hash, SHA256_BYTES, hex);
	jw_kc(w, key, hex);
}

void audit_line(struct buf *out, const struct audit_record *r)
{
	struct jw w = {.out = out};
	char text[CLOCK_TEXT], hex[ID_HEX + 1];
	jw_obj(&w);
	jw_ki64(&w, "seq", r->seq);
	clock_rfc3339(r->time_ms, text);
	jw_kc(&w, "time", text);
	id_hex(r->actor_id, hex);
	jw_kc(&w, "actor_id", id_is_zero(r->actor_id) ? NULL : hex);
	jw_kstr(&w, "actor", r->actor);
	jw_kstr(&w, "project", r->project);
	jw_kstr(&w, "action", r->action);
	jw_kstr(&w, "subject", r->subject);
	jw_kstr(&w, "detail", r->detail);
	hash_member(&w, "prev", r->prev);
	hash_member(&w, "hash", r->hash);
	jw_end(&w);
	buf_putc(out, '\n');
}

void audit_head_line(struct buf *out, int64_t seq, const uint8_t hash[SHA256_BYTES])
{
	struct jw w = {.out = out};
	char text[CLOCK_TEXT];
	jw_obj(&w);
	jw_key(&w, "head");
	jw_obj(&w);
	jw_ki64(&w, "seq", seq);
	hash_member(&w, "hash", hash);
	clock_rfc3339(clock_unix_ms(), text);
	jw_kc(&w, "exported", text);
	jw_end(&w);
	jw_end(&w);
	buf_putc(out, '\n');
}

static enum err want_hash(
	yyjson_val *o, const char *key, uint8_t out[SHA256_BYTES], struct errtext *et)
{
	struct str hex = json_str(o, key);
	if (hex.n != SHA256_HEX || !hex_decode(hex, out, SHA256_BYTES))
		return err_set(et, ERR_CORRUPT, "%s is no SHA-256 in 64 hex digits", key);
	return OK;
}

static enum err want_text(
	yyjson_val *o, const char *key, struct arena *a, struct str *out, struct errtext *et)
{
	yyjson_val *v = yyjson_obj_get(o, key);
	if (!yyjson_is_str(v))
		return err_set(et, ERR_CORRUPT, "%s is missing", key);
	*out = arena_str(a, json_val_str(v));
	return out->p ? OK : err_set(et, ERR_NOMEM, "no memory for an audit record");
}

static enum err parse_record(
	yyjson_val *o, struct arena *a, struct audit_record *r, struct errtext *et)
{
	struct str time, id;
	enum err e = want_text(o, "time", a, &time, et);
	if (!e && !clock_parse_rfc3339(time, &r->time_ms))
		e = err_set(et, ERR_CORRUPT, "time is no date and time");
	id = json_str(o, "actor_id");
	if (!e && id.n && !id_parse(id, &r->actor_id))
		e = err_set(et, ERR_CORRUPT, "actor_id has not 32 hex digits");
	if (!e)
		e = want_text(o, "actor", a, &r->actor, et);
	if (!e)
		e = want_text(o, "project", a, &r->project, et);
	if (!e)
		e = want_text(o, "action", a, &r->action, et);
	if (!e)
		e = want_text(o, "subject", a, &r->subject, et);
	if (!e)
		e = want_text(o, "detail", a, &r->detail, et);
	if (!e)
		e = want_hash(o, "prev", r->prev, et);
	return e;
}

/* A record has one spelling: no second member of a name, no other time that is read as the same. */
static enum err as_written(const struct audit_record *r, struct str line, struct errtext *et)
{
	struct buf b = {0};
	audit_line(&b, r);
	bool same = !b.err && str_eq(str_sub(buf_str(&b), 0, b.n - 1), line);
	buf_free(&b);
	return same ? OK
		    : err_set(et, ERR_CORRUPT, "record %lld: it is not written as it was exported",
			      (long long)r->seq);
}

enum err audit_line_parse(
	struct str line, struct arena *a, struct audit_line *out, struct errtext *et)
{
	yyjson_doc *doc = NULL;
	struct audit_line l = {0};
	enum err e = json_parse(line, &doc, et);
	if (e)
		return e;
	yyjson_val *root = yyjson_doc_get_root(doc), *head = yyjson_obj_get(root, "head");
	yyjson_val *o = head ? head : root, *seq = yyjson_obj_get(o, "seq");
	l.is_head = head != NULL;
	if (!yyjson_is_int(seq) || yyjson_get_sint(seq) < 0)
		e = err_set(et, ERR_CORRUPT, "seq is missing");
	else
		l.record.seq = yyjson_get_sint(seq);
	if (!e)
		e = want_hash(o, "hash", l.record.hash, et);
	if (!e && !head)
		e = parse_record(o, a, &l.record, et);
	if (!e && !head)
		e = as_written(&l.record, line, et);
	yyjson_doc_free(doc);
	if (!e)
		*out = l;
	return e;
}

/* ---- a whole file ---- */

struct file_check {
	struct audit_chain *chain;
	uint64_t line;
	bool ended;
};

static enum err check_line(struct file_check *f, struct str line, struct errtext *et)
{
	struct audit_line l;
	struct arena *a = arena_new(4 << 20);
	if (!a)
		return err_set(et, ERR_NOMEM, "no memory");
	enum err e = f->ended ? err_set(et, ERR_CORRUPT, "there is something after the head line")
			      : audit_line_parse(line, a, &l, et);
	if (!e && !l.is_head) {
		e = audit_chain_next(f->chain, &l.record, et);
	} else if (!e) {
		f->ended = true;
		if (l.record.seq != f->chain->seq ||
			memcmp(l.record.hash, f->chain->head, SHA256_BYTES))
			e = err_set(et, ERR_CORRUPT,
				"the head is record %lld and the last one here is %lld: records at "
				"the end were removed or changed",
				(long long)l.record.seq, (long long)f->chain->seq);
	}
	arena_free(a);
	return e == ERR_INVALID ? ERR_CORRUPT : e;
}

/* The longest line: an action, a subject and a detail whose every byte is escaped as \u00xx. */
enum { LINE_MAX_BYTES = 6 * (AUDIT_DETAIL_MAX + AUDIT_SUBJECT_MAX) + (64 << 10) };

enum err audit_verify_file(const char *path, struct audit_chain *c, struct errtext *et)
{
	FILE *f = fopen(path, "re");
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;
	enum err e = OK;
	struct file_check fc = {.chain = c};
	if (!f)
		return err_errno(et, "%s", path);
	while (!e && (n = getline(&line, &cap, f)) > 0) {
		fc.line++;
		if (n > LINE_MAX_BYTES)
			e = err_set(et, ERR_CORRUPT, "a line is too long for a record");
		else if (line[n - 1] != '\n')
			e = err_set(et, ERR_CORRUPT, "the file ends within a line");
		else
			e = check_line(&fc, str_mk(line, (size_t)n - 1), et);
		if (e)
			err_wrap(et, e, "%s:%llu", path, (unsigned long long)fc.line);
	}
	if (!e && ferror(f))
		e = err_errno(et, "%s", path);
	if (!e && !fc.ended)
		e = err_set(et, ERR_CORRUPT,
			"%s: it ends after record %lld without the head line: it was cut off", path,
			(long long)c->seq);
	free(line);
	fclose(f);
	return e;
}
