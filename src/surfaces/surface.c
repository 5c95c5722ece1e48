#include "surfaces/surface.h"
#include "base/compiler.h"

const struct surface *const *surface_all(size_t *ret_n)
{
	static const struct surface *const all[] = {&surface_md5_calc, &surface_hash_tasks, &surface_instashare, &surface_storage_sync,
						    &surface_image_stages};

	*ret_n = ARRAY_LEN(all);
	return all;
}

const struct surface *surface_find(struct str name)
{
	size_t n;
	const struct surface *const *all = surface_all(&n);

	for (size_t i = 0; i < n; i++)
		if (str_eq(name, str_of(all[i]->name)))
			return all[i];
	return NULL;
}
