"""A CA that uses a serial number twice: the second certificate is given to nobody, reported, and left in the log as a doubt."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from accredit.domain.issuance_log import LeafKind
from accredit.domain.registration import Assigned, Ended, OperationState, Status
from accredit.interfaces import Delivered, OrderAnswer
from accredit.values import replace
from support.logs import capture_logs
from support.provisioning_world import OUTSIDE, World, opened
from support.scripted_ca import ScriptedCA, Step, delivers


@pytest.fixture
def lines() -> Iterator[list[Any]]:
    with capture_logs() as captured:
        yield captured


def with_the_serial_of(first: int) -> Step:
    """It signs as ordered, but for the number, which it has used before."""

    async def step(ca: ScriptedCA, order: Any) -> OrderAnswer:
        issued = ca.sign(order)
        again = replace(issued, serial=first)
        ca.ledger[-1] = (order, again)
        return Delivered(again)

    return step


@pytest.mark.parametrize("same_device", [True, False], ids=["the same device", "another device"])
async def test_a_serial_is_good_once(tmp_path: Path, lines: list[Any], *, same_device: bool) -> None:
    async with opened(tmp_path) as world:
        await world.individual("dev-1", authority=OUTSIDE)
        await world.individual("dev-2", authority=OUTSIDE)
        world.ca.will(delivers)
        first = await world.device("dev-1").certify()
        assert isinstance(first, Assigned)
        assert first.certified is not None
        serial = first.certified.record.issued.serial
        world.ca.will(with_the_serial_of(serial))
        device = world.device("dev-1" if same_device else "dev-2", key=1)
        answer = await device.outcome(await device.certify())
        assert isinstance(answer, Ended)
        assert answer.status is Status.FAILED
        assert "serial number" in (answer.error_message or "")
        operation = await world.disk.operation(answer.operation_id)
        assert operation is not None
        assert operation.state is OperationState.FAILED
        collision = [line for line in lines if line["event"] == "serial-collision"]
        assert [(line["log_level"], line["serial"]) for line in collision] == [("error", f"{serial:X}")]
        assert len(await world.leaves(LeafKind.UNKNOWN)) == 1
        assert len(await world.certificates()) == 1
        await _first_stays(world)
        await world.audit()


async def _first_stays(world: World) -> None:
    registration = await world.registration("dev-1")
    assert registration.status is Status.ASSIGNED
