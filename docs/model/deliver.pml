/* One end of a job that a webhook wants to hear of: written with the end, sent until it was taken, through crashes and commits that are refused.
 *
 * An atomic block is one transaction, or one message. The catalogue is the queue: what is on its way still waits there. Whether a receiver that took a message is heard is a matter of
 * the network, so it may be told again after an answer that was lost, or a crash; else not.
 *
 * Broken on purpose, and caught:
 *	-DTWO_STEPS    the delivery is written after the transaction that ended the job
 *	-DEARLY_MARK   it counts as delivered when it was sent
 *	-DFORGET       an attempt whose commit was refused is forgotten
 *	-DNO_SLOT      nobody looks whether it is on its way already */

#define CRASHES_MAX 1
#define LOST_MAX 1
#define REFUSED_MAX 1

mtype = { none, waiting, delivered };

/* the catalogue */
bool ended;
mtype delivery = none;

/* the server's memory */
byte boot, crashes;
bool on_its_way;

/* the network and the receiver */
byte lost, refused, taken;

proctype Sender()
{
	byte life;
	bool answered;

	do
	:: atomic { delivery == waiting && (!on_its_way
#ifdef NO_SLOT
		|| true
#endif
		) -> on_its_way = true; life = boot }
#ifdef EARLY_MARK
		atomic { if :: boot == life -> delivery = delivered :: else fi }
#endif
		atomic {
			if
			:: boot == life -> taken++; assert(taken <= 1 + crashes + lost); answered = true
			:: boot == life && lost < LOST_MAX -> taken++; lost++; answered = false
			:: boot == life && lost < LOST_MAX -> lost++; answered = false /* it never came */
			:: boot != life -> answered = false
			fi
		}
again:		atomic {
			if
			:: boot != life
			:: boot == life && answered -> delivery = delivered; on_its_way = false
			:: boot == life && answered && refused < REFUSED_MAX -> refused++;
#ifdef FORGET
				on_its_way = false
#else
				goto again
#endif
			:: boot == life && !answered -> on_its_way = false /* it stays due */
			fi;
			life = 0; answered = false
		}
	:: delivery == delivered -> break
	od
}

active proctype Job()
{
#ifdef TWO_STEPS
	byte life = boot;
	ended = true;
	atomic { if :: boot == life -> delivery = waiting :: else fi }
#else
	atomic { ended = true; delivery = waiting }
#endif
}

active proctype Crash()
{
end:	do
	:: atomic { crashes < CRASHES_MAX -> crashes++; boot++; on_its_way = false }
	od
}

active proctype Reader()
{
end:	atomic { delivery == delivered && taken == 0 -> assert(false) }
}

init { atomic { run Sender(); run Sender() } }
