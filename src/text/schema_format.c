/* The formats of strings that are enforced, as expressions for the whole string. */
#include "text/schema_int.h"

#define DATE                                                                                      \
	"([0-9]{4}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|" \
	"02-(0[1-9]|1[0-9]|2[0-8]))|([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|"      \
	"[13579][26])00)-02-29)"
#define ZONE "([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
#define TIME "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]+)?" ZONE
#define LABEL "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
#define OCTET "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
#define IPV4 OCTET "(\\." OCTET "){3}"
#define H16 "[0-9A-Fa-f]{1,4}"
#define LS32 "(" H16 ":" H16 "|" IPV4 ")"
#define ATOM "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
#define CODED "%[0-9A-Fa-f]{2}"
#define PCHAR "([A-Za-z0-9._~!$&'()*+,;=:@-]|" CODED ")"
#define QUERY "(\\?(" PCHAR "|[/?])*)?"
#define FRAGMENT "(#(" PCHAR "|[/?])*)?"
#define AUTHORITY                                                                      \
	"([A-Za-z0-9._~!$&'()*+,;=:-]|" CODED ")*(@([A-Za-z0-9._~!$&'()*+,;=-]|" CODED \
	")*(:[0-9]*)?)?"

static const struct {
	const char *name, *regex;
} formats[] = {
	{"date", DATE},
	{"time", TIME},
	{"date-time", DATE "[Tt]" TIME},
	{"duration", "P(([0-9]+Y([0-9]+M([0-9]+D)?)?|[0-9]+M([0-9]+D)?|[0-9]+D)(T([0-9]+H([0-9]+M(["
		     "0-9]+S)?)?|"
		     "[0-9]+M([0-9]+S)?|[0-9]+S))?|T([0-9]+H([0-9]+M([0-9]+S)?)?|[0-9]+M([0-9]+S)?|"
		     "[0-9]+S)|"
		     "[0-9]+W)"},
	{"email", ATOM "(\\." ATOM ")*@" LABEL "(\\." LABEL ")*"},
	{"hostname", LABEL "(\\." LABEL ")*"},
	{"ipv4", IPV4},
	{"ipv6",
		"((" H16 ":){6}" LS32 "|::(" H16 ":){5}" LS32 "|(" H16 ")?::(" H16 ":){4}" LS32
		"|((" H16 ":){0,1}" H16 ")?::(" H16 ":){3}" LS32 "|((" H16 ":){0,2}" H16 ")?::(" H16
		":){2}" LS32 "|((" H16 ":){0,3}" H16 ")?::" H16 ":" LS32 "|((" H16 ":){0,4}" H16
		")?::" LS32 "|((" H16 ":){0,5}" H16 ")?::" H16 "|((" H16 ":){0,6}" H16 ")?::)"},
	{"uuid", "[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}"},
	{"uri", "[A-Za-z][A-Za-z0-9+.-]*:(//" AUTHORITY "(/" PCHAR "*)*|/(" PCHAR "+(/" PCHAR
		"*)*)?|" PCHAR "+(/" PCHAR "*)*)?" QUERY FRAGMENT},
	{"uri-reference",
		"([A-Za-z][A-Za-z0-9+.-]*:)?(//" AUTHORITY "(/" PCHAR "*)*|/(" PCHAR "+(/" PCHAR
		"*)*)?|"
		"([A-Za-z0-9._~!$&'()*+,;=@-]|" CODED ")+(/" PCHAR "*)*)?" QUERY FRAGMENT},
	{"json-pointer", "(/([^~/]|~[01])*)*"},
	{"relative-json-pointer", "(0|[1-9][0-9]*)(#|(/([^~/]|~[01])*)*)"},
};

const char *schema_format_regex(struct str name)
{
	for (size_t i = 0; i < ARRAY_LEN(formats); i++)
		if (str_eq_c(name, formats[i].name))
			return formats[i].regex;
	return NULL;
}
