"""Base classes of records: described fields as attributes, everything else in `Record.extra`.

Every described field is optional: a missing field and a blank are both ``None``. A record's id is
text and never ``None``. Undescribed values, and values that do not match their type, remain in the
bytes that Zoho sent. A decoded record keeps a view of these bytes, and decodes them when
`Record.extra` is first used. The view is not part of repr, comparison or encoding, and copies do
not have it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, TypeAlias, cast

import msgspec
from msgspec.structs import force_setattr

from zoho_async.wire.reply_source import ReplyPath, ReplySource, undescribed
from zoho_async.wire.shape import fields_of
from zoho_async.wire.text import is_array, is_blank, is_object

#: A time with its offset from UTC. A time without an offset decodes to ``None``.
Moment: TypeAlias = Annotated[datetime, msgspec.Meta(tz=True)]

#: The envelope key of the page context of a list.
CONTEXT: Final = "page_context"

_VIEW: Final = "_view"
_EXTRA: Final = "_extra"


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A struct that occurs only inside records: an address, a line, a tax."""


class Record(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A struct that can be the value of a reply."""

    @property
    def extra(self) -> dict[str, Any]:
        """The values that Zoho sent but no field shows, by Zoho's names.

        These are undocumented fields and the originals of values that did not match their type.
        Those of nested objects are under the names of their parents. A list then has one ``dict``
        per element, ``{}`` for an element without extra values. Numbers are `Decimal` or ``int``.
        Empty for a record that was not decoded from a reply, and for a record inside another one,
        whose ``extra`` has the values.
        """
        beside = self.__dict__
        if _EXTRA not in beside:
            force_setattr(self, _EXTRA, self._find_extra())
        return cast(dict[str, Any], beside[_EXTRA])

    def _find_extra(self) -> dict[str, Any]:
        view = self.__dict__.get(_VIEW)
        if view is None:
            return {}
        path: ReplyPath = view.path
        value = view.sent.at(path)
        if is_object(value):
            return undescribed(self, value)
        return {} if is_blank(value) or not path else {path[0]: value}


class _View(msgspec.Struct, frozen=True, gc=False):
    """The location of a record in a reply: all of it, a key, or row ``number`` under a key.

    ``gc=False`` is safe, because the view references no records.
    """

    sent: ReplySource
    key: str = ""
    number: int = -1

    @property
    def path(self) -> ReplyPath:
        if not self.key:
            return ()
        return (self.key,) if self.number < 0 else (self.key, self.number)


class Done(Record, frozen=True, kw_only=True):
    """The result of an operation whose reply has only a message."""

    message: str = ""


class PageContext(Record, frozen=True, kw_only=True):
    """The page context of a list, with Zoho's field names.

    ``total`` and ``total_pages`` are sent only if the request asked for them.
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


def attach_source(value: object, sent: ReplySource, path: ReplyPath) -> None:
    """Attach the bytes at ``path`` of ``sent`` to the records in ``value``."""
    if isinstance(value, Record):
        key = path[0] if path else ""
        number = path[1] if len(path) == 2 else -1
        force_setattr(value, _VIEW, _View(sent, key, number))
        if not path:
            for name, field in fields_of(type(value)).items():
                attach_source(getattr(value, field.attribute), sent, (name,))
    elif is_array(value) and len(path) == 1:
        key = path[0]
        if value and isinstance(value[0], Record):  # then all are: they are of one type
            for number, row in enumerate(value):
                force_setattr(row, _VIEW, _View(sent, key, number))
