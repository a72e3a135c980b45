"""Azure's service SDK for Node, unmodified, on the registry of the embedded hub: identities and twins."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest

from support.enrolling import symmetric_individual
from support.node_client import NodeClient, NodeError
from support.raw_device import DpsDevice, HubDevice
from support.running_service import RunningService


@pytest.fixture(scope="module")
def node(service: RunningService) -> Iterator[NodeClient]:
    with NodeClient("registry", service) as client:
        yield client


@pytest.fixture
def registry(service: RunningService, node: NodeClient) -> Any:
    def call(method: str, *arguments: Any) -> Any:
        return node.call(
            "call",
            connectionString=service.info()["iotHubConnectionString"],
            method=method,
            arguments=list(arguments),
        )

    return call


def test_an_identity_from_create_to_delete(service: RunningService, registry: Any, name: str) -> None:
    made = registry("create", {"deviceId": name})
    assert made["authentication"]["type"] == "sas"
    key = made["authentication"]["symmetricKey"]["primaryKey"]
    with HubDevice(service, name, key=key) as device:
        assert device.code == 0
        assert registry("get", name)["connectionState"] == "Connected"
    with pytest.raises(NodeError) as taken:
        registry("create", {"deviceId": name})
    assert taken.value.members["name"] == "DeviceAlreadyExistsError"
    changed = registry("update", {**made, "status": "disabled", "statusReason": "lost"})
    assert (changed["status"], changed["statusReason"]) == ("disabled", "lost")
    assert changed["authentication"] == made["authentication"]
    with HubDevice(service, name, key=key) as device:
        assert device.code == 5
    registry("delete", name)
    with pytest.raises(NodeError) as gone:
        registry("get", name)
    assert gone.value.members["name"] == "DeviceNotFoundError"


def test_thumbprints(registry: Any, name: str) -> None:
    sha1, sha256 = hashlib.sha1(b"a").hexdigest(), hashlib.sha256(b"b").hexdigest()
    thumbprints = {"primaryThumbprint": sha1, "secondaryThumbprint": sha256}
    made = registry("create", {"deviceId": name, "authentication": {"x509Thumbprint": thumbprints}})
    assert made["authentication"]["type"] == "selfSigned"
    assert made["authentication"]["x509Thumbprint"] == {
        "primaryThumbprint": sha1.upper(),
        "secondaryThumbprint": sha256.upper(),
    }


def test_it_is_listed(registry: Any, name: str) -> None:
    registry("create", {"deviceId": name})
    assert name in [device["deviceId"] for device in registry("list")]
    statistics = registry("getRegistryStatistics")
    assert statistics["enabledDeviceCount"] >= 1


def test_a_twin(registry: Any, name: str) -> None:
    registry("create", {"deviceId": name})
    twin = registry("getTwin", name)
    assert twin["properties"]["desired"]["$version"] == 1
    changed = registry(
        "updateTwin", name, {"tags": {"floor": 5}, "properties": {"desired": {"on": True}}}, "*"
    )
    assert (changed["tags"], changed["properties"]["desired"]["on"]) == ({"floor": 5}, True)
    with pytest.raises(NodeError) as stale:
        registry("updateTwin", name, {"tags": {"floor": 6}}, twin["etag"])
    assert stale.value.members["name"] == "InvalidEtagError"
    removed = registry("updateTwin", name, {"tags": {"floor": None}}, changed["etag"])
    assert removed["tags"] == {}


def test_a_provisioned_device_is_there(service: RunningService, registry: Any, name: str) -> None:
    key = symmetric_individual(
        service, name, initialTwin={"tags": {"line": 3}, "properties": {"desired": {"n": 1}}}
    )
    with DpsDevice(service, name, key=key) as device:
        assert device.registers().state["status"] == "assigned"
    assert registry("get", name)["authentication"]["symmetricKey"]["primaryKey"] == key
    twin = registry("getTwin", name)
    assert (twin["tags"], twin["properties"]["desired"]["n"]) == ({"line": 3}, 1)
