"""Ports for servers that must be told theirs before they start: nobody else is given them meanwhile."""

from __future__ import annotations

import atexit
import socket
import sys

_held: list[socket.socket] = []


def free_port(port: int = 0) -> int:
    """A port of loopback where nobody listens, this one where it is given. Raises OSError where that is taken.

    It stays bound until this process ends. On Linux a server that sets SO_REUSEADDR may listen there all the same
    (socket(7)), while the system neither gives the port to who asks for any, nor takes it for an outgoing connection.
    """
    held = socket.socket()
    try:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", port))
    except OSError:
        held.close()
        raise
    found = int(held.getsockname()[1])
    if sys.platform == "linux":
        _held.append(held)
    else:
        held.close()
    return found


@atexit.register
def _let_go() -> None:
    for each in _held:
        each.close()
