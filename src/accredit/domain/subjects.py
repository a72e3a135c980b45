"""What the processes of one service tell each other."""

from __future__ import annotations

from enum import StrEnum


class Subject(StrEnum):
    """The word beside each is named here; where nothing is, it is empty."""

    OPERATION = "operation"
    """The id of an operation that has ended, or is left to others."""
    RELEASES = "releases"
    REVOCATIONS = "revocations"
