/* The module of experiments: Croft's own routes and commands. What they stand on is run/track.h,
 * kept by run_module. */
#ifndef RUN_EXPERIMENT_H
#define RUN_EXPERIMENT_H
#include "module/module.h"

extern const struct module experiment_module;
extern const struct module run_data_module;  /* what runs used and produced */
extern const struct module retention_module; /* what becomes of them: retain_int.h */
extern const struct command experiment_commands[7];

struct cmd;
/* Prints what differs from the code of one recorded run to that of another. */
enum err runs_code_diff(struct cmd *cmd, struct str a, struct str b, struct errtext *et) MUST_CHECK;

#endif
