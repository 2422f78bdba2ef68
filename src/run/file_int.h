/* What files of runs give to the rest of this folder. */
#ifndef RUN_FILE_INT_H
#define RUN_FILE_INT_H
#include "run/file.h"

/* run_file_remove inside a transaction; the path has been checked. */
enum err run_file_remove_in(
	struct tx *tx, struct str project, struct str path, struct errtext *et) MUST_CHECK;

/* Names a blob that is stored already. */
enum err run_file_put_in(struct tx *tx, struct str project, struct str path, const char *blob,
	int64_t size, struct errtext *et) MUST_CHECK;

#endif
