"""TPM 2.0 structures as devices and the service exchange them: TPM2B_PUBLIC of an EK or SRK, and the activation blob.

TPM 2.0 Library, part 2: every number is big-endian, a TPM2B is a UINT16 size and that many bytes. Of what the library
can say only what DPS clients send is taken, each member checked; the key inside a blob is sealed in
`policy/tpm_activation.py`. The device's side, reading what the service sends, is here too.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from struct import Struct

from accredit.domain.errors import Malformed
from accredit.domain.secret import Secret
from accredit.domain.tpm import RSA_BYTES, Activation, IdentityKey, TpmKey

MAX_PUBLIC_BYTES = 512
"""An EK is 316 bytes, an SRK 284; none of the accepted forms is longer than 316."""

MAX_BLOB_BYTES = 1_024

MAX_NOTE_BYTES = 2 * 470 - 798
"""A blob without its note has 798 bytes, and must go into two SASL frames with 470 bytes of it each (`amqp_tpm.py`)."""

_RSA = 0x0001
_KEYED_HASH = 0x0008
_SHA256 = 0x000B
_AES = 0x0006
_CFB = 0x0043
_NULL = 0x0010
_HMAC = 0x0005

# TPMA_OBJECT. A key that could leave its TPM, or sign, would prove nothing of the kind.
_FIXED = 0x0002 | 0x0010 | 0x0020
"""fixedTPM, fixedParent, sensitiveDataOrigin: made in this TPM, and never leaves it."""
_RESTRICTED_DECRYPT = 0x0001_0000 | 0x0002_0000
_NEEDED = _FIXED | _RESTRICTED_DECRYPT
_FREE = 0x0004 | 0x0040 | 0x0080 | 0x0400
"""stClear, userWithAuth, adminWithPolicy, noDA: how the key is used inside its TPM is the device's affair."""

_EXPONENTS = (0, 65_537)
"""0 stands for the default, which is the other one (part 2, TPMS_RSA_PARMS)."""

_POLICY_SIZES = (0, 32)

# The low-range RSA-2048 EK template (TCG EK Credential Profile, template L-1): PolicySecret of the endorsement hierarchy.
_EK_ATTRIBUTES = 0x0003_00B2
_EK_POLICY = bytes.fromhex("837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa")

# sign, userWithAuth, noDA; not fixed, or the TPM would not import it.
_IDENTITY_ATTRIBUTES = 0x0004_0440
_IDENTITY_POLICY = bytes.fromhex("bef56b8c1cc84e11edd717528d2cd99356bd2bbf8f015209c3f84aeeaba8e8a2")
"""PolicyCommandCode(TPM2_Duplicate)."""
_SEED_BYTES = 32
_KEY_BYTES = 32

_HEAD = Struct(">HHIH")
_PARAMETERS = Struct(">HHHHHIH")
_SIZE = Struct(">H")


def key_of_text(text: str, member: str) -> TpmKey:
    """An EK or SRK as JSON carries it: base64 of a TPM2B_PUBLIC. Raises Malformed, naming the member."""
    if len(text) > 4 * MAX_PUBLIC_BYTES // 3 + 4:
        raise _malformed(member, "is too long")
    try:
        sized = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _malformed(member, "is not base64") from None
    return read_key(sized, member)


def text_of(key: TpmKey) -> str:
    """An EK or SRK as JSON carries it."""
    return base64.b64encode(key.marshalled).decode()


def read_key(sized: bytes, member: str) -> TpmKey:
    """An EK or SRK as a TPM2B_PUBLIC. Raises Malformed: unreadable, or a key of another kind."""
    if len(sized) > MAX_PUBLIC_BYTES:
        raise _malformed(member, "is too long")
    area, rest = _sized(sized, member)
    if rest:
        raise _malformed(member, "goes on after its end")
    if len(area) < _HEAD.size:
        raise _malformed(member, "ends too early")
    kind, name_algorithm, attributes, policy_size = _HEAD.unpack_from(area)
    if (kind, name_algorithm) != (_RSA, _SHA256) or policy_size not in _POLICY_SIZES:
        raise _unsupported(member, "is not an RSA key with SHA-256")
    if attributes & _NEEDED != _NEEDED or attributes & ~(_NEEDED | _FREE):
        raise _unsupported(
            member,
            f"is not a restricted decryption key that stays in its TPM (attributes {attributes:#010x})",
        )
    at = _HEAD.size + policy_size
    if len(area) < at + _PARAMETERS.size:
        raise _malformed(member, "ends too early")
    *parameters, exponent, unique_size = _PARAMETERS.unpack_from(area, at)
    if parameters != [_AES, 128, _CFB, _NULL, RSA_BYTES * 8] or exponent not in _EXPONENTS:
        raise _unsupported(member, "is not an RSA-2048 key with AES-128 in CFB mode")
    modulus = area[at + _PARAMETERS.size :]
    if unique_size != RSA_BYTES or len(modulus) != RSA_BYTES:
        raise _malformed(member, "has a modulus of another size")
    if not modulus[0] & 0x80 or not modulus[-1] & 1:
        raise _unsupported(member, "has a modulus that is not one of RSA-2048")
    return TpmKey(area)


def endorsement_key(modulus: bytes) -> TpmKey:
    """The EK with this modulus, by the template that TPMs and DPS clients use by default."""
    head = _HEAD.pack(_RSA, _SHA256, _EK_ATTRIBUTES, len(_EK_POLICY)) + _EK_POLICY
    parameters = _PARAMETERS.pack(_AES, 128, _CFB, _NULL, RSA_BYTES * 8, 0, RSA_BYTES)
    return TpmKey(head + parameters + modulus)


def default_registration_id(endorsement: TpmKey) -> str:
    """The id that a TPM device has unless it is given another one (Azure: every SDK's TPM security client)."""
    digest = hashlib.sha256(endorsement.marshalled).digest()
    return base64.b32encode(digest).decode().rstrip("=").lower()


def identity_key(key: Secret, seed: bytes) -> IdentityKey:
    """The HMAC-SHA256 key as a TPM object; `seed` (32 random bytes) hides the key behind its public part."""
    secret = key.reveal()
    unique = hashlib.sha256(seed + secret).digest()
    head = _HEAD.pack(_KEYED_HASH, _SHA256, _IDENTITY_ATTRIBUTES, len(_IDENTITY_POLICY)) + _IDENTITY_POLICY
    area = head + _SIZE.pack(_HMAC) + _SIZE.pack(_SHA256) + sized(unique)
    return IdentityKey(area, _SIZE.pack(_KEYED_HASH) + sized(b"") + sized(seed) + sized(secret))


def sized(content: bytes) -> bytes:
    """TPM2B."""
    return _SIZE.pack(len(content)) + content


def blob(activation: Activation) -> bytes:
    """The six structures, one after the other, as `authenticationKey` and the SASL challenge carry them."""
    parts = (
        activation.credential,
        activation.credential_secret,
        activation.duplicate,
        activation.duplicate_seed,
        activation.area,
        activation.note,
    )
    return b"".join(map(sized, parts))


# The device's side.


def read_blob(parcel: bytes) -> Activation:
    """Raises Malformed."""
    member = "the activation blob"
    if len(parcel) > MAX_BLOB_BYTES:
        raise _malformed(member, "is too long")
    parts = []
    for _ in range(6):
        part, parcel = _sized(parcel, member)
        parts.append(part)
    if parcel:
        raise _malformed(member, "goes on after its end")
    return Activation(*parts)


def read_sensitive(sensitive: bytes) -> tuple[bytes, Secret]:
    """The seed and the key of an `IdentityKey.sensitive`. Raises Malformed."""
    member = "the sensitive area"
    if sensitive[:2] != _SIZE.pack(_KEYED_HASH):
        raise _malformed(member, "is not a keyed hash's")
    authorization, rest = _sized(sensitive[2:], member)
    seed, rest = _sized(rest, member)
    key, rest = _sized(rest, member)
    if authorization or rest or (len(seed), len(key)) != (_SEED_BYTES, _KEY_BYTES):
        raise _malformed(member, "has members of other sizes")
    return seed, Secret(key)


def _sized(data: bytes, member: str) -> tuple[bytes, bytes]:
    """The content of the TPM2B that `data` begins with, and what follows it."""
    if len(data) < _SIZE.size:
        raise _malformed(member, "ends too early")
    end = _SIZE.size + int(_SIZE.unpack_from(data)[0])
    if len(data) < end:
        raise _malformed(member, "ends too early")
    return data[_SIZE.size : end], data[end:]


def _malformed(member: str, what: str) -> Malformed:
    return Malformed(f"{member} {what}.", rule="tpm-structure")


def _unsupported(member: str, what: str) -> Malformed:
    return Malformed(
        f"{member} {what}.",
        rule="tpm-key-kind",
        hint="the EK and the SRK must be RSA-2048 storage keys, made from the default templates",
    )
