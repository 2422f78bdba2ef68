#include "app/assets.h"

const struct asset *asset_find(struct str path)
{
	for (size_t i = 0; i < n_assets; i++)
		if (str_eq_c(path, assets[i].path))
			return &assets[i];
	return NULL;
}

static bool route_fits(struct str route, struct str path)
{
	struct str want, have;
	for (;;) {
		bool more = str_next(&route, '/', &want);
		if (more != str_next(&path, '/', &have))
			return false;
		if (!more)
			return true;
		if (str_starts(want, S(":")) ? !have.n : !str_eq(want, have))
			return false;
	}
}

bool asset_is_view(struct str path)
{
	for (size_t i = 0; i < n_asset_routes; i++)
		if (route_fits(str_c(asset_routes[i]), path))
			return true;
	return false;
}
