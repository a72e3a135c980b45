"""What is sent about the keys of our own authorities."""

from __future__ import annotations

import json
from typing import Any

import pytest

from accredit.domain.credential import RevocationReason
from accredit.domain.errors import Malformed
from accredit.wire.service_api.authority_keys import read_brought, read_revocation, read_rotation
from support import pki


def test_a_rotation_may_say_nothing() -> None:
    for body in (b"", b"{}"):
        sent = read_rotation(body)
        assert (sent.algorithm, sent.new_root) == (None, False)
    sent = read_rotation(b'{"algorithm": "P-384", "newRoot": true}')
    assert (sent.algorithm, sent.new_root) == ("P-384", True)
    assert (sent.token_label, sent.key_label) == (None, "")


def test_a_rotation_into_a_token_and_out_of_it() -> None:
    sent = read_rotation(b'{"tokenLabel": "hsm", "keyLabel": "mine"}')
    assert (sent.token_label, sent.key_label) == ("hsm", "mine")
    assert read_rotation(b'{"tokenLabel": ""}').token_label == ""


def test_a_chain_in_its_order() -> None:
    sent = read_brought(json.dumps({"certificate": pki.root("A").pem + pki.root("B").pem}).encode())
    assert [each.subject.rfc4514_string() for each in sent.chain] == ["CN=A", "CN=B"]


def test_a_key_id_as_openssl_prints_it() -> None:
    sent = read_revocation(b'{"keyId": "00:FF", "reason": "keycompromise"}')
    assert (sent.key_id, sent.reason) == ("00ff", RevocationReason.KEY_COMPROMISE)
    assert read_revocation(b'{"keyId": "00ff"}').reason is RevocationReason.UNSPECIFIED


@pytest.mark.parametrize(
    ("read", "members"),
    [
        (read_rotation, {"newroot": True}),
        (read_rotation, {"algorithm": 1}),
        (read_rotation, {"keyLabel": "mine"}),
        (read_rotation, {"tokenLabel": "", "keyLabel": "mine"}),
        (read_rotation, {"tokenLabel": "x" * 256}),
        (read_brought, {}),
        (read_brought, {"certificate": "none"}),
        (read_revocation, {}),
        (read_revocation, {"keyId": "xy"}),
        (read_revocation, {"keyId": "00", "reason": "because"}),
    ],
)
def test_what_is_refused(read: Any, members: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        read(json.dumps(members).encode())
