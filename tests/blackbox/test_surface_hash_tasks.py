"""The surface hash-tasks: letter for letter, its view, and its log file shared by several nodes (SURFACES.md, section 2)."""
import fcntl
import os
import re
import sqlite3
import struct
import threading
import time

import pytest
import requests

from harness.data import md5, random_bytes
from harness.html import Page
from harness.server import REPOSITORY, Server, eventually, run

LOG = "surfaces.hash_tasks.log_file"


@pytest.fixture(scope="module")
def server(module_folder):
	with Server(module_folder / "tasks", surfaces=["hash-tasks"], settings={LOG: str(module_folder / "shared.log")}) as s:
		s.shared_log = module_folder / "shared.log"
		yield s


def send(server, data, path="/hashes/"):
	return requests.post(server.base + path, files={"file": ("f.bin", data)}, timeout=30)


@pytest.mark.parametrize("path", ["/hashes/", "/hashes"])
@pytest.mark.parametrize("size", [0, 100, 100_000])
def test_upload_and_fetch(server, path, size):
	data = random_bytes(size, size)
	r = send(server, data, path)
	assert r.status_code == 200 and set(r.json()) == {"task_id"} and isinstance(r.json()["task_id"], int)
	n = r.json()["task_id"]
	eventually(lambda: server.get(f"/hashes/{n}").json()["status"] != "PENDING")
	for where in (f"/hashes/{n}", f"/hashes/{n}/"):
		r = server.get(where)
		assert r.status_code == 200 and r.json() == {"status": "SUCCESS", "result": md5(data)}


@pytest.mark.parametrize("n", ["0", "-1", "424242"])
def test_an_id_never_issued(server, n):
	r = server.get(f"/hashes/{n}")
	assert r.status_code == 404 and r.json() == {"detail": f"Task {n} was not found"}


@pytest.mark.parametrize("bad", ["abc", "1.5", "7x", "0x7", "%20", "1e3"])
def test_an_id_that_is_no_whole_number(server, bad):
	r = server.get(f"/hashes/{bad}")
	assert r.status_code == 422, r.text
	item = r.json()["detail"][0]
	assert isinstance(item["loc"], list) and item["msg"] and item["type"]


def test_a_missing_file_part(server):
	for r in (server.post("/hashes/", files={"other": ("a", b"x")}), server.post("/hashes/", data={"file": "text"}), server.post("/hashes/")):
		assert r.status_code == 422 and r.json()["detail"][0]["loc"] == ["body", "file"], r.text


def test_the_pages(server):
	assert server.get("/docs").status_code == 200
	r = server.get("/")
	assert r.status_code == 200 and r.headers["Content-Type"].startswith("text/html")
	page = Page(r.text)
	assert page.upload_form() and page.lookup_form()


def test_the_view_for_those_who_query_the_database(server):
	sent = {send(server, b"view %d" % i).json()["task_id"]: md5(b"view %d" % i) for i in range(3)}
	db = sqlite3.connect(f"file:{server.data}/catalog.db?mode=ro", uri=True)
	try:
		eventually(lambda: dict((n, r) for n, r, s in db.execute("SELECT task_id, result, status FROM md5_tasks") if n in sent and s == "SUCCESS") == sent)
		assert [c[0] for c in db.execute("SELECT * FROM md5_tasks LIMIT 1").description] == ["task_id", "status", "result"]
		kinds = db.execute("SELECT DISTINCT typeof(task_id), typeof(status), typeof(result) FROM md5_tasks").fetchall()
		assert kinds == [("integer", "text", "text")]
	finally:
		db.close()


def test_every_finished_job_leaves_one_line(server):
	sent = {send(server, b"line %d" % i).json()["task_id"]: md5(b"line %d" % i) for i in range(20)}
	def lines():
		return server.shared_log.read_text().splitlines() if server.shared_log.exists() else []
	eventually(lambda: sum(1 for x in lines() if any(v in x for v in sent.values())) == 20, message="lines are missing")
	for n, value in sent.items():
		found = [x for x in lines() if value in x]
		assert len(found) == 1, found
		assert re.search(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d", found[0]) and re.search(rf"\b{n}\b", found[0]) and "SUCCESS" in found[0]


def test_two_nodes_share_the_file_and_no_line_is_torn_or_lost(folder):
	log = folder / "both.log"
	with Server(folder / "a", surfaces=["hash-tasks"], settings={LOG: str(log)}) as a, Server(folder / "b", surfaces=["hash-tasks"], settings={LOG: str(log)}) as b:
		def many(server, tag):
			with requests.Session() as session:
				for i in range(150):
					assert session.post(server.base + "/hashes/", files={"file": ("f", b"%s %d" % (tag, i))}).status_code == 200
		threads = [threading.Thread(target=many, args=x) for x in ((a, b"a1"), (a, b"a2"), (b, b"b1"), (b, b"b2"))]
		[t.start() for t in threads]
		[t.join() for t in threads]
		eventually(lambda: log.exists() and len(log.read_text().splitlines()) == 600, message="lines are missing")
		text = log.read_text()
		assert text.endswith("\n")
		expected = sorted(md5(b"%s %d" % (t, i)) for t in (b"a1", b"a2", b"b1", b"b2") for i in range(150))
		found = [re.findall(r"\b[0-9a-f]{32}\b", line) for line in text.splitlines()]
		assert all(len(x) == 1 for x in found) and sorted(x[0] for x in found) == expected
		assert len({len(line.split()) for line in text.splitlines()}) == 1, "lines differ in shape"


def holder(path):
	"""An exclusive lock from another process, for a POSIX lock never conflicts within one."""
	ready, go = os.pipe(), os.pipe()
	pid = os.fork()
	if pid == 0:
		fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
		fcntl.fcntl(fd, fcntl.F_SETLK, struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
		os.write(ready[1], b"x")
		os.read(go[0], 1)
		os._exit(0)
	os.read(ready[0], 1)
	return pid, go[1]


def test_a_lock_that_somebody_holds_delays_the_line_but_not_the_result(make_server, folder):
	log = folder / "locked.log"
	s = make_server(surfaces=["hash-tasks"], settings={LOG: str(log)})
	pid, go = holder(log)
	n = send(s, b"locked").json()["task_id"]
	eventually(lambda: s.get(f"/hashes/{n}").json() == {"status": "SUCCESS", "result": md5(b"locked")})
	time.sleep(0.5)
	assert md5(b"locked") not in log.read_text()
	os.write(go, b"x")
	os.waitpid(pid, 0)
	eventually(lambda: md5(b"locked") in log.read_text(), message="the line was lost")


def test_a_kept_line_survives_a_crash(make_server, folder):
	log = folder / "crash.log"
	s = make_server(surfaces=["hash-tasks"], settings={LOG: str(log)})
	pid, go = holder(log)
	send(s, b"kept")
	s.kill()
	os.write(go, b"x")
	os.waitpid(pid, 0)
	s.start()
	eventually(lambda: md5(b"kept") in log.read_text(), message="the line was lost")


def test_a_log_that_cannot_be_written_costs_no_result(make_server, folder):
	target = folder / "not-yet" / "tasks.log"
	s = make_server(start=False, surfaces=["hash-tasks"], settings={LOG: str(target)})
	target.parent.mkdir()
	s.start()
	target.parent.rename(folder / "moved")
	n = send(s, b"nowhere").json()["task_id"]
	eventually(lambda: s.get(f"/hashes/{n}").json()["status"] == "SUCCESS")
	(folder / "moved").rename(target.parent)
	eventually(lambda: target.exists() and md5(b"nowhere") in target.read_text(), message="the line was lost")


def test_task_ids_survive_a_restart(make_server):
	s = make_server(surfaces=["hash-tasks"])
	sent = {send(s, b"%d" % i).json()["task_id"]: md5(b"%d" % i) for i in range(5)}
	s.restart()
	for n, value in sent.items():
		assert s.get(f"/hashes/{n}").json() == {"status": "SUCCESS", "result": value}
	assert send(s, b"next").json()["task_id"] == max(sent) + 1


def test_it_is_off_by_default(make_server):
	s = make_server()
	assert s.get("/hashes/1").status_code == 404
	assert send(s, b"x").status_code == 404


def test_both_surfaces_and_the_native_api_count_together(make_server):
	s = make_server(surfaces=["md5-calc", "hash-tasks"])
	a = s.post("/uploadfile/", files={"file": ("a", b"1")}).json()["id"]
	b = send(s, b"2").json()["task_id"]
	c = s.upload(b"3")["number"]
	assert [b, c] == [a + 1, a + 2]
	assert s.get(f"/hashes/{a}").json()["result"] == md5(b"1") and s.get(f"/gethash/{b}").json()["hash"] == md5(b"2")


def test_the_example_is_a_configuration():
	example = REPOSITORY / "examples/hash-tasks/filemill.yaml"
	r = run("check-config", "-c", example)
	assert r.returncode == 0, r.stdout + r.stderr
	assert "9000" in example.read_text()
