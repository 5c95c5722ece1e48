"""Nodes that share a catalogue: one that serves and two that only work, on one machine. They are stopped, killed and asked to end while jobs run."""
import itertools
import json
import signal
import time

import pytest

from harness import runner
from harness.data import random_bytes
from harness.nodes import QUICK, Database, Worker, installed
from harness.people import ADMIN, first_admin, sign_in
from harness.preload import other_clock # noqa: F401
from harness.server import Server, eventually, run

pytestmark = pytest.mark.skipif(not installed(), reason="postgresql is not installed")

COMMANDS = {
	"nap": {"argv": ["/bin/sh", "-c", "sleep 0.3; echo rested"]},
	"doze": {"argv": ["/bin/sh", "-c", "sleep 2; echo rested"]},
	"endless": {"argv": ["/bin/sleep", "1000"]},
}
OPS = {"nap": {"node": "mill"}, "doze": {"node": "mill"}, "endless": {"node": "well"}} # so that the front runs none of them
_names = itertools.count()


def make_front(folder, cluster, **settings):
	mine = {"catalog.url": Database(cluster, f"nodes{next(_names)}").url, "commands": json.dumps(COMMANDS), "ops": json.dumps(OPS), **settings}
	return Server(folder / "front", data=folder / "data", settings=mine)


@pytest.fixture(scope="module")
def front(tmp_path_factory, cluster):
	"""One for all tests that need it as it is."""
	front = make_front(tmp_path_factory.mktemp("nodes"), cluster)
	front.start()
	yield front
	front.stop()


class Nodes:
	"""A front, which may be others' too, and workers and jobs that end with the test."""

	def __init__(self, folder, front):
		self.folder, self.front = folder, front
		self.all, self.jobs = [], []

	def work(self, name, **settings):
		"""Its settings are the front's and these, with __ for a dot."""
		mine = {"node.labels": "mill well", **{k.replace("__", "."): v for k, v in settings.items()}}
		self.all.append(Worker(self.folder / name, data=self.front.data, settings={**self.front.settings, **mine}))
		return self.all[-1].start()

	def add(self, op):
		"""A job on a file of its own."""
		file = self.front.upload(random_bytes(20, time.monotonic_ns()))
		r = self.front.post(f"/v1/files/{file['id']}/jobs", json={"op": op})
		assert r.status_code == 202, r.text
		self.jobs.append(r.json())
		return r.json()

	def look(self, job):
		return self.front.get(f"/v1/jobs/{job['id']}").json()

	def running(self, job):
		return eventually(lambda: self.look(job)["state"] == "running" and self.look(job), message=lambda: f"does not run: {self.look(job)}")

	def runs(self, job, node):
		"""Until it sleeps there."""
		said = self.running(job)
		eventually(lambda: sleeps(node))
		return said

	def ended(self, job):
		"""By one question that the front holds until it hears of the end, so long as it may."""
		return eventually(lambda: self.front.get(f"/v1/jobs/{job['id']}?wait=20").json().get("finished_at") and self.look(job))

	def cancel(self, job):
		assert self.front.post(f"/v1/jobs/{job['id']}/cancel").status_code in (200, 202)

	def gone(self, node):
		"""It has ended already."""
		self.all.remove(node)

	def end(self):
		for job in self.jobs:
			if not self.look(job).get("finished_at"):
				self.cancel(job)
		failures = []
		for node in reversed(self.all):
			try:
				node.stop()
			except AssertionError as e:
				failures.append(str(e))
		assert not failures, "\n".join(failures)


@pytest.fixture
def nodes(folder, front):
	nodes = Nodes(folder, front)
	yield nodes
	nodes.end()


@pytest.fixture
def apart(folder, cluster):
	"""Nodes with a front of their own, of these settings, which has yet to start."""
	made = []

	def make(**settings):
		made.append(Nodes(folder, make_front(folder, cluster, **settings)))
		return made[-1]

	yield make
	for nodes in made:
		nodes.end()
		nodes.front.stop()


def sleeps(node):
	"""Whether a command's process lives below this node."""
	def below(pid):
		found = runner.children(pid)
		return found + [q for p in found for q in below(p)]
	for pid in below(node.pid):
		try:
			with open(f"/proc/{pid}/comm", encoding="ascii") as f:
				if f.read().strip() == "sleep":
					return True
		except (FileNotFoundError, ProcessLookupError):
			pass
	return False


def of(node, event):
	return [e for e in node.log_events() if e.get("event") == event]


def rested(nodes, job):
	said = nodes.ended(job)
	assert said["state"] == "succeeded", said
	output = nodes.front.get(f"/v1/jobs/{job['id']}/outputs/0")
	assert output.content == b"rested\n"
	return said


# ---- work ----

def test_work_alone_with_an_embedded_catalogue_is_refused(folder):
	r = run("work", "--data", folder / "data")
	assert r.returncode == 78 and "catalog.url" in r.stderr, r.stderr
	assert not (folder / "data").exists()


def test_a_node_that_would_not_find_the_others_files_is_refused(nodes, folder):
	r = run("work", "--data", folder / "elsewhere", settings=nodes.front.settings)
	assert r.returncode == 78 and "another data directory" in r.stderr, r.stderr


def test_a_job_waits_for_a_node_of_the_kind_that_its_op_asks_for(nodes):
	nodes.work("other", node__labels="images archive")
	job = nodes.add("nap")
	plain = nodes.add("gzip")
	assert nodes.ended(plain)["state"] == "succeeded" # whoever came first
	assert nodes.look(job)["state"] == "queued"
	nodes.work("mill")
	assert rested(nodes, job)["attempt"] == 1


def test_a_cancel_reaches_a_job_on_another_node(nodes):
	worker = nodes.work("mill")
	job = nodes.add("endless")
	nodes.runs(job, worker)
	nodes.cancel(job)
	assert nodes.ended(job)["state"] == "cancelled"
	eventually(lambda: not sleeps(worker), message="its process outlived it")


def test_who_reads_events_of_one_node_hears_of_ends_on_another(nodes):
	nodes.work("mill")
	with nodes.front.http.get(nodes.front.base + "/v1/events", stream=True, timeout=60) as stream:
		job = nodes.add("nap")
		for line in stream.iter_lines():
			if line.startswith(b"data:") and job["id"].encode() in line and b'"succeeded"' in line:
				break
		else:
			raise AssertionError("the stream ended")


def test_operators_see_the_nodes(apart):
	nodes = apart()
	first_admin(nodes.front)
	nodes.front.start()
	admin = sign_in(nodes.front, ADMIN)
	nodes.work("mill", node__labels="mill")
	rows = admin.get("/v1/admin/workers").json()["workers"]
	assert [(r["labels"], r["state"], r["alive"]) for r in rows] == [(["mill"], "working", True), ([], "working", True)]
	assert all(r["host"] and r["since"] <= r["beat_at"] < r["lease_until"] for r in rows), rows


def test_requests_count_on_every_node(folder, cluster):
	quota = 60 # one comes back each minute: not before the test has ended
	settings = {"catalog.url": Database(cluster, "limits").url, "limits.exempt": "", "limits.address": f"{quota}/1h"}
	with Server(folder / "a", data=folder / "data", settings=settings) as a, Server(folder / "b", data=folder / "data", settings=settings) as b:
		assert [a.get("/v1/ops").status_code for _ in range(quota + 1)] == [200] * quota + [429]
		let_through = []

		def refused():
			let_through.append(b.get("/v1/ops").status_code == 200)
			return not let_through[-1]
		eventually(refused, pause=0.25)
		assert sum(let_through) < quota, "only what came here was counted"


# ---- nodes that are lost ----

def test_what_lost_nodes_ran_is_run_by_another_and_one_that_comes_back_publishes_nothing(nodes):
	killed, stopped = nodes.work("killed", node__labels="well", **QUICK), nodes.work("stopped", node__labels="mill", **QUICK)
	endless, doze = nodes.add("endless"), nodes.add("doze")
	nodes.runs(doze, stopped)
	stopped.signal(signal.SIGSTOP)
	nodes.runs(endless, killed)
	third = nodes.work("third", **QUICK)
	assert nodes.running(endless)["attempt"] == 1, "who starts may not take back what another runs"
	killed.kill()
	nodes.gone(killed)
	said = rested(nodes, doze)
	assert said["attempt"] == 2, said
	eventually(lambda: nodes.look(endless)["attempt"] == 2 and nodes.runs(endless, third))
	nodes.cancel(endless)
	assert nodes.ended(endless)["state"] == "cancelled"
	stopped.signal(signal.SIGCONT)
	eventually(lambda: of(stopped, "heartbeat_failed"), message="it did not notice that its lease was over")
	assert nodes.look(doze) == said, "an end was published twice"
	third.stop()
	nodes.gone(third)
	rested(nodes, nodes.add("nap")) # by the one that came back, under another name


@pytest.mark.parametrize("ahead", [60, -60])
def test_a_wrong_clock_takes_no_job_from_a_node_that_lives(nodes, other_clock, ahead):
	"""Neither others', of one that is ahead, nor its own, of one that is behind: leases are in wall time."""
	quick = {**QUICK, "jobs.lease": "20s"} # which ends while nobody is kept from beating, and yet long before the wrong one's minute is over
	right = nodes.work("right", node__labels="well", **quick)
	there, before = nodes.add("endless"), of(nodes.front, "jobs_taken_back")
	nodes.runs(there, right)
	with Server(nodes.folder / "wrong", data=nodes.front.data, env=other_clock(ahead), settings={**nodes.front.settings, "node.labels": "mill", **quick}) as wrong:
		eventually(lambda: [e for e in of(wrong, "clock_apart") if e["ahead_ms"] // 1000 in (ahead - 1, ahead)])
		for _ in range(3): # several times as long as jobs.reclaim
			file = wrong.upload(random_bytes(20, time.monotonic_ns()))
			here = wrong.post(f"/v1/files/{file['id']}/jobs", json={"op": "doze"}).json()
			said = wrong.get(f"/v1/jobs/{here['id']}?wait=30").json()
			assert said["state"] == "succeeded" and said["attempt"] == 1, said
		assert nodes.look(there)["attempt"] == 1 and nodes.look(there)["state"] == "running"
		for node in (right, wrong):
			assert not of(node, "heartbeat_failed") and not of(node, "jobs_taken_back"), node.log()
		assert of(nodes.front, "jobs_taken_back") == before
	nodes.cancel(there)
	nodes.ended(there)


# ---- bytes ----

def test_a_sweep_leaves_alone_what_another_node_is_storing(apart):
	nodes = apart(**{"files.sweep_every": "100ms"})
	sweeper = nodes.work("sweeper") # it came first, so it does this for both
	nodes.front.start()
	front, body, stored = nodes.front, random_bytes(300_000, 1), []

	def slowly():
		yield body[:200_000]
		stored.append(eventually(front.blobs, message="nothing is being stored"))
		sweeps = len(of(sweeper, "sweep_done"))
		eventually(lambda: len(of(sweeper, "sweep_done")) >= sweeps + 2) # one of them has begun since
		yield body[200_000:]

	r = front.post("/v1/files?name=slow&ops=md5", data=slowly(), headers={"Content-Type": "application/octet-stream"})
	assert r.status_code == 201, r.text
	assert list(stored[0]) == [r.json()["id"]]
	assert front.get(f"/v1/files/{r.json()['id']}/content").content == body
	lost = front.data / "blobs/public/00/01900000-0000-7000-8000-000000000000" # of long ago, and nobody's
	lost.parent.mkdir(parents=True, exist_ok=True)
	lost.write_bytes(b"lost")
	eventually(lambda: not lost.exists(), message="nobody sweeps")
	assert not of(front, "sweep_done")


# ---- nodes that end ----

def test_a_node_that_is_to_end_lets_what_runs_end_by_itself(nodes):
	first = nodes.work("first")
	job = nodes.add("doze")
	nodes.runs(job, first)
	first.signal(signal.SIGTERM)
	assert first.wait() == 0
	assert nodes.look(job)["state"] == "succeeded"
	assert rested(nodes, job)["attempt"] == 1
	nodes.gone(first)


def test_a_node_that_has_no_time_to_drain_gives_its_job_back(nodes):
	first = nodes.work("first", node__drain="0s")
	job = nodes.add("endless")
	nodes.runs(job, first)
	first.signal(signal.SIGTERM)
	assert first.wait() == 0
	assert nodes.look(job)["state"] == "queued"
	nodes.gone(first)
	second = nodes.work("second")
	assert nodes.running(job)["attempt"] == 1, "an attempt that was given back counts"
	nodes.cancel(job)
	assert nodes.ended(job)["state"] == "cancelled" and not of(second, "jobs_taken_back")
