"""The arrangement of many nodes, as scripts/new-config writes it: two fronts and three workers on one PostgreSQL and one bucket, with a proxy in front. Only ports and the place of the
certificate are changed in what it wrote."""
import json
import socket
import subprocess

import pytest
import yaml

from harness import proxies
from harness.ceph import ACCESS, BUCKET, SECRET, ceph, free_port # noqa: F401
from harness.data import md5, random_bytes
from harness.nodes import installed
from harness.postgres import Postgres
from harness.server import REPOSITORY, Server, binary, clean_environment, eventually, run

pytestmark = [pytest.mark.skipif(bool(proxies.missing()), reason=proxies.missing()), pytest.mark.skipif(not installed(), reason="postgresql is not installed")]
MIB = 1 << 20
EMAIL = f"admin@{proxies.NAME}"
CONNECTIONS_A_NODE = 9 # docs/operations.md, "Size of many nodes"


class Node(Server):
	"""A front or a worker of the configuration; what differs from node to node is said as docs/deployment.md has it."""

	def __init__(self, folder, verb, config):
		super().__init__(folder, args=["-c", config])
		self.verb, self.place = verb, f"127.0.0.1:{free_port()}" # where the proxy looks for it; nobody else is given it while it is down

	def command(self):
		where = {"serve": "--listen", "work": "--node-listen"}[self.verb]
		return [binary(), self.verb, *self.args, "--data", str(self.data), where, self.place]

	def environment(self):
		return clean_environment({"log.access": "true"}) # the catalogue is the configuration's, whatever others are tested on

	def ready(self):
		return self.get("/readyz", headers={"Host": proxies.NAME}).status_code == 200


def with_fronts(proxy, text, fronts, pairs):
	"""The proxy with the text that was written, which leads to these fronts."""
	places = [(f"10.0.0.{n}:8080", f.place) for n, f in enumerate(fronts, 1)]
	return proxies.replaced(text, [*places, *pairs(proxy)])


class Haproxy(proxies.Haproxy):
	def __init__(self, folder, config, fronts):
		proxies.Proxy.__init__(self, folder, None)
		self.cert = config / f"tls/{proxies.NAME}.pem"
		self.file = folder / "haproxy.cfg"
		self.admin = folder / "admin.sock"
		self.file.write_text(with_fronts(self, (config / "haproxy.cfg").read_text(), fronts, lambda p: [
			("bind :80\n", f"bind fd@{p.numbers()[0]}\n"), ("bind :443 ", f"bind fd@{p.numbers()[1]} "), ("/etc/haproxy/certs/", str(p.cert)),
			("    maxconn 20000\n", "    maxconn 500\n"), ("/run/haproxy/admin.sock", str(p.admin)),
			# A front that is ready and slow to say so, as on a busy machine, is not to be taken for one that is gone.
			("    timeout check 5s\n", "    timeout check 50s\n")]))

	def ask(self, command):
		with socket.socket(socket.AF_UNIX) as s:
			s.connect(str(self.admin))
			s.sendall(command.encode() + b"\n")
			return b"".join(iter(lambda: s.recv(65536), b"")).decode()

	def states(self):
		"""What it thinks of each front."""
		lines = [line.split(",") for line in self.ask("show stat").splitlines() if line.startswith("filemill,front")]
		return {line[1]: line[17].split()[0] for line in lines}


class Nginx(proxies.Nginx):
	def __init__(self, folder, config, fronts):
		class Anywhere:
			port = 8080
		super().__init__(folder, Anywhere)
		self.cert = config / f"tls/{proxies.NAME}.pem"
		(folder / "filemill.conf").write_text(with_fronts(self, (config / "nginx.conf").read_text(), fronts, lambda p: [
			("listen 80;", f"listen 127.0.0.1:{p.plain};"), ("listen 443 ssl http2;", f"listen 127.0.0.1:{p.port} ssl http2;"), ("    listen [::]:80;\n", ""),
			("    listen [::]:443 ssl http2;\n", ""), ("/etc/nginx/certs", str(config / "tls"))]))


def first_account(config, node, programs):
	"""The very words with which the Kubernetes manifest makes it."""
	manifest = next(o for o in yaml.safe_load_all((REPOSITORY / "packaging/kubernetes/many/fronts.yaml").read_text()) if o["kind"] == "StatefulSet")
	container = manifest["spec"]["template"]["spec"]["initContainers"][0]
	words = container["args"][0].replace("/config/filemill.yaml", str(config / "filemill.yaml")).replace("/secrets", str(config))
	env = {**clean_environment(), "FILEMILL_DATA_DIR": str(node.data), "FIRST_EMAIL": container["env"][0]["value"]}
	return subprocess.Popen([*container["command"], words], env={**env, "PATH": f"{programs}:{env['PATH']}"}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


class Arrangement:
	def __init__(self, folder, ceph):
		self.folder, self.config = folder, folder / "config"
		self.port = free_port()
		self.cluster = Postgres(settings={"listen_addresses": "'127.0.0.1'", "port": str(self.port)})
		self.fronts, self.workers, self.proxy = [], [], None
		self.ceph = ceph

	def sql(self, text, database="mill"):
		return self.psql("-A", "-t", "-c", text, database=database).strip()

	def psql(self, *args, database="postgres", **more):
		done = subprocess.run([self.cluster.programs / "psql", "-X", "-q", *args, f"{self.cluster.conninfo(database)} port={self.port}"], capture_output=True, text=True, timeout=60,
				      check=False, **more)
		assert done.returncode == 0, done.stderr
		return done.stdout

	def write(self):
		(self.folder / "secret").write_text(SECRET)
		done = subprocess.run([REPOSITORY / "scripts/new-config", "--fronts", "10.0.0.1:8080,10.0.0.2:8080", "--postgres", f"postgresql://mill@127.0.0.1:{self.port}/mill", "--bucket", BUCKET,
				       "--endpoint", self.ceph.endpoint(), "--prefix", f"many-{self.port}/", "--access-key", ACCESS, "--secret-key", self.folder / "secret", self.config, proxies.NAME],
				      capture_output=True, text=True, timeout=60, check=False)
		assert done.returncode == 0, done.stderr
		# Over TCP a password is needed, so the one that was made up is the one that is used.
		(self.cluster.folder / "data/pg_hba.conf").write_text("local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n")
		self.sql("SELECT pg_reload_conf()", database="postgres")
		self.psql(input=(self.config / "database.sql").read_text())

	def make_account(self):
		"""As two pods that come at once, each of which is begun again until it has ended well."""
		programs = self.folder / "bin"
		programs.mkdir()
		(programs / "filemill").symlink_to(binary())
		left = list(self.fronts)
		while left:
			tried = [(front, first_account(self.config, front, programs)) for front in left]
			said = [p.communicate(timeout=120)[0] for _, p in tried]
			assert len([p for _, p in tried if p.returncode != 0]) < len(left), said
			left = [front for front, p in tried if p.returncode != 0]
		accounts = run("admin", "user", "list", "-c", self.config / "filemill.yaml", "--data", self.fronts[0].data)
		assert accounts.stdout.count("@") == 1 and EMAIL in accounts.stdout, accounts

	def start(self):
		self.write()
		config = self.config / "filemill.yaml"
		self.fronts = [Node(self.folder / f"front{n}", "serve", config) for n in (1, 2)]
		self.workers = [Node(self.folder / f"worker{n}", "work", config) for n in (1, 2, 3)]
		self.make_account()
		for node in (*self.fronts, *self.workers):
			node.start()
		self.proxy = Haproxy(self.folder / "haproxy", self.config, self.fronts)
		checked = self.proxy.check()
		assert checked.returncode == 0 and "warn" not in checked.stdout.lower(), checked.stdout
		self.proxy.start()
		eventually(lambda: set(self.proxy.states().values()) == {"UP"})
		password = (self.config / "admin-password").read_text().strip()
		self.token = self.ask("/v1/sessions", "-H", "Content-Type: application/json", "--data-binary", "@-", data=json.dumps({"email": EMAIL, "password": password}).encode())["token"]
		return self

	def curl(self, path, *args, **more):
		head = ("-H", f"Authorization: Bearer {self.token}") if path != "/v1/sessions" else ()
		return self.proxy.curl(path, "--http2", *head, *args, **more)

	def ask(self, path, *args, **more):
		return json.loads(self.curl(path, *args, **more).stdout)

	def upload(self, body, query="", proxy=None):
		"""The file's object; anything but 201 over HTTP/2 fails."""
		done = (proxy or self.proxy).curl(f"/v1/files?name=a.bin&{query}", "--http2", "-H", f"Authorization: Bearer {self.token}", "-H", "Content-Type: application/octet-stream",
						  "--data-binary", "@-", "-w", "\n%{http_code} %{http_version}", data=body)
		text, _, status = done.stdout.rpartition(b"\n")
		assert status == b"201 2", done.stdout
		return json.loads(text)

	def content(self, file):
		return self.curl(f"/v1/files/{file['id']}/content").stdout

	def end(self):
		if self.proxy:
			self.proxy.stop()
		failures = []
		for node in (*self.workers, *self.fronts):
			try:
				node.stop()
			except AssertionError as e:
				failures.append(str(e))
		self.cluster.close()
		assert not failures, "\n".join(failures)


@pytest.fixture(scope="module")
def many(module_folder, ceph):
	arrangement = Arrangement(module_folder, ceph)
	try:
		yield arrangement.start()
	finally:
		arrangement.end()


def test_a_file_comes_in_over_http2_is_worked_on_and_fetched(many):
	body = random_bytes(MIB, 1) * 20 + b"an end" # in two parts
	file = many.upload(body, "ops=md5,gzip&wait=60")
	assert [j["state"] for j in file["jobs"]] == ["succeeded"] * 2 and file["jobs"][0]["result"]["md5"] == md5(body)
	assert many.content(file) == body
	part = many.curl(f"/v1/files/{file['id']}/content", "-r", "20000000-20000999").stdout
	assert part == body[20000000:20001000]
	workers = many.ask("/v1/admin/workers")["workers"]
	assert len([w for w in workers if w["state"] == "working"]) == 5, workers


def test_one_front_is_killed_and_the_other_takes_over(many):
	before = [many.upload(random_bytes(100_000, n)) for n in range(4)]
	first = many.fronts[0]
	first.kill()
	# At once, and not only when the proxy has seen it: a connection that is not made is made to the other one.
	after = [many.upload(random_bytes(100_000, n)) for n in range(4, 8)]
	eventually(lambda: many.proxy.states() == {"front1": "DOWN", "front2": "UP"}, message=lambda: many.proxy.states())
	assert [many.content(f) for f in before + after] == [random_bytes(100_000, n) for n in range(8)]
	first.start()
	eventually(lambda: many.proxy.states() == {"front1": "UP", "front2": "UP"}, message=lambda: many.proxy.states())
	many.fronts[1].stop()
	assert [many.content(f) for f in before + after] == [random_bytes(100_000, n) for n in range(8)]
	many.fronts[1].start()
	eventually(lambda: many.proxy.states() == {"front1": "UP", "front2": "UP"}, message=lambda: many.proxy.states())


def test_a_front_is_drained_by_the_proxy(many):
	many.proxy.ask("set server filemill/front2 state drain")
	body = random_bytes(50_000, 20)
	ids = []

	def ask(path, *args, **more):
		answer, _, number = many.curl(path, *args, "-w", "\n%header{x-request-id}", **more).stdout.rpartition(b"\n")
		ids.append(number.decode())
		return answer
	files = [json.loads(ask("/v1/files?name=a.bin", "-H", "Content-Type: application/octet-stream", "--data-binary", "@-", data=body)) for _ in range(4)]
	assert [ask(f"/v1/files/{f['id']}/content") for f in files] == [body] * 4
	# By the ids of these requests: each is told only when its answer has gone, so one of those before may be told meanwhile.
	asked = lambda front: [e["request_id"] for e in front.log_events() if e["event"] == "request" and e["request_id"] in ids]
	eventually(lambda: len(asked(many.fronts[0])) == 8)
	assert len(set(ids)) == 8 and asked(many.fronts[1]) == []
	many.proxy.ask("set server filemill/front2 state ready")
	eventually(lambda: many.proxy.states()["front2"] == "UP")


def test_workers_are_restarted_one_by_one_while_jobs_come(many):
	files = []
	for n, worker in enumerate(many.workers):
		files += [many.upload(random_bytes(300_000, 100 * n + i), "ops=gzip,sha512") for i in range(5)]
		worker.stop() # which demands that it ends well
		files += [many.upload(random_bytes(300_000, 100 * n + 50 + i), "ops=gzip,sha512") for i in range(5)]
		worker.start()
		eventually(worker.ready) # it asks the bucket once each time, and soon gives up
	for file in files:
		jobs = many.ask(f"/v1/files/{file['id']}?wait=60")["jobs"]
		assert [j["state"] for j in jobs] == ["succeeded"] * 2, jobs


def test_nginx_leads_to_both_fronts_and_past_one_that_is_gone(many):
	proxy = Nginx(many.folder / "nginx", many.config, many.fronts)
	checked = proxy.check()
	assert checked.returncode == 0 and "warn" not in checked.stdout.lower(), checked.stdout
	proxy.start()
	try:
		files = [many.upload(random_bytes(100_000, 200 + n), proxy=proxy) for n in range(4)]
		many.fronts[0].stop()
		# Nothing is sent twice, so the one request that finds nobody there is told so, and those after it go to the other front.
		status = lambda: proxy.curl("/healthz", "-o", "/dev/null", "-w", "%{http_code}").stdout
		eventually(lambda: status() == b"502")
		for n, file in enumerate(files):
			got = proxy.curl(f"/v1/files/{file['id']}/content", "-H", f"Authorization: Bearer {many.token}").stdout
			assert got == random_bytes(100_000, 200 + n)
		many.fronts[0].start()
	finally:
		proxy.stop()
	eventually(lambda: many.proxy.states() == {"front1": "UP", "front2": "UP"})


def test_the_audit_log_is_whole_when_fronts_with_folders_of_their_own_took_it_over(many, folder):
	deleted = []
	for front in (*many.fronts, many.fronts[0]):
		front.stop()
		file = many.upload(b"to be deleted")
		assert many.curl(f"/v1/files/{file['id']}", "-X", "DELETE", "-w", "%{http_code}").stdout == b"204"
		deleted.append(file["id"])
		# What is written goes from the catalogue.
		eventually(lambda: many.sql("SELECT count(*) FROM audit") == "0", message=lambda: [f.log() for f in many.fronts])
		front.start()
		eventually(lambda: set(many.proxy.states().values()) == {"UP"})
	files = sorted((path for front in many.fronts for path in (front.data / "audit").iterdir()), key=lambda p: p.name)
	assert len({p.parent for p in files}) == 2 and len({p.name for p in files}) == len(files) >= 3, files
	# The fronts write on, what they did at their start among it: a line may come between what is read here and what is verified.
	for _ in range(20):
		lines = [json.loads(line) for path in files for line in path.read_text().splitlines()]
		verified = run("audit", "verify", *files)
		if verified.returncode != 0 or verified.stdout.startswith(f"ok: {len(lines)} lines"):
			break
	assert verified.returncode == 0 and verified.stdout.startswith(f"ok: {len(lines)} lines"), verified
	assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
	assert [line["file"] for line in lines if line["act"] == "file.deleted"] == deleted
	assert "audit.continued" in {line["act"] for line in lines} and "audit.broken" not in {line["act"] for line in lines}


def test_nodes_take_no_more_connections_than_the_guide_counts_on(many):
	most = 0
	for _ in range(20):
		many.upload(random_bytes(1000, 9), "ops=md5,gzip&wait=10")
		most = max(most, int(many.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'filemill'")))
	assert 5 <= most <= 5 * CONNECTIONS_A_NODE
