#include "app/doctor.h"
#include "app/catalogue.h"
#include "app/data_dir.h"
#include "base/fd.h"
#include "base/json_out.h"
#include "blobs/s3/s3.h"
#include "catalog/catalog.h"
#include "cli/recurring.h"
#include "cli/storage.h"
#include "rt/env.h"
#include "runner/runner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#define FINDINGS_MAX (32 + RECURRING_MAX)
#define TIMES_SHOWN 3
#define ABOVE_ABI_1 (1u << SEAL_LANDLOCK_TCP | 1u << SEAL_LANDLOCK_SCOPE) /* what seccomp refuses anyway */

/* GOOD and NOTE say that nothing has to be done, MISSING that something is not there and may be missing, BAD that it must not. */
enum verdict { GOOD, NOTE, MISSING, BAD };

struct finding_row {
	const char *part, *name; /* static */
	enum verdict verdict;
	char detail[256];
};

struct findings {
	struct finding_row rows[FINDINGS_MAX];
	size_t n;
};

ATTR_PRINTF(5, 6)
static void found(struct findings *f, const char *part, const char *name, enum verdict verdict, const char *fmt, ...)
{
	struct finding_row *row = &f->rows[f->n];
	va_list args;

	if (f->n == FINDINGS_MAX)
		return;
	f->n++;
	*row = (struct finding_row){.part = part, .name = name, .verdict = verdict};
	va_start(args, fmt);
	vsnprintf(row->detail, sizeof(row->detail), fmt, args);
	va_end(args);
}

/* ---- the machine ---- */

static void look_at_machine(struct findings *f, const char *version)
{
	struct utsname u;

	found(f, "program", "version", NOTE, "filemill %s", version);
	if (uname(&u) == 0)
		found(f, "program", "kernel", NOTE, "%.60s %.100s %.60s", u.sysname, u.release, u.machine);
	if (geteuid() == 0)
		found(f, "program", "user", NOTE, "root: filemill needs none of its rights; a user of its own is better");
	else
		found(f, "program", "user", NOTE, "user id %u", (unsigned)geteuid());
}

/* ---- the seal ---- */

static void judge_feature(struct findings *f, enum seal_feature feature, const struct seal_report *report, unsigned may_lack)
{
	const char *name = seal_feature_name(feature), *help = seal_feature_help(feature);

	if (report->enforced & 1u << feature)
		found(f, "seal", name, GOOD, "%s", help);
	else
		found(f, "seal", name, may_lack & 1u << feature ? MISSING : BAD, "%s (%s)", help, strerror(report->errors[feature]));
}

/* Everything may be missing for the moment of the report: what must not is judged here, all of it and not the first alone. */
static void look_at_seal(struct findings *f, const struct settings *s)
{
	const struct runner_config config = {
		.path = s->runner_path[0] != '\0' ? s->runner_path : NULL,
		.limits = {.memory = s->runner_memory,
			   .cpu_s = s->runner_cpu_ms / 1000,
			   .wall_ms = s->runner_wall_ms,
			   .output_max = s->runner_output_max,
			   .pixels_max = (uint64_t)s->runner_pixels_max},
		.children_max = 1,
		.may_lack = (1u << SEAL_FEATURES) - 1,
		.commands = true,
	};
	unsigned may_lack = s->runner_may_lack | ABOVE_ABI_1 | (s->commands.len == 0 ? 1u << SEAL_NAMESPACES : 0);
	struct runner *runner;
	struct err e = ERR_INIT;
	int rc = runner_start(&runner, &config, &e);

	if (rc != 0) {
		found(f, "seal", "runner", BAD, "%s", e.detail[0] != '\0' ? e.detail : err_info(rc)->title);
		return;
	}
	const struct seal_report *report = runner_report(runner);
	found(f, "seal", "runner", GOOD, "filemill-runner starts and reports");
	for (unsigned i = 0; i < SEAL_FEATURES; i++)
		judge_feature(f, (enum seal_feature)i, report, may_lack);
	found(f, "seal", "landlock_abi", NOTE, "%d", report->landlock_abi);
	runner_free(runner);
}

/* ---- the data directory ---- */

static const char *local_fs_name(long type)
{
	static const struct {
		unsigned long type;
		const char *name;
	} known[] = {{0xef53, "ext4"},      {0x58465342, "XFS"},     {0x9123683e, "Btrfs"}, {0x2fc12fc1, "ZFS"},
		     {0x01021994, "tmpfs"}, {0x794c7630, "overlay"}, {0xf2f52010, "F2FS"}};

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (((unsigned long)type & 0xffffffff) == known[i].type)
			return known[i].name;
	return "a local file system";
}

static void judge_fs(struct findings *f, int fd, const struct settings *s)
{
	struct statfs st;

	if (fstatfs(fd, &st) != 0) {
		found(f, "data", "file_system", BAD, "%s", strerror(errno));
		return;
	}
	const char *network = network_fs_name((long)st.f_type);
	if (network != NULL)
		found(f, "data", "file_system", s->allow_network_fs ? MISSING : BAD,
		      "%s: locks and flushes may not hold there, so a crash could lose what was acknowledged", network);
	else if (st.f_type == 0x01021994)
		found(f, "data", "file_system", NOTE, "tmpfs: everything goes with the next restart of the machine");
	else
		found(f, "data", "file_system", GOOD, "%s", local_fs_name((long)st.f_type));
}

static void judge_space(struct findings *f, int fd, uint64_t reserve)
{
	struct statvfs st;

	if (fstatvfs(fd, &st) != 0) {
		found(f, "data", "free_space", BAD, "%s", strerror(errno));
		return;
	}
	uint64_t mib = (uint64_t)st.f_bavail * st.f_frsize >> 20;
	if (mib < reserve >> 20)
		found(f, "data", "free_space", BAD, "%llu MiB, less than the %llu MiB of files.free_reserve: uploads will be refused",
		      (unsigned long long)mib, (unsigned long long)(reserve >> 20));
	else
		found(f, "data", "free_space", GOOD, "%llu MiB", (unsigned long long)mib);
}

/* The directory, or while it is not there yet the one it will be made in. */
static int open_there(struct findings *f, const char *path)
{
	char parent[4096];
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0 || errno != ENOENT) {
		found(f, "data", "directory", fd >= 0 ? GOOD : BAD, "%s", fd >= 0 ? "is there" : strerror(errno));
		return fd;
	}
	size_t n = strlen(path);
	while (n > 1 && path[n - 1] == '/')
		n--;
	while (n > 0 && path[n - 1] != '/')
		n--;
	if (n >= sizeof(parent))
		return -1;
	snprintf(parent, sizeof(parent), "%.*s", n > 0 ? (int)n : 1, n > 0 ? path : ".");
	fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	found(f, "data", "directory", fd >= 0 ? NOTE : BAD, "%s",
	      fd >= 0 ? "is not there yet: the first start makes it" : "neither it nor the directory it lies in is there");
	return fd;
}

static void look_at_data(struct findings *f, const struct settings *s)
{
	CLEANUP(fd_close) int fd = open_there(f, s->data_dir);

	if (fd < 0)
		return;
	if (faccessat(fd, ".", W_OK | X_OK, AT_EACCESS) == 0)
		found(f, "data", "writable", GOOD, "yes");
	else
		found(f, "data", "writable", BAD, "%s", strerror(errno));
	judge_fs(f, fd, s);
	judge_space(f, fd, s->free_reserve);
}

/* ---- the catalogue ---- */

static void look_at_catalogue(struct findings *f, const struct settings *s)
{
	struct catalog_look look;
	struct err e = ERR_INIT;
	char path[4096];

	/* The data directory may not be there yet, or be another user's. */
	int n = snprintf(path, sizeof(path), "%s/catalog.db", s->data_dir);
	if (!catalogue_is_shared(s) && (n < 0 || (size_t)n >= sizeof(path) || access(path, F_OK) != 0)) {
		found(f, "catalogue", "schema", NOTE, "there is no catalogue yet: the first start makes it");
		return;
	}
	if (catalogue_look(s, &look, &e) != 0) {
		found(f, "catalogue", "database", BAD, "%s", e.detail);
		return;
	}
	found(f, "catalogue", "database", GOOD, "%s", look.server);
	if (look.schema > look.latest)
		found(f, "catalogue", "schema", GOOD, "%lld, beside which this program of %lld may go on", (long long)look.schema,
		      (long long)look.latest);
	else if (look.schema == look.latest)
		found(f, "catalogue", "schema", GOOD, "%lld", (long long)look.schema);
	else if (look.schema == 0)
		found(f, "catalogue", "schema", NOTE, "there is no catalogue yet: the first start makes it");
	else
		found(f, "catalogue", "schema", NOTE, "%lld of %lld: the next start, or filemill migrate, brings it forward",
		      (long long)look.schema, (long long)look.latest);
}

/* ---- the object storage ---- */

static int count_line(void *arg, struct str name, uint64_t size)
{
	int64_t word;

	(void)size;
	*(unsigned *)arg += blob_line_parse(&word, name);
	return 0;
}

/* Each catalogue has a word there; for a moment, while it takes a new one, two. */
static void look_for_others(struct findings *f, struct blobs *b)
{
	struct err e = ERR_INIT;
	unsigned n = 0;

	if (blobs_visit_some(b, STR(BLOB_LINE_SHARD), count_line, &n, &e) != 0)
		found(f, "storage", "catalogues", BAD, "%s", e.detail);
	else if (n > 1)
		found(f, "storage", "catalogues", BAD,
		      "%u use this bucket and prefix, so none of them removes bytes: stop all but one, and then filemill admin storage sole",
		      n);
	else
		found(f, "storage", "catalogues", GOOD, n == 1 ? "one uses this bucket and prefix" : "none has used it yet");
}

static void look_at_storage(struct findings *f, const struct settings *s)
{
	struct err e = ERR_INIT;
	struct s3_options o;
	struct blobs *b;

	if (s->storage_bucket[0] == '\0')
		return;
	storage_s3_options(&o, s);
	found(f, "storage", "place", NOTE, "s3://%.60s/%.60s at %.100s", s->storage_bucket, s->storage_prefix, s->storage_endpoint);
	int rc = blobs_s3_new(&b, &o, &e);
	if (rc != 0) {
		found(f, "storage", "writable", BAD, "%s", e.detail);
		return;
	}
	rc = blobs_probe(b, &e);
	if (rc == 0)
		found(f, "storage", "writable", GOOD, "an object was written and removed");
	else
		found(f, "storage", "writable", BAD, "%s", e.detail);
	if (rc == 0)
		look_for_others(f, b);
	blobs_free(b);
}

/* ---- recurring jobs ---- */

static void look_at_recurring(struct findings *f, const struct settings *s)
{
	int64_t now = env_real.wall_ms(&env_real);

	for (size_t i = 0; i < s->n_recurring; i++) {
		CLEANUP(buf_release) struct buf b = BUF_INIT;

		buf_addf(&b, "%s: ", s->recurring[i].schedule);
		recurring_times(&b, &s->recurring[i], now, TIMES_SHOWN);
		if (buf_ok(&b))
			found(f, "recurring", s->recurring[i].name, NOTE, "%.*s", STR_FMT(buf_str(&b)));
	}
}

/* ---- telling ---- */

static const char *const words[] = {[GOOD] = "ok", [NOTE] = "note", [MISSING] = "missing", [BAD] = "failed"};

static bool all_holds(const struct findings *f)
{
	for (size_t i = 0; i < f->n; i++)
		if (f->rows[i].verdict == BAD)
			return false;
	return true;
}

static void write_text(struct buf *out, const struct findings *f)
{
	for (size_t i = 0; i < f->n; i++) {
		const struct finding_row *row = &f->rows[i];
		if (i == 0 || strcmp(row->part, f->rows[i - 1].part) != 0)
			buf_addf(out, "%s%s\n", i == 0 ? "" : "\n", row->part);
		buf_addf(out, "  %-8s %-15s %s\n", words[row->verdict], row->name, row->detail);
	}
	buf_add_cstr(out, all_holds(f) ? "\nAll that is required holds.\n"
				       : "\nWhat is marked failed is required: filemill will not start, or not work as it should.\n");
}

static void write_json(struct buf *out, const struct findings *f)
{
	struct json_out j = json_out(out);

	json_obj_open(&j);
	json_kbool(&j, "ok", all_holds(f));
	json_key(&j, "findings");
	json_arr_open(&j);
	for (size_t i = 0; i < f->n; i++) {
		json_obj_open(&j);
		json_kcstr(&j, "part", f->rows[i].part);
		json_kcstr(&j, "name", f->rows[i].name);
		json_kcstr(&j, "verdict", words[f->rows[i].verdict]);
		json_kcstr(&j, "detail", f->rows[i].detail);
		json_obj_close(&j);
	}
	json_arr_close(&j);
	json_obj_close(&j);
	buf_add_char(out, '\n');
}

bool doctor(struct buf *out, const struct settings *s, const char *version, bool json)
{
	struct findings f = {};

	look_at_machine(&f, version);
	look_at_seal(&f, s);
	look_at_data(&f, s);
	look_at_catalogue(&f, s);
	look_at_storage(&f, s);
	look_at_recurring(&f, s);
	(json ? write_json : write_text)(out, &f);
	return all_holds(&f);
}
