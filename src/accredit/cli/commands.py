"""Which module has which command. A module is imported when its command is asked for, so that none pays for the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

import typer
from typer.core import MarkupMode, TyperGroup

COMMANDS: Mapping[str, str] = {
    "serve": "serve:serve",
    "demo": "demo:demo",
    "simulate": "simulate:simulate",
    "info": "local:info",
    "sas-token": "local:sas_token",
    "explain": "explain:explain",
    "backup": "backups:backup",
    "restore": "backups:restore",
    "migrate": "migration:migrate",
    "ca": "authorities:app",
    "enroll": "enrollments:app",
    "device": "devices:app",
    "revocation": "revocations:app",
    "doctor": "doctor:app",
    "cert": "certificates:app",
    "log": "issuance_log:app",
    "policy": "policies:app",
    "key": "keys:app",
    "ca-certificate": "ca_certificates:app",
    "profile": "certificate_profiles:app",
    "trust-bundle": "trust_bundles:app",
    "hub": "hub:app",
}
"""A command or a group of commands by its name: the module in this room, and what is taken from it."""

FURTHER: Mapping[str, Mapping[str, str]] = {
    "ca": {
        "init": "ceremony:init",
        "csr": "ceremony:csr",
        "activate": "ceremony:activate",
        "rotate": "ceremony:rotate",
        "revoke-issuer": "ceremony:revoke_issuer",
        "revoke": "revocations:revoke_authority",
    },
    "enroll": {
        "import": "enrollment_import:import_",
        "allow": "allowed:allow",
        "allowed": "allowed:listing",
        "revoke": "revocations:revoke_group",
    },
}
"""Commands that a group has beside those of its own module."""

_MARKUP: MarkupMode = "markdown"
"""How texts are read: in rich's own way `accredit[amqp]` would have a style named amqp, and lose it."""


class Commands(Mapping[str, Any]):
    """The commands of a group by name: those that are there already, and those of modules still to be imported."""

    def __init__(self, there: Mapping[str, Any], elsewhere: Mapping[str, str]) -> None:
        self._there = dict(there)
        self._elsewhere = elsewhere
        self._names = (*there, *elsewhere)

    def __getitem__(self, name: str) -> Any:
        if name not in self._there:
            self._there[name] = _imported(name, self._elsewhere[name])
        return self._there[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def group(app: typer.Typer, name: str, elsewhere: Mapping[str, str]) -> TyperGroup:
    """A group with the commands of `app`, and others that are imported when they are asked for."""
    app.rich_markup_mode = _MARKUP
    made = typer.main.get_group(app)
    made.name = name
    made.commands = Commands(made.commands, elsewhere)  # type: ignore[assignment]  # it is only read
    return made


def _imported(name: str, place: str) -> Any:
    module, _, attribute = place.partition(":")
    found = getattr(import_module(f"accredit.cli.{module}"), attribute)
    if isinstance(found, typer.Typer):
        return group(found, name, FURTHER.get(name, {}))
    alone = typer.Typer(add_completion=False, rich_markup_mode=_MARKUP)
    alone.command(name)(found)
    return typer.main.get_command(alone)
