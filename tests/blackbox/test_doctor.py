"""filemill doctor: what of all that the configuration needs holds on this machine."""
import json
import os

import pytest

from harness.server import run


def doctor(*args, settings=None, cwd=None):
	return run("doctor", *args, settings=settings, cwd=cwd, timeout=60)


def findings(data, **settings):
	r = doctor("--json", "--data", data, settings=settings)
	assert r.stderr == "", r.stderr
	told = json.loads(r.stdout)
	assert set(told) == {"ok", "findings"} and told["ok"] == (r.returncode == 0) and r.returncode in (0, 1)
	for f in told["findings"]:
		assert set(f) == {"part", "name", "verdict", "detail"} and f["verdict"] in ("ok", "note", "missing", "failed") and f["detail"], f
	return told, {(f["part"], f["name"]): f for f in told["findings"]}


def test_it_tells_what_is_enforced(folder):
	told, by = findings(folder / "data")
	for name in ("no_new_privs", "undumpable", "rlimits", "seccomp", "landlock", "landlock_tcp", "landlock_scope", "namespaces"):
		assert ("seal", name) in by
	for name in ("no_new_privs", "undumpable", "rlimits", "seccomp"):
		assert by["seal", name]["verdict"] == "ok", by["seal", name]
	assert by["seal", "runner"]["verdict"] == "ok" and int(by["seal", "landlock_abi"]["detail"]) >= 0
	assert os.uname().release in by["program", "kernel"]["detail"]
	assert told["ok"] == all(f["verdict"] != "failed" for f in told["findings"])


def test_what_the_kernel_lacks_may_be_allowed(folder):
	_, by = findings(folder / "data")
	lacking = [name for (part, name), f in by.items() if part == "seal" and f["verdict"] == "failed"]
	told, by = findings(folder / "data", **{"runner.may_lack": ",".join(lacking)})
	assert told["ok"] and all(by["seal", name]["verdict"] == "missing" for name in lacking)


def test_people_get_a_table(folder):
	r = doctor("--data", folder / "data")
	assert r.returncode in (0, 1)
	for word in ("seal", "seccomp", "landlock", "only the system calls that an op needs", "kernel", "free_space"):
		assert word in r.stdout, r.stdout
	assert ("All that is required holds." in r.stdout) == (r.returncode == 0)


def test_it_changes_nothing(folder):
	doctor("--data", folder / "not-there")
	assert not (folder / "not-there").exists()
	(folder / "there").mkdir()
	doctor("--data", folder / "there")
	assert list((folder / "there").iterdir()) == []


def test_it_may_look_while_a_server_runs(make_server):
	s = make_server()
	_, by = findings(s.data)
	assert by["data", "directory"]["verdict"] == "ok" and by["data", "writable"]["verdict"] == "ok"
	s.alive()


def test_a_directory_that_cannot_be_made(folder):
	told, by = findings(folder / "no" / "such" / "place")
	assert not told["ok"] and by["data", "directory"]["verdict"] == "failed"
	(folder / "file").write_text("x")
	told, by = findings(folder / "file")
	assert not told["ok"] and by["data", "directory"]["verdict"] == "failed"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_cannot_be_written(folder):
	(folder / "locked").mkdir(mode=0o500)
	told, by = findings(folder / "locked")
	assert not told["ok"] and by["data", "writable"]["verdict"] == "failed"


def test_a_disk_that_is_too_full(folder):
	told, by = findings(folder, **{"files.free_reserve": "60TiB"})
	assert not told["ok"] and by["data", "free_space"]["verdict"] == "failed" and "free_reserve" in by["data", "free_space"]["detail"]


def test_a_runner_that_is_not_there(folder):
	told, by = findings(folder, **{"runner.path": str(folder / "nowhere")})
	assert not told["ok"] and by["seal", "runner"]["verdict"] == "failed" and ("seal", "seccomp") not in by


def test_a_configuration_that_is_wrong(folder):
	r = doctor("--data", folder, settings={"http.threads": "many"})
	assert r.returncode == 78 and "HTTP_THREADS" in r.stderr and r.stdout == ""
	r = run("check-config", "--json")
	assert r.returncode in (2, 78) and "--json" in r.stderr, r
