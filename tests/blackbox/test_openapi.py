"""The OpenAPI document says what the server does: same routes, and answers that fit its schemas."""
import json
import re
import uuid

import pytest
from jsonschema import Draft202012Validator

from harness import contract
from harness.images import png
from harness.server import eventually, run

METHODS = ("get", "head", "post", "put", "patch", "delete", "options")


@pytest.fixture(scope="module")
def document(server):
	r = server.get("/openapi.json")
	assert r.status_code == 200 and r.headers["Content-Type"].split(";")[0] in ("application/json", "application/openapi+json")
	return r.json()


def test_it_is_openapi_31(document):
	assert document["openapi"].startswith("3.1.")
	assert document["info"]["title"] and document["info"]["version"]


def test_its_paths_are_the_route_table(document):
	r = run("describe", "routes")
	assert r.returncode == 0, r.stderr
	table = {(x["method"].lower(), x["path"]) for x in json.loads(r.stdout) if x.get("operation")}
	paths = {(m, p) for p, item in document["paths"].items() for m in item if m in METHODS}
	paths -= {(m, p) for m, p in paths if m == "head"}
	table -= {(m, p) for m, p in table if m == "head"}
	assert paths - table == set(), "documented but not served"
	assert table - paths == set(), "served but not documented"


def test_operation_ids_are_unique_and_those_of_the_table(document):
	ids = [op["operationId"] for item in document["paths"].values() for m, op in item.items() if m in METHODS]
	assert len(ids) == len(set(ids))
	table = {x["operation"] for x in json.loads(run("describe", "routes").stdout) if x.get("operation")}
	assert table <= set(ids)


def test_every_reference_leads_somewhere(document):
	def walk(node):
		if isinstance(node, dict):
			if isinstance(node.get("$ref"), str):
				target = document
				assert node["$ref"].startswith("#/"), node["$ref"]
				for part in node["$ref"][2:].split("/"):
					target = target[part.replace("~1", "/").replace("~0", "~")]
			for value in node.values():
				walk(value)
		elif isinstance(node, list):
			for value in node:
				walk(value)
	walk(document)


def test_the_schemas_are_schemas(document):
	for schema in document["components"]["schemas"].values():
		Draft202012Validator.check_schema(schema)


class Tour:
	"""Asks the server, whose answers are held against the document as all are, and keeps in mind what was asked for."""

	def __init__(self, server):
		self.server, self.seen = server, set()

	def __call__(self, method, path, status, **more):
		r = self.server.request(method, path, **more)
		assert r.status_code in (status if isinstance(status, tuple) else (status,)), (method, path, r.status_code, r.text[:300])
		template, answers = contract.contract().find(path)
		assert method in answers, f"{method} {path} is not documented"
		self.seen.add((method, template))
		return r


def tour_webhooks(tour):
	"""Its host does not exist, so nothing leaves the machine."""
	made = tour("POST", "/v1/webhooks", 201, json={"url": "https://nowhere.invalid/x", "events": ["job.failed"], "ops": ["md5"]}).json()
	tour("POST", "/v1/webhooks", 422, json={"url": "https://127.0.0.1/"})
	tour("POST", "/v1/webhooks", 400, json={"url": "https://nowhere.invalid/x", "secret": "mine"})
	tour("GET", "/v1/webhooks?limit=1", 200)
	path = f"/v1/webhooks/{made['id']}"
	tour("GET", path, 200)
	tour("PATCH", path, 200, json={"description": "d"})
	tour("PATCH", path, 422, json={"events": []})
	tour("POST", path + "/rotate", 200, json={"overlap_seconds": 1})
	tour("POST", path + "/rotate", 422, json={"overlap_seconds": -1})
	delivery = tour("POST", path + "/ping", 202).json()
	tour("GET", path + "/deliveries?state=waiting", 200)
	tour("GET", path + "/deliveries?state=late", 400)
	tour("GET", f"{path}/deliveries/{delivery['id']}", 200)
	tour("GET", f"{path}/deliveries/{uuid.uuid4()}", 404)
	tour("POST", f"{path}/deliveries/{delivery['id']}/replay", 202)
	tour("POST", path + "/replay", 202, json={"since": "2026-01-01T00:00:00Z"})
	tour("PATCH", path, 200, json={"enabled": False})
	tour("POST", path + "/ping", 409)
	tour("DELETE", path, 204)
	tour("GET", path, 404)


def tour_links(tour, file):
	up = tour("POST", "/v1/links", 201, json={"method": "PUT", "type": "text/plain", "single_use": False}).json()
	down = tour("POST", "/v1/links", 201, json={"method": "GET", "file": file, "single_use": True}).json()
	tour("POST", "/v1/links", 422, json={"method": "PATCH"})
	tour("POST", "/v1/links", 400, json={"method": "PUT", "nope": 1})
	tour("POST", "/v1/links", 404, json={"method": "GET", "file": str(uuid.uuid4())})
	up, down = (x["url"][x["url"].index("/v1/links/"):] for x in (up, down))
	tour("PUT", up, 201, data=b"text")
	tour("POST", up, 201, files={"file": ("a", b"text")}, headers={"Accept": "text/html"})
	tour("POST", up, 403, files={"file": ("a", b"text")}, data={"ops": "md5"}, headers={"Accept": "text/html"})
	tour("PUT", up, 403, data=b"text", headers={"If-Match": "*"})
	tour("PUT", up, 415, data=b"<html>")
	tour("PUT", up + "&name=x", 400, data=b"text")
	tour("GET", up, 403)
	tour("GET", down, 206, headers={"Range": "bytes=1-2"})
	tour("GET", down, 410)


def tour_operation(tour, file, job):
	"""Whoever is nobody in particular gets none of it; test_operators.py has the answers to those who may."""
	for path in ("queue", "workers", "storage", "audit", "files", "jobs", f"files/{file}", f"files/{file}/content", f"jobs/{job}", f"jobs/{job}/outputs/0"):
		tour("GET", "/v1/admin/" + path, 401)
	for path in ("users", f"users/{file}", f"keys?user={file}"):
		tour("GET", "/v1/admin/" + path, 401)
	tour("DELETE", f"/v1/admin/keys/{file}", 401)
	for path in ("queue/cancel", "queue/retry", f"jobs/{job}/cancel", f"jobs/{job}/retry"):
		tour("POST", "/v1/admin/" + path, 401)


def tour_people(tour):
	"""Nobody is signed in here; what those get who are, test_sign_in.py looks at."""
	tour("POST", "/v1/sessions", 401, json={"email": "ann@example.org", "password": "not the password"})
	tour("POST", "/v1/sessions", 422, json={"email": "ann@example.org"})
	tour("POST", "/v1/users", 401, json={"email": "ann@example.org", "password": "a horse that is correct"})
	tour("POST", "/v1/users/me/password", 401, json={})
	tour("POST", "/v1/keys", 401, json={"scopes": ["files:read"]})
	for method, path in (("GET", "/v1/users/me"), ("GET", "/v1/sessions/current"), ("DELETE", "/v1/sessions/current"), ("GET", "/v1/keys"),
			     ("DELETE", f"/v1/keys/{uuid.uuid4()}")):
		tour(method, path, 401)



def test_the_answers_fit_the_document(server, document):
	tour = Tour(server)
	f = tour("POST", "/v1/files?name=t.txt&ops=md5,sha512&wait=60", 201, data=b"tour", headers={"Content-Type": "text/plain"}).json()
	tour("POST", "/v1/files", 201, files={"file": ("a", b"x")}, data={"labels": "a:b"})
	tour("POST", "/v1/files?ops=md6", 422, data=b"x", headers={"Content-Type": "text/plain"})
	tour("POST", "/v1/files?nonsense=1", 400, data=b"x", headers={"Content-Type": "text/plain"})
	path = f"/v1/files/{f['id']}"
	tour("GET", path, 200)
	tour("GET", "/v1/files?limit=3", 200)
	tour("GET", "/v1/files?limit=0", 400)
	tour("PATCH", path, 200, json={"labels": {"k": "v"}})
	tour("PATCH", path, 400, json={"nope": 1})
	tour("GET", path + "/content", 200)
	tour("GET", path + "/content", 206, headers={"Range": "bytes=1-2"})
	tour("GET", path + "/content", 416, headers={"Range": "bytes=100-"})
	tour("GET", path + "/content", 304, headers={"If-None-Match": "*"})
	tour("GET", path + "/content", 412, headers={"If-Match": '"x"'})
	job = tour("POST", path + "/jobs", 202, json={"op": "sha1"}).json()
	tour("GET", f"/v1/jobs/{job['id']}?wait=60", 200)
	tour("POST", path + "/jobs", 202, json={"op": "sha1"})
	tour("POST", path + "/jobs", 422, json={"op": "sha1", "priority": 99})
	packed = tour("POST", path + "/jobs", 202, json={"op": "gzip"}).json()
	after = tour("POST", path + "/jobs", 202, json={"op": "sha1", "after": packed["id"]}).json()
	tour("GET", f"/v1/jobs/{after['id']}?wait=60", 200)
	out = f"/v1/jobs/{packed['id']}/outputs/0"
	tour("GET", f"/v1/jobs/{packed['id']}", 200)
	tour("GET", out, 200)
	tour("HEAD", out, 200)
	tour("GET", out, 206, headers={"Range": "bytes=1-2"})
	tour("GET", out, 304, headers={"If-None-Match": "*"})
	tour("GET", out, 416, headers={"Range": "bytes=100000-"})
	tour("GET", f"/v1/jobs/{packed['id']}/outputs/1", 404)
	tour("GET", f"/v1/jobs/{packed['id']}/outputs/x", 400)
	tour("POST", path + "/jobs", 409, json={"op": "gzip", "after": job["id"]})
	tour("POST", path + "/jobs", 404, json={"op": "gzip", "after": str(uuid.uuid4())})
	tour("POST", path + "/jobs", 422, json={"pipeline": "none"})
	tour("POST", "/v1/files?pipeline=none", 422, data=b"x", headers={"Content-Type": "text/plain"})
	failed = tour("POST", "/v1/files?ops=resize;width=5&wait=60", 201, data=b"no image", headers={"Content-Type": "text/plain"}).json()["jobs"][0]
	assert failed["error"]["code"] == "unsupported_format"
	delayed = tour("POST", "/v1/jobs", 202, json={"jobs": [{"file": f["id"], "op": "sha256", "run_at": "2099-01-01T00:00:00.000Z"}]}).json()["jobs"][0]
	if delayed["state"] == "queued":
		tour("POST", f"/v1/jobs/{delayed['id']}/cancel", (200, 202))
		tour("POST", f"/v1/jobs/{delayed['id']}/retry", (200, 202))
	tour("POST", f"/v1/jobs/{job['id']}/retry", 409)
	tour("GET", "/v1/jobs?limit=5", 200)
	tour("GET", "/v1/jobs?state=x", 400)
	tour("GET", f"/v1/jobs/{uuid.uuid4()}", 404)
	tour("GET", "/v1/events?file=1", 400)
	coming = tour("POST", "/v1/imports", 202, json={"url": "https://nowhere.invalid/x", "name": "x", "ops": "md5", "max_attempts": 1}).json()
	tour("GET", f"/v1/files/{coming['file']}", 200)
	tour("GET", f"/v1/files/{coming['file']}/content", 409)
	tour("POST", "/v1/imports", 422, json={})
	tour_webhooks(tour)
	tour_links(tour, f["id"])
	tour_people(tour)
	tour_operation(tour, f["id"], job["id"])
	for path in ("/v1/ops", "/v1/stats", "/healthz", "/readyz", "/metrics"):
		if path in document["paths"]:
			tour("GET", path, 200)
	tour("DELETE", f"/v1/files/{f['id']}", 204)
	tour("GET", f"/v1/files/{f['id']}", 410)
	tour("GET", f"/v1/files/{uuid.uuid4()}", 404)
	missing = {t for t in document["paths"] if t.startswith("/v1") and not any(t == s for _, s in tour.seen)}
	assert not missing, f"the tour does not visit {missing}"


def test_the_answers_of_image_stages_fit_too(server):
	tour = Tour(server)
	n = tour("POST", "/uploadFile", 200, files={"file": ("a.png", png(9, 9))}).json()["file_id"]
	tour("POST", "/uploadFile", 400)
	tour("POST", "/uploadFile", 415, files={"file": ("a.txt", b"x")})
	eventually(lambda: tour("GET", f"/queryFileStatus/{n}", 200).json()["result"] == "COMPLETION STAGE")
	tour("GET", "/queryFileStatus/5", 400)
	tour("GET", f"/thumbnail/{n}", 200)
	tour("GET", f"/thumbnail/{n}", 206, headers={"Range": "bytes=0-3"})
	tour("GET", "/thumbnail/5", 400)
	tour("GET", "/heartbeat", 200)


def test_the_interactive_page_needs_nobody_else(server):
	r = server.get("/docs")
	assert r.status_code == 200 and r.headers["Content-Type"].startswith("text/html")
	for address in re.findall(r'(?:src|href)="([^"]+)"', r.text):
		assert not re.match(r"(https?:)?//", address), address
		if not address.startswith(("#", "data:")):
			from urllib.parse import urljoin
			part = server.get(urljoin("/docs", address))
			assert part.status_code == 200, address
			assert part.headers["X-Content-Type-Options"] == "nosniff"
	assert "Content-Security-Policy" in r.headers
