/* The contract: audit entries come into being with their act and in no other way, are numbered without a gap, and go when the log has them. */
#include "world.h"

#include <stdio.h>
#include <string.h>

/* The entries after `after` as one line: "1:text 2:text ". */
static void entries(struct world *w, int64_t after, uint32_t max, char *dst, size_t cap)
{
	struct audit_entry *list;
	size_t n, len = 0;

	assert_int_equal(catalog_audit(w->c, after, max, &w->arena, &list, &n, &w->err), 0);
	dst[0] = '\0';
	for (size_t i = 0; i < n; i++)
		len += (size_t)snprintf(dst + len, cap - len, "%lld:%.*s ", (long long)list[i].seq, STR_FMT(list[i].text));
}

#define assert_entries(w, text)                                                                                                            \
	do {                                                                                                                               \
		char all[400];                                                                                                             \
		entries(w, 0, 100, all, sizeof(all));                                                                                      \
		assert_string_equal(all, text);                                                                                            \
	} while (0)

static void note(struct world *w, const char *text)
{
	struct change ch = {.kind = CHANGE_AUDIT, .audit = str_of(text)};

	must_apply(w, &ch);
}

static int done(struct world *w, int64_t seq, uint8_t fill)
{
	struct change ch = {.kind = CHANGE_AUDIT_DONE, .audit_done = {.head = {.seq = seq, .file = 3, .size = 4711}}};
	struct audit_head now;

	assert_int_equal(catalog_audit_head(w->c, &now, &w->err), 0);
	ch.audit_done.after = now.seq;
	ch.audit_done.after_home = now.home;
	memset(ch.audit_done.head.hash, fill, sizeof(ch.audit_done.head.hash));
	return apply1(w, &ch);
}

static int delete_noted(struct world *w, unsigned n, const char *text)
{
	struct change ch = {
		.kind = CHANGE_DELETE_FILE, .audit = str_of(text), .delete_file = {.id = test_id(n), .owner = OWNER, .now = NOW}};

	return apply1(w, &ch);
}

static void an_entry_comes_with_its_act(void **state)
{
	struct world *w = *state;

	add_file(w, 1);
	assert_entries(w, "");
	assert_int_equal(delete_noted(w, 1, "{a}"), 0);
	note(w, "{b}");
	assert_entries(w, "1:{a} 2:{b} ");
}

static void what_was_refused_leaves_no_entry_and_no_gap(void **state)
{
	struct world *w = *state;

	add_file(w, 1);
	assert_int_equal(delete_noted(w, 7, "{no}"), ERR_FILE_NOT_FOUND);
	assert_int_equal(delete_noted(w, 1, "{a}"), 0);
	assert_int_equal(delete_noted(w, 1, "{no}"), ERR_FILE_GONE);
	note(w, "{b}");
	assert_entries(w, "1:{a} 2:{b} ");
}

/* An id that is taken shows in the midst of a batch, which is then done anew: what stood before it is still noted once. */
static void a_batch_that_is_done_anew_notes_once(void **state)
{
	struct world *w = *state;
	struct change first = {.kind = CHANGE_AUDIT, .audit = STR("{a}")}, last = {.kind = CHANGE_AUDIT, .audit = STR("{b}")};
	struct built taken;

	add_file(w, 1);
	build_file(&taken, 1);
	taken.change.audit = STR("{no}");
	struct change *list[] = {&first, &taken.change, &last};
	assert_int_equal(catalog_apply(w->c, list, 3, &w->err), 0);
	assert_int_equal(taken.change.code, ERR_CONFLICT);
	assert_entries(w, "1:{a} 2:{b} ");
}

static void a_repeat_is_no_second_act(void **state)
{
	struct world *w = *state;

	for (unsigned n = 1; n <= 2; n++) {
		struct built b;

		build_file(&b, n);
		b.change.add_file.idempotency_key = STR("key");
		b.change.audit = STR("{stored}");
		must_apply(w, &b.change);
		assert_int_equal(b.change.add_file.replayed, n == 2);
	}
	assert_entries(w, "1:{stored} ");
}

static void a_mark_that_was_there_is_no_second_act(void **state)
{
	struct world *w = *state;

	add_file(w, 1);
	for (int i = 0; i < 2; i++) {
		struct change ch = {
			.kind = CHANGE_MARK_DAMAGED, .audit = STR("{damaged}"), .mark_damaged = {.file = test_id(1), .at = NOW}};

		must_apply(w, &ch);
	}
	assert_entries(w, "1:{damaged} ");
}

static void what_is_in_the_log_goes_and_the_numbers_go_on(void **state)
{
	struct world *w = *state;
	struct audit_head h;
	uint8_t seven[32];

	memset(seven, 7, sizeof(seven));
	assert_int_equal(catalog_audit_head(w->c, &h, &w->err), 0);
	assert_int_equal(h.seq, 0);
	assert_int_equal(h.file, 1);
	assert_int_equal(h.size, 0);
	note(w, "{a}");
	note(w, "{b}");
	note(w, "{c}");
	assert_int_equal(done(w, 2, 7), 0);
	assert_entries(w, "3:{c} ");
	assert_int_equal(done(w, 3, 7), 0);
	assert_entries(w, "");
	if (w->lasting)
		world_reopen(w);
	assert_int_equal(catalog_audit_head(w->c, &h, &w->err), 0);
	assert_int_equal(h.seq, 3);
	assert_int_equal(h.file, 3);
	assert_int_equal(h.size, 4711);
	assert_memory_equal(h.hash, seven, sizeof(seven));
	note(w, "{d}");
	assert_entries(w, "4:{d} ");
}

/* One that wrote lines, stood still, and says so when another has gone on. */
static void a_head_that_another_moved_stays(void **state)
{
	struct world *w = *state;
	struct change late = {.kind = CHANGE_AUDIT_DONE, .audit_done = {.head = {.seq = 2, .file = 1, .size = 100}}};
	struct audit_head h;

	note(w, "{a}");
	note(w, "{b}");
	note(w, "{c}");
	assert_int_equal(done(w, 1, 7), 0);
	assert_int_equal(apply1(w, &late), ERR_CONFLICT);
	assert_entries(w, "2:{b} 3:{c} ");
	assert_int_equal(done(w, 3, 7), 0);
	late.audit_done.after = 1;
	assert_int_equal(apply1(w, &late), ERR_CONFLICT);
	assert_int_equal(catalog_audit_head(w->c, &h, &w->err), 0);
	assert_int_equal(h.seq, 3);
	note(w, "{d}");
	assert_entries(w, "4:{d} ");
}

static void entries_are_read_in_pages_and_survive(void **state)
{
	struct world *w = *state;
	char is[100];

	note(w, "{a}");
	note(w, "{b}");
	note(w, "{c}");
	if (w->lasting)
		world_reopen(w);
	entries(w, 0, 2, is, sizeof(is));
	assert_string_equal(is, "1:{a} 2:{b} ");
	entries(w, 2, 2, is, sizeof(is));
	assert_string_equal(is, "3:{c} ");
	note(w, "{d}");
	assert_entries(w, "1:{a} 2:{b} 3:{c} 4:{d} ");
}

static void what_cannot_be_is_refused(void **state)
{
	static char big[AUDIT_ENTRY_MAX + 1];
	struct world *w = *state;
	struct change ch = {.kind = CHANGE_AUDIT};

	assert_int_equal(done(w, 1, 0), ERR_CONFLICT);
	assert_int_equal(apply1(w, &ch), ERR_INVALID_VALUE);
	memset(big, 'x', sizeof(big));
	ch.audit = (struct str){big, AUDIT_ENTRY_MAX + 1};
	assert_int_equal(apply1(w, &ch), ERR_INVALID_VALUE);
	ch.audit.len = AUDIT_ENTRY_MAX;
	assert_int_equal(apply1(w, &ch), 0);
}

const struct named_test contract_audit[] = {
	NAMED(an_entry_comes_with_its_act),
	NAMED(what_was_refused_leaves_no_entry_and_no_gap),
	NAMED(a_batch_that_is_done_anew_notes_once),
	NAMED(a_repeat_is_no_second_act),
	NAMED(a_mark_that_was_there_is_no_second_act),
	NAMED(what_is_in_the_log_goes_and_the_numbers_go_on),
	NAMED(a_head_that_another_moved_stays),
	NAMED(entries_are_read_in_pages_and_survive),
	NAMED(what_cannot_be_is_refused),
	{NULL, NULL},
};
