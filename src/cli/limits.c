#include "cli/limits.h"
#include "cli/settings.h"
#include "http/fields.h"

#include <string.h>

#define LIST_MAX 256 /* entries of one list */
#define WINDOW_MAX_MS (24 * 3600 * INT64_C(1000))

int limits_read_rate(struct limiter_rate *ret, struct str text, struct err *e)
{
	struct str window, count = str_split(text, '/', &window);
	uint64_t quota;
	int64_t ms;

	if (str_eq(text, STR("off"))) {
		*ret = (struct limiter_rate){.quota = 0, .window_ms = 1};
		return 0;
	}
	if (window.p == NULL || !str_to_u64(count, &quota) || quota < 1 || quota > LIMITER_QUOTA_MAX ||
	    config_parse_duration(&ms, window, e) != 0 || ms < 1 || ms > WINDOW_MAX_MS)
		return err_set(e, ERR_BAD_CONFIG, "\"%.40s\" is neither off nor a number in a time of at most a day, such as 6000/1m",
			       text.p);
	*ret = (struct limiter_rate){.quota = (uint32_t)quota, .window_ms = ms};
	return 0;
}

static int read_ranges(const struct ip_range **ret, size_t *ret_n, const struct config_list *texts, struct arena *a, struct err *e)
{
	struct ip_range *ranges = arena_alloc(a, (texts->n + 1) * sizeof(*ranges));

	if (ranges == NULL)
		return err_set(e, ERR_NO_MEMORY, "no memory for settings");
	if (texts->n > LIST_MAX)
		return err_set(e, ERR_BAD_CONFIG, "more than %d ranges", LIST_MAX);
	for (size_t i = 0; i < texts->n; i++)
		if (ip_range_parse(&ranges[i], str_of(texts->items[i]), e) != 0)
			return e != NULL ? e->code : ERR_BAD_CONFIG;
	*ret = ranges;
	*ret_n = texts->n;
	return 0;
}

static int check_origins(const struct config_list *origins, struct err *e)
{
	if (origins->n > LIST_MAX)
		return err_set(e, ERR_BAD_CONFIG, "cors.origins: more than %d origins", LIST_MAX);
	for (size_t i = 0; i < origins->n; i++) {
		struct str one = str_of(origins->items[i]);
		if (!origin_written(one) && !(origins->n == 1 && str_eq(one, STR("*"))))
			return err_set(
				e, ERR_BAD_CONFIG,
				"cors.origins: \"%.60s\" is no origin such as https://app.example.org, in small letters and without a slash at "
				"the end; * stands alone",
				one.p);
	}
	return 0;
}

static int check_hosts(const struct config_list *hosts, struct err *e)
{
	if (hosts->n > LIST_MAX)
		return err_set(e, ERR_BAD_CONFIG, "http.hosts: more than %d names", LIST_MAX);
	for (size_t i = 0; i < hosts->n; i++) {
		const char *one = hosts->items[i];
		bool port = one[0] == '[' ? one[strlen(one) - 1] != ']' : strchr(one, ':') != NULL;
		if (one[0] == '\0' || port || strpbrk(one, "/@ *") != NULL)
			return err_set(e, ERR_BAD_CONFIG, "http.hosts: \"%.60s\" is no name such as files.example.org, without a port",
				       one);
	}
	return 0;
}

int limits_read(struct settings *s, struct arena *strings, struct err *e)
{
	const struct {
		const char *name, *text;
		struct limiter_rate *rate;
	} rates[] = {
		{"limits.address", s->limits_address_text, &s->limits_address},
		{"limits.account", s->limits_account_text, &s->limits_account},
		{"limits.key", s->limits_key_text, &s->limits_key},
		{"limits.pings", s->limits_pings_text, &s->limits_pings},
	};
	int rc = check_hosts(&s->http_hosts, e);

	if (rc == 0)
		rc = check_origins(&s->cors_origins, e);
	if (rc != 0)
		return rc;
	if (read_ranges(&s->http_proxies, &s->n_http_proxies, &s->http_proxy_texts, strings, e) != 0)
		return err_wrap(e, "http.trusted_proxies");
	if (read_ranges(&s->limits_exempt, &s->n_limits_exempt, &s->limits_exempt_texts, strings, e) != 0)
		return err_wrap(e, "limits.exempt");
	for (size_t i = 0; i < ARRAY_LEN(rates); i++)
		if (limits_read_rate(rates[i].rate, str_of(rates[i].text), e) != 0)
			return err_wrap(e, "%s", rates[i].name);
	return 0;
}
