"""AWS Private CA: orders by ARN, asks for the certificate until it is made, revokes by serial number.

The API is `acm-pca` over JSON 1.1 (the service model in botocore names actions, members and errors): `IssueCertificate`
answers with the ARN of a certificate that `GetCertificate` has a moment later. A repeated order carries the same
`IdempotencyToken`, which AWS honours for five minutes; there is no list of what a CA issued, so what was lost can't be
looked up. AWS answers 400 to nearly everything: the error's type says what HTTP's number would.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from typing import Any

import msgspec
from cryptography.hazmat.primitives.serialization import Encoding

from accredit.authorities import intake
from accredit.authorities.upstream import Headers, Surroundings, Upstream
from accredit.domain.authority import AuthorityRecord
from accredit.domain.credential import IssuedChain, Order, RevocationReason
from accredit.domain.errors import Malformed, UpstreamRejected, UpstreamUnavailable
from accredit.egress import HTTPAnswer
from accredit.interfaces import Deferred, OrderAnswer, Pending, Rejected, Standing, Unknown
from accredit.values import dataclass, replace
from accredit.wire.sigv4 import Signer

POLL_S = 2
_DAY_S = 86_400

_ARN = re.compile(
    r"arn:(aws[a-z-]{0,20}):acm-pca:([a-z0-9-]{1,30}):[0-9]{12}:certificate-authority/[0-9a-f-]{36}"
)
_CERTIFICATE = re.compile(r"[\x21-\x7e]{1,200}")
_STATUSES = {
    "AccessDeniedException": 403,
    "ExpiredTokenException": 403,
    "IncompleteSignatureException": 403,
    "InvalidClientTokenId": 403,
    "InvalidSignatureException": 403,
    "MissingAuthenticationTokenException": 403,
    "SignatureDoesNotMatch": 403,
    "UnrecognizedClientException": 403,
    "ThrottlingException": 429,
    "TooManyRequestsException": 429,
    "ServiceUnavailableException": 503,
}
"""AWS's type of error -> the HTTP status that says the same."""

_REASONS = {
    RevocationReason.KEY_COMPROMISE: "KEY_COMPROMISE",
    RevocationReason.CA_COMPROMISE: "CERTIFICATE_AUTHORITY_COMPROMISE",
    RevocationReason.AFFILIATION_CHANGED: "AFFILIATION_CHANGED",
    RevocationReason.SUPERSEDED: "SUPERSEDED",
    RevocationReason.CESSATION_OF_OPERATION: "CESSATION_OF_OPERATION",
    RevocationReason.PRIVILEGE_WITHDRAWN: "PRIVILEGE_WITHDRAWN",
    RevocationReason.AA_COMPROMISE: "A_A_COMPROMISE",
    RevocationReason.UNSPECIFIED: "UNSPECIFIED",
}


class Configuration(msgspec.Struct, rename="pascal"):
    signing_algorithm: str = ""


class Described(msgspec.Struct, rename="pascal"):
    status: str = ""
    certificate_authority_configuration: Configuration = msgspec.field(default_factory=Configuration)


class Answer(msgspec.Struct, rename="pascal"):
    """The members of every answer that is read, errors' too."""

    certificate_authority: Described = msgspec.field(default_factory=Described)
    certificate: str = ""
    certificate_chain: str | None = None
    certificate_arn: str = ""
    kind: str = msgspec.field(name="__type", default="")
    small_message: str = msgspec.field(name="message", default="")
    message: str = ""

    @property
    def error(self) -> str:
        """The type of error without its namespace."""
        return self.kind.rpartition("#")[2]

    @property
    def words(self) -> str:
        return ": ".join(part for part in (self.error, self.message or self.small_message) if part)


def read(body: bytes) -> Answer | None:
    """One answer's document; None when it is none."""
    try:
        return msgspec.json.decode(body or b"{}", type=Answer)
    except (ValueError, RecursionError):
        return None


@dataclass(frozen=True, slots=True)
class _Settings:
    arn: str
    template: str
    url: str
    signer: Signer
    days: int | None


class AwsPrivateCa:
    """`interfaces.Authority`, `PollsOrder`, `Probes` and `Revokes`."""

    in_process = False

    def __init__(self, record: AuthorityRecord, surroundings: Surroundings) -> None:
        """Raises Malformed where the record is not one of AWS Private CA."""
        self.name = record.name
        self.version = record.version
        self._is = _settings(record)
        self._ca = Upstream(record, surroundings, called="AWS Private CA")
        self._algorithm = ""

    async def probe(self) -> Standing:
        """See `Probes`: the CA is active, and its own chain can be read."""
        described = await self._described()
        if described.status != "ACTIVE":
            said = self._ca.line(described.status) or "without a status"
            raise UpstreamRejected(f"The CA at AWS is {said}, not ACTIVE.", rule="ca-refused")
        answer, document = await self._ask("GetCertificateAuthorityCertificate", {})
        if answer.status != 200:
            raise self._ca.rejection(answer, document.words)
        return Standing(intake.certificates(f"{document.certificate}\n{document.certificate_chain or ''}"))

    async def order(self, order: Order) -> OrderAnswer:
        try:
            request = self._request(order, await self._signing_algorithm())
        except UpstreamUnavailable as error:
            return Deferred(error.message, error.retry_after_s)
        except UpstreamRejected as error:
            return Rejected(error.message, error.rule)
        url, body, headers = self._call("IssueCertificate", request)
        sent = await self._ca.send(order, "POST", url, body, headers)
        if not isinstance(sent, HTTPAnswer):
            return sent
        answer, document = _told(sent)
        if answer.status != 200:
            return self._ca.refused(order, answer, document.words)
        if not _CERTIFICATE.fullmatch(document.certificate_arn):
            return self._ca.unreadable("its answer does not name the certificate")
        return await self.poll(order, document.certificate_arn)

    async def poll(self, order: Order, handle: str) -> OrderAnswer:
        """Get the certificate. Where AWS can't say now it stays pending; where it won't say it may still sign."""
        try:
            answer, document = await self._ask("GetCertificate", {"CertificateArn": handle})
        except UpstreamUnavailable as error:
            return Pending(handle, error.retry_after_s)
        except UpstreamRejected as error:
            return Unknown(error.message)
        if document.error == "RequestInProgressException":
            return Pending(handle, POLL_S)
        if document.error == "RequestFailedException":
            return Rejected(self._ca.said(answer, document.words), "ca-refused")
        if answer.status != 200:
            return Unknown(self._ca.said(answer, document.words))
        try:
            found = intake.certificates(f"{document.certificate}\n{document.certificate_chain or ''}")
        except UpstreamRejected as error:
            return self._ca.unreadable(f"its certificate is unreadable: {error.message}")
        return self._ca.delivered(order, found, handle)

    async def revoke(self, certificate: IssuedChain, reason: RevocationReason) -> None:
        octets = certificate.serial.to_bytes((certificate.serial.bit_length() + 7) // 8, "big")
        request = {"CertificateSerial": octets.hex(":"), "RevocationReason": _REASONS[reason]}
        answer, document = await self._ask("RevokeCertificate", request)
        done = answer.status == 200 and not document.error
        if not done and document.error != "RequestAlreadyProcessedException":
            raise self._ca.rejection(answer, document.words)

    # Calls.

    async def _signing_algorithm(self) -> str:
        """What the CA's key signs with. It never changes, so it is asked for once."""
        if not self._algorithm:
            described = await self._described()
            self._algorithm = described.certificate_authority_configuration.signing_algorithm
        return self._algorithm

    async def _described(self) -> Described:
        answer, document = await self._ask("DescribeCertificateAuthority", {})
        if answer.status != 200:
            raise self._ca.rejection(answer, document.words)
        return document.certificate_authority

    async def _ask(self, action: str, members: Mapping[str, Any]) -> tuple[HTTPAnswer, Answer]:
        """A call that signs nothing. Raises UpstreamUnavailable or UpstreamRejected."""
        url, body, headers = self._call(action, members)
        answer, document = _told(await self._ca.ask("POST", url, body, headers))
        if answer.status in {429, 503}:
            raise UpstreamUnavailable(
                self._ca.said(answer, document.words), rule="ca-unavailable", retry_after_s=POLL_S
            )
        return answer, document

    def _call(self, action: str, members: Mapping[str, Any]) -> tuple[str, bytes, Headers]:
        body = msgspec.json.encode({"CertificateAuthorityArn": self._is.arn, **members})
        headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": f"ACMPrivateCA.{action}"}
        signed = self._is.signer.signed("POST", self._is.url, headers, body, self._ca.clock.now())
        return self._is.url, body, signed

    def _request(self, order: Order, algorithm: str) -> dict[str, Any]:
        csr = order.request.csr.public_bytes(Encoding.PEM)
        request: dict[str, Any] = {
            "Csr": base64.b64encode(csr).decode("ascii"),
            "SigningAlgorithm": algorithm,
            "Validity": {
                "Type": "DAYS",
                "Value": self._is.days or max(1, order.profile.validity_s // _DAY_S),
            },
            "IdempotencyToken": hashlib.sha256(order.operation_id.encode()).hexdigest()[:32],
        }
        if self._is.template:
            request["TemplateArn"] = self._is.template
        if "APIPassthrough" in self._is.template:
            request["ApiPassthrough"] = {"Subject": {"CommonName": order.registration_id.text}}
        return request


def _told(answer: HTTPAnswer) -> tuple[HTTPAnswer, Answer]:
    """The answer with the status that its error's type stands for, and its document."""
    document = read(answer.body)
    if document is None:
        document = Answer(kind="what came is not AWS's document")
    return replace(answer, status=_STATUSES.get(document.error, answer.status)), document


def _settings(record: AuthorityRecord) -> _Settings:
    """Raises Malformed."""
    told = record.settings
    arn, secret = str(told.get("arn", "")), record.secrets.get("secretAccessKey")
    found = _ARN.fullmatch(arn)
    if found is None or secret is None or not told.get("accessKeyId"):
        raise Malformed(
            f"Authority {record.name} needs the arn of a certificate authority, accessKeyId and secretAccessKey.",
            rule="ca-settings",
        )
    partition, region = found.groups()
    if told.get("region", region) != region:
        raise Malformed(f"The arn of authority {record.name} is of region {region}.", rule="ca-settings")
    suffix = "amazonaws.com.cn" if partition == "aws-cn" else "amazonaws.com"
    url = told.get("endpointUrl") or f"https://acm-pca.{region}.{suffix}"
    return _Settings(
        arn=arn,
        template=told.get("templateArn", ""),
        url=url.rstrip("/") + "/",
        signer=Signer(told["accessKeyId"], secret, region, "acm-pca"),
        days=told.get("maxValidityDays"),
    )
