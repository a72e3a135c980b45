"""A hub elsewhere, over the registry REST API of IoT Hub: `interfaces.RemoteHub` for Azure's hubs and for any that speak as they do.

Every call may run twice. An identity that exists is replaced under its own etag, so that what somebody else keeps in it
(status, reason) stays; tags and desired properties are put whole. Answers are bounded and hostile until read: what a
hub says is for the operator's log and reaches no device. Not here: when a call is made, and who waits for it.

Azure: azure-iothub registry.js, azure-iot-hub protocol/; the rights are those that DPS asks of a linked hub
(RegistryRead, RegistryWrite, ServiceConnect).
"""

from __future__ import annotations

import json
from typing import Literal, NoReturn
from urllib.parse import quote

import msgspec

from accredit import __version__
from accredit.domain.device import DeviceData, HubIdentity
from accredit.domain.errors import Malformed, UpstreamRejected, UpstreamUnavailable
from accredit.domain.ids import DeviceId
from accredit.domain.linked_hub import HubKind, LinkedHub
from accredit.domain.secret import Secret
from accredit.egress import AnswerLost, Egress, HTTPAnswer, NotSent
from accredit.interfaces import Clock, Entropy
from accredit.policy.retry import AUTHORITY_RETRY, retry_after_s
from accredit.wire import sas
from accredit.wire.hub_service import errors
from accredit.wire.hub_service.connection import read_connection
from accredit.wire.hub_service.devices import PresentDevice, identity_document
from accredit.wire.hub_service.twins import data_document, read_present_twin

API_VERSION = "2021-04-12"
DEADLINE_S = 15.0
CONNECT_DEADLINE_S = 5.0
TOKEN_LIFE_S = 3_600
TOKEN_RENEWED_BEFORE_S = 600
"""A token is not used in its last minutes: the hub's clock may be ahead of ours."""

_ROUNDS = 4
_NOT_NOW = frozenset({408, 429, 502, 503, 504})
_NO_TOKEN = Secret(b"")


class AzureHub:
    """`hub.connection_string` says where it is and by which policy it is called."""

    kind: Literal[HubKind.AZURE] = HubKind.AZURE

    def __init__(
        self,
        hub: LinkedHub,
        egress: Egress,
        clock: Clock,
        entropy: Entropy,
        *,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        """`egress` is the hub's own pool of connections. Raises Malformed when the connection string can't be used."""
        assert hub.connection_string is not None
        self.name = hub.name
        self._connection = read_connection(hub.connection_string.reveal().decode())
        self._egress = egress
        self._clock = clock
        self._entropy = entropy
        self._deadline_s = deadline_s
        self._token = _NO_TOKEN
        self._token_ends_at = 0

    async def put(self, identity: HubIdentity) -> None:
        path = _device(identity.device_id)
        for _ in range(_ROUNDS):
            created = await self._call("PUT", path, identity_document(identity, None))
            if created.status == 409:
                if not await self._replace(identity, path):
                    continue
            elif created.status != 200:
                self._refused(created)
            if identity.data is not None:
                await self._put_twin(identity.device_id, identity.data)
            return
        raise UpstreamUnavailable(
            f"The hub {self.name} keeps changing the device.", rule="hub-unavailable", retry_after_s=1
        )

    async def data(self, device_id: DeviceId) -> DeviceData | None:
        answer = await self._call("GET", _twin(device_id))
        if self._is_unknown(answer):
            return None
        if answer.status != 200:
            self._refused(answer)
        try:
            return read_present_twin(answer.body)
        except Malformed as error:
            raise self._unreadable(answer) from error

    async def delete(self, device_id: DeviceId) -> None:
        answer = await self._call("DELETE", _device(device_id), if_match="*")
        if answer.status != 204 and not self._is_unknown(answer):
            self._refused(answer)

    async def probe(self) -> None:
        """Whether the hub would let us do our work; a device of a random name is asked for, which nobody has.

        Raises UpstreamRejected and UpstreamUnavailable, naming the right that is missing.
        """
        nobody = DeviceId(f"accredit-probe-{self._entropy.token(8).hex()}")
        for right, method, path in (
            ("RegistryRead", "GET", _device(nobody)),
            ("RegistryWrite", "DELETE", _device(nobody)),
            ("ServiceConnect", "GET", _twin(nobody)),
        ):
            answer = await self._call(method, path, if_match="*" if method == "DELETE" else None)
            if not self._is_unknown(answer):
                self._refused(answer, right)

    async def _replace(self, identity: HubIdentity, path: str) -> bool:
        """False when the device was changed or deleted under our hands."""
        answer = await self._call("GET", path)
        if self._is_unknown(answer):
            return False
        if answer.status != 200:
            self._refused(answer)
        try:
            present = msgspec.json.decode(answer.body, type=PresentDevice)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise self._unreadable(answer) from error
        document = identity_document(identity, present)
        replaced = await self._call("PUT", path, document, if_match=present.etag)
        if replaced.status == 412 or self._is_unknown(replaced):
            return False
        if replaced.status != 200:
            self._refused(replaced)
        return True

    async def _put_twin(self, device_id: DeviceId, data: DeviceData) -> None:
        answer = await self._call("PUT", _twin(device_id), data_document(data), if_match="*")
        if answer.status != 200:
            self._refused(answer)

    async def _call(
        self, method: str, path: str, document: object = None, *, if_match: str | None = None
    ) -> HTTPAnswer:
        """One exchange; what is to be tried again is raised, every other answer returned."""
        headers: dict[str, str | Secret] = {
            "Authorization": self._authorization(),
            "User-Agent": f"accredit/{__version__}",
        }
        if document is not None:
            headers["Content-Type"] = "application/json; charset=utf-8"
        if if_match is not None:
            headers["If-Match"] = json.dumps(if_match)
        body = b"" if document is None else msgspec.json.encode(document)
        try:
            answer = await self._egress.exchange(
                method,
                f"{self._connection.url}{path}?api-version={API_VERSION}",
                headers=headers,
                body=body,
                deadline_s=self._deadline_s,
                connect_s=CONNECT_DEADLINE_S,
            )
        except (NotSent, AnswerLost) as error:
            reason = f"The hub {self.name} can't be reached: {error.reason}."
            if isinstance(error, NotSent) and error.refused:
                raise UpstreamRejected(
                    reason,
                    rule="hub-egress-refused",
                    hint="ACCREDIT_EGRESS_ALLOW may list loopback addresses; others of its kind are never connected to",
                ) from None
            raise self._not_now(reason, None) from None
        if answer.status in _NOT_NOW or answer.status >= 500:
            raise self._not_now(f"The hub {self.name} answered {answer.status}.", answer)
        return answer

    def _not_now(self, reason: str, answer: HTTPAnswer | None) -> UpstreamUnavailable:
        asked = None if answer is None else retry_after_s(answer.retry_after, self._clock.now())
        return UpstreamUnavailable(
            reason,
            rule="hub-unavailable",
            retry_after_s=asked or AUTHORITY_RETRY.wait_s(1, 0.0),
            evidence="" if answer is None else errors.said_in(answer.body),
        )

    def _refused(self, answer: HTTPAnswer, right: str = "RegistryWrite and ServiceConnect") -> NoReturn:
        """What cannot get better by asking again."""
        said = errors.said_in(answer.body)
        if answer.status in (401, 403):
            raise UpstreamRejected(
                f"The hub {self.name} does not accept this service.",
                rule="hub-refused",
                hint=f"give its connection string a policy with {right}, and a key that is in force",
                evidence=f"{answer.status}: {said}",
            )
        raise UpstreamRejected(
            f"The hub {self.name} answered {answer.status}, which is not what was asked for.",
            rule="hub-answer",
            hint="look at the hub's own limits and state",
            evidence=said,
        )

    def _unreadable(self, answer: HTTPAnswer) -> UpstreamRejected:
        return UpstreamRejected(
            f"The answer of the hub {self.name} can't be read.",
            rule="hub-answer",
            hint="is it an IoT hub that is behind this name?",
            evidence=errors.said_in(answer.body),
        )

    def _is_unknown(self, answer: HTTPAnswer) -> bool:
        # Any other 404 is not a hub's word about a device: a proxy's, or a hub that is gone.
        return answer.status == 404 and errors.name_in(answer.body) == "DeviceNotFound"

    def _authorization(self) -> Secret:
        """A token for the whole hub, made anew before it ends."""
        now = int(self._clock.now())
        if not now < self._token_ends_at - TOKEN_RENEWED_BEFORE_S <= now + TOKEN_LIFE_S:
            connection = self._connection
            self._token_ends_at = now + TOKEN_LIFE_S
            text = sas.make(connection.host, connection.key.reveal(), self._token_ends_at, connection.policy)
            self._token = Secret(text.encode())
        return self._token


def _device(device_id: DeviceId) -> str:
    return f"/devices/{quote(device_id.text, safe='')}"


def _twin(device_id: DeviceId) -> str:
    return f"/twins/{quote(device_id.text, safe='')}"
