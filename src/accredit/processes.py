"""The seams between the processes of one service: what they tell each other, and what only one of them may do.

Where there is one process, it hears nothing and may do everything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol, runtime_checkable

from accredit.domain.changes import Change
from accredit.domain.lease import Lease
from accredit.domain.session_cut import SessionCut
from accredit.domain.subjects import Subject


class Bus(Protocol):
    """Tells the other processes of this service what has happened.

    Nothing may rest on it: what must be known stands in the store too, and is looked for there now and then.
    """

    def tell(self, subject: Subject, word: str = "") -> None:
        """Send to every other process; what can't be sent now is lost."""
        ...

    def hear(self, subject: Subject, listener: Callable[[str], None]) -> None:
        """Call `listener` with each word that another process sends, in the event loop."""
        ...


class TellsCuts(Protocol):
    """The part of a store by which processes end each other's sessions. Raises StoreUnavailable."""

    async def session_cuts(self, after: int, limit: int) -> Sequence[SessionCut]:
        """The first that were committed after the one of this number, and are not forgotten."""
        ...

    async def newest_session_cut(self) -> int:
        """The number of the last one, 0 where there is none."""
        ...


@runtime_checkable
class SharedStore(TellsCuts, Protocol):
    """A store that other processes work on too."""

    async def database_time(self) -> float:
        """The database's clock, Unix time in seconds. Raises StoreUnavailable."""
        ...

    def tell(self, changed: Callable[[], None]) -> None:
        """Have `changed` called whenever settings may have changed by another process."""
        ...

    def tell_others(self, raised: Callable[[], None]) -> None:
        """Have `raised` called whenever settings were changed by this process."""
        ...

    def look(self) -> None:
        """See now whether another process has changed settings."""
        ...


class Leases(Protocol):
    """What only one process may do at a time. All instants are of the database's clock, in Unix seconds."""

    shared: bool
    """Whether there may be other processes."""

    def now(self) -> int:
        """The database's time, or a little before it."""
        ...

    def until(self) -> int:
        """When a lease that is taken or renewed now ends."""
        ...

    def in_time(self, expires_at: int) -> AbstractAsyncContextManager[object]:
        """Raises TimeoutError in its block before a lease that ends then has ended: for calls to others."""
        ...

    def turn(self, name: str) -> AbstractAsyncContextManager[Lease]:
        """Hold the lease of this name, as soon as nobody else does. Raises StoreUnavailable."""
        ...

    def held(self, lease: Lease) -> Sequence[Change]:
        """Asserts in a unit of work that the lease was not lost meanwhile."""
        ...

    async def mine(self, duty: str) -> bool:
        """Whether the work of this name, which never ends, is this process's now. Raises StoreUnavailable."""
        ...
