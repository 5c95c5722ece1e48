"""The check of every answer against the OpenAPI document notices what is wrong, wherever the answer came from."""
import copy
import json
import threading

import pytest
import requests
import yaml

from harness import contract, wire
from harness.contract import Asked, Broken, Contract
from harness.server import REPOSITORY

ID = "019a2c5e-7b31-7c44-9d10-5f3a8e6b2c01"
JSON = {"Content-Type": "application/json", "X-Request-Id": "r"}
PROBLEM = {"Content-Type": "application/problem+json", "X-Request-Id": "r"}
NOT_THERE = {"type": "/problems/file_not_found", "title": "There is no such file", "status": 404, "code": "file_not_found"}


@pytest.fixture(scope="module")
def document():
	return yaml.load((REPOSITORY / "api/openapi.yaml").read_text(), Loader=yaml.CSafeLoader)


@pytest.fixture(scope="module")
def right(document):
	return Contract(document)


@pytest.fixture
def file(document):
	return copy.deepcopy(document["components"]["examples"]["File"]["value"])


def get_file(c, value, status=200, headers=JSON, target=f"/v1/files/{ID}", method="GET"):
	c.check(method, target, status, headers, json.dumps(value).encode())


def test_the_examples_of_the_document_pass(right, file):
	get_file(right, file)
	get_file(right, {**NOT_THERE, "detail": "there never was"}, 404, PROBLEM)
	right.check("HEAD", f"/v1/files/{ID}?wait=1", 200, JSON, b"")
	right.check("OPTIONS", "/v1/files", 204, {"X-Request-Id": "r", "Allow": "GET"}, b"")


@pytest.mark.parametrize("spoil", [
	lambda f: f.pop("size"),
	lambda f: f.update(size="3"),
	lambda f: f.update(size=-1),
	lambda f: f.update(colour="red"),
	lambda f: f.update(created_at="2026-05-04T10:00:00Z"),
	lambda f: f.update(damaged_at="yesterday"),
	lambda f: f.update(jobs=None),
	lambda f: f["jobs"][0].update(state="done"),
	lambda f: f["jobs"][0].update(error={"code": "nonsense", "detail": None}),
	lambda f: f["jobs"][0].update(id=f["id"].upper()),
	lambda f: f["jobs"][0].pop("run_at"),
])
def test_a_member_that_is_not_as_it_should_be_is_noticed(right, file, spoil):
	spoil(file)
	with pytest.raises(Broken, match="what does not fit"):
		get_file(right, file)


@pytest.mark.parametrize("schema, value", [("Webhook", "Webhook"), ("Delivery", "Delivery")])
def test_a_member_too_many_is_noticed_where_the_document_leaves_room_for_more(document, right, schema, value):
	assert "additionalProperties" not in document["components"]["schemas"][schema]
	example = document["components"]["examples"][value]["value"]
	target = {"Webhook": f"/v1/webhooks/{ID}", "Delivery": f"/v1/webhooks/{ID}/deliveries/{ID}"}[schema]
	get_file(right, example, target=target)
	with pytest.raises(Broken, match="colour"):
		get_file(right, {**example, "colour": "red"}, target=target)


@pytest.mark.parametrize("body", [b"", b"{", b'{"status":"ok","status":"ok"}', b'{"status":NaN}', b"\xff"])
def test_a_body_that_is_no_json_is_noticed(right, body):
	with pytest.raises(Broken, match="no JSON"):
		right.check("GET", "/healthz", 200, JSON, body)


@pytest.mark.parametrize("spoil", [
	{"status": 410},
	{"code": "never_heard_of"},
	{"code": "job_not_found"},
	{"title": "Not there"},
	{"type": "about:blank"},
	{"detail": None},
	{"trace": "file.c:7"},
])
def test_a_problem_that_is_none_of_the_table_is_noticed(right, spoil):
	for target in (f"/v1/files/{ID}", "/nowhere", None):
		get_file(right, NOT_THERE, 404, PROBLEM, target)
		with pytest.raises(Broken):
			get_file(right, {**NOT_THERE, **spoil}, 404, PROBLEM, target)


def test_what_the_document_does_not_know_is_noticed(right, file):
	for method, target, status, headers, what in [
			("GET", f"/v1/files/{ID}", 202, JSON, "does not know"),
			("GET", f"/v1/file/{ID}", 200, JSON, "does not know"),
			("GET", f"/v1/files/{ID}/", 200, JSON, "does not know"),
			("PUT", f"/v1/files/{ID}", 200, JSON, "does not know"),
			("GET", f"/v1/files/{ID}", 200, {**JSON, "Content-Type": "text/json"}, "is text/json"),
			("GET", f"/v1/files/{ID}", 200, {"X-Request-Id": "r"}, "of no type"),
			("GET", f"/v1/files/{ID}", 200, {"Content-Type": "application/json"}, "lacks the header X-Request-Id"),
			("POST", "/v1/files", 201, JSON, "lacks the header Location"),
			("DELETE", f"/v1/files/{ID}", 204, JSON, "may have none"),
			("HEAD", f"/v1/files/{ID}", 200, JSON, "may have none"),
			("PUT", f"/v1/files/{ID}", 405, PROBLEM, "right methods")]:
		with pytest.raises(Broken, match=what):
			get_file(right, file, status, headers, target, method)


def test_only_a_surface_answers_with_a_slash_behind(right):
	right.check("GET", "/hashes/7/", 200, JSON, b'{"status":"PENDING","result":null}')
	with pytest.raises(Broken):
		right.check("GET", "/v1/stats/", 200, JSON, b"{}")


def test_a_header_that_does_not_fit_is_noticed(right):
	busy = {"type": "/problems/queue_full", "title": "Too many jobs are waiting", "status": 429, "code": "queue_full", "limit": 3}
	for wait, fits in [("3", True), ("0", False), ("soon", False), (None, False)]:
		headers = {**PROBLEM, **({"Retry-After": wait} if wait else {})}
		if fits:
			get_file(right, busy, 429, headers, "/v1/jobs", "POST")
			continue
		with pytest.raises(Broken, match="Retry-After"):
			get_file(right, busy, 429, headers, "/v1/jobs", "POST")


@pytest.mark.parametrize("pieces, expected", [
	([b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"], [("GET", "/a")]),
	([b"POST /a HTTP/1.1\r\nContent-Le", b"ngth: 3\r\n\r\nGETGET /b?c HTTP/1.1\r\n\r\n"], [("POST", "/a"), ("GET", "/b?c")]),
	([b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nGET\r\n0\r\nT: v\r\n\r\nHEAD /b HTTP/1.1\r\n\r\n"], [("POST", "/a"), ("HEAD", "/b")]),
	([b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /b HTTP/1.0\r\n\r\n"], [("POST", "/a"), ("GET", "/b")]),
	([b"POST /a HTTP/1.1\r\nContent-Length: 9\r\n\r\nGET /b HTTP/1.1\r\n\r\n"], [("POST", "/a")]),
	([b"POST /a HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\nGET /b HTTP/1.1\r\n\r\n"], [("POST", "/a")]),
	([b"POST /a HTTP/1.1\r\nContent-Length: +3\r\n\r\nGET /b HTTP/1.1\r\n\r\n"], [("POST", "/a")]),
	([b"GET /a HTTP/1.1\r\nslow"], [("GET", "/a")]),
	([b"GET /a HTTP/2.0\r\n\r\n"], []),
	([b"\x16\x03\x01"], []),
])
def test_requests_are_told_from_their_bytes(pieces, expected):
	asked = Asked()
	for piece in pieces:
		asked.sent(piece)
	assert [asked.next() for _ in range(len(expected) + 1)] == [*expected, (None, None)]


def shared_requests(server):
	server.get("/v1/stats")


def requests_of_its_own(server):
	requests.get(server.base + "/v1/stats", timeout=30)


def stream(server):
	requests.get(server.base + "/v1/stats", stream=True, timeout=30).close()


def by_hand(server):
	wire.exchange(server, wire.head("GET", "/v1/stats"))


def pipelined(server):
	with wire.Wire(server) as w:
		w.send(wire.post_raw(b"x") + wire.head("GET", "/v1/stats"))
		assert [w.read().status_code for _ in range(2)] == [201, 200]


def other_thread(server):
	t = threading.Thread(target=shared_requests, args=[server])
	t.start()
	t.join()


def swallowed(server):
	try:
		server.get("/v1/stats")
		contract.demand()
	except AssertionError:
		pass
	server.get("/v1/stats")


@pytest.mark.parametrize("ask", [shared_requests, requests_of_its_own, stream, by_hand, pipelined, other_thread, swallowed])
def test_every_way_to_ask_is_watched(server, document, monkeypatch, ask):
	wrong = copy.deepcopy(document)
	wrong["paths"]["/v1/stats"]["get"]["responses"]["203"] = wrong["paths"]["/v1/stats"]["get"]["responses"].pop("200")
	wrong = Contract(wrong)
	monkeypatch.setattr(contract, "contract", lambda: wrong)
	ask(server)
	with pytest.raises(Broken, match="GET /v1/stats: the answer 200 is one that the document does not know"):
		contract.demand()
	contract.demand()
