"""A token in this process (`ca.tokens.Tokens`): software keys, signing raw as PKCS#11 does, that fail when a test says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

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
from accredit.domain.errors import UpstreamUnavailable


class SoftToken:
    """`away`: it can't be reached. `breaks_off`: as many signatures are made, and never arrive. `held` delays all that is run, which
    `waiting` counts."""

    def __init__(self) -> None:
        self._keys: dict[str, tuple[Reference, Any]] = {}
        self.away = False
        self.breaks_off = 0
        self.held: asyncio.Event | None = None
        self.waiting = 0
        self.signatures = 0

    def make(self, token: str, label: str, algorithm: str, _: object = None) -> TokenKey:
        return self.holding(token, label, keys.generate(algorithm))

    def holding(self, token: str, label: str, private: Any) -> TokenKey:
        """Put this key in."""
        spki = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        where = Reference(token, label, b"\x01", spki)
        self._keys[label] = where, private
        return of_reference(where, self)

    def find(self, _: str, label: str) -> TokenKey:
        return of_reference(self._keys[label][0], self)

    def key(self, content: bytes) -> TokenKey:
        return token_key(content, self)

    def sign(self, where: Reference, scheme: Scheme, payload: bytes) -> bytes:
        if self.away:
            raise UpstreamUnavailable("The token is away.", rule=UNAVAILABLE, retry_after_s=RETRY_S)
        self.signatures += 1
        if self.breaks_off:
            self.breaks_off -= 1
            raise UpstreamUnavailable("The line broke.", rule=ANSWER_LOST, retry_after_s=RETRY_S)
        private = self._keys[where.label][1]
        if scheme is Scheme.EDDSA:
            return private.sign(payload)
        if scheme is Scheme.RSA:
            return private.sign(payload[-32:], padding.PKCS1v15(), utils.Prehashed(hashes.SHA256()))
        digest = {32: hashes.SHA256(), 48: hashes.SHA384()}[len(payload)]
        r, s = utils.decode_dss_signature(private.sign(payload, ec.ECDSA(utils.Prehashed(digest))))
        size = (private.key_size + 7) // 8
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")

    async def run(self, work: Callable[..., Any], *arguments: Any) -> Any:
        if self.held is not None:
            self.waiting += 1
            await self.held.wait()
        return work(*arguments)
