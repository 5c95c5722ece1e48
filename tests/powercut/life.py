"""A server's life on a recorded disk, and what it promised: each answer with its mark in the disk's diary, so that any state of the disk tells what had been acknowledged by then."""
import json
import random
import sqlite3
import subprocess
import threading
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from disk import Recorded, run, unmount
from harness.data import sha256
from harness.server import Server, binary, clean_environment
from states import Diary, choose, walk

CONNECTIONS, FILES, SEEDS = 4, 48, 8
SETTINGS = {
	"files.free_reserve": "0", "files.sweep_every": "0", "audit.uploads": "true", "log.level": "info", "net.http": "true", "net.allow": "127.0.0.0/8",
	"webhooks.retry": "0s" + ",1s" * 9, # a receiver that a busy machine starves is asked again within the time that a state is given
	"recurring": json.dumps({"hourly": {"at": "@hourly", "ops": ["sha1"]}}),
}
OPS = ["", "md5", "gzip", "gzip,md5", "zstd,sha512", "resize;width=8;format=png", "gzip,zstd;after=gzip"]
FINAL = frozenset({"succeeded", "failed", "cancelled", "quarantined"})
LIVING = FINAL - {"cancelled"} | {"queued", "running"}
THERE, GONE, EXPIRES = "there", "gone", "expires" # what a file may be: EXPIRES is gone as soon as the janitor has looked


class Asked:
	"""One file, or one job, and what it was told to be, one after the other. In a state of the disk it is what was acknowledged last by then, or anything later."""

	def __init__(self, id, **fixed):
		self.id, self.told = id, []
		self.__dict__.update(fixed)

	def now(self, mark, what):
		self.told.append((mark, what))

	def may_be(self, known):
		"""All that it may be, oldest first; None among them: not there yet."""
		last = max((i for i, (mark, _) in enumerate(self.told) if mark in known), default=-1)
		return ([None] if last < 0 else []) + [what for _, what in self.told[max(last, 0):]]


class Book:
	"""Everything that was asked for. Its parts are written by one thread each, the lists by appending alone."""

	def __init__(self):
		self.files, self.jobs = {}, {}
		self.acts = [] # (mark, act, id): each leaves one line in the audit log
		self.backups = [] # (mark, ids of files that were acknowledged before it began)
		self.hook = None # the mark after which every end of a job is told to the receiver
		self.hooked = [] # (mark, job as a delivery told it)
		self.recurring = None # the mark after which the seeds' due time has passed, or will be seen to
		self.wrong = []


class Receiver(ThreadingHTTPServer):
	"""Takes what webhooks send, from the recorded server and from those that are started on states of its disk."""
	daemon_threads = True
	request_queue_size = 64

	class Handler(BaseHTTPRequestHandler):
		protocol_version = "HTTP/1.1"

		def do_POST(self):
			body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
			self.server.take(self.headers["webhook-id"], body["data"])
			self.send_response(204)
			self.end_headers()

		def log_message(self, *_):
			pass

	def __init__(self, life):
		super().__init__(("127.0.0.1", 0), self.Handler)
		self.life, self.came, self.lock, self.recording = life, set(), threading.Lock(), True
		threading.Thread(target=self.serve_forever, daemon=True).start()

	def handle_error(self, *_):
		pass # the server at the other end was killed

	def take(self, number, job):
		with self.lock:
			if self.recording:
				self.life.book.hooked.append((self.life.disk.mark(), job))
			self.came.add(number)

	def no_more_marks(self):
		with self.lock:
			self.recording = False


class Client(threading.Thread):
	"""Asks for one thing after the other, and marks each answer in the diary."""

	def __init__(self, life, server, seed, begin):
		super().__init__(daemon=True)
		self.life, self.book, self.disk, self.rng, self.begin = life, life.book, life.disk, random.Random(seed), begin
		self.twin = Server.__new__(Server)
		self.twin.__dict__.update(server.__dict__, _session=None, _lock=threading.Lock())
		self.name = f"client {seed}"

	def run(self):
		try:
			self.begin(self)
		except Exception as e: # noqa: BLE001 - told by the test
			self.book.wrong.append(f"{self.name}: {type(e).__name__}: {e}")

	def store(self, body, ops, wait):
		f = self.twin.upload(body, query=f"ops={ops}" + ("&wait=60" if wait else ""))
		mark = self.disk.mark()
		file = Asked(f["id"], sha256=sha256(body), size=len(body), jobs=[])
		file.now(mark, THERE)
		self.book.acts.append((mark, "file.stored", f["id"]))
		file.jobs = [self.job(mark, file, j) for j in f["jobs"]]
		self.book.files[f["id"]] = file
		return file

	def job(self, mark, file, shown):
		job = self.book.jobs.setdefault(shown["id"], Asked(shown["id"], file=file))
		self.tell(mark, job, shown)
		return job

	def tell(self, mark, job, shown):
		job.now(mark, shown if shown["state"] in FINAL else LIVING)

	def delete(self, file):
		assert self.twin.delete(f"/v1/files/{file.id}").status_code == 204
		mark = self.disk.mark()
		file.now(mark, GONE)
		self.book.acts.append((mark, "file.deleted", file.id))

	def changed(self, file, what, r):
		assert r.status_code == 200, r.text
		mark = self.disk.mark()
		file.now(mark, what)
		self.book.acts.append((mark, "file.changed", file.id))

	def let_expire(self, file):
		"""Soon; on a machine so busy that this has passed when it is read, later."""
		for seconds in (0.3, 3, 30):
			at = (datetime.now(timezone.utc) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
			r = self.twin.patch(f"/v1/files/{file.id}", json={"expires_at": at})
			if r.status_code == 200:
				break
		self.changed(file, EXPIRES, r)

	def cancel_and_retry(self, file):
		r = self.twin.post(f"/v1/files/{file.id}/jobs", json={"op": "crc32c", "run_at": "2999-01-01T00:00:00Z"})
		assert r.status_code == 202, r.text
		job = self.job(self.disk.mark(), file, r.json())
		file.jobs.append(job)
		if r.json()["state"] in FINAL or self.rng.random() < 0.2:
			return # taken over from equal work; or it waits for ever
		r = self.twin.post(f"/v1/jobs/{job.id}/cancel")
		assert r.status_code == 200, r.text
		mark = self.disk.mark()
		self.tell(mark, job, r.json())
		self.book.acts.append((mark, "job.cancelled", job.id))
		if self.rng.random() < 0.6:
			r = self.twin.post(f"/v1/jobs/{job.id}/retry")
			assert r.status_code == 202, r.text
			mark = self.disk.mark()
			job.now(mark, LIVING)
			self.book.acts.append((mark, "job.retried", job.id))
			shown = self.twin.get(f"/v1/jobs/{job.id}?wait=60").json()
			self.tell(self.disk.mark(), job, shown)

	def seed(self):
		"""What comes before: small files for the recurring entry, large ones whose results expire while others work."""
		for i in range(SEEDS):
			self.life.seeds.append(self.store(self.life.shared[i % 3] + b"%d" % (i // 3), "gzip", True))

	def work(self):
		for _ in range(FILES // CONNECTIONS):
			self.one()

	def one(self):
		body = self.rng.randbytes(self.rng.choice([0, 100, 4096, 32768, 32769, 100_000, 200_000])) if self.rng.random() < 0.8 else self.rng.choice(self.life.shared)
		file = self.store(body, self.rng.choice(OPS), self.rng.random() < 0.6)
		chance = self.rng.random()
		if chance < 0.15:
			self.delete(file)
		elif chance < 0.3:
			self.let_expire(file)
		elif chance < 0.4:
			self.changed(file, THERE, self.twin.patch(f"/v1/files/{file.id}", json={"labels": {"kept": "yes"}}))
		elif chance < 0.7:
			self.cancel_and_retry(file)

	def back_up(self):
		"""Beside the others, into a folder on the same disk."""
		for flags in (["--copy"], [], ["--copy"]):
			before = [f.id for f in list(self.book.files.values())]
			command = [binary(), "backup", *flags, "--data", self.twin.data, self.disk.point / "backup"]
			r = subprocess.run(command, env={**clean_environment(), **self.twin.env}, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
			assert r.returncode == 0, r.stderr
			self.book.backups.append((self.disk.mark(), before))


class Life:
	"""A server's life on a recorded disk, from an empty one to a kill. `blobs_only`: nothing but the stored bytes is on that disk."""

	def __init__(self, folder, kind, seed, blobs_only=False, env=None, settings=None):
		self.folder, self.kind, self.number, self.env = Path(folder), kind, seed, env or {}
		self.settings = {**SETTINGS, **(settings or {})}
		self.book, self.seeds, self.blobs_only = Book(), [], blobs_only
		self.receiver = Receiver(self)
		self.shared = [random.Random(seed + i).randbytes(40_000) for i in range(3)]
		with Recorded(self.folder, kind) as self.disk:
			if blobs_only:
				self.live_with_blobs_on(self.disk.point)
			else:
				self.live(self.disk.point / "data")
		self.diary = Diary(self.disk.image, self.disk.diary)
		assert not self.book.wrong, self.book.wrong

	def close(self):
		self.receiver.shutdown()
		self.receiver.server_close()

	def live_with_blobs_on(self, point):
		"""The bytes alone on the recorded disk: a commit of the catalogue beside them would flush their folders along."""
		data = self.folder / "data"
		with Server(self.folder / "first", data=data, settings=self.settings):
			pass
		if (point / "lost+found").exists():
			(point / "lost+found").rmdir()
		run("mount", "--bind", point, data / "blobs")
		try:
			self.live(data)
		finally:
			unmount(data / "blobs")

	def live(self, data):
		server = Server(self.folder / "s", data=data, settings={**self.settings, "jobs.keep_time": "1s"}, env=self.env)
		try:
			server.start()
			self.together(Client(self, server, self.number * 100, Client.seed))
			server.stop()
			self.put_back(data)
			server.settings = self.settings
			server.start()
			self.book.recurring = self.disk.mark()
			assert server.post("/v1/webhooks", json={"url": f"http://127.0.0.1:{self.receiver.server_port}/"}).status_code == 201
			self.book.hook = self.disk.mark()
			clients = [Client(self, server, self.number * 100 + 1 + i, Client.work) for i in range(CONNECTIONS)]
			self.together(*clients, *([] if self.blobs_only else [Client(self, server, 0, Client.back_up)]))
		finally:
			if server.running():
				server.kill()
			self.receiver.no_more_marks()

	def together(self, *clients):
		for c in clients:
			c.start()
		for c in clients:
			c.join(120)
			assert not c.is_alive(), f"{c.name} does not come to an end"
		assert not self.book.wrong, self.book.wrong

	@staticmethod
	def put_back(data):
		"""The recurring entry's last time was two hours ago: the next start finds one that has passed."""
		db = sqlite3.connect(data / "catalog.db")
		with db:
			assert db.execute("UPDATE recurring SET due_at = due_at - 7200000").rowcount == 1
		db.close()

	def states(self, count):
		yield from walk(self.diary, choose(self.diary, count, self.number), self.folder)

	def known(self, flush):
		return self.diary.acknowledged(flush)

	def kept(self, flush):
		"""The files that are there for certain: acknowledged by then, and nobody asked for their end."""
		known = self.known(flush)
		return [f for f in self.book.files.values() if set(f.may_be(known)) == {THERE}]
