/* Backup, restore and migration of an instance. A backup is made through the API, so that it works
 * beside a running server; the other two work on stores that nobody has open. */
#include "access/access.h"
#include "app/app.h"
#include "base/clock.h"
#include "base/log.h"
#include "store/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- the route ---- */

static enum err write_response(void *ctx, struct str bytes)
{
	return http_stream_write(ctx, bytes);
}

static enum err note_backup(struct croft *c, const struct http_request *rq, struct errtext *et)
{
	struct tx *tx;
	enum err e = db_begin(croft_db(c), TX_WRITE, &tx, et);
	if (e)
		return e;
	e = audit_add(tx, rq->who, "system.backup", S("everything"), (struct str){0}, et);
	return db_finish(tx, e, et);
}

/* Once the stream has begun, an error can only end it: the file then has no manifest, and whoever
 * reads it sees that it is not complete. */
void get_backup(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct errtext et = {0};
	struct backup_info info;
	enum err e = may_house(rq, PERM_SYSTEM_MANAGE)
			     ? note_backup(c, rq, &et)
			     : err_set(&et, ERR_FORBIDDEN,
				       "a backup holds every project: it needs system.manage in "
				       "all of them");
	if (!e)
		e = http_stream_begin(rs, 200, "application/x-tar");
	if (e) {
		http_reply_error(rs, e, &et);
		return;
	}
	uint64_t start = clock_mono_ns();
	e = backup_make(croft_db(c), croft_blobs(c), write_response, rs, &info, rq->cancel, &et);
	if (e)
		log_error("the backup ended early: %s", err_text(e, &et));
	else
		log_info("backup: %llu rows, %llu blobs, %.1f MB in %.1f s",
			(unsigned long long)info.rows, (unsigned long long)info.blobs,
			(double)info.bytes / 1e6, (double)(clock_mono_ns() - start) / 1e9);
}

/* ---- croft backup ---- */

struct download {
	int fd;
	uint64_t bytes;
	struct progress *progress;
	struct errtext *et;
};

static enum err take_bytes(void *ctx, struct str data)
{
	struct download *d = ctx;
	enum err e = os_write_all(d->fd, data.p, data.n, d->et);
	d->bytes += data.n;
	progress_at(d->progress, d->bytes, 0, NULL);
	return e;
}

static void print_info(
	struct cmd *cmd, const char *what, const char *path, const struct backup_info *info)
{
	if (cmd_json(cmd)) {
		struct buf b = {0};
		struct jw w = {.out = &b};
		jw_obj(&w);
		jw_kc(&w, "file", path);
		jw_kc(&w, "version", info->version);
		jw_ki64(&w, "made_ms", info->made_ms);
		jw_ki64(&w, "tables", (int64_t)info->tables);
		jw_ki64(&w, "rows", (int64_t)info->rows);
		jw_ki64(&w, "blobs", (int64_t)info->blobs);
		jw_ki64(&w, "bytes", (int64_t)info->bytes);
		jw_end(&w);
		cmd_outf(cmd, "%s\n", buf_c(&b));
		buf_free(&b);
		return;
	}
	cmd_outf(cmd, "%s %s: %llu tables, %llu rows, %llu blobs, %.1f MB\n", what, path,
		(unsigned long long)info->tables, (unsigned long long)info->rows,
		(unsigned long long)info->blobs, (double)info->bytes / 1e6);
}

/* From a temporary name beside it, when it is complete, verified and on the disk. */
static enum err settle(struct cmd *cmd, int fd, const char *tmp, const char *path,
	struct backup_info *info, struct errtext *et)
{
	char dir[PATH_MAX];
	snprintf(dir, sizeof dir, "%s", path);
	char *slash = strrchr(dir, '/');
	if (slash)
		slash[slash == dir] = 0;
	enum err e = fsync(fd) ? err_errno(et, "%s: fsync", tmp) : OK;
	if (!e)
		e = backup_verify(tmp, info, cmd_cancel(cmd), et);
	if (e == ERR_CORRUPT)
		err_set(et, e,
			"the server ended the backup early (its log says why): %s is not made",
			path);
	if (!e && renameat2(AT_FDCWD, tmp, AT_FDCWD, path, RENAME_NOREPLACE) &&
		(errno != EINVAL || rename(tmp, path)))
		e = errno == EEXIST ? err_set(et, ERR_CONFLICT, "%s exists already", path)
				    : err_errno(et, "%s", path);
	return e ? e : os_fsync_dir(slash ? dir : ".", et);
}

enum err run_backup(struct cmd *cmd, struct errtext *et)
{
	char path[PATH_MAX], tmp[PATH_MAX + 64], hex[ID_HEX + 1];
	struct backup_info info;
	id_hex(id_new(), hex);
	if (cmd_n_args(cmd) != 1)
		return err_set(et, ERR_INVALID, "say where: croft backup FILE");
	snprintf(path, sizeof path, "%.*s", STR_FMT(cmd_arg(cmd, 0)));
	snprintf(tmp, sizeof tmp, "%s.%s.part", path, hex);
	if (os_exists(path))
		return err_set(et, ERR_CONFLICT, "%s exists already", path);
	struct download d = {
		.fd = open(tmp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600), .et = et};
	if (d.fd < 0)
		return err_errno(et, "%s", tmp);
	d.progress = progress_begin(cmd, "backup", "B", 0);
	enum err e = cmd_download(cmd, "/api/v1/backup", take_bytes, &d, et);
	progress_end(d.progress, NULL);
	if (!e)
		e = settle(cmd, d.fd, tmp, path, &info, et);
	close(d.fd);
	unlink(tmp);
	if (!e)
		print_info(cmd, "stored", path, &info);
	return e;
}

/* ---- croft restore ---- */

static size_t all_parts(struct schema_part **out)
{
	struct schema_part *parts = calloc(app_n_modules + 1, sizeof *parts);
	size_t n = 0;
	for (size_t i = 0; parts && i < app_n_modules; i++)
		if (app_modules[i]->n_migrations)
			parts[n++] = (struct schema_part){app_modules[i]->name,
				app_modules[i]->migrations, app_modules[i]->n_migrations};
	*out = parts;
	return n;
}

static enum err restore_to(struct cmd *cmd, struct croft *c, const char *path,
	struct backup_info *info, struct errtext *et)
{
	struct buf url = {0};
	struct db *db = NULL;
	struct blobs *blobs = NULL;
	struct schema_part *parts;
	size_t n = all_parts(&parts);
	croft_db_url(c, &url);
	enum err e = parts ? db_open(buf_c(&url), &db, et) : err_set(et, ERR_NOMEM, "no memory");
	buf_clear(&url);
	croft_blobs_url(c, &url);
	if (!e)
		e = blobs_open(buf_c(&url), &blobs, et);
	if (!e)
		e = backup_restore(path, db, blobs, parts, n, info, cmd_cancel(cmd), et);
	if (blobs)
		blobs_close(blobs);
	db_close(db);
	buf_free(&url);
	free(parts);
	return e;
}

enum err run_restore(struct cmd *cmd, struct errtext *et)
{
	char path[PATH_MAX], lock_path[PATH_MAX];
	struct backup_info info;
	struct croft *c;
	int lock = -1;
	if (cmd_n_args(cmd) != 1)
		return err_set(et, ERR_INVALID, "say which: croft restore FILE");
	snprintf(path, sizeof path, "%.*s", STR_FMT(cmd_arg(cmd, 0)));
	enum err e = cmd_settings(cmd, &c, et);
	if (e)
		return e;
	snprintf(lock_path, sizeof lock_path, "%s/lock", croft_home(c));
	e = os_mkdirs(croft_home(c), et);
	if (!e)
		e = os_lock(lock_path, &lock, et);
	if (e == ERR_BUSY)
		err_set(et, e, "the data directory %s is in use: stop the server first",
			croft_home(c));
	if (!e)
		e = restore_to(cmd, c, path, &info, et);
	os_unlock(lock);
	if (!e)
		print_info(cmd, "restored", path, &info);
	croft_close(c);
	return e;
}

/* ---- croft migrate ---- */

const struct option migrate_options[2] = {
	{"from", 0, "URL", "The database to copy"},
	{"to", 0, "URL", "The empty one to fill"},
};

static void print_table(void *ctx, const struct copied *t)
{
	struct cmd *cmd = ctx;
	if (!cmd_json(cmd))
		cmd_outf(cmd, "%-32s %10llu rows  sha256 %.16s\n", t->table,
			(unsigned long long)t->rows, t->sha256);
	cmd_flush(cmd);
}

enum err run_migrate(struct cmd *cmd, struct errtext *et)
{
	char from_url[4096], to_url[4096];
	struct str from_opt = cmd_opt(cmd, "from"), to_opt = cmd_opt(cmd, "to");
	struct db *from = NULL, *to = NULL;
	if (!from_opt.n || !to_opt.n || from_opt.n >= sizeof from_url || to_opt.n >= sizeof to_url)
		return err_set(et, ERR_INVALID,
			"say from where to where: croft migrate --from URL --to URL");
	if (str_eq(from_opt, to_opt))
		return err_set(et, ERR_INVALID, "--from and --to are the same database");
	snprintf(from_url, sizeof from_url, "%.*s", STR_FMT(from_opt));
	snprintf(to_url, sizeof to_url, "%.*s", STR_FMT(to_opt));
	if (str_starts(from_opt, S("sqlite:")) && !os_exists(from_url + strlen("sqlite:")))
		return err_set(
			et, ERR_NOT_FOUND, "there is no file %s", from_url + strlen("sqlite:"));
	struct schema_part *parts;
	size_t n = all_parts(&parts);
	enum err e = parts ? db_open(from_url, &from, et) : err_set(et, ERR_NOMEM, "no memory");
	if (e)
		err_wrap(et, e, "--from");
	if (!e) {
		e = db_open(to_url, &to, et);
		if (e)
			err_wrap(et, e, "--to");
	}
	if (!e)
		e = db_copy(from, to, parts, n, print_table, cmd, cmd_cancel(cmd), et);
	db_close(to);
	db_close(from);
	free(parts);
	return e;
}
