/* How fast a tracking server is, through MLflow's REST interface: the same requests to Croft and to
 * `mlflow server` (bench/tracking.sh starts both and prints the ratios).
 *
 *	bench_tracking HOST:PORT fill          10,000 runs x 50 metrics, a 1,000,000-point series,
 *	                                       50 runs x 4 series of 1,000 points, through the API
 *	bench_tracking HOST:PORT measure [S]   the five items, S seconds for each rate; lines
 *	                                       "item value"
 *	bench_tracking null measure            the same against a process that only says {}: what
 *	                                       this generator itself can do
 *
 * A thread for each connection, one request at a time, bodies made before the clock starts (only
 * digits of times and steps are written into them in between). */
#include "base/clock.h"
#include "base/json.h"
#include "base/thread.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	RUNS = 10000,
	METRICS = 50,
	LONG = 1000000,
	COMPARED = 50,
	SERIES = 4,
	SERIES_POINTS = 1000,
	BATCH = 1000,
	BATCH_KEYS = 50,
	CREATORS = 32,
	LOGGERS = 8,
	BROWSER = 6,
	PAGE = 25000,
};

static struct sockaddr_in address;
static const char *experiment_id; /* of the filled one */

/* ---- one connection ---- */

struct conn {
	int fd;
	struct buf in, out;
	size_t at, n; /* the body of the last answer in `in` */
	int status;
};

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void conn_open(struct conn *c)
{
	int one = 1;
	c->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&address, sizeof address))
		die("connect");
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

static void conn_close(struct conn *c)
{
	close(c->fd);
	buf_free(&c->in);
	buf_free(&c->out);
}

/* false: the server closed the connection. */
static bool read_some(struct conn *c)
{
	char *to = buf_reserve(&c->in, 1 << 16);
	ssize_t n = to ? read(c->fd, to, 1 << 16) : -1;
	if (n <= 0)
		return false;
	c->in.n += (size_t)n;
	return true;
}

static void read_more(struct conn *c)
{
	if (!read_some(c))
		die("the server closed the connection");
}

static size_t header_end(struct conn *c)
{
	size_t end;
	while ((end = str_find(buf_str(&c->in), S("\r\n\r\n"))) == STR_NONE)
		read_more(c);
	return end + 4;
}

static void need_bytes(struct conn *c, size_t n)
{
	while (c->in.n < n)
		read_more(c);
}

/* The chunks of a body, moved together; returns where the body ends. */
static size_t dechunk(struct conn *c, size_t at)
{
	size_t to = at, from = at;
	for (;;) {
		size_t line;
		while ((line = str_find(str_sub(buf_str(&c->in), from, c->in.n), S("\r\n"))) ==
			STR_NONE)
			read_more(c);
		size_t n = strtoul(c->in.p + from, NULL, 16);
		from += line + 2;
		need_bytes(c, from + n + 2);
		memmove(c->in.p + to, c->in.p + from, n);
		to += n;
		from += n + 2;
		if (!n)
			return to;
	}
}

static bool send_all(struct conn *c)
{
	for (size_t at = 0; at < c->out.n;) {
		ssize_t n = write(c->fd, c->out.p + at, c->out.n - at);
		if (n <= 0)
			return false;
		at += (size_t)n;
	}
	return true;
}

static struct str request(struct conn *c, const char *method, const char *path, struct str body)
{
	buf_clear(&c->out);
	buf_addf(&c->out,
		"%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
		"Content-Length: %zu\r\n\r\n",
		method, path, body.n);
	buf_adds(&c->out, body);
	buf_clear(&c->in);
	/* a server may close a connection that was idle: once more on a new one */
	for (int tries = 0; !send_all(c) || !read_some(c); tries++) {
		if (tries == 2)
			die("the server closes every connection");
		close(c->fd);
		conn_open(c);
	}
	size_t at = header_end(c), end;
	struct str head = str_mk(c->in.p, at);
	c->status = atoi(c->in.p + 9);
	size_t length = str_find_nocase(head, S("\ncontent-length:"));
	if (length != STR_NONE) {
		end = at + strtoul(head.p + length + 16, NULL, 10);
		need_bytes(c, end);
	} else {
		end = dechunk(c, at);
	}
	if (c->status != 200) {
		fprintf(stderr, "%s: %.*s\n", path, (int)(end - at), c->in.p + at);
		exit(1);
	}
	return str_mk(c->in.p + at, end - at);
}

/* A text member, found without parsing: "run_id": "..." */
static void member(struct str json, const char *name, char *out, size_t size)
{
	struct buf key = {0};
	buf_addf(&key, "\"%s\"", name);
	size_t at = str_find(json, buf_str(&key));
	if (at == STR_NONE) {
		fprintf(stderr, "no %s in %.*s\n", name, (int)MIN(json.n, (size_t)200), json.p);
		exit(1);
	}
	at += key.n;
	buf_free(&key);
	while (json.p[at] != '"')
		at++;
	size_t n = 0;
	for (at++; json.p[at] != '"' && n + 1 < size; at++)
		out[n++] = json.p[at];
	out[n] = 0;
}

/* ---- the things of the interface ---- */

static void make_experiment(struct conn *c, char id[32])
{
	struct buf b = {0};
	buf_addf(&b, "{\"name\":\"bench-%llu\"}", (unsigned long long)clock_unix_ns());
	member(request(c, "POST", "/api/2.0/mlflow/experiments/create", buf_str(&b)),
		"experiment_id", id, 32);
	buf_free(&b);
}

static void make_run(struct conn *c, const char *experiment, char id[40])
{
	struct buf b = {0};
	buf_addf(&b,
		"{\"experiment_id\":\"%s\",\"user_id\":\"bench\",\"start_time\":%lld,\"run_name\":"
		"\"r\",\"tags\":[{\"key\":\"mlflow.user\",\"value\":\"bench\"},{\"key\":"
		"\"mlflow.source.name\",\"value\":\"train.py\"}]}",
		experiment, (long long)clock_unix_ms());
	member(request(c, "POST", "/api/2.0/mlflow/runs/create", buf_str(&b)), "run_id", id, 40);
	buf_free(&b);
}

/* A batch whose times and steps have places of fixed width, to be written again and again. */
struct batch {
	struct buf body;
	size_t ms[BATCH], step[BATCH], n;
};

static void digits(char *to, int width, long long v)
{
	for (int i = width - 1; i >= 0; i--, v /= 10)
		to[i] = (char)('0' + v % 10);
}

static void batch_make(struct batch *b, const char *run, size_t n, size_t keys)
{
	buf_clear(&b->body);
	buf_addf(&b->body, "{\"run_id\":\"%s\",\"metrics\":[", run);
	for (size_t i = 0; i < n; i++) {
		buf_addf(&b->body,
			"%s{\"key\":\"metric_%02zu\",\"value\":%.15g,\"timestamp\":", i ? "," : "",
			i % keys, (double)(i * 7919 % 10007) / 10007);
		b->ms[i] = b->body.n;
		buf_addc(&b->body, "1700000000000,\"step\":");
		b->step[i] = b->body.n;
		buf_addc(&b->body, "100000000}");
	}
	buf_addc(&b->body, "]}");
	b->n = n;
}

static void batch_number(struct batch *b, long long first, size_t keys)
{
	for (size_t i = 0; i < b->n; i++) {
		long long step = first + (long long)(i / keys);
		digits(b->body.p + b->ms[i], 13, 1700000000000 + step);
		digits(b->body.p + b->step[i], 9, 100000000 + step);
	}
}

static void log_batch(struct conn *c, struct batch *b)
{
	request(c, "POST", "/api/2.0/mlflow/runs/log-batch", buf_str(&b->body));
}

/* ---- filling ---- */

struct filler {
	unsigned number, n;
	char experiment[32];
};

static void *fill_runs(void *arg)
{
	struct filler *f = arg;
	struct conn c = {0};
	conn_open(&c);
	for (unsigned i = f->number; i < RUNS; i += f->n) {
		char run[40];
		struct buf b = {0};
		make_run(&c, f->experiment, run);
		buf_addf(&b,
			"{\"run_id\":\"%s\",\"params\":[{\"key\":\"p\",\"value\":\"%u\"}],"
			"\"metrics\":[",
			run, i % 10);
		for (unsigned k = 0; k < METRICS; k++)
			buf_addf(&b,
				"%s{\"key\":\"metric_%02u\",\"value\":%.15g,\"timestamp\":1,"
				"\"step\":1}",
				k ? "," : "", k,
				(double)((i + 1) * (k + 7) * 7919 % 10007) / 10007);
		buf_addc(&b, "]}");
		request(&c, "POST", "/api/2.0/mlflow/runs/log-batch", buf_str(&b));
		buf_free(&b);
	}
	conn_close(&c);
	return NULL;
}

static void fill(void)
{
	enum { N = 16 };
	struct conn c = {0};
	char experiment[32], compared[32], run[40];
	struct filler f[N];
	pthread_t t[N];
	struct batch *b = calloc(1, sizeof *b);
	conn_open(&c);
	make_experiment(&c, experiment);
	for (unsigned i = 0; i < N; i++) {
		f[i] = (struct filler){.number = i, .n = N};
		memcpy(f[i].experiment, experiment, sizeof experiment);
		pthread_create(&t[i], NULL, fill_runs, &f[i]);
	}
	for (unsigned i = 0; i < N; i++)
		pthread_join(t[i], NULL);
	make_experiment(&c, compared);
	for (unsigned i = 0; i < COMPARED; i++) {
		make_run(&c, compared, run);
		for (unsigned k = 0; k < SERIES; k++) {
			batch_make(b, run, BATCH, SERIES);
			batch_number(b, k * (BATCH / SERIES), SERIES);
			log_batch(&c, b);
		}
	}
	make_run(&c, compared, run);
	for (unsigned i = 0; i < LONG / BATCH; i++) {
		if (!i)
			batch_make(b, run, BATCH, 1);
		batch_number(b, (long long)i * BATCH, 1);
		log_batch(&c, b);
	}
	printf("%s %s %s\n", experiment, compared, run);
	buf_free(&b->body);
	free(b);
	conn_close(&c);
}

/* ---- rates ---- */

struct rate {
	uint64_t until_ns, count;
	char experiment[32];
	pthread_t thread;
};

static void *create_loop(void *arg)
{
	struct rate *r = arg;
	struct conn c = {0};
	char run[40];
	conn_open(&c);
	while (clock_mono_ns() < r->until_ns) {
		make_run(&c, r->experiment, run);
		r->count++;
	}
	conn_close(&c);
	return NULL;
}

static void *batch_loop(void *arg)
{
	struct rate *r = arg;
	struct conn c = {0};
	struct batch *b = calloc(1, sizeof *b);
	char run[40];
	conn_open(&c);
	make_run(&c, r->experiment, run);
	batch_make(b, run, BATCH, BATCH_KEYS);
	for (long long step = 0; clock_mono_ns() < r->until_ns; step += BATCH / BATCH_KEYS) {
		batch_number(b, step, BATCH_KEYS);
		log_batch(&c, b);
		r->count += BATCH;
	}
	buf_free(&b->body);
	free(b);
	conn_close(&c);
	return NULL;
}

static double rate(void *(*fn)(void *), unsigned n, double seconds)
{
	struct conn c = {0};
	struct rate r[64] = {0};
	char experiment[32];
	uint64_t start, count = 0;
	conn_open(&c);
	make_experiment(&c, experiment);
	conn_close(&c);
	start = clock_mono_ns();
	for (unsigned i = 0; i < n; i++) {
		memcpy(r[i].experiment, experiment, sizeof experiment);
		r[i].until_ns = start + (uint64_t)(seconds * 1e9);
		pthread_create(&r[i].thread, NULL, fn, &r[i]);
	}
	for (unsigned i = 0; i < n; i++) {
		pthread_join(r[i].thread, NULL);
		count += r[i].count;
	}
	return (double)count / ((double)(clock_mono_ns() - start) / 1e9);
}

/* ---- latencies ---- */

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

/* The median in ms of as many calls as fit into `seconds`, at least 3. */
static double median(void (*fn)(void), double seconds)
{
	enum { MAX_CALLS = 2000 };
	static double v[MAX_CALLS];
	size_t n = 0;
	uint64_t start = clock_mono_ns();
	while (n < MAX_CALLS && (n < 3 || clock_mono_ns() - start < (uint64_t)(seconds * 1e9))) {
		uint64_t t0 = clock_mono_ns();
		fn();
		v[n++] = (double)(clock_mono_ns() - t0) / 1e6;
	}
	qsort(v, n, sizeof *v, by_value);
	return v[n / 2];
}

static struct conn shared;
static struct buf search_body;
static char long_run[40], compared_runs[COMPARED][40];
static size_t checked;

static void search(void)
{
	struct str s =
		request(&shared, "POST", "/api/2.0/mlflow/runs/search", buf_str(&search_body));
	checked = 0;
	for (size_t at = 0, k; (k = str_find(str_sub(s, at, s.n), S("\"run_id\""))) != STR_NONE;
		at += k + 8)
		checked++;
}

static void history(void)
{
	char path[300], token[64] = "";
	checked = 0;
	do {
		snprintf(path, sizeof path,
			"/api/2.0/mlflow/metrics/get-history?run_id=%s&metric_key=metric_00&"
			"max_results=%d%s%s",
			long_run, PAGE, *token ? "&page_token=" : "", token);
		struct str s = request(&shared, "GET", path, S(""));
		checked += PAGE;
		if (str_find(str_sub(s, s.n < 300 ? 0 : s.n - 300, s.n), S("next_page_token")) ==
			STR_NONE)
			return;
		member(str_sub(s, s.n < 300 ? 0 : s.n - 300, s.n), "next_page_token", token,
			sizeof token);
	} while (checked < 2 * LONG);
}

/* What MLflow's own page asks for to compare runs: each run, and each chart for all of them. */
static void *compare_part(void *arg)
{
	size_t me = (size_t)(uintptr_t)arg;
	struct conn c = {0};
	struct buf path = {0};
	conn_open(&c);
	for (size_t i = me; i < COMPARED + SERIES; i += BROWSER) {
		buf_clear(&path);
		if (i < COMPARED) {
			buf_addf(&path, "/api/2.0/mlflow/runs/get?run_id=%s", compared_runs[i]);
		} else {
			buf_addf(&path,
				"/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval?"
				"metric_key=metric_%02zu&max_results=320",
				i - COMPARED);
			for (size_t k = 0; k < COMPARED; k++)
				buf_addf(&path, "&run_ids=%s", compared_runs[k]);
		}
		request(&c, "GET", buf_c(&path), S(""));
	}
	buf_free(&path);
	conn_close(&c);
	return NULL;
}

static void compare(void)
{
	pthread_t t[BROWSER];
	for (size_t i = 0; i < BROWSER; i++)
		pthread_create(&t[i], NULL, compare_part, (void *)(uintptr_t)i);
	for (size_t i = 0; i < BROWSER; i++)
		pthread_join(t[i], NULL);
}

static void find_compared(const char *compared)
{
	struct buf b = {0};
	buf_addf(&b,
		"{\"experiment_ids\":[\"%s\"],\"max_results\":%d,\"filter\":"
		"\"metrics.metric_01 >= 0\"}",
		compared, COMPARED);
	struct str s = request(&shared, "POST", "/api/2.0/mlflow/runs/search", buf_str(&b));
	for (size_t i = 0, at = 0; i < COMPARED; i++) {
		size_t k = str_find(str_sub(s, at, s.n), S("\"run_id\""));
		if (k == STR_NONE) {
			fprintf(stderr, "only %zu runs to compare\n", i);
			exit(1);
		}
		member(str_sub(s, at + k, s.n), "run_id", compared_runs[i], 40);
		at += k + 8;
	}
	buf_free(&b);
}

static void measure(double seconds, char *const ids[3])
{
	printf("create_per_s %.1f\n", rate(create_loop, CREATORS, seconds));
	fflush(stdout);
	printf("points_per_s %.0f\n", rate(batch_loop, LOGGERS, seconds));
	fflush(stdout);
	if (!ids)
		return;
	conn_open(&shared);
	experiment_id = ids[0];
	snprintf(long_run, sizeof long_run, "%s", ids[2]);
	buf_addf(&search_body,
		"{\"experiment_ids\":[\"%s\"],\"filter\":\"metrics.metric_07 > 0.5 and params.p = "
		"'3'\",\"order_by\":[\"metrics.metric_01 DESC\"],\"max_results\":100}",
		experiment_id);
	printf("search_100_ms %.3f\n", median(search, seconds));
	fprintf(stderr, "# %zu runs on the page\n", checked);
	buf_clear(&search_body);
	buf_addf(&search_body,
		"{\"experiment_ids\":[\"%s\"],\"filter\":\"metrics.metric_07 > 0.5\",\"order_by\":"
		"[\"metrics.metric_01 DESC\"],\"max_results\":1000}",
		experiment_id);
	printf("search_1000_ms %.3f\n", median(search, seconds));
	fprintf(stderr, "# %zu runs on the page\n", checked);
	fflush(stdout);
	printf("history_1m_ms %.1f\n", median(history, seconds));
	fprintf(stderr, "# %zu points\n", checked);
	fflush(stdout);
	find_compared(ids[1]);
	printf("compare_50_ms %.3f\n", median(compare, seconds));
}

/* ---- the process that only says {} ---- */

static void *null_connection(void *arg)
{
	static const char answer[] =
		"HTTP/1.1 200 OK\r\nContent-Length: 51\r\n\r\n"
		"{\"experiment_id\":\"1\", \"run_id\":\"0123456789abcdef012\"}";
	struct conn c = {.fd = (int)(intptr_t)arg};
	for (;;) {
		size_t end;
		buf_clear(&c.in);
		while ((end = str_find(buf_str(&c.in), S("\r\n\r\n"))) == STR_NONE) {
			char *to = buf_reserve(&c.in, 1 << 16);
			ssize_t n = read(c.fd, to, 1 << 16);
			if (n <= 0) {
				conn_close(&c);
				return NULL;
			}
			c.in.n += (size_t)n;
		}
		size_t length = str_find(buf_str(&c.in), S("Content-Length: "));
		need_bytes(&c, end + 4 + strtoul(c.in.p + length + 16, NULL, 10));
		if (write(c.fd, answer, sizeof answer - 1) < 0)
			return NULL;
	}
}

static void null_server(void)
{
	socklen_t n = sizeof address;
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 128) ||
		getsockname(fd, (struct sockaddr *)&address, &n))
		die("bind");
	if (fork()) {
		close(fd);
		return;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		pthread_t t;
		int c = accept(fd, NULL, NULL);
		if (c >= 0 && !pthread_create(&t, NULL, null_connection, (void *)(intptr_t)c))
			pthread_detach(t);
	}
}

int main(int argc, char **argv)
{
	const char *colon = argc > 2 ? strrchr(argv[1], ':') : NULL;
	if (argc < 3 || (!colon && strcmp(argv[1], "null") != 0)) {
		fprintf(stderr, "usage: bench_tracking HOST:PORT|null fill|measure [SECONDS "
				"[EXPERIMENT COMPARED RUN]]\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	if (colon) {
		address.sin_family = AF_INET;
		address.sin_port = htons((uint16_t)atoi(colon + 1));
		address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	} else {
		null_server();
	}
	if (strcmp(argv[2], "fill") == 0)
		fill();
	else
		measure(argc > 3 ? atof(argv[3]) : 5, argc > 6 ? argv + 4 : NULL);
	return 0;
}
