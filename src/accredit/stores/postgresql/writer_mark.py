"""How a writer knows what it has committed: a row of its own, whose number every transaction of its raises."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from accredit.interfaces import CommitUnknown
from accredit.stores.postgresql import texts
from accredit.stores.postgresql.pipeline import Failed, Pipeline, Statement, bound
from accredit.stores.rows import Row

_WRITERS_KEPT_S = 7 * 86_400


class Mark:
    """This writer's row of the table of writers. A new one is made where the old one may be gone."""

    def __init__(self) -> None:
        self.writer = secrets.token_hex(8)
        self.number = 0
        self.registered = False

    async def register(self, pipeline: Pipeline) -> Failed | None:
        """Why the row could not be made, if so. Raises Lost: then it may be there already, and is taken as it is."""
        answers = await pipeline.run(
            [bound(texts.FORGET_OLD_WRITERS, (_WRITERS_KEPT_S,)), bound(texts.INSERT_WRITER, (self.writer,))]
        )
        failed = next((answer for answer in answers if isinstance(answer, Failed)), None)
        self.registered = failed is None
        return failed

    def raised(self) -> Statement:
        """For a transaction: by one. Meets its row once only from the same number."""
        return bound(texts.RAISE_WRITER, (self.number + 1, self.writer, self.number))

    def settled(self) -> Sequence[Statement]:
        """For a transaction of which nothing is known: by two, unless it has come to pass, and then never will."""
        values = (self.number + 2, self.writer, self.number)
        return bound(texts.RAISE_WRITER, values), bound(texts.WRITER, (self.writer,))

    def found(self, rows: Sequence[Row]) -> bool:
        """Whether it was the transaction that has raised the number. Raises CommitUnknown."""
        if not rows:
            raise CommitUnknown(
                "the database does not know this writer any more: what it has done is not known"
            )
        committed = bool(rows[0][0] == self.number + 1)
        self.number = rows[0][0]
        return committed
