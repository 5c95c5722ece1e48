"""The sealed runner's processes, as /proc shows them."""
import os
import random
import signal
import threading
import time
from pathlib import Path


def children(pid):
	"""Process ids of the living and dead children of all threads of a process."""
	found = []
	try:
		for task in Path(f"/proc/{pid}/task").iterdir():
			found += map(int, (task / "children").read_text().split())
	except (FileNotFoundError, ProcessLookupError):
		pass
	return found


def state(pid):
	"""The letter of /proc/<pid>/stat; "" when there is no such process."""
	try:
		return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
	except (FileNotFoundError, ProcessLookupError):
		return ""


def zygotes(server):
	return [p for p in children(server.pid) if state(p) not in ("", "Z")]


def sealed(server):
	return [c for z in zygotes(server) for c in children(z) if state(c) not in ("", "Z")]


def zombies(server):
	return [p for z in [server.pid, *children(server.pid)] for p in children(z) if state(p) == "Z"]


def open_files(pid):
	"""What the descriptors of a process lead to."""
	found = {}
	for name in os.listdir(f"/proc/{pid}/fd"):
		try:
			found[int(name)] = os.readlink(f"/proc/{pid}/fd/{name}")
		except FileNotFoundError:
			pass
	return found


def kill(pids):
	"""Those that end by themselves meanwhile are no error."""
	for pid in pids:
		try:
			os.kill(pid, signal.SIGKILL)
		except ProcessLookupError:
			pass


def cpu_seconds(server):
	"""What the sealed processes have used, those included that have ended."""
	ticks = 0
	for pid in [*zygotes(server), *sealed(server)]:
		try:
			ticks += sum(map(int, Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:15]))
		except (FileNotFoundError, ProcessLookupError):
			pass
	return ticks / os.sysconf("SC_CLK_TCK")


class Killer:
	"""Kills a sealed child at random so many times a second, and the zygote every so many seconds."""

	def __init__(self, server, children_a_second, zygote_every_s, seed=1):
		self.server, self.rate, self.every = server, children_a_second, zygote_every_s
		self.rng = random.Random(seed)
		self.killed_children = self.killed_zygotes = 0
		self._stop = threading.Event()
		self._thread = threading.Thread(target=self._run)

	def __enter__(self):
		self._thread.start()
		return self

	def __exit__(self, *_):
		self._stop.set()
		self._thread.join()

	def _kill(self, pids):
		if not pids:
			return 0
		try:
			os.kill(self.rng.choice(pids), signal.SIGKILL)
		except ProcessLookupError:
			return 0
		return 1

	def _run(self):
		next_zygote = time.monotonic() + self.every
		while not self._stop.wait(self.rng.uniform(0, 2 / self.rate)):
			if time.monotonic() >= next_zygote:
				next_zygote += self.every
				self.killed_zygotes += self._kill(zygotes(self.server))
			else:
				self.killed_children += self._kill(sealed(self.server))
