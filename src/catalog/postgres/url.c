/* Connection strings. libpq's own words about a wrong one quote from it, and where the parts were cut wrongly a password is among them: so no words of libpq are used here, and what it would
 * quote when it connects is looked at before. */
#include "catalog/postgres/pg.h"

#include <string.h>

static int refuse(const char *why, struct err *e)
{
	return err_set(e, ERR_BAD_CONFIG, "it is no connection string of PostgreSQL: %s", why);
}

/* Several hosts have a list of ports. */
static bool is_ports(const char *text)
{
	return text[strspn(text, "0123456789,")] == '\0';
}

static int check_part(const PQconninfoOption *o, bool url, struct err *e)
{
	if (o->val == NULL)
		return 0;
	if (strcmp(o->keyword, "port") == 0 && !is_ports(o->val))
		return refuse("a port is a number, and in a URL a / or : of a password is written %2F or %3A", e);
	if (url && (strcmp(o->keyword, "host") == 0 || strcmp(o->keyword, "dbname") == 0) && strchr(o->val, '@') != NULL)
		return refuse("in a URL an @ of a password is written %40", e);
	return 0;
}

int catalog_postgres_check(const char *conninfo, struct err *e)
{
	bool url = strncmp(conninfo, "postgres://", 11) == 0 || strncmp(conninfo, "postgresql://", 13) == 0;
	char *said = NULL;
	int rc = 0;

	if (!url && strchr(conninfo, '=') == NULL)
		return refuse("it begins with postgres://, or has words such as host=... dbname=...", e);
	PQconninfoOption *parts = PQconninfoParse(conninfo, &said);
	if (said != NULL)
		explicit_bzero(said, strlen(said));
	PQfreemem(said);
	if (parts == NULL)
		return refuse(
			url ? "as a URL it reads postgres://user:password@host:port/database?word=value, with % before what is special"
			    : "words are name=value, with single quotes about what has spaces",
			e);
	for (const PQconninfoOption *o = parts; rc == 0 && o->keyword != NULL; o++)
		rc = check_part(o, url, e);
	PQconninfoFree(parts);
	return rc;
}
