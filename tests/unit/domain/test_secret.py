"""A secret is seen by `reveal()` alone."""

from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.domain.secret import Secret


@given(st.binary(min_size=1))
def test_it_gives_back_what_it_was_made_of(value: bytes) -> None:
    assert Secret(value).reveal() == value


def test_no_way_of_printing_shows_it() -> None:
    secret = Secret(b"hunter2")
    for shown in (repr(secret), str(secret), f"{secret}", f"{secret!r:>40}", repr([secret])):
        assert "hunter2" not in shown


def test_it_equals_its_like_and_nothing_else() -> None:
    assert Secret(b"a") == Secret(b"a")
    assert Secret(b"a") != Secret(b"b")
    assert Secret(b"a") != b"a"
    assert len({Secret(b"a"), Secret(b"a")}) == 1


def test_it_is_neither_pickled_nor_copied_out() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(Secret(b"a"))
    with pytest.raises(TypeError):
        copy.copy(Secret(b"a"))
