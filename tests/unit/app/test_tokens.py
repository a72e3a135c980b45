"""What the settings say of the PKCS#11 module, and what is said where it can't be used."""

from __future__ import annotations

import sys
from contextlib import AsyncExitStack

import pytest

from accredit.app.data_folder import CannotStart
from accredit.app.tokens import token_hardware
from accredit.domain.ids import AuthorityName
from accredit.domain.secret import Secret
from accredit.seal import Sealer
from accredit.stores.sqlite import SqliteStore
from support.counted_entropy import CountedEntropy
from support.hand_clock import HandClock

CA = AuthorityName.parse("plant")


@pytest.fixture
async def store(tmp_path):
    opened = await SqliteStore.open(tmp_path / "a.db", Sealer([Secret(b"k" * 32)]))
    yield opened
    await opened.close()


@pytest.fixture
def begin(store):
    async def begun(config, parts, *, alone=True):
        return await token_hardware(config, store, HandClock(), CountedEntropy(), parts, alone=alone)

    return begun


async def test_a_module_that_is_no_file(begin, configured, tmp_path):
    async with AsyncExitStack() as parts:
        with pytest.raises(CannotStart, match="which is no file"):
            await begin(configured(pkcs11_module=str(tmp_path / "none.so")), parts)


async def test_without_the_extra(begin, configured, tmp_path, monkeypatch):
    (tmp_path / "module.so").touch()
    monkeypatch.setitem(sys.modules, "pkcs11", None)
    monkeypatch.delitem(sys.modules, "accredit.ca.token_module", raising=False)
    async with AsyncExitStack() as parts:
        with pytest.raises(CannotStart, match="make install EXTRAS=pkcs11"):
            await begin(configured(pkcs11_module=str(tmp_path / "module.so")), parts)


async def test_a_stop_releases_what_was_not_used(begin, configured, store):
    async with AsyncExitStack() as parts:
        hardware = await begin(configured(), parts)
        await hardware.serials.take(CA, 2_000_000_000)
    assert len(await store.reserved_serials()) == 1


@pytest.mark.parametrize("alone", [True, False])
async def test_a_start_gives_up_what_a_crash_left_unless_others_may_use_it(begin, configured, store, alone):
    async with AsyncExitStack() as parts:
        await (await begin(configured(), parts)).serials.take(CA, 2_000_000_000)
        async with AsyncExitStack() as others:
            await begin(configured(), others, alone=alone)
            assert bool(await store.revoked(CA, 0)) is alone
