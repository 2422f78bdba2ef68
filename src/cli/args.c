#include "cli/cli_int.h"

#include <stdlib.h>

const struct option common_options[] = {
	{"json", 0, NULL, "Print JSON"},
	{"help", 'h', NULL, "Show this help"},
	{"home", 0, "DIR", "Data directory (CROFT_HOME)"},
	{"config", 0, "FILE", "Configuration file (CROFT_CONFIG)"},
	{"project", 0, "PROJECT", "Act in this project (CROFT_PROJECT)"},
};
const size_t n_common_options = ARRAY_LEN(common_options);

/* "models rm" is preferred to "models"; *words is how many arguments the name takes. */
const struct command *command_find(const struct cmd *cmd, int argc, char **argv, int *words)
{
	const struct command *found = NULL;
	*words = 0;
	for (size_t m = 0; m < cmd->n_modules; m++)
		for (size_t i = 0; i < cmd->modules[m]->n_commands; i++) {
			const struct command *c = &cmd->modules[m]->commands[i];
			struct str rest = str_c(c->name), word;
			int n = 0;
			while (n < argc && str_next(&rest, ' ', &word) && str_eq_c(word, argv[n]))
				n++;
			if (!rest.p && n > *words) {
				/* the last str_next may have failed to match: check the full name
				 */
				struct buf full = {0};
				for (int k = 0; k < n; k++)
					buf_addf(&full, "%s%s", k ? " " : "", argv[k]);
				if (str_eq(buf_str(&full), str_c(c->name))) {
					found = c;
					*words = n;
				}
				buf_free(&full);
			}
		}
	return found;
}

enum err command_unknown(
	const struct cmd *cmd, int argc, char **argv, enum err e, struct errtext *et)
{
	struct buf seconds = {0};
	for (size_t m = 0; m < cmd->n_modules; m++)
		for (size_t i = 0; i < cmd->modules[m]->n_commands; i++) {
			struct str rest = str_c(cmd->modules[m]->commands[i].name), word;
			if (str_next(&rest, ' ', &word) && str_eq_c(word, argv[0]) && rest.n)
				buf_addf(&seconds, "%s%.*s", seconds.n ? ", " : "", STR_FMT(rest));
		}
	if (!seconds.n)
		e = err_set(et, e, "there is no command '%.60s'; `croft help` lists them", argv[0]);
	else if (argc > 1 && argv[1][0] != '-')
		e = err_set(et, e,
			"there is no command '%.60s %.60s'; %.60s is followed by one of %s",
			argv[0], argv[1], argv[0], buf_c(&seconds));
	else
		e = err_set(et, e, "'%.60s' is followed by one of %s; see croft help %.60s",
			argv[0], buf_c(&seconds), argv[0]);
	buf_free(&seconds);
	return e;
}

/* --rag-top-k is the setting rag.top_k; --no-log-json is log.json = false. */
const struct setting *setting_by_flag(const struct cmd *cmd, struct str flag, bool *negated)
{
	extern const struct setting house_settings[];
	extern const size_t n_house_settings;
	for (int pass = 0; pass < 2; pass++) {
		*negated = pass == 1;
		struct str f = flag;
		if (pass && !str_starts(f, S("no-")))
			break;
		if (pass)
			f = str_sub(f, 3, f.n);
		for (size_t m = 0; m <= cmd->n_modules; m++) {
			const struct setting *rows =
				m < cmd->n_modules ? cmd->modules[m]->settings : house_settings;
			size_t n =
				m < cmd->n_modules ? cmd->modules[m]->n_settings : n_house_settings;
			for (size_t i = 0; i < n; i++) {
				const char *name = rows[i].name;
				bool same = strlen(name) == f.n;
				for (size_t k = 0; same && k < f.n; k++) {
					char c = name[k] == '.' || name[k] == '_' ? '-' : name[k];
					same = c == f.p[k];
				}
				if (same && (!pass || rows[i].type == SET_BOOL))
					return &rows[i];
			}
		}
	}
	return NULL;
}

static const struct option *option_in(
	const struct option *rows, size_t n, struct str name, char letter)
{
	for (size_t i = 0; i < n; i++)
		if (letter ? rows[i].letter == letter : str_eq_c(name, rows[i].name))
			return &rows[i];
	return NULL;
}

static enum err add_opt(
	struct http_pair *list, size_t *n, const char *name, struct str value, struct errtext *et)
{
	if (*n == OPTS_MAX)
		return err_set(et, ERR_INVALID, "more than %d options", OPTS_MAX);
	list[(*n)++] = (struct http_pair){str_c(name), value};
	return OK;
}

static enum err take_option(struct cmd *cmd, struct str name, char letter, struct str value,
	bool has_value, int argc, char **argv, int *i, struct errtext *et)
{
	const struct command *def = cmd->def;
	const struct option *o = def ? option_in(def->options, def->n_options, name, letter) : NULL;
	bool common = false;
	if (!o) {
		o = option_in(common_options, n_common_options, name, letter);
		common = o != NULL;
	}
	bool negated = false;
	const struct setting *s = o || letter ? NULL : setting_by_flag(cmd, name, &negated);
	if (!o && !s)
		return letter ? err_set(et, ERR_INVALID, "there is no option -%c", letter)
			      : err_set(et, ERR_INVALID, "there is no option --%.*s",
					STR_FMT(name));
	bool wants = s ? s->type != SET_BOOL : o->value != NULL;
	if (has_value && !wants && !s)
		return err_set(et, ERR_INVALID, "--%.*s takes no value", STR_FMT(name));
	if (wants && !has_value) {
		if (*i + 1 >= argc)
			return letter ? err_set(et, ERR_INVALID, "-%c needs a value (%s)", letter,
						o->value)
				      : err_set(et, ERR_INVALID, "--%.*s needs a value%s%s%s",
						STR_FMT(name), o ? " (" : "", o ? o->value : "",
						o ? ")" : "");
		value = str_c(argv[++*i]);
	}
	if (s)
		return add_opt(cmd->flags, &cmd->n_flags, s->name,
			wants || has_value ? value
			: negated          ? S("false")
					   : S("true"),
			et);
	if (common && strcmp(o->name, "json") == 0)
		cmd->json = true;
	else if (common && strcmp(o->name, "help") == 0)
		cmd->help = true;
	return add_opt(cmd->opts, &cmd->n_opts, o->name, wants ? value : S(""), et);
}

/* argv without the program's name. The command's words come first, but options may stand before
 * them ("croft --json docs"). */
enum err args_parse(struct cmd *cmd, int argc, char **argv, struct errtext *et)
{
	/* pass 1: where is the command? */
	int words = 0, first = argc;
	for (int i = 0; i < argc; i++) {
		if (argv[i][0] == '-' && argv[i][1]) {
			struct str name = str_c(argv[i] + (argv[i][1] == '-' ? 2 : 1));
			bool neg;
			const struct option *o =
				option_in(common_options, n_common_options, name, 0);
			const struct setting *s = setting_by_flag(cmd, name, &neg);
			if (str_chr(name, '=') == STR_NONE &&
				((o && o->value) || (s && s->type != SET_BOOL)))
				i++;
			continue;
		}
		first = i;
		break;
	}
	cmd->def = command_find(cmd, argc - first, argv + first, &words);
	if (first < argc && !cmd->def)
		return command_unknown(cmd, argc - first, argv + first, ERR_INVALID, et);
	cmd->args = calloc((size_t)argc + 1, sizeof *cmd->args);
	if (!cmd->args)
		return err_set(et, ERR_NOMEM, "no memory");
	bool only_args = false;
	for (int i = 0; i < argc; i++) {
		struct str a = str_c(argv[i]);
		enum err e = OK;
		if (i >= first && i < first + words)
			continue;
		if (only_args || a.n < 2 || a.p[0] != '-') {
			cmd->args[cmd->n_args++] = a;
			only_args |= cmd->def && cmd->def->verbatim;
		} else if (str_eq_c(a, "--")) {
			only_args = true;
		} else if (a.p[1] == '-') {
			struct str name = str_sub(a, 2, a.n), value = {0};
			size_t eq = str_chr(name, '=');
			if (eq != STR_NONE) {
				value = str_sub(name, eq + 1, name.n);
				name.n = eq;
			}
			e = take_option(cmd, name, 0, value, eq != STR_NONE, argc, argv, &i, et);
		} else {
			struct str value = str_sub(a, 2, a.n);
			e = take_option(cmd, (struct str){0}, a.p[1], value, value.n > 0, argc,
				argv, &i, et);
		}
		if (e)
			return e;
	}
	if (cmd->def && !*cmd->def->args && cmd->n_args && !cmd->help)
		return err_set(et, ERR_INVALID,
			"croft %s takes no arguments, not '%.60s'; see "
			"croft help %s",
			cmd->def->name, cmd->args[0].p, cmd->def->name);
	return OK;
}

size_t cmd_n_args(const struct cmd *cmd)
{
	return cmd->n_args;
}

struct str cmd_arg(const struct cmd *cmd, size_t i)
{
	return i < cmd->n_args ? cmd->args[i] : (struct str){0};
}

struct str cmd_opt(const struct cmd *cmd, const char *name)
{
	for (size_t i = cmd->n_opts; i-- > 0;) /* the last one given counts */
		if (str_eq_c(cmd->opts[i].name, name))
			return cmd->opts[i].value;
	return (struct str){0};
}

struct str cmd_opt_at(const struct cmd *cmd, const char *name, size_t i)
{
	for (size_t k = 0; k < cmd->n_opts; k++)
		if (str_eq_c(cmd->opts[k].name, name) && !i--)
			return cmd->opts[k].value;
	return (struct str){0};
}

bool cmd_flag(const struct cmd *cmd, const char *name)
{
	return cmd_opt(cmd, name).p != NULL;
}

bool cmd_json(const struct cmd *cmd)
{
	return cmd->json;
}

const struct cancel *cmd_cancel(const struct cmd *cmd)
{
	return &cmd->cancel;
}
