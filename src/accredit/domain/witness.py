"""How far the issuance log's witness is: which heads it has taken, and which one is still to be shown to it."""

from __future__ import annotations

from accredit.values import dataclass


@dataclass(frozen=True, slots=True)
class Witnessed:
    """A head that a witness has taken. `witness` is its file or URL, `at` the instant in Unix seconds."""

    witness: str
    size: int
    at: int


@dataclass(frozen=True, slots=True)
class WitnessStanding:
    """`waiting_size` is the newest head that it has not taken, `waiting_since` (Unix seconds) when the first such came,
    `failure` why it was not taken. `contradiction` says that the log is not what the witness saw earlier."""

    witness: str
    is_behind: bool = False
    waiting_size: int | None = None
    waiting_since: int | None = None
    failure: str | None = None
    contradiction: str | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What anybody may hear: neither sizes nor places."""
        behind = "the issuance log's witness does not take its heads" if self.is_behind else None
        other = "the issuance log is not what its witness saw" if self.contradiction else None
        return tuple(each for each in (behind, other) if each is not None)
