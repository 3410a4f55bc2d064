"""Rows as their own bytes, for those who pass them on."""

from __future__ import annotations

from typing import Any

import msgspec

from zoho_async.operation import ListOperation
from zoho_async.wire.record import PageContext


class RawPage(msgspec.Struct, frozen=True):
    """One page of a list, its rows as Zoho wrote them."""

    rows: list[msgspec.Raw]
    context: PageContext | None


def raw_page(operation: ListOperation[Any], body: bytes) -> RawPage:
    """The page in ``body``, nothing decoded but the envelope. Raises `Unreadable`."""
    raise NotImplementedError


def row_id(operation: ListOperation[Any], row: bytes | memoryview | msgspec.Raw) -> str:
    """The id of a row's own bytes, "" where it has none."""
    raise NotImplementedError
