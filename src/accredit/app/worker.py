"""One worker of several (`workers.py`), as a process: serves on the sockets that its parent handed down.

`python -m accredit.app.worker` is nobody's command: what it is started with comes on its standard input, whose end says
that the parent is gone. One line on its standard output says that it is ready, or why it is not.
"""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import socket
import sys
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING

from accredit.app.data_folder import CannotStart
from accredit.app.ports import Sockets
from accredit.app.run import served
from accredit.app.workers import Handed
from accredit.observe import configure

if TYPE_CHECKING:
    from accredit.app.service import Service


def main() -> int:
    try:
        # Its parent wrote it: nobody else has the other end of this pipe.
        handed: Handed = pickle.load(sys.stdin.buffer)  # noqa: S301
    except EOFError:  # who started it is dead already
        return 1
    writer = configure(handed.config.log)
    sockets = Sockets(
        **{
            wire: [socket.socket(fileno=number) for number in numbers]
            for wire, numbers in handed.sockets.items()
        }
    )
    try:
        served(handed.config, _ready, sockets)
    except CannotStart as problem:
        _say({"problem": str(problem)})
        return 1
    finally:
        writer.close()
    return 0


def _ready(service: Service, stop: asyncio.Event) -> None:
    asyncio.get_running_loop().add_reader(0, _parent_gone, stop)
    _say({"id_scope": service.id_scope, "running": asdict(service.running)})


def _parent_gone(stop: asyncio.Event) -> None:
    # Nothing more is ever written to it.
    if not os.read(0, 1):
        asyncio.get_running_loop().remove_reader(0)
        stop.set()


def _say(word: object) -> None:
    # A parent that is gone by now is found out by the other pipe.
    with suppress(BrokenPipeError):
        os.write(1, (json.dumps(word) + "\n").encode())


if __name__ == "__main__":
    sys.exit(main())
