"""The test's side of shim.c: which call of a process that writes, flushes, names or shortens a file fails, and which did."""
import os
import subprocess
from pathlib import Path

from harness.server import REPOSITORY, binary

FLUSHES = ("fsync", "fdatasync")


def library(target):
	"""From the build directory of the program; else compiled into the folder `target`."""
	for parent in Path(binary()).parents[:4]:
		if (parent / "tests/faults/faultshim.so").exists():
			return str(parent / "tests/faults/faultshim.so")
	path = Path(target) / "faultshim.so"
	subprocess.run(["cc", "-std=gnu2x", "-O1", "-fPIC", "-shared", "-o", path, REPOSITORY / "tests/faults/shim.c", "-ldl", "-lpthread"], check=True)
	return str(path)


class FileCalls:
	"""What one process gets in its environment, and what became of its calls below the directory `below`."""

	def __init__(self, folder, shim, below, **plan):
		self.log = Path(folder) / "calls"
		self.env = {"LD_PRELOAD": shim, "SHIM_DIR": str(below), "SHIM_LOG": str(self.log),
			    "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "exitcode=99") + ":verify_asan_link_order=0", **{"SHIM_" + k.upper(): str(v) for k, v in plan.items()}}

	def all(self):
		"""(number, call, path) and "FAIL" when it did, for each call that was counted."""
		return [line.split() for line in self.log.read_text().splitlines()] if self.log.exists() else []

	def failed(self):
		return [x for x in self.all() if x[-1] == "FAIL"]

	def flush_failed(self):
		"""SQLite flushes the directory for its journals with fdatasync and ignores the outcome; the catalogue does it again, with fsync, before anything
		is acknowledged, and minds. An audit file's failed flush stops the log alone: its lines stay in the catalogue."""
		return [x for x in self.failed() if x[1] in FLUSHES and x[1:3] != ["fdatasync", "."] and not x[2].startswith("./audit/")]
