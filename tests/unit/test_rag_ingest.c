/* Documents through the real parsers, the real embedding model and a real database. */
#include "tap.h"
#include "access/access.h"
#include "artifact/registry.h"
#include "artifact/tree.h"
#include "base/os.h"
#include "rag/rag_int.h"

static const struct module *const modules[] = {&access_module, &registry_module, &tree_module,
	&artifact_module, &run_module, &endpoint_module, &rag_module};

static struct croft *open_croft(void)
{
	struct croft *c;
	struct errtext et = {0};
	struct croft_options o = {
		.modules = modules, .n_modules = ARRAY_LEN(modules), .home = tap_tmpdir()};
	CHECK_OK(croft_open(&o, &c, &et), &et);
	return c;
}

static struct croft *setup(void)
{
	const char *path = tap_model("minilm");
	struct croft *c = open_croft();
	struct errtext et = {0};
	struct buf name = {0};
	CHECK_OK(model_pull(c, str_c(path), S("all-minilm-l6-v2"), NULL, NULL, NULL, &name, &et),
		&et);
	buf_free(&name);
	return c;
}

static struct ingest_result put(struct croft *c, struct arena *a, const char *path, struct str text)
{
	struct ingest_request rq = {.project = S("default"),
		.collection = S("default"),
		.path = str_c(path),
		.bytes = text};
	struct ingest_result r;
	struct errtext et = {0};
	CHECK_OK(ingest_bytes(c, &rq, a, &r, NULL, &et), &et);
	return r;
}

static size_t search(struct croft *c, struct arena *a, struct rag_query q, struct rag_hit **hits)
{
	size_t n;
	struct errtext et = {0};
	CHECK_OK(rag_search(c, &q, a, hits, &n, NULL, &et), &et);
	return n;
}

static bool finds(struct croft *c, struct arena *a, struct str query, const char *path)
{
	struct rag_hit *hits;
	size_t n = search(c, a, (struct rag_query){.text = query, .k = 3}, &hits);
	for (size_t i = 0; i < n; i++)
		if (str_eq_c(hits[i].path, path) &&
			str_eq(str_sub(hits[i].text, 0, SIZE_MAX), hits[i].text))
			return true;
	return false;
}

static void handbook(struct buf *b, const char *period)
{
	buf_addc(b, "# Handbook\n\n");
	for (int section = 0; section < 12; section++) {
		buf_addf(b, "## Section %d\n\n", section);
		for (int i = 0; i < 14; i++)
			buf_addf(b,
				"Paragraph %d of section %d explains a rule about matter number %d "
				"in plain words. ",
				i, section, section * 100 + i);
		if (section == 7)
			buf_addf(b, "The notice period is %s.", period);
		buf_addc(b, "\n\n");
	}
}

static void test_rag_ingest__edit_reuses_what_did_not_change(void)
{
	struct croft *c = setup();
	struct arena *a = arena_new(0);
	struct buf b = {0};
	handbook(&b, "three months");
	struct ingest_result one = put(c, a, "/x/handbook.md", buf_str(&b));
	CHECK_INT(one.outcome, INGEST_INDEXED);
	CHECK(one.embedded >= 12 && one.reused == 0);
	CHECK_INT(put(c, a, "/x/handbook.md", buf_str(&b)).outcome, INGEST_UNCHANGED);
	buf_clear(&b);
	handbook(&b, "six weeks");
	struct ingest_result two = put(c, a, "/x/handbook.md", buf_str(&b));
	CHECK_INT(two.outcome, INGEST_INDEXED);
	CHECK(two.embedded <= 2 && two.reused >= 11);
	CHECK_INT(two.doc.version, 2);
	CHECK(memcmp(&one.doc.id, &two.doc.id, sizeof(struct id)) == 0);
	struct rag_hit *hits;
	CHECK(search(c, a, (struct rag_query){.text = S("How long is the notice period?"), .k = 1},
		      &hits) == 1);
	CHECK(str_find(hits[0].text, S("six weeks")) != STR_NONE);
	CHECK(str_find(hits[0].text, S("three months")) == STR_NONE);
	arena_free(a);
	buf_free(&b);
	croft_close(c);
}

static void test_rag_ingest__delete_and_reopen(void)
{
	struct croft *c = setup();
	struct arena *a = arena_new(0);
	struct errtext et = {0};
	struct ingest_result zebra =
		put(c, a, "/x/zebra.txt", S("Zebras have black and white stripes."));
	put(c, a, "/x/tea.txt", S("Green tea is steeped for two minutes at eighty degrees."));
	CHECK(finds(c, a, S("zebra stripes"), "/x/zebra.txt"));
	CHECK_OK(ingest_delete(c, S("default"), S(""), &zebra.doc.id, 1, &et), &et);
	CHECK(!finds(c, a, S("zebra stripes"), "/x/zebra.txt"));
	CHECK(finds(c, a, S("how long to steep tea"), "/x/tea.txt"));
	CHECK_ERR(ingest_delete(c, S("default"), S(""), &zebra.doc.id, 1, &et), ERR_NOT_FOUND);
	croft_close(c);
	c = open_croft();
	CHECK(finds(c, a, S("how long to steep tea"), "/x/tea.txt"));
	CHECK(!finds(c, a, S("zebra stripes"), "/x/zebra.txt"));
	/* the same text again is known, although its document was deleted and the program restarted
	 */
	struct ingest_result again = put(
		c, a, "/x/tea2.txt", S("Green tea is steeped for two minutes at eighty degrees."));
	CHECK_INT(again.outcome, INGEST_INDEXED);
	arena_free(a);
	croft_close(c);
}

/* The shelf of the default project, loaded. */
static struct shelf *shelf_of(struct croft *c)
{
	struct rag *r;
	struct errtext et = {0};
	CHECK_OK(rag_load(c, &r, NULL, &et), &et);
	return index_shelf(r, S("default"));
}

/* One byte of the index's file is another one. */
static void damage(const struct shelf *s)
{
	struct buf path = {0}, b = {0};
	struct errtext et = {0};
	buf_addf(&path, "%s/passages/%s.index", tap_tmpdir(), s->token);
	CHECK_OK(os_read_file(buf_c(&path), 0, &b, &et), &et);
	b.p[b.n / 2] ^= 0x10;
	CHECK_OK(os_write_atomic(buf_c(&path), buf_str(&b), &et), &et);
	buf_free(&path);
	buf_free(&b);
}

static void test_rag_ingest__saved_index(void)
{
	struct croft *c = setup();
	struct arena *a = arena_new(0);
	struct errtext et = {0};
	struct ingest_result crab =
		put(c, a, "/x/crab.txt", S("Crabs walk sideways on the beach."));
	put(c, a, "/x/owl.txt", S("Owls hunt mice at night without a sound."));
	put(c, a, "/x/salt.txt", S("Salt melts the ice on roads in winter."));
	rag_of(c)->save_from = 1;
	saved_keep(c, false);
	CHECK(!shelf_of(c)->token[0]); /* it has not been quiet for long */
	saved_keep(c, true);
	CHECK(shelf_of(c)->token[0]);
	/* what happens after it was saved, and is not saved */
	CHECK_OK(ingest_delete(c, S("default"), S(""), &crab.doc.id, 1, &et), &et);
	put(c, a, "/x/fern.txt", S("Ferns have no seeds but spores."));
	croft_close(c);
	c = open_croft();
	CHECK(shelf_of(c)->token[0]);
	CHECK_INT(vindex_count(shelf_of(c)->dense), 3);
	CHECK(finds(c, a, S("which bird hunts in the dark"), "/x/owl.txt"));
	CHECK(finds(c, a, S("plants without seeds"), "/x/fern.txt"));
	CHECK(!finds(c, a, S("crab beach"), "/x/crab.txt"));
	rag_of(c)->save_from = 1;
	saved_keep(c, true);
	damage(shelf_of(c));
	croft_close(c);
	c = open_croft(); /* built anew */
	CHECK(!shelf_of(c)->token[0]);
	CHECK_INT(vindex_count(shelf_of(c)->dense), 3);
	CHECK(finds(c, a, S("plants without seeds"), "/x/fern.txt"));
	arena_free(a);
	croft_close(c);
}

/* ---- changes, searches and saving at the same time ---- */

static atomic_bool finished;

static void *search_on(void *arg)
{
	struct croft *c = arg;
	size_t lost = 0;
	while (!atomic_load(&finished)) {
		struct arena *a = arena_new(0);
		/* it was there before, and nobody takes it away */
		lost += !finds(c, a, S("which bird hunts in the dark"), "/y/owl.txt");
		arena_free(a);
	}
	return (void *)lost;
}

static void *save_on(void *arg)
{
	while (!atomic_load(&finished))
		saved_keep(arg, true);
	return NULL;
}

static void test_rag_ingest__at_the_same_time(void)
{
	struct croft *c = setup();
	struct arena *a = arena_new(0);
	struct errtext et = {0};
	pthread_t searcher, saver;
	void *lost;
	put(c, a, "/y/owl.txt", S("Owls hunt mice at night without a sound."));
	rag_of(c)->save_from = 1;
	CHECK(!pthread_create(&searcher, NULL, search_on, c));
	CHECK(!pthread_create(&saver, NULL, save_on, c));
	for (int round = 0; round < 12; round++) {
		char path[40], text[80];
		snprintf(path, sizeof path, "/y/note%d.txt", round % 4);
		snprintf(text, sizeof text, "Note %d is about matter %d.", round, round * 7);
		struct ingest_result r = put(c, a, path, str_c(text));
		CHECK(finds(c, a, str_c(text), path)); /* acknowledged is searchable */
		if (round % 3 == 2) {
			CHECK_OK(ingest_delete(c, S("default"), S(""), &r.doc.id, 1, &et), &et);
			CHECK(!finds(c, a, str_c(text), path));
		}
	}
	atomic_store(&finished, true);
	CHECK(!pthread_join(searcher, &lost) && !lost);
	CHECK(!pthread_join(saver, NULL));
	size_t count = vindex_count(shelf_of(c)->dense);
	croft_close(c);
	c = open_croft();
	CHECK_INT(vindex_count(shelf_of(c)->dense), count);
	CHECK(finds(c, a, S("which bird hunts in the dark"), "/y/owl.txt"));
	arena_free(a);
	croft_close(c);
}

static void test_rag_ingest__bad_files_are_recorded_with_reason(void)
{
	struct croft *c = setup();
	struct arena *a = arena_new(0);
	struct ingest_result r = put(c, a, "/x/empty.txt", S(""));
	CHECK_INT(r.outcome, INGEST_FAILED);
	CHECK(r.doc.error.n > 0);
	r = put(c, a, "/x/broken.pdf", S("%PDF-1.7 but nothing of one"));
	CHECK_INT(r.outcome, INGEST_FAILED);
	CHECK_STR(r.doc.status, "failed");
	/* a good version repairs it; a bad one after that makes the old text unfindable */
	r = put(c, a, "/x/empty.txt", S("Now there is a walrus in it."));
	CHECK_INT(r.outcome, INGEST_INDEXED);
	CHECK(finds(c, a, S("walrus"), "/x/empty.txt"));
	r = put(c, a, "/x/empty.txt", S("   \n "));
	CHECK_INT(r.outcome, INGEST_FAILED);
	CHECK(!finds(c, a, S("walrus"), "/x/empty.txt"));
	arena_free(a);
	croft_close(c);
}

static void test_rag_search__filters(void)
{
	struct croft *c = setup();
	struct arena *a = arena_new(0);
	struct errtext et = {0};
	struct rag_hit *hits;
	struct ingest_request rq = {.project = S("default"),
		.collection = S("default"),
		.path = S("/docs/a/one.md"),
		.bytes = S("# One\n\nApples are red."),
		.tags = S("fruit, red")};
	struct ingest_result r;
	CHECK_OK(ingest_bytes(c, &rq, a, &r, NULL, &et), &et);
	rq.path = S("/docs/b/two.txt");
	rq.bytes = S("Apples may be green as well.");
	rq.tags = S("fruit");
	CHECK_OK(ingest_bytes(c, &rq, a, &r, NULL, &et), &et);
	rq.collection = S("other");
	CHECK_OK(ingest_bytes(c, &rq, a, &r, NULL, &et), &et);
	struct rag_query q = {.text = S("apples")};
	CHECK_INT(search(c, a, q, &hits), 2);
	q.filter.path_glob = S("/docs/a/*");
	CHECK_INT(search(c, a, q, &hits), 1);
	CHECK_STR(hits[0].path, "/docs/a/one.md");
	q.filter = (struct rag_filter){.path_glob = S("two*")};
	CHECK_INT(search(c, a, q, &hits), 1);
	q.filter = (struct rag_filter){.tag = S("red")};
	CHECK_INT(search(c, a, q, &hits), 1);
	q.filter = (struct rag_filter){.type = S("text")};
	CHECK(search(c, a, q, &hits) <= 1);
	q.filter = (struct rag_filter){.from_ms = 4102444800000};
	CHECK_INT(search(c, a, q, &hits), 0);
	q.filter = (struct rag_filter){0};
	q.collection = S("other");
	CHECK_INT(search(c, a, q, &hits), 1);
	q.method = RAG_BM25;
	CHECK_INT(search(c, a, q, &hits), 1);
	CHECK(hits[0].dense_rank == 0 && hits[0].bm25_rank == 1);
	size_t n;
	q.text = S("  ");
	CHECK_ERR(rag_search(c, &q, a, &hits, &n, NULL, &et), ERR_INVALID);
	arena_free(a);
	croft_close(c);
}

/* ---- versions of document sets ---- */

static struct docset settle(struct croft *c, struct arena *a, const char *collection)
{
	struct rag *r;
	struct docset set = {0};
	struct errtext et = {0};
	CHECK_OK(rag_load(c, &r, NULL, &et), &et);
	CHECK_OK(docset_settle(c, r, S("default"), str_c(collection), S("ada"), a, &set, &et), &et);
	return set;
}

static struct str content(struct croft *c, struct arena *a, struct str ref)
{
	struct tx *tx;
	struct errtext et = {0};
	struct artifact_version v;
	struct tree *t;
	char digest[SHA256_HEX + 1];
	CHECK_OK(db_begin(croft_db(c), TX_READ, &tx, &et), &et);
	CHECK_OK(artifact_resolve(tx, S("default"), ref, (struct artifact_time){0}, a, &v, &et),
		&et);
	db_rollback(tx);
	CHECK_STR(v.creator, "ada");
	snprintf(digest, sizeof digest, "%.*s", STR_FMT(v.digest));
	CHECK_OK(tree_load(croft_blobs(c), digest, &t, &et), &et);
	CHECK(t->n_files == 1 && str_eq_c(t->files[0].path, "documents.jsonl"));
	char *text = arena_array_of(a, t->files[0].size + 1, char);
	CHECK_OK(tree_read(croft_blobs(c), &t->files[0], 0, text, t->files[0].size, &et), &et);
	struct str s = str_mk(text, t->files[0].size);
	tree_free(t);
	return s;
}

static size_t sources(struct croft *c, struct arena *a, struct str ref, struct str *labels)
{
	struct tx *tx;
	struct errtext et = {0};
	struct str node;
	struct graph g;
	CHECK_OK(db_begin(croft_db(c), TX_READ, &tx, &et), &et);
	CHECK_OK(lineage_node(tx, S("default"), ref, a, &node, &et), &et);
	CHECK_OK(lineage_walk(tx, S("default"), node, false, 1, 100, a, &g, &et), &et);
	size_t n = 0;
	for (size_t i = 0; i < g.n_edges; i++) {
		struct artifact_version v;
		if (!str_eq(g.edges[i].node, node))
			continue;
		labels[n++] = node_find_version(tx, S("default"), g.edges[i].source, a, &v, NULL)
				      ? g.edges[i].source
				      : arena_fmt(a, "%.*s/%.*s:%lld", STR_FMT(v.kind),
						STR_FMT(v.name), (long long)v.version);
	}
	db_rollback(tx);
	return n;
}

static bool has(const struct str *labels, size_t n, const char *begins)
{
	for (size_t i = 0; i < n; i++)
		if (str_starts(labels[i], str_c(begins)))
			return true;
	return false;
}

static void test_rag_docset__versions_follow_the_documents(void)
{
	struct croft *c = setup();
	struct arena *a = arena_new(0);
	struct errtext et = {0};
	struct str from[20];
	CHECK(!settle(c, a, "default").ref.p); /* there is nothing to make a version of */
	put(c, a, "/x/zebra.txt", S("Zebras have black and white stripes."));
	struct ingest_result tea = put(c, a, "/x/tea.txt", S("Green tea is steeped for long."));
	struct docset set = settle(c, a, "default");
	CHECK_STR(set.ref, "document-set/default:1");
	CHECK(set.made);
	struct str first = content(c, a, set.ref);
	CHECK(str_starts(first, S("{\"path\":\"/x/tea.txt\",\"sha256\":\"")));
	CHECK(str_find(first, tea.doc.sha256) != STR_NONE);
	CHECK(!settle(c, a, "default").made);
	put(c, a, "/x/tea.txt", S("Green tea is steeped for long."));
	put(c, a, "/x/broken.pdf", S("%PDF-1.7 but nothing of one"));
	set = settle(c, a, "default"); /* what cannot be found is no part of it */
	CHECK(!set.made && str_eq_c(set.ref, "document-set/default:1"));
	put(c, a, "/x/tea.txt", S("Green tea is steeped for two minutes."));
	set = settle(c, a, "default");
	CHECK_STR(set.ref, "document-set/default:2");
	size_t n = sources(c, a, set.ref, from);
	CHECK(n == 2 && has(from, n, "document-set/default:1") && has(from, n, "run:"));
	n = sources(c, a, S("collection/default:2"), from);
	CHECK(has(from, n, "document-set/default:2") && has(from, n, "model/all-minilm-l6-v2:"));
	CHECK_OK(ingest_delete(c, S("default"), S(""), &tea.doc.id, 1, &et), &et);
	set = settle(c, a, "default");
	CHECK_STR(set.ref, "document-set/default:3");
	CHECK(str_find(content(c, a, set.ref), S("tea")) == STR_NONE);
	/* the first state again is a version of its own: it came after the third */
	put(c, a, "/x/tea.txt", S("Green tea is steeped for long."));
	set = settle(c, a, "default");
	CHECK_STR(set.ref, "document-set/default:4");
	CHECK(str_eq(content(c, a, set.ref), first));
	arena_free(a);
	croft_close(c);
}

static void test_rag_docset__an_answer_says_what_it_stands_on(void)
{
	struct croft *c = setup();
	struct arena *a = arena_new(0);
	struct errtext et = {0};
	struct retrieved got;
	struct rag_query q = {.text = S("apples"), .collection = S("a/b:c")};
	struct ingest_request rq = {.project = S("default"),
		.collection = S("a/b:c"),
		.path = S("one.txt"),
		.bytes = S("Apples are red.")};
	struct ingest_result r;
	CHECK_OK(ingest_bytes(c, &rq, a, &r, NULL, &et), &et);
	CHECK_OK(rag_retrieve(c, &q, a, &got, NULL, &et), &et);
	CHECK(str_starts(got.set.ref, S("document-set/a-b-c-")) && got.set.changes == 0);
	struct str ref = got.set.ref;
	rq.path = S("two.txt");
	rq.bytes = S("Apples are green.");
	CHECK_OK(ingest_bytes(c, &rq, a, &r, NULL, &et), &et);
	CHECK_OK(rag_retrieve(c, &q, a, &got, NULL, &et), &et);
	/* no second version within seconds, but it is said that there was a change since */
	CHECK(str_eq(got.set.ref, ref) && got.set.changes == 1);
	CHECK(settle(c, a, "a/b:c").made);
	CHECK_OK(rag_retrieve(c, &q, a, &got, NULL, &et), &et);
	CHECK(!str_eq(got.set.ref, ref) && got.set.changes == 0);
	arena_free(a);
	croft_close(c);
}

TESTS(T_LONG(test_rag_docset__versions_follow_the_documents, 120),
	T_LONG(test_rag_docset__an_answer_says_what_it_stands_on, 120),
	T_LONG(test_rag_ingest__edit_reuses_what_did_not_change, 120),
	T_LONG(test_rag_ingest__delete_and_reopen, 120), T_LONG(test_rag_ingest__saved_index, 120),
	T_LONG(test_rag_ingest__at_the_same_time, 180),
	T_LONG(test_rag_ingest__bad_files_are_recorded_with_reason, 120),
	T_LONG(test_rag_search__filters, 120))
