"""Which store a service has: SQLite in its data folder, or the PostgreSQL that its settings name."""

from __future__ import annotations

from accredit.app.data_folder import CannotStart
from accredit.config import Config
from accredit.seal import Sealer
from accredit.stores.reads import StoreReads
from accredit.stores.sqlite import SqliteStore


async def opened(config: Config, sealer: Sealer) -> StoreReads:
    """Make it where there is none yet. Raises DatabaseUnusable."""
    url = config.postgresql_url
    if url is None:
        return await SqliteStore.open(config.database_path, sealer)
    # Only who has PostgreSQL pays for its client at start.
    from accredit.stores.postgresql.store import PostgresqlStore  # noqa: PLC0415

    return await PostgresqlStore.open(url, sealer)


async def has_secrets(config: Config) -> bool:
    """Whether something was sealed there already. Raises DatabaseUnusable."""
    url = config.postgresql_url
    if url is None:
        return config.database_path.exists()
    from accredit.stores.postgresql import schema  # noqa: PLC0415
    from accredit.stores.postgresql.address import Address  # noqa: PLC0415

    return await schema.has_secrets(Address(url))


def name(config: Config) -> str:
    """What to call it, without a password."""
    url = config.postgresql_url
    if url is None:
        return f"the database {config.database_path}"
    from accredit.stores.postgresql.address import Address  # noqa: PLC0415

    return f"the database at {Address(url).server}"


def refuse_none(config: Config) -> None:
    """Raises CannotStart where there is no database in the folder, and there should be one."""
    if config.postgresql_url is None and not config.database_path.exists():
        raise CannotStart(
            f"There is no database at {config.database_path}: name the folder of a service with --data-dir."
        )
