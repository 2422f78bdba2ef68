#include "cli/cli_int.h"

#include "base/clock.h"
#include "base/room.h"
#include "text/unicode.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

bool term_is_tty(void)
{
	return isatty(STDOUT_FILENO);
}

unsigned term_columns(void)
{
	struct winsize w;
	const char *env = getenv("COLUMNS");
	int64_t n;
	if (env && str_i64(str_c(env), &n) && n >= 20 && n <= 1000)
		return (unsigned)n;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col >= 20)
		return w.ws_col;
	return 80;
}

void cmd_flush(struct cmd *cmd)
{
	size_t off = 0;
	while (off < cmd->out.n) {
		ssize_t k = write(STDOUT_FILENO, cmd->out.p + off, cmd->out.n - off);
		if (k <= 0)
			break; /* a closed pipe: nobody reads any more */
		off += (size_t)k;
	}
	buf_clear(&cmd->out);
}

void cmd_out(struct cmd *cmd, struct str s)
{
	buf_adds(&cmd->out, s);
	if (cmd->out.n > 1 << 16)
		cmd_flush(cmd);
}

void cmd_outf(struct cmd *cmd, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	buf_vaddf(&cmd->out, fmt, ap);
	va_end(ap);
	if (cmd->out.n > 1 << 16)
		cmd_flush(cmd);
}

void cmd_note(struct cmd *cmd, const char *fmt, ...)
{
	struct buf b = {0};
	va_list ap;
	va_start(ap, fmt);
	buf_vaddf(&b, fmt, ap);
	va_end(ap);
	cmd_flush(cmd);
	fprintf(stderr, "%s\n", buf_c(&b));
	buf_free(&b);
}

const char *cmd_style(const struct cmd *cmd, const char *name)
{
	static const struct {
		const char *name, *code;
	} styles[] = {{"bold", "\033[1m"}, {"dim", "\033[2m"}, {"red", "\033[31m"},
		{"green", "\033[32m"}, {"yellow", "\033[33m"}, {"cyan", "\033[36m"},
		{"reset", "\033[0m"}};
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
	if (!term_is_tty() || (no && *no) || (term && strcmp(term, "dumb") == 0) || cmd->json)
		return "";
	for (size_t i = 0; i < ARRAY_LEN(styles); i++)
		if (strcmp(styles[i].name, name) == 0)
			return styles[i].code;
	return "";
}

/* ---- tables ---- */

enum { COLUMNS_MAX = 16 };

struct cmd_table {
	struct cmd *cmd;
	size_t n; /* columns */
	struct str titles[COLUMNS_MAX];
	char **cells;
	size_t n_cells, cap;
};

struct cmd_table *cmd_table(struct cmd *cmd, const char *const *titles, size_t n)
{
	struct cmd_table *t = calloc(1, sizeof *t);
	if (!t)
		return NULL;
	t->cmd = cmd;
	t->n = MIN(n, COLUMNS_MAX);
	for (size_t i = 0; i < t->n; i++)
		t->titles[i] = str_c(titles[i]);
	return t;
}

void cmd_cell(struct cmd_table *t, const char *fmt, ...)
{
	if (!t)
		return;
	if (!heap_room(t->cells, t->n_cells, t->cap))
		return;
	struct buf b = {0};
	va_list ap;
	va_start(ap, fmt);
	buf_vaddf(&b, fmt, ap);
	va_end(ap);
	for (size_t i = 0; i < b.n; i++) /* text from outside may not steer the terminal */
		if ((unsigned char)b.p[i] < 0x20 || b.p[i] == 0x7F)
			b.p[i] = ' ';
	t->cells[t->n_cells++] = buf_take(&b);
}

/* The longest suffix of s that takes at most `columns`. */
static struct str cut_front(struct str s, size_t columns)
{
	while (s.n && unicode_columns(s) > columns) {
		uint32_t cp;
		size_t k = utf8_decode(s, &cp);
		s = str_sub(s, k, s.n);
	}
	return s;
}

/* The longest prefix of s that takes at most `columns`. */
static struct str cut(struct str s, size_t columns)
{
	if (unicode_columns(s) <= columns)
		return s;
	size_t n = 0;
	while (n < s.n) {
		uint32_t cp;
		size_t k = utf8_decode(str_sub(s, n, s.n), &cp);
		if (unicode_columns(str_sub(s, 0, n + k)) > columns)
			break;
		n += k;
	}
	return str_sub(s, 0, n);
}

static void table_line(struct cmd_table *t, const struct str *cells, const size_t *width)
{
	for (size_t i = 0; i < t->n; i++) {
		struct str s = cells[i];
		bool cut_it = unicode_columns(s) > width[i];
		bool front = str_eq_c(t->titles[i], "PATH"); /* its end says more */
		size_t room = width[i] ? width[i] - 1 : 0;
		if (cut_it)
			s = front ? cut_front(s, room) : cut(s, room);
		if (cut_it && front)
			cmd_out(t->cmd, S("…"));
		cmd_out(t->cmd, s);
		if (cut_it && !front)
			cmd_out(t->cmd, S("…"));
		size_t used = unicode_columns(s) + cut_it;
		if (i + 1 < t->n)
			for (size_t k = used; k < width[i] + 2; k++)
				cmd_out(t->cmd, S(" "));
	}
	cmd_out(t->cmd, S("\n"));
}

/* Numbers, times and the like: half of one says something else. */
static bool of_numbers(const struct cmd_table *t, size_t column)
{
	bool some = false;
	for (size_t i = column; i < t->n_cells; i += t->n) {
		const char *cell = t->cells[i];
		if (*cell && !strchr("0123456789+-.~", *cell))
			return false;
		some |= *cell != 0;
	}
	return some;
}

enum { NUMBER_COLUMNS = 20, NAME_COLUMNS = 26 };

/* Which columns give way first: texts (0), then names, which people type again (1), then numbers
 * (2); an id never (3). */
static int rigidity(const struct cmd_table *t, size_t column, size_t width)
{
	if (str_eq_c(t->titles[column], "ID"))
		return 3;
	if (width <= NUMBER_COLUMNS && of_numbers(t, column))
		return 2;
	return width <= NAME_COLUMNS && str_eq_c(t->titles[column], "NAME");
}

static size_t least(const struct cmd_table *t, size_t column, int rigid)
{
	size_t title = unicode_columns(t->titles[column]);
	return rigid == 2 ? 10 : MIN(title, 8u);
}

static void narrow(struct cmd_table *t, size_t *width, size_t limit)
{
	int rigid[COLUMNS_MAX];
	size_t total = 0;
	for (size_t i = 0; i < t->n; i++) {
		rigid[i] = rigidity(t, i, width[i]);
		total += width[i] + (i ? 2 : 0);
	}
	for (int pass = 0; pass < 3; pass++)
		while (total > limit) {
			size_t widest = t->n;
			for (size_t i = 0; i < t->n; i++)
				if (rigid[i] <= pass && width[i] > least(t, i, rigid[i]) &&
					(widest == t->n || width[i] > width[widest]))
					widest = i;
			if (widest == t->n)
				break;
			width[widest]--;
			total--;
		}
}

void cmd_table_end(struct cmd_table *t)
{
	if (!t)
		return;
	size_t width[COLUMNS_MAX] = {0};
	for (size_t i = 0; i < t->n; i++)
		width[i] = unicode_columns(t->titles[i]);
	for (size_t i = 0; i < t->n_cells; i++)
		width[i % t->n] = MAX(width[i % t->n], unicode_columns(str_c(t->cells[i])));
	if (term_is_tty() || getenv("COLUMNS"))
		narrow(t, width, term_columns());
	cmd_outf(t->cmd, "%s", cmd_style(t->cmd, "bold"));
	table_line(t, t->titles, width);
	cmd_outf(t->cmd, "%s", cmd_style(t->cmd, "reset"));
	for (size_t r = 0; r + t->n <= t->n_cells; r += t->n) {
		struct str row[COLUMNS_MAX];
		for (size_t i = 0; i < t->n; i++)
			row[i] = str_c(t->cells[r + i]);
		table_line(t, row, width);
	}
	if (!t->n_cells)
		cmd_note(t->cmd, "(none)");
	for (size_t i = 0; i < t->n_cells; i++)
		free(t->cells[i]);
	free(t->cells);
	free(t);
}

/* ---- progress ---- */

struct progress {
	struct cmd *cmd;
	char *what;
	bool bytes, tty, drawn;
	uint64_t done, total, started_ns, shown_ns;
	const char *unit;
};

struct progress *progress_begin(struct cmd *cmd, const char *what, const char *unit, uint64_t total)
{
	struct progress *p = calloc(1, sizeof *p);
	if (!p)
		return NULL;
	p->cmd = cmd;
	p->what = str_dup(str_c(what));
	p->bytes = strcmp(unit, "B") == 0;
	p->unit = unit;
	p->total = total;
	p->tty = isatty(STDERR_FILENO) && !cmd->json;
	p->started_ns = p->shown_ns = clock_mono_ns();
	return p;
}

static void amount(struct buf *b, const struct progress *p, double v)
{
	static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
	if (!p->bytes) {
		buf_addf(b, "%.0f %s", v, p->unit);
		return;
	}
	size_t u = 0;
	while (v >= 1000 && u + 1 < ARRAY_LEN(units))
		v /= 1000, u++;
	buf_addf(b, u ? "%.1f %s" : "%.0f %s", v, units[u]);
}

static void progress_line(struct progress *p, const char *note, struct buf *b)
{
	double seconds = (double)(clock_mono_ns() - p->started_ns) / 1e9;
	double rate = seconds > 0.2 ? (double)p->done / seconds : 0;
	buf_addf(b, "%s  ", p->what);
	if (p->total) {
		buf_addf(b, "%3.0f %%  ", 100.0 * (double)p->done / (double)p->total);
		if (!p->bytes)
			buf_addf(b, "%llu/", (unsigned long long)p->done);
		amount(b, p, p->bytes ? (double)p->done : (double)p->total);
	} else {
		amount(b, p, (double)p->done);
	}
	if (rate > 0) {
		buf_addc(b, "  ");
		if (p->bytes) {
			amount(b, p, rate);
			buf_addc(b, "/s");
		} else {
			buf_addf(b, "%.1f/s", rate);
		}
		if (p->total > p->done) {
			unsigned eta = (unsigned)((double)(p->total - p->done) / rate);
			buf_addf(b, eta >= 60 ? "  %u min %02u s left" : "  %u s left",
				eta >= 60 ? eta / 60 : eta, eta % 60);
		}
	}
	if (note && *note)
		buf_addf(b, "  %s", note);
}

void progress_at(struct progress *p, uint64_t done, uint64_t total, const char *note)
{
	if (!p)
		return;
	p->done = done;
	if (total)
		p->total = total;
	uint64_t now = clock_mono_ns(), every = p->tty ? 100000000u : 10000000000u;
	if (now - p->shown_ns < every || p->cmd->json)
		return;
	p->shown_ns = now;
	struct buf b = {0};
	progress_line(p, note, &b);
	if (p->tty) {
		struct str s = cut(buf_str(&b), term_columns() - 1);
		fprintf(stderr, "\r\033[K%.*s", STR_FMT(s));
		p->drawn = true;
	} else {
		fprintf(stderr, "%s\n", buf_c(&b));
	}
	fflush(stderr);
	buf_free(&b);
}

void progress_end(struct progress *p, const char *note)
{
	if (!p)
		return;
	if (p->drawn)
		fprintf(stderr, "\r\033[K");
	if (note && *note && !p->cmd->json)
		fprintf(stderr, "%s  %s\n", p->what, note);
	free(p->what);
	free(p);
}
