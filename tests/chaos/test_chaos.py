"""Two fronts and three workers over PostgreSQL and a Ceph with three stores, while every two seconds something befalls one of them. Afterwards every file that was acknowledged is there with
its digest, every job has ended once, by the attempt that held it, and what a killed worker had was taken up.

FILEMILL_CHAOS_FILES asks for more files than those of every run; FILEMILL_SEED for other troubles."""
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from harness import nodes
from harness.ceph import PROGRAMS
from harness.island import namespaces

FILES = int(os.environ.get("FILEMILL_CHAOS_FILES", "600"))
SEED = os.environ.get("FILEMILL_SEED", "1")
HERE = Path(__file__).resolve().parent
TAKEN_UP_S = 20 # what the promise says, at the defaults of lease and beat; of a machine that has other things to do it is told and not judged
RULES = "table inet probe {\nchain out { type filter hook output priority 0; }\n}\n"


def lacking():
	"""What this machine has not got for this; "" when all is there."""
	if os.geteuid() != 0:
		return "namespaces with a network between them take root"
	missing = [package for program, package in {**PROGRAMS, "nft": "nftables"}.items() if not (shutil.which(program) or shutil.which(program, path="/usr/sbin"))]
	if missing or not nodes.installed():
		return f"needs the packages {', '.join(sorted(set(missing) | {'postgresql'}))}"
	wrapper = namespaces()
	if isinstance(wrapper, str):
		return wrapper
	tried = subprocess.run([*wrapper, "nft", "-f", "-"], input=RULES, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
	return f"the kernel throws no packets away for us: {tried.stdout[-200:]}" if tried.returncode else ""


@pytest.mark.disk
def test_nodes_keep_their_promises_whatever_befalls_them(folder):
	why = lacking()
	if why:
		pytest.skip(why)
	done = subprocess.run([*namespaces(), sys.executable, str(HERE / "chaos.py"), str(folder), str(FILES), SEED], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
	assert done.returncode == 0
	told = json.loads(done.stdout.splitlines()[-1])
	late = [(wait, when) for wait, when in told["taken_up"] if wait > TAKEN_UP_S or wait < 0]
	print(json.dumps({k: told[k] for k in ("files", "seconds", "repeats", "jobs", "ends", "troubles", "taken_up_count")}), "slowest:", told["taken_up"][:1], "late:", late)
	assert told["files"] == told["rows"] and not told["refused"], told["refused"]
	assert not told["complaints"], f"{told['complaints_count']}: {told['complaints']}"
	assert not told["published"], told["published"]
	assert not told["audit"]["wrong"], told["audit"]
	assert told["jobs_left"] == 0 and told["ends"] == sum(told["jobs"].values())
	assert not told["died"] and not told["troubles_failed"], (told["died"], told["troubles_failed"])
	assert all(wait >= 0 for wait, _ in told["taken_up"]), told["taken_up"]
	assert sum(told["troubles"].values()) >= 4, "hardly anything happened"
