"""What the server says of itself: ops, figures, health."""
import re

import pytest
import requests

from harness.server import eventually, problem
from harness.watch import metrics


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
	eventually(lambda: metrics(server)["filemill_uploads_total"] > before["filemill_uploads_total"]) # counted by another thread than that which answers
	after = metrics(server)
	assert after["filemill_uploads_total"] == before["filemill_uploads_total"] + 1
	assert after["filemill_upload_bytes_total"] == before["filemill_upload_bytes_total"] + 5
	assert after["filemill_http_client_errors_total"] == before["filemill_http_client_errors_total"] + 1
	assert after["filemill_jobs_fused_total"] == before["filemill_jobs_fused_total"] + 1
	assert after["filemill_storage_sealed"] == 0


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
