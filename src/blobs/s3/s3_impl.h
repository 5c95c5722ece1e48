/* Inside of the store on S3.
 *
 * Threads: the client's own thread carries all requests and calls back; the threads of callers sign them, judge what came of them and send them again. What both
 * touch is guarded by s3.lock, which is never held during a request or a wait for anything but s3.changed. */
#ifndef FILEMILL_BLOBS_S3_S3_IMPL_H
#define FILEMILL_BLOBS_S3_S3_IMPL_H

#include "blobs/blobs_impl.h"
#include "blobs/s3/s3.h"
#include "net/client.h"
#include "net/sigv4.h"
#include "ops/ops.h"

#include <pthread.h>

#define S3_KEY_MAX (S3_PREFIX_MAX + BLOB_NAME_MAX)
#define S3_WORD_MAX 64 /* bytes of an error's code */
#define S3_ETAG_MAX BLOB_TAG_MAX
#define S3_TOKEN_LEN 32
#define S3_BODY_MAX ((size_t)8 << 20) /* of an answer that is gathered: a page of 1000 keys of 1024 bytes, each byte escaped, fits */
#define S3_PAIRS_MAX 12
#define S3_CALLS_MAX 1024 /* under way at once */
#define S3_READERS_MAX 768 /* of those, by who reads piece by piece and as slowly as he likes; jobs, uploads and looks find room besides */
#define S3_SPARES_MAX 4

/* What differs between services; a row a service, found by the end of the endpoint's host. */
struct s3_service {
	const char *host; /* what it ends with; "" = any other */
	const char *region; /* NULL: has to be named */
	bool virtual_host; /* usually */
};
const struct s3_service *s3_service_of(struct str host);

/* What is found out before the first write and remembered, because no two services and versions agree. */
struct s3_powers {
	bool known;
	bool checksums; /* x-amz-checksum-sha256 is checked and answered; else Content-MD5 is sent, and the ETag is the MD5 */
	bool put_if_none_match, complete_if_none_match; /* else somebody looks first */
	bool sha256_suffices; /* bodies are compared with the SHA-256 that is signed, and ETags are MD5s: nothing is won by an MD5 of ours. Never with checksums */
};

/* Whether an address to write to can be turned into one that reads, by a field of the request that was not signed (trust.c). */
enum s3_trust {
	S3_TRUST_UNKNOWN,
	S3_TRUST_WHOLE, /* such fields are refused, as Amazon does */
	S3_TRUST_GUARDED, /* they are obeyed, and s3.guard prevents it */
	S3_TRUST_NONE, /* nothing does: no such addresses */
};

struct s3_writer;
struct s3_part;
struct s3_call;

struct s3 {
	struct blobs base;
	struct env *env;
	char *authority; /* host and port, as they are signed; with the bucket in front in the style of virtual hosts */
	char *scheme; /* `https://` */
	char *region, *bucket, *prefix, *access_key, *secret_key;
	bool virtual_host;
	uint64_t part_bytes, memory_max;
	unsigned parts_at_once, stall_s;
	int64_t patience_ms, pause_ms, stale_ms;
	int spool_fd;
	struct target_policy policy;
	struct net_client *net;

	pthread_mutex_t learning; /* held while the powers are found out */
	pthread_mutex_t lock; /* guards what follows, and in calls what is said there */
	pthread_cond_t changed; /* a call is over, memory is free; CLOCK_MONOTONIC */
	struct s3_powers powers;
	enum s3_trust trust;
	const char *guard; /* a constant */
	int64_t skew_s; /* how far their clock is ahead of ours */
	uint64_t memory; /* bytes of parts */
	/* Pages of part_bytes each that a part had and the next one shall have, because the kernel would have to clear new ones; it may take back what is in them whenever it wants. Together with
	   `memory` never more than memory_max. */
	char *spare[S3_SPARES_MAX];
	unsigned spares;
	const struct s3_part *reserve; /* the part that may have the last of memory_max; NULL: none */
	struct s3_writer *writers;
	struct s3_call *calls; /* under way */
	unsigned readers, readers_max; /* piece by piece */
	bool ending; /* nobody waits any more; never goes back */
};

struct s3 *s3_of(struct blobs *b);
/* The store inside the wrappers; NULL: it is none on S3. */
struct s3 *s3_inside(struct blobs *b);
int64_t s3_now_ms(const struct s3 *s); /* monotonic */
/* With the lock held: waits until something changes, at most until then. */
void s3_wait_until(struct s3 *s, int64_t until_ms);
/* A pause that is longer each time and never the same for two who began together. */
int64_t s3_pause_ms(const struct s3 *s, unsigned tries, int64_t asked_for_s);
/* Removes the object; that there is none is success. Without telling writers. */
[[nodiscard]] int s3_delete(struct s3 *s, struct str name, struct err *e);
/* 128 unpredictable bits in hex. */
void s3_token(const struct s3 *s, char dst[S3_TOKEN_LEN + 1]);
[[nodiscard]] int s3_key(struct buf *out, const struct s3 *s, struct str name, struct err *e);
/* The path as it is signed: not encoded, with the bucket in front where it belongs there. An empty name is the bucket. */
[[nodiscard]] int s3_path(struct buf *out, const struct s3 *s, struct str name, struct err *e);
struct sigv4_key s3_signing_key(const struct s3 *s); /* borrowed */
int64_t s3_their_time(struct s3 *s); /* Unix time, seconds, by the service's clock as far as it is known */

/* ---- digests: sums.c ---- */

/* Of one part or one whole body, as requests and answers have them. */
struct s3_sums {
	bool has_md5; /* else those below say nothing */
	uint8_t md5[16];
	char md5_hex[33], md5_base64[25], sha256_hex[65], sha256_base64[45];
};
/* Of a finished set of SHA-256, with MD5 or without. */
void s3_sums_read(struct s3_sums *ret, const struct digest_set *d);
[[nodiscard]] int s3_sums_of(struct s3_sums *ret, struct str bytes, struct err *e);
#define S3_SUMS (1u << DIGEST_MD5 | 1u << DIGEST_SHA256)
/* Those that such a service wants. */
unsigned s3_sums_wanted(const struct s3_powers *powers);

/* ---- requests: call.c ---- */

struct s3_request {
	struct str method;
	struct str name; /* of a blob; empty: the bucket itself */
	struct sigv4_pair query[S3_PAIRS_MAX]; /* not encoded */
	size_t n_query;
	struct sigv4_pair headers[S3_PAIRS_MAX]; /* names in lower case; all are signed */
	size_t n_headers;
	struct str body; /* borrowed until the call is over */
	const char *body_sha256; /* hex, borrowed; NULL: there is no body, or it is computed here */
};
void s3_add_query(struct s3_request *r, const char *name, struct str value);
void s3_add_header(struct s3_request *r, const char *name, struct str value);
/* The body's digests: in what is signed, and in the field that this service checks, if it needs one. Borrowed. */
void s3_add_sums(struct s3_request *r, const struct s3_sums *sums, const struct s3_powers *powers);
/* The answer to such a request says that other bytes arrived. */
bool s3_sums_differ(const struct s3_call *c, const struct s3_sums *sums, const struct s3_powers *powers);

/* One sending of a request. The client's thread has it from s3_send() until `over`. */
struct s3_call {
	struct s3 *s;
	void (*head)(struct s3_call *c, const struct net_head *h); /* what else of the answer's head is wanted; may be NULL */
	enum net_take (*take)(struct s3_call *c, const char *data, size_t n); /* of an answer of 200 or 206; NULL: the body is gathered */
	void (*finished)(struct s3_call *c); /* with the lock held, before `over`; may be NULL */
	uint64_t net_id; /* changed under the lock, by who sends */
	int64_t signed_s, skew_s; /* when it was signed by our clock, and how far ahead theirs was held to be */
	bool over; /* under the lock */
	struct s3_call *before, *behind; /* in s3.calls, under the lock */

	/* The answer */
	int code; /* 0: there is one */
	char detail[ERR_DETAIL_MAX];
	int status;
	int64_t length; /* -1: not told */
	int64_t from; /* of a part of the object, where it begins; -1: not told */
	int64_t whole; /* of a part of the object, the length of all of it; -1: not told */
	int64_t date_s; /* -1: not told */
	int64_t retry_after_s;
	char etag[S3_ETAG_MAX + 1]; /* without quotes */
	char checksum[64]; /* x-amz-checksum-sha256 */
	char token[S3_TOKEN_LEN + 1]; /* of the writer whose object it is */
	struct buf body;

	int64_t patience_ms; /* of s3_do(); the store's when nobody sets it */
	unsigned stall_s; /* so is this */
	unsigned tries; /* made by s3_do() */
};
void s3_call_init(struct s3_call *c, struct s3 *s);
void s3_call_release(struct s3_call *c); /* it is over or was never sent */

/* Signs and sends; never blocks. A call that could not be sent is over at once, with its code. */
void s3_send(struct s3_call *c, const struct s3_request *r);
/* A request whose address has the signature in it. All is borrowed until the call is over. */
struct s3_signed {
	struct str method, url;
	const struct net_header *headers;
	size_t n_headers;
	struct str body;
};
void s3_send_signed(struct s3_call *c, const struct s3_signed *r);
/* Waits until the call is over. */
void s3_wait(struct s3_call *c);
void s3_cancel_and_wait(struct s3_call *c);
/* Ends all that are under way and may be waited for, and all that come, with ERR_SHUTTING_DOWN; who pauses before another try does not. */
void s3_interrupt(struct blobs *b);
bool s3_ending(struct s3 *s);
/* Sends what nobody waits for, even then; what fails is left to the sweep. */
void s3_send_and_forget(struct s3 *s, const struct s3_request *r);

enum s3_verdict { S3_ANSWERED, S3_AGAIN, S3_FAILED };
/* Of a call that is over. S3_AGAIN: the same request may do better after a pause. Sets the skew when it was signed with a wrong time; *ret_at_once then. */
enum s3_verdict s3_judge(struct s3_call *c, bool *ret_at_once);
/* Sends until there is an answer that trying again would not change, or patience ends. 0: c has the answer, whatever its status. Else the error of the last one. */
[[nodiscard]] int s3_do(struct s3_call *c, const struct s3_request *r, struct err *e);
/* The code of the answer's error: "NoSuchUpload", or "". */
void s3_error_word(char dst[S3_WORD_MAX + 1], const struct s3_call *c);
bool s3_error_is(const struct s3_call *c, const char *word);
/* Says what came instead of what was wanted; returns the code. */
int s3_unexpected(const struct s3_call *c, const char *what, struct err *e);

/* ---- what a service can: powers.c ---- */
[[nodiscard]] int s3_learn(struct s3 *s, struct s3_powers *ret, struct err *e);

/* ---- whom addresses may be given to: trust.c ---- */
/* *ret_guard: NULL, or the field to sign. */
[[nodiscard]] int s3_learn_trust(struct s3 *s, enum s3_trust *ret, const char **ret_guard, struct err *e);
/* Appends an address to PUT to; guard: NULL, or the field to sign. Asks nobody. */
[[nodiscard]] int s3_presign_bare_put(struct buf *out, struct s3 *s, struct str name, struct str size, const char *guard,
				      unsigned expires_s, struct err *e);

/* ---- writing: write.c, part.c ---- */
int s3_create(struct blobs *b, struct str name, uint64_t size_hint, struct blob_writer **ret, struct err *e);
int s3_create_copy(struct blobs *b, struct str name, const struct blob_origin *from, struct blob_writer **ret, struct err *e);
int s3_append(struct blob_writer *w, const void *data, size_t n, struct err *e);
int s3_append_digesting(struct blob_writer *w, const void *data, size_t n, struct digest_set *d, struct err *e);
int s3_commit(struct blob_writer *w, struct err *e);
void s3_abandon(struct blob_writer *w);
/* Gives the spare pages back; with the lock held, or at the end. */
void s3_drop_spares(struct s3 *s, unsigned most);
/* Tells the writers of this name, if any, that it is being removed. */
void s3_tell_removed(struct s3 *s, struct str name);
/* This process writes it. */
bool s3_writes_upload(struct s3 *s, struct str upload_id);

/* ---- reading: read.c ---- */
int s3_open(struct blobs *b, struct str name, int *ret_fd, uint64_t *ret_size, struct err *e);
int s3_read_open(struct blobs *b, struct str name, uint64_t from, uint64_t length, struct blob_reader **ret, uint64_t *ret_size,
		 struct err *e);
int s3_read(struct blob_reader *r, void *dst, size_t n, size_t *ret_n, struct err *e);
int s3_read_wait(struct blob_reader *r, struct err *e);
bool s3_read_ready(struct blob_reader *r);
bool s3_read_origin(const struct blob_reader *r, struct blob_origin *ret);
void s3_read_close(struct blob_reader *r);

/* ---- listing: list.c ---- */
int s3_visit_some(struct blobs *b, struct str begin, int (*visit)(void *arg, struct str name, uint64_t size), void *arg, struct err *e);
int s3_visit(struct blobs *b, int (*visit)(void *arg, struct str name, uint64_t size), void *arg, struct err *e);
int s3_give_up(struct blobs *b, enum blob_claim (*claim)(void *arg, struct str name), void *arg, struct err *e);
int s3_foreign(struct blobs *b, void (*tell)(void *arg, struct str path), void *arg, struct err *e);

/* ---- the answers' XML: xml.c ---- */

enum s3_xml_event { S3_XML_OPEN, S3_XML_CLOSE, S3_XML_END, S3_XML_BROKEN };
/* Reads elements one after the other. What S3 never sends (document types, CDATA, processing instructions but the first) is broken. */
struct s3_xml {
	struct str rest;
	struct str name; /* of the element just opened or closed, without its prefix */
	struct str text; /* what stood in front of the event, not decoded */
	bool empty; /* `<a/>` was opened: its close comes next */
	unsigned depth;
};
struct s3_xml s3_xml(struct str text);
enum s3_xml_event s3_xml_next(struct s3_xml *x);
/* Decodes entities into dst, which has room for s.len bytes; the length, or -1. */
long s3_xml_text(char *dst, struct str s);
/* The text of the first element of this name, decoded into out. False when there is none. */
bool s3_xml_find(struct buf *out, struct str text, const char *name);

#endif
