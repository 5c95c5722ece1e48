"""What a hostile user tries, and what a review suspected: each test names what went wrong before."""
import signal
import threading
import time

import pytest
import requests

from harness.data import random_bytes
from harness.preload import slow_disk # noqa: F401
from harness.server import SLOW, StartFailed, eventually, problem
from harness.threads import together

RAW = {"Content-Type": "application/octet-stream"}
PNG = b"\x89PNG\r\n\x1a\n" + bytes(8) + b"IHDR"


def test_the_type_of_stored_bytes_survives_the_way_between_threads(server):
	"""The head is sent by another thread than the one that chose the type: its text must not lie on that one's stack."""
	kinds = {"image/png": PNG + random_bytes(100_000, 1), "text/plain; charset=utf-8": b"plain text\n" * 9000,
		 "application/pdf": b"%PDF-1.4\n" + random_bytes(100_000, 2), "application/octet-stream": b"\x01" + random_bytes(100_000, 3)}
	stored = {}
	for kind, data in kinds.items():
		stored[kind] = (server.upload(data)["id"], server.upload(data[:2000])["id"])

	def load(i):
		with requests.Session() as s:
			for n in range(40):
				kind = list(kinds)[(i + n) % len(kinds)]
				for id in stored[kind]:
					r = s.get(f"{server.base}/v1/files/{id}/content", timeout=30)
					assert r.status_code == 200 and r.headers["Content-Type"] == kind
				s.post(f"{server.base}/v1/files", data=random_bytes(70_000, n), headers=RAW, timeout=30)
	together(8, load)


def test_a_repeat_the_moment_the_answer_came_is_a_repeat(server):
	"""The key was still held as `running` for an instant after the answer had left."""
	def repeat(i):
		with requests.Session() as s:
			for n in range(60):
				headers = {**RAW, "Idempotency-Key": f"at-once-{i}-{n}"}
				first = s.post(server.base + "/v1/files", data=b"x", headers=headers, timeout=30)
				again = s.post(server.base + "/v1/files", data=b"x", headers=headers, timeout=30)
				assert (first.status_code, again.status_code) == (201, 201), again.text
				assert first.json() == again.json()
	together(4, repeat)


def test_a_hundred_at_once_with_one_key_store_one_file(server):
	for size in (10, 200_000):
		data, ids, other = random_bytes(size, size), set(), []

		def post(i):
			r = requests.post(server.base + "/v1/files", data=data, headers={**RAW, "Idempotency-Key": f"hundred-{size}"}, timeout=60)
			if r.status_code == 201:
				ids.add(r.json()["id"])
			else:
				other.append(problem(r, {409, 503})["code"])
		together(60, post)
		assert len(ids) == 1 and set(other) <= {"idempotency_running", "overloaded"}
		name = f"hundred-{size}"
		stored = requests.post(server.base + "/v1/files", data=data, headers={**RAW, "Idempotency-Key": name}, timeout=60).json()
		assert ids == {stored["id"]}
		if size > 100_000:
			eventually(lambda: sum(1 for s in server.blobs().values() if s == size) == 1, message="the bytes of refused repeats stayed")


def test_deleting_what_is_being_loaded_is_gone_or_whole(server):
	"""A row that was read just before the delete pointed at bytes that went just after it: 500, as if the store were damaged."""
	data = random_bytes(150_000, 9)
	for _ in range(60):
		id = server.upload(data)["id"]

		def act(i):
			if i == 0:
				requests.delete(f"{server.base}/v1/files/{id}", timeout=30)
				return
			for _ in range(6):
				r = requests.get(f"{server.base}/v1/files/{id}/content", timeout=30)
				if r.status_code == 200:
					assert r.content == data
				else:
					problem(r, 410, "file_gone")
		together(5, act)


def test_a_file_size_limit_at_the_start_is_an_error_not_a_signal(make_server):
	"""SIGXFSZ killed the main thread without a word."""
	with pytest.raises(StartFailed) as failure:
		make_server(fsize=20_000)
	assert failure.value.code > 0 and "start_failed" in failure.value.stderr


def test_a_stop_while_the_disk_is_stuck_ends_in_time_and_loses_nothing(make_server, slow_disk):
	"""The HTTP library was taken down under requests that waited for their commit: it aborted."""
	env, slow = slow_disk
	s = make_server(env=env)
	kept = [s.upload(random_bytes(n, n)) for n in (10, 200_000)]
	slow.touch()
	acknowledged = []

	def upload(i):
		try:
			r = requests.post(s.base + "/v1/files", data=random_bytes(10 if i % 2 else 300_000, i), headers=RAW, timeout=60)
			if r.status_code == 201:
				acknowledged.append(r.json())
		except requests.RequestException:
			pass
	threads = [threading.Thread(target=upload, args=(i,)) for i in range(6)]
	for t in threads:
		t.start()
	eventually(lambda: "filemill_uploads_open 6" in s.get("/metrics").text, message="the uploads did not begin")
	s.process.terminate()
	assert s.wait() == 1 # long before the disk comes back
	for t in threads:
		t.join()
	s.check_log()
	slow.unlink()
	s.start()
	for file in kept + acknowledged:
		assert s.get(f"/v1/files/{file['id']}").json() == file


def test_a_stop_that_takes_too_long_ends_all_the_same_and_says_what_did_not_end(make_server, slow_disk):
	env, slow = slow_disk
	if SLOW:
		return # it takes its ten seconds on any build
	s = make_server(env=env)
	kept = s.upload(b"kept")
	slow.touch() # the engine cannot write that it leaves
	s.process.terminate()
	assert s.wait() == 1
	late, = [e for e in s.log_events() if e["event"] == "stopped_late"]
	assert late["part"] == "engine" and s.log_events()[-1] == late
	slow.unlink()
	s.start()
	assert s.get(f"/v1/files/{kept['id']}").json() == kept


def test_time_in_which_the_process_stood_still_is_not_that_of_its_stop(make_server, slow_disk):
	"""On a machine so busy that it stood still for seconds a stop ended with status 1 although nothing was stuck."""
	env, slow = slow_disk
	s = make_server(env=env)
	kept = s.upload(b"kept")
	slow.touch() # the engine cannot write that it leaves
	s.process.terminate()
	eventually(lambda: any(e["event"] == "signal" for e in s.log_events()))
	s.signal(signal.SIGSTOP)
	time.sleep(11) # more than a stop may take
	slow.unlink()
	s.signal(signal.SIGCONT)
	assert s.wait() == 0, s.log()
	s.start()
	assert s.get(f"/v1/files/{kept['id']}").json() == kept


def test_one_file_cannot_be_made_to_answer_with_ever_more_jobs(make_server):
	"""150,000 cached jobs on one file took three seconds to add and made each look at it cost 70 MB."""
	s = make_server()
	id = s.upload(b"abc")["id"]

	def ask():
		answers = []

		def admitted(): # a slow disk has the committer ask for a moment's patience
			answers.append(s.post("/v1/jobs", json={"jobs": [{"file": id, "op": "sha1"}] * 500}))
			return answers[-1].status_code != 503
		eventually(admitted, pause=0.5)
		return answers[-1]
	answers = [ask() for _ in range(7)]
	assert [r.status_code for r in answers] == [202, 202, 409, 409, 409, 409, 409]
	assert problem(answers[-1], 409, "conflict")["limit"] == 1100
	assert len(s.get(f"/v1/files/{id}").content) < 1 << 20
