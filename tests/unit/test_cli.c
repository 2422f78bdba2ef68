#include "tap.h"
#include "cli/cli_int.h"

#include <stdlib.h>

static enum err run_it(struct cmd *cmd, struct errtext *et)
{
	return OK;
}

static const struct option push_options[] = {
	{"name", 'n', "NAME", "Under this name"},
	{"force", 'f', NULL, "Replace"},
};
static const struct command commands[] = {
	{"push", run_it, "FILE...", push_options, ARRAY_LEN(push_options), "Push", NULL},
	{"models", run_it, "", NULL, 0, "List", NULL},
	{"models rm", run_it, "NAME", NULL, 0, "Remove", NULL},
	{"key ls", run_it, "", NULL, 0, "List", NULL},
	{"key add", run_it, "NAME", NULL, 0, "Add", NULL},
};
static const struct setting settings[] = {
	{"rag.top_k", SET_INT, "8", "Passages", 1, 100},
	{"rag.rerank", SET_BOOL, "true", "Rerank", 0, 0},
};
static const struct module some = {.name = "some", TABLE(commands), TABLE(settings)};
static const struct module *const list[] = {&some};

static enum err parse(struct cmd *cmd, const char *line, struct errtext *et)
{
	static char text[8][256], *argv[8][16];
	static unsigned next;
	unsigned slot = next++ % 8;
	int argc = 0;
	snprintf(text[slot], sizeof text[slot], "%s", line);
	for (char *w = strtok(text[slot], " "); w; w = strtok(NULL, " "))
		argv[slot][argc++] = w;
	*cmd = (struct cmd){.modules = list, .n_modules = 1};
	return args_parse(cmd, argc, argv[slot], et);
}

static void test_cli_args__commands_options_settings(void)
{
	struct cmd cmd;
	struct errtext et = {0};
	CHECK_OK(parse(&cmd, "push a -n x --force b --json --rag-top-k 3 --no-rag-rerank -- -c",
			 &et),
		&et);
	CHECK(cmd.def == &commands[0] && cmd.json);
	CHECK_INT(cmd_n_args(&cmd), 3);
	CHECK_STR(cmd_arg(&cmd, 2), "-c");
	CHECK_STR(cmd_opt(&cmd, "name"), "x");
	CHECK(cmd_flag(&cmd, "force"));
	CHECK_INT(cmd.n_flags, 2);
	CHECK_STR(cmd.flags[0].name, "rag.top_k");
	CHECK_STR(cmd.flags[0].value, "3");
	CHECK_STR(cmd.flags[1].value, "false");
	free(cmd.args);
	CHECK_OK(parse(&cmd, "--home /x models rm this --name=y", &et) == ERR_INVALID ? OK : ERR_IO,
		&et);
	CHECK(strstr(et.msg, "--name"));
	free(cmd.args);
	CHECK_OK(parse(&cmd, "--home /x --rag-top-k=9 models rm this", &et), &et);
	CHECK(cmd.def == &commands[2]);
	CHECK_STR(cmd_opt(&cmd, "home"), "/x");
	free(cmd.args);
	CHECK_OK(parse(&cmd, "models --json", &et), &et);
	CHECK(cmd.def == &commands[1] && cmd.n_args == 0);
	free(cmd.args);
}

static void test_cli_args__errors_name_the_word(void)
{
	static const struct {
		const char *line, *says;
	} cases[] = {
		{"pish a", "'pish'"},
		{"models rmx", "takes no arguments, not 'rmx'"},
		{"key", "'key' is followed by one of ls, add"},
		{"--home /x key rm",
			"there is no command 'key rm'; key is followed by one of ls, add"},
		{"push --nam x", "--nam"},
		{"push -z", "-z"},
		{"push --name", "needs a value"},
		{"push --force=1", "takes no value"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct cmd cmd;
		struct errtext et = {0};
		CHECK_ERR(parse(&cmd, cases[i].line, &et), ERR_INVALID);
		if (!strstr(et.msg, cases[i].says))
			FAIL("\"%s\" says \"%s\"", cases[i].line, et.msg);
		free(cmd.args);
	}
}

/* In few columns texts give way, not names, times or the end of a path. */
static void test_cli_table__what_gives_way(void)
{
	static const char *const titles[] = {"NAME", "UPDATED (UTC)", "ABOUT", "PATH"};
	struct cmd cmd = {0};
	setenv("COLUMNS", "72", 1);
	struct cmd_table *t = cmd_table(&cmd, titles, ARRAY_LEN(titles));
	cmd_cell(t, "smollm2-360m-instruct");
	cmd_cell(t, "2026-11-27 08:09");
	cmd_cell(t, "a text that is far too long for this line");
	cmd_cell(t, "/home/me/documents/handbook/notice.md");
	cmd_table_end(t);
	unsetenv("COLUMNS");
	CHECK_STR(buf_str(&cmd.out),
		"NAME                   UPDATED (UTC)     ABOUT           PATH\n"
		"smollm2-360m-instruct  2026-11-27 08:09  a text that i…  …book/notice.md\n");
	buf_free(&cmd.out);
}

static enum err note_event(void *ctx, struct str event, struct str data)
{
	buf_addf(ctx, "[%.*s|%.*s]", STR_FMT(event), STR_FMT(data));
	return OK;
}

/* Cut at every place, the stream gives the same events. */
static void test_cli_sse__any_cut(void)
{
	struct str s = S(": ping\n\nevent: token\ndata: {\"a\":1}\n\ndata: x\ndata: y\r\n\r\n"
			 "event: empty\n\ndata:z\n\n");
	for (size_t cut = 0; cut <= s.n; cut++) {
		struct buf got = {0};
		struct sse_reader r = {.fn = note_event, .ctx = &got};
		CHECK_OK(sse_feed(&r, str_sub(s, 0, cut), NULL), NULL);
		CHECK_OK(sse_feed(&r, str_sub(s, cut, s.n), NULL), NULL);
		CHECK_STR(buf_str(&got), "[token|{\"a\":1}][|x\ny][|z]");
		sse_free(&r);
		buf_free(&got);
	}
}

TESTS(T(test_cli_args__commands_options_settings), T(test_cli_args__errors_name_the_word),
	T(test_cli_table__what_gives_way), T(test_cli_sse__any_cut))
