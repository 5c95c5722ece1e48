"""filemill move: what else arrives than files and jobs, ends at each point of its course, other nodes at work on the source, full disks, and going back."""
import json
import shutil
import signal
import subprocess

import pytest

from harness import auditlog, people
from harness.data import random_bytes
from harness.moves import Place, fill, move, moved, sound, take_back, told
from harness.nodes import Worker
from harness.postgres import programs
from harness.preload import end_at # noqa: F401
from harness.receiver import Receiver
from harness.server import StartFailed, eventually, problem

pytestmark = pytest.mark.skipif(programs() is None, reason="postgresql is not installed")

KILLED = -signal.SIGKILL


@pytest.fixture
def receiver():
	r = Receiver()
	yield r
	r.stop()


# ---- all of it ----

EVERYTHING = {
	"auth.anonymous": "true", "net.http": "true", "net.allow": "127.0.0.0/8", "webhooks.retry": "0s,1h", "ops": json.dumps({"held": {"concurrency": 1}}),
	"recurring": json.dumps({"yearly": {"at": "@yearly", "ops": ["crc32c"], "label": "kind:odd"}}),
}


HELD = {"commands": json.dumps({"held": {"argv": ["/bin/sleep", "1000"]}})} # one of these runs in the old place, the others wait
FREE = {"commands": json.dumps({"held": {"argv": ["/bin/echo", "done"]}})}


def link(server, **members):
	r = server.post("/v1/links", json={"method": "PUT", **members})
	assert r.status_code == 201, r.text
	return r.json()["url"].removeprefix(server.base)


def shown(server, hook):
	"""What is the same in both places, whatever becomes of the jobs that wait."""
	hook.server = server
	files, jobs, digests, _ = told(server)
	return [(f["id"], f["name"], f["created_at"]) for f in files], [j for j in jobs if j["op"] == "md5"], digests, hook.shown(), hook.deliveries()


@pytest.mark.parametrize("running", [True, False], ids=["beside a server", "at rest"])
def test_people_links_webhooks_schedules_and_the_queue_arrive_too(make_server, folder, cluster, database, receiver, running):
	old, new = Place(folder, "old"), Place(folder, "new", catalog__url=database)
	s = old.serve(make_server, **EVERYTHING, **HELD)
	s.stop()
	people.first_admin(s)
	s.start()
	admin = people.sign_in(s, people.ADMIN)
	user = people.add_user(admin)
	key = user.key(["files:read"])
	mine = user.upload(b"the user's")
	used, unused = link(s), link(s)
	assert s.request("PUT", used, data=b"1").status_code == 201
	hook = receiver.hook(s, 500)
	waiting = [s.upload(random_bytes(10, i), f"{i}.bin", "ops=md5,held") for i in range(5)]
	eventually(lambda: [d["tries"] for d in hook.deliveries()] == [1] * 5)
	secret = hook.made["secret"]
	eventually(lambda: auditlog.waiting(s.data) == 0)
	eventually(lambda: sorted(j["state"] for j in s.all_jobs() if j["op"] == "held") == ["queued"] * 4 + ["running"])
	before = shown(s, hook)
	if not running:
		s.stop()
	moved(old, new)
	t = new.serve(make_server, **EVERYTHING, **FREE)
	if running:
		s.stop()
	assert shown(t, hook)[:3] == before[:3]
	hook.secrets(secret)
	was = [{d["id"]: d for d in deliveries} for deliveries in (before[4], hook.deliveries())]
	assert {i: was[1][i] for i in was[0]} == was[0]

	# whoever was signed in is so, and whoever was not can sign in
	for person in (admin, user, key):
		person.server = t
	assert user.get(f"/v1/files/{mine['id']}").json() == {**mine, "jobs": user.get(f"/v1/files/{mine['id']}").json()["jobs"]}
	assert key.get(f"/v1/files/{mine['id']}/content").content == b"the user's"
	assert problem(key.post("/v1/files?name=x", data=b"x"), 403)["code"] == "forbidden"
	assert people.sign_in_answer(t, user.email, "another password").status_code == 401
	assert people.sign_in(t, user.email).get("/v1/files").json()["files"][0]["id"] == mine["id"]
	assert admin.get("/v1/admin/workers").status_code == 200

	# a link once used stays used, and its secret is the same
	assert problem(t.request("PUT", used, data=b"2"), 410)["code"] == "used"
	assert t.request("PUT", unused, data=b"3").status_code == 201

	# what was to be told is told, under the same ids and the same secret
	hook.plan(200)
	hook.secrets(secret)
	for i in was[0]:
		t.post(f"{hook.path}/deliveries/{i}/replay")
	eventually(lambda: set(was[0]) <= {d["id"] for d in hook.deliveries("&state=delivered")})
	assert set(was[0]) <= {x["id"] for x in hook.arrived()}

	# the queue is worked off where its jobs may run
	eventually(lambda: all(j["state"] == "succeeded" for j in t.all_jobs()))
	assert len([j for j in t.all_jobs() if j["op"] == "held"]) == len(waiting)
	t.stop()

	# the log goes on
	lines = auditlog.lines(new.data)
	acts = [x["act"] for x in lines]
	assert [x["act"] for x in auditlog.lines(old.data)][:acts.index("data.moved")] == acts[:acts.index("data.moved")]
	at = lines[acts.index("data.moved")]
	assert acts.count("data.moved") == 1 and (at["from"], at["to"]) == (str(old.data), str(new.data)), at
	assert {"user.added", "key.added", "session.begun", "webhook.made", "link.made"} <= set(acts[:acts.index("data.moved")])
	assert auditlog.verify("--data", new.data, settings=new.settings)[0]
	sound(new)
	name = database.split("dbname=")[1]
	there = cluster.sql("SELECT due_at, since, upto, before FROM recurring", name).split()
	assert len(there) == 4


# ---- ends ----

def ended(old, new, env):
	done = move(old, new, env=env)
	assert done.returncode == KILLED, (env["END_AT"], done)


# In the order of a move's course: point, whether the source has been noted as moved by then.
FORTH = [
	("before renameat 1 filemill.move", False), # nothing is there
	("after renameat 1 filemill.move", False),
	("after openat 3 new", False), # among the bytes, one of which is cut off
	("after fcntl 1 wait", False), # nothing is written any more
	("before PQputCopyData 3", False), # among the rows
	("before renameat 1 audit-", False), # rows are there and compared, the log is not
	("before renameat 1 filemill.moved", False),
	("after renameat 1 filemill.moved", True), # between the two notes
	("before renameat 1 filemill.id", True), # the new catalogue is opened up, its directory is not
]
BACK = [
	("after openat 3 new", False),
	("after sqlite3_step 30", False), # among the rows
	("before renameat 1 audit-", False),
	("before renameat 1 filemill.moved", True), # PostgreSQL says that it was moved, its node's directory does not yet
	("before renameat 1 filemill.id", True),
]


def end_at_all(old, new, s, make_server, points, end_at):
	"""Ends moves at these points, one after the other; returns how many files were taken meanwhile."""
	taken = 0
	for point, noted in points:
		ended(old, new, end_at(point))
		if noted:
			assert problem(s.post("/v1/files?name=k", data=b"k"), 503)["code"] in ("moved", "catalog_unavailable"), point
		else:
			eventually(lambda: s.post("/v1/files?name=k", data=b"k").status_code == 201)
			taken += 1
		if (new.data / "filemill.move").exists():
			with pytest.raises(StartFailed, match="has not ended|no data directory"):
				new.serve(make_server)
	return taken


def test_ended_at_each_point_there_and_back_the_same_command_goes_on(make_server, folder, database, end_at):
	old, new, again = Place(folder, "old"), Place(folder, "new", catalog__url=database), Place(folder, "again")
	s = old.serve(make_server)
	fill(s, 12)
	taken = end_at_all(old, new, s, make_server, FORTH, end_at)
	assert "opened up" in moved(old, new)
	before = told(s)
	assert len(before[0]) == 12 + taken
	s.stop()
	t = new.serve(make_server)
	assert told(t) == before
	taken += end_at_all(new, again, t, make_server, BACK, end_at)
	assert "opened up" in moved(new, again)
	assert "moved before" in moved(new, again)
	t.stop()
	u = again.serve(make_server)
	after = told(u)
	assert len(after[0]) == 12 + taken and after[0][:12] == before[0][:12]
	u.stop()
	sound(again)
	acts = [x["act"] for x in auditlog.lines(again.data)]
	assert acts.count("data.moved") >= 2
	assert auditlog.verify("--data", again.data)[0]


# ---- several nodes ----

def test_from_nodes_at_work_on_postgresql_to_a_directory(make_server, folder, database):
	old, new = Place(folder, "old", catalog__url=database), Place(folder, "new")
	s = old.serve(make_server)
	other = make_server(data=old.data, settings=old.settings)
	worker = Worker(folder / "worker", data=old.data, settings=old.settings).start()
	try:
		files = fill(s, 8)
		files.append(other.upload(b"the other's"))
		moved(old, new)
		for node in (s, other):
			r = node.post("/v1/files?name=late", data=b"late")
			assert problem(r, 503)["code"] in ("moved", "catalog_unavailable")
			assert node.get(f"/v1/files/{files[0]['id']}/content").status_code == 200
		t = new.serve(make_server)
		assert sorted(f["id"] for f in t.all_files()) == sorted(f["id"] for f in files)
		eventually(lambda: all(j["state"] == "succeeded" for j in t.all_jobs()))
		told(t)
	finally:
		worker.kill()
	t.stop()
	sound(new)


@pytest.mark.parametrize("there", ["postgres", "directory"])
def test_taken_back_the_old_place_is_used_again(make_server, folder, database, there):
	shared = {"catalog__url": database}
	old = Place(folder, "old", **(shared if there == "directory" else {}))
	new = Place(folder, "new", **(shared if there == "postgres" else {}))
	s = old.serve(make_server)
	fill(s, 2)
	before = told(s)
	refused = take_back(old)
	assert refused.returncode != 0 and "it was not moved" in refused.stderr, refused
	s.stop()
	moved(old, new)
	with pytest.raises(StartFailed, match="was moved"):
		s.start()
	done = take_back(old)
	assert done.returncode == 0 and "is to be used again" in done.stdout, done
	s.start()
	assert told(s) == before
	assert s.upload(b"again")["size"] == 5
	s.stop()
	sound(old)
	assert auditlog.verify("--data", old.data, settings=old.settings)[0]
	again = move(old, new)
	words = {"postgres": "the catalogue there is not empty", "directory": "a copy of the one that is to be moved"}[there] # a database is looked at first
	assert again.returncode != 0 and words in again.stderr, again
	t = new.serve(make_server)
	assert told(t) == before


# ---- a disk that is full ----

MIB = 1 << 20


@pytest.fixture
def small_disk(folder):
	"""An ext4 of 24 MiB."""
	point, image = folder / "disk", folder / "disk.img"
	point.mkdir()
	with open(image, "wb") as f:
		f.truncate(24 * MIB)
	try:
		subprocess.run(["mkfs.ext4", "-q", "-m", "0", "-O", "^has_journal", image], check=True, capture_output=True)
		subprocess.run(["mount", "-o", "loop", image, point], check=True, capture_output=True)
	except (OSError, subprocess.CalledProcessError):
		pytest.skip("this machine mounts no ext4 by loop device, which takes root")
	yield point
	eventually(lambda: subprocess.run(["umount", point], capture_output=True).returncode == 0, message="the disk is still in use")


@pytest.mark.parametrize("size", [3000, 300_000], ids=["rows", "bytes"])
def test_a_target_without_room_is_told_and_the_source_goes_on(make_server, folder, database, small_disk, size):
	old = Place(folder, "old", catalog__url=database)
	new = Place(small_disk, "new")
	s = old.serve(make_server)
	n = 3 * MIB // size
	files = [s.upload(random_bytes(size, i), f"{i}.bin", "ops=") for i in range(n)]
	ballast = small_disk / "ballast"
	with open(ballast, "wb") as f:
		f.write(bytes(shutil.disk_usage(small_disk).free - 2 * MIB))
	done = move(old, new)
	assert done.returncode != 0 and ("no space" in done.stderr.lower() or "full" in done.stderr), done
	assert ("the new store" if size > 200_000 else "the new catalogue") in done.stderr, done
	files.append(eventually(lambda: (r := s.post("/v1/files?name=more", data=b"more")).status_code == 201 and r.json()))
	with pytest.raises(StartFailed, match="has not ended"):
		new.serve(make_server)
	ballast.unlink()
	moved(old, new)
	s.stop()
	t = new.serve(make_server)
	assert {f["id"] for f in t.all_files()} == {f["id"] for f in files}
	told(t)
	t.stop()
	sound(new)
