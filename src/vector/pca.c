/* Principal components by subspace iteration.
 *
 * A basis Q of a few more directions than are wanted is multiplied by the covariance again and
 * again, made orthonormal each time, until the variances that it catches settle; a small
 * eigenproblem then turns it into the components. The covariance itself is never formed: a pass
 * over the rows gives X' (X Q), block by block, added up in double precision. */
#include "vector/layout_int.h"

#include <math.h>
#include <stdlib.h>

enum { BLOCK = 1024, MORE = 10, PASSES_MAX = 100, SWEEPS_MAX = 60 };

struct pca {
	const struct layout_rows *x;
	const struct layout_work *w;
	size_t l;                     /* directions in Q */
	double *mean;                 /* [dim] */
	double *q;                    /* [l][dim] */
	double *z;                    /* [l][dim]: covariance times q */
	float *qf;                    /* q */
	float *rows, *t, *part;       /* [BLOCK][dim] centred, [BLOCK][l], [l][dim] */
	double *small, *turn, *value; /* [l][l], [l][l], [l] */
	double total;                 /* variance */
};

static enum err get_mean(struct pca *p)
{
	const struct layout_rows *x = p->x;
	for (size_t i = 0; i < x->n; i++) {
		if (i % 65536 == 0 && cancelled(p->w->cancel))
			return ERR_CANCELLED;
		for (size_t j = 0; j < x->dim; j++)
			p->mean[j] += (double)x->v[i * x->dim + j];
	}
	for (size_t j = 0; j < x->dim; j++)
		p->mean[j] /= (double)x->n;
	return OK;
}

static size_t centre(struct pca *p, size_t from)
{
	size_t m = MIN(p->x->n - from, (size_t)BLOCK), dim = p->x->dim;
	for (size_t i = 0; i < m; i++)
		for (size_t j = 0; j < dim; j++)
			p->rows[i * dim + j] =
				(float)((double)p->x->v[(from + i) * dim + j] - p->mean[j]);
	return m;
}

/* t = rows * q' */
static void project(struct pca *p, size_t m, float *t, size_t l)
{
	kern_gemm(p->w->team, &(struct kern_gemm){.tb = true,
				      .m = m,
				      .n = l,
				      .k = p->x->dim,
				      .a = p->rows,
				      .lda = p->x->dim,
				      .b = p->qf,
				      .ldb = p->x->dim,
				      .c = t,
				      .ldc = l,
				      .alpha = 1});
}

static void to_float(struct pca *p)
{
	for (size_t i = 0; i < p->l * p->x->dim; i++)
		p->qf[i] = (float)p->q[i];
}

/* z = covariance * q; the first pass also sums up the variance. */
static enum err pass(struct pca *p)
{
	size_t dim = p->x->dim;
	bool first = p->total < 0;
	double total = 0;
	to_float(p);
	memset(p->z, 0, p->l * dim * sizeof *p->z);
	for (size_t from = 0; from < p->x->n; from += BLOCK) {
		if (cancelled(p->w->cancel))
			return ERR_CANCELLED;
		size_t m = centre(p, from);
		project(p, m, p->t, p->l);
		kern_gemm(p->w->team, &(struct kern_gemm){.ta = true,
					      .m = p->l,
					      .n = dim,
					      .k = m,
					      .a = p->t,
					      .lda = p->l,
					      .b = p->rows,
					      .ldb = dim,
					      .c = p->part,
					      .ldc = dim,
					      .alpha = 1});
		for (size_t i = 0; i < p->l * dim; i++)
			p->z[i] += (double)p->part[i];
		for (size_t i = 0; first && i < m; i++)
			total += (double)kern->dot(p->rows + i * dim, p->rows + i * dim, dim);
	}
	for (size_t i = 0; i < p->l * dim; i++)
		p->z[i] /= (double)p->x->n;
	if (first)
		p->total = total / (double)p->x->n;
	return OK;
}

static double dot(const double *a, const double *b, size_t n)
{
	double s = 0;
	for (size_t i = 0; i < n; i++)
		s += a[i] * b[i];
	return s;
}

/* Gram and Schmidt, twice. A direction that vanishes becomes zero: it stands for no variance. */
static void orthonormal(double *q, size_t l, size_t dim)
{
	for (size_t i = 0; i < l; i++) {
		double *v = q + i * dim, before = sqrt(dot(v, v, dim));
		for (int again = 0; again < 2; again++)
			for (size_t j = 0; j < i; j++) {
				double c = dot(v, q + j * dim, dim);
				for (size_t d = 0; d < dim; d++)
					v[d] -= c * q[j * dim + d];
			}
		double size = sqrt(dot(v, v, dim));
		double f = size > before * 1e-10 && size > 0 ? 1 / size : 0;
		for (size_t d = 0; d < dim; d++)
			v[d] *= f;
	}
}

static void rotate(double *a, size_t l, size_t r, size_t s, double c, double n, bool columns)
{
	for (size_t i = 0; i < l; i++) {
		double *x = columns ? &a[i * l + r] : &a[r * l + i];
		double *y = columns ? &a[i * l + s] : &a[s * l + i];
		double u = *x, v = *y;
		*x = c * u - n * v;
		*y = n * u + c * v;
	}
}

/* Jacobi's method: the rows of `turn` become the eigenvectors of the symmetric `a`. */
static void eigen(double *a, double *turn, size_t l)
{
	for (size_t i = 0; i < l * l; i++)
		turn[i] = i / l == i % l;
	for (int sweep = 0; sweep < SWEEPS_MAX; sweep++) {
		double off = 0, all = 0;
		for (size_t i = 0; i < l * l; i++) {
			all += a[i] * a[i];
			off += i / l != i % l ? a[i] * a[i] : 0;
		}
		if (off <= all * 1e-28)
			return;
		for (size_t r = 0; r < l; r++)
			for (size_t s = r + 1; s < l; s++) {
				double x = a[r * l + s];
				if (x == 0)
					continue;
				double th = (a[s * l + s] - a[r * l + r]) / (2 * x);
				double t = (th < 0 ? -1 : 1) / (fabs(th) + sqrt(th * th + 1));
				double c = 1 / sqrt(t * t + 1), n = t * c;
				rotate(a, l, r, s, c, n, true);
				rotate(a, l, r, s, c, n, false);
				rotate(turn, l, r, s, c, n, false);
			}
	}
}

/* The variances that q catches, largest first, and q turned to their directions. */
static void settle(struct pca *p)
{
	size_t l = p->l, dim = p->x->dim;
	for (size_t i = 0; i < l; i++)
		for (size_t j = 0; j <= i; j++)
			p->small[i * l + j] = p->small[j * l + i] =
				dot(p->q + i * dim, p->z + j * dim, dim);
	eigen(p->small, p->turn, l);
	for (size_t i = 0; i < l; i++)
		p->value[i] = p->small[i * l + i];
	for (size_t i = 0; i < l; i++) {
		size_t best = i;
		for (size_t j = i + 1; j < l; j++)
			if (p->value[j] > p->value[best])
				best = j;
		double v = p->value[i];
		p->value[i] = p->value[best];
		p->value[best] = v;
		for (size_t j = 0; j < l && best != i; j++) {
			double u = p->turn[i * l + j];
			p->turn[i * l + j] = p->turn[best * l + j];
			p->turn[best * l + j] = u;
		}
	}
}

/* out = turn * in, rows of dim. */
static void turned(const struct pca *p, const double *in, double *out)
{
	size_t l = p->l, dim = p->x->dim;
	memset(out, 0, l * dim * sizeof *out);
	for (size_t i = 0; i < l; i++)
		for (size_t j = 0; j < l; j++)
			for (size_t d = 0; d < dim; d++)
				out[i * dim + d] += p->turn[i * l + j] * in[j * dim + d];
}

static enum err iterate(struct pca *p, size_t k)
{
	double last = -1;
	enum err e = OK;
	for (int i = 0; i < PASSES_MAX && !e; i++) {
		e = layout_at(p->w, "principal components", (uint64_t)i, PASSES_MAX);
		e = e ? e : pass(p);
		if (e)
			break;
		settle(p);
		double sum = 0, change;
		for (size_t j = 0; j < k; j++)
			sum += p->value[j];
		change = fabs(sum - last);
		last = sum;
		if (change <= 1e-9 * sum || p->l == p->x->dim || i == PASSES_MAX - 1)
			break;
		memcpy(p->q, p->z, p->l * p->x->dim * sizeof *p->q);
		orthonormal(p->q, p->l, p->x->dim);
	}
	return e;
}

static enum err write_out(struct pca *p, size_t k, float *out, float *share)
{
	size_t dim = p->x->dim;
	turned(p, p->q, p->z); /* z is free now */
	for (size_t i = 0; i < k; i++) {
		double *v = p->z + i * dim, largest = 0;
		for (size_t d = 0; d < dim; d++)
			if (fabs(v[d]) > fabs(largest) * (1 + 1e-9))
				largest = v[d];
		for (size_t d = 0; d < dim && largest < 0; d++)
			v[d] = -v[d];
		if (share)
			share[i] = p->total > 0 ? (float)(MAX(p->value[i], 0) / p->total) : 0;
	}
	memcpy(p->q, p->z, p->l * dim * sizeof *p->q);
	to_float(p);
	for (size_t from = 0; from < p->x->n; from += BLOCK) {
		if (cancelled(p->w->cancel))
			return ERR_CANCELLED;
		project(p, centre(p, from), out + from * k, k);
	}
	return OK;
}

static bool get_memory(struct pca *p)
{
	size_t l = p->l, dim = p->x->dim;
	p->mean = calloc(dim, sizeof *p->mean);
	p->q = calloc(l * dim, sizeof *p->q);
	p->z = calloc(l * dim, sizeof *p->z);
	p->qf = calloc(l * dim, sizeof *p->qf);
	p->rows = calloc(BLOCK * dim, sizeof *p->rows);
	p->t = calloc(BLOCK * l, sizeof *p->t);
	p->part = calloc(l * dim, sizeof *p->part);
	p->small = calloc(l * l, sizeof *p->small);
	p->turn = calloc(l * l, sizeof *p->turn);
	p->value = calloc(l, sizeof *p->value);
	return p->mean && p->q && p->z && p->qf && p->rows && p->t && p->part && p->small &&
	       p->turn && p->value;
}

static void give_back(struct pca *p)
{
	free(p->mean);
	free(p->q);
	free(p->z);
	free(p->qf);
	free(p->rows);
	free(p->t);
	free(p->part);
	free(p->small);
	free(p->turn);
	free(p->value);
}

enum err layout_pca(const struct layout_rows *x, size_t k, uint64_t seed,
	const struct layout_work *w, float *out, float *share, struct errtext *et)
{
	if (!x->n || !k || k > x->dim || k > LAYOUT_PCA_MAX || x->n > LAYOUT_ROWS_MAX)
		return err_set(et, ERR_INVALID,
			"%zu principal components of %zu vectors of %zu numbers: 1 to %d are "
			"possible, and no more than numbers",
			k, x->n, x->dim, LAYOUT_PCA_MAX);
	struct pca p = {.x = x, .w = w, .l = MIN(k + MORE, x->dim), .total = -1};
	enum err e = get_memory(&p) ? get_mean(&p) : layout_no_memory(et);
	if (!e) {
		for (size_t i = 0; i < p.l * x->dim; i++)
			p.q[i] = (double)(layout_uniform(&seed) + layout_uniform(&seed) +
					  layout_uniform(&seed));
		orthonormal(p.q, p.l, x->dim);
		e = iterate(&p, k);
	}
	e = e ? e : write_out(&p, k, out, share);
	give_back(&p);
	return e;
}
