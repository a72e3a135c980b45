"""An account at an ACME server: the directory, fresh nonces, calls signed by the account's key (RFC 8555, sections 6 and 7.1 to 7.3).

The account is found again by its key after a restart; where there is none yet it is made, bound to the operator's own
account there (EAB, section 7.3.4). Every address that the server names must be at its own host. What an order is, is not
known here.
"""

from __future__ import annotations

import hmac
from typing import Any

import msgspec

from accredit.authorities.jose import SigningKey, decoded, encoded, flattened
from accredit.authorities.upstream import Upstream, rule_of
from accredit.domain.errors import UpstreamRejected, UpstreamUnavailable
from accredit.egress import HTTPAnswer
from accredit.policy.destinations import BadDestination, destination

NONCE_TRIES = 8
_JOSE = {"Content-Type": "application/jose+json"}
_ERRORS = "urn:ietf:params:acme:error:"
_CREDENTIALS = frozenset({"unauthorized", "externalAccountRequired", "accountDoesNotExist"})


class _Directory(msgspec.Struct, rename="camel"):
    new_nonce: str
    new_account: str
    new_order: str
    revoke_cert: str = ""


class Problem(msgspec.Struct):
    """A problem document (RFC 7807), as far as it is read."""

    type: str = ""
    detail: str = ""


class Session:
    """Calls raise NotSent or AnswerLost where no answer came, UpstreamRejected or UpstreamUnavailable where one is no use."""

    def __init__(self, ca: Upstream, directory_url: str, key: SigningKey, email: str = "") -> None:
        self._ca = ca
        self._directory_url = directory_url
        self._key = key
        self._email = email
        self._binding: tuple[str, bytes] | None = None
        self._directory: _Directory | None = None
        self._nonce: str | None = None
        self._account: str | None = None

    def bind(self, key_id: str, mac_key: str) -> None:
        """A new account is the operator's of this key. Raises ValueError where the key is not base64url."""
        self._binding = (key_id, decoded(mac_key.rstrip("=")))

    def key_authorization(self, token: str) -> str:
        """What proves a challenge of the account (section 8.1)."""
        return f"{token}.{self._key.thumbprint}"

    async def directory(self) -> _Directory:
        if self._directory is None:
            answer = await self._plain("GET", self._directory_url)
            try:
                self._directory = msgspec.json.decode(answer.body, type=_Directory)
            except (ValueError, RecursionError):
                raise UpstreamRejected(
                    f"{self._directory_url} is not an ACME directory.", rule="ca-refused"
                ) from None
        return self._directory

    async def account(self) -> str:
        """The account's address, found or made."""
        if self._account is None:
            url = (await self.directory()).new_account
            answer = await self._signed(url, {"onlyReturnExisting": True}, {"jwk": self._key.public})
            if problem_of(answer) == "accountDoesNotExist":
                answer = await self._signed(url, self._new_account(url), {"jwk": self._key.public})
            if answer.status not in {200, 201}:
                raise self.failure(answer)
            self._account = self.place(answer)
        return self._account

    async def post(self, url: str, document: dict[str, Any] | None = None) -> HTTPAnswer:
        """A call of the account, whatever is answered; without a document it only reads (POST-as-GET)."""
        return await self._signed(url, document, {"kid": await self.account()})

    def place(self, answer: HTTPAnswer) -> str:
        """The address of what was made."""
        return self._ours(answer.headers.get("location", ""))

    def failure(self, answer: HTTPAnswer) -> UpstreamRejected | UpstreamUnavailable:
        """What an answer that is no success means, to be raised."""
        words = words_of(answer)
        if answer.status in {429, 503} or answer.status >= 500:
            return UpstreamUnavailable(
                self._ca.said(answer, words), rule="ca-unavailable", retry_after_s=self._ca.pause_s(answer)
            )
        rule = "ca-credentials" if problem_of(answer) in _CREDENTIALS else rule_of(answer.status)
        said = self._ca.said(answer, words)
        if rule == "ca-credentials" and answer.status not in {401, 403}:
            said += " Check the authority's eabKeyId and eabHmacKey."
        return UpstreamRejected(said, rule=rule)

    def _new_account(self, url: str) -> dict[str, Any]:
        document: dict[str, Any] = {"termsOfServiceAgreed": True}
        if self._email:
            document["contact"] = [f"mailto:{self._email}"]
        if self._binding is not None:
            key_id, mac_key = self._binding
            protected = encoded(msgspec.json.encode({"alg": "HS256", "kid": key_id, "url": url}))
            body = encoded(msgspec.json.encode(self._key.public))
            mac = hmac.digest(mac_key, f"{protected}.{body}".encode("ascii"), "sha256")
            document["externalAccountBinding"] = msgspec.Raw(flattened(protected, body, mac))
        return document

    async def _signed(self, url: str, document: dict[str, Any] | None, who: dict[str, Any]) -> HTTPAnswer:
        url = self._ours(url)
        payload = b"" if document is None else msgspec.json.encode(document)
        for _ in range(NONCE_TRIES):
            header = {**who, "nonce": await self._fresh_nonce(), "url": url}
            answer = await self._ca.exchange("POST", url, self._key.flattened(header, payload), _JOSE)
            self._nonce = answer.headers.get("replay-nonce")
            if problem_of(answer) != "badNonce":
                return answer
        raise UpstreamUnavailable(
            f"{self._ca.called} accepts none of its own nonces.",
            rule="ca-unavailable",
            retry_after_s=self._ca.pause_s(None),
        )

    async def _fresh_nonce(self) -> str:
        if self._nonce is None:
            answer = await self._plain("HEAD", (await self.directory()).new_nonce)
            self._nonce = answer.headers.get("replay-nonce")
        nonce, self._nonce = self._nonce, None
        if not nonce:
            raise UpstreamRejected(f"{self._ca.called} gave no nonce.", rule="ca-refused")
        return nonce

    async def _plain(self, method: str, url: str) -> HTTPAnswer:
        answer = await self._ca.exchange(method, self._ours(url))
        if answer.status not in {200, 204}:
            raise self.failure(answer)
        return answer

    def _ours(self, url: str) -> str:
        """The address, if it is at the directory's own host; raises UpstreamRejected."""
        if not _at_one_host(url, self._directory_url):
            raise UpstreamRejected(
                f"{self._ca.called} names an address that is not at its own host.", rule="ca-refused"
            )
        return url


def _at_one_host(url: str, other: str) -> bool:
    try:
        one, two = destination(url), destination(other)
    except BadDestination:
        return False
    return (one.scheme, one.host) == (two.scheme, two.host)


def problem_of(answer: HTTPAnswer) -> str:
    """The error's name (section 6.7), empty where there is none."""
    return _problem(answer).type.removeprefix(_ERRORS)


def words_of(answer: HTTPAnswer) -> str:
    problem = _problem(answer)
    return ": ".join(part for part in (problem.type.removeprefix(_ERRORS), problem.detail) if part)


def _problem(answer: HTTPAnswer) -> Problem:
    try:
        return msgspec.json.decode(answer.body, type=Problem) if answer.status >= 400 else Problem()
    except (ValueError, RecursionError):
        return Problem()
