"""What waits for a receiver that is dead costs nobody else anything, and is told in the end. FILEMILL_WEBHOOK_BACKLOG asks for another number of deliveries than every run's; with `-s`
the figures are printed."""
import http.client
import json
import os
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from harness import contract
from harness.server import eventually, is_sanitized

BACKLOG = int(os.environ.get("FILEMILL_WEBHOOK_BACKLOG", "1000"))
SETTINGS = {"net.http": "true", "net.allow": "127.0.0.0/8", "webhooks.timeout": "1s", "webhooks.retry": "0s" + 19 * ",1s"}
SENDERS = 8


class Well(BaseHTTPRequestHandler):
	protocol_version = "HTTP/1.1"
	disable_nagle_algorithm = True

	def do_POST(self):
		body = self.rfile.read(int(self.headers["Content-Length"]))
		self.server.came.append((self.headers["webhook-id"], json.loads(body)["data"]["id"]))
		self.send_response(204)
		self.end_headers()

	def log_message(self, *args):
		pass


class Mortal:
	"""A receiver that is dead at first: connections come to stand and nothing is ever answered."""

	def __init__(self):
		self.server = ThreadingHTTPServer(("127.0.0.1", 0), Well)
		self.server.came = []
		self.came = self.server.came
		self.url = f"http://127.0.0.1:{self.server.server_port}/"
		self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

	def revive(self):
		self.thread.start()

	def stop(self):
		if self.thread.is_alive():
			self.server.shutdown()
		self.server.server_close()


def send(server, n, ends):
	connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
	connection.connect()
	connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
	for _ in range(n):
		connection.request("POST", "/v1/files", b"the bytes of a small file", {"Content-Type": "application/octet-stream"})
		answer = connection.getresponse()
		body = answer.read()
		contract.seen("POST", "/v1/files", answer.status, answer.headers, body)
		assert answer.status == 201, body
		ends.append(json.loads(body)["jobs"][0]["id"])
	connection.close()


def flood(server, n):
	"""Uploads by SENDERS at once; the ids of their jobs, and how many a second there were."""
	ends, since = [], time.monotonic()
	threads = [threading.Thread(target=send, args=[server, n // SENDERS, ends]) for _ in range(SENDERS)]
	for t in threads:
		t.start()
	for t in threads:
		t.join()
	assert len(ends) == n // SENDERS * SENDERS
	return ends, len(ends) / (time.monotonic() - since)


def test_what_waits_for_a_dead_receiver_burdens_nobody_and_is_told_when_it_is_well(make_server):
	s = make_server(settings=SETTINGS)
	receiver = Mortal()
	_, rate_without = flood(s, BACKLOG)
	r = s.post("/v1/webhooks", json={"url": receiver.url})
	assert r.status_code == 201, r.text
	hook = f"/v1/webhooks/{r.json()['id']}"
	ends, rate_first = flood(s, BACKLOG // 2)
	half = s.rss()
	more, rate_then = flood(s, BACKLOG // 2)
	ends += more
	eventually(lambda: s.get(hook).json()["failing_since"]) # it was tried …
	tried = s.get(hook + "/deliveries?state=failed").json()["deliveries"]
	shown = s.get(hook).json()
	assert shown["waiting"] == len(ends) and not tried, shown # … and nothing was given up
	grown = s.rss() - half
	if not is_sanitized():
		assert grown < 16 << 20, grown # what waits is on disk; caches fill up
	receiver.revive()
	since = time.monotonic()
	assert s.patch(hook, json={"description": "well again"}).status_code == 200
	eventually(lambda: s.get(hook).json()["waiting"] == 0, 60 + BACKLOG / 100)
	seconds = time.monotonic() - since
	assert {job for _, job in receiver.came} == set(ends)
	assert len({delivery for delivery, _ in receiver.came}) == len(ends)
	receiver.stop()
	print(f"{len(ends)} deliveries waited; uploads a second: {rate_without:.0f} without a webhook, {rate_first:.0f} and {rate_then:.0f} while it was dead; "
		f"memory {half >> 20} MiB, then {grown >> 10} KiB more; delivered in {seconds:.1f} s, {len(receiver.came)} requests")
