#include "app/migrate.h"
#include "app/catalogue.h"
#include "app/data_dir.h"
#include "catalog/catalog.h"

static int bring_forward(const struct settings *s, struct err *e)
{
	const struct catalog_options options = {};
	struct catalog *c = NULL;
	int rc = catalogue_open(&c, s, &options, e);

	catalog_free(c);
	return rc;
}

/* An embedded catalogue is one process's alone; on PostgreSQL those who open it wait for each other. */
static int bring_forward_alone(const struct settings *s, struct err *e)
{
	const struct data_dir_options options = {.allow_network_fs = s->allow_network_fs};
	struct data_dir d = DATA_DIR_INIT;

	if (catalogue_is_shared(s))
		return bring_forward(s, e);
	int rc = data_dir_open_complete(&d, s->data_dir, &options, e);
	if (rc == 0)
		rc = bring_forward(s, e);
	data_dir_close(&d);
	return rc == 0 ? 0 : err_wrap(e, "data directory %.100s", s->data_dir);
}

int migrate(struct buf *out, const struct settings *s, bool check, bool *ret_current, struct err *e)
{
	struct catalog_look look;
	int rc = catalogue_look(s, &look, e);

	if (rc != 0)
		return catalogue_is_shared(s) ? rc : err_wrap(e, "data directory %.100s", s->data_dir);
	bool current = look.schema >= look.latest; /* a newer one only where this program may go on beside it */
	if (!current && !check && (rc = bring_forward_alone(s, e)) != 0)
		return rc;
	buf_addf(out, "%s: ", look.server);
	if (look.schema > look.latest)
		buf_addf(out, "schema %lld, beside which this program may go on; its own is %lld\n", (long long)look.schema,
			 (long long)look.latest);
	else if (current)
		buf_addf(out, "schema %lld, as this program works on it\n", (long long)look.schema);
	else if (look.schema == 0)
		buf_addf(out, check ? "no catalogue yet; this program makes one of schema %lld\n" : "a catalogue of schema %lld was made\n",
			 (long long)look.latest);
	else
		buf_addf(out, check ? "schema %lld; this program works on %lld\n" : "schema brought from %lld to %lld\n",
			 (long long)look.schema, (long long)look.latest);
	*ret_current = current || !check;
	return 0;
}
