#include "app/catalogue.h"
#include "catalog/catalog.h"
#include "catalog/snapshot.h"
#include "cli/settings.h"
#include "rt/log.h"

bool catalogue_is_shared(const struct settings *s)
{
	return s->catalog_url[0] != '\0';
}

static void tell(struct str state, struct str text)
{
	log_event(LOG_WARN, "postgres_notice", LF_STR("state", state), LF_STR("detail", text));
}

int catalogue_open(struct catalog **ret, const struct settings *s, const struct catalog_options *options, struct err *e)
{
	if (!catalogue_is_shared(s))
		return catalog_sqlite_open(ret, s->data_dir, options, e);
	struct catalog_options shared = *options;
	shared.notice = tell;
	int rc = catalog_postgres_new(ret, s->catalog_url, &shared, e);
	return rc == 0 ? 0 : err_wrap(e, "catalog.url");
}

int catalogue_read(struct catalog **ret, const struct settings *s, struct err *e)
{
	const struct catalog_options options = {.keep_schema = true};

	return catalogue_is_shared(s) ? catalogue_open(ret, s, &options, e) : catalog_sqlite_read(ret, s->data_dir, e);
}

int catalogue_audit_head(const struct settings *s, struct audit_head *ret, struct err *e)
{
	const struct catalog_options options = {.keep_schema = true};
	struct catalog *c = NULL;

	if (!catalogue_is_shared(s))
		return catalog_sqlite_audit_head(s->data_dir, ret, e);
	int rc = catalogue_open(&c, s, &options, e);
	if (rc == 0)
		rc = catalog_audit_head(c, ret, e);
	catalog_free(c);
	return rc;
}

int catalogue_look(const struct settings *s, struct catalog_look *ret, struct err *e)
{
	if (!catalogue_is_shared(s))
		return catalog_sqlite_look(s->data_dir, ret, e);
	int rc = catalog_postgres_look(s->catalog_url, ret, e);
	return rc == 0 ? 0 : err_wrap(e, "catalog.url");
}

int catalogue_need_embedded(const struct settings *s, struct err *e)
{
	if (!catalogue_is_shared(s))
		return 0;
	return err_set(
		e, ERR_BAD_CONFIG,
		"a restore makes a data directory with its catalogue in it, and catalog.url is set: restore without it, and then filemill "
		"move carries what was restored to PostgreSQL; see docs/operations.md");
}
