"""The reason of a revoke call, and the receipt."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.domain.credential import RevocationReason
from accredit.domain.errors import Malformed
from accredit.wire.service_api.documents import write
from accredit.wire.service_api.revocation import read_reason, receipt_document, revoked_certificate
from support import stored_values as some


@pytest.mark.parametrize("body", [b"", b" \n", b"{}"])
def test_without_one_it_is_unspecified(body: bytes) -> None:
    assert read_reason(body) is RevocationReason.UNSPECIFIED


@pytest.mark.parametrize("reason", RevocationReason)
def test_each_by_its_name_in_any_case(reason: RevocationReason) -> None:
    for text in (reason.value, reason.value.upper()):
        assert read_reason(write({"reason": text})) is reason


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        (b'{"reason":"boredom"}', "revocation-reason"),
        (b'{"reason":1}', "document-invalid"),
        (b"reason", "body-not-json"),
    ],
)
def test_what_is_none(body: bytes, rule: str) -> None:
    with pytest.raises(Malformed) as refused:
        read_reason(body)
    assert refused.value.rule == rule


@given(st.binary(max_size=60))
def test_only_malformed_leaves(body: bytes) -> None:
    with suppress(Malformed):
        read_reason(body)


def test_the_receipt_says_which_ca_has_not_answered_yet() -> None:
    here, outside = some.certificate(serial=0xABC), some.certificate(serial=2)
    shown = receipt_document(
        "Pump-1",
        RevocationReason.KEY_COMPROMISE,
        1_800_000_000,
        None,
        [revoked_certificate(here, settled=True), revoked_certificate(outside, settled=False)],
        "hub.example",
        connection_cut=True,
    )
    assert shown == {
        "registrationId": "Pump-1",
        "reason": "keyCompromise",
        "revokedAt": "2027-01-15T08:00:00.0000000Z",
        "enrollment": None,
        "certificates": [
            {"serial": "0ABC", "authority": "builtin", "atAuthority": "revoked"},
            {"serial": "02", "authority": "builtin", "atAuthority": "pending"},
        ],
        "hub": "hub.example",
        "connectionCut": True,
    }
