#include "text/doc_int.h"
void parse_email(struct out *o, struct str bytes)
{
	(void)bytes;
	out_fail(o, ERR_UNSUPPORTED, "documents of this kind cannot be read yet");
}
void parse_pdf(struct out *o, struct str bytes)
{
	(void)bytes;
	out_fail(o, ERR_UNSUPPORTED, "documents of this kind cannot be read yet");
}
void parse_docx(struct out *o, struct str bytes)
{
	(void)bytes;
	out_fail(o, ERR_UNSUPPORTED, "documents of this kind cannot be read yet");
}
void parse_pptx(struct out *o, struct str bytes)
{
	(void)bytes;
	out_fail(o, ERR_UNSUPPORTED, "documents of this kind cannot be read yet");
}
void parse_xlsx(struct out *o, struct str bytes)
{
	(void)bytes;
	out_fail(o, ERR_UNSUPPORTED, "documents of this kind cannot be read yet");
}
void parse_epub(struct out *o, struct str bytes)
{
	(void)bytes;
	out_fail(o, ERR_UNSUPPORTED, "documents of this kind cannot be read yet");
}
void parse_odf(struct out *o, struct str bytes)
{
	(void)bytes;
	out_fail(o, ERR_UNSUPPORTED, "documents of this kind cannot be read yet");
}
enum doc_type zip_sniff(struct str bytes)
{
	return DOC_UNKNOWN;
}
