/* Opening a model: read the settings, find and check every tensor, plan the memory, pack the
 * weights with the team. What remains of the file in use are the tables that are looked up by row
 * (token embeddings), straight from the map. */
#include "engine/model_int.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include "base/clock.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/os.h"
#include "engine/gguf.h"

/* ---- memory ---------------------------------------------------------------------------------- */

void *mem_get(size_t bytes, bool huge)
{
	void *p = mmap(NULL, bytes ? bytes : 1, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	if (huge)
		madvise(p, bytes, MADV_HUGEPAGE);
	return p;
}

void mem_put(void *p, size_t bytes)
{
	if (p)
		munmap(p, bytes ? bytes : 1);
}

void plan_line(struct buf *plan, const char *what, uint64_t bytes)
{
	buf_addf(plan, "%-34s %14" PRIu64 "\n", what, bytes);
}

/* ---- placing tensors ------------------------------------------------------------------------- */

/* One pass over the rows; first without memory, to check and to measure, then to fill. */
struct loader {
	struct model *m;
	struct errtext *et;
	unsigned char *mem; /* NULL: measure */
	size_t at;
	uint64_t mats, vecs, tables; /* bytes, for the plan */
};

static size_t up(size_t n)
{
	return (n + KERN_ALIGN - 1) / KERN_ALIGN * KERN_ALIGN;
}

/* Hugging Face's names come with or without the name of the inner model. */
static enum err find_named(struct loader *l, const struct tensor_row *r, uint32_t layer,
	bool *found, struct tensor *t, char name[160])
{
	static const char *const prefix[] = {"", "model.", "bert.", "roberta."};
	bool gguf = weights_gguf(l->m->weights) != NULL;
	const char *pattern = gguf ? r->gguf : r->hf;
	*found = false;
	if (!pattern)
		return OK;
	for (size_t i = 0; i < (gguf ? 1 : ARRAY_LEN(prefix)) && !*found; i++) {
		int n = snprintf(name, 160, "%s", prefix[i]);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(name + n, 160 - (size_t)n, pattern, layer); /* from arch.c's rows */
#pragma GCC diagnostic pop
		enum err e = weights_find(l->m->weights, name, found, t, l->et);
		if (e)
			return e;
	}
	return OK;
}

/* The matrix in BF16, rounded from what the file has. */
static enum err pack_bf16(struct loader *l, const struct tensor *t, struct kern_mat *w)
{
	size_t row = kern_row_bytes(t->type, t->cols), bytes = t->rows * t->cols * sizeof(uint16_t);
	uint16_t *rows = mem_get(bytes, true);
	float *x = malloc(t->cols * sizeof *x);
	enum err e = rows && x ? OK : err_set(l->et, ERR_NOMEM, "no memory to round a matrix");
	for (size_t r = 0; r < t->rows && !e; r++) {
		kern_dequant(t->type, (const char *)t->data + r * row, x, t->cols);
		kern_quant(KERN_BF16, x, rows + r * t->cols, t->cols);
	}
	if (!e)
		kern_mat_pack_team(l->m->team, w, rows, 0, w->n);
	mem_put(rows, bytes);
	free(x);
	weights_forget(t->data, t->rows * row);
	return e;
}

/* Slice by slice, so that the file is never in memory beside the packed matrices. */
static void pack_slices(struct kern_team *team, struct kern_mat *w, const char *rows)
{
	enum { SLICE = 16 << 20 };
	size_t row = kern_row_bytes(w->type, w->k),
	       step = (SLICE / row / KERN_PANEL + 1) * KERN_PANEL;
	for (size_t r = 0; r < w->n; r += step) {
		size_t n = MIN(step, w->n - r);
		kern_mat_pack_team(team, w, rows, r, r + n);
		weights_forget(rows + r * row, n * row);
	}
}

static enum err place_mat(struct loader *l, const struct tensor *t, struct kern_mat *w)
{
	bool round = l->m->bf16 && (t->type == KERN_F32 || t->type == KERN_F16);
	enum kern_type type = round ? KERN_BF16 : t->type;
	size_t bytes = kern_mat_bytes(type, t->rows, t->cols);
	if (l->mem && round) {
		kern_mat_init(w, type, t->rows, t->cols, l->mem + l->at);
		enum err e = pack_bf16(l, t, w);
		if (e)
			return e;
	} else if (l->mem) {
		kern_mat_init(w, t->type, t->rows, t->cols, l->mem + l->at);
		pack_slices(l->m->team, w, t->data);
	}
	l->at += up(bytes);
	l->mats += bytes;
	return bytes ? OK
		     : err_set(l->et, ERR_UNSUPPORTED,
			       "rows of %" PRIu64 " values cannot be packed as %s", t->cols,
			       kern_type_info(t->type)->name);
}

static enum err place_vec(struct loader *l, const struct tensor *t, const float **v)
{
	size_t bytes = t->cols * sizeof(float);
	if (l->mem) {
		float *to = (float *)(void *)(l->mem + l->at);
		kern_dequant(t->type, t->data, to, t->cols);
		*v = to;
	}
	l->at += up(bytes);
	l->vecs += bytes;
	return OK;
}

static enum err place(struct loader *l, const struct tensor_row *r, uint32_t layer)
{
	struct tensor t;
	bool found;
	char name[160];
	enum err e = find_named(l, r, layer, &found, &t, name);
	if (e)
		return e;
	if (!found)
		return r->optional ? OK
				   : err_set(l->et, ERR_CORRUPT,
					     "the file lacks the tensor %s of architecture %s",
					     name, l->m->arch->name);
	uint64_t rows = arch_dim(&l->m->hp, r->rows), cols = arch_dim(&l->m->hp, r->cols);
	if (t.rows != rows || t.cols != cols)
		return err_set(l->et, ERR_CORRUPT,
			"tensor %s is %" PRIu64 " x %" PRIu64 "; the settings ask for %" PRIu64
			" x %" PRIu64,
			name, t.rows, t.cols, rows, cols);
	char *base = r->in_layer ? (char *)&l->m->layers[layer] : (char *)l->m;
	void *at = base + r->at;
	switch (r->kind) {
	case TENSOR_MAT:
		e = place_mat(l, &t, at);
		break;
	case TENSOR_VEC:
		e = place_vec(l, &t, at);
		break;
	case TENSOR_TABLE:
		*(struct table *)at = (struct table){t.type, t.rows, t.cols, t.data};
		l->tables += t.bytes;
		break;
	}
	return e ? err_wrap(l->et, e, "%s", name) : OK;
}

/* Tied embeddings: the table again, packed for the last product. */
static enum err place_output(struct loader *l)
{
	const struct table *tok = &l->m->tokens;
	bool gguf = weights_gguf(l->m->weights);
	struct tensor t;
	bool has;
	enum err e = weights_find(
		l->m->weights, gguf ? "output.weight" : "lm_head.weight", &has, &t, l->et);
	if (e || has)
		return e;
	if (!l->m->hp.tied)
		return err_set(l->et, ERR_CORRUPT,
			"the file lacks lm_head.weight, and config.json does not tie it to the "
			"embeddings");
	t = (struct tensor){tok->type, tok->n, tok->k, tok->rows, 0};
	return place_mat(l, &t, &l->m->output);
}

static enum err place_rows(struct loader *l, const struct tensor_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (uint32_t j = 0; j < (rows[i].in_layer ? l->m->hp.layers : 1); j++) {
			enum err e = place(l, &rows[i], j);
			if (e)
				return e;
		}
	return OK;
}

static enum err place_all(struct loader *l)
{
	const struct arch *a = l->m->arch;
	enum err e = place_rows(l, a->rows, a->n_rows);
	if (!e && l->m->hp.pooling == POOL_RANK)
		e = place_rows(l, arch_rank_rows(a), N_ARCH_RANK_ROWS);
	if (e)
		return e;
	return a->task == MODEL_DECODER ? place_output(l) : OK;
}

/* Tensors that may be in a file without changing what we compute. */
static bool harmless(struct str n)
{
	return str_ends(n, S("position_ids")) || str_ends(n, S("rotary_emb.inv_freq")) ||
	       str_find(n, S("pooler.")) != STR_NONE || str_starts(n, S("cls.")) ||
	       str_eq_c(n, "lm_head.weight");
}

/* What the family must have beyond the rows that are always needed. */
static enum err check_family(const struct model *m, struct errtext *et)
{
	char unused[128];
	if (weights_unused(m->weights, harmless, unused))
		return err_set(et, ERR_UNSUPPORTED,
			"the file has a tensor that architecture %s does not know: %s",
			m->arch->name, unused);
	if (m->hp.pooling == POOL_RANK && !m->pooler.n && !weights_gguf(m->weights))
		return err_set(et, ERR_CORRUPT, "the file lacks the tensor %s",
			arch_rank_rows(m->arch)[0].hf);
	for (uint32_t i = 0; i < m->hp.layers; i++) {
		const struct layer *l = &m->layers[i];
		if (m->arch->flags & ARCH_QKV_BIAS && !(l->q_b && l->k_b && l->v_b))
			return err_set(et, ERR_CORRUPT, "layer %u lacks the biases of q, k, v", i);
		if (m->arch->flags & ARCH_QK_NORM && !(l->q_norm && l->k_norm))
			return err_set(et, ERR_CORRUPT, "layer %u lacks the norms of q, k", i);
		if (!l->q_norm != !l->k_norm)
			return err_set(et, ERR_CORRUPT, "layer %u has a norm of q or k only", i);
	}
	return OK;
}

/* ---- the plan -------------------------------------------------------------------------------- */

/* Before anything is allocated: what the model takes by itself, and its generator. */
static enum err make_plan(const struct model *m, const struct model_options *o,
	struct memory_plan *out, struct errtext *et)
{
	struct memory_plan p = {.task = m->arch->task,
		.architecture = m->arch->name,
		.weights = weights_main_type(m->weights),
		.parameters = weights_values(m->weights),
		.file_bytes = weights_bytes(m->weights),
		.mapped_bytes = m->mapped_bytes,
		.weight_bytes = m->mem_bytes,
		.threads = m->threads,
		.context_max = m->arch->task == MODEL_ENCODER ? m->hp.read_max : m->hp.context};
	enum err e = OK;
	if (m->arch->task == MODEL_ENCODER)
		p.pass_bytes = encoder_needs(m, &p.thread_bytes);
	else if (o->generator)
		e = generator_needs(m, o->generator, &p, et);
	if (e)
		return e;
	p.total_bytes = p.weight_bytes + p.pass_bytes + p.kv_bytes + p.drafting_bytes;
	if (!p.least_bytes) /* it has no generator */
		p.least_bytes = p.total_bytes;
	*out = p;
	return OK;
}

static enum err fits(const struct memory_plan *p, const struct model_options *o, struct errtext *et)
{
	if (!o->memory_max || p->least_bytes <= o->memory_max)
		return OK;
	if (o->memory_need)
		*o->memory_need = p->least_bytes;
	if (!p->kv_bytes)
		return err_set(et, ERR_LIMIT,
			"its weights (%" PRIu64 " bytes) and a pass (%" PRIu64 ") need %" PRIu64
			" bytes of memory; the limit is %" PRIu64,
			p->weight_bytes, p->pass_bytes, p->least_bytes, o->memory_max);
	return err_set(et, ERR_LIMIT,
		"its weights (%" PRIu64 " bytes), a pass (%" PRIu64
		") and keys and values of one context of %u tokens (%" PRIu64 ") need %" PRIu64
		" bytes of memory; the limit is %" PRIu64,
		p->weight_bytes, p->pass_bytes, p->context_tokens,
		p->least_bytes - p->weight_bytes - p->pass_bytes, p->least_bytes, o->memory_max);
}

/* Finds and checks every tensor, without reading any. */
static enum err measure_tensors(struct model *m, struct errtext *et)
{
	struct loader l = {.m = m, .et = et};
	m->layers = calloc(m->hp.layers, sizeof *m->layers);
	if (!m->layers)
		return err_set(et, ERR_NOMEM, "no memory for %u layers", m->hp.layers);
	enum err e = place_all(&l);
	m->mem_bytes = l.at;
	m->mapped_bytes = l.tables;
	return e;
}

static enum err load_tensors(struct model *m, struct errtext *et)
{
	m->mem = mem_get(m->mem_bytes, true);
	if (!m->mem)
		return err_set(et, ERR_NOMEM, "no memory for %zu bytes of weights", m->mem_bytes);
	struct loader l = {.m = m, .et = et, .mem = m->mem};
	enum err e = place_all(&l);
	if (!e)
		e = check_family(m, et);
	plan_line(&m->plan, "weights, packed", l.mats);
	plan_line(&m->plan, "norms and biases, f32", l.vecs);
	plan_line(&m->plan, "tables, mapped from the file", l.tables);
	return e;
}

/* ---- rope ------------------------------------------------------------------------------------ */

/* Llama 3's rule: long waves are slowed down by the factor, short ones stay, those between are
 * blended (the reference is rope_scaling of type "llama3" in the model's published code). */
static double llama3_scaled(const struct hparams *hp, double freq)
{
	double wave = 2 * M_PI / freq;
	double low_wave = hp->rope_old_context / hp->rope_low,
	       high_wave = hp->rope_old_context / hp->rope_high;
	if (wave < high_wave)
		return freq;
	if (wave > low_wave)
		return freq / hp->rope_factor;
	double smooth =
		(hp->rope_old_context / wave - hp->rope_low) / (hp->rope_high - hp->rope_low);
	return (1 - smooth) * freq / hp->rope_factor + smooth * freq;
}

static enum err prepare_rope(struct model *m, struct errtext *et)
{
	const struct hparams *hp = &m->hp;
	uint32_t half = hp->rope_dim / 2;
	m->rope_pairs = weights_gguf(m->weights) && m->arch->flags & ARCH_GGUF_PAIRS;
	m->inv_freq = calloc(half + 1, sizeof *m->inv_freq);
	if (!m->inv_freq)
		return err_set(et, ERR_NOMEM, "no memory");
	for (uint32_t i = 0; i < half; i++) {
		double f = pow(hp->rope_base, -2.0 * i / hp->rope_dim);
		if (m->rope_freqs) {
			if (!(m->rope_freqs[i] > 0))
				return err_set(et, ERR_CORRUPT,
					"rope_freqs.weight holds a factor that is not positive");
			f /= (double)m->rope_freqs[i];
		}
		if (hp->rope_factor > 0)
			f = llama3_scaled(hp, f);
		m->inv_freq[i] = f / hp->rope_linear;
	}
	return OK;
}

/* ---- the rest -------------------------------------------------------------------------------- */

static enum err load_tokenizer(struct model *m, struct errtext *et)
{
	const struct gguf *g = weights_gguf(m->weights);
	if (g)
		return tokenizer_from_gguf(g, &m->tokenizer, et);
	struct buf path = {0}, tok = {0}, conf = {0};
	buf_addf(&path, "%s/tokenizer.json", weights_folder(m->weights));
	enum err e = file_read(buf_c(&path), 256 << 20, weights_check(m->weights), &tok, et);
	buf_clear(&path);
	buf_addf(&path, "%s/tokenizer_config.json", weights_folder(m->weights));
	if (!e && os_exists(buf_c(&path)))
		e = file_read(buf_c(&path), 16 << 20, weights_check(m->weights), &conf, et);
	if (!e)
		e = tokenizer_from_json(buf_str(&tok), conf.n ? buf_str(&conf) : (struct str){0},
			&m->tokenizer, et);
	buf_free(&path);
	buf_free(&tok);
	buf_free(&conf);
	return e;
}

/* A GGUF file says the size of the vocabulary by its embeddings. */
static enum err find_vocab(struct model *m, struct errtext *et)
{
	const struct gguf *g = weights_gguf(m->weights);
	const struct gguf_tensor *t = g ? gguf_find(g, "token_embd.weight") : NULL;
	if (g) {
		if (!t || t->dim[1] > 1 << 24)
			return err_set(et, ERR_CORRUPT, "the file lacks token_embd.weight");
		m->hp.vocab = (uint32_t)t->dim[1];
	}
	return OK;
}

static enum err check_vocab(const struct model *m, struct errtext *et)
{
	size_t n = tokenizer_vocab_size(m->tokenizer);
	if (n > m->hp.vocab)
		return err_set(et, ERR_CORRUPT, "the tokenizer has %zu tokens, the model knows %u",
			n, m->hp.vocab);
	return OK;
}

static void describe(struct model *m)
{
	const struct hparams *hp = &m->hp;
	const struct gguf *g = weights_gguf(m->weights);
	struct str name = g ? gguf_str(g, "general.name") : (struct str){0};
	name = str_sub(name, 0, sizeof m->name - 1);
	name = str_sub(name, 0, utf8_valid(name) ? utf8_complete_prefix(name) : 0);
	memcpy(m->name, name.n ? name.p : "", name.n);
	m->info = (struct model_info){
		.task = m->arch->task,
		.architecture = m->arch->name,
		.name = m->name,
		.weights = weights_main_type(m->weights),
		.format = g ? "gguf" : "safetensors",
		.parameters = weights_values(m->weights),
		.file_bytes = weights_bytes(m->weights),
		.resident_bytes = m->mem_bytes + (m->encoder ? encoder_bytes(m->encoder) : 0),
		.layers = hp->layers,
		.width = hp->width,
		.heads = hp->heads,
		.kv_heads = hp->kv_heads,
		.vocab = hp->vocab,
		.context_max = m->arch->task == MODEL_ENCODER ? hp->read_max : hp->context,
		.embedding_dim =
			m->arch->task == MODEL_ENCODER && hp->pooling != POOL_RANK ? hp->width : 0,
		.pooling = hp->pooling,
		.normalised = hp->normalised,
		.query_prefix = m->prompts.query,
		.document_prefix = m->prompts.document,
	};
}

/* What can be known from the header: *plan, and whether it fits. */
static enum err open_header(struct model *m, const char *path, const struct model_options *o,
	struct memory_plan *plan, struct errtext *et)
{
	enum err e = weights_open(path, &o->check, &m->weights, et);
	if (e)
		return e;
	e = arch_of(m->weights, &m->arch, et);
	if (!e)
		m->bf16 &= m->arch->task == MODEL_ENCODER;
	if (!e)
		e = arch_hparams(m->weights, m->arch, &m->hp, et);
	if (!e && m->arch->task == MODEL_ENCODER)
		e = arch_prompts(m->weights, &m->prompts, et);
	if (!e)
		e = find_vocab(m, et);
	if (!e)
		e = measure_tensors(m, et);
	return e ? e : make_plan(m, o, plan, et);
}

static enum err open_rest(struct model *m, struct errtext *et)
{
	enum err e = kern_team_new(m->threads, &m->team, et);
	if (!e)
		e = load_tensors(m, et);
	if (!e && m->arch->task == MODEL_DECODER)
		e = prepare_rope(m, et);
	if (!e)
		e = load_tokenizer(m, et);
	if (!e)
		e = check_vocab(m, et);
	if (!e && m->arch->task == MODEL_ENCODER)
		e = encoder_new(m, &m->encoder, et);
	return e ? e : m->plan.err;
}

static void release(struct model *m)
{
	encoder_free(m->encoder);
	tokenizer_free(m->tokenizer);
	weights_free(m->weights);
	mem_put(m->mem, m->mem_bytes);
	free(m->layers);
	free(m->inv_freq);
	kern_team_free(m->team);
	buf_free(&m->plan);
	pthread_mutex_destroy(&m->compute);
	pthread_mutex_destroy(&m->identity_mu);
	free(m);
}

static pthread_once_t kern_once = PTHREAD_ONCE_INIT;
static enum err kern_state;
static struct errtext kern_why;

static void init_kernels(void)
{
	kern_state = kern_init(&kern_why);
}

static enum err new_model(
	const char *path, const struct model_options *o, struct model **out, struct errtext *et)
{
	pthread_once(&kern_once, init_kernels);
	if (kern_state)
		return err_set(et, kern_state, "%s", kern_why.msg);
	struct model *m = calloc(1, sizeof *m);
	if (!m)
		return err_set(et, ERR_NOMEM, "%s: no memory", path);
	atomic_init(&m->refs, 1);
	pthread_mutex_init(&m->compute, NULL);
	pthread_mutex_init(&m->identity_mu, NULL);
	m->memory_max = o->memory_max;
	m->bf16 = o->bf16 && kern_type_bf16(KERN_BF16);
	m->threads = MIN(o->threads ? o->threads : cpu_count(), 256u);
	*out = m;
	return OK;
}

enum err model_open(const char *path, const struct model_options *options, struct model **out,
	struct errtext *et)
{
	uint64_t start = clock_mono_ns();
	struct model_options o = options ? *options : (struct model_options){0};
	struct memory_plan plan;
	struct model *m;
	enum err e = new_model(path, &o, &m, et);
	if (e)
		return e;
	e = open_header(m, path, &o, &plan, et);
	if (!e && o.planned)
		o.planned(o.planned_ctx, &plan);
	e = e ? e : fits(&plan, &o, et);
	e = e ? e : open_rest(m, et);
	if (e) {
		release(m);
		return err_wrap(et, e, "%s", path);
	}
	weights_opened(m->weights);
	weights_forget_pages(m->weights);
	describe(m);
	m->info.load_ns = clock_mono_ns() - start;
	*out = m;
	return OK;
}

enum err memory_plan_of(const char *path, const struct model_options *options,
	struct memory_plan *out, struct errtext *et)
{
	struct model_options o = options ? *options : (struct model_options){0};
	struct model *m;
	o.check = (struct file_check){0}; /* nothing of it is used */
	enum err e = new_model(path, &o, &m, et);
	if (e)
		return e;
	e = open_header(m, path, &o, out, et);
	release(m);
	return e ? err_wrap(et, e, "%s", path) : OK;
}

struct model *model_ref(struct model *m)
{
	atomic_fetch_add(&m->refs, 1);
	return m;
}

void model_unref(struct model *m)
{
	if (m && atomic_fetch_sub(&m->refs, 1) == 1)
		release(m);
}

const struct model_info *model_info(const struct model *m)
{
	return &m->info;
}

const struct tokenizer *model_tokenizer(const struct model *m)
{
	return m->tokenizer;
}

void model_plan(const struct model *m, struct buf *out)
{
	buf_adds(out, buf_str(&m->plan));
}

/* ---- identity -------------------------------------------------------------------------------- */

static void add_bytes(void *ctx, const void *p, size_t n)
{
	sha256_add(ctx, p, n);
}

static void add_file(struct sha256 *h, const struct model *m, const char *rel)
{
	struct buf path = {0}, text = {0};
	buf_addf(&path, "%s/%s", weights_folder(m->weights), rel);
	if (os_exists(buf_c(&path)) && !os_read_file(buf_c(&path), 256 << 20, &text, NULL))
		sha256_add(h, text.p, text.n);
	buf_free(&path);
	buf_free(&text);
}

static enum err identify(struct model *m)
{
	struct sha256 h;
	unsigned char sum[SHA256_BYTES];
	enum err e = sha256_init(&h);
	if (e)
		return e;
	weights_hash(m->weights, NULL, add_bytes, &h);
	if (weights_folder(m->weights)) {
		add_file(&h, m, "config.json");
		add_file(&h, m, "tokenizer.json");
	}
	char how[128];
	int n = snprintf(how, sizeof how, "dim %u pooling %d normalised %d max %u%s",
		m->info.embedding_dim, (int)m->hp.pooling, m->hp.normalised, m->hp.read_max,
		m->bf16 ? " bf16" : "");
	sha256_add(&h, how, (size_t)n);
	if (m->prompts.query[0] || m->prompts.document[0]) {
		sha256_add(&h, m->prompts.query, strlen(m->prompts.query) + 1);
		sha256_add(&h, m->prompts.document, strlen(m->prompts.document) + 1);
	}
	sha256_end(&h, sum);
	hex_encode(sum, sizeof sum, m->identity);
	weights_forget_pages(m->weights);
	return OK;
}

const char *model_identity(struct model *m)
{
	pthread_mutex_lock(&m->identity_mu);
	if (!m->identity[0] && identify(m))
		m->identity[0] = 0;
	pthread_mutex_unlock(&m->identity_mu);
	return m->identity;
}
