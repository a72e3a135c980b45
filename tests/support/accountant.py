"""Compares what devices were told, what an outside CA signed, and what the service says of itself: zero differences.

The service's side comes through its command line and its API; the CA's from its ledger; the devices' from their
books. Each check returns the differences that it found, as sentences.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from accredit.domain.device import MAX_PENDING_CERTIFICATES
from support.device_book import Book
from support.mqtt_peer import MqttPeer, Service
from support.running_service import RunningService

Row = dict[str, Any]

GOOD = frozenset({"pending", "active"})
REFUSED = 5
EARLIER_TRIED = 3
"""So many of each device's earlier certificates are shown to the hub, the newest first."""


@dataclass(frozen=True)
class Accounts:
    """`certificates` as `cert list` prints them, with the PEM; `ledger` is what the CA of name `outside` signed."""

    books: Sequence[Book]
    certificates: Sequence[Row]
    leaves: Sequence[Row]
    telemetry: Sequence[Row]
    ledger: Sequence[Row]
    outside: str


async def audit(
    running: RunningService, service: Service, books: Sequence[Book], ledger: Path, outside: str
) -> list[str]:
    """Every difference between a running service and the books. The devices must have come to rest."""
    accounts = Accounts(
        books=books,
        certificates=await asyncio.to_thread(_certificates, running),
        leaves=await asyncio.to_thread(lambda: list(running.client().rows("GET", "/issuanceLog/leaves"))),
        telemetry=await asyncio.to_thread(running.rows, "hub", "telemetry"),
        ledger=[json.loads(line) for line in ledger.read_text().splitlines()] if ledger.exists() else [],
        outside=outside,
    )
    verified = await asyncio.to_thread(lambda: running.cli("log", "verify", check=False))
    found = [f"log verify: {verified.stderr}"] if verified.returncode else []
    return found + differences(accounts) + await at_the_hub(service, accounts)


def _certificates(running: RunningService) -> list[Row]:
    """What `cert list` prints; the PEM, which it leaves out, comes from the API."""
    listed = running.rows("cert", "list")
    pem = {row["sha256"]: row["certificate"] for row in running.certificates()}
    return [{**row, "certificate": pem[row["sha256"]]} for row in listed]


def differences(accounts: Accounts) -> list[str]:
    return [
        *_answers_on_record(accounts),
        *_serials_unique(accounts),
        *_certificates_explained(accounts),
        *_signatures_on_record(accounts),
        *_nothing_ordered_twice(accounts),
        *_doubts_explained(accounts),
        *_states_as_told(accounts),
        *_telemetry_kept(accounts),
    ]


def _answers_on_record(accounts: Accounts) -> list[str]:
    """Every certificate that a device was answered is in the listing, as that device's."""
    listed = {row["sha256"]: row for row in accounts.certificates}
    found = []
    for book in accounts.books:
        for answer in {answer.sha256: answer for answer in book.answers}.values():
            row = listed.get(answer.sha256)
            if row is None:
                found.append(f"{book.registration_id} was answered {answer.serial:X}, which is not listed")
                continue
            told = (answer.serial, book.registration_id, answer.device_id, book.identity.authority)
            has = (int(row["serial"], 16), row["registrationId"], row["deviceId"], row["authority"])
            if told != has:
                found.append(f"{book.registration_id} was answered {told}, the listing has {has}")
    return found


def _serials_unique(accounts: Accounts) -> list[str]:
    counted = Counter((row["authority"], row["serial"]) for row in accounts.certificates)
    return [f"serial {name} was used {times} times" for name, times in counted.items() if times > 1]


def _certificates_explained(accounts: Accounts) -> list[str]:
    """Every listed certificate is for a key that its device asked for; the built-in CA's exactly one for each."""
    asked = {
        book.spki_sha256(key): book.registration_id for book in accounts.books for key in sorted(book.asked)
    }
    signed = {line["sha256"] for line in accounts.ledger}
    found, made = [], Counter()
    for row in accounts.certificates:
        spki = _spki_sha256(row["certificate"])
        if asked.get(spki) != row["registrationId"]:
            found.append(f"{row['serial']} of {row['registrationId']} is for a key that it did not ask for")
        if row["authority"] != accounts.outside:
            made[row["authority"], spki] += 1
        elif row["sha256"] not in signed:
            found.append(f"{row['serial']} is listed, but the CA did not sign it")
    return found + [f"{spki} was certified {times} times" for (_, spki), times in made.items() if times > 1]


def _signatures_on_record(accounts: Accounts) -> list[str]:
    """Every signature of the CA is listed, or has an entry `unknown` of its own for that CSR."""
    listed = {row["sha256"] for row in accounts.certificates}
    csr = _csr_of_each_key(accounts)
    doubts = _doubts(accounts)
    found = []
    lost: dict[str | None, list[Row]] = defaultdict(list)
    for line in accounts.ledger:
        if line["sha256"] not in listed:
            lost[csr.get(line["spkiSha256"])].append(line)
    for digest, lines in lost.items():
        noted = doubts[digest] if digest is not None else 0
        found += [
            f"the CA signed {line['serial']} for {line['commonName']}: no trace in the log"
            for line in lines[noted:]
        ]
    return found


def _nothing_ordered_twice(accounts: Accounts) -> list[str]:
    """A key is signed once, and once more for each doubt that could not be cleared up."""
    signed = Counter(line["spkiSha256"] for line in accounts.ledger)
    doubts = _doubts(accounts)
    return [
        f"key {key} of {book.registration_id} was signed {signed[book.spki_sha256(key)]} times"
        for book in accounts.books
        for key in sorted(book.asked - book.abandoned)
        if signed[book.spki_sha256(key)] > 1 + doubts[book.csr_sha256(key)]
    ]


def _doubts_explained(accounts: Accounts) -> list[str]:
    """Every entry `unknown` is for a CSR that a device of that authority sent."""
    sent = set(_csr_of_each_key(accounts).values())
    return [
        f"an entry `unknown` is for {digest}, which no device sent"
        for digest in _doubts(accounts)
        if digest not in sent
    ]


def _states_as_told(accounts: Accounts) -> list[str]:
    """The last answered certificate is the active one; few others are still good; older than the used ones, none."""
    of_device = defaultdict(list)
    for row in accounts.certificates:
        of_device[row["registrationId"]].append(row)
    found = []
    for book in accounts.books:
        states = {row["sha256"]: row["status"] for row in of_device[book.registration_id]}
        counted = Counter(states.values())
        if not book.answers or states.get(book.answers[-1].sha256) != "active":
            found.append(f"{book.registration_id}: the last answered certificate is not active: {counted}")
        if counted["active"] != 1 or counted["pending"] > MAX_PENDING_CERTIFICATES:
            found.append(f"{book.registration_id}: too many certificates are good: {counted}")
    return found


def _telemetry_kept(accounts: Accounts) -> list[str]:
    """What was acknowledged is there; nothing is there more often than it was sent."""
    stored = Counter((row["deviceId"], str(row["body"])) for row in accounts.telemetry)
    found = []
    for book in accounts.books:
        for number, times in sorted(book.sent.items()):
            copies = stored.pop((book.registration_id, str(number)), 0)
            if copies == 0 and number in book.acknowledged:
                found.append(f"message {number} of {book.registration_id} was acknowledged, but is not there")
            if copies > times:
                found.append(
                    f"message {number} of {book.registration_id} is there {copies} times, sent {times}"
                )
    return found + [f"the message {number!r} of {device} was never sent" for device, number in stored]


def _csr_of_each_key(accounts: Accounts) -> dict[str, str]:
    """SHA-256 of the CSR by that of its key, for what was asked of the outside CA."""
    return {
        book.spki_sha256(key): book.csr_sha256(key)
        for book in accounts.books
        if book.identity.authority == accounts.outside
        for key in book.asked
    }


def _doubts(accounts: Accounts) -> Counter[str]:
    """How many entries `unknown` there are for each CSR."""
    return Counter(row["sha256"] for row in accounts.leaves if row["kind"] == "unknown")


def _spki_sha256(pem: str) -> str:
    key = x509.load_pem_x509_certificate(pem.encode()).public_key()
    return sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


async def at_the_hub(service: Service, accounts: Accounts) -> list[str]:
    """Show certificates to the hub: the last answered one is let in, an earlier one that ended is not."""
    states = {row["sha256"]: row["status"] for row in accounts.certificates}
    found = []
    for book in accounts.books:
        answers = {answer.sha256: answer for answer in book.answers}
        last = book.answers[-1]
        ended = [answer for answer in answers.values() if states.get(answer.sha256) not in GOOD]
        for answer in [*ended[-EARLIER_TRIED:], last]:
            async with await MqttPeer(service).open(book.credential(answer)) as peer:
                code = await peer.joins_hub(answer.device_id)
            due = 0 if answer is last else REFUSED
            if code != due:
                state = states.get(answer.sha256)
                found.append(
                    f"{book.registration_id}: CONNACK {code} for {answer.serial:X}, which is {state}"
                )
    return found
