"""Connection strings of hubs, and that none of one is repeated."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.domain.errors import Malformed
from accredit.domain.secret import Secret
from accredit.wire.hub_service.connection import HubConnection, is_host_name, read_connection

KEY = "c2VjcmV0IHNlY3JldCBzZWNyZXQ="
GOOD = f"HostName=hub.azure-devices.net;SharedAccessKeyName=iothubowner;SharedAccessKey={KEY}"


def test_as_the_portal_shows_it() -> None:
    read = read_connection(GOOD)
    assert read == HubConnection("hub.azure-devices.net", 443, "iothubowner", Secret(b"secret secret secret"))
    assert read.url == "https://hub.azure-devices.net"
    assert "c2Vj" not in repr(read)


@pytest.mark.parametrize(
    "text",
    [
        f"SharedAccessKey={KEY};HostName=hub.azure-devices.net;SharedAccessKeyName=iothubowner;",
        GOOD.replace("HostName", "hostname"),
        f"  {GOOD}\n",
    ],
)
def test_order_case_and_ends_do_not_matter(text: str) -> None:
    assert read_connection(text) == read_connection(GOOD)


def test_a_port() -> None:
    assert read_connection(GOOD.replace(".net;", ".net:8443;")).url == "https://hub.azure-devices.net:8443"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "part that is none of"),
        ("HostName=a", "no SharedAccessKeyName and no SharedAccessKey"),
        (GOOD.replace(KEY, ""), "no SharedAccessKey"),
        (GOOD.replace(KEY, "no base64!"), "no base64"),
        (GOOD + ";DeviceId=x", "part that is none of"),
        (GOOD + f";SharedAccessKey={KEY}", "twice"),
        (GOOD.replace("hub.", "hub.."), "no host name"),
        (GOOD.replace("hub.", "user@hub."), "no host name"),
        (GOOD.replace(".net;", ".net/x;"), "no host name"),
        (GOOD.replace(".net;", ".net:0;"), "port"),
        (GOOD.replace(".net;", ".net:70000;"), "port"),
        (GOOD.replace("iothubowner", "a b"), "name of a policy"),
        (GOOD + ";" * 2000, "more than 1024"),
    ],
)
def test_what_is_refused(text: str, what: str) -> None:
    with pytest.raises(Malformed, match=what) as refused:
        read_connection(text)
    assert refused.value.rule == "hub-connection-string"
    assert KEY not in refused.value.message + refused.value.evidence + refused.value.hint


@given(st.text(max_size=200) | st.text("HostName=;SharedAccessKey:/.", max_size=120))
def test_nothing_but_malformed_leaves_the_reading(text: str) -> None:
    try:
        read = read_connection(text)
    except Malformed:
        return
    assert is_host_name(read.host)


@pytest.mark.parametrize("name", ["a", "localhost", "Hub-1.example.net", "127.0.0.1", "::1", "fe80::1"])
def test_host_names(name: str) -> None:
    assert is_host_name(name)


@pytest.mark.parametrize(
    "name", ["", ".", "a.", "-a", "a b", "a/b", "a:80", "*.a", "é", "a" * 64, "x_y", "a" * 300]
)
def test_what_is_none(name: str) -> None:
    assert not is_host_name(name)
