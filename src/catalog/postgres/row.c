/* Rows that several statements read. */
#include "catalog/postgres/pg.h"

static uint32_t col_u32(const struct pg_rows *r, int row, int col)
{
	return (uint32_t)pg_col_int(r, row, col);
}

/* The columns of result (9…19) when the job is final, else those of task (20…27). */
static void row_progress(const struct pg_rows *r, int row, struct arena *a, struct job *ret, bool *oom)
{
	bool final = !pg_col_null(r, row, 9);
	int at = final ? 9 : 20;

	ret->state = (enum job_state)pg_col_int(r, row, at);
	ret->attempt = col_u32(r, row, at + 1);
	ret->losses = col_u32(r, row, at + 2);
	ret->fence = pg_col_int(r, row, at + 3);
	ret->run_at = pg_col_int(r, row, at + 4);
	ret->started_at = pg_col_int(r, row, at + 5);
	ret->finished_at = final ? pg_col_int(r, row, 15) : 0;
	ret->error = (int)pg_col_int(r, row, final ? 16 : 26);
	ret->error_detail = pg_col_copy(r, row, final ? 17 : 27, a, oom);
	ret->result = final ? pg_col_copy(r, row, 18, a, oom) : (struct str){};
	ret->cached = final && pg_col_bool(r, row, 19);
}

bool pg_row_job(const struct pg_rows *r, int row, struct arena *a, struct job *ret)
{
	bool oom = false;

	ret->number = pg_col_int(r, row, 0);
	ret->id = pg_col_uuid(r, row, 1);
	ret->file_number = pg_col_int(r, row, 2);
	ret->op = pg_col_copy(r, row, 3, a, &oom);
	ret->op_version = col_u32(r, row, 4);
	ret->params = pg_col_copy(r, row, 5, a, &oom);
	ret->priority = col_u32(r, row, 6);
	ret->max_attempts = col_u32(r, row, 7);
	ret->created_at = pg_col_int(r, row, 8);
	row_progress(r, row, a, ret, &oom);
	ret->after = pg_col_uuid(r, row, JOB_AFTER);
	ret->outputs = NULL;
	ret->n_outputs = (size_t)pg_col_int(r, row, JOB_OUTPUTS);
	ret->expires_at = pg_col_int(r, row, JOB_EXPIRES);
	return !oom;
}

struct quotas pg_row_quotas(const struct pg_rows *r, int row, int first_column)
{
	struct quotas own = {};

	for (int i = 0; i < QUOTAS; i++)
		if (!pg_col_null(r, row, first_column + i)) {
			int64_t max = pg_col_int(r, row, first_column + i);
			own.max[i] = max == 0 ? QUOTA_NONE : max;
		}
	return own;
}

bool pg_row_output(const struct pg_rows *r, int row, struct arena *a, struct output *ret)
{
	bool oom = false;

	*ret = (struct output){
		.name = pg_col_copy(r, row, 0, a, &oom),
		.type = pg_col_copy(r, row, 1, a, &oom),
		.size = (uint64_t)pg_col_int(r, row, 2),
		.blob = pg_col_copy(r, row, 4, a, &oom),
		.damaged_at = pg_col_int(r, row, 5),
	};
	pg_col_sha256(r, row, 3, ret->sha256);
	return !oom;
}

bool pg_row_file(const struct pg_rows *r, int row, struct arena *a, struct file *ret)
{
	bool oom = false;

	*ret = (struct file){
		.number = pg_col_int(r, row, 0),
		.id = pg_col_uuid(r, row, 1),
		.owner = pg_col_copy(r, row, FILE_OWNER, a, &oom),
		.name = pg_col_copy(r, row, FILE_NAME, a, &oom),
		.size = (uint64_t)pg_col_int(r, row, 4),
		.type = pg_col_copy(r, row, 5, a, &oom),
		.labels = pg_col_copy(r, row, FILE_LABELS, a, &oom),
		.location = (enum location)pg_col_int(r, row, 8),
		.blob = pg_col_copy(r, row, FILE_BLOB, a, &oom),
		.created_at = pg_col_int(r, row, 9),
		.expires_at = pg_col_int(r, row, 10),
		.damaged_at = pg_col_int(r, row, FILE_DAMAGED),
	};
	pg_col_sha256(r, row, FILE_SHA256, ret->sha256);
	return !oom;
}

int pg_rows_outputs(struct pg_link *l, enum pg_stmt s, int64_t job, struct arena *a, struct output **ret, size_t *n)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct pg_args args = {};
	struct output *list;
	size_t max = *n;

	*ret = NULL;
	*n = 0;
	if (max == 0)
		return 0;
	arg_int(&args, job);
	arg_int(&args, (int64_t)max);
	int rc = pg_ask(l, s, &args, &r);
	if (rc != 0)
		return rc;
	list = arena_alloc(a, max * sizeof(*list));
	if (!list)
		return pg_no_memory(l);
	for (int i = 0; i < r.n && (size_t)i < max; i++)
		if (!pg_row_output(&r, i, a, &list[(*n)++]))
			return pg_no_memory(l);
	*ret = list;
	return 0;
}
