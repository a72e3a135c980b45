"""Whatever a value holds, its row gives back: through the real statements and a real table."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.domain.credential import CertificateRecord, CertificateStatus, IssuedChain
from accredit.domain.device import DeviceData
from accredit.domain.enrollment import EnrollmentKind, EnrollmentRef
from accredit.domain.ids import AuthorityName, DeviceId, RegistrationId
from accredit.domain.issuance_log import Leaf, LeafKind
from accredit.domain.registration import (
    DataFate,
    Operation,
    OperationState,
    Phase,
    Registration,
    Status,
    Substatus,
)
from accredit.domain.tpm import TpmKey, TpmProof
from accredit.stores import rows
from accredit.stores import statements as sql
from accredit.values import replace

ids = st.from_regex(r"[A-Za-z0-9\-._:]{0,127}[A-Za-z0-9\-]", fullmatch=True)
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
instants = st.integers(0, 2**62)
digests = st.binary(min_size=32, max_size=32)
blobs = st.binary(max_size=200)
registration_ids = ids.map(RegistrationId.parse)
authority_names = ids.map(AuthorityName.parse)
device_ids = ids.map(DeviceId)
refs = st.builds(EnrollmentRef, st.sampled_from(EnrollmentKind), ids.map(str.lower))
optional = {"payload": st.none() | blobs, "certificate_sha256": st.none() | digests}
errors = {"error_code": st.none() | st.integers(0, 999_999), "error_message": st.none() | texts}

registrations = st.builds(
    Registration,
    registration_id=registration_ids,
    enrollment=refs,
    device_id=device_ids,
    hub=st.none() | texts,
    status=st.sampled_from(Status),
    substatus=st.none() | st.sampled_from(Substatus),
    operation_id=texts,
    etag=texts,
    created_at=instants,
    updated_at=instants,
    csr_field=st.none() | texts,
    **optional,
    **errors,
)
named = texts.filter(bool)
objects = st.dictionaries(st.text(max_size=4), st.none() | st.booleans() | st.text(max_size=4), max_size=3)
operations = st.builds(
    Operation,
    id=texts,
    registration_id=registration_ids,
    enrollment=refs,
    enrollment_etag=texts,
    enrollment_generation=texts,
    authority=st.none() | authority_names,
    authority_version=texts,
    profile=texts,
    device_id=device_ids,
    hub=st.none() | named,
    substatus=st.sampled_from(Substatus),
    csr_der=blobs,
    csr_field=st.none() | named,
    spki_sha256=digests,
    bootstrap_certificate=st.none() | blobs,
    tracking_id=texts,
    created_at=instants,
    deadline_at=instants,
    state=st.sampled_from(OperationState),
    attempt=st.integers(0, 1000),
    submitted=st.booleans(),
    handle=st.none() | texts,
    lease_owner=texts,
    lease_expires_at=instants,
    fence=instants,
    key_spelling=st.none() | texts,
    phase=st.sampled_from(Phase),
    old_hub=st.none() | texts,
    fate=st.sampled_from(DataFate),
    initial_twin=st.none() | objects,
    answer=st.none() | blobs,
    data=st.none() | st.builds(DeviceData, objects, objects, st.booleans()),
    **optional,
    **errors,
)
certificates = st.builds(
    CertificateRecord,
    issued=st.builds(
        IssuedChain,
        chain=st.lists(blobs, min_size=1, max_size=4).map(tuple),
        serial=st.integers(-(2**170), 2**170),
        not_before=instants,
        not_after=instants,
        sha256=digests,
        spki_sha256=digests,
        ca_reference=st.none() | texts,
    ),
    authority=authority_names,
    authority_version=texts,
    profile=texts,
    registration_id=registration_ids,
    device_id=device_ids,
    enrollment_generation=texts,
    csr_sha256=digests,
    operation_id=texts,
    issued_at=instants,
    status=st.just(CertificateStatus.UNBOUND),
)
leaves = st.builds(Leaf, st.sampled_from(LeafKind), authority_names, digests, instants, digests)


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


@given(registrations)
def test_registrations(stored, value):
    row = stored(
        sql.INSERT_REGISTRATION,
        rows.registration_values(value),
        sql.REGISTRATION,
        (value.registration_id.key,),
    )
    found = rows.registration(row)
    assert found == value
    assert found.registration_id.text == value.registration_id.text


@given(registration_ids, st.builds(TpmProof, st.builds(TpmKey, blobs), st.integers(0, 2**40)))
def test_tpm_proofs(stored, registration_id, value):
    values = rows.tpm_proof_values(registration_id, value)
    assert rows.tpm_proof(stored(sql.SAVE_TPM_PROOF, values, sql.TPM_PROOF, (registration_id.key,))) == value


@given(operations)
def test_operations(stored, value):
    found = rows.operation(
        stored(sql.INSERT_OPERATION, rows.operation_values(value), sql.OPERATION, (value.id,))
    )
    assert found == value
    assert str(found.registration_id) == str(value.registration_id)
    assert str(found.authority) == str(value.authority)
    assert type(found.submitted) is bool


@given(certificates, st.none() | instants)
def test_certificates(stored, value, bound_at):
    above = rows.chain_value(value.issued.chain[1:])
    values = rows.certificate_values(value, above and above[0], bound_at)
    row = stored(sql.INSERT_CERTIFICATE, values, sql.CERTIFICATE, (value.issued.sha256,))
    chains = {None: ()} if above is None else {above[0]: rows.chain(above[1])}
    found = rows.certificate(row, chains.__getitem__)
    status = CertificateStatus.UNBOUND if bound_at is None else CertificateStatus.PENDING
    assert found == replace(value, status=status)
    assert str(found.registration_id) == str(value.registration_id)
    assert str(found.authority) == str(value.authority)


@given(leaves)
def test_leaves(stored, value):
    found = rows.leaf(stored(sql.INSERT_LEAF, rows.leaf_values(value), sql.LEAVES, (0, 1)))
    assert found == value
    assert str(found.authority) == str(value.authority)


@given(st.lists(blobs, min_size=1))
def test_chains(certificates):
    digest, packed = rows.chain_value(certificates)
    assert list(rows.chain(packed)) == certificates
    assert digest == hashlib.sha256(packed).digest()


@given(st.integers(), st.integers())
def test_serials_are_equal_when_their_bytes_are(one, other):
    assert (rows.serial_value(one) == rows.serial_value(other)) == (one == other)


def test_a_revoked_certificate_is_shown_as_such(database):
    """Whatever its binding says."""
    database.execute("BEGIN")
    issued = IssuedChain((b"leaf",), 1, 0, 1, b"s" * 32, b"k" * 32)
    name = RegistrationId.parse("a")
    record = CertificateRecord(issued, AuthorityName.parse("b"), "", "", name, DeviceId("a"), "", b"", "", 0)
    database.execute(sql.INSERT_CERTIFICATE, rows.certificate_values(record, None, 5))
    database.execute("UPDATE certificates SET revoked_at = 7")
    row = database.execute(sql.CERTIFICATE, (issued.sha256,)).fetchone()
    database.execute("ROLLBACK")
    assert rows.certificate(row, lambda _: ()).status is CertificateStatus.REVOKED
