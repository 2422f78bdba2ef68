/* A Run: a thing that happened, as a tree of spans with inputs, outputs, attributes and timings.
 * Spans are stored when they open and again when they close, so that a run is visible while it
 * happens; writing is batched on one thread and never slows the work down: when the queue is full,
 * the caller waits. After a crash, runs that were open are marked interrupted at the next start.
 *
 *	struct run *r = run_begin(c, project_of(rq), "ask", "What is ...?");
 *	struct span *s = span_begin(r, NULL, "retrieve", "retriever");
 *	span_i64(s, "hits", 8);
 *	span_json(s, "output", hits_json);
 *	span_end(s, OK, NULL);
 *	run_end(r, OK, NULL);
 */
#ifndef RUN_RUN_H
#define RUN_RUN_H
#include "module/module.h"

extern const struct module run_module;
extern const struct module exec_module; /* `croft run`, `croft reproduce` */

struct run;
struct span;

/* Only requests in `project` see it (empty: "default"). kind: "ask", "chat", "embedding", "ingest",
 * "search", ... NULL is returned when memory is out; every function accepts a NULL run or span and
 * does nothing. */
struct run *run_begin(struct croft *c, struct str project, const char *kind, struct str name);
struct id run_id(const struct run *r);
struct span *span_begin(struct run *r, struct span *parent, const char *name, const char *kind);
void span_i64(struct span *s, const char *key, int64_t v);
void span_f64(struct span *s, const char *key, double v);
void span_text(struct span *s, const char *key, struct str v);
void span_json(
	struct span *s, const char *key, struct str json); /* "input" and "output" show first */
void span_end(struct span *s, enum err e, const struct errtext *et); /* frees */
void run_i64(struct run *r, const char *key, int64_t v);             /* of the run as a whole */
void run_f64(struct run *r, const char *key, double v);
void run_text(struct run *r, const char *key, struct str v);
void run_json(struct run *r, const char *key, struct str json);
void run_end(struct run *r, enum err e, const struct errtext *et); /* ends open spans; frees */
enum err run_flush(struct croft *c, struct errtext *et);           /* everything so far is stored */

#endif
