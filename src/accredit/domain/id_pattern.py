"""The regular expressions that may describe the registration ids of a group: few forms, so that none takes long.

Characters, `.`, `\\d`, `\\w`, classes in brackets, each with `*`, `+`, `?` or `{n,m}` behind it, and alternatives by `|`.
No parentheses; at most two repetitions of variable length in each alternative, because backtracking over more of them
would let a stranger's registration id hold up everybody (the engine's time is at worst the square of the id's length).
"""

from __future__ import annotations

import re
from functools import lru_cache

from accredit.domain.errors import Malformed

MAX_CHARS = 256
MAX_VARIABLE_REPETITIONS = 2

_ATOM = r"(?:[A-Za-z0-9_:\-]|\\[dw.:\-]|\.|\[\^?[A-Za-z0-9._:\-]+\])"
_FIXED = r"\{\d{1,3}\}"
_VARIABLE = re.compile(r"(?:[*+?]|\{\d{1,3},\d{0,3}\})")
_ALTERNATIVE = re.compile(rf"\^?(?:{_ATOM}(?:{_FIXED}|{_VARIABLE.pattern})?)+\$?")
_CLASS = re.compile(r"\[[^\]]*\]")


@lru_cache(maxsize=4_096)
def id_pattern(text: str) -> re.Pattern[str]:
    """The expression, to be matched against the whole id without regard to case. Raises Malformed."""
    if len(text) > MAX_CHARS:
        raise Malformed(f"idPattern is longer than {MAX_CHARS} characters.", rule="id-pattern")
    for alternative in text.split("|"):
        bare = _CLASS.sub("x", alternative)
        if not _ALTERNATIVE.fullmatch(alternative) or len(_VARIABLE.findall(bare)) > MAX_VARIABLE_REPETITIONS:
            raise Malformed(
                "idPattern is not a regular expression of characters, classes, at most two of * + ? {n,m}, and |.",
                rule="id-pattern",
            )
    try:
        return re.compile(text, re.IGNORECASE | re.ASCII)
    except re.error:
        raise Malformed("idPattern is not a regular expression.", rule="id-pattern") from None
