"""Register calls that can't be accepted, on every wire that takes them: the same refusal on each, and the next call works.

A wire joins by a row in `WIRES`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from accredit.wire import topics
from support.amqp_device import AmqpDevice
from support.channels import AMQP_CHANNELS, MQTT_CHANNELS, Open
from support.enrolling import issuing, symmetric_individual
from support.needs_amqp import amqp_engine
from support.raw_device import DpsDevice, sas_token
from support.running_service import RunningService

VERSION = "2021-11-01-preview"


@dataclass(frozen=True)
class Told:
    status: int
    document: dict[str, Any]


Call = Callable[[RunningService, str, str, bytes, str], Told]
"""(service, registration id, key, body, api-version) -> the answer to one register call; "" leaves the version out."""


def over_mqtt(channel: Open) -> Call:
    def call(service: RunningService, name: str, key: str, body: bytes, version: str) -> Told:
        with DpsDevice(service, name, key=key, api_version=version or None, over=channel) as device:
            answer = device.asks(topics.Register("1"), body)
            # The connection is as good as before: the next call on it is answered by itself.
            assert device.asks(topics.Register("2"), body).status == answer.status
        return Told(answer.status, answer.document)

    return call


def over_https(service: RunningService, name: str, key: str, body: bytes, version: str) -> Told:
    path = f"/{service.id_scope}/registrations/{name}/register"
    token = sas_token(f"{service.id_scope}/registrations/{name}", key)
    query = {"api-version": version} if version else {}
    with service.https(headers={"Authorization": token}) as http:
        answer: httpx.Response = http.put(path, params=query, content=body)
        assert answer.headers["content-type"].startswith("application/json")
    return Told(answer.status_code, answer.json())


def over_amqp(channel: Open) -> Call:
    def call(service: RunningService, name: str, key: str, body: bytes, version: str) -> Told:
        amqp_engine()
        with AmqpDevice(service, name, key=key, api_version=version or None, over=channel) as device:
            answer = device.registers(body)
            # The link is as good as before.
            assert device.registers(body).status == answer.status
        return Told(answer.status, answer.document)

    return call


WIRES: dict[str, Call] = (
    {name: over_mqtt(channel) for name, channel in MQTT_CHANNELS.items()}
    | {name: over_amqp(channel) for name, channel in AMQP_CHANNELS.items()}
    | {"https": over_https}
)

each_wire = pytest.mark.parametrize("call", WIRES.values(), ids=WIRES.keys())

BODIES = {
    "an array": b"[]",
    "text": b'"x"',
    "half an object": b"{",
    "two objects": b"{}{}",
    "not UTF-8": b"\xff",
    "not UTF-8 inside": b'{"payload": "\xff"}',
    "a number for an id": b'{"registrationId": 7}',
    "another id": b'{"registrationId": "another"}',
    "deep nesting": b'{"payload": ' + b"[" * 90_000,
    "a number for a CSR": b'{"clientCertificateCsr": 7}',
    "a CSR that is none": b'{"clientCertificateCsr": "nonsense"}',
    "an empty CSR": b'{"csr": ""}',
    "two CSRs": b'{"csr": "MII=", "clientCertificateCsr": "MII="}',
    "a CSR of 20 KiB": json.dumps({"csr": "A" * 20_480}).encode(),
    "a number for a CSR in the payload": b'{"payload": {"clientCertificateCsr": 7}}',
}


@each_wire
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_a_body_that_is_none_is_answered(service: RunningService, name: str, call: Call, body: bytes) -> None:
    key = symmetric_individual(service, name, **issuing())
    told = call(service, name, key, body, VERSION)
    assert (told.status, told.document["errorCode"] // 1000) == (400, 400)
    assert told.document["trackingId"]
    assert told.document["message"]
    assert call(service, name, key, b"{}", VERSION).status == 200


@each_wire
@pytest.mark.parametrize(
    "body",
    [b"", b" ", b"{}", b'{"registrationId":null,"payload":null}', b'{"new": [1], "payload": {"x": 1e400}}'],
    ids=["nothing", "a space", "an empty object", "nulls", "unknown members"],
)
def test_a_body_that_says_little_is_a_registration(
    service: RunningService, name: str, call: Call, body: bytes
) -> None:
    assert call(service, name, symmetric_individual(service, name), body, VERSION).status == 200


@each_wire
@pytest.mark.parametrize("version", ["", "2019-03-32", "latest", "2021-11-01-PREVIEW"])
def test_an_api_version_that_is_none_is_answered(
    service: RunningService, name: str, call: Call, version: str
) -> None:
    told = call(service, name, symmetric_individual(service, name), b"", version)
    assert (told.status, told.document["errorCode"] // 1000) == (400, 400)


@each_wire
def test_a_wrong_key_is_401(service: RunningService, name: str, call: Call) -> None:
    symmetric_individual(service, name)
    told = call(service, name, "AAAA", b"", VERSION)
    assert (told.status, told.document["errorCode"]) == (401, 401002)


USER_NAMES = {
    "behind a question mark": "{scope}/registrations/{name}/?api-version={version}&ClientVersion=a%2Fb",
    "other case": "{scope}/registrations/{name}/API-VERSION={version}&clientversion=x",
    "other order": "{scope}/registrations/{name}/ClientVersion=1.15.0&api-version={version}",
    "an agent with odd characters": "{scope}/registrations/{name}/api-version={version}&ClientVersion=C 1.0 (x;y)",
    "an unknown parameter": "{scope}/registrations/{name}/api-version={version}&x=y&",
}


@pytest.mark.parametrize("over", MQTT_CHANNELS.values(), ids=MQTT_CHANNELS.keys())
@pytest.mark.parametrize("user_name", USER_NAMES.values(), ids=USER_NAMES.keys())
def test_user_names_of_every_form(service: RunningService, name: str, over: Open, user_name: str) -> None:
    key = symmetric_individual(service, name)
    filled = user_name.format(scope=service.id_scope, name=name, version=VERSION)
    with DpsDevice(service, name, key=key, user_name=filled, over=over) as device:
        assert device.registers().status == 200
