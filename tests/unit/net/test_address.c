#include "base/compiler.h"
#include "net/target.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <string.h>

#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static int check(const char *text, const struct target_policy *policy, struct err *e)
{
	struct sockaddr_storage addr = {};

	if (inet_pton(AF_INET, text, &((struct sockaddr_in *)&addr)->sin_addr) == 1)
		addr.ss_family = AF_INET;
	else if (inet_pton(AF_INET6, text, &((struct sockaddr_in6 *)&addr)->sin6_addr) == 1)
		addr.ss_family = AF_INET6;
	else
		fail_msg("%s is no address", text);
	return target_check_address((const struct sockaddr *)&addr, policy, e);
}

/* Both ends of each range that is refused, and what stands in the midst and is known. */
static const char *const refused[] = {
	"0.0.0.0",
	"0.0.0.1",
	"0.1.2.3",
	"0.255.255.255", /* this network */
	"10.0.0.0",
	"10.0.0.1",
	"10.96.0.1",
	"10.255.255.255", /* private */
	"100.64.0.0",
	"100.64.0.1",
	"100.100.100.200",
	"100.127.255.255", /* carriers; Alibaba's metadata */
	"127.0.0.0",
	"127.0.0.1",
	"127.0.0.53",
	"127.1.2.3",
	"127.255.255.255", /* loopback */
	"168.63.129.16", /* Azure's metadata */
	"169.254.0.0",
	"169.254.0.1",
	"169.254.169.123",
	"169.254.169.253",
	"169.254.169.254",
	"169.254.170.2",
	"169.254.255.255", /* link-local */
	"172.16.0.0",
	"172.16.0.1",
	"172.17.0.1",
	"172.20.10.1",
	"172.31.255.255", /* private; Docker */
	"192.0.0.0",
	"192.0.0.1",
	"192.0.0.9",
	"192.0.0.170",
	"192.0.0.192",
	"192.0.0.255", /* protocol assignments; Oracle's metadata */
	"192.0.2.0",
	"192.0.2.1",
	"192.0.2.255", /* documentation */
	"192.88.99.0",
	"192.88.99.1",
	"192.88.99.255", /* 6to4 relays */
	"192.168.0.0",
	"192.168.0.1",
	"192.168.1.1",
	"192.168.255.255", /* private */
	"198.18.0.0",
	"198.18.0.1",
	"198.19.0.0",
	"198.19.255.255", /* benchmarks */
	"198.51.100.0",
	"198.51.100.1",
	"198.51.100.255", /* documentation */
	"203.0.113.0",
	"203.0.113.1",
	"203.0.113.255", /* documentation */
	"224.0.0.0",
	"224.0.0.1",
	"224.0.0.251",
	"233.252.0.1",
	"239.255.255.255", /* multicast */
	"240.0.0.0",
	"240.0.0.1",
	"254.255.255.255",
	"255.255.255.254",
	"255.255.255.255", /* reserved, broadcast */

	"::",
	"::1",
	"::2",
	"::ffff",
	"::1:0", /* unspecified, loopback, what looks like them */
	"::0.0.0.0",
	"::0.0.0.2",
	"::10.0.0.1",
	"::127.0.0.1",
	"::169.254.169.254",
	"::8.8.8.8",
	"::255.255.255.255", /* compatible */
	"::ffff:0.0.0.0",
	"::ffff:10.0.0.1",
	"::ffff:127.0.0.1",
	"::ffff:169.254.169.254",
	"::ffff:8.8.8.8",
	"::ffff:255.255.255.255", /* mapped */
	"::ffff:0:0.0.0.0",
	"::ffff:0:127.0.0.1",
	"::ffff:0:8.8.8.8", /* translated */
	"64:ff9b::",
	"64:ff9b::10.0.0.1",
	"64:ff9b::127.0.0.1",
	"64:ff9b::169.254.169.254",
	"64:ff9b::8.8.8.8",
	"64:ff9b::255.255.255.255", /* NAT64 */
	"64:ff9b:1::",
	"64:ff9b:1::1",
	"64:ff9b:1:ffff:ffff:ffff:ffff:ffff",
	"64:ff9b:2::1",
	"64:ff9b::1:0:0", /* local NAT64 and around */
	"100::",
	"100::1",
	"100::ffff:ffff:ffff:ffff",
	"100:0:0:1::1", /* discard */
	"2001::",
	"2001::1",
	"2001:0:4136:e378:8000:63bf:3fff:fdd2",
	"2001:0:ffff:ffff:ffff:ffff:ffff:ffff", /* Teredo */
	"2001:1::1",
	"2001:2::",
	"2001:2:0:ffff::1",
	"2001:3::1",
	"2001:4:112::1",
	"2001:10::1",
	"2001:1f:ffff::1",
	"2001:20::1",
	"2001:2f::1",
	"2001:30::1",
	"2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", /* protocol assignments, ORCHID, drones */
	"2001:db8::",
	"2001:db8::1",
	"2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", /* documentation */
	"2002::",
	"2002:a00:1::",
	"2002:7f00:1::1",
	"2002:a9fe:a9fe::1",
	"2002:808:808::1",
	"2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", /* 6to4 */
	"3fff::",
	"3fff::1",
	"3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", /* documentation */
	"200::1",
	"400::1",
	"800::1",
	"1000::1",
	"1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", /* below global unicast */
	"4000::",
	"4000::1",
	"5f00::1",
	"6000::1",
	"8000::1",
	"a000::1",
	"c000::1",
	"e000::1",
	"f000::1",
	"f800::1",
	"fbff:ffff::1", /* above it */
	"fc00::",
	"fc00::1",
	"fd00::1",
	"fd00:ec2::254",
	"fd12:3456:789a::1",
	"fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", /* private; Amazon's metadata */
	"fe00::1",
	"fe7f:ffff::1",
	"fe80::",
	"fe80::1",
	"fe80::a9fe:a9fe",
	"febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", /* link-local */
	"fec0::",
	"fec0::1",
	"feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", /* site-local */
	"ff00::",
	"ff01::1",
	"ff02::1",
	"ff02::fb",
	"ff05::1:3",
	"ff0e::1",
	"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", /* multicast */
};

/* Just outside of each range that is refused, and some that are known. */
static const char *const passing[] = {
	"1.0.0.0",
	"1.1.1.1",
	"8.8.8.8",
	"9.255.255.255",
	"11.0.0.0",
	"93.184.216.34",
	"100.63.255.255",
	"100.128.0.0",
	"126.255.255.255",
	"128.0.0.0",
	"168.63.129.15",
	"168.63.129.17",
	"169.253.255.255",
	"169.255.0.0",
	"172.15.255.255",
	"172.32.0.0",
	"191.255.255.255",
	"192.0.1.0",
	"192.0.1.255",
	"192.0.3.0",
	"192.88.98.255",
	"192.88.100.0",
	"192.167.255.255",
	"192.169.0.0",
	"198.17.255.255",
	"198.20.0.0",
	"198.51.99.255",
	"198.51.101.0",
	"203.0.112.255",
	"203.0.114.0",
	"223.255.255.255",
	"2000::",
	"2000::1",
	"2001:200::",
	"2001:200::1",
	"2001:4860:4860::8888",
	"2001:db7:ffff::1",
	"2001:db9::1",
	"2003::1",
	"2400:cb00::1",
	"2606:4700:4700::1111",
	"2620:fe::fe",
	"2a00:1450:4001:81b::200e",
	"3ffe:ffff::1",
	"3fff:1000::1",
	"3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
};

static void every_address_that_is_not_of_the_public_internet_is_refused(void **state)
{
	const struct target_policy strict = {};

	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		struct err e = ERR_INIT;

		if (check(refused[i], &strict, &e) != ERR_BLOCKED)
			fail_msg("%s passes", refused[i]);
		assert_string_not_equal(e.detail, "");
		/* Who asks does not learn where a name leads. */
		if (strlen(refused[i]) > 3)
			assert_null(strstr(e.detail, refused[i]));
	}
}

static void every_address_beside_a_refused_range_passes(void **state)
{
	const struct target_policy strict = {};

	for (size_t i = 0; i < ARRAY_LEN(passing); i++) {
		if (check(passing[i], &strict, NULL) != 0)
			fail_msg("%s is refused", passing[i]);
	}
}

static void what_is_no_internet_address_is_refused(void **state)
{
	const struct sockaddr local = {.sa_family = AF_UNIX}, none = {};
	const struct target_policy strict = {};

	assert_int_equal(target_check_address(&local, &strict, NULL), ERR_BLOCKED);
	assert_int_equal(target_check_address(&none, &strict, NULL), ERR_BLOCKED);
}

/* Takes ranges until NULL. */
static struct target_policy allowing(const char *first, ...)
{
	struct target_policy policy = {.http = true};
	va_list ap;

	va_start(ap, first);
	for (const char *text = first; text; text = va_arg(ap, const char *))
		assert_int_equal(ip_range_parse(&policy.allow[policy.allow_n++], str_of(text), NULL), 0);
	va_end(ap);
	return policy;
}

static void an_allowed_range_passes_up_to_its_ends_and_no_further(void **state)
{
	static const struct {
		const char *range, *first, *last, *before, *behind;
	} cases[] = {
		{"10.1.2.0/24", "10.1.2.0", "10.1.2.255", "10.1.1.255", "10.1.3.0"},
		{"10.0.0.0/8", "10.0.0.0", "10.255.255.255", "0.255.255.255", "127.0.0.1"},
		{"192.168.7.4/30", "192.168.7.4", "192.168.7.7", "192.168.7.3", "192.168.7.8"},
		{"192.168.7.5", "192.168.7.5", "192.168.7.5", "192.168.7.4", "192.168.7.6"},
		{"127.0.0.0/9", "127.0.0.1", "127.127.255.255", "10.0.0.1", "127.128.0.0"},
		{"fd00:1::/32", "fd00:1::", "fd00:1:ffff:ffff:ffff:ffff:ffff:ffff", "fd00:0:ffff:ffff:ffff:ffff:ffff:ffff", "fd00:2::"},
		{"fd00::7/128", "fd00::7", "fd00::7", "fd00::6", "fd00::8"},
		{"::1", "::1", "::1", "::", "::2"},
		{"fe80::/10", "fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fe7f::1", "fec0::"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct target_policy policy = allowing(cases[i].range, (const char *)NULL);

		assert_int_equal(check(cases[i].first, &policy, NULL), 0);
		assert_int_equal(check(cases[i].last, &policy, NULL), 0);
		assert_int_equal(check(cases[i].before, &policy, NULL), ERR_BLOCKED);
		assert_int_equal(check(cases[i].behind, &policy, NULL), ERR_BLOCKED);
		assert_int_equal(check("169.254.169.254", &policy, NULL), ERR_BLOCKED);
	}
}

static void a_range_of_one_family_allows_nothing_of_the_other(void **state)
{
	const struct target_policy four = allowing("0.0.0.0/0", (const char *)NULL), six = allowing("::/0", (const char *)NULL);

	assert_int_equal(check("10.0.0.1", &four, NULL), 0);
	assert_int_equal(check("::1", &four, NULL), ERR_BLOCKED);
	assert_int_equal(check("::ffff:10.0.0.1", &four, NULL), ERR_BLOCKED);
	assert_int_equal(check("::1", &six, NULL), 0);
	assert_int_equal(check("10.0.0.1", &six, NULL), ERR_BLOCKED);
}

static void an_allowed_form_that_carries_an_address_passes_only_with_an_allowed_address_inside(void **state)
{
	static const struct {
		const char *range, *public, *private;
	} forms[] = {
		{"64:ff9b::/96", "64:ff9b::8.8.8.8", "64:ff9b::10.0.0.1"},
		{"::ffff:0:0/96", "::ffff:8.8.8.8", "::ffff:10.0.0.1"},
		{"::/96", "::8.8.8.8", "::10.0.0.1"},
		{"2002::/16", "2002:808:808::1", "2002:a00:1::1"},
		/* Teredo flips the bits: f7f7:f7f7 is 8.8.8.8, f5ff:fffe is 10.0.0.1. */
		{"2001::/32", "2001::f7f7:f7f7", "2001::f5ff:fffe"},
	};

	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		const struct target_policy form = allowing(forms[i].range, (const char *)NULL);
		const struct target_policy both = allowing(forms[i].range, "10.0.0.0/8", (const char *)NULL);

		assert_int_equal(check(forms[i].public, &form, NULL), 0);
		assert_int_equal(check(forms[i].private, &form, NULL), ERR_BLOCKED);
		assert_int_equal(check(forms[i].private, &both, NULL), 0);
	}
}

static void ranges_are_read_strictly(void **state)
{
	static const char *const bad[] = {
		"",
		"/",
		"10",
		"10.0.0.0/",
		"10.0.0.0/33",
		"10.0.0.0/-1",
		"10.0.0.0/+8",
		"10.0.0.0/8 ",
		" 10.0.0.0/8",
		"10.0.0.0/8/8",
		"10.0.0.1/8",
		"10.0.0/8",
		"010.0.0.0/8",
		"0x0a.0.0.0/8",
		"fd00::/129",
		"fd00::1/64",
		"[fd00::]/8",
		"fd00::%eth0/64",
		"fd00::/999999999999999999999",
		"localhost",
		"example.org",
		"10.0.0.0/255.0.0.0",
		"1111:2222:3333:4444:5555:6666:7777:8888:9999/8",
	};
	struct ip_range r = {};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (ip_range_parse(&r, str_of(bad[i]), NULL) != ERR_BAD_CONFIG)
			fail_msg("\"%s\" is taken", bad[i]);
	}
	assert_int_equal(ip_range_parse(&r, (struct str){"10.0.0.0\0/8", 11}, NULL), ERR_BAD_CONFIG);
	assert_int_equal(r.family, 0);
	assert_int_equal(ip_range_parse(&r, STR("0.0.0.0/0"), NULL), 0);
	assert_int_equal(r.bits, 0);
	assert_int_equal(ip_range_parse(&r, STR("255.255.255.255"), NULL), 0);
	assert_int_equal(r.bits, 32);
	assert_int_equal(ip_range_parse(&r, STR("FD00::/8"), NULL), 0);
	assert_int_equal(r.family, AF_INET6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_address_that_is_not_of_the_public_internet_is_refused),
		cmocka_unit_test(every_address_beside_a_refused_range_passes),
		cmocka_unit_test(what_is_no_internet_address_is_refused),
		cmocka_unit_test(an_allowed_range_passes_up_to_its_ends_and_no_further),
		cmocka_unit_test(a_range_of_one_family_allows_nothing_of_the_other),
		cmocka_unit_test(an_allowed_form_that_carries_an_address_passes_only_with_an_allowed_address_inside),
		cmocka_unit_test(ranges_are_read_strictly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
