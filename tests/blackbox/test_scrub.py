"""The scrub: bytes that change on the disk while the server runs are found and not given out any more."""
import os

from harness.server import eventually, problem

BIG = os.urandom(300_000)


def test_a_flipped_byte_is_found_and_not_served_any_more(make_server):
	s = make_server(settings={"data.scrub_rate": "64MiB", "data.scrub_every": "1s"})
	good, bad = s.upload(BIG, "good.bin"), s.upload(BIG[1:], "bad.bin")
	path = next((s.data / "blobs").rglob(bad["id"]))
	data = bytearray(path.read_bytes())
	data[200_000] ^= 1
	path.write_bytes(data)
	eventually(lambda: s.get(f"/v1/files/{bad['id']}").json().get("damaged_at"), timeout=20)
	for headers in ({}, {"Range": "bytes=0-9"}):
		problem(s.get(f"/v1/files/{bad['id']}/content", headers=headers), 500, "damaged")
	assert s.get(f"/v1/files/{good['id']}/content").content == BIG
	eventually(lambda: "filemill_damaged_files 1\n" in s.get("/metrics").text, timeout=10)
	assert any(e["event"] == "damaged" and e["file"] == bad["id"] and e["why"] == "digest" for e in s.log_events())
	s.restart()
	problem(s.get(f"/v1/files/{bad['id']}/content"), 500, "damaged")


def test_nothing_is_read_when_it_is_off(make_server):
	s = make_server(settings={"data.scrub_rate": "0", "data.scrub_every": "1s"})
	s.upload(BIG, "a.bin", "ops=gzip&wait=20")
	assert "filemill_scrub_bytes_total 0\n" in s.get("/metrics").text
