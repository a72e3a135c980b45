"""How a command ends that could not do its work: one sentence on stderr that says what to do, and exit code 1."""

from __future__ import annotations


class Problem(Exception):
    """The text is the sentence."""
