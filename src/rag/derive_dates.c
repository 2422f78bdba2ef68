/* Dates that documents are asked by, in English, German, Spanish and Chinese: "written since March
 * 2024", "die im März 2024 gesendeten E-Mails", "informes del año pasado", "2019年的邮件".
 *
 * A date counts only where the question speaks of documents: after a word for them ("reports from
 * 1969", not "what happened in 1969?"), in German also before one that a participle leads to, in
 * Chinese before one that 的 leads to. Languages are not told apart: their words do not collide. */
#include "rag/derive_int.h"

#include "base/clock.h"

#include <stdlib.h>
#include <time.h>

enum { NEAR = 4, HANZI_NEAR = 30 /* bytes: ten ideographs */ };

/* ---- words ---- */

bool word_in(struct str s, const char *list)
{
	struct str rest = str_c(list), one;
	while (str_next(&rest, ' ', &one))
		if (one.n && str_eq_nocase(s, one))
			return true;
	return false;
}

static bool is_noun(struct str s)
{
	static const char english[] =
		"document documents doc docs file files report reports paper papers page pages "
		"note notes article articles letter letters memo memos minutes contract contracts "
		"invoice invoices email emails e-mail e-mails mail mails message messages slides "
		"presentation presentations spreadsheet spreadsheets sheet sheets book books table "
		"tables transcript transcripts text texts pdf pdfs written published dated sent "
		"created added uploaded updated issued received";
	static const char german[] =
		"dokument dokumente dokumenten dokuments datei dateien bericht berichte berichten "
		"berichts seite seiten notiz notizen artikel artikeln brief briefe briefen vertrag "
		"vertrags vertrages verträge verträgen rechnung rechnungen nachricht nachrichten "
		"präsentation präsentationen folien tabelle tabellen buch bücher büchern protokoll "
		"protokolle protokollen unterlagen schreiben texte texten verfasst geschrieben "
		"veröffentlicht datiert gesendet verschickt erstellt hinzugefügt hochgeladen "
		"geändert empfangen";
	static const char spanish[] =
		"documento documentos archivo archivos fichero ficheros informe informes página "
		"páginas nota notas artículo artículos carta cartas contrato contratos factura "
		"facturas correo correos mensaje mensajes diapositivas presentación presentaciones "
		"hoja hojas libro libros tabla tablas acta actas texto textos escrito escritos "
		"escrita escritas publicado publicados publicada publicadas fechado fechados "
		"fechada fechadas enviado enviados enviada enviadas creado creados creada creadas "
		"añadidos subidos recibido recibidos recibida recibidas";
	return word_in(s, english) || word_in(s, german) || word_in(s, spanish);
}

/* "die 2019 gesendeten E-Mails": what stands behind the date and leads to the noun. */
static bool is_german_participle(struct str s)
{
	return word_in(s,
		"gesendeten verschickten geschriebenen verfassten veröffentlichten "
		"datierten erstellten hinzugefügten hochgeladenen geänderten empfangenen");
}

static bool is_hanzi(uint32_t cp)
{
	return (cp >= 0x2E80 && cp < 0xA000) || (cp >= 0xF900 && cp < 0xFB00) ||
	       (cp >= 0xFF00 && cp < 0xFFF0) || (cp >= 0x20000 && cp < 0x33480);
}

static bool in_word(uint32_t cp)
{
	return (cp >= 0x80 && !is_hanzi(cp) && cp != 0xBF && cp != 0xA1) ||
	       (cp >= '0' && cp <= '9') || (cp >= 'a' && cp <= 'z') || (cp >= 'A' && cp <= 'Z') ||
	       (cp && cp < 0x80 && strchr("-_./&", (int)cp));
}

/* The end of what begins at `i` and is, or is not, of a word. */
static size_t end_of_run(struct str q, size_t i, bool of_word)
{
	uint32_t cp;
	while (i < q.n) {
		size_t n = utf8_decode(str_sub(q, i, q.n), &cp);
		if (in_word(cp) != of_word)
			break;
		i += n;
	}
	return i;
}

void qwords_read(struct qwords *d, struct str q)
{
	*d = (struct qwords){.question = q};
	for (size_t i = 0; i < q.n && d->n < QUESTION_WORDS_MAX;) {
		size_t from = end_of_run(q, i, false);
		i = end_of_run(q, from, true);
		struct str w = str_sub(q, from, i);
		while (w.n && strchr(".-/&", w.p[w.n - 1]))
			w.n--;
		if (w.n)
			d->w[d->n++] = (struct qword){w, is_noun(w), from && q.p[from - 1] == '#'};
	}
}

bool qword_is(const struct qwords *d, size_t at, struct str text)
{
	return at < d->n && str_eq_nocase(d->w[at].text, text);
}

struct str qwords_text(const struct qwords *d, size_t at, size_t n)
{
	if (at >= d->n || !n)
		return S("");
	struct str last = d->w[MIN(at + n, d->n) - 1].text;
	const char *from = d->w[at].text.p;
	return (struct str){from, (size_t)(last.p + last.n - from)};
}

static bool at_in(const struct qwords *d, size_t at, const char *list)
{
	return at < d->n && word_in(d->w[at].text, list);
}

/* ---- one date ---- */

struct span_ms {
	int64_t from, to; /* the first millisecond, and the last */
};

static int64_t day_ms(int year, int month, int day)
{
	struct tm t = {.tm_year = year - 1900, .tm_mon = month, .tm_mday = day};
	return (int64_t)timegm(&t) * 1000;
}

static struct span_ms days(int year, int month, int day, int n)
{
	return (struct span_ms){day_ms(year, month, day), day_ms(year, month, day + n) - 1};
}

static struct span_ms a_month(int year, int month)
{
	return (struct span_ms){day_ms(year, month, 1), day_ms(year, month + 1, 1) - 1};
}

static struct span_ms a_year(int year)
{
	return (struct span_ms){day_ms(year, 0, 1), day_ms(year + 1, 0, 1) - 1};
}

static int month_of(struct str s)
{
	static const char *const names[] = {"january jan januar jänner enero ene",
		"february feb februar febrero", "march mar märz maerz mär marzo",
		"april apr abril abr", "may mai mayo", "june jun juni junio", "july jul juli julio",
		"august aug agosto ago", "september sep sept septiembre setiembre",
		"october oct oktober okt octubre", "november nov noviembre",
		"december dec dezember dez diciembre dic"};
	for (int i = 0; i < 12; i++)
		if (word_in(s, names[i]))
			return i;
	return -1;
}

static bool year_of(struct str s, int *year)
{
	int64_t v;
	if (s.n != 4 || !str_i64(s, &v) || v < 1500 || v > 2200)
		return false;
	*year = (int)v;
	return true;
}

static bool day_of(struct str s, int *day)
{
	int64_t v;
	if (s.n > 2 && (str_ends(s, S("th")) || str_ends(s, S("st")) || str_ends(s, S("nd")) ||
			       str_ends(s, S("rd"))))
		s.n -= 2;
	if (!s.n || s.n > 2 || !str_i64(s, &v) || v < 1 || v > 31)
		return false;
	*day = (int)v;
	return true;
}

/* "2024-03", "2024-03-05" */
static bool iso_of(struct str s, struct span_ms *out)
{
	int year;
	int64_t month, at;
	if (s.n == 10 && clock_parse_rfc3339(s, &at)) {
		*out = (struct span_ms){at, at + 86400000 - 1};
		return true;
	}
	if (s.n != 7 || s.p[4] != '-' || !year_of(str_sub(s, 0, 4), &year) ||
		!str_i64(str_sub(s, 5, 7), &month) || month < 1 || month > 12)
		return false;
	*out = a_month(year, (int)month - 1);
	return true;
}

/* "5.3.2024", "05/03/2024": the day stands before the month, except where it cannot. */
static bool dotted_of(struct str s, struct span_ms *out)
{
	char sep = str_find(s, S(".")) != STR_NONE ? '.' : '/';
	struct str day, month, rest = s;
	int d, m, year;
	if (!str_next(&rest, sep, &day) || !str_next(&rest, sep, &month) || !year_of(rest, &year) ||
		!day_of(day, &d) || !day_of(month, &m))
		return false;
	if (m > 12 && d <= 12 && sep == '/') {
		int t = m;
		m = d;
		d = t;
	}
	if (m > 12)
		return false;
	*out = days(year, m - 1, d, 1);
	return true;
}

enum unit { UNIT_DAY, UNIT_WEEK, UNIT_MONTH, UNIT_YEAR, UNITS };
static const int unit_days[] = {1, 7, 30, 365};

static enum unit unit_of(struct str s)
{
	static const char *const words[] = {"day days tag tage tagen día dias días",
		"week weeks woche wochen semana semanas",
		"month months monat monate monaten monats mes meses",
		"year years jahr jahre jahren jahres año años ano anos"};
	enum unit u = 0;
	while (u < UNITS && !word_in(s, words[u]))
		u++;
	return u;
}

/* "last year" is the one before this; "last 3 weeks" end now. */
static struct span_ms of_unit(enum unit u, int64_t n, bool counted, bool this, int64_t now_ms)
{
	time_t now = (time_t)(now_ms / 1000);
	struct tm t;
	gmtime_r(&now, &t);
	int year = t.tm_year + 1900;
	if (u == UNIT_YEAR && !counted)
		return this ? (struct span_ms){day_ms(year, 0, 1), now_ms} : a_year(year - 1);
	if (u == UNIT_MONTH && !counted)
		return this ? (struct span_ms){day_ms(year, t.tm_mon, 1), now_ms}
			    : a_month(year, t.tm_mon - 1);
	return (struct span_ms){now_ms - n * unit_days[u] * INT64_C(86400000), now_ms};
}

/* "last year", "diesen Monat", "los últimos 3 meses", "el año pasado"; how many words it is. */
static size_t relative(const struct qwords *d, size_t at, int64_t now_ms, struct span_ms *out)
{
	int64_t n = 1;
	enum unit u = at < d->n ? unit_of(d->w[at].text) : UNITS;
	if (u < UNITS && at_in(d, at + 1, "pasado pasada")) {
		*out = of_unit(u, 1, false, false, now_ms);
		return 2;
	}
	bool this = at_in(d, at, "this dieses diesem diesen dieser diese este esta");
	if (!this && !at_in(d, at,
			     "last past letztes letzten letztem letzter letzte vergangenen "
			     "vergangenes último última últimos últimas pasados pasadas"))
		return 0;
	bool counted = at + 1 < d->n && str_i64(d->w[at + 1].text, &n) && n > 0 && n < 1000;
	size_t unit_at = at + 1 + counted;
	u = unit_at < d->n ? unit_of(d->w[unit_at].text) : UNITS;
	if (u == UNITS)
		return 0;
	*out = of_unit(u, n, counted, this, now_ms);
	return unit_at - at + 1;
}

/* "March 2024", "marzo de 2024", "March 5, 2024"; words behind the month's name included. */
static size_t of_month(const struct qwords *d, size_t at, int day, struct span_ms *out)
{
	int year, month = at < d->n ? month_of(d->w[at].text) : -1;
	size_t next = at + 1;
	if (month < 0)
		return 0;
	if (!day && next < d->n && day_of(d->w[next].text, &day) && next + 1 < d->n &&
		year_of(d->w[next + 1].text, &year))
		next++;
	else
		next += at_in(d, next, "de del");
	if (next >= d->n || !year_of(d->w[next].text, &year))
		return 0;
	*out = day ? days(year, month, day, 1) : a_month(year, month);
	return next - at + 1;
}

static size_t date_at(const struct qwords *d, size_t at, int64_t now_ms, struct span_ms *out)
{
	int year, day;
	if (at >= d->n)
		return 0;
	size_t n = of_month(d, at, 0, out);
	if (n)
		return n;
	if (day_of(d->w[at].text, &day)) {
		size_t skip = 1 + at_in(d, at + 1, "de of");
		n = of_month(d, at + skip, day, out);
		if (n)
			return skip + n;
	}
	if (iso_of(d->w[at].text, out) || dotted_of(d->w[at].text, out))
		return 1;
	if (year_of(d->w[at].text, &year)) {
		*out = a_year(year);
		return 1;
	}
	return relative(d, at, now_ms, out);
}

/* ---- what is said of it ---- */

static bool noun_before(const struct qwords *d, size_t at)
{
	for (size_t i = at; i-- && at - i <= NEAR;)
		if (d->w[i].noun)
			return true;
	return false;
}

static bool noun_behind(const struct qwords *d, size_t at)
{
	return at + 1 < d->n && is_german_participle(d->w[at].text) && d->w[at + 1].noun;
}

#define PREPOSITIONS                                                                                \
	"since seit ab desde after nach después before vor antes until by bis hasta from between " \
	"zwischen von vom entre"

/* The word before the date that says how it is meant; articles are passed over. */
static size_t preposition(const struct qwords *d, size_t at)
{
	size_t i = at;
	while (i && at_in(d, i - 1, "the dem den der das des el la los las del de zum"))
		i--;
	if (i && at_in(d, i - 1, "in im en am"))
		i--;
	return i ? i - 1 : at;
}

static void bounded(
	const struct qwords *d, size_t prep, struct span_ms *s, const struct span_ms *second)
{
	if (second)
		s->to = second->to;
	else if (at_in(d, prep, "since seit ab desde"))
		s->to = 0;
	else if (at_in(d, prep, "after nach después"))
		*s = (struct span_ms){s->to + 1, 0};
	else if (at_in(d, prep, "before vor antes"))
		*s = (struct span_ms){0, s->from - 1};
	else if (at_in(d, prep, "until by bis hasta"))
		s->from = 0;
}

/* ---- Chinese ---- */

static const char *const hanzi_nouns[] = {"文件", "文档", "报告", "报表", "邮件", "电邮", "信件",
	"合同", "协议", "发票", "论文", "文章", "笔记", "备忘录", "幻灯片", "表格", "资料", "消息",
	"纪要", "记录", "演示文稿", "电子书"};

size_t hanzi_noun(struct str s, size_t within)
{
	size_t best = STR_NONE;
	for (size_t i = 0; i < ARRAY_LEN(hanzi_nouns); i++) {
		size_t at = str_find(s, str_c(hanzi_nouns[i]));
		if (at != STR_NONE && at <= within && (best == STR_NONE || at < best))
			best = at;
	}
	return best;
}

/* 1 to `most` digits. */
static size_t digits(struct str s, size_t most, int *out)
{
	size_t n = 0;
	*out = 0;
	while (n < s.n && n < most && s.p[n] >= '0' && s.p[n] <= '9')
		*out = *out * 10 + (s.p[n++] - '0');
	return n;
}

static size_t hanzi_day(struct str s, int year, int month, struct span_ms *out)
{
	int day;
	size_t n = digits(s, 2, &day);
	if (!n || day < 1 || day > 31 ||
		(!str_starts(str_sub(s, n, s.n), S("日")) &&
			!str_starts(str_sub(s, n, s.n), S("号"))))
		return 0;
	*out = days(year, month, day, 1);
	return n + strlen("日");
}

static size_t hanzi_absolute(struct str s, struct span_ms *out)
{
	int year, month;
	size_t n = digits(s, 4, &year), m;
	if (n != 4 || year < 1500 || year > 2200 || !str_starts(str_sub(s, 4, s.n), S("年")))
		return 0;
	n += strlen("年");
	*out = a_year(year);
	m = digits(str_sub(s, n, s.n), 2, &month);
	if (!m || month < 1 || month > 12 || !str_starts(str_sub(s, n + m, s.n), S("月")))
		return n;
	n += m + strlen("月");
	*out = a_month(year, month - 1);
	return n + hanzi_day(str_sub(s, n, s.n), year, month - 1, out);
}

/* "最近3个月", "过去两周" is not: numbers are written in digits. */
static size_t hanzi_recent(struct str s, int64_t now_ms, struct span_ms *out)
{
	static const struct {
		const char *word;
		enum unit u;
	} units[] = {{"天", UNIT_DAY}, {"日", UNIT_DAY}, {"周", UNIT_WEEK}, {"个星期", UNIT_WEEK},
		{"个月", UNIT_MONTH}, {"年", UNIT_YEAR}};
	int count;
	size_t n = strlen("最近");
	if (!str_starts(s, S("最近")) && !str_starts(s, S("过去")))
		return 0;
	n += digits(str_sub(s, n, s.n), 3, &count);
	for (size_t i = 0; count && i < ARRAY_LEN(units); i++)
		if (str_starts(str_sub(s, n, s.n), str_c(units[i].word))) {
			*out = of_unit(units[i].u, count, true, false, now_ms);
			return n + strlen(units[i].word);
		}
	return 0;
}

static size_t hanzi_date(struct str s, int64_t now_ms, struct span_ms *out)
{
	static const struct {
		const char *word;
		enum unit u;
		bool this;
	} said[] = {{"去年", UNIT_YEAR, false}, {"今年", UNIT_YEAR, true},
		{"上个月", UNIT_MONTH, false}, {"上月", UNIT_MONTH, false},
		{"这个月", UNIT_MONTH, true}, {"本月", UNIT_MONTH, true}};
	for (size_t i = 0; i < ARRAY_LEN(said); i++)
		if (str_starts(s, str_c(said[i].word))) {
			*out = of_unit(said[i].u, 1, false, said[i].this, now_ms);
			return strlen(said[i].word);
		}
	size_t n = hanzi_absolute(s, out);
	return n ? n : hanzi_recent(s, now_ms, out);
}

static bool skip(struct str s, size_t *at, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (str_starts(str_sub(s, *at, s.n), str_c(words[i]))) {
			*at += strlen(words[i]);
			return true;
		}
	return false;
}

/* What stands behind a date changes it: 以来 since, 之后 after, 之前 before, 至 to another. */
static void hanzi_bounds(struct str s, size_t *at, int64_t now_ms, struct span_ms *out)
{
	static const char *const
		since[] = {"年以来", "以来", "起", "开始"},
		*const after[] = {"以后", "之后", "后"}, *const before[] = {"以前", "之前", "前"},
		*const until[] = {"为止"}, *const to[] = {"到", "至", "和", "-", "—"};
	struct span_ms second;
	size_t then = *at;
	if (skip(s, &then, to, ARRAY_LEN(to))) {
		size_t n = hanzi_date(str_sub(s, then, s.n), now_ms, &second);
		if (n) {
			*at = then + n;
			out->to = second.to;
			return;
		}
	}
	if (skip(s, at, since, ARRAY_LEN(since)))
		out->to = 0;
	else if (skip(s, at, after, ARRAY_LEN(after)))
		*out = (struct span_ms){out->to + 1, 0};
	else if (skip(s, at, before, ARRAY_LEN(before)))
		*out = (struct span_ms){0, out->from - 1};
	else if (skip(s, at, until, ARRAY_LEN(until)))
		out->from = 0;
}

/* 的 and then a noun, not far behind. */
static bool leads_to_noun(struct str s)
{
	size_t of = str_find(str_sub(s, 0, MIN(s.n, (size_t)HANZI_NEAR)), S("的"));
	return of != STR_NONE && hanzi_noun(str_sub(s, of, s.n), HANZI_NEAR / 2) != STR_NONE;
}

static bool hanzi_dates(struct str q, int64_t now_ms, struct dates *out)
{
	for (size_t i = 0; i < q.n; i++) {
		struct span_ms s;
		size_t n = hanzi_date(str_sub(q, i, q.n), now_ms, &s), end = i + n;
		if (!n)
			continue;
		hanzi_bounds(q, &end, now_ms, &s);
		if (leads_to_noun(str_sub(q, end, q.n))) {
			*out = (struct dates){s.from, s.to, str_sub(q, i, end)};
			return true;
		}
		i = end - 1;
	}
	return false;
}

/* ---- the first date that documents are asked by ---- */

bool qwords_dates(const struct qwords *d, int64_t now_ms, struct dates *out)
{
	struct span_ms s, second;
	for (size_t i = 0; i < d->n; i++) {
		size_t n = date_at(d, i, now_ms, &s), more = 0;
		if (!n || (!noun_before(d, i) && !noun_behind(d, i + n)))
			continue;
		size_t prep = preposition(d, i);
		bool ranged =
			at_in(d, prep, "since from between zwischen von vom seit entre desde");
		if (ranged && at_in(d, i + n, "and to until und bis y e a hasta"))
			more = date_at(d, i + n + 1, now_ms, &second);
		bounded(d, prep, &s, more ? &second : NULL);
		size_t from = at_in(d, prep, PREPOSITIONS) ? prep : i;
		*out = (struct dates){
			s.from, s.to, qwords_text(d, from, i - from + n + (more ? more + 1 : 0))};
		return true;
	}
	return hanzi_dates(d->question, now_ms, out);
}

bool derive_dates(
	struct str question, int64_t now_ms, int64_t *from_ms, int64_t *to_ms, struct str *words)
{
	struct qwords *d = malloc(sizeof *d);
	struct dates got;
	if (!d)
		return false;
	qwords_read(d, question);
	bool any = qwords_dates(d, now_ms, &got);
	free(d);
	if (any) {
		*from_ms = got.from;
		*to_ms = got.to;
		*words = got.words;
	}
	return any;
}
