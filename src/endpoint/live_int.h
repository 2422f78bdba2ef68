/* Rows of live.c, for endpoint_module. */
#ifndef ENDPOINT_LIVE_INT_H
#define ENDPOINT_LIVE_INT_H
#include "module/module.h"

enum { N_LIVE_ROUTES = 3, N_LIVE_SHAPES = 1 };
extern const struct route live_routes[N_LIVE_ROUTES];
extern const struct shape live_shapes[N_LIVE_SHAPES];

#endif
