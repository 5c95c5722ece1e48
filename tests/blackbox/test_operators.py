"""What operators and administrators see and do at /v1/admin: everything of everybody, and nothing for anybody else."""
import json
import uuid

import pytest

from harness.auditlog import settled
from harness.people import ADMIN, add_user, first_admin, sign_in
from harness.server import Server, eventually, problem

COMMANDS = json.dumps({"sleeps": {"argv": ["/bin/sleep", "1000"]}, "fails": {"argv": ["/bin/false"]}})
READS = ("queue", "workers", "storage", "audit", "files", "jobs")


@pytest.fixture(scope="module")
def world(module_folder):
	"""A server, its administrator, an operator and somebody with a file."""
	s = Server(module_folder / "admin", settings={"commands": COMMANDS})
	first_admin(s)
	with s:
		admin = sign_in(s, ADMIN)
		yield s, admin, add_user(admin, "op@example.org", role="operator"), add_user(admin, "ann@example.org")


def stored(person, ops="", name="a.bin", body=None):
	r = person.post(f"/v1/files?name={name}&ops={ops}", data=body or uuid.uuid4().bytes, headers={"Content-Type": "application/octet-stream"})
	assert r.status_code == 201, r.text
	return r.json()


def all_pages(person, path, member):
	rows, cursor = [], ""
	while cursor is not None:
		answer = person.get(f"{path}{'&' if '?' in path else '?'}limit=2{cursor}").json()
		rows += answer[member]
		cursor = "&cursor=" + answer["next"] if answer["next"] else None
	return rows


# ---- who may ----

def test_users_and_keys_without_the_scope_get_none_of_it(world):
	s, admin, operator, ann = world
	narrow = operator.key(["files:read", "jobs:read", "jobs:write"])
	wide = operator.key(["admin"])
	file = stored(ann, "md5")
	paths = [f"/v1/admin/{x}" for x in READS] + [f"/v1/admin/files/{file['id']}", f"/v1/admin/files/{file['id']}/content"]
	for path in paths:
		assert problem(ann.get(path), 403)["code"] == problem(narrow.get(path), 403)["code"] == "forbidden"
		assert wide.get(path).status_code == operator.get(path).status_code == admin.get(path).status_code == 200, path
		assert s.get(path).status_code == 401
	for path in ("/v1/admin/users", f"/v1/admin/keys?user={uuid.uuid4()}"):
		assert problem(operator.get(path), 403)["code"] == "forbidden" and admin.get(path).status_code == 200
	for path in ("queue/cancel", "queue/retry"):
		assert ann.post("/v1/admin/" + path, json={"state": "queued"}).status_code == 403
	for act in ("cancel", "retry"):
		assert ann.post(f"/v1/admin/jobs/{file['jobs'][0]['id']}/{act}").status_code == 403


# ---- files and jobs ----

def test_everybodys_files_are_listed_looked_for_and_read(world):
	s, admin, operator, ann = world
	mine, theirs = stored(operator, name="operators.txt"), stored(ann, name="anns.txt", body=b"the words of ann")
	ids = [f["id"] for f in all_pages(operator, "/v1/admin/files", "files")]
	assert len(ids) == len(set(ids)) and {mine["id"], theirs["id"]} <= set(ids)
	found = operator.get(f"/v1/admin/files?sha256={theirs['sha256'].upper()}").json()["files"]
	assert [f["id"] for f in found] == [theirs["id"]] and found[0]["owner"] == theirs["owner"] != mine["owner"]
	assert [f["id"] for f in operator.get("/v1/admin/files?name=anns.t").json()["files"]] == [theirs["id"]]
	owners = {f["owner"] for f in all_pages(operator, f"/v1/admin/files?owner={theirs['owner']}", "files")}
	assert owners == {theirs["owner"]}
	assert operator.get(f"/v1/admin/files/{theirs['id']}").json()["sha256"] == theirs["sha256"]
	r = operator.get(f"/v1/admin/files/{theirs['id']}/content?inline=1")
	assert r.content == b"the words of ann" and "sandbox" in r.headers["Content-Security-Policy"]
	assert r.headers["X-Content-Type-Options"] == "nosniff"
	assert problem(operator.get(f"/v1/files/{theirs['id']}"), 404)["code"] == "file_not_found"


def test_outputs_have_an_address_that_operators_may_read(world):
	s, admin, operator, ann = world
	job = stored(ann, "gzip", body=b"to be packed")["jobs"][0]
	job = eventually(lambda: (j := operator.get(f"/v1/admin/jobs/{job['id']}").json())["state"] == "succeeded" and j)
	href = job["outputs"][0]["href"]
	assert href.startswith("/v1/admin/jobs/") and operator.get(href).content[:2] == b"\x1f\x8b"
	assert ann.get(ann.get(f"/v1/jobs/{job['id']}").json()["outputs"][0]["href"]).status_code == 200
	assert ann.get(href).status_code == 403


def test_a_job_is_cancelled_and_retried_for_its_owner(world):
	s, admin, operator, ann = world
	job = stored(ann, "sleeps")["jobs"][0]
	path = f"/v1/admin/jobs/{job['id']}"
	assert operator.post(path + "/cancel").status_code == 200
	eventually(lambda: ann.get(f"/v1/jobs/{job['id']}").json()["state"] == "cancelled")
	assert problem(operator.post(path + "/cancel"), 409)["code"] == "job_state"
	again = operator.post(path + "/retry")
	assert again.status_code == 202 and again.json()["owner"] == ann.get("/v1/users/me").json()["id"]
	assert operator.post(path + "/cancel").status_code == 200
	line = [x for x in settled(s) if x["act"] == "job.cancelled" and x["job"] == job["id"]][0]
	assert line["owner"] == operator.get("/v1/users/me").json()["id"] and line["job_owner"] == again.json()["owner"]


def test_jobs_are_cancelled_and_retried_by_filter_in_batches(world):
	s, admin, operator, ann = world
	file = stored(ann)
	later = {"op": "sha512", "run_at": "2099-01-01T00:00:00Z"}
	jobs = [ann.post(f"/v1/files/{stored(ann)['id']}/jobs", json=later).json()["id"] for _ in range(5)]
	other = ann.post(f"/v1/files/{file['id']}/jobs", json={**later, "op": "sha1"}).json()["id"]
	mine = operator.post(f"/v1/files/{stored(operator)['id']}/jobs", json=later).json()["id"]
	body = {"state": "queued", "op": "sha512", "owner": file["owner"], "limit": 2}
	changed, cursor = [], None
	while True:
		answer = operator.post("/v1/admin/queue/cancel", json={**body, "cursor": cursor}).json()
		changed.append(answer["changed"])
		assert answer["matched"] == answer["changed"] + len(answer["refused"]) <= 2
		cursor = answer["next"]
		if cursor is None:
			break
	assert sum(changed) == 5
	states = {j: operator.get(f"/v1/admin/jobs/{j}").json()["state"] for j in [*jobs, other, mine]}
	assert [states[j] for j in jobs] == ["cancelled"] * 5 and states[other] == states[mine] == "queued"
	lines = [x["job"] for x in settled(s) if x["act"] == "job.cancelled"]
	assert sorted(x for x in lines if x in jobs) == sorted(jobs)
	answer = operator.post("/v1/admin/queue/retry", json={"state": "cancelled", "op": "sha512", "owner": file["owner"]}).json()
	assert answer["changed"] == 5 and answer["next"] is None
	owner = operator.get("/v1/users/me").json()["id"]
	assert operator.post("/v1/admin/queue/cancel", json={"state": "queued", "op": "sha512", "owner": owner}).json()["changed"] == 1
	assert operator.get(f"/v1/jobs/{mine}").json()["state"] == "cancelled"
	operator.post("/v1/admin/queue/cancel", json={"state": "queued", "op": "sha1"})


@pytest.mark.parametrize("body,status,code", [
	({}, 422, "missing_value"),
	({"state": "succeeded"}, 422, "invalid_value"),
	({"state": "failed"}, 422, "invalid_value"),
	({"state": 1}, 422, "invalid_value"),
	({"state": "queued", "op": "nope"}, 422, "invalid_value"),
	({"state": "queued", "owner": "*"}, 400, "bad_parameter"),
	({"state": "queued", "owner": ""}, 400, "bad_parameter"),
	({"state": "queued", "limit": 0}, 422, "invalid_value"),
	({"state": "queued", "limit": 201}, 422, "invalid_value"),
	({"state": "queued", "cursor": "AAAA"}, 400, "bad_cursor"),
	({"state": "queued", "cursor": 7}, 422, "invalid_value"),
	({"state": "queued", "file": "x"}, 400, "unknown_member"),
])
def test_a_filter_that_makes_no_sense_changes_nothing(world, body, status, code):
	s, admin, operator, ann = world
	assert problem(operator.post("/v1/admin/queue/cancel", json=body), status)["code"] == code


@pytest.mark.parametrize("path,code", [
	("files?owner=*", "bad_parameter"), ("files?owner=", "bad_parameter"), ("jobs?owner=public'--", "bad_parameter"), ("files?sha256=00", "bad_parameter"),
	("files?sha256=" + "g" * 64, "bad_parameter"), ("files?state=x", "bad_parameter"), ("jobs?op=nope", "bad_parameter"), ("jobs?file=1", "bad_id"),
	("jobs?limit=201", "bad_parameter"), ("audit?act=nope", "bad_parameter"), ("audit?cursor=x", "bad_cursor"), ("files?nope=1", "bad_parameter"),
	("queue?x=1", "bad_parameter"), ("files/1", "bad_id"), ("jobs/1", "bad_id"), ("keys", "bad_parameter"), ("keys?user=1", "bad_id"), ("users/1", "bad_id"),
])
def test_a_question_that_makes_no_sense_is_told_so(world, path, code):
	s, admin, operator, ann = world
	assert problem(admin.get("/v1/admin/" + path), 400)["code"] == code


def test_a_cursor_serves_only_its_own_list_and_caller(world):
	s, admin, operator, ann = world
	for _ in range(3):
		stored(ann)
	cursor = operator.get("/v1/admin/files?limit=1").json()["next"]
	assert operator.get(f"/v1/admin/files?limit=1&cursor={cursor}").status_code == 200
	assert problem(admin.get(f"/v1/admin/files?limit=1&cursor={cursor}"), 400)["code"] == "bad_cursor"
	assert problem(operator.get(f"/v1/files?limit=1&cursor={cursor}"), 400)["code"] == "bad_cursor"


# ---- how the server fares ----

def test_the_queue_is_counted_by_op_and_state(world):
	s, admin, operator, ann = world
	before = {row["op"]: row for row in operator.get("/v1/admin/queue").json()["ops"]}.get("crc32c", {"queued": 0, "ready": 0})
	job = ann.post(f"/v1/files/{stored(ann)['id']}/jobs", json={"op": "crc32c", "run_at": "2099-01-01T00:00:00Z"}).json()
	row = {row["op"]: row for row in operator.get("/v1/admin/queue").json()["ops"]}["crc32c"]
	assert row["queued"] == before["queued"] + 1 and row["ready"] == before["ready"]
	ann.post(f"/v1/jobs/{job['id']}/cancel")


def test_the_worker_is_alive_and_tells_what_it_holds(world):
	s, admin, operator, ann = world
	job = stored(ann, "sleeps")["jobs"][0]
	eventually(lambda: operator.get("/v1/admin/workers").json()["workers"][0]["running"] >= 1)
	worker = operator.get("/v1/admin/workers").json()["workers"][0]
	assert worker["alive"] is True
	operator.post(f"/v1/admin/jobs/{job['id']}/cancel")


def test_the_audit_log_is_read_from_its_end_and_by_act(world):
	s, admin, operator, ann = world
	settled(s)
	lines = all_pages(operator, "/v1/admin/audit", "lines")
	numbers = [x["seq"] for x in lines]
	assert numbers == list(range(numbers[0], 0, -1))
	started = operator.get("/v1/admin/audit?act=server.started").json()
	assert [x["seq"] for x in lines if x["act"] == "server.started"] == [x["seq"] for x in started["lines"]] and started["broken"] == 0 and started["kept"] is True


# ---- accounts and keys ----

def test_an_account_is_changed_and_switched_off(world):
	s, admin, operator, ann = world
	eve = add_user(admin, "eve@example.org")
	key = eve.key(["files:read"])
	path = f"/v1/admin/users/{eve.get('/v1/users/me').json()['id']}"
	assert admin.get(path).json()["email"] == "eve@example.org" and "password" not in admin.get(path).text
	r = admin.request("PATCH", path, json={"role": "operator", "name": "Eve"})
	assert r.status_code == 200 and (r.json()["role"], r.json()["name"]) == ("operator", "Eve")
	assert eve.get("/v1/admin/queue").status_code == 200
	assert admin.request("PATCH", path, json={"disabled": True}).json()["disabled_at"]
	assert eve.get("/v1/files").status_code == key.get("/v1/files").status_code == 401
	assert admin.request("PATCH", path, json={"disabled": False}).json()["disabled_at"] is None
	for body, status in (({"role": "king"}, 422), ({"disabled": "no"}, 422), ({"name": 1}, 422), ({"password": "x"}, 400)):
		assert admin.request("PATCH", path, json=body).status_code == status, body
	assert admin.request("PATCH", f"/v1/admin/users/{uuid.uuid4()}", json={"name": "x"}).status_code == 404


def test_the_last_administrator_stays(world):
	s, admin, operator, ann = world
	path = f"/v1/admin/users/{admin.get('/v1/users/me').json()['id']}"
	for body in ({"role": "user"}, {"disabled": True}):
		assert problem(admin.request("PATCH", path, json=body), 409)["code"] == "conflict"


def test_anybodys_key_is_seen_and_revoked_by_an_administrator(world):
	s, admin, operator, ann = world
	key = ann.key(["files:read"], name="old")
	keys = admin.get(f"/v1/admin/keys?user={ann.get('/v1/users/me').json()['id']}").json()["keys"]
	assert [k["name"] for k in keys if k["id"] == key.made["id"]] == ["old"] and "fmk_" not in json.dumps(keys)
	assert admin.delete(f"/v1/admin/keys/{key.made['id']}").status_code == 204
	assert key.get("/v1/files").status_code == 401
	assert admin.delete(f"/v1/admin/keys/{uuid.uuid4()}").status_code == 404
