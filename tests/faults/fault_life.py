"""One life of the server while calls of it fail, and what it promised meanwhile: to be held against what is there after kill -9 and a start without faults."""
import json
import sqlite3
import time
from pathlib import Path

from filecalls import FileCalls
from harness.auditlog import verify
from harness.data import md5, random_bytes
from harness.server import Server, StartFailed, eventually, run

SMALL, LARGE = random_bytes(4096, 1), random_bytes(100 * 1024, 2)
RAW = {"Content-Type": "x/y"}
TROUBLE = ("internal", "io_error", "storage_sealed", "storage_full", "storage_readonly", "catalog_unavailable")
FINAL = ("succeeded", "failed", "cancelled", "quarantined")
OWN_FILES = {"audit", "blobs", "catalog.db", "filemill.gate", "filemill.id", "lock"}


class Refused(Exception):
	"""A request got no success; what came before holds, what would have come after cannot be tried."""


class Life:
	def __init__(self, folder, shim, settings=None, **plan):
		self.folder = Path(folder)
		self.folder.mkdir(parents=True, exist_ok=True)
		self.server = Server(self.folder / "s", settings={"files.free_reserve": "0", **(settings or {})})
		self.arm = self.folder / "arm"
		self.faults = FileCalls(self.folder, shim, self.server.data.resolve(), **plan)
		self.files, self.gone, self.unclear = {}, set(), set() # by id; unclear: the file may be there or not
		self.jobs, self.outputs, self.keys = {}, {}, {} # states a job may end in; bytes by address; what a repeat with the key has to be answered with
		self.answers = []

	def start(self):
		self.server.env = self.faults.env
		try:
			self.server.start()
			return True
		except StartFailed as e:
			assert e.code is not None and e.code > 0, f"died of signal {e.code}: {e.stderr}"
			assert self.faults.failed(), f"it did not start, and nothing had failed: {e.stderr}"
			return False

	def start_anew(self):
		"""kill -9, then a start without faults. What the store refused is tried again by the clock: that is put back, so that nobody waits for it."""
		if self.server.running():
			self.server.kill()
		put_back(self.server.data)
		self.server.env = {}
		self.server.start()

	# ---- asking, and keeping what was acknowledged ----

	def request(self, method, path, **more):
		"""Any answer of the server; one that is no success must be a clear problem."""
		r = self.server.request(method, path, **more)
		self.answers.append((method, path, r.status_code))
		if r.status_code >= 400:
			assert r.headers["Content-Type"].startswith("application/problem+json"), r.text
			assert r.status_code in (500, 503, 507) and r.json()["code"] in TROUBLE, r.text
			assert self.faults.failed(), f"{method} {path} was refused, and nothing had failed: {r.text}"
		return r

	def must(self, method, path, **more):
		"""The answer's object; Refused when there is none."""
		r = self.request(method, path, **more)
		if r.status_code >= 400:
			raise Refused
		return r.json() if r.content else None

	def upload(self, data, query="", **headers):
		"""The file's id; None when it was refused."""
		r = self.request("POST", "/v1/files" + query, data=data, headers={**RAW, **headers})
		if r.status_code != 201:
			return None
		for j in r.json()["jobs"]:
			self.jobs[j["id"]] = {"succeeded"}
		self.files[r.json()["id"]] = data
		return r.json()["id"]

	def store(self, data, query="", **headers):
		"""The file's object; Refused when there is none."""
		i = self.upload(data, query, **headers)
		if i is None:
			raise Refused
		return self.must("GET", f"/v1/files/{i}")

	def delete(self, i):
		if self.request("DELETE", f"/v1/files/{i}").status_code == 204:
			self.gone.add(i)
		else:
			self.unclear.add(i) # refused, but a flush that failed leaves it open what is on disk

	def final(self, job):
		"""The job's end as it is told; Refused when a fault keeps it from one."""
		since = time.monotonic()
		while (j := self.must("GET", f"/v1/jobs/{job}?wait=" + ("0" if self.faults.failed() else "1")))["state"] not in FINAL:
			waited = time.monotonic() - since
			if self.faults.failed() and waited > 0.4:
				raise Refused
			assert waited < 60, f"nothing failed, and it does not end: {j}"
			time.sleep(0.02)
		assert j["state"] in self.jobs[job], j
		self.jobs[job] = {j["state"]} # what was told once holds
		return j

	def fetch(self, output):
		"""The bytes of a job's output."""
		r = self.request("GET", output["href"])
		assert r.status_code == 200 and len(r.content) == output["size"], r.text # what is told to be there can be read, whatever fails to be written
		self.outputs[output["href"]] = r.content
		return r.content

	# ---- what has to hold ----

	def check_reads(self):
		for i, data in self.files.items():
			if i in self.gone | self.unclear:
				continue
			r = self.server.get(f"/v1/files/{i}")
			assert r.status_code == 200, r.text
			for j in r.json()["jobs"]:
				assert j["op"] != "md5" or j["result"]["md5"] == md5(data)
			got = self.server.get(f"/v1/files/{i}/content")
			assert got.status_code == 200 and md5(got.content) == md5(data)
		for href, data in self.outputs.items():
			r = self.server.get(href)
			assert r.content == data if r.status_code == 200 else r.status_code == 410 and self.gone | self.unclear, r.text

	def check_sealed(self):
		"""A flush failed: no write is acknowledged any more, whatever the kernel says now; reads go on."""
		eventually(lambda: self.server.get("/readyz").status_code == 503, message="a flush failed and it says it is ready")
		some = next((i for i in self.files if i not in self.gone | self.unclear), None)
		tries = [("POST", "/v1/files", {"data": SMALL, "headers": RAW}), ("POST", "/v1/files", {"data": LARGE, "headers": RAW}), ("POST", "/v1/files", {"files": {"file": ("a", LARGE)}})]
		if some:
			tries += [("PATCH", f"/v1/files/{some}", {"json": {"name": "no"}}), ("POST", f"/v1/files/{some}/jobs", {"json": {"op": "sha512"}}),
				  ("POST", "/v1/jobs", {"json": {"jobs": [{"file": some, "op": "sha512"}]}}), ("DELETE", f"/v1/files/{some}", {})]
		for _ in range(2):
			for method, path, more in tries:
				r = self.request(method, path, **more)
				assert r.status_code == 503 and r.json()["code"] == "storage_sealed", f"{method} {path} after a failed flush: {r.status_code} {r.text}"
		self.check_reads()
		assert "filemill_storage_sealed 1" in self.server.get("/metrics").text
		assert self.server.get("/healthz").status_code == 200

	def check_recovers(self):
		"""A full disk is no failed flush: service comes back by itself."""
		eventually(lambda: self.server.post("/v1/files", data=LARGE, headers=RAW).status_code == 201, message="it did not recover")
		eventually(lambda: self.upload(SMALL), message="it did not recover")

	def check_goes_on(self):
		"""After a failure that was no failed flush the jobs end without a restart; what the store refused pauses some seconds before."""
		if "filemill_storage_sealed 1" in self.server.get("/metrics").text:
			return
		for i, states in self.jobs.items():
			def ended(i=i, states=states):
				r = self.server.get(f"/v1/jobs/{i}?wait=5")
				return r.status_code == 410 or r.json()["state"] in states
			eventually(ended, message=f"job {i} hangs after one failure")

	def check_after(self):
		"""Whatever was acknowledged is there after kill -9 and a start without faults, and nothing else lies about."""
		self.start_anew()
		self.check_reads()
		for i in self.gone:
			assert self.server.get(f"/v1/files/{i}").status_code == 410
		for i, states in self.jobs.items():
			job = self.server.get(f"/v1/jobs/{i}?wait=60")
			assert job.status_code == 410 or job.json()["state"] in states, job.text
		for key, (path, more, answer) in self.keys.items():
			r = self.server.post(path, **more)
			assert r.status_code == 201 and answer in (None, r.json()["id"]), f"{key}: {r.text}, not {answer}"
		self.check_bytes()
		assert self.server.get("/readyz").status_code == 200
		assert self.server.upload(LARGE)
		self.server.stop()
		assert {p.name for p in self.server.data.iterdir()} - OWN_FILES <= {"catalog.db-wal", "catalog.db-shm"}
		found = run("fsck", "--read", "--json", "--data", self.server.data, timeout=60)
		assert found.returncode == 0 and json.loads(found.stdout)["findings"] == [], found
		assert verify("--data", self.server.data)[0]

	def check_bytes(self):
		"""Rows and bytes are the same set once all work is done and the sweep was there. Also what was never acknowledged is whole, or not there."""
		eventually(lambda: not self.server.get("/v1/jobs?state=running&limit=1").json()["jobs"])
		eventually(lambda: set(self.server.blobs()) == named(self.server.data), message="bytes and rows differ after the sweep")
		for f in self.server.all_files():
			assert len(self.server.get(f"/v1/files/{f['id']}/content").content) == f["size"]
		for j in self.server.all_jobs():
			for o in j["outputs"] or []:
				assert len(self.server.get(o["href"]).content) == o["size"]


def named(data):
	"""The blobs that rows name."""
	db = sqlite3.connect(f"file:{data}/catalog.db?mode=ro", uri=True)
	try:
		text = [i.hex() for (i,) in db.execute("SELECT id FROM file WHERE deleted_at IS NULL AND location <> 0")]
		return {f"{i[:8]}-{i[8:12]}-{i[12:16]}-{i[16:20]}-{i[20:]}" for i in text} | {blob.rpartition("/")[2] for (blob,) in db.execute("SELECT blob FROM output")}
	finally:
		db.close()


def put_back(data):
	"""Jobs that are to be tried again within the next minute are due at once."""
	if not (data / "catalog.db").exists():
		return
	db = sqlite3.connect(data / "catalog.db")
	try:
		with db:
			db.execute("UPDATE task SET run_at = 0 WHERE state = 0 AND run_at < ?", ((time.time() + 60) * 1000,))
	except sqlite3.OperationalError as e:
		assert "no such table" in str(e), e # the first start did not come that far
	finally:
		db.close()
