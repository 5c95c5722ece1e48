"""Commands of the configuration through the whole server: asked for by name, refused by pattern, chained, failed with their last words."""
import gzip
import json

import pytest

from harness.data import random_bytes, sha256
from harness.server import Server

COMMANDS = {
	"upper": {"argv": ["/usr/bin/tr", "a-z", "A-Z"], "output_types": ["text/plain"], "suffix": ".loud"},
	"say": {"argv": ["/usr/bin/printf", "%s|", "{what}", "{{what}}"], "params": {"what": {"type": "string", "pattern": "[^[:cntrl:]]{0,40}", "default": "a b"}}},
	"copy": {"argv": ["/bin/cat"]},
	"complain": {"argv": ["/bin/sh", "-c", "echo out; echo oh no >&2; exit 3"]},
	"endless": {"argv": ["/bin/sleep", "1000"], "wall_time": "300ms"},
}


@pytest.fixture(scope="module")
def mill(module_folder):
	server = Server(module_folder / "commands", settings={"commands": json.dumps(COMMANDS), "pipelines": json.dumps({"loud": ["upper", "gzip;after=upper"]})})
	with server as s:
		yield s


def run(mill, data, query):
	file = mill.upload(data, name="a.txt", query=f"{query}&wait=30", Content_Type="text/plain")
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
	job = mill.get(f"/v1/jobs/{r.json()['id']}?wait=30").json()
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
