/* The audit log: what was done, by whom, in lines that cannot be changed, taken out, put in or reordered without being noticed.
 *
 * A line is one JSON object: its number, the hash of the line before, the entry, and its own hash, the SHA-256 of all that stands before `,"hash":`:
 *
 *	{"seq":17,"prev":"<64 hex>","at":"2026-01-02T03:04:05.678Z","act":"file.deleted",…,"hash":"<64 hex>"}
 *
 * The line before the first has number 0 and a hash of zeros. Lines stand in files named by the number of their first line, without a gap from one file to the next.
 *
 * This folder knows lines and files. Where entries come from, and how far they are known to be on disk, is the caller's: a line follows from its entry and the line before it, so
 * that what a crash left half-written is written again byte for byte. */
#ifndef FILEMILL_AUDIT_AUDIT_H
#define FILEMILL_AUDIT_AUDIT_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "ops/ops.h"
#include "rt/log.h"

#include <stdbool.h>
#include <stdint.h>

/* ---- entries ---- */
enum audit_act {
#define AUDIT_ROW(id, word, help) AUDIT_##id,
#include "audit/act_table.h"
#undef AUDIT_ROW
	AUDIT_ACTS
};
const char *audit_act_word(enum audit_act act);
const char *audit_act_help(enum audit_act act);

/* Who did it. Members that are empty are left out. */
struct audit_by {
	const char *how; /* "request", "server", "command" */
	struct str owner, peer, request_id;
};

/* The entry as JSON, in the arena: time, act, who, and the fields. Fields hold no secret; long texts are cut at AUDIT_TEXT_MAX bytes. ERR_NO_MEMORY. */
#define AUDIT_TEXT_MAX 400
[[nodiscard]] int audit_entry_n(struct str *ret, struct arena *a, int64_t at, enum audit_act act, const struct audit_by *by,
				const struct log_field *fields, unsigned n, struct err *e);
#define audit_entry(ret, a, at, act, by, e, ...)                                                                                           \
	audit_entry_n(ret, a, at, act, by, (const struct log_field[]){__VA_ARGS__},                                                        \
		      sizeof((const struct log_field[]){__VA_ARGS__}) / sizeof(struct log_field), e)

/* ---- lines ---- */
#define AUDIT_HASH 32 /* bytes */
#define AUDIT_LINE_MAX (16u << 10) /* bytes, with the newline */

/* A place in the chain: the last line before it. Zero is the beginning. */
struct audit_mark {
	int64_t seq;
	uint8_t hash[AUDIT_HASH];
};

/* Appends the line of an entry (a JSON object) and moves on. `d` is any digest set; one thread. ERR_NO_MEMORY, ERR_INTERNAL. */
[[nodiscard]] int audit_line(struct buf *out, struct audit_mark *at, struct str entry, struct digest_set *d, struct err *e);

/* What a line says of itself. */
struct audit_read {
	int64_t seq;
	uint8_t prev[AUDIT_HASH], hash[AUDIT_HASH];
	struct str inner; /* the entry without its braces */
};
/* `line` without its newline. False: it is no line, or not the one whose hash was taken. */
[[nodiscard]] int audit_read_line(bool *ret, struct audit_read *ret_line, struct str line, struct digest_set *d, struct err *e);

/* ---- checking ---- */
enum audit_fault {
	AUDIT_FINE,
	AUDIT_CHANGED, /* a line is not what was hashed, or is none */
	AUDIT_REPLACED, /* a line is whole in itself and not the one that the next one, or the anchor, knows */
	AUDIT_REMOVED, /* lines are missing before this one */
	AUDIT_INSERTED, /* a line stands where none belongs: its number was there already */
	AUDIT_REORDERED, /* a line that is missing here comes later */
	AUDIT_CUT, /* the log ends before the line that the anchor knows */
	AUDIT_TORN, /* the last line is incomplete: a crash, if the anchor knows no more than the lines before */
	AUDIT_FAULTS
};
const char *audit_fault_word(enum audit_fault f);

/* Looks at files in order. Zero it, then set what is known. */
struct audit_check {
	bool anywhere; /* in: the first line may have any number */
	/* in: the files are those of several writers that took turns. One that died may have left lines, the last one torn, that the next wrote too, the same ones: a file may begin before the
	 * end of those before it, and then has to agree with them. */
	bool turns;
	bool some; /* in: one writer's files: what is missing before one of them that says that the log was continued there (audit.continued) is counted, and no fault */
	bool anchored; /* in: `anchor` is a line that must be there */
	struct audit_mark anchor;
	struct audit_mark at; /* out: the last good line */
	int64_t first; /* out: number of the first line, 0 = none */
	uint64_t lines; /* out: in all, and in the file that was looked at last */
	uint64_t line;
	uint64_t missing; /* out: lines that `some` lets be missing, and which, as far as there is room */
	char ranges[120];
	/* out: what is wrong, where, first of all */
	enum audit_fault fault;
	int64_t fault_seq; /* the number that belongs there */
	char fault_file[80];
	uint64_t fault_line; /* of the file, from 1; 0 = the file's end */
	char detail[200];

	/* the check's own */
	bool met; /* the anchor's line */
	/* of files in turns */
	struct audit_mark top; /* the highest good line */
	struct buf seen; /* an audit_mark a line, ascending: what another file has of it too must be the same */
	int64_t gap_from, gap_to; /* a gap before this file that nothing has accounted for yet; 0 = none */
	struct digest_set *digest;
	char *chunk;
	char file[80];
};
/* The next file from its beginning to its end; once something was wrong nothing more is looked at. An error means that it could not be read. */
[[nodiscard]] int audit_check_file(struct audit_check *c, int fd, const char *name, struct err *e);
/* After the last file: whether the anchor was met. Frees. */
void audit_check_end(struct audit_check *c);

/* ---- looking at the end ---- */
#define AUDIT_TAIL_SCAN_MAX (8u << 20) /* bytes of lines that one look goes through */
struct audit_tail_query {
	int dir_fd;
	int64_t upto; /* the last line that is known to be on disk */
	int64_t before; /* lines of lower numbers only; INT64_MAX: from the newest */
	struct str act; /* its word, p NULL = any */
	uint32_t max; /* at least 1 */
};
struct audit_tail {
	struct str *lines; /* newest first, without newlines */
	size_t n;
	int64_t next; /* to go on: lines before this number; 0 = there are none */
	uint64_t broken; /* places where something stands that is no line */
};
/* May give fewer lines than max, even none, and still have a next. In the arena. ERR_NO_MEMORY, ERR_IO, ERR_DAMAGED. */
[[nodiscard]] int audit_tail_read(struct audit_tail *ret, const struct audit_tail_query *q, struct arena *a, struct err *e);

/* ---- files ---- */
#define AUDIT_NAME_MAX 40
/* "audit-000000000001.jsonl" */
void audit_file_name(char dst[AUDIT_NAME_MAX], int64_t first);
bool audit_file_parse(int64_t *ret_first, const char *name);
/* The numbers by which the files of the folder are named, ascending. */
[[nodiscard]] int audit_files_list(int dir_fd, struct arena *a, int64_t **ret, size_t *ret_n, struct err *e);

#endif
