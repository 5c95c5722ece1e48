"""The test's side of alloc.c: which allocation of a process fails, and who had asked for it."""
import mmap
import os
import struct
import subprocess
from pathlib import Path

from harness.server import REPOSITORY, binary

AT, STICKY, CALLS, FAILED, LIVE, FRAMES = range(6)
COUNT_ONLY = 1 << 62 # a number that no call has


def library(target):
	"""From the build directory of the program; else compiled into the folder `target`."""
	for parent in Path(binary()).parents[:4]:
		if (parent / "tests/faults/faultalloc.so").exists():
			return str(parent / "tests/faults/faultalloc.so")
	path = Path(target) / "faultalloc.so"
	subprocess.run(["cc", "-std=gnu2x", "-O1", "-fPIC", "-shared", "-fno-builtin", "-o", path, REPOSITORY / "tests/faults/alloc.c", "-ldl"], check=True)
	return str(path)


class Allocations:
	"""The file that both sides map. One object may serve several lives of the program, one after the other."""

	def __init__(self, folder, shim):
		self.path = Path(folder) / "plan"
		self.path.write_bytes(bytes(4096))
		fd = os.open(self.path, os.O_RDWR)
		self.map = mmap.mmap(fd, 4096)
		os.close(fd)
		quiet = Path(folder) / "lsan.supp"
		quiet.write_text("leak:dl_open_worker_begin\nleak:_dl_\n") # the linker's own, which are found by its name only without this library
		self.env = {"LD_PRELOAD": shim, "ALLOC_SHIM": str(self.path), "ALLOC_PROGRAM": Path(binary()).name,
			    "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "exitcode=99") + ":verify_asan_link_order=0:allocator_may_return_null=1", "LSAN_OPTIONS": f"suppressions={quiet}:print_suppressions=0"}

	def get(self, what):
		return struct.unpack_from("q", self.map, what * 8)[0]

	def _put(self, what, value):
		struct.pack_into("q", self.map, what * 8, value)

	def arm(self, n, sticky=False):
		self._put(AT, 0)
		for what in (CALLS, FAILED, FRAMES):
			self._put(what, 0)
		self._put(STICKY, int(sticky))
		self._put(AT, n)

	def disarm(self):
		"""How many calls failed."""
		self._put(AT, 0)
		return self.get(FAILED)

	def count(self, work):
		"""How many allocations happen while work() runs."""
		self.arm(COUNT_ONLY)
		work()
		self.disarm()
		return self.get(CALLS)

	def who(self, pid):
		"""The stack that asked for the first one that failed, innermost first; while the process lives."""
		frames = struct.unpack_from(f"{self.get(FRAMES)}q", self.map, (FRAMES + 1) * 8)
		try:
			maps = [line.split() for line in Path(f"/proc/{pid}/maps").read_text().splitlines()]
		except OSError:
			return []
		names = []
		for address in frames[2:]:
			for m in maps:
				begin, end = (int(x, 16) for x in m[0].split("-"))
				if begin <= address < end and len(m) > 5:
					names.append(_name(m[5], address - begin + int(m[2], 16) - 1))
		return names


def _name(path, offset):
	run = subprocess.run(["addr2line", "-fse", path, hex(offset)], capture_output=True, text=True, check=False)
	function, _, place = run.stdout.strip().partition("\n")
	return f"{function} ({place})" if "??" not in function else f"{Path(path).name}+{offset:#x}"
