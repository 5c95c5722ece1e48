/* Every setting of the program, filled from defaults, the YAML file, the environment and flags by one table. */
#ifndef FILEMILL_CLI_SETTINGS_H
#define FILEMILL_CLI_SETTINGS_H

#include "base/arena.h"
#include "base/err.h"
#include "engine/s3.h"
#include "ops/ops.h"
#include "rt/config.h"
#include "rt/limiter.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct engine_recurring;
#define WEBHOOK_ATTEMPTS_MAX 20 /* to make one delivery */

#define STORAGE_SYNC_SOURCE "storage-sync" /* name among settings.s3 of the object storage that this surface copies from */

struct settings {
	/* server */
	const char *listen; /* address:port */
	struct config_list surfaces;
	/* node */
	const char *node_labels, *node_listen; /* "" = none */
	int64_t node_drain_ms;
	/* data */
	const char *data_dir;
	bool allow_network_fs;
	int64_t backup_hold_ms;
	/* catalog */
	const char *catalog_url; /* a secret; "" = SQLite in the data directory */
	/* storage */
	const char *storage_endpoint, *storage_region, *storage_bucket /* "" = files are in the data directory */, *storage_prefix;
	const char *storage_access_key, *storage_secret_key;
	int storage_virtual_host; /* enum s3_style */
	uint64_t storage_part_size, storage_memory;
	int64_t storage_patience_ms, storage_abandoned_ms;
	/* files */
	uint64_t file_max, inline_max, free_reserve;
	int64_t uploads_max;
	const char *default_ops;
	uint64_t scrub_rate;
	int64_t scrub_every_ms;
	int64_t sweep_every_ms, tombstone_ms, idempotency_ms, files_keep_ms, results_keep_ms;
	/* http */
	int64_t http_threads, connections, connections_per_address;
	uint64_t json_max, body_min_rate;
	int64_t events_readers, events_heartbeat_ms;
	int64_t header_timeout_ms, idle_timeout_ms, body_grace_ms;
	struct config_list http_hosts, http_proxy_texts;
	const struct ip_range *http_proxies; /* from the texts, in the strings' arena */
	size_t n_http_proxies;
	int http_forwarded; /* enum http_forwarded */
	int64_t hsts_ms;
	/* cors */
	struct config_list cors_origins;
	int64_t cors_max_age_ms;
	/* quotas */
	int64_t owner_files_max;
	uint64_t owner_bytes_max;
	/* limits */
	const char *limits_address_text, *limits_account_text, *limits_key_text, *limits_pings_text;
	struct limiter_rate limits_address, limits_account, limits_key, limits_pings; /* from the texts */
	int64_t uploads_an_address, uploads_an_account;
	struct config_list limits_exempt_texts;
	const struct ip_range *limits_exempt; /* from the texts, in the strings' arena */
	size_t n_limits_exempt;
	/* net */
	bool net_http;
	const char *net_ca_file; /* "" = the system's */
	struct config_list net_allow_ranges;
	struct target_policy net_policy; /* from http and the ranges */
	/* webhooks */
	int64_t webhooks_per_owner, webhooks_requests, webhooks_per_receiver;
	int64_t webhooks_timeout_ms, webhooks_give_up_ms, webhooks_keep_ms;
	struct config_list webhooks_retry_texts;
	int64_t webhooks_retry_ms[WEBHOOK_ATTEMPTS_MAX]; /* from the texts */
	size_t webhooks_attempts;
	/* imports */
	int64_t imports_at_once, imports_timeout_ms, imports_stall_ms;
	uint64_t imports_min_rate;
	const char *s3_endpoint, *s3_region, *s3_access_key, *s3_secret_key, *s3_bucket;
	bool s3_virtual_host;
	struct engine_s3 s3[2]; /* from these, and from surfaces.storage_sync */
	size_t n_s3;
	/* runner */
	const char *runner_path; /* "" = beside the program, then the installed place */
	uint64_t runner_memory, runner_output_max;
	int64_t runner_cpu_ms, runner_wall_ms, runner_pixels_max;
	struct config_list runner_may_lack_names;
	unsigned runner_may_lack; /* from the names: bit 1u << enum seal_feature */
	/* commands, pipelines: JSON, or ""; and what they make of the built-in ops, in the strings' arena */
	struct str commands, pipelines, op_bounds;
	const struct op_table *ops;
	/* recurring: JSON, or ""; and what it says, in the strings' arena */
	struct str recurring_text;
	const struct engine_recurring *recurring;
	size_t n_recurring;
	/* jobs */
	int64_t job_threads, io_threads, /* these two never 0 after settings_load() */ queue_max, owner_queue_max, owner_concurrency;
	int64_t lease_ms, beat_ms, reclaim_ms;
	/* audit */
	bool audit_uploads;
	uint64_t audit_file_size;
	/* log */
	int log_level, log_format; /* enum log_level, enum log_format */
	bool log_access;
	/* auth */
	bool anonymous;
	int64_t auth_threads, /* never 0 after settings_load() */ session_idle_ms, session_max_ms;
	/* surfaces.<name> */
	const char *hash_tasks_log_file;
	const char *storage_sync_secret, *storage_sync_source, *storage_sync_endpoint, *storage_sync_region;
	const char *storage_sync_access_key, *storage_sync_secret_key, *storage_sync_rate_text, *storage_sync_mirror_dir;
	bool storage_sync_virtual_host;
	int64_t storage_sync_rate_status;
	struct limiter_rate storage_sync_rate; /* from the text */
	const char *storage_sync_bucket; /* from the source; "" = none */
	const char *links_base_url;
	const char *image_stages_size;
	unsigned image_stages_width, image_stages_height; /* from the size */
};

const struct config_option *settings_options(size_t *ret_n);

/* Loads and checks what concerns one setting or several together. ERR_BAD_CONFIG, ERR_USAGE. Strings lie in the arena. */
[[nodiscard]] int settings_load(struct settings *ret, const struct config_source *src, struct arena *strings, struct err *e);

/* SHA-256 over the names and values of all options, in hex: equal where everything is set alike. */
[[nodiscard]] int settings_digest(const struct settings *s, char ret[65], struct err *e);

/* An address to listen on: `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080`. */
struct listen_address {
	char address[48]; /* literal, without brackets */
	uint16_t port; /* 0 = the system chooses */
	bool ipv6, loopback;
};
[[nodiscard]] int listen_parse(struct listen_address *ret, const char *text, struct err *e);

#endif
