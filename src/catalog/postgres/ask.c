/* Asking. Every answer is read whole before the connection goes back, so nothing of it is held while somebody works on the rows. */
#include "catalog/postgres/reads.h"

int pg_nothing_read(struct err *e)
{
	return err_set(e, ERR_NO_MEMORY, "no memory for what was read");
}

struct pg_rows pg_rows_from(const struct pg_rows *r, int at)
{
	return (struct pg_rows){.r = r->r, .n = r->n, .at = r->at + at};
}

/* Rows that belong together stand together. */
static size_t different_numbers(const struct pg_rows *r)
{
	size_t n = r->n > 0;

	for (int i = 1; i < r->n; i++)
		n += pg_col_int(r, i, 0) != pg_col_int(r, i - 1, 0);
	return n;
}

static void ask_all(struct pg_link *l, struct pg_question *questions, size_t n)
{
	if (n > 1 && pg_reader_begin(l) != 0)
		return;
	for (size_t i = 0; i < n; i++) {
		if (questions[i].if_at_most > 0 && different_numbers(&questions[i - 1].rows) > questions[i].if_at_most)
			continue;
		if (pg_ask(l, questions[i].stmt, questions[i].args, &questions[i].rows) != 0)
			return;
	}
	if (n > 1)
		(void)pg_reader_end(l);
}

void pg_questions_release(struct pg_question *questions, size_t n)
{
	for (size_t i = 0; i < n; i++)
		pg_rows_release(&questions[i].rows);
}

/* answer_ms: as in pg_link. Who waited so long in vain does not wait once more. */
static int read_within(struct pg *q, struct pg_question *questions, size_t n, int answer_ms, struct err *e)
{
	for (int tries = 0;; tries++) {
		struct pg_link *l;
		int rc = pg_reader_get(q, &l, e);

		if (rc != 0)
			return rc;
		l->answer_ms = answer_ms;
		ask_all(l, questions, n);
		bool again = l->failure == PG_LOST && tries == 0 && !(answer_ms > 0 && l->silent);
		rc = pg_reader_done(q, l, e);
		if (rc == 0)
			return 0;
		pg_questions_release(questions, n);
		if (!again)
			return rc;
	}
}

int pg_read_all(struct pg *q, struct pg_question *questions, size_t n, struct err *e)
{
	return read_within(q, questions, n, 0, e);
}

static int read_one(struct pg *q, enum pg_stmt s, struct pg_args *a, int answer_ms, struct pg_rows *ret, struct err *e)
{
	struct pg_question one = {.stmt = s, .args = a};
	int rc = read_within(q, &one, 1, answer_ms, e);
	*ret = one.rows;
	return rc;
}

int pg_read_soon(struct pg *q, enum pg_stmt s, struct pg_args *a, struct pg_rows *ret, struct err *e)
{
	return read_one(q, s, a, PG_SOON_MS, ret, e);
}

int pg_read(struct pg *q, enum pg_stmt s, struct pg_args *a, struct pg_rows *ret, struct err *e)
{
	return read_one(q, s, a, 0, ret, e);
}

int pg_read_any(struct pg *q, enum pg_stmt s, struct pg_args *a, bool *ret, struct err *e)
{
	CLEANUP(pg_rows_release) struct pg_rows r = {};
	int rc = pg_read(q, s, a, &r, e);

	if (rc == 0)
		*ret = r.n > 0;
	return rc;
}

void arg_int_or_null(struct pg_args *a, int64_t v, bool there)
{
	if (there)
		arg_int(a, v);
	else
		arg_time(a, 0);
}
