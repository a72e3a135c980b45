"""The gates of the embedded hubs' APIs: which hub a request is for, and whether its token is one for that hub.

The hub is the one that the `Host` header names; a host name that is none of this service's means the first hub. A
token's scope must name that very hub. Policies are shared by all embedded hubs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from accredit.domain.errors import AccreditError, Malformed, Throttled, UpstreamUnavailable
from accredit.domain.linked_hub import HubAddress
from accredit.fronts.service_api.gate import JSON, Counts, Gate, sentence_of
from accredit.interfaces import HubAddresses
from accredit.policy.access import Call
from accredit.values import replace
from accredit.wire.hub_service import errors
from accredit.wire.hub_service.errors import HubError

_VERSION = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(-preview)?")
_PORT = re.compile(r":[0-9]{1,5}\Z")


@dataclass(frozen=True, slots=True)
class FailuresAlone:
    """Counts who is not let in (`Counts`); how often a hub is called is no matter of the provisioning service's limits."""

    counts: Counts

    def service_call(self) -> None:
        """Not counted."""

    def failed(self, refusal: AccreditError, source: str) -> AccreditError:
        return self.counts.failed(refusal, source)


def failures_of(counts: Counts | None) -> FailuresAlone | None:
    return None if counts is None else FailuresAlone(counts)


@dataclass(frozen=True, slots=True)
class HubGate(Gate):
    """Lets in whose token is one for the hub that is addressed; what it refuses is worded as everywhere else."""

    addresses: HubAddresses

    async def _admitted(self, request: Request, call: Call) -> str:
        hub = await self.addresses.at(host_of(request)) or await self.addresses.at(None)
        assert hub is not None, "the first hub is always there"
        request.scope["hub"] = hub
        access = replace(self.access, host_names=hub.host_names)
        return await access.admit(request.headers.get("authorization"), call, request.scope["path"])


@dataclass(frozen=True, slots=True)
class RegistryGate(HubGate):
    """The same in IoT Hub's words, for its service SDKs; they send any api-version that there ever was."""

    def _check_version(self, request: Request) -> None:
        version = request.query_params.get("api-version", "")
        if not _VERSION.fullmatch(version):
            raise Malformed(
                "The api-version is missing or not a date such as 2021-04-12.",
                rule="api-version",
                evidence=f"api-version={version[:64]}",
            )

    def _worded(self, refusal: AccreditError, tracking_id: str) -> Response:
        wait_s = refusal.retry_after_s if isinstance(refusal, Throttled | UpstreamUnavailable) else None
        return self._said(errors.of(refusal), sentence_of(refusal), tracking_id, wait_s)

    def _internal(self, tracking_id: str) -> Response:
        return self._said(errors.INTERNAL, "Internal error", tracking_id)

    def _said(
        self, error: HubError, message: str, tracking_id: str, retry_after_s: int | None = None
    ) -> Response:
        headers = {"iothub-errorcode": error.name}
        if retry_after_s is not None:
            headers["retry-after"] = str(retry_after_s)
        body = errors.body(error, message, tracking_id, self.clock.now())
        return Response(body, error.http, headers, JSON)


def hub_of(request: Request) -> HubAddress:
    """The hub that the gate found the request to be for."""
    hub = request.scope["hub"]
    assert isinstance(hub, HubAddress)
    return hub


def host_of(request: Request) -> str:
    """The host name of the `Host` header, without port and brackets."""
    host = request.headers.get("host", "").strip().rstrip(".")
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return _PORT.sub("", host) if host.count(":") == 1 else host
