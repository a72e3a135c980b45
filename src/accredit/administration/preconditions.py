"""What If-Match allows (RFC 9110, section 13.1.1; for creations Azure's own rule).

| If-Match | exists                     | absent                   |
|----------|----------------------------|--------------------------|
| none     | PUT conflict, DELETE goes  | PUT creates, DELETE none |
| `*`      | PUT replaces, DELETE goes  | PUT creates, DELETE none |
| its etag | PUT replaces, DELETE goes  | precondition failed      |
| another  | precondition failed        | precondition failed      |
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from accredit.domain.errors import Conflict, NotFound, PreconditionFailed, UpstreamUnavailable
from accredit.interfaces import Stale
from accredit.wire.service_api.etags import ANYTHING, IfMatch

ROUNDS = 8
"""How often a change starts over when what it read was changed under it."""

T = TypeVar("T")


def check_put(condition: IfMatch, present: str | None, noun: str) -> None:
    """`present` is the etag of what is there, None when nothing is."""
    _check_etag(condition, present, noun)
    if condition.etag is None and present is not None:
        raise Conflict(
            f"The {noun} exists already.",
            rule="exists-already",
            hint="replace it with If-Match: * (on the command line --replace)",
        )


def check_present(condition: IfMatch, present: str | None, noun: str, unknown: str) -> None:
    """For what needs something to be there: a delete, a move. `unknown` is the rule that fails when nothing is."""
    _check_etag(condition, present, noun)
    if present is None:
        raise NotFound(f"There is no such {noun}.", rule=unknown)


def _check_etag(condition: IfMatch, present: str | None, noun: str) -> None:
    if condition.etag not in (None, ANYTHING, present):
        raise PreconditionFailed(f"The etag in If-Match is not that of the {noun}.", rule="etag")


async def repeated(attempt: Callable[[], Awaitable[T]]) -> T:
    """Run a read-check-commit until its commit finds what it read."""
    for _ in range(ROUNDS):
        try:
            return await attempt()
        except Stale:
            continue
    raise UpstreamUnavailable("It is being changed by other requests.", rule="busy", retry_after_s=1)
