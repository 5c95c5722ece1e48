"""filemill move: places to move from and to, and what is held against what."""
import json
import subprocess

from harness.data import random_bytes, sha256
from harness.server import binary, clean_environment, eventually, run


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


def move(old, new, timeout=120, env=None):
	return subprocess.run([binary(), "move", "--from", old.file, "--to", new.file], env={**clean_environment(), **(env or {})}, stdin=subprocess.DEVNULL,
			      stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=timeout)


def take_back(old):
	return subprocess.run([binary(), "move", "--from", old.file, "--take-back"], env=clean_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
			      stderr=subprocess.PIPE, text=True, timeout=120)


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
	wrong = [(f, s.get(f"/v1/files/{f['id']}/content").text[:300]) for f in files if bytes_of[f["id"]] != f["sha256"]]
	assert not wrong
	return files, jobs, bytes_of, outputs
