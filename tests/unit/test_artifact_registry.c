/* Artifacts, facts with two times, references, lineage: what may change is asked for at times at
 * which the answers differ. */
#include "tap.h"
#include "access/access.h"
#include "artifact/promotion.h"
#include "artifact/registry_int.h"
#include "base/clock.h"

#include <stdlib.h>

static struct errtext et;
static const struct module *const modules[] = {&access_module, &registry_module, &lineage_module};
static struct croft *c;
static struct tx *tx;
static struct arena *a;
static const struct principal ada = {
	.name = {"ada", 3}, .project = {"default", 7}, .perms = PERMS_ALL};
static const struct principal eve = {
	.name = {"eve", 3}, .project = {"other", 5}, .perms = PERMS_ALL};

static void begin(void)
{
	struct croft_options o = {
		.modules = modules, .n_modules = ARRAY_LEN(modules), .home = tap_tmpdir()};
	CHECK_OK(croft_open(&o, &c, &et), &et);
	CHECK_OK(db_begin(croft_db(c), TX_WRITE, &tx, &et), &et);
	a = arena_new(0);
}

static void finish(void)
{
	CHECK_OK(db_commit(tx, &et), &et);
	arena_free(a);
	croft_close(c);
}

static int64_t put(const char *kind, const char *name, const char *digest)
{
	int64_t n;
	struct version_new v = {.kind = str_c(kind), .name = str_c(name), .digest = str_c(digest)};
	CHECK_OK(artifact_put_version(tx, &ada, &v, &n, &et), &et);
	return n;
}

static enum err move(const char *name, const char *alias, int64_t version, int64_t valid_ms)
{
	return artifact_alias_set(tx, &ada,
		&(struct alias_move){.kind = S("model"),
			.name = str_c(name),
			.alias = str_c(alias),
			.version = version,
			.valid_ms = valid_ms},
		&et);
}

/* The version that a reference names; 0: none; -1: another error. */
static int64_t means(const char *ref, int64_t as_of_ms, int64_t known_ms)
{
	struct artifact_version v;
	struct artifact_time at = {as_of_ms, known_ms};
	enum err e = artifact_resolve(tx, S("default"), str_c(ref), at, a, &v, &et);
	return e == ERR_NOT_FOUND ? 0 : e ? -1 : v.version;
}

/* The times of what is recorded cannot be chosen: the test writes them, as a database restored
 * from that day would have them. The chain of hashes must then say so. */
static void recorded_at(int64_t seq, int64_t ms)
{
	CHECK_OK(db_exec(tx, &et, "UPDATE artifact_fact SET recorded_ms = ? WHERE seq = ?",
			 P_I64(ms), P_I64(seq)),
		&et);
}

static int64_t day(const char *date)
{
	int64_t ms;
	CHECK(clock_parse_rfc3339(str_c(date), &ms));
	return ms;
}

static int64_t last_seq(void)
{
	struct row *r;
	enum err e = db_query(tx, &r, &et, "SELECT MAX(seq) FROM artifact_fact");
	CHECK(!e && row_next(r, &e, &et));
	int64_t n = row_i64(r, 0);
	row_free(r);
	return n;
}

static void test_artifact_registry__versions_are_counted_and_kept(void)
{
	begin();
	CHECK_INT(put("model", "churn", "aa"), 1);
	CHECK_INT(put("model", "churn", "bb"), 2);
	CHECK_INT(put("dataset", "churn", "cc"), 1); /* another kind, another artifact */
	struct version_new same = {
		.kind = S("model"), .name = S("churn"), .digest = S("bb"), .reuse = true};
	int64_t n;
	CHECK_OK(artifact_put_version(tx, &ada, &same, &n, &et), &et);
	CHECK_INT(n, 2);
	CHECK_INT(means("model/churn", 0, 0), 2);
	CHECK_INT(means("model/churn:1", 0, 0), 1);
	CHECK_INT(means("model/churn:v1", 0, 0), 1);
	CHECK_INT(means("model/churn:3", 0, 0), 0);
	CHECK_INT(means("churn:1", 0, 0), -1); /* which kind? */
	CHECK(str_find(str_c(et.msg), S("dataset/churn")) != STR_NONE);
	finish();
}

static void test_artifact_registry__names_and_aliases_that_are_refused(void)
{
	static const char *const bad[] = {"", " a", "a ", "a/b", "a:b", "a@b", "a\nb", ".", ".."};
	static const char *const bad_alias[] = {"", "7", "v7", "latest", "Latest", "a b", "a@b"};
	int64_t n;
	struct id id;
	begin();
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK_ERR(artifact_create(tx, &ada, S("model"), str_c(bad[i]), S(""), &id, &et),
			ERR_INVALID);
	CHECK_ERR(artifact_create(tx, &ada, S("modle"), S("x"), S(""), &id, &et), ERR_INVALID);
	put("model", "m", "aa");
	for (size_t i = 0; i < ARRAY_LEN(bad_alias); i++)
		CHECK_ERR(move("m", bad_alias[i], 1, 0), ERR_INVALID);
	CHECK_ERR(move("m", "prod", 2, 0), ERR_NOT_FOUND);
	CHECK_ERR(artifact_create(tx, &ada, S("model"), S("m"), S(""), &id, &et), ERR_CONFLICT);
	struct version_new v = {
		.kind = S("model"), .name = S("m"), .source = S("s3://x"), .metadata = S("[1]")};
	CHECK_ERR(artifact_put_version(tx, &ada, &v, &n, &et), ERR_INVALID);
	finish();
}

/* The question. On 1 May @prod went to 1; on 10 May somebody recorded that it had really
 * been moved to 2 on 2 May; on 12 May that turned out to be wrong. */
static void test_artifact_registry__what_was_prod_on_3_may(void)
{
	begin();
	put("model", "m", "aa");
	put("model", "m", "bb");
	CHECK_OK(db_exec(tx, &et,
			 "UPDATE artifact_fact SET valid_ms = ?, recorded_ms = ? WHERE what IN "
			 "('name', 'version')",
			 P_I64(day("2026-04-01")), P_I64(day("2026-04-01"))),
		&et);
	CHECK_OK(db_exec(tx, &et, "UPDATE artifact_version SET created_ms = ?",
			 P_I64(day("2026-04-01"))),
		&et);
	CHECK_OK(move("m", "prod", 1, day("2026-05-01")), &et);
	recorded_at(last_seq(), day("2026-05-01"));
	CHECK_OK(move("m", "prod", 2, day("2026-05-02")), &et);
	int64_t correction = last_seq();
	recorded_at(correction, day("2026-05-10"));
	CHECK_INT(means("m@prod", day("2026-05-03"), day("2026-05-05")), 1);
	CHECK_INT(means("m@prod", day("2026-05-03"), day("2026-05-11")), 2);
	CHECK_INT(means("m@prod", day("2026-05-03"), 0), 2);
	CHECK_INT(means("m@prod", 0, day("2026-05-05")), 1);
	CHECK_INT(means("m@prod", day("2026-04-20"), 0), 0);
	CHECK_INT(means("m@prod", day("2026-03-01"), 0), 0); /* not even the model */
	CHECK_INT(means("m@prod", 0, 0), 2);
	struct artifact of;
	CHECK_OK(artifact_find(tx, S("default"), S("model"), S("m"), a, &of, &et), &et);
	CHECK_ERR(fact_retract(tx, &ada, &of, correction, S(""), &et), ERR_INVALID);
	CHECK_OK(fact_retract(tx, &ada, &of, correction, S("another model"), &et), &et);
	recorded_at(last_seq(), day("2026-05-12"));
	CHECK_INT(means("m@prod", day("2026-05-03"), day("2026-05-11")), 2); /* as then believed */
	CHECK_INT(means("m@prod", day("2026-05-03"), day("2026-05-13")), 1);
	CHECK_INT(means("m@prod", 0, 0), 1);
	finish();
}

static void test_artifact_registry__the_future_and_the_time_before_are_refused(void)
{
	begin();
	put("model", "m", "aa");
	CHECK_ERR(move("m", "prod", 1, clock_unix_ms() + 60000), ERR_INVALID);
	CHECK_ERR(move("m", "prod", 1, clock_unix_ms() - 3600000), ERR_INVALID);
	finish();
}

static void test_artifact_registry__deleting_leaves_a_tombstone(void)
{
	struct artifact of;
	struct artifact_version v;
	begin();
	put("model", "m", "aa");
	put("model", "m", "bb");
	CHECK_OK(move("m", "prod", 2, 0), &et);
	CHECK_OK(artifact_find(tx, S("default"), S("model"), S("m"), a, &of, &et), &et);
	clock_sleep_ms(5);
	int64_t before = clock_unix_ms();
	clock_sleep_ms(5);
	CHECK_OK(version_delete(tx, &ada, &of, 2, S("leaks"), &et), &et);
	CHECK_INT(means("m@prod", 0, 0), 0);
	CHECK_INT(means("m:2", 0, 0), 0);
	CHECK_INT(means("m", 0, 0), 1);
	CHECK_INT(means("m@prod", before, 0), 2);
	CHECK_INT(means("m", before, 0), 2);
	CHECK_ERR(move("m", "prod", 2, 0), ERR_NOT_FOUND);
	CHECK_OK(artifact_delete(tx, &ada, &of, S("done"), &et), &et);
	CHECK_INT(means("model/m", 0, 0), 0);
	CHECK_INT(means("model/m@prod", before, 0), 2);
	CHECK_INT(put("model", "m", "cc"), 1); /* the name is free again */
	CHECK_INT(means("model/m@prod", before, 0), 2);
	CHECK_OK(artifact_resolve(
			 tx, S("default"), S("model/m"), (struct artifact_time){0}, a, &v, &et),
		&et);
	CHECK_STR(v.digest, "cc");
	finish();
}

static void test_artifact_registry__renaming_keeps_the_history(void)
{
	struct artifact of;
	begin();
	put("model", "old", "aa");
	CHECK_OK(move("old", "prod", 1, 0), &et);
	clock_sleep_ms(5);
	int64_t before = clock_unix_ms();
	clock_sleep_ms(5);
	CHECK_OK(artifact_find(tx, S("default"), S("model"), S("old"), a, &of, &et), &et);
	put("model", "taken", "bb");
	CHECK_ERR(artifact_rename(tx, &ada, &of, S("taken"), &et), ERR_CONFLICT);
	CHECK_OK(artifact_rename(tx, &ada, &of, S("new"), &et), &et);
	CHECK_INT(means("model/old@prod", 0, 0), 0);
	CHECK_INT(means("model/new@prod", 0, 0), 1);
	CHECK_INT(means("model/old@prod", before, 0), 1);
	CHECK_INT(means("model/new@prod", before, 0), 0);
	finish();
}

static void test_artifact_registry__no_other_project_sees_it(void)
{
	struct artifact_version v;
	struct artifact of;
	begin();
	put("model", "m", "aa");
	CHECK_ERR(artifact_resolve(
			  tx, eve.project, S("model/m:1"), (struct artifact_time){0}, a, &v, &et),
		ERR_NOT_FOUND);
	CHECK_OK(artifact_find(tx, S("default"), S("model"), S("m"), a, &of, &et), &et);
	CHECK_ERR(artifact_get(tx, eve.project, of.id, a, &of, &et), ERR_NOT_FOUND);
	CHECK_ERR(node_find_version(tx, eve.project, node_version(a, of.id, 1), a, &v, &et),
		ERR_NOT_FOUND);
	CHECK_ERR(artifact_alias_set(tx, &eve,
			  &(struct alias_move){.kind = S("model"),
				  .name = S("m"),
				  .alias = S("prod"),
				  .version = 1},
			  &et),
		ERR_NOT_FOUND);
	finish();
}

/* ---- the chain, and the present that is derived ---- */

static void test_artifact_registry__an_edited_fact_shows(void)
{
	struct fact_report rep;
	begin();
	put("model", "m", "aa");
	put("model", "m", "bb");
	CHECK_OK(move("m", "prod", 1, 0), &et);
	int64_t edited = last_seq();
	CHECK_OK(move("m", "prod", 2, 0), &et);
	CHECK_OK(facts_verify(tx, false, a, &rep, &et), &et);
	CHECK(!rep.first_bad && !rep.stale && !rep.version_bad && rep.facts == last_seq());
	CHECK_OK(db_exec(tx, &et, "UPDATE artifact_fact SET value = '2' WHERE seq = ?",
			 P_I64(edited)),
		&et);
	CHECK_OK(facts_verify(tx, false, a, &rep, &et), &et);
	CHECK_INT(rep.first_bad, edited);
	CHECK_OK(db_exec(tx, &et, "UPDATE artifact_fact SET value = '1' WHERE seq = ?",
			 P_I64(edited)),
		&et);
	CHECK_OK(db_exec(tx, &et, "UPDATE artifact_version SET digest = 'ff' WHERE version = 2"),
		&et);
	CHECK_OK(facts_verify(tx, false, a, &rep, &et), &et);
	CHECK(!rep.first_bad && rep.version_bad == 1);
	CHECK_OK(db_exec(tx, &et, "DELETE FROM artifact_fact WHERE seq = ?", P_I64(edited)), &et);
	CHECK_OK(facts_verify(tx, false, a, &rep, &et), &et);
	CHECK_INT(rep.first_bad, edited + 1);
	finish();
}

static void test_artifact_registry__the_present_is_rebuilt(void)
{
	struct fact_report rep;
	begin();
	put("model", "m", "aa");
	put("model", "m", "bb");
	CHECK_OK(move("m", "prod", 1, 0), &et);
	int64_t old = last_seq();
	CHECK_OK(move("m", "prod", 2, 0), &et);
	CHECK_OK(move("m", "gone", 1, 0), &et);
	CHECK_OK(
		db_exec(tx, &et, "UPDATE artifact_now SET seq = ? WHERE name = 'prod'", P_I64(old)),
		&et);
	CHECK_OK(db_exec(tx, &et, "DELETE FROM artifact_now WHERE name = 'gone'"), &et);
	CHECK_INT(means("m@prod", 0, 0), 1);
	CHECK_OK(facts_verify(tx, false, a, &rep, &et), &et);
	CHECK_INT(rep.stale, 2);
	CHECK_OK(facts_verify(tx, true, a, &rep, &et), &et);
	CHECK_INT(means("m@prod", 0, 0), 2);
	CHECK_INT(means("m@gone", 0, 0), 1);
	CHECK_OK(facts_verify(tx, false, a, &rep, &et), &et);
	CHECK_INT(rep.stale, 0);
	finish();
}

/* Random moves, corrections and retractions against a model that keeps every row and looks through
 * all of them. */
struct oracle_row {
	int64_t seq, valid_ms, recorded_ms, value, retracts;
};

static int64_t oracle(const struct oracle_row *rows, size_t n, int64_t v, int64_t k)
{
	const struct oracle_row *best = NULL;
	for (size_t i = 0; i < n; i++) {
		bool out = rows[i].retracts || rows[i].valid_ms > v || rows[i].recorded_ms > k;
		for (size_t j = 0; j < n; j++)
			out |= rows[j].retracts == rows[i].seq && rows[j].recorded_ms <= k;
		if (!out &&
			(!best || rows[i].valid_ms > best->valid_ms ||
				(rows[i].valid_ms == best->valid_ms && rows[i].seq > best->seq)))
			best = &rows[i];
	}
	return best ? best->value : 0;
}

static void test_artifact_registry__two_times_against_an_oracle(void)
{
	enum { N = 120, VERSIONS = 6 };
	struct oracle_row rows[N];
	struct artifact of;
	int64_t start = day("2026-01-01"), recorded = start;
	unsigned seed = 7;
	begin();
	for (int i = 0; i < VERSIONS; i++)
		put("model", "m", "aa");
	CHECK_OK(db_exec(tx, &et, "UPDATE artifact_fact SET valid_ms = 1, recorded_ms = 1"), &et);
	CHECK_OK(db_exec(tx, &et, "UPDATE artifact_version SET created_ms = 1"), &et);
	CHECK_OK(artifact_find(tx, S("default"), S("model"), S("m"), a, &of, &et), &et);
	for (size_t i = 0; i < N; i++) {
		rows[i] = (struct oracle_row){.valid_ms = start + rand_r(&seed) % 50};
		recorded += rand_r(&seed) % 3;
		rows[i].recorded_ms = recorded;
		if (i > 3 && rand_r(&seed) % 5 == 0) {
			size_t which = (size_t)rand_r(&seed) % i;
			if (!rows[which].retracts) {
				rows[i].retracts = rows[which].seq;
				CHECK_OK(fact_retract(
						 tx, &ada, &of, rows[i].retracts, S("wrong"), &et),
					&et);
			}
		}
		if (!rows[i].retracts) {
			rows[i].value = rand_r(&seed) % (VERSIONS + 1);
			CHECK_OK(move("m", "prod", rows[i].value, rows[i].valid_ms), &et);
		}
		rows[i].seq = last_seq();
		recorded_at(rows[i].seq, recorded);
		CHECK_INT(means("m@prod", 0, 0), oracle(rows, i + 1, INT64_MAX, INT64_MAX));
	}
	for (int i = 0; i < 2000; i++) {
		int64_t v = start + rand_r(&seed) % 55, k = start + rand_r(&seed) % 200;
		CHECK_INT(means("m@prod", v, k), oracle(rows, N, v, k));
	}
	finish();
}

/* ---- lineage ---- */

static struct str version_node(const char *ref)
{
	struct str node;
	CHECK_OK(lineage_node(tx, S("default"), str_c(ref), a, &node, &et), &et);
	return node;
}

static void link_nodes(struct str node, enum edge_kind kind, struct str source)
{
	CHECK_OK(lineage_add(tx, &ada, &(struct edge){.node = node, .kind = kind, .source = source},
			 &et),
		&et);
}

static void test_artifact_registry__lineage_both_ways_and_round_in_circles(void)
{
	struct graph g;
	struct id run = id_new();
	begin();
	put("dataset", "raw", "aa");
	put("dataset", "clean", "bb");
	struct version_new trained = {
		.kind = S("model"), .name = S("m"), .digest = S("cc"), .run = run};
	int64_t n;
	CHECK_OK(artifact_put_version(tx, &ada, &trained, &n, &et), &et);
	struct str raw = version_node("raw:1"), clean = version_node("clean:1"),
		   m = version_node("m:1"), r = node_run(a, run);
	link_nodes(clean, EDGE_DERIVED, raw);
	link_nodes(raw, EDGE_DERIVED, S("s3://bucket/raw.jsonl"));
	link_nodes(r, EDGE_USED, clean);
	link_nodes(r, EDGE_USED, clean); /* again: nothing new */
	CHECK_OK(lineage_walk(tx, S("default"), m, false, 20, 100, a, &g, &et), &et);
	CHECK_INT(g.n_nodes, 5);
	CHECK_INT(g.n_edges, 4);
	CHECK(!g.cut);
	CHECK_STR(g.nodes[4].id, "s3://bucket/raw.jsonl");
	CHECK_OK(lineage_walk(tx, S("default"), raw, true, 20, 100, a, &g, &et), &et);
	CHECK_INT(g.n_nodes, 4);
	CHECK(str_eq(g.nodes[3].id, m));
	CHECK_OK(lineage_walk(tx, S("default"), m, false, 2, 100, a, &g, &et), &et);
	CHECK(g.n_nodes == 3 && g.cut);
	CHECK_OK(lineage_walk(tx, S("default"), m, false, 20, 2, a, &g, &et), &et);
	CHECK(g.n_nodes == 2 && g.n_edges == 1 && g.cut);
	link_nodes(raw, EDGE_DERIVED, m); /* a circle */
	CHECK_OK(lineage_walk(tx, S("default"), m, false, 64, 100, a, &g, &et), &et);
	CHECK_INT(g.n_nodes, 5);
	CHECK_INT(g.n_edges, 5);
	CHECK_OK(lineage_walk(tx, S("other"), m, false, 20, 100, a, &g, &et), &et);
	CHECK_INT(g.n_nodes, 1);
	CHECK_ERR(lineage_add(tx, &ada,
			  &(struct edge){.node = m, .kind = EDGE_DERIVED, .source = m}, &et),
		ERR_INVALID);
	finish();
}

/* ---- promotion ---- */

static const struct principal bob = {
	.name = {"bob", 3}, .project = {"default", 7}, .perms = PERMS_ALL};
static const struct principal cyd = {.name = {"cyd", 3},
	.project = {"default", 7},
	.perms = 1ull << PERM_ARTIFACT_ALIAS | 1ull << PERM_ARTIFACT_WRITE};

static void rule(const char *name, const char *alias, const char *check, int64_t approvals)
{
	struct str checks[] = {str_c(check ? check : "")};
	struct promotion_rule r = {.id = id_new(),
		.kind = S("model"),
		.name = str_c(name),
		.alias = str_c(alias),
		.checks = checks,
		.n_checks = check != NULL,
		.approvals = approvals,
		.creator = S("ada")};
	CHECK_OK(rule_put(tx, S("default"), &r, &et), &et);
}

static struct artifact named(const char *name)
{
	struct artifact of;
	CHECK_OK(artifact_find(tx, S("default"), S("model"), str_c(name), a, &of, &et), &et);
	return of;
}

static enum err move_as(const struct principal *who, int64_t version, bool break_glass)
{
	return artifact_alias_set(tx, who,
		&(struct alias_move){.kind = S("model"),
			.name = S("m"),
			.alias = S("prod"),
			.version = version,
			.reason = break_glass ? S("the old one is down") : S(""),
			.break_glass = break_glass},
		&et);
}

static bool said(const char *part)
{
	return str_find(str_c(et.msg), str_c(part)) != STR_NONE;
}

static void record(struct id of, int64_t version, const char *name, bool pass, int64_t expires_ms)
{
	struct check_result r = {.name = str_c(name), .pass = pass, .expires_ms = expires_ms};
	CHECK_OK(check_record(tx, &ada, of, version, &r, &et), &et);
}

static void test_artifact_registry__a_promotion_says_what_is_missing(void)
{
	begin();
	put("model", "m", "aa");
	put("model", "m", "bb");
	struct artifact of = named("m");
	rule("*", "prod*", "accuracy", 0);
	rule("m", "prod", "safety", 1);
	rule("other", "prod", "never", 0);
	CHECK_ERR(move_as(&ada, 2, false), ERR_FORBIDDEN);
	CHECK(said("'accuracy' has no result for version 2") && said("'safety' has no result") &&
		said("0 of 1 approval") && !said("never"));
	record(of.id, 2, "accuracy", false, 0);
	record(of.id, 2, "safety", true, clock_unix_ms() - 1000);
	CHECK_ERR(move_as(&ada, 2, false), ERR_FORBIDDEN);
	CHECK(said("'accuracy' failed") && said("'safety' passed, but that expired"));
	record(of.id, 2, "accuracy", true, 0);
	record(of.id, 2, "safety", true, clock_unix_ms() + 60000);
	CHECK_ERR(move_as(&ada, 2, false), ERR_FORBIDDEN);
	CHECK(!said("accuracy") && said("0 of 1 approval"));
	CHECK_OK(approval_set(tx, &ada, of.id, 2, S("prod"), false, S("mine"), &et), &et);
	CHECK_ERR(move_as(&ada, 2, false), ERR_FORBIDDEN); /* one's own does not count */
	CHECK_OK(approval_set(tx, &bob, of.id, 1, S("prod"), false, S("v1"), &et), &et);
	CHECK_OK(approval_set(tx, &bob, of.id, 2, S("staging"), false, S(""), &et), &et);
	CHECK_ERR(move_as(&ada, 2, false), ERR_FORBIDDEN); /* of this version, for this alias */
	CHECK_OK(approval_set(tx, &bob, of.id, 2, S("prod"), false, S("yes"), &et), &et);
	CHECK_OK(move_as(&ada, 2, false), &et);
	CHECK_ERR(move_as(&ada, 1, false), ERR_FORBIDDEN); /* the other version has no checks */
	CHECK_OK(approval_set(tx, &bob, of.id, 2, S("prod"), true, S("no"), &et), &et);
	CHECK_ERR(move_as(&ada, 2, false), ERR_FORBIDDEN);
	CHECK_ERR(approval_set(tx, &bob, of.id, 2, S("prod"), true, S(""), &et), ERR_NOT_FOUND);
	CHECK_OK(move("m", "staging", 1, 0), &et); /* no rule */
	finish();
}

static int64_t audited(const char *action)
{
	struct row *r;
	enum err e = db_query(
		tx, &r, &et, "SELECT COUNT(*) FROM audit WHERE action = ?", P_TEXT(str_c(action)));
	CHECK(!e && row_next(r, &e, &et));
	int64_t n = row_i64(r, 0);
	row_free(r);
	return n;
}

static void test_artifact_registry__breaking_the_glass_is_recorded(void)
{
	struct fact f;
	bool found;
	begin();
	put("model", "m", "aa");
	struct artifact of = named("m");
	rule("*", "prod", "accuracy", 1);
	CHECK_ERR(artifact_alias_set(tx, &ada,
			  &(struct alias_move){.kind = S("model"),
				  .name = S("m"),
				  .alias = S("prod"),
				  .version = 1,
				  .break_glass = true},
			  &et),
		ERR_INVALID); /* no reason */
	CHECK_ERR(move_as(&cyd, 1, true), ERR_FORBIDDEN);
	CHECK(said("artifact.break_glass"));
	CHECK_OK(move_as(&ada, 1, true), &et);
	CHECK_OK(fact_now(tx, of.id, 0, S("alias"), S("prod"), a, &f, &found, &et), &et);
	CHECK(found && fact_broke_glass(&f));
	CHECK(str_find(f.detail, S("accuracy")) != STR_NONE); /* what was missing is kept */
	CHECK_INT(audited("artifact.break_glass"), 1);
	record(of.id, 1, "accuracy", true, 0);
	CHECK_OK(approval_set(tx, &bob, of.id, 1, S("prod"), false, S(""), &et), &et);
	CHECK_OK(move_as(&ada, 1, true), &et); /* nothing to break */
	CHECK_OK(fact_now(tx, of.id, 0, S("alias"), S("prod"), a, &f, &found, &et), &et);
	CHECK(!fact_broke_glass(&f));
	finish();
}

/* The ways round the rule: a stage, taking a move back, another name. */
static void test_artifact_registry__there_is_no_way_round_a_rule(void)
{
	begin();
	put("model", "m", "aa");
	put("model", "m", "bb");
	struct artifact of = named("m");
	CHECK_OK(move("m", "prod", 1, 0), &et);
	CHECK_OK(move("m", "prod", 2, 0), &et);
	int64_t second = last_seq();
	rule("m", "prod", "accuracy", 0);
	rule("m", "Production", "accuracy", 0);
	record(of.id, 2, "accuracy", true, 0);
	CHECK_ERR(artifact_stage_set(tx, &ada, &of, 1, S("Production"), &et), ERR_FORBIDDEN);
	CHECK_OK(artifact_stage_set(tx, &ada, &of, 2, S("Production"), &et), &et);
	CHECK_ERR(fact_retract(tx, &ada, &of, second, S("wrong"), &et), ERR_FORBIDDEN);
	CHECK(said("would point at version 1 again"));
	db_rollback(tx);
	CHECK_OK(db_begin(croft_db(c), TX_WRITE, &tx, &et), &et);
	put("model", "m", "aa");
	of = named("m");
	rule("m", "prod", "accuracy", 0);
	CHECK_ERR(artifact_rename(tx, &cyd, &of, S("n"), &et), ERR_FORBIDDEN);
	CHECK_OK(artifact_rename(tx, &ada, &of, S("n"), &et), &et);
	of = named("n");
	CHECK_ERR(artifact_rename(tx, &cyd, &of, S("m"), &et), ERR_FORBIDDEN);
	finish();
}

static void test_artifact_registry__permissions_bind_inside_too(void)
{
	struct principal nobody = {.name = S("nobody"), .project = S("default")};
	begin();
	put("model", "m", "aa");
	struct artifact of = named("m");
	CHECK_ERR(artifact_tag_set(tx, &nobody, of.id, 0, S("k"), S("v"), &et), ERR_FORBIDDEN);
	CHECK_ERR(version_delete(tx, &cyd, &of, 1, S(""), &et), ERR_FORBIDDEN);
	CHECK_ERR(approval_set(tx, &cyd, of.id, 1, S("prod"), false, S(""), &et), ERR_FORBIDDEN);
	CHECK_OK(artifact_tag_set(tx, &cyd, of.id, 0, S("k"), S("v"), &et), &et);
	finish();
}

TESTS(T(test_artifact_registry__versions_are_counted_and_kept),
	T(test_artifact_registry__names_and_aliases_that_are_refused),
	T(test_artifact_registry__what_was_prod_on_3_may),
	T(test_artifact_registry__the_future_and_the_time_before_are_refused),
	T(test_artifact_registry__deleting_leaves_a_tombstone),
	T(test_artifact_registry__renaming_keeps_the_history),
	T(test_artifact_registry__no_other_project_sees_it),
	T(test_artifact_registry__an_edited_fact_shows),
	T(test_artifact_registry__the_present_is_rebuilt),
	T(test_artifact_registry__two_times_against_an_oracle),
	T(test_artifact_registry__lineage_both_ways_and_round_in_circles),
	T(test_artifact_registry__a_promotion_says_what_is_missing),
	T(test_artifact_registry__breaking_the_glass_is_recorded),
	T(test_artifact_registry__there_is_no_way_round_a_rule),
	T(test_artifact_registry__permissions_bind_inside_too))
