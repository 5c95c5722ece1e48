"""A server that files are imported from, and that does what a test tells it: each path has a function that writes the answer on the socket."""
import base64
import hashlib
import socket
import threading


class Request:
	def __init__(self, path, headers):
		self.path = path
		self.headers = headers

	def offset(self):
		"""Where the range begins that is asked for; 0 without one."""
		value = self.headers.get("range", "")
		return int(value[len("bytes="):-1]) if value.startswith("bytes=") and value.endswith("-") else 0


class Source:
	def __init__(self):
		self.listener = socket.create_server(("127.0.0.1", 0))
		self.port = self.listener.getsockname()[1]
		self.answers = {}
		self.requests = [] # in the order they came
		self.held = threading.Event() # for answers that wait
		self.lock = threading.Lock()
		threading.Thread(target=self._accept, daemon=True).start()

	def url(self, path="/"):
		return f"http://127.0.0.1:{self.port}{path}"

	def close(self):
		self.held.set()
		self.listener.close()

	def seen(self, path):
		with self.lock:
			return [r for r in self.requests if r.path == path]

	def _accept(self):
		while True:
			try:
				connection, _ = self.listener.accept()
			except OSError:
				return
			threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

	def _serve(self, connection):
		with connection:
			head = b""
			try:
				while b"\r\n\r\n" not in head:
					piece = connection.recv(65536)
					if not piece:
						return
					head += piece
				lines = head.decode("latin-1").split("\r\n")
				headers = dict((k.strip().lower(), v.strip()) for k, _, v in (x.partition(":") for x in lines[1:] if x))
				request = Request(lines[0].split(" ")[1], headers)
				with self.lock:
					self.requests.append(request)
				answer = self.answers.get(request.path)
				if answer is None:
					connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
				else:
					answer(connection, request)
			except OSError:
				pass # who asked has gone

	# ---- answers ----
	def gives(self, path, body, fields=()):
		"""All of it, or the range asked for if it is still that."""
		etag = '"%s"' % hashlib.sha1(body).hexdigest()

		def answer(connection, request):
			offset = request.offset() if request.headers.get("if-range") == etag else 0
			connection.sendall(head(len(body) - offset, offset, len(body), etag, fields) + body[offset:])
		self.answers[path] = answer

	def loses(self, path, body, pieces, etag=True):
		"""Closes the connection behind each of these places."""
		tag = '"%s"' % hashlib.sha1(body).hexdigest()
		places = list(pieces)

		def answer(connection, request):
			offset = request.offset() if request.headers.get("if-range") == tag else 0
			with self.lock:
				end = places.pop(0) if places else len(body)
			connection.sendall(head(len(body) - offset, offset, len(body), tag if etag else None) + body[offset:end])
		self.answers[path] = answer

	def says(self, path, raw):
		self.answers[path] = lambda connection, request: connection.sendall(raw)


def head(length, offset=0, whole=0, etag=None, fields=()):
	lines = ["HTTP/1.1 206 Partial Content" if offset else "HTTP/1.1 200 OK", f"Content-Length: {length}", "Connection: close", *fields]
	if offset:
		lines.append(f"Content-Range: bytes {offset}-{whole - 1}/{whole}")
	if etag:
		lines.append(f"ETag: {etag}")
	return "\r\n".join(lines).encode() + b"\r\n\r\n"


def repr_digest(body):
	return "Repr-Digest: sha-256=:%s:" % base64.b64encode(hashlib.sha256(body).digest()).decode()


def content_md5(body):
	return "Content-MD5: %s" % base64.b64encode(hashlib.md5(body).digest()).decode()
