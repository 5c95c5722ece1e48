"""What a hostile user tries on jobs and outputs, and what a review suspected; where something went wrong before, the test says what."""
import gzip
import hashlib
import io
import json
import os
import random
import signal
import threading
import time
import zipfile
from urllib.parse import quote

import pytest
import requests

from harness import catalogue, images, runner
from harness.server import Server, eventually
from harness.threads import together

RAW = {"Content-Type": "application/octet-stream"}
COMMANDS = json.dumps({
	"echo": {"argv": ["/bin/echo", "-n", "x={v}", "{v}"], "params": {"v": {"type": "string", "pattern": ".*"}}},
	"cat": {"argv": ["/bin/cat"]},
	"slow": {"argv": ["/bin/sh", "-c", "sleep 0.05; cat"]},
})
FINAL = {"succeeded", "failed", "cancelled", "quarantined"}


def settled(server, within=60):
	eventually(lambda: not server.all_jobs("&state=queued") and not server.all_jobs("&state=running"), timeout=within, pause=0.2,
		   message="jobs that never end")
	return server.all_jobs()


def check_outputs(server, jobs):
	"""Every output that is promised is there, and is what it is said to be."""
	n = 0
	for job in jobs:
		assert job["state"] in FINAL
		assert job["state"] == "succeeded" or not job["outputs"], job
		for o in job["outputs"]:
			r = server.get(o["href"])
			assert r.status_code == 200 and len(r.content) == o["size"] and hashlib.sha256(r.content).hexdigest() == o["sha256"], (job, r.status_code)
			n += 1
	return n


def nothing_stays(server, killed=False):
	"""When all files are deleted, a restart's sweep finds nothing and no blob is left: each was referred to, or removed."""
	def left():
		# What a killed node had stored may be another's upload on PostgreSQL, until it is ten minutes old.
		return [name for name in server.blobs() if not (killed and catalogue.ON_POSTGRES and "." not in name)]

	for file in server.all_files():
		assert server.delete(f"/v1/files/{file['id']}").status_code == 204
	eventually(lambda: not left(), pause=0.1, message="bytes that nothing refers to stay")
	before = len(server.log_events())
	server.restart()
	swept = eventually(lambda: [e for e in server.log_events()[before:] if e["event"] == "sweep_done"])
	assert swept[0]["removed"] == 0 and not left()


# ---- with few descriptors ----

@pytest.mark.parametrize("descriptors, idle", [(256, 0), (256, 200), (128, 100)])
def test_jobs_go_on_with_few_descriptors_and_many_connections(make_server, descriptors, idle):
	"""Open blob directories and connections took all there were: no job ever ran again."""
	s = make_server(nofile=descriptors, settings={"http.connections_per_address": "0", "files.inline_max": "0"})
	held = []
	try:
		for _ in range(idle):
			c = requests.Session()
			held.append(c)
			try:
				c.get(s.base + "/healthz", timeout=0.05)
			except requests.RequestException:
				break # no more than the server takes
		for c in held[:3]: # one of our own must get in
			c.close()
		for n in range(250):
			s.upload(b"%d" % n * 50, query="ops=gzip,zip")
		assert {j["state"] for j in settled(s)} == {"succeeded"}
	finally:
		for c in held:
			c.close()


# ---- names and words ----

NAMES = ["..", ".", "...", "a/../../b", "a\\b", "C:x", "a:b", "CON", "con.txt", "nul", "aux.", "COM1", "LPT9.tar.gz", "CONIN$", "x .", " ", "-rf", "~root",
	 "a\"b", "a;b", "a*?<>|", "%2e%2e%2f", "é", "e\u0301", "a\u202eb", "\U0001f600" * 60, "x" * 255, "ü" * 127, "<script>.png", "'; drop table file; --"]
DEVICES = {"con", "prn", "aux", "nul", "conin$", "conout$", *(d + n for d in ("com", "lpt") for n in "123456789¹²³")}


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_no_name_harms_who_unpacks_or_downloads(server, name):
	file = server.upload(b"content", name=quote(name), query="wait=60&ops=zip,gzip,zstd,zip;after=1")
	for job in file["jobs"]:
		assert job["state"] == "succeeded", job
		r = server.get(job["outputs"][0]["href"])
		disposition = r.headers["Content-Disposition"]
		assert r.status_code == 200 and all(32 <= ord(c) < 127 for c in disposition) and disposition.startswith("attachment; filename=\"")
		assert "/" not in disposition.split("filename*")[0] and "\\" not in disposition
		if job["op"] == "zip":
			archive = zipfile.ZipFile(io.BytesIO(r.content))
			entry, = archive.namelist()
			assert archive.testzip() is None
			assert entry not in ("", ".", "..") and not set(entry) & set("/\\:*?\"<>|\0") and entry[-1] not in " ."
			assert entry.split(".")[0].rstrip().lower() not in DEVICES
		if job["op"] == "gzip":
			assert gzip.decompress(r.content) == b"content"
	server.delete(f"/v1/files/{file['id']}")


@pytest.mark.parametrize("value", ["a\nb", "{v}", "{{}}", "}{", "$(id)", "`id`", ";id", "'\"", "\\n", "ü\u202e", "\x7f\x1b[31m", " ", "", "*"], ids=ascii)
def test_a_commands_word_stays_one_word_whatever_it_holds(commands, value):
	file = commands.upload(b"x", query="ops=md5")
	r = commands.post(f"/v1/files/{file['id']}/jobs", data=json.dumps({"op": "echo", "params": {"v": value}}),
			  headers={"Content-Type": "application/json"})
	assert r.status_code == 202, r.text
	job = commands.get(f"/v1/jobs/{r.json()['id']}?wait=60").json()
	assert job["state"] == "succeeded", job
	assert commands.get(job["outputs"][0]["href"]).content == f"x={value} {value}".encode()


@pytest.mark.parametrize("value", ["-rf", "--help", "a\0b", "a" * 256, 1, None, [], {}], ids=ascii)
def test_what_is_no_value_of_a_command_is_refused(commands, value):
	file = commands.upload(b"x", query="ops=md5")
	r = commands.post(f"/v1/files/{file['id']}/jobs", data=json.dumps({"op": "echo", "params": {"v": value}}),
			  headers={"Content-Type": "application/json"})
	assert r.status_code in (400, 422) and r.json()["code"] in ("bad_json", "bad_op_params"), r.text


@pytest.fixture(scope="module")
def commands(module_folder):
	with Server(module_folder / "commands", settings={"commands": COMMANDS}) as s:
		yield s


# ---- races ----

def vandal(server, seed, rounds):
	rng = random.Random(seed)
	with requests.Session() as h:
		h.trust_env = False
		for _ in range(rounds):
			body = rng.choice([images.png(40 + rng.randrange(4), 30), b"text %d " % rng.randrange(9) * rng.choice([1, 300, 5000])])
			ops = rng.choice(["resize;width=20;format=png,gzip;after=1,zip;after=2", "gzip,zstd;after=1,cat;after=2,sha1", "slow,gzip;after=1",
					  "cat,slow;after=1,zip;after=2"])
			file = h.post(f"{server.base}/v1/files?name=x&ops={ops}", data=body, headers=RAW, timeout=60).json()
			time.sleep(rng.random() * 0.05)
			for _ in range(rng.randrange(4)):
				job = rng.choice(file["jobs"])["id"]
				path, more = rng.choice([(f"/v1/jobs/{job}/cancel", {}), (f"/v1/jobs/{job}/retry", {}),
							 (f"/v1/files/{file['id']}/jobs", {"json": {"op": "gzip", "params": {"level": rng.randrange(1, 9)}, "after": job}})])
				assert h.post(server.base + path, timeout=60, **more).status_code < 500
			if rng.random() < 0.5:
				assert h.delete(f"{server.base}/v1/files/{file['id']}", timeout=60).status_code == 204


def test_cancels_retries_and_deletes_at_the_same_time_leave_store_and_catalogue_of_one_mind(make_server):
	s = make_server(settings={"commands": COMMANDS, "files.inline_max": "1KiB", "http.connections_per_address": "0"})
	together(6, lambda i: vandal(s, i, 30))
	assert check_outputs(s, settled(s)) > 50
	nothing_stays(s)
	eventually(lambda: not runner.zombies(s))


def test_a_server_killed_while_outputs_are_made_keeps_what_it_promised(make_server):
	s = make_server(start=False, settings={"files.inline_max": "4KiB", "jobs.lease": "1s", "jobs.beat": "200ms", "jobs.reclaim": "100ms"})
	rng, promised = random.Random(1), {}
	for _ in range(5):
		s.start()
		over = threading.Event()

		def send(s=s, over=over):
			while not over.is_set():
				body = os.urandom(3000) + b"abc" * random.choice([1, 20000])
				try:
					r = requests.post(s.base + "/v1/files?ops=gzip,zip;after=1,sha1", data=body, headers=RAW, timeout=10)
				except (requests.RequestException, AttributeError):
					return
				if r.status_code == 201:
					promised[r.json()["id"]] = hashlib.sha256(body).hexdigest()
		sender = threading.Thread(target=send)
		sender.start()
		time.sleep(rng.uniform(0.1, 0.5)) # the moment of the kill is what the test varies
		of_server = runner.zygotes(s) + runner.sealed(s)
		s.kill()
		over.set()
		sender.join()
		eventually(lambda left=of_server: all(runner.state(p) in ("", "Z") for p in left), message="a sealed process outlives its server")
	s.start()
	check_outputs(s, settled(s))
	for file, digest in promised.items():
		assert hashlib.sha256(s.get(f"/v1/files/{file}/content").content).hexdigest() == digest
	nothing_stays(s, killed=True)


# ---- what stands still ----

def test_a_child_that_stands_still_ends_at_the_deadline(make_server):
	s = make_server(settings={"runner.wall_time": "3s"})
	s.upload(b"warm", query="wait=60&ops=gzip")
	for child in runner.sealed(s):
		os.kill(child, signal.SIGSTOP)
	file = s.upload(b"x", query="wait=60&ops=gzip")
	assert [j["error"]["code"] for j in file["jobs"]] == ["limit_time"]
	eventually(lambda: s.upload(b"y", query="wait=60&ops=gzip")["jobs"][0]["state"] == "succeeded") # a busy machine may need the whole deadline for one
