"""The registry of an embedded hub: identities and twins as the service side reads and changes them.

Identities made here by hand belong to no registration, until one registers by that device id. What a device has been
issued stands in the place of its own credentials while it is good, as it does at its connections (`identities.py`).
Whoever loses access by a change (disabled, deleted, other credentials) loses the connection too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from accredit.domain.changes import Change, CutSession, DeleteHubDevice, ReplaceHubDevice, SaveTwin
from accredit.domain.device import DeviceData, HubDevice, TwinVersions
from accredit.domain.errors import Conflict, NotFound, PreconditionFailed, UpstreamUnavailable
from accredit.domain.evidence import DeviceKeys
from accredit.domain.ids import DeviceId
from accredit.domain.linked_hub import HubAddress
from accredit.domain.secret import Secret
from accredit.hub.device_twins import DesiredChanges
from accredit.hub.sessions import Sessions
from accredit.interfaces import Clock, Entropy, Stale, Store
from accredit.observe import log
from accredit.policy.twins import check_desired, check_tags, difference, merged
from accredit.values import dataclass, replace
from accredit.wire.hub_service.devices import AuthenticationSent, DeviceSent, KeysSent, ThumbprintsSent
from accredit.wire.hub_service.twins import TwinSent, etag_number
from accredit.wire.service_api.etags import ANYTHING, IfMatch

MAX_LISTED = 1_000
KEY_BYTES = 32
DELETED = "the device was deleted"
CHANGED = "the device was disabled, or its credentials were changed"

_ROUNDS = 8
_TICKS_AT_THE_EPOCH = 621_355_968_000_000_000
_TICKS = 10_000_000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Shown:
    """An identity as the service side sees it: with the credentials that open the hub now."""

    device: HubDevice
    connected: bool


class Registry:
    """Identities and twins of all embedded hubs; each call names its hub."""

    def __init__(
        self,
        store: Store,
        sessions: Sessions,
        clock: Clock,
        entropy: Entropy,
        changes: DesiredChanges | None = None,
    ) -> None:
        """Without `changes` nobody listens to those of twins."""
        self._changes = changes
        self._store = store
        self._sessions = sessions
        self._clock = clock
        self._entropy = entropy

    async def read(self, hub: HubAddress, device_id: DeviceId) -> Shown:
        """Raises NotFound."""
        return await self._shown(await self._present(hub, device_id))

    async def listing(self, hub: HubAddress, limit: int) -> Sequence[Shown]:
        """The first ones by device id."""
        return [await self._shown(device) for device in await self._store.hub_devices(hub.key, limit)]

    async def counts(self, hub: HubAddress) -> tuple[int, int]:
        """How many identities there are, and how many of them are enabled."""
        return await self._store.hub_device_counts(hub.key)

    async def put(
        self, hub: HubAddress, device_id: DeviceId, sent: DeviceSent, condition: IfMatch, by: str
    ) -> Shown:
        """Create without a condition, replace with one. Raises NotFound, Conflict, PreconditionFailed."""
        device, outcome = await _repeated(lambda: self._put(hub, device_id, sent, condition))
        log.info("hub-identity-saved", by=by, hub=hub.name, deviceId=device_id.text, outcome=outcome)
        return await self._shown(device)

    async def delete(self, hub: HubAddress, device_id: DeviceId, condition: IfMatch, by: str) -> None:
        """Raises NotFound and PreconditionFailed."""
        await _repeated(lambda: self._delete(hub, device_id, condition))
        self._sessions.cut(device_id, DELETED, hub.key)
        log.info("hub-identity-deleted", by=by, hub=hub.name, deviceId=device_id.text)

    async def change_twin(
        self, hub: HubAddress, device_id: DeviceId, sent: TwinSent, condition: IfMatch, *, whole: bool
    ) -> Shown:
        """Lay what was sent over the twin, or, when it is `whole`, put each half that was sent in its place.

        A device that listens is told what has changed in its desired properties.
        Raises NotFound, PreconditionFailed and Malformed (`twin-limit`).
        """
        return await _repeated(lambda: self._change_twin(hub, device_id, sent, condition, whole=whole))

    async def _put(
        self, hub: HubAddress, device_id: DeviceId, sent: DeviceSent, condition: IfMatch
    ) -> tuple[HubDevice, str]:
        present = await self._store.hub_device(hub.key, device_id)
        now = int(self._clock.now())
        if present is None:
            if condition.etag is not None:
                raise _no_match(condition)
            created = self._created(hub, device_id, sent, now)
            await self._store.commit([ReplaceHubDevice(created, None)])
            return created, "created"
        if condition.etag is None:
            raise Conflict(
                f"A device with ID '{device_id}' is already registered.",
                rule="exists-already",
                hint="replace it with If-Match",
            )
        _check(condition, present.etag)
        replaced = replace(
            self._authenticated(present, await self._shown(present), sent.authentication),
            etag=self._etag(),
            updated_at=now,
            enabled=sent.enabled,
            status_reason=sent.status_reason,
            data=replace(present.data, iot_edge=sent.iot_edge),
        )
        unit: list[Change] = [ReplaceHubDevice(replaced, present.etag)]
        ends = not replaced.enabled or _credentials(replaced) != _credentials(present)
        if ends:
            unit.append(CutSession(hub.key, device_id, CHANGED))
        await self._store.commit(unit)
        if ends:
            self._sessions.cut(device_id, CHANGED, hub.key)
        return replaced, "replaced"

    def _created(self, hub: HubAddress, device_id: DeviceId, sent: DeviceSent, now: int) -> HubDevice:
        blank = HubDevice(
            device_id=device_id,
            registration_id=None,
            # Azure: a number of .NET ticks, as text.
            generation_id=str(int(self._clock.now() * _TICKS) + _TICKS_AT_THE_EPOCH),
            etag=self._etag(),
            created_at=now,
            updated_at=now,
            enabled=sent.enabled,
            status_reason=sent.status_reason,
            data=DeviceData(iot_edge=sent.iot_edge),
            twin=TwinVersions(updated_at=now),
            hub=hub.key,
        )
        asked = sent.authentication or KeysSent(None, None)
        return self._authenticated(blank, Shown(blank, connected=False), asked)

    def _authenticated(self, device: HubDevice, shown: Shown, asked: AuthenticationSent | None) -> HubDevice:
        """The device with the credentials that were asked for.

        A client that reads an identity and sends it back means to change nothing of them, even where what it was
        shown are the certificates that the device was issued.
        """
        match asked:
            case None:
                return device
            case KeysSent(primary, secondary):
                kept = device.keys
                keys = DeviceKeys(
                    primary or (kept.primary if kept else self._key()),
                    secondary or (kept.secondary if kept else self._key()),
                )
                return replace(device, keys=keys, thumbprint=None, secondary_thumbprint=None)
            case ThumbprintsSent(primary, secondary):
                if (primary, secondary) == (shown.device.thumbprint, shown.device.secondary_thumbprint):
                    return device
                return replace(device, keys=None, thumbprint=primary, secondary_thumbprint=secondary)
            case _:
                return replace(device, keys=None, thumbprint=None, secondary_thumbprint=None)

    async def _delete(self, hub: HubAddress, device_id: DeviceId, condition: IfMatch) -> None:
        present = await self._present(hub, device_id)
        _check(condition, present.etag)
        gone = DeleteHubDevice(hub.key, device_id, present.etag)
        await self._store.commit([gone, CutSession(hub.key, device_id, DELETED)])

    async def _change_twin(
        self, hub: HubAddress, device_id: DeviceId, sent: TwinSent, condition: IfMatch, *, whole: bool
    ) -> Shown:
        present = await self._present(hub, device_id)
        if condition.etag not in (None, ANYTHING) and etag_number(condition.etag) != present.twin.etag:
            raise _no_match(condition)
        before = present.data
        data = replace(
            before,
            tags=before.tags if sent.tags is None else merged({} if whole else before.tags, sent.tags),
            desired=before.desired
            if sent.desired is None
            else merged({} if whole else before.desired, sent.desired),
        )
        check_tags(data.tags)
        check_desired(data.desired)
        now = int(self._clock.now())
        versions = present.twin.after(desired=sent.desired is not None, now=now)
        await self._store.commit([SaveTwin(hub.key, device_id, data, versions, present.twin.etag)])
        if sent.desired is not None and self._changes is not None:
            change = difference(before.desired, data.desired)
            self._changes.tell(hub.key, device_id, change, versions.desired)
        return await self._shown(replace(present, data=data, twin=versions))

    async def _present(self, hub: HubAddress, device_id: DeviceId) -> HubDevice:
        device = await self._store.hub_device(hub.key, device_id)
        if device is None:
            raise NotFound(f"Device {device_id} not registered.", rule="hub-identity-unknown")
        return device

    async def _shown(self, device: HubDevice) -> Shown:
        connected = self._sessions.connected(device.device_id, device.hub)
        owner = device.registration_id
        if owner is None:
            return Shown(device, connected)
        now = int(self._clock.now())
        bindings = await self._store.bindings(owner, device.device_id)
        good = [binding.sha256 for binding in bindings if binding.good(now)]
        if not good:
            return Shown(device, connected)
        newest, second = (*good, None)[:2]
        shown = replace(device, keys=None, thumbprint=newest, secondary_thumbprint=second)
        return Shown(shown, connected)

    def _etag(self) -> str:
        return self._entropy.token(8).hex()

    def _key(self) -> Secret:
        return Secret(self._entropy.token(KEY_BYTES))


def _credentials(device: HubDevice) -> tuple[object, ...]:
    return device.keys, device.thumbprint, device.secondary_thumbprint


def _check(condition: IfMatch, present: str) -> None:
    if condition.etag not in (None, ANYTHING, present):
        raise _no_match(condition)


def _no_match(condition: IfMatch) -> PreconditionFailed | NotFound:
    if condition.etag == ANYTHING:
        return NotFound("The device is not registered.", rule="hub-identity-unknown")
    return PreconditionFailed("The etag in If-Match is not the present one.", rule="etag")


async def _repeated(attempt: Callable[[], Awaitable[T]]) -> T:
    """Run a read-check-commit until its commit finds what it read."""
    for _ in range(_ROUNDS):
        try:
            return await attempt()
        except Stale:
            continue
    raise UpstreamUnavailable("The device is being changed by other requests.", rule="busy", retry_after_s=1)
