"""Limits that several nodes of one catalogue keep together."""
import pytest

from harness.nodes import QUICK, Database, installed
from harness.postgres import Postgres
from harness.server import Server, eventually

pytestmark = pytest.mark.skipif(not installed(), reason="postgresql is not installed")

QUOTA = 200


@pytest.fixture
def fronts(folder):
	cluster = Postgres()
	url = Database(cluster, "limits").url
	settings = {"catalog.url": url, "limits.exempt": "", "limits.address": f"{QUOTA}/1h", **QUICK}
	with Server(folder / "a", settings=settings) as a, Server(folder / "b", settings=settings) as b:
		yield a, b
	cluster.close()


def test_requests_count_on_every_node(fronts):
	a, b = fronts
	answers = [a.get("/v1/ops").status_code for _ in range(QUOTA + 1)]
	assert answers == [200] * QUOTA + [429]
	let_through = []

	def refused():
		r = b.get("/v1/ops")
		let_through.append(r.status_code == 200)
		return r.status_code == 429
	eventually(refused, pause=0.25)
	assert sum(let_through) < QUOTA, "only what came here was counted"
