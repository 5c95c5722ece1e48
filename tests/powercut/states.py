"""The states that a disk may be in after a power cut, from the diary that disklog.c kept.

Between two flushes a disk may have any part of what was written, in any order, torn at sectors; what lies before a flush that ended is there. A state is named by the flush
after which the power went, and by what of the writes behind it had reached the disk:

	none     nothing of them: the boundary itself
	prefix   the first ones, up to a random place
	subset   each one or not, by chance; now and then only some of its sectors
"""
import os
import random
import struct
from pathlib import Path

ENTRY = struct.Struct("=IIQ")
WRITE, FLUSH, MARK = 1, 2, 3
SECTOR = 4096 # what a disk writes whole or not at all. With 512, a torn superblock of ext4 (1,024 bytes, written in place) cannot be mounted, whatever runs on it


class Diary:
	def __init__(self, image, path):
		self.image = Path(image)
		self.bytes = Path(path).read_bytes()
		self.epochs = [[]] # writes between flushes: (offset, place in bytes, length)
		self.marks = [[]] # numbers that were marked between the same flushes
		at = 0
		while at + ENTRY.size <= len(self.bytes):
			kind, length, value = ENTRY.unpack_from(self.bytes, at)
			at += ENTRY.size
			if kind == WRITE:
				self.epochs[-1].append((value, at, length))
				at += length
			elif kind == FLUSH:
				self.epochs.append([])
				self.marks.append([])
			else:
				self.marks[-1].append(value)

	def flushes(self):
		return len(self.epochs) - 1

	def acknowledged(self, flush):
		"""What had been acknowledged when the power went, after that flush and before the next one ended."""
		return {m for marks in self.marks[:flush + 1] for m in marks}

	def put(self, fd, write, torn=None):
		offset, place, length = write
		if torn is None:
			os.pwrite(fd, self.bytes[place:place + length], offset)
			return
		at = 0
		while at < length:
			end = min(length, at + SECTOR - (offset + at) % SECTOR)
			if torn.random() < 0.5:
				os.pwrite(fd, self.bytes[place + at:place + end], offset + at)
			at = end

	def after(self, fd, flush, how, rng):
		"""Adds to an image that has everything before the flush what this state has of the writes behind it."""
		writes = self.epochs[flush]
		if how == "prefix":
			for write in writes[:rng.randint(0, len(writes))]:
				self.put(fd, write)
		elif how == "subset":
			for write in rng.sample(writes, len(writes)): # a disk may also reorder them
				if rng.random() < 0.5:
					self.put(fd, write, rng if rng.random() < 0.25 else None)


def copy_sparse(source, target):
	"""Data only; holes stay holes."""
	with open(source, "rb") as a, open(target, "wb") as b:
		size = os.fstat(a.fileno()).st_size
		os.ftruncate(b.fileno(), size)
		at = 0
		while at < size:
			try:
				start = os.lseek(a.fileno(), at, os.SEEK_DATA)
			except OSError:
				break
			at = os.lseek(a.fileno(), start, os.SEEK_HOLE)
			os.lseek(a.fileno(), start, os.SEEK_SET)
			os.lseek(b.fileno(), start, os.SEEK_SET)
			left = at - start
			while left > 0:
				left -= os.sendfile(b.fileno(), a.fileno(), None, left)


def choose(diary, count, seed):
	"""`count` states (flush, how, seed), spread over the flushes; every boundary when there are enough."""
	rng = random.Random(seed)
	flushes = list(range(diary.flushes() + 1))
	plan = [(f, "none", 0) for f in (flushes if len(flushes) <= count // 2 else rng.sample(flushes, count // 2))]
	while len(plan) < count:
		plan.append((rng.choice(flushes), rng.choice(["prefix", "subset", "subset"]), rng.getrandbits(32)))
	return sorted(plan)


def walk(diary, plan, folder):
	"""Yields (state, image) in the order of the flushes; the image is the state's own and may be written to."""
	folder = Path(folder)
	base = folder / "so-far.img"
	copy_sparse(diary.image, base)
	done = 0
	with open(base, "r+b") as so_far:
		for number, (flush, how, seed) in enumerate(plan):
			while done < flush:
				for write in diary.epochs[done]:
					diary.put(so_far.fileno(), write)
				done += 1
			own = folder / f"state-{number}.img" # a file of its own: a loop device may let go of the one before later than its unmount says
			copy_sparse(base, own)
			with open(own, "r+b") as state:
				diary.after(state.fileno(), flush, how, random.Random(seed))
			yield (flush, how, seed), own
			own.unlink()
	base.unlink()
