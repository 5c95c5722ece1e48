"""A client that signs its requests as docs/security.md says (RFC 9421): nothing here knows the program's own code."""
import base64
import functools
import hashlib
import hmac
import itertools
import re
import secrets
import time

import requests

from harness import people

_numbers = itertools.count()
_run = secrets.token_hex(6)


def nonce():
	return f"{_run}-{next(_numbers):012}"


def content_digest(body, algorithm="sha-256"):
	digest = hashlib.new(algorithm.replace("-", ""), body).digest()
	return f"{algorithm}=:{base64.b64encode(digest).decode()}:"


SCOPES = ("files:read", "files:write", "jobs:read", "jobs:write")


@functools.cache
def _admin(server):
	"""Signed in; the server stops for it, since the first account is made by the command."""
	server.stop()
	people.first_admin(server)
	return people.sign_in(server.start(), people.ADMIN)


def made_key(server, scopes=SCOPES):
	"""A new key of a new account: what is shown once when a key is made."""
	return people.add_user(_admin(server)).key(scopes).made


def make_key(server, *args):
	made = made_key(server, *args)
	return Key(made["id"], made["signing_secret"])


class Key:
	"""What is shown once when a key is made."""

	def __init__(self, id, signing_secret):
		self.id = id
		self.secret = base64.b64decode(signing_secret)

	def mac(self, base):
		return base64.b64encode(hmac.digest(self.secret, base.encode("latin-1"), "sha256")).decode()

	def sign(self, method, url, headers=(), *, cover=None, created=None, nonce_=None, keyid=None, label="sig", more="", alg=None, order=("created", "keyid", "nonce")):
		"""The two fields for a request with these header fields, a list of pairs. cover: components besides the method and the target; None = all these fields."""
		fields = {}
		for name, value in headers:
			fields[name.lower()] = f"{fields[name.lower()]}, {value}" if name.lower() in fields else value
		components = ["@method", "@target-uri", *(fields if cover is None else cover)]
		values = {"@method": method, "@target-uri": url, **fields}
		params = {"created": str(int(time.time()) if created is None else created), "keyid": f'"{keyid or self.id}"', "nonce": f'"{nonce() if nonce_ is None else nonce_}"'}
		listed = "(" + " ".join(f'"{c}"' for c in components) + ")" + "".join(f";{k}={params[k]}" for k in order) + (f';alg="{alg}"' if alg else "") + more
		base = "".join(f'"{c}": {values.get(c, "")}\n' for c in components) + f'"@signature-params": {listed}'
		return [("Signature-Input", f"{label}={listed}"), ("Signature", f"{label}=:{self.mac(base)}:")]


class Signer:
	"""Signed requests to one server as bytes, for a Wire."""

	host = "files.example" # the same after a restart on another port

	def __init__(self, server, key):
		self.server, self.key = server, key

	def request(self, method, target, body=None, headers=(), *, digest=True, chunks=None, **options):
		"""The whole request. digest: True, False or the field's value; chunks: the body in these pieces, with chunked framing; expect: the head alone."""
		expect = options.pop("expect", False)
		sent = list(headers)
		if digest is not False and body is not None:
			sent.append(("Content-Digest", content_digest(body) if digest is True else digest))
		sent += self.key.sign(method, f"http://{self.host}{target}", sent, **options)
		lines = [f"{method} {target} HTTP/1.1", f"Host: {self.host}", *(f"{n}: {v}" for n, v in sent)]
		if chunks:
			lines.append("Transfer-Encoding: chunked")
			body = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in chunks) + b"0\r\n\r\n"
		elif body is not None:
			lines.append(f"Content-Length: {len(body)}")
		if expect:
			lines.append("Expect: 100-continue")
		head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
		return head if expect else head + (body or b"")


class Signing(requests.auth.AuthBase):
	"""For `auth=` of a request: signs it as it goes out, each time anew."""

	def __init__(self, key):
		self.key = key

	def __call__(self, r):
		body = r.body.encode() if isinstance(r.body, str) else r.body
		if body:
			r.headers["Content-Digest"] = content_digest(body)
		covered = [(n, v) for n, v in r.headers.items() if re.match(r"content-(?!length)|if-|range|prefer|idempotency-key|last-event-id", n, re.I)]
		r.headers.update(self.key.sign(r.method, r.url, covered))
		return r
