"""Identity documents: what is taken, what is shown, and both sides of one conversation."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.domain.device import DeviceData, HubDevice, HubIdentity
from accredit.domain.errors import Malformed
from accredit.domain.evidence import DeviceKeys
from accredit.domain.ids import DeviceId
from accredit.domain.secret import Secret
from accredit.values import replace
from accredit.wire.hub_service import devices
from accredit.wire.hub_service.devices import ChainSent, DeviceSent, KeysSent, ThumbprintsSent

LAMP = DeviceId("lamp-1")
KEYS = DeviceKeys(Secret(b"p" * 32), Secret(b"s" * 32))
KEY_TEXT = "cHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHA="
DEVICE = HubDevice(LAMP, None, "637553997165220462", "e1", 1, 2, keys=KEYS)


def read(**members: Any) -> DeviceSent:
    return devices.read_device(json.dumps(members).encode(), LAMP)


def test_the_least_that_may_be_sent() -> None:
    assert read() == DeviceSent(True, None, None, False)
    assert read(deviceId="lamp-1", status=None, capabilities=None) == read()


def test_what_azure_iothub_for_node_sends() -> None:
    """registry.js _normalizeAuthentication: empty texts where nothing was given."""
    sent = read(
        deviceId="lamp-1",
        status="disabled",
        statusReason="spare",
        authentication={"symmetricKey": {"primaryKey": "", "secondaryKey": ""}},
        capabilities={"iotEdge": True},
        generationId="1",
        connectionState="Connected",
        lastActivityTime="2026-01-01T00:00:00",
        deviceScope="",
        parentScopes=[],
    )
    assert sent == DeviceSent(False, "spare", KeysSent(None, None), True)


@pytest.mark.parametrize(
    ("authentication", "read_as"),
    [
        ({"type": "sas"}, KeysSent(None, None)),
        ({"type": "SAS", "symmetricKey": {"primaryKey": KEY_TEXT}}, KeysSent(Secret(b"p" * 32), None)),
        ({"x509Thumbprint": {"primaryThumbprint": "aB" * 20}}, ThumbprintsSent(b"\xab" * 20, None)),
        (
            {
                "type": "selfSigned",
                "x509Thumbprint": {"primaryThumbprint": "", "secondaryThumbprint": "01" * 32},
            },
            ThumbprintsSent(None, b"\x01" * 32),
        ),
        ({"type": "certificateAuthority", "symmetricKey": None}, ChainSent()),
        ({"symmetricKey": None, "x509Thumbprint": {"primaryThumbprint": None}}, KeysSent(None, None)),
    ],
)
def test_authentication(authentication: dict[str, Any], read_as: Any) -> None:
    assert read(authentication=authentication).authentication == read_as


@pytest.mark.parametrize(
    ("members", "rule"),
    [
        ({"deviceId": "Lamp-1"}, "id-mismatch"),
        ({"status": "asleep"}, "hub-identity-member"),
        ({"statusReason": "x" * 129}, "hub-identity-member"),
        ({"authentication": {"type": "none"}}, "hub-identity-member"),
        ({"authentication": {"type": "selfSigned"}}, "hub-identity-member"),
        ({"authentication": {"x509Thumbprint": {"primaryThumbprint": "ab"}}}, "certificate-thumbprint"),
        ({"authentication": {"symmetricKey": {"primaryKey": "short"}}}, "key-size"),
        ({"capabilities": {"iotEdge": "yes"}}, "document-invalid"),
        ({"authentication": []}, "document-invalid"),
    ],
)
def test_what_is_refused(members: dict[str, Any], rule: str) -> None:
    with pytest.raises(Malformed) as refused:
        read(**members)
    assert refused.value.rule == rule


@given(
    st.binary(max_size=300)
    | st.recursive(st.none() | st.text(), st.lists).map(lambda v: json.dumps(v).encode())
)
def test_nothing_but_malformed_leaves_the_reading(body: bytes) -> None:
    with contextlib.suppress(Malformed):
        devices.read_device(body, LAMP)


def test_an_identity_with_keys() -> None:
    shown = devices.device_document(DEVICE, connected=True)
    assert shown["authentication"] == {
        "symmetricKey": {"primaryKey": KEY_TEXT, "secondaryKey": "c3Nz" * 10 + "c3M="},
        "x509Thumbprint": {"primaryThumbprint": None, "secondaryThumbprint": None},
        "type": "sas",
    }
    assert (shown["deviceId"], shown["etag"], shown["status"], shown["connectionState"]) == (
        "lamp-1", "e1", "enabled", "Connected",
    )  # fmt: skip
    assert shown["capabilities"] == {"iotEdge": False}


def test_an_identity_with_thumbprints() -> None:
    device = replace(DEVICE, keys=None, secondary_thumbprint=b"\xab" * 20, enabled=False, status_reason="x")
    shown = devices.device_document(device, connected=False)
    assert shown["authentication"] == {
        "symmetricKey": {"primaryKey": None, "secondaryKey": None},
        "x509Thumbprint": {"primaryThumbprint": None, "secondaryThumbprint": "AB" * 20},
        "type": "selfSigned",
    }
    assert (shown["status"], shown["statusReason"], shown["connectionState"]) == (
        "disabled", "x", "Disconnected",
    )  # fmt: skip


def test_an_identity_with_neither() -> None:
    assert devices.authentication_type(replace(DEVICE, keys=None)) == "certificateAuthority"


@pytest.mark.parametrize(
    ("identity", "authentication"),
    [
        (HubIdentity(LAMP, KEYS, (), None), KeysSent(KEYS.primary, KEYS.secondary)),
        (HubIdentity(LAMP, None, (b"n" * 32,), None), ThumbprintsSent(b"n" * 32, None)),
        (HubIdentity(LAMP, KEYS, (b"n" * 32, b"o" * 32), None), ThumbprintsSent(b"n" * 32, b"o" * 32)),
    ],
)
def test_what_we_send_to_a_hub_is_what_our_own_reads(identity: HubIdentity, authentication: Any) -> None:
    body = msgspec.json.encode(devices.identity_document(identity, None))
    assert devices.read_device(body, LAMP) == DeviceSent(True, None, authentication, False)


def test_what_is_not_said_to_change_is_kept() -> None:
    text = msgspec.json.encode(
        devices.device_document(
            replace(DEVICE, enabled=False, status_reason="lost", data=DeviceData(iot_edge=True)),
            connected=False,
        )
    )
    present = msgspec.json.decode(text, type=devices.PresentDevice)
    kept = devices.identity_document(HubIdentity(LAMP, KEYS, (), None), present)
    assert (kept["status"], kept["statusReason"], kept["etag"]) == ("disabled", "lost", "e1")
    assert kept["capabilities"] == {"iotEdge": True}
    given = devices.identity_document(HubIdentity(LAMP, KEYS, (), DeviceData()), present)
    assert given["capabilities"] == {"iotEdge": False}


def test_an_identity_without_credentials_is_a_defect() -> None:
    with pytest.raises(ValueError, match="keys or a thumbprint"):
        devices.identity_document(HubIdentity(LAMP, None, (), None), None)
