/* Cards: show, claim, export; and `croft artifact card`. */
#include "artifact/card.h"
#include "artifact/registry_cmd.h"

#include <stdlib.h>

/* ---- JSON ---- */

static const char *const states[] = {"missing", "measured", "claim"};

static void field_object(struct jw *w, const struct card_field *f)
{
	jw_obj(w);
	jw_kc(w, "key", f->row->key);
	jw_kc(w, "title", f->row->title);
	jw_kc(w, "state", states[f->state]);
	jw_key(w, "value");
	f->state ? jw_str(w, f->value) : jw_null(w);
	jw_key(w, "from");
	f->state == CARD_MEASURED ? jw_str(w, f->from) : jw_null(w);
	jw_key(w, "claim");
	f->claim.p ? jw_str(w, f->claim) : jw_null(w);
	jw_key(w, "by");
	f->who.n ? jw_str(w, f->who) : jw_null(w);
	json_time(w, "time", f->ms);
	jw_end(w);
}

static void section_object(struct jw *w, const struct card *card, int section)
{
	size_t n = 0, have = 0;
	jw_obj(w);
	jw_kc(w, "name", card_section_names[section]);
	jw_kc(w, "title", card_section_titles[section]);
	jw_key(w, "fields");
	jw_arr(w);
	for (size_t i = 0; i < card->n; i++) {
		if ((int)card->fields[i].row->section != section)
			continue;
		n++;
		have += card->fields[i].state != CARD_MISSING;
		field_object(w, &card->fields[i]);
	}
	jw_end(w);
	jw_ki64(w, "filled", (int64_t)have);
	jw_ki64(w, "of", (int64_t)n);
	jw_end(w);
}

static void card_object(struct jw *w, const struct card *card)
{
	jw_obj(w);
	jw_kstr(w, "kind", card->artifact.kind);
	jw_kstr(w, "name", card->artifact.name);
	jw_ki64(w, "version", card->version.version);
	jw_key(w, "sections");
	jw_arr(w);
	for (int s = 0; s < CARD_SECTIONS; s++)
		section_object(w, card, s);
	jw_end(w);
	jw_end(w);
}

/* ---- routes ---- */

static enum err make(struct reg_call *k, struct card *card)
{
	struct artifact of;
	struct artifact_version v;
	enum err e = reg_artifact(k, &of);
	if (!e)
		e = reg_version(k, &of, &v);
	return e ? e : card_make(k->c, k->tx, k->project, &of, &v, k->rq->arena, card, &k->et);
}

static void reply_markdown(struct reg_call *k, const struct card *card)
{
	card_markdown(card, &k->out);
	db_rollback(k->tx);
	if (k->out.err)
		http_reply_error(k->rs, ERR_NOMEM, NULL);
	else
		http_reply(k->rs, 200, "text/markdown; charset=utf-8", buf_str(&k->out));
	yyjson_doc_free(k->doc);
	buf_free(&k->out);
}

static void get_card(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	struct reg_call k;
	struct card *card = arena_new_of(rq->arena, struct card);
	struct str format = http_query(rq, "format");
	enum err e = reg_begin(&k, c, rq, rs, TX_READ);
	if (!e && !card)
		e = err_set(&k.et, ERR_NOMEM, "no memory for a card");
	if (!e)
		e = make(&k, card);
	if (!e && str_eq_c(format, "markdown")) {
		reply_markdown(&k, card);
		return;
	}
	if (!e && str_eq_c(format, "cyclonedx"))
		card_cyclonedx(card, &k.w);
	else if (!e && str_eq_c(format, "croissant"))
		e = card_croissant(card, &k.w, &k.et);
	else if (!e && (!format.n || str_eq_c(format, "json")))
		card_object(&k.w, card);
	else if (!e)
		e = err_set(&k.et, ERR_INVALID,
			"format: json, markdown, cyclonedx or croissant is expected");
	reg_end(&k, e, 200);
}

static void change_claim(
	struct croft *c, struct http_request *rq, struct http_response *rs, bool remove)
{
	struct reg_call k;
	struct artifact of;
	struct artifact_version v;
	struct str value = {0}, key = http_param(rq, "field");
	struct card *card = arena_new_of(rq->arena, struct card);
	enum err e = reg_begin(&k, c, rq, rs, TX_WRITE);
	if (!e && !card)
		e = err_set(&k.et, ERR_NOMEM, "no memory for a card");
	if (!e)
		e = reg_artifact(&k, &of);
	if (!e)
		e = reg_version(&k, &of, &v);
	if (!e && !card_row_find(of.kind, key))
		e = err_set(&k.et, ERR_NOT_FOUND,
			"a card of a %.*s has no field '%.*s'; croft artifact card names them",
			STR_FMT(of.kind), STR_FMT(str_sub(key, 0, 60)));
	if (!e && !remove)
		e = json_want_str(k.body, "value", &value, &k.et);
	if (!e && !remove && (!value.n || value.n > CARD_CLAIM_MAX))
		e = err_set(&k.et, ERR_INVALID, "value: a text of 1 to %d bytes is expected",
			CARD_CLAIM_MAX);
	if (!e)
		e = fact_add(k.tx, rq->who,
			&(struct fact){.artifact = of.id,
				.version = v.version,
				.what = S("claim"),
				.name = key,
				.value = remove ? (struct str){0} : value},
			NULL, &k.et);
	if (!e)
		e = card_make(c, k.tx, k.project, &of, &v, rq->arena, card, &k.et);
	if (!e)
		card_object(&k.w, card);
	reg_end(&k, e, 200);
}

static void put_claim(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	change_claim(c, rq, rs, false);
}

static void delete_claim(struct croft *c, struct http_request *rq, struct http_response *rs)
{
	change_claim(c, rq, rs, true);
}

/* ---- commands ---- */

static enum err card_path(struct cmd *cmd, struct target *t, struct errtext *et)
{
	enum err e = want_args(cmd, 1, "name a version: croft artifact card REF", et);
	if (!e)
		e = target(cmd, cmd_arg(cmd, 0), t, et);
	buf_addc(&t->path, "/versions");
	add_version(&t->path, &t->ref);
	buf_addc(&t->path, "/card");
	return e;
}

static void print_section(struct cmd *cmd, yyjson_val *section)
{
	yyjson_val *f;
	size_t i, n;
	cmd_outf(cmd, "\n%s%.*s%s  %lld of %lld\n", cmd_style(cmd, "bold"),
		STR_FMT(json_str(section, "title")), cmd_style(cmd, "reset"),
		(long long)json_i64(section, "filled", 0), (long long)json_i64(section, "of", 0));
	yyjson_arr_foreach(yyjson_obj_get(section, "fields"), i, n, f)
	{
		struct str state = json_str(f, "state"), value = json_str(f, "value");
		bool measured = str_eq_c(state, "measured"), missing = str_eq_c(state, "missing");
		cmd_outf(cmd, "  %s%-8.*s%s %.*s%s%.*s",
			cmd_style(cmd, measured  ? "green"
				       : missing ? "dim"
						 : "yellow"),
			STR_FMT(state), cmd_style(cmd, "reset"), STR_FMT(json_str(f, "title")),
			missing ? "" : ": ", STR_FMT(value));
		if (missing) /* what croft artifact claim calls it */
			cmd_outf(cmd, " %s(%.*s)%s", cmd_style(cmd, "dim"),
				STR_FMT(json_str(f, "key")), cmd_style(cmd, "reset"));
		if (measured)
			cmd_outf(cmd, " %s(%.*s)%s", cmd_style(cmd, "dim"),
				STR_FMT(json_str(f, "from")), cmd_style(cmd, "reset"));
		else if (!missing)
			cmd_outf(cmd, " %s(%.*s, %.*s)%s", cmd_style(cmd, "dim"),
				STR_FMT(json_str(f, "by")),
				STR_FMT(str_sub(json_str(f, "time"), 0, 10)),
				cmd_style(cmd, "reset"));
		cmd_outf(cmd, "\n");
	}
}

static enum err show_card(struct cmd *cmd, struct errtext *et)
{
	struct target t = {0};
	struct answer r = {0};
	struct str format = cmd_opt(cmd, "format");
	enum err e = card_path(cmd, &t, et);
	add_query(&t.path, "format", format);
	if (!e && format.n) {
		e = cmd_call(cmd, HTTP_GET, buf_c(&t.path), (struct str){0}, &r.body, et);
		if (!e)
			cmd_outf(cmd, "%s\n", buf_c(&r.body));
	} else if (!e) {
		e = reg_api(cmd, HTTP_GET, &t.path, (struct str){0}, true, &r, et);
	}
	if (!e && r.root) {
		yyjson_val *section;
		size_t i, n;
		cmd_outf(cmd, "%.*s/%.*s:%lld\n", STR_FMT(json_str(r.root, "kind")),
			STR_FMT(json_str(r.root, "name")),
			(long long)json_i64(r.root, "version", 0));
		yyjson_arr_foreach(yyjson_obj_get(r.root, "sections"), i, n, section)
			print_section(cmd, section);
	}
	answer_free(&r);
	buf_free(&t.path);
	return e;
}

static enum err claim(struct cmd *cmd, struct errtext *et)
{
	enum err e = want_args(cmd, 2, "croft artifact claim REF FIELD=TEXT..., or --rm FIELD", et);
	bool rm = cmd_flag(cmd, "rm");
	for (size_t i = 1; i < cmd_n_args(cmd) && !e; i++) {
		struct target t = {0};
		struct answer r = {0};
		struct buf body = {0};
		struct jw w = {.out = &body};
		struct str text = cmd_arg(cmd, i);
		size_t eq = str_chr(text, '=');
		if (!rm && eq == STR_NONE)
			return err_set(
				et, ERR_INVALID, "'%.*s': FIELD=TEXT is expected", STR_FMT(text));
		e = card_path(cmd, &t, et);
		buf_putc(&t.path, '/');
		url_encode(&t.path, rm ? text : str_sub(text, 0, eq));
		jw_obj(&w);
		if (!rm)
			jw_kstr(&w, "value", str_sub(text, eq + 1, text.n));
		jw_end(&w);
		if (!e)
			e = reg_api(cmd, rm ? HTTP_DELETE : HTTP_PUT, &t.path,
				rm ? (struct str){0} : buf_str(&body), true, &r, et);
		answer_free(&r);
		buf_free(&body);
		buf_free(&t.path);
	}
	return e;
}

static const struct option card_options[] = {
	{"format", 0, "markdown|cyclonedx|croissant", "Print it in this format instead"}};
static const struct option claim_options[] = {{"rm", 0, NULL, "Take claims back"}};

static const struct command commands[] = {
	{"artifact card", show_card, "REF", OPTIONS(card_options),
		"What is known of a version: measured, claimed, missing",
		"Examples:\n"
		"  croft artifact card model/churn@prod\n"
		"  croft artifact card model/churn:3 --format cyclonedx > churn.cdx.json\n"
		"  croft artifact card dataset/faq:3 --format croissant"},
	{"artifact claim", claim, "REF FIELD=TEXT...", OPTIONS(claim_options),
		"Write fields of a card by hand: they are shown as claims",
		"What fields there are, and which are missing, croft artifact card shows.\n\n"
		"  croft artifact claim model/churn:3 intended_use='who may leave'"},
};

static const struct shape shapes[] = {
	{"CardField",
		"{ key: string, title: string, state: \"missing\" | \"measured\" | \"claim\", "
		"value: string | null, from: string | null, claim: string | null, by: string | "
		"null, time: string | null }"},
	{"Card", "{ kind: string, name: string, version: int, sections: { name: string, title: "
		 "string, fields: CardField[], filled: int, of: int }[] }"},
};

#define CARD "/api/v1/artifacts/{kind}/{name}/versions/{version}/card"

static const struct route routes[] = {
	{HTTP_GET, CARD, get_card, PERM_ARTIFACT_READ,
		"The card of a version; also as Markdown, CycloneDX or Croissant",
		"{ format?: \"json\" | \"markdown\" | \"cyclonedx\" | \"croissant\" }", NULL,
		"Card", 0},
	{HTTP_PUT, CARD "/{field}", put_claim, PERM_ARTIFACT_WRITE,
		"Claim something that is not measured", NULL, "{ value: string }", "Card", 0},
	{HTTP_DELETE, CARD "/{field}", delete_claim, PERM_ARTIFACT_WRITE, "Take a claim back", NULL,
		NULL, "Card", 0},
};

const struct module card_module = {.name = "card", TABLE(routes), TABLE(shapes), TABLE(commands)};
