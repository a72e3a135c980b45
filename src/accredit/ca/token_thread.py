"""The one thread that talks to tokens, and how long anybody waits for it.

A module is initialized for callers of one thread, which is what every PKCS#11 module can do, and the sessions and
handles that it gives out are good in one process only: the thread is begun by the first call, and anew after a fork.
It is a daemon, so that a token that never answers does not keep the service from stopping.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from accredit.ca.token_keys import ANSWER_LOST, RETRY_S, UNAVAILABLE
from accredit.domain.errors import UpstreamUnavailable

T = TypeVar("T")

DEADLINE_S = 20.0
"""How long a caller waits for a signature, with those that stand before it."""


STUCK = "The token has not answered an earlier call yet."


class TokenThread:
    """Does one call after the other; `begun` is called in the thread before its first one in this process."""

    def __init__(self, begun: Callable[[], None], deadline_s: float = DEADLINE_S) -> None:
        self._begun = begun
        self._deadline_s = deadline_s
        self._process = 0
        self._thread: threading.Thread | None = None
        self._jobs: queue.SimpleQueue[tuple[Future[Any], Callable[..., Any], tuple[Any, ...]]] = (
            queue.SimpleQueue()
        )
        self._late: Future[Any] | None = None

    def call(self, work: Callable[..., T], *arguments: Any, deadline_s: float | None = None) -> T:
        """Do it there and wait, or here where this is the thread. Raises UpstreamUnavailable, and what the work raises."""
        if threading.current_thread() is self._thread:
            return work(*arguments)
        future: Future[T] = self._submitted(work, arguments)
        try:
            return future.result(deadline_s or self._deadline_s)
        except TimeoutError:
            raise self._gave_up(future) from None

    async def run(self, work: Callable[..., T], *arguments: Any) -> T:
        """The same for the event loop, which goes on meanwhile."""
        future: Future[T] = self._submitted(work, arguments)
        try:
            async with asyncio.timeout(self._deadline_s):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            raise self._gave_up(future) from None

    @property
    def has_begun(self) -> bool:
        """Whether anything was called in this process."""
        return self._process == os.getpid()

    @property
    def is_stuck(self) -> bool:
        """Whether a call that was given up is still not answered."""
        return self._late is not None and not self._late.done()

    def _submitted(self, work: Callable[..., T], arguments: tuple[Any, ...]) -> Future[T]:
        if self._process != os.getpid():
            self._begin()
        if self.is_stuck:
            raise _unavailable(STUCK, UNAVAILABLE)
        self._late = None
        future: Future[T] = Future()
        self._jobs.put((future, work, arguments))
        return future

    def _gave_up(self, future: Future[Any]) -> UpstreamUnavailable:
        """A call that had not begun never will; one that had may have done its work."""
        if future.cancel():
            return _unavailable("The token is too busy to be asked in time.", UNAVAILABLE)
        self._late = future
        return _unavailable(f"The token does not answer within {self._deadline_s:g} s.", ANSWER_LOST)

    def _begin(self) -> None:
        self._process, self._late = os.getpid(), None
        self._jobs = queue.SimpleQueue()
        self._thread = threading.Thread(
            target=self._work, args=(self._jobs,), name="accredit-token", daemon=True
        )
        self._thread.start()

    def _work(self, jobs: queue.SimpleQueue[tuple[Future[Any], Callable[..., Any], tuple[Any, ...]]]) -> None:
        self._begun()
        while True:
            future, work, arguments = jobs.get()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(work(*arguments))
            except BaseException as error:  # noqa: BLE001 - it is the caller's, whatever it is
                future.set_exception(error)
            # What waits for the next call must not be kept from the garbage by the last one.
            del future, work, arguments


def _unavailable(message: str, rule: str) -> UpstreamUnavailable:
    return UpstreamUnavailable(message, rule=rule, retry_after_s=RETRY_S)
