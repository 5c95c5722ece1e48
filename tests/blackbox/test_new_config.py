"""scripts/new-config: a first configuration with fresh secrets."""
import os
import shutil
import stat
import subprocess

import pytest

from harness.server import REPOSITORY, Server, clean_environment, run

SCRIPT = REPOSITORY / "scripts/new-config"
NAME = "files.example.org"
pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is missing")


def new_config(*args, **env):
	return subprocess.run([SCRIPT, *map(str, args)], capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **env})


def tree(folder):
	return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}


def test_what_it_writes_starts_a_server_with_an_account(folder):
	done = new_config("--data", folder / "data", "--listen", "127.0.0.1:0", folder / "new", NAME)
	assert done.returncode == 0, done.stderr
	config = folder / "new/filemill.yaml"
	assert run("check-config", "-c", config).returncode == 0
	password = (folder / "new/admin-password").read_text()
	assert len(password.strip()) == 32 and password not in done.stdout
	made = subprocess.run([*Server(folder / "x").command()[:1], "admin", "user", "add", f"admin@{NAME}", "-c", config], input=password, text=True, capture_output=True,
			      env=clean_environment(), timeout=60, check=False)
	assert made.returncode == 0, made.stderr
	with Server(folder / "server", data=folder / "data", args=["-c", config]) as server:
		server.http.headers["Host"] = NAME
		assert server.get("/v1/files").status_code == 401
		assert server.get("/healthz", headers={"Host": "other.example.org"}).status_code == 421
		r = server.post("/v1/sessions", json={"email": f"admin@{NAME}", "password": password.strip()})
		assert r.status_code == 201, r.text


def test_all_is_for_its_owner_alone_and_no_two_are_alike(folder):
	for name in ("a", "b"):
		assert new_config(folder / name, NAME).returncode == 0
		for path in [folder / name, *(folder / name).rglob("*")]:
			assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
	a, b = tree(folder / "a"), tree(folder / "b")
	assert set(a) == set(b) == {"filemill.yaml", "admin-password", "haproxy.cfg", "tls", f"tls/{NAME}.pem"}
	assert a["admin-password"] != b["admin-password"] and a[f"tls/{NAME}.pem"] != b[f"tls/{NAME}.pem"]


def test_nothing_that_is_there_is_changed(folder):
	place = folder / "there"
	assert new_config(place, NAME).returncode == 0
	before = tree(place)
	done = new_config(place, NAME)
	assert done.returncode == 1 and "not empty" in done.stderr
	assert tree(place) == before
	shutil.rmtree(place)
	place.mkdir()
	(place / ".hidden").write_text("mine")
	assert new_config(place, NAME).returncode == 1 and tree(place) == {".hidden": b"mine"}


def test_what_fails_half_way_leaves_nothing(folder):
	tools = folder / "bin"
	tools.mkdir()
	(tools / "openssl").write_text(f'#!/bin/sh\n[ "$1" != req ] || exit 1\nexec {shutil.which("openssl")} "$@"\n')
	(tools / "openssl").chmod(0o755)
	done = new_config(folder / "new", NAME, PATH=f"{tools}:{os.environ['PATH']}")
	assert done.returncode == 1 and "no certificate" in done.stderr
	assert tree(folder / "new") == {}


@pytest.mark.parametrize("args", [["a b"], ["a\nb"], [""], ["x;y"], ["--email", 'a"b@example.org', NAME], ["--data", "/srv/a b", NAME], ["--listen", "127.0.0.1:80\n", NAME],
				  ["--proxy", "10.0.0.0/8]", NAME], ["--upstream", "a b:1", NAME], ["--owner", NAME], ["--frobnicate", NAME], ["a", "b"], []], ids=repr)
def test_words_that_would_mean_something_are_refused(folder, args):
	done = new_config(*args[:-1], folder / "new", *args[-1:])
	assert done.returncode != 0 and done.stderr
	assert not (folder / "new").exists() or tree(folder / "new") == {}


def test_the_proxy_takes_its_configuration(folder):
	assert new_config("--listen", "[::]:9000", "--proxy", "10.0.0.0/8,127.0.0.1", folder / "new", NAME).returncode == 0
	text = (folder / "new/haproxy.cfg").read_text()
	assert "server one [::1]:9000 " in text and f"hdr Host {NAME}" in text
	(folder / "haproxy.cfg").write_text(text.replace("/etc/haproxy/certs/", str(folder / f"new/tls/{NAME}.pem")).replace("maxconn 20000", "maxconn 500"))
	done = subprocess.run([REPOSITORY / "scripts/unpacked", "haproxy", "-c", "-f", folder / "haproxy.cfg"], capture_output=True, text=True, timeout=60, check=False)
	assert done.returncode == 0, done.stdout + done.stderr
	assert new_config("--upstream", "filemill:8080", folder / "other", NAME).returncode == 0
	assert "server one filemill:8080 " in (folder / "other/haproxy.cfg").read_text()
	assert '"10.0.0.0/8", "127.0.0.1"' in (folder / "new/filemill.yaml").read_text()
