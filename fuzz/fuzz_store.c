/* A backup file of any bytes, and SQL of any bytes on its way to PostgreSQL. */
#include "store/backup_int.h"
#include "store/pg_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void backup(const uint8_t *data, size_t size)
{
	char path[64];
	struct errtext et;
	struct backup_info info;
	int fd = memfd_create("backup", MFD_CLOEXEC);
	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	if (!backup_verify(path, &info, NULL, &et) && info.bytes != size)
		__builtin_trap();
	close(fd);
}

static void sql(struct str text)
{
	struct buf a = {0}, b = {0};
	struct errtext et;
	unsigned params = 0, marks = 0;
	for (size_t i = 0; i < text.n; i++)
		marks += text.p[i] == '?';
	if (!pg_statement(text, &a, &params, &et) && (params > marks || a.n < text.n))
		__builtin_trap();
	if (!pg_script(text, &b, &et) && b.n < text.n)
		__builtin_trap();
	buf_free(&a);
	buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	backup(data, size);
	sql(str_mk(data, size));
	return 0;
}
