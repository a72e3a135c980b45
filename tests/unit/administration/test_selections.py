"""Pages of what a condition selects: complete, without repetition, bounded."""

from __future__ import annotations

from typing import Any

import pytest

from accredit.administration.selections import MAX_ROWS_LOOKED_AT, STEP_ROWS, selected
from accredit.domain.changes import SaveEnrollment, SaveRegistration
from accredit.domain.enrollment import EnrollmentKind, EnrollmentRef
from accredit.interfaces import Page
from accredit.wire.service_api.queries import Paging
from accredit.wire.service_api.query_language import Comparison, Field
from support import stored_values as some
from support.service_side import ServiceSide

WHOLE = Field("n", lambda row: row, lambda value: value)


class _Numbers:
    """A listing of 0, 1, 2 ...; it counts how many rows were read."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.read = 0

    async def page(self, cursor: str | None, limit: int) -> Page[int]:
        first = int(cursor or 0)
        rows = list(range(first, min(first + limit, self.size)))
        self.read += len(rows)
        more = first + len(rows) < self.size
        return Page(rows, str(first + len(rows)) if more else None, lambda number: str(rows[number] + 1))


async def _all(numbers: _Numbers, condition: Comparison, limit: int) -> tuple[list[int], int]:
    rows: list[int] = []
    cursor, pages = None, 0
    while True:
        before = numbers.read
        page = await selected(numbers.page, condition, Paging(limit, cursor))
        assert len(page.rows) <= limit
        assert len(page.rows) < 2 or numbers.read - before <= MAX_ROWS_LOOKED_AT + STEP_ROWS
        assert page.rows or page.cursor is None
        rows += page.rows
        pages += 1
        cursor = page.cursor
        if cursor is None:
            return rows, pages


@pytest.mark.parametrize("limit", [1, 7, STEP_ROWS, 1000])
@pytest.mark.parametrize(
    "wanted",
    [
        (0,), (249,), (250,), (11_999,), tuple(range(0, 12_000, 1999)), tuple(range(240, 260)), (5_000, 5_001), (),
    ],
)  # fmt: skip
async def test_everything_is_found_once(limit: int, wanted: tuple[int, ...]) -> None:
    rows, _ = await _all(_Numbers(12_000), Comparison(WHOLE, "in", wanted), limit)
    assert rows == list(wanted)


async def test_a_page_that_has_found_something_ends_in_bounds() -> None:
    numbers = _Numbers(12_001)
    first = await selected(numbers.page, Comparison(WHOLE, "in", (3, 12_000)), Paging(10))
    assert (first.rows, numbers.read) == ([3], MAX_ROWS_LOOKED_AT)
    assert first.cursor is not None


async def test_a_page_is_never_empty_before_the_end() -> None:
    rows, pages = await _all(_Numbers(12_001), Comparison(WHOLE, "=", 12_000), 10)
    assert (rows, pages) == ([12_000], 1)


async def test_the_end_is_told_with_the_last_row() -> None:
    page = await selected(_Numbers(500).page, Comparison(WHOLE, "=", 499), Paging(1))
    assert (page.rows, page.cursor) == ([499], None)


async def _query(
    side: ServiceSide, path: str, source: str, where: str, size: int = 100
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    headers = {"x-ms-max-item-count": str(size)}
    while True:
        answer = await side.call(
            "POST", path, {"query": f"SELECT * FROM {source} WHERE {where}"}, headers=headers
        )
        assert answer.status_code == 200, answer.text
        assert answer.headers.get("x-ms-continuation") != ""
        rows += answer.json()
        if "x-ms-continuation" not in answer.headers:
            return rows
        headers["x-ms-continuation"] = answer.headers["x-ms-continuation"]


@pytest.fixture
async def many(side: ServiceSide) -> ServiceSide:
    """700 enrollments, every 7th disabled, and 300 registrations of two groups."""
    await side.store.commit(
        [SaveEnrollment(some.enrollment(f"dev-{n:03}", enabled=bool(n % 7)), None) for n in range(700)]
    )
    groups = [EnrollmentRef(EnrollmentKind.GROUP, name) for name in ("red", "blue")]
    await side.store.commit(
        [
            SaveRegistration(some.registration(f"reg-{n:03}", enrollment=groups[n % 2]), None)
            for n in range(300)
        ]
    )
    await side.put("/enrollmentGroups/red")
    return side


@pytest.mark.parametrize("size", [1, 30, 1000])
async def test_enrollments(many: ServiceSide, size: int) -> None:
    rows = await _query(
        many, "/enrollments/query", "enrollments",
        "provisioningStatus = 'disabled' AND registrationId >= 'DEV-600'", size,
    )  # fmt: skip
    assert [row["registrationId"] for row in rows] == [f"dev-{n:03}" for n in range(602, 700, 7)]


async def test_one_enrollment_and_a_range(many: ServiceSide) -> None:
    one = await _query(many, "/enrollments/query", "enrollments", "registrationId = 'DEV-007'")
    assert [row["registrationId"] for row in one] == ["dev-007"]
    ten = await _query(many, "/enrollments/query", "enrollments", "STARTSWITH(registrationId, 'dev-01')", 3)
    assert [row["registrationId"] for row in ten] == [f"dev-01{n}" for n in range(10)]
    none = await _query(
        many, "/enrollments/query", "enrollments", "registrationId > 'a' AND registrationId < 'b'"
    )
    assert none == []


@pytest.mark.parametrize("size", [1, 40, 1000])
async def test_registrations(many: ServiceSide, size: int) -> None:
    async def found(where: str, path: str = "/registrations/query") -> list[str]:
        return [row["registrationId"] for row in await _query(many, path, "registrations", where, size)]

    assert await found("STARTSWITH(registrationId, 'REG-00')") == [f"reg-00{n}" for n in range(10)]
    reds = [f"reg-{n:03}" for n in range(0, 300, 2)]
    assert await found("enrollmentGroupId = 'RED'") == reds
    assert await found("status = 'assigned'", "/registrations/red/query") == reds
    assert await found("status = 'failed'", "/registrations/red/query") == []
    assert await found("enrollmentGroupId = 'red' AND registrationId IN ['reg-001', 'reg-002']") == [
        "reg-002"
    ]


async def test_a_group_that_left_nothing_behind_is_not_there(many: ServiceSide) -> None:
    body = {"query": "SELECT * FROM registrations WHERE status = 'assigned'"}
    assert (await many.call("POST", "/registrations/green/query", body)).status_code == 404
    blue = await many.call("POST", "/registrations/blue/query", body)
    assert (blue.status_code, len(blue.json())) == (200, 100)
