/* What a language of texts allows next, byte by byte: stack machines that guess.
 *
 * A language (a JSON Schema, a grammar, a regular expression) is compiled once, immutable, and
 * shared by threads. A matcher runs it for one text, on one thread at a time: it holds the set of
 * all stacks that are possible after the bytes so far. A language promises that each stack which it
 * emits can be completed, so a matcher that has not refused its bytes can always go on.
 *
 *	struct matcher *m;
 *	enum err e = matcher_new(grammar_language(g), &m, et);
 *	if (!matcher_take(m, "{\"a\"", 4)) ...        // no text of the language begins so
 *	if (matcher_may_end(m)) ...
 *	matcher_free(m);
 *
 * Stacks are chains of cells, hash-consed: equal stacks are the same pointer, and sharing makes a
 * copy free. Cells live in the matcher and move when it compacts itself, which only matcher_take
 * does: its memory follows the depth of the text, not its length.
 *
 * A language is a few functions over cells:
 *
 *	start(m, self)         emits the stacks that stand before the first byte
 *	step(m, cell, byte)    the top cell reads a byte and emits every stack that can stand there
 *	                       afterwards: machine_emit for itself, changed, or for a child above
 *	                       machine_cell(itself, changed); machine_pop when it is finished
 *	resume(m, cell, r)     the child above cell has ended with the result r; emits as step does
 *	ends(m, cell)          asked of the top cell of a stack: may the text end here?
 *
 * A cell that can both go on and be finished does both at once: it emits itself and pops. The
 *lowest cell never pops (there is nothing below to resume); it stays and says that it ends.
 *
 * What step emits for a cell must depend on the cell, the byte, and not on what stands below: the
 * same cell above machine_bottom() is how masks are cached (engine/mask.h). A pop down to
 * machine_bottom() resumes nothing; matcher_popped tells the results. */
#ifndef TEXT_MACHINE_H
#define TEXT_MACHINE_H
#include "base/arena.h"

enum {
	MACHINE_STACKS_MAX = 4096,
	MACHINE_DEPTH_MAX = 256,
	MACHINE_TOKEN_MAX =
		48, /* bytes that are read at once, at most, from a cell that key named */
};

struct machine; /* a matcher's cells and what it emits just now: what languages see of it */

struct cell {
	const struct cell *up;  /* the cell below on the stack; NULL for the lowest */
	const void *node;       /* the language's own, in its immutable part */
	uint32_t kind, a, b, c; /* the language's own: what it is doing, how far it is */
	const void *more;       /* NULL, or from machine_data */
	uint32_t depth, hash;   /* computed */
};

struct result { /* of a finished child */
	uint32_t a, b;
	const void *more; /* NULL, or from machine_data */
};

struct language_ops {
	void (*start)(struct machine *m, const void *self);
	void (*step)(struct machine *m, const struct cell *c, uint8_t byte);
	void (*resume)(struct machine *m, const struct cell *c, struct result r);
	bool (*ends)(struct machine *m, const struct cell *c);
	/* A cell that can read the same texts of up to MACHINE_TOKEN_MAX bytes as c, or fewer:
	 * *out begins as a copy of c, and counters that no token can exhaust are levelled (best to
	 * a value that says "no limit", so that reading does not change it). NULL: c itself. False:
	 * not worth caching. */
	bool (*key)(const struct cell *c, struct cell *out);
};

struct language {
	const struct language_ops *ops;
	const void *self;
	uint64_t id; /* from language_id: names its cached masks */
};

uint64_t language_id(void); /* unique in the process */

/* ---- for the languages, while one of their functions runs ---- */

/* Adds one stack to what is being emitted (equal ones count once). `like` gives up, node, kind, a,
 * b, c, more; up must be NULL, machine_bottom() or a cell of this machine. */
void machine_emit(struct machine *m, const struct cell *like);
/* A cell as a parent for others, without emitting it. NULL: out of memory or too deep, which the
 * machine remembers; emit nothing then. */
const struct cell *machine_cell(struct machine *m, const struct cell *like);
/* `finished` (only its up matters) is done: the cell below resumes with r. The same twice in one
 * emission counts once. */
void machine_pop(struct machine *m, const struct cell *finished, struct result r);
/* True the first time that a cell like this is named to it in one emission: a guard against doing
 * the same work on many ways. */
bool machine_once(struct machine *m, const struct cell *like);
/* Bytes hash-consed in the machine: equal bytes are the same pointer. They must not hold pointers
 * into the machine. NULL: out of memory, as above. */
const void *machine_data(struct machine *m, const void *bytes, size_t n);
size_t machine_data_size(const void *data);
/* Scratch memory until the function returns. */
struct arena *machine_arena(struct machine *m);
const void *machine_language(const struct machine *m); /* its self */
const struct cell *machine_bottom(void);

/* ---- running one ---- */

struct matcher;

enum err matcher_new(const struct language *l, struct matcher **out, struct errtext *et) MUST_CHECK;
void matcher_free(struct matcher *m); /* accepts NULL */
/* false: no text of the language begins so, or it gave up (see matcher_status); the matcher stays
 * as it was before these bytes. Not inside levels. */
bool matcher_take(struct matcher *m, const char *bytes, size_t n);
bool matcher_may_end(struct matcher *m);
/* Nothing but the end is possible. */
bool matcher_must_end(struct matcher *m);
/* The bytes that are certain to come next (at most `max`), for jumping ahead. */
size_t matcher_forced(struct matcher *m, char *out, size_t max);
/* ERR_TOO_LARGE or ERR_NOMEM when it dropped a stack since it was made (too many, too deep), else
 * OK. What it goes on to accept is still right, but a refusal may be wrong. */
enum err matcher_status(const struct matcher *m, struct errtext *et);
const struct language *matcher_language(const struct matcher *m);
size_t matcher_bytes(const struct matcher *m); /* memory in use */
/* How often its cells have moved: pointers from before are worth nothing. */
uint32_t matcher_moves(const struct matcher *m);

/* ---- trying many continuations (for masks) ----
 * Sets of stacks lie on levels; level 0 is the text so far. Pushing adds a level after one more
 * byte, popping takes it away, and neither copies a set. */

/* Many bytes will be tried from here: steps are remembered. */
void matcher_will_try(struct matcher *m);
/* The stacks of the top level, valid until the next call; *n of them. */
const struct cell *const *matcher_stacks(const struct matcher *m, size_t *n);
/* A level with the stacks after `byte`. False: there are none, and the level was not added, but
 * matcher_popped tells what went down to the bottom. */
bool matcher_push(struct matcher *m, uint8_t byte);
/* A level with just a cell like `like`, or the stacks after `below` was resumed with r. False:
 * none, and no level. */
bool matcher_push_like(struct matcher *m, const struct cell *like);
bool matcher_push_resumed(struct matcher *m, const struct cell *below, struct result r);
void matcher_drop(struct matcher *m, size_t levels);
size_t matcher_levels(const struct matcher *m);
/* How many stacks have read a byte or were resumed since it was made: a measure of time. */
uint64_t matcher_work(const struct matcher *m);
/* Whoever tries may find that it takes too long: as if there were too many stacks. */
void matcher_give_up(struct matcher *m, const char *why);
/* The results of pops to machine_bottom() in the last push; valid until the next. */
const struct result *matcher_popped(const struct matcher *m, size_t *n);
/* The status as it was before trying: what was only tried does not count as given up. */
void matcher_restore(struct matcher *m, enum err status);
struct machine *matcher_machine(struct matcher *m);

#endif
