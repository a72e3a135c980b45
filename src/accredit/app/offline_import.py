"""Enrollments written into the data folder of a service that is stopped: checked as the service API checks them, without its calls.

Many are made at once and share commits. What is made is the same as by a PUT; nobody but the owner of the folder can do this.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from accredit.administration.enrollments import Enrollments
from accredit.app.data_folder import CannotStart, DataFolder
from accredit.app.hubs import HubsElsewhere
from accredit.app.world import SystemClock, SystemEntropy
from accredit.config import Config
from accredit.domain.errors import AccreditError, Conflict
from accredit.domain.ids import RegistrationId
from accredit.egress import EgressRules
from accredit.interfaces import StoreUnavailable
from accredit.linked_hubs.configured import ConfiguredHubs
from accredit.observe import configure
from accredit.seal import Sealer, SealError
from accredit.stores.schema import DatabaseUnusable
from accredit.stores.sqlite import SqliteStore
from accredit.wire.service_api.enrollments import read_enrollment
from accredit.wire.service_api.etags import NO_CONDITION

BY = "offline import"

Enroll = Callable[[str, bytes], Awaitable[str | None]]
"""Registration id and document; empty when it is enrolled, None when it was already, else why it can't be."""


@asynccontextmanager
async def importing(config: Config) -> AsyncIterator[Enroll]:
    """Own the folder meanwhile. Raises CannotStart; what was enrolled until then stays."""
    folder = DataFolder(config.data_dir)
    if config.postgresql_url is not None:
        raise CannotStart(
            "--offline writes into a data folder, and database_url names PostgreSQL: import through the service."
        )
    if not config.database_path.exists():
        raise CannotStart(
            f"There is no database at {config.database_path}: name the folder of a service with --data-dir, or start one there first."
        )
    async with AsyncExitStack() as parts:
        folder.lock()
        parts.callback(folder.unlock)
        folder.refuse_half_restored()
        folder.refuse_migrated()
        parts.callback(configure("warning").close)
        try:
            store = await SqliteStore.open(config.database_path, Sealer.load(*config.master_key_paths))
            parts.push_async_callback(store.close)
            clock, entropy = SystemClock(), SystemEntropy()
            elsewhere = HubsElsewhere(EgressRules(config.egress_allow, config.digicert_url), clock, entropy)
            parts.push_async_callback(elsewhere.close)
            hubs = ConfiguredHubs(store, config.host, elsewhere.make)
            yield _enrolling(Enrollments(store, clock, entropy, hubs))
        except (SealError, DatabaseUnusable) as error:
            raise CannotStart(str(error)) from None
        except StoreUnavailable as error:
            raise CannotStart(
                f"The database {config.database_path} can't be written now ({error})."
            ) from None


def _enrolling(enrollments: Enrollments) -> Enroll:
    async def enroll(name: str, document: bytes) -> str | None:
        try:
            await enrollments.put(read_enrollment(document, RegistrationId.parse(name)), NO_CONDITION, BY)
        except Conflict as conflict:
            if conflict.rule == "exists-already":
                return None
            return _said(conflict)
        except AccreditError as refusal:
            return _said(refusal)
        return ""

    return enroll


def _said(refusal: AccreditError) -> str:
    return f"{refusal.message.removesuffix('.')}: {refusal.hint}." if refusal.hint else refusal.message
