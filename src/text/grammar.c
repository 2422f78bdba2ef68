/* Grammars as languages. The bottom cell is DONE; above
 * it stand, for each call that has not ended, an AFTER cell with the state to go on in, and on top
 * a READ cell with a state that reads bytes. A call at the very end of its part leaves no cell, so
 * that recursion to the right takes no room. */
#include "text/grammar.h"

#include <stdlib.h>
#include "text/dfa.h"
#include "text/grammar_int.h"

enum { COMPILED_MAX = 128 << 20 };

enum kind { READ, AFTER, ARRIVED, DONE };

struct grammar {
	struct language language;
	struct arena *a;
	struct net net;
	const uint32_t *level; /* of the net's states, see net_level; or NULL */
};

/* ---- walking the network ---- */

static void arrive(struct machine *m, const struct grammar *g, uint32_t state,
	const struct cell *below, bool may_end);

static void go_into(
	struct machine *m, const struct grammar *g, const struct call *c, const struct cell *below)
{
	const struct cell *up = below;
	if (!(g->net.flags[c->target] & STATE_LAST))
		up = machine_cell(
			m, &(struct cell){.up = below, .node = g, .kind = AFTER, .a = c->target});
	/* the same rule may be reached on many ways */
	if (up && machine_once(m, &(struct cell){.up = up, .kind = ARRIVED, .a = c->start}))
		arrive(m, g, c->start, up, false);
}

/* Emits what stands above `below` once `state` is reached. A part that has just been called does
 * not end at once: its caller went on without it, too. */
static void arrive(struct machine *m, const struct grammar *g, uint32_t state,
	const struct cell *below, bool may_end)
{
	const struct net *net = &g->net;
	if (net->flags[state] & STATE_READS)
		machine_emit(m, &(struct cell){.up = below, .node = g, .kind = READ, .a = state});
	for (uint32_t i = net->first_call[state]; i < net->first_call[state + 1]; i++)
		go_into(m, g, &net->calls[i], below);
	if (may_end && net->flags[state] & STATE_ENDS)
		machine_pop(m, &(struct cell){.up = below}, (struct result){0});
}

static void start(struct machine *m, const void *self)
{
	const struct grammar *g = self;
	const struct cell *done = machine_cell(m, &(struct cell){.kind = DONE});
	if (done)
		arrive(m, g, g->net.start, done, true);
}

static void step(struct machine *m, const struct cell *c, uint8_t byte)
{
	const struct grammar *g = c->node;
	if (c->kind != READ)
		return;
	uint32_t next = g->net.next[c->a * g->net.n_classes + g->net.class_of[byte]];
	if (next != NO_STATE)
		arrive(m, g, next, c->up, true);
}

static void resume(struct machine *m, const struct cell *c, struct result r)
{
	(void)r;
	if (c->kind == DONE)
		machine_emit(m, c);
	else
		arrive(m, c->node, c->a, c->up, true);
}

static bool ends(struct machine *m, const struct cell *c)
{
	(void)m;
	return c->kind == DONE;
}

static bool key(const struct cell *c, struct cell *out)
{
	const struct grammar *g = c->node;
	if (g && g->level)
		out->a = g->level[c->a];
	return true;
}

static const struct language_ops net_ops = {start, step, resume, ends, key};

/* ---- a regular language: a net of one part without calls ---- */

static bool same_column(const struct dfa *d, uint8_t x, uint8_t y)
{
	for (uint32_t s = 0; s < dfa_states(d); s++)
		if (dfa_step(d, s, x) != dfa_step(d, s, y))
			return false;
	return true;
}

/* Bytes that lead to the same states from everywhere share a column. */
static void find_columns(const struct dfa *d, struct net *net)
{
	uint64_t hash[256] = {0};
	uint8_t byte_of[256];
	for (uint32_t s = 0; s < dfa_states(d); s++)
		for (unsigned b = 0; b < 256; b++)
			hash[b] = (hash[b] ^ dfa_step(d, s, (uint8_t)b)) * 0x9E3779B97F4A7C15u;
	for (unsigned b = 0; b < 256; b++) {
		uint32_t c = 0;
		while (c < net->n_classes &&
			(hash[byte_of[c]] != hash[b] || !same_column(d, byte_of[c], (uint8_t)b)))
			c++;
		if (c == net->n_classes)
			byte_of[net->n_classes++] = (uint8_t)b;
		net->class_of[b] = (uint8_t)c;
	}
}

static enum err net_of(const struct dfa *d, struct arena *a, struct net *net, struct errtext *et)
{
	uint32_t n = dfa_states(d);
	*net = (struct net){.n_states = n, .start = dfa_start(d)};
	find_columns(d, net);
	net->flags = arena_array_of(a, n, uint8_t);
	net->first_call = arena_array_of(a, n + 1, uint32_t);
	net->next = arena_array_of(a, (size_t)n * net->n_classes, uint32_t);
	if (!net->flags || !net->first_call || !net->next)
		return err_set(et, ERR_TOO_LARGE, "the expression needs too much memory");
	for (uint32_t s = 0; s < n; s++) {
		for (unsigned b = 0; b < 256; b++) {
			uint32_t to = dfa_step(d, s, (uint8_t)b);
			net->next[s * net->n_classes + net->class_of[b]] =
				to == DFA_DEAD ? NO_STATE : to;
			net->flags[s] |= to == DFA_DEAD ? 0 : STATE_READS;
		}
		if (dfa_accept(d, s))
			net->flags[s] |= net->flags[s] ? STATE_ENDS : STATE_ENDS | STATE_LAST;
	}
	return OK;
}

/* ---- the whole ---- */

static enum err compile(struct grammar *g, struct str text, struct errtext *et)
{
	struct rules r = {.a = arena_new(COMPILED_MAX)};
	struct nfa f = {0};
	enum err e = r.a ? rules_parse_gbnf(&r, text, et) : err_set(et, ERR_NOMEM, "no memory");
	if (!e)
		e = rules_check(&r, et);
	if (!e)
		e = nfa_build(&f, &r, et);
	if (!e)
		e = net_build(&g->net, &f, g->a, et);
	nfa_free(&f);
	map_free(&r.names);
	free(r.v);
	arena_free(r.a);
	return e;
}

static struct grammar *grammar_new(void)
{
	struct grammar *g = calloc(1, sizeof *g);
	if (g)
		g->a = arena_new(COMPILED_MAX);
	if (!g || !g->a) {
		grammar_free(g);
		return NULL;
	}
	g->language = (struct language){.ops = &net_ops, .self = g, .id = language_id()};
	return g;
}

static enum err finish(struct grammar *g, enum err e, struct grammar **out)
{
	if (e) {
		grammar_free(g);
		return e;
	}
	g->level = net_level(&g->net, g->a);
	*out = g;
	return OK;
}

enum err grammar_gbnf(struct str text, struct grammar **out, struct errtext *et)
{
	struct grammar *g = grammar_new();
	if (!g)
		return err_set(et, ERR_NOMEM, "no memory for the grammar");
	return finish(g, compile(g, text, et), out);
}

enum err grammar_regex(struct str pattern, struct grammar **out, struct errtext *et)
{
	struct grammar *g = grammar_new();
	const struct dfa *d = NULL;
	if (!g)
		return err_set(et, ERR_NOMEM, "no memory for the expression");
	enum err e = dfa_regex(g->a, pattern, DFA_WHOLE, &d, et);
	if (!e && !d)
		e = err_set(et, ERR_INVALID, "no text matches the expression");
	return finish(g, e ? e : net_of(d, g->a, &g->net, et), out);
}

enum err grammar_texts(const struct str *texts, size_t n, struct grammar **out, struct errtext *et)
{
	struct grammar *g = grammar_new();
	const struct dfa *d = NULL;
	if (!g)
		return err_set(et, ERR_NOMEM, "no memory for the texts");
	enum err e = n ? dfa_texts(g->a, texts, n, &d, et)
		       : err_set(et, ERR_INVALID, "there are no texts to choose from");
	return finish(g, e ? e : net_of(d, g->a, &g->net, et), out);
}

void grammar_free(struct grammar *g)
{
	if (!g)
		return;
	arena_free(g->a);
	free(g);
}

const struct language *grammar_language(const struct grammar *g)
{
	return &g->language;
}

size_t grammar_bytes(const struct grammar *g)
{
	return sizeof *g + arena_used(g->a);
}
