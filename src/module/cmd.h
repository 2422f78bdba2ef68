/* What a command gets: its parsed arguments, the API (a running server's, or this process's own),
 * and the terminal. Commands are thin: build a request, call, print. */
#ifndef MODULE_CMD_H
#define MODULE_CMD_H
#include "module/module.h"

struct cmd; /* opaque; made by cli/ */

size_t cmd_n_args(const struct cmd *cmd);
struct str cmd_arg(const struct cmd *cmd, size_t i);
struct str cmd_opt(const struct cmd *cmd, const char *name); /* {NULL,0}: not given; flag: "" */
/* The i-th value of an option that may be given more than once. */
struct str cmd_opt_at(const struct cmd *cmd, const char *name, size_t i);
bool cmd_flag(const struct cmd *cmd, const char *name);
bool cmd_json(const struct cmd *cmd);                   /* --json, on every command */
const struct cancel *cmd_cancel(const struct cmd *cmd); /* set by SIGINT, SIGTERM */

/* ---- the API ---- */
/* JSON in and out; status >= 400 is turned into the matching enum err with the server's message.
 * The reply's bytes are appended to out. */
enum err cmd_call(struct cmd *cmd, enum http_method method, const char *path, struct str json,
	struct buf *out, struct errtext *et) MUST_CHECK;
/* The same with other content. */
enum err cmd_send(struct cmd *cmd, enum http_method method, const char *path,
	const struct http_pair *headers, size_t n, struct str body, struct buf *out,
	struct errtext *et) MUST_CHECK;
/* Server-sent events, each to fn (event "" when unnamed). */
typedef enum err (*cmd_event_fn)(void *ctx, struct str event, struct str data);
enum err cmd_stream(struct cmd *cmd, enum http_method method, const char *path, struct str json,
	cmd_event_fn fn, void *ctx, struct errtext *et) MUST_CHECK;
/* The bytes of an answer as they come, of any size; fn returns an error to stop. */
enum err cmd_download(struct cmd *cmd, const char *path, enum err (*fn)(void *ctx, struct str data),
	void *ctx, struct errtext *et) MUST_CHECK;
/* The settings alone, for commands that work on stores which no instance may have open. */
enum err cmd_settings(struct cmd *cmd, struct croft **out, struct errtext *et) MUST_CHECK;
bool cmd_remote(struct cmd *cmd); /* a running server answers */
/* Where that server is, and the key that is sent to it ("" none); borrowed. Only when
 * cmd_remote. */
void cmd_server(struct cmd *cmd, struct str *url, struct str *key);
/* The instance itself, for the few commands that must have it (up); opens it. */
enum err cmd_croft(struct cmd *cmd, struct croft **out, struct errtext *et) MUST_CHECK;

/* ---- the terminal ---- */
bool term_is_tty(void); /* standard output */
unsigned term_columns(void);
void cmd_out(struct cmd *cmd, struct str s); /* standard output, buffered until flush or the end */
void cmd_outf(struct cmd *cmd, const char *fmt, ...) PRINTF_LIKE(2, 3);
void cmd_flush(struct cmd *cmd);
void cmd_note(struct cmd *cmd, const char *fmt, ...) PRINTF_LIKE(2, 3); /* standard error, a line */
/* ANSI style when standard output is a terminal and NO_COLOR is unset, else "". */
const char *cmd_style(const struct cmd *cmd,
	const char *name); /* "bold","dim","red","green","yellow","cyan","reset" */

/* A table: columns sized to the content, the widest cut with an ellipsis to fit the terminal. */
struct cmd_table;
struct cmd_table *cmd_table(struct cmd *cmd, const char *const *titles, size_t n);
void cmd_cell(struct cmd_table *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
void cmd_table_end(struct cmd_table *t); /* prints and frees */

/* Progress on standard error: one line redrawn on a terminal, a plain line every 10 s otherwise.
 * total 0: unknown. Unit "B" shows bytes and a rate. */
struct progress;
struct progress *progress_begin(
	struct cmd *cmd, const char *what, const char *unit, uint64_t total);
void progress_at(struct progress *p, uint64_t done, uint64_t total, const char *note);
void progress_end(struct progress *p, const char *note); /* accepts NULL */

#endif
