"""The scrub: bytes that change on the disk while the server runs are found, given out by no way any more, and whole again once they are right."""
import os
import sqlite3

from harness.images import png
from harness.server import eventually, problem, run

BIG = os.urandom(300_000)
FAST = {"data.scrub_rate": "64MiB", "data.scrub_every": "1s"}


def flip(blob):
	data = bytearray(blob.read())
	data[200] ^= 1
	blob.write(bytes(data))


def events(s, kind):
	return [e for e in s.log_events() if e["event"] == kind]


def test_a_flipped_byte_is_found_and_not_served_any_more(make_server):
	s = make_server(settings=FAST)
	good, bad = s.upload(BIG, "good.bin"), s.upload(BIG[1:], "bad.bin")
	address = f"/v1/files/{bad['id']}"
	flip(s.blob(bad["id"]))
	eventually(lambda: s.get(address).json().get("damaged_at"))
	for headers in ({}, {"Range": "bytes=0-9"}):
		problem(s.get(address + "/content", headers=headers), 500, "damaged")
	assert s.get(f"/v1/files/{good['id']}/content").content == BIG
	eventually(lambda: "filemill_damaged_files 1\n" in s.get("/metrics").text)
	eventually(lambda: events(s, "damaged"))
	assert [(e["file"], e["why"]) for e in events(s, "damaged")] == [(bad["id"], "digest")]
	s.restart()
	problem(s.get(address + "/content"), 500, "damaged")
	flip(s.blob(bad["id"]))
	eventually(lambda: "damaged_at" not in s.get(address).json())
	assert s.get(address + "/content").content == BIG[1:]
	eventually(lambda: events(s, "whole_again"))
	assert [e["file"] for e in events(s, "whole_again")] == [bad["id"]]


def test_a_damaged_output_is_given_out_by_no_way(make_server):
	s = make_server(surfaces=["image-stages"], settings=FAST)
	picture = png(1200, 900)
	number = s.post("/uploadFile", files={"file": ("a.png", picture)}).json()["file_id"]
	job = eventually(lambda: (j := s.all_jobs()[0])["state"] == "succeeded" and j)
	assert s.get(f"/thumbnail/{number}").status_code == 200

	def same_work(name):
		file = s.upload(picture, name, "ops=")
		id = s.post(f"/v1/files/{file['id']}/jobs", json={"op": "resize", "params": job["params"]}).json()["id"]
		return eventually(lambda: (j := s.get(f"/v1/jobs/{id}").json())["state"] == "succeeded" and j)
	other = same_work("b.png")
	assert other["cached"] and s.get(other["outputs"][0]["href"]).status_code == 200
	flip(s.blob(f"{job['id']}.1.0"))
	eventually(lambda: s.get(f"/v1/jobs/{job['id']}").json()["outputs"][0].get("damaged_at"))
	for j in (job, other): # the bytes are the same
		for headers in ({}, {"Range": "bytes=0-9"}, {"Range": "bytes=-1"}):
			problem(s.get(j["outputs"][0]["href"], headers=headers), 500, "damaged")
		assert s.head(j["outputs"][0]["href"]).status_code == 500
		after = s.post(f"/v1/files/{j['file']}/jobs", json={"op": "gzip", "after": j["id"]}).json()["id"]
		end = eventually(lambda: (x := s.get(f"/v1/jobs/{after}").json())["state"] == "failed" and x)
		assert end["error"]["code"] == "damaged", end
	assert s.get(f"/thumbnail/{number}").status_code == 500
	again = same_work("c.png")
	assert not again.get("cached") and s.get(again["outputs"][0]["href"]).status_code == 200
	r = run("backup", "--verify", "--data", s.data, s.folder / "backup")
	assert r.returncode == 1 and job["id"] in r.stderr, r


def rows(s):
	with sqlite3.connect(f"file:{s.data}/catalog.db?mode=ro", uri=True) as db:
		return dict(db.execute("SELECT key, value FROM meta WHERE key LIKE 'scrub%'"))


def go_on(s, total, one):
	"""What a life reads that begins in the midst of a round: from behind the place that was kept to the end."""
	kept = rows(s)
	assert kept["scrub_began_at"] and not kept["scrub_whole"] and 0 < kept["scrub_number"] < total, kept
	s.settings["data.scrub_rate"] = "1GiB"
	s.start()
	done = eventually(lambda: events(s, "scrub_done"))
	assert events(s, "scrub_resumed")[-1]["after"] == kept["scrub_number"]
	assert done[-1]["bytes"] == (total - kept["scrub_number"]) * one, (done, kept)


def test_a_stop_in_the_midst_of_a_round_and_the_start_goes_on_there(make_server):
	s = make_server(settings={"data.scrub_rate": "0"})
	for n in range(30):
		s.upload(BIG, f"{n}.bin")
	s.stop()
	s.settings["data.scrub_rate"] = "512KiB" # a round takes eighteen seconds
	s.start()
	eventually(lambda: int(s.get("/metrics").text.split("filemill_scrub_bytes_total ")[-1].split("\n")[0]) > 2 * len(BIG))
	s.stop()
	go_on(s, 30, len(BIG))


def test_a_kill_in_the_midst_of_a_round_and_the_start_goes_on_near_there(make_server):
	one, total = 6 << 20, 24
	s = make_server(settings={"data.scrub_rate": "0"})
	for n in range(total):
		s.upload(os.urandom(one), f"{n}.bin", "ops=")
	s.stop()
	s.settings["data.scrub_rate"] = "8MiB" # the place is kept after two seconds of eighteen
	s.start()
	eventually(lambda: rows(s)["scrub_number"] > 0)
	s.kill()
	go_on(s, total, one)


def test_nothing_is_read_when_it_is_off(make_server):
	s = make_server(settings={"data.scrub_rate": "0", "data.scrub_every": "1s"})
	s.upload(BIG, "a.bin", "ops=gzip&wait=60")
	assert "filemill_scrub_bytes_total 0\n" in s.get("/metrics").text
