#include "api/job_request.h"
#include "front/json_body.h"

#include <stdio.h>

/* The jobs of one request while it is being read. */
struct batch {
	struct http_request *r;
	struct job *jobs;
	size_t *element; /* which element of the request's list asked for the job */
	size_t n, size;
};

static const struct op_table *table_of(const struct batch *b)
{
	return engine_ops(front_engine(b->r));
}

static int refuse(const struct json_place *p, const char *name, const char *detail, struct err *e)
{
	err_set(e, ERR_INVALID_VALUE, "%s", detail);
	err_field(e, name);
	return json_place_err(p, e);
}

/* ---- what an element asks for: an op, or the ops of a pipeline ---- */

static int read_op(const struct batch *b, const struct json_place *p, struct op_request *ret, struct err *e)
{
	struct arena *a = http_arena(b->r);
	struct str op = {}, params = {};
	int rc;

	if ((rc = json_member_str(p, "op", true, &op, e)) != 0 || (rc = json_member_object(p, "params", a, &params, e)) != 0)
		return rc;
	rc = op_table_request_from_json(table_of(b), ret, op, params, a, e);
	if (rc == 0)
		return 0;
	if (e->field[0] == '\0')
		err_field(e, rc == ERR_UNKNOWN_OP ? "op" : "params");
	return json_place_err(p, e);
}

static int read_pipeline(const struct batch *b, const struct json_place *p, const struct op_request **ret, size_t *ret_n, struct err *e)
{
	static const char *const not_with_it[] = {"op", "params", "after"};
	struct str name = {};
	int rc = json_member_str(p, "pipeline", true, &name, e);

	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(not_with_it); i++)
		if (json_object_get(p->object, not_with_it[i]) != NULL)
			rc = refuse(p, not_with_it[i], "a pipeline brings its ops and their parameters with it", e);
	if (rc != 0)
		return rc;
	rc = op_table_pipeline(table_of(b), name, ret, ret_n, e);
	if (rc == 0)
		return 0;
	err_field(e, "pipeline");
	return json_place_err(p, e);
}

/* ---- after ---- */

/* The one job that came of this element; NULL when there are several or it is not further up. */
static const struct job *job_of_element(const struct batch *b, json_int_t element)
{
	const struct job *found = NULL;

	for (size_t i = 0; i < b->n; i++) {
		if ((json_int_t)b->element[i] != element)
			continue;
		if (found != NULL)
			return NULL;
		found = &b->jobs[i];
	}
	return found;
}

static int after_element(const struct batch *b, const struct json_place *p, json_int_t element, struct job *job, struct err *e)
{
	const struct job *before = job_of_element(b, element);

	if (before == NULL)
		return refuse(p, "after",
			      "after must be a job's id, or the place of an element further up in the list that asks for one op, from 0",
			      e);
	if (!uuid_eq(before->file, job->file))
		return refuse(p, "after", "a job comes after one of the same file", e);
	if (!op_table_find(table_of(b), before->op)->output)
		return refuse(p, "after", "the op of that job makes no file to work on", e);
	job->after = before->id;
	return 0;
}

static int read_after(const struct batch *b, const struct json_place *p, struct job *job, struct err *e)
{
	json_t *after = json_object_get(p->object, "after");

	if (after == NULL)
		return 0;
	if (json_object_get(p->object, "run_at") != NULL)
		return refuse(p, "run_at", "a job that comes after another runs when that one has succeeded", e);
	if (json_is_integer(after))
		return after_element(b, p, json_integer_value(after), job, e);
	return json_member_id(p, "after", &job->after, e);
}

/* ---- one element ---- */

struct common { /* members that every form has */
	int64_t priority, run_at;
	int64_t attempts; /* 0 = as the op says */
};

static int read_common(const struct json_place *p, struct common *ret, struct err *e)
{
	int rc;

	*ret = (struct common){.priority = PRIORITY_DEFAULT, .run_at = -1};
	if ((rc = json_member_int(p, "priority", 0, PRIORITY_MAX, &ret->priority, e)) != 0 ||
	    (rc = json_member_int(p, "max_attempts", 1, MAX_ATTEMPTS_MAX, &ret->attempts, e)) != 0)
		return rc;
	return json_member_time(p, "run_at", false, &ret->run_at, e);
}

static void apply_common(struct job *ret, const struct common *c)
{
	ret->priority = (uint32_t)c->priority;
	if (c->attempts > 0)
		ret->max_attempts = (uint32_t)c->attempts;
	if (c->run_at > ret->run_at)
		ret->run_at = c->run_at;
}

static int too_many(struct err *e)
{
	err_set(e, ERR_INVALID_VALUE, "one request asks for %d jobs at most", JOBS_A_REQUEST_MAX);
	err_limit(e, JOBS_A_REQUEST_MAX);
	return err_field(e, "jobs");
}

static int add_element(struct batch *b, const struct json_place *p, size_t element, struct uuid file, struct err *e)
{
	const struct op_request *ops;
	struct op_request one;
	struct common common;
	size_t n = 1;
	bool pipeline = json_object_get(p->object, "pipeline") != NULL;
	int rc = pipeline ? read_pipeline(b, p, &ops, &n, e) : read_op(b, p, &one, e);

	if (rc == 0)
		rc = read_common(p, &common, e);
	if (rc == 0 && n > b->size - b->n)
		rc = too_many(e);
	if (rc != 0)
		return rc;
	if (!pipeline)
		ops = &one;
	engine_new_jobs(front_engine(b->r), &b->jobs[b->n], file, ops, n);
	for (size_t i = 0; i < n; i++) {
		apply_common(&b->jobs[b->n + i], &common);
		b->element[b->n + i] = element;
	}
	if (!pipeline && (rc = read_after(b, p, &b->jobs[b->n], e)) != 0)
		return rc;
	b->n += n;
	return 0;
}

static int start_batch(struct batch *ret, struct http_request *r, size_t size, struct err *e)
{
	*ret = (struct batch){.r = r, .size = size};
	ret->jobs = arena_alloc(http_arena(r), size * sizeof(*ret->jobs));
	ret->element = arena_alloc(http_arena(r), size * sizeof(*ret->element));
	return ret->jobs != NULL && ret->element != NULL ? 0 : err_set(e, ERR_NO_MEMORY, "no memory for jobs");
}

static void end_batch(const struct batch *b, struct change_add_jobs *ret)
{
	*ret = (struct change_add_jobs){.owner = front_owner(b->r), .jobs = b->jobs, .n = b->n};
}

/* ---- requests ---- */

int job_request_one(struct http_request *r, json_t *body, struct uuid file, struct change_add_jobs *ret, bool *ret_pipeline, struct err *e)
{
	static const char *const members[] = {"op", "params", "after", "pipeline", "priority", "run_at", "max_attempts", NULL};
	struct json_place p = {body, ""};
	struct batch b;
	int rc;

	*ret_pipeline = json_object_get(body, "pipeline") != NULL;
	if ((rc = json_members_only(&p, members, e)) != 0 || (rc = start_batch(&b, r, *ret_pipeline ? OPS_MAX : 1, e)) != 0 ||
	    (rc = add_element(&b, &p, 0, file, e)) != 0)
		return rc;
	end_batch(&b, ret);
	return 0;
}

static int read_element(struct batch *b, json_t *element, size_t index, struct err *e)
{
	static const char *const members[] = {"file", "op", "params", "after", "pipeline", "priority", "run_at", "max_attempts", NULL};
	char where[32];
	struct json_place p = {element, where};
	struct uuid file;
	int rc;

	snprintf(where, sizeof(where), "jobs/%zu/", index);
	if ((rc = json_members_only(&p, members, e)) != 0 || (rc = json_member_id(&p, "file", &file, e)) != 0)
		return rc;
	return add_element(b, &p, index, file, e);
}

/* Room for all that the elements may come to, within the limit. */
static size_t room_for(json_t *jobs)
{
	size_t index, n = 0;
	json_t *element;

	json_array_foreach(jobs, index, element)
		n += json_object_get(element, "pipeline") != NULL ? OPS_MAX : 1;
	return n < JOBS_A_REQUEST_MAX ? n : JOBS_A_REQUEST_MAX;
}

int job_request_many(struct http_request *r, json_t *body, struct change_add_jobs *ret, const size_t **ret_element, struct err *e)
{
	static const char *const members[] = {"jobs", NULL};
	struct json_place p = {body, ""};
	json_t *jobs = json_object_get(body, "jobs");
	struct batch b;
	int rc = json_members_only(&p, members, e);

	if (rc != 0)
		return rc;
	size_t n = json_array_size(jobs);
	if (!json_is_array(jobs) || n == 0 || n > JOBS_A_REQUEST_MAX) {
		err_set(e, jobs == NULL ? ERR_MISSING_VALUE : ERR_INVALID_VALUE, "jobs must be a list of 1 to %d jobs", JOBS_A_REQUEST_MAX);
		err_limit(e, JOBS_A_REQUEST_MAX);
		return err_field(e, "jobs");
	}
	rc = start_batch(&b, r, room_for(jobs), e);
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = read_element(&b, json_array_get(jobs, i), i, e);
	if (rc != 0)
		return rc;
	end_batch(&b, ret);
	*ret_element = b.element;
	return 0;
}
