"""What processes tell each other has names that any bus can carry."""

from __future__ import annotations

import re

import pytest

from accredit.domain.subjects import Subject


@pytest.mark.parametrize("subject", Subject)
def test_each_is_one_token_of_a_subject(subject: Subject) -> None:
    """NATS takes dots, spaces and wildcards for more than letters."""
    assert re.fullmatch(r"[a-z]+", subject.value)
    assert Subject(subject.value) is subject
