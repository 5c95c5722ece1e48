"""Clients that drip, hoard and vanish; limits made small so that the tests are quick."""
import random
import resource
import socket
import threading
import time

import pytest
import requests

from harness import wire
from harness.data import random_bytes
from harness.server import PATIENCE_S, Server, answers, eventually
from harness.wire import head, post_raw


@pytest.fixture(scope="module")
def hasty(module_folder):
	with Server(module_folder / "hasty", settings={"http.header_timeout": "1s", "http.idle_timeout": "3s", "http.body_grace": "1s", "http.body_min_rate": "10KiB"}) as s:
		yield s


@pytest.fixture(scope="module", autouse=True)
def stalled(module_folder):
	"""Readers that ask for a large file and then read nothing."""
	s = Server(module_folder / "stalled").start()
	f = s.upload(random_bytes(30 * 2**20, 1))
	s.http.close()
	fds, readers = s.fds(), []
	for _ in range(5):
		w = wire.Wire(s, rcvbuf=4096)
		w.send(head("GET", f"/v1/files/{f['id']}/content"))
		w.socket.recv(100)
		readers.append(w)
	yield s, readers, fds
	if s.running():
		s.kill()


def ended(w):
	"""The last answer of a connection that the server ends."""
	w.socket.settimeout(60)
	try:
		r = w.read()
	except (TimeoutError, socket.timeout):
		raise AssertionError("it stays open") from None
	assert w.closes()
	return r


def drips(w, data, size, pause):
	"""Sends so many bytes at a time; true when the server ended that before all was sent."""
	w.socket.settimeout(pause)
	for at in range(0, len(data), size):
		if not w.send(data[at:at + size]):
			return True
		try:
			if w.socket.recv(1, socket.MSG_PEEK) is not None:
				return True
		except ConnectionResetError:
			return True
		except (TimeoutError, socket.timeout):
			pass
	return False


def test_a24_a_head_that_drips(hasty):
	with wire.Wire(hasty) as w:
		assert drips(w, head("GET", "/healthz", ["X-A: b"] * 80), 1, 0.1) # for a minute
		assert ended(w).status_code in (408, None)
	hasty.alive()


def test_a24_a_connection_without_a_byte(hasty):
	start = time.monotonic()
	with wire.Wire(hasty) as w:
		ended(w)
		assert time.monotonic() - start > 0.5


def test_an_idle_kept_connection_is_closed_after_its_time(hasty):
	with wire.Wire(hasty) as w:
		start = time.monotonic()
		w.send(head("GET", "/healthz"))
		assert w.read().status_code == 200
		for _ in range(2):
			time.sleep(1.5)
			again = time.monotonic()
			w.send(head("GET", "/healthz"))
			if w.read().status_code != 200: # then this machine overslept
				assert time.monotonic() - start > 2.5, "closed too early"
				return
			start = again
		ended(w)
		assert time.monotonic() - start > 2.5, "closed too early"


def test_a25_a_body_that_drips(hasty):
	blobs = set(hasty.blobs())
	before = hasty.newest_number()
	for request in (post_raw(b"x" * 100_000), wire.post_form(wire.form(wire.file_part(b"x" * 100_000)))):
		with wire.Wire(hasty) as w:
			w.send(request[:60_000])
			assert drips(w, request[60_000:-1000], 10, 0.05) # for three minutes
			assert ended(w).status_code in (408, None)
	eventually(lambda: set(hasty.blobs()) == blobs, message="bytes of a slow upload stayed")
	assert hasty.newest_number() == before


@pytest.mark.parametrize("target", ["/v1/files", "/uploadfile/", "/hashes/"])
@pytest.mark.parametrize("kept", [5, 100, 60_000])
def test_a32_a_body_cut_short_by_a_half_close(make_server, target, kept):
	"""The end may come in one packet with the head, and then only the time for the body tells it."""
	s = make_server(surfaces=["all"], settings={"http.body_grace": "1s", "http.idle_timeout": "3s"})
	request = wire.post_raw(b"x" * 100_000, target) if target == "/v1/files" else wire.post_form(wire.form(wire.file_part(b"x" * 100_000)), target=target)
	body = request.index(b"\r\n\r\n") + 4
	r = wire.exchange(s, request[:body + kept], half_close=True)
	assert r.status_code in (400, 408, None) or r.status_code == 200 and r.json()["success"] is False
	eventually(lambda: not s.blobs(), message="bytes of half an upload stayed")
	assert not s.all_files()


def test_a_body_that_is_fast_enough_is_taken(hasty):
	request = post_raw(b"x" * 60_000)
	for _ in range(5):
		longest = 0
		with wire.Wire(hasty) as w:
			for i in range(0, len(request), 3000):
				before = time.monotonic()
				w.send(request[i:i + 3000])
				time.sleep(0.1) # 30 kB/s for 2 s
				longest = max(longest, time.monotonic() - before)
			if w.read().status_code == 201:
				return
		assert longest > 0.25, "it was fast enough" # else this machine held it up
	raise AssertionError("this machine is too slow to tell")


def test_a_request_that_waits_is_not_taken_for_slow(hasty):
	f = hasty.upload(b"x" * 40_000)
	hasty.post(f"/v1/files/{f['id']}/jobs", json={"op": "sha1", "run_at": "2099-01-01T00:00:00.000Z"})
	start = time.monotonic()
	r = hasty.get(f"/v1/files/{f['id']}?wait=6")
	assert r.status_code == 200 and time.monotonic() - start > 5.5


def test_a_slow_but_steady_reader_is_served(hasty):
	f = hasty.upload(random_bytes(2 * 2**20, 2))
	with wire.Wire(hasty, rcvbuf=16384) as w:
		w.send(head("GET", f"/v1/files/{f['id']}/content"))
		got = b""
		while len(got) < 2**20:
			got += w.socket.recv(65536)
			time.sleep(0.03)
		w.buffer = got
		r = w.read()
	assert r.status_code == 200 and len(r.body) == 2 * 2**20


def test_more_connections_than_descriptors(make_server):
	"""1,100 connections with a limit of 1,024 descriptors: accepting pauses without a busy loop, the others are served, and all is well afterwards."""
	soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
	assert soft >= 1400, "this test needs 1,400 descriptors of its own"
	s = make_server(nofile=1024, settings={"http.connections": "10000", "http.connections_per_address": "10000", "http.header_timeout": "60s"})
	kept = s.upload(b"k" * 100_000)
	connections = [wire.Wire(s) for _ in range(1100)]
	first = connections[:200]
	for w in first:
		w.send(head("GET", "/healthz"))
	assert all(w.read().status_code == 200 for w in first), "those that were in are served"
	assert s.running()

	def rests():
		cpu = s.cpu_seconds()
		time.sleep(1)
		return s.cpu_seconds() - cpu < 0.4
	eventually(rests, message="a busy loop") # what has come first has still to be let in
	for w in first[:3]: # an upload that needs a descriptor: stored, or refused clearly
		w.send(post_raw(b"x" * 100_000))
		r = w.read()
		assert r.status_code in (201, 503), r
	for w in connections:
		w.close()
	eventually(lambda: answers(s))
	assert s.upload(b"y" * 100_000)
	assert s.get(f"/v1/files/{kept['id']}/content").content == b"k" * 100_000
	eventually(lambda: s.fds() < 100, message="descriptors leak")


def test_the_limit_of_connections_an_address(make_server):
	s = make_server(settings={"http.connections_per_address": "20"})
	connections = [wire.Wire(s) for _ in range(20)]
	for w in connections:
		w.send(head("GET", "/healthz"))
	assert all(w.read().status_code == 200 for w in connections)
	with wire.Wire(s, 3) as more:
		more.send(head("GET", "/healthz"))
		try:
			assert more.read().status_code in (None, 429, 503)
		except (TimeoutError, socket.timeout):
			pass
	for w in connections:
		w.close()
	eventually(lambda: answers(s))


def test_half_closed_clients_get_their_answer(server):
	for request, status in ((head("GET", "/healthz"), 200), (post_raw(b"x" * 100_000), 201), (wire.post_form(wire.form(wire.file_part(b"x"))), 201)):
		r = wire.exchange(server, request, half_close=True)
		assert r.status_code == status, r


def test_resets_at_random_moments_leave_nothing(server):
	rng = random.Random(7)
	blobs = set(server.blobs())
	request = post_raw(b"r" * 300_000)
	for _ in range(150):
		w = wire.Wire(server)
		w.send(request[:rng.randrange(1, len(request))])
		w.reset() if rng.random() < 0.7 else w.close()
	eventually(lambda: set(server.blobs()) == blobs, message="bytes of broken uploads stayed")
	assert b"r" * 10 not in requests.get(server.base + "/v1/files?limit=1").content


def test_clients_that_vanish_while_they_wait(server):
	f = server.upload(b"vanish")
	server.post(f"/v1/files/{f['id']}/jobs", json={"op": "sha1", "run_at": "2099-01-01T00:00:00.000Z"})
	server.http.close()
	fds = server.fds()
	for _ in range(50):
		w = wire.Wire(server)
		w.send(head("GET", f"/v1/files/{f['id']}?wait=3"))
		w.reset()
	server.alive()
	eventually(lambda: server.fds() <= fds + 3, message="their connections stay")


def shout(server, messages):
	"""Many at a time: each is said, the end too, and the server has to end its side."""
	for start in range(0, len(messages), 40):
		wires = [wire.Wire(server) for _ in messages[start:start + 40]]
		for w, data in zip(wires, messages[start:start + 40]):
			w.send(data)
			w.half_close()
		for w in wires:
			w.closes()
			assert w.ended, "it keeps a connection whose client has ended"
			w.close()
		assert server.running()


def test_noise(hasty):
	rng = random.Random(3)
	shout(hasty, [rng.randbytes(rng.randrange(1, 3000)) for _ in range(200)])
	hasty.alive()


def mutated(rng, seed):
	data = bytearray(seed)
	for _ in range(rng.randrange(1, 4)):
		at, kind = rng.randrange(len(data)), rng.randrange(3)
		if kind == 0:
			data[at] = rng.randrange(256)
		elif kind == 1:
			del data[at]
		else:
			data[at:at] = data[at:at + rng.randrange(1, 20)]
	return bytes(data)


def test_mutated_requests_never_harm(hasty):
	"""Bytes of good requests changed, dropped and doubled at random; the server answers or closes, and stays."""
	rng = random.Random(11)
	seeds = [head("GET", "/v1/files?limit=5"), post_raw(b"hello"), wire.post_form(wire.form(wire.field_part(b"ops", b"md5"), wire.file_part(b"data"))),
		 head("POST", "/v1/files", ["Transfer-Encoding: chunked", "Content-Type: x/y"]) + wire.chunked(b"a", b"bc")]
	shout(hasty, [mutated(rng, seeds[i % len(seeds)]) for i in range(800)])
	hasty.alive()


def test_many_at_once_are_all_answered(server):
	"""64 connections, each with 20 requests of different kinds."""
	failures = []
	def one(i):
		try:
			with requests.Session() as session:
				for n in range(20):
					r = session.post(server.base + "/v1/files?name=x", data=b"%d %d" % (i, n) * (1 if n % 2 else 10_000), headers={"Content-Type": "x/y"}, timeout=PATIENCE_S)
					assert r.status_code == 201, r.text
					assert session.get(server.base + r.headers["Location"], timeout=PATIENCE_S).json()["id"] == r.json()["id"]
		except Exception as e: # noqa: BLE001: carried to the main thread
			failures.append(e)
	threads = [threading.Thread(target=one, args=(i,)) for i in range(64)]
	[t.start() for t in threads]
	[t.join() for t in threads]
	assert not failures, failures[:3]


def test_a26_readers_that_stopped_reading_were_let_go(stalled):
	"""Last of this file: a stalled reader is let go after half a minute of not reading, and the others took that long."""
	server, readers, fds = stalled
	eventually(lambda: server.fds() <= fds, message="stalled readers are kept")
	[w.close() for w in readers]
	server.alive()
	server.stop()
