/* Where the bytes of files are: in the data directory, or in a bucket. The one place that knows which stores there are.
 *
 * A data directory whose files are in a bucket says so in its file `filemill.store`, and the bucket says under the prefix whose it is, in the blob store_is_mark() knows: the directory's, or, where nodes share a catalogue, that of the first of them (catalog_store()). So neither can be
 * taken for another's by a wrong setting: what no row refers to is swept, and what no blob holds is damaged. */
#ifndef FILEMILL_APP_STORE_H
#define FILEMILL_APP_STORE_H

#include "app/data_dir.h"
#include "blobs/blobs.h"
#include "cli/settings.h"

struct catalog;
enum store_use {
	STORE_SERVE, /* marks what is new */
	STORE_REPAIR, /* changes blobs */
	STORE_LOOK, /* changes nothing */
};
/* Opens the store by the settings. ERR_BAD_CONFIG when the data directory's files are elsewhere, or the bucket is another's. The data directory stays open as long as the store. A
 * bucket is asked only the first time; afterwards the store opens without it. */
[[nodiscard]] int store_open(struct blobs **ret, const struct settings *s, const struct data_dir *d, enum store_use use, struct err *e);
/* The same for a server, whose catalogue other nodes may share: with a bucket each of them may have a data directory of its own, without one they must have one together. As store_check().
 * *ret_new: it is a bucket that was empty and nobody's before this call. */
[[nodiscard]] int store_open_for(struct blobs **ret, const struct settings *s, const struct data_dir *d, struct catalog *c, bool *ret_new,
				 struct err *e);
/* Whether the files are those of this catalogue: one that knows nothing of them would have them swept. Of one that nobody shares nothing is asked, the data directory's is the only one there is.
 * Where a server has used neither there may be no files at all. ERR_BAD_CONFIG. */
[[nodiscard]] int store_check(const struct settings *s, const struct data_dir *d, struct catalog *c, struct err *e);

/* After something of it could not be read: whether the storage answers at all, told by what a bucket has for certain. 0: that one thing is unreadable, and the next may be looked at. Else the storage is
 * away, and so is everything. A store in the data directory answers always. */
[[nodiscard]] int store_answers(struct blobs *b, struct err *e);

/* ---- for a move ---- */
#define STORE_PLACE_MAX 640
/* Where the files are, as `s3://bucket/prefix`; "" = in the data directory. */
[[nodiscard]] int store_place(char dst[STORE_PLACE_MAX], const struct settings *s, const struct data_dir *d, struct err *e);
/* The store of a directory that a move fills: marked as the owner's. ERR_CONFLICT: there is something in it; ERR_BAD_CONFIG: the bucket is another's. */
[[nodiscard]] int store_open_new(struct blobs **ret, const struct settings *s, const struct data_dir *d, struct uuid owner, struct err *e);
/* Tells a catalogue that nobody has used yet whose the files are that such a store has. */
[[nodiscard]] int store_own(const struct settings *s, const struct data_dir *d, struct catalog *c, struct err *e);

/* For a restore. ERR_BAD_CONFIG with words on what to do instead. */
[[nodiscard]] int store_must_be_local(const struct settings *s, struct err *e);

/* It says whose the bucket is, or which catalogues use it (blob_name_for_line()), and is no file's and no output's. */
bool store_is_mark(struct str name);

#endif
