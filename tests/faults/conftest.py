import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "blackbox"))

from filecalls import library # noqa: E402
from harness.fixtures import answers_as_documented, folder, make_server, module_folder, raise_own_limits, server # noqa: E402, F401


def pytest_sessionstart(session):
	raise_own_limits()


@pytest.fixture(scope="session")
def file_shim(tmp_path_factory):
	return library(tmp_path_factory.mktemp("shim"))
