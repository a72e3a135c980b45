"""What the processes of one service tell each other."""

from __future__ import annotations

from enum import StrEnum


class Subject(StrEnum):
    """The word beside each is named here; where nothing is, it is empty."""

    OPERATION = "operation"
    """The id of an operation that has ended, or is left to others."""
    RELEASES = "releases"
    REVOCATIONS = "revocations"
    SETTINGS = "settings"
    CHALLENGE = "challenge"
    """The token of a CA's challenge and what answers it, separated by a space."""
    CUTS = "cuts"
    TWINS = "twins"
    """A hub's key and the device whose desired properties have changed, separated by a slash."""
    CONNECTED = "connected"
    """A hub's key and the device that has connected there, separated by a slash."""
