"""Linked hub documents."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.domain.errors import Malformed
from accredit.domain.linked_hub import HubKind, LinkedHub
from accredit.domain.secret import Secret
from accredit.wire.service_api.linked_hubs import (
    LinkedHubSent,
    hub_name,
    linked_hub_document,
    read_linked_hub,
)
from support import pki

TEXT = "HostName=hub.example:8443;SharedAccessKeyName=dps;SharedAccessKey=c2VjcmV0"


def read(**members: Any) -> LinkedHubSent:
    return read_linked_hub(json.dumps(members).encode(), "Hub.example")


def test_the_least_that_may_be_sent() -> None:
    least = LinkedHubSent("Hub.example", None, None, 1, True, None)
    assert read() == read(connectionString="", location=None) == least
    assert read_linked_hub(b"", "Hub.example") == least


def test_everything() -> None:
    anchors = pki.root("R").pem
    sent = read(
        connectionString=TEXT,
        location="west",
        allocationWeight=7,
        applyAllocationPolicy=False,
        trustAnchors=anchors,
    )
    assert sent == LinkedHubSent("Hub.example", Secret(TEXT.encode()), "west", 7, False, anchors)
    assert "c2Vj" not in repr(sent)


@pytest.mark.parametrize(
    ("members", "rule"),
    [
        ({"connectionString": "HostName=hub.example"}, "hub-connection-string"),
        ({"connectionString": TEXT.replace("hub.", "other.")}, "hub-name"),
        ({"name": "other.example"}, "id-mismatch"),
        ({"hostName": "other.example"}, "id-mismatch"),
        ({"allocationWeight": 0}, "document-invalid"),
        ({"allocationWeight": 1001}, "document-invalid"),
        ({"location": "x" * 65}, "document-invalid"),
        ({"location": "a\u0007"}, "document-invalid"),
        ({"trustAnchors": "no PEM"}, "certificate-unreadable"),
        ({"trustAnchors": "".join(pki.root(str(n)).pem for n in range(11))}, "certificate-count"),
        ({"weight": 3}, "document-invalid"),
        ({"applyAllocationPolicy": "no"}, "document-invalid"),
    ],
)
def test_what_is_refused(members: dict[str, Any], rule: str) -> None:
    with pytest.raises(Malformed) as refused:
        read(**members)
    assert refused.value.rule == rule


@pytest.mark.parametrize("text", ["", "a b", "a/b", "hub.example:443"])
def test_what_no_hub_is_called(text: str) -> None:
    with pytest.raises(Malformed) as refused:
        hub_name(text)
    assert refused.value.rule == "hub-name"


@pytest.mark.parametrize("text", ["Hub.example", "127.0.0.1", "::1"])
def test_what_a_hub_is_called(text: str) -> None:
    assert hub_name(text) == text


def test_what_is_not_set_is_not_shown() -> None:
    shown = linked_hub_document(LinkedHub("hub.example", HubKind.EMBEDDED, "e", 1, 2))
    assert shown == {
        "name": "hub.example",
        "hostName": "hub.example",
        "kind": "embedded",
        "allocationWeight": 1,
        "applyAllocationPolicy": True,
        "etag": '"e"',
        "createdDateTimeUtc": "1970-01-01T00:00:01.0000000Z",
        "lastUpdatedDateTimeUtc": "1970-01-01T00:00:02.0000000Z",
    }


@given(st.binary(max_size=200))
def test_nothing_but_malformed_leaves_the_reading(body: bytes) -> None:
    with suppress(Malformed):
        read_linked_hub(body, "hub.example")


def test_what_is_shown_can_be_sent_back_and_has_no_secret() -> None:
    hub = LinkedHub(
        "Hub.example", HubKind.AZURE, "e", 1, 2, "west", 7, False, Secret(TEXT.encode()), pki.root("R").pem
    )
    shown = linked_hub_document(hub)
    assert "c2Vj" not in str(shown)
    sent = read_linked_hub(msgspec.json.encode(shown), "hub.example")
    assert (sent.weight, sent.location, sent.apply_allocation_policy) == (7, "west", False)
    assert (sent.trust_anchors, sent.connection_string) == (hub.trust_anchors, None)
