"""Many connections from one thread, each sending one prepared request after the other: load for tests that pull the plug."""
import hashlib
import re
import select
import socket
import time

from harness import contract
from harness.wire import parse_head

STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
LENGTH = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: *(\d+)\r\n")
ID = re.compile(rb'"id":"([0-9a-f-]{36})"')
NUMBER = re.compile(rb'"number":(\d+)')


class Acknowledged:
	"""What the server promised to keep. kind is "file" or "job"."""

	__slots__ = ("kind", "id", "number", "size", "md5", "body")

	def __init__(self, kind, id, number, size, md5, body):
		self.kind, self.id, self.number, self.size, self.md5, self.body = kind, id, number, size, md5, body


class _Line:
	__slots__ = ("socket", "out", "sent", "inbox", "body", "kind")

	def __init__(self, s):
		self.socket, self.out, self.sent, self.inbox, self.body, self.kind = s, b"", 0, b"", b"", "file"


class Swarm:
	"""make(serial) gives (kind, request bytes, body bytes) for the next request of any connection; None stops it."""

	def __init__(self, server, connections, make):
		self.make, self.serial = make, 0
		self.acknowledged, self.refused = [], []
		self.poll = select.epoll()
		self.lines = {}
		for _ in range(connections):
			s = socket.create_connection((server.address, server.port), timeout=60)
			s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
			s.setblocking(False)
			self.lines[s.fileno()] = _Line(s)
			self.poll.register(s.fileno(), select.EPOLLIN | select.EPOLLOUT)

	def _next(self, line):
		made = self.make(self.serial)
		self.serial += 1
		if made is None:
			return False
		line.kind, line.out, line.body = made
		line.sent = 0
		return True

	def _drop(self, fd):
		line = self.lines.pop(fd)
		self.poll.unregister(fd)
		line.socket.close()

	def _write(self, fd, line):
		if line.sent == len(line.out) and not line.out:
			if not self._next(line):
				return self._drop(fd)
		try:
			while line.sent < len(line.out):
				line.sent += line.socket.send(memoryview(line.out)[line.sent:line.sent + 262144])
		except BlockingIOError:
			return None
		except OSError:
			return self._drop(fd)
		self.poll.modify(fd, select.EPOLLIN)
		return None

	def _read(self, fd, line):
		try:
			piece = line.socket.recv(65536)
		except BlockingIOError:
			return
		except OSError:
			piece = b""
		line.inbox += piece
		if b"\r\n\r\n" in line.inbox:
			self._answer(fd, line)
		if not piece and fd in self.lines:
			self._drop(fd)

	def _answer(self, fd, line):
		head, rest = line.inbox.split(b"\r\n\r\n", 1)
		status = int(STATUS.match(head)[1])
		length = int(LENGTH.search(head + b"\r\n")[1])
		if len(rest) < length:
			return
		body, line.inbox = rest[:length], rest[length:]
		method, target, _ = line.out.split(b" ", 2)
		contract.seen(method.decode(), target.decode(), *parse_head(head), body)
		if status in (201, 202):
			self.acknowledged.append(Acknowledged(line.kind, ID.search(body)[1].decode(), int(NUMBER.search(body)[1]), len(line.body), hashlib.md5(line.body).hexdigest(), line.body))
		else:
			self.refused.append((status, body))
		line.out, line.sent = b"", 0
		self.poll.modify(fd, select.EPOLLIN | select.EPOLLOUT)

	def run(self, seconds, then=None):
		"""Runs for this long, then calls `then` (which may end the server) and reads what had been answered before."""
		end = time.monotonic() + seconds
		while self.lines:
			left = end - time.monotonic()
			if left <= 0:
				if then is None:
					break
				then()
				then, end = None, time.monotonic() + 2
				for fd in list(self.lines):
					self.poll.modify(fd, select.EPOLLIN)
				continue
			for fd, event in self.poll.poll(left):
				line = self.lines.get(fd)
				if line is None:
					continue
				if event & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
					self._read(fd, line)
				if event & select.EPOLLOUT and fd in self.lines:
					self._write(fd, line)
		return self

	def close(self):
		for line in self.lines.values():
			line.socket.close()
		self.lines.clear()
		self.poll.close()
