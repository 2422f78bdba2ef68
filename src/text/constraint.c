/* Compiled constraints by kind and content, the least recently used leave first. */
#include "text/constraint.h"

#include <pthread.h>
#include <stdlib.h>
#include "base/hash.h"
#include "base/json.h"
#include "base/map.h"
#include "base/os.h"
#include "text/grammar.h"
#include "text/schema.h"

enum {
	BYTES_MAX = 64 << 20,   /* kept */
	IN_USE_MAX = 512 << 20, /* kept, or held by requests */
	COMPILING_MAX = 2,      /* at once: one may take seconds, and hundreds of MiB */
	WAITING_MAX = 16,
	CHOICES_MAX = 10000,
	LARGE = 8 << 20,
};

struct constraint {
	struct constraint *newer, *older; /* by use */
	unsigned refs;
	char key[SHA256_HEX + 2];
	size_t bytes;
	struct grammar *grammar;
	struct schema *schema; /* or this */
};

struct constraints {
	pthread_mutex_t mu;
	struct map map;
	struct constraint ends; /* newer: the oldest; older: the newest */
	size_t n, most, bytes, in_use;
	pthread_cond_t turn;
	unsigned compiling, waiting;
};

struct constraints *constraints_new(size_t most)
{
	struct constraints *k = calloc(1, sizeof *k);
	if (!k)
		return NULL;
	pthread_mutex_init(&k->mu, NULL);
	pthread_cond_init(&k->turn, NULL);
	k->ends.newer = k->ends.older = &k->ends;
	k->most = most;
	return k;
}

/* ---- with the lock ---- */

static void put(struct constraints *k, struct constraint *c)
{
	if (--c->refs)
		return;
	size_t bytes = c->bytes;
	k->in_use -= bytes;
	grammar_free(c->grammar);
	schema_free(c->schema);
	free(c);
	if (bytes > LARGE)
		os_return_memory();
}

static void unlink_one(struct constraint *c)
{
	c->newer->older = c->older;
	c->older->newer = c->newer;
}

static void link_newest(struct constraints *k, struct constraint *c)
{
	c->newer = &k->ends;
	c->older = k->ends.older;
	c->older->newer = c;
	k->ends.older = c;
}

static void forget(struct constraints *k, struct constraint *c)
{
	map_del(&k->map, str_c(c->key));
	unlink_one(c);
	k->n--;
	k->bytes -= c->bytes;
	put(k, c);
}

static void keep(struct constraints *k, struct constraint *c)
{
	if (c->bytes > BYTES_MAX || map_get(&k->map, str_c(c->key)) ||
		!map_put(&k->map, str_c(c->key), c))
		return;
	c->refs++;
	link_newest(k, c);
	k->n++;
	k->bytes += c->bytes;
	while (k->n > k->most || k->bytes > BYTES_MAX)
		forget(k, k->ends.newer);
}

/* ---- compiling ---- */

static enum err choices(struct str source, struct grammar **out, struct errtext *et)
{
	yyjson_doc *doc;
	yyjson_val *v;
	size_t i, n;
	enum err e = json_parse(source, &doc, et);
	if (e)
		return e;
	yyjson_val *all = yyjson_doc_get_root(doc);
	n = yyjson_arr_size(all);
	struct str *texts = n && n <= CHOICES_MAX ? calloc(n, sizeof *texts) : NULL;
	if (!yyjson_is_arr(all) || !n)
		e = err_set(et, ERR_INVALID, "a list of texts to choose from is wanted");
	else if (n > CHOICES_MAX)
		e = err_set(et, ERR_TOO_LARGE, "%zu texts to choose from; at most %d are possible",
			n, CHOICES_MAX);
	else if (!texts)
		e = err_set(et, ERR_NOMEM, "no memory for the choices");
	if (!e)
		yyjson_arr_foreach(all, i, n, v)
		{
			texts[i] = json_val_str(v);
			if (!yyjson_is_str(v))
				e = err_set(et, ERR_INVALID, "choice %zu is not a string", i);
		}
	if (!e)
		e = grammar_texts(texts, n, out, et);
	free(texts);
	yyjson_doc_free(doc);
	return e;
}

static enum err compile(
	enum constraint_kind kind, struct str source, struct constraint *c, struct errtext *et)
{
	switch (kind) {
	case CONSTRAINT_GRAMMAR:
		return grammar_gbnf(source, &c->grammar, et);
	case CONSTRAINT_REGEX:
		return grammar_regex(source, &c->grammar, et);
	case CONSTRAINT_CHOICE:
		return choices(source, &c->grammar, et);
	case CONSTRAINT_OBJECT:
		return schema_compile(
			S("{\"type\":\"object\"}"), &(struct schema_options){0}, &c->schema, et);
	case CONSTRAINT_SCHEMA:
		return schema_compile(source, &(struct schema_options){0}, &c->schema, et);
	case CONSTRAINT_NONE:
		break;
	}
	return err_set(et, ERR_INVALID, "there is nothing to hold the text to");
}

/* ---- the whole ---- */

static void key_of(enum constraint_kind kind, struct str source, char key[SHA256_HEX + 2])
{
	key[0] = (char)('a' + (int)kind);
	sha256_hex_of(source, key + 1);
}

void constraints_free(struct constraints *k)
{
	if (!k)
		return;
	while (k->ends.newer != &k->ends)
		forget(k, k->ends.newer);
	map_free(&k->map);
	pthread_cond_destroy(&k->turn);
	pthread_mutex_destroy(&k->mu);
	free(k);
}

static struct constraint *known(struct constraints *k, const char *key)
{
	struct constraint *c = map_get(&k->map, str_c(key));
	if (c) {
		c->refs++;
		unlink_one(c);
		link_newest(k, c);
	}
	return c;
}

/* The known one, which others may have compiled meanwhile, or with *c NULL the right to compile. */
static enum err take_turn(
	struct constraints *k, const char *key, struct constraint **c, struct errtext *et)
{
	while (!(*c = known(k, key)) && k->compiling == COMPILING_MAX) {
		if (k->waiting == WAITING_MAX)
			return err_set(et, ERR_BUSY,
				"too many schemas and grammars are being compiled; try again");
		k->waiting++;
		pthread_cond_wait(&k->turn, &k->mu);
		k->waiting--;
	}
	k->compiling += !*c;
	return OK;
}

static enum err compile_new(enum constraint_kind kind, struct str source, const char *key,
	struct constraint **out, struct errtext *et)
{
	struct constraint *c = calloc(1, sizeof *c);
	enum err e = c ? compile(kind, source, c, et) : err_set(et, ERR_NOMEM, "no memory");
	if (e) {
		free(c);
		if (e == ERR_TOO_LARGE) /* it had hundreds of MiB, on whatever thread this is */
			os_return_memory();
		return e;
	}
	c->refs = 1;
	memcpy(c->key, key, sizeof c->key);
	c->bytes = sizeof *c + (c->schema ? schema_bytes(c->schema) : grammar_bytes(c->grammar));
	*out = c;
	return OK;
}

/* A new one is counted, and kept when there is room. */
static enum err admit(struct constraints *k, struct constraint *c, struct errtext *et)
{
	k->in_use += c->bytes;
	if (k->in_use > IN_USE_MAX) {
		put(k, c);
		return err_set(et, ERR_BUSY,
			"the schemas and grammars of other requests take too much memory; try "
			"again");
	}
	keep(k, c);
	return OK;
}

enum err constraint_get(struct constraints *k, enum constraint_kind kind, struct str source,
	struct constraint **out, struct errtext *et)
{
	char key[SHA256_HEX + 2];
	struct constraint *c = NULL;
	key_of(kind, source, key);
	pthread_mutex_lock(&k->mu);
	enum err e = take_turn(k, key, &c, et);
	bool mine = !e && !c;
	pthread_mutex_unlock(&k->mu);
	if (mine)
		e = compile_new(kind, source, key, &c, et);
	if (mine) {
		pthread_mutex_lock(&k->mu);
		k->compiling--;
		pthread_cond_broadcast(&k->turn);
		if (!e)
			e = admit(k, c, et);
		pthread_mutex_unlock(&k->mu);
	}
	if (!e)
		*out = c;
	return e;
}

void constraint_put(struct constraints *k, struct constraint *c)
{
	if (!c)
		return;
	pthread_mutex_lock(&k->mu);
	put(k, c);
	pthread_mutex_unlock(&k->mu);
}

const struct language *constraint_language(const struct constraint *c)
{
	if (!c)
		return NULL;
	return c->schema ? schema_language(c->schema) : grammar_language(c->grammar);
}
