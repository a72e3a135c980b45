"""The accountant finds every kind of difference: books that agree, then each of them made to disagree."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from accredit.values import replace
from support.accountant import Accounts, Row, differences
from support.device_book import Book, Identity
from support.small_issuer import Issuer, pem

BEGINS = datetime.now(UTC) - timedelta(hours=1)
ENDS = BEGINS + timedelta(days=30)


def signed(issuer: Issuer, book: Book, key: int) -> x509.Certificate:
    request = x509.load_pem_x509_csr(book.csr(key).encode())
    return issuer.leaf(book.registration_id, request.public_key(), BEGINS, ENDS)


def listed(book: Book, certificate: x509.Certificate, status: str) -> Row:
    return {
        "serial": f"{certificate.serial_number:X}",
        "sha256": sha256(certificate.public_bytes(Encoding.DER)).hexdigest(),
        "authority": book.identity.authority,
        "registrationId": book.registration_id,
        "deviceId": book.registration_id,
        "status": status,
        "certificate": pem(certificate),
    }


def in_ledger(book: Book, certificate: x509.Certificate, key: int) -> Row:
    row = listed(book, certificate, "")
    return {
        "sha256": row["sha256"], "serial": row["serial"], "spkiSha256": book.spki_sha256(key),
        "commonName": book.registration_id,
    }  # fmt: skip


@pytest.fixture
def accounts(tmp_path: Path) -> Accounts:
    """Two devices. That of the outside CA had one answer lost for good, and changed its key once."""
    issuer = Issuer("Accounted", time.time())
    inside = Book(tmp_path / "inside", Identity("inside", "builtin", "", impatient=False))
    outside = Book(tmp_path / "outside", Identity("outside", "outside", "", impatient=False))
    certificates, ledger = [], []
    for book, statuses in ((inside, ["active"]), (outside, ["retired", "active"])):
        for key, status in enumerate(statuses):
            if key:
                book.take_new_key()
            book.asks()
            certificate = signed(issuer, book, key)
            book.was_answered(pem(certificate), book.registration_id, "hub")
            certificates.append(listed(book, certificate, status))
            if book is outside:
                ledger.append(in_ledger(book, certificate, key))
        book.sends(1)
        book.sends(1)
        book.was_acknowledged(1)
    ledger.append(in_ledger(outside, signed(issuer, outside, 1), 1))
    leaves = [{"kind": "certificate", "sha256": row["sha256"]} for row in certificates]
    leaves.append({"kind": "unknown", "sha256": outside.csr_sha256(1)})
    telemetry = [{"deviceId": "inside", "body": "1"}, {"deviceId": "outside", "body": 1}]
    return Accounts([inside, outside], certificates, leaves, telemetry, ledger, "outside")


def test_books_that_agree_have_no_difference(accounts: Accounts) -> None:
    assert differences(accounts) == []


def edited(number: int, **members: object) -> Callable[[Accounts], Accounts]:
    """The listing's row of that number, with other members."""

    def edit(accounts: Accounts) -> Accounts:
        rows = list(accounts.certificates)
        rows[number] = {**rows[number], **members}
        return replace(accounts, certificates=rows)

    return edit


def without_certificate(accounts: Accounts) -> Accounts:
    return replace(accounts, certificates=accounts.certificates[1:])


def without_doubt(accounts: Accounts) -> Accounts:
    return replace(accounts, leaves=accounts.leaves[:-1])


def doubt_of_a_stranger(accounts: Accounts) -> Accounts:
    return replace(accounts, leaves=[*accounts.leaves, {"kind": "unknown", "sha256": "00" * 32}])


def same_serial(accounts: Accounts) -> Accounts:
    return edited(2, serial=accounts.certificates[1]["serial"])(accounts)


def signed_twice(accounts: Accounts) -> Accounts:
    """The first key of the outside device is in the ledger twice, and both are on record."""
    other = signed(Issuer("Accounted", time.time()), accounts.books[1], 0)
    return replace(
        accounts,
        certificates=[*accounts.certificates, listed(accounts.books[1], other, "unbound")],
        ledger=[*accounts.ledger, in_ledger(accounts.books[1], other, 0)],
    )


def certified_twice(accounts: Accounts) -> Accounts:
    other = signed(Issuer("Accounted", time.time()), accounts.books[0], 0)
    return replace(
        accounts, certificates=[*accounts.certificates, listed(accounts.books[0], other, "retired")]
    )


def not_in_the_ledger(accounts: Accounts) -> Accounts:
    return replace(accounts, ledger=accounts.ledger[1:])


def without_telemetry(accounts: Accounts) -> Accounts:
    return replace(accounts, telemetry=accounts.telemetry[1:])


def too_many_copies(accounts: Accounts) -> Accounts:
    return replace(accounts, telemetry=[*accounts.telemetry, *accounts.telemetry[:1] * 2])


def message_from_nowhere(accounts: Accounts) -> Accounts:
    return replace(accounts, telemetry=[*accounts.telemetry, {"deviceId": "inside", "body": "2"}])


@pytest.mark.parametrize(
    ("disturb", "told"),
    [
        (without_certificate, "not listed"),
        (edited(0, deviceId="another"), "the listing has"),
        (edited(0, registrationId="outside"), "did not ask for"),
        (edited(0, status="retired"), "not active"),
        (edited(1, status="active"), "too many"),
        (without_doubt, "no trace in the log"),
        (doubt_of_a_stranger, "no device sent"),
        (same_serial, "used 2 times"),
        (signed_twice, "was signed 2 times"),
        (certified_twice, "certified 2 times"),
        (not_in_the_ledger, "the CA did not sign it"),
        (without_telemetry, "is not there"),
        (too_many_copies, "3 times, sent 2"),
        (message_from_nowhere, "never sent"),
    ],
)
def test_each_disagreement_is_found(
    accounts: Accounts, disturb: Callable[[Accounts], Accounts], told: str
) -> None:
    assert [text for text in differences(disturb(accounts)) if told in text]


def test_a_book_reads_itself_back(accounts: Accounts, tmp_path: Path) -> None:
    book = accounts.books[1]
    again = Book.open(tmp_path / "outside")
    assert json.dumps(again.identity.__dict__) == json.dumps(book.identity.__dict__)
    for fact in ("current", "asked", "abandoned", "answers", "used", "sent", "acknowledged"):
        assert getattr(again, fact) == getattr(book, fact)
