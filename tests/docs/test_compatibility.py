"""The page of SDKs says what the matrix declares: no more, and no less."""

from __future__ import annotations

import ast

import pytest

from support import compatibility
from support.compatibility import ROOT, ROWS, Held, Shown


def test_the_page_says_what_the_matrix_declares() -> None:
    """Made anew by `scripts/compatibility`, from what passes."""
    assert compatibility.PAGE.read_text() == compatibility.page(compatibility.declared())


def test_a_cell_that_does_not_pass_is_not_on_the_page() -> None:
    everything = compatibility.declared()
    for cell in everything.cells:
        without = Shown(set(everything.cells) - {cell}, everything.rows)
        assert compatibility.page(without).count("| no |") == 1


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.sdk} {row.wire}")
def test_there_are_tests_for_each_row(row: Held) -> None:
    file, _, rest = row.tests.partition("::")
    classes = [
        node.name for node in ast.parse((ROOT / file).read_text()).body if isinstance(node, ast.ClassDef)
    ]
    assert not rest or rest.removesuffix("::") in classes
