"""More than the server can take, and clients that hold on to what they were given: who is let in is served, who is not is told when to come again, and what was acknowledged stays.
How long those wait who are let in, bench/overload measures."""
import select
import shutil
import signal
import subprocess
import time

import pytest
import requests
from harness import wire
from harness.data import random_bytes
from harness.preload import slow_disk # noqa: F401
from harness.server import eventually, is_sanitized
from harness.swarm import Swarm
from harness.wire import Wire, post_raw

MEMORY = 256 << 20 # what the server may take at the most, in all of this
STANDING = 300 # uploads: well more than the 128 that may always wait
PER_ATTACK = 300 # connections
GRACE_S = 4


def small(n):
	return random_bytes(200, n)


def check_kept(server, kept):
	"""After kill -9 and a start: these files with their bytes, and no others."""
	server.kill()
	server.env = {}
	server.start()
	assert {f["id"] for f in server.all_files()} == set(kept)
	for i, body in kept.items():
		assert server.get(f"/v1/files/{i}/content").content == body


def refused_changes(server, file):
	"""Changes are sent, one after the other, until one of them is refused: who comes early counts as one of a burst. Those that are let in have to wait for their answer.
	Returns all of them."""
	body, sent, answered = b'{"name":"other"}', [], False
	end = time.monotonic() + 60
	while not answered:
		assert time.monotonic() < end, "nobody is refused"
		sent.append(Wire(server))
		sent[-1].send(wire.head("PATCH", f"/v1/files/{file}", ["Content-Type: application/json", f"Content-Length: {len(body)}"]) + body)
		answered = select.select([w.socket for w in sent], [], [], 0.05)[0] # while the disk stands still, only with a refusal
	return sent


def test_who_comes_to_a_queue_that_stands_is_told_when_to_come_again(make_server, slow_disk):
	env, slow = slow_disk
	s = make_server(env=env, settings={"http.connections_per_address": "0", "files.inline_max": "32KiB"}) # larger ones wait for their own flush, and not in the queue
	kept = {s.upload(small(n))["id"]: small(n) for n in range(2)}
	some = next(iter(kept))
	slow.touch()
	standing = [(Wire(s), small(1000 + n)) for n in range(STANDING)]
	for w, body in standing:
		w.send(post_raw(body))
	changes = refused_changes(s, some)
	assert s.get(f"/v1/files/{some}/content").content == kept[some], "who reads is served meanwhile"
	late = [(Wire(s), small(9000 + n)) for n in range(5)]
	for w, body in late:
		w.send(post_raw(body))
		assert select.select([w.socket], [], [], 60)[0], "no answer"
	slow.unlink()
	changes = [w.read("PATCH") for w in changes]
	refused = [r for r in changes if r.status_code != 200]
	for r in refused:
		assert r.status_code == 503 and r.json()["code"] == "overloaded" and int(r.headers["Retry-After"]) in (1, 2, 3), r
	again = []
	for w, body in standing + late:
		with w:
			r = w.read("POST")
		if r.status_code == 201:
			kept[r.json()["id"]] = body
			continue
		assert r.status_code == 503 and r.json()["code"] == "overloaded", r
		assert int(r.headers["Retry-After"]) in (1, 2, 3)
		again.append(body)
	assert set(again) >= {body for _, body in late}, "an upload is refused as a change is"
	for body in again:
		kept[s.upload(body)["id"]] = body
	assert f"filemill_overloaded_total {len(again) + len(refused)}\n" in s.get("/metrics").text
	assert sum(e["event"] == "overloaded" for e in s.log_events()) == 1, "one line, not one for each"
	check_kept(s, kept)


def test_who_reads_is_served_while_more_uploads_wait_for_the_disk_than_there_are_threads(make_server, slow_disk):
	"""They had all of those threads, and what was stored was not to be had until the disk went on."""
	env, slow = slow_disk
	s = make_server(env=env)
	data = random_bytes(200_000, 1)
	kept = {s.upload(data)["id"]: data}
	some = next(iter(kept))
	slow.touch()
	standing = [(Wire(s), random_bytes(100_000, 100 + n)) for n in range(40)]
	for w, body in standing:
		w.send(post_raw(body))
	eventually(lambda: f"filemill_upload_open_bytes {40 * 100_000}\n" in s.get("/metrics").text)
	assert s.get(f"/v1/files/{some}/content").content == data
	assert [f["id"] for f in s.all_files()] == [some]
	slow.unlink()
	for w, body in standing:
		with w:
			r = w.read("POST")
		assert r.status_code == 201, r
		kept[r.json()["id"]] = body
	check_kept(s, kept)


def test_ten_times_as_many_lose_nothing_and_take_no_more_memory(make_server):
	s = make_server(settings={"http.connections_per_address": "0", "log.level": "error"})

	def make(serial):
		body = random_bytes(4096, serial)
		return "file", post_raw(body), body

	swarm = Swarm(s, 640, make).run(3)
	assert is_sanitized() or s.peak() < MEMORY
	swarm.run(0, then=s.process.kill)
	swarm.close()
	s.kill()
	s.start()
	assert swarm.acknowledged
	for status, body in swarm.refused:
		assert status == 503 and b'"code":"overloaded"' in body, body
	stored = {f["id"]: f["size"] for f in s.all_files()}
	assert not [a.id for a in swarm.acknowledged if stored.get(a.id) != a.size]
	for a in swarm.acknowledged[::50]:
		assert s.get(f"/v1/files/{a.id}/content").content == a.body


def attack(server, *options):
	return subprocess.Popen(["slowhttptest", "-c", str(PER_ATTACK), "-r", str(PER_ATTACK), "-l", "6", "-p", "5", *options], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
				stderr=subprocess.DEVNULL)


@pytest.mark.skipif(shutil.which("slowhttptest") is None, reason="slowhttptest is not installed")
def test_slow_heads_bodies_readers_and_ranges_keep_nobody_from_being_served(make_server):
	s = make_server(settings={"http.connections_per_address": "0", "http.header_timeout": "2s", "http.body_grace": "2s", "log.level": "error"})
	large = s.upload(random_bytes(8 << 20, 1))
	content = f"{s.base}/v1/files/{large['id']}/content"
	s.alive()
	fds, kept = s.fds(), {}
	attackers = [attack(s, "-H", "-i", "1", "-x", "24", "-u", s.base + "/v1/files"),
		     attack(s, "-B", "-i", "1", "-s", "8192", "-x", "10", "-t", "POST", "-u", s.base + "/v1/files"),
		     attack(s, "-X", "-w", "10", "-y", "20", "-n", "1", "-z", "32", "-k", "3", "-u", content),
		     attack(s, "-R", "-a", "1", "-b", "3000", "-t", "GET", "-u", content)]
	most = 0
	while any(a.poll() is None for a in attackers):
		body = random_bytes(100_000 if len(kept) % 2 else 1000, len(kept))
		with requests.Session() as one: # each time over a new connection, as a newcomer
			r = s.insist(lambda: one.post(s.base + "/v1/files", data=body, headers={"Content-Type": "application/octet-stream"}, timeout=60)) # pylint: disable=cell-var-from-loop
			assert r.status_code == 201, r.text
			kept[r.json()["id"]] = body
			assert s.insist(lambda: one.get(f"{s.base}/v1/files/{r.json()['id']}/content", timeout=60)).content == body # pylint: disable=cell-var-from-loop
		most = max(most, s.fds())
	assert [a.returncode for a in attackers] == [0] * 4
	assert most > fds + PER_ATTACK, "the attackers were not there"
	figures = s.get("/metrics").text
	closed = next(int(line.split()[1]) for line in figures.splitlines() if line.startswith("filemill_http_watchdog_closed_total "))
	assert closed, "slow ones are sent away"
	assert is_sanitized() or s.peak() < MEMORY
	s.http.close()
	eventually(lambda: s.fds() <= fds, message="connections of attackers stay open")
	with wire.Wire(s) as w:
		w.send(wire.head("GET", "/healthz"))
		assert w.read().status_code == 200
	check_kept(s, {**kept, large["id"]: random_bytes(8 << 20, 1)})


def test_time_in_which_the_whole_server_stood_still_is_not_the_clients(make_server):
	s = make_server(settings={"http.body_grace": f"{GRACE_S}s"})
	body = small(1)
	for _ in range(5):
		with Wire(s) as w:
			began = time.monotonic()
			w.send(wire.head("POST", "/v1/files?name=a", ["Content-Type: application/octet-stream", f"Content-Length: {len(body)}"]) + body[:1])
			time.sleep(1) # it was looked at
			s.process.send_signal(signal.SIGSTOP)
			stopped = time.monotonic()
			time.sleep(GRACE_S + 1)
			stood = time.monotonic() - stopped
			s.process.send_signal(signal.SIGCONT)
			time.sleep(1.5) # it was looked at again
			w.send(body[1:])
			took = time.monotonic() - began - stood
			reply = w.read("POST")
		if reply.status_code == 201:
			return
		assert took > GRACE_S - 0.5, reply # else this machine held the client up
	raise AssertionError("this machine is too slow to tell")
