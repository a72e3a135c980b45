"""Whether a name leads to this service, and what the service has for hubs elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from accredit.app.hubs import HubsElsewhere, LeadsHere
from accredit.config import load
from accredit.domain.errors import Malformed, UpstreamRejected
from accredit.domain.linked_hub import HubKind, LinkedHub
from accredit.domain.secret import Secret
from accredit.egress import EgressRules
from support.counted_entropy import CountedEntropy
from support.hand_clock import HandClock

TEXT = b"HostName=127.0.0.1:9;SharedAccessKeyName=dps;SharedAccessKey=c2VjcmV0"


def leads(folder: Path, *bind: str, covers: bool = True) -> LeadsHere:
    flags = {"data_dir": folder, "host": ("dps.example", "other.example")}
    if bind:
        flags["bind"] = bind
    return LeadsHere(load(flags, {}), lambda _: covers)


@pytest.mark.parametrize("name", ["other.example", "DPS.example", "127.0.0.1", "localhost"])
async def test_its_own_names_and_addresses_lead_here(tmp_path: Path, name: str) -> None:
    assert await leads(tmp_path).objection(name) is None


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("nobody.invalid", "does not resolve"),
        ("127.0.0.77", "resolves to 127.0.0.77, where this service does not listen"),
        ("192.0.2.1", "does not listen"),
        ("a-.example", "no certificate can name it"),
    ],
)
async def test_others_do_not(tmp_path: Path, name: str, why: str) -> None:
    assert why in (await leads(tmp_path).objection(name) or "")


async def test_who_listens_everywhere_listens_on_its_own_addresses_alone(tmp_path: Path) -> None:
    everywhere = leads(tmp_path, "0.0.0.0")
    assert await everywhere.objection("127.0.0.77") is None, "all of 127/8 is this machine"
    assert "does not listen" in (await everywhere.objection("192.0.2.1") or "")
    assert "does not listen" in (await everywhere.objection("::1") or "")


async def test_an_operator_s_own_certificate_must_name_it(tmp_path: Path) -> None:
    assert "certificate" in (await leads(tmp_path, covers=False).objection("other.example") or "")


def linked(trust_anchors: str | None = None) -> LinkedHub:
    return LinkedHub(
        "127.0.0.1", HubKind.AZURE, "e", 1, 1, connection_string=Secret(TEXT), trust_anchors=trust_anchors
    )


async def test_the_rules_for_outbound_addresses_hold() -> None:
    elsewhere = HubsElsewhere(EgressRules(), HandClock(), CountedEntropy())
    with pytest.raises(UpstreamRejected) as refused:
        await elsewhere.probe(linked())
    assert refused.value.rule == "hub-egress-refused"
    assert elsewhere.make(linked()).name == "127.0.0.1"
    await elsewhere.close()


async def test_trust_anchors_that_tls_can_t_use() -> None:
    elsewhere = HubsElsewhere(EgressRules(), HandClock(), CountedEntropy())
    with pytest.raises(Malformed, match="trustAnchors"):
        await elsewhere.probe(linked("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"))
    await elsewhere.close()
