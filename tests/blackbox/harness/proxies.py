"""The proxies whose configuration the house ships, started with that very file: only names of this test's own (addresses, certificate) are put into it. Their sockets are
opened here and handed over, so no port is chosen by luck."""
import os
import shutil
import signal
import socket
import ssl
import subprocess
from pathlib import Path

from harness.server import REPOSITORY, eventually

NAME = "files.example.org"
UNPACKED = REPOSITORY / "scripts/unpacked"


def certificate(folder):
	key, cert = folder / f"{NAME}.key", folder / f"{NAME}.pem"
	subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={NAME}", "-addext",
			f"subjectAltName=DNS:{NAME}", "-days", "2", "-keyout", key, "-out", cert], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
	return cert, key


def replaced(text, pairs):
	for old, new in pairs:
		assert old in text, f"the configuration no longer has {old!r}"
		text = text.replace(old, new)
	return text


class Proxy:
	"""`plain` and `port` answer at 127.0.0.1; soft stop: what is under way ends, nothing new begins."""

	def __init__(self, folder, server):
		self.folder = folder
		folder.mkdir()
		self.server = server
		self.cert, self.key = certificate(folder)
		self.sockets = [socket.create_server(("127.0.0.1", 0), backlog=512) for _ in range(2)]
		self.plain, self.port = (s.getsockname()[1] for s in self.sockets)
		self.log = open(folder / "log", "wb")
		self.process = None

	def check(self):
		"""What the proxy says of its configuration."""
		return subprocess.run(self.check_command(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, env=self.environment(),
				      pass_fds=self.numbers(), check=False)

	def numbers(self):
		return [s.fileno() for s in self.sockets]

	def environment(self):
		return dict(os.environ)

	def start(self):
		self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, env=self.environment(), pass_fds=self.numbers())
		for s in self.sockets:
			s.close() # else they would go on listening when the proxy does no longer
		eventually(self.answers, message=lambda: (self.folder / "log").read_text())
		return self

	def answers(self):
		assert self.process.poll() is None, (self.folder / "log").read_text()
		return self.curl("/readyz", "-o", "/dev/null", "-w", "%{http_code}", check=False).stdout == b"200"

	def end_softly(self):
		self.process.send_signal(self.SOFT)

	def stop(self):
		if self.process and self.process.poll() is None:
			self.process.terminate()
			self.process.wait(60)
		self.log.close()

	# ---- clients ----
	def url(self, path):
		return f"https://{NAME}:{self.port}{path}"

	def curl_command(self, path, *args):
		return ["curl", "-sS", "--max-time", "60", "--noproxy", "*", "--cacert", str(self.cert), "--resolve", f"{NAME}:{self.port}:127.0.0.1", *map(str, args), self.url(path)]

	def curl(self, path, *args, data=None, check=True):
		done = subprocess.run(self.curl_command(path, *args), input=data, capture_output=True, timeout=90, check=False)
		assert not check or done.returncode == 0, done.stderr
		return done

	def connect(self, source="127.0.0.1"):
		"""A connection of HTTP/1.1 over TLS."""
		context = ssl.create_default_context(cafile=str(self.cert))
		raw = socket.create_connection(("127.0.0.1", self.port), timeout=60, source_address=(source, 0))
		return context.wrap_socket(raw, server_hostname=NAME)


class Haproxy(Proxy):
	SOFT = signal.SIGUSR1

	def __init__(self, folder, server):
		super().__init__(folder, server)
		both = folder / "both.pem"
		both.write_bytes(self.cert.read_bytes() + self.key.read_bytes())
		self.file = folder / "haproxy.cfg"
		self.file.write_text(replaced((REPOSITORY / "packaging/haproxy/haproxy.cfg").read_text(), [
			("bind :80\n", f"bind fd@{self.numbers()[0]}\n"), ("bind :443 ", f"bind fd@{self.numbers()[1]} "), ("/etc/haproxy/certs/", str(both)),
			("    maxconn 20000\n", "    maxconn 500\n"), ("/run/haproxy/admin.sock", str(folder / "admin.sock")), ("127.0.0.1:8080", f"127.0.0.1:{server.port}")]))

	def check_command(self):
		return [str(UNPACKED), "haproxy", "-c", "-f", str(self.file)]

	def command(self):
		return [str(UNPACKED), "haproxy", "-db", "-f", str(self.file)]


class Nginx(Proxy):
	SOFT = signal.SIGQUIT

	def __init__(self, folder, server):
		super().__init__(folder, server)
		ours = replaced((REPOSITORY / "packaging/nginx/filemill.conf").read_text(), [
			("listen 80;", f"listen 127.0.0.1:{self.plain};"), ("listen 443 ssl http2;", f"listen 127.0.0.1:{self.port} ssl http2;"), ("    listen [::]:80;\n", ""),
			("    listen [::]:443 ssl http2;\n", ""), ("/etc/nginx/certs", str(folder)), ("127.0.0.1:8080", f"127.0.0.1:{server.port}")])
		(folder / "filemill.conf").write_text(ours)
		self.file = folder / "nginx.conf"
		paths = "".join(f"{kind}_temp_path {folder / kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
		self.file.write_text(f"{'user root;' if os.geteuid() == 0 else ''}\npid {folder / 'pid'};\nerror_log stderr;\nworker_processes 1;\nevents {{ worker_connections 1024; }}\n"
				     f"http {{\naccess_log off;\n{paths}include {folder / 'filemill.conf'};\n}}\n")

	def environment(self):
		return {**os.environ, "NGINX": "".join(f"{n};" for n in self.numbers())} # how one nginx hands sockets to the next

	def check_command(self):
		return [str(UNPACKED), "nginx", "-t", "-e", "stderr", "-p", str(self.folder), "-c", str(self.file)]

	def command(self):
		return [str(UNPACKED), "nginx", "-e", "stderr", "-p", str(self.folder), "-c", str(self.file), "-g", "daemon off;"]


def missing():
	"""What is not here and needed, as a reason to skip."""
	return "" if shutil.which("openssl") and shutil.which("curl") else "openssl or curl is missing"


KINDS = {"haproxy": Haproxy, "nginx": Nginx}
