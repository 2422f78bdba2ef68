/* The two ends of bench/gateway.sh: a provider that answers at once, and a client that asks at a
 * fixed rate whatever the answers do (open loop; a late request counts from when it was due).
 *
 *	bench_gateway stub                                   prints its port, then answers
 *	bench_gateway load PORT MODEL RATE SECONDS whole|stream
 *		prints: p50 p99 p99.9 of the first byte of the body, then of the whole (us), then
 *how many were answered and how many failed
 *
 * Both are one thread with epoll. */
#include "base/clock.h"
#include "base/str.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PEERS = 256, IN_MAX = 64 << 10, EVENTS = 8 };

static void fail(const char *what)
{
	fprintf(stderr, "bench_gateway: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void watch(int ep, int fd, void *ptr)
{
	int yes = 1;
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = ptr};
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
}

/* ---- the provider ---- */

struct guest {
	int fd;
	size_t n;
	char in[IN_MAX];
};

static void put(int fd, struct str s)
{
	while (s.n) {
		ssize_t n = send(fd, s.p, s.n, MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN)
			return;
		if (n > 0)
			s = str_sub(s, (size_t)n, s.n);
	}
}

#define HEAD(type) "HTTP/1.1 200 OK\r\nContent-Type: " type "\r\n"

static void answer_whole(int fd)
{
	static const char body[] =
		"{\"id\":\"x\",\"object\":\"chat.completion\",\"created\":1,\"model\":\"m\","
		"\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"The "
		"capital of France is Paris.\"},\"finish_reason\":\"stop\"}],\"usage\":{"
		"\"prompt_tokens\":20,\"completion_tokens\":8,\"total_tokens\":28}}";
	struct buf b = {0};
	buf_addf(&b, HEAD("application/json") "Content-Length: %zu\r\n\r\n%s", sizeof body - 1,
		body);
	put(fd, buf_str(&b));
	buf_free(&b);
}

static void put_event(int fd, const char *json)
{
	struct buf b = {0};
	buf_addf(&b, "%zx\r\ndata: %s\n\n\r\n", strlen(json) + 8, json);
	put(fd, buf_str(&b));
	buf_free(&b);
}

static void answer_stream(int fd)
{
	put(fd, S(HEAD("text/event-stream") "Transfer-Encoding: chunked\r\n\r\n"));
	for (int i = 0; i < EVENTS; i++)
		put_event(fd, "{\"id\":\"x\",\"object\":\"chat.completion.chunk\",\"created\":1,"
			      "\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":"
			      "\" word\"},\"finish_reason\":null}]}");
	put_event(fd, "{\"id\":\"x\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":"
		      "\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}");
	put_event(fd, "{\"id\":\"x\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":"
		      "\"m\",\"choices\":[],\"usage\":{\"prompt_tokens\":20,\"completion_tokens\":"
		      "8,\"total_tokens\":28}}");
	put_event(fd, "[DONE]");
	put(fd, S("0\r\n\r\n"));
}

/* True while the guest stays. */
static bool serve_guest(struct guest *g)
{
	ssize_t n = recv(g->fd, g->in + g->n, sizeof g->in - g->n, 0);
	if (n <= 0)
		return n < 0 && errno == EAGAIN;
	g->n += (size_t)n;
	struct str s = str_mk(g->in, g->n);
	size_t end = str_find(s, S("\r\n\r\n")), at = str_find_nocase(s, S("content-length: "));
	if (end == STR_NONE || at == STR_NONE)
		return g->n < sizeof g->in;
	if (g->n < end + 4 + strtoul(s.p + at + 16, NULL, 10))
		return g->n < sizeof g->in;
	if (str_find(s, S("\"stream\":true")) != STR_NONE ||
		str_find(s, S("\"stream\": true")) != STR_NONE)
		answer_stream(g->fd);
	else
		answer_whole(g->fd);
	g->n = 0;
	return true;
}

static _Noreturn void stub(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof a;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), ep = epoll_create1(EPOLL_CLOEXEC);
	if (bind(fd, (struct sockaddr *)&a, sizeof a) || listen(fd, 1024) ||
		getsockname(fd, (struct sockaddr *)&a, &len))
		fail("listen");
	printf("%d\n", ntohs(a.sin_port));
	fflush(stdout);
	watch(ep, fd, NULL);
	for (;;) {
		struct epoll_event ev[64];
		int n = epoll_wait(ep, ev, 64, -1);
		for (int i = 0; i < n; i++) {
			struct guest *g = ev[i].data.ptr;
			if (!g) {
				int one = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
				if (one < 0 || !(g = calloc(1, sizeof *g)))
					continue;
				g->fd = one;
				watch(ep, one, g);
			} else if (!serve_guest(g)) {
				close(g->fd);
				free(g);
			}
		}
	}
}

/* ---- the client ---- */

struct peer {
	int fd;
	bool busy, failed;
	uint64_t due_ns, first_ns;
	size_t n, head, length; /* length 0: chunked */
	char in[IN_MAX];
};

struct load {
	int port, ep;
	struct buf request;
	struct peer peer[PEERS];
	uint64_t *first, *whole; /* ns */
	size_t n, sent, total, failed;
};

static void dial(struct load *l, struct peer *p)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
		.sin_port = htons((uint16_t)l->port),
		.sin_addr = {htonl(INADDR_LOOPBACK)}};
	p->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (p->fd < 0 || connect(p->fd, (struct sockaddr *)&a, sizeof a))
		fail("connect");
	watch(l->ep, p->fd, p);
}

static struct peer *idle_peer(struct load *l)
{
	for (size_t i = 0; i < PEERS; i++)
		if (!l->peer[i].busy)
			return &l->peer[i];
	return NULL;
}

static void ask(struct load *l, struct peer *p, uint64_t due_ns)
{
	if (!p->fd)
		dial(l, p);
	p->busy = true;
	p->due_ns = due_ns;
	p->first_ns = 0;
	p->n = p->head = p->length = 0;
	put(p->fd, buf_str(&l->request));
	l->sent++;
}

static void finish(struct load *l, struct peer *p, bool good)
{
	uint64_t now = clock_mono_ns();
	if (good) {
		l->first[l->n] = p->first_ns - p->due_ns;
		l->whole[l->n++] = now - p->due_ns;
	} else {
		if (!l->failed++)
			fprintf(stderr, "a request failed: %.200s\n", p->in);
		close(p->fd);
		p->fd = 0;
	}
	p->busy = false;
}

static void receive(struct load *l, struct peer *p)
{
	ssize_t n = recv(p->fd, p->in + p->n, sizeof p->in - p->n - 1, 0);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		if (p->busy) {
			finish(l, p, false);
		} else {
			close(p->fd);
			p->fd = 0;
		}
		return;
	}
	p->n += (size_t)n;
	p->in[p->n] = 0;
	struct str s = str_mk(p->in, p->n);
	if (!p->head) {
		size_t end = str_find(s, S("\r\n\r\n"));
		if (end == STR_NONE)
			return;
		p->head = end + 4;
		size_t at = str_find_nocase(str_sub(s, 0, end), S("content-length: "));
		p->length = at == STR_NONE ? 0 : strtoul(s.p + at + 16, NULL, 10);
		if (!str_starts(s, S("HTTP/1.1 200"))) {
			finish(l, p, false);
			return;
		}
	}
	if (!p->first_ns && p->n > p->head)
		p->first_ns = clock_mono_ns();
	if (p->length ? p->n >= p->head + p->length
		      : p->n > p->head && str_ends(s, S("\r\n0\r\n\r\n")))
		finish(l, p, true);
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

static void show(uint64_t *v, size_t n)
{
	qsort(v, n, sizeof *v, by_value);
	for (int i = 0; i < 3; i++)
		printf("%.1f ", n ? (double)v[n *
					      (size_t)(i == 0   ? 500
						       : i == 1 ? 990
								: 999) /
					      1000] /
						1e3
				  : 0);
}

static void write_request(struct load *l, const char *model, bool stream)
{
	struct buf body = {0};
	buf_addf(&body,
		"{\"model\":\"%s\",\"messages\":[{\"role\":\"system\",\"content\":\"You are a "
		"helpful assistant.\"},{\"role\":\"user\",\"content\":\"What is the capital of "
		"France?\"}],\"max_tokens\":50,\"temperature\":0.5%s}",
		model, stream ? ",\"stream\":true" : "");
	buf_addf(&l->request,
		"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAuthorization: Bearer "
		"sk-bench\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
		l->port, body.n, buf_c(&body));
	buf_free(&body);
}

static void wait_until(struct load *l, uint64_t until_ns)
{
	struct epoll_event ev[64];
	uint64_t now = clock_mono_ns();
	uint64_t left = until_ns > now ? until_ns - now : 0;
	struct timespec t = {(time_t)(left / 1000000000), (long)(left % 1000000000)};
	int n = epoll_pwait2(l->ep, ev, 64, &t, NULL);
	for (int i = 0; i < n; i++)
		receive(l, ev[i].data.ptr);
}

static int load(char **arg)
{
	static struct load l;
	double rate = atof(arg[2]), seconds = atof(arg[3]);
	l.port = atoi(arg[0]);
	l.ep = epoll_create1(EPOLL_CLOEXEC);
	l.total = (size_t)(rate * seconds);
	l.first = calloc(l.total + 1, sizeof *l.first);
	l.whole = calloc(l.total + 1, sizeof *l.whole);
	write_request(&l, arg[1], !strcmp(arg[4], "stream"));
	prctl(PR_SET_TIMERSLACK, 1);
	uint64_t from = clock_mono_ns() + 1000000, gap = (uint64_t)(1e9 / rate);
	uint64_t end = from + (uint64_t)((seconds + 20) * 1e9);
	while (l.n + l.failed < l.total && clock_mono_ns() < end) {
		uint64_t due = from + l.sent * gap, now = clock_mono_ns();
		struct peer *p;
		if (l.sent < l.total && now >= due && (p = idle_peer(&l)))
			ask(&l, p, due);
		else
			wait_until(&l, l.sent < l.total && now < due ? due : now + 10000000);
	}
	show(l.first, l.n);
	show(l.whole, l.n);
	printf("%zu %zu\n", l.n, l.total - l.n);
	return 0;
}

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	if (argc == 2 && !strcmp(argv[1], "stub"))
		stub();
	if (argc == 7 && !strcmp(argv[1], "load"))
		return load(argv + 2);
	fprintf(stderr, "usage: bench_gateway stub | load PORT MODEL RATE SECONDS whole|stream\n");
	return 2;
}
