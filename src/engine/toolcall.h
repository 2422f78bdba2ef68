/* Calls of tools as models write them. Each family has its own signs around much the same JSON, or
 * around one value after the other; a row of a table says them. The parser reads an answer in any
 * pieces and tells text from calls.
 *
 *	struct toolcall_parser p = {.family = toolcall_family(template), .names = names,
 *		.n_names = n, .on = event, .ctx = &mine};
 *	toolcall_add(&p, bytes);
 *	toolcall_end(&p);
 *	toolcall_free(&p);
 *
 * What begins like a call is kept back until it is one: valid JSON that names a known tool with an
 * object of arguments. If it is none, it is text. No text is lost but white space next to calls.
 *
 * Whoever holds the answer to a language of calls (endpoint/chat.c) sets `pause`: toolcall_add then
 * stops right behind the sign with which a call begins (of a message: behind its header). After
 *`certain` is set nothing is kept back: arguments are told while they are written. */
#ifndef ENGINE_TOOLCALL_H
#define ENGINE_TOOLCALL_H
#include "base/str.h"

enum toolcall_shape {
	TOOLCALL_ONE,   /* {"name": ..., "arguments": {...}} */
	TOOLCALL_LIST,  /* a list of those */
	TOOLCALL_NAMED, /* the name, `between`, {...} */
	/* <function=the name>, for each argument <parameter=key> its value </parameter>,
	 * </function> */
	TOOLCALL_XML,
	TOOLCALL_MESSAGE, /* a header, `between`, {...}: the family's messages say more */
};

struct toolcall_syntax {
	const char *begin; /* "": JSON at the very beginning of the answer is a call */
	const char *after; /* what the model writes next, before JSON or name */
	enum toolcall_shape shape;
	const char *name_key, *args_key; /* ONE, LIST */
	const char *between;             /* NAMED, MESSAGE, XML */
	const char *drop;                /* NAMED, may be NULL: not the name's, from here on */
	const char *end;                 /* "": the JSON's end */
	bool again; /* another call may follow (in a list they are all within) */
};

/* Where an answer is a sequence of messages, each with a header that says whom it is for. */
enum toolcall_channel { TOOLCALL_FOR_USER, TOOLCALL_FOR_NOBODY, TOOLCALL_FOR_TOOL, TOOLCALL_ODD };

struct toolcall_messages {
	const char *opened;      /* the prompt ends with this: the first message has begun */
	const char *user;        /* what we write next when text is to come */
	const char *call;        /* and when a call is, before the name; */
	const char *after_name;  /* and after it: */
	const char *const *ends; /* of messages, a list with a NULL; they are nobody's text */
	/* *name when it is for a tool. */
	enum toolcall_channel (*read)(struct str header, struct str *name);
};

struct toolcall_family {
	const char *name;
	const char *signs[2];                     /* of the template: it has all of these */
	struct toolcall_syntax syntax[2];         /* the first is the one that is asked for */
	const char *close;                        /* after the last call */
	unsigned id_length;                       /* 0: any id will do */
	bool args_text;                           /* its template wants arguments as text */
	bool single;                              /* its template takes one call a message */
	const struct toolcall_messages *messages; /* NULL: an answer is one */
};

/* The family whose tools this chat template renders; NULL: it renders none, or in a way that is not
 * known. */
const struct toolcall_family *toolcall_family(struct str template);
/* For templates without tools: Hermes' syntax, which must be explained to the model. */
const struct toolcall_family *toolcall_generic(void);
const struct toolcall_family *toolcall_families(size_t *n);

enum toolcall_kind {
	TOOLCALL_TEXT,
	TOOLCALL_BEGIN,
	TOOLCALL_ARGUMENTS,
	TOOLCALL_END,
	TOOLCALL_THOUGHT, /* a message for nobody */
};

struct toolcall_event {
	enum toolcall_kind kind;
	struct str text; /* TEXT, THOUGHT, ARGUMENTS; BEGIN: the name */
};

/* How a value that is written without quotes is meant (XML). */
enum toolcall_value {
	TOOLCALL_VALUE_ANY,  /* JSON if it is JSON, else a string */
	TOOLCALL_VALUE_TEXT, /* a string, whatever it looks like */
	TOOLCALL_VALUE_TEXT_OR_NULL,
};

struct toolcall_walk { /* through the JSON of calls, which is valid */
	unsigned depth;
	bool str, esc, in_args, value, told;
	struct buf word, key, args;
	enum { XML_OPEN, XML_NAME, XML_BETWEEN, XML_KEY, XML_VALUE } xml;
	enum toolcall_value kind; /* of the present value */
	bool any;                 /* XML: arguments were written */
};

struct toolcall_parser {
	const struct toolcall_family *family;
	const struct str *names; /* n_names == 0: any name */
	size_t n_names;
	bool none; /* there are no tools: messages are read, and none is a call */
	void (*on)(void *ctx, const struct toolcall_event *ev);
	void *ctx;
	bool pause;      /* stop where a call begins */
	bool pause_bare; /* and where JSON at the beginning could be one */
	bool certain;
	/* NULL, or how a tool's argument is meant (XML). */
	enum toolcall_value (*meant)(void *ctx, struct str tool, struct str argument);

	/* the parser's own */
	enum { TC_TEXT, TC_BEGUN, TC_CALL, TC_AFTER } state;
	const struct toolcall_syntax *syntax;
	struct buf todo; /* bytes that are not told yet, and those ahead */
	size_t mark, pos, json;
	bool wrote;              /* text was told */
	bool open;               /* a call was told and its end not */
	bool thought;            /* what comes is for nobody */
	unsigned calls, misread; /* misread: it began like one, and was none */
	struct toolcall_walk walk;
	struct buf text;
};

/* How many bytes it took: all, unless it paused. */
size_t toolcall_add(struct toolcall_parser *p, struct str bytes);
/* A call begins here although nothing has been written: `begin` was not, and is not to be. A
 * message begins so before the first byte when the prompt has opened it. */
void toolcall_force(struct toolcall_parser *p, const struct toolcall_syntax *s);
bool toolcall_paused(const struct toolcall_parser *p);
void toolcall_end(struct toolcall_parser *p);
void toolcall_free(struct toolcall_parser *p);

#endif
