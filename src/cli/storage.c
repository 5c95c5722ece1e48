#include "cli/storage.h"
#include "blobs/s3/s3.h"
#include "cli/limits.h"
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
	if (s3->virtual_host && t.literal)
		return err_set(e, ERR_BAD_CONFIG,
			       "%s: an address cannot have a bucket in front of it: name a host, or have the bucket in the path", option);
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

/* "50/m" is "50/1m". */
static int read_sync_rate(struct settings *s, struct err *e)
{
	struct str window, count = str_split(str_of(s->storage_sync_rate_text), '/', &window);
	char text[64];

	bool one = window.len > 0 && (window.p[0] < '0' || window.p[0] > '9');
	snprintf(text, sizeof(text), "%.*s%s%s%.20s", (int)(count.len < 20 ? count.len : 20), count.p, window.p != NULL ? "/" : "",
		 one ? "1" : "", window.p != NULL ? window.p : "");
	int rc = limits_read_rate(&s->storage_sync_rate, str_of(text), e);
	return rc == 0 ? 0 : err_wrap(e, "surfaces.storage_sync.rate");
}

static bool is_served(const struct settings *s, struct str name)
{
	for (size_t i = 0; i < s->surfaces.n; i++)
		if (str_eq(str_of(s->surfaces.items[i]), name))
			return true;
	return false;
}

/* With `all` it is served also when it was not set up, and refuses everybody. */
static int check_sync(const struct settings *s, struct err *e)
{
	if (!is_served(s, STR("storage-sync")))
		return 0;
	if (s->storage_sync_secret[0] == '\0')
		return err_set(e, ERR_BAD_CONFIG, "surfaces.storage_sync.secret: storage-sync needs the secret that its clients sign with");
	if (s->storage_sync_source[0] == '\0')
		return err_set(e, ERR_BAD_CONFIG,
			       "surfaces.storage_sync.source: storage-sync needs a bucket to fetch from, such as s3://bucket");
	if (s->imports_at_once == 0)
		return err_set(e, ERR_BAD_CONFIG, "imports.at_once: storage-sync fetches nothing while this is 0");
	return 0;
}

static int read_sync(struct settings *s, struct arena *a, struct err *e)
{
	struct str prefix = STR("s3://"), source = str_of(s->storage_sync_source);
	int rc = read_sync_rate(s, e);

	s->storage_sync_bucket = "";
	if (rc == 0)
		rc = check_sync(s, e);
	if (rc != 0 || source.len == 0)
		return rc;
	s->storage_sync_bucket = source.p + (str_starts(source, prefix) ? prefix.len : source.len);
	if (!engine_bucket_allowed(str_of(s->storage_sync_bucket)))
		return err_set(e, ERR_BAD_CONFIG, "surfaces.storage_sync.source: \"%.80s\" is no bucket such as s3://bucket", source.p);
	struct engine_s3 *s3 = &s->s3[s->n_s3++];
	*s3 = (struct engine_s3){.name = STORAGE_SYNC_SOURCE,
				 .region = s->storage_sync_region,
				 .access_key = s->storage_sync_access_key,
				 .secret_key = s->storage_sync_secret_key,
				 .bucket = s->storage_sync_bucket,
				 .virtual_host = s->storage_sync_virtual_host,
				 .attempts = 4, /* as the original: the first, and three more */
				 .pause_min_ms = 3000,
				 .pause_max_ms = 60000};
	return read_place(s3, "surfaces.storage_sync.endpoint", s->storage_sync_endpoint, a, e);
}

static int check_own(const struct settings *s, struct err *e)
{
	const bool any = s->storage_endpoint[0] != '\0' || s->storage_access_key[0] != '\0' || s->storage_secret_key[0] != '\0' ||
			 s->storage_prefix[0] != '\0';
	struct s3_options o;

	if (s->storage_bucket[0] == '\0')
		return any ? err_set(e, ERR_BAD_CONFIG, "storage.s3_bucket: the bucket is needed too") : 0;
	storage_s3_options(&o, s);
	int rc = s3_options_check(&o, e);
	return rc == 0 ? 0 : err_wrap(e, "storage.s3_bucket and what belongs to it");
}

/* Amazon's endpoint of the region, when none is given. */
static int read_own(struct settings *s, struct arena *a, struct err *e)
{
	char usual[128];

	if (s->storage_bucket[0] != '\0' && s->storage_endpoint[0] == '\0') {
		if (s->storage_region[0] == '\0')
			return err_set(e, ERR_BAD_CONFIG,
				       "storage.s3_endpoint: the endpoint is needed, or Amazon's region in storage.s3_region");
		snprintf(usual, sizeof(usual), "https://s3.%.60s.amazonaws.com", s->storage_region);
		s->storage_endpoint = arena_strndup(a, usual, strlen(usual));
		if (s->storage_endpoint == NULL)
			return err_set(e, ERR_NO_MEMORY, "no memory for settings");
	}
	return check_own(s, e);
}

void storage_s3_options(struct s3_options *ret, const struct settings *s)
{
	*ret = (struct s3_options){.endpoint = s->storage_endpoint,
				   .region = s->storage_region,
				   .bucket = s->storage_bucket,
				   .prefix = s->storage_prefix,
				   .access_key = s->storage_access_key,
				   .secret_key = s->storage_secret_key,
				   .style = (enum s3_style)s->storage_virtual_host,
				   .ca_file = s->net_ca_file,
				   .part_bytes = s->storage_part_size,
				   .memory_max = s->storage_memory,
				   .patience_ms = s->storage_patience_ms,
				   .stale_ms = s->storage_abandoned_ms,
				   .spool_fd = -1};
}

int storage_read(struct settings *s, struct arena *a, struct err *e)
{
	int rc = read_own(s, a, e);

	if (rc != 0)
		return rc;
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
	return rc == 0 ? read_sync(s, a, e) : rc;
}
