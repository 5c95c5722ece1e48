"""Two fronts and three workers, each a machine with a network and a name of its own, over one PostgreSQL and one Ceph with three stores; and what befalls them.

The caller runs in a network and a mount namespace of its own (`harness.island.namespaces()`): nothing here reaches the real network. The hub is that namespace; each node has another one
at the other end of a cable, so that a packet to the hub can be thrown away on its way."""
import json
import os
import random
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from harness.ceph import Ceph
from harness.nodes import Worker
from harness.postgres import Postgres
from harness.server import Server, StartFailed, run

HUB, BRIDGE = "10.77.0.1", "hub"
POSTGRES_PORT = 5432
FRONTS, WORKERS = 2, 3
LEASE_S = 15
CUT_S = 20
RESTART_S = 180
COMMANDS = {"note": {"argv": ["/bin/sh", "-c", "sleep 1; date +%s%N"]}}
OPS = ("sha256", "gzip", "note")

# Every claim and every end, written by the database itself in the transaction that makes it.
WITNESS = """
CREATE TABLE witness (n bigint GENERATED ALWAYS AS IDENTITY, at double precision NOT NULL DEFAULT extract(epoch FROM clock_timestamp()), job bigint, what text, state bigint,
	fence bigint, worker bigint, attempt bigint);
CREATE TABLE witness_worker (number bigint, labels text);
CREATE FUNCTION saw_task() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	INSERT INTO witness (job, what, state, fence, worker, attempt) VALUES (NEW.job, 'task', NEW.state, NEW.fence, NEW.worker, NEW.attempt);
	RETURN NULL;
END $$;
CREATE TRIGGER witness AFTER UPDATE ON task FOR EACH ROW WHEN ((OLD.state, OLD.fence, OLD.worker) IS DISTINCT FROM (NEW.state, NEW.fence, NEW.worker)) EXECUTE FUNCTION saw_task();
CREATE FUNCTION saw_result() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	INSERT INTO witness (job, what, state, fence, attempt) VALUES (coalesce(NEW.job, OLD.job), lower(TG_OP), NEW.state, NEW.fence, NEW.attempt);
	RETURN NULL;
END $$;
CREATE TRIGGER witness AFTER INSERT OR UPDATE OR DELETE ON result FOR EACH ROW EXECUTE FUNCTION saw_result();
CREATE FUNCTION saw_worker() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	INSERT INTO witness_worker VALUES (NEW.number, NEW.labels);
	RETURN NULL;
END $$;
CREATE TRIGGER witness AFTER INSERT OR UPDATE OF labels ON worker FOR EACH ROW EXECUTE FUNCTION saw_worker();
"""


def command(*argv):
	subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)


class Province:
	def __init__(self, folder, seed):
		self.folder, self.random = folder, random.Random(seed)
		self.troubles, self.happened = {}, [] # whom something befalls now; (time, kind, whom, duration in s)
		self.database = self.ceph = None
		self._parent = ThreadPoolExecutor(1) # services end with the thread that began them, so that is one that lasts
		self.fronts, self.workers = [], []

	# ---- life ----

	def __enter__(self):
		self._build_network()
		try:
			self._start()
		except BaseException:
			self.__exit__()
			raise
		return self

	def __exit__(self, *_):
		for node in [*self.fronts, *self.workers]:
			if node.process:
				node.process.kill()
		if self.ceph:
			self.ceph.__exit__()
		if self.database:
			self.database.close()

	def _build_network(self):
		command("ip", "link", "set", "lo", "up")
		command("mount", "-t", "tmpfs", "none", "/run")
		command("ip", "link", "add", BRIDGE, "type", "bridge")
		command("ip", "address", "add", f"{HUB}/24", "dev", BRIDGE)
		command("ip", "link", "set", BRIDGE, "up")
		for i in range(FRONTS + WORKERS):
			name, address = self._name(i), self._address(i)
			command("ip", "netns", "add", name)
			command("ip", "link", "add", f"to-{name}", "type", "veth", "peer", "name", "hub", "netns", name)
			command("ip", "link", "set", f"to-{name}", "master", BRIDGE, "up")
			command("ip", "-n", name, "link", "set", "lo", "up")
			command("ip", "-n", name, "address", "add", f"{address}/24", "dev", "hub")
			command("ip", "-n", name, "link", "set", "hub", "up")

	@staticmethod
	def _name(i):
		return f"front{i}" if i < FRONTS else f"worker{i - FRONTS}"

	@staticmethod
	def _address(i):
		return f"10.77.0.{10 + i}"

	def _start(self):
		hba = self.folder / "pg_hba.conf"
		hba.write_text("local all all trust\nhost all all 10.77.0.0/24 trust\n")
		self.folder.chmod(0o755)
		self.database = self._lasting(Postgres, durable=True, settings={"listen_addresses": f"'{HUB}'", "port": str(POSTGRES_PORT), "hba_file": f"'{hba}'", "max_connections": "200"})
		self.database.sql("CREATE DATABASE mill")
		(self.folder / "ceph").mkdir()
		self.ceph = self._lasting(Ceph(self.folder / "ceph", osds=3, address=HUB).__enter__)
		self.settings = {"catalog.url": f"host={HUB} port={POSTGRES_PORT} user=postgres dbname=mill", "commands": json.dumps(COMMANDS),
				 "ops": json.dumps({op: {"node": "mill"} for op in OPS}), "auth.anonymous": "true", "limits.address": "off",
				 "http.connections_per_address": "0", **self.ceph.storage("chaos/")}
		migrated = run("migrate", settings={**self.settings, "data.dir": self.folder / "data"})
		assert migrated.returncode == 0, migrated.stderr
		self.sql(WITNESS)
		for i in range(FRONTS):
			self.fronts.append(self._begin(Server, i, args=("--listen", f"{self._address(i)}:8080")))
		for i in range(FRONTS, FRONTS + WORKERS):
			self.workers.append(self._begin(Worker, i, labels=f"mill {self._name(i)}"))

	def _lasting(self, f, *arguments, **named):
		return self._parent.submit(f, *arguments, **named).result()

	def _begin(self, kind, i, args=(), labels=""):
		folder = self.folder / self._name(i)
		return kind(folder, data=folder / "data", settings={**self.settings, "node.labels": labels}, args=args, wrapper=("ip", "netns", "exec", self._name(i))).start()

	def sql(self, text):
		return self.database.sql(text, "mill")

	def rows(self, text):
		return [line.split("\t") for line in self.sql(text).splitlines()]

	# ---- what befalls them: each function takes whom, and lasts until it is over ----

	def _kill(self, name):
		worker = self.workers[int(name[-1])]
		worker.process.kill()
		worker.process.wait()
		worker.process.stdout.close()
		worker.process = None
		time.sleep(self.random.uniform(0.5, 5))
		until = time.monotonic() + RESTART_S
		while True: # as a supervisor does: PostgreSQL or the gateway may be away for the moment
			try:
				return worker.start(timeout=RESTART_S)
			except StartFailed:
				if time.monotonic() > until:
					raise
				time.sleep(1)

	def _suspend(self, name):
		worker = self.workers[int(name[-1])]
		worker.process.send_signal(19) # SIGSTOP
		time.sleep(LEASE_S + 3)
		worker.process.send_signal(18)

	def _cut(self, name, port):
		rules = f"""table inet cut {{
			chain out {{ type filter hook output priority 0; ip daddr {HUB} tcp dport {port} drop; }}
			chain in {{ type filter hook input priority 0; ip saddr {HUB} tcp sport {port} drop; }}
		}}"""
		subprocess.run(["ip", "netns", "exec", name, "nft", "-f", "-"], input=rules, text=True, check=True)
		time.sleep(CUT_S)
		command("ip", "netns", "exec", name, "nft", "delete", "table", "inet", "cut")

	def _cut_from_postgres(self, name):
		self._cut(name, POSTGRES_PORT)

	def _cut_from_s3(self, name):
		self._cut(name, self.ceph.port)

	def _end_backend(self, _):
		how = self.random.choice(["pg_terminate_backend(pid)", "pid"])
		found = self.sql(f"SELECT {how} FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1").strip()
		if how == "pid" and found:
			try:
				os.kill(int(found), signal.SIGKILL) # the server ends all others, too, and recovers
			except ProcessLookupError:
				pass # its node was killed meanwhile
			self.database._wait_ready()

	def _restart_postgres(self, _):
		self.database.stop(self.random.choice(["fast", "immediate"]))
		self._lasting(self.database.start)

	def _restart_gateway(self, _):
		self.ceph.lose(self.ceph.gateway)
		self._lasting(self.ceph.begin_gateway)
		self.ceph._wait(self.ceph.gateway_answers, "the gateway")

	def _lose_store(self, _):
		i = self.random.randrange(len(self.ceph.osds))
		self.ceph.lose(self.ceph.osds[i])
		time.sleep(6)
		self._lasting(self.ceph.begin_osd, i)
		time.sleep(6)

	KINDS = {"worker killed": _kill, "worker suspended past its lease": _suspend, "node cut off from PostgreSQL": _cut_from_postgres, "node cut off from S3": _cut_from_s3,
		 "PostgreSQL backend killed": _end_backend, "PostgreSQL restarted": _restart_postgres, "gateway restarted": _restart_gateway, "store killed": _lose_store}

	def _whom(self, kind):
		if kind.startswith("worker"):
			candidates = [self._name(FRONTS + i) for i in range(WORKERS)]
		elif kind.startswith("node"):
			candidates = [self._name(i) for i in range(FRONTS + WORKERS)]
		else:
			candidates = ["postgres" if kind.startswith("PostgreSQL") else "gateway" if kind.startswith("gateway") else "stores"]
		return [c for c in candidates if c not in self.troubles]

	def trouble(self):
		"""Begins one, where there is somebody whom it can befall: never all workers at once, nor both fronts, nor one that has its share. Its name, or None."""
		kind = self.random.choice(list(self.KINDS))
		spared = [some for some, most in (("worker", WORKERS - 1), ("front", FRONTS - 1)) if sum(t.startswith(some) for t in self.troubles) >= most]
		whom = [w for w in self._whom(kind) if not w.startswith(tuple(spared))]
		return self._begin_trouble(kind, self.random.choice(whom)) if whom else None

	def _begin_trouble(self, kind, whom):
		def last():
			began = time.time()
			try:
				self.KINDS[kind](self, whom)
				self.happened.append((began, kind, whom, time.time() - began))
			except Exception as e: # told at the end
				self.happened.append((began, kind, whom, f"{type(e).__name__}: {e}"))
			finally:
				del self.troubles[whom]

		self.troubles[whom] = thread = threading.Thread(target=last)
		thread.start()
		return kind

	def calm(self):
		for thread in list(self.troubles.values()):
			thread.join()
