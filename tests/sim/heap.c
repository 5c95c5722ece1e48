#include "heap.h"

#include "coop.h"

#include <assert.h>
#include <openssl/evp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SLOTS (1u << 14) /* a power of two, more than a history ever holds */

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_reallocarray(void *p, size_t n, size_t size);
void __real_free(void *p);
EVP_MD_CTX *__real_EVP_MD_CTX_new(void);
void __real_EVP_MD_CTX_free(EVP_MD_CTX *c);
void *__real_arena_alloc(struct arena *a, size_t n);
char *__real_arena_strndup(struct arena *a, const char *s, size_t n);
struct str __real_arena_str(struct arena *a, struct str s);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_reallocarray(void *p, size_t n, size_t size);
void __wrap_free(void *p);
EVP_MD_CTX *__wrap_EVP_MD_CTX_new(void);
void __wrap_EVP_MD_CTX_free(EVP_MD_CTX *c);
void *__wrap_arena_alloc(struct arena *a, size_t n);
char *__wrap_arena_strndup(struct arena *a, const char *s, size_t n);
struct str __wrap_arena_str(struct arena *a, struct str s);

/* Open addressing by address. What a library allocated for us, and we free, is simply not in here. */
static struct slot {
	void *p; /* NULL = empty */
	uint8_t domain;
	bool evp; /* an EVP_MD_CTX */
} slots[SLOTS];
static size_t counts[HEAP_DOMAINS];
static const struct arena *process_arenas[HEAP_ARENAS];
static size_t n_process_arenas;
static int first_fd;

static size_t home(const void *p)
{
	return (size_t)((uintptr_t)p >> 4) * 0x9e3779b97f4a7c15u >> 40 & (SLOTS - 1);
}

static void note(void *p, enum heap_domain d, bool evp)
{
	size_t i = home(p);

	if (p == NULL || d == HEAP_SIM)
		return;
	assert(counts[HEAP_PROCESS] + counts[HEAP_DISK] < SLOTS / 2);
	while (slots[i].p != NULL)
		i = (i + 1) & (SLOTS - 1);
	slots[i] = (struct slot){p, (uint8_t)d, evp};
	counts[d]++;
}

/* Takes it out, and moves up what stood behind it and would not be found any more (Knuth, 6.4, algorithm R). */
static void take_out(size_t i)
{
	counts[slots[i].domain]--;
	for (size_t k = (i + 1) & (SLOTS - 1); slots[k].p != NULL; k = (k + 1) & (SLOTS - 1)) {
		size_t h = home(slots[k].p);

		if (((k - h) & (SLOTS - 1)) >= ((k - i) & (SLOTS - 1))) {
			slots[i] = slots[k];
			i = k;
		}
	}
	slots[i].p = NULL;
}

/* Forgets it; whose it was. */
static enum heap_domain forget(const void *p)
{
	for (size_t i = home(p); p != NULL && slots[i].p != NULL; i = (i + 1) & (SLOTS - 1)) {
		if (slots[i].p != p)
			continue;
		enum heap_domain d = slots[i].domain;
		take_out(i);
		return d;
	}
	return HEAP_SIM;
}

/* ---- in the place of the calls ---- */

void *__wrap_malloc(size_t n)
{
	void *p = __real_malloc(n);

	note(p, (enum heap_domain)coop_domain(), false);
	return p;
}

void *__wrap_calloc(size_t n, size_t size)
{
	void *p = __real_calloc(n, size);

	note(p, (enum heap_domain)coop_domain(), false);
	return p;
}

/* What grows stays whose it was. */
void *__wrap_realloc(void *p, size_t n)
{
	enum heap_domain d = p != NULL ? forget(p) : (enum heap_domain)coop_domain();
	void *q = __real_realloc(p, n);

	note(q != NULL ? q : p, d, false);
	return q;
}

void *__wrap_reallocarray(void *p, size_t n, size_t size)
{
	enum heap_domain d = p != NULL ? forget(p) : (enum heap_domain)coop_domain();
	void *q = __real_reallocarray(p, n, size);

	note(q != NULL ? q : p, d, false);
	return q;
}

void __wrap_free(void *p)
{
	forget(p);
	__real_free(p);
}

EVP_MD_CTX *__wrap_EVP_MD_CTX_new(void)
{
	EVP_MD_CTX *c = __real_EVP_MD_CTX_new();

	note(c, (enum heap_domain)coop_domain(), true);
	return c;
}

void __wrap_EVP_MD_CTX_free(EVP_MD_CTX *c)
{
	forget(c);
	__real_EVP_MD_CTX_free(c);
}

/* What the catalogue answers lies in its caller's arenas. */
static enum heap_domain enter_arena(const struct arena *a)
{
	for (size_t i = 0; i < n_process_arenas; i++)
		if (a == process_arenas[i])
			return heap_enter(HEAP_PROCESS);
	return heap_enter((enum heap_domain)coop_domain());
}

void *__wrap_arena_alloc(struct arena *a, size_t n)
{
	enum heap_domain d = enter_arena(a);
	void *p = __real_arena_alloc(a, n);

	heap_enter(d);
	return p;
}

char *__wrap_arena_strndup(struct arena *a, const char *s, size_t n)
{
	enum heap_domain d = enter_arena(a);
	char *p = __real_arena_strndup(a, s, n);

	heap_enter(d);
	return p;
}

struct str __wrap_arena_str(struct arena *a, struct str s)
{
	enum heap_domain d = enter_arena(a);
	struct str t = __real_arena_str(a, s);

	heap_enter(d);
	return t;
}

/* ---- for the simulation ---- */

enum heap_domain heap_enter(enum heap_domain d)
{
	return (enum heap_domain)coop_set_domain((int)d);
}

void heap_process_arena(const struct arena *a)
{
	assert(a == NULL || n_process_arenas < HEAP_ARENAS);
	if (a != NULL)
		process_arenas[n_process_arenas++] = a;
	else
		n_process_arenas = 0;
}

size_t heap_count(enum heap_domain d)
{
	return counts[d];
}

static void drop(enum heap_domain d)
{
	for (size_t i = 0; counts[d] > 0 && i < SLOTS;) {
		struct slot s = slots[i];

		if (s.p == NULL || s.domain != d) {
			i++;
			continue;
		}
		take_out(i); /* another one may stand here now */
		if (s.evp)
			__real_EVP_MD_CTX_free(s.p);
		else
			__real_free(s.p);
	}
	/* One that was moved from the end of the table to its beginning is met on the next round. */
	if (counts[d] > 0)
		drop(d);
}

void heap_drop_process(void)
{
	n_process_arenas = 0;
	if (counts[HEAP_PROCESS] > 0)
		drop(HEAP_PROCESS);
	close_range((unsigned)first_fd, ~0u, 0);
}

void heap_drop_disk(void)
{
	if (counts[HEAP_DISK] > 0)
		drop(HEAP_DISK);
}

void heap_note_descriptors(void)
{
	first_fd = dup(STDERR_FILENO);
	close(first_fd);
}

unsigned heap_descriptors(void)
{
	int fd = dup(STDERR_FILENO);

	close(fd);
	return fd > first_fd ? (unsigned)(fd - first_fd) : 0;
}
