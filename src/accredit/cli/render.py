"""Listings: a table for people, one JSON object a line for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

_PIPE_COLUMNS = 4_096


def listing(rows: Iterable[dict[str, Any]], columns: Sequence[tuple[str, str]], *, as_json: bool) -> None:
    """`columns` are (heading, dotted path); with `as_json` every member of every row is printed, streaming."""
    if as_json:
        for row in rows:
            # ASCII can be printed everywhere, and has no U+2028 that ends a line for some readers.
            sys.stdout.write(json.dumps(row) + "\n")
        sys.stdout.flush()
        return
    from rich.console import Console  # noqa: PLC0415 - only tables need it, and it takes its time to load
    from rich.table import Table  # noqa: PLC0415 - the same
    from rich.text import Text  # noqa: PLC0415 - the same

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading, _ in columns:
        table.add_column(heading, overflow="fold")
    for row in rows:
        # Text, because what a device sent may look like markup.
        table.add_row(*(Text(_cell(row, path)) for _, path in columns))
    # A pipe has no width of its own; folding a serial number there would hide it from grep.
    console = Console() if sys.stdout.isatty() else Console(width=_PIPE_COLUMNS)
    if table.row_count:
        console.print(table)
    else:
        console.print("none")


def _cell(row: dict[str, Any], path: str) -> str:
    value: Any = row
    for member in path.split("."):
        value = value.get(member) if isinstance(value, dict) else None
    if value is None:
        return ""
    return inert(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def inert(text: str) -> str:
    """What a device sent must not speak to the terminal: control characters are written as JSON escapes them."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text)


CHART_CHARS = 40


def bars(light: int, dark: int, most: int) -> str:
    """Two bars on one line, the longest of all being `most`; what is not zero is seen."""
    if not most:
        return ""
    drawn = [-(-number * CHART_CHARS // most) for number in (light, dark)]
    return ("▒" * drawn[0] + " " + "█" * drawn[1]).strip() if any(drawn) else ""


def document(value: Any) -> None:
    """One resource, as indented JSON."""
    sys.stdout.write(inert(json.dumps(value, indent=2, ensure_ascii=False)) + "\n")
