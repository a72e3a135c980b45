"""`/readyz`: what is amiss beside the work is said, and takes no device away from the service."""

from __future__ import annotations

import httpx
import pytest
from starlette.applications import Starlette

from accredit.fronts import health


@pytest.mark.parametrize(
    ("reason", "warnings", "status", "document"),
    [
        (None, [], 200, {"status": "ready"}),
        (None, ["the witness lags"], 200, {"status": "ready", "warnings": ["the witness lags"]}),
        ("stopping", ["the witness lags"], 503, {"status": "not ready", "reason": "stopping"}),
    ],
)
async def test_readyz(
    reason: str | None, warnings: list[str], status: int, document: dict[str, object]
) -> None:
    async def ready() -> str | None:
        return reason

    app = Starlette(routes=health.routes(ready, lambda: warnings))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="https://here.example") as client:
        answer = await client.get("/readyz")
    assert (answer.status_code, answer.json()) == (status, document)
