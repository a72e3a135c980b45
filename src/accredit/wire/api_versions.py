"""The api-versions that clients may name: device and service API are versioned together, and no feature is gated on one."""

from __future__ import annotations

from accredit.domain.errors import Malformed

# Each one is sent by a released SDK or tool, or named in a published API specification (azure-rest-api-specs,
# deviceprovisioningservices). Device and service API are versioned together.
API_VERSIONS = frozenset(
    {
        "2018-04-01",
        "2018-09-01-preview",
        "2018-11-01",
        "2019-01-15",
        "2019-03-31",
        "2021-06-01",
        "2021-10-01",
        "2021-11-01-preview",
        "2025-07-01-preview",
        "2026-11-01",
        "2026-11-02-preview",
        "2026-11-15-preview",
    }
)


def check_api_version(text: str | None) -> str:
    """The version, if it is a known one; raises Malformed."""
    if text in API_VERSIONS:
        return text
    raise Malformed(
        "The api-version is missing or not supported.",
        rule="api-version",
        hint=f"supported are {', '.join(sorted(API_VERSIONS))}",
        evidence=f"api-version={text[:64]}" if text else "no api-version",
    )
