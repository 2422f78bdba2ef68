#include "engine/stopper.h"

#include <stdlib.h>

enum { STOPS_MAX = 64, STOP_BYTES_MAX = 4096 };

enum err stopper_init(struct stopper *s, const struct str *stops, size_t n, struct errtext *et)
{
	*s = (struct stopper){0};
	if (n > STOPS_MAX)
		return err_set(et, ERR_INVALID, "%zu stop strings; at most %d", n, STOPS_MAX);
	for (size_t i = 0; i < n; i++)
		if (!stops[i].n || stops[i].n > STOP_BYTES_MAX)
			return err_set(et, ERR_INVALID, "a stop string must have 1 to %d bytes",
				STOP_BYTES_MAX);
	s->stops = calloc(n + 1, sizeof *s->stops);
	if (!s->stops)
		return err_set(et, ERR_NOMEM, "no memory");
	for (; s->n < n; s->n++) {
		char *copy = str_dup(stops[s->n]);
		if (!copy) {
			stopper_free(s);
			return err_set(et, ERR_NOMEM, "no memory");
		}
		s->stops[s->n] = str_mk(copy, stops[s->n].n);
	}
	return OK;
}

/* The longest suffix of text that is a proper prefix of stop. */
static size_t pending(struct str text, struct str stop)
{
	size_t n = MIN(text.n, stop.n - 1);
	for (; n; n--)
		if (memcmp(text.p + text.n - n, stop.p, n) == 0)
			break;
	return n;
}

struct str stopper_add(struct stopper *s, struct str text, int *hit)
{
	*hit = -1;
	buf_adds(&s->held, text);
	struct str all = buf_str(&s->held);
	size_t first = STR_NONE, keep = 0;
	for (size_t i = 0; i < s->n; i++) {
		size_t at = str_find(all, s->stops[i]);
		if (at < first) {
			first = at;
			*hit = (int)i;
		}
	}
	for (size_t i = 0; i < s->n && *hit < 0; i++)
		keep = MAX(keep, pending(all, s->stops[i]));
	size_t send = *hit >= 0 ? first : all.n - keep;
	if (*hit < 0)
		send = utf8_complete_prefix(
			str_sub(all, 0, send)); /* a stop may begin inside one */
	buf_clear(&s->out);
	buf_add(&s->out, all.p, send);
	if (*hit >= 0) {
		buf_clear(&s->held);
	} else {
		memmove(s->held.p ? s->held.p : (char *)"", all.p + send, all.n - send);
		s->held.n = all.n - send;
		if (s->held.p)
			s->held.p[s->held.n] = 0;
	}
	return buf_str(&s->out);
}

struct str stopper_end(struct stopper *s)
{
	buf_clear(&s->out);
	buf_adds(&s->out, buf_str(&s->held));
	buf_clear(&s->held);
	return buf_str(&s->out);
}

void stopper_free(struct stopper *s)
{
	for (size_t i = 0; i < s->n; i++)
		free((char *)s->stops[i].p);
	free(s->stops);
	buf_free(&s->held);
	buf_free(&s->out);
	*s = (struct stopper){0};
}
