"""How much one caller may ask. The tests come from a loopback address, which is exempt unless the setting says otherwise: through a proxy that is trusted they have any address they like."""
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from harness import people
from harness.server import Server, StartFailed, eventually, run
from harness.signing import Key, Signing
from harness.source import Source, head
from harness.wire import Wire, post_raw

PROXY = {"http.trusted_proxies": "127.0.0.1"}
HOUR = "5/1h" # so slow that nothing comes back while a test runs


def ask(server, address, path="/healthz"):
	return server.get(path, headers={"X-Forwarded-For": address})


def statuses(server, address, n):
	return [ask(server, address).status_code for _ in range(n)]


def test_an_address_gets_its_quota_and_the_next_is_told_when_to_come_again(make_server):
	server = make_server(settings={**PROXY, "limits.address": HOUR})
	for left in range(4, -1, -1):
		r = ask(server, "203.0.113.9")
		assert r.status_code == 200
		assert r.headers["RateLimit-Policy"] == '"address";q=5;w=3600'
		assert r.headers["RateLimit"].startswith(f'"address";r={left};t=')
	r = ask(server, "203.0.113.9", "/v1/files")
	assert (r.status_code, r.json()["code"], r.json()["limit"]) == (429, "rate_limited", 5)
	assert 700 < int(r.headers["Retry-After"]) <= 720
	assert r.headers["RateLimit"].startswith('"address";r=0;t=')
	assert ask(server, "203.0.113.10").status_code == 200
	assert 'filemill_http_refused_total{code="rate_limited"} 1\n' in server.get("/metrics").text


def test_what_is_refused_stores_nothing_and_its_body_is_never_asked_for(make_server):
	server = make_server(settings={**PROXY, "limits.address": "1/1h"})
	assert ask(server, "203.0.113.9").status_code == 200
	with Wire(server) as w:
		w.send(b"POST /v1/files?name=a HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 203.0.113.9\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
		assert w.read().status_code == 429
	assert server.all_files() == []


def test_the_log_is_told_of_a_proxy_that_is_not_trusted_and_not_each_time(make_server):
	told = lambda server: [(e["level"], e["peer"], e["field"]) for e in server.log_events() if e["event"] == "forwarded_not_trusted"]
	server = make_server()
	assert server.get("/healthz").status_code == 200 and told(server) == []
	for field, value in (("Forwarded", "for=203.0.113.9"), ("X-Forwarded-For", "203.0.113.9"), ("X-Forwarded-For", "nonsense")):
		assert server.get("/healthz", headers={field: value}).status_code == 200
	assert told(server) == [("warn", "127.0.0.1", "Forwarded")]
	trusting = make_server(settings=PROXY)
	assert ask(trusting, "203.0.113.9").status_code == 200 and told(trusting) == []
	elsewhere = make_server(settings={"http.trusted_proxies": "192.0.2.0/24"})
	assert ask(elsewhere, "203.0.113.9").status_code == 200 and told(elsewhere) == [("warn", "127.0.0.1", "X-Forwarded-For")]


def test_ipv6_counts_by_its_64(make_server):
	server = make_server(settings={**PROXY, "limits.address": HOUR})
	assert statuses(server, "2001:db8:0:7::1", 3) + statuses(server, "2001:db8:0:7:ffff::2", 3) == [200] * 5 + [429]
	assert statuses(server, "2001:db8:0:8::1", 1) == [200]


def test_a_stranger_is_not_who_he_says_he_is(make_server):
	server = make_server(settings={"limits.exempt": "", "limits.address": HOUR})
	fields = ["X-Forwarded-For", "Forwarded", "X-Real-IP", "X-Client-IP", "True-Client-IP", "CF-Connecting-IP"]
	got = [server.get("/healthz", headers={f: "for=203.0.113.9" if f == "Forwarded" else "203.0.113.9"}).status_code for f in fields]
	assert got == [200] * 5 + [429]


def test_nothing_is_limited_from_an_address_that_is_exempt(make_server):
	server = make_server(settings={**PROXY, "limits.address": "1/1h", "limits.uploads_per_address": 1, "limits.exempt": "127.0.0.0/8,198.51.100.0/24"})
	for address in ("198.51.100.7", "127.0.0.1"):
		replies = [ask(server, address) for _ in range(5)]
		assert [r.status_code for r in replies] == [200] * 5 and "RateLimit" not in replies[0].headers
	assert statuses(server, "198.51.101.7", 2) == [200, 429]
	# whom the proxy does not name has not its exemption
	assert statuses(server, "unknown", 2) == [200, 429]


def test_without_settings_loopback_is_not_limited(server):
	r = server.get("/healthz")
	assert r.status_code == 200 and "RateLimit" not in r.headers


def test_curl_comes_again_when_it_was_told_to(make_server, folder):
	"""One a second: each but the first is refused once and told to wait."""
	server = make_server(settings={"limits.exempt": "", "limits.address": "1/1s"})
	for _ in range(3):
		got = subprocess.run(["curl", "-sS", "--retry", "20", "-o", folder / "answer", "-w", "%{http_code}", server.base + "/healthz"], capture_output=True, text=True, timeout=60)
		assert got.stdout == "200", got


def begin(server, address, *more):
	"""An upload that goes on until the wire is closed."""
	w = Wire(server)
	w.send(post_raw(b"x" * 10, headers=[f"X-Forwarded-For: {address}", *more])[:-9])
	return w


def uploads_open(server):
	return int(next(line for line in server.get("/metrics").text.splitlines() if line.startswith("filemill_uploads_open ")).split()[1])


def test_an_address_has_so_many_uploads_at_once(make_server):
	server = make_server(settings={**PROXY, "limits.uploads_per_address": 2})
	url, headers = server.base + "/v1/files?name=a.bin", {"X-Forwarded-For": "203.0.113.9", "Content-Type": "application/octet-stream"}
	open_ones = [begin(server, "203.0.113.9") for _ in range(2)]
	eventually(lambda: uploads_open(server) == 2)
	r = requests.post(url, data=b"third", headers=headers, timeout=60)
	assert (r.status_code, r.json()["code"], r.json()["limit"]) == (429, "rate_limited", 2) and int(r.headers["Retry-After"]) >= 1
	assert requests.post(url, data=b"other", headers={**headers, "X-Forwarded-For": "203.0.113.10"}, timeout=60).status_code == 201
	open_ones.pop().close()
	eventually(lambda: requests.post(url, data=b"third", headers=headers, timeout=60).status_code == 201)
	# those that ended well are not counted any more either
	for i in range(5):
		assert requests.post(url, data=b"%d" % i, headers=headers, timeout=60).status_code == 201
	open_ones.pop().close()


# ---- people ----

@pytest.fixture(scope="module")
def crowd(module_folder):
	"""An administrator who makes people, for each test its own: what they do from an address that is not loopback's is limited."""
	server = Server(module_folder / "crowd", settings={**PROXY, "limits.account": HOUR, "limits.key": "3/1h", "limits.uploads_per_account": 2})
	people.first_admin(server)
	with server:
		yield people.sign_in(server, people.ADMIN)


def me(person, address="203.0.113.9"):
	return person.get("/v1/users/me", headers={"X-Forwarded-For": address})


def test_an_account_has_one_quota_whatever_it_shows_and_wherever_it_comes_from(crowd):
	ann, bob = people.add_user(crowd), people.add_user(crowd)
	key = ann.key(["files:read"])
	askers = [ann, people.sign_in(crowd.server, ann.email), key, ann, key]
	for i, person in enumerate(askers):
		r = me(person, f"203.0.113.{i}")
		policies, stands = r.headers["RateLimit-Policy"].split(", "), r.headers["RateLimit"].split(", ")
		assert r.status_code == 200 and policies[1] == '"account";q=5;w=3600' and stands[1].startswith(f'"account";r={4 - i};t='), r.headers
	for person in (ann, key):
		r = me(person, "203.0.113.77")
		assert (r.status_code, r.json()["code"], r.json()["limit"]) == (429, "rate_limited", 5) and 700 < int(r.headers["Retry-After"]) <= 720
	assert me(bob).status_code == 200, "another account has its own"
	assert ann.get("/v1/users/me").status_code == 200, "and loopback none"


def test_a_key_has_a_quota_of_its_own_shown_or_signed_with(crowd):
	ann = people.add_user(crowd)
	first, second = ann.key(["files:read"]), ann.key(["files:read"])
	signing = Signing(Key(first.made["id"], first.made["signing_secret"]))
	signed = lambda: crowd.server.get("/v1/users/me", headers={"X-Forwarded-For": "203.0.113.9"}, auth=signing)
	for left, r in ((2, me(first)), (1, signed()), (0, me(first))):
		assert r.status_code == 200 and f'"key";r={left};t=' in r.headers["RateLimit"] and '"key";q=3;w=3600' in r.headers["RateLimit-Policy"], r.headers
	r = me(first)
	assert (r.status_code, r.json()["limit"]) == (429, 3) and r.json()["detail"].endswith("limit of key allows")
	assert me(second).status_code == 200, "the fifth of the account, the first of this key"


def test_what_is_not_let_in_by_its_credentials_counts_for_nobody_else(crowd):
	"""Whoever knows an account's name cannot use its quota up."""
	ann = people.add_user(crowd)
	wrong = people.Person(crowd.server, ann.token[:-1] + ("A" if ann.token[-1] != "A" else "Q"))
	assert [me(wrong).status_code for _ in range(7)] == [401] * 7
	assert me(ann).status_code == 200


def test_an_account_has_so_many_uploads_at_once(crowd):
	"""From whichever addresses, by whichever credentials."""
	server, ann, bob = crowd.server, people.add_user(crowd), people.add_user(crowd)
	key = ann.key(["files:write"])
	open_ones = [begin(server, f"203.0.113.{i}", f"Authorization: Bearer {who.token}") for i, who in enumerate((ann, key))]
	eventually(lambda: "filemill_uploads_open 2\n" in crowd.get("/metrics").text)
	store = lambda who, body: post_file(server, body, **{"X-Forwarded-For": "203.0.113.9", "Authorization": f"Bearer {who.token}"})
	r = store(ann, b"third")
	assert (r.status_code, r.json()["code"], r.json()["limit"]) == (429, "rate_limited", 2) and int(r.headers["Retry-After"]) >= 1
	assert store(bob, b"third").status_code == 201
	for w in open_ones:
		w.close()
	eventually(lambda: "filemill_uploads_open 0\n" in crowd.get("/metrics").text)
	assert store(ann, b"third").status_code == 201


@pytest.mark.parametrize("setting,value", [
	("limits.address", "60"), ("limits.address", "0/1m"), ("limits.account", "10/0s"), ("limits.key", "10/2d"), ("limits.key", "x/1m"), ("limits.address", ""),
	("limits.exempt", "127.0.0.1/8"), ("limits.exempt", "localhost"), ("http.trusted_proxies", "10.0.0.0/33"), ("http.hosts", "example.org:80"), ("http.hosts", "*.example.org"),
	("cors.origins", "https://app.example.org/"), ("cors.origins", "app.example.org"), ("cors.origins", "*,https://app.example.org"), ("cors.origins", "https://App.example.org"),
	("http.forwarded", "x-real-ip"),
])
def test_a_setting_that_means_nothing_is_told(make_server, setting, value):
	server = make_server(start=False, settings={setting: value})
	with pytest.raises(StartFailed) as failure:
		server.start()
	assert failure.value.code == 78 and setting.replace(".", "_") in failure.value.stderr.replace(".", "_").lower()


def test_a_limit_that_is_off_says_nothing(make_server):
	server = make_server(settings={**PROXY, "limits.address": "off"})
	replies = [ask(server, "203.0.113.9") for _ in range(20)]
	assert {r.status_code for r in replies} == {200} and "RateLimit-Policy" not in replies[0].headers


def post_file(server, body, query="name=a.bin", **headers):
	return requests.post(f"{server.base}/v1/files?{query}", data=body, headers={"Content-Type": "application/octet-stream", **headers}, timeout=60)


def test_of_uploads_at_once_exactly_as_many_are_taken_as_the_quota_has_room_for(make_server):
	server = make_server(settings={"quotas.bytes": "1KiB"})
	with ThreadPoolExecutor(16) as pool:
		got = [r.status_code for r in pool.map(lambda i: post_file(server, b"%03d" % i + b"x" * 97), range(40))]
	assert sorted(got) == [201] * 10 + [403] * 30
	r = post_file(server, b"x" * 25)
	assert (r.status_code, r.json()["code"], r.json()["limit"]) == (403, "quota_exceeded", 1024)
	assert post_file(server, b"x" * 24).status_code == 201
	server.restart()
	assert post_file(server, b"x").status_code == 403
	assert server.delete("/v1/files/" + server.all_files()[0]["id"]).status_code == 204
	assert post_file(server, b"x" * 24).status_code == 201
	server.stop()
	assert run("fsck", "--data", server.data).returncode == 0


def test_who_has_no_room_is_told_before_the_body(make_server):
	server = make_server(settings={"quotas.files": 1})
	first = post_file(server, b"first", **{"Idempotency-Key": "k"})
	assert first.status_code == 201
	with Wire(server) as w:
		w.send(b"POST /v1/files?name=a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
		r = w.read()
		assert r.status_code == 403 and r.json()["code"] == "quota_exceeded"
	again = post_file(server, b"first", **{"Idempotency-Key": "k"})
	assert (again.status_code, again.json()["id"]) == (201, first.json()["id"])


# ---- an account's own quotas ----

@pytest.fixture
def with_quotas(make_server):
	"""The administrator of a server where two files and two waiting jobs of each owner are enough."""
	server = make_server(start=False, settings={"quotas.files": 2, "jobs.owner_queue_max": 2})
	people.first_admin(server)
	return people.sign_in(server.start(), people.ADMIN)


def give(admin, person, quotas):
	return admin.request("PATCH", f"/v1/admin/users/{person.id}", json={"quotas": quotas})


def store(person, n=0):
	return person.post(f"/v1/files?name=a{n}&ops=", data=b"file %d" % n, headers={"Content-Type": "application/octet-stream"})


def later(person, file, n):
	return person.post(f"/v1/files/{file}/jobs", json={"op": "gzip", "params": {"level": n % 9 + 1}, "run_at": "2099-01-01T00:00:00.000Z"})


def test_an_accounts_own_quotas_hold_for_it_alone_and_over_a_restart(with_quotas):
	admin, server = with_quotas, with_quotas.server
	ann, bob = people.add_user(admin), people.add_user(admin)
	r = give(admin, ann, {"files": 3, "bytes": 17, "jobs": 0})
	assert r.status_code == 200 and r.json()["quotas"] == {"files": 3, "bytes": 17, "jobs": 0}
	assert ann.get("/v1/users/me").json()["usage"] == {"files": 0, "bytes": 0, "files_max": 3, "bytes_max": 17, "jobs_max": None}
	assert bob.get("/v1/users/me").json()["quotas"] == {"files": None, "bytes": None, "jobs": None}
	assert [store(ann, n).status_code for n in range(3)] == [201, 201, 403] # of 6 bytes each
	assert [store(bob, n).status_code for n in range(3)] == [201, 201, 403]
	assert give(admin, ann, {"bytes": None}).json()["quotas"] == {"files": 3, "bytes": None, "jobs": 0}
	assert store(ann, 3).status_code == 201
	r = store(ann, 4)
	assert (r.status_code, r.json()["code"], r.json()["limit"]) == (403, "quota_exceeded", 3)
	server.restart()
	assert (store(ann, 5).status_code, store(ann, 5).json()["limit"]) == (403, 3)
	assert give(admin, ann, {"files": 0}).json()["quotas"]["files"] == 0
	assert store(ann, 6).status_code == 201


def test_of_jobs_at_once_exactly_as_many_wait_as_the_accounts_own_quota_says(with_quotas):
	admin = with_quotas
	ann, bob = people.add_user(admin), people.add_user(admin)
	assert give(admin, ann, {"jobs": 5}).status_code == 200
	for person, room in ((ann, 5), (bob, 2)):
		file = store(person).json()["id"]
		with ThreadPoolExecutor(9) as pool:
			got = list(pool.map(lambda n: later(person, file, n), range(9)))
		assert sorted(r.status_code for r in got) == [202] * room + [429] * (9 - room)
		refused = [r for r in got if r.status_code == 429]
		assert {(r.json()["code"], r.json()["limit"]) for r in refused} == {("queue_full", room)} and all("Retry-After" in r.headers for r in refused)


def test_a_quota_that_means_nothing_is_told(with_quotas):
	ann = people.add_user(with_quotas)
	for quotas, field in (({"files": -1}, "quotas/files"), ({"bytes": 2**53 + 1}, "quotas/bytes"), ({"jobs": "many"}, "quotas/jobs"), ({"jobs": 1.5}, "quotas/jobs"),
			      ({"things": 1}, "quotas/things"), (7, "quotas"), (None, "quotas")):
		r = give(with_quotas, ann, quotas)
		assert r.status_code in (400, 422) and r.json()["field"] == field, r.text
	assert with_quotas.get(f"/v1/admin/users/{ann.id}").json()["quotas"] == {"files": None, "bytes": None, "jobs": None}


def test_quotas_are_given_by_the_command_too_and_by_nobody_else(with_quotas):
	admin, server = with_quotas, with_quotas.server
	ann = people.add_user(admin)
	for person in (ann, people.add_user(admin, role="operator"), admin.key(["files:read", "files:write", "jobs:read", "jobs:write"])):
		assert give(person, ann, {"files": 9}).status_code == 403
	assert give(admin.key(["admin"]), ann, {"files": 1, "jobs": 9}).status_code == 200
	server.stop()
	for words, code in ((["files=5,bytes=1KiB,jobs=default"], 0), (["files=0"], 2), (["bytes=many"], 2), (["things=1"], 2), (["files"], 2), ([""], 2), ([], 2)):
		r = run("admin", "user", "quota", ann.email, *words, "--data", server.data)
		assert (r.returncode == 0) == (code == 0), (words, r.returncode, r.stderr)
	server.start()
	assert admin.get(f"/v1/admin/users/{ann.id}").json()["quotas"] == {"files": 5, "bytes": 1024, "jobs": None}


def imported(person, url, **more):
	r = person.post("/v1/imports?wait=60", json={"url": url, "max_attempts": 1, **more})
	assert r.status_code == 202, r.text
	return r.json()


def test_an_imports_bytes_count_when_they_have_come_and_one_too_many_is_not_kept(make_server):
	"""Whether its source tells how much it is or not. The file itself counts from the beginning."""
	source = Source()
	server = make_server(start=False, settings={"net.http": "true", "net.allow": "127.0.0.0/8", "quotas.bytes": "1KiB", "quotas.files": 3})
	people.first_admin(server)
	ann = people.sign_in(server.start(), people.ADMIN)
	usage = lambda: ann.get("/v1/users/me").json()["usage"]
	assert usage() == {"files": 0, "bytes": 0, "files_max": 3, "bytes_max": 1024, "jobs_max": None}
	source.gives("/most", b"m" * 1000)
	source.answers["/25"] = lambda c, r: (c.sendall(head(25)), source.held.wait(60), c.sendall(b"x" * 25))
	source.answers["/25/untold"] = lambda c, r: c.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"y" * 25)
	assert imported(ann, source.url("/most"))["state"] == "succeeded"
	assert usage() == {"files": 1, "bytes": 1000, "files_max": 3, "bytes_max": 1024, "jobs_max": None}
	late = [imported(ann, source.url(path)) for path in ("/25", "/25/untold")]
	assert [(j["state"], j["error"]["code"]) for j in late] == [("failed", "quota_exceeded")] * 2
	assert (usage()["files"], usage()["bytes"]) == (3, 1000)
	eventually(lambda: len(server.blobs()) <= 1, message="what was not kept is still there")
	r = ann.post("/v1/imports", json={"url": source.url("/most")})
	assert (r.status_code, r.json()["code"], r.json()["limit"]) == (403, "quota_exceeded", 3)
	big = next(f for f in ann.get("/v1/files").json()["files"] if f["size"])
	assert ann.delete("/v1/files/" + big["id"]).status_code == 204
	source.held.set() # nobody had waited for the bytes that were announced
	for job in late:
		assert ann.post(f"/v1/jobs/{job['id']}/retry").status_code == 202
	eventually(lambda: usage() == {"files": 2, "bytes": 50, "files_max": 3, "bytes_max": 1024, "jobs_max": None})
	source.close()


def test_pings_have_a_limit_of_their_own(make_server):
	server = make_server(settings={"limits.pings": "2/1h"})
	hook = server.post("/v1/webhooks", json={"url": "https://hooks.invalid/"}).json()
	got = [server.post(f"/v1/webhooks/{hook['id']}/ping") for _ in range(3)]
	assert [r.status_code for r in got] == [202, 202, 429] and int(got[2].headers["Retry-After"]) > 1000, [r.text for r in got]
	assert len(server.get(f"/v1/webhooks/{hook['id']}/deliveries").json()["deliveries"]) == 2
