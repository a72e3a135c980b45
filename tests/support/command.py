"""The command line in this process: what a command prints, and how it ends. `running_service.accredit` is the slower, real one."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from typing import Any

from accredit.cli.main import main


@dataclass(frozen=True)
class Ran:
    """The exit code and both streams."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        """What `--json` printed, an object a line."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def document(self) -> dict[str, Any]:
        """One resource."""
        told: dict[str, Any] = json.loads(self.out)
        return told

    @property
    def sentence(self) -> str:
        """What it could not do: one line on stderr, and nothing on stdout."""
        assert (self.code, self.out) == (1, ""), self
        assert self.err.endswith(".\n") or self.err.endswith(")\n"), self.err
        assert self.err.count("\n") == 1, self.err
        assert "Traceback" not in self.err
        return self.err.strip()


def command(*arguments: str, given: str = "", **environment: str) -> Ran:
    """Run `accredit` with these arguments, variables and this standard input."""
    out, err = StringIO(), StringIO()
    code: Any = 0
    with _world([*arguments], environment, given), redirect_stdout(out), redirect_stderr(err):
        try:
            main()
        except SystemExit as ended:
            code = ended.code or 0
    assert isinstance(code, int), code
    return Ran(code, out.getvalue(), err.getvalue())


@contextmanager
def _world(arguments: list[str], environment: dict[str, str], given: str) -> Iterator[None]:
    before = sys.argv, sys.stdin, dict(os.environ)
    for name in [name for name in os.environ if name.startswith("ACCREDIT_")]:
        del os.environ[name]
    os.environ.update(environment)
    sys.argv, sys.stdin = ["accredit", *arguments], StringIO(given)
    try:
        yield
    finally:
        sys.argv, sys.stdin, variables = before
        os.environ.clear()
        os.environ.update(variables)
