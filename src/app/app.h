/* The program: which modules there are, the server's life, the pages. */
#ifndef APP_APP_H
#define APP_APP_H
#include "module/cmd.h"

extern const struct module *const app_modules[]; /* in floor order; the one list */
extern const size_t app_n_modules;

extern const struct module app_module;

/* `croft up`: opens the instance, listens, ends at SIGINT or SIGTERM. */
enum err up_run(struct cmd *cmd, struct errtext *et);

struct server;
void app_set_server(struct croft *c, struct server *s);

#endif
