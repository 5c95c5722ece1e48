"""kill -9 at random moments while 32 connections upload: whatever was acknowledged is there, whatever was not leaves nothing behind.

FILEMILL_KILL_ROUNDS asks for more rounds than the 200 of every run."""
import os
import random

import pytest
import requests

from harness import catalogue, storage, wire
from harness.data import md5
from harness.server import Server, eventually
from harness.swarm import Acknowledged, Swarm

ROUNDS = int(os.environ.get("FILEMILL_KILL_ROUNDS", "200"))
ROUNDS_A_DIRECTORY = 25
CONNECTIONS = 32
LEAST = 8 if storage.ON_S3 else 40 # uploads that a round is to have time for, on the average
SMALL, LARGE = 4096, 100 * 1024
FILLER = random.Random(1).randbytes(LARGE)

pytestmark = pytest.mark.disk # a kill is to meet flushes that take their time


class Traffic:
	"""Small and large files, raw and as forms; now and then jobs for the queue."""

	def __init__(self, rng):
		self.rng = rng

	def __call__(self, serial):
		kind = self.rng.random()
		size = SMALL if kind < 0.7 else LARGE
		body = b"%016x" % self.rng.getrandbits(64) + FILLER[16:size]
		if kind < 0.1:
			return "file", wire.post_raw(body, "/v1/files?ops=md5,sha512"), body
		if kind < 0.5 or kind > 0.85:
			return "file", wire.post_raw(body), body
		# `ops` behind the file cannot ride along: it goes through the queue
		return "file", wire.post_form(wire.form(wire.file_part(body), wire.field_part(b"ops", b"md5, sha1"))), body


class Round:
	def __init__(self, server, rng):
		self.server, self.rng = server, rng
		self.kept = {} # id → Acknowledged: everything this directory promised
		self.known = {} # id → size: everything that is in the catalogue
		self.longest_s, self.rounds = 0.2, 0

	def load_and_kill(self):
		swarm = Swarm(self.server, CONNECTIONS, Traffic(self.rng))
		swarm.run(self.rng.uniform(0.0, self.longest_s), then=self.server.kill)
		swarm.close()
		bad = [x for x in swarm.refused if x[0] != 503]
		assert not bad, bad[:3]
		for a in swarm.acknowledged:
			assert a.id not in self.kept, "an id was given twice"
			self.kept[a.id] = a
		self.rounds += 1
		if len(self.kept) < LEAST * self.rounds:
			self.longest_s *= 1.3 # else a round would hardly do anything on this machine
		return swarm.acknowledged

	def check(self, fresh):
		rows = {row["id"]: row for row in self.rows()}
		self.known.update((i, row["size"]) for i, row in rows.items())
		for a in fresh:
			self.check_row(a, rows.get(a.id))
		for a in self.rng.sample(fresh, min(5, len(fresh))) + self.rng.sample(list(self.kept.values()), min(5, len(self.kept))):
			self.check_one(a, content=True)
		self.check_blobs()

	def rows(self):
		"""Rows that came since the last look, newest first."""
		cursor = ""
		while True:
			page = self.server.get("/v1/files?limit=200" + (f"&cursor={cursor}" if cursor else "")).json()
			for row in page["files"]:
				if row["id"] in self.known:
					return
				yield row
			cursor = page["next"]
			if not cursor:
				return

	def check_one(self, a, content=False):
		r = self.server.get(f"/v1/files/{a.id}")
		assert r.status_code == 200, f"acknowledged and lost: {a.id}: {r.text}"
		self.check_row(a, r.json())
		self.check_content(a, content)

	def check_row(self, a, f):
		assert f is not None, f"acknowledged and lost: {a.id}"
		assert (f["number"], f["size"]) == (a.number, a.size)
		job = next(j for j in f["jobs"] if j["op"] == "md5")
		if job["state"] == "quarantined":
			self.retry(job)
		if job["state"] != "succeeded":
			job = self.server.get(f"/v1/jobs/{job['id']}?wait=60").json()
		assert job["state"] == "succeeded" and job["result"]["md5"] == a.md5, f"acknowledged and wrong: {a.id}: {job}"

	def check_content(self, a, content):
		if content:
			r = self.server.get(f"/v1/files/{a.id}/content")
			assert r.status_code == 200 and md5(r.content) == a.md5, f"acknowledged and wrong: {a.id}: {r.status_code}"

	def check_blobs(self):
		"""After the sweep that every start makes, the disk holds what the catalogue names and nothing else."""
		want = {i for i, size in self.known.items() if size > storage.INLINE_BYTES}
		if not catalogue.ON_POSTGRES: # there bytes without a row may be another node's upload until they are ten minutes old
			eventually(lambda: set(self.server.blobs()) <= want, message="unreferenced bytes remain after the sweep")
		assert want <= set(self.server.blobs()), "rows without bytes"

	def retry(self, job):
		assert job["error"]["code"] == "worker_lost", job
		r = self.server.post(f"/v1/jobs/{job['id']}/retry")
		assert r.status_code in (200, 202), r.text

	def retry_quarantined(self):
		"""A job that three kills in a row took along is set aside, as promised; by hand it goes on."""
		found = self.server.all_jobs("&state=quarantined")
		for job in found:
			self.retry(job)
			assert self.server.get(f"/v1/jobs/{job['id']}?wait=60").json()["state"] == "succeeded"
		assert len(found) * 100 <= len(self.known), f"{len(found)} of {len(self.known)} files' jobs set aside"

	def check_end(self):
		"""No job stays anywhere but at its end."""
		for state in ("running", "queued"):
			eventually(lambda: not self.server.get(f"/v1/jobs?state={state}&limit=1").json()["jobs"], message=f"jobs stay {state}")
		found = self.server.get("/v1/jobs?state=failed&limit=5").json()["jobs"]
		assert not found, found
		self.retry_quarantined()
		rows = {row["id"]: row for row in self.server.all_files()}
		for a in self.kept.values():
			self.check_row(a, rows.get(a.id))


@pytest.mark.parametrize("directory", range((ROUNDS + ROUNDS_A_DIRECTORY - 1) // ROUNDS_A_DIRECTORY))
def test_kill_at_random_moments(folder, directory):
	rng = random.Random(directory * 7919 + int(os.environ.get("FILEMILL_SEED", "0")))
	server = Server(folder / "s", settings={"http.connections_per_address": "200"})
	server.start()
	one, acknowledged, restarts = Round(server, rng), 0, 0
	rounds = min(ROUNDS_A_DIRECTORY, ROUNDS - directory * ROUNDS_A_DIRECTORY)
	while restarts < rounds or acknowledged <= restarts * LEAST // 4: # more of them where the first ones were too short for this machine
		assert restarts < 10 * rounds, f"the rounds did hardly anything: {acknowledged} files in {restarts} rounds"
		fresh = one.load_and_kill()
		acknowledged += len(fresh)
		server.start()
		restarts += 1
		one.check(fresh)
	one.check_end()
	server.stop()


def test_kill_while_it_starts(folder):
	"""The first moments: schema, lock, sweep."""
	import subprocess
	import time
	from harness.server import binary, clean_environment
	rng = random.Random(5)
	server = Server(folder / "s")
	for _ in range(15):
		p = subprocess.Popen(server.command(), env=clean_environment(data=server.data), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
		time.sleep(rng.uniform(0, 0.06))
		p.kill()
		p.wait()
	server.start()
	f = server.upload(b"x" * LARGE)
	server.kill()
	for _ in range(10):
		p = subprocess.Popen(server.command(), env=clean_environment(data=server.data), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
		time.sleep(rng.uniform(0, 0.06))
		p.kill()
		p.wait()
	server.start()
	assert md5(server.get(f"/v1/files/{f['id']}/content").content) == md5(b"x" * LARGE)
	server.stop()


def test_kill_while_files_are_deleted(folder):
	rng = random.Random(6)
	server = Server(folder / "s")
	server.start()
	for _ in range(5):
		files = [server.upload(b"%d" % i + b"x" * LARGE) for i in range(12)]
		deleted = []
		for f in files[:rng.randrange(1, 12)]:
			assert requests.delete(server.base + f"/v1/files/{f['id']}").status_code == 204
			deleted.append(f["id"])
		server.kill()
		server.start()
		for f in files:
			r = server.get(f"/v1/files/{f['id']}")
			assert r.status_code == (410 if f["id"] in deleted else 200), "a delete that was answered came back"
		want = {f["id"] for f in server.all_files()}
		eventually(lambda: set(server.blobs()) == want, message="bytes and rows differ")
	server.stop()


def test_the_check_notices_what_is_lost(folder):
	"""A test of the tests above: bytes or rows that are missing do not pass."""
	server = Server(folder / "s", settings={"http.connections_per_address": "200"}).start()
	one, fresh = Round(server, random.Random(1)), []
	while not any(a.size == LARGE for a in fresh):
		fresh += one.load_and_kill()
		server.start()
	lost = next(a for a in fresh if a.size == LARGE)
	server.blob(lost.id).remove()
	with pytest.raises(AssertionError, match="rows without bytes|acknowledged and wrong"):
		one.check(fresh)
		one.check_one(lost, content=True)
	never = Acknowledged("file", "01890a5d-ac96-774b-bcce-b302099a8057", 1, 1, "0" * 32, b"")
	with pytest.raises(AssertionError, match="acknowledged and lost"):
		one.check_one(never)
	server.kill()
