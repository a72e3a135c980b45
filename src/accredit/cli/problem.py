"""How a command ends that could not do its work: one sentence on stderr that says what to do, and an exit code."""

from __future__ import annotations


class Problem(Exception):
    """Refused or failed. The text is the sentence."""

    exit_code = 1


class WrongUsage(Problem):
    """What was typed can't be right."""

    exit_code = 2
