"""Turns: a bounded number at once, the others in line, and no source keeps another waiting."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.fronts.handshakes import Handshakes


class Clock:
    """Timers that a test lets go off (`handshakes.Timers`)."""

    def __init__(self) -> None:
        self.now = 0.0
        self.due: list[tuple[float, Callable[[], Any]]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], Any], /) -> Any:
        self.due.append((when, callback))

    def pass_to(self, now: float) -> None:
        self.now = now
        for due in [each for each in self.due if each[0] <= now]:
            self.due.remove(due)
            due[1]()


class Peer:
    """A connection that notes when its turn comes."""

    def __init__(self, name: str, begun: list[str]) -> None:
        self.name = name
        self._begun = begun

    def begin(self) -> None:
        self._begun.append(self.name)


def test_so_many_go_on_at_once_and_the_others_in_their_order() -> None:
    begun: list[str] = []
    handshakes = Handshakes(2, timers=Clock())
    peers = [Peer(str(number), begun) for number in range(5)]
    assert [handshakes.enter(peer, "192.0.2.1") for peer in peers] == [True, True, False, False, False]
    assert (handshakes.going_on, handshakes.waiting) == (2, 3)
    handshakes.leave(peers[1])
    handshakes.leave(peers[1])
    assert begun == ["2"]
    handshakes.leave(peers[0])
    handshakes.leave(peers[2])
    assert begun == ["2", "3", "4"]
    for peer in peers:
        handshakes.leave(peer)
    assert (handshakes.going_on, handshakes.waiting) == (0, 0)


def test_a_source_with_many_keeps_nobody_else_waiting() -> None:
    begun: list[str] = []
    handshakes = Handshakes(1, timers=Clock())
    first = Peer("first", begun)
    assert handshakes.enter(first, "192.0.2.1")
    crowd = [Peer(f"crowd-{number}", begun) for number in range(50)]
    for peer in crowd:
        handshakes.enter(peer, "192.0.2.1")
    lone = Peer("lone", begun)
    handshakes.enter(lone, "198.51.100.9")
    handshakes.leave(first)
    handshakes.leave(crowd[0])
    assert begun == ["crowd-0", "lone"]


def test_one_network_of_ipv6_is_one_source() -> None:
    begun: list[str] = []
    handshakes = Handshakes(1, timers=Clock())
    handshakes.enter(first := Peer("first", begun), "2001:db8::1")
    for number in range(3):
        handshakes.enter(Peer(f"same-{number}", begun), f"2001:db8::{number + 2}")
    handshakes.enter(Peer("other", begun), "2001:db8:1::1")
    handshakes.leave(first)
    assert begun == ["same-0"]


def test_who_has_left_the_line_is_passed_over() -> None:
    begun: list[str] = []
    handshakes = Handshakes(1, timers=Clock())
    first, gone, last = (Peer(name, begun) for name in ("first", "gone", "last"))
    for peer in (first, gone, last):
        handshakes.enter(peer, "192.0.2.1")
    handshakes.leave(gone)
    assert handshakes.waiting == 1
    handshakes.leave(first)
    assert begun == ["last"]


@given(
    at_once=st.integers(1, 4),
    moves=st.lists(st.tuples(st.booleans(), st.integers(0, 3), st.integers(0, 9)), max_size=60),
)
def test_there_are_never_more_than_may_be_nor_fewer_than_could(
    at_once: int, moves: list[tuple[bool, int, int]]
) -> None:
    begun: list[str] = []
    handshakes = Handshakes(at_once, timers=Clock())
    present: deque[Peer] = deque()
    for arrives, source, which in moves:
        if arrives:
            present.append(Peer(str(len(present)), begun))
            handshakes.enter(present[-1], f"192.0.2.{source}")
        elif present:
            present.rotate(which)
            handshakes.leave(present.popleft())
        assert handshakes.going_on == min(at_once, len(present))
        assert handshakes.going_on + handshakes.waiting == len(present)


@pytest.mark.parametrize("address", ["", "not an address"])
def test_a_peer_without_an_address_waits_like_any(address: str) -> None:
    begun: list[str] = []
    handshakes = Handshakes(1, timers=Clock())
    handshakes.enter(first := Peer("first", begun), address)
    handshakes.enter(Peer("second", begun), address)
    handshakes.leave(first)
    assert begun == ["second"]


def test_while_others_wait_a_turn_ends_by_itself() -> None:
    begun: list[str] = []
    clock = Clock()
    handshakes = Handshakes(2, turn_s=1.0, timers=clock)
    peers = [Peer(str(number), begun) for number in range(6)]
    handshakes.enter(peers[0], "192.0.2.1")
    clock.pass_to(0.6)
    for peer in peers[1:]:
        handshakes.enter(peer, "192.0.2.1")
    clock.pass_to(0.9)
    assert begun == []
    clock.pass_to(1.0)
    assert begun == ["2"]
    clock.pass_to(1.6)
    assert begun == ["2", "3"]
    clock.pass_to(9.0)
    assert begun == ["2", "3", "4", "5"]
    assert handshakes.going_on == 2
    handshakes.leave(peers[0])
    assert handshakes.going_on == 2, "it goes on without a turn, and its end changes nothing"


def test_where_nobody_waits_no_turn_ends() -> None:
    clock = Clock()
    handshakes = Handshakes(1, turn_s=1.0, timers=clock)
    handshakes.enter(Peer("long", []), "192.0.2.1")
    clock.pass_to(100.0)
    assert handshakes.going_on == 1
    assert clock.due == []
