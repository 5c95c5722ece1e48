"""Bytes to send, and what is true of them."""
import hashlib
import random


def random_bytes(size, seed):
	return random.Random(seed).randbytes(size)


def digests(data):
	return {name: hashlib.new(name, data).hexdigest() for name in ("md5", "sha1", "sha256", "sha512")}


def md5(data):
	return hashlib.md5(data).hexdigest()


def sha256(data):
	return hashlib.sha256(data).hexdigest()


_CRC32C = []


def crc32c(data):
	"""RFC 3720, reflected polynomial 0x82F63B78; eight hex digits."""
	if not _CRC32C:
		for n in range(256):
			for _ in range(8):
				n = (n >> 1) ^ 0x82F63B78 if n & 1 else n >> 1
			_CRC32C.append(n)
	value = 0xFFFFFFFF
	for byte in data:
		value = (value >> 8) ^ _CRC32C[(value ^ byte) & 0xFF]
	return f"{value ^ 0xFFFFFFFF:08x}"


def job_of(file, op):
	"""The one job of this op in a file's object."""
	found = [j for j in file["jobs"] if j["op"] == op]
	assert len(found) == 1, file
	return found[0]


def result_of(file, op):
	"""The digest that a finished job gave."""
	job = job_of(file, op)
	assert job["state"] == "succeeded", job
	return job["result"][op]
