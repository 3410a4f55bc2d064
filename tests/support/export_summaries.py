"""The summary of an export of one list."""

from __future__ import annotations

from zoho_async.export import (
    ResourceSummary,
    Summary,
)

FILE = "out/books/invoices.jsonl"


def summary(*, rows: int, total: int | None, done: bool = True) -> Summary:
    one = ResourceSummary(
        resource="books.invoices",
        file=FILE,
        status="done" if done else "partial",
        rows=rows,
        rows_new=rows,
        total=total,
        bytes=1_234_567,
        pages=30,
        calls=30,
        least_calls=30,
    )
    return Summary(
        organization="10234695",
        directory="out",
        resources=(one,),
        done=done,
        rows=rows,
        rows_new=rows,
        calls=31,
        least_calls=30,
        refused=0,
        seconds=15.04,
    )
