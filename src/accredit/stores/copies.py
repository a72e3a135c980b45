"""A copy of the SQLite database while it is in use: made by SQLite's online backup, looked at, and marked when put back.

A copy is of one instant, whatever is committed meanwhile, and one file without a write-ahead log. Nothing here needs
the master key: an envelope names its key from outside.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from accredit.domain.issuance_log import Leaf
from accredit.domain.tree_head import TreeHead
from accredit.seal import sealed_with
from accredit.stores import rows, schema
from accredit.stores import statements as sql
from accredit.stores.schema import DatabaseUnusable
from accredit.stores.sealed_columns import SEALED_COLUMNS
from accredit.values import dataclass

_HEAD = "SELECT size, root, signed_at, public_key, signature FROM log_heads ORDER BY size DESC LIMIT 1"
_VOID_PASSWORDS = "DELETE FROM one_time_passwords"


@dataclass(frozen=True, slots=True)
class Contents:
    """What a copy holds: its migrations, the ids (hex) of the master keys that its secrets need, and how much of what."""

    migrations: tuple[str, ...]
    key_ids: tuple[str, ...]
    registrations: int
    certificates: int
    leaves: int
    head: TreeHead | None


def copy(source: Path, to: Path) -> None:
    """Write a copy of the database at `source` to `to`, where nothing is yet. Raises DatabaseUnusable.

    Its pages are checked: a copy of a damaged database would be found out when it is needed.
    """
    os.close(os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    with _opened(source, "ro") as reading, _opened(to, "rw") as writing:
        # All pages in one step are one read transaction: commits go on beside it, and none can make it begin anew.
        reading.backup(writing, pages=-1)
        writing.execute("PRAGMA journal_mode = DELETE")
        problem = writing.execute("PRAGMA quick_check(1)").fetchone()[0]
    if problem != "ok":
        raise DatabaseUnusable(
            f"The database {source} is damaged ({problem}); put an earlier backup back, and keep a copy of what is there."
        )


def contents(path: Path) -> Contents:
    """What stands in a copy. Raises DatabaseUnusable."""
    with _opened(path, "ro") as copied:
        head = copied.execute(_HEAD).fetchone()
        return Contents(
            tuple(sorted(schema.applied(copied))),
            tuple(sorted(_key_ids(copied))),
            _count(copied, "registrations"),
            _count(copied, "certificates"),
            _count(copied, "log_leaves"),
            None if head is None else TreeHead(*head),
        )


def mark_restored(path: Path, leaf: Leaf) -> None:
    """Make a copy fit to be served again: the log tells of it, and what could be used twice is void."""
    with _opened(path, "rw") as copied:
        copied.execute("BEGIN IMMEDIATE")
        copied.execute(sql.INSERT_LEAF, rows.leaf_values(leaf))
        # One that was used after the backup would be good again.
        copied.execute(_VOID_PASSWORDS)
        copied.execute("COMMIT")


@contextmanager
def _opened(path: Path, mode: str) -> Iterator[sqlite3.Connection]:
    try:
        connection = sqlite3.connect(
            f"file:{quote(str(path.absolute()))}?mode={mode}", uri=True, isolation_level=None, timeout=10
        )
        try:
            yield connection
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise DatabaseUnusable(f"The database {path} can't be copied or read: {error}.") from error


def _key_ids(copied: sqlite3.Connection) -> set[str]:
    found: set[str] = set()
    for each in SEALED_COLUMNS:
        heads = copied.execute(
            f"SELECT DISTINCT substr({each.column}, 1, 9) FROM {each.table} WHERE {each.column} IS NOT NULL"  # noqa: S608 - names of our own
        )
        found.update(sealed_with(head) for (head,) in heads)
    return found


def _count(copied: sqlite3.Connection, table: str) -> int:
    return int(copied.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0])  # noqa: S608 - the same
