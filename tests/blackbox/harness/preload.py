"""Libraries of ours in front of the C library, for what a machine does not do when it is asked to: a disk that stands still, a wrong clock, an end at a certain point. And the environments that take them."""
import subprocess
from pathlib import Path

import pytest


def _environment(folder, name, **variables):
	library = folder / f"{name}.so"
	if not library.exists():
		subprocess.run(["cc", "-std=gnu2x", "-O1", "-fPIC", "-shared", "-o", library, Path(__file__).parent / f"{name}.c"], check=True)
	return {"LD_PRELOAD": str(library), "ASAN_OPTIONS": "exitcode=99:verify_asan_link_order=0", **variables}


@pytest.fixture
def slow_disk(folder):
	"""Environment under which every flush lasts as long as the file is there, but five minutes at most, and that file."""
	slow = folder / "slow"
	return _environment(folder, "slow_flush", SLOW_FILE=str(slow), SLOW_SECONDS="300"), slow


@pytest.fixture
def end_at(folder):
	"""Environment of a process that ends, as by kill -9, at such a point."""
	return lambda point: _environment(folder, "end_at", END_AT=point)


@pytest.fixture
def other_clock(folder):
	"""Environment of a process whose wall clock is so many seconds ahead."""
	return lambda ahead: _environment(folder, "other_clock", CLOCK_AHEAD_S=str(ahead))
