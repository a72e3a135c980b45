"""Link addresses and PLAIN users as the SDKs write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.wire.amqp_addresses import (
    CBS,
    Address,
    Device,
    HubUser,
    Purpose,
    Registration,
    Token,
    format_address,
    format_user,
    parse,
    parse_user,
)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("0ne1/registrations/dev-1", Registration("0ne1", "dev-1")),
        ("/0ne1/Registrations/dev-1", Registration("0ne1", "dev-1")),
        # C: the whole URI (prov_transport_amqp_common.c, AMQP_ADDRESS_FMT).
        ("amqps://localhost/0ne1/registrations/dev-1", Registration("0ne1", "dev-1")),
        ("/devices/lamp-1/messages/events", Device("lamp-1", Purpose.EVENTS)),
        # C#: an absolute URI with encoded ids, and its own spelling (AmqpIotSession.cs).
        ("amqps://hub.example/devices/a%3Ab/messages/deviceBound", Device("a:b", Purpose.DEVICE_BOUND)),
        ("/devices/lamp-1/methods/deviceBound", Device("lamp-1", Purpose.METHODS)),
        ("/DEVICES/lamp-1/twin/", Device("lamp-1", Purpose.TWIN)),
        ("/devices/e/modules/m%201/messages/events", Device("e", Purpose.EVENTS, "m 1")),
        ("$cbs", Token()),
        ("amqps://hub.example/$cbs", Token()),
        ("/messages/events/ConsumerGroups/x/Partitions/0", None),
        ("", None),
        ("/devices//messages/events", None),
        ("/devices/x/modules//messages/events", None),
        ("/devices/x", None),
        ("0ne1/registrations/", None),
        ("%ff/registrations/x", None),
        ("/devices/%ff/twin", None),
        ("/devices/x/files", None),
        ("/devices/" + "x" * 3000 + "/twin", None),
    ],
)
def test_addresses_as_the_sdks_write_them(text: str, address: Address | None) -> None:
    assert parse(text) == address


_IDS = st.text(st.characters(blacklist_categories=("Cs",)), min_size=1, max_size=40)


@given(
    st.one_of(
        st.builds(Registration, _IDS, _IDS),
        st.builds(Device, _IDS, st.sampled_from(Purpose), st.none() | _IDS),
        st.just(Token()),
    )
)
def test_format_and_parse_are_inverse(address: Address) -> None:
    assert parse(format_address(address)) == address


@given(st.text(max_size=200))
def test_any_text_is_an_address_or_none(text: str) -> None:
    parse(text)
    parse_user(text)


@pytest.mark.parametrize(
    ("user", "whom"),
    [
        ("0ne1/registrations/dev-1", Registration("0ne1", "dev-1")),
        ("lamp-1@sas.hub", HubUser("lamp-1", "hub", service=False)),
        ("a@b@sas.hub", HubUser("a@b", "hub", service=False)),
        ("iothubowner@sas.root.hub", HubUser("iothubowner", "hub", service=True)),
        ("lamp-1", None),
        ("@sas.hub", None),
        ("lamp-1@sas.", None),
        ("0ne1/registrations", None),
        ("0ne1/registrations/", None),
        ("x" * 3000, None),
    ],
)
def test_users_as_the_sdks_write_them(user: str, whom: Registration | HubUser | None) -> None:
    assert parse_user(user) == whom
    if whom is not None:
        assert format_user(whom) == user


def test_the_token_node_is_named_as_it_is() -> None:
    assert format_address(Token()) == CBS
