"""The smallest server of this stack: accept, handshake, close. `python -m benchmarks.bare_server PORT FOLDER`.

It answers what it is sent with as many bytes as a provisioning is answered with, and reads none of it.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import cast

import uvloop

from accredit.ca.server_identity import ServerIdentity
from accredit.fronts.listener import Ceiling, Listener, bind
from accredit.fronts.tls_context import server_context
from benchmarks.fleet import EXCHANGES
from benchmarks.service import HOST

ANSWERS = [bytes(answered) for _, answered in EXCHANGES]


class _Answering(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._answers = iter(ANSWERS)

    def data_received(self, data: bytes) -> None:
        self._transport.write(next(self._answers))


async def main(port: int, folder: Path) -> None:
    identity = ServerIdentity.from_pem((folder / "cert.pem").read_bytes(), (folder / "key.pem").read_bytes())
    context = server_context(identity.chain, identity.key)
    sockets = bind([HOST], port, "port")
    await Listener("bare", sockets, lambda: context, _Answering, ceiling=Ceiling(10_000)).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(int(sys.argv[1]), Path(sys.argv[2])))
