"""Where a trace is found, how many are remembered, and that a stranger's never reaches the disk."""

from __future__ import annotations

from accredit.domain.changes import SaveTrace
from accredit.domain.ids import RegistrationId
from accredit.domain.trace import Asked, DecisionTrace
from accredit.provisioning.traces import Traces
from accredit.values import replace

TRACE = DecisionTrace(
    "t-1", "Dev-1", 1_800_000_000, Asked.REGISTER, "192.0.2.7", None, (),
    "sas-signature", "Unauthorized", "evidence", "hint", 401002,
)  # fmt: skip
DEVICE = RegistrationId.parse("dev-1")


async def test_remembered_or_stored(world):
    traces = Traces(world.disk)
    traces.remember(TRACE)
    stored = replace(TRACE, tracking_id="t-2")
    await world.disk.commit([SaveTrace(stored)])
    assert await traces.find("t-1") == TRACE
    assert await traces.find("t-2") == stored
    assert await traces.find("t-3") is None
    assert await world.disk.trace("t-1") is None


async def test_the_ring_forgets_the_oldest(world):
    traces = Traces(world.disk, ring_traces=3)
    for number in range(100_000):
        traces.remember(replace(TRACE, tracking_id=f"t-{number}"))
    assert await traces.find("t-99996") is None
    listed = await traces.page(None, None, 100)
    assert [each.tracking_id for each in listed.rows] == ["t-99997", "t-99998", "t-99999"]


async def test_told_again_it_is_the_newest(world):
    traces = Traces(world.disk, ring_traces=2)
    for tracking_id in ("a", "b", "a", "c"):
        traces.remember(replace(TRACE, tracking_id=tracking_id))
    assert await traces.find("a") is not None
    assert await traces.find("b") is None


async def test_what_is_remembered_stands_on_the_first_page_of_its_device(world):
    traces = Traces(world.disk)
    for number in range(5):
        await world.disk.commit([SaveTrace(replace(TRACE, tracking_id=f"stored-{number}"))])
    traces.remember(TRACE)
    traces.remember(replace(TRACE, tracking_id="other", registration_id="dev-2"))
    first = await traces.page(DEVICE, None, 3)
    rest = await traces.page(DEVICE, first.cursor, 3)
    assert [each.tracking_id for each in first.rows] == ["t-1", "stored-0", "stored-1", "stored-2"]
    assert [each.tracking_id for each in rest.rows] == ["stored-3", "stored-4"]
    assert rest.cursor is None
