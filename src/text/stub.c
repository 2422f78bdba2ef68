#include "text/doc_int.h"

void parse_email(struct out *o, struct str bytes)
{
	out_fail(o, ERR_UNSUPPORTED, "documents of this kind cannot be read yet");
}
