#include "api/page_view.h"
#include "api/assets.h"
#include "base/clock.h"
#include "front/page.h"

#include <stdio.h>
#include <string.h>

/* What the job came to: the digest of a digest job, the detail of an error. */
static struct str outcome(const struct job *job)
{
	char name[32];

	if (job->error != 0)
		return job->error_detail.len > 0 ? job->error_detail : str_of(err_info(job->error)->title);
	if (job->op.len < sizeof(name)) {
		memcpy(name, job->op.p, job->op.len);
		name[job->op.len] = '\0';
		struct str text = front_result_text(job, name);
		if (text.p != NULL)
			return text;
	}
	return job->result.p != NULL ? job->result : STR("");
}

static void add_job(struct buf *b, const struct job *job)
{
	char id[UUID_TEXT_LEN + 1];

	uuid_format(id, job->id);
	const struct page_slot slots[] = {{"id", str_of(id), false},
					  {"op", job->op, false},
					  {"state", str_of(job_state_name(job->state)), false},
					  {"result", outcome(job), false}};
	page_fill(b, asset_text("fragments/job.html"), slots, ARRAY_LEN(slots));
}

static void add_file(struct buf *b, const struct file *f)
{
	CLEANUP(buf_release) struct buf jobs = BUF_INIT;
	char id[UUID_TEXT_LEN + 1], created[TIME_TEXT_LEN + 1], sha256[65], size[40], number[24];

	for (size_t i = 0; i < f->n_jobs; i++)
		add_job(&jobs, &f->jobs[i]);
	uuid_format(id, f->id);
	time_format(created, f->created_at);
	hex_encode(sha256, f->sha256, sizeof(f->sha256));
	snprintf(size, sizeof(size), "%llu %s", (unsigned long long)f->size, f->size == 1 ? "byte" : "bytes");
	snprintf(number, sizeof(number), "%lld", (long long)f->number);
	const struct page_slot slots[] = {
		{"id", str_of(id), false},         {"name", f->name, false},
		{"number", str_of(number), false}, {"size", str_of(size), false},
		{"type", f->type, false},          {"created_at", str_of(created), false},
		{"sha256", str_of(sha256), false}, {"final", front_jobs_final(f) ? STR("true") : STR("false"), false},
		{"jobs", buf_str(&jobs), true},
	};
	page_fill(b, asset_text("fragments/file.html"), slots, ARRAY_LEN(slots));
}

static void add_problem(struct buf *b, const struct err *e)
{
	const struct err_info *info = err_info(e->code);
	const struct page_slot slots[] = {
		{"code", str_of(info->name), false}, {"title", str_of(info->title), false}, {"detail", str_of(e->detail), false}};

	page_fill(b, asset_text("fragments/problem.html"), slots, ARRAY_LEN(slots));
}

void page_view(struct buf *b, const struct file *f, const struct err *e)
{
	CLEANUP(buf_release) struct buf result = BUF_INIT;
	char id[UUID_TEXT_LEN + 1], refresh[128] = "";

	if (f != NULL) {
		add_file(&result, f);
		uuid_format(id, f->id);
		if (!front_jobs_final(f))
			snprintf(refresh, sizeof(refresh), "<meta http-equiv=\"refresh\" content=\"2; url=/?id=%s\">", id);
	}
	if (e != NULL)
		add_problem(&result, e);
	const struct page_slot slots[] = {{"result", buf_str(&result), true}, {"refresh", str_of(refresh), true}};
	page_fill(b, asset_text("/index.html"), slots, ARRAY_LEN(slots));
}
