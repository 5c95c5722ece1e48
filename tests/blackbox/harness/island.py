"""A machine with a network of its own: addresses of the internet and of networks inside, all of them here, a name server that answers what it is told, a receiver at every
address, and an ear on the wire. A network and a mount namespace hold it; nothing of it can reach or be reached by the real network.

Run as a program inside of the namespaces it makes the webhooks of CASES at a server, has a job end, and prints what became of each delivery and which addresses
saw packets. `explore()` runs it so and returns that.
"""
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PORT = 8080
PUBLIC = ["93.184.216.34", "2606:2800:220::34"]
INSIDE = ["10.9.9.9", "100.100.100.200", "168.63.129.16", "169.254.169.254", "172.17.0.1", "192.168.7.7", "198.18.0.1", "fd00::9", "fd00:ec2::254", "64:ff9b::a09:909",
	"2002:a09:909::1"]

MARK = "203.0.113.77" # nobody's but ours

# name -> answers: of each the A and AAAA records; the last is repeated. The first two are reached, all others must not be.
NAMES = {
	"public.test": [["93.184.216.34"]],
	"public6.test": [["2606:2800:220::34"]],
	"private.test": [["10.9.9.9"]],
	"carrier.test": [["100.100.100.200"]],
	"azure.test": [["168.63.129.16"]],
	"metadata.test": [["169.254.169.254"]],
	"docker.test": [["172.17.0.1"]],
	"home.test": [["192.168.7.7"]],
	"bench.test": [["198.18.0.1"]],
	"loopback.test": [["127.0.0.1"]],
	"loopback2.test": [["127.0.0.2"]],
	"zero.test": [["0.0.0.0"]],
	"loopback6.test": [["::1"]],
	"zero6.test": [["::"]],
	"ula.test": [["fd00::9"]],
	"metadata6.test": [["fd00:ec2::254"]],
	"mapped.test": [["::ffff:10.9.9.9"]],
	"mapped-loopback.test": [["::ffff:127.0.0.1"]],
	"nat64.test": [["64:ff9b::10.9.9.9"]],
	"six-to-four.test": [["2002:a09:909::1"]],
	"public-then-private.test": [["93.184.216.34", "10.9.9.9"]],
	"private-then-public.test": [["10.9.9.9", "93.184.216.34"]],
	"public-and-ula.test": [["93.184.216.34", "fd00::9"]],
	"crowd.test": [["93.184.216.34"] + [f"10.9.9.{n}" for n in range(9, 12)] + ["127.0.0.1"]],
	# Public when it is asked for the first time, and inside from then on: who asks twice for one request goes inside.
	"turning.test": [["93.184.216.34"], ["10.9.9.9"]],
	"turning-home.test": [["93.184.216.34"], ["127.0.0.1"]],
}
REACHED = ["public.test", "public6.test", "turning.test", "turning-home.test"]
# These send the server on: to what its answer names.
REDIRECTS = {"/redirect-private": f"http://10.9.9.9:{PORT}/", "/redirect-loopback": f"http://127.0.0.1:{PORT}/", "/redirect-name": f"http://metadata.test:{PORT}/"}
CASES = {name: f"http://{name}:{PORT}/" for name in NAMES} | {path[1:]: f"http://public.test:{PORT}{path}" for path in REDIRECTS}


# ---- the name server ----

class NameServer:
	"""Answers A and AAAA over UDP (RFC 1035)."""

	def __init__(self):
		self.asked = {} # name -> how often for A
		self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		self.socket.bind(("127.0.0.1", 53))
		threading.Thread(target=self._run, daemon=True).start()

	def _run(self):
		while True:
			query, sender = self.socket.recvfrom(512)
			self.socket.sendto(self._answer(query), sender)

	def _answer(self, query):
		labels, at = [], 12
		while query[at]:
			labels.append(query[at + 1:at + 1 + query[at]].decode())
			at += 1 + query[at]
		kind = struct.unpack(">H", query[at + 1:at + 3])[0]
		name = ".".join(labels).lower()
		family = {1: socket.AF_INET, 28: socket.AF_INET6}.get(kind)
		turns = NAMES.get(name)
		records = []
		if turns and family:
			# Of one lookup both questions get the same turn: they come in pairs.
			count = self.asked.setdefault(name, {1: 0, 28: 0})
			turn = turns[min(count[kind], len(turns) - 1)]
			count[kind] += 1
			records = [socket.inet_pton(family, a) for a in turn if (":" in a) == (family == socket.AF_INET6)]
		head = query[:2] + struct.pack(">HHHHH", 0x8580 | (0 if turns else 3), 1, len(records), 0, 0)
		answers = b"".join(b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 0, len(r)) + r for r in records)
		return head + query[12:at + 5] + answers


# ---- the receiver ----

class Receiver(BaseHTTPRequestHandler):
	received = [] # (local address, Host)

	def do_POST(self):
		self.rfile.read(int(self.headers.get("Content-Length", 0)))
		address = self.connection.getsockname()[0]
		self.received.append((address.removeprefix("::ffff:"), self.headers.get("Host"), self.path))
		to = REDIRECTS.get(self.path)
		self.send_response(307 if to else 204)
		if to:
			self.send_header("Location", to)
		self.send_header("Content-Length", "0")
		self.end_headers()

	do_GET = do_POST

	def log_message(self, *args):
		pass


class DualStack(ThreadingHTTPServer):
	address_family = socket.AF_INET6
	daemon_threads = True

	def server_bind(self):
		self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
		super().server_bind()


# ---- the ear ----

class Ear:
	"""Counts packets on the loopback interface, where all of them pass, by their destination: address, and for TCP and UDP the port."""

	def __init__(self):
		self.seen = {}
		self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3)) # ETH_P_ALL
		self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 20)
		self.socket.bind(("lo", 0))
		threading.Thread(target=self._run, daemon=True).start()

	def _run(self):
		while True:
			packet, origin = self.socket.recvfrom(128)
			if origin[2] == socket.PACKET_OUTGOING:
				continue # each is seen twice
			if packet[0] >> 4 == 4:
				to, rest, protocol = socket.inet_ntop(socket.AF_INET, packet[16:20]), packet[(packet[0] & 15) * 4:], packet[9]
			else:
				to, rest, protocol = socket.inet_ntop(socket.AF_INET6, packet[24:40]), packet[40:], packet[6]
			port = struct.unpack(">H", rest[2:4])[0] if protocol in (6, 17) else 0
			key = f"{to} {port}"
			self.seen[key] = self.seen.get(key, 0) + 1


# ---- inside ----

def command(*argv):
	subprocess.run(argv, check=True)


def build_network(folder):
	command("ip", "link", "set", "lo", "up")
	for address in [*PUBLIC, *INSIDE, MARK]:
		command("ip", "address", "add", address + ("/128" if ":" in address else "/32"), "dev", "lo", *(["nodad"] if ":" in address else []))
	for name, text in (("resolv.conf", "nameserver 127.0.0.1\noptions timeout:30 attempts:1\n"), ("nsswitch.conf", "hosts: files dns\n"), ("hosts", "127.0.0.1 localhost\n")):
		(folder / name).write_text(text)
		command("mount", "--bind", str(folder / name), os.path.realpath(f"/etc/{name}"))


def wait_for_ends(server, hooks, deliveries):
	"""So many deliveries of each webhook, none of them waiting any more."""
	deadline = time.monotonic() + 100
	while time.monotonic() < deadline:
		found = {name: server.get(f"/v1/webhooks/{hook}/deliveries").json()["deliveries"] for name, hook in hooks.items()}
		if all(len(d) >= deliveries and all(x["state"] != "waiting" for x in d) for d in found.values()):
			return found
		time.sleep(0.05)
	raise AssertionError(f"not all ended: {found}")


def told(deliveries):
	return [{"state": d["state"], "attempts": [{"status": a["status"], "error": a["error"]} for a in d["attempts"]]} for d in deliveries]


def knock(ear, address):
	"""What the ear hears when somebody does go there. It hears in the order in which packets were sent: afterwards it has heard all that was before."""
	with socket.create_connection((address, PORT), timeout=60) as s:
		s.sendall(b"GET /knock HTTP/1.0\r\n\r\n")
		s.recv(100)
	deadline = time.monotonic() + 60
	while f"{address} {PORT}" not in ear.seen and time.monotonic() < deadline:
		time.sleep(0.01)
	return ear.seen.get(f"{address} {PORT}", 0)


def main():
	from harness.server import Server

	folder = Path(tempfile.mkdtemp(prefix="filemill-island-"))
	build_network(folder)
	names, ear = NameServer(), Ear()
	threading.Thread(target=DualStack(("::", PORT), Receiver).serve_forever, daemon=True).start()
	result = {}
	settings = {"net.http": "true", "webhooks.retry": "0s", "webhooks.per_owner": "64", "webhooks.timeout": "30s"}
	with Server(folder / "server", settings=settings) as server:
		hooks = {}
		for name, url in CASES.items():
			r = server.post("/v1/webhooks", json={"url": url})
			assert r.status_code == 201, (url, r.text)
			hooks[name] = r.json()["id"]
		server.upload(b"one")
		first = wait_for_ends(server, hooks, 1)
		server.upload(b"two")
		second = wait_for_ends(server, {n: hooks[n] for n in REACHED}, 2)
		result["deliveries"] = {name: told(second.get(name, d)) for name, d in first.items()}
		result["log"] = server.log()
	knock(ear, MARK)
	result["packets"] = {key: n for key, n in ear.seen.items() if key != f"{MARK} {PORT}"}
	result["received"] = [r for r in Receiver.received if r[0] != MARK]
	result["asked"] = {name: count[1] for name, count in names.asked.items()}
	result["knocked"] = {address: knock(ear, address) for address in (INSIDE[0], "127.0.0.1", "fd00::9")}
	shutil.rmtree(folder)
	print(json.dumps(result))


# ---- outside ----

def namespaces():
	"""How to come into namespaces of one's own; a str says why this machine has none for us."""
	argv = ["unshare", "--net", "--mount"] + ([] if os.geteuid() == 0 else ["--user", "--map-root-user"])
	probe = "ip link set lo up && ip address add 10.9.9.9/32 dev lo && ip address add fd00::9/128 dev lo && mount --bind /etc/hosts /etc/hosts"
	if not shutil.which("unshare") or not shutil.which("ip"):
		return "needs unshare (util-linux) and ip (iproute2)"
	works = subprocess.run([*argv, "sh", "-c", probe], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0
	return argv if works else "no network and mount namespaces are to be had here"


def explore(argv):
	r = subprocess.run([*argv, sys.executable, "-m", "harness.island"], cwd=Path(__file__).resolve().parent.parent, timeout=300,
			   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
	assert r.returncode == 0, r.stderr[-4000:]
	return json.loads(r.stdout)


if __name__ == "__main__":
	main()
