/* Rows of two files of outside bytes: the counts add up whatever stands there, and a file has no
 * difference to itself. The first byte says the format, the second how much of the rest is before.
 */
#include "artifact/rows.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct rows_diff *d)
{
	if (d->same + d->changed + d->removed != d->rows[0] ||
		d->same + d->changed + d->added != d->rows[1])
		__builtin_trap();
	for (size_t i = 0; i < d->n_columns; i++) {
		const struct rows_column *c = &d->columns[i];
		if (c->changed > d->changed)
			__builtin_trap();
		for (int k = 0; k < 2; k++) {
			const struct rows_stats *s = &c->stats[k];
			if (s->numbers + s->truths + s->texts + s->structures != s->values)
				__builtin_trap();
		}
	}
	for (size_t i = 0; i < d->n_entries; i++)
		if (!utf8_valid(d->entries[i].row))
			__builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rows_diff d;
	struct errtext et;
	if (size < 2)
		return 0;
	enum rows_format format = (enum rows_format)(1 + data[0] % 3);
	struct str all = str_mk(data + 2, size - 2);
	size_t cut = all.n * data[1] / 255;
	struct str a = str_sub(all, 0, cut), b = str_sub(all, cut, all.n);
	struct arena *arena = arena_new(64 << 20);
	if (!arena)
		return 0;
	if (!rows_diff(a, b, format, (struct str){0}, 50, arena, &d, &et))
		check(&d);
	if (!rows_diff(all, all, format, (struct str){0}, 50, arena, &d, &et)) {
		check(&d);
		if (d.added || d.removed || d.changed || d.n_entries)
			__builtin_trap();
	}
	arena_free(arena);
	return 0;
}
