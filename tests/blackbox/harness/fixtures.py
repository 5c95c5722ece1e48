"""Fixtures of both test folders."""
import itertools
import os
import resource
import shutil
import tempfile
from pathlib import Path

import pytest

from harness import contract, storage
from harness.postgres import Postgres
from harness.server import Server


def raise_own_limits():
	"""Some tests open more than a thousand connections themselves."""
	soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
	resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 20000), hard))


@pytest.fixture(autouse=True)
def answers_as_documented():
	"""The first to be set up and the last to be torn down."""
	yield
	contract.demand()


def fresh_folder(request):
	return Path(tempfile.mkdtemp(prefix="filemill-test-", dir="/var/tmp" if request.node.get_closest_marker("disk") else None))


@pytest.fixture
def folder(request):
	"""A fresh folder, gone afterwards: a whole run writes gigabytes."""
	path = fresh_folder(request)
	yield path
	if not os.environ.get("KEEP_TEST_FOLDERS"):
		storage.forget(path)
		shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def module_folder(request):
	path = fresh_folder(request)
	yield path
	if not os.environ.get("KEEP_TEST_FOLDERS"):
		storage.forget(path)
		shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def make_server(folder):
	"""make_server(**options) starts a server of the test's own; all are stopped, with the checks of harness.Server.stop()."""
	servers, numbers = [], itertools.count()

	def make(start=True, **options):
		server = Server(folder / f"s{next(numbers)}", **options)
		servers.append(server)
		return server.start() if start else server

	yield make
	failures = []
	for server in servers:
		try:
			server.stop()
		except AssertionError as e:
			failures.append(str(e))
	assert not failures, "\n".join(failures)


@pytest.fixture(scope="module")
def server(module_folder):
	"""One server for the tests of a module that do not mind what others left in it."""
	with Server(module_folder / "shared", surfaces=["all"], settings={"log.access": "true"}) as s:
		yield s


@pytest.fixture(scope="module")
def cluster():
	"""A PostgreSQL for the tests of a module."""
	c = Postgres()
	yield c
	c.close()


@pytest.fixture
def database(cluster):
	"""Where a new database of it is."""
	return cluster.conninfo(cluster.new_database())
