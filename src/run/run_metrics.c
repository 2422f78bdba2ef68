/* Counts and durations of runs for /metrics. */
#include "run/run_int.h"
#include "base/thread.h"

#include <stdio.h>
#include <stdlib.h>

enum { KINDS_MAX = 32 }; /* more share the kind "other", so that the page stays small */

static const double bounds_s[] = {.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300};

struct kind {
	char name[32];
	uint64_t by_status[STATUS_COUNT];
	uint64_t bucket[ARRAY_LEN(bounds_s) + 1];
	double sum_s;
};

struct run_metrics {
	pthread_mutex_t mu;
	struct kind kinds[KINDS_MAX];
	size_t n;
	int64_t open;
};

struct run_metrics *run_metrics_new(void)
{
	struct run_metrics *m = calloc(1, sizeof *m);
	if (m)
		pthread_mutex_init(&m->mu, NULL);
	return m;
}

void run_metrics_free(struct run_metrics *m)
{
	if (!m)
		return;
	pthread_mutex_destroy(&m->mu);
	free(m);
}

void run_metrics_begin(struct run_metrics *m)
{
	pthread_mutex_lock(&m->mu);
	m->open++;
	pthread_mutex_unlock(&m->mu);
}

static struct kind *kind_of(struct run_metrics *m, const char *name)
{
	for (size_t i = 0; i < m->n; i++)
		if (strcmp(m->kinds[i].name, name) == 0)
			return &m->kinds[i];
	if (m->n == KINDS_MAX)
		return &m->kinds[KINDS_MAX - 1];
	struct kind *k = &m->kinds[m->n++];
	snprintf(k->name, sizeof k->name, "%s", m->n == KINDS_MAX ? "other" : name);
	return k;
}

void run_metrics_end(struct run_metrics *m, const char *kind, unsigned status, uint64_t ns)
{
	double s = (double)ns / 1e9;
	size_t b = 0;
	while (b < ARRAY_LEN(bounds_s) && s > bounds_s[b])
		b++;
	pthread_mutex_lock(&m->mu);
	struct kind *k = kind_of(m, kind);
	k->by_status[status]++;
	k->bucket[b]++;
	k->sum_s += s;
	m->open--;
	pthread_mutex_unlock(&m->mu);
}

static void print_kind(const struct kind *k, struct buf *out)
{
	uint64_t sum = 0;
	for (size_t b = 0; b < ARRAY_LEN(bounds_s); b++) {
		sum += k->bucket[b];
		buf_addf(out, "croft_run_duration_seconds_bucket{kind=\"%s\",le=\"%g\"} %llu\n",
			k->name, bounds_s[b], (unsigned long long)sum);
	}
	sum += k->bucket[ARRAY_LEN(bounds_s)];
	buf_addf(out,
		"croft_run_duration_seconds_bucket{kind=\"%s\",le=\"+Inf\"} %llu\n"
		"croft_run_duration_seconds_sum{kind=\"%s\"} %.9g\n"
		"croft_run_duration_seconds_count{kind=\"%s\"} %llu\n",
		k->name, (unsigned long long)sum, k->name, k->sum_s, k->name,
		(unsigned long long)sum);
}

void run_metrics_print(struct run_metrics *m, struct buf *out)
{
	pthread_mutex_lock(&m->mu);
	buf_addf(out,
		"# HELP croft_runs_open Runs that have begun and not ended.\n"
		"# TYPE croft_runs_open gauge\ncroft_runs_open %lld\n"
		"# HELP croft_runs_total Runs that ended since the start.\n"
		"# TYPE croft_runs_total counter\n",
		(long long)m->open);
	for (size_t i = 0; i < m->n; i++)
		for (unsigned s = 0; s < STATUS_COUNT; s++)
			if (m->kinds[i].by_status[s])
				buf_addf(out, "croft_runs_total{kind=\"%s\",status=\"%s\"} %llu\n",
					m->kinds[i].name, run_statuses[s],
					(unsigned long long)m->kinds[i].by_status[s]);
	buf_addc(out, "# HELP croft_run_duration_seconds Duration of runs.\n"
		      "# TYPE croft_run_duration_seconds histogram\n");
	for (size_t i = 0; i < m->n; i++)
		print_kind(&m->kinds[i], out);
	pthread_mutex_unlock(&m->mu);
}
