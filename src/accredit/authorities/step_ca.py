"""step-ca (smallstep): a JWK provisioner's key signs a one-time token for each certificate.

The token fixes the name; what else is in the certificate is the provisioner's template's business, and a CSR that asks for
another name is refused there. step-ca keeps nothing that could be looked up: a lost answer stays lost. Shapes: smallstep's
api package.
"""

from __future__ import annotations

from hashlib import sha256
from itertools import count
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from accredit.authorities import intake
from accredit.authorities.jose import BadKey, SigningKey
from accredit.authorities.upstream import Surroundings, Upstream
from accredit.domain.authority import AuthorityRecord
from accredit.domain.credential import IssuedChain, Order, RevocationReason
from accredit.domain.errors import Malformed, UpstreamRejected
from accredit.egress import HTTPAnswer
from accredit.interfaces import OrderAnswer, Rejected, Standing

TOKEN_LIFE_S = 300
BACKDATE_S = 60
MAX_PROVISIONER_PAGES = 20
_FINGERPRINT_OCTETS = 32
_REVOKED_ALREADY = "already revoked"
_JSON = {"Content-Type": "application/json"}


class _Key(msgspec.Struct):
    kid: str = ""
    x: str = ""
    y: str = ""


class _Provisioner(msgspec.Struct):
    type: str = ""
    name: str = ""
    key: _Key | None = None


class _Answer(msgspec.Struct, rename="camel"):
    """The members of all its answers that are read here."""

    crt: str = ""
    ca: str = ""
    cert_chain: list[str] | None = None
    provisioners: list[_Provisioner] | None = None
    next_cursor: str = ""
    message: str = ""


class StepCa:
    """`interfaces.Authority`, `Probes` and `Revokes`."""

    in_process = False

    def __init__(self, record: AuthorityRecord, surroundings: Surroundings) -> None:
        """Raises Malformed where the record is not one of a step-ca authority."""
        self.name = record.name
        self.version = record.version
        self._ca = Upstream(record, surroundings, called="step-ca")
        self._url = str(record.settings.get("url", "")).rstrip("/") + "/1.0"
        self._provisioner = str(record.settings.get("provisioner", ""))
        self._revocations = count()
        try:
            self._root = bytes.fromhex(str(record.settings.get("rootFingerprint", "")).replace(":", ""))
            if len(self._root) != _FINGERPRINT_OCTETS:
                raise ValueError  # noqa: TRY301 - one way out for both
        except ValueError:
            raise Malformed(
                f"rootFingerprint of authority {record.name} is not the hex of a SHA-256.", rule="ca-settings"
            ) from None
        try:
            self._key = SigningKey.read(record.secrets["provisionerKey"].reveal())
        except (KeyError, BadKey) as error:
            raise Malformed(
                f"provisionerKey of authority {record.name} can't be used: {error}.", rule="ca-settings"
            ) from None

    async def probe(self) -> Standing:
        """See `Probes`: its root is the one of the fingerprint, and it has the provisioner with the key."""
        answer = await self._ca.ask("GET", f"{self._url}/root/{self._root.hex()}")
        document = read(answer.body)
        if answer.status != 200 or document is None:
            raise self._rejection(answer)
        (root, *_) = intake.certificates(document.ca)
        if sha256(root).digest() != self._root:
            raise UpstreamRejected(
                "step-ca answered with another root than that of rootFingerprint.", rule="ca-untrusted-chain"
            )
        await self._find_provisioner()
        return Standing((root,))

    async def order(self, order: Order) -> OrderAnswer:
        names = order.request.csr.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        # step-ca compares to the letter; the CSR's own may differ from the registration id in case.
        name = str(names[0].value) if names else order.registration_id.text
        token = self._token(
            "sign", name, f"{order.operation_id}/{order.attempt}/{order.request.csr_sha256.hex()}"
        )
        csr = order.request.csr.public_bytes(Encoding.PEM).decode("ascii")
        body = msgspec.json.encode({"csr": csr, "ott": token})
        answer = await self._ca.send(order, "POST", f"{self._url}/sign", body, _JSON)
        if not isinstance(answer, HTTPAnswer):
            return answer
        document = read(answer.body)
        if answer.status in {200, 201}:
            return self._signed(order, document)
        words = document.message if document is not None else ""
        if answer.status == 403:
            # What it answers where the certificate is at fault; of a token that is not good it says 401.
            return Rejected(f"{self._ca.called} answered 403 ({self._ca.line(words)}).", "ca-refused")
        return self._ca.refused(order, answer, words)

    async def revoke(self, certificate: IssuedChain, reason: RevocationReason) -> None:
        """See `Revokes`: passively, as step-ca says; its renewal ends, and a CRL has it where one is configured."""
        serial = str(certificate.serial)
        once = f"{serial}/{self._ca.clock.now()}/{next(self._revocations)}"
        body = {
            "serial": serial,
            "ott": self._token("revoke", serial, once),
            "reasonCode": reason.code,
            "reason": reason.value,
            "passive": True,
        }
        answer = await self._ca.ask("POST", f"{self._url}/revoke", msgspec.json.encode(body), _JSON)
        document = read(answer.body)
        if answer.status != 200 and (document is None or _REVOKED_ALREADY not in document.message):
            raise self._rejection(answer)

    def _signed(self, order: Order, document: _Answer | None) -> OrderAnswer:
        if document is None:
            return self._ca.unreadable("its answer is not step-ca's")
        try:
            # The leaf for itself first: with it lost in an answer that holds its issuers, the order is not answered.
            intake.certificates(document.crt)
            found = intake.certificates("\n".join([document.crt, document.ca, *(document.cert_chain or ())]))
        except UpstreamRejected as error:
            return self._ca.unreadable(f"its certificate is unreadable: {error.message}")
        return self._ca.delivered(order, found)

    async def _find_provisioner(self) -> None:
        """Raises UpstreamUnavailable or UpstreamRejected."""
        cursor = ""
        for _ in range(MAX_PROVISIONER_PAGES):
            query = urlencode({"limit": 100, "cursor": cursor})
            answer = await self._ca.ask("GET", f"{self._url}/provisioners?{query}")
            document = read(answer.body)
            if answer.status != 200 or document is None:
                raise self._rejection(answer)
            for one in document.provisioners or ():
                if one.name == self._provisioner and one.type == "JWK" and one.key is not None:
                    return self._same(one.key)
            cursor = document.next_cursor
            if not cursor:
                break
        raise UpstreamRejected(
            f"step-ca has no JWK provisioner named {self._provisioner}.", rule="ca-refused"
        )

    def _same(self, key: _Key) -> None:
        ours = self._key.public
        if (key.x, key.y) != (ours["x"], ours["y"]):
            raise UpstreamRejected(
                f"provisionerKey is not the key of step-ca's provisioner {self._provisioner}.",
                rule="ca-credentials",
            )
        if key.kid != self._key.kid:
            raise UpstreamRejected(
                f"step-ca calls the key of its provisioner {self._provisioner} by another kid; "
                "give provisionerKey as a JWK that has it.",
                rule="ca-credentials",
            )

    def _token(self, call: str, subject: str, once: str) -> str:
        """A one-time token; `once` is what it is for: two of the same are not both accepted."""
        now = int(self._ca.clock.now())
        claims: dict[str, Any] = {
            "iss": self._provisioner,
            "aud": f"{self._url}/{quote(call)}",
            "sub": subject,
            "sans": [],
            "sha": self._root.hex(),
            "iat": now,
            "nbf": now - BACKDATE_S,
            "exp": now + TOKEN_LIFE_S,
            "jti": sha256(f"{self.name}/{call}/{once}".encode()).hexdigest(),
        }
        return self._key.compact({"kid": self._key.kid}, claims)

    def _rejection(self, answer: HTTPAnswer) -> UpstreamRejected:
        document = read(answer.body)
        return self._ca.rejection(answer, document.message if document is not None else "")


def read(body: bytes) -> _Answer | None:
    """Any answer; None where it is not JSON of its form."""
    try:
        return msgspec.json.decode(body, type=_Answer)
    except (ValueError, RecursionError):
        return None
