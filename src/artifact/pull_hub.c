/* The hub's HTTP API, and plain URLs.
 *
 *	GET hub/api/models/ORG/REPO/revision/REV?blobs=true   files with size and hash, the commit
 *	GET hub/ORG/REPO/resolve/COMMIT/FILE                  the bytes (Range to go on)
 *
 * A file is written to partial/<path>.part and resumed from there; If-Range with the ETag of the
 * first answer makes the server send all of it again when it has changed. What is complete and has
 * the right hash is moved to the staging folder. */
#include "artifact/artifact_int.h"
#include "base/clock.h"
#include "base/json.h"
#include "net/client.h"

#include <limits.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { TRIES = 6, TRY_WAIT_MS = 500, ETAG_MAX = 200 };

/* ---- one download ---- */

struct remote {
	const char *url;
	struct str rel;    /* path within the model's folder */
	char sha256[80];   /* "" unknown */
	char git_sha1[48]; /* of small files; "" unknown */
	uint64_t bytes;    /* 0: unknown */
	bool with_token;
};

struct download {
	struct pull *p;
	const struct remote *r;
	struct sink sink;
	struct errtext *et;
	char etag[ETAG_MAX + 1];
	char etag_path[1024];
	int status;
	uint64_t begun_at; /* bytes that were there before this try */
	uint64_t total;
};

static struct str header(const struct http_pair *h, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq_nocase(h[i].name, str_c(name)))
			return h[i].value;
	return (struct str){0};
}

/* "bytes 5-9/10": where the answer begins, and the whole length (0: "*"). */
static bool content_range(struct str v, uint64_t *from, uint64_t *total)
{
	if (!str_starts(v, S("bytes ")))
		return false;
	v = str_sub(v, 6, v.n);
	size_t dash = str_chr(v, '-'), slash = str_chr(v, '/');
	if (dash == STR_NONE || slash == STR_NONE || !str_u64(str_sub(v, 0, dash), from))
		return false;
	*total = 0;
	return str_eq_c(str_sub(v, slash + 1, v.n), "*") ||
	       str_u64(str_sub(v, slash + 1, v.n), total);
}

static void keep_etag(struct download *d, struct str etag)
{
	bool weak = str_starts(etag, S("W/")); /* says nothing about bytes */
	if (!etag.n || etag.n > ETAG_MAX || weak) {
		unlink(d->etag_path);
		return;
	}
	if (os_write_atomic(d->etag_path, etag, NULL))
		unlink(d->etag_path);
}

static enum err on_head(void *ctx, int status, const struct http_pair *h, size_t n)
{
	struct download *d = ctx;
	uint64_t from = 0, length = 0;
	d->status = status;
	enum err e = OK;
	if (status == 206) {
		if (!content_range(header(h, n, "content-range"), &from, &d->total) ||
			from != d->sink.bytes)
			return err_set(d->et, ERR_NETWORK,
				"%.*s: the server sent another part than "
				"was asked for",
				STR_FMT(d->r->rel));
	} else if (status == 200) {
		if (d->sink.bytes)
			e = sink_restart(&d->sink, d->et);
		d->begun_at = 0;
		if (str_u64(header(h, n, "content-length"), &length))
			d->total = length;
		keep_etag(d, header(h, n, "etag"));
	} else {
		return OK; /* the body is an explanation: on_data drops it */
	}
	uint64_t known = d->r->bytes;
	if (!e && known && d->total && d->total != known)
		e = err_set(d->et, ERR_CORRUPT, "%.*s has %llu bytes there, not %llu",
			STR_FMT(d->r->rel), (unsigned long long)d->total,
			(unsigned long long)known);
	if (!e && d->total > d->sink.bytes)
		e = pull_room(d->p, d->total - d->sink.bytes, d->et);
	if (!d->p->total)
		d->p->total = d->total;
	return e;
}

static enum err on_data(void *ctx, struct str data)
{
	struct download *d = ctx;
	if (d->status != 200 && d->status != 206)
		return OK;
	if (d->r->bytes && d->sink.bytes + data.n > d->r->bytes)
		return err_set(d->et, ERR_CORRUPT,
			"%.*s: the server sends more than the %llu bytes "
			"that it has",
			STR_FMT(d->r->rel), (unsigned long long)d->r->bytes);
	enum err e = sink_write(&d->sink, data, d->et);
	char label[128];
	snprintf(label, sizeof label, "%.*s", STR_FMT(str_sub(d->r->rel, 0, 100)));
	pull_say(d->p, label, d->sink.bytes);
	return e;
}

static enum err status_error(int status, const char *url, struct str rel, struct errtext *et)
{
	struct str shown = str_c(url);
	shown = str_sub(shown, 0, str_chr(shown, '?'));
	shown = str_sub(shown, 0, 200);
	if (status == 401 || status == 403)
		return err_set(et, ERR_FORBIDDEN,
			"%.*s may not be read (HTTP %d): accept the model's licence on its page "
			"and set "
			"hub.token (CROFT_HUB_TOKEN) to a token of yours",
			STR_FMT(shown), status);
	if (status == 404 || status == 410)
		return err_set(
			et, ERR_NOT_FOUND, "there is no %.*s (HTTP %d)", STR_FMT(shown), status);
	if (status == 429)
		return err_set(
			et, ERR_BUSY, "%.*s: too many requests for now (HTTP 429)", STR_FMT(shown));
	return err_set(et, status >= 500 ? ERR_NETWORK : ERR_INVALID, "%.*s: HTTP %d",
		STR_FMT(shown), status);
}

static bool is_loopback_url(struct str url)
{
	return str_starts(url, S("http://127.0.0.1")) || str_starts(url, S("http://localhost")) ||
	       str_starts(url, S("http://[::1]"));
}

/* A token goes over TLS only, except to this machine. */
static size_t add_token(struct pull *p, const char *url, struct buf *value, struct http_pair *h)
{
	struct str token = setting_text(p->c, "hub.token");
	if (!token.n || !(str_starts(str_c(url), S("https://")) || is_loopback_url(str_c(url))))
		return 0;
	buf_addf(value, "Bearer %.*s", STR_FMT(token));
	*h = (struct http_pair){S("Authorization"), buf_str(value)};
	return 1;
}

/* One try: from where the file ends now. */
static enum err try_once(struct download *d, struct errtext *et)
{
	struct buf range = {0}, token = {0}, etag = {0};
	struct http_pair h[4];
	size_t n = 0;
	h[n++] = (struct http_pair){S("Accept-Encoding"), S("identity")};
	d->begun_at = d->sink.bytes;
	d->status = 0;
	d->total = d->r->bytes;
	if (d->sink.bytes) {
		buf_addf(&range, "bytes=%llu-", (unsigned long long)d->sink.bytes);
		h[n++] = (struct http_pair){S("Range"), buf_str(&range)};
		if (!os_read_file(d->etag_path, ETAG_MAX, &etag, NULL) && etag.n)
			h[n++] = (struct http_pair){S("If-Range"), buf_str(&etag)};
	}
	if (d->r->with_token)
		n += add_token(d->p, d->r->url, &token, &h[n]);
	struct client_request rq = {.method = HTTP_GET,
		.url = d->r->url,
		.headers = h,
		.n_headers = n,
		.reply_max = SIZE_MAX,
		.cancel = d->p->cancel,
		.on_head = on_head,
		.on_data = on_data,
		.ctx = d};
	struct client_reply reply = {0};
	d->et = et;
	enum err e = client_run(&rq, &reply, et);
	client_reply_free(&reply);
	buf_free(&range);
	buf_free(&token);
	buf_free(&etag);
	if (e)
		return e;
	if (d->status == 416) /* what we have is longer than what is there: begin again */
		return sink_restart(&d->sink, et)
			       ? ERR_IO
			       : err_set(et, ERR_NETWORK, "%.*s had changed", STR_FMT(d->r->rel));
	if (d->status != 200 && d->status != 206)
		return status_error(d->status, d->r->url, d->r->rel, et);
	if (d->total && d->sink.bytes < d->total)
		return err_set(et, ERR_NETWORK,
			"%.*s: the connection ended after %llu of %llu bytes", STR_FMT(d->r->rel),
			(unsigned long long)d->sink.bytes, (unsigned long long)d->total);
	return OK;
}

static bool worth_another(enum err e)
{
	return e == ERR_NETWORK || e == ERR_TIMEOUT || e == ERR_BUSY;
}

static bool wait_a_little(const struct pull *p, int tries)
{
	for (int ms = TRY_WAIT_MS << tries; ms > 0 && !cancelled(p->cancel); ms -= 50)
		clock_sleep_ms(50);
	return !cancelled(p->cancel);
}

/* Tries again while progress is made; TRIES without any are the end. */
static enum err download_bytes(struct download *d, struct errtext *et)
{
	int tries = 0;
	bool complete = d->r->bytes && d->sink.bytes == d->r->bytes;
	while (!complete) {
		enum err e = try_once(d, et);
		if (!e)
			break;
		if (d->sink.bytes > d->begun_at)
			tries = 0;
		if (!worth_another(e) || ++tries >= TRIES)
			return e;
		if (!wait_a_little(d->p, tries - 1))
			return err_set(et, ERR_CANCELLED, "cancelled");
	}
	return OK;
}

/* Git's name of a file: the SHA-1 of "blob <size>\0<content>". The hub gives it for small files. */
static enum err git_sha1(const char *path, char hex[41], struct errtext *et)
{
	struct buf b = {0};
	enum err e = os_read_file(path, 64 << 20, &b, et);
	if (e)
		return e;
	char head[64];
	int n = snprintf(head, sizeof head, "blob %zu", b.n) + 1;
	uint8_t digest[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	bool ok = c && EVP_DigestInit_ex(c, EVP_sha1(), NULL) &&
		  EVP_DigestUpdate(c, head, (size_t)n) && EVP_DigestUpdate(c, b.p, b.n) &&
		  EVP_DigestFinal_ex(c, digest, NULL);
	EVP_MD_CTX_free(c);
	buf_free(&b);
	if (!ok)
		return err_set(et, ERR_NOMEM, "no memory");
	hex_encode(digest, 20, hex);
	return OK;
}

static enum err check_hash(
	const struct remote *r, const char *part, const char *hex, struct errtext *et)
{
	char sha1[41] = "";
	if (r->sha256[0] && strcmp(hex, r->sha256) != 0)
		return err_set(et, ERR_CORRUPT,
			"%.*s is not what was expected: its SHA-256 is %s, not %s; it was thrown "
			"away",
			STR_FMT(r->rel), hex, r->sha256);
	if (!r->sha256[0] && r->git_sha1[0]) {
		enum err e = git_sha1(part, sha1, et);
		if (e)
			return e;
		if (strcmp(sha1, r->git_sha1) != 0)
			return err_set(et, ERR_CORRUPT,
				"%.*s is not what the hub's list says: it was thrown away",
				STR_FMT(r->rel));
	}
	return OK;
}

static enum err fetch_file(struct pull *p, const struct remote *r, struct errtext *et)
{
	char part[1024], final[1024], hex[SHA256_HEX + 1];
	enum err e = stage_path(p, r->rel, final, et);
	if (e)
		return e;
	/* named by content where that is known, so that parts of different things never mix */
	struct buf key = {0};
	char name[SHA256_HEX + 1];
	buf_addf(&key, "%.*s|%s", STR_FMT(r->rel),
		r->sha256[0]     ? r->sha256
		: r->git_sha1[0] ? r->git_sha1
				 : r->url);
	sha256_hex_of(buf_str(&key), name);
	buf_free(&key);
	struct download d = {.p = p, .r = r};
	snprintf(part, sizeof part, "%s/%.16s.part", p->partial, name);
	snprintf(d.etag_path, sizeof d.etag_path, "%s/%.16s.etag", p->partial, name);
	e = sink_open(&d.sink, part, true, et);
	if (e)
		return e;
	if (r->bytes && d.sink.bytes > r->bytes)
		e = sink_restart(&d.sink, et);
	if (!e)
		e = download_bytes(&d, et);
	uint64_t bytes = d.sink.bytes;
	if (e) {
		sink_drop(&d.sink); /* kept: the next pull goes on from here */
		if (e == ERR_CORRUPT)
			unlink(part);
		return e;
	}
	e = sink_close(&d.sink, hex, et);
	if (!e)
		e = check_hash(r, part, hex, et);
	if (e == ERR_CORRUPT)
		unlink(part);
	if (!e && rename(part, final))
		e = err_errno(et, "%s", final);
	unlink(d.etag_path);
	return e ? e : stage_done(p, r->rel, hex, bytes, et);
}

/* ---- the hub ---- */

struct hub_ref {
	struct str repo, revision, file;
};

/* "org/repo[@revision][/file/path]" */
static bool parse_ref(struct str ref, struct hub_ref *out)
{
	*out = (struct hub_ref){.revision = S("main")};
	size_t slash = str_chr(ref, '/');
	if (slash == STR_NONE || !slash)
		return false;
	struct str rest = str_sub(ref, slash + 1, ref.n);
	size_t end = str_chr(rest, '/');
	struct str repo = str_sub(rest, 0, end);
	if (end != STR_NONE)
		out->file = str_sub(rest, end + 1, rest.n);
	size_t at = str_chr(repo, '@');
	if (at != STR_NONE) {
		out->revision = str_sub(repo, at + 1, repo.n);
		repo.n = at;
	}
	out->repo = str_sub(ref, 0, slash + 1 + repo.n);
	static const char allowed[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/";
	for (size_t i = 0; i < out->repo.n; i++)
		if (!strchr(allowed, out->repo.p[i]))
			return false;
	return repo.n && out->revision.n && repo.p[0] != '.' && ref.p[0] != '.' &&
	       (end == STR_NONE || model_path_ok(out->file));
}

static struct str hub_url(const struct pull *p)
{
	struct str hub = setting_text(p->c, "hub.url");
	while (hub.n && hub.p[hub.n - 1] == '/')
		hub.n--;
	return hub;
}

static void add_path(struct buf *url, struct str path)
{
	struct str part;
	while (str_next(&path, '/', &part)) {
		buf_putc(url, '/');
		url_encode(url, part);
	}
}

static enum err hub_list(
	struct pull *p, const struct hub_ref *ref, yyjson_doc **doc, struct errtext *et)
{
	struct buf url = {0}, token = {0};
	struct http_pair h[1];
	buf_adds(&url, hub_url(p));
	buf_addc(&url, "/api/models");
	add_path(&url, ref->repo);
	buf_addc(&url, "/revision/");
	url_encode(&url, ref->revision);
	buf_addc(&url, "?blobs=true");
	struct client_request rq = {.method = HTTP_GET,
		.url = buf_c(&url),
		.headers = h,
		.reply_max = 16 << 20,
		.cancel = p->cancel,
		.total_ms = 60000};
	rq.n_headers = add_token(p, buf_c(&url), &token, h);
	struct client_reply reply = {0};
	enum err e = OK;
	for (int tries = 0; tries < 3; tries++) {
		e = client_run(&rq, &reply, et);
		if (!e && reply.status != 200)
			e = status_error(reply.status, buf_c(&url), ref->repo, et);
		if (!worth_another(e) || tries == 2 || !wait_a_little(p, tries))
			break;
		client_reply_free(&reply);
		reply = (struct client_reply){0};
	}
	if (e == ERR_NETWORK || e == ERR_TIMEOUT)
		err_wrap(et, e, "the model hub cannot be reached (set hub.url to use a mirror)");
	if (!e)
		e = json_parse(buf_str(&reply.body), doc, et);
	if (!e && !yyjson_is_arr(yyjson_obj_get(yyjson_doc_get_root(*doc), "siblings"))) {
		yyjson_doc_free(*doc);
		e = err_set(et, ERR_NETWORK, "%s does not answer like a model hub", buf_c(&url));
	}
	client_reply_free(&reply);
	buf_free(&url);
	buf_free(&token);
	return e;
}

static yyjson_val *sibling(yyjson_val *list, struct str path)
{
	size_t i, n;
	yyjson_val *v;
	yyjson_arr_foreach(list, i, n, v)
	{
		if (str_eq(json_str(v, "rfilename"), path))
			return v;
	}
	return NULL;
}

static void describe(yyjson_val *v, struct remote *r)
{
	yyjson_val *lfs = yyjson_obj_get(v, "lfs");
	struct str sha = json_str(lfs, "sha256");
	if (!sha.n)
		sha = json_str(lfs, "oid");
	if (sha.n == SHA256_HEX)
		snprintf(r->sha256, sizeof r->sha256, "%.*s", STR_FMT(sha));
	struct str blob = json_str(v, "blobId");
	if (!lfs && blob.n == 40)
		snprintf(r->git_sha1, sizeof r->git_sha1, "%.*s", STR_FMT(blob));
	int64_t size = json_i64(v, "size", 0);
	r->bytes = size > 0 ? (uint64_t)size : 0;
}

struct wanted {
	yyjson_val *v[MODEL_FILES_MAX];
	size_t n;
	uint64_t bytes;
};

static enum err want(struct wanted *w, yyjson_val *v, struct errtext *et)
{
	if (w->n == MODEL_FILES_MAX)
		return err_set(et, ERR_LIMIT, "the model has more than %d files", MODEL_FILES_MAX);
	w->v[w->n++] = v;
	w->bytes += (uint64_t)MAX(json_i64(v, "size", 0), 0);
	return OK;
}

static enum err several_gguf(yyjson_val *list, struct str repo, struct errtext *et)
{
	struct buf names = {0};
	size_t i, n;
	yyjson_val *v;
	yyjson_arr_foreach(list, i, n, v)
	{
		struct str f = json_str(v, "rfilename");
		if (file_role(f) == FILE_GGUF && names.n < 300)
			buf_addf(&names, "%s%.*s", names.n ? ", " : "", STR_FMT(f));
	}
	err_set(et, ERR_INVALID, "%.*s holds several models: name one, as in hf:%.*s/FILE, of %s",
		STR_FMT(repo), STR_FMT(repo), buf_c(&names));
	buf_free(&names);
	return ERR_INVALID;
}

/* Without a file name: the only GGUF, or a safetensors folder's files. */
static enum err choose(yyjson_val *list, struct str repo, struct wanted *w, struct errtext *et)
{
	size_t i, n, ggufs = 0, weights = 0;
	yyjson_val *v, *gguf = NULL;
	struct str pickle = {0};
	yyjson_arr_foreach(list, i, n, v)
	{
		struct str f = json_str(v, "rfilename");
		switch (file_role(f)) {
		case FILE_GGUF:
			ggufs++;
			gguf = v;
			break;
		case FILE_WEIGHTS:
			weights++;
			break;
		case FILE_PICKLE:
			pickle = f;
			break;
		default:
			break;
		}
	}
	if (weights) {
		enum err e = OK;
		yyjson_arr_foreach(list, i, n, v)
		{
			enum file_role role = file_role(json_str(v, "rfilename"));
			if (!e && (role == FILE_NEEDED || role == FILE_WEIGHTS))
				e = want(w, v, et);
		}
		return e;
	}
	if (ggufs == 1)
		return want(w, gguf, et);
	if (ggufs > 1)
		return several_gguf(list, repo, et);
	if (pickle.n)
		return err_set(et, ERR_UNSUPPORTED,
			"%.*s has its weights only as a Python pickle (%.*s): reading one can run "
			"any "
			"program in it, so Croft never does; take a repository with GGUF or "
			"safetensors",
			STR_FMT(repo), STR_FMT(str_sub(pickle, 0, 80)));
	return err_set(
		et, ERR_UNSUPPORTED, "%.*s holds neither GGUF nor safetensors", STR_FMT(repo));
}

static void licence_of(yyjson_val *root, struct buf *out)
{
	struct str s = json_str(yyjson_obj_get(root, "cardData"), "license");
	yyjson_val *tags = yyjson_obj_get(root, "tags"), *t;
	size_t i, n;
	yyjson_arr_foreach(tags, i, n, t)
	{
		if (!s.n && str_starts(json_val_str(t), S("license:")))
			s = str_sub(json_val_str(t), 8, 100);
	}
	buf_adds(out, s.n ? str_sub(s, 0, 100) : S("see its page"));
}

static enum err fetch_wanted(struct pull *p, const struct hub_ref *ref, struct str commit,
	const struct wanted *w, const struct known_file *pins, size_t n_pins, struct errtext *et)
{
	enum err e = pull_room(p, w->bytes, et);
	p->total = w->bytes;
	/* small files first: what is wrong with a model often shows in its configuration */
	for (int large = 0; large < 2 && !e; large++)
		for (size_t i = 0; i < w->n && !e; i++) {
			struct remote r = {
				.rel = json_str(w->v[i], "rfilename"), .with_token = true};
			if ((json_i64(w->v[i], "size", 0) > 1 << 20) != large)
				continue;
			describe(w->v[i], &r);
			for (size_t k = 0; k < n_pins; k++)
				if (str_eq_c(r.rel, pins[k].path) && pins[k].sha256)
					snprintf(r.sha256, sizeof r.sha256, "%s", pins[k].sha256);
			struct buf url = {0};
			buf_adds(&url, hub_url(p));
			add_path(&url, ref->repo);
			buf_addc(&url, "/resolve/");
			url_encode(&url, commit);
			add_path(&url, r.rel);
			r.url = buf_c(&url);
			e = url.err ? err_set(et, url.err, "no memory") : fetch_file(p, &r, et);
			buf_free(&url);
		}
	return e;
}

static enum err fetch_repo(struct pull *p, const struct hub_ref *ref,
	const struct known_file *files, size_t n_files, struct errtext *et)
{
	yyjson_doc *doc;
	struct wanted w = {0};
	enum err e = hub_list(p, ref, &doc, et);
	if (e)
		return e;
	yyjson_val *root = yyjson_doc_get_root(doc), *list = yyjson_obj_get(root, "siblings");
	for (size_t i = 0; i < n_files && !e; i++) {
		yyjson_val *v = sibling(list, str_c(files[i].path));
		e = v ? want(&w, v, et)
		      : err_set(et, ERR_NOT_FOUND, "%.*s has no file %s", STR_FMT(ref->repo),
				files[i].path);
	}
	if (!e && !n_files && ref->file.n) {
		yyjson_val *v = sibling(list, ref->file);
		if (!v)
			e = err_set(et, ERR_NOT_FOUND, "%.*s has no file %.*s", STR_FMT(ref->repo),
				STR_FMT(ref->file));
		else if (file_role(ref->file) != FILE_GGUF)
			e = err_set(et, ERR_UNSUPPORTED,
				"%.*s is no GGUF file; of a safetensors model name the repository "
				"only",
				STR_FMT(ref->file));
		else
			e = want(&w, v, et);
	} else if (!e && !n_files) {
		e = choose(list, ref->repo, &w, et);
	}
	struct str commit = json_str(root, "sha");
	if (!commit.n || commit.n > 64)
		commit = ref->revision;
	if (!e)
		e = fetch_wanted(p, ref, commit, &w, files, n_files, et);
	if (!e) {
		buf_addf(&p->source, "hf:%.*s@%.*s", STR_FMT(ref->repo), STR_FMT(commit));
		if (ref->file.n)
			buf_addf(&p->source, "/%.*s", STR_FMT(ref->file));
		if (!p->licence.n)
			licence_of(root, &p->licence);
	}
	yyjson_doc_free(doc);
	return e;
}

enum err pull_hub(struct pull *p, struct str what, struct errtext *et)
{
	struct hub_ref ref;
	if (!parse_ref(what, &ref))
		return err_set(et, ERR_INVALID,
			"hf:ORG/REPO, hf:ORG/REPO/FILE.gguf or hf:ORG/REPO@REVISION is expected");
	return fetch_repo(p, &ref, NULL, 0, et);
}

enum err pull_hub_known(struct pull *p, const struct known_model *k, const struct known_source *s,
	struct errtext *et)
{
	struct hub_ref ref;
	if (!parse_ref(str_c(s->url + strlen("hf:")), &ref))
		return err_set(et, ERR_INTERNAL, "catalogue: %s", s->url);
	buf_addc(&p->licence, k->licence);
	return fetch_repo(p, &ref, k->files, k->n_files, et);
}

/* ---- plain URLs ---- */

enum err pull_url(struct pull *p, struct str url, struct errtext *et)
{
	size_t hash = str_chr(url, '#');
	struct str pin = hash == STR_NONE ? (struct str){0} : str_sub(url, hash + 1, url.n);
	struct str bare = str_sub(url, 0, hash);
	struct str path = str_sub(bare, 0, str_chr(bare, '?'));
	struct str file = str_sub(path, str_rchr(path, '/') + 1, path.n);
	struct remote r = {.rel = file};
	if (!str_starts(bare, S("https://")) && !is_loopback_url(bare))
		return err_set(et, ERR_INVALID, "only https: URLs are fetched");
	if (pin.n) {
		uint8_t digest[SHA256_BYTES];
		if (!str_starts(pin, S("sha256=")) ||
			!hex_decode(str_sub(pin, 7, pin.n), digest, sizeof digest))
			return err_set(et, ERR_INVALID, "#sha256= and 64 hex digits are expected");
		hex_encode(digest, sizeof digest, r.sha256);
	}
	if (file_role(file) == FILE_PICKLE)
		return err_set(et, ERR_UNSUPPORTED,
			"%.*s is a Python pickle: reading one can run any program in it, so Croft "
			"never "
			"does; take the model's GGUF or safetensors version",
			STR_FMT(file));
	if (file_role(file) != FILE_GGUF)
		return err_set(et, ERR_UNSUPPORTED, "the URL of a .gguf file is expected");
	char *c_url = str_dup(bare);
	if (!c_url)
		return err_set(et, ERR_NOMEM, "no memory");
	r.url = c_url;
	enum err e = fetch_file(p, &r, et);
	free(c_url);
	buf_adds(&p->source, bare);
	if (!p->licence.n)
		buf_addc(&p->licence, "see its page");
	return e;
}
