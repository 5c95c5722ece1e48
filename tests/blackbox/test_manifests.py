"""What is shipped to run filemill in containers agrees with the program and with itself. Fields that nobody knows are found by scripts/check-manifests, on demand."""
import json
import re
import subprocess

import pytest
import yaml

from harness.server import REPOSITORY, run

PACKAGING = REPOSITORY / "packaging"
CONTAINERFILE = (REPOSITORY / "Containerfile").read_text()
USER = 10001


def objects(name):
	return {o["kind"]: o for o in yaml.safe_load_all((PACKAGING / f"kubernetes/{name}.yaml").read_text())}


def pod(name, kind):
	return objects(name)[kind]["spec"]["template"]["spec"]


def compose():
	return yaml.safe_load((PACKAGING / "compose/compose.yaml").read_text())["services"]


def test_the_container_sets_options_that_there_are():
	known = {o["environment"] for o in json.loads(run("describe", "options").stdout)}
	named = set(re.findall(r"\bFILEMILL_[A-Z_]+", CONTAINERFILE))
	assert len(named) >= 2 and named <= known


def test_all_mean_the_same_user():
	assert set(re.findall(r"--[ug]id (\d+)", CONTAINERFILE)) == {str(USER)} and f"\nUSER {USER}:{USER}\n" in CONTAINERFILE
	assert compose()["filemill"]["user"] == f"{USER}:{USER}"
	context = pod("filemill", "StatefulSet")["securityContext"]
	assert [context[k] for k in ("runAsUser", "runAsGroup", "fsGroup")] == [USER] * 3


def test_nothing_can_be_written_but_volumes_and_nothing_gained():
	for spec in (pod("filemill", "StatefulSet"), pod("proxy", "Deployment")):
		assert spec["securityContext"]["runAsNonRoot"] is True and spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
		for c in spec["containers"] + spec.get("initContainers", []):
			s = c["securityContext"]
			assert (s["allowPrivilegeEscalation"], s["readOnlyRootFilesystem"], s["capabilities"]) == (False, True, {"drop": ["ALL"]}), c["name"]
	for name, service in compose().items():
		assert service["read_only"] is True and service["cap_drop"] == ["ALL"] and service["security_opt"] == ["no-new-privileges:true"], name


def test_what_asks_after_its_health_asks_what_it_answers(server):
	spec = pod("filemill", "StatefulSet")["containers"][0]
	paths = {spec[probe]["httpGet"]["path"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")}
	paths |= set(re.findall(r"http://127\.0\.0\.1:8080(/\w+)", CONTAINERFILE))
	assert paths == {"/readyz", "/healthz"}
	assert [server.get(p).status_code for p in sorted(paths)] == [200, 200]


def test_every_place_leaves_the_server_time_to_stop():
	assert "\nSTOPSIGNAL SIGTERM\n" in CONTAINERFILE
	assert pod("filemill", "StatefulSet")["terminationGracePeriodSeconds"] >= 15
	assert int(compose()["filemill"]["stop_grace_period"].rstrip("s")) >= 15


def test_volumes_that_are_mounted_are_there():
	for name, kind in (("filemill", "StatefulSet"), ("proxy", "Deployment")):
		spec = pod(name, kind)
		there = {v["name"] for v in spec["volumes"]} | {c["metadata"]["name"] for c in objects(name)[kind]["spec"].get("volumeClaimTemplates", [])}
		assert {m["name"] for c in spec["containers"] + spec.get("initContainers", []) for m in c["volumeMounts"]} == there


@pytest.mark.parametrize("branch, tags", [
	("main", ["main-0123456789ab", "0123456789ab", "latest"]),
	("feature/a b+ü", None),
	("-x", ["_x-0123456789ab"]),
	("release-1.0_a", ["release-1.0_a-0123456789ab"]),
	("b" * 300, ["b" * 115 + "-0123456789ab"]),
])
def test_an_image_is_named_after_branch_and_commit(branch, tags):
	done = subprocess.run([REPOSITORY / "scripts/image-tags", "Registry.example/Some/Name", branch, "main", "0123456789abcdef0123"], capture_output=True, text=True, timeout=20, check=True)
	lines = done.stdout.splitlines()
	assert all(re.fullmatch(r"registry\.example/some/name:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", line) for line in lines), lines
	if tags:
		assert [line.split(":")[1] for line in lines] == tags
	else:
		assert len(lines) == 1
