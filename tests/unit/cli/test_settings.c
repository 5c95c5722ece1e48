#include "cli/settings.h"
#include "runner/runner.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* Strings of the settings live in `strings`, which each test starts anew. */
static struct arena strings;

static int load(struct settings *s, struct err *e, const char *const *words)
{
	char copies[16][80], *argv[16];
	int argc = 0;

	for (; words[argc] != NULL; argc++) {
		strcpy(copies[argc], words[argc]);
		argv[argc] = copies[argc];
	}
	const struct config_source source = {.argc = argc, .argv = argv};
	return settings_load(s, &source, &strings, e);
}

static int drop_strings(void **state)
{
	arena_release(&strings);
	strings = ARENA_INIT;
	return 0;
}

static void the_defaults_are_those_promised(void **state)
{
	struct settings s;
	struct err e = ERR_INIT;

	assert_int_equal(load(&s, &e, (const char *const[]){NULL}), 0);
	assert_string_equal(s.listen, "127.0.0.1:8080");
	assert_string_equal(s.data_dir, "./filemill-data");
	assert_int_equal(s.inline_max, 32 * 1024);
	assert_int_equal(s.file_max, 5ull << 30);
	assert_int_equal(s.connections, 10000);
	assert_int_equal(s.connections_per_address, 100);
	assert_int_equal(s.header_timeout_ms, 10000);
	assert_int_equal(s.idempotency_ms, 86400000);
	assert_int_equal(s.surfaces.n, 0);
	assert_false(s.anonymous);
	assert_int_equal(s.runner_memory, 512 << 20);
	assert_int_equal(s.runner_cpu_ms, 60000);
	assert_int_equal(s.runner_wall_ms, 120000);
	assert_int_equal(s.runner_output_max, 1 << 30);
	assert_int_equal(s.runner_pixels_max, 100000000);
	assert_int_equal(s.runner_may_lack, 0);
	assert_int_equal(s.net_policy.allow_n, 0);
	assert_false(s.net_policy.http);
	assert_string_equal(s.runner_path, "");
	assert_int_equal(s.commands.len + s.pipelines.len, 0);
}

static void no_number_of_job_threads_means_one_a_core_and_at_least_two(void **state)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	struct settings s;
	struct err e = ERR_INIT;

	assert_int_equal(load(&s, &e, (const char *const[]){NULL}), 0);
	assert_int_equal(s.job_threads, cores < 2 ? 2 : cores);
	assert_int_equal(load(&s, &e, (const char *const[]){"--jobs-threads", "1", NULL}), 0);
	assert_int_equal(s.job_threads, 1);
}

static void a_webhooks_schedule_is_a_list_of_pauses_that_begins_at_once(void **state)
{
	static const struct {
		const char *retry, *detail;
	} refused[] = {
		{"1s,5s", "webhooks.retry: the first is 0s, as the first attempt is made at once"},
		{"0s,31d", "webhooks.retry: no pause is longer than 30 days"},
		{"", "webhooks.retry: from 1 to 20 pauses"},
		{"0s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s", "webhooks.retry: from 1 to 20 pauses"},
	};
	struct settings s;
	struct err e = ERR_INIT;
	int64_t sum = 0;

	assert_int_equal(load(&s, &e, (const char *const[]){NULL}), 0);
	assert_int_equal(s.webhooks_attempts, 10);
	for (size_t i = 0; i < s.webhooks_attempts; i++)
		sum += s.webhooks_retry_ms[i];
	assert_in_range(sum, 3 * 86400000, 4 * 86400000); /* over three days */
	assert_int_equal(
		load(&s, &e,
		     (const char *const[]){"--webhooks-retry", "0s,30d,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s", NULL}),
		0);
	assert_int_equal(s.webhooks_attempts, 20);
	assert_int_equal(s.webhooks_retry_ms[1], 30 * INT64_C(86400000));
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		assert_int_equal(load(&s, &e, (const char *const[]){"--webhooks-retry", refused[i].retry, NULL}), ERR_BAD_CONFIG);
		assert_string_equal(e.detail, refused[i].detail);
	}
}

static void where_requests_may_go_is_given_as_address_ranges(void **state)
{
	struct settings s;
	struct err e = ERR_INIT;

	assert_int_equal(load(&s, &e, (const char *const[]){"--net-allow", "10.1.0.0/16,fd00::/8", "--net-http", NULL}), 0);
	assert_int_equal(s.net_policy.allow_n, 2);
	assert_int_equal(s.net_policy.allow[0].bits, 16);
	assert_int_equal(s.net_policy.allow[1].bits, 8);
	assert_true(s.net_policy.http);
	assert_int_equal(load(&s, &e, (const char *const[]){"--net-allow", "10.1.0.0/8", NULL}), ERR_BAD_CONFIG);
	assert_string_equal(e.detail, "net.allow: \"10.1.0.0/8\": bits are set behind the prefix");
}

static void what_the_seal_may_lack_is_named(void **state)
{
	struct settings s;
	struct err e = ERR_INIT;

	assert_int_equal(load(&s, &e, (const char *const[]){"--runner-may-lack", "namespaces,landlock", NULL}), 0);
	assert_int_equal(s.runner_may_lack, 1u << SEAL_NAMESPACES | 1u << SEAL_LANDLOCK);
	assert_int_equal(load(&s, &e, (const char *const[]){"--runner-may-lack", "namespace", NULL}), ERR_BAD_CONFIG);
	assert_string_equal(e.detail, "runner.may_lack: \"namespace\" is no part of the seal; perhaps namespaces");
}

/* Longer words than load() takes. */
static int load_maps(struct settings *s, struct err *e, const char *commands, const char *pipelines, const char *default_ops)
{
	char c[256], p[256], d[64], *environ[] = {c, p, d, NULL};
	const struct config_source source = {.environ = environ};

	snprintf(c, sizeof(c), "FILEMILL_COMMANDS=%s", commands);
	snprintf(p, sizeof(p), "FILEMILL_PIPELINES=%s", pipelines);
	snprintf(d, sizeof(d), "FILEMILL_FILES_DEFAULT_OPS=%s", default_ops);
	return settings_load(s, &source, &strings, e);
}

static void commands_and_pipelines_become_part_of_the_ops(void **state)
{
	const char *commands = "{\"upper\":{\"argv\":[\"/usr/bin/tr\",\"a-z\",\"A-Z\"]}}", *pipelines = "{\"loud\":[\"md5\",\"upper\"]}";
	const struct op_request *requests;
	struct settings s;
	struct err e = ERR_INIT;
	size_t n;

	assert_int_equal(load_maps(&s, &e, commands, pipelines, "upper"), 0);
	assert_int_equal(op_table_find(s.ops, STR("upper"))->kind, OP_COMMAND);
	assert_int_equal(op_table_pipeline(s.ops, STR("loud"), &requests, &n, &e), 0);
	assert_int_equal(n, 2);
	assert_int_equal(load_maps(&s, &e, "", "", "upper"), ERR_BAD_CONFIG);
	assert_non_null(strstr(e.detail, "files.default_ops: \"upper\""));
	assert_int_equal(load_maps(&s, &e, "", pipelines, "md5"), ERR_BAD_CONFIG);
	assert_non_null(strstr(e.detail, "pipelines.loud"));
	assert_int_equal(load_maps(&s, &e, "{\"up\":{\"argv\":[\"tr\"]}}", "", "md5"), ERR_BAD_CONFIG);
	assert_non_null(strstr(e.detail, "commands.up.argv"));
}

static void decoders_get_256_mebibytes_at_least(void **state)
{
	struct settings s;
	struct err e = ERR_INIT;

	assert_int_equal(load(&s, &e, (const char *const[]){"--runner-memory", "256MiB", NULL}), 0);
	assert_int_equal(load(&s, &e, (const char *const[]){"--runner-memory", "255MiB", NULL}), ERR_USAGE);
}

static void default_ops_are_checked_before_anything_is_opened(void **state)
{
	const char *const args[] = {"--files-default-ops", "md6", NULL};
	struct settings s;
	struct err e = ERR_INIT;

	assert_int_equal(load(&s, &e, args), ERR_BAD_CONFIG);
	assert_non_null(strstr(e.detail, "md6"));
}

static void addresses_are_read(void **state)
{
	static const struct {
		const char *text, *address;
		uint16_t port;
		bool ipv6, loopback;
	} rows[] = {
		{"127.0.0.1:8080", "127.0.0.1", 8080, false, true}, {"127.1.2.3:0", "127.1.2.3", 0, false, true},
		{"localhost:1", "127.0.0.1", 1, false, true},       {"0.0.0.0:80", "0.0.0.0", 80, false, false},
		{"[::1]:65535", "::1", 65535, true, true},          {"[::]:80", "::", 80, true, false},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct listen_address a;
		assert_int_equal(listen_parse(&a, rows[i].text, NULL), 0);
		assert_string_equal(a.address, rows[i].address);
		assert_int_equal(a.port, rows[i].port);
		assert_int_equal(a.ipv6, rows[i].ipv6);
		assert_int_equal(a.loopback, rows[i].loopback);
	}
}

#define SYNC "--surfaces-storage-sync-"
#define SYNC_WHOLE SYNC "source", "s3://bucket", SYNC "access-key", "a", SYNC "secret-key", "s", SYNC "secret", "shared"

static void storage_sync_has_a_source_of_its_own(void **state)
{
	struct settings s;
	struct err e;

	assert_int_equal(load(&s, &e, (const char *const[]){"--surface", "storage-sync", SYNC_WHOLE, NULL}), 0);
	assert_int_equal(s.n_s3, 1);
	assert_string_equal(s.s3[0].name, "storage-sync");
	assert_string_equal(s.s3[0].bucket, "bucket");
	assert_string_equal(s.s3[0].endpoint, "https://s3.us-east-1.amazonaws.com");
	assert_int_equal(s.s3[0].attempts, 4);
	assert_int_equal(s.storage_sync_rate.quota, 50);
	assert_int_equal(s.storage_sync_rate.window_ms, 60000);
	assert_int_equal(
		load(&s, &e, (const char *const[]){"--imports-s3-access-key", "b", "--imports-s3-secret-key", "t", SYNC_WHOLE, NULL}), 0);
	assert_int_equal(s.n_s3, 2);
	assert_string_equal(s.s3[0].name, "");
	assert_string_equal(s.s3[1].access_key, "a");
	assert_int_equal(load(&s, &e, (const char *const[]){NULL}), 0);
	assert_int_equal(s.n_s3, 0);
}

static void a_bucket_stands_in_front_of_a_host_and_not_of_an_address(void **state)
{
	static const char *const addresses[] = {"http://127.0.0.1:9000", "https://[2001:db8::1]"};
	struct settings s;
	struct err e = ERR_INIT;

	assert_int_equal(
		load(&s, &e, (const char *const[]){SYNC_WHOLE, SYNC "virtual-host", SYNC "endpoint", "https://s3.example.org", NULL}), 0);
	assert_true(s.s3[0].virtual_host);
	assert_int_equal(load(&s, &e, (const char *const[]){SYNC_WHOLE, NULL}), 0);
	assert_false(s.s3[0].virtual_host);
	for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
		assert_int_equal(load(&s, &e, (const char *const[]){SYNC_WHOLE, SYNC "endpoint", addresses[i], NULL}), 0);
		assert_int_equal(load(&s, &e, (const char *const[]){SYNC_WHOLE, SYNC "virtual-host", SYNC "endpoint", addresses[i], NULL}),
				 ERR_BAD_CONFIG);
	}
}

static void storage_syncs_rate_is_read_as_it_was_written_before(void **state)
{
	static const struct {
		const char *text;
		uint32_t quota;
		int64_t window_ms;
	} good[] = {{"50/m", 50, 60000}, {"7/h", 7, 3600000}, {"3/10s", 3, 10000}, {"off", 0, 1}, {"1/s", 1, 1000}};
	static const char *const bad[] = {"", "50", "/m", "50/", "x/m", "50/x", "0/m", "-1/m", "50/m/m", "99999999999999999999999999/m"};
	struct settings s;
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_int_equal(load(&s, &e, (const char *const[]){SYNC "rate", good[i].text, NULL}), 0);
		assert_int_equal(s.storage_sync_rate.quota, good[i].quota);
		assert_int_equal(s.storage_sync_rate.window_ms, good[i].window_ms);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(load(&s, &e, (const char *const[]){SYNC "rate", bad[i], NULL}), ERR_BAD_CONFIG);
}

static void storage_sync_is_not_served_half_set_up(void **state)
{
	static const char *const sources[] = {"bucket", "s3://", "s3://bucket/prefix", "https://bucket"};
	struct settings s;
	struct err e;

	assert_int_equal(load(&s, &e, (const char *const[]){"--surface", "storage-sync", NULL}), ERR_BAD_CONFIG);
	assert_int_equal(load(&s, &e, (const char *const[]){"--surface", "storage-sync", SYNC_WHOLE, SYNC "secret", "", NULL}),
			 ERR_BAD_CONFIG);
	assert_int_equal(load(&s, &e, (const char *const[]){"--surface", "storage-sync", SYNC_WHOLE, "--imports-at-once", "0", NULL}),
			 ERR_BAD_CONFIG);
	assert_int_equal(load(&s, &e, (const char *const[]){SYNC "source", "s3://bucket", NULL}), ERR_BAD_CONFIG);
	for (size_t i = 0; i < ARRAY_LEN(sources); i++)
		assert_int_equal(load(&s, &e, (const char *const[]){SYNC_WHOLE, SYNC "source", sources[i], NULL}), ERR_BAD_CONFIG);
}

static void what_is_no_address_is_refused(void **state)
{
	static const char *const rows[] = {"",
					   ":",
					   ":80",
					   "127.0.0.1",
					   "127.0.0.1:",
					   "127.0.0.1:x",
					   "127.0.0.1:-1",
					   "127.0.0.1:65536",
					   "nonsense:0",
					   "::1:80",
					   "[::1]",
					   "[]:80",
					   "[127.0.0.1]:80",
					   "[::1:80",
					   "256.0.0.1:80",
					   "[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0001]:80"};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct listen_address a;
		struct err e = ERR_INIT;
		assert_int_equal(listen_parse(&a, rows[i], &e), ERR_BAD_CONFIG);
		assert_non_null(strstr(e.detail, "server.listen"));
	}
}

static void each_option_has_its_own_name_and_says_what_it_is(void **state)
{
	size_t n;
	const struct config_option *o = settings_options(&n);

	for (size_t i = 0; i < n; i++) {
		assert_true(strlen(o[i].help) > 10 && o[i].help[strlen(o[i].help) - 1] == '.');
		for (size_t k = 0; k < i; k++)
			assert_false(strcmp(o[i].section, o[k].section) == 0 && strcmp(o[i].key, o[k].key) == 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(the_defaults_are_those_promised, drop_strings),
		cmocka_unit_test_teardown(no_number_of_job_threads_means_one_a_core_and_at_least_two, drop_strings),
		cmocka_unit_test_teardown(a_webhooks_schedule_is_a_list_of_pauses_that_begins_at_once, drop_strings),
		cmocka_unit_test_teardown(where_requests_may_go_is_given_as_address_ranges, drop_strings),
		cmocka_unit_test_teardown(what_the_seal_may_lack_is_named, drop_strings),
		cmocka_unit_test_teardown(commands_and_pipelines_become_part_of_the_ops, drop_strings),
		cmocka_unit_test_teardown(decoders_get_256_mebibytes_at_least, drop_strings),
		cmocka_unit_test_teardown(default_ops_are_checked_before_anything_is_opened, drop_strings),
		cmocka_unit_test(addresses_are_read),
		cmocka_unit_test(what_is_no_address_is_refused),
		cmocka_unit_test_teardown(storage_sync_has_a_source_of_its_own, drop_strings),
		cmocka_unit_test_teardown(a_bucket_stands_in_front_of_a_host_and_not_of_an_address, drop_strings),
		cmocka_unit_test_teardown(storage_syncs_rate_is_read_as_it_was_written_before, drop_strings),
		cmocka_unit_test_teardown(storage_sync_is_not_served_half_set_up, drop_strings),
		cmocka_unit_test(each_option_has_its_own_name_and_says_what_it_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
