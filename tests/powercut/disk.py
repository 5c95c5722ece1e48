"""A recorded disk and what is made of it: takes root, loop devices and FUSE."""
import os
import shutil
import subprocess
import threading
from pathlib import Path

from harness.server import REPOSITORY, binary, eventually

SIZES = {"ext4": 96 << 20, "xfs": 320 << 20}
MKFS = {"ext4": ["mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard"], "xfs": ["mkfs.xfs", "-q", "-K"]}

# Somebody else's mount namespace may keep a copy of an earlier state's mount for a while; xfs then takes the next one for the same disk.
OPTIONS = {"ext4": "rw", "xfs": "nouuid"}


def lacking():
	"""What this machine has not got for these tests; "" when all is there."""
	if os.geteuid() != 0:
		return "mounting takes root"
	if not os.path.exists("/dev/fuse"):
		return "this machine has no /dev/fuse"
	if not os.path.exists("/dev/loop-control"):
		return "this machine has no loop devices"
	tools = [t for t in ("mkfs.ext4", "mkfs.xfs", "losetup") if not shutil.which(t)]
	return f"these programs are missing: {', '.join(tools)} (e2fsprogs, xfsprogs, mount)" if tools else ""


def built(name, folder):
	"""A helper program from the build directory, else compiled here."""
	for parent in Path(binary()).parents[:4]:
		if (parent / "tests/powercut" / name).exists():
			return str(parent / "tests/powercut" / name)
	source, target = REPOSITORY / "tests/powercut" / (name.removesuffix(".so") + ".c"), Path(folder) / name
	flags = ["-shared", "-fPIC"] if name.endswith(".so") else subprocess.run(["pkg-config", "--cflags", "--libs", "fuse3"], check=True, stdout=subprocess.PIPE, text=True).stdout.split()
	subprocess.run(["cc", "-std=gnu2x", "-D_GNU_SOURCE", "-O2", "-o", target, source, *flags, "-ldl"], check=True)
	return str(target)


def run(*command):
	return subprocess.run([str(c) for c in command], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def unmount(point):
	eventually(lambda: subprocess.run(["umount", point], capture_output=True).returncode == 0, message=f"{point} is still in use")


class Recorded:
	"""A file system whose disk keeps a diary."""

	def __init__(self, folder, kind):
		self.folder, self.kind = Path(folder), kind
		self.image, self.diary, self.fuse, self.point = (self.folder / x for x in ("disk.img", "diary", "fuse", "recorded"))
		self.marked, self._lock = 0, threading.Lock()

	def __enter__(self):
		for p in (self.fuse, self.point):
			p.mkdir(parents=True)
		with open(self.image, "wb") as f:
			f.truncate(SIZES[self.kind])
		run(*MKFS[self.kind], self.image)
		self.process = subprocess.Popen([built("disklog", self.folder), self.image, self.diary, self.fuse])
		eventually(lambda: os.path.ismount(self.fuse), message="the recorded disk was not mounted")
		self.loop = run("losetup", "-f", "--show", self.fuse / "disk")
		run("mount", self.loop, self.point)
		self._mark = os.open(self.fuse / "mark", os.O_WRONLY)
		return self

	def mark(self):
		"""Writes the next number into the diary, between the writes and flushes around it, and returns it."""
		with self._lock:
			self.marked += 1
			number = self.marked
		os.write(self._mark, b"%d" % number)
		return number

	def __exit__(self, *_):
		os.close(self._mark)
		unmount(self.point)
		run("losetup", "-d", self.loop)
		unmount(self.fuse)
		self.process.wait(20)


class Mounted:
	"""One state, as the machine finds it when the power is back."""

	def __init__(self, image, point, kind):
		self.image, self.point, self.kind = image, Path(point), kind

	def __enter__(self):
		self.point.mkdir(exist_ok=True)
		for last in (False, False, True):
			self.loop = run("losetup", "-f", "--show", self.image)
			run("blockdev", "--flushbufs", self.loop) # what the kernel remembers of the image before on this device
			tried = subprocess.run(["mount", "-t", self.kind, "-o", OPTIONS[self.kind], self.loop, self.point], capture_output=True, text=True)
			if tried.returncode == 0:
				return self.point
			run("losetup", "-d", self.loop)
			said = subprocess.run("dmesg | tail -n 12", shell=True, capture_output=True, text=True).stdout
			assert not last, f"this state cannot be mounted: {tried.stderr}{said}"

	def __exit__(self, *_):
		unmount(self.point)
		run("losetup", "-d", self.loop)
