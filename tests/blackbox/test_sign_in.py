"""Accounts, sessions and keys from outside: who comes in, what he then sees, and what keeps others out."""
import base64
import json
import select
import subprocess
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pytest

from harness import wire
from harness.people import ADMIN, PASSWORD, Person, add_user, first_admin, sign_in, sign_in_answer
from harness.server import Server, eventually, problem
from harness.wire import Wire

JSON = {"Content-Type": "application/json"}


@pytest.fixture
def admin(make_server):
	"""The administrator of a server of the test's own."""
	s = make_server(start=False, settings={"log.access": "true"})
	first_admin(s)
	return sign_in(s.start(), ADMIN)


@pytest.fixture(scope="module")
def people(module_folder):
	"""A server with people, for tests that do not mind what others left in it: (server, admin, ann, bob)."""
	s = Server(module_folder / "people", settings={"log.access": "true"})
	first_admin(s)
	with s:
		admin = sign_in(s, ADMIN)
		yield s, admin, add_user(admin, "ann@example.org"), add_user(admin, "bob@example.org")


def unauthenticated(r, code="unauthenticated"):
	problem(r, 401, code)
	assert r.headers["WWW-Authenticate"].startswith('Bearer realm="filemill"')


# ---- the way in ----

def test_an_account_uploads_and_another_one_finds_nothing(people):
	s, admin, ann, bob = people
	f = ann.upload(b"mine", name="mine.txt")
	assert f["owner"] == ann.id
	assert ann.get(f"/v1/files/{f['id']}/content").content == b"mine"
	assert f["id"] in [x["id"] for x in ann.get("/v1/files").json()["files"]]
	for other in (bob, admin):
		problem(other.get(f"/v1/files/{f['id']}"), 404, "file_not_found")
		problem(other.get(f"/v1/files/{f['id']}/content"), 404, "file_not_found")
		problem(other.request("PATCH", f"/v1/files/{f['id']}", json={"name": "yours"}), 404, "file_not_found")
		problem(other.delete(f"/v1/files/{f['id']}"), 404, "file_not_found")
		problem(other.get(f"/v1/jobs/{f['jobs'][0]['id']}"), 404, "job_not_found")
		assert f["id"] not in [x["id"] for x in other.get("/v1/files").json()["files"]]
	unauthenticated(s.get(f"/v1/files/{f['id']}"))


def test_with_an_account_nobody_comes_in_without_credentials(people):
	s = people[0]
	for method, path in (("GET", "/v1/files"), ("GET", "/v1/jobs"), ("GET", "/v1/events"), ("GET", "/v1/users/me"), ("GET", "/v1/keys"),
			     ("GET", "/v1/stats"), ("GET", "/metrics"), ("DELETE", "/v1/sessions/current")):
		unauthenticated(s.request(method, path))
	unauthenticated(s.post("/v1/files", data=b"x", headers={"Content-Type": "application/octet-stream"}))
	assert s.get("/healthz").status_code == 200


def test_anonymous_callers_stay_where_the_configuration_says_so(make_server):
	s = make_server(start=False, settings={"auth.anonymous": "true"})
	first_admin(s)
	s.start()
	f = s.upload(b"anybody's")
	assert f["owner"] == "public"
	admin = sign_in(s, ADMIN)
	problem(admin.get(f"/v1/files/{f['id']}"), 404, "file_not_found")
	unauthenticated(s.get("/metrics"))
	unauthenticated(s.get("/v1/keys"))


def test_curl_comes_in_too(people):
	s = people[0]

	def curl(*args):
		r = subprocess.run(["curl", "-sS", *args], stdout=subprocess.PIPE, check=True, timeout=60)
		return json.loads(r.stdout) if r.stdout else None

	token = curl(s.base + "/v1/sessions", "-H", "Content-Type: application/json", "-d",
		     json.dumps({"email": "ann@example.org", "password": PASSWORD}))["token"]
	bearer = ("-H", f"Authorization: Bearer {token}")
	f = curl(s.base + "/v1/files", *bearer, "-F", "file=@/etc/hostname")
	assert curl(s.base + f"/v1/files/{f['id']}", *bearer)["id"] == f["id"]
	curl("-X", "DELETE", s.base + "/v1/sessions/current", *bearer)
	assert curl(s.base + "/v1/files", *bearer)["code"] == "bad_credentials"


def test_who_somebody_is(people):
	s, admin, ann, _ = people
	me = ann.get("/v1/users/me").json()
	assert (me["id"], me["email"], me["role"], me["disabled_at"]) == (ann.id, "ann@example.org", "user", None)
	assert admin.get("/v1/users/me").json()["role"] == "admin"
	assert "password" not in me


def test_an_email_is_the_same_in_any_case_and_taken_once(people):
	s, admin, ann, _ = people
	assert sign_in(s, "Ann@Example.ORG").get("/v1/users/me").json()["id"] == ann.id
	problem(admin.post("/v1/users", json={"email": "ANN@example.org", "password": PASSWORD}), 409, "email_taken")


def test_only_administrators_add_accounts(people):
	_, admin, ann, _ = people
	operator = add_user(admin, role="operator")
	for who in (ann, operator, admin.key(["files:read"])):
		problem(who.post("/v1/users", json={"email": "new@example.org", "password": PASSWORD}), 403, "forbidden")
	by_key = admin.key(["admin"]).post("/v1/users", json={"email": "bykey@example.org", "password": PASSWORD})
	assert by_key.status_code == 201


@pytest.mark.parametrize("body, status, code, field", [
	({"email": "x@example.org"}, 422, "missing_value", "password"),
	({"password": PASSWORD}, 422, "missing_value", "email"),
	({"email": "x@example.org", "password": "123456789"}, 422, "invalid_value", "password"),
	({"email": "x@example.org", "password": "x" * 1025}, 422, "invalid_value", "password"),
	({"email": "x@example.org", "password": 1234567890}, 422, "invalid_value", "password"),
	({"email": "no address", "password": PASSWORD}, 422, "invalid_value", "email"),
	({"email": "@", "password": PASSWORD}, 422, "invalid_value", "email"),
	({"email": "", "password": PASSWORD}, 422, "invalid_value", "email"),
	({"email": "x" * 250 + "@example.org", "password": PASSWORD}, 422, "invalid_value", "email"),
	({"email": "x@example.org\r\nBcc: y@example.org", "password": PASSWORD}, 422, "invalid_value", "email"),
	({"email": "x@example.org", "password": PASSWORD, "role": "root"}, 422, "invalid_value", "role"),
	({"email": "x@example.org", "password": PASSWORD, "name": "a\u0007"}, 422, "invalid_value", "name"),
	({"email": "x@example.org", "password": PASSWORD, "is_admin": True}, 400, "unknown_member", "is_admin"),
])
def test_a_wrong_account_is_told_by_field(people, body, status, code, field):
	p = problem(people[1].post("/v1/users", json=body), status, code)
	assert p["field"] == field


# ---- signing in that fails ----

def faceless(r):
	"""An answer without what belongs to the single request."""
	return r.status_code, r.json(), {k: v for k, v in r.headers.items() if k not in ("X-Request-Id", "Date")}


def test_whatever_is_wrong_the_answer_is_the_same(people):
	s = people[0]
	wrong = sign_in_answer(s, "bob@example.org", "not the password")
	unauthenticated(wrong, "bad_credentials")
	for email, password in (("nobody@example.org", "not the password"), ("no address at all", "not the password"), ("", "not the password"),
				("bob@example.org", "x"), ("bob@example.org", ""), ("bob@example.org", "x" * 1024)):
		assert faceless(sign_in_answer(s, email, password)) == faceless(wrong), (email, password)


def test_bad_bodies_of_a_sign_in(people):
	s = people[0]
	for body, status, code in ((b"", 400, "bad_json"), (b"{", 400, "bad_json"), (b"[]", 422, "invalid_value"), (b'{"email":"a@b.c"}', 422, "missing_value"),
				   (b'{"email":"a@b.c","password":null}', 422, "invalid_value"), (b'{"email":"a@b.c","password":"x","cookie":1}', 422, "invalid_value"),
				   (b'{"email":"a@b.c","password":"x","otp":"1"}', 400, "unknown_member"), (b'{"email":"a@b.c","password":"a\\u0000b"}', 400, "bad_json"),
				   (b'{"email":"a@b.c","password":"\xff"}', 400, "bad_json"), (b'{"email":"a@b.c","password":"x","password":"y"}', 400, "bad_json"),
				   (json.dumps({"email": "a@b.c", "password": "x" * 1025}).encode(), 422, "invalid_value")):
		problem(s.post("/v1/sessions", data=body, headers=JSON), status, code)
	problem(s.post("/v1/sessions", data=b'{"password":"' + b"x" * 2_000_000, headers=JSON), 413, "too_large")
	problem(s.post("/v1/sessions", data=b"email=a&password=b", headers={"Content-Type": "application/x-www-form-urlencoded"}), 415)


def wrong_tries(server, email, n):
	"""The answers to n wrong passwords in turn, each with the seconds it took."""
	timed = []
	for _ in range(n):
		begin = time.monotonic()
		r = sign_in_answer(server, email, "a wrong password")
		timed.append((r, time.monotonic() - begin))
	return timed


def test_tries_at_one_account_from_one_address_run_out_whether_or_not_it_exists(admin):
	s = admin.server
	ann, bob = add_user(admin), add_user(admin)
	with ThreadPoolExecutor(2) as pool:
		for timed in pool.map(lambda email: wrong_tries(s, email, 11), (ann.email, "nobody@example.org")):
			*wrong, (refused, _) = timed
			for i, (r, seconds) in enumerate(wrong):
				unauthenticated(r, "bad_credentials")
				assert seconds >= 0.2 * (i - 4), f"try {i + 1} was answered in {seconds} s"
			problem(refused, 429, "rate_limited")
			assert 1 <= int(refused.headers["Retry-After"]) <= 90
			assert timed[-1][1] >= 1
	problem(sign_in_answer(s, ann.email), 429, "rate_limited") # the right one comes too late
	assert sign_in_answer(s, bob.email).status_code == 201
	assert sign_in_answer(s, ann.email, address="127.0.0.2").status_code == 201
	assert ann.get("/v1/users/me").status_code == 200, "who is in stays in"


def guess_of(email):
	body = json.dumps({"email": email, "password": "a wrong password"}).encode()
	return wire.head("POST", "/v1/sessions", ["Content-Type: application/json", f"Content-Length: {len(body)}"]) + body


def use_up(server, email):
	"""No try is left at this account."""
	with ThreadPoolExecutor(5) as pool:
		assert {r.status_code for r in pool.map(lambda _: sign_in_answer(server, email, "a wrong password"), range(10))} == {401}


def is_silent(w):
	return not select.select([w.socket], [], [], 0)[0]


def test_guesses_on_one_connection_are_refused_one_after_the_other_while_others_are_served(admin):
	ann, victim = add_user(admin), add_user(admin)
	use_up(admin.server, victim.email)
	with Wire(admin.server, timeout=60) as w:
		begin, meanwhile = time.monotonic(), 0
		w.send(guess_of(victim.email) * 2)
		for _ in range(2):
			while is_silent(w):
				assert ann.get("/v1/users/me").status_code == 200
				meanwhile += is_silent(w)
			problem(w.read("POST"), 429, "rate_limited")
		assert time.monotonic() - begin >= 2
		assert meanwhile > 0
		w.send(wire.head("GET", "/healthz"))
		assert w.read("GET").status_code == 200, "the connection goes on"


def test_a_stop_answers_the_guesses_that_wait(admin):
	s, victim = admin.server, add_user(admin)
	use_up(s, victim.email)
	lines = [Wire(s, timeout=60) for _ in range(50)]
	for w in lines:
		w.send(guess_of(victim.email))
	eventually(lambda: "filemill_sign_ins_throttled_total 50\n" in admin.get("/metrics").text)
	s.stop()
	for w in lines:
		r = w.read("POST")
		problem(r, 429, "rate_limited")
		w.close()


def test_tries_at_once_are_not_more_than_tries_in_turn(admin):
	ann = add_user(admin)
	answers = []

	def guess():
		answers.append(sign_in_answer(admin.server, ann.email, "a wrong password").status_code)

	threads = [threading.Thread(target=guess) for _ in range(30)]
	for t in threads:
		t.start()
	for t in threads:
		t.join()
	assert answers.count(401) <= 10 and set(answers) <= {401, 429, 503}


def test_two_hundred_connections_that_guess_keep_nobody_else_out(admin):
	s = admin.server
	ann, victim = add_user(admin), add_user(admin)
	assert sign_in_answer(s, ann.email, address="127.0.0.2").status_code == 201
	lines = [Wire(s, timeout=60) for _ in range(200)]
	for w in lines:
		w.send(guess_of(victim.email))
	ann.upload(b"meanwhile")
	assert sign_in_answer(s, ann.email, address="127.0.0.2").status_code == 201
	answers = [w.read("POST") for w in lines]
	for w in lines:
		w.close()
	assert {r.status_code for r in answers} <= {401, 429, 503}
	assert 1 <= [r.status_code for r in answers].count(401) <= 10
	assert all(int(r.headers["Retry-After"]) >= 1 for r in answers if r.status_code != 401)


# ---- tokens ----

def test_what_is_no_good_token_is_refused(people):
	s, _, ann, _ = people
	other = ann.token[:20] + ("A" if ann.token[20] != "A" else "B") + ann.token[21:]
	for shown in (f"Bearer {other}", "Bearer", "Bearer ", f"Bearer {ann.token}x", f"Bearer {ann.token[:-1]}", f"Bearer {ann.token.upper()}", "Bearer fmk_" + "A" * 43,
		      f"Basic {base64.b64encode(b'ann@example.org:x').decode()}", f"{ann.token}", f"Digest {ann.token}", "Bearer " + "A" * 4000):
		unauthenticated(s.get("/v1/files", headers={"Authorization": shown}), "bad_credentials")
	assert s.get("/v1/files", headers={"Authorization": f"bearer   {ann.token}"}).status_code == 200


def test_signing_out_ends_this_session_and_no_other(people):
	s, _, ann, _ = people
	one, other = sign_in(s, ann.email), sign_in(s, ann.email)
	assert one.delete("/v1/sessions/current").status_code == 204
	unauthenticated(one.get("/v1/files"), "bad_credentials")
	unauthenticated(one.delete("/v1/sessions/current"), "bad_credentials")
	assert other.get("/v1/files").status_code == 200


def test_another_password_ends_all_sessions_and_spares_keys(admin):
	ann = add_user(admin)
	key, again = ann.key(["files:read"]), sign_in(admin.server, ann.email)
	change = {"old_password": PASSWORD, "password": "another horse"}
	p = problem(ann.post("/v1/users/me/password", json={**change, "old_password": "not it at all"}), 422, "invalid_value")
	assert p["field"] == "old_password"
	problem(ann.post("/v1/users/me/password", json={**change, "password": "short"}), 422, "invalid_value")
	problem(key.post("/v1/users/me/password", json=change), 403, "forbidden")
	assert ann.post("/v1/users/me/password", json=change).status_code == 204
	for gone in (ann, again):
		unauthenticated(gone.get("/v1/files"), "bad_credentials")
	assert key.get("/v1/files").status_code == 200
	unauthenticated(sign_in_answer(admin.server, ann.email, PASSWORD), "bad_credentials")
	assert sign_in(admin.server, ann.email, "another horse").get("/v1/files").status_code == 200


def test_a_session_that_was_acknowledged_outlives_kill_9(admin):
	s = admin.server
	ann = add_user(admin)
	gone = sign_in(s, ann.email)
	key = ann.key(["files:read"])
	assert gone.delete("/v1/sessions/current").status_code == 204
	s.kill()
	s.start()
	assert ann.get("/v1/users/me").json()["id"] == ann.id
	assert key.get("/v1/files").status_code == 200
	unauthenticated(gone.get("/v1/files"), "bad_credentials")


def test_neither_passwords_nor_tokens_are_written_down(admin):
	s = admin.server
	ann = add_user(admin, password="a quite unusual password")
	key = ann.key(["files:read"])
	ann.upload()
	sign_in_answer(s, ann.email, "a mistyped password")
	s.stop()
	secrets = [x.encode() for x in ("a quite unusual password", "a mistyped password", ann.token, key.token, key.made["signing_secret"])]
	for path in [*s.data.rglob("*"), s.log_path]:
		if path.is_file():
			content = path.read_bytes()
			assert not [x for x in secrets if x in content], path


def test_the_audit_log_tells_who_came(admin):
	ann = add_user(admin)
	key = ann.key(["files:read"])
	assert ann.delete(f"/v1/keys/{key.made['id']}").status_code == 204
	assert ann.delete("/v1/sessions/current").status_code == 204
	admin.server.stop()
	lines = [json.loads(x) for f in sorted((admin.server.data / "audit").iterdir()) for x in f.read_text().splitlines()]
	acts = [(x["act"], x.get("owner")) for x in lines]
	for act in ("session.begun", "key.added", "key.revoked", "session.ended"):
		assert (act, ann.id) in acts, act
	assert ("user.added", admin_id(lines)) in acts


def admin_id(lines):
	return next(x["owner"] for x in lines if x["act"] == "session.begun")


# ---- keys ----

def test_a_key_can_do_what_its_scopes_say(people):
	s, _, ann, _ = people
	f = ann.upload(b"scoped")
	reads, writes = ann.key(["files:read"], name="reads"), ann.key(["files:write", "jobs:read"])
	assert reads.get(f"/v1/files/{f['id']}").status_code == 200
	problem(reads.delete(f"/v1/files/{f['id']}"), 403, "forbidden")
	problem(reads.get(f"/v1/jobs/{f['jobs'][0]['id']}"), 403, "forbidden")
	problem(writes.get(f"/v1/files/{f['id']}"), 403, "forbidden")
	assert writes.get(f"/v1/jobs/{f['jobs'][0]['id']}").status_code == 200
	assert writes.upload(b"by key")["owner"] == ann.id
	for key in (reads, writes):
		problem(key.get("/v1/keys"), 403, "forbidden")
		problem(key.post("/v1/keys", json={"scopes": ["files:read"]}), 403, "forbidden")
		problem(key.delete("/v1/sessions/current"), 403, "forbidden")
		assert key.get("/v1/users/me").json()["id"] == ann.id


def test_a_key_is_shown_once_and_listed_without_its_secrets(people):
	s, admin, ann, bob = people
	made = ann.key(["files:read", "jobs:write"], name="nightly", expires_in=3600).made
	assert len(base64.b64decode(made["signing_secret"], validate=True)) == 32
	listed = [k for k in ann.get("/v1/keys").json()["keys"] if k["id"] == made["id"]]
	assert listed == [{k: v for k, v in made.items() if k not in ("secret", "signing_secret")}]
	assert (listed[0]["name"], listed[0]["scopes"], listed[0]["revoked_at"]) == ("nightly", ["files:read", "jobs:write"], None)
	assert made["id"] not in [k["id"] for k in bob.get("/v1/keys").json()["keys"]]


def test_a_revoked_key_is_worth_nothing_from_then_on(people):
	s, _, ann, bob = people
	key = ann.key(["files:read"])
	problem(bob.delete(f"/v1/keys/{key.made['id']}"), 404, "key_not_found")
	problem(ann.delete(f"/v1/keys/{uuid.uuid4()}"), 404, "key_not_found")
	problem(ann.delete("/v1/keys/x"), 400, "bad_id")
	assert key.get("/v1/files").status_code == 200
	assert ann.delete(f"/v1/keys/{key.made['id']}").status_code == 204
	unauthenticated(key.get("/v1/files"), "bad_credentials")


def test_nobody_makes_a_key_that_can_do_more_than_he(people):
	_, admin, ann, _ = people
	p = problem(ann.post("/v1/keys", json={"scopes": ["admin"]}), 403, "forbidden")
	assert p["field"] == "scopes"
	assert admin.key(["admin"]).get("/metrics").status_code == 200
	problem(ann.get("/metrics"), 403, "forbidden")


@pytest.mark.parametrize("body, status, code, field", [
	({}, 422, "missing_value", "scopes"),
	({"scopes": []}, 422, "invalid_value", "scopes"),
	({"scopes": "files:read"}, 422, "invalid_value", "scopes"),
	({"scopes": ["files:erase"]}, 422, "invalid_value", "scopes"),
	({"scopes": ["files:read"] * 6}, 422, "invalid_value", "scopes"),
	({"scopes": ["files:read"], "name": "x" * 101}, 422, "invalid_value", "name"),
	({"scopes": ["files:read"], "name": "a\nb"}, 422, "invalid_value", "name"),
	({"scopes": ["files:read"], "expires_in": 0}, 422, "invalid_value", "expires_in"),
	({"scopes": ["files:read"], "expires_in": 10 ** 12}, 422, "invalid_value", "expires_in"),
	({"scopes": ["files:read"], "secret": "mine"}, 400, "unknown_member", "secret"),
])
def test_a_wrong_key_is_told_by_field(people, body, status, code, field):
	p = problem(people[2].post("/v1/keys", json=body), status, code)
	assert p["field"] == field


def test_a_hundred_keys_and_no_more(admin):
	ann = add_user(admin)
	first = ann.key(["files:read"])
	for _ in range(99):
		ann.key(["files:read"])
	p = problem(ann.post("/v1/keys", json={"scopes": ["files:read"]}), 409, "limit_reached")
	assert p["limit"] == 100
	assert ann.delete(f"/v1/keys/{first.made['id']}").status_code == 204
	ann.key(["files:read"])


# ---- the cookie ----

class Browser:
	"""What a page of the server sends: the cookie, and what its browser says of it."""

	def __init__(self, server, email):
		r = sign_in_answer(server, email, cookie=True)
		assert r.status_code == 201, r.text
		assert "token" not in r.json()
		self.server, self.csrf = server, r.json()["csrf_token"]
		self.set_cookie = r.headers["Set-Cookie"]
		self.cookie = self.set_cookie.split(";")[0]

	def request(self, method, path, csrf=True, **headers):
		headers = {"Cookie": self.cookie, **{k.replace("_", "-"): v for k, v in headers.items()}}
		if csrf:
			headers["X-CSRF-Token"] = self.csrf
		return self.server.request(method, path, headers=headers, json={"scopes": ["files:read"]} if method == "POST" else None)


@pytest.fixture(scope="module")
def browser(people):
	return Browser(people[0], "ann@example.org")


def test_the_cookie_is_out_of_scripts_reach(browser):
	name, _, rest = browser.set_cookie.partition("=")
	attributes = {x.strip() for x in rest.split(";")[1:]}
	assert name == "__Host-filemill"
	assert {"Path=/", "HttpOnly", "Secure", "SameSite=Strict", "Max-Age=2592000"} == attributes


def test_a_page_reads_with_the_cookie_alone(browser, people):
	assert browser.request("GET", "/v1/users/me", csrf=False).json()["email"] == "ann@example.org"
	session = browser.request("GET", "/v1/sessions/current", csrf=False).json()
	assert session["csrf_token"] == browser.csrf and "token" not in session
	cookies = {"Cookie": f"theme=dark; {browser.cookie}; x=y"}
	assert people[0].get("/v1/users/me", headers=cookies).status_code == 200


def test_a_page_writes_with_cookie_and_token(browser, people):
	host = people[0].base.removeprefix("http://")
	assert browser.request("POST", "/v1/keys").status_code == 201
	assert browser.request("POST", "/v1/keys", Origin=f"http://{host}", Sec_Fetch_Site="same-origin").status_code == 201
	assert browser.request("POST", "/v1/keys", Origin=f"https://{host}").status_code == 201 # TLS ends in front


@pytest.mark.parametrize("headers", [
	{"Sec_Fetch_Site": "cross-site"}, {"Sec_Fetch_Site": "same-site"}, {"Sec_Fetch_Site": "none"}, {"Origin": "null"}, {"Origin": "http://evil.example"},
	{"Origin": "http://127.0.0.1:1"}, {"Origin": "http://127.0.0.1"}, {"Origin": "file://"}, {"Origin": ""},
])
@pytest.mark.parametrize("method, path", [("POST", "/v1/keys"), ("DELETE", "/v1/sessions/current"), ("POST", "/v1/files"), ("PATCH", "/v1/files/" + str(uuid.UUID(int=7)))])
def test_a_write_from_another_site_is_refused_even_with_the_token(browser, headers, method, path):
	problem(browser.request(method, path, **headers), 403, "cross_site")


def test_a_write_without_the_token_is_refused(browser, people):
	other = Browser(people[0], "bob@example.org")
	for csrf in (None, "", "x", browser.csrf[:-1], browser.csrf + "x", other.csrf):
		headers = {} if csrf is None else {"X-CSRF-Token": csrf}
		problem(browser.request("POST", "/v1/keys", csrf=False, **headers), 403, "cross_site")


def test_another_site_cannot_sign_somebody_in(people):
	s = people[0]
	body = {"email": "ann@example.org", "password": PASSWORD, "cookie": True}
	for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
		r = s.post("/v1/sessions", json=body, headers=headers)
		problem(r, 403, "cross_site")
		assert "Set-Cookie" not in r.headers


def test_a_cookie_that_is_not_right_is_refused(browser, people):
	s, _, ann, _ = people
	key = ann.key(["files:read"])
	name, _, token = browser.cookie.partition("=")
	changed = token[:-2] + ("A" if token[-2] != "A" else "B") + token[-1]
	for cookie in (f"{name}={changed}", f"{name}=", name, f"{browser.cookie}; {browser.cookie}", f"{name}={key.token}", f'{name}="{token}"'):
		unauthenticated(s.get("/v1/users/me", headers={"Cookie": cookie}), "bad_credentials")
	unauthenticated(s.get("/v1/users/me", headers={"Cookie": f"filemill={token}"}))


def test_a_page_signs_out(people):
	b = Browser(people[0], "bob@example.org")
	r = b.request("DELETE", "/v1/sessions/current")
	assert r.status_code == 204 and "Max-Age=0" in r.headers["Set-Cookie"] and r.headers["Set-Cookie"].startswith("__Host-filemill=;")
	unauthenticated(b.request("GET", "/v1/users/me"), "bad_credentials")


def test_without_accounts_a_cookie_from_elsewhere_does_no_harm(server):
	assert server.get("/v1/files", headers={"Cookie": "__Host-filemill=fms_" + "A" * 43}).status_code == 200
	unauthenticated(server.get("/v1/files", headers={"Authorization": "Bearer fms_" + "A" * 43}), "bad_credentials")
	unauthenticated(server.get("/v1/keys"))


# ---- time ----

def test_sessions_and_keys_expire(make_server):
	"""The clock is the server's: what ends in a second is looked at until it has."""
	s = make_server(start=False, settings={"auth.session_idle": "1m", "auth.session_max": "1m"})
	first_admin(s)
	s.start()
	admin = sign_in(s, ADMIN)
	key = admin.key(["files:read"], expires_in=1)
	eventually(lambda: key.get("/v1/files").status_code == 401, 30)
	unauthenticated(key.get("/v1/files"), "bad_credentials")
	assert admin.get("/v1/files").status_code == 200


def with_sessions(make_server, **settings):
	s = make_server(start=False, settings={f"auth.session_{k}": v for k, v in settings.items()})
	first_admin(s)
	return s.start()


def use_until(person, end):
	"""Again and again; tells the longest time between two uses."""
	longest, last = 0, time.monotonic()
	while last < end:
		person.get("/v1/files?limit=1")
		longest, last = max(longest, time.monotonic() - last), time.monotonic()
		time.sleep(0.05)
	return longest


def test_a_session_ends_when_it_was_not_used_for_its_time_and_not_while_it_is(make_server):
	s = with_sessions(make_server, idle="4s")
	for _ in range(8): # where the machine stood still for long nothing can be told
		left, used = sign_in(s, ADMIN), sign_in(s, ADMIN)
		if use_until(used, time.monotonic() + 5) < 2:
			break
	assert used.get("/v1/files").status_code == 200
	unauthenticated(left.get("/v1/files"), "bad_credentials")
	s.restart()
	unauthenticated(left.get("/v1/files"), "bad_credentials")
	assert sign_in(s, ADMIN).get("/v1/files").status_code == 200


def test_a_session_ends_by_its_age_however_much_it_is_used(make_server):
	s = with_sessions(make_server, max="3s")
	r = sign_in_answer(s, ADMIN)
	person = Person(s, r.json()["token"])
	end = datetime.fromisoformat(r.json()["expires_at"].replace("Z", "+00:00")).timestamp()
	assert end <= time.time() + 3
	while time.time() < end:
		answer = person.get("/v1/files?limit=1")
		assert answer.status_code == 200 or time.time() >= end
		time.sleep(0.05)
	unauthenticated(person.get("/v1/files?limit=1"), "bad_credentials")
