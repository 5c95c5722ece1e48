/* Makes chosen allocations of the program under test fail, by LD_PRELOAD: its own and those of every library in it.
 *
 * Which one fails stands in a file that the test and the program both map (ALLOC_SHIM names it; test_alloc.py writes it), so that one life of a
 * server meets thousands of failures. Only the program of the name in ALLOC_PROGRAM counts: its children are not the subject. Blocks that live are counted too, for tests that look for leaks.
 *
 * Memory for the dynamic linker's own needs, while the real functions are being looked up, comes from a small store that is never given back. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FRAMES 24

/* All 64-bit, in the order in which test_alloc.py knows them. */
struct plan {
	_Atomic uint64_t at; /* number of the call that fails, from 1; 0: nothing is counted */
	_Atomic uint64_t sticky; /* not 0: all calls from there on */
	_Atomic uint64_t calls; /* since the test set this to 0 */
	_Atomic uint64_t failed; /* the same */
	_Atomic int64_t live; /* blocks */
	_Atomic uint64_t n_frames; /* who asked for the first one that failed */
	_Atomic uint64_t frames[FRAMES];
};

static struct plan *plan; /* NULL: nothing ever fails */

static struct {
	void *(*malloc)(size_t);
	void *(*calloc)(size_t, size_t);
	void *(*realloc)(void *, size_t);
	void (*free)(void *);
	int (*posix_memalign)(void **, size_t, size_t);
	void *(*aligned_alloc)(size_t, size_t);
	void *(*memalign)(size_t, size_t);
} real;

static _Alignas(64) char store[64 * 1024];
static size_t store_used;
static bool looking_up;
static _Thread_local bool inside __attribute__((tls_model("initial-exec")));

static void *from_store(size_t n)
{
	void *p = store + store_used;

	n = (n + 63) & ~(size_t)63;
	if (n > sizeof(store) - store_used)
		abort();
	store_used += n;
	return p;
}

static bool is_of_store(const void *p)
{
	return (const char *)p >= store && (const char *)p < store + sizeof(store);
}

/* True while the real functions are not there yet. */
static bool too_early(void)
{
	if (real.memalign != NULL)
		return false;
	if (looking_up)
		return true;
	looking_up = true; /* the linker calls one constructor after the other: no second thread is there yet */
	real.malloc = (__typeof__(real.malloc))dlsym(RTLD_NEXT, "malloc");
	real.calloc = (__typeof__(real.calloc))dlsym(RTLD_NEXT, "calloc");
	real.realloc = (__typeof__(real.realloc))dlsym(RTLD_NEXT, "realloc");
	real.free = (__typeof__(real.free))dlsym(RTLD_NEXT, "free");
	real.posix_memalign = (__typeof__(real.posix_memalign))dlsym(RTLD_NEXT, "posix_memalign");
	real.aligned_alloc = (__typeof__(real.aligned_alloc))dlsym(RTLD_NEXT, "aligned_alloc");
	real.memalign = (__typeof__(real.memalign))dlsym(RTLD_NEXT, "memalign");
	looking_up = false;
	return false;
}

__attribute__((constructor)) static void setup(void)
{
	const char *name = getenv("ALLOC_SHIM"), *program = getenv("ALLOC_PROGRAM");
	struct plan *p;
	void *frame;
	int fd;

	if (name == NULL || program == NULL || strcmp(program_invocation_short_name, program) != 0)
		return;
	fd = open(name, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return;
	p = mmap(NULL, sizeof(*p), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	backtrace(&frame, 1); /* loads what it needs now */
	if (p != MAP_FAILED)
		plan = p;
}

/* The stack is told through a file mapped by the test; addresses are made names there. */
static void note_stack(void)
{
	void *frame[FRAMES];
	int n = backtrace(frame, FRAMES);

	for (int i = 0; i < n; i++)
		atomic_store(&plan->frames[i], (uint64_t)(uintptr_t)frame[i]);
	atomic_store(&plan->n_frames, (uint64_t)n);
}

static bool strikes(void)
{
	uint64_t at, n;

	if (plan == NULL || inside || (at = atomic_load(&plan->at)) == 0)
		return false;
	n = atomic_fetch_add(&plan->calls, 1) + 1;
	if (n != at && !(n > at && atomic_load(&plan->sticky) != 0))
		return false;
	inside = true;
	if (atomic_fetch_add(&plan->failed, 1) == 0)
		note_stack();
	inside = false;
	errno = ENOMEM;
	return true;
}

static void *lives(void *p)
{
	if (plan != NULL && p != NULL)
		atomic_fetch_add(&plan->live, 1);
	return p;
}

void *malloc(size_t n)
{
	if (too_early())
		return from_store(n);
	return strikes() ? NULL : lives(real.malloc(n));
}

void *calloc(size_t n, size_t size)
{
	if (too_early())
		return from_store(n * size);
	return strikes() ? NULL : lives(real.calloc(n, size));
}

void *realloc(void *p, size_t n)
{
	if (too_early())
		abort();
	if (is_of_store(p)) { /* its size is not known, but where it ends at the latest */
		size_t most = (size_t)(store + sizeof(store) - (char *)p);
		void *q = malloc(n);

		return q == NULL ? NULL : memcpy(q, p, n < most ? n : most);
	}
	if (n > 0 && strikes())
		return NULL;
	return p == NULL ? lives(real.realloc(p, n)) : real.realloc(p, n);
}

void free(void *p)
{
	if (p == NULL || is_of_store(p) || too_early())
		return;
	if (plan != NULL)
		atomic_fetch_sub(&plan->live, 1);
	real.free(p);
}

int posix_memalign(void **ret, size_t alignment, size_t n)
{
	int rc;

	if (too_early() || strikes())
		return ENOMEM;
	rc = real.posix_memalign(ret, alignment, n);
	if (rc == 0)
		lives(*ret);
	return rc;
}

void *aligned_alloc(size_t alignment, size_t n)
{
	return too_early() || strikes() ? NULL : lives(real.aligned_alloc(alignment, n));
}

void *memalign(size_t alignment, size_t n)
{
	return too_early() || strikes() ? NULL : lives(real.memalign(alignment, n));
}
