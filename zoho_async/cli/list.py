"""``zoho-async list``: prints the rows of one list."""

from __future__ import annotations

import asyncio
import shutil
import sys
import warnings
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any, Final

import msgspec

from zoho_async.cli import outcome
from zoho_async.cli.call import CallOptions, request_text
from zoho_async.cli.connect import ConnectionOptions, connected
from zoho_async.cli.outcome import interruptible
from zoho_async.cli.output import (
    Form,
    check_columns,
    columns_of,
    form_for,
    print_csv,
    print_table,
    writer,
)
from zoho_async.cli.safe import print
from zoho_async.description import OperationFacts
from zoho_async.errors import UnconfirmedFilter
from zoho_async.events import Event, Unconfirmed
from zoho_async.export.catalog import check_filters, exportable, list_operation, resolve
from zoho_async.paging import Pager
from zoho_async.paging.list_query import list_query
from zoho_async.session import Session
from zoho_async.wire import query as query_of
from zoho_async.wire.text import untyped

#: The default number of rows in a table.
_SCREENFUL: Final = 25


class ListOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of ``list``. ``rows`` None means a screenful in a table, else all."""

    resource: str
    filters: Mapping[str, str] = {}
    rows: int | None = None
    columns: tuple[str, ...] = ()
    form: Form | None = None


def list_rows(
    wanted: ListOptions, connection: ConnectionOptions, *, environ: Mapping[str, str], dry_run: bool
) -> int:
    """Print the rows. With ``dry_run`` print the first request and send nothing.

    Raises what calls raise, and `Interrupted`.
    """
    (facts,) = resolve([wanted.resource], exportable())
    check_filters(wanted.filters, [facts])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnconfirmedFilter)  # `_warn` prints it
        asyncio.run(interruptible(_list(wanted, facts, connection, environ, dry_run)))
    return outcome.DONE


async def _list(
    wanted: ListOptions,
    facts: OperationFacts,
    connection: ConnectionOptions,
    environ: Mapping[str, str],
    dry_run: bool,
) -> None:
    async with connected(connection, environ, _warn, organization=not facts.per_user) as zoho:
        form = form_for(wanted.form)
        most = wanted.rows if wanted.rows is not None or form != "table" else _SCREENFUL
        query: dict[str, object] = dict(wanted.filters)
        if most is not None and facts.paged:
            query["per_page"] = max(1, min(most, facts.max_per_page))
        if dry_run:
            print(request_text(_first(facts, query), zoho))
            return
        async with aclosing(_rows(zoho, facts, query, most)) as rows:
            if form in ("table", "csv"):
                await _table(rows, facts, wanted, form)
            else:
                await print_rows(rows, form)


def _warn(event: Event) -> None:
    if isinstance(event, Unconfirmed):
        names = ", ".join(event.filters)
        text = f"warning: Zoho's reply does not confirm {names}; it may have ignored the filter"
        print(f"zoho-async: {text}", file=sys.stderr)


def _first(facts: OperationFacts, query: Mapping[str, object]) -> CallOptions:
    """The first request, with the parameters that the pager adds."""
    parameters = list_query(list_operation(facts), (), query).page_query(1, counting=True)
    return CallOptions(
        method="GET",
        path=facts.path,
        query=query_of(parameters),
        product=facts.product,
        per_user=facts.per_user,
    )


async def _rows(
    zoho: Session, facts: OperationFacts, query: Mapping[str, object], most: int | None
) -> AsyncGenerator[bytes]:
    left = most
    async with Pager(zoho, list_operation(facts), query=query).raw() as rows:
        async for row in rows:
            if left is not None:
                if left == 0:
                    return
                left -= 1
            yield row


async def print_rows(rows: AsyncIterator[bytes], form: Form) -> None:
    """Print rows as Zoho sent them: one per line, or as one JSON array."""
    write = writer()
    between, last = (b"[\n", b"\n]\n") if form == "json" else (b"", b"")
    empty = True
    async for row in rows:
        line = row.replace(b"\r", b" ").replace(b"\n", b" ")
        write(between + line if form == "json" else line + b"\n")
        between, empty = b",\n", False
    if form == "json":
        write(b"[]\n" if empty else last)
    sys.stdout.flush()


async def _table(
    rows: AsyncIterator[bytes], facts: OperationFacts, wanted: ListOptions, form: Form
) -> None:
    read: list[dict[str, Any]] = [untyped(row) async for row in rows]
    if not read:
        print("no rows", file=sys.stderr)
        return
    check_columns(read, wanted.columns)
    if form == "csv":
        print_csv(read, wanted.columns)
        return
    width = shutil.get_terminal_size().columns
    print_table(read, wanted.columns or columns_of(read, facts.row_id, width))
    sys.stdout.flush()  # a reader that has gone gets no hint
    if wanted.rows is None and len(read) == _SCREENFUL:
        print(f"the first {_SCREENFUL} rows; use --rows N to show more", file=sys.stderr)
