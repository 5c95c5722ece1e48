"""The pages of examples/, played as they stand."""
import re
import subprocess

from harness.server import REPOSITORY

ADDRESS = "http://127.0.0.1:8000"


def play_page(name, server, folder):
	"""Runs every line of the page in the folder but the first, which starts the server: that one runs already, with the page's configuration, elsewhere. What the page says comes out has to, … being anything."""
	page = (REPOSITORY / f"examples/{name}/README.md").read_text()
	lines = [line for block in re.findall(r"```sh\n(.*?)```", page, re.S) for line in block.splitlines()]
	assert lines[0] == f"filemill serve -c examples/{name}/filemill.yaml &" and any(ADDRESS in line for line in lines)
	assert f"listen: {ADDRESS.removeprefix('http://')}\n" in (REPOSITORY / f"examples/{name}/filemill.yaml").read_text()
	folder.mkdir()
	quiet = 'curl() { command curl --silent --show-error --max-time 30 "$@" && echo; }'
	script = "\n".join(["set -eu", quiet, *lines[1:]]).replace(ADDRESS, server.base)
	r = subprocess.run(["sh", "-c", script], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120)
	assert r.returncode == 0, r.stdout + r.stderr
	said, come = [line[2:] for line in lines if line.startswith("# ")], r.stdout.splitlines()
	assert said, "the page says nothing of what comes out"
	for line in said:
		like = re.compile(re.escape(line).replace("…", "[^\"]*"))
		assert any(like.fullmatch(c) for c in come), (line, come)
