"""Rows D of the bad-input catalogue: what is in files, and what jobs do with it. Whatever a file holds, the job gets a final state with a stable code and the server does not notice.

D9, the corpora of codecs, and D18 and D19, a worker that lies, need the inside: tests/unit/runner has them."""
import json
import os
import random
import signal
import struct
import subprocess
import time
import uuid
import zipfile
import zlib

import pytest

from harness import runner
from harness.data import md5, random_bytes
from harness.images import PNG_SIGNATURE, chunk, gif, jpeg_of_scans, jpeg_size, jpeg_with_exif, jpeg_with_size, png, png_blank, png_of, png_pixels, png_size
from harness.server import SLOW, Server, eventually, is_sanitized, problem

MIB = 1 << 20
LIMITS = {"runner.cpu_time": "4s", "runner.wall_time": "10s"}
COMMANDS = {
	"spin": ["/bin/sh", "-c", "while :; do :; done"],
	"hang": ["/bin/sleep", "1000"],
	"deaf": ["/bin/sh", "-c", "trap '' TERM INT HUP; while :; do sleep 1; done"],
	"flood": ["/bin/cat", "/dev/zero"],
	"fork_bomb": ["/bin/sh", "-c", "f() {{ f | f & }}; f; sleep 1000"],
	"daemon": ["/bin/sh", "-c", "setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo left one behind"],
	"fill": ["/bin/sh", "-c", "i=0; while [ $i -lt 100000 ]; do head -c 1000000 /dev/zero > /tmp/f$i || exit 9; i=$((i+1)); done"],
	"connect": ["/bin/sh", "-c", "exec 3<>/dev/tcp/127.0.0.1/1 || nc -w 1 127.0.0.1 1; wget -T 1 -O - http://127.0.0.1:1/; cat /proc/net/tcp"],
	"environ": ["/bin/sh", "-c", "env; cat /proc/1/environ; ls /proc"],
	"parent": ["/bin/sh", "-c", "kill -9 $PPID; kill -9 1; kill -9 -1; sleep 1000"],
	"descriptors": ["/bin/sh", "-c", "for i in 3 4 5 6 7 8 9; do echo x >&$i; done; ls -l /proc/self/fd/"],
	"shadow": ["/bin/sh", "-c", "cat /etc/shadow; ln -s /etc/shadow /tmp/link; cat /tmp/link; cat /etc/gshadow; echo x > /etc/filemill-was-here"],
	"stay": ["/bin/sleep", "1000"],
	"core": ["/bin/sh", "-c", "kill -SEGV $$"],
	"setuid": ["/bin/sh", "-c", "cp /bin/sh /tmp/s; chmod 4755 /tmp/s; /tmp/s -p -c id; mount -t tmpfs x /tmp; id -u"],
}


@pytest.fixture(scope="module")
def server(module_folder):
	declared = {name: {"argv": argv, "wall_time": "3s", "cpu_time": "2s", "memory": "128MiB", "output_max": "10MiB"} for name, argv in COMMANDS.items()}
	declared["stay"]["wall_time"] = "120s"
	with Server(module_folder / "d", settings={**LIMITS, "commands": json.dumps(declared)}) as s:
		yield s


@pytest.fixture(autouse=True)
def unharmed(server):
	"""After every row: the server answers, its next job succeeds, nothing of the row is left in memory or among its processes."""
	before = server.pid
	yield
	server.alive()
	assert server.pid == before
	f = server.upload(random.randbytes(50), query="ops=md5,gzip&wait=60")
	assert [j["state"] for j in f["jobs"]] == ["succeeded"] * 2, f["jobs"]
	eventually(lambda: not runner.zombies(server), message="a zombie is left")


def outcome(server, body, ops, name="a.bin", wait=60):
	"""State and code of the last job of a file, and the job."""
	f = server.upload(body, name=name, query=f"ops={ops}&wait={wait}")
	job = f["jobs"][-1]
	assert job["state"] in ("succeeded", "failed", "quarantined"), job
	if job["state"] != "succeeded":
		assert job["error"]["code"] and job["outputs"] == [], job
		assert "/" not in (job["error"]["detail"] or "").replace("image/", ""), f"a path in {job['error']}"
	return job["state"], job["error"] and job["error"]["code"], job


def fails(server, body, codes, ops="resize;width=64;format=png", **more):
	state, code, job = outcome(server, body, ops, **more)
	assert state == "failed" and code in ({codes} if isinstance(codes, str) else codes), job
	return job


def made(server, body, ops):
	state, _, job = outcome(server, body, ops)
	assert state == "succeeded", job
	return server.get(job["outputs"][0]["href"]).content


def noisy(width, height):
	noise = random.Random(5)
	return png(width, height, lambda x, y: (noise.randrange(256), noise.randrange(256), noise.randrange(256)))


@pytest.fixture(scope="module")
def kinds(server):
	"""One valid image of each kind that resize takes."""
	picture = noisy(80, 60)
	return {"png": picture, "gif": gif(80, 60, 2), **{kind: made(server, picture, f"resize;width=80;format={kind}") for kind in ("jpeg", "webp", "avif")}}


# ---- images that are too much ----

@pytest.mark.parametrize("make", [lambda: png_blank(20000, 20000), lambda: png_blank(20000, 20000, interlace=1), lambda: png_blank(60000, 60000, 1, 0), lambda: png_blank(10001, 10000, 8, 0)],
	ids=["D1 plain", "D2 interlaced", "D3 one bit", "one row more than the limit"])
def test_d1_d2_d3_pixels_are_counted_before_any_is_decoded(server, make):
	body = make()
	before = runner.cpu_seconds(server)
	for ops in ("resize;width=64;format=png", "resize;width=64;format=jpeg"):
		fails(server, body, "image_too_large", ops=ops)
	assert runner.cpu_seconds(server) - before < (20 if SLOW else 4), "the header alone should have told"


def test_d1_the_limit_itself_is_no_pixel_too_many(make_server):
	s = make_server(settings={"runner.pixels_max": "10000"})
	assert outcome(s, png_blank(100, 100), "resize;width=5;format=png")[0] == "succeeded"
	fails(s, png_blank(101, 100), "image_too_large")


def test_d4_a_header_that_promises_more_than_there_is(server, kinds):
	fails(server, jpeg_with_size(kinds["jpeg"], 65500, 65500), "image_too_large")
	fails(server, jpeg_with_size(kinds["jpeg"], 2000, 2000), {"truncated", "invalid_content"})


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "gif", "avif"])
@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_d5_a_file_that_ends_too_early(server, kinds, kind, share):
	whole = kinds[kind]
	assert outcome(server, whole, "resize;width=64;format=png")[0] == "succeeded"
	cut = whole[:max(int(len(whole) * share), 1)]
	if kind == "gif" and share > 0.6:
		cut = whole[:len(whole) * 3 // 10] # what follows the first frame is not looked at
	fails(server, cut, {"truncated", "invalid_content"})


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "gif", "avif"])
def test_d5_a_file_of_which_hardly_anything_came(server, kinds, kind):
	fails(server, kinds[kind][:max(len(kinds[kind]) // 100, 20)], {"truncated", "invalid_content", "unsupported_format"})


def test_d6_of_many_frames_the_first(server):
	state, _, job = outcome(server, gif(20, 20, 10_000), "resize;width=10;format=png")
	if state == "succeeded":
		assert png_size(server.get(job["outputs"][0]["href"]).content) == (10, 10)
	outcome(server, gif(20, 20, 3, at=(500, 500)), "resize;width=10;format=png")
	huge = gif(20, 20)
	state, _, job = outcome(server, huge[:6] + struct.pack("<HH", 60000, 60000) + huge[10:], "resize;width=10;format=png")
	assert state == "failed" or job["result"]["source"]["width"] == 20, "the canvas is nothing, the frame counts"
	at = huge.index(b"\x2c\0\0\0\0") + 5
	fails(server, huge[:at] + struct.pack("<HH", 60000, 60000) + huge[at + 4:], {"image_too_large", "truncated", "invalid_content"})


def text_chunks(n):
	return b"".join(chunk(b"tEXt", b"k%d\0v" % i) for i in range(n))


@pytest.mark.parametrize("extra", [
	lambda: text_chunks(1_000_000),
	lambda: chunk(b"zTXt", b"bomb\0\0" + zlib.compress(bytes(200 * MIB), 9)),
	lambda: chunk(b"iTXt", b"bomb\0\1\0\0\0" + zlib.compress(bytes(200 * MIB), 9)),
	lambda: chunk(b"iCCP", b"icc\0\0" + zlib.compress(bytes(100 * MIB), 9)),
	lambda: chunk(b"eXIf", b"II*\0\x08\0\0\0\x01\0\x69\x87\x04\0\x01\0\0\0\x08\0\0\0\0\0\0\0"),
], ids=["a million text chunks", "zTXt bomb", "iTXt bomb", "iCCP of 100 MB", "EXIF that leads to itself"])
def test_d7_metadata_that_is_too_much(server, extra):
	body = png(40, 40, extra=extra())
	for ops in ("resize;width=20;format=png", "probe"):
		state, code, job = outcome(server, body, ops)
		assert state == "succeeded" or code in ("limit_memory", "limit_time", "invalid_content", "truncated", "image_too_large"), job


def test_d8_a_jpeg_of_ten_thousand_scans_meets_its_limit(server):
	body = jpeg_of_scans(8192, 8192, 10_000)
	fails(server, body, {"limit_time", "invalid_content", "truncated"}) # within what an upload may wait


# ---- files that are something else ----

BILLION_LAUGHS = b'<?xml version="1.0"?><!DOCTYPE x [' + b"".join(b'<!ENTITY a%d "%s">' % (i, b"&a%d;" % (i - 1) * 10 if i else b"ha") for i in range(10)) + b"]><svg xmlns='http://www.w3.org/2000/svg'>&a9;</svg>"
DISGUISES = {
	"svg that reads a file": b'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"><image xlink:href="file:///etc/passwd" width="9" height="9"/></svg>',
	"svg with an entity": b'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg xmlns="http://www.w3.org/2000/svg"><text>&x;</text></svg>',
	"billion laughs": BILLION_LAUGHS,
	"mvg": b"push graphic-context\nviewbox 0 0 640 480\nfill 'url(https://127.0.0.1/x.jpg\"|id > /tmp/filemill-was-here\")'\npop graphic-context\n",
	"msl": b'<?xml version="1.0"?><image><read filename="caption:@/etc/passwd"/><write filename="/tmp/filemill-was-here"/></image>',
	"ephemeral": b"ephemeral:/etc/passwd\n", "caption": b"caption:@/etc/passwd\n",
	"postscript": b"%!PS-Adobe-3.0\n(/etc/passwd) (r) file\nshowpage\n", "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
	"pdf": b"%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n", "djvu": b"AT&TFORM\0\0\0\x40DJVMDIRM" + b'(metadata (Copyright "\\\n" . qx{id > /tmp/filemill-was-here} . \\\n" b "))' + bytes(30),
	"bmp": b"BM" + struct.pack("<IHHI", 100, 0, 0, 54) + bytes(86), "ico": b"\0\0\1\0\1\0" + bytes(60), "psd": b"8BPS\0\1" + bytes(60),
	"fits": b"SIMPLE  =                    T" + b" " * 2850, "openexr": b"\x76\x2f\x31\x01" + bytes(60), "ppm": b"P6\n9 9\n255\n" + bytes(243), "vips": b"\xb6\xa6\xf2\x08" + bytes(60),
	"zip": b"PK\3\4" + bytes(60), "html": b"<html><script>alert(1)</script></html>", "matlab": b"MATLAB 5.0 MAT-file" + bytes(120), "csv": b"1,2,3\n4,5,6\n",
}


@pytest.mark.parametrize("what", DISGUISES)
def test_d10_d11_no_library_is_asked_about_what_is_no_image(server, what):
	fails(server, DISGUISES[what], "unsupported_format", name="picture.png")
	assert outcome(server, DISGUISES[what], "probe")[0] == "succeeded"
	assert not os.path.exists("/tmp/filemill-was-here")


def test_d11_metadata_does_not_survive(server, kinds):
	body = jpeg_with_exif(kinds["jpeg"], 1, b"51 degrees north")
	for kind in ("jpeg", "png", "webp", "avif"):
		assert b"degrees north" not in made(server, body, f"resize;width=70;format={kind}")


@pytest.mark.parametrize("name,body", [("gif and script", gif(9, 9)[:-1] + b";/*" + b"*/=1;alert(1)//\x3b"), ("png and html", png(9, 9) + b"<html><script>alert(1)</script>"),
	("html and png", b"<!doctype html><script>alert(1)</script>" + png(9, 9)), ("png and zip", png(9, 9) + b"PK\5\6" + bytes(18))])
def test_d12_a_file_that_is_two_things_is_served_as_bytes(server, name, body):
	f = server.upload(body, query="ops=")
	for query in ("", "?inline=1"):
		r = server.get(f"/v1/files/{f['id']}/content{query}")
		assert r.content == body and r.headers["X-Content-Type-Options"] == "nosniff" and "sandbox" in r.headers["Content-Security-Policy"]
		assert "html" not in r.headers["Content-Type"] and "script" not in r.headers["Content-Type"]
		assert query or r.headers["Content-Disposition"].startswith("attachment")


@pytest.mark.parametrize("body", [b"", b"x", b"\x89", PNG_SIGNATURE, b"\xff\xd8\xff", b"GIF89a", b"RIFF\0\0\0\0WEBP"], ids=["empty", "a letter", "a byte of a signature", "a signature", "a JPEG's", "a GIF's", "a WebP's"])
def test_d13_hardly_any_bytes(server, body):
	fails(server, body, {"unsupported_format", "truncated", "invalid_content"})
	assert outcome(server, body, "gzip")[0] == outcome(server, body, "zip")[0] == outcome(server, body, "probe")[0] == "succeeded"


def test_d13_another_kind_from_the_middle_on(server, kinds):
	a, b = kinds["png"], kinds["jpeg"]
	fails(server, a[:len(a) // 2] + b[len(b) // 2:], {"truncated", "invalid_content"})
	fails(server, b[:len(b) // 2] + a[len(a) // 2:], {"truncated", "invalid_content"})


def test_d14_archives_are_bytes(server, folder):
	path = folder / "evil.zip"
	with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
		z.writestr("../../../../tmp/filemill-was-here", "x")
		link = zipfile.ZipInfo("link")
		link.external_attr = 0o120777 << 16
		z.writestr(link, "/etc/passwd")
		z.writestr("bomb", bytes(50 * MIB))
	body = path.read_bytes()
	f = server.upload(body, query="ops=zip,gzip,probe&wait=60")
	assert [j["state"] for j in f["jobs"]] == ["succeeded"] * 3 and f["type"] == "application/zip"
	assert server.get(f"/v1/files/{f['id']}/content").content == body and not os.path.exists("/tmp/filemill-was-here")


# ---- outputs and parameters ----

def test_d15_outputs_have_a_limit(make_server):
	s = make_server(settings={"runner.output_max": "1MiB", "files.inline_max": "0B"})
	for op in ("gzip", "zstd", "zip"):
		fails(s, random_bytes(4 * MIB, 4), "limit_output", ops=op)
		assert outcome(s, random_bytes(MIB // 2, 5), op)[0] == "succeeded"
		assert outcome(s, bytes(64 * MIB), op)[0] == "succeeded"
	eventually(lambda: len(s.blobs()) == 9 + 6, message="an output that was given up is left")


@pytest.mark.parametrize("params", ["width=0", "width=-1", "width=0;height=0", "width=16385", "width=1000000000", "height=99999999999999999999", "width=1.5", "width=NaN", "width=abc", "width", "", "width=10;format=svg",
	"width=10;fit=stretch", "width=10;quality=0", "width=10;quality=101", "width=10;nonsense=1", 'width="10"', "width=10;width=-10"])
def test_d16_sizes_that_cannot_be_are_refused_at_the_door(server, params):
	before = server.newest_number()
	r = server.post(f"/v1/files?ops=resize{';' if params else ''}{params}", data=png(9, 9), headers={"Content-Type": "image/png"})
	problem(r, {400, 422}, {"bad_ops", "bad_op_params"})
	assert server.newest_number() == before


@pytest.mark.parametrize("params", [{"width": 0}, {"width": -1}, {"width": 16385}, {"width": 1e9}, {"width": "10"}, {"width": 1.5}, {"width": None}, {"width": [10]}, {}, {"width": 10, "format": "svg"}, {"width": True}])
def test_d16_also_in_json(server, params):
	f = server.upload(png(9, 9), query="ops=")
	problem(server.post(f"/v1/files/{f['id']}/jobs", json={"op": "resize", "params": params}), 422, "bad_op_params")


def test_d16_what_is_extreme_and_allowed(server):
	for size, ops in (((1, 1), "resize;width=16384;height=16384"), ((16384, 1), "resize;width=1;format=png"), ((1, 16384), "resize;height=1;format=png"), ((3, 3), "resize;width=1;height=1;fit=cover;format=png")):
		outcome(server, png(*size, lambda x, y: (x % 256, y % 256, 9)), ops)


# ---- D17: commands ----

def command_processes(server):
	"""What lives below the server and is no process of filemill's."""
	listed = subprocess.run(["ps", "-eo", "pid=,ppid=,comm="], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
	processes = {int(p): (int(pp), c) for p, pp, c in (line.split(None, 2) for line in listed)}
	def below(pid):
		for _ in range(64):
			if pid == server.pid:
				return True
			if pid not in processes:
				return False
			pid = processes[pid][0]
		return False
	return [(p, c) for p, (_, c) in processes.items() if p != server.pid and below(p) and not c.startswith("filemill")]


@pytest.mark.parametrize("name,codes", [
	("spin", {"limit_time", "command_failed"}), ("hang", {"limit_time"}), ("deaf", {"limit_time"}), ("flood", {"limit_output"}), ("fork_bomb", {"limit_time", "command_failed", "limit_memory"}),
	("fill", {"command_failed", "limit_time", "limit_memory"}), ("parent", {"limit_time", "command_failed", "runner_crashed", "runner_lost", "seal_violation"}), ("core", {"command_failed", "runner_crashed"}),
])
def test_d17_a_command_is_stopped_by_its_limit(server, name, codes):
	fails(server, b"input", codes, ops=name)
	eventually(lambda: not command_processes(server), message=f"left behind: {command_processes(server)}")


@pytest.mark.parametrize("name", ["daemon", "connect", "environ", "descriptors", "shadow", "setuid"])
def test_d17_a_command_reaches_nothing(server, name):
	state, code, job = outcome(server, b"input", name)
	said = server.get(job["outputs"][0]["href"]).text if state == "succeeded" else ""
	said += str((job["result"] or {}).get("stderr", ""))
	for secret in ("FILEMILL_", "root:", "catalog.db", "blobs", str(server.data), "uid=0(root) gid=0(root) groups="):
		assert secret not in said.replace("/etc/shadow", ""), said[:2000]
	assert not os.path.exists("/etc/filemill-was-here")
	eventually(lambda: not command_processes(server), message=f"left behind: {command_processes(server)}")


# ---- D20, D21 ----

def test_d20_a_job_on_a_file_that_is_not_there(server):
	f = server.upload(b"gone", query="ops=")
	assert server.delete(f"/v1/files/{f['id']}").status_code == 204
	problem(server.post(f"/v1/files/{f['id']}/jobs", json={"op": "gzip"}), 410, "file_gone")
	problem(server.post(f"/v1/files/{uuid.uuid4()}/jobs", json={"op": "gzip"}), 404, "file_not_found")


@pytest.mark.parametrize("op", ["gzip", "sha512", "resize;width=5", "probe", "zip", "zstd"])
def test_d20_a_job_on_bytes_that_were_damaged(make_server, op):
	s = make_server(settings={"files.inline_max": "0B"})
	f = s.upload(noisy(60, 60), query="ops=")
	blob = s.blob(f["id"])
	data = bytearray(blob.read())
	data[len(data) // 2] ^= 1
	blob.write(bytes(data))
	name, *params = op.split(";")
	r = s.post(f"/v1/files/{f['id']}/jobs", json={"op": name, "params": {k: int(v) for k, v in (p.split("=") for p in params)}})
	job = s.get(f"/v1/jobs/{r.json()['id']}?wait=60").json()
	assert job["state"] == "failed" and job["error"]["code"] in ("damaged", "truncated", "invalid_content"), job
	assert job["outputs"] == []


def test_d21_cancelling_at_every_moment(server):
	f = server.upload(random_bytes(100_000, 21), query="ops=")
	def job(**request):
		return server.post(f"/v1/files/{f['id']}/jobs", json=request).json()["id"]
	cancel = lambda n: server.post(f"/v1/jobs/{n}/cancel")
	waiting = job(op="gzip", run_at="2099-01-01T00:00:00Z")
	assert cancel(waiting).json()["state"] == "cancelled"
	problem(cancel(waiting), 409, "job_state")
	running = job(op="stay")
	eventually(lambda: server.get(f"/v1/jobs/{running}").json()["state"] == "running")
	assert cancel(running).status_code == 200
	assert server.get(f"/v1/jobs/{running}?wait=60").json()["state"] == "cancelled"
	finished = job(op="sha1")
	server.get(f"/v1/jobs/{finished}?wait=60")
	problem(cancel(finished), 409, "job_state")
	for level in range(1, 13): # at any moment: never succeeded after cancelled was seen
		n = job(op="gzip", params={"level": level})
		r = cancel(n)
		seen = r.json()["state"] if r.status_code == 200 else None
		final = server.get(f"/v1/jobs/{n}?wait=60").json()["state"]
		assert final in ("succeeded", "cancelled") and not (seen == "cancelled" and final != "cancelled"), (seen, final)
		assert r.status_code in (200, 409) and (r.status_code == 200 or final == "succeeded")


def test_the_runner_killed_again_and_again_costs_no_job(server):
	"""Whatever kills children and the zygote from outside: jobs are run again."""
	files = [server.upload(random_bytes(200_000, n), query="ops=") for n in range(10)]
	often = {"max_attempts": 20} # a slow machine runs the same job at each of the kills
	jobs = [{"file": f["id"], **op, **often} for f in files for op in ({"op": "gzip", "params": {"level": 9}}, {"op": "sha512"})]
	assert server.post("/v1/jobs", json={"jobs": jobs}).status_code == 202
	for _ in range(5):
		listed = subprocess.run(["ps", "--ppid", str(server.pid), "-o", "pid="], stdout=subprocess.PIPE, text=True).stdout
		for pid in map(int, listed.split()):
			try:
				os.kill(pid, signal.SIGKILL)
			except ProcessLookupError:
				pass
		time.sleep(0.1)
	for f in files:
		f = server.get(f"/v1/files/{f['id']}?wait=60").json()
		assert [j["state"] for j in f["jobs"]] == ["succeeded"] * 2, f["jobs"]
