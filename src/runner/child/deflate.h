/* A job's input as one deflate stream (RFC 1951): what gzip and zip put their frames around. */
#ifndef FILEMILL_RUNNER_DEFLATE_H
#define FILEMILL_RUNNER_DEFLATE_H

#include "runner/child/child.h"

#define DEFLATE_LEVEL_MAX 12
#define DEFLATE_PIECE (64u << 20) /* bytes compressed at a time from level 2 on; less where an eighth of the memory limit is less */

struct deflated {
	uint64_t size_in, size_out; /* bytes */
	uint32_t crc; /* CRC-32 of the input, as gzip and zip have it */
};

/* Reads the input to its end and writes the stream to the output; frames are the caller's. Level 0 stores, 1 is ISA-L, 2 to 12 are libdeflate's.
 * One stream whatever the size, and the same bytes for the same input, level and memory limit. ERR_DAMAGED, ERR_LIMIT_MEMORY, ERR_LIMIT_OUTPUT, ERR_IO. */
[[nodiscard]] int deflate_input(struct sealed_job *j, int level, struct deflated *ret, struct err *e);
/* Turns a whole stream of *n bytes into the beginning of a longer one: its last block is the last one no more, and it ends with a byte. Appends at most
 * DEFLATE_OPEN_BYTES. False when it is no whole stream. deflate_open.c */
#define DEFLATE_OPEN_BYTES 5
bool deflate_open(uint8_t *stream, size_t *n);

/* The run() of a compressing op: reads its level, does the work, and writes the result {"size_in":…,"size_out":…}. */
[[nodiscard]] int compress_with(struct sealed_job *j, int (*work)(struct sealed_job *j, int level, struct err *e), struct err *e);

#endif
