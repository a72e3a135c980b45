"""What the store keeps opened in memory: groups, authorities, trust bundles and policies; never individual enrollments.

One process owns the database, so its own commits are all that can make a copy old: any that touches settings empties
everything here. Copies are few and made again in microseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar

ValueT = TypeVar("ValueT")

_MAX_ENTRIES = 4096


class Cache:
    """Values by the question that they answer. Only for the thread of the event loop."""

    def __init__(self) -> None:
        self._entries: dict[Hashable, object] = {}

    def remembered(self, question: Hashable, answer: Callable[[], ValueT]) -> ValueT:
        """Return what `answer` says, now or earlier. An empty answer is not kept: strangers may ask for anything."""
        known = self._entries.get(question)
        if known is not None:
            return known  # type: ignore[return-value]  # one kind of question has one type of answer
        value = answer()
        if value:
            if len(self._entries) >= _MAX_ENTRIES:
                self._entries.clear()
            self._entries[question] = value
        return value

    def forget(self) -> None:
        self._entries.clear()
