/* The file beside saved indexes that says which items there are: the id of each number, and for
 * each space of lists how many vectors every item has. It is read whole and believed in nothing. */
#ifndef COLLECTION_IDS_FILE_H
#define COLLECTION_IDS_FILE_H
#include "collection/collection.h"

/* As struct collection has them. */
struct ids_file {
	uint64_t mark; /* changes up to this one are in it at least */
	size_t *id_at; /* by num: where in bytes, + 1; 0: not alive */
	size_t n_nums, live;
	struct buf bytes; /* a length, then the bytes */
	struct ids_lists {
		bool there;
		uint32_t most;    /* that an item ever had */
		uint16_t *n_rows; /* by num */
		size_t n;
	} lists[COLLECTION_SPACES_MAX]; /* by place */
};

/* ERR_NOMEM by out->err. */
void ids_file_write(const struct ids_file *f, struct buf *out);
/* ERR_CORRUPT, ERR_UNSUPPORTED (another version), ERR_NOMEM; no number may be above max_num. What
 * it gives is freed with ids_file_free, or part by part by who takes it over and sets it to 0. */
enum err ids_file_read(
	struct str bytes, uint64_t max_num, struct ids_file *out, struct errtext *et) MUST_CHECK;
void ids_file_free(struct ids_file *f);

#endif
