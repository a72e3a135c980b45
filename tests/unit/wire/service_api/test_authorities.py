"""Authority documents: what is read, and what is shown."""

from __future__ import annotations

import pytest

from accredit.domain.errors import Malformed
from accredit.wire.instants import iso
from accredit.wire.service_api.authorities import authority_document, health_document, read_authority
from support import pki
from support import stored_values as some


def test_an_authority_document() -> None:
    sent = read_authority(
        b'{"certificateAuthorityType":"X","apiKey":"k","maxValidityDays":3,"a":null,"b":[],"c":true}'
    )
    assert sent.type == "X"
    assert sent.members == {"apiKey": "k", "maxValidityDays": 3}


def test_an_authority_document_does_not_show_its_members() -> None:
    sent = read_authority(b'{"certificateAuthorityType":"X","apiKey":"hush"}')
    assert "hush" not in f"{sent} {sent!r}"


@pytest.mark.parametrize(
    "body", [b"{}", b'{"certificateAuthorityType":""}', b'{"certificateAuthorityType":1}', b"[]"]
)
def test_an_authority_without_a_type(body: bytes) -> None:
    with pytest.raises(Malformed):
        read_authority(body)


def test_an_answer_shows_the_settings_and_no_secret() -> None:
    assert authority_document(some.authority("MyCA")) == {
        "name": "MyCA",
        "certificateAuthorityType": "BuiltIn",
        "profileName": "p",
        "etag": '"a1"',
        "createdDateTimeUtc": "2027-01-15T08:00:00.0000000Z",
        "lastUpdatedDateTimeUtc": "2027-01-15T08:00:00.0000000Z",
    }


def test_health_with_all_that_is_known() -> None:
    root = pki.root("CA")
    assert health_document(None, [root.der], ["revoke"], some.NOW) == {
        "health": {"status": "healthy", "checkedDateTimeUtc": "2027-01-15T08:00:00.0000000Z"},
        "capabilities": ["revoke"],
        "chain": [root.pem],
    }


def test_what_is_wrong_is_told_and_what_is_not_known_is_left_out() -> None:
    shown = health_document(None, (), (), some.NOW, some.NOW + 60)
    assert shown["credentialsExpireDateTimeUtc"] == iso(some.NOW + 60)
    shown = health_document("it does not answer", (), (), some.NOW)
    assert shown.keys() == {"health"}
    assert (shown["health"]["status"], shown["health"]["reason"]) == ("failing", "it does not answer")
