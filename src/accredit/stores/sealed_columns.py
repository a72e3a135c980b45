"""Which columns hold envelopes, and what each envelope is bound to: for whoever must look at all of them.

The rows themselves are read and written by `sealed_rows.py` and `hub_rows.py`, which a test holds against this list.
"""

from __future__ import annotations

from collections.abc import Sequence

from accredit.values import dataclass


@dataclass(frozen=True, slots=True)
class SealedColumn:
    """One column of one table; `key` are the columns of the row's natural key."""

    table: str
    column: str
    key: tuple[str, ...]

    @staticmethod
    def place(values: Sequence[str]) -> str:
        """What the envelope of the row with this key is bound to, beside table and column."""
        # The first hub has no name, so its devices stand under their own.
        return "/".join(filter(None, values))


SEALED_COLUMNS = (
    SealedColumn("states", "sealed", ("name",)),
    SealedColumn("policies", "sealed", ("realm", "name")),
    SealedColumn("authorities", "sealed", ("authority_key",)),
    SealedColumn("linked_hubs", "sealed", ("hub_key",)),
    SealedColumn("enrollments", "sealed", ("kind", "enrollment_key")),
    SealedColumn("enrollments", "sealed_secrets", ("kind", "enrollment_key")),
    SealedColumn("hub_devices", "sealed", ("hub", "device_id")),
)
