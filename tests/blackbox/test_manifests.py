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


ONE, FRONT, WORKER, PROXY = ("filemill", "StatefulSet"), ("many/fronts", "StatefulSet"), ("many/workers", "Deployment"), ("proxy/proxy", "Deployment")
PODS = [ONE, FRONT, WORKER, PROXY]


def compose(name="compose"):
	return yaml.safe_load((PACKAGING / f"compose/{name}.yaml").read_text())["services"]


def services():
	"""Of both Compose files, those of the program first."""
	one, many = compose(), compose("many")
	nodes = {name: s for name, s in {**one, **many}.items() if s.get("command", [""])[0] in ("serve", "work")}
	assert len(nodes) == 6
	return nodes, {name: s for name, s in [*one.items(), *many.items()] if name not in nodes}


def seconds(text):
	return int(text[:-1]) * {"s": 1, "m": 60}[text[-1]]


def option(name):
	return {o["name"]: o for o in json.loads(run("describe", "options").stdout)}[name]


def test_the_container_sets_options_that_there_are():
	known = {o["environment"] for o in json.loads(run("describe", "options").stdout)}
	named = set(re.findall(r"\bFILEMILL_[A-Z_]+", CONTAINERFILE))
	assert len(named) >= 2 and named <= known


def test_all_mean_the_same_user():
	assert set(re.findall(r"--[ug]id (\d+)", CONTAINERFILE)) == {str(USER)} and f"\nUSER {USER}:{USER}\n" in CONTAINERFILE
	assert {s["user"] for s in services()[0].values()} == {f"{USER}:{USER}"}
	for place in (ONE, FRONT, WORKER):
		context = pod(*place)["securityContext"]
		assert [context[k] for k in ("runAsUser", "runAsGroup", "fsGroup")] == [USER] * 3


def test_nothing_can_be_written_but_volumes_and_nothing_gained():
	for spec in (pod(*place) for place in PODS):
		assert spec["securityContext"]["runAsNonRoot"] is True and spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
		assert spec["automountServiceAccountToken"] is False
		for c in spec["containers"] + spec.get("initContainers", []):
			s = c["securityContext"]
			assert (s["allowPrivilegeEscalation"], s["readOnlyRootFilesystem"], s["capabilities"]) == (False, True, {"drop": ["ALL"]}), c["name"]
	for found in services():
		for name, service in found.items():
			assert service["read_only"] is True and service["cap_drop"] == ["ALL"] and service["security_opt"] == ["no-new-privileges:true"], name


def test_what_asks_after_its_health_asks_what_it_answers(server):
	paths = set(re.findall(r"http://127\.0\.0\.1:8080(/\w+)", CONTAINERFILE))
	for place in (ONE, FRONT, WORKER):
		spec = pod(*place)["containers"][0]
		paths |= {spec[probe]["httpGet"]["path"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")}
	assert paths == {"/readyz", "/healthz"}
	assert [server.get(p).status_code for p in sorted(paths)] == [200, 200]


def test_every_place_leaves_a_node_time_to_stop():
	assert "\nSTOPSIGNAL SIGTERM\n" in CONTAINERFILE
	longer = seconds(option("node.drain")["default"]) + 15
	assert pod(*ONE)["terminationGracePeriodSeconds"] >= 15 and pod(*FRONT)["terminationGracePeriodSeconds"] >= 15
	assert pod(*WORKER)["terminationGracePeriodSeconds"] >= longer
	for name, service in services()[0].items():
		assert seconds(service["stop_grace_period"]) >= (longer if service["command"][0] == "work" else 15), name


def test_volumes_that_are_mounted_are_there():
	for place in PODS:
		spec = pod(*place)
		there = {v["name"] for v in spec["volumes"]} | {c["metadata"]["name"] for c in objects(place[0])[place[1]]["spec"].get("volumeClaimTemplates", [])}
		assert {m["name"] for c in spec["containers"] + spec.get("initContainers", []) for m in c["volumeMounts"]} == there
	for name in ("compose", "many"):
		said = yaml.safe_load((PACKAGING / f"compose/{name}.yaml").read_text())
		used = {v.split(":")[0] for s in said["services"].values() for v in s.get("volumes", []) if not v.startswith(".")}
		assert used == set(said["volumes"])


def test_many_nodes_have_one_configuration_and_each_worker_a_place_of_its_own():
	nodes = {name: s for name, s in compose("many").items() if s.get("command", [""])[0] in ("serve", "work")}
	assert [s["command"][0] for s in nodes.values()] == ["serve"] * 2 + ["work"] * 3
	assert len({tuple(s["command"][1:]) for s in nodes.values()}) == 1
	places = {name: [v for v in s["volumes"] if v.endswith(":/data")] for name, s in nodes.items()}
	assert len({tuple(places[w]) for w in nodes if w.startswith("worker")}) == 3 and places["front1"] == places["front2"]
	front, worker = objects("many/fronts")["StatefulSet"], objects("many/workers")["Deployment"]
	assert (front["spec"]["replicas"], worker["spec"]["replicas"]) == (2, 3)
	# What a front's volume holds outlives the pod, what a worker's holds does not.
	assert [c["metadata"]["name"] for c in front["spec"]["volumeClaimTemplates"]] == ["data"]
	assert "emptyDir" in {v["name"]: v for v in pod(*WORKER)["volumes"]}["data"]
	args = [pod(*place)["containers"][0]["args"] for place in (FRONT, WORKER)]
	assert [a[0] for a in args] == ["serve", "work"] and args[0][1:] == args[1][1:]


def test_a_configuration_with_keys_in_it_is_a_secret():
	said = yaml.safe_load((PACKAGING / "kubernetes/many/kustomization.yaml").read_text())
	assert {n["name"] for n in said["secretGenerator"]} == {"filemill", "first-account", "tls"} and [n["name"] for n in said["configMapGenerator"]] == ["proxy"]
	for place in (FRONT, WORKER):
		assert {v["name"]: v for v in pod(*place)["volumes"]}["config"]["secret"]["secretName"] == "filemill"


def test_disruptions_and_network_rules_name_pods_that_there_are():
	labels = {objects(name)[kind]["spec"]["template"]["metadata"]["labels"]["app"] for name, kind in (FRONT, WORKER, PROXY)}
	selected = set()
	for name in ("disruption", "network"):
		for o in yaml.safe_load_all((PACKAGING / f"kubernetes/many/{name}.yaml").read_text()):
			selector = o["spec"].get("selector") or o["spec"]["podSelector"]
			named = {selector["matchLabels"]["app"]} if "matchLabels" in selector else set(selector["matchExpressions"][0]["values"])
			assert named <= labels, o["metadata"]
			selected |= {(name, app) for app in named}
	assert selected == {("disruption", app) for app in labels} | {("network", app) for app in labels - {"proxy"}}


def test_a_proxy_of_compose_has_the_address_that_is_believed_and_fronts_have_theirs():
	many = compose("many")
	fixed = {name: s["networks"]["inside"]["ipv4_address"] for name, s in many.items() if s["networks"]["inside"]}
	assert set(fixed) == {"front1", "front2", "haproxy", "nginx"} and fixed["haproxy"] == fixed["nginx"]
	guide = (REPOSITORY / "docs/deployment.md").read_text()
	assert f"--proxy {fixed['haproxy']} --fronts {fixed['front1']}:8080,{fixed['front2']}:8080" in guide
	names = [f"front-{n}.fronts.filemill.svc.cluster.local:8080" for n in (0, 1)]
	assert f"--fronts {','.join(names)}" in guide and objects("many/fronts")["Service"]["metadata"]["name"] == "fronts"


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
