"""Power cuts: what a running server writes is recorded below the file system, and every state the disk may be in afterwards is built, mounted and held against what was promised.

FILEMILL_POWERCUT_STATES asks for more states a file system than those of every run; FILEMILL_SEED for others. Wrong variants of the program, each lacking one kind of flush, must
be caught: a test of durability that cannot fail proves nothing."""
import os
from collections import Counter
from contextlib import closing

import pytest
from disk import built, lacking
from harness.server import SLOW
from life import FILES, Life
from promises import broken, lost, lost_backup, lost_on_disk

STATES = int(os.environ.get("FILEMILL_POWERCUT_STATES", "20" if SLOW else "80"))
SEED = int(os.environ.get("FILEMILL_SEED", "1"))
KINDS = ["ext4", "xfs"]

pytestmark = pytest.mark.skipif(bool(lacking()), reason=lacking())


def try_states(life, look, count, stop_at=20):
	"""Complaints by state, how many states of each kind were tried, and of how many files at most something was known."""
	found, tried, known = [], Counter(), 0
	for (flush, how, seed), image in life.states(count):
		complaints = look(life, flush, image)
		tried[how] += 1
		known = max(known, len(life.kept(flush)))
		if complaints:
			found.append((flush, how, seed, complaints))
			if len(found) == stop_at:
				break
	return found, tried, known


@pytest.mark.parametrize("kind", KINDS)
def test_every_state_after_a_power_cut_keeps_what_was_promised(folder, kind):
	with closing(Life(folder, kind, SEED)) as life:
		found, tried, known = try_states(life, broken, STATES)
	book = life.book
	print(f"{kind}: {life.diary.flushes()} flushes, {sum(map(len, life.diary.epochs))} writes, {dict(tried)} states, up to {known} files asked for in each; "
	      f"{len(book.jobs)} jobs, {len(book.acts)} acts, {len(book.backups)} backups, {len(book.hooked)} deliveries")
	assert not found, f"{len(found)} states break promises: {found[:3]}"
	assert known > FILES // 3 and life.diary.flushes() > 10 and len(book.backups) > 1 and len(book.hooked) > FILES // 2, "hardly anything was recorded"


@pytest.mark.parametrize("kind", KINDS)
def test_files_are_durable_without_the_catalogue_beside_them(folder, kind):
	with closing(Life(folder, kind, SEED, blobs_only=True)) as life:
		found, tried, known = try_states(life, lost_on_disk, STATES)
	print(f"{kind}, blobs alone: {life.diary.flushes()} flushes, {dict(tried)} states, up to {known} files")
	assert not found, f"acknowledged and lost: {found[:3]}"
	assert known > FILES // 3, "hardly anything was recorded"


# A flush of a new file takes its name along on ext4, xfs, and ext2 as this kernel has it, so a forgotten flush of the folder loses nothing there. Where names need their own flush is
# modelled by tests/unit/blobs/disk_model.c, whose tests catch it.
@pytest.mark.parametrize("forgotten, kind, look", [
	("file", "ext4", lost), ("file", "xfs", lost_on_disk), ("log", "ext4", lost), ("audit", "ext4", broken), ("backup", "xfs", lost_backup)])
def test_a_program_without_a_flush_is_caught(folder, forgotten, kind, look):
	with closing(Life(folder, kind, SEED, blobs_only=look is lost_on_disk, env={"LD_PRELOAD": built("forget.so", folder), "FORGET": forgotten})) as life:
		found, tried, _ = try_states(life, look, 200, stop_at=1)
	print(f"without the flush of the {forgotten}: {sum(tried.values())} states, {found}")
	assert found, f"{sum(tried.values())} states and nothing lost: the test would not notice a program without the flush of the {forgotten}"
