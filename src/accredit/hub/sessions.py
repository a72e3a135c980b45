"""Who is connected to the embedded hubs, one live session for each device of each hub.

A new session takes the place of the old one, which is closed before the new one's first packet is processed (Azure:
400027 ConnectionForcefullyClosedOnNewConnection). Sessions are of this process; one that the device opens at another one
ends the one here as soon as the bus tells of it. Nothing here judges a credential.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from accredit.domain.errors import Throttled
from accredit.domain.ids import DeviceId, RegistrationId
from accredit.domain.linked_hub import FIRST_HUB
from accredit.domain.subjects import Subject
from accredit.processes import Bus

TAKEN_OVER = "the device connected again"
RELEASED = "the device was moved to another hub"

_RETRY_AFTER_S = 30


@dataclass(frozen=True, slots=True, eq=False)
class Session:
    """One connection of a device at the hub of this key. `close` ends it with a reason for the log; it may be called late.

    `registration_id` is the registration that the identity belongs to, if any.
    """

    device_id: DeviceId
    close: Callable[[str], None]
    hub: str = FIRST_HUB
    registration_id: RegistrationId | None = None


class Sessions:
    """The live sessions by device; every method belongs to the event loop's thread."""

    def __init__(self, max_sessions: int = 100_000, bus: Bus | None = None) -> None:
        """Over the `bus` the other processes hear who has connected here, and who is cut."""
        self._max_sessions = max_sessions
        self._bus = bus
        if bus is not None:
            bus.hear(Subject.CONNECTED, self._connected_elsewhere)
        self._live: dict[tuple[str, DeviceId], Session] = {}

    def __len__(self) -> int:
        return len(self._live)

    def connected(self, device_id: DeviceId, hub: str = FIRST_HUB) -> bool:
        return (hub, device_id) in self._live

    def live(self) -> Sequence[Session]:
        """Those that are open now."""
        return list(self._live.values())

    def open(
        self,
        device_id: DeviceId,
        close: Callable[[str], None],
        hub: str = FIRST_HUB,
        registration_id: RegistrationId | None = None,
    ) -> Session:
        """Enter a session, and close the one that it replaces. Raises Throttled when the hub is full."""
        replaced = self._live.get((hub, device_id))
        if replaced is None and len(self._live) >= self._max_sessions:
            raise Throttled(
                "The hub has no room for another connection.",
                rule="hub-full",
                retry_after_s=_RETRY_AFTER_S,
                evidence=f"{self._max_sessions} devices are connected",
            )
        session = Session(device_id, close, hub, registration_id)
        # The new session is entered first: closing the old one may end it at once, and must not end this one.
        self._live[hub, device_id] = session
        if replaced is not None:
            replaced.close(TAKEN_OVER)
        if self._bus is not None:
            self._bus.tell(Subject.CONNECTED, f"{hub}/{device_id.text}")
        return session

    def end(self, session: Session) -> None:
        """The connection is gone; nothing happens when another session has taken its place."""
        place = (session.hub, session.device_id)
        if self._live.get(place) is session:
            del self._live[place]

    def cut(self, device_id: DeviceId, reason: str, hub: str = FIRST_HUB) -> bool:
        """Close the device's connection, if it has one; other processes look for what was committed about it."""
        if self._bus is not None:
            self._bus.tell(Subject.CUTS)
        return self.end_here(device_id, reason, hub)

    def end_here(self, device_id: DeviceId, reason: str, hub: str = FIRST_HUB) -> bool:
        """Close the connection that the device has in this process, if it has one."""
        session = self._live.pop((hub, device_id), None)
        if session is None:
            return False
        session.close(reason)
        return True

    def released(self, hub: str, device_id: DeviceId) -> None:
        """The device is no longer one of this hub."""
        self.cut(device_id, RELEASED, hub)

    def end_all(self, reason: str) -> None:
        """Close all connections of this process."""
        for hub, device_id in list(self._live):
            self.end_here(device_id, reason, hub)

    def _connected_elsewhere(self, word: str) -> None:
        hub, _, device_id = word.partition("/")
        self.end_here(DeviceId(device_id), TAKEN_OVER, hub)
