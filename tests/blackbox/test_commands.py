"""Commands of the configuration through the whole server: asked for by name, refused by pattern, chained, failed with their last words."""
import gzip
import json
from contextlib import contextmanager
from itertools import takewhile

import pytest
import requests

from harness.data import random_bytes, sha256
from harness.server import PATIENCE_S, Server, eventually

COMMANDS = {
	"upper": {"argv": ["/usr/bin/tr", "a-z", "A-Z"], "output_types": ["text/plain"], "suffix": ".loud"},
	"say": {"argv": ["/usr/bin/printf", "%s|", "{what}", "{{what}}"], "params": {"what": {"type": "string", "pattern": "[^[:cntrl:]]{0,40}", "default": "a b"}}},
	"copy": {"argv": ["/bin/cat"]},
	"complain": {"argv": ["/bin/sh", "-c", "echo out; echo oh no >&2; exit 3"]},
	"tells": {"argv": ["/bin/sh", "-c", "echo junk >&3; echo 1e9 >&3; echo -3 >&3; echo 0.25 >&3; sleep 2; echo 75% >&3; sleep 2; echo out"], "progress": True},
	"begins": {"argv": ["/bin/sh", "-c", "echo 0.5 >&3; sleep 1000"], "progress": True},
	"mute": {"argv": ["/bin/sleep", "1000"]},
	"floods": {"argv": ["/bin/sh", "-c", "i=0; while [ $i -lt 20000 ]; do echo 0.5 >&3; i=$((i+1)); done; echo out"], "progress": True},
	"silent": {"argv": ["/bin/sh", "-c", "echo 0.5 2>/dev/null >&3 || echo closed"]},
	"endless": {"argv": ["/bin/sleep", "1000"], "wall_time": "300ms"},
}


@pytest.fixture(scope="module")
def mill(module_folder):
	server = Server(module_folder / "commands", settings={"commands": json.dumps(COMMANDS), "pipelines": json.dumps({"loud": ["upper", "gzip;after=upper"]})})
	with server as s:
		yield s


def run(mill, data, query):
	file = mill.upload(data, name="a.txt", query=f"{query}&wait=60", Content_Type="text/plain")
	return file["jobs"]


def output(mill, job):
	assert job["state"] == "succeeded", job
	return mill.get(job["outputs"][0]["href"]).content


def test_a_command_makes_an_output(mill):
	job, = run(mill, b"hello", "ops=upper")
	assert output(mill, job) == b"HELLO"
	assert job["outputs"][0]["name"] == "a.txt.loud" and job["outputs"][0]["sha256"] == sha256(b"HELLO")
	assert job["result"] == {"exit_code": 0, "stderr": ""}


def test_a_stored_file_goes_through_whole(mill):
	data = random_bytes(3_000_000, 7)
	job, = run(mill, data, "ops=copy")
	assert output(mill, job) == data


def test_a_pipeline_goes_on_with_what_the_command_made(mill):
	loud, packed = run(mill, b"hello", "pipeline=loud")
	assert output(mill, loud) == b"HELLO"
	assert gzip.decompress(output(mill, packed)) == b"HELLO"


@pytest.mark.parametrize("what", ["$(id)", "`id`", "; id", "a' b\" c", "*", "ä"])
def test_a_parameter_stays_one_word(mill, what):
	file = mill.upload(b"x")
	r = mill.post(f"/v1/files/{file['id']}/jobs", json={"op": "say", "params": {"what": what}})
	assert r.status_code == 202, r.text
	job = mill.get(f"/v1/jobs/{r.json()['id']}?wait=60").json()
	assert output(mill, job) == f"{what}|{{what}}|".encode()


@pytest.mark.parametrize("what", ["a\nb", "-rf", "x" * 41])
def test_a_parameter_that_does_not_fit_is_refused(mill, what):
	file = mill.upload(b"x")
	r = mill.post(f"/v1/files/{file['id']}/jobs", json={"op": "say", "params": {"what": what}})
	assert r.status_code == 422 and r.json()["code"] == "bad_op_params", r.text


def test_a_command_that_fails_leaves_its_last_words(mill):
	job, = run(mill, b"x", "ops=complain")
	assert job["state"] == "failed" and job["error"]["code"] == "command_failed" and job["outputs"] == []
	assert job["result"] == {"exit_code": 3, "stderr": "oh no\n"}


def test_a_command_that_does_not_end_is_ended(mill):
	job, = run(mill, b"x", "ops=endless")
	assert job["state"] == "failed" and job["error"]["code"] == "limit_time"
	mill.alive()


def test_commands_and_pipelines_stand_among_the_ops(mill):
	answer = mill.get("/v1/ops").json()
	ops = {o["name"]: o for o in answer["ops"]}
	assert set(COMMANDS) <= set(ops) and ops["upper"]["kind"] == "command"
	assert [p["name"] for p in answer["pipelines"]] == ["loud"]


def test_a_command_tells_its_progress(mill):
	job = mill.upload(b"x", query="ops=tells")["jobs"][0]
	told = set()

	def over():
		now = mill.get(f"/v1/jobs/{job['id']}").json()
		told.add((now["state"], now["progress"]))
		return now["state"] == "succeeded"
	eventually(over)
	assert {p for state, p in told if state == "running"} <= {None, 0.25, 0.75} and ("running", 0.25) in told, told
	assert ("succeeded", None) in told # what is done has no progress


def test_a_flood_of_progress_harms_nothing(mill):
	job, = run(mill, b"f", "ops=floods")
	assert output(mill, job) == b"out\n"


def test_a_command_that_does_not_declare_it_has_no_such_descriptor(mill):
	job, = run(mill, b"s", "ops=silent")
	assert output(mill, job) == b"closed\n"


@contextmanager
def following(mill):
	"""The event stream from now on: names and data, as they come."""
	def events():
		name = None
		for line in lines:
			if line.startswith("event: "):
				name = line[7:]
			elif line.startswith("data: "):
				yield name, json.loads(line[6:])

	with requests.get(mill.base + "/v1/events", stream=True, timeout=PATIENCE_S) as r:
		lines = r.iter_lines(decode_unicode=True)
		assert next(lines).startswith("retry:")
		yield events()


def test_the_event_stream_tells_progress(mill):
	with following(mill) as events:
		file = mill.upload(b"e", query="ops=tells")
		id = file["jobs"][0]["id"]
		told = [data for name, data in takewhile(lambda e: e[0] != "job.succeeded" or e[1]["id"] != id, events) if name == "job.progress"] # an earlier one's end may still come
	assert told and {t["id"] for t in told} == {id}
	assert all(t["file"] == file["id"] and t["op"] == "tells" and t["state"] == "running" and t["progress"] in (None, 0.25, 0.75) for t in told), told
	assert 0.75 in [t["progress"] for t in told], told


@pytest.mark.parametrize("op, share", [("begins", 0.5), ("mute", None)])
def test_who_runs_for_long_is_told_of_though_nothing_new_is_said(mill, op, share):
	with following(mill) as events:
		job = mill.upload(b"l", query=f"ops={op}")["jobs"][0]
		told = []
		for name, data in takewhile(lambda e: e[0] != "job.cancelled" or e[1]["id"] != job["id"], events):
			if name != "job.progress":
				continue
			told.append(data)
			if data["progress"] == share:
				assert mill.post(f"/v1/jobs/{job['id']}/cancel").status_code == 200
	assert told[-1] == {"id": job["id"], "file": job["file"], "op": op, "state": "running", "progress": share}
	shares = [t["progress"] for t in told]
	assert shares in ([share], [None, share]), shares # what was told is not told again; a slow machine has it begin late


def test_equal_jobs_that_run_once_are_equally_far(mill):
	jobs = [mill.upload(b"twice", name="twice.txt", query="ops=begins")["jobs"][0] for _ in range(2)]
	eventually(lambda: [mill.get(f"/v1/jobs/{j['id']}").json()["progress"] for j in jobs] == [0.5, 0.5])
	for j in jobs:
		assert mill.post(f"/v1/jobs/{j['id']}/cancel").status_code == 200


def test_an_answer_whose_wait_has_passed_tells_the_progress(mill):
	job = mill.upload(b"held", query="ops=begins")["jobs"][0]
	eventually(lambda: mill.get(f"/v1/jobs/{job['id']}").json()["progress"] == 0.5)
	assert mill.get(f"/v1/jobs/{job['id']}?wait=1").json()["progress"] == 0.5
	assert mill.get(f"/v1/files/{job['file']}?wait=1").json()["jobs"][0]["progress"] == 0.5
	assert [j["progress"] for j in mill.get(f"/v1/jobs?file={job['file']}").json()["jobs"]] == [0.5]
	listed = [f for f in mill.get("/v1/files").json()["files"] if f["id"] == job["file"]]
	assert listed[0]["jobs"][0]["progress"] == 0.5
	assert mill.post(f"/v1/jobs/{job['id']}/cancel").status_code == 200
	assert mill.get(f"/v1/jobs/{job['id']}?wait=60").json()["progress"] is None
	for wait in (2, 10, 50): # the time is always used up, and a slow machine has the command begin late
		stored = mill.upload(b"held again %d" % wait, query=f"ops=begins&wait={wait}")["jobs"][0]
		assert mill.post(f"/v1/jobs/{stored['id']}/cancel").status_code == 200
		if stored["progress"]:
			break
	assert stored["state"] == "running" and stored["progress"] == 0.5
