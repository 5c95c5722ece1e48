"""Rows E1, E3, E15 and E16 of the bad-input catalogue: credentials that are none, too many, too long, or sent along by another site's page. Signatures and links have tests of their own."""
import json

import pytest

from harness import people, wire
from harness.server import Server, problem
from test_access import LINES, Things

UNSAFE = [r for r, line in LINES.items() if r.split()[0] not in ("GET", "HEAD") and line.access not in ("anyone", "link")]


@pytest.fixture(scope="module")
def admin(module_folder):
	server = Server(module_folder / "credentials", surfaces=["all"], settings={"webhooks.per_owner": "64"})
	people.first_admin(server)
	with server:
		yield people.sign_in(server, people.ADMIN)


def show(admin, *fields):
	return wire.exchange(admin.server, wire.head("GET", "/v1/users/me", fields))


@pytest.mark.parametrize("fields", [
	[], ["Authorization:"], ["Authorization: Bearer"], ["Authorization: Bearer "], ["Authorization: {}"], ["Authorization: Basic {}"], ["Authorization: Bearer {}, Bearer {}"],
	["Authorization: Bearer {} {}"], ["Authorization: Bearer  {}x"], ["Authorization: Bearer \"{}\""], ["Authorization: Bearer x", "Cookie: __Host-filemill={}"], ["Cookie: session={}"],
	["Cookie: __Host-filemill"], ["Cookie: __Host-filemill={}x"], ["X-Authorization: Bearer {}"], ["Proxy-Authorization: Bearer {}"],
])
def test_e1_what_is_no_credential_is_refused(admin, fields):
	reply = show(admin, *(f.replace("{}", admin.token) for f in fields))
	assert reply.status_code == 401 and reply.json()["code"] in ("unauthenticated", "bad_credentials"), reply
	assert reply.headers["WWW-Authenticate"].startswith("Bearer")


def test_e1_two_headers_of_credentials_are_refused(admin):
	right = f"Authorization: Bearer {admin.token}"
	assert show(admin, right).status_code == 200
	for fields in ([right, right], [right, "authorization: Bearer x"], ["Authorization: Basic eDp5", right], ["Authorization:", right]):
		assert problem(show(admin, *fields), 400, "bad_header")["field"] == "Authorization"


def test_e1_a_token_in_the_query_is_none(admin):
	for name in ("token", "access_token", "key"):
		r = admin.server.get(f"/v1/users/me?{name}={admin.token}")
		assert r.status_code in (400, 401), r.text
		assert admin.token not in r.text and admin.token not in admin.server.log()


@pytest.mark.parametrize("password, statuses", [
	("", (401, 422)), ("short", (401,)), ("p" * 1024, (401,)), ("p" * 1025, (401, 422)), ("p" * 1_000_000, (401, 413, 422)), ("with\0nul and more", (400, 401, 422)), ("é" * 513, (401, 422)),
], ids=lambda v: f"{v[:5]!r} of {len(v)}" if isinstance(v, str) else "") # pytest puts the name into the environment, where a million bytes do not fit
def test_e3_a_password_that_cannot_be_right_signs_nobody_in(admin, password, statuses):
	answers = []
	for email in (people.ADMIN, "nobody@example.org"):
		r = people.sign_in_answer(admin.server, email, password)
		assert r.status_code in statuses, r.text
		answers.append((r.status_code, r.json()["code"]))
	assert answers[0] == answers[1], "an account that is there is told from one that is not"


@pytest.fixture(scope="module")
def browser(admin):
	"""The cookie and the word of one session that a page holds."""
	return page_session(admin)


def page_session(admin):
	r = people.sign_in_answer(admin.server, people.ADMIN, cookie=True)
	assert r.status_code == 201, r.text
	return {"Cookie": r.headers["Set-Cookie"].split(";")[0], "X-CSRF-Token": r.json()["csrf_token"]}


@pytest.mark.parametrize("route", UNSAFE)
@pytest.mark.parametrize("spoil", [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "https://elsewhere.example"}, {"Origin": "null"}, {"X-CSRF-Token": None}, {"X-CSRF-Token": "x"}],
	ids=lambda s: next(f"{k} {v}" for k, v in s.items()))
def test_e16_a_page_of_another_site_changes_nothing(admin, browser, route, spoil):
	path, more = LINES[route].call(Things(admin))
	headers = {**more.pop("headers", {}), **browser, **spoil}
	r = admin.server.request(route.split()[0], path, headers={k: v for k, v in headers.items() if v is not None}, **more)
	problem(r, 403, "cross_site")


def test_e15_a_session_is_no_longer_after_it_was_ended(admin):
	server, browser = admin.server, page_session(admin)
	assert server.get("/v1/users/me", headers={"Cookie": browser["Cookie"]}).status_code == 200
	last = browser["Cookie"][-1]
	for cookie in (browser["Cookie"][:-1] + ("A" if last != "A" else "Q"), browser["Cookie"] + "; " + browser["Cookie"]):
		problem(server.get("/v1/users/me", headers={"Cookie": cookie}), 401)
	assert server.delete("/v1/sessions/current", headers=browser).status_code == 204
	problem(server.get("/v1/users/me", headers={"Cookie": browser["Cookie"]}), 401, "bad_credentials")
