"""When a certificate is best renewed, as the register answer tells it beside the certificate: an extension, `certificateRenewal`."""

from __future__ import annotations

import msgspec

from accredit.domain.credential import RenewalWindow
from accredit.wire.instants import iso


class RenewalShown(msgspec.Struct, rename="camel"):
    renew_at: str
    window_opens: str
    window_closes: str


def renewal_shown(window: RenewalWindow) -> RenewalShown:
    return RenewalShown(iso(window.renew_at), iso(window.opens_at), iso(window.closes_at))
