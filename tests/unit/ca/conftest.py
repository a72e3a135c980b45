"""A CA made once for the whole folder."""

import pytest

from accredit.ca import hierarchy
from support.counted_entropy import CountedEntropy

NOW = 1_800_000_000


@pytest.fixture(scope="session")
def made() -> hierarchy.Hierarchy:
    return hierarchy.make("builtin", NOW, CountedEntropy())
