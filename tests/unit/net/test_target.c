#include "base/compiler.h"
#include "net/target.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void a_plain_url_is_taken_apart(void **state)
{
	static const struct {
		const char *url;
		bool tls;
		int literal;
		unsigned port;
		const char *host, *rest;
	} cases[] = {
		{"https://example.org", true, 0, 443, "example.org", ""},
		{"https://example.org/", true, 0, 443, "example.org", "/"},
		{"http://example.org/a/b", false, 0, 80, "example.org", "/a/b"},
		{"HTTPS://EXAMPLE.org/A?B=c", true, 0, 443, "example.org", "/A?B=c"},
		{"https://example.org?x=1", true, 0, 443, "example.org", "?x=1"},
		{"https://example.org:8443/hook", true, 0, 8443, "example.org", "/hook"},
		{"https://example.org:443", true, 0, 443, "example.org", ""},
		{"https://example.org:80/", true, 0, 80, "example.org", "/"},
		{"http://example.org:443/", false, 0, 443, "example.org", "/"},
		{"https://example.org:1024/", true, 0, 1024, "example.org", "/"},
		{"https://example.org:65535/", true, 0, 65535, "example.org", "/"},
		{"https://hook_1.my-site.example/", true, 0, 443, "hook_1.my-site.example", "/"},
		{"https://xn--bcher-kva.example/", true, 0, 443, "xn--bcher-kva.example", "/"},
		{"https://1.example/", true, 0, 443, "1.example", "/"},
		{"https://0x7f.example/", true, 0, 443, "0x7f.example", "/"},
		{"https://8.8.8.8/x", true, AF_INET, 443, "8.8.8.8", "/x"},
		{"https://8.8.8.8:9443", true, AF_INET, 9443, "8.8.8.8", ""},
		{"https://[2606:4700:4700::1111]/x", true, AF_INET6, 443, "2606:4700:4700::1111", "/x"},
		{"https://[2606:4700:4700::AbCd]:8443?q", true, AF_INET6, 8443, "2606:4700:4700::abcd", "?q"},
		{"https://example.org/%2e%2E/../a@b:c[d]?e=f/g?h", true, 0, 443, "example.org", "/%2e%2E/../a@b:c[d]?e=f/g?h"},
		{"https://localhost.example.org/", true, 0, 443, "localhost.example.org", "/"},
		{"https://notlocalhost/", true, 0, 443, "notlocalhost", "/"},
	};
	const struct target_policy policy = {.http = true};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err e = ERR_INIT;
		struct target t;

		if (target_parse(&t, str_of(cases[i].url), &policy, &e) != 0)
			fail_msg("%s: %s", cases[i].url, e.detail);
		assert_int_equal(t.tls, cases[i].tls);
		assert_int_equal(t.literal, cases[i].literal);
		assert_int_equal(t.port, cases[i].port);
		assert_string_equal(t.host, cases[i].host);
		assert_true(str_eq(t.rest, str_of(cases[i].rest)));
	}
}

static const char *const bad_urls[] = {
	/* schemes */
	"",
	"x",
	"example.org",
	"//example.org/",
	"/path",
	"https",
	"https:",
	"https:/",
	"https:/example.org",
	"https:example.org",
	"://example.org",
	"file:///etc/passwd",
	"file://example.org/x",
	"ftp://example.org/",
	"gopher://example.org:70/_x",
	"dict://example.org:11111/",
	"ldap://example.org",
	"unix:///run/docker.sock",
	"http+unix://%2frun%2fdocker.sock/x",
	"ws://example.org",
	"data:text/plain,x",
	"javascript:alert(1)",
	"httpss://example.org",
	"http s://example.org",
	" https://example.org",
	"https ://example.org",
	"jar:https://example.org!/",
	/* loopback and the rest in all notations that some reader takes */
	"http://127.0.0.1",
	"http://127.0.0.1:80/",
	"http://127.1",
	"http://127.0.1",
	"http://0",
	"http://0.0.0.0",
	"http://00.0.0.0",
	"http://2130706433",
	"http://0x7f000001",
	"http://0x7f.1",
	"http://0x7f.0.0.1",
	"http://0X7F.0.0.0x1",
	"http://017700000001",
	"http://0177.0.0.1",
	"http://0177.1",
	"http://127.0.0.01",
	"http://127.0.0.001",
	"http://127.00.0.1",
	"http://127.0.0.1.",
	"http://127.0.0.1..",
	"http://127.0.0.0x1",
	"http://127.0.0.256",
	"http://127.0.0.1.1",
	"http://127.0.0.1.0",
	"http://4294967296",
	"http://4294967297",
	"http://99999999999",
	"http://0x",
	"http://1.2.3",
	"http://8.8.2056",
	"http://8.525320",
	"http://134744072",
	"http://8.8.8.8.",
	"http://8.8.8.08",
	"http://example.0x7f",
	"http://example.127",
	"http://example.org.1",
	"http://0.0x7f",
	"http://-127.0.0.1",
	"http://+127.0.0.1",
	"http://127.0.0.-1",
	"http://127。0。0。1",
	"http://①②⑦.0.0.1",
	"http://１２７.0.0.1",
	"http://ⓛocalhost",
	"http://ex\xc3\xa4mple.org",
	"http://exa\xadmple.org",
	"http://%31%32%37.0.0.1",
	"http://127%2e0%2e0%2e1",
	"http://loc%61lhost",
	"http://example%2eorg",
	"http://example%00.org",
	"http://[::]",
	"http://[::1]",
	"http://[::1]:8080/",
	"http://[0:0:0:0:0:0:0:1]",
	"http://[0000::0001]",
	"http://[::ffff:127.0.0.1]",
	"http://[::ffff:7f00:1]",
	"http://[::ffff:8.8.8.8]",
	"http://[::127.0.0.1]",
	"http://[64:ff9b::7f00:1]",
	"http://[64:ff9b::8.8.8.8]",
	"http://[2002:7f00:1::]",
	"http://[2001:0:4136:e378:8000:63bf:3fff:fdd2]",
	"http://[fd00:ec2::254]",
	"http://[fe80::1]",
	"http://[fe80::1%25eth0]",
	"http://[fe80::1%eth0]",
	"http://[ff02::1]",
	"http://[::1",
	"http://::1",
	"http://::1]",
	"http://[]",
	"http://[:]",
	"http://[::1]x",
	"http://[::1]@8.8.8.8",
	"http://[2606:4700:4700::1111",
	"http://[2606:4700:4700::1111]x/",
	"http://[2606:4700:4700::1111].example.org/",
	"http://[2606:4700:4700::1111]8443",
	"http://[8.8.8.8]",
	"http://[v1.x]",
	"http://2606:4700:4700::1111/",
	"http://[2606:4700:4700::1111]]",
	"http://[[2606:4700:4700::1111]]",
	"http://[1:2:3:4:5:6:7:8:9]",
	"http://[::ffff:0:127.0.0.1]",
	"http://[2606:4700:4700::1111%251]",
	"http://localhost",
	"http://LOCALHOST/",
	"http://localhost:8080",
	"http://a.localhost",
	"http://localhost.",
	"http://.localhost",
	"http://169.254.169.254/latest/meta-data/",
	"http://10.0.0.1",
	"http://172.16.0.1",
	"http://192.168.1.1",
	"http://100.100.100.200",
	"http://168.63.129.16",
	"http://255.255.255.255",
	"http://224.0.0.1",
	"http://192.0.0.192",
	/* two readers, two hosts */
	"http://user@example.org",
	"http://user:pass@example.org/",
	"http://@example.org",
	"http://:@example.org",
	"http://example.org@127.0.0.1",
	"http://127.0.0.1@example.org",
	"http://example.org:80@127.0.0.1/",
	"http://example.org#@127.0.0.1",
	"https://example.org#@127.0.0.1/",
	"http://example.org/#x",
	"http://example.org#",
	"http://example.org\\@127.0.0.1",
	"http://127.0.0.1\\.example.org",
	"http:\\\\example.org",
	"http:/\\example.org",
	"http://example.org\\",
	"http://example.org/\\",
	"http:///example.org",
	"http:////example.org",
	"http://",
	"http:///",
	"http://?",
	"http://?x",
	"http:///path",
	"http://:80",
	"http://:80/",
	"http://example.org,127.0.0.1",
	"http://example.org;127.0.0.1",
	"http://example.org&@127.0.0.1",
	"http://foo@127.0.0.1 @example.org",
	"http://example.org%40127.0.0.1",
	"http://example.org*",
	"http://(example).org",
	"http://exa mple.org",
	"http://example.org /",
	"http://example.org/a b",
	"http://example.org/\t",
	"http://exa\tmple.org",
	"http://exa\nmple.org",
	"http://example.org/\r\nHost: x",
	"http://example.org/\x01",
	"http://example.org/\x7f",
	"http://example.org/\xff",
	"http://example.org/<x>",
	"http://example.org/\"",
	"http://example.org/{x}",
	"http://example.org/|",
	"http://example.org/^",
	"http://example.org/`",
	"http://example.org/%",
	"http://example.org/%4",
	"http://example.org/%4g",
	"http://example.org/%zz",
	"http://example.org/%",
	/* names */
	"http://example..org",
	"http://.example.org",
	"http://example.org.",
	"http://example.org./",
	"http://.",
	"http://..",
	"http://-example.org",
	"http://example-.org",
	"http://example.-org",
	"http://a.b-",
	"http://exam!ple.org",
	"http://exam$ple.org",
	"http://exam~ple.org",
	/* ports */
	"http://example.org:",
	"http://example.org:/",
	"http://example.org:0",
	"http://example.org:00080",
	"http://example.org:080",
	"http://example.org:+80",
	"http://example.org:-80",
	"http://example.org: 80",
	"http://example.org:8O",
	"http://example.org:65536",
	"http://example.org:99999",
	"http://example.org:100000",
	"http://example.org:18446744073709551696",
	"http://example.org:80:80",
	"http://example.org:0x50",
	"http://example.org:80x",
	"http://example.org:1",
	"http://example.org:21",
	"http://example.org:22",
	"http://example.org:23",
	"http://example.org:25",
	"http://example.org:53",
	"http://example.org:79",
	"http://example.org:81",
	"http://example.org:110",
	"http://example.org:143",
	"http://example.org:389",
	"http://example.org:442",
	"http://example.org:444",
	"http://example.org:445",
	"http://example.org:465",
	"http://example.org:587",
	"http://example.org:631",
	"http://example.org:993",
	"http://example.org:1023",
	"http://example.org:1719",
	"http://example.org:1720",
	"http://example.org:1723",
	"http://example.org:2049",
	"http://example.org:3659",
	"http://example.org:4045",
	"http://example.org:4190",
	"http://example.org:5060",
	"http://example.org:5061",
	"http://example.org:6000",
	"http://example.org:6566",
	"http://example.org:6665",
	"http://example.org:6666",
	"http://example.org:6667",
	"http://example.org:6668",
	"http://example.org:6669",
	"http://example.org:6679",
	"http://example.org:6697",
	"http://example.org:10080",
};

static void every_url_that_could_be_read_in_two_ways_is_refused(void **state)
{
	const struct target_policy policy = {.http = true};

	for (size_t i = 0; i < ARRAY_LEN(bad_urls); i++) {
		struct target t = {.port = 7};
		struct err e = ERR_INIT;

		if (target_parse(&t, str_of(bad_urls[i]), &policy, &e) != ERR_URL_NOT_ALLOWED)
			fail_msg("\"%s\" is taken", bad_urls[i]);
		assert_int_equal(e.code, ERR_URL_NOT_ALLOWED);
		assert_string_not_equal(e.detail, "");
		assert_int_equal(t.port, 7);
	}
}

static void who_wrote_it_learns_what_is_wrong_with_a_url(void **state)
{
	static const struct {
		const char *url, *told;
	} cases[] = {
		{"https://user@example.org/", "the URL must not hold a user name or password"},
		{"https://example.org/#x", "a URL to send to has no fragment"},
		{"https://ex\xc3\xa4mple.org/",
		 "the URL has bytes outside ASCII: names are written in their xn-- form, the rest with % escapes"},
		{"https://127.1/", "the host is a number that is no address of four decimal numbers"},
		{"https://10.0.0.1/", "the host has a private address"},
		{"https://[fd00::1]/", "the host has a private address"},
		{"https://localhost/", "the host is this machine"},
		{"https://example.org:22/", "the port is not allowed"},
		{"https://example.org:6667/", "the port belongs to a service that is not HTTP"},
		{"ftp://example.org/", "the scheme is not allowed"},
		{"http://example.org/", "http is not allowed here"},
	};
	const struct target_policy policy = {};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err e = ERR_INIT;
		struct target t;

		assert_int_equal(target_parse(&t, str_of(cases[i].url), &policy, &e), ERR_URL_NOT_ALLOWED);
		assert_string_equal(e.detail, cases[i].told);
	}
}

static void a_byte_of_zero_ends_no_url(void **state)
{
	static const char url[] = "https://example.org\0.evil.example/", path[] = "https://example.org/\0x";
	const struct target_policy policy = {};
	struct target t;

	assert_int_equal(target_parse(&t, (struct str){url, sizeof(url) - 1}, &policy, NULL), ERR_URL_NOT_ALLOWED);
	assert_int_equal(target_parse(&t, (struct str){path, sizeof(path) - 1}, &policy, NULL), ERR_URL_NOT_ALLOWED);
}

static void http_is_refused_unless_it_is_allowed(void **state)
{
	const struct target_policy strict = {}, loose = {.http = true};
	struct err e = ERR_INIT;
	struct target t;

	assert_int_equal(target_parse(&t, STR("http://example.org/"), &strict, &e), ERR_URL_NOT_ALLOWED);
	assert_string_equal(e.expected, "https://");
	assert_int_equal(target_parse(&t, STR("https://example.org/"), &strict, NULL), 0);
	assert_int_equal(target_parse(&t, STR("http://example.org/"), &loose, NULL), 0);
}

static void localhost_and_literals_pass_where_their_address_is_allowed(void **state)
{
	const struct target_policy policy = {.http = true, .allow_n = 2, .allow = {{AF_INET, 8, {127}}, {AF_INET6, 8, {0xfd}}}};
	struct target t;

	assert_int_equal(target_parse(&t, STR("http://localhost:8080/x"), &policy, NULL), 0);
	assert_int_equal(target_parse(&t, STR("http://a.localhost/"), &policy, NULL), 0);
	assert_int_equal(target_parse(&t, STR("http://127.0.0.1/"), &policy, NULL), 0);
	assert_int_equal(target_parse(&t, STR("http://[fd00::1]/"), &policy, NULL), 0);
	assert_int_equal(target_parse(&t, STR("http://127.1/"), &policy, NULL), ERR_URL_NOT_ALLOWED);
	assert_int_equal(target_parse(&t, STR("http://[::1]/"), &policy, NULL), ERR_URL_NOT_ALLOWED);
	assert_int_equal(target_parse(&t, STR("http://127.0.0.1:22/"), &policy, NULL), ERR_URL_NOT_ALLOWED);
}

static void lengths_are_taken_up_to_their_limits(void **state)
{
	const struct target_policy policy = {};
	char url[TARGET_URL_MAX + 2], label[65], name[300];
	struct target t;

	memset(url, 'a', sizeof(url));
	memcpy(url, "https://a/", 10);
	assert_int_equal(target_parse(&t, (struct str){url, TARGET_URL_MAX}, &policy, NULL), 0);
	assert_int_equal(target_parse(&t, (struct str){url, TARGET_URL_MAX + 1}, &policy, NULL), ERR_URL_NOT_ALLOWED);

	memset(label, 'b', sizeof(label));
	snprintf(name, sizeof(name), "https://%.63s.example/", label);
	assert_int_equal(target_parse(&t, str_of(name), &policy, NULL), 0);
	snprintf(name, sizeof(name), "https://%.64s.example/", label);
	assert_int_equal(target_parse(&t, str_of(name), &policy, NULL), ERR_URL_NOT_ALLOWED);

	snprintf(name, sizeof(name), "https://%.63s.%.63s.%.63s.%.61s/", label, label, label, label);
	assert_int_equal(target_parse(&t, str_of(name), &policy, NULL), 0);
	assert_int_equal(strlen(t.host), TARGET_HOST_MAX);
	snprintf(name, sizeof(name), "https://%.63s.%.63s.%.63s.%.62s/", label, label, label, label);
	assert_int_equal(target_parse(&t, str_of(name), &policy, NULL), ERR_URL_NOT_ALLOWED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_plain_url_is_taken_apart),
		cmocka_unit_test(every_url_that_could_be_read_in_two_ways_is_refused),
		cmocka_unit_test(who_wrote_it_learns_what_is_wrong_with_a_url),
		cmocka_unit_test(a_byte_of_zero_ends_no_url),
		cmocka_unit_test(http_is_refused_unless_it_is_allowed),
		cmocka_unit_test(localhost_and_literals_pass_where_their_address_is_allowed),
		cmocka_unit_test(lengths_are_taken_up_to_their_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
