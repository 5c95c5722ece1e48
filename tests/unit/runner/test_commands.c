/* Commands through the genuine runner: what they get, what they give, and everything a hostile one tries (attacks.py). Run four times:
 *
 *	self        as whoever runs the tests
 *	nobody      as an ordinary user, in a user namespace
 *	alone       as an ordinary user who gets no namespaces: what is weaker then is left out here, and stands in docs/operations.md
 *	container   as root without CAP_SYS_ADMIN, who gets none either
 *
 * Afterwards nobody is left who carries the test's mark on his command line. */
#include "base/arena.h"
#include "base/fd.h"
#include "base/json_out.h"
#include "rt/json_in.h"
#include "sealed_world.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define PYTHON "/usr/bin/python3"
#define NOBODY 65534

static const char *program;
static char *attacks; /* the text of attacks.py */
static bool alone; /* no namespaces */

/* ---- one command ---- */

struct ran {
	struct world w;
	struct op_command command; /* limits; argv is filled in */
	struct op op;
	struct arena strings;
	struct str input;
	int input_fd; /* -1: `input` travels in memory */
	bool no_output;
	/* out */
	int code;
	struct err err;
	struct buf output;
	json_t *result;
};

static void begin(struct ran *r)
{
	struct runner_config config = {.limits = world_limits, .children_max = 4, .commands = true};

	*r = (struct ran){.input = STR(""), .input_fd = -1, .output = BUF_INIT};
	config.limits.wall_ms = 60000; /* for machines with much else to do */
	if (alone)
		config.may_lack = 1u << SEAL_NAMESPACES;
	world_begin(&r->w, program, &config);
}

static void forget(struct ran *r)
{
	json_decref(r->result);
	r->result = NULL;
	buf_release(&r->output);
	arena_release(&r->strings);
	r->strings = ARENA_INIT;
}

static void end(struct ran *r)
{
	forget(r);
	world_end(&r->w);
}

/* Braces mean parameters in a template; doubled they are themselves. */
static const char *as_template(struct ran *r, const char *word)
{
	struct buf b = BUF_INIT;
	const char *kept;

	for (; *word; word++) {
		buf_add_char(&b, *word);
		if (*word == '{' || *word == '}')
			buf_add_char(&b, *word);
	}
	kept = arena_strndup(&r->strings, b.len > 0 ? b.p : "", b.len);
	buf_release(&b);
	assert_non_null(kept);
	return kept;
}

static void run(struct ran *r, const char *const *words)
{
	size_t n = 0;
	struct runner_job job;

	forget(r);
	for (; words[n]; n++)
		r->command.argv[n] = as_template(r, words[n]);
	r->command.argv[n] = NULL;
	r->op = (struct op){.name = "command",
			    .version = 1,
			    .summary = "for tests",
			    .kind = OP_COMMAND,
			    .output = !r->no_output,
			    .command = &r->command};
	job = r->input_fd >= 0 ? world_job_of_file(&r->op, r->input_fd, r->input) : world_job(&r->op, r->input);
	if (!r->no_output) {
		job.output = world_take_output;
		job.output_arg = &r->output;
	}
	runner_run(r->w.runner, &job, 1, NULL);
	r->code = job.code;
	r->err = job.err;
	if (job.result.len > 0)
		assert_int_equal(json_read(&r->result, buf_str(&job.result), NULL), 0);
	buf_release(&job.result);
}

#define RUN(r, ...) run(r, (const char *const[]){__VA_ARGS__, NULL})

static const char *stderr_of(const struct ran *r)
{
	const char *text = json_string_value(json_object_get(r->result, "stderr"));

	return text ? text : "";
}

static int number_of(const struct ran *r, const char *name)
{
	json_t *value = json_object_get(r->result, name);

	return json_is_integer(value) ? (int)json_integer_value(value) : -1;
}

static void check_code(const struct ran *r, int code)
{
	if (r->code != code)
		fail_msg("%s and not %s: %s; %s", err_info(r->code)->name, code ? err_info(code)->name : "success", r->err.detail,
			 stderr_of(r));
}

/* ---- an attack ---- */

static const char *mark(void)
{
	static char text[48];

	snprintf(text, sizeof(text), "filemill-attack-%d", (int)getpid());
	return text;
}

static unsigned count_marked(void)
{
	DIR *d = opendir("/proc");
	unsigned n = 0;

	assert_non_null(d);
	for (struct dirent *i = readdir(d); i; i = readdir(d)) {
		char path[300];
		static char text[64 << 10];
		ssize_t got;

		if (atoi(i->d_name) <= 0 || atoi(i->d_name) == getpid())
			continue;
		snprintf(path, sizeof(path), "/proc/%s/cmdline", i->d_name);
		CLEANUP(fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
		got = fd < 0 ? 0 : fd_pread_full(fd, text, sizeof(text), 0);
		n += got > 0 && memmem(text, (size_t)got, mark(), strlen(mark())) != NULL;
	}
	closedir(d);
	return n;
}

/* The supervisor behind the outer process, and the kernel too, need a moment to end the others. Who is born while /proc is read may be missed: nobody is there when two looks in a row
 * see nobody. */
static void check_nobody_left(void)
{
	const struct timespec moment = {.tv_nsec = 10000000};
	unsigned looks = 0;

	for (int i = 0; i < 3000 && looks < 2; i++) {
		looks = count_marked() == 0 ? looks + 1 : 0;
		nanosleep(&moment, NULL);
	}
	assert_int_equal(looks, 2);
}

#define ATTACK(r, ...) run(r, (const char *const[]){PYTHON, "-c", attacks, mark(), __VA_ARGS__, NULL})

/* It tried, was refused, and said so by its exit status. */
#define CHECK_REFUSED(...)                                                                                                                 \
	do {                                                                                                                               \
		struct ran r;                                                                                                              \
		begin(&r);                                                                                                                 \
		ATTACK(&r, __VA_ARGS__);                                                                                                   \
		check_code(&r, 0);                                                                                                         \
		check_nobody_left();                                                                                                       \
		end(&r);                                                                                                                   \
	} while (0)

/* ---- what a command gets and gives ---- */

static char *some_bytes(size_t n)
{
	char *p = malloc(n);

	assert_non_null(p);
	for (size_t i = 0; i < n; i++)
		p[i] = (char)(i * 31 + i / 4093);
	return p;
}

/* A stored file: only to read, and of our user. */
static int stored(char path[static 64], struct str content)
{
	int fd;

	strcpy(path, "/var/tmp/filemill-command-XXXXXX");
	fd = mkostemp(path, O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, content.p, content.len), 0);
	close(fd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static void input_is_standard_input_and_output_is_standard_output(void **state)
{
	static const size_t sizes[] = {0, 1, 65536, 5000003};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		CLEANUP(free_ptr) char *bytes = some_bytes(sizes[i]);
		CLEANUP(fd_close) int fd = -1;
		char path[64];
		struct ran r;

		begin(&r);
		r.input = (struct str){bytes, sizes[i]};
		for (int in_file = 0; in_file < 2; in_file++) {
			if (in_file)
				fd = r.input_fd = stored(path, r.input);
			RUN(&r, "/bin/cat");
			check_code(&r, 0);
			assert_int_equal(r.output.len, sizes[i]);
			assert_true(sizes[i] == 0 || memcmp(r.output.p, bytes, sizes[i]) == 0);
			assert_int_equal(number_of(&r, "exit_code"), 0);
		}
		unlink(path);
		fd_close(&fd);
		end(&r);
	}
}

static void every_word_arrives_as_it_is(void **state)
{
	static const char *const hostile[] = {"a b", "'",  "\"", "$(id)", "`id`", ";",  "|cat", "&",      "\n",
					      "-rf", "--", "",   "*",     "~",    "\\", "{}",   "ä\u202e"};
	struct buf expected = BUF_INIT;
	struct ran r;

	begin(&r);
	for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
		buf_reset(&expected);
		buf_add(&expected, hostile[i], strlen(hostile[i]) + 1);
		buf_add(&expected, "end", 4);
		RUN(&r, "/usr/bin/printf", "%s\\0%s\\0", hostile[i], "end");
		check_code(&r, 0);
		assert_int_equal(r.output.len, expected.len);
		assert_memory_equal(r.output.p, expected.p, expected.len);
	}
	buf_release(&expected);
	end(&r);
}

static void the_exit_code_and_the_last_words_are_kept(void **state)
{
	const char *text;
	struct ran r;

	begin(&r);
	ATTACK(&r, "talk_on", "10000", "3");
	check_code(&r, ERR_COMMAND_FAILED);
	assert_int_equal(number_of(&r, "exit_code"), 3);
	assert_string_equal(r.err.detail, "the command ended with status 3");
	text = stderr_of(&r);
	assert_true(utf8_valid(str_of(text)));
	/* The last 4096 bytes, of which four were no text. */
	assert_int_equal(strlen(text), 4096 + 4 * 2);
	assert_string_equal(text + strspn(text, "x"), "\ufffd\ufffd\ufffd\ufffdé last words\n");
	ATTACK(&r, "talk_on", "1", "0");
	check_code(&r, 0);
	assert_string_equal(stderr_of(&r), "first words\nx\ufffd\ufffd\ufffd\ufffdé last words\n");
	end(&r);
}

static void what_cannot_be_executed_is_told(void **state)
{
	static const struct {
		const char *path;
		int exit_code;
	} rows[] = {
		{"/usr/bin/no-such-program", 127}, {"/etc/ld.so.cache", 126}, {"/usr", 126}, {"/usr/share/../bin/no-such-program/x", 127}};
	struct ran r;

	begin(&r);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		RUN(&r, rows[i].path, "x");
		check_code(&r, ERR_COMMAND_FAILED);
		assert_int_equal(number_of(&r, "exit_code"), rows[i].exit_code);
		assert_non_null(strstr(r.err.detail, "cannot be executed"));
	}
	end(&r);
}

static void output_is_dropped_when_the_op_makes_none(void **state)
{
	struct ran r;

	begin(&r);
	r.no_output = true;
	RUN(&r, "/bin/echo", "hello");
	check_code(&r, 0);
	assert_int_equal(r.output.len, 0);
	end(&r);
}

static void damaged_input_is_never_shown_to_a_program(void **state)
{
	CLEANUP(fd_close) int fd = -1;
	char path[64];
	struct ran r;

	begin(&r);
	r.input = STR("what was stored");
	fd = r.input_fd = stored(path, STR("what was storeD"));
	RUN(&r, "/bin/cat");
	check_code(&r, ERR_DAMAGED);
	assert_int_equal(r.output.len, 0);
	unlink(path);
	fd_close(&fd);
	end(&r);
}

static void surroundings_are_empty(void **state)
{
	CHECK_REFUSED("surroundings");
}

/* ---- limits ---- */

static void a_fork_bomb_ends_with_its_time(void **state)
{
	struct ran r;

	begin(&r);
	r.command.wall_ms = 700;
	ATTACK(&r, "fork_bomb");
	check_code(&r, ERR_LIMIT_TIME);
	check_nobody_left();
	end(&r);
}

static void processes_are_counted(void **state)
{
	CHECK_REFUSED("fork_limit");
}

static void processor_time_is_limited_whatever_is_done_about_signals(void **state)
{
	static const char *const names[] = {"spin", "spin_deaf"};
	struct ran r;

	begin(&r);
	r.command.cpu_s = 1;
	for (size_t i = 0; i < 2; i++) {
		ATTACK(&r, names[i]);
		check_code(&r, ERR_LIMIT_TIME);
		assert_string_equal(r.err.detail, "the command used more processor time than allowed");
		check_nobody_left();
	}
	end(&r);
}

static void time_is_limited_whatever_is_done_about_signals(void **state)
{
	static const char *const names[] = {"sleep_for_ever", "sleep_deaf"};
	struct ran r;

	begin(&r);
	r.command.wall_ms = 400;
	for (size_t i = 0; i < 2; i++) {
		ATTACK(&r, names[i]);
		check_code(&r, ERR_LIMIT_TIME);
		check_nobody_left();
	}
	end(&r);
}

static void output_is_limited_to_the_byte(void **state)
{
	struct ran r;

	begin(&r);
	r.command.output_max = 1 << 20;
	ATTACK(&r, "write_much");
	check_code(&r, ERR_LIMIT_OUTPUT);
	assert_true(r.output.len <= 1 << 20);
	check_nobody_left();
	for (size_t size = 9; size <= 11; size++) {
		char text[12] = "abcdefghijk";

		text[size] = '\0';
		r.command.output_max = 10;
		RUN(&r, "/usr/bin/printf", "%s", text);
		check_code(&r, size <= 10 ? 0 : ERR_LIMIT_OUTPUT);
	}
	end(&r);
}

static void memory_of_one_process_is_limited(void **state)
{
	CHECK_REFUSED("allocate");
}

static void memory_of_all_processes_together_is_limited(void **state)
{
	struct ran r;

	begin(&r);
	if (alone) {
		print_message("without namespaces only one process's memory is limited\n");
	} else {
		ATTACK(&r, "allocate_together");
		check_code(&r, ERR_LIMIT_MEMORY);
		check_nobody_left();
	}
	end(&r);
}

static void files_in_tmp_are_counted(void **state)
{
	CHECK_REFUSED("make_files");
}

static void tmp_is_small(void **state)
{
	CHECK_REFUSED("fill_tmp");
}

static void a_core_is_not_dumped(void **state)
{
	struct ran r;

	begin(&r);
	ATTACK(&r, "dump_core");
	check_code(&r, ERR_COMMAND_FAILED);
	assert_int_equal(number_of(&r, "signal"), SIGABRT);
	assert_string_equal(r.err.detail, "the command was ended by signal 6 (SIGABRT)");
	end(&r);
}

/* ---- whoever stays behind, whoever is near ---- */

static void nobody_stays_behind(void **state)
{
	struct ran r;

	begin(&r);
	ATTACK(&r, "daemon");
	check_code(&r, 0);
	check_nobody_left();
	ATTACK(&r, "daemon_keeps_output");
	check_code(&r, 0);
	assert_int_equal(r.output.len, 4);
	check_nobody_left();
	end(&r);
}

static int stop_at_once(void *arg, struct err *e)
{
	return err_set(e, ERR_CANCELLED, "cancelled");
}

static void a_cancelled_command_is_gone_with_all_it_started(void **state)
{
	const struct runner_watch watch = {.may_go_on = stop_at_once};
	struct runner_job job;
	struct ran r;

	begin(&r);
	r.command = (struct op_command){.argv = {PYTHON, "-c", as_template(&r, attacks), mark(), "fork_bomb"}};
	r.op = (struct op){.name = "command", .kind = OP_COMMAND, .command = &r.command};
	job = world_job(&r.op, STR(""));
	runner_run(r.w.runner, &job, 1, &watch);
	assert_int_equal(job.code, ERR_CANCELLED);
	buf_release(&job.result);
	check_nobody_left();
	end(&r);
}

static void others_are_not_killed(void **state)
{
	char pid[16];

	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	CHECK_REFUSED("kill_process", pid);
	CHECK_REFUSED("kill_others");
}

static void there_are_three_descriptors(void **state)
{
	CHECK_REFUSED("use_descriptors");
}

static void other_processes_are_closed(void **state)
{
	CHECK_REFUSED("look_into_processes");
	CHECK_REFUSED("trace");
}

static void rights_are_not_to_be_had(void **state)
{
	CHECK_REFUSED("gain_rights");
	CHECK_REFUSED("leave_the_place");
}

/* ---- network and files ---- */

static int bound(int family, int type, const void *address, socklen_t size)
{
	int fd = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, address, size), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 8), 0);
	return fd;
}

static void nobody_outside_is_reached(void **state)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	struct sockaddr_un un = {.sun_family = AF_UNIX}, named = {.sun_family = AF_UNIX};
	socklen_t size = sizeof(in);
	char port[16], path[64], byte;
	int fds[4];

	fds[0] = bound(AF_INET, SOCK_STREAM, &in, sizeof(in));
	assert_int_equal(getsockname(fds[0], (struct sockaddr *)&in, &size), 0);
	fds[1] = bound(AF_INET, SOCK_DGRAM, &in, sizeof(in));
	snprintf(un.sun_path + 1, sizeof(un.sun_path) - 1, "%s", mark());
	fds[2] = bound(AF_UNIX, SOCK_STREAM, &un, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(mark())));
	snprintf(path, sizeof(path), "/var/tmp/%s", mark());
	strcpy(named.sun_path, path);
	fds[3] = bound(AF_UNIX, SOCK_STREAM, &named, sizeof(named));
	assert_int_equal(chmod(path, 0777), 0);
	snprintf(port, sizeof(port), "%d", ntohs(in.sin_port));
	CHECK_REFUSED("connect_out", port, mark(), path);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(i == 1 ? recv(fds[i], &byte, 1, 0) : accept(fds[i], NULL, NULL), -1);
		assert_int_equal(errno, EAGAIN);
		close(fds[i]);
	}
	unlink(path);
}

static void files_outside_are_not_read(void **state)
{
	char dir[] = "/var/tmp/filemill-data-XXXXXX", file[64];

	assert_non_null(mkdtemp(dir));
	assert_int_equal(chmod(dir, 0755), 0);
	snprintf(file, sizeof(file), "%s/catalog.db", dir);
	CLEANUP(fd_close) int fd = open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	CHECK_REFUSED("read_files", dir, file, "/etc/hostname");
	unlink(file);
	rmdir(dir);
}

static void files_outside_are_not_written(void **state)
{
	CHECK_REFUSED("write_files");
}

static void the_stored_input_is_not_changed(void **state)
{
	struct stat before, after;
	CLEANUP(fd_close) int fd = -1;
	char path[64];
	struct ran r;

	begin(&r);
	r.input = STR("what was stored");
	fd = r.input_fd = stored(path, r.input);
	assert_int_equal(fstat(fd, &before), 0);
	ATTACK(&r, "write_to_the_input");
	check_code(&r, 0);
	assert_int_equal(fstat(fd, &after), 0);
	assert_memory_equal(&before, &after, offsetof(struct stat, st_atim));
	assert_memory_equal(&before.st_mtim, &after.st_mtim, sizeof(before.st_mtim));
	assert_memory_equal(&before.st_ctim, &after.st_ctim, sizeof(before.st_ctim));
	RUN(&r, "/bin/cat");
	check_code(&r, 0);
	assert_memory_equal(r.output.p, "what was stored", 15);
	unlink(path);
	fd_close(&fd);
	end(&r);
}

static void nothing_of_one_command_is_there_for_the_next(void **state)
{
	struct ran r;

	begin(&r);
	RUN(&r, "/bin/sh", "-c", "echo secret >/tmp/left; ls /tmp");
	if (!alone) {
		check_code(&r, 0);
		assert_int_equal(r.output.len, 5);
	}
	RUN(&r, "/bin/sh", "-c", "test ! -e /tmp/left");
	check_code(&r, 0);
	end(&r);
	assert_int_equal(access("/tmp/left", F_OK), -1);
}

/* ---- where namespaces are missing ---- */

static void commands_are_refused_where_namespaces_are_missing(void **state)
{
	const struct runner_config config = {.path = program, .limits = world_limits, .children_max = 1, .commands = true};
	struct runner *r;
	struct err e = ERR_INIT;

	if (!alone)
		return;
	assert_int_equal(runner_start(&r, &config, &e), ERR_SEAL_INCOMPLETE);
	assert_non_null(strstr(e.detail, "namespaces"));
}

/* ---- who runs this ---- */

static bool write_text(const char *path, const char *text)
{
	CLEANUP(fd_close) int fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd >= 0 && fd_write_all(fd, text, strlen(text)) == 0;
}

static bool become_nobody(void)
{
	return geteuid() != 0 ||
	       (setgroups(0, NULL) == 0 && setgid(NOBODY) == 0 && setuid(NOBODY) == 0 && prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0);
}

/* In a user namespace that allows no further one, without a capability. Where none is to be had at all, that is so already. */
static bool lose_namespaces(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	const struct __user_cap_data_struct none[2] = {};
	char ids[32];

	snprintf(ids, sizeof(ids), "%d %d 1", (int)geteuid(), (int)geteuid());
	if (unshare(CLONE_NEWUSER) != 0)
		return true;
	return write_text("/proc/self/setgroups", "deny") && write_text("/proc/self/uid_map", ids) &&
	       write_text("/proc/self/gid_map", ids) && write_text("/proc/sys/user/max_user_namespaces", "0") &&
	       syscall(SYS_capset, &head, none) == 0;
}

/* Root as most containers have it. */
static bool lose_administration(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {};

	if (geteuid() != 0 || prctl(PR_CAPBSET_DROP, CAP_SYS_ADMIN, 0, 0, 0) != 0 || syscall(SYS_capget, &head, data) != 0)
		return false;
	data[0].effective &= ~(1u << CAP_SYS_ADMIN);
	data[0].permitted &= ~(1u << CAP_SYS_ADMIN);
	return syscall(SYS_capset, &head, data) == 0;
}

static bool become(const char *role)
{
	if (strcmp(role, "nobody") == 0)
		return become_nobody();
	if (strcmp(role, "alone") == 0)
		return become_nobody() && lose_namespaces();
	return strcmp(role, "container") != 0 || lose_administration();
}

/* False: this cannot be tried here, and why was said. */
static bool take_role(const char *role)
{
	struct runner_config config = {
		.path = program, .limits = world_limits, .children_max = 1, .commands = true, .may_lack = 1u << SEAL_NAMESPACES};
	const struct seal_report *report;
	struct runner *r;
	struct err e = ERR_INIT;
	bool has;

	if (!become(role)) {
		print_message("skipped: there are not the rights here to become %s\n", role);
		return false;
	}
	if (access(program, X_OK) != 0) {
		print_message("skipped: this user cannot execute %s\n", program);
		return false;
	}
	if (runner_start(&r, &config, &e) != 0)
		fail_msg("%s", e.detail);
	report = runner_report(r);
	has = report->enforced >> SEAL_NAMESPACES & 1;
	alone = strcmp(role, "alone") == 0 || strcmp(role, "container") == 0;
	if (has == alone)
		print_message("skipped: namespaces: %s\n",
			      has ? "they cannot be taken away here" : strerrordesc_np(report->errors[SEAL_NAMESPACES]));
	runner_free(r);
	return has != alone;
}

static char *text_of(const char *path)
{
	CLEANUP(fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *text = calloc(1, 64 << 10);

	if (fd < 0 || !text || fd_pread_full(fd, text, (64 << 10) - 1, 0) <= 0)
		exit(EXIT_FAILURE);
	return text;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commands_are_refused_where_namespaces_are_missing),
		cmocka_unit_test(input_is_standard_input_and_output_is_standard_output),
		cmocka_unit_test(every_word_arrives_as_it_is),
		cmocka_unit_test(the_exit_code_and_the_last_words_are_kept),
		cmocka_unit_test(what_cannot_be_executed_is_told),
		cmocka_unit_test(output_is_dropped_when_the_op_makes_none),
		cmocka_unit_test(damaged_input_is_never_shown_to_a_program),
		cmocka_unit_test(surroundings_are_empty),
		cmocka_unit_test(a_fork_bomb_ends_with_its_time),
		cmocka_unit_test(processes_are_counted),
		cmocka_unit_test(processor_time_is_limited_whatever_is_done_about_signals),
		cmocka_unit_test(time_is_limited_whatever_is_done_about_signals),
		cmocka_unit_test(output_is_limited_to_the_byte),
		cmocka_unit_test(memory_of_one_process_is_limited),
		cmocka_unit_test(memory_of_all_processes_together_is_limited),
		cmocka_unit_test(files_in_tmp_are_counted),
		cmocka_unit_test(tmp_is_small),
		cmocka_unit_test(a_core_is_not_dumped),
		cmocka_unit_test(nobody_stays_behind),
		cmocka_unit_test(a_cancelled_command_is_gone_with_all_it_started),
		cmocka_unit_test(others_are_not_killed),
		cmocka_unit_test(there_are_three_descriptors),
		cmocka_unit_test(other_processes_are_closed),
		cmocka_unit_test(rights_are_not_to_be_had),
		cmocka_unit_test(nobody_outside_is_reached),
		cmocka_unit_test(files_outside_are_not_read),
		cmocka_unit_test(files_outside_are_not_written),
		cmocka_unit_test(the_stored_input_is_not_changed),
		cmocka_unit_test(nothing_of_one_command_is_there_for_the_next),
	};
	int failed;

	if (argc != 4)
		return EXIT_FAILURE;
	program = argv[1];
	attacks = text_of(argv[2]);
	if (access(PYTHON, X_OK) != 0) {
		print_message("skipped: the attacks need %s\n", PYTHON);
		return 77;
	}
	if (!take_role(argv[3]))
		return 77;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	free(attacks);
	return failed;
}
