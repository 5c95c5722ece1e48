"""One run: uploads and troubles, then the reckoning, as JSON on standard output.

    chaos.py FOLDER FILES [SEED]

in namespaces of its own, from test_chaos.py."""
import json
import sys
import time
from collections import Counter
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "blackbox")]

from harness.server import run # noqa: E402
from province import Province # noqa: E402
from visitors import Visitors, look_again # noqa: E402

EVERY_S = 2
UPLOADERS = 8
REST_S = 300


def say(text):
	print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def rest(province):
	"""Until no job is left; how many are after REST_S."""
	deadline = time.monotonic() + REST_S
	while (left := int(province.sql("SELECT count(*) FROM task"))) and time.monotonic() < deadline:
		time.sleep(0.5)
	return left


def published(province):
	"""What the database saw that must not be: ends that were not one, and ends of an attempt that was no longer the job's."""
	wrong = []
	ended, last = {}, {}
	running, quarantined = "1", "5" # enum job_state
	for job, what, state, fence, attempt in province.rows("SELECT job, what, state, fence, attempt FROM witness ORDER BY n"):
		if what == "task":
			last[job] = (state, fence)
			if job in ended:
				wrong.append(f"job {job} was taken up after its end")
		elif what != "insert" or job in ended:
			wrong.append(f"job {job}: {what} of a result that was there")
		else:
			ended[job] = fence
			# Whoever takes a job back from a lost worker raises the fence, and at the third loss ends it in the same statement.
			due = last.get(job) and (str(int(last[job][1]) + 1) if (state, last[job][0]) == (quarantined, running) else last[job][1])
			if due and due != fence:
				wrong.append(f"job {job}: ended with fence {fence}, its last was {last[job][1]}")
	return wrong, len(ended)


def taken_up(province):
	"""For each job that ran on a worker when it was killed: seconds until another attempt had it, or until it had ended."""
	labels = dict(province.rows("SELECT number, labels FROM witness_worker"))
	story = {}
	for at, job, what, worker in province.rows("SELECT at, job, what, worker FROM witness ORDER BY n"):
		story.setdefault(job, []).append((float(at), what, labels.get(worker, "")))
	waits = []
	for began, kind, whom, _ in province.happened:
		if kind != "worker killed":
			continue
		for steps in story.values():
			before = [s for s in steps if s[0] <= began]
			if before and before[-1][1] == "task" and whom in before[-1][2].split():
				after = [s for s in steps if s[0] > began and (s[1] != "task" or s[2])]
				waits.append((round(after[0][0] - began, 2) if after else -1, began))
	return waits


def audit_log(province):
	"""What is said of the audit log, which the nodes wrote in turn, each into a folder of its own: by them, and by who reads all."""
	nodes = [*province.fronts, *province.workers]
	turns = sum(e.get("event") == "audit_log_continued" for node in nodes for e in node.log_events())
	wrong = [f"{node.folder.name}: {e.get('detail')}" for node in nodes for e in node.log_events() if e.get("event") in ("audit_log_broken", "audit_log_stuck")]
	deadline = time.monotonic() + REST_S
	while int(province.sql("SELECT count(*) FROM audit")) and time.monotonic() < deadline:
		time.sleep(0.5)
	seq, digest = province.rows("SELECT seq, encode(hash, 'hex') FROM audit_head")[0]
	files = [p for node in nodes for p in (node.data / "audit").glob("audit-*.jsonl")]
	verified = run("audit", "verify", "--head", f"{seq}:{digest}", *files)
	return {"turns": turns, "files": len(files), "wrong": wrong if verified.returncode == 0 else [*wrong, verified.stdout + verified.stderr], "told": verified.stdout}


def main():
	folder, files, seed = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else "1"
	with Province(folder, seed) as province:
		say("all are up")
		fronts = [f"http://{f.address}:{f.port}" for f in province.fronts]
		began = time.time()
		with Visitors(fronts, files, UPLOADERS, seed) as visitors:
			while not visitors.done():
				kind = province.trouble()
				say(f"{kind}; {len(visitors.told)} files, {visitors.repeats} repeats")
				time.sleep(EVERY_S)
			province.calm()
		stormy = time.time() - began
		left = rest(province)
		say(f"calm; {left} jobs left")
		complaints, states = look_again(fronts, visitors.told)
		wrong, ends = published(province)
		waits = taken_up(province)
		rows = int(province.sql("SELECT count(*) FROM file"))
		audit = audit_log(province)
		alive = [n.folder.name for n in [*province.fronts, *province.workers] if not n.running()]
		print(json.dumps({
			"files": len(visitors.told), "rows": rows, "seconds": round(stormy), "refused": visitors.failed, "repeats": visitors.refusals, "jobs": states, "jobs_left": left, "ends": ends,
			"complaints": complaints[:50], "complaints_count": len(complaints), "published": wrong[:50], "audit": audit, "troubles": Counter(k for _, k, _, _ in province.happened),
			"troubles_failed": [t for t in province.happened if isinstance(t[3], str)], "died": alive,
			"taken_up": sorted(waits, reverse=True)[:50], "taken_up_count": len(waits), "happened": sorted(province.happened) if any(w > 20 or w < 0 for w, _ in waits) else []}))


if __name__ == "__main__":
	main()
