#include "engine/engine_impl.h"
#include "engine/intake.h"
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void a_small_file_is_committed_with_its_fused_result(void **state)
{
	struct world w = {};
	struct upload u;

	world_open(&w, NULL);
	upload_bytes(&w, &PUBLIC_SPEC, "hello", 5, 2, &u);
	assert_int_equal(u.code, 0);
	assert_int_equal(u.number, 1);
	assert_int_equal(u.size, 5);
	assert_string_equal(u.type, "text/plain");
	assert_string_equal(u.result, "{\"md5\":\"5d41402abc4b2a76b9719d911017c592\"}");
	assert_int_equal(u.queued, 0);
	assert_int_equal(count_blobs(&w), 0);
	world_close(&w);
}

static void an_empty_file_is_a_file(void **state)
{
	struct world w = {};
	struct upload u;

	world_open(&w, NULL);
	upload_bytes(&w, &PUBLIC_SPEC, "", 0, 1, &u);
	assert_int_equal(u.code, 0);
	assert_int_equal(u.size, 0);
	assert_string_equal(u.result, "{\"md5\":\"d41d8cd98f00b204e9800998ecf8427e\"}");
	world_close(&w);
}

static void sizes_around_the_inline_limit_and_the_chunk_have_the_right_digest(void **state)
{
	static const size_t sizes[] = {(32 << 10) - 1,  32 << 10,        (32 << 10) + 1, 128 << 10,
				       (128 << 10) + 1, (256 << 10) + 7, (1 << 20) + 3};
	struct world w = {};
	char *data = malloc(2 << 20), want[80], hex[40];

	assert_non_null(data);
	fill_random(data, 2 << 20);
	world_open(&w, NULL);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct upload u;
		upload_bytes(&w, &PUBLIC_SPEC, data, sizes[i], 16000, &u);
		assert_int_equal(u.code, 0);
		hex_of(hex, DIGEST_MD5, data, sizes[i]);
		snprintf(want, sizeof(want), "{\"md5\":\"%s\"}", hex);
		assert_string_equal(u.result, want);
	}
	assert_int_equal(count_blobs(&w), 5);
	world_close(&w);
	free(data);
}

static void the_announced_length_must_be_met_exactly(void **state)
{
	struct world w = {};
	struct upload u;
	struct intake_spec spec = PUBLIC_SPEC;

	world_open(&w, NULL);
	spec.length = 5;
	upload_bytes(&w, &spec, "hello", 5, 5, &u);
	assert_int_equal(u.code, 0);
	upload_bytes(&w, &spec, "hell", 4, 5, &u);
	assert_int_equal(u.code, ERR_LENGTH_MISMATCH);
	upload_bytes(&w, &spec, "hello!", 6, 3, &u);
	assert_int_equal(u.code, ERR_LENGTH_MISMATCH);
	world_close(&w);
}

static void the_size_limit_holds_at_the_limit_and_one_above(void **state)
{
	struct world w = {};
	struct upload u;
	struct engine_config c = world_config();
	char data[101] = {};

	c.file_max = 100;
	world_open(&w, &c);
	upload_bytes(&w, &PUBLIC_SPEC, data, 100, 7, &u);
	assert_int_equal(u.code, 0);
	upload_bytes(&w, &PUBLIC_SPEC, data, 101, 7, &u);
	assert_int_equal(u.code, ERR_TOO_LARGE);
	struct intake_spec spec = PUBLIC_SPEC;
	spec.length = 101;
	upload_bytes(&w, &spec, data, 0, 7, &u);
	assert_int_equal(u.code, ERR_TOO_LARGE);
	assert_int_equal(u.err.limit, 100);
	world_close(&w);
}

static void a_wrong_digest_leaves_nothing(void **state)
{
	struct world w = {};
	struct upload u;
	struct intake_spec spec = PUBLIC_SPEC;
	char *data = calloc(1, 100000);
	struct catalog_stats st;

	world_open(&w, NULL);
	spec.want_sha256 = true; /* of zeros: never right */
	upload_bytes(&w, &spec, data, 10, 10, &u);
	assert_int_equal(u.code, ERR_DIGEST_MISMATCH);
	upload_bytes(&w, &spec, data, 100000, 4000, &u);
	assert_int_equal(u.code, ERR_DIGEST_MISMATCH);
	assert_int_equal(catalog_stats(w.catalog, 0, &st, NULL), 0);
	assert_int_equal(st.files, 0);
	world_stop(&w); /* lets the pool remove the blob */
	assert_int_equal(count_blobs(&w), 0);
	world_free(&w);
	free(data);
}

static void a_cancelled_upload_leaves_nothing(void **state)
{
	struct world w = {};
	struct intake_spec spec = PUBLIC_SPEC;
	char *data = calloc(1, 1 << 20);
	struct intake *in;
	struct upload u;
	struct err e = ERR_INIT;

	world_open(&w, NULL);
	for (size_t n = 1; n < 1u << 20; n *= 3) {
		upload_init(&u);
		assert_int_equal(intake_open(w.g, &spec, &in, &e), 0);
		for (size_t at = 0; at < n; at += 5000)
			if (intake_feed(in, data, n - at < 5000 ? n - at : 5000, &e) != INTAKE_MORE)
				break;
		/* a caller would wait for room here; on memory blobs the pool thread gets there by itself, and spec has no on_room */
		intake_cancel(in);
	}
	world_stop(&w);
	assert_int_equal(count_blobs(&w), 0);
	world_free(&w);
	free(data);
}

static void an_idempotency_key_gives_the_first_file_again(void **state)
{
	struct world w = {};
	struct upload first, again, other, big;
	struct intake_spec spec = PUBLIC_SPEC;
	char *data = calloc(1, 100000);

	world_open(&w, NULL);
	spec.idempotency_key = STR("key-1");
	upload_bytes(&w, &spec, "hello", 5, 5, &first);
	assert_int_equal(first.code, 0);
	upload_bytes(&w, &spec, "hello", 5, 5, &again);
	assert_int_equal(again.code, 0);
	assert_true(again.replayed);
	assert_true(uuid_eq(first.id, again.id));
	upload_bytes(&w, &spec, "HELLO", 5, 5, &other);
	assert_int_equal(other.code, ERR_IDEMPOTENCY_CONFLICT);
	spec.idempotency_key = STR("key-2");
	upload_bytes(&w, &spec, data, 100000, 5000, &big);
	assert_int_equal(big.code, 0);
	upload_bytes(&w, &spec, data, 100000, 5000, &again);
	assert_true(again.replayed && uuid_eq(big.id, again.id));
	assert_int_equal(count_blobs(&w), 1);
	world_close(&w);
	free(data);
}

static void a_key_in_use_is_refused_until_its_request_ends(void **state)
{
	struct world w = {};
	struct intake_spec spec = PUBLIC_SPEC;
	struct intake *one, *two;
	struct err e = ERR_INIT;

	world_open(&w, NULL);
	spec.idempotency_key = STR("k");
	assert_int_equal(intake_open(w.g, &spec, &one, &e), 0);
	assert_int_equal(intake_open(w.g, &spec, &two, &e), ERR_IDEMPOTENCY_RUNNING);
	intake_cancel(one);
	assert_int_equal(intake_open(w.g, &spec, &two, &e), 0);
	intake_cancel(two);
	spec.idempotency_key = STR("");
	assert_int_equal(intake_open(w.g, &spec, &two, &e), ERR_BAD_HEADER);
	char key[256];
	memset(key, 'k', sizeof(key));
	spec.idempotency_key = (struct str){key, sizeof(key)};
	assert_int_equal(intake_open(w.g, &spec, &two, &e), ERR_BAD_HEADER);
	spec.idempotency_key.len--;
	assert_int_equal(intake_open(w.g, &spec, &two, &e), 0);
	intake_cancel(two);
	world_close(&w);
}

static void large_uploads_at_once_are_bounded(void **state)
{
	struct world w = {};
	struct engine_config c = world_config();
	struct intake *in[3];
	struct err e = ERR_INIT;
	char *data = calloc(1, 40000);
	struct intake_spec spec = PUBLIC_SPEC;

	c.uploads_max = 2;
	world_open(&w, &c);
	for (int i = 0; i < 3; i++)
		assert_int_equal(intake_open(w.g, &spec, &in[i], &e), 0);
	assert_int_equal(intake_feed(in[0], data, 40000, &e), INTAKE_MORE);
	assert_int_equal(intake_feed(in[1], data, 40000, &e), INTAKE_MORE);
	assert_int_equal(intake_feed(in[2], data, 40000, &e), INTAKE_FAILED);
	assert_int_equal(e.code, ERR_OVERLOADED);
	for (int i = 0; i < 3; i++)
		intake_cancel(in[i]);
	world_close(&w);
	free(data);
}

/* Every store call fails in turn, once and for good: never an acknowledgement whose bytes cannot be read back. */
static void a_failing_store_call_never_leads_to_an_acknowledgement(void **state)
{
	char *data = malloc(300000);
	unsigned faults = 0;

	assert_non_null(data);
	fill_random(data, 300000);
	for (int sticky = 0; sticky < 2; sticky++)
		for (unsigned n = 1;; n++) {
			struct world w = {.plan = {.fail_at = 0}};
			struct upload u;
			struct file f;
			struct arena a = ARENA_INIT;
			struct buf bytes = BUF_INIT;
			struct err e = ERR_INIT;
			int fd = -1;

			world_open(&w, NULL);
			/* the start sweep makes calls of its own: begin to count behind it */
			upload_bytes(&w, &PUBLIC_SPEC, "x", 1, 1, &u);
			unsigned before = w.plan.calls;
			w.plan.sticky = sticky;
			w.plan.code = ERR_IO;
			w.plan.fail_at = before + n;
			upload_bytes(&w, &PUBLIC_SPEC, data, 300000, 9000, &u);
			bool hit = w.plan.calls >= before + n;
			w.plan.fail_at = 0;
			if (u.code == 0) {
				f = read_file(&w, u.id, &a);
				assert_int_equal(open_content(&w, &f, &fd, &bytes, &e), 0);
				close(fd);
			} else {
				faults++;
			}
			arena_release(&a);
			buf_release(&bytes);
			world_close(&w);
			if (!hit)
				break;
		}
	assert_true(faults >= 6); /* create, appends and commit were all hit */
	free(data);
}

static void other_types_than_asked_for_are_refused_as_soon_as_they_show(void **state)
{
	static const char *const types[] = {"image/png", "image/gif", NULL};
	struct world w = {};
	struct upload u;
	struct intake *in;
	struct intake_spec spec = PUBLIC_SPEC;
	struct err e = ERR_INIT;
	char *data = calloc(1, 100000);

	world_open(&w, NULL);
	spec.types = types;
	memcpy(data, "GIF89a", 6);
	for (size_t n = 100; n <= 100000; n *= 10) {
		upload_bytes(&w, &spec, data, n, 50, &u);
		assert_int_equal(u.code, 0);
	}
	assert_int_equal(count_blobs(&w), 1);
	memcpy(data, "%PDF-1", 6);
	for (size_t n = 100; n <= 100000; n *= 10) {
		upload_bytes(&w, &spec, data, n, 50, &u);
		assert_int_equal(u.code, ERR_UNSUPPORTED_TYPE);
	}
	upload_bytes(&w, &spec, "", 0, 1, &u);
	assert_int_equal(u.code, ERR_UNSUPPORTED_TYPE);
	assert_int_equal(intake_open(w.g, &spec, &in, &e), 0);
	assert_int_equal(intake_feed(in, data, MAGIC_BYTES - 1, &e), INTAKE_MORE);
	assert_int_equal(intake_feed(in, data, 1, &e), INTAKE_FAILED); /* the type is known from here on */
	assert_int_equal(e.code, ERR_UNSUPPORTED_TYPE);
	intake_cancel(in);
	assert_int_equal(count_blobs(&w), 1);
	world_close(&w);
	free(data);
}

static void an_id_that_the_caller_chose_is_taken_once(void **state)
{
	struct world w = {};
	struct upload u;
	struct intake_spec spec = PUBLIC_SPEC;
	struct arena a = ARENA_INIT;
	char *data = calloc(1, 100000);

	world_open(&w, NULL);
	spec.id = engine_new_id(w.g);
	upload_bytes(&w, &spec, data, 100000, 100000, &u);
	assert_int_equal(u.code, 0);
	assert_true(uuid_eq(u.id, spec.id));
	upload_bytes(&w, &spec, data, 100000, 100000, &u);
	assert_int_equal(u.code, ERR_CONFLICT);
	upload_bytes(&w, &spec, "small", 5, 5, &u);
	assert_int_equal(u.code, ERR_CONFLICT);
	assert_int_equal(count_blobs(&w), 1); /* the first one's is untouched */
	assert_int_equal(read_file(&w, spec.id, &a).size, 100000);
	arena_release(&a);
	world_close(&w);
	free(data);
}

static void ops_and_a_pipeline_together_are_refused(void **state)
{
	struct world w = {};
	struct upload u;
	struct intake_spec spec = PUBLIC_SPEC;
	struct engine_config c = world_config();
	struct arena a = ARENA_INIT;

	assert_int_equal(op_table_new(&c.ops, STR(""), STR("{\"sums\":[\"md5\",\"sha1\"]}"), STR(""), &a, NULL), 0);
	world_open(&w, &c);
	spec.pipeline = STR("sums");
	spec.idempotency_key = STR("key");
	upload_bytes(&w, &spec, "abc", 3, 3, &u);
	assert_int_equal(u.code, 0);
	assert_int_equal(u.jobs, 2);
	spec.pipeline = (struct str){};
	upload_bytes(&w, &spec, "abc", 3, 3, &u);
	assert_int_equal(u.code, ERR_IDEMPOTENCY_CONFLICT); /* the pipeline is part of what was asked for */
	spec.idempotency_key = (struct str){};
	spec.pipeline = STR("sum");
	upload_bytes(&w, &spec, "abc", 3, 3, &u);
	assert_int_equal(u.code, ERR_UNKNOWN_PIPELINE);
	spec.pipeline = STR("sums");
	spec.ops = STR("md5");
	upload_bytes(&w, &spec, "abc", 3, 3, &u);
	assert_int_equal(u.code, ERR_BAD_OPS);
	world_close(&w);
	arena_release(&a);
}

/* Bytes `from` to `to` in pieces as they come. */
static void feed_all(struct intake *in, struct upload *u, const char *data, size_t from, size_t to)
{
	for (size_t at = from, piece; at < to; at += piece) {
		piece = to - at < 16000 ? to - at : 16000;
		assert_int_equal(upload_feed(in, u, data + at, piece, &u->err), 0);
	}
}

static void few_large_uploads_hand_over_more_at_once_and_the_others_do_not(void **state)
{
	const size_t large = 64 << 10, size = (18 << 20) + 7, usual = INTAKE_CHUNK + (64 << 10);
	struct intake *in[INTAKE_FEW + 1];
	struct upload u[ARRAY_LEN(in)];
	char *data = malloc(size), want[80], hex[40];
	struct engine_config c = world_config();
	struct world w = {};

	assert_non_null(data);
	fill_random(data, size);
	hex_of(hex, DIGEST_MD5, data, size);
	snprintf(want, sizeof(want), "{\"md5\":\"%s\"}", hex);
	c.uploads_max = ARRAY_LEN(in);
	world_open(&w, &c);
	for (size_t i = 0; i < ARRAY_LEN(in); i++) {
		assert_int_equal(upload_open(&w, &PUBLIC_SPEC, &u[i], &in[i]), 0);
		feed_all(in[i], &u[i], data, 0, large);
	}
	for (size_t i = INTAKE_FEW - 1; i <= INTAKE_FEW; i++)
		feed_all(in[i], &u[i], data, large, size);
	assert_true(in[INTAKE_FEW - 1]->filling.cap > INTAKE_CHUNK_MAX);
	assert_true(in[INTAKE_FEW - 1]->filling.cap <= 2 * INTAKE_CHUNK_MAX);
	assert_true(in[INTAKE_FEW]->filling.cap <= 2 * usual);
	for (size_t i = 0; i < INTAKE_FEW - 1; i++)
		intake_cancel(in[i]);
	for (size_t i = INTAKE_FEW - 1; i <= INTAKE_FEW; i++) {
		upload_end(in[i], &u[i]);
		assert_int_equal(u[i].code, 0);
		assert_string_equal(u[i].result, want);
	}
	world_stop(&w);
	assert_int_equal(count_blobs(&w), 2);
	world_free(&w);
	free(data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_small_file_is_committed_with_its_fused_result),
		cmocka_unit_test(an_empty_file_is_a_file),
		cmocka_unit_test(sizes_around_the_inline_limit_and_the_chunk_have_the_right_digest),
		cmocka_unit_test(few_large_uploads_hand_over_more_at_once_and_the_others_do_not),
		cmocka_unit_test(the_announced_length_must_be_met_exactly),
		cmocka_unit_test(the_size_limit_holds_at_the_limit_and_one_above),
		cmocka_unit_test(a_wrong_digest_leaves_nothing),
		cmocka_unit_test(a_cancelled_upload_leaves_nothing),
		cmocka_unit_test(an_idempotency_key_gives_the_first_file_again),
		cmocka_unit_test(a_key_in_use_is_refused_until_its_request_ends),
		cmocka_unit_test(large_uploads_at_once_are_bounded),
		cmocka_unit_test(other_types_than_asked_for_are_refused_as_soon_as_they_show),
		cmocka_unit_test(an_id_that_the_caller_chose_is_taken_once),
		cmocka_unit_test(ops_and_a_pipeline_together_are_refused),
		cmocka_unit_test(a_failing_store_call_never_leads_to_an_acknowledgement),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
