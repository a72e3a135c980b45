"""The TLS context that listeners show, from the service's own root or from the operator's files."""

from __future__ import annotations

from collections.abc import Sequence

from cryptography import x509
from OpenSSL import SSL

from accredit.app.data_folder import CannotStart, DataFolder
from accredit.app.first_start import server_identity
from accredit.ca.server_identity import ServerIdentity, uncovered
from accredit.config import Config
from accredit.domain.linked_hub import HubKind
from accredit.fronts.listener import LOOPBACK
from accredit.fronts.tls_context import server_context
from accredit.interfaces import Clock, Hubs, Store
from accredit.observe import log


class TLSIdentity:
    """`context` is asked at each handshake; `renew` may replace what it gives while the service runs.

    A certificate of our own names the embedded hubs too.
    """

    def __init__(
        self,
        config: Config,
        folder: DataFolder,
        store: Store,
        clock: Clock,
        hubs: Hubs,
    ) -> None:
        self._config = config
        self._folder = folder
        self._store = store
        self._clock = clock
        self._hubs = hubs
        self._context: SSL.Context | None = None
        self._shown: Sequence[x509.Certificate] | None = None

    def context(self) -> SSL.Context:
        assert self._context is not None
        return self._context

    async def renew(self) -> None:
        """Load the certificate, or make one when it is due or the host names have changed. Raises CannotStart."""
        if "tls_certificate_file" in self._config.explicit:
            identity = self._from_files()
        else:
            linked = await self._hubs.linked()
            hubs = [hub.name for hub in linked if hub.kind is HubKind.EMBEDDED]
            # Nodes that share a database share the certificate, and each has addresses of its own.
            addresses = () if self._config.postgresql_url else self._config.bind
            names = _nameable((*self._config.host, *hubs, *(addresses or LOOPBACK)))
            try:
                identity, root, reason = await server_identity(self._store, names, self._clock)
            except ValueError as error:
                raise CannotStart(
                    f"No TLS certificate can be made: {error}; check --host and --bind."
                ) from None
            if reason is not None:
                log.info("server-certificate-made", reason=reason)
            elif identity.chain == self._shown:
                return
            self._folder.write_trust_root(root.pem())
        self._shown = identity.chain
        self._context = server_context(identity.chain, identity.key)

    def covers(self, name: str) -> bool:
        """Whether the certificate is good for a name. One of our own will be, once that is a hub's."""
        if "tls_certificate_file" not in self._config.explicit:
            return True
        return uncovered(self._from_files().certificate, [name]) is None

    def _from_files(self) -> ServerIdentity:
        chain, key = self._config.tls_certificate_file, self._config.tls_key_file
        if "tls_key_file" not in self._config.explicit:
            raise CannotStart(f"The TLS certificate {chain} needs its key; name it with --tls-key-file.")
        try:
            identity = ServerIdentity.from_pem(chain.read_bytes(), key.read_bytes())
        except (OSError, ValueError) as error:
            raise CannotStart(
                f"The TLS certificate {chain} with the key {key} can't be used: {error}."
            ) from None
        self._folder.write_trust_root(chain.read_bytes())
        return identity


def _nameable(names: Sequence[str]) -> list[str]:
    """Each name once; addresses that mean *every* address have no place in a certificate."""
    return [name for name in dict.fromkeys(names) if name not in {"0.0.0.0", "::"}]  # noqa: S104 - compared, not bound
