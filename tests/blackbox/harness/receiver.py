"""A receiver of webhooks: tests/webhooks/receiver.mjs, which verifies what comes with the reference library."""
import subprocess
import threading

import requests

from harness.server import REPOSITORY, eventually

FOLDER = REPOSITORY / "tests/webhooks"


class Hook:
	"""One webhook of a server whose address is one endpoint of the receiver."""

	def __init__(self, receiver, server, name, plan, members):
		self.receiver, self.server, self.name = receiver, server, name
		self.address = f"{receiver.base}/hook/{name}"
		receiver.control(name, plan=plan)
		r = server.post("/v1/webhooks", json={"url": self.address, **members})
		assert r.status_code == 201, r.text
		self.made = r.json()
		self.id = self.made["id"]
		self.path = f"/v1/webhooks/{self.id}"
		assert r.headers["Location"] == self.path
		receiver.control(name, secrets=[self.made["secret"]])

	def plan(self, *steps):
		self.receiver.control(self.name, plan=list(steps))

	def secrets(self, *secrets):
		self.receiver.control(self.name, secrets=list(secrets))

	def arrived(self):
		"""What came, oldest first; none with a signature that is wrong under every secret known."""
		received = self.receiver.read(self.name)["received"]
		for x in received:
			assert any(x["verified"]), f"not verified: {x}"
			assert x["method"] == "POST" and x["headers"]["content-type"] == "application/json"
			assert len(x["body"].encode()) <= 20480
		return received

	def wait(self, n):
		"""At least n requests."""
		return eventually(lambda: (x := self.arrived()) and len(x) >= n and x, message=f"{n} requests did not come")

	def shown(self):
		r = self.server.get(self.path)
		assert r.status_code == 200, r.text
		return r.json()

	def deliveries(self, query=""):
		return list(self.server._all(self.path + "/deliveries", "deliveries", query))

	def wait_state(self, state, n=1):
		"""At least n deliveries of this state."""
		try:
			return eventually(lambda: (x := self.deliveries(f"&state={state}")) and len(x) >= n and x)
		except AssertionError as e:
			others = [d for d in self.deliveries() if d["state"] != state]
			raise AssertionError(f"{n} {state} deliveries did not come; others: {others}; {self.shown()}") from e


class Receiver:
	def __init__(self):
		subprocess.run([REPOSITORY / "scripts/npm-ci", "tests/webhooks"], check=True, stdout=subprocess.DEVNULL)
		self.process = subprocess.Popen(["node", str(FOLDER / "receiver.mjs")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
		self.port = int(self.process.stdout.readline().split()[1])
		self.base = f"http://127.0.0.1:{self.port}"
		self.names = 0
		self.lock = threading.Lock()

	def control(self, name, **members):
		requests.post(f"{self.base}/control/{name}", json=members, timeout=60).raise_for_status()

	def read(self, name):
		return requests.get(f"{self.base}/control/{name}", timeout=60).json()

	def hook(self, server, *plan, **members):
		"""A new webhook of the server with an endpoint of its own, which does this."""
		with self.lock:
			self.names += 1
			name = f"n{self.names}"
		return Hook(self, server, name, list(plan) or [200], members)

	def stop(self):
		self.process.stdin.close()
		self.process.wait(60)
		self.process.stdout.close()
