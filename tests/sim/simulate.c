/* Runs histories, one after the other, from a seed on. Fails with the first one that breaks a promise, and says by which command it is seen again. */
#include "world.h"

#include "rt/log.h"
#include "rt/metrics.h"

#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define TWICE_EVERY 100 /* one in so many histories is run again, in a new process, and has to go the same way */

struct options {
	const char *program;
	uint64_t seed, histories;
	bool trace, caught; /* caught: a broken variant, which must be found out */
	bool each_call; /* each history again and again, each time another call of the catalogue or the store fails; … */
	uint64_t calls_max; /* … of so many calls at most, spread evenly; 0 = of all */
	struct failing failing; /* this one, with --trace */
};

struct totals {
	uint64_t histories, steps, lives, crashes, files, jobs, distinct, calls;
};

static const char *const hows[FAIL_HOWS] = {"once", "sealing", "for-good"};

static char again[300]; /* the command; for a handler too */

static void died(int signal)
{
	(void)!write(STDERR_FILENO, again, strlen(again));
	_exit(1);
}

/* ---- how many histories went another way ---- */

static uint64_t *seen;
static size_t seen_slots;

static void see(struct totals *t, uint64_t hash)
{
	if (t->distinct * 2 >= seen_slots) {
		size_t before = seen_slots;
		uint64_t *old = seen;

		seen_slots = before > 0 ? 2 * before : 1u << 15;
		seen = calloc(seen_slots, sizeof(*seen));
		if (seen == NULL)
			abort();
		t->distinct = 0;
		for (size_t i = 0; i < before; i++)
			if (old[i] != 0)
				see(t, old[i]);
		free(old);
	}
	size_t i = hash & (seen_slots - 1);
	while (seen[i] != 0 && seen[i] != hash)
		i = (i + 1) & (seen_slots - 1);
	t->distinct += seen[i] == 0;
	seen[i] = hash;
}

/* ---- a history in a process that has seen no other ---- */

static struct {
	pid_t pid;
	int to, from; /* seeds; hashes */
} fresh;

/* Stays as it is: each seed is run by a child of its own, as by the command that is printed for it. */
_Noreturn static void serve_fresh(int from, int to)
{
	uint64_t seed;

	while (read(from, &seed, sizeof(seed)) == sizeof(seed)) {
		pid_t child = fork();

		if (child == 0) {
			uint64_t hash = history_run(seed, (struct failing){}).hash;
			_exit(write(to, &hash, sizeof(hash)) == sizeof(hash) ? 0 : 1);
		}
		if (child < 0 || waitpid(child, NULL, 0) != child)
			_exit(1);
	}
	_exit(0);
}

static void start_fresh(void)
{
	int to[2], from[2];

	if (pipe(to) != 0 || pipe(from) != 0 || (fresh.pid = fork()) < 0)
		abort();
	/* The lowest numbers, for what a history leaves open is told by numbers. */
	fresh.to = fresh.pid > 0 ? dup2(to[1], to[0]) : to[0];
	fresh.from = dup2(fresh.pid > 0 ? from[0] : from[1], to[1]);
	close(from[0]);
	close(from[1]);
	heap_note_descriptors();
	if (fresh.pid == 0)
		serve_fresh(fresh.to, fresh.from);
}

static void end_fresh(void)
{
	close(fresh.to);
	close(fresh.from);
	waitpid(fresh.pid, NULL, 0);
}

static uint64_t hash_afresh(uint64_t seed)
{
	uint64_t hash;

	if (write(fresh.to, &seed, sizeof(seed)) != sizeof(seed) || read(fresh.from, &hash, sizeof(hash)) != sizeof(hash))
		return 0; /* it died over it */
	return hash;
}

/* ---- */

static void count(struct totals *t, const struct history *h)
{
	t->histories++;
	t->steps += h->steps;
	t->lives += h->lives;
	t->crashes += h->crashes;
	t->files += h->files;
	t->jobs += h->jobs;
	see(t, h->hash);
}

static bool run_one(const struct options *o, struct totals *t, uint64_t seed, struct failing f, struct history *ret)
{
	int n = snprintf(again, sizeof(again), "again, with its trace: %s --seed %" PRIu64 " --trace", o->program, seed);

	if (f.on)
		n += snprintf(again + n, sizeof(again) - (size_t)n, " --call %" PRIu64 " --how %s", f.at, hows[f.how]);
	snprintf(again + n, sizeof(again) - (size_t)n, "\n");
	*ret = history_run(seed, f);
	count(t, ret);
	if (!ret->ok)
		printf("# seed %" PRIu64 ": %s\n# %s", seed, coop_failure(), again);
	return ret->ok;
}

/* The history of this seed with each of its calls failing, in each way. */
static bool run_each_call(const struct options *o, struct totals *t, uint64_t seed)
{
	struct history whole, h;

	if (!run_one(o, t, seed, (struct failing){.on = true}, &whole))
		return false;
	uint64_t step = o->calls_max > 0 && whole.calls > o->calls_max ? (whole.calls + o->calls_max - 1) / o->calls_max : 1;
	for (unsigned how = 0; how < FAIL_HOWS; how++)
		for (uint64_t n = 1; n <= whole.calls; n += step)
			if (!run_one(o, t, seed, (struct failing){.on = true, .how = (enum failing_how)how, .at = n}, &h))
				return false;
	t->calls += (whole.calls + step - 1) / step;
	return true;
}

/* Until one fails; false: one did. */
static bool run(const struct options *o, struct totals *t)
{
	for (uint64_t i = 0; i < o->histories; i++) {
		uint64_t seed = o->seed + i;
		struct history h;

		if (o->each_call) {
			if (!run_each_call(o, t, seed))
				return false;
			continue;
		}
		if (!run_one(o, t, seed, o->failing, &h))
			return false;
		if (i % TWICE_EVERY == TWICE_EVERY - 1 && hash_afresh(seed) != h.hash) {
			printf("# seed %" PRIu64 " does not lead to the same history in another process\n", seed);
			return false;
		}
	}
	return true;
}

/* What the engine itself counted: a history in which nothing happens proves nothing. */
static void print_counts(void)
{
	static const struct {
		enum metric metric;
		const char *words;
	} counts[] = {{METRIC_UPLOADS, "uploads"},
		      {METRIC_UPLOADS_FAILED, "given up"},
		      {METRIC_JOBS_SUCCEEDED, "jobs succeeded"},
		      {METRIC_JOBS_FAILED, "failed"},
		      {METRIC_JOBS_CACHED, "done before"},
		      {METRIC_JOBS_FOLLOWED, "followed another"},
		      {METRIC_JOBS_STALE, "ended stale"},
		      {METRIC_JOBS_RECLAIMED, "taken back"},
		      {METRIC_OUTPUTS, "outputs"},
		      {METRIC_SWEPT_BLOBS, "blobs swept"},
		      {METRIC_EVENTS, "events"},
		      {METRIC_EVENTS_DROPPED, "readers dropped"},
		      {METRIC_RECURRING_JOBS, "recurring jobs"},
		      {METRIC_SCRUB_BYTES, "bytes read again"}};

	for (size_t i = 0; i < ARRAY_LEN(counts); i++)
		printf("%s%" PRId64 " %s", i > 0 ? ", " : "# ", metric_value(counts[i].metric), counts[i].words);
	putchar('\n');
}

static bool parse_how(struct failing *f, const char *word)
{
	for (unsigned i = 0; i < FAIL_HOWS; i++)
		if (strcmp(word, hows[i]) == 0) {
			f->how = (enum failing_how)i;
			return true;
		}
	return false;
}

static bool parse(int argc, char **argv, struct options *o)
{
	for (int i = 1; i < argc; i++) {
		bool value = i + 1 < argc;

		if (strcmp(argv[i], "--trace") == 0)
			o->trace = true;
		else if (strcmp(argv[i], "--caught") == 0)
			o->caught = true;
		else if (strcmp(argv[i], "--each-call") == 0)
			o->each_call = true;
		else if (strcmp(argv[i], "--calls-max") == 0 && value && str_to_u64(str_of(argv[i + 1]), &o->calls_max))
			i++;
		else if (strcmp(argv[i], "--call") == 0 && value && str_to_u64(str_of(argv[i + 1]), &o->failing.at))
			o->failing.on = ++i > 0;
		else if (strcmp(argv[i], "--how") == 0 && value && parse_how(&o->failing, argv[i + 1]))
			i++;
		else if (strcmp(argv[i], "--seed") == 0 && value && str_to_u64(str_of(argv[i + 1]), &o->seed))
			i++;
		else if (strcmp(argv[i], "--histories") == 0 && value && str_to_u64(str_of(argv[i + 1]), &o->histories))
			i++;
		else
			return false;
	}
	return true;
}

static void set_up(const struct options *o)
{
	static const int signals[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE};

	mallopt(M_MMAP_THRESHOLD, 64 << 20); /* large buffers come and go */
	mallopt(M_TRIM_THRESHOLD, 256 << 20);
	coop_tracing = o->trace;
	log_setup(STDOUT_FILENO, LOG_TEXT, o->trace ? LOG_DEBUG : LOG_ERROR + 1);
	setvbuf(stdout, NULL, o->trace ? _IONBF : _IOFBF, BUFSIZ);
	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		signal(signals[i], died);
}

int main(int argc, char **argv)
{
	struct options o = {.program = argv[0], .seed = 1, .histories = 1};
	struct totals t = {};

	if (!parse(argc, argv, &o)) {
		fprintf(stderr,
			"%s [--seed N] [--histories N] [--each-call [--calls-max N]] [--trace [--call N --how once|sealing|for-good]] [--caught]\n",
			argv[0]);
		return 2;
	}
	set_up(&o);
	start_fresh();
	bool kept = run(&o, &t);
	end_fresh();
	printf("# %" PRIu64 " histories, %" PRIu64 " went each another way: %" PRIu64 " lives, %" PRIu64 " crashes, %" PRIu64
	       " files, %" PRIu64 " jobs, %" PRIu64 " steps\n",
	       t.histories, t.distinct, t.lives, t.crashes, t.files, t.jobs, t.steps);
	if (t.calls > 0)
		printf("# %" PRIu64 " calls of catalogue and store failed in turn, in %d ways each\n", t.calls, FAIL_HOWS);
	print_counts();
	bool good = kept != o.caught;
	printf("%sok 1 - %s\n1..1\n", good ? "" : "not ", o.caught ? "the broken variant is caught" : "every history keeps every promise");
	return good ? 0 : 1;
}
