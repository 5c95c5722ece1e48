"""Webhooks from end to end: what jobs' ends send, to a receiver that verifies it with the reference library."""
import base64
import hashlib
import hmac
import itertools
import json
import os
import random
import re
import threading
from datetime import datetime, timezone

import pytest
import requests

from harness.receiver import Receiver
from harness.server import eventually, problem

HERE = {"net.http": "true", "net.allow": "127.0.0.0/8"}
KILLS = max(2, int(os.environ.get("FILEMILL_KILL_ROUNDS", "200")) // 40)
QUICK = {**HERE, "webhooks.retry": "0s,20ms,40ms,40ms"}


@pytest.fixture(scope="module")
def receiver():
	r = Receiver()
	yield r
	r.stop()


def test_a_jobs_end_is_told_signed_and_once(make_server, receiver):
	s = make_server(settings=HERE)
	hook = receiver.hook(s, description="mine")
	f = s.upload(b"bytes", name="a.txt")
	x = hook.wait(1)[0]
	assert x["id"] == hook.wait_state("delivered")[0]["id"]
	body = json.loads(x["body"])
	job = s.get(f"/v1/jobs/{f['jobs'][0]['id']}").json()
	assert body == {"type": "job.succeeded", "timestamp": job["finished_at"], "data": job}
	assert abs(x["timestamp"] * 1000 - x["at"]) < 60_000
	assert x["headers"]["user-agent"].startswith("filemill/")
	assert len(x["signatures"]) == 1 and x["signatures"][0].startswith("v1,")
	shown = hook.shown()
	assert shown["waiting"] == 0 and shown["failing_since"] is None and shown["enabled"] is True
	d = s.get(f"{hook.path}/deliveries/{x['id']}").json()
	assert d["state"] == "delivered" and d["payload"] == body and d["event"] == "job.succeeded"
	assert [(a["status"], a["error"]) for a in d["attempts"]] == [(200, None)]
	assert len(hook.arrived()) == 1


def test_the_signature_is_that_of_the_specification(make_server, receiver):
	s = make_server(settings=HERE)
	hook = receiver.hook(s)
	s.upload(b"bytes")
	x = hook.wait(1)[0]
	key = base64.b64decode(hook.made["secret"].removeprefix("whsec_"), validate=True)
	assert 24 <= len(key) <= 64
	mac = hmac.new(key, f"{x['id']}.{x['timestamp']}.{x['body']}".encode(), hashlib.sha256)
	assert x["signatures"] == ["v1," + base64.b64encode(mac.digest()).decode()]


def test_every_way_a_job_ends_is_told(make_server, receiver):
	s = make_server(settings={**HERE, "files.default_ops": "md5"})
	hook = receiver.hook(s)
	f = s.upload(b"no image", query="ops=resize;width=8;format=png,gzip&wait=60")
	s.post(f"/v1/files/{f['id']}/jobs", json={"op": "zip", "run_at": "2099-01-01T00:00:00Z"})
	assert s.delete(f"/v1/files/{f['id']}").status_code == 204
	told = sorted(json.loads(x["body"])["type"] for x in hook.wait(3))
	assert told == ["job.cancelled", "job.failed", "job.succeeded"]


def test_only_wanted_events_of_wanted_ops_are_told(make_server, receiver):
	s = make_server(settings=HERE)
	failed = receiver.hook(s, events=["job.failed"])
	zipped = receiver.hook(s, ops=["zip"])
	s.upload(b"no image", query="ops=md5,zip,resize;width=8;format=png&wait=60")
	assert json.loads(failed.wait(1)[0]["body"])["data"]["op"] == "resize"
	assert json.loads(zipped.wait(1)[0]["body"])["data"]["op"] == "zip"
	assert len(failed.deliveries()) == 1 and len(zipped.deliveries()) == 1


def test_a_rotated_secret_signs_beside_the_old_one_as_long_as_asked(make_server, receiver):
	s = make_server(settings=HERE)
	hook = receiver.hook(s)
	secrets = [hook.made["secret"]]
	for n, overlap in enumerate([{"overlap_seconds": 600}, None, {"overlap_seconds": 0}]): # a day when nothing is said
		r = s.post(hook.path + "/rotate", json=overlap) if overlap else s.post(hook.path + "/rotate")
		assert r.status_code == 200 and r.headers["Cache-Control"] == "no-store"
		secrets.append(r.json()["secret"])
		assert len(set(secrets)) == n + 2
		until = r.json()["previous_secret_until"]
		assert until == hook.shown()["previous_secret_until"]
		if n < 2:
			assert 0 <= (600, 86400)[n] - (parse(until) - datetime.now(timezone.utc)).total_seconds() < 60
		hook.secrets(*secrets)
		s.upload(b"%d" % n)
		x = hook.wait(n + 1)[n]
		signing = 1 if overlap == {"overlap_seconds": 0} else 2
		assert x["verified"] == [False] * (n + 2 - signing) + [True] * signing and len(x["signatures"]) == signing
	assert hook.shown()["previous_secret_until"] is None


def forms_of(secret):
	"""A secret as it is shown, and its bytes as they may be written."""
	text = secret.removeprefix("whsec_")
	key = base64.b64decode(text)
	return [text.encode(), base64.urlsafe_b64encode(key).rstrip(b"="), key.hex().encode(), key.hex().upper().encode(), key]


def test_a_secret_is_shown_once(make_server, receiver):
	s = make_server(settings={**HERE, "log.level": "debug"})
	hook = receiver.hook(s)
	hook.plan(500)
	s.upload(b"x")
	hook.wait(1)
	rotated = s.post(hook.path + "/rotate").json()["secret"]
	s.post(hook.path + "/ping")
	s.patch(hook.path, json={"url": "http://127.0.0.1:25/"})
	answers = [s.get(path) for path in (hook.path, "/v1/webhooks", hook.path + "/deliveries", f"{hook.path}/deliveries/{hook.deliveries()[0]['id']}", "/metrics",
		"/v1/stats", hook.path + "/nothing")]
	answers += [s.patch(hook.path, json={"description": "other"}), s.post(hook.path + "/replay"), s.patch(hook.path, json={"secret": rotated})]
	eventually(lambda: any(b"webhook.rotated" in p.read_bytes() for p in s.data.glob("audit/*")))
	catalogue = [p for p in s.data.rglob("*") if p.name.startswith("catalog.db")]
	kept = b"".join(p.read_bytes() for p in catalogue)
	others = {p: p.read_bytes() for p in s.data.rglob("*") if p.is_file() and p not in catalogue}
	assert any(b"webhook.rotated" in text for text in others.values())
	for secret in (hook.made["secret"], rotated):
		assert any(form in kept for form in forms_of(secret)) # what is looked for is a form in which it is kept
		for form in forms_of(secret):
			assert not any(form in r.content for r in answers[:-1]), form # the last one was told it by us
			assert form not in s.log_bytes()
			assert not [p for p, text in others.items() if form in text]
	assert all(p.stat().st_mode & 0o077 == 0 for p in catalogue)


def test_memory_of_an_answered_request_is_left_alone(make_server):
	"""A sanitizer's to see: it holds up some of those who answer (src/http/park.c). Secrets were wiped behind the answer that showed them, in memory that was the next request's by then."""
	s = make_server(settings={"limits.pings": "off"})
	shown = set()
	for _ in range(50):
		r = s.post("/v1/webhooks", json={"url": "https://hooks.invalid/"})
		assert r.status_code == 201, r.text
		path = r.headers["Location"]
		shown |= {r.json()["secret"], s.post(path + "/rotate").json()["secret"]}
		assert s.post(path + "/ping").json()["event"] == "ping"
		assert s.delete(path).status_code == 204
	assert len(shown) == 100


def test_what_failed_is_tried_again_by_the_schedule_with_the_same_id(make_server, receiver):
	s = make_server(settings=QUICK)
	hook = receiver.hook(s, 500, 302, 404, 204)
	s.upload(b"x")
	x = hook.wait(4)
	assert len({(e["id"], e["body"]) for e in x}) == 1
	d = hook.wait_state("delivered")[0]
	assert [a["status"] for a in d["attempts"]] == [500, 302, 404, 204]
	assert [a["error"] for a in d["attempts"]] == ["the answer was 500", "the answer was 302", "the answer was 404", None]
	assert d["tries"] == 4 and len(hook.arrived()) == 4


def test_after_the_last_attempt_it_has_failed_and_can_be_replayed(make_server, receiver):
	s = make_server(settings=QUICK)
	hook = receiver.hook(s, 500)
	files = [s.upload(bytes([n])) for n in range(3)]
	failed = hook.wait_state("failed", 3)
	assert all(d["tries"] == 4 and d["next_attempt_at"] is None for d in failed)
	assert hook.shown()["failing_since"] and hook.shown()["waiting"] == 0
	hook.plan(200)
	r = s.post(f"{hook.path}/deliveries/{failed[0]['id']}/replay")
	assert r.status_code == 202 and r.json()["state"] in ("waiting", "delivered")
	assert hook.wait_state("delivered")[0]["id"] == failed[0]["id"]
	r = s.post(hook.path + "/replay", json={"since": failed[2]["created_at"]})
	assert (r.status_code, r.json()) == (202, {"replayed": 2, "more": False})
	assert {d["id"] for d in hook.wait_state("delivered", 3)} == {d["id"] for d in failed}
	assert len({x["id"] for x in hook.arrived()}) == len(files)
	assert s.post(hook.path + "/replay").json() == {"replayed": 0, "more": False}


def test_410_switches_the_webhook_off_until_it_is_switched_on(make_server, receiver):
	s = make_server(settings=QUICK)
	hook = receiver.hook(s, 410, 200)
	s.upload(b"one")
	eventually(lambda: not hook.shown()["enabled"])
	assert hook.shown()["disabled_reason"] == "gone"
	assert hook.wait_state("failed")[0]["attempts"][0]["status"] == 410
	s.upload(b"two") # tells nobody
	problem(s.post(hook.path + "/ping"), 409, "conflict")
	assert len(hook.deliveries()) == 1
	assert s.patch(hook.path, json={"enabled": True}).json()["enabled"] is True
	s.upload(b"three")
	hook.wait(2)
	hook.wait_state("delivered")


def test_a_webhook_that_fails_for_long_is_switched_off(make_server, receiver):
	s = make_server(settings={**QUICK, "webhooks.retry": "0s,300ms,300ms,300ms,300ms,300ms,300ms", "webhooks.give_up": "1s"})
	hook = receiver.hook(s, 503)
	s.upload(b"one")
	eventually(lambda: not hook.shown()["enabled"])
	assert hook.shown()["disabled_reason"] == "failing"
	eventually(lambda: "webhook_switched_off" in s.log())


def test_a_ping_is_an_event_of_its_own(make_server, receiver):
	s = make_server(settings=HERE)
	hook = receiver.hook(s, events=["job.failed"])
	r = s.post(hook.path + "/ping")
	assert r.status_code == 202 and r.json()["event"] == "ping"
	x = hook.wait(1)[0]
	body = json.loads(x["body"])
	assert body["type"] == "ping" and body["data"] == {"webhook": hook.id} and x["id"] == r.json()["id"]


def test_a_receiver_that_asks_for_time_gets_it(make_server, receiver):
	s = make_server(settings={**QUICK, "webhooks.retry": "0s,10ms,10ms"})
	hook = receiver.hook(s, {"status": 429, "headers": {"retry-after": "1000000000"}}, 200)
	s.upload(b"one")
	d = hook.wait_state("waiting")[0]
	eventually(lambda: hook.deliveries()[0]["tries"] == 1)
	d = hook.deliveries()[0]
	later = (parse(d["next_attempt_at"]) - parse(d["attempts"][0]["at"])).total_seconds()
	assert 86399 <= later <= 86500 # capped
	s.upload(b"two") # waits with it
	assert len(hook.arrived()) == 1


def parse(text):
	return datetime.fromisoformat(text.replace("Z", "+00:00"))


def test_a_dead_receiver_holds_no_other_up(make_server, receiver):
	s = make_server(settings={**QUICK, "webhooks.requests": "8", "webhooks.per_receiver": "2"})
	dead = receiver.hook(s, "hang")
	well = receiver.hook(s, 200)
	for n in range(20):
		s.upload(bytes([n]))
	well.wait(20)
	assert receiver.read(dead.name)["mostUnderWay"] <= 2
	assert receiver.read(well.name)["mostUnderWay"] <= 2
	assert dead.shown()["waiting"] == 20


def test_strange_answers_are_bounded_failures_or_successes(make_server, receiver):
	s = make_server(settings={**HERE, "webhooks.retry": "0s"})
	impatient = make_server(settings={**HERE, "webhooks.retry": "0s", "webhooks.timeout": "3s"}) # alone, for on a busy machine any receiver may take so long
	huge = receiver.hook(s, {"status": 200, "body_bytes": 50_000_000})
	silent = receiver.hook(impatient, "hang")
	gone = receiver.hook(s, "drop")
	for server in (s, impatient):
		server.upload(b"x")
	huge.wait_state("delivered")
	assert silent.wait_state("failed")[0]["attempts"][0]["error"].startswith("peer_timeout")
	a = gone.wait_state("failed")[0]["attempts"][0]
	assert a["status"] is None and a["error"].startswith(("connection_lost", "bad_answer")), a


def upload_until_it_dies(server, told):
	"""The ids of the jobs that were acknowledged, in `told`."""
	for n in itertools.count():
		try:
			told.append(server.upload(b"%d" % n)["jobs"][0]["id"])
		except (requests.RequestException, AssertionError):
			return


def test_nothing_is_lost_over_kills_and_every_delivery_keeps_its_id(make_server, receiver):
	s = make_server(settings={**QUICK, "webhooks.retry": "0s,20ms" + 18 * ",40ms"})
	hook = receiver.hook(s, *([500, 200] * 10 * KILLS))
	rng = random.Random(int(os.environ.get("FILEMILL_SEED", "25")))
	acknowledged = []
	for _ in range(KILLS):
		ends = len(acknowledged) + rng.randrange(1, 30)
		uploads = threading.Thread(target=upload_until_it_dies, args=[s, acknowledged])
		uploads.start()
		eventually(lambda: len(acknowledged) >= ends)
		s.kill()
		uploads.join()
		s.start()
	eventually(lambda: hook.shown()["waiting"] == 0, 60 + KILLS)
	deliveries, arrived, ids = hook.deliveries(), hook.arrived(), {}
	for x in arrived:
		ids.setdefault(json.loads(x["body"])["data"]["id"], set()).add(x["id"])
	assert set(acknowledged) <= set(ids)
	assert all(len(x) == 1 for x in ids.values())
	assert {d["state"] for d in deliveries} == {"delivered"}
	assert {d["id"] for d in deliveries} == {x["id"] for x in arrived}
	print(f"{KILLS} kills, {len(acknowledged)} ends acknowledged, {len(deliveries)} deliveries, {len(arrived)} requests, {sum(d['tries'] for d in deliveries)} attempts kept")


def test_a_stop_in_the_middle_loses_nothing(make_server, receiver):
	s = make_server(settings=QUICK)
	hook = receiver.hook(s, "hang")
	s.upload(b"x")
	hook.wait(1)
	s.stop()
	hook.plan(200)
	s.start()
	x = hook.wait(2)
	assert x[0]["id"] == x[1]["id"]
	d = hook.wait_state("delivered")[0]
	assert d["tries"] == 1 # what the stop ended was no attempt


def test_a_deleted_webhook_is_told_nothing_more(make_server, receiver):
	s = make_server(settings=QUICK)
	hook = receiver.hook(s, 500)
	s.upload(b"x")
	hook.wait(1)
	assert s.delete(hook.path).status_code == 204
	problem(s.get(hook.path), 404, "webhook_not_found")
	problem(s.get(hook.path + "/deliveries"), 404, "webhook_not_found")
	assert s.get("/v1/webhooks").json()["webhooks"] == []
	s.upload(b"y")
	assert len({x["id"] for x in hook.arrived()}) == 1


def test_lists_go_in_pages(make_server, receiver):
	s = make_server(settings={**HERE, "webhooks.per_owner": "3"})
	hooks = [receiver.hook(s) for _ in range(3)]
	body = problem(s.post("/v1/webhooks", json={"url": hooks[0].address}), 409, "limit_reached")
	assert body["limit"] == 3
	first = s.get("/v1/webhooks?limit=2").json()
	assert [w["id"] for w in first["webhooks"]] == [hooks[2].id, hooks[1].id]
	second = s.get(f"/v1/webhooks?limit=2&cursor={first['next']}").json()
	assert [w["id"] for w in second["webhooks"]] == [hooks[0].id] and second["next"] is None
	for n in range(5):
		s.upload(bytes([n]))
	hooks[0].wait_state("delivered", 5)
	page = s.get(hooks[0].path + "/deliveries?limit=3").json()
	assert len(page["deliveries"]) == 3
	problem(s.get(hooks[1].path + f"/deliveries?cursor={page['next']}"), 400, "bad_cursor")


def test_the_backlog_is_measured(make_server, receiver):
	s = make_server(settings=HERE)
	hook = receiver.hook(s, 500)
	s.upload(b"x")
	hook.wait(1)
	eventually(lambda: "filemill_webhooks_waiting 1\n" in s.get("/metrics").text)
	eventually(lambda: re.search(r"filemill_webhook_attempts_failed_total [1-9]", s.get("/metrics").text))
	assert "filemill_webhooks_oldest_due_seconds" in s.get("/metrics").text
