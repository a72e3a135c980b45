"""Run a service until it is told to stop: SIGINT or SIGTERM drain it."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from accredit.app.data_folder import CannotStart, Running
from accredit.app.ports import Sockets
from accredit.config import BadSetting, Config
from accredit.fronts.listener import CannotListen
from accredit.interfaces import StoreUnavailable
from accredit.stores.schema import DatabaseUnusable

if TYPE_CHECKING:
    from accredit.app.service import Service


def run(config: Config, started: Callable[[str, Running], None]) -> None:
    """Return once the service has stopped. `started` hears its id scope and where it answers. Raises CannotStart."""
    if config.workers > 1:
        from accredit.app.workers import serve  # noqa: PLC0415 - which one process does without

        _run(serve(config, started))
    else:
        served(config, lambda service, _: started(service.id_scope, service.running))


def served(
    config: Config, started: Callable[[Service, asyncio.Event], None], sockets: Sockets | None = None
) -> None:
    """The same, for one process, which a parent has given its `sockets`. The event that `started` is given stops it."""
    _run(_serve(config, started, sockets))


def _run(serving: Coroutine[Any, Any, None]) -> None:
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(serving)
    except (CannotListen, DatabaseUnusable, StoreUnavailable, BadSetting) as error:
        raise CannotStart(str(error)) from None


def _loop_factory() -> Any:
    if sys.platform == "win32":
        return None
    import uvloop  # noqa: PLC0415 - not to be had on every platform

    return uvloop.new_event_loop


async def _serve(
    config: Config, started: Callable[[Service, asyncio.Event], None], sockets: Sockets | None
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, stop.set)
    # Nearly all that is made until then lives as long as the process: no collection need look at it, now or later.
    gc.disable()
    from accredit.app.service import start  # noqa: PLC0415 - the parent of workers does without

    try:
        service = await start(config, sockets=sockets)
        gc.collect()
        gc.freeze()
    finally:
        gc.enable()
    gc.set_threshold(20_000, 20, 20)
    started(service, stop)
    await stop.wait()
    await service.drain()
