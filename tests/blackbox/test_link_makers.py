"""Links and those who make them: whose the files are, who may give what away, and when a link ends with what it was made with."""
import pytest
import requests

from harness.people import ADMIN, PASSWORD, Person, add_user, first_admin, sign_in
from harness.server import problem
from harness.wire import Wire


@pytest.fixture(scope="module")
def people(module_folder):
	"""(server, ann, bob); what others left in it does not matter."""
	from harness.server import Server
	s = Server(module_folder / "people")
	first_admin(s)
	with s:
		admin = sign_in(s, ADMIN)
		yield s, add_user(admin, "ann@example.org"), add_user(admin, "bob@example.org")


def make(person, method="PUT", **members):
	r = person.post("/v1/links", json={"method": method, **members})
	assert r.status_code == 201, r.text
	return r.json()


def put(link, body=b"bytes", **headers):
	return requests.put(link["url"], data=body, headers=headers, timeout=60)


def test_a_file_stored_by_a_link_is_the_givers(people):
	s, ann, bob = people
	f = put(make(ann)).json()
	assert ann.get(f"/v1/files/{f['id']}").json()["owner"] == ann.id
	problem(bob.get(f"/v1/files/{f['id']}"), 404, "file_not_found")
	problem(s.get(f"/v1/files/{f['id']}"), 401, "unauthenticated")


def test_credentials_that_come_along_change_nothing(people):
	_, ann, bob = people
	for credentials in (f"Bearer {bob.token}", "Bearer nonsense", "Basic YTpi"):
		f = put(make(ann), Authorization=credentials).json()
		assert ann.get(f"/v1/files/{f['id']}").json()["owner"] == ann.id


def test_nobody_gives_away_what_is_anothers(people):
	_, ann, bob = people
	f = ann.upload()
	problem(bob.post("/v1/links", json={"method": "GET", "file": f["id"]}), 404, "file_not_found")
	assert requests.get(make(ann, "GET", file=f["id"])["url"], timeout=60).content == b"bytes"


def test_without_credentials_there_are_no_links(people):
	problem(people[0].post("/v1/links", json={"method": "PUT"}), 401, "unauthenticated")


def test_a_key_gives_away_only_what_it_may_itself(people):
	_, ann, _ = people
	f = ann.upload()
	get, up = {"method": "GET", "file": f["id"]}, {"method": "PUT"}
	for scopes, members, status in ((["files:read"], get, 201), (["files:read"], up, 403), (["files:write"], up, 201), (["files:write"], get, 403),
					(["jobs:read", "jobs:write"], get, 403), (["jobs:read", "jobs:write"], up, 403)):
		r = ann.key(scopes).post("/v1/links", json=members)
		assert r.status_code == status, (scopes, members, r.text)
		if status == 403:
			problem(r, 403, "forbidden")


def test_a_link_ends_with_its_key(people):
	s, ann, _ = people
	f = ann.upload()
	key = ann.key(["files:read", "files:write"], name="for links")
	links = [make(key, single_use=False), make(key, "GET", file=f["id"])]
	assert put(links[0]).status_code == 201 and requests.get(links[1]["url"], timeout=60).status_code == 200
	keys = [k["id"] for k in ann.get("/v1/keys").json()["keys"] if k["name"] == "for links"]
	assert ann.delete(f"/v1/keys/{keys[0]}").status_code == 204
	problem(put(links[0]), 403, "link_invalid")
	problem(requests.get(links[1]["url"], timeout=60), 403, "link_invalid")


def test_a_link_ends_with_its_makers_password(people):
	s, ann, bob = people
	link = make(bob, single_use=False)
	others = make(ann, single_use=False)
	assert put(link).status_code == 201
	new = PASSWORD + ", and new"
	assert bob.post("/v1/users/me/password", json={"old_password": PASSWORD, "password": new}).status_code == 204
	problem(put(link), 403, "link_invalid")
	assert put(others).status_code == 201
	again = sign_in(s, "bob@example.org", new)
	assert put(make(again)).status_code == 201
	assert isinstance(again, Person)


@pytest.mark.parametrize("anonymous", ["false", "true"])
def test_what_nobody_in_particular_made_ends_where_nobody_may_come_without_credentials(make_server, anonymous):
	s = make_server(settings={"auth.anonymous": anonymous})
	link = s.post("/v1/links", json={"method": "PUT", "single_use": False}).json()
	assert put(link).status_code == 201
	s.stop()
	first_admin(s)
	s.start()
	link["url"] = s.base + link["url"][link["url"].index("/v1/links/"):]
	if anonymous == "true":
		assert put(link).status_code == 201
	else:
		problem(put(link), 403, "link_invalid")


def test_an_upload_by_a_link_counts_among_its_accounts(make_server):
	s = make_server(start=False, settings={"limits.uploads_per_account": "1", "limits.exempt": ""})
	first_admin(s)
	admin = sign_in(s.start(), ADMIN)
	link = make(admin, single_use=False)
	assert put(link).status_code == 201 and put(link).status_code == 201
	target = link["url"][link["url"].index("/v1/links/"):]
	with Wire(s, 60) as w:
		w.send(f"PUT {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n".encode())
		assert w.read(interim=True).status_code == 100
		problem(admin.post("/v1/files", data=b"x", headers={"Content-Type": "application/octet-stream"}), 429, "rate_limited")
		problem(put(link), 429, "rate_limited")
		w.send(b"body")
		assert w.read().status_code == 201
	admin.upload()
