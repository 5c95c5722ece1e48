"""Many files and a very large one: every digest right, memory flat, the same answers after a restart."""
import base64
import hashlib
import random
import shutil

import pytest
import requests

from harness import wire
from harness.data import result_of
from harness.server import Server, is_sanitized

pytestmark = pytest.mark.disk # gigabytes

FILES = 1000
LARGEST = 8 * 2**20
BIG = 3 * 2**30
MEMORY = 64 * 2**20


def sizes():
	"""From nothing to 8 MiB: the ends, every order of magnitude, and some all over."""
	rng = random.Random(42)
	yield from (0, 1, 32 * 1024, 32 * 1024 + 1, LARGEST)
	for i in range(FILES - 5):
		yield rng.randrange(LARGEST) if i % 12 == 0 else int(2 ** rng.uniform(0, 23))


def within_bounds(server):
	if not is_sanitized(): # whose shadow memory would be measured instead
		assert server.peak() < MEMORY, f"{server.peak() / 2**20:.1f} MiB at the most"


@pytest.fixture(scope="module")
def big_server(module_folder):
	with Server(module_folder / "volume") as s:
		yield s


def test_a_thousand_random_files(big_server):
	s, stock = big_server, random.Random(1).randbytes(LARGEST + 4096)
	stored = {}
	with requests.Session() as session:
		for i, size in enumerate(sizes()):
			data = stock[i % 4096:i % 4096 + size] if size < 16 else b"%016x" % i + stock[i % 4096:i % 4096 + size - 16]
			assert len(data) == size
			url = s.base + f"/v1/files?ops=md5,sha256&name=f{i}"
			if i % 2:
				r = session.post(url, data=data, headers={"Content-Type": "application/octet-stream"}, timeout=60)
			else:
				r = session.post(url, data=wire.form(wire.file_part(data, filename=b'filename="f"'), boundary=b"bbbb"), headers={"Content-Type": "multipart/form-data; boundary=bbbb"}, timeout=60)
			assert r.status_code == 201, r.text
			f = r.json()
			want = hashlib.md5(data).hexdigest(), hashlib.sha256(data).hexdigest()
			assert f["size"] == size and (result_of(f, "md5"), result_of(f, "sha256")) == want and f["sha256"] == want[1], i
			stored[f["id"]] = f
	within_bounds(s)
	s.restart()
	with requests.Session() as session:
		for n, (i, f) in enumerate(stored.items()):
			assert session.get(s.base + f"/v1/files/{i}", timeout=60).json() == f
			if n % 5 == 0:
				got = session.get(s.base + f"/v1/files/{i}/content", timeout=60)
				assert hashlib.sha256(got.content).hexdigest() == f["sha256"]
	within_bounds(s)


class Stream:
	"""3 GiB of which no two mebibytes are the same, made as they are sent."""

	def __init__(self, size):
		self.size, self.md5, self.sha256 = size, hashlib.md5(), hashlib.sha256()
		self.block = random.Random(9).randbytes(2**20)

	def __len__(self):
		return self.size

	def __iter__(self):
		for n in range(self.size // 2**20):
			piece = b"%016x" % n + self.block[16:]
			self.md5.update(piece)
			self.sha256.update(piece)
			yield piece

	def piece(self, n):
		return b"%016x" % n + self.block[16:]


@pytest.mark.parametrize("how", ["raw", "form"])
def test_a_file_of_three_gibibytes(big_server, how):
	free = shutil.disk_usage(big_server.data).free
	assert free > BIG + 2**30, "this test needs 4 GiB of free disk"
	s, size = big_server, BIG if how == "raw" else 300 * 2**20
	stream = Stream(size)
	front, back = (b"", b"") if how == "raw" else (b'--bbbb\r\nContent-Disposition: form-data; name="file"; filename="big"\r\n\r\n', b"\r\n--bbbb--\r\n")
	kind = "application/octet-stream" if how == "raw" else "multipart/form-data; boundary=bbbb"
	with wire.Wire(s, 600) as w:
		w.send(wire.head("POST", "/v1/files?ops=md5,sha256&name=big&wait=60", [f"Content-Length: {size + len(front) + len(back)}", f"Content-Type: {kind}"]) + front)
		for piece in stream:
			assert w.send(piece), w.read()
		w.send(back)
		r = w.read()
	assert r.status_code == 201, r
	f = r.json()
	assert f["size"] == size and result_of(f, "md5") == stream.md5.hexdigest() and f["sha256"] == stream.sha256.hexdigest() == result_of(f, "sha256")
	within_bounds(s)
	last = size // 2**20 - 1
	for n in (0, last // 2, last):
		got = s.get(f"/v1/files/{f['id']}/content", headers={"Range": f"bytes={n * 2**20}-{(n + 1) * 2**20 - 1}"})
		assert got.status_code == 206 and got.content == stream.piece(n)
	head = s.head(f"/v1/files/{f['id']}/content")
	assert int(head.headers["Content-Length"]) == size
	assert head.headers["Repr-Digest"] == f"sha-256=:{base64.b64encode(stream.sha256.digest()).decode()}:"
	s.restart()
	assert s.get(f"/v1/files/{f['id']}").json() == f
	got = hashlib.md5()
	if how == "form": # reading the very large one back whole would only measure the disk
		with requests.get(s.base + f"/v1/files/{f['id']}/content", stream=True, timeout=120) as r:
			for piece in r.iter_content(2**20):
				got.update(piece)
		assert got.hexdigest() == stream.md5.hexdigest()
	within_bounds(s)
	assert s.delete(f"/v1/files/{f['id']}").status_code == 204
