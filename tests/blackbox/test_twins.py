"""A copy of a catalogue that works on the same bucket: a database restored from a dump beside its original, a data directory that was cloned. Neither removes what the other one may need."""
import itertools
import os
import shutil
import time

import pytest

from harness.ceph import ceph # noqa: F401
from harness.data import random_bytes, sha256
from harness.moves import Place, moved
from harness.nodes import installed
from harness.preload import other_clock # noqa: F401
from harness.server import Server, eventually, run
from harness.watch import metrics
from test_backup_shared import backup
from test_pg_dump import dumped, restored

_numbers = itertools.count()
SOON = {"files.sweep_every": "1s"}
pytestmark = pytest.mark.skipif(not installed(), reason="postgresql is not installed")


@pytest.fixture
def bucket(ceph):
	return ceph.storage(f"twins/{os.getpid()}-{next(_numbers)}/")


@pytest.fixture
def early(other_clock):
	"""An hour behind: the sweep leaves what is younger than ten minutes alone, whoever's it is, and most files are older than that."""
	return other_clock(-3600)


def copied(cluster, dump):
	"""A database of the dump, long after: the nodes that it speaks of are forgotten."""
	url = restored(cluster, dump)
	cluster.sql("DELETE FROM duty; DELETE FROM worker", url.rsplit("dbname=", 1)[1])
	return url


def keys(ceph, bucket):
	return {k.rsplit("/", 1)[-1] for k in ceph.keys(bucket["storage.s3_prefix"])}


def words(ceph, bucket):
	return ceph.words(bucket["storage.s3_prefix"])


def store(s, n):
	return s.upload(random_bytes(100_000, n), name=f"f{n}")


def whole(s, files):
	for f in files:
		content = s.get(f"/v1/files/{f['id']}/content")
		assert content.status_code == 200 and sha256(content.content) == f["sha256"], f"{f['name']} is lost: {content.text[:200]}"


def contested(s):
	return metrics(s).get("filemill_storage_contested") == 1


def events(s, name):
	return [e for e in s.log_events() if e["event"] == name]


def outlast(s):
	"""Longer than a twin waits that takes itself for the only one, and sweeps."""
	del s
	time.sleep(8)


def check_twins(ceph, bucket, first, second, shared, late):
	"""`second` is a copy of `first` from before `late` was stored there; both run."""
	more = store(second, 10)
	outlast(second)
	assert second.delete(f"/v1/files/{shared[0]['id']}").status_code == 204
	outlast(second)
	whole(first, [*shared, *late])
	whole(second, [*shared[1:], more])
	eventually(lambda: contested(first) and contested(second), message="they do not know of each other")
	assert events(first, "storage_contested") and events(second, "storage_contested")
	assert len(words(ceph, bucket)) == 2
	another = store(first, 11)
	assert first.delete(f"/v1/files/{shared[1]['id']}").status_code == 204
	outlast(first)
	whole(first, [shared[0], *shared[2:], *late, another])
	whole(second, [*shared[1:], more])
	return more


def test_a_dumps_twin_and_its_original_remove_nothing_of_each_other(folder, make_server, cluster, ceph, bucket, early):
	name = cluster.new_database()
	first = make_server(settings={"catalog.url": cluster.conninfo(name), **bucket, **SOON}, env=early)
	shared = [store(first, n) for n in range(3)]
	dump = dumped(cluster, name)
	late = [store(first, n) for n in range(3, 6)]
	settings = {"catalog.url": copied(cluster, dump), **bucket, **SOON}
	second = make_server(settings=settings)
	more = check_twins(ceph, bucket, first, second, shared, late)
	done = run("doctor", "--data", second.data, settings=settings)
	assert "2 use this bucket and prefix" in done.stdout, done
	done = run("fsck", "--data", folder / "nobody", "--repair", settings=settings) # it leaves what it does not know, too
	whole(first, late)
	# The original is gone for good, and somebody says so, beside the node that runs.
	first.stop()
	done = run("admin", "storage", "sole", "--data", folder / "nowhere", settings=settings)
	assert done.returncode == 0, done
	eventually(lambda: not {f["id"] for f in [shared[0], *late]} & keys(ceph, bucket), message="what nobody needs stays")
	assert not contested(second) and len(words(ceph, bucket)) == 1
	whole(second, [*shared[1:], more])


def test_a_cloned_data_directory_and_its_original_remove_nothing_of_each_other(folder, make_server, ceph, bucket):
	first = make_server(settings={**bucket, **SOON})
	shared = [store(first, n) for n in range(3)]
	first.stop()
	shutil.copytree(first.data, folder / "clone")
	first.start()
	late = [store(first, n) for n in range(3, 6)]
	settings = {**bucket, **SOON}
	second = make_server(settings=settings, data=folder / "clone")
	more = check_twins(ceph, bucket, first, second, shared, late)
	second.stop()
	# It was the clone that was not meant: what it stored goes.
	first.stop()
	assert run("admin", "storage", "sole", "--data", first.data, settings=settings).returncode == 0
	first.start()
	eventually(lambda: not {shared[1]["id"], more["id"]} & keys(ceph, bucket), message="what nobody needs stays")
	assert not contested(first) and len(words(ceph, bucket)) == 1
	whole(first, [shared[0], shared[2], *late])


def test_a_stale_copy_removes_nothing_though_its_original_is_gone(make_server, cluster, ceph, bucket, early):
	name = cluster.new_database()
	first = make_server(settings={"catalog.url": cluster.conninfo(name), **bucket, **SOON}, env=early)
	shared = [store(first, n) for n in range(2)]
	dump = dumped(cluster, name)
	first.restart()
	late = [store(first, n) for n in range(2, 4)]
	first.kill()
	second = make_server(settings={"catalog.url": copied(cluster, dump), **bucket, **SOON})
	eventually(lambda: contested(second), message="it does not see that somebody was there")
	outlast(second)
	assert {f["id"] for f in late} <= keys(ceph, bucket)
	first.start()
	whole(first, [*shared, *late])


def test_a_backup_that_is_moved_to_its_originals_bucket_removes_nothing_there(folder, make_server, cluster, ceph, bucket):
	first = make_server(settings={**bucket, **SOON})
	shared = [store(first, n) for n in range(3)]
	backup(first.data, folder / "b", bucket)
	late = [store(first, n) for n in range(3, 5)]
	assert run("restore", folder / "b", "--data", folder / "r").returncode == 0
	new = Place(folder, "n", catalog__url=cluster.conninfo(cluster.new_database()), **{k.replace(".", "__"): v for k, v in {**bucket, **SOON}.items()})
	moved(Place(folder, "r"), new)
	whole(first, [*shared, *late])
	second = new.serve(make_server)
	eventually(lambda: contested(first) or contested(second), message="they do not know of each other")
	outlast(second)
	whole(first, [*shared, *late])
	whole(second, shared)


def test_the_only_catalogue_goes_on_after_each_end(make_server, ceph, bucket):
	"""Killed at whatever moment of its start, it never takes itself for another one; and removes again when it has been there for a while."""
	s = make_server(settings={**bucket, **SOON})
	files = [store(s, n) for n in range(3)]
	for n in range(12):
		s.kill()
		s.start()
		time.sleep(n * 0.004)
	assert s.delete(f"/v1/files/{files[0]['id']}").status_code == 204
	eventually(lambda: files[0]["id"] not in keys(ceph, bucket), message="what was deleted stays")
	whole(s, files[1:])
	assert not events(s, "storage_contested") and not contested(s)
	s.restart()
	eventually(lambda: len(words(ceph, bucket)) == 1, message="words stay behind")


def test_what_was_deleted_goes_at_once_from_a_bucket_that_was_nobodys(make_server, ceph, bucket):
	s = make_server(settings=bucket)
	f = store(s, 1)
	assert s.delete(f"/v1/files/{f['id']}").status_code == 204
	eventually(lambda: f["id"] not in keys(ceph, bucket), message="it stays")


def test_nodes_of_one_catalogue_are_no_twins(folder, make_server, cluster, ceph, bucket):
	settings = {"catalog.url": cluster.conninfo(cluster.new_database()), **bucket, **SOON}
	s = make_server(settings=settings)
	f = store(s, 1)
	others = [Server(folder / f"n{n}", settings=settings) for n in range(3)]
	for o in others:
		o.start()
	for o in others:
		o.restart()
	outlast(s)
	assert not any(events(o, "storage_contested") for o in [s, *others])
	assert s.delete(f"/v1/files/{f['id']}").status_code == 204
	eventually(lambda: f["id"] not in keys(ceph, bucket), message="it stays")
	for o in others:
		o.stop()
	assert len(words(ceph, bucket)) == 1
