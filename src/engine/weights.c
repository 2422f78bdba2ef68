/* Where tensors come from: a GGUF file, or a folder with config.json and safetensors, whole or in
 * shards named by model.safetensors.index.json. */
#include "engine/model_int.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/json.h"
#include "base/map.h"
#include "base/os.h"
#include "engine/gguf.h"
#include "engine/safetensors.h"

enum { SHARDS_MAX = 256, CONFIG_MAX = 16 << 20 };

struct weights {
	const struct file_check *check; /* while the model is being opened */
	struct gguf *gguf;
	struct safetensors *shard[SHARDS_MAX];
	size_t n_shards;
	char *folder;
	struct buf config;
	struct map used; /* names that were asked for and found */
};

/* ---- opening --------------------------------------------------------------------------------- */

static enum err add_shard(struct weights *w, struct str file, struct errtext *et)
{
	if (str_chr(file, '/') != STR_NONE || file.n > 255 || !file.n || file.p[0] == '.')
		return err_set(et, ERR_CORRUPT, "%s: the index names '%.*s', which is no file name",
			w->folder, STR_FMT(file));
	if (w->n_shards == SHARDS_MAX)
		return err_set(et, ERR_TOO_LARGE, "%s: more than %d safetensors files", w->folder,
			SHARDS_MAX);
	struct buf path = {0};
	buf_addf(&path, "%s/%.*s", w->folder, STR_FMT(file));
	enum err e = path.err
			     ? path.err
			     : safetensors_open(buf_c(&path), w->check, &w->shard[w->n_shards], et);
	if (!e)
		w->n_shards++;
	buf_free(&path);
	return e;
}

/* model.safetensors.index.json: {"weight_map": {tensor: file}} */
static enum err open_sharded(struct weights *w, const char *index, struct errtext *et)
{
	struct buf text = {0};
	yyjson_doc *doc = NULL;
	enum err e = file_read(index, CONFIG_MAX, w->check, &text, et);
	if (!e)
		e = json_parse(buf_str(&text), &doc, et);
	if (e) {
		buf_free(&text);
		return err_wrap(et, e, "%s", index);
	}
	struct map seen = {0};
	size_t i, n;
	yyjson_val *key, *val;
	yyjson_val *files = yyjson_obj_get(yyjson_doc_get_root(doc), "weight_map");
	yyjson_obj_foreach(files, i, n, key, val)
	{
		struct str file = json_val_str(val);
		if (map_get(&seen, file))
			continue;
		if (!map_put(&seen, file, w))
			e = err_set(et, ERR_NOMEM, "%s: no memory", index);
		if (!e)
			e = add_shard(w, file, et);
		if (e)
			break;
	}
	if (!e && !w->n_shards)
		e = err_set(et, ERR_CORRUPT, "%s: no weight_map", index);
	map_free(&seen);
	yyjson_doc_free(doc);
	buf_free(&text);
	return e;
}

/* A folder without safetensors: one .gguf serves; a pickle is told as such. */
static enum err open_other(
	struct weights *w, const char *folder, const char *lacks, bool *gguf, struct errtext *et)
{
	DIR *d = opendir(folder);
	if (!d)
		return err_errno(et, "%s", folder);
	struct buf found = {0};
	unsigned n = 0;
	bool pickle = false;
	for (struct dirent *f; (f = readdir(d));) {
		struct str name = str_c(f->d_name);
		if (str_ends_nocase(name, S(".gguf")) && n++ == 0)
			buf_addf(&found, "%s/%s", folder, f->d_name);
		pickle |= str_ends_nocase(name, S(".bin")) || str_ends_nocase(name, S(".pt")) ||
			  str_ends_nocase(name, S(".pth")) || str_ends_nocase(name, S(".pkl")) ||
			  str_ends_nocase(name, S(".ckpt"));
	}
	closedir(d);
	enum err e;
	if (n == 1) {
		*gguf = true;
		e = gguf_open(buf_c(&found), w->check, &w->gguf, et);
	} else if (n > 1) {
		e = err_set(et, ERR_INVALID, "%s holds %u GGUF files: name one", folder, n);
	} else if (pickle) {
		e = err_set(et, ERR_UNSUPPORTED,
			"%s holds weights as a Python pickle only, which can run code when it is "
			"read. Get the model's safetensors or GGUF file",
			folder);
	} else {
		e = err_set(et, ERR_NOT_FOUND, "%s holds no %s and no GGUF file", folder, lacks);
	}
	buf_free(&found);
	return e;
}

static enum err open_folder(struct weights *w, const char *folder, struct errtext *et)
{
	w->folder = str_dup(str_c(folder));
	if (!w->folder)
		return err_set(et, ERR_NOMEM, "no memory");
	struct buf p = {0}, index = {0};
	buf_addf(&p, "%s/model.safetensors", folder);
	buf_addf(&index, "%s/model.safetensors.index.json", folder);
	enum err e;
	bool gguf = false;
	if (os_exists(buf_c(&p)))
		e = add_shard(w, S("model.safetensors"), et);
	else if (os_exists(buf_c(&index)))
		e = open_sharded(w, buf_c(&index), et);
	else
		e = open_other(w, folder, "model.safetensors", &gguf, et);
	if (!e && !gguf) {
		buf_clear(&p);
		buf_addf(&p, "%s/config.json", folder);
		e = file_read(buf_c(&p), CONFIG_MAX, w->check, &w->config, et);
	}
	buf_free(&p);
	buf_free(&index);
	return e;
}

static enum err open_file(struct weights *w, const char *path, struct errtext *et)
{
	struct str p = str_c(path);
	if (str_ends_nocase(p, S(".gguf")))
		return gguf_open(path, w->check, &w->gguf, et);
	if (str_ends_nocase(p, S(".safetensors"))) {
		size_t slash = str_rchr(p, '/');
		char *folder = slash == STR_NONE ? str_dup(S(".")) : str_dup(str_sub(p, 0, slash));
		enum err e = folder ? open_folder(w, folder, et) : ERR_NOMEM;
		free(folder);
		return e;
	}
	/* No known ending: its content says what it is. */
	struct os_map map;
	enum err e = os_map_file(path, &map, et);
	if (e)
		return e;
	bool gguf = map.n >= 4 && !memcmp(map.p, "GGUF", 4);
	if (!gguf)
		e = refuse_pickle(map.p, map.n, path, et);
	os_unmap(&map);
	if (gguf)
		return gguf_open(path, w->check, &w->gguf, et);
	return e ? e
		 : err_set(et, ERR_UNSUPPORTED,
			   "%s: neither a GGUF file nor a folder with safetensors", path);
}

enum err weights_open(
	const char *path, const struct file_check *check, struct weights **out, struct errtext *et)
{
	struct weights *w = calloc(1, sizeof *w);
	if (!w)
		return err_set(et, ERR_NOMEM, "%s: no memory", path);
	w->check = check;
	enum err e = os_is_dir(path) ? open_folder(w, path, et) : open_file(w, path, et);
	if (e)
		weights_free(w);
	else
		*out = w;
	return e;
}

/* ---- an adapter's ---- */

static enum err open_peft(struct weights *w, const char *folder, struct errtext *et)
{
	struct buf p = {0};
	bool gguf = false;
	w->folder = str_dup(str_c(folder));
	buf_addf(&p, "%s/adapter_model.safetensors", folder);
	if (!w->folder || p.err) {
		buf_free(&p);
		return err_set(et, ERR_NOMEM, "no memory");
	}
	bool has = os_exists(buf_c(&p));
	enum err e = has ? add_shard(w, S("adapter_model.safetensors"), et)
			 : open_other(w, folder, "adapter_model.safetensors", &gguf, et);
	buf_clear(&p);
	buf_addf(&p, "%s/adapter_config.json", folder);
	if (!e && !gguf)
		e = file_read(buf_c(&p), CONFIG_MAX, w->check, &w->config, et);
	buf_free(&p);
	return e;
}

enum err weights_open_adapter(
	const char *path, const struct file_check *check, struct weights **out, struct errtext *et)
{
	struct weights *w = calloc(1, sizeof *w);
	if (!w)
		return err_set(et, ERR_NOMEM, "%s: no memory", path);
	w->check = check;
	enum err e =
		os_is_dir(path) ? open_peft(w, path, et) : gguf_open(path, check, &w->gguf, et);
	if (e)
		weights_free(w);
	else
		*out = w;
	return e;
}

enum err weights_parse_adapter(
	struct str config, struct str bytes, struct weights **out, struct errtext *et)
{
	struct weights *w = calloc(1, sizeof *w);
	if (!w)
		return err_set(et, ERR_NOMEM, "no memory");
	enum err e;
	if (str_starts(bytes, S("GGUF")))
		e = gguf_parse(bytes.p, bytes.n, "adapter", &w->gguf, et);
	else
		e = safetensors_parse(bytes.p, bytes.n, "adapter", &w->shard[0], et);
	w->n_shards = !e && !w->gguf;
	buf_adds(&w->config, config);
	if (!e && w->config.err)
		e = err_set(et, ERR_NOMEM, "no memory");
	if (e)
		weights_free(w);
	else
		*out = w;
	return e;
}

void weights_opened(struct weights *w)
{
	w->check = NULL;
}

const struct file_check *weights_check(const struct weights *w)
{
	return w->check;
}

void weights_free(struct weights *w)
{
	if (!w)
		return;
	gguf_free(w->gguf);
	for (size_t i = 0; i < w->n_shards; i++)
		safetensors_free(w->shard[i]);
	free(w->folder);
	buf_free(&w->config);
	map_free(&w->used);
	free(w);
}

const struct gguf *weights_gguf(const struct weights *w)
{
	return w->gguf;
}

const char *weights_folder(const struct weights *w)
{
	return w->gguf ? NULL : w->folder;
}

struct str weights_config(const struct weights *w)
{
	return buf_str(&w->config);
}

/* ---- tensors --------------------------------------------------------------------------------- */

static bool float_type(struct str dtype, enum kern_type *out)
{
	if (str_eq_c(dtype, "F32"))
		*out = KERN_F32;
	else if (str_eq_c(dtype, "F16"))
		*out = KERN_F16;
	else if (str_eq_c(dtype, "BF16"))
		*out = KERN_BF16;
	else
		return false;
	return true;
}

static enum err from_safetensor(const struct safetensor *t, struct tensor *out, struct errtext *et)
{
	if (!float_type(t->dtype, &out->type))
		return err_set(et, ERR_UNSUPPORTED,
			"tensor %.*s is of type %.*s; F32, F16 and BF16 are supported",
			STR_FMT(t->name), STR_FMT(t->dtype));
	if (t->n_dims < 1 || t->n_dims > 2)
		return err_set(et, ERR_UNSUPPORTED, "tensor %.*s has %u dimensions, not 1 or 2",
			STR_FMT(t->name), t->n_dims);
	out->rows = t->n_dims == 2 ? t->dim[0] : 1;
	out->cols = t->dim[t->n_dims - 1];
	out->data = t->data;
	out->bytes = t->bytes;
	return OK;
}

static enum err from_gguf(const struct gguf_tensor *t, struct tensor *out, struct errtext *et)
{
	if (t->dim[2] != 1 || t->dim[3] != 1)
		return err_set(et, ERR_UNSUPPORTED, "tensor %.*s has more than 2 dimensions",
			STR_FMT(t->name));
	*out = (struct tensor){t->type, t->dim[1], t->dim[0], t->data, t->bytes};
	return OK;
}

enum err weights_find(
	struct weights *w, const char *name, bool *found, struct tensor *out, struct errtext *et)
{
	const struct gguf_tensor *g = w->gguf ? gguf_find(w->gguf, name) : NULL;
	const struct safetensor *s = NULL;
	for (size_t i = 0; i < w->n_shards && !s; i++)
		s = safetensors_find(w->shard[i], str_c(name));
	*found = g || s;
	if (!*found)
		return OK;
	if (!map_put(&w->used, str_c(name), w))
		return err_set(et, ERR_NOMEM, "no memory");
	return g ? from_gguf(g, out, et) : from_safetensor(s, out, et);
}

const char *weights_unused(struct weights *w, bool (*skip)(struct str name), char buf[128])
{
	for (size_t i = 0; w->gguf && i < gguf_n_tensors(w->gguf); i++) {
		struct str n = gguf_tensor(w->gguf, i)->name;
		if (!map_get(&w->used, n) && !skip(n)) {
			snprintf(buf, 128, "%.*s", STR_FMT(n));
			return buf;
		}
	}
	for (size_t f = 0; f < w->n_shards; f++)
		for (size_t i = 0; i < safetensors_n(w->shard[f]); i++) {
			struct str n = safetensors_at(w->shard[f], i)->name;
			if (!map_get(&w->used, n) && !skip(n)) {
				snprintf(buf, 128, "%.*s", STR_FMT(str_sub(n, 0, 120)));
				return buf;
			}
		}
	return NULL;
}

void weights_forget(const void *data, size_t bytes)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from = (uintptr_t)data,
		  to = (from + bytes) & ~(page - 1);
	from = (from + page - 1) & ~(page - 1);
	if (to > from)
		madvise((void *)from, to - from, MADV_DONTNEED);
}

static void forget(struct str map)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	if (map.n && (uintptr_t)map.p % page == 0)
		madvise((void *)(uintptr_t)map.p, map.n, MADV_DONTNEED);
}

void weights_forget_pages(struct weights *w)
{
	if (w->gguf)
		forget(gguf_bytes(w->gguf));
	for (size_t i = 0; i < w->n_shards; i++)
		forget(safetensors_bytes(w->shard[i]));
}

uint64_t weights_bytes(const struct weights *w)
{
	uint64_t n = w->gguf ? gguf_bytes(w->gguf).n : 0;
	for (size_t i = 0; i < w->n_shards; i++)
		n += safetensors_bytes(w->shard[i]).n;
	return n;
}

/* Values by type, over all tensors. */
static void count(const struct weights *w, uint64_t by_type[KERN_BF16 + 1])
{
	memset(by_type, 0, (KERN_BF16 + 1) * sizeof *by_type);
	for (size_t i = 0; w->gguf && i < gguf_n_tensors(w->gguf); i++) {
		const struct gguf_tensor *t = gguf_tensor(w->gguf, i);
		by_type[t->type] += t->dim[0] * t->dim[1] * t->dim[2] * t->dim[3];
	}
	for (size_t f = 0; f < w->n_shards; f++)
		for (size_t i = 0; i < safetensors_n(w->shard[f]); i++) {
			const struct safetensor *t = safetensors_at(w->shard[f], i);
			enum kern_type type;
			if (float_type(t->dtype, &type))
				by_type[type] += t->bytes / kern_row_bytes(type, 1);
		}
}

uint64_t weights_values(const struct weights *w)
{
	uint64_t by_type[KERN_BF16 + 1], n = 0;
	count(w, by_type);
	for (unsigned i = 0; i <= KERN_BF16; i++)
		n += by_type[i];
	return n;
}

const char *weights_main_type(const struct weights *w)
{
	uint64_t by_type[KERN_BF16 + 1];
	unsigned best = 0;
	count(w, by_type);
	for (unsigned i = 1; i <= KERN_BF16; i++)
		if (by_type[i] > by_type[best])
			best = i;
	return kern_type_info(best)->name;
}

enum err weights_hash(const struct weights *w, struct errtext *et,
	void (*add)(void *ctx, const void *p, size_t n), void *ctx)
{
	if (w->gguf)
		add(ctx, gguf_bytes(w->gguf).p, gguf_bytes(w->gguf).n);
	for (size_t i = 0; i < w->n_shards; i++)
		add(ctx, safetensors_bytes(w->shard[i]).p, safetensors_bytes(w->shard[i]).n);
	return OK;
}
