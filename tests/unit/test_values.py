"""Values stand in for the standard library's dataclasses: each of these would hold for one of those."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Generic, TypeVar

import pytest

from accredit import values

Thing = TypeVar("Thing")


@values.dataclass(frozen=True, slots=True)
class Point:
    """Somewhere."""

    NAMES: ClassVar[tuple[str, ...]] = ("x", "y")

    x: int
    y: int = 0
    seen: list[str] = values.field(default_factory=list)

    @property
    def both(self) -> tuple[int, int]:
        return self.x, self.y


@values.dataclass(frozen=True, slots=True)
class Named(Point):
    name: str = "origin"


@values.dataclass(frozen=True, slots=True)
class Held(Generic[Thing]):
    thing: Thing


@values.dataclass(slots=True)
class Count:
    number: int = 0


@dataclasses.dataclass(frozen=True)
class Plain:
    x: int


def test_it_is_filled_by_place_and_by_name():
    assert Point(1, y=2).both == (1, 2)
    assert Point(1).y == 0
    assert Point.NAMES == ("x", "y")


@pytest.mark.parametrize("wrong", [{}, {"x": 1, "z": 2}])
def test_missing_and_unknown_fields_are_type_errors(wrong):
    with pytest.raises(TypeError):
        Point(**wrong)


def test_equality_is_by_value_among_one_class():
    assert Point(1) == Point(1)
    assert Point(1) != Point(2)
    assert Named(1) != Point(1)
    assert hash(Held("a")) == hash(Held("a"))


def test_a_frozen_one_cannot_be_changed():
    with pytest.raises(AttributeError, match="immutable"):
        Point(1).x = 2


def test_one_that_is_not_frozen_can_and_has_no_hash():
    count = Count()
    count.number = 3
    assert count == Count(3)
    with pytest.raises(TypeError, match="unhashable"):
        hash(count)


def test_there_is_no_room_for_what_is_not_a_field():
    with pytest.raises(AttributeError):
        Count().other = 1


def test_a_default_made_for_each_is_not_shared():
    one, other = Point(1), Point(1)
    one.seen.append("here")
    assert other.seen == []


def test_an_heir_has_the_fields_of_both():
    assert Named(1, 2, [], "home").both == (1, 2)
    assert isinstance(Named(1), Point)


def test_it_tells_itself_apart_in_patterns_and_in_print():
    match Named(1, 2, [], "home"):
        case Named(x, y, name=name):
            assert (x, y, name) == (1, 2, "home")
    assert repr(Count(3)) == "Count(number=3)"
    assert (Point.__doc__, Point.__module__, Point.__qualname__) == ("Somewhere.", __name__, "Point")


def test_replace_makes_another_of_either_kind():
    assert values.replace(Point(1, 2), y=3) == Point(1, 3)
    assert values.replace(Plain(1), x=2) == Plain(2)
    with pytest.raises(TypeError):
        values.replace(Point(1), z=1)


def test_it_has_slots_or_is_not_made():
    with pytest.raises(TypeError, match="slots"):
        values.dataclass(slots=False)
