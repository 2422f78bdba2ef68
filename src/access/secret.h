/* Secrets: named values of a project (keys of providers, tokens), encrypted at rest.
 *
 * Each value has a key of its own (AES-256-GCM, project and name authenticated); that key is
 *wrapped with the master key, which comes from a file, an environment variable or a command
 *(settings secret.key_*), else from the file secret.key in the data directory, made at the first
 *use. Master keys are read when they are needed and wiped at once. Values are write-only over the
 *API; in the program they are read here, by those who send them on:
 *
 *	struct buf token = {0};
 *	enum err e = secret_get(c, project, S("huggingface"), &token, et);
 *	...
 *	secret_wipe(&token);
 *
 * A setting may say secret:NAME instead of a value: read it with setting_secret (module.h). */
#ifndef ACCESS_SECRET_H
#define ACCESS_SECRET_H
#include "module/module.h"

extern const struct module secret_module;

enum { SECRET_MAX = 64 << 10, SECRET_NAME_MAX = 100 };

/* ERR_NOT_FOUND; ERR_CORRUPT: changed, or of another project or name; ERR_NOT_READY: the master key
 * is not there. Appends to out. Any thread. */
enum err secret_get(struct croft *c, struct str project, struct str name, struct buf *out,
	struct errtext *et) MUST_CHECK;
/* Adds or replaces; removes (ERR_NOT_FOUND). In a transaction of their own, with a line in the
 * audit log. A name has letters, digits, '.', '_' and '-'. */
enum err secret_set(struct croft *c, const struct principal *who, struct str project,
	struct str name, struct str value, struct errtext *et) MUST_CHECK;
enum err secret_remove(struct croft *c, const struct principal *who, struct str project,
	struct str name, struct errtext *et) MUST_CHECK;
/* Overwrites the bytes, then buf_free. */
void secret_wipe(struct buf *b);

#endif
