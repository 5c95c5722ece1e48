/* The configuration's recurring jobs: a name each, with times, ops and the files they are for. */
#ifndef FILEMILL_CLI_RECURRING_H
#define FILEMILL_CLI_RECURRING_H

#include "engine/engine.h"

#define RECURRING_MAX 100 /* entries */

/* JSON object name → {"at","zone","ops":[…] or "pipeline","files":"new" or "all","name","label","type","missed":"once" or "skip","priority"}; "" = none. Sorted by name, in the
 * arena, borrowing from the ops. ERR_BAD_CONFIG names the place, and of an expression the column. */
[[nodiscard]] int recurring_read(const struct engine_recurring **ret, size_t *ret_n, struct str json, const struct op_table *ops,
				 struct arena *a, struct err *e);
/* The first due times of an entry after `now`, as text with blanks between them, UTC: for people. */
void recurring_times(struct buf *out, const struct engine_recurring *r, int64_t now_ms, unsigned n);

#endif
