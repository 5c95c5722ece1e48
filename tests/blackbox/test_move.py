"""filemill move: from the data directory to PostgreSQL and S3, and back, each of the two alone, beside a running server, ended in the midst of it."""
import itertools
import os
import subprocess
import threading
import time

import pytest
import requests

from harness import storage
from harness.ceph import ceph # noqa: F401
from harness.data import random_bytes, sha256
from harness.moves import Place, fill, move, moved, sound, told
from harness.postgres import programs
from harness.server import StartFailed, binary, clean_environment, eventually, problem
from harness.watch import metrics

pytestmark = pytest.mark.skipif(programs() is None, reason="postgresql is not installed")


def test_the_catalogue_goes_to_postgresql_and_back(make_server, folder, database):
	old, new, again = Place(folder, "old"), Place(folder, "new", catalog__url=database), Place(folder, "again")
	s = old.serve(make_server)
	fill(s)
	before = told(s)
	s.stop()
	line = moved(old, new)
	assert "6 files, 12 jobs" in line, line
	sound(new)
	t = new.serve(make_server)
	assert told(t) == before
	more = t.upload(b"more")
	t.stop()
	with pytest.raises(StartFailed, match="was moved"):
		old.serve(make_server)
	moved(new, again)
	sound(again)
	u = again.serve(make_server)
	after = told(u)
	assert [f["id"] for f in after[0]] == sorted([f["id"] for f in before[0]] + [more["id"]])
	assert u.upload(b"and more")["size"] == 8
	with pytest.raises(StartFailed, match="was moved"):
		new.serve(make_server)


class Writer:
	"""Uploads small and large files one after the other, until it is refused: what was acknowledged, and how the refusal reads."""

	def __init__(self, s):
		self.s, self.acknowledged, self.refused, self.stopped = s, [], None, threading.Event()
		self.thread = threading.Thread(target=self._run)

	def __enter__(self):
		self.thread.start()
		return self

	def __exit__(self, *_):
		self.stopped.set()
		self.thread.join()

	def _run(self):
		with requests.Session() as session:
			for i in itertools.count():
				if self.stopped.is_set() or self.refused is not None:
					return
				body = random_bytes(100_000 if i % 3 == 0 else 500, i)
				r = session.post(self.s.base + "/v1/files?name=w&ops=sha1", data=body, headers={"Content-Type": "application/octet-stream"})
				if r.status_code == 201:
					self.acknowledged.append(r.json()["id"])
				else:
					self.refused = r


class Reader(Writer):
	"""Reads the same files again and again; every answer must be right."""

	def __init__(self, s, files):
		super().__init__(s)
		self.files, self.rounds = files, 0

	def _run(self):
		with requests.Session() as session:
			while not self.stopped.is_set():
				for f in self.files:
					r = session.get(f"{self.s.base}/v1/files/{f['id']}/content")
					if r.status_code != 200 or sha256(r.content) != f["sha256"]:
						self.refused = r
						return
				self.rounds += 1


def test_beside_a_running_server_reads_go_on_and_every_acknowledged_file_arrives(make_server, folder, database):
	old, new = Place(folder, "old"), Place(folder, "new", catalog__url=database)
	s = old.serve(make_server)
	files = fill(s, 20)
	with Reader(s, files) as reader, Writer(s) as writer:
		eventually(lambda: reader.rounds > 0 and len(writer.acknowledged) > 5)
		moved(old, new)
		at = reader.rounds
		eventually(lambda: writer.refused is not None and reader.rounds > at + 1)
		assert s.get("/readyz").status_code == 200
	assert reader.refused is None, reader.refused.text
	said = problem(writer.refused, 503)
	assert said["code"] == "moved" and int(writer.refused.headers["Retry-After"]) > 0
	assert problem(s.delete(f"/v1/files/{files[0]['id']}"), 503)["code"] == "moved"
	# It may be read for days: what it cannot write by itself meanwhile is not told each time.
	eventually(lambda: metrics(s)["filemill_scheduler_beats_failed_total"] > 1)
	events = [e["event"] for e in s.log_events() if e["level"] in ("warn", "error")]
	assert events.count("writes_refused") == 1 and not {"commit_failed", "heartbeat_failed", "reclaim_failed"} & set(events), events
	before = told(s)
	t = new.serve(make_server)
	ids = {f["id"] for f in t.all_files()}
	assert {f["id"] for f in files} | set(writer.acknowledged) == ids
	eventually(lambda: all(j["state"] == "succeeded" for j in t.all_jobs()))
	assert told(t)[2] == before[2]
	s.stop()
	with pytest.raises(StartFailed, match="was moved"):
		s.start()
	t.stop()
	sound(new)


def test_an_end_in_the_midst_leaves_the_old_place_at_work_and_the_next_run_goes_on(make_server, folder, database):
	old, new = Place(folder, "old"), Place(folder, "new", catalog__url=database)
	s = old.serve(make_server)
	files = fill(s, 60)
	kills, looked = 0, False
	for step in itertools.count():
		p = subprocess.Popen([binary(), "move", "--from", old.file, "--to", new.file], env=clean_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
				     stderr=subprocess.PIPE, text=True)
		until = time.monotonic() + 0.02 * 1.4 ** step
		# Once it is ended when it has just begun to write there: how long that takes is this machine's matter.
		while p.poll() is None and time.monotonic() < until and (looked or not (new.data / "filemill.move").exists()):
			time.sleep(0.001)
		if p.poll() is None:
			p.kill()
			p.communicate()
			kills += 1
			r = s.post("/v1/files?name=k", data=b"k%d" % step, headers={"Content-Type": "application/octet-stream"})
			if r.status_code == 201:
				files.append(r.json())
			else:
				assert problem(r, 503)["code"] == "moved"
			if (new.data / "filemill.move").exists() and not looked:
				looked = True
				with pytest.raises(StartFailed, match="a move into it has not ended"):
					new.serve(make_server)
			continue
		_, err = p.communicate()
		assert p.returncode == 0, err
		break
	assert kills > 1 and looked
	before = told(s)
	s.stop()
	t = new.serve(make_server)
	assert told(t) == before
	assert {f["id"] for f in t.all_files()} == {f["id"] for f in files}
	assert "it was moved before" in moved(old, new)
	t.stop()
	sound(new)


# ---- where the bytes are ----

_numbers = itertools.count()


@pytest.fixture
def bucket(ceph):
	"""Settings of a place of its own in the bucket."""
	return ceph.storage(f"moves/{os.getpid()}-{next(_numbers)}/", **{"storage.s3_part_size": "5MiB"})


def names(settings):
	return {key.replace(".", "__"): value for key, value in settings.items()}


def test_all_goes_to_postgresql_and_a_bucket_and_back(make_server, folder, database, ceph, bucket):
	old, new, again = Place(folder, "old"), Place(folder, "new", catalog__url=database, **names(bucket)), Place(folder, "again")
	s = old.serve(make_server)
	files = fill(s)
	large = s.upload(random_bytes(12 << 20, 9), "large.bin")
	gone = s.upload(random_bytes(50_000, 10), "gone.bin")
	assert s.delete(f"/v1/files/{gone['id']}").status_code == 204
	before = told(s)
	line = moved(old, new)
	assert "0 lacking" in line, line
	t = new.serve(make_server)
	assert told(t) == before
	assert len(ceph.keys(bucket["storage.s3_prefix"])) == sum(f["size"] > storage.INLINE_BYTES for f in before[0]) + sum(len(j["outputs"]) for j in before[1])
	assert t.get(f"/v1/files/{gone['id']}").status_code == 410
	more = t.upload(random_bytes(200_000, 11), "more.bin", "ops=sha1")
	s.stop()
	t.stop()
	sound(new)
	moved(new, again)
	sound(again)
	u = again.serve(make_server)
	assert {f["id"] for f in u.all_files()} == {f["id"] for f in files} | {large["id"], more["id"]}
	told(u)


def test_the_bytes_alone_go_to_a_bucket_and_the_catalogue_alone_follows(make_server, folder, database, bucket):
	old, new, last = Place(folder, "old"), Place(folder, "new", **names(bucket)), Place(folder, "last", catalog__url=database, **names(bucket))
	s = old.serve(make_server)
	fill(s)
	before = told(s)
	s.stop()
	assert "copied" in moved(old, new)
	sound(new)
	s = new.serve(make_server)
	assert told(s) == before
	assert "they stay" in moved(new, last) # the same bucket, beside the server
	t = last.serve(make_server)
	assert told(t) == before
	s.stop()
	t.stop()
	sound(last)


# ---- what is refused ----

def test_what_cannot_be_a_target_is_refused_and_left_as_it_was(make_server, folder, cluster, database):
	old = Place(folder, "old")
	s = old.serve(make_server)
	fill(s, 2)
	other = Place(folder, "other", catalog__url=database)
	t = other.serve(make_server)
	t.upload(b"another's")
	t.stop()

	def refused(new, words):
		done = move(old, new)
		assert done.returncode != 0 and words in done.stderr, done.stderr
		assert s.upload(b"still at work")["size"] == 13

	refused(old, "the same data directory")
	refused(other, "is not empty")
	refused(Place(folder, "other"), "a data directory of its own")
	taken = Place(folder, "taken", catalog__url=database)
	refused(taken, "is not empty")
	(folder / "full").mkdir()
	(folder / "full" / "something").write_text("x")
	refused(Place(folder, "full"), "it is not empty")
	away = Place(folder, "away", catalog__url=cluster.conninfo("nowhere"))
	refused(away, "does not exist")
	barred = Place(folder, "barred", catalog__url=cluster.barred())
	refused(barred, "may make no tables")
	# Bytes may take days: none was copied, and nothing was made.
	assert not [place.data for place in (taken, away, barred) if place.data.exists()]
	assert t.start().all_files()[0]["size"] == 9
