/* `croft audit ls`, `croft audit export`, `croft audit verify`. */
#include "access/access_int.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static enum err fetch(
	struct cmd *cmd, const char *path, struct buf *body, yyjson_doc **doc, struct errtext *et)
{
	enum err e = cmd_call(cmd, HTTP_GET, path, (struct str){0}, body, et);
	return e ? e : json_parse(buf_str(body), doc, et);
}

/* ---- ls ---- */

static void list_row(struct cmd_table *t, yyjson_val *r)
{
	struct str time = json_str(r, "time");
	struct buf detail = {0};
	struct jw w = {.out = &detail};
	jw_val(&w, yyjson_obj_get(r, "detail"));
	cmd_cell(t, "%lld", (long long)json_i64(r, "seq", 0));
	cmd_cell(t, "%.*s %.*s", STR_FMT(str_sub(time, 0, 10)), STR_FMT(str_sub(time, 11, 19)));
	cmd_cell(t, "%.*s", STR_FMT(json_str(r, "actor")));
	cmd_cell(t, "%.*s", STR_FMT(json_str(r, "project")));
	cmd_cell(t, "%.*s", STR_FMT(json_str(r, "action")));
	cmd_cell(t, "%.*s", STR_FMT(json_str(r, "subject")));
	cmd_cell(t, "%.*s", STR_FMT(str_eq_c(buf_str(&detail), "{}") ? S("") : buf_str(&detail)));
	buf_free(&detail);
}

enum err run_audit_ls(struct cmd *cmd, struct errtext *et)
{
	static const char *const titles[] = {
		"SEQ", "TIME (UTC)", "WHO", "PROJECT", "ACTION", "SUBJECT", "DETAIL"};
	static const char *const passed[] = {"actor", "action", "subject", "from", "to", "limit"};
	struct buf path = {0}, body = {0};
	yyjson_doc *doc = NULL;
	buf_addc(&path, "/api/v1/audit");
	const char *sep = "?";
	for (size_t i = 0; i < ARRAY_LEN(passed); i++) {
		struct str v = cmd_opt(cmd, passed[i]);
		if (!v.p)
			continue;
		buf_addf(&path, "%s%s=", sep, passed[i]);
		url_encode(&path, v);
		sep = "&";
	}
	enum err e = fetch(cmd, buf_c(&path), &body, &doc, et);
	if (!e && cmd_json(cmd)) {
		cmd_outf(cmd, "%s\n", buf_c(&body));
	} else if (!e) {
		yyjson_val *records = yyjson_obj_get(yyjson_doc_get_root(doc), "records"), *r;
		struct cmd_table *t = cmd_table(cmd, titles, ARRAY_LEN(titles));
		size_t i, n;
		yyjson_arr_foreach(records, i, n, r) list_row(t, r);
		cmd_table_end(t);
	}
	yyjson_doc_free(doc);
	buf_free(&path);
	buf_free(&body);
	return e;
}

/* ---- export ---- */

enum { PART = 20000 };

/* Whether the part ends with the head line; *seq becomes its number, else the last record's. */
static enum err end_of_part(struct str part, int64_t *seq, bool *head, struct errtext *et)
{
	struct audit_line l;
	struct arena *a = arena_new(0);
	if (!part.n || part.p[part.n - 1] != '\n' || !a) {
		arena_free(a);
		return err_set(et, ERR_NETWORK, "the export was cut off");
	}
	part.n--;
	size_t begin = str_rchr(part, '\n');
	struct str last = begin == STR_NONE ? part : str_sub(part, begin + 1, part.n);
	enum err e = audit_line_parse(last, a, &l, et);
	if (!e) {
		*seq = l.record.seq;
		*head = l.is_head;
	}
	arena_free(a);
	return e;
}

static enum err export_to(struct cmd *cmd, int fd, int64_t *records, struct errtext *et)
{
	struct buf part = {0}, path = {0};
	bool head = false;
	enum err e = OK;
	*records = 0;
	while (!e && !head) {
		buf_clear(&part);
		buf_clear(&path);
		buf_addf(&path, "/api/v1/audit/export?after=%lld&limit=%d", (long long)*records,
			PART);
		e = cmd_call(cmd, HTTP_GET, buf_c(&path), (struct str){0}, &part, et);
		if (!e)
			e = end_of_part(buf_str(&part), records, &head, et);
		if (!e)
			e = os_write_all(fd, part.p, part.n, et);
	}
	buf_free(&part);
	buf_free(&path);
	return e;
}

enum err run_audit_export(struct cmd *cmd, struct errtext *et)
{
	if (cmd_n_args(cmd) != 1)
		return err_set(et, ERR_INVALID,
			"name the file to write: croft audit export FILE (or - for standard "
			"output)");
	struct str file = cmd_arg(cmd, 0);
	bool standard = str_eq_c(file, "-");
	int64_t records;
	cmd_flush(cmd);
	int fd = standard ? STDOUT_FILENO
			  : open(file.p, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_errno(et, "%s", file.p);
	enum err e = export_to(cmd, fd, &records, et);
	if (!standard) {
		if (!e && fsync(fd))
			e = err_errno(et, "%s", file.p);
		close(fd);
		if (e)
			unlink(file.p);
	}
	if (!e)
		cmd_note(
			cmd, "%lld record%s exported", (long long)records, records == 1 ? "" : "s");
	return e;
}

/* ---- verify ---- */

static enum err verify_file(struct cmd *cmd, struct str file, struct errtext *et)
{
	struct audit_chain chain = {0};
	char hex[SHA256_HEX + 1];
	struct str noted = cmd_opt(cmd, "head");
	enum err e = audit_verify_file(file.p, &chain, et);
	if (e)
		return e;
	hex_encode(chain.head, SHA256_BYTES, hex);
	if (noted.p && !str_eq_nocase(noted, str_c(hex)))
		return err_set(et, ERR_CORRUPT,
			"%s is one chain, but its head is %s and not the one given: it was cut off "
			"or "
			"rewritten",
			file.p, hex);
	if (cmd_json(cmd)) {
		cmd_outf(cmd, "{\"ok\":true,\"records\":%lld,\"first\":%lld,\"head\":\"%s\"}\n",
			(long long)chain.n, (long long)chain.first_seq, hex);
		return OK;
	}
	cmd_outf(cmd, "%lld records, one unbroken chain\nhead %s\n", (long long)chain.n, hex);
	if (chain.n && chain.first_seq != 1)
		cmd_outf(cmd, "it begins with record %lld: those before are not proved\n",
			(long long)chain.first_seq);
	return OK;
}

/* The instance must still hold the head of an export that was made before. */
static enum err noted_head(struct str file, struct buf *path, struct errtext *et)
{
	struct audit_chain chain = {0};
	char hex[SHA256_HEX + 1];
	enum err e = audit_verify_file(file.p, &chain, et);
	if (e)
		return e;
	hex_encode(chain.head, SHA256_BYTES, hex);
	if (chain.n)
		buf_addf(path, "?seq=%lld&hash=%s", (long long)chain.seq, hex);
	return OK;
}

static enum err verify_instance(struct cmd *cmd, struct errtext *et)
{
	struct buf path = {0}, body = {0};
	yyjson_doc *doc = NULL;
	struct str since = cmd_opt(cmd, "since");
	buf_addc(&path, "/api/v1/audit/verify");
	enum err e = since.p ? noted_head(since, &path, et) : OK;
	if (!e)
		e = fetch(cmd, buf_c(&path), &body, &doc, et);
	yyjson_val *v = yyjson_doc_get_root(doc);
	if (!e && cmd_json(cmd))
		cmd_outf(cmd, "%s\n", buf_c(&body));
	if (!e && !json_bool(v, "ok", false))
		e = err_set(et, ERR_CORRUPT, "%.*s (%lld records before it are good)",
			STR_FMT(json_str(v, "problem")), (long long)json_i64(v, "records", 0));
	else if (!e && !cmd_json(cmd))
		cmd_outf(cmd, "%lld records, one unbroken chain\nhead %.*s\n",
			(long long)json_i64(v, "records", 0), STR_FMT(json_str(v, "head")));
	yyjson_doc_free(doc);
	buf_free(&path);
	buf_free(&body);
	return e;
}

enum err run_audit_verify(struct cmd *cmd, struct errtext *et)
{
	if (cmd_n_args(cmd) > 1)
		return err_set(
			et, ERR_INVALID, "one exported file at most: croft audit verify [FILE]");
	return cmd_n_args(cmd) ? verify_file(cmd, cmd_arg(cmd, 0), et) : verify_instance(cmd, et);
}
