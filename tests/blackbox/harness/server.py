"""A filemill process under test: its own data directory, a port the system chose, and checks at the end of its life."""
import json
import os
import re
import resource
import select
import signal
import subprocess
import threading
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import requests

from harness import catalogue, contract, storage

REPOSITORY = Path(__file__).resolve().parents[3]
SLOW = bool(os.environ.get("FILEMILL_SLOW")) # a build several times slower than usual is under test
# Nobody waits so long where all is well, and none of these is a promise: a busy machine may be a hundred times slower than an idle one.
PATIENCE_S = 60
START_TIMEOUT_S = STOP_TIMEOUT_S = PATIENCE_S
HASTY_TRIES = 10
READY = re.compile(r"^filemill ready http://(\[?[0-9a-fA-F.:]+\]?):(\d+)$")
SANITIZER = re.compile(rb"ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error:|SUMMARY: \w+Sanitizer")
CONTROL = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]")


def binary():
	named = os.environ.get("FILEMILL_BIN")
	path = Path(named) if named else REPOSITORY / "build/src/app/filemill"
	if not path.exists():
		raise FileNotFoundError(f"{path}: build first, or set FILEMILL_BIN")
	return str(path.resolve())


def is_sanitized():
	"""A build with a sanitizer needs several times the memory: bounds on it then say nothing."""
	with open(binary(), "rb") as f:
		data = f.read()
	return b"__asan_init" in data or b"__tsan_init" in data


def clean_environment(settings=None, data=None):
	"""The environment without the FILEMILL_… variables meant for the tests, which the server would refuse as unknown; and with what names the catalogue and the bucket of this data directory."""
	env = {k: v for k, v in os.environ.items() if not k.startswith("FILEMILL_")}
	if data:
		env.update({**catalogue.environment(data), **storage.environment(data, settings or {})})
	env.setdefault("ASAN_OPTIONS", "abort_on_error=0:exitcode=99")
	env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1:exitcode=99")
	for key, value in (settings or {}).items():
		env["FILEMILL_" + key.upper().replace(".", "_").replace("-", "_")] = str(value)
	return env


def run(*args, settings=None, timeout=2 * PATIENCE_S, cwd=None):
	"""Runs the program to its end; output as text."""
	args = [str(a) for a in args]
	data = args[args.index("--data") + 1] if "--data" in args[:-1] else (settings or {}).get("data.dir")
	return subprocess.run([binary(), *args], env=clean_environment(settings, data), cwd=cwd, timeout=timeout,
			      stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="surrogateescape")


class StartFailed(AssertionError):
	def __init__(self, code, stderr):
		super().__init__(f"the server did not get ready; exit {code}\n{stderr}")
		self.code = code
		self.stderr = stderr


class Server:
	"""settings are written as section.key, e.g. {"http.header_timeout": "1s"}, and travel as environment variables."""

	def __init__(self, folder, *, data=None, surfaces=(), settings=None, args=(), env=None, nofile=None, fsize=None, wrapper=()):
		self.folder = Path(folder)
		self.folder.mkdir(parents=True, exist_ok=True)
		self.data = Path(data) if data else self.folder / "data"
		self.log_path = self.folder / "stderr.log"
		self.surfaces = tuple(surfaces)
		self.settings = dict(settings or {})
		self.args = tuple(map(str, args))
		self.env = dict(env or {})
		self.nofile = nofile
		self.fsize = fsize
		self.wrapper = tuple(wrapper)
		self.process = None
		self.address = self.port = None
		self.expect_exit = 0
		self._session = None
		self._lock = threading.Lock()

	# ---- life ----
	def _limits(self):
		if self.nofile:
			resource.setrlimit(resource.RLIMIT_NOFILE, (self.nofile, self.nofile))
		if self.fsize:
			resource.setrlimit(resource.RLIMIT_FSIZE, (self.fsize, self.fsize))

	def command(self):
		surfaces = [x for name in self.surfaces for x in ("--surface", name)]
		listen = () if "--listen" in self.args else ("--listen", "127.0.0.1:0")
		return [*self.wrapper, binary(), "serve", "--data", str(self.data), *listen, *surfaces, *self.args]

	def environment(self):
		return {**clean_environment(self.settings, self.data), **self.env}

	def start(self, timeout=START_TIMEOUT_S):
		assert self.process is None, "already running"
		env = self.environment()
		log = open(self.log_path, "ab")
		self._log_start = log.tell()
		self.process = subprocess.Popen(self.command(), env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
						preexec_fn=self._limits if self.nofile or self.fsize else None)
		log.close()
		line = self._first_line(timeout)
		match = READY.match(line)
		if not match:
			self.process.kill() if self.process.poll() is None and not line else None
			code = self.process.wait(STOP_TIMEOUT_S)
			self.process.stdout.close()
			self.process = None
			raise StartFailed(code, line + self.log())
		self.address, self.port = match.group(1).strip("[]"), int(match.group(2))
		contract.watch(self.address, self.port)
		self._session = None
		return self

	def _first_line(self, timeout):
		deadline = time.monotonic() + timeout
		line = b""
		fd = self.process.stdout.fileno()
		while not line.endswith(b"\n"):
			left = deadline - time.monotonic()
			if left <= 0 or not select.select([fd], [], [], left)[0]:
				break
			piece = os.read(fd, 4096)
			if not piece:
				break
			line += piece
		return line.split(b"\n")[0].decode("utf-8", "replace")

	@property
	def pid(self):
		return self.process.pid

	def running(self):
		return self.process is not None and self.process.poll() is None

	def signal(self, number):
		self.process.send_signal(number)

	def wait(self, timeout=STOP_TIMEOUT_S):
		"""Waits for the end and returns the exit code."""
		code = self.process.wait(timeout)
		self._ended()
		return code

	def _ended(self):
		self.process.stdout.close()
		self.process = None
		contract.forget(self.address, self.port)
		if self._session:
			self._session.close()
			self._session = None
		self.check_sanitizer()

	def stop(self):
		"""Graceful end with every check."""
		if self.process is None:
			return
		if self.process.poll() is None:
			self.signal(signal.SIGTERM)
		try:
			code = self.wait()
		except subprocess.TimeoutExpired:
			self.process.kill()
			self.wait()
			raise AssertionError("SIGTERM did not end the server within %d s" % STOP_TIMEOUT_S) from None
		self.check_log()
		contract.demand()
		assert code == self.expect_exit, f"exit {code} instead of {self.expect_exit}\n{self.log()[-4000:]}"

	def kill(self):
		"""kill -9: nothing is said goodbye to."""
		self.process.kill()
		self.process.wait()
		self._ended()

	def restart(self):
		self.stop()
		return self.start()

	def __enter__(self):
		return self.start() if self.process is None else self

	def __exit__(self, kind, value, trace):
		if kind is None:
			self.stop()
		elif self.running():
			self.kill()

	# ---- what it left behind ----
	def log_bytes(self):
		return self.log_path.read_bytes() if self.log_path.exists() else b""

	def log(self):
		return self.log_bytes().decode("utf-8", "replace")

	def log_events(self):
		"""The structured lines; a line that is no JSON object fails. Of the last one half may have been written yet."""
		events, running = [], self.running()
		*lines, last = self.log_bytes().split(b"\n")
		for line in lines if running else [*lines, last]:
			if line:
				event = json.loads(line.decode("utf-8"))
				assert isinstance(event, dict), line
				events.append(event)
		return events

	def check_sanitizer(self):
		assert not SANITIZER.search(self.log_bytes()), "sanitizer report:\n" + self.log()[-8000:]

	def check_log(self):
		self.check_sanitizer()
		log = self.log_bytes()
		bad = CONTROL.search(log)
		assert not bad, f"raw control byte in the log near {log[max(0, bad.start() - 100):bad.end() + 20]!r}"
		self.log_events()

	def blobs(self):
		"""Names (last component) and sizes of all stored blobs, in whichever storage; what vanishes meanwhile is left out."""
		return {key.rpartition("/")[2]: size for key, size in storage.of(self.data).all().items()}

	def blob(self, name):
		"""The one stored blob whose last component is this; to be read, written over and removed (harness/storage.py)."""
		key, = [key for key in self.stored() if key.rpartition("/")[2] == name]
		return storage.of(self.data).blob(key)

	def stored(self):
		"""Paths of all stored blobs, as `public/7f/…`."""
		return sorted(storage.of(self.data).all())

	def stray(self, key, data):
		"""Puts something among the blobs, beneath `public/…`, behind the server's back."""
		storage.of(self.data).blob(key).write(data)

	# ---- figures from /proc ----
	def _status(self, key):
		for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
			if line.startswith(key + ":"):
				return int(line.split()[1]) * 1024
		raise KeyError(key)

	def rss(self):
		"""Without what the kernel may take back whenever it wants: parts that went to a bucket leave such pages."""
		lines = Path(f"/proc/{self.pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]
		kib = {name: int(rest.split()[0]) for name, rest in (line.split(":") for line in lines)}
		return (kib["Rss"] - kib["LazyFree"]) * 1024

	def peak(self):
		return self._status("VmHWM")

	def open_files(self):
		"""What the open descriptors lead to, but for those of blob folders, of connections to a bucket and to the catalogue, and of its readers, of which a bounded number is kept."""
		found, folder, catalog = [], f"/proc/{self.pid}/fd", str(self.data.resolve() / "catalog.db")
		kept = {f"socket:[{inode}]" for inode in storage.connections(self.pid) | catalogue.connections(self.pid)}
		for name in os.listdir(folder):
			try:
				path = os.readlink(f"{folder}/{name}")
			except FileNotFoundError:
				continue
			if path not in kept and not path.startswith(catalog) and not (path.startswith(str(self.data.resolve() / "blobs")) and os.path.isdir(path)):
				found.append(path)
		return sorted(found)

	def fds(self):
		return len(self.open_files())

	def cpu_seconds(self):
		fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
		return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

	# ---- talking to it ----
	@property
	def base(self):
		return f"http://{self.address}:{self.port}"

	@property
	def http(self):
		"""A session of keep-alive connections; for the test's own thread."""
		with self._lock:
			if self._session is None:
				self._session = requests.Session()
				self._session.trust_env = False
				if "http.idle_timeout" in self.settings: # a kept connection may end the moment its next request is sent
					self._session.headers["Connection"] = "close"
			return self._session

	def insist(self, ask):
		"""The answer to a request of an honest client. Where this server's settings give less time than is usual, a busy machine may keep him from sending within it, for no less than that: then he
		asks again (RFC 9110 §15.5.9)."""
		times = [float(self.settings[key].removesuffix("s")) for key in ("http.header_timeout", "http.body_grace") if key in self.settings]
		for _ in range(HASTY_TRIES if times else 0):
			began = time.monotonic()
			try:
				r = ask()
				if r.status_code != 408:
					return r
			except requests.ConnectionError as e: # who has sent nothing is told nothing
				r = e
				if time.monotonic() - began < min(times):
					raise
			took = time.monotonic() - began
			assert took >= min(times), f"sent away after {took} s: {r}"
		return ask()

	def request(self, method, path, **more):
		more.setdefault("timeout", 70)
		more.setdefault("allow_redirects", False)
		return self.insist(lambda: self.http.request(method, self.base + path, **more))

	def get(self, path, **more):
		return self.request("GET", path, **more)

	def post(self, path, data=None, **more):
		return self.request("POST", path, data=data, **more)

	def head(self, path, **more):
		return self.request("HEAD", path, **more)

	def patch(self, path, **more):
		return self.request("PATCH", path, **more)

	def delete(self, path, **more):
		return self.request("DELETE", path, **more)

	def upload(self, body, name="a.bin", query="", **headers):
		"""Stores bytes raw and returns the file's object; anything but 201 fails."""
		headers = {"Content-Type": "application/octet-stream", **{k.replace("_", "-"): v for k, v in headers.items()}}
		r = self.post("/v1/files?" + "&".join(x for x in (f"name={name}" if name else "", query) if x), data=body, headers=headers)
		assert r.status_code == 201, r.text
		return r.json()

	def upload_form(self, body, name="a.bin", fields=None, query=""):
		r = self.post("/v1/files" + query, files={"file": (name, body)}, data=fields or {})
		assert r.status_code == 201, r.text
		return r.json()

	def alive(self):
		"""A new connection is answered: the server lives and serves."""
		assert self.running(), f"the server is gone: exit {self.process.poll()}\n{self.log()[-4000:]}"
		r = self.insist(lambda: requests.get(self.base + "/healthz", timeout=PATIENCE_S))
		assert r.status_code == 200, r.text

	def all_files(self):
		return list(self._all("/v1/files", "files"))

	def all_jobs(self, query=""):
		return list(self._all("/v1/jobs", "jobs", query))

	def _all(self, path, plural, query=""):
		cursor = ""
		while True:
			r = self.get(f"{path}?limit=200{query}" + (f"&cursor={cursor}" if cursor else ""))
			assert r.status_code == 200, r.text
			page = r.json()
			yield from page[plural]
			cursor = page["next"]
			if not cursor:
				return

	def newest_number(self):
		r = self.get("/v1/files?limit=1")
		assert r.status_code == 200, r.text
		files = r.json()["files"]
		return files[0]["number"] if files else 0


def expire_soon(server, file):
	"""Gives a file so short a time to live as this machine can still ask for: a moment that has passed before it arrives is refused."""
	for seconds in (0.5, 2, 8, 30):
		at = datetime.now(timezone.utc) + timedelta(seconds=seconds)
		r = server.patch(f"/v1/files/{file['id']}", json={"expires_at": at.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"})
		if r.status_code == 200:
			return
		assert r.status_code in (410, 422) and datetime.now(timezone.utc) > at, r.text


def answers(server):
	"""Whether a new connection is let in and served."""
	try:
		return requests.get(server.base + "/healthz", timeout=PATIENCE_S).status_code == 200
	except requests.RequestException:
		return False


def problem(r, status, code=None):
	"""The answer is a problem of this status (one or a set) and code; returns its members."""
	statuses = {status} if isinstance(status, int) else set(status)
	assert r.status_code in statuses, f"{r.status_code} instead of {statuses}: {r.text[:400]}"
	assert r.headers["Content-Type"].split(";")[0] == "application/problem+json", r.headers
	body = r.json()
	assert body["status"] == r.status_code
	assert {"type", "title", "detail", "code"} <= set(body), body
	assert re.fullmatch(r"[a-z][a-z0-9_]*", body["code"]), body
	assert "X-Request-Id" in r.headers
	if code is not None:
		codes = {code} if isinstance(code, str) else set(code)
		assert body["code"] in codes, body
	return body


def eventually(check, timeout=PATIENCE_S, pause=0.02, message="did not come true in time"):
	"""Polls until check() is true; returns its value. The message may be a call that tells what is the matter by then. How soon something must be true is not to be promised here."""
	deadline = time.monotonic() + timeout * (4 if SLOW else 1)
	while True:
		value = check()
		if value:
			return value
		assert time.monotonic() < deadline, message() if callable(message) else message
		time.sleep(pause)
