"""Which filters of a request a reply confirms, and which filters hide nothing."""

from __future__ import annotations

from unittest.mock import Mock

import pytest

from zoho_async.paging.filters import FILTER, unconfirmed
from zoho_async.paging.list_defaults import shows_all


@pytest.mark.parametrize("applied", ["Status.All", "All", "status.all", "a.b.ALL"])
def test_a_filter_named_all_hides_nothing(applied: str) -> None:
    assert shows_all(applied)


@pytest.mark.parametrize("applied", ["Status.Open", "", "All.Open", "Overall"])
def test_another_filter_may_hide_records(applied: str) -> None:
    assert not shows_all(applied)


def page(applied: str | None = None, *criteria: object, known: bool = True) -> Mock:
    extra = {"search_criteria": list(criteria)} if criteria else {}
    context = Mock(applied_filter=applied, extra=extra)
    return Mock(context=context, has_more=False if known else None)


def criterion(column: str | None, text: object) -> dict[str, object]:
    return {"column_name": column, "search_text": text}


@pytest.mark.parametrize(
    ("query", "reply", "missing"),
    [
        ({FILTER: "Status.Open"}, page("status.open"), []),
        ({FILTER: "Status.Open"}, page("Status.All"), [FILTER]),
        ({FILTER: ""}, page(None), []),
        ({"status": "partially_paid"}, page("Status.PartiallyPaid"), []),
        ({"status": "paid"}, page("Status.All"), ["status"]),
        ({"status": "paid"}, page(None), ["status"]),
        ({"date_start": "2026-01-01"}, page(None, criterion("date", "x")), []),
        ({"customer_name": "Ada"}, page(None, criterion(None, "ada")), []),
        ({"customer_name": "Ada"}, page(None, "odd", criterion("item", "Bob")), ["customer_name"]),
        ({"customer_name": "Ada"}, page(None, known=False), []),
    ],
)
def test_a_filter_counts_as_applied_only_if_the_reply_says_so(
    query: dict[str, object], reply: Mock, missing: list[str]
) -> None:
    assert unconfirmed(query, reply) == missing
