"""Row E18: receivers of webhooks that answer endlessly, slowly, wrongly or not at all. Each attempt ends within its bounds, with the right word; memory and descriptors stay; nobody else waits."""
import os
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import zlib

import pytest

from harness.server import StartFailed, eventually, is_sanitized

OPEN = {"net.http": "true", "net.allow": "127.0.0.0/8", "webhooks.retry": "0s", "webhooks.timeout": "8s"}


class Hostile:
	"""A receiver that does `serve(connection)` with each connection after it has read a request's head. Connections are closed at the end."""

	def __init__(self, serve, tls=None):
		self.serve, self.tls = serve, tls
		self.stopping = threading.Event()
		self.requests = 0
		self.listener = socket.create_server(("127.0.0.1", 0))
		self.port = self.listener.getsockname()[1]
		self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}/"
		threading.Thread(target=self._run, daemon=True).start()

	def _run(self):
		while True:
			try:
				connection, _ = self.listener.accept()
			except OSError:
				return
			threading.Thread(target=self._one, args=[connection], daemon=True).start()

	def _one(self, connection):
		try:
			with self.tls.wrap_socket(connection, server_side=True) if self.tls else connection as c:
				head = b""
				while b"\r\n\r\n" not in head:
					piece = c.recv(65536)
					if not piece:
						return
					head += piece
				self.requests += 1
				self.serve(self, c)
		except OSError:
			pass # the server hung up, which is what most tests wait for

	def stop(self):
		self.stopping.set()
		self.listener.close()


def says(*parts, then=None, pause=0.0):
	"""Sends these and then one part for ever, when there is one."""
	def serve(hostile, c):
		for part in parts:
			c.sendall(part)
		while then and not hostile.stopping.wait(pause):
			c.sendall(then)
	return serve


def silent(hostile, c):
	hostile.stopping.wait(60)


def resets(hostile, c):
	c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def bomb():
	"""256 MiB of zeros in 256 KiB, as gzip."""
	z = zlib.compressobj(9, wbits=31)
	return b"".join(z.compress(bytes(1 << 20)) for _ in range(256)) + z.flush()


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
CASES = {
	# what: (serve, state, beginning of the error, status)
	"never answers": (silent, "failed", "peer_timeout", None),
	"fields without end": (says(OK, then=(b"X-Filler: " + b"x" * 1000 + b"\r\n") * 50), "failed", "answer_too_large", 200),
	"a field without end": (says(OK, b"X-Filler: ", then=b"x" * 50000), "failed", "answer_too_large", 200),
	"a status line without end": (says(b"HTTP/1.1 200 ", then=b"x" * 50000), "failed", "answer_too_large", None),
	"interim answers without end": (says(then=b"HTTP/1.1 102 Processing\r\n\r\n" * 2000), "failed", "answer_too_large", 102),
	"a gigabyte": (says(OK, b"Content-Length: 1073741824\r\n\r\n", then=bytes(65536)), "delivered", None, 200),
	"a body without end": (says(CHUNKED, then=b"10000\r\n" + bytes(65536) + b"\r\n"), "delivered", None, 200),
	"a body until the connection ends": (says(OK, b"\r\n", then=bytes(65536)), "delivered", None, 200),
	"a chunk extension without end": (says(CHUNKED, b"1;x=", then=b"y" * 1000, pause=0.001), "failed", "peer_timeout", 200),
	"trailers without end": (says(CHUNKED, b"0\r\n", then=b"X: y\r\n" * 10000), "failed", "answer_too_large", 200),
	"a head byte by byte": (says(OK, then=b"X", pause=0.1), "failed", "peer_timeout", 200),
	"a body byte by byte": (says(OK, b"Content-Length: 1000\r\n\r\n", then=b"x", pause=0.1), "failed", "peer_timeout", 200),
	"nothing": (says(), "failed", "connection_lost", None),
	"a reset": (resets, "failed", "connection_lost", None),
	"a body that breaks off": (says(OK, b"Content-Length: 10\r\n\r\nhello"), "failed", "connection_lost", 200),
	"another protocol": (says(b"SSH-2.0-OpenSSH_9.2\r\n"), "failed", "bad_answer", None),
	"what is no HTTP": (says(b"\x00" * 1000), "failed", "bad_answer", None),
}


def make_hook(server, url):
	r = server.post("/v1/webhooks", json={"url": url})
	assert r.status_code == 201, r.text
	return f"/v1/webhooks/{r.json()['id']}/deliveries"


def ended(server, deliveries):
	"""The newest delivery, when it has ended."""
	def look():
		found = server.get(deliveries).json()["deliveries"]
		return found and found[0]["state"] != "waiting" and found[0]
	return eventually(look, message="the delivery did not end")


@pytest.fixture
def hostile():
	made = []

	def make(serve, tls=None):
		made.append(Hostile(serve, tls))
		return made[-1]
	yield make
	for h in made:
		h.stop()


def test_receivers_of_every_bad_kind_at_once_end_within_their_bounds_and_hold_nobody_up(make_server, hostile):
	packed = says(OK, b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb()), bomb())
	cases = {**CASES, "a gzip bomb": (packed, "delivered", None, 200)}
	s = make_server(settings={**OPEN, "webhooks.per_owner": "64"})
	s.upload(b"warm", query="ops=md5&wait=60")
	memory, descriptors = s.rss(), s.fds()
	hooks = {name: make_hook(s, hostile(case[0]).url) for name, case in cases.items()}
	well = hostile(says(OK, b"Content-Length: 0\r\n\r\n"))
	well_hook = make_hook(s, well.url)
	for n in range(4):
		s.upload(bytes([n]))
	eventually(lambda: well.requests >= 4)
	assert ended(s, well_hook)["state"] == "delivered"
	for name, (_, state, error, status) in cases.items():
		d = ended(s, hooks[name])
		a = d["attempts"][0]
		assert (d["state"], a["status"]) == (state, status), f"{name}: {d}"
		assert (a["error"] or "").startswith(error or "") and bool(a["error"]) == bool(error), f"{name}: {a}"
	if not is_sanitized():
		assert s.rss() - memory < 48 << 20
	# Connections that may be used again are few, and go with their receivers.
	eventually(lambda: s.fds() <= descriptors + len(cases) + 8)


def certificate(folder, name):
	"""A certificate that is its own authority, for this name or address, as (file, TLS of a receiver)."""
	key, cert = folder / "key.pem", folder / "cert.pem"
	subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=receiver", "-addext",
			f"subjectAltName={name}", "-days", "2", "-keyout", key, "-out", cert], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
	tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
	tls.load_cert_chain(cert, key)
	return cert, tls


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is missing")
@pytest.mark.parametrize("name, trusted, error", [
	("IP:127.0.0.1", True, None),
	("IP:127.0.0.1", False, "tls_failed: the certificate is not accepted: self-signed certificate"),
	("IP:127.0.0.2", True, "tls_failed: the certificate is for another host"),
])
def test_only_receivers_with_a_certificate_of_net_ca_file_for_their_address_get_the_request(make_server, hostile, folder, name, trusted, error):
	os.makedirs(folder, exist_ok=True)
	cert, tls = certificate(folder, name)
	receiver = hostile(says(OK, b"Content-Length: 0\r\n\r\n"), tls)
	s = make_server(settings={**OPEN, "net.http": "false", **({"net.ca_file": cert} if trusted else {})})
	deliveries = make_hook(s, receiver.url)
	s.upload(b"x")
	d = ended(s, deliveries)
	assert d["attempts"][0]["error"] == error, d
	assert receiver.requests == (0 if error else 1)


def test_certificates_to_trust_that_are_not_there_are_named_at_the_start(make_server, folder):
	with pytest.raises(StartFailed, match="net.ca_file: the file of trusted certificates cannot be read"):
		make_server(settings={"net.ca_file": folder / "nowhere.pem"})
