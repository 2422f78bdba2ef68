/* The client of bench/collections.sh.
 *
 * `bench_collections data FILE ITEMS DIM` writes clustered vectors as .fbin, and queries as
 * FILE.queries.
 *
 * `bench_collections load PORT QUERIES SECONDS CONNECTIONS` asks the collection `bench` through
 * Qdrant's API, one request at a time on each connection, ten hits each; it prints queries a
 * second, p50 and p99 in microseconds, and how much of what exact searches find is found (of the
 * first 200 queries).
 *
 * One thread with epoll, which shares the machine with the server. */
#include "base/clock.h"
#include "base/json.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CENTRES = 2000, QUERIES = 1000, CHECKED = 200, K = 10, IN_MAX = 256 << 10, PEERS = 256 };

static void fail(const char *what)
{
	fprintf(stderr, "bench_collections: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* ---- data: points around centres that are spread evenly ---- */

static uint64_t state = 88172645463325252ull;

static float normal(void)
{
	float sum = 0;
	for (int i = 0; i < 4; i++) {
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		sum += (float)(state >> 40) / (float)(1 << 24) - 0.5f;
	}
	return sum * 1.73f;
}

static void write_rows(const char *path, const float *centres, uint32_t n, uint32_t dim)
{
	FILE *f = fopen(path, "wb");
	uint32_t head[2] = {n, dim};
	float *v = malloc(dim * sizeof *v);
	if (!f || !v || fwrite(head, sizeof head, 1, f) != 1)
		fail(path);
	for (uint32_t i = 0; i < n; i++) {
		const float *c = centres + (size_t)(state % CENTRES) * dim;
		for (uint32_t j = 0; j < dim; j++)
			v[j] = c[j] + 0.5f * normal();
		if (fwrite(v, sizeof *v, dim, f) != dim)
			fail(path);
	}
	fclose(f);
	free(v);
}

static void make_data(const char *path, uint32_t n, uint32_t dim)
{
	char queries[4096];
	float *centres = malloc((size_t)CENTRES * dim * sizeof *centres);
	if (!centres)
		fail("memory");
	for (size_t i = 0; i < (size_t)CENTRES * dim; i++)
		centres[i] = normal();
	write_rows(path, centres, n, dim);
	snprintf(queries, sizeof queries, "%s.queries", path);
	write_rows(queries, centres, QUERIES, dim);
	free(centres);
}

/* ---- requests ---- */

static void request(struct buf *out, const float *v, uint32_t dim, bool exact)
{
	struct buf body = {0};
	struct jw w = {.out = &body};
	jw_obj(&w);
	jw_key(&w, "query");
	jw_arr(&w);
	for (uint32_t i = 0; i < dim; i++)
		jw_f32(&w, v[i]);
	jw_end(&w);
	jw_ki64(&w, "limit", K);
	if (exact) {
		jw_key(&w, "params");
		jw_obj(&w);
		jw_kbool(&w, "exact", true);
		jw_end(&w);
	}
	jw_end(&w);
	buf_addf(out,
		"POST /collections/bench/points/query HTTP/1.1\r\nhost: localhost\r\n"
		"content-type: application/json\r\ncontent-length: %zu\r\n\r\n",
		body.n);
	buf_adds(out, buf_str(&body));
	buf_free(&body);
}

static struct buf *read_queries(const char *path, struct buf *exact)
{
	uint32_t head[2];
	FILE *f = fopen(path, "rb");
	struct buf *all = calloc(QUERIES, sizeof *all);
	if (!f || !all || fread(head, sizeof head, 1, f) != 1)
		fail(path);
	float *v = malloc(head[1] * sizeof *v);
	for (size_t i = 0; i < QUERIES; i++) {
		if (!v || fread(v, sizeof *v, head[1], f) != head[1])
			fail(path);
		request(&all[i], v, head[1], false);
		if (i < CHECKED)
			request(&exact[i], v, head[1], true);
	}
	fclose(f);
	free(v);
	return all;
}

struct peer {
	int fd;
	size_t query;
	uint64_t began;
	char in[IN_MAX];
	size_t n;
};

static int dial(int port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof at))
		fail("connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
	return fd;
}

static void send_all(int fd, struct str s)
{
	while (s.n) {
		ssize_t n = write(fd, s.p, s.n);
		if (n < 0)
			fail("write");
		s = str_sub(s, (size_t)n, s.n);
	}
}

/* The body, once it is whole. */
static bool whole(struct peer *p, struct str *body)
{
	struct str in = str_mk(p->in, p->n);
	size_t head = str_find(in, S("\r\n\r\n")), at = str_find_nocase(in, S("content-length:"));
	if (head == STR_NONE || at == STR_NONE)
		return false;
	size_t length = strtoul(in.p + at + 15, NULL, 10);
	*body = str_sub(in, head + 4, head + 4 + length);
	return body->n == length;
}

static bool receive(struct peer *p, struct str *body)
{
	ssize_t n = read(p->fd, p->in + p->n, IN_MAX - 1 - p->n);
	if (n <= 0)
		fail("the server hung up");
	p->n += (size_t)n;
	p->in[p->n] = 0;
	if (!whole(p, body))
		return false;
	if (strncmp(p->in, "HTTP/1.1 200", 12)) {
		fprintf(stderr, "%.*s\n", (int)MIN(p->n, (size_t)600), p->in);
		exit(1);
	}
	return true;
}

/* ---- how good ---- */

static size_t ids_of(struct peer *p, struct str rq, int64_t ids[K])
{
	struct str body;
	yyjson_doc *doc;
	yyjson_val *v;
	size_t i, n, found = 0;
	p->n = 0;
	send_all(p->fd, rq);
	while (!receive(p, &body))
		;
	if (json_parse(body, &doc, NULL))
		fail("an answer is no JSON");
	yyjson_val *list =
		yyjson_obj_get(yyjson_obj_get(yyjson_doc_get_root(doc), "result"), "points");
	yyjson_arr_foreach(list, i, n, v) if (found < K) ids[found++] = json_i64(v, "id", -1);
	yyjson_doc_free(doc);
	return found;
}

static double recall(struct peer *p, const struct buf *queries, const struct buf *exact)
{
	size_t hit = 0, all = 0;
	for (size_t q = 0; q < CHECKED; q++) {
		int64_t near[K], best[K];
		size_t n = ids_of(p, buf_str(&queries[q]), near),
		       m = ids_of(p, buf_str(&exact[q]), best);
		for (size_t i = 0; i < m; i++)
			for (size_t j = 0; j < n; j++)
				hit += best[i] == near[j];
		all += m;
	}
	return all ? (double)hit / (double)all : 0;
}

/* ---- how fast ---- */

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

static void ask_next(struct peer *p, const struct buf *queries, size_t *next)
{
	p->n = 0;
	p->query = (*next)++ % QUERIES;
	p->began = clock_mono_ns();
	send_all(p->fd, buf_str(&queries[p->query]));
}

static void load(int port, const char *path, double seconds, unsigned connections)
{
	static struct peer peers[PEERS];
	static struct buf exact[CHECKED];
	enum { SAMPLES = 4 << 20 };
	struct buf *queries = read_queries(path, exact);
	double *took = malloc(SAMPLES * sizeof *took);
	size_t n = 0, next = 0;
	int ep = epoll_create1(0);
	if (!took || ep < 0)
		fail("memory");
	peers[0].fd = dial(port);
	double found = recall(&peers[0], queries, exact);
	for (unsigned i = 0; i < connections; i++) {
		if (i)
			peers[i].fd = dial(port);
		struct epoll_event ev = {.events = EPOLLIN, .data.ptr = &peers[i]};
		epoll_ctl(ep, EPOLL_CTL_ADD, peers[i].fd, &ev);
		ask_next(&peers[i], queries, &next);
	}
	uint64_t start = clock_mono_ns(), end = start + (uint64_t)(seconds * 1e9), now = start;
	while (now < end) {
		struct epoll_event ready[64];
		int m = epoll_wait(ep, ready, 64, 1000);
		now = clock_mono_ns();
		for (int i = 0; i < m; i++) {
			struct peer *p = ready[i].data.ptr;
			struct str body;
			if (!receive(p, &body))
				continue;
			if (n < SAMPLES)
				took[n++] = (double)(now - p->began) / 1e3;
			ask_next(p, queries, &next);
		}
	}
	if (!n)
		fail("no answer");
	qsort(took, n, sizeof *took, by_size);
	printf("%.0f %.0f %.0f %.4f\n", (double)n / ((double)(now - start) / 1e9), took[n / 2],
		took[n * 99 / 100], found);
}

int main(int argc, char **argv)
{
	if (argc == 5 && !strcmp(argv[1], "data")) {
		make_data(argv[2], (uint32_t)atoi(argv[3]), (uint32_t)atoi(argv[4]));
		return 0;
	}
	if (argc == 6 && !strcmp(argv[1], "load") && atoi(argv[5]) >= 1 && atoi(argv[5]) <= PEERS) {
		load(atoi(argv[2]), argv[3], atof(argv[4]), (unsigned)atoi(argv[5]));
		return 0;
	}
	fprintf(stderr, "usage: bench_collections data FILE ITEMS DIM\n"
			"       bench_collections load PORT QUERIES SECONDS CONNECTIONS\n");
	return 2;
}
