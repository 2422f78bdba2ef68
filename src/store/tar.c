/* The tar archive of a backup: POSIX ustar headers of regular files, with GNU's base-256 size for
 * those of 8 GiB and more. */
#include "store/backup_int.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

/* Where the fields are. */
enum {
	AT_MODE = 100,
	AT_UID = 108,
	AT_GID = 116,
	AT_SIZE = 124,
	AT_MTIME = 136,
	AT_SUM = 148,
	AT_TYPE = 156,
	AT_MAGIC = 257,
	SIZE_LEN = 12,
	SUM_LEN = 8,
};

static unsigned sum_of(const char block[TAR_BLOCK])
{
	unsigned sum = 0;
	for (int i = 0; i < TAR_BLOCK; i++)
		sum += i >= AT_SUM && i < AT_SUM + SUM_LEN ? ' ' : (unsigned char)block[i];
	return sum;
}

static void put_size(char *at, uint64_t size)
{
	if (size < 1ull << 33) {
		snprintf(at, SIZE_LEN, "%011llo", (unsigned long long)size);
		return;
	}
	at[0] = (char)0x80;
	for (int i = 0; i < 8; i++)
		at[SIZE_LEN - 1 - i] = (char)(size >> (8 * i));
}

void tar_header(const char *name, uint64_t size, int64_t mtime_s, char out[TAR_BLOCK])
{
	memset(out, 0, TAR_BLOCK);
	memcpy(out, name, strnlen(name, TAR_NAME_MAX));
	snprintf(out + AT_MODE, 8, "%07o", 0600u);
	snprintf(out + AT_UID, 8, "%07o", 0u);
	snprintf(out + AT_GID, 8, "%07o", 0u);
	put_size(out + AT_SIZE, size);
	snprintf(out + AT_MTIME, 12, "%011llo", (unsigned long long)MAX(mtime_s, 0));
	out[AT_TYPE] = '0';
	memcpy(out + AT_MAGIC,
		"ustar\0"
		"00",
		8);
	snprintf(out + AT_SUM, SUM_LEN, "%06o", sum_of(out));
	out[AT_SUM + 7] = ' ';
}

static bool octal(const char *p, int n, uint64_t *out)
{
	uint64_t v = 0;
	int i = 0;
	for (; i < n && p[i] >= '0' && p[i] <= '7'; i++)
		v = v * 8 + (uint64_t)(p[i] - '0');
	if (!i || (i < n && p[i] && p[i] != ' '))
		return false;
	*out = v;
	return true;
}

static bool get_size(const char *at, uint64_t *out)
{
	if (!(at[0] & 0x80))
		return octal(at, SIZE_LEN, out);
	uint64_t v = 0;
	if (at[0] != (char)0x80 || at[1] || at[2] || at[3] || (at[4] & 0x80))
		return false;
	for (int i = 4; i < SIZE_LEN; i++)
		v = v << 8 | (unsigned char)at[i];
	*out = v;
	return true;
}

bool tar_parse(const char block[TAR_BLOCK], char name[TAR_NAME_MAX + 1], uint64_t *size, bool *end)
{
	static const char zeros[TAR_BLOCK];
	uint64_t sum;
	*end = memcmp(block, zeros, TAR_BLOCK) == 0;
	if (*end)
		return true;
	if (!octal(block + AT_SUM, SUM_LEN, &sum) || sum != sum_of(block) ||
		block[AT_TYPE] != '0' || !get_size(block + AT_SIZE, size))
		return false;
	memcpy(name, block, TAR_NAME_MAX);
	name[TAR_NAME_MAX] = 0;
	return true;
}

enum err read_at(int fd, const char *path, uint64_t offset, void *to, size_t n, struct errtext *et)
{
	char *p = to;
	while (n) {
		ssize_t got = pread(fd, p, n, (off_t)offset);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_errno(et, "%s", path);
		if (!got)
			return err_set(et, ERR_CORRUPT, "%s is cut off", path);
		p += got;
		offset += (uint64_t)got;
		n -= (size_t)got;
	}
	return OK;
}

enum err tar_each(int fd, const char *path,
	enum err (*fn)(void *ctx, int fd, const struct tar_entry *t, struct errtext *et), void *ctx,
	struct errtext *et)
{
	off_t length = lseek(fd, 0, SEEK_END);
	if (length < 0)
		return err_errno(et, "%s", path);
	for (uint64_t at = 0;;) {
		char block[TAR_BLOCK];
		struct tar_entry t;
		bool end;
		enum err e = read_at(fd, path, at, block, sizeof block, et);
		if (e)
			return e;
		if (!tar_parse(block, t.name, &t.size, &end))
			return err_set(et, ERR_CORRUPT,
				"%s is no backup, or it is damaged at byte %llu", path,
				(unsigned long long)at);
		if (end)
			return OK;
		t.offset = at + TAR_BLOCK;
		if (t.size > (uint64_t)length - t.offset)
			return err_set(et, ERR_CORRUPT, "%s is cut off", path);
		e = fn(ctx, fd, &t, et);
		if (e)
			return e;
		at = t.offset + (t.size + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
	}
}
