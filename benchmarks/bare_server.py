"""The smallest server of this stack: accept, handshake, close. `python -m benchmarks.bare_server PORT FOLDER`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import uvloop

from accredit.ca.server_identity import ServerIdentity
from accredit.fronts.listener import Ceiling, Listener, bind
from accredit.fronts.tls_context import server_context
from benchmarks.service import HOST


async def main(port: int, folder: Path) -> None:
    identity = ServerIdentity.from_pem((folder / "cert.pem").read_bytes(), (folder / "key.pem").read_bytes())
    context = server_context(identity.chain, identity.key)
    sockets = bind([HOST], port, "port")
    await Listener("bare", sockets, lambda: context, asyncio.Protocol, ceiling=Ceiling(10_000)).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(int(sys.argv[1]), Path(sys.argv[2])))
