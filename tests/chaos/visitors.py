"""Those who upload to the fronts meanwhile, and remember what they were told."""
import hashlib
import itertools
import random
import threading
import time
from collections import Counter

import requests

TRIES_S = 600
SIZES = [(0.70, 100, 30_000), (0.27, 40_000, 400_000), (0.03, 5 << 20, 20 << 20)] # share, from, to: in the catalogue, one request, several parts


class Visitors:
	def __init__(self, fronts, files, threads, seed):
		self.fronts, self.files, self.seed = fronts, files, seed
		self.told = {} # id -> (SHA-256, ops)
		self.failed, self.refusals, self.repeats = [], {}, 0
		self._next, self._lock = itertools.count(), threading.Lock()
		self._threads = [threading.Thread(target=self._run, args=(i,)) for i in range(threads)]

	def __enter__(self):
		for t in self._threads:
			t.start()
		return self

	def __exit__(self, *_):
		self.files = 0
		for t in self._threads:
			t.join()

	def done(self):
		return not any(t.is_alive() for t in self._threads)

	def _run(self, i):
		chance, session = random.Random(f"{self.seed}/{i}"), requests.Session()
		while (number := next(self._next)) < self.files:
			at, size = chance.random(), 0
			for share, low, high in SIZES:
				size = chance.randrange(low, high)
				at -= share
				if at < 0:
					break
			body = chance.randbytes(size)
			ops = ["sha256"] + (["note"] if number % 10 == 0 else ["gzip"] if number % 5 == 1 else [])
			self._send(session, chance, f"{self.seed}-{number}", body, ops)

	def _send(self, session, chance, key, body, ops):
		deadline, front = time.monotonic() + TRIES_S, chance.randrange(len(self.fronts))
		while time.monotonic() < deadline:
			try:
				r = session.post(f"{self.fronts[front]}/v1/files?name={key}&ops={','.join(ops)}", data=body, timeout=(5, 90),
						 headers={"Content-Type": "application/octet-stream", "Idempotency-Key": f'"{key}"'})
				if r.status_code in (200, 201):
					with self._lock:
						self.told[r.json()["id"]] = (hashlib.sha256(body).hexdigest(), ops)
					return
				what = f"{r.status_code} {r.json().get('code')}"
				if r.status_code < 500 and r.status_code not in (408, 409, 429):
					self.failed.append(f"{key}: {r.status_code} {r.text[:300]}")
					return
			except (requests.RequestException, ValueError) as e:
				what = type(e).__name__
			with self._lock:
				self.repeats += 1
				self.refusals[what] = self.refusals.get(what, 0) + 1
			front = (front + 1) % len(self.fronts)
			time.sleep(0.3)
		self.failed.append(f"{key}: not taken within {TRIES_S} s, last {what}")


def look_again(fronts, told, threads=8):
	"""What is not as it was told, of every file: its bytes, and its jobs."""
	complaints, states, queue = [], [], list(told.items()) # lists, since several threads add

	def look():
		session = requests.Session()
		while True:
			try:
				file, (digest, ops) = queue.pop()
			except IndexError:
				return
			base = fronts[len(queue) % len(fronts)]
			try:
				content = session.get(f"{base}/v1/files/{file}/content", timeout=120)
				if content.status_code != 200 or hashlib.sha256(content.content).hexdigest() != digest:
					complaints.append(f"{file}: {content.status_code}, {len(content.content)} bytes that are not those that were sent")
				jobs = session.get(f"{base}/v1/files/{file}", timeout=120).json()["jobs"]
				complaints.extend(judge(session, base, file, digest, ops, jobs))
				states.extend(f"{j['op']} {j['state']}" for j in jobs)
			except (requests.RequestException, ValueError, KeyError) as e:
				complaints.append(f"{file}: {type(e).__name__} {e}")

	workers = [threading.Thread(target=look) for _ in range(threads)]
	for t in workers:
		t.start()
	for t in workers:
		t.join()
	return complaints, Counter(states)


def judge(session, base, file, digest, ops, jobs):
	if [j["op"] for j in jobs] != ops:
		yield f"{file}: jobs {[j['op'] for j in jobs]} and not {ops}"
	for j in jobs:
		if not j.get("finished_at"):
			yield f"{file}: {j['op']} is {j['state']}"
		elif j["state"] != "succeeded":
			if j["state"] != "quarantined": # its worker was lost under it three times: so it says
				yield f"{file}: {j['op']} is {j['state']}: {j.get('error')}"
		elif j["op"] == "sha256" and digest not in str(j["result"]):
			yield f"{file}: sha256 says {j['result']}"
		elif j["op"] in ("note", "gzip"):
			made = session.get(f"{base}{j['outputs'][0]['href']}", timeout=120)
			if made.status_code != 200 or hashlib.sha256(made.content).hexdigest() != j["outputs"][0]["sha256"]:
				yield f"{file}: output of {j['op']}: {made.status_code}, {len(made.content)} bytes with another digest"
