/* Secrets: sealing, the envelope in the database, where master keys come from, rotation, what is
 * lost without the key. */
#include "access/secret_int.h"
#include "base/os.h"
#include "tap.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_A "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define KEY_B "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100"

static const struct module *const modules[] = {&access_module, &secret_module};

static struct croft *open_home(const struct http_pair *flags, size_t n)
{
	struct croft *c;
	struct errtext et;
	struct croft_options o = {.modules = modules,
		.n_modules = 2,
		.home = tap_tmpdir(),
		.config = "/dev/null",
		.flags = flags,
		.n_flags = n};
	CHECK_OK(croft_open(&o, &c, &et), &et);
	return c;
}

static void check_value(struct croft *c, struct str project, struct str name, const char *want)
{
	struct buf b = {0};
	struct errtext et;
	CHECK_OK(secret_get(c, project, name, &b, &et), &et);
	CHECK_STR(buf_str(&b), want);
	secret_wipe(&b);
	CHECK(!b.p);
}

static const char *key_path(void)
{
	static char path[PATH_MAX];
	snprintf(path, sizeof path, "%s/secret.key", tap_tmpdir());
	return path;
}

/* AES-256-GCM, test case 16 of the GCM specification (McGrew and Viega, 2004). */
static void test_access_secret__known_answer(void)
{
	static const char *const key =
		"feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308";
	static const char *const text =
		"d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
		"1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39";
	static const char *const sealed =
		"cafebabefacedbaddecaf888" /* nonce */
		"522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
		"8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
		"76fc6ece0f4e1768cddf8853bb2d551b";
	static const char *const about = "feedfacedeadbeeffeedfacedeadbeefabaddad2";
	uint8_t k[32], t[60], s[12 + 60 + 16], a[20];
	struct buf out = {0};
	struct errtext et;
	CHECK(hex_decode(str_c(key), k, sizeof k) && hex_decode(str_c(text), t, sizeof t) &&
		hex_decode(str_c(sealed), s, sizeof s) && hex_decode(str_c(about), a, sizeof a));
	CHECK_OK(unseal(k, str_mk(a, sizeof a), str_mk(s, sizeof s), &out, &et), &et);
	CHECK(str_eq(buf_str(&out), str_mk(t, sizeof t)));
	buf_free(&out);
	/* each changed byte, of text, tag, nonce and what it is about, is noticed */
	for (size_t i = 0; i < sizeof s; i++) {
		s[i] ^= 1;
		CHECK_ERR(unseal(k, str_mk(a, sizeof a), str_mk(s, sizeof s), &out, &et),
			ERR_CORRUPT);
		s[i] ^= 1;
	}
	for (size_t i = 0; i < sizeof a; i++) {
		a[i] ^= 1;
		CHECK_ERR(unseal(k, str_mk(a, sizeof a), str_mk(s, sizeof s), &out, &et),
			ERR_CORRUPT);
		a[i] ^= 1;
	}
	for (size_t n = 0; n < sizeof s; n++)
		CHECK_ERR(unseal(k, str_mk(a, sizeof a), str_mk(s, n), &out, &et), ERR_CORRUPT);
	CHECK_INT(out.n, 0);
	/* the same text twice is not the same sealed */
	struct buf one = {0}, two = {0};
	CHECK_OK(seal(k, S("x"), S("value"), &one, &et), &et);
	CHECK_OK(seal(k, S("x"), S("value"), &two, &et), &et);
	CHECK(!str_eq(buf_str(&one), buf_str(&two)));
	buf_free(&one);
	buf_free(&two);
	buf_free(&out);
}

static void test_access_secret__set_and_get(void)
{
	struct errtext et;
	struct buf b = {0};
	struct croft *c = open_home(NULL, 0);
	struct stat st;
	CHECK(!os_exists(key_path())); /* not before there is something to keep */
	CHECK_ERR(secret_get(c, S("default"), S("none"), &b, &et), ERR_NOT_FOUND);
	CHECK_OK(secret_set(c, NULL, S("default"), S("token"), S("first value"), &et), &et);
	CHECK(!stat(key_path(), &st) && (st.st_mode & 0777) == 0600);
	check_value(c, S("default"), S("token"), "first value");
	CHECK_OK(secret_set(c, NULL, S("default"), S("token"), S("second value"), &et), &et);
	check_value(c, S("default"), S("token"), "second value");
	/* another project's of the same name is another */
	CHECK_ERR(secret_get(c, S("other"), S("token"), &b, &et), ERR_NOT_FOUND);
	CHECK_OK(secret_set(c, NULL, S("other"), S("token"), S("theirs"), &et), &et);
	check_value(c, S("default"), S("token"), "second value");
	check_value(c, S("other"), S("token"), "theirs");
	CHECK_ERR(secret_remove(c, NULL, S("default"), S("tokem"), &et), ERR_NOT_FOUND);
	CHECK_OK(secret_remove(c, NULL, S("default"), S("token"), &et), &et);
	CHECK_ERR(secret_get(c, S("default"), S("token"), &b, &et), ERR_NOT_FOUND);
	static const char *const bad[] = {"", "a b", "a/b", ".a", "-a", "\xc3\xa9", "a\n"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK_ERR(
			secret_set(c, NULL, S("default"), str_c(bad[i]), S("x"), &et), ERR_INVALID);
	CHECK_ERR(secret_set(c, NULL, S("default"), S("a"), S(""), &et), ERR_INVALID);
	struct buf big = {0};
	for (int i = 0; i < SECRET_MAX; i++)
		buf_putc(&big, (char)('a' + i % 26));
	CHECK_OK(secret_set(c, NULL, S("default"), S("big"), buf_str(&big), &et), &et);
	check_value(c, S("default"), S("big"), buf_c(&big));
	buf_putc(&big, 'x');
	CHECK_ERR(secret_set(c, NULL, S("default"), S("big"), buf_str(&big), &et), ERR_TOO_LARGE);
	buf_free(&big);
	croft_close(c);
	c = open_home(NULL, 0);
	check_value(c, S("other"), S("token"), "theirs");
	croft_close(c);
}

static void sql(struct croft *c, const char *text)
{
	struct errtext et;
	struct tx *tx;
	CHECK_OK(db_begin(croft_db(c), TX_WRITE, &tx, &et), &et);
	CHECK_OK(db_exec(tx, &et, text), &et);
	CHECK_OK(db_commit(tx, &et), &et);
}

/* Someone who can write to the database, but has no key, cannot move or mix what is in it. */
static void test_access_secret__moved_rows(void)
{
	static const char *const moves[] = {"UPDATE secret SET name = 'b' WHERE name = 'a'",
		"UPDATE secret SET project = 'other' WHERE name = 'a'",
		"UPDATE secret SET sealed = (SELECT sealed FROM secret WHERE name = 'x')"
		" WHERE name = 'a'",
		"UPDATE secret SET sealed = (SELECT sealed FROM secret WHERE name = 'x'),"
		" wrapped = (SELECT wrapped FROM secret WHERE name = 'x') WHERE name = 'a'",
		"UPDATE secret SET wrapped = sealed WHERE name = 'a'",
		"UPDATE secret SET sealed = wrapped WHERE name = 'a'"};
	struct errtext et;
	struct croft *c = open_home(NULL, 0);
	for (size_t i = 0; i < ARRAY_LEN(moves); i++) {
		struct buf b = {0};
		sql(c, "DELETE FROM secret");
		CHECK_OK(secret_set(c, NULL, S("default"), S("a"), S("value of a"), &et), &et);
		CHECK_OK(secret_set(c, NULL, S("default"), S("x"), S("value of x"), &et), &et);
		sql(c, moves[i]);
		CHECK_ERR(secret_get(c, i == 1 ? S("other") : S("default"), i ? S("a") : S("b"), &b,
				  &et),
			ERR_CORRUPT);
		CHECK_INT(b.n, 0);
		buf_free(&b);
	}
	croft_close(c);
}

static void test_access_secret__rotation(void)
{
	struct errtext et;
	struct buf before = {0}, after = {0};
	struct rotated r;
	struct croft *c = open_home(NULL, 0);
	for (int i = 0; i < 50; i++) {
		char name[16], value[32];
		snprintf(name, sizeof name, "s%d", i);
		snprintf(value, sizeof value, "value %d", i);
		CHECK_OK(secret_set(c, NULL, i % 2 ? S("one") : S("two"), str_c(name), str_c(value),
				 &et),
			&et);
	}
	CHECK_OK(os_read_file(key_path(), 0, &before, &et), &et);
	CHECK_OK(secret_rotate(c, NULL, &r, &et), &et);
	CHECK_INT(r.secrets, 50);
	CHECK_INT(r.rewrapped, 50);
	CHECK_INT(r.keys_left, 0);
	CHECK_OK(os_read_file(key_path(), 0, &after, &et), &et);
	CHECK_INT(after.n, 65);
	CHECK(!str_eq(buf_str(&before), buf_str(&after)));
	check_value(c, S("one"), S("s7"), "value 7");
	check_value(c, S("two"), S("s8"), "value 8");
	/* interrupted after the rows, before the old key is removed: both are there; and before the
	 * rows: the new one is there and not yet used. Either way all opens, and again works */
	buf_adds(&after, buf_str(&before));
	CHECK_OK(os_write_atomic(key_path(), buf_str(&after), &et), &et);
	check_value(c, S("one"), S("s7"), "value 7");
	CHECK_OK(secret_rotate(c, NULL, &r, &et), &et);
	CHECK_INT(r.rewrapped, 50);
	check_value(c, S("one"), S("s7"), "value 7");
	/* the old key alone opens nothing */
	CHECK_OK(os_write_atomic(key_path(), buf_str(&before), &et), &et);
	struct buf b = {0};
	CHECK_ERR(secret_get(c, S("one"), S("s7"), &b, &et), ERR_NOT_READY);
	CHECK(strstr(et.msg, "master key") && !strstr(et.msg, "value 7"));
	/* nor is it replaced when the file is lost */
	CHECK_INT(unlink(key_path()), 0);
	CHECK_ERR(secret_get(c, S("one"), S("s7"), &b, &et), ERR_NOT_READY);
	CHECK_ERR(secret_set(c, NULL, S("one"), S("s9"), S("x"), &et), ERR_NOT_READY);
	CHECK_ERR(secret_rotate(c, NULL, &r, &et), ERR_NOT_READY);
	CHECK(!os_exists(key_path()));
	croft_close(c);
	buf_free(&before);
	buf_free(&after);
}

static void test_access_secret__sources(void)
{
	struct errtext et;
	struct rotated r;
	struct buf b = {0};
	char path[PATH_MAX], command[PATH_MAX + 16];
	snprintf(path, sizeof path, "%s/given.key", tap_tmpdir());
	snprintf(command, sizeof command, "cat '%s'", path);
	CHECK_OK(os_write_atomic(path, S(KEY_A "\n"), &et), &et);
	struct http_pair file[] = {{S("secret.key_file"), str_c(path)}},
			 env[] = {{S("secret.key_env"), S("TEST_MASTER")}},
			 run[] = {{S("secret.key_command"), str_c(command)}},
			 two[] = {file[0], env[0]};
	struct croft *c = open_home(file, 1);
	CHECK_OK(secret_set(c, NULL, S("default"), S("a"), S("by file"), &et), &et);
	CHECK(!os_exists(key_path()));
	croft_close(c);
	/* the same key by the environment, in base64 (of KEY_A), then by a command */
	setenv("TEST_MASTER", "ABEiM0RVZneImaq7zN3u/wARIjNEVWZ3iJmqu8zd7v8=", 1);
	c = open_home(env, 1);
	check_value(c, S("default"), S("a"), "by file");
	unsetenv("TEST_MASTER");
	CHECK_ERR(secret_get(c, S("default"), S("a"), &b, &et), ERR_NOT_READY);
	CHECK(strstr(et.msg, "TEST_MASTER") != NULL);
	setenv("TEST_MASTER", KEY_A "0", 1);
	CHECK_ERR(secret_get(c, S("default"), S("a"), &b, &et), ERR_INVALID);
	CHECK(!strstr(et.msg, "0011")); /* not the key itself */
	croft_close(c);
	c = open_home(run, 1);
	check_value(c, S("default"), S("a"), "by file");
	/* rotation with a key of one's own: the new one in front, rotate, the old one away */
	CHECK_OK(os_write_atomic(path, S(KEY_B "\n" KEY_A "\n"), &et), &et);
	check_value(c, S("default"), S("a"), "by file");
	CHECK_OK(secret_rotate(c, NULL, &r, &et), &et);
	CHECK_INT(r.rewrapped, 1);
	CHECK_INT(r.keys_left, 1);
	CHECK_OK(os_write_atomic(path, S(KEY_B), &et), &et);
	check_value(c, S("default"), S("a"), "by file");
	CHECK_OK(secret_rotate(c, NULL, &r, &et), &et);
	CHECK_INT(r.rewrapped, 0);
	CHECK_OK(os_write_atomic(path, S(""), &et), &et);
	CHECK_ERR(secret_get(c, S("default"), S("a"), &b, &et), ERR_INVALID);
	CHECK_INT(unlink(path), 0);
	CHECK_ERR(secret_get(c, S("default"), S("a"), &b, &et), ERR_NOT_READY);
	croft_close(c);
	c = open_home(two, 2);
	CHECK_ERR(secret_get(c, S("default"), S("a"), &b, &et), ERR_INVALID);
	croft_close(c);
}

static void test_access_secret__settings(void)
{
	struct errtext et;
	struct buf b = {0};
	/* any setting will do for a test of the reading */
	struct http_pair flags[] = {{S("tls.ca"), S("secret:token")}, {S("url"), S("plain")}};
	struct croft *c = open_home(flags, 2);
	CHECK_ERR(setting_secret(c, "tls.ca", &b, &et), ERR_NOT_FOUND);
	CHECK(strstr(et.msg, "tls.ca") != NULL);
	CHECK_OK(secret_set(c, NULL, S("default"), S("token"), S("the value"), &et), &et);
	CHECK_OK(setting_secret(c, "tls.ca", &b, &et), &et);
	CHECK_STR(buf_str(&b), "the value");
	secret_wipe(&b);
	CHECK_OK(setting_secret(c, "url", &b, &et), &et);
	CHECK_STR(buf_str(&b), "plain");
	secret_wipe(&b);
	croft_close(c);
	struct croft_options o = {.modules = modules,
		.n_modules = 2,
		.home = tap_tmpdir(),
		.config = "/dev/null",
		.flags = (struct http_pair[]){{S("api.key"), S("secret:token")}},
		.n_flags = 1};
	CHECK_ERR(croft_open(&o, &c, &et), ERR_INVALID);
}

TESTS(T(test_access_secret__known_answer), T(test_access_secret__set_and_get),
	T(test_access_secret__moved_rows), T(test_access_secret__rotation),
	T(test_access_secret__sources), T(test_access_secret__settings))
