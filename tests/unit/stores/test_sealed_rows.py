"""Rows with secrets give back what went in, and hold nothing secret that can be read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.domain.access import Policy, Realm, Right
from accredit.domain.authority import AuthorityRecord
from accredit.domain.enrollment import (
    Enrollment,
    LeafCertificates,
    ReprovisionPolicy,
    SigningCertificates,
    SymmetricKeys,
    TpmKeys,
)
from accredit.domain.ids import AuthorityName, DeviceId, GroupId, RegistrationId
from accredit.domain.secret import Secret
from accredit.domain.tpm import TpmKey
from accredit.seal import Sealer, SealError
from accredit.stores import sealed_rows
from accredit.stores import statements as sql
from support import pki
from support import stored_values as some

SEALER = Sealer([Secret(b"k" * 32)])
ROOTS = tuple(pki.root(name).der for name in ("One", "Two", "Three"))

ids = st.from_regex(r"[A-Za-z0-9\-._:]{0,127}[A-Za-z0-9\-]", fullmatch=True)
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
instants = st.integers(0, 2**62)
secrets = st.binary(min_size=8, max_size=64).map(Secret)
numbers = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
documents = st.dictionaries(
    texts,
    st.recursive(
        st.none() | st.booleans() | numbers | texts,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
        max_leaves=8,
    ),
    max_size=4,
)
tpm_keys = st.builds(TpmKey, st.binary(max_size=99))
attestations = (
    st.builds(SymmetricKeys, secrets, secrets)
    | st.builds(LeafCertificates, st.binary(max_size=99), st.none() | st.binary(max_size=99))
    | st.builds(SigningCertificates, st.sampled_from(ROOTS), st.none() | st.sampled_from(ROOTS))
    | st.builds(TpmKeys, tpm_keys, st.none() | tpm_keys)
)
enrollments = st.builds(
    Enrollment,
    id=ids.map(RegistrationId.parse) | ids.map(GroupId.parse),
    attestation=attestations,
    generation=texts,
    etag=texts,
    created_at=instants,
    updated_at=instants,
    enabled=st.booleans(),
    device_id=st.none() | ids.map(DeviceId),
    authority=st.none() | ids.map(AuthorityName.parse),
    allocation_policy=texts,
    hubs=st.lists(texts, max_size=3).map(tuple),
    reprovision=st.builds(ReprovisionPolicy, st.booleans(), st.booleans()),
    iot_edge=st.booleans(),
    initial_twin=st.none() | documents,
    settings=documents,
)
authorities = st.builds(
    AuthorityRecord,
    name=ids.map(AuthorityName.parse),
    type=texts,
    settings=documents,
    secrets=st.dictionaries(texts, st.binary(max_size=99).map(Secret), max_size=3),
    version=texts,
    etag=texts,
    created_at=instants,
    updated_at=instants,
)
policies = st.builds(
    Policy, st.sampled_from(Realm), texts, st.frozensets(st.sampled_from(Right)), secrets, secrets
)


@pytest.fixture(scope="module")
def stored(database):
    """Put a row in, read it back, and leave nothing behind."""

    def through(insert, values, select, question):
        database.execute("BEGIN")
        try:
            assert database.execute(insert, values).rowcount == 1
            return database.execute(select, question).fetchone()
        finally:
            database.execute("ROLLBACK")

    return through


@given(enrollments)
def test_enrollments(stored, value):
    values = sealed_rows.enrollment_values(value, SEALER)
    row = stored(sql.INSERT_ENROLLMENT, values, sql.ENROLLMENT, (value.kind.value, value.id.key))
    found = sealed_rows.enrollment(row, SEALER)
    assert found == value
    assert (type(found.id), str(found.id)) == (type(value.id), str(value.id))
    assert str(found.authority) == str(value.authority)
    assert type(found.enabled) is type(found.iot_edge) is type(found.reprovision.migrate_device_data) is bool
    if isinstance(value.attestation, SymmetricKeys):
        assert_hidden(values, value.attestation.primary, value.attestation.secondary)


@given(authorities)
def test_authorities(stored, value):
    values = sealed_rows.authority_values(value, SEALER)
    found = sealed_rows.authority(
        stored(sql.INSERT_AUTHORITY, values, sql.AUTHORITY, (value.name.key,)), SEALER
    )
    assert found == value
    assert str(found.name) == str(value.name)


@given(policies)
def test_policies(stored, value):
    values = sealed_rows.policy_values(value, SEALER)
    row = stored(sql.INSERT_POLICY, values, sql.POLICY, (value.realm.value, value.name))
    assert sealed_rows.policy(row, SEALER) == value
    assert_hidden(values, value.primary, value.secondary)


@given(texts, st.binary().map(Secret))
def test_states(name, value):
    sealed = sealed_rows.state_value(name, value, SEALER)
    assert sealed_rows.state(name, sealed, SEALER) == value


def assert_hidden(values, *hidden):
    envelope = max((value for value in values if isinstance(value, bytes)), key=len)
    for secret in hidden:
        assert secret.reveal() not in envelope


def test_a_row_s_secrets_do_not_open_in_another_row(database):
    """Who can write to the database, but has no key, can't give one group the keys of another."""
    database.execute("BEGIN")
    for name in ("a", "b"):
        database.execute(sql.INSERT_ENROLLMENT, sealed_rows.enrollment_values(some.group(name), SEALER))
    database.execute(
        "UPDATE enrollments SET sealed = (SELECT sealed FROM enrollments WHERE enrollment_key = 'a')"
    )
    row_a, row_b = (database.execute(sql.ENROLLMENT, ("group", name)).fetchone() for name in ("a", "b"))
    database.execute("ROLLBACK")
    assert sealed_rows.enrollment(row_a, SEALER) == some.group("a")
    with pytest.raises(SealError, match="group/b"):
        sealed_rows.enrollment(row_b, SEALER)
