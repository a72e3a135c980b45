"""The parts of a unit of work: statements, each with how many rows it must meet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from accredit.domain import changes as c
from accredit.stores import rows
from accredit.values import dataclass, field

Found = Callable[[rows.Row | None], bool]
Expected = int | Found | None
"""How many rows a statement must change, or what its first row must be; None: whatever it does is right."""

Step = tuple[str, tuple[Any, ...], Expected, c.Change | None]


@dataclass(slots=True)
class UnitOfWork:
    """`touches_settings`: whether enrollments, groups, authorities, trust bundles, policies or linked hubs change by it;
    `touches_copies`: whether any of those that are kept in memory do; `touches_setbacks`: whether a device may have some that had none.

    `bound` are the bindings that went into the insertion of their certificates, `chains` what is newly on record.
    """

    steps: list[Step] = field(default_factory=list)
    touches_settings: bool = False
    touches_copies: bool = False
    touches_setbacks: bool = False
    bound: list[c.BindCertificate] = field(default_factory=list)
    chains: dict[tuple[bytes, ...], bytes] = field(default_factory=dict)


def found(row: rows.Row | None) -> bool:
    return row is not None


def absent(row: rows.Row | None) -> bool:
    return row is None


def holds(row: rows.Row | None) -> bool:
    """As `found`, for what only units that touch settings can change."""
    return row is not None


def saved(insert: str, update: str, values: tuple[Any, ...], replaces: str | None, change: c.Change) -> Step:
    """One row of `values`, its key last: new, or in place of the row with the etag `replaces`."""
    return (insert, values, 1, change) if replaces is None else (update, (*values, replaces), 1, change)
