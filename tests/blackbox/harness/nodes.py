"""Several nodes on one PostgreSQL: fronts as harness.Server, and workers, which serve nobody."""
import subprocess

from harness import postgres
from harness.server import PATIENCE_S, Server, binary

# Where a lease must end for the test to go on; long enough that a busy machine loses none by itself.
QUICK = {"jobs.lease": "5s", "jobs.beat": "500ms", "jobs.reclaim": "200ms"}


class Worker(Server):
	"""`filemill work`. It says one line when it is ready and answers no request."""

	def command(self):
		return [*self.wrapper, binary(), "work", "--data", str(self.data), *self.args]

	def start(self, timeout=PATIENCE_S):
		log = open(self.log_path, "ab")
		self.process = subprocess.Popen(self.command(), env=self.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
		log.close()
		line = self._first_line(timeout)
		assert line == "filemill ready", line + self.log()
		return self

	def _ended(self):
		self.process.stdout.close()
		self.process = None
		self.check_sanitizer()


class Database:
	"""One of a cluster's, for the nodes of a test."""

	def __init__(self, cluster, name):
		self.cluster, self.name = cluster, name
		cluster.sql(f"CREATE DATABASE {name}")

	@property
	def url(self):
		return self.cluster.conninfo(self.name)


def installed():
	return postgres.programs() is not None
