/* For those who write a backend or a wrapper. Callers include blobs.h.
 *
 * blobs.c stands in front of every backend: it checks names, refuses writes to a sealed store and the use of a writer after its first failure.
 * A backend therefore sees valid names only, and its append and commit are never called again after one of them failed. */
#ifndef FILEMILL_BLOBS_BLOBS_IMPL_H
#define FILEMILL_BLOBS_BLOBS_IMPL_H

#include "blobs/blobs.h"

/* As in blobs.h unless said otherwise. */
struct blobs_methods {
	void (*free)(struct blobs *b);
	/* Allocates a struct that begins with struct blob_writer; blobs.c fills that part in. */
	int (*create)(struct blobs *b, struct str name, uint64_t size_hint, struct blob_writer **ret, struct err *e);
	/* NULL: blobs are not copied, and no reader has an origin. A wrapper has create_copy. */
	int (*create_copy)(struct blobs *b, struct str name, const struct blob_origin *from, struct blob_writer **ret, struct err *e);
	bool (*read_origin)(const struct blob_reader *r, struct blob_origin *ret);
	int (*append)(struct blob_writer *w, const void *data, size_t n, struct err *e);
	/* NULL: `append`, and the digests by themselves. */
	int (*append_digesting)(struct blob_writer *w, const void *data, size_t n, struct digest_set *d, struct err *e);
	/* Must call blobs_seal() when a flush failed. Frees w in any case. */
	int (*commit)(struct blob_writer *w, struct err *e);
	/* Frees w. Also called for a writer whose append failed, and on a sealed store. */
	void (*abandon)(struct blob_writer *w);
	int (*open)(struct blobs *b, struct str name, int *ret_fd, uint64_t *ret_size, struct err *e);
	/* NULL, all three: blobs.c reads from what `open` gives. `read_open` allocates a struct that begins with struct blob_reader, and fills that in. A wrapper has
	 * read_open alone, and answers the reader of the one inside. */
	int (*read_open)(struct blobs *b, struct str name, uint64_t from, uint64_t length, struct blob_reader **ret, uint64_t *ret_size,
			 struct err *e);
	int (*read)(struct blob_reader *r, void *dst, size_t n, size_t *ret_n, struct err *e);
	int (*read_wait)(struct blob_reader *r, struct err *e);
	bool (*read_ready)(struct blob_reader *r);
	void (*read_close)(struct blob_reader *r);
	int (*remove)(struct blobs *b, struct str name, struct err *e);
	int (*visit)(struct blobs *b, int (*visit)(void *arg, struct str name, uint64_t size), void *arg, struct err *e);
	/* NULL: `visit`, and the others are passed over. Wrappers leave it out: the one inside is asked. */
	int (*visit_some)(struct blobs *b, struct str begin, int (*visit)(void *arg, struct str name, uint64_t size), void *arg,
			  struct err *e);
	/* NULL: there can be nothing foreign. Wrappers leave it out: the one inside is asked. */
	int (*foreign)(struct blobs *b, void (*tell)(void *arg, struct str path), void *arg, struct err *e);
	/* NULL: nothing stays behind. Wrappers leave it out: the one inside is asked. */
	int (*give_up)(struct blobs *b, enum blob_claim (*claim)(void *arg, struct str name), void *arg, struct err *e);
	/* NULL: by the others. Wrappers leave it out: the one inside is asked. */
	int (*probe)(struct blobs *b, struct err *e);
	/* NULL: it waits for nobody. Wrappers leave it out: the one inside is told. */
	void (*interrupt)(struct blobs *b);
};

struct blobs {
	const struct blobs_methods *methods;
	struct blobs *inner; /* what a wrapper wraps, owned; NULL in a backend */
	_Atomic bool sealed; /* never goes back */
	_Atomic unsigned probes; /* numbers the names of blobs_probe() */
};

struct blob_writer {
	struct blobs *store;
	int failed; /* code of the append that failed; 0 = none */
};

struct blob_reader {
	struct blobs *store; /* the backend whose reader it is; NULL: that of blobs.c */
};

/* Any thread. */
void blobs_seal(struct blobs *b);

/* The three parts of a valid name */
struct blob_name_parts {
	struct str owner, shard, id;
};
struct blob_name_parts blob_name_parts(struct str valid_name);
bool blob_owner_valid(struct str s); /* also the rule for ids */
bool blob_shard_valid(struct str s);

#endif
