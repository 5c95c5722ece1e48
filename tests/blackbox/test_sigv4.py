"""Our signatures of requests to object storage beside those that AWS's own command line and the library in it make of the same request at the same time."""
import calendar
import datetime
import os
import re
import subprocess
import time
import urllib.parse
from pathlib import Path

import pytest

PROGRAM = Path(os.environ.get("FILEMILL_BIN", Path(__file__).resolve().parents[2] / "build/src/app/filemill")).resolve().parents[2] / "tests/unit/net/sigv4_lines"
BUCKET, REGION = "a-bucket", "eu-central-1"
ENV = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE/+=", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCY=",
       "AWS_DEFAULT_REGION": REGION, "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null"}
KEYS = ["plain.bin", "a folder/b c+d/ümläut/日本.bin", "a=b&c?d#e%41~$tar'(1)!*;:@,.bin", "two//slashes", "dots/../and/./more", "ends/", "/begins", "//", ".", "..", "%", "%2F%2f%25",
	"+", " ", "a\tb\nc\x01\x7f", "back\\slash \"quoted\" <a> [b] {c} |d| ^e^ `f`", "e\u0301 is not \u00e9", "\U0001f600/\U00010348", "~-._", "x" * 1024, "?versionId=1", "#", "a;b,c"]
NOW = 1795305600 # 2026-11-22T00:00:00Z
HOSTS = [("http://127.0.0.1:7480", "path"), ("https://objects.example.com:8443", "virtual")]


def ours(what, method, host, path, at, expires="-", *pairs):
	done = subprocess.run([PROGRAM, what, method, host, path, str(at), str(expires), *pairs], env=ENV, timeout=60, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
			      stderr=subprocess.PIPE, text=True)
	assert done.returncode == 0, done.stderr[-2000:]
	return done.stdout.rstrip("\n")


@pytest.fixture
def library(monkeypatch):
	"""What signs in botocore, at NOW."""
	pytest.importorskip("awscli", reason="needs the package awscli") # brings its botocore along
	auth = pytest.importorskip("botocore.auth", reason="needs the library in the package awscli")

	class Then(datetime.datetime):
		@classmethod
		def utcnow(cls):
			return datetime.datetime.fromtimestamp(NOW, datetime.timezone.utc).replace(tzinfo=None)

	monkeypatch.setattr(auth.datetime, "datetime", Then)
	return auth


@pytest.fixture
def client(library, monkeypatch):
	for name, value in ENV.items():
		monkeypatch.setenv(name, value)
	import botocore.session
	from botocore.config import Config

	def make(endpoint, style):
		return botocore.session.Session().create_client("s3", endpoint_url=endpoint, config=Config(signature_version="s3v4", s3={"addressing_style": style}))
	return make


def place(endpoint, style):
	"""Host and the path before the key."""
	host = endpoint.partition("://")[2]
	return (f"{BUCKET}.{host}", "/") if style == "virtual" else (host, f"/{BUCKET}/")


def assert_same(url, line):
	"""The same signature, and everything else of the query as well; its order is nobody's business."""
	query, mine = (dict(urllib.parse.parse_qsl(u.partition("?")[2], keep_blank_values=True, strict_parsing=True)) for u in (url, line))
	assert mine == query
	assert re.fullmatch("[0-9a-f]{64}", mine["X-Amz-Signature"])


@pytest.mark.parametrize("endpoint,style", HOSTS)
def test_addresses_are_signed_as_by_the_library_whatever_the_key(client, endpoint, style):
	c, (host, before) = client(endpoint, style), place(endpoint, style)
	for key in KEYS:
		url = c.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": key}, ExpiresIn=600)
		line = ours("presign", "GET", host, before + key, NOW, 600)
		assert_same(url, line)
		assert url.partition("?")[0] == endpoint.partition("://")[0] + "://" + host + line.partition("?")[0], key


def test_parameters_are_signed_as_by_the_library(client):
	(endpoint, style), params = HOSTS[0], {"ResponseContentDisposition": "attachment; filename=\"ein Bild (1) & ü+%41~.png\"", "ResponseContentType": "text/plain; charset=utf-8", "VersionId": "a+b/c="}
	names = {"ResponseContentDisposition": "response-content-disposition", "ResponseContentType": "response-content-type", "VersionId": "versionId"}
	c, (host, before) = client(endpoint, style), place(endpoint, style)
	for method, call, more in (("GET", "get_object", params), ("HEAD", "head_object", {"VersionId": "1"}), ("DELETE", "delete_object", {}), ("PUT", "upload_part", {"PartNumber": 10, "UploadId": "a/b+"})):
		url = c.generate_presigned_url(call, Params={"Bucket": BUCKET, "Key": KEYS[2], **more}, ExpiresIn=604800)
		pairs = [f"{names.get(k, k[0].lower() + k[1:])}={v}" for k, v in more.items()]
		assert_same(url, ours("presign", method, host, before + KEYS[2], NOW, 604800, *pairs))


@pytest.mark.parametrize("endpoint,style", HOSTS)
def test_heads_are_signed_as_by_the_library_whatever_the_key(library, endpoint, style):
	from botocore.awsrequest import AWSRequest
	from botocore.credentials import Credentials
	host, before = place(endpoint, style)
	fields = {"range": "bytes=100-", "if-range": "\"an  etag\"", "x-amz-meta-a": "  two  blanks "}
	for key in KEYS:
		request = AWSRequest(method="GET", url=f"{endpoint.partition('://')[0]}://{host}{urllib.parse.quote(before + key, safe='/~')}", headers=fields)
		library.S3SigV4Auth(Credentials(ENV["AWS_ACCESS_KEY_ID"], ENV["AWS_SECRET_ACCESS_KEY"]), "s3", REGION).add_auth(request)
		line = ours("authorization", "GET", host, before + key, NOW, "-", *(f"{k}={v}" for k, v in fields.items()))
		assert line.replace(" ", "") == request.headers["Authorization"].replace(" ", ""), key


def test_the_command_line_signs_the_same(library):
	key, endpoint = "".join(k for k in KEYS if "\x01" not in k and len(k) < 100), HOSTS[0][0]
	begin = int(time.time())
	done = subprocess.run(["/usr/bin/aws", "s3", "presign", f"s3://{BUCKET}/{key}", "--expires-in", "600", "--endpoint-url", endpoint], env=ENV, timeout=120,
			      stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
	assert done.returncode == 0, done.stderr[-2000:]
	url = done.stdout.rstrip("\n")
	at = calendar.timegm(time.strptime(re.search("X-Amz-Date=([0-9TZ]+)", url)[1], "%Y%m%dT%H%M%SZ"))
	assert at >= begin
	line = ours("presign", "GET", endpoint.partition("://")[2], f"/{BUCKET}/{key}", at, 600)
	assert_same(url, line)
	assert url.partition("?")[0] == endpoint + line.partition("?")[0]
