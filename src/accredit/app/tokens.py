"""The PKCS#11 module that the settings name, if they name one, and the serial numbers that are reserved for its keys."""

from __future__ import annotations

from contextlib import AsyncExitStack

from accredit.app.data_folder import CannotStart
from accredit.authorities.builtin import Hardware
from accredit.ca.serials import ReservedSerials
from accredit.ca.tokens import Tokens
from accredit.config import Config
from accredit.interfaces import Clock, Entropy, Store, StoreUnavailable
from accredit.observe import log


async def token_hardware(
    config: Config, store: Store, clock: Clock, entropy: Entropy, parts: AsyncExitStack, *, alone: bool
) -> Hardware:
    """Raises CannotStart. `parts` releases at the stop what was reserved and not used.

    `alone`: no other process uses the database, so that every earlier one is at its end.
    """
    serials = ReservedSerials(store, clock, entropy, owner=entropy.token(8).hex())
    await serials.settle(everybody=alone)
    tokens = _tokens(config, clock)
    parts.push_async_callback(tokens.close)
    parts.push_async_callback(_released, serials)
    return Hardware(tokens, serials)


def _tokens(config: Config, clock: Clock) -> Tokens:
    if "pkcs11_module" not in config.explicit:
        return Tokens(clock)
    pin_file = config.pkcs11_pin_file if "pkcs11_pin_file" in config.explicit else None
    if not config.pkcs11_module.is_file():
        raise CannotStart(
            f"pkcs11_module is {config.pkcs11_module}, which is no file; name the token's PKCS#11 library."
        )
    try:
        return Tokens(clock, config.pkcs11_module, pin_file)
    except ImportError as error:
        raise CannotStart(
            f"pkcs11_module is set, but the extra accredit[pkcs11] is not installed ({error}): "
            "`pip install 'accredit[pkcs11]'`, or `make install EXTRAS=pkcs11`."
        ) from None


async def _released(serials: ReservedSerials) -> None:
    try:
        await serials.close()
    except StoreUnavailable as error:
        log.warning("serials-not-released", reason=str(error), note="they are revoked at the next start")
