#include "tap.h"
#include "base/clock.h"
#include "base/thread.h"
#include "store/blob_int.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static struct errtext et;

static struct blobs *open_blobs(void)
{
	struct blobs *b;
	char url[512];
	snprintf(url, sizeof url, "file:%s/blobs", tap_tmpdir());
	CHECK_OK(blobs_open(url, &b, &et), &et);
	return b;
}

static const char *path_of(const char *hex)
{
	static char path[600];
	snprintf(path, sizeof path, "%s/blobs/%.2s/%s", tap_tmpdir(), hex, hex + 2);
	return path;
}

static unsigned count_files(const char *rel)
{
	char cmd[600];
	unsigned n = 0;
	snprintf(cmd, sizeof cmd, "find %s/blobs/%s -type f | wc -l", tap_tmpdir(), rel);
	FILE *f = popen(cmd, "r");
	CHECK(f && fscanf(f, "%u", &n) == 1);
	pclose(f);
	return n;
}

static void check_content(struct blobs *b, const char *hex, struct str want)
{
	struct os_map m;
	CHECK_OK(blob_get(b, hex, true, &m, &et), &et);
	CHECK(m.n == want.n && (!m.n || memcmp(m.p, want.p, m.n) == 0));
	os_unmap(&m);
}

static void test_store_blob__put_get_delete(void)
{
	struct blobs *b = open_blobs();
	char hex[SHA256_HEX + 1], again[SHA256_HEX + 1], empty[SHA256_HEX + 1];
	CHECK_OK(blob_put(b, S("hello"), hex, &et), &et);
	CHECK_STR(str_c(hex), "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
	CHECK_OK(blob_put(b, S("hello"), again, &et), &et);
	CHECK_STR(str_c(again), hex);
	CHECK_OK(blob_put(b, S(""), empty, &et), &et);
	check_content(b, hex, S("hello"));
	check_content(b, empty, S(""));
	CHECK_INT(count_files(""), 2);
	CHECK(blob_exists(b, hex));
	CHECK_OK(blob_delete(b, hex, &et), &et);
	CHECK(!blob_exists(b, hex));
	struct os_map m;
	CHECK_ERR(blob_get(b, hex, false, &m, &et), ERR_NOT_FOUND);
	CHECK_ERR(blob_delete(b, hex, &et), ERR_NOT_FOUND);
	blobs_close(b);
}

static void test_store_blob__names_are_checked(void)
{
	struct blobs *b = open_blobs();
	struct os_map m;
	static const char *const bad[] = {"", "../../etc/passwd", "2cf2",
		"2CF24DBA5FB0A30E26E83B2AC5B9E29E1B161E5C1FA7425E73043362938B9824",
		"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b98240",
		"../24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		CHECK_ERR(blob_get(b, bad[i], false, &m, &et), ERR_INVALID);
		CHECK_ERR(blob_delete(b, bad[i], &et), ERR_INVALID);
		CHECK(!blob_exists(b, bad[i]));
	}
	struct blobs *other;
	CHECK_ERR(blobs_open("ftp:/x", &other, &et), ERR_INVALID);
	CHECK_ERR(blobs_open("file:", &other, &et), ERR_INVALID);
	blobs_close(b);
}

static void damage(const char *hex, size_t at)
{
	chmod(path_of(hex), 0600);
	int fd = open(path_of(hex), O_RDWR);
	char c;
	CHECK(fd >= 0 && pread(fd, &c, 1, (off_t)at) == 1);
	c ^= 1;
	CHECK(pwrite(fd, &c, 1, (off_t)at) == 1);
	close(fd);
}

static void test_store_blob__every_damaged_byte_is_found_and_a_put_heals(void)
{
	struct blobs *b = open_blobs();
	char hex[SHA256_HEX + 1];
	struct os_map m;
	struct str text = S("the quick brown fox jumps over the lazy dog");
	CHECK_OK(blob_put(b, text, hex, &et), &et);
	for (size_t i = 0; i < text.n; i++) {
		damage(hex, i);
		CHECK_ERR(blob_get(b, hex, true, &m, &et), ERR_CORRUPT);
		CHECK_OK(blob_put(b, text, hex, &et), &et);
		check_content(b, hex, text);
	}
	CHECK(truncate(path_of(hex), 5) == 0);
	CHECK_ERR(blob_get(b, hex, true, &m, &et), ERR_CORRUPT);
	CHECK_OK(blob_put(b, text, hex, &et), &et);
	check_content(b, hex, text);
	blobs_close(b);
}

/* ---- faults: the n-th call of each kind fails, for every n until the put succeeds ---- */

static int countdown, fault_errno;
static bool from_then_on;

static bool fault(void)
{
	bool now = countdown == 0 || (countdown < 0 && from_then_on);
	countdown--;
	if (now)
		errno = fault_errno;
	return now;
}

static ssize_t bad_write(int fd, const void *p, size_t n)
{
	if (fault())
		return -1;
	return write(fd, p, n > 100 ? 100 : n); /* and short */
}

static int bad_fsync(int fd)
{
	return fault() ? -1 : fsync(fd);
}

static int bad_rename(const char *from, const char *to)
{
	return fault() ? -1 : rename(from, to);
}

static void test_store_blob__faults_leave_no_half_blob(void)
{
	static const struct {
		struct blob_sys sys;
		int errnum;
		enum err want;
	} kinds[] = {{{bad_write, fsync, rename}, ENOSPC, ERR_NO_SPACE},
		{{bad_write, fsync, rename}, EIO, ERR_IO},
		{{write, bad_fsync, rename}, EIO, ERR_IO},
		{{write, bad_fsync, rename}, ENOSPC, ERR_NO_SPACE},
		{{write, fsync, bad_rename}, EIO, ERR_IO},
		{{bad_write, bad_fsync, bad_rename}, EIO, ERR_IO}};
	struct blobs *b = open_blobs();
	char data[1000], hex[SHA256_HEX + 1], want[SHA256_HEX + 1];
	unsigned failures = 0;
	for (size_t k = 0; k < ARRAY_LEN(kinds) * 2; k++) {
		from_then_on = k % 2;
		fault_errno = kinds[k / 2].errnum;
		blob_sys = kinds[k / 2].sys;
		for (int n = 0;; n++) {
			memset(data, (int)k, sizeof data);
			memcpy(data, &n, sizeof n);
			struct str s = str_mk(data, sizeof data);
			sha256_hex_of(s, want);
			countdown = n;
			enum err e = blob_put(b, s, hex, &et);
			if (!e) {
				check_content(b, want, s);
				break;
			}
			failures++;
			CHECK_ERR(e, kinds[k / 2].want);
			CHECK(!blob_exists(b, want));
			CHECK_INT(count_files("tmp"), 0);
			countdown = 1 << 30;
			CHECK_OK(blob_put(b, s, hex, &et), &et); /* once the disk is well again */
			check_content(b, want, s);
		}
	}
	tap_note("%u faults", failures);
	CHECK(failures > 60);
	blobs_close(b);
}

static void test_store_blob__a_full_disk(void)
{
	struct blobs *b = open_blobs();
	char hex[SHA256_HEX + 1], *big = calloc(1, 1 << 20);
	signal(SIGXFSZ, SIG_IGN);
	struct rlimit old, small = {1 << 16, RLIM_INFINITY};
	getrlimit(RLIMIT_FSIZE, &old);
	CHECK(setrlimit(RLIMIT_FSIZE, &small) == 0);
	CHECK_ERR(blob_put(b, str_mk(big, 1 << 20), hex, &et), ERR_TOO_LARGE);
	CHECK_INT(count_files(""), 0);
	CHECK_OK(blob_put(b, S("small"), hex, &et), &et);
	setrlimit(RLIMIT_FSIZE, &old);
	CHECK_OK(blob_put(b, str_mk(big, 1 << 20), hex, &et), &et);
	check_content(b, hex, str_mk(big, 1 << 20));
	free(big);
	blobs_close(b);
}

static void test_store_blob__a_full_tmpfs(void)
{
	char cmd[700], url[600], hex[SHA256_HEX + 1], *big = calloc(1, 1 << 20);
	snprintf(cmd, sizeof cmd,
		"mkdir %s/small && mount -t tmpfs -o size=300k none %s/small 2>/dev/null",
		tap_tmpdir(), tap_tmpdir());
	if (geteuid() != 0 || system(cmd) != 0)
		SKIP("cannot mount a small tmpfs here");
	struct blobs *b;
	snprintf(url, sizeof url, "file:%s/small/blobs", tap_tmpdir());
	CHECK_OK(blobs_open(url, &b, &et), &et);
	CHECK_OK(blob_put(b, S("before"), hex, &et), &et);
	char big_hex[SHA256_HEX + 1];
	CHECK_ERR(blob_put(b, str_mk(big, 1 << 20), big_hex, &et), ERR_NO_SPACE);
	CHECK_OK(blob_put(b, S("after"), big_hex, &et), &et);
	check_content(b, hex, S("before"));
	blobs_close(b);
	free(big);
	snprintf(cmd, sizeof cmd, "umount %s/small", tap_tmpdir());
	CHECK(system(cmd) == 0);
}

/* ---- sweep ---- */

static bool keep_one(void *ctx, const char *hex)
{
	return strcmp(ctx, hex) == 0;
}

static void make_old(const char *path)
{
	struct timespec t[2] = {{.tv_sec = clock_unix_ms() / 1000 - 7200},
		{.tv_sec = clock_unix_ms() / 1000 - 7200}};
	CHECK(utimensat(AT_FDCWD, path, t, 0) == 0);
}

static void test_store_blob__sweep_takes_what_is_old_and_unused(void)
{
	struct blobs *b = open_blobs();
	char kept[SHA256_HEX + 1], old[SHA256_HEX + 1], young[SHA256_HEX + 1],
		again[SHA256_HEX + 1], left[600];
	CHECK_OK(blob_put(b, S("kept"), kept, &et), &et);
	CHECK_OK(blob_put(b, S("old, unused"), old, &et), &et);
	CHECK_OK(blob_put(b, S("young, unused"), young, &et), &et);
	CHECK_OK(blob_put(b, S("old, put again"), again, &et), &et);
	make_old(path_of(kept));
	make_old(path_of(old));
	make_old(path_of(again));
	CHECK_OK(blob_put(b, S("old, put again"), again, &et), &et);
	snprintf(left, sizeof left, "%s/blobs/tmp/leftover", tap_tmpdir());
	CHECK_OK(os_write_atomic(left, S("12345"), &et), &et);
	make_old(left);
	uint64_t freed;
	CHECK_OK(blobs_sweep(b, keep_one, kept, &freed, &et), &et);
	CHECK_INT(freed, strlen("old, unused") + 5);
	CHECK(blob_exists(b, kept) && !blob_exists(b, old) && blob_exists(b, young) &&
		blob_exists(b, again));
	CHECK(!os_exists(left));
	blobs_close(b);
}

/* ---- many threads put the same and different bytes while a sweep runs ---- */

static struct blobs *shared;
static atomic_int wrong;

static char no_name[1];

static void *put_many(void *arg)
{
	for (int i = 0; i < 60; i++) {
		char text[64], hex[SHA256_HEX + 1];
		struct os_map m;
		snprintf(text, sizeof text, "blob %d", i); /* every thread puts the same ones */
		if (blob_put(shared, str_c(text), hex, NULL) ||
			blob_get(shared, hex, true, &m, NULL)) {
			atomic_fetch_add(&wrong, 1);
			continue;
		}
		os_unmap(&m);
		if (i % 8 == 0) {
			uint64_t freed;
			if (blobs_sweep(shared, keep_one, no_name, &freed, NULL))
				atomic_fetch_add(&wrong, 1);
		}
	}
	return NULL;
}

static void test_store_blob__many_threads(void)
{
	pthread_t t[6];
	shared = open_blobs();
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		CHECK_OK(thread_start(&t[i], put_many, NULL, "put", &et), &et);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		pthread_join(t[i], NULL);
	CHECK_INT(atomic_load(&wrong), 0);
	CHECK_INT(count_files(""), 60);
	blobs_close(shared);
}

TESTS(T(test_store_blob__put_get_delete), T(test_store_blob__names_are_checked),
	T(test_store_blob__every_damaged_byte_is_found_and_a_put_heals),
	T(test_store_blob__faults_leave_no_half_blob), T(test_store_blob__a_full_disk),
	T(test_store_blob__a_full_tmpfs), T(test_store_blob__sweep_takes_what_is_old_and_unused),
	T(test_store_blob__many_threads))
