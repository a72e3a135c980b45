"""The names of what the first start makes, for those who only look it up."""

from __future__ import annotations

ID_SCOPE = "id-scope"
"""The state that holds the id scope."""

OWNER = "provisioningserviceowner"
HUB_OWNER = "iothubowner"
"""The policies with all rights of a realm. Source: Azure's default policies."""
