/* Checking a log: every line by its own hash, by the line before it and by its number, and the whole by an anchor from elsewhere.
 *
 * Whoever changes a line and gives it a right hash of its own shows at the next line, which knows another one before it; whoever does that up to the end shows at the anchor. */
#include "audit/audit.h"
#include "base/fd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK (1u << 20)

static const char *const words[AUDIT_FAULTS] = {
	[AUDIT_FINE] = "fine",         [AUDIT_CHANGED] = "changed",     [AUDIT_REPLACED] = "replaced", [AUDIT_REMOVED] = "removed",
	[AUDIT_INSERTED] = "inserted", [AUDIT_REORDERED] = "reordered", [AUDIT_CUT] = "cut",           [AUDIT_TORN] = "torn",
};

const char *audit_fault_word(enum audit_fault f)
{
	return words[f];
}

ATTR_PRINTF(4, 5) static void find(struct audit_check *c, enum audit_fault fault, uint64_t line, const char *fmt, ...)
{
	va_list args;

	c->fault = fault;
	c->fault_seq = c->at.seq + 1;
	c->fault_line = line;
	snprintf(c->fault_file, sizeof(c->fault_file), "%s", c->file);
	va_start(args, fmt);
	vsnprintf(c->detail, sizeof(c->detail), fmt, args);
	va_end(args);
}

/* Calls `each` with every line of the file, until it says so; what follows the last newline is told with whole = false. */
typedef int line_fn(struct audit_check *c, struct str line, bool whole, void *arg, bool *ret_stop, struct err *e);

static int each_line(struct audit_check *c, int fd, off_t from, line_fn *each, void *arg, struct err *e)
{
	CLEANUP(free_ptr) char *chunk = malloc(CHUNK);
	size_t have = 0;
	bool stop = false;
	ssize_t n;
	int rc = 0;

	if (chunk == NULL)
		return err_set(e, ERR_NO_MEMORY, "no memory to read into");
	while ((n = fd_pread_full(fd, chunk + have, CHUNK - have, from)) > 0) {
		char *p = chunk, *end = chunk + have + n, *nl;

		from += n;
		while (rc == 0 && !stop && (nl = memchr(p, '\n', (size_t)(end - p))) != NULL) {
			rc = each(c, (struct str){p, (size_t)(nl - p)}, true, arg, &stop, e);
			p = nl + 1;
		}
		have = (size_t)(end - p);
		if (rc != 0 || stop || have >= AUDIT_LINE_MAX)
			break;
		memmove(chunk, p, have);
	}
	if (n < 0)
		return err_errno(e, errno, "read of the audit log");
	return rc == 0 && !stop && have > 0 ? each(c, (struct str){chunk, have}, false, arg, &stop, e) : rc;
}

/* ---- a line that is missing: does it come later? ---- */

struct search {
	struct audit_mark after;
	bool found;
};

static int look_for(struct audit_check *c, struct str line, bool whole, void *arg, bool *ret_stop, struct err *e)
{
	struct search *s = arg;
	struct audit_read r;
	bool good = false;
	int rc = whole ? audit_read_line(&good, &r, line, c->digest, e) : 0;

	s->found = good && r.seq == s->after.seq + 1 && memcmp(r.prev, s->after.hash, AUDIT_HASH) == 0;
	*ret_stop = s->found;
	return rc;
}

/* ---- one line after the other ---- */

static bool begins(struct audit_check *c, const struct audit_read *r)
{
	if (c->lines > 0 || !c->anywhere)
		return false;
	c->at.seq = r->seq - 1;
	memcpy(c->at.hash, r->prev, AUDIT_HASH);
	return true;
}

/* The first line of a file of one that took his turn. */
static bool takes_turn(struct audit_check *c, const struct audit_read *r)
{
	if (!c->turns || c->line != 1)
		return false;
	c->at = c->top;
	if (r->seq == c->top.seq + 1 || (r->seq > c->top.seq && !c->some))
		return false;
	if (r->seq > c->top.seq) {
		c->gap_from = c->top.seq + 1;
		c->gap_to = r->seq - 1;
	}
	c->at.seq = r->seq - 1;
	memcpy(c->at.hash, r->prev, AUDIT_HASH);
	return true;
}

/* Who took his turn says so among his first lines. */
static void account_for_gap(struct audit_check *c, const struct audit_read *r)
{
	static const char SAID[] = "\"act\":\"audit.continued\"";
	size_t used = strlen(c->ranges);

	if (c->gap_to == 0 || memmem(r->inner.p, r->inner.len, SAID, sizeof(SAID) - 1) == NULL)
		return;
	c->missing += (uint64_t)(c->gap_to - c->gap_from + 1);
	if (used + 48 < sizeof(c->ranges))
		snprintf(c->ranges + used, sizeof(c->ranges) - used, "%s%lld to %lld", used > 0 ? ", " : "", (long long)c->gap_from,
			 (long long)c->gap_to);
	else if (c->ranges[used - 1] != '.')
		snprintf(c->ranges + used, sizeof(c->ranges) - used, ", ...");
	c->gap_to = 0;
}

static bool gap_is_open(struct audit_check *c)
{
	if (c->gap_to == 0 || c->fault != AUDIT_FINE)
		return c->fault != AUDIT_FINE;
	c->at.seq = c->gap_from - 1; /* for the number that is told */
	find(c, AUDIT_REMOVED, 1, "lines %lld to %lld are missing before this file, and it does not say that another node wrote them",
	     (long long)c->gap_from, (long long)c->gap_to);
	return true;
}

static int by_seq(const void *key, const void *mark)
{
	int64_t a = *(const int64_t *)key, b = ((const struct audit_mark *)mark)->seq;

	return (a > b) - (a < b);
}

/* In files of several writers: whether the line was there before, and is the same. */
static bool seen_before(struct audit_check *c, const struct audit_read *r)
{
	if (!c->turns || r->seq > c->top.seq)
		return false;
	const struct audit_mark *was = bsearch(&r->seq, c->seen.p, c->seen.len / sizeof(*was), sizeof(*was), by_seq);
	if (was != NULL && memcmp(was->hash, r->hash, AUDIT_HASH) != 0)
		find(c, AUDIT_REPLACED, c->line, "line %lld is another one in a file before this: one of the two was replaced",
		     (long long)r->seq);
	return true;
}

static void accept(struct audit_check *c, const struct audit_read *r)
{
	bool again = seen_before(c, r);

	if (c->fault != AUDIT_FINE)
		return;
	if (c->first == 0)
		c->first = r->seq;
	c->at.seq = r->seq;
	memcpy(c->at.hash, r->hash, AUDIT_HASH);
	if (again)
		return;
	c->lines++;
	if (c->turns) {
		account_for_gap(c, r);
		c->top = c->at;
		buf_add(&c->seen, &c->at, sizeof(c->at));
	}
	if (!c->anchored || r->seq != c->anchor.seq)
		return;
	c->met = memcmp(r->hash, c->anchor.hash, AUDIT_HASH) == 0;
	if (!c->met) {
		c->at.seq--; /* for the number that is told */
		find(c, AUDIT_REPLACED, c->line,
		     "line %lld is not the one that is known from elsewhere: it or lines before it were replaced", (long long)r->seq);
	}
}

static void judge_order(struct audit_check *c, const struct audit_read *r, bool *ret_missing)
{
	int64_t wanted = c->at.seq + 1;

	*ret_missing = r->seq > wanted;
	if (r->seq < wanted)
		find(c, AUDIT_INSERTED, c->line, "line %lld stands here, after line %lld", (long long)r->seq, (long long)c->at.seq);
	else if (*ret_missing)
		find(c, AUDIT_REMOVED, c->line, "line %lld stands here: lines %lld to %lld are missing", (long long)r->seq,
		     (long long)wanted, (long long)r->seq - 1);
	else
		find(c, AUDIT_REPLACED, c->line, "line %lld does not know the line before it: one of the two was replaced",
		     (long long)r->seq);
}

static int judge(struct audit_check *c, struct str line, bool whole, void *arg, bool *ret_stop, struct err *e)
{
	bool good, *missing = arg;
	struct audit_read r;
	int rc;

	c->line++;
	*ret_stop = true;
	if (!whole) {
		find(c, line.len >= AUDIT_LINE_MAX ? AUDIT_CHANGED : AUDIT_TORN, c->line, "the last line is incomplete");
		return 0;
	}
	if ((rc = audit_read_line(&good, &r, line, c->digest, e)) != 0)
		return rc;
	if (!good)
		find(c, AUDIT_CHANGED, c->line, "what stands here is not what its hash was taken of");
	else if (takes_turn(c, &r) || begins(c, &r) || (r.seq == c->at.seq + 1 && memcmp(r.prev, c->at.hash, AUDIT_HASH) == 0))
		accept(c, &r);
	else
		judge_order(c, &r, missing);
	*ret_stop = c->fault != AUDIT_FINE;
	return 0;
}

/* After a torn line only the end may come: a next file began with whole lines before it. */
static bool torn_before(struct audit_check *c)
{
	if (c->fault == AUDIT_TORN && c->turns)
		c->fault = AUDIT_FINE; /* of one that died; the next wrote it whole */
	if (c->fault == AUDIT_TORN)
		c->fault = AUDIT_CHANGED;
	return c->fault != AUDIT_FINE;
}

int audit_check_file(struct audit_check *c, int fd, const char *name, struct err *e)
{
	bool missing = false;
	int rc;

	if (torn_before(c) || gap_is_open(c))
		return 0;
	if (c->digest == NULL && (rc = digest_set_new(&c->digest, 1u << DIGEST_SHA256, e)) != 0)
		return rc;
	c->line = 0;
	snprintf(c->file, sizeof(c->file), "%s", name);
	if ((rc = each_line(c, fd, 0, judge, &missing, e)) == 0 && c->seen.failed)
		rc = err_set(e, ERR_NO_MEMORY, "no memory for the hashes of lines");
	if (rc != 0 || !missing)
		return rc;
	struct search s = {.after = c->at};
	rc = each_line(c, fd, 0, look_for, &s, e);
	if (s.found)
		find(c, AUDIT_REORDERED, c->line, "line %lld comes later", (long long)c->at.seq + 1);
	return rc;
}

void audit_check_end(struct audit_check *c)
{
	if (c->turns && !gap_is_open(c))
		c->at = c->top;
	buf_release(&c->seen);
	bool short_of = c->anchored && c->at.seq < c->anchor.seq;

	if (short_of && (c->fault == AUDIT_FINE || c->fault == AUDIT_TORN))
		find(c, AUDIT_CUT, c->fault == AUDIT_TORN ? c->fault_line : 0, "the log ends after line %lld and is known to have had %lld",
		     (long long)c->at.seq, (long long)c->anchor.seq);
	else if (c->anchored && !c->met && c->anchor.seq > 0 && c->fault == AUDIT_FINE && c->first > c->anchor.seq)
		find(c, AUDIT_REMOVED, 0, "line %lld, which is known from elsewhere, is not in these files", (long long)c->anchor.seq);
	digest_set_free(c->digest);
	c->digest = NULL;
}
