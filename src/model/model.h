/* What the system speaks of: files, jobs, their states; plain data with validation and JSON form. No storage, no threads. */
#ifndef FILEMILL_MODEL_MODEL_H
#define FILEMILL_MODEL_MODEL_H

#include "base/arena.h"
#include "base/err.h"
#include "base/json_out.h"
#include "base/uuid.h"

#include <stdbool.h>
#include <stdint.h>

#define OWNER_MAX 36 /* bytes; a user's UUID or "public" */
#define OWNER_PUBLIC "public"
#define OWNER_ANY "*" /* whoever's: for what operators read, in the place of an owner. Nobody's name */
bool owner_sees(struct str asking, struct str owner);
#define NAME_MAX_BYTES 255
#define TYPE_MAX_BYTES 100
#define LABELS_MAX 16 /* pairs a file */
#define LABEL_KEY_MAX 63 /* bytes: a-z 0-9 _ - . */
#define LABEL_VALUE_MAX 255 /* bytes of UTF-8 without control characters */
#define OPS_MAX 32 /* ops one upload may ask for */
#define JOBS_A_FILE_MAX 1100 /* a file is told with all its jobs, so they are bounded: those that came with it and a request's thousand */
#define PRIORITY_MAX 7
#define PRIORITY_DEFAULT 3
#define MAX_ATTEMPTS_DEFAULT 3
#define PROGRESS_WHOLE 1000 /* ‰ */
#define LOSSES_MAX 3 /* lost workers until quarantine */

/* The life of a job. Kept as these numbers in the catalogue: never renumber.
 *
 *              claim            finish
 *   QUEUED ──────────► RUNNING ────────► SUCCEEDED | FAILED
 *     ▲  │ cancel         │ │ cancel
 *     │  └──► CANCELLED ◄─┼─┘
 *     └───────────────────┘ retry, reclaim;  third lost worker: QUARANTINED
 *
 * A job whose predecessor did not succeed ends without having run: from QUEUED to FAILED or CANCELLED.
 * Retry by hand leads from FAILED, CANCELLED and QUARANTINED back to QUEUED. */
enum job_state { JOB_QUEUED, JOB_RUNNING, JOB_SUCCEEDED, JOB_FAILED, JOB_CANCELLED, JOB_QUARANTINED, JOB_STATES };

bool job_state_may(enum job_state from, enum job_state to); /* the table of allowed moves */
bool job_state_final(enum job_state s);
const char *job_state_name(enum job_state s);
bool job_state_parse(enum job_state *ret, struct str name);

/* Where a file's bytes are. Kept as numbers in the catalogue. COMING: nowhere yet, for the import that brings them has not succeeded, and may never; size, type and sha256 are not known.
 * IMPORTED: they are the first output of that import (docs/adr/0034-imports.md). */
enum location { LOCATION_INLINE = 0, LOCATION_FILE = 1, LOCATION_OBJECT = 2, LOCATION_COMING = 3, LOCATION_IMPORTED = 4 };

/* One file that a job made. Its bytes are a blob of their own; jobs answered from an earlier one name the earlier one's blob. */
#define OUTPUTS_MAX 16 /* a job */
struct output {
	struct str name; /* for display, made from the input's name */
	struct str type; /* media type told from the bytes */
	uint64_t size;
	uint8_t sha256[32];
	struct str blob; /* its name in the store */
	int64_t damaged_at; /* when its bytes were found not to be those that were made; 0 = never. They are not given out. */
};

/* run_at of a job that waits for the job it comes after */
#define RUN_AT_HELD INT64_MAX

struct job {
	struct uuid id;
	int64_t number; /* row number, 1… */
	struct str owner; /* as catalog_job() and catalog_list_jobs() read it; elsewhere p NULL */
	struct uuid file;
	int64_t file_number;
	struct str op; /* name from the op table */
	uint32_t op_version;
	struct str params; /* canonical JSON object text, "{}" when none */
	enum job_state state;
	uint32_t priority; /* 0 highest … 7 */
	uint32_t attempt; /* tries begun */
	uint32_t max_attempts;
	uint32_t losses;
	uint32_t refused; /* times in a row that the store did not take what it made */
	int64_t fence;
	int64_t run_at, created_at, started_at,
		finished_at; /* Unix ms; 0 = not yet; run_at RUN_AT_HELD = when the job before it has succeeded */
	int64_t expires_at; /* when result and outputs may go; 0 = with the file */
	struct str result; /* JSON object text such as {"md5":"…"}; p NULL when none */
	int error; /* ERR_… code, 0 when none */
	struct str error_detail;
	int progress; /* ‰ that are done, as a running job's process told; 0 = not known. In no catalogue: engine_progress() sets it */
	bool cached; /* answered from an earlier identical job */
	bool own_name; /* to be added: its output holds the input's name, so only work done before on the same file is the same work */
	struct uuid after; /* the job whose first output this one works on; zero = it works on the file */
	struct output *outputs; /* what it made, by n */
	size_t n_outputs;
};

struct file {
	struct uuid id;
	int64_t number; /* row number, 1… never reused */
	struct str owner;
	struct str name; /* for display only; valid UTF-8 */
	uint64_t size; /* bytes */
	struct str type; /* media type told from the bytes */
	uint8_t sha256[32];
	struct str labels; /* canonical JSON object text, "{}" when none */
	enum location location;
	struct str blob; /* IMPORTED only: the blob's name; else p NULL */
	int64_t created_at, expires_at; /* Unix ms; expires_at 0 = never */
	int64_t damaged_at; /* when the stored bytes were found not to be those that were acknowledged; 0 = never. They are not given out. */
	struct job *jobs; /* oldest first */
	size_t n_jobs;
};

/* Cleans a client's file name for display (PROMISES.md, names): takes the last segment after '/' or '\', refuses what is empty afterwards,
 * longer than 255 bytes, no valid UTF-8, or with control characters; drops bidi and zero-width characters.
 * *ret lies in the arena. ERR_BAD_NAME. An empty input gives "file". */
[[nodiscard]] int name_clean(struct str *ret, struct str raw, struct arena *a, struct err *e);

/* Reads labels from JSON ({"k":"v"}) or from a list "k:v,k2:v2"; *ret is canonical JSON (keys sorted). ERR_BAD_LABELS. */
[[nodiscard]] int labels_parse_json(struct str *ret, struct str json, struct arena *a, struct err *e);
[[nodiscard]] int labels_parse_list(struct str *ret, struct str list, struct arena *a, struct err *e);

/* The JSON objects of API.md. */
void job_write_json(struct json_out *j, const struct job *job);
void job_write_progress_json(struct json_out *j, const struct job *job); /* the event job.progress: id, file, op, progress */
void file_write_json(struct json_out *j, const struct file *f);
/* As operators see them: jobs say whose they are, and the bytes of outputs stand where operators may read them. */
void job_write_admin_json(struct json_out *j, const struct job *job);
void file_write_admin_json(struct json_out *j, const struct file *f);

/* List parameters shared by every list. */
struct page {
	int64_t before; /* row number to start below; 0 = from the newest */
	uint32_t limit; /* 1…200 */
};
/* Cursors are opaque, bound to a list's name and filters, and protected by a key of the running data directory (16 bytes): base64url text.
 * ERR_BAD_CURSOR. `scope` names list and filters. */
void cursor_make(char dst[64], int64_t before, struct str scope, const uint8_t key[16]);
[[nodiscard]] int cursor_read(int64_t *ret_before, struct str text, struct str scope, const uint8_t key[16], struct err *e);

#endif
