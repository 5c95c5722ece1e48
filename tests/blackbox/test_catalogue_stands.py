"""PostgreSQL takes connections and answers nothing. Who asks has to be looked up there, so that is waited for; but only by those who need it, and not by the one thread that serves them all."""
import select
import time

import pytest

from harness import people, wire
from harness.ceph import free_port
from harness.gate import Gate
from harness.nodes import installed
from harness.postgres import Postgres
from harness.server import eventually, problem
from harness.signing import Key, Signer
from harness.wire import Wire

pytestmark = pytest.mark.skipif(not installed(), reason="postgresql is not installed")

SCOPES = ("files:read", "files:write", "jobs:read", "jobs:write")
PATIENCE_S = 10 # PG_SOON_MS: from then on who waits may be told that it was in vain
MANY = 20 # more than there are connections for reading
BODY = b"bytes"
RAW = ["Content-Type: application/octet-stream", f"Content-Length: {len(BODY)}"]


@pytest.fixture(scope="module")
def cluster():
	port = free_port()
	c = Postgres(settings={"listen_addresses": "'127.0.0.1'", "port": str(port)})
	yield c
	c.close()


@pytest.fixture
def gate(cluster):
	with Gate(int(cluster.port)) as g:
		yield g


@pytest.fixture
def server(cluster, gate, make_server):
	"""One HTTP thread, a catalogue behind the gate, and an administrator."""
	name = cluster.new_database()
	place, port = gate.listener.getsockname()
	s = make_server(settings={"catalog.url": f"host={place} port={port} user=postgres dbname={name}", "http.threads": "1"}, start=False)
	people.first_admin(s)
	s.start()
	s.admin = people.sign_in(s, people.ADMIN)
	return s


def bearer(person):
	return f"Authorization: Bearer {person.token}"


def sent(server, data):
	w = Wire(server)
	w.send(data)
	return w


def silent(wires):
	"""Nobody has got a byte."""
	return not select.select([w.socket for w in wires], [], [], 0)[0]


def hold(gate, server, requests):
	"""The database stands still from now on, and somebody waits for it."""
	gate.hold()
	before = gate.seen
	waiting = [sent(server, r) for r in requests]
	eventually(lambda: gate.seen > before)
	return waiting


def needs_no_catalogue(server, scraper):
	"""Each on a connection of its own, by a client that waits as long as it takes."""
	for _ in range(3):
		assert server.get("/healthz").status_code == 200
		assert server.get("/v1/ops").status_code == 200
		assert server.get("/").status_code == 200
		problem(server.get("/v1/files"), 401, "unauthenticated")
		problem(server.get("/v1/files", headers={"Authorization": "Bearer nobody"}), 401)
		r = scraper.get("/metrics")
		assert r.status_code == 200 and "filemill_http_connections" in r.text


def test_others_are_served_while_callers_wait_and_those_get_their_answers(server, gate):
	admin, key, scraper = server.admin, server.admin.key(SCOPES), server.admin.key(["admin"])
	file = admin.upload(BODY)["id"]
	signer = Signer(server, Key(key.made["id"], key.made["signing_secret"]))
	put = admin.post("/v1/links", json={"method": "PUT"}).json()["url"].removeprefix(server.base)
	get = admin.post("/v1/links", json={"method": "GET", "file": file}).json()["url"].removeprefix(server.base)
	assert scraper.get("/metrics").status_code == 200
	people.sign_in(server, people.ADMIN) # which is no reason to look a key up anew
	ask = wire.head("GET", "/v1/files", [bearer(key)])
	requests = [(ask, "GET", [200])] * MANY + [
		(wire.head("GET", "/v1/files", [f"Cookie: __Host-filemill={admin.token}"]), "GET", [200]),
		(ask + wire.head("GET", "/healthz") + ask, "GET", [200, 200, 200]), # one after the other
		(wire.head("HEAD", f"/v1/files/{file}/content", [bearer(key)]), "HEAD", [200]),
		(wire.head("POST", "/v1/files?name=a", [*RAW, bearer(key)]) + BODY, "POST", [201]),
		(signer.request("GET", "/v1/files"), "GET", [200]),
		(wire.head("PUT", put, RAW) + BODY, "PUT", [201]),
		(wire.head("GET", get), "GET", [200]),
		(wire.head("GET", f"/?id={file}", [bearer(key)]), "GET", [200]),
	]
	since = time.monotonic()
	waiting = hold(gate, server, [r for r, _, _ in requests])
	patient = sent(server, wire.head("POST", "/v1/files?name=b", [*RAW, "Expect: 100-continue", bearer(key)]))
	gone = [sent(server, ask) for _ in range(4)]
	for w in gone:
		w.reset()
	needs_no_catalogue(server, scraper)
	assert silent([*waiting, patient]) or time.monotonic() - since > PATIENCE_S, "an answer before the catalogue's"
	gate.open()
	for w, (_, method, statuses) in zip(waiting, requests):
		for status in statuses:
			r = w.read(method)
			assert r.status_code in (status, 503), (method, status, r)
			assert r.status_code == status or r.json()["code"] == "catalog_unavailable"
	first = patient.read("POST", interim=True)
	assert first.status_code in (100, 503)
	if first.status_code == 100:
		patient.send(BODY)
		assert patient.read("POST").status_code == 201
	eventually(lambda: key.get("/v1/files").status_code == 200)
	for w in waiting[:MANY]: # their connections go on
		w.send(ask)
		assert w.read().status_code == 200


def test_who_waits_in_vain_is_told_so(server, gate):
	key, scraper = server.admin.key(SCOPES), server.admin.key(["admin"])
	assert scraper.get("/metrics").status_code == 200
	waiting = hold(gate, server, [wire.head("GET", "/v1/files", [bearer(key)])] * 2 * MANY)
	needs_no_catalogue(server, scraper)
	for w in waiting:
		r = w.read()
		assert r.status_code == 503 and r.json()["code"] == "catalog_unavailable" and int(r.headers["Retry-After"]) > 0, r
	gate.open()
	eventually(lambda: key.get("/v1/files").status_code == 200)


def test_a_scraper_is_let_in_no_longer_than_its_key_holds(server, gate):
	short, revoked, scraper = (server.admin.key(["admin"]) for _ in range(3))
	for p in (short, revoked, scraper):
		assert p.get("/metrics").status_code == 200
	stranger = server.admin.key(SCOPES)
	problem(stranger.get("/metrics"), 403, "forbidden")
	problem(stranger.get("/metrics"), 403, "forbidden")
	assert server.admin.delete(f"/v1/keys/{revoked.made['id']}").status_code == 204
	problem(revoked.get("/metrics"), 401, "bad_credentials")
	assert scraper.get("/metrics").status_code == 200
	problem(server.get("/metrics"), 401, "unauthenticated")
	assert [scraper.get("/v1/files").status_code, short.get("/metrics").status_code] == [403, 200]


def test_what_goes_on_for_long_is_looked_at_anew_and_no_http_thread_waits(server, gate):
	"""That none does is what a sanitized server ends itself for."""
	key, other = server.admin.key(SCOPES), server.admin.key(SCOPES)
	listener = sent(server, wire.head("GET", "/v1/events", [bearer(key)]))
	assert listener.read_head()[0] == 200
	halves = [sent(server, wire.head("POST", f"/v1/files?name={n}", [*RAW, bearer(key)]) + BODY[:2]) for n in "ab"]
	assert server.admin.delete(f"/v1/keys/{other.made['id']}").status_code == 204
	halves[0].send(BODY[2:])
	r = halves[0].read("POST")
	assert r.status_code == 201, r
	while r.json()["id"].encode() not in listener.buffer:
		assert listener._fill(), listener.buffer
	assert server.admin.delete(f"/v1/keys/{key.made['id']}").status_code == 204
	halves[1].send(BODY[2:])
	r = halves[1].read("POST")
	assert r.status_code == 401 and r.json()["code"] == "bad_credentials", r
	server.admin.upload() # of another owner: whoever listened is told of nothing, and ends with the next heartbeat at the latest
	while not listener.buffer.endswith(b"\r\n0\r\n\r\n"): # the end of the stream
		assert listener._fill(), listener.buffer
	assert len(server.admin.get("/v1/files").json()["files"]) == 2
