import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "blackbox"), str(Path(__file__).resolve().parent)]

from harness.fixtures import answers_as_documented, folder, raise_own_limits # noqa: E402, F401


def pytest_sessionstart(session):
	raise_own_limits()
