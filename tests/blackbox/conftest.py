import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from harness.catalogue import leave_out_the_embedded # noqa: E402
from harness.fixtures import answers_as_documented, cluster, database, folder, make_server, module_folder, raise_own_limits, server # noqa: E402, F401
from harness.storage import bucket, leave_out_the_local # noqa: E402, F401


def pytest_sessionstart(session):
	raise_own_limits()


def pytest_collection_modifyitems(items):
	leave_out_the_embedded(items)
	leave_out_the_local(items)
