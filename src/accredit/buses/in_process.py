"""The bus of one process. An embedded service is its only member, and hears nothing; tests join several services to one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from accredit.domain.subjects import Subject


class Member:
    """One service's end of it (`processes.Bus`)."""

    def __init__(self, members: list[Member]) -> None:
        self._members = members
        self._listeners: dict[Subject, list[Callable[[str], None]]] = {}

    def tell(self, subject: Subject, word: str = "") -> None:
        for member in self._members:
            if member is not self:
                for listener in member._listeners.get(subject, ()):  # noqa: SLF001 - of the same class
                    asyncio.get_running_loop().call_soon(listener, word)

    def hear(self, subject: Subject, listener: Callable[[str], None]) -> None:
        self._listeners.setdefault(subject, []).append(listener)


class InProcessBus:
    """Joins members; what one tells, every other hears in a later turn of the event loop."""

    def __init__(self) -> None:
        self._members: list[Member] = []

    def join(self) -> Member:
        member = Member(self._members)
        self._members.append(member)
        return member
