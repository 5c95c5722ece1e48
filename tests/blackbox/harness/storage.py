"""Where the servers under test have the bytes of files: beneath the data directory, or with FILEMILL_STORAGE=s3 in a bucket of a real Ceph that the processes of a test run share, beneath a
prefix for each data directory. What is stored is looked at and changed here in both."""
import itertools
import os
import threading
from pathlib import Path

import pytest

from harness.ceph import Shared

ON_S3 = os.environ.get("FILEMILL_STORAGE") == "s3"
assert os.environ.get("FILEMILL_STORAGE", "") in ("", "local", "s3"), "FILEMILL_STORAGE is local or s3"
INLINE_MAX = os.environ.get("FILEMILL_INLINE_MAX")
INLINE_BYTES = 32 * 1024 if INLINE_MAX is None else int(INLINE_MAX) # of the largest file that is in the catalogue, where a test does not say otherwise

LOCAL = "about the folder of the bytes in the data directory"
OWN = "brings a bucket of its own, with or without this"
UNUSED = "asks fsck before any server was there, and so no bucket belongs to the directory yet"
HALF = "looks at half a file, and a bucket shows none"
PARTS = "about memory, of which parts on their way to a bucket have storage.s3_memory"
ADDRESS = "about addresses of the server to write to; test_instashare_s3 is about those of a bucket"
ISLAND = "runs in a network of its own, in which there is no bucket"
# Whole modules, or tests by the beginnings of their names, and why they are left out.
LEFT_OUT = {
	"test_admin": [(["test_roles_and_switches_hold", "test_killed_at_any_moment"], UNUSED)],
	"test_bad_input_f": [(["test_f3_a_blob_folder_that_is_missing"], LOCAL)],
	"test_backup": [(None, LOCAL)],
	"test_backup_shared": [(None, OWN)],
	"test_blobs_s3": [(None, OWN)],
	"test_imports": [(["test_after_a_kill_in_the_middle"], HALF), (["test_sources_faster_than_the_disk"], PARTS)],
	"test_imports_s3": [(None, OWN)],
	"test_instashare_s3": [(None, OWN)],
	"test_many_nodes": [(None, OWN)],
	"test_move": [(None, OWN)],
	"test_move_life": [(None, OWN)],
	"test_nodes": [(["test_a_sweep_leaves_alone"], HALF), (["test_a_node_that_would_not_find"], LOCAL)],
	"test_storage_s3": [(None, OWN)],
	"test_surface_instashare": [(["test_a_file_is_sent_to_a_signed", "test_size_and_type_are_bound", "test_a_size_is_bound_also", "test_an_address_is_for_one_use",
				      "test_an_address_is_not_turned", "test_what_came_by_anothers", "test_curl_does_it_all", "test_the_example_does"], ADDRESS)],
	"test_webhook_targets": [(None, ISLAND)],
}

# Small parts, so that more than a few files have several; what a killed server had begun is given up soon.
SETTINGS = {"storage.s3_part_size": "5MiB", "storage.s3_abandoned": "5s"}

_lock = threading.Lock()
_numbers = itertools.count()
_prefixes = {}
_ceph = None


def why_left_out(item):
	for names, why in LEFT_OUT.get(item.path.stem, ()) if ON_S3 else ():
		if names is None or any(item.name.startswith(name) for name in names):
			return why
	return None


def leave_out_the_local(items):
	"""Of the collected tests, those that say nothing about a bucket."""
	for item in items:
		if why := why_left_out(item):
			item.add_marker(pytest.mark.skip(reason=why))


@pytest.fixture(scope="session", autouse=True)
def bucket(tmp_path_factory):
	"""Begun by the main thread, with which it ends whatever happens."""
	global _ceph
	if not ON_S3:
		yield
		return
	common = tmp_path_factory.getbasetemp()
	with Shared(common.parent if "PYTEST_XDIST_WORKER" in os.environ else common, name="blobs", memory=8 << 30) as c:
		_ceph = c
		yield
		_ceph = None


# ---- what is stored ----

class Blob:
	"""One that is stored or is to be, beneath the data directory; key: its path there, as `public/7f/…`."""

	def __init__(self, root, key):
		self.path, self.key = Path(root) / key, key

	def read(self):
		return self.path.read_bytes()

	def write(self, data):
		"""Over what is there, in the same file, which is never shorter meanwhile."""
		self.path.parent.mkdir(parents=True, exist_ok=True)
		if self.path.exists():
			self.path.chmod(0o600)
		with open(os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as f:
			f.write(data)
			f.truncate()

	def remove(self):
		self.path.unlink()


class Object(Blob):
	"""The same in the bucket."""

	def __init__(self, prefix, key): # pylint: disable=super-init-not-called
		self.whole, self.key = prefix + key, key

	def read(self):
		return _ceph.bucket.ask("GET", self.whole)

	def write(self, data):
		_ceph.bucket.ask("PUT", self.whole, data)

	def remove(self):
		_ceph.bucket.ask("DELETE", self.whole)


class Folder:
	"""Beneath a data directory."""

	def __init__(self, data):
		self.root = Path(data) / "blobs"

	def all(self):
		"""Keys and sizes, of unfinished ones too; what vanishes meanwhile is left out."""
		found = {}
		for folder, _, names in os.walk(self.root):
			for name in names:
				try:
					path = os.path.join(folder, name)
					found[os.path.relpath(path, self.root)] = os.stat(path).st_size
				except FileNotFoundError:
					pass
		return found

	def blob(self, key):
		return Blob(self.root, key)


class Prefix:
	"""Beneath a prefix of the bucket."""

	def __init__(self, prefix):
		self.prefix = prefix

	def all(self):
		"""What was begun in parts has the size of none. Without what the server tries out in its bucket."""
		found = {key: 0 for key, _ in _ceph.bucket.uploads(self.prefix)}
		found.update(_ceph.bucket.objects(self.prefix))
		return {key[len(self.prefix):]: size for key, size in found.items() if not key.startswith((self.prefix + "filemill/", self.prefix + "probe/"))}

	def blob(self, key):
		return Object(self.prefix, key)


def _prefix(data):
	place = os.path.abspath(data)
	with _lock:
		if place not in _prefixes:
			_prefixes[place] = f"{os.getpid()}/{next(_numbers)}/"
		return _prefixes[place]


def of(data):
	"""What is stored for this data directory."""
	return Prefix(_prefix(data)) if ON_S3 else Folder(data)


def connections(pid):
	"""Inodes of the process's connections to the bucket, of which it keeps a bounded number."""
	if not ON_S3:
		return set()
	rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text(encoding="ascii").splitlines()[1:]]
	return {row[9] for row in rows if int(row[2].partition(":")[2], 16) == _ceph.port}


def environment(data, settings=()):
	"""What a program that works on this data directory needs in its environment; nothing where the test itself says where the bytes are."""
	env = {"FILEMILL_FILES_INLINE_MAX": INLINE_MAX} if INLINE_MAX is not None else {}
	if ON_S3 and not any(key.startswith("storage.") for key in settings):
		env.update({"FILEMILL_" + k.upper().replace(".", "_"): str(v) for k, v in _ceph.storage(_prefix(data), **SETTINGS).items()})
	return env


def forget(folder):
	"""Empties what belongs to the data directories beneath the folder."""
	with _lock:
		gone = [place for place in _prefixes if Path(place).is_relative_to(os.path.abspath(folder))]
		prefixes = [_prefixes.pop(place) for place in gone]
	for prefix in prefixes:
		_ceph.bucket.empty(prefix)
