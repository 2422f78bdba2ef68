/* The trie of tokens: arrays in the order of a depth-first walk, so that skipping what is below a
 * node is one assignment and its tokens stand together. */
#include <stdlib.h>
#include "engine/mask_int.h"

enum utf8_state utf8_next(enum utf8_state s, uint8_t b)
{
	bool tail = b >= 0x80 && b <= 0xBF;
	switch (s) {
	case U_END:
		return b < 0x80    ? U_END
		       : b < 0xC2  ? U_BAD
		       : b < 0xE0  ? U_1
		       : b == 0xE0 ? U_E0
		       : b == 0xED ? U_ED
		       : b < 0xF0  ? U_2
		       : b == 0xF0 ? U_F0
		       : b < 0xF4  ? U_3
		       : b == 0xF4 ? U_F4
				   : U_BAD;
	case U_1:
		return tail ? U_END : U_BAD;
	case U_2:
		return tail ? U_1 : U_BAD;
	case U_3:
		return tail ? U_2 : U_BAD;
	case U_E0:
		return tail && b >= 0xA0 ? U_1 : U_BAD;
	case U_ED:
		return tail && b < 0xA0 ? U_1 : U_BAD;
	case U_F0:
		return tail && b >= 0x90 ? U_2 : U_BAD;
	case U_F4:
		return tail && b < 0x90 ? U_2 : U_BAD;
	case U_BAD:
		break;
	}
	return U_BAD;
}

static int by_bytes(const void *a, const void *b)
{
	const struct token_text *x = a, *y = b;
	int c = str_cmp(x->bytes, y->bytes);
	return c ? c : (x->id > y->id) - (x->id < y->id);
}

static size_t common(struct str a, struct str b)
{
	size_t n = 0;
	while (n < a.n && n < b.n && a.p[n] == b.p[n])
		n++;
	return n;
}

static bool allocate(struct token_trie *t, size_t nodes, size_t tokens)
{
	t->node = calloc(nodes + 1, sizeof *t->node);
	t->tokens = malloc(MAX(tokens, 1) * sizeof *t->tokens);
	t->bytes = (nodes + 1) * sizeof *t->node + tokens * sizeof *t->tokens;
	return t->node && t->tokens;
}

/* Nodes and tokens, from sorted texts. path[d] is the node of depth d that is open. */
static void fill(struct token_trie *t, const struct token_text *v, size_t n, uint32_t *path)
{
	struct str last = {"", 0};
	uint32_t tokens = 0;
	t->n = 1;
	t->node[0].byte = 0;
	t->node[0].depth = 0;
	t->node[0].own = 0;
	path[0] = 0;
	for (size_t i = 0; i < n; i++) {
		struct str s = v[i].bytes;
		size_t same = common(last, s);
		for (size_t d = same + 1; d <= last.n; d++)
			t->node[path[d]].end = t->n;
		for (size_t d = same; d < s.n; d++) {
			path[d + 1] = t->n;
			t->node[t->n].byte = (uint8_t)s.p[d];
			t->node[t->n].depth = (uint16_t)(d + 1);
			t->node[t->n++].own = tokens;
		}
		t->tokens[tokens++] = v[i].id;
		last = s;
	}
	for (size_t d = 0; d <= last.n; d++)
		t->node[path[d]].end = t->n;
	t->node[t->n].own = tokens;
}

/* What stands here and below, from the leaves up; state[d] is that of the open node of depth d. */
static void look_below(struct token_trie *t, uint8_t *state)
{
	state[0] = U_END;
	for (uint32_t i = 0; i < t->n; i++) {
		uint8_t b = t->node[i].byte, *s = &state[t->node[i].depth];
		if (i)
			*s = (uint8_t)utf8_next(s[-1], b);
		t->node[i].flags =
			(uint8_t)((*s == U_END ? TRIE_WHOLE : 0) | (*s == U_BAD ? TRIE_BAD : 0) |
				  (b >= 0x80 ? TRIE_OTHER : 0));
		if (i && b < 0x80)
			t->node[i].ascii[b / 64] |= 1ull << (b % 64);
	}
	for (uint32_t i = t->n; i-- > 0;)
		for (uint32_t k = i + 1; k < t->node[i].end; k = t->node[k].end) {
			t->node[i].ascii[0] |= t->node[k].ascii[0];
			t->node[i].ascii[1] |= t->node[k].ascii[1];
			bool begins = (t->node[k].byte & 0xC0) != 0x80;
			t->node[i].height =
				(uint16_t)MAX(t->node[i].height, t->node[k].height + begins);
			t->node[i].flags |= t->node[k].flags & (TRIE_OTHER | TRIE_BAD);
		}
}

enum err token_trie_build(struct token_trie *t, struct token_text *v, size_t n, struct errtext *et)
{
	size_t nodes = 1, longest = 0;
	*t = (struct token_trie){0};
	if (n)
		qsort(v, n, sizeof *v, by_bytes);
	for (size_t i = 0; i < n; i++) {
		nodes += v[i].bytes.n - (i ? common(v[i - 1].bytes, v[i].bytes) : 0);
		longest = MAX(longest, v[i].bytes.n);
	}
	uint32_t *path = malloc((longest + 1) * sizeof *path);
	uint8_t *state = malloc(longest + 1);
	bool ok = path && state && longest <= UINT16_MAX && nodes < UINT32_MAX &&
		  allocate(t, nodes, n);
	if (ok) {
		fill(t, v, n, path);
		look_below(t, state);
	} else {
		token_trie_free(t);
	}
	free(path);
	free(state);
	return ok ? OK : err_set(et, ERR_NOMEM, "no memory for a trie of %zu tokens", n);
}

void token_trie_free(struct token_trie *t)
{
	free(t->node);
	free(t->tokens);
	*t = (struct token_trie){0};
}
