/* Cron expressions, and files of the tz database. The first byte chooses. What is accepted has a next time that is later, a whole minute, and the same however it is come upon. */
#include "model/cron.h"

#include <stdlib.h>

#define BEGIN_MS INT64_C(1700000000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
	if (!holds)
		abort();
}

static void expression(struct str text)
{
	struct err e = ERR_INIT;
	struct cron c;

	if (cron_parse(&c, text, &e) != 0) {
		require(e.code == ERR_INVALID_VALUE && e.detail[0] != '\0');
		return;
	}
	require(c.minutes != 0 && c.hours != 0 && c.days != 0 && c.months != 0 && c.weekdays != 0);
	int64_t next = cron_next(&c, &ZONE_UTC, BEGIN_MS);
	require(next > BEGIN_MS && next != CRON_NEVER && next % 60000 == 0);
	require(cron_next(&c, &ZONE_UTC, next - 1) == next && cron_next(&c, &ZONE_UTC, next) > next);
}

static void zone(struct str file)
{
	struct arena a = ARENA_INIT;
	struct err e = ERR_INIT;
	struct cron c;
	struct zone z;

	if (zone_parse(&z, file, &a, &e) == 0) {
		for (size_t i = 1; i < z.n; i++)
			require(z.changes[i].at > z.changes[i - 1].at && z.changes[i].offset != z.changes[i - 1].offset);
		require(cron_parse(&c, STR("30 2 * * *"), NULL) == 0);
		require(cron_next(&c, &z, BEGIN_MS) > BEGIN_MS);
	} else {
		require(e.code == ERR_INVALID_VALUE);
	}
	arena_release(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	const struct str rest = {(const char *)data + 1, size - 1};
	if (data[0] % 2 == 0)
		expression(rest);
	else
		zone(rest);
	return 0;
}
