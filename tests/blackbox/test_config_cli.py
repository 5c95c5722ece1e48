"""The command line, the configuration and what stops a start."""
import os
import re
import shutil
import socket
import stat

import pytest

from harness.server import Server, StartFailed, run
from harness import wire

EX_CONFIG = 78


@pytest.mark.parametrize("args", [("--help",), ("-h",), ("help",), ("serve", "--help")])
def test_help(args):
	r = run(*args)
	assert r.returncode == 0 and "serve" in r.stdout and r.stderr == ""
	if args[0] == "serve":
		for flag in ("--data", "--listen", "--surface"):
			assert flag in r.stdout


def test_version():
	for args in (("version",), ("--version",)):
		r = run(*args)
		assert r.returncode == 0 and re.search(r"\d+\.\d+\.\d+", r.stdout), r
		assert r.stdout.startswith("filemill")


@pytest.mark.parametrize("args", [(), ("nonsense",), ("serve", "--nonsense"), ("serve", "--data"), ("version", "extra"), ("serve", "extra")])
def test_a_wrong_command_line_is_explained(args):
	r = run(*args)
	assert r.returncode != 0 and (r.stderr or r.stdout), r
	assert r.returncode in (1, 2, 64, EX_CONFIG)


def test_an_unknown_flag_names_the_nearest():
	r = run("serve", "--dat", "x")
	assert r.returncode != 0 and "--data" in r.stderr


def config(folder, text):
	path = folder / "filemill.yaml"
	path.write_text(text)
	return path


def test_check_config_accepts_a_good_file(folder):
	r = run("check-config", "-c", config(folder, "files:\n  max_size: 64MiB\nhttp:\n  header_timeout: 5s\n"))
	assert r.returncode == 0, r.stderr


def test_check_config_without_a_file_is_fine():
	assert run("check-config").returncode == 0


@pytest.mark.parametrize("text,line,column,words", [
	("files:\n  max_sise: 64MiB\n", 2, 3, ["max_sise", "max_size"]),
	("filse:\n  max_size: 64MiB\n", 1, 1, ["filse", "files"]),
	("files:\n  max_size: 64\n", 2, 13, ["files.max_size"]),
	("files:\n  max_size: 64XB\n", 2, 13, ["64XB"]),
	("files:\n  max_size: -5MiB\n", 2, 13, ["files.max_size"]),
	("files:\n  max_size: 99999999999999999999TiB\n", 2, 13, ["files.max_size"]),
	("files:\n  max_size: [1]\n", 2, None, ["files.max_size"]),
	("http:\n  header_timeout: soon\n", 2, 19, ["header_timeout"]),
	("http:\n  header_timeout: 5\n", 2, 19, ["header_timeout"]),
	("files:\n  max_size: 1MiB\n  max_size: 2MiB\n", 3, None, ["max_size"]),
	("commands:\n  up:\n    argv: [/usr/bin/tr]\n    argv: [/bin/cat]\n", 4, 5, ["commands.up.argv"]),
	("pipelines: [a]\n", 1, 12, ["pipelines"]),
	("runner:\n  memory: 255MiB\n", 2, 11, ["runner.memory", "256 MiB"]),
	("files: [\n", None, None, []),
	("- a\n- b\n", None, None, []),
])
def test_a_wrong_configuration_is_named_by_place_and_nearest_name(folder, text, line, column, words):
	path = config(folder, text)
	for args in (("check-config", "-c", path), ("serve", "-c", path, "--data", folder / "d", "--listen", "127.0.0.1:0")):
		r = run(*args)
		assert r.returncode == EX_CONFIG, (args, r)
		assert "filemill.yaml" in r.stderr
		for word in words:
			assert word in r.stderr
		if line:
			place = re.search(r"filemill\.yaml:(\d+):(\d+)", r.stderr)
			assert place, r.stderr
			assert int(place[1]) == line
			if column:
				assert int(place[2]) == column, r.stderr
	assert not (folder / "d" / "catalog.db").exists()


@pytest.mark.parametrize("text,words", [
	("commands: {up: {argv: [tr, a-z, A-Z]}}\n", ["commands.up.argv"]),
	("commands: {up: {argv: [/usr/bin/tr, '{letters}']}}\n", ["commands.up", "letters"]),
	("commands: {up: {argv: [/usr/bin/tr], wall_tme: 3s}}\n", ["commands.up.wall_tme", "wall_time"]),
	("pipelines: {loud: [md5, upper]}\n", ["pipelines.loud", "upper"]),
	("pipelines: {loud: md5}\n", ["pipelines.loud"]),
	("runner: {may_lack: [namespace]}\n", ["runner.may_lack", "namespaces"]),
	("files: {default_ops: upper}\n", ["files.default_ops", "upper"]),
])
def test_wrong_commands_and_pipelines_are_found_without_starting(folder, text, words):
	r = run("check-config", "-c", config(folder, text))
	assert r.returncode == EX_CONFIG, r
	for word in words:
		assert word in r.stderr


def test_commands_and_pipelines_fit_together(folder):
	text = '''
commands:
  upper:
    summary: Small letters become large ones.
    argv: [/usr/bin/tr, "a-z", "A-Z"]
    output_types: [text/plain]
    wall_time: 5s
pipelines:
  loud: [md5, upper, "gzip;after=upper"]
files:
  default_ops: "md5, upper"
'''
	r = run("check-config", "-c", config(folder, text))
	assert r.returncode == 0, r.stderr


def test_a_missing_file_is_an_error(folder):
	r = run("check-config", "-c", folder / "none.yaml")
	assert r.returncode == EX_CONFIG and "none.yaml" in r.stderr


def test_an_unknown_variable_is_an_error():
	r = run("check-config", settings={"files.max_sise": "1MiB"})
	assert r.returncode == EX_CONFIG and "FILEMILL_FILES_MAX_SISE" in r.stderr


def limit_of(server):
	r = wire.exchange(server, wire.head("POST", "/v1/files", ["Content-Length: 999999999999", "Content-Type: x/y", "Expect: 100-continue"]))
	assert r.status_code == 413
	return r.json()["limit"]


def test_flags_win_over_the_environment_over_the_file_over_the_default(make_server, folder):
	path = config(folder, "files:\n  max_size: 1MiB\n")
	assert limit_of(make_server()) == 5 * 2**30
	assert limit_of(make_server(args=["-c", path])) == 2**20
	assert limit_of(make_server(args=["-c", path], settings={"files.max_size": "2MiB"})) == 2 * 2**20
	assert limit_of(make_server(args=["-c", path, "--files-max-size", "3MiB"], settings={"files.max_size": "2MiB"})) == 3 * 2**20
	assert limit_of(make_server(args=["--files-max-size=4MB"])) == 4_000_000


def test_the_default_directory_is_beneath_the_working_one(folder):
	work = folder / "work"
	work.mkdir()
	s = Server(folder / "s", data=work / "filemill-data")
	s.command = lambda: [__import__("harness.server", fromlist=["binary"]).binary(), "serve", "--listen", "127.0.0.1:0"]
	here = os.getcwd()
	os.chdir(work)
	try:
		s.start()
	finally:
		os.chdir(here)
	with s:
		s.upload(b"x")
		assert (work / "filemill-data" / "catalog.db").exists()


def test_the_data_directory_is_for_its_owner_alone(make_server):
	s = make_server()
	s.upload(b"x" * 100_000)
	for folder, _, names in os.walk(s.data):
		assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700, folder
		for name in names:
			assert stat.S_IMODE(os.stat(os.path.join(folder, name)).st_mode) == 0o600, name


def test_a_taken_port_is_said(make_server, folder):
	s = make_server()
	with pytest.raises(StartFailed) as e:
		Server(folder / "second", args=["--listen", f"127.0.0.1:{s.port}"]).start()
	assert e.value.code not in (0, None) and str(s.port) in e.value.stderr
	assert re.search("in use|address", e.value.stderr, re.I)


def test_a_directory_in_use_is_said(make_server, folder):
	s = make_server()
	s.upload(b"x")
	with pytest.raises(StartFailed) as e:
		Server(folder / "second", data=s.data).start()
	assert "in use" in e.value.stderr.lower()
	s.alive()
	s.kill()
	s.start()
	assert len(s.all_files()) == 1, "the lock outlived its holder"


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0"])
def test_anonymous_callers_only_on_loopback(folder, listen):
	with pytest.raises(StartFailed) as e:
		Server(folder / "open", args=["--listen", listen]).start()
	assert "anonymous" in e.value.stderr and e.value.code == 78


def test_anonymous_callers_elsewhere_when_the_administrator_says_so(folder):
	s = Server(folder / "open", args=["--listen", "0.0.0.0:0"], settings={"auth.anonymous": "true"})
	s.start()
	s.address = "127.0.0.1"
	with s:
		s.alive()


@pytest.mark.skipif(not socket.has_ipv6 or not os.path.exists("/proc/net/if_inet6"), reason="this kernel has no IPv6")
def test_ipv6_loopback(folder):
	s = Server(folder / "six", args=["--listen", "[::1]:0"])
	s.start()
	with s:
		with socket.create_connection(("::1", s.port), timeout=10) as c:
			c.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
			assert c.recv(100).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("listen", ["127.0.0.1", "127.0.0.1:x", "127.0.0.1:70000", "nonsense:0", ":", "127.0.0.1:-1"])
def test_a_wrong_address_is_refused(folder, listen):
	with pytest.raises(StartFailed) as e:
		Server(folder / "w", args=["--listen", listen]).start()
	assert e.value.code not in (0, None) and e.value.stderr


def test_an_unknown_surface_is_refused(folder):
	with pytest.raises(StartFailed) as e:
		Server(folder / "w", surfaces=["md5-cacl"]).start()
	assert "md5-calc" in e.value.stderr


def test_wrong_default_ops_are_refused(folder):
	with pytest.raises(StartFailed) as e:
		Server(folder / "w", settings={"files.default_ops": "md6"}).start()
	assert "md6" in e.value.stderr or "md5" in e.value.stderr


def test_default_ops_are_used(make_server):
	s = make_server(settings={"files.default_ops": "sha1,crc32c"})
	assert sorted(j["op"] for j in s.upload(b"x")["jobs"]) == ["crc32c", "sha1"]


def test_a_data_directory_that_is_none(folder):
	path = folder / "plain"
	path.write_text("a file")
	with pytest.raises(StartFailed) as e:
		Server(folder / "w", data=path).start()
	assert e.value.code not in (0, None)
	assert path.read_text() == "a file"


def test_a_blob_root_that_is_a_symbolic_link_is_refused(folder):
	elsewhere = folder / "elsewhere"
	elsewhere.mkdir()
	s = Server(folder / "w")
	s.start()
	s.stop()
	shutil.rmtree(s.data / "blobs")
	(s.data / "blobs").symlink_to(elsewhere)
	try:
		s.start()
	except StartFailed:
		return
	r = s.post("/v1/files", data=b"x" * 100_000, headers={"Content-Type": "x/y"})
	assert r.status_code >= 500 and not os.listdir(elsewhere)
	s.kill()
