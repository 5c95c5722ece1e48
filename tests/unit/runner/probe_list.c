#include "probe.h"

static const struct probe_list *const all[] = {&probes_files,  &probes_net,     &probes_process, &probes_kernel,
					       &probes_limits, &probes_machine, &probes_controls};

size_t probe_lists(const struct probe_list *const **ret)
{
	*ret = all;
	return ARRAY_LEN(all);
}

const struct probe *probe_find(struct str name)
{
	for (size_t l = 0; l < ARRAY_LEN(all); l++) {
		for (size_t i = 0; i < all[l]->n; i++) {
			if (str_eq(str_of(all[l]->rows[i].name), name))
				return &all[l]->rows[i];
		}
	}
	return NULL;
}
