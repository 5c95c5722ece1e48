"""Sealed children killed at random five times a second, and the zygote now and then, while jobs run: every job ends exactly once, and what ends well is right.

FILEMILL_CHAOS_FILES asks for more files than the 150 of every run (five jobs each); 2,000 is the full measure. FILEMILL_ZYGOTE_EVERY: seconds between two zygotes' deaths."""
import gzip
import io
import os
import random
import struct
import subprocess
import threading
import time
import zipfile
import zlib
from collections import Counter

from harness import runner, storage
from harness.data import digests
from harness.images import chunk
from harness.server import SLOW, Server, eventually

FILES = int(os.environ.get("FILEMILL_CHAOS_FILES", "150"))
ZYGOTE_EVERY_S = float(os.environ.get("FILEMILL_ZYGOTE_EVERY", "4" if FILES < 1000 else "60"))
KILLS_A_SECOND = 5
THREADS = 4
ATTEMPTS = 3
FINAL = {"succeeded", "failed", "cancelled", "quarantined"}
LOST = {"runner_lost", "runner_crashed"} # what a job may say whose process was killed in all its attempts


# ---- files to send ----

def png(rng, width, height):
	"""A noisy grey picture, so that it takes the decoder some time."""
	rows = b"".join(b"\0" + rng.randbytes(width) for _ in range(height))
	return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b"")


def png_size(data):
	"""Dimensions of a PNG whose every chunk has its right checksum and whose pixels unpack."""
	assert data[:8] == b"\x89PNG\r\n\x1a\n", data[:16]
	at, pixels = 8, b""
	while at < len(data):
		n, = struct.unpack(">I", data[at:at + 4])
		kind, body = data[at + 4:at + 8], data[at + 8:at + 8 + n]
		assert struct.unpack(">I", data[at + 8 + n:at + 12 + n])[0] == zlib.crc32(kind + body)
		if kind == b"IHDR":
			width, height = struct.unpack(">II", body[:8])
		if kind == b"IDAT":
			pixels += body
		at += 12 + n
	assert kind == b"IEND" and len(zlib.decompress(pixels)) >= height * (width // 8 + 1)
	return width, height


def picture(rng):
	return png(rng, rng.randint(50, 900), rng.randint(50, 700)), ["resize;width=40;format=png", "probe", "gzip;level=1", "sha1", "zip"]


def text(rng):
	line = b"%032x the quick brown fox and so on\n" % rng.getrandbits(128)
	return line * rng.choice([3, 100, 3000]) + rng.randbytes(rng.choice([0, 1000, 100000])), ["gzip", "zstd", "zip", "sha512", "probe"]


# ---- the world around ----

class Watcher(threading.Thread):
	"""A final job never changes again, and no id that was given is ever unknown."""

	def __init__(self, server, rng):
		super().__init__(daemon=True)
		self.server, self.rng, self.over = Server.__new__(Server), rng, threading.Event()
		self.server.__dict__.update(server.__dict__, _session=None, _lock=threading.Lock())
		self.ids, self.seen, self.wrong = [], {}, []

	def run(self):
		while not self.over.wait(0.002):
			if self.ids:
				self.look(self.rng.choice(self.ids))

	def look(self, file):
		r = self.server.get(f"/v1/files/{file}")
		if r.status_code != 200:
			self.wrong.append((file, r.status_code, r.text))
			return
		for job in r.json()["jobs"]:
			before = self.seen.get(job["id"])
			if before and before != job:
				self.wrong.append((before, job))
			if job["state"] in FINAL:
				self.seen[job["id"]] = job

	def end(self):
		self.over.set()
		self.join()


# ---- what must be true afterwards ----

def unpacked(op, data, tmp):
	if op == "gzip":
		return gzip.decompress(data)
	if op == "zip":
		with zipfile.ZipFile(io.BytesIO(data)) as z:
			assert z.testzip() is None and len(z.namelist()) == 1
			return z.read(z.namelist()[0])
	path = tmp / "x.zst"
	path.write_bytes(data)
	return subprocess.run(["zstd", "-dcq", path], check=True, stdout=subprocess.PIPE).stdout


def check_success(server, body, job, tmp):
	op = job["op"]
	if op in ("sha1", "sha512"):
		assert job["result"][op] == digests(body)[op]
		return
	if op == "probe":
		assert job["result"]["type"], job
		return
	out, = job["outputs"]
	r = server.get(out["href"])
	assert r.status_code == 200 and len(r.content) == out["size"], (r.status_code, out)
	if op == "resize":
		assert png_size(r.content)[0] == 40
	else:
		assert unpacked(op, r.content, tmp) == body, f"{op} of {len(body)} bytes gave something else"


def check_jobs(server, sent, tmp):
	states = Counter()
	for file, (body, ops) in sent.items():
		f = server.get(f"/v1/files/{file}").json()
		assert len(f["jobs"]) == len(ops), f
		for job in f["jobs"]:
			states[job["state"]] += 1
			if job["state"] == "succeeded":
				check_success(server, body, job, tmp)
			else:
				assert job["state"] == "failed" and job["error"]["code"] in LOST and job["attempt"] == job["max_attempts"], job
	return states


def check_nothing_left(server, before):
	# Whoever needs a zygote next starts it: the last kill may have come when nobody did.
	job, = server.upload(b"after the last kill", query="ops=gzip&wait=60")["jobs"]
	assert job["state"] == "succeeded", job
	zygotes = runner.zygotes(server)
	assert len(zygotes) == 1 and runner.state(zygotes[0]) not in ("", "Z"), [(z, runner.state(z)) for z in zygotes]
	eventually(lambda: not runner.zombies(server), message="a dead child was not waited for")
	eventually(lambda: server.fds() <= before["fds"] + 12, message=lambda: f"descriptors: {before['fds']} before, {server.fds()} now")
	eventually(lambda: len(runner.open_files(zygotes[0])) <= before["zygote_fds"] + 12)


def test_every_job_ends_once_while_children_and_zygotes_die(folder):
	rng = random.Random(int(os.environ.get("FILEMILL_SEED", "11")))
	sent = {}
	with Server(folder / "s", settings={"log.level": "error", "jobs.threads": str(THREADS)}) as server:
		server.upload(b"warm", query="ops=gzip&wait=60")
		before = {"fds": server.fds(), "zygote_fds": len(runner.open_files(runner.zygotes(server)[0]))}
		watcher = Watcher(server, random.Random(2))
		watcher.start()
		with runner.Killer(server, KILLS_A_SECOND, ZYGOTE_EVERY_S) as killer:
			for i in range(FILES):
				body, ops = rng.choice([picture, text])(rng)
				f = server.upload_form(body, name=f"f{i}.bin", fields={"ops": ", ".join(ops)})
				sent[f["id"]] = (body, ops)
				watcher.ids.append(f["id"])
				if i == FILES // 3:
					rss = server.rss()

			def idle():
				jobs = server.get("/v1/stats").json()["jobs"]
				return jobs["queued"] + jobs["running"] == 0
			eventually(idle, timeout=60 + 4 * FILES, pause=0.2, message="jobs stay without an end")
			eventually(lambda: killer.killed_children + killer.killed_zygotes >= (3 if SLOW else 5), message="hardly anything was killed") # some wait for work after the last job too
			grown = server.rss() - rss
			watcher.end()
		assert not watcher.wrong, watcher.wrong[:3]
		states = check_jobs(server, sent, folder)
		print(f"{FILES} files, {sum(states.values())} jobs: {dict(states)}; {killer.killed_children} children and {killer.killed_zygotes} zygotes killed; memory grew by {grown >> 10} KiB")
		# However long this machine took, and however many were killed on it: who ended badly lost all his attempts.
		assert ATTEMPTS * states["failed"] <= killer.killed_children + THREADS * killer.killed_zygotes, (states, killer.killed_children, killer.killed_zygotes)
		assert states["succeeded"] > 0, states
		assert SLOW or grown < 24 << 20, f"memory grew by {grown >> 10} KiB"
		check_nothing_left(server, before)
		named = {o["href"] for j in server.all_jobs() for o in j["outputs"]}
		files = {f["id"] for f in server.all_files() if f["size"] > storage.INLINE_BYTES}
		server.restart() # every start sweeps: what failed attempts left behind goes
		eventually(lambda: len(server.blobs()) == len(named) + len(files),
			   message=lambda: f"{len(server.blobs())} blobs for {len(named)} outputs and {len(files)} files")
