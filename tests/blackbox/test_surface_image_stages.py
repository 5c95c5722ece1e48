"""The surface image-stages: letter for letter, and an id that is known at every instant (SURFACES.md, section 5)."""
import re
import threading
import time
from datetime import datetime, timezone

import pytest
import requests

from harness.images import exif, jpeg_size, jpeg_with_exif, png, png_pixels, png_size
from harness.server import REPOSITORY, Server, eventually, run

STAGES = ["STAGING STAGE", "PROCESSING STAGE", "COMPLETION STAGE"]
UNKNOWN = "20190831130211396194"
WRONG_TYPE = {"result": "Files other than jpg,jpeg and png are not allowed"}
MISSING = {"result": "file key not found in request"}
EMPTY = {"result": "Empty file received"}


@pytest.fixture(scope="module")
def server(module_folder):
	with Server(module_folder / "images", surfaces=["image-stages"]) as s:
		yield s


@pytest.fixture(scope="module")
def photo(server):
	"""A JPEG, 60 × 40, left half red and right half blue: made from a PNG by the op itself."""
	return as_jpeg(server, png(60, 40, lambda x, y: (230, 10, 10) if x < 30 else (10, 10, 230)))


def made_by(server, body, ops):
	f = server.upload(body, query=f"ops={ops}&wait=60")
	job = f["jobs"][-1]
	assert job["state"] == "succeeded", job
	return server.get(job["outputs"][0]["href"]).content


def as_jpeg(server, body):
	return made_by(server, body, "resize;width=4000;height=4000;format=jpeg;quality=95")


def as_png(server, body):
	return made_by(server, body, "resize;width=4000;height=4000;format=png")


def send(server, body, name="photo.png", path="/uploadFile"):
	return requests.post(server.base + path, files={"file": (name, body)}, timeout=30)


def stored(server, body, name="photo.png"):
	r = send(server, body, name)
	assert r.status_code == 200, r.text
	return r.json()["file_id"]


def stage(server, n):
	r = server.get(f"/queryFileStatus/{n}")
	assert r.status_code == 200 and r.json()["file_id"] == n, r.text
	return r.json()["result"]


def complete(server, n):
	eventually(lambda: stage(server, n) == STAGES[2])


def thumbnail(server, n):
	complete(server, n)
	r = server.get(f"/thumbnail/{n}")
	assert r.status_code == 200 and r.headers["Content-Type"] == "image/jpeg", (r.status_code, r.headers, r.text[:200])
	return r.content


@pytest.mark.parametrize("slash", ["", "/"])
def test_an_image_is_sent_followed_and_its_thumbnail_fetched(server, slash):
	before = datetime.now(timezone.utc)
	r = send(server, png(800, 400), "Holiday.PNG", "/uploadFile" + slash)
	assert r.status_code == 200 and list(r.json()) == ["result", "file_id"], r.text
	assert r.json()["result"] == "File Uploaded successfully !!"
	n = r.json()["file_id"]
	assert re.fullmatch(r"[0-9]{20}", n)
	at = datetime.strptime(n, "%Y%m%d%H%M%S%f").replace(tzinfo=timezone.utc)
	assert -1 < (at - before).total_seconds() < 60
	complete(server, n)
	r = server.get(f"/queryFileStatus/{n}{slash}")
	assert r.text == '{"result":"COMPLETION STAGE","file_id":"%s"}' % n
	r = server.get(f"/thumbnail/{n}{slash}")
	assert r.status_code == 200 and r.headers["Content-Type"] == "image/jpeg" and jpeg_size(r.content) == (500, 250)
	assert r.headers["X-Content-Type-Options"] == "nosniff" and "sandbox" in r.headers["Content-Security-Policy"]


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.jpeg", "a.JPG", "a.b.JpEg", "dir/a.png", "ümläut 日本.png"])
def test_names_that_end_like_images_are_taken(server, name):
	assert send(server, png(4, 4), name).status_code == 200


@pytest.mark.parametrize("name", ["a.gif", "a.png.txt", "png", "a.", "a", "a.pngx", "a.svg", "a.jpe"])
def test_other_names_are_refused(server, name):
	before = server.newest_number()
	r = send(server, png(4, 4), name)
	assert r.status_code == 415 and r.json() == WRONG_TYPE, r.text
	assert server.newest_number() == before


@pytest.mark.parametrize("body", [b"%PDF-1.7\n", b"GIF89a" + bytes(50), b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"hello", b"\x89PNG\r\n", bytes(1000),
	b"PK\x03\x04" + bytes(100_000), b"RIFF\x10\0\0\0WEBPVP8 " + bytes(50)], ids=["pdf", "gif", "svg", "text", "half a signature", "zeros", "large zip", "webp"])
def test_bytes_in_disguise_are_refused(server, body):
	before = server.newest_number()
	r = send(server, body, "disguised.png")
	assert r.status_code == 415 and r.json() == WRONG_TYPE, r.text
	assert server.newest_number() == before


def test_a_missing_part_and_an_empty_file(server):
	for r in (server.post("/uploadFile", files={"other": ("a.png", b"x")}), server.post("/uploadFile", data={"file": "text"}), server.post("/uploadFile"),
			server.post("/uploadFile", files={"file": (None, png(4, 4))}), server.post("/uploadFile", data=png(4, 4), headers={"Content-Type": "image/png"})):
		assert r.status_code == 400 and r.json() == MISSING, r.text
	for name, body in (("a.png", b""), ("", png(4, 4)), ("", b""), ("a.txt", b"")):
		body = b'--AaB\r\nContent-Disposition: form-data; name="file"; filename="' + name.encode() + b'"\r\n\r\n' + body + b"\r\n--AaB--\r\n"
		r = server.post("/uploadFile", data=body, headers={"Content-Type": "multipart/form-data; boundary=AaB"})
		assert r.status_code == 400 and r.json() == EMPTY, (name, r.text)


def test_other_parts_of_the_form_do_not_matter(server):
	r = server.post("/uploadFile?whatever=1", files={"file": ("a.png", png(4, 4)), "more": ("b.txt", b"x")}, data={"ops": "nonsense", "token": "1"})
	assert r.status_code == 200, r.text
	n = r.json()["file_id"]
	assert jpeg_size(thumbnail(server, n)) == (4, 4)


@pytest.mark.parametrize("n", [UNKNOWN, "0", "-1", "abc", UNKNOWN[:19], UNKNOWN + "0", "20191331130211396194", "20190230130211396194", "20190831250211396194",
	"20190831130211396a94", "00000000000000000000", "99999999999999999999", "01890a5d-ac96-774b-bcce-b302099a8057"])
def test_an_id_never_issued(server, n):
	for path in (f"/queryFileStatus/{n}", f"/thumbnail/{n}", f"/queryFileStatus/{n}/", f"/thumbnail/{n}/"):
		r = server.get(path)
		assert r.status_code == 400 and r.json() == {"result": "ID NOT FOUND !!", "file_id": n}, (path, r.text)


def test_no_id(server):
	for path in ("/queryFileStatus", "/queryFileStatus/", "/thumbnail", "/thumbnail/"):
		r = server.get(path)
		assert r.status_code == 400 and r.json() == {"result": "File id is None !!"}, (path, r.text)


def test_the_heartbeat(server):
	for path in ("/heartbeat", "/heartbeat/"):
		r = server.get(path)
		assert r.status_code == 200 and r.text == '{"result":"beating"}'


@pytest.mark.parametrize("size,expected", [((1, 1), (1, 1)), ((499, 300), (499, 300)), ((500, 500), (500, 500)), ((501, 100), (500, 100)), ((100, 1000), (50, 500)), ((2000, 3), (500, 1))])
def test_it_fits_inside_and_is_never_enlarged(server, size, expected):
	assert jpeg_size(thumbnail(server, stored(server, png(*size, lambda x, y: (x % 256, y % 256, 0))))) == expected


# T.81 has no orientation; Exif 2.3 table 4: where row 0 and column 0 of the picture lie. Left is red, right is blue in the stored pixels.
UPRIGHT = {1: ("red left", (60, 40)), 2: ("blue left", (60, 40)), 3: ("blue left", (60, 40)), 4: ("red left", (60, 40)),
	5: ("red top", (40, 60)), 6: ("red top", (40, 60)), 7: ("blue top", (40, 60)), 8: ("blue top", (40, 60))}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_it_is_upright_by_its_exif_orientation_and_has_none_itself(server, photo, orientation):
	expected, size = UPRIGHT[orientation]
	small = thumbnail(server, stored(server, jpeg_with_exif(photo, orientation, b"a place to keep secret"), "turned.jpg"))
	assert jpeg_size(small) == size
	assert b"Exif" not in small and b"secret" not in small
	rows = png_pixels(as_png(server, small))
	first, last = rows[5][5], rows[-6][-6] if "top" in expected else rows[5][-6]
	red, blue = (first, last) if expected.startswith("red") else (last, first)
	assert red[0] > 150 > red[2] and blue[2] > 150 > blue[0], (expected, first, last)
	assert exif(1) not in small


@pytest.mark.parametrize("share", [0.3, 0.6, 0.97])
def test_an_image_that_is_cut_off_completes_and_says_why_there_is_no_thumbnail(server, share):
	whole = png(300, 300, lambda x, y: (x * y % 256, x * 31 % 256, y * 17 % 256))
	n = stored(server, whole[:int(len(whole) * share)])
	complete(server, n)
	r = server.get(f"/thumbnail/{n}")
	assert r.status_code == 422 and r.json() == {"result": "The file ends too early", "file_id": n}, r.text


def test_the_thumbnail_is_served_like_a_file(server):
	n = stored(server, png(600, 600))
	whole = thumbnail(server, n)
	r = server.get(f"/thumbnail/{n}", headers={"Range": "bytes=0-1"})
	assert r.status_code == 206 and r.content == whole[:2] == b"\xff\xd8"
	tag = server.head(f"/thumbnail/{n}").headers["ETag"]
	assert server.get(f"/thumbnail/{n}", headers={"If-None-Match": tag}).status_code == 304


def test_a_thumbnail_that_is_still_to_come_answers_with_the_stage(make_server):
	s = make_server(surfaces=["image-stages"], settings={"runner.wall_time": "60s"})
	n, seen = stored(s, png(2500, 2500, lambda x, y: (x % 256, y % 256, x * y % 256))), set()
	while stage(s, n) != STAGES[2]:
		r = s.get(f"/thumbnail/{n}")
		seen.add(r.status_code)
		if r.status_code == 409:
			assert r.json()["file_id"] == n and r.json()["result"] in STAGES[:2] and int(r.headers["Retry-After"]) >= 1
	assert seen <= {409, 200} and s.get(f"/thumbnail/{n}").status_code == 200


def test_there_is_no_instant_at_which_an_id_is_unknown(make_server):
	"""Pollers ask from the moment an id is issued to beyond the end of its work; stages only ever go forward."""
	s = make_server(surfaces=["image-stages"])
	issued, wrong, stop = [], [], threading.Event()
	pictures = [png(700 + i, 500, lambda x, y, i=i: (x % 256, (y + i) % 256, i)) for i in range(12)]

	def poll():
		with requests.Session() as session:
			at = {}
			while not stop.is_set():
				for n in list(issued):
					r = session.get(f"{s.base}/queryFileStatus/{n}")
					if r.status_code != 200 or r.json().get("result") not in STAGES:
						wrong.append((n, r.status_code, r.text))
						continue
					now = STAGES.index(r.json()["result"])
					if now < at.get(n, 0):
						wrong.append((n, STAGES[at[n]], STAGES[now]))
					at[n] = now

	pollers = [threading.Thread(target=poll) for _ in range(3)]
	[t.start() for t in pollers]
	try:
		for i in range(36):
			issued.append(stored(s, pictures[i % len(pictures)]))
		for n in issued:
			complete(s, n)
	finally:
		stop.set()
		[t.join() for t in pollers]
	assert not wrong, wrong[:5]
	assert len(set(issued)) == len(issued)


def test_ids_are_unique_when_many_come_at_once(make_server):
	s = make_server(surfaces=["image-stages"])
	body, ids = png(3, 3), []
	def many():
		with requests.Session() as session:
			for _ in range(50):
				ids.append(session.post(s.base + "/uploadFile", files={"file": ("a.png", body)}).json()["file_id"])
	threads = [threading.Thread(target=many) for _ in range(8)]
	[t.start() for t in threads]
	[t.join() for t in threads]
	assert len(ids) == len(set(ids)) == 400


def test_ids_and_thumbnails_survive_a_restart_and_a_crash(make_server):
	s = make_server(surfaces=["image-stages"])
	n = stored(s, png(640, 480))
	small = thumbnail(s, n)
	s.restart()
	assert stage(s, n) == STAGES[2] and thumbnail(s, n) == small
	m = stored(s, png(641, 480))
	s.kill()
	s.start()
	complete(s, m)
	assert jpeg_size(thumbnail(s, m)) == (500, 374)
	assert thumbnail(s, n) == small and stored(s, png(2, 2)) > m


def test_another_size_is_a_setting(make_server):
	s = make_server(surfaces=["image-stages"], settings={"surfaces.image_stages.size": "64x32"})
	assert jpeg_size(thumbnail(s, stored(s, png(640, 640)))) == (32, 32)
	for bad in ("64", "0x5", "5x0", "16385x1", "axb", "500x", "1x1x1", ""):
		r = run("check-config", settings={"surfaces.image_stages.size": bad})
		assert r.returncode == 78 and "image_stages.size" in r.stdout + r.stderr, (bad, r)


def test_a_deleted_image_is_unknown(server):
	n = stored(server, png(5, 5))
	complete(server, n)
	f = server.get("/v1/files?limit=1").json()["files"][0]
	assert server.delete(f"/v1/files/{f['id']}").status_code == 204
	assert server.get(f"/queryFileStatus/{n}").json() == {"result": "ID NOT FOUND !!", "file_id": n}
	assert server.get(f"/thumbnail/{n}").status_code == 400


def test_jobs_asked_for_through_another_door_change_neither_stage_nor_thumbnail(server):
	n = stored(server, png(600, 300))
	small = thumbnail(server, n)
	f = server.get("/v1/files?limit=1").json()["files"][0]
	r = server.post(f"/v1/files/{f['id']}/jobs", json={"op": "resize", "params": {"width": 10}})
	assert r.status_code == 202
	later = server.post(f"/v1/files/{f['id']}/jobs", json={"op": "md5", "run_at": "2099-01-01T00:00:00Z"})
	assert later.status_code == 202 and stage(server, n) == STAGES[2] and thumbnail(server, n) == small


def test_a_file_of_another_door_is_no_image_of_this_one(server):
	f = server.upload(png(5, 5), query="ops=resize;width=3")
	digits = f["created_at"].translate(str.maketrans("", "", "-:T.Z")) + "000"
	assert server.get(f"/queryFileStatus/{digits}").status_code == 400


def test_it_is_off_by_default(make_server):
	s = make_server()
	assert s.get("/heartbeat").status_code == 404 and send(s, png(2, 2)).status_code == 404


def test_all_surfaces_are_served_at_once(make_server):
	s = make_server(surfaces=["all"])
	assert s.get("/heartbeat").status_code == 200
	assert s.get("/hashes/0").status_code == 404 and s.get("/gethash/0").json()["status"] == "INVALID_ID"
	assert jpeg_size(thumbnail(s, stored(s, png(9, 9)))) == (9, 9)


def test_the_native_page_is_at_the_root(server):
	r = server.get("/")
	assert r.status_code == 200 and "filemill" in r.text


def test_the_example_is_a_configuration():
	example = REPOSITORY / "examples/image-stages/filemill.yaml"
	r = run("check-config", "-c", example)
	assert r.returncode == 0, r.stdout + r.stderr
	assert "8080" in example.read_text()
