"""A type is the receipt of a check, as long as it is made in one place. Python can't seal a constructor; this does."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "src" / "accredit"

MADE_IN: dict[str, dict[str, str]] = {
    "Attested": {"provisioning/attest.py": "the proof was judged"},
    "Admitted": {"provisioning/allocate.py": "this device may register, now or by a committed intent"},
    "Allocated": {"provisioning/allocate.py": "device and hub were chosen, now or by a committed intent"},
    "Issued": {"provisioning/issue.py": "the credential is settled"},
    "Recorded": {"provisioning/record.py": "the credential goes on record"},
    "Bound": {"provisioning/bind.py": "the credential is good at the hub"},
    "SigningRequest": {"policy/csr_intake.py": "the CSR passed the intake rules"},
    "IssuedChain": {
        "policy/delivered.py": "an outside CA's answer was held against the order",
        "ca/template.py": "the built-in CA signed it",
        "stores/rows.py": "read back as it was recorded",
    },
    "Admission": {"hub/identities.py": "the hub judged the connection"},
}


@cache
def _calls() -> list[tuple[str, str]]:
    """Each file of the package with the name of each thing that it calls, by its own name or behind a module's."""
    return [
        (path.relative_to(PACKAGE).as_posix(), called.id if isinstance(called, ast.Name) else called.attr)
        for path, node in _nodes()
        if isinstance(node, ast.Call) and isinstance(called := node.func, ast.Name | ast.Attribute)
    ]


def _nodes() -> Iterator[tuple[Path, ast.AST]]:
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            yield path, node


def _made_in(receipt: str) -> set[str]:
    """The files that call the receipt's constructor."""
    return {path for path, called in _calls() if called == receipt}


@pytest.mark.parametrize("receipt", MADE_IN)
def test_a_receipt_is_made_in_its_own_file_alone(receipt: str) -> None:
    assert _made_in(receipt) == set(MADE_IN[receipt])


def test_no_receipt_is_imported_under_another_name() -> None:
    renamed = [
        f"{path.relative_to(PACKAGE)}: {alias.name} as {alias.asname}"
        for path, node in _nodes()
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name in MADE_IN and alias.asname not in (None, alias.name)
    ]
    assert renamed == []


def test_no_receipt_is_forged_from_another() -> None:
    """`dataclasses.replace` makes a new value too: of receipts only the credential of one just issued may change."""
    forging = {
        path.relative_to(PACKAGE).as_posix()
        for path, node in _nodes()
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "replace"
        and node.args
        and isinstance(node.args[0], ast.Name)
        and node.args[0].id in {"attested", "allocated", "issued", "recorded", "bound", "receipt"}
    }
    assert forging <= {"provisioning/pursue.py"}
