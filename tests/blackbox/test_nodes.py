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
from harness.postgres import Postgres
from harness.server import Server, eventually, run

pytestmark = pytest.mark.skipif(not installed(), reason="postgresql is not installed")

COMMANDS = {
	"nap": {"argv": ["/bin/sh", "-c", "sleep 0.3; echo rested"]},
	"doze": {"argv": ["/bin/sh", "-c", "sleep 2; echo rested"]},
	"endless": {"argv": ["/bin/sleep", "1000"]},
}
OPS = {name: {"node": "mill"} for name in COMMANDS} # so that the front runs none of them
_names = itertools.count()


@pytest.fixture(scope="module")
def cluster():
	server = Postgres()
	yield server
	server.close()


class Nodes:
	def __init__(self, folder, cluster, front=True, **settings):
		self.folder, self.all = folder, []
		self.settings = {"catalog.url": Database(cluster, f"nodes{next(_names)}").url, "commands": json.dumps(COMMANDS), "ops": json.dumps(OPS), **settings}
		self.front = Server(folder / "front", data=folder / "data", settings=self.settings)
		if front:
			self.begin_to_serve()

	def begin_to_serve(self):
		self.all.append(self.front.start())

	def _start(self, kind, name, **settings):
		node = kind(self.folder / name, data=self.folder / "data", settings={**self.settings, **settings})
		node.start()
		self.all.append(node)
		return node

	def work(self, name, **settings):
		return self._start(Worker, name, **{"node.labels": "mill", **{k.replace("__", "."): v for k, v in settings.items()}})

	def add(self, op):
		"""A job on a file of its own."""
		file = self.front.upload(random_bytes(20, time.monotonic_ns()))
		r = self.front.post(f"/v1/files/{file['id']}/jobs", json={"op": op})
		assert r.status_code == 202, r.text
		return r.json()

	def look(self, job):
		return self.front.get(f"/v1/jobs/{job['id']}").json()

	def running(self, job):
		return eventually(lambda: self.look(job)["state"] == "running" and self.look(job), message=lambda: f"does not run: {self.look(job)}")

	def ended(self, job):
		"""By one question that the front holds until it hears of the end, so long as it may."""
		return eventually(lambda: self.front.get(f"/v1/jobs/{job['id']}?wait=20").json().get("finished_at") and self.look(job))

	def end(self):
		failures = []
		for node in reversed(self.all):
			try:
				node.stop()
			except AssertionError as e:
				failures.append(str(e))
		assert not failures, "\n".join(failures)


@pytest.fixture
def make_nodes(folder, cluster):
	made = []

	def make(**more):
		made.append(Nodes(folder, cluster, **more))
		return made[-1]

	yield make
	for nodes in made:
		nodes.end()


@pytest.fixture
def nodes(make_nodes):
	return make_nodes()


@pytest.fixture
def quick(make_nodes):
	return make_nodes(**QUICK)


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
	nodes.running(job)
	eventually(lambda: sleeps(worker))
	assert nodes.front.post(f"/v1/jobs/{job['id']}/cancel").status_code in (200, 202)
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


def test_operators_see_the_nodes(make_nodes):
	nodes = make_nodes(front=False)
	first_admin(nodes.front)
	nodes.begin_to_serve()
	admin = sign_in(nodes.front, ADMIN)
	nodes.work("mill")
	rows = admin.get("/v1/admin/workers").json()["workers"]
	assert [(r["labels"], r["state"], r["alive"]) for r in rows] == [(["mill"], "working", True), ([], "working", True)]
	assert all(r["host"] and r["since"] <= r["beat_at"] < r["lease_until"] for r in rows), rows


# ---- nodes that are lost ----

def test_a_killed_nodes_job_runs_again_on_another_and_a_new_node_takes_nothing_from_the_living(quick):
	first = quick.work("first")
	job = quick.add("doze")
	quick.running(job)
	eventually(lambda: sleeps(first))
	second = quick.work("second")
	assert quick.running(job)["attempt"] == 1, "who starts may not take back what another runs"
	first.kill()
	said = rested(quick, job)
	assert said["attempt"] == 2, said
	quick.all.remove(first)


def test_a_node_that_was_stopped_past_its_lease_publishes_nothing_and_works_again(quick):
	first = quick.work("first")
	job = quick.add("doze")
	quick.running(job)
	eventually(lambda: sleeps(first))
	first.signal(signal.SIGSTOP)
	second = quick.work("second")
	said = rested(quick, job)
	assert said["attempt"] == 2
	first.signal(signal.SIGCONT)
	eventually(lambda: of(first, "heartbeat_failed"), message="it did not notice that its lease was over")
	assert quick.look(job) == said, "an end was published twice"
	second.stop()
	quick.all.remove(second)
	rested(quick, quick.add("nap")) # by the first, under another name


# ---- bytes ----

def test_a_sweep_leaves_alone_what_another_node_is_storing(make_nodes):
	nodes = make_nodes(front=False, **{"files.sweep_every": "300ms"})
	sweeper = nodes.work("sweeper") # it came first, so it does this for both
	nodes.begin_to_serve()
	front, body, stored = nodes.front, random_bytes(300_000, 1), []

	def slowly():
		yield body[:200_000]
		stored.append(eventually(front.blobs, message="nothing is being stored"))
		sweeps = len(of(sweeper, "sweep_done"))
		eventually(lambda: len(of(sweeper, "sweep_done")) >= sweeps + 3)
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
	nodes.running(job)
	eventually(lambda: sleeps(first))
	first.signal(signal.SIGTERM)
	assert first.wait() == 0
	assert nodes.look(job)["state"] == "succeeded"
	assert rested(nodes, job)["attempt"] == 1
	nodes.all.remove(first)


def test_a_node_that_has_no_time_to_drain_gives_its_job_back(nodes):
	first = nodes.work("first", node__drain="0s")
	job = nodes.add("endless")
	nodes.running(job)
	eventually(lambda: sleeps(first))
	first.signal(signal.SIGTERM)
	assert first.wait() == 0
	assert nodes.look(job)["state"] == "queued"
	nodes.all.remove(first)
	second = nodes.work("second")
	assert nodes.running(job)["attempt"] == 1, "an attempt that was given back counts"
	assert nodes.front.post(f"/v1/jobs/{job['id']}/cancel").status_code in (200, 202)
	assert nodes.ended(job)["state"] == "cancelled" and not of(second, "jobs_taken_back")
