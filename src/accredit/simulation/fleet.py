"""Run a plan: every device as a task of its own, and the storms that break all connections at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from accredit.simulation.device import GRACE_S, Device, Setting
from accredit.simulation.mqtt_peer import Service
from accredit.simulation.plan import plan
from accredit.simulation.scenario import Scenario
from accredit.simulation.tally import Tally

TELL_EVERY_S = 1.0


async def simulate(
    scenario: Scenario,
    service: Service,
    prefix: str,
    group_key: bytes,
    folder: Path,
    told: Callable[[Tally], None] = lambda _: None,
    grace_s: float = GRACE_S,
) -> tuple[Tally, Sequence[Device]]:
    """Return what came of it, and the devices, when the last one has ended.

    The devices are named `prefix` and a number, and have keys derived from `group_key`; `folder` takes their keys and
    certificates. `told` hears how it goes once a second. What a device came for it tries to get for `grace_s` seconds after the end.
    """
    _raise_file_limit()
    drawn = plan(scenario)
    tally = Tally()
    began_at = asyncio.get_running_loop().time()
    setting = Setting(service, prefix, group_key, scenario, tally, folder, began_at, grace_s)
    devices = [Device(setting, part) for part in drawn.parts]
    async with asyncio.TaskGroup() as group:
        helpers = [asyncio.create_task(_storms(setting, drawn.storms_at_s))]
        helpers.append(asyncio.create_task(_tells(tally, told)))
        for device in devices:
            group.create_task(device.lives())
    for helper in helpers:
        helper.cancel()
    await asyncio.gather(*helpers, return_exceptions=True)
    return tally, devices


async def _storms(setting: Setting, at_s: Sequence[float]) -> None:
    loop = asyncio.get_running_loop()
    for instant in at_s:
        await asyncio.sleep(max(0, setting.began_at + instant - loop.time()))
        setting.tally.happened["storms"] += 1
        breaking, setting.storm = setting.storm, asyncio.Event()
        breaking.set()


async def _tells(tally: Tally, told: Callable[[Tally], None]) -> None:
    while True:
        await asyncio.sleep(TELL_EVERY_S)
        told(tally)


def _raise_file_limit() -> None:
    """Each device holds a socket: take as many files as the system allows this process."""
    with suppress(ImportError, OSError, ValueError):
        import resource  # noqa: PLC0415 - not on every platform

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft < hard:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
