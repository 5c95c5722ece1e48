#include "api/page_view.h"
#include "api/assets.h"
#include "base/clock.h"
#include "front/page.h"

#include <stdio.h>
#include <string.h>

/* What the job came to: the digest of a digest job, the result of any other, the code of an error. */
static struct str outcome(const struct job *job)
{
	char name[32];

	if (job->error != 0)
		return str_of(err_info(job->error)->name);
	if (job->op.len < sizeof(name)) {
		memcpy(name, job->op.p, job->op.len);
		name[job->op.len] = '\0';
		struct str text = front_result_text(job, name);
		if (text.p != NULL)
			return text;
	}
	return job->result.p != NULL ? job->result : STR("");
}

static void format_size(char *dst, size_t n, uint64_t size)
{
	snprintf(dst, n, "%llu %s", (unsigned long long)size, size == 1 ? "byte" : "bytes");
}

/* Images that browsers draw. */
static bool is_shown(struct str type)
{
	static const char *const types[] = {"image/avif", "image/gif", "image/jpeg", "image/png", "image/webp"};

	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (str_eq(type, str_of(types[i])))
			return true;
	return false;
}

static void add_output(struct buf *b, const char *job_id, size_t n, const struct output *o)
{
	CLEANUP(buf_release) struct buf image = BUF_INIT;
	char place[24], size[40], about[TYPE_MAX_BYTES + 48];

	snprintf(place, sizeof(place), "%zu", n);
	format_size(size, sizeof(size), o->size);
	snprintf(about, sizeof(about), "%.*s, %s", STR_FMT(o->type), size);
	const struct page_slot of_image[] = {{"job", str_of(job_id), false}, {"n", str_of(place), false}, {"name", o->name, false}};
	if (is_shown(o->type))
		page_fill(&image, asset_text("fragments/image.html"), of_image, ARRAY_LEN(of_image));
	const struct page_slot slots[] = {{"job", str_of(job_id), false},
					  {"n", str_of(place), false},
					  {"name", o->name, false},
					  {"about", str_of(about), false},
					  {"image", buf_str(&image), true}};
	page_fill(b, asset_text("fragments/output.html"), slots, ARRAY_LEN(slots));
}

static void add_progress(struct buf *b, const struct job *job)
{
	char share[16], percent[16];

	if (job->state != JOB_RUNNING || job->progress <= 0)
		return;
	snprintf(share, sizeof(share), "%d.%03d", job->progress / PROGRESS_WHOLE, job->progress % PROGRESS_WHOLE);
	snprintf(percent, sizeof(percent), "%d%%", (job->progress + 5) / 10);
	const struct page_slot slots[] = {{"share", str_of(share), false}, {"percent", str_of(percent), false}};
	page_fill(b, asset_text("fragments/progress.html"), slots, ARRAY_LEN(slots));
}

static void add_job(struct buf *b, const struct job *job)
{
	CLEANUP(buf_release) struct buf outputs = BUF_INIT, progress = BUF_INIT;
	char id[UUID_TEXT_LEN + 1];

	uuid_format(id, job->id);
	add_progress(&progress, job);
	for (size_t i = 0; i < job->n_outputs; i++)
		add_output(&outputs, id, i, &job->outputs[i]);
	const struct page_slot slots[] = {{"id", str_of(id), false},
					  {"op", job->op, false},
					  {"state", str_of(job_state_name(job->state)), false},
					  {"progress", buf_str(&progress), true},
					  {"result", outcome(job), false},
					  {"why", job->error != 0 ? job->error_detail : STR(""), false},
					  {"outputs", buf_str(&outputs), true}};
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
	format_size(size, sizeof(size), f->size);
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
