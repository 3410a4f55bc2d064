"""Build the query of a list: the caller's parameters and those that a walk adds.

The caller's parameters are sent unchanged. A walk adds the page number, the page size and the order
in which rows move least during edits. On the first page it also asks for the total.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

import msgspec
from msgspec import UNSET

from zoho_async.http.call import path_of
from zoho_async.operation import Id, ListOperation, ids_in, split_ids
from zoho_async.paging.filters import NOT_FILTERS

T = TypeVar("T")

#: Lists observed to send a false ``has_more_page`` before their end, filtered or not.
_END_EARLY: Final = frozenset({"/chartofaccounts"})


class ListQuery(msgspec.Struct, Generic[T], frozen=True):
    """One list with one caller's parameters. ``query`` holds only parameters that were given.

    ``batches`` splits requested ids into several calls; it is empty if one call takes all. Page n
    of such a list is the reply to batch n.
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
        """The first page: the caller's ``page``, or 1."""
        if self.batches:
            return 1
        return max(1, _positive(self.query.get("page")) or 1)

    @property
    def per_page(self) -> int:
        """Rows on a full page."""
        return _per_page(self.operation, self.query)

    @property
    def parts(self) -> int | None:
        """The number of replies that make up the list; None for numbered pages."""
        return len(self.batches) or (None if self.operation.paged else 1)

    @property
    def narrowed(self) -> bool:
        """Whether a filter hides rows."""
        return any(
            name not in NOT_FILTERS and not _is_all(value) for name, value in self.query.items()
        )

    @property
    def complete(self) -> bool:
        """Whether a walk must check the end of the list (see `plan`)."""
        return not self.narrowed or self.operation.path in _END_EARLY

    def page_query(self, page: int, *, counting: bool = False) -> dict[str, object]:
        """The parameters for page ``page`` of a walk; ``counting`` requests the total."""
        params = self.query
        if self.batches and self.operation.batch is not None:
            params = params | {self.operation.batch.parameter: self.batches[page - 1]}
            page, counting = 1, False
        if not self.operation.paged:
            return params
        params = params | {"page": page, "per_page": self.per_page}
        if self.operation.order and not {"sort_column", "sort_order"} & self.query.keys():
            params |= {"sort_column": self.operation.order, "sort_order": "A"}
        if counting and self.operation.totals:
            params.setdefault("response_option", 1)
        return params


def list_query(
    operation: ListOperation[T], ids: Sequence[str | int], query: Mapping[str, object] | None
) -> ListQuery[T]:
    """The list of ``operation`` for ``ids``, with the parameters of ``query`` that are set."""
    given = {
        name: value
        for name, value in (query or {}).items()
        if value is not None and value is not UNSET
    }
    return ListQuery(operation, tuple(ids), given, _batches(operation, given))


def _batches(
    operation: ListOperation[Any], query: Mapping[str, object]
) -> tuple[tuple[Id, ...], ...]:
    """Split the requested ids. A batch fits on one page."""
    batch = operation.batch
    if batch is None:
        return ()
    most = min(batch.most, _per_page(operation, query)) if operation.paged else batch.most
    found = tuple(split_ids(ids_in(query.get(batch.parameter)), most))
    return found if len(found) > 1 else ()


def _per_page(operation: ListOperation[Any], query: Mapping[str, object]) -> int:
    return _positive(query.get("per_page")) or operation.max_per_page


def _positive(value: object) -> int | None:
    """``value`` as a positive number, which may be given as text; otherwise None."""
    try:
        number = int(value) if isinstance(value, int | str) else 0
    except ValueError:
        return None
    return number if number > 0 else None


def _is_all(value: Any) -> bool:
    """Whether ``value`` is a ``filter_by`` that hides nothing, such as ``Status.All``."""
    return isinstance(value, str) and value.endswith(".All")
