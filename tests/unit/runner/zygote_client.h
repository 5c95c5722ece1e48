/* A test's hold on a zygote: speaks message.h and nothing else, so what the server does about it is not in the way. */
#ifndef FILEMILL_TESTS_ZYGOTE_CLIENT_H
#define FILEMILL_TESTS_ZYGOTE_CLIENT_H

#include "runner/message.h"

#include <stdbool.h>

#define CLIENT_PATIENCE_MS 60000 /* a test that waits longer has failed */

struct client {
	int sock; /* to the zygote */
	int pid;
};

struct client_child {
	int channel, status, pidfd, pid;
};

extern const struct runner_limits client_limits;

/* Starts the program with an empty environment and nothing but descriptor 3. */
struct client client_start(const char *path);
/* The same; `before` runs in the new process before it executes the program. */
struct client client_start_after(const char *path, void (*before)(const void *arg), const void *arg);
/* Hangs up and waits: the zygote's exit status; -signal. */
int client_stop(struct client *c);

/* child_started's error; 0 and a child. */
int client_spawn(const struct client *c, const struct zygote_request *r, struct client_child *ret);
struct zygote_request client_request(enum zygote_request_kind kind, enum seal_policy policy);
/* One job, without params. */
void client_send_job(const struct client_child *child, const char *op, const char *name, int input, uint64_t size, const uint8_t sha256[32],
		     int output);
/* One message of the child: its bytes, 0 = it hung up. */
size_t client_receive(int sock, void *dst, size_t max);
/* Hangs up, waits for the end that the zygote tells, and closes everything. */
struct child_ended client_end(struct client_child *child);

bool client_readable(int fd, int timeout_ms);
size_t open_descriptors(int pid); /* of this or another process; 0 where only root may look, as into a zygote */
size_t children_of(int pid); /* living or dead */

#endif
