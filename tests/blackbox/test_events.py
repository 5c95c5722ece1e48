"""GET /v1/events as a client sees it that reads the bytes itself: order, resuming, heartbeats, limits, slow readers, the end."""
import json
import random
import socket
import threading
import time
from datetime import datetime, timedelta, timezone

import pytest

from harness import contract
from harness.data import random_bytes
from harness.server import eventually, is_sanitized
from harness.wire import parse_head

MANY = {"http.connections_per_address": "0"}
RING = 4096 # events that are kept


class Event:
	"""passed: how many its reader had passed over before."""

	def __init__(self, id, name, data, passed=0):
		self.id, self.name, self.data, self.passed = id, name, data, passed

	@property
	def number(self):
		return int(self.id.split("-")[1]) - self.passed

	def __repr__(self):
		return f"<{self.id} {self.name} {self.data.get('id')}>"


class Reader:
	"""One reader. Parses the framing and the stream strictly; what is not as it should be fails."""

	def __init__(self, server, query="", last_id=None, rcvbuf=None, version="1.1", method="GET", timeout=60):
		self.socket = socket.socket(socket.AF_INET)
		if rcvbuf:
			self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
		self.socket.settimeout(timeout)
		self.socket.connect((server.address, server.port))
		resume = f"Last-Event-ID: {last_id}\r\n" if last_id is not None else ""
		self.socket.sendall(f"{method} /v1/events{query} HTTP/{version}\r\nHost: a\r\n{resume}\r\n".encode())
		self.raw, self.text = b"", b""
		self.comments = [] # times
		self.place = None # the last id seen
		self.passed = 0 # events that tell of progress: there are some only where a job takes its time, as any may on a busy machine
		self.ended = False # by the server, in order
		self.cut = False
		self._head(method, query)

	def _head(self, method, query):
		while b"\r\n\r\n" not in self.raw:
			piece = self.socket.recv(65536)
			assert piece, self.raw
			self.raw += piece
		head, self.raw = self.raw.split(b"\r\n\r\n", 1)
		lines = head.decode().split("\r\n")
		self.status = int(lines[0].split()[1])
		self.headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines[1:])}
		self.chunked = self.headers.get("transfer-encoding") == "chunked"
		while self.status != 200 and len(self.raw) < int(self.headers["content-length"]):
			self.raw += self.socket.recv(65536)
		contract.seen(method, "/v1/events" + query, *parse_head(head))
		if self.status == 200:
			self._unframe()

	def _unframe(self):
		"""What has come of the body, out of its framing."""
		if not self.chunked:
			self.text, self.raw = self.text + self.raw, b""
		while b"\r\n" in self.raw:
			size, rest = self.raw.split(b"\r\n", 1)
			n = int(size, 16)
			if len(rest) < n + 2:
				break
			assert rest[n:n + 2] == b"\r\n"
			self.text += rest[:n]
			self.raw = rest[n + 2:]
			self.ended |= n == 0

	def feed(self):
		"""More text from the socket; False at the end."""
		if self.ended:
			return False
		try:
			piece = self.socket.recv(1 << 16)
		except ConnectionResetError:
			piece = b""
		if not piece:
			self.ended, self.cut = True, self.chunked
			return False
		self.raw += piece
		self._unframe()
		return True

	def _block(self, block):
		name, data = None, None
		for line in block.decode().split("\n"):
			field, _, value = line.partition(":")
			value = value.removeprefix(" ")
			if field == "":
				self.comments.append(time.monotonic())
			elif field == "id":
				self.place = value
			elif field == "event":
				name = value
			elif field == "data":
				assert data is None, block
				data = value
			else:
				assert field == "retry" and value.isdigit(), block
		if data is None:
			return None
		return Event(self.place, name, json.loads(data), self.passed)

	def next(self):
		"""The next event that is no progress; None at the end of the stream."""
		while True:
			while b"\n\n" in self.text:
				block, self.text = self.text.split(b"\n\n", 1)
				event = self._block(block)
				if event and event.name != "job.progress":
					return event
				self.passed += event is not None
			if not self.feed():
				return None

	def take(self, n):
		events = []
		while len(events) < n:
			event = self.next()
			assert event, f"the stream ended after {events}"
			events.append(event)
		return events

	def begin(self):
		"""Until the first line has come: from then on nothing is missed."""
		while b"\n\n" not in self.text:
			assert self.feed()
		block, self.text = self.text.split(b"\n\n", 1)
		self._block(block)
		return self

	def close(self):
		self.socket.close()

	def __enter__(self):
		return self

	def __exit__(self, *_):
		self.close()


def delayed(server, file, op="sha512"):
	at = (datetime.now(timezone.utc) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
	r = server.post(f"/v1/files/{file['id']}/jobs", json={"op": op, "run_at": at})
	assert r.status_code == 202, r.text
	return r.json()


def many_events(server, files):
	"""One event for each of a thousand jobs whose work was done before."""
	r = server.post("/v1/jobs", json={"jobs": [{"file": files[i % len(files)]["id"], "op": "md5"} for i in range(1000)]})
	assert r.status_code == 202, r.text


def test_what_happens_comes_in_order_with_its_json(make_server):
	s = make_server()
	with Reader(s) as r:
		assert r.status == 200 and r.headers["content-type"] == "text/event-stream" and r.headers["cache-control"] == "no-store"
		r.begin()
		file = s.upload(b"some bytes", name="a.txt", query="ops=md5,sha256")
		stored, first, second = r.take(3)
		assert stored.name == "file.stored" and stored.data == s.get(f"/v1/files/{file['id']}").json()
		assert [first.name, second.name] == ["job.succeeded"] * 2
		assert [first.data, second.data] == stored.data["jobs"]
		job = s.post(f"/v1/files/{file['id']}/jobs", json={"op": "gzip"}).json()
		done = r.next()
		assert done.name == "job.succeeded" and done.data["id"] == job["id"] and done.data["outputs"][0]["name"] == "a.txt.gz"
		assert done.data == s.get(f"/v1/jobs/{job['id']}").json()
		waiting = delayed(s, file)
		assert s.post(f"/v1/jobs/{waiting['id']}/cancel").status_code == 200
		cancelled = r.next()
		assert cancelled.name == "job.cancelled" and cancelled.data["id"] == waiting["id"]
		bad = s.post(f"/v1/files/{file['id']}/jobs", json={"op": "resize", "params": {"width": 10}})
		assert bad.status_code == 202, bad.text
		failed = r.next()
		assert failed.name == "job.failed" and failed.data["id"] == bad.json()["id"] and failed.data["error"]["code"]
		events = [stored, first, second, done, cancelled, failed]
		assert [e.number for e in events] == list(range(events[0].number, events[0].number + 6))


def test_a_job_tells_of_those_that_come_after_it(make_server):
	s = make_server()
	file = s.upload(b"no image")
	with Reader(s).begin() as r:
		first = delayed(s, file)
		second = s.post(f"/v1/files/{file['id']}/jobs", json={"op": "gzip", "after": first["id"]}).json()
		assert s.post(f"/v1/jobs/{first['id']}/cancel").status_code == 200
		assert [(e.name, e.data["id"]) for e in r.take(2)] == [("job.cancelled", first["id"]), ("job.cancelled", second["id"])]


def test_a_deleted_file_is_told_after_its_waiting_jobs(make_server):
	s = make_server()
	with Reader(s).begin() as r:
		file = s.upload(b"short life")
		jobs = [delayed(s, file), delayed(s, file, "sha1")]
		assert s.delete(f"/v1/files/{file['id']}").status_code == 204
		names = [(e.name, e.data["id"]) for e in r.take(5)]
		assert names[0] == ("file.stored", file["id"]) and names[1][0] == "job.succeeded"
		assert names[2:4] == [("job.cancelled", j["id"]) for j in jobs]
		assert names[4] == ("file.deleted", file["id"])


def test_a_reader_goes_on_after_every_id_without_a_gap_or_a_double(make_server):
	s = make_server()
	with Reader(s).begin() as r:
		begin = r.place
		for i in range(8):
			s.upload(b"%d" % i, query="ops=md5,sha1")
		events = r.take(24)
	for i, place in enumerate([begin, *(e.id for e in events)]):
		rest = events[i:]
		with Reader(s, last_id=place) as again:
			assert [e.id for e in again.take(len(rest))] == [e.id for e in rest]
	with Reader(s, query=f"?last_event_id={events[3].id}") as again:
		assert again.next().id == events[4].id
	with Reader(s, query=f"?last_event_id={events[3].id}", last_id=events[10].id) as again:
		assert again.next().id == events[11].id, "what a browser sends of itself is the newer one"


def test_a_reader_that_is_cut_off_again_and_again_under_load_misses_nothing(make_server):
	s = make_server()
	rng = random.Random(7)
	reader = Reader(s).begin()
	files = []
	load = threading.Thread(target=lambda: files.extend(s.upload(random_bytes(100, i)) for i in range(150)))
	load.start()
	events = []
	try:
		while len(events) < 300:
			events += reader.take(min(rng.randrange(1, 9), 300 - len(events)))
			reader.close()
			reader = Reader(s, last_id=events[-1].id)
	finally:
		load.join()
		reader.close()
	assert [e.number for e in events] == list(range(events[0].number, events[0].number + 300))
	assert [e.data["id"] for e in events if e.name == "file.stored"] == [f["id"] for f in files]


def test_an_id_of_another_life_resets_and_the_stream_goes_on(make_server):
	s = make_server()
	with Reader(s).begin() as r:
		s.upload(b"before")
		last = r.take(2)[-1]
	s.restart()
	for bad in (last.id, "", "-", "x-1", "1-", "99999999999999999999-1", f"{last.id}0", "1" * 300):
		with Reader(s, last_id=bad) as r:
			event = r.next()
			assert event.name == "reset" and event.data == {}, bad
			file = s.upload(b"after")
			assert r.next().data["id"] == file["id"]
			assert r.next().name == "job.succeeded"


def test_what_is_older_than_the_ring_resets(make_server):
	s = make_server()
	files = [s.upload(b"%d" % i) for i in range(10)]
	with Reader(s).begin() as r:
		many_events(s, files)
		oldest = r.take(1000)[0]
		for _ in range(RING // 1000):
			many_events(s, files)
			r.take(1000)
		newest = r.place
	with Reader(s, last_id=oldest.id) as r:
		assert r.next().name == "reset" and r.place == newest
	kept = f"{newest.split('-')[0]}-{int(newest.split('-')[1]) - RING}"
	with Reader(s, last_id=kept) as r:
		events = r.take(RING)
		assert events[0].number == int(kept.split("-")[1]) + 1 and events[-1].id == newest


def test_one_file_can_be_watched(make_server):
	s = make_server()
	file, other = s.upload(b"watched"), s.upload(b"not watched")
	with Reader(s, query=f"?file={file['id']}").begin() as r:
		for f in (other, file, other):
			s.post(f"/v1/files/{f['id']}/jobs", json={"op": "sha1"})
			s.get(f"/v1/files/{f['id']}?wait=60")
		s.delete(f"/v1/files/{other['id']}")
		s.delete(f"/v1/files/{file['id']}")
		first, second = r.take(2)
		assert first.name == "job.succeeded" and first.data["file"] == file["id"]
		assert second.name == "file.deleted" and second.data == {"id": file["id"]}


@pytest.mark.parametrize("query,field", [("?file=1", "file"), ("?since=1", "since"), ("?file=", "file")])
def test_a_wrong_question_is_refused(make_server, query, field):
	s = make_server()
	r = s.get("/v1/events" + query)
	assert r.status_code == 400 and r.json()["field"] == field
	assert s.post("/v1/events").status_code == 405


def test_a_silent_stream_has_heartbeats_that_move_its_place(make_server):
	s = make_server(settings={"http.events_heartbeat": "300ms"})
	file = s.upload(b"watched")
	since = time.monotonic()
	with Reader(s, query=f"?file={file['id']}").begin() as r:
		begin = r.place
		other = s.upload(b"another")
		r.socket.settimeout(0.1)
		while len(r.comments) < 6 or int(r.place.split("-")[1]) < int(begin.split("-")[1]) + 2:
			assert time.monotonic() - since < 60, (r.comments, r.place, begin)
			try:
				assert r.next() is None
			except TimeoutError:
				pass
		assert int(r.place.split("-")[1]) == int(begin.split("-")[1]) + 2
		# They may come to us in a heap, but are not sent more often than they should.
		assert len(r.comments) <= (r.comments[-1] - since) / 0.3 + 2
	with Reader(s, last_id=r.place).begin() as r:
		s.delete(f"/v1/files/{other['id']}")
		assert r.next().name == "file.deleted"


def test_a_slow_reader_is_dropped_while_others_go_on(make_server):
	s = make_server()
	files = [s.upload(b"%d" % i) for i in range(20)]
	before = s.rss()
	with Reader(s).begin() as quick, Reader(s, rcvbuf=4096).begin() as slow:
		for _ in range(16):
			many_events(s, files)
			slow.feed() # a few of thousands of bytes: who takes nothing at all for 30 s is cut off, as with any answer
			quick.take(1000)
		seen = []
		while event := slow.next():
			seen.append(event)
		assert slow.ended and not slow.cut
		assert seen[-1].name == "dropped" and seen[-1].data == {}
		assert len(seen) < 12_000
		ids = [e.number for e in seen[:-1]]
		assert ids == list(range(ids[0], ids[0] + len(ids)))
		s.upload(b"goes on")
		assert quick.next().name == "file.stored"
		with Reader(s, last_id=slow.place) as again:
			assert again.next().name == "reset"
		text = s.get("/metrics").text
		assert "filemill_events_dropped_total 1\n" in text
	assert is_sanitized() or s.rss() - before < 200 << 20


def test_200_readers_are_served_and_the_next_one_is_told_when_to_come_again(make_server):
	s = make_server(settings={**MANY, "http.events_heartbeat": "300ms"})
	readers = [Reader(s).begin() for _ in range(200)]
	try:
		with Reader(s) as refused:
			assert refused.status == 503 and int(refused.headers["retry-after"]) > 0
			assert b'"code":"overloaded"' in refused.raw
		file = s.upload(b"for all")
		for r in readers:
			assert [e.data["id"] for e in r.take(2)] == [file["id"], file["jobs"][0]["id"]]
		assert "filemill_events_readers 200\n" in s.get("/metrics").text
		readers.pop().close()
		readers.pop().socket.shutdown(socket.SHUT_RDWR)
		eventually(lambda: "filemill_events_readers 198\n" in s.get("/metrics").text)
		with Reader(s) as r:
			assert r.status == 200
	finally:
		for r in readers:
			r.close()


def test_readers_who_wait_cost_no_time(make_server):
	s = make_server(settings=MANY)
	readers = [Reader(s).begin() for _ in range(100)]
	try:
		def of_two_seconds():
			before = s.cpu_seconds()
			time.sleep(2)
			return s.cpu_seconds() - before
		# On a busy machine the same work takes more of a processor; what readers cost they would cost in each two seconds.
		eventually(lambda: of_two_seconds() < 0.3)
	finally:
		for r in readers:
			r.close()


def test_the_number_of_readers_is_bounded_by_the_setting(make_server):
	s = make_server(settings={"http.events_readers": "2"})
	with Reader(s).begin(), Reader(s).begin(), Reader(s) as third:
		assert third.status == 503
	s = make_server(settings={"http.events_readers": "0"})
	with Reader(s) as none:
		assert none.status == 503


def test_a_stopping_server_ends_the_streams_and_waits_for_none(make_server):
	s = make_server(settings=MANY)
	files = [s.upload(b"%d" % i) for i in range(10)]
	# Of one file, so that none of them has to be read for so long that another, which is not read meanwhile, is cut off as stuck.
	readers = [Reader(s, query=f"?file={files[0]['id']}").begin() for _ in range(50)]
	stuck = Reader(s, rcvbuf=4096).begin()
	for _ in range(3):
		many_events(s, files)
	for r in readers:
		r.take(300)
	s.stop() # well, so nobody was waited for
	for r in readers:
		assert r.next() is None and r.ended and not r.cut, "the end of a stream was not told"
		r.close()
	stuck.close()


def test_clients_who_come_and_go_leave_nothing_behind(make_server):
	s = make_server(settings={**MANY, "http.events_heartbeat": "100ms"})
	s.upload(b"warm")
	before = s.fds()
	rng = random.Random(3)

	def come_and_go(seed):
		for _ in range(40):
			r = Reader(s)
			if rng.random() < 0.5:
				r.begin()
			r.close()

	threads = [threading.Thread(target=come_and_go, args=(i,)) for i in range(4)]
	for t in threads:
		t.start()
	for i in range(40):
		s.upload(b"%d" % i)
	for t in threads:
		t.join()
	eventually(lambda: "filemill_events_readers 0\n" in s.get("/metrics").text)
	eventually(lambda: s.fds() <= before + 2)


def test_old_clients_and_heads(make_server):
	s = make_server()
	with Reader(s, version="1.0") as r:
		assert not r.chunked and r.headers["connection"] == "close"
		r.begin()
		s.upload(b"old")
		assert r.next().name == "file.stored"
	with Reader(s, method="HEAD") as r:
		assert r.status == 200 and r.headers["content-type"] == "text/event-stream"
		assert not r.chunked and r.raw == b"" and r.socket.recv(1) == b"" # no body, and no frame of one
	eventually(lambda: s.get("/healthz").status_code == 200)
