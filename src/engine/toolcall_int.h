/* What toolcall.c and toolcall_xml.c share. */
#ifndef ENGINE_TOOLCALL_INT_H
#define ENGINE_TOOLCALL_INT_H
#include "engine/toolcall.h"

enum { TC_NAME_MAX = 128 };

static inline bool tc_space(char c)
{
	return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

/* todo from there to the byte that is looked at, which is the last */
struct str tc_kept(const struct toolcall_parser *p, size_t from);
bool tc_known(const struct toolcall_parser *p, struct str name);
void tc_open_call(struct toolcall_parser *p, struct str name);
void tc_close_call(struct toolcall_parser *p);
/* What was kept back is a call that has ended; or is none. */
void tc_call_done(struct toolcall_parser *p);
void tc_no_call(struct toolcall_parser *p);

/* One more byte of a call whose arguments stand one after the other. */
void tc_xml_byte(struct toolcall_parser *p, char c);

#endif
