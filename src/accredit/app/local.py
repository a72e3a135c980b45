"""What this machine's data folder says without a running service: addresses, policies, keys. For the operator at the console."""

from __future__ import annotations

from accredit.app import stores
from accredit.app.data_folder import CannotStart, DataFolder, Running
from accredit.app.first_names import HUB_OWNER, ID_SCOPE, OWNER
from accredit.config import Config
from accredit.domain.access import Policy, Realm, Right
from accredit.seal import Sealer, SealError
from accredit.stores.schema import DatabaseUnusable
from accredit.values import dataclass


@dataclass(frozen=True, slots=True)
class LocalState:
    """`running` is what the last service to run here said of itself."""

    id_scope: str
    folder: DataFolder
    running: Running
    policies: dict[tuple[Realm, str], Policy]

    @property
    def host(self) -> str:
        """As it stands in a URL: an IPv6 address in brackets (RFC 3986 3.2.2)."""
        return f"[{self.running.host}]" if ":" in self.running.host else self.running.host

    @property
    def service_endpoint(self) -> str:
        """Host, with the port where it is not 443."""
        return self.host if self.running.https == 443 else f"{self.host}:{self.running.https}"

    def owner(self, realm: Realm) -> Policy:
        """The policy of the first start, or where that was removed the one with the most rights. Raises CannotStart."""
        first = self.policies.get((realm, OWNER if realm is Realm.PROVISIONING else HUB_OWNER))
        there = [policy for (of, _), policy in self.policies.items() if of is realm]
        if first is not None:
            return first
        if not there:
            raise CannotStart(
                f"There is no policy of the {realm} realm; `accredit policy add` makes one (with --hub one of the hub)."
            )
        return max(there, key=lambda policy: (Right.SERVICE_CONFIG in policy.rights, len(policy.rights)))


async def read(config: Config) -> LocalState:
    """Raises CannotStart with one sentence when there is nothing to read, or it can't be opened."""
    folder = DataFolder(config.data_dir)
    running = folder.read_running()
    there = config.postgresql_url is not None or config.database_path.exists()
    if running is None or not there:
        raise CannotStart(
            f"No service was started on {folder.path} yet; start one with `accredit serve --data-dir {folder.path}`, "
            "or name its folder with --data-dir."
        )
    try:
        return await _read(config, folder, running)
    except SealError as error:
        raise CannotStart(str(error)) from None


async def _read(config: Config, folder: DataFolder, running: Running) -> LocalState:
    sealer = Sealer.load(*config.master_key_paths)
    try:
        store = await stores.opened(config, sealer)
    except DatabaseUnusable as error:
        raise CannotStart(str(error)) from None
    try:
        id_scope = await store.state(ID_SCOPE)
        assert id_scope is not None
        policies = {(realm, policy.name): policy for realm in Realm for policy in await store.policies(realm)}
    finally:
        await store.close()
    return LocalState(id_scope.reveal().decode(), folder, running, policies)
