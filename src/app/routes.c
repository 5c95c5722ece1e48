#include "app/routes.h"
#include "api/api.h"
#include "surfaces/surface.h"

#include <assert.h>

static int unknown_surface(const char *word, struct err *e)
{
	const char *names[ROUTE_TABLES_MAX];
	size_t n;
	const struct surface *const *all = surface_all(&n);

	for (size_t i = 0; i < n; i++)
		names[i] = all[i]->name;
	names[n] = "all";
	const char *near = nearest_name(str_of(word), names, n + 1);
	return err_set(
		e, ERR_BAD_CONFIG,
		"server.surfaces: there is no surface \"%.60s\"%s%s; there are md5-calc, hash-tasks, instashare, storage-sync, image-stages and all",
		word, near != NULL ? ", perhaps " : "", near != NULL ? near : "");
}

/* Bit i stands for surface i. */
static int choose_surfaces(unsigned *ret, const struct config_list *surfaces, struct err *e)
{
	unsigned chosen = 0;
	size_t n;
	const struct surface *const *all = surface_all(&n);

	for (size_t i = 0; i < surfaces->n; i++) {
		struct str name = str_of(surfaces->items[i]);
		unsigned bits = str_eq(name, STR("all")) ? (1u << n) - 1 : 0;
		for (size_t k = 0; k < n; k++)
			if (all[k] == surface_find(name))
				bits |= 1u << k;
		if (bits == 0)
			return unknown_surface(surfaces->items[i], e);
		chosen |= bits;
	}
	*ret = chosen;
	return 0;
}

int routes_choose(struct routes *ret, const struct config_list *surfaces, struct err *e)
{
	unsigned chosen = 0, served = 0;
	size_t n, at = 0;
	const struct surface *const *all = surface_all(&n);
	const struct http_route *root = api_page_routes;
	int rc = choose_surfaces(&chosen, surfaces, e);

	if (rc != 0)
		return rc;
	*ret = (struct routes){};
	ret->tables[at++] = api_file_routes;
	ret->tables[at++] = api_import_routes;
	ret->tables[at++] = api_job_routes;
	ret->tables[at++] = api_link_routes;
	ret->tables[at++] = api_link_use_routes;
	ret->tables[at++] = api_event_routes;
	ret->tables[at++] = api_webhook_routes;
	ret->tables[at++] = api_delivery_routes;
	ret->tables[at++] = api_people_routes;
	ret->tables[at++] = api_key_routes;
	ret->tables[at++] = api_system_routes;
	ret->tables[at++] = api_admin_watch_routes;
	ret->tables[at++] = api_admin_file_routes;
	ret->tables[at++] = api_admin_job_routes;
	ret->tables[at++] = api_admin_people_routes;
	ret->tables[at++] = api_asset_routes;
	for (size_t i = 0; i < n; i++) {
		if (!(chosen & 1u << i))
			continue;
		ret->tables[at++] = all[i]->routes;
		root = all[i]->root != NULL ? all[i]->root : api_page_routes;
		ret->hash_tasks |= all[i] == &surface_hash_tasks;
		ret->storage_sync |= all[i] == &surface_storage_sync;
		served++;
	}
	ret->tables[at++] = served == 1 ? root : api_page_routes;
	assert(at < ROUTE_TABLES_MAX);
	return 0;
}
