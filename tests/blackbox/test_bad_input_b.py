"""Rows B of the bad-input catalogue: target, query, JSON."""
import json

import pytest

from harness import wire
from harness.cases import Case, check, check_leftovers, params, warm
from harness.server import problem
from harness.wire import head


@pytest.fixture(scope="module")
def base(server):
	figures = warm(server)
	yield figures
	check_leftovers(server, figures)


TARGETS = ["/v1/files/../../etc/passwd", "/v1/files/%2e%2e%2f%2e%2e%2fetc/passwd", "/v1/files/..%5c..%5cx", "/v1/files/%252e%252e%252f", "//v1/files", "/v1//files", "/v1/./files", "/v1/x/../files",
	   "/..", "/../../../../etc/passwd", "/v1/files/%2fetc%2fpasswd", "/docs/../../../etc/passwd", "/docs/%2e%2e/%2e%2e/x", "/docs/..", "/.", "/v1/files/.", "/static/..%2f..%2fx"]


@pytest.mark.parametrize("target", TARGETS)
def test_b1_dot_segments_are_never_resolved(server, base, target):
	r = check(server, Case("B1 " + target, head("GET", target), {400, 404}, {"bad_path", "not_found", "bad_id", "file_not_found"}))
	assert b"root:" not in r.body


@pytest.mark.parametrize("escape", ["%00", "%", "%g1", "%C0%AF", "%ED%A0%80", "%4", "%FF", "a%00b", "%0a", "%7f", "%E2%80"])
def test_b2_a_broken_escape_is_refused(server, base, escape):
	check(server, Case("B2 " + escape, head("GET", f"/v1/files/{escape}"), {400}, {"bad_path", "bad_id"}))
	check(server, Case("B2 query " + escape, head("GET", f"/v1/files?name={escape}"), {400, 200} if escape in ("%0a", "%7f") else {400}, {"bad_path", "bad_parameter", "bad_name"}))
	check(server, Case("B2 name " + escape, head("POST", f"/v1/files?name={escape}", ["Content-Length: 1", "Content-Type: x/y"]) + b"x", {400}, {"bad_path", "bad_parameter", "bad_name"}))


@pytest.mark.parametrize("query", ["&".join(f"p{i}=1" for i in range(33)), "limit=1&limit=1", "limit=1;state=queued", "limit=1&unknown=1", "=1", "limit", "limit=1&&&&", "%6cimit=0", "limit=1%26", "LIMIT=1"])
def test_b3_odd_queries(server, base, query):
	r = wire.exchange(server, head("GET", "/v1/files?" + query))
	assert r.status_code == 400 or (r.status_code == 200 and query == "limit=1&&&&"), r
	if r.status_code == 400:
		assert r.json()["code"] in ("bad_parameter", "bad_path")


IDS = ["01890a5d-ac96-774b-bcce-b302099a8057", "01890a5d-ac96-774b-bcce-b302099a805", "01890a5d-ac96-774b-bcce-b302099a8057.json", "01890a5d-ac96-774b-bcce-b302099a80577",
       "01890A5D-AC96-774B-BCCE-B302099A8057", "01890a5d-ac96-774b-bcce-b302099a8057%20", "01890a5d-ac96-774b-bcce-b302099a8057%00", "%F0%9F%98%80", "' OR 1=1--".replace(" ", "%20"), "1", "-1", "0", "a" * 7000]


@pytest.mark.parametrize("what", ["files", "jobs"])
@pytest.mark.parametrize("odd", IDS, ids=lambda x: x[:48])
def test_b4_b5_odd_ids(server, base, odd, what):
	check(server, Case("B5", head("GET", f"/v1/{what}/{odd}"), {400, 404}, {"bad_id", "bad_path", "file_not_found", "job_not_found"}))


BAD_JSON = {
	"empty": b"", "nul": b"nul", "trailing comma": b'{"op":"sha1",}', "comment": b'{"op":"sha1"/*x*/}', "two values": b'{"op":"sha1"}{}', "byte order mark": b'\xef\xbb\xbf{"op":"sha1"}',
	"UTF-16": '{"op":"sha1"}'.encode("utf-16"), "NaN": b'{"op":"sha1","priority":NaN}', "Infinity": b'{"op":"sha1","priority":Infinity}', "duplicate": b'{"op":"sha1","op":"sha256"}',
	"depth 33": b'{"op":"sha1","params":' + b'{"a":' * 32 + b"1" + b"}" * 32 + b"}", "depth 10,000": b"[" * 10_000, "1e999": b'{"op":"sha1","priority":1e999}', "lone surrogate": b'{"op":"\\ud800"}',
	"invalid UTF-8": b'{"op":"\xff\xfe"}', "overlong UTF-8": b'{"op":"\xc0\xaf"}', "single quotes": b"{'op':'sha1'}", "no quotes": b"{op:1}", "truncated": b'{"op":"sha', "control in a string": b'{"op":"a\nb"}',
	"leading zero": b'{"op":"sha1","priority":03}', "plus": b'{"op":"sha1","priority":+3}', "hex": b'{"op":"sha1","priority":0x3}', "bad escape": b'{"op":"\\x41"}', "nothing but space": b"   ",
}


@pytest.mark.parametrize("what", BAD_JSON)
def test_b6_what_is_no_json(server, base, what):
	f = server.upload(b"json")
	for method, path in (("POST", f"/v1/files/{f['id']}/jobs"), ("PATCH", f"/v1/files/{f['id']}"), ("POST", "/v1/jobs")):
		r = server.request(method, path, data=BAD_JSON[what], headers={"Content-Type": "application/json"})
		problem(r, 400, {"bad_json"} if what != "depth 33" else {"bad_json", "unknown_member"})
	assert len(server.get(f"/v1/files/{f['id']}").json()["jobs"]) == 1


@pytest.mark.parametrize("body,status", [(b'{"op":"sha1","priority":9007199254740993}', 422), (b'{"op":"sha1","priority":99999999999999999999999}', (400, 422)), (b'{"op":"sha1","priority":3.5}', 422), (b'{"op":"sha\\u0000x"}', (400, 422)),
	(b'{"op":"sha1","priority":-1}', 422), (b'{"op":"sha1","priority":true}', 422), (b'[]', (400, 422)), (b'null', (400, 422)), (b'"x"', (400, 422)), (b'5', (400, 422))])
def test_b6_json_with_an_odd_value(server, base, body, status):
	f = server.upload(b"json")
	problem(server.post(f"/v1/files/{f['id']}/jobs", data=body, headers={"Content-Type": "application/json"}), status)


def test_b6_the_size_limit_of_json(server, base):
	f = server.upload(b"json")
	big = b'{"op":"sha1"' + b" " * 2**20 + b"}"
	problem(server.post(f"/v1/files/{f['id']}/jobs", data=big, headers={"Content-Type": "application/json"}), 413, "too_large")
	problem(server.post(f"/v1/files/{f['id']}/jobs", data=iter([big]), headers={"Content-Type": "application/json"}), 413, "too_large")
	fits = b'{"op":"sha1"' + b" " * (2**20 - 13) + b"}"
	assert len(fits) == 2**20
	assert server.post(f"/v1/files/{f['id']}/jobs", data=fits, headers={"Content-Type": "application/json"}).status_code == 202


def test_b7_an_unknown_member_is_named(server, base):
	f = server.upload(b"json")
	assert "colour" in problem(server.post(f"/v1/files/{f['id']}/jobs", json={"op": "sha1", "colour": 1}), 400, "unknown_member")["field"]
	assert "colour" in problem(server.post("/v1/jobs", json={"jobs": [{"file": f["id"], "op": "sha1", "colour": 1}]}), 400, "unknown_member")["field"]
	assert "x" in problem(server.patch(f"/v1/files/{f['id']}", json={"x": 1}), 400, "unknown_member")["field"]


@pytest.mark.parametrize("body,field", [({"op": "sha1", "priority": "5"}, "priority"), ({"priority": 3}, "op"), ({"op": ["sha1"]}, "op"), ({"op": "sha1", "max_attempts": -5}, "max_attempts"), ({"op": "sha1", "run_at": 5}, "run_at")])
def test_b8_a_wrong_member_is_named(server, base, body, field):
	f = server.upload(b"json")
	assert field in problem(server.post(f"/v1/files/{f['id']}/jobs", json=body), 422)["field"]


@pytest.mark.parametrize("kind", ["text/plain", None, "application/json; charset=utf-16", "application/x-www-form-urlencoded", "application/jsonx", "application/xml"])
def test_b9_only_json_is_json(server, base, kind):
	f = server.upload(b"json")
	body = b'{"op":"sha1"}'
	headers = [f"Content-Length: {len(body)}", *([f"Content-Type: {kind}"] if kind else [])]
	r = wire.exchange(server, head("POST", f"/v1/files/{f['id']}/jobs", headers) + body)
	assert r.status_code == 415 and r.json()["code"] == "unsupported_type", r


def test_b9_utf_8_may_be_said(server, base):
	f = server.upload(b"json")
	for kind in ("application/json; charset=utf-8", 'application/json;charset="UTF-8"', "APPLICATION/JSON"):
		r = server.post(f"/v1/files/{f['id']}/jobs", data=b'{"op":"sha1"}', headers={"Content-Type": kind})
		assert r.status_code == 202, (kind, r.text)


def test_b10_an_encoded_body_is_refused(server, base):
	f = server.upload(b"json")
	for coding in ("gzip", "br", "deflate", "x"):
		problem(server.post(f"/v1/files/{f['id']}/jobs", data=b"\x1f\x8b", headers={"Content-Type": "application/json", "Content-Encoding": coding}), 415, "unsupported_type")
		before = server.newest_number()
		problem(server.post("/v1/files", data=b"\x1f\x8b", headers={"Content-Type": "x/y", "Content-Encoding": coding}), 415, "unsupported_type")
		assert server.newest_number() == before
	assert server.post("/v1/files", data=b"x", headers={"Content-Type": "x/y", "Content-Encoding": "identity"}).status_code in (201, 415)


def test_b11_whatever_is_accepted_json_is_answered(server, base):
	r = server.get("/v1/files", headers={"Accept": "image/*"})
	assert r.status_code in (200, 406) and "json" in r.headers["Content-Type"]


@pytest.mark.parametrize("text", ["' OR 1=1--", "%", "_", "\\", "'; DROP TABLE file; --", '"', "`", "${jndi:ldap://x}", "{{7*7}}", "<script>", "a=b&c=d", "é\u0301"])
def test_b13_meta_characters_come_back_as_they_were(server, base, text):
	f = server.upload_form(b"meta", fields={"labels": json.dumps({"k": text})})
	assert f["labels"] == {"k": text}
	if "\\" not in text and "/" not in text:
		g = server.patch(f"/v1/files/{f['id']}", json={"name": text}).json()
		assert g["name"] == text
		found = server.get("/v1/files", params={"name": text, "limit": 200}).json()["files"]
		assert f["id"] in [x["id"] for x in found] and all(text in x["name"] for x in found)
	found = server.get("/v1/files", params={"label": f"k:{text}", "limit": 200}).json()["files"]
	assert f["id"] in [x["id"] for x in found] and all(x["labels"].get("k") == text for x in found)


def test_b15_ten_thousand_tags(server, base):
	f = server.upload(b"tags")
	r = wire.exchange(server, head("GET", f"/v1/files/{f['id']}/content", ["If-None-Match: " + ", ".join(['"x"'] * 10_000)]))
	assert r.status_code in (431, 413, None)
	r = wire.exchange(server, head("GET", f"/v1/files/{f['id']}/content", ["If-None-Match: " + ",".join(['"x"'] * 1000) + f',"{f["sha256"]}"']))
	assert r.status_code == 304


@pytest.mark.parametrize("value", ["nonsense", '"', "W/", ",,,", '"a" "b"', "W/W/\"x\"", "*, *"])
def test_tags_that_are_none_match_nothing(server, base, value):
	f = server.upload(b"tags")
	assert server.get(f"/v1/files/{f['id']}/content", headers={"If-None-Match": value}).status_code in (200, 400, 304 if "*" in value else 200)
	assert server.get(f"/v1/files/{f['id']}/content", headers={"If-Match": value}).status_code in (412, 400, 200 if "*" in value else 412)
