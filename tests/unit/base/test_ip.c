#include "base/ip.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static bool in(const char *range, const char *address)
{
	struct ip_range r;
	struct in6_addr a;

	assert_int_equal(ip_range_parse(&r, str_of(range), NULL), 0);
	assert_true(ip_parse(&a, str_of(address)));
	return ip_in(&r, 1, &a);
}

static void a_range_has_its_first_and_last_address_and_none_beside(void **state)
{
	assert_true(in("10.0.0.0/9", "10.0.0.0"));
	assert_true(in("10.0.0.0/9", "10.127.255.255"));
	assert_false(in("10.0.0.0/9", "10.128.0.0"));
	assert_false(in("10.0.0.0/9", "9.255.255.255"));
	assert_true(in("2001:db8::/33", "2001:db8:7fff:ffff::1"));
	assert_false(in("2001:db8::/33", "2001:db8:8000::"));
	assert_true(in("192.0.2.7", "192.0.2.7"));
	assert_false(in("192.0.2.7", "192.0.2.6"));
	assert_true(in("0.0.0.0/0", "255.255.255.255"));
	assert_true(in("::/0", "2001:db8::1"));
}

static void a_mapped_address_is_one_of_the_other_family(void **state)
{
	assert_true(in("127.0.0.0/8", "::ffff:127.0.0.1"));
	assert_false(in("::/0", "127.0.0.1"));
	assert_false(in("0.0.0.0/0", "::1"));
}

static void no_range_has_nothing(void **state)
{
	assert_false(ip_in(NULL, 0, &in6addr_loopback));
}

static void addresses_are_written_as_they_are_read(void **state)
{
	static const char *const texts[] = {"192.0.2.7", "2001:db8::1", "::", "::1"};
	char text[INET6_ADDRSTRLEN];
	struct in6_addr a;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		assert_true(ip_parse(&a, str_of(texts[i])));
		ip_format(text, &a);
		assert_string_equal(text, texts[i]);
	}
	static const char *const bad[] = {"", "192.0.2", "192.0.2.007.1", "[::1]", "::1%lo", "192.0.2.7:80", "localhost", "1.2.3.4 "};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (ip_parse(&a, str_of(bad[i])))
			fail_msg("\"%s\" is taken", bad[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_range_has_its_first_and_last_address_and_none_beside),
		cmocka_unit_test(a_mapped_address_is_one_of_the_other_family),
		cmocka_unit_test(no_range_has_nothing),
		cmocka_unit_test(addresses_are_written_as_they_are_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
