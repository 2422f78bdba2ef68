#include "cli/cli_int.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct cancel *to_cancel;

/* The first signal asks; the second one ends the process at once. */
static void on_signal(int sig)
{
	if (atomic_exchange(&to_cancel->set, true))
		_exit(128 + sig);
}

static void catch_signals(struct cmd *cmd)
{
	to_cancel = &cmd->cancel;
	struct sigaction sa = {.sa_handler = on_signal};
	sigemptyset(&sa.sa_mask);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
}

static void print_error(struct cmd *cmd, enum err e, const struct errtext *et)
{
	cmd_flush(cmd);
	if (cmd->json) {
		struct buf b = {0};
		struct jw w = {.out = &b};
		jw_obj(&w);
		jw_key(&w, "error");
		jw_obj(&w);
		jw_kc(&w, "code", err_word(e));
		jw_kc(&w, "message", err_text(e, et));
		jw_end(&w);
		jw_end(&w);
		fprintf(stderr, "%s\n", buf_c(&b));
		buf_free(&b);
		return;
	}
	bool color = isatty(STDERR_FILENO) && !getenv("NO_COLOR");
	fprintf(stderr, "%serror:%s %s\n", color ? "\033[31m" : "", color ? "\033[0m" : "",
		err_text(e, et));
}

int cli_main(const struct module *const *modules, size_t n_modules, int argc, char **argv)
{
	struct cmd cmd = {.modules = modules, .n_modules = n_modules};
	struct errtext et = {0};
	catch_signals(&cmd);
	enum err e = args_parse(&cmd, argc - 1, argv + 1, &et);
	if (!e && !cmd.def)
		help_overview(&cmd);
	else if (!e && cmd.help)
		help_command(&cmd, cmd.def);
	else if (!e)
		e = cmd.def->run(&cmd, &et);
	cmd_flush(&cmd);
	if (e == ERR_CANCELLED && !et.msg[0])
		err_set(&et, e, "interrupted");
	if (e)
		print_error(&cmd, e, &et);
	transport_close(&cmd);
	buf_free(&cmd.out);
	free(cmd.args);
	return err_exit(e);
}
