"""The audit log: each act that matters leaves its line exactly once, whatever the server dies of; and what is done to the log shows."""
import os
import random
import shutil
import signal
import sqlite3
import subprocess

import pytest
import requests

from harness.auditlog import acts, files, lines, settled, verify, waiting
from harness.server import SLOW, StartFailed, eventually, problem, run

UPLOADS = {"audit.uploads": "true"}
ROUNDS = int(os.environ.get("FILEMILL_KILL_ROUNDS", "200")) // (10 if not SLOW else 5)
BIG = os.urandom(100_000)


def words(found):
	return [x["act"] for x in found]


# ---- acts ----

def test_a_start_and_an_end_are_told_with_what_ran(make_server):
	s = make_server()
	first, = settled(s)
	assert first["act"] == "server.started" and first["by"] == "server" and first["version"] in run("version").stdout
	s.restart()
	s.settings["files.max_size"] = "1GiB"
	s.restart()
	s.stop()
	found = lines(s.data)
	assert words(found) == ["server.started", "server.stopped"] * 3
	digests = [x["settings"] for x in found if x["act"] == "server.started"]
	assert digests[0] == digests[1] != digests[2] and len(digests[0]) == 64
	head = [e for e in s.log_events() if e["event"] == "audit_log"]
	assert [(h["line"], h["hash"]) for h in head[1:]] == [(x["seq"], x["hash"]) for x in found if x["act"] == "server.stopped"][:2]


def test_each_act_leaves_its_line_once(make_server):
	s = make_server(settings=UPLOADS)
	f = s.upload(b"one", "%C3%A4%22x%5C.txt", "ops=md5")
	s.patch(f"/v1/files/{f['id']}", json={"labels": {"a": "b"}})
	g = s.upload(BIG, "two.bin", "ops=md5")
	assert s.delete(f"/v1/files/{g['id']}").status_code == 204
	j = s.post(f"/v1/files/{f['id']}/jobs", json={"op": "sha1", "run_at": "2999-01-01T00:00:00Z"}).json()
	j = j["jobs"][0] if "jobs" in j else j
	assert s.post(f"/v1/jobs/{j['id']}/cancel").status_code == 200
	assert s.post(f"/v1/jobs/{j['id']}/retry").status_code == 202
	found = settled(s)[1:]
	assert words(found) == ["file.stored", "file.changed", "file.stored", "file.deleted", "job.cancelled", "job.retried"]
	assert all(x["by"] == "request" and x["owner"] == "public" and x["peer"] == "127.0.0.1" and x["request_id"] for x in found)
	assert found[0]["file"] == f["id"] and found[0]["size"] == 3 and found[0]["sha256"] == f["sha256"] and found[0]["name"] == f["name"]
	assert found[1]["labels"] is True and found[1]["name"] is False
	assert found[3]["file"] == g["id"] and found[4]["job"] == found[5]["job"] == j["id"]


def test_what_was_refused_or_repeated_leaves_none(make_server):
	s = make_server(settings=UPLOADS)
	f = s.upload(b"one", Idempotency_Key="k")
	assert s.post("/v1/files?name=a.bin", data=b"one", headers={"Content-Type": "application/octet-stream", "Idempotency-Key": "k"}).json()["id"] == f["id"]
	assert s.delete(f"/v1/files/{f['id']}").status_code == 204
	problem(s.delete(f"/v1/files/{f['id']}"), 410)
	problem(s.delete("/v1/files/0190d2a6-0000-7000-8000-000000000001"), 404)
	problem(s.post("/v1/jobs/0190d2a6-0000-7000-8000-000000000001/cancel"), 404)
	problem(s.post("/v1/files", data=b"x", headers={"Content-Type": "application/octet-stream", "Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="}), {400, 409, 412, 422})
	assert words(settled(s)) == ["server.started", "file.stored", "file.deleted"]


def test_uploads_are_left_out_unless_asked_for(make_server):
	s = make_server()
	s.upload(b"one")
	s.stop()
	assert words(lines(s.data)) == ["server.started", "server.stopped"]


def test_an_expired_file_is_told(make_server):
	s = make_server()
	f = s.upload(b"one")
	assert s.patch(f"/v1/files/{f['id']}", json={"expires_at": "2001-01-01T00:00:00Z"}).status_code in (200, 400, 422)
	db = sqlite3.connect(s.data / "catalog.db", timeout=20)
	with db:
		db.execute("UPDATE file SET expires_at = 1000")
	db.close()
	eventually(lambda: s.get(f"/v1/files/{f['id']}").status_code == 410)
	expired = [x for x in settled(s) if x["act"] == "file.expired"]
	assert [x["file"] for x in expired] == [f["id"]] and expired[0]["by"] == "server" and expired[0]["owner"] == "public"


def test_damage_that_fsck_marks_is_told_by_the_next_start(make_server):
	s = make_server()
	f = s.upload(BIG)
	s.stop()
	blob = s.blob(f["id"])
	blob.write(b"x" + BIG[1:])
	stray = blob.key[:-4] + "0000"
	s.stray(stray, b"stray")
	assert run("fsck", "--read", "--data", s.data).returncode == 1
	for _ in range(2):
		assert run("fsck", "--read", "--repair", "--data", s.data).returncode == 1
	blob.write(BIG)
	assert run("fsck", "--read", "--repair", "--data", s.data).returncode == 1
	assert verify("--data", s.data)[0]
	s.start()
	found = [x for x in settled(s) if x["by"] == "command"]
	assert sorted(words(found[:2])) == ["blob.removed", "file.damaged"] and words(found[2:]) == ["file.whole"]
	assert {x.get("file") for x in found} == {f["id"], None} and [x["blob"] for x in found if "blob" in x][0].endswith(stray)


# ---- dying ----

def test_after_any_kill_there_is_a_line_for_each_file_and_one_only(make_server):
	s = make_server(settings={**UPLOADS, "audit.file_size": "4KiB", "files.default_ops": "crc32c"})
	rng = random.Random(7)
	deleted = set()
	for n in range(ROUNDS):
		for i in range(rng.randrange(1, 12)):
			f = s.upload(b"%d %d" % (n, i))
			if rng.random() < 0.4:
				deleted.add(f["id"])
				assert s.delete(f"/v1/files/{f['id']}").status_code == 204
		s.kill() # within the time that lines are gathered: most are not written yet
		ok, told = verify("--data", s.data)
		assert ok, told
		s.start()
	found = settled(s)
	stored = [x["file"] for x in found if x["act"] == "file.stored"]
	gone = [x["file"] for x in found if x["act"] == "file.deleted"]
	assert len(stored) == len(set(stored)) and set(stored) == {f["id"] for f in s.all_files()} | deleted
	assert len(gone) == len(set(gone)) and set(gone) == deleted
	assert words(found).count("server.started") == ROUNDS + 1 and "audit.broken" not in words(found)
	assert len(files(s.data)) > 1
	assert verify("--data", s.data)[0]


def test_a_torn_last_line_is_no_tampering_and_is_mended(make_server):
	s = make_server(settings=UPLOADS)
	settled(s)
	s.signal(signal.SIGSTOP) # an upload's line is committed and the log not written yet, however that came about
	s.kill()
	whole = files(s.data)[-1].read_bytes()
	db = sqlite3.connect(s.data / "catalog.db")
	with db:
		db.execute("INSERT INTO audit VALUES ((SELECT seq + 1 FROM audit_head), ?)", ('{"at":"2026-01-01T00:00:00.000Z","act":"file.stored","by":"request"}',))
	db.close()
	files(s.data)[-1].write_bytes(whole + b'{"seq":2,"prev":"')
	ok, told = verify("--data", s.data)
	assert ok and "incomplete line" in told, told
	s.start()
	assert words(settled(s)) == ["server.started", "file.stored", "server.started"]
	assert verify("--data", s.data)[0]


# ---- tampering ----

@pytest.fixture
def used(make_server):
	s = make_server(settings=UPLOADS)
	for n in range(6):
		s.upload(b"%d" % n)
	s.stop()
	return s


def tampered(used, folder, change):
	"""A copy of the directory whose log was changed."""
	copy = folder / "copy"
	shutil.rmtree(copy, ignore_errors=True)
	shutil.copytree(used.data, copy)
	path, = files(copy)
	path.write_bytes(change(path.read_bytes()))
	return verify("--data", copy)


def test_what_is_done_to_the_log_is_named(used, folder):
	rows = files(used.data)[0].read_bytes().splitlines(keepends=True)
	cases = {
		"changed: audit-000000000001.jsonl, line 3:": lambda b: b.replace(b'"size":1', b'"size":9', 2).replace(b'"size":9', b'"size":1', 1),
		"removed: audit-000000000001.jsonl, line 2:": lambda b: b"".join(rows[:1] + rows[2:]),
		"inserted: audit-000000000001.jsonl, line 5:": lambda b: b"".join(rows[:4] + rows[1:2] + rows[4:]),
		"reordered: audit-000000000001.jsonl, line 3:": lambda b: b"".join(rows[:2] + [rows[3], rows[2]] + rows[4:]),
		"cut: audit-000000000001.jsonl, at its end:": lambda b: b"".join(rows[:-1]),
		"cut: audit-000000000001.jsonl, line 8:": lambda b: b[:-1],
		"cut: ": lambda b: b"",
	}
	for told, change in cases.items():
		ok, line = tampered(used, folder, change)
		assert not ok and line.startswith(told), (told, line)
	assert tampered(used, folder, lambda b: b)[0]


def test_a_log_rewritten_with_its_catalogue_shows_against_a_head_noted_elsewhere(used):
	last = lines(used.data)[-1]
	note = f"{last['seq']}:{last['hash']}"
	assert verify("--data", used.data, "--head", note)[0]
	ok, told = verify("--data", used.data, f"--head={last['seq']}:{'0' * 64}")
	assert not ok and told.startswith("replaced: ")
	ok, told = verify("--head", f"9:{'0' * 64}", *files(used.data))
	assert not ok and told.startswith("cut: ")
	assert run("audit", "verify", "--data", used.data, "--head", "x").returncode == 2
	assert run("audit", "verify", "--data", used.data / "nowhere").returncode != 0
	assert run("audit", "mend").returncode == run("audit").returncode == 2


@pytest.mark.parametrize("change", ["cut", "changed", "gone", "added"])
def test_a_start_on_a_log_that_was_tampered_with_says_so_and_leaves_it_as_it_is(used, change):
	path, = files(used.data)
	was = path.read_bytes()
	if change == "gone":
		path.unlink()
	else:
		path.write_bytes({"cut": was[:-200], "changed": was[:-20] + (b"1" if was[-20:-19] == b"0" else b"0") + was[-19:], "added": was + was.splitlines(keepends=True)[-1]}[change])
	now = path.read_bytes() if path.exists() else None
	used.start()
	assert used.upload(b"still works")
	used.stop()
	assert (path.read_bytes() if path.exists() else None) == now
	assert [e["event"] for e in used.log_events()].count("audit_log_broken") == 1
	r = run("audit", "show", "--data", used.data, "--act=audit.")
	assert r.returncode == 0 and r.stdout.count("\n") == 1 and '"act":"audit.broken"' in r.stdout
	assert not verify("--data", used.data)[0]
	assert verify(files(used.data)[-1])[0], "the new file is whole in itself"


KINDS = {
	"changed": lambda rows: [*rows[:2], rows[2].replace(b"file.stored", b"file.deleted"), *rows[3:]],
	"removed": lambda rows: rows[:2] + rows[3:],
	"inserted": lambda rows: rows[:3] + rows[2:],
	"reordered": lambda rows: [*rows[:2], rows[3], rows[2], *rows[4:]],
	"cut": lambda rows: rows[:-1],
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_done_to_the_log_beside_a_running_server_is_named_and_stays_so(make_server, kind):
	s = make_server(settings=UPLOADS)
	for n in range(6):
		s.upload(b"%d" % n)
	settled(s)
	assert verify("--data", s.data)[0]
	path, = files(s.data)
	path.write_bytes(b"".join(KINDS[kind](path.read_bytes().splitlines(keepends=True))))
	ok, told = verify("--data", s.data)
	assert not ok and told.startswith(kind + ": "), told
	s.upload(b"and on")
	eventually(lambda: waiting(s.data) == 0)
	assert not verify("--data", s.data)[0], "what is written afterwards does not cover it up"
	s.restart()
	assert s.upload(b"still works") and not verify("--data", s.data)[0]


def test_old_files_may_be_moved_away_but_none_from_between(make_server, folder):
	s = make_server(settings={**UPLOADS, "audit.file_size": "4KiB"})
	while len(files(s.data)) < 3: # lines of one gathering go into one file, however many they are
		s.upload(b"more")
		settled(s)
	first, *_ = files(s.data)
	archive = folder / "archive"
	archive.mkdir()
	moved = first.rename(archive / first.name)
	ok, told = verify("--data", s.data)
	assert not ok and told.startswith("removed: "), told # nobody can tell a file that was moved from one that was taken
	assert verify(moved, *files(s.data))[0]
	s.upload(b"goes on")
	s.restart()
	assert "audit_log_broken" not in [e["event"] for e in s.log_events()]
	assert verify(moved, *files(s.data))[0]
	ok, told = verify(moved, *files(s.data)[1:])
	assert not ok and told.startswith("removed: "), told


# ---- others at the same time ----

def test_a_log_is_verified_and_shown_while_it_is_written(make_server):
	s = make_server(settings={**UPLOADS, "audit.file_size": "4KiB"})
	for n in range(60):
		s.upload(b"%d" % n)
		if n % 10 == 0:
			ok, told = verify("--data", s.data)
			assert ok, told
	settled(s)
	shown = run("audit", "show", "--data", s.data, "--act", "file.stored").stdout
	assert shown.count("\n") == 60


def test_a_second_server_on_the_directory_leaves_no_line(make_server):
	s = make_server()
	other = make_server(start=False, data=s.data)
	with pytest.raises(StartFailed):
		other.start()
	s.stop()
	assert words(lines(s.data)) == ["server.started", "server.stopped"]


def test_a_backup_has_the_log_and_a_restore_goes_on_with_it(make_server, folder):
	s = make_server(settings={**UPLOADS, "audit.file_size": "4KiB"})
	for n in range(30):
		s.upload(b"%d" % n)
	settled(s)
	assert run("backup", "--data", s.data, folder / "b").returncode == 0
	for n in range(30):
		s.upload(b"after %d" % n)
	settled(s)
	assert run("backup", "--data", s.data, folder / "b").returncode == 0
	kept = settled(s)
	assert lines(folder / "b") == kept
	s.upload(b"later than any backup")
	s.stop()
	assert run("restore", "--data", folder / "r", folder / "b").returncode == 0
	assert verify("--data", folder / "r")[0]
	again = make_server(data=folder / "r")
	found = settled(again)
	assert found[:len(kept)] == kept and words(found[len(kept):]) == ["data.restored", "server.started"]


# ---- disks ----

@pytest.mark.skipif(os.geteuid() != 0, reason="mounting takes root")
def test_a_full_disk_holds_lines_up_and_loses_none(make_server, folder):
	point = folder / "disk"
	point.mkdir()
	if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", point], capture_output=True).returncode != 0:
		pytest.skip("this machine mounts no tmpfs")
	try:
		s = make_server(data=point / "data", settings={**UPLOADS, "files.free_reserve": "0"})
		kept = [s.upload(b"0")["id"]]
		settled(s)
		with open(point / "ballast", "wb") as f: # what the log's first page has left is all that can be written
			with pytest.raises(OSError):
				while True:
					f.write(bytes(65536))
					f.flush()
		for n in range(300):
			r = s.post("/v1/files?name=x", data=b"%d" % n, headers={"Content-Type": "application/octet-stream"})
			if r.status_code == 201:
				kept.append(r.json()["id"])
			else:
				problem(r, 507)
				break
		(point / "ballast").unlink()
		kept.append(s.upload(b"again")["id"])
		found = settled(s)
		assert [x["file"] for x in found if x["act"] == "file.stored"] == kept
		s.stop()
		assert verify("--data", s.data)[0]
	finally:
		if s.running():
			s.kill()
		eventually(lambda: subprocess.run(["umount", point], capture_output=True).returncode == 0)
