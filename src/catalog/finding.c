#include "catalog/finding.h"

static const struct {
	const char *word, *help;
} rows[FINDINGS] = {
#define FINDING_ROW(id, word, help) [FINDING_##id] = {word, help},
#include "catalog/finding_table.h"
#undef FINDING_ROW
};

const char *finding_word(enum finding f)
{
	return rows[f].word;
}

const char *finding_help(enum finding f)
{
	return rows[f].help;
}
