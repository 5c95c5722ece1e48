"""Files that the server fetches itself: from a good source, from one that breaks off, and from such as lie, dawdle or lead astray."""
import hashlib
import json
import sqlite3


import pytest

from harness.data import random_bytes
from harness.server import eventually, problem
from harness.source import Source, content_md5, head, repr_digest

REACH = {"net.http": "true", "net.allow": "127.0.0.0/8"}
FINAL = {"succeeded", "failed", "cancelled", "quarantined"}


@pytest.fixture
def source():
	s = Source()
	yield s
	s.close()


@pytest.fixture
def s(make_server):
	return make_server(settings=REACH)


def fetch(s, url, wait=60, **more):
	"""The job of an import, after it has ended if wait is not 0."""
	more.setdefault("max_attempts", 1)
	r = s.post(f"/v1/imports?wait={wait}", json={"url": url, **more})
	assert r.status_code == 202, r.text
	assert r.headers["Location"] == "/v1/jobs/" + r.json()["id"]
	return r.json()


def rows(s, query):
	db = sqlite3.connect(f"file:{s.data / 'catalog.db'}?mode=ro", uri=True)
	n = db.execute(query).fetchone()[0]
	db.close()
	return n


def failed(job, code):
	assert job["state"] == "failed", job
	assert job["error"]["code"] == code, job["error"]
	return job["error"]["detail"]


def running(s, job):
	return s.get(f"/v1/jobs/{job['id']}").json()["state"] == "running"


def test_a_file_is_fetched_and_its_ops_run(s, source):
	body = random_bytes(3_000_000, 1)
	source.gives("/some/a%20photo.bin", body, [repr_digest(body), content_md5(body)])
	job = fetch(s, source.url("/some/a%20photo.bin"), ops="md5,gzip,sha1;after=gzip", sha256=hashlib.sha256(body).hexdigest())
	assert job["state"] == "succeeded" and job["result"] == {"md5": hashlib.md5(body).hexdigest(), "requests": 1}
	f = s.get(f"/v1/files/{job['file']}").json()
	assert (f["name"], f["size"], f["sha256"]) == ("a photo.bin", len(body), hashlib.sha256(body).hexdigest())
	assert [(j["op"], j["state"]) for j in f["jobs"]] == [("import", "succeeded"), ("md5", "succeeded"), ("gzip", "succeeded"), ("sha1", "succeeded")]
	assert f["jobs"][1]["after"] == job["id"] and f["jobs"][1]["result"] == {"md5": hashlib.md5(body).hexdigest()}
	assert s.get(f"/v1/files/{f['id']}/content").content == body
	part = s.get(f"/v1/files/{f['id']}/content", headers={"Range": "bytes=100-199"})
	assert part.status_code == 206 and part.content == body[100:200]
	later = s.post(f"/v1/files/{f['id']}/jobs", json={"op": "crc32c"})
	assert later.status_code == 202
	eventually(lambda: s.get(later.headers["Location"]).json()["state"] == "succeeded")
	assert len(s.blobs()) == 2
	s.restart()
	assert s.get(f"/v1/files/{f['id']}/content").content == body
	assert s.delete(f"/v1/files/{f['id']}").status_code == 204
	eventually(lambda: not s.blobs(), message="the bytes stayed")


def test_an_empty_file_is_fetched(s, source):
	source.gives("/empty", b"")
	f = s.get(f"/v1/files/{fetch(s, source.url('/empty'))['file']}").json()
	assert (f["size"], f["type"]) == (0, "application/x-empty")
	assert s.get(f"/v1/files/{f['id']}/content").content == b""


def test_until_the_bytes_are_there_the_file_says_so(s, source):
	source.answers["/slow"] = lambda c, r: (c.sendall(head(10) + b"01234"), source.held.wait(60), c.sendall(b"56789"))
	job = fetch(s, source.url("/slow"), wait=0, ops="md5")
	path = f"/v1/files/{job['file']}"
	eventually(lambda: running(s, job))
	f = s.get(path).json()
	assert (f["size"], f["type"], f["sha256"]) == (None, None, None)
	assert f["jobs"][1]["state"] == "queued" and f["jobs"][1]["run_at"] is None
	problem(s.get(path + "/content"), 409, "file_not_ready")
	problem(s.post(path + "/jobs", json={"op": "sha1"}), 409, "file_not_ready")
	more = s.post(path + "/jobs", json={"op": "sha1", "after": job["id"]})
	assert more.status_code == 202, more.text
	source.held.set()
	eventually(lambda: s.get(more.headers["Location"]).json()["state"] == "succeeded")
	assert s.get(path + "/content").content == b"0123456789"


def test_a_failed_import_says_so_and_can_be_tried_again(s, source):
	job = fetch(s, source.url("/nothing"), ops="md5")
	assert "404" in failed(job, "source_failed")
	path = f"/v1/files/{job['file']}"
	assert "404" in problem(s.get(path + "/content"), 409, "file_not_ready")["detail"]
	f = s.get(path).json()
	assert f["size"] is None and failed(f["jobs"][1], "input_failed") is not None
	source.gives("/nothing", b"there")
	assert s.post(f"/v1/jobs/{job['id']}/retry").status_code == 202
	eventually(lambda: all(j["state"] == "succeeded" for j in s.get(path).json()["jobs"]))
	assert s.get(path + "/content").content == b"there"


def test_a_lost_connection_is_taken_up_where_it_ended(s, source):
	body = random_bytes(2_000_000, 2)
	source.loses("/far", body, [300_000, 300_000, 1_700_001])
	job = fetch(s, source.url("/far"))
	assert job["state"] == "succeeded", job
	assert s.get(f"/v1/files/{job['file']}/content").content == body
	asked = [r.offset() for r in source.seen("/far")]
	assert asked[0] == 0 and asked[1:] == [300_000, 300_000, 1_700_001], asked
	assert all(r.headers["if-range"] for r in source.seen("/far")[1:])


def test_without_a_validator_it_begins_anew(s, source):
	body = random_bytes(500_000, 3)
	source.loses("/plain", body, [200_000], etag=False)
	job = fetch(s, source.url("/plain"), max_attempts=3)
	assert job["state"] == "succeeded" and job["attempt"] == 2
	assert not any("range" in r.headers for r in source.seen("/plain"))
	assert s.get(f"/v1/files/{job['file']}/content").content == body


def test_what_changed_meanwhile_is_fetched_from_its_beginning(s, source):
	old, new = random_bytes(400_000, 4), random_bytes(300_000, 5)
	source.loses("/changing", old, [100_000])
	first = source.answers["/changing"]
	source.answers["/changing"] = lambda c, r: (first(c, r), source.gives("/changing", new))
	job = fetch(s, source.url("/changing"))
	assert job["state"] == "succeeded", job
	assert s.get(f"/v1/files/{job['file']}/content").content == new


def test_another_part_than_was_asked_for_is_refused(s, source):
	body = random_bytes(100_000, 6)
	source.loses("/wrong", body, [40_000])
	first = source.answers["/wrong"]
	etag = '"%s"' % hashlib.sha1(body).hexdigest()
	source.answers["/wrong"] = lambda c, r: (first(c, r) if not r.offset() else c.sendall(head(len(body) - 1, 1, len(body), etag) + body[1:]))
	failed(fetch(s, source.url("/wrong")), "source_mismatch")


def test_a_part_that_ends_before_the_end_of_all_is_no_end(s, source):
	body, etag = random_bytes(100_000, 7), '"one"'
	begin = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nETag: "one"\r\nConnection: close\r\n\r\nffff\r\n' + body[:40_000]
	source.answers["/part"] = lambda c, r: c.sendall(head(20_000, r.offset(), len(body), etag) + body[r.offset():][:20_000] if r.offset() else begin)
	failed(fetch(s, source.url("/part")), "source_mismatch")
	eventually(lambda: not s.blobs())


def test_a_validator_that_cannot_be_sent_back_is_none(s, source):
	body = random_bytes(500_000, 8)
	begin = b'HTTP/1.1 200 OK\r\nContent-Length: 500000\r\nETag: "\xfc"\r\nConnection: close\r\n\r\n'
	pieces = [200_000]
	source.answers["/latin"] = lambda c, r: c.sendall(begin + body[:pieces.pop() if pieces else None])
	job = fetch(s, source.url("/latin"), max_attempts=3)
	assert job["state"] == "succeeded" and job["attempt"] == 2, job
	assert s.get(f"/v1/files/{job['file']}/content").content == body


@pytest.mark.parametrize("field", [repr_digest(b"other"), content_md5(b"other")])
def test_a_source_that_sends_other_bytes_than_it_says_is_refused(s, source, field):
	source.gives("/lies", b"these", [field])
	failed(fetch(s, source.url("/lies")), "source_mismatch")
	eventually(lambda: not s.blobs())


def test_bytes_without_the_digest_asked_for_are_refused(s, source):
	source.gives("/x", b"these")
	failed(fetch(s, source.url("/x"), sha256="0" * 64), "source_mismatch")


def test_a_source_that_announces_more_than_it_sends_is_refused(s, source):
	source.says("/short", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nConnection: close\r\n\r\nonly this")
	failed(fetch(s, source.url("/short")), "connection_lost")
	eventually(lambda: not s.blobs())


def test_what_is_longer_than_a_file_may_be_is_not_fetched(make_server, source):
	s = make_server(settings={**REACH, "files.max_size": "1MiB"})
	source.says("/big", b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\nConnection: close\r\n\r\n" + b"x" * 1000)
	failed(fetch(s, source.url("/big")), "too_large")

	def endless(connection, request):
		connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		while not source.held.is_set():
			connection.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
	source.answers["/endless"] = endless
	failed(fetch(s, source.url("/endless"), max_attempts=3), "too_large")
	eventually(lambda: not s.blobs())


def test_a_source_that_dawdles_is_given_up(make_server, source):
	s = make_server(settings={**REACH, "imports.min_rate": "1KiB", "imports.stall": "2s"})

	def drip(connection, request):
		connection.sendall(head(100_000))
		while not source.held.wait(0.2):
			connection.sendall(b"x")
	source.answers["/drip"] = drip
	failed(fetch(s, source.url("/drip")), "peer_timeout")


def test_redirects_are_followed_and_each_is_judged(s, source):
	source.gives("/end", b"arrived")
	source.says("/first", f"HTTP/1.1 302 Found\r\nLocation: {source.url('/end')}\r\nContent-Length: 3\r\n\r\nno!".encode())
	source.says("/round", f"HTTP/1.1 302 Found\r\nLocation: {source.url('/round')}\r\nContent-Length: 0\r\n\r\n".encode())
	source.says("/inside", b"HTTP/1.1 302 Found\r\nLocation: http://10.1.2.3/secret\r\nContent-Length: 0\r\n\r\n")
	source.says("/metadata", b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/latest/meta-data\r\nContent-Length: 0\r\n\r\n")
	source.says("/file", b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n")
	job = fetch(s, source.url("/first"))
	assert s.get(f"/v1/files/{job['file']}/content").content == b"arrived"
	failed(fetch(s, source.url("/round")), "too_many_redirects")
	assert len(source.seen("/round")) == 6
	for path in ("/inside", "/metadata", "/file"):
		failed(fetch(s, source.url(path)), "url_not_allowed")


def test_places_that_are_not_public_are_refused(server):
	for url in ("http://example.org/", "https://127.0.0.1/x", "https://[::1]/", "https://10.0.0.1/", "https://169.254.169.254/latest",
		    "https://localhost/", "file:///etc/passwd", "https://user@example.org/", "ftp://example.org/", "https://100.64.0.1/", ""):
		problem(server.post("/v1/imports", json={"url": url}), 422, "url_not_allowed")
	assert not server.all_files()


def test_requests_that_do_not_say_what_to_import_are_refused(server):
	for body, status, code in (({}, 422, "missing_value"), ({"url": "https://example.org/", "s3": {"bucket": "abc", "key": "k"}}, 422, "invalid_value"),
				   ({"s3": {"bucket": "abc", "key": "k"}}, 422, "invalid_value"), ({"s3": {"bucket": "abc"}}, 422, "missing_value"),
				   ({"s3": 1}, 422, "invalid_value"), ({"url": 1}, 422, "invalid_value"), ({"uri": "x"}, 400, "unknown_member"),
				   ({"url": "https://example.org/", "ops": "nonsense"}, 422, "unknown_op"),
				   ({"url": "https://example.org/", "ops": "import"}, 422, "unknown_op"),
				   ({"url": "https://example.org/", "ops": ",".join(f"gzip;level={n}" for n in range(1, 13)) * 1 + "," +
				     ",".join(f"zstd;level={n}" for n in range(1, 20)) + ",md5"}, 400, "bad_ops"),
				   ({"url": "https://example.org/", "sha256": "abc"}, 422, "invalid_value"),
				   ({"url": "https://example.org/", "name": "a\nb"}, 400, "bad_name"),
				   ({"url": "https://example.org/", "max_attempts": 0}, 422, "invalid_value"),
				   ({"url": "https://example.org/", "labels": {"UPPER": "x"}}, 400, "bad_labels")):
		problem(server.post("/v1/imports", json=body), status, code)
	problem(server.post("/v1/files?ops=import", data=b"x", headers={"Content-Type": "application/octet-stream"}), 422, "unknown_op")
	assert not server.all_files()


def test_a_source_in_trouble_is_asked_again(s, source):
	answers = [b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"]

	def busy(connection, request):
		source.gives("/busy", b"at last")
		connection.sendall(answers[0])
	source.answers["/busy"] = busy
	job = fetch(s, source.url("/busy"), max_attempts=3)
	assert (job["state"], job["attempt"]) == ("succeeded", 2)
	source.says("/ever", answers[0])
	failed(fetch(s, source.url("/ever")), "source_busy")


def test_a_running_import_is_cancelled_and_leaves_nothing(s, source):
	body = random_bytes(1_000_000, 7)
	source.answers["/held"] = lambda c, r: (c.sendall(head(2 * len(body)) + body), source.held.wait(60))
	jobs = [fetch(s, source.url("/held"), wait=0, ops="md5") for _ in range(2)]
	eventually(lambda: all(running(s, j) and s.get(f"/v1/jobs/{j['id']}").json()["progress"] for j in jobs))
	assert s.post(f"/v1/jobs/{jobs[0]['id']}/cancel").status_code == 200
	assert s.delete(f"/v1/files/{jobs[1]['file']}").status_code == 204
	eventually(lambda: s.get(f"/v1/jobs/{jobs[0]['id']}").json()["state"] == "cancelled" and not s.blobs())
	assert [j["state"] for j in s.get(f"/v1/files/{jobs[0]['file']}").json()["jobs"]] == ["cancelled", "cancelled"]


def test_imports_take_no_thread_from_other_jobs(make_server, source):
	s = make_server(settings={**REACH, "jobs.threads": "1", "imports.at_once": "2"})
	source.answers["/held"] = lambda c, r: (c.sendall(head(10) + b"x"), source.held.wait(60))
	jobs = [fetch(s, source.url("/held"), wait=0) for _ in range(4)]
	eventually(lambda: sum(running(s, j) for j in jobs) == 2)
	assert s.upload(b"in between", query="ops=gzip&wait=60")["jobs"][0]["state"] == "succeeded"
	source.held.set()


def test_after_a_kill_in_the_middle_the_file_comes_whole(s, source):
	body = random_bytes(1_500_000, 8)
	source.answers["/long"] = lambda c, r: (c.sendall(head(len(body)) + body[:900_000]), source.held.wait(60), c.sendall(body[900_000:]))
	job = fetch(s, source.url("/long"), wait=0, max_attempts=3, ops="sha256")
	eventually(lambda: s.blobs() and max(s.blobs().values()) > 300_000)
	s.kill()
	source.gives("/long", body)
	s.start()
	path = f"/v1/files/{job['file']}"
	eventually(lambda: all(j["state"] == "succeeded" for j in s.get(path).json()["jobs"]))
	assert s.get(path + "/content").content == body
	eventually(lambda: len(s.blobs()) == 1, message="what the killed attempt left is still there")


def test_a_stop_gives_a_running_import_back(s, source):
	body = random_bytes(100_000, 9)
	source.answers["/stop"] = lambda c, r: (c.sendall(head(len(body)) + body[:50_000]), source.held.wait(60))
	job = fetch(s, source.url("/stop"), wait=0)
	eventually(lambda: running(s, job))
	s.stop()
	source.gives("/stop", body)
	s.start()
	eventually(lambda: s.get(f"/v1/jobs/{job['id']}").json()["state"] == "succeeded")
	assert s.get(f"/v1/jobs/{job['id']}").json()["attempt"] == 1
	assert s.get(f"/v1/files/{job['file']}/content").content == body


def test_sources_faster_than_the_disk_wait_outside_of_memory(s, source):
	"""What is sent faster than it is stored waits in the source's own socket, not in memory."""
	size = 16 << 20

	def pour(connection, request):
		connection.sendall(head(size))
		for _ in range(size >> 20):
			connection.sendall(bytes(1 << 20))
	source.answers["/pour"] = pour
	before = s.rss()
	jobs = [fetch(s, source.url("/pour"), wait=0) for _ in range(4)]
	eventually(lambda: all(s.get(f"/v1/jobs/{j['id']}").json()["state"] in FINAL for j in jobs), timeout=120)
	assert all(s.get(f"/v1/jobs/{j['id']}").json()["state"] == "succeeded" for j in jobs)
	assert s.peak() - before < 32 << 20


def test_a_repeat_with_the_same_key_imports_once(s, source):
	source.gives("/once", b"once")
	answers = [s.post("/v1/imports", json={"url": source.url("/once")}, headers={"Idempotency-Key": "k1"}) for _ in range(2)]
	assert [r.status_code for r in answers] == [202, 202]
	assert answers[0].json()["id"] == answers[1].json()["id"] and answers[1].headers["Idempotency-Replayed"] == "true"
	problem(s.post("/v1/imports", json={"url": source.url("/other")}, headers={"Idempotency-Key": "k1"}), 422, "idempotency_conflict")
	assert len(s.all_files()) == 1


def test_of_many_jobs_one_on_a_file_that_is_to_come_refuses_all(s, source):
	source.answers["/held"] = lambda c, r: (c.sendall(head(10) + b"x"), source.held.wait(60))
	coming = fetch(s, source.url("/held"), wait=0)
	there = s.upload(b"there")
	r = s.post("/v1/jobs", json={"jobs": [{"file": there["id"], "op": "sha1"}, {"file": coming["file"], "op": "sha1"}]})
	problem(r, 409, "file_not_ready")
	assert len(s.get(f"/v1/files/{there['id']}").json()["jobs"]) == 1


def test_recurring_jobs_pass_over_files_that_are_still_to_come(make_server, source):
	entry = {"often": {"at": "@yearly", "ops": ["sha512"], "files": "all"}}
	s = make_server(settings={**REACH, "recurring": json.dumps(entry)})
	source.answers["/held"] = lambda c, r: (c.sendall(head(10) + b"x"), source.held.wait(90))
	coming = fetch(s, source.url("/held"), wait=0)
	there = s.upload(b"there")
	eventually(lambda: rows(s, "SELECT count(*) FROM recurring") == 1)
	s.stop()
	with sqlite3.connect(s.data / "catalog.db") as db:
		db.execute("UPDATE recurring SET due_at = due_at - 2 * 366 * 86400000")
	db.close()
	s.start()
	eventually(lambda: any(j["op"] == "sha512" for j in s.get(f"/v1/files/{there['id']}").json()["jobs"]))
	assert [j["op"] for j in s.get(f"/v1/files/{coming['file']}").json()["jobs"]] == ["import"]
