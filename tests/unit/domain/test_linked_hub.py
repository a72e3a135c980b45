"""Under which key a hub's rows stand."""

from __future__ import annotations

from accredit.domain.linked_hub import FIRST_HUB, HubKind, LinkedHub


def test_a_hub_is_known_by_its_name_in_any_case() -> None:
    assert LinkedHub("Hub.Example", HubKind.AZURE, "e", 1, 1).key == "hub.example"


def test_renaming_the_service_does_not_move_its_first_hub() -> None:
    named = {LinkedHub(name, HubKind.EMBEDDED, "e", 1, 1, first=True).key for name in ("a", "b")}
    assert named == {FIRST_HUB}
