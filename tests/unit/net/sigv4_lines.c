/* Signs what is named on the command line and prints the line, for the test that signs the same with AWS's own library:
 *
 *     sigv4_lines presign METHOD HOST PATH UNIX_S EXPIRES_S [NAME=VALUE…]      path and query, signed; the pairs are parameters
 *     sigv4_lines authorization METHOD HOST PATH UNIX_S - [NAME=VALUE…]        the value of Authorization; the pairs are header fields
 *
 * Path, names and values come as they are, not encoded. The key and the region are those of the environment that AWS's tools read. */
#include "base/compiler.h"
#include "net/sigv4.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAIRS_MAX (SIGV4_HEADERS_MAX - 5)

static size_t read_pairs(struct sigv4_pair *dst, char **args, int n)
{
	size_t used = 0;

	for (int i = 0; i < n && used < PAIRS_MAX; i++) {
		struct str value, name = str_split(str_of(args[i]), '=', &value);

		dst[used++] = (struct sigv4_pair){name, value.p ? value : STR("")};
	}
	return used;
}

static int sign_in_head(struct buf *out, const struct sigv4_key *key, struct sigv4_request *r, struct sigv4_pair *pairs, size_t n,
			struct err *e)
{
	char time[SIGV4_TIME_LEN + 1];

	sigv4_time(time, r->unix_s);
	pairs[n++] = (struct sigv4_pair){STR("x-amz-date"), str_of(time)};
	pairs[n++] = (struct sigv4_pair){STR("x-amz-content-sha256"), STR(SIGV4_EMPTY_SHA256)};
	pairs[n++] = r->headers[0];
	r->headers = pairs;
	r->n_headers = n;
	r->payload_sha256 = STR(SIGV4_EMPTY_SHA256);
	return sigv4_authorization(out, key, r, e);
}

int main(int argc, char **argv)
{
	const struct sigv4_key key = {.access_key = str_of(getenv("AWS_ACCESS_KEY_ID")),
				      .secret_key = str_of(getenv("AWS_SECRET_ACCESS_KEY")),
				      .region = str_of(getenv("AWS_DEFAULT_REGION")),
				      .service = STR("s3")};
	struct sigv4_pair pairs[SIGV4_HEADERS_MAX], host = {.name = STR("host")};
	struct sigv4_request r = {.headers = &host, .n_headers = 1, .payload_sha256 = STR(SIGV4_UNSIGNED)};
	struct buf out = BUF_INIT;
	struct err e = ERR_INIT;
	size_t n;
	int rc;

	if (argc < 7)
		return 2;
	r.method = str_of(argv[2]);
	host.value = str_of(argv[3]);
	r.path = str_of(argv[4]);
	r.unix_s = strtoll(argv[5], NULL, 10);
	n = read_pairs(pairs, argv + 7, argc - 7);
	if (strcmp(argv[1], "presign") == 0) {
		r.query = pairs;
		r.n_query = n;
		rc = sigv4_presign(&out, &key, &r, (unsigned)strtoul(argv[6], NULL, 10), &e);
	} else {
		rc = sign_in_head(&out, &key, &r, pairs, n, &e);
	}
	if (rc == 0)
		printf("%.*s\n", STR_FMT(buf_str(&out)));
	else
		fprintf(stderr, "%s\n", e.detail);
	buf_release(&out);
	return rc == 0 ? 0 : 1;
}
