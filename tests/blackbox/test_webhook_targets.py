"""Row E17 with real names: webhooks whose names lead inside, in every way names can, on an island (harness/island.py) where a listener waits at each of the addresses and every
packet is counted. Not one may go where it must not."""
import ipaddress

import pytest

from harness import island


@pytest.fixture(scope="module")
def seen():
	argv = island.namespaces()
	if isinstance(argv, str):
		pytest.skip(argv)
	return island.explore(argv)


def last(seen, case):
	"""The attempts of the newest delivery."""
	deliveries = seen["deliveries"][case]
	return deliveries[0]["state"], deliveries[0]["attempts"][-1]


@pytest.mark.parametrize("name", ["public.test", "public6.test"])
def test_a_public_receiver_is_reached_by_its_name(seen, name):
	assert [d["state"] for d in seen["deliveries"][name]] == ["delivered", "delivered"], seen["deliveries"][name]
	address = island.NAMES[name][0][0]
	assert [address, f"{name}:{island.PORT}", "/"] in seen["received"]


@pytest.mark.parametrize("name", [n for n in island.NAMES if n not in island.REACHED])
def test_a_name_that_leads_inside_is_blocked(seen, name):
	state, attempt = last(seen, name)
	assert state == "failed" and attempt["status"] is None and attempt["error"].startswith("blocked: "), attempt
	# Who made the webhook learns what kind of address it is, and not which.
	for answer in island.NAMES[name]:
		assert not any(a in attempt["error"] for a in answer)
	assert not any(host == f"{name}:{island.PORT}" for _, host, _ in seen["received"])


@pytest.mark.parametrize("name", ["turning.test", "turning-home.test"])
def test_a_name_that_turns_inside_between_check_and_connection_is_reached_where_it_was_checked(seen, name):
	newest, oldest = seen["deliveries"][name]
	assert oldest["state"] == "delivered", oldest
	assert newest["state"] == "failed" and newest["attempts"][0]["error"].startswith("blocked: "), newest
	assert [r[0] for r in seen["received"] if r[1] == f"{name}:{island.PORT}"] == ["93.184.216.34"]
	# One question for each attempt: nobody asked again to connect.
	assert seen["asked"][name] == 2


@pytest.mark.parametrize("case", [path[1:] for path in island.REDIRECTS])
def test_a_redirect_inside_is_not_followed(seen, case):
	state, attempt = last(seen, case)
	assert state == "failed" and attempt["status"] == 307, attempt


def test_not_one_packet_went_inside(seen):
	inside = {ipaddress.ip_address(a) for a in island.INSIDE}
	loopback = {"127.0.0.1", "127.0.0.2", "::1"}
	for key, packets in seen["packets"].items():
		address, port = key.split()
		assert ipaddress.ip_address(address) not in inside, f"{packets} packets to {key}"
		assert not (address in loopback and int(port) == island.PORT), f"{packets} packets to {key}"
	assert {r[0] for r in seen["received"]} <= set(island.PUBLIC)
	# The ear would have heard them.
	assert all(seen["knocked"].values()), seen["knocked"]
	assert seen["packets"][f"93.184.216.34 {island.PORT}"] > 0


def test_the_log_tells_of_no_address_inside(seen):
	for address in island.INSIDE:
		assert address not in seen["log"]
