#include "cli/settings.h"
#include "blobs/s3/s3.h"
#include "catalog/catalog.h"
#include "cli/limits.h"
#include "cli/recurring.h"
#include "cli/storage.h"
#include "model/webhook.h"
#include "rt/log.h"
#include "runner/runner.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define KIB 1024LL
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define TIB (1024 * GIB)
#define SECOND 1000LL
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)
#define IMAGE_SIDE_MAX 16384 /* as the op resize takes it */

static const char *const level_words[] = {"debug", "info", "warn", "error", NULL}; /* in the order of enum log_level */
static const char *const format_words[] = {"auto", "text", "json", NULL}; /* in the order of enum log_format */

static const char *const virtual_host_words[] = {"auto", "false", "true", NULL}; /* in the order of enum s3_style */

static const char *const forwarded_words[] = {"x-forwarded-for", "forwarded", NULL}; /* in the order of enum http_forwarded */

#define AT(member) offsetof(struct settings, member)

static const struct config_option options[] = {
	{"server", "listen", "listen", CONFIG_STRING, AT(listen), "127.0.0.1:8080", 0, 0, NULL,
	 "Address and port to listen on; port 0 lets the system choose."},
	{"server", "surfaces", "surface", CONFIG_LIST, AT(surfaces), "", 0, 0, NULL,
	 "Surfaces to serve beside the native API: md5-calc, hash-tasks, instashare, storage-sync, image-stages, or all."},

	{"links", "base_url", NULL, CONFIG_STRING, AT(links_base_url), "", 0, 0, NULL,
	 "What the addresses of links begin with, such as https://files.example.org; empty means http and the host the request was sent to."},

	{"node", "labels", NULL, CONFIG_STRING, AT(node_labels), "", 0, 0, NULL,
	 "What kind of node this is, as words with spaces between; ops may ask for one."},
	{"node", "listen", NULL, CONFIG_STRING, AT(node_listen), "", 0, 0, NULL,
	 "Address and port on which filemill work answers /healthz, /readyz and /metrics; empty means that it answers nobody."},
	{"node", "drain", NULL, CONFIG_DURATION, AT(node_drain_ms), "30s", 0, 24 * HOUR, NULL,
	 "How long jobs that run may go on when filemill work is asked to stop; then they are given back to the queue."},

	{"data", "dir", "data", CONFIG_STRING, AT(data_dir), "./filemill-data", 0, 0, NULL,
	 "Directory that holds the catalogue and the files."},
	{"data", "allow_network_fs", NULL, CONFIG_BOOL, AT(allow_network_fs), "false", 0, 0, NULL,
	 "Use the data directory even on a network or user-space file system, which may break the promise of durability."},
	{"data", "backup_hold", NULL, CONFIG_DURATION, AT(backup_hold_ms), "24h", 100, 365 * DAY, NULL,
	 "How long a backup under way may keep the bytes of deleted files from being removed."},

	{"catalog", "url", NULL, CONFIG_STRING, AT(catalog_url), "", 0, 0, NULL,
	 "PostgreSQL that holds the catalogue, such as postgres://filemill@db.example.org/filemill; empty means SQLite in the data directory."},

	{"data", "scrub_rate", NULL, CONFIG_SIZE, AT(scrub_rate), "8MiB", 0, 64 * GIB, NULL,
	 "Bytes a second of what is stored that are read again and compared with their digests; 0 turns this off."},
	{"data", "scrub_every", NULL, CONFIG_DURATION, AT(scrub_every_ms), "30d", SECOND, 3650 * DAY, NULL,
	 "How long after the begin of one round of reading all again the next may begin."},

	{"storage", "s3_bucket", NULL, CONFIG_STRING, AT(storage_bucket), "", 0, 0, NULL,
	 "Bucket of an object storage that holds the bytes of files larger than files.inline_max; empty means the data directory."},
	{"storage", "s3_endpoint", NULL, CONFIG_STRING, AT(storage_endpoint), "", 0, 0, NULL,
	 "The object storage, such as https://s3.example.org; empty means Amazon's of the region."},
	{"storage", "s3_region", NULL, CONFIG_STRING, AT(storage_region), "", 0, 0, NULL,
	 "Region that requests to it are signed for; empty means the usual one of the service, which Amazon's does not have."},
	{"storage", "s3_prefix", NULL, CONFIG_STRING, AT(storage_prefix), "", 0, 0, NULL,
	 "What all keys in the bucket begin with, such as filemill/; no other server may have the same."},
	{"storage", "s3_access_key", NULL, CONFIG_STRING, AT(storage_access_key), "", 0, 0, NULL, "Access key for it."},
	{"storage", "s3_secret_key", NULL, CONFIG_STRING, AT(storage_secret_key), "", 0, 0, NULL, "Secret key for it."},
	{"storage", "s3_virtual_host", NULL, CONFIG_ENUM, AT(storage_virtual_host), "auto", 0, 0, virtual_host_words,
	 "Put the bucket in front of the host's name instead of the path; auto means where the service wants it."},
	{"storage", "s3_part_size", NULL, CONFIG_SIZE, AT(storage_part_size), "16MiB", (int64_t)S3_PART_BYTES_MIN,
	 (int64_t)S3_PART_BYTES_MAX, NULL,
	 "Bytes that are sent to it at once; what is larger goes in parts, while the upload is still arriving."},
	{"storage", "s3_memory", NULL, CONFIG_SIZE, AT(storage_memory), "256MiB", 5 * MIB, 1 * TIB, NULL,
	 "Memory for parts of all uploads together; uploads that find none wait."},
	{"storage", "s3_patience", NULL, CONFIG_DURATION, AT(storage_patience_ms), "30s", 100, HOUR, NULL,
	 "How long a request to it that failed is tried again."},
	{"storage", "s3_abandoned", NULL, CONFIG_DURATION, AT(storage_abandoned_ms), "2d", SECOND, 365 * DAY, NULL,
	 "After that time the sweep gives up parts in the bucket of which it cannot tell whose they are; it knows those of files and outputs."},

	{"files", "max_size", NULL, CONFIG_SIZE, AT(file_max), "5GiB", 1, 8 * TIB, NULL, "Largest file taken."},
	{"files", "inline_max", NULL, CONFIG_SIZE, AT(inline_max), "32KiB", 0, 1 * MIB, NULL,
	 "Files up to this size are kept in the catalogue."},
	{"files", "default_ops", NULL, CONFIG_STRING, AT(default_ops), "md5", 0, 0, NULL,
	 "Ops for uploads that name none, as a structured-field list."},
	{"files", "free_reserve", NULL, CONFIG_SIZE, AT(free_reserve), "64MiB", 0, 64 * TIB, NULL,
	 "Space that uploads and outputs leave free in the data directory's file system; 0 turns the check off."},
	{"files", "uploads_max", NULL, CONFIG_INT, AT(uploads_max), "1000", 1, 100000, NULL,
	 "Uploads above inline_max that may be under way at once."},
	{"files", "sweep_every", NULL, CONFIG_DURATION, AT(sweep_every_ms), "6h", 0, 30 * DAY, NULL,
	 "How often unreferenced bytes are looked for; 0 means only when a server begins to look after them, at its start or in the place of another node."},
	{"files", "keep_time", NULL, CONFIG_DURATION, AT(files_keep_ms), "0", 0, 3650 * DAY, NULL,
	 "How long a file is kept after it was stored, unless it is given another time; 0 means until it is deleted."},
	{"files", "tombstone_time", NULL, CONFIG_DURATION, AT(tombstone_ms), "30d", MINUTE, 3650 * DAY, NULL,
	 "How long the id of a deleted or expired file, or of an expired job, answers 410."},
	{"files", "idempotency_time", NULL, CONFIG_DURATION, AT(idempotency_ms), "24h", SECOND, 30 * DAY, NULL,
	 "How long an Idempotency-Key is remembered."},

	{"http", "threads", NULL, CONFIG_INT, AT(http_threads), "0", 0, 256, NULL, "HTTP threads; 0 means one a core, at most 4."},
	{"http", "connections", NULL, CONFIG_INT, AT(connections), "10000", 1, 1000000, NULL,
	 "Open connections at most; fewer when the process may not have as many descriptors."},
	{"http", "connections_per_address", NULL, CONFIG_INT, AT(connections_per_address), "100", 0, 1000000, NULL,
	 "Open connections at most from one address; 0 means no limit."},
	{"http", "json_max", NULL, CONFIG_SIZE, AT(json_max), "1MiB", 1 * KIB, 64 * MIB, NULL, "Largest JSON body."},
	{"http", "header_timeout", NULL, CONFIG_DURATION, AT(header_timeout_ms), "10s", 100, HOUR, NULL,
	 "Time for the whole head of a request."},
	{"http", "idle_timeout", NULL, CONFIG_DURATION, AT(idle_timeout_ms), "60s", SECOND, DAY, NULL,
	 "How long a connection may be idle between requests."},
	{"http", "body_grace", NULL, CONFIG_DURATION, AT(body_grace_ms), "10s", 100, HOUR, NULL,
	 "Time after which a body must keep body_min_rate."},
	{"http", "body_min_rate", NULL, CONFIG_SIZE, AT(body_min_rate), "1KiB", 0, 1 * GIB, NULL,
	 "Bytes a second a body must bring; 0 means any."},

	{"http", "events_readers", NULL, CONFIG_INT, AT(events_readers), "200", 0, 100000, NULL, "Readers of the event stream at once."},
	{"http", "events_heartbeat", NULL, CONFIG_DURATION, AT(events_heartbeat_ms), "15s", 100, HOUR, NULL,
	 "How long an event stream is silent before a comment line is sent."},

	{"http", "hosts", NULL, CONFIG_LIST, AT(http_hosts), "", 0, 0, NULL,
	 "Names that the header field Host may have, without ports; empty means any."},
	{"http", "trusted_proxies", NULL, CONFIG_LIST, AT(http_proxy_texts), "", 0, 0, NULL,
	 "Address ranges of proxies whose word is taken for who the client is."},
	{"http", "forwarded", NULL, CONFIG_ENUM, AT(http_forwarded), "x-forwarded-for", 0, 0, forwarded_words,
	 "The header field in which all trusted proxies name the client."},
	{"http", "hsts", NULL, CONFIG_DURATION, AT(hsts_ms), "0", 0, 3650 * DAY, NULL,
	 "How long browsers are told to come over https only, for when a proxy in front speaks TLS; 0 means they are not told."},

	{"cors", "origins", NULL, CONFIG_LIST, AT(cors_origins), "", 0, 0, NULL,
	 "Origins such as https://app.example.org whose scripts may read answers; * means all."},
	{"cors", "max_age", NULL, CONFIG_DURATION, AT(cors_max_age_ms), "10m", 0, DAY, NULL,
	 "How long a browser may remember what it was told in advance."},

	{"limits", "address", NULL, CONFIG_STRING, AT(limits_address_text), "6000/1m", 0, 0, NULL,
	 "Requests of one address, or of one /64 of IPv6, in a time; all of them may come at once. off means no limit."},
	{"limits", "account", NULL, CONFIG_STRING, AT(limits_account_text), "12000/1m", 0, 0, NULL,
	 "Requests of one account in a time; off means no limit."},
	{"limits", "key", NULL, CONFIG_STRING, AT(limits_key_text), "12000/1m", 0, 0, NULL,
	 "Requests with one key in a time; off means no limit."},
	{"limits", "pings", NULL, CONFIG_STRING, AT(limits_pings_text), "60/1m", 0, 0, NULL,
	 "Pings of one owner's webhooks in a time, wherever they are asked for from; off means no limit."},
	{"limits", "uploads_per_address", NULL, CONFIG_INT, AT(uploads_an_address), "64", 0, 1000000, NULL,
	 "Uploads of one address at once; 0 means no limit."},
	{"limits", "uploads_per_account", NULL, CONFIG_INT, AT(uploads_an_account), "64", 0, 1000000, NULL,
	 "Uploads of one account at once; 0 means no limit."},
	{"limits", "exempt", NULL, CONFIG_LIST, AT(limits_exempt_texts), "127.0.0.0/8,::1", 0, 0, NULL,
	 "Address ranges from which none of these limits holds."},

	{"quotas", "files", NULL, CONFIG_INT, AT(owner_files_max), "0", 0, INT64_MAX, NULL,
	 "Files one owner may have stored; 0 means no limit. Waiting jobs have jobs.owner_queue_max."},
	{"quotas", "bytes", NULL, CONFIG_SIZE, AT(owner_bytes_max), "0", 0, INT64_MAX, NULL,
	 "Bytes of files one owner may have stored; 0 means no limit."},

	{"jobs", "threads", NULL, CONFIG_INT, AT(job_threads), "0", 0, 256, NULL,
	 "Jobs that run at once, each sealed one in a process of its own; 0 means one a core, at least 2."},
	{"jobs", "io_threads", NULL, CONFIG_INT, AT(io_threads), "0", 0, 256, NULL,
	 "Threads for work that blocks on disk, or on the object storage, besides two for who reads; 0 means 8, or 32 where there is an object storage."},
	{"jobs", "queue_max", NULL, CONFIG_INT, AT(queue_max), "10000000", 0, INT64_MAX, NULL, "Waiting jobs at most; 0 means no limit."},
	{"jobs", "owner_queue_max", NULL, CONFIG_INT, AT(owner_queue_max), "0", 0, INT64_MAX, NULL,
	 "Waiting jobs of one owner at most; 0 means no limit but queue_max."},
	{"jobs", "owner_concurrency", NULL, CONFIG_INT, AT(owner_concurrency), "0", 0, INT64_MAX, NULL,
	 "Jobs of one owner that run at once; 0 means no limit. Limits of single ops stand in ops."},
	{"jobs", "keep_time", NULL, CONFIG_DURATION, AT(results_keep_ms), "0", 0, 3650 * DAY, NULL,
	 "How long a job with its result and outputs is kept after its end; 0 means as long as its file."},
	{"jobs", "lease", NULL, CONFIG_DURATION, AT(lease_ms), "15s", SECOND, HOUR, NULL,
	 "How long a worker holds its jobs without a sign of life."},
	{"jobs", "beat", NULL, CONFIG_DURATION, AT(beat_ms), "4s", 100, HOUR, NULL, "How often a worker gives a sign of life."},
	{"jobs", "reclaim", NULL, CONFIG_DURATION, AT(reclaim_ms), "2s", 100, HOUR, NULL, "How often jobs of lost workers are looked for."},

	{"net", "allow", NULL, CONFIG_LIST, AT(net_allow_ranges), "", 0, 0, NULL,
	 "Address ranges inside that webhooks may be sent to and files imported from, such as 10.1.0.0/16; all that are not public are refused otherwise."},
	{"net", "http", NULL, CONFIG_BOOL, AT(net_http), "false", 0, 0, NULL, "Send webhooks to http:// URLs and import from them too."},
	{"net", "ca_file", NULL, CONFIG_STRING, AT(net_ca_file), "", 0, 0, NULL,
	 "PEM file of the certificates that other servers are verified against; empty means the system's."},

	{"webhooks", "per_owner", NULL, CONFIG_INT, AT(webhooks_per_owner), "16", 0, WEBHOOKS_AN_OWNER_MAX, NULL,
	 "Webhooks an owner may have; 0 means that none can be made."},
	{"webhooks", "requests", NULL, CONFIG_INT, AT(webhooks_requests), "64", 1, 1000, NULL, "Requests to webhooks' receivers at once."},
	{"webhooks", "per_receiver", NULL, CONFIG_INT, AT(webhooks_per_receiver), "4", 1, 100, NULL,
	 "Requests of one webhook at once; one that is in trouble gets one at a time."},
	{"webhooks", "timeout", NULL, CONFIG_DURATION, AT(webhooks_timeout_ms), "15s", 100, 5 * MINUTE, NULL,
	 "Time for one attempt to deliver, connection and answer together."},
	{"webhooks", "retry", NULL, CONFIG_LIST, AT(webhooks_retry_texts), "0s,5s,5m,30m,2h,5h,10h,14h,20h,24h", 0, 0, NULL,
	 "Pauses before the attempts to make one delivery, each with a fifth more or less; as many attempts as pauses, the first at once."},
	{"webhooks", "give_up", NULL, CONFIG_DURATION, AT(webhooks_give_up_ms), "5d", SECOND, 365 * DAY, NULL,
	 "A webhook to which nothing could be delivered for so long is switched off."},
	{"webhooks", "keep", NULL, CONFIG_DURATION, AT(webhooks_keep_ms), "30d", SECOND, 3650 * DAY, NULL,
	 "How long deliveries can be looked at and replayed after they ended."},

	{"imports", "at_once", NULL, CONFIG_INT, AT(imports_at_once), "8", 0, 256, NULL,
	 "Files that are fetched from other servers at once; 0 means that none are."},
	{"imports", "timeout", NULL, CONFIG_DURATION, AT(imports_timeout_ms), "6h", SECOND, 30 * DAY, NULL,
	 "Time for one attempt to fetch a file."},
	{"imports", "min_rate", NULL, CONFIG_SIZE, AT(imports_min_rate), "1KiB", 1, GIB, NULL,
	 "Bytes a second that a source must send at least, averaged over imports.stall."},
	{"imports", "stall", NULL, CONFIG_DURATION, AT(imports_stall_ms), "30s", SECOND, HOUR, NULL,
	 "How long a source may be slower than imports.min_rate, in whole seconds."},
	{"imports", "s3_endpoint", NULL, CONFIG_STRING, AT(s3_endpoint), "", 0, 0, NULL,
	 "Object storage to import from, such as https://s3.example.org; empty means Amazon's of the region, when there is an access key."},
	{"imports", "s3_region", NULL, CONFIG_STRING, AT(s3_region), "us-east-1", 0, 0, NULL, "Region that requests to it are signed for."},
	{"imports", "s3_access_key", NULL, CONFIG_STRING, AT(s3_access_key), "", 0, 0, NULL, "Access key for it."},
	{"imports", "s3_secret_key", NULL, CONFIG_STRING, AT(s3_secret_key), "", 0, 0, NULL, "Secret key for it."},
	{"imports", "s3_bucket", NULL, CONFIG_STRING, AT(s3_bucket), "", 0, 0, NULL,
	 "The only bucket that may be imported from; empty means every one the key may read."},
	{"imports", "s3_virtual_host", NULL, CONFIG_BOOL, AT(s3_virtual_host), "false", 0, 0, NULL,
	 "Put the bucket in front of the host's name instead of the path, where it can be part of one."},

	{"runner", "path", NULL, CONFIG_STRING, AT(runner_path), "", 0, 0, NULL,
	 "The program filemill-runner; empty means the one beside filemill, then the installed one."},
	{"runner", "memory", NULL, CONFIG_SIZE, AT(runner_memory), "512MiB", 256 * MIB, 1 * TIB, NULL, "Memory one sealed job may have."},
	{"runner", "cpu_time", NULL, CONFIG_DURATION, AT(runner_cpu_ms), "60s", SECOND, DAY, NULL,
	 "Processor time one sealed job may use, in whole seconds."},
	{"runner", "wall_time", NULL, CONFIG_DURATION, AT(runner_wall_ms), "120s", 100, 7 * DAY, NULL, "Time one sealed job may take."},
	{"runner", "output_max", NULL, CONFIG_SIZE, AT(runner_output_max), "1GiB", 1, 8 * TIB, NULL, "Largest output of one job."},
	{"runner", "pixels_max", NULL, CONFIG_INT, AT(runner_pixels_max), "100000000", 1, 1000000000000, NULL,
	 "Pixels of the largest image that is decoded: width × height × frames."},
	{"runner", "may_lack", NULL, CONFIG_LIST, AT(runner_may_lack_names), "", 0, 0, NULL,
	 "Parts of the seal that may be missing where the kernel lacks them; filemill doctor names them."},

	{"", "commands", NULL, CONFIG_JSON, AT(commands), "", 0, 0, NULL,
	 "Ops that run a program of this machine: a name each, with argv, params and limits."},
	{"", "ops", NULL, CONFIG_JSON, AT(op_bounds), "", 0, 0, NULL,
	 "What holds for single ops, built-in or commands: a name each, with concurrency, wall_time, max_attempts, and node: the label of those nodes that run its jobs."},
	{"", "pipelines", NULL, CONFIG_JSON, AT(pipelines), "", 0, 0, NULL,
	 "Lists of ops that an upload can ask for by one name: ?pipeline=name."},

	{"", "recurring", NULL, CONFIG_JSON, AT(recurring_text), "", 0, 0, NULL,
	 "Jobs at times that come again: a name each, with a cron expression, ops and the files they are for."},

	{"audit", "uploads", NULL, CONFIG_BOOL, AT(audit_uploads), "false", 0, 0, NULL,
	 "Write a line into the audit log for every stored file too."},
	{"audit", "file_size", NULL, CONFIG_SIZE, AT(audit_file_size), "64MiB", 4 * KIB, 1 * TIB, NULL,
	 "Bytes after which the audit log goes on in a new file."},

	{"log", "level", NULL, CONFIG_ENUM, AT(log_level), "info", 0, 0, level_words, "Least important events that are logged."},
	{"log", "format", NULL, CONFIG_ENUM, AT(log_format), "auto", 0, 0, format_words,
	 "Form of the log; auto means text on a terminal, else JSON."},
	{"log", "access", NULL, CONFIG_BOOL, AT(log_access), "false", 0, 0, NULL, "Log every request that was answered."},

	{"auth", "anonymous", NULL, CONFIG_BOOL, AT(anonymous), "false", 0, 0, NULL,
	 "Take callers without credentials also when there are accounts, and on an address that is no loopback one."},

	{"auth", "threads", NULL, CONFIG_INT, AT(auth_threads), "0", 0, 64, NULL,
	 "Threads that hash passwords, 19 MiB of memory each; 0 means half as many as there are processors."},
	{"auth", "session_idle", NULL, CONFIG_DURATION, AT(session_idle_ms), "12h", SECOND, 365 * DAY, NULL,
	 "A session that was not used for so long is over."},
	{"auth", "session_max", NULL, CONFIG_DURATION, AT(session_max_ms), "30d", SECOND, 3650 * DAY, NULL,
	 "A session that was begun so long ago is over."},

	{"surfaces.hash_tasks", "log_file", NULL, CONFIG_STRING, AT(hash_tasks_log_file), "", 0, 0, NULL,
	 "File that gets one line for every finished md5 job while hash-tasks is served; empty means none."},
	{"surfaces.image_stages", "size", NULL, CONFIG_STRING, AT(image_stages_size), "500x500", 0, 0, NULL,
	 "Width and height in pixels that image-stages' thumbnails fit into."},
	{"surfaces.storage_sync", "secret", NULL, CONFIG_STRING, AT(storage_sync_secret), "", 0, 0, NULL,
	 "Secret that storage-sync's clients sign with; while it is empty no signature is right."},
	{"surfaces.storage_sync", "source", NULL, CONFIG_STRING, AT(storage_sync_source), "", 0, 0, NULL,
	 "Where storage-sync fetches objects from, such as s3://bucket."},
	{"surfaces.storage_sync", "endpoint", NULL, CONFIG_STRING, AT(storage_sync_endpoint), "", 0, 0, NULL,
	 "Object storage that the source is in, such as https://s3.example.org; empty means Amazon's of the region."},
	{"surfaces.storage_sync", "region", NULL, CONFIG_STRING, AT(storage_sync_region), "us-east-1", 0, 0, NULL,
	 "Region that requests to it are signed for."},
	{"surfaces.storage_sync", "access_key", NULL, CONFIG_STRING, AT(storage_sync_access_key), "", 0, 0, NULL, "Access key for it."},
	{"surfaces.storage_sync", "secret_key", NULL, CONFIG_STRING, AT(storage_sync_secret_key), "", 0, 0, NULL, "Secret key for it."},
	{"surfaces.storage_sync", "virtual_host", NULL, CONFIG_BOOL, AT(storage_sync_virtual_host), "false", 0, 0, NULL,
	 "Put the bucket in front of the host's name instead of the path, where it can be part of one."},
	{"surfaces.storage_sync", "rate", NULL, CONFIG_STRING, AT(storage_sync_rate_text), "50/m", 0, 0, NULL,
	 "Requests to /sync/ of one address in a time; all of them may come at once. off means no limit."},
	{"surfaces.storage_sync", "rate_limit_status", NULL, CONFIG_INT, AT(storage_sync_rate_status), "412", 400, 499, NULL,
	 "Status of the answer to a request beyond that; 429 is what it means."},
	{"surfaces.storage_sync", "mirror_dir", NULL, CONFIG_STRING, AT(storage_sync_mirror_dir), "./mirror", 0, 0, NULL,
	 "Folder that gets a copy of each synced object under its own name; one server's alone."},
};

const struct config_option *settings_options(size_t *ret_n)
{
	*ret_n = ARRAY_LEN(options);
	return options;
}

static int check_default_ops(const struct op_table *table, const char *text, struct err *e)
{
	struct arena a = ARENA_INIT;
	struct op_request *ops;
	struct err why = ERR_INIT;
	size_t n;
	int rc = op_table_parse_list(table, &ops, &n, str_of(text), &a, &why);

	arena_release(&a);
	if (rc == 0)
		return 0;
	return err_set(e, ERR_BAD_CONFIG, "files.default_ops: \"%.60s\": %.120s%s%.60s", text, why.detail,
		       why.expected[0] != '\0' ? "; perhaps " : "", why.expected);
}

static int check_may_lack(struct settings *s, struct err *e)
{
	const char *names[SEAL_FEATURES];

	for (unsigned f = 0; f < SEAL_FEATURES; f++)
		names[f] = seal_feature_name((enum seal_feature)f);
	for (size_t i = 0; i < s->runner_may_lack_names.n; i++) {
		const char *name = s->runner_may_lack_names.items[i], *nearest;
		enum seal_feature feature;

		if (seal_feature_parse(&feature, str_of(name))) {
			s->runner_may_lack |= 1u << feature;
			continue;
		}
		nearest = nearest_name(str_of(name), names, SEAL_FEATURES);
		return err_set(e, ERR_BAD_CONFIG, "runner.may_lack: \"%.60s\" is no part of the seal%s%s", name,
			       nearest ? "; perhaps " : "", nearest ? nearest : "");
	}
	return 0;
}

static int check_catalog(const struct settings *s, struct err *e)
{
	int rc = s->catalog_url[0] != '\0' ? catalog_postgres_check(s->catalog_url, e) : 0;

	return rc == 0 ? 0 : err_wrap(e, "catalog.url");
}

static int read_net_policy(struct settings *s, struct err *e)
{
	struct target_policy *policy = &s->net_policy;

	policy->http = s->net_http;
	if (s->net_allow_ranges.n > ARRAY_LEN(policy->allow))
		return err_set(e, ERR_BAD_CONFIG, "net.allow: more than %zu ranges", ARRAY_LEN(policy->allow));
	for (size_t i = 0; i < s->net_allow_ranges.n; i++) {
		if (ip_range_parse(&policy->allow[policy->allow_n++], str_of(s->net_allow_ranges.items[i]), e) != 0)
			return err_wrap(e, "net.allow");
	}
	return 0;
}

static int read_webhooks_retry(struct settings *s, struct err *e)
{
	const struct config_list *texts = &s->webhooks_retry_texts;

	if (texts->n < 1 || texts->n > WEBHOOK_ATTEMPTS_MAX)
		return err_set(e, ERR_BAD_CONFIG, "webhooks.retry: from 1 to %d pauses", WEBHOOK_ATTEMPTS_MAX);
	for (size_t i = 0; i < texts->n; i++) {
		int64_t *ms = &s->webhooks_retry_ms[i];
		if (config_parse_duration(ms, str_of(texts->items[i]), e) != 0)
			return err_wrap(e, "webhooks.retry");
		if (*ms > 30 * DAY)
			return err_set(e, ERR_BAD_CONFIG, "webhooks.retry: no pause is longer than 30 days");
	}
	if (s->webhooks_retry_ms[0] != 0)
		return err_set(e, ERR_BAD_CONFIG, "webhooks.retry: the first is 0s, as the first attempt is made at once");
	s->webhooks_attempts = texts->n;
	return 0;
}

static int read_image_size(struct settings *s, struct err *e)
{
	struct str height, width = str_split(str_of(s->image_stages_size), 'x', &height);
	uint64_t w, h;

	if (height.p == NULL || !str_to_u64(width, &w) || !str_to_u64(height, &h) || w < 1 || h < 1 || w > IMAGE_SIDE_MAX ||
	    h > IMAGE_SIDE_MAX)
		return err_set(e, ERR_BAD_CONFIG,
			       "surfaces.image_stages.size: \"%.40s\" is no size such as 500x500, each side from 1 to %d",
			       s->image_stages_size, IMAGE_SIDE_MAX);
	s->image_stages_width = (unsigned)w;
	s->image_stages_height = (unsigned)h;
	return 0;
}

/* Jobs wait in the kernel while their children work, so a thread a core keeps every core busy; with one core a long job must not hold up all others. */
static int64_t default_job_threads(void)
{
	int64_t cores = sysconf(_SC_NPROCESSORS_ONLN);

	return cores < 2 ? 2 : cores > 256 ? 256 : cores;
}

static int check_labels(const char *labels, struct err *e)
{
	struct str rest = str_of(labels);

	if (rest.len > NODE_LABELS_MAX)
		return err_set(e, ERR_BAD_CONFIG, "node.labels: must have %d characters at most", NODE_LABELS_MAX);
	for (size_t i = 0; i < rest.len; i++)
		if (strchr("abcdefghijklmnopqrstuvwxyz0123456789_- ", rest.p[i]) == NULL)
			return err_set(e, ERR_BAD_CONFIG, "node.labels: words of a to z, 0 to 9, _ and -, with spaces between");
	return 0;
}

static int check_together(const struct settings *s, struct err *e)
{
	struct listen_address address;
	int rc = listen_parse(&address, s->listen, e);

	if (rc != 0)
		return rc;
	if ((rc = check_labels(s->node_labels, e)) != 0)
		return rc;
	if (s->node_listen[0] != '\0' && (rc = listen_parse(&address, s->node_listen, e)) != 0)
		return rc;
	if (s->beat_ms * 2 > s->lease_ms)
		return err_set(e, ERR_BAD_CONFIG, "jobs.lease: must be at least twice jobs.beat");
	if (s->data_dir[0] == '\0')
		return err_set(e, ERR_BAD_CONFIG, "data.dir: must not be empty");
	return check_default_ops(s->ops, s->default_ops, e);
}

int settings_load(struct settings *ret, const struct config_source *src, struct arena *strings, struct err *e)
{
	struct settings s = {};
	int rc = config_load(&s, options, ARRAY_LEN(options), src, strings, e);

	if (rc == 0)
		rc = check_catalog(&s, e);
	if (rc == 0)
		rc = check_may_lack(&s, e);
	if (rc == 0)
		rc = read_net_policy(&s, e);
	if (rc == 0)
		rc = read_webhooks_retry(&s, e);
	if (rc == 0)
		rc = limits_read(&s, strings, e);
	if (rc == 0)
		rc = op_table_new(&s.ops, s.commands, s.pipelines, s.op_bounds, strings, e);
	if (rc == 0)
		rc = recurring_read(&s.recurring, &s.n_recurring, s.recurring_text, s.ops, strings, e);
	if (rc == 0)
		rc = read_image_size(&s, e);
	if (rc == 0)
		rc = storage_read(&s, strings, e);
	if (rc == 0)
		rc = check_together(&s, e);
	if (s.auth_threads == 0)
		s.auth_threads = (default_job_threads() + 1) / 2;
	if (s.io_threads == 0)
		s.io_threads = s.storage_bucket[0] != '\0' ? 32 : 8;
	if (s.job_threads == 0)
		s.job_threads = default_job_threads();
	if (rc == 0)
		*ret = s;
	return rc;
}

int settings_digest(const struct settings *s, char ret[65], struct err *e)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT;
	struct digest_set *d;
	size_t n;
	int rc = digest_set_new(&d, 1u << DIGEST_SHA256, e);

	if (rc != 0)
		return rc;
	config_values(&b, s, options, ARRAY_LEN(options));
	if (!buf_ok(&b))
		rc = err_set(e, ERR_NO_MEMORY, "no memory for settings");
	digest_set_update(d, b.p, b.len);
	if (rc == 0)
		rc = digest_set_finish(d, e);
	if (rc == 0)
		hex_encode(ret, digest_set_get(d, DIGEST_SHA256, &n), 32);
	digest_set_free(d);
	return rc;
}

/* ---- addresses ---- */

static int refuse_address(const char *text, struct err *e)
{
	return err_set(e, ERR_BAD_CONFIG,
		       "server.listen: \"%.60s\" is no address with a port, such as 127.0.0.1:8080, [::1]:8080 or localhost:0", text);
}

static bool parse_v4(struct listen_address *a, struct str host)
{
	struct in_addr in;

	if (str_eq(host, STR("localhost")))
		host = STR("127.0.0.1");
	if (host.len == 0 || host.len >= sizeof(a->address))
		return false;
	memcpy(a->address, host.p, host.len);
	a->address[host.len] = '\0';
	if (inet_pton(AF_INET, a->address, &in) != 1)
		return false;
	a->loopback = (ntohl(in.s_addr) >> 24) == 127;
	return true;
}

static bool parse_v6(struct listen_address *a, struct str host)
{
	struct in6_addr in;

	if (host.len == 0 || host.len >= sizeof(a->address))
		return false;
	memcpy(a->address, host.p, host.len);
	a->address[host.len] = '\0';
	if (inet_pton(AF_INET6, a->address, &in) != 1)
		return false;
	a->ipv6 = true;
	a->loopback = IN6_IS_ADDR_LOOPBACK(&in);
	return true;
}

int listen_parse(struct listen_address *ret, const char *text, struct err *e)
{
	struct listen_address a = {};
	const char *colon = strrchr(text, ':');
	uint64_t port;
	bool ok;

	if (colon == NULL || !str_to_u64(str_of(colon + 1), &port) || port > UINT16_MAX)
		return refuse_address(text, e);
	a.port = (uint16_t)port;
	if (text[0] == '[')
		ok = colon > text + 1 && colon[-1] == ']' && parse_v6(&a, (struct str){text + 1, (size_t)(colon - text) - 2});
	else
		ok = parse_v4(&a, (struct str){text, (size_t)(colon - text)});
	if (!ok)
		return refuse_address(text, e);
	*ret = a;
	return 0;
}
