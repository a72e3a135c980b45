"""The envelope for secrets at rest: AES-256-GCM under a master key that lives in a file beside the database.

An envelope names the key that closed it and is bound to its place (table, natural key, column), so that a sealed
value can't be moved to another row. Several master keys may be loaded: the first one seals, any of them opens,
which is all that a rotation needs. This file does not know what is sealed, and never writes a secret anywhere but
in the key file that `create` makes.

Specifications: NIST SP 800-38D (GCM, 96-bit random nonces), RFC 5869 (HKDF).
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import secrets
import stat
from collections.abc import Sequence
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from accredit.domain.secret import Secret

KEY_BYTES = 32
OVERHEAD_BYTES = 1 + 8 + 12 + 16
"""What an envelope adds to its content: version, key id, nonce, tag."""

_VERSION = b"\x01"
_ID_BYTES = 8
_NONCE_AT = 1 + _ID_BYTES
_CONTENT_AT = _NONCE_AT + 12
_MAX_FILE_BYTES = 4096


class SealError(Exception):
    """One sentence for the operator: a master key can't be used, or an envelope can't be opened."""


class Sealer:
    """Closes and opens envelopes. May be used from several threads."""

    def __init__(self, keys: Sequence[Secret]) -> None:
        """`keys` are master keys of 32 bytes each; the first one seals."""
        if not keys:
            raise SealError("No master key is loaded.")
        self._ciphers: dict[bytes, AESGCM] = {}
        for key in keys:
            # The cipher's key is derived, so that no other use of the master key meets GCM's nonces.
            self._ciphers[_key_id(key)] = AESGCM(_expand(key, "accredit/seal/1", KEY_BYTES))
        self._first = keys[0]
        first_id = _key_id(keys[0])
        self._head = _VERSION + first_id
        self._cipher = self._ciphers[first_id]

    @classmethod
    def load(cls, *paths: Path) -> Sealer:
        """Read one master key per file. Raises SealError, naming the file and the remedy."""
        return cls([_read(path) for path in paths])

    @classmethod
    def create(cls, path: Path) -> Sealer:
        """Make a master key and its file, mode 0600, durable on return. Raises SealError where there is a file."""
        key = secrets.token_bytes(KEY_BYTES)
        _write(path, base64.b64encode(key) + b"\n")
        return cls([Secret(key)])

    @property
    def key_id(self) -> str:
        """The name, in hex, of the key that seals; it tells nothing about the key."""
        return self._head[1:].hex()

    @property
    def head(self) -> bytes:
        """The first nine bytes of every envelope that this sealer closes, and of none that another key has closed."""
        return self._head

    @property
    def key_ids(self) -> tuple[str, ...]:
        """The names, in hex, of all keys that are loaded; the first one seals."""
        return tuple(key_id.hex() for key_id in self._ciphers)

    def seal(self, content: bytes, table: str, key: str, column: str) -> bytes:
        """Return an envelope that opens only at this place."""
        # The nonce is not taken from an injected source: a repeated one would give the key away.
        nonce = os.urandom(12)
        place = f"{table}\0{key}\0{column}".encode()
        return self._head + nonce + self._cipher.encrypt(nonce, content, place)

    def open(self, envelope: bytes, table: str, key: str, column: str) -> bytes:
        """Return the content. Raises SealError: another master key's, another place's, or changed on the way."""
        cipher = self._ciphers.get(envelope[1:_NONCE_AT])
        if envelope[:1] != _VERSION or len(envelope) < OVERHEAD_BYTES:
            raise SealError(
                f"What is sealed at {table}.{column} of {key!r} is damaged: it is not an envelope."
            )
        if cipher is None:
            raise SealError(
                f"What is at {table}.{column} of {key!r} is sealed with another master key (key id {sealed_with(envelope)}); "
                f"loaded: {', '.join(self.key_ids)}; "
                "name the key file that was used then with --master-key-file."
            )
        place = f"{table}\0{key}\0{column}".encode()
        try:
            return cipher.decrypt(envelope[_NONCE_AT:_CONTENT_AT], envelope[_CONTENT_AT:], place)
        except InvalidTag:
            raise SealError(
                f"What is sealed at {table}.{column} of {key!r} was changed, or belongs somewhere else."
            ) from None

    def derive(self, purpose: str, context: bytes) -> Secret:
        """Return 32 bytes for another use: the HMAC-SHA256 of `context` under a key of the purpose's own (RFC 5869).

        They are the sealing master key's: when another one seals, other bytes are derived.
        """
        key = _expand(self._first, "accredit/derive/" + purpose, KEY_BYTES)
        return Secret(hmac.digest(key, context, "sha256"))


def sealed_with(envelope: bytes) -> str:
    """The id, in hex, of the master key that opens this envelope; its first nine bytes are enough."""
    return envelope[1:_NONCE_AT].hex()


def _expand(key: Secret, label: str, size: int) -> bytes:
    return HKDF(algorithm=SHA256(), length=size, salt=None, info=label.encode()).derive(key.reveal())


def _key_id(key: Secret) -> bytes:
    if len(key.reveal()) != KEY_BYTES:
        raise SealError(f"A master key has {KEY_BYTES} bytes, not {len(key.reveal())}.")
    return _expand(key, "accredit/key-id/1", _ID_BYTES)


def _read(path: Path) -> Secret:
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            content = file.read(_MAX_FILE_BYTES) if stat.S_ISREG(status.st_mode) else b""
    except OSError as error:
        raise SealError(f"Master key file {path} can't be read: {error.strerror}.") from error
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077:
        raise SealError(
            f"Master key file {path} is open to others than its owner (mode {mode:04o}): run `chmod 600 {path}`."
        )
    return Secret(_decoded(path, content))


def _decoded(path: Path, content: bytes) -> bytes:
    if len(content) == KEY_BYTES:
        return content
    text = content.strip().translate(bytes.maketrans(b"-_", b"+/")).rstrip(b"=")
    try:
        key = base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        key = b""
    if len(key) != KEY_BYTES:
        raise SealError(
            f"Master key file {path} does not hold a key: {KEY_BYTES} random bytes are expected, raw or as base64."
        )
    return key


def _write(path: Path, content: bytes) -> None:
    # A link is made only where nothing is, and only to a file that is whole: no crash leaves half a key behind.
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.link(draft, path)
        finally:
            draft.unlink()
        _sync_folder(path.parent)
    except FileExistsError as error:
        raise SealError(f"Master key file {path} exists already; it is not overwritten.") from error
    except OSError as error:
        raise SealError(f"Master key file {path} can't be made: {error.strerror}.") from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
