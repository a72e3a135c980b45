"""What one device was told, on the device's own disk: its keys, each answer, each message that was acknowledged.

One line of JSON for each fact, written when it becomes one; opening the book again reads them back, so that a load
can go on where an earlier run was broken off.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from support import signing_requests


@dataclass(frozen=True)
class Answer:
    """One `assigned` answer with a certificate, for the device's key of that number."""

    key: int
    sha256: str
    serial: int
    device_id: str
    hub: str


@dataclass(frozen=True)
class Identity:
    """What the device was made with. `key` is its symmetric key in base64; `authority` what its enrollment names."""

    registration_id: str
    authority: str
    key: str
    impatient: bool


class Book:
    """`current` is the number of the key that the device wants a certificate for now."""

    def __init__(self, folder: Path, identity: Identity) -> None:
        self.identity = identity
        self.registration_id = identity.registration_id
        self._folder = folder
        self.current = 0
        self.asked: set[int] = set()
        self.abandoned: set[int] = set()
        self.answers: list[Answer] = []
        self.used: set[str] = set()
        self.sent: dict[int, int] = {}
        self.acknowledged: set[int] = set()
        self._file = folder / "book.jsonl"
        if self._file.exists():
            self._reread()
        else:
            folder.mkdir(parents=True)
            (folder / "identity.json").write_text(json.dumps(identity.__dict__))
            self.take_new_key()

    @classmethod
    def open(cls, folder: Path) -> Book:
        """The book that an earlier run left."""
        return cls(folder, Identity(**json.loads((folder / "identity.json").read_text())))

    # Facts.

    def take_new_key(self, *, abandon: bool = False) -> None:
        """Make a key and its CSR; `abandon` tells that the device does not wait for the answer to the one before."""
        number = self.keys
        private = ec.generate_private_key(ec.SECP256R1())
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (self._folder / f"{number}.key").write_bytes(pem)
        request = signing_requests.csr(self.registration_id, private)
        (self._folder / f"{number}.csr").write_text(signing_requests.pem(request))
        if abandon:
            self._note("abandoned", key=self.current)
        self._note("key", key=number)

    def go_back_to(self, key: int) -> None:
        self._note("key", key=key)

    def asks(self) -> None:
        if self.current not in self.asked:
            self._note("asked", key=self.current)

    def was_answered(self, chain: str, device_id: str, hub: str) -> None:
        """Keep the chain (PEM, leaf first), then say that it came."""
        leaf = x509.load_pem_x509_certificates(chain.encode())[0]
        digest = sha256(leaf.public_bytes(Encoding.DER)).hexdigest()
        self._chain_file(digest).write_text(chain)
        self._note(
            "answered",
            key=self.current,
            sha256=digest,
            serial=leaf.serial_number,
            device_id=device_id,
            hub=hub,
        )

    def was_used(self, digest: str) -> None:
        if digest not in self.used:
            self._note("used", sha256=digest)

    def sends(self, number: int) -> None:
        self._note("sent", number=number)

    def was_acknowledged(self, number: int) -> None:
        self._note("acknowledged", number=number)

    # What follows from them.

    @property
    def keys(self) -> int:
        """How many keys the device has made."""
        return len(list(self._folder.glob("*.csr")))

    @property
    def settled(self) -> bool:
        """Whether the last answer is for the key that the device wants now."""
        return bool(self.answers) and self.answers[-1].key == self.current

    @property
    def unacknowledged(self) -> list[int]:
        return sorted(set(self.sent) - self.acknowledged)

    def csr(self, key: int) -> str:
        return (self._folder / f"{key}.csr").read_text()

    def csr_sha256(self, key: int) -> str:
        return _digests(self._folder / f"{key}.csr")[0]

    def spki_sha256(self, key: int) -> str:
        return _digests(self._folder / f"{key}.csr")[1]

    def credential(self, answer: Answer) -> tuple[Path, Path]:
        """The files of the chain and of its key."""
        return self._chain_file(answer.sha256), self._folder / f"{answer.key}.key"

    def _chain_file(self, digest: str) -> Path:
        return self._folder / f"{digest}.pem"

    # The file.

    def _note(self, fact: str, **members: Any) -> None:
        with self._file.open("a") as file:
            file.write(json.dumps({"fact": fact, **members}) + "\n")
        self._apply(fact, members)

    def _reread(self) -> None:
        for line in self._file.read_text().splitlines():
            members = json.loads(line)
            self._apply(members.pop("fact"), members)

    def _apply(self, fact: str, members: dict[str, Any]) -> None:
        match fact:
            case "key":
                self.current = members["key"]
            case "asked":
                self.asked.add(members["key"])
            case "abandoned":
                self.abandoned.add(members["key"])
            case "answered":
                self.answers.append(Answer(**members))
            case "used":
                self.used.add(members["sha256"])
            case "sent":
                self.sent[members["number"]] = self.sent.get(members["number"], 0) + 1
            case "acknowledged":
                self.acknowledged.add(members["number"])


@cache
def _digests(file: Path) -> tuple[str, str]:
    """SHA-256 of the CSR and of its SubjectPublicKeyInfo, in hex."""
    request = x509.load_pem_x509_csr(file.read_bytes())
    spki = request.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return sha256(request.public_bytes(Encoding.DER)).hexdigest(), sha256(spki).hexdigest()
