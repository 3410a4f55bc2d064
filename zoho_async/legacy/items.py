"""Items, the only list in the documentation of the 2010 API."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import msgspec

from zoho_async.legacy.product import LEGACY
from zoho_async.operation import ListOperation
from zoho_async.wire import Record


class Item(Record, frozen=True, kw_only=True):
    """A product or service."""

    item_id: str = msgspec.field(name="ItemID", default="")
    uri: str | None = None
    name: str | None = msgspec.field(name="Name", default=None)
    description: str | None = msgspec.field(name="Description", default=None)
    rate: Decimal | None = msgspec.field(name="Rate", default=None)
    tax1_name: str | None = msgspec.field(name="Tax1Name", default=None)
    tax1_percentage: Decimal | None = msgspec.field(name="Tax1Percentage", default=None)
    tax2_name: str | None = msgspec.field(name="Tax2Name", default=None)
    tax2_percentage: Decimal | None = msgspec.field(name="Tax2Percentage", default=None)


ITEMS: Final = ListOperation(
    name="legacy.items.list",
    product=LEGACY,
    path="/items/",
    row=Item,
    key="Items",
    row_id="ItemID",
    paged=True,
    totals=True,
)
