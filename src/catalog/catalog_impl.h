/* For those who implement a catalogue; callers include catalog.h. */
#ifndef FILEMILL_CATALOG_CATALOG_IMPL_H
#define FILEMILL_CATALOG_CATALOG_IMPL_H

#include "base/compiler.h"
#include "catalog/catalog.h"

#include <stdatomic.h>

#define IDEMPOTENCY_MS (24 * INT64_C(3600000)) /* a record older than this does not count */
#define LIST_SCAN_MAX 50000 /* rows one list call looks at; a filter that matches less gives a short page and a cursor */

struct news_list; /* news.h */

/* The rows of catalog_queue() while they are counted. */
struct queue_rows {
	struct arena *arena;
	struct queue_row *list;
	size_t n;
};
/* The row of the op, a new one when there is none yet. NULL: no memory, or QUEUE_OPS_MAX. */
struct queue_row *queue_row_of(struct queue_rows *rows, struct str op);

/* The method table. Contracts stand at the functions of catalog.h; catalog.c calls these with arguments already checked, so a
 * method may rely on: limits within range, never called while sealed (apply), options as given at the start.
 * For every change apply() first asks change_allowed() and skips those that are refused there, then those whose once-key is used up. */
struct catalog_ops {
	int (*apply)(struct catalog *c, struct change *const *changes, size_t n, struct err *e);
	void (*idle)(struct catalog *c);
	void (*free)(struct catalog *c);

	int (*file)(struct catalog *c, struct file_key key, struct str owner, struct arena *a, struct file *ret, struct err *e);
	int (*inline_bytes)(struct catalog *c, struct uuid file, struct buf *out, struct err *e);
	int (*job)(struct catalog *c, struct uuid id, int64_t number, struct str owner, struct arena *a, struct job *ret, struct err *e);
	int (*ended_job)(struct catalog *c, int64_t number, struct arena *a, struct job *ret, struct str *ret_owner, struct err *e);
	int (*list_files)(struct catalog *c, const struct file_filter *f, struct page page, struct arena *a, struct file **ret,
			  size_t *ret_n, int64_t *ret_next, struct err *e);
	int (*list_jobs)(struct catalog *c, const struct job_filter *f, struct page page, struct arena *a, struct job **ret, size_t *ret_n,
			 int64_t *ret_next, struct err *e);
	int (*stats)(struct catalog *c, int64_t now, struct catalog_stats *ret, struct err *e);
	int (*usage)(struct catalog *c, struct str owner, struct usage *ret, struct err *e);
	int (*import_counts)(struct catalog *c, struct str owner, struct import_counts *ret, struct err *e);
	int (*depth)(struct catalog *c, int64_t now, struct catalog_depth *ret, struct err *e);
	int (*next_run_at)(struct catalog *c, int64_t *ret, struct err *e);
	bool (*newcomers)(struct catalog *c);
	int (*artifact)(struct catalog *c, struct str owner, struct str op, uint32_t op_version, struct str params,
			const uint8_t sha256[32], struct uuid *ret, struct err *e);
	int (*blob_referenced)(struct catalog *c, struct str blob, bool *ret, struct err *e);
	int (*doomed)(struct catalog *c, struct str after, uint32_t max, struct arena *a, struct str **ret, size_t *ret_n, struct err *e);
	int (*blob_doomed)(struct catalog *c, struct str blob, bool *ret, struct err *e);
	int (*stored)(struct catalog *c, struct stored_at after, uint32_t max, struct arena *a, struct stored **ret, size_t *ret_n,
		      struct err *e);
	int (*line)(struct catalog *c, struct catalog_line *ret, struct err *e);
	int (*scrub_position)(struct catalog *c, struct scrub_position *ret, struct err *e);
	int (*damaged_count)(struct catalog *c, uint64_t *ret, struct err *e);
	int (*queue)(struct catalog *c, int64_t now, uint32_t ended_max, struct queue_rows *rows, uint64_t *ret_ended, struct err *e);
	bool shared; /* other nodes may work on it too */
	int (*news)(struct catalog *c, struct news_list *to, bool *ret_whole, struct err *e); /* NULL: there are none */
	int (*share_rates)(struct catalog *c, struct shared_rate *rates, size_t n, struct err *e); /* of those that are shared */
	int (*store)(struct catalog *c, struct uuid mine, struct uuid *ret, struct err *e); /* of those that are shared */
	int (*hold)(struct catalog *c, struct uuid id, struct str holder, int64_t lease_ms, struct err *e); /* of those that are shared */
	int (*held)(struct catalog *c, int64_t limit_ms, enum held *ret, struct err *e); /* of those that are shared */
	int (*workers)(struct catalog *c, uint32_t max, struct arena *a, struct worker_row **ret, size_t *ret_n, struct err *e);
	int (*damaged)(struct catalog *c, uint32_t max, struct arena *a, struct damaged_row **ret, size_t *ret_n, struct err *e);
	int (*check)(struct catalog *c, catalog_finding_fn *tell, void *arg, struct err *e);
	int (*expired)(struct catalog *c, int64_t now, uint32_t max, struct arena *a, struct expired **ret, size_t *ret_n, struct err *e);
	int (*recurring)(struct catalog *c, struct arena *a, struct recurring_state **ret, size_t *ret_n, struct err *e);
	int (*outbox)(struct catalog *c, int64_t after, uint32_t max, struct arena *a, struct outbox_entry **ret, size_t *ret_n,
		      struct err *e);
	int (*webhook)(struct catalog *c, struct uuid id, struct str owner, struct arena *a, struct webhook *ret, struct err *e);
	int (*list_webhooks)(struct catalog *c, struct str owner, struct page page, struct arena *a, struct webhook **ret, size_t *ret_n,
			     int64_t *ret_next, struct err *e);
	int (*delivery)(struct catalog *c, struct uuid webhook, struct str owner, struct uuid id, struct arena *a, struct delivery *ret,
			struct err *e);
	int (*list_deliveries)(struct catalog *c, struct uuid webhook, struct str owner, int state, struct page page, struct arena *a,
			       struct delivery **ret, size_t *ret_n, int64_t *ret_next, struct err *e);
	int (*due_webhooks)(struct catalog *c, int64_t after, uint32_t max, struct arena *a, struct due_webhook **ret, size_t *ret_n,
			    struct err *e);
	int (*due_deliveries)(struct catalog *c, int64_t webhook_number, int64_t now, uint32_t max, struct arena *a, struct delivery **ret,
			      size_t *ret_n, struct err *e);
	int (*webhook_stats)(struct catalog *c, struct webhook_stats *ret, struct err *e);
	/* By id, or by email where id is zero. */
	int (*account)(struct catalog *c, struct uuid id, struct str email, struct arena *a, struct account *ret, struct err *e);
	int (*list_accounts)(struct catalog *c, struct page page, struct arena *a, struct account **ret, size_t *ret_n, int64_t *ret_next,
			     struct err *e);
	uint64_t (*account_count)(struct catalog *c, bool ask);
	/* ERR_UNAUTHENTICATED only when there is none: accounts.c looks whether it holds. */
	int (*session)(struct catalog *c, const uint8_t hash[SECRET_HASH], struct arena *a, struct session *ret,
		       struct account *ret_account, struct err *e);
	/* By hash, or by id where that is NULL. */
	int (*api_key)(struct catalog *c, const uint8_t *hash, struct uuid id, struct arena *a, struct api_key *ret,
		       struct account *ret_account, struct err *e);
	int (*list_keys)(struct catalog *c, struct uuid account, struct page page, struct arena *a, struct api_key **ret, size_t *ret_n,
			 int64_t *ret_next, struct err *e);
	int (*once_used)(struct catalog *c, const uint8_t key[ONCE_KEY], bool *ret, struct err *e);
	int (*secrets)(struct catalog *c, struct arena *a, struct secret **ret, size_t *ret_n, struct err *e);
	int (*audit)(struct catalog *c, int64_t after, uint32_t max, struct arena *a, struct audit_entry **ret, size_t *ret_n,
		     struct err *e);
	int (*audit_head)(struct catalog *c, struct audit_head *ret, struct err *e);
};

/* The part every implementation begins with. */
struct catalog {
	const struct catalog_ops *ops;
	struct catalog_options options;
	_Atomic bool own_quotas; /* catalog_own_quotas() */
	_Atomic bool sealed; /* set once, by the implementation, after a failed flush */
	struct {
		struct ended *list;
		size_t n, cap;
		size_t change; /* being applied */
		bool lost; /* there was no memory for one */
	} ends; /* of the batch being applied, then of the last one; the committer's */
	size_t deliveries; /* written, or made due, by that batch */
};

/* apply() tells where it is: 0 at the start of a batch, also of one that begins anew, then each change. */
void ends_begin(struct catalog *c);
void ends_of_change(struct catalog *c, size_t change);
/* A job became final. */
void ends_add(struct catalog *c, int64_t job, int64_t fence, int64_t finished_at, enum job_state state);

struct page page_within(struct page p); /* with a limit from 1 to 200, and a place to start below */

/* webhooks.c: the checks of change_allowed() for changes of webhooks and deliveries. */
bool webhook_change_allowed(struct change *ch);
/* The refusals that several implementations word alike. */
int change_no_webhook(struct change *ch);
int change_no_delivery(struct change *ch);
int change_webhook_off(struct change *ch);
/* The attempt was made where the webhook is sent no more. */
void attempt_was_elsewhere(struct change_attempt *t);
int change_too_many_webhooks(struct change *ch, uint32_t limit);

/* accounts.c: the checks of change_allowed() for changes of accounts and what belongs to them, and for what may happen once only. */
bool account_change_allowed(struct change *ch);
bool once_allowed(struct change *ch);
int change_used(struct change *ch); /* the once-key is used up */
int change_no_account(struct change *ch);
int change_no_key(struct change *ch);
int change_email_taken(struct change *ch);
int change_last_admin(struct change *ch);
int change_last_account(struct change *ch);
int change_not_first(struct change *ch); /* there is an account already */
int change_password_changed(struct change *ch); /* after the session began */
int change_too_many_keys(struct change *ch, uint32_t limit);
/* Whether the change leaves an administrator who may come no longer one. */
bool patch_takes_admin(const struct change_patch_account *p, enum role role, bool disabled);
int no_account(struct err *e);
int not_known(struct err *e); /* ERR_UNAUTHENTICATED, which says nothing of the why */

/* Clears the change's code and checks its arguments; false: refused, code and err are set. */
bool change_allowed(struct change *ch);
/* Whether the change, which was applied, leaves its audit entry. */
bool change_leaves_entry(const struct change *ch);
/* Refuses a change: sets code and err and returns 0, so that `return change_refuse(…)` ends a method that itself went well. */
ATTR_PRINTF(3, 4) int change_refuse(struct change *ch, int code, const char *fmt, ...);
/* The refusals that several implementations word alike. */
/* Whether the queue takes so many more, with what waits in all and of this owner; else it refuses. rest: how many were not looked at yet, and may come on top. */
bool change_has_room(const struct catalog *c, struct change *ch, uint64_t waiting, uint64_t waiting_of_owner, struct quotas own,
		     uint64_t more, uint64_t rest);
/* What files of the same change bring with them that were looked at before. */
struct files_coming {
	struct usage usage;
	uint64_t queued; /* jobs */
};
/* Whether catalogs ask for the usage at all, and whether a file of this size fits beside it: false, and the change is refused, when it does not. */
bool catalog_has_quota(const struct catalog *c);
/* Whether any account has, or had, quotas of its own, so that an owner's must be looked for; said by who reads or writes some. */
bool catalog_own_quotas(const struct catalog *c);
void catalog_quotas_set(struct catalog *c, struct quotas own);
bool change_within_quota(const struct catalog *c, struct change *ch, const struct usage *used, uint64_t size);
int change_file_full(struct change *ch); /* the file has JOBS_A_FILE_MAX jobs */
int change_not_ready(struct change *ch); /* the job before has no output to work on, and will have none */
int change_still_coming(struct change *ch);
int change_not_expired(struct change *ch); /* the file's expiry was put off */
int change_other_file(struct change *ch); /* the job before is of another file */
#define INPUT_FAILED_DETAIL STR("the job before this one ended without an output")
#define JOB_EXPIRED_DETAIL "the job's result has expired"
/* 0: with its file. */
int64_t result_expires_at(const struct catalog_options *o, int64_t finished_at);
/* What the caller of an ADD_ change is told of a job that waits, and of one whose work was done before (result and outputs apart). A change may be applied
 * twice, so nothing that is set here is taken for the caller's the second time. */
void job_settle_waiting(struct job *job);
void job_settle_done(struct job *job);
bool job_born_final(const struct job *job); /* it rode along with the upload */
/* Earlier jobs of the change for the same file as its job i; their file numbers are known. */
size_t change_jobs_before(const struct change_add_jobs *add, size_t i);

/* Whether the entry is as the change takes it to be; else it is refused. NULL: it has no state. */
bool recurring_as_it_was(struct change *ch, const struct recurring_state *now);

/* Where the same work on the same bytes of the same owner is looked for. A collision only costs a miss: compare before use. */
int64_t artifact_key(struct str owner, struct str op, uint32_t version, struct str params, const uint8_t sha256[32]);

/* The name of a stored file's blob, `<owner>/<last two hex digits of the file's id>/<file id>`: the rule of blob_name_for_file() in blobs/blobs.h, which
 * stands on the same floor. The engine's tests remove blobs by these names, so that the two cannot part unnoticed. */
#define FILE_BLOB_NAME_MAX (OWNER_MAX + 4 + UUID_TEXT_LEN)
struct str file_blob_name(char dst[FILE_BLOB_NAME_MAX + 1], struct str owner, struct uuid file);
/* The other way round; false: not the name of a file's blob, whoever's it may be. */
bool file_of_blob_name(struct uuid *ret, struct str *ret_owner, struct str blob);

/* Filters that cannot be left to an index: the same answer from every implementation. */
struct file_match {
	struct str name;
	const uint8_t *sha256;
	char label[2 * LABEL_VALUE_MAX * 6]; /* `"key":"value"` as it stands in canonical JSON */
	size_t label_len; /* 0 = any */
	int state;
};
[[nodiscard]] int file_match_init(struct file_match *m, const struct file_filter *f, struct err *e);
bool file_match_row(const struct file_match *m, struct str name, const uint8_t sha256[32], struct str labels);
bool file_match_jobs(const struct file_match *m, const struct job *jobs, size_t n);

#endif
