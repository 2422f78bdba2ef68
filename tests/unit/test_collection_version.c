/* Versions of collections from inside: what a second one costs, what compaction leaves, what is
 * kept in memory, and trees that lie. */
#include "tap.h"
#include "access/access.h"
#include "artifact/tree_int.h"
#include "collection/version_int.h"
#include "endpoint/endpoint.h"
#include "run/run.h"

#include <stdio.h>
#include <stdlib.h>

static const struct module *const modules[] = {&access_module, &registry_module, &tree_module,
	&artifact_module, &run_module, &endpoint_module, &collection_module,
	&collection_version_module};

static struct errtext et;

static struct croft *open_croft(const char *bytes)
{
	struct croft *c = NULL;
	struct http_pair flag = {S("collection.version_bytes"), str_c(bytes)};
	struct croft_options o = {.modules = modules,
		.n_modules = ARRAY_LEN(modules),
		.home = tap_tmpdir(),
		.flags = &flag,
		.n_flags = 1};
	CHECK_OK(croft_open(&o, &c, &et), &et);
	return c;
}

/* ---- a collection as a program has it ---- */

enum { DIM = 32, CONFIG_MAX = 256 };
static const char config[] = "{\"spaces\":[{\"name\":\"\",\"dim\":32,\"distance\":\"Cosine\"}]}";

struct model {
	uint32_t state[4096]; /* what item i holds; 0: it is not there */
	size_t n;
};

static void record_of(size_t i, uint32_t state, struct buf *vectors, struct buf *payload)
{
	float v[DIM];
	for (size_t j = 0; j < DIM; j++)
		v[j] = (float)((i * 31 + j * 7 + state * 101) % 997) - 498;
	struct item_vector x = {.v = v, .dim = DIM};
	item_code(&x, 1, vectors);
	buf_addf(payload, "{\"state\":%u}", state);
}

static enum err put(struct vwriter *w, const struct version *base, size_t i, uint32_t state)
{
	struct buf vectors = {0}, payload = {0};
	struct item_id id;
	item_id_number(i, &id);
	record_of(i, state, &vectors, &payload);
	struct vrecord r = {buf_str(&vectors), buf_str(&payload), S(""), S("")};
	struct vitem it = {.id = item_id_bytes(&id)};
	version_sums(&r, &it);
	const struct vitem *old = base ? version_find(base, it.id) : NULL;
	enum err e = old && version_same(old, &it) ? vwriter_keep(w, base, old, &et)
						   : vwriter_add(w, &it, &r, &et);
	buf_free(&vectors);
	buf_free(&payload);
	return e;
}

static struct version *write_version(
	struct croft *c, const struct model *m, const struct version *base)
{
	struct vwriter *w = NULL;
	struct version *v = NULL;
	struct tree_sum sum;
	CHECK_OK(vwriter_open(c, base, &w, &et), &et);
	for (size_t i = 0; i < m->n; i++)
		if (m->state[i])
			CHECK_OK(put(w, base, i, m->state[i]), &et);
	CHECK_OK(vwriter_finish(w, str_c(config), &sum, &et), &et);
	CHECK_OK(version_load(c, sum.digest, &v, NULL, &et), &et);
	return v;
}

/* Every item as it should be, and no other. */
static bool holds(const struct version *v, const struct model *m)
{
	struct vreader r = {.v = v};
	size_t n = 0;
	bool good = true;
	for (size_t i = 0; i < m->n; i++) {
		struct buf vectors = {0}, payload = {0};
		struct vrecord got;
		struct item_id id;
		item_id_number(i, &id);
		const struct vitem *it = version_find(v, item_id_bytes(&id));
		good = good && (it != NULL) == (m->state[i] != 0);
		n += it != NULL;
		record_of(i, m->state[i], &vectors, &payload);
		if (it)
			good = good && !vreader_get(&r, it, &got, &et) &&
			       str_eq(got.payload, buf_str(&payload)) &&
			       str_eq(got.vectors, buf_str(&vectors));
		buf_free(&vectors);
		buf_free(&payload);
	}
	vreader_end(&r);
	return good && n == v->n;
}

/* Bytes of b in blobs that a does not have. */
static uint64_t fresh(const struct version *a, const struct version *b)
{
	struct tree_diff d = {0};
	struct arena *arena = arena_new(0);
	CHECK_OK(tree_diff(a->tree, b->tree, arena, &d, &et), &et);
	uint64_t n = d.fresh;
	arena_free(arena);
	return n;
}

static void test_collection_version__a_second_one_costs_what_is_new(void)
{
	struct croft *c = open_croft("256M");
	struct model *m = calloc(1, sizeof *m);
	m->n = 4096;
	for (size_t i = 0; i < m->n; i++)
		m->state[i] = 1;
	struct version *one = write_version(c, m, NULL), *same = write_version(c, m, one);
	CHECK(holds(one, m));
	CHECK_STR(str_c(one->digest), same->digest);
	m->state[17] = 2;
	struct version *two = write_version(c, m, one);
	CHECK(holds(two, m));
	/* one record, one leaf (100 items at the mean of 64, 256 at most), the file that counts */
	CHECK(fresh(one, two) < 20000);
	for (size_t i = 0; i < m->n; i += 100) /* 1 % in all */
		m->state[i] = 3;
	struct version *three = write_version(c, m, two);
	CHECK(holds(three, m));
	CHECK(fresh(two, three) < one->tree->bytes / 2);
	m->state[4095] = 0; /* an end that comes off changes the last leaf only */
	struct version *four = write_version(c, m, three);
	CHECK(holds(four, m) && fresh(three, four) < 20000);
	struct version *all[] = {one, same, two, three, four};
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		version_put(c, all[i]);
	free(m);
	croft_close(c);
}

/* However long a history is, a version has at most about twice what its items take. */
static void test_collection_version__a_long_history_stays_bounded(void)
{
	struct croft *c = open_croft("256M");
	struct model *m = calloc(1, sizeof *m);
	m->n = 1500;
	unsigned seed = 5;
	for (size_t i = 0; i < m->n; i++)
		m->state[i] = 1;
	struct version *v = write_version(c, m, NULL);
	uint64_t alone = v->tree->bytes;
	for (uint32_t round = 2; round < 14; round++) {
		for (size_t i = 0; i < m->n; i++)
			if (rand_r(&seed) % 3 == 0)
				m->state[i] = rand_r(&seed) % 10 ? round : 0;
		struct version *next = write_version(c, m, v);
		CHECK(holds(next, m));
		CHECK(next->tree->bytes < 3 * alone);
		version_put(c, v);
		v = next;
	}
	version_put(c, v);
	free(m);
	croft_close(c);
}

static void test_collection_version__memory_is_bounded(void)
{
	struct croft *c = open_croft("1M");
	struct model *m = calloc(1, sizeof *m);
	struct version *v[6], *again;
	size_t kept = 0;
	m->n = 3000;
	for (uint32_t k = 0; k < ARRAY_LEN(v); k++) {
		for (size_t i = 0; i < m->n; i++)
			m->state[i] = k + 1;
		v[k] = write_version(c, m, NULL);
	}
	for (size_t k = 0; k < ARRAY_LEN(v); k++) { /* in use: they stay, whatever they take */
		CHECK_OK(version_load(c, v[k]->digest, &again, NULL, &et), &et);
		CHECK(again == v[k]);
		version_put(c, again);
	}
	for (size_t k = 0; k < ARRAY_LEN(v); k++)
		version_put(c, v[k]);
	struct versions *all = collections_of(c)->versions;
	for (size_t i = 0; i < all->n; i++)
		kept += version_bytes(all->list[i]);
	CHECK(kept <= 1 << 20 && all->n >= 1);
	free(m);
	croft_close(c);
}

/* ---- trees that lie ---- */

struct lie {
	const char *json, *leaf, *data;
	size_t leaf_n;
};

static enum err load_lie(struct croft *c, const struct lie *l)
{
	struct tree_writer *w = NULL;
	struct version *v = NULL;
	struct tree_sum sum;
	CHECK_OK(tree_writer_open(croft_blobs(c), &w, &et), &et);
	CHECK_OK(tree_writer_bytes(w, S("collection.json"), str_c(l->json), &et), &et);
	if (l->leaf)
		CHECK_OK(tree_writer_bytes(w, S("index/x"), str_mk(l->leaf, l->leaf_n), &et), &et);
	if (l->data)
		CHECK_OK(
			tree_writer_bytes(w, S("data/0000000000000001"), str_c(l->data), &et), &et);
	CHECK_OK(tree_writer_finish(w, &sum, &et), &et);
	enum err e = version_load(c, sum.digest, &v, NULL, &et);
	version_put(c, v);
	return e;
}

#define HEAD "{\"croft\":\"collection/1\",\"config\":{\"spaces\":[]},\"items\":"

static void test_collection_version__trees_that_lie_are_refused(void)
{
	struct croft *c = open_croft("256M");
	struct buf good = {0}, twice = {0}, far = {0}, none = {0};
	struct vitem it = {.id = S("\1aaaaaaaa"), .off = 0, .len = 10};
	vleaf_add(&good, &it, 1);
	buf_adds(&twice, buf_str(&good));
	buf_adds(&twice, buf_str(&good));
	it.off = 5;
	vleaf_add(&far, &it, 1);
	it.off = 0;
	vleaf_add(&none, &it, 2);
	const struct lie right = {HEAD "1}", buf_c(&good), "0123456789", good.n};
	CHECK_OK(load_lie(c, &right), &et);
	const struct lie lies[] = {
		{"{}", NULL, NULL, 0}, {"[1]", NULL, NULL, 0},
		{HEAD "1}", NULL, NULL, 0},                               /* no such item */
		{HEAD "1000000000}", buf_c(&good), "0123456789", good.n}, /* not as many */
		{HEAD "0}", buf_c(&good), "0123456789", good.n},          /* more */
		{HEAD "-1}", NULL, NULL, 0},
		{HEAD "1}", buf_c(&good), "012345678", good.n}, /* past the end */
		{HEAD "1}", buf_c(&far), "0123456789", far.n},
		{HEAD "1}", buf_c(&none), "0123456789", none.n},     /* no such pack */
		{HEAD "2}", buf_c(&twice), "0123456789", twice.n},   /* the same id */
		{HEAD "1}", buf_c(&good), "0123456789", good.n - 1}, /* cut off */
	};
	for (size_t i = 0; i < ARRAY_LEN(lies); i++)
		CHECK_ERR(load_lie(c, &lies[i]), ERR_CORRUPT);
	buf_free(&good);
	buf_free(&twice);
	buf_free(&far);
	buf_free(&none);
	croft_close(c);
}

/* ---- records ---- */

static void test_collection_version__records_come_back(void)
{
	struct vrecord r = {S("\1\0vv"), S("{\"a\":1}"), S("digest"), S("a text")}, got;
	struct vitem a = {0}, b = {0};
	struct buf bytes = {0};
	vrecord_write(&r, &bytes);
	CHECK_OK(vrecord_read(buf_str(&bytes), &got, &et), &et);
	CHECK(str_eq(got.vectors, r.vectors) && str_eq(got.payload, r.payload));
	CHECK(str_eq(got.text, r.text) && str_eq(got.kept, r.kept));
	for (size_t i = 0; i < bytes.n; i++)
		CHECK_ERR(vrecord_read(str_mk(bytes.p, i), &got, &et), ERR_CORRUPT);
	version_sums(&r, &a);
	r.payload = S("{\"a\":1}dige");
	r.text = S("st");
	version_sums(&r, &b);
	CHECK(!memcmp(a.vectors, b.vectors, VERSION_SUM) && !version_same(&a, &b));
	buf_free(&bytes);
}

/* ---- collected ---- */

static const struct principal me = {
	.name = {"me", 2}, .project = {"default", 7}, .perms = PERMS_ALL};

static void put_some(struct collection *k, size_t from, size_t n, float turn)
{
	struct collection_item *items = calloc(n, sizeof *items);
	float(*v)[2] = calloc(n, sizeof *v);
	struct item_vector *x = calloc(n, sizeof *x);
	for (size_t i = 0; i < n; i++) {
		v[i][0] = turn;
		v[i][1] = (float)(from + i) + 1;
		x[i] = (struct item_vector){.space = S(""), .v = v[i], .dim = 2};
		item_id_number(from + i, &items[i].id);
		items[i].vectors = &x[i];
		items[i].n_vectors = 1;
	}
	CHECK_OK(collection_put(k, items, n, NULL, NULL, &et), &et);
	free(items);
	free(v);
	free(x);
}

static int64_t commit(struct croft *c, struct str name, struct arena *a)
{
	struct vcommitted done;
	struct vcommit q = {
		.project = S("default"), .name = name, .message = S(""), .tag = S(""), .who = &me};
	CHECK_OK(version_commit(c, &q, a, &done, &et), &et);
	return done.v.version;
}

static enum err all_of(struct croft *c, const char *ref, struct arena *a, size_t *n)
{
	struct artifact_version about;
	struct version *v = NULL;
	struct collection_item *items;
	enum err e = version_named(c, S("default"), S("k"), str_c(ref), a, &about, &et);
	e = e ? e : version_load(c, about.digest.p, &v, NULL, &et);
	e = e ? e
	      : version_scroll(v, NULL, NULL, 100000, (struct item_want){true, true}, a, &items, n,
			NULL, &et);
	version_put(c, v);
	return e;
}

static void drop_version(struct croft *c, int64_t version, struct arena *a)
{
	struct artifact of;
	struct tx *tx;
	CHECK_OK(db_begin(croft_db(c), TX_WRITE, &tx, &et), &et);
	CHECK_OK(artifact_find(tx, S("default"), S(VERSION_KIND), S("k"), a, &of, &et), &et);
	CHECK_OK(version_delete(tx, &me, &of, version, S(""), &et), &et);
	CHECK_OK(db_commit(tx, &et), &et);
}

static struct collection *make_collection(struct croft *c)
{
	struct space space = {.name = S(""), .dim = 2, .distance = DISTANCE_L2};
	struct collection *k = NULL;
	CHECK_OK(collection_create(c, S("default"), S("k"), &space, 1, &et), &et);
	CHECK_OK(collection_open(c, S("default"), S("k"), &k, NULL, &et), &et);
	return k;
}

/* A grace of nothing: whatever nobody names goes. What versions, heads and copies name stays. */
static void test_collection_version__what_is_needed_is_not_collected(void)
{
	struct croft *c = open_croft("1M");
	struct arena *a = arena_new(0);
	struct tree_collected gone;
	struct vlive copy, live;
	struct tree_sum sum;
	struct vcounts counts;
	struct collection *k = make_collection(c), *filled = NULL;
	size_t n = 0;
	for (size_t i = 0; i < 3; i++) {
		put_some(k, 500 * i, 1000, (float)i);
		CHECK_INT(commit(c, S("k"), a), i + 1);
	}
	struct vcopy q = {.project = S("default"),
		.name = S("k"),
		.to = S("copy"),
		.ref = S("2"),
		.who = &me};
	CHECK_OK(version_copy(c, &q, a, &copy, &et), &et);
	put_some(k, 0, 10, 9); /* a working difference leaves blobs that are nobody's */
	CHECK_OK(version_build(c, S("default"), S("k"), false, a, &live, &sum, &counts, NULL, &et),
		&et);
	CHECK_INT(counts.changed, 10);
	drop_version(c, 2, a);
	CHECK_OK(tree_gc(c, -1000, false, NULL, &gone, &et), &et);
	CHECK(gone.blobs > 0);
	CHECK_ERR(all_of(c, "2", a, &n), ERR_NOT_FOUND);
	CHECK_OK(all_of(c, "1", a, &n), &et);
	CHECK_INT(n, 1000);
	CHECK_OK(all_of(c, "3", a, &n), &et);
	CHECK_INT(n, 2000);
	CHECK_OK(collection_open(c, S("default"), S("copy"), &filled, NULL, &et), &et);
	CHECK_INT(collection_count(filled), 1500);
	CHECK_INT(commit(c, S("k"), a), 4); /* over a base of which something was collected */
	CHECK_OK(all_of(c, "4", a, &n), &et);
	collection_close(filled);
	collection_close(k);
	arena_free(a);
	croft_close(c);
}

/* ---- erased ---- */

struct looking_for {
	struct croft *c;
	struct str what;
	size_t found;
};

static enum err look_in(void *ctx, const char *hex, const struct blob_info *info)
{
	struct looking_for *l = ctx;
	struct os_map map;
	CHECK_OK(blob_get(croft_blobs(l->c), hex, false, &map, &et), &et);
	l->found += str_find(str_mk(map.p, map.n), l->what) != STR_NONE;
	os_unmap(&map);
	return OK;
}

static size_t blobs_with(struct croft *c, struct str what)
{
	struct looking_for l = {c, what, 0};
	CHECK_OK(blobs_each(croft_blobs(c), look_in, &l, &et), &et);
	return l.found;
}

/* Deleted here and in all versions that had it, an item leaves no byte. */
static void test_collection_version__a_compact_one_forgets(void)
{
	struct croft *c = open_croft("1M");
	struct arena *a = arena_new(0);
	struct collection *k = make_collection(c);
	struct collection_item secret = {.payload = S("{\"text\":\"sesame\"}")};
	struct tree_collected gone;
	struct vcommitted done;
	struct vcommit q = {.project = S("default"),
		.name = S("k"),
		.message = S(""),
		.tag = S(""),
		.compact = true,
		.who = &me};
	size_t n;
	put_some(k, 0, 100, 1);
	item_id_number(500, &secret.id);
	CHECK_OK(collection_put(k, &secret, 1, NULL, NULL, &et), &et);
	CHECK_INT(commit(c, S("k"), a), 1);
	put_some(k, 100, 1, 1);
	CHECK_OK(collection_remove(k, &secret.id, 1, &n, NULL, &et), &et);
	CHECK_INT(commit(c, S("k"), a), 2); /* which keeps the pack that has it */
	CHECK_OK(version_commit(c, &q, a, &done, &et), &et);
	CHECK(done.made && done.v.version == 3);
	drop_version(c, 1, a);
	CHECK_OK(tree_gc(c, -1000, false, NULL, &gone, &et), &et);
	CHECK(blobs_with(c, S("sesame")) > 0);
	drop_version(c, 2, a);
	CHECK_OK(tree_gc(c, -1000, false, NULL, &gone, &et), &et);
	CHECK_INT(blobs_with(c, S("sesame")), 0);
	CHECK_OK(all_of(c, "3", a, &n), &et);
	CHECK_INT(n, 101);
	collection_close(k);
	arena_free(a);
	croft_close(c);
}

TESTS(T(test_collection_version__records_come_back),
	T(test_collection_version__trees_that_lie_are_refused),
	T(test_collection_version__a_second_one_costs_what_is_new),
	T(test_collection_version__a_long_history_stays_bounded),
	T(test_collection_version__memory_is_bounded),
	T(test_collection_version__what_is_needed_is_not_collected),
	T(test_collection_version__a_compact_one_forgets))
