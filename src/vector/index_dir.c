/* The files of saved indexes: whose they are, and which of them are of no use any more. */
#include "vector/index_dir.h"
#include "base/os.h"

#include <dirent.h>
#include <stdio.h>
#include <unistd.h>

enum { PATH_BYTES = 4096 };

enum err index_dir_host(const char *folder, char *host, struct errtext *et)
{
	char path[PATH_BYTES];
	struct buf b = {0};
	struct id id;
	enum err e = os_mkdirs(folder, et);
	snprintf(path, sizeof path, "%s/host", folder);
	if (!e && (os_read_file(path, 64, &b, NULL) || !id_parse(str_trim(buf_str(&b)), &id))) {
		id = id_new();
		id_hex(id, host);
		e = os_write_atomic(path, str_c(host), et);
	} else if (!e) {
		id_hex(id, host);
	}
	buf_free(&b);
	return e;
}

void index_dir_keep(const char *folder, const char *const *tokens, size_t n)
{
	char path[PATH_BYTES];
	DIR *d = opendir(folder);
	const struct dirent *f;
	while (d && (f = readdir(d))) {
		struct str name = str_c(f->d_name);
		bool keep = f->d_name[0] == '.' || str_eq_c(name, "host");
		for (size_t i = 0; i < n && !keep; i++)
			keep = tokens[i][0] && str_starts(name, str_c(tokens[i]));
		if (keep)
			continue;
		snprintf(path, sizeof path, "%s/%s", folder, f->d_name);
		unlink(path);
	}
	if (d)
		closedir(d);
}
