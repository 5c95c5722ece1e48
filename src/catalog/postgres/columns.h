/* Lists of columns that statements for reading and for writing share; the reader functions in row.c know their places. */
#ifndef FILEMILL_CATALOG_POSTGRES_COLUMNS_H
#define FILEMILL_CATALOG_POSTGRES_COLUMNS_H

#include "catalog/tables.h"

/* The same work, done through the queue: $1 key, $2 op, $3 version, $4 params, $5 SHA-256 of the input, $6 owner. The owner is no way to the file: he may have a million. */
#define ARTIFACT_FROM                                                                                                                          \
	" FROM artifact AS a JOIN job AS j ON j.number = a.job JOIN file AS f ON f.number = j.file JOIN result AS r ON r.job = j.number"       \
	" WHERE a.key = $1 AND r.state = 2 AND r.expired_at IS NULL AND j.op = $2 AND j.version = $3 AND j.params = $4 AND f.owner || '' = $6" \
	" AND f.deleted_at IS NULL AND " INPUT_SHA256 " = $5" WHOLE

#define QUOTA_COLUMNS "a.files_max, a.bytes_max, a.jobs_max"
#define ACCOUNT_COLUMNS "a.number, a.id, a.email, a.name, a.password, a.role, a.created_at, a.changed_at, a.disabled_at, " QUOTA_COLUMNS
/* Whether any account has quotas of its own, by the index account_quotas. */
#define QUOTAS_ANY "EXISTS (SELECT 1 FROM account WHERE coalesce(files_max, bytes_max, jobs_max) IS NOT NULL)"

#endif
