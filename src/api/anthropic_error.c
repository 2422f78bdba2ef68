/* Errors in the shape of Anthropic's API. */
#include "api/anthropic.h"

#include "base/log.h"

static int status_of(const struct api_error *x)
{
	int status = x->status ? x->status : err_http(x->e);
	return status == 503 ? 529 : status;
}

static const char *type_of(int status)
{
	switch (status) {
	case 401:
		return "authentication_error";
	case 403:
		return "permission_error";
	case 404:
		return "not_found_error";
	case 413:
		return "request_too_large";
	case 429:
		return "rate_limit_error";
	case 504:
		return "timeout_error";
	case 529:
		return "overloaded_error";
	default:
		return status >= 500 ? "api_error" : "invalid_request_error";
	}
}

void anthropic_error_json(const struct api_error *x, struct id request, struct buf *out)
{
	char hex[ID_HEX + 1];
	struct jw w = {.out = out};
	id_hex(request, hex);
	jw_obj(&w);
	jw_kc(&w, "type", "error");
	jw_key(&w, "error");
	jw_obj(&w);
	jw_kc(&w, "type", type_of(status_of(x)));
	jw_kc(&w, "message", err_text(x->e, &x->et));
	jw_end(&w);
	jw_kc(&w, "request_id", id_is_zero(request) ? NULL : hex);
	jw_end(&w);
}

void anthropic_reply_error(struct http_response *rs, struct id request, const struct api_error *x)
{
	int status = status_of(x);
	struct buf b = {0};
	anthropic_error_json(x, request, &b);
	if (status == 429 || status == 529)
		http_set_header(rs, "retry-after", S("1"));
	if (status == 409 || status >= 500)
		http_set_header(rs, "x-should-retry", err_retryable(x->e) ? S("true") : S("false"));
	if (status >= 500 && status != 529)
		log_error("messages: %s", err_text(x->e, &x->et));
	http_reply(rs, status, "application/json", buf_str(&b));
	buf_free(&b);
}
