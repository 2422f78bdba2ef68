/* Ids: UUID version 7 (RFC 9562), printed as 32 hex digits. They sort by creation time, also
 * within one millisecond of one process, and serve unchanged as trace ids and run ids. */
#ifndef BASE_ID_H
#define BASE_ID_H
#include "base/str.h"

enum { ID_HEX = 32 };

struct id {
	uint8_t b[16];
};

struct id id_new(void); /* thread-safe */
bool id_is_zero(struct id id);
void id_hex(struct id id, char out[ID_HEX + 1]);
bool id_parse(struct str s, struct id *out); /* 32 hex digits, or the 36-character form */
int64_t id_unix_ms(struct id id);
void random_bytes(void *out, size_t n); /* from the kernel */

#endif
