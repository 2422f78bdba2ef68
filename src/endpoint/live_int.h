/* Rows of live.c, plan.c, bench.c and bench_cmd.c, for endpoint_module. */
#ifndef ENDPOINT_LIVE_INT_H
#define ENDPOINT_LIVE_INT_H
#include "module/module.h"

enum { N_LIVE_ROUTES = 5, N_LIVE_SHAPES = 1, N_BENCH_OPTIONS = 4, N_PLAN_OPTIONS = 4 };
extern const struct route live_routes[N_LIVE_ROUTES];
extern const struct shape live_shapes[N_LIVE_SHAPES];

void get_plan(struct croft *c, struct http_request *rq, struct http_response *rs);
extern const struct option plan_options[N_PLAN_OPTIONS];
enum err run_plan(struct cmd *cmd, struct errtext *et);

void post_bench(struct croft *c, struct http_request *rq, struct http_response *rs);
extern const struct option bench_options[N_BENCH_OPTIONS];
enum err run_bench(struct cmd *cmd, struct errtext *et);

#endif
