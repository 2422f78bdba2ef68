/* The module's rows. */
#include "access/access_int.h"

const struct module access_module = {
	.name = "access",
	.migrations = &audit_migrations_sql,
	.n_migrations = 1,
	.routes = audit_routes,
	.n_routes = N_AUDIT_ROUTES,
	.shapes = audit_shapes,
	.n_shapes = 1,
	.commands = audit_commands,
	.n_commands = N_AUDIT_COMMANDS,
};
