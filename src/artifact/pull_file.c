/* One file on its way in. */
#include "artifact/artifact_int.h"
#include "artifact/onnx.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- sink ---- */

static enum err hash_existing(struct sink *s, struct errtext *et)
{
	size_t size = 1 << 20;
	char *buf = malloc(size);
	if (!buf)
		return err_set(et, ERR_NOMEM, "no memory");
	enum err e = OK;
	for (;;) {
		ssize_t k = read(s->fd, buf, size);
		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			e = err_errno(et, "%s", s->path);
		if (k <= 0)
			break;
		sha256_add(&s->hash, buf, (size_t)k);
		s->bytes += (uint64_t)k;
	}
	free(buf);
	return e;
}

enum err sink_open(struct sink *s, const char *path, bool resume, struct errtext *et)
{
	*s = (struct sink){.fd = -1};
	if ((size_t)snprintf(s->path, sizeof s->path, "%s", path) >= sizeof s->path)
		return err_set(et, ERR_INVALID, "the path is too long: %s", path);
	s->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | (resume ? 0 : O_TRUNC), 0600);
	if (s->fd < 0)
		return err_errno(et, "%s", path);
	enum err e = sha256_init(&s->hash);
	if (!e && resume)
		e = hash_existing(s, et);
	if (e)
		sink_drop(s);
	return e;
}

enum err sink_write(struct sink *s, struct str data, struct errtext *et)
{
	enum err e = os_write_all(s->fd, data.p, data.n, et);
	if (e)
		return err_wrap(et, e, "%s", s->path);
	sha256_add(&s->hash, data.p, data.n);
	s->bytes += data.n;
	return OK;
}

enum err sink_restart(struct sink *s, struct errtext *et)
{
	if (ftruncate(s->fd, 0) || lseek(s->fd, 0, SEEK_SET) < 0)
		return err_errno(et, "%s", s->path);
	sha256_drop(&s->hash);
	s->bytes = 0;
	return sha256_init(&s->hash);
}

enum err sink_close(struct sink *s, char hex[SHA256_HEX + 1], struct errtext *et)
{
	uint8_t digest[SHA256_BYTES];
	sha256_end(&s->hash, digest);
	hex_encode(digest, sizeof digest, hex);
	enum err e = fsync(s->fd) ? err_errno(et, "%s: fsync", s->path) : OK;
	if (close(s->fd) && !e)
		e = err_errno(et, "%s: close", s->path);
	s->fd = -1;
	return e;
}

void sink_drop(struct sink *s)
{
	sha256_drop(&s->hash);
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}

/* ---- names ---- */

bool model_path_ok(struct str path)
{
	struct str rest = path, part;
	unsigned depth = 0;
	if (!path.n || path.n > 200 || path.p[0] == '/' || path.p[path.n - 1] == '/')
		return false;
	for (size_t i = 0; i < path.n; i++)
		if ((unsigned char)path.p[i] < 0x20 || path.p[i] == '\\' || path.p[i] == 0x7F)
			return false;
	while (str_next(&rest, '/', &part))
		if (!part.n || part.p[0] == '.' || ++depth > 4)
			return false;
	return true;
}

enum file_role file_role(struct str path)
{
	static const char *const pickles[] = {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"};
	static const char *const needed[] = {"config.json", "tokenizer.json",
		"tokenizer_config.json", "special_tokens_map.json", "generation_config.json",
		"vocab.txt", "vocab.json", "merges.txt", "modules.json",
		"sentence_bert_config.json", "config_sentence_transformers.json",
		"chat_template.jinja", "added_tokens.json", "adapter_config.json",
		"1_Pooling/config.json", "2_Normalize/config.json", "model.safetensors.index.json"};
	if (!model_path_ok(path))
		return FILE_OTHER;
	for (size_t i = 0; i < ARRAY_LEN(needed); i++)
		if (str_eq_c(path, needed[i]))
			return FILE_NEEDED;
	if (str_ends_nocase(path, S(".gguf")))
		return FILE_GGUF;
	bool top = str_chr(path, '/') == STR_NONE;
	if (top && (str_starts(path, S("model")) || str_eq_c(path, "adapter_model.safetensors")) &&
		str_ends(path, S(".safetensors")))
		return FILE_WEIGHTS;
	for (size_t i = 0; i < ARRAY_LEN(pickles); i++)
		if (str_ends_nocase(path, str_c(pickles[i])))
			return FILE_PICKLE;
	return str_ends_nocase(path, S(".onnx")) ? FILE_ONNX : FILE_OTHER;
}

/* ---- content ---- */

static enum err refuse_pickle(const char *name, struct errtext *et)
{
	return err_set(et, ERR_UNSUPPORTED,
		"%s is a Python pickle: reading one can run any program in it, so Croft never "
		"does; "
		"take the model's GGUF or safetensors version",
		name);
}

static bool is_torch_zip(const char *head, size_t n)
{
	return n > 4 && memcmp(head, "PK\3\4", 4) == 0 &&
	       (memmem(head, n, "data.pkl", 8) || memmem(head, n, "/version", 8) ||
		       memmem(head, n, ".data/", 6));
}

/* Pickle protocol 2 to 5 begins with PROTO; older ones with a few opcodes, a class or a dict. */
static bool is_pickle(const char *head, size_t n)
{
	if (n > 2 && (unsigned char)head[0] == 0x80 && head[1] >= 2 && head[1] <= 5)
		return true;
	return n > 3 && (memcmp(head, "(dp", 3) == 0 || memcmp(head, "(lp", 3) == 0 ||
				(head[0] == 'c' && memmem(head, MIN(n, (size_t)64), "\n", 1) &&
					!memmem(head, MIN(n, (size_t)64), " ", 1)));
}

static bool is_safetensors(const char *head, size_t n)
{
	return n > 9 && head[8] == '{' && !head[7] && !head[6] && !head[5];
}

enum err file_check_content(const char *path, struct errtext *et)
{
	char head[4096];
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(et, "%s", path);
	ssize_t k = pread(fd, head, sizeof head, 0);
	close(fd);
	if (k < 0)
		return err_errno(et, "%s", path);
	size_t n = (size_t)k;
	bool text = str_ends(str_c(name), S(".json")) || str_ends(str_c(name), S(".txt")) ||
		    str_ends(str_c(name), S(".jinja")) || str_ends(str_c(name), S(".md"));
	if (text)
		return OK;
	if (is_torch_zip(head, n) || is_pickle(head, n))
		return refuse_pickle(name, et);
	if (str_ends_nocase(str_c(name), S(".safetensors")))
		return is_safetensors(head, n)
			       ? OK
			       : err_set(et, ERR_CORRUPT, "%s does not hold safetensors", name);
	if (n >= 4 && memcmp(head, "GGUF", 4) == 0)
		return OK;
	if (file_role(str_c(name)) == FILE_PICKLE)
		return refuse_pickle(name, et);
	return err_set(et, ERR_UNSUPPORTED, "%s is neither GGUF nor safetensors", name);
}

/* ---- the staging folder ---- */

enum err stage_path(const struct pull *p, struct str rel, char out[1024], struct errtext *et)
{
	if (!model_path_ok(rel))
		return err_set(et, ERR_INVALID, "a file of the model has an unusable path: %.*s",
			STR_FMT(str_sub(rel, 0, 100)));
	if (p->n_files == MODEL_FILES_MAX)
		return err_set(et, ERR_LIMIT, "the model has more than %d files", MODEL_FILES_MAX);
	int n = snprintf(out, 1024, "%s/%.*s", p->stage, STR_FMT(rel));
	if (n < 0 || n >= 1000)
		return err_set(et, ERR_INVALID, "the path is too long: %s", p->stage);
	char *slash = strrchr(out, '/');
	*slash = 0;
	enum err e = os_mkdirs(out, et);
	*slash = '/';
	return e;
}

enum err stage_done(
	struct pull *p, struct str rel, const char *hex, uint64_t bytes, struct errtext *et)
{
	char path[1024];
	enum err e = stage_path(p, rel, path, et);
	if (!e)
		e = file_check_content(path, et);
	if (e)
		return e;
	struct pulled_file *f = &p->files[p->n_files++];
	snprintf(f->path, sizeof f->path, "%.*s", STR_FMT(rel));
	snprintf(f->sha256, sizeof f->sha256, "%s", hex);
	f->bytes = bytes;
	p->before += bytes;
	return OK;
}

enum err stage_text(struct pull *p, const char *rel, const char *text, struct errtext *et)
{
	char path[1024], hex[SHA256_HEX + 1];
	struct sink s;
	for (size_t i = 0; i < p->n_files; i++)
		if (!strcmp(p->files[i].path, rel)) {
			p->files[i] = p->files[--p->n_files];
			break;
		}
	enum err e = stage_path(p, str_c(rel), path, et);
	if (!e)
		e = sink_open(&s, path, false, et);
	if (e)
		return e;
	e = sink_write(&s, str_c(text), et);
	if (e)
		sink_drop(&s);
	else
		e = sink_close(&s, hex, et);
	return e ? e : stage_done(p, str_c(rel), hex, strlen(text), et);
}

struct onnx_out {
	struct pull *p;
	struct sink s;
};

static enum err write_weights(void *ctx, struct str bytes, struct errtext *et)
{
	struct onnx_out *o = ctx;
	if (cancelled(o->p->cancel))
		return err_set(et, ERR_CANCELLED, "cancelled");
	pull_say(o->p, "model.safetensors", o->s.bytes);
	return sink_write(&o->s, bytes, et);
}

enum err stage_onnx(struct pull *p, const char *onnx, struct errtext *et)
{
	char path[1024], hex[SHA256_HEX + 1];
	struct onnx_out o = {.p = p};
	struct os_map m;
	enum err e = stage_path(p, S("model.safetensors"), path, et);
	if (!e)
		e = os_map_file(onnx, &m, et);
	if (e)
		return e;
	e = sink_open(&o.s, path, false, et);
	if (!e) {
		const char *slash = strrchr(onnx, '/');
		e = onnx_to_safetensors(str_mk((const char *)m.p, m.n), slash ? slash + 1 : onnx,
			write_weights, &o, et);
		if (e)
			sink_drop(&o.s);
		else
			e = sink_close(&o.s, hex, et);
	}
	os_unmap(&m);
	return e ? e : stage_done(p, S("model.safetensors"), hex, o.s.bytes, et);
}
