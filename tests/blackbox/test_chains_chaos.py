"""Chains of jobs while sealed children and now and then the zygote are killed: what comes after a job worked on exactly the output that stands there, sweeps that come
meanwhile take nothing that is wanted, and nothing is left behind. (test_mill_chaos.py tries jobs that stand alone.)

FILEMILL_CHAOS_FILES asks for more files than the 60 of every run: 2,000 of them are 10,000 jobs; then the zygote dies once a minute."""
import gzip
import hashlib
import io
import os
import random
import struct
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor

import requests

from harness import runner
from harness.server import is_sanitized, eventually

FILES = int(os.environ.get("FILEMILL_CHAOS_FILES", "60"))
ZYGOTE_EVERY_S = 60 if FILES >= 2000 else 3
CHILDREN_A_SECOND = 5
CLIENTS = 4
THREADS = 4
ATTEMPTS = 3

# What may become of a job whose processes are killed time and again, and of those that come after it
BLOWS = {"runner_lost", "runner_crashed"}


def png(width, height, seed):
	"""A valid RGB image with something in it."""
	rng = random.Random(seed)
	row = rng.randbytes(3 * width) # other pixels for every seed
	raw = b"".join(b"\0" + row[i % 64:] + row[:i % 64] for i in range(height))

	def chunk(kind, data):
		return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
	return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
		+ chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b""))


class Sample:
	"""A file, the five jobs it is to have, and what its outputs must be."""

	def __init__(self, n):
		rng = random.Random(n)
		self.name = f"sample-{n}"
		if n % 3 == 0:
			self.body = png(rng.randrange(200, 900), rng.randrange(200, 700), n)
			self.ops = "resize;width=60;height=60;fit=cover;format=webp, sha1;after=resize, gzip, md5;after=gzip, zip"
		else:
			# each its own, so that no output is shared and blobs can be counted
			self.body = b"%d" % n + rng.randbytes(rng.choice([0, 100, 5000, 200_000])) + b"the same over and over " * rng.randrange(1, 3000)
			self.ops = "gzip, md5;after=gzip, zip, sha512;after=zip, zstd"

	def check_output(self, op, data):
		if op == "gzip":
			assert gzip.decompress(data) == self.body
		elif op == "zip":
			with zipfile.ZipFile(io.BytesIO(data)) as z:
				assert z.namelist() == [self.name] and z.read(self.name) == self.body
		elif op == "resize":
			assert data[:4] == b"RIFF" and data[8:12] == b"WEBP" and len(data) == 8 + struct.unpack("<I", data[4:8])[0]
		else:
			assert data[:4] == b"\x28\xb5\x2f\xfd"


def send(server, samples):
	"""Uploads with a few clients at once; ids in the order of the samples."""
	def one(sample):
		r = requests.post(f"{server.base}/v1/files", params={"name": sample.name, "ops": sample.ops}, data=sample.body,
				  headers={"Content-Type": "application/octet-stream"}, timeout=70)
		assert r.status_code == 201, r.text
		return r.json()["id"]
	with ThreadPoolExecutor(CLIENTS) as clients:
		return list(clients.map(one, samples))


def check_file(server, sample, file):
	"""Returns how many of its jobs ended well."""
	by_id = {j["id"]: j for j in file["jobs"]}
	well = 0
	assert len(by_id) == 5
	for job in file["jobs"]:
		if job["state"] == "failed":
			before = by_id.get(job["after"])
			assert job["error"]["code"] in BLOWS or (job["error"]["code"] == "input_failed" and before["state"] == "failed"), job
			assert not job["outputs"]
			continue
		assert job["state"] == "succeeded", job
		well += 1
		for n, output in enumerate(job["outputs"]):
			r = server.get(f"/v1/jobs/{job['id']}/outputs/{n}")
			assert r.status_code == 200, r.text
			assert len(r.content) == output["size"] and hashlib.sha256(r.content).hexdigest() == output["sha256"], job
			sample.check_output(job["op"], r.content)
			for after in file["jobs"]:
				if after["after"] == job["id"] and after["state"] == "succeeded":
					assert after["result"] == {after["op"]: hashlib.new(after["op"], r.content).hexdigest()}, after
	return well


def metric(server, name):
	for line in server.get("/metrics").text.splitlines():
		if line.startswith(name + " "):
			return float(line.split()[1])
	raise KeyError(name)


def outputs_stored(server):
	return [name for name in server.blobs() if name.count(".") == 2]


def test_every_chain_ends_once_and_whole_while_its_processes_are_killed(make_server):
	server = make_server(settings={"files.sweep_every": "1s", "jobs.threads": str(THREADS)})
	warm = [Sample(1_000_000 + n) for n in range(12)]
	send(server, warm)
	eventually(lambda: server.get("/v1/stats").json()["jobs"]["succeeded"] == 60)
	fds, rss = server.fds(), server.rss()

	samples = [Sample(n) for n in range(FILES)]
	with runner.Killer(server, CHILDREN_A_SECOND, ZYGOTE_EVERY_S) as killer:
		ids = send(server, samples)

		def all_final():
			jobs = server.get("/v1/stats").json()["jobs"]
			return jobs["queued"] == jobs["running"] == 0
		eventually(all_final, 60 + 6 * FILES)
		eventually(lambda: killer.killed_children > 0, message="no child was killed") # some wait for work after the last job too

	well = 0
	for sample, i in zip(samples, ids):
		well += check_file(server, sample, server.get(f"/v1/files/{i}").json())
	jobs = server.get("/v1/stats").json()["jobs"]
	assert jobs["succeeded"] + jobs["failed"] == 5 * (FILES + len(warm)), jobs
	assert metric(server, "filemill_jobs_succeeded_total") + metric(server, "filemill_jobs_failed_total") <= 5 * (FILES + len(warm))
	# However long this machine took, and however many were killed on it: who ends badly lost all his attempts, or comes after one who did.
	badly = sum(j["state"] == "failed" and j["error"]["code"] in BLOWS for i in ids for j in server.get(f"/v1/files/{i}").json()["jobs"])
	assert badly * ATTEMPTS <= killer.killed_children + THREADS * killer.killed_zygotes, f"{badly} jobs ended badly"
	assert well > 0

	# of 5 jobs 3 make an output; what an interrupted attempt wrote is gone, or goes with the next sweep
	rows = sum(len(j["outputs"]) for j in server.all_jobs())
	eventually(lambda: len(outputs_stored(server)) == rows)
	# Whoever needs a zygote next starts it: the last kill may have come when nobody did.
	job, = server.upload(b"after the last kill", query="ops=gzip&wait=60")["jobs"]
	assert job["state"] == "succeeded", job
	eventually(lambda: not runner.zombies(server))
	eventually(lambda: server.fds() <= fds + 4)
	assert is_sanitized() or server.rss() < rss + (64 << 20), f"{server.rss() >> 20} MiB after {rss >> 20} MiB"
	assert len(runner.zygotes(server)) == 1
	eventually(lambda: metric(server, "filemill_runner_zygotes_total") == 1 + killer.killed_zygotes) # figures of the runner are looked at now and then
	print(f"{5 * FILES} jobs, {5 * FILES - well} ended badly; {killer.killed_children} children and {killer.killed_zygotes} zygotes killed; "
	      f"memory {rss >> 20} → {server.rss() >> 20} MiB, descriptors {fds} → {server.fds()}")


def test_the_sealed_processes_hold_nothing_of_the_server(make_server):
	server = make_server()
	i = server.upload(b"x" * 100_000, query="ops=md5")["id"]
	r = server.post(f"/v1/files/{i}/jobs", json={"op": "sha512"})
	assert r.status_code in (200, 201, 202), r.text
	eventually(lambda: all(j["state"] == "succeeded" for j in server.get(f"/v1/files/{i}").json()["jobs"]))
	processes = eventually(lambda: len(found := runner.zygotes(server) + runner.sealed(server)) >= 2 and found, message="there is no child to look at")
	mine = set(runner.open_files(server.pid).values())
	for pid in processes:
		for fd, what in runner.open_files(pid).items():
			assert not what.startswith(str(server.data)), f"{fd} → {what}"
			assert fd <= 2 or not (what.startswith("socket:") and what in mine), f"{fd} → {what}"
