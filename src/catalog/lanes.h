/* Whose turn it is. The waiting jobs of one owner for one op are a *lane*; here is how many wait and run in each, when the next of each priority may begin, and in which order
 * a claim takes from them. The jobs themselves stay with the implementation, which tells of every change and is asked for jobs by lane and priority.
 *
 *	owners take turns: a claim is divided among those who have something ready, whoever came first; so nobody's crowd delays another's one job
 *	an owner's own jobs go by priority, then by run_at, then by age; but where lower priorities have waited longer, every PRIORITY_TURN-th is the one that has waited longest
 *	limits on what runs at once, of an op or of an owner, take lanes out of the order until something ends
 *
 * One thread at a time. Owners and ops that were seen once are remembered until the catalogue is closed; accounts and the configuration bound them. */
#ifndef FILEMILL_CATALOG_LANES_H
#define FILEMILL_CATALOG_LANES_H

#include "catalog/catalog.h"

#define LEVELS (PRIORITY_MAX + 1)
#define PRIORITY_TURN 16 /* jobs */
#define LANES_A_TURN 128 /* lanes of one owner that one take looks at */

struct lane_op { /* an op, over all owners */
	struct lane_op *next;
	uint64_t running;
	uint64_t limit; /* on what runs, of the claim under way; UINT64_MAX = none */
	uint64_t may_run; /* of that, at the end of the turn under way */
	struct str name;
};

struct lane_owner {
	struct lane_owner *next; /* of all */
	struct lane_owner *after, *before; /* among those with waiting jobs, who take turns */
	struct lane *lanes;
	uint64_t waiting, running;
	int64_t next_at; /* the least head_at of its lanes */
	unsigned passed; /* jobs taken in a row while one of lower priority had waited longer */
	struct str name;
};

struct lane {
	struct lane *next; /* of its owner */
	struct lane_owner *owner;
	struct lane_op *op;
	int64_t number; /* 1… by which the implementation's rows name it */
	bool stored; /* the implementation's, and undone like the rest: the lane itself has a row */
	uint64_t waiting, running;
	int64_t head_at[LEVELS]; /* least run_at of what waits; INT64_MAX: nothing, or only what is held */
	uint64_t kept; /* era of its last entry in the list for undoing */
};

struct lanes {
	struct lane_owner *owners;
	struct lane_op *ops;
	struct lane_owner *first, *last; /* whose turn it is, and who comes last */
	uint64_t newcomers; /* owners of whom something waits and nothing runs */
	struct lane **numbered; /* by number - 1 */
	size_t n_numbered, cap_numbered;
	struct lane **buckets; /* by owner and op, open addressing; a power of two, at most half full */
	size_t n_buckets, n_lanes;
	struct lane_kept *kept; /* as lanes were before they changed */
	size_t n_kept, cap_kept;
	uint64_t era;
	struct arena memory;
};

void lanes_release(struct lanes *l);
/* The lane of this owner and op, made if it is new, with the next number. NULL: no memory. */
struct lane *lanes_get(struct lanes *l, struct str owner, struct str op);
struct lane *lanes_find(const struct lanes *l, struct str owner, struct str op); /* NULL: there is none */
/* The same with a number that was given before. */
struct lane *lanes_restore(struct lanes *l, int64_t number, struct str owner, struct str op);
struct lane *lanes_numbered(const struct lanes *l, int64_t number); /* NULL: there is none */
uint64_t lanes_waiting_of(const struct lanes *l, struct str owner,
			  struct str op); /* all the owner's; op: one that may well be among them */
int64_t lanes_least_run_at(const struct lanes *l); /* of all that waits; INT64_MAX: nothing, or only what is held */

/* ---- what happens to jobs ---- */
/* Before a lane is changed, so that it can be undone. False: no memory, and nothing may be changed. */
[[nodiscard]] bool lane_keep(struct lanes *l, struct lane *lane);
void lane_waits(struct lanes *l, struct lane *lane, uint32_t priority, int64_t run_at); /* one more */
void lane_no_longer_waits(struct lanes *l, struct lane *lane); /* one less; where it was the head, lane_set_head() follows */
void lane_runs(struct lanes *l, struct lane *lane, int one); /* 1 or -1 */
void lane_set_head(struct lanes *l, struct lane *lane, uint32_t priority, int64_t run_at);
void lane_count(struct lanes *l, struct lane *lane, uint64_t waiting, uint64_t running); /* all anew; heads are set apart */

void lanes_forget_heads(struct lanes *l); /* of all lanes; for those who tell all of them anew */

size_t lanes_mark(struct lanes *l); /* where lanes_undo() goes back to */
void lanes_undo(struct lanes *l, size_t mark);
void lanes_commit(struct lanes *l); /* nothing before can be undone any more */

/* ---- claiming ---- */
/* Takes up to max ready jobs of this priority from these lanes of one owner, by run_at, then by age, and at most most[i] from lanes[i]; tells the lanes. The heads of the lanes are right
 * afterwards. Not 0: the claim ends with this. */
typedef int lane_take_fn(void *arg, struct lane *const *lanes, const uint64_t *most, size_t n, uint32_t priority, uint32_t max,
			 uint32_t *ret_taken);
/* Fills what a claim tells of those who wait on; the jobs are the take's business. */
int lanes_claim(struct lanes *l, struct change_claim *c, lane_take_fn *take, void *arg);

#endif
