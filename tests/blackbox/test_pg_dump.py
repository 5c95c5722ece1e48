"""What PostgreSQL's own tools bring back: rows by pg_dump and pg_restore, and nodes that begin anew on them with the bucket as it was."""
import itertools
import os
import subprocess

import pytest

from harness.ceph import ceph # noqa: F401
from harness.data import random_bytes, sha256
from harness.nodes import installed
from harness.server import Server, StartFailed, eventually, run

pytestmark = pytest.mark.skipif(not installed(), reason="postgresql is not installed")

_numbers = itertools.count()


@pytest.fixture
def bucket(ceph):
	return ceph.storage(f"dumps/{os.getpid()}-{next(_numbers)}/")


def tool(cluster, *argv):
	done = subprocess.run([cluster.programs / argv[0], *map(str, argv[1:])], cwd=cluster.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False, **cluster.identity)
	assert done.returncode == 0 and done.stderr == "", done


def dumped(cluster, name):
	"""In PostgreSQL's own format."""
	path = cluster.folder / f"{name}.dump"
	tool(cluster, "pg_dump", "--format=custom", "--file", path, cluster.conninfo(name))
	return path


def restored(cluster, dump):
	"""A new database of the dump: its libpq words."""
	name = cluster.new_database()
	tool(cluster, "pg_restore", "--exit-on-error", "--dbname", cluster.conninfo(name), dump)
	return cluster.conninfo(name)


def fill(s):
	files = [s.upload(random_bytes(n, n), name=f"f{n}", query="ops=gzip,sha1&wait=60") for n in (0, 10, 40_000, 300_000)]
	assert all(j["state"] == "succeeded" for f in files for j in f["jobs"])
	return files


def check(s, files):
	"""Each file with its digest, each job with what it made."""
	for f in files:
		assert s.get(f"/v1/files/{f['id']}").json() == f
		assert sha256(s.get(f"/v1/files/{f['id']}/content").content) == f["sha256"]
		for o in (o for j in f["jobs"] for o in j["outputs"] or []):
			assert len(s.get(o["href"]).content) == o["size"]


def test_a_new_node_goes_on_with_a_restored_database_and_the_same_bucket(folder, make_server, cluster, ceph, bucket):
	first = cluster.new_database()
	old = make_server(settings={"catalog.url": cluster.conninfo(first), **bucket})
	files = [old.get(f"/v1/files/{f['id']}").json() for f in fill(old)]
	dump = dumped(cluster, first) # beside the running node
	old.kill() # the machine is gone, its data directory and its database too
	cluster.sql(f"DROP DATABASE {first}")
	settings = {"catalog.url": restored(cluster, dump), **bucket}
	new = make_server(settings=settings)
	check(new, files)
	more = new.upload(random_bytes(60_000, 1), query="ops=gzip&wait=60")
	assert more["number"] > max(f["number"] for f in files) and more["jobs"][0]["state"] == "succeeded"
	assert new.delete(f"/v1/files/{files[-1]['id']}").status_code == 204
	eventually(lambda: not any(k.endswith(files[-1]["id"]) for k in ceph.keys(bucket["storage.s3_prefix"])), message="what was deleted stays in the bucket")
	another = make_server(settings=settings)
	check(another, [*files[:-1], another.get(f"/v1/files/{more['id']}").json()])
	another.stop()
	new.stop()
	done = run("fsck", "--data", new.data, "--read", settings=settings, timeout=120)
	assert done.returncode == 0 and "0 findings" in done.stdout, done


def test_what_came_and_went_after_the_dump_is_found_by_fsck(folder, make_server, cluster, ceph, bucket):
	"""Rows of one moment and bytes of another: what rows name and is gone is told, file by file; what no row names is no file's any more."""
	first = cluster.new_database()
	old = make_server(settings={"catalog.url": cluster.conninfo(first), **bucket})
	files = [old.get(f"/v1/files/{f['id']}").json() for f in fill(old)]
	dump = dumped(cluster, first)
	gone, late = files[-1], old.upload(random_bytes(50_000, 2))
	there = len(ceph.keys(bucket["storage.s3_prefix"]))
	assert old.delete(f"/v1/files/{gone['id']}").status_code == 204
	eventually(lambda: len(ceph.keys(bucket["storage.s3_prefix"])) == there - 2, message="the file and what its job made stay")
	old.stop()
	settings = {"catalog.url": restored(cluster, dump), **bucket}
	new = make_server(settings=settings, data=old.data) # where it was
	check(new, files[:-1])
	assert new.get(f"/v1/files/{late['id']}").status_code == 404
	assert new.get(f"/v1/files/{gone['id']}/content").status_code >= 500
	eventually(lambda: any(e["event"] == "sweep_done" for e in new.log_events()), message="nobody sweeps") # with which the bytes of the late one go
	new.stop()
	done = run("fsck", "--data", new.data, "--json", settings=settings, timeout=120)
	assert done.returncode == 1 and "file_bytes_missing" in done.stdout and gone["id"] in done.stdout and "\"found\":2" in done.stdout, done # the file and what its job made


def test_a_restored_database_does_not_take_another_bucket(folder, make_server, cluster, ceph, bucket):
	"""Nor does another catalogue take this one's: whose the bucket is stands in the dump too."""
	first = cluster.new_database()
	old = make_server(settings={"catalog.url": cluster.conninfo(first), **bucket})
	fill(old)
	dump = dumped(cluster, first)
	old.stop()
	again = restored(cluster, dump)
	elsewhere = {**bucket, "storage.s3_prefix": bucket["storage.s3_prefix"] + "elsewhere/"}
	with pytest.raises(StartFailed, match="no node of this catalogue has used"):
		Server(folder / "n", settings={"catalog.url": again, **elsewhere}).start()
	with pytest.raises(StartFailed, match="another catalogue"):
		Server(folder / "m", settings={"catalog.url": cluster.conninfo(cluster.new_database()), **bucket}).start()
