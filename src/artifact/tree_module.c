/* The module of trees. It stands beside the registry, whose versions name trees by their digest. */
#include "artifact/artifact.h"
#include "artifact/tree_int.h"

static void metrics(struct croft *c, struct buf *out)
{
	struct tx *tx;
	struct row *r;
	enum err e = OK;
	if (db_begin(croft_db(c), TX_READ, &tx, NULL))
		return;
	if (!db_query(tx, &r, NULL, "SELECT COUNT(*) FROM tree")) {
		if (row_next(r, &e, NULL))
			buf_addf(out,
				"# HELP croft_trees Trees of artifacts that are stored.\n"
				"# TYPE croft_trees gauge\ncroft_trees %lld\n",
				(long long)row_i64(r, 0));
		row_free(r);
	}
	db_rollback(tx);
}

static const struct setting settings[] = {
	{"artifact.gc_grace", SET_DURATION, "24h",
		"croft artifact gc spares what is younger; an upload has this long to go on",
		3600 * 1000, INT64_MAX / 4},
};

const struct module tree_module = {
	.name = "tree",
	.migrations = tree_migrations,
	.n_migrations = ARRAY_LEN(tree_migrations),
	.routes = tree_routes,
	.n_routes = ARRAY_LEN(tree_routes),
	.shapes = tree_shapes,
	.n_shapes = ARRAY_LEN(tree_shapes),
	.commands = tree_commands,
	.n_commands = ARRAY_LEN(tree_commands),
	TABLE(settings),
	.metrics = metrics,
};
