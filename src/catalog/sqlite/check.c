/* Is the catalogue at one with itself? The database by SQLite's own check, then what foreign keys would say, then the sums.
 *
 * The tables have no foreign keys: they would cost each insert a look-up for what the code holds to anyway. So the rules stand here, one query each, which
 * gives a row for each case: what it is about (an id, or words) and what is wrong. None of them is for the running server: each looks at whole tables. */
#include "catalog/sqlite/sq.h"

#include <stdio.h>

static const struct {
	enum finding finding;
	const char *sql;
} RULES[] = {
	{FINDING_JOB_WITHOUT_FILE, "SELECT j.id, 'its file, number ' || j.file || ', is not there'"
				   " FROM job AS j LEFT JOIN file AS f ON f.number = j.file WHERE f.number IS NULL"},
	{FINDING_JOB_WITHOUT_STATE, "SELECT j.id, 'it neither waits nor has it ended' FROM job AS j LEFT JOIN task AS t ON t.job = j.number"
				    " LEFT JOIN result AS r ON r.job = j.number WHERE t.job IS NULL AND r.job IS NULL"},
	{FINDING_JOB_WITH_TWO_STATES, "SELECT j.id, 'it waits although it has ended' FROM task AS t JOIN result AS r ON r.job = t.job"
				      " JOIN job AS j ON j.number = t.job"},
	{FINDING_JOB_AFTER_NOTHING, "SELECT j.id, 'the job before it, number ' || j.after || ', is not there or is of another file'"
				    " FROM job AS j LEFT JOIN job AS p ON p.number = j.after"
				    " WHERE j.after IS NOT NULL AND (p.number IS NULL OR p.file <> j.file OR p.number >= j.number)"},
	{FINDING_TASK_WITHOUT_JOB, "SELECT 'job number ' || t.job, 'it is in the queue, and there is no such job'"
				   " FROM task AS t LEFT JOIN job AS j ON j.number = t.job WHERE j.number IS NULL"},
	{FINDING_TASK_WITHOUT_WORKER, "SELECT j.id, 'its worker, number ' || coalesce(t.worker, 'none') || ', is not there' FROM task AS t"
				      " JOIN job AS j ON j.number = t.job LEFT JOIN worker AS w ON w.number = t.worker"
				      " WHERE t.state = 1 AND w.number IS NULL"},
	{FINDING_RESULT_WITHOUT_JOB, "SELECT 'job number ' || r.job, 'it has ended, and there is no such job'"
				     " FROM result AS r LEFT JOIN job AS j ON j.number = r.job WHERE j.number IS NULL"},
	{FINDING_OUTPUT_WITHOUT_JOB,
	 "SELECT o.blob, 'it is output ' || o.n || ' of job number ' || o.job || ', which is not there or did not succeed'"
	 " FROM output AS o LEFT JOIN job AS j ON j.number = o.job LEFT JOIN result AS r ON r.job = j.number AND r.state = 2"
	 " WHERE r.job IS NULL"},
	{FINDING_OUTPUTS_MISSING,
	 "SELECT j.id, 'it made ' || r.outputs || ' and has ' || (SELECT count(*) FROM output AS o WHERE o.job = r.job)"
	 " FROM result AS r JOIN job AS j ON j.number = r.job JOIN file AS f ON f.number = j.file"
	 " WHERE f.deleted_at IS NULL AND r.outputs <> (SELECT count(*) FROM output AS o WHERE o.job = r.job)"},
	{FINDING_BYTES_WITHOUT_FILE, "SELECT 'file number ' || b.file, length(b.bytes) || ' bytes, and no file that has them'"
				     " FROM blob AS b LEFT JOIN file AS f ON f.number = b.file AND f.deleted_at IS NULL AND f.location = 0"
				     " WHERE f.number IS NULL"},
	{FINDING_ARTIFACT_WITHOUT_WORK,
	 "SELECT 'job number ' || a.job, 'its work could be taken over, but it is not there, did not succeed, or its file was deleted'"
	 " FROM artifact AS a LEFT JOIN result AS r ON r.job = a.job AND r.state = 2 AND r.expired_at IS NULL LEFT JOIN job AS j ON j.number = a.job"
	 " LEFT JOIN file AS f ON f.number = j.file AND f.deleted_at IS NULL WHERE r.job IS NULL OR f.number IS NULL"},
	{FINDING_DOOMED_REFERENCED, "SELECT d.blob, 'an output needs it' FROM doomed AS d"
				    " WHERE EXISTS (SELECT 1 FROM output AS o WHERE o.blob = d.blob)"},
	{FINDING_TALLY_WRONG,
	 "WITH sum (name, kept, counted) AS (SELECT 'files', files, (SELECT count(*) FROM file WHERE deleted_at IS NULL) FROM tally UNION ALL"
	 " SELECT 'file_bytes', file_bytes, (SELECT coalesce(sum(size), 0) FROM file WHERE deleted_at IS NULL) FROM tally UNION ALL"
	 " SELECT 'waiting', waiting, (SELECT count(*) FROM task WHERE state = 0) FROM tally UNION ALL"
	 " SELECT 'running', running, (SELECT count(*) FROM task WHERE state = 1) FROM tally)"
	 " SELECT name, kept || ' is kept, ' || counted || ' are there' FROM sum WHERE kept <> counted"},
	{FINDING_TALLY_WRONG,
	 "SELECT 'usage of ' || coalesce(u.owner, c.owner), 'kept are ' || coalesce(u.files, 0) || ' files of ' || coalesce(u.bytes, 0) ||"
	 " ' bytes, ' || coalesce(c.files, 0) || ' of ' || coalesce(c.bytes, 0) || ' are there' FROM usage AS u FULL JOIN"
	 " (SELECT owner, count(*) AS files, sum(size) AS bytes FROM file WHERE deleted_at IS NULL GROUP BY owner) AS c ON c.owner = u.owner"
	 " WHERE u.files IS NOT c.files OR u.bytes IS NOT c.bytes"},
	/* Ends are counted since the beginning: rows that were purged or tried anew are not there any more. */
	{FINDING_TALLY_WRONG,
	 "WITH sum (name, kept, state) AS (SELECT 'succeeded', succeeded, 2 FROM tally UNION ALL SELECT 'failed', failed, 3 FROM tally UNION ALL"
	 " SELECT 'cancelled', cancelled, 4 FROM tally UNION ALL SELECT 'quarantined', quarantined, 5 FROM tally)"
	 " SELECT name, kept || ' were counted, ' || (SELECT count(*) FROM result AS r WHERE r.state = sum.state) || ' are there' FROM sum"
	 " WHERE kept < (SELECT count(*) FROM result AS r WHERE r.state = sum.state)"},
};

static struct str id_of(sqlite3_stmt *s, char text[UUID_TEXT_LEN + 1])
{
	if (sqlite3_column_type(s, 0) != SQLITE_BLOB)
		return col_str(s, 0);
	uuid_format(text, col_uuid(s, 0));
	return (struct str){text, UUID_TEXT_LEN};
}

static int check_rule(sqlite3 *db, size_t rule, catalog_finding_fn *tell, void *arg)
{
	char text[UUID_TEXT_LEN + 1];
	sqlite3_stmt *s = NULL;
	int rc = sqlite3_prepare_v2(db, RULES[rule].sql, -1, &s, NULL);

	while (rc == SQLITE_OK && (rc = sqlite3_step(s)) == SQLITE_ROW) {
		tell(arg, RULES[rule].finding, id_of(s, text), col_str(s, 1));
		rc = SQLITE_OK;
	}
	sqlite3_finalize(s);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* The doomed names of files' blobs are not in a column that could be joined. */
static int check_doomed(struct reader *r, catalog_finding_fn *tell, void *arg)
{
	sqlite3_stmt *s = NULL, *referenced = r->stmt[R_REFERENCED];
	int rc = sqlite3_prepare_v2(r->db, "SELECT blob FROM doomed", -1, &s, NULL);

	while (rc == SQLITE_OK && (rc = sqlite3_step(s)) == SQLITE_ROW) {
		struct uuid file;
		struct str owner;
		bool row = false;

		rc = SQLITE_OK;
		if (!file_of_blob_name(&file, &owner, col_str(s, 0)))
			continue;
		bind_uuid(referenced, 1, &file);
		bind_str(referenced, 2, owner);
		rc = first(referenced, &row);
		sqlite3_reset(referenced);
		if (row)
			tell(arg, FINDING_DOOMED_REFERENCED, col_str(s, 0), STR("a file needs it"));
	}
	sqlite3_finalize(s);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* False when the database itself is damaged: then what the rules would say is worth nothing. */
static int check_database(sqlite3 *db, catalog_finding_fn *tell, void *arg, bool *ret_whole)
{
	sqlite3_stmt *s = NULL;
	int rc = sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &s, NULL); /* tells a hundred at most */

	*ret_whole = true;
	while (rc == SQLITE_OK && (rc = sqlite3_step(s)) == SQLITE_ROW) {
		rc = SQLITE_OK;
		if (str_eq(col_str(s, 0), STR("ok")))
			continue;
		*ret_whole = false;
		tell(arg, FINDING_CATALOGUE_DAMAGED, STR("catalog.db"), col_str(s, 0));
	}
	sqlite3_finalize(s);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int sq_check(struct catalog *c, catalog_finding_fn *tell, void *arg, struct err *e)
{
	struct sq *q = CONTAINER_OF(c, struct sq, base);
	struct reader *r;
	bool whole;
	int rc = reader_get(q, &r, e);

	if (rc < 0)
		return rc;
	rc = check_database(r->db, tell, arg, &whole);
	for (size_t i = 0; rc == SQLITE_OK && whole && i < ARRAY_LEN(RULES); i++)
		rc = check_rule(r->db, i, tell, arg);
	if (rc == SQLITE_OK && whole)
		rc = check_doomed(r, tell, arg);
	if (rc != SQLITE_OK)
		rc = sq_error(r->db, rc, e);
	reader_put(q, r);
	return rc;
}
