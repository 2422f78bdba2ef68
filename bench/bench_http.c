/* Requests a second of a small answer, and events a second of a stream, over loopback:
 * bench_http [seconds] [connections]. Client and server share the machine. */
#include "base/clock.h"
#include "net/server.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static void handler(void *app, struct http_request *rq, struct http_response *rs)
{
	if (!str_eq_c(rq->path, "/events")) {
		http_reply(rs, 200, "text/plain", S("ok\n"));
		return;
	}
	http_sse_begin(rs);
	while (http_sse_event(rs, NULL, S("{\"choices\":[{\"delta\":{\"content\":\" word\"}}]}")) ==
		OK)
		;
}

struct client {
	pthread_t thread;
	int port;
	const char *request;
	const char *mark; /* what is counted in the answers */
	bool stream;
	uint64_t end_ns, count;
};

static int dial(int port)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr = {htonl(INADDR_LOOPBACK)}};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a)) {
		perror("connect");
		exit(1);
	}
	return fd;
}

static uint64_t count_in(struct str s, struct str mark)
{
	uint64_t n = 0;
	for (size_t at; (at = str_find(s, mark)) != STR_NONE; n++)
		s = str_sub(s, at + mark.n, s.n);
	return n;
}

static void *client(void *arg)
{
	struct client *c = arg;
	static _Thread_local char in[1 << 16];
	int fd = dial(c->port);
	struct str rq = str_c(c->request);
	bool first = true;
	while (clock_mono_ns() < c->end_ns) {
		if ((first || !c->stream) && send(fd, rq.p, rq.n, MSG_NOSIGNAL) != (ssize_t)rq.n)
			break;
		first = false;
		ssize_t n = recv(fd, in, sizeof in, 0);
		if (n <= 0)
			break;
		c->count += count_in(str_mk(in, (size_t)n), str_c(c->mark));
	}
	close(fd);
	return NULL;
}

static double run(
	int port, unsigned n, double seconds, const char *request, const char *mark, bool stream)
{
	struct client *cs = calloc(n, sizeof *cs);
	uint64_t from = clock_mono_ns(), total = 0;
	for (unsigned i = 0; i < n; i++) {
		cs[i] = (struct client){.port = port,
			.request = request,
			.mark = mark,
			.stream = stream,
			.end_ns = from + (uint64_t)(seconds * 1e9)};
		if (thread_start(&cs[i].thread, client, &cs[i], "client", NULL))
			exit(1);
	}
	for (unsigned i = 0; i < n; i++) {
		pthread_join(cs[i].thread, NULL);
		total += cs[i].count;
	}
	double took = (double)(clock_mono_ns() - from) / 1e9;
	free(cs);
	return (double)total / took;
}

int main(int argc, char **argv)
{
	double seconds = argc > 1 ? atof(argv[1]) : 2;
	unsigned n = argc > 2 ? (unsigned)atoi(argv[2]) : 8;
	struct errtext et = {0};
	struct server *s;
	struct server_options o = {.listen = "127.0.0.1:0",
		.workers = n,
		.queue_max = 64,
		.connections_max = n + 16,
		.header_max = 16384,
		.body_max = 1 << 20,
		.body_memory_max = 65536,
		.handler = handler};
	if (server_start(&o, &s, &et)) {
		fprintf(stderr, "%s\n", et.msg);
		return 1;
	}
	int port = atoi(strrchr(server_address(s), ':') + 1);
	printf("%u connections, %.1f s each, %u CPUs shared by client and server\n", n, seconds,
		cpu_count());
	printf("requests/s        %.0f\n",
		run(port, n, seconds, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
			"HTTP/1.1 200", false));
	printf("SSE events/s      %.0f\n",
		run(port, n, seconds, "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n",
			"data: ", true));
	server_stop(s, 1000);
	return 0;
}
