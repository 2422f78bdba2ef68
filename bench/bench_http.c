/* What a request costs: requests a second, latency and the server's processor time for a small GET,
 *a 100 kB POST, beside idle connections, plain and over TLS; and events a second of a stream.
 *
 *	bench_http [--seconds N] [--connections N]             Croft's server with a trivial handler
 *	bench_http --port N --tls-port N --pid N [...]         another server (bench/http.sh: nginx)
 *
 * One client thread with epoll drives all connections, each with one request at a time; it shares
 * the machine with the server, which is another process. */
#include "base/clock.h"
#include "net/server.h"
#include "net/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { IDLE = 1000, SAMPLES_MAX = 16 << 20, BODY = 100 << 10 };

struct options {
	double seconds;
	unsigned connections;
	int port, tls_port;
	pid_t pid;
};

/* ---- the server, when it is ours ---- */

static void handler(void *app, struct http_request *rq, struct http_response *rs)
{
	static const char hundred[] = "0123456789012345678901234567890123456789012345678901234567"
				      "8901234567890123456789012345678901234567\n";
	if (!str_eq_c(rq->path, "/events")) {
		http_reply(rs, 200, "text/plain", str_c(hundred));
		return;
	}
	http_sse_begin(rs);
	while (http_sse_event(rs, NULL, S("{\"choices\":[{\"delta\":{\"content\":\" word\"}}]}")) ==
		OK)
		;
}

static int port_of(const struct server *s)
{
	return atoi(strrchr(server_address(s), ':') + 1);
}

static void serve(int ready)
{
	struct errtext et = {0};
	struct server *plain, *tls;
	const char *cert = getenv("BENCH_CERT");
	struct server_options o = {.listen = "127.0.0.1:0",
		.workers = 16,
		.queue_max = 4096,
		.connections_max = 20000,
		.header_max = 16384,
		.body_max = 1 << 20,
		.body_memory_max = 1 << 20,
		.handler = handler};
	int ports[2] = {0};
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (server_start(&o, &plain, &et))
		goto fail;
	ports[0] = port_of(plain);
	if (cert) {
		if (tls_open(&(struct tls_options){.cert = cert}, &o.tls, &et) ||
			server_start(&o, &tls, &et))
			goto fail;
		ports[1] = port_of(tls);
	}
	if (write(ready, ports, sizeof ports) == sizeof ports)
		pause();
fail:
	fprintf(stderr, "%s\n", et.msg);
	_exit(1);
}

static void start_server(struct options *o)
{
	int fd[2], ports[2];
	if (pipe(fd))
		exit(1);
	o->pid = fork();
	if (!o->pid)
		serve(fd[1]);
	close(fd[1]);
	if (read(fd[0], ports, sizeof ports) != sizeof ports)
		exit(1);
	close(fd[0]);
	o->port = ports[0];
	o->tls_port = ports[1];
}

/* ---- what a process has used ---- */

static double cpu_seconds(pid_t pid)
{
	char path[64], text[1024] = "";
	unsigned long user = 0, system = 0;
	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	FILE *f = fopen(path, "re");
	if (f && fgets(text, sizeof text, f)) {
		const char *after = strrchr(text, ')');
		if (after)
			sscanf(after + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
				&user, &system);
	}
	if (f)
		fclose(f);
	return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static long resident_bytes(pid_t pid)
{
	char path[64];
	long size, resident = 0;
	snprintf(path, sizeof path, "/proc/%d/statm", pid);
	FILE *f = fopen(path, "re");
	if (f && fscanf(f, "%ld %ld", &size, &resident) != 2)
		resident = 0;
	if (f)
		fclose(f);
	return resident * 4096;
}

/* ---- the client ---- */

struct peer {
	int fd;
	SSL *ssl;
	size_t sent, got, want; /* bytes; want 0: the head has not come yet */
	uint64_t began_ns;
};

static uint32_t *samples; /* latencies, us */
static size_t n_samples;
static char in[256 << 10];
static SSL_CTX *ctx;

static void fail(const char *what)
{
	fprintf(stderr, "bench_http: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void dial(struct peer *p, int port, bool tls)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr = {htonl(INADDR_LOOPBACK)}};
	*p = (struct peer){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	if (p->fd < 0 || connect(p->fd, (struct sockaddr *)&a, sizeof a))
		fail("connect");
	if (tls) {
		p->ssl = SSL_new(ctx);
		SSL_set_fd(p->ssl, p->fd);
		if (SSL_connect(p->ssl) != 1)
			fail("TLS handshake");
	}
	fcntl(p->fd, F_SETFL, O_NONBLOCK);
}

static void hang_up(struct peer *p)
{
	SSL_free(p->ssl);
	close(p->fd);
}

static ssize_t peer_send(struct peer *p, struct str data)
{
	if (!p->ssl)
		return send(p->fd, data.p, data.n, MSG_NOSIGNAL);
	size_t n = 0;
	return SSL_write_ex(p->ssl, data.p, data.n, &n) == 1 ? (ssize_t)n : -1;
}

static ssize_t peer_recv(struct peer *p)
{
	if (!p->ssl)
		return recv(p->fd, in, sizeof in, 0);
	size_t n = 0;
	return SSL_read_ex(p->ssl, in, sizeof in, &n) == 1 ? (ssize_t)n : -1;
}

static void send_more(struct peer *p, struct str rq)
{
	while (p->sent < rq.n) {
		ssize_t n = peer_send(p, str_sub(rq, p->sent, rq.n));
		if (n <= 0)
			return;
		p->sent += (size_t)n;
	}
}

/* The length of a whole answer, from its head. */
static size_t answer_size(struct str s)
{
	size_t end = str_find(s, S("\r\n\r\n"));
	size_t at = str_find_nocase(s, S("content-length: "));
	if (!str_starts(s, S("HTTP/1.1 200")) || end == STR_NONE || at == STR_NONE)
		fail("an answer that is none");
	return end + 4 + strtoul(s.p + at + 16, NULL, 10);
}

/* True: the answer is complete. */
static bool receive(struct peer *p)
{
	for (;;) {
		ssize_t n = peer_recv(p);
		if (n == 0)
			fail("the server hung up");
		if (n < 0)
			return false;
		if (!p->want)
			p->want = answer_size(str_mk(in, (size_t)n));
		p->got += (size_t)n;
		if (p->got >= p->want)
			return true;
	}
}

static void ask(struct peer *p, struct str rq)
{
	p->sent = p->got = 0;
	p->began_ns = clock_mono_ns();
	send_more(p, rq);
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

static void one_event(struct peer *p, struct str rq)
{
	send_more(p, rq);
	if (!receive(p))
		return;
	if (n_samples < SAMPLES_MAX)
		samples[n_samples++] = (uint32_t)((clock_mono_ns() - p->began_ns) / 1000);
	ask(p, rq);
}

static void run(const struct options *o, const char *what, struct str rq, bool tls)
{
	struct peer *peers = calloc(o->connections, sizeof *peers);
	struct epoll_event ev[256];
	int ep = epoll_create1(EPOLL_CLOEXEC);
	n_samples = 0;
	for (unsigned i = 0; i < o->connections; i++) {
		dial(&peers[i], tls ? o->tls_port : o->port, tls);
		ev[0] = (struct epoll_event){
			.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = &peers[i]};
		epoll_ctl(ep, EPOLL_CTL_ADD, peers[i].fd, &ev[0]);
	}
	double cpu = cpu_seconds(o->pid);
	uint64_t from = clock_mono_ns(), end = from + (uint64_t)(o->seconds * 1e9);
	for (unsigned i = 0; i < o->connections; i++)
		ask(&peers[i], rq);
	while (clock_mono_ns() < end) {
		int n = epoll_wait(ep, ev, 256, 100);
		for (int i = 0; i < n; i++)
			one_event(ev[i].data.ptr, rq);
	}
	double took = (double)(clock_mono_ns() - from) / 1e9;
	cpu = cpu_seconds(o->pid) - cpu;
	qsort(samples, n_samples, sizeof *samples, by_value);
	printf("%-34s %8.0f/s  p50 %6.3f ms  p99 %6.3f ms  server CPU %5.1f us each\n", what,
		(double)n_samples / took, n_samples ? samples[n_samples / 2] / 1e3 : 0,
		n_samples ? samples[n_samples * 99 / 100] / 1e3 : 0,
		n_samples ? cpu * 1e6 / (double)n_samples : 0);
	fflush(stdout);
	for (unsigned i = 0; i < o->connections; i++)
		hang_up(&peers[i]);
	close(ep);
	free(peers);
}

/* Connections that have had one answer and say nothing more. */
static struct peer *make_idle(const struct options *o, struct str rq, bool tls)
{
	struct peer *peers = calloc(IDLE, sizeof *peers);
	long before = resident_bytes(o->pid);
	for (unsigned i = 0; i < IDLE; i++) {
		dial(&peers[i], tls ? o->tls_port : o->port, tls);
		ask(&peers[i], rq);
		while (!receive(&peers[i]))
			usleep(20);
	}
	printf("%u idle connections%s: %ld bytes each\n", IDLE, tls ? " over TLS" : "",
		(resident_bytes(o->pid) - before) / IDLE);
	return peers;
}

static void drop_idle(struct peer *peers)
{
	for (unsigned i = 0; i < IDLE; i++)
		hang_up(&peers[i]);
	free(peers);
}

static void handshakes(const struct options *o)
{
	double cpu = cpu_seconds(o->pid);
	uint64_t from = clock_mono_ns(), end = from + (uint64_t)(o->seconds * 1e9);
	unsigned n = 0;
	for (; clock_mono_ns() < end; n++) {
		struct peer p;
		dial(&p, o->tls_port, true);
		hang_up(&p);
	}
	printf("%-34s %8.0f/s%37sserver CPU %5.1f us each\n", "TLS handshakes, one at a time",
		n / ((double)(clock_mono_ns() - from) / 1e9), "",
		(cpu_seconds(o->pid) - cpu) * 1e6 / n);
}

static void events(const struct options *o)
{
	struct peer p;
	uint64_t count = 0;
	dial(&p, o->port, false);
	fcntl(p.fd, F_SETFL, 0);
	ask(&p, S("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n"));
	uint64_t from = clock_mono_ns(), end = from + (uint64_t)(o->seconds * 1e9);
	while (clock_mono_ns() < end) {
		ssize_t n = peer_recv(&p);
		if (n <= 0)
			fail("the stream ended");
		for (ssize_t i = 0; i < n; i++)
			count += in[i] == '{' && i + 1 < n && in[i + 1] == '"' && i + 2 < n &&
				 in[i + 2] == 'c' && i + 3 < n && in[i + 3] == 'h';
	}
	printf("%-34s %8.0f/s\n", "SSE events, one stream",
		(double)count / ((double)(clock_mono_ns() - from) / 1e9));
	hang_up(&p);
}

static void all(const struct options *o, bool ours)
{
	struct str get = S("GET /small HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "
			   "0123456789abcdef\r\nAccept: */*\r\n\r\n");
	struct buf post = {0};
	buf_addf(&post,
		"POST /small HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
		"Content-Length: %d\r\n\r\n",
		BODY);
	for (int i = 0; i < BODY; i++)
		buf_putc(&post, 'x');
	run(o, "GET, 100 bytes", get, false);
	run(o, "POST, 100 kB", buf_str(&post), false);
	struct peer *idle = make_idle(o, get, false);
	run(o, "GET beside idle connections", get, false);
	drop_idle(idle);
	if (o->tls_port) {
		run(o, "GET, 100 bytes, TLS", get, true);
		run(o, "POST, 100 kB, TLS", buf_str(&post), true);
		idle = make_idle(o, get, true);
		drop_idle(idle);
		handshakes(o);
	}
	if (ours)
		events(o);
	buf_free(&post);
}

int main(int argc, char **argv)
{
	struct options o = {.seconds = 2, .connections = 32};
	for (int i = 1; i + 1 < argc; i += 2) {
		double v = atof(argv[i + 1]);
		if (!strcmp(argv[i], "--seconds"))
			o.seconds = v;
		else if (!strcmp(argv[i], "--connections"))
			o.connections = (unsigned)v;
		else if (!strcmp(argv[i], "--port"))
			o.port = (int)v;
		else if (!strcmp(argv[i], "--tls-port"))
			o.tls_port = (int)v;
		else if (!strcmp(argv[i], "--pid"))
			o.pid = (pid_t)v;
	}
	bool ours = !o.port;
	signal(SIGPIPE, SIG_IGN);
	struct rlimit lim;
	getrlimit(RLIMIT_NOFILE, &lim);
	lim.rlim_cur = lim.rlim_max;
	setrlimit(RLIMIT_NOFILE, &lim);
	samples = calloc(SAMPLES_MAX, sizeof *samples);
	ctx = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	if (ours)
		start_server(&o);
	printf("%u connections, %.1f s each, %u CPUs shared by client and server\n", o.connections,
		o.seconds, cpu_count());
	all(&o, ours);
	if (ours) {
		kill(o.pid, SIGKILL);
		waitpid(o.pid, NULL, 0);
	}
	return 0;
}
