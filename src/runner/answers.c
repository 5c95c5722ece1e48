/* What a child says, taken apart with suspicion: every length against what is there, every serial against what was asked, every text against its form. */
#include "base/utf8.h"
#include "rt/json_in.h"
#include "runner/sealed_impl.h"

#include <stdio.h>
#include <string.h>

static int misbehaved(struct err *e, const char *what)
{
	return err_set(e, ERR_RUNNER_MISBEHAVED, "the process of the op %s", what);
}

/* One JSON object; parsed and thrown away. */
static int check_result(struct str text, struct err *e)
{
	json_t *object;

	int r = json_read(&object, text, e);
	if (r < 0)
		return r == ERR_NO_MEMORY ? r : misbehaved(e, "sent a result that is not JSON");
	bool ok = json_is_object(object);
	json_decref(object);
	return ok ? 0 : misbehaved(e, "sent a result that is not a JSON object");
}

/* Keeps what is text: bytes that are no UTF-8 and control characters become '?'. */
static void clean_detail(char *dst, size_t size, struct str s)
{
	const unsigned char *p = (const unsigned char *)s.p, *end = p + s.len;
	size_t at = 0;

	while (p < end) {
		size_t n = utf8_step(p, end);
		bool control = n == 0 || (n == 1 && (*p < 0x20 || *p == 0x7f)) || (n == 2 && p[0] == 0xc2 && p[1] < 0xa0);
		size_t take = n > 0 ? n : 1;

		if (at + take >= size)
			break;
		if (control)
			dst[at++] = '?';
		else
			memcpy(dst + at, p, take);
		at += control ? 0 : take;
		p += take;
	}
	dst[at] = '\0';
}

static void take_detail(struct runner_job *job, int code, struct str detail)
{
	char text[RUNNER_DETAIL_MAX + 1];

	clean_detail(text, sizeof(text), detail);
	err_set(&job->err, code, "%s", text[0] ? text : err_info(code)->title);
}

/* Only what is consistent with itself and with what was asked changes a job. */
static int take_answer(struct drive *d, const struct runner_answer *a, struct str result, struct str detail, struct err *e)
{
	struct runner_job *job = &d->jobs[d->answered];
	int r;

	if (a->serial != d->serial + d->answered)
		return misbehaved(e, "answered what was not asked");
	if (!message_code_allowed(a->code))
		return misbehaved(e, "gave a code that no job ends with");
	if (d->output < 0 && a->output_size != 0)
		return misbehaved(e, "claims an output that was not asked for");
	if (a->code == 0 || result.len > 0) {
		if ((r = check_result(result, e)) < 0)
			return r;
	}
	buf_reset(&job->result);
	buf_add_str(&job->result, result);
	if (!buf_ok(&job->result))
		return err_set(e, ERR_NO_MEMORY, "no memory for the result");
	if (a->code != 0)
		take_detail(job, a->code, detail);
	d->output_said = a->output_size;
	runner_job_end(job, a->code);
	d->answered++;
	return 0;
}

static int take_refusal(struct drive *d, const char *message, size_t len, struct err *e)
{
	if (len != sizeof(d->child->refusal))
		return misbehaved(e, "sent half a refusal");
	memcpy(&d->child->refusal, message, sizeof(d->child->refusal));
	d->child->refused = true;
	return blame_refusal(&d->child->refusal, e);
}

int answers_take(struct drive *d, const char *message, size_t len, struct err *e)
{
	uint32_t magic = 0;
	size_t at = 0;

	if (len >= sizeof(magic))
		memcpy(&magic, message, sizeof(magic));
	if (magic == RUNNER_REFUSED)
		return take_refusal(d, message, len, e);
	while (at < len) {
		struct runner_answer a;
		int r;

		if (d->answered == d->n)
			return misbehaved(e, "answered more than it was asked");
		if (len - at < sizeof(a))
			return misbehaved(e, "sent half an answer");
		memcpy(&a, message + at, sizeof(a));
		at += sizeof(a);
		if (a.magic != RUNNER_MAGIC)
			return misbehaved(e, "sent what is no answer");
		if (a.result_len > RUNNER_RESULT_MAX || a.detail_len > RUNNER_DETAIL_MAX || (size_t)a.result_len + a.detail_len > len - at)
			return misbehaved(e, "sent an answer of a wrong length");
		struct str result = {message + at, a.result_len}, detail = {message + at + a.result_len, a.detail_len};
		if ((r = take_answer(d, &a, result, detail, e)) < 0)
			return r;
		at += (size_t)a.result_len + a.detail_len;
	}
	return 0;
}
