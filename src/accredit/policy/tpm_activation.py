"""Seal a key so that one TPM alone can take it in: TPM2_MakeCredential and TPM2_Duplicate, without a TPM.

The key is wrapped twice. The inner key travels as a credential, which only the TPM with this endorsement key (EK)
gives out, and only while it holds the object with the storage root key's (SRK's) Name; the outer wrap is for the SRK.
So whoever signs with the key has that TPM. A pure computation: every random byte is handed in.

TPM 2.0 Library, part 1, *Credential Protection* and *Protected Storage, Duplication*; RFC 8017, 7.1.1 (OAEP). Reading
and writing the structures is `wire/tpm.py`'s.
"""

from __future__ import annotations

import hashlib
import hmac

from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES128

from accredit.domain.tpm import RSA_BYTES, Activation, IdentityKey, TpmKey

INNER_KEY_BYTES = 16
HASH_BYTES = 32
RANDOM_BYTES = INNER_KEY_BYTES + 4 * HASH_BYTES
"""The inner key, a seed for either wrap, and for either of those what OAEP pads with."""

_EXPONENT = 65_537
# The labels go with their terminating zero.
_IDENTITY = b"IDENTITY\0"
_DUPLICATE = b"DUPLICATE\0"
_STORAGE = b"STORAGE\0"
_INTEGRITY = b"INTEGRITY\0"


def activate(
    endorsement: TpmKey, storage_root: TpmKey, identity: IdentityKey, note: bytes, random: bytes
) -> Activation:
    """The parcel with this key, for the TPM that has both. `random` is RANDOM_BYTES fresh ones."""
    inner_key = random[:INNER_KEY_BYTES]
    credential_seed, duplicate_seed, *padding = (
        random[at : at + HASH_BYTES] for at in range(INNER_KEY_BYTES, RANDOM_BYTES, HASH_BYTES)
    )
    return Activation(
        credential=_wrapped(credential_seed, storage_root.name, _sized(inner_key)),
        credential_secret=oaep(endorsement, _IDENTITY, credential_seed, padding[0]),
        duplicate=_wrapped(duplicate_seed, identity.name, _inner_wrapped(inner_key, identity)),
        duplicate_seed=oaep(storage_root, _DUPLICATE, duplicate_seed, padding[1]),
        area=identity.area,
        note=encrypted(inner_key, note),
    )


def _inner_wrapped(inner_key: bytes, identity: IdentityKey) -> bytes:
    sensitive = _sized(identity.sensitive)
    integrity = hashlib.sha256(sensitive + identity.name).digest()
    return encrypted(inner_key, _sized(integrity) + sensitive)


def _wrapped(seed: bytes, name: bytes, content: bytes) -> bytes:
    """The outer wrap of credentials and duplicates alike: encrypted, then authenticated together with the Name."""
    encrypter, authenticator = outer_keys(seed, name)
    inside = encrypted(encrypter, content)
    return _sized(hmac.digest(authenticator, inside + name, "sha256")) + inside


def outer_keys(seed: bytes, name: bytes) -> tuple[bytes, bytes]:
    """What the outer wrap encrypts and authenticates with."""
    return kdfa(seed, _STORAGE, name, INNER_KEY_BYTES * 8), kdfa(seed, _INTEGRITY, b"", HASH_BYTES * 8)


def kdfa(key: bytes, label: bytes, context: bytes, bits: int) -> bytes:
    """KDFa with SHA-256 (part 1, 11.4.10.2), for at most one block: SP 800-108 in counter mode."""
    block = (1).to_bytes(4, "big") + label + context + bits.to_bytes(4, "big")
    return hmac.digest(key, block, "sha256")[: bits // 8]


def encrypted(key: bytes, content: bytes) -> bytes:
    """AES-128 in CFB mode from a zero IV: each of these keys is used once."""
    encryptor = Cipher(AES128(key), CFB(bytes(16))).encryptor()
    return encryptor.update(content) + encryptor.finalize()


def oaep(key: TpmKey, label: bytes, message: bytes, padding: bytes) -> bytes:
    """RSAES-OAEP with SHA-256 and MGF1 of it. Written out, because a library draws the padding itself."""
    zeros = bytes(RSA_BYTES - len(message) - 2 * HASH_BYTES - 2)
    block = hashlib.sha256(label).digest() + zeros + b"\x01" + message
    masked_block = _xor(block, _mgf1(padding, len(block)))
    masked_padding = _xor(padding, _mgf1(masked_block, HASH_BYTES))
    encoded = int.from_bytes(b"\x00" + masked_padding + masked_block, "big")
    return pow(encoded, _EXPONENT, int.from_bytes(key.modulus, "big")).to_bytes(RSA_BYTES, "big")


def _mgf1(seed: bytes, size: int) -> bytes:
    blocks = (hashlib.sha256(seed + at.to_bytes(4, "big")).digest() for at in range(-(-size // HASH_BYTES)))
    return b"".join(blocks)[:size]


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


def _sized(content: bytes) -> bytes:
    return len(content).to_bytes(2, "big") + content
