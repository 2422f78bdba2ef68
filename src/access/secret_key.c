/* Where master keys come from: a file, an environment variable, a command; or a file of Croft's own
 * in the data directory. They are text: one or more keys, the first of which seals. */
#include "access/secret_int.h"
#include "base/log.h"
#include "base/os.h"
#include "base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TEXT_MAX = 4096, COMMAND_MS = 10000 };

void masters_wipe(struct masters *m)
{
	OPENSSL_cleanse(m, sizeof *m);
}

const struct master *masters_find(const struct masters *m, struct str id)
{
	for (size_t i = 0; i < m->n; i++)
		if (str_eq_c(id, m->k[i].id))
			return &m->k[i];
	return NULL;
}

static void name_master(struct master *m)
{
	uint8_t digest[SHA256_BYTES], text[16 + KEY_BYTES] = "croft master key";
	memcpy(text + 16, m->key, KEY_BYTES);
	sha256_of(str_mk(text, sizeof text), digest);
	hex_encode(digest, KEY_ID_HEX / 2, m->id);
	OPENSSL_cleanse(text, sizeof text);
}

static bool parse_one(struct str text, struct master *out)
{
	struct buf b = {0};
	bool good = text.n == 2 * KEY_BYTES ? hex_decode(text, out->key, KEY_BYTES) : false;
	if (!good && text.n >= 43 && text.n <= 44 && base64_decode(&b, text) && b.n == KEY_BYTES) {
		memcpy(out->key, b.p, KEY_BYTES);
		good = true;
	}
	secret_wipe(&b);
	if (good)
		name_master(out);
	return good;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\n' || c == '\r' || c == '\t' || c == ',';
}

enum err masters_parse(struct str text, const char *source, struct masters *out, struct errtext *et)
{
	struct masters m = {0};
	enum err e = OK;
	for (size_t i = 0; i < text.n && !e;) {
		size_t from = i;
		while (i < text.n && !is_space(text.p[i]))
			i++;
		struct str word = str_sub(text, from, i);
		while (i < text.n && is_space(text.p[i]))
			i++;
		if (!word.n)
			continue;
		if (m.n == MASTERS_MAX)
			e = err_set(et, ERR_INVALID, "%s: more than %d master keys", source,
				MASTERS_MAX);
		else if (!parse_one(word, &m.k[m.n]))
			e = err_set(et, ERR_INVALID,
				"%s: a master key is 32 bytes as 64 hex digits or base64; make one "
				"with: openssl rand -hex 32",
				source);
		else
			m.n++;
	}
	if (!e && !m.n)
		e = err_set(et, ERR_INVALID,
			"%s: there is no master key in it; make one with: openssl rand -hex 32",
			source);
	if (!e) {
		snprintf(m.source, sizeof m.source, "%s", source);
		*out = m;
	}
	masters_wipe(&m);
	return e;
}

static enum err from_file(
	const char *path, const char *source, struct masters *out, struct errtext *et)
{
	struct buf text = {0};
	buf_reserve(&text, TEXT_MAX + 2); /* no copies are left behind by growing */
	enum err e = os_read_file(path, TEXT_MAX, &text, et);
	if (!e)
		e = masters_parse(buf_str(&text), source, out, et);
	else
		err_wrap(et, e, "%s", source);
	secret_wipe(&text);
	return e;
}

static enum err from_command(struct str command, struct masters *out, struct errtext *et)
{
	const char *argv[] = {"/bin/sh", "-c", command.p, NULL};
	extern char **environ;
	struct proc_spec spec = {.argv = argv,
		.env = (const char *const *)environ,
		.output_max = TEXT_MAX,
		.wall_ms_max = COMMAND_MS};
	struct proc_result r;
	enum err e = proc_run(&spec, &r, et);
	if (e)
		return err_wrap(et, e, "secret.key_command");
	if (r.exit_code)
		e = err_set(et, ERR_NOT_READY, "secret.key_command ended with %d: %.300s",
			r.exit_code, r.err_tail);
	else
		e = masters_parse(buf_str(&r.out), "secret.key_command", out, et);
	if (r.out.p)
		OPENSSL_cleanse(r.out.p, r.out.cap);
	proc_result_release(&r);
	return e;
}

/* ---- the file of its own ---- */

static void own_path(const struct croft *c, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/secret.key", croft_home(c));
}

static enum err write_own(
	const struct croft *c, const struct masters *m, bool fresh, struct errtext *et)
{
	char path[PATH_MAX], temp[PATH_MAX + 8], hex[2 * KEY_BYTES + 1];
	struct buf text = {0};
	own_path(c, path);
	snprintf(temp, sizeof temp, "%s.new", path);
	buf_reserve(&text, TEXT_MAX);
	for (size_t i = 0; i < m->n; i++) {
		hex_encode(m->k[i].key, KEY_BYTES, hex);
		buf_addf(&text, "%s\n", hex);
	}
	OPENSSL_cleanse(hex, sizeof hex);
	unlink(temp); /* what a crash left */
	int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	enum err e = fd < 0 ? err_errno(et, "the master key %s", temp) : OK;
	if (!e)
		e = os_write_all(fd, text.p, text.n, et);
	if (!e && fsync(fd))
		e = err_errno(et, "the master key %s", temp);
	if (fd >= 0)
		close(fd);
	/* a key that is there is never replaced by a fresh one */
	if (!e && fresh ? link(temp, path) : !e && rename(temp, path))
		e = err_errno(et, "the master key %s", path);
	if (e || fresh)
		unlink(temp);
	if (!e)
		e = os_fsync_dir(croft_home(c), et);
	secret_wipe(&text);
	return e;
}

static void new_master(struct master *m)
{
	random_bytes(m->key, KEY_BYTES);
	name_master(m);
}

static enum err make_own(struct croft *c, struct errtext *et)
{
	struct masters m = {.n = 1};
	char path[PATH_MAX];
	new_master(&m.k[0]);
	enum err e = write_own(c, &m, true, et);
	masters_wipe(&m);
	own_path(c, path);
	if (!e)
		log_warn("made %s, the key of all secrets: keep a copy of it apart from the copies "
			 "of the data",
			path);
	return e;
}

static enum err load_own(struct croft *c, bool create, struct masters *out, struct errtext *et)
{
	char path[PATH_MAX];
	own_path(c, path);
	if (!os_exists(path) && !create)
		return err_set(et, ERR_NOT_READY,
			"the master key %s is not there: put it back, or set secret.key_file, "
			"secret.key_env or secret.key_command",
			path);
	enum err e = os_exists(path) ? OK : make_own(c, et);
	if (!e)
		e = from_file(path, path, out, et);
	if (!e)
		out->own = true;
	return e;
}

enum err masters_renew(struct croft *c, struct masters *m, struct errtext *et)
{
	if (m->n == MASTERS_MAX)
		m->n--;
	memmove(&m->k[1], &m->k[0], m->n * sizeof m->k[0]);
	m->n++;
	new_master(&m->k[0]);
	return write_own(c, m, false, et);
}

enum err masters_retire(struct croft *c, struct masters *m, struct errtext *et)
{
	OPENSSL_cleanse(&m->k[1], (m->n - 1) * sizeof m->k[0]);
	m->n = 1;
	return write_own(c, m, false, et);
}

enum err masters_load(struct croft *c, bool create, struct masters *out, struct errtext *et)
{
	struct str file = setting_text(c, "secret.key_file"),
		   env = setting_text(c, "secret.key_env"),
		   command = setting_text(c, "secret.key_command");
	if ((file.n > 0) + (env.n > 0) + (command.n > 0) > 1)
		return err_set(et, ERR_INVALID,
			"secret.key_file, secret.key_env and secret.key_command: set one of them");
	if (file.n)
		return from_file(file.p, "secret.key_file", out, et);
	if (command.n)
		return from_command(command, out, et);
	if (!env.n)
		return load_own(c, create, out, et);
	const char *text = getenv(env.p);
	char source[200];
	snprintf(source, sizeof source, "secret.key_env (%.100s)", env.p);
	if (!text || !*text)
		return err_set(
			et, ERR_NOT_READY, "%s: this environment variable is not set", source);
	return masters_parse(str_c(text), source, out, et);
}
