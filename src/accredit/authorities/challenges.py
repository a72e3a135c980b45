"""What proves to a CA that a name is ours: the answers to its http-01 challenges, held until it has asked (RFC 8555, 8.3).

Who gives them out is the plain port (`fronts/public.py`). They are no secrets, and not kept over a restart: a challenge that
then fails is a new order's.
"""

from __future__ import annotations

import re
from collections import OrderedDict

from accredit.domain.errors import UpstreamRejected
from accredit.domain.subjects import Subject
from accredit.processes import Bus

MAX_HELD = 10_000
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,256}")


class HeldChallenges:
    """The newest `MAX_HELD` of them."""

    def __init__(self, bus: Bus | None = None) -> None:
        """Over the `bus` other processes hear of each: the CA may ask any of them."""
        self._bus = bus
        if bus is not None:
            bus.hear(Subject.CHALLENGE, self._heard)
        self._held: OrderedDict[str, str] = OrderedDict()

    def hold(self, token: str, answer: str) -> None:
        """Raises UpstreamRejected where the token is not base64url."""
        if not _TOKEN.fullmatch(token):
            raise UpstreamRejected("The CA's challenge has a token that is none.", rule="ca-refused")
        self._keep(token, answer)
        if self._bus is not None:
            self._bus.tell(Subject.CHALLENGE, f"{token} {answer}")

    def _heard(self, word: str) -> None:
        token, _, answer = word.partition(" ")
        self._keep(token, answer)

    def _keep(self, token: str, answer: str) -> None:
        self._held[token] = answer
        self._held.move_to_end(token)
        while len(self._held) > MAX_HELD:
            self._held.popitem(last=False)

    def answer(self, token: str) -> str | None:
        return self._held.get(token)
