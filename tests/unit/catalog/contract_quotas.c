/* The contract: what an owner has stored, and how much he may. */
#include "account_world.h"

static struct usage usage_of(struct world *w, const char *owner)
{
	struct usage u;

	assert_int_equal(catalog_usage(w->c, str_of(owner), &u, &w->err), 0);
	return u;
}

static void assert_usage(struct world *w, const char *owner, uint64_t files, uint64_t bytes)
{
	struct usage u = usage_of(w, owner);

	assert_int_equal(u.files, files);
	assert_int_equal(u.bytes, bytes);
}

/* A file of so many bytes: its size only; what is stored of it does not matter here. */
static void build(struct built *b, unsigned n, const char *owner, uint64_t size)
{
	build_file(b, n);
	b->file.owner = str_of(owner);
	b->file.size = size;
	b->file.location = LOCATION_FILE;
}

static int put(struct world *w, unsigned n, const char *owner, uint64_t size)
{
	struct built b;

	build(&b, n, owner, size);
	return apply1(w, &b.change);
}

static int drop(struct world *w, unsigned n, const char *owner)
{
	struct change ch = {.kind = CHANGE_DELETE_FILE, .delete_file = {.id = test_id(n), .owner = str_of(owner), .now = NOW}};

	return apply1(w, &ch);
}

static void with_quotas(struct world *w, uint64_t files, uint64_t bytes)
{
	w->options.owner_files_max = files;
	w->options.owner_bytes_max = bytes;
	world_reopen(w);
}

static void usage_follows_what_is_stored_and_deleted(void **state)
{
	struct world *w = *state;

	assert_usage(w, "a", 0, 0);
	assert_int_equal(put(w, 1, "a", 10), 0);
	assert_int_equal(put(w, 2, "a", 0), 0);
	assert_int_equal(put(w, 3, "b", 7), 0);
	assert_usage(w, "a", 2, 10);
	assert_usage(w, "b", 1, 7);
	assert_int_equal(put(w, 3, "a", 100), ERR_CONFLICT); /* the id is taken: nothing of it counts */
	assert_usage(w, "a", 2, 10);
	assert_int_equal(drop(w, 1, "b"), ERR_FILE_NOT_FOUND);
	assert_int_equal(drop(w, 1, "a"), 0);
	assert_int_equal(drop(w, 1, "a"), ERR_FILE_GONE);
	assert_usage(w, "a", 1, 0);
	assert_int_equal(drop(w, 2, "a"), 0);
	assert_usage(w, "a", 0, 0);
	if (w->lasting)
		world_reopen(w);
	assert_usage(w, "a", 0, 0);
	assert_usage(w, "b", 1, 7);
}

static void as_many_files_as_the_quota_and_not_one_more(void **state)
{
	struct world *w = *state;

	with_quotas(w, 2, 0);
	assert_int_equal(put(w, 1, "a", 1), 0);
	assert_int_equal(put(w, 2, "a", 1), 0);
	struct built b;
	build(&b, 3, "a", 1);
	assert_int_equal(apply1(w, &b.change), ERR_QUOTA_EXCEEDED);
	assert_int_equal(b.change.err.limit, 2);
	assert_int_equal(file_code(w, 3), ERR_FILE_NOT_FOUND);
	assert_int_equal(put(w, 4, "b", 1), 0); /* another owner's */
	assert_int_equal(drop(w, 1, "a"), 0);
	assert_int_equal(put(w, 3, "a", 1), 0);
	assert_int_equal(put(w, 5, "a", 0), ERR_QUOTA_EXCEEDED);
}

static void as_many_bytes_as_the_quota_and_not_one_more(void **state)
{
	struct world *w = *state;

	with_quotas(w, 0, 100);
	assert_int_equal(put(w, 1, "a", 101), ERR_QUOTA_EXCEEDED);
	assert_int_equal(put(w, 1, "a", UINT64_MAX / 4), ERR_QUOTA_EXCEEDED);
	assert_int_equal(put(w, 1, "a", 60), 0);
	assert_int_equal(put(w, 2, "a", 41), ERR_QUOTA_EXCEEDED);
	assert_int_equal(put(w, 2, "a", 40), 0);
	assert_int_equal(put(w, 3, "a", 1), ERR_QUOTA_EXCEEDED);
	assert_int_equal(put(w, 3, "a", 0), 0); /* takes no room */
	assert_int_equal(drop(w, 1, "a"), 0);
	assert_int_equal(put(w, 4, "a", 61), ERR_QUOTA_EXCEEDED);
	assert_int_equal(put(w, 4, "a", 60), 0);
	assert_usage(w, "a", 3, 100);
}

/* Those who look before a transaction all find room; the transaction gives it to the first. */
static void of_two_in_one_batch_the_last_place_is_the_first_ones(void **state)
{
	struct world *w = *state;
	struct built a, b;

	with_quotas(w, 0, 100);
	assert_int_equal(catalog_quota_room(w->c, STR("a"), 60, &w->err), 0);
	build(&a, 1, "a", 60);
	build(&b, 2, "a", 60);
	struct change *batch[] = {&a.change, &b.change};
	assert_int_equal(catalog_apply(w->c, batch, 2, &w->err), 0);
	assert_int_equal(a.change.code, 0);
	assert_int_equal(b.change.code, ERR_QUOTA_EXCEEDED);
	assert_usage(w, "a", 1, 60);
}

static void a_batch_that_is_done_anew_counts_once(void **state)
{
	struct world *w = *state;
	struct built a, b, c;

	build(&a, 1, "a", 5);
	build(&b, 1, "a", 5); /* the same id: SQLite finds it in the midst */
	build(&c, 2, "a", 5);
	struct change *batch[] = {&a.change, &b.change, &c.change};
	assert_int_equal(catalog_apply(w->c, batch, 3, &w->err), 0);
	assert_int_equal(b.change.code, ERR_CONFLICT);
	assert_usage(w, "a", 2, 10);
}

static void a_replay_needs_no_room(void **state)
{
	struct world *w = *state;
	struct built b;

	with_quotas(w, 1, 0);
	build(&b, 1, "a", 5);
	b.change.add_file.idempotency_key = STR("key");
	must_apply(w, &b.change);
	build(&b, 2, "a", 5);
	b.change.add_file.idempotency_key = STR("key");
	must_apply(w, &b.change);
	assert_true(b.change.add_file.replayed);
	assert_usage(w, "a", 1, 5);
}

static void who_has_more_than_a_new_quota_keeps_it_and_gets_no_more(void **state)
{
	struct world *w = *state;

	if (!w->lasting)
		return; /* the memory catalogue keeps nothing over an opening */
	assert_int_equal(put(w, 1, "a", 60), 0);
	assert_int_equal(put(w, 2, "a", 60), 0);
	with_quotas(w, 1, 100);
	assert_usage(w, "a", 2, 120);
	assert_int_equal(put(w, 3, "a", 0), ERR_QUOTA_EXCEEDED);
	assert_int_equal(drop(w, 1, "a"), 0);
	assert_int_equal(drop(w, 2, "a"), 0);
	assert_int_equal(put(w, 3, "a", 100), 0);
}

static void room_is_told_in_advance(void **state)
{
	struct world *w = *state;

	assert_int_equal(catalog_quota_room(w->c, STR("a"), UINT64_MAX, &w->err), 0);
	with_quotas(w, 2, 100);
	assert_int_equal(put(w, 1, "a", 60), 0);
	assert_int_equal(catalog_quota_room(w->c, STR("a"), 40, &w->err), 0);
	assert_int_equal(catalog_quota_room(w->c, STR("a"), 41, &w->err), ERR_QUOTA_EXCEEDED);
	assert_int_equal(w->err.limit, 100);
	assert_int_equal(put(w, 2, "a", 0), 0);
	assert_int_equal(catalog_quota_room(w->c, STR("a"), 0, &w->err), ERR_QUOTA_EXCEEDED);
	assert_int_equal(w->err.limit, 2);
}

static void bytes_for_a_file_that_is_there_need_room_for_bytes_alone(void **state)
{
	struct world *w = *state;

	assert_int_equal(catalog_quota_bytes(w->c, STR("a"), UINT64_MAX, &w->err), 0);
	with_quotas(w, 1, 100);
	const struct allowance a = catalog_allowance(w->c, (struct quotas){});
	assert_int_equal(a.max[QUOTA_FILES], 1);
	assert_int_equal(a.max[QUOTA_BYTES], 100);
	assert_int_equal(put(w, 1, "a", 60), 0);
	assert_int_equal(catalog_quota_bytes(w->c, STR("a"), 40, &w->err), 0);
	assert_int_equal(catalog_quota_bytes(w->c, STR("a"), 41, &w->err), ERR_QUOTA_EXCEEDED);
	assert_int_equal(w->err.limit, 100);
	assert_int_equal(catalog_quota_bytes(w->c, STR("b"), 100, &w->err), 0);
}

/* ---- an account's own ---- */

/* The owner of what is account n's, as text. */
static const char *owner(unsigned n)
{
	static char text[4][UUID_TEXT_LEN + 1];

	uuid_format(text[n % 4], test_id(n));
	return text[n % 4];
}

static void give(struct world *w, unsigned account, enum quota q, int64_t max)
{
	struct change_patch_account p = {.id = test_id(account), .set_quotas = 1u << q, .now = NOW};

	p.quotas.max[q] = max;
	assert_int_equal(patch(w, p), 0);
}

static void an_accounts_own_quotas_stand_before_those_for_all(void **state)
{
	struct world *w = *state;

	with_quotas(w, 2, 0);
	add_account(w, 1, ROLE_ADMIN);
	add_account(w, 2, ROLE_USER);
	give(w, 2, QUOTA_FILES, 1);
	assert_int_equal(put(w, 1, owner(2), 5), 0);
	assert_int_equal(put(w, 2, owner(2), 5), ERR_QUOTA_EXCEEDED);
	assert_int_equal(put(w, 3, owner(1), 5), 0);
	assert_int_equal(put(w, 4, owner(1), 5), 0);
	assert_int_equal(put(w, 5, owner(1), 5), ERR_QUOTA_EXCEEDED);
	give(w, 2, QUOTA_FILES, 3);
	assert_int_equal(put(w, 6, owner(2), 5), 0);
	assert_int_equal(put(w, 7, owner(2), 5), 0);
	assert_int_equal(put(w, 8, owner(2), 5), ERR_QUOTA_EXCEEDED);
	give(w, 2, QUOTA_FILES, QUOTA_NONE);
	assert_int_equal(put(w, 9, owner(2), 5), 0);
	give(w, 2, QUOTA_FILES, 0);
	assert_int_equal(put(w, 10, owner(2), 5), ERR_QUOTA_EXCEEDED);
	assert_int_equal(usage_of(w, owner(2)).files, 4);
}

static void own_quotas_hold_where_there_are_none_for_all(void **state)
{
	struct world *w = *state;

	add_account(w, 1, ROLE_ADMIN);
	add_account(w, 2, ROLE_USER);
	assert_int_equal(catalog_quota_room(w->c, str_of(owner(2)), 100, &w->err), 0);
	give(w, 2, QUOTA_BYTES, 99);
	assert_int_equal(catalog_quota_room(w->c, str_of(owner(2)), 100, &w->err), ERR_QUOTA_EXCEEDED);
	assert_int_equal(w->err.limit, 99);
	assert_int_equal(catalog_quota_bytes(w->c, str_of(owner(2)), 100, &w->err), ERR_QUOTA_EXCEEDED);
	assert_int_equal(put(w, 1, owner(2), 100), ERR_QUOTA_EXCEEDED);
	assert_int_equal(put(w, 1, owner(2), 99), 0);
	assert_int_equal(put(w, 2, owner(1), 100), 0);
	assert_int_equal(put(w, 3, "nobodys", 100), 0);
	const struct usage u = usage_of(w, owner(2));
	assert_int_equal(u.own.max[QUOTA_BYTES], 99);
	assert_int_equal(u.own.max[QUOTA_FILES], 0);
	assert_int_equal(catalog_allowance(w->c, u.own).max[QUOTA_BYTES], 99);
}

static void what_is_patched_of_quotas_changes_and_nothing_else(void **state)
{
	struct world *w = *state;

	add_account(w, 1, ROLE_ADMIN);
	for (unsigned i = 0; i < QUOTAS; i++)
		assert_int_equal(read_account(w, 1).quotas.max[i], 0);
	give(w, 1, QUOTA_FILES, 7);
	give(w, 1, QUOTA_JOBS, QUOTA_NONE);
	assert_int_equal(patch(w, (struct change_patch_account){.id = test_id(1), .name = STR("Other"), .now = NOW}), 0);
	const struct account a = read_account(w, 1);
	assert_str(a.name, "Other");
	assert_int_equal(a.quotas.max[QUOTA_FILES], 7);
	assert_int_equal(a.quotas.max[QUOTA_BYTES], 0);
	assert_int_equal(a.quotas.max[QUOTA_JOBS], QUOTA_NONE);
}

static void build_waiting(struct built *b, unsigned n, const char *of, unsigned jobs)
{
	static const char *const ops[] = {"gzip", "zstd", "zip"};

	build(b, n, of, 1);
	for (unsigned i = 0; i < jobs; i++)
		build_job(b, ops[i]);
}

static int put_waiting(struct world *w, unsigned n, const char *of, unsigned jobs)
{
	struct built b;

	build_waiting(&b, n, of, jobs);
	int code = apply1(w, &b.change);
	w->err = b.change.err;
	return code;
}

static int add_job_of(struct world *w, unsigned id, unsigned file, const char *of)
{
	struct job job = new_job(id, file, "sha1");
	struct change ch = {.kind = CHANGE_ADD_JOBS, .add_jobs = {.owner = str_of(of), .jobs = &job, .n = 1, .arena = &w->arena}};

	return apply1(w, &ch);
}

static int act_on(struct world *w, enum change_kind kind, unsigned id, const char *of)
{
	struct change ch = {.kind = kind, .job_ref = {.id = test_id(id), .owner = str_of(of), .now = NOW + 60}};

	return apply1(w, &ch);
}

static void as_many_jobs_of_an_owner_wait_as_his_own_quota_says_and_not_one_more(void **state)
{
	struct world *w = *state;

	w->options.owner_queue_max = 2;
	world_reopen(w);
	add_account(w, 1, ROLE_ADMIN);
	add_account(w, 2, ROLE_USER);
	give(w, 2, QUOTA_JOBS, 3);
	assert_int_equal(put_waiting(w, 1, owner(1), 3), ERR_QUEUE_FULL);
	assert_int_equal(w->err.limit, 2);
	assert_int_equal(put_waiting(w, 1, owner(1), 2), 0);
	assert_int_equal(put_waiting(w, 2, owner(2), 3), 0);
	assert_int_equal(put_waiting(w, 3, owner(2), 1), ERR_QUEUE_FULL);
	assert_int_equal(w->err.limit, 3);
	assert_int_equal(put_waiting(w, 3, owner(2), 0), 0);
	assert_int_equal(add_job_of(w, 900, 3, owner(2)), ERR_QUEUE_FULL);
	assert_int_equal(act_on(w, CHANGE_CANCEL_JOB, job_id(2, 0), owner(2)), 0);
	assert_int_equal(add_job_of(w, 900, 3, owner(2)), 0);
	assert_int_equal(act_on(w, CHANGE_RETRY_JOB, job_id(2, 0), owner(2)), ERR_QUEUE_FULL);
	give(w, 2, QUOTA_JOBS, QUOTA_NONE);
	assert_int_equal(act_on(w, CHANGE_RETRY_JOB, job_id(2, 0), owner(2)), 0);
	give(w, 2, QUOTA_JOBS, 0); /* the two for all, which he is past */
	assert_int_equal(add_job_of(w, 901, 3, owner(2)), ERR_QUEUE_FULL);
}

static void of_two_in_one_batch_the_last_waiting_job_of_the_quota_is_the_first_ones(void **state)
{
	struct world *w = *state;
	struct built a, b;

	add_account(w, 1, ROLE_ADMIN);
	give(w, 1, QUOTA_JOBS, 3);
	build_waiting(&a, 1, owner(1), 2);
	build_waiting(&b, 2, owner(1), 2);
	struct change *batch[] = {&a.change, &b.change};
	assert_int_equal(catalog_apply(w->c, batch, 2, &w->err), 0);
	assert_int_equal(a.change.code, 0);
	assert_int_equal(b.change.code, ERR_QUEUE_FULL);
}

const struct named_test contract_quotas[] = {
	NAMED(usage_follows_what_is_stored_and_deleted),
	NAMED(as_many_files_as_the_quota_and_not_one_more),
	NAMED(as_many_bytes_as_the_quota_and_not_one_more),
	NAMED(of_two_in_one_batch_the_last_place_is_the_first_ones),
	NAMED(a_batch_that_is_done_anew_counts_once),
	NAMED(a_replay_needs_no_room),
	NAMED(who_has_more_than_a_new_quota_keeps_it_and_gets_no_more),
	NAMED(room_is_told_in_advance),
	NAMED(bytes_for_a_file_that_is_there_need_room_for_bytes_alone),
	NAMED(an_accounts_own_quotas_stand_before_those_for_all),
	NAMED(own_quotas_hold_where_there_are_none_for_all),
	NAMED(what_is_patched_of_quotas_changes_and_nothing_else),
	NAMED(as_many_jobs_of_an_owner_wait_as_his_own_quota_says_and_not_one_more),
	NAMED(of_two_in_one_batch_the_last_waiting_job_of_the_quota_is_the_first_ones),
	{NULL, NULL},
};
