"""The registry of the embedded hubs over HTTPS, as IoT Hub's service SDKs call it: identities, twins, statistics.

    /devices/{id}          PUT, GET, DELETE      /devices               GET (top)
    /twins/{id}            GET, PATCH, PUT       /statistics/devices    GET

Modules, queries, bulk changes, direct methods and jobs are not part of this hub. Azure: azure-iothub for Node, and
azure-iot-hub for Python.
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from accredit.administration.access import Access
from accredit.domain.errors import Malformed
from accredit.domain.ids import DeviceId
from accredit.fronts.hub_gate import RegistryGate, failures_of, hub_of
from accredit.fronts.service_api.gate import JSON, Counts, Handler, body_of
from accredit.hub.registry import MAX_LISTED, Registry, Shown
from accredit.interfaces import Clock, Entropy, HubAddresses
from accredit.policy.access import Call
from accredit.values import dataclass
from accredit.wire.hub_service import devices, twins
from accredit.wire.service_api.documents import write
from accredit.wire.service_api.etags import IfMatch, if_match, quoted


def routes(
    registry: Registry,
    addresses: HubAddresses,
    access: Access,
    clock: Clock,
    entropy: Entropy,
    counts: Counts | None = None,
) -> list[Route]:
    """`access` is the gate of the hub's realm."""
    gate = RegistryGate(access, clock, entropy, addresses, counts=failures_of(counts))
    return [
        Route(path, gate.behind(call, handler), methods=[method])
        for method, path, call, handler in table(RegistryCalls(registry))
    ]


def table(calls: RegistryCalls) -> tuple[tuple[str, str, Call, Handler], ...]:
    """Every address, with the call that it is."""
    return (
        ("GET", "/devices", Call.LIST_DEVICES, calls.listing),
        ("GET", "/devices/{id}", Call.READ_DEVICE, calls.read),
        ("PUT", "/devices/{id}", Call.WRITE_DEVICE, calls.put),
        ("DELETE", "/devices/{id}", Call.DELETE_DEVICE, calls.delete),
        ("GET", "/twins/{id}", Call.READ_TWIN, calls.twin),
        ("PATCH", "/twins/{id}", Call.WRITE_TWIN, calls.patch_twin),
        ("PUT", "/twins/{id}", Call.WRITE_TWIN, calls.put_twin),
        ("GET", "/statistics/devices", Call.READ_STATISTICS, calls.statistics),
    )


@dataclass(frozen=True, slots=True)
class RegistryCalls:
    registry: Registry

    async def read(self, request: Request, _by: str) -> Response:
        return _identity(await self.registry.read(hub_of(request), _device_id(request)))

    async def put(self, request: Request, by: str) -> Response:
        device_id = _device_id(request)
        sent = devices.read_device(await body_of(request), device_id)
        saved = await self.registry.put(hub_of(request), device_id, sent, _condition(request), by)
        return _identity(saved)

    async def delete(self, request: Request, by: str) -> Response:
        await self.registry.delete(hub_of(request), _device_id(request), _condition(request), by)
        return Response(status_code=204)

    async def listing(self, request: Request, _by: str) -> Response:
        found = await self.registry.listing(hub_of(request), _top(request))
        return _document([devices.device_document(each.device, connected=each.connected) for each in found])

    async def statistics(self, request: Request, _by: str) -> Response:
        total, enabled = await self.registry.counts(hub_of(request))
        return _document(
            {
                "totalDeviceCount": total,
                "enabledDeviceCount": enabled,
                "disabledDeviceCount": total - enabled,
            }
        )

    async def twin(self, request: Request, _by: str) -> Response:
        return _twin(await self.registry.read(hub_of(request), _device_id(request)))

    async def patch_twin(self, request: Request, _by: str) -> Response:
        return await self._change_twin(request, whole=False)

    async def put_twin(self, request: Request, _by: str) -> Response:
        return await self._change_twin(request, whole=True)

    async def _change_twin(self, request: Request, *, whole: bool) -> Response:
        sent = twins.read_twin(await body_of(request))
        condition = _condition(request)
        hub, device_id = hub_of(request), _device_id(request)
        return _twin(await self.registry.change_twin(hub, device_id, sent, condition, whole=whole))


def _identity(shown: Shown) -> Response:
    document = devices.device_document(shown.device, connected=shown.connected)
    return _document(document, shown.device.etag)


def _twin(shown: Shown) -> Response:
    document = twins.twin_document(shown.device, connected=shown.connected)
    return _document(document, twins.etag(shown.device.twin))


def _document(content: Any, etag: str | None = None) -> Response:
    # Content types without application/json make Azure's Node client throw the body away.
    return Response(write(content), 200, {"etag": quoted(etag)} if etag is not None else None, JSON)


def _device_id(request: Request) -> DeviceId:
    return DeviceId.parse_at_hub(request.path_params["id"])


def _condition(request: Request) -> IfMatch:
    return if_match(request.headers.get("if-match"))


def _top(request: Request) -> int:
    text = request.query_params.get("top")
    if text is None:
        return MAX_LISTED
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and int(text) > 0):
        raise Malformed("top is not a whole number above 0.", rule="query-parameter")
    return min(int(text), MAX_LISTED)
