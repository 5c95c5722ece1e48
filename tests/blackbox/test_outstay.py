"""What goes on after whoever began it may not any more: streams, uploads. And side doors: addresses spelled otherwise, methods nobody thinks of, the page's own lookup."""
import threading
from datetime import datetime, timezone

import pytest

from harness import wire
from harness.people import ADMIN, PASSWORD, Person, add_user, first_admin, sign_in, sign_in_answer
from harness.server import PATIENCE_S, Server, eventually, problem
from harness.wire import Wire

HEARTBEAT = "100ms"


@pytest.fixture(scope="module")
def admin(module_folder):
	server = Server(module_folder / "outstay", settings={"http.events_heartbeat": HEARTBEAT, "http.connections_per_address": 0})
	first_admin(server)
	with server:
		yield sign_in(server, ADMIN)


def patch_user(admin, person, body):
	r = admin.request("PATCH", f"/v1/admin/users/{person.id}", json=body)
	assert r.status_code == 200, r.text


def change_password(person):
	r = person.post("/v1/users/me/password", json={"old_password": PASSWORD, "password": PASSWORD + "!"})
	assert r.status_code == 204, r.text


# What a person shows, and what ends that, as the second of two who is not the first: (the person whose credential ends, by what).
ENDS = {
	"a key is revoked": (lambda p: p.key(["files:write", "jobs:read"]), lambda admin, p, x: p.delete("/v1/keys/" + x.made["id"])),
	"a key is revoked by an administrator": (lambda p: p.key(["files:write", "jobs:read"]), lambda admin, p, x: admin.delete("/v1/admin/keys/" + x.made["id"])),
	"he signs out": (lambda p: sign_in(p.server, p.email), lambda admin, p, x: x.delete("/v1/sessions/current")),
	"he gets another password": (lambda p: sign_in(p.server, p.email), lambda admin, p, x: change_password(p)),
	"he is switched off": (lambda p: sign_in(p.server, p.email), lambda admin, p, x: patch_user(admin, p, {"disabled": True})),
	"he is switched off and showed a key": (lambda p: p.key(["files:write", "jobs:read"]), lambda admin, p, x: patch_user(admin, p, {"disabled": True})),
}


def moment(text):
	return datetime.fromisoformat(text.replace("Z", "+00:00"))


class Listener:
	"""Reads a stream of events to its end. `answer`: that the stream comes with."""

	def __init__(self, person, answer=None):
		self.lines, self.ended = [], threading.Event()
		self.answer = answer or person.request("GET", "/v1/events", stream=True)
		assert self.answer.status_code == 200, self.answer.text
		self.thread = threading.Thread(target=self._read)
		self.thread.start()
		eventually(lambda: self.lines, message="nothing came")

	def _read(self):
		for line in self.answer.iter_lines():
			self.lines.append(line.decode())
		self.ended.set()

	def names(self):
		return [line for line in self.lines if line.startswith("event:")]


@pytest.mark.parametrize("how", ENDS)
def test_a_stream_ends_when_what_opened_it_does_and_tells_nothing_more(admin, how):
	begin, end = ENDS[how]
	person = add_user(admin)
	shown = begin(person)
	listener = Listener(shown)
	shown.upload()
	eventually(lambda: "event: file.stored" in listener.names(), message="the stream told nothing")
	told = listener.names().count("event: file.stored")
	end(admin, person, shown)
	if shown.made and "switched" not in how: # the key's owner goes on
		person.upload()
	assert listener.ended.wait(PATIENCE_S), "the stream goes on"
	listener.thread.join()
	assert listener.names().count("event: file.stored") == told
	assert shown.get("/v1/events").status_code == 401


def test_other_peoples_ends_leave_a_stream_alone(admin):
	person, other = add_user(admin), add_user(admin)
	listener = Listener(person)
	patch_user(admin, person, {"name": "Another name", "role": "operator"})
	change_password(other)
	patch_user(admin, other, {"disabled": True})
	person.upload()
	eventually(lambda: "event: file.stored" in listener.names(), message="the stream told nothing after that")
	assert not listener.ended.is_set()
	assert person.delete("/v1/sessions/current").status_code == 204
	assert listener.ended.wait(PATIENCE_S)
	listener.thread.join()


def test_a_stream_ends_with_the_time_of_its_key(admin):
	person = add_user(admin)
	for seconds in (1, 4, 16, 59): # so short a time as this machine still comes in within
		key = person.key(["jobs:read"], expires_in=seconds)
		answer = key.request("GET", "/v1/events", stream=True)
		if answer.status_code == 200:
			break
		assert answer.status_code == 401 and datetime.now(timezone.utc) > moment(key.made["expires_at"]), answer.text
	listener = Listener(key, answer)
	assert listener.ended.wait(PATIENCE_S), "the stream goes on"
	listener.thread.join()


def begin_upload(person, size=2000, target="/v1/files?name=a.bin"):
	"""All but the last byte; the server has the head and what credentials it brings."""
	conn = Wire(person.server)
	fields = ["Content-Type: application/octet-stream", f"Content-Length: {size}", "Expect: 100-continue"]
	if person.token:
		conn.send(wire.head("POST", target, [f"Authorization: Bearer {person.token}", *fields]))
	else:
		conn.send(wire.head("PUT", target, fields))
	assert conn.read_head()[0] == 100
	conn.send(b"x" * (size - 1))
	return conn


@pytest.mark.parametrize("size", [2000, 300_000], ids=["inline", "stored"])
@pytest.mark.parametrize("how", ENDS)
def test_an_upload_stores_nothing_when_what_began_it_has_ended(admin, how, size):
	begin, end = ENDS[how]
	person = add_user(admin)
	shown = begin(person)
	blobs = len(admin.server.blobs())
	with begin_upload(shown, size) as conn:
		end(admin, person, shown)
		conn.send(b"x")
		reply = conn.read()
	problem(reply, 401, "bad_credentials")
	assert reply.headers["WWW-Authenticate"].startswith("Bearer")
	files = admin.get(f"/v1/admin/files?owner={person.id}").json()["files"]
	assert files == []
	eventually(lambda: len(admin.server.blobs()) == blobs, message="its bytes are still there")


def test_an_upload_goes_on_when_others_end(admin):
	person = add_user(admin)
	other = person.key(["files:read"])
	with begin_upload(person) as conn:
		assert person.delete("/v1/keys/" + other.made["id"]).status_code == 204
		conn.send(b"x")
		assert conn.read().status_code == 201


def test_an_upload_by_a_link_stores_nothing_when_its_maker_may_not_any_more(admin):
	person = add_user(admin)
	r = person.post("/v1/links", json={"method": "PUT"})
	assert r.status_code == 201, r.text
	with begin_upload(Person(person.server, None), target="/" + r.json()["url"].split("/", 3)[3]) as conn:
		patch_user(admin, person, {"disabled": True})
		conn.send(b"x")
		problem(conn.read(), 403, "link_invalid")
	assert admin.get(f"/v1/admin/files?owner={person.id}").json()["files"] == []


# ---- side doors ----

def test_what_nobody_stored_before_there_were_accounts_is_not_shown_on_the_page_to_everybody(make_server):
	server = make_server()
	stored = server.upload(b"of old", name="secret-plan.txt")
	assert "secret-plan" in server.get(f"/?id={stored['number']}").text
	server.stop()
	first_admin(server)
	admin = sign_in(server.start(), ADMIN)
	for id in (stored["id"], stored["number"], "1", "999999", "nonsense"):
		r = server.get(f"/?id={id}")
		assert r.status_code == 401 and "secret-plan" not in r.text and stored["sha256"] not in r.text
		assert r.headers["WWW-Authenticate"].startswith("Bearer")
		assert server.get(f"/?id={id}", headers={"Authorization": "Bearer x"}).status_code == 401
	assert server.get("/").status_code == 200
	assert admin.get(f"/?id={stored['id']}").status_code == 404
	own = admin.upload(b"of mine", name="own.txt")
	assert "own.txt" in admin.get(f"/?id={own['id']}").text
	assert admin.key(["files:write"]).get(f"/?id={own['id']}").status_code == 403
	assert admin.key(["files:read"]).get(f"/?id={own['id']}").status_code == 200


SPELLINGS = ["/v1/%61dmin/users", "/v1/admin/%75sers", "http://x/v1/admin/users", "http://X/v1/admin/users", "/v1/admin/users?", "/v1/admin/users?limit=1",
	     "/v1/admin/users/", "//v1/admin/users", "/v1//admin/users", "/v1/./admin/users", "/v1/files/../admin/users", "/v1/files/%2e%2e/admin/users", "/v1/admin%2fusers", "/v1/admin\\users",
	     "/V1/admin/users", "/v1/admin/users;x=y", "/v1/admin/users%00", "/v1/admin/users%20", "/v1/admin/users#", "/v1/admin/users.json", "v1/admin/users", "/v1/\xd0\xb0dmin/users"]


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS", "TRACE", "get", "CONNECT", "PROPFIND"])
def test_however_an_operators_address_is_spelled_a_user_gets_nothing_there(admin, method):
	user = add_user(admin)
	for spelling in SPELLINGS:
		for fields in ([], [f"Authorization: Bearer {user.token}"], [f"Authorization: Bearer {user.token}", "X-HTTP-Method-Override: GET", "X-Original-URL: /v1/admin/users", "X-Rewrite-URL: /v1/admin/users"]):
			reply = wire.exchange(admin.server, wire.head(method, spelling, fields), method=method)
			assert reply.status_code in (204, 400, 401, 403, 404, 405, 501), (spelling, reply)
			assert method == "OPTIONS" or reply.status_code != 204, spelling
			assert b"@example.org" not in reply.body, spelling


def test_a_try_to_sign_in_takes_over_no_token_it_was_given(admin):
	person = add_user(admin)
	fixed = "fms_" + "A" * 43
	session = {"Cookie": f"__Host-filemill={fixed}", "Authorization": f"Bearer {fixed}"}
	tokens = {fixed, person.token}
	for cookie in (False, True):
		r = admin.server.post("/v1/sessions", json={"email": person.email, "password": PASSWORD, "cookie": cookie}, headers=session)
		assert r.status_code == 201, r.text
		token = r.headers["Set-Cookie"].split("=")[1].split(";")[0] if cookie else r.json()["token"]
		assert token not in tokens
		tokens.add(token)
	assert admin.server.get("/v1/users/me", headers={"Authorization": f"Bearer {fixed}"}).status_code == 401
	r = admin.server.post("/v1/sessions", json={"email": person.email, "password": PASSWORD, "token": fixed})
	assert problem(r, 400)["field"] == "token"


BODY = b'{"scopes":["jobs:read"]}'


@pytest.mark.parametrize("origin", ["null", "http://", "https://", "http://x.evil", "http://evil#x", "file://", "x", ""])
def test_a_page_of_no_origin_changes_nothing_with_a_cookie(admin, origin):
	person = add_user(admin)
	r = sign_in_answer(admin.server, person.email, cookie=True)
	cookie = r.headers["Set-Cookie"].split(";")[0]
	fields = [f"Cookie: {cookie}", f"X-CSRF-Token: {r.json()['csrf_token']}", "Content-Type: application/json", f"Content-Length: {len(BODY)}"]
	for host, version, more in (("Host: x", "HTTP/1.1", []), ("Host: x", "HTTP/1.1", ["Origin: http://x"] if origin else []), (None, "HTTP/1.0", [])):
		head = wire.head("POST", "/v1/keys", [*fields, f"Origin: {origin}", *more], version=version, host=host)
		reply = wire.exchange(admin.server, head + BODY)
		assert reply.status_code in (400, 403), reply
	assert person.get("/v1/keys").json()["keys"] == []
