/* Serves the page (app/assets.h) on every GET that no other route took. */
#ifndef APP_PAGES_H
#define APP_PAGES_H
#include "net/http.h"

/* A file of the page, the page itself for the address of one of its views, else 404. Compressed
 * where the client takes gzip, 304 where it has the file already, under a strict content policy. */
void pages_handle(struct http_request *rq, struct http_response *rs);

/* A program that takes anything but asks for no page: it is told what answers here. */
bool pages_wants_facts(struct str accept);

/* Exposed for the test: whether an Accept-Encoding allows gzip. */
bool pages_takes_gzip(struct str accept_encoding);

#endif
