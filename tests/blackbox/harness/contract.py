"""Every answer that a test gets is held against the OpenAPI document: that there is such an answer, its headers, its media type and each member of its body.

The harness calls seen() wherever it has parsed an answer, from any thread; answers to `requests` come here by themselves once a server was started. What does not fit is kept, and
fails the test that was running when it came (demand(), called after each test and when a server ends): a test that tries again on any error cannot hide it."""
import functools
import json
import re
from urllib.parse import unquote

import requests
import yaml
from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import best_match

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
# Parts of the pages, and addresses of a surface that lack their id: served, and not for programs.
OUTSIDE = ("/docs/{name}", "/assets/{name}", "/licenses.txt", "/queryFileStatus", "/thumbnail")
ANNOTATIONS = {"description", "summary", "title", "example", "examples", "default"}
# What a client acts on: an answer has none of these that the document does not tell of.
TOLD = ("RateLimit", "RateLimit-Policy", "Retry-After")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")

formats = FormatChecker(formats=())


@formats.checks("date-time")
def is_time(value):
	return not isinstance(value, str) or TIME.fullmatch(value) is not None


class Broken(AssertionError):
	"""An answer is not as the document says."""


def resolve(node, document):
	"""The same without references: each schema stands where it is used, which is quicker to check and needs no state that threads would share."""
	if isinstance(node, list):
		return [resolve(x, document) for x in node]
	if not isinstance(node, dict):
		return node
	if isinstance(node.get("$ref"), str):
		target = document
		for part in node["$ref"].removeprefix("#/").split("/"):
			target = target[part.replace("~1", "/").replace("~0", "~")]
		target = resolve(target, document)
		beside = {k: resolve(v, document) for k, v in node.items() if k != "$ref" and k not in ANNOTATIONS}
		return {"allOf": [target, beside]} if beside else target
	return {k: resolve(v, document) for k, v in node.items()}


def close(schema):
	"""The same, where objects have no member that the document does not name: a client may meet more one day, but not in the answers of today."""
	if isinstance(schema, list):
		return [close(x) for x in schema]
	if not isinstance(schema, dict):
		return schema
	schema = {k: close(v) if k != "properties" else {name: close(s) for name, s in v.items()} for k, v in schema.items()}
	if "properties" in schema:
		schema.setdefault("additionalProperties", False)
	return schema


def unique(pairs):
	members = dict(pairs)
	if len(members) != len(pairs):
		raise ValueError("a member is there twice")
	return members


def no_number(word):
	raise ValueError(f"{word} is no JSON")


def parse(body):
	return json.loads(body, object_pairs_hook=unique, parse_constant=no_number)


@functools.cache
def error_table():
	"""Of each word its status and title."""
	from harness.server import REPOSITORY
	rows = re.findall(r'^ERR_ROW\(\w+, \d+, "(\w+)", (\d+), \w+, "([^"]+)"\)', (REPOSITORY / "src/base/err_table.h").read_text(), re.M)
	return {word: (int(status), title) for word, status, title in rows}


class Answer:
	"""What one answer must look like."""

	def __init__(self, node):
		self.media = {kind: self._validator(kind, m.get("schema")) for kind, m in node.get("content", {}).items()}
		self.headers = [(name, h.get("required", False), Draft202012Validator(h.get("schema", {}))) for name, h in node.get("headers", {}).items()]

	@staticmethod
	def _validator(kind, schema):
		return Draft202012Validator(close(schema), format_checker=formats) if schema and "json" in kind else None

	def check(self, status, headers, body, head):
		self._check_headers(headers)
		if status in (204, 304) or head:
			if body:
				raise Broken(f"has a body of {len(body)} bytes and may have none")
			if status in (204, 304) or not self.media:
				return
		elif not self.media:
			if body or body is None and headers.get("Content-Type"):
				raise Broken("has a body, of which the document says nothing")
			return
		kind = (headers.get("Content-Type") or "").split(";")[0].strip()
		for known in (kind, kind.split("/")[0] + "/*", "*/*"):
			if known in self.media:
				break
		else:
			raise Broken(f"is {kind or 'of no type'}, not {' or '.join(self.media)}")
		if self.media[known] and body is not None and not head:
			self._check_json(self.media[known], status, kind, body)

	def _check_headers(self, headers):
		for name in TOLD:
			if headers.get(name) is not None and all(name != known for known, _, _ in self.headers):
				raise Broken(f"has a header {name}, of which the document says nothing")
		for name, required, validator in self.headers:
			value = headers.get(name)
			if value is None:
				if required:
					raise Broken(f"lacks the header {name}")
				continue
			if validator.schema.get("type") == "integer" and re.fullmatch(r"-?\d+", value):
				value = int(value)
			for error in validator.iter_errors(value):
				raise Broken(f"has a header {name} that does not fit: {error.message}")

	@staticmethod
	def _check_json(validator, status, kind, body):
		try:
			value = parse(body)
		except ValueError as e:
			raise Broken(f"has a body that is no JSON: {e}") from None
		if not validator.is_valid(value):
			error = best_match(validator.iter_errors(value))
			raise Broken(f"has at {error.json_path} what does not fit: {error.message}")
		if kind == "application/problem+json":
			said = (value["type"], value["status"], value["status"], value["title"])
			if said != (f"/problems/{value['code']}", status, *error_table().get(value["code"], ())):
				raise Broken("is a problem that contradicts its status or the table of errors")


class Contract:
	def __init__(self, document):
		self.rests = [] # the same of templates whose last parameter takes what is left of a path, with its slashes
		self.routes = [] # of (segments of the template, None where any will do; template; method -> status or range -> Answer; whether a slash may stand behind)
		surfaces = {t["name"] for t in document.get("tags", ()) if t.get("description", "").startswith("Surface")}
		for template, item in document["paths"].items():
			operations = {m.upper(): op for m, op in item.items() if m.upper() in METHODS}
			answers = {m: {str(s): Answer(resolve(a, document)) for s, a in op["responses"].items()} for m, op in operations.items()}
			any_slash = template in ("/docs", "/admin") or any(surfaces & set(op.get("tags", ())) for op in operations.values())
			self.routes.append((self._segments(template), template, answers, any_slash))
			if any(p.get("x-rest") for op in operations.values() for p in op.get("parameters", ())):
				self.rests.append((self._segments(template), template, answers))
		self.routes.sort(key=lambda r: r[0].count(None))
		self.outside = [self._segments(t) for t in OUTSIDE]
		told = {name: {"$ref": f"#/components/headers/{name}"} for name in TOLD}
		self.problem = Answer(resolve({"headers": told, "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}}, document))

	@staticmethod
	def _segments(template):
		return [None if s.startswith("{") else s for s in template.split("/")]

	@staticmethod
	def _fits(segments, template):
		return len(segments) == len(template) and all(s if t is None else s == t for s, t in zip(segments, template))

	def find(self, target):
		"""Template and operations of a path, or None."""
		path = re.sub(r"^https?://[^/]*", "", target).split("?")[0]
		segments = [unquote(s) for s in path.split("/")]
		for known, template, answers, any_slash in self.routes:
			if self._fits(segments, known) or any_slash and path.endswith("/") and self._fits(segments[:-1], known):
				return template, answers
		for known, template, answers in self.rests:
			if self._fits(segments[:len(known)], known):
				return template, answers
		return None

	def check(self, method, target, status, headers, body=None):
		"""method and target None: the request could not be told from its bytes. body None: not looked at. Raises Broken."""
		if headers.get("X-Request-Id") is None:
			raise Broken("lacks the header X-Request-Id")
		found = self.find(target) if target is not None else None
		if found is None:
			self._check_elsewhere(method, target, status, headers, body)
		elif method in found[1]:
			self._check_known(f"{method} {found[0]}", found[1][method], status, headers, body, method == "HEAD")
		elif method == "HEAD" and "GET" in found[1]:
			self._check_known(f"GET {found[0]}", found[1]["GET"], status, headers, body, True)
		elif method == "OPTIONS" and status == 204:
			if not headers.get("Allow"):
				raise Broken("does not name the methods")
		elif status == 405 and not headers.get("Allow"):
			raise Broken("does not name the right methods")
		else:
			self._check_refusal(status, headers, body, method == "HEAD")

	def check_unread(self, status, headers, body):
		"""What came of it was no request. The HTTP library refuses some malformed heads in its own words, before any code of ours runs."""
		if "json" in headers.get("Content-Type", ""):
			self.problem.check(status, headers, body, False)

	@staticmethod
	def _check_known(operation, answers, status, headers, body, head):
		answer = answers.get(str(status)) or answers.get(f"{status // 100}XX") or answers.get("default")
		if answer is None:
			raise Broken(f"is one that the document does not know of {operation}")
		answer.check(status, headers, body, head)

	def _check_elsewhere(self, method, target, status, headers, body):
		"""Where the document knows no address: only a refusal can come, but from the parts of the pages."""
		segments = [unquote(s) for s in (target or "").split("?")[0].split("/")]
		if any(self._fits(segments, t) or segments[-1] == "" and self._fits(segments[:-1], t) for t in self.outside):
			return
		if method == "OPTIONS" and status == 204 and target == "*":
			return
		if status >= 400 or target is not None:
			self._check_refusal(status, headers, body, method == "HEAD")

	def _check_refusal(self, status, headers, body, head):
		if status < 400:
			raise Broken("is at an address, or to a method, that the document does not know")
		self.problem.check(status, headers, body, head)


class Asked:
	"""Which requests went out on a connection, in their order, as far as that can be told from the bytes."""

	KEPT = 1 << 24 # bytes; who sends more is not followed to its second request
	LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) (\S+) HTTP/1\.[01]\r\n")
	CHUNK = re.compile(rb"([0-9a-fA-F]{1,15})(?:;[^\r]*)?\r\n")

	def __init__(self):
		self.bytes, self.at, self.told = bytearray(), 0, False

	def sent(self, data):
		self.bytes += data[:max(0, self.KEPT - len(self.bytes))]

	def next(self):
		"""Method and target of the request that the next answer is to; both None when that cannot be told."""
		if self.told:
			self.at = self._end(self.at)
		self.told = True
		line = self.LINE.match(self.bytes, self.at)
		return (line[1].decode(), line[2].decode("latin-1")) if line else (None, None)

	def _end(self, at):
		"""Where the request that begins there ends; the end of all when that is anybody's guess."""
		end = self.bytes.find(b"\r\n\r\n", at)
		fields = [f.partition(b":")[::2] for f in bytes(self.bytes[at:end]).split(b"\r\n")[1:]]
		lengths = [v.strip() for k, v in fields if k.lower() == b"content-length"]
		chunked = any(k.lower() == b"transfer-encoding" for k, _ in fields)
		if end < 0 or len(lengths) + chunked > 1 or lengths and not re.fullmatch(rb"\d{1,18}", lengths[0]):
			return len(self.bytes)
		if chunked:
			return self._end_of_chunks(end + 4)
		return end + 4 + (int(lengths[0]) if lengths else 0)

	def _end_of_chunks(self, at):
		while line := self.CHUNK.match(self.bytes, at):
			size = int(line[1], 16)
			at = line.end() + size + 2
			if size == 0:
				end = self.bytes.find(b"\r\n\r\n", line.end() - 2)
				return end + 4 if end >= 0 else len(self.bytes)
		return len(self.bytes)


# ---- what the tests of this process have seen ----

addresses = set() # of servers that run: "host:port" as in a URL
breaches = []
send = requests.Session.send


@functools.cache
def contract():
	from harness.server import REPOSITORY
	with open(REPOSITORY / "api/openapi.yaml", encoding="utf-8") as f:
		return Contract(yaml.load(f, Loader=yaml.CSafeLoader))


def seen(method, target, status, headers, body=None, by_hand=False):
	"""An answer was parsed. headers has get() without regard to case. by_hand: anything may have been sent, and no request have come of it; who sends no nonsense sees that only
	where time, connections or memory were short."""
	try:
		if headers.get("X-Request-Id") is None and status in ((400, 408, 413, 414, 429, 431, 500, 501, 503, 505) if by_hand else (408, 429, 503)):
			contract().check_unread(status, headers, body)
		else:
			contract().check(method, target, status, headers, body)
	except Broken as e:
		breaches.append(f"{method} {target}: the answer {status} {e}\n    {(body or b'')[:600]!r}")


def demand():
	"""Fails when an answer was not as the document says; told once."""
	told, breaches[:] = breaches[:20], []
	if told:
		raise Broken("the OpenAPI document says otherwise:\n" + "\n".join(dict.fromkeys(told)))


def _send(session, request, **more):
	r = send(session, request, **more)
	where = re.match(r"http://([^/]+)(.*)", request.url)
	if where and where[1] in addresses:
		body = None if more.get("stream") else r.content
		if body is not None and len(body) < int(r.headers.get("Content-Length", 0)) and request.method != "HEAD":
			body = None # cut off
		seen(request.method, where[2] or "/", r.status_code, r.headers, body)
	return r


def watch(address, port):
	"""Answers from there count from now on."""
	addresses.add(f"[{address}]:{port}" if ":" in address else f"{address}:{port}")
	requests.Session.send = _send


def forget(address, port):
	addresses.discard(f"[{address}]:{port}" if ":" in address else f"{address}:{port}")
