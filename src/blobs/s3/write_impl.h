/* Of write.c, part.c and complete.c: a blob being written. */
#ifndef FILEMILL_BLOBS_S3_WRITE_IMPL_H
#define FILEMILL_BLOBS_S3_WRITE_IMPL_H

#include "blobs/s3/s3_impl.h"

#define PARTS_MAX 10000 /* of one upload (S3, "Multipart upload limits") */

/* FILLING -> SENDING -> DONE, or from SENDING to FAILED and back. Changed under the lock once it is SENDING. */
enum part_state { PART_FILLING, PART_SENDING, PART_FAILED, PART_DONE };

struct s3_part {
	struct s3_part *next;
	struct s3_writer *writer;
	enum part_state state;
	unsigned number; /* from 1 */
	char *bytes; /* owned pages; given back as soon as the service has them */
	uint64_t len, cap; /* cap is counted in s3.memory, but for the first bytes of a writer */
	uint64_t counted;
	struct s3_sums sums;
	struct s3_call call;
	unsigned tries;
	int64_t again_ms, give_up_ms; /* of a FAILED one */
};

/* What completing needs of a part that was sent. */
struct s3_sent {
	char etag[S3_ETAG_MAX + 1];
	char sha256_base64[45];
	uint8_t md5[16];
};

struct s3_writer {
	struct blob_writer base;
	struct s3 *s;
	struct s3_writer *next; /* in s3.writers, under the lock */
	bool removed; /* under the lock: somebody removed the name */
	struct s3_powers powers;
	char name[BLOB_NAME_MAX + 1];
	char token[S3_TOKEN_LEN + 1]; /* stands in the object's metadata, so that a writer knows its own object */
	struct buf upload_id; /* empty: there is no upload in parts; changed under the lock */
	uint64_t part_bytes, size;
	struct blob_origin origin; /* tag "": it is no copy */
	struct digest_set *digest; /* of the part that is filled */
	struct s3_part *filling; /* NULL: none */
	struct s3_part *flying; /* SENDING, FAILED, DONE */
	unsigned flying_n;
	struct buf sent; /* of struct s3_sent, by number */
	unsigned parts;
};

/* part.c */
/* Puts bytes into the part being filled, which is never full afterwards but when `n` ends there, and into the caller's digests, if any. *ret_taken: how many it took. */
[[nodiscard]] int part_fill(struct s3_writer *w, const char *data, uint64_t n, struct digest_set *d, uint64_t *ret_taken, struct err *e);
/* Sends the part being filled, beginning the upload if it is the first. Waits while as many are on their way as may be. */
[[nodiscard]] int part_send(struct s3_writer *w, struct err *e);
/* Looks after parts on their way, sending again what failed; waits until at most so many are left. */
[[nodiscard]] int parts_wait(struct s3_writer *w, unsigned most, struct err *e);
/* Cancels what is on its way, frees all. */
void parts_drop(struct s3_writer *w);
[[nodiscard]] int part_finish_sums(struct s3_writer *w, struct err *e);

/* complete.c: makes the object; 0: it is there with just the bytes written. What failed may still have come to be. */
[[nodiscard]] int complete_single(struct s3_writer *w, struct err *e);
[[nodiscard]] int complete_parts(struct s3_writer *w, struct err *e);
[[nodiscard]] int complete_copy(struct s3_writer *w, struct err *e);

#endif
