"""The surface instashare: accounts, files of an owner, archives, signed addresses; letter for letter (SURFACES.md, section 3)."""
import io
import json
import os
import re
import subprocess
import threading
import zipfile

import pytest
import requests

from harness import auditlog
from harness.examples import play_page
from harness.people import PASSWORD, Person
from harness.server import REPOSITORY, Server, eventually, problem
from harness.wire import Wire

UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
UNKNOWN = "019a2c5e-7b31-7c44-9d10-5f3a8e6b2c01"


@pytest.fixture(scope="module")
def server(module_folder):
	with Server(module_folder / "shares", surfaces=["instashare"]) as s:
		register(s, "first@example.org") # from the first account on nobody is served without one
		yield s


@pytest.fixture(scope="module")
def ann(server):
	return newcomer(server, "ann@example.org")


@pytest.fixture(scope="module")
def bob(server):
	return newcomer(server, "bob@example.org")


def register(server, email, password=PASSWORD, **more):
	r = server.post("/users/register", json={"email": email, "password": password, **more})
	assert r.status_code == 201, r.text
	return r.json()


def login(server, email, password=PASSWORD):
	return server.post("/users/login", json={"email": email, "password": password})


def newcomer(server, email):
	register(server, email)
	r = login(server, email)
	assert r.status_code == 200, r.text
	return Person(server, r.json()["token"], email)


def send(person, *parts, path="/upload_files", **more):
	"""parts: (name of the part, name of the file, bytes)."""
	return person.post(path, files=[(part, (name, body)) for part, name, body in parts], **more)


def stored(person, name, body):
	r = send(person, ("file", name, body))
	assert r.status_code == 201, r.text
	return r.json()[0]["id"]


def listed(person):
	r = person.get("/files?limit=200")
	assert r.status_code == 200, r.text
	return r.json()["files"]


def archive(person, n):
	"""What a client does: asks until the archive is there."""
	def ready():
		r = person.get(f"/files/{n}/download")
		if r.status_code == 409:
			assert r.json()["code"] == "job_state"
			return None
		assert r.status_code == 200, r.text
		return r
	found = []
	eventually(lambda: (r := ready()) is not None and not found.append(r))
	return found[0]


def entries(r):
	with zipfile.ZipFile(io.BytesIO(r.content)) as z:
		assert z.testzip() is None
		return {i.filename: z.read(i) for i in z.infolist()}


# ---- accounts ----

@pytest.mark.parametrize("slash", ["", "/"])
def test_an_account_is_made_and_signs_in(server, slash):
	email = f"New{len(slash)}@Example.org"
	r = server.post("/users/register" + slash, json={"email": email, "password": PASSWORD, "name": "Someone New"})
	assert r.status_code == 201 and list(r.json()) == ["id", "email", "name", "created_at"], r.text
	assert re.fullmatch(UUID, r.json()["id"]) and r.json()["email"] == email.lower() and r.json()["name"] == "Someone New"
	assert PASSWORD not in r.text and "argon2" not in r.text
	r = server.post("/users/login" + slash, json={"email": email, "password": PASSWORD})
	assert r.status_code == 200 and list(r.json()) == ["token", "token_type", "expires_at"], r.text
	assert r.json()["token_type"] == "bearer" and re.fullmatch(TIME, r.json()["expires_at"]) and r.headers["Cache-Control"] == "no-store"
	person = Person(server, r.json()["token"])
	assert listed(person) == []
	assert person.get("/v1/users/me").json()["role"] == "user"


def test_an_email_is_registered_once_also_by_two_at_the_same_instant(server):
	problem(server.post("/users/register", json={"email": "FIRST@example.org", "password": PASSWORD}), 409, "email_taken")
	codes = []
	tries = [threading.Thread(target=lambda: codes.append(server.post("/users/register", json={"email": "race@example.org", "password": PASSWORD}).status_code))
		for _ in range(4)]
	for t in tries:
		t.start()
	for t in tries:
		t.join()
	assert sorted(codes) == [201, 409, 409, 409]


@pytest.mark.parametrize("body, fields", [
	({}, ["email", "password"]),
	({"email": "nobody", "password": "short", "name": "a\nb"}, ["email", "password", "name"]),
	({"email": 5, "password": None, "name": []}, ["email", "password", "name"]),
	({"email": "x@example.org", "password": "123456789"}, ["password"]),
	({"email": "x@example.org", "password": "x" * 1025}, ["password"]),
	({"email": "x@example.org", "password": PASSWORD, "name": "x" * 256}, ["name"]),
	({"email": "a" * 65 + "@example.org", "password": PASSWORD}, ["email"]),
	({"email": "x@example.org", "password": PASSWORD, "role": "admin", "id": 1}, ["role", "id"]),
])
def test_each_invalid_field_of_a_registration_is_named(server, body, fields):
	r = server.post("/users/register", json=body)
	problem(r, 422, "invalid_value")
	assert [e["field"] for e in r.json()["errors"]] == fields
	assert all(set(e) == {"field", "code", "detail"} and e["detail"] for e in r.json()["errors"])
	assert login(server, "x@example.org").status_code == 401


def test_thousands_of_wrong_members_are_not_answered_with_thousands_of_lines(server):
	r = server.post("/users/register", json={f"m{i}": 0 for i in range(50_000)})
	problem(r, 422, "invalid_value")
	assert [e["field"] for e in r.json()["errors"]][:3] == ["email", "password", "m0"] and len(r.json()["errors"]) == 16


def test_an_unknown_email_and_a_wrong_password_are_answered_alike(server):
	unknown, wrong = login(server, "nobody@example.org"), login(server, "first@example.org", "not this password")
	assert unknown.status_code == wrong.status_code == 401 and unknown.text == wrong.text
	problem(unknown, 401, "bad_credentials")
	assert unknown.headers.get("WWW-Authenticate") == wrong.headers.get("WWW-Authenticate")
	r = server.post("/users/login", json={"email": "first@example.org"})
	problem(r, 422, "invalid_value")
	assert [e["field"] for e in r.json()["errors"]] == ["password"]


def test_nothing_is_served_without_a_token(server, ann):
	n = stored(ann, "a.txt", b"mine")
	for method, path in (("GET", "/files"), ("POST", "/upload_files"), ("PATCH", f"/files/{n}"), ("DELETE", f"/files/{n}"), ("GET", f"/files/{n}/download"),
			("POST", "/upload_urls"), ("POST", f"/upload_urls/{UNKNOWN}/complete")):
		problem(server.request(method, path), 401, "unauthenticated")
		problem(server.request(method, path, headers={"Authorization": "Bearer fms_" + "A" * 43}), 401, "bad_credentials")


# ---- files ----

@pytest.mark.parametrize("slash", ["", "/"])
def test_a_file_is_sent_listed_and_fetched_as_an_archive(server, ann, slash):
	r = send(ann, ("anything", "notes.txt", b"some notes"), path="/upload_files" + slash)
	assert r.status_code == 201, r.text
	assert len(r.json()) == 1 and list(r.json()[0].items())[1:] == [("name", "notes.txt"), ("size", 10), ("status", "queued")]
	n = r.json()[0]["id"]
	assert re.fullmatch(UUID, n)
	assert entries(archive(ann, n)) == {"notes.txt": b"some notes"}
	r = ann.get(f"/files/{n}/download{slash}")
	assert r.headers["Content-Type"] == "application/zip" and 'filename="notes.txt.zip"' in r.headers["Content-Disposition"]
	newest = ann.get("/files" + slash).json()["files"][0]
	assert list(newest) == ["id", "name", "size", "status", "created_at"]
	assert newest["id"] == n and newest["status"] == "succeeded" and re.fullmatch(TIME, newest["created_at"])


def test_the_list_is_paged_and_newest_first(server):
	person = newcomer(server, "pages@example.org")
	sent = [stored(person, f"{i}.txt", b"x") for i in range(5)]
	seen, cursor = [], ""
	for expected in (2, 2, 1):
		r = person.get("/files?limit=2" + (f"&cursor={cursor}" if cursor else ""))
		assert r.status_code == 200 and list(r.json()) == ["files", "next"] and len(r.json()["files"]) == expected
		seen += [f["id"] for f in r.json()["files"]]
		cursor = r.json()["next"]
	assert seen == sent[::-1] and cursor is None
	problem(person.get("/files?limit=0"), 400, "bad_parameter")
	problem(person.get("/files?cursor=AAAA"), 400, "bad_cursor")


def test_a_file_is_renamed_and_its_archive_is_called_like_it(ann):
	n = stored(ann, "before.txt", b"bytes")
	archive(ann, n)
	r = ann.request("PATCH", f"/files/{n}", json={"name": "after.txt"})
	assert r.status_code == 200 and list(r.json()) == ["id", "name", "size", "status", "created_at"] and r.json()["name"] == "after.txt"
	assert 'filename="after.txt.zip"' in archive(ann, n).headers["Content-Disposition"]
	for body, status in (({}, 422), ({"name": 5}, 422), ({"name": "a\u0000b"}, 400), ({"name": "x" * 256}, 400), ({"name": "a", "size": 1}, 400)):
		assert ann.request("PATCH", f"/files/{n}", json=body).status_code == status, body
	assert listed(ann)[0]["name"] == "after.txt"


def test_a_deleted_file_is_gone(ann):
	n = stored(ann, "going.txt", b"bytes")
	archive(ann, n)
	r = ann.delete(f"/files/{n}")
	assert r.status_code == 204 and r.content == b""
	assert n not in [f["id"] for f in listed(ann)]
	for r in (ann.get(f"/files/{n}/download"), ann.delete(f"/files/{n}"), ann.request("PATCH", f"/files/{n}", json={"name": "x"})):
		problem(r, 410, "file_gone")


def test_what_is_anothers_is_not_there(ann, bob):
	n = stored(ann, "mine.txt", b"mine")
	archive(ann, n)
	for id in (n, UNKNOWN):
		for r in (bob.get(f"/files/{id}/download"), bob.delete(f"/files/{id}"), bob.request("PATCH", f"/files/{id}", json={"name": "his"})):
			problem(r, 404, "file_not_found")
	assert n not in [f["id"] for f in listed(bob)]
	assert listed(ann)[0]["name"] == "mine.txt"
	problem(ann.get("/files/7/download"), 400, "bad_id")


def test_a_file_of_another_door_has_no_archive(ann):
	n = ann.upload()["id"]
	assert {f["id"]: f["status"] for f in listed(ann)}[n] is None
	problem(ann.get(f"/files/{n}/download"), 404, "output_not_found")


# ---- signed addresses ----

def url_for(person, name="report.txt", size=6, type="text/plain"):
	r = person.post("/upload_urls", json={"name": name, "size": size, "type": type})
	assert r.status_code == 201 and list(r.json()) == ["id", "url", "method", "headers", "expires_at"], r.text
	return r.json()


def put(url, body, **headers):
	return requests.request(url["method"], url["url"], data=body, headers={**url["headers"], **headers}, timeout=60)


def complete(person, n, slash=""):
	return person.post(f"/upload_urls/{n}/complete{slash}")


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_file_is_sent_to_a_signed_address(ann, slash):
	r = ann.post("/upload_urls" + slash, json={"name": "report.txt", "size": 6, "type": "text/plain"})
	url = r.json()
	assert r.status_code == 201 and url["method"] == "PUT" and url["headers"] == {"Content-Type": "text/plain"} and re.fullmatch(UUID, url["id"])
	problem(complete(ann, url["id"], slash), 404, "file_not_found")
	assert put(url, b"report").status_code == 201
	r = complete(ann, url["id"], slash)
	assert r.status_code == 200 and list(r.json()) == ["id", "name", "size", "status"], r.text
	assert r.json()["name"] == "report.txt" and r.json()["size"] == 6 and r.json()["id"] != url["id"]
	assert entries(archive(ann, r.json()["id"])) == {"report.txt": b"report"}
	assert complete(ann, url["id"], slash).json()["id"] == r.json()["id"]


def test_size_and_type_are_bound(ann):
	before = len(listed(ann))
	for body, headers, status in ((b"repor", {}, 400), (b"reports", {}, 413), (b"", {}, 400), (b"\x89PNG\r\n\x1a\n"[:6], {}, 415),
			(b"report", {"Content-Type": "image/png"}, 415), (b"report", {"Content-Disposition": "attachment; filename=x"}, 403)):
		url = url_for(ann)
		r = put(url, body, **headers)
		assert r.status_code == status, (body, headers, r.status_code, r.text)
		problem(complete(ann, url["id"]), 404, "file_not_found")
	assert len(listed(ann)) == before


def test_a_size_is_bound_also_when_it_is_not_announced(ann):
	for size, status in ((100_000, 201), (99_999, 400), (100_001, 413)):
		url = url_for(ann, size=100_000)
		pieces = (b"x" * min(1000, size - i) for i in range(0, size, 1000))
		assert put(url, pieces).status_code == status, size


def test_an_address_is_for_one_use(ann):
	url = url_for(ann)
	assert put(url, b"report").status_code == 201
	problem(put(url, b"report"), 410, "used")


def test_an_address_is_not_turned_into_another(ann):
	url = url_for(ann)
	for changed in (url["url"].replace("PUT", "GET") + "&size=9", url["url"][:-1] + ("A" if url["url"][-1] != "A" else "B"), url["url"].replace(url["id"], UNKNOWN)):
		assert put({**url, "url": changed}, b"report").status_code in (400, 403), changed
	assert put(url, b"report").status_code == 201


def test_what_came_by_anothers_address_is_not_there(ann, bob):
	url = url_for(ann)
	assert put(url, b"report").status_code == 201
	for n in (url["id"], UNKNOWN, "00000000-0000-7000-8000-000000000000"):
		problem(complete(bob, n), 404, "file_not_found")
	problem(complete(bob, "7"), 400, "bad_id")


@pytest.mark.parametrize("body, status, field", [
	({"size": 1, "type": "text/plain"}, 422, "name"), ({"name": "a", "type": "text/plain"}, 422, "size"), ({"name": "a", "size": 1}, 422, "type"),
	({"name": "a", "size": 0, "type": "text/plain"}, 422, "size"), ({"name": "a", "size": -1, "type": "text/plain"}, 422, "size"),
	({"name": "a", "size": "1", "type": "text/plain"}, 422, "size"), ({"name": "a", "size": 2**62, "type": "text/plain"}, 422, "size"),
	({"name": "a", "size": 1, "type": "text"}, 422, "type"), ({"name": "a", "size": 1, "type": "text/plain; charset=x"}, 422, "type"),
	({"name": "a\n", "size": 1, "type": "text/plain"}, 400, "name"), ({"name": "a", "size": 1, "type": "text/plain", "ops": "md5"}, 400, "ops"),
])
def test_an_address_is_asked_for_rightly(ann, body, status, field):
	assert problem(ann.post("/upload_urls", json=body), status)["field"] == field


def test_an_owner_is_the_prefix_of_what_is_stored(server, ann):
	who = ann.get("/v1/users/me").json()["id"]
	n = stored(ann, "large.bin", os.urandom(1 << 20))
	keys = [key for key in server.stored() if n in key.rpartition("/")[2]]
	assert keys and all(who in key.split("/")[:-1] for key in keys), keys


# ---- several files at once ----

def test_several_files_are_stored_in_their_order(server, ann):
	sizes = [10, 0, 300_000, 1, 3_000_000, 70_000]
	bodies = [os.urandom(n) for n in sizes]
	parts = [(f"part{i % 2}", f"{i}.bin", body) for i, body in enumerate(bodies)]
	r = send(ann, *parts, data={"comment": "no file"})
	assert r.status_code == 201, r.text
	assert [(f["name"], f["size"], f["status"]) for f in r.json()] == [(f"{i}.bin", n, "queued") for i, n in enumerate(sizes)]
	assert [f["id"] for f in listed(ann)[:len(sizes)]] == [f["id"] for f in r.json()][::-1]
	for f, body in zip(r.json(), bodies):
		assert ann.get(f"/v1/files/{f['id']}/content").content == body
		assert entries(archive(ann, f["id"])) == {f["name"]: body}


def test_a_form_without_a_file_is_refused(ann):
	before = len(listed(ann))
	for r in (ann.post("/upload_files", data={"a": "b"}), ann.post("/upload_files", data=b"x", headers={"Content-Type": "text/plain"}), ann.post("/upload_files"),
			ann.post("/upload_files", data={"a": "b"}, files={"file": ("", b"")})):
		assert r.status_code == 400, r.text
	unchosen = b'--AaB\r\nContent-Disposition: form-data; name="a"; filename=""\r\n\r\n\r\n--AaB--\r\n'
	problem(ann.post("/upload_files", data=unchosen, headers={"Content-Type": "multipart/form-data; boundary=AaB"}), 400, "file_missing")
	assert len(listed(ann)) == before


def nothing_is_left(server, person, before):
	assert listed(person) == before[0]
	eventually(lambda: set(server.blobs()) <= before[1])


def what_is_there(server, person):
	"""Of a server that nobody else uses: an archive of somebody else's file would come when it is made."""
	for f in listed(person):
		archive(person, f["id"])
	return listed(person), set(server.blobs())


def test_where_one_file_is_refused_none_is_kept(make_server):
	server = make_server(surfaces=["instashare"])
	person = newcomer(server, "none@example.org")
	stored(person, "there.txt", b"already")
	before = what_is_there(server, person)
	good = [("a", "a.bin", os.urandom(500_000)), ("b", "b.txt", b"small")]
	body, kind = requests.models.RequestEncodingMixin._encode_files([(n, (f, b)) for n, f, b in good], {})
	bad_name = body[:body.rindex(b"--", 0, len(body) - 4)] # without its last line
	bad_name = bad_name[:bad_name.rindex(b"\r\n") + 2] if not bad_name.endswith(b"\r\n") else bad_name
	bad_name += b"--" + kind.split("=")[1].encode() + b'\r\nContent-Disposition: form-data; name="c"; filename="x\x01y"\r\n\r\nz\r\n'
	for spoilt in (bad_name, body[:-20], body[:300_000]):
		r = person.post("/upload_files", data=spoilt, headers={"Content-Type": kind})
		assert r.status_code == 400, r.text
		nothing_is_left(server, person, before)
	assert send(person, *good).status_code == 201


def test_a_client_that_goes_away_leaves_nothing(make_server):
	server = make_server(surfaces=["instashare"])
	person = newcomer(server, "away@example.org")
	before = what_is_there(server, person)
	body, kind = requests.models.RequestEncodingMixin._encode_files([(f"p{i}", (f"{i}.bin", os.urandom(400_000))) for i in range(4)], {})
	with Wire(server) as w:
		w.send(b"POST /upload_files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n"
			% (person.token.encode(), kind.encode(), len(body)))
		w.send(body[:1_300_000])
	nothing_is_left(server, person, before)


def test_quotas_hold_for_all_files_of_a_form(module_folder):
	with Server(module_folder / "quotas", surfaces=["instashare"], settings={"quotas.files": "3"}) as s:
		person = newcomer(s, "few@example.org")
		four = [(f"p{i}", f"{i}.bin", os.urandom(200_000)) for i in range(4)]
		problem(send(person, *four), 403, "quota_exceeded")
		assert listed(person) == []
		eventually(lambda: not s.blobs())
		assert send(person, *four[:3]).status_code == 201
		problem(send(person, four[3]), 403, "quota_exceeded")


def test_files_stored_together_are_one_entry_of_the_audit_log(module_folder):
	with Server(module_folder / "audit", surfaces=["instashare"], settings={"audit.uploads": "true"}) as s:
		person = newcomer(s, "audit@example.org")
		ids = [f["id"] for f in send(person, ("a", "a", b"1"), ("b", "b", b"22"), ("c", "c", os.urandom(100_000))).json()]
		auditlog.settled(s)
		entry, = auditlog.acts(s.data, "file.stored")
		assert entry["files"].split() == ids and entry["size"] == 100_003 and person.get("/v1/users/me").json()["id"] in json.dumps(entry), entry


def test_as_many_files_as_allowed_and_not_one_more(ann):
	parts = [("f", f"{i}.txt", b"x") for i in range(66)]
	before = len(listed(ann))
	problem(send(ann, *parts), 413, "too_large")
	assert len(listed(ann)) == before
	r = send(ann, *parts[:65])
	assert r.status_code == 201 and len(r.json()) == 65


def test_what_was_acknowledged_together_outlives_a_kill_together(module_folder):
	with Server(module_folder / "kill", surfaces=["instashare"]) as s:
		person = newcomer(s, "kill@example.org")
		groups = []

		def work():
			while True:
				try:
					r = send(person, *[("f", f"{len(groups)}-{i}.bin", os.urandom(n)) for i, n in enumerate((10, 100_000, 300_000))])
				except requests.RequestException:
					return
				if r.status_code == 201:
					groups.append([f["id"] for f in r.json()])
		t = threading.Thread(target=work)
		t.start()
		eventually(lambda: len(groups) >= 5)
		s.kill()
		t.join()
		s.start()
		there, cursor = [], ""
		while cursor is not None:
			page = person.get("/files?limit=200" + (f"&cursor={cursor}" if cursor else "")).json()
			there, cursor = there + page["files"], page["next"]
		assert {n for g in groups for n in g} <= {f["id"] for f in there}
		assert len(there) % 3 == 0, "a form was stored in part"


# ---- as people use it ----

def curl(*args):
	r = subprocess.run(["curl", "--silent", "--show-error", "--fail-with-body", "--max-time", "30", *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
	assert r.returncode == 0, (args, r.stdout, r.stderr)
	return r.stdout


def test_curl_does_it_all(server, tmp_path):
	base, json_type = server.base, "Content-Type: application/json"
	(tmp_path / "notes.txt").write_bytes(b"some notes")
	(tmp_path / "more.bin").write_bytes(bytes(100_000))
	who = json.dumps({"email": "curl@example.org", "password": PASSWORD})
	assert json.loads(curl("-H", json_type, "-d", who, base + "/users/register"))["email"] == "curl@example.org"
	bearer = "Authorization: Bearer " + json.loads(curl("-H", json_type, "-d", who, base + "/users/login"))["token"]
	sent = json.loads(curl("-H", bearer, "-F", f"one=@{tmp_path}/notes.txt", "-F", f"two=@{tmp_path}/more.bin", base + "/upload_files"))
	assert [f["name"] for f in sent] == ["notes.txt", "more.bin"]
	archive(Person(server, bearer.split()[-1]), sent[0]["id"])
	curl("-H", bearer, "-o", str(tmp_path / "out.zip"), f"{base}/files/{sent[0]['id']}/download")
	with zipfile.ZipFile(tmp_path / "out.zip") as z:
		assert z.read("notes.txt") == b"some notes"
	url = json.loads(curl("-H", bearer, "-H", json_type, "-d", '{"name":"n.txt","size":10,"type":"text/plain"}', base + "/upload_urls"))
	curl("-T", str(tmp_path / "notes.txt"), "-H", "Content-Type: text/plain", url["url"])
	assert json.loads(curl("-X", "POST", "-H", bearer, f"{base}/upload_urls/{url['id']}/complete"))["name"] == "n.txt"
	assert len(json.loads(curl("-H", bearer, base + "/files"))["files"]) == 3


def test_the_example_does_what_its_page_says(tmp_path):
	with Server(tmp_path / "example", args=["-c", str(REPOSITORY / "examples/instashare/filemill.yaml")]) as s:
		play_page("instashare", s, work := tmp_path / "work")
	with zipfile.ZipFile(work / "notes.txt.zip") as z:
		assert z.read("notes.txt") == b"some notes\n"
