"""What revocations do beside the store in this process: connections are cut, those elsewhere told; what was under way goes on."""

from __future__ import annotations

from contextlib import AsyncExitStack

from accredit.administration.mass_revoker import MassRevoker
from accredit.administration.revocation import Connected, Effects
from accredit.app.background import Background
from accredit.hub.sessions import Sessions


def effects(sessions: Sessions, background: Background) -> Effects:
    return Effects(
        lambda key, device_id, why: sessions.cut(device_id, why, key),
        background.told,
        lambda: [Connected(each.hub, each.device_id, each.registration_id) for each in sessions.live()],
    )


async def resumed(revoker: MassRevoker, parts: AsyncExitStack) -> None:
    """Go on with revocations of whole fleets; stopped by `parts`."""
    parts.push_async_callback(revoker.stop)
    await revoker.start()
