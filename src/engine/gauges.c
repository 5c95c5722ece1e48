/* Metrics that nothing updates by itself: asked for now and then, so that who reads the page costs nothing. */
#include "engine/engine_impl.h"
#include "rt/log.h"
#include "rt/metrics.h"

#include <stdio.h>
#include <time.h>

#define LOOK_EVERY_MS 5000

int64_t engine_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static unsigned priority_place(unsigned priority)
{
	char text[4];
	int n = snprintf(text, sizeof(text), "%u", priority);

	return metric_place(METRIC_PRIORITY, (struct str){text, (size_t)n});
}

void gauges_upload(enum upload_stage stage, int64_t since_us)
{
	static const struct str words[UPLOAD_STAGES] = {
		[UPLOAD_RECEIVE] = {"receive", 7}, [UPLOAD_STORE] = {"store", 5}, [UPLOAD_COMMIT] = {"commit", 6}};

	metric_by_observe_us(METRIC_UPLOAD_STAGE_SECONDS, metric_place(METRIC_STAGE, words[stage]), engine_us() - since_us);
}

void gauges_jobs_added(const struct job *jobs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		metric_add(jobs[i].state == JOB_QUEUED ? METRIC_JOBS_QUEUED : jobs[i].cached ? METRIC_JOBS_KNOWN : METRIC_JOBS_FUSED, 1);
}

void gauges_init(struct engine *g)
{
	metric_set(METRIC_START_TIME, engine_now(g) / 1000);
	metric_set(METRIC_DISK_RESERVE, (int64_t)g->config.free_reserve);
	/* What counts from 0 is there from the start: a counter that appears with its first count shows no increase. */
	for (unsigned p = 0; p <= PRIORITY_MAX; p++)
		(void)priority_place(p);
	size_t n;
	const struct op *ops = op_table_all(g->config.ops, &n);
	for (size_t i = 0; i < n; i++)
		(void)metric_place(METRIC_OP, str_of(ops[i].name));
}

static int64_t waited_s(int64_t now, int64_t since)
{
	return since != 0 && now > since ? (now - since) / 1000 : 0;
}

void gauges_look(struct engine *g, int64_t mono)
{
	struct catalog_depth d;
	struct err e = ERR_INIT;
	int64_t now = engine_now(g);

	if (g->gauges.looked_at != 0 && mono - g->gauges.looked_at < LOOK_EVERY_MS)
		return;
	g->gauges.looked_at = mono;
	if (catalog_depth(g->catalog, now, &d, &e) != 0) {
		log_err(LOG_WARN, "depth_unreadable", &e);
		return;
	}
	metric_set(METRIC_JOBS_WAITING, (int64_t)d.waiting);
	metric_set(METRIC_CATALOG_LOG, (int64_t)d.log_bytes);
	metric_set(METRIC_JOBS_OLDEST, waited_s(now, d.oldest_at));
	for (unsigned p = 0; p <= PRIORITY_MAX; p++) {
		unsigned place = priority_place(p);
		metric_by_set(METRIC_READY, place, d.at[p].ready);
		metric_by_set(METRIC_OLDEST_READY, place, waited_s(now, d.at[p].oldest_at));
	}
}
