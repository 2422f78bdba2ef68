/* The rows of collections. */
#include "collection/collection_int.h"

const struct module collection_module = {
	.name = "collection",
	.migrations = collection_migrations,
	.n_migrations = 1,
	.init = collections_init,
	.start = collections_start,
	.stop = collections_stop,
};
