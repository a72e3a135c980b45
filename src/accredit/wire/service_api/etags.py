"""Etags on the service side (RFC 9110, sections 8.8.3 and 13.1.1).

Azure: the JSON member `etag` carries the quotes inside its text, and clients send it back as it is, without the
quotes, quoted once more, or as a weak one. Which combination may do what is decided in
`administration/preconditions.py`.
"""

from __future__ import annotations

from accredit.values import dataclass

ANYTHING = "*"


@dataclass(frozen=True, slots=True)
class IfMatch:
    """`etag` is None when the request sets no condition, `*` when any present state will do."""

    etag: str | None


NO_CONDITION = IfMatch(None)


def if_match(header: str | None) -> IfMatch:
    """Read an If-Match header. An empty one is a condition that nothing meets."""
    if header is None:
        return NO_CONDITION
    text = header.strip()
    if text[:2] in ("W/", "w/"):
        text = text[2:]
    while len(text) >= 2 and text[0] == text[-1] == '"':
        text = text[1:-1]
    return IfMatch(text)


def quoted(etag: str) -> str:
    """As the ETag header and the `etag` member show it."""
    return f'"{etag}"'
