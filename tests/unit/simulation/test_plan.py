"""The plan of a simulated fleet: the same from the same seed, everybody in it, and nothing outside the run."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from accredit.simulation.plan import Fault, plan
from accredit.simulation.scenario import ARRIVING, STORMS_FROM, STORMS_UNTIL, Arrival, Scenario

scenarios = st.builds(
    Scenario,
    devices=st.integers(1, 300),
    duration_s=st.floats(1, 1e5),
    arrival=st.sampled_from(Arrival),
    seed=st.integers(),
    storms=st.integers(0, 20),
    faults=st.floats(0, 1),
)


@given(scenarios)
def test_the_same_scenario_makes_the_same_plan(scenario):
    assert plan(scenario) == plan(scenario)


@given(scenarios)
def test_every_device_has_one_part_and_arrives_in_the_first_half(scenario):
    parts = plan(scenario).parts
    assert [part.number for part in parts] == list(range(scenario.devices))
    assert all(0 <= part.arrives_at_s <= scenario.duration_s * ARRIVING for part in parts)
    assert len({part.seed for part in parts}) == scenario.devices


@given(scenarios)
def test_storms_come_in_order_after_the_arrivals_and_before_the_end(scenario):
    storms = list(plan(scenario).storms_at_s)
    assert len(storms) == scenario.storms
    assert storms == sorted(storms)
    low, high = STORMS_FROM * scenario.duration_s, STORMS_UNTIL * scenario.duration_s
    assert all(low <= instant <= high for instant in storms)


@given(scenarios)
def test_as_many_devices_err_as_were_asked_for_and_in_every_way_alike(scenario):
    faults = Counter(part.fault for part in plan(scenario).parts if part.fault is not None)
    assert faults.total() == round(scenario.devices * scenario.faults)
    numbers = [faults[fault] for fault in Fault]
    assert max(numbers) - min(numbers) <= 1


def test_another_seed_makes_another_plan():
    assert plan(Scenario(50, 60, seed=1)) != plan(Scenario(50, 60, seed=2))


def test_a_burst_comes_at_once_and_a_line_evenly():
    assert {part.arrives_at_s for part in plan(Scenario(9, 60, Arrival.BURST)).parts} == {0}
    assert [part.arrives_at_s for part in plan(Scenario(4, 80, Arrival.STEADY)).parts] == [0, 10, 20, 30]
