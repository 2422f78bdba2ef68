/* The dates by which a question asks for documents, in four languages, on one day. */
#include "rag/stages.h"
#include "base/clock.h"
#include "tap.h"

/* 2026-11-28T12:00:00Z, a Saturday */
static const int64_t NOW = INT64_C(1795867200000);

static void check_all(const char *const rows[][4], size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int64_t from = 0, to = 0;
		char a[CLOCK_TEXT] = "", b[CLOCK_TEXT] = "";
		struct str words = S("");
		bool any = derive_dates(str_c(rows[i][0]), NOW, &from, &to, &words);
		if (from)
			clock_rfc3339(from, a);
		if (to)
			clock_rfc3339(to, b);
		a[from ? 10 : 0] = b[to ? 10 : 0] = 0;
		if (strcmp(a, rows[i][1]) || strcmp(b, rows[i][2]) ||
			!str_eq_c(words, rows[i][3]) || any != (rows[i][3][0] != 0))
			FAIL("%s: %s to %s by \"%.*s\", not %s to %s by \"%s\"", rows[i][0], a, b,
				STR_FMT(words), rows[i][1], rows[i][2], rows[i][3]);
	}
}

static void test_rag_derive__english(void)
{
	static const char *const rows[][4] = {
		{"what do emails sent in 2019 say", "2019-01-01", "2019-12-31", "2019"},
		{"reports written since March 2024", "2024-03-01", "", "since March 2024"},
		{"documents from before 2020", "", "2019-12-31", "before 2020"},
		{"notes written after March 2020", "2020-04-01", "", "after March 2020"},
		{"reports from between 2019 and March 2021", "2019-01-01", "2021-03-31",
			"between 2019 and March 2021"},
		{"letters dated March 5, 2024", "2024-03-05", "2024-03-05", "March 5, 2024"},
		{"letters of 5 March 2024 about rent", "2024-03-05", "2024-03-05", "5 March 2024"},
		{"messages of last year", "2025-01-01", "2025-12-31", "last year"},
		{"files of the last 3 weeks", "2026-11-07", "2026-11-28", "last 3 weeks"},
		{"emails sent this month", "2026-11-01", "2026-11-28", "this month"},
		{"papers from 2024-03", "2024-03-01", "2024-03-31", "from 2024-03"},
		{"what happened in 1969?", "", "", ""},
		{"how many reports did they write, and what happened then in 1969?", "", "", ""},
		{"", "", "", ""},
	};
	check_all(rows, ARRAY_LEN(rows));
}

static void test_rag_derive__german(void)
{
	static const char *const rows[][4] = {
		{"Was steht in den Berichten aus 2019?", "2019-01-01", "2019-12-31", "2019"},
		{"E-Mails vom letzten Jahr über die Miete", "2025-01-01", "2025-12-31",
			"vom letzten Jahr"},
		{"Dokumente seit März 2024", "2024-03-01", "", "seit März 2024"},
		{"Briefe vor 2020", "", "2019-12-31", "vor 2020"},
		{"Rechnungen nach dem 5.3.2024", "2024-03-06", "", "nach dem 5.3.2024"},
		{"Rechnungen vom 05.03.2024", "2024-03-05", "2024-03-05", "vom 05.03.2024"},
		{"Verträge zwischen 2019 und 2021", "2019-01-01", "2021-12-31",
			"zwischen 2019 und 2021"},
		{"Protokolle vom 1. Mai 2023 bis 31. Mai 2023", "2023-05-01", "2023-05-31",
			"vom 1. Mai 2023 bis 31. Mai 2023"},
		{"die im März 2024 gesendeten E-Mails", "2024-03-01", "2024-03-31", "März 2024"},
		{"Notizen der letzten 2 Wochen", "2026-11-14", "2026-11-28", "letzten 2 Wochen"},
		{"Nachrichten aus diesem Monat", "2026-11-01", "2026-11-28", "diesem Monat"},
		{"Dateien bis Dezember 2020", "", "2020-12-31", "bis Dezember 2020"},
		{"Was geschah 1969?", "", "", ""},
	};
	check_all(rows, ARRAY_LEN(rows));
}

static void test_rag_derive__spanish(void)
{
	static const char *const rows[][4] = {
		{"¿Qué dicen los correos enviados en 2019?", "2019-01-01", "2019-12-31", "2019"},
		{"informes del año pasado", "2025-01-01", "2025-12-31", "año pasado"},
		{"documentos desde marzo de 2024", "2024-03-01", "", "desde marzo de 2024"},
		{"cartas escritas antes de 2020", "", "2019-12-31", "antes de 2020"},
		{"facturas después del 5 de marzo de 2024", "2024-03-06", "",
			"después del 5 de marzo de 2024"},
		{"contratos entre 2019 y 2021", "2019-01-01", "2021-12-31", "entre 2019 y 2021"},
		{"notas de los últimos 3 meses", "2026-08-30", "2026-11-28", "últimos 3 meses"},
		{"mensajes de este mes", "2026-11-01", "2026-11-28", "este mes"},
		{"archivos hasta diciembre de 2020", "", "2020-12-31", "hasta diciembre de 2020"},
		{"¿Qué pasó en 1969?", "", "", ""},
	};
	check_all(rows, ARRAY_LEN(rows));
}

static void test_rag_derive__chinese(void)
{
	static const char *const rows[][4] = {
		{"2019年的邮件说了什么", "2019-01-01", "2019-12-31", "2019年"},
		{"2024年3月发送的邮件", "2024-03-01", "2024-03-31", "2024年3月"},
		{"2024年3月5日的合同", "2024-03-05", "2024-03-05", "2024年3月5日"},
		{"去年的报告", "2025-01-01", "2025-12-31", "去年"},
		{"2020年以后写的报告", "2021-01-01", "", "2020年以后"},
		{"2020年之前的文件里租金是多少", "", "2019-12-31", "2020年之前"},
		{"2019年到2021年的发票", "2019-01-01", "2021-12-31", "2019年到2021年"},
		{"最近3个月的资料", "2026-08-30", "2026-11-28", "最近3个月"},
		{"2024年以来的PDF文件", "2024-01-01", "", "2024年以来"},
		{"1969年发生了什么", "", "", ""},
		{"报告说1969年发生了什么", "", "", ""},
	};
	check_all(rows, ARRAY_LEN(rows));
}

/* Whatever it is, it ends and stays within the text. */
static void test_rag_derive__odd_bytes(void)
{
	static const char *const odd[] = {"\xff\xfe emails 2019", "2019年\xe7",
		"emails sent in \xe5", "....2019....", "2019年13月99日的邮件",
		"from from from 2019 to", "年月日的邮件"};
	for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
		int64_t from, to;
		struct str words = S(""), q = str_c(odd[i]);
		if (derive_dates(q, NOW, &from, &to, &words))
			CHECK(words.p >= q.p && words.p + words.n <= q.p + q.n);
	}
}

TESTS(T(test_rag_derive__english), T(test_rag_derive__german), T(test_rag_derive__spanish),
	T(test_rag_derive__chinese), T(test_rag_derive__odd_bytes))
