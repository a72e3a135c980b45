"""All that an operator reads and changes, in one value for the fronts."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from accredit.administration.allowed import AllowedRegistrations
from accredit.administration.authorities import Authorities, Maker, Probe, unasked
from accredit.administration.authority_keys import AuthorityKeys, KeepsKeys
from accredit.administration.ca_certificates import CaCertificates
from accredit.administration.certificate_profiles import CertificateProfiles
from accredit.administration.device_revocation import DeviceRevocation
from accredit.administration.enrollments import Enrollments
from accredit.administration.issuance_log import IssuanceLog
from accredit.administration.linked_hubs import UNASKED, HubSurroundings, LinkedHubs
from accredit.administration.listings import Listings
from accredit.administration.mass_revocations import MassRevocations
from accredit.administration.mass_revoker import MassRevoker
from accredit.administration.one_time_passwords import OneTimePasswords
from accredit.administration.policies import Policies
from accredit.administration.registrations import Registrations
from accredit.administration.revocation import Effects, Revocation
from accredit.administration.traces import DecisionTraces, KeepsTraces, StoredTraces
from accredit.administration.trust_bundles import TrustBundles
from accredit.domain.witness import WitnessStanding
from accredit.interfaces import Clock, Entropy, Hubs, Store
from accredit.processes import Leases
from accredit.values import dataclass


@dataclass(frozen=True, slots=True)
class Administration:
    enrollments: Enrollments
    authorities: Authorities
    authority_keys: AuthorityKeys
    registrations: Registrations
    revocation: Revocation
    mass_revocations: MassRevocations
    mass_revoker: MassRevoker
    listings: Listings
    issuance_log: IssuanceLog
    policies: Policies
    trust_bundles: TrustBundles
    certificate_profiles: CertificateProfiles
    ca_certificates: CaCertificates
    traces: DecisionTraces
    allowed: AllowedRegistrations
    one_time_passwords: OneTimePasswords
    linked_hubs: LinkedHubs


def administration(
    store: Store,
    clock: Clock,
    entropy: Entropy,
    hubs: Hubs,
    makers: Mapping[str, Maker],
    probe: Probe = unasked,
    traces: KeepsTraces | None = None,
    hub_surroundings: HubSurroundings = UNASKED,
    effects: Effects | None = None,
    keepers: Mapping[str, KeepsKeys] | None = None,
    witness: Callable[[], WitnessStanding | None] = lambda: None,
    leases: Leases | None = None,
) -> Administration:
    """Everything over one store. `makers` found our own authorities, by type; `keepers` change their keys.

    `probe` asks a CA before its record is stored, `hub_surroundings` a hub. `traces` knows of more decision traces than
    the stored ones. `effects` are what a revocation does beside the store. `witness` tells of the issuance log's. Without `leases` there
    is no other process.
    """
    effects = effects or Effects()
    devices = DeviceRevocation(store, clock, entropy, hubs)
    mass_revoker = MassRevoker(store, clock, devices, effects, leases)
    return Administration(
        enrollments=Enrollments(store, clock, entropy, hubs),
        authorities=Authorities(store, clock, entropy, makers, probe),
        authority_keys=AuthorityKeys(store, clock, entropy, dict(keepers or {})),
        registrations=Registrations(store, clock, entropy),
        revocation=Revocation(store, clock, entropy, hubs, effects),
        mass_revocations=MassRevocations(store, clock, entropy, dict(keepers or {}), mass_revoker.begin),
        mass_revoker=mass_revoker,
        listings=Listings(store),
        issuance_log=IssuanceLog(store, witness),
        policies=Policies(store, clock, entropy),
        trust_bundles=TrustBundles(store, clock, entropy),
        certificate_profiles=CertificateProfiles(store, clock, entropy),
        ca_certificates=CaCertificates(store, clock, entropy),
        traces=DecisionTraces(traces if traces is not None else StoredTraces(store)),
        allowed=AllowedRegistrations(store),
        one_time_passwords=OneTimePasswords(store, clock, entropy),
        linked_hubs=LinkedHubs(store, hubs, clock, entropy, hub_surroundings),
    )
