/* The rows of collections. */
#include "collection/collection_int.h"

enum { ITEMS_MAX = 256 << 20 }; /* bytes of a body with items */

#define ROOT "/api/v1/collections"
#define ONE ROOT "/{name}"

static const struct route routes[] = {
	{HTTP_GET, ROOT, get_collections, PERM_DOCUMENT_READ, "List the collections of vectors",
		NULL, NULL, "{ collections: Collection[] }", 0},
	{HTTP_GET, ONE, get_collection, PERM_DOCUMENT_READ, "One collection", NULL, NULL,
		"Collection", 0},
	{HTTP_PUT, ONE, put_collection, PERM_DOCUMENT_WRITE,
		"Make a collection: {size, distance} for vectors that are brought along, {model} "
		"for "
		"texts; or an object of such under names",
		NULL, "{ vectors: object }", "Collection", 0},
	{HTTP_DELETE, ONE, delete_collection, PERM_DOCUMENT_WRITE, "Delete a collection", NULL,
		NULL, "{ deleted: boolean }", 0},
	{HTTP_GET, ONE "/items", get_items, PERM_DOCUMENT_READ, "Items in the order of their ids",
		"{ limit?: int, from?, vectors?: boolean }", NULL,
		"{ items: CollectionItem[], next: int | string | null }", 0},
	{HTTP_PUT, ONE "/items", put_items, PERM_DOCUMENT_WRITE,
		"Insert or replace items; a text is embedded with the model of the collection",
		NULL, "{ items: { id: int | string, vector?: object, text?, payload?: object }[] }",
		"{ seq: int, items: int }", ITEMS_MAX},
	{HTTP_POST, ONE "/items/delete", delete_items, PERM_DOCUMENT_WRITE, "Delete items", NULL,
		"{ ids?: (int | string)[], filter?: object }", "{ seq: int, deleted: int }", 0},
	{HTTP_POST, ONE "/search", search_collection, PERM_DOCUMENT_READ,
		"The items nearest to a text, a vector or another item", NULL,
		"{ text?, vector?: number[], id?: int | string, space?, filter?: object, k?: int, "
		"worst?: number, "
		"ef?: int, exact?: boolean, "
		"vectors?: boolean }",
		"{ hits: (CollectionItem & { score: number })[], exact: boolean, compared: int, "
		"took_ms: number }",
		0},
};

static const struct shape shapes[] = {
	{"Collection", "{ name, items: int, seq: int, spaces: { name, size: int, distance, model: "
		       "string | null, identity: string | null }[], created, updated }"},
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
	{"collections rm", run_collections_rm, "NAME", NULL, 0, "Delete a collection", NULL},
	{"collections import", run_collections_import, "NAME FILE", OPTIONS(import, IMPORT),
		"Put items from a file",
		"FILE is .jsonl (a line: {\"id\", \"text\" or \"vector\", \"payload\"}), .npy, "
		".fvecs "
		"or .fbin;\n"
		"- is JSON lines from standard input. Files of vectors alone number their items "
		"from "
		"--first.\n"
		"Example:\n\n"
		"  croft collections import faq questions.jsonl"},
	{"collections export", run_collections_export, "NAME", OPTIONS(export, EXPORT),
		"Write all items as JSON lines", NULL},
	{"collections search", run_collections_search, "NAME TEXT", OPTIONS(search, SEARCH),
		"Find the nearest items",
		"Example:\n\n  croft collections search faq \"how do I cancel\" -k 3"},
};

const struct module collection_module = {
	.name = "collection",
	.migrations = collection_migrations,
	.n_migrations = 2,
	TABLE(routes),
	TABLE(shapes),
	TABLE(commands),
	.init = collections_init,
	.start = collections_start,
	.stop = collections_stop,
};
