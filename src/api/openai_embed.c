#include "api/api_int.h"

#include "endpoint/remote.h"

#include <stdlib.h>

struct embedding {
	const struct embed_params *p;
	struct endpoint *ep;
	struct run *run;
	size_t dim, n_tokens;
	float *out;
	struct api_error x;
};

static enum err check_ids(struct embedding *m, const struct tokenizer *tk)
{
	for (size_t i = 0; i < m->p->n_inputs; i++)
		for (size_t k = 0; k < m->p->inputs[i].n_ids; k++)
			if ((size_t)m->p->inputs[i].ids[k] >= tokenizer_vocab_size(tk))
				return api_fail(&m->x, ERR_INVALID, "invalid_value", "input",
					"input[%zu]: %d is no token of this model", i,
					(int)m->p->inputs[i].ids[k]);
	return OK;
}

/* Texts and lists of ids are not mixed in practice; when they are, each kind is one call. */
static enum err run_texts(struct embedding *m, struct arena *a, const struct cancel *cancel)
{
	const struct embed_params *p = m->p;
	struct model *model = endpoint_model(m->ep);
	struct str *texts = arena_array_of(a, p->n_inputs, struct str);
	if (!texts)
		return api_fail(&m->x, ERR_NOMEM, NULL, NULL, "no memory for the texts");
	for (size_t i = 0; i < p->n_inputs; i++)
		texts[i] = p->inputs[i].text;
	size_t truncated = 0;
	enum err e = embed_texts_as(model, p->as, texts, p->n_inputs, false, m->out, &truncated,
		&m->n_tokens, cancel, &m->x.et);
	return e ? api_fail_from(&m->x, e, "input") : OK;
}

static enum err run_ids(struct embedding *m, struct arena *a, const struct cancel *cancel)
{
	const struct embed_params *p = m->p;
	struct model *model = endpoint_model(m->ep);
	struct tokens *seqs = arena_array_of(a, p->n_inputs, struct tokens);
	if (!seqs)
		return api_fail(&m->x, ERR_NOMEM, NULL, NULL, "no memory for the tokens");
	for (size_t i = 0; i < p->n_inputs; i++) {
		seqs[i] = (struct tokens){.id = p->inputs[i].ids, .n = p->inputs[i].n_ids};
		m->n_tokens += p->inputs[i].n_ids;
	}
	enum err e = embed_tokens(model, seqs, p->n_inputs, m->out, cancel, &m->x.et);
	return e ? api_fail_from(&m->x, e, "input") : OK;
}

/* The vectors of a remote provider, as it gives them. */
static enum err run_remote(struct embedding *m, struct croft *c, struct http_request *rq)
{
	const struct embed_params *p = m->p;
	struct remote_vectors v = {0};
	struct str *texts = arena_array_of(rq->arena, p->n_inputs, struct str);
	if (!texts)
		return api_fail(&m->x, ERR_NOMEM, NULL, NULL, "no memory for the texts");
	for (size_t i = 0; i < p->n_inputs; i++) {
		if (p->inputs[i].ids)
			return api_fail(&m->x, ERR_UNSUPPORTED, "unsupported_value", "input",
				"input: a remote provider is sent texts, not token ids");
		texts[i] = p->inputs[i].text;
	}
	enum err e = remote_embed(c, endpoint_remote(m->ep), m->run, texts, p->n_inputs,
		p->dimensions, rq->cancel, &v, &m->x.et);
	if (e)
		return api_fail_from(&m->x, e, "input");
	run_json(m->run, "receipt", buf_str(&v.receipt));
	m->out = v.v;
	m->dim = v.dim;
	m->n_tokens = v.tokens;
	v.v = NULL;
	remote_vectors_free(&v);
	return OK;
}

static enum err embed(struct embedding *m, struct croft *c, struct http_request *rq)
{
	enum err e = endpoint_embed(c, m->p->model, &m->ep, &m->x.et);
	if (e)
		return api_fail_from(&m->x, e, "model");
	struct model *model = endpoint_model(m->ep);
	if (!model) {
		run_text(m->run, "model", endpoint_name(m->ep));
		return run_remote(m, c, rq);
	}
	bool ids = m->p->inputs[0].ids != NULL;
	m->dim = model_info(model)->embedding_dim;
	run_text(m->run, "model", endpoint_name(m->ep));
	if (m->p->dimensions && (size_t)m->p->dimensions != m->dim)
		return api_fail(&m->x, ERR_INVALID, "unsupported_parameter", "dimensions",
			"dimensions is %lld; this model's embeddings have %zu and cannot be "
			"shortened",
			(long long)m->p->dimensions, m->dim);
	for (size_t i = 0; i < m->p->n_inputs; i++)
		if ((m->p->inputs[i].ids != NULL) != ids)
			return api_fail(&m->x, ERR_INVALID, "invalid_type", "input",
				"input must not mix texts and token ids");
	e = check_ids(m, model_tokenizer(model));
	if (e)
		return e;
	m->out = calloc(m->p->n_inputs, m->dim * sizeof *m->out);
	if (!m->out)
		return api_fail(&m->x, ERR_NOMEM, NULL, NULL, "no memory for the embeddings");
	struct span *s = span_begin(m->run, NULL, "embed", "embedding");
	span_text(s, "model", endpoint_name(m->ep));
	span_i64(s, "inputs", (int64_t)m->p->n_inputs);
	e = ids ? run_ids(m, rq->arena, rq->cancel) : run_texts(m, rq->arena, rq->cancel);
	span_i64(s, "prompt_tokens", (int64_t)m->n_tokens);
	span_end(s, e, &m->x.et);
	return e;
}

static void write_vector(const struct embedding *m, struct jw *w, const float *v, struct buf *b64)
{
	if (!m->p->base64) {
		jw_arr(w);
		for (size_t k = 0; k < m->dim; k++)
			jw_f32(w, v[k]);
		jw_end(w);
		return;
	}
	/* little-endian float32, as every machine that this runs on has it */
	_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "swap the bytes here");
	buf_clear(b64);
	base64_encode(b64, str_mk(v, m->dim * sizeof *v));
	jw_str(w, buf_str(b64));
}

static void reply(const struct embedding *m, struct http_response *rs)
{
	struct buf b = {0}, b64 = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	jw_kc(&w, "object", "list");
	jw_key(&w, "data");
	jw_arr(&w);
	for (size_t i = 0; i < m->p->n_inputs; i++) {
		jw_obj(&w);
		jw_kc(&w, "object", "embedding");
		jw_ki64(&w, "index", (int64_t)i);
		jw_key(&w, "embedding");
		write_vector(m, &w, m->out + i * m->dim, &b64);
		jw_end(&w);
	}
	jw_end(&w);
	jw_kstr(&w, "model", endpoint_name(m->ep));
	jw_key(&w, "usage");
	jw_obj(&w);
	jw_ki64(&w, "prompt_tokens", (int64_t)m->n_tokens);
	jw_ki64(&w, "total_tokens", (int64_t)m->n_tokens);
	jw_end(&w);
	jw_end(&w);
	http_reply_json(rs, 200, &w);
	buf_free(&b);
	buf_free(&b64);
}

void openai_embed(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct embed_params p;
	struct embedding m = {.p = &p};
	if (api_parse_embed(rq->body, rq->arena, &p, &m.x)) {
		api_reply_error(rs, &m.x);
		return;
	}
	char hex[ID_HEX + 1];
	struct buf name = {0};
	buf_addf(&name, "%zu input%s", p.n_inputs, p.n_inputs == 1 ? "" : "s");
	m.run = run_begin(c, project_of(rq), "embedding", buf_str(&name));
	id_hex(m.run ? run_id(m.run) : rq->id, hex);
	http_set_header(rs, "x-croft-run", str_c(hex));
	enum err e = embed(&m, c, rq);
	if (e)
		api_reply_error(rs, &m.x);
	else
		reply(&m, rs);
	run_i64(m.run, "inputs", (int64_t)p.n_inputs);
	run_i64(m.run, "prompt_tokens", (int64_t)m.n_tokens);
	run_end(m.run, e, &m.x.et);
	endpoint_put(m.ep);
	free(m.out);
	buf_free(&name);
}
