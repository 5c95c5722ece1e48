"""filemill behind the proxies whose configuration the house ships, as a client on the other side of them sees it."""
import json
import os
import re
import subprocess

import pytest

from harness import people, proxies
from harness.data import md5, random_bytes
from harness.server import Server, eventually
from harness.signing import SCOPES, Key, content_digest

SETTINGS = {"http.trusted_proxies": "127.0.0.1", "http.hosts": f"{proxies.NAME},127.0.0.1", "http.hsts": "365d", "auth.anonymous": "true", "limits.exempt": "192.0.2.1",
	    "http.events_heartbeat": "200ms", "log.access": "true"}
MIB = 1 << 20
LARGE = int(os.environ.get("FILEMILL_PROXY_MIB", "16")) * MIB
pytestmark = pytest.mark.skipif(bool(proxies.missing()), reason=proxies.missing())


@pytest.fixture(scope="module")
def server(module_folder):
	with Server(module_folder / "server", settings=SETTINGS) as s:
		s.stop()
		people.first_admin(s)
		s.admin = people.sign_in(s.start(), people.ADMIN)
		made = people.add_user(s.admin).key(SCOPES).made
		s.signing_key = Key(made["id"], made["signing_secret"])
		yield s


@pytest.fixture(scope="module", params=proxies.KINDS)
def proxy(request, module_folder, server):
	p = proxies.KINDS[request.param](module_folder / request.param, server)
	checked = p.check()
	assert checked.returncode == 0 and "warn" not in checked.stdout.lower(), checked.stdout
	yield p.start()
	p.stop()


def metric(server, name):
	r = server.admin.get("/metrics")
	assert r.status_code == 200, r.text
	return int(re.search(rf"^{name} (\d+)$", r.text, re.M).group(1))


def open_bytes(server):
	return metric(server, "filemill_upload_open_bytes")


def head_of(length, query="name=slow.bin", fields=""):
	return f"POST /v1/files?{query} HTTP/1.1\r\nHost: {proxies.NAME}\r\nContent-Type: application/octet-stream\r\nContent-Length: {length}\r\n{fields}\r\n".encode()


def answer(connection):
	"""Status and body of an answer with a length."""
	data = b""
	while b"\r\n\r\n" not in data:
		piece = connection.recv(65536)
		assert piece, data
		data += piece
	head, _, body = data.partition(b"\r\n\r\n")
	length = int(re.search(rb"(?i)\r\ncontent-length: (\d+)", head).group(1))
	while len(body) < length:
		body += connection.recv(65536)
	return int(head.split()[1]), head, json.loads(body)


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_a_large_upload_comes_through_whole_and_back(proxy, folder, version):
	body = random_bytes(LARGE, 7)
	(folder / "large").write_bytes(body)
	said = proxy.curl("/v1/files?name=large&ops=md5&wait=60", version, "--data-binary", f"@{folder}/large", "-H", "Content-Type: application/octet-stream",
			  "-w", "\n%{http_code} %{http_version}").stdout
	text, _, status = said.rpartition(b"\n")
	assert status.decode() == f"201 {'2' if version == '--http2' else '1.1'}", said
	f = json.loads(text)
	assert f["jobs"][0]["result"]["md5"] == md5(body)
	assert proxy.curl(f"/v1/files/{f['id']}/content", version).stdout == body
	assert proxy.curl(f"/v1/files/{f['id']}/content", version, "-r", "1000000-1000999").stdout == body[1000000:1001000]


def test_an_upload_reaches_the_server_while_it_is_sent(proxy, server):
	with proxy.connect() as c:
		c.sendall(head_of(4 * MIB))
		c.sendall(bytes(2 * MIB))
		eventually(lambda: open_bytes(server) >= MIB, message="the proxy keeps what the client sends")
		c.sendall(bytes(2 * MIB))
		assert answer(c)[0] == 201


def test_an_upload_that_is_refused_is_not_taken_to_its_end(proxy):
	with proxy.connect() as c:
		c.sendall(head_of(6 << 30)) # more than files.max_size
		status, _, body = answer(c)
		assert (status, body["code"]) == (413, "too_large")


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_events_arrive_as_they_happen(proxy, server, version):
	reader = subprocess.Popen(proxy.curl_command("/v1/events", version, "-N"), stdout=subprocess.PIPE)
	try:
		eventually(lambda: metric(server, "filemill_events_readers") == 1)
		f = server.upload(b"some bytes", query="ops=md5")
		for line in reader.stdout: # ends with curl, after a minute
			if f["id"].encode() in line:
				break
		else:
			pytest.fail("the event did not come")
	finally:
		reader.kill()
		reader.wait()
		reader.stdout.close()
	eventually(lambda: metric(server, "filemill_events_readers") == 0, message="the server was not told that the reader is gone")


def test_a_client_is_who_the_proxy_says_and_not_who_he_says(proxy, server):
	lies = ["X-Forwarded-For: 203.0.113.{0}", "Forwarded: for=203.0.113.{0}", "X-Real-IP: 203.0.113.{0}", "X-Forwarded-For: nonsense"]
	asked = lambda: [e["peer"] for e in server.log_events() if e["event"] == "request" and e["path"] == "/v1/ops"]
	before = len(asked())
	for n, lie in enumerate(lies):
		done = proxy.curl("/v1/ops", "--interface", "127.0.0.7", "-H", lie.format(n), "-o", "/dev/null", "-w", "%{http_code}")
		assert done.stdout == b"200", (lie, done.stdout)
	eventually(lambda: len(asked()) >= before + len(lies)) # told when the answer has gone
	assert asked()[before:] == ["127.0.0.7"] * len(lies)
	assert not [e for e in server.log_events() if e["event"] == "forwarded_not_trusted"]


def test_other_names_and_what_is_counted_are_not_served(proxy):
	status = lambda path, *more: proxy.curl(path, "-o", "/dev/null", "-w", "%{http_code}", *more).stdout
	assert status("/v1/files", "-H", "Host: other.example.org", "--http1.1") == b"421"
	written = ("/metrics", "/%6detrics", "/metric%73", "/%6D%65%74%72%69%63%73") # to filemill one and the same
	assert [status(path) for path in written] == [b"404"] * len(written)
	assert status("/healthz") == b"200"


def test_plain_http_is_sent_to_tls_and_tls_is_remembered(proxy):
	done = subprocess.run(["curl", "-sS", "-i", "--noproxy", "*", "-H", f"Host: {proxies.NAME}", f"http://127.0.0.1:{proxy.plain}/v1/files?a=b"], capture_output=True, text=True, timeout=60, check=True)
	assert done.stdout.startswith("HTTP/1.1 308") and f"\nlocation: https://{proxies.NAME}/v1/files?a=b\n" in done.stdout.lower(), done.stdout
	assert re.search(r"(?mi)^strict-transport-security: max-age=31536000", proxy.curl("/healthz", "-i", "--http1.1").stdout.decode())


def test_a_signed_request_holds_through_the_proxy(proxy, server, folder):
	body = b"signed bytes"
	(folder / "body").write_bytes(body)
	path = "/v1/files?name=signed.txt"
	fields = [("Content-Type", "text/plain"), ("Content-Digest", content_digest(body))]
	signature = server.signing_key.sign("POST", proxy.url(path), fields)
	headers = [x for name, value in [*fields, *signature] for x in ("-H", f"{name}: {value}")]
	done = proxy.curl(path, "--data-binary", f"@{folder}/body", *headers, "-w", "\n%{http_code}")
	assert done.stdout.endswith(b"\n201"), done.stdout
	again = proxy.curl(path, "--data-binary", f"@{folder}/body", *headers, "-w", "\n%{http_code}")
	assert again.stdout.endswith(b"\n401") and b'"replayed"' in again.stdout, again.stdout


@pytest.mark.parametrize("kind", proxies.KINDS)
def test_a_proxy_that_drains_ends_what_is_under_way(module_folder, server, kind):
	proxy = proxies.KINDS[kind](module_folder / f"draining-{kind}", server).start()
	try:
		with proxy.connect() as c:
			c.sendall(head_of(2 * MIB))
			c.sendall(bytes(MIB))
			eventually(lambda: open_bytes(server) > 0)
			proxy.end_softly()
			eventually(lambda: proxy.curl("/healthz", check=False).returncode != 0, message="new connections are still taken")
			c.sendall(bytes(MIB))
			assert answer(c)[0] == 201
		assert proxy.process.wait(60) == 0
	finally:
		proxy.stop()
