#include "api/page_view.h"
#include "base/clock.h"
#include "front/page.h"

#include <stdio.h>
#include <string.h>

static void row(struct buf *b, const char *name, struct str value)
{
	buf_add_cstr(b, "<tr><th scope=\"row\">");
	page_text(b, str_of(name));
	buf_add_cstr(b, "</th><td>");
	page_text(b, value);
	buf_add_cstr(b, "</td></tr>\n");
}

static void job_row(struct buf *b, const struct job *job)
{
	char name[32];
	struct str result = {};

	if (job->op.len < sizeof(name)) {
		memcpy(name, job->op.p, job->op.len);
		name[job->op.len] = '\0';
		result = front_result_text(job, name);
	}
	if (result.p == NULL)
		result = job->result;
	buf_add_cstr(b, "<tr><th scope=\"row\">");
	page_text(b, job->op);
	buf_add_cstr(b, "</th><td>");
	page_text(b, str_of(job_state_name(job->state)));
	buf_add_cstr(b, "</td><td><code>");
	if (job->error != 0)
		page_text(b, job->error_detail.len > 0 ? job->error_detail : str_of(err_info(job->error)->title));
	else
		page_text(b, result);
	buf_add_cstr(b, "</code></td></tr>\n");
}

void page_view_file(struct buf *b, const struct file *f)
{
	char id[UUID_TEXT_LEN + 1], created[TIME_TEXT_LEN + 1], sha256[65], size[32];

	uuid_format(id, f->id);
	time_format(created, f->created_at);
	hex_encode(sha256, f->sha256, sizeof(f->sha256));
	snprintf(size, sizeof(size), "%llu bytes", (unsigned long long)f->size);
	buf_add_cstr(b, "<section class=\"file\"><h2>");
	page_text(b, f->name);
	buf_addf(b, "</h2>\n<p>The id of this file is <a href=\"/?id=%s\"><code id=\"file-id\">%s</code></a>.</p>\n<table>\n", id, id);
	row(b, "Size", str_of(size));
	row(b, "Type", f->type);
	row(b, "SHA-256", str_of(sha256));
	row(b, "Stored", str_of(created));
	buf_add_cstr(b, "</table>\n<table class=\"jobs\"><thead><tr><th scope=\"col\">Job</th><th scope=\"col\">State</th>"
			"<th scope=\"col\">Result</th></tr></thead><tbody>\n");
	for (size_t i = 0; i < f->n_jobs; i++)
		job_row(b, &f->jobs[i]);
	buf_add_cstr(b, "</tbody></table>\n");
	if (!front_jobs_final(f))
		buf_addf(b, "<p>Not all jobs have ended yet. <a href=\"/?id=%s\">Look again</a></p>\n", id);
	buf_addf(b, "<p><a href=\"/v1/files/%s/content\">Download</a> <a href=\"/v1/files/%s\">JSON</a></p></section>\n", id, id);
}

void page_view_error(struct buf *b, const struct err *e)
{
	buf_add_cstr(b, "<p class=\"error\" role=\"alert\">");
	page_text(b, str_of(err_info(e->code)->title));
	if (e->detail[0] != '\0') {
		buf_add_cstr(b, ": ");
		page_text(b, str_of(e->detail));
	}
	buf_add_cstr(b, "</p>\n");
}
