"""Rows E17 and E18 of the bad-input catalogue, and what a webhook's request may not say: where it may go, and what comes back."""
import json

import pytest

from harness.receiver import Receiver
from harness.server import eventually, problem

OPEN = {"net.http": "true", "net.allow": "127.0.0.0/8"}

REFUSED = [
	"http://example.org/", "https://127.0.0.1/", "https://127.1/", "https://0.0.0.0/", "https://[::1]/", "https://[::]/", "https://[::ffff:127.0.0.1]/",
	"https://[::ffff:7f00:1]/", "https://2130706433/", "https://0x7f.1/", "https://0x7f000001/", "https://017700000001/", "https://localhost/", "https://localhost./",
	"https://LOCALHOST/", "https://169.254.169.254/latest/meta-data/", "https://10.0.0.1/", "https://172.16.0.1/", "https://192.168.1.1/", "https://100.64.0.1/",
	"https://192.0.2.1/", "https://198.18.0.1/", "https://224.0.0.1/", "https://240.0.0.1/", "https://255.255.255.255/", "https://[fe80::1]/", "https://[fc00::1]/",
	"https://[2002:7f00:1::]/", "https://[64:ff9b::7f00:1]/", "https://[2001:db8::1]/", "https://[fe80::1%25lo]/", "https://user@example.org/", "https://u:p@example.org/",
	"https://example.org#@127.0.0.1/", "https://example.org/#x", "https://example.org:22/", "https://example.org:0/", "https://example.org:65536/", "file:///etc/passwd",
	"gopher://127.0.0.1/", "ftp://example.org/", "unix:///run/docker.sock", "https://①②⑦.0.0.1/", "https://exam\u3002ple.org/", "https://example.org\\@127.0.0.1/", "https://example.org/\r\nX: y",
	"https://exa mple.org/", "https:///x", "https://", "//example.org/", "example.org", "javascript:alert(1)", "data:,x", "https://%31%32%37.0.0.1/", "https://example.org./",
	"https://example.org/" + "a" * 2048, "",
]


@pytest.fixture(scope="module")
def receiver():
	r = Receiver()
	yield r
	r.stop()


@pytest.mark.parametrize("url", REFUSED, ids=lambda u: u[:40] or "empty")
def test_e17_a_url_that_leads_inside_or_nowhere_is_refused(server, url):
	body = problem(server.post("/v1/webhooks", json={"url": url}), 422, "url_not_allowed")
	assert body["field"] == "url"
	assert server.get("/v1/webhooks").json()["webhooks"] == []


def test_e17_what_was_allowed_when_it_was_made_is_asked_again_before_each_attempt(make_server, receiver):
	s = make_server(settings=OPEN)
	hook = receiver.hook(s)
	s.stop()
	s.settings.pop("net.allow")
	s.start()
	s.upload(b"x")
	a = eventually(lambda: hook.deliveries() and hook.deliveries()[0]["attempts"])[0]
	assert a["status"] is None and a["error"].startswith(("url_not_allowed", "blocked")), a
	assert receiver.read(hook.name)["received"] == []


def test_e17_a_redirect_is_a_failure_and_not_followed(make_server, receiver):
	s = make_server(settings={**OPEN, "webhooks.retry": "0s"})
	inside = receiver.hook(s)
	hook = receiver.hook(s, {"status": 307, "headers": {"location": inside.address}})
	assert s.patch(inside.path, json={"enabled": False}).status_code == 200
	s.upload(b"x")
	assert hook.wait_state("failed")[0]["attempts"][0]["status"] == 307
	assert receiver.read(inside.name)["received"] == []


@pytest.mark.parametrize("step, status, error", [
	({"status": 200, "headers": {"x-long": "x" * 12000}}, 200, None),
	({"status": 200, "headers": {"content-encoding": "gzip"}, "body_bytes": 100}, 200, None),
	({"status": 301, "headers": {"location": "https://example.org/"}}, 301, "the answer was 301"),
	(199, None, "peer_timeout"),
	(204, 204, None),
	(299, 299, None),
	(300, 300, "the answer was 300"),
	(400, 400, "the answer was 400"),
	(599, 599, "the answer was 599"),
])
def test_e18_only_a_2xx_is_success(make_server, receiver, step, status, error):
	s = make_server(settings={**OPEN, "webhooks.retry": "0s", **({"webhooks.timeout": "2s"} if error == "peer_timeout" else {})})
	hook = receiver.hook(s, step)
	s.upload(b"x")
	d = hook.wait_state("failed" if error else "delivered")[0]
	a = d["attempts"][0]
	if status:
		assert a["status"] == status
	assert (a["error"] or "").startswith(error or "") and bool(a["error"]) == bool(error), a
	s.alive()


GOOD = {"url": "https://nowhere.invalid/"}


@pytest.mark.parametrize("members, code, field", [
	({"url": 1}, "invalid_value", "url"),
	({"url": None}, "invalid_value", "url"),
	({}, "missing_value", "url"),
	({**GOOD, "events": "job.failed"}, "invalid_value", "events"),
	({**GOOD, "events": []}, "invalid_value", "events"),
	({**GOOD, "events": ["job.failed"] * 6}, "invalid_value", "events"),
	({**GOOD, "events": ["ping"]}, "invalid_value", "events"),
	({**GOOD, "events": ["job.*"]}, "invalid_value", "events"),
	({**GOOD, "events": [1]}, "invalid_value", "events"),
	({**GOOD, "ops": ["md6"]}, "unknown_op", "ops"),
	({**GOOD, "ops": ["md5,sha1"]}, "unknown_op", "ops"),
	({**GOOD, "ops": [""]}, "unknown_op", "ops"),
	({**GOOD, "ops": [None]}, "unknown_op", "ops"),
	({**GOOD, "ops": ["md5"] * 17}, "invalid_value", "ops"),
	({**GOOD, "ops": {}}, "invalid_value", "ops"),
	({**GOOD, "description": "d" * 256}, "invalid_value", "description"),
	({**GOOD, "description": "a\nb"}, "invalid_value", "description"),
	({**GOOD, "description": 7}, "invalid_value", "description"),
])
def test_a_webhook_that_is_not_as_it_should_be_is_refused(server, members, code, field):
	body = problem(server.post("/v1/webhooks", json=members), 422, code)
	assert body["field"] == field
	assert server.get("/v1/webhooks").json()["webhooks"] == []


@pytest.mark.parametrize("members", [{**GOOD, "secret": "whsec_mine"}, {**GOOD, "enabled": True}, {**GOOD, "id": "x"}])
def test_unknown_members_are_named(server, members):
	problem(server.post("/v1/webhooks", json=members), 400, "unknown_member")


def test_what_is_at_its_limit_is_taken(make_server):
	s = make_server(settings={"webhooks.per_owner": "1"})
	url = "https://nowhere.invalid/" + "a" * (2048 - len("https://nowhere.invalid/"))
	ops = [op["name"] for op in s.get("/v1/ops").json()["ops"]]
	r = s.post("/v1/webhooks", json={"url": url, "description": "é" * 127 + "x", "ops": (ops * 16)[:16], "events": ["job.failed", "job.failed"]})
	assert r.status_code == 201, r.text
	assert r.json()["url"] == url and r.json()["events"] == ["job.failed"]
	path = f"/v1/webhooks/{r.json()['id']}"
	assert json.loads(s.get(path).text)["description"] == "é" * 127 + "x"


@pytest.mark.parametrize("path", ["/rotate", "/replay"])
@pytest.mark.parametrize("data, kind, status", [
	(b"[]", "application/json", 422), (b"{", "application/json", 400), (b'{"x":1}', "application/json", 400), (b"{}", "text/plain", 415),
	(b'{"since":1,"overlap_seconds":604801}', "application/json", 400), (b'{"since":"yesterday"}', "application/json", {400, 422}),
])
def test_bodies_that_may_be_left_out_are_checked_when_they_are_there(make_server, path, data, kind, status):
	s = make_server()
	hook = s.post("/v1/webhooks", json=GOOD).json()
	problem(s.post(f"/v1/webhooks/{hook['id']}{path}", data=data, headers={"Content-Type": kind}), status)
	assert s.get(f"/v1/webhooks/{hook['id']}").json()["previous_secret_until"] is None


@pytest.mark.parametrize("method, path", [("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/rotate"), ("POST", "/ping"), ("POST", "/replay"), ("GET", "/deliveries"),
	("GET", "/deliveries/01900000-0000-7000-8000-000000000000"), ("POST", "/deliveries/01900000-0000-7000-8000-000000000000/replay")])
def test_ids_that_lead_nowhere(server, method, path):
	more = {"json": {}} if method == "PATCH" else {}
	problem(server.request(method, "/v1/webhooks/01900000-0000-7000-8000-000000000000" + path, **more), 404, "webhook_not_found")
	problem(server.request(method, "/v1/webhooks/01900000-0000-7000-8000-00000000000" + path, **more), 400, "bad_id")
	problem(server.request(method, "/v1/webhooks/01900000-0000-7000-8000-00000000000A" + path, **more), 400, "bad_id")


def test_none_can_be_made_where_none_are_wanted(make_server):
	s = make_server(settings={"webhooks.per_owner": "0"})
	problem(s.post("/v1/webhooks", json=GOOD), 409, "limit_reached")
