/* Stop strings over streamed text: bytes that could begin a stop string are held back until it is
 * clear, so that no part of one is ever sent.
 *
 *	struct stopper s;
 *	enum err e = stopper_init(&s, stops, n, et);
 *	struct str out = stopper_add(&s, text, &hit);   // what may be sent now
 *	if (hit >= 0) ...                               // stops[hit] was reached: send out, then
 *end struct str rest = stopper_end(&s);              // the text ended without one
 *	stopper_free(&s);
 *
 * The views are valid until the next call. */
#ifndef ENGINE_STOPPER_H
#define ENGINE_STOPPER_H
#include "base/str.h"

struct stopper {
	struct str *stops; /* owned copies */
	size_t n;
	struct buf held, out;
};

enum err stopper_init(
	struct stopper *s, const struct str *stops, size_t n, struct errtext *et) MUST_CHECK;
struct str stopper_add(struct stopper *s, struct str text, int *hit);
struct str stopper_end(struct stopper *s);
void stopper_free(struct stopper *s);

#endif
