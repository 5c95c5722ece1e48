"""Recurring jobs as an operator sees them. Due times are made to have passed by putting back the last one in the catalogue while no server runs: nobody waits for a clock."""
import json
import random
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor

import requests

from harness.server import SLOW, eventually, run

DAY_MS = 24 * 3600 * 1000
DUE = 2 * 366 # days: a schedule that comes round once a year is due once, whatever hour or day begins while the test runs
FILES = 300 if SLOW else 1500


def entries(**all_entries):
	return {"recurring": json.dumps(all_entries)}


def put_back(server, days):
	with sqlite3.connect(server.data / "catalog.db") as db:
		assert db.execute("UPDATE recurring SET due_at = due_at - ?", (days * DAY_MS,)).rowcount == 1
	db.close()


def stands(server):
	"""due_at, since, upto, before of the one entry; None while there is none."""
	db = sqlite3.connect(f"file:{server.data / 'catalog.db'}?mode=ro", uri=True)
	row = db.execute("SELECT due_at, since, upto, before FROM recurring").fetchone()
	db.close()
	return row


def known(server):
	eventually(lambda: stands(server))


def whole(server, files):
	_, since, upto, before = stands(server)
	return upto == files and before == since + 1


def fill(server, n):
	def one(i):
		r = requests.post(f"{server.base}/v1/files?name=f{i}.txt&ops=md5&labels=kind:{'odd' if i % 2 else 'even'}", data=b"%d" % i, timeout=60)
		assert r.status_code == 201, r.text
	with ThreadPoolExecutor(8) as pool:
		list(pool.map(one, range(n)))


def ops_of(server, op):
	"""Per file how many jobs of the op it has."""
	return {f["name"]: sum(j["op"] == op for j in f["jobs"]) for f in server.all_files()}


def test_new_files_of_a_label_get_their_jobs_when_the_time_has_passed(make_server):
	server = make_server(settings=entries(yearly={"at": "@yearly", "ops": ["sha1"], "label": "kind:odd", "zone": "Europe/Berlin"}))
	known(server)
	fill(server, 6)
	server.stop()
	put_back(server, DUE)
	server.start()
	eventually(lambda: whole(server, 6))
	assert ops_of(server, "sha1") == {f"f{i}.txt": i % 2 for i in range(6)}
	events = eventually(lambda: [e for e in server.log_events() if e["event"] == "recurring_run"])
	assert [(e["name"], e["files"], e["jobs"]) for e in events] == [("yearly", 3, 3)]
	metrics = server.get("/metrics").text
	assert "filemill_recurring_runs_total 1\n" in metrics and "filemill_recurring_jobs_total 3\n" in metrics


def test_what_was_missed_can_be_left_out(make_server):
	server = make_server(settings=entries(yearly={"at": "@yearly", "ops": ["sha1"], "missed": "skip"}))
	known(server)
	fill(server, 3)
	server.stop()
	put_back(server, DUE)
	due_at = stands(server)[0]
	server.start()
	eventually(lambda: stands(server)[0] > due_at)
	server.stop()
	assert "recurring_skipped" in server.log()
	server.start()
	assert not any(ops_of(server, "sha1").values())


def test_each_file_gets_its_jobs_once_however_often_the_server_is_killed(make_server):
	rng = random.Random(4)
	server = make_server(settings={**entries(yearly={"at": "@yearly", "ops": ["sha1"], "files": "all"}), "log.level": "error"})
	known(server)
	fill(server, FILES)
	server.stop()
	put_back(server, 5 * 366)
	kills = midway = 0
	while kills < 40 and not whole(server, FILES):
		server.start()
		time.sleep(rng.uniform(0, 0.02)) # no wait for anything: a random moment
		server.kill()
		kills += 1
		midway += not whole(server, FILES) and stands(server)[2] == FILES
	server.start()
	eventually(lambda: whole(server, FILES))
	eventually(lambda: not server.get("/v1/jobs?state=queued&limit=1").json()["jobs"])
	counts = ops_of(server, "sha1")
	assert len(counts) == FILES and set(counts.values()) == {1}, {n: c for n, c in counts.items() if c != 1}
	print(f"{kills} kills, {midway} in the midst of the run")


def test_a_wrong_entry_keeps_the_server_from_starting(folder):
	for entry, words in (({"at": "0 3 * * mon-sunday", "ops": ["md5"]}, 'recurring.x.at: column 13: "sunday" is no day of week'),
			     ({"at": "0 3 31 2 *", "ops": ["md5"]}, "recurring.x.at: column 1: there is no such date"),
			     ({"at": "@daily", "ops": ["md6"]}, "recurring.x.ops: ")):
		for command in (["check-config"], ["serve", "--data", folder / "d", "--listen", "127.0.0.1:0"]):
			r = run(*command, settings=entries(x=entry))
			assert r.returncode == 78 and words in r.stderr, r.stderr
	assert not (folder / "d").exists()


def test_the_doctor_tells_the_next_times(folder):
	r = run("doctor", "--json", "--data", folder, settings=entries(nightly={"at": "30 2 * * *", "zone": "Asia/Kolkata", "ops": ["md5"]}))
	found = [f for f in json.loads(r.stdout)["findings"] if f["part"] == "recurring"]
	assert len(found) == 1 and found[0]["name"] == "nightly" and found[0]["verdict"] == "note"
	schedule, times = found[0]["detail"].rsplit(": ", 1)
	assert schedule == "30 2 * * * Asia/Kolkata"
	assert [t[10:] for t in times.split()] == ["T21:00Z"] * 3
