/* Where a model thinks before it answers: the text between two signs at the very beginning.
 *Templates say which, and some open it in the prompt.
 *
 *	struct thinking t = {.signs = thinking_signs(template)};     // NULL: it does not think
 *	t.inside = thinking_is_open(t.signs, prompt);
 *	thinking_add(&t, bytes, on, ctx);       // on(ctx, thought?, text), in order
 *	thinking_end(&t, on, ctx);
 *	thinking_free(&t);
 *
 * White space around the signs goes; no other text is lost. */
#ifndef ENGINE_THINKING_H
#define ENGINE_THINKING_H
#include "base/str.h"

struct thinking_signs {
	const char *open, *close;
	const char *after; /* what we write behind `close` before an answer */
	bool shared;       /* `close` ends other things as well: a template is known by `open` */
};

struct thinking {
	const struct thinking_signs *signs;
	bool inside, decided; /* decided: it has ended, or there was none */
	bool spoke;           /* something was thought, or answered */
	bool thought;         /* there was a thought, be it empty */
	struct buf held;
};

const struct thinking_signs *thinking_signs(struct str template);
bool thinking_is_open(const struct thinking_signs *s, struct str prompt);
/* Takes all bytes, or with `pause` those up to the end of the thought: how many. */
size_t thinking_add(struct thinking *t, struct str bytes, bool pause,
	void (*on)(void *ctx, bool thought, struct str text), void *ctx);
void thinking_end(
	struct thinking *t, void (*on)(void *ctx, bool thought, struct str text), void *ctx);
void thinking_free(struct thinking *t);

#endif
