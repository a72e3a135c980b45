"""The store for several processes: what one writes another one sees, the server's clock, and a server that goes and comes."""

import asyncio
import time

import pytest

from accredit.ca.server_identity import make_root
from accredit.domain import changes as c
from accredit.domain.ids import DeviceId
from accredit.domain.secret import Secret
from accredit.interfaces import Stale, StoreUnavailable
from accredit.seal import Sealer
from accredit.stores.postgresql.store import ATTEMPTS, PostgresqlStore
from accredit.stores.schema import DatabaseUnusable
from support import stored_values as some
from support.stored_values import FLEET
from support.tls_service import tls_root

SEALER = Sealer([Secret(bytes(range(32)))])


@pytest.fixture
async def stores(postgres):
    url = postgres.emptied()
    opened = [await PostgresqlStore.open(url, SEALER) for _ in range(2)]
    yield opened
    for each in opened:
        await each.close()


async def test_a_copy_in_memory_follows_what_another_process_writes(stores):
    first, second = stores
    told = []
    await first.commit(some.configured())
    second.tell(lambda: told.append(True))
    while await second.enrollment(FLEET) is None:
        await asyncio.sleep(0.01)
    changed = some.group(etag="e2", enabled=False)
    await first.commit([c.SaveEnrollment(changed, "e1")])
    assert await first.enrollment(FLEET) == changed, "its own change is seen at once"
    while (await second.enrollment(FLEET)) != changed:
        await asyncio.sleep(0.01)
    assert told


async def test_what_rests_on_an_old_copy_is_refused_and_read_anew(stores):
    first, second = stores
    await first.commit(some.configured())
    while await second.enrollment(FLEET) is None:
        await asyncio.sleep(0.01)
    old = await second.enrollment(FLEET)
    changed = some.group(etag="e2", enabled=False)
    await first.commit([c.SaveEnrollment(changed, "e1")])
    with pytest.raises(Stale):
        await second.commit([c.AssertEnrollment(FLEET, old.etag)])
    assert await second.enrollment(FLEET) == changed


async def test_others_are_told_of_settings_and_look_at_once(stores):
    first, second = stores
    await first.commit(some.configured())
    raised = []
    first.tell_others(lambda: raised.append(True))
    await first.commit([c.SaveState("root", Secret(b"one"), None)])
    assert not raised
    while await second.enrollment(FLEET) is None:
        await asyncio.sleep(0.01)
    first.tell_others(second.look)
    changed = some.group(etag="e2", enabled=False)
    await first.commit([c.SaveEnrollment(changed, "e1")])
    assert raised
    while (await second.enrollment(FLEET)) != changed:
        await asyncio.sleep(0.01)


async def test_an_individual_enrollment_empties_no_memory(stores, postgres):
    first, _ = stores
    await first.commit(some.configured())
    before = postgres.execute("SELECT epoch FROM epochs WHERE name = 'settings'")
    await first.commit([c.SaveEnrollment(some.enrollment(), None)])
    assert postgres.execute("SELECT epoch FROM epochs WHERE name = 'settings'") == before


async def test_setbacks_of_another_process_are_seen(stores):
    first, second = stores
    rid = some.registration().registration_id
    assert await second.setbacks(rid) is None
    from accredit.domain.setback import Setbacks

    setbacks = Setbacks(rid, FLEET, "e1", 3, "rule", "reason", "tracking", 1, 2, None)
    await first.commit([c.SaveSetbacks(setbacks)])
    assert await second.setbacks(rid) == setbacks


async def test_who_reads_on_finds_every_cut_whichever_process_commits_first(stores):
    async def cut(store, name):
        for number in range(40):
            await store.commit([c.CutSession("hub", DeviceId(f"{name}-{number}"), "why")])

    found, newest = [], await stores[0].newest_session_cut()
    cutting = [asyncio.create_task(cut(store, name)) for store, name in zip(stores, "ab", strict=True)]
    done = False
    while not done:
        # What was committed before it was asked must be found now.
        done = all(task.done() for task in cutting)
        while cuts := await stores[1].session_cuts(newest, 7):
            found += [each.device_id.text for each in cuts]
            newest = cuts[-1].number
    await asyncio.gather(*cutting)
    assert len(found) == len(set(found)) == 80


async def test_leaves_of_all_processes_get_their_places(stores):
    """Ids are not given in the order of commits: none may be passed over for that."""
    units = [some.provisioned(f"device-{number}") for number in range(40)]
    await stores[0].commit(some.configured())
    await asyncio.gather(*(stores[number % 2].commit(unit) for number, unit in enumerate(units)))
    assert len(await stores[0].unplaced_leaves(100)) == 40


async def test_the_server_s_clock(stores):
    assert abs(await stores[0].database_time() - time.time()) < 600


async def test_reads_of_a_server_that_went_away(stores, postgres):
    store, _ = stores
    await store.commit(some.configured())
    assert await store.enrollment(FLEET) is not None
    postgres.kill()
    try:
        with pytest.raises(StoreUnavailable) as caught:
            await store.state("anything")
        assert postgres.PASSWORD not in str(caught.value)
    finally:
        postgres.start()
    while True:
        try:
            assert await store.state("anything") is None
            break
        except StoreUnavailable:
            await asyncio.sleep(0.05)
    assert await store.enrollment(FLEET) == some.group()


async def test_a_question_that_the_database_can_t_answer(stores, postgres):
    postgres.execute("ALTER TABLE states RENAME TO hidden")
    try:
        with pytest.raises(StoreUnavailable, match="states"):
            await stores[0].state("x")
    finally:
        postgres.execute("ALTER TABLE hidden RENAME TO states")
    assert await stores[0].state("x") is None


@pytest.mark.parametrize("conflicts", [ATTEMPTS - 1, ATTEMPTS])
async def test_a_read_that_others_are_in_the_way_of_is_tried_again(stores, postgres, conflicts):
    """The server says so as often as this, whatever becomes of the transaction: a sequence is none of it."""
    postgres.execute(
        "CREATE SEQUENCE asked",
        f"""CREATE FUNCTION in_the_way() RETURNS BOOLEAN LANGUAGE plpgsql AS $$ BEGIN
          IF nextval('asked') <= {conflicts} THEN RAISE 'others' USING ERRCODE = 'serialization_failure'; END IF;
          RETURN FALSE; END $$""",
        "ALTER TABLE states RENAME TO hidden",
        "CREATE VIEW states AS SELECT name, sealed FROM hidden UNION ALL SELECT 'x', '' WHERE in_the_way()",
    )
    try:
        if conflicts < ATTEMPTS:
            assert await stores[0].state("x") is None
        else:
            with pytest.raises(StoreUnavailable, match="others"):
                await stores[0].state("x")
    finally:
        postgres.execute(
            "DROP VIEW states",
            "ALTER TABLE hidden RENAME TO states",
            "DROP FUNCTION in_the_way",
            "DROP SEQUENCE asked",
        )


async def test_a_server_that_was_never_there():
    with pytest.raises(DatabaseUnusable, match="Start it, or correct"):
        await PostgresqlStore.open("postgresql://127.0.0.1:1/x", SEALER)


async def test_tls_is_what_the_url_says(postgres, tmp_path):
    right, wrong = tmp_path / "right.pem", tmp_path / "wrong.pem"
    right.write_bytes(tls_root().pem())
    wrong.write_bytes(make_root("another", int(time.time())).pem())
    checked = postgres.emptied().replace("sslmode=disable", "sslmode=verify-full&sslrootcert=")
    ((began,),) = postgres.execute("SELECT now()")
    store = await PostgresqlStore.open(f"{checked}{right}", SEALER)
    # What others have left on their way is none of it.
    encrypted = "SELECT DISTINCT s.ssl FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) WHERE a.backend_start > "
    assert postgres.execute(f"{encrypted} '{began}' AND a.application_name = 'accredit'") == [(True,)]
    await store.close()
    with pytest.raises(DatabaseUnusable, match="certificate verify failed"):
        await PostgresqlStore.open(f"{checked}{wrong}", SEALER)


async def test_nothing_is_lost_and_nothing_twice_when_the_server_is_killed_under_load(stores, postgres):
    """Each device is committed until the store says that it is; what it says must be what is there."""
    await stores[0].commit(some.configured())
    units = {name: some.provisioned(name) for name in (f"device-{number}" for number in range(120))}
    done, unknown = [], set()

    async def provision(name):
        while name not in done:
            try:
                await stores[len(name) % 2].commit(units[name])
                done.append(name)
            except StoreUnavailable:
                # It stands whole or not at all: once the server is back it can be told, and is stale where it does.
                unknown.add(name)
                await asyncio.sleep(0.02)
            except Stale:
                assert name in unknown
                done.append(name)

    async def devices(mine):
        for name in mine:
            await provision(name)

    names = list(units)
    at_work = [asyncio.create_task(devices(names[lane::12])) for lane in range(12)]
    for share in (20, 60):
        while len(done) < share:
            await asyncio.sleep(0.001)
        postgres.kill()
        postgres.start()
    await asyncio.gather(*at_work)
    assert postgres.execute("SELECT COUNT(*), COUNT(DISTINCT registration_key) FROM certificates") == [
        (120, 120)
    ]
    assert postgres.execute("SELECT COUNT(*) FROM log_leaves") == [(120,)]
    assert postgres.execute("SELECT COUNT(*) FROM registrations") == [(120,)]
