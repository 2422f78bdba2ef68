/* LoRA adapters: read from PEFT's folder or a GGUF file, checked against the model they are for,
 * and packed for products.
 *
 * Two layouts of rows meet here. Rows of q and k in a Llama-family GGUF stand so that rotary
 * embedding turns (2i, 2i + 1), in Hugging Face's so that it turns (i, i + half) (arch.c), and the
 * rows of an adapter's B stand as those of the file it was made for. When adapter and model come
 * from different sides, B's rows are put into the model's order while they are packed. */
#include "engine/adapter_int.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"
#include "engine/gguf.h"
#include "text/dfa.h"

enum { LAYER_MATS = 7, PATTERNS_MAX = 256 };
_Static_assert(offsetof(struct layer, down) - offsetof(struct layer, q) ==
		       (LAYER_MATS - 1) * sizeof(struct kern_mat),
	"the matrices of a layer stand together");

struct adapter {
	atomic_uint refs;
	struct model *model;
	uint64_t id;
	struct lora *at; /* [layers][LAYER_MATS], then the output's */
	void *mem;
	size_t mem_bytes;
	char base[256];
	struct adapter_info info;
};

/* ---- what it adds where ---------------------------------------------------------------------- */

static size_t place_of(const struct model *m, uint32_t layer, const struct kern_mat *w)
{
	if (w == &m->output)
		return (size_t)m->hp.layers * LAYER_MATS;
	return (size_t)layer * LAYER_MATS + (size_t)(w - &m->layers[layer].q);
}

const struct lora *adapter_of(
	const struct adapter *a, const struct model *m, uint32_t layer, const struct kern_mat *w)
{
	const struct lora *l = &a->at[place_of(m, layer, w)];
	return l->b.n ? l : NULL;
}

uint64_t adapter_id(const struct adapter *a)
{
	return a ? a->id : 0;
}

const struct adapter_info *adapter_info(const struct adapter *a)
{
	return &a->info;
}

const struct model *adapter_model(const struct adapter *a)
{
	return a->model;
}

/* ---- the settings ---------------------------------------------------------------------------- */

/* A regular expression of module names and what holds for them. */
struct pattern {
	const struct dfa *of;
	double value;
};

struct patterns {
	struct pattern *p;
	size_t n;
};

struct settings {
	bool gguf, rslora;
	double rank, alpha; /* rank 0: not said */
	struct patterns ranks, alphas;
	struct arena *arena;
};

enum must { MUST_FALSE, MUST_EMPTY };

/* Members of adapter_config.json with which the adapter computes something else. */
static const struct refusal {
	const char *key;
	enum must must; /* otherwise it is refused */
	const char *why;
} refusals[] = {
	{"use_dora", MUST_FALSE, "DoRA (use_dora) scales whole rows of the weights"},
	{"fan_in_fan_out", MUST_FALSE, "fan_in_fan_out stores matrices the other way round"},
	{"modules_to_save", MUST_EMPTY, "modules_to_save replaces whole modules of the model"},
	{"layer_replication", MUST_EMPTY, "layer_replication changes the model's layers"},
	{"trainable_token_indices", MUST_EMPTY, "trainable_token_indices replaces embeddings"},
	{"target_parameters", MUST_EMPTY, "target_parameters adapts what is no linear layer"},
	{"lora_bias", MUST_FALSE, "lora_bias adds biases"},
	{"use_qalora", MUST_FALSE, "QALoRA (use_qalora) groups the inputs"},
	{"use_bdlora", MUST_EMPTY, "use_bdlora makes the matrices block-diagonal"},
	{"alora_invocation_tokens", MUST_EMPTY,
		"an activated LoRA (alora_invocation_tokens) begins in the middle of a prompt"},
	{"arrow_config", MUST_EMPTY, "arrow_config chooses adapters by token"},
};

static bool is_as_it_must(yyjson_val *v, enum must must)
{
	if (!v || yyjson_is_null(v) || (yyjson_is_bool(v) && !yyjson_get_bool(v)))
		return true;
	return must == MUST_EMPTY &&
	       (yyjson_arr_size(v) == 0 && yyjson_obj_size(v) == 0 && yyjson_is_ctn(v));
}

/* Starts of the weights that change the model itself; saved so, they do not fit the model. */
static bool changes_the_model(yyjson_val *init)
{
	struct str s = json_val_str(init);
	return str_starts(s, S("pissa")) || str_eq_c(s, "olora") || str_eq_c(s, "corda") ||
	       str_eq_c(s, "loftq");
}

static enum err check_config(yyjson_val *c, struct errtext *et)
{
	struct str type = json_str(c, "peft_type"), bias = json_str(c, "bias");
	if (!yyjson_is_obj(c))
		return err_set(et, ERR_CORRUPT, "adapter_config.json holds no object");
	if (!str_eq_c(type, "LORA"))
		return err_set(et, ERR_UNSUPPORTED,
			"an adapter of the type %.*s (peft_type); LORA is supported",
			STR_FMT(str_sub(type.n ? type : S("(none)"), 0, 60)));
	for (size_t i = 0; i < ARRAY_LEN(refusals); i++)
		if (!is_as_it_must(yyjson_obj_get(c, refusals[i].key), refusals[i].must))
			return err_set(
				et, ERR_UNSUPPORTED, "%s: this is not supported", refusals[i].why);
	if (bias.n && !str_eq_c(bias, "none"))
		return err_set(et, ERR_UNSUPPORTED,
			"bias is \"%.*s\": the adapter changes biases, which is not supported",
			STR_FMT(str_sub(bias, 0, 60)));
	yyjson_val *init = yyjson_obj_get(c, "init_lora_weights");
	if (changes_the_model(init))
		return err_set(et, ERR_UNSUPPORTED,
			"init_lora_weights is \"%s\", which changed the model's weights too: save "
			"it converted (path_initial_model_for_weight_conversion)",
			yyjson_get_str(init));
	return OK;
}

/* As PEFT reads a key of rank_pattern and alpha_pattern: it matches the end of a module's name,
 * after a dot or from its beginning. */
static enum err add_pattern(
	struct settings *s, struct patterns *to, yyjson_val *k, yyjson_val *v, struct errtext *et)
{
	struct buf re = {0};
	struct pattern *p = &to->p[to->n];
	if (!yyjson_is_num(v))
		return err_set(et, ERR_CORRUPT, "the value of the pattern %.100s is no number",
			yyjson_get_str(k));
	buf_addf(&re, "(.*\\.)?(%s)", yyjson_get_str(k));
	enum err e = re.err ? err_set(et, ERR_NOMEM, "no memory")
			    : dfa_regex(s->arena, buf_str(&re), DFA_WHOLE, &p->of, et);
	buf_free(&re);
	if (e)
		return err_wrap(et, e, "the pattern %.100s", yyjson_get_str(k));
	p->value = yyjson_get_num(v);
	to->n++;
	return OK;
}

static enum err read_patterns(struct settings *s, yyjson_val *config, const char *key,
	struct patterns *out, struct errtext *et)
{
	yyjson_val *obj = yyjson_obj_get(config, key), *k, *v;
	size_t i, n;
	if (yyjson_obj_size(obj) > PATTERNS_MAX)
		return err_set(et, ERR_TOO_LARGE, "%s has more than %d members", key, PATTERNS_MAX);
	out->p = arena_array_of(s->arena, yyjson_obj_size(obj) + 1, struct pattern);
	if (!out->p)
		return err_set(et, ERR_NOMEM, "no memory");
	yyjson_obj_foreach(obj, i, n, k, v)
	{
		enum err e = add_pattern(s, out, k, v, et);
		if (e)
			return err_wrap(et, e, "%s", key);
	}
	return OK;
}

static enum err settings_peft(
	struct settings *s, const struct weights *w, char base[256], struct errtext *et)
{
	yyjson_doc *doc;
	enum err e = json_parse(weights_config(w), &doc, et);
	if (e)
		return err_wrap(et, ERR_CORRUPT, "adapter_config.json");
	yyjson_val *c = yyjson_doc_get_root(doc);
	e = check_config(c, et);
	s->rank = json_f64(c, "r", 0);
	s->alpha = json_f64(c, "lora_alpha", 0);
	s->rslora = json_bool(c, "use_rslora", false);
	if (!e && !(s->rank >= 1 && isfinite(s->alpha) && s->alpha != 0))
		e = err_set(et, ERR_CORRUPT, "adapter_config.json: r or lora_alpha is missing");
	if (!e)
		e = read_patterns(s, c, "rank_pattern", &s->ranks, et);
	if (!e)
		e = read_patterns(s, c, "alpha_pattern", &s->alphas, et);
	struct str name = str_sub(json_str(c, "base_model_name_or_path"), 0, 255);
	snprintf(base, 256, "%.*s", STR_FMT(name));
	yyjson_doc_free(doc);
	return e;
}

static enum err settings_gguf(struct settings *s, const struct gguf *g, const struct model *m,
	char base[256], struct errtext *et)
{
	struct str type = gguf_str(g, "general.type"), kind = gguf_str(g, "adapter.type"),
		   arch = gguf_str(g, "general.architecture"), name;
	struct gguf_array tokens;
	s->alpha = gguf_f64(g, "adapter.lora.alpha", NAN);
	if (!str_eq_c(type, "adapter"))
		return err_set(et, ERR_INVALID,
			"this GGUF file is no adapter (general.type is "
			"\"%.*s\")",
			STR_FMT(str_sub(type, 0, 60)));
	if (!str_eq_c(kind, "lora"))
		return err_set(et, ERR_UNSUPPORTED,
			"an adapter of the type \"%.*s\" (adapter.type); lora is supported",
			STR_FMT(str_sub(kind, 0, 60)));
	if (!str_eq_c(arch, m->arch->name))
		return err_set(et, ERR_INVALID,
			"the adapter is for the architecture %.*s, the model's is %s",
			STR_FMT(str_sub(arch, 0, 60)), m->arch->name);
	if (!isfinite(s->alpha))
		return err_set(et, ERR_CORRUPT, "the adapter lacks adapter.lora.alpha");
	if (gguf_array(g, "adapter.alora.invocation_tokens", &tokens) && tokens.n)
		return err_set(et, ERR_UNSUPPORTED,
			"an activated LoRA (adapter.alora.invocation_tokens) begins in the middle "
			"of a prompt: this is not supported");
	name = str_sub(gguf_str(g, "general.base_model.0.name"), 0, 255);
	snprintf(base, 256, "%.*s", STR_FMT(name));
	return OK;
}

static bool is_of(const struct dfa *d, struct str name)
{
	uint32_t s = dfa_start(d);
	for (size_t i = 0; i < name.n; i++)
		s = dfa_step(d, s, (uint8_t)name.p[i]);
	return dfa_accept(d, s) != 0;
}

static double said(const struct patterns *p, struct str module, double otherwise)
{
	for (size_t i = 0; i < p->n; i++)
		if (is_of(p->p[i].of, module))
			return p->p[i].value;
	return otherwise;
}

/* The scale of a module's product. An alpha of 0 in a GGUF file: 1, as llama.cpp has it. */
static double scale_of(const struct settings *s, struct str module, double rank)
{
	double alpha = said(&s->alphas, module, s->alpha);
	if (s->gguf)
		return alpha != 0 ? alpha / rank : 1;
	return alpha / (s->rslora ? sqrt(rank) : rank);
}

/* ---- one matrix ------------------------------------------------------------------------------ */

/* Once without memory, to check and to measure; then to pack. */
struct packer {
	struct adapter *a;
	struct weights *w;
	const struct settings *s;
	struct errtext *et;
	unsigned char *mem;
	size_t at;
};

struct names {
	char module[160], a[200], b[200];
};

/* How the files call the adapter of the matrix whose tensor has this row. */
static void name_it(const struct packer *p, const struct tensor_row *r, uint32_t layer,
	const char *prefix, struct names *out)
{
	char whole[160];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(whole, sizeof whole, p->s->gguf ? r->gguf : r->hf, layer); /* from arch.c's rows */
#pragma GCC diagnostic pop
	struct str bare = str_c(whole);
	if (p->s->gguf) {
		snprintf(out->module, sizeof out->module, "%.140s", whole);
		snprintf(out->a, sizeof out->a, "%s.lora_a", whole);
		snprintf(out->b, sizeof out->b, "%s.lora_b", whole);
		return;
	}
	if (str_ends(bare, S(".weight")))
		bare.n -= 7;
	snprintf(out->module, sizeof out->module, "%s%.*s", prefix, STR_FMT(str_sub(bare, 0, 140)));
	snprintf(out->a, sizeof out->a, "base_model.model.%s.lora_A.weight", out->module);
	snprintf(out->b, sizeof out->b, "base_model.model.%s.lora_B.weight", out->module);
}

static enum err check_shape(const struct packer *p, const char *name, const struct tensor *t,
	uint64_t rows, uint64_t cols)
{
	if (t->rows == rows && t->cols == cols)
		return OK;
	return err_set(p->et, ERR_INVALID,
		"tensor %s is %llu x %llu; for this model it must be %llu x %llu", name,
		(unsigned long long)t->rows, (unsigned long long)t->cols, (unsigned long long)rows,
		(unsigned long long)cols);
}

static enum err check_pair(const struct packer *p, const struct names *n, const struct tensor *a,
	const struct tensor *b, const struct kern_mat *w)
{
	double want = said(&p->s->ranks, str_c(n->module), p->s->rank);
	if (a->rows < 1 || a->rows > LORA_RANK_MAX)
		return err_set(p->et, ERR_UNSUPPORTED,
			"tensor %s has the rank %llu; 1 to %d are supported", n->a,
			(unsigned long long)a->rows, LORA_RANK_MAX);
	if (want != 0 && want != (double)a->rows)
		return err_set(p->et, ERR_CORRUPT,
			"tensor %s has the rank %llu; the settings say %g", n->a,
			(unsigned long long)a->rows, want);
	enum err e = check_shape(p, n->a, a, a->rows, w->k);
	return e ? e : check_shape(p, n->b, b, w->n, a->rows);
}

/* Where row r of a matrix whose rows are turned in pairs, or in halves, stands in the other one. */
static size_t other_row(size_t r, size_t head, bool to_pairs)
{
	size_t in = r % head, half = head / 2;
	return to_pairs ? r - in + in % 2 * half + in / 2 : r - in + in % half * 2 + in / half;
}

/* F16, which has twice the precision of what adapters are trained in: four adapters of rank 16 in
 * F32 are half the bytes of a small model in 8 bits, and reading bytes is what takes the time. F32
 * for a matrix whose largest value F16 does not hold, or so small that the rounding of F16's
 * denormals would show. */
static enum err choose_type(struct packer *p, const struct tensor *t, enum kern_type *out)
{
	size_t row = kern_row_bytes(t->type, t->cols);
	float most = 0, *x = malloc(t->cols * sizeof *x);
	bool finite = true;
	if (!x)
		return err_set(p->et, ERR_NOMEM, "no memory to pack a matrix");
	for (size_t r = 0; r < t->rows; r++) {
		kern_dequant(t->type, (const char *)t->data + r * row, x, t->cols);
		for (size_t i = 0; i < t->cols; i++) {
			most = fmaxf(most, fabsf(x[i]));
			finite &= isfinite(x[i]) != 0;
		}
	}
	free(x);
	*out = finite && most <= 65504 && (most >= 0x1p-12f || most == 0) ? KERN_F16 : KERN_F32;
	return OK;
}

/* A row as F16 or F32; x is room for it as F32. */
static void convert(
	const struct tensor *t, const char *from, enum kern_type type, float *x, void *to)
{
	if (type == t->type) {
		memcpy(to, from, kern_row_bytes(type, t->cols));
	} else {
		kern_dequant(t->type, from, x, t->cols);
		kern_quant(type, x, to, t->cols);
	}
}

/* head 0: rows stay where they are. */
static enum err fill_mat(struct packer *p, const struct tensor *t, size_t head, bool to_pairs,
	enum kern_type type, size_t at, struct kern_mat *to)
{
	size_t row = kern_row_bytes(type, t->cols), file_row = kern_row_bytes(t->type, t->cols);
	char *rows = malloc(t->rows * row);
	float *x = malloc(t->cols * sizeof *x);
	enum err e = rows && x ? OK : err_set(p->et, ERR_NOMEM, "no memory to pack a matrix");
	for (size_t r = 0; r < t->rows && !e; r++) {
		size_t from = head ? other_row(r, head, to_pairs) : r;
		convert(t, (const char *)t->data + from * file_row, type, x, rows + r * row);
	}
	if (!e) {
		kern_mat_init(to, type, t->rows, t->cols, p->mem + at);
		kern_mat_pack_team(NULL, to, rows, 0, to->n);
	}
	free(rows);
	free(x);
	return e;
}

static enum err pack(
	struct packer *p, const struct tensor *t, size_t head, bool to_pairs, struct kern_mat *to)
{
	enum kern_type type = KERN_F16;
	enum err e = OK;
	if (!kern_row_bytes(t->type, t->cols) || !kern_mat_bytes(KERN_F32, t->rows, t->cols))
		e = err_set(p->et, ERR_UNSUPPORTED, "rows of %llu values cannot be packed",
			(unsigned long long)t->cols);
	else if (t->type != KERN_F16)
		e = choose_type(p, t, &type);
	if (e)
		return e;
	size_t at = p->at;
	p->at +=
		(kern_mat_bytes(type, t->rows, t->cols) + KERN_ALIGN - 1) / KERN_ALIGN * KERN_ALIGN;
	return p->mem ? fill_mat(p, t, head, to_pairs, type, at, to) : OK;
}

static bool is_turned(const struct tensor_row *r)
{
	return r->in_layer &&
	       (r->at == offsetof(struct layer, q) || r->at == offsetof(struct layer, k));
}

static enum err place_pair(struct packer *p, const struct tensor_row *r, const struct names *n,
	const struct tensor *a, const struct tensor *b, const struct kern_mat *w, struct lora *to)
{
	struct model *m = p->a->model;
	bool pairs = p->s->gguf && m->arch->flags & ARCH_GGUF_PAIRS;
	size_t head = is_turned(r) && pairs != m->rope_pairs ? m->hp.head_dim : 0;
	double scale = scale_of(p->s, str_c(n->module), (double)a->rows);
	if (!isfinite((float)scale))
		return err_set(p->et, ERR_CORRUPT, "the scale of %s is no number", n->module);
	struct lora l = {.scale = (float)scale};
	enum err e = pack(p, a, 0, false, &l.a);
	if (!e)
		e = pack(p, b, head, m->rope_pairs, &l.b);
	if (e)
		return err_wrap(p->et, e, "%s", n->module);
	if (p->mem) {
		struct adapter_info *i = &p->a->info;
		i->matrices++;
		i->rank_max = MAX(i->rank_max, (uint32_t)a->rows);
		i->parameters += a->rows * a->cols + b->rows * b->cols;
		*to = l;
	}
	return OK;
}

static enum err place(struct packer *p, const struct tensor_row *r, uint32_t layer)
{
	static const char *const prefixes[] = {"model.", ""};
	struct model *m = p->a->model;
	struct kern_mat *w =
		(void *)((r->in_layer ? (char *)&m->layers[layer] : (char *)m) + r->at);
	struct tensor a = {0}, b = {0};
	bool has_a = false, has_b = false;
	struct names n;
	for (size_t i = 0; i < (p->s->gguf ? 1 : ARRAY_LEN(prefixes)) && !has_a && !has_b; i++) {
		name_it(p, r, layer, prefixes[i], &n);
		enum err e = weights_find(p->w, n.a, &has_a, &a, p->et);
		if (!e)
			e = weights_find(p->w, n.b, &has_b, &b, p->et);
		if (e)
			return e;
	}
	if (has_a != has_b)
		return err_set(p->et, ERR_CORRUPT, "the adapter has %s, but not %s",
			has_a ? n.a : n.b, has_a ? n.b : n.a);
	if (!has_a)
		return OK;
	enum err e = check_pair(p, &n, &a, &b, w);
	return e ? e : place_pair(p, r, &n, &a, &b, w, &p->a->at[place_of(m, layer, w)]);
}

static enum err place_all(struct packer *p)
{
	const struct model *m = p->a->model;
	for (size_t i = 0; i < m->arch->n_rows; i++) {
		const struct tensor_row *r = &m->arch->rows[i];
		for (uint32_t l = 0; r->kind == TENSOR_MAT && l < (r->in_layer ? m->hp.layers : 1);
			l++) {
			enum err e = place(p, r, l);
			if (e)
				return e;
		}
	}
	return OK;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static bool none(struct str name)
{
	return false;
}

/* Words in the names of tensors that we know and do not compute. */
static const struct foreign {
	const char *word, *what;
} foreign[] = {
	{"lora_magnitude_vector", "DoRA"},
	{"lora_embedding_", "an adapter of the embeddings"},
	{"token_embd", "an adapter of the embeddings"},
	{"modules_to_save", "saved modules (modules_to_save)"},
};

static enum err check_rest(struct packer *p)
{
	char buf[128];
	const char *left = weights_unused(p->w, none, buf);
	if (!left && !p->at)
		return err_set(p->et, ERR_CORRUPT, "the adapter holds no tensor");
	if (!left)
		return OK;
	for (size_t i = 0; i < ARRAY_LEN(foreign); i++)
		if (strstr(left, foreign[i].word))
			return err_set(p->et, ERR_UNSUPPORTED,
				"%s: this is not supported (tensor %s)", foreign[i].what, left);
	return err_set(p->et, ERR_INVALID,
		"the adapter's tensor %s belongs to nothing in the model (%s, %u layers)", left,
		p->a->model->arch->name, p->a->model->hp.layers);
}

static enum err check_room(size_t bytes, const struct model_options *o, struct errtext *et)
{
	if (!o || !o->memory_max || bytes <= o->memory_max)
		return OK;
	if (o->memory_need)
		*o->memory_need = bytes;
	return err_set(et, ERR_LIMIT, "the adapter needs %zu bytes of memory; the limit is %llu",
		bytes, (unsigned long long)o->memory_max);
}

static enum err read_all(struct adapter *a, struct weights *w, struct settings *s,
	const struct model_options *o, struct errtext *et)
{
	const struct gguf *g = weights_gguf(w);
	s->gguf = g != NULL;
	enum err e =
		g ? settings_gguf(s, g, a->model, a->base, et) : settings_peft(s, w, a->base, et);
	struct packer p = {.a = a, .w = w, .s = s, .et = et};
	if (!e)
		e = place_all(&p);
	if (!e)
		e = check_rest(&p);
	if (!e)
		e = check_room(p.at, o, et);
	if (e)
		return e;
	a->mem_bytes = p.at;
	a->mem = mem_get(p.at, true);
	if (!a->mem)
		return err_set(et, ERR_NOMEM, "no memory for %zu bytes of an adapter", p.at);
	p.mem = a->mem;
	p.at = 0;
	return place_all(&p);
}

static void release(struct adapter *a)
{
	mem_put(a->mem, a->mem_bytes);
	free(a->at);
	model_unref(a->model);
	free(a);
}

static enum err fill(
	struct adapter *a, struct weights *w, const struct model_options *o, struct errtext *et)
{
	struct settings s = {.arena = arena_new(64 << 20)};
	a->at = calloc((size_t)a->model->hp.layers * LAYER_MATS + 1, sizeof *a->at);
	enum err e = s.arena && a->at ? read_all(a, w, &s, o, et)
				      : err_set(et, ERR_NOMEM, "no memory for an adapter");
	arena_free(s.arena);
	a->info.format = weights_gguf(w) ? "gguf" : "safetensors";
	a->info.base = a->base;
	a->info.file_bytes = weights_bytes(w);
	a->info.resident_bytes = a->mem_bytes;
	return e;
}

enum err adapter_from(struct weights *w, struct model *m, const struct model_options *o,
	struct adapter **out, struct errtext *et)
{
	static atomic_ullong ids;
	struct adapter *a = calloc(1, sizeof *a);
	enum err e = a ? OK : err_set(et, ERR_NOMEM, "no memory for an adapter");
	if (a) {
		atomic_init(&a->refs, 1);
		a->id = atomic_fetch_add(&ids, 1) + 1;
		a->model = model_ref(m);
		e = fill(a, w, o, et);
	}
	weights_free(w);
	if (e && a)
		release(a);
	else if (!e)
		*out = a;
	return e;
}

enum err adapter_open(const char *path, struct model *m, const struct model_options *o,
	struct adapter **out, struct errtext *et)
{
	uint64_t start = clock_mono_ns();
	struct weights *w;
	if (m->arch->task != MODEL_DECODER)
		return err_set(et, ERR_UNSUPPORTED,
			"'%s' (%s) is an encoder; adapters of decoders are supported", m->info.name,
			m->info.architecture);
	enum err e = weights_open_adapter(path, o ? &o->check : NULL, &w, et);
	if (!e)
		e = adapter_from(w, m, o, out, et);
	if (e)
		return err_wrap(et, e, "%s", path);
	(*out)->info.load_ns = clock_mono_ns() - start;
	return OK;
}

bool adapter_is(const char *path)
{
	struct buf config = {0};
	struct gguf *g;
	if (os_is_dir(path)) {
		buf_addf(&config, "%s/adapter_config.json", path);
		bool is = !config.err && os_exists(buf_c(&config));
		buf_free(&config);
		return is;
	}
	if (gguf_open(path, NULL, &g, NULL))
		return false;
	bool is = str_eq_c(gguf_str(g, "general.type"), "adapter");
	gguf_free(g);
	return is;
}

struct adapter *adapter_ref(struct adapter *a)
{
	atomic_fetch_add(&a->refs, 1);
	return a;
}

void adapter_unref(struct adapter *a)
{
	if (a && atomic_fetch_sub(&a->refs, 1) == 1)
		release(a);
}
