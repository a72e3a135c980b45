"""How a command ends: 0, 1 with one sentence, 2 with the usage."""

from __future__ import annotations

import pytest

from accredit import __version__
from support.command import command

VERBS = {
    "serve": [], "demo": [], "info": [], "sas-token": [],
    "ca": ["add", "list", "show", "remove"],
    "enroll": ["add", "group", "list", "show", "remove", "derive-key"],
    "device": ["list", "show", "move"],
    "cert": ["list", "show"],
    "log": ["verify"],
    "hub": ["telemetry"],
}  # fmt: skip
EVERY_COMMAND = [
    *([verb] for verb in VERBS),
    *([verb, noun] for verb, nouns in VERBS.items() for noun in nouns),
]


def test_the_version() -> None:
    ran = command("--version")
    assert (ran.code, ran.out) == (0, f"{__version__}\n")


@pytest.mark.parametrize("words", EVERY_COMMAND, ids=" ".join)
def test_every_command_explains_itself(words: list[str]) -> None:
    ran = command(*words, "--help")
    assert ran.code == 0
    assert f"accredit {' '.join(words)}" in ran.out


def test_help_shows_brackets() -> None:
    assert "accredit[amqp]" in command("serve", "--help").out


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["nonsense"],
        ["ca"],
        ["ca", "nonsense"],
        ["ca", "add"],
        ["ca", "add", "myca"],
        ["info", "--nonsense"],
        ["sas-token"],
        ["sas-token", "--policy", "x", "--ttl", "0"],
        ["sas-token", "--policy", "x", "--ttl", "soon"],
        ["enroll", "add"],
        ["enroll", "derive-key", "x"],
        ["device", "move", "x"],
        ["device", "move", "x", "--group", "y", "--individual"],
        ["serve", "--https-port", "many"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_2(words: list[str]) -> None:
    ran = command(*words)
    assert ran.code == 2
    assert "Traceback" not in ran.err
