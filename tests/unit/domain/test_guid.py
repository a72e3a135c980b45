"""The text of a version 4 UUID."""

from __future__ import annotations

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from accredit.domain.guid import guid


@given(st.binary(min_size=16, max_size=16))
def test_it_is_what_the_standard_library_makes_of_the_same_bytes(random):
    assert guid(random) == str(UUID(bytes=random, version=4))
