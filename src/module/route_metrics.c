/* How many requests each route has answered, how, and how long that took. The labels are rows of
 * the route tables, never what a client sent: their number is bounded. Counting takes no lock. */
#include "module/module_int.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>

static const double bounds_s[] = {
	.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 60};
enum { BUCKETS = ARRAY_LEN(bounds_s) + 1, CLASSES = 6 }; /* 1xx to 5xx, at their first digit */

struct route_counts {
	const struct route *row;
	atomic_uint_fast64_t bucket[BUCKETS], by_class[CLASSES], sum_us;
};

struct route_metrics {
	size_t n;
	size_t *first; /* of each module's rows */
	struct route_counts *of;
};

struct route_metrics *route_metrics_new(const struct module *const *modules, size_t n)
{
	struct route_metrics *m = calloc(1, sizeof *m);
	if (!m || !(m->first = calloc(n + 1, sizeof *m->first))) {
		free(m);
		return NULL;
	}
	for (size_t i = 0; i < n; i++) {
		m->first[i] = m->n;
		m->n += modules[i]->n_routes;
	}
	m->of = calloc(m->n + 1, sizeof *m->of);
	if (!m->of) {
		route_metrics_free(m);
		return NULL;
	}
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < modules[i]->n_routes; k++)
			m->of[m->first[i] + k].row = &modules[i]->routes[k];
	return m;
}

void route_metrics_free(struct route_metrics *m)
{
	if (m) {
		free(m->first);
		free(m->of);
	}
	free(m);
}

static struct route_counts *counts_of(const struct croft *c, const struct route *r)
{
	for (size_t i = 0; i < c->n_modules; i++) {
		const struct module *m = c->modules[i];
		if (r >= m->routes && r < m->routes + m->n_routes)
			return &c->route_metrics
					->of[c->route_metrics->first[i] + (size_t)(r - m->routes)];
	}
	return NULL;
}

static void count(atomic_uint_fast64_t *n, uint64_t by)
{
	atomic_fetch_add_explicit(n, by, memory_order_relaxed);
}

void route_metrics_add(struct croft *c, const struct route *r, int status, uint64_t ns)
{
	struct route_counts *k = counts_of(c, r);
	unsigned b = 0, class = status >= 100 && status < 600 ? (unsigned)status / 100 : 5;
	if (!k)
		return;
	while (b < BUCKETS - 1 && (double)ns / 1e9 > bounds_s[b])
		b++;
	count(&k->bucket[b], 1);
	count(&k->by_class[class], 1);
	count(&k->sum_us, ns / 1000);
}

/* ---- the text ---- */

static uint64_t read_count(const atomic_uint_fast64_t *n)
{
	return atomic_load_explicit(n, memory_order_relaxed);
}

static uint64_t total(const struct route_counts *k)
{
	uint64_t n = 0;
	for (unsigned b = 0; b < BUCKETS; b++)
		n += read_count(&k->bucket[b]);
	return n;
}

static void write_classes(const struct route_counts *k, const char *labels, struct buf *out)
{
	for (unsigned i = 1; i < CLASSES; i++) {
		uint64_t n = read_count(&k->by_class[i]);
		if (n)
			buf_addf(out, "croft_http_answers_total{%s,code=\"%uxx\"} %llu\n", labels,
				i, (unsigned long long)n);
	}
}

static void write_histogram(const struct route_counts *k, const char *labels, struct buf *out)
{
	uint64_t n = 0;
	for (unsigned b = 0; b < BUCKETS; b++) {
		n += read_count(&k->bucket[b]);
		buf_addf(out, "croft_http_request_seconds_bucket{%s,le=\"", labels);
		if (b < BUCKETS - 1)
			buf_addf(out, "%g\"} %llu\n", bounds_s[b], (unsigned long long)n);
		else
			buf_addf(out, "+Inf\"} %llu\n", (unsigned long long)n);
	}
	buf_addf(out, "croft_http_request_seconds_sum{%s} %.6f\n", labels,
		(double)read_count(&k->sum_us) / 1e6);
	buf_addf(out, "croft_http_request_seconds_count{%s} %llu\n", labels, (unsigned long long)n);
}

static void write_each(const struct route_metrics *m, struct buf *out,
	void (*write)(const struct route_counts *k, const char *labels, struct buf *out))
{
	char labels[300];
	for (size_t i = 0; i < m->n; i++) {
		const struct route_counts *k = &m->of[i];
		if (!total(k))
			continue;
		snprintf(labels, sizeof labels, "method=\"%s\",route=\"%s\"",
			http_method_name(k->row->method), k->row->path);
		write(k, labels, out);
	}
}

void croft_route_metrics(const struct croft *c, struct buf *out)
{
	buf_addc(out, "# HELP croft_http_answers_total Answers of each route, by kind of status\n"
		      "# TYPE croft_http_answers_total counter\n");
	write_each(c->route_metrics, out, write_classes);
	buf_addc(out, "# HELP croft_http_request_seconds Time in the handler of each route\n"
		      "# TYPE croft_http_request_seconds histogram\n");
	write_each(c->route_metrics, out, write_histogram);
}
