"""HTTP by hand: bytes out, bytes in, and what became of the connection. For everything a decent client would never send."""
import socket
import struct
import time

from harness import contract


class Reply:
	"""One answer. status is None when the connection ended without one."""

	def __init__(self, status, headers, body, rest=b"", complete=True):
		self.status_code = status
		self.headers = headers
		self.body = body
		self.rest = rest # bytes that came after the answer
		self.complete = complete

	@property
	def text(self):
		return self.body.decode("utf-8", "replace")

	def json(self):
		import json
		return json.loads(self.body)

	def __repr__(self):
		return f"<{self.status_code} {self.headers} {self.body[:300]!r} complete={self.complete}>"


class Headers(dict):
	"""Names without regard to case."""

	def __setitem__(self, key, value):
		super().__setitem__(key.lower(), value)

	def __getitem__(self, key):
		return super().__getitem__(key.lower())

	def get(self, key, default=None):
		return super().get(key.lower(), default)

	def __contains__(self, key):
		return super().__contains__(key.lower())


def parse_head(head):
	"""Status and headers."""
	lines = head.decode("latin-1").split("\r\n")
	version, status = lines[0].split(" ")[:2]
	assert version in ("HTTP/1.1", "HTTP/1.0"), lines[0]
	headers = Headers()
	for line in lines[1:]:
		name, _, value = line.partition(":")
		headers[name] = value.strip()
	return int(status), headers


class Wire:
	"""One connection."""

	def __init__(self, server, timeout=60.0, rcvbuf=None):
		self.socket = socket.socket(socket.AF_INET)
		if rcvbuf:
			self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
		self.socket.settimeout(timeout)
		self.socket.connect((server.address, server.port))
		self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
		self.buffer = b""
		self.ended = False # the peer closed or reset
		self.asked = contract.Asked()

	def send(self, data):
		"""Sends all; a peer that has closed already is no error, for its answer may be waiting."""
		self.asked.sent(data)
		try:
			self.socket.sendall(data)
			return True
		except (BrokenPipeError, ConnectionResetError):
			return False

	def send_cut(self, data, cuts):
		"""Sends in pieces that end at the given offsets."""
		at = 0
		for cut in [*cuts, len(data)]:
			if cut > at and not self.send(data[at:cut]):
				return False
			at = max(at, cut)
		return True

	def half_close(self):
		try:
			self.socket.shutdown(socket.SHUT_WR)
		except OSError:
			pass

	def reset(self):
		"""Closes with RST."""
		self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
		self.socket.close()

	def close(self):
		self.socket.close()

	def __enter__(self):
		return self

	def __exit__(self, *_):
		self.close()

	def _fill(self):
		if self.ended:
			return False
		try:
			piece = self.socket.recv(65536)
		except ConnectionResetError:
			piece = b""
		if not piece:
			self.ended = True
			return False
		self.buffer += piece
		return True

	def read_head(self):
		"""Status and headers of the next answer, or None when the connection ended first."""
		while b"\r\n\r\n" not in self.buffer:
			if not self._fill():
				return None
		head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
		return parse_head(head)

	def read(self, method="GET", interim=False):
		"""The next answer, held against the OpenAPI document; interim ones (1xx) are skipped unless asked for."""
		reply = self._read(method, interim)
		if reply.status_code is not None and reply.status_code >= 200:
			contract.seen(*self.asked.next(), reply.status_code, reply.headers, reply.body if reply.complete else None, by_hand=True)
		return reply

	def _read(self, method, interim):
		while True:
			head = self.read_head()
			if head is None:
				return Reply(None, Headers(), self.buffer, complete=False)
			status, headers = head
			if status >= 200 or interim:
				break
		if method == "HEAD" or status in (204, 304) or status < 200:
			return Reply(status, headers, b"")
		if headers.get("transfer-encoding", "").lower() == "chunked":
			body = b""
			while True:
				while b"\r\n" not in self.buffer:
					if not self._fill():
						return Reply(status, headers, body, complete=False)
				line, self.buffer = self.buffer.split(b"\r\n", 1)
				size = int(line.split(b";")[0], 16)
				while len(self.buffer) < size + 2:
					if not self._fill():
						return Reply(status, headers, body + self.buffer, complete=False)
				body, self.buffer = body + self.buffer[:size], self.buffer[size + 2:]
				if size == 0:
					return Reply(status, headers, body)
		if "content-length" in headers:
			size = int(headers["content-length"])
			while len(self.buffer) < size:
				if not self._fill():
					return Reply(status, headers, self.buffer, complete=False)
			body, self.buffer = self.buffer[:size], self.buffer[size:]
			return Reply(status, headers, body)
		while self._fill():
			pass
		body, self.buffer = self.buffer, b""
		return Reply(status, headers, body)

	def closes(self, within=60.0):
		"""The peer ends the connection within this time, and says nothing more."""
		if self.ended:
			return not self.buffer
		self.socket.settimeout(within)
		try:
			while self._fill():
				pass
		except (TimeoutError, socket.timeout):
			return False
		return not self.buffer


def exchange(server, data, *, method="GET", timeout=60.0, half_close=False, check_close=False):
	"""Sends bytes on a new connection and returns the first answer; reply.closed says how the connection went on when asked for."""
	with Wire(server, timeout) as w:
		w.send(data)
		if half_close:
			w.half_close()
		try:
			reply = w.read(method)
		except (TimeoutError, socket.timeout):
			raise AssertionError(f"no answer within {timeout} s to {data[:200]!r}") from None
		reply.closed = w.closes() if check_close else None
		return reply


def head(method, target, headers=(), version="HTTP/1.1", host="Host: x"):
	lines = [f"{method} {target} {version}", *([host] if host else []), *headers]
	return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def post_raw(body, target="/v1/files?name=a.bin", headers=()):
	return head("POST", target, [f"Content-Length: {len(body)}", "Content-Type: application/octet-stream", *headers]) + body


def chunked(*pieces, trailer=b""):
	return b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces) + b"0\r\n" + trailer + b"\r\n"


def form(*parts, boundary=b"AaB", end=True):
	"""A multipart body from (header block without its empty line, data)."""
	out = b"".join(b"--" + boundary + b"\r\n" + h + b"\r\n\r\n" + d + b"\r\n" for h, d in parts)
	return out + (b"--" + boundary + b"--\r\n" if end else b"")


def file_part(data=b"hello", name=b"file", filename=b'filename="a.txt"', more=b""):
	return b'Content-Disposition: form-data; name="' + name + b'"; ' + filename + more, data


def field_part(name, value):
	return b'Content-Disposition: form-data; name="' + name + b'"', value


def post_form(body, boundary=b"AaB", content_type=None, target="/v1/files", headers=()):
	kind = content_type if content_type is not None else b"multipart/form-data; boundary=" + boundary
	return head("POST", target, [f"Content-Length: {len(body)}", "Content-Type: " + kind.decode("latin-1"), *headers]) + body


def sleep_until(moment):
	time.sleep(max(0.0, moment - time.monotonic()))
