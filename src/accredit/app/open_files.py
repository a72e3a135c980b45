"""Room for connections: each is an open file, and the limit that a process starts with is often far below what is served.

The soft limit is raised as far as it may be; where that is too little, fewer connections are taken than the setting says, and a line says so. A
service that ran out of files could not open its own.
"""

from __future__ import annotations

import resource

from accredit.observe import log

OTHERS = 256
"""Files that are no connections of devices: databases, segments, calls to elsewhere."""


def room_for(connections: int) -> int:
    """How many connections may be open, at most those wanted."""
    needed = connections + OTHERS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        hard = _raised(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return connections
    room = max(soft - OTHERS, soft // 2)
    log.warning("open-files-limited", wanted=connections, connections=room, limit=soft)
    return room


def _raised(needed: int, hard: int) -> int:
    """The hard limit, raised where this process may do that."""
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, needed))
    except (OSError, ValueError):
        return hard
    return needed
