"""Blobs on a real object storage: the contract of all stores, and addresses that others use without the keys, beside those of AWS's own library."""
import datetime
import os
import re
import subprocess
import urllib.parse
from pathlib import Path

import pytest

from harness.ceph import ACCESS, BUCKET, SECRET

PROGRAMS = Path(os.environ["FILEMILL_BIN"]).resolve().parents[2] / "tests" / "unit" / "blobs"
PREFIX = "a folder/b c+d=e&f?g#h%41~$i'(1)!*;:@,ü日/"
NAME = "public/7f/0190d2a6-0000-7000-8000-00000000007f"


def place(endpoint, **more):
	return {"PATH": "/usr/bin:/bin", "S3_ENDPOINT": endpoint, "S3_BUCKET": BUCKET, "S3_ACCESS_KEY": ACCESS, "S3_SECRET_KEY": SECRET, "S3_PREFIX": PREFIX, **more}


def run(program, *argv, env):
	done = subprocess.run([PROGRAMS / program, *map(str, argv)], env=env, timeout=120, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
			      stderr=subprocess.PIPE, text=True)
	assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
	return done


def addresses(env, *argv):
	return run("s3_addresses", *argv, env=env).stdout.splitlines()


def curl(folder, *argv):
	"""The status and the body; AWS's own words are in the body of a refusal."""
	body = folder / "answer"
	body.unlink(missing_ok=True)
	done = subprocess.run(["/usr/bin/curl", "-q", "-sS", "--noproxy", "*", "-o", body, "-w", "%{http_code} %{content_type}", *map(str, argv)], timeout=30, check=True,
			      stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
	status, _, kind = done.stdout.partition(" ")
	return int(status), kind, body.read_bytes() if body.exists() else b""


# ---- the same as AWS's own library ----

def signature_of(monkeypatch, url, method, headers):
	"""What botocore signs the address with, at the same time."""
	pytest.importorskip("awscli", reason="needs the package awscli") # brings its botocore along
	auth = pytest.importorskip("botocore.auth", reason="needs the library of the package awscli")
	from botocore.awsrequest import AWSRequest
	from botocore.credentials import Credentials
	parts = urllib.parse.urlsplit(url)
	query = dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True))
	at = datetime.datetime.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ")
	ours = query.pop("X-Amz-Signature")

	class Then(datetime.datetime):
		@classmethod
		def utcnow(cls):
			return at

	monkeypatch.setattr(auth.datetime, "datetime", Then)
	kept = {k: v for k, v in query.items() if not k.startswith("X-Amz-")}
	plain = urllib.parse.urlunsplit((parts.scheme, parts.netloc, parts.path, urllib.parse.urlencode(kept, quote_via=urllib.parse.quote), ""))
	request = AWSRequest(method=method, url=plain, headers=headers)
	auth.S3SigV4QueryAuth(Credentials(ACCESS, SECRET), "s3", query["X-Amz-Credential"].split("/")[2], expires=int(query["X-Amz-Expires"])).add_auth(request)
	return ours, re.search("X-Amz-Signature=([0-9a-f]+)", request.url)[1], urllib.parse.unquote(parts.path)


@pytest.mark.parametrize("endpoint,more,path", [
	("http://127.0.0.1:7480", {}, f"/{BUCKET}/{PREFIX}{NAME}"),
	("https://s3.eu-central-1.amazonaws.com", {"S3_REGION": "eu-central-1"}, f"/{PREFIX}{NAME}"),
	("https://objects.example.com:8443", {"S3_VIRTUAL_HOST": "1", "S3_REGION": "here"}, f"/{PREFIX}{NAME}"),
])
def test_addresses_are_signed_as_aws_s_own_library_signs_them(monkeypatch, endpoint, more, path):
	url, = addresses(place(endpoint, **more), NAME, "get", "ein Bild (1) & ü.png", "image/png", 600)
	ours, theirs, signed_path = signature_of(monkeypatch, url, "GET", {})
	assert ours == theirs
	assert signed_path == path
	assert SECRET not in url


# ---- a real service ----

def the_contract_of_stores_holds(ceph):
	done = run("test_blobs_s3_real", env=place(ceph.endpoint()))
	assert "[  PASSED  ]" in done.stdout + done.stderr
	listed = ceph.aws("s3api", "list-multipart-uploads", "--bucket", BUCKET)
	assert "UploadId" not in listed


def signed_addresses_allow_what_they_say_and_nothing_else(ceph, tmp_path):
	env = place(ceph.endpoint())
	good, long, short = tmp_path / "good", tmp_path / "long", tmp_path / "short"
	good.write_bytes(b"0123456789")
	long.write_bytes(b"0123456789x")
	short.write_bytes(b"012345678")
	url, *fields = addresses(env, NAME, "put", 10, "text/plain", 600)
	assert "If-None-Match: *" in fields # this version of Ceph knows the precondition
	put = [a for field in (*fields, "Content-Type: text/plain") for a in ("-H", field)]
	lacking = [put[:i] + put[i + 2:] for i in range(0, len(put), 2)]
	for path, argv in ((long, put), (short, put), (good, [*put[:-1], "Content-Type: image/png"]), *((good, some) for some in lacking)):
		status, _, body = curl(tmp_path, "-T", path, *argv, url)
		assert status == 403, body
	status, _, body = curl(tmp_path, "-T", good, *put, url.replace("00007f?", "00007e?"))
	assert status == 403, body
	status, _, body = curl(tmp_path, "-T", good, *put, url)
	assert status == 200, body
	status, _, body = curl(tmp_path, "-T", good, *put, url)
	assert status == 412, body # not over what is there

	get, = addresses(env, NAME, "get", "ü.txt", "application/x-test", 600)
	assert curl(tmp_path, get) == (200, "application/x-test", b"0123456789")
	assert curl(tmp_path, "-r", "2-4", get) == (206, "application/x-test", b"234")
	assert curl(tmp_path, get.replace("x-test", "x-other"))[0] == 403
	assert curl(tmp_path, "-X", "DELETE", get)[0] == 403


def a_signed_form_bounds_size_and_type(ceph, tmp_path):
	env = place(ceph.endpoint())
	name = NAME.replace("007f", "00aa")
	url, *lines = addresses(env, name, "post", "5:10", "text/plain", 600)
	fields = dict(line.split("=", 1) for line in lines)
	assert fields["key"] == PREFIX + name

	def post(size, **changed):
		path = tmp_path / "form"
		path.write_bytes(b"x" * size)
		form = [a for k, v in {**fields, **changed}.items() for a in ("--form-string", f"{k}={v}")]
		return curl(tmp_path, *form, "-F", f"file=@{path}", url)

	for size, changed in ((4, {}), (11, {}), (7, {"Content-Type": "text/html"}), (7, {"key": PREFIX + NAME + "x"}), (7, {"policy": fields["policy"][:-4] + "AAAA"})):
		status, _, body = post(size, **changed)
		assert status in (400, 403), (size, changed, body)
	status, _, body = post(10)
	assert status in (200, 204), body
	get, = addresses(env, name, "get", "", "", 600)
	assert curl(tmp_path, get)[::2] == (200, b"x" * 10)


def on_a_real_object_storage(ceph, tmp_path):
	"""Called by test_imports_s3.py, which has one: to start it takes longer than all of this."""
	signed_addresses_allow_what_they_say_and_nothing_else(ceph, tmp_path)
	a_signed_form_bounds_size_and_type(ceph, tmp_path)
	the_contract_of_stores_holds(ceph)
