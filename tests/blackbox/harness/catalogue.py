"""Which catalogue the servers under test have: that of the data directory, or with FILEMILL_CATALOG=postgres a database of a PostgreSQL of the test process's own, one for each data
directory, made when it is first asked for."""
import atexit
import os
import threading

import pytest

from harness.postgres import Postgres

ON_POSTGRES = os.environ.get("FILEMILL_CATALOG") == "postgres"
assert os.environ.get("FILEMILL_CATALOG", "") in ("", "sqlite", "postgres"), "FILEMILL_CATALOG is sqlite or postgres"

# For a module as `pytestmark`, or for a test.
embedded = pytest.mark.skipif(ON_POSTGRES, reason="about the catalogue in the data directory")

_lock = threading.Lock()
_server = None
_databases = {}


def _cluster():
	global _server
	if _server is None:
		_server = Postgres(settings={"max_connections": "300"})
		atexit.register(_server.close)
	return _server


def url(data):
	"""catalog.url for this data directory; None where it has a catalogue of its own."""
	if not ON_POSTGRES:
		return None
	place = os.path.abspath(data)
	with _lock:
		if place not in _databases:
			name = f"t{len(_databases)}"
			_cluster().sql(f"CREATE DATABASE {name}")
			_databases[place] = _cluster().conninfo(name)
		return _databases[place]


def environment(data):
	"""What a program that works on this data directory needs in its environment."""
	where = url(data)
	return {"FILEMILL_CATALOG_URL": where} if where else {}
