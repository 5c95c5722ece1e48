/* Is the catalogue at one with itself? What foreign keys would say, then the sums; all of one moment. The tables have no foreign keys: they would cost each insert a look-up for what
 * the code holds to anyway. Whether the database itself is sound, PostgreSQL's own tools say (pg_amcheck). */
#include "catalog/postgres/reads.h"

#define CHECK_ANSWER_MS 3700000 /* a little more than the statements give themselves */

static const struct {
	enum finding finding;
	enum pg_stmt stmt;
} RULES[] = {
	{FINDING_JOB_WITHOUT_FILE, R_CHECK_JOB_FILE},
	{FINDING_JOB_WITHOUT_STATE, R_CHECK_JOB_STATE},
	{FINDING_JOB_WITH_TWO_STATES, R_CHECK_JOB_STATES},
	{FINDING_JOB_AFTER_NOTHING, R_CHECK_JOB_AFTER},
	{FINDING_TASK_WITHOUT_JOB, R_CHECK_TASK_JOB},
	{FINDING_TASK_WITHOUT_WORKER, R_CHECK_TASK_WORKER},
	{FINDING_RESULT_WITHOUT_JOB, R_CHECK_RESULT_JOB},
	{FINDING_OUTPUT_WITHOUT_JOB, R_CHECK_OUTPUT_JOB},
	{FINDING_OUTPUTS_MISSING, R_CHECK_OUTPUTS},
	{FINDING_BYTES_WITHOUT_FILE, R_CHECK_BYTES},
	{FINDING_ARTIFACT_WITHOUT_WORK, R_CHECK_ARTIFACT},
	{FINDING_DOOMED_REFERENCED, R_CHECK_DOOMED},
	{FINDING_DOOMED_REFERENCED, R_CHECK_DOOMED_FILES},
	{FINDING_TALLY_WRONG, R_CHECK_TALLY},
	{FINDING_TALLY_WRONG, R_CHECK_LANES},
	{FINDING_TALLY_WRONG, R_CHECK_USAGE},
	{FINDING_TALLY_WRONG, R_CHECK_ENDS},
};

static void check_rules(struct pg_link *l, catalog_finding_fn *tell, void *arg)
{
	CLEANUP(pg_rows_release) struct pg_rows settings = {};

	if (pg_reader_begin(l) != 0 || pg_ask(l, R_PATIENTLY, NULL, &settings) != 0)
		return;
	for (size_t i = 0; i < ARRAY_LEN(RULES); i++) {
		CLEANUP(pg_rows_release) struct pg_rows r = {};

		if (pg_ask(l, RULES[i].stmt, NULL, &r) != 0)
			return;
		for (int row = 0; row < r.n; row++)
			tell(arg, RULES[i].finding, pg_col_str(&r, row, 0), pg_col_str(&r, row, 1));
	}
	(void)pg_reader_end(l);
}

/* What was told is told: a connection that is lost on the way is an error, and not tried again. */
int pg_check(struct catalog *c, catalog_finding_fn *tell, void *arg, struct err *e)
{
	struct pg *q = CONTAINER_OF(c, struct pg, base);
	struct pg_link *l;
	int rc = pg_reader_get(q, &l, e);

	if (rc != 0)
		return rc;
	l->answer_ms = CHECK_ANSWER_MS;
	check_rules(l, tell, arg);
	l->answer_ms = 0;
	return pg_reader_done(q, l, e);
}
