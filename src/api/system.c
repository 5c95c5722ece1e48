/* What the server tells of itself: ops, figures, health. */
#include "api/api.h"
#include "base/json_out.h"
#include "front/hop.h"
#include "rt/metrics.h"

/* ---- GET /v1/ops ---- */

/* All of them on one page, with the member that every list has. */
static void end_ops(struct http_request *r)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT;

	op_table_write_json(engine_ops(front_engine(r)), &b);
	if (buf_ok(&b) && b.len > 0)
		b.len--; /* the closing brace */
	buf_add_cstr(&b, ",\"next\":null}");
	http_reply_json(r, 200, &b);
}

static const struct http_handler get_ops = {.end = end_ops};

/* ---- GET /v1/stats ---- */

static void write_stats(struct buf *b, struct http_request *r, const struct catalog_stats *s, int64_t now)
{
	struct json_out j = json_out(b);

	json_obj_open(&j);
	json_kcstr(&j, "version", front_of(r)->version);
	json_ktime(&j, "started_at", front_of(r)->started_ms);
	json_ktime(&j, "now", now);
	json_key(&j, "files");
	json_obj_open(&j);
	json_ku64(&j, "count", s->files);
	json_ku64(&j, "bytes", s->file_bytes);
	json_obj_close(&j);
	json_key(&j, "jobs");
	json_obj_open(&j);
	json_ku64(&j, "queued", s->jobs_waiting);
	json_ku64(&j, "running", s->jobs_running);
	for (int state = 0; state < JOB_STATES; state++)
		if (job_state_final((enum job_state)state))
			json_ku64(&j, job_state_name((enum job_state)state), s->jobs_final[state]);
	json_ktime(&j, "oldest_queued_at", s->oldest_waiting_at);
	json_obj_close(&j);
	json_obj_close(&j);
}

static void answer_stats(struct http_request *r)
{
	int64_t now = front_now(r);
	struct catalog_stats s;
	struct err e = ERR_INIT;
	int rc = catalog_stats(front_catalog(r), now, &s, &e);

	if (rc != 0) {
		front_problem(r, rc, &e);
		return;
	}
	struct buf b = BUF_INIT;
	write_stats(&b, r, &s, now);
	http_reply_json(r, 200, &b);
	buf_release(&b);
}

static void end_stats(struct http_request *r)
{
	front_block(r, answer_stats);
}

static const struct http_handler get_stats = {.end = end_stats};

/* ---- health ---- */

static void reply_ok(struct http_request *r)
{
	static const char body[] = "{\"status\":\"ok\"}";

	http_set_header(r, "Cache-Control", "no-store");
	http_reply_static(r, 200, "application/json", body, sizeof(body) - 1);
}

static void answer_ready(struct http_request *r)
{
	struct err e = ERR_INIT;
	int rc = engine_ready(front_engine(r), &e);

	if (rc == 0) {
		reply_ok(r);
		return;
	}
	/* whatever the reason, what was asked is whether to send work here: 503 */
	if (err_info(rc)->http_status != 503) {
		struct err unready = ERR_INIT;
		err_set(&unready, ERR_OVERLOADED, "not ready: %s", err_info(rc)->name);
		e = unready;
	}
	front_problem(r, rc, &e);
}

static void end_ready(struct http_request *r)
{
	struct err e = ERR_INIT;
	int rc = front_takes_work(r, &e);

	if (rc != 0 || engine_stopping(front_engine(r)))
		front_problem(r, ERR_SHUTTING_DOWN, &e);
	else
		front_block(r, answer_ready);
}

static const struct http_handler get_health = {.end = reply_ok};
static const struct http_handler get_ready = {.end = end_ready};

/* ---- GET /metrics ---- */

static void end_metrics(struct http_request *r)
{
	struct buf b = BUF_INIT;

	metrics_write(&b);
	http_reply_buf(r, 200, "text/plain; version=0.0.4; charset=utf-8", &b);
	buf_release(&b);
}

static const struct http_handler get_metrics = {.end = end_metrics};

/* Of a node that only works. */
const struct http_route api_node_routes[] = {
	{HTTP_GET, "/healthz", &get_health, HTTP_ANYONE, "getHealth", "The process lives", NULL},
	{HTTP_GET, "/readyz", &get_ready, HTTP_ANYONE, "getReadiness", "Catalogue and store take a write", NULL},
	{HTTP_GET, "/metrics", &get_metrics, HTTP_WATCHER, "getMetrics", "Figures in the Prometheus text format", NULL},
	{},
};

const struct http_route api_system_routes[] = {
	{HTTP_GET, "/v1/ops", &get_ops, HTTP_ANYONE, "listOps", "Every op with the schema of its parameters", NULL},
	{HTTP_GET, "/v1/stats", &get_stats, HTTP_WATCHER, "getStats", "How many files and jobs there are", NULL},
	{HTTP_GET, "/healthz", &get_health, HTTP_ANYONE, "getHealth", "The process lives", NULL},
	{HTTP_GET, "/readyz", &get_ready, HTTP_ANYONE, "getReadiness", "Catalogue and store take a write", NULL},
	{HTTP_GET, "/metrics", &get_metrics, HTTP_WATCHER, "getMetrics", "Figures in the Prometheus text format", NULL},
	{},
};
