"""What Prometheus would see and say of a server: its metrics, and the alerts that fire on them."""
import re
import subprocess

import pytest
import yaml

from harness.server import REPOSITORY

PROMTOOL = REPOSITORY / "scripts/promtool"
RULES = REPOSITORY / "packaging/prometheus/filemill.rules.yaml"
SAMPLE = re.compile(r'([a-z_:]+)(\{[^}]*\})? ([0-9.eE+-]+|\+Inf|NaN)')
MINUTES = 130 # longer than any alert waits


def metrics_text(server):
	r = server.get("/metrics")
	assert r.status_code == 200 and r.headers["Content-Type"].startswith("text/plain")
	return r.text


def metrics(server):
	values = {}
	for line in metrics_text(server).splitlines():
		if line and not line.startswith("#"):
			match = SAMPLE.fullmatch(line)
			assert match, line
			assert match[1] + (match[2] or "") not in values, f"twice: {line}"
			values[match[1] + (match[2] or "")] = float(match[3])
	return values


def promtool(*args, **more):
	r = subprocess.run([PROMTOOL, *map(str, args)], capture_output=True, text=True, timeout=120, **more)
	if r.returncode == 127:
		pytest.skip("promtool of the Debian package prometheus is not here")
	return r


def firing(folder, before, after, now):
	"""The alerts that fire on a server that counted from `before` to `after` ten minutes ago and whose gauges were all along as they are `after`; a counter that `before` does not have appears then.
	Times are moved so that `now` is when it is asked: promtool's clock starts at 0."""
	def values(name):
		old, new = before.get(name), after[name]
		counts = re.search(r"_(total|bucket|sum|count)(\{|$)", name)
		if name.endswith("_timestamp_seconds"):
			return f"{new - now + MINUTES * 60 if new else 0:.0f}x{MINUTES}"
		if not counts:
			return f"{new:.6f}x{MINUTES}"
		return f"{'_' if old is None else f'{old:.6f}'}x{MINUTES - 11} {new:.6f}x10"

	def series(name):
		return name[:-1] + ', job="filemill", instance="it"}' if name.endswith("}") else name + '{job="filemill", instance="it"}'

	test = {"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [{
		"interval": "1m",
		"input_series": [{"series": 'up{job="filemill", instance="it"}', "values": f"1x{MINUTES}"}] + [{"series": series(n), "values": values(n)} for n in after],
		"promql_expr_test": [{"expr": 'count by (alertname) (ALERTS{alertstate="firing"})', "eval_time": f"{MINUTES - 1}m", "exp_samples": [{"labels": '{alertname="none"}', "value": 1}]}]}]}
	path = folder / "seen.test.yaml"
	path.write_text(yaml.safe_dump(test))
	r = promtool("test", "rules", path)
	told = re.search(r"^\s*got:(.*)", r.stdout + r.stderr, re.M)
	assert told, r
	return set(re.findall(r'alertname="(\w+)"', told[1]))
