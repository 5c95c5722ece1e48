"""Which catalogue the servers under test have: that of the data directory, or with FILEMILL_CATALOG=postgres a database of a PostgreSQL of the test process's own, one for each data
directory, made when it is first asked for."""
import atexit
import os
import threading
from pathlib import Path

import pytest

from harness.postgres import Postgres

ON_POSTGRES = os.environ.get("FILEMILL_CATALOG") == "postgres"
assert os.environ.get("FILEMILL_CATALOG", "") in ("", "sqlite", "postgres"), "FILEMILL_CATALOG is sqlite or postgres"

# Whole modules, and tests by the beginnings of their names: they look into catalog.db, make it small or slow, wait for its log, count descriptors, take it away and bring it
# back by filemill backup, name their catalogues themselves, have a directory that one process alone may use, or are refused by a thread that would have to wait for a catalogue elsewhere.
EMBEDDED = {
	"test_admin": ["test_an_account_is_told_as_it_was_made", "test_a_new_password_takes", "test_a_key_is_shown_once", "test_a_backup_carries", "test_beside_a_server_it_refuses"],
	"test_attack": ["test_a_file_size_limit_at_the_start", "test_a_stop_while_the_disk_is_stuck", "test_a_stop_that_takes_too_long"],
	"test_audit": None,
	"test_backup": None,
	"test_backup_shared": None,
	"test_bad_input_f": ["test_f4_"],
	"test_catalogue_stands": None,
	"test_config_cli": ["test_the_default_directory", "test_a_directory_in_use"],
	"test_fsck": None,
	"test_imports": ["test_recurring_jobs_pass_over"],
	"test_limits": ["test_who_has_no_room_is_told_before_the_body"],
	"test_lifecycle": ["test_a_newer_catalogue_is_refused"],
	"test_move": None,
	"test_move_life": None,
	"test_many_nodes": None,
	"test_new_config": None,
	"test_nodes": ["test_work_alone_with_an_embedded"],
	"test_operators": ["test_the_audit_log_is_read", "test_a_job_is_cancelled_and_retried_for", "test_jobs_are_cancelled_and_retried_by"],
	"test_overload": ["test_who_comes_to_a_queue_that_stands", "test_slow_heads_bodies_readers_and_ranges"],
	"test_postgres": None,
	"test_recurring": None,
	"test_scrub": ["test_a_damaged_output_is", "test_a_stop_in_the_midst", "test_a_kill_in_the_midst"],
	"test_storage_full": None,
	"test_surface_hash_tasks": ["test_the_view_for_those_who_query"],
	"test_surface_instashare": ["test_files_stored_together_are_one_entry"],
	"test_volume": None,
	"test_watch": ["test_what_has_to_be_asked_for", "test_a_server_at_work_raises_no_alert"],
	"test_webhooks": ["test_a_secret_is_shown_once"],
}
SKIP = pytest.mark.skip(reason="about the catalogue in the data directory")


def leave_out_the_embedded(items):
	"""Of the collected tests, those that say nothing about the catalogue they are run on."""
	for item in items:
		names = EMBEDDED.get(item.path.stem, ()) if ON_POSTGRES else ()
		if names is None or any(item.name.startswith(name) for name in names):
			item.add_marker(SKIP)

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


def connections(pid):
	"""Inodes of the process's connections to its catalogue, of which it keeps a bounded number. They are its only stream sockets on this machine alone: to its children it speaks in packets."""
	if not ON_POSTGRES:
		return set()
	rows = [line.split() for line in Path(f"/proc/{pid}/net/unix").read_text(encoding="utf-8", errors="replace").splitlines()[1:]]
	return {row[6] for row in rows if row[4] == "0001"}
