/* The command line: arguments to a command of some module's table, its API calls to a running
 * server or, when none has the data directory open, to this process itself. Help and completion
 * are derived from the same tables. */
#ifndef CLI_CLI_H
#define CLI_CLI_H
#include "module/cmd.h"

/* Runs one command; returns the process's exit code (err_exit of its error). */
int cli_main(const struct module *const *modules, size_t n_modules, int argc, char **argv);

/* Commands that need the whole table: help, completion. In a module of their own. */
extern const struct module cli_module;

#endif
