/* What an op sees of its job: input piece by piece or whole, checked on the way; output up to its limit; params; answers. */
#include "base/fd.h"
#include "ops/ops.h"
#include "runner/child/child.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define SKIP 5000u /* bytes of somebody else before ours: not a page boundary */

static struct sealed_job job_over(const char *bytes, size_t n)
{
	struct sealed_job j = {.input_fd = memfd_create("input", MFD_CLOEXEC), .output_fd = -1, .offset = SKIP, .size = n};
	CLEANUP(free_ptr) char *before = calloc(1, SKIP);
	struct digest_set *d;
	size_t size;

	assert_int_equal(fd_write_all(j.input_fd, before, SKIP), 0);
	assert_int_equal(fd_write_all(j.input_fd, bytes, n), 0);
	assert_int_equal(digest_set_new(&d, 1u << DIGEST_SHA256, NULL), 0);
	digest_set_update(d, bytes, n);
	assert_int_equal(digest_set_finish(d, NULL), 0);
	memcpy(j.sha256, digest_set_get(d, DIGEST_SHA256, &size), sizeof(j.sha256));
	digest_set_free(d);
	j.limits = (struct runner_limits){.memory = 64 << 20, .output_max = 10};
	return j;
}

static void job_end(struct sealed_job *j)
{
	close(j->input_fd);
	sealed_release(j);
}

static char *some_bytes(size_t n)
{
	char *p = malloc(n + 1);

	assert_non_null(p);
	for (size_t i = 0; i < n; i++)
		p[i] = (char)(i * 7 + i / 251);
	return p;
}

static void gives_every_byte_once_in_pieces_and_then_the_end(void **state)
{
	const size_t sizes[] = {0, 1, SEALED_PIECE - 1, SEALED_PIECE, SEALED_PIECE + 1, 3 * SEALED_PIECE};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		CLEANUP(free_ptr) char *bytes = some_bytes(sizes[i]);
		struct sealed_job j = job_over(bytes, sizes[i]);
		struct err e = ERR_INIT;
		const void *piece;
		size_t n, at = 0;
		int r;

		while ((r = sealed_next(&j, &piece, &n, &e)) > 0) {
			assert_true(n > 0 && n <= SEALED_PIECE && at + n <= sizes[i]);
			assert_memory_equal(piece, bytes + at, n);
			at += n;
		}
		assert_int_equal(r, 0);
		assert_int_equal(at, sizes[i]);
		assert_int_equal(sealed_next(&j, &piece, &n, &e), 0);
		assert_int_equal(sealed_check(&j, &e), 0);
		job_end(&j);
	}
}

static void gives_the_whole_input_from_any_place_in_its_descriptor(void **state)
{
	CLEANUP(free_ptr) char *bytes = some_bytes(SEALED_PIECE + 10);
	struct sealed_job j = job_over(bytes, SEALED_PIECE + 10);
	struct err e = ERR_INIT;
	const void *all, *again;

	assert_int_equal(sealed_all(&j, &all, &e), 0);
	assert_memory_equal(all, bytes, SEALED_PIECE + 10);
	assert_int_equal(sealed_all(&j, &again, &e), 0);
	assert_ptr_equal(all, again);
	job_end(&j);

	struct sealed_job empty = job_over("", 0);
	assert_int_equal(sealed_all(&empty, &all, &e), 0);
	job_end(&empty);
}

static void holds_a_quarter_of_the_memory_limit_and_no_more(void **state)
{
	CLEANUP(free_ptr) char *bytes = some_bytes(1025);
	struct sealed_job fits = job_over(bytes, 1024), too_large = job_over(bytes, 1025);
	struct err e = ERR_INIT;
	const void *all;

	fits.limits.memory = too_large.limits.memory = 4096;
	assert_int_equal(sealed_all(&fits, &all, &e), 0);
	assert_int_equal(sealed_all(&too_large, &all, &e), ERR_LIMIT_MEMORY);
	assert_int_equal(e.limit, 1024);
	job_end(&fits);
	job_end(&too_large);
}

static void finds_damage_however_the_input_is_read(void **state)
{
	CLEANUP(free_ptr) char *bytes = some_bytes(SEALED_PIECE + 1);
	struct err e = ERR_INIT;
	const void *piece;
	size_t n;
	char first[4];

	for (int shortened = 0; shortened < 2; shortened++) {
		struct sealed_job j = job_over(bytes, SEALED_PIECE + 1);

		if (shortened)
			assert_int_equal(ftruncate(j.input_fd, SKIP + SEALED_PIECE), 0);
		else
			assert_int_equal(pwrite(j.input_fd, "!", 1, SKIP + SEALED_PIECE), 1);
		assert_int_equal(sealed_first(&j, first, sizeof(first), &n, &e), 0);
		assert_int_equal(n, sizeof(first));
		assert_int_equal(sealed_next(&j, &piece, &n, &e), 1);
		assert_int_equal(sealed_check(&j, &e), ERR_DAMAGED); /* as after an op that was content with the beginning */
		sealed_reset(&j);
		job_end(&j);

		j = job_over(bytes, SEALED_PIECE + 1);
		assert_int_equal(ftruncate(j.input_fd, SKIP), 0);
		assert_int_equal(sealed_all(&j, &piece, &e), ERR_DAMAGED);
		assert_int_equal(sealed_first(&j, first, sizeof(first), &n, &e), ERR_DAMAGED);
		job_end(&j);
	}
}

static void first_bytes_of_a_short_input_are_all_of_it(void **state)
{
	struct sealed_job j = job_over("abc", 3);
	struct err e = ERR_INIT;
	char first[8];
	size_t n;

	assert_int_equal(sealed_first(&j, first, sizeof(first), &n, &e), 0);
	assert_int_equal(n, 3);
	assert_memory_equal(first, "abc", 3);
	job_end(&j);
}

static void a_job_is_used_again_with_another_input(void **state)
{
	CLEANUP(free_ptr) char *bytes = some_bytes(100);
	struct sealed_job j = job_over(bytes, 100), other = job_over("abc", 3);
	int fds[] = {j.input_fd, other.input_fd};
	struct err e = ERR_INIT;
	const void *all;
	size_t n;

	assert_int_equal(sealed_all(&j, &all, &e), 0);
	sealed_reset(&j);
	j.input_fd = other.input_fd;
	j.offset = SKIP;
	j.size = 3;
	j.also = 1u << DIGEST_MD5;
	memcpy(j.sha256, other.sha256, 32);
	assert_int_equal(sealed_check(&j, &e), 0);
	assert_non_null(digest_set_get(j.check, DIGEST_MD5, &n));
	sealed_release(&j);
	sealed_release(&other);
	close(fds[0]);
	close(fds[1]);
}

static void writes_up_to_the_limit_and_tells_when_nobody_listens(void **state)
{
	struct sealed_job j = job_over("abc", 3);
	struct err e = ERR_INIT;
	int ends[2];
	char got[16];

	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(pipe(ends), 0);
	j.output_fd = ends[1];
	assert_int_equal(sealed_write(&j, "0123456", 7, &e), 0);
	assert_int_equal(sealed_write(&j, "789X", 4, &e), ERR_LIMIT_OUTPUT);
	assert_int_equal(e.limit, 10);
	assert_int_equal(sealed_write(&j, "789", 3, &e), 0);
	assert_int_equal(j.written, 10);
	assert_int_equal(read(ends[0], got, sizeof(got)), 10);
	assert_memory_equal(got, "0123456789", 10);
	close(ends[0]);
	j.written = 0;
	assert_int_equal(sealed_write(&j, "0", 1, &e), ERR_IO);
	close(ends[1]);
	job_end(&j);
}

static void reads_params(void **state)
{
	struct sealed_params *p;
	struct err e = ERR_INIT;

	assert_int_equal(sealed_params_parse(&p, STR("{\"fit\":\"cover\",\"width\":640}"), &e), 0);
	assert_true(sealed_params_has(p, "fit"));
	assert_false(sealed_params_has(p, "height"));
	assert_int_equal(sealed_params_int(p, "width"), 640);
	assert_true(str_eq(sealed_params_text(p, "fit"), STR("cover")));
	sealed_params_free(p);
	assert_int_equal(sealed_params_parse(&p, STR(""), &e), 0);
	assert_false(sealed_params_has(p, "fit"));
	sealed_params_free(p);
	sealed_params_free(NULL);
}

struct got_answer {
	struct runner_answer head;
	char texts[RUNNER_MESSAGE_MAX];
};

static void send_and_receive(struct got_answer *ret, int code, struct str result, struct str detail)
{
	int ends[2], fds[1];
	size_t n_fds;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	assert_int_equal(answer_send(ends[0], 7, code, 0, result, detail), 0);
	ssize_t got = message_recv(ends[1], ret, sizeof(*ret), fds, 1, &n_fds);
	assert_int_equal(got, sizeof(ret->head) + ret->head.result_len + ret->head.detail_len);
	assert_int_equal(ret->head.magic, RUNNER_MAGIC);
	assert_int_equal(ret->head.serial, 7);
	close(ends[0]);
	close(ends[1]);
}

static void answers_within_their_bounds(void **state)
{
	struct got_answer *a = malloc(sizeof(*a));
	CLEANUP(free_ptr) char *large = calloc(1, RUNNER_RESULT_MAX + 1);
	char detail[RUNNER_DETAIL_MAX + 10];

	memset(large, ' ', RUNNER_RESULT_MAX + 1);
	memset(detail, 'x', sizeof(detail));
	memcpy(detail + RUNNER_DETAIL_MAX - 1, "é", 2); /* does not fit whole */
	send_and_receive(a, 0, (struct str){large, RUNNER_RESULT_MAX}, STR(""));
	assert_int_equal(a->head.code, 0);
	assert_int_equal(a->head.result_len, RUNNER_RESULT_MAX);
	send_and_receive(a, 0, (struct str){large, RUNNER_RESULT_MAX + 1}, STR(""));
	assert_int_equal(a->head.code, ERR_OP_FAILED);
	assert_int_equal(a->head.result_len, 0);
	send_and_receive(a, ERR_TRUNCATED, STR(""), (struct str){detail, sizeof(detail)});
	assert_int_equal(a->head.code, ERR_TRUNCATED);
	assert_int_equal(a->head.detail_len, RUNNER_DETAIL_MAX - 1);
	send_and_receive(a, ERR_NO_MEMORY, STR(""), STR("malloc"));
	assert_int_equal(a->head.code, ERR_LIMIT_MEMORY);
	send_and_receive(a, ERR_CATALOG_UNAVAILABLE, STR(""), STR("what?"));
	assert_int_equal(a->head.code, ERR_OP_FAILED);
	free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gives_every_byte_once_in_pieces_and_then_the_end),
		cmocka_unit_test(gives_the_whole_input_from_any_place_in_its_descriptor),
		cmocka_unit_test(holds_a_quarter_of_the_memory_limit_and_no_more),
		cmocka_unit_test(finds_damage_however_the_input_is_read),
		cmocka_unit_test(first_bytes_of_a_short_input_are_all_of_it),
		cmocka_unit_test(a_job_is_used_again_with_another_input),
		cmocka_unit_test(writes_up_to_the_limit_and_tells_when_nobody_listens),
		cmocka_unit_test(reads_params),
		cmocka_unit_test(answers_within_their_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
