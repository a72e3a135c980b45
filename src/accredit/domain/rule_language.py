"""The conditions of an `allocationRule`: a small language in which every expression ends, quickly and without an error.

    registrationId startsWith 'eu-' and not (payload.site == 'lab' or payload.power >= 400)

Operands are texts in quotes, numbers, `true`, `false`, `null`, and names: `registrationId`, `enrollmentId`, `payload`,
`x509.subject`, `x509.issuer` and `tags`, with members by `.member` or `['member']`. Operators are `== != < <= > >=`,
`startsWith`, `endsWith`, `contains`, `matches` (a pattern of `id_pattern.py` for the whole text), and `and`, `or`, `not`.
What a name does not find is `null`; texts compare without regard to case; order is for numbers alone, and what can't
be compared does not hold. Nothing loops, nothing calls out, and the depth, the length and the patterns are bounded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from accredit.domain.errors import Malformed
from accredit.domain.id_pattern import id_pattern
from accredit.values import dataclass

MAX_CHARS = 1_024
MAX_DEPTH = 16
MAX_MATCHED_CHARS = 128
"""A longer text matches no pattern: a pattern's time may grow with the square of the text (as long as an id may be)."""

ROOTS = ("registrationId", "enrollmentId", "payload", "x509", "tags")
"""What there is to ask for, by name."""

Facts = Mapping[str, Any]
Value = Any
_Operand = Callable[[Facts], Value]
_Condition = Callable[[Facts], bool]

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<text>'(?:[^'\\]|\\['"\\])*'|"(?:[^"\\]|\\['"\\])*")
    | (?P<number>-?\d{1,15}(?:\.\d{1,15})?(?![\w.]))
    | (?P<name>[A-Za-z_]\w*)
    | (?P<sign>==|!=|<=|>=|<|>|\(|\)|\[|\]|\.)
    | (?P<end>\Z)
    )""",
    re.VERBOSE | re.ASCII,
)
_LITERALS: Mapping[str, Value] = {"true": True, "false": False, "null": None}
_WORDS = frozenset({"and", "or", "not", "startsWith", "endsWith", "contains", "matches", *_LITERALS})


@dataclass(frozen=True, slots=True)
class Expression:
    """`roots` are the names that it asks for, so that nothing else need be looked up."""

    roots: frozenset[str]
    holds: Callable[[Facts], bool]


@lru_cache(maxsize=4_096)
def expression(text: str) -> Expression:
    """Raises Malformed, with the place."""
    if len(text) > MAX_CHARS:
        raise _malformed(f"longer than {MAX_CHARS} characters")
    return _Reader(text).whole()


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int

    def __str__(self) -> str:
        return "the end" if self.kind == "end" else f"{self.text!r} at character {self.at + 1}"


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while True:
        found = _TOKEN.match(text, at)
        if found is None:
            rest = text[at:].lstrip()
            raise _malformed(f"{rest[:12]!r} at character {len(text) - len(rest) + 1} is not understood")
        kind = found.lastgroup
        assert kind is not None
        yield _Token(kind, found[kind], found.start(kind))
        if kind == "end":
            return
        at = found.end()


class _Reader:
    """Recursive descent: or, and, not, comparison. Its recursion is bounded by MAX_DEPTH."""

    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._at = 0
        self._roots: set[str] = set()

    def whole(self) -> Expression:
        condition = self._any(0)
        if self._next.kind != "end":
            raise _malformed(f"{self._next} is one too many; join conditions with and, or")
        return Expression(frozenset(self._roots), condition)

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _taken(self, *texts: str) -> str | None:
        token = self._next
        if token.kind in {"sign", "name"} and token.text in texts:
            self._at += 1
            return token.text
        return None

    def _any(self, depth: int) -> _Condition:
        parts = [self._all(depth)]
        while self._taken("or"):
            parts.append(self._all(depth))
        return parts[0] if len(parts) == 1 else lambda facts: any(part(facts) for part in parts)

    def _all(self, depth: int) -> _Condition:
        parts = [self._one(depth)]
        while self._taken("and"):
            parts.append(self._one(depth))
        return parts[0] if len(parts) == 1 else lambda facts: all(part(facts) for part in parts)

    def _one(self, depth: int) -> _Condition:
        if depth >= MAX_DEPTH:
            raise _malformed(f"nested more than {MAX_DEPTH} deep")
        if self._taken("not"):
            inner = self._one(depth + 1)
            return lambda facts: not inner(facts)
        if self._taken("("):
            grouped = self._any(depth + 1)
            if not self._taken(")"):
                raise _malformed(f"a ) is missing before {self._next}")
            return grouped
        return self._comparison()

    def _comparison(self) -> _Condition:
        left = self._operand()
        sign = self._taken(*_COMPARISONS, "matches")
        if sign == "matches":
            return _matching(left, self._pattern())
        if sign is None:
            return lambda facts: left(facts) is True
        right = self._operand()
        compare = _COMPARISONS[sign]
        return lambda facts: compare(left(facts), right(facts))

    def _pattern(self) -> re.Pattern[str]:
        token = self._next
        if token.kind != "text":
            raise _malformed(f"matches wants a pattern in quotes, not {token}")
        self._at += 1
        try:
            return id_pattern(_unquoted(token.text))
        except Malformed:
            raise _malformed(
                f"the pattern {token} is not one of characters, classes, at most two of * + ? {{n,m}}, and |"
            ) from None

    def _operand(self) -> _Operand:
        token = self._next
        self._at += token.kind != "end"
        match token.kind:
            case "text":
                return _constant(_unquoted(token.text))
            case "number":
                return _constant(float(token.text))
            case "name" if token.text in _LITERALS:
                return _constant(_LITERALS[token.text])
            case "name" if token.text not in _WORDS:
                return self._name(token)
        raise _malformed(f"a value is wanted, not {token}")

    def _name(self, root: _Token) -> _Operand:
        if root.text not in ROOTS:
            raise _malformed(f"{root} is not one of {', '.join(ROOTS)}")
        self._roots.add(root.text)
        members: list[str] = []
        while (sign := self._taken(".", "[")) is not None:
            token = self._next
            if token.kind != ("name" if sign == "." else "text"):
                raise _malformed(f"a member is wanted after {sign}, not {token}")
            self._at += 1
            members.append(token.text if sign == "." else _unquoted(token.text))
            if sign == "[" and not self._taken("]"):
                raise _malformed(f"a ] is missing before {self._next}")
        return _lookup(root.text, tuple(members))


def _constant(value: Value) -> _Operand:
    return lambda _: value


def _lookup(root: str, members: tuple[str, ...]) -> _Operand:
    def found(facts: Facts) -> Value:
        value = facts.get(root)
        for member in members:
            if not isinstance(value, Mapping):
                return None
            value = value.get(member)
        return value

    return found


def _matching(left: _Operand, pattern: re.Pattern[str]) -> _Condition:
    def holds(facts: Facts) -> bool:
        value = left(facts)
        if not isinstance(value, str) or len(value) > MAX_MATCHED_CHARS:
            return False
        return pattern.fullmatch(value) is not None

    return holds


def _equal(left: Value, right: Value) -> bool:
    if isinstance(left, str) and isinstance(right, str):
        return left.lower() == right.lower()
    if isinstance(left, bool) or isinstance(right, bool) or left is None or right is None:
        return left is right
    return _is_number(left) and _is_number(right) and left == right


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Value, Value], bool]:
    return lambda left, right: _is_number(left) and _is_number(right) and compare(left, right)


def _of_texts(compare: Callable[[str, str], bool]) -> Callable[[Value, Value], bool]:
    def holds(left: Value, right: Value) -> bool:
        return isinstance(left, str) and isinstance(right, str) and compare(left.lower(), right.lower())

    return holds


_COMPARISONS: Mapping[str, Callable[[Value, Value], bool]] = {
    "==": _equal,
    "!=": lambda left, right: not _equal(left, right),
    "<": _ordered(lambda left, right: left < right),
    "<=": _ordered(lambda left, right: left <= right),
    ">": _ordered(lambda left, right: left > right),
    ">=": _ordered(lambda left, right: left >= right),
    "startsWith": _of_texts(str.startswith),
    "endsWith": _of_texts(str.endswith),
    "contains": _of_texts(lambda left, right: right in left),
}


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1])


def _malformed(what: str) -> Malformed:
    return Malformed(f"The condition can't be read: {what}.", rule="allocation-rule")
