"""Headers that nobody in his senses sends: whatever stands in those that are read, no answer is a 5xx, and the server stays as it was."""
import os
import random

import pytest

from harness import people
from harness.server import Server
from harness.wire import Wire, head

HEADERS = int(os.environ.get("FILEMILL_HEADERS", 2000))
SEED = int(os.environ.get("FILEMILL_SEED", 20260504))
BATCH = 20 # requests a connection: then one that closed early costs little
WORDS = ["Bearer", "Basic", "fmk_" + "A" * 43, "fms_" + "-" * 43, "__Host-filemill=fms_" + "A" * 43, "sig1=(\"@method\" \"@target-uri\" \"content-digest\")", "sig1=:AAAA:", ";created=1",
	";keyid=\"x\"", ";nonce=\"y\"", ";alg=\"none\"", "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:", "for=127.0.0.1", "127.0.0.1, 10.0.0.1", "for=\"[::1]:80\";proto=https",
	"bytes=0-", "wait=5", "null", "https://elsewhere.example", "same-origin", "cross-site", "W/\"x\"", "*", "Sun, 06 Nov 1994 08:49:37 GMT", "chunked", "-1", "18446744073709551616", "application/json",
	"attachment; filename*=UTF-8''%ff", "=", ";", ",", "\"", "\\", "(", ")", ":", "?1", "%00", "'", "é", "\t", " ", "A" * 300]
NAMES = ["Authorization", "Cookie", "Origin", "Sec-Fetch-Site", "X-CSRF-Token", "Signature", "Signature-Input", "Content-Digest", "Repr-Digest", "Content-MD5", "Forwarded", "X-Forwarded-For",
	"X-Forwarded-Proto", "X-Forwarded-Host", "Idempotency-Key", "Prefer", "Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "Accept", "Accept-Encoding",
	"Last-Event-ID", "Access-Control-Request-Method", "Access-Control-Request-Headers", "X-Request-Id", "Content-Disposition", "Content-Type", "Content-Encoding", "Expect", "TE", "Via", "Date"]
PATHS = ["/v1/files?limit=1", "/v1/users/me", "/v1/jobs?limit=1", "/v1/stats", "/healthz", "/", "/v1/files/019a2c5e-7b31-7c44-9d10-5f3a8e6b2c01/content"]


@pytest.fixture(scope="module")
def peopled(module_folder):
	server = Server(module_folder / "peopled", settings={"http.connections_per_address": "0"})
	people.first_admin(server)
	with server:
		yield server, people.sign_in(server, people.ADMIN).token


def value(draw, token):
	"""Words, bytes and parts of what would be right, in any order and length."""
	parts = [draw.choice([*WORDS, token, "Bearer " + token, chr(draw.randrange(0x21, 0x100))]) for _ in range(draw.randrange(0, 6))]
	text = draw.choice(["", " ", ", ", "; "]).join(parts)
	if text and draw.random() < 0.3:
		at = draw.randrange(len(text))
		text = text[:at] + chr(ord(text[at]) ^ 1 << draw.randrange(7)) + text[at + 1:]
	return "".join(c for c in text if c in "\t" or " " <= c != "\x7f")[:2000].encode("latin-1", "replace").decode("latin-1")


def request(draw, token):
	"""A head whose framing is right, since what comes behind has to be told apart; and how many headers in it are fuzzed."""
	names = draw.sample(NAMES, draw.choice([1, 1, 2, 3]))
	headers = [f"{name}: {value(draw, token)}" for name in names]
	if draw.random() < 0.4 and "Authorization" not in names:
		headers.append(f"Authorization: Bearer {token}")
	return head(draw.choice(["GET", "GET", "HEAD", "OPTIONS", "DELETE"]), draw.choice(PATHS), headers), len(names)


def test_no_header_makes_the_server_fail(peopled):
	server, token = peopled
	draw, fuzzed, statuses = random.Random(SEED), 0, set()
	while fuzzed < HEADERS:
		with Wire(server, 30) as w:
			for _ in range(BATCH):
				data, n = request(draw, token)
				fuzzed += n
				if not w.send(data):
					break
				reply = w.read(data.split(b" ")[0].decode())
				assert reply.status_code is not None and reply.status_code < 500 or reply.status_code == 501, (data, reply)
				statuses.add(reply.status_code)
				if w.ended or reply.headers.get("connection", "").lower() == "close":
					break
	assert {200, 401, 404} <= statuses, statuses # it gets behind the door too
	server.alive()
