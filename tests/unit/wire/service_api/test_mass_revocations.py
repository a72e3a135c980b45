"""What is sent to revoke a whole group or authority, and how far one is shown to be."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from accredit.domain.credential import RevocationReason
from accredit.domain.errors import Malformed
from accredit.domain.ids import GroupId
from accredit.domain.mass_revocation import (
    AtAuthority,
    AuthorityTally,
    MassRevocation,
    RevokedIssuer,
    Tally,
)
from accredit.values import replace
from accredit.wire.service_api.mass_revocations import (
    AuthorityRevocation,
    GroupRevocation,
    mass_revocation_document,
    read_authority_revocation,
    read_group_revocation,
    revoked_certificate_document,
)
from support import stored_values as some
from support.stored_values import BUILTIN, NOW

GROUP = MassRevocation(
    "f00d",
    GroupId.parse("Fleet"),
    RevocationReason.KEY_COMPROMISE,
    "owner",
    NOW,
    total=5,
    seen=3,
    done=Tally(3, 2, 1, 1, 4),
)


def test_what_is_sent() -> None:
    assert read_group_revocation(b"") == GroupRevocation(RevocationReason.UNSPECIFIED)
    assert read_group_revocation(b'{"reason":"KEYCOMPROMISE"}').reason is RevocationReason.KEY_COMPROMISE
    assert read_authority_revocation(b" ") == AuthorityRevocation(RevocationReason.UNSPECIFIED)
    sent = b'{"reason":"cACompromise","keyId":"AA:0F","keepDevices":true}'
    assert read_authority_revocation(sent) == AuthorityRevocation(
        RevocationReason.CA_COMPROMISE, "aa0f", keeps_devices=True
    )


@pytest.mark.parametrize("reads", [read_group_revocation, read_authority_revocation])
@pytest.mark.parametrize(
    "body", [b"{", b'{"reason":"boredom"}', b'{"reasons":"superseded"}', b'{"keyId":"!"}', b'{"keyId":1}']
)
def test_what_is_refused(reads: Callable[[bytes], object], body: bytes) -> None:
    with pytest.raises(Malformed):
        reads(body)


def test_a_group_that_runs() -> None:
    assert mass_revocation_document(GROUP) == {
        "id": "f00d",
        "reason": "keyCompromise",
        "status": "running",
        "startedBy": "owner",
        "startedDateTimeUtc": "2027-01-15T08:00:00.0000000Z",
        "progress": {"done": 3, "total": 5},
        "devices": 3,
        "hubIdentities": 2,
        "operationsEnded": 1,
        "connectionsCut": 1,
        "certificates": 4,
        "enrollmentGroupId": "Fleet",
    }


@pytest.mark.parametrize(("told", "status"), [(3, "telling"), (4, "done")])
def test_an_authority_that_waits_for_its_ca(told: int, status: str) -> None:
    issuers = (RevokedIssuer("aa", b"", listed=True), RevokedIssuer("bb", b"", listed=False))
    ended = replace(GROUP, target=BUILTIN, issuers=issuers, keeps_devices=True, seen=6, ended_at=NOW)
    shown = mass_revocation_document(ended, [AuthorityTally(BUILTIN, 5, told, 1)])
    assert (shown["status"], shown["certificateAuthorityName"]) == (status, "builtin")
    assert shown["progress"] == {"done": 6, "total": 6}
    assert shown["keepDevices"]
    assert shown["issuers"] == [{"keyId": "aa", "onRootCrl": True}, {"keyId": "bb", "onRootCrl": False}]
    assert shown["endedDateTimeUtc"] == "2027-01-15T08:00:00.0000000Z"
    (tally,) = shown["authorities"]
    assert tally == {
        "authority": "builtin", "certificates": 5, "revoked": told, "pending": 4 - told, "unable": 1
    }  # fmt: skip


def test_a_certificate_of_one() -> None:
    record = some.certificate("Pump-1", serial=0xABC)
    assert revoked_certificate_document(record, AtAuthority.UNABLE) == {
        "serial": "0ABC",
        "sha256": record.issued.sha256.hex(),
        "authority": "builtin",
        "registrationId": "Pump-1",
        "deviceId": "Pump-1",
        "atAuthority": "unable",
    }
