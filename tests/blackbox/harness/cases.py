"""Rows of the bad-input catalogue: bytes in, allowed statuses and codes out, and the server none the worse."""
from dataclasses import dataclass
from typing import Optional

import pytest

from harness import wire
from harness.server import eventually

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"


@dataclass
class Case:
	row: str # of the catalogue, with what is special
	data: bytes
	statuses: set # None = the connection ends without an answer
	codes: Optional[set] = None # None = any
	close: bool = False # and the connection ends
	half_close: bool = False
	stored: Optional[bool] = False # False: no file may appear; None: either way
	smuggle: bool = False # send another request behind; it must not be answered
	method: str = "GET"
	timeout: float = 60.0


def params(cases):
	return [pytest.param(c, id=c.row) for c in cases]


def check(server, case):
	before = server.newest_number()
	with wire.Wire(server, case.timeout) as w:
		w.send(case.data + (SMUGGLED if case.smuggle else b""))
		if case.half_close:
			w.half_close()
		reply = w.read(case.method)
		assert reply.status_code in case.statuses, f"{reply} instead of {case.statuses}"
		if reply.status_code is not None and reply.status_code >= 400:
			check_problem(reply, case)
		if case.close or case.smuggle:
			w.closes()
			assert w.ended, "the connection stayed open"
			# the HTTP library sends the head of its own refusal of a malformed Content-Length twice; answers of ours carry a request id
			assert b"x-request-id" not in w.buffer.lower(), f"the connection said more: {w.buffer[:300]!r}"
			assert "/smuggled" not in server.log()
	server.alive()
	if case.stored is False:
		assert server.newest_number() == before, "something was stored"
	return reply


def check_problem(reply, case):
	"""Answers of our own are problems. The HTTP library answers some malformed heads by itself, before any of our code runs: those have no code."""
	if reply.headers.get("content-type", "").split(";")[0] != "application/problem+json":
		assert "x-request-id" not in reply.headers, f"an answer of ours that is no problem: {reply}"
		return
	body = reply.json()
	assert body["status"] == reply.status_code and body["code"]
	if case.codes is not None:
		assert body["code"] in case.codes, body


def descriptors(server):
	"""Those that are open but for the three of each sealed process: there are as many of these as jobs ran at once some time."""
	found = server.open_files()
	return len(found) - 3 * found.count("anon_inode:[pidfd]")


def check_leftovers(server, base):
	"""At the end of a table: no temporary files, descriptors and memory as before."""
	known = {f["id"] for f in server.all_files()}
	eventually(lambda: set(server.blobs()) <= known, message="temporary files stayed")
	server.http.close()
	eventually(lambda: descriptors(server) <= base["fds"] + 4, message=lambda: f"more than {base['fds']} descriptors: {server.open_files()}")
	if base["rss"] is not None:
		eventually(lambda: server.rss() <= base["rss"] + 12 * 2**20, message=lambda: f"{server.rss()} bytes of memory instead of {base['rss']}")


def warm(server):
	"""The base line: a few requests of each kind first, so that pools and caches are filled."""
	from harness.server import is_sanitized
	for size in (10, 100_000):
		server.upload(b"x" * size)
		server.upload_form(b"x" * size)
	server.all_files()
	return {"fds": descriptors(server), "rss": None if is_sanitized() else server.rss()}
