/* What jobs made, and blobs whose bytes have to go. A row of output is a reference to its blob. References are taken by copying rows that are there; when the last one goes, the blob is
 * doomed in the same transaction. So nothing can come to refer to a doomed blob: there is no row left to copy. What removes references runs alone (docs/adr/0037), so that two who
 * remove the last two cannot each see the other's. */
#include "catalog/postgres/write.h"

int pgw_doom_blob(struct pg *q, struct str blob, int64_t now, bool *ret_doomed)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct pg_args a = {};

	arg_str(&a, blob);
	arg_int(&a, now);
	int rc = w_ask(q, W_DOOM, &a, &r);
	if (rc == 0 && ret_doomed && pg_changed(&r) > 0)
		*ret_doomed = true;
	return rc;
}

int pgw_forget_outputs(struct pg *q, enum pg_stmt deleting, int64_t number, int64_t now, bool *ret_doomed)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct pg_args a = {};

	arg_int(&a, number);
	int rc = w_ask(q, deleting, &a, &r);
	for (int i = 0; rc == 0 && i < r.n; i++)
		rc = pgw_doom_blob(q, pg_col_str(&r, i, 0), now, ret_doomed);
	return rc;
}

/* The keys of jobs that come after others need the outputs: before these go. */
static int forget_artifacts(struct pg *q, int64_t file_number)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	struct pg_args a = {};

	arg_int(&a, file_number);
	int rc = w_ask(q, W_WORK_OF_FILE, &a, &r);
	for (int i = 0; rc == 0 && i < r.n; i++) {
		uint8_t sha256[32];

		pg_col_sha256(&r, i, 4, sha256);
		rc = w_run_int2(q, W_ARTIFACT_DELETE,
				artifact_key(pg_col_str(&r, i, 5), pg_col_str(&r, i, 1), (uint32_t)pg_col_int(&r, i, 2),
					     pg_col_str(&r, i, 3), sha256),
				pg_col_int(&r, i, 0));
	}
	return rc;
}

int pgw_forget_work(struct pg *q, int64_t file_number, int64_t now, bool *ret_doomed)
{
	int rc = forget_artifacts(q, file_number);

	return rc == 0 ? pgw_forget_outputs(q, W_OUTPUTS_DELETE, file_number, now, ret_doomed) : rc;
}

int pgw_blob_gone(struct pg *q, struct change *ch)
{
	struct pg_args a = {};

	arg_str(&a, ch->blob_gone.blob);
	return w_run(q, W_DOOM_DONE, &a);
}
