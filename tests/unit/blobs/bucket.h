/* A server on loopback that keeps objects in memory and speaks as much of S3 as the store asks for, and fails the requests it is told to. It checks no signatures: real services do
 * (tests/blackbox/test_blobs_s3.py). */
#ifndef FILEMILL_TESTS_BLOBS_BUCKET_H
#define FILEMILL_TESTS_BLOBS_BUCKET_H

#include "blobs/s3/s3.h"

#include <stdatomic.h>

enum bucket_fault {
	/* Nothing was done: */
	FAULT_500,
	FAULT_SLOW_DOWN,
	FAULT_CLOSE_BEFORE, /* the request is read, the connection closed */
	FAULT_CLOSE_EARLY, /* closed before the body is read */
	FAULT_SKEW, /* refused because the clocks differ, until they do not */
	FAULT_GARBAGE, /* an answer that is not HTTP */
	FAULT_STALL, /* no answer until the other side closes */
	FAULT_DENIED, /* 403, which will not pass */
	/* It was done: */
	FAULT_CLOSE_AFTER,
	FAULT_500_AFTER,
	FAULT_HALF, /* half of the answer */
	FAULT_LATE_ERROR, /* 200, and the body says that it failed; of what has no body 500. Nothing was done */
	FAULT_DAMAGE, /* a bit of the body turned over on its way; the answer has the digests of what arrived */
	FAULTS
};

struct bucket;

struct bucket_options {
	bool checksums, put_if_none_match, complete_if_none_match; /* what it can */
	bool looks; /* at the digest that is signed, also of what is put */
	bool no_ranges; /* answers 200 with all bytes */
	bool opaque_etags; /* none that is an MD5 */
	bool encrypted; /* ETags look like MD5s and are none */
	bool empty_etags; /* of what is put together, in that answer, as Ceph does */
	bool other_parts; /* has put together other parts than it was told */
	bool short_ranges; /* says of a part of an object that the whole is a byte long */
	bool same_page; /* every page of a list is the same, and there are more */
	unsigned slow_complete_ms; /* so long it says nothing when it puts parts together */
};

struct bucket *bucket_start(const struct bucket_options *o);
/* Closes all and frees; the requests must be over or their client gone. */
void bucket_stop(struct bucket *b);
/* `http://127.0.0.1:…` */
const char *bucket_endpoint(const struct bucket *b);

/* The n-th request from now on fails (1 = the next); 0 = none. Sticky: all from there on. */
void bucket_fail(struct bucket *b, unsigned n, enum bucket_fault fault, bool sticky);
unsigned bucket_requests(const struct bucket *b); /* since bucket_fail() */
unsigned bucket_refused(const struct bucket *b); /* for their clock, ever */
bool bucket_failed(const struct bucket *b); /* the fault came */

/* What it holds. */
unsigned bucket_objects(struct bucket *b);
unsigned bucket_uploads(struct bucket *b);
/* The object of this key is just these bytes. */
bool bucket_holds(struct bucket *b, const char *key, const void *bytes, size_t n);
/* Puts an object there that nobody of us wrote. */
void bucket_put(struct bucket *b, const char *key, const char *text);

#endif
