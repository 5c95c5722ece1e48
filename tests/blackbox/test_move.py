"""filemill move: from the data directory to PostgreSQL and S3, and back, each of the two alone, beside a running server, ended in the midst of it."""
import itertools
import json
import os
import subprocess

import pytest

from harness.data import random_bytes, sha256
from harness.postgres import Postgres, programs
from harness.server import StartFailed, binary, clean_environment, eventually, problem, run

pytestmark = pytest.mark.skipif(programs() is None, reason="postgresql is not installed")


@pytest.fixture(scope="module")
def cluster():
	c = Postgres()
	yield c
	c.close()


@pytest.fixture
def database(cluster, _numbers=itertools.count()):
	name = f"d{next(_numbers)}"
	cluster.sql(f"CREATE DATABASE {name}")
	return cluster.conninfo(name)


def configuration(folder, name, settings):
	"""A configuration file of these settings."""
	path = folder / f"{name}.yaml"
	sections = {}
	for key, value in settings.items():
		section, word = key.split(".", 1)
		sections.setdefault(section, []).append(f"  {word}: {json.dumps(str(value))}\n")
	path.write_text("".join(f"{section}:\n{''.join(lines)}" for section, lines in sections.items()))
	return path


class Place:
	"""Where a server has its things: a data directory, and what a configuration says besides."""

	def __init__(self, folder, name, **settings):
		self.data = folder / name
		self.settings = {key.replace("__", "."): value for key, value in settings.items()}
		self.file = configuration(folder, name, {"data.dir": self.data, **self.settings})

	def serve(self, make_server, **more):
		return make_server(data=self.data, settings={**self.settings, **more})


def move(old, new, timeout=120):
	return subprocess.run([binary(), "move", "--from", old.file, "--to", new.file], env=clean_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
			      stderr=subprocess.PIPE, text=True, timeout=timeout)


def moved(old, new):
	done = move(old, new)
	assert done.returncode == 0, done.stderr
	return done.stdout


def sound(place):
	"""fsck finds nothing, reading every byte."""
	done = run("fsck", "--data", place.data, "--read", settings=place.settings)
	assert done.returncode == 0 and "0 findings" in done.stdout, done.stdout + done.stderr


def fill(s, n=6):
	"""Small files and large ones, with jobs that are done."""
	files = [s.upload(random_bytes(1000 if i % 2 else 100_000, i), f"{i}.bin", "ops=md5,gzip") for i in range(n)]
	eventually(lambda: len(s.all_jobs("&state=succeeded")) == 2 * n)
	return files


def told(s):
	"""All that a server says of what is stored, and the bytes."""
	files = sorted(s.all_files(), key=lambda f: f["id"])
	jobs = sorted(s.all_jobs(), key=lambda j: j["id"])
	bytes_of = {f["id"]: sha256(s.get(f"/v1/files/{f['id']}/content").content) for f in files}
	outputs = {(j["id"], n): sha256(s.get(f"/v1/jobs/{j['id']}/outputs/{n}").content) for j in jobs for n in range(len(j["outputs"]))}
	assert all(bytes_of[f["id"]] == f["sha256"] for f in files)
	return files, jobs, bytes_of, outputs


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
