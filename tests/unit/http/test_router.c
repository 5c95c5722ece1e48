/* Routes as a table: which are refused when compiled, and how the table is written down. */
#include "http/router.h"

#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct http_handler none;

static int compile(const struct http_route *table)
{
	const struct http_route *const tables[] = {table, NULL};
	struct router *r = NULL;
	struct err e = ERR_INIT;
	int rc = router_new(&r, tables, &e);

	if (!rc)
		router_free(r);
	return rc;
}

static void wrong_tables_do_not_compile(void **state)
{
	assert_int_equal(compile((struct http_route[]){{HTTP_GET, "/a", &none}, {HTTP_GET, "/a", &none}, {}}), ERR_INTERNAL);
	assert_int_equal(compile((struct http_route[]){{HTTP_GET, "/{a}", &none}, {HTTP_GET, "/{b}", &none}, {}}), ERR_INTERNAL);
	assert_int_equal(compile((struct http_route[]){{HTTP_GET, "/a", &none, .any_slash = true}, {HTTP_GET, "/a/", &none}, {}}),
			 ERR_INTERNAL);
	assert_int_equal(compile((struct http_route[]){{HTTP_GET, "a", &none}, {}}), ERR_INTERNAL);
	assert_int_equal(compile((struct http_route[]){{HTTP_GET, "/a//b", &none}, {}}), ERR_INTERNAL);
	assert_int_equal(compile((struct http_route[]){{HTTP_GET, "/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}", &none}, {}}), ERR_INTERNAL);
	assert_int_equal(compile((struct http_route[]){{HTTP_GET, "/a", &none}, {HTTP_POST, "/a", &none}, {HTTP_GET, "/a/", &none}, {}}),
			 0);
	assert_int_equal(compile((struct http_route[]){{}}), 0);
}

static void parameters_are_found_by_name(void **state)
{
	const struct http_route table[] = {{HTTP_GET, "/{a}/x/{b}", &none}, {HTTP_PUT, "/{other}/x/y", &none}, {}};
	const struct http_route *const tables[] = {table, NULL};
	struct router *r = NULL;
	struct route_match m;

	assert_int_equal(router_new(&r, tables, NULL), 0);
	router_find(r, HTTP_GET, STR("/1/x/y"), &m);
	assert_ptr_equal(m.route, &table[0]);
	assert_true(str_eq(route_param(&m, "a"), STR("1")));
	assert_true(str_eq(route_param(&m, "b"), STR("y")));
	assert_null(route_param(&m, "other").p);
	router_find(r, HTTP_PUT, STR("/1/x/y"), &m);
	assert_true(str_eq(route_param(&m, "other"), STR("1")));
	router_find(r, HTTP_DELETE, STR("/1/x/y"), &m);
	assert_null(m.route);
	assert_int_equal(m.allowed, 1u << HTTP_GET | 1u << HTTP_HEAD | 1u << HTTP_PUT | 1u << HTTP_OPTIONS);
	router_find(r, HTTP_GET, STR("/1"), &m);
	assert_int_equal(m.allowed, 0);
	router_free(r);
}

static void the_last_parameter_of_a_route_may_take_all_the_rest(void **state)
{
	const struct http_route table[] = {{HTTP_GET, "/f/{name}", &none, .rest = true},
					   {HTTP_PUT, "/f/{id}", &none},
					   {HTTP_GET, "/f/{id}/part", &none},
					   {HTTP_GET, "/f/own", &none},
					   {}};
	static const struct {
		const char *path;
		int route; /* -1: none */
		const char *name;
	} cases[] = {{"/f/a", 0, "a"},       {"/f/a/b/c", 0, "a/b/c"}, {"/f/a/", 0, "a"},        {"/f/a/b/", 0, "a/b"},
		     {"/f/a/part", 2, NULL}, {"/f/own", 3, NULL},      {"/f/own/x", 0, "own/x"}, {"/f/a/part/x", 0, "a/part/x"},
		     {"/f/", -1, NULL},      {"/f", -1, NULL}};
	const struct http_route *const tables[] = {table, NULL};
	struct router *r = NULL;
	struct route_match m;

	assert_int_equal(router_new(&r, tables, NULL), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		router_find(r, HTTP_GET, str_of(cases[i].path), &m);
		assert_ptr_equal(m.route, cases[i].route < 0 ? NULL : &table[cases[i].route]);
		if (cases[i].name != NULL)
			assert_true(str_eq(route_param(&m, "name"), str_of(cases[i].name)));
	}
	router_find(r, HTTP_PUT, STR("/f/a"), &m);
	assert_ptr_equal(m.route, &table[1]);
	router_find(r, HTTP_DELETE, STR("/f/a/b"), &m);
	assert_int_equal(m.allowed, 1u << HTTP_GET | 1u << HTTP_HEAD | 1u << HTTP_OPTIONS);
	router_free(r);
	assert_int_equal(
		compile((struct http_route[]){{HTTP_GET, "/f/{a}", &none, .rest = true}, {HTTP_GET, "/f/{b}", &none, .rest = true}, {}}),
		ERR_INTERNAL);
}

static void the_table_is_written_as_json(void **state)
{
	const struct http_route table[] = {{HTTP_GET, "/a", &none, HTTP_ADMIN, "getA", "Gets A"}, {}};
	const struct http_route *const tables[] = {table, NULL};
	struct buf b = BUF_INIT;

	http_routes_json(&b, tables);
	assert_string_equal(b.p,
			    "[{\"method\":\"GET\",\"path\":\"/a\",\"operation\":\"getA\",\"summary\":\"Gets A\",\"access\":\"admin\"}]");
	buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wrong_tables_do_not_compile),
		cmocka_unit_test(parameters_are_found_by_name),
		cmocka_unit_test(the_last_parameter_of_a_route_may_take_all_the_rest),
		cmocka_unit_test(the_table_is_written_as_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
