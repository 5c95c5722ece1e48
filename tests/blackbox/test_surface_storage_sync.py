"""The surface storage-sync: letter for letter (SURFACES.md, section 4), from a source that does what a test tells it; from a real object storage in test_imports_s3.py."""
import hashlib
import hmac
import html
import http.client
import json
import os
import re
import threading
import time
from datetime import datetime
from urllib.parse import quote

import pytest
import requests

from harness import people
from harness.data import random_bytes
from harness.images import png
from harness.server import REPOSITORY, Server, StartFailed, eventually, problem, run
from harness.source import Source

SECRET, BUCKET = "a secret that clients share", "objects"
PART = ".filemill"


def settings(folder, endpoint="http://127.0.0.1:9000", **more):
	own = {"secret": SECRET, "source": f"s3://{BUCKET}", "endpoint": endpoint, "access_key": "a", "secret_key": "s", "mirror_dir": str(folder / "mirror"), **more}
	return {f"surfaces.storage_sync.{k}": v for k, v in own.items()}


@pytest.fixture(scope="module")
def source():
	s = Source()
	yield s
	s.close()


@pytest.fixture(scope="module")
def server(module_folder, source):
	"""With no limit of requests, and an administrator."""
	s = Server(module_folder / "sync", surfaces=["storage-sync"], settings=settings(module_folder, source.url(""), rate="off"))
	people.first_admin(s)
	with s:
		s.mirror = module_folder / "mirror"
		yield s


def payload(name, ref="r1", **more):
	return json.dumps({"oeid": "o1", "ref_id": ref, "file_name": name, "file_type": "image/png", **more}).encode()


def sign(body, secret=SECRET):
	return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def send(server, body, path="/sync/", **headers):
	return requests.post(server.base + path, data=body, headers={"Content-Type": "application/json", "Authorization": sign(body), **headers}, timeout=30)


def answered(r, status, body):
	assert (r.status_code, r.json()) == (status, body), r.text
	assert r.headers["Content-Type"].startswith("application/json")


def queued(r):
	answered(r, 201, {"detail": "Object queued for sync"})


def counts(server):
	r = server.get("/sync/")
	assert r.status_code == 200 and set(r.json()) == {"synced_objects_count", "queued_objects_count"}, r.text
	return tuple(r.json().values())


def held(source, path, body):
	"""An object that comes when the test says so; gives what lets it go."""
	go = threading.Event()

	def answer(connection, request):
		assert go.wait(60)
		connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
	source.answers[path] = answer
	return go


def left_over(mirror):
	return os.listdir(mirror / PART)


# ---- copying ----

@pytest.mark.parametrize("path", ["/sync/", "/sync"])
@pytest.mark.parametrize("size", [0, 100, 3_000_000])
def test_an_object_is_copied(server, source, path, size):
	name, body = f"copied-{size}{path.count('/')}.bin", random_bytes(size, size)
	source.gives(f"/{BUCKET}/{name}", body)
	synced, _ = counts(server)
	queued(send(server, payload(name), path))
	eventually(lambda: counts(server)[0] == synced + 1)
	assert (server.mirror / name).read_bytes() == body
	assert left_over(server.mirror) == []


def test_it_is_counted_as_queued_until_it_is_there(server, source):
	go = held(source, f"/{BUCKET}/held.bin", b"bytes")
	synced, waiting = counts(server)
	queued(send(server, payload("held.bin")))
	assert counts(server) == (synced, waiting + 1)
	assert not (server.mirror / "held.bin").exists()
	go.set()
	eventually(lambda: counts(server) == (synced + 1, waiting))
	assert (server.mirror / "held.bin").read_bytes() == b"bytes"


@pytest.mark.parametrize("name, path", [("a folder/b+c/d.bin", "a%20folder/b%2Bc/d.bin"), ("ümläut 日本.bin", "%C3%BCml%C3%A4ut%20%E6%97%A5%E6%9C%AC.bin"),
					(".hidden", ".hidden"), ("n" * 255, "n" * 255), ("..a/..b..", "..a/..b..")])
def test_the_copy_has_the_objects_own_name(server, source, name, path):
	source.gives(f"/{BUCKET}/{path}", name.encode())
	queued(send(server, payload(name, "names")))
	eventually(lambda: (server.mirror / name).exists())
	assert (server.mirror / name).read_bytes() == name.encode()


def test_a_new_sync_of_a_name_takes_the_place_of_the_copy(server, source):
	source.gives(f"/{BUCKET}/again.bin", b"first")
	queued(send(server, payload("again.bin", "1")))
	eventually(lambda: (server.mirror / "again.bin").exists())
	source.gives(f"/{BUCKET}/again.bin", b"second")
	queued(send(server, payload("again.bin", "2")))
	eventually(lambda: (server.mirror / "again.bin").read_bytes() == b"second")


def test_what_was_said_of_the_object_is_kept(server, source):
	source.gives(f"/{BUCKET}/said.bin", b"said")
	queued(send(server, payload("said.bin", "ref 77", oeid="oe 5")))
	root = people.sign_in(server, people.ADMIN)
	eventually(lambda: (server.mirror / "said.bin").exists())
	files = root.get("/v1/admin/files?name=said.bin").json()["files"]
	assert len(files) == 1 and files[0]["labels"] == {"oeid": "oe 5", "ref_id": "ref 77", "file_type": "image/png"}, files


# ---- who may, and what may be said: in this order ----

def test_without_a_signature(server):
	for headers in ({}, {"Authorization": ""}):
		r = requests.post(server.base + "/sync/", data=b"{", headers=headers, timeout=10)
		answered(r, 401, {"detail": "Missing/empty Authorization header"})


def test_with_a_wrong_signature(server):
	body = payload("wrong.bin")
	right = sign(body)
	for wrong in (sign(body, "another"), right[:-1], right + "0", right[:-1] + ("0" if right[-1] != "0" else "1"), "Bearer x", sign(body + b" ")):
		answered(send(server, body, Authorization=wrong), 401, {"detail": "Invalid HMAC signature hash"})
	answered(send(server, b"{", Authorization="00" * 32), 401, {"detail": "Invalid HMAC signature hash"})


@pytest.mark.parametrize("body", [b"", b"{", b"no json", b'{"oeid": "a", "oeid": "b"}', b"\xff", b"{} {}", b"[" * 1000])
def test_a_body_that_is_no_json(server, body):
	answered(send(server, body), 400, {"detail": "Malformed JSON data"})


WRONG = [b"[]", b"null", b'"text"', b"{}", *(json.dumps({k: "x" for k in ("oeid", "ref_id", "file_name", "file_type") if k != missing}).encode()
					    for missing in ("oeid", "ref_id", "file_name", "file_type"))]


@pytest.mark.parametrize("body", WRONG)
def test_a_body_of_another_shape(server, body):
	answered(send(server, body), 400, {"detail": "Invalid JSON data"})


@pytest.mark.parametrize("member, limit", [("oeid", 30), ("ref_id", 30), ("file_name", 255), ("file_type", 50)])
def test_texts_are_bounded_by_characters(server, member, limit):
	name = f"bound-{member}"
	queued(send(server, payload(name, **{member: "b" * limit})))
	if member != "file_name": # there it is also the bytes of a file's name
		queued(send(server, payload(name, **{member: "ü" * limit})))
	answered(send(server, payload(name, **{member: "b" * (limit + 1)})), 400, {"detail": "Invalid JSON data"})
	for wrong in (7, None, ["x"], {"x": "y"}, True, "a\x07"):
		answered(send(server, payload(name, **{member: wrong})), 400, {"detail": "Invalid JSON data"})


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../up", "a/../../up", "a/..", "..", ".", "./a", "a//b", "a/", "//", "a\nb", f"{PART}/x", f"a/{PART}/x", "ü" * 200])
def test_a_name_that_is_no_place_in_the_mirror(server, name):
	answered(send(server, payload(name)), 400, {"detail": "Invalid JSON data"})


def test_no_symbolic_link_leads_out_of_the_mirror(server, source, folder):
	(server.mirror / "way-out").symlink_to(folder)
	source.gives(f"/{BUCKET}/way-out/x", b"x")
	queued(send(server, payload("way-out/x")))
	root = people.sign_in(server, people.ADMIN)

	def failed():
		files = root.get("/v1/admin/files?name=x").json()["files"]
		job = [f for f in files if f["name"] == "x"][0]["jobs"][0]
		return job["attempt"] >= 1 and job.get("error")
	eventually(failed)
	assert list(folder.iterdir()) == []
	problem(root.get("/files/way-out/x"), 404, "file_not_found")
	assert left_over(server.mirror) == []


# ---- once ----

def test_the_same_payload_is_taken_once(server, source):
	body = payload("once.bin")
	source.gives(f"/{BUCKET}/once.bin", b"once")
	queued(send(server, body))
	answered(send(server, body), 409, {"detail": "Object already exists"})
	root = people.sign_in(server, people.ADMIN)
	eventually(lambda: root.get("/v1/admin/files?name=once.bin").json()["files"][0]["jobs"][0]["state"] == "succeeded") # a moment after the copy is there
	server.restart()
	answered(send(server, body), 409, {"detail": "Object already exists"})
	assert len(source.seen(f"/{BUCKET}/once.bin")) == 1


def test_of_those_that_arrive_at_the_same_instant_one_is_taken(server):
	for n in range(5):
		body = payload("instant.bin", f"instant {n}")
		barrier, got = threading.Barrier(8), []

		def one():
			barrier.wait()
			got.append(send(server, body).status_code)
		threads = [threading.Thread(target=one) for _ in range(8)]
		[t.start() for t in threads]
		[t.join() for t in threads]
		assert sorted(got) == [201] + [409] * 7


# ---- how many ----

def test_too_many_requests(make_server, folder):
	s = make_server(surfaces=["storage-sync"], settings=settings(folder, rate="5/h"))
	assert [s.get("/sync/").status_code for _ in range(3)] == [200] * 3
	queued(send(s, payload("a")))
	answered(requests.post(s.base + "/sync/", data=b"{", timeout=10), 401, {"detail": "Missing/empty Authorization header"})
	for r in (send(s, payload("b")), requests.post(s.base + "/sync/", data=b"{", timeout=10), s.get("/sync/"), s.get("/sync")):
		answered(r, 412, {"error": "Too many requests"})
		assert 1 <= int(r.headers["Retry-After"]) <= 720
	assert s.get("/status.html").status_code == 200
	s.settings["surfaces.storage_sync.rate_limit_status"] = "429"
	s.restart()
	assert [s.get("/sync/").status_code for _ in range(6)] == [200] * 5 + [429]


def test_fifty_a_minute_unless_configured(make_server, folder):
	s = make_server(surfaces=["storage-sync"], settings=settings(folder))
	got = [s.get("/sync/").status_code for _ in range(50)]
	assert got == [200] * 50
	# each 1.2 s one more: a busy machine may have needed some
	eventually(lambda: s.get("/sync/").status_code == 412)


# ---- what goes wrong ----

SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>"


@pytest.mark.parametrize("status, fields, body", [("404", "", b""), ("403", "", b""), ("500", "", b"<Error><Code>InternalError</Code></Error>"), ("503", "", SLOW_DOWN),
							    ("503", "Retry-After: 3600\r\n", SLOW_DOWN)])
def test_a_download_that_fails_is_tried_again_after_seconds_up_to_three_times(make_server, folder, source, status, fields, body):
	"""Whatever went wrong, and with a pause that no other import has. The server is its own, so that nothing else comes and goes among what is counted."""
	server = make_server(start=False, surfaces=["storage-sync"], settings=settings(folder, source.url(""), rate="off"))
	people.first_admin(server)
	server.start()
	name = f"never-comes-{status}{len(fields)}.bin"
	source.says(f"/{BUCKET}/{name}", f"HTTP/1.1 {status} No\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{fields}\r\n".encode() + body)
	before = time.time()
	queued(send(server, payload(name)))
	root = people.sign_in(server, people.ADMIN)

	def job():
		files = root.get(f"/v1/admin/files?name={name}").json()["files"]
		return files[0]["jobs"][0]
	j = eventually(lambda: (x := job())["attempt"] >= 1 and x["state"] == "queued" and x)
	assert j["error"]["code"] == ("source_busy" if status[0] == "5" else "source_failed") and status in j["error"]["detail"] and j["max_attempts"] == 4
	assert before + 3 <= server_time(j["run_at"]) <= time.time() + 60, j
	assert counts(server) == (0, 1)
	assert root.post(f"/v1/admin/jobs/{j['id']}/cancel").status_code == 200
	eventually(lambda: counts(server) == (0, 0))


def server_time(text):
	return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def test_a_sync_survives_a_crash_and_what_was_half_copied_goes(make_server, folder, source):
	s = make_server(surfaces=["storage-sync"], settings=settings(folder, source.url("")))
	go = held(source, f"/{BUCKET}/crash.bin", b"after the crash")
	queued(send(s, payload("crash.bin")))
	eventually(lambda: source.seen(f"/{BUCKET}/crash.bin"))
	s.kill()
	(folder / "mirror" / PART / "half").write_bytes(b"half")
	go.set()
	s.start()
	eventually(lambda: counts(s) == (1, 0))
	assert (folder / "mirror/crash.bin").read_bytes() == b"after the crash"
	assert left_over(folder / "mirror") == []


# ---- looking ----

def test_the_status_page(server):
	for path in ("/status.html", "/status.html/"):
		r = server.get(path)
		assert r.status_code == 200 and r.headers["Content-Type"].startswith("text/html")


def test_an_operator_gets_a_copy_and_nobody_else(server, source):
	image = png(40, 30)
	source.gives(f"/{BUCKET}/pictures/p.png", image)
	queued(send(server, payload("pictures/p.png")))
	eventually(lambda: (server.mirror / "pictures/p.png").exists())
	root = people.sign_in(server, people.ADMIN)
	r = root.get("/files/pictures/p.png")
	assert r.status_code == 200 and r.content == image
	assert r.headers["Content-Type"] == "image/png" and r.headers["Content-Disposition"].startswith("inline") and r.headers["X-Content-Type-Options"] == "nosniff"
	r = root.get("/files/pictures/p.png", headers={"Range": "bytes=1-3"})
	assert r.status_code == 206 and r.content == b"PNG"
	for name in ("none", "pictures", "pictures/none", "pictures/p.png/x", PART, f"{PART}/x"):
		problem(root.get(f"/files/{name}"), 404, "file_not_found")
	problem(server.get("/files/pictures/p.png"), 401, "unauthenticated")
	problem(people.add_user(root).get("/files/pictures/p.png"), 403, "forbidden")
	assert people.add_user(root, role="operator").get("/files/pictures/p.png").content == image


AWKWARD = ["100%+#?;=@:,~[]{}|^$!*()`.txt", "%2e%2e", "up%2F..%2Fhere", " spaces ", "..a/...", "a folder/ü 日本/\"quoted\" <i>'&amp;.txt", "index.html?x=<script>", "~", "-rf"]


def test_a_copy_has_an_address_whatever_its_name_is(server, source):
	for n, name in enumerate(AWKWARD):
		source.gives(f"/{BUCKET}/{quote(name, safe='/')}", b"awkward %d" % n)
		queued(send(server, payload(name, f"awkward {n}")))
	eventually(lambda: all((server.mirror / name).is_file() for name in AWKWARD))
	root = people.sign_in(server, people.ADMIN)
	for n, name in enumerate(AWKWARD):
		assert root.get("/files/" + quote(name)).content == b"awkward %d" % n, name
		eventually(lambda: "<a href" in root.get(f"/syncs?by=ref_id&q=awkward+{n}").text)
		link, shown = re.search(r'<td><a href="([^"]*)">(.*?)</a></td>', root.get(f"/syncs?by=ref_id&q=awkward+{n}").text).groups()
		assert html.unescape(shown) == name and root.get(html.unescape(link)).content == b"awkward %d" % n


def test_no_path_leads_elsewhere(server, source):
	source.gives(f"/{BUCKET}/inner/a%5Cb.bin", b"a backslash")
	queued(send(server, payload("inner/a\\b.bin")))
	eventually(lambda: (server.mirror / "inner/a\\b.bin").exists())
	root = people.sign_in(server, people.ADMIN)
	(server.mirror.parent / "beside.txt").write_text("not to be had")
	for path, status in [("../beside.txt", 400), ("inner/../../beside.txt", 400), ("%2e%2e/beside.txt", 400), ("..%2Fbeside.txt", 400), ("inner%2F..%2F..%2Fbeside.txt", 400),
				("inner//a", 400), ("./inner", 400), ("/etc/passwd", 400), ("%2Fetc%2Fpasswd", 400), ("..\\beside.txt", 400), ("inner/a%5Cb.bin", 400), ("inner%00", 400),
				("%c0%ae%c0%ae/beside.txt", 400), ("inner", 404), ("inner/", 404), (PART, 404), (PART + "/", 404), ("x" * 3000, 404), ("x/" * 600 + "x", 404)]:
		connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
		connection.request("GET", "/files/" + path, headers={"Authorization": f"Bearer {root.token}"})
		got = connection.getresponse()
		assert got.status == status and b"not to be had" not in got.read(), path
		connection.close()
	assert "inner/a\\b.bin" in root.get("/syncs").text and "%5C" not in root.get("/syncs").text # it has no address


HOSTILE = {
	"evil.html": b"<!doctype html><script>parent.postMessage(document.cookie)</script>",
	"evil.svg": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>',
	"evil.png": b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
	"evil.jpg": b"<html><script>alert(1)</script></html>",
	"evil.xml": b'<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><script>alert(1)</script></html>',
	"evil.js": b"alert(1)",
	"evil.gif": b"GIF89a=1/*" + bytes(3) + b"*/;alert(1)", # an image by its first bytes, a script by all of them
	"evil.css\u202egnp": b"@import url(http://127.0.0.1/)",
}


def test_what_a_copy_holds_is_never_executed(server, source):
	for n, (name, body) in enumerate(HOSTILE.items()):
		source.gives(f"/{BUCKET}/hostile/{quote(name)}", body)
		queued(send(server, payload(f"hostile/{name}", f"hostile {n}", file_type="text/html")))
	eventually(lambda: all((server.mirror / "hostile" / name).exists() for name in HOSTILE))
	root = people.sign_in(server, people.ADMIN)
	for name, body in HOSTILE.items():
		r = root.get("/files/hostile/" + quote(name))
		assert r.content == body and r.headers["X-Content-Type-Options"] == "nosniff", name
		assert r.headers["Content-Security-Policy"] == "sandbox; default-src 'none'" and r.headers["Cross-Origin-Resource-Policy"] == "same-origin"
		kind = r.headers["Content-Type"].split(";")[0]
		shown = r.headers["Content-Disposition"].startswith("inline")
		assert (kind, shown) in [("application/octet-stream", False), ("text/plain", True), ("image/gif", True)], (name, kind, shown)
		assert shown == (name in ("evil.gif", "evil.js", "evil.css\u202egnp")), (name, kind)
	eventually(lambda: root.get("/syncs?q=hostile/").text.count("<a href=\"/files/") == len(HOSTILE))
	text = root.get("/syncs?q=hostile/").text
	assert text.count("<img") == 1 and 'src="/files/hostile/evil.gif"' in text and "<script" not in text


def test_a_copy_without_a_tag_is_asked_for_by_its_date(server, source):
	source.gives(f"/{BUCKET}/dated.bin", b"0123456789")
	queued(send(server, payload("dated.bin")))
	eventually(lambda: (server.mirror / "dated.bin").exists())
	root = people.sign_in(server, people.ADMIN)
	whole = root.get("/files/dated.bin")
	date = whole.headers["Last-Modified"]
	assert "ETag" not in whole.headers and "Repr-Digest" not in whole.headers
	for headers, status in [({"If-Modified-Since": date}, 304), ({"If-None-Match": '""'}, 200), ({"If-None-Match": '"x"'}, 200), ({"If-None-Match": "*"}, 304), ({"If-Match": "*"}, 200),
				({"If-Match": '""'}, 412), ({"Range": "bytes=2-3"}, 206), ({"Range": "bytes=2-3", "If-Range": '""'}, 200), ({"Range": "bytes=20-"}, 416)]:
		assert root.get("/files/dated.bin", headers=headers).status_code == status, headers
	r = root.request("HEAD", "/files/dated.bin")
	assert r.status_code == 200 and r.headers["Content-Length"] == "10" and r.content == b""


def test_the_operators_page_lists_searches_and_shows_pictures(server, source):
	image, name = png(21, 13), "album/<b>&'x y.png"
	source.gives(f"/{BUCKET}/album/%3Cb%3E%26%27x%20y.png", image)
	queued(send(server, payload(name, "page <1>")))
	queued(send(server, payload("page-missing.bin", "page 2")))
	eventually(lambda: (server.mirror / name).exists())
	root = people.sign_in(server, people.ADMIN)

	def page(**query):
		r = root.get("/syncs", params=query)
		assert r.status_code == 200 and r.headers["Content-Type"].startswith("text/html"), r.text
		assert "img-src 'self'" in r.headers["Content-Security-Policy"] and "<b>" not in r.text
		return r.text
	shown, link = "album/&lt;b&gt;&amp;&#39;x y.png", "/files/album/%3Cb%3E%26%27x%20y.png"
	eventually(lambda: f'src="{link}"' in page())
	assert "page-missing.bin" in page() and shown in page()
	for query in ({"q": "x y"}, {"q": "album/"}, {"q": "bum/<b>&'x", "by": "name"}, {"q": hashlib.sha256(image).hexdigest(), "by": "checksum"}, {"q": "page <1>", "by": "ref_id"}):
		assert shown in page(**query) and "page-missing.bin" not in page(**query), query
	assert root.get(link).content == image
	eventually(lambda: "queued: " in page(q="page-missing")) # and why it did not come at first
	problem(root.get("/syncs?by=checksum&q=12"), 400, "bad_parameter")
	problem(server.get("/syncs"), 401, "unauthenticated")
	problem(people.add_user(root).get("/syncs"), 403, "forbidden")


def test_the_operators_page_has_older_ones_behind_a_link(server):
	root = people.sign_in(server, people.ADMIN)
	for n in range(51):
		queued(send(server, payload("many.bin", f"many {n}")))
	text = root.get("/syncs?q=many.bin").text
	assert text.count("<tr>") == 51 # one is the head
	older = re.search(r'href="(/syncs[^"]+)">Older', text).group(1).replace("&amp;", "&")
	assert root.get(older).text.count("<tr>") == 2
	queued(send(server, payload("seldom/one.bin")))
	[queued(send(server, payload("many.bin", f"more {n}"))) for n in range(60)]
	text = root.get("/syncs?q=seldom/").text # it is on the second page of all
	assert text.count("<tr>") == 2 and "seldom/one.bin" in text and "Older" not in text


# ---- setting it up ----

@pytest.mark.parametrize("missing", ["secret", "source", "access_key"])
def test_it_does_not_start_half_set_up(make_server, folder, missing):
	s = make_server(start=False, surfaces=["storage-sync"], settings=settings(folder, **{missing: ""}))
	with pytest.raises(StartFailed) as failed:
		s.start()
	assert f"storage_sync.{'endpoint' if missing == 'access_key' else missing}" in failed.value.stderr


@pytest.mark.parametrize("source", ["objects", "s3://", "s3://a", "s3://bucket/folder", "s3://no bucket", "http://bucket"])
def test_it_does_not_start_with_a_source_that_is_no_bucket(make_server, folder, source):
	s = make_server(start=False, surfaces=["storage-sync"], settings=settings(folder, source=source))
	with pytest.raises(StartFailed) as failed:
		s.start()
	assert "surfaces.storage_sync.source" in failed.value.stderr


def test_the_mirror_is_no_folder_that_holds_the_data_and_one_servers_alone(make_server, folder):
	s = make_server(start=False, surfaces=["storage-sync"])
	for mirror in (s.data, s.data.parent):
		s.settings = settings(folder, mirror_dir=str(mirror))
		with pytest.raises(StartFailed) as failed:
			s.start()
		assert "surfaces.storage_sync.mirror_dir" in failed.value.stderr
	first = make_server(surfaces=["storage-sync"], settings=settings(folder))
	other = make_server(start=False, surfaces=["storage-sync"], settings=first.settings)
	with pytest.raises(StartFailed) as failed:
		other.start()
	assert "another server" in failed.value.stderr


def test_with_all_surfaces_it_is_there_and_refuses_everybody_until_it_is_set_up(make_server):
	s = make_server(surfaces=["all"])
	body = payload("x")
	for secret in ("", SECRET):
		answered(send(s, body, Authorization=sign(body, secret) if secret else hmac.new(b"", body, hashlib.sha256).hexdigest()), 401,
			 {"detail": "Invalid HMAC signature hash"})
	assert counts(s) == (0, 0)


def test_it_shares_an_address_with_instashare(make_server, folder, source):
	s = make_server(start=False, surfaces=["all"], settings=settings(folder, source.url("")))
	people.first_admin(s)
	s.start()
	root = people.sign_in(s, people.ADMIN)
	own = root.post("/upload_files", files={"file": ("mine.txt", b"mine")}).json()[0]["id"]
	for name in (own, "below/it"):
		source.gives(f"/{BUCKET}/{name}", b"a copy")
		queued(send(s, payload(name)))
	eventually(lambda: counts(s) == (2, 0))
	assert root.get(f"/files/{own}").content == root.get("/files/below/it").content == b"a copy"
	assert root.request("PATCH", f"/files/{own}", json={"name": "renamed.txt"}).json()["name"] == "renamed.txt"
	r = root.request("DELETE", "/files/below/it")
	assert r.status_code == 405 and r.headers["Allow"] == "GET, HEAD, OPTIONS"
	r = root.post(f"/files/{own}")
	assert r.status_code == 405 and r.headers["Allow"] == "GET, HEAD, PATCH, DELETE, OPTIONS"


def test_it_is_off_by_default(make_server):
	assert make_server().get("/sync/").status_code == 404


def test_the_example_is_a_configuration():
	example = REPOSITORY / "examples/storage-sync/filemill.yaml"
	r = run("check-config", "-c", example)
	assert r.returncode == 0, r.stdout + r.stderr
	assert "27000" in example.read_text()
