"""filemill backup where the catalogue is on PostgreSQL and the bytes are in a bucket: beside running servers, interrupted, with everything restored and compared."""
import itertools
import json
import os
import shutil
import signal
import subprocess
import time

import pytest

from harness.ceph import BUCKET, ceph # noqa: F401
from harness.data import random_bytes, sha256
from harness.gate import Gate
from harness.nodes import installed
from harness.server import Server, binary, clean_environment, eventually, problem, run
from test_backup import Load, check_backup, check_restored, figures, manifest, names, small_disk # noqa: F401
from test_move import Place, moved, sound, told

pytestmark = pytest.mark.skipif(not installed(), reason="postgresql is not installed")

_numbers = itertools.count()


def name_of(database):
	return database.rsplit("dbname=", 1)[1]


@pytest.fixture
def bucket(ceph):
	"""Settings of a place of its own in the bucket."""
	return ceph.storage(f"backups/{os.getpid()}-{next(_numbers)}/")


@pytest.fixture
def settings(database, bucket):
	"""Of a server that has nothing in its data directory."""
	return {"catalog.url": database, **bucket}


@pytest.fixture
def gate(ceph):
	with Gate(ceph.port) as gate:
		yield gate


def through(gate, settings):
	"""With patience for as long as the gate stands, however slow the machine is."""
	return {"storage.s3_patience": "10m", **settings, "storage.s3_endpoint": gate.endpoint()}


def backup(data, target, settings, *flags, code=0, timeout=120):
	r = run("backup", *flags, "--data", data, target, settings=settings, timeout=timeout)
	assert r.returncode == code, (r.returncode, r.stdout, r.stderr)
	return r


def begin(data, target, settings, *flags):
	return subprocess.Popen([binary(), "backup", *flags, "--data", str(data), str(target)], env=clean_environment(settings), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
				stderr=subprocess.PIPE, text=True)


def ended(p, code=0):
	out, err = p.communicate(timeout=120)
	assert p.returncode == code, (p.returncode, out, err)
	return out, err


def said(server, event):
	return [e for e in server.log_events() if e["event"] == event]


def holds(cluster, database):
	return int(cluster.sql("SELECT count(*) FROM hold", name_of(database)))


# ---- the usual course ----

@pytest.mark.parametrize("where", ["postgresql and a bucket", "postgresql", "a bucket"])
def test_what_is_backed_up_is_restored_in_two_commands(folder, make_server, database, bucket, cluster, where):
	settings = {**({"catalog.url": database} if "postgresql" in where else {}), **(bucket if "bucket" in where else {})}
	s = make_server(settings=settings)
	kept = [s.upload(random_bytes(n, n), name=f"f{n}", query="ops=gzip,sha1&wait=60") for n in (0, 10, 40_000, 300_000)]
	gone = s.upload(random_bytes(50_000, 9))
	assert s.delete(f"/v1/files/{gone['id']}").status_code == 204
	r = backup(s.data, folder / "b", settings, "--verify")
	assert r.stderr == "" and figures(r.stdout)["files"] == 4, r
	assert check_backup(folder / "b")["data_id"] == (s.data / "filemill.id").read_text().strip()
	if "postgresql" in where:
		assert holds(cluster, database) == 0
	later = s.upload(b"later")
	before = [s.get(f"/v1/files/{f['id']}").json() for f in kept]
	r = run("restore", folder / "b", "--data", folder / "r")
	assert r.returncode == 0, r.stderr
	assert check_restored(folder, folder / "b", {f["id"]: f["sha256"] for f in kept}, set(), audited=False)[0] == 4
	s.stop()
	# and from there to where it was
	again = {"catalog.url": cluster.conninfo(cluster.new_database()), **bucket, "storage.s3_prefix": bucket["storage.s3_prefix"] + "again/"}
	old, new = Place(folder, "r"), Place(folder, "n", **{k.replace(".", "__"): v for k, v in again.items()})
	moved(old, new)
	t = new.serve(make_server)
	told(t)
	assert [t.get(f"/v1/files/{f['id']}").json() for f in kept] == before
	assert t.get(f"/v1/files/{gone['id']}").status_code == 410
	assert t.get(f"/v1/files/{later['id']}").status_code == 404
	assert t.upload(b"new")["number"] > max(f["number"] for f in kept)
	t.stop()
	sound(new)


def test_a_second_backup_fetches_what_is_new_and_drops_what_is_gone(folder, make_server, settings):
	s = make_server(settings=settings)
	files = [s.upload(random_bytes(50_000, i)) for i in range(6)]
	first = figures(backup(s.data, folder / "b", settings).stdout)
	assert (first["copied"], first["linked"], first["kept"]) == (6, 0, 0)
	for f in files[:2]:
		assert s.delete(f"/v1/files/{f['id']}").status_code == 204
	new = s.upload(random_bytes(60_000, 77))
	inode = {n: (folder / "b/blobs" / n).stat().st_ino for n in names(folder / "b/blobs")}
	second = figures(backup(s.data, folder / "b", settings).stdout)
	assert (second["copied"], second["kept"], second["removed"]) == (1, 4, 2), second
	check_backup(folder / "b")
	assert all(n.endswith(new["id"]) or inode[n] == (folder / "b/blobs" / n).stat().st_ino for n in names(folder / "b/blobs")), "fetched again"


def test_nodes_with_directories_of_their_own_make_the_same_backup(folder, make_server, settings):
	s, t = make_server(settings=settings), make_server(settings=settings)
	s.upload(random_bytes(50_000, 1))
	backup(s.data, folder / "b", settings)
	t.upload(random_bytes(50_000, 2))
	last = figures(backup(t.data, folder / "b", settings).stdout)
	assert (last["copied"], last["kept"]) == (1, 1)
	check_backup(folder / "b")


# ---- beside servers at work ----

def test_backups_under_load_are_whole_and_of_one_moment(folder, settings, ceph, bucket):
	with Server(folder / "s", settings={"log.level": "warn", **settings}) as s, Server(folder / "t", settings={"log.level": "warn", **settings}) as t:
		loads = [Load(server, seed) for seed, server in enumerate((s, t, s))]
		[load.start() for load in loads]
		try:
			for n in range(3):
				eventually(lambda: sum(len(load.acknowledged()) for load in loads) > 30 * (n + 1))
				before = {}
				[before.update(load.acknowledged()) for load in loads]
				backup((s, t)[n % 2].data, folder / "b", settings)
				deleted = set().union(*(load.deleted for load in loads))
				check_backup(folder / "b")
		finally:
			[load.end() for load in loads]
		found = check_restored(folder, folder / "b", before, deleted)
		print(f"{found[0]} files, {found[1]} outputs")
		live = {f["id"] for f in s.all_files()}
		eventually(lambda: {k.rsplit("/", 1)[1] for k in ceph.keys(bucket["storage.s3_prefix"]) if "." not in k} <= live, message="the bytes of deleted files stay")


def test_bytes_deleted_meanwhile_on_any_node_are_in_it_and_go_after_it(folder, make_server, settings, gate, ceph, cluster, database):
	s, t = make_server(settings=settings), make_server(settings=settings)
	files = [s.upload(random_bytes(200_000, i)) for i in range(20)]
	gate.stall(after=300_000)
	p = begin(t.data, folder / "b", through(gate, settings)) # s came first and removes for both, and its directory is not locked
	assert gate.stands.wait(60), "nothing is fetched"
	assert holds(cluster, database) == 1
	for i, f in enumerate(files):
		assert (s, t)[i % 2].delete(f"/v1/files/{f['id']}").status_code == 204
	eventually(lambda: said(s, "backup_hold") and said(t, "backup_hold"))
	time.sleep(1.5) # several times what a removal takes that nobody holds up
	assert len(ceph.keys(settings["storage.s3_prefix"])) == 20
	gate.go_on()
	ended(p)
	assert check_backup(folder / "b")["blobs"]["count"] == 20
	eventually(lambda: ceph.keys(settings["storage.s3_prefix"]) == [], message="they stay although the backup has ended")
	eventually(lambda: said(s, "backup_hold_ended") and said(t, "backup_hold_ended"))


def test_a_backup_past_its_limit_holds_nothing_and_names_what_it_lacks(folder, make_server, settings, gate, ceph):
	limited = {**settings, "data.backup_hold": "2s"}
	s = make_server(settings=limited)
	files = [s.upload(random_bytes(200_000, i)) for i in range(20)]
	gate.stall(after=300_000)
	p = begin(s.data, folder / "b", through(gate, limited))
	assert gate.stands.wait(60)
	for f in files:
		assert s.delete(f"/v1/files/{f['id']}").status_code == 204
	eventually(lambda: ceph.keys(settings["storage.s3_prefix"]) == [], message="held for ever")
	assert said(s, "backup_hold_too_long")
	gate.go_on()
	_, err = ended(p, 1)
	lacking = manifest(folder / "b")["blobs"]["lacking"]
	assert lacking > 0 and f"{lacking} blobs are missing or damaged" in err and err.count("filemill: missing: ") == min(lacking, 20), err
	last = figures(backup(s.data, folder / "b", limited).stdout)
	assert last["lacking"] == 0
	check_backup(folder / "b")


# ---- interrupted ----

def test_a_backup_killed_in_the_midst_is_gone_on_with_and_its_hold_expires(folder, make_server, settings, gate, ceph, cluster, database):
	s = make_server(settings=settings)
	files = [s.upload(random_bytes(100_000, i)) for i in range(30)]
	backup(s.data, folder / "b", settings)
	files += [s.upload(random_bytes(100_000, 100 + i)) for i in range(30)]
	gate.stall(after=1_500_000)
	p = begin(s.data, folder / "b", through(gate, settings))
	assert gate.stands.wait(60)
	p.kill()
	p.communicate()
	gate.go_on()
	assert manifest(folder / "b")["blobs"]["count"] == 30, "the earlier one is as it was"
	assert run("restore", folder / "b", "--data", folder / "r").returncode == 0
	assert s.delete(f"/v1/files/{files[0]['id']}").status_code == 204
	assert holds(cluster, database) == 1
	eventually(lambda: len(ceph.keys(settings["storage.s3_prefix"])) == 59, timeout=180, message="a dead backup holds them still")
	last = figures(backup(s.data, folder / "b", settings).stdout)
	assert last["kept"] > 29 and last["kept"] + last["copied"] == 59, last
	check_backup(folder / "b")
	assert holds(cluster, database) == 0, "what was left went with the next one"


def test_backups_killed_at_any_moment_leave_the_earlier_one(folder, make_server, settings):
	s = make_server(settings=settings)
	for i in range(40):
		s.upload(random_bytes(100_000, i))
	backup(s.data, folder / "b", settings)
	earlier = manifest(folder / "b")
	for i in range(40):
		s.upload(random_bytes(100_000, 100 + i))
	kills = 0
	for step in itertools.count():
		p = begin(s.data, folder / "b", settings)
		try:
			p.communicate(timeout=0.02 * 1.3 ** step)
		except subprocess.TimeoutExpired:
			p.kill()
			p.communicate()
			kills += 1
			now = manifest(folder / "b")
			if now == earlier:
				continue
		break
	assert kills > 3
	last = figures(backup(s.data, folder / "b", settings).stdout)
	assert last["kept"] == 80, last
	check_backup(folder / "b")


def test_a_connection_that_ends_while_rows_are_read_is_told_and_the_next_run_is_whole(folder, make_server, settings, cluster, database):
	s = make_server(settings=settings)
	s.upload(random_bytes(100_000, 1))
	backup(s.data, folder / "b", settings)
	s.upload(random_bytes(100_000, 2))
	name = name_of(database)
	with subprocess.Popen([cluster.programs / "psql", "-X", "-q", "-c", "BEGIN", "-c", "LOCK TABLE webhook", "-c", "SELECT pg_sleep(600)", database], stdin=subprocess.DEVNULL,
			      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as locker:
		# the backup's connection waits for that lock, in the midst of its walk over the tables
		p = begin(s.data, folder / "b", settings)
		waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'COPY%'"
		eventually(lambda: cluster.sql(waiting, name).strip())
		cluster.sql(f"SELECT pg_terminate_backend(pid) FROM ({waiting}) AS w", name)
		_, err = ended(p, 1)
		cluster.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' AND pid <> pg_backend_pid()", name)
		locker.wait(60)
	assert "the catalogue" in err and "the earlier backup is as it was" in err, err
	assert holds(cluster, database) == 0
	assert check_backup(folder / "b")["blobs"]["count"] == 1 and "catalog.new.db" not in names(folder / "b")
	backup(s.data, folder / "b", settings)
	assert check_backup(folder / "b")["blobs"]["count"] == 2


def test_a_full_target_disk(make_server, settings, small_disk):
	s = make_server(settings=settings)
	for i in range(5):
		s.upload(random_bytes(100_000, i))
	backup(s.data, small_disk / "b", settings)
	for i in range(40):
		s.upload(random_bytes(200_000, 100 + i))
	free = shutil.disk_usage(small_disk).free
	r = backup(s.data, small_disk / "b", settings, code=1)
	assert "no space" in r.stderr and "earlier backup is as it was" in r.stderr, r.stderr
	assert shutil.disk_usage(small_disk).free >= free - 65536, "what came for nothing stays"
	assert check_backup(small_disk / "b")["blobs"]["count"] == 5


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_clear_words_and_lets_go(folder, make_server, settings, gate, cluster, database, number):
	s = make_server(settings=settings)
	for i in range(20):
		s.upload(random_bytes(200_000, i))
	gate.stall(after=300_000)
	p = begin(s.data, folder / "b", through(gate, settings))
	assert gate.stands.wait(60)
	p.send_signal(number)
	gate.go_on()
	_, err = ended(p, 1)
	assert "interrupted" in err and "no whole backup" in err, err
	assert holds(cluster, database) == 0


def test_postgresql_restarts_while_bytes_are_fetched(folder, make_server, settings, gate, cluster, database):
	s = make_server(settings=settings)
	files = [s.upload(random_bytes(200_000, i)) for i in range(20)]
	gate.stall(after=300_000)
	p = begin(s.data, folder / "b", through(gate, settings))
	assert gate.stands.wait(60)
	until = int(cluster.sql("SELECT max(expires_at) FROM hold", name_of(database)))
	cluster.stop("immediate")
	cluster.start()
	eventually(lambda: int(cluster.sql("SELECT max(expires_at) FROM hold", name_of(database))) > until, message="it does not say that it goes on")
	eventually(lambda: s.delete(f"/v1/files/{files[0]['id']}").status_code in (204, 410))
	gate.go_on()
	ended(p)
	assert check_backup(folder / "b")["blobs"]["count"] == 20


def test_without_its_catalogue_or_its_bucket_it_says_so_and_the_earlier_one_stays(folder, make_server, settings, gate, cluster):
	s = make_server(settings=settings)
	s.upload(random_bytes(200_000, 1))
	backup(s.data, folder / "b", settings)
	s.upload(random_bytes(200_000, 2))
	s.stop()
	gate.cut(shut=True)
	r = backup(s.data, folder / "b", through(gate, {**settings, "storage.s3_patience": "5s"}), code=1, timeout=300)
	assert "the earlier backup is as it was" in r.stderr, r.stderr
	assert check_backup(folder / "b")["blobs"]["count"] == 1
	cluster.stop()
	try:
		r = backup(s.data, folder / "b", settings, code=1)
		assert "catalog" in r.stderr and "could not" in r.stderr or "connect" in r.stderr, r.stderr
	finally:
		cluster.start()
	assert check_backup(folder / "b")["blobs"]["count"] == 1
	backup(s.data, folder / "b", settings)
	assert check_backup(folder / "b")["blobs"]["count"] == 2


# ---- bytes ----

@pytest.mark.parametrize("how", ["other bytes", "other length", "missing"])
def test_damaged_objects_are_told(folder, make_server, settings, ceph, how):
	s = make_server(settings=settings)
	files = [s.upload(random_bytes(50_000, i)) for i in range(3)]
	backup(s.data, folder / "b", settings)
	key = settings["storage.s3_prefix"] + next(k for k in ceph.keys(settings["storage.s3_prefix"]) if k.endswith(files[1]["id"]))
	if how == "missing":
		ceph.aws("s3", "rm", f"s3://{BUCKET}/{key}")
	else:
		ceph.put(key, bytes(50_000 if how == "other bytes" else 10))
	backup(s.data, folder / "b", settings) # the earlier backup has it
	check_backup(folder / "b")
	r = backup(s.data, folder / "new", settings, code=1)
	assert files[1]["id"] in r.stderr and "1 blobs are missing or damaged" in r.stderr, r.stderr
	assert ("missing: " if how == "missing" else "damaged: ") in r.stderr
	assert manifest(folder / "new")["blobs"]["lacking"] == 1 and figures(r.stdout)["lacking"] == 1
	assert files[1]["id"] not in {n.rsplit("/", 1)[1] for n in names(folder / "new/blobs")}
	assert run("restore", folder / "new", "--data", folder / "r").returncode == 1
	assert run("restore", "--partial", folder / "new", "--data", folder / "p").returncode == 0


# ---- what is refused ----

def test_wrong_uses_are_refused(folder, make_server, settings, database, bucket, cluster):
	s = make_server(settings=settings)
	s.upload(random_bytes(50_000, 1))
	backup(s.data, folder / "b", settings)
	for wrong, word in ((settings, "catalog.url"), ({"catalog.url": database}, "catalog.url"), (bucket, "storage.s3_bucket")):
		r = run("restore", folder / "b", "--data", folder / "r", settings=wrong)
		assert r.returncode == 78 and word in r.stderr and "filemill move" in r.stderr, r.stderr
	assert not (folder / "r").exists()
	assert "another data directory" in backup(make_server().data, folder / "b", {}, code=1).stderr
	assert "its files are in s3://" in backup(s.data, folder / "b", {"catalog.url": database}, code=78).stderr
	(folder / "full").mkdir()
	(folder / "full/a").write_text("mine")
	assert "not empty" in backup(s.data, folder / "full", settings, code=1).stderr
	cluster.sql("DELETE FROM schema_version WHERE version = (SELECT max(version) FROM schema_version)", name_of(database))
	r = run("backup", "--data", s.data, folder / "b", settings=settings)
	assert r.returncode != 0 and "filemill migrate" in r.stderr, r.stderr


# ---- one object that the bucket does not give, and a bucket that gives none ----

def test_an_object_that_is_never_given_is_counted_and_all_else_is_checked_and_copied(folder, make_server, settings, gate):
	s = make_server(settings=settings)
	files = [s.upload(random_bytes(50_000 + i, i)) for i in range(6)]
	s.stop()
	impatient = through(gate, {**settings, "storage.s3_patience": "500ms"})
	gate.fail(files[2]["id"])
	r = run("fsck", "--read", "--json", "--data", s.data, settings=impatient)
	told = json.loads(r.stdout)
	assert r.returncode == 1 and [(f["code"], f["id"]) for f in told["findings"]] == [("bytes_unreadable", files[2]["id"])], r.stdout + r.stderr
	assert told["files"] == 6 and told["bytes_read"] == sum(50_000 + i for i in range(6) if i != 2), told
	r = backup(s.data, folder / "b", impatient, code=1)
	assert "filemill: unreadable: public/" in r.stderr and files[2]["id"] in r.stderr and "all else is in the backup" in r.stderr, r.stderr
	assert (figures(r.stdout)["copied"], manifest(folder / "b")["blobs"]["lacking"]) == (5, 1)
	gate.fail(None)
	r = figures(backup(s.data, folder / "b", impatient).stdout)
	assert (r["copied"], r["kept"], r["lacking"]) == (1, 5, 0)


def test_an_object_of_which_only_the_beginning_comes_is_counted_too(folder, make_server, settings, gate):
	s = make_server(settings=settings)
	file = s.upload(random_bytes(3_000_000, 1))
	gate.stall(after=500_000)
	p = begin(s.data, folder / "b", through(gate, {**settings, "storage.s3_patience": "500ms"}))
	assert gate.stands.wait(60)
	gate.fail(file["id"])
	gate.cut()
	gate.go_on()
	assert f"{file['id']}\n" in ended(p, code=1)[1]
	assert manifest(folder / "b")["blobs"]["lacking"] == 1 and not list(names(folder / "b/blobs"))


def test_a_bucket_that_gives_nothing_ends_a_check_and_a_backup(folder, make_server, settings, gate):
	s = make_server(settings=settings)
	s.upload(random_bytes(50_000, 1))
	backup(s.data, folder / "b", settings)
	for i in range(3):
		s.upload(random_bytes(50_000, 2 + i))
	s.stop()
	before = (folder / "b/manifest.json").read_bytes()
	impatient = through(gate, {**settings, "storage.s3_patience": "500ms"})
	gate.fail(" /") # everything
	for flags in ((), ("--read",)):
		r = run("fsck", *flags, "--json", "--data", s.data, settings=impatient)
		assert r.returncode == 1 and "object storage answered 500" in r.stderr and "bytes_unreadable" not in r.stdout, r.stdout + r.stderr
	r = backup(s.data, folder / "b", impatient, code=1)
	assert "the earlier backup is as it was" in r.stderr and (folder / "b/manifest.json").read_bytes() == before, r.stderr
	gate.fail(None)
	assert figures(backup(s.data, folder / "b", impatient).stdout)["copied"] == 3


# ---- fsck and the storage check, beside other nodes ----

LONG_AGO = "01900000-0000-7000-8000-000000000000"


def test_a_repair_leaves_alone_what_other_nodes_are_storing_and_removes_what_is_nobodys(folder, make_server, settings, ceph, bucket):
	small = {**settings, "storage.s3_part_size": "5MiB", "files.sweep_every": "0"}
	s, t = make_server(settings=small), make_server(settings=small)
	t.upload(random_bytes(50_000, 1))
	s.stop() # its directory is free, and the other one is at work; that has not been there for long enough to remove anything itself
	prefix, repaired = bucket["storage.s3_prefix"], []

	def fsck():
		return run("fsck", "--data", s.data, "--repair", "--sole", settings=small)

	# a blob that is whole in the bucket, and whose row is still to come: as an upload has it between the two
	coming = t.upload(random_bytes(60_000, 2))
	key = next(k for k in ceph.keys(prefix) if k.endswith(coming["id"]))
	young = key.replace(coming["id"], coming["id"][:-1] + ("0" if coming["id"][-1] != "0" else "1"))
	ceph.put(prefix + young, b"x" * 50_000)
	ceph.put(f"{prefix}public/00/{LONG_AGO}", b"x" * 50_000)
	repaired.append(fsck())
	assert repaired[0].returncode == 1 and LONG_AGO in repaired[0].stdout and "removed" in repaired[0].stdout, repaired[0].stdout + repaired[0].stderr
	assert young not in repaired[0].stdout
	left = ceph.keys(prefix)
	assert young in left and key in left and not any(LONG_AGO in k for k in left)
	assert sha256(t.get(f"/v1/files/{coming['id']}/content").content) == coming["sha256"]
	t.stop()
	assert run("fsck", "--read", "--data", t.data, settings=small).returncode == 0


def test_a_repair_waits_for_the_end_of_a_backup_on_another_node(folder, make_server, settings, gate, ceph):
	s, t = make_server(settings=settings), make_server(settings=settings)
	for i in range(20):
		s.upload(random_bytes(200_000, i))
	t.stop()
	gate.stall(after=300_000)
	p = begin(s.data, folder / "b", through(gate, settings))
	assert gate.stands.wait(60)
	r = run("fsck", "--data", t.data, "--repair", "--sole", settings=settings)
	assert r.returncode != 0 and "a backup is copying its bytes" in r.stderr, r.stderr
	assert run("fsck", "--data", t.data, settings=settings).returncode == 0
	gate.go_on()
	ended(p)
	r = run("fsck", "--data", t.data, "--repair", "--sole", settings=settings)
	assert r.returncode == 0, r.stdout + r.stderr


def test_fsck_beside_nodes_that_store_and_delete_finds_nothing(folder, make_server, settings):
	s, t = make_server(settings={"log.level": "warn", **settings}), make_server(settings={"log.level": "warn", **settings})
	t.stop()
	load = Load(s, 1)
	load.start()
	try:
		for n in range(5):
			eventually(lambda: len(load.acknowledged()) > 10 * (n + 1))
			r = run("fsck", "--read", "--repair", "--sole", "--data", t.data, settings=settings)
			# an attempt whose job was cancelled meanwhile leaves an output, for a moment
			found = [line for line in r.stdout.splitlines() if " public/" not in line or "neither" not in line or not line.split()[1].count(".") == 2]
			assert len(found) == 1 and found[0].startswith(("clean: ", "not clean: ")), r.stdout + r.stderr
	finally:
		load.end()
	eventually(lambda: all(j["state"] not in ("queued", "running") for j in s.all_jobs()))
	for job in s.all_jobs("&state=succeeded"):
		for o in job["outputs"]:
			r = s.get(o["href"])
			assert r.status_code == 200 and len(r.content) == o["size"] or r.status_code in (404, 410), (job, r.status_code)
	for i, digest in load.acknowledged().items():
		r = s.get(f"/v1/files/{i}/content")
		assert r.status_code == 200 and sha256(r.content) == digest or r.status_code == 410, (i, r.status_code)


def test_the_storage_check_of_a_bucket_is_one_nodes_and_marks_for_all(make_server, settings, ceph):
	quick = {**settings, "data.scrub_rate": "64MiB", "data.scrub_every": "1s"}
	s, t = make_server(settings=quick), make_server(settings=quick)
	good, bad = s.upload(random_bytes(300_000, 1)), s.upload(random_bytes(300_000, 2))
	key = settings["storage.s3_prefix"] + next(k for k in ceph.keys(settings["storage.s3_prefix"]) if k.endswith(bad["id"]))
	ceph.put(key, bytes(300_000))
	for node in (s, t):
		eventually(lambda node=node: node.get(f"/v1/files/{bad['id']}").json().get("damaged_at"))
		problem(node.get(f"/v1/files/{bad['id']}/content"), 500, "damaged")
		assert sha256(node.get(f"/v1/files/{good['id']}/content").content) == good["sha256"]
	eventually(lambda: said(s, "damaged") or said(t, "damaged"))
	assert [e["file"] for e in said(s, "damaged") + said(t, "damaged")] == [bad["id"]], "marked once"
	ceph.put(key, random_bytes(300_000, 2))
	eventually(lambda: "damaged_at" not in t.get(f"/v1/files/{bad['id']}").json())
	assert sha256(t.get(f"/v1/files/{bad['id']}/content").content) == bad["sha256"]


@pytest.mark.parametrize("size, flags", [(100, ()), (50_000, ()), (50_000, ("--repair",))])
def test_what_another_node_deletes_under_an_fsck_is_not_missing(make_server, settings, gate, ceph, size, flags):
	s, t = make_server(settings=settings), make_server(settings=settings)
	first = s.upload(random_bytes(400_000, 99))
	files = [s.upload(random_bytes(size, i)) for i in range(10)]
	t.stop()
	gate.stall(after=200_000) # in the midst of the first one, after all rows were read
	p = subprocess.Popen([binary(), "fsck", "--read", *flags, "--data", str(t.data)], env=clean_environment(through(gate, settings)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
			     stderr=subprocess.PIPE, text=True)
	assert gate.stands.wait(60)
	for f in files:
		assert s.delete(f"/v1/files/{f['id']}").status_code == 204
	eventually(lambda: [k.rsplit("/", 1)[1] for k in ceph.keys(settings["storage.s3_prefix"])] == [first["id"]])
	gate.go_on()
	out, _ = ended(p)
	assert out.startswith("clean: "), out
