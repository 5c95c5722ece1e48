/* fsck: first the catalogue by itself, then everything the catalogue speaks of, then everything that lies in the store.
 *
 * Nothing else may work on the directory meanwhile: its lock is held. Nodes with directories of their own that share the catalogue and a bucket may: what they are about to refer to is left
 * alone, by what the sweep knows of them (engine/janitor.c, docs/adr/0039). Opening the catalogue brings home what a crash left in its log, as any start does; apart
 * from that nothing is written without --repair. Blobs are removed only while the catalogue is at one with itself: one that contradicts itself is no
 * witness for what nobody needs. */
#include "app/fsck.h"
#include "app/catalogue.h"
#include "app/data_dir.h"
#include "app/fsck_report.h"
#include "app/store.h"
#include "audit/audit.h"
#include "blobs/blobs.h"
#include "catalog/catalog.h"
#include "engine/arrival.h"
#include "ops/ops.h"
#include "rt/env.h"

#include <stdlib.h>
#include <string.h>

#define PAGE 500 /* rows looked at with one read of the catalogue */
#define BACKUP_AT_WORK "a backup is copying its bytes; repair it when that has ended"
#define READ_BYTES (256u << 10)

struct check {
	const struct fsck_options *options;
	struct fsck_report report;
	struct catalog *catalog;
	struct blobs *blobs;
	struct digest_set *digest;
	uint8_t *chunk; /* READ_BYTES */
	struct str catalogue; /* what it is called where no row is meant */
	bool damaged; /* the catalogue's database is */
	bool may_remove;
	bool leaves; /* what lies in the bucket may be another catalogue's: the sweep knows how to find that out (docs/adr/0044-twins.md) */
	bool others; /* nodes with other directories may be at work on the same catalogue and bucket */
	int64_t others_since; /* their uploads have ids of this time and later */
	int64_t hold_ms; /* how long a backup is waited for */
	struct err *e;
};

/* ---- the catalogue by itself ---- */

static void tell_catalogue(void *arg, enum finding f, struct str id, struct str detail)
{
	struct check *c = arg;

	c->damaged |= f == FINDING_CATALOGUE_DAMAGED;
	c->may_remove = false;
	report_finding(&c->report, f, id, detail, NULL);
}

static int check_catalogue(struct check *c)
{
	int rc = catalog_check(c->catalog, tell_catalogue, c, c->e);

	if (rc != ERR_DAMAGED)
		return rc;
	tell_catalogue(c, FINDING_CATALOGUE_DAMAGED, c->catalogue, str_of(c->e->detail));
	return 0;
}

/* ---- catalogue against store ---- */

static int apply(struct check *c, struct change *ch)
{
	struct change *list[] = {ch};
	int rc = catalog_apply(c->catalog, list, 1, c->e);

	if (rc == 0 && ch->code != 0) {
		*c->e = ch->err;
		rc = ch->code;
	}
	return rc;
}

static const struct audit_by by = {.how = "command"};

/* An output is named by its job's id and its place, as in its address. */
static struct str stored_name(const struct stored *s, char dst[64])
{
	size_t n = UUID_TEXT_LEN;

	uuid_format(dst, s->id);
	if (s->at.kind == STORED_OUTPUT)
		n += (size_t)snprintf(dst + n, 64 - n, "/outputs/%u", s->at.n);
	return (struct str){dst, n};
}

static int note_mark(struct change *ch, struct arena *a, const struct stored *s, bool whole, struct err *e)
{
	bool file = s->at.kind == STORED_FILE;
	enum audit_act act = file ? (whole ? AUDIT_FILE_WHOLE : AUDIT_FILE_DAMAGED) : whole ? AUDIT_OUTPUT_WHOLE : AUDIT_OUTPUT_DAMAGED;
	char name[64];

	return audit_entry(&ch->audit, a, env_real.wall_ms(&env_real), act, &by, e, LF_STR(file ? "file" : "output", stored_name(s, name)));
}

static int apply_mark(struct check *c, const struct stored *s, bool whole)
{
	struct change ch = {.kind = CHANGE_MARK_DAMAGED, .mark_damaged = {.blob = s->blob, .at = whole ? 0 : env_real.wall_ms(&env_real)}};
	CLEANUP(arena_release) struct arena a = ARENA_INIT;

	if (s->at.kind == STORED_FILE)
		ch.mark_damaged.file = s->id;
	int rc = note_mark(&ch, &a, s, whole, c->e);
	return rc == 0 ? apply(c, &ch) : rc;
}

/* Another node deleted it since its row was read. */
static bool gone_meanwhile(const struct check *c, int rc)
{
	return c->others && (rc == ERR_FILE_NOT_FOUND || rc == ERR_FILE_GONE || rc == ERR_OUTPUT_NOT_FOUND);
}

static int tell_bad(struct check *c, const struct stored *s, enum finding f, const char *detail)
{
	bool marks = c->options->repair && s->damaged_at == 0;
	char name[64];
	int rc = marks ? apply_mark(c, s, false) : 0;

	if (rc != 0)
		return gone_meanwhile(c, rc) ? 0 : rc;
	report_finding(&c->report, f, stored_name(s, name), str_of(detail), marks ? "marked as damaged" : NULL);
	return 0;
}

/* *ret_failed: a read did, for the reason in *why. */
static int digest_reader(struct check *c, struct blob_reader *r, uint8_t ret[32], bool *ret_failed, struct err *why)
{
	int rc = digest_set_reset(c->digest, 1u << DIGEST_SHA256, c->e);
	size_t n = 1, len;

	if (rc != 0)
		return rc;
	while ((rc = blob_read(r, c->chunk, READ_BYTES, &n, why)) == 0 && n > 0) {
		digest_set_update(c->digest, c->chunk, n);
		c->report.bytes_read += n;
	}
	*ret_failed = rc != 0;
	if ((rc = digest_set_finish(c->digest, c->e)) != 0)
		return rc;
	memcpy(ret, digest_set_get(c->digest, DIGEST_SHA256, &len), 32);
	return 0;
}

static int digest_inline(struct check *c, const struct stored *s, uint8_t ret[32])
{
	CLEANUP(buf_release) struct buf bytes = BUF_INIT;
	size_t len;
	int rc = catalog_inline_bytes(c->catalog, s->id, &bytes, c->e);

	if (rc == 0)
		rc = digest_set_reset(c->digest, 1u << DIGEST_SHA256, c->e);
	if (rc != 0)
		return rc;
	digest_set_update(c->digest, bytes.p, bytes.len);
	c->report.bytes_read += bytes.len;
	if ((rc = digest_set_finish(c->digest, c->e)) != 0)
		return rc;
	memcpy(ret, digest_set_get(c->digest, DIGEST_SHA256, &len), 32);
	return 0;
}

/* The bytes were read and have this digest. */
static int judge_digest(struct check *c, const struct stored *s, const uint8_t sha256[32])
{
	bool file = s->at.kind == STORED_FILE;
	char name[64], is[65], was[65], detail[200];
	int rc;

	if (memcmp(sha256, s->sha256, 32) != 0) {
		hex_encode(is, sha256, 32);
		hex_encode(was, s->sha256, 32);
		snprintf(detail, sizeof(detail), "its SHA-256 is %s, not %s", is, was);
		return tell_bad(c, s, file ? FINDING_FILE_BYTES_CHANGED : FINDING_OUTPUT_BYTES_CHANGED, detail);
	}
	if (s->damaged_at == 0)
		return 0;
	rc = c->options->repair ? apply_mark(c, s, true) : 0;
	if (rc == 0)
		report_finding(&c->report, FINDING_MARKED_WHOLE, stored_name(s, name),
			       STR("it is marked as damaged, but its bytes are right"), c->options->repair ? "mark taken away" : NULL);
	return rc;
}

static int tell_length(struct check *c, const struct stored *s, uint64_t is)
{
	char detail[80];

	snprintf(detail, sizeof(detail), "there are %llu bytes, not %llu", (unsigned long long)is, (unsigned long long)s->size);
	return tell_bad(c, s, s->at.kind == STORED_FILE ? FINDING_FILE_BYTES_LENGTH : FINDING_OUTPUT_BYTES_LENGTH, detail);
}

static int tell_missing(struct check *c, const struct stored *s, const char *detail)
{
	return tell_bad(c, s, s->at.kind == STORED_FILE ? FINDING_FILE_BYTES_MISSING : FINDING_OUTPUT_BYTES_MISSING, detail);
}

static void tell_known(struct check *c, const struct stored *s)
{
	char name[64];

	report_finding(&c->report, FINDING_KNOWN_DAMAGED, stored_name(s, name),
		       STR("it is marked as damaged; with --read it is looked at again"), NULL);
}

static int check_inline(struct check *c, const struct stored *s)
{
	uint8_t sha256[32];
	int rc;

	if (s->inline_size < 0)
		return tell_missing(c, s, "its bytes are not in the catalogue");
	if ((uint64_t)s->inline_size != s->size)
		return tell_length(c, s, (uint64_t)s->inline_size);
	if (!c->options->read) {
		if (s->damaged_at)
			tell_known(c, s);
		return 0;
	}
	rc = digest_inline(c, s, sha256);
	if (rc != 0)
		return gone_meanwhile(c, rc) ? 0 : rc;
	return judge_digest(c, s, sha256);
}

/* A finding if the store has other things; where it is away, every further row would take as long as its patience lasts and say as little. */
static int tell_unreadable(struct check *c, const struct stored *s, const char *why)
{
	char name[64];
	int rc = store_answers(c->blobs, c->e);

	if (rc != 0)
		return rc;
	report_finding(&c->report, FINDING_BYTES_UNREADABLE, stored_name(s, name), str_of(why), NULL);
	return 0;
}

static int judge_blob(struct check *c, const struct stored *s, struct blob_reader *r, uint64_t size)
{
	struct err why = ERR_INIT;
	uint8_t sha256[32];
	bool failed;

	if (size != s->size)
		return tell_length(c, s, size);
	if (!c->options->read) {
		if (s->damaged_at)
			tell_known(c, s);
		return 0;
	}
	int rc = digest_reader(c, r, sha256, &failed, &why);
	if (rc != 0)
		return rc;
	return failed ? tell_unreadable(c, s, why.detail) : judge_digest(c, s, sha256);
}

/* Another node may have deleted it since its row was read. */
static int still_needed(struct check *c, struct str blob, bool *ret)
{
	*ret = true;
	return c->others ? catalog_blob_referenced(c->catalog, blob, ret, c->e) : 0;
}

static int check_blob(struct check *c, const struct stored *s)
{
	/* Whether it is there and how long it is can be told from its first byte. */
	const uint64_t wanted = c->options->read || s->size == 0 ? UINT64_MAX : 1;
	struct err e = ERR_INIT;
	struct blob_reader *r;
	bool needed = true;
	uint64_t size;
	int rc = blob_read_open(c->blobs, s->blob, 0, wanted, &r, &size, &e);

	if (rc == ERR_NOT_FOUND || rc == ERR_BAD_NAME)
		return still_needed(c, s->blob, &needed) != 0 ? c->e->code
		       : needed                               ? tell_missing(c, s, "its blob is not in the store")
							      : 0;
	if (rc == ERR_RANGE_UNSATISFIABLE)
		return tell_length(c, s, 0);
	if (rc != 0)
		return tell_unreadable(c, s, e.detail[0] != '\0' ? e.detail : err_info(rc)->title);
	rc = judge_blob(c, s, r, size);
	blob_read_close(r);
	return rc;
}

static int check_page(struct check *c, const struct stored *list, size_t n)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < n; i++) {
		const struct stored *s = &list[i];

		c->report.files += s->at.kind == STORED_FILE;
		c->report.outputs += s->at.kind == STORED_OUTPUT;
		rc = s->blob.p != NULL ? check_blob(c, s) : check_inline(c, s);
	}
	return rc;
}

static int check_rows(struct check *c)
{
	struct stored_at at = {};
	size_t n = 1;
	int rc = 0;

	while (rc == 0 && n > 0) {
		CLEANUP(arena_release) struct arena a = ARENA_INIT;
		struct stored *list;

		rc = catalog_stored(c->catalog, at, PAGE, &a, &list, &n, c->e);
		if (rc != 0 || n == 0)
			break;
		at = list[n - 1].at;
		rc = check_page(c, list, n);
	}
	return rc;
}

/* ---- store against catalogue ---- */

static int note_removal(struct check *c, struct str name, uint64_t size)
{
	CLEANUP(arena_release) struct arena a = ARENA_INIT;
	struct change ch = {.kind = CHANGE_AUDIT};
	int rc = audit_entry(&ch.audit, &a, env_real.wall_ms(&env_real), AUDIT_BLOB_REMOVED, &by, c->e, LF_STR("blob", name),
			     LF_INT("size", size));

	return rc == 0 ? apply(c, &ch) : rc;
}

/* No row refers to it. *ret: another node may be about to. An attempt is asked for before the catalogue is asked once more: its end may be committed between the two. */
static int may_come(struct check *c, struct str name, enum blob_of of, struct uuid id, int64_t fence, bool *ret)
{
	*ret = c->others && of == BLOB_OF_FILE && uuid_ms(id) >= c->others_since;
	if (*ret || !c->others)
		return 0;
	int rc = of == BLOB_OF_OUTPUT ? catalog_attempt_runs(c->catalog, id, fence, ret, c->e) : 0;
	return rc == 0 && !*ret ? catalog_blob_referenced(c->catalog, name, ret, c->e) : rc;
}

/* Asked for after the catalogue (docs/adr/0020, docs/adr/0043). */
static int held(struct check *c, bool *ret)
{
	enum held state = HELD_NOT;
	int rc = catalog_held(c->catalog, c->hold_ms, &state, c->e);

	*ret = state == HELD;
	return rc;
}

static int remove_blob(struct check *c, struct str name, uint64_t size, bool *ret_removed)
{
	bool kept;
	int rc = held(c, &kept);

	if (rc != 0 || kept)
		return rc;
	rc = blob_remove(c->blobs, name, c->e);
	*ret_removed = rc == 0;
	return rc == 0 ? note_removal(c, name, size) : rc;
}

static int visit_blob(void *arg, struct str name, uint64_t size)
{
	struct check *c = arg;
	bool wanted = false, doomed = false, coming = false, removed = false;
	char detail[80];
	struct uuid id;
	int64_t fence;
	int rc;

	if (store_is_mark(name))
		return 0;
	c->report.blobs++;
	const enum blob_of of = blob_name_parse(&id, &fence, name);
	if (of == BLOB_OF_ARRIVAL && env_real.wall_ms(&env_real) < uuid_ms(id) + ARRIVAL_KEPT_MS)
		return 0; /* its client has not said yet that it is there */
	if (c->others && of == BLOB_OF_PROBE)
		return 0; /* of a node that looks at this very moment whether the storage works */
	if (of == BLOB_OF_NOBODY) {
		report_finding(&c->report, FINDING_BLOB_FOREIGN, name, STR("its name is neither a file's nor an output's"), NULL);
		return 0;
	}
	if ((rc = catalog_blob_referenced(c->catalog, name, &wanted, c->e)) != 0 ||
	    (rc = catalog_blob_doomed(c->catalog, name, &doomed, c->e)) != 0)
		return rc;
	c->report.doomed += doomed;
	if (wanted || doomed)
		return 0;
	if ((rc = may_come(c, name, of, id, fence, &coming)) != 0 || coming)
		return rc;
	if (c->options->repair && c->may_remove && (!c->leaves || of == BLOB_OF_PROBE) && (rc = remove_blob(c, name, size, &removed)) != 0)
		return rc;
	snprintf(detail, sizeof(detail), "%llu bytes that neither a file nor an output needs", (unsigned long long)size);
	report_finding(&c->report, FINDING_BLOB_UNREFERENCED, name, str_of(detail), removed ? "removed" : NULL);
	return 0;
}

static void tell_foreign(void *arg, struct str path)
{
	struct check *c = arg;

	report_finding(&c->report, FINDING_BLOB_FOREIGN, path, STR("filemill did not put it there"), NULL);
}

static int check_store(struct check *c)
{
	int rc = blobs_visit(c->blobs, visit_blob, c, c->e);

	return rc == 0 ? blobs_foreign(c->blobs, tell_foreign, c, c->e) : rc;
}

/* ---- all ---- */

static int look(struct check *c)
{
	int rc;

	if ((rc = digest_set_new(&c->digest, 1u << DIGEST_SHA256, c->e)) != 0)
		return rc;
	c->chunk = malloc(READ_BYTES);
	if (c->chunk == NULL)
		return err_set(c->e, ERR_NO_MEMORY, "no memory to read into");
	rc = check_catalogue(c);
	if (rc != 0 || c->damaged) /* what it says of the store is worth nothing */
		return rc;
	rc = check_rows(c);
	return rc == 0 ? check_store(c) : rc;
}

static int open_and_look(struct check *c, const struct settings *s, const struct data_dir *d)
{
	const struct catalog_options options = {.keep_schema = true};
	int rc = store_open(&c->blobs, s, d, c->options->repair ? STORE_REPAIR : STORE_LOOK, c->e);

	if (rc == 0)
		rc = catalogue_open(&c->catalog, s, &options, c->e);
	if (rc == ERR_DAMAGED) {
		tell_catalogue(c, FINDING_CATALOGUE_DAMAGED, c->catalogue, str_of(c->e->detail));
		return 0;
	}
	if (rc == 0)
		rc = store_check(s, d, c->catalog, c->e);
	if (rc == 0 && c->others)
		rc = catalog_uploads_since(c->catalog, env_real.wall_ms(&env_real), (struct uuid){}, &c->others_since, c->e);
	bool kept = false;
	if (rc == 0 && c->options->repair && (rc = held(c, &kept)) == 0 && kept)
		rc = err_set(c->e, ERR_IN_USE, BACKUP_AT_WORK);
	return rc == 0 ? look(c) : rc;
}

int fsck(FILE *out, const struct settings *s, const struct fsck_options *options, bool *ret_clean, struct err *e)
{
	const struct data_dir_options dir = {.catalogue_elsewhere = catalogue_is_shared(s)};
	const char *data_dir = s->data_dir;
	struct data_dir d = DATA_DIR_INIT;
	struct check c = {.options = options,
			  .catalogue = catalogue_is_shared(s) ? STR("PostgreSQL") : STR("catalog.db"),
			  .may_remove = true,
			  .leaves = s->storage_bucket[0] != '\0' && !options->sole,
			  .others = catalogue_is_shared(s) && s->storage_bucket[0] != '\0',
			  .hold_ms = s->backup_hold_ms,
			  .e = e};
	int rc = data_dir_open_complete(&d, data_dir, &dir, e);

	if (rc != 0)
		return err_wrap(e, "data directory %.100s", data_dir);
	/* One that begins later takes its snapshot of a catalogue in which no row refers to what is removed here. */
	if (options->repair && data_dir_blobs_held(&d)) {
		data_dir_close(&d);
		return err_set(e, ERR_IN_USE, "data directory %.100s: " BACKUP_AT_WORK, data_dir);
	}
	report_begin(&c.report, out, options->json);
	rc = open_and_look(&c, s, &d);
	if (!report_end(&c.report, rc == 0 && !c.damaged) && rc == 0)
		rc = err_set(e, ERR_IO, "the report could not be written");
	*ret_clean = c.report.findings == 0;
	report_release(&c.report);
	digest_set_free(c.digest);
	free(c.chunk);
	catalog_free(c.catalog);
	blobs_free(c.blobs);
	data_dir_close(&d);
	return rc == 0 ? 0 : err_wrap(e, "data directory %.100s", data_dir);
}
