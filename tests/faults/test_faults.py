"""Every call that writes, flushes or names a file fails once, then for good: never an acknowledgement without the bytes, and after a
failed flush no acknowledgement at all (PROMISES.md, "When things break").

A sweep runs the same scenario with the first, the second, the third … call failing until it passes without a fault; the calls of a first start and those of a later life are swept
apart, for a first start is what takes the time. shim.c does the failing. test_fault_scenarios.py has more scenarios, and draws places of them."""
import errno
import os
import re
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest
from fault_life import LARGE, RAW, SMALL, Life
from filecalls import FLUSHES
from harness.server import Server

STEP = 1 if os.environ.get("FILEMILL_FAULTS") == "all" else 8 # every eighth call
MOST = 2000 # calls: a scenario that needs more does not end


def scenario(life):
	"""A small and a large file, a job, a change, a deletion."""
	ids = [life.upload(SMALL), life.upload(LARGE), life.upload(LARGE + b"to be deleted")]
	stored = [i for i in ids if i]
	if stored:
		r = life.request("POST", f"/v1/files/{stored[-1]}/jobs", json={"op": "sha1"})
		if r.status_code == 202:
			life.jobs[r.json()["id"]] = {"succeeded", "cancelled"} # with its file, which is deleted
			life.request("GET", f"/v1/jobs/{r.json()['id']}?wait=1")
		life.request("PATCH", f"/v1/files/{stored[0]}", json={"name": "changed"})
	if ids[2]:
		life.delete(ids[2])
	life.request("GET", "/v1/files")


@pytest.fixture(scope="module")
def used(module_folder):
	"""A data directory whose first start is over."""
	with Server(module_folder / "used") as s:
		pass
	return s.data


def one(folder, shim, n, plan, recovers, used):
	"""True when there is a call n to fail: in the first start, or, with `used`, in a later one and in the scenario."""
	life = Life(folder / str(n), shim, at=n, **plan)
	failed = []
	try:
		if used:
			shutil.copytree(used, life.server.data)
		if life.start():
			if not used and not life.faults.failed():
				return False # the first start was over before
			scenario(life)
			if life.faults.flush_failed() and not plan.get("short"):
				life.check_sealed()
			elif life.faults.failed() and recovers and not life.faults.flush_failed():
				life.check_recovers()
		failed = life.faults.failed()
		life.check_after()
		return bool(failed)
	except BaseException as e:
		failed = life.faults.failed()
		raise AssertionError(f"call {n} ({' '.join(failed[0]) if failed else 'none failed'}), answers {life.answers[-8:]}: {str(e)[:600]}\n{life.server.log()[-600:]}") from e
	finally:
		if life.server.running():
			life.server.kill()
		shutil.rmtree(life.folder, ignore_errors=True)


PLANS = { # what shim.c is told, and whether the server recovers by itself
	"EIO once": ({"errno": errno.EIO}, False),
	"EIO for good": ({"errno": errno.EIO, "sticky": 1}, False),
	"ENOSPC once": ({"errno": errno.ENOSPC}, True),
	"ENOSPC for good": ({"errno": errno.ENOSPC, "sticky": 1}, False),
	"short writes": ({"short": 1}, False),
}


@pytest.mark.parametrize("first_start", [True, False], ids=["first start", "used"])
@pytest.mark.parametrize("name", PLANS)
def test_each_call_fails_in_turn(folder, file_shim, used, name, first_start):
	plan, recovers = PLANS[name]
	failures, done = [], False
	with ThreadPoolExecutor(2) as pool:
		for start in range(1, MOST, 8 * STEP):
			for n, task in [(n, pool.submit(one, folder, file_shim, n, plan, recovers, None if first_start else used)) for n in range(start, start + 8 * STEP, STEP)]:
				try:
					done |= not task.result()
				except AssertionError as e:
					failures.append(str(e))
			if done or len(failures) >= 8:
				break
	assert not failures, f"{len(failures)} points failed:\n\n" + "\n\n".join(failures[:8])
	assert done, "the scenario never ended"


def test_the_sweep_meets_every_kind_of_call(folder, file_shim):
	"""The harness' own: the shim sees what it must see, or the sweep would prove nothing."""
	life = Life(folder / "count", file_shim)
	assert life.start()
	scenario(life)
	kinds = {x[1] for x in life.faults.all()}
	assert {"create", "write", "pwrite", "mkdir", "unlink"} <= kinds and kinds & set(FLUSHES), kinds
	paths = [x[2] for x in life.faults.all() if x[1] in FLUSHES]
	assert any("catalog.db" in p for p in paths) and any(re.search(r"blobs/.+", p) for p in paths), paths
	assert any(re.fullmatch(r"\./blobs/public/..", p) for p in paths), "the folder of a new blob is not flushed"
	life.check_after()


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["inline", "on disk"])
@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
@pytest.mark.parametrize("call", FLUSHES)
def test_a_flush_that_failed_once_is_never_forgiven(folder, file_shim, data, error, call):
	"""Linux tells a lost page once and says OK the next time; so one failure ends all acknowledgements until a restart."""
	life = Life(folder / "r", file_shim, at=1, errno=error, only=call, arm=folder / "r" / "arm")
	assert life.start()
	kept = [life.upload(SMALL), life.upload(LARGE)]
	life.arm.touch()
	r = life.request("POST", "/v1/files", data=data, headers=RAW)
	if not life.faults.flush_failed():
		assert r.status_code == 201 # this upload needs no such flush, or that of the audit log came first; another one has to
		life.files[r.json()["id"]] = data
		assert life.faults.failed() or call == "fsync" or data is LARGE, "an inline upload is flushed by nothing"
		life.check_after()
		return
	assert r.status_code in (500, 503, 507), f"acknowledged although its flush failed: {life.faults.failed()}"
	life.check_sealed()
	assert all(kept)
	life.check_after()


def test_a_stop_after_a_failed_flush_ends_too(folder, file_shim):
	life = Life(folder / "r", file_shim, at=1, only="fdatasync", sticky=1, arm=folder / "r" / "arm")
	assert life.start()
	life.upload(LARGE)
	life.arm.touch()
	life.request("POST", "/v1/files", data=SMALL, headers=RAW)
	life.check_sealed()
	life.server.process.terminate()
	life.server.wait() # any code: what counts is that it ends, and that nothing is lost
	life.check_after()
