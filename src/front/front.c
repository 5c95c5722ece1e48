#include "front/front.h"
#include "front/caller.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

void front_init(struct front *f, struct engine *engine, uint64_t file_max, const char *version)
{
	struct env *env = engine_env(engine);
	pthread_condattr_t attr;

	*f = (struct front){
		.engine = engine, .file_max = file_max, .version = version, .links_base_url = "", .started_ms = env->wall_ms(env)};
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&f->idle, &attr);
	pthread_condattr_destroy(&attr);
	pthread_mutex_init(&f->lock, NULL);
	nobody_init(&f->nobody);
}

void front_release(struct front *f)
{
	nobody_release(&f->nobody);
	pthread_cond_destroy(&f->idle);
	pthread_mutex_destroy(&f->lock);
}

void front_stop(struct front *f)
{
	atomic_store(&f->stopping, true);
}

bool front_wait_uploads(struct front *f, int64_t grace_ms)
{
	struct timespec until;
	bool idle;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += grace_ms / 1000;
	until.tv_nsec += grace_ms % 1000 * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&f->lock);
	while (!(idle = atomic_load(&f->uploads) == 0))
		if (pthread_cond_timedwait(&f->idle, &f->lock, &until) != 0)
			break;
	pthread_mutex_unlock(&f->lock);
	return idle;
}

void front_upload_begins(struct front *f)
{
	atomic_fetch_add(&f->uploads, 1);
}

void front_upload_ended(struct front *f)
{
	if (atomic_fetch_sub(&f->uploads, 1) != 1 || !atomic_load(&f->stopping))
		return;
	pthread_mutex_lock(&f->lock);
	pthread_cond_broadcast(&f->idle);
	pthread_mutex_unlock(&f->lock);
}

struct front *front_of(const struct http_request *r)
{
	return http_app(r);
}

struct engine *front_engine(const struct http_request *r)
{
	return front_of(r)->engine;
}

struct catalog *front_catalog(const struct http_request *r)
{
	return engine_catalog(front_of(r)->engine);
}

struct str front_owner(const struct http_request *r)
{
	return front_caller(r)->owner;
}

int64_t front_now(const struct http_request *r)
{
	struct env *env = engine_env(front_engine(r));

	return env->wall_ms(env);
}

int64_t front_stamp_us(const struct http_request *r)
{
	struct front *f = front_of(r);
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	int64_t now = (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000, last = atomic_load(&f->stamp_us), next;
	do
		next = now > last ? now : last + 1;
	while (!atomic_compare_exchange_weak(&f->stamp_us, &last, next));
	return next;
}

int front_id(struct http_request *r, struct uuid *ret, struct err *e)
{
	if (uuid_parse(ret, http_param(r, "id")))
		return 0;
	err_set(e, ERR_BAD_ID, "an id is a UUID of 36 characters in lower case");
	return err_field(e, "id");
}

struct audit_by front_by(const struct http_request *r)
{
	return (struct audit_by){.how = "request", .owner = front_owner(r), .peer = http_peer(r), .request_id = http_request_id(r)};
}

int front_takes_work(struct http_request *r, struct err *e)
{
	if (!atomic_load(&front_of(r)->stopping))
		return 0;
	return err_set(e, ERR_SHUTTING_DOWN, "the server is stopping and takes no new work");
}

/* Where nobody below knew better; 0 = nothing is said. */
static int usual_retry_after_s(int code)
{
	switch (code) {
	case ERR_IDEMPOTENCY_RUNNING:
	case ERR_RATE_LIMITED:
	case ERR_QUEUE_FULL:
	case ERR_OVERLOADED:
	case ERR_AGAIN:
	case ERR_NO_MEMORY:
		return 1;
	case ERR_SHUTTING_DOWN:
	case ERR_CATALOG_UNAVAILABLE:
	case ERR_STORAGE_UNAVAILABLE:
	case ERR_IO:
		return 5;
	case ERR_STORAGE_FULL:
	case ERR_STORAGE_READONLY:
	case ERR_STORAGE_SEALED:
	case ERR_MOVED:
		return 30;
	default:
		return 0;
	}
}

void front_say_when(struct http_request *r, const struct err *e)
{
	http_say_when(r, e->code, e->retry_after_s > 0 ? e->retry_after_s : usual_retry_after_s(e->code));
}

void front_problem(struct http_request *r, int code, struct err *e)
{
	if (e->code == 0)
		err_set(e, code != 0 ? code : ERR_INTERNAL, "%s", "");
	if (e->retry_after_s == 0)
		e->retry_after_s = usual_retry_after_s(e->code);
	http_reply_problem(r, e);
}

bool front_jobs_final(const struct file *f)
{
	for (size_t i = 0; i < f->n_jobs; i++)
		if (!job_state_final(f->jobs[i].state))
			return false;
	return true;
}

const struct job *front_job_of(const struct file *f, struct str op)
{
	const struct job *found = NULL;

	for (size_t i = f->n_jobs; i-- > 0;) {
		const struct job *job = &f->jobs[i];
		if (!str_eq(job->op, op))
			continue;
		if (job->state == JOB_SUCCEEDED)
			return job;
		if (found == NULL)
			found = job;
	}
	return found;
}

struct str front_result_text(const struct job *job, const char *name)
{
	size_t n = strlen(name);
	struct str s = job->result;

	/* digest results are written by digest_write_result(): one member, no blanks, no escapes */
	if (s.p == NULL || s.len < n + 7 || memcmp(s.p, "{\"", 2) != 0 || memcmp(s.p + 2, name, n) != 0 ||
	    memcmp(s.p + 2 + n, "\":\"", 3) != 0)
		return (struct str){};
	s.p += n + 5;
	s.len -= n + 5;
	const char *end = memchr(s.p, '"', s.len);
	return end == NULL ? (struct str){} : (struct str){s.p, (size_t)(end - s.p)};
}
