/* s3://KEY:SECRET@host:port/bucket/prefix?region=...&tls=...&spool=... taken apart. */
#include "store/s3_int.h"

#include <stdlib.h>

static char *decoded(struct str s)
{
	struct buf b = {0};
	url_decode(&b, s, false);
	return memchr(buf_c(&b), 0, b.n) ? (buf_free(&b), NULL) : buf_take(&b);
}

static char *from_environment(const char *name)
{
	const char *v = getenv(name);
	return v && *v ? str_dup(str_c(v)) : NULL;
}

void s3_url_release(struct s3_url *u)
{
	char *all[] = {u->host, u->bucket, u->prefix, u->region, u->key, u->token, u->spool};
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		free(all[i]);
	if (u->secret)
		explicit_bzero(u->secret, strlen(u->secret));
	free(u->secret);
	*u = (struct s3_url){0};
}

static bool is_true(struct str v, bool *out)
{
	static const char *const yes[] = {"1", "true", "on", "yes"}, *const no[] = {"0", "false",
									     "off", "no"};
	for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
		if (str_eq_c(v, yes[i]) || str_eq_c(v, no[i])) {
			*out = str_eq_c(v, yes[i]);
			return true;
		}
	}
	return false;
}

static enum err parse_query(struct str query, struct s3_url *u, struct errtext *et)
{
	struct str part;
	while (str_next(&query, '&', &part)) {
		if (!part.n)
			continue;
		size_t eq = str_chr(part, '=');
		struct str name = str_sub(part, 0, eq),
			   value = eq == STR_NONE ? (struct str){"", 0}
						  : str_sub(part, eq + 1, part.n);
		char **to = str_eq_c(name, "region")  ? &u->region
			    : str_eq_c(name, "spool") ? &u->spool
						      : NULL;
		if (to) {
			free(*to);
			*to = decoded(value);
			if (!*to || !**to)
				return err_set(
					et, ERR_INVALID, "blobs.url: %.*s is empty", STR_FMT(name));
		} else if (!str_eq_c(name, "tls")) {
			return err_set(et, ERR_INVALID,
				"blobs.url: \"%.*s\" is none of region, tls, spool",
				STR_FMT(str_sub(name, 0, 40)));
		} else if (!is_true(value, &u->tls)) {
			return err_set(et, ERR_INVALID, "blobs.url: tls is true or false");
		}
	}
	return OK;
}

static enum err parse_user(struct str user, struct s3_url *u, struct errtext *et)
{
	size_t colon = str_chr(user, ':');
	if (colon == STR_NONE || !colon || colon + 1 == user.n)
		return err_set(et, ERR_INVALID,
			"blobs.url: before the @ stand KEY:SECRET, both percent-encoded");
	u->key = decoded(str_sub(user, 0, colon));
	u->secret = decoded(str_sub(user, colon + 1, user.n));
	return u->key && u->secret ? OK : err_set(et, ERR_INVALID, "blobs.url: the credentials");
}

static enum err parse_path(struct str path, struct s3_url *u, struct errtext *et)
{
	size_t slash = str_chr(path, '/');
	struct str bucket = str_sub(path, 0, slash),
		   prefix = slash == STR_NONE ? (struct str){"", 0}
					      : str_sub(path, slash + 1, path.n);
	while (prefix.n && prefix.p[prefix.n - 1] == '/')
		prefix.n--;
	if (bucket.n < 3 || bucket.n > 63)
		return err_set(et, ERR_INVALID,
			"blobs.url: after the host comes a bucket of 3 to 63 characters, as in "
			"s3://host:port/bucket/prefix");
	for (size_t i = 0; i < bucket.n; i++)
		if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789.-_", bucket.p[i]) || !bucket.p[i])
			return err_set(et, ERR_INVALID,
				"blobs.url: a bucket has lower-case letters, digits, dots and "
				"hyphens only");
	struct buf b = {0};
	if (prefix.n) {
		url_decode(&b, prefix, false);
		buf_putc(&b, '/');
	}
	if (memchr(buf_c(&b), 0, b.n) || !utf8_valid(buf_str(&b)) || b.n > 512) {
		buf_free(&b);
		return err_set(et, ERR_INVALID, "blobs.url: the prefix is no usable key");
	}
	u->bucket = str_dup(bucket);
	u->prefix = buf_take(&b);
	return OK;
}

static enum err parse_host(struct str host, struct s3_url *u, struct errtext *et)
{
	for (size_t i = 0; i < host.n; i++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:[]_",
			    host.p[i]) ||
			!host.p[i])
			return err_set(et, ERR_INVALID, "blobs.url: the host has odd characters");
	if (!host.n)
		return err_set(et, ERR_INVALID,
			"blobs.url: the host is missing, as in s3://host:port/bucket");
	/* The signature has the Host header in it, which leaves out the scheme's own port. */
	struct str own = u->tls ? S(":443") : S(":80");
	if (str_ends(host, own))
		host.n -= own.n;
	u->host = str_dup(host);
	return OK;
}

static enum err complete(struct s3_url *u, struct errtext *et)
{
	if (!u->key) {
		u->key = from_environment("AWS_ACCESS_KEY_ID");
		u->secret = from_environment("AWS_SECRET_ACCESS_KEY");
		u->token = from_environment("AWS_SESSION_TOKEN");
		if (!u->key || !u->secret)
			return err_set(et, ERR_INVALID,
				"S3 needs credentials: set blobs.key and blobs.secret, or "
				"AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY");
	}
	if (!u->region)
		u->region = from_environment("AWS_REGION");
	if (!u->region)
		u->region = str_dup(S("us-east-1"));
	if (!u->spool)
		u->spool = from_environment("TMPDIR");
	if (!u->spool)
		u->spool = str_dup(S("/tmp"));
	return u->host && u->bucket && u->prefix && u->region && u->spool
		       ? OK
		       : err_set(et, ERR_NOMEM, "no memory for the blob store");
}

enum err s3_url_parse(const char *at, struct s3_url *out, struct errtext *et)
{
	struct s3_url u = {.tls = true};
	struct str rest = str_c(at), query = {"", 0};
	if (!str_starts(rest, S("//")))
		return err_set(et, ERR_INVALID,
			"blobs.url: S3 is written s3://host:port/bucket/prefix?region=...");
	rest = str_sub(rest, 2, rest.n);
	size_t mark = str_chr(rest, '?');
	if (mark != STR_NONE) {
		query = str_sub(rest, mark + 1, rest.n);
		rest = str_sub(rest, 0, mark);
	}
	size_t slash = str_chr(rest, '/');
	struct str host = str_sub(rest, 0, slash);
	struct str path =
		slash == STR_NONE ? (struct str){"", 0} : str_sub(rest, slash + 1, rest.n);
	size_t user = str_rchr(host, '@');
	enum err e = parse_query(query, &u, et);
	if (!e && user != STR_NONE) {
		e = parse_user(str_sub(host, 0, user), &u, et);
		host = str_sub(host, user + 1, host.n);
	}
	if (!e)
		e = parse_host(host, &u, et);
	if (!e)
		e = parse_path(path, &u, et);
	if (!e)
		e = complete(&u, et);
	if (e) {
		s3_url_release(&u);
		return e;
	}
	*out = u;
	return OK;
}
