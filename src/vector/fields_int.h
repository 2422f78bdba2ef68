/* What the files of the payload index share: fields.c (items, what waits), fields_seg.c (a segment
 * and how it is made), fields_select.c (conditions). */
#ifndef VECTOR_FIELDS_INT_H
#define VECTOR_FIELDS_INT_H
#include "vector/fields.h"
#include "vector/segments.h"

/* Names to numbers from 0, in the order in which they came. */
struct names {
	struct buf text, ends; /* ends: size_t */
	uint32_t *slots;
	size_t n_slots;
	uint32_t n;
};
enum { NO_NAME = UINT32_MAX };
uint32_t fields_names_add(struct names *t, struct str name); /* NO_NAME: no memory */
struct str fields_names_at(const struct names *t, uint32_t i);
void fields_names_free(struct names *t);

/* What an entry of a path says; its list has the documents. */
enum entry_kind {
	ENTRY_STRING, /* has this string */
	ENTRY_LONG,   /* has the string with this SHA-256 */
	ENTRY_TERM,   /* has this word in its first string */
	ENTRY_TRUE,
	ENTRY_FALSE,
	ENTRY_OTHER, /* has an object, or an array in an array */
	ENTRY_SOME,  /* has a value that is not null or [] */
	ENTRY_ZERO,  /* has null or [] */
	ENTRY_ONE,   /* has a value of one, and another of more, which NUMBER_COUNT has */
	ENTRY_NULL,  /* has null, or an array with null */
	ENTRY_KINDS
};
enum { STRING_MAX = 128 }; /* longer ones are ENTRY_LONG */

struct entry {
	uint64_t name_at, list_at;
	uint32_t name_n, n;
	bool bits; /* the list is a bit for each document, not distances */
};

/* Numbers of a path: pairs of value and document, ascending. */
enum number_kind { NUMBER_INT, NUMBER_DOUBLE, NUMBER_TIME, NUMBER_COUNT, NUMBER_KINDS };

union number {
	int64_t i;
	double d; /* NUMBER_DOUBLE */
};

/* A segment: documents in ascending order of keys. The objects of an array are a segment of their
 * own, whose documents have parents; so are a path's strings after the first, for their words
 * (under a path without steps). */
struct fseg {
	struct segment base; /* of elements keys are NULL */
	uint32_t n_paths;
	char *path_names;
	size_t *path_ends;
	/* In order of path, kind, name; [path * ENTRY_KINDS + kind] is the first of that kind. */
	struct entry *entries;
	uint32_t *first_entry;
	char *names;
	uint8_t *lists;
	size_t n_names, n_lists;
	/* COUNT has those of 2 and more. */
	union number *numbers;
	uint32_t *number_docs, *first_number;
	struct felements {
		uint32_t path;
		bool strings;
		struct fseg *seg;
		uint32_t *parents;
	} * elements;
	size_t n_elements;
};

static inline const struct fseg *fseg_of(const struct segment_part *p)
{
	return (const struct fseg *)(const void *)p->seg;
}

#define NO_PARENT UINT32_MAX

bool fseg_path(const struct fseg *s, struct str path, uint32_t *out);
bool fseg_entry(const struct fseg *s, uint32_t path, enum entry_kind kind, struct str name,
	const struct entry **out);
struct str fields_entry_name(const struct fseg *s, const struct entry *e);
/* Sets the bits of the list. */
void fields_entry_mark(const struct fseg *s, const struct entry *e, uint64_t *bits);
/* The name that a string has, and its kind; `room` for a digest. */
struct str fields_string_name(struct str s, uint8_t room[32], enum entry_kind *kind);

struct text_paths {
	bool some;
	struct str *paths;
	size_t n;
};

struct fdoc {
	uint64_t key;
	struct str payload;
};

/* NULL: no memory. Documents in any order, keys different. */
struct fseg *fseg_make(struct fdoc *docs, size_t n, const struct text_paths *text);
struct fseg *fseg_merge(const struct segment_part *parts, size_t n);
extern const struct segments_kind fields_kind;
/* fields_file.c */
void fields_seg_write(struct segment_out *o, const struct segment *s);
struct segment *fields_seg_read(struct segments *x, struct segment_in *in);

/* What waits, of fields.c. */
struct segments *fields_segments(struct fields *x);
struct fseg *fields_waiting(struct segments *x); /* as a segment; NULL: no memory */
void fields_drop(struct segments *x, uint64_t place);
void fields_forget(struct segments *x);

bool fields_has_text(const struct text_paths *t, struct str path);
const struct text_paths *fields_text(const struct fields *x);

#endif
