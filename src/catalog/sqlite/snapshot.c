/* Looking through a snapshot. It is opened as immutable: its header says that there is a log, and a reader like others would make one beside it. */
#include "catalog/snapshot.h"
#include "catalog/sqlite/sq.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCHEMA_WITH_OUTPUTS 2
#define SCHEMA_WITH_DAMAGE 3

struct snapshot {
	sqlite3 *db;
	int64_t schema;
	sqlite3_stmt *file_there, *output_there;
};

/* A URI of the path: all but the plain characters as percent escapes (RFC 3986). */
static char *uri_of(const char *path)
{
	static const char TAIL[] = "?immutable=1";
	char *uri = malloc(sizeof("file:") + 3 * strlen(path) + sizeof(TAIL)), *end;

	if (!uri)
		return NULL;
	end = stpcpy(uri, "file:");
	for (const char *p = path; *p != '\0'; p++) {
		bool plain = (*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || strchr("/._-", *p);

		if (plain)
			*end++ = *p;
		else
			end += sprintf(end, "%%%02X", (unsigned char)*p);
	}
	stpcpy(end, TAIL);
	return uri;
}

static int open_db(struct snapshot *s, const char *path, struct err *e)
{
	char *uri = uri_of(path);
	int rc;

	if (!uri)
		return err_set(e, ERR_NO_MEMORY, "no memory for a path");
	rc = sqlite3_open_v2(uri, &s->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
	free(uri);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(s->db,
				  "PRAGMA query_only = 1; PRAGMA temp_store = MEMORY; PRAGMA mmap_size = 0; PRAGMA trusted_schema = OFF",
				  NULL, NULL, NULL);
	return rc == SQLITE_OK ? 0 : sq_error(s->db, rc, e);
}

/* A table or column that is missing is damage. */
static int fail(struct snapshot *s, int rc, struct err *e)
{
	return sq_error(s->db, (rc & 0xff) == SQLITE_ERROR ? SQLITE_CORRUPT : rc, e);
}

static int prepare(struct snapshot *s, const char *sql, sqlite3_stmt **ret, struct err *e)
{
	int rc = sqlite3_prepare_v2(s->db, sql, -1, ret, NULL);

	return rc == SQLITE_OK ? 0 : fail(s, rc, e);
}

int snapshot_open(struct snapshot **ret, const char *path, struct err *e)
{
	struct snapshot *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return err_set(e, ERR_NO_MEMORY, "no memory for a snapshot");
	r = open_db(s, path, e);
	if (r == 0)
		r = sq_identify(s->db, &s->schema, e);
	if (r == 0 && s->schema < 1)
		r = err_set(e, ERR_DAMAGED, "the catalogue is empty");
	if (r == 0)
		r = prepare(s, "SELECT 1 FROM file WHERE id = ?1 AND owner = ?2 AND deleted_at IS NULL AND location IN (1, 2)",
			    &s->file_there, e);
	if (r == 0 && s->schema >= SCHEMA_WITH_OUTPUTS)
		r = prepare(s, "SELECT 1 FROM output WHERE blob = ?1 LIMIT 1", &s->output_there, e);
	if (r < 0)
		snapshot_close(s);
	else
		*ret = s;
	return r;
}

void snapshot_close(struct snapshot *s)
{
	if (!s)
		return;
	sqlite3_finalize(s->file_there);
	sqlite3_finalize(s->output_there);
	sqlite3_close(s->db);
	free(s);
}

int snapshot_counts(struct snapshot *s, struct snapshot_counts *ret, struct err *e)
{
	int64_t files = 0, jobs = 0;
	int rc = sq_number(s->db, "SELECT files FROM tally WHERE only = 1", &files);

	if (rc == SQLITE_OK)
		rc = sq_number(s->db, "SELECT count(*) FROM job", &jobs);
	if (rc != SQLITE_OK)
		return fail(s, rc, e);
	*ret = (struct snapshot_counts){.schema = s->schema, .files = (uint64_t)files, .jobs = (uint64_t)jobs};
	return 0;
}

int snapshot_audit_head(struct snapshot *s, struct audit_head *ret, struct err *e)
{
	int rc = sq_read_audit_head(s->db, s->schema, ret);

	return rc == SQLITE_OK ? 0 : fail(s, rc, e);
}

int snapshot_check(struct snapshot *s, struct err *e)
{
	sqlite3_stmt *stmt = NULL;
	bool row = false;
	int r = prepare(s, "PRAGMA integrity_check(1)", &stmt, e), rc;

	if (r < 0)
		return r;
	rc = first(stmt, &row);
	if (rc != SQLITE_OK)
		r = fail(s, rc, e);
	else if (!row || !str_eq(col_str(stmt, 0), STR("ok")))
		r = err_set(e, ERR_DAMAGED, "the catalogue is damaged: %.200s",
			    row ? (const char *)sqlite3_column_text(stmt, 0) : "no answer");
	sqlite3_finalize(stmt);
	return r;
}

/* ---- blobs ---- */

typedef int blob_visit(void *arg, const struct snapshot_blob *blob);

/* size, SHA-256 and damage in columns 0 to 2 */
static void read_bytes(struct snapshot_blob *b, sqlite3_stmt *stmt)
{
	int64_t size = sqlite3_column_int64(stmt, 0);

	b->damaged = sqlite3_column_int(stmt, 2) != 0;
	b->size = size > 0 ? (uint64_t)size : 0;
	col_sha256(stmt, 1, b->sha256);
}

static int visit_files(struct snapshot *s, blob_visit *visit, void *arg, struct err *e)
{
	const char *sql =
		s->schema >= SCHEMA_WITH_DAMAGE
			? "SELECT size, sha256, damaged_at IS NOT NULL, id, owner FROM file WHERE deleted_at IS NULL AND location IN (1, 2) ORDER BY number"
			: "SELECT size, sha256, 0, id, owner FROM file WHERE deleted_at IS NULL AND location IN (1, 2) ORDER BY number";
	sqlite3_stmt *stmt = NULL;
	int rc = SQLITE_OK, r = prepare(s, sql, &stmt, e);

	while (r == 0 && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		char name[FILE_BLOB_NAME_MAX + 1];
		struct snapshot_blob b = {.name = file_blob_name(name, col_str(stmt, 4), col_uuid(stmt, 3))};

		if (b.name.len > FILE_BLOB_NAME_MAX) {
			rc = SQLITE_CORRUPT;
			break;
		}
		read_bytes(&b, stmt);
		r = visit(arg, &b);
	}
	if (r == 0 && rc != SQLITE_DONE)
		r = fail(s, rc, e);
	sqlite3_finalize(stmt);
	return r;
}

/* Several rows may refer to one blob; they follow each other. */
static int visit_outputs(struct snapshot *s, blob_visit *visit, void *arg, struct err *e)
{
	const char *sql = s->schema >= SCHEMA_WITH_DAMAGE
				  ? "SELECT min(size), sha256, max(damaged_at IS NOT NULL), blob FROM output GROUP BY blob ORDER BY blob"
				  : "SELECT min(size), sha256, 0, blob FROM output GROUP BY blob ORDER BY blob";
	sqlite3_stmt *stmt = NULL;
	int rc = SQLITE_OK, r = prepare(s, sql, &stmt, e);

	while (r == 0 && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		struct snapshot_blob b = {.name = col_str(stmt, 3)};

		read_bytes(&b, stmt);
		r = visit(arg, &b);
	}
	if (r == 0 && rc != SQLITE_DONE)
		r = fail(s, rc, e);
	sqlite3_finalize(stmt);
	return r;
}

int snapshot_blobs(struct snapshot *s, blob_visit *visit, void *arg, struct err *e)
{
	int r = visit_files(s, visit, arg, e);

	return r == 0 && s->output_there ? visit_outputs(s, visit, arg, e) : r;
}

int snapshot_refers(struct snapshot *s, struct str blob, bool *ret, struct err *e)
{
	sqlite3_stmt *stmt = s->output_there;
	struct uuid id;
	struct str owner;
	int rc;

	*ret = false;
	if (file_of_blob_name(&id, &owner, blob)) {
		stmt = s->file_there;
		bind_uuid(stmt, 1, &id);
		bind_str(stmt, 2, owner);
	} else if (stmt) {
		bind_str(stmt, 1, blob);
	} else {
		return 0;
	}
	rc = first(stmt, ret);
	sqlite3_reset(stmt);
	return rc == SQLITE_OK ? 0 : fail(s, rc, e);
}
