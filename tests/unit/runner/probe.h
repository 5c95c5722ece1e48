/* Attempts at what must be impossible inside the seal: one row each, with what has to come of it in either kind of child.
 * probe_program.c runs them there; test_seal_probes.c asks for them and compares. */
#ifndef FILEMILL_TESTS_PROBE_H
#define FILEMILL_TESTS_PROBE_H

#include "runner/child/child.h"

/* An attempt: what the call returned, and errno when that is negative. */
typedef long probe_fn(const struct sealed_job *j);

enum probe_end {
	REFUSED, /* the call of this number is named, and the process ends */
	TOLD, /* the call fails with this errno, and the process goes on */
	KILLED, /* the process ends by this signal */
	WORKED, /* controls only: what has to be possible is, and returns this */
};

struct probe_expect {
	enum probe_end end;
	int what;
};

struct probe {
	const char *name;
	probe_fn *run;
	struct probe_expect many, once;
	unsigned flags;
};
#define PROBE_BARE 1u /* harmless enough to be tried without a seal, where it must succeed: so the attempt is a real one */
#define PROBE_INPUT_FILE 2u /* the input is a regular file, not a memfd */
#define PROBE_OUTPUT_FILE 4u /* the output is a regular file that can be written, as it never is */
#define PROBE_FOREIGN 8u /* the refused call is one of another architecture */

struct probe_list {
	const struct probe *rows;
	size_t n;
};

size_t probe_lists(const struct probe_list *const **ret);
const struct probe *probe_find(struct str name);

extern const struct probe_list probes_files, probes_net, probes_process, probes_kernel, probes_limits, probes_machine, probes_controls;

/* A probe that is one system call, refused in both kinds of children. */
#define CALL(fn, ...)                                                                                                                      \
	static long fn([[maybe_unused]] const struct sealed_job *j)                                                                        \
	{                                                                                                                                  \
		return syscall(__VA_ARGS__);                                                                                               \
	}
#define BOTH_REFUSE(number) .many = {REFUSED, (number)}, .once = {REFUSED, (number)}
#define ONCE_TELLS(number, error) .many = {REFUSED, (number)}, .once = {TOLD, (error)}
#define BOTH_TELL(error) .many = {TOLD, (error)}, .once = {TOLD, (error)}
#define BOTH_KILL(signal) .many = {KILLED, (signal)}, .once = {KILLED, (signal)}
#define BOTH_WORK(result) .many = {WORKED, (result)}, .once = {WORKED, (result)}

#endif
