"""A service from its start to its end, in this process: what it makes, keeps, refuses, and leaves."""

from __future__ import annotations

import asyncio
import socket
import stat

import pytest

from accredit.app.background import DRAIN_S
from accredit.app.data_folder import CannotStart
from accredit.app.service import start
from accredit.domain.authority import AuthorityRecord
from accredit.domain.changes import SaveAuthority
from accredit.domain.ids import AuthorityName
from accredit.domain.registration import Assigning, OperationState
from accredit.domain.secret import Secret
from accredit.fronts.listener import CannotListen
from accredit.seal import Sealer
from accredit.stores.schema import DatabaseUnusable
from accredit.stores.sqlite import SqliteStore
from accredit.values import replace
from support.hand_clock import HandClock
from support.provisioning_world import World
from support.scripted_ca import ScriptedCA

NOBODY = "http://127.0.0.1:1"
"""Nothing listens there."""


async def ran(config, **more):
    """Start and stop; what it was."""
    service = await start(config, **more)
    await service.drain()
    return service


def content(config) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes() for path in config.data_dir.glob("*") if path.suffix in {".pem", ".key"}
    }


class TestStart:
    async def test_makes_everything_once(self, configured):
        first = await ran(configured())
        before = content(configured())
        second = await ran(configured())
        assert second.id_scope == first.id_scope
        assert content(configured()) == before
        assert set(before) == {"trust-root.pem", "master.key"}

    async def test_what_it_makes_is_its_owners_alone(self, configured):
        await ran(configured())
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in configured().data_dir.glob("*.*")}
        assert {modes[name] & 0o077 for name in ("accredit.db", "master.key")} == {0}

    async def test_ports_are_those_that_were_bound(self, configured):
        service = await start(configured())
        try:
            assert len({service.running.https, service.running.mqtt, 0}) == 3
            for port in (service.running.https, service.running.mqtt):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                await writer.wait_closed()
        finally:
            await service.drain()
        with pytest.raises(ConnectionError):
            await asyncio.open_connection("127.0.0.1", service.running.https)

    async def test_an_unknown_variable_is_only_named(self, configured, log_lines):
        await ran(replace(configured(), unknown_variables=("ACCREDIT_OTHER",)))
        assert [line["variable"] for line in log_lines if line["event"] == "unknown-setting"] == [
            "ACCREDIT_OTHER"
        ]


class TestRefusedStart:
    """One sentence, and nothing is left behind: the same start succeeds once the cause is gone."""

    async def test_a_second_service_on_one_folder(self, configured):
        first = await start(configured())
        try:
            with pytest.raises(CannotStart, match="Another accredit service"):
                await start(configured())
        finally:
            await first.drain()
        await ran(configured())

    async def test_a_port_in_use(self, configured):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(CannotListen, match=r"--mqtt-port"):
                await start(configured(mqtt_port=port))
            assert not (configured().data_dir / "accredit.db").exists()
        await ran(configured(mqtt_port=port))

    @pytest.mark.parametrize(
        ("setting", "flags"),
        [
            ("DIGICERT_URL", {"digicert_url": "ftp://one.digicert.com"}),
            ("EGRESS_ALLOW", {"egress_allow": ["10.0.0.0/99"]}),
            ("--host", {"host": ["no host name"]}),
            ("--tls-key-file", {"tls_certificate_file": "/nowhere/chain.pem"}),
            ("--bind", {"bind": ["nowhere"]}),
        ],
    )
    async def test_a_setting_that_cannot_be_used(self, configured, setting, flags):
        with pytest.raises((CannotStart, CannotListen), match=setting):
            await start(configured(**flags))
        await ran(configured())

    async def test_a_database_that_is_none(self, configured):
        await ran(configured())
        path = configured().data_dir / "accredit.db"
        good = path.read_bytes()
        path.write_bytes(b"no database at all, but long enough to be read as one" * 99)
        with pytest.raises(DatabaseUnusable):
            await start(configured())
        path.write_bytes(good)
        await ran(configured())


class TestMasterKey:
    async def test_is_made_in_the_data_folder_and_said_so(self, configured, log_lines):
        await ran(configured())
        assert "master-key-in-data-folder" in [line["event"] for line in log_lines]
        Sealer.load(configured().data_dir / "master.key")

    async def test_the_operators_own_is_used_and_not_made(self, configured, tmp_path, log_lines):
        path = tmp_path / "elsewhere.key"
        with pytest.raises(CannotStart, match="elsewhere"):
            await start(configured(master_key_file=path))
        assert not path.exists()
        path.write_bytes(b"k" * 32)
        path.chmod(0o600)
        await ran(configured(master_key_file=path))
        assert not (configured().data_dir / "master.key").exists()
        assert "master-key-in-data-folder" not in [line["event"] for line in log_lines]

    async def test_must_be_its_owners_alone(self, configured):
        await ran(configured())
        path = configured().data_dir / "master.key"
        path.chmod(0o640)
        with pytest.raises(CannotStart, match="chmod 600"):
            await start(configured())
        path.chmod(0o600)
        await ran(configured())

    async def test_another_one_than_before(self, configured, tmp_path):
        await ran(configured())
        path = tmp_path / "other.key"
        Sealer.create(path)
        with pytest.raises(CannotStart, match="master key"):
            await start(configured(master_key_file=path))
        await ran(configured())

    async def test_one_that_is_lost_is_not_made_anew(self, configured):
        """A new one could open nothing of what is there; and it would be taken for the old one from then on."""
        await ran(configured())
        path = configured().data_dir / "master.key"
        kept = path.read_bytes()
        path.unlink()
        with pytest.raises(CannotStart, match=r"master\.key"):
            await start(configured())
        assert not path.exists()
        path.write_bytes(kept)
        path.chmod(0o600)
        await ran(configured())


class TestDrain:
    async def test_an_open_operation_is_left_to_the_next_start(self, configured):
        """The CA can't be reached: nothing is in hand, so the end does not wait, and the next start goes on."""
        config = configured(digicert_url=NOBODY)
        first = await ran(config, clock=HandClock())
        operation_id = await ordered(config, first.id_scope)
        loop = asyncio.get_running_loop()
        for fence in (1, 2):
            service = await start(config, clock=HandClock())
            began = loop.time()
            await service.drain()
            assert loop.time() - began < DRAIN_S, "it waited for what was in hand"
            store = await opened(config)
            operation = await store.operation(operation_id)
            await store.close()
            assert (operation.state, operation.fence) == (OperationState.OPEN, fence)

    async def test_how_many_are_resumed_is_told(self, configured, log_lines):
        config = configured(digicert_url=NOBODY)
        first = await ran(config, clock=HandClock())
        await ordered(config, first.id_scope)
        await ran(config, clock=HandClock())
        started = [line["resumedOperations"] for line in log_lines if line["event"] == "started"]
        assert started == [0, 1]


async def opened(config) -> SqliteStore:
    return await SqliteStore.open(config.database_path, Sealer.load(*config.master_key_paths))


async def ordered(config, id_scope: str) -> str:
    """Somebody has ordered from an outside authority, and the process ended before it was sent."""
    store = await opened(config)
    clock = HandClock()
    world = World(store, clock, ScriptedCA(clock), patience_s=0, hubs=(config.hub_name,))
    name = AuthorityName.parse("digicert")
    record = AuthorityRecord(
        name=name,
        type="DigiCertCertificateAuthority",
        settings={"profileName": "profile"},
        secrets={"apiKey": Secret(b"key")},
        version="v1",
        etag="e1",
        created_at=0,
        updated_at=0,
    )
    await store.commit([SaveAuthority(record, None)])
    await world.individual(authority="digicert")
    await world.orders.stop(0)
    answer = await world.device().certify()
    assert isinstance(answer, Assigning)
    await store.close()
    return answer.operation_id
