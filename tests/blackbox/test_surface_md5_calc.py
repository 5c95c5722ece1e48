"""The surface md5-calc: paths, keys and texts letter for letter (SURFACES.md, section 1)."""
import re
import uuid

import pytest

from harness.data import md5, random_bytes
from harness.html import Page, submit_lookup, submit_upload
from harness.server import REPOSITORY, Server, eventually


@pytest.fixture(scope="module")
def server(module_folder):
	with Server(module_folder / "md5", surfaces=["md5-calc"]) as s:
		yield s


def send(server, data, path="/uploadfile/", **fields):
	return server.post(path, files={"file": ("f.bin", data)}, data=fields)


@pytest.mark.parametrize("path", ["/uploadfile/", "/uploadfile"])
@pytest.mark.parametrize("size", [0, 10, 100_000, 2_000_000])
def test_upload_and_fetch(server, path, size):
	data = random_bytes(size, size)
	r = send(server, data, path)
	assert r.status_code == 200, r.text
	answer = r.json()
	assert set(answer) == {"success", "id", "celery_status", "celery_id"}
	assert answer["success"] is True and isinstance(answer["id"], int) and answer["id"] >= 1
	assert answer["celery_status"] in ("PENDING", "SUCCESS") and uuid.UUID(answer["celery_id"])
	n = answer["id"]
	for where in (f"/gethash/{n}", f"/get_hash/{n}", f"/gethash/?file_id={n}", f"/gethash?file_id={n}", f"/gethash/{n}/", f"/get_hash/{n}/"):
		eventually(lambda: server.get(where).json()["status"] != "PENDING")
		r = server.get(where)
		assert r.status_code == 200 and r.json() == {"status": "SUCCESS", "hash": md5(data)}, where


def test_the_ids_count_up(server):
	ids = [send(server, b"x").json()["id"] for _ in range(5)]
	assert ids == list(range(ids[0], ids[0] + 5))


def test_other_fields_are_ignored(server):
	r = send(server, b"y", token="abc", ops="nonsense", labels="???")
	assert r.status_code == 200 and r.json()["success"] is True


@pytest.mark.parametrize("n", [0, -1, 999_999_999, 9223372036854775807, -9223372036854775808])
def test_an_id_never_issued(server, n):
	for where in (f"/gethash/{n}", f"/get_hash/{n}", f"/gethash/?file_id={n}"):
		r = server.get(where)
		assert r.status_code == 200 and r.json() == {"status": "INVALID_ID", "hash": None}, where


@pytest.mark.parametrize("path", ["/gethash/abc", "/get_hash/abc", "/gethash/1.5", "/gethash/?file_id=abc", "/gethash/?file_id=", "/gethash/", "/gethash/7x", "/gethash/0x10",
	"/gethash/%20", "/gethash/99999999999999999999999"])
def test_an_id_that_is_no_whole_number(server, path):
	r = server.get(path)
	if "999" in path:
		assert r.status_code in (200, 422)
		return
	assert_422(r)


def assert_422(r):
	assert r.status_code == 422, r.text
	assert r.headers["Content-Type"].split(";")[0] == "application/json"
	body = r.json()
	assert set(body) == {"detail"} and len(body["detail"]) >= 1
	for item in body["detail"]:
		assert isinstance(item["loc"], list) and item["loc"] and isinstance(item["msg"], str) and item["msg"] and isinstance(item["type"], str) and item["type"]


def test_unknown_parameters_are_ignored_as_the_original_did(server):
	number = send(server, b"with a parameter").json()["id"]
	for path in (f"/gethash/{number}?utm=1&utm=2", f"/gethash/?file_id={number}&x"):
		answer = server.get(path)
		assert answer.status_code == 200 and answer.json()["status"] == "SUCCESS"


def test_a_missing_file_part(server):
	before = server.newest_number()
	r = server.post("/uploadfile/", files={"other": ("a", b"x")})
	assert_422(r)
	assert r.json()["detail"][0]["loc"] == ["body", "file"]
	assert_422(server.post("/uploadfile/", data={"file": "text, not a file"}))
	assert_422(server.post("/uploadfile/"))
	assert server.newest_number() == before


def test_a_deleted_file_is_no_success(server):
	n = send(server, b"to be deleted").json()["id"]
	f = server.get("/v1/files?limit=1").json()["files"][0]
	assert f["number"] == n
	server.delete(f"/v1/files/{f['id']}")
	assert server.get(f"/gethash/{n}").json()["status"] in ("INVALID_ID", "FAILURE")


def test_when_it_cannot_be_stored(make_server):
	s = make_server(surfaces=["md5-calc"], settings={"files.max_size": "10KiB"})
	r = send(s, b"x" * 20_000)
	assert r.json() == {"success": False, "id": None, "celery_status": None, "celery_id": None}, r.text


def test_the_root_has_a_message(server):
	r = server.get("/")
	assert r.status_code == 200 and r.headers["Content-Type"].split(";")[0] == "application/json" and isinstance(r.json()["message"], str)


@pytest.mark.parametrize("path", ["/uploadform/", "/uploadform"])
def test_the_form_without_script(server, path):
	r = server.get(path)
	assert r.status_code == 200 and r.headers["Content-Type"].startswith("text/html")
	page = Page(r.text)
	form = page.upload_form()
	assert form.names("file") == ["file"] and form.action.rstrip("/") == "/uploadfile-html" and form.enctype == "multipart/form-data"
	data = random_bytes(500, 8)
	r = submit_upload(server, path, form, "<b>x</b>.txt", data)
	assert r.status_code == 200 and r.headers["Content-Type"].startswith("text/html")
	n = server.newest_number()
	assert re.search(rf"\b{n}\b", Page(r.text).text) and "<b>x</b>" not in r.text
	r = submit_lookup(server, path, page.lookup_form(), str(n))
	assert md5(data) in Page(r.text).text


def test_the_look_up_page(server):
	n = send(server, b"look").json()["id"]
	for path in (f"/gethash-form/?file_id={n}", f"/gethash-form?file_id={n}"):
		r = server.get(path)
		assert r.status_code == 200 and r.headers["Content-Type"].startswith("text/html") and md5(b"look") in Page(r.text).text
	for bad in ("0", "-1", "999999"):
		r = server.get(f"/gethash-form/?file_id={bad}")
		assert r.headers["Content-Type"].startswith("text/html") and md5(b"look") not in r.text
	r = server.get("/gethash-form/?file_id=<script>alert(1)</script>")
	assert "<script>alert" not in r.text


def test_the_interactive_page(server):
	for path in ("/docs", "/docs/"):
		r = server.get(path)
		assert r.status_code == 200 and r.headers["Content-Type"].startswith("text/html")


def test_no_call_clears_the_database(server):
	for path in ("/clear", "/cleardb", "/clear_db/", "/deleteall"):
		assert server.get(path).status_code == 404


def test_ids_and_hashes_survive_a_restart(make_server):
	s = make_server(surfaces=["md5-calc"])
	ids = {send(s, b"%d" % i).json()["id"]: md5(b"%d" % i) for i in range(10)}
	s.restart()
	for n, value in ids.items():
		assert s.get(f"/gethash/{n}").json() == {"status": "SUCCESS", "hash": value}
	assert send(s, b"new").json()["id"] == max(ids) + 1
	s.kill()
	s.start()
	for n, value in ids.items():
		assert s.get(f"/gethash/{n}").json() == {"status": "SUCCESS", "hash": value}


def test_it_is_off_by_default(make_server):
	s = make_server()
	assert s.get("/gethash/1").status_code == 404
	assert s.post("/uploadfile/", files={"file": ("a", b"x")}).status_code == 404
	assert not s.all_files()


def test_the_example_is_a_configuration(folder):
	from harness.server import run
	example = REPOSITORY / "examples/md5-calc/filemill.yaml"
	r = run("check-config", "-c", example)
	assert r.returncode == 0, r.stdout + r.stderr
	assert "8000" in example.read_text()
