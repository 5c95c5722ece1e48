"""The first web page, as a browser without script uses it."""
import re

from harness.data import md5, random_bytes
from harness.html import Page, submit_lookup, submit_upload

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def front(server):
	r = server.get("/", headers={"Accept": "text/html"})
	assert r.status_code == 200 and r.headers["Content-Type"].replace(" ", "").lower() == "text/html;charset=utf-8"
	return r


def test_a_file_can_be_sent_and_its_result_read(server):
	form = Page(front(server).text).upload_form()
	assert form.method == "POST" and form.enctype == "multipart/form-data"
	data = random_bytes(12345, 1)
	r = submit_upload(server, "/", form, "holiday.jpg", data)
	assert r.status_code in (200, 201) and r.headers["Content-Type"].startswith("text/html"), r.text[:300]
	text = Page(r.text).text
	newest = server.get("/v1/files?limit=1").json()["files"][0]
	assert newest["id"] in UUID.findall(text) and md5(data) in text and "holiday.jpg" in text


def test_an_id_can_be_looked_up(server):
	f = server.upload(b"look me up", name="found.txt")
	form = Page(front(server).text).lookup_form()
	r = submit_lookup(server, "/", form, f["id"])
	assert r.status_code == 200 and r.headers["Content-Type"].startswith("text/html")
	text = Page(r.text).text
	assert f["id"] in text and md5(b"look me up") in text and "found.txt" in text


def test_an_id_that_is_none_is_explained(server):
	form = Page(front(server).text).lookup_form()
	for text in ("nonsense", "01890a5d-ac96-774b-bcce-b302099a8057", "", "<script>alert(1)</script>"):
		r = submit_lookup(server, "/", form, text)
		assert r.headers["Content-Type"].startswith("text/html") and r.status_code in (200, 400, 404), r.text
		assert "alert(1)" not in [s for s in Page(r.text).scripts] and "<script>alert(1)" not in r.text


def test_names_are_shown_as_text(server):
	name = "<img src=x onerror=alert(1)>&quot;.png"
	f = server.upload(b"evil name", name="x")
	assert server.patch(f"/v1/files/{f['id']}", json={"name": name}).status_code == 200
	page = Page(submit_lookup(server, "/", Page(front(server).text).lookup_form(), f["id"]).text)
	assert name in page.text
	assert not [a for tag, a in page.tags if tag == "img" and "onerror" in a]


def test_sending_no_file_is_explained(server):
	form = Page(front(server).text).upload_form()
	r = server.request("POST", form.action or "/", files={"other": ("a", b"x")}, headers={"Accept": "text/html", "Origin": server.base})
	assert r.status_code in (400, 422)


def test_the_page_asks_nobody_else(server):
	r = front(server)
	page = Page(r.text)
	for tag, a in page.tags:
		for key in ("src", "href", "action"):
			if tag != "a":
				assert not re.match(r"(https?:)?//", a.get(key, "")), (tag, a)
	policy = r.headers["Content-Security-Policy"]
	assert "default-src" in policy and "unsafe-inline" not in policy.split("script-src")[-1].split(";")[0]
	assert r.headers["X-Content-Type-Options"] == "nosniff"
	assert "frame-ancestors 'none'" in policy or r.headers.get("X-Frame-Options") == "DENY"
	for a in page.scripts:
		assert a.get("src") or a.get("type") == "application/json", "script inside the page"
		if a.get("src"):
			assert server.get(a["src"]).status_code == 200


def test_inputs_have_labels(server):
	page = Page(front(server).text)
	labels = {a["for"] for tag, a in page.tags if tag == "label" and a.get("for")}
	for tag, a in page.tags:
		if tag == "input" and a.get("type", "text") not in ("hidden", "submit", "button"):
			assert a.get("id") in labels or a.get("aria-label") or "label" in [t for t, _ in page.tags], a
	assert [a for tag, a in page.tags if tag == "html" and a.get("lang")]
