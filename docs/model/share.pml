/* Two files with the same bytes, one job on each, the same work: an output that both jobs refer to, while users delete files and bytes are removed.
 *
 * Broken on purpose, and caught:
 *	-DNO_COUNT     deleting a file dooms its job's output without asking who else refers to it
 *	-DTAKE_DOOMED  a job is answered from earlier work without asking whether its file was deleted meanwhile
 *	-DNO_MARK      deleting a file removes the bytes first and tells the catalogue afterwards
 *	-DTWO_STEPS    whether earlier work is there is asked in one transaction and used in the next */

#define FILES 2
#define NONE 0

/* the catalogue; blobs are named by the file whose job made them, 1 … FILES */
bool live[FILES + 1], done[FILES + 1];
byte output[FILES + 1]; /* name of the blob that the job's result names */
bool doomed[FILES + 1];
byte artifact; /* the job that did this work, 0 = none */

/* the store */
bool stored[FILES + 1], gone[FILES + 1];

#define HELD(name) ((live[1] && done[1] && output[1] == name) || (live[2] && done[2] && output[2] == name))
#define USABLE (artifact != NONE && live[artifact] && done[artifact])

/* A job's work: taken from what was done before, or done. */
proctype Job(byte me)
{
	byte from;

#ifdef TWO_STEPS
	atomic { if :: USABLE -> from = artifact :: else fi }
	if :: from != NONE -> atomic { output[me] = output[from]; done[me] = true; from = NONE; goto over } :: else fi;
#else
	atomic {
#ifdef TAKE_DOOMED
		if :: artifact != NONE && done[artifact] ->
#else
		if :: USABLE ->
#endif
			output[me] = output[artifact]; done[me] = true; goto over
		:: else fi
	}
#endif
	stored[me] = true; /* written and flushed under the job's own name */
	atomic {
		if
		:: live[me] -> output[me] = me; done[me] = true;
			if :: !USABLE -> artifact = me :: else fi
		:: !live[me] -> stored[me] = false; gone[me] = true
		fi
	}
over:	skip
}

inline doom(name)
{
	if
#ifdef NO_COUNT
	:: name != NONE -> doomed[name] = true
#else
	:: name != NONE && !HELD(name) -> doomed[name] = true
#endif
	:: else
	fi
}

proctype Delete(byte me)
{
	byte name;

	if
	:: true ->
#ifdef NO_MARK
		atomic { name = output[me]; if :: done[me] && name != NONE -> live[me] = false; if :: !HELD(name) -> skip :: else -> name = NONE fi; live[me] = true :: else -> name = NONE fi };
		if :: name != NONE -> stored[name] = false; gone[name] = true :: else fi;
		live[me] = false;
		name = NONE
#else
		atomic { live[me] = false; if :: done[me] -> doom(output[me]) :: else fi }
#endif
	:: true
	fi
}

/* Bytes go after the mark, never before; the mark is forgotten last. */
active proctype Remover()
{
	byte i;

end:	do
	:: i < FILES -> i++
	:: i > 0 && doomed[i] -> stored[i] = false; gone[i] = true; doomed[i] = false; i = 0
	:: i > 0 && !doomed[i] -> i = 0
	od
}

active proctype Reader()
{
	byte i;

end:	do
	:: i < FILES -> i++
	:: i > 0 -> atomic { assert(!(live[i] && done[i]) || stored[output[i]]); i = 0 } /* what a live file's job made can be read */
	od
}

init {
	atomic { live[1] = true; live[2] = true; run Job(1); run Job(2); run Delete(1); run Delete(2) }
}
