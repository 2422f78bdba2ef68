/* Words of a question, as the rules that derive filters read them. */
#ifndef RAG_DERIVE_INT_H
#define RAG_DERIVE_INT_H
#include "rag/stages.h"

enum { QUESTION_WORDS_MAX = 256 };

struct qword {
	struct str text; /* as it stands; ideographs are no part of one */
	bool noun;       /* speaks of documents */
	bool tagged;     /* "#legal" */
};

struct qwords {
	struct str question;
	struct qword w[QUESTION_WORDS_MAX];
	size_t n;
};

void qwords_read(struct qwords *d, struct str question);
bool qword_is(const struct qwords *d, size_t at, struct str text);
/* Words `at` and n - 1 more, as they stand in the question. */
struct str qwords_text(const struct qwords *d, size_t at, size_t n);
/* One of a list that is separated by blanks, whatever the case of ASCII letters. */
bool word_in(struct str s, const char *list);
/* Of Chinese text, which has no blanks: where a word for documents begins in `s`, which is looked
 * through to `within` bytes; STR_NONE: there is none. */
size_t hanzi_noun(struct str s, size_t within);

/* from 0: open at that end; words: those that say it. False: there is no such date. */
struct dates {
	int64_t from, to;
	struct str words;
};
bool qwords_dates(const struct qwords *d, int64_t now_ms, struct dates *out);

struct str attribute_text(yyjson_val *v, char number[32]);

#endif
