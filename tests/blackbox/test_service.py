"""filemill as a service: what it tells the manager that started it, and what stands in the unit, the packaged configuration and the manual page."""
import json
import re
import socket
import subprocess
import sys

import pytest

from harness.data import md5
from harness.images import png
from harness.server import PATIENCE_S, REPOSITORY, binary, run

UNITS = [REPOSITORY / f"packaging/systemd/{name}.service" for name in ("filemill", "filemill-work")]
each_unit = pytest.mark.parametrize("path", UNITS, ids=lambda p: p.stem)
WITHOUT_CLONE3 = (sys.executable, str(REPOSITORY / "tests/blackbox/harness/without_clone3.py"))


@pytest.mark.parametrize("abstract", [False, True], ids=["path", "abstract"])
def test_the_manager_is_told_of_the_start_and_of_the_stop(make_server, folder, abstract):
	path = f"filemill-{folder.name}" if abstract else str(folder / "notify")
	with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
		manager.bind("\0" + path if abstract else path)
		manager.settimeout(PATIENCE_S)
		server = make_server(env={"NOTIFY_SOCKET": "@" + path if abstract else path})
		assert manager.recv(1000) == b"READY=1"
		server.alive()
		server.stop()
		assert manager.recv(1000) == b"STOPPING=1"


@pytest.mark.parametrize("path", ["@", "/nowhere/at/all", "/" + 200 * "a"], ids=["nameless", "nowhere", "too long"])
def test_a_manager_that_is_not_there_changes_nothing(make_server, path):
	server = make_server(env={"NOTIFY_SOCKET": path})
	server.alive()
	server.stop()


def test_ops_and_commands_run_where_there_is_no_clone3(make_server):
	server = make_server(wrapper=WITHOUT_CLONE3, settings={"commands": json.dumps({"count": {"argv": ["/usr/bin/wc", "-c"]}})})
	picture = png(20, 10)
	f = server.upload(picture, query="ops=md5,resize;width=5,gzip,count&wait=60")
	assert [j["state"] for j in f["jobs"]] == ["succeeded"] * 4, f
	assert f["jobs"][0]["result"]["md5"] == md5(picture)
	assert int(server.get(f["jobs"][3]["outputs"][0]["href"]).text) == len(picture)


def systemd(*args):
	try:
		return subprocess.run(["systemd-analyze", *map(str, args)], capture_output=True, text=True, timeout=60, check=False)
	except FileNotFoundError:
		pytest.skip("systemd is not here")


@each_unit
def test_the_unit_has_no_word_that_systemd_does_not_know(folder, path):
	unit = folder / path.name
	unit.write_text(path.read_text().replace("/usr/bin/filemill", "/bin/true").replace("file:///usr/share/doc", "https://example.org"))
	done = systemd("verify", "--man=no", unit)
	ours = [line for line in done.stderr.splitlines() if "filemill" in line]
	assert done.returncode == 0 and not ours, done.stderr


@each_unit
def test_the_unit_leaves_the_service_little(folder, path):
	done = systemd("security", "--offline=yes", "--threshold=20", path)
	assert done.returncode == 0, done.stdout[-300:] + done.stderr
	opened = folder / path.name
	opened.write_text(path.read_text().replace("NoNewPrivileges=yes", "").replace("CapabilityBoundingSet=", "#").replace("ProtectSystem=strict", ""))
	assert systemd("security", "--offline=yes", "--threshold=20", opened).returncode != 0


def settings_of(path):
	"""The unit's lines; of one that stands there several times all."""
	found = {}
	for line in path.read_text().splitlines():
		key, equals, value = line.partition("=")
		if equals and not line.startswith("#"):
			found.setdefault(key, []).append(value)
	return found


def test_server_and_worker_differ_in_what_they_are_alone():
	serve, work = map(settings_of, UNITS)
	assert {k for k in serve.keys() | work.keys() if serve.get(k) != work.get(k)} == {"Description", "ExecStart", "StateDirectory", "WorkingDirectory", "TimeoutStopSec"}
	assert work["WorkingDirectory"] == [f"/var/lib/{work['StateDirectory'][0]}"] and work["ExecStart"][0].endswith(f"--data {work['WorkingDirectory'][0]}")
	drain = {o["name"]: o["default"] for o in json.loads(run("describe", "options").stdout)}["node.drain"]
	assert int(work["TimeoutStopSec"][0].rstrip("s")) >= int(drain.rstrip("s")) + 15


def test_the_packaged_configuration_is_one():
	done = run("check-config", "-c", REPOSITORY / "packaging/filemill.yaml")
	assert done.returncode == 0, done.stderr


def test_the_manual_page_names_every_command_and_option():
	page = subprocess.run([REPOSITORY / "scripts/man-page", binary()], capture_output=True, text=True, timeout=60, check=True).stdout
	said = page.replace("\\-", "-")
	options = json.loads(run("describe", "options").stdout)
	assert len(options) > 50
	assert [o["name"] for o in options if f"--{o['flag']}\\fR" not in said or o["help"] not in said] == []
	commands = set(re.findall(r"^  filemill (\S+)", run("help").stdout, re.M))
	assert {"serve", "backup", "doctor"} <= commands
	assert [c for c in commands if f"\\fBfilemill {c}" not in said] == []
