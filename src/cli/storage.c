#include "cli/storage.h"
#include "cli/settings.h"

#include <stdio.h>
#include <string.h>

/* The administrator named the place, so it may be anywhere; no other policy is as wide. */
static void allow_all(struct target_policy *p, bool http)
{
	*p = (struct target_policy){.http = http, .allow_n = 2, .allow = {{.family = AF_INET}, {.family = AF_INET6}}};
}

/* `scheme://host[:port]` in one spelling, which is the one that requests are signed with. */
static int read_endpoint(struct engine_s3 *s3, const char *option, const char *text, struct arena *a, struct err *e)
{
	struct err why = ERR_INIT;
	struct target_policy any;
	struct target t;
	char line[TARGET_HOST_MAX + 32];

	allow_all(&any, true);
	int rc = target_parse(&t, str_of(text), &any, &why);
	if (rc != 0)
		return err_set(e, ERR_BAD_CONFIG, "%s: %.160s", option, why.detail);
	if (t.rest.len > 1 || (t.rest.len == 1 && t.rest.p[0] != '/'))
		return err_set(e, ERR_BAD_CONFIG, "%s: an endpoint is scheme://host or scheme://host:port, without a path", option);
	snprintf(line, sizeof(line), t.literal == AF_INET6 ? "%s://[%s]" : "%s://%s", t.tls ? "https" : "http", t.host);
	if (t.port != (t.tls ? 443 : 80))
		snprintf(line + strlen(line), sizeof(line) - strlen(line), ":%u", (unsigned)t.port);
	allow_all(&s3->targets, !t.tls);
	struct str kept = arena_str(a, (struct str){line, strlen(line) + 1});
	s3->endpoint = kept.p;
	return kept.p != NULL ? 0 : err_set(e, ERR_NO_MEMORY, "no memory for settings");
}

/* As S3 names its regions' endpoints when none is given. */
static int read_place(struct engine_s3 *s3, const char *option, const char *endpoint, struct arena *a, struct err *e)
{
	char usual[128];

	if (s3->access_key[0] == '\0' || s3->secret_key[0] == '\0')
		return err_set(e, ERR_BAD_CONFIG, "%s: the access key and the secret key are needed too", option);
	if (endpoint[0] != '\0')
		return read_endpoint(s3, option, endpoint, a, e);
	snprintf(usual, sizeof(usual), "https://s3.%.60s.amazonaws.com", s3->region);
	return read_endpoint(s3, option, usual, a, e);
}

int storage_read(struct settings *s, struct arena *a, struct err *e)
{
	int rc = 0;

	if (s->s3_access_key[0] != '\0' || s->s3_endpoint[0] != '\0') {
		s->s3[0] = (struct engine_s3){.name = "",
					      .region = s->s3_region,
					      .access_key = s->s3_access_key,
					      .secret_key = s->s3_secret_key,
					      .bucket = s->s3_bucket,
					      .virtual_host = s->s3_virtual_host};
		s->n_s3 = 1;
		rc = read_place(&s->s3[0], "imports.s3_endpoint", s->s3_endpoint, a, e);
	}
	return rc;
}
