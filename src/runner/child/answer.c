#include "runner/child/child.h"

#include <errno.h>

void answer_add(struct buf *message, uint64_t serial, int code, uint64_t output_size, struct str result, struct str detail)
{
	struct runner_answer a = {.magic = RUNNER_MAGIC, .code = code, .serial = serial, .output_size = output_size};

	if (code == ERR_NO_MEMORY)
		a.code = ERR_LIMIT_MEMORY; /* inside the seal memory ends at the job's limit */
	if (!message_code_allowed(a.code))
		a.code = ERR_OP_FAILED;
	if (result.len > RUNNER_RESULT_MAX) {
		a.code = ERR_OP_FAILED;
		detail = STR("the result is larger than allowed");
		result.len = 0;
	}
	if (a.code == ERR_OK)
		detail.len = 0;
	detail.len = utf8_prefix(detail, RUNNER_DETAIL_MAX);
	a.result_len = (uint32_t)result.len;
	a.detail_len = (uint32_t)detail.len;
	buf_add(message, &a, sizeof(a));
	buf_add_str(message, result);
	buf_add_str(message, detail);
}

int answer_send(int channel, uint64_t serial, int code, uint64_t output_size, struct str result, struct str detail)
{
	struct buf message = BUF_INIT;
	int r = -1;

	answer_add(&message, serial, code, output_size, result, detail);
	if (buf_ok(&message))
		r = message_send(channel, message.p, message.len, NULL, 0);
	else
		errno = ENOMEM;
	buf_release(&message);
	return r;
}
