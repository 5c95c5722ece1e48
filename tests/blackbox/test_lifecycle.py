"""Starting, stopping, starting again."""
import signal
import sqlite3
import subprocess
import time
from datetime import datetime, timedelta, timezone

import pytest
import requests

from harness import wire
from harness.data import random_bytes, result_of, sha256
from harness.server import Server, StartFailed, eventually


def delayed(server, file, op="sha512"):
	at = (datetime.now(timezone.utc) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
	return server.post(f"/v1/files/{file['id']}/jobs", json={"op": op, "run_at": at}).json()


def told_of_the_stop(server):
	"""Whether uploads ended, and everything was answered, before the time for it was up: the server's own word, for ours is another clock."""
	said, = [e for e in server.log_events() if e["event"] == "stopping"]
	return said["uploads_ended"], said["all_answered"]


def under_way(server, n):
	"""Waits until so many uploads have begun."""
	eventually(lambda: f"filemill_uploads_open {n}\n" in server.get("/metrics").text)


def stopping(server):
	"""SIGTERM, and waits until the server has taken note of it."""
	server.signal(signal.SIGTERM)
	eventually(lambda: any(e["event"] == "signal" for e in server.log_events()))


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_the_same_answers_after_a_restart(make_server, how):
	s = make_server()
	files = [s.upload(random_bytes(size, size), name=f"f{size}", query="ops=md5,sha1&wait=60") for size in (0, 10, 40_000, 500_000)]
	gone = s.upload(b"gone")
	s.delete(f"/v1/files/{gone['id']}")
	job = delayed(s, files[0])
	before = {f["id"]: s.get(f"/v1/files/{f['id']}").json() for f in files}
	getattr(s, how)()
	s.start()
	for f in files:
		assert s.get(f"/v1/files/{f['id']}").json() == before[f["id"]]
		assert sha256(s.get(f"/v1/files/{f['id']}/content").content) == f["sha256"]
	assert s.get(f"/v1/files/{gone['id']}").status_code == 410
	assert s.get(f"/v1/jobs/{job['id']}").json() == job
	assert s.upload(b"new")["number"] > gone["number"], "a number was used again"


def test_cursors_go_on_after_a_restart(make_server):
	s = make_server()
	for i in range(5):
		s.upload(b"%d" % i)
	page = s.get("/v1/files?limit=2").json()
	s.restart()
	r = s.get(f"/v1/files?limit=2&cursor={page['next']}")
	assert r.status_code in (200, 400)
	if r.status_code == 200:
		assert [f["number"] for f in r.json()["files"]] == [3, 2]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_well(make_server, number):
	s = make_server()
	s.upload(b"x" * 100_000)
	s.signal(number)
	assert s.wait() == 0
	s.check_log()
	assert told_of_the_stop(s) == (True, True)
	assert not (s.data / "catalog.db-wal").exists() or (s.data / "catalog.db-wal").stat().st_size == 0, "the log was not folded in"


def test_a_stop_in_mid_upload_is_answered_or_closed_and_nothing_is_kept(make_server):
	s = make_server()
	kept = s.upload(b"kept")
	with wire.Wire(s) as w, wire.Wire(s) as v:
		w.send(wire.post_raw(b"x" * 500_000)[:-1000])
		v.send(wire.post_form(wire.form(wire.file_part(b"y" * 1000)))[:-500])
		under_way(s, 2)
		s.signal(signal.SIGTERM)
		for c in (w, v):
			r = c.read()
			assert r.status_code in (None, 503, 408), r
		assert s.wait() == 0
	assert told_of_the_stop(s)[0] is False
	s.start()
	assert [f["id"] for f in s.all_files()] == [kept["id"]]
	eventually(lambda: set(s.blobs()) <= {kept["id"]}, message="half a file stayed")


def test_an_upload_that_ends_within_the_grace_is_acknowledged(make_server):
	s = make_server()
	request = wire.post_raw(b"x" * 200_000)
	with wire.Wire(s) as w:
		w.send(request[:-1000])
		under_way(s, 1)
		stopping(s)
		w.send(request[-1000:])
		r = w.read()
	assert s.wait() == 0
	if told_of_the_stop(s)[0]:
		assert r.status_code == 201, r
	s.start()
	assert [f["size"] for f in s.all_files()] == ([200_000] if r.status_code == 201 else []), r


def test_a_stop_answers_those_who_wait(make_server):
	s = make_server()
	f = s.upload(b"wait for me")
	job = delayed(s, f)
	waiting = []
	for path in (f"/v1/files/{f['id']}?wait=60", f"/v1/jobs/{job['id']}?wait=60"):
		for _ in range(5):
			w = wire.Wire(s)
			w.send(wire.head("GET", "/healthz") + wire.head("GET", path))
			assert w.read().status_code == 200 # and the next one is taken up at once: it is there already
			waiting.append(w)
	s.signal(signal.SIGTERM)
	assert s.wait() == 0
	assert {w.read().status_code for w in waiting} <= {200, 503}


def test_a_second_signal_ends_at_once(make_server):
	s = make_server()
	with wire.Wire(s) as w:
		w.send(wire.post_raw(b"x" * 500_000)[:-1000])
		under_way(s, 1)
		stopping(s)
		s.signal(signal.SIGTERM)
		if s.wait() == 0: # this machine was so slow that the upload's time was up first
			assert told_of_the_stop(s)[0] is False
		else:
			assert not [e for e in s.log_events() if e["event"] in ("stopping", "stopped")]
	s.start()
	assert not s.all_files()


def test_no_new_connections_while_stopping(make_server):
	s = make_server()
	address = (s.address, s.port)
	with wire.Wire(s) as w:
		w.send(wire.post_raw(b"x" * 500_000)[:-1000])
		under_way(s, 1)
		stopping(s)
		try:
			r = requests.post(f"http://{address[0]}:{address[1]}/v1/files", data=b"new", headers={"Content-Type": "x/y"}, timeout=60)
			assert r.status_code == 503
		except requests.RequestException:
			pass
	assert s.wait() == 0


def test_idle_connections_do_not_delay_the_end(make_server):
	s = make_server()
	idle = [wire.Wire(s) for _ in range(20)]
	for w in idle[:10]:
		w.send(wire.head("GET", "/healthz"))
		assert w.read().status_code == 200
	s.signal(signal.SIGTERM)
	assert s.wait() == 0
	assert told_of_the_stop(s) == (True, True)
	[w.close() for w in idle]


def test_a_newer_catalogue_is_refused_and_not_touched(make_server):
	s = make_server()
	s.upload(b"x")
	s.stop()
	db = sqlite3.connect(s.data / "catalog.db")
	version = db.execute("PRAGMA user_version").fetchone()[0]
	assert version >= 1
	db.execute("PRAGMA user_version = 9999")
	db.commit()
	db.close()
	with pytest.raises(StartFailed) as e:
		s.start()
	assert "newer" in e.value.stderr and e.value.code not in (0, None)
	db = sqlite3.connect(s.data / "catalog.db")
	assert db.execute("PRAGMA user_version").fetchone()[0] == 9999
	db.execute(f"PRAGMA user_version = {version}")
	db.commit()
	db.close()
	s.start()
	assert len(s.all_files()) == 1


def test_waiting_jobs_run_after_a_crash(make_server):
	s = make_server()
	f = s.upload(random_bytes(3_000_000, 5))
	jobs = s.post("/v1/jobs", json={"jobs": [{"file": f["id"], "op": op} for op in ("sha1", "sha512", "sha256", "crc32c")]}).json()["jobs"]
	s.kill()
	s.start()
	for job in jobs:
		done = s.get(f"/v1/jobs/{job['id']}?wait=60").json()
		assert done["state"] == "succeeded", done
	assert not s.all_jobs("&state=running")


def test_an_interrupted_delete_is_finished_at_the_next_start(make_server):
	s = make_server()
	files = [s.upload(random_bytes(50_000, i)) for i in range(20)]
	for f in files:
		requests.delete(s.base + f"/v1/files/{f['id']}")
	s.kill()
	s.start()
	eventually(lambda: not s.blobs(), message="bytes of deleted files stayed")
	assert not s.all_files()


def test_strangers_among_the_blobs_are_swept(make_server):
	s = make_server()
	f = s.upload(random_bytes(50_000, 1))
	s.stop()
	s.stray("public/57/01890a5d-ac96-774b-bcce-b302099a8057", b"left by a crash")
	s.start()
	eventually(lambda: set(s.blobs()) == {f["id"]}, message="the orphan stayed")
	assert sha256(s.get(f"/v1/files/{f['id']}/content").content) == f["sha256"]


def test_descriptors_and_memory_come_back(make_server):
	s = make_server()
	for i in range(50):
		s.upload(b"x" * 40_000)
	s.http.close()
	fds = s.fds()
	for i in range(10):
		ws = [wire.Wire(s) for _ in range(60)]
		for w in ws:
			w.send(wire.post_raw(b"x" * 100_000)[:-10])
		[w.reset() for w in ws]
	eventually(lambda: s.fds() <= fds + 2, message=lambda: f"{s.fds()} descriptors instead of {fds}")
	eventually(lambda: not [n for n, size in s.blobs().items() if size != 40_000], message="half files stayed")
	s.alive()


def test_closed_standard_streams(folder):
	"""Descriptors 0 to 2 must not become a database file."""
	s = Server(folder / "closed")
	s.start()
	s.stop()
	from harness.server import binary, clean_environment
	p = subprocess.Popen(["/bin/sh", "-c", 'exec "$0" "$@" <&- 2>&-', binary(), "serve", "--data", str(s.data), "--listen", "127.0.0.1:0"],
			     env=clean_environment(data=s.data), stdout=subprocess.PIPE, text=True)
	line = p.stdout.readline()
	assert line.startswith("filemill ready "), line
	base = line.split()[2]
	assert requests.post(base + "/v1/files", data=b"x", headers={"Content-Type": "x/y"}).status_code == 201
	p.terminate()
	assert p.wait(60) == 0
	p.stdout.close()
	with Server(folder / "again", data=s.data) as t:
		assert len(t.all_files()) == 1


def test_a_storm_of_harmless_signals(make_server):
	s = make_server()
	for number in (signal.SIGPIPE, signal.SIGHUP, signal.SIGURG, signal.SIGWINCH, signal.SIGCONT) * 10:
		s.signal(number)
	s.alive()
	s.upload(b"still here")


def test_stopped_and_continued(make_server):
	s = make_server()
	f = s.upload(b"x" * 50_000)
	s.signal(signal.SIGSTOP)
	time.sleep(1)
	s.signal(signal.SIGCONT)
	job = s.post(f"/v1/files/{f['id']}/jobs", json={"op": "sha1"}).json()
	assert s.get(f"/v1/jobs/{job['id']}?wait=60").json()["state"] == "succeeded"


def test_a_strict_umask_and_no_home(folder):
	with Server(folder / "u", wrapper=["/bin/sh", "-c", 'umask 777; unset HOME; exec "$0" "$@"']) as s:
		assert result_of(s.upload(b"x" * 50_000), "md5")
