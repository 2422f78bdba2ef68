#include "base/arena.h"

#include <stdio.h>
#include <stdlib.h>

enum { ALIGN = 16, FIRST_CHUNK = 4096, LARGEST_CHUNK = 1 << 20 };

struct chunk {
	struct chunk *next;
	size_t used, size;
	_Alignas(ALIGN) unsigned char data[];
};

struct hook {
	struct hook *next;
	void (*fn)(void *);
	void *arg;
};

struct arena {
	struct chunk *chunks; /* newest first */
	struct hook *hooks;   /* newest first */
	size_t used, cap, next_size;
};

struct arena *arena_new(size_t cap_bytes)
{
	struct arena *a = calloc(1, sizeof *a);
	if (a) {
		a->cap = cap_bytes ? cap_bytes : SIZE_MAX / 2;
		a->next_size = FIRST_CHUNK;
	}
	return a;
}

void arena_free(struct arena *a)
{
	if (!a)
		return;
	for (struct hook *h = a->hooks; h; h = h->next)
		h->fn(h->arg);
	for (struct chunk *c = a->chunks; c;) {
		struct chunk *next = c->next;
		free(c);
		c = next;
	}
	free(a);
}

void *arena_alloc(struct arena *a, size_t n)
{
	if (n > a->cap)
		return NULL;
	n = (MAX(n, 1) + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	if (n > a->cap - a->used)
		return NULL;
	struct chunk *c = a->chunks;
	if (!c || c->size - c->used < n) {
		size_t size = MAX(a->next_size, n);
		c = calloc(1, sizeof *c + size);
		if (!c)
			return NULL;
		c->size = size;
		c->next = a->chunks;
		a->chunks = c;
		a->next_size = MIN(a->next_size * 2, LARGEST_CHUNK);
	}
	void *p = c->data + c->used;
	c->used += n;
	a->used += n;
	return p;
}

void *arena_array(struct arena *a, size_t count, size_t size)
{
	size_t n;
	if (__builtin_mul_overflow(count, size, &n))
		return NULL;
	return arena_alloc(a, n);
}

struct str arena_str(struct arena *a, struct str s)
{
	char *p = s.n < SIZE_MAX ? arena_alloc(a, s.n + 1) : NULL;
	if (!p)
		return (struct str){0};
	if (s.n)
		memcpy(p, s.p, s.n);
	return str_mk(p, s.n);
}

char *arena_c(struct arena *a, struct str s)
{
	return (char *)arena_str(a, s).p;
}

struct str arena_fmt(struct arena *a, const char *fmt, ...)
{
	va_list ap, again;
	va_start(ap, fmt);
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	char *p = n < 0 ? NULL : arena_alloc(a, (size_t)n + 1);
	if (p)
		vsnprintf(p, (size_t)n + 1, fmt, again);
	va_end(again);
	return p ? str_mk(p, (size_t)n) : (struct str){0};
}

bool arena_on_free(struct arena *a, void (*fn)(void *), void *arg)
{
	struct hook *h = arena_new_of(a, struct hook);
	if (!h)
		return false;
	*h = (struct hook){a->hooks, fn, arg};
	a->hooks = h;
	return true;
}

size_t arena_used(const struct arena *a)
{
	return a->used;
}
