"""Lists that show the records of another collection in a different form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from zoho_async.description import OperationFacts
from zoho_async.sandbox.records.described import Described
from zoho_async.sandbox.records.resource import Record
from zoho_async.sandbox.replies import ENCODER

if TYPE_CHECKING:
    from zoho_async.sandbox.data.store import Collection


class View:
    """A list that shows the records of another collection in another form."""

    def __init__(self, shown: Collection, facts: OperationFacts, resource: Described) -> None:
        self.world: Final = shown.world
        self.resource: Final = resource
        self.orders: dict[object, list[int]] = {}
        self._shown: Final = shown
        self._facts: Final = facts
        self._seen = shown.version

    @property
    def version(self) -> int:
        """Grows with every write to the records that are shown."""
        if self._seen != self._shown.version:
            self._seen = self._shown.version
            self.orders.clear()
        return self._seen

    def indexes(self) -> Sequence[int]:
        return self._shown.indexes()

    def row(self, index: int) -> Record:
        return self.resource.render(self._facts.reply, self._shown.whole(index))

    def encoded_row(self, index: int) -> bytes:
        return ENCODER.encode(self.row(index))

    def state(self, index: int) -> Record:
        return self._shown.state(index)
