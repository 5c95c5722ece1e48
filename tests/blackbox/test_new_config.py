"""scripts/new-config: a first configuration with fresh secrets."""
import os
import shutil
import stat
import subprocess
from urllib.parse import unquote, urlsplit

import pytest
import yaml

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


# ---- several nodes ----

@pytest.fixture
def many(folder):
	"""Arguments for an arrangement of several nodes, some of them other ones or (None) left out."""
	(folder / "secret").write_text("s3/secret+key=\n")

	def args(**other):
		named = {"fronts": "10.0.0.1:8080,front-1.fronts.svc:8080,[2001:db8::1]:8080", "postgres": "postgresql://mill@db.example.org:5433/files?sslmode=verify-full", "bucket": "files",
			 "endpoint": "https://s3.example.org", "access_key": "AKIDEXAMPLE", "secret_key": folder / "secret", **other}
		return [x for k, v in named.items() if v is not None for x in ("--" + k.replace("_", "-"), v)]

	return args


def test_one_configuration_for_fronts_and_workers(folder, many):
	done = new_config(*many(), folder / "new", NAME)
	assert done.returncode == 0, done.stderr
	assert set(tree(folder / "new")) == {"filemill.yaml", "admin-password", "haproxy.cfg", "nginx.conf", "database.sql", "postgres.env", "tls", f"tls/{NAME}.pem"}
	for path in (folder / "new").rglob("*"):
		assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
	checked = run("check-config", "-c", folder / "new/filemill.yaml")
	assert checked.returncode == 0, checked.stderr
	said = yaml.safe_load((folder / "new/filemill.yaml").read_text())
	password = said["catalog"]["url"].removeprefix("postgresql://mill:").removesuffix("@db.example.org:5433/files?sslmode=verify-full")
	assert len(password) == 32 and f"PASSWORD '{password}'" in (folder / "new/database.sql").read_text()
	assert (folder / "new/postgres.env").read_text() == f"POSTGRES_USER=mill\nPOSTGRES_DB=files\nPOSTGRES_PASSWORD={password}\n"
	assert said["storage"] == {"s3_endpoint": "https://s3.example.org", "s3_bucket": "files", "s3_prefix": "filemill/", "s3_access_key": "AKIDEXAMPLE", "s3_secret_key": "s3/secret+key="}
	told = done.stdout + done.stderr
	assert password not in told and "s3/secret" not in told and (folder / "new/admin-password").read_text().strip() not in told
	assert new_config(*many(), folder / "other", NAME).returncode == 0
	assert (folder / "other/database.sql").read_text() != (folder / "new/database.sql").read_text()


def test_a_password_that_is_there_already_may_have_any_character(folder, many):
	(folder / "password").write_text("a/b@c: %\"'ü$(x)\n")
	assert new_config(*many(postgres_password=folder / "password", region="eu-west-1", endpoint=None, prefix="a/b/"), folder / "new", NAME).returncode == 0
	said = yaml.safe_load((folder / "new/filemill.yaml").read_text())
	assert unquote(urlsplit(said["catalog"]["url"]).password) == "a/b@c: %\"'ü$(x)"
	assert (said["storage"]["s3_region"], said["storage"]["s3_prefix"]) == ("eu-west-1", "a/b/") and "s3_endpoint" not in said["storage"]
	assert not {"database.sql", "postgres.env"} & set(tree(folder / "new"))
	assert run("check-config", "-c", folder / "new/filemill.yaml").returncode == 0


def test_both_proxies_take_several_fronts(folder, many):
	assert new_config(*many(), folder / "new", NAME).returncode == 0
	text = (folder / "new/haproxy.cfg").read_text()
	servers = [line.split() for line in text.splitlines() if line.startswith("    server ")]
	assert [s[1:3] for s in servers] == [["front1", "10.0.0.1:8080"], ["front2", "front-1.fronts.svc:8080"], ["front3", "[2001:db8::1]:8080"]]
	assert ["resolvers" in s for s in servers] == [False, True, False] # what is a name may lead elsewhere tomorrow, or nowhere yet
	assert haproxy_says(folder, "new").returncode == 0
	assert new_config(*many(fronts="10.0.0.1:8080,10.0.0.2:8081"), folder / "addresses", NAME).returncode == 0
	assert "resolvers" not in (folder / "addresses/haproxy.cfg").read_text()
	done = haproxy_says(folder, "addresses")
	assert done.returncode == 0 and "warn" not in (done.stdout + done.stderr).lower(), done.stdout + done.stderr
	text = (folder / "addresses/nginx.conf").read_text()
	assert "server 10.0.0.1:8080 max_fails=1 fail_timeout=10s;\n    server 10.0.0.2:8081 max_fails=1 fail_timeout=10s;\n" in text
	done = nginx_says(folder, "addresses")
	assert "test is successful" in done.stderr and "warn" not in done.stderr, done.stderr


def haproxy_says(folder, name):
	text = (folder / name / "haproxy.cfg").read_text().replace("/etc/haproxy/certs/", str(folder / name / f"tls/{NAME}.pem")).replace("maxconn 20000", "maxconn 500")
	(folder / "haproxy.cfg").write_text(text)
	return subprocess.run([REPOSITORY / "scripts/unpacked", "haproxy", "-c", "-f", folder / "haproxy.cfg"], capture_output=True, text=True, timeout=60, check=False)


def nginx_says(folder, name):
	text = (folder / name / "nginx.conf").read_text().replace("/etc/nginx/certs", str(folder / name / "tls")).replace("    listen [::]", "    # listen [::]")
	text = text.replace("listen 80;", f"listen unix:{folder}/plain;").replace("listen 443 ssl", f"listen unix:{folder}/tls ssl")
	paths = "".join(f"{kind}_temp_path {folder / kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
	(folder / "nginx.conf").write_text(f"pid {folder}/pid;\nerror_log stderr;\nevents {{}}\nhttp {{ access_log off; {paths}\n{text} }}\n")
	return subprocess.run([REPOSITORY / "scripts/unpacked", "nginx", "-t", "-e", "stderr", "-p", folder, "-c", folder / "nginx.conf"], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("other, said", [
	({"fronts": None}, "there is no --fronts"), ({"postgres": None}, "there is no --postgres"), ({"bucket": None}, "there is no --bucket"),
	({"access_key": None}, "there is no --access-key"), ({"secret_key": None}, "there is no --secret-key"), ({"endpoint": None}, "needs --region"),
	({"fronts": "10.0.0.1"}, "ADDR:PORT"), ({"fronts": ":80"}, "ADDR:PORT"), ({"fronts": "a:"}, "ADDR:PORT"), ({"fronts": "a:b:1"}, "ADDR:PORT"), ({"fronts": "[::1]"}, "ADDR:PORT"),
	({"fronts": "[::1]x:1"}, "ADDR:PORT"), ({"fronts": "a:1x"}, "ADDR:PORT"), ({"fronts": ","}, "names none"), ({"fronts": "a:1,b:1,a:1"}, "twice: a:1"), ({"fronts": "a:1;b:1"}, "cannot be"),
	({"postgres": "postgresql://mill:pw@db/files"}, "seen by others"), ({"postgres": "postgresql://db/files"}, "USER@HOST/DATABASE"), ({"postgres": "postgresql://mill@db/"}, "USER@HOST/DATABASE"),
	({"postgres": "host=db dbname=files"}, "cannot be"), ({"postgres": "mysql://mill@db/files"}, "USER@HOST/DATABASE"), ({"postgres": 'postgresql://m"x@db/files'}, "cannot be"),
	({"postgres": "postgresql://m@db/f\ng"}, "cannot be"), ({"bucket": "a b"}, "a bucket cannot be"), ({"prefix": "a b"}, "a prefix cannot be"), ({"region": "a:b"}, "a region cannot be"),
	({"endpoint": "s3.example.org"}, "begins with https://"), ({"endpoint": "https://a b"}, "an endpoint cannot be"), ({"access_key": 'a"b'}, "an access key cannot be"),
	({"secret_key": "/nowhere/at/all"}, "none that can be read"), ({"secret_key": "/dev/null"}, "none that can be read"), ({"postgres_password": "/nowhere"}, "none that can be read"),
	({"upstream": "127.0.0.1:1"}, "--upstream is for one server"), ({"listen": "a b"}, "an address to listen on cannot be"),
], ids=repr)
def test_an_arrangement_that_cannot_be_is_told_and_nothing_written(folder, many, other, said):
	done = new_config(*many(**other), folder / "new", NAME)
	assert done.returncode == 1 and said in done.stderr, done.stderr
	assert not (folder / "new").exists()


@pytest.mark.parametrize("content", ["", "\n", "two\nlines\n", 'a"b', "a b"], ids=repr)
def test_a_secret_that_is_none_is_told_without_telling_it(folder, many, content):
	(folder / "secret").write_text(content)
	done = new_config(*many(), folder / "new", NAME)
	assert done.returncode == 1 and "secret key" in done.stderr and not (content.strip() and content.strip() in done.stderr)
	assert not (folder / "new").exists()
