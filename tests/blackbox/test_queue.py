"""The queue: who is next, how long, how many at once and how many in all; what is cancelled, tried again or set aside."""
import json
import re
import time
from datetime import datetime, timedelta, timezone

import pytest

from harness import runner
from harness.data import random_bytes
from harness.images import png
from harness.server import eventually, problem

COMMANDS = {
	"endless": {"argv": ["/bin/sleep", "1000"]},
	"family": {"argv": ["/bin/sh", "-c", "sleep 1000 & setsid sleep 1000 & sleep 1000"]},
	"nap": {"argv": ["/bin/sleep", "0.02"]},
	"doze": {"argv": ["/bin/sleep", "0.25"]},
	"complain": {"argv": ["/bin/sh", "-c", "exit 3"]},
}
PIPELINES = {"packed": ["gzip"]}


@pytest.fixture
def mill(make_server):
	def make(ops=None, **settings):
		settings = {k.replace("__", "."): str(v) for k, v in settings.items()}
		return make_server(surfaces=["all"], settings={"commands": json.dumps(COMMANDS), "pipelines": json.dumps(PIPELINES), "ops": json.dumps(ops or {}), **settings})
	return make


def later(**delta):
	return (datetime.now(timezone.utc) + timedelta(**delta)).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def add(server, op, file=None, **more):
	"""A job on a file of its own, or on this one."""
	file = file or server.upload(random_bytes(20, time.monotonic_ns()))
	r = server.post(f"/v1/files/{file['id']}/jobs", json={"op": op, **more})
	assert r.status_code == 202, r.text
	return r.json()


def add_many(server, jobs):
	"""All in one transaction, each on a file of its own."""
	files = [server.upload(random_bytes(20, time.monotonic_ns() + i)) for i in range(len(jobs))]
	r = server.post("/v1/jobs", json={"jobs": [{"file": f["id"], **j} for f, j in zip(files, jobs)]})
	assert r.status_code == 202, r.text
	return r.json()["jobs"]


def look(server, job):
	return server.get(f"/v1/jobs/{job['id']}").json()


def ended(server, job):
	return server.get(f"/v1/jobs/{job['id']}?wait=60").json()


def in_state(server, job, state):
	return eventually(lambda: look(server, job)["state"] == state, message=lambda: f"not {state}: {look(server, job)}")


def below(pid):
	"""All processes below this one."""
	found = runner.children(pid)
	return found + [q for p in found for q in below(p)]


def sleepers(pid):
	found = []
	for p in below(pid):
		try:
			with open(f"/proc/{p}/comm") as f:
				found += [p] if f.read().strip() == "sleep" and runner.state(p) not in ("", "Z") else []
		except (FileNotFoundError, ProcessLookupError):
			pass
	return found


def family(server):
	"""The three processes of the command of this name, once all have begun."""
	eventually(lambda: len(sleepers(server.pid)) == 3, message="the command's three processes did not begin")
	return sleepers(server.pid)


def gone(pids):
	return all(runner.state(p) in ("", "Z") for p in pids)


# ---- cancel ----

def test_a_cancelled_jobs_processes_are_gone_without_its_own_end(mill):
	server = mill()
	job = add(server, "family")
	pids = family(server)
	r = server.post(f"/v1/jobs/{job['id']}/cancel")
	assert r.status_code in (200, 202), r.text
	said = ended(server, job)
	assert said["state"] == "cancelled" and said["error"]["code"] == "cancelled", said
	eventually(lambda: gone(pids), message="a process outlived its cancelled job")
	assert ended(server, add(server, "nap"))["state"] == "succeeded", "no other job may begin in its place"


def test_deleting_a_file_ends_its_running_job(mill):
	server = mill()
	file = server.upload(b"goes away")
	add(server, "family", file)
	pids = family(server)
	assert server.delete(f"/v1/files/{file['id']}").status_code == 204
	eventually(lambda: gone(pids), message="a process outlived its file")


# ---- lost workers, lost children ----

def test_a_job_over_which_three_workers_died_is_set_aside_until_somebody_retries_it(mill):
	server = mill(jobs__threads=1)
	job, behind = add(server, "family"), add(server, "nap", run_at=later(hours=1))
	for deaths in range(1, 4):
		in_state(server, job, "running")
		pids = family(server)
		server.kill()
		eventually(lambda: gone(pids), message="a process outlived its server")
		server.start()
		assert look(server, job)["state"] in (("queued", "running") if deaths < 3 else ("quarantined",)), deaths
	said = ended(server, job)
	assert said["state"] == "quarantined" and said["finished_at"] and said["outputs"] == [], said
	assert look(server, behind)["state"] == "queued", "who only waited has lost nothing"
	assert sleepers(server.pid) == []
	r = server.post(f"/v1/jobs/{job['id']}/retry")
	assert r.status_code in (200, 202), r.text
	in_state(server, job, "running")
	server.post(f"/v1/jobs/{job['id']}/cancel")
	assert ended(server, job)["state"] == "cancelled"


def test_a_job_whose_sealed_process_is_killed_is_tried_again_as_often_as_it_may(mill):
	server = mill(jobs__threads=1)
	job = add(server, "family", max_attempts=2)
	for attempt in (1, 2):
		pids = family(server)
		assert look(server, job)["attempt"] == attempt
		runner.kill(runner.sealed(server))
		eventually(lambda: gone(pids), message="the command outlived the process that held it")
	said = ended(server, job)
	assert said["state"] == "failed" and said["attempt"] == 2 and said["error"]["code"] in ("runner_lost", "runner_crashed"), said


# ---- retry by hand ----

def test_a_retry_by_hand_begins_anew(mill):
	server = mill()
	job = add(server, "complain", max_attempts=1)
	first = ended(server, job)
	assert first["state"] == "failed" and first["error"]["code"] == "command_failed" and first["attempt"] == 1
	for _ in range(2):
		r = server.post(f"/v1/jobs/{job['id']}/retry")
		assert r.status_code in (200, 202) and r.json()["state"] in ("queued", "running", "failed"), r.text
		again = ended(server, job)
		assert again["state"] == "failed" and again["attempt"] == 1 and again["id"] == job["id"]
		assert again["started_at"] >= first["finished_at"], "it did not run again"
		first = again


# ---- deadline, priority ----

def test_an_ops_wall_time_ends_its_jobs(mill):
	server = mill(ops={"endless": {"wall_time": "300ms", "max_attempts": 1}})
	said = ended(server, add(server, "endless"))
	assert said["state"] == "failed" and said["error"]["code"] == "limit_time" and said["max_attempts"] == 1, said
	eventually(lambda: sleepers(server.pid) == [])


def test_what_is_urgent_begins_first(mill):
	server = mill(jobs__threads=1)
	holder = add(server, "endless")
	in_state(server, holder, "running")
	jobs = add_many(server, [{"op": "nap", "priority": p} for p in (7, 3, 0, 5, 0, 3, 7, 1)])
	server.post(f"/v1/jobs/{holder['id']}/cancel")
	began = sorted((ended(server, j)["started_at"], j["priority"]) for j in jobs)
	assert [p for _, p in began] == [0, 0, 1, 3, 3, 5, 7, 7]


# ---- how many at once ----

def most_at_once(jobs):
	moments = sorted([(j["started_at"], 1) for j in jobs] + [(j["finished_at"], -1) for j in jobs])
	now = most = 0
	for _, by in moments: # of one moment the ends come first
		now += by
		most = max(most, now)
	return most


def test_no_more_jobs_of_an_op_run_at_once_than_its_concurrency(mill):
	server = mill(ops={"nap": {"concurrency": 1}}, jobs__threads=4)
	jobs = [ended(server, j) for j in add_many(server, [{"op": "nap"}] * 6)]
	assert {j["state"] for j in jobs} == {"succeeded"} and most_at_once(jobs) == 1, jobs


def test_no_more_jobs_of_an_owner_run_at_once_than_the_limit(mill):
	server = mill(jobs__threads=4, jobs__owner_concurrency=2)
	jobs = [ended(server, j) for j in add_many(server, [{"op": "doze"}, {"op": "nap"}] * 3)]
	assert {j["state"] for j in jobs} == {"succeeded"} and most_at_once(jobs) <= 2, jobs


# ---- how many in all ----

def thumbnail(server):
	return server.post("/uploadFile", files={"file": ("a.png", png(20, 20))})


QUEUEING = {
	"raw upload": lambda s, f, j: s.post("/v1/files?ops=gzip", data=b"x", headers={"Content-Type": "text/plain"}),
	"raw upload, large": lambda s, f, j: s.post("/v1/files?ops=gzip", data=bytes(300_000), headers={"Content-Type": "text/plain"}),
	"form upload": lambda s, f, j: s.post("/v1/files", files={"file": ("a", b"x")}, data={"ops": "gzip"}),
	"pipeline": lambda s, f, j: s.post("/v1/files?pipeline=packed", data=b"x", headers={"Content-Type": "text/plain"}),
	"job on a file": lambda s, f, j: s.post(f"/v1/files/{f['id']}/jobs", json={"op": "gzip"}),
	"list of jobs": lambda s, f, j: s.post("/v1/jobs", json={"jobs": [{"file": f["id"], "op": "gzip"}]}),
	"retry": lambda s, f, j: s.post(f"/v1/jobs/{j['id']}/retry"),
	"image-stages": lambda s, f, j: thumbnail(s),
}


@pytest.mark.parametrize("limit", ["jobs.queue_max", "jobs.owner_queue_max"])
def test_a_full_queue_refuses_all_that_would_join_it_and_says_when_to_come_again(mill, limit):
	server = mill(**{limit.replace(".", "__"): 3})
	file, failed = server.upload(b"f"), add(server, "complain", max_attempts=1)
	assert ended(server, failed)["state"] == "failed"
	waiting = [add(server, "nap", run_at=later(hours=1)) for _ in range(3)]
	files, jobs = len(server.all_files()), len(server.all_jobs())
	for what, ask in QUEUEING.items():
		r = ask(server, file, failed)
		assert r.status_code == 429, (what, r.status_code, r.text)
		if what != "image-stages":
			assert problem(r, 429, "queue_full")["limit"] == 3, what
		assert 3000 <= int(r.headers["Retry-After"]) <= 5000, (what, "nothing begins within the hour", r.headers)
	assert (len(server.all_files()), len(server.all_jobs())) == (files, jobs), "something of it was kept"
	eventually(lambda: not [b for b in server.blobs().values() if b == 300_000], message="bytes of a refused upload stayed")
	# what does not wait is taken
	assert server.post("/v1/files?ops=md5,sha256", data=b"y", headers={"Content-Type": "text/plain"}).status_code == 201
	assert server.post("/uploadfile", files={"file": ("a", b"z")}).json()["success"] is True
	assert server.post("/hashes", files={"file": ("a", b"z")}).status_code == 200
	# and there is room as soon as one goes
	server.post(f"/v1/jobs/{waiting[0]['id']}/cancel")
	assert QUEUEING["job on a file"](server, file, failed).status_code == 202


def test_a_refused_upload_may_come_again_with_its_key(mill):
	server = mill(jobs__queue_max=1)
	waiting = add(server, "nap", run_at=later(hours=1))
	def send():
		return server.post("/v1/files?ops=gzip", data=b"once", headers={"Content-Type": "text/plain", "Idempotency-Key": "k"})
	assert send().status_code == 429
	server.post(f"/v1/jobs/{waiting['id']}/cancel")
	first = send()
	assert first.status_code == 201 and "Idempotency-Replayed" not in first.headers
	assert send().json()["id"] == first.json()["id"]


def test_when_to_come_again_follows_from_how_fast_the_queue_empties(mill):
	server = mill(jobs__threads=1, jobs__queue_max=60)
	file = server.upload(b"f")
	jobs = add_many(server, [{"op": "doze"}] * 60)
	in_state(server, jobs[3], "succeeded")
	def told(n):
		"""How many jobs must go before there is room for n more, and the seconds told."""
		r = server.post("/v1/jobs", json={"jobs": [{"file": file["id"], "op": "doze"}] * n})
		waiting, more = re.search(r"; (\d+) wait and (\d+) would", problem(r, 429, "queue_full")["detail"]).groups()
		assert int(more) == n
		return int(waiting) + n - 60, int(r.headers["Retry-After"])
	few, soon = told(60) # refused as long as any waits
	many, late = told(200)
	for n, s in ((few, soon), (many, late)):
		assert s >= int(n * 0.25), "sooner than one thread can make room, a quarter of a second each"
	assert late > soon
