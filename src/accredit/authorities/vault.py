"""Vault and OpenBao: a role of their PKI secrets engine signs, for a token or an AppRole.

The common name is sent beside the CSR; a role that takes name and alternative names from the request body ignores the
CSR's own. A lost answer is looked up in the engine's list of certificates. A revocation carries no reason: the engine
takes none. Shapes: the vendors' API documents of `pki` and `auth/approle`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from urllib.parse import quote

import msgspec
from cryptography.hazmat.primitives.serialization import Encoding

from accredit.authorities import intake
from accredit.authorities.upstream import Surroundings, Upstream
from accredit.domain.authority import AuthorityRecord
from accredit.domain.credential import IssuedChain, Order, RevocationReason
from accredit.domain.errors import Malformed, UpstreamRejected, UpstreamUnavailable
from accredit.domain.secret import Secret
from accredit.egress import HTTPAnswer
from accredit.interfaces import Deferred, Delivered, OrderAnswer, Rejected, Standing

DEFAULT_MOUNT = "pki"
PAGE_SIZE = 500
MAX_PAGES = 200
MAX_CLOCK_LAG_S = 3600
"""A certificate found in the list is ours only when it is not older than the intent, minus this: CAs backdate."""

_NO_CSR = "csr"
_NOBODY = "accredit-probe"


class _Auth(msgspec.Struct):
    client_token: str = ""
    lease_duration: int = 0


class _Known(msgspec.Struct):
    common_name: str = ""
    not_before: datetime | None = None


class _Data(msgspec.Struct):
    certificate: str = ""
    issuing_ca: str = ""
    ca_chain: list[str] | str | None = None
    key_info: dict[str, _Known] | None = None

    @property
    def bundle(self) -> str:
        chain = [self.ca_chain] if isinstance(self.ca_chain, str) else self.ca_chain or []
        return "\n".join([self.certificate, self.issuing_ca, *chain])


class _Lease(msgspec.Struct):
    ttl: int = 0


class _OwnToken(msgspec.Struct):
    """What a token is told of itself; a `ttl` of 0 has no end."""

    data: _Lease


class _Answer(msgspec.Struct):
    data: _Data | None = None
    auth: _Auth | None = None
    errors: list[str] | None = None


class Vault:
    """`interfaces.Authority`, `FindsOrder`, `Probes` and `Revokes`."""

    in_process = False

    def __init__(self, record: AuthorityRecord, surroundings: Surroundings) -> None:
        """Raises Malformed where the record is not one of a Vault authority."""
        self.name = record.name
        self.version = record.version
        self._ca = Upstream(record, surroundings, called="Vault")
        settings = record.settings
        self._api = str(settings.get("url", "")).rstrip("/") + "/v1/"
        self._mount = quote(str(settings.get("mount", DEFAULT_MOUNT)).strip("/"))
        self._role = quote(str(settings.get("role", "")), safe="")
        self._namespace = settings.get("namespace")
        self._role_id = settings.get("roleId")
        self._secret_id = record.secrets.get("secretId")
        self._token = record.secrets.get("token")
        self._token_until = 0.0
        if self._role_id and self._secret_id:
            self._token = None
        elif self._token is None:
            raise Malformed(
                f"Authority {record.name} needs token, or roleId and secretId.", rule="ca-settings"
            )

    async def probe(self) -> Standing:
        """See `Probes`: an order without a CSR gets as far as that, which only a good token and role do."""
        await self._login()
        body = msgspec.json.encode({"csr": "", "common_name": _NOBODY})
        answer = await self._ask("POST", f"{self._mount}/sign/{self._role}", body)
        if answer.status != 400 or _NO_CSR not in _words(answer):
            raise self._rejection(answer)
        return Standing(await self._chain(), credentials_end=await self._token_end())

    async def order(self, order: Order) -> OrderAnswer:
        body = msgspec.json.encode(
            {
                "csr": order.request.csr.public_bytes(Encoding.PEM).decode("ascii"),
                "common_name": order.registration_id.text,
                "exclude_cn_from_sans": True,
                "format": "pem",
            }
        )
        answer = await self._sign(order, body)
        if not isinstance(answer, HTTPAnswer):
            return answer
        if answer.status == 200:
            return self._signed(order, answer)
        return self._ca.refused(order, answer, _words(answer))

    async def find(self, order: Order) -> Sequence[IssuedChain]:
        """See `FindsOrder`. At most `MAX_PAGES` pages are read; what stands behind them counts as not there."""
        await self._login()
        above = await self._chain()
        found: list[IssuedChain] = []
        for serial in await self._serials_of(order):
            answer = await self._ask("GET", f"{self._mount}/cert/{quote(serial, safe='')}")
            document = read(answer.body)
            if answer.status == 200 and document is not None and document.data is not None:
                issued = self._ours(order, document.data.certificate, above)
                found.extend([] if issued is None else [issued])
        return sorted(found, key=lambda issued: (issued.not_before, issued.serial), reverse=True)

    async def revoke(self, certificate: IssuedChain, reason: RevocationReason) -> None:  # noqa: ARG002 - it takes none
        """See `Revokes`. Revoked twice is revoked once there too."""
        await self._login()
        octets = certificate.serial.to_bytes((certificate.serial.bit_length() + 7) // 8, "big")
        body = msgspec.json.encode({"serial_number": octets.hex(":")})
        answer = await self._ask("POST", f"{self._mount}/revoke", body)
        if answer.status != 200:
            raise self._rejection(answer)

    async def _sign(self, order: Order, body: bytes) -> HTTPAnswer | OrderAnswer:
        url = f"{self._api}{self._mount}/sign/{self._role}"
        try:
            fresh = await self._login()
            answer = await self._ca.send(order, "POST", url, body, self._headers())
            if isinstance(answer, HTTPAnswer) and answer.status == 403 and not fresh:
                # A token of an AppRole may have been taken away before its time.
                self._token_until = 0.0
                if await self._login():
                    answer = await self._ca.send(order, "POST", url, body, self._headers())
        except UpstreamUnavailable as error:
            return Deferred(error.message, error.retry_after_s)
        except UpstreamRejected as error:
            return Rejected(error.message, error.rule)
        return answer

    # The token.

    async def _login(self) -> bool:
        """Have a token; True when it is new. Raises UpstreamUnavailable or UpstreamRejected."""
        now = self._ca.clock.now()
        if not (self._role_id and self._secret_id) or now < self._token_until:
            return False
        credentials = {"role_id": self._role_id, "secret_id": self._secret_id.reveal().decode("ascii")}
        answer = await self._ca.ask(
            "POST", self._api + "auth/approle/login", msgspec.json.encode(credentials), self._headers()
        )
        document = read(answer.body)
        if answer.status in {400, 401, 403}:
            rejection = self._ca.rejection(answer, _words(answer))
            raise UpstreamRejected(
                f"{rejection.message} It does not accept roleId and secretId.", rule="ca-credentials"
            )
        if (
            answer.status != 200
            or document is None
            or document.auth is None
            or not document.auth.client_token
        ):
            raise self._rejection(answer)
        self._token = Secret(document.auth.client_token.encode("ascii", "replace"))
        self._ca.hide(self._token)
        # A lease of 0 seconds has no end. Two thirds leave time for the order itself.
        lease_s = document.auth.lease_duration
        self._token_until = now + lease_s * 2 / 3 if lease_s else float("inf")
        return True

    async def _token_end(self) -> int | None:
        """When the operator's own token ends; None where it never does, may not look at itself, or we log in by role."""
        if self._role_id and self._secret_id:
            return None
        answer = await self._ask("GET", "auth/token/lookup-self")
        try:
            ttl_s = msgspec.json.decode(answer.body, type=_OwnToken).data.ttl if answer.status == 200 else 0
        except (ValueError, RecursionError):
            ttl_s = 0
        return int(self._ca.clock.now()) + ttl_s if ttl_s > 0 else None

    def _headers(self) -> dict[str, str | Secret]:
        headers: dict[str, str | Secret] = {"Content-Type": "application/json"}
        if self._token is not None:
            headers["X-Vault-Token"] = self._token
        if self._namespace:
            headers["X-Vault-Namespace"] = self._namespace
        return headers

    # What it answers.

    def _signed(self, order: Order, answer: HTTPAnswer) -> OrderAnswer:
        document = read(answer.body)
        if document is None or document.data is None:
            return self._ca.unreadable("its answer is not Vault's")
        try:
            # The leaf for itself first: with it lost in an answer that holds its issuers, the order is not answered.
            intake.certificates(document.data.certificate)
            found = intake.certificates(document.data.bundle)
        except UpstreamRejected as error:
            return self._ca.unreadable(f"its certificate is unreadable: {error.message}")
        return self._ca.delivered(order, found)

    async def _chain(self) -> tuple[bytes, ...]:
        """The engine's own certificates, the issuing CA's first."""
        answer = await self._ask("GET", f"{self._mount}/cert/ca_chain")
        document = read(answer.body)
        if answer.status != 200 or document is None or document.data is None:
            raise self._rejection(answer)
        return intake.certificates(document.data.bundle)

    async def _serials_of(self, order: Order) -> list[str]:
        """Serial numbers, in the engine's own writing, of the certificates with the ordered name that may be the order's."""
        found: dict[str, None] = {}
        after = ""
        for _ in range(MAX_PAGES):
            query = f"list=true&limit={PAGE_SIZE}&after={quote(after, safe='')}"
            answer = await self._ask("GET", f"{self._mount}/certs/detailed?{query}")
            if answer.status == 404 and not _words(answer):
                # An empty list is told by this status.
                break
            document = read(answer.body)
            if answer.status != 200 or document is None or document.data is None:
                raise self._rejection(answer)
            known = document.data.key_info or {}
            found |= {serial: None for serial, one in known.items() if _may_be(one, order)}
            last = max(known, default="")
            if len(known) < PAGE_SIZE or last <= after:
                break
            after = last
        return list(found)

    def _ours(self, order: Order, pem: str, above: Sequence[bytes]) -> IssuedChain | None:
        """None when the certificate is not this order's: another key, too old, or not as ordered."""
        try:
            (der,) = intake.certificates(pem)
            leaf = intake.parsed(der)
        except (UpstreamRejected, ValueError):
            return None
        if intake.spki_of(leaf) != order.request.spki_der:
            return None
        if leaf.not_valid_before_utc.timestamp() < order.since - MAX_CLOCK_LAG_S:
            return None
        judged = self._ca.delivered(order, [der, *above])
        return judged.issued if isinstance(judged, Delivered) else None

    async def _ask(self, method: str, path: str, body: bytes = b"") -> HTTPAnswer:
        return await self._ca.ask(method, self._api + path, body, self._headers())

    def _rejection(self, answer: HTTPAnswer) -> UpstreamRejected:
        return self._ca.rejection(answer, _words(answer))


def read(body: bytes) -> _Answer | None:
    """The envelope of every answer; None where it is not one."""
    try:
        return msgspec.json.decode(body, type=_Answer)
    except (ValueError, RecursionError):
        return None


def _may_be(listed: _Known, order: Order) -> bool:
    begins = listed.not_before
    young = begins is None or begins.timestamp() >= order.since - MAX_CLOCK_LAG_S
    return young and listed.common_name.lower() == order.registration_id.key


def _words(answer: HTTPAnswer) -> str:
    document = read(answer.body)
    return "; ".join(document.errors or ()) if document is not None else ""
