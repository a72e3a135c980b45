"""Rotation of the master key: everything that is sealed is sealed anew under the first key of the setting.

The service may run meanwhile, when it has loaded both keys and seals with the new one; where none runs, none can start
until this is over. Whoever is broken off begins again where it was. Only when nothing is left under another key is
that key said to be of no more use.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager

from accredit.app import stores
from accredit.app.data_folder import CannotStart, DataFolder
from accredit.config import Config
from accredit.interfaces import StoreUnavailable
from accredit.seal import Sealer, SealError
from accredit.stores.reads import StoreReads
from accredit.stores.schema import DatabaseUnusable
from accredit.values import dataclass

PASSES = 3
"""How often everything is gone over: what changes meanwhile is already sealed with the new key."""

REST = 1.0
"""How long to rest after each portion, in times of what it took: the service has the disk for half of the time at least."""


@dataclass(frozen=True, slots=True)
class KeyUse:
    """`sealing` is the id (hex) of the key that seals, `loaded` all that are loaded, `values` how many envelopes each has closed."""

    sealing: str
    loaded: tuple[str, ...]
    values: Mapping[str, int]

    @property
    def elsewhere(self) -> dict[str, int]:
        """What is still under other keys."""
        return {key: count for key, count in self.values.items() if key != self.sealing}


async def usage(config: Config) -> KeyUse:
    """Raises CannotStart."""
    async with _store(config) as (store, sealer):
        return await _usage(store, sealer)


async def rotate(config: Config, told: Callable[[int], None]) -> KeyUse:
    """Seal everything anew; `told` hears how many values were, now and then. Returns what is under which key then.

    Raises CannotStart where that can't be begun or gone on with; what was done until then stays done.
    """
    async with _store(config) as (store, sealer):
        if len(sealer.key_ids) < 2:
            raise CannotStart(
                f"Only one master key is loaded ({sealer.key_id}): make another with `accredit key new FILE`, and name both, "
                "the new one first: --master-key-file NEW,OLD."
            )
        with _undisturbed(DataFolder(config.data_dir), sealer):
            done = 0
            for _ in range(PASSES):
                async for count in _rested(store.reseal()):
                    done += count
                    told(done)
                if not (await _usage(store, sealer)).elsewhere:
                    break
            return await _usage(store, sealer)


async def _usage(store: StoreReads, sealer: Sealer) -> KeyUse:
    return KeyUse(sealer.key_id, sealer.key_ids, await store.sealed_values())


async def _rested(portions: AsyncIterator[int]) -> AsyncIterator[int]:
    loop = asyncio.get_running_loop()
    began = loop.time()
    async for count in portions:
        yield count
        await asyncio.sleep(REST * (loop.time() - began))
        began = loop.time()


@contextmanager
def _undisturbed(folder: DataFolder, sealer: Sealer) -> Iterator[None]:
    """Own the folder, or see that the service which does can live with what is done here. Raises CannotStart."""
    try:
        folder.lock()
    except CannotStart:
        running = folder.read_running()
        loaded = () if running is None else running.master_keys
        if loaded[:1] != (sealer.key_id,):
            raise CannotStart(
                f"The service that runs on {folder.path} does not seal with the master key {sealer.key_id}: restart it with "
                "--master-key-file NEW,OLD, then rotate again."
            ) from None
    try:
        yield
    finally:
        folder.unlock()


@asynccontextmanager
async def _store(config: Config) -> AsyncIterator[tuple[StoreReads, Sealer]]:
    folder = DataFolder(config.data_dir)
    stores.refuse_none(config)
    folder.refuse_half_restored()
    try:
        sealer = Sealer.load(*config.master_key_paths)
        store = await stores.opened(config, sealer)
        try:
            yield store, sealer
        finally:
            await store.close()
    except (SealError, DatabaseUnusable) as error:
        raise CannotStart(str(error)) from None
    except StoreUnavailable as error:
        raise CannotStart(
            f"Not all could be written to {stores.name(config)} ({error}); run the command again, it goes on."
        ) from None
