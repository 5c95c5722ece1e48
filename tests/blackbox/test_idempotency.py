"""Idempotency-Key: a repeat gets the first answer, whatever happened between."""
import threading

import pytest
import requests

from harness import wire
from harness.data import random_bytes
from harness.server import eventually, problem


def post(server, key, data, query="", **headers):
	return requests.post(server.base + "/v1/files" + query, data=data, headers={"Content-Type": "x/y", "Idempotency-Key": key, **headers}, timeout=30)


@pytest.mark.parametrize("size", [10, 100_000])
def test_a_repeat_gets_the_first_answer(server, size):
	data = random_bytes(size, size)
	first = post(server, f"repeat-{size}", data)
	assert first.status_code == 201
	blobs = set(server.blobs())
	again = post(server, f"repeat-{size}", data)
	assert again.status_code == 201 and again.json() == first.json() and again.headers["Location"] == first.headers["Location"]
	assert set(server.blobs()) == blobs, "the repeat's bytes stayed"


def test_the_key_survives_a_restart(make_server):
	s = make_server()
	first = post(s, "before", b"abc").json()
	s.restart()
	assert post(s, "before", b"abc").json() == first
	assert len(s.all_files()) == 1
	s.kill()
	s.start()
	assert post(s, "before", b"abc").json() == first


def test_the_same_key_with_other_content_is_refused(server):
	assert post(server, "other", b"one").status_code == 201
	problem(post(server, "other", b"two"), 422, "idempotency_conflict")
	problem(post(server, "other", b"one", "?ops=sha1"), 422, "idempotency_conflict")
	assert post(server, "other", b"one").status_code == 201


def test_forms_and_jobs_too(server):
	def form():
		return server.post("/v1/files", files={"file": ("a", b"form")}, headers={"Idempotency-Key": "form"})
	first = form()
	assert first.status_code == 201 and form().json()["id"] == first.json()["id"]


def begin(w, request, held=500):
	"""Sends all but the last bytes; the interim answer proves that the server has begun with it."""
	head, body = request.split(b"\r\n\r\n", 1)
	w.send(head + b"\r\nExpect: 100-continue\r\n\r\n")
	assert w.read(interim=True).status_code == 100
	w.send(body[:-held])


def test_a_repeat_while_the_first_is_running_is_told_so(server):
	body = b"x" * 1000
	request = wire.post_raw(body, "/v1/files", headers=["Idempotency-Key: running"])
	with wire.Wire(server) as w:
		begin(w, request)
		problem(post(server, "running", body), 409, "idempotency_running")
		w.send(request[-500:])
		first = w.read()
	assert first.status_code == 201
	assert post(server, "running", body).json()["id"] == first.json()["id"]


def test_a_key_is_free_again_when_the_first_never_finished(server):
	request = wire.post_raw(b"y" * 1000, "/v1/files", headers=["Idempotency-Key: broken"])
	with wire.Wire(server) as w:
		begin(w, request)
	eventually(lambda: post(server, "broken", b"y" * 1000).status_code == 201)


def test_a_hundred_at_once_make_one_file(server):
	answers = []
	def one():
		answers.append(post(server, "race", b"the same bytes"))
	threads = [threading.Thread(target=one) for _ in range(50)]
	[t.start() for t in threads]
	[t.join() for t in threads]
	assert {a.status_code for a in answers} <= {201, 409}
	assert len({a.json()["id"] for a in answers if a.status_code == 201}) == 1
	for a in answers:
		if a.status_code == 409:
			problem(a, 409, "idempotency_running")


@pytest.mark.parametrize("key", ["x" * 256, "x" * 300])
def test_a_key_too_long_is_refused(server, key):
	problem(post(server, key, b"x"), 400, "bad_header")


def test_an_empty_key_is_refused(server):
	r = wire.exchange(server, wire.post_raw(b"x", headers=["Idempotency-Key:"]))
	assert r.status_code == 400 and r.json()["code"] == "bad_header"


@pytest.mark.parametrize("key", ["a\tb", "caf\xe9"])
def test_a_key_with_odd_bytes_is_refused(server, key):
	r = wire.exchange(server, wire.post_raw(b"x", headers=["Idempotency-Key: " + key]))
	assert r.status_code == 400, r


def test_the_longest_key_is_taken(server):
	assert post(server, "k" * 255, b"x").status_code == 201
