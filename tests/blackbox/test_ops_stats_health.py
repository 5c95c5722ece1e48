"""What the server says of itself: ops, figures, health."""
import re
import time

import pytest
import requests

from harness.server import eventually, problem


def metrics(server):
	r = server.get("/metrics")
	assert r.status_code == 200 and r.headers["Content-Type"].startswith("text/plain")
	values = {}
	for line in r.text.splitlines():
		if line and not line.startswith("#"):
			match = re.fullmatch(r'([a-z_:]+)(\{[^}]*\})? ([0-9.eE+-]+|\+Inf|NaN)', line)
			assert match, line
			values[match[1] + (match[2] or "")] = float(match[3])
	return values


def test_the_ops_are_described(server):
	r = server.get("/v1/ops")
	assert r.status_code == 200
	ops = {o["name"]: o for o in r.json()["ops"]}
	assert {"md5", "sha1", "sha256", "sha512", "crc32c"} <= set(ops)
	for op in ops.values():
		assert op["version"] >= 1 and op["description"]
		schema = op["params"]
		assert schema["type"] == "object" and schema.get("additionalProperties") is False, schema
		assert "outputs" in op


def test_the_stats_follow_what_happens(make_server):
	s = make_server()
	empty = s.get("/v1/stats").json()
	s.upload(b"12345")
	s.upload(b"x" * 50_000)
	now = s.get("/v1/stats").json()
	flat = lambda d: {k if not isinstance(v, dict) else f"{k}.{n}": w for k, v in d.items() for n, w in (v.items() if isinstance(v, dict) else [("", v)])}
	before, after = flat(empty), flat(now)
	grown = {k: after[k] - before[k] for k in after if isinstance(after[k], (int, float)) and isinstance(before.get(k), (int, float)) and after[k] != before[k]}
	assert 2 in grown.values() and 50_005 in grown.values(), (empty, now)


def test_the_metrics_follow_what_happens(server):
	before = metrics(server)
	server.upload(b"12345")
	problem(server.get("/v1/files?limit=0"), 400)
	after = metrics(server)
	assert after["filemill_uploads_total"] == before["filemill_uploads_total"] + 1
	assert after["filemill_upload_bytes_total"] == before["filemill_upload_bytes_total"] + 5
	assert after["filemill_http_client_errors_total"] == before["filemill_http_client_errors_total"] + 1
	assert after["filemill_jobs_fused_total"] == before["filemill_jobs_fused_total"] + 1
	assert after["filemill_storage_sealed"] == 0


def test_each_stage_of_a_job_is_measured_by_its_op(make_server):
	s = make_server()
	f = s.upload(b"x" * 50_000, query="ops=gzip,md5&wait=20")
	assert {j["state"] for j in f["jobs"]} == {"succeeded"}
	s.post(f"/v1/files/{f['id']}/jobs", json={"op": "gzip"})
	m = metrics(s)
	for stage in ("wait", "start", "run", "total"):
		assert m[f'filemill_op_{stage}_seconds_count{{op="gzip"}}'] == 1, stage
		assert m[f'filemill_op_{stage}_seconds_bucket{{op="gzip",le="30"}}'] == 1
	assert m['filemill_op_jobs_succeeded_total{op="gzip"}'] == 1 and m['filemill_op_jobs_failed_total{op="gzip"}'] == 0
	assert m["filemill_jobs_known_total"] == 1
	for stage in ("receive", "store", "commit"):
		assert m[f'filemill_upload_stage_seconds_count{{stage="{stage}"}}'] == 1, stage
	assert m["filemill_upload_open_bytes"] == 0 and m["filemill_uploads_open"] == 0
	eventually(lambda: metrics(s)['filemill_op_jobs_running{op="gzip"}'] == 0)


def test_what_has_to_be_asked_for_is_asked_for(make_server):
	s = make_server(settings={"files.free_reserve": "1MiB"})
	s.upload(b"x" * 50_000)
	eventually(lambda: metrics(s)["filemill_catalog_log_bytes"] > 0)
	m = metrics(s)
	assert m["filemill_disk_free_bytes"] > m["filemill_disk_reserve_bytes"] == 1 << 20
	assert abs(time.time() - m["filemill_scheduler_beat_timestamp_seconds"]) < 60
	assert abs(time.time() - m["filemill_start_timestamp_seconds"]) < 120
	assert [k for k in m if k.startswith("filemill_jobs_ready{")] == [f'filemill_jobs_ready{{priority="{p}"}}' for p in range(8)]


def test_refusals_are_counted_by_their_code(make_server):
	s = make_server(settings={"files.free_reserve": "64TiB"})
	problem(s.post("/v1/files?name=x", data=b"x", headers={"Content-Type": "application/octet-stream"}), 507)
	m = metrics(s)
	assert m['filemill_http_refused_total{code="storage_full"}'] == 1 and m["filemill_http_server_errors_total"] == 1


def test_every_metric_is_described(server):
	text = server.get("/metrics").text
	names = {re.sub(r"_(bucket|sum|count)$", "", n) for n in re.findall(r"^([a-z_]+)[ {]", text, re.M)}
	for name in names:
		assert re.search(rf"^# HELP {name}(_\w+)? .+$", text, re.M) or f"# HELP {name}" in text, name
		assert f"# TYPE {name}" in text, name


def test_health_and_readiness(server):
	for path in ("/healthz", "/readyz"):
		r = server.get(path)
		assert r.status_code == 200, r.text
		assert server.head(path).status_code == 200


def test_an_unknown_address_is_a_problem(server):
	for path in ("/v1", "/v1/", "/nothing", "/v1/files/x/y/z", "/v1/filesx", "/healthz/x"):
		problem(server.get(path), (404, 400), {"not_found", "bad_id"})


@pytest.mark.parametrize("path,method,allow", [("/v1/files", "DELETE", {"GET", "HEAD", "POST"}), ("/v1/files", "PUT", {"GET", "HEAD", "POST"}), ("/healthz", "POST", {"GET", "HEAD"}),
	("/v1/ops", "PATCH", {"GET", "HEAD"}), ("/v1/jobs", "PUT", {"GET", "HEAD", "POST"}), ("/metrics", "DELETE", {"GET", "HEAD"})])
def test_a_wrong_method_names_the_right_ones(server, path, method, allow):
	r = server.request(method, path)
	problem(r, 405, "method_not_allowed")
	assert {m.strip() for m in r.headers["Allow"].split(",")} - {"OPTIONS"} == allow


def test_options_names_the_methods(server):
	r = server.request("OPTIONS", "/v1/files")
	assert r.status_code in (200, 204) and {"GET", "POST"} <= {m.strip() for m in r.headers["Allow"].split(",")}


def test_no_answer_shows_what_runs_it(server):
	for path in ("/", "/healthz", "/v1/files", "/nothing"):
		r = server.get(path)
		assert "libmicrohttpd" not in str(r.headers).lower()
		assert str(server.data) not in r.text


def test_no_cross_origin_reading_is_allowed(server):
	r = requests.get(server.base + "/v1/files", headers={"Origin": "https://elsewhere.example"})
	assert "Access-Control-Allow-Origin" not in r.headers
