#include "model/model.h"

#define TO(state) (1u << JOB_##state)

/* One row a state: its word and the states it may move to. The drawing stands in model.h. */
static const struct {
	const char *name;
	unsigned may; /* bit a target state */
} STATES[JOB_STATES] = {
	[JOB_QUEUED] = {"queued", TO(RUNNING) | TO(FAILED) | TO(CANCELLED)},
	[JOB_RUNNING] = {"running", TO(QUEUED) | TO(SUCCEEDED) | TO(FAILED) | TO(CANCELLED) | TO(QUARANTINED)},
	[JOB_SUCCEEDED] = {"succeeded", 0},
	[JOB_FAILED] = {"failed", TO(QUEUED)},
	[JOB_CANCELLED] = {"cancelled", TO(QUEUED)},
	[JOB_QUARANTINED] = {"quarantined", TO(QUEUED)},
};

bool job_state_may(enum job_state from, enum job_state to)
{
	if ((unsigned)from >= JOB_STATES || (unsigned)to >= JOB_STATES)
		return false;
	return STATES[from].may & (1u << to);
}

bool job_state_final(enum job_state s)
{
	return s != JOB_QUEUED && s != JOB_RUNNING;
}

const char *job_state_name(enum job_state s)
{
	return (unsigned)s < JOB_STATES ? STATES[s].name : "unknown";
}

bool job_state_parse(enum job_state *ret, struct str name)
{
	for (unsigned s = 0; s < JOB_STATES; s++) {
		if (str_eq(str_of(STATES[s].name), name)) {
			*ret = (enum job_state)s;
			return true;
		}
	}
	return false;
}
