/* Blobs in a bucket of a service that speaks Amazon's S3: AWS itself, Ceph's RADOS Gateway, MinIO, Cloudflare R2, Google Cloud Storage's XML API.
 *
 * A blob's key is the prefix and its name. Whoever may write beneath the prefix beside the nodes of one catalogue can break what was promised: the bucket belongs to them. */
#ifndef FILEMILL_BLOBS_S3_S3_H
#define FILEMILL_BLOBS_S3_S3_H

#include "base/buf.h"
#include "blobs/blobs.h"

#define S3_PART_BYTES_MIN ((uint64_t)5 << 20) /* the least a part may have that is not the last (S3, "Multipart upload limits") */
#define S3_PART_BYTES_MAX ((uint64_t)1 << 30)
#define S3_PREFIX_MAX 512 /* bytes; keys have at most 1024 */

/* Where the bucket's name stands. */
enum s3_style { S3_STYLE_USUAL, S3_STYLE_PATH, S3_STYLE_VIRTUAL_HOST };

/* 0 means the default in brackets. All is copied but env and spool_fd. */
struct s3_options {
	struct env *env; /* [env_real] borrowed as long as the store lives */
	const char *endpoint; /* `https://host` or `http://host:9000`, without a path */
	const char *region; /* ["": the service's usual one] */
	const char *bucket;
	const char *prefix; /* [""] of all keys; ends with '/' when it is to look like a folder */
	const char *access_key, *secret_key;
	enum s3_style style; /* [the service's usual one] */
	const char *ca_file; /* [the system's] */
	uint64_t part_bytes; /* [16 MiB] of all parts but the last; larger for blobs that would have too many of them */
	unsigned parts_at_once; /* [4] on their way, of one writer */
	uint64_t
		memory_max; /* [256 MiB] of parts of all writers together; the last of it, as much as one part has, is for one writer at a time; one part always fits */
	int64_t patience_ms; /* [30 s] how long a request that failed is tried again; and how long a writer waits for memory */
	int64_t pause_ms; /* [100 ms] before a request is sent again the first time; longer each time, to 50 times as long */
	unsigned
		stall_s; /* [20] a request that moves no byte for so long has failed; 15 times as long where the service puts parts together */
	int64_t stale_ms; /* [2 days] uploads in parts of which nothing else is known and that began earlier are given up by blobs_give_up() */
	int spool_fd; /* a directory for what blob_open() fetches, with files that have no name; -1: memory. Borrowed */
};

/* The same that blobs_s3_new() looks at, but for the certificates. */
[[nodiscard]] int s3_options_check(const struct s3_options *o, struct err *e);
/* Asks the service nothing yet: what it can do is found out before the first write. ERR_BAD_CONFIG. */
[[nodiscard]] int blobs_s3_new(struct blobs **ret, const struct s3_options *o, struct err *e);

/* ---- addresses that others may use without the keys, good for so many seconds (at most seven days) ---- */

/* To read the blob, as a file of this name (UTF-8) and media type; either may be empty. */
[[nodiscard]] int s3_presign_get(struct buf *out, struct blobs *s3, struct str name, struct str filename, struct str type,
				 unsigned expires_s, struct err *e);
#define S3_PUT_MAX ((uint64_t)5 << 30) /* bytes that one PUT may bring, and one request may copy (S3, "Multipart upload limits") */
#define S3_META_NAME "x-amz-meta-name"
/* To write a blob of exactly this size and type with PUT, which has to send the same Content-Type, and what the terms say. Where the service can it is never written over one that is there. It is
 * kept with this meta_name, in visible ASCII, which has to be sent as S3_META_NAME; empty: none. ERR_NOT_IMPLEMENTED also where whoever has it could read other blobs by it. */
#define S3_GUARD_VALUE "none" /* no ETag */
struct s3_put_terms {
	bool if_none_match; /* `If-None-Match: *` has to be sent */
	const char *guard; /* a field that has to be sent, with S3_GUARD_VALUE; NULL: none */
};
[[nodiscard]] int s3_presign_put(struct buf *out, struct s3_put_terms *ret, struct blobs *s3, struct str name, uint64_t size,
				 struct str type, struct str meta_name, unsigned expires_s, struct err *e);

/* What came by such an address. */
struct s3_arrival {
	uint64_t size;
	struct buf type, meta_name; /* released by the caller, also after a failure */
};
/* ERR_NOT_FOUND. */
[[nodiscard]] int s3_arrival_look(struct s3_arrival *ret, struct blobs *s3, struct str name, struct err *e);
/* Has it removed without waiting; what stays the sweep removes. */
void s3_arrival_remove(struct blobs *s3, struct str name);
/* The blobs are in an object storage that gives such addresses out. */
bool s3_gives_addresses(struct blobs *b);

#define S3_POST_FIELDS 7
/* A form to POST as multipart/form-data to `url`, with these fields in front of the field `file`. */
struct s3_form {
	struct buf url;
	struct {
		const char *name;
		struct buf value;
	} fields[S3_POST_FIELDS];
};
/* For a blob of a size between the two, both included, and this type. The caller releases the form, also after a failure. */
[[nodiscard]] int s3_presign_post(struct s3_form *out, struct blobs *s3, struct str name, uint64_t size_min, uint64_t size_max,
				  struct str type, unsigned expires_s, struct err *e);
void s3_form_release(struct s3_form *f);

#endif
