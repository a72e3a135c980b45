"""Three nodes of one service, as devices and operators meet them while nodes, PostgreSQL, NATS and the ways between them go."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from support import nats_server
from support.at_nodes import ENDS_WITHIN_S, ends, registers, registers_without_csr, signed_once, until, works
from support.cable import Cable, cable
from support.device_key import DeviceKey
from support.digicert_process import DigiCertProcess
from support.enrolling import issuing, symmetric_individual
from support.nats_server import NatsServer
from support.nodes import Nodes
from support.postgres_server import PostgresServer
from support.raw_device import HubDevice
from support.running_service import RunningService


class Place:
    """The nodes, and what they stand on. The second one's way to the database can be cut."""

    def __init__(
        self, nodes: list[RunningService], nats: NatsServer, wire: Cable, ca: DigiCertProcess
    ) -> None:
        self.nodes, self.nats, self.wire, self.ca = nodes, nats, wire, ca


@pytest.fixture(scope="module")
def place(
    tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer, digicert: DigiCertProcess
) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("nodes")
    url = postgres.emptied()
    settings = {"ACCREDIT_DIGICERT_URL": digicert.url, "ACCREDIT_PATIENCE_MS": "400"}
    with nats_server.running(tmp_path_factory.mktemp("nats")) as nats, cable(postgres.port) as wire:
        cut = {1: url.replace(f":{postgres.port}/", f":{wire.port}/")}
        with Nodes(folder, url, nats.url, 3, settings, cut).running() as nodes:
            nodes[0].put("/certificateAuthorities/myca1", digicert.authority)
            yield Place(nodes, nats, wire, digicert)
        for node in nodes:
            assert "Traceback" not in node.log_text()


@pytest.fixture
def held(place: Place) -> Iterator[DigiCertProcess]:
    """The CA, which acts and keeps its answers until it is told to give them."""
    place.ca.hold()
    yield place.ca
    place.ca.answer()


def test_what_one_node_is_told_every_node_knows(place: Place, key: DeviceKey) -> None:
    for number, node in enumerate(place.nodes):
        secret = symmetric_individual(node, f"{key.registration_id}-{number}", **issuing())
        told = DeviceKey(f"{key.registration_id}-{number}", key.file.parent)
        answers = [registers(other, told, secret) for other in place.nodes]
        assert [answer.document["status"] for answer in answers] == ["assigned"] * 3
        # The same certificate comes from whichever node: the built-in CA, its keys and the record are shared.
        assert len({answer.state["issuedClientCertificate"] for answer in answers}) == 1
    assert len({node.id_scope for node in place.nodes}) == 1
    assert len({node.trust for node in place.nodes}) == 1


def test_an_operation_is_polled_at_another_node(place: Place, held: DigiCertProcess, key: DeviceKey) -> None:
    first, second, third = place.nodes
    secret = symmetric_individual(first, key.registration_id, **issuing("myca1"))
    begun = registers(first, key, secret)
    assert begun.status == 202
    joined = registers(second, key, secret)
    assert joined.document["operationId"] == begun.document["operationId"]
    held.answer()
    answer = ends(third, key, secret, begun.document["operationId"])
    signed_once(place.ca, place.nodes[2], key, answer)


def test_a_node_that_is_killed_in_the_middle_is_followed_by_another(
    place: Place, held: DigiCertProcess, key: DeviceKey
) -> None:
    first, second, _ = place.nodes
    secret = symmetric_individual(first, key.registration_id, **issuing("myca1"))
    begun = registers(first, key, secret)
    assert begun.status == 202
    until(lambda: held.signed(key.registration_id))
    first.kill()
    held.answer()
    try:
        answer = ends(second, key, secret, begun.document["operationId"])
    finally:
        first.start()
    signed_once(place.ca, place.nodes[2], key, answer)


def test_a_node_that_can_t_reach_the_database_is_followed_by_another(
    place: Place, held: DigiCertProcess, key: DeviceKey
) -> None:
    """By a forwarder, which any machine has; `test_partition.py` has a network that loses packets."""
    _, second, third = place.nodes
    secret = symmetric_individual(second, key.registration_id, **issuing("myca1"))
    begun = registers(second, key, secret)
    assert begun.status == 202
    until(lambda: held.signed(key.registration_id))
    place.wire.cut()
    try:
        until(lambda: not works(second))
        held.answer()
        answer = ends(third, key, secret, begun.document["operationId"])
    finally:
        place.wire.join()
    until(lambda: works(second))
    signed_once(place.ca, place.nodes[2], key, answer)
    assert ends(second, key, secret, begun.document["operationId"]).document["status"] == "assigned"


def test_postgresql_goes_and_comes_while_an_order_is_under_way(
    place: Place, postgres: PostgresServer, held: DigiCertProcess, key: DeviceKey
) -> None:
    secret = symmetric_individual(place.nodes[0], key.registration_id, **issuing("myca1"))
    begun = registers(place.nodes[0], key, secret)
    until(lambda: held.signed(key.registration_id))
    postgres.kill()
    held.answer()
    postgres.start()
    until(lambda: all(works(node) for node in place.nodes))
    signed_once(
        place.ca, place.nodes[2], key, ends(place.nodes[1], key, secret, begun.document["operationId"])
    )


def test_a_device_is_connected_to_one_node_at_a_time_and_cut_at_whichever(
    place: Place, key: DeviceKey
) -> None:
    first, second, third = place.nodes
    secret = symmetric_individual(first, key.registration_id)
    assert registers_without_csr(first, key, secret).status == 200
    with HubDevice(first, key.registration_id, key=secret) as here:
        here.sends(b"to the first")
        with HubDevice(second, key.registration_id, key=secret) as there:
            assert here.is_closed()
            there.sends(b"to the second")
            bodies = [row["body"] for row in third.telemetry(key.registration_id)]
            assert bodies == ["to the first", "to the second"]
            third.client().call(
                "POST", f"/registrations/{key.registration_id}/revoke", {"reason": "keyCompromise"}
            )
            assert there.is_closed()
    with HubDevice(first, key.registration_id, key=secret) as refused:
        assert refused.code != 0


def test_nats_goes_and_comes_and_nothing_acknowledged_is_lost(place: Place, key: DeviceKey) -> None:
    first, second, third = place.nodes
    secret = symmetric_individual(first, key.registration_id)
    assert registers_without_csr(first, key, secret).status == 200
    with HubDevice(first, key.registration_id, key=secret) as device:
        device.sends(b"before")
        place.nats.kill()
        try:
            # Provisioning needs no bus, and a device is cut without one.
            assert registers_without_csr(second, key, secret).status == 200
            third.client().call(
                "POST", f"/registrations/{key.registration_id}/revoke", {"reason": "keyCompromise"}
            )
            assert device.is_closed()
        finally:
            place.nats.start()
    kept = [row["body"] for row in _told(third, key.registration_id)]
    assert kept == ["before"]


def _told(node: RunningService, device_id: str) -> list[dict[str, str]]:
    """The telemetry, as soon as the node is connected to NATS again."""
    deadline = time.monotonic() + ENDS_WITHIN_S
    while True:
        try:
            return node.telemetry(device_id)
        except Exception:
            assert time.monotonic() < deadline
            time.sleep(0.1)
