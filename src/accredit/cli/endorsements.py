"""Endorsement keys on the command line: as a TPM's tools write them, as base64, or as the TPM's certificate."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from accredit.cli.problem import Problem
from accredit.domain.errors import Malformed
from accredit.domain.tpm import TpmKey
from accredit.policy.ek_certificates import modulus_of
from accredit.values import dataclass
from accredit.wire import tpm
from accredit.wire.service_api.certificates import certificate_der, certificate_ders

Read = TypeVar("Read")

_MAX_FILE_BYTES = 64 * 1024
_MAX_PATH_CHARS = 256
"""The base64 of an EK has more than 400."""


@dataclass(frozen=True, slots=True)
class Endorsement:
    """`text` is what the service takes as `endorsementKey`."""

    key: TpmKey
    text: str

    @property
    def attestation(self) -> dict[str, Any]:
        return {"type": "tpm", "tpm": {"endorsementKey": self.text}}

    @property
    def registration_id(self) -> str:
        """What the device calls itself unless it is told otherwise."""
        return tpm.default_registration_id(self.key)


def by_key(value: str) -> Endorsement:
    """A file with a TPM2B_PUBLIC, raw or as base64, or the base64 itself. Raises Problem."""
    path = Path(value)
    is_file = len(value) < _MAX_PATH_CHARS and path.is_file()
    if not is_file and len(value) < _MAX_PATH_CHARS:
        raise Problem(f"There is no file {value}, and no endorsement key is as short.")
    content = _read(path) if is_file else value.encode()
    try:
        key = tpm.read_key(content, "--endorsement-key")
    except Malformed:
        key = _refused(
            lambda: tpm.key_of_text("".join(content.decode("latin-1").split()), "--endorsement-key")
        )
    return Endorsement(key, tpm.text_of(key))


def by_certificate(path: Path) -> Endorsement:
    """A file with the TPM's EK certificate, PEM or DER, in PEM followed by what stands above it. Raises Problem."""
    content = _read(path)
    text = content.decode("latin-1") if b"-----BEGIN" in content else b64encode(content).decode()
    certificate = _refused(lambda: _first(text))
    modulus = _refused(lambda: modulus_of(certificate, str(path)))
    return Endorsement(tpm.endorsement_key(modulus), text)


def _first(text: str) -> bytes:
    if "-----BEGIN" in text:
        return certificate_ders(text, "--ek-certificate")[0]
    return certificate_der(text, "--ek-certificate")


def _refused(read: Callable[[], Read]) -> Read:
    try:
        return read()
    except Malformed as error:
        raise Problem(error.message) from None


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_FILE_BYTES)
    except OSError as error:
        raise Problem(f"{path} can't be read: {error.strerror}.") from None
