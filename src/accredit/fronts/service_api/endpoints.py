"""One row of a route table: an address, the call that it is, who answers it, and what the API's description says.

This is the one place where a route comes from: its right (`policy/access.py`, by the call), its gate and its entry in
`/openapi.json` follow from the row.
"""

from __future__ import annotations

from collections.abc import Iterable

from starlette.routing import Route

from accredit.fronts.service_api.gate import Gate, Handler
from accredit.policy.access import NEEDED, Call
from accredit.values import dataclass
from accredit.wire.service_api.openapi import Described, Operation


@dataclass(frozen=True, slots=True)
class Endpoint:
    method: str
    path: str
    call: Call
    handler: Handler
    described: Described

    @property
    def operation(self) -> Operation:
        """As the description lists it."""
        return Operation(self.method, self.path, NEEDED[self.call].value, self.described)


def routes_of(endpoints: Iterable[Endpoint], gate: Gate) -> list[Route]:
    """Starlette's routes, in the order of the table."""
    return [
        Route(each.path, gate.behind(each.call, each.handler), methods=[each.method]) for each in endpoints
    ]
