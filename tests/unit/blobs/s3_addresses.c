/* Prints signed addresses, a line each, for tests that compare and use them: S3_ENDPOINT, S3_BUCKET, S3_ACCESS_KEY, S3_SECRET_KEY and S3_PREFIX name the place.
 *
 *     s3_addresses NAME get FILENAME TYPE SECONDS
 *     s3_addresses NAME put SIZE TYPE SECONDS [META]   the address; then the fields that have to be sent, a line each
 *     s3_addresses NAME post MIN:MAX TYPE SECONDS      the address; then `name=value` of each field */
#include "blobs/s3/s3.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int print_get(struct blobs *b, char **a, struct err *e)
{
	struct buf out = BUF_INIT;
	int rc = s3_presign_get(&out, b, str_of(a[1]), str_of(a[3]), str_of(a[4]), (unsigned)atoi(a[5]), e);

	if (rc == 0)
		printf("%.*s\n", STR_FMT(buf_str(&out)));
	buf_release(&out);
	return rc;
}

static int print_put(struct blobs *b, char **a, struct err *e)
{
	struct buf out = BUF_INIT;
	struct s3_put_terms terms;
	int rc = s3_presign_put(&out, &terms, b, str_of(a[1]), strtoull(a[3], NULL, 10), str_of(a[4]), str_of(a[6] ? a[6] : ""),
				(unsigned)atoi(a[5]), e);

	if (rc == 0)
		printf("%.*s\n%s", STR_FMT(buf_str(&out)), terms.if_none_match ? "If-None-Match: *\n" : "");
	if (rc == 0 && terms.guard)
		printf("%s: " S3_GUARD_VALUE "\n", terms.guard);
	buf_release(&out);
	return rc;
}

static int print_post(struct blobs *b, char **a, struct err *e)
{
	const char *max = strchr(a[3], ':');
	struct s3_form f;
	int rc = s3_presign_post(&f, b, str_of(a[1]), strtoull(a[3], NULL, 10), strtoull(max ? max + 1 : a[3], NULL, 10), str_of(a[4]),
				 (unsigned)atoi(a[5]), e);

	if (rc == 0)
		printf("%.*s\n", STR_FMT(buf_str(&f.url)));
	for (size_t i = 0; rc == 0 && i < S3_POST_FIELDS; i++)
		printf("%s=%.*s\n", f.fields[i].name, STR_FMT(buf_str(&f.fields[i].value)));
	s3_form_release(&f);
	return rc;
}

int main(int argc, char **argv)
{
	const struct s3_options o = {.endpoint = getenv("S3_ENDPOINT"),
				     .region = getenv("S3_REGION"),
				     .bucket = getenv("S3_BUCKET"),
				     .prefix = getenv("S3_PREFIX"),
				     .access_key = getenv("S3_ACCESS_KEY"),
				     .secret_key = getenv("S3_SECRET_KEY"),
				     .style = getenv("S3_VIRTUAL_HOST") ? S3_STYLE_VIRTUAL_HOST : S3_STYLE_USUAL,
				     .spool_fd = -1};
	struct err e = ERR_INIT;
	struct blobs *b = NULL;
	int rc = ERR_USAGE;

	if (argc == 6 || argc == 7)
		rc = blobs_s3_new(&b, &o, &e);
	if (rc == 0)
		rc = strcmp(argv[2], "get") == 0   ? print_get(b, argv, &e)
		     : strcmp(argv[2], "put") == 0 ? print_put(b, argv, &e)
						   : print_post(b, argv, &e);
	if (rc != 0)
		fprintf(stderr, "%s: %s\n", err_info(rc)->name, e.detail);
	blobs_free(b);
	return rc != 0;
}
