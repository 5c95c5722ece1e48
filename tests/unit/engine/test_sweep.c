/* The sweep beside everything that comes to refer to blobs and ceases to: it removes no blob that a row refers to, or will, and in the end all others.
 *
 * First the instants that matter, one by one, with a catalogue that lets something happen between its answer and the sweep's next step; then all at once, on threads. */
#include "base/fd.h"
#include "catalog/catalog_impl.h"
#include "engine/engine_impl.h"
#include "engine/intake.h"
#include "rt/log.h"
#include "tame.h"
#include "world.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SIZE 140000

/* ---- a catalogue that is interrupted ---- */

static const struct catalog_ops *real_ops;
static struct catalog_ops our_ops;
static void (*_Atomic behind_the_answer)(void); /* is called once, when the sweep has been told that a blob is needed or not */

static int answer_then_interrupt(struct catalog *c, struct str blob, bool *ret, struct err *e)
{
	int rc = real_ops->blob_referenced(c, blob, ret, e);
	void (*act)(void) = atomic_exchange(&behind_the_answer, NULL);

	if (act != NULL)
		act();
	return rc;
}

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER; /* who holds it holds up all commits, and none is under way */

static int apply_through_the_gate(struct catalog *c, struct change *const *changes, size_t n, struct err *e)
{
	pthread_mutex_lock(&gate);
	int rc = real_ops->apply(c, changes, n, e);
	pthread_mutex_unlock(&gate);
	return rc;
}

static void interruptible(struct catalog *c)
{
	real_ops = c->ops;
	our_ops = *c->ops;
	our_ops.blob_referenced = answer_then_interrupt;
	our_ops.apply = apply_through_the_gate;
	c->ops = &our_ops;
}

static struct world w;
static struct tame *t;

static void open_world(const char *ops, int64_t results_keep_ms)
{
	struct engine_config config = world_config();

	tame_new(&t);
	config.runner = tame_runner(t);
	config.default_ops = ops;
	config.uploads_max = 64;
	w = (struct world){.prepare = interruptible, .results_keep_ms = results_keep_ms};
	world_open(&w, &config);
}

static void close_world(void)
{
	world_close(&w);
	runner_free(tame_runner(t));
}

static struct upload upload;
static pthread_t uploader;

static void *upload_all(void *arg)
{
	static const char bytes[SIZE];

	upload_bytes(&w, &PUBLIC_SPEC, bytes, SIZE, SIZE, &upload);
	return NULL;
}

/* Its bytes are in the store, and its row is not there yet. */
static void begin_upload(void)
{
	pthread_mutex_lock(&gate);
	assert_int_equal(pthread_create(&uploader, NULL, upload_all, NULL), 0);
	while (count_blobs(&w) == 0)
		sched_yield();
}

static void end_upload(void)
{
	pthread_mutex_unlock(&gate);
	pthread_join(uploader, NULL);
}

static void assert_readable(struct uuid id)
{
	CLEANUP(arena_release) struct arena a = ARENA_INIT;
	CLEANUP(buf_release) struct buf bytes = BUF_INIT;
	CLEANUP(fd_close) int fd = -1;
	struct err e = ERR_INIT;
	struct file f = read_file(&w, id, &a);

	assert_int_equal(open_content(&w, &f, &fd, &bytes, &e), 0);
	for (size_t i = 0; i < f.n_jobs; i++) {
		for (size_t k = 0; k < f.jobs[i].n_outputs; k++) {
			fd_close(&fd);
			assert_int_equal(open_output(&w, &f.jobs[i].outputs[k], &fd, &e), 0);
		}
	}
}

static void a_row_that_comes_while_the_sweep_looks_keeps_its_bytes(void **state)
{
	open_world("", 0);
	begin_upload();
	atomic_store(&behind_the_answer, end_upload);
	janitor_sweep(w.g);
	if (atomic_exchange(&behind_the_answer, NULL) != NULL)
		end_upload(); /* the catalogue was not asked: the upload stands on the list */
	assert_int_equal(upload.code, 0);
	assert_readable(upload.id);
	assert_true(janitor_sweep(w.g));
	assert_readable(upload.id);
	close_world();
}

/* What the test above would do to a sweep that asks the other way round: both answers are no, and the file is there. */
static void asked_the_other_way_round_both_would_say_no(void **state)
{
	char id[UUID_TEXT_LEN + 1], name[BLOB_NAME_MAX + 1];
	struct err e = ERR_INIT;
	bool needed = true;

	open_world("", 0);
	begin_upload();
	struct uuid file = w.g->uploads.big->id;
	uuid_format(id, file);
	blob_name_for_file(name, STR(OWNER_PUBLIC), id);
	atomic_store(&behind_the_answer, end_upload);
	assert_int_equal(catalog_blob_referenced(w.catalog, str_of(name), &needed, &e), 0);
	while (uploads_any(w.g))
		sched_yield();
	assert_false(needed || uploads_inflight(w.g, file));
	assert_readable(upload.id);
	close_world();
}

static void let_the_job_end(void)
{
	pthread_mutex_unlock(&gate);
	assert_true(wait_final(&w, upload.id, 60000));
}

static void an_end_that_comes_while_the_sweep_looks_keeps_its_outputs(void **state)
{
	char bytes[1000] = {};

	open_world("gzip", 0);
	tame_set(t, (struct tame_plan){.hold = true});
	upload_bytes(&w, &PUBLIC_SPEC, bytes, sizeof(bytes), sizeof(bytes), &upload); /* inline: the one blob is the output */
	tame_wait_held(t, 1);
	pthread_mutex_lock(&gate);
	tame_set(t, (struct tame_plan){});
	while (count_blobs(&w) == 0)
		sched_yield();
	atomic_store(&behind_the_answer, let_the_job_end);
	janitor_sweep(w.g);
	if (atomic_exchange(&behind_the_answer, NULL) != NULL)
		let_the_job_end(); /* the attempt is in hand */
	assert_int_equal(count_blobs(&w), 1);
	assert_readable(upload.id);
	close_world();
}

/* ---- all at once ---- */

#define CLIENTS 3
#define UPLOADS 150 /* of each client */
#define STRAYS 100

struct told { /* an acknowledged file */
	struct uuid id;
	uint8_t sha256[32];
	bool lost; /* by intent: deleted, or let expire */
};

static struct {
	pthread_mutex_t lock; /* guards what follows */
	struct told files[CLIENTS * UPLOADS];
	size_t n;
	_Atomic unsigned wrong, refused, reads, sweeps;
	_Atomic bool stop;
} all;

static void note(struct uuid id, const uint8_t sha256[32], bool lost)
{
	pthread_mutex_lock(&all.lock);
	struct told *f = &all.files[all.n++];
	f->id = id;
	f->lost = lost;
	memcpy(f->sha256, sha256, 32);
	pthread_mutex_unlock(&all.lock);
}

static void count_wrong(const char *what, struct uuid id, const struct err *e)
{
	char text[UUID_TEXT_LEN + 1];

	uuid_format(text, id);
	print_error("%s: %s: %s\n", text, what, e->detail);
	atomic_fetch_add(&all.wrong, 1);
}

static void change_file(enum change_kind kind, struct uuid id)
{
	struct change c = {.kind = kind};

	if (kind == CHANGE_DELETE_FILE)
		c.delete_file = (struct change_delete_file){.id = id, .owner = STR(OWNER_PUBLIC), .now = engine_now(w.g)};
	else
		c.patch_file = (struct change_patch_file){.id = id,
							  .owner = STR(OWNER_PUBLIC),
							  .set_expires = true,
							  .expires_at = engine_now(w.g) + 1,
							  .now = engine_now(w.g)};
	if (apply(&w, &c) != 0)
		count_wrong("a change was refused", id, &c.err);
}

/* The same work again: its output is shared by two jobs, of which each may expire first. */
static void ask_again(struct uuid id)
{
	CLEANUP(arena_release) struct arena a = ARENA_INIT;
	struct op_request *ops;
	struct job job;
	size_t n;

	if (op_table_parse_list(w.g->config.ops, &ops, &n, STR("gzip"), &a, NULL) != 0)
		return;
	engine_new_job(w.g, &job, id, ops);
	struct change c = {.kind = CHANGE_ADD_JOBS, .add_jobs = {.owner = STR(OWNER_PUBLIC), .jobs = &job, .n = 1, .arena = &a}};
	apply(&w, &c);
}

static void give_up_an_upload(const char *bytes)
{
	struct intake_spec spec = PUBLIC_SPEC;
	struct err e = ERR_INIT;
	struct intake *in;

	if (intake_open(w.g, &spec, &in, &e) != 0)
		return;
	intake_feed(in, bytes, SIZE, &e);
	intake_feed(in, bytes, 10, &e); /* what is there goes to the store */
	intake_cancel(in);
}

static void *client(void *arg)
{
	unsigned me = *(unsigned *)arg;
	char *bytes = malloc(SIZE);
	struct digest_set *d;
	size_t len;

	for (unsigned i = 0; bytes != NULL && i < UPLOADS; i++) {
		struct upload u;

		fill_random(bytes, SIZE);
		memcpy(bytes, &(unsigned[]){me, i}, 2 * sizeof(unsigned));
		if (i % 6 == 5)
			give_up_an_upload(bytes);
		upload_bytes(&w, &PUBLIC_SPEC, bytes, SIZE, SIZE, &u);
		if (u.code != 0 || digest_set_new(&d, 1u << DIGEST_SHA256, NULL) != 0) {
			count_wrong("an upload was refused", u.id, &u.err);
			continue;
		}
		digest_set_update(d, bytes, SIZE);
		if (digest_set_finish(d, NULL) == 0)
			note(u.id, digest_set_get(d, DIGEST_SHA256, &len), i % 3 > 0);
		digest_set_free(d);
		if (i % 2 == 0)
			ask_again(u.id);
		if (i % 3 > 0)
			change_file(i % 3 == 1 ? CHANGE_DELETE_FILE : CHANGE_PATCH_FILE, u.id);
	}
	free(bytes);
	return NULL;
}

static void *sweeper(void *arg)
{
	while (!atomic_load(&all.stop)) {
		janitor_sweep(w.g);
		atomic_fetch_add(&all.sweeps, 1);
	}
	return NULL;
}

/* False: it is gone, which is no fault unless it was to stay. */
static bool read_whole(const struct told *told)
{
	CLEANUP(arena_release) struct arena a = ARENA_INIT;
	CLEANUP(buf_release) struct buf bytes = BUF_INIT;
	CLEANUP(fd_close) int fd = -1;
	struct err e = ERR_INIT;
	struct file f;
	int rc = catalog_file(w.catalog, (struct file_key){.id = told->id}, STR(OWNER_PUBLIC), &a, &f, &e);

	if (rc == 0)
		rc = open_content(&w, &f, &fd, &bytes, &e);
	if (rc == 0 && memcmp(f.sha256, told->sha256, 32) != 0)
		rc = err_set(&e, ERR_DAMAGED, "it has another digest");
	if (rc != 0 && !(told->lost && rc == ERR_FILE_GONE))
		count_wrong("a file that is there cannot be read", told->id, &e);
	return rc == 0;
}

static void *reader(void *arg)
{
	for (unsigned i = 0; !atomic_load(&all.stop); i += 7919) {
		struct told f = {};

		pthread_mutex_lock(&all.lock);
		if (all.n > 0)
			f = all.files[i % all.n];
		pthread_mutex_unlock(&all.lock);
		if (!uuid_is_zero(f.id) && read_whole(&f))
			atomic_fetch_add(&all.reads, 1);
		sched_yield();
	}
	return NULL;
}

static void put_stray(unsigned i)
{
	char id[UUID_TEXT_LEN + 1], name[BLOB_NAME_MAX + 1];
	struct blob_writer *writer;
	struct err e = ERR_INIT;

	uuid_format(id, engine_new_id(w.g));
	if (i % 2)
		blob_name_for_file(name, STR(OWNER_PUBLIC), id);
	else
		blob_name_for_output(name, STR(OWNER_PUBLIC), id, 1 + i, 0);
	assert_int_equal(blob_create(w.blobs, str_of(name), 5, &writer, &e), 0);
	assert_int_equal(blob_append(writer, "stray", 5, &e), 0);
	assert_int_equal(blob_commit(writer, &e), 0);
}

static int is_needed(void *arg, struct str name, uint64_t size)
{
	struct err e = ERR_INIT;
	bool needed = false;

	assert_int_equal(catalog_blob_referenced(w.catalog, name, &needed, &e), 0);
	assert_true(needed);
	++*(size_t *)arg;
	return 0;
}

/* Every row's bytes are there, and nothing else is. */
static void assert_store_and_rows_agree(void)
{
	struct stored_at at = {};
	size_t blobs = 0, rows = 0, n = 1;
	struct err e = ERR_INIT;

	assert_int_equal(blobs_visit(w.blobs, is_needed, &blobs, &e), 0);
	while (n > 0) {
		CLEANUP(arena_release) struct arena a = ARENA_INIT;
		struct stored *list;

		assert_int_equal(catalog_stored(w.catalog, at, 100, &a, &list, &n, &e), 0);
		for (size_t i = 0; i < n; i++) {
			int fd;
			uint64_t size;

			at = list[i].at;
			if (list[i].blob.p == NULL || list[i].shared)
				continue;
			assert_int_equal(blob_open(w.blobs, list[i].blob, &fd, &size, &e), 0);
			close(fd);
			rows++;
		}
	}
	assert_int_equal(blobs, rows);
}

static bool all_is_quiet(void)
{
	struct catalog_stats s;
	struct err e = ERR_INIT;
	struct arena a = ARENA_INIT;
	struct expired *list;
	struct str *names;
	size_t expired, doomed;

	assert_int_equal(catalog_stats(w.catalog, 0, &s, &e), 0);
	assert_int_equal(catalog_expired(w.catalog, engine_now(w.g), 1, &a, &list, &expired, &e), 0);
	assert_int_equal(catalog_doomed(w.catalog, STR(""), 1, &a, &names, &doomed, &e), 0);
	arena_release(&a);
	return s.jobs_waiting + s.jobs_running + expired + doomed == 0 && !uploads_any(w.g) && !scheduler_any_inhand(w.g);
}

/* Results go on to expire, each when its time comes; with the gate held none does, so that store and rows can be held against each other. */
static void quiet_and_held_up(void)
{
	pthread_mutex_lock(&gate);
	while (!all_is_quiet()) {
		pthread_mutex_unlock(&gate);
		usleep(10000);
		pthread_mutex_lock(&gate);
	}
}

static void beside_uploads_jobs_deletes_and_expiries_the_sweep_takes_what_nobody_needs_and_nothing_else(void **state)
{
	pthread_t clients[CLIENTS], sweepers[2], readers;
	unsigned numbers[CLIENTS];

	memset(&all, 0, sizeof(all));
	pthread_mutex_init(&all.lock, NULL);
	open_world("gzip", 50);
	assert_int_equal(pthread_create(&readers, NULL, reader, NULL), 0);
	for (unsigned i = 0; i < ARRAY_LEN(sweepers); i++)
		assert_int_equal(pthread_create(&sweepers[i], NULL, sweeper, NULL), 0);
	for (unsigned i = 0; i < CLIENTS; i++) {
		numbers[i] = i;
		assert_int_equal(pthread_create(&clients[i], NULL, client, &numbers[i]), 0);
	}
	for (unsigned i = 0; i < STRAYS; i++)
		put_stray(i);
	for (unsigned i = 0; i < CLIENTS; i++)
		pthread_join(clients[i], NULL);
	usleep(2000); /* the time of the last one to expire has come */
	while (!all_is_quiet())
		usleep(10000);
	atomic_store(&all.stop, true);
	for (unsigned i = 0; i < ARRAY_LEN(sweepers); i++)
		pthread_join(sweepers[i], NULL);
	pthread_join(readers, NULL);
	assert_true(janitor_sweep(w.g));
	quiet_and_held_up();
	assert_int_equal(all.wrong, 0);
	assert_int_equal(all.n, CLIENTS * UPLOADS);
	for (size_t i = 0; i < all.n; i++)
		assert_int_equal(read_whole(&all.files[i]), !all.files[i].lost);
	assert_store_and_rows_agree();
	pthread_mutex_unlock(&gate);
	print_message("%u sweeps beside %u uploads; %u reads\n", all.sweeps, CLIENTS * UPLOADS, all.reads);
	close_world();
	pthread_mutex_destroy(&all.lock);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_row_that_comes_while_the_sweep_looks_keeps_its_bytes),
		cmocka_unit_test(asked_the_other_way_round_both_would_say_no),
		cmocka_unit_test(an_end_that_comes_while_the_sweep_looks_keeps_its_outputs),
		cmocka_unit_test(beside_uploads_jobs_deletes_and_expiries_the_sweep_takes_what_nobody_needs_and_nothing_else),
	};

	log_setup(2, LOG_TEXT, LOG_WARN); /* each sweep is told */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
