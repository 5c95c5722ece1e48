"""The server as those see it who watch it: metrics that follow each stage and each end, and alerts that fire on what really happened, and on nothing else."""
import json
import time

from harness import runner
from harness.server import eventually, problem
from harness.watch import firing, metrics, metrics_text, promtool

COMMANDS = {"hold": {"argv": ["/bin/sleep", "1000"]}, "complain": {"argv": ["/bin/false"]}}
BIG = b"x" * 50_000


def asked(server, file, op, **more):
	r = server.post(f"/v1/files/{file['id']}/jobs", json={"op": op, **more})
	assert r.status_code == 202, r.text
	return f"/v1/jobs/{r.json()['id']}"


def state(server, job):
	return server.get(job).json()["state"]


def running(server, job):
	eventually(lambda: state(server, job) == "running")
	return job


def grown(server, before, *names):
	now = metrics(server)
	return [now[n] - before.get(n, 0) for n in names]


def test_the_text_is_what_prometheus_reads_and_finds_nothing_to_say_to(make_server):
	s = make_server(settings={"commands": json.dumps(COMMANDS)})
	s.upload(BIG, query="ops=gzip,md5,complain&wait=60")
	r = promtool("check", "metrics", input=metrics_text(s))
	assert r.returncode == 0 and r.stdout + r.stderr == "", r


def test_each_stage_of_a_job_is_measured_by_its_op(make_server):
	s = make_server()
	f = s.upload(BIG, query="ops=gzip,md5&wait=60")
	assert {j["state"] for j in f["jobs"]} == {"succeeded"}
	s.post(f"/v1/files/{f['id']}/jobs", json={"op": "gzip"})
	eventually(lambda: metrics(s)['filemill_op_jobs_succeeded_total{op="gzip"}'] == 1) # counted when who waited has been told
	m = metrics(s)
	for stage in ("wait", "start", "run", "total"):
		assert m[f'filemill_op_{stage}_seconds_count{{op="gzip"}}'] == 1, stage
		assert m[f'filemill_op_{stage}_seconds_bucket{{op="gzip",le="+Inf"}}'] == 1
	assert m['filemill_op_jobs_succeeded_total{op="gzip"}'] == 1 and m['filemill_op_jobs_failed_total{op="gzip"}'] == 0
	assert m["filemill_jobs_queued_total"] == m["filemill_jobs_fused_total"] == m["filemill_jobs_known_total"] == 1
	for stage in ("receive", "store", "commit"):
		assert m[f'filemill_upload_stage_seconds_count{{stage="{stage}"}}'] == 1, stage
	assert m["filemill_upload_open_bytes"] == 0 and m["filemill_uploads_open"] == 0
	eventually(lambda: metrics(s)['filemill_op_jobs_running{op="gzip"}'] == 0)


def test_what_has_to_be_asked_for_is_asked_for(make_server):
	s = make_server(settings={"files.free_reserve": "1MiB", "commands": json.dumps(COMMANDS)})
	f = s.upload(BIG)
	asked(s, f, "hold", run_at="2999-01-01T00:00:00Z")
	eventually(lambda: metrics(s)["filemill_catalog_log_bytes"] > 0 and metrics(s)["filemill_jobs_waiting"] == 1)
	m = metrics(s)
	assert m["filemill_disk_free_bytes"] > m["filemill_disk_reserve_bytes"] == 1 << 20
	assert abs(time.time() - m["filemill_scheduler_beat_timestamp_seconds"]) < 60
	assert abs(time.time() - m["filemill_start_timestamp_seconds"]) < 120
	assert [k for k in m if k.startswith("filemill_jobs_ready{")] == [f'filemill_jobs_ready{{priority="{p}"}}' for p in range(8)]
	assert m['filemill_jobs_ready{priority="3"}'] == 0, "it cannot run yet"


def test_refusals_are_counted_by_their_code(make_server):
	s = make_server(settings={"files.free_reserve": "64TiB"}, surfaces=["hash-tasks"])
	before = metrics(s)
	assert before['filemill_http_refused_total{code="queue_full"}'] == before['filemill_http_refused_total{code="storage_full"}'] == 0
	problem(s.post("/v1/files?name=x", data=b"x", headers={"Content-Type": "application/octet-stream"}), 507)
	m = metrics(s)
	assert m['filemill_http_refused_total{code="storage_full"}'] == 1 and m["filemill_http_server_errors_total"] == 1


def test_each_end_is_counted_as_the_catalogue_took_it(make_server):
	s = make_server(settings={"commands": json.dumps(COMMANDS)})
	f = s.upload(BIG, query="ops=gzip&wait=60")
	ends = [f"filemill_jobs_{x}_total" for x in ("succeeded", "failed", "cancelled", "quarantined", "retried")]
	eventually(lambda: grown(s, {}, *ends) == [1, 0, 0, 0, 0]) # whoever reads the catalogue may see an end a moment before it is counted
	m = metrics(s)
	failed = asked(s, f, "complain")
	assert s.get(failed + "?wait=60").json()["state"] == "failed"
	eventually(lambda: grown(s, m, *ends) == [0, 1, 0, 0, 0])
	assert s.post(asked(s, f, "hold", run_at="2999-01-01T00:00:00Z") + "/cancel").status_code == 200
	assert s.post(running(s, asked(s, f, "hold", params={}, priority=1)) + "/cancel").status_code in (200, 202)
	eventually(lambda: grown(s, m, *ends) == [0, 1, 2, 0, 0], message="a job cancelled while it ran is counted as such")
	g = s.upload(b"y" * 50_000)
	asked(s, g, "hold", run_at="2999-01-01T00:00:00Z")
	assert s.delete(f"/v1/files/{g['id']}").status_code == 204
	assert grown(s, m, *ends) == [0, 1, 3, 0, 0], "and one that ends with its file"
	assert grown(s, m, 'filemill_op_jobs_succeeded_total{op="hold"}', 'filemill_op_jobs_failed_total{op="hold"}') == [0, 0]


# ---- alerts ----

def fire(folder, before, after, now):
	"""But those that speak of the machine's pace alone, and rightly where the tests have to share it."""
	return firing(folder, before, after, now) - {"FilemillCommitSlow", "FilemillHeartbeatSlow"}


def test_a_server_at_work_raises_no_alert(make_server, folder):
	s = make_server()
	before = metrics(s)
	for n in range(30):
		s.upload(BIG + b"%d" % n, query="ops=gzip&wait=60")
	problem(s.get("/v1/files?limit=0"), 400)
	eventually(lambda: metrics(s)["filemill_catalog_log_bytes"] > 0)
	assert fire(folder, before, metrics(s), time.time()) == set()


def test_a_job_that_took_its_server_along_raises_the_alert_and_is_counted(make_server, folder):
	s = make_server(settings={"commands": json.dumps(COMMANDS)})
	job = asked(s, s.upload(BIG), "hold")
	for n in range(3):
		running(s, job)
		s.kill()
		s.start()
	assert state(s, job) == "quarantined"
	m = metrics(s)
	assert m["filemill_jobs_reclaimed_total"] + m["filemill_jobs_quarantined_total"] >= 1 == m["filemill_jobs_quarantined_total"]
	assert fire(folder, {}, m, time.time()) == {"FilemillJobsQuarantined"}


def test_sealed_processes_that_something_kills_raise_the_alert(make_server, folder):
	s = make_server(settings={"commands": json.dumps(COMMANDS)})
	before = metrics(s)
	job = asked(s, s.upload(BIG), "hold", max_attempts=20)

	def lost_enough():
		"""A job runs a moment before its process is there: whatever is there is killed, again and again."""
		if state(s, job) == "running":
			runner.kill(runner.sealed(s))
		return metrics(s)["filemill_runner_lost_total"] >= 5

	eventually(lost_enough, pause=0.3)
	assert s.post(job + "/cancel").status_code in (200, 202)
	m = metrics(s)
	assert m["filemill_jobs_retried_total"] >= 4
	assert fire(folder, before, m, time.time()) == {"FilemillWorkersLost"}


def test_bytes_that_are_no_more_what_they_were_and_a_log_that_was_cut_raise_theirs(make_server, folder):
	s = make_server(settings={"audit.uploads": "true"})
	f = s.upload(BIG)
	s.stop()
	s.blob(f["id"]).write(b"y" + BIG[1:])
	log, = (s.data / "audit").iterdir()
	log.write_bytes(log.read_bytes()[:-200])
	s.settings["data.scrub_every"] = "1s"
	s.start()
	eventually(lambda: metrics(s)["filemill_damaged_files"] == 1)
	assert fire(folder, {}, metrics(s), time.time()) == {"FilemillDamagedFiles", "FilemillAuditBroken"}


def test_a_disk_without_room_raises_the_alert(make_server, folder):
	s = make_server(settings={"files.free_reserve": "64TiB"})

	def told():
		m = metrics(s)
		return m if m["filemill_disk_free_bytes"] > 0 and m["filemill_scheduler_beat_timestamp_seconds"] > 0 else None
	m = eventually(told)
	assert fire(folder, m, m, time.time()) == {"FilemillStorageFull"}
