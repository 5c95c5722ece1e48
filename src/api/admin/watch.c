/* /v1/admin: the queue by op and state, workers, what the storage check knows, the audit log. */
#include "api/api.h"
#include "base/json_out.h"
#include "front/hop.h"
#include "front/list.h"
#include "rt/json_in.h"

#include <string.h>

#define ENDED_LOOKED_AT 10000 /* of the newest jobs that ended, for the queue */
#define WORKERS_TOLD 200
#define DAMAGED_TOLD 200

static void put_id(struct json_out *j, const char *key, struct uuid id)
{
	char text[UUID_TEXT_LEN + 1];

	uuid_format(text, id);
	json_kcstr(j, key, text);
}

/* ---- GET /v1/admin/queue ---- */

static void write_row(struct json_out *j, const struct queue_row *q)
{
	json_obj_open(j);
	json_kstr(j, "op", q->op);
	for (int s = 0; s < JOB_STATES; s++)
		json_ku64(j, job_state_name((enum job_state)s), q->at[s]);
	json_ku64(j, "ready", q->ready);
	json_ku64(j, "held", q->held);
	json_obj_close(j);
}

static void answer_queue(struct http_request *r)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	struct json_out j = json_out(&b);
	struct err e = ERR_INIT;
	struct queue_row *list = NULL;
	uint64_t ended = 0;
	size_t n = 0;
	int rc = catalog_queue(front_catalog(r), front_now(r), ENDED_LOOKED_AT, http_arena(r), &list, &n, &ended, &e);

	if (rc != 0) {
		front_problem(r, rc, &e);
		return;
	}
	json_obj_open(&j);
	json_key(&j, "ops");
	json_arr_open(&j);
	for (size_t i = 0; i < n; i++)
		write_row(&j, &list[i]);
	json_arr_close(&j);
	json_ku64(&j, "ended_among", ended);
	json_obj_close(&j);
	http_reply_json(r, 200, &b);
}

static void end_queue(struct http_request *r)
{
	front_block(r, answer_queue);
}

/* ---- GET /v1/admin/workers ---- */

static void put_labels(struct json_out *j, struct str labels)
{
	json_key(j, "labels");
	json_arr_open(j);
	while (labels.len > 0) {
		struct str word = str_split(labels, ' ', &labels);
		if (word.len > 0)
			json_str(j, word);
	}
	json_arr_close(j);
}

static void put_worker(struct json_out *j, const struct worker_row *w, int64_t now)
{
	bool alive = w->expires_at > now;

	put_id(j, "id", w->id);
	json_kstr(j, "host", w->host);
	put_labels(j, w->labels);
	json_kcstr(j, "state", !alive ? "lost" : w->draining ? "draining" : "working");
	json_ktime(j, "since", w->since);
	json_ktime(j, "beat_at", w->beat_at);
	json_ktime(j, "lease_until", w->expires_at);
	json_kbool(j, "alive", alive);
	json_ku64(j, "running", w->running);
}

static void answer_workers(struct http_request *r)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	struct json_out j = json_out(&b);
	struct err e = ERR_INIT;
	struct worker_row *list = NULL;
	int64_t now = front_now(r);
	size_t n = 0;
	int rc = catalog_workers(front_catalog(r), WORKERS_TOLD, http_arena(r), &list, &n, &e);

	if (rc != 0) {
		front_problem(r, rc, &e);
		return;
	}
	json_obj_open(&j);
	json_key(&j, "workers");
	json_arr_open(&j);
	for (size_t i = 0; i < n; i++) {
		json_obj_open(&j);
		put_worker(&j, &list[i], now);
		json_obj_close(&j);
	}
	json_arr_close(&j);
	json_obj_close(&j);
	http_reply_json(r, 200, &b);
}

static void end_workers(struct http_request *r)
{
	front_block(r, answer_workers);
}

/* ---- GET /v1/admin/storage ---- */

struct storage {
	struct scrub_position scrub;
	uint64_t damaged;
	struct damaged_row *rows;
	size_t n;
};

static int read_storage(struct http_request *r, struct storage *ret, struct err *e)
{
	struct catalog *c = front_catalog(r);
	int rc = catalog_scrub_position(c, &ret->scrub, e);

	if (rc == 0)
		rc = catalog_damaged_count(c, &ret->damaged, e);
	if (rc == 0)
		rc = catalog_damaged(c, DAMAGED_TOLD, http_arena(r), &ret->rows, &ret->n, e);
	return rc;
}

static void write_damaged(struct json_out *j, const struct damaged_row *d)
{
	json_obj_open(j);
	put_id(j, d->output ? "job" : "file", d->id);
	if (d->output)
		json_ku64(j, "output", d->n);
	json_kstr(j, "owner", d->owner);
	json_kstr(j, "name", d->name);
	json_ku64(j, "size", d->size);
	json_ktime(j, "damaged_at", d->damaged_at);
	json_obj_close(j);
}

static void write_scrub(struct json_out *j, const struct scrub_position *s)
{
	json_key(j, "scrub");
	json_obj_open(j);
	json_ktime(j, "began_at", s->began_at);
	json_kbool(j, "whole", s->whole);
	json_kcstr(j, "at", s->at.kind == STORED_FILE ? "files" : "outputs");
	json_ku64(j, "number", (uint64_t)s->at.number);
	json_obj_close(j);
}

static void answer_storage(struct http_request *r)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	struct json_out j = json_out(&b);
	struct err e = ERR_INIT;
	struct storage s = {};
	int rc = read_storage(r, &s, &e);

	if (rc != 0) {
		front_problem(r, rc, &e);
		return;
	}
	json_obj_open(&j);
	json_kbool(&j, "sealed", engine_takes_writes(front_engine(r), &e) != 0);
	write_scrub(&j, &s.scrub);
	json_ku64(&j, "damaged_count", s.damaged);
	json_key(&j, "damaged");
	json_arr_open(&j);
	for (size_t i = 0; i < s.n; i++)
		write_damaged(&j, &s.rows[i]);
	json_arr_close(&j);
	json_obj_close(&j);
	http_reply_json(r, 200, &b);
}

static void end_storage(struct http_request *r)
{
	front_block(r, answer_storage);
}

/* ---- GET /v1/admin/audit ---- */

static const char *const audit_filters[] = {"act"};

static int read_act(struct http_request *r, struct str *ret, struct err *e)
{
	*ret = http_query(r, "act");
	if (ret->p == NULL)
		return 0;
	for (int i = 0; i < AUDIT_ACTS; i++)
		if (str_eq(*ret, str_of(audit_act_word((enum audit_act)i))))
			return 0;
	err_set(e, ERR_BAD_PARAMETER, "the audit log knows no such act");
	return err_field(e, "act");
}

/* A line is put into the answer as it stands, if it is JSON: its hash says that it is what was written, not that nobody else wrote it. */
static bool is_object(struct str line)
{
	json_t *v = json_loadb(line.p, line.len, JSON_REJECT_DUPLICATES, NULL);
	bool is = json_is_object(v);

	json_decref(v);
	return is;
}

static void reply_audit(struct http_request *r, struct buf *scope, struct audit_tail *t)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	struct json_out j = json_out(&b);

	json_obj_open(&j);
	json_kbool(&j, "kept", engine_has_audit(front_engine(r)));
	json_key(&j, "lines");
	json_arr_open(&j);
	for (size_t i = 0; i < t->n; i++) {
		if (is_object(t->lines[i]))
			json_raw(&j, t->lines[i]);
		else
			t->broken++;
	}
	json_arr_close(&j);
	json_ku64(&j, "broken", t->broken);
	list_write_next(&j, r, buf_str(scope), t->next);
	json_obj_close(&j);
	http_reply_json(r, 200, &b);
}

static void answer_audit(struct http_request *r)
{
	CLEANUP(buf_release) struct buf scope = BUF_INIT;
	struct audit_tail tail = {};
	struct err e = ERR_INIT;
	struct page page;
	struct str act;

	list_scope(&scope, r, "admin audit", audit_filters, ARRAY_LEN(audit_filters));
	int rc = read_act(r, &act, &e);
	if (rc == 0)
		rc = list_page(r, &scope, &page, &e);
	if (rc == 0)
		rc = engine_audit_tail(front_engine(r), page.before > 0 ? page.before : INT64_MAX, act, page.limit, http_arena(r), &tail,
				       &e);
	if (rc != 0)
		front_problem(r, rc, &e);
	else
		reply_audit(r, &scope, &tail);
}

static void end_audit(struct http_request *r)
{
	front_block(r, answer_audit);
}

static const struct http_handler get_queue = {.end = end_queue}, get_workers = {.end = end_workers}, get_storage = {.end = end_storage},
				 get_audit = {.end = end_audit};
static const char *const audit_query[] = {"act", "limit", "cursor", NULL};

const struct http_route api_admin_watch_routes[] = {
	{HTTP_GET, "/v1/admin/queue", &get_queue, HTTP_OPERATOR, "adminGetQueue", "The queue by op and state", NULL},
	{HTTP_GET, "/v1/admin/workers", &get_workers, HTTP_OPERATOR, "adminListWorkers", "Who runs jobs", NULL},
	{HTTP_GET, "/v1/admin/storage", &get_storage, HTTP_OPERATOR, "adminGetStorage", "What the storage check has found", NULL},
	{HTTP_GET, "/v1/admin/audit", &get_audit, HTTP_OPERATOR, "adminListAudit", "The audit log, newest lines first", audit_query},
	{},
};
