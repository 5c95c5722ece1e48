/* Snapshots of a SQLite catalogue that is in use. */
#include "world.h"

#include "base/fd.h"
#include "catalog/snapshot.h"

#include <dirent.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_MAX_HERE (DIR_MAX + 32)

static char *copy_path(const struct world *w, char dst[PATH_MAX_HERE])
{
	snprintf(dst, PATH_MAX_HERE, "%s/copy %%&?.db", w->dir); /* characters that mean something in a URI */
	return dst;
}

static struct snapshot *take(struct world *w)
{
	char path[PATH_MAX_HERE];
	struct snapshot *s = NULL;

	assert_int_equal(catalog_sqlite_backup(w->dir, copy_path(w, path), NULL, NULL, &w->err), 0);
	assert_int_equal(snapshot_open(&s, path, &w->err), 0);
	assert_int_equal(snapshot_check(s, &w->err), 0);
	return s;
}

static void add_stored(struct world *w, unsigned n)
{
	struct built b;

	build_file(&b, n);
	build_job(&b, "gzip");
	b.file.location = LOCATION_FILE;
	b.file.size = 100000 + n;
	b.change.add_file.bytes = (struct str){};
	must_apply(w, &b.change);
}

struct seen {
	char names[16][BLOB_MAX];
	uint64_t sizes[16];
	unsigned n;
};

static int see(void *arg, const struct snapshot_blob *blob)
{
	struct seen *seen = arg;

	assert_true(seen->n < 16);
	snprintf(seen->names[seen->n], BLOB_MAX, "%.*s", STR_FMT(blob->name));
	seen->sizes[seen->n++] = blob->size;
	return 0;
}

static struct seen look(struct world *w, struct snapshot *s)
{
	struct seen seen = {};

	assert_int_equal(snapshot_blobs(s, see, &seen, &w->err), 0);
	return seen;
}

static bool refers(struct world *w, struct snapshot *s, struct str name)
{
	bool yes;

	assert_int_equal(snapshot_refers(s, name, &yes, &w->err), 0);
	return yes;
}

static void it_tells_every_blob_once_and_agrees_with_the_catalogue(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	struct change_claim c;
	char blob[BLOB_MAX], made[BLOB_MAX];
	struct snapshot_counts counts;

	add_file(w, 1); /* inline */
	add_stored(w, 2);
	add_stored(w, 3);
	assert_int_equal(delete_file(w, 3), 0);
	c = claim(w, worker, 1, NOW);
	assert_id(c.jobs[0].job.id, job_id(2, 0));
	assert_int_equal(finish_with_outputs(w, &c.jobs[0].job, worker, 1, NULL), 0);
	output_blob(c.jobs[0].job.id, c.jobs[0].job.fence, 0, made);
	struct snapshot *s = take(w);
	struct seen seen = look(w, s);
	assert_int_equal(seen.n, 2);
	assert_str(blob_of(2, blob), seen.names[0]);
	assert_int_equal(seen.sizes[0], 100002);
	assert_string_equal(seen.names[1], made);
	assert_int_equal(seen.sizes[1], UINT64_C(6000000000));
	for (unsigned n = 1; n <= 3; n++)
		assert_int_equal(refers(w, s, blob_of(n, blob)), referenced(w, blob_of(n, blob)));
	assert_true(refers(w, s, blob_of(2, blob)));
	assert_true(refers(w, s, str_of(made)));
	assert_false(refers(w, s, STR("public/00/stranger")));
	assert_int_equal(snapshot_counts(s, &counts, &w->err), 0);
	assert_int_equal(counts.files, 2);
	assert_int_equal(counts.jobs, 2);
	snapshot_close(s);
}

static void a_blob_with_several_references_is_told_once(void **state)
{
	struct world *w = *state;
	struct uuid worker = first_beat(w, 500, NOW + 15000);
	struct built same;

	add_file_with_job(w, 1, "gzip");
	struct change_claim c = claim(w, worker, 1, NOW);
	assert_int_equal(finish_with_outputs(w, &c.jobs[0].job, worker, 1, NULL), 0);
	build_same_bytes(&same, 2, 1);
	build_job(&same, "gzip");
	must_apply(w, &same.change);
	assert_int_equal(read_job(w, job_id(2, 0)).n_outputs, 1);
	assert_int_equal(world_sql(w, "SELECT count(*) FROM output"), 2);
	struct snapshot *s = take(w);
	assert_int_equal(look(w, s).n, 1);
	snapshot_close(s);
}

struct writing {
	struct world *w;
	unsigned calls, next;
};

/* A commit between any two pieces. */
static bool write_meanwhile(void *arg, uint64_t done, uint64_t of)
{
	struct writing *v = arg;

	assert_true(done <= of);
	v->calls++;
	add_stored(v->w, v->next++);
	return true;
}

static void it_is_of_one_moment_and_the_writer_goes_on(void **state)
{
	struct world *w = *state;
	struct writing v = {.w = w, .next = 2000};
	char path[PATH_MAX_HERE];
	struct snapshot *s;
	struct snapshot_counts counts;

	static char big[20000];
	for (unsigned n = 1; n <= 300; n++) {
		struct built b;

		build_file(&b, n);
		b.file.size = sizeof(big);
		b.change.add_file.bytes = (struct str){big, sizeof(big)};
		must_apply(w, &b.change);
	}
	assert_int_equal(catalog_sqlite_backup(w->dir, copy_path(w, path), write_meanwhile, &v, &w->err), 0);
	assert_true(v.calls >= 2);
	assert_int_equal(snapshot_open(&s, path, &w->err), 0);
	assert_int_equal(snapshot_check(s, &w->err), 0);
	assert_int_equal(snapshot_counts(s, &counts, &w->err), 0);
	assert_int_equal(counts.files, 300);
	assert_int_equal(look(w, s).n, 0);
	snapshot_close(s);
	s = take(w);
	assert_int_equal(look(w, s).n, v.calls < 16 ? v.calls : 16);
	snapshot_close(s);
}

static bool stop(void *arg, uint64_t done, uint64_t of)
{
	return false;
}

static void it_can_be_stopped(void **state)
{
	struct world *w = *state;
	char path[PATH_MAX_HERE];

	add_file(w, 1);
	assert_int_equal(catalog_sqlite_backup(w->dir, copy_path(w, path), stop, NULL, &w->err), ERR_CANCELLED);
	add_file(w, 2);
}

static unsigned entries(const char *dir)
{
	DIR *d = opendir(dir);
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void nothing_is_left_beside_it_and_it_may_be_read_only(void **state)
{
	struct world *w = *state;
	char dir[DIR_MAX], path[PATH_MAX_HERE];
	struct snapshot *s;

	add_stored(w, 1);
	temp_dir(dir);
	snprintf(path, sizeof(path), "%s/c.db", dir);
	assert_int_equal(catalog_sqlite_backup(w->dir, path, NULL, NULL, &w->err), 0);
	assert_int_equal(chmod(path, 0400), 0);
	assert_int_equal(snapshot_open(&s, path, &w->err), 0);
	assert_int_equal(look(w, s).n, 1);
	assert_int_equal(entries(dir), 3); /* with . and .. */
	snapshot_close(s);
	assert_int_equal(entries(dir), 3);
	remove_dir(dir);
}

static void an_earlier_schema_is_read_as_it_is(void **state)
{
	struct world *w = *state;

	world_old(w);
	int64_t stored = world_sql(w, "SELECT count(*) FROM file WHERE deleted_at IS NULL AND location <> 0");
	struct snapshot *s = take(w);
	struct snapshot_counts counts;
	assert_int_equal(snapshot_counts(s, &counts, &w->err), 0);
	assert_int_equal(counts.schema, 1);
	assert_int_equal(look(w, s).n, stored);
	assert_false(refers(w, s, STR("public/00/x.1.0")));
	assert_int_equal(world_sql(w, "PRAGMA user_version"), 1);
	snapshot_close(s);
	world_reopen(w);
}

static void what_is_no_catalogue_is_refused(void **state)
{
	struct world *w = *state;
	char dir[DIR_MAX], path[PATH_MAX_HERE], to[PATH_MAX_HERE];
	struct snapshot *s = NULL;

	temp_dir(dir);
	snprintf(path, sizeof(path), "%s/catalog.db", dir);
	snprintf(to, sizeof(to), "%s/to.db", dir);
	assert_int_equal(catalog_sqlite_backup(dir, to, NULL, NULL, &w->err), ERR_DAMAGED); /* none */
	close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	assert_int_equal(catalog_sqlite_backup(dir, to, NULL, NULL, &w->err), ERR_DAMAGED); /* empty */
	assert_int_equal(unlink(path), 0);
	add_file(w, 1);
	world_sql(w, "PRAGMA user_version = 99");
	assert_int_equal(catalog_sqlite_backup(w->dir, to, NULL, NULL, &w->err), ERR_SCHEMA_NEWER);
	world_sql(w, "PRAGMA user_version = 2");
	assert_int_equal(access(to, F_OK), -1);
	assert_int_equal(snapshot_open(&s, to, &w->err), ERR_IO);
	assert_int_equal(catalog_sqlite_backup(w->dir, to, NULL, NULL, &w->err), 0);
	CLEANUP(fd_close) int fd = open(to, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "nonsense", 8, 0), 8);
	assert_int_equal(snapshot_open(&s, to, &w->err), ERR_DAMAGED);
	assert_null(s);
	remove_dir(dir);
}

static void a_damaged_page_is_found(void **state)
{
	struct world *w = *state;
	char path[PATH_MAX_HERE], noise[8192];
	struct snapshot *s;
	struct stat st;

	for (unsigned n = 1; n <= 50; n++)
		add_file_with_job(w, n, "md5");
	snapshot_close(take(w));
	CLEANUP(fd_close) int fd = open(copy_path(w, path), O_WRONLY | O_CLOEXEC);
	assert_int_equal(fstat(fd, &st), 0);
	memset(noise, 0x5a, sizeof(noise));
	for (off_t at = 4096; at < st.st_size; at += 8192)
		assert_int_equal(pwrite(fd, noise, 4096, at), 4096);
	int rc = snapshot_open(&s, path, &w->err);
	if (rc == 0) {
		rc = snapshot_check(s, &w->err);
		snapshot_close(s);
	}
	assert_int_equal(rc, ERR_DAMAGED);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, world_sqlite, world_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(it_tells_every_blob_once_and_agrees_with_the_catalogue),
		TEST(a_blob_with_several_references_is_told_once),
		TEST(it_is_of_one_moment_and_the_writer_goes_on),
		TEST(it_can_be_stopped),
		TEST(nothing_is_left_beside_it_and_it_may_be_read_only),
		TEST(an_earlier_schema_is_read_as_it_is),
		TEST(what_is_no_catalogue_is_refused),
		TEST(a_damaged_page_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
