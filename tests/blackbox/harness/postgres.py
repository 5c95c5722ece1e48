"""A real PostgreSQL of one's own: a cluster in a temporary folder, reached through a socket in it, which ends with whoever started it.

As a program (the unit tests' way): `postgres.py [--durable]` prints where to connect, then obeys lines on its standard input (`stop fast`, `stop immediate`, `start`),
answers each with a line, and when that input ends, as it does also when the other side was killed, it removes all.

initdb and postgres refuse to run as root: root's cluster runs as the user `postgres`, or as `nobody` where there is none."""
import ctypes
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PR_SET_PDEATHSIG = 1
READY_S = 120
MEMORY = "/dev/shm"
MEMORY_FREE_MIN = 2 << 30

# A database of another order of letters than bytes have, since administrators' databases have one.
INITDB = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--locale-provider=icu", "--icu-locale=en", "--no-instructions", "--no-sync"]
SETTINGS = {
	"listen_addresses": "''",
	"unix_socket_permissions": "0700",
	"shared_buffers": "32MB",
	"max_connections": "60",
	"jit": "off",
	"log_min_messages": "warning",
	"log_min_error_statement": "error",
}
# Nothing is to survive a power cut where the whole cluster is thrown away.
FORGETFUL = {"max_wal_senders": "0", "wal_level": "minimal", "fsync": "off", "full_page_writes": "off", "autovacuum": "off", "max_wal_size": "512MB", "checkpoint_timeout": "1h"}


def programs():
	"""The folder of the newest version that is installed; None = there is none."""
	found = [p.parent for p in Path("/usr/lib/postgresql").glob("*/bin/postgres") if (p.parent / "initdb").exists()]
	return max(found, key=lambda p: int(p.parent.name), default=None)


def in_memory():
	"""A folder for what is thrown away, so that it waits for no disk; None = the usual one, where there is none or little room in it."""
	try:
		room = os.statvfs(MEMORY)
	except OSError:
		return None
	return MEMORY if room.f_bavail * room.f_frsize >= MEMORY_FREE_MIN and os.access(MEMORY, os.W_OK) else None


def _ends_with_us():
	# SIGQUIT is an immediate shutdown, of the whole cluster.
	ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGQUIT)


class Postgres:
	def __init__(self, durable=False, settings=None):
		self.programs = programs()
		if self.programs is None:
			raise FileNotFoundError("postgresql is not installed")
		self.folder = Path(tempfile.mkdtemp(prefix="filemill-postgres-", dir=None if durable else in_memory()))
		self.process = None
		self.databases = itertools.count()
		self.port = (settings or {}).get("port") # None = the usual one
		self.identity = {}
		try:
			if os.geteuid() == 0:
				self._give_away()
			self._run("initdb", *INITDB, str(self.folder / "data"))
			with open(self.folder / "data" / "postgresql.conf", "a", encoding="ascii") as conf:
				for name, value in {**SETTINGS, "unix_socket_directories": f"'{self.folder}'", **({} if durable else FORGETFUL), **(settings or {})}.items():
					print(name, "=", value, file=conf)
			self.start()
		except BaseException:
			self.close()
			raise

	def _give_away(self):
		for name in ("postgres", "nobody"):
			try:
				who = pwd.getpwnam(name)
			except KeyError:
				continue
			self.identity = {"user": who.pw_uid, "group": who.pw_gid, "extra_groups": []}
			os.chown(self.folder, who.pw_uid, who.pw_gid)
			return
		raise LookupError("there is no user besides root to run PostgreSQL as")

	def _run(self, program, *arguments):
		r = subprocess.run([self.programs / program, *arguments], cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
				   **self.identity)
		if r.returncode != 0:
			raise RuntimeError(f"{program}: {r.stdout}{r.stderr}")
		return r.stdout

	def where(self):
		"""libpq's words, without a database."""
		return f"host={self.folder} user=postgres" + (f" port={self.port}" if self.port else "")

	def conninfo(self, database="postgres"):
		return f"{self.where()} dbname={database}"

	def sql(self, text, database="postgres"):
		"""Runs a statement; rows as lines of fields with tabs between."""
		return self._run("psql", "-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-c", text, self.conninfo(database))

	def barred(self):
		"""Where to connect as somebody who may make no tables there."""
		name = self.new_database()
		self.sql(f"CREATE ROLE barred_{name} LOGIN; GRANT CONNECT ON DATABASE {name} TO barred_{name}")
		self.sql("REVOKE CREATE ON SCHEMA public FROM PUBLIC", name)
		return self.conninfo(name).replace("user=postgres", f"user=barred_{name}")

	def new_database(self):
		"""An empty one; its name."""
		name = f"d{next(self.databases)}"
		self.sql(f"CREATE DATABASE {name}")
		return name

	def start(self):
		with open(self.folder / "log", "ab") as log:
			self.process = subprocess.Popen([self.programs / "postgres", "-D", str(self.folder / "data")], cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log,
							stderr=log, preexec_fn=_ends_with_us, **self.identity)
		self._wait_ready()

	def _wait_ready(self):
		"""As pg_ctl does: the server's own file says so in its eighth line."""
		deadline = time.monotonic() + READY_S
		while time.monotonic() < deadline and self.process.poll() is None:
			try:
				lines = (self.folder / "data" / "postmaster.pid").read_text(encoding="ascii").splitlines()
			except FileNotFoundError:
				lines = []
			if len(lines) >= 8 and int(lines[0]) == self.process.pid and lines[7].strip() == "ready":
				return
			time.sleep(0.01)
		raise RuntimeError("postgres: " + (self.folder / "log").read_text(encoding="utf-8", errors="replace")[-2000:])

	def stop(self, how="fast"):
		"""fast: sessions are ended and all is written; immediate: as if every process of it had died."""
		self.process.send_signal({"fast": signal.SIGINT, "immediate": signal.SIGQUIT}[how])
		self.process.wait()
		self.process = None

	def signal_all(self, number):
		"""To each of its processes: SIGSTOP, and all of them hold still."""
		main = self.process.pid
		children = Path(f"/proc/{main}/task/{main}/children").read_text(encoding="ascii").split()
		for pid in (main, *map(int, children)):
			os.kill(pid, number)

	def close(self):
		if self.process:
			self.stop("immediate")
		shutil.rmtree(self.folder, ignore_errors=True)


def main():
	# Whoever started us decides when it is over: what is sent to his whole group, by a terminal or by who ends tests that take too long, must not keep us from cleaning up.
	if os.getpgrp() != os.getpid():
		os.setsid()
	for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
		signal.signal(number, signal.SIG_IGN)
	server = Postgres(durable="--durable" in sys.argv[1:])
	try:
		print(server.where(), flush=True)
		for line in sys.stdin:
			word, *how = line.split()
			{"stop": server.stop, "start": server.start}[word](*how)
			print("done", flush=True)
	finally:
		server.close()


if __name__ == "__main__":
	main()
