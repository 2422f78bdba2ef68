/* A folder in the BEIR layout: corpus.jsonl, queries.jsonl, qrels/test.tsv (or another there, or
 * qrels.tsv); each also packed with xz or gzip. Judgements may have TREC's four columns too. */
#include "eval/eval_int.h"

#include "base/hash.h"
#include "base/os.h"
#include "base/proc.h"

#include <dirent.h>

enum { FILE_MAX = 1 << 30 };

static enum err unpack(const char *program, const char *path, struct buf *out,
	const struct cancel *cancel, struct errtext *et)
{
	const char *argv[] = {program, "-dc", "--", path, NULL};
	struct proc_spec spec = {
		.argv = argv, .output_max = FILE_MAX, .wall_ms_max = 600000, .cancel = cancel};
	struct proc_result r;
	enum err e = proc_run(&spec, &r, et);
	if (e)
		return err_wrap(et, e, "%s", path);
	if (r.exit_code)
		e = err_set(et, ERR_CORRUPT, "%s: %s", path, r.err_tail);
	else
		buf_adds(out, buf_str(&r.out));
	proc_result_release(&r);
	return e;
}

/* DIR/NAME as it is or packed. ERR_NOT_FOUND. */
static enum err slurp(const char *dir, const char *name, struct buf *out,
	const struct cancel *cancel, struct errtext *et)
{
	struct buf path = {0};
	enum err e = ERR_NOT_FOUND;
	buf_addf(&path, "%s/%s", dir, name);
	if (os_exists(buf_c(&path)))
		e = os_read_file(buf_c(&path), FILE_MAX, out, et);
	else if (buf_addc(&path, ".xz"), os_exists(buf_c(&path)))
		e = unpack("xz", buf_c(&path), out, cancel, et);
	else if (path.n -= 3, path.p[path.n] = 0, buf_addc(&path, ".gz"), os_exists(buf_c(&path)))
		e = unpack("gzip", buf_c(&path), out, cancel, et);
	else
		e = err_set(et, ERR_NOT_FOUND, "%s/%s is not there (nor .xz, .gz)", dir, name);
	buf_free(&path);
	return e;
}

/* The only file of DIR/qrels, when there is no test.tsv. */
static enum err slurp_only(
	const char *dir, struct buf *out, const struct cancel *cancel, struct errtext *et)
{
	struct buf folder = {0};
	char name[256] = "";
	size_t n = 0;
	buf_addf(&folder, "%s/qrels", dir);
	DIR *d = opendir(buf_c(&folder));
	for (struct dirent *f; d && (f = readdir(d));)
		if (f->d_name[0] != '.') {
			snprintf(name, sizeof name, "%s", f->d_name);
			n++;
		}
	if (d)
		closedir(d);
	size_t len = strlen(name);
	if (len > 3 && (!strcmp(name + len - 3, ".xz") || !strcmp(name + len - 3, ".gz")))
		name[len - 3] = 0;
	enum err e =
		n == 1 ? slurp(buf_c(&folder), name, out, cancel, et)
		       : err_set(et, ERR_NOT_FOUND,
				 "%s has neither qrels/test.tsv nor qrels.tsv, and %zu files in "
				 "qrels: name one with --qrels",
				 dir, n);
	buf_free(&folder);
	return e;
}

static enum err read_qrels(const char *dir, struct str asked, struct buf *out,
	const struct cancel *cancel, struct errtext *et)
{
	char name[4096];
	if (asked.n) {
		snprintf(name, sizeof name, "%.*s", STR_FMT(asked));
		return os_exists(name) ? os_read_file(name, FILE_MAX, out, et)
				       : slurp(dir, name, out, cancel, et);
	}
	enum err e = slurp(dir, "qrels/test.tsv", out, cancel, et);
	if (e == ERR_NOT_FOUND)
		e = slurp(dir, "qrels.tsv", out, cancel, et);
	if (e == ERR_NOT_FOUND)
		e = slurp_only(dir, out, cancel, et);
	return e;
}

static struct str last_part(const char *path)
{
	struct str s = str_c(path);
	while (s.n > 1 && s.p[s.n - 1] == '/')
		s.n--;
	size_t slash = str_rchr(s, '/');
	return slash == STR_NONE || slash + 1 == s.n ? s : str_sub(s, slash + 1, s.n);
}

enum err folder_read(const char *path, struct str qrels, bool corpus, struct folder *out,
	const struct cancel *cancel, struct errtext *et)
{
	struct folder f = {.name = last_part(path)};
	enum err e =
		os_is_dir(path) ? OK : err_set(et, ERR_NOT_FOUND, "there is no folder %s", path);
	e = e ? e : slurp(path, "queries.jsonl", &f.queries, cancel, et);
	e = e ? e : read_qrels(path, qrels, &f.qrels, cancel, et);
	if (!e && corpus) {
		e = slurp(path, "corpus.jsonl", &f.corpus, cancel, et);
		if (!e)
			sha256_hex_of(buf_str(&f.corpus), f.digest);
	}
	if (e) {
		folder_release(&f);
		return e;
	}
	*out = f;
	return OK;
}

void folder_release(struct folder *f)
{
	buf_free(&f->corpus);
	buf_free(&f->queries);
	buf_free(&f->qrels);
}

/* ---- judgements ---- */

static size_t columns_of(struct str line, struct str out[5])
{
	size_t n = 0;
	bool tabs = str_chr(line, '\t') != STR_NONE;
	struct str part;
	while (n < 5 && str_next(&line, tabs ? '\t' : ' ', &part))
		if (tabs || part.n)
			out[n++] = str_trim(part);
	return n;
}

enum err folder_qrels(const struct folder *f, qrel_fn fn, void *ctx, struct errtext *et)
{
	struct str text = buf_str(&f->qrels), line;
	size_t row = 0;
	enum err e = OK;
	while (!e && str_next_line(&text, &line)) {
		struct str col[5];
		double grade;
		row++;
		if (!str_trim(line).n)
			continue;
		size_t n = columns_of(line, col);
		if (row == 1 && n >= 3 && !str_f64(col[n - 1], &grade))
			continue; /* the names of the columns */
		if ((n != 3 && n != 4) || !str_f64(col[n - 1], &grade))
			return err_set(et, ERR_INVALID,
				"judgements, row %zu: query, document and grade are expected, or "
				"TREC's query, 0, document and grade",
				row);
		e = fn(ctx, col[0], col[n - 2], grade);
	}
	return e;
}

static enum err write_qrel(void *ctx, struct str query, struct str document, double grade)
{
	struct jw *w = ctx;
	jw_arr(w);
	jw_str(w, query);
	jw_str(w, document);
	jw_f64(w, grade);
	jw_end(w);
	return OK;
}

enum err folder_queries(
	const struct folder *f, size_t at_most, struct jw *w, size_t *n, struct errtext *et)
{
	struct str rest = buf_str(&f->queries), line;
	size_t row = 0;
	*n = 0;
	jw_key(w, "queries");
	jw_arr(w);
	while (str_next_line(&rest, &line) && (!at_most || *n < at_most)) {
		yyjson_doc *doc;
		row++;
		if (!str_trim(line).n)
			continue;
		enum err e = json_parse(line, &doc, et);
		if (e)
			return err_wrap(et, e, "queries.jsonl, row %zu", row);
		yyjson_val *o = yyjson_doc_get_root(doc);
		jw_obj(w);
		jw_key(w, "id");
		jw_val(w, yyjson_obj_get(o, "_id"));
		jw_kstr(w, "text", json_str(o, "text"));
		jw_end(w);
		yyjson_doc_free(doc);
		++*n;
	}
	jw_end(w);
	jw_key(w, "qrels");
	jw_arr(w);
	enum err e = folder_qrels(f, write_qrel, w, et);
	jw_end(w);
	return e;
}
