/* The rows of versions of collections. */
#include "collection/version_int.h"

#define ONE "/api/v1/collections/{name}"

static const struct route routes[] = {
	{HTTP_GET, ONE "/versions", get_versions, PERM_DOCUMENT_READ,
		"The versions of a collection, newest first, and where its live items stand: head "
		"is "
		"the version that they came from; state is null when the collection was deleted",
		"{ limit?: int, before?: int }", NULL,
		"{ versions: CollectionVersion[], next: int | null, state: { seq: int, items: int, "
		"head: string | null, head_seq: int | null, changed: boolean, lazy: boolean, "
		"origin: string | null } | null }",
		0},
	{HTTP_POST, ONE "/versions", post_version, PERM_DOCUMENT_WRITE,
		"Make a version of what is in the collection now; made is false when nothing has "
		"changed since the last one. With compact its data has nothing of items that only "
		"earlier versions have",
		NULL, "{ message?, tag?, compact?: boolean }",
		"CollectionVersion & { made: boolean }", 0},
	{HTTP_GET, ONE "/versions/{version}", get_version, PERM_DOCUMENT_READ,
		"A version by its number, a tag, a time, or head", NULL, NULL, "CollectionVersion",
		0},
	{HTTP_DELETE, ONE "/versions/{version}", delete_version, PERM_ARTIFACT_DELETE,
		"Delete a version; what no other one needs is collected later", NULL, NULL,
		"{ deleted: boolean }", 0},
	{HTTP_POST, ONE "/restore", post_restore, PERM_DOCUMENT_WRITE,
		"The items become those of a version, in one step, which is a new version itself; "
		"what had changed is kept as a version before, unless discard",
		NULL, "{ version: int | string, message?, discard?: boolean }",
		"CollectionVersion & { made: boolean, kept: int | null, filling: boolean }", 0},
	{HTTP_POST, ONE "/copy", post_copy, PERM_DOCUMENT_WRITE,
		"A new collection that begins with the items of a version (absent: of now). It has "
		"no rows of its own before it is written to or searched by its index",
		NULL, "{ to, from?: int | string }", "{ name, items: int, origin }", 0},
	{HTTP_POST, ONE "/branch", post_branch, PERM_DOCUMENT_WRITE,
		"The same, but it remembers where it comes from and can be merged back", NULL,
		"{ to, from?: int | string }", "{ name, items: int, origin }", 0},
	{HTTP_GET, ONE "/diff", get_diff, PERM_DOCUMENT_READ,
		"What becomes of one version (from; absent: the last) in another (to; absent: what "
		"is there now). distance is the cosine distance by which an item's vector moved, "
		"that of the space where it is largest; summary comes with the first page. After: "
		"the id behind which a list by id goes on; skip: the same for sort=distance",
		"{ from?, to?, change?, sort?: \"id\" | \"distance\", limit?: int, after?, skip?: "
		"int, payloads?: boolean }",
		NULL, "CollectionDiff", 0},
	{HTTP_POST, ONE "/merge", post_merge, PERM_DOCUMENT_WRITE,
		"Merge a collection, or a version of one (from: \"name:3\"), into this one: what "
		"only one side has changed since their common version is taken, field by field, "
		"what both have changed otherwise is a conflict, named by a JSON pointer "
		"(/payload/price, /vector, /text; \"\" is the item). With conflicts that neither "
		"resolve ({ID: side} or {ID: {field: side}}) nor prefer decides nothing is changed",
		NULL,
		"{ from, prefer?: \"ours\" | \"theirs\", resolve?: object, dry_run?: boolean, "
		"message?, limit?: int, skip?: int }",
		"{ merged: boolean, nothing: boolean, filling: boolean, base: string | null, from, "
		"kept: int | null, "
		"added: int, removed: int, changed: int, combined: int, version: "
		"CollectionVersion | null, "
		"conflicts: { count: int, resolved: int, items: { id: int | string, field, ours, "
		"theirs, values: object | null }[] } "
		"}",
		0},
	{HTTP_POST, ONE "/count", count_items, PERM_DOCUMENT_READ,
		"How many items there are, or match a filter; as_of: in that version", NULL,
		"{ filter?: object, as_of?: int | string }",
		"{ count: int, seq: int, version: int | null, artifact: string | null }", 0},
};

static const struct shape shapes[] = {
	{"CollectionVersion",
		"{ version: int, artifact, digest, message, tags: string[], by, created, bytes: "
		"int, seq: int, items: int, added: int, removed: int, changed: int, made_by: "
		"\"commit\" | \"restore\" | \"merge\" | \"push\", from: string | null, parents: "
		"string[] }"},
	{"CollectionDiff",
		"{ from: { version, items: int }, to: { version, items: int }, summary?: { added: "
		"int, removed: int, moved: int, changed: int, same: int, moved_and_changed: int, "
		"distance: { measured: int, mean: number, median: number, p95: number, max: "
		"number, "
		"edges: number[], items: int[] } }, items: { id: int | string, change: \"added\" | "
		"\"removed\" | \"moved\" | \"changed\", distance: number | null, payload: boolean, "
		"before?: object | null, after?: object | null }[], next: int | string | null }"},
};

#define OPTIONS(o, n) collection_##o##_options, N_##n##_OPTIONS

static const struct command commands[] = {
	{"collections commit", run_collections_commit, "NAME", OPTIONS(commit, COMMIT),
		"Make a version of a collection",
		"Example:\n\n  croft collections commit faq -m \"first answers\" --tag reviewed"},
	{"collections versions", run_collections_versions, "NAME", OPTIONS(versions, VERSIONS),
		"List the versions of a collection", NULL},
	{"collections restore", run_collections_restore, "NAME VERSION", OPTIONS(restore, RESTORE),
		"Bring the items of a version back",
		"VERSION is a number, a tag, or a time (2026-06-27T08:00:00Z). What has changed "
		"since the last version is kept as one, unless --discard. Example:\n\n"
		"  croft collections restore faq reviewed"},
	{"collections copy", run_collections_copy, "NAME NEW", OPTIONS(copy, COPY),
		"Copy a collection",
		"The copy begins with a version and has a history of its own. Example:\n\n"
		"  croft collections copy faq faq-2026 --from reviewed"},
	{"collections branch", run_collections_branch, "NAME NEW", OPTIONS(copy, COPY),
		"Copy a collection to change it and merge it back", NULL},
	{"collections diff", run_collections_diff, "NAME [FROM [TO]]", OPTIONS(diff, DIFF),
		"Show which items differ between versions, and how far they moved",
		"FROM is the last version when it is not said, TO what is there now; \"other:3\" "
		"is "
		"a version of another collection. Example:\n\n"
		"  croft collections diff faq reviewed --farthest"},
	{"collections merge", run_collections_merge, "NAME FROM", OPTIONS(merge, MERGE),
		"Bring the changes of a branch into a collection",
		"Where both have changed a field of an item, nothing is merged before --ours, "
		"--theirs or --take says which one counts. Examples:\n\n"
		"  croft collections merge faq faq-cleaned --dry-run\n"
		"  croft collections merge faq faq-cleaned \\\n"
		"    --take '{\"2\": {\"/payload/price\": \"theirs\"}}'"},
};

static const struct setting settings[] = {
	{"collection.version_bytes", SET_BYTES, "1G",
		"Memory for the item lists of versions that were read last, and as much for the "
		"indexes of those that were searched last; one that is in use is kept whatever "
		"it takes",
		1 << 20, (int64_t)1 << 42},
	{"collection.restore_at_once", SET_INT, "20000",
		"Items that a restore or merge changes in one transaction; where more change, the "
		"collection begins anew with the version and is filled afterwards",
		0, 1 << 30},
	{"collection.version_files", SET_BYTES, "2G",
		"Disk for the saved indexes of versions that were searched last", 0,
		(int64_t)1 << 46},
};

static enum err blobs(struct croft *c, struct tx *tx, enum err (*want)(void *ctx, struct str hex),
	void *ctx, struct errtext *et)
{
	(void)c;
	return store_head_blobs(tx, want, ctx, et);
}

const struct module collection_version_module = {
	.name = "collection_version",
	TABLE(routes),
	TABLE(shapes),
	TABLE(commands),
	TABLE(settings),
	.blobs = blobs,
};
