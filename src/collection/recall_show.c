/* What the recall of live queries is: for routes, and as metrics. */
#include "collection/recall_int.h"

#include <stdio.h>

bool recall_of(struct collection *k, const struct space *s, size_t band, struct recall_state *out)
{
	struct recall *r = atomic_load(&k->recall);
	*out = (struct recall_state){.ef = recall_ef(k, layout_of(k), s->place, band)};
	if (!r || !out->ef)
		return false;
	pthread_mutex_lock(&r->mu);
	const struct space_recall *of = r->at[s->place];
	bool there = of && of->since == s->since;
	const struct recall_band *x = there ? &of->bands[band] : NULL;
	if (there) {
		out->seen = x->seen;
		out->measured = x->measured;
	}
	for (size_t i = 0; there && i < RECALL_STEPS; i++) {
		if (!x->steps[i].n)
			continue;
		struct recall_step step = {
			recall_steps[i], x->steps[i].n, recall_interval(&x->steps[i])};
		out->steps[out->n_steps++] = step;
		if (step.ef == recall_steps[recall_step_of(out->ef)])
			out->now = step;
	}
	pthread_mutex_unlock(&r->mu);
	return there;
}

static void label(struct buf *out, struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '"' || s.p[i] == '\\')
			buf_putc(out, '\\');
		buf_putc(out, s.p[i] == '\n' ? ' ' : s.p[i]);
	}
}

static void labels(struct buf *out, const char *name, const struct collection *k,
	const struct space *s, const char *more)
{
	buf_addf(out, "croft_collection_%s{project=\"", name);
	label(out, k->project);
	buf_addc(out, "\",collection=\"");
	label(out, k->name);
	buf_addc(out, "\",space=\"");
	label(out, s->name);
	buf_addf(out, "\"%s} ", more);
}

/* Families of queries without a filter, and of those with one, by the share that matches. */
static const char *const heads[][2] = {
	{"recall", "Recall of sampled live queries against an exact search"},
	{"effort", "Effort (ef) of searches that name none"},
	{"recall_filtered", "Recall of sampled live queries with a filter"},
	{"effort_filtered", "Effort (ef) of searches with a filter that name none"}};

static void write_metric(struct buf *out, size_t family, const struct collection *k,
	const struct space *s, size_t band, const struct recall_state *x)
{
	static const char *const bounds[] = {"mean", "low", "high"};
	const double v[] = {x->now.recall.mean, x->now.recall.low, x->now.recall.high};
	char share[48] = "", more[80];
	if (band)
		snprintf(share, sizeof share, ",share_min=\"%.4f\"", recall_shares[band]);
	if (family % 2) {
		labels(out, heads[family][0], k, s, share);
		buf_addf(out, "%u\n", x->ef);
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(bounds); i++) {
		snprintf(more, sizeof more, "%s,bound=\"%s\"", share, bounds[i]);
		labels(out, heads[family][0], k, s, more);
		buf_addf(out, "%.6f\n", v[i]);
	}
}

/* One family at a time, as the format wants it. */
static void metric(struct croft *c, struct buf *out, size_t family)
{
	struct collections *cs = collections_of(c);
	size_t first = family < 2 ? 0 : 1, behind = family < 2 ? 1 : RECALL_BANDS;
	struct buf keys = {0};
	struct str rest, line;
	bool any = false;
	list_open(cs, &keys);
	rest = buf_str(&keys);
	while (str_next(&rest, '\n', &line)) {
		struct collection *k = line.n ? take_pinned(cs, line) : NULL;
		const struct layout *l = k ? layout_of(k) : NULL;
		for (size_t s = 0; l && s < l->n; s++)
			for (size_t band = first; band < behind; band++) {
				struct recall_state x;
				if (!recall_of(k, &l->spaces[s], band, &x) || !x.now.queries)
					continue;
				if (!any)
					buf_addf(out,
						"# HELP croft_collection_%s %s\n"
						"# TYPE croft_collection_%s gauge\n",
						heads[family][0], heads[family][1],
						heads[family][0]);
				any = true;
				write_metric(out, family, k, &l->spaces[s], band, &x);
			}
		if (k)
			let_go_pinned(k);
	}
	buf_free(&keys);
}

void recall_metrics(struct croft *c, struct buf *out)
{
	for (size_t family = 0; family < ARRAY_LEN(heads); family++)
		metric(c, out, family);
}
