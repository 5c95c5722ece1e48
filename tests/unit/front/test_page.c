#include "front/page.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void assert_buf(struct buf *b, const char *want)
{
	assert_true(buf_ok(b));
	assert_string_equal(b->p, want);
	buf_release(b);
}

static void text_cannot_leave_its_element_or_attribute(void **state)
{
	struct buf b = BUF_INIT;

	page_text(&b, STR("<a href=\"x\" title='y'>&amp;</a>"));
	assert_buf(&b, "&lt;a href=&quot;x&quot; title=&#39;y&#39;&gt;&amp;amp;&lt;/a&gt;");
}

static void text_without_special_characters_stays_as_it_is(void **state)
{
	struct buf b = BUF_INIT;

	page_text(&b, STR("na\xc3\xafve.txt"));
	assert_buf(&b, "na\xc3\xafve.txt");
}

static void slots_are_filled_as_text_or_as_html(void **state)
{
	const struct page_slot slots[] = {{"name", STR("<b>"), false}, {"body", STR("<p>x</p>"), true}};
	struct buf b = BUF_INIT;

	page_fill(&b, STR("{{name}}-{{name}}<!--body-->end"), slots, 2);
	assert_buf(&b, "&lt;b&gt;-&lt;b&gt;<p>x</p>end");
}

static void a_value_is_not_looked_at_for_slots(void **state)
{
	const struct page_slot slots[] = {{"a", STR("{{b}}"), false}, {"b", STR("secret"), false}};
	struct buf b = BUF_INIT;

	page_fill(&b, STR("{{a}}"), slots, 2);
	assert_buf(&b, "{{b}}");
}

static void unknown_slots_vanish_and_unknown_comments_stay(void **state)
{
	struct buf b = BUF_INIT;

	page_fill(&b, STR("a{{nothing}}b<!--note-->c{{open"), NULL, 0);
	assert_buf(&b, "ab<!--note-->c{{open");
}

static void a_text_slot_does_not_serve_an_html_place(void **state)
{
	const struct page_slot slots[] = {{"x", STR("<i>"), false}};
	struct buf b = BUF_INIT;

	page_fill(&b, STR("<!--x-->{{x}}"), slots, 1);
	assert_buf(&b, "<!--x-->&lt;i&gt;");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_cannot_leave_its_element_or_attribute),
		cmocka_unit_test(text_without_special_characters_stays_as_it_is),
		cmocka_unit_test(slots_are_filled_as_text_or_as_html),
		cmocka_unit_test(a_value_is_not_looked_at_for_slots),
		cmocka_unit_test(unknown_slots_vanish_and_unknown_comments_stay),
		cmocka_unit_test(a_text_slot_does_not_serve_an_html_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
