"""filemill admin: accounts and keys of a data directory on which no server works, and who may come without them."""
import hashlib
import json
import os
import pty
import select
import sqlite3
import subprocess
import termios
import time

import pytest

from harness.server import Server, StartFailed, binary, clean_environment, run

PASSWORD = "correct horse battery"
SHOWN_TIMEOUT_S = 30


def admin(data, *words, password=None, code=0):
	"""Runs it to its end, with a line on standard input or none; nothing secret may show up on standard error."""
	r = subprocess.run([binary(), "admin", *words, "--data", str(data)], env=clean_environment(data=data), timeout=60, text=True,
			   input=None if password is None else password + "\n", stdin=subprocess.DEVNULL if password is None else None,
			   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
	assert r.returncode == code, (words, r.returncode, r.stdout, r.stderr)
	assert password is None or len(password) < 6 or password not in r.stdout + r.stderr
	assert (code == 0) == (r.stderr == ""), r.stderr
	return r


def add(data, email, *more, password=PASSWORD, code=0):
	return admin(data, "user", "add", email, *more, password=password, code=code)


def users(data):
	return {u["email"]: u for u in map(json.loads, admin(data, "user", "list", "--json").stdout.splitlines())}


def keys(data, *whose):
	return [json.loads(line) for line in admin(data, "key", "list", *whose, "--json").stdout.splitlines()]


def everything_in(folder):
	return b"".join(p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file())


def short(value):
	return repr(value)[:20]


def no_findings(data):
	r = run("fsck", "--data", data)
	assert r.returncode == 0, r.stdout


def test_without_accounts_a_public_address_is_refused_and_the_refusal_says_how_to_make_one(folder):
	with pytest.raises(StartFailed) as e:
		Server(folder / "open", args=["--listen", "0.0.0.0:0"]).start()
	assert e.value.code == 78 and "filemill admin user add EMAIL" in e.value.stderr and "auth.anonymous" in e.value.stderr


def test_the_first_start_says_how_to_make_an_account(make_server):
	s = make_server()
	assert "filemill admin user add EMAIL" in s.log()


def test_the_first_account_comes_before_the_first_start_and_then_the_server_listens_anywhere(folder):
	s = Server(folder / "s", args=["--listen", "0.0.0.0:0"])
	assert add(s.data, "Ann@Example.org", "--name", "Ann").stdout == "ann@example.org may sign in now, as admin\n"
	assert os.stat(s.data).st_mode & 0o777 == 0o700
	s.start()
	s.stop()
	assert "no_accounts" not in s.log()
	assert "user.added" in run("audit", "show", "--data", s.data).stdout


def test_from_the_first_account_on_nobody_comes_without_credentials(make_server):
	s = make_server(start=False)
	add(s.data, "ann@example.org")
	s.start()
	for method, path in (("GET", "/v1/files"), ("POST", "/v1/files"), ("GET", "/v1/jobs"), ("GET", "/v1/webhooks")):
		assert s.request(method, path).status_code == 401, path
	assert s.get("/healthz").status_code == 200 and s.get("/readyz").status_code == 200


def test_callers_without_credentials_come_beside_accounts_when_the_administrator_says_so(make_server):
	s = make_server(start=False, settings={"auth.anonymous": "true"})
	add(s.data, "ann@example.org")
	s.start()
	s.alive()


def test_an_account_is_told_as_it_was_made_and_its_password_is_kept_as_a_hash_only(folder):
	data = folder / "data"
	add(data, "ann@example.org")
	made = json.loads(add(data, "bob@example.org", "--role", "operator", "--name", "Bob B.", "--json").stdout)
	assert users(data)["bob@example.org"] == made
	assert (made["role"], made["name"], made["disabled_at"]) == ("operator", "Bob B.", None)
	assert users(data)["ann@example.org"]["role"] == "admin"
	add(data, "eve@example.org")
	assert users(data)["eve@example.org"]["role"] == "user", "only the first one is an administrator unasked"
	assert PASSWORD.encode() not in everything_in(data)
	hashes = [row[0] for row in sqlite3.connect(data / "catalog.db").execute("SELECT password FROM account")]
	assert len(set(hashes)) == 3 and all(h.startswith("$argon2id$v=19$m=19456,t=2,p=1$") for h in hashes)


@pytest.mark.parametrize("email", ["", "ann", "@example.org", "ann@", "ann@@example.org", "a b@example.org", "ann@example..org", "<ann@example.org>", "ann@example.org\n", "x" * 65 + "@example.org",
				   "a@" + "x" * 253, "ann@exam\x7fple.org"], ids=short)
def test_what_is_no_email_is_refused_and_nothing_is_made(folder, email):
	data = folder / "data"
	r = add(data, email, code=1)
	assert "email" in r.stderr
	add(data, "first@example.org")
	assert list(users(data)) == ["first@example.org"]


@pytest.mark.parametrize("password, why", [("", "10"), ("nine char", "10"), ("ninechar\r", "10"), ("öäüöäüöäü", "10"), ("x" * 1025, "1024"), ("x" * 100000, "1024"), (None, "standard input")], ids=short)
def test_what_cannot_be_a_password_is_refused_and_nothing_is_made(folder, password, why):
	data = folder / "data"
	r = add(data, "ann@example.org", password=password, code=1)
	assert why in r.stderr.replace(",", "")
	add(data, "bob@example.org", password="x" * 1024)
	assert list(users(data)) == ["bob@example.org"]
	admin(data, "user", "passwd", "bob@example.org", password=password, code=1)


def test_a_password_is_no_argument(folder):
	data = folder / "data"
	r = run("admin", "user", "add", "ann@example.org", PASSWORD, "--data", data)
	assert r.returncode == 2 and PASSWORD not in r.stdout + r.stderr
	assert run("admin", "user", "add", "ann@example.org", "--password", PASSWORD, "--data", data).returncode == 2
	assert not data.exists()


def test_an_email_that_is_taken_is_refused_before_a_password_is_asked_for(folder):
	data = folder / "data"
	add(data, "ann@example.org")
	assert "already" in add(data, "ANN@example.ORG", password=None, code=1).stderr
	assert len(users(data)) == 1


@pytest.mark.parametrize("words", [(), ("user",), ("key",), ("user", "make"), ("user", "list", "x"), ("user", "role", "a@b"), ("key", "add", "a@b"), ("user", "list", "--role", "admin"), ("user", "add", "a@b", "--scopes", "admin"),
				   ("key", "add", "a@b", "n", "--name", "x"), ("user", "add")])
def test_what_is_no_act_is_a_wrong_use(folder, words):
	data = folder / "data"
	assert "filemill" in admin(data, *words, code=2).stderr
	assert not data.exists()


def test_roles_and_switches_hold_and_the_last_administrator_stays(folder):
	data = folder / "data"
	add(data, "ann@example.org")
	add(data, "bob@example.org")
	for words in (("role", "ann@example.org", "user"), ("disable", "ann@example.org"), ("remove", "ann@example.org")):
		assert "last administrator" in admin(data, "user", *words, code=1).stderr
	assert "role" in admin(data, "user", "role", "bob@example.org", "king", code=1).stderr
	assert "no user" in admin(data, "user", "disable", "eve@example.org", code=1).stderr
	admin(data, "user", "role", "bob@example.org", "admin")
	admin(data, "user", "disable", "ann@example.org")
	assert users(data)["ann@example.org"]["disabled_at"] and users(data)["bob@example.org"]["role"] == "admin"
	admin(data, "user", "enable", "ann@example.org")
	assert users(data)["ann@example.org"]["disabled_at"] is None
	admin(data, "user", "remove", "bob@example.org")
	assert list(users(data)) == ["ann@example.org"]
	no_findings(data)


def test_a_new_password_takes_the_place_of_the_old_one(folder):
	data = folder / "data"
	add(data, "ann@example.org")
	db = sqlite3.connect(data / "catalog.db")
	before = db.execute("SELECT password, changed_at FROM account").fetchone()
	admin(data, "user", "passwd", "ann@example.org", password="another one altogether")
	after = db.execute("SELECT password, changed_at FROM account").fetchone()
	assert before[0] != after[0] and before[1] < after[1]


def test_a_key_is_shown_once_and_kept_as_a_hash(folder):
	data = folder / "data"
	add(data, "ann@example.org")
	made = json.loads(admin(data, "key", "add", "ann@example.org", "nightly", "--scopes", "files:read, jobs:read", "--expires", "90d", "--json").stdout)
	assert made["secret"].startswith("fmk_") and len(made["secret"]) == 47 and len(made["signing_secret"]) == 44
	assert made["scopes"] == ["files:read", "jobs:read"] and made["expires_at"]
	other = json.loads(admin(data, "key", "add", "ann@example.org", "other", "--json").stdout)
	assert other["scopes"] == ["files:read", "files:write", "jobs:read", "jobs:write"] and other["expires_at"] is None
	assert other["secret"] != made["secret"] and other["signing_secret"] != made["signing_secret"]
	listed = keys(data)
	assert [k["name"] for k in listed] == ["other", "nightly"] and not any("secret" in k or "signing_secret" in k for k in listed)
	bytes_there = everything_in(data)
	assert made["secret"].encode() not in bytes_there and made["signing_secret"].encode() not in bytes_there
	stored = sqlite3.connect(data / "catalog.db").execute("SELECT hash FROM api_key ORDER BY number").fetchall()
	assert [row[0] for row in stored] == [hashlib.sha256(k["secret"].encode()).digest() for k in (made, other)]
	admin(data, "key", "revoke", made["id"])
	assert [k["revoked_at"] is not None for k in keys(data, "ann@example.org")] == [False, True]


def test_what_cannot_be_a_key_is_refused(folder):
	data = folder / "data"
	add(data, "ann@example.org")
	for more, why in ((("x", "--scopes", "files:rad"), "scope"), (("x", "--scopes", ""), "scope"), (("x" * 101,), "name"), (("a\tb",), "name"), (("x", "--expires", "soon"), "90d"), (("x", "--expires", "0s"), "90d"),
			  (("x", "--expires", "40000d"), "90d")):
		assert why in admin(data, "key", "add", "ann@example.org", *more, code=1).stderr
	assert "no user" in admin(data, "key", "add", "bob@example.org", "x", code=1).stderr
	assert "no id" in admin(data, "key", "revoke", "x", code=1).stderr
	assert "no key" in admin(data, "key", "revoke", "01900000-0000-7000-8000-000000000001", code=1).stderr
	assert keys(data) == []


def test_beside_a_server_it_refuses_and_disturbs_nobody(make_server):
	s = make_server()
	r = add(s.data, "ann@example.org", code=1)
	assert "a server works on it" in r.stderr and "/v1/users" in r.stderr
	assert "a server works on it" in admin(s.data, "user", "list", code=1).stderr
	s.alive()
	s.stop()
	add(s.data, "ann@example.org")


def test_a_directory_that_is_none_is_left_as_it_is(folder):
	assert "no such directory" in admin(folder / "none", "user", "list", code=78).stderr
	assert not (folder / "none").exists()
	(folder / "other").mkdir()
	(folder / "other" / "thesis.txt").write_text("mine")
	add(folder / "other", "ann@example.org", code=78)
	assert [p.name for p in (folder / "other").iterdir()] == ["thesis.txt"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
def test_another_users_directory_is_refused(folder):
	data = folder / "data"
	add(data, "ann@example.org")
	os.chown(data, 65534, 65534)
	assert "65534" in admin(data, "user", "list", code=78).stderr


def test_a_backup_carries_accounts_keys_and_secrets(folder):
	data, target, again = folder / "data", folder / "copy", folder / "again"
	add(data, "ann@example.org")
	add(data, "bob@example.org", "--role", "operator")
	admin(data, "key", "add", "bob@example.org", "nightly")
	rows = [list(sqlite3.connect(data / "catalog.db").execute(f"SELECT * FROM {t}")) for t in ("account", "api_key", "secret")]
	assert [len(r) for r in rows] == [2, 1, 1]
	assert run("backup", "--data", data, target).returncode == 0
	assert run("restore", target, "--data", again).returncode == 0
	assert users(again) == users(data) and keys(again) == keys(data)
	assert [list(sqlite3.connect(again / "catalog.db").execute(f"SELECT * FROM {t}")) for t in ("account", "api_key", "secret")] == rows


def test_killed_at_any_moment_it_has_made_an_account_or_none(folder):
	data = folder / "data"
	add(data, "first@example.org")
	told = set()
	for i in range(8):
		p = subprocess.Popen([binary(), "admin", "user", "add", f"n{i}@example.org", "--data", str(data)], env=clean_environment(data=data), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
		p.stdin.write(PASSWORD.encode() + b"\n")
		p.stdin.flush()
		if i % 4 == 3:
			p.stdout.readline() # it has been told
		else:
			time.sleep(0.03 * (i % 4)) # wherever it is then
		p.kill()
		if b"may sign in" in p.communicate()[0] or i % 4 == 3:
			told.add(f"n{i}@example.org")
	there = users(data)
	assert told <= set(there), "what was told is not there"
	assert all(there[e]["role"] == "user" for e in there if e != "first@example.org")
	no_findings(data)
	for i in range(8):
		add(data, f"n{i}@example.org", code=1 if f"n{i}@example.org" in there else 0)
	assert len(users(data)) == 9


def at_terminal(data, *typed):
	"""The lines that a person types, each when he is asked; what was shown, and the exit status."""
	person, terminal = pty.openpty()
	p = subprocess.Popen([binary(), "admin", "user", "add", "ann@example.org", "--data", str(data)], env=clean_environment(data=data), stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True)
	shown = b""
	for number, line in enumerate(typed, 1):
		while shown.count(b": ") < number:
			assert select.select([person], [], [], SHOWN_TIMEOUT_S)[0], shown
			shown += os.read(person, 4096)
		assert not termios.tcgetattr(terminal)[3] & termios.ECHO
		if line is None:
			p.terminate()
		else:
			os.write(person, line.encode() + b"\n")
	code = p.wait(SHOWN_TIMEOUT_S)
	while select.select([person], [], [], 0)[0]:
		shown += os.read(person, 4096)
	assert termios.tcgetattr(terminal)[3] & termios.ECHO, "the terminal shows nothing that is typed any more"
	os.close(person)
	os.close(terminal)
	return shown.decode(), code


def test_at_a_terminal_it_asks_twice_and_shows_nothing(folder):
	data = folder / "data"
	shown, code = at_terminal(data, PASSWORD, PASSWORD + "!")
	assert code == 1 and "not the first" in shown and "correct" not in shown
	shown, code = at_terminal(data, "short")
	assert code == 1 and "10" in shown
	shown, code = at_terminal(data, PASSWORD, None)
	assert code == 1 and "interrupted" in shown
	shown, code = at_terminal(data, PASSWORD, PASSWORD)
	assert code == 0 and "may sign in now" in shown and "correct" not in shown
	assert len(users(data)) == 1
