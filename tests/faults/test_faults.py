"""Every call that writes, flushes or names a file fails once, then for good: never an acknowledgement without the bytes, and after a
failed flush no acknowledgement at all (PROMISES.md, "When things break").

A sweep runs the same scenario with the first, the second, the third … call failing until it passes without a fault. shim.c does the failing."""
import errno
import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from harness.auditlog import verify
from harness.data import md5, random_bytes
from harness.server import REPOSITORY, SLOW, Server, StartFailed, binary, eventually

FLUSHES = ("fsync", "fdatasync")
STEP = 7 if SLOW else 1 # under a sanitizer every seventh call
MOST = 2000 # calls: a scenario that needs more does not end
SMALL, LARGE = random_bytes(4096, 1), random_bytes(100 * 1024, 2)


@pytest.fixture(scope="session")
def shim(tmp_path_factory):
	"""From the build directory of the program; else compiled here."""
	for parent in Path(binary()).parents[:4]:
		if (parent / "tests/faults/faultshim.so").exists():
			return str(parent / "tests/faults/faultshim.so")
	target = tmp_path_factory.mktemp("shim") / "faultshim.so"
	subprocess.run(["cc", "-std=gnu2x", "-O1", "-fPIC", "-shared", "-o", target, REPOSITORY / "tests/faults/shim.c", "-ldl", "-lpthread"], check=True)
	return str(target)


class Run:
	"""One life of the server under the shim, and what it promised meanwhile."""

	def __init__(self, folder, shim, **plan):
		self.folder = Path(folder)
		self.log_path, self.arm = self.folder / "calls", self.folder / "arm"
		self.server = Server(self.folder / "s", settings={"files.free_reserve": "0"})
		self.folder.mkdir(parents=True, exist_ok=True)
		self.server.data.parent.mkdir(parents=True, exist_ok=True)
		self.env = {"LD_PRELOAD": shim, "SHIM_DIR": str(self.server.data.resolve()), "SHIM_LOG": str(self.log_path),
			    "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "exitcode=99") + ":verify_asan_link_order=0", **{"SHIM_" + k.upper(): str(v) for k, v in plan.items()}}
		self.files, self.gone, self.unclear, self.jobs = {}, set(), set(), set()
		self.answers = []

	def calls(self):
		return self.log_path.read_text().splitlines() if self.log_path.exists() else []

	def failed(self):
		return [line.split() for line in self.calls() if line.endswith(" FAIL")]

	def flush_failed(self):
		"""SQLite flushes the directory for its journals with fdatasync and ignores the outcome; the catalogue does it again, with fsync, before anything
		is acknowledged, and minds. An audit file's failed flush stops the log alone: its lines stay in the catalogue."""
		return [f for f in self.failed() if f[1] in FLUSHES and f[1:3] != ["fdatasync", "."] and not f[2].startswith("./audit/")]

	def start(self):
		self.server.env = self.env
		try:
			self.server.start()
			return True
		except StartFailed as e:
			assert e.code is not None and e.code > 0, f"died of signal {e.code}: {e.stderr}"
			assert self.failed(), f"it did not start, and nothing had failed: {e.stderr}"
			return False

	def request(self, method, path, **more):
		"""Any answer of the server; one that is no success must be a clear problem."""
		r = self.server.request(method, path, **more)
		self.answers.append((method, path, r.status_code))
		if r.status_code >= 400:
			assert r.headers["Content-Type"].startswith("application/problem+json"), r.text
			assert r.status_code in (500, 503, 507) and r.json()["code"] in ("internal", "io_error", "storage_sealed", "storage_full", "storage_readonly", "catalog_unavailable"), r.text
			assert self.failed(), f"{method} {path} was refused, and nothing had failed: {r.text}"
		return r

	def upload(self, data):
		r = self.request("POST", "/v1/files", data=data, headers={"Content-Type": "x/y"})
		if r.status_code == 201:
			self.files[r.json()["id"]] = data
			return r.json()["id"]
		return None

	def scenario(self):
		"""A small and a large file, a job, a change, a deletion."""
		ids = [self.upload(SMALL), self.upload(LARGE), self.upload(LARGE + b"to be deleted")]
		stored = [i for i in ids if i]
		if stored:
			r = self.request("POST", f"/v1/files/{stored[-1]}/jobs", json={"op": "sha1"})
			if r.status_code == 202:
				self.jobs.add(r.json()["id"])
				self.request("GET", f"/v1/jobs/{r.json()['id']}?wait=1")
			self.request("PATCH", f"/v1/files/{stored[0]}", json={"name": "changed"})
		if ids[2]:
			if self.request("DELETE", f"/v1/files/{ids[2]}").status_code == 204:
				self.gone.add(ids[2])
			else:
				self.unclear.add(ids[2]) # refused, but a flush that failed leaves it open what is on disk
		self.request("GET", "/v1/files")

	def check_reads(self):
		for i, data in self.files.items():
			if i in self.gone | self.unclear:
				continue
			r = self.server.get(f"/v1/files/{i}")
			assert r.status_code == 200, r.text
			assert next(j for j in r.json()["jobs"] if j["op"] == "md5")["result"]["md5"] == md5(data)
			got = self.server.get(f"/v1/files/{i}/content")
			assert got.status_code == 200 and md5(got.content) == md5(data)

	def check_sealed(self):
		"""A flush failed: no write is acknowledged any more, whatever the kernel says now; reads go on."""
		eventually(lambda: self.server.get("/readyz").status_code == 503, message="a flush failed and it says it is ready")
		some = next((i for i in self.files if i not in self.gone), None)
		tries = [("POST", "/v1/files", {"data": SMALL, "headers": {"Content-Type": "x/y"}}), ("POST", "/v1/files", {"data": LARGE, "headers": {"Content-Type": "x/y"}}),
			 ("POST", "/v1/files", {"files": {"file": ("a", LARGE)}})]
		if some:
			tries += [("PATCH", f"/v1/files/{some}", {"json": {"name": "no"}}), ("POST", f"/v1/files/{some}/jobs", {"json": {"op": "sha512"}}), ("DELETE", f"/v1/files/{some}", {})]
		for _ in range(2):
			for method, path, more in tries:
				r = self.request(method, path, **more)
				assert r.status_code == 503 and r.json()["code"] == "storage_sealed", f"{method} {path} after a failed flush: {r.status_code} {r.text}"
		self.check_reads()
		assert "filemill_storage_sealed 1" in self.server.get("/metrics").text
		assert self.server.get("/healthz").status_code == 200

	def check_recovers(self):
		"""A full disk is no failed flush: service comes back by itself."""
		eventually(lambda: self.server.post("/v1/files", data=LARGE, headers={"Content-Type": "x/y"}).status_code == 201, message="it did not recover")
		eventually(lambda: self.upload(SMALL), message="it did not recover")

	def check_after(self):
		"""kill -9, then a start without the shim: whatever was acknowledged is there, and nothing else lies about."""
		if self.server.running():
			self.server.kill()
		self.server.env = {}
		self.server.start()
		self.check_reads()
		for i in self.gone:
			assert self.server.get(f"/v1/files/{i}").status_code == 410
		for i in self.jobs:
			job = self.server.get(f"/v1/jobs/{i}?wait=20")
			assert job.status_code == 410 or job.json()["state"] in ("succeeded", "cancelled"), job.text
		rows = self.server.all_files()
		want = {f["id"] for f in rows if f["size"] > 32 * 1024}
		eventually(lambda: set(self.server.blobs()) == want, message="bytes and rows differ after the sweep")
		for f in rows: # also those that were never acknowledged: whole, or not there
			assert len(self.server.get(f"/v1/files/{f['id']}/content").content) == f["size"]
		assert self.server.get("/readyz").status_code == 200
		assert self.server.upload(LARGE)
		self.server.stop()
		assert verify("--data", self.server.data)[0]


def one(folder, shim, n, plan, recovers):
	"""True when the n-th call came about, and failed."""
	run = Run(folder / str(n), shim, at=n, **plan)
	try:
		if run.start():
			run.scenario()
			if run.flush_failed() and not plan.get("short"):
				run.check_sealed()
			elif run.failed() and recovers and not run.flush_failed():
				run.check_recovers()
		failed = run.failed()
		run.check_after()
		return bool(failed)
	except BaseException as e:
		failed = run.failed()
		raise AssertionError(f"call {n} ({' '.join(failed[0]) if failed else 'none failed'}), answers {run.answers[-8:]}: {str(e)[:600]}\n{run.server.log()[-600:]}") from e
	finally:
		if run.server.running():
			run.server.kill()
		shutil.rmtree(run.folder, ignore_errors=True)


PLANS = {
	"EIO once": ({"errno": errno.EIO}, False),
	"EIO for good": ({"errno": errno.EIO, "sticky": 1}, False),
	"ENOSPC once": ({"errno": errno.ENOSPC}, True),
	"ENOSPC for good": ({"errno": errno.ENOSPC, "sticky": 1}, False),
	"short writes": ({"short": 1}, False),
}


@pytest.mark.parametrize("name", PLANS)
def test_each_call_fails_in_turn(folder, shim, name):
	plan, recovers = PLANS[name]
	failures, done = [], False
	with ThreadPoolExecutor(2) as pool:
		for start in range(1, MOST, 8 * STEP):
			for n, task in [(n, pool.submit(one, folder, shim, n, plan, recovers)) for n in range(start, start + 8 * STEP, STEP)]:
				try:
					done |= not task.result()
				except AssertionError as e:
					failures.append(str(e))
			if done or len(failures) >= 8:
				break
	assert not failures, f"{len(failures)} points failed:\n\n" + "\n\n".join(failures[:8])
	assert done, "the scenario never ended"


def test_the_sweep_meets_every_kind_of_call(folder, shim):
	"""The harness' own: the shim sees what it must see, or the sweep would prove nothing."""
	run = Run(folder / "count", shim)
	assert run.start()
	run.scenario()
	kinds = {line.split()[1] for line in run.calls()}
	assert {"create", "write", "pwrite", "mkdir", "unlink"} <= kinds and kinds & set(FLUSHES), kinds
	paths = [line.split()[2] for line in run.calls() if line.split()[1] in FLUSHES]
	assert any("catalog.db" in p for p in paths) and any(re.search(r"blobs/.+", p) for p in paths), paths
	blob = [i for i, line in enumerate(run.calls()) if re.search(r" (fsync|fdatasync) \./blobs/public/..$", line)]
	assert blob, "the folder of a new blob is not flushed"
	run.check_after()


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["inline", "on disk"])
@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
@pytest.mark.parametrize("call", FLUSHES)
def test_a_flush_that_failed_once_is_never_forgiven(folder, shim, data, error, call):
	"""Linux tells a lost page once and says OK the next time; so one failure ends all acknowledgements until a restart."""
	run = Run(folder / "r", shim, at=1, errno=error, only=call, arm=folder / "r" / "arm")
	assert run.start()
	kept = [run.upload(SMALL), run.upload(LARGE)]
	run.arm.touch()
	r = run.request("POST", "/v1/files", data=data, headers={"Content-Type": "x/y"})
	if not run.failed():
		assert r.status_code == 201 # this upload needs no such flush; another one has to
		run.files[r.json()["id"]] = data
		assert call == "fsync" or data is LARGE, "an inline upload is flushed by nothing"
		run.check_after()
		return
	assert r.status_code in (500, 503, 507), "acknowledged although its flush failed"
	run.check_sealed()
	run.server.kill()
	run.server.env = {}
	run.server.start()
	assert all(kept)
	run.check_after()


def test_a_stop_after_a_failed_flush_ends_too(folder, shim):
	run = Run(folder / "r", shim, at=1, only="fdatasync", sticky=1, arm=folder / "r" / "arm")
	assert run.start()
	run.upload(LARGE)
	run.arm.touch()
	run.request("POST", "/v1/files", data=SMALL, headers={"Content-Type": "x/y"})
	run.check_sealed()
	run.server.process.terminate()
	run.server.wait() # any code: what counts is that it ends, and that nothing is lost
	run.check_after()
