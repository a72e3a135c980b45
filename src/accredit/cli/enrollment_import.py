"""`accredit enroll import`: individual enrollments from a file of JSON lines, through the service or into a stopped data folder.

Lines are settled in their order, so that one number tells how far a run came. An enrollment that is there already is left as it is:
the same file may be imported again.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, Annotated, Any

import msgspec
import typer

from accredit.app.data_folder import CannotStart
from accredit.cli.connection import ServiceClient
from accredit.cli.local import DataDir, Remote, Trust, client
from accredit.cli.problem import Problem, WrongUsage
from accredit.config import BadSetting, load
from accredit.domain.errors import Malformed
from accredit.domain.ids import RegistrationId
from accredit.values import dataclass
from accredit.wire.service_api.bulk import MAX_ITEMS

AT_ONCE = 8
"""Calls under way: their enrollments share the service's commits."""

CHUNK_LINES = 512
"""Lines that are settled together in a stopped data folder."""

MAX_LINE_BYTES = 1_048_576
"""The largest document that the service takes."""

_EXISTS = 409_001
_LATER = (429, 503)
_PATIENCE_S = 60.0
_TOLD_EVERY = 10_000

_decode = msgspec.json.Decoder(dict[str, Any]).decode


@dataclass(frozen=True, slots=True)
class Line:
    """A line that names an enrollment, or `refusal`: why it does not."""

    number: int
    name: str = ""
    document: bytes = b""
    refusal: str = ""


PRESENT = "there already"
"""The outcome of an enrollment that is left as it is; that of one that was made is empty, any other is a reason."""


@dataclass(slots=True)
class Progress:
    """What became of the lines so far, and which was the last of them."""

    through: int = 0
    created: int = 0
    present: int = 0
    refused: int = 0

    def settle(self, line: Line, outcome: str) -> None:
        """Count a line; tell the reason of one that was refused."""
        self.through = line.number
        if not outcome:
            self.created += 1
        elif outcome == PRESENT:
            self.present += 1
        else:
            self.refused += 1
            whose = f"{line.name}: " if line.name else ""
            typer.echo(f"line {line.number}: {whose}{outcome}", err=True)
        if line.number % _TOLD_EVERY == 0 and sys.stderr.isatty():
            typer.echo(f"{line.number} lines", err=True)

    @property
    def total(self) -> int:
        return self.created + self.present + self.refused

    def summary(self) -> str:
        return f"{self.total} lines: {self.created} enrolled, {self.present} were there already, {self.refused} refused."


def import_(
    file: Annotated[
        Path, typer.Argument(help="One enrollment a line, as JSON; - is standard input.", show_default=False)
    ],
    first: Annotated[
        int, typer.Option("--from", min=1, help="Begin with this line, where an earlier run was broken off.")
    ] = 1,
    offline: Annotated[
        bool,
        typer.Option(
            "--offline", help="Write into the data folder of a service that is stopped: the fastest way."
        ),
    ] = False,
    data_dir: DataDir = None,
    remote: Remote = None,
    trust: Trust = None,
) -> None:
    """Enroll many devices from a file of JSON lines, each the document of one individual enrollment."""
    if offline and remote is not None:
        raise WrongUsage("--offline writes into this machine's data folder: leave --connection-string out.")
    progress = Progress(first - 1)
    with _opened(file) as source, _resumable(progress):
        lines = islice(_lines(source), first - 1, None)
        if offline:
            _offline(lines, progress, data_dir)
        else:
            _online(lines, progress, client(data_dir, remote, trust))
    typer.echo(progress.summary())
    if progress.refused:
        raise Problem(
            "Mend the refused lines and import the file again: what is there already is left as it is."
        )


@contextmanager
def _opened(file: Path) -> Iterator[IO[bytes]]:
    if str(file) == "-":
        yield sys.stdin.buffer
        return
    try:
        source = file.open("rb")
    except OSError as error:
        raise Problem(f"{file} can't be read: {error}.") from None
    with source:
        yield source


@contextmanager
def _resumable(progress: Progress) -> Iterator[None]:
    """Say how to go on, however it was broken off."""
    try:
        yield
    except KeyboardInterrupt:
        raise Problem(f"Broken off.{_go_on(progress)}") from None
    except Problem as problem:
        raise Problem(f"{problem}{_go_on(progress)}") from None


def _go_on(progress: Progress) -> str:
    return f" {progress.summary()} Go on with --from {progress.through + 1}." if progress.total else ""


def _lines(source: IO[bytes]) -> Iterator[Line]:
    number = 0
    while text := source.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(text) > MAX_LINE_BYTES:
            while text and not text.endswith(b"\n"):
                text = source.readline(MAX_LINE_BYTES)
            yield Line(number, refusal=f"The line is longer than {MAX_LINE_BYTES} bytes.")
        elif text.strip():
            yield _line(number, text.strip())


def _line(number: int, text: bytes) -> Line:
    try:
        name = _decode(text).get("registrationId")
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        return Line(number, refusal=f"The line is not a JSON object: {error}.")
    try:
        return Line(number, RegistrationId.parse(str(name or "")).text, text)
    except Malformed as error:
        return Line(number, refusal=error.message)


# Through the service.


def _online(lines: Iterable[Line], progress: Progress, service: ServiceClient) -> None:
    under_way: deque[tuple[list[Line], Future[list[str]]]] = deque()
    with ThreadPoolExecutor(AT_ONCE) as threads:
        try:
            for batch in _batches(lines):
                under_way.append((batch, threads.submit(_sent, service, batch)))
                if len(under_way) > 2 * AT_ONCE:
                    _settle(under_way.popleft(), progress)
            while under_way:
                _settle(under_way.popleft(), progress)
        finally:
            for _, call in under_way:
                call.cancel()


def _settle(done: tuple[list[Line], Future[list[str]]], progress: Progress) -> None:
    for line, outcome in zip(done[0], done[1].result(), strict=True):
        progress.settle(line, outcome)


def _batches(lines: Iterable[Line]) -> Iterator[list[Line]]:
    """As many as one call takes, no name twice among them: errors are told by name."""
    batch: list[Line] = []
    names: set[str] = set()
    for line in lines:
        if len(batch) == MAX_ITEMS or line.name.lower() in names:
            yield batch
            batch, names = [], set()
        batch.append(line)
        if line.name:
            names.add(line.name.lower())
    if batch:
        yield batch


def _sent(service: ServiceClient, batch: list[Line]) -> list[str]:
    """The outcome of each line."""
    outcomes = {line.number: line.refusal for line in batch}
    waiting = {line.name: line for line in batch if not line.refusal}
    gives_up_at = time.monotonic() + _PATIENCE_S
    while waiting:
        body = {"mode": "create", "enrollments": [msgspec.Raw(line.document) for line in waiting.values()]}
        answer = service.call("POST", "/enrollments", _decode(msgspec.json.encode(body))).json()
        later: dict[str, Line] = {}
        for error in answer["errors"]:
            line, code = waiting[error["registrationId"]], error["errorCode"]
            if code // 1_000 in _LATER:
                later[line.name] = line
            outcomes[line.number] = PRESENT if code == _EXISTS else error["errorStatus"]
        waiting = later
        if waiting and time.monotonic() > gives_up_at:
            raise Problem(f"The service can't store anything now: {answer['errors'][0]['errorStatus']}")
        if waiting:
            time.sleep(1)
            outcomes |= dict.fromkeys((line.number for line in waiting.values()), "")
    return [outcomes[line.number] for line in batch]


# Into a stopped data folder.


def _offline(lines: Iterable[Line], progress: Progress, data_dir: Path | None) -> None:
    from accredit.app.offline_import import importing  # noqa: PLC0415 - what `serve` does not need, it need not load

    async def run() -> None:
        numbered = iter(lines)
        async with importing(load({"data_dir": data_dir}, os.environ)) as enroll:
            while chunk := list(islice(numbered, CHUNK_LINES)):
                # A name that comes twice meets itself in the commit; the later line finds that it is there.
                outcomes = await asyncio.gather(
                    *(enroll(line.name, line.document) for line in chunk if not line.refusal)
                )
                found = iter(outcomes)
                for line in chunk:
                    progress.settle(line, line.refusal or _told(next(found)))

    try:
        asyncio.run(run())
    except (CannotStart, BadSetting) as error:
        raise Problem(str(error)) from None


def _told(outcome: str | None) -> str:
    return PRESENT if outcome is None else outcome
