"""instashare where files are in a bucket: clients send to the object storage itself, by addresses that it checks, and the server takes what came."""
import hashlib
import io
import itertools
import os
import signal
import subprocess
import threading
import time
import urllib.parse
import uuid
import zipfile

import pytest

from harness.ceph import BUCKET, ceph # noqa: F401
from harness.data import random_bytes, sha256
from harness.examples import play_page
from harness.gate import Gate
from harness.nodes import installed
from harness.people import PASSWORD, Person
from harness.server import REPOSITORY, Server, eventually, problem, run

MIB = 1 << 20
NAME = "a b+ü&日?#%41.txt"
_numbers = itertools.count()


@pytest.fixture(scope="module")
def prefix():
	return f"shares & more/{os.getpid()}-{next(_numbers)}/"


@pytest.fixture(scope="module")
def server(module_folder, ceph, prefix):
	with Server(module_folder / "shares", surfaces=["instashare"], settings=ceph.storage(prefix, **{"files.sweep_every": "1s"})) as s:
		yield s


@pytest.fixture(scope="module")
def ann(server):
	return newcomer(server, "ann@example.org")


def newcomer(server, email):
	assert server.post("/users/register", json={"email": email, "password": PASSWORD}).status_code == 201
	r = server.post("/users/login", json={"email": email, "password": PASSWORD})
	assert r.status_code == 200, r.text
	return Person(server, r.json()["token"], email)


def url_for(person, size, name="report.bin", type="application/octet-stream"):
	r = person.post("/upload_urls", json={"name": name, "size": size, "type": type})
	assert r.status_code == 201 and list(r.json()) == ["id", "url", "method", "headers", "expires_at"], r.text
	return r.json()


def put(folder, url, body, first={}, **changed): # pylint: disable=dangerous-default-value
	"""With curl, as the answer says; the status and what the object storage said."""
	path, answer = folder / f"body-{next(_numbers)}", folder / "answer"
	path.write_bytes(body)
	headers = [a for k, v in {**first, **url["headers"], **changed}.items() if v is not None for a in ("-H", f"{k}: {v}")]
	done = subprocess.run(["/usr/bin/curl", "-q", "-sS", "--noproxy", "*", "--max-time", "60", "-o", answer, "-w", "%{http_code}", "-X", url["method"], "-T", path, *headers,
		url["url"]], timeout=90, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
	path.unlink()
	return int(done.stdout), answer.read_text() if answer.exists() else ""


def complete(person, n):
	return person.post(f"/upload_urls/{n}/complete")


def listed(person):
	return person.get("/files?limit=200").json()["files"]


def key_of(person, n, suffix=""):
	return f"{person.get('/v1/users/me').json()['id']}/{n[-2:]}/{n}{suffix}"


def archive(person, n):
	found = []
	eventually(lambda: (r := person.get(f"/files/{n}/download")).status_code == 200 and not found.append(r))
	with zipfile.ZipFile(io.BytesIO(found[0].content)) as z:
		return {i.filename: z.read(i) for i in z.infolist()}


# ---- the main path ----

@pytest.mark.parametrize("size", [6, 64 << 10, 3 * MIB + 7])
def test_a_file_goes_to_the_bucket_past_the_server(server, ceph, prefix, ann, tmp_path, size):
	body = random_bytes(size, size)
	url = url_for(ann, size, NAME)
	assert url["url"].startswith(ceph.endpoint() + "/") and url["method"] == "PUT" and "X-Amz-Expires=900&" in url["url"]
	problem(complete(ann, url["id"]), 404, "file_not_found")
	server.signal(signal.SIGSTOP)
	try:
		assert put(tmp_path, url, body) == (200, "")
	finally:
		server.signal(signal.SIGCONT)
	assert key_of(ann, url["id"], ".arrival") in ceph.keys(prefix)
	r = complete(ann, url["id"])
	assert r.status_code == 200 and list(r.json().items())[1:3] == [("name", NAME), ("size", size)], r.text
	n = r.json()["id"]
	told = ann.get(f"/v1/files/{n}").json()
	assert told["sha256"] == sha256(body) and told["labels"] == {"link": url["id"]}
	assert ann.get(f"/v1/files/{n}/content").content == body
	assert list(archive(ann, n).values()) == [body]
	assert listed(ann)[0]["id"] == n
	eventually(lambda: key_of(ann, url["id"], ".arrival") not in ceph.keys(prefix))
	assert (key_of(ann, n) in ceph.keys(prefix)) == (size > 32 << 10)
	assert complete(ann, url["id"]).json()["id"] == n


def test_the_service_refuses_what_was_not_signed(ann, tmp_path):
	url = url_for(ann, 6, type="text/plain")
	for body, changed in ((b"short", {}), (b"too long", {}), (b"", {}), (b"report", {"Content-Type": "text/html"}), (b"report", {"Content-Type": None}),
			(b"report", {"x-amz-meta-name": "another"}), (b"report", {"x-amz-meta-name": None}), (b"report", {"x-amz-copy-if-match": None})):
		status, said = put(tmp_path, url, body, **changed)
		assert status == 403, (body, changed, status, said)
	other = url_for(ann, 6, type="text/plain")
	assert put(tmp_path, {**url, "url": url["url"].replace(url["id"], other["id"])}, b"report")[0] == 403
	assert put(tmp_path, {**url, "url": url["url"].replace("X-Amz-Expires=900", "X-Amz-Expires=9000")}, b"report")[0] == 403
	problem(complete(ann, url["id"]), 404, "file_not_found")
	assert put(tmp_path, url, b"report")[0] == 200


def test_an_address_to_write_to_does_not_read_what_is_anothers(ceph, prefix, ann, tmp_path):
	"""This service obeys fields of a request that were not signed."""
	ceph.put(prefix + "secret", b"secret")
	md5 = hashlib.md5(b"secret").hexdigest()
	source = f"/{BUCKET}/" + urllib.parse.quote(prefix + "secret")
	for more in ({}, {"x-amz-metadata-directive": "REPLACE"}, {"x-amz-copy-source-if-none-match": "x"}, {"x-amz-copy-source-if-modified-since": "Sat, 01 Jan 2000 00:00:00 GMT"},
			{"X-Amz-Copy-If-Match": md5}, {"x-amz-copy-if-match": md5}, {"x-amz-copy-if-match": ""}, {"x-amz-copy-source-if-match": md5}):
		url = url_for(ann, 6, type="text/plain")
		assert put(tmp_path, url, b"report", **{"x-amz-copy-source": source}, **more)[0] in (403, 412), more
		assert put(tmp_path, url, b"report", first={"x-amz-copy-source": source, **more})[0] in (403, 412), more
		problem(complete(ann, url["id"]), 404, "file_not_found")
	ceph.aws("s3", "rm", f"s3://{BUCKET}/{prefix}secret")


def test_bytes_of_another_type_are_found_out_when_they_are_taken(ann, tmp_path):
	before = listed(ann)
	url = url_for(ann, 8, type="text/plain")
	assert put(tmp_path, url, b"\x89PNG\r\n\x1a\n")[0] == 200
	problem(complete(ann, url["id"]), 415, "unsupported_type")
	assert listed(ann) == before


# ---- more than once ----

def test_what_is_sent_again_never_changes_a_file_that_was_taken(server, ceph, prefix, ann, tmp_path):
	first, second = random_bytes(300_000, 1), random_bytes(300_000, 2)
	url = url_for(ann, 300_000)
	assert put(tmp_path, url, first)[0] == 200
	assert put(tmp_path, url, second)[0] == 412 # this version of Ceph knows the precondition
	n = complete(ann, url["id"]).json()["id"]
	eventually(lambda: key_of(ann, url["id"], ".arrival") not in ceph.keys(prefix))
	assert put(tmp_path, url, second)[0] == 200 # the address is good still, and its object is gone
	assert complete(ann, url["id"]).json()["id"] == n
	assert ann.get(f"/v1/files/{n}/content").content == first
	assert [f["id"] for f in listed(ann)].count(n) == 1
	assert archive(ann, n) == {"report.bin": first}


def test_two_that_complete_at_the_same_instant_get_the_same_file(server, ann, tmp_path):
	before = len(listed(ann))
	for size in (100, MIB):
		url = url_for(ann, size)
		assert put(tmp_path, url, random_bytes(size, 5))[0] == 200
		answers = []
		tries = [threading.Thread(target=lambda: answers.append(ann.post(f"/upload_urls/{url['id']}/complete"))) for _ in range(6)]
		for t in tries:
			t.start()
		for t in tries:
			t.join()
		assert [r.status_code for r in answers] == [200] * 6, [r.text for r in answers]
		assert len({r.json()["id"] for r in answers}) == 1
	assert len(listed(ann)) == before + 2


@pytest.mark.skipif(not installed(), reason="postgresql is not installed")
def test_what_another_took_since_its_mark_was_looked_for_is_found(make_server, ceph, database, tmp_path):
	"""On two nodes, of which one asks the bucket after the other has taken the bytes away."""
	prefix = f"twice/{os.getpid()}/"
	with Gate(ceph.port) as gate:
		slow, quick = (make_server(surfaces=["instashare"], settings={"catalog.url": database, **ceph.storage(prefix, endpoint)}) for endpoint in (gate.endpoint(), ceph.endpoint()))
		ann = newcomer(quick, "ann@example.org")
		url = url_for(ann, 6)
		assert put(tmp_path, url, b"report")[0] == 200
		eventually(lambda: any(e["event"] == "sweep_done" for s in (slow, quick) for e in s.log_events())) # which is not to be the one that asks
		gate.hold()
		seen, answers = gate.seen, []
		asking = threading.Thread(target=lambda: answers.append(complete(Person(slow, ann.token, ann.email), url["id"])))
		asking.start()
		eventually(lambda: gate.seen > seen, message="the bucket is not asked")
		taken = complete(ann, url["id"])
		assert taken.status_code == 200, taken.text
		eventually(lambda: key_of(ann, url["id"], ".arrival") not in ceph.keys(prefix))
		gate.open()
		asking.join()
		assert answers[0].status_code == 200 and answers[0].json()["id"] == taken.json()["id"], answers[0].text


def test_what_is_anothers_is_not_there(server, ann, tmp_path):
	bob = newcomer(server, "bob@example.org")
	url = url_for(ann, 6)
	assert put(tmp_path, url, b"report")[0] == 200
	problem(complete(bob, url["id"]), 404, "file_not_found")
	problem(server.post(f"/upload_urls/{url['id']}/complete"), 401, "unauthenticated")
	assert complete(ann, url["id"]).status_code == 200


# ---- what goes wrong ----

def test_what_nobody_completed_is_swept(server, ceph, prefix, ann):
	me = ann.get("/v1/users/me").json()["id"]

	def arrival(hours):
		ms = int((time.time() - 3600 * hours) * 1000)
		return f"{me}/00/{uuid.UUID(int=ms << 80 | 7 << 76 | 2 << 62 | uuid.uuid4().int & (1 << 62) - 256)}.arrival"

	old, young = arrival(2.1), arrival(1.9)
	for key in (young, old):
		ceph.put(prefix + key, b"x" * 100)
	problem(complete(ann, young.split("/")[2].removesuffix(".arrival")), 404, "file_not_found") # too late to be taken
	eventually(lambda: old not in ceph.keys(prefix))
	assert young in ceph.keys(prefix)
	server.stop()
	done = run("fsck", "--data", server.data, "--read", settings=server.settings)
	assert done.returncode == 0 and "0 findings" in done.stdout, done.stdout + done.stderr
	server.start()


def ask_somehow(person, n):
	try:
		complete(person, n)
	except OSError: # the server was killed meanwhile
		pass


def test_a_server_that_was_killed_takes_what_came(server, ann, tmp_path):
	body = random_bytes(2 * MIB, 9)
	url = url_for(ann, len(body))
	assert put(tmp_path, url, body)[0] == 200
	asked = threading.Thread(target=lambda: ask_somehow(ann, url["id"]))
	asked.start()
	server.kill()
	asked.join()
	server.start()
	n = complete(ann, url["id"]).json()["id"]
	assert ann.get(f"/v1/files/{n}/content").content == body
	assert [f["name"] for f in listed(ann) if f["id"] == n] == ["report.bin"]


def test_without_the_bucket_it_is_asked_for_again(module_folder, ceph, tmp_path):
	with Gate(ceph.port) as gate:
		settings = ceph.storage(f"away/{os.getpid()}/", gate.endpoint(), **{"storage.s3_patience": "300ms"})
		with Server(module_folder / "away", surfaces=["instashare"], settings=settings) as s:
			person = newcomer(s, "away@example.org")
			url = url_for(person, 100_000)
			assert url["url"].startswith(gate.endpoint())
			assert put(tmp_path, url, bytes(100_000))[0] == 200
			gate.cut(shut=True)
			problem(complete(person, url["id"]), 503, "storage_unavailable")
			gate.open()
			assert complete(person, url["id"]).status_code == 200


def test_a_quota_holds_for_what_did_not_pass_through_here(module_folder, ceph, tmp_path):
	settings = ceph.storage(f"quota/{os.getpid()}/", **{"quotas.bytes": "100kB"})
	with Server(module_folder / "quota", surfaces=["instashare"], settings=settings) as s:
		person = newcomer(s, "few@example.org")
		problem(person.post("/upload_urls", json={"name": "a", "size": 100_001, "type": "text/plain"}), 403, "quota_exceeded")
		urls = [url_for(person, 60_000) for _ in range(2)]
		for url in urls:
			assert put(tmp_path, url, bytes(60_000))[0] == 200
		assert complete(person, urls[0]["id"]).status_code == 200
		problem(complete(person, urls[1]["id"]), 403, "quota_exceeded")
		assert len(listed(person)) == 1


def test_the_example_does_what_its_page_says_with_a_bucket_too(module_folder, ceph, tmp_path):
	prefix = f"shares/{os.getpid()}-{next(_numbers)}/"
	config = REPOSITORY / "examples/instashare/filemill.yaml"
	with Server(module_folder / "example", args=["-c", str(config)], settings=ceph.storage(prefix)) as s:
		play_page("instashare", s, work := tmp_path / "work")
	with zipfile.ZipFile(work / "notes.txt.zip") as z:
		assert z.read("notes.txt") == b"some notes\n"
	assert "x-amz-meta-name: " in (work / "headers").read_text(), "no address of the bucket was given"
