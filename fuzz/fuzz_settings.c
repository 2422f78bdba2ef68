/* croft.yaml from outside: any bytes give settings or an error. */
#include "module/module_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *no_env(const char *name)
{
	return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct settings s;
	struct errtext et;
	if (settings_load(&s, NULL, 0, str_mk(data, size), "croft.yaml", no_env, NULL, 0, &et))
		if (!utf8_valid(str_c(et.msg)) && utf8_valid(str_mk(data, size)))
			__builtin_trap();
	settings_release(&s);
	return 0;
}
