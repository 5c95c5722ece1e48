"""What stands between a server and another one: connections can be cut, refused for a while, or taken while nothing passes, from a chosen byte on if that matters; requests for one thing can be answered with an error."""
import socket
import threading


class Gate:
	def __init__(self, port):
		self.port = port # of the other
		self.listener = socket.create_server(("127.0.0.1", 0))
		self.shut = False
		self.passing = threading.Event()
		self.passing.set()
		self.left = None # bytes of the other that pass before all stands still; None: any number
		self.flows, self.stands = threading.Event(), threading.Event()
		self.flows.set()
		self.failing = None # what stands in the first line of requests that are answered here, and not well
		self.pairs = set()
		self.seen = 0 # connections and pieces of requests that came
		self.lock = threading.Lock()
		self.threads = [threading.Thread(target=self._accept, daemon=True)]
		self.threads[0].start()

	def endpoint(self):
		return f"http://127.0.0.1:{self.listener.getsockname()[1]}"

	def cut(self, shut=False):
		"""Ends all connections; shut: and takes none until open()."""
		with self.lock:
			self.shut = shut
			pairs = list(self.pairs)
		for pair in pairs:
			for s in pair:
				self._end(s)
		return len(pairs)

	def hold(self):
		"""Takes connections and what is sent, and passes nothing on, until open(): as if the other one stood still."""
		self.passing.clear()

	def open(self):
		self.shut = False
		self.passing.set()

	def stall(self, after=0):
		"""Lets so many bytes of the other through, and nothing more until go_on(); `stands` is set once somebody waits."""
		with self.lock:
			self.left = after
			self.stands.clear()
			self.flows.clear()

	def go_on(self):
		with self.lock:
			self.left = None
		self.flows.set()

	def fail(self, word):
		"""Each request whose first line has this is answered with 500 and goes no further; None: all pass again."""
		self.failing = word

	def close(self):
		self.go_on()
		self.cut(shut=True)
		self.passing.set()
		self._end(self.listener)
		for t in self.threads:
			t.join()
		self.listener.close()

	@staticmethod
	def _end(s):
		try:
			s.shutdown(socket.SHUT_RDWR)
		except OSError:
			pass

	def _accept(self):
		while True:
			try:
				near, _ = self.listener.accept()
			except OSError:
				return
			self.seen += 1
			if self.shut:
				near.close()
				continue
			far = socket.create_connection(("127.0.0.1", self.port))
			with self.lock:
				self.pairs.add((near, far))
			t = threading.Thread(target=self._serve, args=(near, far), daemon=True)
			self.threads.append(t)
			t.start()

	def _serve(self, near, far):
		back = threading.Thread(target=self._pass, args=(far, near, True), daemon=True)
		back.start()
		self._pass(near, far)
		back.join()
		with self.lock:
			self.pairs.discard((near, far))
		near.close()
		far.close()

	def _may_pass(self, n):
		with self.lock:
			if self.left is None:
				return
			self.left -= n
			if self.left >= 0:
				return
		self.stands.set()
		self.flows.wait()

	def _fails(self, data):
		"""A request without a body comes in one piece."""
		return self.failing is not None and self.failing.encode() in data.split(b"\r\n", 1)[0]

	def _pass(self, a, b, counted=False):
		try:
			while data := a.recv(1 << 16):
				self.seen += 1
				self.passing.wait()
				if not counted and self._fails(data):
					a.sendall(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n")
					continue
				if counted:
					self._may_pass(len(data))
				b.sendall(data)
		except OSError:
			pass
		self._end(a)
		self._end(b)

	def __enter__(self):
		return self

	def __exit__(self, *_):
		self.close()
