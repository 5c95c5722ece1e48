"""filemill backup and filemill restore: under load, one after the other, interrupted, on a full disk, damaged."""
import hashlib
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import threading
import time
from collections import Counter
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import requests

from harness import auditlog
from harness.data import random_bytes, sha256
from harness.server import SLOW, Server, binary, clean_environment, eventually, run

ROOT = os.geteuid() == 0
MIB = 2**20
OPS = ["sha256", "gzip,md5", "zstd", "sha512", ""]


def backup(data, target, *flags, code=0, timeout=120):
	r = run("backup", *flags, "--data", data, target, timeout=timeout)
	assert r.returncode == code, (r.returncode, r.stdout, r.stderr)
	return r


def restore(target, data, *flags, code=0):
	r = run("restore", *flags, target, "--data", data, timeout=120)
	assert r.returncode == code, (r.returncode, r.stdout, r.stderr)
	return r


def manifest(target):
	return json.loads((Path(target) / "manifest.json").read_text())


def names(folder):
	return {str(p.relative_to(folder)) for p in Path(folder).rglob("*") if p.is_file()}


def figures(line):
	"""{'copied': 3, …} from the line that the program prints."""
	words = line.replace(",", "").replace(":", "").replace(";", "").split()
	return {words[i]: int(words[i - 1]) for i in range(1, len(words)) if words[i - 1].isdigit()}


def check_backup(target):
	"""What a backup says of itself holds: its catalogue is the manifest's and whole, each blob that a row names is there with its digest, and no other."""
	m = manifest(target)
	catalog = (Path(target) / "catalog.db").read_bytes()
	assert hashlib.sha256(catalog).hexdigest() == m["catalog"]["sha256"] and len(catalog) == m["catalog"]["bytes"]
	db = sqlite3.connect(f"file:{target}/catalog.db?immutable=1", uri=True)
	assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
	wanted = {}
	for size, digest, i, owner in db.execute("SELECT size, sha256, id, owner FROM file WHERE deleted_at IS NULL AND location <> 0"):
		text = f"{i.hex()[:8]}-{i.hex()[8:12]}-{i.hex()[12:16]}-{i.hex()[16:20]}-{i.hex()[20:]}"
		wanted[f"{owner}/{text[-2:]}/{text}"] = (size, digest.hex())
	for blob, size, digest in db.execute("SELECT blob, size, sha256 FROM output"):
		wanted[blob] = (size, digest.hex())
	db.close()
	assert m["blobs"] == {"count": len(wanted), "bytes": sum(size for size, _ in wanted.values()), "lacking": 0}
	for name, (size, digest) in wanted.items():
		data = (Path(target) / "blobs" / name).read_bytes()
		assert (len(data), sha256(data)) == (size, digest), name
	assert names(Path(target) / "blobs") == set(wanted)
	return m


class Load(threading.Thread):
	"""Uploads with jobs, deletes, expiries, cancels and retries, until told to end. `files`: what was acknowledged and not deleted since; `deleted`: what somebody asked to be deleted."""

	def __init__(self, server, seed):
		super().__init__(daemon=True)
		self.server, self.rng, self.over = server, random.Random(seed), threading.Event()
		self.lock, self.files, self.deleted, self.wrong = threading.Lock(), {}, set(), []

	def run(self):
		with requests.Session() as session:
			while not self.over.is_set():
				try:
					self.step(session)
				except requests.RequestException as e: # the server was killed on purpose
					if self.server.running() and not self.over.is_set():
						time.sleep(0.01)

	def step(self, session):
		data = self.rng.randbytes(self.rng.choice([10, 3000, 40_000, 200_000]))
		ops = self.rng.choice(OPS)
		r = session.post(self.server.base + "/v1/files?" + (f"ops={ops}" if ops else ""), data=data, timeout=30)
		if r.status_code != 201:
			return
		with self.lock:
			self.files[r.json()["id"]] = sha256(data)
		for job in r.json()["jobs"]:
			if self.rng.random() < 0.1:
				session.post(self.server.base + f"/v1/jobs/{job['id']}/cancel", timeout=30)
				session.post(self.server.base + f"/v1/jobs/{job['id']}/retry", timeout=30)
		if self.rng.random() < 0.5:
			with self.lock:
				victim = self.rng.choice(list(self.files))
				self.deleted.add(victim)
				del self.files[victim]
			if self.rng.random() < 0.7:
				session.delete(self.server.base + f"/v1/files/{victim}", timeout=30)
			else:
				at = (datetime.now(timezone.utc) + timedelta(seconds=0.5)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
				session.patch(self.server.base + f"/v1/files/{victim}", json={"expires_at": at}, timeout=30)

	def acknowledged(self):
		with self.lock:
			return dict(self.files)

	def end(self):
		self.over.set()
		self.join(60)
		assert not self.is_alive() and not self.wrong, self.wrong[:3]


def at(text):
	return datetime.fromisoformat((text or "9999-12-31T23:59:59.000Z").replace("Z", "+00:00"))


def over(thing):
	"""Whether the time of a file or of a job's results has come."""
	return at(thing.get("expires_at")) <= datetime.now(timezone.utc)


def check_restored(folder, target, expected, may_be_deleted, audited=False):
	"""Each job's end has its delivery. A server on the restored directory has every file of `expected` that nobody deleted meanwhile, each row its bytes, and after the sweep no bytes without a row; fsck finds nothing, and the audit
	log goes on as a whole chain, with each upload in it once where it tells of them."""
	data = folder / f"restored-{random.getrandbits(40):x}"
	restore(target, data)

	def one(sql):
		db = sqlite3.connect(f"file:{data}/catalog.db?mode=ro", uri=True)
		try:
			return db.execute(sql).fetchone()[0]
		finally:
			db.close()
	assert one("SELECT count(*) FROM result r JOIN job j ON j.number = r.job, webhook w WHERE r.finished_at > w.created_at AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.job = j.id)") == 0, \
		"a job's end without its delivery"
	assert one("SELECT count(*) FROM delivery d WHERE NOT EXISTS (SELECT 1 FROM job j WHERE j.id = d.job)") == 0, "a delivery without its job"
	with Server(folder / "r", data=data) as s:
		now = time.time() * 1000
		eventually(lambda: one(f"SELECT (SELECT count(*) FROM file WHERE expires_at < {now} AND deleted_at IS NULL) + (SELECT count(*) FROM result WHERE expires_at < {now} AND expired_at IS NULL)") == 0,
			   message="what has expired stays")
		files = {f["id"]: f for f in s.all_files()}
		for i, digest in expected.items():
			assert i in files or i in may_be_deleted, f"{i} was acknowledged before the backup began and is not in it"
			if i in files:
				assert files[i]["sha256"] == digest

		def idle():
			jobs = s.get("/v1/stats").json()["jobs"]
			return jobs["queued"] + jobs["running"] == 0
		eventually(idle, message="jobs of the restored directory stay without an end")
		outputs = 0
		for f in files.values():
			r = s.get(f"/v1/files/{f['id']}/content")
			assert r.status_code == 200 and sha256(r.content) == f["sha256"] or r.status_code == 410 and (f["id"] in may_be_deleted or over(f)), f
		for job in s.all_jobs():
			for o in job["outputs"]:
				r = s.get(o["href"])
				if r.status_code == 410 and (over(job) or over(files[job["file"]])):
					continue # its time came since the list was read
				assert r.status_code == 200 and len(r.content) == o["size"], (job, r.status_code)
				outputs += 1
		s.restart() # every start sweeps

		def bytes_are_those_of_the_rows():
			db = sqlite3.connect(f"file:{data}/catalog.db?mode=ro", uri=True)
			known = {bytes(row[0]).hex() for row in db.execute("SELECT id FROM file WHERE deleted_at IS NULL AND location <> 0")}
			made = {row[0].rsplit("/", 1)[1] for row in db.execute("SELECT blob FROM output")}
			db.close()
			return {b if b in made else b.replace("-", "") for b in s.blobs()} == known | made
		eventually(bytes_are_those_of_the_rows, message="bytes without a row, or rows without bytes")
	r = run("fsck", "--read", "--data", data, timeout=60)
	assert r.returncode == 0, r.stdout
	assert auditlog.verify("--data", data)[0]
	told = Counter((x["act"], x["file"]) for x in auditlog.lines(data) if x["act"] in ("file.stored", "file.deleted", "file.expired"))
	assert not told or set(told.values()) == {1}, "told twice"
	if audited:
		assert all(told["file.stored", i] == 1 for i in expected), "acknowledged and not in the audit log"
	shutil.rmtree(data)
	return len(files), outputs


# ---- the usual course ----

def test_what_is_backed_up_is_restored(folder, make_server):
	s = make_server()
	kept = [s.upload(random_bytes(n, n), name=f"f{n}", query="ops=gzip,sha1&wait=60") for n in (0, 10, 40_000, 300_000)]
	gone = s.upload(random_bytes(50_000, 9))
	assert s.delete(f"/v1/files/{gone['id']}").status_code in (200, 204)
	r = backup(s.data, folder / "b")
	assert r.stderr == "" and figures(r.stdout)["files"] == 4, r
	m = check_backup(folder / "b")
	assert m["format"] == "filemill-backup" and m["data_id"] == (s.data / "filemill.id").read_text().strip()
	assert {p: (folder / "b" / p).stat().st_mode & 0o777 for p in ("", "catalog.db", "manifest.json", "blobs")} == {"": 0o700, "catalog.db": 0o600, "manifest.json": 0o600, "blobs": 0o700}
	later = s.upload(b"later")
	r = restore(folder / "b", folder / "r")
	assert "restored " + m["data_id"] in r.stdout
	with Server(folder / "t", data=folder / "r") as t:
		for f in kept:
			got = t.get(f"/v1/files/{f['id']}").json()
			assert got == s.get(f"/v1/files/{f['id']}").json()
			assert sha256(t.get(f"/v1/files/{f['id']}/content").content) == f["sha256"]
			for job in got["jobs"]:
				for o in job["outputs"]:
					assert t.get(o["href"]).content == s.get(o["href"]).content
		assert t.get(f"/v1/files/{gone['id']}").status_code == 410
		assert t.get(f"/v1/files/{later['id']}").status_code == 404
		assert t.upload(b"new")["number"] > max(f["number"] for f in kept)


def test_it_needs_no_server_and_leaves_the_directory_as_it_was(folder):
	s = Server(folder / "s").start()
	s.upload(random_bytes(100_000, 1))
	s.kill() # the log of the catalogue is still to be recovered
	before = {n: (s.data / n).read_bytes() for n in names(s.data) if not n.endswith("-shm")}
	backup(s.data, folder / "b")
	check_backup(folder / "b")
	assert {n: (s.data / n).read_bytes() for n in names(s.data) if not n.endswith("-shm")} == before
	s.start().stop()
	backup(s.data, folder / "b") # closed in order: there is no log
	check_backup(folder / "b")
	s.start()
	assert len(s.all_files()) == 1
	s.stop()


def test_a_second_backup_brings_what_is_new_and_drops_what_is_gone(folder, make_server):
	s = make_server()
	files = [s.upload(random_bytes(50_000, i)) for i in range(6)]
	first = figures(backup(s.data, folder / "b", "--copy").stdout)
	assert (first["copied"], first["linked"], first["kept"]) == (6, 0, 0)
	inode = {n: (folder / "b/blobs" / n).stat().st_ino for n in names(folder / "b/blobs")}
	for f in files[:2]:
		s.delete(f"/v1/files/{f['id']}")
	new = s.upload(random_bytes(60_000, 77))
	second = figures(backup(s.data, folder / "b", "--copy").stdout)
	assert (second["copied"], second["kept"], second["removed"]) == (1, 4, 2), second
	check_backup(folder / "b")
	for n in names(folder / "b/blobs"):
		assert n.endswith(new["id"]) or inode[n] == (folder / "b/blobs" / n).stat().st_ino, "copied again"


def test_on_one_file_system_bytes_get_a_second_name(folder, make_server):
	s = make_server()
	f = s.upload(random_bytes(50_000, 1))
	assert figures(backup(s.data, folder / "b", "--verify").stdout)["linked"] == 1
	blob, = (folder / "b/blobs").rglob(f["id"])
	assert blob.stat().st_nlink == 2
	s.delete(f"/v1/files/{f['id']}")
	eventually(lambda: s.blobs() == {})
	check_backup(folder / "b")
	restore(folder / "b", folder / "r")
	copy, = (folder / "r/blobs").rglob(f["id"])
	assert copy.stat().st_nlink == 1, "a restored directory must not share its bytes with the backup"


# ---- under load ----

def test_backups_under_load_are_whole_and_of_one_moment(folder):
	nowhere = {"net.http": "true", "net.allow": "127.0.0.0/8", "webhooks.retry": "0s,50ms,100ms,1h"} # deliveries in every state
	with Server(folder / "s", settings={"log.level": "warn", "audit.uploads": "true", "jobs.keep_time": "3s", **nowhere}) as s:
		assert s.post("/v1/webhooks", json={"url": f"http://127.0.0.1:{s.port}/healthz"}).status_code == 201 # which takes no POST
		loads = [Load(s, seed) for seed in range(3)]
		[load.start() for load in loads]
		try:
			done, rounds = 0, 3 if SLOW else 5
			for n in range(rounds):
				eventually(lambda: sum(len(load.acknowledged()) for load in loads) > 30 * (n + 1))
				before = {}
				[before.update(load.acknowledged()) for load in loads]
				backup(s.data, folder / "b", *(["--copy"] if n % 2 else []))
				deleted = set().union(*(load.deleted for load in loads))
				check_backup(folder / "b")
				done += 1
		finally:
			[load.end() for load in loads]
		found = check_restored(folder, folder / "b", before, deleted, audited=True)
		print(f"{done} backups while {sum(len(load.files) for load in loads)} files stayed and {sum(len(load.deleted) for load in loads)} were deleted; the last one: {found[0]} files, {found[1]} outputs")
		# once it has ended, the deleted files' bytes go
		live = {f["id"] for f in s.all_files()}
		eventually(lambda: {b for b in s.blobs() if "." not in b} <= live, message="the bytes of deleted files stay")


def hold(data):
	"""As a backup does; the descriptor's end is the end of it."""
	import fcntl
	fd = os.open(data / "filemill.id", os.O_RDONLY)
	fcntl.flock(fd, fcntl.LOCK_SH)
	return fd


def test_bytes_of_deleted_files_stay_while_a_backup_runs(folder, make_server):
	s = make_server()
	f = s.upload(random_bytes(50_000, 1))
	fd = hold(s.data)
	try:
		s.delete(f"/v1/files/{f['id']}")
		stray = s.data / "blobs/public/00/00000000-0000-7000-8000-000000000000"
		stray.parent.mkdir(parents=True, exist_ok=True)
		stray.write_bytes(b"x")
		s.restart() # a sweep is held up too, and so is the end of a delete
		time.sleep(1.5)
		assert f["id"] in s.blobs() and stray.exists()
	finally:
		os.close(fd)
	eventually(lambda: s.blobs() == {}, message="they stay although the backup has ended")


def test_a_backup_that_does_not_end_holds_nothing_for_ever(folder, make_server):
	s = make_server(settings={"data.backup_hold": "1s"})
	f = s.upload(random_bytes(50_000, 1))
	fd = hold(s.data)
	try:
		asked = time.monotonic()
		s.delete(f"/v1/files/{f['id']}")
		eventually(lambda: s.blobs() == {}, message="held for ever")
		assert time.monotonic() - asked >= 1, "it was not held at all"
		assert [e for e in s.log_events() if "backup_hold_too_long" in e.values()], s.log()
	finally:
		os.close(fd)


# ---- interrupted ----

def start_backup(data, target, *flags):
	return subprocess.Popen([binary(), "backup", *flags, "--data", str(data), str(target)], env=clean_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def test_a_backup_killed_at_any_moment_leaves_the_earlier_one(folder):
	rng = random.Random(5)
	killed = 0
	with Server(folder / "s", settings={"log.level": "error"}) as s:
		for i in range(60):
			s.upload(random_bytes(150_000, i), query="ops=gzip")
		backup(s.data, folder / "warm", "--copy")
		began = time.monotonic()
		backup(s.data, folder / "warm", "--copy", "--verify") # as those below, which find most of it there
		took = time.monotonic() - began
		whole = None
		for n in range(12 if SLOW else 30):
			for _ in range(3):
				s.upload(random_bytes(150_000, rng.getrandbits(60)))
			victim = rng.choice(s.all_files())
			s.delete(f"/v1/files/{victim['id']}")
			p = start_backup(s.data, folder / "b", "--copy", "--verify")
			if n % 5 == 4: # so that there is an earlier one
				p.wait(120)
			else:
				time.sleep(rng.uniform(0, took))
				p.kill()
			ended = p.wait() == 0
			killed += not ended
			took *= 0.7 if ended else 1.2 # whatever else the machine does
			p.stderr.close()
			if n % 10 == 9: # and the server with it
				s.kill()
				s.start()
			data = folder / f"r{n}"
			r = run("restore", folder / "b", "--data", data, timeout=60)
			if whole or ended:
				assert r.returncode == 0, (n, r.stderr)
				whole = True
			else:
				assert r.returncode in (0, 1)
				whole = r.returncode == 0
				assert whole or any(w in r.stderr for w in ("incomplete", "no backup of filemill", "no such folder")), r.stderr
			assert (data / "filemill.id").exists() == (r.returncode == 0)
			shutil.rmtree(data, ignore_errors=True)
		backup(s.data, folder / "b")
		check_backup(folder / "b")
		print(f"{killed} of the backups were killed on their way")
		assert killed >= (2 if SLOW else 5)
		assert check_restored(folder, folder / "b", {f["id"]: f["sha256"] for f in s.all_files()}, set())[0] > 50


@pytest.mark.parametrize("moment", ["first", "before", "between", "after"])
def test_between_any_two_steps_of_taking_its_place(folder, make_server, moment):
	"""The states that kill -9 can leave around the two renames, made by hand."""
	s = make_server()
	old = s.upload(random_bytes(50_000, 1))
	b = folder / "b"
	if moment != "first":
		backup(s.data, b, "--copy")
	earlier = {n: (b / n).read_bytes() for n in ("catalog.db", "manifest.json")} if moment != "first" else {}
	s.delete(f"/v1/files/{old['id']}")
	new = s.upload(random_bytes(60_000, 2))
	shutil.copytree(b, folder / "c") if earlier else (folder / "c").mkdir()
	backup(s.data, b, "--copy")
	if moment == "after": # only the last sweep is missing
		shutil.copytree(folder / "c/blobs", b / "blobs", dirs_exist_ok=True)
	else:
		shutil.copytree(folder / "c/blobs", b / "blobs", dirs_exist_ok=True) if earlier else None
		(b / "manifest.json").rename(b / "manifest.new.json")
		if moment in ("first", "before"):
			(b / "catalog.db").rename(b / "catalog.new.db")
		if moment != "first":
			(b / "manifest.json").write_bytes(earlier["manifest.json"])
		if moment == "before":
			(b / "catalog.db").write_bytes(earlier["catalog.db"])
	r = restore(b, folder / "r", code=1 if moment == "first" else 0)
	if moment == "first":
		assert "incomplete" in r.stderr
	else:
		found = {os.path.basename(n) for n in names(folder / "r/blobs")}
		assert found == {old["id"] if moment == "before" else new["id"]}
	last = figures(backup(s.data, b, "--copy").stdout)
	assert last["kept"] == 1, last
	check_backup(b)
	assert not {"catalog.new.db", "manifest.new.json"} & names(b)


def test_a_signal_ends_it_with_clear_words(folder, make_server):
	s = make_server()
	for i in range(40):
		s.upload(random_bytes(400_000, i))
	for number in (signal.SIGTERM, signal.SIGINT):
		p = subprocess.Popen([binary(), "backup", "--copy", "--data", str(s.data), str(folder / "b")], env=clean_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
				     stderr=subprocess.PIPE, preexec_fn=lambda number=number: (signal.pthread_sigmask(signal.SIG_BLOCK, [number]), os.kill(os.getpid(), number)))
		_, words = p.communicate(timeout=60)
		assert p.returncode == 1 and b"interrupted" in words, (p.returncode, words)
		assert b"no whole backup" in words, words
	backup(s.data, folder / "b")
	check_backup(folder / "b")


def test_two_backups_into_one_folder_do_not_meet(folder, make_server):
	import fcntl
	s = make_server()
	backup(s.data, folder / "b")
	with open(folder / "b/backup.id") as f:
		fcntl.flock(f, fcntl.LOCK_EX)
		assert "at work there" in backup(s.data, folder / "b", code=1).stderr
		assert "at work there" in restore(folder / "b", folder / "r", code=1).stderr
	assert not (folder / "r").exists()


# ---- what is refused ----

def test_wrong_targets_are_refused_and_left_alone(folder, make_server):
	s = make_server()
	s.upload(random_bytes(50_000, 1))
	(folder / "full").mkdir()
	(folder / "full/a").write_text("mine")
	assert "not empty" in backup(s.data, folder / "full", code=1).stderr
	assert names(folder / "full") == {"a"}
	(folder / "file").write_text("x")
	assert "no folder" in backup(s.data, folder / "file", code=1).stderr
	assert "not there" in backup(s.data, folder / "no/such/place", code=1).stderr
	for inside in (s.data, s.data / "backup", s.data / "blobs" / "backup"): # it would be lost with what it is a copy of
		assert "in the data directory itself" in backup(s.data, inside, code=1).stderr
	(folder / "link").symlink_to(s.data)
	assert "in the data directory itself" in backup(s.data, folder / "link" / "backup", code=1).stderr
	assert not (s.data / "backup").exists()
	other = make_server()
	backup(s.data, folder / "b")
	held = names(folder / "b")
	assert "another data directory" in backup(other.data, folder / "b", code=1).stderr
	assert names(folder / "b") == held
	assert "no data directory" in backup(folder / "full", folder / "x", code=78).stderr
	assert "no such directory" in backup(folder / "nowhere", folder / "x", code=78).stderr
	assert not (folder / "x").exists()
	s.alive()


def test_a_restore_takes_only_a_new_or_empty_directory(folder, make_server):
	s = make_server()
	s.upload(random_bytes(50_000, 1))
	backup(s.data, folder / "b")
	(folder / "full").mkdir()
	(folder / "full/a").write_text("mine")
	assert "not empty" in restore(folder / "b", folder / "full", code=1).stderr
	assert names(folder / "full") == {"a"}
	before = names(s.data)
	assert "not empty" in restore(folder / "b", s.data, code=1).stderr
	assert names(s.data) == before
	(folder / "empty").mkdir()
	restore(folder / "b", folder / "empty")
	for what, words in ((folder / "full", "no backup"), (folder / "nowhere", "no such folder"), (s.data, "no backup")):
		assert words in restore(what, folder / "r", code=1).stderr
	assert not (folder / "r").exists()


def test_a_wrong_command_line(folder):
	assert run("backup").returncode == 2 and run("restore", "--data", folder).returncode == 2
	assert run("backup", "a", "b").returncode == 2
	assert run("restore", "--verify", "x").returncode == 2
	assert run("backup", folder / "x", settings={"http.threads": "many"}).returncode == 78
	assert "TARGET" in run("backup", "--help").stdout


# ---- damage ----

def flip(path, at=None):
	data = bytearray(path.read_bytes())
	at = len(data) // 2 if at is None else at
	data[at] ^= 1
	path.write_bytes(data)


@pytest.fixture
def small(folder, make_server):
	s = make_server()
	files = [s.upload(random_bytes(50_000, i)) for i in range(3)]
	backup(s.data, folder / "b", "--copy")
	return s, files, folder / "b"


def test_a_damaged_catalogue_or_manifest_is_found(folder, small):
	s, _, b = small
	for name in ("catalog.db", "manifest.json", "backup.id"):
		kept = (b / name).read_bytes()
		flip(b / name)
		r = restore(b, folder / "r", code=1)
		assert not (folder / "r").exists() and len(r.stderr) > 20, r.stderr
		(b / name).write_bytes(kept[:len(kept) // 2])
		restore(b, folder / "r", code=1)
		(b / name).unlink()
		restore(b, folder / "r", code=1)
		(b / name).write_bytes(kept)
	restore(b, folder / "r")
	# the next backup mends it, and says so
	for name in ("catalog.db", "manifest.json"):
		flip(b / name)
		assert "damaged" in backup(s.data, b).stderr
		check_backup(b)
		assert backup(s.data, b).stderr == ""


def test_a_newer_schema_is_refused(folder, small):
	s, _, b = small
	m = manifest(b)
	db = sqlite3.connect(b / "catalog.db")
	db.execute("PRAGMA user_version = 999")
	db.close()
	m["catalog"]["sha256"] = hashlib.sha256((b / "catalog.db").read_bytes()).hexdigest()
	(b / "manifest.json").write_text(json.dumps(m))
	assert "schema 999" in restore(b, folder / "r", code=1).stderr
	m["format_version"] = 999
	(b / "manifest.json").write_text(json.dumps(m))
	assert "newer" in restore(b, folder / "r", code=1).stderr
	assert not (folder / "r").exists()


@pytest.mark.parametrize("how", ["flip", "cut", "remove"])
def test_damaged_blobs_of_a_backup_are_found(folder, small, how):
	s, files, b = small
	blob, = (b / "blobs").rglob(files[1]["id"])
	flip(blob) if how == "flip" else blob.write_bytes(b"x") if how == "cut" else blob.unlink()
	r = restore(b, folder / "r", code=1)
	assert files[1]["id"] in r.stderr and "1 blobs are missing or damaged" in r.stderr and "--partial" in r.stderr
	assert not (folder / "r/filemill.id").exists()
	start = run("serve", "--data", folder / "r", "--listen", "127.0.0.1:0")
	assert start.returncode == 78, "a server started on half of a backup"
	restore(b, folder / "p", "--partial")
	with Server(folder / "t", data=folder / "p") as t:
		for f in (files[0], files[2]):
			assert sha256(t.get(f"/v1/files/{f['id']}/content").content) == f["sha256"]
		assert t.get(f"/v1/files/{files[1]['id']}/content").status_code >= 404
	# the next backup reads them when asked to, and otherwise sees what has not its size
	last = figures(backup(s.data, b, "--copy", *(["--verify"] if how == "flip" else [])).stdout)
	assert (last["copied"], last["kept"]) == (1, 2), last
	check_backup(b)


@pytest.mark.parametrize("how", ["flip", "cut", "remove"])
def test_damaged_blobs_of_the_data_directory_are_told(folder, small, how):
	s, files, b = small
	blob, = (s.data / "blobs").rglob(files[1]["id"])
	flip(blob) if how == "flip" else blob.write_bytes(b"x") if how == "cut" else blob.unlink()
	backup(s.data, b, "--copy") # the earlier backup has it
	check_backup(b)
	r = backup(s.data, folder / "new", "--copy", code=1)
	assert files[1]["id"] in r.stderr and "1 blobs are missing or damaged" in r.stderr, r.stderr
	assert manifest(folder / "new")["blobs"]["lacking"] == 1 and figures(r.stdout)["lacking"] == 1
	assert files[1]["id"] not in {os.path.basename(n) for n in names(folder / "new/blobs")}
	restore(folder / "new", folder / "r", code=1)
	backup(s.data, folder / "new", "--copy", code=1) # and again


@pytest.mark.parametrize("earlier", ["none", "copied", "linked"])
def test_what_is_marked_as_damaged_is_read_and_wrong_bytes_are_not_brought(folder, make_server, earlier):
	s = make_server()
	f = s.upload(random_bytes(50_000, 1), query="ops=gzip&wait=60")
	g = s.upload(random_bytes(50_000, 2))
	if earlier != "none":
		backup(s.data, folder / "b", *(["--copy"] if earlier == "copied" else []))
	s.stop()
	output = f["jobs"][0]["id"]
	for name in (f["id"], output):
		blob, = [p for p in (s.data / "blobs").rglob("*") if p.name.startswith(name)]
		flip(blob)
	assert run("fsck", "--read", "--repair", "--data", s.data).returncode == 1
	r = backup(s.data, folder / "b", code=0 if earlier == "copied" else 1)
	if earlier == "copied":
		check_backup(folder / "b")
		restore(folder / "b", folder / "r")
		assert run("fsck", "--read", "--repair", "--data", folder / "r").returncode == 1, "the marks came along"
		assert run("fsck", "--read", "--data", folder / "r").returncode == 0, "and are gone, for the bytes are right"
	else:
		assert f["id"] in r.stderr and output in r.stderr and "2 blobs are missing or damaged" in r.stderr, r.stderr
		assert {Path(n).name for n in names(folder / "b/blobs")} == {g["id"]}
		restore(folder / "b", folder / "r", code=1)


def test_what_an_interrupted_backup_left_is_read(folder, small):
	s, files, b = small
	new = s.upload(random_bytes(50_000, 50))
	there = next((s.data / "blobs").rglob(new["id"])).relative_to(s.data)
	(b / there).parent.mkdir(parents=True, exist_ok=True)
	(b / there).write_bytes(bytes(50_000)) # its size, and after a power cut none of its bytes
	last = figures(backup(s.data, b, "--copy").stdout)
	assert (last["copied"], last["kept"]) == (1, 3), last
	check_backup(b)


# ---- full disks ----

@pytest.fixture
def small_disk(folder):
	point = folder / "disk"
	point.mkdir()
	if not ROOT or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", point], capture_output=True).returncode != 0:
		pytest.skip("mounting a tmpfs takes root")
	yield point
	eventually(lambda: subprocess.run(["umount", point], capture_output=True).returncode == 0, message="the disk is still in use")


def test_a_full_target_disk(folder, make_server, small_disk):
	s = make_server()
	few = [s.upload(random_bytes(100_000, i)) for i in range(5)]
	backup(s.data, small_disk / "b")
	assert figures(backup(s.data, small_disk / "b").stdout)["kept"] == 5
	free = shutil.disk_usage(small_disk).free
	many = [s.upload(random_bytes(200_000, 100 + i)) for i in range(40)]
	r = backup(s.data, small_disk / "b", code=1)
	assert "no space" in r.stderr and "earlier backup is as it was" in r.stderr, r.stderr
	assert shutil.disk_usage(small_disk).free >= free - 65536, "what came for nothing stays"
	assert check_backup(small_disk / "b")["blobs"]["count"] == 5
	assert check_restored(folder, small_disk / "b", {f["id"]: f["sha256"] for f in few}, set())[0] == 5
	for f in many:
		s.delete(f"/v1/files/{f['id']}")
	backup(s.data, small_disk / "b")
	check_backup(small_disk / "b")
	(small_disk / "ballast").write_bytes(bytes(max(0, shutil.disk_usage(small_disk).free - 300_000)))
	r = restore(small_disk / "b", small_disk / "r", code=1)
	assert "no space" in r.stderr and "unfinished" in r.stderr, r.stderr
	assert not (small_disk / "r/filemill.id").exists()
