/* The rows of collections. */
#include "collection/held.h"
#include "collection/migrate_int.h"

enum {
	ITEMS_MAX = 256 << 20,   /* bytes of a body with items */
	BULK_BODY_MAX = 64 << 20 /* with ids */
};

#define ROOT "/api/v1/collections"
#define ONE ROOT "/{name}"
#define ALIASES "/api/v1/collection-aliases"

static const struct route routes[] = {
	{HTTP_GET, ROOT, get_collections, PERM_DOCUMENT_READ, "List the collections of vectors",
		NULL, NULL, "{ collections: Collection[] }", 0},
	{HTTP_GET, ONE, get_collection, PERM_DOCUMENT_READ, "One collection", NULL, NULL,
		"Collection", 0},
	{HTTP_PUT, ONE, put_collection, PERM_DOCUMENT_WRITE,
		"Make a collection: {size, distance} for vectors that are brought along, {model} "
		"for "
		"texts; or an object of such under names",
		NULL,
		"{ vectors?: object, sparse_vectors?: object, keyword?: object, backend?: "
		"\"embedded\" | \"pgvector\" }",
		"Collection", 0},
	{HTTP_DELETE, ONE, delete_collection, PERM_DOCUMENT_WRITE, "Delete a collection", NULL,
		NULL, "{ deleted: boolean }", 0},
	{HTTP_GET, ALIASES, get_aliases, PERM_DOCUMENT_READ,
		"The other names of collections: of all, or of one", "{ collection? }", NULL,
		"{ aliases: CollectionAlias[] }", 0},
	{HTTP_POST, ALIASES, post_aliases, PERM_DOCUMENT_WRITE,
		"Several changes of aliases, all of them at one moment or none", NULL,
		"{ changes: { set?: string, collection?: string, delete?: string, rename?: string, "
		"to?: string }[] }",
		"{ aliases: CollectionAlias[] }", 0},
	{HTTP_PUT, ALIASES "/{alias}", put_alias, PERM_DOCUMENT_WRITE,
		"Make an alias, or move it to another collection", NULL, "{ collection: string }",
		"{ aliases: CollectionAlias[] }", 0},
	{HTTP_DELETE, ALIASES "/{alias}", delete_alias, PERM_DOCUMENT_WRITE, "Delete an alias",
		NULL, NULL, "{ aliases: CollectionAlias[] }", 0},
	{HTTP_POST, ONE "/move", move_collection, PERM_DOCUMENT_WRITE,
		"Keep its vectors elsewhere: in the memory of the servers or in PostgreSQL by "
		"pgvector; as a whole or not at all, and it can be used meanwhile",
		NULL, "{ backend: \"embedded\" | \"pgvector\" }", "Collection", 0},
	{HTTP_GET, ONE "/items", get_items, PERM_DOCUMENT_READ, "Items in the order of their ids",
		"{ limit?: int, from?, vectors?: boolean, as_of? }", NULL,
		"{ items: CollectionItem[], next: int | string | null, seq: int, version: int | "
		"null, artifact: string | null }",
		0},
	{HTTP_PUT, ONE "/items", put_items, PERM_DOCUMENT_WRITE,
		"Insert or replace items; a text is embedded with the model of the collection",
		NULL, "{ items: { id: int | string, vector?: object, text?, payload?: object }[] }",
		"{ seq: int, items: int }", ITEMS_MAX},
	{HTTP_POST, ONE "/items/delete", delete_items, PERM_DOCUMENT_WRITE, "Delete items", NULL,
		"{ ids?: (int | string)[], filter?: object }", "{ seq: int, deleted: int }", 0},
	{HTTP_POST, ONE "/search", search_collection, PERM_DOCUMENT_READ,
		"The items nearest to a text, a vector or another item; by its words, or by both",
		NULL,
		"{ text?, vector?: number[] | number[][] | object, id?: int | string, mode?: "
		"\"vector\" | \"keyword\" | "
		"\"hybrid\", fusion?: object, space?, filter?: object, k?: int, "
		"worst?: number, "
		"ef?: int, exact?: boolean, as_of?: int | string, "
		"formula?: number | string | object, defaults?: object, candidates?: int, "
		"vectors?: boolean }",
		"{ hits: (CollectionItem & { score: number, sources?: { vector: HitShare | null, "
		"keyword: HitShare | null } })[], mode, exact: boolean, compared: int, "
		"cut: boolean, took_ms: number, seq: int, version: int | null, artifact: string | "
		"null }",
		0},
	{HTTP_PUT, ONE "/keyword", put_keyword, PERM_DOCUMENT_WRITE,
		"Search the texts of some fields by words too; the weights say what a field counts",
		NULL,
		"{ fields: object, language?, k1?: number, fusion?: { method?: \"rrf\" | "
		"\"score\", k?: number, vector?: number, keyword?: number, depth?: int } }",
		"KeywordIndex", 0},
	{HTTP_DELETE, ONE "/keyword", delete_keyword, PERM_DOCUMENT_WRITE,
		"Drop the index of words", NULL, NULL, "{ deleted: boolean }", 0},
	{HTTP_GET, ONE "/map", get_map, PERM_DOCUMENT_READ,
		"The map of a collection, and how far one is that is being made; data=false "
		"leaves the points out",
		"{ data?: boolean }", NULL, "CollectionMapState", 0},
	{HTTP_POST, ONE "/map", post_map, PERM_DOCUMENT_WRITE,
		"Begin to make a map; mode align starts from the places of the present one, extend "
		"adds the new items to it",
		NULL,
		"{ method?: \"umap\" | \"pca\", dims?: int, mode?: \"new\" | \"align\" | "
		"\"extend\", space?, "
		"label_field?, neighbours?: int, min_dist?: number, cluster_min?: int, seed?: int, "
		"filter?: object }",
		"CollectionMapState", 0},
	{HTTP_DELETE, ONE "/map", delete_map, PERM_DOCUMENT_WRITE,
		"Stop the map that is being made, or delete the one that is there", NULL, NULL,
		"{ stopped: boolean, deleted: boolean }", 0},
	{HTTP_GET, ONE "/map/traffic", get_map_traffic, PERM_DOCUMENT_READ,
		"How often each point of the map was among the hits of searches: base64 of f32",
		NULL, NULL, "{ values, total: int, items: int, most: int }", 0},
	{HTTP_GET, ONE "/map/field", get_map_field, PERM_DOCUMENT_READ,
		"A field of the payload for each point of the map: base64 of f32 (NaN: none) for "
		"numbers, of i32 (-1: none, -2: another) for categories",
		"{ name }", NULL,
		"{ kind: \"number\" | \"category\", categories: { value, items: int }[], values }",
		0},
	{HTTP_GET, ONE "/curate/{kind}", get_curation, PERM_DOCUMENT_READ,
		"What curation found last (duplicates, outliers, sample, propagate, mislabelled, "
		"balance), a page of it, and how far one is that runs; of duplicates limit counts "
		"groups",
		"{ from?: int, limit?: int }", NULL, "CurationState", 0},
	{HTTP_POST, ONE "/curate/{kind}", post_curation, PERM_DOCUMENT_WRITE,
		"Begin to look for duplicates, outliers, a sample, labels, wrong labels, or the "
		"balance of classes",
		NULL,
		"{ threshold?: number, keep?: \"first\" | \"last\" | \"centre\" | \"longest\" | "
		"\"highest\", keep_field?, label?, scores?, method?: \"lof\" | \"distance\" | "
		"\"centre\" | \"uncertain\" | \"joint\" | \"noise_rate\", neighbours?: int, "
		"share?: "
		"number, count?: int, alpha?: number, holdout?: number, seed?: int, diverse?: "
		"boolean, exact?: boolean, space?, filter?: object }",
		"CurationState", 0},
	{HTTP_DELETE, ONE "/curate/{kind}", delete_curation, PERM_DOCUMENT_WRITE,
		"Stop what is being looked for, or delete the last result", NULL, NULL,
		"{ stopped: boolean, deleted: boolean }", 0},
	{HTTP_POST, ONE "/curate/{kind}/apply", post_curation_apply, PERM_DOCUMENT_WRITE,
		"Write what was found into the items: a tag, the label that is offered, that the "
		"label was checked; or delete them. Without ids all of them",
		NULL,
		"{ action?: \"tag\" | \"label\" | \"checked\" | \"delete\", field?, ids?: (int | "
		"string)[] }",
		"CollectionJob", BULK_BODY_MAX},
	{HTTP_POST, ONE "/curate/{kind}/dataset", post_curation_dataset, PERM_DOCUMENT_READ,
		"Make a version of a dataset: the items that were found, the rest, or all with "
		"what was found in a field",
		NULL,
		"{ dataset: string, items?: \"rest\" | \"found\" | \"all\", field?, vectors?: "
		"boolean, description? }",
		"CollectionJob", 0},
	{HTTP_POST, ONE "/bulk/set", post_bulk_set, PERM_DOCUMENT_WRITE,
		"Set a field of the payloads of items, named or those that match a filter: a tag, "
		"a label; a job that survives the server",
		NULL, "{ field: string, value: any, ids?: (int | string)[], filter?: object }",
		"CollectionJob", BULK_BODY_MAX},
	{HTTP_POST, ONE "/bulk/dataset", post_bulk_dataset, PERM_DOCUMENT_READ,
		"Make a version of a dataset of items, named or those that match a filter", NULL,
		"{ dataset: string, ids?: (int | string)[], filter?: object, items?: \"rest\" | "
		"\"found\", vectors?: boolean, description? }",
		"CollectionJob", BULK_BODY_MAX},
	{HTTP_GET, ONE "/bulk", get_bulks, PERM_DOCUMENT_READ,
		"Jobs on many items, the newest first", NULL, NULL, "{ jobs: CollectionJob[] }", 0},
	{HTTP_GET, ONE "/bulk/{job}", get_bulk, PERM_DOCUMENT_READ, "How far a job is", NULL, NULL,
		"CollectionJob", 0},
	{HTTP_DELETE, ONE "/bulk/{job}", delete_bulk, PERM_DOCUMENT_WRITE,
		"Cancel a job; what it has done stays", NULL, NULL, "CollectionJob", 0},
	{HTTP_PATCH, ONE, patch_collection, PERM_DOCUMENT_WRITE,
		"Change what a collection is held to: recall of its searches, memory of its "
		"indexes; null: as the settings say",
		NULL, "{ recall_target?: number | null, memory_bytes?: int | null }",
		"CollectionLimits", 0},
	{HTTP_GET, ONE "/recall", get_recall, PERM_DOCUMENT_READ,
		"Recall of sampled live queries against exact searches, at the present effort and "
		"others, and as it was",
		NULL, NULL, "CollectionLimits & { spaces: CollectionRecall[] }", 0},
	{HTTP_GET, ONE "/memory", get_memory, PERM_DOCUMENT_READ,
		"Bytes of the indexes of a collection; more: with so many more items",
		"{ more?: int }", NULL,
		"{ limit: int, total: int, total_with_more: int, payloads: int, ids: int, words: "
		"int, other_vectors: int, versions: int, machine: "
		"int, spaces: (IndexBytes & { name, items: int })[] }",
		0},
	{HTTP_GET, "/api/v1/collection-plan", get_memory_plan, PERM_DOCUMENT_READ,
		"Bytes of an index before it is built", "{ items: int, dim: int, distance? }", NULL,
		"IndexBytes & { items: int, dim: int, distance, stored: int, limit: int, machine: "
		"int, fits: boolean }",
		0},
	{HTTP_GET, ONE "/migrations", get_migrations, PERM_DOCUMENT_READ,
		"How far the moves of a collection to other embedding models are, the newest first",
		NULL, NULL, "{ migrations: CollectionMigration[] }", 0},
	{HTTP_POST, ONE "/migrations", post_migration, PERM_DOCUMENT_WRITE,
		"Begin to embed a collection with another model while it is in use; plan: only say "
		"what it takes",
		NULL,
		"{ to: string, space?, field?, skip_without_text?: boolean, shadow?: number, "
		"plan?: "
		"boolean }",
		"{ id: string | null, plan: CollectionMigrationPlan }", 0},
	{HTTP_POST, ONE "/migrations/cutover", cut_migration, PERM_DOCUMENT_WRITE,
		"Answer from the new space from now on", NULL, "{ id?, skip_failed?: boolean }",
		"{ migrations: CollectionMigration[] }", 0},
	{HTTP_POST, ONE "/migrations/back", back_migration, PERM_DOCUMENT_WRITE,
		"Answer from the former space again", NULL, "{ id? }",
		"{ migrations: CollectionMigration[] }", 0},
	{HTTP_POST, ONE "/migrations/drop", drop_migration, PERM_DOCUMENT_WRITE,
		"Drop the space that does not answer: after a cut-over the former one", NULL,
		"{ id? }", "{ migrations: CollectionMigration[] }", 0},
	{HTTP_POST, ONE "/migrations/cancel", cancel_migration, PERM_DOCUMENT_WRITE,
		"Give a migration up that has not been cut over", NULL, "{ id? }",
		"{ migrations: CollectionMigration[] }", 0},
};

static const struct shape shapes[] = {
	{"Collection",
		"{ name, items: int, seq: int, backend, lazy: boolean, spaces: { name, size: int, "
		"distance, kind: \"dense\" | \"sparse\" | \"multi\", idf: boolean, model: "
		"string | null, identity: string | null }[], aliases: string[], keyword: "
		"KeywordIndex | null, "
		"created, updated }"},
	{"CollectionAlias", "{ name, collection, moved }"},
	{"KeywordIndex", "{ fields: object, language, k1: number, fusion: { method: \"rrf\" | "
			 "\"score\", k: number, vector: number, keyword: number, depth: int } }"},
	{"HitShare", "{ rank: int, score: number, share: number }"},
	{"CollectionMapState",
		"{ state: \"idle\" | \"running\" | \"failed\", error: string | null, progress: { "
		"what, done: int, total: int } | null, map: CollectionMap | null }"},
	{"CollectionMap",
		"{ method: \"umap\" | \"pca\", dims: int, space, mode, neighbours: int, min_dist: "
		"number, "
		"seed: "
		"int, took_ms: int, filter?: object | null, share: number[] | null, fields: "
		"string[], clusters: { number: "
		"int, size: int, label, x: number, y: number, z?: number, bounds: number[] }[], "
		"points: int, "
		"noise: int, seq: int, behind: int, made, data: { ids: (int | string)[], xy, "
		"cluster } | null }"},
	{"CollectionJob",
		"{ id: string | null, what: \"tag\" | \"label\" | \"checked\" | \"delete\" | "
		"\"set\" | \"dataset\", kind: string | null, state: \"waiting\" | \"running\" | "
		"\"done\" | \"failed\" | \"cancelled\", error: string | null, progress: { what, "
		"done: int, total: int } | null, items: int, gone: int, seq: int, dataset: { name, "
		"version: int, digest, rows: int } | null, by, begun: string | null, ended: string "
		"| null }"},
	{"CurationState", "{ state: \"idle\" | \"running\" | \"failed\", error: string | null, "
			  "progress: { what, done: int, total: int } | null, result: Curation | "
			  "null }"},
	{"Curation", "{ seq: int, behind: int, made, took_ms: int, items: int, parameters: object, "
		     "summary: object, labels: (string | number | boolean)[], total: int, cases: "
		     "CurationCase[] }"},
	{"CurationCase",
		"{ rank: int, id: int | string, payload: object, score: number, more: number, "
		"group: int | null, kept: boolean, of: int | string | null, other: object | null, "
		"given: string | number "
		"| boolean | null, offered: string | number | boolean | null }"},
	{"CollectionLimits", "{ recall_target: number, recall_target_own: boolean, memory_bytes: "
			     "int, memory_bytes_own: boolean }"},
	{"IndexBytes", "{ vectors: int, graph: int, other: int, total: int, per_search: int }"},
	{"RecallStep", "{ ef: int, queries: int, recall: Interval }"},
	{"RecallOf", "{ ef: int, seen: int, measured: int, now: RecallStep | null, "
		     "steps: RecallStep[], past: (RecallStep & { at })[] }"},
	{"CollectionRecall",
		"RecallOf & { name, exact: boolean, graph: \"none\" | \"building\" | \"ready\", "
		"graph_done: number, "
		"filtered: (RecallOf & { share_min: number, share_max: number })[] }"},
	{"CollectionMigration",
		"{ id, state: \"preparing\" | \"ready\" | \"cut_over\" | \"rolled_back\" | "
		"\"dropped\" | \"cancelled\", space, from: string | null, from_size: int, to, "
		"to_size: int, skip_without_text: boolean, shadow: number, total: int, done: int, "
		"embedded: int, known: int, pending: int, without_text: int, failed: int, rate: "
		"number, left_s: number | null, stalled: string | null, failures: { id, reason "
		"}[], agreement: { queries: int, k: number, overlap: Interval, rbo: Interval, "
		"recent: number[], passed_over: int } | null, judged: MigrationJudged | null, "
		"begun: string | null, ready: string | null, cut_over: string | null, ended: "
		"string | null }"},
	{"Interval", "{ mean: number, low: number, high: number }"},
	{"CollectionMigrationPlan",
		"{ from: string | null, from_size: int, to_size: int, items: int, without_text: "
		"int, examples, known: int, index_bytes: int, other_index_bytes: int, "
		"stored_bytes: int }"},
	{"CollectionItem", "{ id: int | string, payload: object, vector?: object }"},
};

#define OPTIONS(o, n) collection_##o##_options, N_##n##_OPTIONS

static const struct command commands[] = {
	{"collections", run_collections, "", NULL, 0, "List collections of vectors", NULL},
	{"collections show", run_collections_show, "NAME", NULL, 0, "Show a collection", NULL},
	{"collections create", run_collections_create, "NAME", OPTIONS(create, CREATE),
		"Make a collection",
		"With --model Croft embeds the texts; with --size vectors are brought along. "
		"Example:\n\n"
		"  croft collections create faq --model all-minilm-l6-v2"},
	{"collections aliases", run_collections_aliases, "[NAME]", NULL, 0,
		"List the other names of collections", NULL},
	{"collections alias", run_collections_alias, "ALIAS [NAME]", OPTIONS(alias, ALIAS),
		"Give a collection another name, or move that name to it",
		"Whoever asks for the alias gets the collection that it stands for; it moves at "
		"one\nmoment. --rm deletes it. Example:\n\n"
		"  croft collections alias faq-live faq-2"},
	{"collections move", run_collections_move, "NAME", OPTIONS(move, MOVE),
		"Keep its vectors elsewhere, without a pause",
		"embedded is the memory of the servers; pgvector is PostgreSQL (db.url), for what "
		"outgrows it. Example:\n\n"
		"  croft collections move faq --backend pgvector"},
	{"collections rm", run_collections_rm, "NAME", NULL, 0, "Delete a collection", NULL},
	{"collections import", run_collections_import, "NAME FILE", OPTIONS(import, IMPORT),
		"Put items from a file",
		"FILE is .jsonl (a line: {\"id\", \"text\" or \"vector\", \"payload\"}), .npy, "
		".fvecs, "
		".fbin or .parquet;\n"
		"- is JSON lines from standard input. Files of vectors alone number their items "
		"from "
		"--first.\n"
		"Example:\n\n"
		"  croft collections import faq questions.jsonl"},
	{"collections export", run_collections_export, "NAME", OPTIONS(export, EXPORT),
		"Write all items to a file or as JSON lines",
		"Without --out JSON lines go to standard output. Example:\n\n"
		"  croft collections export faq --vectors --out faq.parquet"},
	{"collections search", run_collections_search, "NAME TEXT", OPTIONS(search, SEARCH),
		"Find the nearest items",
		"Example:\n\n  croft collections search faq \"how do I cancel\" -k 3"},
	{"collections words", run_collections_keyword, "NAME", OPTIONS(keyword, KEYWORD),
		"Search the texts of some fields by words too, or change how",
		"A field is a path into payloads, with a weight. --off drops the index. Then\n"
		"collections search takes --mode keyword and --mode hybrid. Example:\n\n"
		"  croft collections words faq --fields title=2,text --language en"},
	{"collections map", run_collections_map, "NAME", OPTIONS(map, MAP),
		"Lay the items out in the plane, find and name clusters",
		"The page shows the map; --out writes id, x, y and cluster. Example:\n\n"
		"  croft collections map faq --out faq.csv"},
	{"collections curate", run_collections_curate, "NAME WHAT", OPTIONS(curate, CURATE),
		"Find duplicates, outliers, samples to label, labels, wrong labels",
		"WHAT is duplicates, outliers, sample, propagate, mislabelled or balance. Examples:"
		"\n\n"
		"  croft collections curate faq duplicates --threshold 0.97 --dataset faq-clean\n"
		"  croft collections curate faq mislabelled --label intent --show 20"},
	{"collections set-field", run_collections_set_field, "NAME FIELD VALUE",
		OPTIONS(set_field, SET_FIELD), "Set a field of the payloads of many items",
		"VALUE is JSON, or a text. The server goes on with it when it is restarted. "
		"Example:\n\n"
		"  croft collections set-field faq review open --filter '{\"must\":\n"
		"    [{\"key\": \"language\", \"match\": {\"value\": \"de\"}}]}'"},
	{"collections make-dataset", run_collections_make_dataset, "NAME DATASET",
		OPTIONS(make_dataset, MAKE_DATASET), "Make a version of a dataset of its items",
		NULL},
	{"collections jobs", run_collections_jobs, "NAME", OPTIONS(jobs, JOBS),
		"Jobs on many items: how far they are, or cancel one", NULL},
	{"collections set", run_collections_set, "NAME", OPTIONS(set, SET),
		"Change what a collection is held to: recall, memory",
		"Example:\n\n  croft collections set faq --recall-target 0.98 --memory 2G"},
	{"collections recall", run_collections_recall, "NAME", NULL, 0,
		"Recall of live queries against exact searches, and the effort that holds it",
		NULL},
	{"collections plan", run_collections_plan, "[NAME]", OPTIONS(plan, PLAN),
		"Bytes of an index before it is built, or of a collection's",
		"Examples:\n\n"
		"  croft collections plan --items 1000000 --dim 384\n"
		"  croft collections plan faq --items 50000"},
	{"collections migrate", run_collections_migrate, "NAME", OPTIONS(migrate, MIGRATE),
		"Embed a collection with another model while it is in use",
		"Queries are answered by the present model until `croft migration "
		"cutover NAME`,\n"
		"and `croft migration back NAME` undoes that at once. Example:\n\n"
		"  croft collections migrate faq --to bge-small-en-v1.5"},
	{"migration status", run_migration_status, "NAME", OPTIONS(migration, MIGRATION),
		"How far a migration is", NULL},
	{"migration cutover", run_migration_cutover, "NAME", OPTIONS(migration, MIGRATION),
		"Answer by the new model from now on", NULL},
	{"migration back", run_migration_back, "NAME", OPTIONS(migration, MIGRATION),
		"Answer by the former model again", NULL},
	{"migration drop", run_migration_drop, "NAME", OPTIONS(migration, MIGRATION),
		"Drop the space that does not answer", NULL},
	{"migration cancel", run_migration_cancel, "NAME", OPTIONS(migration, MIGRATION),
		"Give up a migration before its cut-over", NULL},
};

static const struct setting settings[] = {
	{"collection.recall_target", SET_TEXT, "0.95",
		"Recall that searches of collections without a target of their own are to reach; "
		"0: "
		"the effort stays as it is",
		0, 0},
	{"collection.recall_every", SET_DURATION, "10s",
		"How often sampled queries are compared with exact searches", 100, 3600000},
	{"collection.idle", SET_DURATION, "15m",
		"A collection that nobody used for so long leaves the memory; its files are mapped "
		"when it is wanted again; 0: never",
		0, 86400000},
	{"collection.memory_bytes", SET_BYTES, "0",
		"Memory of the indexes of a collection without a limit of its own; 0: no limit", 0,
		(int64_t)1 << 46},
	{"collection.map_bytes", SET_BYTES, "4G",
		"Memory that making a map may take; a collection that needs more is refused",
		1 << 20, (int64_t)1 << 42},
	{"collection.curate_bytes", SET_BYTES, "4G",
		"Memory that a curation may take; a collection that needs more is refused", 1 << 20,
		(int64_t)1 << 42},
	{"collection.backend", SET_TEXT, "embedded",
		"Where new collections are searched when nothing is said: embedded (this server's "
		"memory) or pgvector (the PostgreSQL of db.url)",
		0, 0},
	{"collection.pgvector_graph", SET_INT, "10000",
		"Items from which on a collection in pgvector gets an HNSW index; fewer are "
		"compared one by one",
		1, (int64_t)1 << 40},
	{"collection.pgvector_build_bytes", SET_BYTES, "1G",
		"Memory that PostgreSQL may take to make such an index (maintenance_work_mem)",
		1 << 20, (int64_t)1 << 40},
};

const struct module collection_module = {
	.name = "collection",
	.migrations = collection_migrations,
	.n_migrations = 16,
	TABLE(routes),
	TABLE(shapes),
	TABLE(commands),
	TABLE(settings),
	.init = collections_init,
	.start = collections_start,
	.stop = collections_stop,
	.metrics = recall_metrics,
};
