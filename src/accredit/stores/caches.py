"""What the store keeps opened in memory: groups, authorities, trust bundles and policies; never individual enrollments.

What can make a copy old empties everything here: a commit that touches settings, of this process or of another one.
Copies are few and made again in microseconds.
"""

from __future__ import annotations

from collections.abc import Awaitable, Hashable
from typing import Any, TypeVar

ValueT = TypeVar("ValueT")

_MAX_ENTRIES = 4096


class Cache:
    """Values by the question that they answer. Only for the thread of the event loop."""

    def __init__(self) -> None:
        self._entries: dict[Hashable, Any] = {}
        self._forgotten = 0

    def get(self, question: Hashable) -> Any:
        """What is known, or None."""
        return self._entries.get(question)

    async def filled(self, question: Hashable, answer: Awaitable[ValueT]) -> ValueT:
        """Wait for the answer and keep it. An empty one is not kept: strangers may ask for anything.

        Nor is one that was asked for before everything was forgotten: it may be older than that.
        """
        before = self._forgotten
        value = await answer
        if value and before == self._forgotten:
            if len(self._entries) >= _MAX_ENTRIES:
                self._entries.clear()
            self._entries[question] = value
        return value

    def forget(self) -> None:
        self._forgotten += 1
        self._entries.clear()
