"""Every allocation of a running server fails, once and then for good while a request runs: nothing breaks, nothing that was acknowledged is lost, no
half of anything stays, the answer says what is the matter, and the same request works as soon as there is memory again.

alloc.c does the failing, in our own code and in every library. A few dozen places of each scenario, drawn with a seed, in every run; all of them with
FILEMILL_FAULTS=all. Under the address sanitizer, leaks and stray accesses are found too:
    FILEMILL_BIN=build-asan/src/app/filemill FILEMILL_FAULTS=all /usr/bin/python3 -m pytest -c tests/pytest.ini tests/faults/test_alloc.py"""
import itertools
import json
import os
import random
import uuid

import pytest
import requests
from allocation import LIVE, Allocations, library
from harness.data import md5, random_bytes
from harness.images import png
from harness.server import SLOW, Server, eventually, is_sanitized, run
from harness.wire import field_part, file_part, form

ALL = os.environ.get("FILEMILL_FAULTS") == "all"
SEED = int(os.environ.get("FILEMILL_SEED", "1"))
POINTS = 4 if SLOW else 6 # places of one scenario
PIPELINES = {"parcel": ["md5", "gzip", "zip;after=gzip"]}
SMALL, LARGE, PICTURE = random_bytes(3000, 1), random_bytes(300 * 1024, 2), png(40, 30)
SHORT_OF_MEMORY = {"no_memory", "overloaded"}
RAW = {"Content-Type": "application/octet-stream"}


@pytest.fixture(scope="session")
def shim(tmp_path_factory):
	return library(tmp_path_factory.mktemp("alloc"))


class Refused(Exception):
	"""A request got no success; what came before holds, what would have come after cannot be tried."""


class Client:
	"""Plays scenarios. What the server acknowledged is remembered, to be asked for when there is memory again."""

	def __init__(self, server):
		self.server = server
		self.files, self.gone, self.jobs, self.forms = {}, set(), {}, []
		self.starved = False # allocations may fail now
		self.dropped = self.refused = 0
		self.http = None

	def play(self, scenario):
		"""On a connection of its own. False when a request was refused."""
		with requests.Session() as self.http:
			self.http.trust_env = False
			try:
				scenario(self)
				return True
			except Refused:
				return False

	def call(self, method, path, want, **more):
		try:
			r = self.http.request(method, self.server.base + path, timeout=70, allow_redirects=False, **more)
			if method != "HEAD" and len(r.content) < int(r.headers.get("Content-Length", 0)):
				raise requests.ConnectionError("the answer was cut off")
		except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError) as e:
			assert self.starved and not isinstance(e, requests.exceptions.Timeout), f"{method} {path}: {e}"
			self.dropped += 1 # the library had no memory for an answer
			raise Refused from None
		if r.status_code != want:
			self._check_refusal(r, f"{method} {path}")
			self.refused += 1
			raise Refused
		return r

	def _check_refusal(self, r, what):
		assert self.starved, f"{what}: {r.status_code} {r.text}"
		assert r.status_code in (500, 503), f"{what}: {r.status_code} {r.text}"
		kind = r.headers.get("Content-Type", "")
		if kind.startswith("application/problem+json") and r.content: # none after a HEAD
			assert r.json()["code"] in SHORT_OF_MEMORY, f"{what}: {r.text}"

	def store(self, body, query="", **more):
		more.setdefault("headers", RAW)
		r = self.call("POST", "/v1/files" + query, 201, data=body, **more)
		f = r.json()
		return f

	def keep(self, f, body):
		self.files[f["id"]] = body
		for j in f["jobs"]:
			self.jobs[j["id"]] = "succeeded"
		return f

	def final(self, job):
		"""The job's end; while memory is short it may take more than we wait."""
		j = self.call("GET", f"/v1/jobs/{job}?wait={1 if self.starved else 60}", 200).json()
		if j["state"] in ("queued", "running"):
			assert self.starved or self.server.get(f"/v1/jobs/{job}?wait=60").json()["state"] == self.jobs[job]
			raise Refused
		assert j["state"] == self.jobs[job], j
		return j

	def check(self):
		"""With all memory there: what was acknowledged holds."""
		for i, body in self.files.items():
			r = self.server.get(f"/v1/files/{i}")
			if i in self.gone:
				assert r.status_code == 410, r.text
				continue
			assert r.status_code == 200 and r.json()["size"] == len(body), r.text
			assert self.server.get(f"/v1/files/{i}/content").content == body
		for i, want in self.jobs.items():
			r = self.server.get(f"/v1/jobs/{i}?wait=60")
			assert r.status_code == 410 or r.json()["state"] == want, r.text
		for tag in self.forms:
			found = [f["name"] for f in self.server.get(f"/v1/files?name={tag}").json()["files"]]
			assert len(found) in (0, 3), f"a form of three files is there in part: {found}"
		self.files, self.gone, self.jobs, self.forms = {}, set(), {}, []


# ---- scenarios ----

def small(c):
	f = c.keep(c.store(SMALL, "?name=a.bin&ops=md5,sha512"), SMALL)
	assert f["jobs"][0]["result"]["md5"] == md5(SMALL)


def large(c):
	c.keep(c.store(LARGE, "?name=b.bin&labels=project:alpha"), LARGE)


def multipart(c):
	body = form(field_part(b"labels", b"a:b,c:d"), field_part(b"ops", b"md5,crc32c"), file_part(LARGE, filename="filename=\"währung.bin\"".encode()))
	c.keep(c.store(body, headers={"Content-Type": "multipart/form-data; boundary=AaB"}), LARGE)


def chain(c):
	body = LARGE + uuid.uuid4().bytes
	f = c.keep(c.store(body, "?ops=gzip,zip;after=gzip,sha256;after=zip"), body)
	c.final(f["jobs"][2]["id"])


def sealed(c):
	body = PICTURE + uuid.uuid4().bytes
	f = c.keep(c.store(body, "?ops=resize;width=20;format=png&wait=5"), body)
	j = c.final(f["jobs"][0]["id"])
	assert len(c.call("GET", j["outputs"][0]["href"], 200).content) == j["outputs"][0]["size"]


def pipeline(c):
	body = SMALL + uuid.uuid4().bytes
	f = c.keep(c.store(body, "?pipeline=parcel&wait=5"), body)
	c.final(f["jobs"][2]["id"])


def repeated(c):
	"""An Idempotency-Key: a second request is answered with the first one's file, also when the first one's answer was lost."""
	key = {**RAW, "Idempotency-Key": uuid.uuid4().hex}
	first = None
	for _ in range(2):
		try:
			f = c.keep(c.store(LARGE, "?name=once.bin", headers=key), LARGE)
			assert first in (None, f["id"])
			first = f["id"]
		except Refused:
			pass
	if first is None:
		raise Refused


def queued(c):
	body = SMALL + uuid.uuid4().bytes
	f = c.keep(c.store(body), body)
	r = c.call("POST", f"/v1/files/{f['id']}/jobs", 202, json={"op": "sha1"})
	c.jobs[r.json()["id"]] = "succeeded"
	r = c.call("POST", "/v1/jobs", 202, json={"jobs": [{"file": f["id"], "op": op} for op in ("sha512", "crc32c", "gzip")]})
	for j in r.json()["jobs"]:
		c.jobs[j["id"]] = "succeeded"
	c.final(r.json()["jobs"][2]["id"])


def cancelled(c):
	f = c.keep(c.store(SMALL), SMALL)
	j = c.call("POST", f"/v1/files/{f['id']}/jobs", 202, json={"op": "sha1", "run_at": "2099-01-01T00:00:00.000Z"}).json()
	c.call("POST", f"/v1/jobs/{j['id']}/cancel", 200)
	c.jobs[j["id"]] = "cancelled"
	c.final(j["id"])


def tried_again(c):
	"""A job that fails, for what it was to resize is no image, and is then tried again by hand."""
	body = b"no image" + uuid.uuid4().bytes
	f = c.store(body, "?ops=resize;width=20")
	c.files[f["id"]] = body
	c.jobs[f["jobs"][0]["id"]] = "failed"
	c.final(f["jobs"][0]["id"])
	c.call("POST", f"/v1/jobs/{f['jobs'][0]['id']}/retry", 202)
	c.final(f["jobs"][0]["id"])


def deleted(c):
	f = c.keep(c.store(LARGE), LARGE)
	try:
		c.call("DELETE", f"/v1/files/{f['id']}", 204)
		c.gone.add(f["id"])
	except Refused:
		c.files.pop(f["id"]) # whether it held is not known when the answer was lost
		raise


def changed(c):
	f = c.keep(c.store(SMALL), SMALL)
	r = c.call("PATCH", f"/v1/files/{f['id']}", 200, json={"name": "other.bin", "labels": {"a": "b"}, "expires_at": "2099-01-01T00:00:00.000Z"})
	assert r.json()["name"] == "other.bin"
	assert c.call("GET", f"/v1/files/{f['id']}", 200).json()["labels"] == {"a": "b"}


def read(c):
	f = c.keep(c.store(LARGE), LARGE)
	assert c.call("GET", f"/v1/files/{f['id']}/content", 200).content == LARGE
	assert c.call("GET", f"/v1/files/{f['id']}/content", 206, headers={"Range": "bytes=5-9"}).content == LARGE[5:10]
	c.call("GET", f"/v1/files/{f['id']}/content", 200, headers={"Range": "bytes=0-1,5-6,-3"})
	c.call("HEAD", f"/v1/files/{f['id']}/content", 200)


def listed(c):
	c.call("GET", "/v1/files?limit=50", 200)
	c.call("GET", "/v1/files?label=project:alpha&name=b&limit=5", 200)
	page = c.call("GET", "/v1/jobs?state=succeeded&op=md5&limit=5", 200).json()
	if page["next"]:
		c.call("GET", f"/v1/jobs?state=succeeded&op=md5&limit=5&cursor={page['next']}", 200)


def told(c):
	"""The event stream, followed while a file comes."""
	with requests.Session() as s:
		s.trust_env = False
		try:
			r = s.get(c.server.base + "/v1/events", stream=True, timeout=10)
			if r.status_code != 200:
				c._check_refusal(r, "GET /v1/events")
				raise Refused
			small(c)
			if not c.starved:
				assert any(line.startswith(b"event: file.") for line in itertools.islice(r.iter_lines(), 20))
		except requests.RequestException as e:
			assert c.starved, e
			raise Refused from None


def looked_at(c):
	for path in ("/healthz", "/readyz", "/metrics", "/v1/stats", "/v1/ops", "/openapi.json", "/docs", "/"):
		c.call("GET", path, 200)


def on_surfaces(c):
	n = c.call("POST", "/uploadfile/", 200, files={"file": ("a.bin", SMALL)}).json()
	if not n["success"]: # this one says what went wrong with a 200
		assert c.starved, n
		raise Refused
	assert c.call("GET", f"/gethash/{n['id']}", 200).json()["status"] in ("PENDING", "SUCCESS")
	t = c.call("POST", "/hashes/", 200, files={"file": ("a.bin", SMALL)}).json()
	assert c.call("GET", f"/hashes/{t['task_id']}", 200).json()["status"] in ("PENDING", "SUCCESS")
	i = c.call("POST", "/uploadFile", 200, files={"file": ("a.png", PICTURE)}).json()
	assert c.call("GET", f"/queryFileStatus/{i['file_id']}", 200).json()["file_id"] == i["file_id"]


def together(c):
	"""Several files in one form, all or none."""
	tag, bodies = uuid.uuid4().hex, (SMALL, LARGE, b"")
	c.forms.append(tag)
	stored = c.call("POST", "/upload_files", 201, files=[(f"part{i}", (f"{tag}-{i}.bin", body)) for i, body in enumerate(bodies)]).json()
	c.files.update({f["id"]: body for f, body in zip(stored, bodies, strict=True)})
	c.call("PATCH", f"/files/{stored[0]['id']}", 200, json={"name": f"{tag}-renamed.bin"})
	assert len(c.call("GET", "/files?limit=3", 200).json()["files"]) == 3


def by_address(c):
	"""A file that is sent to a signed address."""
	url = c.call("POST", "/upload_urls", 201, json={"name": "sent.bin", "size": len(SMALL), "type": RAW["Content-Type"]}).json()
	c.call("PUT", url["url"].removeprefix(c.server.base), 201, data=SMALL, headers=url["headers"])
	c.files[c.call("POST", f"/upload_urls/{url['id']}/complete", 200).json()["id"]] = SMALL


SCENARIOS = (small, large, multipart, chain, sealed, pipeline, repeated, queued, cancelled, tried_again, deleted, changed, read, listed, told, looked_at, on_surfaces,
	together, by_address)


def points(total, name):
	"""Numbers of calls to fail. Somewhat beyond the total, for threads of the server's own allocate as they please."""
	if ALL:
		return range(1, total + 1)
	return sorted(random.Random(f"{SEED} {name}").sample(range(1, total + 1), min(POINTS, total)))


@pytest.fixture(scope="module")
def starving(module_folder, shim):
	allocations = Allocations(module_folder, shim)
	settings = {"pipelines": json.dumps(PIPELINES), "jobs.beat": "100ms", "jobs.lease": "2s", "jobs.reclaim": "100ms", "log.level": "error"}
	with Server(module_folder / "s", surfaces=["all"], settings=settings, env=allocations.env) as s:
		yield s, allocations
		assert s.running()
	data = run("fsck", "--read", "--json", "--data", s.data)
	assert data.returncode == 0, data.stdout[-2000:] + data.stderr[-2000:]


@pytest.mark.parametrize("sticky", [False, True], ids=["once", "for good"])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.__name__)
def test_each_allocation_fails_in_turn(starving, scenario, sticky):
	server, allocations = starving
	c = Client(server)
	assert c.play(scenario) and c.play(scenario)
	# What the server does by itself meanwhile adds to a count: of moments behind the last one of the scenario's own none would fail.
	total = min(allocations.count(lambda: c.play(scenario)) for _ in range(3))
	c.check()
	fds = server.fds()
	struck, failures = 0, []
	for n in points(total, scenario.__name__):
		allocations.arm(n, sticky)
		c.starved = True
		try:
			c.play(scenario)
			struck += allocations.disarm() > 0
			c.starved = False
			assert server.running(), "the server died"
			assert c.play(scenario)
			if ALL:
				c.check()
		except (AssertionError, requests.RequestException) as e:
			allocations.disarm()
			c.starved = False
			stack = " < ".join(allocations.who(server.pid)) if server.running() else "the server is gone"
			failures.append(f"allocation {n} of {total}: {str(e)[:700]}\nasked for by {stack}\n{server.log()[-500:]}")
			if len(failures) == 5 or not server.running():
				break
	assert not failures, "\n\n".join(failures)
	assert struck, "no allocation failed"
	c.check()
	eventually(lambda: server.fds() <= fds + 3, message="descriptors stay open")
	print(f"{scenario.__name__} {'for good' if sticky else 'once'}: {total} allocations, {struck} struck, {c.refused} refused, {c.dropped} without an answer")
