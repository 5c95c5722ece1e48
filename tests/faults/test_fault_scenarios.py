"""Calls that write, flush or name a file fail over what the server does beside storing: ops with outputs, cancel, retry, idempotent repeats, webhooks, expiry, the sweep, recurring
jobs, the scrub, a backup and fsck beside it. What was acknowledged, told to a webhook or seen to have ended holds after kill -9 and a start without faults.

A few places of each scenario, drawn with a seed, every kind of call before one comes twice; all of them with FILEMILL_FAULTS=all."""
import errno
import gzip
import io
import json
import os
import random
import shutil
import sqlite3
import subprocess
import time
import zipfile
from pathlib import Path

import pytest
from fault_life import LARGE, SMALL, Life, Refused
from filecalls import FileCalls
from harness.data import random_bytes
from harness.images import png, png_size
from harness.receiver import Receiver
from harness.server import SLOW, Server, binary, clean_environment, eventually, run

ALL = os.environ.get("FILEMILL_FAULTS") == "all"
SEED = int(os.environ.get("FILEMILL_SEED", "1"))
POINTS = 1 if SLOW else 2 # places of one scenario and plan
DAY_MS = 24 * 3600 * 1000
PICTURE = png(40, 30)
PLANS = {
	"EIO once": {"errno": errno.EIO},
	"EIO for good": {"errno": errno.EIO, "sticky": 1},
	"ENOSPC once": {"errno": errno.ENOSPC},
	"ENOSPC for good": {"errno": errno.ENOSPC, "sticky": 1},
	"short writes": {"short": 1},
}


class Scenario:
	settings = {"jobs.beat": "100ms", "jobs.lease": "2s", "jobs.reclaim": "100ms"}
	steps = () # each is played whatever became of the one before

	def prepare(self, server):
		"""What is there before, without faults; the data directory of each life is a copy."""

	def begin(self, life):
		"""What a life's checks begin with."""

	def dead(self, life):
		"""What has to hold when the server was killed, before it starts."""

	def check(self, life):
		"""What has to hold beside the promises that every life keeps, after a start without faults."""


# ---- ops, cancel, retry, idempotent repeats ----

def outputs(life):
	f = life.store(LARGE + b"made of", "?ops=gzip,zip;after=gzip")
	packed, parcel = (life.final(j["id"]) for j in sorted(f["jobs"], key=lambda j: ("gzip", "zip").index(j["op"])))
	assert gzip.decompress(life.fetch(packed["outputs"][0])) == LARGE + b"made of"
	assert zipfile.ZipFile(io.BytesIO(life.fetch(parcel["outputs"][0]))).testzip() is None


def picture(life):
	f = life.store(PICTURE, "?ops=resize;width=20;format=png")
	assert png_size(life.fetch(life.final(f["jobs"][0]["id"])["outputs"][0])) == (20, 15)


def cancelled(life):
	f = life.store(SMALL)
	j = life.must("POST", f"/v1/files/{f['id']}/jobs", json={"op": "sha1", "run_at": "2099-01-01T00:00:00.000Z"})
	life.jobs[j["id"]] = {"queued", "cancelled"}
	life.must("POST", f"/v1/jobs/{j['id']}/cancel")
	life.jobs[j["id"]] = {"cancelled"}
	life.final(j["id"])


def tried_again(life):
	"""What it was to resize is no image; somebody tries again by hand."""
	i = life.upload(b"no image", "?ops=resize;width=20;format=png")
	if i is None:
		raise Refused
	job = life.must("GET", f"/v1/files/{i}")["jobs"][0]["id"]
	life.jobs[job] = {"failed"}
	life.final(job)
	life.must("POST", f"/v1/jobs/{job}/retry")
	life.final(job)


def repeated(life):
	"""A refused request may have been done all the same: a repeat with the key makes no second file."""
	for key, data in (("small", SMALL), ("large", LARGE)):
		more = {"data": data, "headers": {"Content-Type": "x/y", "Idempotency-Key": key}}
		life.keys[key] = ("/v1/files", more, None)
		ids = {i for i in (life.upload(data, **{"Idempotency-Key": key}) for _ in range(2)) if i}
		assert len(ids) < 2, "two files for one key"
		if ids:
			life.keys[key] = ("/v1/files", more, ids.pop())


def deleted(life):
	i = life.store(LARGE, "?ops=gzip")["id"]
	life.delete(i)


class Ops(Scenario):
	steps = (outputs, picture, cancelled, tried_again, repeated, deleted)


# ---- what is done by the clock ----

class House(Scenario):
	"""At its start the server finds a file and a result whose time is over, bytes that nobody refers to, and a new year for which a recurring job is due; and it reads all again."""
	settings = {**Scenario.settings, "data.scrub_rate": "64MiB", "data.scrub_every": "1s",
		    "recurring": json.dumps({"yearly": {"at": "@yearly", "ops": ["sha1"], "files": "all"}})}

	def prepare(self, server):
		self.kept = [server.upload(LARGE, f"{n}", "ops=md5,gzip&wait=60") for n in range(3)]
		self.gone = server.upload(LARGE[1:], "gone", "ops=gzip&wait=60")
		self.expired = [f"/v1/files/{self.gone['id']}", next(f"/v1/jobs/{j['id']}" for j in self.kept[0]["jobs"] if j["op"] == "gzip")]
		eventually(lambda: recurring(server.data))
		server.stop()
		db = sqlite3.connect(server.data / "catalog.db")
		with db:
			assert db.execute("UPDATE recurring SET due_at = due_at - ?", (400 * DAY_MS,)).rowcount == 1
			assert db.execute("UPDATE file SET expires_at = 1 WHERE name = 'gone'").rowcount == 1
			assert db.execute("UPDATE result SET expires_at = 1 WHERE job = (SELECT number FROM job WHERE op = 'gzip' ORDER BY number LIMIT 1)").rowcount == 1
		db.close()
		stray = next((server.data / "blobs").rglob(self.kept[0]["id"]))
		shutil.copy(stray, stray.with_name(stray.name[:-2] + "00"))

	def begin(self, life):
		life.files.update({f["id"]: LARGE for f in self.kept})

	def clock(self, life):
		since = time.monotonic()
		while not self.done(life):
			assert life.faults.failed() or time.monotonic() - since < 60, "nothing failed, and it is not done"
			if life.faults.failed() and time.monotonic() - since > 0.5:
				raise Refused
			time.sleep(0.02)

	@property
	def steps(self):
		return (self.clock, store_one)

	def done(self, life):
		s = life.server
		went = all(s.get(path).status_code == 410 for path in self.expired)
		return went and all(any(j["op"] == "sha1" and j["state"] == "succeeded" for j in s.get(f"/v1/files/{f['id']}").json()["jobs"]) for f in self.kept)

	def check(self, life):
		"""By the server without faults, within its own time."""
		eventually(lambda: self.done(life), message="what was due was not done after the restart")
		for f in self.kept:
			shown = life.server.get(f"/v1/files/{f['id']}").json()
			assert sum(j["op"] == "sha1" for j in shown["jobs"]) == 1 and "damaged_at" not in shown, shown


def recurring(data):
	db = sqlite3.connect(f"file:{data / 'catalog.db'}?mode=ro", uri=True)
	try:
		return db.execute("SELECT due_at FROM recurring").fetchone()
	finally:
		db.close()


def store_one(life):
	life.store(SMALL)


# ---- webhooks ----

class Hooks(Scenario):
	"""The receiver refuses each first request, so that a delivery is kept, tried and kept again."""
	settings = {**Scenario.settings, "net.http": "true", "net.allow": "127.0.0.0/8", "webhooks.retry": "0s,20ms,40ms,1s,1s,1s"}

	def __init__(self, receiver):
		self.receiver = receiver

	def prepare(self, server):
		self.hook = self.receiver.hook(server)

	def begin(self, life):
		self.hook.plan(500, 200)
		self.before = len(self.hook.arrived())

	def told(self, life):
		f = life.store(LARGE, "?ops=md5,gzip")
		for j in f["jobs"]:
			life.final(j["id"])
		since = time.monotonic()
		while not {j["id"] for j in f["jobs"]} <= set(self.arrived()):
			if life.faults.failed() and time.monotonic() - since > 0.3:
				raise Refused
			assert time.monotonic() - since < 60, "nothing failed, and it is not told"
			time.sleep(0.02)

	@property
	def steps(self):
		return (self.told, tried_again)

	def arrived(self):
		"""What was told of each job: (id of the delivery, state)."""
		found = {}
		for x in self.hook.arrived()[self.before:]:
			job = json.loads(x["body"])["data"]
			found.setdefault(job["id"], set()).add((x["id"], job["state"]))
		return found

	def check(self, life):
		"""Each acknowledged job's end is told, with one id however often; and no end is told that is not so."""
		ended = {i for i in life.jobs if life.server.get(f"/v1/jobs/{i}?wait=60").json()["state"] in ("succeeded", "failed")}
		eventually(lambda: ended <= set(self.arrived()), message="an end was not told")
		for i, said in self.arrived().items():
			job = life.server.get(f"/v1/jobs/{i}")
			assert job.status_code == 200 and {state for _, state in said} == {job.json()["state"]}, (said, job.text)
			assert len(said) == 1 or job.json()["state"] == "failed", said # that one ended twice


# ---- a backup and fsck beside it ----

class Beside(Scenario):
	"""A backup is made while an upload comes and goes; fsck looks before and after the kill."""

	def prepare(self, server):
		self.files = [server.upload(LARGE + b"%d" % n, f"{n}", "ops=md5,gzip&wait=60") for n in range(2)]

	def saved(self, life):
		data, target = life.server.data, life.folder / "backup"
		process = subprocess.Popen([binary(), "backup", "--data", data, target], env=clean_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
		try:
			i = life.upload(LARGE, "?ops=gzip")
			if i:
				life.delete(i)
		finally:
			_, why = process.communicate(timeout=60)
		assert process.returncode == 0 or process.returncode > 0 and why and life.faults.failed(), (process.returncode, why)
		if process.returncode == 0:
			verified = run("backup", "--verify", "--data", data, target)
			assert verified.returncode == 0, verified
		looked = run("fsck", "--data", data)
		assert looked.returncode == 1 and looked.stderr, looked # a server runs

	@property
	def steps(self):
		return (self.saved, store_one)

	def dead(self, life):
		"""fsck on what the kill left finds at most bytes that were not acknowledged."""
		shutil.copytree(life.server.data, life.folder / "dead")
		looked = run("fsck", "--read", "--json", "--data", life.folder / "dead", timeout=60)
		codes = {f["code"] for f in json.loads(looked.stdout)["findings"]}
		assert looked.returncode in (0, 1) and codes <= {"blob_unreferenced"} and (not codes or life.faults.failed()), looked

	def check(self, life):
		"""It can be saved again into the same folder, and all comes back from there."""
		target, back = life.folder / "backup", life.folder / "back"
		for command in (("backup", "--data", life.server.data, target), ("backup", "--verify", "--data", life.server.data, target), ("restore", target, "--data", back)):
			r = run(*command, timeout=60)
			assert r.returncode == 0, r
		with Server(life.folder / "r", data=back) as s:
			for n, f in enumerate(self.files):
				assert s.get(f"/v1/files/{f['id']}/content").content == LARGE + b"%d" % n


# ---- playing them ----

@pytest.fixture(scope="module")
def receiver():
	r = Receiver()
	yield r
	r.stop()


@pytest.fixture(scope="module", params=[Ops, House, Hooks, Beside], ids=lambda s: s.__name__.lower())
def scenario(request, module_folder, file_shim):
	"""Prepared, with the calls that it makes when none fails."""
	x = request.param(request.getfixturevalue("receiver")) if request.param is Hooks else request.param()
	with Server(module_folder / request.param.__name__, settings=x.settings) as server:
		x.prepare(server)
	x.data = server.data
	life = Life(module_folder / (request.param.__name__ + "-count"), file_shim, x.settings)
	play(life, x)
	assert not [a for a in life.answers if a[2] >= 400], life.answers
	x.calls = life.faults.all()
	check(life, x)
	return x


def play(life, x):
	shutil.copytree(x.data, life.server.data)
	x.begin(life)
	if not life.start():
		return
	for step in x.steps:
		try:
			step(life)
		except Refused:
			assert life.faults.failed()


def check(life, x):
	if life.server.running():
		life.server.kill()
	x.dead(life)
	life.start_anew()
	x.check(life)
	life.check_after()


def points(x, name):
	"""Numbers of calls to fail: one of each kind in turn, for nine in ten are the catalogue's pages. A life that is shorter than the one that was counted has fewer calls, so earlier and
	earlier ones follow until enough have failed."""
	if ALL:
		return range(1, len(x.calls) + 1)
	rng, kinds = random.Random(f"{SEED} {type(x).__name__} {name}"), {}
	for n, call, path in x.calls:
		kinds.setdefault((call, path.split("/")[1] if "/" in path else path), []).append(int(n))
	order = rng.sample(sorted(kinds), len(kinds))
	of_kind = [kinds[order[i % len(order)]] for i in range(5 * POINTS)]
	return [rng.choice(numbers[:max(1, len(numbers) >> i // POINTS)]) for i, numbers in enumerate(of_kind)]


@pytest.mark.parametrize("name", PLANS)
def test_a_call_fails_over_each_scenario(folder, file_shim, scenario, name):
	struck, failures = 0, []
	for i, n in enumerate(points(scenario, name)):
		if struck == POINTS and not ALL:
			break
		life = Life(folder / str(i), file_shim, scenario.settings, at=n, **PLANS[name])
		try:
			play(life, scenario)
			failed = life.faults.failed()
			struck += bool(failed)
			if life.faults.flush_failed() and life.server.running() and name != "short writes":
				life.check_sealed()
			elif failed and life.server.running() and not PLANS[name].get("sticky"):
				life.check_goes_on()
			check(life, scenario)
		except Exception as e:
			failed = life.faults.failed()
			failures.append(f"call {n} ({' '.join(failed[0]) if failed else 'none failed'}), answers {life.answers[-8:]}: {type(e).__name__} {str(e)[:900]}\n{life.server.log()[-900:]}")
			if len(failures) == 5:
				break
		finally:
			if life.server.running():
				life.server.kill()
			shutil.rmtree(life.folder, ignore_errors=True)
	assert not failures, "\n\n".join(failures)
	assert struck, "no call failed"


def test_a_jobs_end_that_a_full_disk_does_not_take_is_taken_when_there_is_room(folder, file_shim):
	"""The op has run to its end and only the record of that is refused, again and again: without a restart the job ends at last, by this one attempt."""
	life = Life(folder / "l", file_shim, {"jobs.beat": "200ms", "commands": json.dumps({"slow": {"argv": ["/bin/sleep", "6"]}})},
		    at=1, sticky=1, errno=errno.ENOSPC, path="catalog.db-wal", arm=folder / "l/arm", **{"while": 1})
	try:
		life.start()
		job = life.must("GET", f"/v1/files/{life.upload(SMALL, '?ops=slow')}")["jobs"][0]["id"]
		sleeps = lambda: [p for p in processes(life.server.process.pid) if p[1] == "sleep"]
		eventually(sleeps, message="the command does not begin")
		life.arm.touch()
		eventually(lambda: not sleeps(), message="the command does not end")
		refused = life.server.log().count('"commit_failed"')
		eventually(lambda: life.server.log().count('"commit_failed"') > refused + 2, message="nothing is to be committed meanwhile")
		assert life.must("GET", f"/v1/jobs/{job}")["state"] == "running" and life.faults.failed()
		life.arm.unlink()
		ended = life.must("GET", f"/v1/jobs/{job}?wait=60")
		assert ended["state"] == "succeeded" and ended["attempt"] == 1, ended
		check(life, Scenario())
	finally:
		if life.server.running():
			life.server.kill()


def test_a_log_whose_index_finds_no_space_is_a_full_disk(folder, file_shim):
	"""Somebody reads for long, so the log grows until its index has to. A commit's pages are in the log before their places are in the index: what fails between the two leaves nobody
	knowing, and the catalogue sealed. So the space is looked for before."""
	life = Life(folder / "l", file_shim, at=1, sticky=1, errno=errno.ENOSPC, path="catalog.db-shm", arm=folder / "l/arm", **{"while": 1})
	try:
		life.start()
		inline = life.upload(random_bytes(30_000, 1))
		reader = sqlite3.connect(f"file:{life.server.data}/catalog.db?mode=ro", uri=True, isolation_level=None)
		reader.execute("BEGIN").execute("SELECT count(*) FROM file").fetchall()
		life.arm.touch()
		while life.upload(random_bytes(30_000, len(life.answers))):
			assert len(life.answers) < 1000, "the index never grows"
		assert inline and life.answers[-1][2] == 507 and "filemill_storage_sealed 0" in life.server.get("/metrics").text
		life.arm.unlink()
		life.check_recovers()
		reader.close()
		check(life, Scenario())
	finally:
		if life.server.running():
			life.server.kill()


def processes(pid):
	"""(number, name) of all that descend from this one."""
	parents = {}
	for p in Path("/proc").glob("[0-9]*/stat"):
		try:
			name, rest = p.read_text().split("(", 1)[1].rsplit(")", 1)
		except OSError:
			continue # ended meanwhile
		parents.setdefault(int(rest.split()[1]), []).append((int(p.parent.name), name))
	found, look = [], [pid]
	while look:
		below = parents.get(look.pop(), [])
		found += below
		look += [n for n, _ in below]
	return found


def test_a_backups_own_calls_fail(folder, file_shim):
	"""It says so, and the next one into the same folder is whole; one that says nothing is whole."""
	with Server(folder / "s") as s:
		files = [s.upload(LARGE + bytes([n]), f"{n}", "ops=gzip&wait=60") for n in range(2)]

	def save(where, **plan):
		where.mkdir()
		calls = FileCalls(where, file_shim, where.resolve() / "backup", **plan)
		r = subprocess.run([binary(), "backup", "--data", s.data, where / "backup"], env={**clean_environment(), **calls.env}, capture_output=True, text=True, timeout=60, check=False)
		return r, calls
	r, calls = save(folder / "count")
	total = len(calls.all())
	assert r.returncode == 0 and total > 10, r
	rng = random.Random(SEED)
	for name, plan in PLANS.items():
		for n in range(1, total + 1) if ALL else rng.sample(range(1, total + 1), 1 if SLOW else 4):
			where = folder / f"{name} {n}"
			r, calls = save(where, at=n, **plan)
			failed = calls.failed()
			assert r.returncode == 0 or (r.returncode > 0 and r.stderr and failed), (failed, r)
			for again in ([] if r.returncode == 0 else [()]) + [("--verify",)]:
				done = run("backup", *again, "--data", s.data, where / "backup")
				assert done.returncode == 0, (name, n, failed, r, done)
			shutil.rmtree(where)
	assert run("fsck", "--data", s.data).returncode == 0 and files
