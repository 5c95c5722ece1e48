#include "app/fsck_report.h"
#include "base/json_out.h"

static void put(struct fsck_report *r)
{
	if (buf_ok(&r->line))
		fwrite(r->line.p, 1, r->line.len, r->out);
	buf_reset(&r->line);
}

void report_begin(struct fsck_report *r, FILE *out, bool json)
{
	*r = (struct fsck_report){.out = out, .json = json};
	if (json)
		fputs("{\"findings\":[", out);
}

/* Ids and details are ASCII but for the names of foreign things. */
static struct str plain(struct buf *b, struct str text)
{
	for (size_t i = 0; i < text.len; i++)
		buf_add_char(b, text.p[i] < ' ' || text.p[i] > '~' ? '?' : text.p[i]);
	return buf_ok(b) && b->len > 0 ? buf_str(b) : STR("?");
}

void report_finding(struct fsck_report *r, enum finding f, struct str id, struct str detail, const char *done)
{
	CLEANUP(buf_release) struct buf id_text = BUF_INIT, detail_text = BUF_INIT;

	id = plain(&id_text, id);
	detail = plain(&detail_text, detail);
	if (r->json) {
		struct json_out j = json_out(&r->line);

		if (r->findings > 0)
			buf_add_char(&r->line, ',');
		json_obj_open(&j);
		json_kcstr(&j, "code", finding_word(f));
		json_kstr(&j, "id", id);
		json_kstr(&j, "detail", detail);
		json_kcstr(&j, "done", done);
		json_obj_close(&j);
	} else {
		buf_addf(&r->line, "%s %.*s: %.*s", finding_word(f), STR_FMT(id), STR_FMT(detail));
		if (done)
			buf_addf(&r->line, " (%s)", done);
		buf_add_char(&r->line, '\n');
	}
	put(r);
	r->findings++;
	r->repaired += done != NULL;
}

static void end_json(struct fsck_report *r, bool complete)
{
	fprintf(r->out,
		"],\"ok\":%s,\"complete\":%s,\"found\":%llu,\"repaired\":%llu,\"files\":%llu,\"outputs\":%llu,\"blobs\":%llu,\"doomed\":%llu,"
		"\"bytes_read\":%llu}\n",
		r->findings == 0 && complete ? "true" : "false", complete ? "true" : "false", (unsigned long long)r->findings,
		(unsigned long long)r->repaired, (unsigned long long)r->files, (unsigned long long)r->outputs, (unsigned long long)r->blobs,
		(unsigned long long)r->doomed, (unsigned long long)r->bytes_read);
}

static void end_text(struct fsck_report *r, bool complete)
{
	fprintf(r->out,
		"%s: %llu files, %llu outputs, %llu blobs, %llu to be removed by the server, %llu bytes read; %llu findings, %llu repaired\n",
		!complete          ? "not complete"
		: r->findings == 0 ? "clean"
				   : "not clean",
		(unsigned long long)r->files, (unsigned long long)r->outputs, (unsigned long long)r->blobs, (unsigned long long)r->doomed,
		(unsigned long long)r->bytes_read, (unsigned long long)r->findings, (unsigned long long)r->repaired);
}

bool report_end(struct fsck_report *r, bool complete)
{
	(r->json ? end_json : end_text)(r, complete);
	return fflush(r->out) == 0 && !ferror(r->out);
}

void report_release(struct fsck_report *r)
{
	buf_release(&r->line);
}
