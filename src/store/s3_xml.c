/* What an S3 server answers: small XML documents, read by expat as a flat list of elements. A
 * document type is refused, so there are no entities to blow up; depth and text are bounded. */
#include "store/s3_int.h"

#include <expat.h>
#include <stdio.h>

enum { XML_DEPTH_MAX = 16, XML_TEXT_MAX = 8192 };

struct reading {
	XML_Parser parser;
	s3_element_fn fn;
	void *ctx;
	struct buf text;
	unsigned depth;
	enum err err;
};

static void stop(struct reading *r, enum err e)
{
	if (!r->err)
		r->err = e;
	XML_StopParser(r->parser, XML_FALSE);
}

static void XMLCALL on_start(void *ctx, const XML_Char *name, const XML_Char **attributes)
{
	struct reading *r = ctx;
	buf_clear(&r->text);
	if (++r->depth > XML_DEPTH_MAX)
		stop(r, ERR_CORRUPT);
}

static void XMLCALL on_text(void *ctx, const XML_Char *p, int n)
{
	struct reading *r = ctx;
	buf_add(&r->text, p, (size_t)n);
	if (r->text.err)
		stop(r, r->text.err == ERR_TOO_LARGE ? ERR_CORRUPT : r->text.err);
}

static void XMLCALL on_end(void *ctx, const XML_Char *name)
{
	struct reading *r = ctx;
	r->depth--;
	if (r->err)
		return;
	const char *colon = strrchr(name, ':'); /* without a namespace's prefix */
	enum err e = r->fn(r->ctx, colon ? colon + 1 : name, buf_str(&r->text));
	buf_clear(&r->text);
	if (e)
		stop(r, e);
}

static void XMLCALL on_doctype(void *ctx, const XML_Char *name, const XML_Char *sysid,
	const XML_Char *pubid, int has_internal_subset)
{
	stop(ctx, ERR_CORRUPT);
}

enum err s3_xml(struct str xml, s3_element_fn fn, void *ctx, struct errtext *et)
{
	struct reading r = {.parser = XML_ParserCreate("UTF-8"), .fn = fn, .ctx = ctx};
	if (!r.parser)
		return err_set(et, ERR_NOMEM, "no memory for an answer");
	r.text.max = XML_TEXT_MAX;
	XML_SetUserData(r.parser, &r);
	XML_SetElementHandler(r.parser, on_start, on_end);
	XML_SetCharacterDataHandler(r.parser, on_text);
	XML_SetStartDoctypeDeclHandler(r.parser, on_doctype);
	bool fits = xml.n < INT_MAX;
	bool ok = fits && XML_Parse(r.parser, xml.p ? xml.p : "", (int)xml.n, 1) == XML_STATUS_OK;
	XML_ParserFree(r.parser);
	buf_free(&r.text);
	if (r.err && r.err != ERR_CORRUPT)
		return r.err;
	return ok ? OK : err_set(et, ERR_CORRUPT, "the S3 server answered no usable XML");
}

static enum err error_element(void *ctx, const char *name, struct str text)
{
	struct s3_error *e = ctx;
	if (!strcmp(name, "Code"))
		snprintf(e->code, sizeof e->code, "%.*s", STR_FMT(text));
	else if (!strcmp(name, "Message"))
		snprintf(e->message, sizeof e->message, "%.*s", STR_FMT(str_sub(text, 0, 190)));
	return OK;
}

void s3_error_parse(struct str xml, struct s3_error *out)
{
	struct s3_error e = {0};
	if (!xml.n || s3_xml(xml, error_element, &e, NULL))
		e = (struct s3_error){0};
	*out = e;
}
