/* Regular expressions to automata: the subset construction, over atoms, with assertions.
 *
 * A thread is an instruction that waits for a letter, and what the look-aheads that it passed still
 * demand of the rest of the text (a set of states of their automata: an obligation; 0 is none). A
 * state of the result is the set of threads that some way of reading the text so far leaves, with
 * what assertions need to know of the past: whether a word letter was the last (only while a thread
 * waits at a \b, \B or $), and where the automata of the look-behinds stand.
 *
 *	parse -> atoms -> run (per look-around, then the whole) -> minimise -> letters
 *
 * 1. Past is decided when a thread arrives (^, look-behind); future when the next letter is known
 *    (\b, \B, $): until then the thread waits at the assertion.
 * 2. A look-ahead adds the first state of its automaton to the thread's obligation. Letters move
 *it: when it dies the thread does, when nothing can go wrong any more it is forgotten.
 * 3. A thread at OP_ALL without obligation accepts whatever follows: the others do not matter.
 * 4. All work is counted, of all automata of one expression together. */
#include "text/dfa_regex_int.h"

#include <stdlib.h>

enum prev { PREV_NOTHING, PREV_OTHER, PREV_WORD };
enum next { NEXT_UNKNOWN, NEXT_OTHER, NEXT_WORD, NEXT_END, NEXTS };
/* Of a look-behind's automaton: the tag has a bit per kind of letter before which it holds. */
enum { HOLDS_ALWAYS = 1 << NEXT_OTHER | 1 << NEXT_WORD | 1 << NEXT_END };

struct thread {
	uint32_t pc, duty; /* duty: an obligation's number */
};

/* The automaton of a look-around, seen from where it is taken: its key is the look, what the last
 * letter was (when it asks), and the states of the look-behinds in it. */
struct sight {
	struct fa fa;
	uint32_t id, free_state; /* of which every continuation is accepted; UINT32_MAX: none */
};

/* A look-behind whose automaton goes along with a run. */
struct behind {
	uint32_t look;
	const struct sight *sight;
};

struct regex {
	struct program prog;
	struct atoms atoms;
	struct sight **sights; /* by the number of their key; NULL until it is made */
	struct seqs sight_keys;
	size_t sights_cap;
	uint32_t n_sights;
	struct seqs duties; /* pairs (sight, state), sorted; number 0 is the empty one */
	uint32_t *duty;     /* scratch */
	size_t duty_cap;
	uint32_t work;
	enum err err;
	struct errtext *et;
};

/* A thread that `follow` has been at, when the stamp is the present one. */
struct seen {
	struct thread t;
	uint32_t stamp;
};

/* A thread that reads some atom; `more` is the next of the same atom. */
struct entry {
	struct thread to;
	uint32_t more;
};

struct threads {
	struct thread *v;
	size_t cap;
	uint32_t n;
};

/* One subset construction. */
struct run {
	struct regex *rx;
	struct behind *behinds;
	uint32_t n_behinds;
	uint32_t *past, *past_after; /* their states */
	uint32_t *sight_key;         /* scratch */
	struct seqs states;
	struct threads arriving, set;            /* of the state that is being made */
	struct threads waiting, reading, kernel; /* of the state whose arcs are added */
	struct threads stack;
	uint32_t *key;
	size_t key_cap;
	uint32_t *seen_at; /* per instruction: when a thread without obligation was there */
	struct seen *seen; /* the others */
	size_t n_seen_slots, n_seen;
	uint32_t stamp;
	uint32_t *head, *touched,
		n_touched; /* per atom: its first entry; the atoms that have one */
	struct entry *entries;
	size_t entries_cap;
	uint32_t n_entries;
	struct fa *out;
};

struct place { /* between two letters */
	enum prev prev;
	enum next next;
	const uint32_t *past;
};

static bool fail(struct regex *rx, enum err e)
{
	if (!rx->err)
		rx->err = dfa_refuse(rx->et, e);
	return false;
}

static bool work(struct regex *rx, uint32_t n)
{
	rx->work += n;
	if (rx->work > REGEX_WORK_MAX)
		fail(rx, ERR_TOO_LARGE);
	return !rx->err;
}

static void push(struct regex *rx, struct threads *t, uint32_t pc, uint32_t duty)
{
	if (!dfa_grow(&t->v, &t->cap, (size_t)t->n + 1, sizeof *t->v))
		fail(rx, ERR_NOMEM);
	else
		t->v[t->n++] = (struct thread){pc, duty};
}

/* ---- obligations ---- */

static const struct sight *sight(struct regex *rx, const uint32_t *key, uint32_t n);

static bool is_within(const struct program *p, uint32_t look, uint32_t outer)
{
	while (look != UINT32_MAX && look != outer)
		look = p->looks[look].owner;
	return look == outer;
}

/* A look-ahead as it is taken here. */
static const struct sight *sight_at(struct run *r, uint32_t look, const struct place *at)
{
	const struct program *p = &r->rx->prog;
	uint32_t n = 0;
	r->sight_key[n++] = look;
	r->sight_key[n++] = p->looks[look].uses_context ? at->prev : PREV_OTHER;
	for (uint32_t i = 0; i < r->n_behinds; i++)
		if (is_within(p, r->behinds[i].look, look))
			r->sight_key[n++] = at->past[i];
	return sight(r->rx, r->sight_key, n);
}

static int by_pair(const void *a, const void *b)
{
	return memcmp(a, b, 2 * sizeof(uint32_t));
}

/* The number of the obligation that stands in rx->duty (n pairs, in any order). */
static uint32_t put_duty(struct regex *rx, uint32_t n)
{
	uint32_t kept = 0, *d = rx->duty;
	enum err e = OK;
	if (n > 1)
		qsort(d, n, 2 * sizeof *d, by_pair);
	for (uint32_t i = 0; i < n; i++)
		if (!kept || by_pair(d + 2 * i, d + 2 * (kept - 1)))
			memmove(d + 2 * kept++, d + 2 * i, 2 * sizeof *d);
	uint32_t id = seqs_put(&rx->duties, d, 2 * (size_t)kept, &e);
	return e ? fail(rx, e), DFA_DEAD : id;
}

/* Adds a look-ahead at its beginning; DFA_DEAD: it cannot hold. */
static uint32_t duty_add(struct run *r, uint32_t duty, uint32_t look, const struct place *at)
{
	struct regex *rx = r->rx;
	const struct sight *s = sight_at(r, look, at);
	size_t n;
	if (!s || !s->fa.n)
		return DFA_DEAD;
	if (s->free_state == 0)
		return duty;
	const uint32_t *old = seqs_get(&rx->duties, duty, &n);
	if (!dfa_grow(&rx->duty, &rx->duty_cap, n + 2, sizeof *rx->duty))
		return fail(rx, ERR_NOMEM), DFA_DEAD;
	if (n)
		memcpy(rx->duty, old, n * sizeof *old);
	rx->duty[n] = s->id;
	rx->duty[n + 1] = 0;
	return put_duty(rx, (uint32_t)n / 2 + 1);
}

/* What is left of it after a letter of this atom; DFA_DEAD: it has failed. */
static uint32_t duty_step(struct regex *rx, uint32_t duty, uint32_t atom)
{
	size_t n;
	uint32_t kept = 0;
	if (!duty)
		return 0;
	const uint32_t *old = seqs_get(&rx->duties, duty, &n);
	if (!dfa_grow(&rx->duty, &rx->duty_cap, n, sizeof *rx->duty))
		fail(rx, ERR_NOMEM);
	if (!work(rx, 4 * (uint32_t)n))
		return DFA_DEAD;
	for (size_t i = 0; i < n; i += 2) {
		const struct sight *s = rx->sights[old[i]];
		uint32_t to = fa_step(&s->fa, old[i + 1], atom);
		if (to == DFA_DEAD)
			return DFA_DEAD;
		if (to == s->free_state)
			continue;
		rx->duty[2 * kept] = old[i];
		rx->duty[2 * kept++ + 1] = to;
	}
	return put_duty(rx, kept);
}

/* Is it met when the text ends here? */
static bool duty_met(const struct regex *rx, uint32_t duty)
{
	size_t n;
	const uint32_t *d = seqs_get(&rx->duties, duty, &n);
	for (size_t i = 0; i < n; i += 2)
		if (!rx->sights[d[i]]->fa.tags[d[i + 1]])
			return false;
	return true;
}

/* ---- following what reads nothing ---- */

static size_t seen_slot(const struct run *r, struct thread t)
{
	size_t mask = r->n_seen_slots - 1, i = dfa_mix(dfa_mix(0, t.pc), t.duty) & mask;
	while (r->seen[i].stamp == r->stamp &&
		(r->seen[i].t.pc != t.pc || r->seen[i].t.duty != t.duty))
		i = (i + 1) & mask;
	return i;
}

static bool seen_grow(struct run *r)
{
	struct seen *old = r->seen;
	size_t n_old = r->n_seen_slots, n = MAX(n_old * 2, 256);
	struct seen *slots = calloc(n, sizeof *slots);
	if (!slots)
		return fail(r->rx, ERR_NOMEM);
	r->seen = slots;
	r->n_seen_slots = n;
	for (size_t i = 0; i < n_old; i++)
		if (old[i].stamp == r->stamp)
			slots[seen_slot(r, old[i].t)] = old[i];
	free(old);
	return true;
}

static void see_anew(struct run *r)
{
	r->stamp++; /* work is counted: it cannot come round */
	r->n_seen = 0;
}

/* true: for the first time. */
static bool see(struct run *r, struct thread t)
{
	if (!t.duty) {
		bool first = r->seen_at[t.pc] != r->stamp;
		r->seen_at[t.pc] = r->stamp;
		return first;
	}
	if (r->n_seen * 2 >= r->n_seen_slots && !seen_grow(r))
		return false;
	size_t i = seen_slot(r, t);
	if (r->seen[i].stamp == r->stamp)
		return false;
	r->seen[i] = (struct seen){t, r->stamp};
	r->n_seen++;
	return true;
}

/* Before which letters does a look-behind hold here? A set of bits. */
static uint32_t behind_holds(const struct run *r, uint32_t look, const uint32_t *past)
{
	uint32_t i = 0;
	while (r->behinds[i].look != look)
		i++;
	uint32_t holds = past[i] == DFA_DEAD ? 0 : r->behinds[i].sight->fa.tags[past[i]];
	return r->rx->prog.looks[look].negative ? HOLDS_ALWAYS & ~holds : holds;
}

/* An assertion that wants to know the next letter: does it hold? */
static bool future_holds(enum op op, const struct place *at)
{
	if (op == OP_END)
		return at->next == NEXT_END;
	bool boundary = (at->prev == PREV_WORD) != (at->next == NEXT_WORD);
	return boundary == (op == OP_WORD);
}

static void look_behind(struct run *r, struct thread t, const struct place *at, struct threads *to)
{
	const struct inst *i = &r->rx->prog.insts[t.pc];
	uint32_t holds = behind_holds(r, i->x, at->past);
	if (at->next == NEXT_UNKNOWN && holds && holds != HOLDS_ALWAYS)
		push(r->rx, to, t.pc, t.duty);
	else if (at->next == NEXT_UNKNOWN ? holds : holds >> at->next & 1)
		push(r->rx, &r->stack, i->next, t.duty);
}

/* Puts into `to` the threads that wait for a letter (or for the future) when t arrives here. */
static void follow(struct run *r, struct thread t, const struct place *at, struct threads *to)
{
	struct regex *rx = r->rx;
	struct threads *stack = &r->stack;
	stack->n = 0;
	push(rx, stack, t.pc, t.duty);
	while (stack->n && !rx->err) {
		t = stack->v[--stack->n];
		if (!see(r, t) || !work(rx, 1))
			continue;
		const struct inst *i = &rx->prog.insts[t.pc];
		uint32_t duty = t.duty;
		switch (i->op) {
		case OP_SPLIT:
			push(rx, stack, i->x, duty);
			push(rx, stack, i->next, duty);
			break;
		case OP_BEGIN:
			if (at->prev == PREV_NOTHING)
				push(rx, stack, i->next, duty);
			break;
		case OP_END:
		case OP_WORD:
		case OP_NOWORD:
			if (at->next == NEXT_UNKNOWN)
				push(rx, to, t.pc, duty);
			else if (future_holds(i->op, at))
				push(rx, stack, i->next, duty);
			break;
		case OP_LOOK:
			if (rx->prog.looks[i->x].behind)
				look_behind(r, t, at, to);
			else if ((duty = duty_add(r, duty, i->x, at)) != DFA_DEAD)
				push(rx, stack, i->next, duty);
			break;
		case OP_SET:
		case OP_ANY:
		case OP_MATCH:
		case OP_ALL:
			push(rx, to, t.pc, duty);
			break;
		}
	}
}

/* ---- states ---- */

static int by_thread(const void *a, const void *b)
{
	const struct thread *x = a, *y = b;
	if (x->pc != y->pc)
		return x->pc < y->pc ? -1 : 1;
	return (x->duty > y->duty) - (x->duty < y->duty);
}

static enum op op_of(const struct run *r, struct thread t)
{
	return r->rx->prog.insts[t.pc].op;
}

static bool waits_for_future(enum op op)
{
	return op == OP_END || op == OP_WORD || op == OP_NOWORD || op == OP_LOOK;
}

/* Sorts r->set; a thread with an obligation is not needed beside the same without. false: all is
 * accepted, whatever comes. */
static bool tidy_set(struct run *r)
{
	struct threads *set = &r->set;
	uint32_t n = 0;
	if (set->n > 1)
		qsort(set->v, set->n, sizeof *set->v, by_thread);
	for (uint32_t i = 0; i < set->n; i++) {
		struct thread t = set->v[i];
		if (!t.duty && op_of(r, t) == OP_ALL) {
			set->v[0] = t;
			set->n = 1;
			return false;
		}
		if (!n || set->v[n - 1].pc != t.pc || set->v[n - 1].duty)
			set->v[n++] = t;
	}
	set->n = n;
	return true;
}

/* The number of the state that r->set and the past make; DFA_DEAD: no thread is left. */
static uint32_t put_state(struct run *r, enum prev prev, const uint32_t *past)
{
	struct regex *rx = r->rx;
	enum err e = OK;
	if (!r->set.n || !work(rx, r->set.n * 4)) /* sorted, hashed, kept */
		return DFA_DEAD;
	bool past_matters = tidy_set(r), prev_matters = false;
	size_t n = 1 + r->n_behinds + 2 * (size_t)r->set.n;
	if (!dfa_grow(&r->key, &r->key_cap, n, sizeof *r->key))
		return fail(rx, ERR_NOMEM), DFA_DEAD;
	for (uint32_t i = 0; i < r->n_behinds; i++)
		r->key[1 + i] = past_matters ? past[i] : 0;
	for (uint32_t i = 0; i < r->set.n; i++) {
		prev_matters = prev_matters || waits_for_future(op_of(r, r->set.v[i]));
		r->key[1 + r->n_behinds + 2 * i] = r->set.v[i].pc;
		r->key[2 + r->n_behinds + 2 * i] = r->set.v[i].duty;
	}
	r->key[0] = prev_matters ? prev : PREV_OTHER;
	uint32_t id = seqs_put(&r->states, r->key, n, &e);
	if (!e && id >= DFA_STATES_MAX)
		e = ERR_TOO_LARGE;
	return e ? fail(rx, e), DFA_DEAD : id;
}

/* The state for the threads of r->arriving and those more that arrive here. */
static uint32_t arrive(struct run *r, enum prev prev, const uint32_t *past)
{
	struct place at = {prev, NEXT_UNKNOWN, past};
	r->set.n = 0;
	see_anew(r);
	for (uint32_t i = 0; i < r->arriving.n; i++)
		follow(r, r->arriving.v[i], &at, &r->set);
	return put_state(r, prev, past);
}

/* Reads a state back: its threads into r->waiting, its past into r->past. */
static enum prev load_state(struct run *r, uint32_t id)
{
	size_t n;
	const uint32_t *key = seqs_get(&r->states, id, &n);
	r->waiting.n = 0;
	for (uint32_t i = 0; i < r->n_behinds; i++)
		r->past[i] = key[1 + i];
	for (size_t i = 1 + r->n_behinds; i < n; i += 2)
		push(r->rx, &r->waiting, key[i], key[i + 1]);
	return (enum prev)key[0];
}

/* The threads of r->waiting when the future is known: those that waited for it go on, or are gone.
 */
static void resolve(struct run *r, const struct place *at, struct threads *to)
{
	to->n = 0;
	see_anew(r);
	for (uint32_t i = 0; i < r->waiting.n; i++) {
		struct thread t = r->waiting.v[i];
		if (waits_for_future(op_of(r, t)))
			follow(r, t, at, to);
		else if (see(r, t))
			push(r->rx, to, t.pc, t.duty);
	}
}

static bool accepts(struct run *r, enum prev prev, enum next next)
{
	struct place at = {prev, next, r->past};
	resolve(r, &at, &r->kernel);
	for (uint32_t i = 0; i < r->kernel.n; i++) {
		struct thread t = r->kernel.v[i];
		enum op op = op_of(r, t);
		if ((op == OP_MATCH || op == OP_ALL) && duty_met(r->rx, t.duty))
			return true;
	}
	return false;
}

/* A look-behind ends where its automaton accepts, which may depend on the next letter. */
static uint32_t accepts_behind(struct run *r, enum prev prev)
{
	uint32_t holds = 0;
	for (enum next next = NEXT_OTHER; next < NEXTS; next++)
		holds |= accepts(r, prev, next) ? 1u << next : 0;
	return holds;
}

/* ---- arcs ---- */

static void add_entry(struct run *r, uint32_t atom, uint32_t pc, uint32_t duty)
{
	if (!dfa_grow(&r->entries, &r->entries_cap, (size_t)r->n_entries + 1, sizeof *r->entries)) {
		fail(r->rx, ERR_NOMEM);
		return;
	}
	if (r->head[atom] == UINT32_MAX)
		r->touched[r->n_touched++] = atom;
	r->entries[r->n_entries] = (struct entry){{pc, duty}, r->head[atom]};
	r->head[atom] = r->n_entries++;
}

/* Sorts the threads that read letters by atom, lo..hi-1; r->kernel keeps those that read any
 * letter. The result: do these owe something, or does the past, so that each atom must be looked
 * at? */
static bool sort_by_atom(struct run *r, const struct threads *set, uint32_t lo, uint32_t hi)
{
	const struct regex *rx = r->rx;
	bool each = r->n_behinds > 0;
	r->n_touched = r->n_entries = r->kernel.n = 0;
	for (uint32_t k = 0; k < set->n && !rx->err; k++) {
		struct thread t = set->v[k];
		const struct inst *i = &rx->prog.insts[t.pc];
		if (i->op == OP_ANY || i->op == OP_ALL) {
			push(r->rx, &r->kernel, i->op == OP_ALL ? t.pc : i->next, t.duty);
			each = each || t.duty;
		}
		if (i->op != OP_SET)
			continue;
		size_t from = rx->atoms.first[i->x], to = rx->atoms.first[i->x + 1];
		for (size_t j = from; j < to && work(r->rx, 1); j++)
			if (rx->atoms.list[j] >= lo && rx->atoms.list[j] < hi)
				add_entry(r, rx->atoms.list[j], i->next, t.duty);
	}
	return each;
}

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

/* A thread that read a letter of this atom arrives, if what it owes allows. */
static void send(struct run *r, struct thread t, uint32_t atom)
{
	uint32_t duty = duty_step(r->rx, t.duty, atom);
	if (duty != DFA_DEAD)
		push(r->rx, &r->arriving, t.pc, duty);
}

/* Where a letter of this atom leads: r->kernel holds what reads any letter. */
static uint32_t target(struct run *r, uint32_t atom, enum prev prev_after)
{
	r->arriving.n = 0;
	if (!work(r->rx, 1 + r->n_behinds))
		return DFA_DEAD;
	for (uint32_t i = 0; i < r->kernel.n; i++)
		send(r, r->kernel.v[i], atom);
	for (uint32_t e = r->head[atom]; e != UINT32_MAX; e = r->entries[e].more)
		send(r, r->entries[e].to, atom);
	r->head[atom] = UINT32_MAX;
	for (uint32_t i = 0; i < r->n_behinds; i++) {
		const struct fa *f = &r->behinds[i].sight->fa;
		r->past_after[i] = r->past[i] == DFA_DEAD ? DFA_DEAD : fa_step(f, r->past[i], atom);
	}
	return arrive(r, prev_after, r->past_after);
}

/* Arcs over the atoms lo..hi-1, which `set` reads. Atoms that no thread names lead where the
 * threads that read anything lead. */
static void add_arcs(
	struct run *r, const struct threads *set, uint32_t lo, uint32_t hi, enum prev after)
{
	bool each = sort_by_atom(r, set, lo, hi);
	uint32_t at = lo, others = DFA_DEAD;
	if (r->n_touched > 1)
		qsort(r->touched, r->n_touched, sizeof *r->touched, by_number);
	if (!each && r->n_touched < hi - lo && r->kernel.n) {
		r->arriving.n = 0;
		for (uint32_t i = 0; i < r->kernel.n; i++)
			push(r->rx, &r->arriving, r->kernel.v[i].pc, 0);
		others = arrive(r, after, r->past);
	}
	for (uint32_t i = 0; i <= r->n_touched && !r->rx->err; i++) {
		uint32_t atom = i < r->n_touched ? r->touched[i] : hi;
		if (!each && at < atom)
			fa_arc(r->out, at, atom - 1, others);
		for (; each && at < atom; at++)
			fa_arc(r->out, at, at, target(r, at, after));
		if (atom < hi)
			fa_arc(r->out, atom, atom, target(r, atom, after));
		at = atom + 1;
	}
}

static void add_state(struct run *r, uint32_t id, uint32_t look)
{
	struct regex *rx = r->rx;
	uint32_t n = rx->atoms.n, n_words = rx->atoms.n_words;
	enum prev prev = load_state(r, id);
	if (r->waiting.n == 1 && !r->waiting.v[0].duty && op_of(r, r->waiting.v[0]) == OP_ALL) {
		fa_arc(r->out, 0, n - 1, id);
		fa_end(r->out, 1);
		return;
	}
	bool behind = look != UINT32_MAX && rx->prog.looks[look].behind;
	uint32_t tag = behind ? accepts_behind(r, prev) : accepts(r, prev, NEXT_END);
	for (int word = 1; word >= 0 && !rx->err; word--) {
		struct place at = {prev, word ? NEXT_WORD : NEXT_OTHER, r->past};
		uint32_t lo = word ? 0 : n_words, hi = word ? n_words : n;
		if (lo == hi)
			continue;
		resolve(r, &at, &r->reading);
		add_arcs(r, &r->reading, lo, hi, word ? PREV_WORD : PREV_OTHER);
	}
	fa_end(r->out, tag);
}

/* ---- a whole run ---- */

/* Does the automaton of this look-behind go along with a run of `look`? One inside of another is
 * that one's affair; one inside of a look-ahead began before it. */
static bool goes_along(const struct program *p, uint32_t behind, uint32_t look)
{
	const struct look *b = &p->looks[behind];
	if (!b->behind || b->start == UINT32_MAX)
		return false;
	if (look == UINT32_MAX || p->looks[look].behind)
		return b->scope == look;
	return b->scope == UINT32_MAX && is_within(p, behind, look);
}

/* The look-behinds of a run, and in r->past_after where they stand at its beginning: `past`, or the
 * beginning of the text. */
static bool find_behinds(struct run *r, uint32_t look, const uint32_t *past)
{
	const struct program *p = &r->rx->prog;
	size_t n = (size_t)p->n_looks + 2;
	r->behinds = calloc(n, sizeof *r->behinds);
	r->past = calloc(n * 3, sizeof *r->past);
	if (!r->behinds || !r->past)
		return fail(r->rx, ERR_NOMEM);
	r->past_after = r->past + n;
	r->sight_key = r->past + 2 * n;
	for (uint32_t i = 0; i < p->n_looks; i++) {
		if (!goes_along(p, i, look))
			continue;
		const struct sight *s = sight(r->rx, (uint32_t[]){i, PREV_NOTHING}, 2);
		if (!s)
			return false;
		r->past_after[r->n_behinds] = past ? past[r->n_behinds] : s->fa.n ? 0 : DFA_DEAD;
		r->behinds[r->n_behinds++] = (struct behind){i, s};
	}
	return true;
}

static void run_free(struct run *r)
{
	free(r->behinds);
	free(r->past);
	free(r->set.v);
	free(r->kernel.v);
	free(r->stack.v);
	free(r->waiting.v);
	free(r->reading.v);
	free(r->arriving.v);
	free(r->key);
	free(r->seen);
	free(r->seen_at);
	free(r->head);
	free(r->entries);
	seqs_free(&r->states);
}

/* The smallest automaton, over atoms, of what the program from `start` on accepts. `look` is the
 * one that it belongs to; `past`, of one ahead, where the look-behinds in it stand. */
static bool construct(struct regex *rx, uint32_t start, enum prev prev, uint32_t look,
	const uint32_t *past, struct fa *out)
{
	struct run r = {.rx = rx, .out = out};
	uint32_t n = rx->atoms.n;
	r.head = malloc((size_t)n * 2 * sizeof *r.head);
	r.seen_at = calloc((size_t)rx->prog.n_insts + 1, sizeof *r.seen_at);
	if (!r.head || !r.seen_at)
		fail(rx, ERR_NOMEM);
	if (!rx->err && find_behinds(&r, look, past)) {
		memset(r.head, 0xFF, (size_t)n * sizeof *r.head);
		r.touched = r.head + n;
		push(rx, &r.arriving, start, 0);
		arrive(&r, prev, r.past_after);
		for (uint32_t done = 0; done < r.states.n && !rx->err && !out->err; done++)
			add_state(&r, done, look);
	}
	run_free(&r);
	if (!rx->err && out->err)
		fail(rx, out->err);
	if (!rx->err && fa_minimise(out))
		fail(rx, out->err);
	return !rx->err;
}

static uint32_t find_free(const struct fa *f, uint32_t n_atoms)
{
	for (uint32_t i = 0; i < f->n; i++) {
		const struct arc *arc = &f->arcs[f->first[i]];
		if (f->tags[i] && f->first[i + 1] == f->first[i] + 1 && !arc->lo &&
			arc->hi == n_atoms - 1 && arc->to == i)
			return i;
	}
	return UINT32_MAX;
}

static bool make_sight(struct regex *rx, const uint32_t *key, struct sight *s)
{
	const struct look *l = &rx->prog.looks[key[0]];
	if (!construct(rx, l->start, (enum prev)key[1], key[0], l->behind ? NULL : key + 2, &s->fa))
		return false;
	if (l->negative && !l->behind) {
		struct fa positive = s->fa;
		s->fa = (struct fa){0};
		fa_complement(&positive, rx->atoms.n - 1, &s->fa);
		fa_free(&positive);
		if (fa_minimise(&s->fa))
			return fail(rx, s->fa.err);
	}
	s->free_state = find_free(&s->fa, rx->atoms.n);
	return true;
}

/* The automaton of a look-around: for one ahead, of the rest of the text, negated where it is
 * negative; for one behind, of the text so far. NULL: rx->err. */
static const struct sight *sight(struct regex *rx, const uint32_t *key, uint32_t n)
{
	enum err e = OK;
	uint32_t id = seqs_put(&rx->sight_keys, key, n, &e);
	if (!e && !dfa_grow(&rx->sights, &rx->sights_cap, (size_t)id + 1, sizeof *rx->sights))
		e = ERR_NOMEM;
	if (e)
		return fail(rx, e), NULL;
	if (id < rx->n_sights)
		return rx->sights[id];
	rx->n_sights = id + 1;
	struct sight *s = rx->sights[id] = calloc(1, sizeof *s);
	if (!s)
		return fail(rx, ERR_NOMEM), NULL;
	s->id = id;
	return make_sight(rx, key, s) ? s : NULL;
}

static void regex_free(struct regex *rx)
{
	for (uint32_t i = 0; i < rx->n_sights; i++)
		if (rx->sights[i]) {
			fa_free(&rx->sights[i]->fa);
			free(rx->sights[i]);
		}
	free(rx->sights);
	free(rx->duty);
	seqs_free(&rx->sight_keys);
	seqs_free(&rx->duties);
	atoms_free(&rx->atoms);
	program_free(&rx->prog);
}

static void regex_run(struct regex *rx, struct fa *letters)
{
	struct fa f = {0};
	enum err e = atoms_make(&rx->prog, &rx->atoms);
	if (!e)
		seqs_put(&rx->duties, NULL, 0, &e); /* number 0: nothing is owed */
	if (e)
		fail(rx, e);
	else if (construct(rx, rx->prog.start, PREV_NOTHING, UINT32_MAX, NULL, &f))
		atoms_expand(&rx->atoms, &f, letters);
	if (!letters->err && rx->prog.uses_words) /* their atoms come first, their letters do not */
		fa_renumber(letters);
	fa_free(&f);
}

enum err dfa_regex(struct arena *a, struct str pattern, unsigned flags, const struct dfa **out,
	struct errtext *et)
{
	struct regex rx = {.et = et};
	struct fa letters = {0};
	rx.err = regex_parse(pattern, flags, &rx.prog, et);
	if (!rx.err)
		regex_run(&rx, &letters);
	regex_free(&rx);
	if (rx.err) {
		fa_free(&letters);
		return rx.err;
	}
	return dfa_finish(a, &letters, true, out, et);
}
