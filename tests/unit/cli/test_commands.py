"""Commands are there by name before their modules are imported, and bring in no others."""

from __future__ import annotations

import subprocess
import sys

import pytest

from accredit.cli.commands import COMMANDS, FURTHER, Commands
from accredit.cli.main import root


def test_every_name_leads_to_its_command() -> None:
    commands = root().commands
    assert list(commands) == list(COMMANDS)
    assert [commands[name].name for name in commands] == list(COMMANDS)


@pytest.mark.parametrize("name", FURTHER)
def test_a_group_has_its_further_commands_last(name: str) -> None:
    commands = root().commands[name].commands
    further = list(FURTHER[name])
    assert list(commands)[-len(further) :] == further
    assert [commands[each].name for each in commands] == list(commands)


def test_a_name_that_is_none_is_no_command() -> None:
    commands = Commands({}, {"info": "local:info"})
    assert "information" not in commands
    assert commands.get("information") is None


def test_a_command_is_made_once() -> None:
    commands = Commands({}, {"info": "local:info"})
    assert len(commands) == 1
    assert commands["info"] is commands["info"]


MODULES = """
import sys
from accredit.cli.main import main
try:
    main()
except SystemExit:
    print(*(name for name in sys.modules if name.startswith("accredit.cli.")))
"""


def test_a_command_imports_no_other() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", MODULES, "policy", "--help"],
        capture_output=True, text=True, check=True, timeout=180,
    )  # fmt: skip
    imported = set(ran.stdout.splitlines()[-1].split())
    assert "accredit.cli.policies" in imported
    assert imported.isdisjoint({"accredit.cli.serve", "accredit.cli.enrollments", "accredit.cli.demo"})
