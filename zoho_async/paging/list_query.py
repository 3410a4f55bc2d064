"""What a list is asked: the caller's parameters, and those that a walk adds.

Whatever the caller gave is sent as it is. A walk adds the page's number and size, the order in
which rows move least while others edit, and with its first page the wish to have the rows counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

import msgspec
from msgspec import UNSET

from zoho_async.http.call import path_of
from zoho_async.operation import Id, ListOperation, ids_in, split_ids

T = TypeVar("T")

#: Parameters that choose, order or count the rows of a page without leaving any row out.
_NOT_FILTERS: Final = frozenset(
    {"page", "per_page", "sort_column", "sort_order", "response_option"}
)

#: Lists whose ``has_more_page`` has been seen false with rows left, filtered or not.
_END_EARLY: Final = frozenset({"/chartofaccounts"})


class Listing(msgspec.Struct, Generic[T], frozen=True):
    """One list of one caller. ``query`` holds only what was given.

    ``batches`` are the ids of the rows in as many calls as they need, none where one call takes
    them all. Page n of such a list is the answer to its n-th batch.
    """

    operation: ListOperation[T]
    ids: tuple[str | int, ...]
    query: dict[str, object]
    batches: tuple[tuple[Id, ...], ...] = ()

    @property
    def path(self) -> str:
        """The operation's path with the ids in it. Raises `ValueError` for an empty id."""
        return path_of(self.operation.path, self.ids)

    @property
    def first(self) -> int:
        """The page to begin with: the caller's own, or 1."""
        if self.batches:
            return 1
        return max(1, _whole(self.query.get("page")) or 1)

    @property
    def per_page(self) -> int:
        """Rows on a full page."""
        return _per_page(self.operation, self.query)

    @property
    def parts(self) -> int | None:
        """How many answers make up the list; None where its pages are numbered."""
        return len(self.batches) or (None if self.operation.paged else 1)

    @property
    def narrowed(self) -> bool:
        """Whether a filter leaves rows out."""
        return any(
            name not in _NOT_FILTERS and not _everything(value)
            for name, value in self.query.items()
        )

    @property
    def complete(self) -> bool:
        """Whether a walk must prove that the end is the end (see `plan`)."""
        return not self.narrowed or self.operation.path in _END_EARLY

    def asked(self, page: int, *, counting: bool = False) -> dict[str, object]:
        """The parameters for page number ``page`` of a walk; ``counting`` asks for the total."""
        asked = self.query
        if self.batches and self.operation.batch is not None:
            asked = asked | {self.operation.batch.parameter: self.batches[page - 1]}
            page, counting = 1, False
        if not self.operation.paged:
            return asked
        asked = asked | {"page": page, "per_page": self.per_page}
        if self.operation.order and not {"sort_column", "sort_order"} & self.query.keys():
            asked |= {"sort_column": self.operation.order, "sort_order": "A"}
        if counting and self.operation.totals:
            asked.setdefault("response_option", 1)
        return asked


def listing(
    operation: ListOperation[T], ids: Sequence[str | int], query: Mapping[str, object] | None
) -> Listing[T]:
    """The list that ``operation`` answers for ``ids`` and whatever ``query`` gives a value."""
    given = {
        name: value
        for name, value in (query or {}).items()
        if value is not None and value is not UNSET
    }
    return Listing(operation, tuple(ids), given, _batches(operation, given))


def _batches(
    operation: ListOperation[Any], query: Mapping[str, object]
) -> tuple[tuple[Id, ...], ...]:
    """A batch is never larger than a page, so that the answer to it is one page."""
    batch = operation.batch
    if batch is None:
        return ()
    most = min(batch.most, _per_page(operation, query)) if operation.paged else batch.most
    found = tuple(split_ids(ids_in(query.get(batch.parameter)), most))
    return found if len(found) > 1 else ()


def _per_page(operation: ListOperation[Any], query: Mapping[str, object]) -> int:
    return _whole(query.get("per_page")) or operation.max_per_page


def _whole(value: object) -> int | None:
    """A count that a caller may have given as text, or None where it is none."""
    try:
        number = int(value) if isinstance(value, int | str) else 0
    except ValueError:
        return None
    return number if number > 0 else None


def _everything(value: Any) -> bool:
    """Whether this is a ``filter_by`` that hides nothing, such as ``Status.All``."""
    return isinstance(value, str) and value.endswith(".All")
