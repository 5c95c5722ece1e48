"""Rows C of the bad-input catalogue: multipart/form-data and file names."""
import random

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from harness import wire
from harness.cases import Case, check, check_leftovers, params, warm
from harness.data import random_bytes, sha256
from harness.server import Server, problem
from harness.wire import field_part, file_part, form, post_form


@pytest.fixture(scope="module")
def base(server):
	figures = warm(server)
	yield figures
	check_leftovers(server, figures)


GOOD = form(file_part())
MULTI = b"multipart/form-data"


def boundary_case(what, content_type, status=400):
	return Case("C1 " + what, post_form(GOOD, content_type=content_type), {status, 415} if status == 400 else {status}, {"bad_multipart", "unsupported_type"}, stored=None if status == 201 else False)


def part(header, data=b"x"):
	return header, data


CD = b'Content-Disposition: form-data; name="file"; filename="a.txt"'
BAD = {"bad_multipart"}

CASES = [
	boundary_case("no boundary", MULTI), boundary_case("empty boundary", MULTI + b"; boundary="), boundary_case("empty quoted boundary", MULTI + b'; boundary=""'),
	boundary_case("71 characters", MULTI + b"; boundary=" + b"a" * 71), boundary_case("characters that are none", MULTI + b'; boundary="a<b"'), boundary_case("escaped quote", MULTI + b'; boundary="a\\"b"'),
	boundary_case("two boundaries", MULTI + b"; boundary=AaB; boundary=AaB"), boundary_case("boundary*", MULTI + b"; boundary*=UTF-8''AaB"), boundary_case("boundary ends with a space", MULTI + b'; boundary="AaB "'),
	boundary_case("no quote at the end", MULTI + b'; boundary="AaB'), boundary_case("other boundary than the body's", MULTI + b"; boundary=other"),
	boundary_case("quoted boundary", MULTI + b'; boundary="AaB"', 201), boundary_case("another parameter", MULTI + b"; charset=utf-8; boundary=AaB", 201), boundary_case("capitals", b"Multipart/Form-Data; Boundary=AaB", 201),
	Case("C1 70 characters", post_form(form(file_part(), boundary=b"b" * 70), boundary=b"b" * 70), {201}, stored=True),
	Case("C5 end followed by 1 MB of dashes", post_form(GOOD + b"-" * 1_000_000), {400}, BAD),
	Case("C5 end followed by 1 MB of text", post_form(GOOD + b"text " * 200_000), {400}, BAD),
	Case("C5 a short epilogue", post_form(GOOD + b"epilogue\r\n"), {201}, stored=True),
	Case("C6 a preamble of 1 MB", post_form(b"preamble " * 120_000 + b"\r\n" + GOOD), {400}, BAD),
	Case("C7 64 fields", post_form(form(*[field_part(b"f%d" % i, b"x") for i in range(64)], file_part())), {201, 400}, stored=None),
	Case("C7 65 fields", post_form(form(*[field_part(b"f%d" % i, b"x") for i in range(65)], file_part())), {413, 400}, {"too_large", "bad_multipart"}),
	Case("C7 1,000 fields", post_form(form(*[field_part(b"f%d" % i, b"x") for i in range(1000)])), {413, 400}),
	Case("C7 100,000 empty parts", post_form(form(*[part(b"X: y", b"")] * 100_000)), {413, 400}),
	Case("C7 two files", post_form(form(file_part(), file_part())), {400}, {"bad_multipart", "bad_request", "conflict"}),
	Case("C7 five files", post_form(form(*[file_part()] * 5)), {400}),
	Case("C8 a part header of 9 KiB", post_form(form(part(CD + b"\r\nX-A: " + b"a" * 9216))), {400, 413}, {"bad_multipart", "too_large"}),
	Case("C8 a header block without end", post_form(form(part(CD), end=False)[:-3] + b"\r\nX: y" * 50_000), {400, 413}),
	Case("C8 100 part headers", post_form(form(part(CD + b"".join(b"\r\nX-%d: a" % i for i in range(1000))))), {400, 413}),
	Case("C9 no name", post_form(form(part(b'Content-Disposition: form-data; filename="a"'))), {400}, BAD),
	Case("C9 two names", post_form(form(part(CD + b'; name="other"'))), {400}, BAD),
	Case("C9 two filenames", post_form(form(part(CD + b'; filename="b"'))), {400}, BAD),
	Case("C9 two dispositions", post_form(form(part(CD + b"\r\n" + CD))), {400}, BAD),
	Case("C9 attachment", post_form(form(part(b'Content-Disposition: attachment; name="file"; filename="a"'))), {400}, BAD),
	Case("C9 no disposition", post_form(form(part(b"Content-Type: text/plain"))), {400}, BAD),
	Case("C9 no headers", post_form(b"--AaB\r\n\r\nx\r\n--AaB--\r\n"), {400}, BAD),
	Case("C10 filename and another filename*", post_form(form(part(CD + b"; filename*=UTF-8''b.txt"))), {400}, BAD),
	Case("C10 filename*0", post_form(form(part(b'Content-Disposition: form-data; name="file"; filename*0="a"; filename*1="b"'))), {400}, {"bad_multipart", "file_missing"}),
	Case("C10 filename* in another charset", post_form(form(part(b"Content-Disposition: form-data; name=\"file\"; filename*=ISO-8859-1''%E4"))), {400}, {"bad_multipart", "bad_name"}),
	Case("C10 filename* with a broken escape", post_form(form(part(b"Content-Disposition: form-data; name=\"file\"; filename*=UTF-8''%G1"))), {400}, {"bad_multipart", "bad_name"}),
	Case("C10 filename* that is no UTF-8", post_form(form(part(b"Content-Disposition: form-data; name=\"file\"; filename*=UTF-8''%FF%FE"))), {400}, {"bad_multipart", "bad_name"}),
	Case("C12 bare LF", post_form(GOOD.replace(b"\r\n", b"\n")), {400}, BAD),
	Case("C12 bare LF in the part header", post_form(b"--AaB\r\n" + CD + b"\n\nx\r\n--AaB--\r\n"), {400}, BAD),
	Case("C12 bare CR in the part header", post_form(b"--AaB\r\n" + CD + b"\rX: y\r\n\r\nx\r\n--AaB--\r\n"), {400}, BAD),
	Case("C13 no closing boundary", post_form(form(file_part(), end=False)), {400}, BAD),
	Case("C13 no CRLF after the part header", post_form(b"--AaB\r\n" + CD + b"\r\nx\r\n--AaB--\r\n"), {400}, BAD),
	Case("C13 ends in the part header", post_form(b"--AaB\r\nContent-Dispo"), {400}, BAD),
	Case("C13 ends in the data", post_form(b"--AaB\r\n" + CD + b"\r\n\r\nhello"), {400}, BAD),
	Case("C13 ends in the closing boundary", post_form(GOOD[:-4]), {400}, BAD),
	Case("C13 an empty body", post_form(b""), {400}, {"bad_multipart", "file_missing"}),
	Case("C13 only the end", post_form(b"--AaB--\r\n"), {400}, {"bad_multipart", "file_missing"}),
	Case("C14 the same field twice", post_form(form(field_part(b"labels", b"a:1"), field_part(b"labels", b"b:2"), file_part())), {400}, {"bad_multipart", "bad_labels", "bad_request"}),
	Case("C14 _charset_", post_form(form(field_part(b"_charset_", b"utf-8"), file_part())), {201, 400}, stored=None),
	Case("no file part", post_form(form(field_part(b"ops", b"md5"))), {400}, {"file_missing"}),
	Case("file without a file name", post_form(form(field_part(b"file", b"text"))), {400, 201}, {"file_missing", "bad_multipart"}, stored=None),
	Case("a field of 65,537 bytes", post_form(form(field_part(b"labels", b"a" * 65_537), file_part())), {413, 400}, {"too_large", "bad_labels"}),
	Case("a file part called otherwise", post_form(form(file_part(name=b"upload"))), {400}, {"file_missing", "bad_multipart"}),
	Case("wrong labels", post_form(form(field_part(b"labels", b"{"), file_part())), {400}, {"bad_labels"}),
	Case("labels that are no UTF-8", post_form(form(field_part(b"labels", b"a:\xff"), file_part())), {400}, {"bad_labels"}),
	Case("C18 CRLF in a file name", post_form(form(file_part(filename=b'filename="a\r\nSet-Cookie: x=y"'))), {400}, {"bad_multipart", "bad_name"}),
	Case("C18 NUL in a part header", post_form(form(part(CD + b"\r\nX: a\0b"))), {400}, BAD),
	Case("C19 NUL in a file name", post_form(form(file_part(filename=b'filename="a.jpg\0.php"'))), {400}, {"bad_multipart", "bad_name"}),
	Case("C19 escaped NUL", post_form(form(file_part(filename=b"filename*=UTF-8''a%00.php"))), {400}, {"bad_multipart", "bad_name"}),
	Case("C20 a file name that is no UTF-8", post_form(form(file_part(filename=b'filename="a\xff.txt"'))), {400}, {"bad_multipart", "bad_name"}),
	Case("C17 a file name of 256 bytes", post_form(form(file_part(filename=b'filename="' + b"a" * 256 + b'"'))), {400}, {"bad_name"}),
	Case("C17 a file name of 300 bytes in filename*", post_form(form(file_part(filename=b"filename*=UTF-8''" + b"%61" * 300))), {400}, {"bad_name", "bad_multipart"}),
	Case("C23 a part type of 10 kB", post_form(form(part(CD + b"\r\nContent-Type: text/" + b"h" * 10_000))), {400, 413}),
	Case("a form said to be another multipart", post_form(GOOD, content_type=b"multipart/mixed; boundary=AaB"), {201, 415, 400}, stored=None),
	Case("no content type at all", wire.head("POST", "/v1/files", ["Content-Length: 5"]) + b"hello", {201, 415, 400}, stored=None),
]


@pytest.mark.parametrize("case", params(CASES))
def test_row(server, base, case):
	check(server, case)


@pytest.mark.parametrize("data", [b"--AaBc", b"\r\n--AaBc\r\n", b"\r\n--Aa", b"\r\n--", b"\r", b"\n", b"\r\n", b"--AaB--", b"--AaB", b"\r\n-\r\n--\r\n--A\r\n--Aa\r\nx", b"", b"--AaB\r\n"])
def test_c2_data_that_looks_like_the_boundary_stays_whole(server, base, data):
	r = wire.exchange(server, post_form(form(file_part(data))))
	assert r.status_code == 201, r
	assert r.json()["size"] == len(data) and r.json()["sha256"] == sha256(data)


def test_c3_the_boundary_split_at_every_position(server, base):
	data = b"before\r\n--Aa\r\n--AaBB\r\nafter"
	request = post_form(form(field_part(b"labels", b"k:v"), file_part(data)))
	start = request.index(b"\r\n\r\n") + 4
	for n in range(start, len(request)):
		with wire.Wire(server) as w:
			w.send(request[:n])
			w.send(request[n:])
			r = w.read()
		assert r.status_code == 201 and r.json()["sha256"] == sha256(data), n


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], database=None, derandomize=True)
@given(pieces=st.lists(st.sampled_from([b"\r", b"\n", b"-", b"--", b"\r\n--", b"AaB", b"Aa", b"x" * 50, b"\r\n--AaBx", b"\0"]), max_size=40), seed=st.integers(0, 2**32))
def test_c3_any_data_in_any_cuts(server, base, pieces, seed):
	data = b"".join(pieces)
	if b"\r\n--AaB\r\n" in b"\r\n" + data + b"\r\n" or b"\r\n--AaB--" in b"\r\n" + data:
		return
	request = post_form(form(file_part(data)))
	rng = random.Random(seed)
	with wire.Wire(server) as w:
		w.send_cut(request, sorted(rng.sample(range(1, len(request)), min(12, len(request) - 1))))
		r = w.read()
	if b"\r\n--AaB" in b"\r\n" + data: # a delimiter followed by neither CRLF nor --: RFC 2046 does not forbid it in the data
		assert r.status_code in (201, 400)
	if r.status_code == 201:
		assert r.json()["size"] == len(data) and r.json()["sha256"] == sha256(data)
	else:
		assert r.status_code == 400 and b"\r\n--AaB" in b"\r\n" + data, r


def test_c4_near_boundaries_cost_no_more_than_other_bytes(server, base):
	import time
	size = 20 * 2**20
	def seconds(data):
		start = time.process_time(), server.cpu_seconds()
		assert server.post("/v1/files", data=form(file_part(data)), headers={"Content-Type": "multipart/form-data; boundary=AaB"}).status_code == 201
		return server.cpu_seconds() - start[1]
	plain = seconds(random_bytes(size, 1))
	for pattern in (b"\r\n--", b"\r\n--Aa", b"\r", b"\r\n"):
		assert seconds((pattern * (size // len(pattern) + 1))[:size]) < 6 * plain + 0.5, pattern


@pytest.mark.parametrize("kind", [b"Content-Transfer-Encoding: base64", b"Content-Type: multipart/mixed; boundary=inner"])
def test_c11_nothing_is_decoded(server, base, kind):
	data = b"aGVsbG8=" if b"base64" in kind else b"--inner\r\n\r\nx\r\n--inner--"
	r = wire.exchange(server, post_form(form(part(CD + b"\r\n" + kind, data))))
	assert r.status_code in (201, 400, 415)
	if r.status_code == 201:
		assert r.json()["sha256"] == sha256(data)


NAMES = {
	"../../etc/cron.d/x": "x", "/etc/passwd": "passwd", "C:\\x": "x", "..\\..\\x": "x", "....//": None, "a/b/c.txt": "c.txt", "CON": "CON", "a.": "a.", "-rf": "-rf", "--help": "--help", "|id": "|id", "`id`": "`id`", "$(id)": "$(id)",
	"a;b": "a;b", "a\u202egnp.exe": "agnp.exe", "zero\u200bwidth": "zerowidth", "<img src=x onerror=alert(1)>.png": "<img src=x onerror=alert(1)>.png", "\u00e9": "\u00e9", "e\u0301": "e\u0301", "a%00.php": None, "\U0001f600" * 63: "\U0001f600" * 63,
	"a" * 255: "a" * 255, "%2e%2e%2f": "%2e%2e%2f", ".htaccess": ".htaccess", "\ufeffbom": "bom", "tab\there": None, "bell\x07": None, "\x7f": None, "\x85nel": None,
}


@pytest.mark.parametrize("name", NAMES, ids=ascii)
@pytest.mark.parametrize("how", ["query", "form", "patch"])
def test_c16_to_c22_names_are_for_display_only(server, base, name, how):
	from urllib.parse import quote
	before = set(server.blobs())
	if how == "query":
		r = server.post(f"/v1/files?name={quote(name, safe='')}", data=b"n" * 50_000, headers={"Content-Type": "x/y"})
	elif how == "form":
		if any(ord(c) < 32 for c in name) or "\\" in name:
			return # these cannot be written so
		r = wire.exchange(server, post_form(form(file_part(b"n" * 50_000, filename=b'filename="' + name.encode() + b'"'))))
	else:
		f = server.upload(b"n" * 50_000)
		before = set(server.blobs())
		r = server.patch(f"/v1/files/{f['id']}", json={"name": name})
	want = NAMES[name]
	if want is None:
		assert r.status_code in (400, 422), r.text
		assert r.json()["code"] in ("bad_name", "invalid_value", "bad_path", "bad_parameter", "bad_multipart")
		return
	assert r.status_code in (200, 201), r.text
	f = r.json()
	assert f["name"] == want
	if how != "patch":
		assert set(server.blobs()) - before == {f["id"]}, "the name reached the disk"
	disposition = server.get(f"/v1/files/{f['id']}/content").headers["Content-Disposition"]
	assert "\r" not in disposition and "\n" not in disposition and disposition.startswith("attachment")


@pytest.mark.parametrize("name", [".", "..", "a/..", "/", "\\"])
def test_c17_names_that_are_none(server, base, name):
	from urllib.parse import quote
	r = server.post(f"/v1/files?name={quote(name, safe='')}", data=b"x", headers={"Content-Type": "x/y"})
	if r.status_code == 201:
		assert r.json()["name"] in (".", "..", "file") # a name is for display and never a path
	else:
		problem(r, 400, {"bad_name", "bad_path"})


@pytest.mark.parametrize("name", ['quote"inside', "back\\\\slash", "semi;colon", "comma,", "ends with space "])
def test_c18_quoted_characters(server, base, name):
	written = name.replace("\\\\", "\\").replace('"', "%22") # as browsers write it
	r = wire.exchange(server, post_form(form(file_part(filename=b'filename="' + written.encode() + b'"'))))
	assert r.status_code in (201, 400), r
	if r.status_code == 201:
		assert r.json()["name"]


def test_c23_the_type_that_is_claimed_is_never_served(server, base):
	r = wire.exchange(server, post_form(form(part(CD.replace(b"a.txt", b"a.html") + b"\r\nContent-Type: text/html", b"<html><script>alert(1)</script>"))))
	assert r.status_code == 201
	got = server.get(f"/v1/files/{r.json()['id']}/content?inline=1")
	assert got.headers["Content-Disposition"].startswith("attachment") and got.headers["X-Content-Type-Options"] == "nosniff"


def test_forms_of_surfaces_are_read_as_strictly(server, base):
	for target in ("/uploadfile/", "/hashes/"):
		before = server.newest_number()
		for body in (form(file_part(), end=False), form(file_part(), file_part()), GOOD.replace(b"\r\n", b"\n")):
			r = wire.exchange(server, post_form(body, target=target))
			assert r.status_code in (200, 400, 413, 422), r
			assert r.status_code != 200 or r.json().get("success") is False
		assert server.newest_number() == before
