"""The page of SDKs says what the matrix declares: no more, and no less."""

from __future__ import annotations

from support import compatibility


def test_the_page_says_what_the_matrix_declares() -> None:
    """Made anew by `scripts/compatibility`, from what passes."""
    assert compatibility.PAGE.read_text() == compatibility.page(compatibility.declared())


def test_a_cell_that_does_not_pass_is_not_on_the_page() -> None:
    everything = compatibility.declared()
    for cell in everything:
        without = compatibility.page(everything - {cell})
        assert without.count("| no |") == 1
