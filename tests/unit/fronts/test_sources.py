"""What one source address may have of the listeners."""

from __future__ import annotations

from accredit.fronts.sources import BURST_S, MAX_SOURCES, Sources
from support.hand_clock import HandClock
from support.logs import capture_logs


def test_so_many_at_once_and_one_more_when_one_is_gone():
    sources = Sources(HandClock(), 3, 0)
    assert [sources.enter("192.0.2.7") for _ in range(5)] == [True, True, True, False, False]
    assert sources.enter("192.0.2.8")
    sources.leave("192.0.2.7")
    assert sources.enter("192.0.2.7")
    assert not sources.enter("192.0.2.7")
    assert sources.refused == 3


def test_the_addresses_of_one_ipv6_network_share():
    sources = Sources(HandClock(), 2, 0)
    assert sources.enter("2001:db8::1")
    assert sources.enter("2001:db8::2")
    assert not sources.enter("2001:db8::3")
    assert sources.enter("2001:db8:0:1::3")
    sources.leave("2001:db8::2")
    assert sources.enter("2001:db8::9")


def test_so_many_in_a_second():
    clock = HandClock()
    sources = Sources(clock, 0, 5)
    burst = 5 * BURST_S
    assert [sources.enter("192.0.2.7") for _ in range(burst + 1)] == [True] * burst + [False]
    clock.advance(1)
    assert [sources.enter("192.0.2.7") for _ in range(6)] == [True] * 5 + [False]
    assert sources.enter("192.0.2.8")


def test_no_limit():
    sources = Sources(HandClock(), 0, 0)
    assert all(sources.enter("192.0.2.7") for _ in range(100_000))
    sources.leave("192.0.2.7")


def test_who_is_gone_is_forgotten():
    sources = Sources(HandClock(), 10, 0)
    for number in range(10_000):
        address = f"10.0.{number >> 8}.{number & 255}"
        assert sources.enter(address)
        sources.leave(address)
    assert sources._open == {}


def test_more_sources_than_that_are_remembered_in_bounds():
    sources = Sources(HandClock(), 0, 1)
    for number in range(MAX_SOURCES + 1_000):
        assert sources.enter(f"10.{number >> 16}.{(number >> 8) & 255}.{number & 255}")
    assert len(sources._arrivals) <= MAX_SOURCES


def test_one_line_a_minute_tells_of_a_source():
    clock = HandClock()
    sources = Sources(clock, 1, 0)
    sources.enter("192.0.2.7")
    with capture_logs() as lines:
        for _ in range(50):
            sources.enter("192.0.2.7")
        clock.advance(60)
        sources.enter("192.0.2.7")
    assert [(line["event"], line["source"]) for line in lines] == [("source-at-ceiling", "192.0.2.7")] * 2
