/* Matchers: sets of hash-consed stacks, and how they read a byte. */
#include "text/machine.h"

#include <stdatomic.h>
#include <stdlib.h>

enum {
	CELLS_FIRST = 256, /* slots of the tables; powers of two */
	KEEP_BYTES = 256 << 10,
	MEMORY_MAX = 64 << 20,
	MEMO = 2048, /* a power of two */
};

/* A cell and what the machine notes about it. */
struct slot {
	struct cell c; /* first: a cell of a machine is its slot */
	struct slot *next;
	struct slot *moved; /* while compacting: where it is now */
	uint32_t seen;      /* the last emission that had it */
	uint32_t moved_in;
};

struct data {
	struct data *next;
	struct data *moved;
	uint32_t n, hash, moved_in;
	_Alignas(16) unsigned char bytes[];
};

/* A step that is known: the cell emits one cell, or nothing at all. */
struct memo {
	const struct cell *from, *to;
	uint8_t byte;
};

struct machine {
	const struct language *l;
	struct arena *arena;
	struct slot **cells;
	struct data **datas;
	size_t n_cells, cap_cells, n_datas, cap_datas;
	uint32_t emission; /* number of the present one */
	uint32_t compactions;
	uint32_t moves; /* how often it was tried to compact these cells */
	uint64_t work;
	size_t kept; /* bytes that were alive after the last compaction */
	enum err status;
	const char *why;

	/* while trying many bytes, most steps are repetitions */
	struct memo *memo;
	uint32_t n_emits, n_pops; /* calls, in all */
	const struct cell *last_emit;

	/* all levels, one after the other; level i is [level[i], level[i + 1]) */
	const struct cell **stack;
	size_t n_stack, cap_stack;
	size_t *level;
	size_t n_level, cap_level;
	struct result *popped;
	size_t n_popped, cap_popped;
};

struct matcher {
	struct machine m;
};

static const struct cell bottom;
static const char pop_mark; /* the node of cells that stand for "this cell, resumed with this" */

const struct cell *machine_bottom(void)
{
	return &bottom;
}

uint64_t language_id(void)
{
	static atomic_uint_fast64_t last;
	return atomic_fetch_add(&last, 1) + 1;
}

static void give_up(struct machine *m, enum err e, const char *why)
{
	if (!m->status) {
		m->status = e;
		m->why = why;
	}
}

static void no_memory(struct machine *m)
{
	give_up(m, ERR_NOMEM, "no memory to follow this language");
}

/* ---- hash-consing ---------------------------------------------------------------------------- */

static uint32_t stir(uint32_t h, uint32_t v)
{
	h = (h ^ v) * 0x9E3779B1u;
	return h ^ h >> 15;
}

/* From content only, never from where a cell lies, so that a moved cell keeps it. */
static uint32_t hash_cell(const struct cell *c)
{
	uint64_t node = (uint64_t)(uintptr_t)c->node;
	uint32_t h = c->up ? c->up->hash + 1 : 0;
	h = stir(h, (uint32_t)node);
	h = stir(h, (uint32_t)(node >> 32) + c->kind);
	h = stir(h, c->a);
	h = stir(h, c->b);
	h = stir(h, c->c);
	if (c->more)
		h = stir(h, ((const struct data *)((const char *)c->more -
						   offsetof(struct data, bytes)))
				    ->hash);
	return h;
}

static bool same(const struct cell *x, const struct cell *y)
{
	return x->up == y->up && x->node == y->node && x->kind == y->kind && x->a == y->a &&
	       x->b == y->b && x->c == y->c && x->more == y->more;
}

static bool grow_cells(struct machine *m)
{
	size_t cap = m->cap_cells ? m->cap_cells * 2 : CELLS_FIRST;
	struct slot **t = calloc(cap, sizeof(struct slot *));
	if (!t)
		return false;
	for (size_t i = 0; i < m->cap_cells; i++)
		for (struct slot *s = m->cells[i], *next; s; s = next) {
			next = s->next;
			s->next = t[s->c.hash & (cap - 1)];
			t[s->c.hash & (cap - 1)] = s;
		}
	free(m->cells);
	m->cells = t;
	m->cap_cells = cap;
	return true;
}

/* Puts a slot that is not there yet. */
static struct slot *add_slot(struct machine *m, const struct cell *like, uint32_t hash)
{
	if (m->n_cells == m->cap_cells && !grow_cells(m))
		return NULL;
	struct slot *s = arena_new_of(m->arena, struct slot);
	if (!s)
		return NULL;
	s->c = *like;
	s->c.hash = hash;
	s->c.depth = like->up ? like->up->depth + 1 : 1;
	s->next = m->cells[hash & (m->cap_cells - 1)];
	m->cells[hash & (m->cap_cells - 1)] = s;
	m->n_cells++;
	return s;
}

static struct slot *intern(struct machine *m, const struct cell *like)
{
	uint32_t hash = hash_cell(like);
	if (m->cap_cells)
		for (struct slot *s = m->cells[hash & (m->cap_cells - 1)]; s; s = s->next)
			if (s->c.hash == hash && same(&s->c, like))
				return s;
	struct slot *s = add_slot(m, like, hash);
	if (!s)
		no_memory(m);
	return s;
}

const struct cell *machine_cell(struct machine *m, const struct cell *like)
{
	if (like->up && like->up->depth >= MACHINE_DEPTH_MAX) {
		give_up(m, ERR_TOO_LARGE, "the text nests too deeply");
		return NULL;
	}
	struct slot *s = intern(m, like);
	return s ? &s->c : NULL;
}

static bool grow_datas(struct machine *m)
{
	size_t cap = m->cap_datas ? m->cap_datas * 2 : CELLS_FIRST;
	struct data **t = calloc(cap, sizeof(struct data *));
	if (!t)
		return false;
	for (size_t i = 0; i < m->cap_datas; i++)
		for (struct data *d = m->datas[i], *next; d; d = next) {
			next = d->next;
			d->next = t[d->hash & (cap - 1)];
			t[d->hash & (cap - 1)] = d;
		}
	free(m->datas);
	m->datas = t;
	m->cap_datas = cap;
	return true;
}

static uint32_t hash_bytes(const unsigned char *p, size_t n)
{
	uint32_t h = (uint32_t)n;
	for (size_t i = 0; i < n; i++)
		h = stir(h, p[i]);
	return h;
}

static struct data *add_data(struct machine *m, const void *bytes, size_t n, uint32_t hash)
{
	if (m->n_datas == m->cap_datas && !grow_datas(m))
		return NULL;
	struct data *d = n < UINT32_MAX ? arena_alloc(m->arena, sizeof *d + n) : NULL;
	if (!d)
		return NULL;
	memcpy(d->bytes, bytes, n);
	d->n = (uint32_t)n;
	d->hash = hash;
	d->next = m->datas[hash & (m->cap_datas - 1)];
	m->datas[hash & (m->cap_datas - 1)] = d;
	m->n_datas++;
	return d;
}

const void *machine_data(struct machine *m, const void *bytes, size_t n)
{
	uint32_t hash = hash_bytes(bytes, n);
	if (m->cap_datas)
		for (struct data *d = m->datas[hash & (m->cap_datas - 1)]; d; d = d->next)
			if (d->hash == hash && d->n == n && !memcmp(d->bytes, bytes, n))
				return d->bytes;
	struct data *d = add_data(m, bytes, n, hash);
	if (!d)
		no_memory(m);
	return d ? d->bytes : NULL;
}

size_t machine_data_size(const void *data)
{
	return ((const struct data *)((const char *)data - offsetof(struct data, bytes)))->n;
}

struct arena *machine_arena(struct machine *m)
{
	return m->arena;
}

const void *machine_language(const struct machine *m)
{
	return m->l->self;
}

/* ---- emitting -------------------------------------------------------------------------------- */

/* Room for one more of a growing array. */
static bool room(struct machine *m, void *array, size_t n, size_t *cap, size_t size)
{
	if (n < *cap)
		return true;
	size_t more = *cap ? *cap * 2 : 64;
	void *p, *old;
	memcpy(&old, array, sizeof old);
	p = realloc(old, more * size);
	if (!p) {
		no_memory(m);
		return false;
	}
	memcpy(array, &p, sizeof p);
	*cap = more;
	return true;
}

static size_t top(const struct machine *m)
{
	return m->level[m->n_level - 1];
}

/* Emissions are numbered from 1, so that a new slot counts as not seen. */
static void next_emission(struct machine *m)
{
	m->n_popped = 0;
	if (++m->emission)
		return;
	for (size_t i = 0; i < m->cap_cells; i++)
		for (struct slot *s = m->cells[i]; s; s = s->next)
			s->seen = 0;
	m->emission = 1;
}

static bool first_time(struct machine *m, struct slot *s)
{
	if (s->seen == m->emission)
		return false;
	s->seen = m->emission;
	return true;
}

bool machine_once(struct machine *m, const struct cell *like)
{
	struct slot *s = intern(m, like);
	return s && first_time(m, s);
}

static void emit_cell(struct machine *m, const struct cell *c)
{
	if (!first_time(m, (struct slot *)(uintptr_t)c))
		return;
	if (m->n_stack - top(m) == MACHINE_STACKS_MAX)
		give_up(m, ERR_TOO_LARGE, "the text can be read in too many ways at once");
	else if (room(m, &m->stack, m->n_stack, &m->cap_stack, sizeof *m->stack))
		m->stack[m->n_stack++] = c;
}

void machine_emit(struct machine *m, const struct cell *like)
{
	const struct cell *c = machine_cell(m, like);
	m->n_emits++;
	m->last_emit = c;
	if (c)
		emit_cell(m, c);
}

static void note_popped(struct machine *m, struct result r)
{
	for (size_t i = 0; i < m->n_popped; i++)
		if (m->popped[i].a == r.a && m->popped[i].b == r.b && m->popped[i].more == r.more)
			return;
	if (room(m, &m->popped, m->n_popped, &m->cap_popped, sizeof *m->popped))
		m->popped[m->n_popped++] = r;
}

static void resume(struct machine *m, const struct cell *c, struct result r)
{
	m->work++;
	m->l->ops->resume(m, c, r);
}

void machine_pop(struct machine *m, const struct cell *finished, struct result r)
{
	const struct cell *below = finished->up;
	m->n_pops++;
	if (below == &bottom) {
		note_popped(m, r);
		return;
	}
	if (!below)
		return;
	/* without this, a text that can be read in k ways on each of d levels would cost k^d */
	if (machine_once(
		    m, &(struct cell){
			       .up = below, .node = &pop_mark, .a = r.a, .b = r.b, .more = r.more}))
		resume(m, below, r);
}

static void step(struct machine *m, const struct cell *c, uint8_t byte)
{
	uint32_t emits = m->n_emits, pops = m->n_pops;
	enum err status = m->status;
	struct memo *known =
		m->memo ? &m->memo[(c->hash ^ c->hash >> 16 ^ byte * 0x9E5u) & (MEMO - 1)] : NULL;
	if (known && known->from == c && known->byte == byte) {
		if (known->to)
			emit_cell(m, known->to);
		return;
	}
	m->l->ops->step(m, c, byte);
	emits = m->n_emits - emits;
	if (known && emits <= 1 && pops == m->n_pops && status == m->status)
		*known = (struct memo){c, emits ? m->last_emit : NULL, byte};
}

/* ---- levels ---------------------------------------------------------------------------------- */

static bool open_level(struct machine *m)
{
	if (!room(m, &m->level, m->n_level, &m->cap_level, sizeof *m->level))
		return false;
	m->level[m->n_level++] = m->n_stack;
	next_emission(m);
	return true;
}

/* Keeps the level if something was emitted. */
static bool close_level(struct machine *m)
{
	if (m->n_stack > top(m))
		return true;
	m->n_level--;
	return false;
}

const struct cell *const *matcher_stacks(const struct matcher *x, size_t *n)
{
	*n = x->m.n_stack - top(&x->m);
	return (const struct cell *const *)x->m.stack + top(&x->m);
}

bool matcher_push(struct matcher *x, uint8_t byte)
{
	struct machine *m = &x->m;
	size_t from = top(m), to = m->n_stack;
	if (!open_level(m))
		return false;
	m->work += to - from;
	for (size_t i = from; i < to; i++) /* the array may move meanwhile */
		step(m, m->stack[i], byte);
	return close_level(m);
}

bool matcher_push_like(struct matcher *x, const struct cell *like)
{
	if (!open_level(&x->m))
		return false;
	machine_emit(&x->m, like);
	return close_level(&x->m);
}

bool matcher_push_resumed(struct matcher *x, const struct cell *below, struct result r)
{
	struct machine *m = &x->m;
	if (!below || !open_level(m))
		return false;
	machine_pop(m, &(struct cell){.up = below}, r);
	return close_level(m);
}

void matcher_drop(struct matcher *x, size_t levels)
{
	if (!levels)
		return;
	x->m.n_level -= levels;
	x->m.n_stack = x->m.level[x->m.n_level];
}

size_t matcher_levels(const struct matcher *x)
{
	return x->m.n_level - 1;
}

uint64_t matcher_work(const struct matcher *x)
{
	return x->m.work;
}

void matcher_will_try(struct matcher *x)
{
	if (!x->m.memo)
		x->m.memo = calloc(MEMO, sizeof *x->m.memo); /* without it, all is slower */
}

void matcher_give_up(struct matcher *x, const char *why)
{
	give_up(&x->m, ERR_TOO_LARGE, why);
}

const struct result *matcher_popped(const struct matcher *x, size_t *n)
{
	*n = x->m.n_popped;
	return x->m.popped;
}

void matcher_restore(struct matcher *x, enum err status)
{
	if (!status)
		x->m.status = OK;
}

struct machine *matcher_machine(struct matcher *x)
{
	return &x->m;
}

/* ---- compaction ------------------------------------------------------------------------------ */

/* What the present stacks need is copied into fresh memory, the rest is dropped. */
struct move {
	struct machine *to;
	uint32_t id; /* what moved_in is for slots that have moved */
};

static const void *move_data(struct move *v, const void *more)
{
	if (!more)
		return NULL;
	struct data *d = (struct data *)((uintptr_t)more - offsetof(struct data, bytes));
	if (d->moved_in != v->id) {
		d->moved = add_data(v->to, d->bytes, d->n, d->hash);
		d->moved_in = v->id;
	}
	return d->moved ? d->moved->bytes : NULL;
}

static const struct cell *move_cell(struct move *v, const struct cell *c)
{
	if (!c || c == &bottom)
		return c;
	struct slot *s = (struct slot *)(uintptr_t)c;
	if (s->moved_in != v->id) {
		struct cell like = *c;
		like.up = move_cell(v, c->up);
		like.more = move_data(v, c->more);
		bool whole = (!c->up || like.up) && (!c->more || like.more);
		s->moved = whole ? add_slot(v->to, &like, c->hash) : NULL;
		s->moved_in = v->id;
	}
	return s->moved ? &s->moved->c : NULL;
}

static void drop_tables(struct machine *m)
{
	arena_free(m->arena);
	free(m->cells);
	free(m->datas);
}

/* When memory is short, all stays as it was. */
static void compact(struct machine *m)
{
	struct machine fresh = {.arena = arena_new(MEMORY_MAX)};
	struct move v = {&fresh, ++m->moves};
	const struct cell **moved = malloc(m->n_stack * sizeof *moved);
	bool all = fresh.arena && moved;
	for (size_t i = 0; i < m->n_stack && all; i++)
		all = (moved[i] = move_cell(&v, m->stack[i]));
	if (all) {
		memcpy(m->stack, moved, m->n_stack * sizeof *moved);
		drop_tables(m);
		m->arena = fresh.arena;
		m->cells = fresh.cells;
		m->datas = fresh.datas;
		m->n_cells = fresh.n_cells;
		m->cap_cells = fresh.cap_cells;
		m->n_datas = fresh.n_datas;
		m->cap_datas = fresh.cap_datas;
		m->emission = m->moves = 0; /* new slots have seen none */
		m->compactions++;
		free(m->memo);
		m->memo = NULL;
		m->kept = arena_used(m->arena);
	} else {
		drop_tables(&fresh);
		m->kept = arena_used(m->arena); /* so that it is not tried again at once */
	}
	free(moved);
}

/* ---- the whole ------------------------------------------------------------------------------- */

enum err matcher_new(const struct language *l, struct matcher **out, struct errtext *et)
{
	struct matcher *x = calloc(1, sizeof *x);
	if (!x)
		return err_set(et, ERR_NOMEM, "no memory");
	struct machine *m = &x->m;
	m->l = l;
	m->arena = arena_new(MEMORY_MAX);
	if (!m->arena || !open_level(m)) {
		matcher_free(x);
		return err_set(et, ERR_NOMEM, "no memory");
	}
	l->ops->start(m, l->self);
	if (m->n_stack) {
		*out = x;
		return OK;
	}
	enum err e = m->status ? matcher_status(x, et)
			       : err_set(et, ERR_INVALID, "the language has no text at all");
	matcher_free(x);
	return e;
}

void matcher_free(struct matcher *x)
{
	if (!x)
		return;
	drop_tables(&x->m);
	free(x->m.memo);
	free(x->m.stack);
	free(x->m.level);
	free(x->m.popped);
	free(x);
}

/* Only the top level stays, as level 0. */
static void settle(struct machine *m)
{
	size_t n = m->n_stack - top(m);
	memmove(m->stack, m->stack + top(m), n * sizeof *m->stack);
	m->n_stack = n;
	m->n_level = 1;
	if (arena_used(m->arena) > KEEP_BYTES + 4 * m->kept)
		compact(m);
}

bool matcher_take(struct matcher *x, const char *bytes, size_t n)
{
	struct machine *m = &x->m;
	for (size_t i = 0; i < n; i++) {
		if (!matcher_push(x, (uint8_t)bytes[i])) {
			m->n_level = 1;
			m->n_stack = i ? m->level[1] : m->n_stack;
			return false;
		}
		if (m->n_level > 2) { /* level 0 is kept for a refusal, those between are not */
			size_t k = m->n_stack - top(m);
			memmove(m->stack + m->level[1], m->stack + top(m), k * sizeof *m->stack);
			m->n_stack = m->level[1] + k;
			m->n_level = 2;
		}
	}
	if (n)
		settle(m);
	return true;
}

bool matcher_may_end(struct matcher *x)
{
	struct machine *m = &x->m;
	for (size_t i = top(m); i < m->n_stack; i++)
		if (m->l->ops->ends(m, m->stack[i]))
			return true;
	return false;
}

/* How many of the 256 bytes are possible, as far as `most` + 1; the last of them to *byte. */
static unsigned possible(struct matcher *x, unsigned most, uint8_t *byte)
{
	unsigned n = 0;
	for (unsigned b = 0; b < 256 && n <= most; b++)
		if (matcher_push(x, (uint8_t)b)) {
			matcher_drop(x, 1);
			*byte = (uint8_t)b;
			n++;
		}
	return n;
}

bool matcher_must_end(struct matcher *x)
{
	uint8_t byte;
	enum err status = x->m.status;
	bool must = !possible(x, 0, &byte) && matcher_may_end(x);
	matcher_restore(x, status);
	return must;
}

size_t matcher_forced(struct matcher *x, char *out, size_t max)
{
	size_t n = 0;
	uint8_t byte;
	enum err status = x->m.status;
	while (n < max && !matcher_may_end(x) && possible(x, 1, &byte) == 1 &&
		matcher_push(x, byte))
		out[n++] = (char)byte;
	matcher_drop(x, n);
	matcher_restore(x, status);
	return n;
}

enum err matcher_status(const struct matcher *x, struct errtext *et)
{
	return x->m.status ? err_set(et, x->m.status, "%s", x->m.why) : OK;
}

const struct language *matcher_language(const struct matcher *x)
{
	return x->m.l;
}

uint32_t matcher_moves(const struct matcher *x)
{
	return x->m.compactions;
}

size_t matcher_bytes(const struct matcher *x)
{
	const struct machine *m = &x->m;
	return sizeof *x + arena_used(m->arena) +
	       (m->cap_cells + m->cap_datas + m->cap_stack) * sizeof(void *) +
	       (m->memo ? MEMO * sizeof *m->memo : 0) + m->cap_level * sizeof *m->level +
	       m->cap_popped * sizeof *m->popped;
}
