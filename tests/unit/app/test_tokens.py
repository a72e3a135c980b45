"""What the settings say of the PKCS#11 module, and what is said where it can't be used."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest

from accredit.app.data_folder import CannotStart
from accredit.app.tokens import token_hardware
from accredit.ca.points import SHARDS
from accredit.domain.ids import AuthorityName
from accredit.domain.secret import Secret
from accredit.seal import Sealer
from accredit.stores.sqlite import SqliteStore
from support.counted_entropy import CountedEntropy
from support.hand_clock import HandClock
from support.needs_amqp import without
from support.running_service import accredit

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


def test_without_the_extra(tmp_path):
    (tmp_path / "module.so").touch()
    arguments = ["--data-dir", str(tmp_path / "data"), "--host", "127.0.0.1", "--bind", "127.0.0.1"]
    ports = [word for port in ("https", "mqtt", "amqp", "public") for word in (f"--{port}-port", "0")]
    module = {"ACCREDIT_PKCS11_MODULE": str(tmp_path / "module.so")}
    ran = accredit("serve", *arguments, *ports, environment=without(tmp_path, "pkcs11") | module)
    assert ran.returncode == 1
    assert "make install EXTRAS=pkcs11" in ran.stderr


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
            lost = [each for shard in range(SHARDS) for each in await store.revoked(CA, shard, 0)]
            assert bool(lost) is alone
