"""Run a service until it is told to stop: SIGINT or SIGTERM drain it."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from collections.abc import Callable
from typing import Any

from accredit.app.data_folder import CannotStart
from accredit.app.service import Service, start
from accredit.config import BadSetting, Config
from accredit.fronts.listener import CannotListen
from accredit.interfaces import StoreUnavailable
from accredit.stores.schema import DatabaseUnusable


def run(config: Config, started: Callable[[Service], None]) -> None:
    """Return once the service has stopped. `started` hears when it is ready. Raises CannotStart."""
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_serve(config, started))
    except (CannotListen, DatabaseUnusable, StoreUnavailable, BadSetting) as error:
        raise CannotStart(str(error)) from None


def _loop_factory() -> Any:
    if sys.platform == "win32":
        return None
    import uvloop  # noqa: PLC0415 - not to be had on every platform

    return uvloop.new_event_loop


async def _serve(config: Config, started: Callable[[Service], None]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, stop.set)
    service = await start(config)
    # What lives as long as the process need not be looked at by every collection.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    started(service)
    await stop.wait()
    await service.drain()
