"""What every record is: its described fields as attributes, all the rest in `Record.extra`.

Every described field is optional, because a missing field and a blank are both ``None``; a record's
own id is text and never ``None``. Whatever has no field of its own, or did not fit the type of its
field, is still there in the bytes that Zoho sent: a record that came from a reply keeps a view of
them beside its fields and takes them apart when `Record.extra` is first asked for. That view is in
no repr, comparison or encoding, and copies do not have it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, TypeAlias

import msgspec

#: A moment that knows its offset from UTC. One without is no moment, and reads as ``None``.
Moment: TypeAlias = Annotated[datetime, msgspec.Meta(tz=True)]


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """What only ever stands inside a record: an address, a line, a tax."""


class Record(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """What may stand at the top of a reply."""

    @property
    def extra(self) -> dict[str, Any]:
        """What Zoho sent and the fields do not show, by Zoho's names.

        These are the undocumented fields, the originals of values that did not fit their type, and
        both for nested objects under the names of their parents: a list has one ``dict`` for each
        element then, ``{}`` where an element holds nothing more. Numbers are `Decimal` or ``int``.
        Empty for a record that did not come from a reply.
        """
        return {}


class Done(Record):
    """The answer of an operation that says only that it is done."""

    message: str = ""


class PageContext(Record):
    """Where a page of a list stands, in Zoho's words.

    ``total`` and ``total_pages`` come only where the list was asked to count.
    """

    page: int | None = None
    per_page: int | None = None
    has_more_page: bool | None = None
    report_name: str | None = None
    applied_filter: str | None = None
    sort_column: str | None = None
    sort_order: str | None = None
    response_option: int | None = None
    total: int | None = None
    total_pages: int | None = None
