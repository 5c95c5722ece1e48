"""Files: stored in one request, found again by id, listed, changed, deleted, served."""
import base64
import hashlib
import json
import re
import time
import uuid
from datetime import datetime, timedelta, timezone
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from harness import wire
from harness.data import crc32c, digests, job_of, md5, random_bytes, result_of, sha256
from harness.server import eventually, expire_soon, problem

RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
MEMBERS = {"id", "number", "name", "size", "type", "sha256", "labels", "owner", "created_at", "expires_at", "jobs"}
JOB_MEMBERS = {"id", "number", "file", "after", "op", "params", "state", "priority", "attempt", "max_attempts", "run_at", "created_at", "started_at",
	       "finished_at", "progress", "result", "error", "outputs"}
INLINE, ON_DISK = 4096, 100 * 1024
SOME = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], database=None, derandomize=True)


def tomorrow():
	return (datetime.now(timezone.utc) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%S.000Z")


# ---- storing ----
@pytest.mark.parametrize("size", [0, 1, INLINE, 32768, 32769, ON_DISK, 3 * 1024 * 1024 + 7])
@pytest.mark.parametrize("how", ["raw", "form"])
def test_a_stored_file_comes_back_with_its_digests(server, size, how):
	data = random_bytes(size, size + 1)
	r = server.post("/v1/files?name=f.bin", data=data, headers={"Content-Type": "application/octet-stream"}) if how == "raw" else \
		server.post("/v1/files", files={"file": ("f.bin", data)})
	assert r.status_code == 201, r.text
	f = r.json()
	assert MEMBERS <= set(f), f
	assert r.headers["Location"] == f"/v1/files/{f['id']}"
	assert r.headers["Content-Type"].split(";")[0] == "application/json"
	assert uuid.UUID(f["id"]).version == 7
	assert f["number"] >= 1 and f["name"] == "f.bin" and f["size"] == size and f["sha256"] == sha256(data)
	assert RFC3339.fullmatch(f["created_at"]) and f["expires_at"] is None and f["labels"] == {}
	assert JOB_MEMBERS <= set(f["jobs"][0]), f["jobs"][0]
	assert [j["op"] for j in f["jobs"]] == ["md5"]
	assert result_of(f, "md5") == md5(data), "a fused digest is there at once"
	assert server.get(r.headers["Location"]).json() == f
	got = server.get(f"/v1/files/{f['id']}/content")
	assert got.status_code == 200 and got.content == data


def test_chunked_bodies_are_stored_whole(server):
	data = random_bytes(300_000, 5)
	pieces = [data[i:i + 7777] for i in range(0, len(data), 7777)]
	f = server.post("/v1/files?name=c.bin", data=iter(pieces), headers={"Content-Type": "application/octet-stream"}).json()
	assert f["size"] == len(data) and f["sha256"] == sha256(data) and result_of(f, "md5") == md5(data)


def test_every_digest_op_rides_along(server):
	data = random_bytes(200_001, 9)
	f = server.upload(data, query="ops=md5,sha1,sha256,sha512,crc32c&wait=60")
	want = digests(data)
	for op, value in want.items():
		assert result_of(f, op) == value
	assert result_of(f, "crc32c") == crc32c(data)


def test_form_fields_name_ops_and_labels(server):
	data = b"form fields"
	f = server.upload_form(data, fields={"ops": "sha1, crc32c", "labels": '{"team":"blue","k":"v"}'}, query="?wait=60")
	assert sorted(j["op"] for j in f["jobs"]) == ["crc32c", "sha1"]
	assert f["labels"] == {"team": "blue", "k": "v"}
	assert result_of(f, "sha1") == hashlib.sha1(data).hexdigest()


@pytest.mark.parametrize("order", ["before", "after"])
def test_form_fields_may_stand_before_or_after_the_file(server, order):
	data = random_bytes(50_000, 3)
	parts = [wire.file_part(data), wire.field_part(b"ops", b"sha512")]
	body = wire.form(*(parts if order == "after" else parts[::-1]))
	r = wire.exchange(server, wire.post_form(body, target="/v1/files?wait=60"))
	assert r.status_code == 201, r
	assert result_of(r.json(), "sha512") == hashlib.sha512(data).hexdigest()


def test_labels_in_the_form_may_be_a_list(server):
	f = server.upload_form(b"x", fields={"labels": "a:1,b:2"})
	assert f["labels"] == {"a": "1", "b": "2"}


@pytest.mark.parametrize("header,name", [
	('attachment; filename="plain.txt"', "plain.txt"),
	("attachment; filename*=UTF-8''na%C3%AFve%20%E2%82%AC.txt", "naïve €.txt"),
	('attachment; filename="with \\"quotes\\" and \\\\.txt"', None),
])
def test_a_raw_upload_takes_its_name_from_content_disposition(server, header, name):
	r = server.post("/v1/files", data=b"x", headers={"Content-Type": "text/plain", "Content-Disposition": header})
	assert r.status_code == 201, r.text
	if name:
		assert r.json()["name"] == name
	else:
		assert r.json()["name"] not in ("", None)


def test_a_file_without_a_name_gets_one(server):
	assert server.upload(b"x", name="")["name"] == "file"


@pytest.mark.parametrize("data,kind", [
	(b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "image/png"), (b"\xff\xd8\xff\xe0" + b"\0" * 40, "image/jpeg"), (b"GIF89a" + b"\0" * 40, "image/gif"),
	(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "application/pdf"), (b"PK\x03\x04" + b"\0" * 40, "application/zip"),
	(b"\x1f\x8b\x08" + b"\0" * 40, "application/gzip"), (b"hello, world\n", "text/plain"),
	(b"", "application/x-empty"), (b"\0\1\2\3" * 20, "application/octet-stream"),
])
def test_the_type_is_told_from_the_bytes(server, data, kind):
	f = server.post("/v1/files?name=liar.html", data=data, headers={"Content-Type": "text/html"}).json()
	assert f["type"] == kind


def test_numbers_grow_and_ids_are_in_order(server):
	files = [server.upload(b"n%d" % i) for i in range(5)]
	numbers = [f["number"] for f in files]
	assert numbers == sorted(set(numbers))
	assert [f["id"] for f in files] == sorted(f["id"] for f in files)


# ---- digests sent along ----
def digest_header(algorithm, data):
	return f"{algorithm}=:{base64.b64encode(hashlib.new(algorithm.replace('-', ''), data).digest()).decode()}:"


@pytest.mark.parametrize("field", ["Content-Digest", "Repr-Digest"])
@pytest.mark.parametrize("algorithm", ["sha-256", "sha-512", "md5"])
@pytest.mark.parametrize("size", [100, ON_DISK])
def test_a_digest_sent_along_is_checked(server, field, algorithm, size):
	data = random_bytes(size, size)
	assert server.upload(data, **{field: digest_header(algorithm, data)})["size"] == size
	before, blobs = server.newest_number(), set(server.blobs())
	r = server.post("/v1/files", data=data, headers={"Content-Type": "x/y", field: digest_header(algorithm, data + b"!")})
	problem(r, 400, "digest_mismatch")
	assert server.newest_number() == before
	eventually(lambda: set(server.blobs()) == blobs, message="the refused bytes stayed")


def test_content_md5_is_checked(server):
	good = base64.b64encode(hashlib.md5(b"abc").digest()).decode()
	assert server.upload(b"abc", Content_MD5=good)
	problem(server.post("/v1/files", data=b"abd", headers={"Content-Type": "x/y", "Content-MD5": good}), 400, "digest_mismatch")


def test_of_two_algorithms_both_must_hold(server):
	field = digest_header("sha-256", b"abc") + ", " + digest_header("md5", b"other")
	problem(server.post("/v1/files", data=b"abc", headers={"Content-Type": "x/y", "Content-Digest": field}), 400, "digest_mismatch")


# ---- waiting ----
def delayed_job(server, file):
	r = server.post(f"/v1/files/{file['id']}/jobs", json={"op": "sha512", "run_at": tomorrow()})
	assert r.status_code == 202, r.text
	return r.json()


def test_wait_holds_the_answer_until_the_jobs_are_final(server):
	data = random_bytes(2_000_000, 77)
	f = server.upload_form(data, query="?wait=60", fields={"ops": "sha512"})
	assert result_of(f, "sha512") == hashlib.sha512(data).hexdigest()


def test_wait_ends_after_its_time(server):
	f = server.upload(random_bytes(50, 1))
	delayed_job(server, f)
	start = time.monotonic()
	r = server.get(f"/v1/files/{f['id']}?wait=1")
	took = time.monotonic() - start
	assert r.status_code == 200 and 0.9 <= took < 60, took
	assert any(j["state"] == "queued" for j in r.json()["jobs"])


def test_prefer_wait_means_the_same(server):
	f = server.upload(random_bytes(50, 2))
	delayed_job(server, f)
	start = time.monotonic()
	r = server.get(f"/v1/files/{f['id']}", headers={"Prefer": "respond-async, wait=1"})
	assert r.status_code == 200 and 0.9 <= time.monotonic() - start < 60


def test_a_wait_ends_when_the_job_is_cancelled(server):
	import threading
	f = server.upload(random_bytes(50, 3))
	job = delayed_job(server, f)
	import requests
	timer = threading.Timer(0.3, lambda: requests.post(server.base + f"/v1/jobs/{job['id']}/cancel"))
	timer.start()
	start = time.monotonic()
	r = server.get(f"/v1/files/{f['id']}?wait=60")
	timer.join()
	assert time.monotonic() - start < 55
	assert {j["state"] for j in r.json()["jobs"]} == {"succeeded", "cancelled"}


@pytest.mark.parametrize("wait", ["-1", "61", "NaN", "", "1.5", "1e1", "99999999999999999999"])
def test_a_wait_out_of_range_is_refused(server, wait):
	f = server.upload(b"w")
	assert problem(server.get(f"/v1/files/{f['id']}?wait={wait}"), 400, "bad_parameter")["field"] == "wait"
	before = server.newest_number()
	problem(server.post(f"/v1/files?wait={wait}", data=b"x", headers={"Content-Type": "x/y"}), 400, "bad_parameter")
	assert server.newest_number() == before


@pytest.mark.parametrize("value", ["wait=abc", "wait=-3", "wait", ";;;,,,=", "wait=1;;", "x" * 1000])
def test_nonsense_in_prefer_is_ignored(server, value):
	f = server.upload(b"w")
	assert server.get(f"/v1/files/{f['id']}", headers={"Prefer": value}).status_code == 200


# ---- lists ----
@pytest.fixture(scope="module")
def listed(module_folder):
	from harness.server import Server
	with Server(module_folder / "lists") as s:
		for i in range(25):
			labels = f"colour:{'red' if i % 3 == 0 else 'blue'},n:{i}"
			s.upload_form(b"%d" % i, name=f"item-{i:02d}{'_%' if i % 5 == 0 else ''}.txt", fields={"labels": labels})
		yield s


def names(server, query):
	r = server.get("/v1/files?" + query)
	assert r.status_code == 200, r.text
	return [f["name"] for f in r.json()["files"]]


def test_lists_are_newest_first_and_pages_join_without_gap(listed):
	seen, cursor, pages = [], None, 0
	while True:
		page = listed.get("/v1/files?limit=7" + (f"&cursor={cursor}" if cursor else "")).json()
		assert len(page["files"]) <= 7
		seen += [f["number"] for f in page["files"]]
		pages += 1
		cursor = page["next"]
		if cursor is None:
			break
	assert seen == sorted(seen, reverse=True) and len(seen) == len(set(seen)) == 25 and pages == 4


def test_a_new_file_does_not_disturb_a_running_walk(listed):
	page = listed.get("/v1/files?limit=10").json()
	extra = listed.upload(b"late", name="late")
	rest = listed.get(f"/v1/files?limit=200&cursor={page['next']}").json()["files"]
	assert extra["id"] not in [f["id"] for f in rest] and len(rest) == 15
	listed.delete(f"/v1/files/{extra['id']}")


def test_filters_by_name_label_and_state(listed):
	assert names(listed, "name=item-03") == ["item-03.txt"]
	assert len(names(listed, "label=colour:red&limit=200")) == 9
	assert names(listed, "label=n:4") == ["item-04.txt"]
	assert len(names(listed, "state=succeeded&limit=200")) == 25
	assert names(listed, "state=failed") == []
	assert len(names(listed, "name=item-1&label=colour:red&limit=200")) == 3
	assert names(listed, "label=colour:green") == []


@pytest.mark.parametrize("text,count", [("%25", 5), ("_", 5), ("_%25", 5), ("%25%25", 0), ("' OR 1=1--", 0), ("\\", 0), ("ITEM", 25)])
def test_name_filter_takes_sql_wildcards_literally(listed, text, count):
	found = names(listed, f"limit=200&name={quote(text, safe='%')}")
	assert len(found) in ((0, 25) if text == "ITEM" else (count,))


@pytest.mark.parametrize("query,field", [("limit=0", "limit"), ("limit=-1", "limit"), ("limit=201", "limit"), ("limit=1e3", "limit"), ("limit=", "limit"),
	("limit=99999999999999999999", "limit"), ("state=done", "state"), ("label=nocolon", "label"), ("colour=red", "colour"), ("limit=1&limit=2", "limit")])
def test_wrong_list_parameters_are_named(listed, query, field):
	assert problem(listed.get("/v1/files?" + query), 400, {"bad_parameter", "bad_labels"}).get("field", field) == field


def test_limit_200_is_allowed(listed):
	assert len(names(listed, "limit=200")) == 25
	assert len(names(listed, "limit=1")) == 1


def test_cursors_are_bound_to_their_list(listed):
	cursor = listed.get("/v1/files?limit=2").json()["next"]
	problem(listed.get(f"/v1/files?limit=2&name=item&cursor={cursor}"), 400, "bad_cursor")
	problem(listed.get(f"/v1/jobs?limit=2&cursor={cursor}"), 400, "bad_cursor")
	for i in range(0, len(cursor), 3):
		broken = cursor[:i] + ("A" if cursor[i] != "A" else "B") + cursor[i + 1:]
		problem(listed.get(f"/v1/files?limit=2&cursor={broken}"), 400, "bad_cursor")
	for text in ("x", "", cursor + "A", cursor[:-1], "0", "%00"):
		assert listed.get(f"/v1/files?limit=2&cursor={text}").status_code == 400


# ---- changing and deleting ----
def test_patch_changes_name_labels_and_expiry(server):
	f = server.upload(b"patch me", name="old")
	until = tomorrow()
	r = server.patch(f"/v1/files/{f['id']}", json={"name": "../new name", "labels": {"a": "b"}, "expires_at": until})
	assert r.status_code == 200, r.text
	g = r.json()
	assert (g["name"], g["labels"], g["expires_at"]) == ("new name", {"a": "b"}, until)
	assert g == server.get(f"/v1/files/{f['id']}").json()
	assert {k: g[k] for k in ("id", "number", "size", "sha256", "created_at")} == {k: f[k] for k in ("id", "number", "size", "sha256", "created_at")}
	h = server.patch(f"/v1/files/{f['id']}", json={"expires_at": None}).json()
	assert h["expires_at"] is None and h["name"] == "new name" and h["labels"] == {"a": "b"}
	assert server.patch(f"/v1/files/{f['id']}", json={}).status_code == 200


@pytest.mark.parametrize("body,status", [({"size": 1}, 400), ({"name": 5}, 422), ({"labels": []}, 422), ({"labels": {"A B": "x"}}, 400), ({"expires_at": "soon"}, 422),
	({"name": ""}, (400, 422, 200)), ({"name": "x" * 256}, (400, 422)), ({"name": "a\nb"}, (400, 422)), ({"expires_at": 5}, 422), ([], (400, 422)), ("x", (400, 422))])
def test_a_wrong_patch_changes_nothing(server, body, status):
	f = server.upload(b"patch", name="keep")
	r = server.patch(f"/v1/files/{f['id']}", json=body)
	assert r.status_code in ((status,) if isinstance(status, int) else status) or r.status_code in (400, 422) and isinstance(body, dict) and "labels" in body, r.text
	if r.status_code != 200:
		problem(r, r.status_code)
		assert server.get(f"/v1/files/{f['id']}").json() == f


def test_a_file_expires(server):
	f = server.upload(b"short life")
	expire_soon(server, f)
	eventually(lambda: server.get(f"/v1/files/{f['id']}").status_code == 410, message="it did not expire")


@pytest.mark.parametrize("size", [INLINE, ON_DISK])
def test_a_deleted_file_is_gone_and_its_bytes_too(server, size):
	f = server.upload(random_bytes(size, 4))
	job = delayed_job(server, f)
	r = server.delete(f"/v1/files/{f['id']}")
	assert r.status_code == 204 and r.content == b""
	problem(server.get(f"/v1/files/{f['id']}"), 410, "file_gone")
	problem(server.get(f"/v1/files/{f['id']}/content"), 410, "file_gone")
	assert server.head(f"/v1/files/{f['id']}/content").status_code == 410
	problem(server.patch(f"/v1/files/{f['id']}", json={"name": "x"}), 410, "file_gone")
	problem(server.post(f"/v1/files/{f['id']}/jobs", json={"op": "sha1"}), 410, "file_gone")
	assert server.delete(f"/v1/files/{f['id']}").status_code in (204, 410)
	r = server.get(f"/v1/jobs/{job['id']}")
	assert r.status_code == 410 or r.json()["state"] == "cancelled", r.text
	assert f["id"] not in [x["id"] for x in server.all_files()]
	eventually(lambda: f["id"] not in server.blobs(), message="the bytes stayed")


def test_an_id_never_issued_is_not_found(server):
	for path in ("", "/content"):
		problem(server.get(f"/v1/files/{uuid.uuid4()}{path}"), 404, "file_not_found")
	problem(server.get("/v1/files/01890a5d-ac96-774b-bcce-b302099a8057"), 404, "file_not_found")
	problem(server.delete("/v1/files/01890a5d-ac96-774b-bcce-b302099a8057"), 404, "file_not_found")


@pytest.mark.parametrize("bad", ["x", "7", "01890a5d-ac96-774b-bcce-b302099a805", "01890a5d-ac96-774b-bcce-b302099a8057.json", "01890A5D-AC96-774B-BCCE-B302099A8057",
	"01890a5dac96774bbcceb302099a8057", "{01890a5d-ac96-774b-bcce-b302099a8057}", "a" * 5000, "01890a5d-ac96-774b-bcce-b302099a8057%20"])
def test_an_ill_formed_id_is_refused(server, bad):
	problem(server.get(f"/v1/files/{bad}"), (400, 404), {"bad_id", "file_not_found"})


# ---- content ----
@pytest.fixture(scope="module", params=[INLINE, ON_DISK], ids=["inline", "on disk"])
def stored(server, request):
	data = random_bytes(request.param, 42)
	return data, server.upload(data, name='na"me ü.bin')


def content(server, stored, **headers):
	return server.get(f"/v1/files/{stored[1]['id']}/content", headers={k.replace("_", "-"): v for k, v in headers.items()})


def test_content_headers(server, stored):
	data, f = stored
	r = content(server, stored)
	assert r.status_code == 200 and r.content == data
	assert r.headers["ETag"] == f'"{f["sha256"]}"'
	assert r.headers["Accept-Ranges"] == "bytes"
	assert r.headers["X-Content-Type-Options"] == "nosniff"
	assert "sandbox" in r.headers["Content-Security-Policy"] and "default-src 'none'" in r.headers["Content-Security-Policy"]
	assert r.headers["Cross-Origin-Resource-Policy"] in ("same-origin", "same-site")
	assert r.headers["Content-Type"] == f["type"]
	assert r.headers["Repr-Digest"] == f"sha-256=:{base64.b64encode(bytes.fromhex(f['sha256'])).decode()}:"
	disposition = r.headers["Content-Disposition"]
	assert disposition.startswith("attachment;") and "filename*=UTF-8''na%22me%20%C3%BC.bin" in disposition
	h = server.head(f"/v1/files/{f['id']}/content")
	assert h.status_code == 200 and h.content == b"" and int(h.headers["Content-Length"]) == len(data)
	for name in ("ETag", "Content-Type", "Content-Disposition", "Repr-Digest", "Accept-Ranges"):
		assert h.headers[name] == r.headers[name]


@pytest.mark.parametrize("spec,first,last", [("0-0", 0, 0), ("0-99", 0, 99), ("100-", 100, None), ("-1", -1, None), ("-100", -100, None), ("5-999999999", 5, None), ("-999999999", 0, None)])
def test_one_range_is_served(server, stored, spec, first, last):
	data, f = stored
	start = len(data) + first if first < 0 else first
	want = data[start:] if last is None else data[start:last + 1]
	r = content(server, stored, Range=f"bytes={spec}")
	assert r.status_code == 206 and r.content == want
	assert r.headers["Content-Range"] == f"bytes {start}-{start + len(want) - 1}/{len(data)}"
	assert int(r.headers["Content-Length"]) == len(want)
	assert r.headers["ETag"] == f'"{f["sha256"]}"'


@pytest.mark.parametrize("spec", ["bytes={n}-", "bytes=99999999999-", "bytes=-0"])
def test_a_range_beyond_the_end_is_416(server, stored, spec):
	r = content(server, stored, Range=spec.format(n=len(stored[0])))
	problem(r, 416, "range_unsatisfiable")
	assert r.headers["Content-Range"] == f"bytes */{len(stored[0])}"


@pytest.mark.parametrize("spec", ["bytes=5-2", "lines=0-1", "bytes=", "bytes=a-b", "bytes=0-0,2-3", "bytes=0 - 1", "bytes=" + ",".join(["0-"] * 1000), "0-1", "bytes=--1", "bytes=+1-2"])
def test_a_range_that_is_none_gives_the_whole(server, stored, spec):
	r = content(server, stored, Range=spec)
	assert r.status_code == 200 and r.content == stored[0]


@pytest.mark.parametrize("spec", ["bytes=0-18446744073709551615", "bytes=0-99999999999999999999999", "bytes=18446744073709551616-", "bytes=-18446744073709551616"])
def test_huge_numbers_in_a_range_do_not_wrap(server, stored, spec):
	r = content(server, stored, Range=spec)
	assert r.status_code in (200, 206, 416)
	if r.status_code in (200, 206):
		assert r.content == stored[0]


@SOME
@given(a=st.integers(0, 6000), b=st.one_of(st.none(), st.integers(0, 6000)), suffix=st.booleans())
def test_any_range_agrees_with_a_slice(server, stored, a, b, suffix):
	data, _ = stored
	spec = f"-{a}" if suffix else f"{a}-{'' if b is None else b}"
	r = content(server, stored, Range=f"bytes={spec}")
	if suffix:
		want = data[-a:] if a else None
	elif b is not None and b < a:
		assert r.status_code == 200 and r.content == data
		return
	else:
		want = data[a:] if b is None else data[a:b + 1]
	if not want:
		assert r.status_code == 416
	else:
		assert r.status_code == 206 and r.content == want


def test_conditional_requests(server, stored):
	data, f = stored
	tag = f'"{f["sha256"]}"'
	r = content(server, stored, If_None_Match=tag)
	assert r.status_code == 304 and r.content == b"" and r.headers["ETag"] == tag
	for value in ("*", f'"x", {tag}', f"W/{tag}"):
		assert content(server, stored, If_None_Match=value).status_code == 304
	assert content(server, stored, If_None_Match='"x"').status_code == 200
	assert content(server, stored, If_Match=tag).status_code == 200
	assert content(server, stored, If_Match="*").status_code == 200
	problem(content(server, stored, If_Match='"x"'), 412, "precondition_failed")
	problem(content(server, stored, If_Match=f"W/{tag}"), 412, "precondition_failed")
	assert content(server, stored, If_Range=tag, Range="bytes=0-0").status_code == 206
	assert content(server, stored, If_Range='"x"', Range="bytes=0-0").status_code == 200
	assert content(server, stored, If_Range="Sat, 29 Oct 1994 19:43:31 GMT", Range="bytes=0-0").status_code == 200
	assert content(server, stored, If_None_Match=tag, Range="bytes=0-0").status_code == 304


def test_if_match_on_nothing_is_not_found(server):
	r = server.get(f"/v1/files/{uuid.uuid4()}/content", headers={"If-Match": "*"})
	assert r.status_code in (404, 412)


def test_head_of_a_range(server, stored):
	r = server.head(f"/v1/files/{stored[1]['id']}/content", headers={"Range": "bytes=0-9"})
	assert r.status_code in (200, 206) and r.content == b""


@pytest.mark.parametrize("data,inline", [(b"\x89PNG\r\n\x1a\n" + b"\0" * 30, True), (b"plain text\n", True), (b"%PDF-1.4\n", True), (b"<html><script>alert(1)</script></html>", None),
	(b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", None), (b"PK\x03\x04" + b"\0" * 30, False), (b"\0\1\2\3" * 9, False)])
def test_inline_only_for_safe_types(server, data, inline):
	f = server.upload(data, name="x.html")
	r = server.get(f"/v1/files/{f['id']}/content?inline=1")
	shown = r.headers["Content-Disposition"].startswith("inline")
	if inline is None: # markup: either download it or show it as plain text, never as markup
		assert not shown or r.headers["Content-Type"].split(";")[0] == "text/plain"
	else:
		assert shown == inline
	assert r.headers["X-Content-Type-Options"] == "nosniff" and "sandbox" in r.headers["Content-Security-Policy"]
	assert server.get(f"/v1/files/{f['id']}/content").headers["Content-Disposition"].startswith("attachment")


# ---- names ----
@SOME
@given(name=st.text(st.characters(blacklist_categories=("Cs", "Cc", "Cf"), blacklist_characters="/\\\u2028\u2029"), min_size=1, max_size=40))
def test_any_ordinary_name_comes_back_as_it_was(server, name):
	if name.strip() in (".", "..", ""):
		return
	f = server.post(f"/v1/files?name={quote(name, safe='')}", data=b"x", headers={"Content-Type": "x/y"})
	assert f.status_code == 201, f.text
	f = f.json()
	assert f["name"] == name
	r = server.get(f"/v1/files/{f['id']}/content")
	assert "filename*=UTF-8''" + quote(name, safe="!#$&+-.^_`|~") in r.headers["Content-Disposition"] or f'filename="{name}"' in r.headers["Content-Disposition"]


@SOME
@given(key=st.from_regex(r"[a-z0-9_.-]{1,63}", fullmatch=True), value=st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=60))
def test_any_label_comes_back_as_it_was(server, key, value):
	r = server.post("/v1/files", files={"file": ("a", b"x")}, data={"labels": json.dumps({key: value})})
	assert r.status_code == 201, r.text
	assert r.json()["labels"] == {key: value}


def test_label_limits(server):
	def post(labels):
		return server.post("/v1/files", files={"file": ("a", b"x")}, data={"labels": json.dumps(labels)})
	assert post({f"k{i}": "v" for i in range(16)}).status_code == 201
	problem(post({f"k{i}": "v" for i in range(17)}), (400, 422), "bad_labels")
	assert post({"k" * 63: "v" * 255}).status_code == 201
	problem(post({"k" * 64: "v"}), (400, 422), "bad_labels")
	problem(post({"k": "v" * 256}), (400, 422), "bad_labels")
	problem(post({"K": "v"}), (400, 422), "bad_labels")
	problem(post({"k": "a\nb"}), (400, 422), "bad_labels")
	problem(post({"k": 5}), (400, 422), "bad_labels")


# ---- every answer ----
def test_request_ids(server):
	r = server.get("/v1/files?limit=1")
	assert r.headers["X-Request-Id"]
	r = server.get("/v1/files?limit=1", headers={"X-Request-Id": "my-request.42"})
	assert r.headers["X-Request-Id"] == "my-request.42"
	r = server.get("/v1/files?limit=1", headers={"X-Request-Id": "no spaces or <tags>"})
	assert r.headers["X-Request-Id"] != "no spaces or <tags>"
	assert len(server.get("/", headers={"X-Request-Id": "x" * 4000}).headers["X-Request-Id"]) < 300


def test_the_size_limit_is_exact(make_server):
	s = make_server(settings={"files.max_size": "100KiB"})
	n = 100 * 1024
	assert s.upload(b"x" * n)["size"] == n
	assert s.upload_form(b"x" * n)["size"] == n
	blobs = set(s.blobs())
	assert problem(s.post("/v1/files", data=b"x" * (n + 1), headers={"Content-Type": "x/y"}), 413, "too_large")["limit"] == n
	r = s.post("/v1/files", data=iter([b"x" * 50_000] * 3), headers={"Content-Type": "x/y"})
	assert problem(r, 413, "too_large")["limit"] == n
	problem(s.post("/v1/files", files={"file": ("a", b"x" * (n + 1))}), 413, "too_large")
	eventually(lambda: set(s.blobs()) == blobs, message="bytes of a refused upload stayed")
	assert len(s.all_files()) == 2


def test_an_upload_that_is_too_large_is_refused_before_its_body(server):
	r = wire.exchange(server, wire.head("POST", "/v1/files", [f"Content-Length: {6 * 2**30}", "Content-Type: x/y", "Expect: 100-continue"]))
	assert r.status_code == 413, r
	assert r.json()["code"] == "too_large"
