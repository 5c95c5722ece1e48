/* An engine on memory backends, and its calls made to wait for their answers. */
#ifndef TESTS_UNIT_ENGINE_WORLD_H
#define TESTS_UNIT_ENGINE_WORLD_H

#include "engine/engine.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct world {
	struct engine *g;
	struct catalog *catalog;
	struct blobs *blobs;
	struct engine_config config; /* runner NULL = the kind that computes digests in the calling thread */
	struct runner *runner; /* of that kind; ours */
	struct blobs_fault_plan plan;
	int64_t results_keep_ms; /* as the catalogue takes it */
	struct env *env; /* NULL before world_open() = the real one */
	void (*prepare)(struct catalog *c); /* NULL, or is given the catalogue before the engine has it */
};

/* config NULL = world_config(). Catalogue and blobs are reachable for checks; the engine owns them. */
void world_open(struct world *w, const struct engine_config *config);
void world_close(struct world *w);
/* The same in two halves, for looks at what a stopped engine left behind. */
void world_stop(struct world *w);
void world_free(struct world *w);
struct engine_config world_config(void);

/* One finished upload, with a copy of what the callback was told. */
struct upload {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool done;
	int code;
	struct err err;
	bool replayed;
	struct uuid id;
	int64_t number;
	uint64_t size;
	unsigned jobs, queued;
	char result[256]; /* of the first job */
	char type[64];
	bool room;
};

/* Feeds the bytes in pieces and waits for the end. */
void upload_bytes(struct world *w, const struct intake_spec *spec, const void *data, size_t n, size_t piece, struct upload *u);
/* The same in two halves, for tests that do something in between. */
void upload_init(struct upload *u);
int upload_open(struct world *w, const struct intake_spec *spec, struct upload *u, struct intake **ret); /* for upload_feed() */
int upload_feed(struct intake *in, struct upload *u, const void *data, size_t n, struct err *e);
void upload_end(struct intake *in, struct upload *u);
/* And that in two halves. */
void upload_begin_end(struct intake *in, struct upload *u);
bool upload_ended(struct upload *u);
void upload_wait(struct upload *u);

int apply(struct world *w, struct change *c);
/* Waits until all jobs of the file are final or ms passed; true when they are. */
bool wait_final(struct world *w, struct uuid file, int64_t ms);
size_t count_blobs(struct world *w);
struct file read_file(struct world *w, struct uuid id, struct arena *a);
/* All bytes, of a store whose blobs are files: as engine_open_content(), in the one form or the other. */
int open_content(struct world *w, const struct file *f, int *ret_fd, struct buf *ret_inlined, struct err *e);
int open_output(struct world *w, const struct output *o, int *ret_fd, struct err *e);
void fill_random(void *p, size_t n);
void hex_of(char *dst, unsigned algo, const void *p, size_t n);

#define PUBLIC_SPEC ((struct intake_spec){.owner = STR(OWNER_PUBLIC), .length = -1})

#endif
