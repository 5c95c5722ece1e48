"""A real object storage: imports of what AWS's own command line put there (keys as awkward as they come, ETags, resuming, wrong keys), and blobs kept in it."""
import hashlib
import hmac
import json

import pytest

from harness.ceph import ACCESS, BUCKET, SECRET, ceph # noqa: F401
from harness.data import random_bytes
from harness.server import eventually, problem
from test_blobs_s3 import on_a_real_object_storage

KEYS = ["a folder/b c+d/ümläut/日本.bin", "a=b&c?d#e%41~$tar'(1)!*;:@,.bin", "two//slashes", "dots/../and/./more"]


def fetch(s, key, bucket=BUCKET, **more):
	r = s.post("/v1/imports?wait=60", json={"s3": {"bucket": bucket, "key": key}, "max_attempts": 1, **more})
	assert r.status_code == 202, r.text
	return r.json()


def test_objects_are_fetched_whatever_their_keys_are(make_server, ceph):
	s = make_server(settings=ceph.settings())
	for n, key in enumerate(KEYS):
		body = random_bytes(10_000 * n, n)
		ceph.put(key, body)
		job = fetch(s, key)
		assert job["state"] == "succeeded", (key, job)
		assert job["params"] == {"bucket": BUCKET, "key": key}
		assert s.get(f"/v1/files/{job['file']}/content").content == body, key
		assert s.get(f"/v1/files/{job['file']}").json()["name"] in (key.rsplit("/", 1)[-1], "file")


def test_a_bucket_is_found_in_front_of_the_hosts_name(make_server, ceph):
	"""Where the path would have the bucket once more, and the host without it is not to be found."""
	wrapper = ceph.knows_names()
	own = {"endpoint": ceph.named_endpoint(), "access_key": ACCESS, "secret_key": SECRET, "virtual_host": "true"}
	s = make_server(settings={f"imports.s3_{k}": v for k, v in own.items()}, wrapper=wrapper)
	body = random_bytes(100_000, 3)
	for key in (f"in front/{KEYS[0]}", f"{BUCKET}/{KEYS[1]}"): # tests run beside each other on one bucket: what they put has keys of their own
		ceph.put(key, body)
		job = fetch(s, key)
		assert job["state"] == "succeeded", (key, job)
		assert s.get(f"/v1/files/{job['file']}/content").content == body, key
	s.settings["imports.s3_virtual_host"] = "false"
	s.restart()
	assert fetch(s, f"in front/{KEYS[0]}")["error"]["code"] == "unresolved"


def test_a_large_object_in_parts_is_fetched(make_server, ceph):
	s = make_server(settings=ceph.settings())
	body = random_bytes(1 << 20, 1) * 20
	ceph.put("large", body) # the command line sends it in parts: its ETag is no MD5
	job = fetch(s, "large")
	assert job["state"] == "succeeded", job
	assert s.get(f"/v1/files/{job['file']}").json()["sha256"] == hashlib.sha256(body).hexdigest()


def test_what_is_not_there_or_not_allowed_is_told(make_server, ceph):
	s = make_server(settings=ceph.settings())
	job = fetch(s, "never put")
	assert job["error"]["code"] == "source_failed" and "404" in job["error"]["detail"]
	problem(s.post("/v1/imports", json={"s3": {"bucket": "../x", "key": "k"}}), 422, "invalid_value")
	s.settings["imports.s3_secret_key"] = "wrong"
	s.restart()
	job = fetch(s, KEYS[0])
	assert job["error"]["code"] == "source_failed" and "403" in job["error"]["detail"]
	assert "wrong" not in s.log()
	s.settings["imports.s3_bucket"] = "another"
	s.restart()
	problem(s.post("/v1/imports", json={"s3": {"bucket": BUCKET, "key": "k"}}), 422, "invalid_value")


def test_storage_sync_copies_objects_whose_names_are_paths(make_server, ceph, folder):
	"""The whole way, from a client's signature to the mirror, with the bucket in front of the host's name; the rest of this surface is in test_surface_storage_sync.py."""
	own = {"secret": "shared", "source": f"s3://{BUCKET}", "endpoint": ceph.named_endpoint(), "virtual_host": "true", "access_key": ACCESS, "secret_key": SECRET,
	       "mirror_dir": str(folder / "mirror")}
	s = make_server(surfaces=["storage-sync"], settings={f"surfaces.storage_sync.{k}": v for k, v in own.items()}, wrapper=ceph.knows_names())
	objects = {key: random_bytes(100_000 * n, n) for n, key in enumerate([f"mirrored/{KEYS[0]}", f"mirrored/{KEYS[1]}", "large in parts"])}
	objects["large in parts"] = random_bytes(1 << 20, 9) * 12
	for n, (key, body) in enumerate(objects.items()):
		ceph.put(key, body)
		said = json.dumps({"oeid": "o", "ref_id": f"r{n}", "file_name": key, "file_type": "application/octet-stream"}).encode()
		signed = {"Content-Type": "application/json", "Authorization": hmac.new(b"shared", said, hashlib.sha256).hexdigest()}
		for status in (201, 409):
			assert s.post("/sync/", said, headers=signed).status_code == status
	eventually(lambda: s.get("/sync/").json() == {"synced_objects_count": len(objects), "queued_objects_count": 0}, timeout=40)
	for key, body in objects.items():
		assert (folder / "mirror" / key).read_bytes() == body, key


def test_the_contract_of_stores_holds_and_signed_addresses_allow_what_they_say(ceph, tmp_path):
	on_a_real_object_storage(ceph, tmp_path)
