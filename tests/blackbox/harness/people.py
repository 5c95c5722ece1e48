"""People who sign in: accounts made by an administrator, and what they do with their tokens."""
import itertools
import subprocess

import requests

from harness.server import binary, clean_environment

PASSWORD = "a horse that is correct"
ADMIN = "admin@example.org"
_names = itertools.count(1)


class Person:
	"""Who shows one credential with every request; `server` may restart in between."""

	def __init__(self, server, token, email=None, password=None, made=None):
		self.server, self.token, self.email, self.password, self.made = server, token, email, password, made

	def request(self, method, path, *, headers=None, **more):
		headers = {"Authorization": f"Bearer {self.token}", **(headers or {})}
		return self.server.request(method, path, headers=headers, **more)

	def get(self, path, **more):
		return self.request("GET", path, **more)

	def post(self, path, **more):
		return self.request("POST", path, **more)

	def delete(self, path, **more):
		return self.request("DELETE", path, **more)

	def upload(self, body=b"bytes", name="a.bin"):
		r = self.post(f"/v1/files?name={name}", data=body, headers={"Content-Type": "application/octet-stream"})
		assert r.status_code == 201, r.text
		return r.json()

	def key(self, scopes, **more):
		"""A person who shows a new key of this one's."""
		r = self.post("/v1/keys", json={"scopes": list(scopes), **more})
		assert r.status_code == 201, r.text
		return Person(self.server, r.json()["secret"], self.email, made=r.json())


def sign_in_answer(server, email, password=PASSWORD, address=None, **more):
	"""The raw answer; `address` is that of loopback the request comes from."""
	session = requests.Session()
	session.trust_env = False
	if address:
		session.get_adapter("http://").init_poolmanager(4, 4, source_address=(address, 0))
	with session:
		return session.post(server.base + "/v1/sessions", json={"email": email, "password": password, **more}, timeout=70)


def sign_in(server, email, password=PASSWORD):
	r = sign_in_answer(server, email, password)
	assert r.status_code == 201, r.text
	return Person(server, r.json()["token"], email, password)


def add_user(admin, email=None, password=PASSWORD, **more):
	"""An account made by the administrator, signed in."""
	email = email or f"user{next(_names)}@example.org"
	r = admin.post("/v1/users", json={"email": email, "password": password, **more})
	assert r.status_code == 201, r.text
	person = sign_in(admin.server, email, password)
	person.id = r.json()["id"]
	return person


def first_admin(server):
	"""The first account, made by the command while no server runs."""
	catalog = {k: v for k, v in server.settings.items() if k.startswith("catalog.")}
	r = subprocess.run([binary(), "admin", "user", "add", ADMIN, "--data", server.data], input=PASSWORD + "\n", text=True,
			   env=clean_environment(catalog, data=server.data),
			   stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
	assert r.returncode == 0, r.stderr
