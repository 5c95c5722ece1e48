"""Rows F of the bad-input catalogue: the environment. Full and read-only disks: test_storage_full.py; failing calls: ../faults."""
import os
import shutil
import signal
import sqlite3
import subprocess
import time

import pytest

from harness import wire
from harness.data import random_bytes, sha256
from harness.server import Server, StartFailed, binary, clean_environment, eventually, run


@pytest.fixture
def filled(make_server):
	s = make_server()
	s.files = [s.upload(random_bytes(size, size)) for size in (10, 50_000)]
	s.stop()
	return s


def refused(server):
	with pytest.raises(StartFailed) as e:
		server.start()
	assert e.value.code not in (0, None)
	assert e.value.stderr.strip(), "no word about why"
	return e.value.stderr


def test_f3_a_blob_folder_that_is_missing_is_not_quietly_made_anew(filled):
	"""An unmounted disk looks like an empty folder: starting on it would answer for files that are elsewhere."""
	(filled.data / "blobs").rename(filled.data / "elsewhere")
	try:
		filled.start()
	except StartFailed:
		assert not filled.blobs()
	else:
		r = filled.get(f"/v1/files/{filled.files[1]['id']}/content")
		assert r.status_code >= 500, r.text
		filled.stop()
	shutil.rmtree(filled.data / "blobs", ignore_errors=True)
	(filled.data / "elsewhere").rename(filled.data / "blobs")
	filled.start()
	assert sha256(filled.get(f"/v1/files/{filled.files[1]['id']}/content").content) == filled.files[1]["sha256"]


def test_f3_a_blob_that_vanished_is_said_so(filled):
	filled.blob(filled.files[1]["id"]).remove()
	filled.start()
	r = filled.get(f"/v1/files/{filled.files[1]['id']}/content")
	assert r.status_code >= 500 and r.headers["Content-Type"].startswith("application/problem+json")
	assert str(filled.data) not in r.text
	filled.alive()


@pytest.mark.parametrize("damage", ["garbage", "zeros", "empty", "cut", "text"])
def test_f4_a_catalogue_that_is_none_is_refused_and_not_overwritten(filled, damage):
	path = filled.data / "catalog.db"
	good = path.read_bytes()
	path.write_bytes({"garbage": random_bytes(len(good), 1), "zeros": b"\0" * len(good), "empty": b"", "cut": good[:2000], "text": b"hello"}[damage])
	for name in ("catalog.db-wal", "catalog.db-shm"):
		(filled.data / name).unlink(missing_ok=True)
	bad = path.read_bytes()
	refused(filled)
	assert path.read_bytes() == bad, "it was overwritten"
	path.write_bytes(good)
	filled.start()
	assert len(filled.all_files()) == 2


def test_f4_a_damaged_page_never_gives_a_wrong_answer(filled):
	path = filled.data / "catalog.db"
	good = path.read_bytes()
	(filled.data / "catalog.db-wal").unlink(missing_ok=True)
	for page in range(1, min(len(good) // 4096, 12)):
		path.write_bytes(good[:page * 4096] + random_bytes(4096, page) + good[(page + 1) * 4096:])
		try:
			filled.start()
		except StartFailed:
			continue
		for f in filled.files:
			r = filled.get(f"/v1/files/{f['id']}")
			assert r.status_code >= 400 or {k: r.json()[k] for k in ("sha256", "size", "number")} == {k: f[k] for k in ("sha256", "size", "number")}
		filled.kill()
	path.write_bytes(good)
	filled.start()


def test_f4_a_database_of_somebody_else_is_refused(folder):
	data = folder / "d"
	data.mkdir()
	db = sqlite3.connect(data / "catalog.db")
	db.execute("CREATE TABLE customers(name)")
	db.execute("INSERT INTO customers VALUES ('kept')")
	db.commit()
	db.close()
	refused(Server(folder / "s", data=data))
	db = sqlite3.connect(data / "catalog.db")
	assert db.execute("SELECT name FROM customers").fetchall() == [("kept",)]
	db.close()


def test_f4_a_lock_of_somebody_else_is_survived(make_server):
	"""A person with a database shell holds the write lock: uploads fail clearly or wait, and go on afterwards."""
	s = make_server()
	s.upload(b"before")
	db = sqlite3.connect(s.data / "catalog.db", isolation_level=None, timeout=5)
	try:
		db.execute("BEGIN IMMEDIATE")
	except sqlite3.OperationalError:
		db.close()
		return # the server keeps it to itself: nothing to survive
	import threading, requests
	answers = []
	t = threading.Thread(target=lambda: answers.append(requests.post(s.base + "/v1/files", data=b"x", headers={"Content-Type": "x/y"}, timeout=30).status_code))
	t.start()
	time.sleep(0.5)
	db.execute("ROLLBACK")
	db.close()
	t.join()
	assert answers[0] in (201, 503), answers
	eventually(lambda: s.post("/v1/files", data=b"x", headers={"Content-Type": "x/y"}).status_code == 201)


def test_f6_few_descriptors(folder):
	"""Too few to serve and to run jobs: it says so and how many it needs. With just enough it does both."""
	for n in (16, 32, 64, 127):
		with pytest.raises(StartFailed) as e:
			Server(folder / f"n{n}", nofile=n).start()
		assert e.value.code == 78 and f"only {n} descriptors may be open, and 128 are needed" in e.value.stderr, e.value.stderr
		assert not (folder / f"n{n}/data").exists()
	with Server(folder / "n128", nofile=128) as s:
		jobs = s.upload(b"x" * 50_000, query="ops=gzip,zip,sha512&wait=60")["jobs"]
		assert [j["state"] for j in jobs] == ["succeeded"] * 3


def test_f7_a_clock_that_jumps(make_server):
	"""Simulated in the unit tests; here only that times in the catalogue from the future do no harm."""
	s = make_server()
	f = s.upload(b"x" * 50_000)
	job = s.post(f"/v1/files/{f['id']}/jobs", json={"op": "sha1", "run_at": "2099-12-31T23:59:59.999Z"}).json()
	assert job["run_at"] == "2099-12-31T23:59:59.999Z" and job["state"] == "queued"
	s.kill()
	s.start()
	assert s.get(f"/v1/jobs/{job['id']}").json()["state"] == "queued"
	r = s.post(f"/v1/files/{f['id']}/jobs", json={"op": "sha256", "run_at": "1970-01-01T00:00:00.000Z"})
	assert r.status_code in (202, 422)


def test_f8_stop_and_continue_under_load(make_server):
	s = make_server()
	with wire.Wire(s) as w:
		w.send(wire.post_raw(b"x" * 500_000)[:-10])
		s.signal(signal.SIGSTOP)
		time.sleep(1.5)
		s.signal(signal.SIGCONT)
		w.send(b"x" * 10)
		assert w.read().status_code == 201


def test_f9_an_environment_of_a_megabyte(folder):
	with Server(folder / "big", env={f"LONG_{i}": "x" * 100_000 for i in range(10)}) as s:
		s.upload(b"x")


def test_f9_standard_output_that_nobody_reads(folder):
	s = Server(folder / "pipe")
	s.start()
	s.process.stdout.close()
	s.upload(b"x")
	s.alive()
	s.kill()


def test_f9_a_log_that_cannot_be_written_is_not_fatal(folder):
	"""Standard error on a full device: lines are dropped, service goes on."""
	(folder / "d").mkdir()
	with open("/dev/full", "wb") as full:
		p = subprocess.Popen([binary(), "serve", "--data", str(folder / "d"), "--listen", "127.0.0.1:0"], env=clean_environment(data=folder / "d"), stdout=subprocess.PIPE, stderr=full, text=True)
		base = p.stdout.readline().split()[2]
		import requests
		for i in range(20):
			assert requests.post(base + "/v1/files", data=b"x", headers={"Content-Type": "x/y"}).status_code == 201
		p.terminate()
		assert p.wait(60) == 0
		p.stdout.close()


def test_f10_values_out_of_range_are_refused(folder):
	for key, value in (("http.header_timeout", "0.0001ms"), ("files.max_size", "-1MiB"), ("http.threads", "-1"), ("http.threads", "100000"), ("files.max_size", "1e300MiB"), ("http.header_timeout", "99999999999d"), ("http.threads", "2.5"), ("http.threads", "two")):
		r = run("check-config", settings={key: value})
		assert r.returncode == 78, (key, value, r)
		assert "FILEMILL_" + key.upper().replace(".", "_") in r.stderr or key in r.stderr, r.stderr
