"""An authority that was revoked: it signs nothing more, and what it has signed can still be looked up and revoked."""

from __future__ import annotations

from accredit.domain.credential import Order
from accredit.interfaces import OrderAnswer, Rejected


class RevokedAuthority:
    """Stands before a connector's class, whose other abilities stay."""

    async def order(self, _order: Order) -> OrderAnswer:
        return Rejected("The authority was revoked.", rule="ca-revoked")
