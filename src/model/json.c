/* The JSON forms of API.md. */
#include "model/model.h"

#include <stdio.h>
#include <string.h>

static void write_id(struct json_out *j, const char *key, struct uuid id)
{
	char text[UUID_TEXT_LEN + 1];

	uuid_format(text, id);
	json_kstr(j, key, (struct str){text, UUID_TEXT_LEN});
}

static void write_raw(struct json_out *j, const char *key, struct str json)
{
	json_key(j, key);
	if (json.p)
		json_raw(j, json);
	else
		json_put_null(j);
}

static void write_error(struct json_out *j, const struct job *job)
{
	json_key(j, "error");
	if (job->error == 0) {
		json_put_null(j);
		return;
	}
	json_obj_open(j);
	json_kcstr(j, "code", err_info(job->error)->name);
	json_kstr(j, "detail", job->error_detail);
	json_obj_close(j);
}

static void write_outputs(struct json_out *j, const struct job *job, const char *root)
{
	char id[UUID_TEXT_LEN + 1], sha256[2 * sizeof(job->outputs->sha256) + 1], href[64 + UUID_TEXT_LEN];

	uuid_format(id, job->id);
	json_key(j, "outputs");
	json_arr_open(j);
	for (size_t n = 0; n < job->n_outputs; n++) {
		const struct output *o = &job->outputs[n];

		hex_encode(sha256, o->sha256, sizeof(o->sha256));
		snprintf(href, sizeof(href), "%s/jobs/%s/outputs/%zu", root, id, n);
		json_obj_open(j);
		json_kstr(j, "name", o->name);
		json_kstr(j, "type", o->type);
		json_ku64(j, "size", o->size);
		json_kcstr(j, "sha256", sha256);
		json_kcstr(j, "href", href);
		if (o->damaged_at)
			json_ktime(j, "damaged_at", o->damaged_at);
		json_obj_close(j);
	}
	json_arr_close(j);
}

/* A share, as a number from 0 to 1. */
static void write_progress(struct json_out *j, const struct job *job)
{
	char text[16];

	json_key(j, "progress");
	if (job->state != JOB_RUNNING || job->progress <= 0 || job->progress > PROGRESS_WHOLE) {
		json_put_null(j);
		return;
	}
	int n = snprintf(text, sizeof(text), job->progress == PROGRESS_WHOLE ? "1" : "0.%03d", job->progress);
	json_raw(j, (struct str){text, (size_t)n});
}

#define ROOT "/v1"
#define ADMIN_ROOT "/v1/admin"

static void write_job(struct json_out *j, const struct job *job, const char *root)
{
	json_obj_open(j);
	write_id(j, "id", job->id);
	json_ku64(j, "number", (uint64_t)job->number);
	write_id(j, "file", job->file);
	if (uuid_is_zero(job->after)) {
		json_key(j, "after");
		json_put_null(j);
	} else {
		write_id(j, "after", job->after);
	}
	if (job->owner.p && strcmp(root, ROOT) != 0)
		json_kstr(j, "owner", job->owner);
	json_kstr(j, "op", job->op);
	write_raw(j, "params", job->params);
	json_kcstr(j, "state", job_state_name(job->state));
	json_ku64(j, "priority", job->priority);
	json_ku64(j, "attempt", job->attempt);
	json_ku64(j, "max_attempts", job->max_attempts);
	json_ktime(j, "run_at", job->run_at == RUN_AT_HELD ? 0 : job->run_at); /* nobody knows when yet */
	json_ktime(j, "created_at", job->created_at);
	json_ktime(j, "started_at", job->started_at);
	json_ktime(j, "finished_at", job->finished_at);
	if (job->expires_at)
		json_ktime(j, "expires_at", job->expires_at);
	write_progress(j, job);
	write_raw(j, "result", job->result);
	write_error(j, job);
	write_outputs(j, job, root);
	if (job->cached)
		json_kbool(j, "cached", true);
	json_obj_close(j);
}

void job_write_json(struct json_out *j, const struct job *job)
{
	write_job(j, job, ROOT);
}

void job_write_admin_json(struct json_out *j, const struct job *job)
{
	write_job(j, job, ADMIN_ROOT);
}

void job_write_progress_json(struct json_out *j, const struct job *job)
{
	json_obj_open(j);
	write_id(j, "id", job->id);
	write_id(j, "file", job->file);
	json_kstr(j, "op", job->op);
	json_kcstr(j, "state", job_state_name(job->state));
	write_progress(j, job);
	json_obj_close(j);
}

static void write_file(struct json_out *j, const struct file *f, const char *root)
{
	char sha256[2 * sizeof(f->sha256) + 1];

	hex_encode(sha256, f->sha256, sizeof(f->sha256));
	json_obj_open(j);
	write_id(j, "id", f->id);
	json_ku64(j, "number", (uint64_t)f->number);
	json_kstr(j, "name", f->name);
	if (f->location == LOCATION_COMING) {
		write_raw(j, "size", (struct str){});
		write_raw(j, "type", (struct str){});
		write_raw(j, "sha256", (struct str){});
	} else {
		json_ku64(j, "size", f->size);
		json_kstr(j, "type", f->type);
		json_kstr(j, "sha256", (struct str){sha256, sizeof(sha256) - 1});
	}
	write_raw(j, "labels", f->labels);
	json_kstr(j, "owner", f->owner);
	json_ktime(j, "created_at", f->created_at);
	json_ktime(j, "expires_at", f->expires_at);
	if (f->damaged_at)
		json_ktime(j, "damaged_at", f->damaged_at);
	json_key(j, "jobs");
	json_arr_open(j);
	for (size_t i = 0; i < f->n_jobs; i++)
		write_job(j, &f->jobs[i], root);
	json_arr_close(j);
	json_obj_close(j);
}

void file_write_json(struct json_out *j, const struct file *f)
{
	write_file(j, f, ROOT);
}

void file_write_admin_json(struct json_out *j, const struct file *f)
{
	write_file(j, f, ADMIN_ROOT);
}
