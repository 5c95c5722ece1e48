"""filemill fsck: every way the catalogue and the store can part, made on purpose and found; and damaged bytes, which are never given out."""
import hashlib
import json
import os
import re
import sqlite3

import pytest

from harness.images import png
from harness.server import eventually, problem, run

CODE = re.compile(r"^[a-z_]+ [ -~]+: [ -~]+$")
BIG = os.urandom(100_000)


def fsck(data, *flags):
	"""The JSON report and the exit status."""
	r = run("fsck", "--json", "--data", data, *flags, timeout=60)
	assert r.stderr == "" and r.returncode in (0, 1), r
	told = json.loads(r.stdout)
	assert told["complete"] and told["ok"] == (r.returncode == 0) == (told["found"] == 0)
	assert told["found"] == len(told["findings"]) and told["repaired"] == sum(f["done"] is not None for f in told["findings"])
	return told


def codes(told):
	return sorted(f["code"] for f in told["findings"])


def only(told):
	assert len(told["findings"]) == 1, told
	return told["findings"][0]


def blob_of(server, name):
	found = [p for p in (server.data / "blobs").rglob(name)]
	assert len(found) == 1, (name, found)
	return found[0]


def flip(path, at=4711):
	data = bytearray(path.read_bytes())
	data[at % len(data)] ^= 1
	path.write_bytes(data)


def sql(server, text, *values):
	db = sqlite3.connect(server.data / "catalog.db")
	with db:
		rows = db.execute(text, values).fetchall()
	db.close()
	return rows


@pytest.fixture
def used(make_server):
	"""A directory in which a bit of everything was done, and no server any more."""
	s = make_server()
	s.small = s.upload(b"small", "small.txt", "ops=md5,sha1&wait=60")
	s.big = s.upload(BIG, "big.bin", "ops=md5,gzip&wait=60")
	s.image = s.upload(png(120, 90), "photo.png", "ops=resize;width=50&wait=60")
	s.upload(png(120, 90), "again.png", "ops=resize;width=50&wait=60") # takes the output over
	s.upload(BIG, "again.bin", "ops=gzip&wait=60")
	gone = s.upload(BIG[:50_000], "gone.bin", "ops=gzip&wait=60")
	assert s.delete(f"/v1/files/{gone['id']}").status_code == 204
	eventually(lambda: not [n for n in s.blobs() if gone["id"] in n])
	s.resize = s.image["jobs"][0]
	assert s.resize["state"] == "succeeded", s.resize
	s.stop()
	return s


# ---- nothing wrong ----

def test_nothing_is_found_where_nothing_is_wrong(used):
	for flags in ((), ("--read",), ("--read", "--repair")):
		told = fsck(used.data, *flags)
		assert told["ok"] and told["files"] == 5 and told["outputs"] == 4 and told["blobs"] >= 4, told
		assert (told["bytes_read"] > 3 * len(BIG)) == ("--read" in flags)
	r = run("fsck", "--data", used.data)
	assert r.returncode == 0 and r.stdout.startswith("clean: 5 files, 4 outputs, ") and r.stdout.count("\n") == 1


def test_nothing_is_wrong_after_a_kill_but_what_the_next_start_removes(make_server):
	s = make_server()
	for n in range(20):
		s.upload(os.urandom(40_000 + n), f"{n}.bin", "ops=md5,gzip")
	s.kill()
	told = fsck(s.data, "--read")
	assert set(codes(told)) <= {"blob_unreferenced"}, told
	s.start()
	s.stop()


def test_it_changes_nothing(used):
	flip(blob_of(used, used.big["id"]))
	(used.data / "blobs/public/ab").mkdir(exist_ok=True)
	(used.data / "blobs/public/ab/0190d2a6-0000-7000-8000-0000000000ab").write_bytes(b"x")

	def state():
		return {p: (p.read_bytes(), p.stat().st_mtime_ns) if p.is_file() and p.name != "catalog.db" else None for p in used.data.rglob("*")}
	before, rows = state(), sql(used, "SELECT * FROM file")
	assert codes(fsck(used.data, "--read")) == ["blob_unreferenced", "file_bytes_changed"]
	assert state() == before and sql(used, "SELECT * FROM file") == rows


# ---- refusals ----

def test_it_refuses_while_a_server_runs(make_server):
	s = make_server()
	r = run("fsck", "--data", s.data)
	assert r.returncode == 1 and "in use by another filemill process" in r.stderr and r.stdout == ""
	s.alive()


def test_what_is_no_data_directory_is_refused_and_not_made(folder):
	r = run("fsck", "--data", folder / "nowhere")
	assert r.returncode == 78 and "no such directory" in r.stderr and not (folder / "nowhere").exists()
	(folder / "empty").mkdir()
	r = run("fsck", "--data", folder / "empty")
	assert r.returncode == 78 and "no data directory" in r.stderr and list((folder / "empty").iterdir()) == []
	assert run("fsck", "--data", folder, "--red").returncode == 2
	assert run("doctor", "--repair").returncode == 2


def test_an_older_schema_is_left_alone(used):
	sql(used, "PRAGMA user_version = 1")
	r = run("fsck", "--data", used.data)
	assert r.returncode == 1 and "schema 1" in r.stderr, r
	assert sql(used, "PRAGMA user_version") == [(1,)]


def test_each_kind_of_finding_is_described():
	rows = json.loads(run("describe", "findings").stdout)
	assert len(rows) > 20 and all(set(r) == {"code", "help"} for r in rows) and len({r["code"] for r in rows}) == len(rows)


# ---- the store ----

def test_a_flipped_byte_is_found_by_reading(used):
	flip(blob_of(used, used.big["id"]))
	assert fsck(used.data)["ok"]
	f = only(fsck(used.data, "--read"))
	assert f["code"] == "file_bytes_changed" and f["id"] == used.big["id"] and hashlib.sha256(BIG).hexdigest() in f["detail"] and f["done"] is None
	r = run("fsck", "--read", "--data", used.data)
	lines = r.stdout.splitlines()
	assert r.returncode == 1 and len(lines) == 2 and CODE.match(lines[0]) and lines[0].startswith(f"file_bytes_changed {used.big['id']}: ")
	assert lines[1].startswith("not clean: ") and "1 findings, 0 repaired" in lines[1]


def test_a_cut_or_grown_blob_is_found(used):
	path = blob_of(used, used.big["id"])
	path.write_bytes(BIG[:-1])
	f = only(fsck(used.data))
	assert f["code"] == "file_bytes_length" and f["id"] == used.big["id"] and "99999 bytes, not 100000" in f["detail"]
	path.write_bytes(BIG + b"x")
	assert only(fsck(used.data))["code"] == "file_bytes_length"


def test_a_missing_blob_is_found(used):
	blob_of(used, used.big["id"]).unlink()
	f = only(fsck(used.data))
	assert f["code"] == "file_bytes_missing" and f["id"] == used.big["id"]


def test_outputs_are_looked_at_as_files_are(used):
	path = blob_of(used, f"{used.resize['id']}.1.0")
	flip(path)
	again = f"{used.resize['id']}/outputs/0"
	told = fsck(used.data, "--read")
	assert codes(told) == ["output_bytes_changed"] * 2 and again in [f["id"] for f in told["findings"]] # the job that took it over has it too
	path.write_bytes(path.read_bytes()[:-1])
	assert codes(fsck(used.data)) == ["output_bytes_length"] * 2
	path.unlink()
	assert codes(fsck(used.data)) == ["output_bytes_missing"] * 2


def test_bytes_in_the_catalogue_are_looked_at(used):
	def small(change):
		sql(used, f"UPDATE blob SET bytes = {change} WHERE file = ?", used.small["number"])
	small("X'534D414C4C'")
	assert fsck(used.data)["ok"]
	f = only(fsck(used.data, "--read"))
	assert f["code"] == "file_bytes_changed" and f["id"] == used.small["id"]
	small("X'534D414C'")
	assert only(fsck(used.data))["code"] == "file_bytes_length"
	sql(used, "DELETE FROM blob WHERE file = ?", used.small["number"])
	assert only(fsck(used.data))["code"] == "file_bytes_missing"


def test_what_nobody_needs_is_told_and_what_is_none_of_ours(used):
	blobs = used.data / "blobs"
	(blobs / "public/ab").mkdir(exist_ok=True)
	ours = blobs / "public/ab/0190d2a6-0000-7000-8000-0000000000ab"
	foreign = [blobs / "public/ab/holiday.jpg", blobs / "README", blobs / "public/zz", blobs / "public/ab/.hidden", blobs / "bad\x1b[31m\xff"]
	for path in (ours, *foreign):
		path.write_bytes(b"x")
	link = blobs / "public/ab/0190d2a6-0000-7000-8000-0000000000ac"
	link.symlink_to("/etc/passwd")
	told = fsck(used.data)
	assert codes(told) == ["blob_foreign"] * 6 + ["blob_unreferenced"], told
	assert all(re.fullmatch("[ -~]+", f["id"]) for f in told["findings"])
	told = fsck(used.data, "--repair")
	assert told["repaired"] == 1 and not ours.exists() and all(p.exists() for p in foreign) and link.is_symlink()
	assert codes(fsck(used.data)) == ["blob_foreign"] * 6


def test_doomed_blobs_are_the_servers_work(used):
	path = used.data / "blobs/public/ab/0190d2a6-0000-7000-8000-0000000000ab"
	path.parent.mkdir(exist_ok=True)
	path.write_bytes(b"x")
	sql(used, "INSERT INTO doomed VALUES ('public/ab/0190d2a6-0000-7000-8000-0000000000ab', 1)")
	told = fsck(used.data, "--repair")
	assert told["ok"] and told["doomed"] == 1 and path.exists()


# ---- the catalogue ----

@pytest.mark.parametrize("statement, code", [
	("DELETE FROM result WHERE job = 1", "job_without_state"),
	("INSERT INTO task (job, priority, run_at, state, attempt, losses, fence, cancel, error) VALUES (999, 3, 0, 2, 0, 0, 0, 0, 0)", "task_without_job"),
	("INSERT INTO result (job, state, attempt, losses, fence, run_at, finished_at, error, cached) VALUES (999, 9, 0, 0, 0, 0, 1, 0, 0)", "result_without_job"),
	("INSERT INTO artifact VALUES (7, 999)", "artifact_without_work"),
	("UPDATE tally SET files = files + 1", "tally_wrong"),
	("INSERT INTO doomed SELECT blob, 1 FROM output LIMIT 1", "doomed_referenced"),
])
def test_what_contradicts_itself_is_found_and_nothing_is_removed_then(used, statement, code):
	sql(used, statement)
	path = used.data / "blobs/public/ab/0190d2a6-0000-7000-8000-0000000000ab"
	path.parent.mkdir(exist_ok=True)
	path.write_bytes(b"x")
	told = fsck(used.data, "--repair")
	assert codes(told) == sorted([code, "blob_unreferenced"]) and told["repaired"] == 0 and path.exists(), told


def test_a_damaged_database_is_told(used):
	path = used.data / "catalog.db"
	data = bytearray(path.read_bytes())
	for at in range(4096 * 3, len(data), 4096): # the heads of all pages but the first
		data[at:at + 12] = b"\xff" * 12
	path.write_bytes(data)
	r = run("fsck", "--json", "--data", used.data, "--repair", timeout=60)
	told = json.loads(r.stdout)
	assert r.returncode == 1 and not told["ok"] and set(codes(told)) == {"catalogue_damaged"} and told["repaired"] == 0, told


# ---- repair, and what it means for the server ----

def test_what_is_marked_is_never_given_out(used):
	flip(blob_of(used, used.big["id"]))
	told = fsck(used.data, "--read", "--repair")
	assert only(told)["done"] == "marked as damaged" and told["repaired"] == 1
	assert only(fsck(used.data))["code"] == "known_damaged"
	assert only(fsck(used.data, "--read", "--repair"))["done"] is None
	used.start()
	address = f"/v1/files/{used.big['id']}"
	file = used.get(address).json()
	assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", file["damaged_at"]) and "damaged_at" not in used.small
	for headers in ({}, {"Range": "bytes=0-9"}, {"Range": "bytes=-1"}):
		problem(used.get(address + "/content", headers=headers), 500, "damaged")
	assert used.head(address + "/content").status_code == 500
	assert used.get(f"/v1/files/{used.small['id']}/content").content == b"small"
	for op in ("md5", "sha512"): # done before, and not
		id = used.post(address + "/jobs", json={"op": op}).json()["id"]
		job = eventually(lambda: (j := used.get(f"/v1/jobs/{id}").json())["state"] == "failed" and j)
		assert job["error"]["code"] == "damaged" and job["attempt"] == 1, job
	assert used.delete(address).status_code == 204
	used.stop()
	assert fsck(used.data, "--read")["ok"]


def test_damaged_outputs_are_not_given_out_and_not_taken_over(used):
	flip(blob_of(used, f"{used.resize['id']}.1.0"))
	fsck(used.data, "--read", "--repair")
	used.start()
	job = used.get(f"/v1/jobs/{used.resize['id']}").json()
	assert job["outputs"][0]["damaged_at"] and job["state"] == "succeeded"
	problem(used.get(job["outputs"][0]["href"]), 500, "damaged")
	again = used.upload(png(120, 90), "third.png", "ops=resize;width=50&wait=60")["jobs"][0]
	assert again["state"] == "succeeded" and not again.get("cached") and "damaged_at" not in again["outputs"][0], again
	assert used.get(again["outputs"][0]["href"]).status_code == 200


def test_a_mark_goes_when_the_bytes_are_right_again(used):
	path = blob_of(used, used.big["id"])
	flip(path)
	fsck(used.data, "--read", "--repair")
	flip(path)
	assert only(fsck(used.data, "--read"))["code"] == "marked_whole"
	assert only(fsck(used.data, "--read", "--repair"))["done"] == "mark taken away"
	assert fsck(used.data, "--read")["ok"]
	used.start()
	assert used.get(f"/v1/files/{used.big['id']}/content").content == BIG
