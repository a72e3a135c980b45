"""A TPM in pure Python: two RSA keys, and the inverse of what `policy/tpm_activation.py` computes.

It opens a blob as TPM2_ActivateCredential, TPM2_Import and TPM2_Load would, each check included, by the TPM library's
own words and another library's OAEP. `tpm_emulator.py` has the real thing.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from functools import cache

from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES128

from accredit.domain.evidence import TpmEndorsement
from accredit.domain.secret import Secret
from accredit.domain.tpm import TpmKey
from accredit.wire import sas, tpm

SRK_HEAD = bytes.fromhex("0001000b000304720000")
PARAMETERS = bytes.fromhex("00060080004300100800000000000100")


class WrongParcel(Exception):
    """As TPM_RC_INTEGRITY or TPM_RC_VALUE: this is not for this TPM."""


@cache
def rsa_key(number: int, bits: int = 2048) -> rsa.RSAPrivateKey:
    """Made once for each number: making them is slow."""
    return rsa.generate_private_key(65_537, bits)


def modulus_of(key: rsa.RSAPrivateKey) -> bytes:
    modulus = key.public_key().public_numbers().n
    return modulus.to_bytes((modulus.bit_length() + 7) // 8, "big")


def storage_root_key(modulus: bytes) -> TpmKey:
    """By the template that DPS clients make it from."""
    return TpmKey(SRK_HEAD + PARAMETERS + modulus)


@dataclass
class TpmDevice:
    """Devices of different numbers are different TPMs; `cleared` counts how often its owner made a new SRK."""

    number: int = 0
    cleared: int = 0
    held: Secret | None = field(default=None, repr=False)

    @property
    def endorsement(self) -> TpmKey:
        return tpm.endorsement_key(modulus_of(rsa_key(2 * self.number)))

    @property
    def storage_root(self) -> TpmKey:
        return storage_root_key(modulus_of(self._storage_root()))

    @property
    def registration_id(self) -> str:
        return tpm.default_registration_id(self.endorsement)

    def endorsed(self, token: str | None = None) -> TpmEndorsement:
        return TpmEndorsement(
            self.endorsement, self.storage_root, None if token is None else sas.parse(token)
        )

    def take(self, blob: bytes) -> Secret:
        """Take in the key that a blob holds; raises WrongParcel when it is not for this TPM."""
        parcel = tpm.read_blob(blob)
        inner_key = self._activated(parcel.credential, parcel.credential_secret)
        name = b"\x00\x0b" + hashlib.sha256(parcel.area).digest()
        wrapped = _unwrapped(
            _decrypted(self._storage_root(), b"DUPLICATE\0", parcel.duplicate_seed), name, parcel.duplicate
        )
        integrity, sensitive = _two_sized(_cfb(inner_key, wrapped))
        if hashlib.sha256(len(sensitive).to_bytes(2, "big") + sensitive + name).digest() != integrity:
            raise WrongParcel("inner integrity")
        seed, key = tpm.read_sensitive(sensitive)
        if not parcel.area.endswith(hashlib.sha256(seed + key.reveal()).digest()):
            raise WrongParcel("the public part is another key's")
        self.held = key
        return key

    def token(self, resource: str, expires_at: int, skn: str | None = "registration") -> str:
        """A token signed inside this TPM."""
        assert self.held is not None
        return sas.make(resource, self.held.reveal(), expires_at, skn)

    def _storage_root(self) -> rsa.RSAPrivateKey:
        return rsa_key(2 * self.number + 1 + 1000 * self.cleared)

    def _activated(self, credential: bytes, secret: bytes) -> bytes:
        seed = _decrypted(rsa_key(2 * self.number), b"IDENTITY\0", secret)
        inner = _unwrapped(seed, self.storage_root.name, credential)
        if inner[:2] != b"\x00\x10" or len(inner) != 18:
            raise WrongParcel("not an inner key of 16 bytes")
        return inner[2:]


def _decrypted(key: rsa.RSAPrivateKey, label: bytes, ciphertext: bytes) -> bytes:
    scheme = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), label)
    try:
        return key.decrypt(ciphertext, scheme)
    except ValueError as error:
        raise WrongParcel(label.decode()) from error


def _unwrapped(seed: bytes, name: bytes, wrapped: bytes) -> bytes:
    """Undo the outer wrap (part 1, 24.4 and 23.3.2.3): authenticate, then decrypt."""
    size = int.from_bytes(wrapped[:2], "big")
    integrity, inside = wrapped[2 : 2 + size], wrapped[2 + size :]
    expected = hmac.digest(_kdfa(seed, "INTEGRITY", b"", 256), inside + name, "sha256")
    if not hmac.compare_digest(expected, integrity):
        raise WrongParcel("outer integrity")
    return _cfb(_kdfa(seed, "STORAGE", name, 128), inside)


def _kdfa(key: bytes, label: str, context: bytes, bits: int) -> bytes:
    fed = b"\x00\x00\x00\x01" + label.encode() + b"\x00" + context + bits.to_bytes(4, "big")
    return hmac.digest(key, fed, "sha256")[: bits // 8]


def _cfb(key: bytes, ciphertext: bytes) -> bytes:
    decryptor = Cipher(AES128(key), CFB(bytes(16))).decryptor()
    return decryptor.update(ciphertext) + decryptor.finalize()


def _two_sized(data: bytes) -> tuple[bytes, bytes]:
    end = 2 + int.from_bytes(data[:2], "big")
    rest = data[end:]
    if int.from_bytes(rest[:2], "big") != len(rest) - 2:
        raise WrongParcel("sizes")
    return data[2:end], rest[2:]
