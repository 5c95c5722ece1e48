"""Who may call what: every route that the program has, tried as everybody who could try it. A route without a line here fails."""
import itertools
import json
import re
import uuid
from dataclasses import dataclass
from typing import Callable

import pytest
import requests

from harness import people
from harness.server import Server, eventually, problem, run
from harness.signing import Key, Signing

SCOPES = ("files:read", "files:write", "jobs:read", "jobs:write", "admin")
ROLES = ("user", "operator", "admin")
UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
RAW = {"Content-Type": "application/octet-stream"}
# What the table of callers makes, and leaves where they are refused; and how fast it does, which is no matter here.
SETTINGS = {"webhooks.per_owner": "64", "limits.pings": "off", "limits.account": "off", "limits.key": "off", "surfaces.storage_sync.rate": "off"}


# ---- what the callers are ----

@dataclass
class Caller:
	name: str
	headers: dict
	role: str = "user"
	how: str = "session" # or "key" (shown or signed with), "nobody", "bad"
	scopes: tuple = SCOPES
	signer: Signing = None


def may(caller, line):
	return allows(line.access, caller) and (not line.needs or allows(line.needs, caller))


def allows(access, caller):
	"""The rule, said once more and not by the program: may he call what says this of itself?"""
	if access in ("anyone", "link"): # the address itself is judged, not who has it
		return True
	if caller.how in ("nobody", "bad"):
		return False
	rank = ROLES.index(caller.role)
	if access == "caller":
		return True
	if access == "person":
		return caller.how == "session"
	if access in ("watcher", "operator", "admin"):
		return rank >= (2 if access == "admin" else 1) and "admin" in caller.scopes
	return access in caller.scopes


# ---- what there is to call ----

class Things:
	"""Of one caller: what the ids in a path can be of. Each is made when it is asked for, so that whoever destroys it destroys his own."""

	def __init__(self, person):
		self.person, self.serial = person, itertools.count()

	def ask(self, method, path, status, **more):
		r = self.person.request(method, path, **more)
		assert r.status_code == status, (method, path, r.status_code, r.text)
		return r.json() if r.content else None

	def file(self):
		return self.ask("POST", "/v1/files?ops=", 201, data=b"thing %d" % next(self.serial), headers=RAW)["id"]

	def zipped(self):
		return self.ask("POST", "/v1/files?ops=zip&wait=60", 201, data=b"thing %d" % next(self.serial), headers=RAW)["id"]

	def sent(self):
		url = self.ask("POST", "/upload_urls", 201, json={"name": "a", "size": 1, "type": "text/plain"})
		assert requests.put(url["url"], data=b"x", headers=url["headers"], timeout=30).status_code in (200, 201) # as the storage has it
		return url["id"]

	def job(self, state="succeeded"):
		if state == "queued":
			return self.ask("POST", f"/v1/files/{self.file()}/jobs", 202, json={"op": "sha1", "run_at": "2099-01-01T00:00:00.000Z"})["id"]
		stored = self.ask("POST", "/v1/files?ops=gzip&wait=60", 201, data=b"thing %d" % next(self.serial), headers=RAW)
		return stored["jobs"][0]["id"]

	def cancelled(self):
		id = self.job("queued")
		self.ask("POST", f"/v1/jobs/{id}/cancel", 200)
		return id

	def webhook(self):
		hooks = self.ask("GET", "/v1/webhooks?limit=1", 200)["webhooks"]
		return hooks[0]["id"] if hooks else self.fresh_webhook()

	def fresh_webhook(self):
		return self.ask("POST", "/v1/webhooks", 201, json={"url": "https://nowhere.invalid/x"})["id"]

	def delivery(self):
		hook = self.webhook()
		return hook, self.ask("POST", f"/v1/webhooks/{hook}/ping", 202)["id"]

	def key(self):
		"""The one before, unless somebody might revoke it: an account has no more than a hundred."""
		left = [k["id"] for k in self.ask("GET", "/v1/keys?limit=200", 200)["keys"] if k["name"] == "spare" and not k["revoked_at"]]
		return left[0] if left else self.ask("POST", "/v1/keys", 201, json={"name": "spare", "scopes": ["files:read"]})["id"]

	def account(self):
		return self.ask("GET", "/v1/users/me", 200)["id"]


@dataclass
class Line:
	"""access: what the route must say of itself. call: of the owner's Things gives what to send: a path, or a path and more. own: it is about something that somebody owns."""
	access: str
	call: Callable
	status: int = 200
	own: bool = False
	needs: str = "" # what the handler asks for beyond what the route says


def at(template, *makers):
	"""A call at an address with ids in it, one a maker."""
	def call(t):
		ids = [getattr(t, m)() if isinstance(m, str) else m(t) for m in makers]
		return template.format(*ids), {}
	return call


def with_json(call, body):
	def more(t):
		path, kwargs = call(t)
		return path, {**kwargs, "json": body(t) if callable(body) else body}
	return more


def plain(path, **more):
	return lambda t: (path, more)


def of_delivery(behind=""):
	return lambda t: ("/v1/webhooks/{}/deliveries/{}".format(*t.delivery()) + behind, {})


FILE, JOB, HOOK = at("/v1/files/{}", "file"), at("/v1/jobs/{}", "job"), at("/v1/webhooks/{}", "webhook")
FORM = {"files": {"file": ("a.png", b"no picture")}}
LINES = {
	"POST /v1/files": Line("files:write", plain("/v1/files?ops=", data=b"x", headers=RAW), 201),
	"GET /v1/files": Line("files:read", plain("/v1/files?limit=1")),
	"GET /v1/files/{id}": Line("files:read", FILE, own=True),
	"PATCH /v1/files/{id}": Line("files:write", with_json(FILE, {"name": "n"}), own=True),
	"DELETE /v1/files/{id}": Line("files:write", FILE, 204, own=True),
	"GET /v1/files/{id}/content": Line("files:read", at("/v1/files/{}/content", "file"), own=True),
	"POST /v1/files/{id}/jobs": Line("jobs:write", with_json(at("/v1/files/{}/jobs", "file"), {"op": "crc32c"}), 202, own=True),
	"POST /v1/jobs": Line("jobs:write", lambda t: ("/v1/jobs", {"json": {"jobs": [{"file": t.file(), "op": "crc32c"}]}}), 202, own=True),
	"GET /v1/jobs": Line("jobs:read", plain("/v1/jobs?limit=1")),
	"GET /v1/jobs/{id}": Line("jobs:read", JOB, own=True),
	"POST /v1/jobs/{id}/cancel": Line("jobs:write", at("/v1/jobs/{}/cancel", lambda t: t.job("queued")), own=True),
	"POST /v1/jobs/{id}/retry": Line("jobs:write", at("/v1/jobs/{}/retry", "cancelled"), 202, own=True),
	"GET /v1/jobs/{id}/outputs/{n}": Line("files:read", at("/v1/jobs/{}/outputs/0", "job"), own=True),
	"GET /v1/events": Line("jobs:read", plain("/v1/events", stream=True)),
	"POST /v1/webhooks": Line("jobs:write", plain("/v1/webhooks", json={"url": "http://not.https/"}), 422),
	"GET /v1/webhooks": Line("jobs:read", plain("/v1/webhooks")),
	"GET /v1/webhooks/{id}": Line("jobs:read", HOOK, own=True),
	"PATCH /v1/webhooks/{id}": Line("jobs:write", with_json(HOOK, {"description": "d"}), own=True),
	"DELETE /v1/webhooks/{id}": Line("jobs:write", at("/v1/webhooks/{}", "fresh_webhook"), 204, own=True),
	"POST /v1/webhooks/{id}/rotate": Line("jobs:write", at("/v1/webhooks/{}/rotate", "webhook"), own=True),
	"POST /v1/webhooks/{id}/ping": Line("jobs:write", at("/v1/webhooks/{}/ping", "webhook"), 202, own=True),
	"POST /v1/webhooks/{id}/replay": Line("jobs:write", at("/v1/webhooks/{}/replay", "webhook"), 202, own=True),
	"GET /v1/webhooks/{id}/deliveries": Line("jobs:read", at("/v1/webhooks/{}/deliveries", "webhook"), own=True),
	"GET /v1/webhooks/{id}/deliveries/{delivery}": Line("jobs:read", of_delivery(), own=True),
	"POST /v1/webhooks/{id}/deliveries/{delivery}/replay": Line("jobs:write", of_delivery("/replay"), 202, own=True),
	"POST /v1/users": Line("admin", lambda t: ("/v1/users", {"json": {"email": f"{uuid.uuid4()}@example.org", "password": people.PASSWORD}}), 201),
	"GET /v1/users/me": Line("caller", plain("/v1/users/me")),
	"POST /v1/users/me/password": Line("person", plain("/v1/users/me/password", json={"old_password": people.PASSWORD, "password": "short"}), 422),
	"POST /v1/sessions": Line("anyone", plain("/v1/sessions", json={"email": "x"}), 422),
	"GET /v1/sessions/current": Line("person", plain("/v1/sessions/current")),
	"DELETE /v1/sessions/current": Line("person", plain("/v1/sessions/current"), 204),
	"POST /v1/keys": Line("person", plain("/v1/keys", json={"scopes": ["files:read"], "expires_in": 60}), 201),
	"GET /v1/keys": Line("person", plain("/v1/keys?limit=1")),
	"DELETE /v1/keys/{id}": Line("person", at("/v1/keys/{}", "key"), 204, own=True),
	"POST /v1/links": Line("caller", plain("/v1/links", json={"method": "PUT", "max_size": 9}), 201, needs="files:write"),
	"POST /v1/links # to read": Line("caller", lambda t: ("/v1/links", {"json": {"method": "GET", "file": t.file()}}), 201, own=True, needs="files:read"),
	"POST /v1/imports": Line("files:write", plain("/v1/imports", json={"url": "https://127.0.0.1/inside"}), 422),
	# whoever has a link needs nothing else: tests/blackbox/test_links.py
	"PUT /v1/links/{id}": Line("link", plain(f"/v1/links/{uuid.uuid4()}", data=b"x", headers=RAW), 403),
	"POST /v1/links/{id}": Line("link", plain(f"/v1/links/{uuid.uuid4()}", data=b"x", headers=RAW), 403),
	"GET /v1/links/{id}": Line("link", plain(f"/v1/links/{uuid.uuid4()}"), 403),
	"GET /v1/admin/files": Line("operator", plain("/v1/admin/files?limit=1")),
	"GET /v1/admin/files/{id}": Line("operator", at("/v1/admin/files/{}", "file")),
	"GET /v1/admin/files/{id}/content": Line("operator", at("/v1/admin/files/{}/content", "file")),
	"GET /v1/admin/jobs": Line("operator", plain("/v1/admin/jobs?limit=1")),
	"GET /v1/admin/jobs/{id}": Line("operator", at("/v1/admin/jobs/{}", "job")),
	"POST /v1/admin/jobs/{id}/cancel": Line("operator", at("/v1/admin/jobs/{}/cancel", lambda t: t.job("queued"))),
	"POST /v1/admin/jobs/{id}/retry": Line("operator", at("/v1/admin/jobs/{}/retry", "cancelled"), 202),
	"GET /v1/admin/jobs/{id}/outputs/{n}": Line("operator", at("/v1/admin/jobs/{}/outputs/0", "job")),
	"POST /v1/admin/queue/cancel": Line("operator", plain("/v1/admin/queue/cancel", json={"state": "queued", "op": "sha512"})),
	"POST /v1/admin/queue/retry": Line("operator", plain("/v1/admin/queue/retry", json={"state": "failed", "op": "sha512"})),
	"GET /v1/admin/queue": Line("operator", plain("/v1/admin/queue")),
	"GET /v1/admin/workers": Line("operator", plain("/v1/admin/workers")),
	"GET /v1/admin/storage": Line("operator", plain("/v1/admin/storage")),
	"GET /v1/admin/audit": Line("operator", plain("/v1/admin/audit?limit=1")),
	"GET /v1/admin/users": Line("admin", plain("/v1/admin/users?limit=1")),
	"GET /v1/admin/users/{id}": Line("admin", at("/v1/admin/users/{}", "account")),
	"PATCH /v1/admin/users/{id}": Line("admin", with_json(at("/v1/admin/users/{}", "account"), {"name": "n"})),
	"GET /v1/admin/keys": Line("admin", at("/v1/admin/keys?user={}", "account")),
	"DELETE /v1/admin/keys/{id}": Line("admin", at("/v1/admin/keys/{}", "key"), 204),
	"GET /admin": Line("anyone", plain("/admin")),
	"GET /v1/ops": Line("anyone", plain("/v1/ops")),
	"GET /v1/stats": Line("watcher", plain("/v1/stats")),
	"GET /healthz": Line("anyone", plain("/healthz")),
	"GET /readyz": Line("anyone", plain("/readyz")),
	"GET /metrics": Line("watcher", plain("/metrics")),
	"GET /openapi.json": Line("anyone", plain("/openapi.json")),
	"GET /docs": Line("anyone", plain("/docs")),
	"GET /docs/{name}": Line("anyone", plain("/docs/none.js"), 404),
	"GET /assets/{name}": Line("anyone", plain("/assets/none.js"), 404),
	"GET /licenses.txt": Line("anyone", plain("/licenses.txt")),
	"GET /": Line("anyone", plain("/")),
	"POST /": Line("files:write", plain("/", files={"file": ("a", b"x")}), 201),
	# the surfaces but instashare know no callers: theirs is the owner "public"
	"POST /uploadfile": Line("anyone", plain("/uploadfile", **FORM)),
	"GET /gethash/{file_id}": Line("anyone", plain("/gethash/999999")),
	"GET /get_hash/{file_id}": Line("anyone", plain("/get_hash/999999")),
	"GET /gethash": Line("anyone", plain("/gethash?file_id=999999")),
	"GET /uploadform": Line("anyone", plain("/uploadform")),
	"POST /uploadfile-html": Line("anyone", plain("/uploadfile-html", **FORM)),
	"GET /gethash-form": Line("anyone", plain("/gethash-form?file_id=999999")),
	"POST /hashes": Line("anyone", plain("/hashes", **FORM)),
	"GET /hashes/{task_id}": Line("anyone", plain("/hashes/999999"), 404),
	"POST /users/register": Line("anyone", plain("/users/register", json={}), 422),
	"POST /users/login": Line("anyone", plain("/users/login", json={}), 422),
	"POST /upload_files": Line("files:write", plain("/upload_files", files={"file": ("a", b"x")}), 201),
	"GET /files": Line("files:read", plain("/files?limit=1")),
	"PATCH /files/{id}": Line("files:write", with_json(at("/files/{}", "file"), {"name": "n"}), own=True),
	"DELETE /files/{id}": Line("files:write", at("/files/{}", "file"), 204, own=True),
	"GET /files/{id}/download": Line("files:read", at("/files/{}/download", "zipped"), own=True),
	"POST /upload_urls": Line("files:write", plain("/upload_urls", json={"name": "a", "size": 1, "type": "text/plain"}), 201),
	"POST /upload_urls/{id}/complete": Line("files:write", at("/upload_urls/{}/complete", "sent"), own=True),
	"POST /uploadFile": Line("anyone", plain("/uploadFile", **FORM), 415),
	"GET /queryFileStatus/{file_id}": Line("anyone", plain("/queryFileStatus/5"), 400),
	"GET /queryFileStatus": Line("anyone", plain("/queryFileStatus"), 400),
	"GET /thumbnail/{file_id}": Line("anyone", plain("/thumbnail/5"), 400),
	"GET /thumbnail": Line("anyone", plain("/thumbnail"), 400),
	"GET /heartbeat": Line("anyone", plain("/heartbeat")),
	# who may is shown by a signature of its own: tests/blackbox/test_surface_storage_sync.py
	"POST /sync": Line("anyone", plain("/sync/", data=b"{}", headers={"Content-Type": "application/json"}), 401),
	"GET /sync": Line("anyone", plain("/sync/")),
	"GET /status.html": Line("anyone", plain("/status.html")),
	"GET /syncs": Line("operator", plain("/syncs")),
	"GET /files/{id}": Line("operator", plain("/files/none"), 404),
}


# ---- who tries ----

def bearer(person):
	return {"Authorization": f"Bearer {person.token}"}


def signing(person):
	"""With the other secret of a person who shows a key."""
	return Signing(Key(person.made["id"], person.made["signing_secret"]))


class World:
	def __init__(self, server):
		self.server, self.root = server, people.sign_in(server, people.ADMIN)
		self.alice, self.bob, self.carl = (people.add_user(self.root, f"{name}@example.org") for name in ("alice", "bob", "carl"))
		self.olga = people.add_user(self.root, "olga@example.org", role="operator")
		self.things = Things(self.alice)
		self.keys = {}

	def key(self, person, *scopes):
		"""Made once for each set of scopes."""
		if (person.email, scopes) not in self.keys:
			self.keys[person.email, scopes] = person.key(scopes)
		return self.keys[person.email, scopes]

	def callers(self):
		"""Nobody, and the owner of `things` with all that she can show."""
		mine = SCOPES[:4]
		yield Caller("nobody", {}, how="nobody")
		yield Caller("a session", bearer(self.alice))
		for scopes in [mine, *((s,) for s in mine), *(tuple(x for x in mine if x != s) for s in mine)]:
			yield Caller(f"a key for {' '.join(scopes)}", bearer(self.key(self.alice, *scopes)), how="key", scopes=scopes)
		for scopes in [mine, *((s,) for s in mine)]:
			yield Caller(f"a signature for {' '.join(scopes)}", {}, how="key", scopes=scopes, signer=signing(self.key(self.alice, *scopes)))

	def officials(self):
		for name, person, role in [("operator", self.olga, "operator"), ("administrator", self.root, "admin")]:
			yield Caller(f"an {name}", bearer(person), role)
			yield Caller(f"an {name}'s key for admin", bearer(self.key(person, "admin")), role, "key", ("admin",))
			yield Caller(f"an {name}'s key for all but admin", bearer(self.key(person, *SCOPES[:4])), role, "key", SCOPES[:4])
			yield Caller(f"an {name}'s signature for admin", {}, role, "key", ("admin",), signing(self.key(person, "admin")))


@pytest.fixture(scope="module")
def world(module_folder):
	"""A server with an administrator, an operator and users."""
	server = Server(module_folder / "access", surfaces=["all"], settings=SETTINGS)
	people.first_admin(server)
	with server:
		yield World(server)


def key_of(route):
	return f"{route['method']} {route['path']}"


def routes():
	r = run("describe", "routes")
	assert r.returncode == 0, r.stderr
	return json.loads(r.stdout)


def ask(world, line, method, caller):
	path, more = line.call(world.things)
	more = {**more, "headers": {**more.get("headers", {}), **caller.headers}, "auth": caller.signer}
	r = world.server.request(method, path, **more)
	if more.get("stream") and r.status_code == 200:
		r.close() # it has no end
	return r


def check_refused(r, caller):
	if caller.how in ("nobody", "bad"):
		problem(r, 401, "unauthenticated" if caller.how == "nobody" else "bad_signature" if caller.signer else "bad_credentials")
		assert r.headers["WWW-Authenticate"].startswith("Signature" if caller.signer else "Bearer")
	else:
		problem(r, 403, "forbidden")


def test_each_route_has_its_line_and_says_of_itself_what_the_line_says():
	table = {key_of(r): r["access"] for r in routes()}
	lines = {k.split(" #")[0]: line.access for k, line in LINES.items()}
	assert set(table) - set(lines) == set(), "who may call these? say so in LINES"
	assert set(lines) - set(table) == set(), "no such routes"
	assert {k: a for k, a in table.items() if a != lines[k]} == {}


@pytest.mark.parametrize("route", LINES)
def test_only_who_may_is_served(world, route):
	line, method = LINES[route], route.split()[0]
	wrong = []
	for caller in world.callers():
		caller = spare(world, route, caller)
		r = ask(world, line, method, caller)
		if not may(caller, line):
			check_refused(r, caller)
		elif r.status_code != line.status:
			wrong.append(f"{caller.name}: {r.status_code} {r.text[:200]}")
	assert not wrong, wrong


def spare(world, route, caller):
	"""Whoever signs out does so with a session of his own."""
	if route == "DELETE /v1/sessions/current" and caller.how == "session":
		return Caller(caller.name, bearer(people.sign_in(world.server, world.alice.email)))
	return caller


@pytest.mark.parametrize("route", LINES)
def test_officials_are_served_by_their_role_and_their_keys_by_both(world, route):
	line, method = LINES[route], route.split()[0]
	if line.own:
		return # below: they see no more of what others own than anybody
	for caller in world.officials():
		if route == "DELETE /v1/sessions/current" and caller.how == "session":
			continue # the same as of a user
		r = ask(world, line, method, caller)
		if may(caller, line):
			assert r.status_code == line.status, f"{caller.name}: {r.status_code} {r.text[:200]}"
		else:
			check_refused(r, caller)


@pytest.mark.parametrize("route", [r for r, line in LINES.items() if line.own])
def test_what_is_anothers_is_not_there(world, route):
	"""Whoever asks, an administrator too; and the answer is that of an id that never was."""
	line, method = LINES[route], route.split()[0]
	others = [Caller(name, bearer(person)) for name, person in (("another user", world.bob), ("an operator", world.olga), ("an administrator", world.root))]
	if line.access != "person":
		others.append(Caller("another user's signature", {}, signer=signing(world.key(world.bob, *SCOPES[:4]))))
	for caller in others:
		r = ask(world, line, method, caller)
		seen = problem(r, 404)
		path, more = line.call(world.things)
		never = re.sub(UUID, str(uuid.uuid4()), path)
		more = json.loads(re.sub(UUID, str(uuid.uuid4()), json.dumps(more)))
		unknown = problem(world.server.request(method, never, headers=caller.headers, auth=caller.signer, **more), 404)
		assert {k: seen[k] for k in ("code", "title")} == {k: unknown[k] for k in ("code", "title")}, caller.name
		assert re.sub(UUID, "", seen["detail"]) == re.sub(UUID, "", unknown["detail"]), caller.name


# ---- what is no good (any more) ----

def disable(world, person):
	"""By the command, while no server runs; whoever was signed in before shows up again afterwards."""
	world.server.stop()
	r = run("admin", "user", "disable", "--data", world.server.data, person.email)
	assert r.returncode == 0, r.stderr
	world.server.start()


@pytest.fixture(scope="module")
def spoilt(world):
	"""Credentials that once were good, or look as if: what they are, and what sends them: header fields or a signer."""
	alice, carl = world.alice, world.carl
	good, revoked, expired = (alice.key(SCOPES[:4], **more) for more in ({}, {}, {"expires_in": 1}))
	assert alice.delete(f"/v1/keys/{revoked.made['id']}").status_code == 204
	signed_out = people.sign_in(world.server, alice.email)
	assert signed_out.delete("/v1/sessions/current").status_code == 204
	his_key = carl.key(SCOPES[:4])
	disable(world, carl)
	eventually(lambda: expired.get("/v1/users/me").status_code == 401)
	other = good.token[:-1] + ("A" if good.token[-1] != "A" else "Q")
	tokens = {"a revoked key": revoked.token, "an expired key": expired.token, "a session that was ended": signed_out.token,
		  "a session of a disabled account": carl.token, "a key of a disabled account": his_key.token,
		  "a key with another last letter": other, "a key cut short": good.token[:-1], "a key called a session": good.token.replace("fmk_", "fms_"),
		  "a key of another server": "fmk_" + "A" * 43, "a session of another server": "fms_" + "A" * 43}
	signers = {"a revoked key's signature": signing(revoked), "an expired key's signature": signing(expired), "a signature for a disabled account": signing(his_key),
		   "a signature with another key's secret": Signing(Key(good.made["id"], revoked.made["signing_secret"])),
		   "a signature of another server's key": Signing(Key(str(uuid.uuid4()), good.made["signing_secret"]))}
	return [Caller(name, {"Authorization": f"Bearer {token}"}, how="bad") for name, token in tokens.items()] + \
		[Caller(name, {}, how="bad", signer=signer) for name, signer in signers.items()]


@pytest.mark.parametrize("route", LINES)
def test_what_is_no_good_is_refused_with_one_answer_of_its_kind(world, spoilt, route):
	line, method = LINES[route], route.split()[0]
	answers = {True: set(), False: set()}
	for caller in spoilt:
		r = ask(world, line, method, caller)
		if line.access in ("anyone", "link"):
			assert r.status_code == line.status, (caller.name, r.text)
		else:
			check_refused(r, caller)
			answers[caller.signer is None].add(r.text)
	assert all(len(a) <= 1 for a in answers.values()), answers
