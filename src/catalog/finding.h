/* What a check of the catalogue and the store can find: one table, finding_table.h. */
#ifndef FILEMILL_CATALOG_FINDING_H
#define FILEMILL_CATALOG_FINDING_H

enum finding {
#define FINDING_ROW(id, word, help) FINDING_##id,
#include "catalog/finding_table.h"
#undef FINDING_ROW
	FINDINGS
};

const char *finding_word(enum finding f); /* such as "file_bytes_changed" */
const char *finding_help(enum finding f);

#endif
