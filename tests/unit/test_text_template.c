#include "tap.h"
#include "base/os.h"
#include "text/template.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

static enum err render(const char *source, const char *vars, struct buf *out, struct errtext *et)
{
	struct template *t;
	yyjson_doc *doc;
	enum err e = template_parse(str_c(source), &t, et);
	if (e)
		return e;
	CHECK_OK(json_parse(str_c(vars), &doc, et), et);
	e = template_render(t, yyjson_doc_get_root(doc),
		&(struct template_limits){
			.steps_max = 400000, .output_max = 1 << 20, .now_unix_ms = 86400000},
		out, et);
	yyjson_doc_free(doc);
	template_free(t);
	return e;
}

static void test_text_template__expressions(void)
{
	static const char vars[] =
		"{\"a\":[1,2,3],\"d\":{\"x\":1,\"y\":[1,\"\xC3\xA9\"]},\"s\":\"Hello "
		"w\xC3\xB6rld\","
		"\"n\":null,\"f\":1.5,\"t\":true,\"e\":[],"
		"\"m\":[{\"role\":\"user\",\"c\":\"hi\"},{\"role\":\"bot\",\"c\":\"yo\"}]}";
	static const struct {
		const char *source, *want;
	} rows[] = {
		{"a[-1] ~ a[1:] ~ s[::-1] ~ s[6:8]", "3[2, 3]dlr\xC3\xB6w olleHw\xC3\xB6"},
		{"7 // 2, -7 // 2, -7 % 3, 2 ** 10, 1 / 2", "(3, -4, 2, 1024, 0.5)"},
		{"[1e16, 1e15, 0.1 + 0.2, 1e-5, 3.0]",
			"[1e+16, 1000000000000000.0, 0.30000000000000004, 1e-05, 3.0]"},
		{"1 < 2 < 3 and 2 not in [1] and not n", "True"},
		{"{'a': [1, none, true], \"b\": \"it's\"}",
			"{'a': [1, None, True], 'b': \"it's\"}"},
		{"d | tojson", "{\"x\": 1, \"y\": [1, \"\xC3\xA9\"]}"},
		{"d | tojson(indent=2)",
			"{\n  \"x\": 1,\n  \"y\": [\n    1,\n    \"\xC3\xA9\"\n  ]\n}"},
		{"m | map(attribute='role') | join('-')", "user-bot"},
		{"m | selectattr('role', 'equalto', 'bot') | map(attribute='c') | list", "['yo']"},
		{"nope is defined, nope, nope | default('z')", "(False, Undefined, 'z')"},
		{"s.split('o') | length, s.find('w'), s.upper()", "(2, 6, 'HELLO W\xC3\x96RLD')"},
		{"'a' if n else 'b' if e else 'c'", "c"},
		{"['b', 'A', 'c'] | sort, ['x', 'X'] | unique | list", "(['A', 'b', 'c'], ['x'])"},
		{"strftime_now('%Y')", "1970"},
		{"d.items() | list", "[('x', 1), ('y', [1, '\xC3\xA9'])]"},
		{"'  x '.strip() + 'xyx'.strip('x')", "xy"},
		{"t is boolean and 1 is odd and f is number and s is string and d is mapping",
			"True"},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct errtext et = {0};
		struct buf out = {0}, src = {0};
		buf_addf(&src, "{{ %s }}", rows[i].source);
		enum err e = render(buf_c(&src), vars, &out, &et);
		if (e || !str_eq_c(buf_str(&out), rows[i].want))
			FAIL("%s: %s %s, not %s", rows[i].source, buf_c(&out), et.msg,
				rows[i].want);
		buf_free(&out);
		buf_free(&src);
	}
}

static void test_text_template__statements(void)
{
	static const struct {
		const char *source, *want;
	} rows[] = {
		{"{% for x in a if x != 2 %}{{ loop.index }}:{{ x }}{% if not loop.last %}, {% "
		 "endif %}{% endfor %}",
			"1:1, 2:3"},
		{"{% for x in [] %}{% else %}none{% endfor %}", "none"},
		{"{% for x in a %}{% if x == 2 %}{% continue %}{% endif %}{{ x }}{% endfor %}",
			"13"},
		{"{% for x in a %}{% if x == 2 %}{% break %}{% endif %}{{ x }}{% endfor %}", "1"},
		{"{% set x = 0 %}{% for i in a %}{% set x = i %}{% endfor %}{{ x }}", "0"},
		{"{% set n = namespace(x=0) %}{% for i in a %}{% set n.x = n.x + i %}{% endfor "
		 "%}{{ n.x }}",
			"6"},
		{"{% macro m(x, y=2) %}{{ x }}-{{ y }};{% endmacro %}{{ m(1) }}{{ m(y=1, x=2) }}",
			"1-2;2-1;"},
		{"{% set b | upper %}hello{% endset %}[{{ b }}]", "[HELLO]"},
		{"{% for k, v in {'p': 1}.items() %}{{ k }}{{ v }}{% endfor %}", "p1"},
		{"a\n  {% if true %}\n  b\n  {% endif %}\nc\n", "a\n  b\nc"},
		{"a {{- ' b ' -}} c{#- d -#} e", "a b ce"},
		{"{% raw %}{{ x }}{% endraw %}", "{{ x }}"},
		{"{% generation %}g{% endgeneration %}", "g"},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct errtext et = {0};
		struct buf out = {0};
		enum err e = render(rows[i].source, "{\"a\":[1,2,3]}", &out, &et);
		if (e || !str_eq_c(buf_str(&out), rows[i].want))
			FAIL("%s: \"%s\" %s, not %s", rows[i].source, buf_c(&out), et.msg,
				rows[i].want);
		buf_free(&out);
	}
}

static void test_text_template__errors_say_where(void)
{
	static const struct {
		const char *source;
		enum err want;
		const char *says;
	} rows[] = {
		{"a\n{% if %}", ERR_INVALID, "line 2 column 7"},
		{"{{ ", ERR_INVALID, "does not end"},
		{"{% for x in a %}", ERR_INVALID, "endfor"},
		{"{% include 'x' %}", ERR_INVALID, "include"},
		{"{% break %}", ERR_INVALID, "loop"},
		{"{{ nope.x }}", ERR_INVALID, "'nope' is undefined"},
		{"{{ 1 | nofilter }}", ERR_INVALID, "nofilter"},
		{"{{ 1 is notest }}", ERR_INVALID, "notest"},
		{"{{ raise_exception('one system message only') }}", ERR_INVALID,
			"one system message only"},
		{"{{ a.append(1) }}", ERR_INVALID, "unsafe"},
		{"{{ 1 / 0 }}", ERR_INVALID, "division"},
		{"{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
			ERR_LIMIT, "steps"},
		{"{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", ERR_LIMIT, "deeply"},
		{"{{ 'x' * 100000000000 }}", ERR_LIMIT, ""},
		{"{{ 'x' * 1500000 }}", ERR_LIMIT, "output"},
		{"{% set n = namespace(l=[]) %}{% for i in range(9999) %}{% set n.l = [n.l] %}{% "
		 "endfor %}{{ n.l }}",
			ERR_LIMIT, "deeply"},
		{"{{ 9223372036854775807 + 1 }}", ERR_INVALID, "64 bits"},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct errtext et = {0};
		struct buf out = {0};
		enum err e = render(rows[i].source, "{\"a\":[1]}", &out, &et);
		if (e != rows[i].want || !strstr(et.msg, rows[i].says) || out.n)
			FAIL("%s: %s: %s", rows[i].source, err_word(e), et.msg);
		buf_free(&out);
	}
	struct buf deep = {0};
	for (int i = 0; i < 100000; i++)
		buf_putc(&deep, '(');
	struct template *t;
	buf_addc(&deep, "");
	struct buf source = {0};
	buf_addf(&source, "{{ %s }}", buf_c(&deep));
	CHECK_ERR(template_parse(buf_str(&source), &t, NULL), ERR_INVALID);
	buf_free(&deep);
	buf_free(&source);
}

/* tests/golden/templates/: what Jinja renders of the chat templates in use. */
static size_t golden_file(const char *path, yyjson_val *talks)
{
	struct errtext et = {0};
	struct buf b = {0};
	yyjson_doc *doc;
	struct template *t;
	CHECK_OK(os_read_file(path, 0, &b, &et), &et);
	CHECK_OK(json_parse(buf_str(&b), &doc, &et), &et);
	yyjson_val *root = yyjson_doc_get_root(doc), *c;
	struct template_limits limits = {.now_unix_ms = json_i64(root, "now", 0)};
	CHECK_OK(template_parse(json_str(root, "template"), &t, &et), &et);
	size_t i, n;
	yyjson_arr_foreach(talks, i, n, c)
	{
		struct buf out = {0};
		struct str want = json_val_str(yyjson_arr_get(yyjson_obj_get(root, "texts"), i));
		struct str name = json_str(c, "name");
		enum err e = template_render(t, yyjson_obj_get(c, "vars"), &limits, &out, &et);
		if (e ? want.p != NULL : !want.p || !str_eq(buf_str(&out), want))
			FAIL("%s: %.*s: %s\n--- got\n%s\n--- want\n%.*s", path, STR_FMT(name),
				e ? et.msg : "", buf_c(&out), (int)want.n,
				want.p ? want.p : "(an error)");
		buf_free(&out);
	}
	template_free(t);
	yyjson_doc_free(doc);
	buf_free(&b);
	return n;
}

static void test_text_template__chat_templates_as_jinja_renders_them(void)
{
	size_t files = 0, cases = 0;
	setenv("TZ", "UTC", 1);
	struct errtext et = {0};
	struct buf b = {0};
	yyjson_doc *talks;
	CHECK_OK(os_read_file(tap_source("tests/golden/templates/conversations.json"), 0, &b, &et),
		&et);
	CHECK_OK(json_parse(buf_str(&b), &talks, &et), &et);
	DIR *d = opendir(tap_source("tests/golden/templates"));
	CHECK(d != NULL);
	for (struct dirent *e; (e = readdir(d));) {
		char path[512];
		if (!str_ends(str_c(e->d_name), S(".json")) ||
			strcmp(e->d_name, "conversations.json") == 0)
			continue;
		snprintf(path, sizeof path, "%s/%s", tap_source("tests/golden/templates"),
			e->d_name);
		cases += golden_file(path, yyjson_doc_get_root(talks));
		files++;
	}
	closedir(d);
	yyjson_doc_free(talks);
	buf_free(&b);
	tap_note("%zu templates, %zu conversations", files, cases);
	CHECK(files >= 12);
}

TESTS(T(test_text_template__chat_templates_as_jinja_renders_them),
	T(test_text_template__expressions), T(test_text_template__statements),
	T(test_text_template__errors_say_where))
