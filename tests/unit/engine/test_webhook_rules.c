/* What a request to a webhook's receiver carries, what an answer means, and when a receiver in trouble is tried again. */
#include "engine/webhook.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define MINUTE INT64_C(60000)
#define DAY (24 * 60 * MINUTE)

static const int64_t pauses[] = {0, 5000, 5 * MINUTE, 30 * MINUTE};
static const struct engine_webhooks config = {.retry_ms = pauses, .n_retry = ARRAY_LEN(pauses)};

/* ---- headers ---- */

/* The key's bytes are 0x07, the previous one's 0x08; the macs were computed with Python's hmac. */
#define SIGNED_BY_7 "v1,vEAk636zUYLyVVlzdLDPtz79DBNajGr5BDTrHMk8hbE="
#define SIGNED_BY_8 "v1,jCqEjNcYsGAl+4RDEUDOFov7NjfJ+k1UeNHvC4TCnNc="

static struct webhook_headers headers_at(int64_t now_ms, int64_t previous_until)
{
	struct webhook w = {.previous_until = previous_until};
	struct delivery d = {.payload = STR("{\"type\":\"ping\"}")};
	struct webhook_headers h;
	struct err e = ERR_INIT;

	memset(w.secret.b, 7, sizeof(w.secret.b));
	memset(w.previous.b, 8, sizeof(w.previous.b));
	assert_true(uuid_parse(&d.id, STR("01900000-0000-7000-8000-000000000001")));
	assert_int_equal(webhook_headers(&h, &w, &d, now_ms, &e), 0);
	return h;
}

static void a_delivery_is_signed_with_its_id_and_the_time_it_is_sent(void **state)
{
	struct webhook_headers h = headers_at(1614265330999, 0);

	assert_string_equal(h.id, "01900000-0000-7000-8000-000000000001");
	assert_string_equal(h.timestamp, "1614265330");
	assert_string_equal(h.signature, SIGNED_BY_7);
}

static void the_previous_secret_signs_too_until_its_time_is_over(void **state)
{
	assert_string_equal(headers_at(1614265330999, 1614265331000).signature, SIGNED_BY_7 " " SIGNED_BY_8);
	assert_string_equal(headers_at(1614265330999, 1614265330999).signature, SIGNED_BY_7);
}

/* ---- answers ---- */

static struct webhook_verdict judge(int code, int status, int64_t retry_after_s, uint32_t tries, uint64_t random)
{
	const struct webhook_answer a = {.code = code, .status = status, .retry_after_s = retry_after_s, .detail = "the reason"};
	struct webhook_verdict v;

	webhook_judge(&v, &a, &config, tries, random);
	return v;
}

static void only_a_2xx_that_came_whole_is_success(void **state)
{
	for (int status = 100; status < 600; status++) {
		struct webhook_verdict v = judge(0, status, -1, 1, 0);
		assert_int_equal(v.state == DELIVERY_DELIVERED, status >= 200 && status <= 299);
		assert_int_equal(v.error[0] == '\0', status >= 200 && status <= 299);
	}
	struct webhook_verdict v = judge(ERR_CONNECTION_LOST, 200, -1, 1, 0);
	assert_int_equal(v.state, DELIVERY_WAITING);
	assert_string_equal(v.error, "connection_lost: the reason");
}

static void only_410_switches_off_and_only_as_an_answer_that_came(void **state)
{
	for (int status = 100; status < 600; status++)
		assert_int_equal(judge(0, status, -1, 1, 0).off, status == 410 ? WEBHOOK_OFF_GONE : WEBHOOK_ON);
	assert_int_equal(judge(0, 410, -1, 1, 0).state, DELIVERY_FAILED);
	assert_int_equal(judge(ERR_CONNECTION_LOST, 410, -1, 1, 0).off, WEBHOOK_ON);
}

static void trouble_of_the_receiver_is_told_from_that_of_one_message(void **state)
{
	static const int slow[] = {429, 502, 503, 504}, not_slow[] = {302, 400, 404, 410, 500};

	for (size_t i = 0; i < ARRAY_LEN(slow); i++)
		assert_true(judge(0, slow[i], -1, 1, 0).slow);
	for (size_t i = 0; i < ARRAY_LEN(not_slow); i++)
		assert_false(judge(0, not_slow[i], -1, 1, 0).slow);
	assert_true(judge(ERR_PEER_TIMEOUT, 0, -1, 1, 0).slow);
	assert_true(judge(ERR_PEER_TIMEOUT, 0, -1, ARRAY_LEN(pauses), 0).slow);
}

static void pauses_follow_the_schedule_a_fifth_more_or_less(void **state)
{
	for (uint32_t tries = 1; tries < ARRAY_LEN(pauses); tries++) {
		int64_t least = INT64_MAX, most = 0;
		for (uint64_t random = 0; random < 200000; random += 37) {
			int64_t wait = judge(0, 500, -1, tries, random * pauses[tries] / 100000).wait_ms;
			least = wait < least ? wait : least;
			most = wait > most ? wait : most;
		}
		assert_in_range(least, pauses[tries] * 80 / 100, pauses[tries] * 81 / 100);
		assert_in_range(most, pauses[tries] * 119 / 100, pauses[tries] * 120 / 100);
	}
	assert_int_equal(judge(0, 500, -1, ARRAY_LEN(pauses) - 1, 0).state, DELIVERY_WAITING);
	assert_int_equal(judge(0, 500, -1, ARRAY_LEN(pauses), 0).state, DELIVERY_FAILED);
}

static void a_receiver_may_ask_for_more_time_but_not_for_less_and_for_a_day_at_most(void **state)
{
	assert_int_equal(judge(0, 503, 3600, 1, 0).wait_ms, 60 * MINUTE);
	assert_int_equal(judge(0, 503, 0, 1, 0).wait_ms, 4000);
	assert_int_equal(judge(0, 503, 86400, 1, 0).wait_ms, DAY);
	assert_int_equal(judge(0, 503, 86401, 1, 0).wait_ms, DAY);
	assert_int_equal(judge(0, 503, INT64_MAX, 1, 0).wait_ms, DAY);
}

/* A delivery that failed often waits for hours; what its receiver asked for is another matter. */
static void what_a_receiver_asks_for_is_told_apart_from_the_pause_of_one_delivery(void **state)
{
	assert_true(judge(0, 503, 2, 3, 0).wait_ms > 20 * MINUTE);
	assert_int_equal(judge(0, 503, 2, 3, 0).asked_ms, 2000);
	assert_int_equal(judge(0, 503, 2, ARRAY_LEN(pauses), 0).asked_ms, 2000);
	assert_int_equal(judge(0, 503, INT64_MAX, 1, 0).asked_ms, DAY);
	assert_int_equal(judge(0, 503, 0, 3, 0).asked_ms, 0);
	assert_int_equal(judge(0, 503, -1, 3, 0).asked_ms, 0);
}

static void a_long_reason_is_cut_between_characters(void **state)
{
	char detail[ERR_DETAIL_MAX];
	struct webhook_answer a = {.code = ERR_CONNECT_FAILED, .detail = detail};
	struct webhook_verdict v;

	for (size_t shift = 0; shift < 2; shift++) {
		memset(detail, 'x', sizeof(detail));
		for (size_t i = shift; i + 2 < sizeof(detail); i += 2)
			memcpy(detail + i, "é", 2);
		detail[sizeof(detail) - 2 - shift] = '\0';
		webhook_judge(&v, &a, &config, 1, 0);
		assert_true(utf8_valid(str_of(v.error)));
		assert_in_range(strlen(v.error), ATTEMPT_ERROR_MAX - 3, ATTEMPT_ERROR_MAX);
	}
}

/* ---- rests ---- */

static const struct uuid first_id = {.b = {1}}, second_id = {.b = {2}};

static void one_in_trouble_gets_one_request_at_a_time(void **state)
{
	struct endpoints all = {};

	assert_int_equal(endpoint_room(&all, 1, 4), 4);
	struct endpoint *x = endpoint_note(&all, 1, first_id);
	x->under_way = 3;
	assert_int_equal(endpoint_room(&all, 1, 4), 1);
	x->under_way = 0;
	endpoint_rest(x, &config, 0, 0, 0);
	assert_int_equal(endpoint_room(&all, 1, 4), 1);
	x->under_way = 1;
	assert_int_equal(endpoint_room(&all, 1, 4), 0);
	endpoints_release(&all);
}

static void rests_grow_from_the_first_pause_to_the_second(void **state)
{
	struct endpoints all = {};
	struct endpoint *x = endpoint_note(&all, 1, first_id);
	int64_t rests[8];

	for (size_t i = 0; i < ARRAY_LEN(rests); i++) {
		int64_t now = x->resting_until + 1000;
		endpoint_rest(x, &config, now - 1, now, 0);
		rests[i] = x->resting_until - now;
	}
	assert_int_equal(rests[0], 5000);
	assert_int_equal(rests[1], 10000);
	assert_int_equal(rests[6], 5 * MINUTE);
	assert_int_equal(rests[7], 5 * MINUTE);
	int64_t now = x->resting_until;
	endpoint_rest(x, &config, now, now, DAY);
	assert_int_equal(x->resting_until, now + DAY);
	endpoints_release(&all);
}

static void what_was_sent_before_a_rest_makes_it_no_longer(void **state)
{
	struct endpoints all = {};
	struct endpoint *x = endpoint_note(&all, 1, first_id);

	x->under_way = 2;
	endpoint_rest(x, &config, 100, 200, 0);
	for (unsigned left = 2; left-- > 0;) { /* also the last one of those that were under way together */
		x->under_way = left;
		endpoint_rest(x, &config, 100, 201, 0);
		assert_int_equal(x->resting_until, 5200);
		assert_int_equal(x->rest_ms, 5000);
	}
	endpoint_rest(x, &config, 100, 202, MINUTE); /* unless it says so */
	assert_int_equal(x->resting_until, 202 + MINUTE);
	assert_int_equal(x->rest_ms, 5000);
	endpoints_release(&all);
}

static void only_those_in_trouble_or_at_work_are_remembered(void **state)
{
	struct endpoints all = {};

	for (int64_t i = 0; i < 100; i++)
		assert_non_null(endpoint_note(&all, i, first_id));
	endpoint_find(&all, 7)->under_way = 1;
	endpoint_rest(endpoint_find(&all, 9), &config, 0, 1000, 0);
	endpoints_forget_idle(&all, 2000);
	assert_int_equal(all.n, 2);
	assert_non_null(endpoint_find(&all, 7));
	assert_non_null(endpoint_find(&all, 9));
	endpoints_forget_idle(&all, 1000 + 5000 + 10 * 5000 + 1);
	assert_int_equal(all.n, 1);
	endpoints_release(&all);
}

static void a_rest_ends_for_one_or_for_all(void **state)
{
	struct endpoints all = {};

	endpoint_note(&all, 1, first_id);
	endpoint_note(&all, 2, second_id);
	endpoint_rest(&all.list[0], &config, 0, 1000, 0);
	endpoint_rest(&all.list[1], &config, 0, 1000, 0);
	endpoints_end_rests(&all, &second_id);
	assert_int_equal(all.list[0].resting_until, 6000);
	assert_int_equal(all.list[1].resting_until, 0);
	assert_int_equal(endpoint_room(&all, 2, 4), 1); /* it has to prove itself still */
	endpoints_end_rests(&all, NULL);
	assert_int_equal(all.list[0].resting_until, 0);
	endpoints_release(&all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_delivery_is_signed_with_its_id_and_the_time_it_is_sent),
		cmocka_unit_test(the_previous_secret_signs_too_until_its_time_is_over),
		cmocka_unit_test(only_a_2xx_that_came_whole_is_success),
		cmocka_unit_test(only_410_switches_off_and_only_as_an_answer_that_came),
		cmocka_unit_test(trouble_of_the_receiver_is_told_from_that_of_one_message),
		cmocka_unit_test(pauses_follow_the_schedule_a_fifth_more_or_less),
		cmocka_unit_test(a_receiver_may_ask_for_more_time_but_not_for_less_and_for_a_day_at_most),
		cmocka_unit_test(what_a_receiver_asks_for_is_told_apart_from_the_pause_of_one_delivery),
		cmocka_unit_test(a_long_reason_is_cut_between_characters),
		cmocka_unit_test(one_in_trouble_gets_one_request_at_a_time),
		cmocka_unit_test(rests_grow_from_the_first_pause_to_the_second),
		cmocka_unit_test(what_was_sent_before_a_rest_makes_it_no_longer),
		cmocka_unit_test(only_those_in_trouble_or_at_work_are_remembered),
		cmocka_unit_test(a_rest_ends_for_one_or_for_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
