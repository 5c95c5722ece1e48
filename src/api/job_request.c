#include "api/job_request.h"
#include "api/json_body.h"

#include <stdio.h>

static int read_op(const struct op_table *t, const struct json_place *p, struct arena *a, struct op_request *ret, struct err *e)
{
	struct str op = {}, params = {};
	int rc;

	if ((rc = json_member_str(p, "op", true, &op, e)) != 0 || (rc = json_member_object(p, "params", a, &params, e)) != 0)
		return rc;
	rc = op_table_request_from_json(t, ret, op, params, a, e);
	if (rc == 0)
		return 0;
	if (e->field[0] == '\0')
		err_field(e, rc == ERR_UNKNOWN_OP ? "op" : "params");
	return json_place_err(p, e);
}

static int read_job(struct http_request *r, const struct json_place *p, struct uuid file, struct job *ret, struct err *e)
{
	int64_t priority = PRIORITY_DEFAULT, attempts = MAX_ATTEMPTS_DEFAULT, run_at = -1;
	struct op_request op;
	int rc;

	if ((rc = read_op(engine_ops(front_engine(r)), p, http_arena(r), &op, e)) != 0 ||
	    (rc = json_member_int(p, "priority", 0, PRIORITY_MAX, &priority, e)) != 0 ||
	    (rc = json_member_int(p, "max_attempts", 1, MAX_ATTEMPTS_MAX, &attempts, e)) != 0 ||
	    (rc = json_member_time(p, "run_at", false, &run_at, e)) != 0)
		return rc;
	engine_new_job(front_engine(r), ret, file, &op);
	ret->priority = (uint32_t)priority;
	ret->max_attempts = (uint32_t)attempts;
	if (run_at > ret->run_at)
		ret->run_at = run_at;
	return 0;
}

static int start_change(struct http_request *r, size_t n, struct change_add_jobs *ret, struct err *e)
{
	struct job *jobs = arena_alloc(http_arena(r), n * sizeof(*jobs));

	if (jobs == NULL)
		return err_set(e, ERR_NO_MEMORY, "no memory for jobs");
	*ret = (struct change_add_jobs){.owner = front_owner(r), .jobs = jobs, .n = n};
	return 0;
}

int job_request_one(struct http_request *r, json_t *body, struct uuid file, struct change_add_jobs *ret, struct err *e)
{
	static const char *const members[] = {"op", "params", "priority", "run_at", "max_attempts", NULL};
	struct json_place p = {body, ""};
	int rc;

	if ((rc = json_members_only(&p, members, e)) != 0 || (rc = start_change(r, 1, ret, e)) != 0)
		return rc;
	return read_job(r, &p, file, &ret->jobs[0], e);
}

static int read_element(struct http_request *r, json_t *element, size_t index, struct job *ret, struct err *e)
{
	static const char *const members[] = {"file", "op", "params", "priority", "run_at", "max_attempts", NULL};
	char where[32];
	struct json_place p = {element, where};
	struct uuid file;
	int rc;

	snprintf(where, sizeof(where), "jobs/%zu/", index);
	if ((rc = json_members_only(&p, members, e)) != 0 || (rc = json_member_id(&p, "file", &file, e)) != 0)
		return rc;
	return read_job(r, &p, file, ret, e);
}

int job_request_many(struct http_request *r, json_t *body, struct change_add_jobs *ret, struct err *e)
{
	static const char *const members[] = {"jobs", NULL};
	struct json_place p = {body, ""};
	json_t *jobs = json_object_get(body, "jobs");
	int rc = json_members_only(&p, members, e);

	if (rc != 0)
		return rc;
	size_t n = json_array_size(jobs);
	if (!json_is_array(jobs) || n == 0 || n > JOBS_A_REQUEST_MAX) {
		err_set(e, jobs == NULL ? ERR_MISSING_VALUE : ERR_INVALID_VALUE, "jobs must be a list of 1 to %d jobs", JOBS_A_REQUEST_MAX);
		err_limit(e, JOBS_A_REQUEST_MAX);
		return err_field(e, "jobs");
	}
	rc = start_change(r, n, ret, e);
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = read_element(r, json_array_get(jobs, i), i, &ret->jobs[i], e);
	return rc;
}
