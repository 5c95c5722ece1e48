/* Imports: files whose bytes the server fetches itself (docs/adr/0034-imports.md); for import*.c, engine.c and work.c only.
 *
 * An import's job runs on a thread of its own pool, which mostly waits. The network client's thread puts pieces of the answer into `in`, up to FETCH_ROOM; the import's thread takes them
 * all at once, digests and stores them. While there is no room nothing is read from the connection: so a source is never faster than the disk. */
#ifndef FILEMILL_ENGINE_IMPORT_H
#define FILEMILL_ENGINE_IMPORT_H

#include "engine/engine_impl.h"
#include "net/client.h"
#include "net/sigv4.h"

#define FETCH_ROOM (256u << 10) /* bytes of an answer that wait to be stored */
#define ETAG_MAX 200 /* bytes; a longer one is not used */

/* What the head of an answer says. */
struct fetch_head {
	int status;
	int64_t length; /* of this answer's body; -1 = not said */
	int64_t from, whole; /* of a 206: where it begins, and the length of all; -1 = not said */
	char etag[ETAG_MAX + 1]; /* with its quotes; "" = none, or a weak one, which says nothing of bytes */
	bool no_ranges; /* Accept-Ranges: none */
	bool has_md5, has_sha256; /* the source says what all the bytes digest to */
	uint8_t md5[16], sha256[32];
};

/* One answer on its way in. */
struct fetch {
	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t cond; /* CLOCK_MONOTONIC */
	struct buf in;
	bool full; /* the client waits for room */
	bool told; /* head is there */
	bool done; /* nothing follows */
	bool cut; /* there was more than allowed */
	int code; /* what it ended with */
	int status;
	int64_t retry_after_s;
	struct fetch_head head;
	char detail[ERR_DETAIL_MAX];
};

/* What an import's params say. The texts lie in the arena given. */
struct import_source {
	struct str url; /* p NULL: an object */
	struct str bucket, key;
	const struct engine_s3 *s3; /* NULL: a URL */
	bool want_sha256;
	uint8_t sha256[32];
};

/* import_source.c */
[[nodiscard]] int import_source_read(struct import_source *ret, const struct engine *g, struct str params, struct arena *a, struct err *e);
/* The request for the bytes from `from` on, if what is there is still `etag`. All it points to lies in the arena. */
[[nodiscard]] int import_request(struct net_request *ret, struct engine *g, const struct import_source *s, uint64_t from, const char *etag,
				 struct arena *a, struct err *e);
/* Whether the bucket stands in front of the endpoint's host; else in front of the path. It is one that engine_bucket_allowed() allows. */
bool import_bucket_in_host(const struct engine_s3 *s3, struct str bucket);
/* object: an S3 service's, whose ETag may be the MD5 */
void import_read_head(struct fetch_head *ret, const struct net_head *h, bool object);

/* Before the attempt that follows so many: as engine_s3 says. */
int64_t import_pause_ms(const struct engine_s3 *s3, uint32_t attempts, struct env *env);

/* import.c */
[[nodiscard]] int import_start(struct engine *g, struct err *e);
void import_run(struct pool_task *t);

#endif
