/* The part of Qdrant's REST API that its clients and the frameworks above them use, over
 * collection/collection.h. See docs/collections.md for what is there and what is refused.
 *
 *	qdrant.c              the rows, errors, the envelope
 *	qdrant_collections.c  collections
 *	qdrant_aliases.c      aliases of collections
 *	qdrant_index.c        indexes of payload fields that were asked for
 *	qdrant_snapshots.c    collections as files
 *	qdrant_server.c       what is asked about the server
 *	qdrant_points.c       changes of points
 *	qdrant_query.c        reading, answers of searches
 *	qdrant_ask.c          kinds of queries, within each other
 *	qdrant_examples.c     what examples say together
 *	qdrant_matrix.c       points near to each other
 *	qdrant_values.c       groups, facets, orders
 *
 * What would change an answer and cannot be done is refused by its name; what tunes storage
 *(shards, replicas, segments, on-disk switches) is taken and has no effect. */
#ifndef API_QDRANT_H
#define API_QDRANT_H
#include "base/clock.h"
#include "collection/item_json.h"
#include "collection/examples.h"
#include "collection/values.h"

extern const struct module qdrant_module;

void qdrant_about(struct http_response *rs); /* what GET / tells programs */

/* The version of the API whose shapes these are; clients compare it with their own. */
#define QDRANT_VERSION "1.19.0"

/* What one request works with. */
struct qd {
	struct croft *c;
	struct http_request *rq;
	struct http_response *rs;
	uint64_t began_ns;
	bool untimed;     /* how long it took is nobody's business */
	yyjson_val *body; /* its root, an object; NULL: none was sent */
	struct errtext et;
};

/* Parses the body into the request's arena. */
enum err qd_begin(struct qd *q, struct croft *c, struct http_request *rq, struct http_response *rs);
/* A writer inside "result"; qd_end closes it and answers. */
void qd_result(struct qd *q, struct jw *w, struct buf *b);
void qd_end(struct qd *q, struct jw *w);
void qd_true(struct qd *q);
void qd_fail(struct qd *q, enum err e);
/* {"operation_id", "status": "completed"} */
void qd_changed(struct qd *q, enum err e, int64_t seq);
enum err qd_open(struct qd *q, struct collection **out);
/* Opens the collection of the address, lets fn write the result, answers. */
void qd_answer(struct croft *c, struct http_request *rq, struct http_response *rs,
	enum err (*fn)(struct qd *q, struct collection *k, struct jw *result));

/* ---- queries ---- */

struct qd_asked {
	yyjson_val *payload, *vectors;    /* what is wanted of the hits */
	struct item_hit *hits;            /* best first, from the offset on */
	struct cond_number *order_values; /* what each stands for; NULL: nothing */
	size_t n;
};

struct qd_grouped {
	yyjson_val *payload, *vectors;
	struct hit_group *groups;
	size_t n;
};

/* The body of points/query: a vector, the id of a point, examples, fusion of other queries. */
enum err qd_ask(struct qd *q, struct collection *k, yyjson_val *o, struct qd_asked *out);
/* The bodies of points/recommend and points/discover, of clients before queries. */
enum err qd_ask_recommend(struct qd *q, struct collection *k, yyjson_val *o, struct qd_asked *out);
enum err qd_ask_discover(struct qd *q, struct collection *k, yyjson_val *o, struct qd_asked *out);
/* The body of points/search. */
enum err qd_ask_search(struct qd *q, struct collection *k, yyjson_val *o, struct qd_asked *out);

/* Vectors of one space that the hits should be near to, and those that they should not. */
struct qd_examples {
	const struct space *space;
	struct item_vector *positive, *negative;
	size_t n_positive, n_negative;
};
enum err qd_examples_check(struct qd *q, const struct collection *k, const struct qd_examples *ex);
enum err qd_examples_mean(struct qd *q, const struct collection *k, const struct qd_examples *ex,
	struct item_vector *out);

enum qd_groups { QD_GROUPS_QUERY, QD_GROUPS_SEARCH, QD_GROUPS_RECOMMEND };
/* The body of points/query/groups, points/search/groups, points/recommend/groups. */
enum err qd_ask_groups(
	struct qd *q, struct collection *k, enum qd_groups of, struct qd_grouped *out);
/* A field, or {key, direction, start_from}. */
enum err qd_order_by(struct qd *q, yyjson_val *v, struct item_order *out);
/* The member payload_schema of a collection: the indexes that were asked for. */
enum err qd_write_indexes(struct qd *q, struct str collection, struct jw *w);
void qd_write_hit(struct jw *w, const struct item_hit *h, yyjson_val *payload, yyjson_val *vectors,
	const struct cond_number *order_value);

/* ---- rows ---- */

void qd_collections(struct croft *c, struct http_request *rq, struct http_response *rs);
void qd_collection(struct croft *c, struct http_request *rq, struct http_response *rs);
void qd_exists(struct croft *c, struct http_request *rq, struct http_response *rs);
void qd_create(struct croft *c, struct http_request *rq, struct http_response *rs);
void qd_update(struct croft *c, struct http_request *rq, struct http_response *rs);
void qd_delete(struct croft *c, struct http_request *rq, struct http_response *rs);
void qd_snapshots(struct croft *c, struct http_request *rq, struct http_response *rs);
void qd_snapshot_make(struct croft *c, struct http_request *rq, struct http_response *rs);
void qd_snapshot_get(struct croft *c, struct http_request *rq, struct http_response *rs);
void qd_snapshot_drop(struct croft *c, struct http_request *rq, struct http_response *rs);
void qd_snapshot_recover(struct croft *c, struct http_request *rq, struct http_response *rs);
void qd_snapshot_upload(struct croft *c, struct http_request *rq, struct http_response *rs);
void qd_aliases(struct croft *c, struct http_request *rq, struct http_response *rs);
void qd_aliases_of(struct croft *c, struct http_request *rq, struct http_response *rs);
void qd_change_aliases(struct croft *c, struct http_request *rq, struct http_response *rs);
void qd_index(struct croft *c, struct http_request *rq, struct http_response *rs);
void qd_cluster(struct croft *c, struct http_request *rq, struct http_response *rs);
void qd_issues(struct croft *c, struct http_request *rq, struct http_response *rs);
void qd_collection_cluster(struct croft *c, struct http_request *rq, struct http_response *rs);
void qd_optimizations(struct croft *c, struct http_request *rq, struct http_response *rs);
void qd_shard_keys(struct croft *c, struct http_request *rq, struct http_response *rs);
void qd_recommend(struct croft *c, struct http_request *rq, struct http_response *rs);
void qd_recommend_batch(struct croft *c, struct http_request *rq, struct http_response *rs);
void qd_recommend_groups(struct croft *c, struct http_request *rq, struct http_response *rs);
void qd_discover(struct croft *c, struct http_request *rq, struct http_response *rs);
void qd_discover_batch(struct croft *c, struct http_request *rq, struct http_response *rs);
void qd_index_drop(struct croft *c, struct http_request *rq, struct http_response *rs);
void qd_upsert(struct croft *c, struct http_request *rq, struct http_response *rs);
void qd_remove(struct croft *c, struct http_request *rq, struct http_response *rs);
void qd_put_vectors(struct croft *c, struct http_request *rq, struct http_response *rs);
void qd_remove_vectors(struct croft *c, struct http_request *rq, struct http_response *rs);
void qd_set_payload(struct croft *c, struct http_request *rq, struct http_response *rs);
void qd_overwrite_payload(struct croft *c, struct http_request *rq, struct http_response *rs);
void qd_remove_payload(struct croft *c, struct http_request *rq, struct http_response *rs);
void qd_clear_payload(struct croft *c, struct http_request *rq, struct http_response *rs);
void qd_batch(struct croft *c, struct http_request *rq, struct http_response *rs);
void qd_point(struct croft *c, struct http_request *rq, struct http_response *rs);
void qd_retrieve(struct croft *c, struct http_request *rq, struct http_response *rs);
void qd_scroll(struct croft *c, struct http_request *rq, struct http_response *rs);
void qd_count(struct croft *c, struct http_request *rq, struct http_response *rs);
void qd_search(struct croft *c, struct http_request *rq, struct http_response *rs);
void qd_search_batch(struct croft *c, struct http_request *rq, struct http_response *rs);
void qd_query(struct croft *c, struct http_request *rq, struct http_response *rs);
void qd_query_groups(struct croft *c, struct http_request *rq, struct http_response *rs);
void qd_search_groups(struct croft *c, struct http_request *rq, struct http_response *rs);
void qd_facet(struct croft *c, struct http_request *rq, struct http_response *rs);
void qd_matrix_pairs(struct croft *c, struct http_request *rq, struct http_response *rs);
void qd_matrix_offsets(struct croft *c, struct http_request *rq, struct http_response *rs);
void qd_query_batch(struct croft *c, struct http_request *rq, struct http_response *rs);

#endif
