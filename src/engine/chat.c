/* From messages to a prompt: the variables that chat templates expect, and ChatML for models that
 * come without a template. The template decides about BOS (callers then encode with
 * TOKENIZE_SPECIAL alone); ChatML begins with BOS where the tokenizer would add one. */
#include "engine/engine.h"

#include "engine/tokenizer_int.h"
#include "text/template.h"

static const char chatml[] =
	"{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + (m['content'] or "
	"'') + '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}"
	"{{ '<|im_start|>assistant\n' }}{% endif %}";

/* Templates want arguments as an object; on the wire they are JSON in a string. */
static void write_call(struct jw *w, yyjson_val *call, bool args_text)
{
	yyjson_val *fn = yyjson_obj_get(call, "function"), *k, *v;
	size_t i, n;
	jw_obj(w);
	if (yyjson_is_obj(call))
		yyjson_obj_foreach(call, i, n, k, v)
		{
			if (v == fn)
				continue;
			jw_key_str(w, json_val_str(k));
			jw_val(w, v);
		}
	if (!yyjson_is_obj(fn)) {
		jw_end(w);
		return;
	}
	jw_key(w, "function");
	jw_obj(w);
	yyjson_obj_foreach(fn, i, n, k, v)
	{
		yyjson_doc *doc = NULL;
		jw_key_str(w, json_val_str(k));
		if (!args_text && str_eq_c(json_val_str(k), "arguments") && yyjson_is_str(v) &&
			json_parse(json_val_str(v), &doc, NULL) == OK &&
			yyjson_is_obj(yyjson_doc_get_root(doc)))
			jw_val(w, yyjson_doc_get_root(doc));
		else
			jw_val(w, v);
		yyjson_doc_free(doc);
	}
	jw_end(w);
	jw_end(w);
}

static enum err write_message(struct jw *w, const struct chat_message *m, bool args_text,
	size_t index, struct errtext *et)
{
	jw_obj(w);
	jw_kstr(w, "role", m->role);
	jw_kstr(w, "content", m->content);
	if (m->reasoning.n) { /* as Qwen's and others' templates call it, and as gpt-oss' does */
		jw_kstr(w, "reasoning_content", m->reasoning);
		jw_kstr(w, "thinking", m->reasoning);
	}
	if (m->name.n)
		jw_kstr(w, "name", m->name);
	if (m->tool_call_id.n)
		jw_kstr(w, "tool_call_id", m->tool_call_id);
	if (m->tool_calls_json.n) {
		yyjson_doc *doc;
		enum err e = json_parse(m->tool_calls_json, &doc, et);
		if (e)
			return err_wrap(et, e, "messages[%zu].tool_calls", index);
		size_t i, n;
		yyjson_val *call;
		jw_key(w, "tool_calls");
		jw_arr(w);
		yyjson_arr_foreach(yyjson_doc_get_root(doc), i, n, call)
			write_call(w, call, args_text);
		jw_end(w);
		yyjson_doc_free(doc);
	}
	jw_end(w);
	return OK;
}

static void write_token(struct jw *w, const struct tokenizer *tk, const char *key, int32_t id)
{
	struct buf b = {0};
	tokenizer_piece(tk, id, true, &b);
	jw_kstr(w, key, buf_str(&b));
	buf_free(&b);
}

/* Members of an object that the caller gives; those that are ours are not replaced. */
static enum err write_more(struct jw *w, struct str json, struct errtext *et)
{
	static const char *const ours[] = {
		"messages", "tools", "add_generation_prompt", "bos_token", "eos_token"};
	yyjson_doc *doc;
	yyjson_val *k, *v;
	size_t i, n;
	enum err e = json_parse(json, &doc, et);
	if (e)
		return err_wrap(et, e, "variables of the chat template");
	yyjson_obj_foreach(yyjson_doc_get_root(doc), i, n, k, v)
	{
		bool own = false;
		for (size_t j = 0; j < ARRAY_LEN(ours); j++)
			own |= str_eq_c(json_val_str(k), ours[j]);
		if (!own) {
			jw_key_str(w, json_val_str(k));
			jw_val(w, v);
		}
	}
	yyjson_doc_free(doc);
	return OK;
}

static enum err write_vars(struct jw *w, const struct tokenizer *tk,
	const struct chat_message *msgs, size_t n, const struct chat_vars *vars, struct errtext *et)
{
	jw_obj(w);
	jw_key(w, "messages");
	jw_arr(w);
	for (size_t i = 0; i < n; i++) {
		enum err e = write_message(w, &msgs[i], vars->args_text, i, et);
		if (e)
			return e;
	}
	jw_end(w);
	if (vars->tools_json.n) {
		yyjson_doc *doc;
		enum err e = json_parse(vars->tools_json, &doc, et);
		if (e)
			return err_wrap(et, e, "tools");
		jw_key(w, "tools");
		jw_val(w, yyjson_doc_get_root(doc));
		yyjson_doc_free(doc);
	}
	if (vars->more_json.n) {
		enum err e = write_more(w, vars->more_json, et);
		if (e)
			return e;
	}
	jw_kbool(w, "add_generation_prompt", vars->add_generation_prompt);
	write_token(w, tk, "bos_token", tk->bos);
	write_token(w, tk, "eos_token", tk->eos);
	jw_end(w);
	return jw_done(w) ? OK : err_set(et, ERR_NOMEM, "chat template: out of memory");
}

enum err chat_prompt(const struct tokenizer *tk, const struct chat_message *msgs, size_t n,
	const struct chat_vars *v, struct buf *out, bool *used_default, struct errtext *et)
{
	struct str source = tokenizer_chat_template(tk);
	bool own = !source.n;
	struct template *t = NULL;
	struct buf vars = {0}, text = {0};
	struct jw w = {.out = &vars};
	yyjson_doc *doc = NULL;
	enum err e = template_parse(own ? str_c(chatml) : source, &t, et);
	e = e ? e : write_vars(&w, tk, msgs, n, v, et);
	e = e ? e : json_parse(buf_str(&vars), &doc, et);
	if (!e && own && tk->n_before && tk->before[0] == tk->bos)
		tokenizer_piece(tk, tk->bos, true, &text);
	e = e ? e : template_render(t, yyjson_doc_get_root(doc), NULL, &text, et);
	if (e)
		err_wrap(et, e, "chat template");
	else
		buf_adds(out, buf_str(&text));
	template_free(t);
	yyjson_doc_free(doc);
	buf_free(&vars);
	buf_free(&text);
	if (!e && used_default)
		*used_default = own;
	return e ? e : out->err;
}

enum err model_chat_render(const struct model *m, const struct chat_message *msgs, size_t n,
	const struct chat_vars *v, struct buf *out, bool *used_default, struct errtext *et)
{
	return chat_prompt(model_tokenizer(m), msgs, n, v, out, used_default, et);
}

enum err model_chat_prompt(const struct model *m, const struct chat_message *msgs, size_t n,
	struct str tools_json, bool add_generation_prompt, struct buf *out, bool *used_default,
	struct errtext *et)
{
	struct chat_vars v = {
		.tools_json = tools_json, .add_generation_prompt = add_generation_prompt};
	return model_chat_render(m, msgs, n, &v, out, used_default, et);
}
