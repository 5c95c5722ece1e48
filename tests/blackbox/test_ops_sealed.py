"""What sealed ops make of files, over HTTP: outputs, chains, pipelines, commands, work that was done before."""
import gzip
import io
import json
import re
import subprocess
import uuid
import zipfile

import pytest

from harness.data import digests, job_of, md5, random_bytes, sha256
from harness.images import jpeg_size, png, png_size
from harness.server import REPOSITORY, Server, eventually, problem, run
from harness.wire import field_part, file_part, form, post_form, exchange

PIPELINES = {"avatar": ["resize;width=32;height=32;fit=cover;format=png"], "parcel": ["md5", "resize;width=20;format=jpeg", "gzip;after=resize", "sha256;after=2"]}
COMMANDS = {
	"count": {"argv": ["/usr/bin/wc", "-c"], "suffix": ".count", "output_types": ["text/plain"], "summary": "how many bytes"},
	"cut": {"argv": ["/usr/bin/head", "-c", "{bytes}"], "params": {"bytes": {"type": "integer", "min": 1, "max": 1000}}},
	"turn": {"argv": ["/usr/bin/tr", "{from}", "{to}"], "params": {"from": {"type": "string", "pattern": "[a-z]{1,9}"},
		"to": {"type": "string", "pattern": "[A-Z]{1,9}", "default": "X"}}},
	"fail": {"argv": ["/bin/sh", "-c", "echo this is why >&2; exit 3"]},
	"sleep": {"argv": ["/bin/sleep", "100"]},
}


@pytest.fixture(scope="module")
def server(module_folder):
	with Server(module_folder / "ops", settings={"pipelines": json.dumps(PIPELINES), "commands": json.dumps(COMMANDS)}) as s:
		yield s


def finished(server, job, timeout=60):
	job = server.get(f"/v1/jobs/{job['id']}?wait={timeout}").json()
	assert job["state"] in ("succeeded", "failed", "cancelled", "quarantined"), job
	return job


def done(server, body, ops, name="a.bin"):
	"""The last job of a file stored with these ops, which has succeeded, and the bytes of its first output."""
	f = server.upload(body, name=name, query=f"ops={ops}&wait=60")
	job = f["jobs"][-1]
	assert job["state"] == "succeeded", job
	r = server.get(job["outputs"][0]["href"])
	assert r.status_code == 200, r.text
	check_output(job["outputs"][0], r)
	return job, r.content


def check_output(output, r):
	assert set(output) == {"name", "type", "size", "sha256", "href"}
	assert len(r.content) == output["size"] and sha256(r.content) == output["sha256"]
	assert r.headers["ETag"] == f'"{output["sha256"]}"' and r.headers["Content-Type"].split(";")[0] == output["type"]


def queue(server, f, **request):
	r = server.post(f"/v1/files/{f['id']}/jobs", json=request)
	assert r.status_code == 202, r.text
	return r.json()


# ---- what ops make ----

@pytest.mark.parametrize("size", [0, 1, 100, 40_000, 3_000_000])
def test_gzip_gives_the_bytes_back(server, size):
	body = random_bytes(size // 2, size) + bytes(size - size // 2)
	job, out = done(server, body, "gzip;level=9", "notes.txt")
	assert gzip.decompress(out) == body
	assert job["outputs"][0]["name"] == "notes.txt.gz" and job["outputs"][0]["type"] == "application/gzip" and job["params"] == {"level": 9}


@pytest.mark.parametrize("size", [0, 5, 3_000_000])
def test_zstd_gives_the_bytes_back(server, size):
	body = random_bytes(size // 2, size) + bytes(size - size // 2)
	job, out = done(server, body, "zstd")
	assert out[:4] == b"\x28\xb5\x2f\xfd" and job["outputs"][0]["name"] == "a.bin.zst"
	assert subprocess.run(["zstd", "-dc"], input=out, stdout=subprocess.PIPE, check=True).stdout == body


@pytest.mark.parametrize("name", ["plain.txt", "Größe Übermaß.txt", "日本語.bin", "no-ending"])
def test_zip_holds_one_entry_with_the_files_own_name(server, name):
	body = b"the same bytes under every name " * 1000
	job, out = done(server, body, "zip", name)
	with zipfile.ZipFile(io.BytesIO(out)) as z:
		assert [i.filename for i in z.infolist()] == [name] and z.read(name) == body and z.testzip() is None
	assert job["outputs"][0]["name"] == name + ".zip"


@pytest.mark.parametrize("format,magic", [("jpeg", b"\xff\xd8\xff"), ("png", b"\x89PNG"), ("webp", b"RIFF"), ("avif", b"\0\0\0")])
def test_resize_makes_images_of_each_kind(server, format, magic):
	job, out = done(server, png(300, 200), f"resize;width=90;format={format}", "photo.png")
	assert out.startswith(magic)
	assert job["outputs"][0]["name"] == "photo." + {"jpeg": "jpg"}.get(format, format) and job["outputs"][0]["type"] == f"image/{format}"
	again, _ = done(server, out, "resize;width=1000;format=png")
	assert again["result"]["width"] == 90 and again["result"]["height"] == 60


def test_probe_tells_what_a_file_is(server):
	f = server.upload(png(123, 45), query="ops=probe&wait=60")
	job = job_of(f, "probe")
	assert job["state"] == "succeeded" and job["outputs"] == [], job
	assert job["result"]["type"] == "image/png" and (job["result"]["image"]["width"], job["result"]["image"]["height"]) == (123, 45)


@pytest.mark.parametrize("size", [0, 100, 2_000_000])
def test_digests_of_stored_files_are_right(server, size):
	body = random_bytes(size, 7 + size)
	f = server.upload(body, query="ops=")
	for name, value in digests(body).items():
		assert finished(server, queue(server, f, op=name))["result"] == {name: value}


# ---- fetching outputs ----

@pytest.fixture(scope="module")
def output(server):
	"""A job with an output, and its bytes."""
	return done(server, random_bytes(50_000, 3), "gzip", "Übersicht 2026.bin")


def test_an_output_is_served_like_a_file(server, output):
	job, out = output
	href = job["outputs"][0]["href"]
	assert href == f"/v1/jobs/{job['id']}/outputs/0"
	r = server.get(href)
	assert r.headers["Content-Disposition"].startswith("attachment") and "filename*=UTF-8''%C3%9Cbersicht%202026.bin.gz" in r.headers["Content-Disposition"]
	assert r.headers["X-Content-Type-Options"] == "nosniff" and "sandbox" in r.headers["Content-Security-Policy"] and r.headers["Accept-Ranges"] == "bytes"
	assert r.headers["Repr-Digest"].startswith("sha-256=:") and r.headers["Last-Modified"]
	h = server.head(href)
	assert h.status_code == 200 and h.content == b"" and int(h.headers["Content-Length"]) == len(out)
	tag = r.headers["ETag"]
	for headers, status in (({"If-None-Match": tag}, 304), ({"If-None-Match": '"x"'}, 200), ({"If-Match": '"x"'}, 412), ({"If-Match": tag}, 200),
			({"If-Modified-Since": r.headers["Last-Modified"]}, 304)):
		assert server.get(href, headers=headers).status_code == status, headers


@pytest.mark.parametrize("range_, first, last", [("bytes=0-0", 0, 1), ("bytes=100-199", 100, 200), ("bytes=-5", -5, None), ("bytes=1000-", 1000, None)])
def test_a_range_of_an_output(server, output, range_, first, last):
	job, out = output
	href = job["outputs"][0]["href"]
	r = server.get(href, headers={"Range": range_})
	assert r.status_code == 206 and r.content == out[first:last] and r.headers["Content-Range"].endswith(f"/{len(out)}")
	r = server.get(href, headers={"Range": range_, "If-Range": '"other"'})
	assert r.status_code == 200 and r.content == out


def test_a_range_outside_an_output(server, output):
	job, out = output
	r = server.get(job["outputs"][0]["href"], headers={"Range": f"bytes={len(out)}-"})
	problem(r, 416, "range_unsatisfiable")
	assert r.headers["Content-Range"] == f"bytes */{len(out)}"


def test_only_safe_types_are_shown_inline(server, output):
	image, _ = done(server, png(30, 30), "resize;width=9;format=png")
	r = server.get(image["outputs"][0]["href"] + "?inline=1")
	assert r.headers["Content-Disposition"].startswith("inline") and r.headers["Content-Type"] == "image/png" and "sandbox" in r.headers["Content-Security-Policy"]
	r = server.get(output[0]["outputs"][0]["href"] + "?inline=1")
	assert r.headers["Content-Disposition"].startswith("attachment")
	problem(server.get(image["outputs"][0]["href"] + "?inline=yes"), 400, "bad_parameter")


def test_outputs_that_are_not_there(server, output):
	job, _ = output
	for n, status, code in (("1", 404, "output_not_found"), ("99999999999999999", 404, "output_not_found"), ("-1", 400, "bad_parameter"), ("x", 400, "bad_parameter"),
			("0x0", 400, "bad_parameter"), ("99999999999999999999999", 400, "bad_parameter")):
		p = problem(server.get(f"/v1/jobs/{job['id']}/outputs/{n}"), status, code)
		assert p["field"] == "n"
	problem(server.get(f"/v1/jobs/{uuid.uuid4()}/outputs/0"), 404, "job_not_found")
	problem(server.get("/v1/jobs/nonsense/outputs/0"), 400, "bad_id")
	f = server.upload(b"digest", query="ops=md5")
	problem(server.get(f"/v1/jobs/{f['jobs'][0]['id']}/outputs/0"), 404, "output_not_found")
	waiting = queue(server, f, op="gzip", run_at="2099-01-01T00:00:00Z")
	assert "queued" in problem(server.get(f"/v1/jobs/{waiting['id']}/outputs/0"), 404, "output_not_found")["detail"]


def test_outputs_go_with_their_file(server):
	f = server.upload(b"to be deleted", query="ops=gzip&wait=60")
	href = f["jobs"][0]["outputs"][0]["href"]
	assert server.get(href).status_code == 200
	assert server.delete(f"/v1/files/{f['id']}").status_code == 204
	problem(server.get(href), 410, "job_gone")


def test_outputs_survive_a_restart_and_the_sweep(make_server):
	s = make_server()
	job, out = done(s, random_bytes(100_000, 5), "gzip")
	s.restart()
	assert s.get(job["outputs"][0]["href"]).content == out
	f = s.get(f"/v1/files/{job['file']}").json()
	assert f["jobs"][0]["outputs"] == job["outputs"]
	assert s.delete(f"/v1/files/{f['id']}").status_code == 204
	eventually(lambda: s.blobs() == {}, message="bytes of a deleted file and its outputs are left")


# ---- chains ----

def test_an_op_works_on_what_another_made(server):
	f = server.upload(png(400, 100), name="wide.png", query="ops=resize;width=40;format=jpeg,gzip;after=resize,md5;after=resize,zip;after=2&wait=60")
	resize, packed, digest, archive = f["jobs"]
	assert [j["state"] for j in f["jobs"]] == ["succeeded"] * 4, f["jobs"]
	assert resize["after"] is None and packed["after"] == digest["after"] == resize["id"] and archive["after"] == packed["id"]
	small = server.get(resize["outputs"][0]["href"]).content
	assert jpeg_size(small) == (40, 10)
	assert gzip.decompress(server.get(packed["outputs"][0]["href"]).content) == small and packed["outputs"][0]["name"] == "wide.jpg.gz"
	assert digest["result"] == {"md5": md5(small)}
	with zipfile.ZipFile(io.BytesIO(server.get(archive["outputs"][0]["href"]).content)) as z:
		assert z.namelist() == ["wide.jpg.gz"]


def test_a_job_comes_after_one_that_was_there_before(server):
	f = server.upload(png(50, 50), query="ops=resize;width=5;format=png&wait=60")
	first = f["jobs"][0]
	job = finished(server, queue(server, f, op="gzip", after=first["id"]))
	assert job["state"] == "succeeded" and job["after"] == first["id"] and png_size(gzip.decompress(server.get(job["outputs"][0]["href"]).content)) == (5, 5)


def test_a_job_comes_after_an_element_of_the_same_request(server):
	f = server.upload(png(60, 60), query="ops=")
	r = server.post("/v1/jobs", json={"jobs": [{"file": f["id"], "op": "md5"}, {"file": f["id"], "op": "resize", "params": {"width": 6, "format": "png"}},
		{"file": f["id"], "op": "gzip", "after": 1}, {"file": f["id"], "op": "zstd", "after": 2}]})
	assert r.status_code == 202, r.text
	jobs = r.json()["jobs"]
	assert [j["op"] for j in jobs] == ["md5", "resize", "gzip", "zstd"] and jobs[2]["after"] == jobs[1]["id"] and jobs[3]["after"] == jobs[2]["id"]
	assert jobs[2]["run_at"] is None
	last = finished(server, jobs[3])
	assert last["state"] == "succeeded" and last["run_at"] is not None


def test_what_comes_after_a_failure_fails_too(server):
	f = server.upload(b"no image at all", query="ops=resize;width=5,gzip;after=resize,zip;after=gzip&wait=60")
	assert [(j["op"], j["state"], j["error"]["code"]) for j in f["jobs"]] == [("resize", "failed", "unsupported_format"), ("gzip", "failed", "input_failed"), ("zip", "failed", "input_failed")]


def test_what_comes_after_a_cancelled_job_is_cancelled(server):
	f = server.upload(b"wait", query="ops=")
	first = queue(server, f, op="gzip", run_at="2099-01-01T00:00:00Z")
	second = queue(server, f, op="zstd", after=first["id"])
	third = queue(server, f, op="md5", after=second["id"])
	assert server.post(f"/v1/jobs/{first['id']}/cancel").status_code == 200
	assert [finished(server, j)["state"] for j in (second, third)] == ["cancelled", "cancelled"]


def test_chains_that_cannot_be(server):
	f, other = server.upload(b"one", query="ops=md5"), server.upload(b"two", query="ops=gzip&wait=60")
	digest, packed = f["jobs"][0], other["jobs"][0]
	path = f"/v1/files/{f['id']}/jobs"
	def refused(status, code, field, **request):
		p = problem(server.post(path, json=request), status, code)
		assert p["field"] == field, p
	refused(404, "job_not_found", "after", op="gzip", after=str(uuid.uuid4()))
	refused(409, "job_state", "after", op="gzip", after=packed["id"])
	refused(409, "job_state", "after", op="gzip", after=digest["id"])
	refused(400, "bad_id", "after", op="gzip", after="resize")
	refused(422, "invalid_value", "after", op="gzip", after=0)
	refused(422, "invalid_value", "after", op="gzip", after=None)
	refused(422, "invalid_value", "run_at", op="gzip", after=digest["id"], run_at="2099-01-01T00:00:00Z")
	def refused_list(status, code, field, *jobs):
		p = problem(server.post("/v1/jobs", json={"jobs": [{"file": f["id"], **j} for j in jobs]}), status, code)
		assert p["field"] == field, p
	refused_list(422, "invalid_value", "jobs/0/after", {"op": "gzip", "after": 0})
	refused_list(422, "invalid_value", "jobs/0/after", {"op": "gzip", "after": 1}, {"op": "zip"})
	refused_list(422, "invalid_value", "jobs/1/after", {"op": "gzip"}, {"op": "zip", "after": -1})
	refused_list(422, "invalid_value", "jobs/1/after", {"op": "gzip"}, {"op": "zip", "after": 0.0})
	refused_list(422, "invalid_value", "jobs/1/after", {"op": "sha1"}, {"op": "zip", "after": 0})
	refused_list(422, "invalid_value", "jobs/1/after", {"file": other["id"], "op": "zip"}, {"op": "zstd", "after": 0})
	refused_list(404, "job_not_found", "jobs/1/after", {"op": "sha1"}, {"op": "zip", "after": str(uuid.uuid4())})
	before = len(server.get(f"/v1/files/{f['id']}").json()["jobs"])
	assert before == 1, "a refused request left jobs"
	for ops, code in (("gzip;after=resize", "bad_ops"), ("md5,gzip;after=md5", "bad_ops"), ("gzip;after=1", "bad_ops"), ("gzip;after=gzip", "bad_ops"), ("gzip;after=0", "bad_ops"), ("gzip,zip;after=9", "bad_ops")):
		p = problem(server.post(f"/v1/files?ops={ops}", data=b"x", headers={"Content-Type": "text/plain"}), 400, code)
		assert p["field"] == "after", (ops, p)


# ---- pipelines ----

def test_a_pipeline_is_asked_for_by_name(server):
	f = server.upload(png(200, 100), query="pipeline=avatar&wait=60")
	assert [(j["op"], j["state"]) for j in f["jobs"]] == [("resize", "succeeded")], f["jobs"]
	assert png_size(server.get(f["jobs"][0]["outputs"][0]["href"]).content) == (32, 32)


def check_parcel(server, jobs):
	assert [j["op"] for j in jobs] == ["md5", "resize", "gzip", "sha256"], jobs
	jobs = [finished(server, j) for j in jobs]
	assert [j["state"] for j in jobs] == ["succeeded"] * 4, jobs
	assert jobs[2]["after"] == jobs[3]["after"] == jobs[1]["id"]
	assert jobs[3]["result"] == {"sha256": jobs[1]["outputs"][0]["sha256"]}


def test_a_pipeline_in_a_form_before_and_behind_the_file(server):
	picture = png(64, 64)
	for parts in ((field_part(b"pipeline", b"parcel"), file_part(picture)), (file_part(picture), field_part(b"pipeline", b" parcel "))):
		r = exchange(server, post_form(form(*parts)))
		assert r.status_code == 201, r.text
		check_parcel(server, r.json()["jobs"])


def test_a_pipeline_on_a_stored_file(server):
	f = server.upload(png(65, 65), query="ops=")
	r = server.post(f"/v1/files/{f['id']}/jobs", json={"pipeline": "parcel", "priority": 1})
	assert r.status_code == 202 and "Location" not in r.headers and {j["priority"] for j in r.json()["jobs"]} == {1}, r.text
	check_parcel(server, r.json()["jobs"])


def test_pipelines_in_a_list_of_jobs(server):
	f, g = server.upload(png(66, 66), query="ops="), server.upload(png(67, 67), query="ops=")
	r = server.post("/v1/jobs", json={"jobs": [{"file": f["id"], "pipeline": "parcel"}, {"file": g["id"], "op": "crc32c"}, {"file": g["id"], "pipeline": "parcel"}]})
	assert r.status_code == 202, r.text
	jobs = r.json()["jobs"]
	assert [j["file"] for j in jobs] == [f["id"]] * 4 + [g["id"]] * 5
	check_parcel(server, jobs[:4])
	check_parcel(server, jobs[5:])
	p = problem(server.post("/v1/jobs", json={"jobs": [{"file": f["id"], "pipeline": "parcel"}, {"file": f["id"], "op": "gzip", "after": 0}]}), 422, "invalid_value")
	assert p["field"] == "jobs/1/after"
	problem(server.post("/v1/jobs", json={"jobs": [{"file": f["id"], "pipeline": "parcel"}] * 251}), 422, "invalid_value")


def test_pipelines_that_cannot_be(server):
	send = lambda query, **more: server.post(f"/v1/files?{query}", data=b"x", headers={"Content-Type": "text/plain"}, **more)
	assert problem(send("pipeline=avatr"), 422, "unknown_pipeline")["expected"] == "avatar"
	problem(send("pipeline="), 422, "unknown_pipeline")
	problem(send("pipeline=avatar&ops=md5"), 400, "bad_ops")
	for parts in ((field_part(b"pipeline", b"avatar"), field_part(b"ops", b"md5"), file_part(b"x")), (field_part(b"ops", b"md5"), file_part(b"x"), field_part(b"pipeline", b"avatar"))):
		problem(exchange(server, post_form(form(*parts))), 400, "bad_ops")
	problem(exchange(server, post_form(form(field_part(b"pipeline", b"avatar"), field_part(b"pipeline", b"avatar"), file_part(b"x")))), 400, "bad_multipart")
	f = server.upload(b"x", query="ops=")
	for body, field in (({"pipeline": "avatar", "op": "md5"}, "op"), ({"pipeline": "avatar", "params": {}}, "params"), ({"pipeline": 5}, "pipeline")):
		assert problem(server.post(f"/v1/files/{f['id']}/jobs", json=body), 422, "invalid_value")["field"] == field
	p = problem(server.post(f"/v1/files/{f['id']}/jobs", json={"pipeline": "nope"}), 422, "unknown_pipeline")
	assert p["field"] == "pipeline"


def test_ops_and_pipelines_are_listed(server):
	listed = server.get("/v1/ops").json()
	ops = {o["name"]: o for o in listed["ops"]}
	assert {"gzip", "zstd", "zip", "resize", "probe", "md5", *COMMANDS} <= set(ops)
	assert ops["gzip"]["kind"] == "sealed" and ops["gzip"]["outputs"] == ["application/gzip"] and ops["probe"]["outputs"] == []
	assert ops["cut"]["kind"] == "command" and ops["cut"]["params"]["required"] == ["bytes"] and ops["count"]["outputs"] == ["text/plain"] and ops["cut"]["outputs"] == ["*/*"]
	pipelines = {p["name"]: p["ops"] for p in listed["pipelines"]}
	assert set(pipelines) == set(PIPELINES) and pipelines["parcel"] == ", ".join(PIPELINES["parcel"])


# ---- work that was done before ----

def test_the_same_work_is_not_done_twice(server):
	body = random_bytes(30_000, 77)
	first, out = done(server, body, "zstd;level=3")
	f = server.upload(body, query="ops=")
	again = queue(server, f, op="zstd", params={"level": 3})
	assert again["state"] == "succeeded" and again["cached"] is True and again["id"] != first["id"], again
	assert [{**o, "href": ""} for o in again["outputs"]] == [{**o, "href": ""} for o in first["outputs"]]
	assert again["outputs"][0]["href"] == f"/v1/jobs/{again['id']}/outputs/0" and server.get(again["outputs"][0]["href"]).content == out
	other = queue(server, f, op="zstd", params={"level": 4})
	assert "cached" not in other
	for op in ("gzip", "zip"): # these have the file's name in them: work on the same file only
		named = finished(server, queue(server, f, op=op))
		assert "cached" not in named and queue(server, f, op=op)["cached"] is True
	third = server.upload(body, query="ops=zstd;level=3")["jobs"][0]
	assert third["state"] == "succeeded" and third["cached"] is True


def test_shared_outputs_live_as_long_as_anybody_has_them(make_server):
	s = make_server()
	body = random_bytes(70_000, 78)
	first, out = done(s, body, "zstd")
	f = s.upload(body, query="ops=zstd&wait=60")
	shared = f["jobs"][0]
	assert shared.get("cached") is True
	assert s.delete(f"/v1/files/{first['file']}").status_code == 204
	s.restart()
	assert s.get(shared["outputs"][0]["href"]).content == out
	assert s.delete(f"/v1/files/{f['id']}").status_code == 204
	eventually(lambda: s.blobs() == {}, message="the shared output is left")


def test_equal_work_at_the_same_time_gives_equal_results(server):
	body = random_bytes(2_000_000, 79)
	files = [server.upload(body, query="ops=zstd;level=15") for _ in range(6)]
	jobs = [finished(server, f["jobs"][0]) for f in files]
	assert {j["state"] for j in jobs} == {"succeeded"} and len({j["outputs"][0]["sha256"] for j in jobs}) == 1


# ---- commands ----

def test_a_command_reads_the_file_and_writes_the_output(server):
	job, out = done(server, b"0123456789", "count", "digits.txt")
	assert out.strip() == b"10" and job["outputs"][0]["name"] == "digits.txt.count" and job["outputs"][0]["type"] == "text/plain"
	job, out = done(server, b"0123456789", "cut;bytes=4")
	assert out == b"0123"


@pytest.mark.parametrize("name", ["-rf", "--help", "|id", "`id`", "$(id)", "a;b", "a b"])
def test_a_name_never_becomes_a_word_of_a_command(server, name):
	"""C22 of the bad-input catalogue."""
	from urllib.parse import quote
	job, out = done(server, name.encode() + bytes(90), "count", quote(name))
	assert out.strip() == b"%d" % (len(name) + 90) and job["outputs"][0]["name"] == name + ".count"


def test_a_parameter_is_one_word_and_fits_its_pattern(server):
	_, out = done(server, b"banana", 'turn;from="an";to="XY"')
	assert out == b"bXYXYX"
	f = server.upload(b"x", query="ops=")
	for params in ({"from": "-d"}, {"from": "a b"}, {"from": "a", "to": "$(id)"}, {"from": "a\nb"}, {}, {"from": "a", "more": 1}, {"from": "aaaaaaaaaa"}):
		problem(server.post(f"/v1/files/{f['id']}/jobs", json={"op": "turn", "params": params}), 422, "bad_op_params")


def test_a_command_that_fails_says_why(server):
	f = server.upload(b"x", query="ops=fail&wait=60")
	job = f["jobs"][0]
	assert job["state"] == "failed" and job["error"]["code"] == "command_failed" and job["outputs"] == [], job
	assert job["result"]["exit_code"] == 3 and "this is why" in job["result"]["stderr"]


def test_a_running_job_is_cancelled_and_its_process_gone(server):
	f = server.upload(b"x", query="ops=sleep")
	job = f["jobs"][0]
	eventually(lambda: server.get(f"/v1/jobs/{job['id']}").json()["state"] == "running")
	assert server.post(f"/v1/jobs/{job['id']}/cancel").status_code == 200
	assert finished(server, job)["state"] == "cancelled"
	eventually(lambda: not sleepers(server), message="the command is still there")
	problem(server.post(f"/v1/jobs/{job['id']}/cancel"), 409, "job_state")


def sleepers(server):
	listed = subprocess.run(["ps", "-eo", "pid,ppid,args"], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[1:]
	parents = {int(p): (int(pp), a) for p, pp, a in (line.split(None, 2) for line in listed)}
	def below(pid):
		while pid in parents and pid != server.pid:
			pid = parents[pid][0]
		return pid == server.pid
	return [p for p, (_, args) in parents.items() if args == "/bin/sleep 100" and below(p)]


def test_a_failed_job_is_retried_by_hand(server):
	first = server.upload(b"x", query="ops=fail&wait=60")["jobs"][0]
	r = server.post(f"/v1/jobs/{first['id']}/retry")
	assert r.status_code == 202 and r.json()["state"] in ("queued", "running", "failed"), r.text # as it is when the answer is written: it may have run by then
	again = finished(server, first)
	assert again["state"] == "failed" and again["started_at"] >= first["finished_at"], "it did not run again"


def test_a_server_without_pipelines_and_commands_says_so(make_server):
	s = make_server()
	assert s.get("/v1/ops").json()["pipelines"] == []
	problem(s.post("/v1/files?pipeline=avatar", data=b"x", headers={"Content-Type": "text/plain"}), 422, "unknown_pipeline")
	problem(s.post("/v1/files?ops=count", data=b"x", headers={"Content-Type": "text/plain"}), 422, "unknown_op")


def test_the_pipelines_of_the_readme_work(folder):
	readme = (REPOSITORY / "README.md").read_text()
	config = folder / "filemill.yaml"
	config.write_text(readme.split("```yaml\n", 1)[1].split("```", 1)[0])
	with Server(folder / "s", args=["-c", str(config)]) as s:
		picture = png(400, 300)
		for name in ("avatar", "parcel"):
			f = s.upload(picture, name="holiday.png", query=f"pipeline={name}&wait=60")
			assert {j["state"] for j in f["jobs"]} == {"succeeded"}, f["jobs"]
		with zipfile.ZipFile(io.BytesIO(s.get(f["jobs"][2]["outputs"][0]["href"]).content)) as z:
			assert z.namelist() == ["holiday.jpg"]
		f = s.upload(b"three little words", query="pipeline=words&wait=60")
		assert s.get(f["jobs"][0]["outputs"][0]["href"]).content.strip() == b"3"
		for op, params in re.findall(r'-d \'{"op":"(\w+)","params":(\{[^}]*\})}\'', readme):
			queue(s, f, op=op, params=json.loads(params))


def test_a_configuration_file_declares_them(folder):
	config = folder / "filemill.yaml"
	config.write_text("commands:\n  count:\n    argv: [/usr/bin/wc, -c]\npipelines:\n  both: [count, 'gzip;after=count']\n")
	with Server(folder / "s", args=["-c", str(config)]) as s:
		f = s.upload(b"12345", query="pipeline=both&wait=60")
		assert gzip.decompress(s.get(f["jobs"][1]["outputs"][0]["href"]).content).strip() == b"5"
	config.write_text("pipelines:\n  both: [nonsense]\n")
	r = run("check-config", "-c", config)
	assert r.returncode == 78 and "both" in r.stderr, r
