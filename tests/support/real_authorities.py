"""Connectors before real CAs, each through a `CAProxy` that the tests may tell to misbehave."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from accredit.app.authorities import connector
from accredit.authorities.challenges import HeldChallenges
from accredit.authorities.upstream import Surroundings
from accredit.domain.authority import AuthorityRecord
from accredit.domain.ids import AuthorityName
from accredit.domain.secret import Secret
from accredit.egress import Egress, EgressRules, tls_context
from accredit.interfaces import Authority
from support import acme_servers, ca_servers, step_ca_server
from support.ca_proxy import CAProxy, Signs
from support.ca_servers import CAServer
from support.est_server import est_server
from support.hand_clock import HandClock

DEADLINE_S = 60.0


def _finishes(method: str, path: str, _: bytes) -> bool:
    """ACME: what signs, and what fetches what was signed."""
    return method == "POST" and any(part in path.lower() for part in ("finalize", "/certz/", "/cert"))


@dataclass(frozen=True)
class RealCA:
    """One CA for the whole session. `refused` is a registration id that its policy turns down."""

    kind: str
    server: CAServer
    proxy: CAProxy
    refused: str
    keeps_serials: bool = True
    """Whether it says no to a revocation of what it never issued."""
    wants_dns_name: bool = False
    """Whether the CSR must carry the registration id as a DNS name."""
    probes_credentials: bool = True
    """Whether it can be asked, without an order, if it takes the credentials."""
    directory: str = ""
    challenges: HeldChallenges = field(default_factory=HeldChallenges)

    def place(self) -> dict[str, str]:
        """Where the connector finds it."""
        if self.kind == "Acme":
            return {"directoryUrl": self.proxy.url + self.directory}
        return {"url": self.proxy.url}

    def record(
        self, *, secrets: Mapping[str, str] | None = None, settings: Mapping[str, object] | None = None
    ) -> AuthorityRecord:
        now = int(time.time())
        named = self.server.secrets if secrets is None else secrets
        return AuthorityRecord(
            name=AuthorityName.parse("outside"),
            type=self.kind,
            settings={
                **self.place(),
                "trustAnchors": self.server.root_pem + "\n" + CAProxy.trust_pem(),
                **self.server.settings,
                **(settings or {}),
            },
            secrets={name: Secret(value.encode()) for name, value in named.items()},
            version="v1",
            etag="e1",
            created_at=now,
            updated_at=now,
        )

    @asynccontextmanager
    async def connected(
        self, clock: HandClock, record: AuthorityRecord | None = None
    ) -> AsyncIterator[Authority]:
        record = record or self.record()
        egress = Egress(
            EgressRules(("127.0.0.0/8", "::1")), tls=tls_context(record.settings.get("trustAnchors", ""))
        )
        try:
            yield connector(record.type)(
                record, Surroundings(egress, clock, deadline_s=DEADLINE_S, challenges=self.challenges)
            )
        finally:
            await egress.close()


class RealCAs:
    """Started when they are first asked for, ended together."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running = ExitStack()
        self._made: dict[str, RealCA] = {}
        self._bao: tuple[int, str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def get(self, name: str) -> RealCA:
        """Skips where the CA can't be had."""
        if name not in self._made:
            self._made[name] = MAKERS[name](self)
        made = self._made[name]
        made.proxy.settle()
        return made

    def cfssl(self) -> RealCA:
        server = self._running.enter_context(ca_servers.cfssl(self._folder / "cfssl"))
        return self._proxied("Cfssl", server, lambda _, path, body: path.endswith("/authsign"), "refused-1")

    def vault_by_token(self) -> RealCA:
        return self._vault(ca_servers.vault_by_token(*self.bao()))

    def vault_by_app_role(self) -> RealCA:
        return self._vault(ca_servers.vault_by_app_role(*self.bao()))

    def step_ca(self) -> RealCA:
        server = self._running.enter_context(step_ca_server.step_ca(self._folder / "step-ca"))
        return self._proxied(
            "StepCa", server, lambda _, path, body: path.endswith("/sign"), "refused-1", keeps=False
        )

    def pebble(self) -> RealCA:
        server = self._running.enter_context(acme_servers.pebble(self._folder / "pebble"))
        proxy = self._running.enter_context(CAProxy(server.url, _finishes, server.tls_pem))
        return RealCA("Acme", server, proxy, "refused-1", wants_dns_name=True, directory="/dir")

    def bao_acme(self) -> RealCA:
        port, root_pem = self.bao()
        held = HeldChallenges()
        names = self._running.enter_context(acme_servers.answering(held))
        proxy = self._running.enter_context(CAProxy(f"http://127.0.0.1:{port}", _finishes))
        acme_servers.configure_bao(port, proxy.url, names)
        server = acme_servers.bao_account(port, root_pem)
        path = "/v1/pki_int/acme/directory"
        return RealCA("Acme", server, proxy, "refused-1", directory=path, challenges=held)

    def est(self) -> RealCA:
        server, gateway = self._running.enter_context(est_server(self._folder / "est"))
        return RealCA("Est", server, gateway, "refused-1", probes_credentials=False)

    def bao(self) -> tuple[int, str]:
        if self._bao is None:
            self._bao = self._running.enter_context(ca_servers.openbao(self._folder / "openbao"))
        return self._bao

    def _vault(self, server: CAServer) -> RealCA:
        return self._proxied("Vault", server, lambda _, path, body: "/sign/" in path, "refused-1")

    def _proxied(
        self, kind: str, server: CAServer, signs: Signs, refused: str, *, keeps: bool = True
    ) -> RealCA:
        proxy = self._running.enter_context(CAProxy(server.url, signs, server.tls_pem))
        return RealCA(kind, server, proxy, refused, keeps)


MAKERS = {
    "Cfssl": RealCAs.cfssl,
    "Vault": RealCAs.vault_by_token,
    "VaultAppRole": RealCAs.vault_by_app_role,
    "StepCa": RealCAs.step_ca,
    "AcmePebble": RealCAs.pebble,
    "AcmeOpenBao": RealCAs.bao_acme,
    "Est": RealCAs.est,
}


@contextmanager
def running(folder: Path) -> Iterator[RealCAs]:
    with RealCAs(folder) as cas:
        yield cas
