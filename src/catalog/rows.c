#include "base/siphash.h"
#include "catalog/rows_impl.h"

#include <stdlib.h>
#include <string.h>

/* What only one kind of database has, or what is about those who are at work on it and not about what is stored. */
static const char *const NOT_CARRIED[] = {
	"schema_version", /* each has its own */
	"store", /* PostgreSQL: the first server says it anew, and its directory has the id that the bucket knows */
	"lane_tally", /* PostgreSQL: follows from `task` */
	"duty", /* PostgreSQL, this and what follows: of the nodes that are at work now */
	"news",           "batch", "rate", "hold",
};

/* SQLite's names where PostgreSQL must or does call them differently: what they call a row that is alone in its table. */
static const struct {
	const char *table, *own, *name;
} ALIASES[] = {
	{"audit_head", "only", "one"},
	{"tally", "only", "one"},
	{"tally", "slot", "one"},
};

bool rows_carried_column(struct str table, struct str column)
{
	static const char *const not_carried[][2] = {
		{"job", "lane"}, /* PostgreSQL: follows from `lane`, the file's owner and the op */
		{"audit_head", "home"}, /* PostgreSQL: where nodes have a log each */
		{"worker", "home"}, /* PostgreSQL: of the nodes that are at work now */
	};

	for (size_t i = 0; i < ARRAY_LEN(not_carried); i++)
		if (str_eq(table, str_of(not_carried[i][0])) && str_eq(column, str_of(not_carried[i][1])))
			return false;
	return true;
}

bool rows_carried(struct str table)
{
	for (size_t i = 0; i < ARRAY_LEN(NOT_CARRIED); i++)
		if (str_eq(table, str_of(NOT_CARRIED[i])))
			return false;
	return true;
}

bool rows_note_of_move(struct str meta_key)
{
	return str_starts(meta_key, STR("move_"));
}

/* ---- lists of tables ---- */

static bool copy_name(char dst[ROWS_NAME_MAX + 1], struct str name)
{
	if (name.len == 0 || name.len > ROWS_NAME_MAX)
		return false;
	memcpy(dst, name.p, name.len);
	dst[name.len] = '\0';
	return true;
}

static struct str name_of(struct str table, struct str own)
{
	for (size_t i = 0; i < ARRAY_LEN(ALIASES); i++)
		if (str_eq(table, str_of(ALIASES[i].table)) && str_eq(own, str_of(ALIASES[i].own)))
			return str_of(ALIASES[i].name);
	return own;
}

int rows_add_column(struct rows *r, struct str table, struct str column, enum rows_type type, struct err *e)
{
	struct rows_table *t = r->n_tables > 0 ? &r->tables[r->n_tables - 1] : NULL;

	if (r->tables == NULL)
		r->tables = calloc(ROWS_TABLES_MAX, sizeof(*r->tables));
	if (r->tables == NULL)
		return err_set(e, ERR_NO_MEMORY, "no memory for a list of tables");
	if (t == NULL || !str_eq(str_of(t->name), table)) {
		if (r->n_tables == ROWS_TABLES_MAX)
			return err_set(e, ERR_CONFLICT, "the catalogue has more tables than can be carried");
		t = &r->tables[r->n_tables++];
		if (!copy_name(t->name, table))
			return err_set(e, ERR_CONFLICT, "a table of the catalogue has a name that is too long");
	}
	if (t->n == ROWS_COLUMNS_MAX)
		return err_set(e, ERR_CONFLICT, "the catalogue's table %s has more columns than can be carried", t->name);
	struct rows_column *c = &t->columns[t->n++];
	c->type = type;
	if (!copy_name(c->own, column) || !copy_name(c->name, name_of(table, column)))
		return err_set(e, ERR_CONFLICT, "a column of the catalogue's table %s has a name that is too long", t->name);
	return 0;
}

static const struct rows_table *find_table(const struct rows *r, const char *name)
{
	for (size_t i = 0; i < r->n_tables; i++)
		if (strcmp(r->tables[i].name, name) == 0)
			return &r->tables[i];
	return NULL;
}

static const struct rows_column *find_column(const struct rows_table *t, const char *name)
{
	for (size_t i = 0; i < t->n; i++)
		if (strcmp(t->columns[i].name, name) == 0)
			return &t->columns[i];
	return NULL;
}

/* The other side's table with its columns in the order of `t`. */
static int match_table(const struct rows *other, const struct rows_table *t, struct rows_table *ret, struct err *e)
{
	const struct rows_table *found = find_table(other, t->name);

	if (found == NULL)
		return err_set(e, ERR_CONFLICT, "only one of the two catalogues has a table %s", t->name);
	*ret = *found;
	for (size_t i = 0; i < t->n; i++) {
		const struct rows_column *c = find_column(found, t->columns[i].name);
		if (c == NULL || found->n != t->n)
			return err_set(e, ERR_CONFLICT, "the two catalogues do not have the same columns in table %s", t->name);
		ret->columns[i] = *c;
	}
	return 0;
}

static int match_all(const struct rows *a, const struct rows *b, struct err *e)
{
	struct rows_table matched;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < a->n_tables; i++)
		rc = match_table(b, &a->tables[i], &matched, e);
	for (size_t i = 0; rc == 0 && i < b->n_tables; i++)
		rc = match_table(a, &b->tables[i], &matched, e);
	return rc;
}

/* ---- statements ---- */

void rows_quote(struct buf *out, const char *name)
{
	buf_add_char(out, '"');
	for (const char *p = name; *p != '\0'; p++) {
		if (*p == '"')
			buf_add_char(out, '"');
		buf_add_char(out, *p);
	}
	buf_add_char(out, '"');
}

void rows_quote_columns(struct buf *out, const struct rows_table *t)
{
	for (size_t i = 0; i < t->n; i++) {
		if (i > 0)
			buf_add_cstr(out, ", ");
		rows_quote(out, t->columns[i].own);
	}
}

/* ---- one table ---- */

#define LOOK_EVERY 1024 /* rows between two calls of the progress function */

struct walk {
	struct rows *to; /* NULL: rows are only counted and summed */
	const struct rows_table *to_table; /* columns in the order of the rows */
	bool meta;
	rows_progress_fn *progress;
	void *progress_arg;
	uint64_t *total; /* over all tables */
	uint64_t rows, sum;
	struct buf line; /* of one row, to be summed */
};

static int goes_on(struct walk *w, struct err *e)
{
	if (++*w->total % LOOK_EVERY != 0 || w->progress == NULL || w->progress(w->progress_arg, *w->total))
		return 0;
	return err_set(e, ERR_CANCELLED, "interrupted by a signal");
}

/* The first column of `meta` is its key on both sides; rows about moves stay. */
static bool stays(const struct walk *w, const struct cell *cells)
{
	return w->meta && ((cells[0].kind == CELL_TEXT && rows_note_of_move(cells[0].s)) ||
			   (cells[1].kind == CELL_TEXT && rows_note_of_move(cells[1].s)));
}

static int copy_row(void *arg, const struct cell *cells, struct err *e)
{
	struct walk *w = arg;

	if (stays(w, cells))
		return 0;
	w->rows++;
	int rc = w->to->methods->put(w->to, w->to_table, cells, e);
	return rc == 0 ? goes_on(w, e) : rc;
}

/* The order of rows is nobody's promise, so what is compared is a sum over all rows. It finds what went wrong, not who wants to deceive. */
static int sum_row(void *arg, const struct cell *cells, struct err *e)
{
	static const uint8_t key[16] = "filemill move";
	struct walk *w = arg;

	if (stays(w, cells))
		return 0;
	buf_reset(&w->line);
	for (size_t i = 0; i < w->to_table->n; i++) {
		uint64_t head[2] = {cells[i].kind == CELL_INT ? (uint64_t)cells[i].n : cells[i].s.len, (uint64_t)cells[i].kind};
		buf_add(&w->line, head, sizeof(head));
		if (cells[i].kind == CELL_TEXT || cells[i].kind == CELL_BYTES)
			buf_add(&w->line, cells[i].s.p, cells[i].s.len);
	}
	if (!buf_ok(&w->line))
		return err_set(e, ERR_NO_MEMORY, "no memory for a row");
	w->rows++;
	w->sum += siphash24(key, w->line.p, w->line.len);
	return goes_on(w, e);
}

static int copy_table(struct walk *w, struct rows *from, const struct rows_table *t, struct err *e)
{
	struct rows_table matched;
	int64_t last = 0;
	int rc = match_table(w->to, t, &matched, e);

	w->to_table = &matched;
	w->meta = strcmp(t->name, "meta") == 0;
	w->rows = 0;
	if (rc == 0)
		rc = w->to->methods->begin_table(w->to, &matched, e);
	if (rc == 0)
		rc = from->methods->read(from, t, copy_row, w, e);
	if (rc == 0)
		rc = w->to->methods->end_table(w->to, e);
	if (rc == 0 && t->numbered)
		rc = from->methods->last_number(from, t, &last, e);
	if (rc == 0 && matched.numbered)
		rc = w->to->methods->set_last_number(w->to, &matched, last, e);
	w->to_table = NULL;
	return rc == 0 ? 0 : err_wrap(e, "table %s", t->name);
}

int rows_copy(struct rows *from, struct rows *to, rows_progress_fn *progress, void *arg, struct rows_report *ret, struct err *e)
{
	struct rows_report report = {};
	struct walk w = {.to = to, .progress = progress, .progress_arg = arg, .total = &report.rows};
	int rc = match_all(from, to, e);

	for (size_t i = 0; rc == 0 && i < from->n_tables; i++) {
		const struct rows_table *t = &from->tables[i];
		rc = copy_table(&w, from, t, e);
		report.tables++;
		if (strcmp(t->name, "file") == 0)
			report.files = w.rows;
		else if (strcmp(t->name, "job") == 0)
			report.jobs = w.rows;
	}
	if (rc == 0)
		rc = to->methods->commit(to, e);
	if (rc == 0)
		*ret = report;
	return rc;
}

static int sum_table(struct walk *w, struct rows *side, const struct rows_table *t, uint64_t *ret_rows, uint64_t *ret_sum, struct err *e)
{
	w->to_table = t;
	w->meta = strcmp(t->name, "meta") == 0;
	w->rows = w->sum = 0;
	int rc = side->methods->read(side, t, sum_row, w, e);
	*ret_rows = w->rows;
	*ret_sum = w->sum;
	w->to_table = NULL;
	return rc;
}

static int compare_table(struct walk *w, struct rows *a, struct rows *b, const struct rows_table *t, struct err *e)
{
	struct rows_table matched;
	uint64_t rows[2], sums[2];
	int rc = match_table(b, t, &matched, e);

	if (rc == 0)
		rc = sum_table(w, a, t, &rows[0], &sums[0], e);
	if (rc == 0)
		rc = sum_table(w, b, &matched, &rows[1], &sums[1], e);
	if (rc != 0)
		return err_wrap(e, "table %s", t->name);
	if (rows[0] != rows[1])
		return err_set(e, ERR_DAMAGED, "the catalogue's table %s has %llu rows, and its copy %llu", t->name,
			       (unsigned long long)rows[0], (unsigned long long)rows[1]);
	if (sums[0] != sums[1])
		return err_set(e, ERR_DAMAGED, "the rows of the catalogue's table %s are not those of its copy", t->name);
	return 0;
}

int rows_compare(struct rows *a, struct rows *b, rows_progress_fn *progress, void *arg, struct err *e)
{
	uint64_t total = 0;
	struct walk w = {.progress = progress, .progress_arg = arg, .total = &total};
	int rc = match_all(a, b, e);

	for (size_t i = 0; rc == 0 && i < a->n_tables; i++)
		if (strcmp(a->tables[i].name, "lane") != 0) /* PostgreSQL has more of them: for jobs that never waited too */
			rc = compare_table(&w, a, b, &a->tables[i], e);
	buf_release(&w.line);
	return rc;
}

void rows_free(struct rows *r)
{
	if (r == NULL)
		return;
	free(r->tables);
	r->methods->free(r);
}
