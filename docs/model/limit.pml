/* A limit on what runs at once, and who sleeps: jobs that wait, the scheduler that claims, ends that are committed beside it.
 *
 * An atomic block is one transaction of the catalogue, or one look at a flag. The scheduler sleeps until somebody says that something may be ready; a claim that was kept back by the limit
 * leaves `blocked`, by which the end of an attempt knows that it makes room. What the clock wakes is left out: what is to be had must be had without it.
 *
 * Broken on purpose, and caught:
 *	-DLATE_MARK    the scheduler says that the limit keeps something back after the claim, and an end may have come in between
 *	-DNOT_TOLD     the end of an attempt wakes nobody
 *	-DNO_COUNT     a claim does not compare the limit with what runs
 *	-DEARLY_KICK   a job is told of before it is in the queue */

#define JOBS 4 /* two wait at the start, two come later */
#define LIMIT 2

/* the catalogue */
byte ready = JOBS - 2, running, done;

/* the server's memory */
bool maybe_ready = true, blocked, kicked = true;

inline kick()
{
	atomic { if :: !maybe_ready -> maybe_ready = true; kicked = true :: else fi }
}

active proctype Scheduler()
{
	bool left;

end:	do
	:: atomic { kicked -> kicked = false }
		do
		:: atomic { maybe_ready -> maybe_ready = false }
#ifndef LATE_MARK
			blocked = true;
#endif
			atomic {
				do
#ifdef NO_COUNT
				:: ready > 0 -> ready--; running++
				:: else -> break
#else
				:: ready > 0 && running < LIMIT -> ready--; running++
				:: !(ready > 0 && running < LIMIT) -> break
#endif
				od;
				assert(running <= LIMIT);
				left = ready > 0
			}
#ifdef LATE_MARK
			blocked = left
#else
			if :: !left -> blocked = false :: else fi
#endif
		:: !maybe_ready -> break
		od
	od
}

/* Not at its end while a job is left: nobody may sleep over it for ever. */
active [2] proctype Worker()
{
	do
	:: atomic { running > 0 -> running--; done++ }
#ifndef NOT_TOLD
		if :: blocked -> kick() :: !blocked fi
#endif
	:: done == JOBS -> break
	od
}

active [2] proctype Client()
{
#ifdef EARLY_KICK
	kick();
	ready++
#else
	ready++;
	kick()
#endif
}
