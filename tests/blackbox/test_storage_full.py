"""Disks that fill up or turn read-only, for real: small file systems mounted for the purpose, which takes root."""
import os
import shutil
import subprocess

import pytest
import requests

from harness.data import random_bytes, sha256
from harness.server import PATIENCE_S, SLOW, Server, StartFailed, eventually, problem

ROOT = os.geteuid() == 0
MIB = 2**20
STEP = 1 if os.environ.get("FILEMILL_FAULTS") == "all" else 5 # blocks


def mount(*args):
	subprocess.run(["mount", *map(str, args)], check=True, capture_output=True)


def can_mount(tmp, kind):
	if not ROOT:
		return False
	try:
		(tmp / "probe").mkdir(exist_ok=True)
		if kind == "tmpfs":
			mount("-t", "tmpfs", "-o", "size=64k", "none", tmp / "probe")
		else:
			subprocess.run(["mkfs.ext4", "-q", tmp / "probe.img", "8192"], check=True, capture_output=True)
			mount("-o", "loop", tmp / "probe.img", tmp / "probe")
		subprocess.run(["umount", tmp / "probe"], check=True)
		return True
	except (OSError, subprocess.CalledProcessError):
		return False


def empty_ext4(folder, size, *options):
	"""Where it is to be mounted, and its image."""
	point, image = folder / "disk", folder / "disk.img"
	point.mkdir()
	with open(image, "wb") as f:
		f.truncate(size)
	subprocess.run(["mkfs.ext4", "-q", "-m", "0", *options, image], check=True, capture_output=True)
	return point, image


@pytest.fixture(scope="module", params=["tmpfs", "ext4"])
def kind(request, module_folder):
	if not can_mount(module_folder, request.param):
		pytest.skip(f"mounting a {request.param} takes root" if not ROOT else f"this machine mounts no {request.param}" + (" by loop device" if request.param == "ext4" else ""))
	return request.param


@pytest.fixture
def small_disk(folder, kind):
	"""A file system of 24 MiB with the data directory in it and room for ballast beside."""
	if kind == "tmpfs":
		point = folder / "disk"
		point.mkdir()
		mount("-t", "tmpfs", "-o", "size=24m", "none", point)
	else:
		point, image = empty_ext4(folder, 24 * MIB, "-O", "^has_journal")
		mount("-o", "loop", image, point)
	yield point
	eventually(lambda: subprocess.run(["umount", point], capture_output=True).returncode == 0, message="the disk is still in use")


def fill(point, leave=0):
	"""Ballast until nothing but `leave` bytes are free."""
	with open(point / "ballast", "ab", buffering=0) as f: # what does not fit is nobody's to write at the end
		try:
			while True:
				free = shutil.disk_usage(point).free - leave
				if free <= 0:
					break
				f.write(b"\0" * min(free, MIB))
				os.fsync(f.fileno())
		except OSError:
			pass


def upload(server, data):
	return requests.post(server.base + "/v1/files", data=data, headers={"Content-Type": "x/y"}, timeout=PATIENCE_S)


@pytest.mark.parametrize("reserve", ["0", "4MiB"])
@pytest.mark.parametrize("size", [200_000] if SLOW else [4096, 200_000])
def test_a_disk_that_fills_up(folder, small_disk, size, reserve):
	s = Server(folder / "s", data=small_disk / "data", settings={"files.free_reserve": reserve})
	(small_disk / "spare").write_bytes(b"\1" * MIB)
	s.start()
	kept = [s.upload(random_bytes(n, n)) for n in (100, 50_000)]
	answers, stored = [], []
	for i in range(30_000_000 // size):
		r = upload(s, b"%08d" % i + b"f" * (size - 8))
		answers.append(r.status_code)
		if r.status_code != 201:
			break
		stored.append(r.json())
	problem(r, 507, "storage_full")
	# reads go on, also of what came last
	for f in kept + stored[-5:]:
		assert s.get(f"/v1/files/{f['id']}").status_code == 200
		assert sha256(s.get(f"/v1/files/{f['id']}/content").content) == f["sha256"]
	s.alive()
	assert s.get("/readyz").status_code in (200, 503)
	known = {f["id"] for f in s.all_files()}
	eventually(lambda: set(s.blobs()) <= known, message="bytes of refused uploads stayed")
	# and it says the same for forms and through the surfaces' eyes
	r = requests.post(s.base + "/v1/files", files={"file": ("a", b"f" * 200_000)}, timeout=PATIENCE_S)
	assert r.status_code in (507, 201)
	s.kill()
	try:
		s.start()
	except StartFailed as e: # not a block of what came free is left, where the file system has used its own reserve meanwhile
		assert e.code > 0 and "storage_full" in e.stderr and reserve == "0", e.stderr
		(small_disk / "spare").unlink()
		s.start()
	for f in kept + stored[-5:]:
		assert sha256(s.get(f"/v1/files/{f['id']}/content").content) == f["sha256"], "acknowledged and lost"
	s.kill()


@pytest.mark.parametrize("size", [4096, 200_000])
def test_it_recovers_by_itself_when_space_returns(folder, small_disk, size):
	s = Server(folder / "s", data=small_disk / "data", settings={"files.free_reserve": "0"})
	s.start()
	kept = s.upload(random_bytes(50_000, 1))
	for _ in range(3):
		fill(small_disk)
		r = None
		for i in range(2000): # small ones may still find room in pages of their own
			r = upload(s, random_bytes(size, i))
			if r.status_code != 201:
				break
		problem(r, 507, "storage_full")
		assert sha256(s.get(f"/v1/files/{kept['id']}/content").content) == kept["sha256"]
		os.unlink(small_disk / "ballast")
		eventually(lambda: upload(s, random_bytes(size, 5)).status_code == 201, message="it did not recover")
		eventually(lambda: s.get("/readyz").status_code == 200, message="it did not get ready again")
	f = s.upload(random_bytes(size, 6))
	s.kill()
	s.start()
	assert sha256(s.get(f"/v1/files/{f['id']}/content").content) == f["sha256"]
	s.stop()


def test_full_in_the_middle_of_many_uploads(folder, small_disk):
	"""Eight clients write until nothing goes: each answer is 201 and true, or 507."""
	import threading
	s = Server(folder / "s", data=small_disk / "data", settings={"files.free_reserve": "0"})
	s.start()
	answers, lock = [], threading.Lock()
	def one(n):
		with requests.Session() as session:
			for i in range(40):
				data = random_bytes(150_000, n * 1000 + i)
				r = session.post(s.base + "/v1/files", data=data, headers={"Content-Type": "x/y"}, timeout=PATIENCE_S)
				with lock:
					answers.append((r.status_code, r.json().get("id"), r.json().get("code"), sha256(data)))
	threads = [threading.Thread(target=one, args=(n,)) for n in range(8)]
	[t.start() for t in threads]
	[t.join() for t in threads]
	assert {(a[0], a[2]) for a in answers} <= {(201, None), (507, "storage_full")}, {(a[0], a[2]) for a in answers}
	assert {a[0] for a in answers} == {201, 507}
	s.kill()
	s.start()
	for status, i, _, digest in answers:
		if status == 201:
			assert sha256(s.get(f"/v1/files/{i}/content").content) == digest, "acknowledged and lost"
	known = {f["id"] for f in s.all_files()}
	eventually(lambda: set(s.blobs()) <= known, message="bytes of refused uploads stayed")
	s.kill()


def test_outputs_leave_the_reserve_alone_and_come_when_there_is_room(folder, small_disk):
	"""Uploads stopped at the reserve, and outputs filled it: nothing could be committed any more, not even a delete."""
	with Server(folder / "s", data=small_disk / "data", settings={"files.free_reserve": "4MiB"}) as s:
		room = shutil.disk_usage(small_disk).free - 4 * MIB
		# Two files and five outputs of this size are over a MiB too much; without the second file they have as much to spare.
		first, second = (s.upload(random_bytes(int(room / 6.5), n), query="ops=sha1") for n in (1, 2))
		for op in ({"op": "zip"}, {"op": "zstd"}, *({"op": "gzip", "params": {"level": n}} for n in (1, 5, 9))):
			assert s.post(f"/v1/files/{first['id']}/jobs", json=op).status_code == 202
		eventually(lambda: any(e["event"] == "output_not_stored" for e in s.log_events()))
		assert shutil.disk_usage(small_disk).free > 2 * MIB
		waiting = [j for j in s.get(f"/v1/files/{first['id']}").json()["jobs"] if j["state"] in ("queued", "running")]
		assert waiting and s.delete(f"/v1/files/{second['id']}").status_code == 204
		jobs = eventually(lambda: [j for j in s.get(f"/v1/files/{first['id']}?wait=2").json()["jobs"] if j["state"] == "succeeded"][5:] and
				  s.get(f"/v1/files/{first['id']}").json()["jobs"])
		assert all(len(s.get(j["outputs"][0]["href"]).content) == j["outputs"][0]["size"] for j in jobs if j["op"] != "sha1")
		assert {j["attempt"] for j in jobs} == {1}, "a full disk is not the job's fault"


def test_below_the_reserve_nothing_is_added_and_what_removes_or_ends_is_taken(folder):
	s = Server(folder / "s", settings={"files.free_reserve": "0"})
	s.start()
	f = s.upload(b"kept", query="ops=sha1")
	job = f["jobs"][0]["id"]
	made = s.post("/v1/webhooks", json={"url": "https://example.org/"}).json()["id"]
	s.stop()
	s = Server(folder / "s", data=s.data, settings={"files.free_reserve": "60TiB"})
	s.start()
	for path, body in ((f"/v1/files/{f['id']}/jobs", {"op": "md5"}), ("/v1/jobs", {"file": f["id"], "op": "md5"}), (f"/v1/jobs/{job}/retry", None),
			   ("/v1/webhooks", {"url": "https://example.org/"}), (f"/v1/webhooks/{made}/ping", None),
			   (f"/v1/webhooks/{made}/replay", {"since": "2020-01-01T00:00:00Z"})):
		problem(s.post(path, json=body) if body else s.post(path), 507, "storage_full")
	assert requests.patch(s.base + f"/v1/webhooks/{made}", json={"enabled": False}, timeout=PATIENCE_S).status_code == 200
	assert s.delete(f"/v1/webhooks/{made}").status_code == 204
	assert s.get(f"/v1/files/{f['id']}/content").content == b"kept"
	assert s.delete(f"/v1/files/{f['id']}").status_code == 204
	s.stop()


def test_a_start_on_a_full_disk_is_explained_or_serves_reads(folder, small_disk):
	s = Server(folder / "s", data=small_disk / "data", settings={"files.free_reserve": "0"})
	s.start()
	f = s.upload(random_bytes(50_000, 1))
	s.stop()
	fill(small_disk)
	try:
		s.start()
	except StartFailed as e:
		assert "full" in e.stderr.lower() or "space" in e.stderr.lower(), e.stderr
	else:
		assert sha256(s.get(f"/v1/files/{f['id']}/content").content) == f["sha256"]
		s.kill()
	os.unlink(small_disk / "ballast")
	s.start()
	assert sha256(s.get(f"/v1/files/{f['id']}/content").content) == f["sha256"]
	s.stop()


@pytest.mark.parametrize("block", [1024, 4096])
@pytest.mark.parametrize("ended", ["stopped", "killed"])
def test_no_start_on_a_disk_with_little_room_dies_of_a_signal(folder, block, ended):
	"""Block by block less. The log's index is a file that is written through memory: where it has no room on the disk, that is a SIGBUS. A block of less than 4 KiB is what SQLite does not think of."""
	if not can_mount(folder, "ext4"):
		pytest.skip("mounting takes root" if not ROOT else "this machine mounts no ext4 by loop device")
	point, image = empty_ext4(folder, 16 * MIB, "-b", str(block), "-O", "^has_journal")
	kept = folder / "kept"
	s = Server(folder / "s", data=point / "data", settings={"files.free_reserve": "0"})
	mount("-o", "loop", image, point)
	try:
		s.start()
		f = s.upload(random_bytes(50_000, 1))
		(s.stop if ended == "stopped" else s.kill)()
		shutil.copytree(s.data, kept)
		outcomes = [start_with(s, point, kept, f, left * block) for left in range(0, 80, STEP)]
	finally:
		if s.running():
			s.kill()
		eventually(lambda: subprocess.run(["umount", point], capture_output=True).returncode == 0)
	assert "served" in outcomes and (ended == "killed" or "refused" in outcomes), outcomes # some of both, or all of this was far from the edge


def start_with(s, point, kept, f, leave):
	"""A start on what was kept, with so many bytes free: what became of it."""
	(point / "ballast").unlink(missing_ok=True)
	shutil.rmtree(s.data)
	shutil.copytree(kept, s.data)
	os.sync()
	fill(point, leave)
	try:
		s.start()
	except StartFailed as e:
		assert e.code is not None and e.code > 0, f"died of signal {e.code} with {leave} bytes free: {e.stderr}"
		assert "full" in e.stderr.lower() or "space" in e.stderr.lower(), e.stderr
		return "refused"
	assert sha256(s.get(f"/v1/files/{f['id']}/content").content) == f["sha256"]
	for size in (100, 50_000):
		assert upload(s, random_bytes(size, leave)).status_code in (201, 507)
	s.kill()
	return "served"


def without_override():
	"""Root minus the right to pass by permissions, so that a folder can turn read-only; nobody else has that right anyway."""
	return ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"] if ROOT else []


def test_a_directory_that_turns_read_only(folder):
	if ROOT and shutil.which("setpriv") is None:
		pytest.skip("setpriv (util-linux) is missing")
	s = Server(folder / "s", wrapper=without_override())
	s.start()
	kept = s.upload(random_bytes(50_000, 1))
	folders = [p for p in (s.data / "blobs").rglob("*") if p.is_dir()] + [s.data / "blobs", s.data]
	for p in folders:
		p.chmod(0o500)
	try:
		problem(upload(s, b"x" * 200_000), 503, {"storage_readonly", "io_error", "storage_sealed"})
		r = upload(s, b"x" * 100) # needs no new file: the catalogue is open already
		assert r.status_code in (201, 503)
		assert s.get(f"/v1/files/{kept['id']}").status_code == 200
		assert sha256(s.get(f"/v1/files/{kept['id']}/content").content) == kept["sha256"]
		problem(s.get("/readyz"), 503)
		s.alive()
	finally:
		for p in folders:
			p.chmod(0o700)
	eventually(lambda: upload(s, b"x" * 200_000).status_code == 201, message="it did not recover")
	eventually(lambda: s.get("/readyz").status_code == 200)
	s.stop()


def test_a_file_system_that_gives_up(folder):
	"""ext4 after an error: every write fails from now on, reads go on; nothing is acknowledged until somebody mends it."""
	if not can_mount(folder, "ext4"):
		pytest.skip("mounting takes root" if not ROOT else "this machine mounts no ext4 by loop device")
	point, image = empty_ext4(folder, 40 * MIB)
	again = folder / "again.img"
	mount("-o", "loop,errors=remount-ro", image, point)
	try:
		s = Server(folder / "s", data=point / "data", settings={"files.free_reserve": "0"})
		s.start()
		kept = [s.upload(random_bytes(n, n)) for n in (100, 50_000)]
		if subprocess.run(["mount", "-o", "remount,abort", point], capture_output=True).returncode != 0 and upload(s, b"x").status_code == 201:
			s.kill()
			pytest.skip("this mount knows no remount,abort")
		for size in (100, 200_000):
			problem(upload(s, b"x" * size), 503, {"storage_sealed", "storage_readonly", "io_error", "catalog_unavailable"})
		problem(s.get("/readyz"), 503)
		for f in kept:
			assert s.get(f"/v1/files/{f['id']}").status_code == 200
			assert sha256(s.get(f"/v1/files/{f['id']}/content").content) == f["sha256"]
		s.alive()
		s.kill()
	finally:
		eventually(lambda: subprocess.run(["umount", point], capture_output=True).returncode == 0)
	# Somebody else's mount namespace may keep the failed file system alive for a while, and a second mount of its device would be that one.
	shutil.copyfile(image, again)
	repair = subprocess.run(["fsck.ext4", "-f", "-y", again], capture_output=True, text=True)
	assert repair.returncode in (0, 1), repair.stdout + repair.stderr # clean, or clean by now
	mount("-o", "loop", again, point)
	try:
		s.start()
		for f in kept:
			assert sha256(s.get(f"/v1/files/{f['id']}/content").content) == f["sha256"], "acknowledged and lost"
		assert upload(s, b"x" * 200_000).status_code == 201
		s.stop()
	finally:
		subprocess.run(["umount", point], capture_output=True)


def test_a_file_size_limit_is_a_full_disk(folder):
	"""RLIMIT_FSIZE, which needs no root: EFBIG (and a SIGXFSZ that must not kill)."""
	s = Server(folder / "s", fsize=3 * MIB)
	s.start()
	kept = s.upload(random_bytes(50_000, 1))
	r = upload(s, b"x" * (5 * MIB))
	assert r.status_code in (413, 503, 507), r.text
	s.alive()
	assert sha256(s.get(f"/v1/files/{kept['id']}/content").content) == kept["sha256"]
	eventually(lambda: set(s.blobs()) == {kept["id"]}, message="bytes of the refused upload stayed")
	assert upload(s, b"x" * 100_000).status_code == 201
	s.kill()
