/* The module of trees. It stands beside the registry, whose versions name trees by their digest. */
#include "artifact/artifact.h"
#include "artifact/tree_int.h"

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
};
