#include "app/store.h"
#include "base/fd.h"
#include "blobs/s3/s3.h"
#include "catalog/catalog.h"
#include "cli/storage.h"
#include "rt/log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NOTE "filemill.store"
#define NOTE_NEW "filemill.store.new"
#define MARK "filemill/00/owner"
#define PLACE_MAX STORE_PLACE_MAX
static_assert(PLACE_MAX >= S3_PREFIX_MAX + 128, "bucket and prefix have room");

bool store_is_mark(struct str name)
{
	int64_t word;

	return str_eq(name, STR(MARK)) || blob_line_parse(&word, name);
}

/* ---- what the data directory says ---- */

struct note {
	char place[PLACE_MAX]; /* "" = its files are in itself */
	struct uuid owner; /* whose the place is, as its mark says; zero: the note is older than this line of it */
};

/* The place in a line, and whose it is in another one. */
static int read_note(struct note *ret, int dir_fd, struct err *e)
{
	CLEANUP(fd_close) int fd = openat(dir_fd, NOTE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	char text[PLACE_MAX + UUID_TEXT_LEN + 2];

	*ret = (struct note){};
	if (fd < 0)
		return errno == ENOENT ? 0 : err_errno(e, errno, "open of " NOTE);
	ssize_t n = fd_pread_full(fd, text, sizeof(text), 0);
	if (n < 0)
		return err_errno(e, errno, "read of " NOTE);
	size_t len = (size_t)n;
	if (len > UUID_TEXT_LEN + 2 && text[len - UUID_TEXT_LEN - 2] == '\n' && text[len - 1] == '\n' &&
	    uuid_parse(&ret->owner, (struct str){text + len - UUID_TEXT_LEN - 1, UUID_TEXT_LEN}))
		len -= UUID_TEXT_LEN + 1;
	if (len < 2 || len > PLACE_MAX || text[len - 1] != '\n')
		return err_set(e, ERR_DAMAGED, "its file %s is damaged", NOTE);
	memcpy(ret->place, text, len - 1);
	return 0;
}

/* Under another name first: it is there whole or not at all. */
static int write_note(int dir_fd, const char *place, struct uuid owner, struct err *e)
{
	CLEANUP(fd_close) int fd = openat(dir_fd, NOTE_NEW, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	char text[PLACE_MAX + UUID_TEXT_LEN + 2], id[UUID_TEXT_LEN + 1];

	uuid_format(id, owner);
	int n = snprintf(text, sizeof(text), "%s\n%s\n", place, id);
	if (fd < 0 || fd_write_all(fd, text, (size_t)n) != 0 || fsync(fd) != 0 || renameat(dir_fd, NOTE_NEW, dir_fd, NOTE) != 0 ||
	    fsync(dir_fd) != 0)
		return err_errno(e, errno, "write of " NOTE);
	return 0;
}

static void place_of(char dst[PLACE_MAX], const struct settings *s)
{
	snprintf(dst, PLACE_MAX, "s3://%s/%s", s->storage_bucket, s->storage_prefix);
}

static int elsewhere(struct err *e, const char *noted)
{
	return err_set(e, ERR_BAD_CONFIG, "its files are in %.180s: that is what storage.s3_bucket and storage.s3_prefix must say", noted);
}

/* ---- what the bucket says ---- */

/* ERR_NOT_FOUND: it is nobody's. */
static int read_mark(struct blobs *b, char dst[UUID_TEXT_LEN + 1], struct err *e)
{
	struct blob_reader *r;
	uint64_t size;
	size_t got = 0, n = 1;
	int rc = blob_read_open(b, STR(MARK), 0, UINT64_MAX, &r, &size, e);

	if (rc != 0)
		return rc;
	while (rc == 0 && n > 0 && got < UUID_TEXT_LEN) {
		rc = blob_read(r, dst + got, UUID_TEXT_LEN - got, &n, e);
		got += rc == 0 ? n : 0;
	}
	blob_read_close(r);
	dst[got] = '\0';
	return rc;
}

static int write_mark(struct blobs *b, const char *id, struct err *e)
{
	struct blob_writer *w;
	int rc = blob_create(b, STR(MARK), UUID_TEXT_LEN, &w, e);

	if (rc != 0)
		return rc;
	rc = blob_append(w, id, UUID_TEXT_LEN, e);
	if (rc == 0)
		return blob_commit(w, e);
	blob_abandon(w);
	return rc;
}

/* A node that joins others must find what the first one wrote: with another bucket or prefix of its own none would find the other's files. It may yet come, so this is worth another try. */
static int claim(struct blobs *b, struct uuid owner, bool first, const char *place, bool *ret_new, struct err *e)
{
	char id[UUID_TEXT_LEN + 1], whose[UUID_TEXT_LEN + 1] = "";

	uuid_format(id, owner);
	int rc = read_mark(b, whose, e);
	if (rc == ERR_NOT_FOUND && !first)
		return err_set(e, ERR_STORAGE_UNAVAILABLE,
			       "no node of this catalogue has used %.140s yet: all need the same bucket and prefix", place);
	*ret_new = rc == ERR_NOT_FOUND;
	if (rc == ERR_NOT_FOUND) {
		rc = write_mark(b, id, e);
		*ret_new = rc == 0;
		/* Somebody may have been quicker. */
		if (rc == 0 || rc == ERR_CONFLICT)
			rc = read_mark(b, whose, e);
	}
	if (rc != 0)
		return err_wrap(e, "%.160s", place);
	if (strcmp(id, whose) != 0)
		return err_set(e, ERR_BAD_CONFIG, "%.140s belongs to another data directory (%.36s): choose another bucket or prefix",
			       place, whose);
	return 0;
}

/* ---- opening ---- */

static int stop_at_first(void *arg, struct str name, uint64_t size)
{
	uint64_t *n = arg;

	(void)size;
	*n += !str_starts(name, STR("probe/")) && !store_is_mark(name);
	return *n > 0;
}

static int has_files(struct blobs *b, bool *ret, struct err *e)
{
	uint64_t n = 0;
	int rc = blobs_visit(b, stop_at_first, &n, e);

	*ret = n > 0;
	return rc < 0 ? rc : 0;
}

/* A directory that has files already would lose them by a setting. */
static int check_unused(const struct data_dir *d, struct err *e)
{
	struct blobs *local;
	bool used;
	int rc = blobs_local_new(&local, &env_real, d->blobs_fd, e);

	if (rc != 0)
		return rc;
	rc = has_files(local, &used, e);
	blobs_free(local);
	if (rc != 0 || !used)
		return rc;
	return err_set(e, ERR_BAD_CONFIG, "its files are in itself, and storage.s3_bucket is set: a bucket is for a new data directory");
}

static int open_bucket(struct blobs **ret, const struct settings *s, const struct data_dir *d, struct err *e)
{
	struct s3_options o;

	storage_s3_options(&o, s);
	o.spool_fd = d->blobs_fd;
	return blobs_s3_new(ret, &o, e);
}

static int bind_bucket(struct blobs *b, const struct data_dir *d, struct uuid owner, const char *place, enum store_use use, bool *ret_new,
		       struct err *e)
{
	bool used = true;

	if (use != STORE_SERVE)
		return err_set(e, ERR_BAD_CONFIG, "no server has used it with %.160s yet", place);
	int rc = check_unused(d, e);
	if (rc == 0)
		rc = claim(b, owner, uuid_eq(owner, d->id), place, ret_new, e);
	if (rc == 0 && *ret_new && (rc = has_files(b, &used, e)) == 0)
		*ret_new = !used;
	if (rc == 0)
		rc = write_note(d->fd, place, owner, e);
	if (rc == 0)
		log_event(LOG_INFO, "storage_bound", LF_CSTR("place", place));
	return rc;
}

static int open_of(struct blobs **ret, const struct settings *s, const struct data_dir *d, struct uuid owner, enum store_use use,
		   bool *ret_new, struct err *e)
{
	char place[PLACE_MAX];
	struct note noted;
	struct blobs *b;
	int rc = read_note(&noted, d->fd, e);

	*ret_new = false;
	if (rc != 0)
		return rc;
	if (s->storage_bucket[0] == '\0')
		return noted.place[0] == '\0' ? blobs_local_new(ret, &env_real, d->blobs_fd, e) : elsewhere(e, noted.place);
	place_of(place, s);
	if (noted.place[0] != '\0' && strcmp(noted.place, place) != 0)
		return elsewhere(e, noted.place);
	rc = open_bucket(&b, s, d, e);
	if (rc != 0)
		return rc;
	if (noted.place[0] == '\0')
		rc = bind_bucket(b, d, owner, place, use, ret_new, e);
	if (rc != 0)
		blobs_free(b);
	else
		*ret = b;
	return rc;
}

int store_open(struct blobs **ret, const struct settings *s, const struct data_dir *d, enum store_use use, struct err *e)
{
	bool new;

	return open_of(ret, s, d, d->id, use, &new, e);
}

/* ---- whose files the catalogue speaks of ---- */

/* To a catalogue that nobody has used all that is here would be garbage. */
static int check_empty(const struct settings *s, const struct data_dir *d, struct err *e)
{
	struct blobs *b;
	bool used;
	int rc = s->storage_bucket[0] != '\0' ? open_bucket(&b, s, d, e) : blobs_local_new(&b, &env_real, d->blobs_fd, e);

	if (rc != 0)
		return rc;
	rc = has_files(b, &used, e);
	blobs_free(b);
	if (rc != 0 || !used)
		return rc;
	return err_set(e, ERR_BAD_CONFIG,
		       "catalog.url names a catalogue that no server has used, and there are files already: they are another catalogue's");
}

/* Whether the files here are those of the directory that a shared catalogue names. */
static int check_owner(const struct settings *s, const struct data_dir *d, struct uuid owner, struct err *e)
{
	char text[UUID_TEXT_LEN + 1];
	struct note noted;
	int rc = read_note(&noted, d->fd, e);

	if (rc != 0)
		return rc;
	uuid_format(text, owner);
	if (s->storage_bucket[0] == '\0' && !uuid_eq(owner, d->id))
		return err_set(e, ERR_BAD_CONFIG,
			       "the catalogue's files are in another data directory (%.36s): nodes without a bucket need one together",
			       text);
	if (noted.place[0] != '\0' && !uuid_is_zero(noted.owner) && !uuid_eq(noted.owner, owner))
		return err_set(e, ERR_BAD_CONFIG,
			       "the files in %.120s are not those of the catalogue that catalog.url names, which are %.36s's", noted.place,
			       text);
	return 0;
}

int store_check(const struct settings *s, const struct data_dir *d, struct catalog *c, struct err *e)
{
	struct uuid owner = {};

	if (!catalog_shared(c))
		return 0;
	int rc = catalog_store(c, (struct uuid){}, &owner, e);
	if (rc == 0 && uuid_is_zero(owner)) {
		struct err why = ERR_INIT;
		int empty = check_empty(s, d, &why);
		rc = empty == 0 ? 0 : catalog_store(c, (struct uuid){}, &owner, e); /* a node that has started since may have stored some */
		if (rc == 0 && uuid_is_zero(owner)) {
			if (empty != 0 && e)
				*e = why;
			return empty;
		}
	}
	return rc == 0 ? check_owner(s, d, owner, e) : rc;
}

int store_open_for(struct blobs **ret, const struct settings *s, const struct data_dir *d, struct catalog *c, bool *ret_new, struct err *e)
{
	struct uuid owner = {};
	int rc = store_check(s, d, c, e);

	if (rc == 0)
		rc = catalog_store(c, d->id, &owner, e);
	if (rc == 0 && catalog_shared(c))
		rc = check_owner(s, d, owner, e); /* somebody may have been quicker */
	return rc == 0 ? open_of(ret, s, d, owner, STORE_SERVE, ret_new, e) : rc;
}

int store_own(const struct settings *s, const struct data_dir *d, struct catalog *c, struct err *e)
{
	struct uuid owner = {};
	struct note noted;
	int rc = read_note(&noted, d->fd, e);

	if (rc == 0)
		rc = catalog_store(c, s->storage_bucket[0] != '\0' && !uuid_is_zero(noted.owner) ? noted.owner : d->id, &owner, e);
	return rc;
}

int store_answers(struct blobs *b, struct err *e)
{
	char whose[UUID_TEXT_LEN + 1];
	int rc = blobs_are_files(b) ? 0 : read_mark(b, whose, e);

	return rc == ERR_NOT_FOUND ? 0 : rc;
}

/* ---- for a move ---- */

int store_place(char dst[STORE_PLACE_MAX], const struct settings *s, const struct data_dir *d, struct err *e)
{
	struct note noted;
	int rc = read_note(&noted, d->fd, e);

	memcpy(dst, noted.place, STORE_PLACE_MAX);
	if (rc == 0 && noted.place[0] == '\0' && s->storage_bucket[0] != '\0')
		place_of(dst, s);
	return rc;
}

/* Under a mark of one's own everything is one's own; without any, nothing may be there. */
static int check_new(struct blobs *b, const char *place, struct err *e)
{
	char whose[UUID_TEXT_LEN + 1];
	bool used;
	int rc = read_mark(b, whose, e);

	if (rc != ERR_NOT_FOUND)
		return rc;
	rc = has_files(b, &used, e);
	if (rc != 0 || !used)
		return rc;
	return err_set(e, ERR_CONFLICT, "%.160s is not empty: choose another bucket or prefix", place);
}

int store_open_new(struct blobs **ret, const struct settings *s, const struct data_dir *d, struct uuid owner, struct err *e)
{
	char place[PLACE_MAX];
	struct blobs *b;
	bool new;

	if (s->storage_bucket[0] == '\0')
		return blobs_local_new(ret, &env_real, d->blobs_fd, e);
	place_of(place, s);
	int rc = open_bucket(&b, s, d, e);
	if (rc != 0)
		return rc;
	rc = check_new(b, place, e);
	if (rc == 0)
		rc = claim(b, owner, true, place, &new, e);
	if (rc == 0)
		rc = write_note(d->fd, place, owner, e);
	if (rc != 0)
		blobs_free(b);
	else
		*ret = b;
	return rc;
}

int store_must_be_local(const struct settings *s, struct err *e)
{
	if (s->storage_bucket[0] == '\0')
		return 0;
	return err_set(
		e, ERR_BAD_CONFIG,
		"a restore puts files into the data directory, and storage.s3_bucket is set: restore without it, and then filemill move "
		"carries what was restored to a bucket; see docs/operations.md");
}
