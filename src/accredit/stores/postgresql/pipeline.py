"""One connection in libpq's pipeline mode: statements go out as they come, their results come back in the same order.

Nobody waits for another's round trip. A statement is prepared where it is first used; its values are sent without types,
so that the columns say what they are. Rows come as tuples of int, str, bytes, bool and None.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
from psycopg.pq import DiagnosticField, ExecStatus
from psycopg.pq.abc import PGresult

from accredit.stores.rows import Row
from accredit.values import dataclass, field

ANSWER_S = 15.0
"""How long a server that says nothing is waited for before its connection is given up, in seconds."""

Statement = tuple[str, list[bytes | None], list[int]]
"""A text, and what stands for each `?` in it: `bound` makes one."""


class Lost(Exception):
    """The connection is gone: what was on its way may have been carried out, or not."""


@dataclass(frozen=True, slots=True)
class Result:
    """`count` is how many rows were changed or found, `did` the server's word for what it did: COMMIT may have done ROLLBACK."""

    rows: list[Row]
    count: int
    did: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """The server refused a statement: `code` is its SQLSTATE."""

    code: str
    message: str


Answer = Result | Failed | None
"""None where a statement was passed over, because one before it was refused."""

_Loader = Callable[[bytes], Any]
_TEXT, _BINARY = 0, 1


def bound(text: str, values: tuple[Any, ...]) -> Statement:
    """Texts and octets go by their length, numbers as digits. What has no place in PostgreSQL's texts, the NUL character,
    is replaced (U+FFFD): somebody else's words must not keep a device out.

    Raises TypeError for a value that no column takes, UnicodeError for half a character.
    """
    encoded: list[bytes | None] = []
    formats = []
    for value in values:
        if isinstance(value, str):
            encoded.append(kept(value).encode())
            formats.append(_BINARY)
        elif value is None or isinstance(value, bytes):
            encoded.append(value)
            formats.append(_BINARY)
        elif isinstance(value, int):
            encoded.append(b"%d" % value)
            formats.append(_TEXT)
        else:
            raise TypeError(f"a value of type {type(value).__name__} has no column")
    return text, encoded, formats


def kept(text: str) -> str:
    """A text as PostgreSQL keeps it."""
    return text.replace("\0", "\ufffd") if "\0" in text else text


def _whole(value: bytes) -> int:
    return int.from_bytes(value, "big", signed=True)


def _truth(value: bytes) -> bool:
    return value != b"\0"


# By the object ids of PostgreSQL's types (pg_type.dat): bool, bytea, int8, int2, int4, text, varchar.
_LOADERS: dict[int, _Loader] = {
    16: _truth, 17: bytes, 20: _whole, 21: _whole, 23: _whole, 25: bytes.decode, 1043: bytes.decode,
}  # fmt: skip


@dataclass(slots=True)
class _Exchange:
    """What goes out together, and fails together."""

    done: asyncio.Future[list[Answer]]
    answers: list[Answer] = field(default_factory=list)
    unprepared: Answer = None
    """Why the statement whose result comes next could not be prepared."""


@dataclass(frozen=True, slots=True)
class _Prepared:
    name: bytes
    loaders: list[_Loader] = field(default_factory=list)
    """Of its columns, from its first result on."""


@dataclass(frozen=True, slots=True)
class _Preparing:
    text: str
    prepared: _Prepared


_Expected = tuple[_Exchange, _Preparing | _Prepared | None]
"""Whose result comes next, and of what: None is the end of an exchange."""


class Pipeline:
    """Over a connection that is this object's alone. In the event loop of its making."""

    def __init__(
        self,
        connection: psycopg.AsyncConnection[Any],
        lost: Callable[[str], None],
        answer_s: float = ANSWER_S,
    ) -> None:
        """`connection` is idle. `lost` is told why it is over, once; nobody else need watch it."""
        self._connection = connection
        self._libpq = connection.pgconn
        self._lost = lost
        self._answer_s = answer_s
        self._over: str | None = None
        self._loop = asyncio.get_running_loop()
        self._socket = self._libpq.socket
        self._expected: deque[_Expected] = deque()
        self._prepared: dict[str, _Prepared] = {}
        self._names = 0
        self._heard_at = 0.0
        self._watched = False
        self._writing = False
        self._libpq.enter_pipeline_mode()
        self._loop.add_reader(self._socket, self._readable)

    @property
    def waiting(self) -> int:
        """How much is on its way."""
        return len(self._expected)

    def run(self, statements: Sequence[Statement]) -> asyncio.Future[list[Answer]]:
        """Send them; the first that is refused ends the rest. The future has their answers, or raises Lost."""
        exchange = _Exchange(self._loop.create_future())
        if self._over is not None:
            exchange.done.set_exception(Lost(self._over))
            return exchange.done
        try:
            for text, values, formats in statements:
                self._send(exchange, text, values, formats)
            self._libpq.pipeline_sync()
            self._expected.append((exchange, None))
            self._flush()
        except psycopg.Error as error:
            self._expected.append((exchange, None))
            self.abandon(str(error))
        if not self._watched:
            self._watched = True
            self._heard_at = self._loop.time()
            self._loop.call_later(self._answer_s, self._watch)
        return exchange.done

    def _send(self, exchange: _Exchange, text: str, values: list[bytes | None], formats: list[int]) -> None:
        prepared = self._prepared.get(text)
        if prepared is None:
            # Only a name whose preparation has succeeded is used again.
            self._names += 1
            prepared = _Prepared(b"s%d" % self._names)
            self._libpq.send_prepare(prepared.name, _numbered(text))
            self._expected.append((exchange, _Preparing(text, prepared)))
        self._libpq.send_query_prepared(prepared.name, values, formats, _BINARY)
        self._expected.append((exchange, prepared))

    def _flush(self) -> None:
        if self._libpq.flush():
            if not self._writing:
                self._writing = True
                self._loop.add_writer(self._socket, self._writable)
        elif self._writing:
            self._writing = False
            self._loop.remove_writer(self._socket)

    def _writable(self) -> None:
        try:
            self._flush()
        except psycopg.Error as error:
            self.abandon(str(error))

    def _readable(self) -> None:
        libpq = self._libpq
        self._heard_at = self._loop.time()
        try:
            libpq.consume_input()
            while self._expected and not libpq.is_busy():
                result = libpq.get_result()
                # Each statement's results end with none.
                if result is not None:
                    self._take(result)
        except psycopg.Error as error:
            self.abandon(str(error))

    def _take(self, result: PGresult) -> None:
        exchange, what = self._expected.popleft()
        status = result.status
        if what is None:
            if status != ExecStatus.PIPELINE_SYNC:
                raise psycopg.InternalError(f"results are out of step: {result.get_error_message()}")
            if not exchange.done.done():
                exchange.done.set_result(exchange.answers)
            return
        if isinstance(what, _Preparing):
            if status == ExecStatus.COMMAND_OK:
                self._prepared[what.text] = what.prepared
            elif status != ExecStatus.PIPELINE_ABORTED:
                # Its statement is passed over then, and hears why.
                exchange.unprepared = self._failed(result)
            return
        answer: Answer
        if status == ExecStatus.TUPLES_OK:
            answer = _found(result, what)
        elif status == ExecStatus.COMMAND_OK:
            answer = Result([], result.command_tuples or 0, (result.command_status or b"").decode())
        elif status == ExecStatus.PIPELINE_ABORTED:
            answer = exchange.unprepared
        else:
            answer = self._failed(result)
        exchange.unprepared = None
        exchange.answers.append(answer)

    def _failed(self, result: PGresult) -> Failed:
        code = result.error_field(DiagnosticField.SQLSTATE) or b""
        message = result.error_field(DiagnosticField.MESSAGE_PRIMARY) or b"the server gave no reason"
        if code == b"0A000":
            # A plan that a newer version's tables have made wrong: the next use prepares anew.
            self._prepared.clear()
        return Failed(code.decode(), message.decode(errors="replace"))

    def _watch(self) -> None:
        if self._over is not None:
            return
        due = self._heard_at + self._answer_s
        if not self._expected:
            self._watched = False
        elif self._loop.time() >= due:
            self.abandon(f"the server has not answered for {self._answer_s:g} seconds")
        else:
            self._loop.call_at(due, self._watch)

    def abandon(self, why: str) -> None:
        """Close the connection; who waits hears Lost."""
        if self._over is not None:
            return
        self._over = why
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._libpq.finish()
        unanswered = {id(exchange): exchange for exchange, _ in self._expected}
        self._expected.clear()
        self._lost(why)
        for exchange in unanswered.values():
            if not exchange.done.done():
                exchange.done.set_exception(Lost(why))

    async def close(self) -> None:
        self.abandon("the connection was closed")
        await self._connection.close()


def _found(result: PGresult, prepared: _Prepared) -> Result:
    loaders = prepared.loaders
    if not loaders:
        loaders.extend(_LOADERS[result.ftype(column)] for column in range(result.nfields))
    value = result.get_value
    columns = tuple(enumerate(loaders))
    rows: list[Row] = [
        tuple([
            None if (cell := value(number, column)) is None else load(cell)
            for column, load in columns
        ])
        for number in range(result.ntuples)
    ]  # fmt: skip
    return Result(rows, len(rows))


def _numbered(text: str) -> bytes:
    """PostgreSQL's own placeholders. No text here has a question mark of another meaning."""
    first, *rest = text.split("?")
    return "".join([first, *(f"${number}{part}" for number, part in enumerate(rest, 1))]).encode()
