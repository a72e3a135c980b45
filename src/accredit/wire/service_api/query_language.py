"""The SQL subset of queries (the part of IoT Hub's query language that makes sense of flat documents).

    SELECT * FROM enrollments WHERE provisioningStatus = 'disabled' AND STARTSWITH(registrationId, 'line-1-')

`FROM` may be left out. Comparisons `= != <> < <= > >=`, `IN [..]` or `(..)`, AND, OR, NOT, brackets, and STARTSWITH, ENDSWITH, CONTAINS and
IS_DEFINED. Text stands in single or double quotes, doubled inside. A member without a value equals null and nothing
else. What is not supported is refused by its name. Which members there are is told by `selectable.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from accredit.domain.errors import Malformed
from accredit.values import dataclass

MAX_QUERY_CHARS = 4096
MAX_DEPTH = 32
MAX_CONDITIONS = 64
MAX_VALUES = 100

Literal = str | int | float | bool | None
Selects = Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class Field:
    """One member that conditions may name: its value of a row, and what a literal must be to be compared with it.

    `read` raises ValueError, saying what is wanted. `of` may give a tuple: then any of its values will do.
    """

    name: str
    of: Callable[[Any], Any]
    read: Callable[[Literal], Any]


Fields = Callable[[str], Field | None]


@dataclass(frozen=True, slots=True)
class Comparison:
    """`operator` is one of `= != < <= > >=`, `in`, `startswith`, `endswith`, `contains`, `is_defined`."""

    field: Field
    operator: str
    value: Any

    def selects(self, row: Any) -> bool:
        found = self.field.of(row)
        if self.operator == "!=":
            return not _any(found, lambda one: _same(one, self.value))
        test = _TESTS[self.operator]
        return _any(found, lambda one: test(one, self.value))


@dataclass(frozen=True, slots=True)
class Not:
    inner: Condition

    def selects(self, row: Any) -> bool:
        return not self.inner.selects(row)


@dataclass(frozen=True, slots=True)
class And:
    parts: tuple[Condition, ...]

    def selects(self, row: Any) -> bool:
        return all(part.selects(row) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Or:
    parts: tuple[Condition, ...]

    def selects(self, row: Any) -> bool:
        return any(part.selects(row) for part in self.parts)


Condition = Comparison | Not | And | Or


def parse(text: str, source: str, fields: Fields) -> Condition | None:
    """The condition of a query of `source`, None where it asks for everything. Raises Malformed."""
    if len(text) > MAX_QUERY_CHARS:
        raise Malformed(f"The query has more than {MAX_QUERY_CHARS} characters.", rule="query-malformed")
    return _Parser(_tokens(text), source, fields).query()


# Values.


def _any(found: Any, test: Callable[[Any], bool]) -> bool:
    """Of a list any value will do; an empty one is no value."""
    return any(map(test, found or (None,))) if isinstance(found, tuple) else test(found)


def _same(one: Any, other: Any) -> bool:
    # True is 1 to Python, and is not to JSON.
    return isinstance(one, bool) is isinstance(other, bool) and bool(one == other)


def _ordered(one: Any, other: Any) -> bool:
    if isinstance(one, bool) or isinstance(other, bool):
        return False
    return (isinstance(one, str) and isinstance(other, str)) or (
        isinstance(one, int | float) and isinstance(other, int | float)
    )


_TESTS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": _same,
    "<": lambda one, other: _ordered(one, other) and one < other,
    "<=": lambda one, other: _ordered(one, other) and one <= other,
    ">": lambda one, other: _ordered(one, other) and one > other,
    ">=": lambda one, other: _ordered(one, other) and one >= other,
    "in": lambda one, others: any(_same(one, other) for other in others),
    "startswith": lambda one, other: isinstance(one, str) and one.startswith(other),
    "endswith": lambda one, other: isinstance(one, str) and one.endswith(other),
    "contains": lambda one, other: isinstance(one, str) and other in one,
    "is_defined": lambda one, _: one is not None,
}

# Tokens.

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<text>'(?:[^']|'')*'|"(?:[^"]|"")*")
      | (?P<number>-?[0-9]{1,15}(?:\.[0-9]{1,15})?)(?![\w.])
      | (?P<path>[A-Za-z_$][\w$]*(?:\.[A-Za-z_$][\w$]*)*)
      | (?P<sign><=|>=|<>|!=|[=<>*(),;\[\]])
    )""",
    re.VERBOSE | re.ASCII,
)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str

    def __str__(self) -> str:
        return self.text if len(self.text) <= 40 else self.text[:37] + "..."


_END = _Token("end", "the end")


def _tokens(text: str) -> list[_Token]:
    tokens = []
    place, end = 0, len(text.rstrip())
    while place < end:
        found = _TOKEN.match(text, place)
        if found is None:
            rest = text[place:end].strip()
            raise Malformed(f"The query can't be read at {rest[:40]!r}.", rule="query-malformed")
        tokens.append(_Token(found.lastgroup or "", found[0].strip()))
        place = found.end()
    return tokens


_LITERAL_WORDS: Mapping[str, Literal] = {"true": True, "false": False, "null": None}
_FUNCTIONS = frozenset({"startswith", "endswith", "contains", "is_defined"})
_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "=", "!=": "!="}
_UNSUPPORTED = frozenset(
    {"order", "group", "having", "limit", "offset", "top", "join", "union", "as", "like", "between", "is"}
)


class _Parser:
    """Recursive descent; `depth` and the count of conditions keep it small whatever is sent."""

    def __init__(self, tokens: list[_Token], source: str, fields: Fields) -> None:
        self._tokens = tokens
        self._place = 0
        self._source = source
        self._fields = fields
        self._conditions = 0

    def query(self) -> Condition | None:
        whole = f"SELECT * FROM {self._source}"  # noqa: S608 - part of a sentence; nothing runs it
        if not self._word("select"):
            raise Malformed(f"The query does not begin with {whole}.", rule="query-malformed")
        if not self._sign("*"):
            raise _unsupported(f"SELECT {self._peek()}", f"only {whole} is")
        # Azure: the CLI asks for `SELECT *` alone; the address says of what.
        if self._word("from") and self._take().text.lower() != self._source.lower():
            raise Malformed(f"This address answers queries FROM {self._source} only.", rule="query-source")
        condition = self._or(0) if self._word("where") else None
        self._sign(";")
        if self._peek() is not _END:
            self._refuse(self._peek())
        return condition

    def _or(self, depth: int) -> Condition:
        parts = [self._and(depth)]
        while self._word("or"):
            parts.append(self._and(depth))
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _and(self, depth: int) -> Condition:
        parts = [self._not(depth)]
        while self._word("and"):
            parts.append(self._not(depth))
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _not(self, depth: int) -> Condition:
        if depth > MAX_DEPTH:
            raise Malformed(f"The query nests more than {MAX_DEPTH} levels deep.", rule="query-malformed")
        if self._word("not"):
            return Not(self._not(depth + 1))
        if self._sign("("):
            inner = self._or(depth + 1)
            self._expect(")")
            return inner
        self._conditions += 1
        if self._conditions > MAX_CONDITIONS:
            raise Malformed(f"The query has more than {MAX_CONDITIONS} conditions.", rule="query-malformed")
        return self._predicate()

    def _predicate(self) -> Condition:
        token = self._take()
        if token.kind == "path" and self._peek().text == "(":
            return self._function(token)
        if token.kind != "path" or token.text.lower() in _LITERAL_WORDS:
            value = self._literal(token)
            operator = _FLIPPED[self._operator()]
            field = self._field(self._take())
            return Comparison(field, operator, _read(field, value))
        field = self._field(token)
        if self._word("not"):
            if not self._word("in"):
                self._refuse(self._peek())
            return Not(self._in(field))
        if self._word("in"):
            return self._in(field)
        operator = self._operator()
        return Comparison(field, operator, _read(field, self._literal(self._take())))

    def _function(self, token: _Token) -> Condition:
        name = token.text.lower()
        if name not in _FUNCTIONS:
            raise _unsupported(f"The function {token}", f"there are {', '.join(sorted(_FUNCTIONS)).upper()}")
        self._expect("(")
        field = self._field(self._take())
        value: Any = None
        if name != "is_defined":
            self._expect(",")
            value = self._literal(self._take())
            if not isinstance(value, str):
                raise Malformed(f"{token} compares with a text in quotes.", rule="query-value")
            # Of an instant or an etag, part of the text means nothing.
            value = _read(field, value)
            if not isinstance(value, str):
                raise Malformed(f"{token} can't be asked of {field.name}.", rule="query-value")
        self._expect(")")
        return Comparison(field, name, value)

    def _in(self, field: Field) -> Condition:
        opened = self._take()
        if opened.text not in ("[", "("):
            self._refuse(opened)
        values = [_read(field, self._literal(self._take()))]
        while self._sign(","):
            values.append(_read(field, self._literal(self._take())))
            if len(values) > MAX_VALUES:
                raise Malformed(f"IN lists more than {MAX_VALUES} values.", rule="query-malformed")
        self._expect("]" if opened.text == "[" else ")")
        return Comparison(field, "in", tuple(values))

    def _operator(self) -> str:
        token = self._take()
        operator = "!=" if token.text == "<>" else token.text
        if token.kind != "sign" or operator not in _FLIPPED:
            self._refuse(token)
        return operator

    def _literal(self, token: _Token) -> Literal:
        if token.kind == "text":
            quote = token.text[0]
            return token.text[1:-1].replace(quote * 2, quote)
        if token.kind == "number":
            return float(token.text) if "." in token.text else int(token.text)
        if token.kind != "path":
            self._refuse(token)
        if token.text.lower() in _LITERAL_WORDS:
            return _LITERAL_WORDS[token.text.lower()]
        raise Malformed(
            f"The query compares with {str(token)!r}, which is no value; text stands in quotes.",
            rule="query-malformed",
        )

    def _field(self, token: _Token) -> Field:
        if token.kind != "path":
            self._refuse(token)
        if token.text.lower() in _UNSUPPORTED:
            self._refuse(token)
        field = self._fields(token.text)
        if field is None:
            raise Malformed(
                f"A query of {self._source} can't ask for {str(token)!r}.",
                rule="query-field",
                hint="the names are those of the documents, such as registrationId or provisioningStatus",
            )
        return field

    def _refuse(self, token: _Token) -> NoReturn:
        if token.kind == "path" and token.text.lower() in _UNSUPPORTED:
            raise _unsupported(token.text.upper(), "see the service API's page for what a query may hold")
        raise Malformed(f"The query can't be read at {str(token)!r}.", rule="query-malformed")

    def _peek(self) -> _Token:
        return self._tokens[self._place] if self._place < len(self._tokens) else _END

    def _take(self) -> _Token:
        token = self._peek()
        self._place += 1
        return token

    def _word(self, word: str) -> bool:
        token = self._peek()
        if token.kind == "path" and token.text.lower() == word:
            self._place += 1
            return True
        return False

    def _sign(self, sign: str) -> bool:
        token = self._peek()
        if token.kind == "sign" and token.text == sign:
            self._place += 1
            return True
        return False

    def _expect(self, sign: str) -> None:
        if not self._sign(sign):
            self._refuse(self._peek())


def _read(field: Field, value: Literal) -> Any:
    if value is None:
        return None
    try:
        return field.read(value)
    except ValueError as wanted:
        raise Malformed(f"{field.name} is compared with {wanted}.", rule="query-value") from None


def _unsupported(what: str, hint: str) -> Malformed:
    return Malformed(f"{what} is not supported in a query.", rule="query-unsupported", hint=hint)
