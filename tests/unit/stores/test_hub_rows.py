"""Rows of hubs give back what went in, and hold nothing secret that can be read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.domain.device import DeviceData, HubDevice, TwinVersions
from accredit.domain.evidence import DeviceKeys
from accredit.domain.ids import DeviceId, RegistrationId
from accredit.domain.linked_hub import FIRST_HUB, HubKind, LinkedHub
from accredit.domain.secret import Secret
from accredit.seal import Sealer, SealError
from accredit.stores import hub_rows
from accredit.stores import hub_statements as sql
from support import stored_values as some

SEALER = Sealer([Secret(b"k" * 32)])

ids = st.from_regex(r"[A-Za-z0-9\-._:]{0,127}[A-Za-z0-9\-]", fullmatch=True)
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
instants = st.integers(0, 2**62)
secrets = st.binary(min_size=8, max_size=64).map(Secret)
documents = st.dictionaries(
    texts, st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | texts | st.lists(texts), max_size=4
)
devices = st.builds(
    HubDevice,
    device_id=ids.map(DeviceId),
    registration_id=st.none() | ids.map(RegistrationId.parse),
    generation_id=texts,
    etag=texts,
    created_at=instants,
    updated_at=instants,
    enabled=st.booleans(),
    keys=st.none() | st.builds(DeviceKeys, secrets, secrets),
    thumbprint=st.none() | st.binary(min_size=32, max_size=32),
    secondary_thumbprint=st.none() | st.binary(min_size=20, max_size=20),
    data=st.builds(DeviceData, documents, documents, st.booleans()),
    twin=st.builds(TwinVersions, instants, instants, instants, instants),
    status_reason=st.none() | texts,
    hub=st.sampled_from([FIRST_HUB, "b.example"]),
)
hubs = st.builds(
    LinkedHub,
    name=st.sampled_from(["A.example", "b.example"]),
    kind=st.sampled_from(HubKind),
    etag=texts,
    created_at=instants,
    updated_at=instants,
    location=st.none() | texts,
    weight=st.integers(0, 1000),
    apply_allocation_policy=st.booleans(),
    connection_string=st.none() | secrets,
    trust_anchors=st.none() | texts,
    first=st.booleans(),
)


def through(database, insert, values, select, question):
    """Put a row in, read it back, and leave nothing behind."""
    database.execute("BEGIN")
    try:
        assert database.execute(insert, values).rowcount == 1
        return database.execute(select, question).fetchone()
    finally:
        database.execute("ROLLBACK")


def assert_hidden(sealed, *hidden):
    for secret in hidden:
        assert secret.reveal() not in sealed


@given(devices)
def test_identities(database, value):
    values = hub_rows.hub_device_values(value, SEALER)
    row = through(database, sql.CREATE_HUB_DEVICE, values, sql.HUB_DEVICE, (value.hub, value.device_id.text))
    found = hub_rows.hub_device(row, SEALER)
    assert found == value
    assert str(found.registration_id) == str(value.registration_id)
    assert type(found.enabled) is type(found.data.iot_edge) is bool
    if value.keys is not None:
        assert_hidden(values[10], value.keys.primary, value.keys.secondary)


@given(hubs)
def test_linked_hubs(database, value):
    values = hub_rows.linked_hub_values(value, SEALER)
    found = hub_rows.linked_hub(through(database, sql.INSERT_LINKED_HUB, values, sql.LINKED_HUBS, ()), SEALER)
    assert found == value
    assert type(found.apply_allocation_policy) is type(found.first) is bool
    if value.connection_string is not None:
        assert_hidden(values[6], value.connection_string)


def test_the_keys_of_a_device_at_one_hub_do_not_open_at_another(database):
    """Who can write to the database, but has no key, can't give one hub's device to another hub."""
    here = some.hub_device("Pump-1")
    database.execute("BEGIN")
    database.execute(sql.CREATE_HUB_DEVICE, hub_rows.hub_device_values(here, SEALER))
    database.execute("UPDATE hub_devices SET hub = 'b.example'")
    row = database.execute(sql.HUB_DEVICE, ("b.example", "Pump-1")).fetchone()
    database.execute("ROLLBACK")
    with pytest.raises(SealError, match="b.example/Pump-1"):
        hub_rows.hub_device(row, SEALER)
