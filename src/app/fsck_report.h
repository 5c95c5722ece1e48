/* How fsck tells what it found. */
#ifndef FILEMILL_APP_FSCK_REPORT_H
#define FILEMILL_APP_FSCK_REPORT_H

#include "base/buf.h"
#include "catalog/finding.h"

#include <stdbool.h>
#include <stdio.h>

struct fsck_report {
	FILE *out; /* borrowed */
	bool json;
	struct buf line;
	uint64_t findings, repaired;
	uint64_t files, outputs, blobs, doomed; /* looked at */
	uint64_t bytes_read;
};

void report_begin(struct fsck_report *r, FILE *out, bool json);
/* id and detail may hold any bytes; what a terminal could take for a command is told as '?'. done: what was done about it, NULL = nothing. */
void report_finding(struct fsck_report *r, enum finding f, struct str id, struct str detail, const char *done);
/* The last line. complete: everything was looked at. False: not all of the report could be written. */
[[nodiscard]] bool report_end(struct fsck_report *r, bool complete);
void report_release(struct fsck_report *r);

#endif
