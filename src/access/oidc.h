/* Signing in with OpenID Connect, by providers that the file of the setting oidc.file names; and
 * their tokens as credentials of service accounts. */
#ifndef ACCESS_OIDC_H
#define ACCESS_OIDC_H
#include "module/module.h"

extern const struct module oidc_module;

/* Is this a provider's token that stands for an account here? *known false: it is no token of a
 * configured provider. *user is the account's name, until the request ends. No I/O: for the thread
 * that owns the sockets. */
enum err oidc_bearer(struct croft *c, const struct http_request *rq, struct str token, bool *known,
	struct str *user, struct errtext *et) MUST_CHECK;

#endif
