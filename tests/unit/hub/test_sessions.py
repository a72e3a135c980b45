"""One session for each device: takeover, cut, the bound."""

from __future__ import annotations

import pytest

from accredit.domain.errors import Throttled
from accredit.domain.ids import DeviceId
from accredit.hub.sessions import TAKEN_OVER, Session, Sessions

LAMP = DeviceId("lamp-1")


class Connection:
    """What a session closes; like a real one it may end its session while being closed."""

    def __init__(self, sessions: Sessions) -> None:
        self.sessions = sessions
        self.reasons: list[str] = []
        self.session: Session | None = None

    def close(self, reason: str) -> None:
        self.reasons.append(reason)
        assert self.session is not None
        self.sessions.end(self.session)

    def open(self, device_id: DeviceId = LAMP) -> Connection:
        self.session = self.sessions.open(device_id, self.close)
        return self


def test_a_second_session_closes_the_first_and_stays() -> None:
    sessions = Sessions()
    first, second = Connection(sessions).open(), Connection(sessions).open()
    assert first.reasons == [TAKEN_OVER]
    assert second.reasons == []
    assert sessions.connected(LAMP)
    assert len(sessions) == 1


def test_the_end_of_a_replaced_session_does_not_end_its_successor() -> None:
    sessions = Sessions()
    first, second = Connection(sessions).open(), Connection(sessions).open()
    sessions.end(first.session)
    assert sessions.connected(LAMP)
    sessions.end(second.session)
    assert not sessions.connected(LAMP)
    assert len(sessions) == 0


def test_device_ids_differ_by_case() -> None:
    sessions = Sessions()
    first = Connection(sessions).open(DeviceId("lamp"))
    Connection(sessions).open(DeviceId("Lamp"))
    assert first.reasons == []
    assert len(sessions) == 2


def test_cut_closes_with_its_reason_once() -> None:
    sessions = Sessions()
    connection = Connection(sessions).open()
    assert sessions.cut(LAMP, "revoked")
    assert not sessions.cut(LAMP, "revoked")
    assert connection.reasons == ["revoked"]
    assert not sessions.connected(LAMP)


def test_end_all_leaves_nobody() -> None:
    sessions = Sessions()
    connections = [Connection(sessions).open(DeviceId(f"d{n}")) for n in range(3)]
    sessions.end_all("over")
    assert [connection.reasons for connection in connections] == [["over"]] * 3
    assert len(sessions) == 0


def test_a_full_hub_refuses_strangers_but_not_a_device_that_comes_again() -> None:
    sessions = Sessions(max_sessions=1)
    first = Connection(sessions).open()
    with pytest.raises(Throttled) as refused:
        Connection(sessions).open(DeviceId("other"))
    assert refused.value.rule == "hub-full"
    assert first.reasons == []
    Connection(sessions).open()
    assert first.reasons == [TAKEN_OVER]
