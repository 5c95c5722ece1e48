"""Servers whose files are in a bucket of a real object storage."""
import json
import itertools
import os
import socket
import subprocess
import threading
import time

import pytest
import requests

from harness.ceph import BUCKET, ceph # noqa: F401
from harness.data import random_bytes, sha256
from harness.gate import Gate
from harness.nodes import QUICK, Database, Worker, installed
from harness.server import Server, StartFailed, eventually, problem, run

MIB = 1 << 20
_numbers = itertools.count()


@pytest.fixture
def prefix():
	return f"a store/{os.getpid()}-{next(_numbers)}/"


def large(n, seed):
	return random_bytes(MIB, seed) * (n // MIB) + random_bytes(n % MIB, seed + 1)


def content(s, f, **headers):
	return s.get(f"/v1/files/{f['id']}/content", headers=headers)


def key_of(f):
	return f"public/{f['id'][-2:]}/{f['id']}"


# ---- the main path ----

def test_large_files_live_in_the_bucket_and_small_ones_in_the_catalogue(make_server, ceph, prefix):
	settings = ceph.storage(prefix, **{"storage.s3_part_size": "5MiB"})
	s = make_server(settings=settings)
	bodies = [random_bytes(1000, 1), random_bytes(300_000, 2), large(12 * MIB + 7, 3)]
	files = [s.upload(b) for b in bodies]
	assert [f["sha256"] for f in files] == [sha256(b) for b in bodies]
	assert ceph.keys(prefix) == sorted(key_of(f) for f in files[1:])
	assert s.blobs() == {} and ceph.uploads(prefix) == []
	for f, body in zip(files, bodies):
		assert content(s, f).content == body
		head = s.head(f"/v1/files/{f['id']}/content")
		assert head.status_code == 200 and int(head.headers["Content-Length"]) == len(body) and not head.content
		part = content(s, f, Range="bytes=-500")
		assert part.status_code == 206 and part.content == body[-500:]
		assert content(s, f, **{"If-None-Match": head.headers["ETag"]}).status_code == 304
	middle = content(s, files[2], Range=f"bytes={6 * MIB - 10}-{6 * MIB + 9}")
	assert middle.content == bodies[2][6 * MIB - 10:6 * MIB + 10]

	r = s.post(f"/v1/files/{files[2]['id']}/jobs", json={"op": "zip"})
	assert r.status_code in (201, 202), r.text
	job = s.get(f"/v1/jobs/{r.json()['id']}?wait=60").json()
	assert job["state"] == "succeeded", job
	archive = s.get(f"/v1/jobs/{job['id']}/outputs/0").content
	assert archive[:2] == b"PK" and len(archive) == job["outputs"][0]["size"]
	assert len(ceph.keys(prefix)) == 3

	s.stop()
	done = run("fsck", "--data", s.data, "--read", settings=settings)
	assert done.returncode == 0 and "0 findings" in done.stdout, done.stdout + done.stderr
	s.start()
	assert content(s, files[2]).content == bodies[2]
	for f in files:
		assert s.delete(f"/v1/files/{f['id']}").status_code == 204
	eventually(lambda: ceph.keys(prefix) == [])


def test_fsck_finds_what_is_missing_and_what_nobody_needs(make_server, ceph, prefix):
	settings = ceph.storage(prefix)
	s = make_server(settings=settings)
	files = [s.upload(random_bytes(100_000, n)) for n in range(2)]
	s.stop()
	ceph.aws("s3", "rm", f"s3://{BUCKET}/{prefix}{key_of(files[0])}")
	stray = f"{prefix}public/00/0190d2a6-0000-7000-8000-000000000000"
	ceph.put(stray, b"x" * 50_000)
	ceph.put(prefix + "what is this", b"x")
	done = run("fsck", "--data", s.data, settings=settings)
	assert done.returncode == 1 and files[0]["id"] in done.stdout and stray[len(prefix):] in done.stdout and "what is this" in done.stdout, done.stdout + done.stderr
	assert files[1]["id"] not in done.stdout
	run("fsck", "--data", s.data, "--repair", settings=settings)
	assert stray[len(prefix):] in ceph.keys(prefix) # it might be another catalogue's
	run("fsck", "--data", s.data, "--repair", "--sole", settings=settings)
	assert ceph.keys(prefix) == sorted([key_of(files[1]), "what is this"])
	s.start()
	assert problem(content(s, files[0]), 500)["code"] == "damaged"
	assert content(s, files[1]).status_code == 200


# ---- whose bucket it is ----

def test_a_data_directory_and_its_bucket_belong_together(make_server, ceph, prefix, folder):
	settings = ceph.storage(prefix)
	s = make_server(settings=settings)
	f = s.upload(random_bytes(100_000, 1))
	s.stop()
	for other in ({}, ceph.storage(prefix + "x/")):
		with pytest.raises(StartFailed, match="its files are in s3://"):
			make_server(data=s.data, settings=other)
	with pytest.raises(StartFailed, match="belongs to another data directory"):
		make_server(settings=settings)
	local = make_server()
	local.upload(random_bytes(100_000, 2))
	local.stop()
	with pytest.raises(StartFailed, match="its files are in itself"):
		make_server(data=local.data, settings=ceph.storage(prefix + "y/"))
	done = run("restore", "--data", folder / "new", folder / "backup", settings=settings)
	assert done.returncode != 0 and "a restore puts files into the data directory" in done.stderr, done.stderr
	s.start()
	assert content(s, f).status_code == 200


@pytest.mark.skipif(not installed(), reason="postgresql is not installed")
def test_nodes_of_one_catalogue_share_a_bucket_each_with_a_folder_of_its_own(ceph, prefix, folder, cluster):
	settings = ceph.storage(prefix, **{"catalog.url": Database(cluster, "nodes").url, "files.sweep_every": "100ms", "storage.s3_part_size": "5MiB"})
	body = large(12 * MIB, 1)
	with Worker(folder / "worker", settings=settings) as worker, Server(folder / "a", settings=settings) as a, \
			Server(folder / "b", settings=settings) as b:
		# One that would store where the others do not look.
		with pytest.raises(StartFailed, match="all need the same bucket and prefix"):
			Server(folder / "elsewhere", settings={**settings, "storage.s3_prefix": prefix + "x/"}).start()

		def sweeps():
			return sum(e.get("event") == "sweep_done" for e in worker.log_events())

		def slowly():
			yield body[:6 * MIB]
			yield body[6 * MIB:11 * MIB]
			eventually(lambda: ceph.uploads(prefix), message="nothing is being stored")
			before = sweeps()
			eventually(lambda: sweeps() >= before + 2, message="nobody sweeps") # one of them has begun since
			yield body[11 * MIB:]

		r = a.post("/v1/files?name=slow", data=slowly(), headers={"Content-Type": "application/octet-stream"})
		assert r.status_code == 201, r.text
		assert content(b, r.json()).content == body
		job = b.post(f"/v1/files/{r.json()['id']}/jobs", json={"op": "zip"}).json()
		done = a.get(f"/v1/jobs/{job['id']}?wait=60").json()
		assert done["state"] == "succeeded", done
		assert a.get(f"/v1/jobs/{job['id']}/outputs/0").content == b.get(f"/v1/jobs/{job['id']}/outputs/0").content
		before = sweeps()
		eventually(lambda: sweeps() >= before + 2)
		assert key_of(r.json()) in ceph.keys(prefix) and len(ceph.keys(prefix)) == 2


@pytest.mark.skipif(not installed(), reason="postgresql is not installed")
def test_a_catalogue_that_knows_nothing_of_the_bucket_is_refused(ceph, prefix, folder, cluster):
	"""Or the sweep would take all of its objects for garbage. A node whose directory was not the first one finds out too."""
	settings = {name: ceph.storage(prefix + name + "/", **{"catalog.url": Database(cluster, name).url}) for name in ("mine", "yours")}
	with Server(folder / "first", settings=settings["mine"]) as first, Server(folder / "second", settings=settings["mine"]) as second, \
			Server(folder / "other", settings=settings["yours"]):
		f = first.upload(random_bytes(100_000, 1))
		second.upload(random_bytes(100_000, 2))
	keys = ceph.keys(prefix)
	new = Database(cluster, "new").url
	for node in (first, second):
		for url, words in ((new, "no server has used"), (settings["yours"]["catalog.url"], "are not those of the catalogue")):
			node.settings = {**settings["mine"], "catalog.url": url}
			for _ in range(2): # a service manager tries again
				with pytest.raises(StartFailed, match=words):
					node.start()
			done = run("fsck", "--repair", "--sole", "--data", node.data, settings=node.settings)
			assert done.returncode != 0 and words in done.stderr, done.stdout + done.stderr
	assert ceph.keys(prefix) == keys
	first.settings = second.settings = settings["mine"]
	with first, second:
		assert content(second, f).status_code == 200


@pytest.mark.skipif(not installed(), reason="postgresql is not installed")
def test_the_audit_log_goes_on_in_another_nodes_folder_without_a_break(ceph, prefix, folder, cluster):
	settings = ceph.storage(prefix, **{"catalog.url": Database(cluster, "turns").url, **QUICK})
	nodes = {name: Server(folder / name, settings=settings) for name in "ab"}

	def acts(s, *words):
		return [line for p in sorted((s.data / "audit").glob("*.jsonl")) for line in map(json.loads, p.read_text().splitlines()) if line["act"] in words]

	def delete_one(s):
		f = s.upload(b"to go")
		s.delete(f"/v1/files/{f['id']}").raise_for_status()
		eventually(lambda: any(line["file"] == f["id"] for n in nodes.values() for line in acts(n, "file.deleted")), message="it is in no log")

	nodes["a"].start()
	delete_one(nodes["a"])
	for number, (old, new) in enumerate((("a", "b"), ("b", "a"), ("a", "b"))):
		if number == 1:
			nodes[old].kill()
		else:
			nodes[old].stop()
		nodes[new].start()
		delete_one(nodes[new])
		assert len(acts(nodes[new], "audit.continued")) == 1 + (number == 2), acts(nodes[new], "audit.continued")
		own = run("audit", "verify", "--data", nodes[new].data, settings=settings)
		assert own.returncode == 0 and "): several nodes wrote them" in own.stdout, own
	elsewhere = run("audit", "verify", "--data", nodes["a"].data, settings=settings)
	assert elsewhere.returncode == 0 and "the last ones are in the log of data directory " in elsewhere.stdout, elsewhere
	nodes["b"].stop()
	assert not any(e.get("event") == "audit_log_broken" for n in nodes.values() for e in n.log_events())
	files = [p for n in nodes.values() for p in (n.data / "audit").glob("*.jsonl")]
	seq, digest = cluster.sql("SELECT seq, encode(hash, 'hex') FROM audit_head", "turns").split()
	whole = run("audit", "verify", "--head", f"{seq}:{digest}", *files)
	assert whole.returncode == 0 and whole.stdout.startswith(f"ok: {seq} lines in {len(files)} files, from 1 to {seq}:{digest}"), whole
	turns = sorted((p for p in files if p.stat().st_size), key=lambda p: p.name)
	assert len(turns) >= 4 and run("audit", "verify", *(p for p in files if p != turns[1])).returncode == 1
	turns[1].write_bytes(turns[1].read_bytes().replace(b"file.deleted", b"file.changed", 1))
	assert run("audit", "verify", *files).returncode == 1


# ---- when it is away ----

class Asking:
	"""The server as another thread asks it."""

	def __init__(self, server, http):
		self.base, self.http = server.base, http

	def __getattr__(self, method):
		return lambda path, **more: self.http.request(method, self.base + path, timeout=60, **more)



def test_without_the_bucket_small_files_are_served_and_large_ones_are_asked_for_again(make_server, ceph, prefix):
	with Gate(ceph.port) as gate:
		s = make_server(settings=ceph.storage(prefix, gate.endpoint(), **{"storage.s3_patience": "300ms"}))
		small, big = s.upload(b"small"), s.upload(large(2 * MIB, 1))
		eventually(lambda: s.get("/readyz").status_code == 200) # which asks the bucket once each time, and soon gives up
		gate.cut(shut=True)
		assert problem(s.get("/readyz"), 503)["code"] == "storage_unavailable"
		assert content(s, small).content == b"small"
		assert s.upload(b"small too")["size"] == 9
		assert problem(content(s, big), 503)["code"] == "storage_unavailable"
		assert problem(s.post("/v1/files?name=x", data=large(MIB, 2), headers={"Content-Type": "application/octet-stream"}), 503)["code"] == "storage_unavailable"
		gate.open()
		eventually(lambda: s.get("/readyz").status_code == 200)
		assert content(s, big).content == large(2 * MIB, 1)
		s.upload(large(MIB, 2))
		gate.cut(shut=True)
		s.restart() # it comes up without the bucket too, once it is known to be its own
		assert content(s, small).content == b"small"
		gate.open()
		assert content(s, big).status_code == 200


@pytest.mark.skipif(os.geteuid() != 0 or not installed(), reason="mounting a tmpfs takes root, and postgresql is needed")
def test_a_job_whose_input_finds_no_room_on_the_nodes_disk_waits_for_it(ceph, prefix, folder, cluster):
	"""And loses no attempt: it is not the op's fault, and another node may have room."""
	disk = folder / "disk"
	disk.mkdir()
	subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "none", disk], check=True)
	settings = ceph.storage(prefix, **{"catalog.url": Database(cluster, "small").url, "files.free_reserve": "0"})
	try:
		with Server(folder / "s", data=disk / "data", settings=settings) as s:
			f = s.upload(large(40 * MIB, 1))
			job = s.post(f"/v1/files/{f['id']}/jobs", json={"op": "gzip", "max_attempts": 1}).json()
			look = lambda: s.get(f"/v1/jobs/{job['id']}").json() # noqa: E731
			said = eventually(lambda: look().get("error") and look())
			assert said["state"] == "queued" and said["error"]["code"] == "storage_full", said
			subprocess.run(["mount", "-o", "remount,size=200m", disk], check=True)
			said = s.get(f"/v1/jobs/{job['id']}?wait=60").json()
			assert said["state"] == "succeeded", said
	finally:
		eventually(lambda: subprocess.run(["umount", disk], capture_output=True, check=False).returncode == 0, message="the disk is still in use")


def test_keys_that_may_not_list_uploads_sweep_what_they_may(make_server, ceph, prefix):
	name, garbage = f"denied-{os.getpid()}", prefix + "public/7f/0190d2a6-0000-7000-8000-00000000007f"
	ceph.aws("s3api", "create-bucket", "--bucket", name)
	denied = {"Effect": "Deny", "Principal": "*", "Action": "s3:ListBucketMultipartUploads", "Resource": f"arn:aws:s3:::{name}"}
	ceph.aws("s3api", "put-bucket-policy", "--bucket", name, "--policy", json.dumps({"Version": "2012-10-17", "Statement": [denied]}))
	ceph.aws("s3api", "put-object", "--bucket", name, "--key", garbage)
	s = make_server(settings=ceph.storage(prefix, **{"storage.s3_bucket": name}))
	eventually(lambda: garbage not in ceph.aws("s3api", "list-objects-v2", "--bucket", name))
	warned = lambda: [e["event"] for e in s.log_events() if e["level"] == "warn"] # noqa: E731
	eventually(warned, message="nobody is told") # which may be said after the garbage has gone
	assert warned() == ["parts_not_given_up"]


def test_uploads_and_downloads_survive_connections_that_break(make_server, ceph, prefix):
	body = large(24 * MIB, 1)
	with Gate(ceph.port) as gate:
		s = make_server(settings=ceph.storage(prefix, gate.endpoint(), **{"storage.s3_part_size": "5MiB"}))

		def pieces():
			for at in range(0, len(body), MIB):
				if at == 13 * MIB:
					gate.cut()
				yield body[at:at + MIB]

		r = s.post("/v1/files?name=x", data=pieces(), headers={"Content-Type": "application/octet-stream"})
		assert r.status_code == 201, r.text
		got, cuts = bytearray(), 0
		with s.get(f"/v1/files/{r.json()['id']}/content", stream=True) as answer:
			for piece in answer.iter_content(MIB):
				if len(got) in (2 * MIB, 9 * MIB):
					cuts += gate.cut()
				got += piece
		assert bytes(got) == body
		assert cuts > 0
		assert ceph.keys(prefix) == [key_of(r.json())] and ceph.uploads(prefix) == []


def test_what_a_killed_server_had_sent_is_given_up(make_server, ceph, prefix):
	settings = ceph.storage(prefix, **{"storage.s3_part_size": "5MiB", "files.sweep_every": "1s"})
	s = make_server(settings=settings)
	kept = s.upload(large(MIB, 9))
	with socket.create_connection((s.address, s.port)) as c:
		c.sendall(b"POST /v1/files?name=x HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\nContent-Length: 30000000\r\n\r\n" + large(12 * MIB, 1))
		eventually(lambda: len(ceph.uploads(prefix)) == 1)
		s.kill()
	s.start()
	eventually(lambda: ceph.uploads(prefix) == [])
	assert ceph.keys(prefix) == [key_of(kept)]
	assert content(s, kept).content == large(MIB, 9)
	assert [f["id"] for f in s.all_files()] == [kept["id"]]


STORING = {
	"upload": lambda s, big: s.post("/v1/files?name=x", data=large(12 * MIB, 3), headers={"Content-Type": "application/octet-stream"}),
	"small upload": lambda s, big: s.post("/v1/files?name=x", data=large(100_000, 3), headers={"Content-Type": "application/octet-stream"}),
	"download": content,
	"probe": lambda s, big: s.get("/readyz"),
	"job": lambda s, big: s.post(f"/v1/files/{big['id']}/jobs", json={"op": "zip"}),
	"delete": lambda s, big: s.delete(f"/v1/files/{big['id']}"),
}


@pytest.mark.parametrize("what", [*STORING, "sweep", "scrub", "pause"])
def test_a_stop_ends_what_waits_for_a_bucket_that_stands_still(make_server, ceph, prefix, what):
	"""It takes connections and requests and answers none: none is waited for longer than a stop may take, and the end is a good one."""
	with Gate(ceph.port) as gate, requests.Session() as http:
		often = {"sweep": {"files.sweep_every": "100ms"}, "scrub": {"data.scrub_rate": "1GiB", "data.scrub_every": "1s"}}.get(what, {"data.scrub_rate": "0"})
		s = make_server(settings=ceph.storage(prefix, gate.endpoint(), **{"storage.s3_part_size": "5MiB", **often}))
		big = s.upload(large(6 * MIB, 1))
		gate.cut(shut=True) if what == "pause" else gate.hold()
		held = gate.seen

		def ask():
			try:
				STORING.get(what, STORING["upload"])(Asking(s, http), big)
			except requests.RequestException:
				pass # it is closed by the stop
		asking = threading.Thread(target=ask)
		asking.start() if what in (*STORING, "pause") else None
		eventually(lambda: gate.seen > held, message="nothing went to the bucket")
		s.stop()
		assert {e["event"] for e in s.log_events()} >= {"stopped"} and not {e["event"] for e in s.log_events()} & {"stopped_late", "stopped_stuck"}
		asking.join() if asking.ident else None
		gate.open()
		s.start()
		assert what == "delete" or content(s, big).content == large(6 * MIB, 1)


@pytest.mark.skipif(not installed(), reason="postgresql is not installed")
def test_parts_of_nodes_at_work_stay_however_old_and_those_of_lost_ones_go(make_server, folder, ceph, prefix, database):
	settings = {"catalog.url": database, "jobs.beat": "500ms",
		    **ceph.storage(prefix, **{"storage.s3_part_size": "5MiB", "storage.s3_abandoned": "1s", "files.sweep_every": "1s"})}
	one, other = (make_server(data=folder / name, settings=settings) for name in ("one", "other"))
	body = large(12 * MIB, 1)
	head = b"POST /v1/files?name=x HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n" % len(body)

	def sweeps():
		return [sum(e["event"] == "sweep_done" for e in s.log_events()) for s in (one, other)]

	with socket.create_connection((one.address, one.port)) as c:
		c.sendall(head + body[:-1])
		eventually(lambda: len(ceph.uploads(prefix)) == 1)
		before = sweeps()
		eventually(lambda: sum(sweeps()) >= sum(before) + 4) # whichever of them does it
		assert len(ceph.uploads(prefix)) == 1
		c.sendall(body[-1:])
		assert c.recv(100).startswith(b"HTTP/1.1 201 ")
	assert ceph.uploads(prefix) == []
	# As of a node that was lost an hour ago: the id in the name tells when.
	for s in (one, other):
		s.stop()
		s.settings["storage.s3_abandoned"] = "2d"
	name = f"{int(time.time() * 1000) - 3600_000:012x}"
	lost = f"{name[:8]}-{name[8:]}-7000-8000-0123456789ab"
	ceph.aws("s3api", "create-multipart-upload", "--bucket", BUCKET, "--key", f"{prefix}public/{lost[-2:]}/{lost}")
	assert len(ceph.uploads(prefix)) == 1
	for s in (one, other):
		s.start()
	eventually(lambda: ceph.uploads(prefix) == [])
	assert len(ceph.keys(prefix)) == 1 and other.all_files()[0]["size"] == len(body)
	for s in (one, other):
		s.stop()
