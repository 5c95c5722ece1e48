"""A bucket of an object storage, asked over HTTP by nothing of ours: thousands of times in a run, where AWS's command line would take a second each."""
import datetime
import hashlib
import hmac
import http.client
import threading
import urllib.parse
import xml.etree.ElementTree as ET

SPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"


def _quoted(text, safe=""):
	return urllib.parse.quote(str(text), safe=safe + "-_.~")


def _query(fields):
	return "&".join(f"{_quoted(k)}={_quoted(v)}" for k, v in sorted(fields.items()))


def _now():
	return datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")


def _elements(said, name):
	"""The named elements of an answer, each as its children's texts."""
	return [{child.tag.removeprefix(SPACE): child.text or "" for child in e} for e in ET.fromstring(said).iter(SPACE + name)]


class Bucket:
	def __init__(self, address, port, name, access, secret):
		self.address, self.port, self.name, self.access, self.secret = address, port, name, access, secret
		self._thread = threading.local() # a connection each

	def _signature(self, now, method, path, query, headers, payload):
		"""AWS Signature Version 4; headers: all that are signed."""
		scope = self._scope(now)
		lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
		request = f"{method}\n{path}\n{query}\n{lines}\n{';'.join(sorted(headers))}\n{payload}"
		text = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
		key = b"AWS4" + self.secret.encode()
		for word in scope.split("/"):
			key = hmac.digest(key, word.encode(), "sha256")
		return hmac.digest(key, text.encode(), "sha256").hex()

	def _scope(self, now):
		return f"{now[:8]}/us-east-1/s3/aws4_request"

	def _signed(self, method, path, query, headers):
		"""With the Authorization field."""
		now = _now()
		headers = {**headers, "x-amz-date": now}
		signature = self._signature(now, method, path, query, headers, headers["x-amz-content-sha256"])
		names = ";".join(sorted(headers))
		return {**headers, "Authorization": f"AWS4-HMAC-SHA256 Credential={self.access}/{self._scope(now)}, SignedHeaders={names}, Signature={signature}"}

	def presigned(self, method, key):
		"""An address good for an hour."""
		now, host, path = _now(), f"{self.address}:{self.port}", "/" + _quoted(f"{self.name}/{key}", "/")
		query = _query({"X-Amz-Algorithm": "AWS4-HMAC-SHA256", "X-Amz-Credential": f"{self.access}/{self._scope(now)}", "X-Amz-Date": now,
				"X-Amz-Expires": 3600, "X-Amz-SignedHeaders": "host"})
		return f"http://{host}{path}?{query}&X-Amz-Signature={self._signature(now, method, path, query, {'host': host}, 'UNSIGNED-PAYLOAD')}"

	def _answer(self, method, target, body, headers):
		kept = getattr(self._thread, "http", None)
		for connection in (kept, http.client.HTTPConnection(self.address, self.port, timeout=60)):
			if connection is None:
				continue
			self._thread.http = connection
			try:
				connection.request(method, target, body, headers)
				answer = connection.getresponse()
				return answer.status, answer.read()
			except (http.client.HTTPException, ConnectionError):
				if connection is not kept: # the other side may have ended that
					raise
		raise AssertionError("not reached")

	def ask(self, method, key="", body=b"", **query):
		"""The answer's body; what is no success fails, but 404 for what is to be removed."""
		path = "/" + _quoted(f"{self.name}/{key}" if key else self.name, "/")
		asked = _query(query)
		headers = self._signed(method, path, asked, {"host": f"{self.address}:{self.port}", "x-amz-content-sha256": hashlib.sha256(body).hexdigest()})
		status, said = self._answer(method, f"{path}?{asked}" if asked else path, body, headers)
		assert status in (200, 204) or (status == 404 and method == "DELETE"), f"{method} {key}: {status} {said[:400]!r}"
		return said

	def _pages(self, name, more, **query):
		"""All of a list that comes in pages; more: of the request's fields and the answer's that lead to the next one."""
		while True:
			said = self.ask("GET", **query, **{"encoding-type": "url"})
			yield from _elements(said, name)
			top, = _elements(said, ET.fromstring(said).tag.removeprefix(SPACE))
			if top.get("IsTruncated") != "true":
				return
			query.update({k: urllib.parse.unquote(top[v]) for k, v in more.items()})

	def objects(self, prefix):
		"""Keys and sizes."""
		for o in self._pages("Contents", {"continuation-token": "NextContinuationToken"}, prefix=prefix, **{"list-type": 2}):
			yield urllib.parse.unquote(o["Key"]), int(o["Size"])

	def uploads(self, prefix):
		"""Those in parts that have not ended: key and id."""
		for u in self._pages("Upload", {"key-marker": "NextKeyMarker", "upload-id-marker": "NextUploadIdMarker"}, uploads="", prefix=prefix):
			yield urllib.parse.unquote(u["Key"]), u["UploadId"]

	def begin_upload(self, key):
		"""Its id."""
		return _elements(self.ask("POST", key, uploads=""), "InitiateMultipartUploadResult")[0]["UploadId"]

	def empty(self, prefix):
		for key, upload in list(self.uploads(prefix)):
			self.ask("DELETE", key, uploadId=upload)
		for key, _ in list(self.objects(prefix)):
			self.ask("DELETE", key)
