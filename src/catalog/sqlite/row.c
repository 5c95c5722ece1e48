#include "catalog/sqlite/sq.h"

#include <string.h>

void bind_str(sqlite3_stmt *s, int i, struct str v)
{
	/* An empty string must not become NULL. */
	if (!v.p)
		sqlite3_bind_null(s, i);
	else
		sqlite3_bind_text(s, i, v.p, (int)v.len, SQLITE_STATIC);
}

void bind_uuid(sqlite3_stmt *s, int i, const struct uuid *v)
{
	sqlite3_bind_blob(s, i, v->b, sizeof(v->b), SQLITE_STATIC);
}

void bind_time(sqlite3_stmt *s, int i, int64_t unix_ms)
{
	if (unix_ms)
		sqlite3_bind_int64(s, i, unix_ms);
	else
		sqlite3_bind_null(s, i);
}

bool col_null(sqlite3_stmt *s, int i)
{
	return sqlite3_column_type(s, i) == SQLITE_NULL;
}

static void col_bytes(sqlite3_stmt *s, int i, void *dst, size_t n)
{
	const void *p = sqlite3_column_blob(s, i);

	if (p && (size_t)sqlite3_column_bytes(s, i) == n)
		memcpy(dst, p, n);
	else
		memset(dst, 0, n);
}

struct uuid col_uuid(sqlite3_stmt *s, int i)
{
	struct uuid u = {};

	col_bytes(s, i, u.b, sizeof(u.b));
	return u;
}

void col_sha256(sqlite3_stmt *s, int i, uint8_t dst[32])
{
	col_bytes(s, i, dst, 32);
}

struct str col_str(sqlite3_stmt *s, int i)
{
	const char *p = (const char *)sqlite3_column_text(s, i);

	return p ? (struct str){p, (size_t)sqlite3_column_bytes(s, i)} : (struct str){};
}

struct str col_copy(sqlite3_stmt *s, int i, struct arena *a, bool *oom)
{
	struct str v = col_str(s, i);

	if (!v.p)
		return v;
	v = arena_str(a, v);
	if (!v.p)
		*oom = true;
	return v;
}

int run(sqlite3_stmt *s)
{
	int rc = sqlite3_step(s);

	sqlite3_reset(s);
	return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : rc;
}

int first(sqlite3_stmt *s, bool *ret_row)
{
	int rc = sqlite3_step(s);

	*ret_row = rc == SQLITE_ROW;
	return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : rc;
}

static uint32_t col_u32(sqlite3_stmt *s, int i)
{
	return (uint32_t)sqlite3_column_int64(s, i);
}

/* The columns of result (9…19) when the job is final, else those of task (20…27). */
static void row_progress(sqlite3_stmt *s, struct arena *a, struct job *ret, bool *oom)
{
	bool final = !col_null(s, 9);
	int at = final ? 9 : 20;

	ret->state = (enum job_state)sqlite3_column_int(s, at);
	ret->attempt = col_u32(s, at + 1);
	ret->losses = col_u32(s, at + 2);
	ret->fence = sqlite3_column_int64(s, at + 3);
	ret->run_at = sqlite3_column_int64(s, at + 4);
	ret->started_at = sqlite3_column_int64(s, at + 5);
	ret->finished_at = final ? sqlite3_column_int64(s, 15) : 0;
	ret->error = sqlite3_column_int(s, final ? 16 : 26);
	ret->error_detail = col_copy(s, final ? 17 : 27, a, oom);
	ret->result = final ? col_copy(s, 18, a, oom) : (struct str){};
	ret->cached = final && sqlite3_column_int(s, 19);
}

bool row_job(sqlite3_stmt *s, struct arena *a, struct job *ret)
{
	bool oom = false;

	ret->number = sqlite3_column_int64(s, 0);
	ret->id = col_uuid(s, 1);
	ret->file_number = sqlite3_column_int64(s, 2);
	ret->op = col_copy(s, 3, a, &oom);
	ret->op_version = col_u32(s, 4);
	ret->params = col_copy(s, 5, a, &oom);
	ret->priority = col_u32(s, 6);
	ret->max_attempts = col_u32(s, 7);
	ret->created_at = sqlite3_column_int64(s, 8);
	row_progress(s, a, ret, &oom);
	ret->after = col_uuid(s, JOB_AFTER);
	ret->outputs = NULL;
	ret->n_outputs = (size_t)sqlite3_column_int64(s, JOB_OUTPUTS);
	ret->expires_at = sqlite3_column_int64(s, JOB_EXPIRES);
	return !oom;
}

bool row_output(sqlite3_stmt *s, struct arena *a, struct output *ret)
{
	bool oom = false;

	*ret = (struct output){
		.name = col_copy(s, 0, a, &oom),
		.type = col_copy(s, 1, a, &oom),
		.size = (uint64_t)sqlite3_column_int64(s, 2),
		.blob = col_copy(s, 4, a, &oom),
		.damaged_at = sqlite3_column_int64(s, 5),
	};
	col_sha256(s, 3, ret->sha256);
	return !oom;
}

int rows_outputs(sqlite3_stmt *s, int64_t job, struct arena *a, struct output **ret, size_t *n)
{
	struct output *list = *n ? arena_alloc(a, *n * sizeof(*list)) : NULL;
	size_t found = 0;
	int rc = *n && !list ? SQLITE_NOMEM : SQLITE_DONE;

	if (list) {
		sqlite3_bind_int64(s, 1, job);
		sqlite3_bind_int64(s, 2, (int64_t)*n);
		while ((rc = sqlite3_step(s)) == SQLITE_ROW && found < *n) {
			if (!row_output(s, a, &list[found++])) {
				rc = SQLITE_NOMEM;
				break;
			}
		}
		sqlite3_reset(s);
	}
	*ret = list;
	*n = found;
	return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : rc;
}

bool row_file(sqlite3_stmt *s, struct arena *a, struct file *ret)
{
	bool oom = false;

	*ret = (struct file){
		.number = sqlite3_column_int64(s, 0),
		.id = col_uuid(s, 1),
		.owner = col_copy(s, FILE_OWNER, a, &oom),
		.name = col_copy(s, FILE_NAME, a, &oom),
		.size = (uint64_t)sqlite3_column_int64(s, 4),
		.type = col_copy(s, 5, a, &oom),
		.labels = col_copy(s, FILE_LABELS, a, &oom),
		.location = (enum location)sqlite3_column_int(s, 8),
		.blob = col_copy(s, FILE_BLOB, a, &oom),
		.created_at = sqlite3_column_int64(s, 9),
		.expires_at = sqlite3_column_int64(s, 10),
		.damaged_at = sqlite3_column_int64(s, FILE_DAMAGED),
	};
	col_sha256(s, 6, ret->sha256);
	return !oom;
}
