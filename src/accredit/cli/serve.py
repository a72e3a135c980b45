"""`accredit serve`: run the service until it is told to stop."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from accredit.app.data_folder import CannotStart
from accredit.app.service import start
from accredit.cli.problem import Problem
from accredit.config import BadSetting, Config, load
from accredit.fronts.listener import CannotListen
from accredit.observe import configure
from accredit.stores.schema import DatabaseUnusable


def serve(
    data_dir: Annotated[Path | None, typer.Option(help="The folder that holds the service's state.")] = None,
    host: Annotated[
        list[str] | None, typer.Option(help="A host name of the service; may be given more than once.")
    ] = None,
    bind: Annotated[
        list[str] | None, typer.Option(help="An address to listen on; may be given more than once.")
    ] = None,
    https_port: Annotated[int | None, typer.Option(help="HTTPS and WebSocket (443).")] = None,
    mqtt_port: Annotated[int | None, typer.Option(help="MQTT over TLS (8883).")] = None,
    master_key_file: Annotated[Path | None, typer.Option(help="The key that seals secrets at rest.")] = None,
    tls_certificate_file: Annotated[
        Path | None, typer.Option(help="The service's own TLS certificate.")
    ] = None,
    tls_key_file: Annotated[Path | None, typer.Option(help="The key of that certificate.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that serve.")] = None,
    log: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
) -> None:
    """Run the service. Every setting also has a variable ACCREDIT_* and a key in accredit.toml."""
    flags: dict[str, Any] = dict(locals())
    try:
        config = load(flags, os.environ)
    except BadSetting as error:
        raise Problem(str(error)) from None
    writer = configure(config.log)
    try:
        run(config)
    except (CannotStart, CannotListen, DatabaseUnusable) as error:
        raise Problem(str(error)) from None
    finally:
        writer.close()


def run(config: Config) -> None:
    """Serve until SIGINT or SIGTERM, then drain."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(config))


def _loop_factory() -> Any:
    if sys.platform == "win32":
        return None
    import uvloop  # noqa: PLC0415 - not to be had on every platform

    return uvloop.new_event_loop


async def _serve(config: Config) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, stop.set)
    service = await start(config)
    # What lives as long as the process need not be looked at by every collection.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    print(
        f"accredit serves {config.hub_name}: https {service.https_port}, mqtt {service.mqtt_port}, "
        f"id scope {service.id_scope}; `accredit info --data-dir {config.data_dir}` shows the rest",
        flush=True,
    )
    await stop.wait()
    await service.drain()
