"""A real Ceph with one monitor, one store in memory or several on disk that keep each object together, and its S3 gateway, on loopback or an address of this machine, without a service of
the system: everything lies in one folder. The gateway knows its buckets as parts of
the path and in front of the name HOST, which leads to it for whom `knows_names` wraps."""
import ctypes
import errno
import fcntl
import functools
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path

import pytest

from harness.bucket import Bucket

ACCESS, SECRET, BUCKET = "testaccess", "testsecret123456789", "sync-source"
HOST = "s3.test"
LEAST_PORT = 10000 # below are those of services
PROGRAMS = {"ceph-mon": "ceph-mon", "ceph-osd": "ceph-osd", "radosgw": "radosgw", "ceph": "ceph-common", "radosgw-admin": "radosgw", "monmaptool": "ceph-common",
	    "aws": "awscli"}
CONF = """[global]
fsid = {fsid}
mon host = v1:{address}:{mon}
public addr = {address}
cluster addr = {address}
public network = {address}/32
auth cluster required = none
auth service required = none
auth client required = none
ms bind msgr2 = false
log file = {dir}/$name.log
admin socket = {dir}/$name.asok
run dir = {dir}
keyring = {dir}/keyring
osd pool default size = {size}
osd pool default min size = {min_size}
osd pool default pg num = 8
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 2000
mon data avail crit = 1
[mon]
mon data = {dir}/mon
mon osd down out interval = 600
[osd]
osd data = {dir}/osd$id
osd objectstore = {store}
osd heartbeat grace = {grace}
osd heartbeat interval = 2
memstore device bytes = {memory}
bluestore block size = 25769803776
osd memory target = 939524096
[client]
rgw data = {dir}/rgw
rgw dns name = {host}
rgw enable usage log = false
rgw enable ops log = false
rgw gc obj min wait = 60
rgw gc processor period = 30
rgw gc processor max time = 30
"""


# Seconds. A store may be read for 4/5 of the grace after it last had its copies' word for it. One alone asks nobody, and where it was not let run for so long, what was asked of it by then
# waits for a word that never comes: this version of Ceph forgets such requests for good.
GRACE_OF_SEVERAL, GRACE_OF_ONE = 5, 86400


def free_port(address="127.0.0.1"):
	"""For a program that takes it seconds later, so none of those that the system gives to whoever asks for any: another would have it by then."""
	first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])
	while True:
		try:
			with socket.create_server((address, random.randrange(LEAST_PORT, max(first, 2 * LEAST_PORT)))) as s:
				return s.getsockname()[1]
		except OSError as e:
			if e.errno != errno.EADDRINUSE:
				raise


def _die_with_us():
	ctypes.CDLL(None).prctl(1, signal.SIGKILL) # PR_SET_PDEATHSIG


class Ceph:
	"""osds: how many stores; with one it is in memory and an object has one copy, with more they are on disk, an object has as many copies, and one store less is no matter.
	memory: bytes of the one in memory; what was removed takes room for a minute or two more, since who reads it may go on."""

	def __init__(self, folder, osds=1, address="127.0.0.1", memory=4 << 30):
		for program, package in PROGRAMS.items():
			if not Path("/usr/bin", program).exists():
				pytest.skip(f"needs {program} of the package {package}")
		self.dir = Path(folder)
		self.conf = self.dir / "ceph.conf"
		self.processes = []
		self.address, self.osds, self.memory = address, [None] * osds, memory
		self.port = self.gateway = None

	def __enter__(self):
		try:
			self._start()
		except BaseException:
			Ceph.__exit__(self)
			raise
		return self

	def __exit__(self, *_):
		for p in reversed(self.processes):
			p.kill()
			p.wait()
		shutil.rmtree(self.dir, ignore_errors=True)

	def _run(self, *argv, check=True):
		return subprocess.run([f"/usr/bin/{argv[0]}", "-c", str(self.conf), *map(str, argv[1:])], timeout=240, check=check,
				      stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout

	def _spawn(self, *argv):
		log = open(self.dir / "start.log", "ab")
		self.processes.append(subprocess.Popen([f"/usr/bin/{argv[0]}", "-c", str(self.conf), *map(str, argv[1:])], stdin=subprocess.DEVNULL,
						       stdout=log, stderr=log, preexec_fn=_die_with_us))
		log.close()
		return self.processes[-1]

	def _wait(self, there, what, seconds=240):
		deadline = time.monotonic() + seconds
		while not there():
			assert time.monotonic() < deadline, f"{what} does not come up:\n" + (self.dir / "start.log").read_text(errors="replace")[-3000:]
			time.sleep(0.1)

	def _start(self):
		fsid, mon, count = str(uuid.uuid4()), free_port(self.address), len(self.osds)
		self.conf.write_text(CONF.format(fsid=fsid, mon=mon, dir=self.dir, host=HOST, address=self.address, size=count, min_size=max(1, count - 1), memory=self.memory,
						 store="memstore" if count == 1 else "bluestore", grace=GRACE_OF_ONE if count == 1 else GRACE_OF_SEVERAL))
		for name in ("mon", "rgw", *(f"osd{i}" for i in range(count))):
			(self.dir / name).mkdir()
		subprocess.run(["/usr/bin/monmaptool", "--create", "--fsid", fsid, "--addv", "a", f"[v1:{self.address}:{mon}]", str(self.dir / "monmap")],
			       check=True, stdout=subprocess.DEVNULL)
		self._run("ceph-mon", "-i", "a", "--mkfs", "--monmap", self.dir / "monmap")
		self._spawn("ceph-mon", "-f", "-i", "a")
		for i in range(count):
			osd = str(uuid.uuid4())
			self._wait(lambda i=i, osd=osd: self._registered(osd, i), "the monitor")
			self._run("ceph-osd", "-i", str(i), "--mkfs", "--osd-uuid", osd)
			self.begin_osd(i)
		self.port = free_port(self.address)
		self.begin_gateway()
		self._wait(self._answers, "the gateway")
		self._run("radosgw-admin", "user", "create", "--uid", "test", "--display-name", "test", "--access-key", ACCESS, "--secret-key", SECRET)
		self.bucket.ask("PUT")
		# The gateway makes its pools when they are first wanted, for which it takes seconds: not within a test.
		self.bucket.ask("PUT", "first", b"x")
		self.bucket.ask("DELETE", "first", uploadId=self.bucket.begin_upload("first"))
		self.bucket.ask("DELETE", "first")

	def begin_osd(self, i):
		self.osds[i] = self._spawn("ceph-osd", "-f", "-i", str(i))

	def begin_gateway(self):
		self.gateway = self._spawn("radosgw", "-f", "-n", "client.rgw.0", f"--rgw-frontends=beast endpoint={self.address}:{self.port} tcp_nodelay=1")

	def lose(self, process):
		process.kill()
		process.wait()
		self.processes.remove(process)

	def _registered(self, osd, i):
		"""Whether the monitor knows it now. One that has only just begun may refuse every command (EPERM, no command descriptions)."""
		r = subprocess.run(["/usr/bin/ceph", "-c", str(self.conf), "--connect-timeout", "60", "osd", "new", osd, str(i)], timeout=240, check=False,
				   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
		if r.returncode != 0:
			with open(self.dir / "start.log", "a", encoding="utf-8") as log:
				log.write(r.stdout)
		return r.returncode == 0

	def _answers(self):
		for i, osd in enumerate(self.osds):
			if osd.poll() is not None:
				# It gives up when it asks the monitor before it was told of which cluster that is ("wrong fsid"): a matter of luck.
				self.begin_osd(i)
		return self.gateway_answers()

	def gateway_answers(self):
		try:
			urllib.request.urlopen(self.endpoint(), timeout=5).close()
		except urllib.error.HTTPError:
			return True
		except OSError:
			return False
		return True

	@functools.cached_property
	def bucket(self):
		return Bucket(self.address, self.port, BUCKET, ACCESS, SECRET)

	def endpoint(self):
		return f"http://{self.address}:{self.port}"

	def named_endpoint(self):
		return f"http://{HOST}:{self.port}"

	def knows_names(self):
		"""For a program to be run in: it finds the bucket's own name and nothing else of HOST."""
		argv = ["unshare", "--mount"] + ([] if os.geteuid() == 0 else ["--user", "--map-root-user"])
		hosts = self.dir / "hosts"
		hosts.write_text(f"127.0.0.1 localhost\n127.0.0.1 {BUCKET}.{HOST}\n")
		wrapper = [*argv, "sh", "-c", 'mount --bind "$0" "$(readlink -f /etc/hosts)" && exec "$@"', str(hosts)]
		tried = subprocess.run([*wrapper, "true"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
		if tried.returncode != 0:
			pytest.skip(f"no mount namespace is to be had here: {tried.stdout[-200:]}")
		return wrapper

	def aws(self, *argv):
		env = {"PATH": "/usr/bin:/bin", "HOME": str(self.dir), "AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_DEFAULT_REGION": "us-east-1",
		       "LANG": "C.UTF-8"}
		done = subprocess.run(["/usr/bin/aws", "--endpoint-url", self.endpoint(), *argv], env=env, timeout=240, stdin=subprocess.DEVNULL,
				      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
		assert done.returncode == 0, done.stdout
		return done.stdout

	def put(self, key, body):
		path = self.dir / f"object-{os.getpid()}"
		path.write_bytes(body)
		try:
			self.aws("s3", "cp", "--only-show-errors", str(path), f"s3://{BUCKET}/{key}")
		finally:
			os.unlink(path)

	def settings(self):
		return {"imports.s3_endpoint": self.endpoint(), "imports.s3_access_key": ACCESS, "imports.s3_secret_key": SECRET}

	def storage(self, prefix, endpoint=None, **more):
		"""Settings of a server whose files are in the bucket. It looks often whether another catalogue uses it: what is deleted after a restart waits for that."""
		return {"storage.s3_endpoint": endpoint or self.endpoint(), "storage.s3_bucket": BUCKET, "storage.s3_prefix": prefix, "storage.s3_access_key": ACCESS,
			"storage.s3_secret_key": SECRET, "files.sweep_every": "2s", **more}

	def keys(self, prefix):
		"""Keys of the objects beneath the prefix, without it, but for those that say whose it is."""
		return sorted(key[len(prefix):] for key, _ in self.bucket.objects(prefix) if not key.startswith((prefix + "filemill/00/owner", prefix + "filemill/00/line-")))

	def words(self, prefix):
		"""By which the catalogues that use the prefix know themselves."""
		return {key for key, _ in self.bucket.objects(prefix + "filemill/00/line-")}

	def uploads(self, prefix):
		"""Keys of uploads in parts that were begun beneath the prefix."""
		return [key for key, _ in self.bucket.uploads(prefix)]


class Shared(Ceph):
	"""One for all processes of a test run, which find each other by a common folder. Who comes first starts it, and waits at the end for those who use it still."""

	def __init__(self, common, name="ceph", **more):
		self.state = Path(common) / f"{name}.json"
		self.users = open(Path(common) / f"{name}.users", "a")
		self.starting = open(Path(common) / f"{name}.lock", "a")
		self.ours = False
		super().__init__(Path(common) / f"{name}-{os.getpid()}", **more)

	def __enter__(self):
		fcntl.flock(self.starting, fcntl.LOCK_EX)
		try:
			if self.state.exists():
				there = json.loads(self.state.read_text())
				self.dir, self.port = Path(there["dir"]), there["port"]
			else:
				self.dir.mkdir()
				super().__enter__()
				self.ours = True
				self.state.write_text(json.dumps({"dir": str(self.dir), "port": self.port}))
			fcntl.flock(self.users, fcntl.LOCK_SH)
		finally:
			fcntl.flock(self.starting, fcntl.LOCK_UN)
		return self

	def _wait_for_others(self):
		"""Until nobody uses it, and from then on nobody may begin to. One that uses it may come once more meanwhile, for another module's tests, so nothing is held while this waits."""
		while True:
			fcntl.flock(self.starting, fcntl.LOCK_EX)
			try:
				fcntl.flock(self.users, fcntl.LOCK_EX | fcntl.LOCK_NB)
				return
			except BlockingIOError:
				fcntl.flock(self.starting, fcntl.LOCK_UN)
				time.sleep(0.1)

	def __exit__(self, *_):
		if self.ours:
			self._wait_for_others()
			self.state.unlink()
			super().__exit__(None, None, None)
		self.users.close()
		self.starting.close()


@pytest.fixture(scope="session")
def ceph(tmp_path_factory):
	common = tmp_path_factory.getbasetemp()
	with Shared(common.parent if "PYTEST_XDIST_WORKER" in os.environ else common) as c:
		yield c
