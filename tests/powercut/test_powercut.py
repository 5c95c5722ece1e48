"""Power cuts: what a running server writes is recorded below the file system, and every state the disk may be in afterwards is built, mounted and asked for what was acknowledged.

FILEMILL_POWERCUT_STATES asks for more states a file system than those of every run; FILEMILL_SEED for others. Wrong variants of the program, each lacking one kind of flush, must
be caught: a test of durability that cannot fail proves nothing."""
import os
import random
import threading
from collections import Counter
from pathlib import Path

import pytest
from disk import Mounted, Recorded, built, lacking, run, unmount
from harness.data import sha256
from harness.server import SLOW, Server
from states import Diary, choose, walk

STATES = int(os.environ.get("FILEMILL_POWERCUT_STATES", "20" if SLOW else "110"))
SEED = int(os.environ.get("FILEMILL_SEED", "1"))
CONNECTIONS, FILES = 4, 48
KINDS = ["ext4", "xfs"]
SETTINGS = {"files.free_reserve": "0", "log.level": "error", "files.sweep_every": "0"}

pytestmark = pytest.mark.skipif(bool(lacking()), reason=lacking())


class Client(threading.Thread):
	"""Uploads one file after the other and marks each answer in the diary; deletes some of them again."""

	def __init__(self, server, disk, seed):
		super().__init__(daemon=True)
		self.twin = Server.__new__(Server)
		self.twin.__dict__.update(server.__dict__, _session=None, _lock=threading.Lock())
		self.disk, self.rng = disk, random.Random(seed)
		self.stored, self.deleted, self.wrong = {}, {}, None # mark → (id, sha256, size) or id

	def run(self):
		try:
			for _ in range(FILES // CONNECTIONS):
				self.one()
		except Exception as e: # noqa: BLE001 - told by the test
			self.wrong = e

	def one(self):
		body = self.rng.randbytes(self.rng.choice([0, 100, 4096, 32768, 32769, 100_000, 200_000]))
		f = self.twin.upload(body)
		self.stored[self.disk.mark()] = (f["id"], sha256(body), len(body))
		if self.rng.random() < 0.15:
			assert self.twin.delete(f"/v1/files/{f['id']}").status_code == 204
			self.deleted[self.disk.mark()] = f["id"]


class Life:
	"""A server's life on a recorded disk, and what it promised."""

	def __init__(self, folder, kind, blobs_only=False, env=None):
		self.folder, self.kind, self.stored, self.deleted = Path(folder), kind, {}, {}
		with Recorded(self.folder, kind) as disk:
			if blobs_only:
				self.live_with_blobs_on(disk, env)
			else:
				self.live(disk.point / "data", disk, env)
		self.diary = Diary(disk.image, disk.diary)

	def live_with_blobs_on(self, disk, env):
		"""The bytes alone on the recorded disk: a commit of the catalogue beside them would flush their folders along."""
		data = self.folder / "data"
		with Server(self.folder / "first", data=data, settings=SETTINGS):
			pass
		if (disk.point / "lost+found").exists():
			(disk.point / "lost+found").rmdir()
		run("mount", "--bind", disk.point, data / "blobs")
		try:
			self.live(data, disk, env)
		finally:
			unmount(data / "blobs")

	def live(self, data, disk, env):
		server = Server(self.folder / "s", data=data, settings=SETTINGS, env=env or {})
		server.start()
		clients = [Client(server, disk, SEED * 100 + i) for i in range(CONNECTIONS)]
		for c in clients:
			c.start()
		for c in clients:
			c.join(120)
			assert c.wrong is None, c.wrong
			self.stored.update(c.stored)
			self.deleted.update(c.deleted)
		server.kill()

	def promised(self, flush):
		"""id → (sha256, size) of what was acknowledged by then and not asked to go."""
		known = self.diary.acknowledged(flush)
		gone = set(self.deleted.values()) # a delete that was not acknowledged yet may have happened or not
		return {i: (digest, size) for mark, (i, digest, size) in self.stored.items() if mark in known and i not in gone}

	def states(self, count):
		yield from walk(self.diary, choose(self.diary, count, SEED), self.folder)


def lost_over_http(life, flush, image):
	"""Starts the server on the state; ids that were acknowledged and are not there, or not right."""
	with Mounted(image, life.folder / "state", life.kind) as point:
		promised = life.promised(flush)
		if not (point / "data/catalog.db").exists():
			return list(promised)
		server = Server(life.folder / "after", data=point / "data", settings=SETTINGS)
		try:
			server.start()
			lost = []
			for i, (digest, size) in promised.items():
				r = server.get(f"/v1/files/{i}/content")
				if r.status_code != 200 or len(r.content) != size or sha256(r.content) != digest:
					lost.append((i, r.status_code, len(r.content), size))
			return lost
		finally:
			if server.running():
				server.kill()


def lost_on_disk(life, flush, image):
	"""The same for a disk that holds nothing but the blobs."""
	with Mounted(image, life.folder / "state", life.kind) as point:
		lost = []
		for i, (digest, size) in life.promised(flush).items():
			if size <= 32768:
				continue # in the catalogue's row
			found = list(point.glob(f"*/*/{i}"))
			if len(found) != 1 or sha256(found[0].read_bytes()) != digest:
				lost.append(i)
		return lost


def try_states(life, look, count, stop_at_loss=False):
	found, tried, known = [], Counter(), 0
	for (flush, how, seed), image in life.states(count):
		lost = look(life, flush, image)
		tried[how] += 1
		known = max(known, len(life.promised(flush)))
		if lost:
			found.append((flush, how, seed, lost))
			if stop_at_loss:
				break
	return found, tried, known


@pytest.mark.parametrize("kind", KINDS)
def test_no_state_after_a_power_cut_lacks_what_was_acknowledged(folder, kind):
	life = Life(folder, kind)
	found, tried, known = try_states(life, lost_over_http, STATES)
	print(f"{kind}: {life.diary.flushes()} flushes, {sum(map(len, life.diary.epochs))} writes, {dict(tried)} states, up to {known} files asked for in each")
	assert not found, f"acknowledged and lost: {found[:3]}"
	assert known > FILES // 2 and life.diary.flushes() > 10, "hardly anything was recorded"


@pytest.mark.parametrize("kind", KINDS)
def test_files_are_durable_without_the_catalogue_beside_them(folder, kind):
	life = Life(folder, kind, blobs_only=True)
	found, tried, known = try_states(life, lost_on_disk, STATES)
	print(f"{kind}, blobs alone: {life.diary.flushes()} flushes, {dict(tried)} states, up to {known} files")
	assert not found, f"acknowledged and lost: {found[:3]}"
	assert known > FILES // 2, "hardly anything was recorded"


# A flush of a new file takes its name along on ext4, xfs, and ext2 as this kernel has it, so a forgotten flush of the folder loses nothing there. Where names need their own flush is
# modelled by tests/unit/blobs/disk_model.c, whose tests catch it.
@pytest.mark.parametrize("forgotten, kind, alone", [("file", "ext4", False), ("file", "xfs", True), ("log", "ext4", False)])
def test_a_program_without_a_flush_is_caught(folder, forgotten, kind, alone):
	life = Life(folder, kind, blobs_only=alone, env={"LD_PRELOAD": built("forget.so", folder), "FORGET": forgotten})
	found, tried, _ = try_states(life, lost_on_disk if alone else lost_over_http, 200, stop_at_loss=True)
	print(f"without the flush of the {forgotten}: caught after {sum(tried.values())} states")
	assert found, f"{sum(tried.values())} states and nothing lost: the test would not notice a program without the flush of the {forgotten}"
