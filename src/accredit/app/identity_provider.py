"""The identity provider that the operator named: its keys, and what is taken from its tokens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from accredit.administration.bearers import Bearers
from accredit.administration.issuer_keys import IssuerKeys
from accredit.app.data_folder import CannotStart
from accredit.config import Config
from accredit.egress import Egress, EgressRules, tls_context
from accredit.interfaces import Clock
from accredit.policy.bearer import Role, Trusted

MAX_ANSWER_BYTES = 256 * 1024


def bearers(config: Config, rules: EgressRules, clock: Clock) -> tuple[Bearers, Egress]:
    """Where an issuer is configured. The pool is the caller's to close. Raises CannotStart."""
    issuer: str = config.oidc_issuer
    egress = Egress(rules, tls=tls_context(_trust(config.oidc_trust_file)), max_answer_bytes=MAX_ANSWER_BYTES)
    trusted = Trusted(issuer, frozenset(config.oidc_audience), config.oidc_roles_claim, dict(_roles(config)))
    return Bearers(IssuerKeys(issuer, config.oidc_keys_url, egress, clock), trusted), egress


def _roles(config: Config) -> Iterator[tuple[str, Role]]:
    for role in Role:
        for value in config.values[f"oidc_{role}_roles"]:
            yield value.lower(), role


def _trust(path: Path) -> str:
    if path == Path():
        return ""
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise CannotStart(
            f"oidc_trust_file {path} can't be read ({error}); name a file of PEM certificates."
        ) from None
