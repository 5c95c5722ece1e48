/* One job, the job slots of one server, a reaper, a user, a crash, a sweep: leases, fences and the blobs that attempts leave.
 *
 * An atomic block is one transaction of the catalogue or one call to the store. Between two of them anything may happen: a slot may stall as long as it likes, the server may be
 * killed, a lease may be judged over whatever the clocks say. Nothing here speaks of time: leases only decide how often work is repeated.
 *
 * Broken on purpose, and caught:
 *	-DNO_FENCE     the end of an attempt asks only whether the job runs
 *	-DNO_GUARD     the end of an attempt asks nothing
 *	-DLATE_FLUSH   the blob is flushed after the transaction that publishes it
 *	-DBAD_ORDER    the sweep asks the catalogue first, and whether an attempt is in hand after that
 *	-DREUSED_NAME  a blob's name lacks the fence: a stale attempt writes where the good one wrote */

#ifndef SLOTS
#define SLOTS 2
#endif
#define FENCES 4 /* how far the fence may grow in the states looked at */
#define LOSSES_MAX 3
#define CRASHES_MAX 1
#define RETRIES_MAX 1

mtype:job = { queued, running, succeeded, failed, cancelled, quarantined };
mtype:bytes = { none, written, durable, removed };

/* ---- the catalogue: outlives a crash ---- */
mtype:job state = queued;
byte fence, losses;
byte output; /* name of the blob that the result names, 0 = none */
bool cancel;

/* ---- the store: a blob's name is its attempt's fence ---- */
mtype:bytes blob[FENCES + 2];

/* ---- the server's memory: ends with it ---- */
bool in_hand[FENCES + 2];
byte boot, crashes, retries;

byte finals; /* how often the job became final since it was last queued by hand */

#define final (state != queued && state != running)
#ifdef REUSED_NAME
#define NAME(f) 1
#else
#define NAME(f) f
#endif
#ifdef NO_GUARD
#define MINE(f) true
#else
#ifdef NO_FENCE
#define MINE(f) (state == running)
#else
#define MINE(f) (state == running && fence == f)
#endif
#endif

inline end_as(s)
{
	state = s;
	finals++;
	assert(finals == 1) /* a job ends once */
}

proctype Slot()
{
	byte f, life;

	do
	:: atomic { state == queued && fence < FENCES ->
		fence++; f = fence; life = boot; state = running; in_hand[f] = true }
progress:
		atomic { if :: boot == life -> blob[NAME(f)] = written :: else fi }
#ifndef LATE_FLUSH
		atomic { if :: boot == life && blob[NAME(f)] == written -> blob[NAME(f)] = durable :: else fi }
#endif
		atomic {
			if
			:: boot != life /* the process of this attempt is gone */
			:: boot == life && MINE(f) ->
				assert(fence == f); /* nothing of a stale attempt is ever published */
				if
				:: cancel -> end_as(cancelled); blob[NAME(f)] = removed
				:: !cancel -> end_as(succeeded); output = NAME(f)
				:: !cancel -> end_as(failed); blob[NAME(f)] = removed
				:: !cancel -> state = queued; blob[NAME(f)] = removed /* a failure worth another try */
				fi
			:: boot == life && !MINE(f) -> blob[NAME(f)] = removed
			fi
		}
#ifdef LATE_FLUSH
		atomic { if :: boot == life && blob[NAME(f)] == written -> blob[NAME(f)] = durable :: else fi }
#endif
		atomic { if :: boot == life -> in_hand[f] = false :: else fi; f = 0; life = 0 }
	:: final && retries == RETRIES_MAX && crashes == CRASHES_MAX -> break
	od
}

/* What became of workers is guessed, and may be guessed wrongly. */
inline take_back()
{
	fence++;
	losses++;
	if
	:: cancel -> end_as(cancelled)
	:: !cancel && losses >= LOSSES_MAX -> end_as(quarantined)
	:: !cancel && losses < LOSSES_MAX -> state = queued
	fi
}

active proctype Reaper()
{
end:	do
	:: atomic { state == running && fence <= FENCES -> take_back() }
	od
}

active proctype User()
{
end:	do
	:: atomic { state == queued && !cancel -> cancel = true; end_as(cancelled) }
	:: atomic { state == running && !cancel -> cancel = true }
	:: atomic { final && state != succeeded && retries < RETRIES_MAX ->
		retries++; state = queued; finals = 0; losses = 0; cancel = false }
	od
}

/* kill -9 or a power cut, and the start after it: what was not flushed is gone, what ran is taken back. */
active proctype Crash()
{
	byte i;

end:	do
	:: atomic { crashes < CRASHES_MAX ->
		crashes++;
		boot++;
		for (i : 1 .. FENCES + 1) {
			in_hand[i] = false;
			if :: blob[i] == written -> blob[i] = removed :: else fi
		}
		i = 0;
		if :: state == running -> take_back() :: else fi }
	od
}

/* Removes blobs that nothing refers to. The order of its two questions matters: an attempt leaves the hand only after its transaction. */
active proctype Sweep()
{
	byte i;
	bool used;

end:	do
	:: i < FENCES -> i++
	:: i > 0 && (blob[i] == written || blob[i] == durable) ->
#ifdef BAD_ORDER
		used = (output == i);
		if :: !used && !in_hand[i] -> blob[i] = removed :: else fi;
#else
		if
		:: in_hand[i]
		:: else -> used = (output == i); if :: !used -> blob[i] = removed :: else fi
		fi;
#endif
		used = false; i = 0
	:: i > 0 && blob[i] != written && blob[i] != durable -> i = 0
	od
}

/* What a reader sees at any moment: a result that names bytes has them on disk. */
active proctype Reader()
{
end:	atomic { (state == succeeded && blob[output] != durable) -> assert(false) }
}

init { byte n; atomic { for (n : 1 .. SLOTS) { run Slot() } n = 0 } }
