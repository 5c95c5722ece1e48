"""Links: addresses that need no login, whose limits lie inside their signature. What is changed, late, used or more than was signed is refused."""
import concurrent.futures
import hashlib
import json
import os
import subprocess
from datetime import datetime, timedelta, timezone
from urllib.parse import urlsplit

import pytest
import requests

from harness.images import png
from harness.server import eventually, problem
from harness.wire import exchange

WEEK_S = 7 * 24 * 3600
ROUNDS = int(os.environ.get("FILEMILL_LINK_ROUNDS", "1")) # of many uploads at once


def make(server, method="PUT", **members):
	r = server.post("/v1/links", json={"method": method, **members})
	assert r.status_code == 201, r.text
	assert r.headers["Cache-Control"] == "no-store"
	link = r.json()
	assert list(link) == ["id", "url", "method", "headers", "expires_at"]
	assert link["method"] == method and link["url"].startswith(f"{server.base}/v1/links/{link['id']}?token=")
	return link


def put(link, body, **headers):
	return requests.put(link["url"], data=body, headers=headers, timeout=60)


def files(server):
	return len(server.all_files())


def test_bare_bytes_are_stored_by_a_link_without_login(server):
	link = make(server, name="report.txt", ops="sha256", max_size=100)
	r = put(link, b"by a link")
	assert r.status_code == 201, r.text
	f = r.json()
	assert list(f) == ["id", "name", "size", "type", "sha256", "created_at"]
	assert f["name"] == "report.txt" and f["size"] == 9 and f["sha256"] == hashlib.sha256(b"by a link").hexdigest()
	mine = server.get(f"/v1/files/{f['id']}").json()
	assert [x["id"] for x in server.get(f"/v1/files?label=link:{link['id']}").json()["files"]] == [f["id"]]
	assert [j["op"] for j in mine["jobs"]] == ["sha256"] and mine["name"] == "report.txt"
	assert server.get(f"/v1/files/{f['id']}/content").content == b"by a link"


def test_curl_needs_nothing_but_the_address(server, folder):
	link = make(server, max_size=1000)
	(folder / "photo.bin").write_bytes(b"\x00curl")
	out = subprocess.run(["curl", "-sS", "--fail", "-T", str(folder / "photo.bin"), link["url"]], capture_output=True, timeout=60, check=True)
	f = json.loads(out.stdout)
	assert f["size"] == 5 and server.get(f"/v1/files/{f['id']}/content").content == b"\x00curl"


def test_a_plain_html_form_stores_a_file_and_shows_a_page(server):
	link = make(server, max_size=1000)
	form = {"files": {"file": ("<b>.txt", b"from a form")}, "data": {"submit": "Upload"}}
	r = requests.post(link["url"], headers={"Accept": "text/html,application/xhtml+xml;q=0.9"}, timeout=60, **form)
	assert r.status_code == 201 and r.headers["Content-Type"].startswith("text/html")
	assert "&lt;b&gt;.txt" in r.text and hashlib.sha256(b"from a form").hexdigest() in r.text
	r = requests.post(link["url"], headers={"Accept": "text/html"}, timeout=60, **form)
	assert r.status_code == 410 and "one use" in r.text and r.headers["Content-Type"].startswith("text/html")
	problem(requests.post(link["url"], timeout=60, **form), 410, "used")
	assert server.get(f"/v1/files?label=link:{link['id']}").json()["files"][0]["name"] == "<b>.txt"


def test_the_links_name_stands_whatever_the_form_says(server):
	link = make(server, name="signed.txt")
	r = requests.post(link["url"], files={"file": ("other.txt", b"x")}, timeout=60)
	assert r.status_code == 201 and r.json()["name"] == "signed.txt"


def test_a_files_bytes_are_read_by_a_link(server):
	f = server.upload(b"0123456789", name="digits.txt")
	link = make(server, "GET", file=f["id"])
	r = requests.get(link["url"], timeout=60)
	assert r.status_code == 200 and r.content == b"0123456789"
	assert r.headers["Content-Disposition"].startswith("attachment") and "digits.txt" in r.headers["Content-Disposition"]
	assert r.headers["Referrer-Policy"] == "no-referrer"
	r = requests.get(link["url"], headers={"Range": "bytes=2-4"}, timeout=60)
	assert r.status_code == 206 and r.content == b"234"
	r = requests.head(link["url"], timeout=60)
	assert r.status_code == 200 and r.headers["Content-Length"] == "10"
	server.delete(f"/v1/files/{f['id']}")
	problem(requests.get(link["url"], timeout=60), 410, "file_gone")


def test_a_link_for_one_download_is_used_up_by_it_and_not_by_looking(server):
	f = server.upload(b"once")
	link = make(server, "GET", file=f["id"], single_use=True)
	assert requests.head(link["url"], timeout=60).status_code == 200
	assert requests.get(link["url"], timeout=60).content == b"once"
	problem(requests.get(link["url"], timeout=60), 410, "used")


@pytest.mark.parametrize("body", [b"small", bytes(200_000)], ids=["inline", "stored"])
def test_of_many_uploads_at_once_by_one_link_just_one_is_stored(server, body):
	before = files(server)
	for _ in range(ROUNDS):
		link = make(server)
		with concurrent.futures.ThreadPoolExecutor(24) as pool:
			answers = list(pool.map(lambda _, link=link: put(link, body), range(24)))
		assert sorted(r.status_code for r in answers) == [201] + 23 * [410]
		assert {r.json()["code"] for r in answers if r.status_code == 410} == {"used"}
	assert files(server) == before + ROUNDS


def test_of_many_downloads_at_once_by_one_link_just_one_gets_the_bytes(server):
	f = server.upload(b"for one")
	link = make(server, "GET", file=f["id"], single_use=True)
	with concurrent.futures.ThreadPoolExecutor(24) as pool:
		answers = list(pool.map(lambda _: requests.get(link["url"], timeout=60), range(24)))
	assert sorted(r.status_code for r in answers) == [200] + 23 * [410]


def test_a_use_is_remembered_over_a_crash(make_server):
	s = make_server()
	f = s.upload(b"bytes")
	up, down = make(s), make(s, "GET", file=f["id"], single_use=True)
	again = make(s, single_use=False)
	assert put(up, b"1").status_code == 201 and requests.get(down["url"], timeout=60).status_code == 200
	s.kill()
	s.start()
	for link in (up, down, again):
		link["url"] = s.base + link["url"][link["url"].index("/v1/links/"):]
	problem(put(up, b"2"), 410, "used")
	problem(requests.get(down["url"], timeout=60), 410, "used")
	assert put(again, b"3").status_code == 201 # the secret that signed it is the same


def test_a_used_link_is_refused_before_its_body_is_asked_for(server):
	link = make(server, max_size=5_000_000)
	assert put(link, b"x").status_code == 201
	parts = urlsplit(link["url"])
	head = f"PUT {parts.path}?{parts.query} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: 5000000\r\nExpect: 100-continue\r\n\r\n"
	reply = exchange(server, head.encode(), timeout=60)
	assert reply.status_code == 410 and reply.json()["code"] == "used"
	f = server.upload(b"bytes")
	down = make(server, "GET", file=f["id"], single_use=True)
	assert requests.get(down["url"], timeout=60).status_code == 200
	assert requests.head(down["url"], timeout=60).status_code == 410


def test_a_used_link_stays_used_when_its_file_was_deleted(server):
	link = make(server)
	assert server.delete(f"/v1/files/{put(link, b'x').json()['id']}").status_code == 204
	problem(put(link, b"x"), 410, "used")


def test_what_was_refused_did_not_use_the_link_up(server):
	link = make(server, max_size=4)
	problem(put(link, b"too large"), 413, "too_large")
	problem(put(link, b"abcd", **{"Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="}), 400, "digest_mismatch")
	assert put(link, b"abcd").status_code == 201


def test_a_link_for_many_uploads_takes_many(server):
	link = make(server, single_use=False)
	ids = {put(link, b"x").json()["id"] for _ in range(3)}
	assert len(ids) == 3


def test_more_bytes_than_signed_are_refused_announced_or_not(server):
	link, before = make(server, max_size=1000, single_use=False), files(server)
	assert put(link, bytes(1000)).status_code == 201
	r = problem(put(link, bytes(1001)), 413, "too_large")
	assert r["limit"] == 1000
	problem(put(link, iter([bytes(600), bytes(600)])), 413, "too_large") # chunked
	problem(requests.post(link["url"], files={"file": ("a", bytes(1001))}, timeout=60), 413, "too_large")
	assert requests.post(link["url"], files={"file": ("a", bytes(1000))}, timeout=60).status_code == 201
	assert files(server) == before + 2


def test_the_type_is_told_from_the_bytes_and_not_to_be_contradicted(server):
	link = make(server, type="image/png", single_use=False)
	assert link["headers"] == {"Content-Type": "image/png"}
	picture = png(4, 4)
	assert put(link, picture, **link["headers"]).json()["type"] == "image/png"
	assert put(link, picture).status_code == 201
	assert requests.post(link["url"], files={"file": ("a.png", picture)}, timeout=60).status_code == 201
	problem(put(link, b"<html>", **link["headers"]), 415, "unsupported_type")
	r = problem(put(link, picture, **{"Content-Type": "image/jpeg"}), 415, "unsupported_type")
	assert r["field"] == "Content-Type" and r["expected"] == "image/png"


def test_a_type_that_bytes_do_not_tell_takes_texts_but_no_markup(server):
	link = make(server, type="text/csv", single_use=False)
	assert put(link, b"a,b\n1,2\n", **link["headers"]).status_code == 201
	problem(put(link, b"<script>alert(1)</script>", **link["headers"]), 415, "unsupported_type")
	problem(put(link, png(4, 4), **link["headers"]), 415, "unsupported_type")


def test_a_link_that_is_over_is_refused(make_server):
	s = make_server()
	link = make(s, expires_in=1)
	until = datetime.fromisoformat(link["expires_at"].replace("Z", "+00:00"))
	eventually(lambda: datetime.now(timezone.utc) > until + timedelta(milliseconds=50))
	problem(put(link, b"late"), 410, "link_expired")
	assert s.all_files() == []


def test_a_link_is_for_its_method_alone(server):
	f = server.upload(b"bytes")
	up, down = make(server), make(server, "GET", file=f["id"])
	for method in ("GET", "HEAD"):
		assert requests.request(method, up["url"], timeout=60).status_code == 403
	for method in ("PUT", "POST"):
		r = problem(requests.request(method, down["url"], data=b"x", timeout=60), 403, "link_invalid")
		assert r["expected"] == "GET"
	for method in ("PATCH", "DELETE"):
		problem(requests.request(method, up["url"], timeout=60), 405, "method_not_allowed")


@pytest.mark.parametrize("header", ["Content-Disposition", "Content-Range", "Idempotency-Key", "If-Match", "If-None-Match", "Upload-Metadata",
				    "X-Amz-Copy-Source", "x-amz-acl", "X-Amz-Tagging", "X-HTTP-Method-Override"])
def test_a_header_with_meaning_that_was_not_signed_is_refused(server, header):
	link = make(server)
	r = problem(put(link, b"x", **{header: "attachment; filename=evil"}), 403, "link_invalid")
	assert r["field"].lower() == header.lower()
	assert put(link, b"x").status_code == 201


@pytest.mark.parametrize("parameter", ["name=evil", "ops=md5", "wait=5", "labels=a:b", "pipeline=x", "max_size=9", "inline=1", "token=x", "x=1"])
def test_a_parameter_that_was_not_signed_is_refused(server, parameter):
	f = server.upload(b"bytes")
	for link in (make(server), make(server, "GET", file=f["id"])):
		head, _, query = link["url"].partition("?")
		for url in (f"{link['url']}&{parameter}", f"{head}?{parameter}&{query}"):
			r = requests.request(link["method"], url, data=b"x" if link["method"] == "PUT" else None, timeout=60)
			assert problem(r, 400, "bad_parameter")["field"] == parameter.partition("=")[0]


@pytest.mark.parametrize("part", ["ops", "pipeline", "labels", "name"])
def test_a_part_of_the_form_that_was_not_signed_is_refused(server, part):
	link = make(server)
	r = requests.post(link["url"], data={part: "md5"}, files={"file": ("a", b"x")}, timeout=60)
	assert problem(r, 403, "link_invalid")["field"] == part
	assert requests.post(link["url"], files={"file": ("a", b"x")}, timeout=60).status_code == 201


def test_every_single_bit_change_of_a_link_is_refused(server):
	"""Of the whole request target, sent as it is: no client in between that would tidy it up."""
	f = server.upload(b"bytes")
	links = [make(server, "GET", file=f["id"]), make(server, max_size=10, single_use=False)]
	before = files(server)
	for link in links:
		parts = urlsplit(link["url"])
		target = f"{parts.path}?{parts.query}".encode()
		host = parts.netloc.encode()

		def send(t, method=link["method"].encode()):
			body = b"x" if method == b"PUT" else b""
			reply = exchange(server, b"%s %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s" % (method, t, host, len(body), body), timeout=60)
			return reply.status_code

		assert send(target) in (200, 201)
		for bit in range(0, 8 * len(target), 1 if link["method"] == "GET" else 5):
			changed = bytearray(target)
			changed[bit // 8] ^= 1 << bit % 8
			status = send(bytes(changed))
			assert 400 <= status < 500, (bit, status, bytes(changed))
	assert files(server) == before + 1


@pytest.mark.parametrize("change", [lambda t: t + "A", lambda t: t[:-1], lambda t: t.replace(".", "%2E", 1) + "=", lambda t: "", lambda t: "0" + t,
				    lambda t: t.split(".")[1], lambda t: ".".join(["9", *t.split(".")[1:]])])
def test_a_token_of_another_form_is_refused(server, change):
	link = make(server)
	head, _, token = link["url"].partition("?token=")
	problem(requests.put(f"{head}?token={change(token)}", data=b"x", timeout=60), 403, "link_invalid")
	problem(requests.put(head, data=b"x", timeout=60), 403, "link_invalid")


def test_the_token_of_one_link_is_of_no_use_under_anothers_id(server):
	a, b = make(server), make(server)
	problem(requests.put(b["url"].split("?")[0] + "?" + a["url"].split("?")[1], data=b"x", timeout=60), 403, "link_invalid")


def test_the_link_of_another_server_is_refused(server, make_server):
	link = make(make_server())
	problem(requests.put(server.base + link["url"][link["url"].index("/v1/links/"):], data=b"x", timeout=60), 403, "link_invalid")


@pytest.mark.parametrize("members, status, code, field", [
	({}, 422, "missing_value", "method"),
	({"method": "POST"}, 422, "invalid_value", "method"),
	({"method": "PUT", "expires_in": 0}, 422, "invalid_value", "expires_in"),
	({"method": "PUT", "expires_in": WEEK_S + 1}, 422, "invalid_value", "expires_in"),
	({"method": "PUT", "max_size": 0}, 422, "invalid_value", "max_size"),
	({"method": "PUT", "max_size": 1 << 60}, 422, "invalid_value", "max_size"),
	({"method": "PUT", "type": "Image/PNG"}, 422, "invalid_value", "type"),
	({"method": "PUT", "type": "image/png; a=b"}, 422, "invalid_value", "type"),
	({"method": "PUT", "type": "png"}, 422, "invalid_value", "type"),
	({"method": "PUT", "type": "a/" + 126 * "b"}, 422, "invalid_value", "type"),
	({"method": "PUT", "ops": "nonsense"}, 422, "unknown_op", "ops"),
	({"method": "PUT", "name": "a\nb"}, 400, "bad_name", "name"),
	({"method": "PUT", "single_use": 1}, 422, "invalid_value", "single_use"),
	({"method": "PUT", "file": "018bcfe5-6800-7000-8000-00000000000a"}, 422, "invalid_value", "file"),
	({"method": "PUT", "size": 4}, 400, "unknown_member", "size"),
	({"method": "GET"}, 422, "missing_value", "file"),
	({"method": "GET", "file": "x"}, 400, "bad_id", "file"),
	({"method": "GET", "file": "018bcfe5-6800-7000-8000-00000000000a"}, 404, "file_not_found", "file"),
	({"method": "GET", "file": "018bcfe5-6800-7000-8000-00000000000a", "max_size": 4}, 422, "invalid_value", "max_size"),
])
def test_a_link_that_cannot_be_is_not_made(server, members, status, code, field):
	assert problem(server.post("/v1/links", json=members), status, code)["field"] == field


def test_the_longest_link_still_fits_into_a_request(server):
	ops = ",".join(f"resize;width=100;height={n};format=webp;fit=inside" for n in range(100, 119))
	assert 950 < len(ops) <= 1024
	link = make(server, name=255 * "n", type="a/" + 125 * "b", ops=ops, expires_in=WEEK_S)
	assert put(link, b"x", **link["headers"]).status_code == 201


def test_links_begin_with_the_configured_address(make_server):
	s = make_server(settings={"links.base_url": "https://files.example.org/"})
	link = s.post("/v1/links", json={"method": "PUT"}).json()
	assert link["url"].startswith(f"https://files.example.org/v1/links/{link['id']}?token=")


def test_neither_log_nor_audit_log_holds_a_token(make_server):
	s = make_server()
	link = make(s)
	assert put(link, b"x").status_code == 201
	token = link["url"].partition("?token=")[2]
	s.stop()
	assert token not in s.log()
	assert all(token.encode() not in p.read_bytes() for p in (s.data / "audit").iterdir())
	assert any(link["id"].encode() in p.read_bytes() for p in (s.data / "audit").iterdir())
