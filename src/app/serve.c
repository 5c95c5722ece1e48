/* Start: runner, data directory, client for what goes out, catalogue, blobs, engine, HTTP; each leans on those before it and they end in the opposite order.
 *
 * Stop, in at most 10 s: new work is refused and waits end (the address still answers, with 503); uploads under way get some time; the HTTP server drains and closes what is left, which cancels
 * unfinished uploads; then the engine commits what it has and gives running jobs back. A second signal ends all this at once: nothing that was acknowledged depends on it.
 * The same happens when a reply is still owed at the end, because the disk below does not come back from a flush: what waits for it cannot be taken down in order. */
#include "app/serve.h"
#include "api/api.h"
#include "app/catalogue.h"
#include "app/data_dir.h"
#include "app/hold.h"
#include "app/notify.h"
#include "app/process.h"
#include "app/store.h"
#include "front/caller.h"
#include "front/front.h"
#include "front/limits.h"
#include "front/watchers.h"
#include "net/client.h"
#include "rt/log.h"
#include "surfaces/hash_log.h"
#include "surfaces/mirror.h"
#include "surfaces/surface.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define UPLOADS_GRACE_MS 4000
#define DRAIN_GRACE_MS 1500
#define OWED_GRACE_MS 1500
#define JOBS_GRACE_MS 1500
#define DRAIN_LOOK_MS 100
#define OWN_DESCRIPTORS 68 /* the catalogue's readers, the server's own; not the blob directories kept open */
#define DESCRIPTORS_MIN 128 /* with fewer it would serve a handful of connections and fail jobs now and then: better told than found out */
#define JOB_DESCRIPTORS                                                                                                                    \
	16 /* a job thread: its child's channel, status, process and output, and a spare one's; a batch's inputs, most of which are inline */

struct service {
	bool works_only; /* no HTTP but for those who watch */
	char host[NODE_HOST_MAX + 1];
	struct runner *runner;
	struct data_dir data;
	struct hold hold;
	struct gate gate;
	struct net_client *client, *imports; /* imports: NULL when there are none; apart, so that large files hold up no webhook */
	struct engine *engine;
	struct front front;
	struct limits *limits;
	struct watchers watchers;
	bool has_front;
	struct surface_options surfaces;
	char image_stages_ops[96];
	struct engine_s3 s3[2]; /* the settings', with what is to be told of objects that came */
	struct mirror mirror;
	struct limiter *sync_rate;
	struct http_server *http;
	uint16_t port;
	struct process_stop stop;
};

static void log_access(struct http_request *r, int status, int64_t us)
{
	static const char *const methods[] = {
		[HTTP_GET] = "GET",     [HTTP_HEAD] = "HEAD",     [HTTP_POST] = "POST",      [HTTP_PUT] = "PUT",
		[HTTP_PATCH] = "PATCH", [HTTP_DELETE] = "DELETE", [HTTP_OPTIONS] = "OPTIONS"};
	unsigned method = (unsigned)http_method(r); /* out of range when no route has it */

	log_event(LOG_INFO, "request", LF_CSTR("method", method < ARRAY_LEN(methods) ? methods[method] : "-"), LF_STR("path", http_path(r)),
		  LF_INT("status", status), LF_INT("us", us), LF_STR("peer", http_peer(r)), LF_STR("request_id", http_request_id(r)));
}

/* How many of the process's descriptors connections and large uploads may take: a large upload costs one beside its connection's. */
struct share {
	unsigned connections, uploads;
};

static struct share share_descriptors(const struct settings *s)
{
	unsigned limit = process_raise_descriptors();
	unsigned own = OWN_DESCRIPTORS + blobs_local_directories() + (unsigned)s->job_threads * JOB_DESCRIPTORS +
		       (unsigned)s->webhooks_requests + 3 * (unsigned)s->imports_at_once;
	unsigned rest = limit - (limit / 4 * 3 < own ? limit / 4 * 3 : own); /* jobs must go on however many connections there are */
	struct share share = {.connections = (unsigned)s->connections, .uploads = (unsigned)s->uploads_max};

	if (share.connections > rest - rest / 3)
		share.connections = rest - rest / 3;
	if (share.uploads > rest - share.connections)
		share.uploads = rest - share.connections;
	if (share.connections < s->connections || share.uploads < s->uploads_max)
		log_event(LOG_WARN, "descriptors_short", LF_INT("descriptors", limit), LF_INT("connections", share.connections),
			  LF_INT("connections_wanted", s->connections), LF_INT("large_uploads", share.uploads),
			  LF_INT("large_uploads_wanted", s->uploads_max));
	return share;
}

static int open_client(struct service *v, const struct settings *s, const char *version, struct err *e)
{
	char agent[64];
	const struct net_client_options options = {
		.env = &env_real,
		.policy = s->net_policy,
		.ca_file = s->net_ca_file,
		.user_agent = agent,
		.calls_max = (unsigned)s->webhooks_requests,
	};

	struct net_client_options imports = options;

	snprintf(agent, sizeof(agent), "filemill/%s", version);
	imports.calls_max = (unsigned)s->imports_at_once;
	int rc = net_client_new(&v->client, &options, e);
	return rc == 0 && s->imports_at_once > 0 ? net_client_new(&v->imports, &imports, e) : rc;
}

/* Callers without credentials are taken as long as there is no account, but only those of this machine. */
static int check_callers(const struct settings *s, uint64_t accounts, struct err *e)
{
	struct listen_address address;
	int rc = listen_parse(&address, s->listen, e);

	if (rc != 0 || s->anonymous || accounts > 0)
		return rc;
	if (!address.loopback)
		return err_set(
			e, ERR_BAD_CONFIG,
			"there are no accounts, and %.60s is no loopback address: everybody who reaches it could store and read files. "
			"Make an account with filemill admin user add EMAIL, or set auth.anonymous to true if that is meant",
			s->listen);
	log_event(LOG_INFO, "no_accounts", LF_CSTR("first_account", "filemill admin user add EMAIL"));
	return 0;
}

/* At once, for nothing that was acknowledged depends on an orderly end, and that would still write. */
static void end_unfit(const struct err *e)
{
	log_event(LOG_ERROR, "ended", LF_CSTR("code", err_info(e->code)->name), LF_CSTR("detail", e->detail), LF_INT("status", 1));
	process_end_now();
}

static int open_engine(struct service *v, const struct settings *s, const struct share *share, bool outbox, struct err *e)
{
	const struct catalog_options options = {
		.outbox = outbox,
		.queue_max = (uint64_t)s->queue_max,
		.owner_queue_max = (uint64_t)s->owner_queue_max,
		.owner_files_max = (uint64_t)s->owner_files_max,
		.owner_bytes_max = s->owner_bytes_max,
		.results_keep_ms = s->results_keep_ms,
		.enter = gate_enter,
		.leave = gate_leave,
		.gate = &v->gate,
	};
	struct engine_config config = {
		.inline_max = s->inline_max,
		.file_max = s->file_max,
		.free_reserve = s->free_reserve,
		.space_fd = v->data.fd,
		.io_threads = (unsigned)s->io_threads,
		.job_threads = (unsigned)s->job_threads,
		.owner_concurrency = (uint64_t)s->owner_concurrency,
		.uploads_max = share->uploads,
		.ops = s->ops,
		.runner = v->runner,
		.default_ops = s->default_ops,
		.lease_ms = s->lease_ms,
		.beat_ms = s->beat_ms,
		.reclaim_ms = s->reclaim_ms,
		.host = v->host,
		.labels = s->node_labels,
		.home = v->data.id,
		.home_alone = v->data.alone,
		.scrub_rate = s->scrub_rate,
		.scrub_every_ms = s->scrub_every_ms,
		.sweep_every_ms = s->sweep_every_ms,
		.idempotency_ms = s->idempotency_ms,
		.tombstone_ms = s->tombstone_ms,
		.files_keep_ms = s->files_keep_ms,
		.events_readers = (unsigned)s->events_readers,
		.events_heartbeat_ms = s->events_heartbeat_ms,
		.recurring = s->recurring,
		.n_recurring = s->n_recurring,
		.webhooks = {.client = v->client,
			     .targets = &s->net_policy,
			     .per_owner = (unsigned)s->webhooks_per_owner,
			     .under_way = (unsigned)s->webhooks_requests,
			     .per_endpoint = (unsigned)s->webhooks_per_receiver,
			     .timeout_ms = s->webhooks_timeout_ms,
			     .retry_ms = s->webhooks_retry_ms,
			     .n_retry = s->webhooks_attempts,
			     .give_up_ms = s->webhooks_give_up_ms,
			     .keep_ms = s->webhooks_keep_ms},
		.imports = {.client = v->imports,
			    .targets = &s->net_policy,
			    .at_once = (unsigned)s->imports_at_once,
			    .timeout_ms = s->imports_timeout_ms,
			    .rate_min = (unsigned)s->imports_min_rate,
			    .rate_grace_s = (unsigned)((s->imports_stall_ms + 999) / 1000),
			    .s3 = v->s3,
			    .n_s3 = s->n_s3},
		.people = {.threads = (unsigned)s->auth_threads,
			   .session_idle_ms = s->session_idle_ms,
			   .session_max_ms = s->session_max_ms},
		.in_bucket = s->storage_bucket[0] != '\0',
		.blobs_held = hold_stands,
		.blobs_held_arg = &v->hold,
		.audit_fd = v->data.audit_fd,
		.audit_file_max = s->audit_file_size,
		.audit_uploads = s->audit_uploads,
		.audit_elsewhere = catalogue_is_shared(s),
		.unfit = end_unfit,
		.outbox = outbox && !v->works_only ? hash_log_deliver : NULL,
		.outbox_arg = (void *)(uintptr_t)s->hash_tasks_log_file,
	};
	struct catalog *catalog = NULL;
	struct blobs *blobs = NULL;
	int rc;

	if ((rc = gate_open(&v->gate, v->data.fd, e)) != 0)
		return rc;
	if ((rc = catalogue_open(&catalog, s, &options, e)) != 0)
		return rc;
	v->hold = (struct hold){.data = &v->data, .gate = &v->gate, .catalog = catalog, .limit_ms = s->backup_hold_ms};
	rc = data_dir_complete(&v->data, e);
	if (rc == 0 && !v->works_only)
		rc = check_callers(s, catalog_account_count(catalog), e);
	if (rc == 0)
		rc = store_open_for(&blobs, s, &v->data, catalog, &config.bucket_new, e);
	if (rc == 0)
		rc = engine_new(&v->engine, &config, &env_real, catalog, blobs, e);
	if (rc == 0)
		return engine_start(v->engine, e);
	blobs_free(blobs);
	catalog_free(catalog);
	return rc;
}

static int open_http(struct service *v, const struct settings *s, const char *listen, const struct share *share,
		     const struct routes *routes, struct err *e)
{
	struct listen_address address;
	int rc = listen_parse(&address, listen, e);

	if (rc != 0)
		return rc;
	const struct http_config config = {
		.address = address.address,
		.port = address.port,
		.threads = (unsigned)s->http_threads,
		.connections = share->connections,
		.connections_per_address = (unsigned)s->connections_per_address,
		.json_max = s->json_max,
		.header_timeout_ms = s->header_timeout_ms,
		.idle_timeout_ms = s->idle_timeout_ms,
		.body_grace_ms = s->body_grace_ms,
		.body_min_rate = s->body_min_rate,
		.tables = routes->tables,
		.app = &v->front,
		.hosts = s->http_hosts.items,
		.n_hosts = s->http_hosts.n,
		.proxies = s->http_proxies,
		.n_proxies = s->n_http_proxies,
		.forwarded = (enum http_forwarded)s->http_forwarded,
		.cors_origins = s->cors_origins.items,
		.n_cors_origins = s->cors_origins.n,
		.cors_max_age_s = s->cors_max_age_ms / 1000,
		.hsts_s = s->hsts_ms / 1000,
		.arrive = front_arrive,
		.admit = front_admit,
		.access_log = s->log_access ? log_access : NULL,
	};
	rc = http_server_start(&v->http, &config, &v->port, e);
	return rc == 0 ? 0 : err_wrap(e, "listening on %.60s", listen);
}

static int open_limits(struct service *v, const struct settings *s, struct err *e)
{
	const struct limits_config config = {
		.address = s->limits_address,
		.account = s->limits_account,
		.key = s->limits_key,
		.pings = s->limits_pings,
		.uploads_an_address = (uint32_t)s->uploads_an_address,
		.uploads_an_account = (uint32_t)s->uploads_an_account,
		.exempt = s->limits_exempt,
		.n_exempt = s->n_limits_exempt,
	};
	int rc = limits_new(&v->limits, &config, &env_real, e);

	v->front.limits = v->limits;
	return rc == 0 ? limits_share(v->limits, v->engine, e) : rc;
}

static void tell_seal(const struct seal_report *report, bool commands)
{
	char enforced[200] = "", missing[200] = "";

	for (unsigned f = 0; f < SEAL_FEATURES; f++) {
		if (f == SEAL_NAMESPACES && !commands)
			continue; /* nobody asked for them */
		char *list = report->enforced & 1u << f ? enforced : missing;
		size_t at = strlen(list);
		snprintf(list + at, sizeof(enforced) - at, "%s%s", at > 0 ? " " : "", seal_feature_name((enum seal_feature)f));
	}
	log_event(LOG_INFO, "sealed_runner", LF_CSTR("enforced", enforced), LF_CSTR("missing", missing),
		  LF_INT("landlock_abi", report->landlock_abi));
}

/* What strangers' bytes are decoded in. It starts while this process has no thread, no secret and no open file that it could inherit. */
static int open_runner(struct service *v, const struct settings *s, struct err *e)
{
	const struct runner_config config = {
		.path = s->runner_path[0] != '\0' ? s->runner_path : NULL,
		.limits = {.memory = s->runner_memory,
			   .cpu_s = (s->runner_cpu_ms + 999) / 1000,
			   .wall_ms = s->runner_wall_ms,
			   .output_max = s->runner_output_max,
			   .pixels_max = (uint64_t)s->runner_pixels_max},
		.children_max = (unsigned)s->job_threads,
		.may_lack = s->runner_may_lack,
		.commands = s->commands.len > 0,
	};
	int rc = runner_start(&v->runner, &config, e);

	if (rc != 0)
		return err_wrap(e, "sealed runner");
	tell_seal(runner_report(v->runner), config.commands);
	return 0;
}

/* The sources of imports; storage-sync's leaves a copy of what came in the mirror, also of what was asked for in an earlier life that served it. */
static int open_sources(struct service *v, const struct settings *s, struct err *e)
{
	memcpy(v->s3, s->s3, sizeof(v->s3));
	if (s->storage_sync_bucket[0] == '\0')
		return 0;
	int rc = mirror_open(&v->mirror, s->storage_sync_mirror_dir, e);
	if (rc != 0)
		return err_wrap(e, "surfaces.storage_sync.mirror_dir");
	if (mirror_holds(&v->mirror, v->data.fd))
		return err_set(e, ERR_BAD_CONFIG,
			       "surfaces.storage_sync.mirror_dir: the data directory lies in it, where a copy could take a file's place");
	for (size_t i = 0; i < s->n_s3; i++)
		if (strcmp(v->s3[i].name, STORAGE_SYNC_SOURCE) == 0) {
			v->s3[i].came = mirror_keep;
			v->s3[i].came_arg = &v->mirror;
		}
	return 0;
}

static int open_sync(struct service *v, const struct settings *s, struct err *e)
{
	uint8_t seed[16];

	if (s->storage_sync_bucket[0] == '\0' || s->storage_sync_secret[0] == '\0')
		log_event(LOG_WARN, "storage_sync_not_set_up", LF_CSTR("needs", "surfaces.storage_sync.secret and source"));
	for (size_t i = 0; i < sizeof(seed); i += sizeof(uint64_t)) {
		uint64_t bits = env_real.random(&env_real);
		memcpy(seed + i, &bits, sizeof(bits));
	}
	return limiter_new(&v->sync_rate, s->storage_sync_rate, LIMITS_ADDRESSES, seed, e);
}

/* What a node that only works answers to those who watch it. */
static const struct routes watched = {.tables = {api_node_routes}};

static int open_service(struct service *v, const struct settings *s, const struct routes *routes, const char *version, struct err *e)
{
	if (process_descriptors_max() < DESCRIPTORS_MIN)
		return err_set(
			e, ERR_BAD_CONFIG,
			"only %u descriptors may be open, and %d are needed at least: raise the hard limit (ulimit -n, LimitNOFILE=)",
			process_descriptors_max(), DESCRIPTORS_MIN);
	int started = open_runner(v, s, e);

	if (started != 0)
		return started;
	struct share share = share_descriptors(s);
	bool outbox = routes->hash_tasks && s->hash_tasks_log_file[0] != '\0';
	int rc = open_client(v, s, version, e);

	if (rc != 0)
		return rc;
	const struct data_dir_options data = {.allow_network_fs = s->allow_network_fs, .catalogue_elsewhere = catalogue_is_shared(s)};
	rc = data_dir_open(&v->data, s->data_dir, &data, &env_real, e);
	if (rc == 0 && !v->works_only)
		rc = data_dir_open_audit(&v->data, e);
	if (rc != 0)
		return err_wrap(e, "data directory %.100s", s->data_dir);
	rc = open_sources(v, s, e);
	if (rc == 0 && routes->storage_sync && !v->works_only)
		rc = open_sync(v, s, e);
	if (rc != 0)
		return rc;
	rc = open_engine(v, s, &share, outbox, e);
	if (rc != 0)
		return err_wrap(e, "data directory %.100s", s->data_dir);
	front_init(&v->front, v->engine, s->file_max, version);
	watchers_init(&v->watchers);
	v->front.watchers = &v->watchers;
	v->has_front = true;
	v->front.anonymous = s->anonymous;
	snprintf(v->image_stages_ops, sizeof(v->image_stages_ops), "resize;width=%u;height=%u;fit=inside;format=jpeg",
		 s->image_stages_width, s->image_stages_height);
	v->surfaces = (struct surface_options){.image_stages_ops = v->image_stages_ops,
					       .sync = {.secret = s->storage_sync_secret,
							.source = STORAGE_SYNC_SOURCE,
							.bucket = s->storage_sync_bucket,
							.rate = v->sync_rate,
							.rate_status = (int)s->storage_sync_rate_status,
							.mirror = &v->mirror}};
	v->front.surfaces = &v->surfaces;
	v->front.links_base_url = s->links_base_url;
	rc = open_limits(v, s, e);
	if (v->works_only)
		return rc == 0 && s->node_listen[0] != '\0' ? open_http(v, s, s->node_listen, &share, &watched, e) : rc;
	return rc == 0 ? open_http(v, s, s->listen, &share, routes, e) : rc;
}

/* Also for what was opened in part. */
static void close_service(struct service *v)
{
	atomic_store(&v->stop.part, "connections");
	http_server_free(v->http); /* closes what is still open: uploads under way are cancelled */
	atomic_store(&v->stop.part, "engine");
	if (v->engine != NULL)
		engine_stop(v->engine, JOBS_GRACE_MS);
	atomic_store(&v->stop.part, "catalogue");
	engine_free(v->engine);
	atomic_store(&v->stop.part, "clients");
	net_client_free(v->client);
	net_client_free(v->imports);
	if (v->has_front) {
		front_release(&v->front);
		watchers_release(&v->watchers);
	}
	limits_free(v->limits);
	limiter_free(v->sync_rate);
	mirror_close(&v->mirror);
	gate_release(&v->gate);
	data_dir_close(&v->data);
	atomic_store(&v->stop.part, "runner");
	runner_free(v->runner);
}

/* That it began, with what, and where the audit log stood: whoever keeps this line can tell later whether the log was cut. */
static void note_start(struct service *v, const struct settings *s)
{
	struct audit_mark head = engine_audit_head(v->engine);
	char settings[65], hash[65];
	struct err e = ERR_INIT;

	hex_encode(hash, head.hash, sizeof(head.hash));
	log_event(LOG_INFO, "audit_log", LF_INT("line", head.seq), LF_CSTR("hash", hash));
	int rc = settings_digest(s, settings, &e);
	if (rc == 0)
		rc = engine_audit_act(v->engine, AUDIT_SERVER_STARTED, NULL, &e, LF_CSTR("version", v->front.version),
				      LF_CSTR("settings", settings));
	if (rc != 0)
		log_err(LOG_WARN, "audit_entry_lost", &e);
}

static void announce(struct service *v, const char *listen)
{
	struct listen_address address;
	struct err e = ERR_INIT;
	char id[UUID_TEXT_LEN + 1];

	if (listen[0] == '\0') {
		log_event(LOG_INFO, "ready", LF_CSTR("host", v->host), LF_CSTR("version", v->front.version));
		puts("filemill ready");
		fflush(stdout);
		notify_manager("READY=1");
		return;
	}
	if (listen_parse(&address, listen, &e) != 0)
		return;
	uuid_format(id, v->data.id);
	log_event(LOG_INFO, "ready", LF_CSTR("address", address.address), LF_INT("port", v->port), LF_CSTR("data_id", id),
		  LF_CSTR("version", v->front.version));
	printf(address.ipv6 ? "filemill ready http://[%s]:%u\n" : "filemill ready http://%s:%u\n", address.address, (unsigned)v->port);
	fflush(stdout);
	notify_manager("READY=1");
}

static void stop_gently(struct service *v)
{
	front_stop(&v->front);
	engine_quiesce(v->engine);
	bool uploads = front_wait_uploads(&v->front, UPLOADS_GRACE_MS);
	atomic_store(&v->stop.part, "requests");
	bool answered = http_server_drain(v->http, DRAIN_GRACE_MS);
	log_event(LOG_INFO, "stopping", LF_BOOL("uploads_ended", uploads), LF_BOOL("all_answered", answered));
	if (!uploads || !answered)
		engine_hurry(v->engine); /* a reply that is owed may wait for a bucket */
	if (!http_server_end(v->http, OWED_GRACE_MS)) {
		log_event(LOG_ERROR, "stopped_stuck", LF_INT("status", 1));
		process_end_now();
	}
}

/* How others call this machine. */
static void name_host(struct service *v)
{
	if (gethostname(v->host, sizeof(v->host) - 1) != 0)
		v->host[0] = '\0';
}

int serve(const struct settings *settings, const struct routes *routes, const char *version, struct err *e)
{
	struct service v = {.data = DATA_DIR_INIT, .gate = GATE_INIT, .mirror = MIRROR_INIT, .stop = {.part = "uploads"}};
	int rc;

	name_host(&v);
	rc = open_service(&v, settings, routes, version, e);
	if (rc == 0) {
		note_start(&v, settings);
		announce(&v, settings->listen);
		int number = process_wait_stop();
		process_stop_hard(&v.stop);
		log_event(LOG_INFO, "signal", LF_INT("number", number));
		notify_manager("STOPPING=1");
		stop_gently(&v);
	}
	close_service(&v);
	process_stop_over(&v.stop);
	if (rc == 0)
		log_event(LOG_INFO, "stopped", LF_INT("status", 0));
	return rc;
}

/* What runs may end by itself for a while; a second signal gives it back at once. */
static void drain(struct service *v, const struct settings *s)
{
	int64_t until = env_real.mono_ms(&env_real) + s->node_drain_ms;

	engine_rest(v->engine);
	while (!engine_idle(v->engine, DRAIN_LOOK_MS) && env_real.mono_ms(&env_real) < until && !process_stop_asked())
		;
	log_event(LOG_INFO, "drained", LF_BOOL("idle", engine_idle(v->engine, 0)));
}

int work_only(const struct settings *settings, const struct routes *routes, const char *version, struct err *e)
{
	struct service v = {
		.works_only = true, .data = DATA_DIR_INIT, .gate = GATE_INIT, .mirror = MIRROR_INIT, .stop = {.part = "connections"}};
	int rc;

	if (!catalogue_is_shared(settings))
		return err_set(
			e, ERR_BAD_CONFIG,
			"filemill work joins the nodes of a catalogue that is shared, and catalog.url names none; filemill serve does the work of one machine by itself");
	name_host(&v);
	rc = open_service(&v, settings, routes, version, e);
	if (rc == 0) {
		announce(&v, settings->node_listen);
		int number = process_wait_stop();
		log_event(LOG_INFO, "signal", LF_INT("number", number));
		notify_manager("STOPPING=1");
		front_stop(&v.front); /* readiness is false from here on */
		drain(&v, settings);
		process_stop_hard(&v.stop);
	}
	close_service(&v);
	process_stop_over(&v.stop);
	if (rc == 0)
		log_event(LOG_INFO, "stopped", LF_INT("status", 0));
	return rc;
}
