"""The catalogue on PostgreSQL, opened from the configuration: what only that shows. That everything else holds there too is shown by the other tests with FILEMILL_CATALOG=postgres."""
import hashlib
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from harness import wire
from harness.ceph import free_port
from harness.postgres import Postgres, programs
from harness.server import StartFailed, binary, clean_environment, eventually, problem, run
from harness.watch import metrics
from harness.wire import Wire

pytestmark = pytest.mark.skipif(programs() is None, reason="postgresql is not installed")

SECRET = "p4ss-w0rd"


@pytest.fixture
def database(database):
	"""With a password that nobody asks for and nobody must say."""
	return f"{database} password={SECRET}"


def name_of(database):
	return database.split("dbname=")[1].split()[0]


def finished(server, jobs):
	return eventually(lambda: [j for j in server.all_jobs() if j["state"] == "succeeded"] if len(server.all_jobs("&state=succeeded")) == jobs else None)


def test_what_was_acknowledged_is_there_after_a_restart_and_after_kill_9(make_server, cluster, database):
	s = make_server(settings={"catalog.url": database, "files.inline_max": "1KiB"})
	bodies = [os.urandom(n) for n in (0, 100, 5000)]
	files = [s.upload(b, f"{i}.bin", "ops=md5,sha1") for i, b in enumerate(bodies)]
	finished(s, 6)
	s.restart()
	files += [s.upload(os.urandom(200), "last.bin", "ops=md5,sha1")]
	s.kill()
	s.start()
	finished(s, 8)
	for body, file in zip(bodies, files):
		assert s.get(f"/v1/files/{file['id']}/content").content == body
		md5 = next(j for j in s.get(f"/v1/files/{file['id']}").json()["jobs"] if j["op"] == "md5")
		assert md5["result"]["md5"] == hashlib.md5(body).hexdigest()
	assert not (s.data / "catalog.db").exists()
	rows = cluster.sql("SELECT status, count(*) FROM md5_tasks GROUP BY status", name_of(database))
	assert rows.split() == ["SUCCESS", "4"]
	s.stop()
	assert SECRET not in s.log()


def test_while_postgresql_is_away_callers_are_told_and_afterwards_all_goes_on(make_server, cluster, database):
	s = make_server(settings={"catalog.url": database, "limits.exempt": "", "limits.address": "100000/1h"})
	before = s.upload(b"before")
	finished(s, 1)
	cluster.stop("immediate")
	try:
		problem(s.get(f"/v1/files/{before['id']}"), 503, "catalog_unavailable")
		s.alive()
		eventually(lambda: s.get("/v1/ops") is not None and any(e["event"] == "rates_not_shared" for e in s.log_events()), pause=0.2)
		with ThreadPoolExecutor(1) as pool:
			meanwhile = pool.submit(requests.post, s.base + "/v1/files?name=meanwhile", data=b"meanwhile", timeout=70)
			cluster.start()
			meanwhile = meanwhile.result()
	finally:
		if cluster.process is None:
			cluster.start()
	# A batch waits some seconds for a connection to come back.
	if meanwhile.status_code != 201:
		problem(meanwhile, 503)
	eventually(lambda: s.get(f"/v1/files/{before['id']}").status_code == 200)
	eventually(lambda: s.post("/v1/files?name=after", data=b"after").status_code == 201)
	names = sorted(f["name"] for f in s.all_files())
	assert names == ["a.bin", "after"] + (["meanwhile"] if meanwhile.status_code == 201 else [])
	finished(s, len(names))
	eventually(lambda: s.get("/v1/ops").ok and metrics(s)["filemill_rates_alone"] == 0, pause=0.2)


def test_a_server_that_took_no_writes_for_a_while_takes_them_again(make_server, cluster, database):
	"""A session keeps what it began with, so the node has to begin another one: after a switch to another server as well."""
	s = make_server(settings={"catalog.url": database})
	before = s.upload(b"before")
	name = name_of(database)

	def end_sessions():
		cluster.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}' AND pid <> pg_backend_pid()")

	cluster.sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
	end_sessions()
	eventually(lambda: s.post("/v1/files?name=meanwhile", data=b"meanwhile").status_code == 503)
	problem(s.post("/v1/files?name=meanwhile", data=b"meanwhile"), 503, "storage_readonly")
	assert s.get(f"/v1/files/{before['id']}/content").content == b"before"
	cluster.sql(f"ALTER DATABASE {name} RESET default_transaction_read_only", "postgres")
	eventually(lambda: s.post("/v1/files?name=after", data=b"after").status_code == 201)
	eventually(lambda: s.get("/readyz").status_code == 200)


def test_what_postgresql_says_while_a_node_connects_is_in_its_log_as_every_other_thing(make_server, cluster, database):
	if int(cluster.programs.parent.name) < 15:
		pytest.skip("PostgreSQL before 15 does not say of a database that its collation changed")
	cluster.sql(f"UPDATE pg_database SET datcollversion = 'of long ago' WHERE datname = '{name_of(database)}'")
	s = make_server(settings={"catalog.url": database})
	finished(s, len([s.upload(b"one")]))
	s.stop()
	told = [e for e in s.log_events() if e["event"] == "postgres_notice"] # each line is one of the log's
	assert told and all("collation version" in e["detail"] and e["state"] and e["level"] == "warn" for e in told), told


class Standby:
	"""Of a cluster; what it is told it does not show for an hour."""

	def __init__(self, cluster):
		self.cluster, self.folder = cluster, cluster.folder / "standby"
		cluster._run("pg_basebackup", "-D", str(self.folder), "-R", "-h", str(cluster.folder), "-U", "postgres", "-X", "stream", "-c", "fast") # pylint: disable=protected-access
		with open(self.folder / "postgresql.auto.conf", "a", encoding="ascii") as conf:
			print(f"unix_socket_directories = '{self.folder}'\nrecovery_min_apply_delay = '1h'", file=conf)
		self.process = subprocess.Popen([cluster.programs / "postgres", "-D", str(self.folder)], cwd=cluster.folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
						stderr=subprocess.DEVNULL, **cluster.identity)
		pid = self.folder / "postmaster.pid"
		eventually(lambda: pid.exists() and "ready" in pid.read_text(encoding="ascii").split(), message="the standby does not come up")

	def close(self):
		self.process.send_signal(signal.SIGQUIT)
		self.process.wait()


def test_a_standby_is_not_asked_what_became_of_a_commit(make_server):
	"""The commit is on the disk of a server that ends before it says so, and the standby shows nothing of it yet."""
	cluster = Postgres(durable=True, settings={"wal_level": "replica", "max_wal_senders": "5"})
	standby = None
	try:
		cluster.sql("CREATE DATABASE d")
		standby = Standby(cluster)
		s = make_server(settings={"catalog.url": f"host={cluster.folder},{standby.folder} user=postgres dbname=d", "files.inline_max": "1KiB"})
		body = os.urandom(5000)
		s.upload(body)
		# Commits are flushed and then wait for somebody whom there is not.
		cluster.sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
		cluster.sql("SELECT pg_reload_conf()")
		with ThreadPoolExecutor(1) as pool:
			answer = pool.submit(requests.post, s.base + "/v1/files?name=late", data=body, timeout=120)
			eventually(lambda: cluster.sql("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'"))
			cluster.stop("immediate")
			eventually(lambda: "filemill" in standby_sessions(cluster, standby), message="the node does not come to the standby")
			with open(cluster.folder / "data" / "postgresql.auto.conf", "a", encoding="ascii") as conf:
				print("synchronous_standby_names = ''", file=conf)
			cluster.start()
			answer = answer.result()
		assert answer.status_code == 201, answer.text
		assert s.get(f"/v1/files/{answer.json()['id']}/content").content == body
		s.stop()
		r = run("fsck", "--read", "--data", s.data, settings=s.settings)
		assert r.returncode == 0, r.stdout + r.stderr
	finally:
		if standby:
			standby.close()
		cluster.close()


def standby_sessions(cluster, standby):
	return cluster._run("psql", "-X", "-q", "-A", "-t", "-c", "SELECT application_name FROM pg_stat_activity", f"host={standby.folder} user=postgres dbname=d") # pylint: disable=protected-access


def test_who_has_sent_all_is_not_told_that_he_was_slow_when_postgresql_was(make_server, cluster, database):
	s = make_server(settings={"catalog.url": database, "http.header_timeout": "1s", "http.body_grace": "1s", "http.connections_per_address": "0"})
	cluster.signal_all(signal.SIGSTOP)
	try:
		waiting = [Wire(s) for _ in range(8)]
		for i, w in enumerate(waiting):
			w.send(wire.head("POST", f"/v1/files?name={i}", ["Content-Type: application/octet-stream", "Content-Length: 5"]) + b"bytes")
		time.sleep(4) # several times what a slow client has
	finally:
		cluster.signal_all(signal.SIGCONT)
	statuses = [w.read("POST").status_code for w in waiting]
	assert set(statuses) <= {201, 503}, statuses
	assert len(s.all_files()) >= statuses.count(201)


def test_a_data_directory_stays_with_its_kind_of_catalogue(make_server, database):
	s = make_server()
	s.upload(b"embedded")
	s.stop()
	s.settings["catalog.url"] = database
	with pytest.raises(StartFailed, match="it has a catalogue of its own"):
		s.start()
	del s.settings["catalog.url"]
	s.start()
	assert len(s.all_files()) == 1

	other = make_server(settings={"catalog.url": database})
	other.upload(b"elsewhere")
	other.stop()
	del other.settings["catalog.url"]
	with pytest.raises(StartFailed, match="catalog.url is missing"):
		other.start()
	assert not (other.data / "catalog.db").exists()


def test_a_catalogue_that_knows_nothing_of_the_files_is_refused(make_server, cluster, database, folder):
	"""Or the sweep would take all of them for garbage: a name that was mistyped is enough."""
	s = make_server(settings={"catalog.url": database, "files.inline_max": "1KiB"})
	body = os.urandom(5000)
	f = s.upload(body)
	s.stop()

	def refused(url, words):
		s.settings["catalog.url"] = url
		for _ in range(2): # a service manager tries again
			with pytest.raises(StartFailed, match=words):
				s.start()
		r = run("fsck", "--repair", "--data", s.data, settings=s.settings)
		assert r.returncode != 0 and re.search(words, r.stderr), r.stdout + r.stderr

	cluster.sql("CREATE DATABASE empty")
	refused(cluster.conninfo("empty"), "no server has used")
	cluster.sql("CREATE DATABASE others")
	other = make_server(settings={"catalog.url": cluster.conninfo("others")})
	other.stop()
	refused(cluster.conninfo("others"), "files are in another data directory")
	s.settings["catalog.url"] = database
	s.start()
	assert s.get(f"/v1/files/{f['id']}/content").content == body
	s.stop()
	r = run("fsck", "--repair", "--read", "--data", s.data, settings=s.settings)
	assert r.returncode == 0, r.stdout + r.stderr


@pytest.mark.parametrize("url", [f"postgres://filemill:{SECRET}@x@db.example.org/filemill", f"postgres://filemill:a/{SECRET}@db.example.org/filemill",
				 f"postgres://filemill:{SECRET}@db.example.org/filemill?sslmode", f"host=db.example.org password={SECRET} x", SECRET,
				 f"postgres://filemill:{SECRET}%@db.example.org/", f"host=db.example.org password='{SECRET}", f"host=a port={SECRET}"])
def test_a_malformed_address_is_refused_without_a_word_of_it(folder, url):
	r = run("check-config", settings={"catalog.url": url})
	assert r.returncode == 78
	assert "catalog.url: it is no connection string" in r.stderr
	assert SECRET not in r.stdout + r.stderr


def test_a_server_that_is_not_there_is_named_and_the_password_is_not(make_server, folder):
	with pytest.raises(StartFailed) as failed:
		make_server(settings={"catalog.url": f"postgres://filemill:{SECRET}@127.0.0.1:1/filemill"})
	assert "127.0.0.1" in failed.value.stderr and "refused" in failed.value.stderr
	assert SECRET not in failed.value.stderr


def test_certificates_that_are_missing_are_told_with_what_to_say(folder):
	port = free_port()
	pg = Postgres(settings={"listen_addresses": "'127.0.0.1'", "port": str(port)})
	try:
		key, cert = pg.folder / "tls.key", pg.folder / "tls.pem"
		subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=db", "-addext", "subjectAltName=IP:127.0.0.1",
				"-days", "2", "-keyout", key, "-out", cert], check=True, capture_output=True)
		for file in (key, cert):
			shutil.chown(file, pg.folder.owner(), pg.folder.group())
		for setting in (f"ssl_key_file = '{key}'", f"ssl_cert_file = '{cert}'", "ssl = on"):
			pg.sql(f"ALTER SYSTEM SET {setting}")
		pg.stop()
		pg.start()
		shutil.copy(cert, folder / "trusted.pem")
		url = f"postgres://postgres@127.0.0.1:{port}/postgres?sslmode=verify-full"
		r = run("migrate", "--data", folder / "data", settings={"catalog.url": url})
		assert r.returncode == 1 and "root certificate file" in r.stderr and "sslrootcert=FILE" in r.stderr and len(r.stderr.splitlines()) == 1, r.stderr
		r = run("migrate", "--data", folder / "data", settings={"catalog.url": f"{url}&sslrootcert={folder / 'trusted.pem'}"})
		assert r.returncode == 0, r.stderr
	finally:
		pg.close()


def test_who_may_not_create_tables_is_told_what_the_server_says(make_server, cluster, database):
	"""As of version 15 nobody but the owner of a database may, until he is allowed to."""
	name = name_of(database)
	cluster.sql(f"CREATE ROLE {name}_user LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC", name)
	s = make_server(start=False, settings={"catalog.url": database.replace("user=postgres", f"user={name}_user")})
	with pytest.raises(StartFailed, match="PostgreSQL says 42501, permission denied for schema public"):
		s.start()
	cluster.sql(f"GRANT CREATE ON SCHEMA public TO {name}_user", name)
	s.start()
	s.upload(b"allowed")


@pytest.mark.parametrize("schema", ["Mixed Case", "with-hyphen", 'quote"s; --'])
def test_a_schema_may_have_a_name_that_is_quoted(make_server, cluster, database, folder, schema):
	quoted = '"' + schema.replace('"', '""') + '"'
	cluster.sql(f"CREATE SCHEMA {quoted}; ALTER DATABASE {name_of(database)} SET search_path = {quoted}", name_of(database))
	s = make_server(settings={"catalog.url": database})
	f = s.upload(b"quoted")
	s.restart()
	assert s.get(f"/v1/files/{f['id']}/content").content == b"quoted"
	s.stop()
	assert run("fsck", "--read", "--data", s.data, settings=s.settings).returncode == 0
	r = run("backup", "--data", s.data, folder / "copy", settings=s.settings)
	assert r.returncode == 0 and "1 files" in r.stdout, r.stdout + r.stderr


def test_the_commands_work_on_it_or_say_why_not(make_server, database, folder):
	settings = {"catalog.url": database}
	s = make_server(settings=settings)
	s.upload(b"x" * 100000)
	finished(s, 1)
	s.stop()
	data = ("--data", s.data)
	assert run("fsck", *data, "--read", settings=settings).returncode == 0
	assert run("audit", "verify", *data, settings=settings).stdout.startswith("ok: ")
	assert run("backup", *data, folder / "copy", settings=settings).returncode == 0
	r = run("restore", "--data", folder / "back", folder / "copy", settings=settings)
	assert r.returncode == 78 and "filemill move" in r.stderr, r
	assert not (folder / "back").exists()
	r = subprocess.run([binary(), "admin", "user", "add", "a@example.org", *map(str, data)], input="correct horse battery\n", text=True, capture_output=True,
			   env=clean_environment(settings), check=True)
	assert "a@example.org" in run("admin", "user", "list", *data, settings=settings).stdout
	s.start()
	assert s.get("/v1/files").status_code == 401


def test_the_first_account_may_be_made_beside_a_server_and_holds_at_once(make_server, database):
	s = make_server(settings={"catalog.url": database})
	s.upload(b"by whoever comes")
	for email in ("a@example.org", "b@example.org"):
		subprocess.run([binary(), "admin", "user", "add", email, "--data", str(s.data)], input="correct horse battery\n", text=True, capture_output=True,
			       env=clean_environment(s.settings), check=True)
		assert s.get("/v1/files").status_code == 401
	r = run("admin", "user", "disable", "b@example.org", "--data", s.data, settings=s.settings)
	assert r.returncode == 1 and "a server works on it" in r.stderr, r


def test_migrate_makes_the_catalogue_and_says_where_it_stands(make_server, cluster, database, folder):
	settings, data = {"catalog.url": database}, ("--data", folder / "data")
	r = run("migrate", "--check", *data, settings=settings)
	assert r.returncode == 1 and re.fullmatch(r"PostgreSQL [^:]+: no catalogue yet; this program makes one of schema \d+\n", r.stdout), r
	r = run("migrate", *data, settings=settings)
	assert r.returncode == 0 and "was made" in r.stdout, r
	latest = int(cluster.sql("SELECT max(version) FROM schema_version", name_of(database)))
	for flags in (("--check",), ()):
		r = run("migrate", *flags, *data, settings=settings)
		assert r.returncode == 0 and f"schema {latest}, as this program works on it" in r.stdout, r
	assert not (folder / "data").exists()
	s = make_server(settings=settings)
	assert run("migrate", *data, settings=settings).returncode == 0 # beside a server
	s.stop()
	cluster.sql(f"INSERT INTO schema_version (version) VALUES ({latest + 1})", name_of(database))
	r = run("migrate", *data, settings=settings)
	assert r.returncode == 1 and f"has schema {latest + 1}, this program knows up to {latest}" in r.stderr, r
	with pytest.raises(StartFailed, match=f"has schema {latest + 1}"):
		s.start()


def test_nodes_of_an_older_version_go_on_beside_a_newer_schema_that_lets_them(make_server, cluster, database, folder):
	settings, data = {"catalog.url": database}, ("--data", folder / "data")
	s = make_server(settings=settings)
	latest = int(cluster.sql("SELECT max(version) FROM schema_version", name_of(database)))
	cluster.sql(f"INSERT INTO schema_version (version, beside) VALUES ({latest + 1}, {latest}), ({latest + 2}, {latest})", name_of(database))
	stored = s.upload(b"beside a newer one")["id"]
	s.restart()
	assert s.get(f"/v1/files/{stored}/content").content == b"beside a newer one"
	s.upload(b"another")
	r = run("migrate", *data, settings=settings)
	assert r.returncode == 0 and f"schema {latest + 2}, beside which this program may go on; its own is {latest}" in r.stdout, r
	assert run("doctor", *data, settings=settings).returncode == 0
	s.stop()
	old, new = folder / "old.yaml", folder / "new.yaml"
	old.write_text(f"data: {{dir: {s.data}}}\ncatalog: {{url: \"{database}\"}}\n")
	new.write_text(f"data: {{dir: {folder}/new}}\n")
	r = run("move", "--from", old, "--to", new) # what it does not know it could not bring
	assert r.returncode == 1 and f"has schema {latest + 2}, this program knows up to {latest}" in r.stderr, r
	cluster.sql(f"INSERT INTO schema_version (version, beside) VALUES ({latest + 3}, {latest + 1})", name_of(database))
	with pytest.raises(StartFailed, match=f"has schema {latest + 3}"):
		s.start()


def test_a_migration_that_older_nodes_may_not_see_waits_for_them(make_server, cluster, database, folder):
	settings, data = {"catalog.url": database}, ("--data", folder / "data")
	s = make_server(settings=settings)
	latest = int(cluster.sql("SELECT max(version) FROM schema_version", name_of(database)))
	cluster.sql("INSERT INTO hold VALUES (gen_random_uuid(), 'backup on nowhere', 0, 9e15::bigint)", name_of(database))
	for known, why in ((7, "a backup is being made, wait for it: backup on nowhere"), # schema 8 lets those of 7 go on, 7 nobody
			   (6, f"nodes of an older version are at work and may not go on beside it: stop them first, or wait until their leases are over: {os.uname().nodename}")):
		cluster.sql(f"DELETE FROM schema_version WHERE version > {known}", name_of(database)) # as if those at work knew no more
		r = run("migrate", *data, settings=settings)
		assert r.returncode == 1 and f"the catalogue has schema {known}, this program works on {latest}; {why}" in r.stderr, r
	s.upload(b"it goes on")
	s.stop()
	r = run("migrate", "--check", *data, settings=settings)
	assert r.returncode == 1 and f"schema 6; this program works on {latest}" in r.stdout, r


@pytest.mark.parametrize("beside, goes_on", [(1, False), (0, True)])
def test_a_node_that_stood_still_while_the_schema_went_on_learns_whether_it_may_go_on(make_server, cluster, database, beside, goes_on):
	s = make_server(settings={"catalog.url": database, "jobs.lease": "2s", "jobs.beat": "500ms"})
	db, alive = name_of(database), "SELECT count(*) FROM worker WHERE expires_at > extract(epoch FROM clock_timestamp()) * 1000"
	latest = int(cluster.sql("SELECT max(version) FROM schema_version", db))
	eventually(lambda: int(cluster.sql(alive, db)) == 1)
	s.signal(signal.SIGSTOP)
	eventually(lambda: int(cluster.sql(alive, db)) == 0) # a migration waits for nobody any more
	cluster.sql(f"INSERT INTO schema_version (version, beside) VALUES ({latest + 1}, {latest + beside})", db)
	s.signal(signal.SIGCONT)
	if goes_on:
		eventually(lambda: int(cluster.sql(alive, db)) == 1)
		finished(s, len([s.upload(b"as before")]))
		return
	assert s.wait() == 1
	last = s.log_events()[-1]
	assert last["event"] == "ended" and last["code"] == "schema_newer" and last["detail"] == f"the catalogue has schema {latest + 1}, this program knows up to {latest}", last
	assert int(cluster.sql(alive, db)) == 0
	with pytest.raises(StartFailed, match=last["detail"]): # the same words
		s.start()


def test_migrate_says_where_an_embedded_catalogue_stands(make_server):
	s = make_server()
	data = ("--data", s.data)
	assert run("migrate", *data).returncode == 0 # beside a server, since there is nothing to do
	s.stop()
	with sqlite3.connect(s.data / "catalog.db") as db:
		latest = db.execute("PRAGMA user_version").fetchone()[0]
		db.execute(f"PRAGMA user_version = {latest - 1}")
	r = run("migrate", "--check", *data)
	assert r.returncode == 1 and f"schema {latest - 1}; this program works on {latest}" in r.stdout, r
	with sqlite3.connect(s.data / "catalog.db") as db:
		assert db.execute("PRAGMA user_version").fetchone()[0] == latest - 1
		db.execute(f"PRAGMA user_version = {latest}")
	r = run("migrate", *data)
	assert r.returncode == 0 and f"schema {latest}, as this program works on it" in r.stdout, r


def test_doctor_tells_of_it(cluster, database, folder):
	def told(url):
		r = run("doctor", "--json", "--data", folder / "data", settings={"catalog.url": url})
		assert SECRET not in r.stdout + r.stderr
		return {f["name"]: f for f in json.loads(r.stdout)["findings"] if f["part"] == "catalogue"}

	by = told(database)
	assert by["database"]["verdict"] == "ok" and by["database"]["detail"].startswith("PostgreSQL ") and by["schema"]["verdict"] == "note"
	assert cluster.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", name_of(database)).strip() == "0"
	run("migrate", "--data", folder / "data", settings={"catalog.url": database})
	assert told(database)["schema"]["verdict"] == "ok"
	assert told(f"host=127.0.0.1 port=1 password={SECRET}")["database"]["verdict"] == "failed"
	barred = told(cluster.barred())["database"] # no server would start there
	assert barred["verdict"] == "failed" and "may make no tables" in barred["detail"]
