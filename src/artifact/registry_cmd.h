/* What the registry's commands share. */
#ifndef ARTIFACT_REGISTRY_CMD_H
#define ARTIFACT_REGISTRY_CMD_H
#include "artifact/registry_int.h"
#include "module/cmd.h"

#define OPTIONS(t) t, ARRAY_LEN(t)

struct answer {
	struct buf body;
	yyjson_doc *doc;
	yyjson_val *root;
};

void answer_free(struct answer *r);
/* Calls and parses. With `show` and --json the answer is printed, and root stays NULL. */
enum err reg_api(struct cmd *cmd, enum http_method method, const struct buf *path, struct str json,
	bool show, struct answer *out, struct errtext *et) MUST_CHECK;
void add_query(struct buf *path, const char *name, struct str value); /* .p NULL: nothing */
void add_times(struct cmd *cmd, struct buf *path);                    /* --as-of, --known-at */

/* A reference of the command line; path: /api/v1/artifacts/KIND/NAME (free it, whatever comes). */
struct target {
	struct ref ref;
	char kind[64];
	struct buf path; /* /api/v1/artifacts/KIND/NAME */
};

enum err target(struct cmd *cmd, struct str text, struct target *t, struct errtext *et) MUST_CHECK;
void add_version(struct buf *path, const struct ref *r); /* "/3", "/prod", "/latest" */
enum err want_args(struct cmd *cmd, size_t n, const char *usage, struct errtext *et) MUST_CHECK;

void print_time(struct cmd *cmd, struct str t);
void print_field(struct cmd *cmd, const char *name, struct str value); /* nothing when empty */

/* `croft artifact verify REF`: the files against what was signed. */
enum err verify_version(struct cmd *cmd, struct errtext *et) MUST_CHECK;

#endif
