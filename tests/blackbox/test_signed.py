"""Signed requests (RFC 9421): what lets one in, and that it lets in one. Rows E5 to E11 of the bad-input catalogue."""
import os
import random
import re
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness import wire
from harness.server import REPOSITORY, SLOW, Server, problem
from harness.signing import Key, Signer, content_digest, made_key, make_key, nonce

# on demand: FILEMILL_SIGNED_REPLAYS=100000 FILEMILL_SIGNED_FUZZ=100000 FILEMILL_SIGNED_BITS=200
REPLAYS = int(os.environ.get("FILEMILL_SIGNED_REPLAYS", "300" if SLOW else "1500"))
FUZZ = int(os.environ.get("FILEMILL_SIGNED_FUZZ", "300" if SLOW else "1500"))
BITS = int(os.environ.get("FILEMILL_SIGNED_BITS", "0")) # requests every bit of which is changed; 0: some bits of a few
TYPE = ("Content-Type", "application/octet-stream")
JSON = ("Content-Type", "application/json")


@pytest.fixture(scope="module")
def server(module_folder):
	"""Each exchange has a connection of its own, and they come faster than a slow server lets go of them."""
	with Server(module_folder / "signed", settings={"http.connections_per_address": "0"}) as s:
		yield s


@pytest.fixture(scope="module")
def signer(server):
	return Signer(server, make_key(server))


def send(server, data, **options):
	return wire.exchange(server, data, **options)


def upload(signer, body=b"hello", target="/v1/files?name=a.bin&ops=md5", headers=(TYPE,), **options):
	return send(signer.server, signer.request("POST", target, body, headers, **options))


def names(signer):
	r = send(signer.server, signer.request("GET", "/v1/files?limit=200"))
	assert r.status_code == 200, r
	return [f["name"] for f in r.json()["files"]]


# ---- what is let in ----

def test_a_signed_upload_belongs_to_the_account_of_the_key(server, signer):
	r = upload(signer, b"signed", "/v1/files?name=mine.bin")
	assert r.status_code == 201, r
	id = r.json()["id"]
	assert send(server, signer.request("GET", f"/v1/files/{id}/content")).body == b"signed"
	assert send(server, signer.request("HEAD", f"/v1/files/{id}/content"), method="HEAD").status_code == 200
	other = Signer(server, make_key(server))
	problem(send(server, other.request("GET", f"/v1/files/{id}")), 404, "file_not_found")
	assert send(server, signer.request("DELETE", f"/v1/files/{id}")).status_code == 204


def test_every_kind_of_body_is_let_in_when_it_is_what_was_signed(server, signer):
	big = bytes(range(256)) * 8192
	form, kind = wire.form((b'Content-Disposition: form-data; name="file"; filename="f.bin"', b"in a form")), ("Content-Type", "multipart/form-data; boundary=AaB")
	id = upload(signer, big).json()["id"]
	assert upload(signer, b"").status_code == 201
	assert upload(signer, b"abcdef", chunks=[b"abc", b"def"]).status_code == 201
	assert upload(signer, form, "/v1/files", (kind,)).status_code == 201
	assert upload(signer, b"512", digest=content_digest(b"512", "sha-512")).status_code == 201
	assert upload(signer, b"both", digest=content_digest(b"both") + ", " + content_digest(b"both", "sha-512")).status_code == 201
	assert send(server, signer.request("POST", f"/v1/files/{id}/jobs", b'{"op":"sha1"}', (JSON,))).status_code in (200, 201, 202)


def test_a_signature_may_be_written_in_more_than_one_way(server, signer):
	def get(**options):
		return send(server, signer.request("GET", "/v1/files?limit=1", **options)).status_code
	assert get(alg="hmac-sha256") == 200
	assert get(order=("nonce", "keyid", "created")) == 200
	assert get(label="a-b.c*d_1") == 200
	assert get(more=f";expires={int(time.time()) + 60}") == 200
	assert get(cover=["@authority", "@path", "@query"]) == 401, "those components have other values than this client gave them"
	assert get(headers=[("Accept", "application/json"), ("X-Mine", "1"), ("X-Mine", "2")]) == 200


def test_the_scheme_may_be_that_of_a_proxy_in_front(server, signer):
	class Proxied(Signer):
		def request(self, method, target):
			fields = self.key.sign(method, f"https://{self.host}{target}")
			return ("\r\n".join([f"{method} {target} HTTP/1.1", f"Host: {self.host}", *(f"{n}: {v}" for n, v in fields)]) + "\r\n\r\n").encode()
	assert send(server, Proxied(server, signer.key).request("GET", "/v1/files?limit=1")).status_code == 200


def test_a_body_is_asked_for_only_after_the_signature_was_judged(server, signer):
	good, once = signer.request("POST", "/v1/files?name=e", b"hello", (TYPE,), expect=True), nonce()
	with wire.Wire(server) as w:
		w.send(good)
		assert w.read(interim=True).status_code == 100
		w.send(b"hello")
		assert w.read().status_code == 201
	for wrong in (good, signer.request("POST", "/v1/files?name=e", b"hello", (TYPE,), expect=True, created=1, nonce_=once)):
		with wire.Wire(server) as w:
			w.send(wrong)
			assert w.read(interim=True).status_code == 401


def test_routes_that_are_for_anyone_look_at_no_signature(server, signer):
	r = send(server, wire.head("GET", "/healthz", ["Signature: nonsense", "Signature-Input: nonsense"]))
	assert r.status_code == 200


def test_the_scopes_of_the_key_hold(server):
	reader = Signer(server, make_key(server, ["files:read"]))
	once = nonce()
	problem(upload(reader, nonce_=once), 403, "forbidden")
	assert send(server, reader.request("GET", "/v1/files", nonce_=once)).status_code == 200, "what was refused has not used up the nonce"


# ---- what is not (E5, E6, E8, E9, E10) ----

@pytest.mark.parametrize("created, status, code", [
	(-305, 401, "bad_signature"), (360, 401, "bad_signature"), (-240, 200, None), (295, 200, None), # time goes on until it is judged
])
def test_e6_a_signature_counts_around_its_time(server, signer, created, status, code):
	r = send(server, signer.request("GET", "/v1/files", created=int(time.time()) + created))
	assert r.status_code == status
	if code:
		problem(r, status, code)


@pytest.mark.parametrize("options, status, code", [
	({"created": -1}, 400, "bad_header"), ({"created": 2**63}, 400, "bad_header"), ({"created": "1.5"}, 400, "bad_header"),
	({"order": ("keyid", "nonce")}, 400, "bad_header"), ({"order": ("created", "nonce")}, 400, "bad_header"), ({"order": ("created", "keyid")}, 400, "bad_header"),
	({"nonce_": "n" * 15}, 400, "bad_header"), ({"nonce_": "n" * 65}, 400, "bad_header"),
	({"alg": "none"}, 400, "bad_header"), ({"alg": "ed25519"}, 400, "bad_header"), ({"more": ";tag=\"app\""}, 400, "bad_header"), ({"more": ";created=1"}, 400, "bad_header"),
	({"more": ";expires=1"}, 401, "bad_signature"),
	({"keyid": "00000000-0000-7000-8000-000000000000"}, 401, "bad_signature"), ({"keyid": "nobody"}, 401, "bad_signature"),
	({"cover": ["@method"]}, 400, "bad_header"),
	({"cover": ["@query-param"]}, 400, "bad_header"), ({"cover": ["Accept"]}, 400, "bad_header"), ({"cover": ["x-absent"]}, 401, "bad_signature"),
])
def test_e8_e9_what_a_signature_must_say(server, signer, options, status, code):
	r = send(server, signer.request("GET", "/v1/files", **options))
	problem(r, status, code)
	assert ("www-authenticate" in r.headers) == (status == 401)


def test_e8_the_same_nonce_with_another_key_is_another_nonce(server, signer):
	once = nonce()
	for s in (signer, Signer(server, make_key(server))):
		assert send(server, s.request("GET", "/v1/files", nonce_=once)).status_code == 200


@pytest.mark.parametrize("drop", ["@method", "@target-uri", "content-digest", "content-type"])
def test_e5_what_has_meaning_must_be_covered(server, signer, drop):
	class Less(Key):
		def sign(self, method, url, headers=(), **options):
			full = dict(super().sign(method, url, headers))
			components = [c for c in ("@method", "@target-uri", "content-type", "content-digest") if c != drop]
			params = full["Signature-Input"].partition(")")[2]
			values = {"@method": method, "@target-uri": url, **{n.lower(): v for n, v in headers}}
			listed = "(" + " ".join(f'"{c}"' for c in components) + ")" + params
			base = "".join(f'"{c}": {values[c]}\n' for c in components) + f'"@signature-params": {listed}'
			return [("Signature-Input", f"sig={listed}"), ("Signature", f"sig=:{self.mac(base)}:")]
	less = Less.__new__(Less)
	less.id, less.secret = signer.key.id, signer.key.secret
	r = upload(Signer(server, less))
	assert drop in problem(r, 401, "bad_signature")["detail"].lower()


@pytest.mark.parametrize("field", ["Idempotency-Key: a", "Prefer: wait=1", "Content-Disposition: attachment; filename=x", "Content-MD5: XUFAKrxLKna5cZ2REBfFkg==", "Repr-Digest: md5=:XUFAKrxLKna5cZ2REBfFkg==:",
	"Content-Encoding: identity", "If-Match: *", "Range: bytes=0-1", "Last-Event-ID: 1"])
def test_e5_a_field_with_meaning_that_was_not_signed_is_refused(server, signer, field):
	head, _, body = signer.request("POST", "/v1/files?name=b", b"hello", (TYPE,)).partition(b"\r\n\r\n")
	problem(send(server, head + b"\r\n" + field.encode() + b"\r\n\r\n" + body), 401, "bad_signature")


@pytest.mark.parametrize("change", [
	(b"POST /v1/files?name=c&ops=md5", b"POST /v1/files?name=d&ops=md5"), (b"?name=c&ops=md5 ", b"?name=c&ops=md5& "), (b"?name=c&", b"?name=%63&"), (b"?name=c&ops=md5", b"?ops=md5&name=c"),
	(b"Host: ", b"Host: x"), (b"octet-stream\r\n", b"octet-stream;a=b\r\n"), (b"Content-Type: application/octet-stream\r\n", b""),
	(b"Content-Digest: ", b"Content-Digest: md5=:XUFAKrxLKna5cZ2REBfFkg==:, "),
], ids=range(8))
def test_e5_what_was_changed_on_the_way_is_refused(server, signer, change):
	data = signer.request("POST", "/v1/files?name=c&ops=md5", b"hello", (TYPE,))
	assert change[0] in data
	problem(send(server, data.replace(*change, 1)), 401, "bad_signature")
	assert send(server, data).status_code == 201, "what was refused has not used up the nonce"


@pytest.mark.parametrize("spoil", [
	lambda mac: mac[:-1], lambda mac: mac + "=", lambda mac: mac.replace("=", ""), lambda mac: " " + mac, lambda mac: "A" + mac[1:-4] + "____", lambda mac: mac[:-4],
	lambda mac: mac + "AAAA", lambda mac: "", lambda mac: mac[:-2] + chr(ord(mac[-2]) + 1) + "=",
], ids=range(9))
def test_e10_a_signature_has_one_spelling(server, signer, spoil):
	data = signer.request("GET", "/v1/files").decode()
	mac = re.search(r"Signature: sig=:([^:]*):", data).group(1)
	r = send(server, data.replace(f":{mac}:", f":{spoil(mac)}:").encode())
	assert r.status_code in (400, 401), r


@pytest.mark.parametrize("lines", [
	["Signature: sig=:AAAA:"], ["Signature-Input: sig=()"], ["Signature-Input: ", "Signature: "],
])
def test_half_a_signature_is_refused_and_not_ignored(server, signer, lines):
	problem(send(server, wire.head("GET", "/v1/files", lines)), 400, "bad_header")


def test_two_signatures_or_two_ways_to_say_who_asks_are_refused(server, signer):
	head = signer.request("GET", "/v1/files").decode()[:-2]
	second = "".join(f"{n}: {v}\r\n" for n, v in signer.key.sign("GET", f"http://{signer.host}/v1/files", label="two"))
	problem(send(server, f"{head}{second}\r\n".encode()), 400, "bad_header")
	problem(send(server, f"{head}Authorization: Bearer fmk_x\r\n\r\n".encode()), 400, "bad_header")


# ---- the body (E11) ----

@pytest.mark.parametrize("target, headers, body, change, options", [
	("/v1/files?name=wrong", (TYPE,), b"hello", (b"hello", b"hellp"), {}),
	("/v1/files?name=wrong", (TYPE,), b"h" * 300_000, (b"hhhh", b"hhhg"), {}),
	("/v1/files?name=wrong", (TYPE,), b"abcdef", (b"def", b"deg"), {"chunks": [b"abc", b"def"]}),
	("/v1/files", (("Content-Type", "multipart/form-data; boundary=AaB"),), wire.form((b'Content-Disposition: form-data; name="file"; filename="wrong"', b"in a form")), (b"in a", b"in b"), {}),
	("/v1/files/00000000-0000-7000-8000-000000000000/jobs", (JSON,), b'{"op":"sha1"}', (b"sha1", b"sha2"), {}),
], ids=["small", "large", "chunked", "form", "json"])
def test_e11_a_body_that_is_not_the_signed_one_leaves_nothing(server, signer, target, headers, body, change, options):
	head, blank, sent = signer.request("POST", target, body, headers, **options).partition(b"\r\n\r\n")
	assert change[0] in sent
	data = head + blank + sent.replace(*change, 1)
	problem(send(server, data), 400, "digest_mismatch")
	problem(send(server, data), 401, "replayed")
	assert "wrong" not in names(signer)


def test_e11_a_body_needs_a_digest_that_is_strong(server, signer):
	problem(upload(signer, digest=False), 401, "bad_signature")
	problem(upload(signer, b"hello", digest="md5=:XUFAKrxLKna5cZ2REBfFkg==:"), 400, "unsupported_digest")
	problem(upload(signer, b"hello", digest=content_digest(b"hello") + ", " + content_digest(b"other", "sha-512")), 400, "digest_mismatch")
	problem(upload(signer, b"hello", digest="sha-256=:AAAA:"), 400, "bad_header")


# ---- once (E7) ----

def sent_at_once(server, data, n):
	"""The answers to the same bytes sent n times at the same moment, each on a connection of its own."""
	wires, replies = [wire.Wire(server) for _ in range(n)], [None] * n
	barrier = threading.Barrier(n)

	def one(i):
		barrier.wait()
		wires[i].send(data)
		replies[i] = wires[i].read()
		wires[i].close()
	threads = [threading.Thread(target=one, args=(i,)) for i in range(n)]
	[t.start() for t in threads]
	[t.join() for t in threads]
	return replies


def test_e7_of_a_hundred_at_once_one_is_let_in(server, signer):
	for data, status in [(signer.request("GET", "/v1/files?limit=1"), 200), (signer.request("POST", "/v1/files?name=once", b"once", (TYPE,)), 201)]:
		replies = sent_at_once(server, data, 90)
		assert sorted(r.status_code for r in replies) == [status] + [401] * 89
		problem(next(r for r in replies if r.status_code == 401), 401, "replayed")
	assert names(signer).count("once") == 1


def let_in(server, requests):
	"""Sends each on one kept connection: how many were let in."""
	accepted = 0
	with wire.Wire(server, timeout=60) as w:
		for data in requests:
			w.send(data)
			reply = w.read()
			assert reply.status_code in (200, 401), reply
			accepted += reply.status_code == 200
	return accepted


def test_e7_no_replay_is_let_in_also_right_after_a_kill(make_server):
	server = make_server()
	signer = Signer(server, make_key(server))
	rng = random.Random(9421)
	sent, left = [], REPLAYS
	while left > 0:
		fresh = [signer.request("GET", "/v1/files?limit=1") for _ in range(20)]
		assert let_in(server, fresh) == 20
		server.kill() # the last answer has just come
		server.start()
		sent += fresh
		batch = [fresh[-1], *(rng.choice(sent) for _ in range(min(left, max(100, REPLAYS // 10))))]
		assert let_in(server, batch) == 0
		left -= len(batch)


def test_what_was_never_answered_may_or_may_not_have_been_used_up_but_not_twice(make_server):
	"""Killed while requests are under way: each is let in once in all, before or after."""
	server = make_server()
	signer = Signer(server, make_key(server))
	for round_ in range(3 if SLOW else 6):
		requests = [signer.request("POST", f"/v1/files?name=r{round_}-{i}", b"x", (TYPE,)) for i in range(12)]
		wires = [wire.Wire(server) for _ in requests]
		for w, data in zip(wires, requests):
			w.send(data)
		wires[round_ % 12].read()
		server.kill()
		[w.close() for w in wires]
		server.start()
		for data in requests:
			assert send(server, data).status_code in (201, 401)
		for data in requests:
			problem(send(server, data), 401, "replayed")
	listed = names(signer)
	assert len(listed) == len(set(listed)), "one signature stored two files"


# ---- every bit ----

def is_same_message(data, at, bit):
	"""The change leaves the message what it is: case of a field's name or of the host, the version, the digits of a length that says the same."""
	changed = bytearray(data)
	changed[at] ^= 1 << bit
	length, same = (re.search(rb"\r\nContent-Length: ?([0-9]+)\r\n", d) for d in (data, bytes(changed)))
	if same and same.span() == length.span() and length.start() < at < length.end() and int(same[1]) == int(length[1]):
		return True
	if bytes(changed).lower() != data.lower():
		# HTTP/1.0 or 1.x ask for the same
		line = data.index(b"\r\n")
		return line - 8 <= at < line
	start = data.rfind(b"\r\n", 0, at) + 2
	colon = data.find(b":", start)
	return start > 2 and start < data.index(b"\r\n\r\n") and (at < colon or data[start:colon] == b"Host")


def moves_the_end(data, at):
	"""Where the message ends may be read from here: its first line, line ends, all from the length on."""
	return at <= data.index(b"\r\n") or data[at] in b"\r\n" or at >= min(data.find(b"\nContent-L"), data.find(b"\r\n\r\n")) # -1 where the change is


BODY = b"a small body"


def bit_request(signer, number, **options):
	return signer.request("POST", f"/v1/files?name=bit-{number}", BODY, (TYPE,), **options)


def send_changed(signer, number, places):
	"""A request as often as there are places, each time signed anew and with one bit changed. How many there were that say something else."""
	w, tried = None, 0
	for place in places:
		data = bit_request(signer, number)
		if is_same_message(data, place // 8, place % 8):
			continue
		changed = bytearray(data)
		changed[place // 8] ^= 1 << place % 8
		w = w or wire.Wire(signer.server)
		w.send(bytes(changed))
		alone = moves_the_end(changed, place // 8)
		if alone:
			w.half_close() # what says more than comes must not wait
		reply = w.read()
		assert reply.status_code is None or 400 <= reply.status_code < 500 or reply.status_code in (501, 505), (place, bytes(changed), reply)
		if alone or w.ended or reply.headers.get("Connection") == "close":
			w.close()
			w = None
		tried += 1
	if w:
		w.close()
	return tried


def test_e5_a_request_with_any_one_bit_changed_is_refused(server, signer):
	rng = random.Random(int(os.environ.get("FILEMILL_SEED", "1")))
	work = []
	for number in range(BITS or 10):
		size = 8 * len(bit_request(signer, number, nonce_=nonce()))
		work.append(range(size) if BITS else sorted(rng.sample(range(size), 15 if SLOW else 60)))
	with ThreadPoolExecutor(8) as threads:
		tried = sum(threads.map(lambda number: send_changed(signer, number, work[number]), range(len(work))))
	print(f"{len(work)} requests, {tried} bits")
	assert tried > 100
	assert not [n for n in names(signer) if n.startswith("bit-")]


# ---- nonsense ----

WORDS = ["sig", "=", "(", ")", ";", ":", '"', ",", " ", "\\", "@method", "@target-uri", "@query-param", "content-digest", "created", "nonce", "keyid", "alg", "expires", "hmac-sha256", "?1", "?0", "-1",
	 "999999999999999", "9999999999999999", "1.5", ";sf", ";bs", ";key=\"a\"", "AAAA", "=:", ":=", "sha-256=:", "sha-512=:", "\t", "%00", "x" * 200, "\xe9", "*a", "()", "((", "))"]


def nonsense(rng, good):
	"""A field's value: the good one with a few pieces replaced, removed, doubled or put in; or words at random."""
	if rng.random() < 0.3:
		return "".join(rng.choice(WORDS) for _ in range(rng.randrange(1, 30)))
	value = good
	for _ in range(rng.randrange(1, 4)):
		a = rng.randrange(len(value) + 1)
		b = min(len(value), a + rng.choice([0, 1, 1, 2, 5, 20]))
		value = value[:a] + rng.choice(["", value[a:b] * 2, *rng.sample(WORDS, 3), chr(rng.randrange(0x20, 0x7f))]) + value[b:]
	return value


def test_no_nonsense_in_the_fields_is_answered_with_a_5xx(server, signer):
	rng = random.Random(int(os.environ.get("FILEMILL_SEED", "1")))
	w, statuses = wire.Wire(server), {}
	for number in range(FUZZ):
		lines = signer.request("POST", "/v1/files?name=fuzz", b"hello", (TYPE,)).decode("latin-1").partition("\r\n\r\n")[0].split("\r\n")
		for at in rng.sample([i for i, l in enumerate(lines) if l.startswith(("Signature", "Content-Digest"))], rng.randrange(1, 3)):
			name, _, value = lines[at].partition(": ")
			lines[at] = f"{name}: {nonsense(rng, value)}"
		data = ("\r\n".join(lines) + "\r\n\r\nhello").encode("latin-1")
		w.send(data)
		reply = w.read()
		assert reply.status_code in (201, 400, 401, 431), (data, reply)
		statuses[reply.status_code] = statuses.get(reply.status_code, 0) + 1
		if reply.status_code in (400, 431) or w.ended:
			w.close()
			w = wire.Wire(server)
	w.close()
	assert statuses[400] > FUZZ // 10 and statuses[401] > FUZZ // 50, statuses


# ---- the documentation ----

def test_the_worked_example_works_as_it_stands(server, folder):
	key = made_key(server)
	text = (REPOSITORY / "docs/security.md").read_text()
	script = re.search(r"<!-- signing -->\n```sh\n(.*?)```", text, re.S).group(1)
	(folder / "holiday.jpg").write_bytes(b"not really a picture")
	env = {"PATH": os.environ["PATH"], "FILEMILL": server.base, "KEY_ID": key["id"], "SIGNING_SECRET": key["signing_secret"]}
	done = subprocess.run(["sh", "-eu", "-c", script], cwd=folder, env=env, capture_output=True, text=True, timeout=60)
	assert done.returncode == 0 and '"name":"holiday.jpg"' in done.stdout, (done.stdout, done.stderr)


def test_the_small_client_signs_what_curl_sends(server, folder):
	key = made_key(server)
	(folder / "a.txt").write_bytes(b"sent by curl")
	env = {"PATH": os.environ["PATH"], "FILEMILL_KEY_ID": key["id"], "FILEMILL_SIGNING_SECRET": key["signing_secret"]}

	def client(*args):
		done = subprocess.run([str(REPOSITORY / "docs/examples/signed-curl"), *args], cwd=folder, env=env, capture_output=True, timeout=60)
		assert done.returncode == 0, done
		return done.stdout
	sent = client("POST", server.base + "/v1/files?name=a.txt", "a.txt", "text/plain")
	id = re.search(rb'"id":"([^"]*)"', sent).group(1).decode()
	assert client("GET", f"{server.base}/v1/files/{id}/content") == b"sent by curl"
	assert client("DELETE", f"{server.base}/v1/files/{id}") == b""
	assert b"file_gone" in client("GET", f"{server.base}/v1/files/{id}")
