/* The program: which modules there are, the server's life, the pages. */
#ifndef APP_APP_H
#define APP_APP_H
#include "module/cmd.h"

extern const struct module *const app_modules[]; /* in floor order; the one list */
extern const size_t app_n_modules;

extern const struct module app_module;

/* `croft up`: opens the instance, listens, ends at SIGINT or SIGTERM. */
enum err up_run(struct cmd *cmd, struct errtext *et);

/* backup.c: `croft backup`, `croft restore`, `croft migrate` and the route they need. */
void get_backup(struct croft *c, struct http_request *rq, struct http_response *rs);
enum err run_backup(struct cmd *cmd, struct errtext *et);
enum err run_restore(struct cmd *cmd, struct errtext *et);
enum err run_migrate(struct cmd *cmd, struct errtext *et);
extern const struct option migrate_options[2];

struct server;
void app_set_server(struct croft *c, struct server *s);

#endif
