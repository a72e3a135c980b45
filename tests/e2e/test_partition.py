"""A node in a network of its own (`support/network.py`), which loses every packet to and from the database, or NATS.

Nothing is reset and nothing refused: connections hang, and whoever waits for an answer has to give up by himself. Every
client here has a patience of half a minute or so, and fails where nobody answers it.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import httpx
import pytest

from support import nats_server, postgres_server
from support.at_nodes import ends, registers, registers_without_csr, signed_once, until, works
from support.cable import cable
from support.device_key import DeviceKey
from support.digicert_process import DigiCertProcess
from support.enrolling import issuing, symmetric_individual
from support.network import Network, network
from support.nodes import Nodes
from support.postgres_server import PostgresServer
from support.raw_device import Answer, DpsDevice, HubDevice, sas_token
from support.running_service import RunningService

CONNECTIONS = 3
"""Of each node."""


class Place:
    """Two nodes: `here`, and `apart` in the network whose way to `database` and `bus` can be parted."""

    def __init__(self, nodes: list[RunningService], apart: Network, postgres: PostgresServer) -> None:
        self.here, self.apart = nodes
        self.network, self.postgres = apart, postgres
        self.database, self.bus = apart.servers


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, digicert: DigiCertProcess) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("nodes")
    settings = {"ACCREDIT_DIGICERT_URL": digicert.url, "ACCREDIT_PATIENCE_MS": "400"}
    ca_port = httpx.URL(digicert.url).port
    assert ca_port is not None
    with (
        network() as apart,
        postgres_server.running(apart.servers[0]) as postgres,
        nats_server.running(tmp_path_factory.mktemp("nats"), apart.servers[1]) as nats,
        # The CA is reached whatever is parted.
        cable(ca_port, apart.listening(ca_port)),
    ):
        with Nodes(folder, postgres.url(), nats.url, 2, settings, networks={1: apart}).running() as nodes:
            nodes[0].put("/certificateAuthorities/myca1", digicert.authority)
            processes = [node.process for node in nodes]
            yield Place(nodes, apart, postgres)
            assert [node.process for node in nodes] == processes, "no node was started anew"
        for node in nodes:
            assert "Traceback" not in node.log_text()


@pytest.fixture
def held(digicert: DigiCertProcess) -> Iterator[DigiCertProcess]:
    """The CA, which acts and keeps its answers until it is told to give them."""
    digicert.hold()
    yield digicert
    digicert.answer()


@contextmanager
def commits_wait(place: Place) -> Iterator[None]:
    """For a standby that is nobody's, as far as their answers go."""
    name = "ALTER SYSTEM SET synchronous_standby_names = '{}'"
    place.postgres.execute(name.format("nobody"), "SELECT pg_reload_conf()")
    try:
        yield
    finally:
        place.postgres.execute(name.format(""), "SELECT pg_reload_conf()")


def asks_by_https(node: RunningService, registration_id: str, secret: str) -> httpx.Response:
    path = f"/{node.id_scope}/registrations/{registration_id}"
    with node.https(headers={"Authorization": sas_token(path[1:], secret)}) as http:
        return http.put(
            f"{path}/register?api-version=2021-11-01-preview", json={"registrationId": registration_id}
        )


def of(network: Network) -> str:
    """Which of the database's connections are the node's."""
    return f"client_addr = '{network.address}'"


def told_to_come_back(answer: Answer) -> bool:
    return answer.status == 503 and answer.retry_after_s is not None


def test_a_node_that_the_database_is_lost_to_is_followed_by_another(
    place: Place, held: DigiCertProcess, key: DeviceKey
) -> None:
    here, apart = place.here, place.apart
    secret = symmetric_individual(here, key.registration_id, **issuing("myca1"))
    other = DeviceKey(f"{key.registration_id}-2", key.file.parent)
    others = symmetric_individual(here, other.registration_id, **issuing())
    begun = registers(apart, key, secret)
    assert begun.status == 202
    until(lambda: held.signed(key.registration_id))
    with DpsDevice(apart, other.registration_id, key=others) as device:
        assert device.registers().status == 200
        with place.network.parted(place.database):
            # Who is connected and asks before the node knows, and who comes when it does.
            assert told_to_come_back(device.registers())
            until(lambda: not works(apart))
            late = asks_by_https(apart, other.registration_id, others)
            assert (late.status_code, late.headers["retry-after"].isdigit()) == (503, True)
            with HubDevice(apart, other.registration_id, key=others) as refused:
                assert refused.code == 3, "server unavailable"
            held.answer()
            answer = ends(here, key, secret, begun.document["operationId"])
        until(lambda: works(apart))
        assert device.registers().status == 200, "on the connection that it has"
    signed_once(held, here, key, answer)
    assert ends(apart, key, secret, begun.document["operationId"]).document["status"] == "assigned"
    # What the server had of the node before is missed, and ended, by the server.
    count = f"SELECT COUNT(*) FROM pg_stat_activity WHERE {of(place.network)}"  # noqa: S608 - ours
    until(lambda: place.postgres.execute(count) == [(CONNECTIONS,)])


def test_a_device_whose_commit_is_on_its_way_when_the_database_is_lost_hears_of_it(
    place: Place, key: DeviceKey
) -> None:
    """The node can't know that it came to pass, and says so; the device's next call finds what did."""
    apart = place.apart
    secret = symmetric_individual(place.here, key.registration_id, **issuing())
    waits = f"SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND {of(place.network)}"  # noqa: S608 - ours
    with ThreadPoolExecutor() as devices, ExitStack() as way:
        with commits_wait(place):
            first = devices.submit(registers, apart, key, secret)
            until(lambda: place.postgres.execute(waits))
            way.enter_context(place.network.parted(place.database))
        assert told_to_come_back(first.result())
    until(lambda: works(apart))
    apart.logs("commit-settled")
    assert registers(apart, key, secret).status == 200
    (_,) = place.here.certificates(key.registration_id)


def test_a_node_that_nats_is_lost_to_keeps_what_it_acknowledges(place: Place, key: DeviceKey) -> None:
    here, apart = place.here, place.apart
    secret = symmetric_individual(here, key.registration_id)
    assert registers_without_csr(apart, key, secret).status == 200
    with HubDevice(apart, key.registration_id, key=secret) as device:
        device.sends(b"before")
        with place.network.parted(place.bus):
            # The connection ends, instead of an acknowledgement.
            with pytest.raises(AssertionError):
                device.sends(b"during")
            assert works(apart)
            assert registers_without_csr(apart, key, secret).status == 200
            apart.logs("bus-lost")
        apart.logs("bus-back")
    with HubDevice(apart, key.registration_id, key=secret) as device:
        device.sends(b"during")
        device.sends(b"after")
    bodies = [row["body"] for row in here.telemetry(key.registration_id)]
    assert list(dict.fromkeys(bodies)) == ["before", "during", "after"], "each at least once"
