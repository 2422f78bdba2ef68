/* Files of runs that come in parts: begin, any parts in any order and again, complete. Nothing of
 * it is visible before complete; what is neither completed nor aborted within a day is forgotten.
 *
 *	struct id id;
 *	e = upload_begin(c, project, path, 3, &id, et);
 *	e = upload_part(c, project, id, 1, bytes, etag, et);  // durable when it returns
 *	e = upload_complete(c, project, id, path, parts, 3, et);
 *
 * Completing again what was completed is no error: an answer may have been lost. Any thread. */
#ifndef RUN_UPLOAD_H
#define RUN_UPLOAD_H
#include "module/module.h"

enum { UPLOAD_PARTS_MAX = 10000 };

struct upload_part {
	int64_t number;
	struct str etag; /* as upload_part said it; "": not compared */
};

enum err upload_begin(struct croft *c, struct str project, struct str path, int64_t parts,
	struct id *id, struct errtext *et) MUST_CHECK;
/* ERR_NOT_FOUND: no such upload; ERR_INVALID: no such part of it. etag: the content's SHA-256. */
enum err upload_part(struct croft *c, struct str project, struct id id, int64_t number,
	struct str data, char etag[SHA256_HEX + 1], struct errtext *et) MUST_CHECK;
/* The parts in this order are the file. ERR_INVALID when one is missing or another was sent. */
enum err upload_complete(struct croft *c, struct str project, struct id id, struct str path,
	const struct upload_part *parts, size_t n, struct errtext *et) MUST_CHECK;
enum err upload_abort(struct croft *c, struct str project, struct id id, struct str path,
	struct errtext *et) MUST_CHECK;

extern const struct module upload_module;

#endif
