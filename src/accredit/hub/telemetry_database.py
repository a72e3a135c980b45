"""The telemetry of a data folder of before there were segments: one SQLite file, taken over whole at the first start.

The messages are copied, numbers and all, into a folder that gets its name when it is complete; then the file is deleted. Broken off
anywhere, it begins again, or finds that it is done.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from accredit.domain.device import Telemetry
from accredit.domain.ids import DeviceId
from accredit.hub import segment
from accredit.hub.segments import Entry, Segments, sync_folder
from accredit.interfaces import StoreUnavailable
from accredit.observe import log

_FORMATS = (1, 2)
"""Those of the first had no column for the hub."""

_READ = """
SELECT device_id, enqueued_at, auth_method, properties, system, body, {hub}
FROM messages ORDER BY sequence"""
_ENDS = """
SELECT (SELECT min(sequence) FROM messages), coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'messages'"""
"""The oldest message, if any, and the last number that was ever given; between the two there are no gaps."""

_TOGETHER = 4_096
_NO_QUOTA_BYTES = 1 << 50

_texts = msgspec.json.Decoder(dict[str, str])


def take_over(file: Path, folder: Path) -> None:
    """Make `folder` of the messages in `file`, if that exists. Raises StoreUnavailable; then both stay as they were."""
    if not file.exists():
        return
    try:
        if not folder.exists():
            fresh = folder.with_suffix(".new")
            shutil.rmtree(fresh, ignore_errors=True)
            count = _copied(file, fresh)
            fresh.rename(folder)
            sync_folder(folder.parent)
            log.info("telemetry-taken-over", messages=count)
        for name in (file.name, f"{file.name}-wal", f"{file.name}-shm"):
            file.with_name(name).unlink(missing_ok=True)
    except (OSError, sqlite3.Error, msgspec.MsgspecError) as error:
        raise StoreUnavailable(
            f"the messages of {file} can't be taken over into {folder}: {error}"
        ) from error


def _copied(file: Path, folder: Path) -> int:
    """How many messages were copied."""
    with closing(sqlite3.connect(file)) as database:
        version = database.execute("PRAGMA user_version").fetchone()[0]
        if version not in _FORMATS:
            raise StoreUnavailable(f"{file} has the format {version}, which this version does not read")
        oldest, last = database.execute(_ENDS).fetchone()
        segments = Segments(
            folder, max_age_s=float("inf"), max_bytes=_NO_QUOTA_BYTES, first=oldest or last + 1
        )
        try:
            entries = _entries(database.execute(_READ.format(hub="hub" if version > 1 else "''")))
            while group := list(islice(entries, _TOGETHER)):
                segments.append(group, 0.0)
            return 0 if oldest is None else segments.last_sequence - oldest + 1
        finally:
            segments.close()


def _entries(rows: Iterable[tuple[Any, ...]]) -> Iterator[Entry]:
    for device_id, enqueued_at, auth_method, properties, system, body, hub in rows:
        message = Telemetry(
            device_id=DeviceId(device_id),
            body=body,
            properties=_texts.decode(properties),
            system=_texts.decode(system),
            auth_method=auth_method,
            enqueued_at=enqueued_at,
            hub=hub,
        )
        yield device_id, enqueued_at, hub, segment.payload(message)
