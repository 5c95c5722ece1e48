"""What a state of the disk is held against: every promise that was made before the power went. Each function returns complaints; none is good."""
import http.client
import json
import shutil
import sqlite3
import time
from collections import Counter
from uuid import UUID

from disk import Mounted
from harness import auditlog, contract
from harness.data import sha256
from harness.server import Server, StartFailed, eventually, run
from life import EXPIRES, FINAL, GONE, LIVING, THERE

DELIVERED = 1 # as in src/model/webhook.h


class Wire:
	"""One connection; several times quicker than a library that can do more."""

	def __init__(self, server):
		self.connection = http.client.HTTPConnection(server.address, server.port, timeout=30)

	def get(self, path):
		self.connection.request("GET", path)
		r = self.connection.getresponse()
		body = r.read()
		contract.seen("GET", path, r.status, r.headers, body)
		return r.status, body

	def json(self, path):
		status, body = self.get(path)
		return status, json.loads(body)


# ---- files ----

def lost_files(wire, life, flush):
	"""Those that were acknowledged, that nobody asked to go, and that are not there, or not right."""
	lost = []
	for f in life.kept(flush):
		status, body = wire.get(f"/v1/files/{f.id}/content")
		if status != 200 or len(body) != f.size or sha256(body) != f.sha256:
			lost.append(f"file {f.id}: {status}, {len(body)} bytes of {f.size}")
	return lost


def wrong_files(wire, life, known):
	found = []
	for f in life.book.files.values():
		may_be = f.may_be(known)
		status, shown = wire.json(f"/v1/files/{f.id}")
		if status == 404 and None in may_be or status == 410 and {GONE, EXPIRES} & set(may_be):
			continue
		if status != 200 or not {THERE, EXPIRES, None} & set(may_be):
			found.append(f"file {f.id} may be {may_be}: {status} {shown.get('code')}")
		elif set(may_be) == {EXPIRES} and "expires_at" in shown:
			found.append(f"file {f.id} expired long ago and is there")
		else:
			found += wrong_jobs(wire, life, known, f, shown)
	return found


# ---- jobs ----

def wrong_jobs(wire, life, known, file, shown):
	found = []
	there = {j["id"]: j for j in shown["jobs"]}
	for job in file.jobs:
		may_be = job.may_be(known)
		now = there.get(job.id)
		if now is None:
			if None not in may_be and not (file in life.seeds and wire.get(f"/v1/jobs/{job.id}")[0] == 410):
				found.append(f"job {job.id} may be {may_be} and is not there")
		elif not any(is_so(now, what) for what in may_be):
			found.append(f"job {job.id} may be {may_be} and is {now}")
		elif now["state"] not in FINAL and not now["run_at"].startswith("2999"):
			found.append(f"job {job.id} does not end: {now}")
	recurring = [j for j in shown["jobs"] if j["op"] == "sha1"]
	if file in life.seeds and (len(recurring) > 1 or life.book.recurring in known and len(recurring) != 1):
		found.append(f"{len(recurring)} recurring jobs of {file.id}")
	for j in shown["jobs"]:
		found += wrong_outputs(wire, j)
	return found


def is_so(now, what):
	if what is None or what is LIVING:
		return now["state"] in LIVING
	return all(now[k] == what[k] for k in ("state", "result", "error", "attempt", "finished_at", "outputs"))


def wrong_outputs(wire, job):
	found = []
	for o in job["outputs"]:
		status, body = wire.get(o["href"])
		if status != 200 or sha256(body) != o["sha256"]:
			found.append(f"output {o['href']}: {status}, {len(body)} bytes")
	return found


# ---- webhooks ----

def untrue_words(wire, life, known):
	"""What a receiver was told of before the power went is so."""
	found = []
	retried = {i for _, act, i in life.book.acts if act == "job.retried"}
	for mark, told in life.book.hooked:
		file = life.book.files.get(told["file"])
		if mark not in known or told["id"] in retried or not file or set(file.may_be(known)) != {THERE}:
			continue
		status, now = wire.json(f"/v1/jobs/{told['id']}")
		if status != 200 or not is_so(now, told):
			found.append(f"a receiver was told {told} and it is {status} {now}")
	return found


def wrong_deliveries(data, life, known):
	"""Each end that was answered has a delivery, and each delivery has come."""
	db = sqlite3.connect(f"file:{data}/catalog.db?mode=ro", uri=True)
	rows = [(str(UUID(bytes=bytes(i))), state, json.loads(payload)["data"]) for i, state, payload in db.execute("SELECT id, state, payload FROM delivery")]
	db.close()
	found = [f"delivery {i} of {job['id']} is in state {state} and {'came' if i in life.receiver.came else 'did not come'}"
		 for i, state, job in rows if state != DELIVERED or i not in life.receiver.came]
	ends = {(job["id"], job["finished_at"]) for _, _, job in rows}
	for job in life.book.jobs.values():
		found += [f"no delivery tells of the end of job {job.id}: {what}" for mark, what in job.told
			  if mark in known and life.book.hook in known and job.file not in life.seeds and what is not LIVING and (job.id, what["finished_at"]) not in ends]
	return found


# ---- what is behind the interface ----

def wrong_audit(data, life, known):
	"""A line for each act that was acknowledged, and none for what nobody asked."""
	ok, told = auditlog.verify("--data", data)
	if not ok:
		return [f"audit: {told}"]
	lines = Counter((x["act"], x.get("job") or x.get("file")) for x in auditlog.lines(data))
	asked = Counter((act, i) for _, act, i in life.book.acts)
	answered = Counter((act, i) for mark, act, i in life.book.acts if mark in known)
	found = [f"audit: {key} {lines[key]} times and asked {asked[key]} times" for key in lines
		 if key[0] in ("file.stored", "file.deleted", "file.changed", "job.cancelled", "job.retried") and lines[key] > asked[key]]
	found += [f"audit: {key} {lines[key]} times and answered {n} times" for key, n in answered.items() if lines[key] < n]
	expired = [f.id for f in life.book.files.values() if set(f.may_be(known)) == {EXPIRES}]
	return found + [f"audit: {i} expired and is told {lines['file.expired', i]} times" for i in expired if lines["file.expired", i] != 1]


def wrong_by_fsck(data, allowed=()):
	r = run("fsck", "--read", "--json", "--data", data, timeout=60)
	if r.returncode not in (0, 1) or r.stderr:
		return [f"fsck ended with {r.returncode}: {r.stderr}"]
	return [f"fsck: {f}" for f in json.loads(r.stdout)["findings"] if f["code"] not in allowed]


def wrong_backup(folder, target, life, known):
	"""The last backup that ended well, or a later one, is whole."""
	done = [before for mark, before in life.book.backups if mark in known]
	data = folder / "restored"
	r = run("restore", target, "--data", data, timeout=60)
	try:
		if r.returncode != 0:
			return [f"restore ended with {r.returncode}: {r.stderr}"] if done else []
		db = sqlite3.connect(f"file:{data}/catalog.db?mode=ro", uri=True)
		there = {bytes(row[0]).hex() for row in db.execute("SELECT id FROM file")}
		db.close()
		found = [f"backup: {i} is not in it" for i in (done[-1] if done else []) if i.replace("-", "") not in there]
		ok, told = auditlog.verify("--data", data)
		return found + ([] if ok else [f"backup: {told}"]) + [f"backup, {x}" for x in wrong_by_fsck(data)]
	finally:
		shutil.rmtree(data, ignore_errors=True)


# ---- all of it ----

def settled(server, wire, life, known):
	"""Nothing is going on any more in a server that was just started: the sweep, the jobs, what has expired, the audit log."""
	waiting = [f.id for f in life.book.files.values() if set(f.may_be(known)) == {EXPIRES}]

	def busy():
		db = sqlite3.connect(f"file:{server.data}/catalog.db?mode=ro", uri=True)
		try:
			one = lambda text: db.execute(text).fetchone()[0]
			return {
				"jobs": one("SELECT count(*) FROM task WHERE run_at NOT BETWEEN 30000000000000 AND 40000000000000"),
				"audit entries": one("SELECT count(*) FROM audit"),
				"doomed blobs": one("SELECT count(*) FROM doomed"),
				"deliveries": one("SELECT count(*) FROM delivery WHERE state = 0"),
				"expired results": one(f"SELECT count(*) FROM result WHERE expires_at < {time.time() * 1000} AND expired_at IS NULL"),
				"expired files": sum(wire.get(f"/v1/files/{i}")[0] == 200 for i in waiting),
				"sweep": int(b'"sweep_done"' not in server.log_bytes()),
			}
		finally:
			db.close()
	eventually(lambda: not any(busy().values()), timeout=90, message=lambda: f"the server does not come to rest: {busy()}")


def server_on(life, point):
	"""The server on this state."""
	shutil.rmtree(life.folder / "after", ignore_errors=True)
	return Server(life.folder / "after", data=point / "data", settings=life.settings)


def lost(life, flush, image):
	"""Of this state only the files that were acknowledged: enough to catch a program that forgets a flush."""
	with Mounted(image, life.folder / "state", life.kind) as point:
		if not (point / "data/catalog.db").exists():
			return [f.id for f in life.kept(flush)]
		server = server_on(life, point)
		try:
			server.start()
			return lost_files(Wire(server), life, flush)
		finally:
			if server.running():
				server.kill()


def broken(life, flush, image):
	"""All that is wrong with this state."""
	known = life.known(flush)
	with Mounted(image, life.folder / "state", life.kind) as point:
		data = point / "data"
		if not (data / "catalog.db").exists():
			return ["there is no catalogue"] if known else []
		found = wrong_by_fsck(data, allowed=["blob_unreferenced"]) if known else []
		server = server_on(life, point)
		try:
			server.start()
			wire = Wire(server)
			settled(server, wire, life, known)
			found += lost_files(wire, life, flush) + wrong_files(wire, life, known) + untrue_words(wire, life, known)
			server.stop()
		except (AssertionError, StartFailed) as e:
			return [*found, str(e)]
		finally:
			if server.running():
				server.kill()
		found += wrong_deliveries(data, life, known) + wrong_audit(data, life, known) + wrong_by_fsck(data)
		return found + wrong_backup(life.folder, point / "backup", life, known)


def lost_backup(life, flush, image):
	"""Of this state only the backup that lies on it."""
	with Mounted(image, life.folder / "state", life.kind) as point:
		return wrong_backup(life.folder, point / "backup", life, life.known(flush))


def lost_on_disk(life, flush, image):
	"""The files that are not whole on a disk that holds nothing but the blobs."""
	with Mounted(image, life.folder / "state", life.kind) as point:
		gone = []
		for f in life.kept(flush):
			if f.size <= 32768:
				continue # in the catalogue's row
			found = list(point.glob(f"*/*/{f.id}"))
			if len(found) != 1 or sha256(found[0].read_bytes()) != f.sha256:
				gone.append(f.id)
		return gone
