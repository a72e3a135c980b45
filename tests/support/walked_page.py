"""A page of the docs, walked: its commands run for real, in order, and what it shows is held against what they print.

The conventions, all invisible to a reader. Fenced blocks count when their language is `console` (a line that begins
with `$ ` is a command, a backslash at its end continues it, the other lines are what it prints) or `bash` (the whole
block is a script). A comment in front of a block says what is special about it:

    <!-- walk: skip, because ... -->       not run
    <!-- walk: background -->              runs until the page ends; the next block waits for what it shows
    <!-- walk: fails -->                   its last command must end with an error
    <!-- walk: only NAME -->               run when the walk has that name (`variant`)
    <!-- walk: file NAME -->               not a command: the block, in any language, is the content of that file

In what is shown, a line `...` stands for any lines, and what differs from run to run (ids, keys, dates, sizes, times)
is compared by its form only.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

PATIENCE_S = 180.0

_FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
_WALK = re.compile(r"<!-- walk: ([^>]*?) -->\s*\Z")


@dataclass(frozen=True)
class Block:
    """`directive` is the word behind `walk:`, `argument` what follows it."""

    line: int
    language: str
    text: str
    directive: str = ""
    argument: str = ""


@dataclass(frozen=True)
class Command:
    """One command line, and the lines that the page shows below it."""

    line: int
    text: str
    shown: tuple[str, ...] = ()


def blocks(markdown: str) -> Iterator[Block]:
    """The fenced blocks of a page."""
    for fence in _FENCE.finditer(markdown):
        indent = len(fence[1])
        text = "".join(line[indent:] for line in fence[3].splitlines(keepends=True))
        found = _WALK.search(markdown[: fence.start()])
        directive, _, argument = found[1].partition(" ") if found else ("", "", "")
        line = markdown.count("\n", 0, fence.start()) + 1
        yield Block(line, fence[2], text, directive.rstrip(","), argument)


def commands(block: Block) -> list[Command]:
    """What a block runs."""
    if block.language == "bash":
        return [Command(block.line, block.text)]
    found: list[Command] = []
    lines = block.text.splitlines()
    at = 0
    while at < len(lines):
        assert lines[at].startswith("$ "), (
            f"line {block.line + 1 + at}: {lines[at]!r} stands before any command"
        )
        start = at
        text = lines[at][2:]
        while text.endswith("\\"):
            at += 1
            text += "\n" + lines[at]
        at += 1
        shown: list[str] = []
        while at < len(lines) and not lines[at].startswith("$ "):
            shown.append(lines[at])
            at += 1
        found.append(Command(block.line + 1 + start, text, tuple(shown)))
    return found


_VARYING = (
    (re.compile(r"-----BEGIN ([A-Z ]+)-----.*?-----END \1-----(\\n)?", re.DOTALL), "<pem>"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "<instant>"),
    (re.compile(r"\b[A-Z][a-z]{2} +\d{1,2} \d\d:\d\d:\d\d \d{4} GMT"), "<instant>"),
    (re.compile(r"\b\d{4}-\d\d-\d\d\b"), "<day>"),
    (re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "<guid>"),
    (re.compile(r"0ne[0-9A-Z]{8}\b"), "<scope>"),
    (re.compile(r"\b([0-9a-f]{8,}|[0-9A-F]{8,})\b"), "<hex>"),
    (re.compile(r"(?<![0-9A-Za-z+/])[0-9A-Za-z+/]{40,}={0,2}(?![0-9A-Za-z+/=])"), "<key>"),
    (re.compile(r"\b\d+(\.\d+)? (ms|s|bytes)\b"), r"<n> \2"),
    (re.compile(r"\[\d+\] \d+"), "<job>"),
)


def _form(text: str, places: Mapping[str, str]) -> list[str]:
    """The lines without what differs from run to run; `places` are names of this walk, and how the page calls them."""
    for place, called in places.items():
        text = text.replace(place, called)
    for pattern, form in _VARYING:
        text = pattern.sub(form, text)
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def agrees(shown: str, printed: str, places: Mapping[str, str]) -> bool:
    """Whether what was printed is what the page shows."""
    wanted, found = _form(shown, places), _form(printed, places)
    at = 0
    gap = False
    for line in wanted:
        if line == "...":
            gap = True
            continue
        if gap:
            while at < len(found) and found[at] != line:
                at += 1
        if at >= len(found) or found[at] != line:
            return False
        at += 1
        gap = False
    return gap or at == len(found)


@dataclass
class Walk:
    """A shell in `folder` that a page's commands are given to. Use as a context manager."""

    folder: Path
    environment: Mapping[str, str]
    places: Mapping[str, str] = field(default_factory=dict)
    variant: str = ""
    _background: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._shell = subprocess.Popen(
            ["bash", "--norc"],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            cwd=self.folder, env=dict(self.environment), text=True, start_new_session=True,
        )  # fmt: skip
        return self

    def __exit__(self, *_: object) -> None:
        assert self._shell.stdin is not None
        self._shell.stdin.close()
        try:
            self._shell.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self._shell.pid, signal.SIGKILL)
            self._shell.wait()
        for process in reversed(self._background):
            # One that has ended by itself must not keep the others running.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait(PATIENCE_S)

    def page(self, markdown: str) -> int:
        """Walk the whole page; returns how many commands ran."""
        ran = 0
        for block in blocks(markdown):
            if block.directive == "file":
                (self.folder / block.argument).write_text(block.text)
            elif not self._runs(block):
                continue
            elif block.directive == "background":
                (command,) = commands(block)
                self._start(command)
                ran += 1
            else:
                found = commands(block)
                for command in found:
                    self._run(command, fails=block.directive == "fails" and command is found[-1])
                ran += len(found)
        return ran

    def _runs(self, block: Block) -> bool:
        wanted = block.directive != "only" or block.argument == self.variant
        return wanted and block.language in ("console", "bash") and block.directive != "skip"

    def _run(self, command: Command, *, fails: bool) -> None:
        script = self.folder / ".walk-command"
        printed, ended = self.folder / ".walk-printed", self.folder / ".walk-ended"
        ended.unlink(missing_ok=True)
        script.write_text(command.text + "\n")
        assert self._shell.stdin is not None
        self._shell.stdin.write(
            f"source '{script}' </dev/null >'{printed}' 2>&1; echo $? >'{ended}.new'; mv '{ended}.new' '{ended}'\n"
        )
        self._shell.stdin.flush()
        deadline = time.monotonic() + PATIENCE_S
        while not ended.exists():
            assert self._shell.poll() is None, f"line {command.line}: the shell has gone:\n{command.text}"
            assert time.monotonic() < deadline, f"line {command.line}: still running:\n{command.text}"
            time.sleep(0.01)
        text = printed.read_text()
        said = f"line {command.line}:\n$ {command.text}\nprinted:\n{text}"
        assert (ended.read_text().strip() != "0") is fails, f"exit code {ended.read_text().strip()}, {said}"
        if command.shown:
            assert agrees("\n".join(command.shown), text, self.places), (
                f"the page shows something else, {said}"
            )

    def _start(self, command: Command) -> None:
        printed = self.folder / f".walk-background-{len(self._background)}"
        said = printed.with_suffix(".log")
        with printed.open("wb") as sink, said.open("wb") as log:
            process = subprocess.Popen(
                ["bash", "-c", command.text],
                stdin=subprocess.DEVNULL, stdout=sink, stderr=log,
                cwd=self.folder, env=dict(self.environment), start_new_session=True,
            )  # fmt: skip
        self._background.append(process)
        deadline = time.monotonic() + PATIENCE_S
        while not agrees("...\n" + "\n".join(command.shown) + "\n...", printed.read_text(), self.places):
            printing = process.poll() is None and time.monotonic() < deadline
            assert printing, (
                f"line {command.line}: {command.text} does not print what the page shows:\n"
                f"{printed.read_text()}{said.read_text()}"
            )
            time.sleep(0.05)
