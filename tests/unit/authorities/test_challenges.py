"""Answers to http-01 challenges: held by their tokens, the newest of them."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.authorities import challenges
from accredit.authorities.challenges import HeldChallenges
from accredit.buses.in_process import InProcessBus
from accredit.domain.errors import UpstreamRejected


def test_what_is_held_is_answered_and_nothing_else() -> None:
    held = HeldChallenges()
    held.hold("token-1", "token-1.thumb")
    assert held.answer("token-1") == "token-1.thumb"
    assert held.answer("token-2") is None


def test_the_oldest_go_first() -> None:
    held = HeldChallenges()
    for number in range(challenges.MAX_HELD + 1):
        held.hold(f"t{number}", "answer")
    assert held.answer("t0") is None
    assert held.answer("t1") == held.answer(f"t{challenges.MAX_HELD}") == "answer"


@given(st.text(max_size=300).filter(lambda text: not text.isascii() or "/" in text or not text))
def test_a_token_that_is_none_is_refused(token: str) -> None:
    with pytest.raises(UpstreamRejected):
        HeldChallenges().hold(token, "answer")


async def test_every_process_has_the_answer_that_one_of_them_holds() -> None:
    bus = InProcessBus()
    here, there = HeldChallenges(bus.join()), HeldChallenges(bus.join())
    here.hold("token", "token.thumbprint")
    await asyncio.sleep(0)
    assert there.answer("token") == here.answer("token") == "token.thumbprint"
