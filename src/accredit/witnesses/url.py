"""A URL as the witness: each head is POSTed to it as JSON, and taken when the answer is a success (2xx).

What goes there may come twice, because an answer can be lost. Redirects are not followed: whoever is to keep the heads
is named by the operator, and by nobody else.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from accredit.domain.tree_head import TreeHead
from accredit.egress import AnswerLost, Egress, NotSent
from accredit.wire.service_api.tree import head_line
from accredit.witness import NotTaken

CALL_S = 10.0
CONNECT_S = 3.0


class WitnessUrl:
    """`witness.Witness` over outbound HTTP. `egress` is its own pool of connections.

    Only the host is its name: what stands in the path may be what lets us in there.
    """

    def __init__(self, url: str, egress: Egress, call_s: float = CALL_S) -> None:
        self._egress = egress
        self._call_s = call_s
        self._url = url
        self.name = "https://" + urlsplit(url).netloc

    async def last(self) -> TreeHead | None:
        """Such a witness is not asked what it has."""
        return None

    async def take(self, head: TreeHead) -> None:
        try:
            answer = await self._egress.exchange(
                "POST",
                self._url,
                headers={"Content-Type": "application/json"},
                body=head_line(head),
                deadline_s=self._call_s,
                connect_s=CONNECT_S,
            )
        except (NotSent, AnswerLost) as failure:
            raise NotTaken(failure.reason) from failure
        if not 200 <= answer.status < 300:
            raise NotTaken(f"it answered {answer.status}")

    async def close(self) -> None:
        await self._egress.close()
