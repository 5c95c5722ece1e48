"""Jobs: asked for later, found, listed, cancelled, retried."""
import hashlib
import re
import time
import uuid
from datetime import datetime, timedelta, timezone

import pytest

from harness.data import crc32c, digests, md5, random_bytes
from harness.server import eventually, problem

FINAL = ("succeeded", "failed", "cancelled", "quarantined")


def moment(**delta):
	return (datetime.now(timezone.utc) + timedelta(**delta)).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def add(server, file, op, **more):
	r = server.post(f"/v1/files/{file['id']}/jobs", json={"op": op, **more})
	assert r.status_code == 202, r.text
	assert r.headers["Location"] == f"/v1/jobs/{r.json()['id']}"
	return r.json()


def waiting(server, file=None):
	return add(server, file or server.upload(random_bytes(20, time.monotonic_ns())), "sha512", run_at=moment(hours=1))


@pytest.mark.parametrize("size", [0, 4096, 300_000])
def test_a_job_on_a_stored_file_runs_through_the_queue(server, size):
	data = random_bytes(size, size + 11)
	f = server.upload(data)
	want = {**digests(data), "crc32c": crc32c(data)}
	for op in ("sha1", "sha256", "sha512", "crc32c"):
		job = add(server, f, op)
		assert job["file"] == f["id"] and job["op"] == op and job["priority"] == 3 and job["max_attempts"] == 3
		done = server.get(f"/v1/jobs/{job['id']}?wait=60").json()
		assert done["state"] == "succeeded" and done["result"] == {op: want[op]}, done
		assert done["error"] is None and done["outputs"] == [] and done["attempt"] == 1
		assert done["created_at"] <= done["started_at"] <= done["finished_at"]
	assert sorted(j["op"] for j in server.get(f"/v1/files/{f['id']}").json()["jobs"]) == ["crc32c", "md5", "sha1", "sha256", "sha512"]


def test_the_same_work_is_not_done_twice(server):
	data = random_bytes(5000, 123)
	first, twin = server.upload(data), server.upload(data)
	job = add(server, first, "sha1")
	server.get(f"/v1/jobs/{job['id']}?wait=60")
	again = add(server, twin, "sha1")
	assert again["cached"] is True and again["state"] == "succeeded"
	assert again["result"] == {"sha1": hashlib.sha1(data).hexdigest()} and again["id"] != job["id"]
	md = add(server, first, "md5")
	assert md["cached"] is True and md["result"] == {"md5": md5(data)}
	other = add(server, server.upload(data + b"!"), "sha1")
	assert other.get("cached", False) is False


def test_a_batch_is_one_transaction(server):
	files = [server.upload(random_bytes(100, i)) for i in range(5)]
	r = server.post("/v1/jobs", json={"jobs": [{"file": f["id"], "op": op} for f in files for op in ("sha1", "sha512")]})
	assert r.status_code == 202, r.text
	jobs = r.json()["jobs"]
	assert len(jobs) == 10
	for job in jobs:
		assert server.get(f"/v1/jobs/{job['id']}?wait=60").json()["state"] == "succeeded"
	before = len(server.all_jobs())
	body = {"jobs": [{"file": files[0]["id"], "op": "sha256"}, {"file": str(uuid.uuid4()), "op": "sha256"}]}
	problem(server.post("/v1/jobs", json=body), 404, "file_not_found")
	assert len(server.all_jobs()) == before, "half a batch was kept"


def test_a_batch_holds_up_to_a_thousand(server):
	f = server.upload(b"many")
	r = server.post("/v1/jobs", json={"jobs": [{"file": f["id"], "op": "sha1"}] * 1000})
	assert r.status_code == 202 and len(r.json()["jobs"]) == 1000, r.text[:300]
	problem(server.post("/v1/jobs", json={"jobs": [{"file": f["id"], "op": "sha1"}] * 1001}), (400, 413, 422))
	problem(server.post("/v1/jobs", json={"jobs": []}), (400, 422))
	problem(server.post("/v1/jobs", json={}), 422, "missing_value")
	eventually(lambda: not server.get("/v1/jobs?state=queued&op=sha1&limit=1").json()["jobs"])


def test_lists_and_filters(server):
	f = server.upload(random_bytes(30, 5))
	ids = [add(server, f, op)["id"] for op in ("sha1", "sha512")]
	for i in ids:
		server.get(f"/v1/jobs/{i}?wait=60")
	jobs = server.get(f"/v1/jobs?file={f['id']}").json()["jobs"]
	assert [j["op"] for j in jobs] == ["sha512", "sha1", "md5"], "newest first"
	assert [j["op"] for j in server.get(f"/v1/jobs?file={f['id']}&op=sha1").json()["jobs"]] == ["sha1"]
	assert server.get(f"/v1/jobs?file={f['id']}&state=queued").json()["jobs"] == []
	w = waiting(server)
	assert w["id"] in [j["id"] for j in server.all_jobs("&state=queued")]
	page = server.get(f"/v1/jobs?file={f['id']}&limit=2").json()
	rest = server.get(f"/v1/jobs?file={f['id']}&limit=2&cursor={page['next']}").json()
	assert [j["op"] for j in page["jobs"] + rest["jobs"]] == ["sha512", "sha1", "md5"] and rest["next"] is None


@pytest.mark.parametrize("query", ["state=done", "file=x", "limit=0", "limit=201", "order=asc", "state=queued&state=failed", "cursor=abc"])
def test_wrong_list_parameters(server, query):
	problem(server.get("/v1/jobs?" + query), 400, {"bad_parameter", "bad_cursor", "bad_id"})


def test_cancel_and_retry(server):
	job = waiting(server)
	problem(server.post(f"/v1/jobs/{job['id']}/retry"), 409, "job_state")
	r = server.post(f"/v1/jobs/{job['id']}/cancel")
	assert r.status_code in (200, 202), r.text
	cancelled = server.get(f"/v1/jobs/{job['id']}").json()
	assert cancelled["state"] == "cancelled" and cancelled["finished_at"], cancelled
	again = server.post(f"/v1/jobs/{job['id']}/cancel")
	assert again.status_code in (200, 202, 409)
	r = server.post(f"/v1/jobs/{job['id']}/retry")
	assert r.status_code in (200, 202), r.text
	done = server.get(f"/v1/jobs/{job['id']}?wait=60").json()
	assert done["state"] == "succeeded" and re.fullmatch("[0-9a-f]{128}", done["result"]["sha512"]), done
	problem(server.post(f"/v1/jobs/{job['id']}/retry"), 409, "job_state")
	problem(server.post(f"/v1/jobs/{job['id']}/cancel"), 409, "job_state")


def test_run_at_is_kept(server):
	f = server.upload(random_bytes(20, 99))
	job = add(server, f, "sha1", run_at=moment(seconds=3))
	assert job["state"] == "queued" or moment() >= job["run_at"]
	done = server.get(f"/v1/jobs/{job['id']}?wait=60").json()
	assert done["state"] == "succeeded" and done["started_at"] >= job["run_at"]


def test_priority_and_attempts_are_kept(server):
	job = add(server, server.upload(b"p"), "sha1", priority=7, max_attempts=1, run_at=moment(hours=1))
	assert (job["priority"], job["max_attempts"]) == (7, 1)
	assert server.get(f"/v1/jobs/{job['id']}").json() == job


@pytest.mark.parametrize("body,status,code", [
	({"op": "md6"}, 422, "unknown_op"), ({}, 422, "missing_value"), ({"op": 5}, 422, "invalid_value"),
	({"op": "sha1", "priority": 8}, 422, "invalid_value"), ({"op": "sha1", "priority": -1}, 422, "invalid_value"),
	({"op": "sha1", "priority": "3"}, 422, "invalid_value"), ({"op": "sha1", "max_attempts": 0}, 422, "invalid_value"),
	({"op": "sha1", "run_at": "soon"}, 422, "invalid_value"), ({"op": "sha1", "run_at": "2026-13-45T99:99:99Z"}, 422, "invalid_value"),
	({"op": "sha1", "params": {"width": 5}}, 422, "bad_op_params"), ({"op": "sha1", "params": []}, 422, {"invalid_value", "bad_op_params"}),
	({"op": "sha1", "colour": 1}, 400, "unknown_member"), ({"op": None}, 422, {"invalid_value", "missing_value"}),
])
def test_a_wrong_job_is_refused(server, body, status, code):
	f = server.upload(b"j")
	problem(server.post(f"/v1/files/{f['id']}/jobs", json=body), status, code)
	assert len(server.get(f"/v1/files/{f['id']}").json()["jobs"]) == 1


def test_an_unknown_op_names_the_nearest(server):
	f = server.upload(b"j")
	assert problem(server.post(f"/v1/files/{f['id']}/jobs", json={"op": "sha265"}), 422, "unknown_op")["expected"] in ("sha256", "`sha256`", '"sha256"')


def test_ids_that_are_none(server):
	problem(server.get(f"/v1/jobs/{uuid.uuid4()}"), 404, "job_not_found")
	problem(server.post(f"/v1/jobs/{uuid.uuid4()}/cancel"), 404, "job_not_found")
	problem(server.post(f"/v1/jobs/{uuid.uuid4()}/retry"), 404, "job_not_found")
	problem(server.get("/v1/jobs/xyz"), (400, 404), {"bad_id", "job_not_found"})
	problem(server.post(f"/v1/files/{uuid.uuid4()}/jobs", json={"op": "sha1"}), 404, "file_not_found")


def test_a_digest_has_no_outputs(server):
	job = server.upload(b"o")["jobs"][0]
	problem(server.get(f"/v1/jobs/{job['id']}/outputs/0"), 404, {"output_not_found", "not_found"})


# ---- the ops list of an upload ----
@pytest.mark.parametrize("ops,code", [
	("md6", "unknown_op"), ("md5;width=3", "bad_op_params"), ("md5,", "bad_ops"), (",md5", "bad_ops"), ("md5,,sha1", "bad_ops"), ("md5 sha1", "bad_ops"), ("(md5)", "bad_ops"),
	("md5;", "bad_ops"), ("md5;=1", "bad_ops"), ("md5,md5", {"bad_ops", "bad_op_params"}), ("%C3%A9", "bad_ops"), ("1", "bad_ops"), ('"md5"', {"bad_ops", "unknown_op"}), ("md5%00", {"bad_ops", "bad_path", "bad_parameter"}), ("%3Amd5%3A", "bad_ops"),
	(",".join(["md5"] * 200), {"bad_ops", "bad_op_params"}), ("MD5", {"unknown_op", "bad_ops"}), ("md5;a;a", {"bad_op_params", "bad_ops"}), ("md5;a=1.5", {"bad_op_params", "bad_ops"}),
], ids=lambda x: x[:20] if isinstance(x, str) else "")
@pytest.mark.parametrize("where", ["query", "form"])
def test_a_wrong_ops_list_is_refused_and_nothing_kept(server, ops, code, where):
	from urllib.parse import unquote
	if where == "form" and "%00" in ops:
		return
	before = server.newest_number()
	r = server.post(f"/v1/files?ops={ops}", data=b"x", headers={"Content-Type": "x/y"}) if where == "query" else \
		server.post("/v1/files", files={"file": ("a", b"x")}, data={"ops": unquote(ops)})
	problem(r, (400, 422), code)
	assert server.newest_number() == before


def test_the_list_of_ops_cut_at_each_character(server):
	text = "md5, sha1, crc32c"
	for n in range(1, len(text)):
		r = server.post("/v1/files?ops=" + text[:n].replace(" ", "%20").replace(",", "%2C"), data=b"x", headers={"Content-Type": "x/y"})
		whole = {x.strip() for x in text[:n].split(",")} <= {"md5", "sha1", "crc32c"}
		assert r.status_code == (201 if whole else r.status_code) and r.status_code in (201, 400, 422), (text[:n], r.text)
		assert (r.status_code == 201) == whole, text[:n]


def test_the_queue_has_a_limit(make_server):
	s = make_server(settings={"jobs.queue_max": "10"})
	f = s.upload(b"q")
	def add_one():
		return s.post(f"/v1/files/{f['id']}/jobs", json={"op": "sha1", "run_at": moment(hours=1)})
	codes = [add_one().status_code for _ in range(10)]
	assert codes == [202] * 10
	r = add_one()
	assert problem(r, 429, "queue_full")["limit"] == 10
	assert int(r.headers["Retry-After"]) > 0
