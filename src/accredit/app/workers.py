"""Several processes on one machine: the parent owns the data folder and the ports, and keeps the workers that serve alive.

The ports are bound once, here, and handed down, so that a connection finds whichever worker is free. The first worker
makes what a first start makes; the others start when it is ready. One that dies is started again, soon at first; what it
had begun is gone on with by the others.
"""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, fields
from importlib.util import find_spec
from typing import Any

from accredit.app.data_folder import CannotStart, DataFolder, Running
from accredit.app.ports import Sockets, bound
from accredit.config import Config
from accredit.fronts.listener import LOOPBACK, bind
from accredit.observe import log
from accredit.policy.retry import RetrySchedule
from accredit.values import replace

RESTART = RetrySchedule(base_s=1.0, cap_s=30.0, spread=0.0)
HEALTHY_S = 60.0
"""Who has lived so long and dies is started again at once."""

STOP_S = 25.0
"""How long workers may take to stop before they are killed: longer than their own graces together."""

_MAX_WORD_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Handed:
    """What a worker is started with. `sockets` are file descriptors by wire."""

    config: Config
    sockets: dict[str, list[int]]
    number: int


async def serve(config: Config, started: Callable[[str, Running], None]) -> None:
    """Return once all workers have stopped, after SIGINT or SIGTERM. Raises CannotStart and CannotListen."""
    stop = asyncio.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    with ExitStack() as parts:
        folder = DataFolder(config.data_dir)
        folder.make()
        folder.lock()
        parts.callback(folder.unlock)
        folder.refuse_half_restored()
        shared = bound(_unwatched(config), amqp=find_spec("proton") is not None)
        handed = [_with_metrics(config, shared, number, parts) for number in range(config.workers)]
        for each in shared:
            parts.callback(each.close)
        workers = [_Worker(config, sockets, number, stop) for number, sockets in enumerate(handed)]
        first = asyncio.create_task(workers[0].begun())
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({first, stopped}, return_when=asyncio.FIRST_COMPLETED)
        try:
            if first.done():
                id_scope, running = first.result()
                running = replace(running, pid=os.getpid())
                async with asyncio.TaskGroup() as group:
                    for worker in workers:
                        group.create_task(worker.kept())
                    folder.write_running(running)
                    started(id_scope, running)
        finally:
            first.cancel()
            stopped.cancel()
            await asyncio.gather(*(worker.ended() for worker in workers))


def _unwatched(config: Config) -> Config:
    return replace(config, values={**config.values, "metrics_port": 0})


def _with_metrics(config: Config, shared: Sockets, number: int, parts: ExitStack) -> Sockets:
    """Each worker tells its own metrics: the first one at the port that was set, the others at those behind it."""
    if not config.metrics_port:
        return shared
    own = bind(config.metrics_bind or LOOPBACK, config.metrics_port + number, "--metrics-port")
    for each in own:
        parts.callback(each.close)
    return replace(shared, metrics=own)


class _Worker:
    """One of the processes, and those that come after it."""

    def __init__(self, config: Config, sockets: Sockets, number: int, stop: asyncio.Event) -> None:
        self._config = config
        self._sockets = sockets
        self._number = number
        self._stop = stop
        self._process: Process | None = None

    async def begun(self) -> tuple[str, Running]:
        """Start it; return the id scope, and where it answers, when it is ready. Raises CannotStart with what it says, or that it died."""
        numbers = {
            each.name: [one.fileno() for one in getattr(self._sockets, each.name)]
            for each in fields(self._sockets)
        }
        process = self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # whatever stands in the working directory is no module of ours
            "-m",
            "accredit.app.worker",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            pass_fds=[each.fileno() for each in self._sockets],
            limit=_MAX_WORD_BYTES,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        # The pipe stays open for as long as this process lives: by its end a worker learns that it is alone.
        process.stdin.write(pickle.dumps(Handed(self._config, numbers, self._number)))
        word: dict[str, Any] = json.loads(await process.stdout.readline() or b"{}")
        if "running" in word:
            return word["id_scope"], Running(**word["running"])
        await process.wait()
        raise CannotStart(
            word.get("problem")
            or f"A worker ended with {process.returncode} before it was ready; its log says why."
        )

    async def kept(self) -> None:
        """Start it again whenever it has died, until all stop."""
        failures, loop = 0, asyncio.get_running_loop()
        while not self._stop.is_set():
            since = loop.time()
            try:
                if self._process is None or self._process.returncode is not None:
                    await self.begun()
                await self._died()
                reason = "it died"
            except CannotStart as problem:
                reason = str(problem)
            if self._stop.is_set():
                return
            failures = 0 if loop.time() - since > HEALTHY_S else failures + 1
            wait_s = RESTART.wait_s(failures, 0.0) if failures else 0
            code = None if self._process is None else self._process.returncode
            log.error("worker-died", worker=self._number, code=code, reason=reason, restartInS=wait_s)
            try:
                async with asyncio.timeout(wait_s):
                    await self._stop.wait()
            except TimeoutError:
                continue

    async def _died(self) -> None:
        """Return when the process has ended, or when all stop."""
        assert self._process is not None
        waits = {asyncio.ensure_future(self._process.wait()), asyncio.ensure_future(self._stop.wait())}
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def ended(self) -> None:
        """Have it stop, gracefully while there is time."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(STOP_S):
                await process.wait()
        except TimeoutError:
            log.error("worker-killed", worker=self._number, graceS=STOP_S)
            process.kill()
            await process.wait()
