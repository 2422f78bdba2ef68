/* Help and completion, derived from the tables. */
#include "cli/cli_int.h"

#include <stdio.h>

/* A paragraph in lines that end before column `width`, broken at spaces; the first one begins at
 * column `at`, the others are indented by `indent`. */
static void wrapped(struct cmd *cmd, struct str line, size_t at, size_t indent, size_t width)
{
	while (at + line.n > width) {
		size_t room = width > at ? width - at : 0;
		size_t space = str_rchr(str_sub(line, 0, room + 1), ' ');
		if (space == STR_NONE)
			break;
		cmd_outf(cmd, "%.*s\n%*s", (int)space, line.p, (int)indent, "");
		line = str_sub(line, space + 1, line.n);
		at = indent;
	}
	cmd_outf(cmd, "%.*s\n", STR_FMT(line));
}

static size_t help_width(void)
{
	return MIN(term_columns(), 100u);
}

enum { COMMAND_COLUMN = 22, OPTION_COLUMN = 29 };

/* A name, and what it is from column `at` on (on the next line, when the name is long). */
static void entry(struct cmd *cmd, struct str name, size_t at, const char *help)
{
	cmd_outf(cmd, "  %.*s", STR_FMT(name));
	size_t used = 2 + name.n;
	if (used >= at) {
		cmd_out(cmd, S("\n"));
		used = 0;
	}
	cmd_outf(cmd, "%*s", (int)(at - used), "");
	wrapped(cmd, str_c(help), at, at, help_width());
}

static void option_line(struct cmd *cmd, const struct option *o)
{
	struct buf b = {0};
	o->letter ? buf_addf(&b, "-%c, ", o->letter) : buf_addc(&b, "    ");
	buf_addf(&b, "--%s%s%s", o->name, o->value ? " " : "", o->value ? o->value : "");
	entry(cmd, buf_str(&b), OPTION_COLUMN, o->help);
	buf_free(&b);
}

static struct str group_of(const char *name)
{
	return (struct str){name, strcspn(name, " ")};
}

/* The commands whose first word is `group`, but for `but`; how many. */
static size_t group_lines(
	struct cmd *cmd, struct str group, const struct command *but, const char *head)
{
	size_t n = 0;
	for (size_t m = 0; m < cmd->n_modules; m++)
		for (size_t i = 0; i < cmd->modules[m]->n_commands; i++) {
			const struct command *c = &cmd->modules[m]->commands[i];
			if (c == but || !str_eq(group_of(c->name), group))
				continue;
			if (!n++)
				cmd_outf(cmd, "%s", head);
			entry(cmd, str_c(c->name), COMMAND_COLUMN, c->help);
		}
	return n;
}

bool help_group(struct cmd *cmd, struct str group)
{
	return group_lines(cmd, group, NULL, "Commands:\n") > 0;
}

/* Is it the first one of its group, in the order of the overview? */
static bool leads(const struct cmd *cmd, size_t module, size_t at)
{
	const struct module *const *list = cmd->modules;
	struct str group = group_of(list[module]->commands[at].name);
	for (size_t m = cmd->n_modules; m-- > module;)
		for (size_t i = 0; i < (m == module ? at : list[m]->n_commands); i++)
			if (str_eq(group_of(list[m]->commands[i].name), group))
				return false;
	return true;
}

/* From the top of the program down: what people begin with stands first. */
void help_overview(struct cmd *cmd)
{
	cmd_outf(cmd,
		"croft %s: build, run and improve generative AI applications in one program\n\n",
		CROFT_VERSION);
	cmd_outf(cmd, "Usage: croft COMMAND [ARGUMENTS] [OPTIONS]\n\nCommands:\n");
	for (size_t m = cmd->n_modules; m-- > 0;)
		for (size_t i = 0; i < cmd->modules[m]->n_commands; i++)
			if (leads(cmd, m, i))
				group_lines(
					cmd, group_of(cmd->modules[m]->commands[i].name), NULL, "");
	cmd_outf(cmd, "\nOptions of every command:\n");
	for (size_t i = 0; i < n_common_options; i++)
		option_line(cmd, &common_options[i]);
	cmd_outf(cmd, "\nEvery setting is an option too, as in --listen 127.0.0.1:8000: croft "
		      "config\nshows them. More on one command: croft help COMMAND\n");
}

/* Paragraphs are filled; what is indented (an example) stays as it is. */
static void details(struct cmd *cmd, const char *text)
{
	struct str rest = str_c(text), line;
	struct buf paragraph = {0};
	bool more = true;
	while (more) {
		more = str_next_line(&rest, &line);
		bool fills = more && line.n && line.p[0] != ' ';
		if (!fills && paragraph.n) {
			wrapped(cmd, buf_str(&paragraph), 0, 0, help_width());
			buf_clear(&paragraph);
		}
		if (fills) {
			buf_addf(&paragraph, "%s%.*s", paragraph.n ? " " : "", STR_FMT(line));
		} else if (more) {
			cmd_outf(cmd, "%.*s\n", STR_FMT(line));
		}
	}
	buf_free(&paragraph);
}

void help_command(struct cmd *cmd, const struct command *c)
{
	const char *space = *c->args ? " " : "";
	cmd_outf(cmd, "%s.\n\n", c->help);
	if (c->verbatim)
		cmd_outf(cmd, "Usage: croft %s [OPTIONS]%s%s\n", c->name, space, c->args);
	else
		cmd_outf(cmd, "Usage: croft %s%s%s [OPTIONS]\n", c->name, space, c->args);
	if (c->details) {
		cmd_out(cmd, S("\n"));
		details(cmd, c->details);
	}
	if (!strchr(c->name, ' '))
		group_lines(cmd, str_c(c->name), c, "\nSee also:\n");
	cmd_outf(cmd, "\nOptions:\n");
	for (size_t i = 0; i < c->n_options; i++)
		option_line(cmd, &c->options[i]);
	for (size_t i = 0; i < n_common_options; i++)
		option_line(cmd, &common_options[i]);
}

static enum err run_help(struct cmd *cmd, struct errtext *et)
{
	if (!cmd_n_args(cmd)) {
		help_overview(cmd);
		return OK;
	}
	char *words[8];
	char text[8][64];
	int n = 0, used;
	for (; n < 8 && (size_t)n < cmd_n_args(cmd); n++) {
		snprintf(text[n], sizeof text[n], "%.*s", STR_FMT(cmd_arg(cmd, (size_t)n)));
		words[n] = text[n];
	}
	const struct command *c = command_find(cmd, n, words, &used);
	if (c)
		help_command(cmd, c);
	else if (n > 1 || !help_group(cmd, cmd_arg(cmd, 0)))
		return command_unknown(cmd, n, words, ERR_NOT_FOUND, et);
	return OK;
}

/* ---- completion: words and options of each command ---- */

static void option_words(struct buf *b, const struct command *c)
{
	for (size_t i = 0; i < c->n_options; i++)
		buf_addf(b, " --%s", c->options[i].name);
	for (size_t i = 0; i < n_common_options; i++)
		buf_addf(b, " --%s", common_options[i].name);
}

static void first_word(struct cmd *cmd, struct buf *b, const char *name)
{
	struct str word = str_c(name);
	word.n = strcspn(name, " ");
	struct buf padded = {0}, wanted = {0};
	buf_addf(&padded, " %s ", buf_c(b));
	buf_addf(&wanted, " %.*s ", STR_FMT(word));
	if (str_find(buf_str(&padded), buf_str(&wanted)) == STR_NONE)
		buf_addf(b, "%s%.*s", b->n ? " " : "", STR_FMT(word));
	buf_free(&padded);
	buf_free(&wanted);
}

static void complete_bash(struct cmd *cmd, const char *commands)
{
	cmd_outf(cmd,
		"# bash completion for croft: source <(croft completion bash)\n"
		"_croft() {\n  local cur=\"${COMP_WORDS[COMP_CWORD]}\" words\n"
		"  if [ \"$COMP_CWORD\" -eq 1 ]; then words=\"%s\"; else\n"
		"    case \"${COMP_WORDS[1]} ${COMP_WORDS[2]}\" in\n",
		commands);
	for (int two_words = 1; two_words >= 0; two_words--)
		for (size_t m = 0; m < cmd->n_modules; m++)
			for (size_t i = 0; i < cmd->modules[m]->n_commands; i++) {
				const struct command *c = &cmd->modules[m]->commands[i];
				if ((strchr(c->name, ' ') != NULL) != two_words)
					continue;
				struct buf b = {0};
				option_words(&b, c);
				cmd_outf(cmd,
					two_words ? "    \"%s\") words=\"%s\";;\n"
						  : "    \"%s \"*) words=\"%s\";;\n",
					c->name, buf_c(&b) + 1);
				buf_free(&b);
			}
	cmd_outf(cmd,
		"    esac\n  fi\n"
		"  COMPREPLY=($(compgen -W \"$words\" -- \"$cur\") $(compgen -f -- \"$cur\"))\n"
		"}\ncomplete -o filenames -F _croft croft\n");
}

static void complete_zsh(struct cmd *cmd)
{
	cmd_outf(cmd, "#compdef croft\n# zsh completion for croft: croft completion zsh > _croft, "
		      "in $fpath\n"
		      "local -a commands\ncommands=(\n");
	for (size_t m = 0; m < cmd->n_modules; m++)
		for (size_t i = 0; i < cmd->modules[m]->n_commands; i++) {
			const struct command *c = &cmd->modules[m]->commands[i];
			if (!strchr(c->name, ' '))
				cmd_outf(cmd, "  \"%s:%s\"\n", c->name, c->help);
		}
	cmd_outf(cmd, ")\nif (( CURRENT == 2 )); then _describe command commands; else\n  case "
		      "$words[2] in\n");
	for (size_t m = 0; m < cmd->n_modules; m++)
		for (size_t i = 0; i < cmd->modules[m]->n_commands; i++) {
			const struct command *c = &cmd->modules[m]->commands[i];
			if (strchr(c->name, ' '))
				continue;
			cmd_outf(cmd, "  %s) _arguments", c->name);
			for (size_t k = 0; k < c->n_options; k++)
				cmd_outf(cmd, " '--%s[%s]%s'", c->options[k].name,
					c->options[k].help, c->options[k].value ? ":value:" : "");
			cmd_outf(cmd, " '--json[Print JSON]' '*:file:_files';;\n");
		}
	cmd_outf(cmd, "  esac\nfi\n");
}

static void complete_fish(struct cmd *cmd)
{
	cmd_outf(cmd, "# fish completion for croft: croft completion fish | source\n");
	for (size_t m = 0; m < cmd->n_modules; m++)
		for (size_t i = 0; i < cmd->modules[m]->n_commands; i++) {
			const struct command *c = &cmd->modules[m]->commands[i];
			if (strchr(c->name, ' '))
				continue;
			cmd_outf(cmd,
				"complete -c croft -n __fish_use_subcommand -a %s -d \"%s\"\n",
				c->name, c->help);
			for (size_t k = 0; k < c->n_options; k++)
				cmd_outf(cmd,
					"complete -c croft -n \"__fish_seen_subcommand_from %s\" "
					"-l %s -d \"%s\"%s\n",
					c->name, c->options[k].name, c->options[k].help,
					c->options[k].value ? " -r" : "");
		}
}

static enum err run_completion(struct cmd *cmd, struct errtext *et)
{
	struct str shell = cmd_arg(cmd, 0);
	struct buf commands = {0};
	for (size_t m = 0; m < cmd->n_modules; m++)
		for (size_t i = 0; i < cmd->modules[m]->n_commands; i++)
			first_word(cmd, &commands, cmd->modules[m]->commands[i].name);
	enum err e = OK;
	if (str_eq_c(shell, "bash"))
		complete_bash(cmd, buf_c(&commands));
	else if (str_eq_c(shell, "zsh"))
		complete_zsh(cmd);
	else if (str_eq_c(shell, "fish"))
		complete_fish(cmd);
	else
		e = err_set(et, ERR_INVALID, "name the shell: bash, zsh or fish");
	buf_free(&commands);
	return e;
}

static const struct command commands[] = {
	{"help", run_help, "[COMMAND]", NULL, 0, "Show what there is, or one command", NULL},
	{"login", run_login, "URL", login_options, ARRAY_LEN(login_options),
		"Keep a server's address and a key for it",
		"The key is asked for, or read from standard input, and kept in a file that only "
		"you can read.\nCommands then talk to that server, unless --home, CROFT_HOME or "
		"CROFT_URL says otherwise.\nExample:\n\n  croft login https://croft.example.org"},
	{"logout", run_logout, "[URL]", NULL, 0, "Forget a server and its key", NULL},
	{"completion", run_completion, "bash|zsh|fish", NULL, 0,
		"Print a completion script for a shell",
		"For bash:  source <(croft completion bash)"},
};

const struct module cli_module = {.name = "cli", TABLE(commands)};
