"""Structs of eight of an invoice's fields, as users write them for ``pager.into``."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Final

import msgspec

from zoho_async.wire import Moment


class Few(msgspec.Struct):
    """Fields that always have a value."""

    invoice_id: str
    invoice_number: str
    customer_name: str
    status: str
    date: dt.date
    due_date: dt.date
    total: Decimal
    last_modified_time: Moment


class Blank(msgspec.Struct):
    """Three of the fields are blank in many rows."""

    invoice_id: str
    invoice_number: str
    customer_name: str
    date: dt.date
    total: Decimal
    last_payment_date: dt.date | None = None
    last_reminder_sent_date: dt.date | None = None
    payment_expected_date: dt.date | None = None


SHAPES: Final[dict[str, type[msgspec.Struct]]] = {"few": Few, "blank": Blank}
