"""Files and results that were given a time: kept until then, gone afterwards with their bytes, and told so."""
from datetime import datetime, timedelta, timezone

import pytest

from harness.data import random_bytes
from harness.server import eventually, expire_soon, problem, run


def at(text):
	return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)


def metric(s, name):
	return int(s.get("/metrics").text.split(f"\n{name} ")[1].split("\n")[0])


def test_files_are_kept_as_long_as_configured(make_server):
	s = make_server(settings={"files.keep_time": "8s"})
	until = "2199-12-31T23:59:59.999Z"
	kept, later = (s.upload(random_bytes(n, n), f"{n}", "ops=md5,gzip") for n in (50, 60))
	assert s.patch(f"/v1/files/{kept['id']}", json={"expires_at": None}).json()["expires_at"] is None
	assert s.patch(f"/v1/files/{later['id']}", json={"expires_at": until}).json()["expires_at"] == until
	small, big = (s.upload(random_bytes(n, n), f"{n}", "ops=md5,gzip&wait=60") for n in (100, 100_000))
	for f in (small, big):
		assert at(f["expires_at"]) - at(f["created_at"]) == timedelta(seconds=8)
	eventually(lambda: all(s.get(f"/v1/files/{f['id']}").status_code == 410 for f in (small, big)))
	for f in (small, big):
		problem(s.get(f"/v1/files/{f['id']}/content"), 410, "file_gone")
		problem(s.post(f"/v1/files/{f['id']}/jobs", json={"op": "sha1"}), 410, "file_gone")
		for job in f["jobs"]:
			problem(s.get(f"/v1/jobs/{job['id']}"), 410, "job_gone")
		problem(s.get(f["jobs"][1]["outputs"][0]["href"]), 410, "job_gone")
	eventually(lambda: len(s.blobs()) == 2, message="bytes stayed") # what gzip made of the two that are kept
	assert {f["id"] for f in s.all_files()} == {kept["id"], later["id"]}
	eventually(lambda: metric(s, "filemill_expired_files_total") == 2)
	s.settings["files.keep_time"] = "0"
	s.restart()
	assert s.upload(b"for good")["expires_at"] is None
	problem(s.get(f"/v1/files/{big['id']}"), 410, "file_gone")


def test_results_are_kept_as_long_as_configured_and_their_file_stays(make_server):
	s = make_server(settings={"jobs.keep_time": "8s"})
	f = s.upload(random_bytes(100_000, 1), "a.bin", "ops=md5,gzip,zip;after=gzip&wait=60")
	assert [at(j["expires_at"]) - at(j["finished_at"]) for j in f["jobs"]] == 3 * [timedelta(seconds=8)], f
	same = s.post(f"/v1/files/{f['id']}/jobs", json={"op": "gzip"}).json()
	assert same["cached"] and same["expires_at"] and same["outputs"]
	eventually(lambda: s.get(f"/v1/files/{f['id']}").json()["jobs"] == [])
	for job in f["jobs"]:
		problem(s.get(f"/v1/jobs/{job['id']}"), 410, "job_gone")
		problem(s.post(f"/v1/jobs/{job['id']}/retry"), 410, "job_gone")
		problem(s.post(f"/v1/jobs/{job['id']}/cancel"), 410, "job_gone")
		for o in job["outputs"]:
			problem(s.get(o["href"]), 410, "job_gone")
			assert s.head(o["href"]).status_code == 410
	problem(s.post(f"/v1/files/{f['id']}/jobs", json={"op": "zip", "after": f["jobs"][1]["id"]}), 410, "job_gone")
	eventually(lambda: set(s.blobs()) == {f["id"]}, message="outputs stayed")
	assert s.all_jobs() == []
	eventually(lambda: metric(s, "filemill_expired_results_total") == 4)
	assert s.get(f"/v1/files/{f['id']}/content").content == random_bytes(100_000, 1)
	again = s.post(f"/v1/files/{f['id']}/jobs", json={"op": "gzip"}).json()
	again = eventually(lambda: (j := s.get(f"/v1/jobs/{again['id']}").json())["state"] == "succeeded" and j)
	assert not again.get("cached") and s.get(again["outputs"][0]["href"]).status_code == 200


def past(ago):
	return (datetime.now(timezone.utc) - ago).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


@pytest.mark.parametrize("value", [timedelta(0), timedelta(seconds=1), timedelta(days=9000), "1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000+00:00", "1969-12-31T23:59:59Z",
	"0000-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "10000-01-01T00:00:00Z", "+12026-01-01T00:00:00Z", "2199-02-30T00:00:00Z", "2199-13-01T00:00:00Z", "2199-01-01T24:00:00Z",
	"2199-01-01T00:00:00", "2199-01-01", "2199-01-01 00:00:00", "-1", "", "never", "9" * 400, 4102444800, -1, 1e300, True, [], {}])
def test_an_expiry_that_makes_no_sense_is_refused_and_changes_nothing(server, value):
	value = past(value) if isinstance(value, timedelta) else value
	f = server.upload(b"keep me")
	assert problem(server.patch(f"/v1/files/{f['id']}", json={"name": "other", "expires_at": value}), 422, "invalid_value")["field"] == "expires_at"
	assert server.get(f"/v1/files/{f['id']}").json() == f


@pytest.mark.parametrize("value,told", [("9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"), ("2199-01-01T00:00:00+01:00", "2198-12-31T23:00:00.000Z"), (None, None)])
def test_an_expiry_far_away_is_taken(server, value, told):
	f = server.upload(b"keep me")
	assert server.patch(f"/v1/files/{f['id']}", json={"expires_at": value}).json()["expires_at"] == told
	soon = server.upload(b"a moment")
	expire_soon(server, soon)
	eventually(lambda: server.get(f"/v1/files/{soon['id']}").status_code == 410)
	assert server.get(f"/v1/files/{f['id']}").json()["expires_at"] == told


@pytest.mark.parametrize("name,value", [("files.keep_time", "-1s"), ("files.keep_time", "soon"), ("jobs.keep_time", "3651d"), ("jobs.keep_time", "1e9999s")])
def test_a_keep_time_that_makes_no_sense_is_refused(folder, name, value):
	r = run("check-config", settings={name: value})
	assert r.returncode == 78 and name.upper().replace(".", "_") in r.stderr, r
