"""Check that a list's reply confirms its filters, and refuse filters that cancel each other.

Zoho ignores some filters with a 200, and ``filter_by`` cancels date filters on some lists. The
``page_context`` of a reply says which filters were applied: ``applied_filter`` for ``filter_by``,
and ``search_criteria`` for the others.

Unknown. How ``search_criteria`` names each filter. So a criterion confirms a filter if it names
the filter or the field that the filter compares, or if it has the same value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from zoho_async.errors import CancelledFilter
from zoho_async.paging.list_defaults import default_of
from zoho_async.wire import Page

#: The parameter that selects one of a list's predefined filters.
FILTER: Final = "filter_by"
#: Parameters that page, sort or count rows without filtering them.
NOT_FILTERS: Final = frozenset({"page", "per_page", "sort_column", "sort_order", "response_option"})
#: Parameters that say what rows hold, or select by other means than a filter.
_SILENT: Final = frozenset(
    {"organization_id", "customview_id", "usestate", "accept", "group_by", "cash_based"}
)
_SILENT_BEGIN: Final = ("show", "include_", "optional_")


def refuse_cancelled(product: str, path: str, query: Mapping[str, object]) -> None:
    """Raise `CancelledFilter` if one filter of ``query`` is known to cancel another."""
    default = default_of(product, path)
    if default is None or FILTER not in query:
        return
    cancelled = [name for name in default.cancelled if name in query]
    if cancelled:
        raise CancelledFilter(
            f"{path}: {FILTER} cancels {' and '.join(cancelled)}, so Zoho would return rows of "
            f"any date; send one of the two (status=... works with dates)"
        )


def unconfirmed(query: Mapping[str, object], page: Page[Any]) -> list[str]:
    """Return the filters of ``query`` that the reply with ``page`` does not confirm.

    A reply without a page context says nothing about filters, so it leaves none unconfirmed.
    """
    if page.has_more is None:
        return []
    applied = (page.context.applied_filter or "").casefold()
    doubtful = [
        (name, _text(value))
        for name, value in query.items()
        if name not in NOT_FILTERS and name not in _SILENT
        if not (name.startswith(_SILENT_BEGIN) or name.endswith("_ids"))
        if not _is_applied(name, _text(value), applied)
    ]
    if not doubtful:  # the criteria are undescribed, so finding them reads the whole reply again
        return []
    criteria = _criteria(page.context.extra.get("search_criteria"))
    return [name for name, value in doubtful if not _is_criterion(name, value, criteria)]


def _is_applied(name: str, value: str, applied: str) -> bool:
    if name == FILTER:
        return applied == value
    return applied.rpartition(".")[2] == value.replace("_", "")


def _is_criterion(name: str, value: str, criteria: list[tuple[str, str]]) -> bool:
    return name != FILTER and any(
        text == value or (column and (name == column or name.startswith(f"{column}_")))
        for column, text in criteria
    )


def _criteria(sent: object) -> list[tuple[str, str]]:
    """Return the column and the value of each criterion."""
    if not isinstance(sent, list):
        return []
    found = cast("list[object]", sent)
    rows = [cast("dict[str, object]", one) for one in found if isinstance(one, dict)]
    return [(_text(row.get("column_name")), _text(row.get("search_text"))) for row in rows]


def _text(value: object) -> str:
    return "" if value is None else str(value).casefold()
