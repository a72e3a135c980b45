"""PKCS#11 tokens as the rest of the service sees them: keys that sign, are made and are found, behind one module and one PIN.

The module's path comes from the settings of the process alone: a library that is loaded here could do all that the
service can. What speaks to it (`token_module.py`) is an extra, and imported only where a module is named. Nothing of a
token is touched before the first key of one is used.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from accredit.ca import keys
from accredit.ca.token_keys import (
    ANSWER_LOST,
    RETRY_S,
    UNAVAILABLE,
    Reference,
    Scheme,
    TokenKey,
    of_reference,
    token_key,
)
from accredit.ca.token_thread import DEADLINE_S, STUCK, TokenThread
from accredit.domain.errors import Malformed, UpstreamUnavailable
from accredit.domain.secret import Secret
from accredit.interfaces import Clock, Entropy

T = TypeVar("T")

MAKING_S = 180.0
"""How long a key may take to be made: some tokens need minutes for a long RSA key."""

_MAX_PIN_BYTES = 1_024
_KEY_ID_BYTES = 16
_TRIAL = b"accredit tries whether this private key and this public key are a pair"


class Tokens:
    """Implements `SignsInToken`. Without a module it knows keys, and no token."""

    def __init__(
        self,
        clock: Clock,
        module: Path | None = None,
        pin_file: Path | None = None,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        """`pin_file` holds the PIN of every token that is used, or is None where they need none.

        Raises ImportError where a module is named and the extra is not installed.
        """
        self._pin_file = pin_file
        self._module: Any = None
        if module is not None:
            maker = import_module("accredit.ca.token_module").TokenModule
            self._module = maker(module, self._pin, clock.monotonic)
        self._thread = TokenThread(self._begun, deadline_s)

    def key(self, content: bytes) -> TokenKey:
        """The key behind a kept reference, whether or not its token is there. Raises ValueError."""
        return token_key(content, self)

    def make(self, token: str, label: str, algorithm: str, entropy: Entropy) -> TokenKey:
        """Generate a key in a token. Raises Malformed or UpstreamUnavailable."""
        key_id = entropy.token(_KEY_ID_BYTES)
        where = self._ceremony("make", token, label, algorithm, key_id)
        return of_reference(where, self)

    def find(self, token: str, label: str) -> TokenKey:
        """A key that is in a token already; it is tried, because nobody says that its two halves are a pair.

        Raises Malformed or UpstreamUnavailable.
        """
        where = self._ceremony("find", token, label)
        try:
            found = of_reference(where, self)
            keys.algorithm_of(found).sign(found, _TRIAL)
        except ValueError as error:
            raise Malformed(f"The key {label} can't be used: {error}.", rule="token-key-unfit") from None
        except UpstreamUnavailable as failure:
            if failure.rule != ANSWER_LOST:
                raise
            raise Malformed(failure.message, rule="token-key-unfit") from None
        return found

    def sign(self, where: Reference, scheme: Scheme, payload: bytes) -> bytes:
        """See `SignsInToken`."""
        signature: bytes = self._thread.call(self._there().sign, where, scheme, payload)
        return signature

    async def check(self, key: TokenKey) -> None:
        """Reach the key, without signing. Raises UpstreamUnavailable."""
        await self._thread.run(self._there().check, key.where)

    async def run(self, work: Callable[..., T], *arguments: Any) -> T:
        """Do work that signs with a key in a token, without keeping the event loop from its own.

        Raises UpstreamUnavailable, by its rule told apart: nothing was signed, or something may have been.
        """
        return await self._thread.run(work, *arguments)

    async def close(self) -> None:
        """Log out, where anybody was logged in: some tokens have few sessions to give."""
        if self._thread.has_begun and self._module is not None:
            with suppress(UpstreamUnavailable):
                await self._thread.run(self._module.close)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Which tokens failed when they were used last, and why."""
        told: tuple[str, ...] = () if self._module is None else self._module.warnings
        return (*told, STUCK) if self._thread.is_stuck else told

    def _ceremony(self, method: str, *arguments: Any) -> Reference:
        if self._module is None:
            raise Malformed(
                "The service knows no tokens.",
                rule="token-module-missing",
                hint="start it with --pkcs11-module, and the extra accredit[pkcs11] installed",
            )
        found: Reference = self._thread.call(getattr(self._module, method), *arguments, deadline_s=MAKING_S)
        return found

    def _there(self) -> Any:
        if self._module is None:
            raise _unavailable(
                "The key is in a token, and no PKCS#11 module is named: start with --pkcs11-module."
            )
        return self._module

    def _begun(self) -> None:
        if self._module is not None:
            self._module.forget()

    def _pin(self) -> Secret | None:
        if self._pin_file is None:
            return None
        try:
            with self._pin_file.open("rb") as file:
                status = os.fstat(file.fileno())
                content = file.read(_MAX_PIN_BYTES).strip()
        except OSError as error:
            raise _unavailable(f"The PIN file {self._pin_file} can't be read: {error.strerror}.") from None
        if stat.S_IMODE(status.st_mode) & 0o077:
            raise _unavailable(
                f"The PIN file {self._pin_file} is open to others than its owner: run `chmod 600 {self._pin_file}`."
            )
        if not content or not content.isascii():
            raise _unavailable(f"The PIN file {self._pin_file} does not hold a PIN in ASCII.")
        return Secret(content)


def _unavailable(message: str) -> UpstreamUnavailable:
    return UpstreamUnavailable(message, rule=UNAVAILABLE, retry_after_s=RETRY_S)
