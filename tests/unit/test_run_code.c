/* The state of a working tree, read and restored. The oracle is git itself and the bytes of the
 * files. */
#include "run/code.h"
#include "base/os.h"
#include "tap.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char repo[512];

static void sh(const char *fmt, ...) PRINTF_LIKE(1, 2);
static void sh(const char *fmt, ...)
{
	char cmd[4096];
	va_list ap;
	va_start(ap, fmt);
	int n = snprintf(cmd, sizeof cmd, "set -e; cd '%s'; exec >/dev/null 2>&1; ", repo);
	vsnprintf(cmd + n, sizeof cmd - (size_t)n, fmt, ap);
	va_end(ap);
	if (system(cmd) != 0)
		FAIL("%s", cmd);
}

/* A repository with one commit and files of every kind. */
static void make_repo(void)
{
	snprintf(repo, sizeof repo, "%s/repo", tap_tmpdir());
	mkdir(repo, 0755);
	sh("git init -b main; git config user.name t; git config user.email t@example.com; "
	   "git config commit.gpgsign false");
	sh("printf 'one\\ntwo\\nthree\\n' > text; printf 'no end' > cut; printf 'a\\r\\nb\\r\\n' > "
	   "dos; "
	   "head -c 3000 /dev/urandom > binary; mkdir -p sub/deep; echo x > 'sub/deep/with space "
	   "é'; "
	   "ln -s text link; echo gone > gone; echo '#!/bin/sh' > tool; echo '*.tmp' > .gitignore; "
	   "git add -A; git commit -qm first");
}

static struct code_state read_state(struct arena *a, const char *below)
{
	char path[1024];
	struct code_state s;
	struct errtext et = {0};
	snprintf(path, sizeof path, "%s/%s", repo, below);
	enum err e = code_state_read(path, 10 << 20, NULL, 0, a, &s, &et);
	if (e)
		FAIL("%s", err_text(e, &et));
	return s;
}

static void restored_equals(const struct code_state *s)
{
	char to[600];
	struct errtext et = {0};
	snprintf(to, sizeof to, "%s/again", tap_tmpdir());
	os_remove_tree(to, NULL);
	enum err e = code_restore(s, to, &et);
	if (e)
		FAIL("%s", err_text(e, &et));
	sh("diff -r --no-dereference --exclude=.git --exclude='*.tmp' . '%s'", to);
	sh("test \"$(git ls-files -o -m -d --exclude-standard)\" = "
	   "\"$(git -C '%s' ls-files -o -m -d --exclude-standard)\" || { git reset -q; "
	   "test \"$(git ls-files -o -m -d --exclude-standard)\" = "
	   "\"$(git -C '%s' ls-files -o -m -d --exclude-standard)\"; }",
		to, to);
	sh("test $(git rev-parse HEAD) = $(git -C '%s' rev-parse HEAD)", to);
}

static void test_run_code__clean(void)
{
	make_repo();
	struct arena *a = arena_new(0);
	struct code_state s = read_state(a, "sub/deep");
	char head[64];
	snprintf(head, sizeof head, "%.*s", STR_FMT(s.commit));
	sh("test $(git rev-parse HEAD) = %s", head);
	CHECK(str_eq_c(s.branch, "main"));
	CHECK(str_eq_c(s.below, "sub/deep"));
	CHECK(s.patch.n == 0 && s.n_changed == 0 && s.remote.n == 0);
	restored_equals(&s);
	arena_free(a);
}

static void test_run_code__every_kind_of_change(void)
{
	make_repo();
	sh("printf 'one\\nTWO\\nthree\\nfour' > text; printf 'an end now\\n' > cut; printf "
	   "'a\\r\\nB\\r\\n' > dos; "
	   "head -c 5000 /dev/urandom > binary; head -c 100 /dev/urandom > 'new binary'; rm gone; "
	   "chmod +x tool; ln -sf cut link; git mv 'sub/deep/with space é' moved; rm -rf sub; : > "
	   "empty; "
	   "echo staged > staged; git add staged; echo more >> staged; echo no > x.tmp; "
	   "mkdir fresh; echo deep > fresh/deep; echo odd > 'a \"quoted\\back	tab'; "
	   "rm dos; ln -s text dos");
	struct arena *a = arena_new(0);
	struct code_state s = read_state(a, "");
	CHECK(s.below.n == 0);
	CHECK(str_find(s.patch, S("x.tmp")) == STR_NONE);
	CHECK(s.n_changed >= 12);
	restored_equals(&s);
	/* git itself reads the patch as we do */
	char file[600];
	struct errtext et = {0};
	snprintf(file, sizeof file, "%s/patch", tap_tmpdir());
	CHECK_OK(os_write_atomic(file, s.patch, &et), &et);
	sh("git clone -q . ../by-git; git -C ../by-git apply '%s'; "
	   "diff -r --no-dereference --exclude=.git --exclude='*.tmp' . ../by-git",
		file);
	arena_free(a);
}

static void test_run_code__limits_and_absence(void)
{
	make_repo();
	struct arena *a = arena_new(0);
	struct code_state s = {.n_changed = 77};
	struct errtext et = {0};
	sh("head -c 200000 /dev/urandom > big");
	CHECK_INT(code_state_read(repo, 10000, NULL, 0, a, &s, &et), ERR_TOO_LARGE);
	CHECK(strstr(et.msg, "commit or ignore"));
	CHECK_INT(code_state_read(tap_tmpdir(), 10000, NULL, 0, a, &s, &et), ERR_NOT_FOUND);
	CHECK_INT(s.n_changed, 77); /* untouched */
	char to[600];
	snprintf(to, sizeof to, "%s/again", tap_tmpdir());
	s = (struct code_state){.root = str_c(repo), .commit = S("")};
	CHECK_INT(code_restore(&s, to, &et), ERR_UNSUPPORTED);
	s.commit = S("0123456789012345678901234567890123456789");
	CHECK_INT(code_restore(&s, to, &et), ERR_NOT_FOUND);
	CHECK(!os_exists(to));
	s = read_state(a, "");
	CHECK_INT(code_restore(&s, repo, &et), ERR_CONFLICT);
	s.patch = S("diff --git a/nowhere b/nowhere\n--- a/nowhere\n+++ b/nowhere\n@@ -1 +1 "
		    "@@\n-a\n+b\n");
	CHECK(code_restore(&s, to, &et) != OK);
	CHECK(!os_exists(to)); /* nothing half done is left */
	arena_free(a);
}

static void test_run_code__no_commit_yet(void)
{
	snprintf(repo, sizeof repo, "%s/repo", tap_tmpdir());
	mkdir(repo, 0755);
	sh("git init -b main; echo hello > file");
	struct arena *a = arena_new(0);
	struct code_state s = read_state(a, "");
	CHECK(s.commit.n == 0 && s.n_changed == 1);
	CHECK(str_find(s.patch, S("+hello")) != STR_NONE);
	arena_free(a);
}

/* The working tree is gone: the remote still has the commit. No password stands in the record. */
static void test_run_code__from_the_remote(void)
{
	make_repo();
	struct arena *a = arena_new(0);
	sh("git clone -q --bare . ../origin.git; git remote add origin '%s/origin.git'; "
	   "echo more >> text",
		tap_tmpdir());
	struct code_state s = read_state(a, "");
	char moved[600];
	snprintf(moved, sizeof moved, "%s/moved", tap_tmpdir());
	CHECK(rename(repo, moved) == 0);
	strcpy(repo, moved);
	restored_equals(&s);
	sh("git remote set-url origin https://ada:s3cret@example.com/x.git");
	s = read_state(a, "");
	CHECK(str_eq_c(s.remote, "https://example.com/x.git"));
	sh("git remote set-url origin git@example.com:x.git");
	s = read_state(a, "");
	CHECK(str_eq_c(s.remote, "git@example.com:x.git"));
	arena_free(a);
}

static void test_run_code__diff_of_two_states(void)
{
	make_repo();
	struct arena *a = arena_new(0);
	struct errtext et = {0};
	sh("echo before >> text");
	struct code_state one = read_state(a, "");
	sh("git commit -qam second; echo after >> text; echo new > file");
	struct code_state two = read_state(a, "");
	struct buf d = {0};
	sh("git count-objects > ../before");
	CHECK_OK(code_diff(&one, &two, 1 << 20, &d, &et), &et);
	CHECK(strstr(buf_c(&d), "+after") && strstr(buf_c(&d), "+new"));
	CHECK(!strstr(buf_c(&d), "+before"));
	buf_clear(&d);
	CHECK_OK(code_diff(&one, &one, 1 << 20, &d, &et), &et);
	CHECK(d.n == 0);
	sh("git count-objects | diff - ../before"); /* the user's repository is as it was */
	buf_free(&d);
	arena_free(a);
}

TESTS(T(test_run_code__clean), T(test_run_code__every_kind_of_change),
	T(test_run_code__limits_and_absence), T(test_run_code__no_commit_yet),
	T(test_run_code__from_the_remote), T(test_run_code__diff_of_two_states))
