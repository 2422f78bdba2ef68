#ifndef CLI_INT_H
#define CLI_INT_H
#include "cli/cli.h"

enum { ARGS_MAX = 4096, OPTS_MAX = 64 };

struct cmd {
	const struct module *const *modules;
	size_t n_modules;
	const struct command *def;
	struct str *args;
	size_t n_args;
	struct http_pair opts[OPTS_MAX]; /* long name, value */
	size_t n_opts;
	struct http_pair flags[OPTS_MAX]; /* settings given as --flags */
	size_t n_flags;
	bool json, help;
	struct cancel cancel;
	struct buf out;
	/* the API: at most one of them is set */
	struct croft *croft; /* opened here */
	char *base_url;      /* of a running server */
	char *api_key;
	char *pin;                           /* of the key of a TLS server on this data directory */
	char *ca, *client_cert, *client_key; /* settings; "" when not set */
};

/* Splits argv into command, arguments, options. The command's own options come before settings
 * of the same name. */
enum err args_parse(struct cmd *cmd, int argc, char **argv, struct errtext *et) MUST_CHECK;
const struct command *command_find(const struct cmd *cmd, int argc, char **argv, int *words);
/* Fails with e: says which words there are instead. */
enum err command_unknown(
	const struct cmd *cmd, int argc, char **argv, enum err e, struct errtext *et) MUST_CHECK;
const struct setting *setting_by_flag(const struct cmd *cmd, struct str flag, bool *negated);
extern const struct option common_options[];
extern const size_t n_common_options;

void help_overview(struct cmd *cmd);
bool help_group(struct cmd *cmd, struct str group); /* false: no command begins with that word */
void help_command(struct cmd *cmd, const struct command *c);

/* A server-sent-events reader: feed bytes, get events. */
struct sse_reader {
	cmd_event_fn fn;
	void *ctx;
	struct buf line, event, data;
	bool have_data;
};
enum err sse_feed(struct sse_reader *r, struct str bytes, struct errtext *et);
void sse_free(struct sse_reader *r);

void transport_close(struct cmd *cmd);

/* What `croft login` has kept, in a file that only its owner reads. */
void login_current(struct buf *url); /* nothing is appended when there is none */
char *login_key(struct str url);     /* NULL: none; free() it */
enum err run_login(struct cmd *cmd, struct errtext *et);
enum err run_logout(struct cmd *cmd, struct errtext *et);
extern const struct option login_options[1];

#endif
