"""The audit log read and checked by the description in docs/operations.md alone: nothing here knows the program's own code."""
import hashlib
import json
import re
import sqlite3

from harness.server import eventually, run

NAME = re.compile(r"^audit-(\d{12,})\.jsonl$")
ZERO = "0" * 64


def files(data):
	return sorted((p for p in (data / "audit").iterdir() if NAME.match(p.name)), key=lambda p: int(NAME.match(p.name)[1]))


def lines(data):
	"""Every line as an object, after the whole chain was checked."""
	found, before = [], ZERO
	for path in files(data):
		assert int(NAME.match(path.name)[1]) == len(found) + 1, path
		raw = path.read_bytes()
		assert raw == b"" or raw.endswith(b"\n"), raw[-100:]
		for line in raw.splitlines():
			said = json.loads(line)
			hashed = line[:line.rindex(b',"hash":"')]
			assert said["hash"] == hashlib.sha256(hashed).hexdigest() and said["prev"] == before and said["seq"] == len(found) + 1, line
			before = said["hash"]
			found.append(said)
	return found


def acts(data, *words):
	return [x for x in lines(data) if not words or x["act"] in words]


def waiting(data):
	"""Entries that the log does not have yet."""
	db = sqlite3.connect(f"file:{data}/catalog.db?mode=ro", uri=True)
	try:
		return db.execute("SELECT count(*) FROM audit").fetchone()[0]
	finally:
		db.close()


def settled(server):
	"""Waits until the log has everything that was answered, and returns it."""
	eventually(lambda: waiting(server.data) == 0, message="entries do not get into the log")
	return lines(server.data)


def verify(*args, settings=None):
	"""True and the line that is told, or False."""
	r = run("audit", "verify", *args, settings=settings, timeout=120)
	assert r.stderr == "" and r.returncode in (0, 1) and r.stdout.count("\n") == 1, r
	assert (r.returncode == 0) == r.stdout.startswith("ok: "), r
	return r.returncode == 0, r.stdout
