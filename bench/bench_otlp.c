/* OTLP spans into a running server: bench_otlp ADDRESS PID SECONDS RATE [CONNECTIONS] [SPANS]
 *
 * Requests of SPANS spans (512, what the SDKs send) in traces of eight, about 1 kB of GenAI
 * attributes each, encoded once; only ids and times are written anew for each request, so that the
 * generator costs little. Sent at a steady RATE of spans a second (0: as fast as it goes) over
 * CONNECTIONS connections (4). Latency counts from the time at which a request was due, so a stall
 * is not hidden by the waiting of the clients. A request that is told to come back (429, 503) is
 * sent again after its Retry-After, as exporters do. */
#include "base/clock.h"
#include "base/json.h"
#include "base/thread.h"
#include "net/protobuf.h"
#include "run/otel.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PER_TRACE = 8, SAMPLES_MAX = 1 << 20 };

/* Where in the request the bytes stand that change. */
struct place {
	size_t trace, id, parent, start, end; /* parent 0: a root */
};

struct request {
	struct buf body;
	struct place *places;
	size_t n;
};

static struct {
	struct sockaddr_in to;
	struct request rq;
	unsigned connections;
	double rate;
	uint64_t start_ns, end_ns;
	atomic_uint_fast64_t next, sent, busy, failed, samples;
	uint32_t *latency_us;
} g;

/* ---- the request ---- */

static const char question[] =
	"[{\"role\":\"system\",\"parts\":[{\"type\":\"text\",\"content\":\"You answer questions "
	"about orders of a small shop. Be brief, and say so when you do not know.\"}]},{\"role\":"
	"\"user\",\"parts\":[{\"type\":\"text\",\"content\":\"Where is order 4711? It was to come "
	"on Tuesday, and I will be away from Thursday on.\"}]}]";
static const char answer[] =
	"[{\"role\":\"assistant\",\"parts\":[{\"type\":\"text\",\"content\":\"Your order left "
	"Graz this morning and comes tomorrow between 9 and 12. If you are not at home the "
	"driver leaves it with the neighbour you named.\"}],\"finish_reason\":\"stop\"}]";

static void span_attributes(struct buf *b, size_t i)
{
	static const char *const operations[] = {"invoke_agent", "chat", "execute_tool", "chat"};
	otel_put_str(b, OTEL_SPAN_ATTRS, "gen_ai.operation.name", str_c(operations[i % 4]));
	otel_put_str(b, OTEL_SPAN_ATTRS, "gen_ai.provider.name", S("openai"));
	otel_put_str(b, OTEL_SPAN_ATTRS, "gen_ai.request.model", S("gpt-5.4-mini"));
	otel_put_str(b, OTEL_SPAN_ATTRS, "gen_ai.response.model", S("gpt-5.4-mini-2026-08-20"));
	otel_put_str(b, OTEL_SPAN_ATTRS, "gen_ai.response.id", S("chatcmpl-9f8a7b6c5d4e3f2a1b0c"));
	otel_put_str(b, OTEL_SPAN_ATTRS, "gen_ai.conversation.id", S("conv-5f1c2d7a"));
	otel_put_i64(b, OTEL_SPAN_ATTRS, "gen_ai.request.max_tokens", 512);
	otel_put_f64(b, OTEL_SPAN_ATTRS, "gen_ai.request.temperature", 0.2);
	otel_put_i64(b, OTEL_SPAN_ATTRS, "gen_ai.usage.input_tokens", 210 + (int64_t)i);
	otel_put_i64(b, OTEL_SPAN_ATTRS, "gen_ai.usage.output_tokens", 58);
	otel_put_str(b, OTEL_SPAN_ATTRS, "server.address", S("api.openai.example"));
	otel_put_i64(b, OTEL_SPAN_ATTRS, "server.port", 443);
	otel_put_str(b, OTEL_SPAN_ATTRS, "gen_ai.input.messages", str_c(question));
	otel_put_str(b, OTEL_SPAN_ATTRS, "gen_ai.output.messages", str_c(answer));
}

/* Lengths within a span come before what is in them, so places are found in the end's bytes: the
 * span is made apart, and moved into the request whole. */
static void add_span(struct buf *b, size_t i, struct place *p)
{
	static const char zero[16];
	struct buf s = {0};
	bool root = i % PER_TRACE == 0;
	*p = (struct place){0};
	pb_put_str(&s, 1, str_mk(zero, 16));
	p->trace = s.n - 16;
	pb_put_str(&s, 2, str_mk(zero, 8));
	p->id = s.n - 8;
	if (!root) {
		pb_put_str(&s, 4, str_mk(zero, 8));
		p->parent = s.n - 8;
	}
	pb_put_str(&s, 5, root ? S("invoke_agent orders") : S("chat gpt-5.4-mini"));
	pb_put_varint(&s, 6, root ? 1 : 3);
	pb_put_fixed64(&s, 7, 1);
	p->start = s.n - 8;
	pb_put_fixed64(&s, 8, 1);
	p->end = s.n - 8;
	span_attributes(&s, i);
	pb_put_str(b, 2, buf_str(&s));
	size_t at = b->n - s.n;
	p->trace += at, p->id += at, p->start += at, p->end += at;
	p->parent += p->parent ? at : 0;
	buf_free(&s);
}

static void make_request(struct request *rq, size_t n)
{
	struct buf scope = {0}, rs = {0};
	rq->n = n;
	rq->places = calloc(n, sizeof *rq->places);
	size_t at = pb_open(&scope, 1);
	pb_put_str(&scope, 1, S("opentelemetry.instrumentation.openai"));
	pb_put_str(&scope, 2, S("0.60.0"));
	pb_close(&scope, at);
	for (size_t i = 0; i < n; i++)
		add_span(&scope, i, &rq->places[i]);
	at = pb_open(&rs, 1);
	otel_put_str(&rs, OTEL_RESOURCE_ATTRS, "service.name", S("shop-agent"));
	otel_put_str(&rs, OTEL_RESOURCE_ATTRS, "telemetry.sdk.language", S("python"));
	pb_close(&rs, at);
	pb_put_str(&rs, 2, buf_str(&scope));
	size_t in_rs = rs.n - scope.n;
	pb_put_str(&rq->body, 1, buf_str(&rs));
	size_t shift = rq->body.n - rs.n + in_rs;
	for (size_t i = 0; i < n; i++) {
		struct place *p = &rq->places[i];
		p->trace += shift, p->id += shift, p->start += shift, p->end += shift;
		p->parent += p->parent ? shift : 0;
	}
	buf_free(&scope);
	buf_free(&rs);
}

static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += 0x9E3779B97F4A7C15ull;
	z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ull;
	z = (z ^ z >> 27) * 0x94D049BB133111EBull;
	return z ^ z >> 31;
}

static void renew(char *body, uint64_t *state)
{
	uint64_t trace[2] = {0}, parent = 0, now = (uint64_t)clock_unix_ns();
	for (size_t i = 0; i < g.rq.n; i++) {
		const struct place *p = &g.rq.places[i];
		uint64_t id = next_random(state) | 1, start = now + i * 1000,
			 end = start + 812345678;
		if (!p->parent) {
			trace[0] = next_random(state) | 1;
			trace[1] = next_random(state);
			parent = id;
		} else {
			memcpy(body + p->parent, &parent, 8);
		}
		memcpy(body + p->trace, trace, 16);
		memcpy(body + p->id, &id, 8);
		memcpy(body + p->start, &start, 8);
		memcpy(body + p->end, &end, 8);
	}
}

/* ---- sending ---- */

static int dial(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&g.to, sizeof g.to)) {
		perror("connect");
		exit(1);
	}
	return fd;
}

static bool send_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t k = send(fd, p, n, MSG_NOSIGNAL);
		if (k <= 0)
			return false;
		p += k;
		n -= (size_t)k;
	}
	return true;
}

/* The status of one answer, 0 when the connection ended. */
static int answer_status(int fd)
{
	static _Thread_local char in[8192];
	size_t n = 0;
	for (;;) {
		ssize_t k = recv(fd, in + n, sizeof in - 1 - n, 0);
		if (k <= 0)
			return 0;
		n += (size_t)k;
		in[n] = 0;
		struct str got = str_mk(in, n);
		size_t head = str_find(got, S("\r\n\r\n")),
		       at = str_find(got, S("content-length: "));
		if (head == STR_NONE)
			continue;
		size_t length = at < head ? strtoul(in + at + 16, NULL, 10) : 0;
		if (n >= head + 4 + length)
			return atoi(in + 9);
	}
}

static int post(int *fd, struct str head, struct str body)
{
	int status = 0;
	if (send_all(*fd, head.p, head.n) && send_all(*fd, body.p, body.n))
		status = answer_status(*fd);
	if (!status) {
		close(*fd);
		*fd = dial();
	}
	return status;
}

static void wait_until(uint64_t ns)
{
	uint64_t now = clock_mono_ns();
	if (ns > now)
		usleep((useconds_t)((ns - now) / 1000));
}

static void *client(void *arg)
{
	struct buf head = {0};
	uint64_t state = (uint64_t)clock_unix_ns() * 31 + (uintptr_t)arg;
	char *body = malloc(g.rq.body.n);
	memcpy(body, g.rq.body.p, g.rq.body.n);
	buf_addf(&head,
		"POST /v1/traces HTTP/1.1\r\nhost: localhost\r\ncontent-type: "
		"application/x-protobuf\r\ncontent-length: %zu\r\n\r\n",
		g.rq.body.n);
	int fd = dial();
	for (;;) {
		uint64_t k = atomic_fetch_add(&g.next, 1), due = clock_mono_ns();
		if (g.rate > 0) {
			due = g.start_ns + (uint64_t)((double)k * (double)g.rq.n / g.rate * 1e9);
			wait_until(due);
		}
		if (due >= g.end_ns)
			break;
		renew(body, &state);
		int status = post(&fd, buf_str(&head), str_mk(body, g.rq.body.n));
		while (status == 429 || status == 503) {
			atomic_fetch_add(&g.busy, 1);
			sleep(1);
			status = post(&fd, buf_str(&head), str_mk(body, g.rq.body.n));
		}
		atomic_fetch_add(status == 200 ? &g.sent : &g.failed, 1);
		uint64_t at = atomic_fetch_add(&g.samples, 1);
		if (at < SAMPLES_MAX)
			g.latency_us[at] = (uint32_t)((clock_mono_ns() - due) / 1000);
	}
	close(fd);
	free(body);
	buf_free(&head);
	return NULL;
}

/* ---- what the server needs meanwhile ---- */

static long status_kb(const char *pid, const char *key)
{
	char path[64], line[256];
	long kb = 0;
	snprintf(path, sizeof path, "/proc/%s/status", pid);
	FILE *f = fopen(path, "re");
	while (f && fgets(line, sizeof line, f))
		if (strncmp(line, key, strlen(key)) == 0)
			kb = atol(line + strlen(key));
	if (f)
		fclose(f);
	return kb;
}

static double cpu_seconds(const char *pid)
{
	char path[64];
	unsigned long user = 0, system = 0;
	snprintf(path, sizeof path, "/proc/%s/stat", pid);
	FILE *f = fopen(path, "re");
	if (f) {
		if (fscanf(f, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
			    &user, &system) != 2)
			user = system = 0;
		fclose(f);
	}
	return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static int by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

static void report(const char *pid, double seconds, double cpu)
{
	size_t n = MIN(atomic_load(&g.samples), (size_t)SAMPLES_MAX);
	double spans = (double)atomic_load(&g.sent) * (double)g.rq.n;
	qsort(g.latency_us, n, sizeof *g.latency_us, by_size);
	printf("spans            %.0f acknowledged in %.1f s\n", spans, seconds);
	printf("rate             %.0f spans/s, %.1f MB/s of requests\n", spans / seconds,
		(double)atomic_load(&g.sent) * (double)g.rq.body.n / seconds / 1e6);
	if (n)
		printf("latency          p50 %.1f ms, p99 %.1f ms, longest %.1f ms (requests of "
		       "%zu "
		       "spans)\n",
			g.latency_us[n / 2] / 1e3, g.latency_us[n * 99 / 100] / 1e3,
			g.latency_us[n - 1] / 1e3, g.rq.n);
	printf("told to wait     %llu times; failed %llu\n",
		(unsigned long long)atomic_load(&g.busy),
		(unsigned long long)atomic_load(&g.failed));
	printf("server           %.0f %% of a core, resident at most %ld MB\n",
		100 * (cpu_seconds(pid) - cpu) / seconds, status_kb(pid, "VmHWM:") / 1024);
}

int main(int argc, char **argv)
{
	if (argc < 5) {
		fprintf(stderr, "usage: bench_otlp HOST:PORT PID SECONDS RATE [CONNECTIONS] "
				"[SPANS]\n");
		return 2;
	}
	char *colon = strrchr(argv[1], ':');
	g.to = (struct sockaddr_in){.sin_family = AF_INET,
		.sin_port = htons((uint16_t)atoi(colon ? colon + 1 : "0")),
		.sin_addr = {htonl(INADDR_LOOPBACK)}};
	g.rate = atof(argv[4]);
	g.connections = argc > 5 ? (unsigned)atoi(argv[5]) : 4;
	make_request(&g.rq, argc > 6 ? (size_t)atoi(argv[6]) : 512);
	g.latency_us = calloc(SAMPLES_MAX, sizeof *g.latency_us);
	printf("requests         %zu spans, %zu bytes (%zu a span)\n", g.rq.n, g.rq.body.n,
		g.rq.body.n / g.rq.n);
	double cpu = cpu_seconds(argv[2]);
	g.start_ns = clock_mono_ns();
	g.end_ns = g.start_ns + (uint64_t)(atof(argv[3]) * 1e9);
	pthread_t t[256];
	unsigned n = MIN(g.connections, (unsigned)ARRAY_LEN(t));
	for (unsigned i = 0; i < n; i++)
		if (pthread_create(&t[i], NULL, client, (void *)(uintptr_t)i))
			return 1;
	for (unsigned i = 0; i < n; i++)
		pthread_join(t[i], NULL);
	report(argv[2], (double)(clock_mono_ns() - g.start_ns) / 1e9, cpu);
	return atomic_load(&g.failed) != 0;
}
