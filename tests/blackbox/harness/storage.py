"""Where the servers under test have the bytes of files: beneath the data directory, or with FILEMILL_STORAGE=s3 in a bucket of a real Ceph that the processes of a test run share, beneath a
prefix for each data directory. What is stored is looked at and changed here in both."""
import datetime
import hashlib
import hmac
import http.client
import itertools
import os
import threading
import urllib.parse
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from harness.ceph import ACCESS, BUCKET, SECRET, Shared

ON_S3 = os.environ.get("FILEMILL_STORAGE") == "s3"
assert os.environ.get("FILEMILL_STORAGE", "") in ("", "local", "s3"), "FILEMILL_STORAGE is local or s3"
INLINE_MAX = os.environ.get("FILEMILL_INLINE_MAX")

LOCAL = "about the bytes in the data directory"
OWN = "brings a bucket of its own, with or without this"
BACKUP = "backup and restore are for files in the data directory"
# Whole modules, or tests by the beginnings of their names, and why they are left out.
LEFT_OUT = {
	"test_blobs_s3": [(None, OWN)],
	"test_imports_s3": [(None, OWN)],
	"test_instashare_s3": [(None, OWN)],
	"test_storage_s3": [(None, OWN)],
}

# Small parts, so that more than a few files have several; what a killed server had begun is given up soon.
SETTINGS = {"storage.s3_part_size": "5MiB", "storage.s3_abandoned": "5s"}

_lock = threading.Lock()
_numbers = itertools.count()
_prefixes = {}
_ceph = None
_connections = threading.local()


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


# ---- the bucket ----

def _signed(method, path, query, headers):
	"""AWS Signature Version 4 in the Authorization field."""
	now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
	scope = f"{now[:8]}/us-east-1/s3/aws4_request"
	headers = {**headers, "x-amz-date": now}
	names = ";".join(sorted(headers))
	lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
	request = f"{method}\n{path}\n{query}\n{lines}\n{names}\n{headers['x-amz-content-sha256']}"
	key = b"AWS4" + SECRET.encode()
	for word in scope.split("/"):
		key = hmac.digest(key, word.encode(), "sha256")
	text = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
	signature = hmac.digest(key, text.encode(), "sha256").hex()
	return {**headers, "Authorization": f"AWS4-HMAC-SHA256 Credential={ACCESS}/{scope}, SignedHeaders={names}, Signature={signature}"}


def _ask(method, key="", body=b"", **query):
	"""One request to the bucket, over a connection that is kept; an answer that is no success fails, but 404 to what is to be removed."""
	path = "/" + urllib.parse.quote(f"{BUCKET}/{key}" if key else BUCKET, safe="/-_.~")
	asked = "&".join(f"{urllib.parse.quote(k, safe='-_.~')}={urllib.parse.quote(str(v), safe='-_.~')}" for k, v in sorted(query.items()))
	where = f"{_ceph.address}:{_ceph.port}"
	headers = _signed(method, path, asked, {"host": where, "x-amz-content-sha256": hashlib.sha256(body).hexdigest()})
	for fresh in (False, True):
		if fresh or getattr(_connections, "where", None) != where:
			_connections.where, _connections.http = where, http.client.HTTPConnection(_ceph.address, _ceph.port, timeout=60)
		try:
			_connections.http.request(method, f"{path}?{asked}" if asked else path, body, headers)
			answer = _connections.http.getresponse()
			said = answer.read()
			break
		except (http.client.HTTPException, ConnectionError):
			if fresh: # one that was kept may have been ended by the other side
				raise
	assert answer.status in (200, 204) or (answer.status == 404 and method == "DELETE"), f"{method} {key}: {answer.status} {said[:400]!r}"
	return said


def _elements(said, name):
	"""The named elements of an answer, each as its children's texts."""
	space = "{http://s3.amazonaws.com/doc/2006-03-01/}"
	return [{child.tag.removeprefix(space): child.text or "" for child in e} for e in ET.fromstring(said).iter(space + name)]


def _pages(name, more, **query):
	"""All of a list that comes in pages; more: of the request's fields and the answer's that lead to the next one."""
	while True:
		said = _ask("GET", **query)
		yield from _elements(said, name)
		top, = _elements(said, ET.fromstring(said).tag.rpartition("}")[2])
		if top.get("IsTruncated") != "true":
			return
		query.update({k: top[v] for k, v in more.items()})


def _objects(prefix):
	for o in _pages("Contents", {"continuation-token": "NextContinuationToken"}, prefix=prefix, **{"list-type": 2}):
		yield o["Key"], int(o["Size"])


def _uploads(prefix):
	"""Those in parts that have not ended: key and id."""
	for u in _pages("Upload", {"key-marker": "NextKeyMarker", "upload-id-marker": "NextUploadIdMarker"}, uploads="", prefix=prefix):
		yield u["Key"], u["UploadId"]


def _empty(prefix):
	for key, upload in list(_uploads(prefix)):
		_ask("DELETE", key, uploadId=upload)
	for key, _ in list(_objects(prefix)):
		_ask("DELETE", key)


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
		return _ask("GET", self.whole)

	def write(self, data):
		_ask("PUT", self.whole, data)

	def remove(self):
		_ask("DELETE", self.whole)


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
		"""What was begun in parts has the size of none."""
		found = {key: 0 for key, _ in _uploads(self.prefix)}
		found.update(_objects(self.prefix))
		return {key[len(self.prefix):]: size for key, size in found.items() if not key.startswith(self.prefix + "filemill/")}

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
		_empty(prefix)
