#include "api/api_int.h"

#include "base/log.h"

#include <stdio.h>

enum err api_fail(
	struct api_error *x, enum err e, const char *code, const char *param, const char *fmt, ...)
{
	va_list ap;
	x->e = e;
	x->status = 0;
	x->code = code;
	snprintf(x->param, sizeof x->param, "%s", param ? param : "");
	va_start(ap, fmt);
	vsnprintf(x->et.msg, sizeof x->et.msg, fmt, ap);
	va_end(ap);
	return e;
}

enum err api_fail_from(struct api_error *x, enum err e, const char *param)
{
	x->e = e;
	x->status = 0;
	x->code = NULL;
	x->param[0] = 0;
	if (e == ERR_TOO_LARGE) { /* says both numbers */
		x->status = 400;
		x->code = "context_length_exceeded";
		snprintf(x->param, sizeof x->param, "%s", param);
	} else if (e == ERR_NOT_FOUND) {
		x->code = "model_not_found";
		snprintf(x->param, sizeof x->param, "model");
	} else if (e == ERR_INVALID || e == ERR_UNSUPPORTED) {
		x->status = 400;
	}
	return e;
}

/* What is not supported is the request's fault here; 415 is for the type of its body. */
static int status_of(const struct api_error *x)
{
	if (!x->status && x->e == ERR_UNSUPPORTED)
		return 400;
	return x->status ? x->status : err_http(x->e);
}

void api_error_members(struct jw *w, const struct api_error *x)
{
	int status = status_of(x);
	const char *type = status == 401   ? "authentication_error"
			   : status == 403 ? "permission_error"
			   : status == 429 ? "rate_limit_error"
			   : status >= 500 ? "server_error"
					   : "invalid_request_error";
	jw_kc(w, "message", err_text(x->e, &x->et));
	jw_kc(w, "type", type);
	jw_kc(w, "param", x->param[0] ? x->param : NULL);
	jw_kc(w, "code", x->code ? x->code : status == 400 ? "invalid_value" : err_word(x->e));
}

void api_reply_error(struct http_response *rs, const struct api_error *x)
{
	int status = status_of(x);
	struct buf b = {0};
	struct jw w = {.out = &b};
	jw_obj(&w);
	jw_key(&w, "error");
	jw_obj(&w);
	api_error_members(&w, x);
	jw_end(&w);
	jw_end(&w);
	if (status == 409 || status >= 500)
		http_set_header(rs, "x-should-retry", err_retryable(x->e) ? S("true") : S("false"));
	if (status == 429 || status == 503)
		http_set_header(rs, "retry-after", S("1"));
	if (status >= 500 && status != 503)
		log_error("openai: %s", err_text(x->e, &x->et));
	http_reply_json(rs, status, &w);
	buf_free(&b);
}
