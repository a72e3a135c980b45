"""What is SQLite's own: the file, what can be read from it, and what a sudden end leaves of it."""

import base64
import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys

import pytest

from accredit.domain import changes as c
from accredit.domain.ids import AuthorityName, DeviceId, RegistrationId
from accredit.domain.linked_hub import FIRST_HUB
from accredit.domain.secret import Secret
from accredit.interfaces import StoreUnavailable
from accredit.seal import Sealer, SealError
from accredit.stores.schema import DatabaseUnusable
from accredit.stores.sqlite import SqliteStore
from support import stored_values as some

SEALER = Sealer([Secret(bytes(range(32)))])


@pytest.fixture
async def store(tmp_path):
    store = await SqliteStore.open(tmp_path / "a.db", SEALER, busy_timeout_s=0.05)
    yield store
    await store.close()


async def test_only_its_owner_can_read_the_files(store, tmp_path):
    await store.commit(some.configured())
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"a.db": 0o600, "a.db-wal": 0o600, "a.db-shm": 0o600}


async def test_a_closed_store_is_one_file(store, tmp_path):
    await store.commit(some.configured())
    await store.close()
    assert [path.name for path in tmp_path.iterdir()] == ["a.db"]


async def test_commits_are_flushed_to_the_disk(store):
    """FULL (2) in WAL: the log is flushed at each commit."""
    connection = store._writer._connection
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)


async def test_a_file_that_can_t_be_opened_is_named(tmp_path):
    with pytest.raises(DatabaseUnusable, match=r"missing/a\.db can't be opened: No such file"):
        await SqliteStore.open(tmp_path / "missing" / "a.db", SEALER)
    with pytest.raises(DatabaseUnusable, match="can't be opened"):
        await SqliteStore.open(tmp_path, SEALER)


async def test_no_secret_is_in_the_files(store, tmp_path):
    await store.commit([
        *some.configured(), *some.provisioned("Pump-1"),
        c.SaveState("root", some.secret("root"), None), c.SavePolicy(some.policy(name="owner")),
        c.SaveEnrollment(some.enrollment("Pump-2"), None),
        c.SaveAuthority(some.authority("Digi"), None),
    ])  # fmt: skip
    await store.commit([c.SaveState("root", some.secret("new root"), some.secret("root"))])
    names = [
        "root", "new root", "owner primary", "owner secondary", "Fleet 1", "Fleet 2", "Pump-2 1", "Pump-2 2",
        "Pump-1 key 1", "Pump-1 key 2", "api key of Digi", "api key of builtin",
    ]  # fmt: skip
    # Seen by this same search, this is not a secret.
    visible = some.digest("csr 1")[:0] or b"generation of Fleet"
    for closed in (False, True):
        if closed:
            await store.close()
        content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
        assert visible in content
        for name in names:
            raw = some.secret(name).reveal()
            base64_heart = base64.b64encode(raw)[:40]
            for form in (raw, raw.hex().encode(), raw.hex().upper().encode(), base64_heart, raw[:12]):
                assert form not in content, name


async def test_another_master_key_opens_nothing_and_says_so(store, tmp_path):
    await store.commit([*some.configured(), c.SaveState("root", some.secret("root"), None)])
    await store.close()
    other = await SqliteStore.open(tmp_path / "a.db", Sealer([Secret(b"o" * 32)]))
    for read in (other.state("root"), other.enrollment(some.FLEET), other.authority(some.BUILTIN)):
        with pytest.raises(SealError, match=f"another master key .key id {SEALER.key_id}"):
            await read
    await other.close()


async def test_after_a_rotation_both_keys_values_are_read(store, tmp_path):
    await store.commit([c.SaveState("old", some.secret("old"), None)])
    await store.close()
    new = Secret(b"n" * 32)
    rotated = await SqliteStore.open(tmp_path / "a.db", Sealer([new, Secret(bytes(range(32)))]))
    await rotated.commit([c.SaveState("new", some.secret("new"), None)])
    await rotated.commit([c.SaveState("old", some.secret("older"), some.secret("old"))])
    await rotated.close()
    alone = await SqliteStore.open(tmp_path / "a.db", Sealer([new]))
    assert [await alone.state("old"), await alone.state("new")] == [some.secret("older"), some.secret("new")]
    await alone.close()


async def test_reads_go_on_while_the_database_is_locked(store, tmp_path):
    await store.commit(some.configured())
    other = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="locked"):
        await store.commit(some.provisioned("a"))
    assert await store.enrollment(some.FLEET) == some.group()
    other.execute("ROLLBACK")
    other.close()
    await store.commit(some.provisioned("a"))


async def test_what_others_could_not_have_changed_is_not_read_again(store, tmp_path):
    """Groups, authorities and policies are served from memory between this store's own commits."""
    await store.commit([*some.configured(), c.SaveEnrollment(some.enrollment("Pump-1"), None)])
    group, single = some.FLEET, some.enrollment("Pump-1").ref
    assert (await store.enrollment(group)) is (await store.enrollment(group))
    assert (await store.authority(some.BUILTIN)) is (await store.authority(some.BUILTIN))
    assert (await store.symmetric_groups()) is (await store.symmetric_groups())
    assert (await store.enrollment(single)) is not (await store.enrollment(single))
    before = await store.enrollment(group)
    await store.commit(some.provisioned("a"))
    assert (await store.enrollment(group)) is before
    await store.commit([c.SaveAuthority(some.authority("other"), None)])
    assert (await store.authority(AuthorityName.parse("other"))).etag == "a1"


WRITES = """
import asyncio, os, pathlib, resource, sys
sys.path.insert(0, sys.argv[2])
from accredit.domain.secret import Secret
from accredit.interfaces import StoreUnavailable
from accredit.seal import Sealer
from accredit.stores.sqlite import SqliteStore
from support import stored_values as some

async def device(store, name):
    await store.commit(some.provisioned(name))
    os.write(1, name.encode() + b"\\n")

async def main():
    store = await SqliteStore.open(pathlib.Path(sys.argv[1]), Sealer([Secret(bytes(range(32)))]))
    await store.commit(some.configured())
"""

FOR_EVER = """
    for number in range(10**9):
        width = number % 9 + 1
        await asyncio.gather(*(device(store, f"d{number}-{each}") for each in range(width)))

asyncio.run(main())
"""

UNTIL_FULL = """
    await device(store, "before")
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
    failed = False
    for number in range(10**9):
        outcomes = await asyncio.gather(
            *(device(store, f"d{number}-{each}") for each in range(5)), return_exceptions=True
        )
        if any(outcomes):
            assert all(isinstance(outcome, StoreUnavailable) for outcome in outcomes), outcomes
            break
    assert await store.hub_device("", some.DeviceId("before")) is not None
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await device(store, "after")
    await store.close()

asyncio.run(main())
"""


def writing(path, rest):
    tests = os.path.dirname(os.path.dirname(some.__file__))
    return subprocess.Popen([sys.executable, "-c", WRITES + rest, path, tests], stdout=subprocess.PIPE)


async def assert_whole(path, told):
    """All that was told is there, and nothing is there by halves."""
    check = sqlite3.connect(path)
    assert check.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    names = {row[0] for row in check.execute("SELECT registration FROM registrations")}
    check.close()
    assert told <= names
    store = await SqliteStore.open(path, SEALER)
    for name in names:
        registration = await store.registration(RegistrationId.parse(name))
        assert (await store.certificate(registration.certificate_sha256)) is not None
        assert (await store.hub_device(FIRST_HUB, DeviceId(name))).keys is not None
        assert [each.sha256 for each in await store.bindings(RegistrationId.parse(name), DeviceId(name))] == [
            registration.certificate_sha256
        ]
    assert len(names) == len((await store.leaves(None, 1000)).rows) or len(names) > 1000
    await store.close()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
async def test_what_was_acknowledged_outlives_a_kill(tmp_path, seed):
    path = tmp_path / "a.db"
    with writing(path, FOR_EVER) as child:
        told = [child.stdout.readline() for _ in range(random.Random(seed).randint(1, 300))]
        child.send_signal(signal.SIGKILL)
        told += child.stdout.read().splitlines(keepends=True)
    await assert_whole(path, {line.decode().strip() for line in told if line.endswith(b"\n")})


@pytest.mark.slow
async def test_a_file_that_can_t_grow_takes_whole_batches_or_nothing(tmp_path):
    path = tmp_path / "a.db"
    with writing(path, UNTIL_FULL) as child:
        told = {line.decode().strip() for line in child.stdout.read().splitlines()}
    assert child.returncode == 0
    assert {"before", "after"} <= told
    await assert_whole(path, told)
