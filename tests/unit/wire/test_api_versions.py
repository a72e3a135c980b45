"""Which api-versions are taken, and what is said of others."""

import pytest

from accredit.domain.errors import Malformed
from accredit.wire.api_versions import API_VERSIONS, check_api_version


class TestAPIVersion:
    @pytest.mark.parametrize("text", sorted(API_VERSIONS))
    def test_known(self, text):
        assert check_api_version(text) == text

    @pytest.mark.parametrize(
        "text", ["2019-03-31", "2021-06-01", "2021-10-01", "2021-11-01-preview", "2025-07-01-preview"]
    )
    def test_what_released_clients_send(self, text):
        assert text in API_VERSIONS

    @pytest.mark.parametrize(
        "text", [None, "", "2019-03-31 ", "2020-01-01", "2021-11-01-PREVIEW", "x" * 9999]
    )
    def test_anything_else(self, text):
        with pytest.raises(Malformed) as refusal:
            check_api_version(text)
        assert refusal.value.rule == "api-version"
        assert len(refusal.value.evidence) < 100
